"""A tenant, its lifecycle, its lease, and the names of everything that belongs to it."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Self

from kbfleet.domain.erasure import ErasureReceipt
from kbfleet.domain.errors import (
    InvalidInput,
    LeaseLost,
    OffboardingBegun,
    TenantBusy,
    TenantNotActive,
    TenantOffboarded,
    TenantOffboarding,
    TenantSuspended,
)
from kbfleet.domain.finding import Finding, UnseenSince
from kbfleet.domain.knowledges import Beside, KnowledgeRecord
from kbfleet.domain.names import DataSourceReference, Knowledge, Life, TenantId
from kbfleet.domain.printable import is_printable
from kbfleet.domain.profiles import BY_THE_STACK, ProfileReference
from kbfleet.domain.tenant_status import TenantStatus, askable_knowledge_base
from kbfleet.domain.usage_plan import Tier
from kbfleet.domain.validated_text import ValidatedText
from kbfleet.domain.workflow import WorkflowFailure

MAX_NAME_LENGTH = 100
"""Characters of a tenant's display name."""

REQUESTED_NAME_KEPT_FOR = timedelta(days=1)
"""Far longer than an execution takes from its start to its first state."""

RESOURCES_VERSION = "3"
"""Of what provisioning makes for a tenant, and how: raised with every change that existing tenants must get, too. What
was made before there was a number is version 1."""

MAX_RETENTION_DAYS = 3_650
"""Ten years. Nothing waits for it but the record: a larger number is taken for a slip."""

BUCKET_SETTLES_WITHIN = timedelta(minutes=5)
"""Within which a bucket that was made shows everywhere, and so does that it was deleted. Terraform's provider waits for
two minutes; users report seconds as a rule, and now and then many minutes."""

OVERDUE_AFTER = timedelta(days=3)
"""A round starts what is due once a day, and an execution lasts two days at most."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to change a tenant's resources, held by one execution at a time."""

    holder: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Offboarding:
    """A tenant's way out. Until `deletion_began_at` is set nothing is deleted and the tenant can be resumed."""

    requested_at: datetime
    delete_after: datetime
    status_before: TenantStatus
    deletion_began_at: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        # Without a retention period it is due when it is requested, also where another machine's clock is behind.
        return self.delete_after <= max(now, self.requested_at)

    def is_overdue(self, now: datetime) -> bool:
        """Whether the tenant should have been deleted by now, so that somebody has to look."""
        return now - self.delete_after > OVERDUE_AFTER


