"""What several use cases do with the data sources of a knowledge base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kbfleet.domain.errors import NotReadyYet, RequestRefused, ResourceConflict
from kbfleet.domain.knowledge_base import DataSourceStatus
from kbfleet.domain.names import DataSourceReference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kbfleet.domain.knowledge_base import DataSource
    from kbfleet.domain.names import ResourceNames
    from kbfleet.domain.tenant import Tenant
    from kbfleet.ports import KnowledgeBases


@dataclass(frozen=True, slots=True)
class DataSources:
    """Of a tenant's knowledge base.

    Args:
        own: the one that reads the tenant's documents, with all that is known of it.
        foreign: all others, as they are listed.
        recorded: the one from which jobs are started, with all that is known of it, whichever of them it is; `None` if
            there is none.
    """

    own: DataSource | None
    foreign: Sequence[DataSource]
    recorded: DataSource | None


def data_sources_of(
    tenant: Tenant,
    knowledge_base_id: str,
    wanted: Mapping[str, object],
    *,
    knowledge_bases: KnowledgeBases,
    names: ResourceNames,
) -> DataSources:
    """Separates the tenant's own data source from others: it is the recorded one, or else one of its name.

    Somebody may have renamed it: its name alone must not cost the tenant what it has brought. Nor must a list that does
    not show it at this moment. But a record that is wrong proves nothing: a recorded one of another name is the
    tenant's own only while it names no other bucket.

    Args:
        wanted: `dataSourceConfiguration` of one that reads the tenant's bucket.
    """

    def described(data_source_id: str) -> DataSource | None:
        return knowledge_bases.data_source(DataSourceReference(knowledge_base_id, data_source_id))

    listed = {one.data_source_id: one for one in knowledge_bases.data_sources(knowledge_base_id)}
    own_id = tenant.data_source_id
    own = recorded = described(own_id) if own_id else None
    if own_id and recorded is None:
        listed.pop(own_id, None)  # a list may show for a while what is gone
    elif recorded is not None:
        listed.setdefault(recorded.data_source_id, recorded)
    if recorded is None or not _is_own(recorded, wanted, names):
        others = (one for one in listed.values() if one.data_source_id != tenant.data_source_id)
        own_id = next((one.data_source_id for one in others if one.name == names.data_source()), None)
        own = described(own_id) if own_id else None
    return DataSources(own, [one for one in listed.values() if one.data_source_id != own_id], recorded)


def _is_own(recorded: DataSource, wanted: Mapping[str, object], names: ResourceNames) -> bool:
    going = recorded.status is DataSourceStatus.DELETING
    return recorded.name == names.data_source() or (not recorded.reads_another(wanted) and not going)


def delete_data_source(
    data_source: DataSourceReference, listed_as: DataSourceStatus, knowledge_bases: KnowledgeBases
) -> None:
    """Begins to delete it; a job that uses it is stopped first.

    Raises:
        NotReadyYet: a job still uses it; or Bedrock refuses it in its present status, which passes.
    """
    try:
        knowledge_bases.delete_data_source(data_source)
    except RequestRefused as error:
        if not listed_as.changing:
            raise
        raise NotReadyYet(f"Data source {data_source.data_source_id} is {listed_as}: {error.what}") from error
    except ResourceConflict as error:
        # A job that a console or a tick has started in the meantime.
        job = knowledge_bases.running_ingestion_job(data_source)
        if job is not None:
            knowledge_bases.stop_ingestion(data_source, job.ingestion_job_id)
        raise NotReadyYet(f"Data source {data_source.data_source_id} is still in use: {error}") from error
