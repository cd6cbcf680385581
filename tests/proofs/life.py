"""The lives of two tenants: everything that operators, users, faults and time can do to them, in any order.

A state machine of Hypothesis, on the virtual fleet. What must be true is checked after every step; at the end
everything is run again, as operators would, until nothing is left to do, and then nothing may be out of order.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, nullcontext, suppress
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Any
from unittest.mock import patch

import hypothesis.core
import requests
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from kbfleet.adapters.dynamodb.table import life_of
from kbfleet.adapters.secrets import RememberedSecret
from kbfleet.contracts.events import SYNC_HELD
from kbfleet.domain.document_trace import SEARCHABLE_WITHIN
from kbfleet.domain.errors import TenantNotActive
from kbfleet.domain.harm import Harm
from kbfleet.domain.ingestion_job import Outcome
from kbfleet.domain.knowledges import Role
from kbfleet.domain.names import Knowledge, Life, TenantId
from kbfleet.domain.sync import SyncState
from kbfleet.domain.tenant import Tenant
from kbfleet.domain.tenant_status import TenantStatus
from tests.proofs.converged import buckets, departures, knowledge_bases
from tests.proofs.erased import items, remains
from tests.proofs.late_events import LATE_SECONDS, NOTHING_BY_SCHEDULE, lost_changes
from tests.proofs.proof import Row, Runs, in_processes
from tests.proofs.scenarios import stores
from tests.support.api_requests import api_request
from tests.support.aws_calls import Answered, Call, Disturbance, FunctionDied, Moment
from tests.support.data_source_configurations import as_sent
from tests.support.document_changes import change_message, sqs_batch
from tests.support.losses import delete_bucket, departures_from_the_bucket, lose, losses_on
from tests.support.state_machine import TaskFailed
from tests.support.tenant_lives import sample
from tests.support.virtual_fleet import AN_HOUR, VirtualFleet, virtual_fleet
from tests.support.virtual_step_functions import ExecutionStopped

TENANTS = ("acme", "bolt")
_DOCUMENTS = ("handbook.txt", "prices.txt")
_OUT_OF_SERVICE = {TenantStatus.SUSPENDED, TenantStatus.OFFBOARDING, TenantStatus.OFFBOARDED}
_A_DAY = 24 * AN_HOUR
_LONGEST = 2 * _A_DAY
"""Virtual seconds within which everything ends that has begun."""
_PARAMETERS = {"TickSeconds": "30"} | NOTHING_BY_SCHEDULE
_SAFETY_NET_SECONDS = AN_HOUR
_SYNC_SCHEDULE_SECONDS = AN_HOUR
_OF_NO_LIFE = ("PROFILE", "ERASURE#", "USAGE#", "REQUESTED_NAME#", "DOCUMENT_ROUND", "SEARCHES")
"""What the table has of a tenant beside what belongs to one of its lives, and what outlives them."""
_ROUNDS = 6
"""How often operators run everything again before it must be in order: a remedy may uncover the next fault."""

STEPS = 30
LIVES_A_SEED = 10

tenants = st.sampled_from(TENANTS)


def crash_at(fleet: VirtualFleet, number: int, moment: Moment, *, whole_execution: bool) -> Disturbance:
    """What makes call `number` ends there: the function, or the execution it works for."""

    def disturb(call: Call, at: Moment) -> None:
        if call.number != number or at is not moment:
            return
        if whole_execution and call.strand in fleet.step_functions.executions:
            fleet.stop(fleet.step_functions.executions[call.strand])
            raise ExecutionStopped
        raise FunctionDied("Process exited before completing request")

    return disturb


class FleetLife(RuleBasedStateMachine):
    """Rules are what can happen, invariants what must hold."""

    def __init__(self) -> None:
        super().__init__()
        self._world = ExitStack()
        self.fleet: VirtualFleet
        self.stores: Mapping[str, str] = {}
        self._started_out_of_service: list[str] = []
        self._deleted_live: list[str] = []
        self._forms: list[tuple[Life, dict[str, Any]]] = []
        self._sessions: list[tuple[Life, str]] = []
        self._crashes: list[Disturbance] = []

    @initialize(chosen=st.tuples(*(st.sampled_from(stores()) for _ in TENANTS)), active=st.sets(tenants))
    def deploy(self, chosen: tuple[str, ...], active: set[str]) -> None:
        self.stores = dict(zip(TENANTS, chosen, strict=True))
        world = virtual_fleet(
            parameters=_PARAMETERS,
            safety_net_seconds=_SAFETY_NET_SECONDS,
            late_event_seconds=LATE_SECONDS,
            sync_schedule_seconds=_SYNC_SCHEDULE_SECONDS,
        )
        self.fleet = self._world.enter_context(world)
        # A thread of the function's own would make its call at a moment that no seed decides.
        self._world.enter_context(patch.object(RememberedSecret, "read_meanwhile", lambda _: nullcontext()))
        self.fleet.calls.observers += [self._watch_starts, self._watch_deletions]
        for tenant_id in sorted(active):
            self.provision_to_the_end(tenant_id)

    def teardown(self) -> None:
        with self._world:
            if self.stores and sys.exc_info()[0] is None:
                self.end()

    def close(self) -> None:
        """Takes the world down, however it ended."""
        self._world.close()

    # --- what operators do ---

    def _operate(
        self, method: str, resource: str, tenant_id: str = "", *, body: object = None, **query: str
    ) -> int | None:
        """Gives the HTTP status; `None` when the function died."""
        self.fleet.timeline.run_for(1)  # executions are named by the time at which they start
        event = api_request(method, resource, body=body, query=query, **({"tenant_id": tenant_id} if tenant_id else {}))
        path = event["path"]
        function = "ReconcileFunction" if path == "/reconciliations" else "TenantsFunction"
        try:
            answer = self.fleet.invoke(function, event)
        except TaskFailed as failure:
            if failure.error != "Lambda.Unknown":
                raise AssertionError(f"{method} {path}: {failure.error} {failure.cause}") from failure
            return None
        status = int(answer["statusCode"])
        assert status < 500, f"{method} {path}: {answer['body']}"
        return status

    @rule(tenant_id=tenants)
    def provision(self, tenant_id: str) -> None:
        self._operate("PUT", "/tenants/{tenant_id}", tenant_id, body={"knowledge_store": self.stores[tenant_id]})

    @rule(tenant_id=tenants)
    def provision_to_the_end(self, tenant_id: str) -> None:
        self.provision(tenant_id)
        self._finish()

    @rule(tenant_id=tenants)
    def suspend(self, tenant_id: str) -> None:
        self._operate("PUT", "/tenants/{tenant_id}/suspension", tenant_id)

    @rule(tenant_id=tenants)
    def resume(self, tenant_id: str) -> None:
        self._operate("DELETE", "/tenants/{tenant_id}/suspension", tenant_id)

    @rule(tenant_id=tenants, days=st.sampled_from(("0", "1")))
    def offboard(self, tenant_id: str, days: str) -> None:
        self._operate("DELETE", "/tenants/{tenant_id}", tenant_id, retention_days=days)

    @rule()
    def let_the_daily_round_come(self) -> None:
        try:
            self.fleet.invoke("ReconcileFunction", {})
        except TaskFailed as failure:
            if failure.error != "Lambda.Unknown":
                raise AssertionError(f"The daily round: {failure.error} {failure.cause}") from failure

    @rule()
    def let_a_day_pass(self) -> None:
        self.fleet.timeline.run_for(_A_DAY)

    @rule(tenant_id=tenants)
    def request_sync(self, tenant_id: str) -> None:
        self._operate("POST", "/tenants/{tenant_id}/syncs", tenant_id)

    @rule(tenant_id=tenants)
    def accept_deletions(self, tenant_id: str) -> None:
        hold = self.fleet.sync(tenant_id).hold
        if hold is not None:
            accepted = {"accept_deletions": hold.missing}
            self._operate("POST", "/tenants/{tenant_id}/syncs", tenant_id, body=accepted)

    @rule(repair=st.booleans())
    def reconcile(self, repair: bool) -> None:
        self._operate("POST", "/reconciliations", body={"repair": repair})

    @rule(tenant_id=tenants, keep_hours=st.sampled_from((0, 24)), compare_only=st.booleans())
    def rebuild(self, tenant_id: str, keep_hours: int, compare_only: bool) -> None:
        wanted = {"keep_hours": keep_hours, "compare_only": compare_only}
        self._operate("PUT", "/tenants/{tenant_id}/rebuild", tenant_id, body=wanted)

    @rule(tenant_id=tenants)
    def stop_rebuilding(self, tenant_id: str) -> None:
        self._operate("DELETE", "/tenants/{tenant_id}/rebuild", tenant_id)

    @rule(tenant_id=tenants)
    def roll_back(self, tenant_id: str) -> None:
        tenant = self.fleet.tenant(tenant_id)
        if tenant is not None and tenant.beside is not None:
            self._operate(
                "PUT", "/tenants/{tenant_id}/knowledge", tenant_id, body={"live": tenant.beside.record.knowledge}
            )

    @rule()
    def let_the_hourly_round_come(self) -> None:
        try:
            self.fleet.invoke("ReconcileFunction", {"hourly": True})
        except TaskFailed as failure:
            if failure.error != "Lambda.Unknown":
                raise AssertionError(f"The hourly round: {failure.error} {failure.cause}") from failure

    # --- what users do ---

    @rule(tenant_id=tenants, key=st.sampled_from(_DOCUMENTS), text=st.sampled_from(("One thing.", "Another.")))
    def upload(self, tenant_id: str, key: str, text: str) -> None:
        bucket = self._bucket(tenant_id)
        if bucket is not None:
            with suppress(ClientError):  # a tenant that goes may not upload any more
                self.fleet.client("s3").put_object(Bucket=bucket, Key=key, Body=text.encode())

    @rule(tenant_id=tenants, key=st.sampled_from(_DOCUMENTS))
    def delete(self, tenant_id: str, key: str) -> None:
        bucket = self._bucket(tenant_id)
        if bucket is not None:
            self.fleet.client("s3").delete_object(Bucket=bucket, Key=key)

    @rule(tenant_id=tenants)
    def ask_for_an_upload_form(self, tenant_id: str) -> None:
        answer = self._deliver("UploadsFunction", sample("post_upload", tenant_id))
        if answer is not None and answer["statusCode"] == HTTPStatus.CREATED:
            self._forms.append((self.fleet.life(tenant_id), json.loads(answer["body"])))

    @rule(tenant_id=tenants)
    def ask(self, tenant_id: str) -> None:
        answer = self._deliver("AskFunction", sample("ask", tenant_id))
        if answer is not None and answer["statusCode"] == HTTPStatus.OK:
            self._sessions.append((self.fleet.life(tenant_id), json.loads(answer["body"])["session"]))

    # --- what comes late, from lives that are over ---

    @rule()
    def use_what_past_lives_were_given(self) -> None:
        for life, form in self._forms:
            if life != self.fleet.life(life.tenant_id):
                files = {"file": ("document", b"x" * 10)}
                answered = requests.post(form["url"], data=form["fields"], files=files, timeout=10).status_code
                assert answered in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}, f"{life}: {answered}"
        for life, session in self._sessions:
            if life != self.fleet.life(life.tenant_id):
                body = json.dumps({"question": "What?", "session": session})
                answer = self._deliver("AskFunction", sample("ask", life.tenant_id) | {"body": body})
                assert answer is None or answer["statusCode"] != HTTPStatus.OK, f"{life}: {answer}"

    @rule(tenant_id=tenants, deleted=st.booleans())
    def hear_of_past_buckets(self, tenant_id: str, deleted: bool) -> None:
        generation = self._generation(tenant_id)
        buckets_before = [self.fleet.names.bucket(life) for life in self._past(tenant_id)]
        messages = [change_message(bucket, deleted=deleted) for bucket in buckets_before]
        answer = self._deliver("NoteChangesFunction", sqs_batch(messages)) if messages else None
        assert answer in (None, {"batchItemFailures": []}), answer
        assert generation in (None, self._generation(tenant_id)), f"{tenant_id} is to be synced"

    @rule(tenant_id=tenants)
    def hear_of_past_jobs(self, tenant_id: str) -> None:
        past = {life.number for life in self._past(tenant_id)}
        ended = [each["Detail"] for each in self.fleet.events if each["DetailType"] == "Ingestion Job State Change"]
        for detail in [each for each in ended if each["tenant_id"] == tenant_id and each["life"] in past][-2:]:
            told = len(self.fleet.events)
            broken = detail | {"outcome": "DEGRADED"}
            self._deliver("CollectFailuresFunction", {"detail-type": "Ingestion Job State Change", "detail": broken})
            reports = [each for each in self.fleet.events[told:] if each["DetailType"] == "Document Failures Collected"]
            assert [each for each in reports if each["Detail"]["tenant_id"] == tenant_id] == []

    def _deliver(self, function: str, event: Any) -> Any:
        """Gives what the function answers; `None` when it died."""
        try:
            return self.fleet.invoke(function, event)
        except TaskFailed as failure:
            if failure.error != "Lambda.Unknown":
                raise AssertionError(f"{function}: {failure.error} {failure.cause}") from failure
            return None

    def _past(self, tenant_id: str) -> list[Life]:
        return [Life(TenantId(tenant_id), number) for number in range(1, self.fleet.life(tenant_id).number)]

    def _generation(self, tenant_id: str) -> int | None:
        """What is requested of the present life; `None` while somebody who is at work may request more."""
        return self.fleet.sync(tenant_id).requested_generation if self._nothing_runs() else None

    # --- what happens ---

    @rule(seconds=st.sampled_from((1, 20, 100, 400, 4_000)))
    def let_time_pass(self, seconds: int) -> None:
        self.fleet.timeline.run_for(seconds)

    @rule()
    def let_everything_end(self) -> None:
        self._finish()

    @rule(calls=st.integers(0, 60), moment=st.sampled_from(Moment), whole_execution=st.booleans())
    def crash_soon(self, calls: int, moment: Moment, whole_execution: bool) -> None:
        number = len(self.fleet.calls.made) + calls
        crash = crash_at(self.fleet, number, moment, whole_execution=whole_execution)
        self._crashes.append(crash)
        self.fleet.calls.disturbances.append(crash)

    @rule(tenant_id=tenants, data=st.data())
    def change_bucket(self, tenant_id: str, data: st.DataObject) -> None:
        """Somebody changes one of its settings."""
        change = data.draw(st.sampled_from(sorted(_BUCKET_CHANGES)))
        bucket = self._bucket(tenant_id)
        if bucket is not None:
            _BUCKET_CHANGES[change](self.fleet.client("s3"), bucket)

    @rule(tenant_id=tenants, change=st.sampled_from(("tags", "description", "data source")))
    def change_knowledge_base(self, tenant_id: str, change: str) -> None:
        """Somebody changes it, as far as Bedrock lets them at that moment."""
        tenant = self.fleet.tenant(tenant_id)
        if tenant is None or tenant.knowledge_base_id is None:
            return
        with suppress(ClientError):
            _KNOWLEDGE_BASE_CHANGES[change](self.fleet, tenant)

    @rule(tenant_id=tenants, data=st.data())
    def lose_content(self, tenant_id: str, data: st.DataObject) -> None:
        """Somebody deletes what answers rest on, if it is there at that moment."""
        store = self.stores[tenant_id]
        tenant = self.fleet.tenant(tenant_id)
        loss = data.draw(st.sampled_from(losses_on(store)))
        if tenant is not None and tenant.knowledge_base_id is not None and tenant.data_source_id is not None:
            with suppress(ClientError):
                lose(self.fleet, store, tenant_id, loss)

    @rule(tenant_id=tenants)
    def lose_bucket(self, tenant_id: str) -> None:
        """With all versions of all documents."""
        bucket = self._bucket(tenant_id)
        if bucket is not None:
            delete_bucket(self.fleet, bucket)

    @rule(tenant_id=tenants)
    def look(self, tenant_id: str) -> None:
        """An operator looks at a tenant. Where everything reports well, exactly what the bucket holds is found."""
        if self.fleet.tenant(tenant_id) is not None and not self._what_is_not_well(tenant_id):
            self._what_is_in_the_bucket_is_found(tenant_id)

    # --- what must hold ---

    @invariant()
    def nobody_has_anything_twice(self) -> None:
        account, names = self.fleet.emulator._account, self.fleet.names
        made = list(account.knowledge_bases.values())
        indexes = [
            *(index for bucket in account.vector_buckets.values() for index in bucket.indexes),
            *(index.name for index in account.collection_indexes.values()),
        ]
        for tenant_id in map(TenantId, TENANTS):
            tenant, life = self.fleet.tenant(tenant_id), self.fleet.life(tenant_id)
            recorded = (1,) if tenant is None else _numbers(tenant)
            for number in range(1, max(recorded) + 1):
                knowledge = Knowledge(life, number)
                own = [one for one in made if one.name == names.knowledge_base(knowledge)]
                assert len(own) <= 1, f"of {knowledge} there are {len(own)} knowledge bases"
                assert not own or number in recorded, f"{knowledge} is in no record, and its knowledge base is there"
                for one in own:
                    assert len(account.data_sources_of(one.identifier)) <= 1, f"{knowledge} has several data sources"
                    assert one.storage is None or _index_of(one.storage) == names.vector_index(knowledge), one.storage
                assert indexes.count(names.vector_index(knowledge)) <= int(number in recorded), (knowledge, indexes)
        assert set(buckets(self.fleet)) <= {names.bucket(self.fleet.life(each)) for each in TENANTS}

    @invariant()
    def of_past_lives_only_usage_and_receipts_are_left(self) -> None:
        if not self._nothing_runs():
            return
        for item in items(self.fleet):
            kind, _, tenant_id = item["PK"].partition("#")
            if kind not in {"TENANT", "CONVERSATION"} or tenant_id not in TENANTS:
                continue
            number, sort_key = life_of(item["SK"])
            past = number < self.fleet.life(tenant_id).number
            assert not past or sort_key.startswith(_OF_NO_LIFE), f"{item['PK']} {item['SK']} is left"

    @invariant()
    def the_fence_never_falls(self) -> None:
        for tenant_id in TENANTS:
            fences = [profile.fence for profile in self.fleet.stored if profile.tenant_id == tenant_id]
            assert fences == sorted(fences), f"{tenant_id}: {fences}"

    @invariant()
    def who_is_out_of_service_is_neither_asked_nor_synced(self) -> None:
        assert self._started_out_of_service == []
        for tenant in self._tenants():
            if tenant.status in _OUT_OF_SERVICE:
                try:
                    tenant.askable()
                except TenantNotActive:
                    continue
                raise AssertionError(f"{tenant.tenant_id} is {tenant.status}, and answers")

    @invariant()
    def a_rebuild_deletes_nothing_that_answers(self) -> None:
        assert self._deleted_live == []

    @invariant()
    def nothing_is_deleted_before_its_time(self) -> None:
        for tenant in self._tenants():
            plan = tenant.offboarding
            if plan is not None and plan.deletion_began_at is not None:
                assert plan.deletion_began_at >= plan.delete_after

    @invariant()
    def of_an_offboarded_tenant_nothing_is_left(self) -> None:
        for tenant in self._tenants():
            if tenant.status is TenantStatus.OFFBOARDED and self._nothing_runs():
                assert remains(self.fleet, tenant.tenant_id) == []

    def _watch_starts(self, answered: Answered) -> None:
        if answered.call.operation != "StartIngestionJob":
            return
        for tenant in self._tenants():
            of_the_tenant = {tenant.knowledge_base_id, tenant.beside and tenant.beside.record.knowledge_base_id}
            if answered.parameters["knowledgeBaseId"] in of_the_tenant and tenant.status in _OUT_OF_SERVICE:
                self._started_out_of_service.append(f"{tenant.tenant_id} is {tenant.status}")

    def _watch_deletions(self, answered: Answered) -> None:
        operation = answered.call.operation
        if answered.call.function != "DeleteKnowledgeFunction" or not operation.startswith("Delete"):
            return
        for tenant in self._tenants():
            if {tenant.knowledge_base_id, tenant.data_source_id} & {str(each) for each in answered.parameters.values()}:
                self._deleted_live.append(f"{operation} of {tenant.live_knowledge}")

    # --- how it must end ---

    def end(self) -> None:
        """Everything is run again until nothing is left to do. Raises: AssertionError when something is not in order
        then."""
        self.fleet.calls.disturbances.clear()
        self._finish()
        self.let_a_day_pass()  # the longest retention period here
        for _ in range(_ROUNDS):
            for tenant in self._tenants():
                self._run_again(tenant)
            self._finish()
            if any(tenant.beside is not None for tenant in self._tenants()):
                self.let_a_day_pass()  # the longest for which one is kept here
                self.let_the_hourly_round_come()
                self._finish()
            wrong = [*self._wrong_at_the_end()]
            if not wrong:
                break
        assert wrong == [], wrong
        self.fleet.timeline.run_for(600)
        self.reconcile(repair=False)  # publishes what a process that died could not
        self._every_change_was_published()
        self.fleet.timeline.run_for(2 * _SYNC_SCHEDULE_SECONDS)  # events come for certain, and the bucket is surveyed
        self._finish()
        lost = [*lost_changes(self.fleet, *(one for one in self._tenants() if not _gone(one)))]
        assert lost == [], lost
        self._every_held_sync_was_told_of_and_goes_on()
        self.fleet.timeline.run_for(SEARCHABLE_WITHIN.total_seconds())
        for tenant in self._tenants():
            if not _gone(tenant):
                wrong = self._what_is_not_well(tenant.tenant_id)
                assert wrong == [], f"{tenant.tenant_id}: {wrong}"
                self._what_is_in_the_bucket_is_found(tenant.tenant_id)

    def _every_held_sync_was_told_of_and_goes_on(self) -> None:
        told = {event["Detail"]["tenant_id"] for event in self.fleet.events if event["DetailType"] == SYNC_HELD}
        held = [tenant for tenant in self._tenants() if self.fleet.sync(tenant.tenant_id).hold is not None]
        assert {str(tenant.tenant_id) for tenant in held} <= told
        for tenant in held:
            self.accept_deletions(tenant.tenant_id)
        self._finish()
        still = [
            tenant.tenant_id
            for tenant in held
            if tenant.status is TenantStatus.ACTIVE and self.fleet.sync(tenant.tenant_id).hold is not None
        ]
        assert still == [], still

    def _run_again(self, tenant: Tenant) -> None:
        match tenant.status:
            case TenantStatus.OFFBOARDED:
                return
            case TenantStatus.OFFBOARDING if tenant.failure is None:
                self.let_the_daily_round_come()
            case TenantStatus.OFFBOARDING:
                self.offboard(tenant.tenant_id, "0")
            case _:
                if tenant.status is TenantStatus.SUSPENDED:
                    self.resume(tenant.tenant_id)
                if tenant.beside is not None and tenant.beside.role is Role.CANDIDATE:
                    self.stop_rebuilding(tenant.tenant_id)
                    self._finish()
                self._follow_remedies(tenant)
                self.provision(tenant.tenant_id)

    def _follow_remedies(self, tenant: Tenant) -> None:
        """What an execution's failure asks people to do before it is run again."""
        told = self._answered("ReconcileFunction", "GET", "/tenants/{tenant_id}/diagnosis", tenant.tenant_id)
        if told is not None and any("tenant rebuild" in each["command"] for each in told["findings"]):
            self._rebuild(tenant)
        agent, names = self.fleet.client("bedrock-agent"), self.fleet.names
        for summary in knowledge_bases(self.fleet):
            if summary["name"] != names.knowledge_base(self.fleet.knowledge(tenant.tenant_id)):
                continue
            identifier = summary["knowledgeBaseId"]
            described = agent.get_knowledge_base(knowledgeBaseId=identifier)["knowledgeBase"]
            agent.tag_resource(
                resourceArn=described["knowledgeBaseArn"], tags=names.tags(self.fleet.life(tenant.tenant_id))
            )
            for source in agent.list_data_sources(knowledgeBaseId=identifier)["dataSourceSummaries"]:
                if source["status"] in _GIVEN_UP:
                    agent.delete_data_source(knowledgeBaseId=identifier, dataSourceId=source["dataSourceId"])
                    self.fleet.timeline.run_for(120)
            if described["status"] in _GIVEN_UP:
                agent.delete_knowledge_base(knowledgeBaseId=identifier)
                self.fleet.timeline.run_for(120)

    def _rebuild(self, tenant: Tenant) -> None:
        """To its end, and until what was lost is gone; what is held of that is accepted."""
        self.accept_deletions(tenant.tenant_id)
        self._operate("PUT", "/tenants/{tenant_id}/rebuild", tenant.tenant_id, body={"keep_hours": 0})
        self._finish()
        self.fleet.timeline.run_for(AN_HOUR)
        self.let_the_daily_round_come()
        self._finish()

    def _wrong_at_the_end(self) -> Iterator[str]:
        active = {str(one.tenant_id): self.stores[one.tenant_id] for one in self._tenants() if not _gone(one)}
        yield from departures(self.fleet, active)
        yield from (f"{one.tenant_id} has {one.beside}" for one in self._tenants() if one.beside is not None)
        for tenant in self._tenants():
            if _gone(tenant):
                yield from remains(self.fleet, tenant.tenant_id)

    def _every_change_was_published(self) -> None:
        reported = {
            event["Detail"]["identity"] for event in self.fleet.events if event["DetailType"] == "Tenant State Change"
        }
        for tenant_id in TENANTS:
            changes = [(one.status, one.status_since) for one in self.fleet.stored if one.tenant_id == tenant_id]
            for status, since in dict.fromkeys(changes):
                identity = f"{tenant_id}/{status}/{datetime.fromisoformat(since).isoformat()}"
                assert identity in reported, f"{identity} was not published"

    def _what_is_not_well(self, tenant_id: str) -> list[str]:
        """What keeps the fleet from reporting that a tenant is well, in words; empty where all report well."""
        events = self.fleet.bucket_events
        if not self._nothing_runs() or events is None or not events.empty:
            return ["Something is under way."]
        shown = self._answered("TenantsFunction", "GET", "/tenants/{tenant_id}", tenant_id)
        diagnosis = self._answered("ReconcileFunction", "GET", "/tenants/{tenant_id}/diagnosis", tenant_id)
        if shown is None or diagnosis is None:
            return ["A function died."]
        sync = shown["sync"]
        ended = sync["result"] and datetime.fromisoformat(sync["result"]["ended_at"]).timestamp()
        told: Mapping[str, object] = {
            "status": shown["status"] != TenantStatus.ACTIVE,
            "state": sync["state"] != SyncState.IDLE,
            "pending": sync["pending_changes"],
            "held": sync["hold"] is not None,
            "never synced": ended is None,
            "synced a moment ago": ended and ended + SEARCHABLE_WITHIN.total_seconds() > self.fleet.timeline.now(),
            "outcome": ended and sync["result"]["outcome"] != Outcome.SUCCEEDED,
            "left out": sync["documents_left_out"],  # nobody collects failures here: mostly, that is not known
            "unnoticed": shown["changes_unnoticed_until"] is not None,
            "foreign": shown["foreign"] or shown["breached_since"],
        }
        return [
            *(what for what, wrong in told.items() if wrong),
            # Of others it is said that answers come from all documents.
            *(str(each) for each in diagnosis["findings"] if each["harm"] != Harm.MACHINERY_ONLY),
            *diagnosis["unseen"],
        ]

    def _what_is_in_the_bucket_is_found(self, tenant_id: str) -> None:
        departures = departures_from_the_bucket(self.fleet, tenant_id)
        assert departures == [], f"{tenant_id} reports well, but {departures}"

    # --- what the rules stand on ---

    def _answered(self, function: str, method: str, resource: str, tenant_id: str) -> Any:
        """Gives what the API answers; `None` when the function died."""
        answer = self._deliver(function, api_request(method, resource, query={}, tenant_id=tenant_id))
        if answer is None:
            return None
        assert answer["statusCode"] == HTTPStatus.OK, answer
        return json.loads(answer["body"])

    def _finish(self) -> None:
        """Lets everything end that has begun."""
        executions = list(self.fleet.step_functions.executions.values())
        self.fleet.timeline.run_until(lambda: all(one.ended for one in executions), within=_LONGEST)
        self.fleet.settle(*TENANTS, within=_LONGEST)

    def _nothing_runs(self) -> bool:
        return all(one.ended for one in self.fleet.step_functions.executions.values()) and self.fleet.ticks.empty

    def _tenants(self) -> list[Tenant]:
        found = map(self.fleet.tenant, TENANTS)
        return [tenant for tenant in found if tenant is not None]

    def _bucket(self, tenant_id: str) -> str | None:
        name = self.fleet.names.bucket(self.fleet.life(tenant_id))
        return name if name in buckets(self.fleet) else None


