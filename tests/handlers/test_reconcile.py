"""`POST /reconciliations`, and the daily round."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from unittest.mock import Mock

import pytest

from kbfleet import bootstrap
from kbfleet.domain.errors import AccessRefused, NotReadyYet
from kbfleet.domain.finding import Disagreement, Finding, ResourceKind
from kbfleet.domain.names import Life
from kbfleet.ports import Execution
from kbfleet.usecases import reconciliation
from tests.handlers.conftest import Handler, Logs, event
from tests.support.fleet import Fleet
from tests.support.samples import ACME, NAMES, SAKURA, tenant


def test_the_sample_request_repairs_what_is_missing(fleet: Fleet, handler: Callable[[str], Handler]) -> None:
    fleet.registry.create(tenant())
    fleet.buckets.ensure(NAMES.bucket(Life(ACME)), NAMES.tags(Life(ACME)))
    answer = handler("admin/reconcile")(event("triggers/post_reconciliation"))
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["repairs"] == [ACME]


def test_a_lost_bucket_is_not_made_again_unasked(fleet: Fleet, handler: Callable[[str], Handler]) -> None:
    """What is still answered from could go with that, and only its owner has the documents."""
    fleet.registry.create(tenant())
    assert json.loads(handler("admin/reconcile")(event("triggers/post_reconciliation"))["body"])["repairs"] == []


@pytest.mark.parametrize("body", [None, "{}", '{"repair": false}'])
def test_nothing_is_repaired_unless_it_is_wanted(fleet: Fleet, handler: Callable[[str], Handler], body: str) -> None:
    fleet.registry.create(tenant())
    answer = handler("admin/reconcile")({**event("triggers/post_reconciliation"), "body": body})
    document = json.loads(answer["body"])
    assert (answer["statusCode"], document["missing"] > 0, document["repairs"]) == (200, True, [])
    assert fleet.executions.requests == {}


@pytest.mark.parametrize("repair", ["1", '"yes"', "0.0", "null"])
def test_what_is_no_truth_value_is_refused(handler: Callable[[str], Handler], fleet: Fleet, repair: str) -> None:
    answer = handler("admin/reconcile")({**event("triggers/post_reconciliation"), "body": f'{{"repair": {repair}}}'})
    assert (answer["statusCode"], json.loads(answer["body"])["field"]) == (400, "repair")


class TestTheDailyRound:
    @pytest.fixture(autouse=True)
    def leaving(self, fleet: Fleet) -> None:
        """The retention period of both is over today."""
        for tenant_id in (ACME, SAKURA):
            fleet.add(tenant_id)
            fleet.request_offboarding(tenant_id, timedelta(days=30))
        fleet.clock.advance(timedelta(days=30).total_seconds())

    def test_it_starts_what_is_due_and_compares(self, fleet: Fleet, handler: Callable[[str], Handler]) -> None:
        for _ in range(2):
            assert handler("admin/reconcile")(event("triggers/daily")) is None
        started = [request["tenant_id"] for request in fleet.offboarding_executions.requests.values()]
        assert started == [ACME, SAKURA]
        assert len(fleet.announcements.reconciliations) == 2

    def test_the_api_starts_none(self, fleet: Fleet, handler: Callable[[str], Handler]) -> None:
        assert handler("admin/reconcile")(event("triggers/post_reconciliation"))["statusCode"] == 200
        assert fleet.offboarding_executions.requests == {}

    def test_one_that_is_refused_fails_it_after_everything_else_is_done(
        self, fleet: Fleet, handler: Callable[[str], Handler], logs: Logs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start = fleet.offboarding_executions.start

        def refuse(name: str, request: Mapping[str, object]) -> Execution:
            if name.startswith(ACME):
                raise AccessRefused("no")
            return start(name, request)

        monkeypatch.setattr(fleet.offboarding_executions, "start", refuse)
        with pytest.raises(AccessRefused):  # so that the alarm goes off
            handler("admin/reconcile")(event("triggers/daily"))
        assert [request["tenant_id"] for request in fleet.offboarding_executions.requests.values()] == [SAKURA]
        assert len(fleet.announcements.reconciliations) == 1
        assert any(line["level"] == "ERROR" and line.get("tenant_id") == ACME for line in logs.lines)

    def test_one_that_should_have_been_deleted_long_ago_is_reported(
        self, fleet: Fleet, handler: Callable[[str], Handler]
    ) -> None:
        fleet.clock.advance(timedelta(days=3, seconds=1).total_seconds())
        body = json.loads(handler("admin/reconcile")(event("triggers/post_reconciliation"))["body"])
        overdue = {each["tenant_id"] for each in body["findings"] if each["disagreement"] == "OVERDUE"}
        assert (body["overdue"], overdue) == (2, {ACME, SAKURA})


def test_a_look_that_changes_nothing_repairs_nothing(fleet: Fleet, handler: Callable[[str], Handler]) -> None:
    asked = event("triggers/post_reconciliation")
    answer = handler("admin/reconcile")(asked | {"body": '{"repair": true, "look_only": true}'})
    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (400, "InvalidInput")
    answer = handler("admin/reconcile")(asked | {"body": '{"look_only": true}'})
    assert answer["statusCode"] == 200
    assert not fleet.announcements.reconciliations


class TestAJobThatHasFailed:
    def test_has_its_tenant_examined_and_nobody_else(self, fleet: Fleet, handler: Callable[[str], Handler]) -> None:
        for tenant_id in (ACME, SAKURA):
            fleet.add(tenant_id)
        for _ in range(2):  # it may come again
            assert handler("admin/reconcile")(event("triggers/reconcile_failed_job")) is None
        diagnoses = fleet.announcements.diagnoses
        assert {each.tenant_id for each in diagnoses} == {ACME}
        assert {each.failed_job.ingestion_job_id for each in diagnoses if each.failed_job} == {"JOB0000007"}
        assert not fleet.announcements.reconciliations

    def test_is_handed_over_by_whoever_collects_before_it_collects(
        self, fleet: Fleet, handler: Callable[[str], Handler], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What fails behind it keeps nobody from hearing of it; what it fails of itself is repeated as a whole."""
        fleet.add(ACME)
        examiner = Mock()
        monkeypatch.setattr(bootstrap, "examiner", lambda: examiner)
        collect = handler("ingestion/collect_failures")
        examiner.examine_after.side_effect = NotReadyYet("It could not be examined.")
        with pytest.raises(NotReadyYet):
            collect(event("triggers/reconcile_failed_job"))
        (handed,) = examiner.examine_after.call_args.args
        assert (handed.tenant_id, handed.ingestion_job_id) == (ACME, "JOB0000007")
        examiner.reset_mock()
        collect(event("triggers/collect_failures"))  # without some of the documents, which is told otherwise
        assert not examiner.examine_after.called


