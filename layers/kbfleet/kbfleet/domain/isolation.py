"""Breaches of the walls between tenants: where one was seen, and what makes one over. Pure.

A breach is over when somebody has looked and found nothing foreign any more, and only then (decision 25). That nobody
was refused an answer for a while says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kbfleet.domain.names import TenantId

MAX_NAMED = 20
"""Resources that one event names. Whoever looks again finds all of them."""


class SeenIn(StrEnum):
    """Where a breach was seen; what follows for the asker is another thing each time."""

    ANSWER = "ANSWER"
    """An answer rested on a document outside the tenant's bucket. It was not given."""
    CREDENTIALS = "CREDENTIALS"
    """The tenant's credentials do not open the knowledge base that its record names. Nothing was read."""
    RESOURCES = "RESOURCES"
    """Among the tenant's resources is something that is not the tenant's own."""


@dataclass(frozen=True, slots=True)
class Breach:
    """What is published of one sighting.

    Args:
        resources: kinds and ids, never a tenant's text, and never the key of somebody else's document.
        occurred_at: when it was seen.
    """

    tenant_id: TenantId
    seen_in: SeenIn
    resources: tuple[str, ...]
    occurred_at: datetime

    @property
    def identity(self) -> str:
        """The same for every delivery of the same sighting."""
        return f"{self.tenant_id}/{self.seen_in}/{self.occurred_at.isoformat()}"


@dataclass(frozen=True, slots=True)
class FoundPassages:
    """What a search of a tenant's whole knowledge base has found.

    Args:
        uris: of the documents that the passages are from; empty of one that does not say.
        whole: whether what the tenant's own data source has not brought would have been among them.
        left_behind: whether some are from a data source that is not the tenant's own one, or not any more.
    """

    uris: tuple[str, ...]
    whole: bool
    left_behind: bool = False


@dataclass(frozen=True, slots=True)
class DocumentRound:
    """How far the list of a tenant's documents has been read, in which nothing foreign was found so far. A long one is
    read a part at each look.

    Args:
        began_at: what was seen since then begins it anew.
        after: Bedrock's own word for the place; `None` at the beginning.
    """

    data_source_id: str
    began_at: datetime
    after: str | None = None


@dataclass(frozen=True, slots=True)
class IsolationVerified:
    """Somebody has looked into all that a tenant has, and found nothing foreign. `occurred_at` is when that began:
    whatever was seen since then is not answered by it."""

    tenant_id: TenantId
    occurred_at: datetime

    @property
    def identity(self) -> str:
        return f"{self.tenant_id}/VERIFIED/{self.occurred_at.isoformat()}"