def _numbers(tenant: Tenant) -> tuple[int, ...]:
    """Of the knowledges in its record."""
    return (tenant.knowledge, *([tenant.beside.record.knowledge] if tenant.beside is not None else []))


def _gone(tenant: Tenant) -> bool:
    return tenant.status is TenantStatus.OFFBOARDED


def _index_of(storage: Mapping[str, Any]) -> str:
    match storage["type"]:
        case "S3_VECTORS":
            return str(storage["s3VectorsConfiguration"]["indexArn"]).rpartition("/")[2]
        case "OPENSEARCH_SERVERLESS":
            return str(storage["opensearchServerlessConfiguration"]["vectorIndexName"])
    raise NotImplementedError(storage["type"])


_GIVEN_UP = {"FAILED", "DELETE_UNSUCCESSFUL"}
_BUCKET_CHANGES: Mapping[str, Callable[[Any, str], object]] = {
    "versioning": lambda s3, name: s3.put_bucket_versioning(
        Bucket=name, VersioningConfiguration={"Status": "Suspended"}
    ),
    "encryption": lambda s3, name: s3.delete_bucket_encryption(Bucket=name),
    "public access block": lambda s3, name: s3.delete_public_access_block(Bucket=name),
    "policy": lambda s3, name: s3.delete_bucket_policy(Bucket=name),
    "notifications": lambda s3, name: s3.put_bucket_notification_configuration(
        Bucket=name, NotificationConfiguration={}
    ),
    "tags": lambda s3, name: s3.delete_bucket_tagging(Bucket=name),
}


