"""What knowledge bases log of their jobs makes a tick come at once, when it is news."""

from __future__ import annotations

import pytest

from kbfleet.domain.ingestion import JobStatus, LoggedJobState, SyncState
from kbfleet.usecases.ingestion import TickReport
from kbfleet.usecases.job_log import tick_on_news
from tests.support.fleet import Fleet
from tests.support.samples import ACME

STARTING, IN_PROGRESS, STOPPING = JobStatus.STARTING, JobStatus.IN_PROGRESS, JobStatus.STOPPING
ENDS = (JobStatus.COMPLETE, JobStatus.FAILED, JobStatus.STOPPED)


class TestNews:
    @pytest.mark.parametrize("known", [STARTING, IN_PROGRESS, STOPPING])
    @pytest.mark.parametrize("logged", ENDS)
    def test_an_end_is_news_to_whoever_has_not_seen_one(self, known: JobStatus, logged: JobStatus) -> None:
        assert LoggedJobState("JOB", logged).is_news_to(known)

    @pytest.mark.parametrize("known", ENDS)
    @pytest.mark.parametrize("logged", JobStatus)
    def test_nothing_is_news_after_the_end(self, known: JobStatus, logged: JobStatus) -> None:
        assert not LoggedJobState("JOB", logged).is_news_to(known)

    @pytest.mark.parametrize(
        ("logged", "known", "news"),
        [
            (STARTING, STARTING, False),
            (IN_PROGRESS, STARTING, True),
            (STARTING, IN_PROGRESS, False),
            (IN_PROGRESS, IN_PROGRESS, False),
            (IN_PROGRESS, STOPPING, False),
            (STARTING, JobStatus.UNKNOWN, True),
        ],
    )
    def test_a_step_on_the_way_is_news_unless_it_is_behind(
        self, logged: JobStatus, known: JobStatus, news: bool
    ) -> None:
        assert LoggedJobState("JOB", logged).is_news_to(known) is news


class TestTicks:
    @pytest.fixture
    def fleet(self) -> Fleet:
        return Fleet()

    @pytest.fixture
    def job(self, fleet: Fleet) -> str:
        """A job that has just been started."""
        fleet.add(ACME)
        fleet.request(ACME)
        fleet.tick()
        followed = fleet.ledger.find(ACME).job
        assert followed is not None
        return followed.ingestion_job_id

    def tell(self, fleet: Fleet, *logged: LoggedJobState) -> TickReport | None:
        return tick_on_news(logged, ledger=fleet.ledger, scheduler=fleet.scheduler)

    def test_the_end_of_a_job_is_published_at_once(self, fleet: Fleet, job: str) -> None:
        fleet.clock.advance(600)
        report = self.tell(fleet, LoggedJobState(job, JobStatus.COMPLETE))
        assert report is not None
        assert report.ended == 1
        assert fleet.announcements.job_state_changes[-1].status is JobStatus.COMPLETE
        assert fleet.ledger.find(ACME).state is SyncState.IDLE

    def test_one_tick_is_enough_for_all_that_comes_together(self, fleet: Fleet, job: str) -> None:
        fleet.clock.advance(600)
        requests = fleet.ticks.requests
        self.tell(fleet, *(LoggedJobState(job, status) for status in (STARTING, IN_PROGRESS, JobStatus.COMPLETE)))
        assert fleet.ticks.requests == requests + 1

    def test_what_the_ledger_knows_already_makes_no_tick(self, fleet: Fleet, job: str) -> None:
        assert self.tell(fleet, LoggedJobState(job, STARTING)) is None
        fleet.tick_until_idle()
        assert self.tell(fleet, LoggedJobState(job, JobStatus.COMPLETE)) is None

    def test_a_job_that_the_ledger_does_not_follow_makes_no_tick(self, fleet: Fleet, job: str) -> None:
        assert self.tell(fleet, LoggedJobState("JOBOFOTHER", JobStatus.COMPLETE)) is None

    def test_nothing_makes_no_tick(self, fleet: Fleet) -> None:
        assert self.tell(fleet) is None

    def test_what_is_logged_is_not_believed_bedrock_is_asked(self, fleet: Fleet, job: str) -> None:
        report = self.tell(fleet, LoggedJobState(job, JobStatus.FAILED))
        assert report is not None
        assert (report.running, report.ended) == (1, 0)
