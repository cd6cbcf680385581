"""What several use cases do with the data sources of a knowledge base."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kbfleet.domain.errors import NotReadyYet, ResourceConflict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kbfleet.domain.knowledge_base import DataSource
    from kbfleet.domain.tenant import DataSourceReference, ResourceNames, Tenant
    from kbfleet.ports import KnowledgeBases


def own_data_source(listed: Sequence[DataSource], tenant: Tenant, names: ResourceNames) -> DataSource | None:
    """The one that reads the tenant's documents, by its name; of several of that name, the recorded one."""
    named = [one for one in listed if one.name == names.data_source()]
    recorded = (one for one in named if one.data_source_id == tenant.data_source_id)
    return next(recorded, named[0] if named else None)


def delete_data_source(data_source: DataSourceReference, knowledge_bases: KnowledgeBases) -> None:
    """Begins to delete it; a job that uses it is stopped first.

    Raises:
        NotReadyYet: a job still uses it.
    """
    try:
        knowledge_bases.delete_data_source(data_source)
    except ResourceConflict as error:
        # A job that a console or a tick has started in the meantime.
        job = knowledge_bases.running_ingestion_job(data_source)
        if job is not None:
            knowledge_bases.stop_ingestion(data_source, job.ingestion_job_id)
        raise NotReadyYet(f"Data source {data_source.data_source_id} is still in use: {error}") from error