def _change_description(fleet: VirtualFleet, tenant: Tenant) -> None:
    agent = fleet.client("bedrock-agent")
    described = agent.get_knowledge_base(knowledgeBaseId=tenant.knowledge_base_id)["knowledgeBase"]
    members = ("knowledgeBaseId", "name", "roleArn", "knowledgeBaseConfiguration", "storageConfiguration")
    kept = {name: described[name] for name in members if name in described}
    agent.update_knowledge_base(**kept, description="Somebody else's words")


def _remove_tags(fleet: VirtualFleet, tenant: Tenant) -> None:
    agent = fleet.client("bedrock-agent")
    described = agent.get_knowledge_base(knowledgeBaseId=tenant.knowledge_base_id)["knowledgeBase"]
    agent.untag_resource(
        resourceArn=described["knowledgeBaseArn"], tagKeys=list(fleet.names.tags(fleet.life(tenant.tenant_id)))
    )


def _change_data_source(fleet: VirtualFleet, tenant: Tenant) -> None:
    if tenant.data_source_id is None:
        return
    agent = fleet.client("bedrock-agent")
    source = {"knowledgeBaseId": tenant.knowledge_base_id, "dataSourceId": tenant.data_source_id}
    described = agent.get_data_source(**source)["dataSource"]
    configuration = as_sent(described["dataSourceConfiguration"])
    if configuration["type"] == "S3":
        configuration = {"type": "S3", "s3Configuration": {"bucketArn": "arn:aws:s3:::somebody-elses"}}
    agent.update_data_source(
        **source,
        name=described["name"],
        dataSourceConfiguration=configuration,
        dataDeletionPolicy="RETAIN",
    )


