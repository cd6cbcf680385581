"""Two use cases that meet at one tenant's entry in the ledger, in every order of their calls there.

What is promised, however they meet, and also when one of them dies on its way: whoever waits for a sync is answered,
what was requested for a tenant in service is synced, and nothing is synced for a tenant out of service.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from kbfleet.domain.errors import KbfleetError
from kbfleet.domain.names import Life
from kbfleet.domain.sync import Priority, Sync, SyncState
from kbfleet.domain.tenant import Lease, Reservation, Tenant
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.usecases.sync_schedule import SyncSchedule
from tests.support.fakes import InMemorySyncLedger
from tests.support.fleet import EVENTS_AFTER, START_INTERVAL, Fleet
from tests.support.interleavings import Order, every_order, in_order
from tests.support.interruptions import Died, Tapped
from tests.support.samples import ACME, EXECUTION, NAMES, SAKURA, first_knowledge
from tests.support.virtual_time import StrandDied

OFFBOARDING_EXECUTION = EXECUTION.replace("provision", "offboard")
RETENTION = timedelta(days=30)
_IN_SERVICE = {TenantStatus.ACTIVE, TenantStatus.PROVISIONING}
_A_SYNC_SECONDS = 400
"""Longer than a job of the fake Bedrock takes."""


class ObservedLedger(InMemorySyncLedger):
    """Notes who has requested a generation, and who has called the sync off, in the order in which that was stored."""

    def __init__(self) -> None:
        super().__init__()
        self.at_work = ""
        self.left_alone = False

    def save(self, sync: Sync) -> Sync:
        before = self.find(sync.of_knowledge)
        stored = super().save(sync)
        if self.at_work == "stop" and stored.ready_at is None:
            self.left_alone = True
        elif stored.requested_generation > before.requested_generation:
            self.left_alone = False
        return stored


class Meeting:
    """A fleet with one tenant, whose use cases are run beside each other."""

    def __init__(self) -> None:
        self.fleet = Fleet()
        self.ledger = self.fleet.ledger = ObservedLedger()
        self.fleet.records = type(self.fleet.records)(self.ledger)
        self.data_source = self.fleet.add(ACME)
        self.reservation = Reservation(ACME, 0)
        self.waiting: list[str] = []

    @property
    def record(self) -> Tenant:
        return self.fleet.registry.get(ACME)

    def reserved(self) -> None:
        """An execution of provisioning works on the tenant. Its lease is over: a function of it may outlive it, and
        meets whoever takes the tenant next."""
        record = self.record
        reserved = replace(record, fence=record.fence + 1, lease=Lease(EXECUTION, self.fleet.clock.now()))
        self.fleet.registry.replace(reserved, fence=record.fence)
        self.reservation = Reservation(ACME, reserved.fence)

    def joined(self) -> None:
        """A task waits for the tenant's next sync."""
        token = f"token-{len(self.waiting)}"
        self.waiting.append(token)
        entry = self.ledger.find(first_knowledge(ACME)).requested(self.fleet.clock.now(), Priority.REQUESTED, token)
        self.ledger.save(entry)

    # --- use cases of executions ---

    def offboard(self) -> None:
        """Up to the point of no return."""
        self.fleet.request_offboarding(ACME, timedelta(0))
        self.fleet.stop_ingestion(self.fleet.fence_off(ACME, OFFBOARDING_EXECUTION))

    def first_sync(self) -> None:
        self.fleet.run_first_sync(self.reservation, "first sync")

    # --- others ---

    def request_offboarding(self) -> None:
        self.fleet.request_offboarding(ACME, RETENTION)

    def look(self) -> None:
        """Somebody has the tenant's data source read another's bucket, and a look sees that."""
        anothers = self.fleet.store.data_source_configuration(NAMES.bucket(Life(SAKURA)))
        name = NAMES.data_source()
        self.fleet.knowledge_bases.update_data_source(self.data_source, name, configuration=anothers)
        found = self.fleet.isolation_look.go_round({ACME: self.record}, until=self.fleet.clock.now(), first=ACME)
        assert not found.troubles

    # --- afterwards ---

    def scheduled(self) -> None:
        """The schedule's next run."""
        fleet = self.fleet
        SyncSchedule(
            registry=fleet.registry,
            ledger=fleet.ledger,
            fleet=fleet.fleet_records,
            ticks=fleet.ticks,
            clock=fleet.clock,
            every=timedelta(0),
            start_interval=START_INTERVAL,
            stale_after=timedelta(hours=1),
            events_after=EVENTS_AFTER,
        ).run()

    def rest(self) -> None:
        """Ticks come until nothing is left to do; the schedule's come every minute."""
        for _ in range(60):
            self.fleet.tick_until_idle()
            if self.ledger.find(first_knowledge(ACME)).state is SyncState.IDLE:
                return
            self.fleet.clock.advance(60)
        raise AssertionError("the tenant never comes to rest")

    def unanswered(self) -> Iterator[str]:
        left = {waiter.task_token for waiter in self.ledger.find(first_knowledge(ACME)).waiters}
        for token in sorted({*self.waiting, *left}):
            if self.fleet.callbacks.answer(token) is None:
                yield f"{token} is not answered" + (", it still waits" if token in left else "")

    def out_of_order(self) -> Iterator[str]:
        """What else is not as promised."""
        entry, status = self.ledger.find(first_knowledge(ACME)), self.record.status
        if (status in _IN_SERVICE) is entry.on_hold:
            yield f"the tenant is {status}, and its entry is {'on hold' if entry.on_hold else 'not on hold'}"
        left_alone = self.ledger.left_alone or entry.distrusted
        if status in _IN_SERVICE and entry.pending_changes and not left_alone:
            yield (
                f"the tenant is {status}: generation {entry.requested_generation} was requested, and only "
                f"{entry.synced_generation} is synced"
            )


