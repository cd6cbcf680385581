"""What functions show to whoever watches the fleet: numbers, and log lines that say whose they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from kbfleet.domain.errors import NotReadyYet, Throttled
from kbfleet.domain.names import TenantId
from kbfleet.domain.sync import Sync, SyncState
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.telemetry import identifiers
from tests.handlers.conftest import EVENTS, Handler, Logs, event
from tests.support.fakes import RecordingAlertChannel
from tests.support.fleet import Fleet
from tests.support.samples import ACME, SAKURA, tenant

Handlers = Callable[[str], Handler]
Written = Callable[[], dict[str, Any]]


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Written:
    """The numbers that were written since it was asked last, by metric."""

    def read() -> dict[str, Any]:
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return {
            metric["Name"]: line[metric["Name"]][0]
            for line in lines
            for directive in line["_aws"]["CloudWatchMetrics"]
            for metric in directive["Metrics"]
        }

    return read


class TestJobsThatEnded:
    @pytest.mark.parametrize(
        ("outcome", "metric"),
        [
            ("SUCCEEDED", "IngestionJobsSucceeded"),
            ("DEGRADED", "IngestionJobsDegraded"),
            ("FAILED", "IngestionJobsFailed"),
            ("STOPPED", "IngestionJobsStopped"),
        ],
    )
    def test_are_counted_by_how_they_ended_with_their_documents(
        self, handler: Handlers, fleet: Fleet, written: Written, outcome: str, metric: str
    ) -> None:
        fleet.add(ACME)
        ended = event("triggers/collect_failures")
        ended["detail"] |= {"outcome": outcome}
        ended["detail"]["statistics"] |= {"new": 7, "modified": 2, "failed": 1}
        handler("ingestion/collect_failures")(ended)
        assert written() == {metric: 1, "DocumentsIndexed": 9, "DocumentsFailed": 1}


class TestTenants:
    def test_are_counted_by_what_an_operator_has_to_know_of_them(
        self, handler: Handlers, fleet: Fleet, written: Written
    ) -> None:
        fleet.registry.create(tenant(TenantId("broken"), status=TenantStatus.FAILED))
        fleet.registry.create(tenant(TenantId("gone"), status=TenantStatus.OFFBOARDED))
        long_ago = fleet.clock.now() - timedelta(hours=3)
        fleet.registry.create(tenant(ACME))
        # Its sync has failed for good, so that nothing is queued: it is stale all the same.
        fleet.ledger.save(Sync(ACME, requested_generation=2, synced_generation=1, pending_since=long_ago))
        fleet.registry.create(tenant(SAKURA))
        queued = Sync(SAKURA, state=SyncState.QUEUED, requested_generation=1, pending_since=fleet.clock.now())
        fleet.ledger.save(queued)
        handler("ingestion/request_scheduled_syncs")(event("triggers/request_scheduled_syncs"))
        reported = written()
        assert {name: reported[name] for name in reported if name.startswith("Tenants")} == {
            "TenantsActive": 2,
            "TenantsFailed": 1,
            "TenantsQueued": 1,
            "TenantsStale": 1,
        }
        # The alarm hears of whoever waits, not only of those at the head of the queue.
        assert reported["OldestPendingChangeSeconds"] == 3 * 3_600

    def test_nothing_waits_where_everything_is_synced(self, handler: Handlers, fleet: Fleet, written: Written) -> None:
        fleet.registry.create(tenant(ACME))
        handler("ingestion/request_scheduled_syncs")(event("triggers/request_scheduled_syncs"))
        assert "OldestPendingChangeSeconds" not in written()

    def test_are_counted_also_where_nothing_is_synced_by_schedule(
        self, handler: Handlers, fleet: Fleet, written: Written, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fleet.registry.create(tenant(ACME))
        monkeypatch.setenv("SYNC_EVERY_HOURS", "0")
        handler("ingestion/request_scheduled_syncs")(event("triggers/request_scheduled_syncs"))
        assert written()["TenantsActive"] == 1


class TestRequests:
    @pytest.mark.parametrize(("error", "count"), [(Throttled("too fast"), 1), (NotReadyYet("down"), None)])
    def test_that_aws_throttles_are_counted_and_no_others(
        self,
        handler: Handlers,
        fleet: Fleet,
        written: Written,
        monkeypatch: pytest.MonkeyPatch,
        error: Exception,
        count: int | None,
    ) -> None:
        def refuse(*_: object) -> None:
            raise error

        monkeypatch.setattr(fleet.registry, "get", refuse)
        answer = handler("admin/tenants")(event("triggers/get_tenant"))
        assert answer["statusCode"] in {429, 503}
        assert written().get("RequestsThrottled") == count

    def test_that_were_answered_are_counted_when_their_usage_is(
        self, handler: Handlers, fleet: Fleet, written: Written
    ) -> None:
        handler("usage/record_usage")(event("triggers/record_usage"))
        reported = written()
        assert (reported["QuestionsAnswered"], reported["UsageLinesRefused"]) == (4, 0)


class TestLogLines:
    @pytest.mark.parametrize("step", sorted(path.stem for path in Path(EVENTS, "steps").glob("*.json")))
    def test_of_every_step_of_a_workflow_name_tenant_and_execution(self, step: str) -> None:
        named = identifiers(event(f"steps/{step}"))
        assert named["tenant_id"] == "acme"
        assert str(named["execution"]).startswith("arn:aws:states:")

    @pytest.mark.parametrize(
        ("sample", "subject"),
        [("send_alert_ingestion_failed", "acme"), ("send_alert_provisioning_failed", "acme")],
    )
    def test_of_an_incident_name_whom_it_hits_and_not_the_documents(
        self,
        handler: Handlers,
        alerts: RecordingAlertChannel,
        logs: Logs,
        sample: str,
        subject: str,
    ) -> None:
        handler("notifier/send_alert")(event(f"triggers/{sample}"))
        assert len(alerts.sent) == 1
        recorded, reported = logs.lines
        assert (recorded["subject"], recorded["incident"]) == (subject, reported["incident"])
        assert "s3://" not in logs.text
