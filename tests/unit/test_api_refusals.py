"""What the API refuses, as the operator's command line tells it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

import cli.fleet_api
import cli.main
from cli.fleet_api import FleetApi
from kbfleet.contracts.tenants import ListedTenantBody, TenantsBody
from kbfleet.domain.sync import Sync
from tests.support.http_server import Reply, ScriptedServer, serving
from tests.support.samples import ACME, tenant

NOT_FOUND = Reply(404, json.dumps({"code": "TenantNotFound", "detail": "There is no tenant acmee."}).encode())
NONE_MATCHES = Reply(200, json.dumps({"tenants": [], "next_token": None}).encode())

Run = Callable[..., Any]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command against a scripted API."""

    def to(api: ScriptedServer, *arguments: str) -> Any:
        session = boto3.Session("AKIDEXAMPLE", "secret", region_name="eu-west-1")
        monkeypatch.setattr(FleetApi, "of_stack", lambda *_: FleetApi(api.url, session))
        return CliRunner().invoke(cli.main.app, list(arguments))

    return to


def page(*tenant_ids: str, following: str | None = None) -> Reply:
    sample = json.loads(_listed().model_dump_json())
    tenants = [{**sample, "tenant_id": each} for each in tenant_ids]
    return Reply(200, json.dumps({"tenants": tenants, "next_token": following}).encode())


def _listed() -> ListedTenantBody:
    (listed,) = TenantsBody.from_page([(tenant(), Sync(ACME))], None, "2").tenants
    return listed


OF_A_TENANT = [
    ("tenant", "show", "acmee"),
    ("tenant", "update", "acmee", "--tier", "PREMIUM"),
    ("tenant", "suspend", "acmee"),
    ("tenant", "resume", "acmee"),
    ("tenant", "offboard", "acmee", "--confirm", "acmee"),
    ("sync", "start", "acmee"),
    ("sync", "stop", "acmee"),
    ("sync", "retry-failed", "acmee"),
    ("jobs", "list", "acmee"),
    ("jobs", "show", "acmee", "KPXMDYDLWH"),
    ("documents", "acmee"),
    ("why", "acmee", "rules.pdf"),
    ("upload", "acmee", __file__, "--key", "rules.md"),
    ("usage", "acmee"),
    ("usage", "acmee", "--from", "2026-11-01"),
    ("ask", "How long?", "--tenant", "acmee"),
    ("reconcile", "--tenant", "acmee"),
]


@pytest.mark.parametrize("arguments", OF_A_TENANT, ids=" ".join)
def test_a_mistyped_tenant_is_told_the_ids_that_are_close_and_not_to_add_it(
    run: Run, arguments: tuple[str, ...]
) -> None:
    all_of_them = page("aaa", "acme", "sakura", following="behind"), page("zacmee")
    with serving(NOT_FOUND, page("acme", "acne"), *all_of_them) as api:
        result = run(api, *arguments)
    assert result.exit_code == 2
    assert "There is no tenant acmee. Did you mean zacmee or acme or acne?" in result.stderr
    assert "tenant add" not in result.output
    assert [path.partition("?")[0] for path in api.paths[1:]] == ["/tenants", "/tenants", "/tenants"]
    # Of thousands, those that begin alike are seen in any case.
    assert "prefix=ac" in api.paths[1]


@pytest.mark.parametrize(
    "listing", [NONE_MATCHES, page("sakura"), page("acmee"), Reply(403, b'{"message": "not authorized"}')]
)
def test_where_none_is_close_or_may_be_listed_only_the_refusal_is_told(run: Run, listing: Reply) -> None:
    with serving(NOT_FOUND, listing) as api:
        result = run(api, "tenant", "show", "acmee")
    assert (result.exit_code, result.stderr) == (2, "✗ There is no tenant acmee.\n")


def test_a_large_fleet_is_not_listed_to_its_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.fleet_api, "_SIMILAR_SECONDS", -1)
    with serving(NOT_FOUND, page("acme", following="behind")) as api:
        result = run(api, "tenant", "show", "acmee")
    assert "Did you mean acme?" in result.stderr
    assert len(api.paths) == 2


def test_a_tenants_user_learns_of_no_other_tenant(run: Run) -> None:
    with serving(NOT_FOUND, page("acme")) as api:
        result = run(api, "ask", "How long?", "--token", "t")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, "✗ There is no tenant acmee.")
    assert api.paths == ["/ask"]


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (
            Reply(
                503,
                json.dumps({"code": "NotReadyYet", "detail": "It could not. Try again.", "request_id": "r-1"}).encode(),
            ),
            "It could not. Try again. Request id: r-1",
        ),
        # API Gateway's own.
        (
            Reply(504, b'{"message": "Endpoint request timed out"}', {"x-amzn-RequestId": "r-2"}),
            "Endpoint request timed out (HTTP 504). Trying again may help. Request id: r-2",
        ),
        (Reply(502, b"<html>"), "no reason given (HTTP 502). Trying again may help."),
    ],
)
def test_what_fails_behind_the_api_is_told_with_its_request_and_whether_to_try_again(
    run: Run, reply: Reply, says: str
) -> None:
    with serving(reply) as api:
        result = run(api, "tenant", "show", "acme")
    assert (result.exit_code, result.stderr) == (1, f"✗ {says}\n")
