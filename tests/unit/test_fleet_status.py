"""`kbfleet status`, the tenants with whom something is wrong, and how far running jobs are, in words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

import cli.main
import cli.progress
import cli.terminal
from cli.costs.tokens import TokenPrice
from cli.fleet_api import FleetApi, FleetUnreachable, Refused
from cli.fleet_status import shown_of_fleet
from cli.job_progress import how_far, lasting, running_job
from cli.terminal import literal, marked
from kbfleet.contracts.fleet import FleetBody, FleetQuestionsBody
from kbfleet.contracts.questions import QuestionStandBody
from kbfleet.contracts.tenants import ListedTenantBody, SyncBody, TenantsBody
from kbfleet.domain.deletions import AnsweredFrom
from kbfleet.domain.finding import Disagreement, Finding, ResourceKind
from kbfleet.domain.fleet_overview import QuestionsOutline, trouble_of
from kbfleet.domain.harm import Harm
from kbfleet.domain.incident import Concern
from kbfleet.domain.ingestion_job import JobStatus, Outcome, Statistics
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.question_runs import QuestionWatch, Standing
from kbfleet.domain.questions import QuestionId
from kbfleet.domain.sync import COUNTED_EVERY, Priority, Sync
from kbfleet.domain.tenant import Tenant
from kbfleet.domain.tenant_status import TenantStatus
from tests.support.clock import START
from tests.support.fleet_bodies import BROKEN, BUSY, EMPTY, LARGE, WELL
from tests.support.samples import ACME, SAKURA, ingestion_job, sync_result, tenant

PRICE = TokenPrice((0.06e-6, 0.24e-6), "by prices of 2026-11-20 for a model in us-east-1")
AN_HOUR = timedelta(hours=1)
Run = Callable[..., Result]


def words(body: FleetBody, width: int = 120, price: TokenPrice = PRICE) -> list[str]:
    screen = Console(file=StringIO(), width=width, force_terminal=True, color_system=None, markup=False, emoji=False)
    with screen.capture() as capture:
        for each in shown_of_fleet(body, price):
            screen.print(marked(each) if isinstance(each, str) else each, soft_wrap=True)
    return capture.get().splitlines()


GONE = next(each for each in BROKEN.incidents if each.concern is Concern.FLEET)
FAILS = GONE.model_copy(update={"concern": Concern.INGESTION, "harm": Harm.WRONG_ANSWERS, "what": "ingestion fails"})
HOSTILE = "[red]x[/] \x1b[2J\x07\u202e\r\n[/]`rm` [link=http://x]\\"


class TestScreen:
    def test_the_first_line_says_how_many_are_without_answers(self) -> None:
        assert words(BUSY)[0].startswith("✗ 1 of 297 tenants without answers; 4 more in trouble.")

    @pytest.mark.parametrize(
        ("body", "beginning"),
        [
            (WELL, "✓ The fleet is well: 300 tenants."),
            (EMPTY, "There are no tenants yet:"),
            (LARGE, "✗ 180 of 10,000 tenants in trouble; none is known to be without answers."),
            (BROKEN, "✗ 150 of 300 tenants without answers; 60 more in trouble."),
            (
                WELL.model_copy(update={"well": False, "unknown": ("The daily round is overdue.",)}),
                "? Nothing is known to be wrong, but not everything was looked at.",
            ),
            (
                WELL.model_copy(update={"well": False, "incidents": BROKEN.incidents[-1:], "incidents_in_all": 1}),
                "✗ 1 open incident; no tenant is known to be hurt.",
            ),
            (
                WELL.model_copy(update={"well": False, "incidents": (GONE,), "incidents_in_all": 1}),
                "✗ 300 tenants may be without answers: the knowledge store is gone",
            ),
            (
                LARGE.model_copy(update={"incidents": (GONE,), "incidents_in_all": 1}),
                "✗ 10,000 tenants may be without answers: the knowledge store is gone",
            ),
            (
                WELL.model_copy(update={"well": False, "incidents": (FAILS,), "incidents_in_all": 1}),
                "✗ 1 open incident; the worst: wrong or old answers.",
            ),
        ],
    )
    def test_a_fleet_is_told_as_what_it_is(self, body: FleetBody, beginning: str) -> None:
        assert words(body)[0].startswith(beginning)

    def test_what_all_tenants_share_comes_before_single_tenants_with_what_to_run(self) -> None:
        lines = words(BROKEN)
        shared = next(number for number, line in enumerate(lines) if "the knowledge store is gone" in line)
        single = next(number for number, line in enumerate(lines) if line.startswith("failed-0"))
        assert shared < single
        assert lines[shared].endswith("`kbfleet reconcile`")

    @pytest.mark.parametrize("width", [80, 120])
    def test_each_trouble_has_the_exact_command_in_one_line(self, width: int) -> None:
        lines = words(BUSY, width)
        for trouble in BUSY.troubles:
            assert any(trouble.command in line for line in lines), trouble

    @pytest.mark.parametrize("body", [BUSY, LARGE, BROKEN])
    @pytest.mark.parametrize("width", [80, 120])
    def test_a_large_fleet_still_is_a_screen(self, body: FleetBody, width: int) -> None:
        assert len(words(body, width)) <= 60

    def test_what_is_left_out_is_counted(self) -> None:
        lines = words(LARGE)
        assert any("and 170 tenants more: `kbfleet tenant list --problems`" in line for line in lines)
        assert any("and 1,495 more" in line for line in lines)

    def test_how_far_jobs_are_is_said(self) -> None:
        text = "\n".join(words(BUSY))
        assert "acme: 1,240 of about 4,000 documents read, 248 indexed, 13 failed, for 11 min" in text
        assert "initech: STARTING, no documents counted yet, for 20 s" in text
        assert "globex (of a rebuild)" in text

    def test_costs_are_of_known_prices_or_are_not_said(self) -> None:
        assert any("4.10 USD for the tokens of answers" in line for line in words(WELL))
        unknown = "\n".join(words(WELL, price=TokenPrice(None, "What tokens cost is not known.")))
        assert "What tokens cost is not known." in unknown
        assert "USD" not in unknown

    def test_when_everything_was_looked_at_is_said(self) -> None:
        (line,) = (line for line in words(WELL) if line.startswith("Looked at"))
        assert "ended 8 h ago" in line
        assert "syncs counted 4 min ago" in line

    def test_what_others_have_named_is_shown_and_does_nothing(self) -> None:
        """Names of data sources, alarms and documents, and what AWS says, are in findings."""
        told = {"what": HOSTILE, "command": HOSTILE}
        body = BROKEN.model_copy(
            update={
                "troubles": tuple(each.model_copy(update=told) for each in BROKEN.troubles[:1]),
                "incidents": tuple(
                    each.model_copy(update={**told, "named": (HOSTILE,)}) for each in BROKEN.incidents[:1]
                ),
                "unknown": (HOSTILE,),
            }
        )
        lines = words(body, 400)
        shown = literally(HOSTILE)
        assert sum(line.count(shown) for line in lines) == 8
        assert not [line for line in lines if set(line) & set("\x1b\x07\u202e\r")]

    def test_where_clocks_differ_no_time_is_below_nothing(self) -> None:
        """As of the functions that have written it, or where somebody looks."""
        ahead = [each.model_copy(update={"at": each.at - timedelta(days=3)}) for each in (BUSY, BROKEN, LARGE)]
        for body in ahead:
            assert not re.search(r"-\d+ (s|min|h|d)\b", "\n".join(words(body)))

    @pytest.mark.parametrize(
        ("numbers", "said"),
        [
            (
                (280, 278, 0, 1, 1),
                "280 tenants have some: all pass in 278, some do not pass any more in 1, 1 was not asked yet",
            ),
            (
                (19, 9, 4, 3, 3),
                "19 tenants have some: all pass in 9, some do not pass any more in 3, some fail in 4, 3 were not asked "
                "yet",
            ),
            ((1, 1, 0, 0, 0), "1 tenant has some: all pass"),
            ((2_000, 2_000, 0, 0, 0), "2,000 tenants have some: all pass"),
            ((1, 0, 0, 1, 0), "1 tenant has some: some do not pass any more in 1"),
            ((2, 0, 0, 0, 2), "2 tenants have some: 2 were not asked yet"),
        ],
    )
    def test_how_questions_stand_is_a_sentence(self, numbers: tuple[int, ...], said: str) -> None:
        names = ("asked", "passing", "failing", "regressed", "unasked")
        stand = FleetQuestionsBody(**dict(zip(names, numbers, strict=True)))
        shown = words(WELL.model_copy(update={"questions": stand}), 200)
        (line,) = (line for line in shown if line.startswith("Questions"))
        assert line.removeprefix("Questions").strip() == said


def literally(text: str) -> str:
    return marked(literal(text)).plain


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(cli.progress, "POLL_SECONDS", 0)
    monkeypatch.setattr(FleetApi, "of_stack", lambda *_: FleetApi("https://api.example.com/v1", None))  # type: ignore[arg-type]
    return lambda *arguments: CliRunner().invoke(cli.main.app, list(arguments))


def answering(monkeypatch: pytest.MonkeyPatch, *answers: FleetBody | BaseException) -> None:
    left = iter(answers)

    def answer(_self: FleetApi) -> FleetBody:
        given = next(left)
        if isinstance(given, BaseException):
            raise given
        return given

    monkeypatch.setattr(FleetApi, "overview", answer)


class TestCommand:
    @pytest.mark.parametrize(("body", "code"), [(WELL, 0), (EMPTY, 0), (BUSY, 1), (BROKEN, 1)])
    def test_it_ends_with_1_when_anything_is_wrong_or_unknown(
        self, body: FleetBody, code: int, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answering(monkeypatch, body)
        assert run("status").exit_code == code

    def test_it_is_shown_again_until_somebody_interrupts(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        answering(monkeypatch, WELL, FleetUnreachable("It did not answer."), BUSY, KeyboardInterrupt())
        result = run("status", "--watch")
        assert (result.exit_code, result.stderr) == (130, "Stopped watching.\n")
        assert [line for line in result.stdout.splitlines() if "The fleet is well" in line]
        assert "No answer: looking again." in result.stdout
        assert result.stdout.index("The fleet is well") < result.stdout.index("1 of 297 tenants")

    def test_on_a_terminal_the_last_look_stays(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        answering(monkeypatch, WELL, BUSY, KeyboardInterrupt())
        written = StringIO()
        terminal = Console(file=written, force_terminal=True, width=120, height=80, markup=False, emoji=False)
        monkeypatch.setattr(cli.progress, "out", terminal)
        assert run("status", "--watch").exit_code == 130
        assert "1 of 297 tenants" in written.getvalue().rpartition("\x1b[?1049l")[2]

    def test_what_is_refused_for_good_ends_it(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        answering(monkeypatch, Refused(403, "HTTP 403", "You may not."))
        result = run("status", "--watch")
        assert (result.exit_code, "You may not." in result.stderr) == (2, True)

    @pytest.mark.parametrize("body", [EMPTY, WELL, BUSY, BROKEN, LARGE])
    def test_programs_get_all_of_it_and_nothing_else(
        self, body: FleetBody, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answering(monkeypatch, body)
        result = run("status", "--json")
        assert FleetBody.model_validate_json(result.stdout) == body
        assert json.loads(result.stdout).keys() == FleetBody.model_fields.keys()
        assert result.stderr == ""

    def test_somebody_who_watches_is_no_program(self, run: Run) -> None:
        assert run("status", "--watch", "--json").exit_code == 2


# --- tenants ---


def listed(record: Tenant, entry: Sync) -> ListedTenantBody:
    return ListedTenantBody.from_domain(record, entry, "2", trouble_of(record, entry, START, AN_HOUR))


def entry(name: str, **fields: Any) -> Sync:
    return Sync(TenantId(name), **{"synced_at": START, "synced_data_source_id": "DS00000002", **fields})


LOST = Finding(Disagreement.MISSING, ResourceKind.VECTOR_INDEX, "kbfleet-lost", TenantId("lost"))
TENANTS = (
    listed(tenant(TenantId("degraded")), entry("degraded", result=sync_result(Outcome.DEGRADED), documents_left_out=4)),
    listed(tenant(TenantId("failed-sync")), entry("failed-sync", result=sync_result(Outcome.FAILED))),
    listed(tenant(TenantId("lost"), losses=(LOST,), found_at=START), entry("lost")),
    listed(
        tenant(TenantId("stale")),
        entry("stale", requested_generation=2, synced_generation=1, pending_since=START - 2 * AN_HOUR),
    ),
    listed(tenant(TenantId("suspended"), status=TenantStatus.SUSPENDED), entry("suspended", on_hold=True)),
    listed(tenant(TenantId("well")), entry("well", result=sync_result(), synced_at=START - AN_HOUR)),
)


REGRESSED = QuestionWatch(
    Life(TenantId("well")),
    {
        QuestionId(each): Standing(1, known_to_pass=True, failing_since=START - hours * AN_HOUR, regressed=True)
        for each, hours in (("q1a2b", 1), ("q3c4d", 2))
    },
    questions=3,
)


@pytest.fixture
def tenants(monkeypatch: pytest.MonkeyPatch) -> None:
    stand = QuestionStandBody.from_domain(REGRESSED)
    monkeypatch.setattr(FleetApi, "tenants", lambda *_: TenantsBody(tenants=TENANTS, next_token=None))
    monkeypatch.setattr(FleetApi, "question_stands", lambda _: [stand])


def first_words(result: Result) -> list[str]:
    lines = [line.split()[0] for line in result.stdout.splitlines() if line.strip()]
    return [word for word in lines[1:] if word not in {str(len(lines) - 2)}]


class TestTenantList:
    def test_problems_are_the_worst_first_with_what_to_run(self, run: Run, tenants: None) -> None:
        result = run("tenant", "list", "--problems")
        assert first_words(result) == ["lost", "stale", "well", "failed-sync", "degraded"]
        for command in ("tenant rebuild lost", "questions results well", "documents degraded --failed"):
            assert f"kbfleet {command}" in result.stdout

    def test_a_fleet_of_an_older_release_is_not_said_to_have_none(
        self, run: Run, tenants: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told = TENANTS[-1].model_dump(mode="json", exclude={"trouble"})
        older = TenantsBody(tenants=(ListedTenantBody.model_validate(told),), next_token=None)
        monkeypatch.setattr(FleetApi, "tenants", lambda *_: older)
        for asked in ([], ["--json"]):
            result = run("tenant", "list", "--problems", *asked)
            assert result.exit_code == 2
            assert "older release" in " ".join(result.stderr.split())
        assert run("tenant", "list").exit_code == 0

    def test_since_when_a_trouble_is_there_is_said_as_the_status_of_the_fleet_says_it(
        self, run: Run, tenants: None
    ) -> None:
        result = run("tenant", "list", "--problems", "--json")
        by_name = {each["tenant_id"]: each["trouble"]["since"] for each in json.loads(result.stdout)["tenants"]}
        outline = QuestionsOutline.of(REGRESSED)
        assert outline is not None
        assert datetime.fromisoformat(by_name["well"]) == outline.since == START - 2 * AN_HOUR
        assert None not in by_name.values()
        assert "—" not in run("tenant", "list", "--problems").stdout

    def test_those_whose_last_sync_ended_so_are_shown(self, run: Run, tenants: None) -> None:
        assert first_words(run("tenant", "list", "--last-sync", "failed"))[:1] == ["failed-sync"]
        none = run("tenant", "list", "--last-sync", "STOPPED").stdout
        assert "The last sync of none of these tenants ended STOPPED." in none

    def test_the_stalest_come_first(self, run: Run, tenants: None) -> None:
        assert first_words(run("tenant", "list", "--sort", "freshness"))[:2] == ["stale", "well"]

    def test_where_nothing_is_wrong_that_is_said_with_where_to_see_who_looked(
        self, run: Run, tenants: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(FleetApi, "tenants", lambda *_: TenantsBody(tenants=(), next_token=None))
        assert "`kbfleet status`" in run("tenant", "list", "--problems").stdout

    def test_a_tenant_in_which_nothing_is_wrong_has_no_trouble(self) -> None:
        by_name = {str(each.tenant_id): each.trouble for each in TENANTS}
        assert (by_name["well"], by_name["suspended"]) == (None, None)
        stale = by_name["stale"]
        assert stale is not None
        assert stale.harm is Harm.WRONG_ANSWERS


# --- running jobs ---


class TestProgress:
    def test_numbers_are_kept_and_not_more_often_than_people_need(self) -> None:
        def job(scanned: int) -> Any:
            return ingestion_job(JobStatus.IN_PROGRESS, statistics=Statistics(scanned=scanned, new=1, modified=2))

        started = Sync(ACME).requested(START, Priority.CHANGED).started(job(0), 1)
        first = started.progressed(job(4), START)
        assert first.job is not None
        assert (first.job.statistics.scanned, first.job.statistics.indexed, first.job.counted_at) == (4, 3, START)
        assert first.progressed(job(4), START + AN_HOUR) == first
        assert first.progressed(job(9), START + COUNTED_EVERY - timedelta(seconds=1)) == first
        later = first.progressed(job(9), START + COUNTED_EVERY)
        assert later.job is not None
        assert later.job.statistics.scanned == 9

    @pytest.mark.parametrize(
        ("scanned", "expected", "said"),
        [
            (40, 100, "40 of about 100 documents read, 3 indexed"),
            (140, 100, "140 documents read, 3 indexed"),
            (40, None, "40 documents read, 3 indexed"),
        ],
    )
    def test_it_is_said_of_how_many_where_that_is_known(self, scanned: int, expected: int | None, said: str) -> None:
        assert how_far(scanned, 3, 0, expected=expected, counted_at=START, status="IN_PROGRESS") == said

    def test_whoever_waits_for_a_sync_sees_how_far_it_is(self) -> None:
        job = ingestion_job(JobStatus.IN_PROGRESS, statistics=Statistics(scanned=40, new=8, failed=2))
        known = AnsweredFrom("DS00000002", 100, START, START)
        running = Sync(SAKURA, answered_from=known).requested(START, Priority.CHANGED).started(job, 1)
        body = SyncBody.from_domain(running.progressed(job, START))
        assert running_job(body) == "job JOB0000003: 40 of about 100 documents read, 8 indexed, 2 failed"
        older = body.model_copy(update={"running_job": None})
        assert running_job(older) == "job JOB0000003 IN_PROGRESS"
        assert running_job(SyncBody.from_domain(Sync(SAKURA))) is None

    @pytest.mark.parametrize(
        ("seconds", "said"),
        [
            (-3, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_600, "1 h"),
            (17_280, "4 h 48 min"),
            (86_400, "1 d"),
            (93_600, "1 d 2 h"),
        ],
    )
    def test_how_long_is_said_as_people_say_it(self, seconds: int, said: str) -> None:
        assert lasting(timedelta(seconds=seconds)) == said