_KNOWLEDGE_BASE_CHANGES: Mapping[str, Callable[[VirtualFleet, Tenant], None]] = {
    "tags": _remove_tags,
    "description": _change_description,
    "data source": _change_data_source,
}


def live(seed: int, lives: int = 1, *, steps: int = STEPS, shortest: bool = False) -> str | None:
    """Lives that many lives, the same ones for the same seed.

    Args:
        shortest: whether the story of a life that went wrong is to be made as short as it can be, which takes minutes.

    Returns: what is wrong with the first that went wrong, and the steps that led there.
    """
    chosen = settings(
        max_examples=lives,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink) if shortest else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    # What pytest's --hypothesis-seed sets.
    with patch.object(hypothesis.core, "global_force_seed", seed):
        try:
            run_state_machine_as_test(FleetLife, settings=chosen)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in a life is what is looked for
            story = "\n".join(getattr(error, "__notes__", ()))
            return f"{type(error).__name__}: {error}\n{story}"
    return None


def prove(seeds: range, *, run: Runs = in_processes) -> Row:
    row = Row(f"lives of two tenants: {STEPS} steps of whatever can happen, in any order")
    for seed, wrong in zip(seeds, run(partial(live, lives=LIVES_A_SEED), seeds), strict=True):
        row.add(f"tests.proofs.life.live({seed}, {LIVES_A_SEED}, shortest=True): {wrong}" if wrong else None)
        row.runs += LIVES_A_SEED - 1
    return row