def _at_rest(meeting: Meeting) -> None:
    """An active tenant, for whom an execution is about to wait."""
    meeting.reserved()


def _queued(meeting: Meeting) -> None:
    meeting.reserved()
    meeting.joined()


def _running(meeting: Meeting) -> None:
    meeting.reserved()
    meeting.joined()
    meeting.fleet.tick()
    meeting.fleet.clock.advance(20)


def _ended(meeting: Meeting) -> None:
    """The job that a task waits for has ended, and the ledger does not know yet; more was requested meanwhile."""
    _running(meeting)
    meeting.joined()
    meeting.fleet.clock.advance(_A_SYNC_SECONDS)


def _suspended(meeting: Meeting) -> None:
    meeting.fleet.request(ACME)
    meeting.fleet.suspend(ACME)
    meeting.fleet.note_changes(ACME)


def _in_retention(meeting: Meeting) -> None:
    meeting.fleet.request(ACME)
    meeting.request_offboarding()
    meeting.fleet.note_changes(ACME)


def _resumed_half_way(meeting: Meeting) -> None:
    """Whoever resumed it has died on the way from the registry to the ledger; then an execution took the tenant."""
    _suspended(meeting)
    record = meeting.record
    meeting.fleet.registry.replace(record.resumed(meeting.fleet.clock.now()), fence=record.fence)
    meeting.reserved()


HALF_WAY = "resumed half way"
SITUATIONS: Mapping[str, Callable[[Meeting], None]] = {
    "at rest": _at_rest,
    "queued": _queued,
    "running": _running,
    "ended": _ended,
    "suspended": _suspended,
    "in retention": _in_retention,
    HALF_WAY: _resumed_half_way,
}
USE_CASES: Mapping[str, Callable[[Meeting], object]] = {
    "suspend": lambda meeting: meeting.fleet.suspend(ACME),
    "resume": lambda meeting: meeting.fleet.resume(ACME),
    "stop": lambda meeting: meeting.fleet.stop_sync(ACME),
    "request offboarding": Meeting.request_offboarding,
    "offboard": Meeting.offboard,
    "first sync": Meeting.first_sync,
    "tick": lambda meeting: meeting.fleet.tick(),
    "note changes": lambda meeting: meeting.fleet.note_changes(ACME),
    "request": lambda meeting: meeting.fleet.request(ACME),
    "look": Meeting.look,
}


