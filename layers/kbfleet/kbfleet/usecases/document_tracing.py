"""What is known of one document, at every place that it passes on its way into answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kbfleet.domain.document_names import MAX_KEY_BYTES, other_spellings
from kbfleet.domain.document_trace import DocumentFacts, ObjectKey, Probe, trace
from kbfleet.domain.errors import NotReadyYet, ResourceMissing
from kbfleet.domain.uploads import METADATA_SUFFIX
from kbfleet.usecases.failed_documents import documents_named_by

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kbfleet.domain.diagnosis import Search
    from kbfleet.domain.document_trace import DocumentTrace
    from kbfleet.domain.failed_documents import DocumentObject, IngestedDocument
    from kbfleet.domain.ingestion_job import JobStateChange
    from kbfleet.domain.knowledge_base import KnowledgeBase
    from kbfleet.domain.names import ResourceNames, TenantId
    from kbfleet.domain.tenant import Tenant
    from kbfleet.ports import (
        BucketContents,
        Clock,
        DocumentBuckets,
        FailedDocuments,
        IngestedDocuments,
        JobHistory,
        KnowledgeBases,
        KnowledgeStore,
        RetrievalProbe,
        SyncLedger,
        TenantRegistry,
    )
    from kbfleet.usecases.profiles import Profiles


@dataclass(frozen=True, slots=True)
class DocumentTracer:
    """Follows a document from its bucket into answers. It changes nothing, and sees nothing of what a document says."""

    registry: TenantRegistry
    stores: Mapping[str, KnowledgeStore]
    profiles: Profiles
    ledger: SyncLedger
    history: JobHistory
    knowledge_bases: KnowledgeBases
    buckets: DocumentBuckets
    bucket_contents: BucketContents
    ingested_documents: IngestedDocuments
    failed_documents: FailedDocuments
    probe: RetrievalProbe
    clock: Clock
    names: ResourceNames

    def trace(self, tenant_id: TenantId, key: ObjectKey) -> DocumentTrace:
        """Raises:
        TenantNotFound.
        Throttled, NotReadyYet, AwsRefusal: a place could not be looked at.
        """
        return trace(self._facts(tenant_id, key))

    def _facts(self, tenant_id: TenantId, key: ObjectKey) -> DocumentFacts:
        tenant = self.registry.get(tenant_id)
        bucket = self.names.bucket(tenant.this_life)
        facts = DocumentFacts(tenant_id, key, bucket, self.clock.now(), tenant)
        if tenant.bucket_name is None or tenant.knowledge_base_id is None:
            return facts
        spelled, in_bucket, beside = self._found(bucket, key)
        uri = f"s3://{bucket}/{spelled}"
        store = self.stores.get(tenant.knowledge_store)  # the stack may offer it no more
        sync = self.ledger.find(tenant.live_knowledge)
        facts = replace(
            facts,
            key=ObjectKey(spelled),
            asked_for=key,
            sync=sync,
            in_bucket=in_bucket,
            is_folder=key.endswith("/") or (in_bucket is None and self._describe(bucket, f"{key}/") is not None),
            metadata_spelled_otherwise=in_bucket is not None
            and in_bucket.metadata_bytes is None
            and any(each.endswith(METADATA_SUFFIX) for each in beside),
            also_there=tuple(each for each in beside if not each.endswith(METADATA_SUFFIX)),
            max_metadata_bytes=store.max_metadata_bytes if store is not None else None,
            knowledge_base=self.knowledge_bases.get(tenant.knowledge_base_id),
            ingested=self._ingested(tenant, bucket, uri),
            failure=self.failed_documents.find(tenant.this_life, uri),
            parsing_model=self.profiles.parsing_model(tenant),
            running_jobs=sum(other.kind is sync.kind for other in self.ledger.running()),
        )
        if facts.in_bucket is None:
            return replace(facts, bucket_is_there=self.buckets.exists(bucket))
        if facts.knowledge_base is None:
            return facts
        jobs = self._jobs_since(tenant, facts)
        probe = self._probed(facts.knowledge_base, bucket, uri)
        return replace(
            facts,
            jobs=jobs,
            named=tuple(documents_named_by(job, bucket, self.bucket_contents) for job in jobs if job.may_name(uri)),
            probe=probe,
            anything=self._any_probed(facts.knowledge_base) if not probe.found and not probe.refusal else None,
        )

    def _found(self, bucket: str, key: ObjectKey) -> tuple[str, DocumentObject | None, Sequence[str]]:
        """What is there under the key, or else under one that looks the same; with the key that it is under, and with
        what is there under others that look the same as that, documents and metadata files."""
        for spelled in (key, *self._there(bucket, other_spellings(key))):
            if (found := self._describe(bucket, spelled)) is not None:
                others = other_spellings(spelled)
                return spelled, found, self._there(bucket, [*others, *(f"{each}{METADATA_SUFFIX}" for each in others)])
        return key, None, ()

    def _there(self, bucket: str, keys: Sequence[str]) -> Sequence[str]:
        """Those of these keys that are there, in that order; none in a bucket that is gone."""
        if not keys:
            return ()
        try:
            there = self.bucket_contents.objects(bucket, keys)
        except ResourceMissing:
            return ()
        return [each for each in keys if each in there]

    def _describe(self, bucket: str, key: str) -> DocumentObject | None:
        if len(key.encode()) > MAX_KEY_BYTES:  # what S3 has no name for, it refuses to look for
            return None
        return self.bucket_contents.describe(bucket, f"s3://{bucket}/{key}")

    def _jobs_since(self, tenant: Tenant, facts: DocumentFacts) -> tuple[JobStateChange, ...]:
        """Those that read the bucket as it is now, or were to; the newest first."""
        since = facts.in_bucket.changed_at if facts.in_bucket else facts.now
        jobs = self.history.started_since(tenant.this_life, since)
        own = (job for job in jobs if job.data_source.data_source_id == tenant.data_source_id)
        return tuple(sorted(own, key=lambda job: job.started_at or job.occurred_at, reverse=True))

    def _ingested(self, tenant: Tenant, bucket: str, uri: str) -> IngestedDocument | None:
        if tenant.data_source_id is None:
            return None
        try:
            (document,) = self.ingested_documents.look_up(tenant.data_source(), bucket, [uri])
        except ResourceMissing:
            return None
        return document

    def _probed(self, knowledge_base: KnowledgeBase, bucket: str, uri: str) -> Probe:
        kind = knowledge_base.kind
        if kind is None:
            return Probe(found=False, refusal="It is of a kind that kbfleet does not make.")
        try:
            return self.probe.probe(knowledge_base.knowledge_base_id, kind, bucket, uri)
        except NotReadyYet as error:
            if error.for_everybody:
                raise
            # What is wrong with this knowledge base, such as that it is being deleted, is what is asked for.
            return Probe(found=False, refusal=error.what)

    def _any_probed(self, knowledge_base: KnowledgeBase) -> Search | None:
        kind = knowledge_base.kind
        return self.probe.anything(knowledge_base.knowledge_base_id, kind) if kind is not None else None
