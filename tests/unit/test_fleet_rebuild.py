"""`kbfleet tenant rebuild --all`, on a fleet of which the records alone say what is done."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import cli.progress
from cli.costs.rebuilding import cost_of_rebuilding
from cli.fleet_api import FleetApi, Refused
from cli.fleet_rebuild import AT_ONCE
from cli.main import app
from kbfleet.contracts.profiles import ProfileBody
from kbfleet.domain.knowledges import Role
from kbfleet.domain.profiles import ProfileName
from kbfleet.domain.tenant_status import TenantStatus
from tests.unit.test_profiles import FULL

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
OFFICE, DEFAULT = ProfileName("office"), ProfileName("default")
TENANTS = [f"tenant-{number:02}" for number in range(12)]
Run = Callable[..., Result]


def beside(role: Role, *, refusals: Sequence[str] = (), compared: bool = False) -> Any:
    comparison = SimpleNamespace(refusals=tuple(refusals)) if compared or refusals else None
    return SimpleNamespace(role=role, profile=OFFICE, profile_version=3, keep_until=NOW, comparison=comparison)


def tenant(tenant_id: str, **fields: Any) -> Any:
    known = {"status": TenantStatus.ACTIVE, "profile": DEFAULT, "profile_version": 0, "knowledge_store": "S3_VECTORS"}
    return SimpleNamespace(tenant_id=tenant_id, **{**known, "beside": None, **fields})


@dataclass
class Records:
    """The fleet behind the API: a rebuild ends after some looks at it."""

    tenants: dict[str, Any] = field(default_factory=lambda: {name: tenant(name) for name in TENANTS})
    looks: int = 3
    refused: dict[str, Refused] = field(default_factory=dict)
    worse: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    interrupted_after: int | None = None
    begun: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    at_work: dict[str, int] = field(default_factory=dict)
    most_at_work: int = 0
    unanswered: int = 0

    def list_tenants(self, *_: Any) -> Any:
        return SimpleNamespace(tenants=tuple(self.tenants.values()))

    def rebuild(self, tenant_id: str, profile: ProfileName, **_: Any) -> Any:
        assert profile == OFFICE
        if self.unanswered:
            self.unanswered -= 1
            raise Refused(503, "Throttled", "Later.")
        if tenant_id in self.refused:
            raise self.refused[tenant_id]
        self.begun.append(tenant_id)
        self.at_work.setdefault(tenant_id, self.looks)
        self.most_at_work = max(self.most_at_work, len(self.at_work))
        return SimpleNamespace(execution=f"{tenant_id}-x")

    def stop(self, tenant_id: str) -> Any:
        if tenant_id not in self.at_work:
            raise Refused(409, "NothingBeside", f"Tenant {tenant_id} is not being rebuilt.")
        self.stopped.append(tenant_id)
        self.at_work[tenant_id] = 1
        self.worse.discard(tenant_id)
        return SimpleNamespace(execution=f"{tenant_id}-x")

    def rebuilding(self, tenant_id: str, name: str) -> Any:
        assert name == f"{tenant_id}-x"
        if self.interrupted_after is not None:
            self.interrupted_after -= 1
            if self.interrupted_after == 0:
                raise KeyboardInterrupt
        self.at_work[tenant_id] -= 1
        if self.at_work[tenant_id]:
            return SimpleNamespace(status="RUNNING")
        del self.at_work[tenant_id]
        if tenant_id in self.failing:
            return SimpleNamespace(status="FAILED", step="Await Candidate", reason="No.")
        if tenant_id in self.worse:
            self.tenants[tenant_id] = tenant(tenant_id, beside=beside(Role.CANDIDATE, refusals=["q0001 is worse."]))
        elif tenant_id not in self.stopped:
            now = {"profile": OFFICE, "profile_version": 3, "knowledge_store": "MANAGED"}
            self.tenants[tenant_id] = tenant(tenant_id, **now)
        return SimpleNamespace(status="SUCCEEDED")


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Records:
    records = Records()
    monkeypatch.setattr(cli.progress, "POLL_SECONDS", 0)
    monkeypatch.setattr(FleetApi, "of_stack", lambda *_: FleetApi("https://api.example.com/v1", None))  # type: ignore[arg-type]
    monkeypatch.setattr(FleetApi, "profile", lambda *_: ProfileBody.from_domain(replace(FULL, name=OFFICE, version=3)))
    monkeypatch.setattr(FleetApi, "tenants", lambda _, *given: records.list_tenants(*given))
    monkeypatch.setattr(FleetApi, "tenant", lambda _, tenant_id: records.tenants[tenant_id])
    monkeypatch.setattr(FleetApi, "rebuild", lambda _, *given, **more: records.rebuild(*given, **more))
    monkeypatch.setattr(FleetApi, "stop_rebuild", lambda _, tenant_id: records.stop(tenant_id))
    monkeypatch.setattr(FleetApi, "rebuilding", lambda _, *given: records.rebuilding(*given))
    return records


@pytest.fixture
def run() -> Run:
    return lambda *arguments: CliRunner().invoke(app, ["tenant", "rebuild", *arguments])


def outcomes(result: Result) -> dict[str, str]:
    return {each["tenant_id"]: each["outcome"] for each in json.loads(result.stdout)["tenants"]}


class TestCost:
    def test_it_is_said_before_anything_begins(self, fleet: Records, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(FleetApi, "region", "us-east-1")
        said = cost_of_rebuilding(ProfileBody.from_domain(FULL), "S3_VECTORS", "us-east-1")
        assert re.search(r"for 1,000 documents of 10 pages [0-9.]+ – [0-9.]+ USD on S3_VECTORS, by what is known", said)
        fleet.refused = dict.fromkeys(TENANTS, Refused(409, "TenantBusy", "Busy."))
        result = run("--all", "--profile", "office")
        assert not fleet.begun
        assert "Every document is read anew, and paid for once more: for 1,000" in result.stderr

    def test_where_no_price_is_known_none_is_said(self) -> None:
        said = cost_of_rebuilding(ProfileBody.from_domain(FULL), None, "eu-west-1")
        assert said.endswith("What that costs in the fleet's Region is not known.")


class TestAll:
    def test_each_is_rebuilt_once_and_a_few_at_a_time(self, fleet: Records, run: Run) -> None:
        result = run("--all", "--profile", "office")
        assert result.exit_code == 0, result.stderr
        assert sorted(fleet.begun) == TENANTS
        assert fleet.most_at_work == AT_ONCE
        assert "Tenants: 12 PROMOTED." in result.stdout
        assert "12 of 12" in result.stderr

    def test_interrupted_it_says_how_to_go_on_and_goes_on_there(self, fleet: Records, run: Run) -> None:
        fleet.interrupted_after = 20
        result = run("--all", "--profile", "office")
        assert result.exit_code == 130
        assert "--all --stop" in result.stderr
        at_work, done = {*fleet.at_work}, {*fleet.begun} - {*fleet.at_work}
        assert at_work
        assert done
        fleet.interrupted_after = None
        again = run("--all", "--profile", "office", "--json")
        assert again.exit_code == 0
        assert [*outcomes(again)] == TENANTS
        assert {name for name, outcome in outcomes(again).items() if outcome == "ALREADY"} == done
        # Those that were at work are joined, and nobody else is asked for twice.
        assert {name for name in fleet.begun if fleet.begun.count(name) > 1} == at_work

    def test_whoever_is_worse_or_fails_keeps_nobody_from_theirs_and_is_named(self, fleet: Records, run: Run) -> None:
        fleet.worse, fleet.failing = {TENANTS[1]}, {TENANTS[2]}
        fleet.refused = {TENANTS[3]: Refused(409, "TenantNotActive", "Tenant tenant-03 is SUSPENDED.")}
        result = run("--all", "--profile", "office")
        assert result.exit_code == 1
        assert "9 PROMOTED, 2 REFUSED, 1 FAILED" in result.stdout
        for reason in ("q0001 is worse.", "FAILED at Await Candidate: No.", "Tenant tenant-03 is SUSPENDED."):
            assert reason in result.stdout
        assert "3 tenants" in result.stderr

    def test_who_was_worse_is_not_built_again_and_who_has_failed_is_gone_on_with(
        self, fleet: Records, run: Run
    ) -> None:
        fleet.worse, fleet.failing = {TENANTS[1]}, {TENANTS[2]}
        run("--all", "--profile", "office")
        before = len(fleet.begun)
        fleet.failing = set()
        result = run("--all", "--profile", "office", "--json")
        assert fleet.begun[before:] == [TENANTS[2]]
        assert outcomes(result)[TENANTS[1]] == "REFUSED"
        assert outcomes(result)[TENANTS[2]] == "PROMOTED"

    def test_who_was_rolled_back_stays_so(self, fleet: Records, run: Run) -> None:
        fleet.tenants = {TENANTS[0]: tenant(TENANTS[0], beside=beside(Role.RETIRED, compared=True))}
        result = run("--all", "--profile", "office")
        assert result.exit_code == 1
        assert f"kbfleet tenant rebuild {TENANTS[0]}" in result.stdout
        assert not fleet.begun

    def test_only_to_compare_leaves_those_alone_that_were_compared(self, fleet: Records, run: Run) -> None:
        fleet.tenants = {TENANTS[0]: tenant(TENANTS[0], beside=beside(Role.CANDIDATE, compared=True))}
        assert outcomes(run("--all", "--profile", "office", "--compare-only", "--json")) == {TENANTS[0]: "COMPARED"}
        assert not fleet.begun
        assert outcomes(run("--all", "--profile", "office", "--json")) == {TENANTS[0]: "PROMOTED"}

    def test_one_store_at_a_time_and_nobody_who_leaves(self, fleet: Records, run: Run) -> None:
        fleet.tenants[TENANTS[0]].knowledge_store = "OPENSEARCH_SERVERLESS"
        fleet.tenants[TENANTS[1]].status = TenantStatus.OFFBOARDING
        run("--all", "--profile", "office", "--store", "S3_VECTORS")
        assert sorted(fleet.begun) == TENANTS[2:]

    def test_a_fleet_that_is_busy_for_a_moment_is_asked_again(self, fleet: Records, run: Run) -> None:
        fleet.unanswered = 3
        assert run("--all", "--profile", "office").exit_code == 0
        assert sorted(fleet.begun) == TENANTS

    def test_all_that_were_begun_are_stopped(self, fleet: Records, run: Run) -> None:
        fleet.interrupted_after = 4
        run("--all", "--profile", "office")
        fleet.interrupted_after = None
        at_work = sorted(fleet.at_work)
        result = run("--all", "--stop", "--json")
        assert result.exit_code == 0
        assert fleet.stopped == at_work
        assert outcomes(result) == dict.fromkeys(at_work, "STOPPED")

    @pytest.mark.parametrize(
        "arguments",
        [(), ("acme", "--all"), ("acme", "--store", "MANAGED"), ("--all",), ("--all", "--profile", "x", "--no-wait")],
    )
    def test_what_makes_no_sense_is_refused(self, fleet: Records, run: Run, arguments: tuple[str, ...]) -> None:
        assert run(*arguments).exit_code == 2
        assert not fleet.begun
