"""Surveys: listing a tenant's bucket for changes that no event has told of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kbfleet.domain.tenant_status import TenantStatus

if TYPE_CHECKING:
    from kbfleet.domain.ingestion_job import JobStateChange
    from kbfleet.domain.sync import Sync
    from kbfleet.domain.tenant import Tenant

IN_PARTS_AT_MOST = timedelta(days=7)
"""How long an upload in several parts is taken to go on at most."""
_SLOWEST_UPLOAD = 64 * 1024
"""Bytes a second, of an upload in one part."""
_TO_THE_SECOND = timedelta(seconds=2)
"""S3 gives times in whole seconds, and two services' clocks are not the same."""
_SURVEYED = {TenantStatus.PROVISIONING, TenantStatus.ACTIVE}


@dataclass(frozen=True, slots=True)
class PresentVersion:
    """The newest version of what has been under one key.

    Args:
        changed_at: when it was put or deleted; of an upload in several parts, when that began (AWS documentation,
            Working with object metadata).
        size: in bytes.
        in_parts: whether it was uploaded in several parts.
        deleted: whether it is a delete marker.
        folder: whether its key ends in a slash: the console makes such an object for a folder, and no job counts it.
    """

    changed_at: datetime
    size: int = 0
    in_parts: bool = False
    deleted: bool = False
    folder: bool = False

    @property
    def listed_from(self) -> datetime:
        """From when on a list of the bucket shows it for certain. Nothing says whether the time of an upload in one
        part is that of its beginning, so a slow one is allowed for."""
        upload = IN_PARTS_AT_MOST if self.in_parts else timedelta(seconds=self.size / _SLOWEST_UPLOAD)
        return self.changed_at + _TO_THE_SECOND + upload


@dataclass(frozen=True, slots=True)
class Survey:
    """How far a tenant's bucket has been listed. Changes that come meanwhile are told of by events.

    Args:
        events_since: which request for events it is about, by the time in the tenant's record.
        objects: how many have been counted.
        after: S3's own words for the place where the list is to be read on; `None` at the beginning.
        ended: whether nothing is left to be listed.
    """

    events_since: datetime
    objects: int = 0
    after: str | None = None
    ended: bool = False


def unnoticed_until(tenant: Tenant, sync: Sync, events_after: timedelta) -> datetime | None:
    """Until when a change of the tenant's documents may go, or may have gone, unnoticed: a survey comes after it.

    Args:
        events_after: how long after S3 was asked for events they come for certain.

    Returns: `None` if events come and the bucket was surveyed since, or where events were asked for before kbfleet kept
        since when; and of a tenant that is not synced, of which no survey comes.
    """
    since = tenant.events_since
    if since is None or sync.has_surveyed(since) or tenant.status not in _SURVEYED:
        return None
    return since + events_after


def was_seen_by(job: JobStateChange, version: PresentVersion) -> bool:
    """Whether a job that counts has certainly read the bucket with that version in it."""
    return job.started_at is not None and version.listed_from < job.started_at
