"""The functions of `rebuild_tenant`, each on what the one before has answered; and the API behind `tenant rebuild`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from kbfleet import bootstrap
from kbfleet.domain.alert import workflow_alert
from kbfleet.domain.errors import InvalidInput, LeaseLost, NotReadyYet
from kbfleet.domain.ingestion_job import Statistics
from kbfleet.domain.knowledges import Role
from kbfleet.domain.names import Life
from kbfleet.domain.questions import GoldenQuestion, QuestionId, QuestionSet
from kbfleet.domain.rebuild import RebuildOutcome
from kbfleet.domain.tenant_status import TenantStatus
from tests.handlers.conftest import Handler, event
from tests.support.fakes import JobCourse
from tests.support.fleet import Fleet
from tests.support.rebuilding import Rebuilding
from tests.support.samples import ACME, DEPLOYMENT, first_knowledge

Send = Callable[..., tuple[int, dict[str, Any]]]
Run = Callable[..., Any]
MAKING = [
    "check_capacity",
    "ensure_service_role",
    "ensure_knowledge_store",
    "ensure_knowledge_base",
    "narrow_service_role",
    "ensure_data_source",
]


@pytest.fixture
def send(fleet: Fleet, handler: Callable[[str], Handler]) -> Send:
    def to(sample: str, **changes: Any) -> tuple[int, dict[str, Any]]:
        answer = handler("admin/tenants")({**event(f"triggers/{sample}"), **changes})
        return answer["statusCode"], json.loads(answer["body"])

    return to


@pytest.fixture
def run(fleet: Fleet, handler: Callable[[str], Handler]) -> Run:
    """Runs a step on that payload."""

    def step(name: str, *, of: str = "rebuilding", **payload: Any) -> Any:
        return handler(f"{of}/steps.{name}")(payload)

    return step


@pytest.fixture
def acme(fleet: Fleet) -> None:
    """An active tenant that answers from three documents, with a golden question."""
    index = fleet.store.ensure(first_knowledge(ACME))
    source = fleet.add(ACME)
    fleet.knowledge_bases.plan(source.knowledge_base_id, *[found(3)] * 5)
    record = fleet.registry.get(ACME)
    changed = replace(record, knowledge_store_reference=index, knowledge_base_alone=True)
    fleet.registry.replace(changed, fence=record.fence)
    fleet.request(ACME)
    fleet.tick_until_idle()
    question = GoldenQuestion(QuestionId("q0001"), "When?", ("terms.pdf",))
    fleet.golden_questions.save(QuestionSet(Life(ACME), (question,)))
    fleet.retriever.found = {"When?": ["terms.pdf"]}


def found(documents: int) -> JobCourse:
    return JobCourse(statistics=Statistics(scanned=documents, new=documents))


def until_ready(fleet: Fleet, step: Callable[[], Any]) -> Any:
    """As the state machine runs it: again while it is not done."""
    for _ in range(200):
        try:
            answer = step()
        except NotReadyYet:
            fleet.clock.advance(10)
            continue
        if answer is None or answer.get("done", True):
            return answer
        fleet.clock.advance(answer["wait_seconds"])
        fleet.tick()
    raise AssertionError("it is never done")


def build(fleet: Fleet, run: Run, send: Send, body: str = "{}") -> tuple[str, dict[str, Any]]:
    """Up to the comparison. Returns: the execution, and what it was given."""
    status, answer = send("put_rebuild", body=body)
    assert status == 202
    execution = fleet.rebuild_executions.describe(answer["execution"]).arn
    reserved = run("reserve_rebuild", request={"tenant_id": "acme"}, execution=execution)
    assert reserved["builds"]
    payload = {"reservation": reserved["reservation"], "execution": execution}
    for name in MAKING:
        more: dict[str, Any] = {"looks_again": True} if name == "ensure_data_source" else {}
        if name == "ensure_knowledge_base":
            more = {"service_role": {"changed_at": None}}
        until_ready(fleet, lambda name=name, more=more: run(name, of="provisioning", **payload, **more))  # type: ignore[misc]
    beside = fleet.registry.get(ACME).beside
    assert beside is not None
    fleet.knowledge_bases.plan(str(beside.record.knowledge_base_id), *[found(3)] * 5)
    begun = run("begin_candidate_sync", **payload)
    until_ready(fleet, lambda: run("await_candidate", **payload, deadline=begun["deadline"]))
    return execution, payload


class TestSteps:
    def test_a_candidate_is_built_compared_and_promoted(self, fleet: Fleet, acme: None, run: Run, send: Send) -> None:
        _, payload = build(fleet, run, send)
        compared = run("compare_knowledge", **payload, asked=[])
        # Here a function has half of its time: no question is asked any more.
        assert compared == {"asked": [], "done": False}
        asked = [{"question_id": "q0001", "live": True, "candidate": True}]
        assert run("promote_knowledge", **payload, asked=asked) == {"live": 2}
        assert run("promote_knowledge", **payload, asked=asked) == {"live": 2}
        (ended,) = fleet.announcements.rebuilds
        assert (ended.outcome, ended.live, ended.kept) == (RebuildOutcome.PROMOTED, 2, 1)

    def test_questions_are_asked_of_both_while_there_is_time(
        self, fleet: Fleet, acme: None, run: Run, send: Send, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tests.handlers.conftest.LambdaContext.get_remaining_time_in_millis", lambda _: 80_000)
        _, payload = build(fleet, run, send)
        compared = run("compare_knowledge", **payload, asked=[])
        assert compared["asked"] == [{"question_id": "q0001", "live": True, "candidate": True}]
        assert compared["done"]
        assert len(fleet.retriever.asked) == 2

    def test_what_was_live_is_deleted_and_forgotten(self, fleet: Fleet, acme: None, run: Run, send: Send) -> None:
        _, payload = build(fleet, run, send, '{"keep_hours": 0}')
        run("promote_knowledge", **payload, asked=[])
        fleet.clock.advance(3_600)
        later = fleet.rebuild_executions.start("acme-later", {"tenant_id": "acme"}).arn
        reserved = run("reserve_rebuild", request={"tenant_id": "acme"}, execution=later)
        assert not reserved["builds"]
        own = {"reservation": reserved["reservation"], "execution": later, "alone_from": reserved["alone_from"]}
        deleted = until_ready(fleet, lambda: run("delete_knowledge", **own))
        assert (deleted["deleted"], deleted["reservation"]["knowledge"]) == (True, None)
        live = {"reservation": deleted["reservation"], "execution": later}
        run("ensure_service_role", of="provisioning", **live)
        assert run("forget_knowledge", **live) == {"tenant_id": "acme", "reserved": None, "another": False}
        record = fleet.registry.get(ACME)
        assert (record.knowledge, record.beside, record.lease) == (2, None, None)
        assert fleet.store.find(first_knowledge(ACME)) is None

    def test_a_failure_is_written_beside_and_announced_and_the_tenant_stays_active(
        self, fleet: Fleet, acme: None, run: Run, send: Send
    ) -> None:
        execution, _ = build(fleet, run, send)
        failed = {**event("steps/announce_rebuild_failed"), "execution": execution}
        run("mark_tenant_failed", of="provisioning", **failed)
        run("announce_rebuild_failed", **failed)
        record = fleet.registry.get(ACME)
        assert (record.status, record.failure) == (TenantStatus.ACTIVE, None)
        assert record.beside is not None
        assert record.beside.failure is not None
        assert record.beside.failure.step == "Ensure Service Role"
        (told,) = fleet.announcements.rebuild_failures
        assert told == (ACME, record.beside.failure)

    def test_a_deletion_that_fails_is_gone_on_with_by_the_command_in_its_message(
        self, fleet: Fleet, acme: None, run: Run, send: Send
    ) -> None:
        _, payload = build(fleet, run, send, '{"keep_hours": 0}')
        run("promote_knowledge", **payload, asked=[])
        fleet.clock.advance(3_600)
        later = fleet.rebuild_executions.start("acme-later", {"tenant_id": "acme"}).arn
        run("reserve_rebuild", request={"tenant_id": "acme"}, execution=later)
        failed = {**event("steps/announce_rebuild_failed"), "execution": later}
        run("mark_tenant_failed", of="provisioning", **failed)
        run("announce_rebuild_failed", **failed)
        fleet.rebuild_executions.progress("acme-later", status="FAILED")
        ((_, told),) = fleet.announcements.rebuild_failures
        alert = workflow_alert(ACME, told, DEPLOYMENT)
        assert alert.command == "kbfleet tenant rebuild --stop acme --stack kbfleet --region us-east-1"
        assert (
            alert.advice == "What does not answer any more is not deleted yet. Remove the cause; then this continues:"
        )
        _, answer = send("delete_rebuild")
        assert answer["execution"] != "acme-later"
        holder = fleet.rebuild_executions.describe(answer["execution"]).arn
        assert not run("reserve_rebuild", request={"tenant_id": "acme"}, execution=holder)["builds"]

    def test_there_is_nothing_to_do_for_a_tenant_that_nobody_rebuilds(self, fleet: Fleet, acme: None, run: Run) -> None:
        execution = fleet.rebuild_executions.start("acme-idle", {"tenant_id": "acme"}).arn
        with pytest.raises(LeaseLost):
            run("reserve_rebuild", request={"tenant_id": "acme"}, execution=execution)

    def test_a_payload_that_does_not_fit_is_refused(self, fleet: Fleet, run: Run) -> None:
        with pytest.raises(InvalidInput):
            run("await_candidate", reservation={"tenant_id": "acme", "fence": 1, "deadline": "x"}, execution="e")


class TestTheApi:
    def test_a_rebuild_is_begun_and_shown(self, fleet: Fleet, acme: None, send: Send) -> None:
        status, body = send("put_rebuild", body=None)
        assert (status, body["live"], body["beside"]["role"], body["beside"]["knowledge"]) == (202, 1, "CANDIDATE", 2)
        assert list(fleet.rebuild_executions.requests.values()) == [{"tenant_id": "acme"}]
        assert send("get_tenant")[1]["beside"]["knowledge"] == 2
        name = body["execution"]
        named = {"path": f"/tenants/acme/rebuilds/{name}", "pathParameters": {"tenant_id": "acme", "execution": name}}
        assert send("get_rebuild", **named)[1]["status"] == "RUNNING"

    def test_it_is_stopped(self, fleet: Fleet, acme: None, send: Send) -> None:
        send("put_rebuild")
        fleet.clock.advance(60)
        status, body = send("delete_rebuild")
        assert (status, body["beside"]["role"]) == (202, "LEAVING")
        assert send("delete_rebuild")[0] == 409

    def test_it_is_rolled_back_and_there_is_nothing_else_to_roll_back_to(
        self, fleet: Fleet, acme: None, send: Send
    ) -> None:
        driver = Rebuilding(fleet, [found(3)] * 5)
        driver.run(driver.request())
        status, body = send("put_knowledge")
        assert (status, body["knowledge"], body["beside"]["knowledge"]) == (200, 1, 2)
        assert send("put_knowledge")[1]["knowledge"] == 1
        status, body = send("put_knowledge", body='{"live": 7}')
        assert (status, body["code"]) == (409, "NothingBeside")

    @pytest.mark.parametrize(
        "body",
        [
            '{"keep_hours": -1}',
            '{"keep_hours": 721}',
            '{"tolerance": 101}',
            '{"compare_only": "yes"}',
            '{"profile": "No"}',
            '{"more": 1}',
        ],
    )
    def test_what_is_not_acceptable_is_refused_before_anything_is_written(
        self, fleet: Fleet, acme: None, send: Send, body: str
    ) -> None:
        before = fleet.registry.get(ACME)
        assert send("put_rebuild", body=body)[0] == 400
        assert fleet.registry.get(ACME) == before

    @pytest.mark.parametrize("sample", ["put_rebuild", "delete_rebuild", "put_knowledge"])
    def test_a_tenant_that_there_is_not_has_none(self, fleet: Fleet, send: Send, sample: str) -> None:
        assert send(sample)[0] == 404

    def test_the_hourly_round_goes_on_with_one_at_which_nobody_works(
        self, fleet: Fleet, acme: None, send: Send, handler: Callable[[str], Handler]
    ) -> None:
        name = send("put_rebuild")[1]["execution"]
        fleet.rebuild_executions.progress(name, status="ABORTED")
        fleet.clock.advance(3_600)
        handler("admin/reconcile")(event("triggers/hourly"))
        assert len(fleet.rebuild_executions.requests) == 2
        beside = fleet.registry.get(ACME).beside
        assert beside is not None
        assert beside.role is Role.CANDIDATE


@pytest.mark.parametrize("beside", [False, True])
def test_a_job_that_fails_beside_the_live_knowledge_is_nothing_that_askers_notice(
    fleet: Fleet, acme: None, handler: Callable[[str], Handler], monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    examined: list[object] = []
    monkeypatch.setattr(bootstrap, "examiner", lambda: SimpleNamespace(examine_after=examined.append))
    ended = event("triggers/collect_failures")
    failed = {"outcome": "FAILED", "final": True, "beside": beside, "knowledge": 2 if beside else 1}
    handler("ingestion/collect_failures")({**ended, "detail": {**ended["detail"], **failed}})
    assert bool(examined) is not beside
