"""Changes of tenants' documents, as they come in: in batches, many of one tenant at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kbfleet.domain.errors import TenantNotFound, TenantOffboarded, TenantOffboarding
from kbfleet.usecases.ingestion import note_changes

if TYPE_CHECKING:
    from kbfleet.domain.names import Life, ResourceNames
    from kbfleet.domain.sync import Debounce, DocumentChange
    from kbfleet.ports import Clock, SyncLedger, TenantRegistry, Ticks


@dataclass(slots=True)
class ChangeBatch:
    """The changes of one batch: one update of the ledger a tenant, and one tick in all, however many there are.

    Every change of a batch happened before the first of them is noted here, so the generation that is raised then
    covers them all, in whatever order they come and however often. What came of it is the same for all of them, too:
    when the ledger cannot be written, each change of that tenant is to be offered again.
    """

    registry: TenantRegistry
    ledger: SyncLedger
    ticks: Ticks
    clock: Clock
    names: ResourceNames
    debounce: Debounce
    _outcomes: dict[Life, Exception | None] = field(default_factory=dict)
    _ticked: bool = False

    @property
    def tenants(self) -> int:
        """How many have had a change noted."""
        return sum(outcome is None for outcome in self._outcomes.values())

    def note(self, change: DocumentChange) -> bool:
        """Returns: whether the change will be synced; not, when offboarding deletes the tenant's documents.

        Raises:
            TenantNotFound: the bucket is no tenant's.
            TenantOffboarded: somebody puts documents where a tenant was, or was in an earlier life.
            ConcurrentUpdate, Retryable, AwsRefusal: offer this change again.
        """
        life = self.names.life_of_bucket(change.bucket_name)
        if life is None:
            # The name may be anything: as much of it is repeated as a bucket's name can have.
            raise TenantNotFound(f"No tenant of fleet {self.names.fleet} has a bucket {change.bucket_name[:63]!r}.")
        if life not in self._outcomes:
            self._outcomes[life] = self._note(life)
        match self._outcomes[life]:
            case None:
                return True
            case TenantOffboarding():
                return False
            case TenantOffboarded() if change.deleted:
                # The last of what offboarding deleted: events can be minutes late.
                return False
            case error:
                raise error

    def _note(self, life: Life) -> Exception | None:
        try:
            note_changes(
                life,
                registry=self.registry,
                ledger=self.ledger,
                ticks=self,
                clock=self.clock,
                debounce=self.debounce,
            )
        except Exception as error:  # noqa: BLE001 - raised for every change of the tenant, by whoever offers it
            return error
        return None

    def request(self) -> None:
        """The `Ticks` of the single changes: the scheduler looks at the whole queue, so one tick is enough."""
        if not self._ticked:
            self.ticks.request()
            self._ticked = True