@dataclass(frozen=True, slots=True)
class TenantStateChange:
    """What is published when a tenant's status changes. `delete_after` comes with OFFBOARDING: until then it can be
    taken back; `receipt` comes with OFFBOARDED."""

    tenant_id: TenantId
    status: TenantStatus
    previous_status: TenantStatus | None
    occurred_at: datetime
    receipt: ErasureReceipt | None = None
    life: int = 1
    delete_after: datetime | None = None

    @property
    def identity(self) -> str:
        """The same for every publication of the same change, so that repetitions can be recognized."""
        return f"{self.tenant_id}/{self.status}/{self.occurred_at.isoformat()}"


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant's record in the registry. Resource ids are `None` until the resource is known to exist.

    `announced` is whether the bus knows of the present status; `foreign`, what the last look found among its resources
    that is not its own, and `losses`, what the last examination found wrong, for people;
    `unseen`, what examinations could not look at, and since when. `within` is what the last look into its resources
    found, foreign or otherwise than it should be, beside `losses`; `found_at`, when what the record says of either was
    seen, at the latest look before it was worked at. `life` and `knowledge` are the
    numbers of its present life, and of the knowledge in it that answers; `resources_version` is what its resources were
    last converged to, if that is known. `events_since` is when S3 was last asked to tell of the bucket's changes, which
    it does some minutes later; `None` where that was before it was kept.

    `index_made_at` and `data_source_made_at` are when AWS made the two: see `content_lost`; `None` where there is none,
    or it was not kept yet. `bucket_made_at` is when the tenant's bucket was last made anew, in place of one that it had
    had: what was in that is gone, and may still be answered from.

    `knowledge_base_alone` is whether no knowledge base of the tenant can be there but the recorded one: `False` from
    before one is asked for until its id is recorded, and after an answer that was lost; `None` where that was not kept
    yet. Where it is true, nobody has to list those of the account. `usage_key_id` is what API Gateway calls the
    tenant's key, for the same reason; `None` while there is none, or where it was not kept yet.

    `profile` says how its documents become knowledge, and how its questions are answered; a record from before there
    were profiles has `default`.
    """

    tenant_id: TenantId
    name: str
    status: TenantStatus
    knowledge_store: str
    created_at: datetime
    updated_at: datetime
    status_since: datetime
    tier: Tier = Tier.STANDARD
    previous_status: TenantStatus | None = None
    announced: bool = False
    fence: int = 0
    lease: Lease | None = None
    bucket_name: str | None = None
    knowledge_store_reference: str | None = None
    knowledge_base_id: str | None = None
    data_source_id: str | None = None
    drift: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    losses: tuple[Finding, ...] = ()
    unseen: tuple[UnseenSince, ...] = ()
    within: tuple[Finding, ...] = ()
    found_at: datetime | None = None
    failure: WorkflowFailure | None = None
    offboarding: Offboarding | None = None
    erasure: ErasureReceipt | None = None
    life: int = 1
    knowledge: int = 1
    resources_version: str | None = None
    events_since: datetime | None = None
    index_made_at: datetime | None = None
    data_source_made_at: datetime | None = None
    bucket_made_at: datetime | None = None
    knowledge_base_alone: bool | None = None
    usage_key_id: str | None = None
    profile: ProfileReference = BY_THE_STACK
    beside: Beside | None = None
    last_knowledge: int = 1

    @property
    def this_life(self) -> Life:
        """The present one; of a tombstone, the last."""
        return Life(self.tenant_id, self.life)

    @property
    def live_knowledge(self) -> Knowledge:
        """What answers in this life; seen from beside, what is there."""
        return Knowledge(self.this_life, self.knowledge)

    # --- the knowledge beside the live one ---

    @property
    def record_of_knowledge(self) -> KnowledgeRecord:
        """What it has of the live one; seen from beside, of the other."""
        return KnowledgeRecord(**{each.name: getattr(self, each.name) for each in fields(KnowledgeRecord)})

    def with_knowledge(self, record: KnowledgeRecord) -> Tenant:
        """The record with that knowledge in place of the live one."""
        return replace(self, **{each.name: getattr(record, each.name) for each in fields(record)})

    @property
    def is_seen_from_beside(self) -> bool:
        return self.beside is not None and self.beside.seen_from

    def seen_from_beside(self) -> Tenant:
        """The record as it would be if the knowledge beside the live one were what it is about: for those who make and
        delete resources, which is the same for both. It is never stored: see `as_recorded`.

        Raises: LeaseLost: there is none.
        """
        if self.beside is None or self.is_seen_from_beside:
            raise LeaseLost(
                f"Tenant {self.tenant_id} has no knowledge beside the one that answers any more.",
                remedy="Nothing to do here: whoever has taken it out decides.",
            )
        return self._exchanged(self.beside)

    def as_recorded(self) -> Tenant:
        """As it is stored, whichever knowledge it is seen from."""
        return self._exchanged(self.beside) if self.beside is not None and self.beside.seen_from else self

    def _exchanged(self, beside: Beside) -> Tenant:
        other = replace(beside, record=self.record_of_knowledge, seen_from=not beside.seen_from)
        return replace(self.with_knowledge(beside.record), beside=other)

    def seen_under(self, reservation: Reservation) -> Tenant:
        """As whoever has that reservation sees it.

        Raises: LeaseLost: it is of a knowledge that is not there any more.
        """
        if reservation.knowledge is None:
            return self
        seen = self.seen_from_beside()
        if seen.knowledge != reservation.knowledge:
            raise LeaseLost(
                f"Knowledge {reservation.knowledge} of tenant {self.tenant_id} is not there any more.",
                remedy="Nothing to do here: whoever has taken it out decides.",
            )
        return seen

    def each_knowledge(self) -> tuple[Tenant, ...]:
        """The record, and if there is another knowledge beside the live one, also as it is seen from there."""
        recorded = self.as_recorded()
        return (recorded,) if recorded.beside is None else (recorded, recorded.seen_from_beside())

    def each_synced(self) -> tuple[Tenant, ...]:
        """As `each_knowledge`, of what documents are brought into."""
        return self.each_knowledge() if self.beside is not None and self.beside.is_synced else (self,)

    def seen_from(self, knowledge: Knowledge) -> Tenant | None:
        """As it is seen from that one; `None` if documents are not brought into it any more."""
        return next((each for each in self.each_synced() if each.live_knowledge == knowledge), None)

    def not_being_rebuilt(self, now: datetime) -> None:
        """Raises: TenantBusy: an execution makes or deletes resources beside its live knowledge."""
        if self._lease_gives_way and self.leased_at(now):
            raise TenantBusy(
                f"What is beside tenant {self.tenant_id}'s live knowledge is being made or deleted.",
                remedy="That takes some minutes: then run the command again.",
            )

    @property
    def _lease_gives_way(self) -> bool:
        """Whether a rebuild has it: nobody who takes the tenant out of service, or into it, waits for that."""
        return self.lease is not None and self.beside is not None and self.beside.holder == self.lease.holder

    def without_rebuilds_lease(self) -> Tenant:
        """To be written under the next fencing token."""
        return replace(self, lease=None) if self._lease_gives_way else self

    @property
    def state_change(self) -> TenantStateChange:
        """How the tenant came to its present status."""
        delete_after = self.offboarding.delete_after if self.offboarding is not None else None
        return TenantStateChange(
            self.tenant_id,
            self.status,
            self.previous_status,
            self.status_since,
            self.erasure,
            self.life,
            delete_after,
        )

    @property
    def worked_at_since(self) -> bool:
        """Whether somebody has worked at it since `losses` and `within` were seen: they may be over."""
        return self.found_at is not None and self.updated_at > self.found_at

    def leased_at(self, now: datetime) -> bool:
        return self.lease is not None and self.lease.expires_at > now

    def with_status(self, status: TenantStatus, now: datetime) -> Tenant:
        """The record in another status; unchanged when it is in that status already."""
        if self.status is status:
            return self
        return replace(
            self, status=status, previous_status=self.status, status_since=now, announced=False, updated_at=now
        )

    # --- the right to change a tenant ---

    def reserved_by(self, holder: str, now: datetime, lease: timedelta) -> Tenant:
        """The record with its lease given to `holder` and the next fencing token, for provisioning.

        The same holder may reserve again: a step that is retried after its answer was lost must not lock itself out.
        A tenant that is active or suspended stays so while it is converged again; one that has failed is being
        provisioned anew.

        Raises:
            TenantBusy: another execution holds a lease that has not expired.
            TenantOffboarding, TenantOffboarded: provisioning would undo what somebody wants.
        """
        self.not_leaving()
        leased = self.leased_to(holder, now, lease)
        return leased.with_status(TenantStatus.PROVISIONING, now) if self.status is TenantStatus.FAILED else leased

    def leased_to(self, holder: str, now: datetime, lease: timedelta) -> Tenant:
        """The record with its lease given to `holder`, and the next fencing token.

        Raises: TenantBusy.
        """
        self.not_leased_by_another(holder, now)
        return replace(self, lease=Lease(holder, now + lease), fence=self.fence + 1, updated_at=now)

    def not_leased_by_another(self, holder: str | None, now: datetime) -> None:
        """Raises: TenantBusy."""
        if self.lease is not None and self.leased_at(now) and self.lease.holder != holder:
            raise TenantBusy(
                f"Tenant {self.tenant_id} is being worked on by {self.lease.holder}.",
                remedy="Wait for that execution to end, then run the command again.",
            )

    def held_under(self, fence: int) -> Tenant:
        """This record, if the fencing token is still the newest.

        Raises:
            LeaseLost: a later execution has reserved the tenant, or the lease was given back.
        """
        if self.lease is None or self.fence != fence:
            raise LeaseLost(
                f"The lease on tenant {self.tenant_id} has passed to somebody else.",
                remedy="Nothing to do here: whoever has it decides about the tenant.",
            )
        return self

    # --- lifecycle ---

    # Whoever gives a lease back raises the fencing token: a function that outlives its execution must not write the
    # record that it has read before, lease and all.

    def converged(self, resources_version: str | None, now: datetime) -> Tenant:
        """The record after an execution that has come to its end: active, unless somebody has suspended the tenant."""
        returned = replace(
            self,
            lease=None,
            fence=self.fence + 1,
            failure=None,
            updated_at=now,
            resources_version=resources_version,
        )
        return returned if self.status is TenantStatus.SUSPENDED else returned.with_status(TenantStatus.ACTIVE, now)

    def failed(self, failure: WorkflowFailure) -> Tenant:
        """The record after an execution that came to nothing. Only a tenant that was being provisioned has failed: one
        that was active before still has its knowledge base, and one that is being offboarded stays so."""
        marked = replace(self, lease=None, fence=self.fence + 1, failure=failure, updated_at=failure.at)
        return (
            marked.with_status(TenantStatus.FAILED, failure.at) if self.status is TenantStatus.PROVISIONING else marked
        )

    def suspended(self, now: datetime) -> Tenant:
        """Raises: TenantBusy, TenantNotActive."""
        if self.status is TenantStatus.SUSPENDED:
            return self
        free = self.without_rebuilds_lease()
        free.not_leased_by_another(None, now)
        if self.status is not TenantStatus.ACTIVE:
            raise TenantNotActive(
                f"Tenant {self.tenant_id} is {self.status}; only an active tenant can be suspended.",
                remedy=f"Look at it with `kbfleet tenant show {self.tenant_id}`.",
            )
        return replace(free, fence=self.fence + 1).with_status(TenantStatus.SUSPENDED, now)

    def resumed(self, now: datetime) -> Tenant:
        """A suspended tenant is active again; one that is to be deleted is what it was before.

        Raises:
            OffboardingBegun: its data are being deleted.
            TenantBusy: it is being converged.
            TenantNotActive: there is nothing to resume.
        """
        if self.status is TenantStatus.ACTIVE:
            return self
        if self.status is TenantStatus.SUSPENDED:
            self.without_rebuilds_lease().not_leased_by_another(None, now)
        # The next fencing token takes the lease from an execution of offboarding that has not begun to delete.
        released = replace(self, fence=self.fence + 1, lease=None, offboarding=None, failure=None)
        if self.status is TenantStatus.SUSPENDED:
            return released.with_status(TenantStatus.ACTIVE, now)
        if self.status is TenantStatus.OFFBOARDING and self.offboarding is not None:
            if self.offboarding.deletion_began_at is not None:
                raise OffboardingBegun(
                    f"The deletion of tenant {self.tenant_id}'s data began at "
                    f"{self.offboarding.deletion_began_at:%Y-%m-%d %H:%M} UTC; the tenant cannot be resumed.",
                    remedy="Wait until the offboarding has ended, then provision the tenant anew.",
                )
            return released.with_status(self.offboarding.status_before, now)
        raise TenantNotActive(
            f"Tenant {self.tenant_id} is {self.status}; there is nothing to resume.",
            remedy=f"Run `kbfleet tenant add {self.tenant_id}`.",
        )

    # --- offboarding ---

    def offboarding_requested(self, now: datetime, *, retention: timedelta) -> Tenant:
        """Out of service from now on, and to be deleted once the retention period is over. One that is requested again
        keeps its time; one that has failed is due again.

        Raises:
            TenantBusy: an execution holds the lease.
            TenantOffboarded: nothing is left to delete.
        """
        self._not_offboarded()
        self.without_rebuilds_lease().not_leased_by_another(None, now)
        if self.offboarding is not None and self.lease is None and self.failure is None:
            return self
        plan = self.offboarding or Offboarding(now, now + retention, self.status)
        requested = replace(self, fence=self.fence + 1, lease=None, offboarding=plan, failure=None, updated_at=now)
        return requested.with_status(TenantStatus.OFFBOARDING, now)

    def deletion_is_due(self, now: datetime) -> bool:
        """Whether an execution is to delete it now. One whose deletion has failed waits for people."""
        return self.offboarding is not None and self.offboarding.is_due(now) and self.failure is None

    def fenced_off_by(self, holder: str, now: datetime, *, lease: timedelta) -> Tenant:
        """The record with its lease given to an execution of offboarding.

        Raises:
            TenantBusy: another execution holds the lease.
            TenantOffboarded: nothing is left to delete.
            LeaseLost: the offboarding was taken back, or requested anew for a later time, since the execution was
                started.
        """
        self._not_offboarded()
        if self.offboarding is None or not self.offboarding.is_due(now):
            raise LeaseLost(
                f"Tenant {self.tenant_id} is not to be deleted now.",
                remedy="Nothing to do here: the tenant's record says what is to become of it.",
            )
        return replace(self.leased_to(holder, now, lease), failure=None)

    def _not_offboarded(self) -> None:
        if self.status is TenantStatus.OFFBOARDED:
            raise TenantOffboarded(f"Tenant {self.tenant_id} is offboarded already.", remedy="Nothing is left to do.")

    def has_lost_its_bucket(self, now: datetime) -> bool:
        """Whether it had one, when none shows: one that was just made may not show everywhere yet."""
        return self.bucket_name is not None and now > self.created_at + BUCKET_SETTLES_WITHIN

    def bucket_may_appear(self, now: datetime) -> bool:
        """Whether a bucket that nobody sees may have been made so late that it does not show yet. Nothing is made for a
        tenant any more once its offboarding is requested."""
        return self.offboarding is not None and now < self.offboarding.requested_at + BUCKET_SETTLES_WITHIN

    def deletion_begun(self, now: datetime) -> Tenant:
        """From here on there is no way back."""
        if self.offboarding is None or self.offboarding.deletion_began_at is not None:
            return self
        return replace(self, offboarding=replace(self.offboarding, deletion_began_at=now))

    def offboarded(self, receipt: ErasureReceipt, now: datetime) -> Tenant:
        """The tombstone: the tenant's id, when it went, and what proves that nothing is left."""
        tombstone = Tenant(
            tenant_id=self.tenant_id,
            name=str(self.tenant_id),
            status=self.status,
            knowledge_store=self.knowledge_store,
            created_at=self.created_at,
            updated_at=now,
            status_since=self.status_since,
            fence=self.fence + 1,
            erasure=receipt,
            life=self.life,
        )
        return tombstone.with_status(TenantStatus.OFFBOARDED, now)

    # --- what others need of it ---

    def of_another_stack(self, stack_id: str) -> bool:
        """Whether it was last converged by a stack that is gone: nobody has heard the events since then."""
        return self.resources_version is not None and not self.resources_version.endswith(f"/{stack_id}")

    @property
    def is_in_service(self) -> bool:
        return self.status not in {TenantStatus.SUSPENDED, TenantStatus.OFFBOARDING, TenantStatus.OFFBOARDED}

    def is_over(self, life: Life) -> bool:
        """Whether nothing of that life is left."""
        return life != self.this_life or self.status is TenantStatus.OFFBOARDED

    def require_life(self, life: Life) -> None:
        """Raises: TenantOffboarded: that life is over."""
        if self.is_over(life):
            raise TenantOffboarded(
                f"Tenant {life} is offboarded.",
                remedy=f"Run `kbfleet tenant show {life.tenant_id}`: it may have a new life.",
            )

    def in_service(self) -> None:
        """Raises:
        TenantSuspended, TenantOffboarding, TenantOffboarded: nothing is done for the tenant at present.
        """
        if self.status is TenantStatus.SUSPENDED:
            raise TenantSuspended(
                f"Tenant {self.tenant_id} is suspended.",
                remedy=f"Run `kbfleet tenant resume {self.tenant_id}` first.",
            )
        self.not_leaving()

    def not_leaving(self) -> None:
        """Raises: TenantOffboarding, TenantOffboarded."""
        match self.status:
            case TenantStatus.OFFBOARDING:
                raise TenantOffboarding(f"Tenant {self.tenant_id} is being offboarded.", remedy=self._way_back())
            case TenantStatus.OFFBOARDED:
                raise TenantOffboarded(
                    f"Tenant {self.tenant_id} is offboarded.",
                    remedy=f"Run `kbfleet tenant add {self.tenant_id}` to begin anew.",
                )

    def _way_back(self) -> str:
        """What to do about an offboarding that is in the way."""
        anew = f"it can be added anew when `kbfleet tenant show {self.tenant_id}` says OFFBOARDED"
        if self.offboarding is None or self.offboarding.deletion_began_at is not None:
            return f"Everything of it is being deleted; {anew}."
        return (
            f"`kbfleet tenant resume {self.tenant_id}` takes it back until its deletion begins, after "
            f"{self.offboarding.delete_after:%Y-%m-%d %H:%M} UTC; after that, {anew}."
        )

    def askable(self) -> str:
        """Raises: what `askable_knowledge_base` does."""
        return askable_knowledge_base(self.tenant_id, self.status, self.knowledge_base_id)

    def data_source(self) -> DataSourceReference:
        """Where the tenant's documents are ingested.

        Raises:
            TenantNotActive: the tenant has no data source yet.
        """
        if self.knowledge_base_id is None or self.data_source_id is None:
            raise TenantNotActive(
                f"Tenant {self.tenant_id} has no knowledge base with a data source yet.",
                remedy=f"Run `kbfleet tenant add {self.tenant_id}` first.",
            )
        return DataSourceReference(self.knowledge_base_id, self.data_source_id)


