"""Rebuilds with the ports of a fleet: documents reach both knowledges, the better one answers, and nothing is left."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from unittest.mock import patch

import pytest

from kbfleet.domain.answer import AskableTenant, Inquiry, Source
from kbfleet.domain.errors import (
    CandidateNotIngested,
    CapacityExceeded,
    DataSourceFailed,
    ErasureIncomplete,
    KnowledgeStoreNotOffered,
    LeaseLost,
    NothingBeside,
    NotReadyYet,
    ProfileNotFound,
    TenantBusy,
    TenantNotActive,
    TenantSuspended,
)
from kbfleet.domain.finding import Disagreement, Finding, ResourceKind
from kbfleet.domain.harm import Harm
from kbfleet.domain.ingestion_job import JobStatus, Statistics
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.knowledges import Role
from kbfleet.domain.names import Knowledge, Life, TenantId
from kbfleet.domain.profiles import (
    Answering,
    Chunking,
    ChunkingKind,
    Embedding,
    Ingestion,
    Profile,
    ProfileName,
    ProfileReference,
)
from kbfleet.domain.questions import GoldenQuestion, QuestionId, QuestionSet
from kbfleet.domain.rebuild import STILL_ANSWERED, RebuildOutcome
from kbfleet.domain.sync import SyncState
from kbfleet.domain.tenant import ProvisioningRequest, Reservation
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.workflow import Workflow, WorkflowFailure
from kbfleet.ports import ComparedPage, Execution
from kbfleet.usecases import provisioning
from kbfleet.usecases.rebuilding import INGESTED_WITHIN
from kbfleet.usecases.reservations import announce_status, held, keep
from kbfleet.usecases.service_roles import service_role_of
from tests.support.fakes import JobCourse
from tests.support.fleet import LEASE, Fleet
from tests.support.rebuilding import REMEMBERED, Rebuilding
from tests.support.samples import ACME, NAMES
from tests.unit.test_offboarding import Offboarding
from tests.unit.test_reconciliation import look

FIRST, SECOND, THIRD = (Knowledge(Life(ACME), number) for number in (1, 2, 3))
OFFICE = ProfileReference(ProfileName("office"), 1)
A_DAY = timedelta(days=1)


def office(model: str = "amazon.titan-embed-text-v2:0") -> Profile:
    ingestion = Ingestion("S3_VECTORS", Embedding(model, 512), chunking=Chunking(ChunkingKind.FIXED_SIZE, 200, 10))
    return Profile(OFFICE.name, OFFICE.version, ingestion, Answering("us.amazon.nova-lite-v1:0"))


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


@pytest.fixture
def run(fleet: Fleet) -> Rebuilding:
    """Of an active tenant that answers from three documents."""
    fleet.profile_records.add(office())
    fleet.profile_records.enlist(OFFICE.name)
    index = fleet.store.ensure(FIRST)
    source = fleet.add(ACME)
    fleet.knowledge_bases.plan(source.knowledge_base_id, *[found(3)] * 10)
    made = fleet.registry.get(ACME)
    described = fleet.knowledge_bases.data_source(source)
    assert described is not None
    fleet.registry.replace(
        replace(
            made,
            knowledge_store_reference=index,
            knowledge_base_alone=True,
            index_made_at=fleet.clock.now(),
            data_source_made_at=described.created_at,
        ),
        fence=made.fence,
    )
    fleet.request(ACME)
    fleet.tick_until_idle()
    return Rebuilding(fleet, [found(3)] * 10)


def found(documents: int) -> JobCourse:
    return JobCourse(statistics=Statistics(scanned=documents, new=documents))


def failure(execution: Execution) -> WorkflowFailure:
    at = Fleet().clock.now()
    return WorkflowFailure(Workflow.REBUILD_TENANT, "Ensure Knowledge Base", "AccessRefused", "No.", execution.arn, at)


class TestTheWhole:
    def test_a_better_knowledge_takes_the_place_of_the_live_one_and_that_is_kept_and_goes(
        self, run: Rebuilding, fleet: Fleet
    ) -> None:
        before = run.record
        promoted = run.run(run.request(OFFICE))
        assert (promoted.knowledge, promoted.profile) == (2, OFFICE)
        assert promoted.askable() != before.askable()
        assert (run.beside.role, run.beside.record) == (Role.RETIRED, before.record_of_knowledge)
        assert [each.outcome for each in fleet.announcements.rebuilds] == [RebuildOutcome.PROMOTED]
        assert run.round().started == ()
        fleet.clock.advance(A_DAY.total_seconds())
        assert run.round().started == (ACME,)
        after = run.run(_last(run))
        assert (after.knowledge, after.beside, after.lease) == (2, None, None)
        assert fleet.knowledge_bases.get(str(before.knowledge_base_id)) is None
        assert fleet.store.find(FIRST) is None
        assert fleet.store.find(SECOND) is not None

    def test_the_tenant_is_asked_all_the_while(self, run: Rebuilding, fleet: Fleet) -> None:
        execution = run.request(OFFICE)
        first = run.record.askable()
        number = run.build(execution)
        assert run.record.askable() == first
        promoted = run.finish(number, execution)
        assert promoted.askable() != first
        assert fleet.announcements.tenant_state_changes == []

    def test_the_candidate_is_made_by_its_own_profile_and_the_live_one_stays_as_it_is(
        self, run: Rebuilding, fleet: Fleet
    ) -> None:
        live = fleet.knowledge_bases.data_source(run.record.data_source())
        run.build(run.request(OFFICE))
        made = fleet.knowledge_bases.data_source(run.record.seen_from_beside().data_source())
        assert made is not None
        assert made.ingestion["chunkingConfiguration"]["chunkingStrategy"] == "FIXED_SIZE"  # type: ignore[index]
        assert fleet.knowledge_bases.data_source(run.record.data_source()) == live


def _last(run: Rebuilding) -> Execution:
    name = list(run.executions.requests)[-1]
    return run.executions.describe(name)


class TestRequesting:
    def test_the_same_again_joins_the_execution_that_builds_it(self, run: Rebuilding) -> None:
        execution = run.request(OFFICE)
        run.build(execution)
        assert run.request(OFFICE) == execution

    def test_two_that_are_started_at_once_do_no_harm(self, run: Rebuilding) -> None:
        first = run.request(OFFICE)
        run.fleet.clock.advance(1)
        second = run.request(OFFICE)
        run.build(first)
        with pytest.raises(LeaseLost):
            run.reserve(second)

    def test_a_profile_that_there_is_not_is_refused_before_anything_is_written(self, run: Rebuilding) -> None:
        before = run.record
        with pytest.raises(ProfileNotFound):
            run.request(ProfileReference(ProfileName("other"), 1))
        run.fleet.profile_records.add(replace(office(), version=2, ingestion=Ingestion("MANAGED")))
        with pytest.raises(KnowledgeStoreNotOffered):
            run.request(ProfileReference(OFFICE.name, 2))
        assert run.record == before
        assert run.request(OFFICE).status == "RUNNING"

    def test_without_a_profile_it_is_built_by_the_tenants_own(self, run: Rebuilding) -> None:
        run.request()
        assert run.beside.record.profile == run.record.profile

    def test_a_suspended_tenant_is_not_rebuilt(self, run: Rebuilding, fleet: Fleet) -> None:
        fleet.suspend(ACME)
        with pytest.raises(TenantSuspended):
            run.request(OFFICE)

    def test_an_execution_waits_for_whoever_provisions_the_tenant(self, run: Rebuilding, fleet: Fleet) -> None:
        execution = run.request(OFFICE)
        other = fleet.executions.start("acme-provisioning", {})
        record = run.record
        fleet.registry.replace(record.reserved_by(other.arn, fleet.clock.now(), LEASE), fence=record.fence)
        with pytest.raises(NotReadyYet):
            run.reserve(execution)
        fleet.executions.progress("acme-provisioning", status="ABORTED")
        assert run.reserve(execution).knowledge == 2

    def test_who_provisions_a_tenant_whose_candidate_is_being_made_is_told_to_wait_some_minutes(
        self, run: Rebuilding, fleet: Fleet
    ) -> None:
        execution = run.request(OFFICE)
        reservation = run.reserve(execution)
        with pytest.raises(TenantBusy, match="some minutes"):
            _provision(fleet)
        run.build_under(reservation, execution)
        assert _provision(fleet).status == "RUNNING"

    def test_a_tenant_whose_provisioning_has_failed_before_anything_was_read_is_rebuilt_once_it_is_active(
        self, run: Rebuilding, fleet: Fleet
    ) -> None:
        record = run.record
        nothing = replace(record, status=TenantStatus.FAILED, knowledge_base_id=None, data_source_id=None)
        fleet.registry.replace(nothing, fence=record.fence)
        with pytest.raises(TenantNotActive, match="tenant add acme"):
            run.request(OFFICE)
        record = run.record
        fleet.registry.replace(record.converged("3", fleet.clock.now()), fence=record.fence)
        assert run.request(OFFICE).status == "RUNNING"

    def test_another_candidate_is_built_once_the_first_is_stopped(self, run: Rebuilding, fleet: Fleet) -> None:
        execution = run.request(OFFICE)
        run.build(execution)
        with pytest.raises(TenantBusy, match="--stop"):
            run.request()
        run.executions.progress(execution.name, status="SUCCEEDED")
        fleet.clock.advance(60)
        run.run(run.stop())
        fleet.clock.advance(60)
        assert run.run(run.request()).knowledge == 3

    def test_who_has_a_data_source_read_another_bucket_is_found_before_anything_is_ingested(
        self, run: Rebuilding, fleet: Fleet
    ) -> None:
        execution = run.request(OFFICE)
        reservation = run.reserve(execution)
        run.make_resources(reservation)
        fleet.ledger.save(fleet.ledger.find(SECOND).not_to_be_trusted())
        with pytest.raises(DataSourceFailed, match="rebuild the tenant again"):
            run.begin_sync(reservation, execution)
        # Ensure Data Source has put it right.
        fleet.ledger.save(fleet.ledger.find(SECOND).trusted_again(fleet.clock.now()))
        run.begin_sync(reservation, execution)
        assert fleet.ledger.find(SECOND).state is SyncState.QUEUED


def _provision(fleet: Fleet, profile: ProfileReference | None = None) -> Execution:
    return provisioning.start_provisioning(
        ProvisioningRequest(ACME, profile=profile),
        registry=fleet.registry,
        executions=fleet.executions,
        stores=fleet.stores,
        clock=fleet.clock,
        profiles=fleet.profiles,
    )


BRAVO, CHARLIE, DELTA = (TenantId(name) for name in ("bravo", "charlie", "delta"))


class TestRoom:
    """Of the hundred knowledge bases of the account."""

    @pytest.fixture
    def others(self, run: Rebuilding, fleet: Fleet) -> dict[TenantId, Rebuilding]:
        """Three more tenants, each answering from three documents."""
        made = {tenant_id: Rebuilding(fleet, [found(3)] * 10, tenant_id) for tenant_id in (BRAVO, CHARLIE, DELTA)}
        for tenant_id in made:
            index = fleet.store.ensure(Knowledge(Life(tenant_id), 1))
            source = fleet.add(tenant_id)
            fleet.knowledge_bases.plan(source.knowledge_base_id, *[found(3)] * 10)
            record = fleet.registry.get(tenant_id)
            changed = replace(record, knowledge_store_reference=index, knowledge_base_alone=True)
            fleet.registry.replace(changed, fence=record.fence)
            fleet.request(tenant_id)
            fleet.tick_until_idle()
        return made

    def leave(self, fleet: Fleet, free: int) -> None:
        """So many knowledge bases are left."""
        kind = KnowledgeBaseKind.VECTOR
        for number in range(kind.quota - free - fleet.knowledge_bases.count(kind)):
            configuration = fleet.store.knowledge_base_configuration(f"index-{number}")
            fleet.knowledge_bases.create(
                f"somebodys-{number}", role_arn="", configuration=configuration, tags={}, client_token=f"s-{number}"
            )

    def promoted(self, run: Rebuilding) -> None:
        run.run(run.request(OFFICE))
        run.fleet.clock.advance(60)

    def test_candidates_take_all_that_is_left(self, run: Rebuilding, fleet: Fleet) -> None:
        self.leave(fleet, 1)
        assert run.run(run.request(OFFICE)).knowledge == 2

    def test_where_nothing_can_leave_it_is_refused_and_says_why(self, run: Rebuilding, fleet: Fleet) -> None:
        self.leave(fleet, 0)
        with pytest.raises(CapacityExceeded, match=r"100 of 100 knowledge bases of type VECTOR.*acme.*MANAGED"):
            run.reserve(run.request(OFFICE))

    def test_who_waits_has_no_lease_and_whoever_asks_again_joins_it(
        self, run: Rebuilding, fleet: Fleet, others: dict[TenantId, Rebuilding]
    ) -> None:
        self.leave(fleet, 1)
        first = others[BRAVO].request(OFFICE)
        fleet.clock.advance(1)
        others[BRAVO].reserve(first)
        execution = run.request(OFFICE)
        before = run.record.fence
        for _ in range(3):
            with pytest.raises(NotReadyYet, match="no room yet"):
                run.reserve(execution)
        assert (run.record.lease, run.beside.holder) == (None, execution.arn)
        assert run.record.fence == before + 2  # written once
        assert run.request(OFFICE).name == execution.name
        assert not run.round().started

    def test_they_come_in_the_order_in_which_they_were_asked_for(
        self, run: Rebuilding, fleet: Fleet, others: dict[TenantId, Rebuilding]
    ) -> None:
        self.leave(fleet, 1)
        first = others[BRAVO].request(OFFICE)
        fleet.clock.advance(1)
        second = run.request(OFFICE)
        with pytest.raises(NotReadyYet):
            run.reserve(second)
        assert others[BRAVO].reserve(first).builds

    def test_one_that_was_let_in_comes_before_one_that_was_asked_for_earlier(
        self, run: Rebuilding, fleet: Fleet, others: dict[TenantId, Rebuilding]
    ) -> None:
        self.leave(fleet, 1)
        earlier = run.request(OFFICE)
        asked = run.record
        fleet.clock.advance(1)
        later = others[BRAVO].request(OFFICE)
        # Its own record does not show in the list yet.
        fleet.registry.replace(replace(asked, beside=None), fence=asked.fence)
        others[BRAVO].reserve(later)
        gone = run.record
        fleet.registry.replace(replace(asked, fence=gone.fence), fence=gone.fence)
        with pytest.raises(NotReadyYet):
            run.reserve(earlier)

    def test_what_was_kept_the_longest_leaves_for_it_and_nothing_else(
        self, run: Rebuilding, fleet: Fleet, others: dict[TenantId, Rebuilding]
    ) -> None:
        for tenant_id in (CHARLIE, BRAVO):
            self.promoted(others[tenant_id])
        self.leave(fleet, 0)
        execution = run.request(OFFICE)
        for _ in range(2):
            with pytest.raises(NotReadyYet):
                run.reserve(execution)
        roles = [others[tenant_id].beside.role for tenant_id in (CHARLIE, BRAVO)]
        assert roles == [Role.LEAVING, Role.RETIRED]
        started = [each for each in run.executions.requests if each.startswith("charlie")]
        others[CHARLIE].run(run.executions.describe(started[-1]))
        assert others[CHARLIE].record.beside is None
        assert run.reserve(execution).builds

    def test_what_leaves_while_knowledge_bases_are_counted_leaves_hope(
        self, run: Rebuilding, fleet: Fleet, others: dict[TenantId, Rebuilding]
    ) -> None:
        self.promoted(others[BRAVO])
        self.leave(fleet, 0)
        execution = run.request(OFFICE)
        with pytest.raises(NotReadyYet):
            run.reserve(execution)
        count = fleet.knowledge_bases.count

        def count_slowly(kind: KnowledgeBaseKind) -> int:
            counted = count(kind)
            started = [each for each in run.executions.requests if each.startswith(BRAVO)]
            others[BRAVO].run(run.executions.describe(started[-1]))
            return counted

        with patch.object(fleet.knowledge_bases, "count", count_slowly), pytest.raises(NotReadyYet):
            run.reserve(execution)
        assert others[BRAVO].record.beside is None
        assert run.reserve(execution).builds

    def test_a_candidate_that_was_compared_leaves_too(
        self, run: Rebuilding, fleet: Fleet, others: dict[TenantId, Rebuilding]
    ) -> None:
        others[BRAVO].run(others[BRAVO].request(OFFICE, compare_only=True))
        self.leave(fleet, 0)
        fleet.clock.advance(1)
        with pytest.raises(NotReadyYet):
            run.reserve(run.request(OFFICE))
        assert others[BRAVO].beside.role is Role.LEAVING

    def test_one_leaves_for_each_that_waits(
        self, run: Rebuilding, fleet: Fleet, others: dict[TenantId, Rebuilding]
    ) -> None:
        for tenant_id in (CHARLIE, BRAVO):
            self.promoted(others[tenant_id])
        self.leave(fleet, 0)
        for waiting in (run, others[DELTA]):
            with pytest.raises(NotReadyYet):
                waiting.reserve(waiting.request(OFFICE))
            fleet.clock.advance(1)
        assert {others[tenant_id].beside.role for tenant_id in (CHARLIE, BRAVO)} == {Role.LEAVING}

    def test_a_knowledge_base_whose_maker_died_before_the_record_said_so_is_gone_on_with(
        self, run: Rebuilding, fleet: Fleet
    ) -> None:
        execution = run.request(OFFICE)
        run.build(execution)
        record = run.record
        assert record.beside is not None
        lost = replace(record.beside, record=replace(record.beside.record, knowledge_base_id=None))
        fleet.registry.replace(replace(record, beside=lost), fence=record.fence)
        self.leave(fleet, 0)
        assert run.reserve(execution).builds


class TestSeenFromBeside:
    def test_what_a_step_writes_is_of_the_candidate(self, run: Rebuilding, fleet: Fleet) -> None:
        reservation = run.reserve(run.request(OFFICE))
        before = run.record
        seen = held(reservation, fleet.registry)
        keep(seen, replace(seen, drift=("Old.",)), registry=fleet.registry, clock=fleet.clock)
        assert run.beside.record.drift == ("Old.",)
        assert run.record.record_of_knowledge == before.record_of_knowledge

    def test_a_status_that_is_announced_from_there_leaves_the_live_one_live(
        self, run: Rebuilding, fleet: Fleet
    ) -> None:
        reservation = run.reserve(run.request(OFFICE))
        record = run.record
        fleet.registry.replace(replace(record, announced=False), fence=record.fence)
        announce_status(held(reservation, fleet.registry), registry=fleet.registry, announcements=fleet.announcements)
        assert (run.record.knowledge, run.record.announced) == (1, True)

    def test_nobody_can_store_the_record_as_it_is_seen(self, run: Rebuilding, fleet: Fleet) -> None:
        run.reserve(run.request(OFFICE))
        with pytest.raises(RuntimeError):
            fleet.registry.replace(run.record.seen_from_beside(), fence=run.record.fence)

    def test_whoever_is_late_finds_another_number_there(self, run: Rebuilding, fleet: Fleet) -> None:
        reservation = run.reserve(run.request(OFFICE))
        late = Reservation(ACME, reservation.fence, knowledge=5)
        with pytest.raises(LeaseLost):
            held(late, fleet.registry)


class TestDocuments:
    @pytest.fixture
    def waiting(self, run: Rebuilding) -> Rebuilding:
        """For the ingestion of its candidate."""
        run.build(run.request(OFFICE))
        return run

    def test_changes_reach_both(self, waiting: Rebuilding, fleet: Fleet) -> None:
        generations = [fleet.ledger.find(each).requested_generation for each in (FIRST, SECOND)]
        fleet.note_changes(ACME)
        after = [fleet.ledger.find(each).requested_generation for each in (FIRST, SECOND)]
        assert after == [generation + 1 for generation in generations]
        fleet.tick_until_idle()
        assert not any(fleet.ledger.find(each).pending_changes for each in (FIRST, SECOND))

    def test_each_is_read_by_its_own_data_source(self, waiting: Rebuilding, fleet: Fleet) -> None:
        before = set(fleet.knowledge_bases.jobs)
        fleet.note_changes(ACME)
        fleet.tick_until_idle()
        read = {job.data_source for name, job in fleet.knowledge_bases.jobs.items() if name not in before}
        assert read == {waiting.record.data_source(), waiting.record.seen_from_beside().data_source()}
        told = {(each.knowledge, each.beside) for each in fleet.announcements.job_state_changes}
        assert told == {(1, False), (2, True)}

    def test_a_request_reaches_both(self, waiting: Rebuilding, fleet: Fleet) -> None:
        fleet.tick_until_idle()
        fleet.request(ACME)
        assert {fleet.ledger.find(each).state for each in (FIRST, SECOND)} == {SyncState.QUEUED}

    def test_a_suspension_holds_both_and_stops_both_jobs(self, waiting: Rebuilding, fleet: Fleet) -> None:
        fleet.note_changes(ACME)
        while not all(fleet.ledger.find(each).job for each in (FIRST, SECOND)):
            fleet.clock.advance(5)
            fleet.tick()
        fleet.suspend(ACME)
        assert all(fleet.ledger.find(each).on_hold for each in (FIRST, SECOND))
        assert all(job.stopped_at is not None for job in list(fleet.knowledge_bases.jobs.values())[-2:])
        fleet.resume(ACME)
        assert not any(fleet.ledger.find(each).on_hold for each in (FIRST, SECOND))

    def test_what_leaves_is_not_brought_up_to_date_any_more(self, waiting: Rebuilding, fleet: Fleet) -> None:
        waiting.stop()
        before = fleet.ledger.find(SECOND).requested_generation
        fleet.note_changes(ACME)
        assert fleet.ledger.find(SECOND).requested_generation == before

    def test_an_entry_that_is_left_over_is_laid_to_rest_by_a_tick(self, waiting: Rebuilding, fleet: Fleet) -> None:
        assert fleet.ledger.find(SECOND).state is SyncState.QUEUED
        waiting.stop()
        fleet.tick_until_idle()
        entry = fleet.ledger.find(SECOND)
        assert (entry.state, entry.job) == (SyncState.IDLE, None)
        assert {job.data_source for job in fleet.knowledge_bases.jobs.values()} == {waiting.record.data_source()}

    def test_documents_that_the_candidate_cannot_read_are_not_the_tenants(
        self, waiting: Rebuilding, fleet: Fleet
    ) -> None:
        fleet.tick_until_idle()
        (job, *_) = (each for each in fleet.announcements.job_state_changes if each.beside and each.outcome)
        assert fleet.failure_collector.collect(job) is None


class TestOthers:
    def test_a_round_finds_nothing_that_no_record_explains(self, run: Rebuilding, fleet: Fleet) -> None:
        fleet.buckets.ensure(NAMES.bucket(Life(ACME)), NAMES.tags(Life(ACME)))
        execution = run.request(OFFICE)
        number = run.build(execution)
        assert not _unexplained(fleet)
        run.finish(number, execution)
        assert not _unexplained(fleet)

    def test_people_hear_of_a_sync_that_is_held_once_and_of_the_live_one(self, run: Rebuilding, fleet: Fleet) -> None:
        run.run(run.request(OFFICE))
        fleet.tick_until_idle()
        fleet.bucket_contents.compared_pages = [ComparedPage(kept=0, deleted=3, added=0, following=None)]
        fleet.request(ACME)
        fleet.tick_until_idle()
        held_ones = [fleet.ledger.find(each).hold is not None for each in (FIRST, SECOND)]
        assert held_ones == [True, True]
        assert len(fleet.announcements.held_syncs) == 1
        # Whoever accepts it accepts it for both.
        fleet.request(ACME, accepted_deletions=3)
        fleet.tick_until_idle()
        assert [fleet.ledger.find(each).hold for each in (FIRST, SECOND)] == [None, None]

    def test_a_sync_that_is_held_for_what_becomes_live_is_told_then(self, run: Rebuilding, fleet: Fleet) -> None:
        run.run(run.request(OFFICE))
        fleet.tick_until_idle()
        fleet.bucket_contents.compared_pages = [ComparedPage(kept=0, deleted=3, added=0, following=None)]
        fleet.request(ACME)
        fleet.tick_until_idle()
        run.roll_back(1)
        fleet.tick_until_idle()
        assert len(fleet.announcements.held_syncs) == 2

    def test_another_profile_is_refused_while_a_candidate_is_there(self, run: Rebuilding, fleet: Fleet) -> None:
        execution = run.request(OFFICE)
        run.build(execution)
        with pytest.raises(TenantBusy, match="is being rebuilt"):
            _provision(fleet, ProfileReference())
        run.executions.progress(execution.name, status="SUCCEEDED")
        fleet.clock.advance(60)
        run.run(run.stop())
        assert _provision(fleet, ProfileReference()).status == "RUNNING"


def _unexplained(fleet: Fleet) -> list[Finding]:
    return [each for each in look(fleet).findings if each.disagreement is Disagreement.UNEXPLAINED]


class TestTheGate:
    def ask_in_vain(
        self,
        fleet: Fleet,
        *found_in: Callable[[AskableTenant], bool],
        expected: str = "terms.pdf",
        found: str = "terms.pdf",
    ) -> None:
        """One golden question, which finds its document where that says so."""
        question = GoldenQuestion(QuestionId("q0001"), "When?", (expected,))
        fleet.golden_questions.save(QuestionSet(Life(ACME), (question,)))

        class Retriever:
            def retrieve(self, tenant: AskableTenant, inquiry: Inquiry, bucket_name: str) -> list[Source]:
                hit = any(each(tenant) for each in found_in)
                return [Source(found, f"s3://{bucket_name}/{found}", "…")] if hit else []

        fleet.retriever = Retriever()  # type: ignore[assignment]

    def test_a_candidate_that_finds_less_is_not_promoted_and_says_which(self, run: Rebuilding, fleet: Fleet) -> None:
        live = run.record.askable()
        self.ask_in_vain(fleet, lambda tenant: tenant.knowledge_base_id == live)
        after = run.run(run.request(OFFICE))
        assert (after.knowledge, run.beside.role) == (1, Role.CANDIDATE)
        assert run.beside.comparison is not None
        assert run.beside.comparison.worse == (QuestionId("q0001"),)
        (ended,) = fleet.announcements.rebuilds
        assert ended.outcome is RebuildOutcome.REFUSED
        assert "0 of 1 golden questions" in run.beside.comparison.refusals[0]

    def test_it_can_be_promoted_all_the_same_by_whoever_tolerates_that(self, run: Rebuilding, fleet: Fleet) -> None:
        live = run.record.askable()
        self.ask_in_vain(fleet, lambda tenant: tenant.knowledge_base_id == live)
        run.run(run.request(OFFICE))
        fleet.clock.advance(60)
        jobs = len(fleet.knowledge_bases.jobs)
        after = run.run(run.request(OFFICE, tolerance=100))
        assert (after.knowledge, len(fleet.knowledge_bases.jobs)) == (2, jobs)

    def test_one_that_finds_more_is_promoted(self, run: Rebuilding, fleet: Fleet) -> None:
        live = run.record.askable()
        self.ask_in_vain(fleet, lambda tenant: tenant.knowledge_base_id != live)
        assert run.run(run.request(OFFICE)).knowledge == 2
        assert fleet.announcements.rebuilds[-1].comparison is not None
        assert fleet.announcements.rebuilds[-1].comparison.better == (QuestionId("q0001"),)

    def test_a_document_is_found_whose_key_only_looks_the_same(self, run: Rebuilding, fleet: Fleet) -> None:
        live = run.record.askable()
        there = unicodedata.normalize("NFD", "パンフレット.md")
        self.ask_in_vain(
            fleet, lambda tenant: tenant.knowledge_base_id != live, expected="パンフレット.md", found=there
        )
        assert run.run(run.request(OFFICE)).knowledge == 2
        assert fleet.announcements.rebuilds[-1].comparison is not None
        assert fleet.announcements.rebuilds[-1].comparison.better == (QuestionId("q0001"),)

    def test_each_is_asked_by_its_own_profile(self, run: Rebuilding, fleet: Fleet) -> None:
        asked: list[tuple[str, int]] = []

        def found_in_both(tenant: AskableTenant) -> bool:
            asked.append((tenant.profile, tenant.profile_version))
            return True

        self.ask_in_vain(fleet, found_in_both)
        run.run(run.request(OFFICE))
        assert asked == [("", 0), ("office", 1)]

    def test_fewer_documents_keep_it_back(self, run: Rebuilding, fleet: Fleet) -> None:
        run.courses = [found(2)]
        assert run.run(run.request(OFFICE)).knowledge == 1
        assert run.beside.comparison is not None
        assert "from 2 documents, the live one from 3" in run.beside.comparison.refusals[0]

    def test_only_to_compare_promotes_nothing_and_the_candidate_goes_by_itself(
        self, run: Rebuilding, fleet: Fleet
    ) -> None:
        assert run.run(run.request(OFFICE, compare_only=True)).knowledge == 1
        assert fleet.announcements.rebuilds[-1].outcome is RebuildOutcome.COMPARED
        fleet.clock.advance(A_DAY.total_seconds())
        assert run.round().started == (ACME,)
        after = run.run(_last(run))
        assert (after.knowledge, after.beside) == (1, None)
        assert fleet.store.find(SECOND) is None

    def test_where_the_index_is_lost_it_is_promoted_when_it_is_complete(self, run: Rebuilding, fleet: Fleet) -> None:
        self.ask_in_vain(fleet)
        fleet.store.delete(FIRST)
        run.courses = [found(1)]
        assert run.run(run.request(OFFICE)).knowledge == 2
        assert fleet.announcements.rebuilds[-1].comparison is not None
        assert fleet.announcements.rebuilds[-1].comparison.live is None

    def test_where_the_knowledge_base_is_lost_too(self, run: Rebuilding, fleet: Fleet) -> None:
        fleet.knowledge_bases.delete_data_source(run.record.data_source())
        fleet.clock.advance(60)
        fleet.knowledge_bases.delete(str(run.record.knowledge_base_id))
        fleet.clock.advance(600)
        run.courses = [found(1)]
        assert run.run(run.request(OFFICE)).knowledge == 2

    @pytest.mark.parametrize("restored", [True, False])
    def test_where_the_data_source_alone_is_gone_what_is_answered_from_does_not_go_unasked(
        self, run: Rebuilding, fleet: Fleet, restored: bool
    ) -> None:
        fleet.knowledge_bases.delete_data_source(run.record.data_source())
        fleet.clock.advance(60)
        run.courses = [found(2 if restored else 0)]
        assert run.run(run.request(OFFICE)).knowledge == (2 if restored else 1)
        comparison = fleet.announcements.rebuilds[-1].comparison
        assert comparison is not None
        assert bool(comparison.refusals) is not restored

    def test_unless_a_search_has_shown_that_nothing_is_answered(self, run: Rebuilding, fleet: Fleet) -> None:
        gone = Finding(
            Disagreement.MISSING, ResourceKind.DATA_SOURCE, str(run.record.data_source_id), ACME, seen=Harm.NO_ANSWERS
        )
        fleet.registry.replace(replace(run.record, losses=(gone,)), fence=run.record.fence)
        fleet.knowledge_bases.delete_data_source(run.record.data_source())
        fleet.clock.advance(60)
        run.courses = [found(0)]
        assert run.run(run.request(OFFICE)).knowledge == 2

    def test_an_index_that_was_seen_to_be_empty_is_nothing_to_compare_with(self, run: Rebuilding, fleet: Fleet) -> None:
        self.ask_in_vain(fleet)
        emptied = Finding(Disagreement.EMPTIED, ResourceKind.VECTOR_INDEX, NAMES.vector_index(FIRST), ACME)
        fleet.registry.replace(replace(run.record, losses=(emptied,)), fence=run.record.fence)
        run.courses = [found(1)]
        assert run.run(run.request(OFFICE)).knowledge == 2

    def test_an_ingestion_that_fails_for_good_ends_the_rebuild_and_can_be_gone_on_with(
        self, run: Rebuilding, fleet: Fleet
    ) -> None:
        run.courses = [JobCourse(ends_as=JobStatus.FAILED), found(3)]
        execution = run.request(OFFICE)
        number = run.build(execution)
        with pytest.raises(CandidateNotIngested):
            run.finish(number, execution)
        run.mark_failed(failure(execution))
        run.executions.progress(execution.name, status="FAILED")
        assert run.beside.failure is not None
        assert run.round().started == ()
        fleet.clock.advance(60)
        assert run.run(run.request(OFFICE)).knowledge == 2


class TestRollingBack:
    def test_it_goes_back_and_forth_by_one_write_and_each_is_synced_then(self, run: Rebuilding, fleet: Fleet) -> None:
        run.run(run.request(OFFICE))
        fleet.tick_until_idle()
        for number, other in ((1, 2), (2, 1)):
            writes, knowledge = fleet.registry.writes, Knowledge(Life(ACME), number)
            generation = fleet.ledger.find(knowledge).requested_generation
            after = run.roll_back(number)
            assert (after.knowledge, run.beside.record.knowledge) == (number, other)
            assert fleet.registry.writes - writes == 2  # that, and that people were told
            assert fleet.ledger.find(knowledge).requested_generation == generation + 1
        outcomes = [each.outcome for each in fleet.announcements.rebuilds]
        assert outcomes == [RebuildOutcome.PROMOTED, RebuildOutcome.ROLLED_BACK, RebuildOutcome.PROMOTED]

    def test_a_repeated_one_changes_nothing(self, run: Rebuilding, fleet: Fleet) -> None:
        run.run(run.request(OFFICE))
        after = run.roll_back(1)
        assert run.roll_back(1) == after
        assert len(fleet.announcements.rebuilds) == 2

    def test_there_is_nothing_to_go_back_to_once_it_leaves(self, run: Rebuilding, fleet: Fleet) -> None:
        run.run(run.request(OFFICE, keep=timedelta(0)))
        fleet.clock.advance(1)
        run.round()
        run.reserve(_last(run))
        with pytest.raises(NothingBeside):
            run.roll_back(1)

    def test_what_was_live_is_not_deleted_while_somebody_may_answer_from_it(
        self, run: Rebuilding, fleet: Fleet
    ) -> None:
        run.run(run.request(OFFICE, keep=timedelta(0)))
        run.round()
        reservation = run.reserve(_last(run))
        began = fleet.clock.now()
        run.delete(reservation)
        assert fleet.clock.now() >= began + REMEMBERED + STILL_ANSWERED


class TestDying:
    def test_a_promotion_that_died_behind_its_write_is_told_and_synced_by_the_round(
        self, run: Rebuilding, fleet: Fleet
    ) -> None:
        execution = run.request(OFFICE)
        number = run.build(execution)
        told = fleet.announcements.rebuild_ended
        fleet.announcements.rebuild_ended = _dies  # type: ignore[method-assign, assignment]
        with pytest.raises(ConnectionError):
            run.finish(number, execution)
        assert (run.record.knowledge, run.beside.told) == (2, False)
        fleet.announcements.rebuild_ended = told  # type: ignore[method-assign]
        run.round()
        assert run.beside.told
        assert len(fleet.announcements.rebuilds) == 1
        # The step that is repeated finds it done.
        assert run.promote(number, (), execution).knowledge == 2
        assert len(fleet.announcements.rebuilds) == 1

    def test_one_at_which_nobody_works_is_gone_on_with(self, run: Rebuilding, fleet: Fleet) -> None:
        execution = run.request(OFFICE)
        reservation = run.reserve(execution)
        run.executions.progress(execution.name, status="ABORTED")
        fleet.clock.advance(3600)
        assert run.round().started == (ACME,)
        assert run.run(_last(run)).knowledge == 2
        with pytest.raises(LeaseLost):
            held(reservation, fleet.registry)

    def test_the_end_of_the_build_is_repeated(self, run: Rebuilding, fleet: Fleet) -> None:
        execution = run.request(OFFICE)
        reservation = run.reserve(execution)
        run.make_resources(reservation)
        run.begin_sync(reservation, execution)
        before = fleet.ledger.find(SECOND)
        run.begin_sync(reservation, execution)
        assert fleet.ledger.find(SECOND) == before

    def test_forgetting_is_repeated(self, run: Rebuilding, fleet: Fleet) -> None:
        run.run(run.request(OFFICE, compare_only=True))
        fleet.clock.advance(60)
        execution = run.stop()
        reservation = run.reserve(execution)
        run.delete(reservation)
        assert run.forget(reservation, execution) is None
        assert run.forget_again(reservation, execution) is None

    def test_a_failure_is_written_down_when_nobody_else_has_the_tenant(self, run: Rebuilding, fleet: Fleet) -> None:
        execution = run.request(OFFICE)
        run.build(execution)
        record = run.record
        fleet.registry.replace(record.reserved_by("other", fleet.clock.now(), LEASE), fence=record.fence)
        with pytest.raises(NotReadyYet):
            run.mark_failed(failure(execution))
        record = run.record
        fleet.registry.replace(record.converged("3", fleet.clock.now()), fence=record.fence)
        run.mark_failed(failure(execution))
        assert run.beside.failure is not None


class TestStopping:
    def test_all_of_the_candidate_goes_and_nothing_of_the_live_one(self, run: Rebuilding, fleet: Fleet) -> None:
        before = run.record
        execution = run.request(OFFICE)
        number = run.build(execution)
        candidate = str(run.beside.record.knowledge_base_id)
        fleet.tick()
        fleet.clock.advance(60)
        stopping = run.stop()
        with pytest.raises(LeaseLost):
            run.finish(number, execution)
        run.executions.progress(execution.name, status="SUCCEEDED")
        after = run.run(stopping if stopping != execution else run.stop())
        assert after.beside is None
        assert after.record_of_knowledge == before.record_of_knowledge
        assert fleet.knowledge_bases.get(candidate) is None
        assert fleet.store.find(SECOND) is None
        assert fleet.store.find(FIRST) is not None

    def test_the_service_role_is_left_as_it_was(self, run: Rebuilding, fleet: Fleet) -> None:
        record = run.record
        alone = service_role_of(
            record, str(record.knowledge_base_id), stores=fleet.stores, profiles=fleet.profiles, names=NAMES
        )
        run.run(run.request(OFFICE, compare_only=True))
        both = service_role_of(
            run.record, str(record.knowledge_base_id), stores=fleet.stores, profiles=fleet.profiles, names=NAMES
        )
        assert set(both.knowledge_bases) == {record.knowledge_base_id, run.beside.record.knowledge_base_id}
        assert both.by_the_stack
        assert both.models == frozenset({"amazon.titan-embed-text-v2:0"})
        assert not fleet.service_roles.differences(both)
        fleet.clock.advance(60)
        run.run(run.stop())
        assert not fleet.service_roles.differences(alone)


class TestOffboarding:
    def test_the_request_takes_the_lease_from_a_rebuild(self, run: Rebuilding, fleet: Fleet) -> None:
        reservation = run.reserve(run.request(OFFICE))
        fleet.request_offboarding(ACME, A_DAY)
        with pytest.raises(LeaseLost):
            held(reservation, fleet.registry)
        assert run.round().started == ()

    @pytest.mark.parametrize("role", [Role.CANDIDATE, Role.RETIRED, Role.LEAVING])
    def test_both_go_and_the_receipt_names_both(self, run: Rebuilding, fleet: Fleet, role: Role) -> None:
        fleet.buckets.ensure(NAMES.bucket(Life(ACME)), NAMES.tags(Life(ACME)))
        execution = run.request(OFFICE)
        number = run.build(execution)
        if role is Role.RETIRED:
            run.finish(number, execution)
        elif role is Role.LEAVING:
            run.stop()
        assert run.beside.role is role
        bases = {each.knowledge_base_id for each in run.record.each_knowledge()}
        receipt = Offboarding(fleet).whole()
        erased = {(each.kind, each.name) for each in receipt.erased}
        assert {("knowledge base", str(each)) for each in bases} <= erased
        assert {("vector index", NAMES.vector_index(each)) for each in (FIRST, SECOND)} <= erased
        assert not any(fleet.knowledge_bases.get(str(each)) for each in bases)
        assert not any(fleet.store.find(each) for each in (FIRST, SECOND))
        assert (run.record.status, run.record.beside) == (TenantStatus.OFFBOARDED, None)

    def test_a_receipt_is_refused_while_anything_of_the_other_one_is_left(self, run: Rebuilding, fleet: Fleet) -> None:
        fleet.buckets.ensure(NAMES.bucket(Life(ACME)), NAMES.tags(Life(ACME)))
        run.build(run.request(OFFICE))
        leaving = Offboarding(fleet)
        leaving.begin()
        for step in ("stop_ingestion", "delete_usage_key", "delete_data_sources", "delete_knowledge_base"):
            leaving.until_done(step)
        leaving.delete_service_role()
        fleet.store.delete(FIRST)
        while not leaving.delete_bucket():
            pass
        leaving.delete_records()
        with pytest.raises(ErasureIncomplete, match=NAMES.vector_index(SECOND)):
            leaving.verify()

    def test_the_suspension_of_a_tenant_ends_the_execution_and_the_round_goes_on_with_it(
        self, run: Rebuilding, fleet: Fleet
    ) -> None:
        execution = run.request(OFFICE)
        number = run.build(execution)
        fleet.suspend(ACME)
        with pytest.raises(LeaseLost):
            run.look(number, execution, fleet.clock.now() + INGESTED_WITHIN)
        run.executions.progress(execution.name, status="SUCCEEDED")
        assert run.round().started == ()
        fleet.resume(ACME)
        fleet.clock.advance(60)
        assert run.round().started == (ACME,)
        assert run.run(_last(run)).knowledge == 2


def _dies(_: object) -> None:
    raise ConnectionError
