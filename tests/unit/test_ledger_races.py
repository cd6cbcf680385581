"""Use cases that meet at one entry of the ledger: those that have lost a waiter or a request before. `make prove` tries
all pairs."""

from __future__ import annotations

import pytest

from kbfleet.domain.errors import LeaseLost
from kbfleet.domain.sync import Priority, Sync, SyncState
from kbfleet.usecases.ingestion import update_sync
from tests.support.fakes import FailedTask, SucceededTask
from tests.support.interleavings import Order, every_order, in_order
from tests.support.ledger_races import Meeting, Race, run
from tests.support.samples import ACME, first_knowledge
from tests.support.virtual_time import Timeline


@pytest.mark.parametrize(
    "race",
    [
        Race("at rest", "stop", "first sync"),
        Race("at rest", "suspend", "first sync"),
        Race("queued", "request offboarding", "first sync"),
        Race("resumed half way", "suspend", "first sync"),
        Race("resumed half way", "request", "note changes"),
        Race("suspended", "suspend", "resume"),
        Race("in retention", "resume", "request offboarding"),
        Race("ended", "stop", "tick"),
        Race("ended", "first sync", "tick"),
        Race("queued", "look", "first sync"),
        Race("running", "look", "tick"),
    ],
    ids=str,
)
def test_nobody_waits_in_vain_and_nothing_requested_is_lost(race: Race) -> None:
    tried = run(race)
    assert tried.failures == []
    assert tried.orders > 20


class TestWhoeverIsTakenOffTheList:
    def test_must_be_reported(self) -> None:
        meeting = Meeting()
        meeting.joined()
        with pytest.raises(RuntimeError, match="must be answered"):
            update_sync(first_knowledge(ACME), Sync.called_off, ledger=meeting.ledger)
        assert meeting.ledger.find(first_knowledge(ACME)).waiters

    def test_is_reported_before_the_list_is_written(self) -> None:
        meeting = Meeting()
        meeting.joined()
        meeting.ledger.save = None  # type: ignore[assignment, method-assign]  # the process does not come that far
        with pytest.raises(TypeError):
            meeting.fleet.stop_sync(ACME)
        assert isinstance(meeting.fleet.callbacks.answer("token-0"), FailedTask)
        assert meeting.ledger.find(first_knowledge(ACME)).waiters


class TestAFirstSync:
    def test_is_not_waited_for_where_none_can_come(self) -> None:
        meeting = Meeting()
        meeting.reserved()
        record = meeting.record
        meeting.ledger.save(Sync(ACME).put_on_hold(record.fence + 1))
        with pytest.raises(LeaseLost, match="somebody else"):
            meeting.first_sync()
        assert not meeting.ledger.find(first_knowledge(ACME)).waiters

    def test_comes_although_whoever_resumed_the_tenant_died_half_way(self) -> None:
        meeting = Meeting()
        meeting.ledger.save(Sync(ACME).requested(meeting.fleet.clock.now(), Priority.CHANGED).put_on_hold(1))
        meeting.reserved()
        meeting.first_sync()
        meeting.rest()
        assert isinstance(meeting.fleet.callbacks.answer("first sync"), SucceededTask)


def test_what_was_resumed_half_way_is_taken_off_hold_by_the_next_request() -> None:
    meeting = Meeting()
    meeting.fleet.suspend(ACME)
    record = meeting.record
    meeting.fleet.registry.replace(record.resumed(meeting.fleet.clock.now()), fence=record.fence)
    meeting.fleet.request(ACME)
    assert meeting.ledger.find(first_knowledge(ACME)).state is SyncState.QUEUED


def test_every_order_is_tried_once() -> None:
    def run_in(order: Order) -> str:
        reported: list[str] = []

        def work(timeline: Timeline) -> list[object]:
            def strand(name: str) -> object:
                def say() -> None:
                    for number in range(3):
                        timeline.pass_baton()
                        reported.append(f"{name}{number}")

                return say

            return [strand("a"), strand("b")]

        in_order(order, work)  # type: ignore[arg-type]
        return "".join(reported)

    found = list(every_order(run_in))
    assert len(set(found)) == 20  # of six calls, which three are whose
