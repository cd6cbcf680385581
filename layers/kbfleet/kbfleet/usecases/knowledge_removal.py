"""Deleting the resources of one knowledge, for whoever deletes a tenant or only one of its knowledges.

A tenant's record is given as it is seen from the knowledge that goes. Every function can run any number of times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kbfleet.domain.errors import NotReadyYet, RequestRefused, ResourceConflict
from kbfleet.domain.ingestion_job import JobStatus
from kbfleet.domain.knowledge_base import DataSourceStatus, KnowledgeBaseKind, KnowledgeBaseStatus
from kbfleet.domain.names import DataSourceReference
from kbfleet.usecases.data_sources import delete_data_source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kbfleet.domain.knowledge_base import KnowledgeBase
    from kbfleet.domain.names import ResourceNames, TenantId
    from kbfleet.domain.tenant import Tenant
    from kbfleet.ports import KnowledgeBases


def knowledge_bases_of(tenant: Tenant, knowledge_bases: KnowledgeBases, names: ResourceNames) -> list[KnowledgeBase]:
    """The recorded one, unless its tags or its name say that it is another's. Where that may not be the only one, and
    where none is recorded, those of the tenant's name that carry its tags, too: one may have been made and never
    written down."""
    recorded = knowledge_bases.get(tenant.knowledge_base_id) if tenant.knowledge_base_id else None
    own = recorded is not None and names.owned(recorded.name, knowledge_bases.tags(recorded), tenant.this_life)
    found = {recorded.knowledge_base_id: recorded} if recorded is not None and own else {}
    if tenant.knowledge_base_alone and tenant.knowledge_base_id is not None and (own or recorded is None):
        return list(found.values())
    for one in knowledge_bases.named(names.knowledge_base(tenant.live_knowledge)):
        if one.knowledge_base_id not in found and names.marked(knowledge_bases.tags(one), tenant.this_life):
            found[one.knowledge_base_id] = one
    return list(found.values())


def stop_jobs_of(found: Iterable[KnowledgeBase], tenant_id: TenantId, *, knowledge_bases: KnowledgeBases) -> None:
    """No ingestion job runs in these knowledge bases.

    Raises:
        NotReadyYet: one is still stopping.
    """
    stopping = []
    for one in found:
        for source in knowledge_bases.data_sources(one.knowledge_base_id):
            reference = DataSourceReference(one.knowledge_base_id, source.data_source_id)
            job = knowledge_bases.running_ingestion_job(reference)
            if job is not None:
                knowledge_bases.stop_ingestion(reference, job.ingestion_job_id)
                # One whose status is not known may have ended: whether it uses the data source, its deletion shows.
                if job.status is not JobStatus.UNKNOWN:
                    stopping.append(job.ingestion_job_id)
    if stopping:
        raise NotReadyYet(f"Ingestion jobs of tenant {tenant_id} are still stopping: {', '.join(stopping)}.")


def delete_data_sources_of(
    found: Iterable[KnowledgeBase], tenant_id: TenantId, *, knowledge_bases: KnowledgeBases
) -> None:
    """These knowledge bases have no data source. One whose vectors cannot be deleted is deleted without them: the whole
    index goes next. A knowledge base of the kind MANAGED has no index, and Bedrock only deletes all or nothing of it.

    Raises:
        NotReadyYet: Bedrock is still deleting.
    """
    left = []
    for one in found:
        for source in knowledge_bases.data_sources(one.knowledge_base_id):
            left.append(source.data_source_id)
            reference = DataSourceReference(one.knowledge_base_id, source.data_source_id)
            if source.status is DataSourceStatus.DELETE_UNSUCCESSFUL and one.kind is KnowledgeBaseKind.VECTOR:
                knowledge_bases.retain_vectors(reference)
            if source.status is not DataSourceStatus.DELETING:
                delete_data_source(reference, source.status, knowledge_bases)
    if left:
        raise NotReadyYet(f"Data sources of tenant {tenant_id} are still being deleted: {', '.join(left)}.")


def delete_knowledge_bases(
    found: Iterable[KnowledgeBase], tenant_id: TenantId, *, knowledge_bases: KnowledgeBases
) -> None:
    """These knowledge bases are gone. A deletion that failed is asked for again.

    Raises:
        NotReadyYet: Bedrock is still deleting, or could not; with its reasons.
    """
    left = list(found)
    for one in left:
        if one.status is not KnowledgeBaseStatus.DELETING:
            try:
                knowledge_bases.delete(one.knowledge_base_id)
            except (ResourceConflict, RequestRefused):
                if not one.status.changing:
                    raise
    if left:
        states = "; ".join(f"{one.knowledge_base_id} {one.status} {' '.join(one.failure_reasons)}" for one in left)
        raise NotReadyYet(f"Knowledge bases of tenant {tenant_id} are not deleted yet: {states}.")