@dataclass(frozen=True)
class Race:
    """Two use cases in a situation.

    Args:
        dies_at: the first one dies just before its call of that number, from 0, at the ledger or at a task that waits;
            `None` if it lives.
    """

    situation: str
    first: str
    second: str
    dies_at: int | None = None

    def __str__(self) -> str:
        death = "" if self.dies_at is None else f", which dies before its call {self.dies_at},"
        return f"{self.situation}: {self.first}{death} beside {self.second}"


def races() -> Iterator[Race]:
    """All pairs in all situations. Every order includes which begins, so each pair stands once."""
    names = list(USE_CASES)
    for situation in SITUATIONS:
        for place, first in enumerate(names):
            yield from (Race(situation, first, second) for second in names[place:])


@dataclass
class Tried:
    """What became of a race: in how many orders it was run, and what went wrong in which of them."""

    orders: int = 0
    failures: list[str] = field(default_factory=list)


def run(race: Race) -> Tried:
    """A race in every order, with both alive; then again with the first one dying before each of its calls."""
    tried = Tried()
    _run(race, tried)
    for first, second in {(race.first, race.second), (race.second, race.first)}:
        at, reached = 0, True
        while reached:
            reached = _run(Race(race.situation, first, second, at), tried)
            at += 1
    return tried


def _run(race: Race, tried: Tried) -> bool:
    """Returns: whether anybody has died."""
    anybody = False
    for failures, died in every_order(lambda order: repeat(race, order)):
        tried.orders += 1
        tried.failures += failures
        anybody = anybody or died
    return anybody


def repeat(race: Race, order: Order) -> tuple[list[str], bool]:
    """One race in one order. Returns: what went wrong, and whether somebody has died."""
    meeting = Meeting()
    SITUATIONS[race.situation](meeting)
    died: list[str] = []
    wrong: list[str] = []
    try:
        in_order(order, lambda timeline: _strands(race, meeting, timeline.pass_baton, died))
        meeting.rest()
        wrong += meeting.unanswered()
        if died:
            # Whoever died is called again: by Step Functions, by the queue, by the operator who got no answer.
            _attempt(race.first, meeting)
            meeting.rest()
            wrong += meeting.unanswered()
        if race.situation == HALF_WAY:
            # Neither of the two need be one that notices.
            meeting.scheduled()
            meeting.rest()
        wrong += meeting.out_of_order()
    except (StrandDied, AssertionError) as error:
        wrong.append(f"{error!r} {error.__cause__!r}")
    again = f"Repeat by tests.support.ledger_races: repeat({race!r}, Order({order.taken}))"
    return [f"{race}: {each}. {again}" for each in wrong], bool(died)


def _strands(race: Race, meeting: Meeting, pass_baton: Callable[[], None], died: list[str]) -> list[Callable[[], None]]:
    def strand(name: str, dies_at: int | None) -> Callable[[], None]:
        calls = itertools.count()

        def may_die() -> None:
            if next(calls) == dies_at:
                died.append(name)
                raise Died

        def meet() -> None:
            may_die()
            pass_baton()
            meeting.ledger.at_work = name

        return lambda: _attempt(name, _seen_by(meeting, at_the_ledger=meet, at_tasks=may_die))

    return [strand(race.first, race.dies_at), strand(race.second, None)]


def _seen_by(meeting: Meeting, *, at_the_ledger: Callable[[], None], at_tasks: Callable[[], None]) -> Meeting:
    """The same meeting for one participant, before whose calls something happens."""
    seen = copy(meeting)
    seen.fleet = copy(meeting.fleet)
    ports: dict[str, Any] = {
        "ledger": Tapped(meeting.ledger, at_the_ledger),
        "callbacks": Tapped(meeting.fleet.callbacks, at_tasks),
    }
    vars(seen.fleet).update(ports)
    return seen


def _attempt(name: str, meeting: Meeting) -> None:
    """A use case as its caller sees it. A task that waits for an answer gets it also by a step that fails."""
    try:
        USE_CASES[name](meeting)
    except KbfleetError:
        return
    except Died:
        return
    if name == "first sync":
        meeting.waiting.append("first sync")
