"""Why a document is not found, by the real adapters: Bedrock is the emulator, S3 is moto's."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from kbfleet.adapters.bedrock_documents import BedrockDocuments
from kbfleet.adapters.bedrock_retrieval import BedrockRetrievalProbe
from kbfleet.adapters.s3 import S3BucketContents
from kbfleet.domain.document_trace import HopName, ObjectKey, Verdict
from kbfleet.domain.failed_documents import DocumentObject
from kbfleet.domain.ingestion_job import IngestionJob
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.names import DataSourceReference, TenantId
from kbfleet.usecases.document_tracing import DocumentTracer
from tests.support.clock import START
from tests.support.fleet import Fleet
from tests.support.knowledge_base_worlds import BUCKET, Emulated
from tests.support.knowledge_store_worlds import Managed, OnS3Vectors, StoreWorld
from tests.support.samples import ACCOUNT, ACME, NAMES, first_knowledge, job_state_change, tenant

KEY = ObjectKey("規程/terms & rules.md")
URI = f"s3://{BUCKET}/{KEY}"


class TracedWorld:
    """A tenant whose bucket and knowledge base are emulated; ledger and history are in memory."""

    def __init__(self, on: type[StoreWorld], monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = Emulated(on)
        # moto's S3 has the machine's clock, and everything else the test's.
        monkeypatch.setattr("moto.s3.models.utcnow", lambda: self.world.aws.clock.now().replace(tzinfo=None))
        self.source: DataSourceReference = self.world.data_source("acme")
        self.fleet = Fleet(clock=self.world.aws.clock)
        self.fleet.registry.create(
            tenant(
                bucket_name=BUCKET,
                knowledge_base_id=self.source.knowledge_base_id,
                data_source_id=self.source.data_source_id,
            )
        )

    def put(self, content: str = "A tent is rented for three days at least.", key: str = KEY) -> None:
        self.world.aws.s3.put_object(Bucket=BUCKET, Key=key, Body=content.encode())

    def sync(self, token: str = "first") -> IngestionJob:  # noqa: S107 - not a password
        """As the scheduler does: a job, its end in the history, and its generation in the ledger."""
        job = self.world.ended(self.source, self.world.start(self.source, token))
        assert job.outcome is not None
        self.fleet.history.record(
            job_state_change(
                data_source=self.source,
                ingestion_job_id=job.ingestion_job_id,
                status=job.status,
                started_at=job.started_at,
                occurred_at=job.updated_at,
                outcome=job.outcome,
                statistics=job.statistics,
                failure_reasons=job.failure_reasons,
            ),
            self.fleet.clock.now(),
        )
        self.world.advance(600)
        return job

    def stuck_at(self) -> tuple[HopName, Verdict] | None:
        tracer = DocumentTracer(
            registry=self.fleet.registry,
            stores={"S3_VECTORS": self.world.store},
            profiles=self.fleet.profiles,
            ledger=self.fleet.ledger,
            history=self.fleet.history,
            knowledge_bases=self.world.knowledge_bases,
            buckets=self.fleet.buckets,
            bucket_contents=S3BucketContents(self.world.aws.s3, account=ACCOUNT),
            ingested_documents=BedrockDocuments(self.world.agent),
            failed_documents=self.fleet.failed_documents,
            probe=BedrockRetrievalProbe(self.world.aws.client("bedrock-agent-runtime")),
            clock=self.fleet.clock,
            names=NAMES,
        )
        hop = tracer.trace(ACME, KEY).stuck_at
        return (hop.name, hop.verdict) if hop else None


@pytest.fixture(params=[OnS3Vectors, Managed], ids=["S3_VECTORS", "MANAGED"])
def traced(request: pytest.FixtureRequest, aws: None, monkeypatch: pytest.MonkeyPatch) -> TracedWorld:
    return TracedWorld(request.param, monkeypatch)


@pytest.fixture
def on_s3_vectors(aws: None, monkeypatch: pytest.MonkeyPatch) -> TracedWorld:
    return TracedWorld(OnS3Vectors, monkeypatch)


def test_a_document_is_found(traced: TracedWorld) -> None:
    traced.put()
    traced.sync()
    assert traced.stuck_at() is None


def test_the_object_is_missing(traced: TracedWorld) -> None:
    traced.put(key=f"{KEY}-draft")
    assert traced.stuck_at() == (HopName.OBJECT, Verdict.BROKEN)


def test_the_event_about_a_newer_version_is_lost(traced: TracedWorld) -> None:
    traced.put()
    traced.sync()
    traced.put("A tent is rented for a week.")
    traced.world.advance(600)
    assert traced.stuck_at() == (HopName.CHANGE, Verdict.BROKEN)


def test_the_job_failed(traced: TracedWorld) -> None:
    traced.put()
    traced.world.next_job_fails(traced.source)
    traced.sync()
    assert traced.stuck_at() == (HopName.JOB, Verdict.BROKEN)


def test_the_document_failed(traced: TracedWorld) -> None:
    traced.put()
    traced.world.aws.emulator.faults.add({"effect": "documents_fail", "keys": [KEY]})
    traced.sync()
    assert traced.stuck_at() == (HopName.DOCUMENT, Verdict.BROKEN)


def test_the_document_has_no_text(traced: TracedWorld) -> None:
    traced.put(" ")
    traced.sync()
    assert traced.stuck_at() == (HopName.DOCUMENT, Verdict.BROKEN)


def test_the_metadata_file_is_too_large(on_s3_vectors: TracedWorld) -> None:
    on_s3_vectors.put()
    attributes = {"metadataAttributes": {"note": "x" * 1_100}}
    on_s3_vectors.put(json.dumps(attributes), f"{KEY}.metadata.json")
    on_s3_vectors.sync()
    assert on_s3_vectors.stuck_at() == (HopName.METADATA, Verdict.BROKEN)


def test_the_vectors_are_gone_though_the_document_is_indexed(on_s3_vectors: TracedWorld) -> None:
    on_s3_vectors.put()
    on_s3_vectors.sync()
    on_s3_vectors.world.on.drop(TenantId("acme"))
    on_s3_vectors.world.on.store.ensure(first_knowledge(TenantId("acme")))
    assert on_s3_vectors.stuck_at() == (HopName.RETRIEVAL, Verdict.BROKEN)


def test_the_index_is_gone(on_s3_vectors: TracedWorld) -> None:
    on_s3_vectors.put()
    on_s3_vectors.sync()
    on_s3_vectors.world.on.drop(TenantId("acme"))
    assert on_s3_vectors.stuck_at() == (HopName.RETRIEVAL, Verdict.BROKEN)


def test_the_knowledge_base_is_gone(on_s3_vectors: TracedWorld) -> None:
    on_s3_vectors.put()
    on_s3_vectors.world.delete(on_s3_vectors.source.knowledge_base_id)
    assert on_s3_vectors.stuck_at() == (HopName.KNOWLEDGE_BASE, Verdict.BROKEN)


def test_the_data_source_is_gone(on_s3_vectors: TracedWorld) -> None:
    on_s3_vectors.put()
    on_s3_vectors.world.knowledge_bases.delete_data_source(on_s3_vectors.source)
    on_s3_vectors.world.advance(120)
    assert on_s3_vectors.stuck_at() == (HopName.KNOWLEDGE_BASE, Verdict.BROKEN)


def test_an_object_is_as_new_as_the_newer_of_it_and_its_metadata_file(on_s3_vectors: TracedWorld) -> None:
    described = S3BucketContents(on_s3_vectors.world.aws.s3, account=ACCOUNT)
    began = on_s3_vectors.fleet.clock.now()
    on_s3_vectors.put("text")
    first = described.describe(BUCKET, URI)
    assert first is not None
    assert replace(first, revision=None) == DocumentObject(began, 4)
    on_s3_vectors.world.advance(60)
    on_s3_vectors.put("{}", f"{KEY}.metadata.json")
    then = described.describe(BUCKET, URI)
    assert then is not None
    assert replace(then, revision=None) == DocumentObject(began + timedelta(seconds=60), 4, 2)
    assert then.revision != first.revision
    assert described.describe("no-such-bucket-of-ours", "s3://no-such-bucket-of-ours/a.md") is None
    assert began >= START


def test_a_probe_finds_no_other_document(on_s3_vectors: TracedWorld) -> None:
    on_s3_vectors.put()
    on_s3_vectors.sync()
    probe = BedrockRetrievalProbe(on_s3_vectors.world.aws.client("bedrock-agent-runtime"))
    own = probe.probe(on_s3_vectors.source.knowledge_base_id, KnowledgeBaseKind.VECTOR, BUCKET, URI)
    assert own.found
    assert own.characters == len("A tent is rented for three days at least.")
    other = probe.probe(on_s3_vectors.source.knowledge_base_id, KnowledgeBaseKind.VECTOR, BUCKET, f"{URI}x")
    assert (other.found, other.refusal) == (False, "")