class TestRepairsInParts:
    @pytest.fixture(autouse=True)
    def one_at_once(self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two tenants have lost all but their buckets."""
        monkeypatch.setattr(reconciliation, "REPAIRS_AT_ONCE", 1)
        for tenant_id in (ACME, SAKURA):
            fleet.registry.create(tenant(tenant_id))
            fleet.buckets.ensure(NAMES.bucket(Life(tenant_id)), NAMES.tags(Life(tenant_id)))

    def test_the_answer_says_how_many_are_left(self, fleet: Fleet, handler: Callable[[str], Handler]) -> None:
        for _ in range(2):  # the second one finds what the first has started
            body = json.loads(handler("admin/reconcile")(event("triggers/post_reconciliation"))["body"])
            assert (body["repairs"], body["repairs_left"]) == ([ACME], 1)
        assert len(fleet.rebuild_executions.requests) == 1


def test_what_the_last_round_has_found_is_answered_with_its_time(
    fleet: Fleet, handler: Callable[[str], Handler]
) -> None:
    fleet.add(ACME)
    handler("admin/reconcile")(event("triggers/daily"))
    ended = fleet.clock.now()
    fleet.clock.advance(3_600)
    changed = Finding(Disagreement.CHANGED, ResourceKind.DATA_SOURCE, "DS00000001", ACME)
    record = fleet.registry.get(ACME)
    fleet.registry.replace(replace(record, within=(changed,)), fence=record.fence)
    asked = event("triggers/post_reconciliation") | {"body": '{"look_only": true}'}
    body = json.loads(handler("admin/reconcile")(asked)["body"])
    assert [(each["disagreement"], each["name"]) for each in body["recorded"]] == [("CHANGED", "DS00000001")]
    assert datetime.fromisoformat(body["round_ended_at"]) == ended
    assert body["changed"] == 1
