"""The tick, the stopped execution, the alert queue and the authorizer, each on its sample event."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kbfleet.domain.alert import Severity
from kbfleet.domain.deletions import AnsweredFrom
from kbfleet.domain.errors import (
    AccessRefused,
    InvalidInput,
    KnowledgeStoreNotOffered,
    NotReadyYet,
    TenantOffboarding,
    Throttled,
)
from kbfleet.domain.failed_documents import DocumentRetry, FailedDocument
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.survey import PresentVersion
from kbfleet.domain.sync import Priority, Sync, SyncState
from kbfleet.domain.tenant import Lease
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.usage_plan import Tier
from kbfleet.ports import ComparedPage
from tests.handlers.conftest import Handler, LambdaContext, Logs, behind_bootstrap, event
from tests.support.clock import START
from tests.support.document_changes import change_message, sqs_batch
from tests.support.fakes import RecordingAlertChannel
from tests.support.fleet import Fleet
from tests.support.samples import ACME, EXECUTION, NAMES, SAKURA, first_knowledge, tenant, uri_of

Handlers = Callable[[str], Handler]


class TestTick:
    @pytest.mark.parametrize("trigger", ["tick", "tick_safety_net"])
    def test_both_triggers_run_one_tick(
        self, handler: Handlers, fleet: Fleet, trigger: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fleet.add(ACME)
        fleet.request(ACME)
        handler("ingestion/tick")(event(f"triggers/{trigger}"))
        assert fleet.ledger.find(first_knowledge(ACME)).state is SyncState.RUNNING
        metrics = json.loads(capsys.readouterr().out)
        assert (metrics["IngestionJobsRunning"], metrics["IngestionJobsStarted"]) == ([1.0], [1.0])
        assert "tenant_id" not in json.dumps(metrics["_aws"])  # a dimension for each tenant would cost for each tenant

    def test_an_idle_tick_is_silent(
        self, handler: Handlers, fleet: Fleet, logs: Logs, capsys: pytest.CaptureFixture[str]
    ) -> None:
        handler("ingestion/tick")(event("triggers/tick"))
        assert logs.lines == []
        assert "IngestionJobs" not in capsys.readouterr().out

    def test_a_postponed_turn_is_logged_with_its_tenant_and_reason(
        self, handler: Handlers, fleet: Fleet, logs: Logs
    ) -> None:
        knowledge_base_id = fleet.add(ACME).knowledge_base_id
        fleet.request(ACME)
        fleet.knowledge_bases.refuse_starts(knowledge_base_id, NotReadyYet("not in a valid status"))
        handler("ingestion/tick")(event("triggers/tick"))
        (line, *_) = logs.lines
        assert (line["level"], line["tenant_id"], line["error"], line["reason"]) == (
            "WARNING",
            "acme",
            "NotReadyYet",
            "not in a valid status",
        )


class TestNoteChanges:
    @pytest.fixture
    def note(self, handler: Handlers, fleet: Fleet) -> Handler:
        for tenant_id in (ACME, SAKURA):
            fleet.registry.create(tenant(tenant_id))
        return handler("ingestion/note_changes")

    @pytest.mark.parametrize("sample", ["uploads", "deletions"])
    def test_both_tenants_of_a_batch_are_queued_once(
        self, note: Handler, fleet: Fleet, sample: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        batch = event(f"triggers/note_changes_{sample}")
        assert note(batch) == {"batchItemFailures": []}
        for tenant_id in (ACME, SAKURA):
            sync = fleet.ledger.find(first_knowledge(tenant_id))
            assert (sync.requested_generation, sync.state) == (1, SyncState.QUEUED)
            assert sync.ready_at == START + timedelta(seconds=30)
        metrics = json.loads(capsys.readouterr().out)
        assert metrics["ChangesNoted"] == [float(len(batch["Records"]))]
        assert metrics["fleet"] == "kbfleet"

    @pytest.mark.parametrize("key", ["Operations meeting.md", "就業規則.md", "あ" * 341, "a/b/", "%E5+%20", '"\\'])
    def test_no_key_is_in_the_way_or_in_the_log(self, note: Handler, fleet: Fleet, logs: Logs, key: str) -> None:
        assert note(sqs_batch([change_message(NAMES.bucket(Life(ACME)), key=key)])) == {"batchItemFailures": []}
        assert fleet.ledger.find(first_knowledge(ACME)).requested_generation == 1
        assert key not in logs.text

    @pytest.mark.parametrize(
        ("message", "error"),
        [
            ("not json", "InvalidInput"),
            ("[" * 20_000, "InvalidInput"),
            ("{}", "InvalidInput"),
            ('{"source": "aws.s3", "detail-type": "Object Created", "detail": {"bucket": {}}}', "InvalidInput"),
            (
                '{"source": "aws.s3", "detail-type": "Object Tags Added", "detail": {"bucket": {"name": "x"}}}',
                "InvalidInput",
            ),
            (change_message("kbfleet-logs"), "TenantNotFound"),
            (change_message(NAMES.bucket(Life(TenantId("nobody")))), "TenantNotFound"),
        ],
        ids=range(7),
    )
    def test_what_cannot_be_noted_is_kept_as_it_was_at_once_and_holds_nothing_up(
        self, note: Handler, fleet: Fleet, logs: Logs, capsys: pytest.CaptureFixture[str], message: str, error: str
    ) -> None:
        good = change_message(NAMES.bucket(Life(ACME)))
        assert note(sqs_batch([message, good, message])) == {"batchItemFailures": []}
        assert fleet.refused_changes.kept == [(message, error)] * 2
        assert fleet.ledger.find(first_knowledge(ACME)).requested_generation == 1
        assert [line["level"] for line in logs.lines] == ["WARNING", "WARNING", "INFO"]
        metrics = json.loads(capsys.readouterr().out)
        assert metrics["MalformedChanges" if error == "InvalidInput" else "ChangesOfUnknownTenants"] == [2.0]

    def test_what_cannot_even_be_kept_is_offered_again(self, note: Handler, fleet: Fleet, logs: Logs) -> None:
        fleet.refused_changes.down = True
        answer = note(sqs_batch(["not json", change_message(NAMES.bucket(Life(ACME)))]))
        assert answer == {"batchItemFailures": [{"itemIdentifier": "0"}]}
        assert (logs.lines[0]["level"], logs.lines[0]["error"]) == ("WARNING", "NotReadyYet")

    def test_a_tenant_whose_entry_cannot_be_written_is_offered_again_alone(
        self, note: Handler, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save = fleet.ledger.save

        def throttled(sync: Sync) -> Sync:
            if sync.tenant_id == ACME:
                raise Throttled("too fast")
            return save(sync)

        monkeypatch.setattr(fleet.ledger, "save", throttled)
        batch = event("triggers/note_changes_uploads")
        failed = note(batch)["batchItemFailures"]
        assert [failure["itemIdentifier"] for failure in failed] == [
            record["messageId"] for record in batch["Records"] if NAMES.bucket(Life(ACME)) in record["body"]
        ]
        assert fleet.ledger.find(first_knowledge(SAKURA)).requested_generation == 1

    def test_the_last_deletions_of_an_offboarded_tenant_alarm_nobody(
        self, note: Handler, fleet: Fleet, capsys: pytest.CaptureFixture[str]
    ) -> None:
        gone = TenantId("gone")
        fleet.registry.create(tenant(gone, status=TenantStatus.OFFBOARDED))
        note(sqs_batch([change_message(NAMES.bucket(Life(gone)), deleted=True)] * 100))
        assert (fleet.refused_changes.kept, fleet.ledger.writes) == ([], 0)
        assert json.loads(capsys.readouterr().out)["ChangesOfLeavingTenants"] == [100.0]


class TestAnyBatch:
    KNOWN = (ACME, SAKURA, TenantId("kokeshi"))
    GONE = TenantId("gone")
    MESSAGES = st.one_of(
        st.builds(
            change_message,
            st.sampled_from(
                [
                    *(
                        NAMES.bucket(Life(each))
                        for each in (ACME, SAKURA, TenantId("kokeshi"), TenantId("gone"), TenantId("nobody"))
                    ),
                    "kbfleet-logs",
                ]
            ),
            deleted=st.booleans(),
            key=st.text(min_size=1, max_size=40),
        ),
        st.text(max_size=40),
        st.recursive(
            st.none() | st.text(max_size=5), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
        ).map(json.dumps),
    )

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(messages=st.lists(MESSAGES, min_size=1, max_size=30))
    def test_raises_every_tenant_in_it_once_and_reports_what_is_bad_and_nothing_else(
        self, handler: Handlers, monkeypatch: pytest.MonkeyPatch, messages: list[str]
    ) -> None:
        fleet = Fleet()
        for tenant_id in self.KNOWN:
            fleet.registry.create(tenant(tenant_id))
        fleet.registry.create(tenant(self.GONE, status=TenantStatus.OFFBOARDED))
        with monkeypatch.context() as patched:
            behind_bootstrap(fleet, patched)
            answer = self.loaded(handler)(sqs_batch(messages))
        assert answer == {"batchItemFailures": []}
        owners = [owner(message) for message in messages]
        for tenant_id in (*self.KNOWN, self.GONE, TenantId("nobody")):
            wanted = 1 if tenant_id in self.KNOWN and tenant_id in owners else 0
            assert fleet.ledger.find(first_knowledge(tenant_id)).requested_generation == wanted
        fine = {*self.KNOWN, "deleted in gone"}
        assert [message for message, _ in fleet.refused_changes.kept] == [
            message for message, found in zip(messages, owners, strict=True) if found not in fine
        ]
        assert fleet.ticks.requests == (1 if set(self.KNOWN) & set(owners) else 0)

    _handler: Handler | None = None

    def loaded(self, handler: Handlers) -> Handler:
        """A warm function: one cold start for all examples."""
        self._handler = self._handler or handler("ingestion/note_changes")
        return self._handler


def owner(message: str) -> str | None:
    """Whose documents a message is about, as far as the test has made it sensible."""
    try:
        reported = json.loads(message)
    except ValueError:
        return None
    if not isinstance(reported, dict) or reported.get("source") != "aws.s3":
        return None
    life = NAMES.life_of_bucket(reported["detail"]["bucket"]["name"])
    found = life.tenant_id if life is not None else None
    return "deleted in gone" if found == "gone" and reported["detail-type"] == "Object Deleted" else found


class TestRequestScheduledSyncs:
    def test_tenants_without_a_sync_for_a_day_are_queued(
        self, handler: Handlers, fleet: Fleet, logs: Logs, capsys: pytest.CaptureFixture[str]
    ) -> None:
        fleet.registry.create(tenant())
        fleet.clock.advance(24 * 3600)
        for _ in range(2):  # a schedule delivers at least once
            handler("ingestion/request_scheduled_syncs")(event("triggers/request_scheduled_syncs"))
        assert fleet.ledger.find(first_knowledge(ACME)).requested_generation == 1
        first, second = map(json.loads, capsys.readouterr().out.splitlines())
        assert (first["ScheduledSyncsRequested"], second["ScheduledSyncsRequested"]) == ([1.0], [0.0])
        (line,) = logs.lines
        assert (line["requested"], line["left_over"]) == (1, 0)

    def test_nothing_is_requested_when_the_schedule_is_switched_off(
        self, handler: Handlers, fleet: Fleet, logs: Logs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fleet.registry.create(tenant())
        fleet.clock.advance(1000 * 24 * 3600)
        monkeypatch.setenv("SYNC_EVERY_HOURS", "0")
        handler("ingestion/request_scheduled_syncs")(event("triggers/request_scheduled_syncs"))
        assert (fleet.ledger.writes, logs.lines) == (0, [])

    def test_a_bucket_that_holds_what_no_event_told_of_is_synced_in_the_time_that_is_left(
        self, handler: Handlers, fleet: Fleet, logs: Logs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fleet.add(ACME)
        record = fleet.registry.get(ACME)
        fleet.registry.replace(replace(record, events_since=fleet.clock.now()), fence=record.fence)
        fleet.request(ACME)
        fleet.tick_until_idle()
        fleet.bucket_contents.pages = [[PresentVersion(fleet.clock.now())]]
        fleet.clock.advance(600)
        requested = []
        for seconds in (30, 300):
            monkeypatch.setattr(LambdaContext, "get_remaining_time_in_millis", lambda _, left=seconds: left * 1000)
            handler("ingestion/request_scheduled_syncs")(event("triggers/request_scheduled_syncs"))
            requested.append(fleet.ledger.find(first_knowledge(ACME)).requested_generation)
        assert requested == [1, 2]
        (line,) = logs.lines
        assert line["tenant_id"] == ACME

    def test_a_bucket_that_cannot_be_listed_is_logged(
        self, handler: Handlers, fleet: Fleet, logs: Logs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fleet.add(ACME)
        record = fleet.registry.get(ACME)
        fleet.registry.replace(replace(record, events_since=fleet.clock.now()), fence=record.fence)
        fleet.request(ACME)
        fleet.tick_until_idle()
        fleet.bucket_contents.refusal = AccessRefused("ListObjectVersions: AccessDenied")
        fleet.clock.advance(600)
        monkeypatch.setattr(LambdaContext, "get_remaining_time_in_millis", lambda _: 300_000)
        handler("ingestion/request_scheduled_syncs")(event("triggers/request_scheduled_syncs"))
        (line,) = logs.lines
        assert (line["level"], line["tenant_id"]) == ("WARNING", ACME)
        assert "AccessDenied" in line["reason"]


class TestConvergeTenants:
    def test_an_update_is_followed_by_provisioning_whoever_is_not_of_its_version(
        self, handler: Handlers, fleet: Fleet, logs: Logs
    ) -> None:
        fleet.registry.create(tenant())
        for _ in range(2):  # a schedule delivers at least once
            handler("provisioning/converge_tenants")(event("triggers/converge_tenants"))
        assert [dict(request) for request in fleet.executions.requests.values()] == [{"tenant_id": ACME}]
        assert {(line["started"], line["left"]) for line in logs.lines} == {(1, 0)}


class TestStoppedExecution:
    def test_the_tenant_is_marked_and_the_bus_informed(self, handler: Handlers, fleet: Fleet) -> None:
        fleet.registry.create(
            tenant(
                status=TenantStatus.PROVISIONING,
                lease=Lease(EXECUTION, START + fleet.scheduler.start_interval),
                fence=1,
            )
        )
        handler("provisioning/record_stopped_execution")(event("triggers/record_stopped_execution"))
        record = fleet.registry.get(ACME)
        assert (record.status, record.lease) == (TenantStatus.FAILED, None)
        assert record.failure is not None
        assert (record.failure.error, record.failure.execution) == ("TIMED_OUT", EXECUTION)
        assert fleet.announcements.provisioning_failures == [(ACME, record.failure)]

    @pytest.mark.parametrize(("path", "field"), [("executionArn", "executionArn"), ("input", "input")])
    def test_an_event_that_breaks_the_contract_is_refused_by_the_field(
        self, handler: Handlers, fleet: Fleet, path: str, field: str
    ) -> None:
        broken = event("triggers/record_stopped_execution")
        del broken["detail"][path]
        with pytest.raises(InvalidInput) as refused:
            handler("provisioning/record_stopped_execution")(broken)
        assert refused.value.field == field


class TestStartProvisioning:
    @pytest.fixture
    def deliver(self, handler: Handlers) -> Callable[..., None]:
        """Delivers the sample event, or one whose detail differs from it."""

        def start(**detail: object) -> None:
            requested = event("triggers/onboarding_requested")
            requested["detail"] |= detail
            assert handler("provisioning/start_provisioning")(requested) is None

        return start

    def test_the_tenants_provisioning_starts(self, deliver: Callable[..., None], fleet: Fleet) -> None:
        deliver()
        name = f"acme-{event('triggers/onboarding_requested')['id']}"
        assert fleet.executions.requests == {name: {"tenant_id": "acme", "for_a_new_tenant": True}}
        assert fleet.registry.requested_name(ACME, execution=name, now=START) == "Acme Outdoor"

    @pytest.mark.parametrize("status", [TenantStatus.ACTIVE, TenantStatus.FAILED, TenantStatus.PROVISIONING])
    @pytest.mark.parametrize(
        "asked",
        [{"name": "Somebody Else"}, {"tier": "STANDARD"}, {"knowledge_store": "MANAGED"}, {"knowledge_store": "NONE"}],
        ids=lambda asked: next(iter(asked)),
    )
    def test_a_tenant_that_there_is_is_converged_as_it_is_and_the_difference_reported(
        self, deliver: Callable[..., None], fleet: Fleet, logs: Logs, status: TenantStatus, asked: dict[str, str]
    ) -> None:
        fleet.registry.create(tenant(name="Acme Outdoor", status=status, tier=Tier.PREMIUM))
        deliver(**asked)
        name = f"acme-{event('triggers/onboarding_requested')['id']}"
        assert fleet.executions.requests == {name: {"tenant_id": "acme"}}
        (reported,) = [line for line in logs.lines if line["level"] == "WARNING"]
        assert (reported["tenant_id"], reported["asked_otherwise"]) == ("acme", list(asked))
        assert next(iter(asked.values())) not in logs.text

    def test_nothing_is_reported_one_that_is_as_it_is_asked_for(
        self, deliver: Callable[..., None], fleet: Fleet, logs: Logs
    ) -> None:
        fleet.registry.create(tenant(name="Acme Outdoor"))
        deliver()
        assert not [line for line in logs.lines if line["level"] == "WARNING"]

    def test_no_event_can_say_that_it_is_for_a_tenant_that_there_is(
        self, deliver: Callable[..., None], fleet: Fleet
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            deliver(for_a_new_tenant=False)
        assert refused.value.field == "detail.for_a_new_tenant"
        assert fleet.executions.requests == {}

    def test_while_a_tenant_is_being_provisioned_an_event_that_asks_otherwise_finds_that_execution(
        self, handler: Handlers, deliver: Callable[..., None], fleet: Fleet
    ) -> None:
        deliver()
        (name,) = fleet.executions.requests
        lease = Lease(fleet.executions.describe(name).arn, START.replace(hour=14))
        fleet.registry.create(tenant(name="Acme Outdoor", status=TenantStatus.PROVISIONING, lease=lease))
        other = event("triggers/onboarding_requested") | {"id": "another"}
        other["detail"] |= {"name": "Somebody Else", "tier": "PREMIUM"}
        handler("provisioning/start_provisioning")(other)
        assert list(fleet.executions.requests) == [name]

    @pytest.mark.parametrize("status", ["RUNNING", "SUCCEEDED", "FAILED"])
    def test_an_event_that_is_delivered_again_starts_no_second_one_however_far_the_first_is(
        self, deliver: Callable[..., None], fleet: Fleet, status: str
    ) -> None:
        deliver()
        (name,) = fleet.executions.requests
        fleet.executions.progress(name, status=status)
        fleet.clock.advance(60)
        deliver()
        assert list(fleet.executions.requests) == [name]

    def test_another_event_for_a_tenant_that_is_being_provisioned_starts_no_second_one(
        self, handler: Handlers, deliver: Callable[..., None], fleet: Fleet
    ) -> None:
        deliver()
        (name,) = fleet.executions.requests
        lease = Lease(fleet.executions.describe(name).arn, START.replace(hour=14))
        fleet.registry.create(tenant(name="Acme Outdoor", status=TenantStatus.PROVISIONING, lease=lease))
        handler("provisioning/start_provisioning")({**event("triggers/onboarding_requested"), "id": "another"})
        assert list(fleet.executions.requests) == [name]

    @pytest.mark.parametrize(
        ("detail", "field"),
        [
            ({"tenant_id": "Acme!"}, "tenant_id"),
            ({"tenant_id": None}, "detail.tenant_id"),
            ({"name": ""}, "name"),
            ({"colour": "red"}, "detail.colour"),
        ],
    )
    def test_a_malformed_event_is_refused_by_the_field_and_starts_nothing(
        self, deliver: Callable[..., None], fleet: Fleet, detail: dict[str, object], field: str
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            deliver(**detail)
        assert refused.value.field == field
        assert fleet.executions.requests == {}

    @pytest.mark.parametrize("member", ["id", "detail", "detail-type"])
    def test_an_event_that_lacks_something_is_refused_too(self, handler: Handlers, fleet: Fleet, member: str) -> None:
        requested = event("triggers/onboarding_requested")
        del requested[member]
        with pytest.raises(InvalidInput) as refused:
            handler("provisioning/start_provisioning")(requested)
        assert refused.value.field == member
        assert fleet.executions.requests == {}

    def test_a_tenant_that_is_leaving_is_not_provisioned(self, deliver: Callable[..., None], fleet: Fleet) -> None:
        fleet.registry.create(tenant(status=TenantStatus.OFFBOARDING))
        with pytest.raises(TenantOffboarding):
            deliver()
        assert fleet.executions.requests == {}

    def test_a_tenant_that_was_offboarded_comes_back_as_a_new_one(
        self, deliver: Callable[..., None], fleet: Fleet
    ) -> None:
        fleet.registry.create(tenant(status=TenantStatus.OFFBOARDED))
        deliver()
        assert len(fleet.executions.requests) == 1

    def test_a_store_that_the_stack_does_not_have_is_refused(self, deliver: Callable[..., None], fleet: Fleet) -> None:
        with pytest.raises(KnowledgeStoreNotOffered):
            deliver(knowledge_store="PINECONE")
        assert fleet.executions.requests == {}


class TestDocumentsThatFail:
    def test_an_ended_job_is_collected_and_the_bus_informed(self, handler: Handlers, fleet: Fleet, logs: Logs) -> None:
        fleet.add(ACME)
        ended = event("triggers/collect_failures")
        uris = [uri_of("営業会議 議事録, 第2版.pdf"), uri_of("scan.pdf")]
        for uri in uris:
            fleet.bucket_contents.put(uri)
        assert handler("ingestion/collect_failures")(ended) is None
        assert {document.uri for document in fleet.failed_documents.all(Life(ACME))} == set(uris)
        (report,) = fleet.announcements.failure_reports
        assert (report.new, report.newsworthy) == (2, True)
        (line,) = logs.lines
        assert (line["tenant_id"], line["ingestion_job_id"], line["new"]) == ("acme", "JOB0000007", 2)
        assert not any(uri in logs.text for uri in uris)  # keys are the tenant's text

    def test_what_could_not_be_looked_at_is_a_warning(self, handler: Handlers, fleet: Fleet, logs: Logs) -> None:
        fleet.add(ACME)
        fleet.ingested_documents.lists = False
        ended = event("triggers/collect_failures")
        ended["detail"]["failure_reasons"] = []
        handler("ingestion/collect_failures")(ended)
        assert [line["level"] for line in logs.lines] == ["WARNING", "INFO"]

    def test_nothing_to_say_is_not_said(self, handler: Handlers, fleet: Fleet, logs: Logs) -> None:
        fleet.add(ACME)
        ended = event("triggers/collect_failures")
        ended["detail"] |= {"outcome": "SUCCEEDED", "failure_reasons": []}
        handler("ingestion/collect_failures")(ended)
        assert fleet.announcements.failure_reports == []
        assert logs.lines == []

    def test_a_retry_takes_its_steps_to_its_end(self, handler: Handlers, fleet: Fleet, logs: Logs) -> None:
        fleet.add(ACME)
        fleet.failed_documents.save(Life(ACME), FailedDocument(uri_of("a.pdf"), "no text", START, START))
        fleet.bucket_contents.put(uri_of("a.pdf"))
        fleet.clock.advance(60)
        fleet.retry_runs.request(fleet.document_retries.save(DocumentRetry(ACME, "1", fleet.clock.now())))
        while fleet.retry_runs.waiting:
            _, version = fleet.retry_runs.waiting.pop(0)
            message = event("triggers/retry_documents")
            message["Records"][0]["body"] = json.dumps(json.loads(message["Records"][0]["body"]) | {"version": version})
            handler("ingestion/retry_documents")(message)
            fleet.clock.advance(10)
        assert not list(fleet.failed_documents.all(Life(ACME)))
        (line,) = logs.lines
        assert (line["tenant_id"], line["fixed"], line["failed"]) == ("acme", 1, 0)
        (report,) = fleet.announcements.retry_reports
        assert (report.tenant_id, report.fixed, report.left) == ("acme", 1, 0)


class TestCheckDeletions:
    def answered_from(self, fleet: Fleet) -> Sync:
        source = fleet.add(ACME)
        began = fleet.clock.now()
        entry = Sync(ACME, answered_from=AnsweredFrom(source.data_source_id, 1000, began, began))
        return fleet.ledger.save(entry.requested(began, Priority.CHANGED))

    def test_a_sync_that_would_delete_much_is_held_and_that_is_logged(
        self, handler: Handlers, fleet: Fleet, logs: Logs
    ) -> None:
        self.answered_from(fleet)
        fleet.bucket_contents.compared_pages = [ComparedPage(600, 400, 0, None)]
        handler("ingestion/check_deletions")(event("triggers/check_deletions"))
        assert fleet.ledger.find(first_knowledge(ACME)).hold is not None
        (line,) = logs.lines
        assert (line["tenant_id"], line["reason"], line["missing"]) == ("acme", "DELETIONS", 400)

    def test_a_bucket_that_cannot_be_checked_now_is_logged(self, handler: Handlers, fleet: Fleet, logs: Logs) -> None:
        self.answered_from(fleet)
        fleet.bucket_contents.refusal = Throttled("Slow down.")
        handler("ingestion/check_deletions")(event("triggers/check_deletions"))
        (line,) = logs.lines
        assert (line["tenant_id"], line["error"], line["reason"]) == ("acme", "Throttled", "Slow down.")

    def test_one_that_may_be_synced_gets_a_tick(self, handler: Handlers, fleet: Fleet, logs: Logs) -> None:
        self.answered_from(fleet)
        handler("ingestion/check_deletions")(event("triggers/check_deletions"))
        assert (fleet.ticks.requests, logs.lines) == (1, [])


class TestSendAlert:
    @pytest.mark.parametrize(
        ("sample", "subject"),
        [
            ("ingestion_failed", "acme"),
            ("ingestion_degraded", "sakura"),
            ("sync_held", "acme"),
            ("documents_retried", "sakura"),
            ("provisioning_failed", "acme"),
            ("offboarding_failed", "acme"),
            ("alarm", "kbfleet-Monitoring-1A2B3C4D5E6F7-TicksFailingAlarm-1A2B3C4D5E6F7"),
        ],
    )
    def test_an_event_becomes_an_alert(
        self, handler: Handlers, alerts: RecordingAlertChannel, sample: str, subject: str
    ) -> None:
        answer = handler("notifier/send_alert")(event(f"triggers/send_alert_{sample}"))
        assert answer == {"batchItemFailures": []}
        (sent,) = alerts.sent
        assert (sent.subject, sent.severity) == (subject, Severity.BROKEN)

    @pytest.mark.parametrize(
        ("failure", "end"),
        [
            ("ingestion_failed", "ingestion_recovered"),
            ("sync_held", "ingestion_recovered"),
            ("provisioning_failed", "execution_succeeded"),
            ("alarm", "alarm_over"),
        ],
    )
    def test_the_end_of_what_was_reported_is_reported_too(
        self, handler: Handlers, alerts: RecordingAlertChannel, failure: str, end: str
    ) -> None:
        for sample in (failure, end):
            handler("notifier/send_alert")(event(f"triggers/send_alert_{sample}"))
        assert [sent.severity for sent in alerts.sent] == [Severity.BROKEN, Severity.RECOVERED]

    def test_an_offboarding_that_made_way_for_a_resumption_ends_no_trouble(
        self, handler: Handlers, alerts: RecordingAlertChannel
    ) -> None:
        superseded = event("triggers/send_alert_execution_succeeded")
        reported = json.loads(superseded["Records"][0]["body"].replace("provision-tenant", "offboard-tenant"))
        reported["detail"]["output"] = json.dumps(
            {"tenant_id": "acme", "failure": {"Error": "LeaseLost", "Cause": "{}"}}
        )
        superseded["Records"][0]["body"] = json.dumps(reported)
        for batch in (event("triggers/send_alert_ingestion_failed"), superseded):
            assert handler("notifier/send_alert")(batch) == {"batchItemFailures": []}
        assert [sent.severity for sent in alerts.sent] == [Severity.BROKEN]

    @pytest.mark.parametrize("end", ["ingestion_recovered", "execution_succeeded", "alarm_over"])
    def test_the_end_of_nothing_is_no_news(self, handler: Handlers, alerts: RecordingAlertChannel, end: str) -> None:
        assert handler("notifier/send_alert")(event(f"triggers/send_alert_{end}")) == {"batchItemFailures": []}
        assert alerts.sent == []

    def test_a_batch_of_failures_for_one_cause_is_one_message(
        self, handler: Handlers, alerts: RecordingAlertChannel
    ) -> None:
        batch = event("triggers/send_alert_ingestion_failed")
        (record,) = batch["Records"]
        tenants = [f"tenant-{number}" for number in range(10)]
        batch["Records"] = [
            {**record, "messageId": tenant, "body": record["body"].replace("acme", tenant)} for tenant in tenants
        ]
        assert handler("notifier/send_alert")(batch) == {"batchItemFailures": []}
        (sent,) = alerts.sent
        assert sent.title.startswith("10 tenants: ")

    def test_what_there_is_no_time_left_for_is_offered_again(
        self, handler: Handlers, alerts: RecordingAlertChannel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tests.handlers.conftest.LambdaContext.get_remaining_time_in_millis", lambda _: 5_000)
        batch = event("triggers/send_alert_ingestion_failed")
        answer = handler("notifier/send_alert")(batch)
        assert answer == {"batchItemFailures": [{"itemIdentifier": batch["Records"][0]["messageId"]}]}
        assert alerts.sent == []

    def test_an_event_that_is_delivered_again_becomes_no_second_alert(
        self, handler: Handlers, alerts: RecordingAlertChannel
    ) -> None:
        for _ in range(3):  # each time in another execution environment
            handler("notifier/send_alert")(event("triggers/send_alert_ingestion_failed"))
        assert len(alerts.sent) == 1

    def test_the_same_event_twice_in_one_batch_becomes_one_alert(
        self, handler: Handlers, alerts: RecordingAlertChannel
    ) -> None:
        batch = event("triggers/send_alert_ingestion_failed")
        batch["Records"].append({**batch["Records"][0], "messageId": "another"})
        handler("notifier/send_alert")(batch)
        assert len(alerts.sent) == 1

    def test_what_the_channel_does_not_take_is_offered_again_until_it_does(
        self, handler: Handlers, alerts: RecordingAlertChannel, logs: Logs
    ) -> None:
        batch = event("triggers/send_alert_ingestion_failed")
        alerts.down = True
        answer = handler("notifier/send_alert")(batch)
        assert answer == {"batchItemFailures": [{"itemIdentifier": batch["Records"][0]["messageId"]}]}
        alerts.down = False
        assert handler("notifier/send_alert")(batch) == {"batchItemFailures": []}
        assert len(alerts.sent) == 1

    def test_a_failed_delivery_is_logged_with_its_reason(
        self, handler: Handlers, alerts: RecordingAlertChannel, logs: Logs
    ) -> None:
        alerts.down = True
        handler("notifier/send_alert")(event("triggers/send_alert_ingestion_failed"))
        _recorded, line = logs.lines
        assert line["incident"].endswith("/1")
        assert (line["level"], line["error"], line["reason"]) == (
            "WARNING",
            "AlertNotDelivered",
            "The channel is down.",
        )

    @pytest.mark.parametrize(
        "body",
        [
            "not json",
            "{}",
            "[]",
            '{"detail-type": "Something Else", "detail": {"identity": "x"}}',
            '{"detail-type": "Provisioning Failed", "detail": {"execution": "x"}}',
        ],
    )
    def test_a_message_that_makes_no_sense_fails_alone_and_is_logged(
        self, handler: Handlers, alerts: RecordingAlertChannel, logs: Logs, body: str
    ) -> None:
        batch = event("triggers/send_alert_ingestion_failed")
        batch["Records"].insert(0, {**batch["Records"][0], "messageId": "broken", "body": body})
        answer = handler("notifier/send_alert")(batch)
        assert answer == {"batchItemFailures": [{"itemIdentifier": "broken"}]}
        assert len(alerts.sent) == 1
        assert [line["level"] for line in logs.lines] == ["WARNING", "INFO", "INFO"]
