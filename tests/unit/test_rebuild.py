"""Rebuilds, as far as the record goes: exactly one knowledge is live at every moment, whoever writes in between."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pydantic import TypeAdapter

from kbfleet.domain import rebuild
from kbfleet.domain.comparison import Comparison, Measure
from kbfleet.domain.errors import (
    KbfleetError,
    LeaseLost,
    NothingBeside,
    TenantBusy,
    TenantNotActive,
    TenantOffboarding,
    TenantSuspended,
)
from kbfleet.domain.knowledges import Beside, RebuildPlan, Role
from kbfleet.domain.names import Knowledge
from kbfleet.domain.profiles import ProfileName, ProfileReference
from kbfleet.domain.tenant import Tenant
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.workflow import Workflow, WorkflowFailure
from tests.support.clock import START
from tests.support.samples import tenant

OFFICE = ProfileReference(ProfileName("office"), 2)
PLAN = RebuildPlan(START, "S3_VECTORS", OFFICE)
LEASE = timedelta(hours=1)
REBUILDING, PROVISIONING = "rebuild:1", "provision:1"
GOOD = Comparison(START, Measure(3), Measure(3))
WORSE = replace(GOOD, refusals=("It is worse.",))
A_DAY = timedelta(days=1)


def failure(execution: str = REBUILDING) -> WorkflowFailure:
    return WorkflowFailure(Workflow.REBUILD_TENANT, "Ensure Knowledge Base", "AccessRefused", "No.", execution, START)


def built(of: Tenant, execution: str = REBUILDING) -> Tenant:
    """Its candidate has all that it needs, and the execution waits for the ingestion."""
    view = rebuild.taken_up(of, execution, START, LEASE).seen_from_beside()
    made = replace(view, knowledge_base_id="KB00000022", data_source_id="DS00000022", knowledge_store_reference="two")
    return rebuild.released(made.as_recorded(), START)


def with_candidate() -> Tenant:
    return built(rebuild.requested(tenant(), PLAN, START))


def promoted() -> Tenant:
    return rebuild.concluded(with_candidate(), REBUILDING, 2, GOOD, START)


def beside(of: Tenant) -> Beside:
    assert of.beside is not None
    return of.beside


class TestAsSeenFromBeside:
    def test_the_two_are_exchanged_and_nothing_else_is(self) -> None:
        recorded = with_candidate()
        view = recorded.seen_from_beside()
        assert (view.live_knowledge.number, view.knowledge_base_id, view.profile) == (2, "KB00000022", OFFICE)
        assert beside(view).record == recorded.record_of_knowledge
        assert view.as_recorded() == recorded
        assert recorded.as_recorded() == recorded

    def test_what_is_written_there_is_of_the_other_one(self) -> None:
        recorded = with_candidate()
        after = replace(recorded.seen_from_beside(), drift=("Old.",)).as_recorded()
        assert beside(after).record.drift == ("Old.",)
        assert replace(after, beside=recorded.beside) == recorded

    def test_there_is_nothing_to_see_from_where_nothing_is_beside(self) -> None:
        with pytest.raises(LeaseLost):
            tenant().seen_from_beside()

    def test_documents_reach_it_from_its_data_source_on_until_it_leaves(self) -> None:
        requested = rebuild.requested(tenant(), PLAN, START)
        second = Knowledge(requested.this_life, 2)
        assert requested.seen_from(second) is None
        for synced in (with_candidate(), promoted()):
            assert [each.knowledge for each in synced.each_synced()] in ([1, 2], [2, 1])
            assert synced.seen_from(second) is not None
        leaving = rebuild.stopped(with_candidate(), START)
        assert leaving.each_synced() == (leaving,)
        assert [each.knowledge for each in leaving.each_knowledge()] == [1, 2]
        assert leaving.seen_from(second) is None


class TestRecords:
    def test_one_with_a_knowledge_beside_is_read_as_it_was_written(self) -> None:
        records = TypeAdapter(Tenant)
        for record in (with_candidate(), promoted(), rebuild.failed(with_candidate(), failure())):
            assert records.validate_python(records.dump_python(record, mode="json", exclude_none=True)) == record

    def test_one_from_before_has_nothing_beside_and_the_first_number(self) -> None:
        records = TypeAdapter(Tenant)
        written = records.dump_python(tenant(), mode="json", exclude_none=True)
        del written["last_knowledge"]
        old = records.validate_python(written)
        assert (old.beside, old.knowledge, old.last_knowledge) == (None, 1, 1)


class TestRequesting:
    def test_a_candidate_gets_the_next_number_and_the_live_one_stays(self) -> None:
        before = tenant()
        after = rebuild.requested(before, PLAN, START)
        assert beside(after).role is Role.CANDIDATE
        assert (beside(after).record.knowledge, beside(after).record.profile) == (2, OFFICE)
        assert after.record_of_knowledge == before.record_of_knowledge
        assert after.fence == before.fence + 1

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (TenantStatus.SUSPENDED, TenantSuspended),
            (TenantStatus.OFFBOARDING, TenantOffboarding),
            (TenantStatus.PROVISIONING, TenantNotActive),
        ],
    )
    def test_a_tenant_that_is_not_active_is_not_rebuilt(self, status: TenantStatus, error: type[KbfleetError]) -> None:
        with pytest.raises(error):
            rebuild.requested(tenant(status=status), PLAN, START)

    def test_a_tenant_whose_first_provisioning_has_failed_is_rebuilt_once_something_may_have_been_read(self) -> None:
        """Provisioning makes nothing in place of that."""
        failed = tenant(status=TenantStatus.FAILED)
        assert rebuild.requested(failed, PLAN, START).beside is not None
        with pytest.raises(TenantNotActive):
            rebuild.requested(replace(failed, knowledge_base_id=None, data_source_id=None), PLAN, START)

    def test_a_candidate_that_is_lost_itself_leaves_and_another_is_built(self) -> None:
        lost = rebuild.failed(with_candidate(), replace(failure(), error="KnowledgeLost"))
        after = rebuild.requested(lost, PLAN, START)
        assert (beside(after).role, beside(after).following) == (Role.LEAVING, PLAN)

    def test_a_tenant_that_is_provisioned_is_busy(self) -> None:
        with pytest.raises(TenantBusy):
            rebuild.requested(tenant().reserved_by(PROVISIONING, START, LEASE), PLAN, START)

    def test_the_same_again_is_gone_on_with_and_what_failed_is_forgotten(self) -> None:
        failing = rebuild.failed(with_candidate(), failure())
        assert beside(failing).failure is not None
        assert not rebuild.is_due(failing, START)
        again = rebuild.requested(failing, replace(PLAN, tolerance=50), START)
        assert (beside(again).failure, beside(again).keep_until, beside(again).plan.tolerance) == (None, None, 50)
        assert beside(again).record == beside(failing).record
        assert rebuild.is_due(again, START)

    def test_another_one_meanwhile_is_refused_and_says_how_to_end_this_one(self) -> None:
        with pytest.raises(TenantBusy) as refused:
            rebuild.requested(with_candidate(), replace(PLAN, knowledge_store="MANAGED"), START)
        assert "kbfleet tenant rebuild acme --stop" in refused.value.remedy

    def test_while_its_resources_are_made_it_is_joined(self) -> None:
        at_work = rebuild.taken_up(rebuild.requested(tenant(), PLAN, START), REBUILDING, START, LEASE)
        assert rebuild.requested(at_work, PLAN, START) == at_work

    def test_what_is_kept_for_a_rollback_leaves_first(self) -> None:
        after = rebuild.requested(promoted(), replace(PLAN, knowledge_store="MANAGED"), START)
        assert beside(after).role is Role.LEAVING
        taken = rebuild.taken_up(after, REBUILDING, START, LEASE)
        gone = rebuild.forgotten(rebuild.deleted(taken), START)
        assert (beside(gone).role, beside(gone).record.knowledge) == (Role.CANDIDATE, 3)
        assert (beside(gone).holder, gone.lease is not None) == (REBUILDING, True)


class TestTheExchange:
    def test_a_promotion_makes_the_candidate_live_and_keeps_the_other(self) -> None:
        before, after = with_candidate(), promoted()
        assert after.record_of_knowledge == beside(before).record
        assert beside(after).record == before.record_of_knowledge
        assert (beside(after).role, beside(after).keep_until) == (Role.RETIRED, START + A_DAY)
        assert (after.askable(), after.status) == ("KB00000022", TenantStatus.ACTIVE)
        assert not beside(after).told

    def test_a_promotion_that_is_repeated_changes_nothing(self) -> None:
        assert rebuild.concluded(promoted(), REBUILDING, 2, WORSE, START + A_DAY) == promoted()

    @pytest.mark.parametrize(("plan", "comparison"), [(PLAN, WORSE), (replace(PLAN, compare_only=True), GOOD)])
    def test_what_is_worse_or_only_to_be_compared_is_kept_for_a_while(
        self, plan: RebuildPlan, comparison: Comparison
    ) -> None:
        candidate = built(rebuild.requested(tenant(), plan, START))
        after = rebuild.concluded(candidate, REBUILDING, 2, comparison, START)
        assert (after.knowledge, beside(after).role) == (1, Role.CANDIDATE)
        assert (beside(after).comparison, beside(after).keep_until) == (comparison, START + A_DAY)
        assert not rebuild.is_due(after, START)
        assert rebuild.is_due(after, START + A_DAY)

    def test_a_rollback_is_taken_back_by_another(self) -> None:
        back = rebuild.rolled_back(promoted(), 1, START + A_DAY / 2)
        assert (back.knowledge, beside(back).record.knowledge, beside(back).role) == (1, 2, Role.RETIRED)
        assert beside(back).keep_until == START + A_DAY * 1.5
        assert rebuild.rolled_back(back, 1, START) == back
        assert rebuild.rolled_back(back, 2, START).knowledge == 2

    def test_nobody_is_sent_back_to_what_was_lost_and_it_is_not_kept(self) -> None:
        after = rebuild.concluded(with_candidate(), REBUILDING, 2, replace(GOOD, live=None), START)
        assert (after.knowledge, beside(after).keep_until) == (2, START)
        assert rebuild.is_due(after, START)
        with pytest.raises(NothingBeside, match="Knowledge 1 of tenant acme was lost before 2 took its place"):
            rebuild.rolled_back(after, 1, START)

    @pytest.mark.parametrize("number", [2, 3])
    def test_nothing_else_can_be_rolled_back_to(self, number: int) -> None:
        with pytest.raises(NothingBeside):
            rebuild.rolled_back(with_candidate(), number, START)

    def test_it_waits_for_whoever_has_the_tenant(self) -> None:
        provisioned = with_candidate().reserved_by(PROVISIONING, START, LEASE)
        with pytest.raises(TenantBusy):
            rebuild.concluded(provisioned, REBUILDING, 2, GOOD, START)
        with pytest.raises(TenantBusy):
            rebuild.rolled_back(promoted().reserved_by(PROVISIONING, START, LEASE), 1, START)

    def test_only_the_execution_that_builds_it_ends_it(self) -> None:
        with pytest.raises(LeaseLost):
            rebuild.concluded(with_candidate(), "rebuild:0", 2, GOOD, START)
        with pytest.raises(LeaseLost):
            rebuild.concluded(rebuild.stopped(with_candidate(), START), REBUILDING, 2, GOOD, START)
        with pytest.raises(LeaseLost):
            rebuild.concluded(with_candidate().suspended(START), REBUILDING, 2, GOOD, START)


class TestLeaving:
    def test_nothing_that_was_live_is_deleted_while_somebody_may_remember_it(self) -> None:
        for remembered in (timedelta(0), timedelta(minutes=5)):
            leaving = beside(rebuild.taken_up(promoted(), REBUILDING, START + A_DAY, LEASE))
            from_then = rebuild.deletable_from(leaving, remembered)
            assert from_then == START + A_DAY + remembered + rebuild.STILL_ANSWERED
        stopped = beside(rebuild.stopped(with_candidate(), START))
        assert rebuild.deletable_from(stopped, timedelta(minutes=5)) is None

    def test_it_is_due_when_it_was_kept_for_long_enough(self) -> None:
        kept = promoted()
        with pytest.raises(LeaseLost):
            rebuild.taken_up(kept, REBUILDING, START, LEASE)
        leaving = rebuild.taken_up(kept, REBUILDING, START + A_DAY, LEASE)
        assert beside(leaving).role is Role.LEAVING
        assert beside(leaving).answered_until == START

    def test_what_leaves_cannot_become_live(self) -> None:
        leaving = rebuild.taken_up(promoted(), REBUILDING, START + A_DAY, LEASE)
        with pytest.raises(NothingBeside):
            rebuild.rolled_back(rebuild.released(leaving, START), 1, START)

    def test_it_is_forgotten_and_its_number_is_never_given_again(self) -> None:
        leaving = rebuild.taken_up(rebuild.stopped(with_candidate(), START), REBUILDING, START, LEASE)
        gone = rebuild.forgotten(rebuild.deleted(leaving), START)
        assert (gone.beside, gone.lease) == (None, None)
        assert beside(rebuild.requested(gone, PLAN, START)).record.knowledge == 3

    def test_a_deletion_that_failed_waits_until_somebody_says_so_again(self) -> None:
        leaving = rebuild.taken_up(rebuild.stopped(with_candidate(), START), REBUILDING, START, LEASE)
        failing = rebuild.failed(leaving, failure())
        assert (failing.lease, rebuild.is_due(failing, START + A_DAY)) == (None, False)
        assert rebuild.is_due(rebuild.stopped(failing, START), START)

    def test_nothing_is_stopped_where_nothing_is_built(self) -> None:
        for settled in (tenant(), promoted()):
            with pytest.raises(NothingBeside):
                rebuild.stopped(settled, START)


class TestGivingWay:
    def test_the_lease_of_a_rebuild_keeps_nobody_from_taking_the_tenant_out_of_service(self) -> None:
        at_work = rebuild.taken_up(rebuild.requested(tenant(), PLAN, START), REBUILDING, START, LEASE)
        for taken in (
            at_work.suspended(START),
            at_work.offboarding_requested(START, retention=A_DAY),
            rebuild.stopped(at_work, START),
        ):
            with pytest.raises(LeaseLost):
                taken.held_under(at_work.fence)
        with pytest.raises(TenantBusy):
            at_work.reserved_by(PROVISIONING, START, LEASE)

    def test_a_suspended_tenants_candidate_waits_in_its_record(self) -> None:
        suspended = with_candidate().suspended(START)
        assert not rebuild.is_due(suspended, START)
        with pytest.raises(LeaseLost):
            rebuild.taken_up(suspended, "rebuild:2", START, LEASE)
        assert rebuild.is_due(suspended.resumed(START), START)


class Life(RuleBasedStateMachine):
    """Executions of both kinds, operators and rounds, in any order; each may come late with what it was started for."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.record = tenant()
        self.numbers = {1}
        self.left: set[int] = set()
        self.executions = 0

    def attempt(self, change: object) -> None:
        try:
            self.record = change()  # type: ignore[operator]
        except KbfleetError:
            return

    @rule(
        keep=st.sampled_from([timedelta(0), A_DAY]),
        store=st.sampled_from(["S3_VECTORS", "MANAGED"]),
        compare_only=st.booleans(),
    )
    def request(self, keep: timedelta, store: str, compare_only: bool) -> None:
        plan = RebuildPlan(self.now, store, OFFICE, keep, compare_only=compare_only)
        self.attempt(lambda: rebuild.requested(self.record, plan, self.now))

    @rule()
    def take_up(self) -> None:
        self.executions += 1
        self.attempt(lambda: rebuild.taken_up(self.record, f"rebuild:{self.executions}", self.now, LEASE))

    @rule()
    def make_resources(self) -> None:
        record = self.record
        if record.beside is None or record.lease is None or record.lease.holder != record.beside.holder:
            return
        if record.beside.role is Role.CANDIDATE:
            number = record.beside.record.knowledge
            view = record.seen_from_beside()
            made = replace(view, knowledge_base_id=f"KB{number}", data_source_id=f"DS{number}")
            self.record = made.as_recorded()

    @rule(good=st.booleans())
    def run_to_its_end(self, good: bool) -> None:
        self.take_up()
        self.make_resources()
        self.release(0)
        if self.record.beside is not None:
            self.conclude(0, self.record.beside.record.knowledge, good)
            self.forget()

    @rule()
    def let_go(self) -> None:
        """What is kept is over, or given up, and deleted."""
        self.stop()
        self.pass_time(30)
        self.take_up()
        self.forget()

    @rule(late=st.integers(0, 2))
    def release(self, late: int) -> None:
        record = self.record
        building = record.beside is not None and record.beside.role is Role.CANDIDATE
        if building and record.lease is not None and record.lease.holder == f"rebuild:{self.executions - late}":
            self.record = rebuild.released(record, self.now)

    @rule(late=st.integers(0, 2), number=st.integers(1, 6), good=st.booleans())
    def conclude(self, late: int, number: int, good: bool) -> None:
        record = self.record
        complete = record.beside is not None and record.beside.record.data_source_id is not None
        if complete or record.knowledge == number:
            execution = f"rebuild:{self.executions - late}"
            comparison = GOOD if good else WORSE
            self.attempt(lambda: rebuild.concluded(record, execution, number, comparison, self.now))

    @rule(number=st.integers(1, 6))
    def roll_back(self, number: int) -> None:
        self.attempt(lambda: rebuild.rolled_back(self.record, number, self.now))

    @rule()
    def stop(self) -> None:
        self.attempt(lambda: rebuild.stopped(self.record, self.now))

    @rule()
    def forget(self) -> None:
        record = self.record
        if record.beside is None or record.lease is None or record.lease.holder != record.beside.holder:
            return
        if record.beside.role is not Role.LEAVING:
            return
        self.left.add(record.beside.record.knowledge)
        self.attempt(lambda: rebuild.forgotten(rebuild.deleted(record), self.now))

    @rule(late=st.integers(0, 2))
    def fail(self, late: int) -> None:
        self.record = rebuild.failed(self.record, failure(f"rebuild:{self.executions - late}"))

    @rule()
    def provision(self) -> None:
        self.attempt(lambda: self.record.reserved_by(PROVISIONING, self.now, LEASE))

    @precondition(lambda self: self.record.lease is not None and self.record.lease.holder == PROVISIONING)
    @rule()
    def converge(self) -> None:
        self.record = self.record.converged("3", self.now)

    @rule()
    def suspend(self) -> None:
        self.attempt(lambda: self.record.suspended(self.now))

    @rule()
    def offboard(self) -> None:
        self.attempt(lambda: self.record.offboarding_requested(self.now, retention=A_DAY))

    @rule()
    def resume(self) -> None:
        self.attempt(lambda: self.record.resumed(self.now))

    @rule(hours=st.integers(1, 30))
    def pass_time(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @invariant()
    def exactly_one_is_live(self) -> None:
        record = self.record
        assert not record.is_seen_from_beside
        assert record.knowledge_base_id is not None
        assert record.data_source_id is not None
        assert record.knowledge not in self.left
        if record.beside is not None:
            other = record.beside.record
            assert other.knowledge != record.knowledge
            assert other.knowledge_base_id != record.knowledge_base_id
            assert record.beside.role is not Role.RETIRED or other.data_source_id is not None
            assert record.as_recorded() == record == record.seen_from_beside().as_recorded()

    @invariant()
    def numbers_are_given_once(self) -> None:
        record = self.record
        there = {record.knowledge} | ({record.beside.record.knowledge} if record.beside is not None else set())
        assert not there & self.left
        new = there - self.numbers
        assert all(number > max(self.numbers) for number in new)
        self.numbers |= new
        assert record.last_knowledge >= max(self.numbers)


Life.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyOrder = Life.TestCase
