"""`kbfleet status` as somebody reads it who is woken at night, on the functions that serve it: what it tells to run is
run, and helps."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import cli.doctor
import cli.main
import cli.progress
from cli.fleet_api import FleetApi
from kbfleet.domain.errors import AccessRefused
from kbfleet.domain.finding import Disagreement, Finding, ResourceKind
from kbfleet.domain.fleet_overview import CENSUS_OVERDUE_AFTER, ROUND_OVERDUE_AFTER, Census
from kbfleet.domain.ingestion_job import JobStatus, Outcome
from kbfleet.domain.knowledges import Beside, RebuildPlan, Role
from kbfleet.domain.names import TenantId
from kbfleet.domain.reconciliation import TenantRound, WholeRound
from kbfleet.domain.signals import of_fleet_diagnosis
from kbfleet.domain.sync import Priority, Sync
from kbfleet.domain.tenant import Offboarding
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.usecases.incidents import IncidentDesk
from tests.handlers.conftest import Handler, event
from tests.support.fakes import RecordingAlertChannel
from tests.support.fleet import Fleet
from tests.support.samples import ACME, DEPLOYMENT, EXECUTION, first_knowledge, ingestion_job, sync_result, tenant
from tests.support.verified_fleet import Bends, VirtualFleetApi

_FUNCTIONS = {
    "TenantsFunction": "admin/tenants",
    "QuestionsFunction": "admin/questions",
    "ReconcileFunction": "admin/reconcile",
}
Run = Callable[..., Result]
A_MINUTE, AN_HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def api(fleet: Fleet, handler: Callable[[str], Handler]) -> FleetApi:
    functions = SimpleNamespace(
        timeline=SimpleNamespace(run_for=fleet.clock.advance),
        invoke=lambda function, event: handler(_FUNCTIONS[function])(event),
    )
    return VirtualFleetApi("https://api.example.com/v1", None, fleet=functions, bends=Bends())  # type: ignore[arg-type]


@pytest.fixture
def run(api: FleetApi, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(FleetApi, "of_stack", lambda *_: api)

    def run(command: str, **values: str) -> Result:
        """Runs a command as it was proposed, TENANT and the like replaced by what is given."""
        filled = re.sub(r"\b[A-Z]{3,}\b", lambda found: values.get(found[0], found[0]), command)
        program, *words = shlex.split(filled)
        assert program == "kbfleet"
        return CliRunner().invoke(cli.main.app, words)

    return run


def advised(result: Result, said: str) -> str:
    """The one command in backticks behind, or before, some words."""
    (line,) = [line for line in result.stdout.splitlines() if said in line]
    (command,) = re.findall(r"`(kbfleet .+?)`", line)
    return str(command)


def looked_at(fleet: Fleet) -> None:
    now = fleet.clock.now()
    fleet.isolation_rounds.save(TenantRound(last=WholeRound(now - A_MINUTE, now)))
    fleet.fleet_records.count(Census(now))


def the_doctor(api: FleetApi, monkeypatch: pytest.MonkeyPatch, fleet: Fleet) -> str:
    """All that the doctor finds wrong by asking the API."""
    monkeypatch.setattr(cli.doctor, "FleetApi", lambda *_: api)
    monkeypatch.setattr(cli.doctor, "datetime", SimpleNamespace(now=lambda _: fleet.clock.now()))
    checks = {name: cli.doctor._CHECKS[name] for name in ("tenants", "knowledge")}
    monkeypatch.setattr(cli.doctor, "_CHECKS", checks)
    stack: Any = SimpleNamespace(
        outputs={"ApiUrl": "https://api.example.com/v1"}, parameters={}, session=None, deployed_at=fleet.clock.now()
    )
    return "\n".join(f"{each.finding} {each.advice}" for each in cli.doctor.examine(stack) if each.counts)


def test_an_empty_fleet_gets_its_first_tenant(run: Run, fleet: Fleet, handler: Callable[[str], Handler]) -> None:
    nobody = run("kbfleet status")
    assert nobody.exit_code == 0
    added = run(advised(nobody, "There are no tenants yet") + " --no-wait", TENANT="acme")
    assert added.exit_code == 0, added.output
    fleet.executions.begin(EXECUTION)
    handler("provisioning/steps.reserve_tenant")(event("steps/reserve_tenant"))
    after = run("kbfleet status").stdout
    assert "1 PROVISIONING" in after
    assert "There are no tenants yet" not in after


def test_those_for_whom_there_is_no_room_are_all_in_the_list(run: Run, fleet: Fleet) -> None:
    names = [f"tenant-{number}" for number in range(15)]
    for name in names:
        fleet.registry.create(tenant(TenantId(name), status=TenantStatus.FAILED))
    listed = run(advised(run("kbfleet status"), "and 5 tenants more")).stdout
    assert [listed.count(f"kbfleet tenant add {name} ") for name in names] == [1] * 15


def test_the_screen_and_the_list_tell_the_same_of_everybody(run: Run, fleet: Fleet) -> None:
    now, plan = fleet.clock.now(), RebuildPlan(fleet.clock.now(), "S3_VECTORS")
    lost = Finding(Disagreement.MISSING, ResourceKind.VECTOR_INDEX, "x", ACME)
    stuck = Finding(Disagreement.STUCK, ResourceKind.TENANT, "x", ACME)
    overdue = Offboarding(now - timedelta(days=40), now - timedelta(days=9), TenantStatus.ACTIVE)
    failed = Sync(ACME, result=sync_result(Outcome.FAILED))
    stale = Sync(ACME).requested(now - timedelta(days=1), Priority.CHANGED)
    everybody: dict[str, tuple[dict[str, Any], Sync]] = {
        "well": ({}, Sync(ACME)),
        "lost-and-stale": ({"losses": (lost,), "found_at": now}, stale),
        "failed-sync": ({}, failed),
        "failed-at-work": ({"status": TenantStatus.FAILED}, stale.started(ingestion_job(JobStatus.IN_PROGRESS), 1)),
        "stuck": ({"status": TenantStatus.PROVISIONING, "losses": (lost, stuck), "found_at": now}, failed),
        "provisioned-again": ({"status": TenantStatus.PROVISIONING, "losses": (lost,)}, stale),
        "suspended": ({"status": TenantStatus.SUSPENDED, "losses": (lost,)}, failed.put_on_hold(fence=1)),
        "leaving": ({"status": TenantStatus.OFFBOARDING, "offboarding": overdue}, stale.put_on_hold(fence=1)),
        "gone": ({"status": TenantStatus.OFFBOARDED}, Sync(ACME)),
        "repaired": ({}, Sync(ACME, result=sync_result(Outcome.DEGRADED), documents_left_out=0)),
        "left-out": ({}, Sync(ACME, result=sync_result(Outcome.DEGRADED))),
        "rebuilt": ({"beside": Beside(plan.candidate(2), Role.CANDIDATE, now, plan)}, Sync(ACME)),
    }
    for name, (fields, entry) in everybody.items():
        fleet.registry.create(tenant(TenantId(name), **fields))
        fleet.ledger.save(replace(entry, tenant_id=TenantId(name)))
    fleet.ledger.save(replace(failed, tenant_id=TenantId("rebuilt"), knowledge=2))
    screen = json.loads(run("kbfleet status --json").stdout)
    listed = json.loads(run("kbfleet tenant list --problems --json").stdout)["tenants"]
    assert [each["trouble"] for each in listed] == screen["troubles"]
    assert {each["tenant_id"] for each in listed} == {
        "lost-and-stale",
        "failed-sync",
        "failed-at-work",
        "stuck",
        "provisioned-again",
        "leaving",
        "left-out",
    }
    assert [each["tenant_id"] for each in screen["jobs"]] == ["failed-at-work"]


def test_whoever_finds_nobody_in_trouble_sees_when_that_was_looked_at(run: Run, fleet: Fleet) -> None:
    fleet.add(ACME)
    nothing = run("kbfleet tenant list --problems")
    assert "no round through all tenants has ended yet" in run(advised(nothing, "Nothing is known")).stdout
    looked_at(fleet)
    assert "all tenants, by the round that ended 1 s ago" in run(advised(nothing, "Nothing is known")).stdout


def test_what_usage_does_not_say_is_estimated(run: Run) -> None:
    estimate = run(advised(run("kbfleet status"), "not in it")).stdout
    for part in ("vectors kept", "buckets", "ingestion: the jobs", "questions: search"):
        assert part in estimate


class TestQuestions:
    @pytest.fixture(autouse=True)
    def documents(self, monkeypatch: pytest.MonkeyPatch, fleet: Fleet) -> None:
        """The tenant has a page of questions, and whoever waits has them asked."""
        fleet.registry.create(tenant(ACME))
        monkeypatch.setattr(FleetApi, "some_documents", lambda *_: [SimpleNamespace(key="faq.md")])
        monkeypatch.setattr(FleetApi, "document_link", lambda *_: None)
        monkeypatch.setattr(FleetApi, "opened", lambda *_: b"# FAQ\n\nQ: How long?\nA: Two years.\n")

        def work() -> None:
            message = fleet.question_runs.take()
            assert message is not None, "nothing is done, and the command waits"
            fleet.question_runner.run(*message, fleet.clock.now() + timedelta(seconds=60))

        monkeypatch.setattr(cli.progress, "pause", work)

    def test_where_there_are_none_some_are_proposed(self, run: Run, tmp_path: Path) -> None:
        proposed = run(advised(run("kbfleet status"), "no tenant has golden questions"), TENANT="acme")
        file = tmp_path / "questions.jsonl"
        file.write_text(proposed.stdout, "utf-8")
        assert run(f"kbfleet questions import acme {file}").exit_code == 0
        cli.progress.pause()
        assert "1 tenant has some" in run("kbfleet status").stdout

    def test_those_that_do_not_pass_any_more_are_shown_with_why(self, run: Run, fleet: Fleet) -> None:
        assert run("kbfleet questions add acme 'How long?' --expect faq.md").exit_code == 0
        for found in (["faq.md"], ["faq.md"], ["other.md"], ["other.md"]):
            fleet.retriever.found = {"How long?": found}
            fleet.clock.advance(60)
            run("kbfleet questions run acme")
        (trouble,) = json.loads(run("kbfleet status --json").stdout)["troubles"]
        assert trouble["what"] == "1 golden question does not pass any more"
        assert "first came other.md" in run(trouble["command"]).stdout
        (listed,) = json.loads(run("kbfleet tenant list --problems --json").stdout)["tenants"]
        assert listed["trouble"]["command"] == trouble["command"]

        # Who is out of service is asked nothing, so neither of them calls that a trouble any more.
        assert run("kbfleet tenant suspend acme").exit_code == 0
        assert json.loads(run("kbfleet status --json").stdout)["troubles"] == []
        assert json.loads(run("kbfleet tenant list --problems --json").stdout)["tenants"] == []


class TestWhatAllShare:
    def test_what_is_gone_is_named_with_what_to_do(self, run: Run, fleet: Fleet, handler: Callable[[str], Any]) -> None:
        fleet.add(ACME)
        fleet.store.gone = True
        handler("admin/reconcile")({"hourly": True})
        desk = IncidentDesk(fleet.incidents, RecordingAlertChannel(), fleet.clock, DEPLOYMENT)
        for diagnosis in fleet.announcements.fleet_diagnoses:
            for signal in of_fleet_diagnosis(diagnosis, DEPLOYMENT):
                desk.record(signal)
        told = run("kbfleet status")
        assert told.exit_code == 1
        assert told.stdout.startswith("✗ 1 tenant may be without answers: the knowledge store is gone")
        shown = run(advised(told, ": `kbfleet reconcile"))
        assert shown.exit_code == 1
        assert "S3_VECTORS of all tenants: No question is answered" in shown.stdout
        assert "Make it again as docs/runbook/shared-resource-lost.md says" in shown.stdout


class TestWhatNobodyHasLookedAt:
    """Each of these is said while something is wrong that it hides; whoever follows it, sees that."""

    def test_before_the_first_round_a_look_finds_what_is_lost(self, run: Run, fleet: Fleet) -> None:
        fleet.add(ACME)  # which lacks its bucket
        told = run("kbfleet status")
        assert "acme" not in told.stdout
        looked = run(advised(told, "No round has looked into all tenants yet"))
        assert "MISSING bucket" in looked.stdout
        assert "1 of 1 tenant without answers" in run("kbfleet status").stdout

    def test_whom_the_round_could_not_look_into_is_named(
        self, run: Run, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fleet.add(ACME)
        now = fleet.clock.now()
        fleet.isolation_rounds.save(TenantRound(last=WholeRound(now, now, missed=1)))

        def refused(*_: object) -> None:
            raise AccessRefused("ListDataSources: no", remedy="")

        monkeypatch.setattr(fleet.knowledge_bases, "data_sources", refused)
        looked = run(advised(run("kbfleet status"), "could not look into 1 tenant"))
        assert "acme: ListDataSources: no" in looked.stdout

    def test_while_rounds_are_dead_the_doctor_finds_what_they_would(
        self, run: Run, api: FleetApi, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fleet.add(ACME)
        looked_at(fleet)
        fleet.clock.advance((ROUND_OVERDUE_AFTER + AN_HOUR).total_seconds())
        told = run("kbfleet status")
        for said in ("The daily round is overdue", "The hourly round has not come", "Tenants were last counted"):
            (line,) = [line for line in told.stdout.splitlines() if said in line]
            assert "`kbfleet doctor`" in line
        assert "MISSING bucket" in the_doctor(api, monkeypatch, fleet)

    def test_what_was_not_counted_the_doctor_reads_from_the_entries(
        self, run: Run, api: FleetApi, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._stale_by_an_older_version(fleet)
        looked_at(fleet)
        fleet.clock.advance((CENSUS_OVERDUE_AFTER + A_MINUTE).total_seconds())
        told = run("kbfleet status")
        assert advised(told, "Tenants were last counted") == "kbfleet doctor"
        assert "changes of its documents" not in told.stdout
        assert "Tenant acme is stale" in the_doctor(api, monkeypatch, fleet)

    @pytest.mark.parametrize(
        ("unread", "said", "shown"),
        [
            ({"whole": False}, "is more", "changes of its documents are not in the answers"),
            ({"unread": ["SYNC of TENANT#acme"]}, "could not be read", "Pending changes     since 2026-11-01"),
        ],
    )
    def test_what_could_not_be_read_here_is_read_from_the_records(
        self, run: Run, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, unread: dict[str, Any], said: str, shown: str
    ) -> None:
        self._stale_by_an_older_version(fleet)
        looked_at(fleet)
        read = fleet.fleet_records.read
        monkeypatch.setattr(fleet.fleet_records, "read", lambda *asked: replace(read(*asked), **unread))
        told = run("kbfleet status")
        assert "changes of its documents" not in told.stdout
        assert shown in run(advised(told, said), TENANT="acme").stdout

    @staticmethod
    def _stale_by_an_older_version(fleet: Fleet) -> None:
        """An overview does not know of what such a version has stored."""
        fleet.add(ACME)
        entry = Sync(ACME).requested(fleet.clock.now() - timedelta(days=1), Priority.CHANGED)
        fleet.ledger.save(entry)
        fleet.ledger.replace(replace(fleet.ledger.find(first_knowledge(ACME)), outlined=False))
