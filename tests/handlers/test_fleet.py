"""`GET /fleet`, and how far running jobs are wherever a job is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from kbfleet.domain.harm import Harm
from kbfleet.domain.ingestion_job import JobStatus, Statistics
from kbfleet.domain.reconciliation import TenantRound, WholeRound
from kbfleet.domain.tenant_status import TenantStatus
from tests.handlers.conftest import Handler, event
from tests.support.api_requests import queried
from tests.support.fleet import Fleet
from tests.support.samples import ACME, SAKURA, first_knowledge, ingestion_job, job_state_change, tenant

Send = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def send(fleet: Fleet, handler: Callable[[str], Handler]) -> Send:
    def to(sample: str, **changed: Any) -> tuple[int, dict[str, Any]]:
        answer = handler("admin/tenants")(event(f"triggers/{sample}") | changed)
        return answer["statusCode"], json.loads(answer["body"])

    return to


def test_an_empty_fleet_is_well(send: Send) -> None:
    status, body = send("get_fleet")
    assert (status, body["well"], body["tenants"], body["unknown"]) == (200, True, 0, [])


def test_who_is_hurt_is_told_and_what_nobody_has_looked_at(send: Send, fleet: Fleet) -> None:
    fleet.add(ACME)
    fleet.registry.create(tenant(SAKURA, status=TenantStatus.FAILED))
    _, body = send("get_fleet")
    assert (body["statuses"]["ACTIVE"], body["statuses"]["FAILED"], body["harms"]["NO_ANSWERS"]) == (1, 1, 1)
    (trouble,) = body["troubles"]
    assert (trouble["tenant_id"], trouble["harm"], trouble["command"]) == (
        "sakura",
        Harm.NO_ANSWERS,
        "kbfleet tenant add sakura",
    )
    assert len(body["unknown"]) == 3
    assert not body["well"]


def test_after_a_round_and_a_count_nothing_is_unknown(
    send: Send, fleet: Fleet, handler: Callable[[str], Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.add(ACME)
    fleet.isolation_rounds.save(TenantRound(last=WholeRound(fleet.clock.now(), fleet.clock.now())))
    handler("admin/reconcile")({"hourly": True})
    handler("ingestion/request_scheduled_syncs")({})
    _, body = send("get_fleet")
    assert (body["unknown"], body["well"]) == ([], True)
    assert body["counted_at"]
    assert body["rooms"]


def test_jobs_are_shown_as_far_as_they_are(send: Send, fleet: Fleet) -> None:
    fleet.add(ACME)
    change = job_state_change(status=JobStatus.IN_PROGRESS, outcome=None, ingestion_job_id="JOB0000003")
    fleet.history.record(change, fleet.clock.now())
    fleet.request(ACME)
    job = ingestion_job(JobStatus.IN_PROGRESS, statistics=Statistics(scanned=40, new=8))
    entry = fleet.ledger.find(first_knowledge(ACME))
    fleet.ledger.save(entry.started(job, 1).progressed(job, fleet.clock.now()))
    assert send("get_jobs")[1]["jobs"][0]["statistics"]["scanned"] == 40
    named = {"tenant_id": "acme", "job": "JOB0000003"}
    _, body = send("get_job", path="/tenants/acme/jobs/JOB0000003", pathParameters=named)
    assert body["job"]["statistics"]["new"] == 8
    assert send("get_tenant")[1]["sync"]["running_job"]["indexed"] == 8
    (at_work,) = send("get_fleet")[1]["jobs"]
    assert (at_work["tenant_id"], at_work["scanned"], at_work["indexed"]) == ("acme", 40, 8)


def test_a_tenant_in_a_list_has_the_worst_that_is_known(send: Send, fleet: Fleet) -> None:
    fleet.add(ACME)
    fleet.registry.create(tenant(SAKURA, status=TenantStatus.FAILED))
    _, body = send("get_tenants", **queried())
    assert [each["trouble"] and each["trouble"]["harm"] for each in body["tenants"]] == [None, Harm.NO_ANSWERS]
