"""A sync that would delete much of what a tenant is answered from is held, and goes on when that is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from unittest.mock import patch

import pytest

from kbfleet.domain.alert import Deployment
from kbfleet.domain.deletions import (
    CHECK_STANDS,
    FEW_DOCUMENTS,
    AnsweredFrom,
    BucketCheck,
    DeletionLimit,
    HoldReason,
    SyncHeld,
)
from kbfleet.domain.errors import (
    AccessRefused,
    DeletionsNotSeen,
    ResourceMissing,
    TenantSuspended,
    Throttled,
)
from kbfleet.domain.failed_documents import FailedDocument
from kbfleet.domain.harm import Harm
from kbfleet.domain.incident import Concern
from kbfleet.domain.ingestion_job import JobStatus, Statistics
from kbfleet.domain.names import DataSourceReference, Knowledge, Life, TenantId
from kbfleet.domain.signals import of_held_sync, of_ingestion
from kbfleet.domain.sync import Priority, Sync, SyncState
from kbfleet.ports import ComparedPage
from tests.support.clock import START
from tests.support.fakes import JobCourse
from tests.support.fleet import DELETION_LIMIT, Fleet
from tests.support.samples import ACME, NAMES, first_knowledge

A_MINUTE = timedelta(minutes=1)
ANSWERED_FROM = AnsweredFrom("DS00000002", 1000, START, START + A_MINUTE)


def check(kept: int = 0, deleted: int = 0, added: int = 0, *, documents: int = 1000) -> BucketCheck:
    return BucketCheck(replace(ANSWERED_FROM, documents=documents), kept, deleted, added, ended=True)


class TestTheLimit:
    @pytest.mark.parametrize(
        ("counted", "reason"),
        [
            (check(1000), None),
            (check(1000, added=5000), None),
            (check(850, 150), None),
            (check(849, 151), HoldReason.DELETIONS),
            (check(849), HoldReason.DELETIONS),  # deleted with all versions: nothing is listed of them
            (check(1000, 400), HoldReason.DELETIONS),  # others that the job may not have read make up for them
            (check(849, 151, added=900), HoldReason.DELETIONS),
            (check(0, 1000), HoldReason.EMPTY),
            (check(), HoldReason.EMPTY),
            (check(added=1000), HoldReason.REPLACED),
            (check(0, 1000, added=1000), HoldReason.DELETIONS),
            (check(3, 7, documents=10), None),
            (check(0, 10, documents=10), HoldReason.EMPTY),
            (check(0, 1, documents=1), HoldReason.EMPTY),
            (check(0, 1, added=1, documents=1), None),
            (check(0, 0, added=1, documents=1), HoldReason.REPLACED),
            (check(1, FEW_DOCUMENTS, documents=11), None),
            (check(1, FEW_DOCUMENTS + 1, documents=12), HoldReason.DELETIONS),
        ],
    )
    def test_much_is_held_and_little_is_not(self, counted: BucketCheck, reason: HoldReason | None) -> None:
        assert DELETION_LIMIT.reason(counted, accepted=0) is reason

    @pytest.mark.parametrize(
        ("counted", "accepted", "reason"),
        [
            (check(600, 400), 400, None),
            (check(590, 410), 400, None),
            (check(400, 600), 400, HoldReason.DELETIONS),
            (check(0, 1000), 400, HoldReason.EMPTY),
            (check(0, 1000), 1000, None),
            (check(added=7), 1000, None),
        ],
    )
    def test_what_was_seen_and_accepted_does_not_count(
        self, counted: BucketCheck, accepted: int, reason: HoldReason | None
    ) -> None:
        assert DELETION_LIMIT.reason(counted, accepted) is reason

    def test_a_share_of_everything_holds_only_where_nothing_is_left(self) -> None:
        limit = DeletionLimit(100)
        assert limit.reason(check(1, 999), accepted=0) is None
        assert limit.reason(check(0, 1000), accepted=0) is HoldReason.EMPTY


class TestDocumentsThatCouldNotBeRead:
    """Nothing is answered from them, so that they may go; the others are counted by themselves."""

    @pytest.mark.parametrize(
        ("counted", "known", "missing", "reason"),
        [
            (check(0, documents=200), 200, 0, None),  # none was ever read
            (check(100, documents=300), 200, 0, None),
            (check(60, 40, documents=300), 200, 40, HoldReason.DELETIONS),
            (check(60, documents=300), 200, 40, HoldReason.DELETIONS),  # for good
            (check(0, 0, added=200, documents=300), 200, 100, HoldReason.REPLACED),
            (check(0, 0, documents=300), 200, 100, HoldReason.EMPTY),
            # Where they are not known by name, what is gone may be what was read.
            (check(260, 40, documents=300), 0, 40, HoldReason.DELETIONS),
            (check(100, 200, documents=300), 0, 100, HoldReason.DELETIONS),
        ],
    )
    def test_are_not_what_a_sync_would_delete(
        self, counted: BucketCheck, known: int, missing: int, reason: HoldReason | None
    ) -> None:
        left_out = 200
        met = replace(counted, of=replace(counted.of, left_out=left_out), left_out=known)
        assert (met.missing, DELETION_LIMIT.reason(met, accepted=0)) == (missing, reason)

    @pytest.mark.parametrize("listed", [0, 400, 401])
    def test_are_those_that_are_listed_unless_the_list_is_of_an_earlier_job(self, listed: int) -> None:
        tenant = Tenant(1000, failed=400)
        for number in range(listed):
            tenant.add_failed(f"{number}.pdf")
        tenant.bucket_has(page(600))
        hold = tenant.sync().hold
        if listed == 400:
            assert hold is None
            assert tenant.jobs == 2
        else:
            assert hold is not None
            assert (hold.missing, hold.answered_from) == (400, 600)

    def test_the_list_is_counted_from_its_beginning_when_more_are_known(self) -> None:
        tenant = Tenant(1000, failed=400)
        tenant.add_failed("1.pdf")
        tenant.bucket_has(page(300), page(300))
        tenant.fleet.request(ACME)
        tenant.fleet.deletion_check.run(first_knowledge(ACME), tenant.fleet.clock.now())
        assert tenant.entry.check is not None
        tenant.add_failed("2.pdf")
        tenant.fleet.tick_until_idle()
        hold = tenant.entry.hold
        assert hold is not None
        assert hold.missing == 1000 - 2 - 600


class Tenant:
    """One whose first sync has found so many documents."""

    def __init__(self, documents: int, failed: int = 0) -> None:
        self.fleet = Fleet()
        self.source: DataSourceReference = self.fleet.add(ACME)
        self.job_finds(documents, failed)
        self.fleet.request(ACME)
        self.fleet.tick_until_idle()
        assert self.jobs == 1

    def job_finds(self, documents: int, failed: int = 0, **course: object) -> None:
        found = JobCourse(statistics=Statistics(scanned=documents, failed=failed), **course)  # type: ignore[arg-type]
        self.fleet.knowledge_bases.plan(self.source.knowledge_base_id, found)

    def add_failed(self, key: str) -> None:
        uri = f"s3://{NAMES.bucket(Life(ACME))}/{key}"
        self.fleet.failed_documents.save(Life(ACME), FailedDocument(uri, "no text", START, START))

    def bucket_has(self, *pages: ComparedPage) -> None:
        self.fleet.bucket_contents.compared_pages = list(pages)

    def sync(self) -> Sync:
        self.fleet.request(ACME)
        self.fleet.tick_until_idle()
        return self.entry

    def accept(self, deletions: int) -> Sync:
        self.fleet.request(ACME, accepted_deletions=deletions)
        self.fleet.tick_until_idle()
        return self.entry

    @property
    def entry(self) -> Sync:
        return self.fleet.ledger.find(first_knowledge(ACME))

    @property
    def jobs(self) -> int:
        return len(self.fleet.knowledge_bases.jobs)

    @property
    def told(self) -> list[SyncHeld]:
        return self.fleet.announcements.held_syncs


def dies(fleet: Fleet, check: Knowledge) -> None:
    """As a function that runs out of memory, or of time."""
    with patch.object(fleet.bucket_contents, "compared", side_effect=MemoryError):
        fleet.deletion_check.run(check, fleet.clock.now())


def page(kept: int = 0, deleted: int = 0, added: int = 0) -> ComparedPage:
    return ComparedPage(kept, deleted, added, None)


@pytest.fixture
def tenant() -> Tenant:
    return Tenant(1000)


class TestASyncThatWouldDeleteMuch:
    @pytest.fixture(autouse=True)
    def _deleted(self, tenant: Tenant) -> None:
        tenant.bucket_has(page(600, 400))

    def test_is_not_started_and_people_are_told(self, tenant: Tenant) -> None:
        held = tenant.sync()
        assert (tenant.jobs, held.state, held.pending_changes) == (1, SyncState.IDLE, True)
        assert held.hold is not None
        assert (held.hold.reason, held.hold.missing, held.hold.answered_from) == (HoldReason.DELETIONS, 400, 1000)
        (told,) = tenant.told
        assert (told.hold, told.worse, told.identity) == (held.hold, True, "acme/held/2")

    @pytest.mark.parametrize("priority", Priority)
    def test_is_held_whoever_asks_for_it(self, tenant: Tenant, priority: Priority) -> None:
        tenant.fleet.request(ACME, priority)
        tenant.fleet.tick_until_idle()
        assert tenant.entry.hold is not None
        tenant.fleet.note_changes(ACME)
        tenant.fleet.clock.advance(60)
        tenant.fleet.tick_until_idle()
        assert (tenant.jobs, tenant.entry.hold is not None) == (1, True)

    def test_is_told_of_once_and_again_when_it_gets_worse(self, tenant: Tenant) -> None:
        for _ in range(3):
            since = tenant.sync().hold
        tenant.bucket_has(page(500, 500))
        worse = tenant.sync().hold
        assert since is not None
        assert worse is not None
        assert (worse.since, worse.missing) == (since.since, 500)
        assert [(each.hold.missing, each.worse) for each in tenant.told] == [(400, True), (500, True)]

    def test_goes_on_by_itself_when_the_documents_come_back(self, tenant: Tenant) -> None:
        tenant.sync()
        tenant.bucket_has(page(1000))
        tenant.fleet.note_changes(ACME)
        tenant.fleet.clock.advance(60)
        tenant.fleet.tick_until_idle()
        assert (tenant.jobs, tenant.entry.hold, tenant.entry.pending_changes) == (2, None, False)

    def test_goes_on_when_somebody_accepts_what_was_seen(self, tenant: Tenant) -> None:
        tenant.sync()
        tenant.job_finds(600)
        synced = tenant.accept(400)
        assert (tenant.jobs, synced.hold, synced.pending_changes, synced.accepted) == (2, None, False, 0)
        assert synced.answered_from is not None
        assert synced.answered_from.documents == 600

    def test_is_accepted_once_and_not_for_ever(self, tenant: Tenant) -> None:
        tenant.sync()
        tenant.job_finds(600)
        tenant.accept(400)
        tenant.bucket_has(page(300, 300))
        assert tenant.sync().hold is not None
        assert tenant.jobs == 2

    def test_is_held_again_where_more_is_missing_when_its_turn_comes(self, tenant: Tenant) -> None:
        tenant.sync()
        tenant.bucket_has(page(100, 900))
        held = tenant.accept(400)
        assert held.hold is not None
        assert (tenant.jobs, held.hold.missing) == (1, 900)

    def test_is_not_accepted_unseen(self, tenant: Tenant) -> None:
        tenant.sync()
        with pytest.raises(DeletionsNotSeen, match="kbfleet sync start acme --accept-deletions 400"):
            tenant.accept(399)
        assert tenant.entry.accepted == 0

    def test_what_came_back_is_not_accepted_any_more(self, tenant: Tenant) -> None:
        tenant.sync()
        tenant.job_finds(0, ends_as=JobStatus.FAILED)
        tenant.accept(400)
        assert tenant.entry.accepted == 400  # the job has failed: whoever tries again has accepted that
        tenant.bucket_has(page(1000))
        tenant.job_finds(0, ends_as=JobStatus.FAILED)
        assert tenant.sync().accepted == 0

    def test_stopping_takes_an_acceptance_back(self, tenant: Tenant) -> None:
        tenant.sync()
        tenant.fleet.request(ACME, accepted_deletions=400)
        tenant.fleet.stop_sync(ACME)
        assert tenant.sync().hold is not None
        assert tenant.jobs == 1

    def test_whoever_waits_is_answered(self, tenant: Tenant) -> None:
        queued = tenant.entry.requested(tenant.fleet.clock.now(), Priority.REQUESTED, "token")
        tenant.fleet.ledger.save(queued)
        tenant.fleet.tick_until_idle()
        (answer,) = tenant.fleet.callbacks.answers
        assert (answer.task_token, getattr(answer, "output", None)) == ("token", {"outcome": "HELD"})
        assert tenant.entry.waiters == ()

    def test_a_job_that_somebody_else_starts_is_followed_and_ends_the_hold(self, tenant: Tenant) -> None:
        tenant.sync()
        tenant.job_finds(600)
        tenant.fleet.knowledge_bases.start_in_console(tenant.source)
        tenant.fleet.external_jobs.find()
        assert tenant.entry.state is SyncState.RUNNING
        tenant.bucket_has(page(600))
        tenant.fleet.tick_until_idle()
        assert (tenant.entry.hold, tenant.entry.pending_changes) == (None, False)
        assert tenant.jobs == 3

    def test_a_suspended_tenant_is_not_checked_until_it_is_resumed(self, tenant: Tenant) -> None:
        tenant.sync()
        tenant.fleet.suspend(ACME)
        with pytest.raises(TenantSuspended):
            tenant.fleet.request(ACME)
        assert tenant.entry.state is SyncState.IDLE
        tenant.fleet.resume(ACME)
        tenant.fleet.tick_until_idle()
        assert (tenant.jobs, tenant.entry.hold is not None) == (1, True)

    def test_the_first_good_sync_after_it_says_so_and_later_ones_do_not(self, tenant: Tenant) -> None:
        tenant.sync()
        tenant.bucket_has(page(1000))
        tenant.job_finds(0, ends_as=JobStatus.FAILED)
        for _ in range(3):
            tenant.job_finds(1000)
            tenant.sync()
        ended = [change for change in tenant.fleet.announcements.job_state_changes if change.outcome]
        assert [change.after_hold for change in ended] == [False, True, True, False]


class TestWhatIsNotHeld:
    def test_few_deletions(self, tenant: Tenant) -> None:
        tenant.bucket_has(page(900, 100))
        assert tenant.sync().hold is None
        assert tenant.jobs == 2

    def test_the_first_sync_and_that_of_a_tenant_which_nothing_is_answered_from(self) -> None:
        empty = Tenant(0)
        empty.bucket_has(page())
        assert empty.sync().hold is None
        assert empty.jobs == 2
        assert empty.fleet.bucket_contents.listed == 0

    def test_a_data_source_that_was_made_anew(self, tenant: Tenant) -> None:
        tenant.bucket_has(page())
        record = tenant.fleet.registry.get(ACME)
        made = tenant.fleet.knowledge_bases.create_data_source(
            tenant.source.knowledge_base_id, "another", configuration={}, client_token="another"
        )
        tenant.fleet.registry.replace(replace(record, data_source_id=made.data_source_id), fence=record.fence)
        tenant.job_finds(0)
        synced = tenant.sync()
        assert (tenant.jobs, synced.hold, synced.synced_data_source_id) == (2, None, made.data_source_id)

    def test_what_is_in_an_index_after_a_breach(self, tenant: Tenant) -> None:
        tenant.bucket_has(page())
        tenant.fleet.ledger.save(tenant.entry.not_to_be_trusted())
        tenant.fleet.ledger.save(tenant.entry.trusted_again(tenant.fleet.clock.now()))
        tenant.fleet.tick_until_idle()
        assert (tenant.jobs, tenant.entry.hold) == (2, None)


class TestABucketThatCannotBeListed:
    def test_is_gone_only_after_it_was_looked_for_again(self, tenant: Tenant) -> None:
        tenant.fleet.bucket_contents.refusal = ResourceMissing("There is no such bucket.")
        tenant.fleet.request(ACME)
        tenant.fleet.tick()
        assert (tenant.entry.hold, tenant.entry.state, tenant.entry.postponed) == (None, SyncState.QUEUED, 1)
        for _ in range(10):
            tenant.fleet.clock.advance(900)
            tenant.fleet.tick()
        hold = tenant.entry.hold
        assert hold is not None
        assert (hold.reason, hold.missing, tenant.jobs) == (HoldReason.GONE, 1000, 1)

    def test_that_denies_it_holds_the_sync_until_somebody_accepts_everything(self, tenant: Tenant) -> None:
        tenant.fleet.bucket_contents.refusal = AccessRefused("It is denied.")
        hold = tenant.sync().hold
        assert hold is not None
        assert hold.reason is HoldReason.UNREADABLE
        tenant.job_finds(1000)
        tenant.accept(1000)
        assert (tenant.jobs, tenant.entry.hold) == (2, None)

    def test_passing_trouble_postpones_only(self, tenant: Tenant) -> None:
        tenant.fleet.bucket_contents.refusal = Throttled("Slow down.")
        tenant.fleet.request(ACME)
        tenant.fleet.tick()
        assert (tenant.entry.hold, tenant.entry.postponed) == (None, 1)
        tenant.fleet.bucket_contents.refusal = None
        tenant.fleet.clock.advance(60)
        tenant.fleet.tick_until_idle()
        assert tenant.jobs == 2


class TestTheCheck:
    def test_of_a_large_bucket_goes_on_where_it_stopped(self, tenant: Tenant) -> None:
        tenant.bucket_has(*[page(100)] * 6, *[page(0, 100)] * 4)
        tenant.fleet.request(ACME)
        tenant.fleet.scheduler.tick()
        runs = 0
        while tenant.fleet.checks.waiting:
            tenant.fleet.deletion_check.run(tenant.fleet.checks.waiting.pop(0), until=START)
            runs += 1
        hold = tenant.entry.hold
        assert hold is not None
        assert (runs, hold.missing, tenant.fleet.bucket_contents.listed) == (10, 400, 10)
        assert tenant.entry.check is None

    def test_stands_for_a_while_and_is_then_made_again(self, tenant: Tenant) -> None:
        tenant.fleet.request(ACME)
        tenant.fleet.tick()  # is checked
        tenant.bucket_has(page())
        tenant.fleet.clock.advance(CHECK_STANDS.total_seconds())
        tenant.fleet.tick_until_idle()
        assert tenant.entry.hold is not None
        assert tenant.jobs == 1

    def test_is_asked_for_once_for_each_state_of_the_entry(self, tenant: Tenant) -> None:
        tenant.fleet.request(ACME)
        for _ in range(3):
            tenant.fleet.scheduler.tick()
        assert tenant.fleet.checks.waiting == [first_knowledge(ACME)]

    def test_that_dies_is_asked_for_again_later_and_later(self, tenant: Tenant) -> None:
        """Whoever comes behind it has a turn meanwhile."""
        fleet = tenant.fleet
        fleet.request(ACME)
        asked: list[float] = []
        began = fleet.clock.now()
        while len(asked) < 4:
            fleet.scheduler.tick()
            if fleet.checks.waiting:
                asked.append((fleet.clock.now() - began).total_seconds())
                with pytest.raises(MemoryError):
                    dies(fleet, fleet.checks.waiting.pop(0))
            fleet.clock.advance(5)
        assert asked == [0, 60, 180, 420]
        fleet.tick_until_idle()
        assert tenant.jobs == 2
        assert (tenant.entry.checks_begun, tenant.entry.check_again_at) == (0, None)

    def test_of_as_many_as_are_checked_ahead_that_die_keeps_nobody_from_theirs(self) -> None:
        fleet = Fleet()
        names = [TenantId(f"tenant-{number}") for number in range(7)]
        for name in names:
            source = fleet.add(name)
            fleet.knowledge_bases.plan(source.knowledge_base_id, JobCourse(statistics=Statistics(scanned=9)))
            fleet.request(name)
        fleet.tick_until_idle()
        for name in names:
            fleet.request(name)
        seen = set[TenantId]()
        for _ in range(3):
            fleet.scheduler.tick()
            for check in fleet.checks.waiting:
                seen.add(check.tenant_id)
                with pytest.raises(MemoryError):
                    dies(fleet, check)
            fleet.checks.waiting.clear()
            fleet.clock.advance(5)
        assert seen == set(names)

    def test_does_nothing_for_whom_nothing_is_queued(self, tenant: Tenant) -> None:
        report = tenant.fleet.deletion_check.run(first_knowledge(ACME), tenant.fleet.clock.now())
        assert (report.sync, tenant.fleet.bucket_contents.listed) == (tenant.entry, 0)

    def test_knows_from_the_history_what_an_older_version_did_not_keep(self, tenant: Tenant) -> None:
        tenant.fleet.ledger.save(replace(tenant.entry, answered_from=None))
        tenant.bucket_has(page(600, 400))
        hold = tenant.sync().hold
        assert hold is not None
        assert (hold.missing, hold.answered_from) == (400, 1000)

    def test_notices_an_empty_bucket_also_where_the_history_has_forgotten(self, tenant: Tenant) -> None:
        tenant.fleet.ledger.save(replace(tenant.entry, answered_from=None))
        tenant.fleet.history = type(tenant.fleet.history)()
        tenant.bucket_has(page())
        hold = tenant.sync().hold
        assert hold is not None
        assert (hold.reason, tenant.jobs) == (HoldReason.EMPTY, 1)

    def test_counts_what_a_job_has_added_before_it_failed(self) -> None:
        tenant = Tenant(0)
        added = JobCourse(JobStatus.FAILED, Statistics(scanned=50, new=50))
        tenant.fleet.knowledge_bases.plan(tenant.source.knowledge_base_id, added)
        tenant.sync()
        tenant.bucket_has(page())
        assert tenant.sync().hold is not None
        assert tenant.jobs == 2


class TestTheMessage:
    DEPLOYMENT = Deployment("kbfleet", "eu-central-1")

    @pytest.mark.parametrize("reason", HoldReason)
    def test_says_how_askers_are_hurt_and_names_the_command_last(self, reason: HoldReason) -> None:
        limit_of_time = START + timedelta(hours=1)
        queued = Sync(ACME, answered_from=ANSWERED_FROM).requested(START, Priority.CHANGED)
        held = queued.unchecked(ANSWERED_FROM, reason, limit_of_time).hold
        assert held is not None
        (signal,) = of_held_sync(SyncHeld(ACME, 1, held, worse=True), self.DEPLOYMENT)
        assert (signal.subject, signal.concern, signal.failure is not None) == ("acme", Concern.INGESTION, True)
        assert signal.failure is not None
        alert = signal.failure.evidence
        assert signal.failure.harm is Harm.WRONG_ANSWERS
        assert "{" not in alert.advice
        expected = "kbfleet sync start acme --accept-deletions 1000 --stack kbfleet --region eu-central-1"
        assert (alert.command, signal.failure.verb) == (expected, "")
        assert alert.reasons[0].text == held.sentence
        assert "{" not in held.sentence

    def test_each_tenant_has_an_incident_of_its_own(self, tenant: Tenant) -> None:
        tenant.bucket_has(page())
        tenant.sync()
        (told,) = tenant.told
        other = replace(told, tenant_id=type(ACME)("sakura"))
        keys = {
            cause.key
            for each in (told, other)
            for signal in of_held_sync(each, self.DEPLOYMENT)
            if signal.failure
            for cause in signal.failure.causes
        }
        assert len(keys) == 2

    def test_the_next_good_ingestion_ends_it(self, tenant: Tenant) -> None:
        tenant.bucket_has(page())
        tenant.sync()
        tenant.bucket_has(page(1000))
        tenant.sync()
        ended = tenant.fleet.announcements.job_state_changes[-1]
        (signal,) = of_ingestion(ended, self.DEPLOYMENT)
        assert (signal.concern, signal.failure, ended.after_hold) == (Concern.INGESTION, None, True)