def require_as_recorded(tenant: Tenant) -> None:
    """Whoever stores a record calls this: one that is seen from beside would make the other knowledge the live one.

    Raises: RuntimeError: it is seen so, which is a fault of ours.
    """
    if tenant.is_seen_from_beside:
        raise RuntimeError(f"The record of tenant {tenant.tenant_id} is seen from beside, and cannot be stored so.")


class DisplayName(ValidatedText):
    """A tenant's name for people: 1 to 100 characters that can all be seen, and are not all white space.

    Accents are joined to their letters (Unicode's NFC), as some keyboards send them apart: a name is for people, who
    would not know what is wrong with theirs.

    Raises:
        InvalidInput: naming the field `name`.
    """

    __slots__ = ()

    def __new__(cls, value: object) -> Self:
        if not isinstance(value, str) or not value.strip() or len(value) > MAX_NAME_LENGTH:
            raise InvalidInput("name", f"must be text of 1 to {MAX_NAME_LENGTH} characters.")
        name = unicodedata.normalize("NFC", value.strip())
        if not is_printable(name):
            raise InvalidInput("name", "must be one line of characters that can be seen.")
        return super().__new__(cls, name)


@dataclass(frozen=True, slots=True)
class ProvisioningRequest:
    """What an execution was started with. What is `None` stays what the record says.

    `for_a_new_tenant` says that the rest counts only where there is no such tenant: an existing one stays as it is.
    """

    tenant_id: TenantId
    name: DisplayName | None = None
    knowledge_store: str | None = None
    tier: Tier | None = None
    for_a_new_tenant: bool = False
    profile: ProfileReference | None = None

    def of(self, existing: Tenant | None) -> ProvisioningRequest:
        """What it asks of the existing tenant, if there is one."""
        return ProvisioningRequest(self.tenant_id) if self.for_a_new_tenant and existing is not None else self

    def unlike(self, existing: Tenant) -> tuple[str, ...]:
        """The names of what it asks for and the tenant has otherwise."""
        asked = {"name": self.name, "knowledge_store": self.knowledge_store, "tier": self.tier, "profile": self.profile}
        return tuple(name for name, value in asked.items() if value not in {None, getattr(existing, name)})


@dataclass(frozen=True, slots=True)
class Reservation:
    """The right of one execution to change one tenant, until a later one takes it.

    Args:
        knowledge: the number of that beside the live one, whose resources it changes; `None` for those of the live one.
    """

    tenant_id: TenantId
    fence: int
    knowledge: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class ProvisioningReservation(Reservation):
    """`deadline` is until when the knowledge base and its data source must be ready."""

    deadline: datetime
