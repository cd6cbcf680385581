"""`kbfleet tenant import`, on a fleet of which the records alone say what is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

import cli.progress
from cli.fleet_api import FleetApi, Refused
from cli.fleet_import import AT_ONCE, MOST_BYTES, read
from cli.main import app
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.profiles import ProfileName
from kbfleet.domain.tenant import DisplayName
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.usage_plan import Tier

Import = Callable[..., Result]
WHOLE = """tenant,name,tier,profile,knowledge_store
acme,"Acme, Inc.",premium,office,S3_VECTORS
sakura,さくら商事,,,

bolt,,STANDARD,,
"""


@dataclass
class Records:
    """The fleet behind the API: a provisioning ends after some looks at it."""

    tenants: dict[str, Any] = field(default_factory=dict)
    looks: int = 3
    room: int = 10_000
    refused: dict[str, Refused] = field(default_factory=dict)
    interrupted_after: int | None = None
    begun: list[str] = field(default_factory=list)
    at_work: dict[str, int] = field(default_factory=dict)
    most_at_work: int = 0
    unanswered: int = 0
    ends_when_listed: tuple[str, ...] = ()

    def list_tenants(self, *_: Any) -> Any:
        listed = tuple(copy(each) for each in self.tenants.values())
        for tenant_id in self.ends_when_listed:
            self.tenants[tenant_id].status = TenantStatus.ACTIVE
        return SimpleNamespace(tenants=listed)

    def find(self, tenant_id: str) -> Any:
        return self.tenants[tenant_id]

    def provision(self, tenant_id: str, name: Any, store: Any, tier: Any, profile: Any = None) -> Any:
        if self.unanswered:
            self.unanswered -= 1
            raise Refused(503, "Throttled", "Later.")
        if tenant_id in self.refused:
            raise self.refused[tenant_id]
        self.begun.append(tenant_id)
        self.at_work[tenant_id] = self.looks
        self.most_at_work = max(self.most_at_work, len(self.at_work))
        self.tenants[tenant_id] = tenant(
            tenant_id, TenantStatus.PROVISIONING, name=name or tenant_id, tier=tier, profile=profile, store=store
        )
        return SimpleNamespace(execution=f"{tenant_id}-x")

    def provisioning(self, tenant_id: str, name: str) -> Any:
        assert name == f"{tenant_id}-x"
        if self.interrupted_after is not None:
            self.interrupted_after -= 1
            if self.interrupted_after < 0:
                raise KeyboardInterrupt
        self.at_work[tenant_id] -= 1
        if self.at_work[tenant_id]:
            return SimpleNamespace(status="RUNNING", step=None, error=None, reason=None)
        del self.at_work[tenant_id]
        if sum(each.status is TenantStatus.ACTIVE for each in self.tenants.values()) >= self.room:
            self.tenants[tenant_id].status = TenantStatus.FAILED
            return SimpleNamespace(
                status="FAILED", step="Check Capacity", error="CapacityExceeded", reason="No knowledge base is left."
            )
        self.tenants[tenant_id].status = TenantStatus.ACTIVE
        return SimpleNamespace(status="SUCCEEDED", step=None, error=None, reason=None)


def tenant(tenant_id: str, status: TenantStatus = TenantStatus.ACTIVE, **fields: Any) -> Any:
    store = fields.pop("store", None) or "S3_VECTORS"
    known = {"name": tenant_id, "tier": Tier.STANDARD, "profile": ProfileName("default")}
    given = {key: value for key, value in fields.items() if value is not None}
    return SimpleNamespace(tenant_id=tenant_id, status=status, knowledge_store=store, **{**known, **given})


@pytest.fixture
def fleet() -> Records:
    return Records()


@pytest.fixture
def imported(fleet: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Import:
    api = SimpleNamespace(
        tenants=fleet.list_tenants, tenant=fleet.find, provision=fleet.provision, provisioning=fleet.provisioning
    )
    monkeypatch.setattr(FleetApi, "of_stack", lambda *_: api)
    monkeypatch.setattr(cli.progress, "pause", lambda: None)

    def run(content: str, *options: str) -> Result:
        file = tmp_path / "tenants.csv"
        file.write_text(content, "utf-8")
        return CliRunner().invoke(app, ["tenant", "import", str(file), *options])

    return run


def lines(result: Result) -> Mapping[int, str]:
    return {each["line"]: each["outcome"] for each in json.loads(result.stdout)["tenants"]}


def many(number: int) -> str:
    return "tenant\n" + "".join(f"tenant-{each:04}\n" for each in range(number))


class TestReading:
    def test_a_cell_that_is_empty_says_nothing(self) -> None:
        wanted, refused = read(WHOLE.encode("utf-8-sig"))
        assert not refused
        assert [each.line for each in wanted] == [2, 3, 5]
        acme, sakura, _ = wanted
        assert (acme.name, acme.tier, acme.profile) == (DisplayName("Acme, Inc."), Tier.PREMIUM, ProfileName("office"))
        assert (sakura.name, sakura.tier, sakura.profile, sakura.knowledge_store) == ("さくら商事", None, None, None)

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("Acme,,", "tenant"),
            (",Acme,", "tenant: is empty"),
            ("acme,,GOLD", "tier"),
            ("acme,\x1b[2J,", "name"),
            ("first,,", "is in line 2, too"),
            ("acme", "1 cells, and there are 3 columns"),
        ],
    )
    def test_a_line_that_is_wrong_is_named_with_its_field(self, line: str, said: str) -> None:
        wanted, (refused,) = read(f"tenant,name,tier\nfirst,,\n{line}\nlast,,\n".encode())
        assert [each.tenant for each in wanted] == ["first", "last"]
        assert refused.line == 3
        assert said in refused.reason

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "no column tenant"),
            (b"name\nAcme\n", "no column tenant"),
            (b"tenant,colour\nacme,red\n", "'colour'"),
            (b"tenant,tenant\nacme,acme\n", "twice"),
            ("tenant\nさくら\n".encode("cp932"), "UTF-8"),
            (b'tenant\n"acme\n', "line 2"),
        ],
    )
    def test_what_is_no_such_table_is_refused_as_a_whole(self, content: bytes, said: str) -> None:
        with pytest.raises(InvalidInput, match=said):
            read(content)

    @given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: ("tenant,name\n" + text).encode()))
    def test_whatever_is_in_a_file_there_is_a_reason_or_a_tenant(self, content: bytes) -> None:
        try:
            wanted, refused = read(content)
        except InvalidInput:
            return
        assert len({each.tenant for each in wanted}) == len(wanted)
        assert all(each.reason for each in refused)


class TestImporting:
    def test_all_of_them_are_added_a_hundred_at_a_time(self, fleet: Records, imported: Import) -> None:
        result = imported(many(250))
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith("Tenants: 250 ADDED.")
        assert len(fleet.begun) == len(set(fleet.begun)) == 250
        assert fleet.most_at_work == AT_ONCE

    def test_one_that_a_run_before_has_begun_and_that_has_ended_meanwhile_is_not_begun_anew(
        self, fleet: Records, imported: Import
    ) -> None:
        fleet.tenants = {name: tenant(name, TenantStatus.PROVISIONING) for name in ("acme", "bolt")}
        fleet.ends_when_listed = ("acme",)
        result = imported("tenant\nacme\nbolt\n", "--json")
        assert lines(result) == {2: "ALREADY", 3: "ADDED"}
        assert fleet.begun == ["bolt"]

    def test_whoever_is_there_already_is_not_touched_and_who_is_otherwise_is_changed(
        self, fleet: Records, imported: Import
    ) -> None:
        fleet.tenants = {
            "acme": tenant("acme", name="Acme, Inc.", tier=Tier.PREMIUM, profile=ProfileName("office")),
            "sakura": tenant("sakura", TenantStatus.SUSPENDED, name="さくら商事"),
            "bolt": tenant("bolt", tier=Tier.PREMIUM),
        }
        result = imported(WHOLE, "--json")
        assert lines(result) == {2: "ALREADY", 3: "ALREADY", 5: "CHANGED"}
        assert fleet.begun == ["bolt"]

    @pytest.mark.parametrize("options", [(), ("--dry-run",), ("--json",), ("--json", "--dry-run")], ids=" ".join)
    def test_a_line_that_cannot_be_read_has_the_whole_file_refused_in_a_dry_run_too(
        self, options: tuple[str, ...], fleet: Records, imported: Import
    ) -> None:
        result = imported("tenant,tier\nacme,\nbolt,GOLD\n", *options)
        assert result.exit_code == 2
        assert "1 line cannot be read: the whole file is refused, and nothing was done." in result.stderr
        if "--json" in options:
            assert lines(result) == {3: "REFUSED"}
        else:
            assert "line 3, bolt: REFUSED" in result.stdout
        assert "ADDED" not in result.stdout
        assert fleet.begun == []

    def test_a_dry_run_says_what_would_be_and_does_nothing(self, fleet: Records, imported: Import) -> None:
        fleet.tenants = {"acme": tenant("acme")}
        result = imported("tenant,tier\nacme,\nbolt,\n", "--dry-run")
        assert result.exit_code == 0
        assert "it would be: 1 ADDED, 1 ALREADY." in result.stdout
        assert fleet.begun == []

    def test_whoever_is_interrupted_goes_on_and_nobody_is_begun_twice(self, fleet: Records, imported: Import) -> None:
        fleet.interrupted_after = 40
        first = imported(many(30))
        assert first.exit_code == 130
        assert "the same command goes on" in first.output
        fleet.interrupted_after = None
        for tenant_id in [*fleet.at_work]:  # they go on by themselves
            fleet.tenants[tenant_id].status = TenantStatus.ACTIVE
        fleet.at_work.clear()
        second = imported(many(30), "--json")
        assert second.exit_code == 0, second.output
        assert len(lines(second)) == 30
        assert len(fleet.begun) == len(set(fleet.begun)) == 30

    def test_once_there_is_no_room_no_more_are_begun(self, fleet: Records, imported: Import) -> None:
        fleet.room = 95
        result = imported(many(300), "--json")
        assert result.exit_code == 1
        outcomes = list(lines(result).values())
        assert outcomes.count("ADDED") == 95
        assert outcomes.count("FAILED") <= AT_ONCE
        assert outcomes.count("NOT_BEGUN") >= 300 - 95 - AT_ONCE

    def test_one_that_the_fleet_refuses_keeps_no_other_from_being_added(self, fleet: Records, imported: Import) -> None:
        fleet.refused = {"tenant-0001": Refused(400, "ProfileRefused", "profile: there is none.")}
        result = imported(many(3))
        assert result.exit_code == 1
        assert "line 3, tenant-0001: REFUSED profile: there is none." in result.stdout
        assert fleet.begun == ["tenant-0000", "tenant-0002"]

    def test_a_fleet_that_is_busy_for_a_while_is_asked_again(self, fleet: Records, imported: Import) -> None:
        fleet.unanswered = 3
        assert imported(many(5)).exit_code == 0
        assert len(fleet.begun) == 5

    def test_a_file_that_is_far_too_large_is_not_read(self, imported: Import) -> None:
        assert imported("tenant\n" + "x" * MOST_BYTES).exit_code == 2
