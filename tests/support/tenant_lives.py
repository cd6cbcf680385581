"""Everything that can happen to a tenant, once, by the real functions in virtual time.

For audits that ask what the functions do: every path that makes a call of its own is taken.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from moto.iam.models import iam_backends

import kbfleet.bootstrap
from bedrock_emulator.reading import parsers
from kbfleet.domain.document_names import document_id
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.names import TenantId
from kbfleet.domain.tenant_status import TenantStatus
from tests.support.api_requests import queried
from tests.support.aws_calls import Call, Moment
from tests.support.data_source_configurations import as_sent
from tests.support.document_changes import change_message, sqs_batch
from tests.support.http_server import Reply, serving
from tests.support.log_batches import packed
from tests.support.state_machine import Execution, Json, TaskFailed
from tests.support.template import REPOSITORY
from tests.support.tokens import AUDIENCE, ISSUER, TENANT_CLAIM, claims, key_set, token
from tests.support.troubles import tell_of_trouble
from tests.support.virtual_fleet import AN_HOUR, FIRST_DOCUMENT, VirtualFleet, kill_first

_SERVED_BY = {
    "get_documents": "DocumentsFunction",
    "get_document": "DocumentsFunction",
    "delete_document": "DocumentsFunction",
    "get_link": "LinksFunction",
    "post_link": "LinksFunction",
    **dict.fromkeys(
        (
            "post_questions",
            "get_questions",
            "delete_question",
            "post_question_run",
            "get_question_runs",
            "get_question_stands",
        ),
        "QuestionsFunction",
    ),
}
A_SHORT_LEASE = 600
"""Seconds. Thousands of ticks that only watch a job hang would prove nothing."""
A_DAY = 86_400.0
SHIPPED_PROFILES = REPOSITORY / "examples" / "profiles"
MODELS_OF_PROFILES = (
    "arn:aws:bedrock:ap-northeast-1:123456789012:inference-profile/apac.amazon.nova-pro-v1:0,"
    "arn:aws:bedrock:ap-northeast-1::foundation-model/amazon.rerank-v1:0"
)
"""What IngestionModelArns has to be for shipped profiles, and for one that has a reranker."""
FOREIGN_KNOWLEDGE_BASES = 100
"""As many as the quota of knowledge bases of type VECTOR."""


def live_everything(fleet: VirtualFleet, store: str) -> None:
    """Tenants live through all that there is, one after the other."""
    lives = Lives(fleet, store)
    lives.of_one_that_stays_well("acme")
    lives.of_one_that_has_a_profile("chosen")
    lives.of_those_that_have_shipped_profiles()
    lives.of_one_whose_golden_questions_are_asked("curious")
    lives.of_one_that_is_rebuilt("rebuilt")
    lives.of_one_whose_candidate_waits_for_room("crowded", kept="roomy")
    lives.of_one_that_leaves("leaving")
    lives.of_one_whose_documents_fail("patchy")
    lives.of_one_whose_syncs_go_wrong("broken")
    lives.of_one_whose_jobs_others_start("visited")
    lives.of_one_whose_documents_vanish("emptied")
    lives.of_one_whose_execution_dies("stopped")
    lives.of_one_that_is_suspended_while_an_execution_waits("held")
    lives.of_one_whose_knowledge_base_vanishes("bereft")
    lives.of_one_whose_index_vanishes("emptied")
    lives.of_one_whose_record_is_wrong("mistaken")
    lives.of_one_whose_knowledge_base_others_change("breached")
    lives.of_one_whose_data_source_others_change("misled", found_by_a_look=True)
    lives.of_one_whose_data_source_others_change("astray", found_by_a_look=False)
    lives.of_one_that_comes_back("returning")
    lives.of_one_that_cannot_leave("stuck")
    lives.of_one_that_leaves_while_an_execution_waits("waiting")
    lives.of_one_whose_request_dies_half_way("halfway")
    lives.of_one_that_the_product_asks_for("requested")
    lives.of_one_that_is_repaired("damaged")
    lives.of_one_that_an_update_finds("outdated")
    lives.of_one_that_no_capacity_is_left_for("late")
    lives.of_alerts()
    lives.of_one_whose_offboarding_fails("quitter")
    lives.of_those_whom_the_schedule_reaches()


def live_on_a_store(fleet: VirtualFleet, store: str) -> None:
    """Tenants live through what depends on where the vectors are."""
    lives = Lives(fleet, store)
    lives.of_one_that_stays_well("acme")
    lives.of_one_that_leaves("leaving")
    lives.of_one_whose_knowledge_base_vanishes("bereft")
    if store != "MANAGED":
        lives.of_one_whose_index_vanishes("emptied")
    lives.of_one_that_is_rebuilt("rebuilt")
    if store == "OPENSEARCH_SERVERLESS":
        lives.of_one_that_moves("moving")
    lives.of_those_that_have_shipped_profiles()
    lives.reconcile()


@dataclass
class Lives:
    fleet: VirtualFleet
    store: str

    # --- lives ---

    def of_one_that_stays_well(self, tenant_id: str) -> None:
        provisioning = self.provisioned(tenant_id)
        self.api("get_tenant", tenant_id)
        assert tenant_id in {each["tenant_id"] for each in self.api("get_tenants", tenant_id)["tenants"]}
        assert self.api("get_fleet", tenant_id)["tenants"]
        self.api("get_provisioning", tenant_id, named=provisioning.name)
        self.upload(tenant_id, "rental-terms.md", "A tent is rented for three days at least.")
        self.sync(tenant_id)
        (job, *_) = self.api("get_jobs", tenant_id)["jobs"]
        self.api("get_job", tenant_id, named=job["ingestion_job_id"])
        self.let_in(tenant_id)
        self.ask(tenant_id)
        self.count_usage(tenant_id)
        request = sample("post_upload", tenant_id)
        for key in ("handbook/rental-terms.pdf", "ガイド/レンタル.pdf"):  # the second one can be spelled in two ways
            body = json.dumps(json.loads(request["body"]) | {"key": key})
            answer = self.fleet.invoke("UploadsFunction", request | {"body": body})
            assert answer["statusCode"] == 201, answer
        answer = self.fleet.invoke("UploadsFunction", sample("post_uploads", tenant_id))
        assert answer["statusCode"] == 200, answer
        self.look_at_documents(tenant_id)
        event = sample("get_why", tenant_id) | queried(key="rental-terms.md")
        answer = self.fleet.invoke("WhyFunction", event)
        # moto's S3 has the machine's clock: where the document is found to be stuck has no meaning here.
        assert answer["statusCode"] == 200, answer
        answer = self.fleet.invoke("ReconcileFunction", sample("get_diagnosis", tenant_id))
        assert json.loads(answer["body"])["well"], answer
        self.collect(tenant_id, status="FAILED", outcome="FAILED", final=True)
        self.remove(tenant_id, "rental-terms.md")
        self.tell_of_changes(tenant_id)
        self.fleet.settle(tenant_id)
        self.let_drift(tenant_id)
        self.provisioned(tenant_id)
        self.move_to_another_tier(tenant_id)
        self.api("put_suspension", tenant_id)
        self.api("delete_suspension", tenant_id)

    def of_one_that_has_a_profile(self, tenant_id: str) -> None:
        embedding = {} if self.store == "MANAGED" else {"embedding": {"dimensions": 512}}
        ingestion = {"knowledge_store": self.store, **embedding}
        reranker = {} if self.store == "MANAGED" else {"reranker": {"model": "amazon.rerank-v1:0", "candidates": 20}}
        for request in ("post_profile_check", "put_profile", "get_profile", "get_profiles"):
            body = json.dumps({"ingestion": ingestion, "answering": {"passages": 3, **reranker}})
            self.profile(request, {} if request.startswith("get_") else {"body": body})
        self.given(tenant_id, "office-documents")
        self.ask(tenant_id)
        answer = self.fleet.invoke("ReconcileFunction", sample("get_diagnosis", tenant_id))
        assert json.loads(answer["body"])["well"], answer
        self.profile("delete_profile", status=409)
        spare = {"pathParameters": {"profile": "spare"}, "path": "/profiles/spare"}
        self.profile("put_profile", {"body": "{}", **spare})
        self.profile("delete_profile", spare)

    def of_those_that_have_shipped_profiles(self) -> None:
        """One for each that this store takes, from its first document to an answer; the others are refused by name."""
        taken = []
        for path in sorted(SHIPPED_PROFILES.glob("*.json")):
            tenant_id, file = path.stem, json.loads(path.read_text("utf-8"))
            ingestion = {"knowledge_store": self.store} | file["ingestion"]
            body = json.dumps({"ingestion": ingestion, "answering": file["answering"]})
            put = {"pathParameters": {"profile": tenant_id}, "path": f"/profiles/{tenant_id}", "body": body}
            check = put | {"path": f"/profiles/{tenant_id}/check"}
            checked = self.fleet.invoke("ProfilesFunction", sample("post_profile_check", "acme") | check)
            assert checked["statusCode"] == 200, checked
            refusals = json.loads(checked["body"])["refusals"]
            if refusals:
                self.profile("put_profile", put, status=400)
                assert {refusal["field"] for refusal in refusals} <= {"ingestion.parser.kind"}, refusals
                continue
            self.profile("put_profile", put)
            if ingestion["knowledge_store"] == self.store:
                # No document here is a picture, so nobody has to see.
                with patch.object(parsers, "can_see", return_value=True):
                    self.given(tenant_id, tenant_id)
                    self.upload(tenant_id, "rental-terms.md", "A tent is rented for three days at least.")
                    self.sync(tenant_id)
                self.ask(tenant_id)
                taken.append(tenant_id)
        assert taken, self.store

    def given(self, tenant_id: str, profile: str) -> None:
        """The tenant has that profile from now on."""
        name = self.api("put_tenant", tenant_id, body=json.dumps({"profile": profile}))["execution"]
        (execution,) = (each for each in self.executions("provision_tenant", tenant_id) if each.name == name)
        assert self.fleet.finish(execution).status == "SUCCEEDED", (tenant_id, execution.failures)

    def of_one_whose_golden_questions_are_asked(self, tenant_id: str) -> None:
        """Nobody else asks it, or by its profile: whoever asks golden questions gets credentials and finds the profile.
        Its document vanishes."""
        self.provisioned(tenant_id)
        few = {"pathParameters": {"profile": "few"}, "path": "/profiles/few", "body": '{"answering": {"passages": 3}}'}
        self.profile("put_profile", few)
        self.given(tenant_id, "few")
        self.upload(tenant_id, "rental-terms.md", "A tent is rented for three days at least.")
        self.sync(tenant_id)
        question = self.expect(tenant_id, "A tent is rented for three days at least.", "rental-terms.md")
        self.ask_golden_questions(tenant_id, regressed=False)
        self.remove(tenant_id, "rental-terms.md")
        self.sync(tenant_id)
        self.ask_golden_questions(tenant_id, regressed=True)
        self.api("delete_question", tenant_id, named=question)
        self.fleet.invoke("RequestQuestionRoundFunction", sample("request_question_round", ""))

    def of_one_that_is_rebuilt(self, tenant_id: str) -> None:
        """Its candidate is promoted, rolled back, and promoted again; what was live is deleted, although its vectors
        cannot be. Another candidate is deleted in the midst of its ingestion; and one cannot be ingested."""
        self.provisioned(tenant_id)
        self.upload(tenant_id, "rental-terms.md", "A tent is rented for three days at least.")
        self.sync(tenant_id)
        self.expect(tenant_id, "A tent is rented for three days at least.", "rental-terms.md")
        first = self.rebuild(tenant_id)
        self.until(lambda: "Begin Candidate Sync" in first.states)
        second = self.fleet.start("rebuild_tenant", {"tenant_id": tenant_id}, f"{tenant_id}-late")
        assert self.fleet.finish(first, second).status == "SUCCEEDED"
        assert first.status == "SUCCEEDED", first.failures
        self.api("get_rebuild", tenant_id, named=first.name)
        death = kill_first("PutItem", Moment.AFTER, function="TenantsFunction")
        with self.fleet.disturbed(death), suppress(TaskFailed):
            self.api("put_knowledge", tenant_id, body=json.dumps({"live": 1}))
        self.fleet.invoke("ReconcileFunction", sample("hourly", ""))  # does what was left undone
        for number in (1, 2):
            self.api("put_knowledge", tenant_id, body=json.dumps({"live": number}))
            self.fleet.settle(tenant_id)
        self.fleet.timeline.run_for(A_DAY)
        self.fleet.invoke("ReconcileFunction", sample("hourly", ""))
        removal = self.executions("rebuild_tenant", tenant_id)[-1]
        self.fleet.timeline.run_for(5)
        self.leave_the_other_in_doubt(tenant_id)
        self.lose_vectors(tenant_id)
        assert self.fleet.finish(removal).status == "SUCCEEDED", removal.failures
        stopped = self.rebuild(tenant_id)
        self.until(lambda: "Await Candidate" in stopped.states)
        self.fleet.timeline.run_for(90)
        self.api("delete_rebuild", tenant_id)
        self.fleet.finish(*self.executions("rebuild_tenant", tenant_id))
        self.fleet.timeline.run_for(60)
        self.order({"effect": "job_fails", "failureReasons": ["The role was deleted."], "count": 1})
        failed = self.rebuild(tenant_id)
        assert self.fleet.finish(failed).failures[-1] == ("Await Candidate", "CandidateNotIngested")

    def of_one_whose_candidate_waits_for_room(self, tenant_id: str, kept: str) -> None:
        """What another tenant keeps beside its live knowledge leaves for it: that of `kept`, if of nobody else."""
        for each in (tenant_id, kept):
            self.provisioned(each)
        assert self.fleet.finish(self.rebuild(kept)).status == "SUCCEEDED"
        self.make_a_foreign_knowledge_base("anybodys")
        self._forget_what_was_counted()
        bases = self.fleet.emulator._account.knowledge_bases.values()
        used = sum(each.configuration["type"] == "VECTOR" for each in bases)
        with patch.object(KnowledgeBaseKind, "quota", used):
            waiting = self.fleet.finish(self.rebuild(tenant_id))
        assert waiting.status == "SUCCEEDED", waiting.failures
        assert ("Reserve Rebuild", "NotReadyYet") in waiting.failures

    def of_one_that_moves(self, tenant_id: str) -> None:
        """Onto another knowledge store; and what was on the first one is deleted there."""
        self.provisioned(tenant_id)
        elsewhere = {"pathParameters": {"profile": "elsewhere"}, "path": "/profiles/elsewhere"}
        self.profile("put_profile", {**elsewhere, "body": '{"ingestion": {"knowledge_store": "S3_VECTORS"}}'})
        assert self.fleet.finish(self.rebuild(tenant_id, profile="elsewhere", keep_hours=0)).status == "SUCCEEDED"
        self.fleet.timeline.run_for(1_000)
        self.fleet.invoke("ReconcileFunction", sample("hourly", ""))
        removal = self.fleet.finish(self.executions("rebuild_tenant", tenant_id)[-1])
        assert removal.status == "SUCCEEDED", removal.failures
        tenant = self.fleet.tenant(tenant_id)
        assert tenant is not None
        assert (tenant.knowledge_store, tenant.beside) == ("S3_VECTORS", None)

    def rebuild(self, tenant_id: str, **wanted: object) -> Execution:
        """Begun."""
        name = self.api("put_rebuild", tenant_id, body=json.dumps(wanted))["execution"]
        (execution,) = (each for each in self.executions("rebuild_tenant", tenant_id) if each.name == name)
        return execution

    def leave_the_other_in_doubt(self, tenant_id: str) -> None:
        """There may be a second knowledge base beside the live one."""
        registry = kbfleet.bootstrap.registry()
        tenant = registry.get(TenantId(tenant_id))
        seen = tenant.seen_from_beside()
        registry.replace(replace(seen, knowledge_base_alone=False).as_recorded(), fence=tenant.fence)

    def of_one_whose_syncs_go_wrong(self, tenant_id: str) -> None:
        self.order({"effect": "job_fails", "failureReasons": ["The role was deleted."], "count": 1})
        assert self.provision(tenant_id).status == "FAILED"
        self.provisioned(tenant_id)
        passing = {"code": "ValidationException", "message": "The data source is not in a valid status."}
        self.order({"effect": "error", "operation": "StartIngestionJob", "count": 1, **passing})
        self.sync(tenant_id)
        self.start_in_console(tenant_id)  # the tick that starts the next one is refused, and follows this one
        self.sync(tenant_id, settled=False)
        self.fleet.timeline.run_for(150)  # it comes with the second tick, after a check, and a job takes three minutes
        self.stop_in_console(tenant_id)
        self.fleet.settle(tenant_id)
        self.sync(tenant_id, settled=False)
        self.fleet.timeline.run_for(60)
        self.api("put_suspension", tenant_id)  # stops the job
        self.fleet.settle(tenant_id)

    def of_one_whose_jobs_others_start(self, tenant_id: str) -> None:
        self.provisioned(tenant_id)
        self.start_in_console(tenant_id)
        self.fleet.timeline.run_for(AN_HOUR)
        self.start_in_console(tenant_id)
        self.fleet.timeline.run_for(20)
        self.fleet.invoke("FindExternalJobsFunction", sample("hourly", ""))  # records the first, adopts the second
        assert self.fleet.sync(tenant_id).job is not None
        self.fleet.settle(tenant_id)

    def of_one_whose_documents_vanish(self, tenant_id: str) -> None:
        """While an execution waits for a sync that is held; what is answered from, the version before has not kept."""
        self.provisioned(tenant_id)
        self.upload(tenant_id, "terms.md", "A tent is rented for three days at least.")
        self.sync(tenant_id)
        for key in ("terms.md", FIRST_DOCUMENT):
            self.remove(tenant_id, key)
        ledger = kbfleet.bootstrap.ledger()
        ledger.save(replace(self.fleet.sync(tenant_id), answered_from=None))
        self.fleet.invoke("SendAlertFunction", sample("send_alert_isolation_breached", tenant_id))
        self.provisioned(tenant_id)
        hold = self.fleet.sync(tenant_id).hold
        assert hold is not None
        self.api("post_sync", tenant_id, body=json.dumps({"accept_deletions": hold.missing}))
        self.fleet.settle(tenant_id)
        assert self.fleet.sync(tenant_id).hold is None

    def of_one_whose_documents_fail(self, tenant_id: str) -> None:
        self.provisioned(tenant_id)
        self.upload_that_fails(tenant_id, "terms.md")
        self.collect(tenant_id)
        self.sync(tenant_id)  # which repairs it
        self.collect(tenant_id)
        self.upload_that_fails(tenant_id, "prices.md")
        self.ingest_directly(tenant_id, "s3://somebody-elses/house.md")
        self.collect(tenant_id, failure_reasons=[])  # the job names none: they are looked for
        assert len(self.failing(tenant_id)["documents"]) == 1
        self.api("post_document_retry", tenant_id)
        self.until(lambda: self.failing(tenant_id)["retry"]["ended_at"] is not None)
        assert not self.failing(tenant_id)["documents"]

    def of_one_whose_execution_dies(self, tenant_id: str) -> None:
        execution = self.begin(tenant_id)
        self.until(lambda: "Ensure Knowledge Store" in execution.states)
        self.fleet.stop(execution)
        self.until(lambda: self.status(tenant_id) is TenantStatus.FAILED)
        # Somebody repairs it much later: by then, S3 tells of what its bucket holds, and there was no job yet.
        self.fleet.timeline.run_for(1_000)
        self.order({"effect": "job_hangs", "count": 1})
        waiting = self.begin(tenant_id)
        self.until(lambda: self.fleet.sync(tenant_id).job is not None)
        self.fleet.stop(waiting)
        self.until(lambda: self.status(tenant_id) is TenantStatus.FAILED)
        again = self.begin(tenant_id)
        self.until(lambda: "Run First Sync" in again.states)
        self.stop_in_console(tenant_id)
        self.fleet.finish(again)
        self.provisioned(tenant_id)

    def of_one_that_is_suspended_while_an_execution_waits(self, tenant_id: str) -> None:
        self.provisioned(tenant_id)
        self.die_silently_while_waiting_for_a_sync(tenant_id)
        self.fleet.timeline.run_for(A_SHORT_LEASE)
        self.api("put_suspension", tenant_id)

    def of_one_whose_knowledge_base_vanishes(self, tenant_id: str) -> None:
        self.provisioned(tenant_id)
        self.client("bedrock-agent").delete_knowledge_base(**self.knowledge_base(tenant_id))
        self.fleet.timeline.run_for(120)
        assert self.provision(tenant_id).failures[-1] == ("Ensure Knowledge Base", "KnowledgeLost")
        self.read_anew(tenant_id)

    def of_one_whose_index_vanishes(self, tenant_id: str) -> None:
        """Its data source is used by a job, and was to leave its vectors behind."""
        self.provisioned(tenant_id)
        self.fleet.timeline.run_for(60)
        agent, ids = self.client("bedrock-agent"), self.data_source(tenant_id)
        found = agent.get_data_source(**ids)["dataSource"]
        retaining = {"dataSourceConfiguration": found["dataSourceConfiguration"], "dataDeletionPolicy": "RETAIN"}
        agent.update_data_source(**ids, name=found["name"], **retaining)
        self.lose_vectors(tenant_id)
        # Whoever misses the index looks whether the store is there.
        self.collect(tenant_id, status="FAILED", outcome="FAILED", final=True)
        self.fleet.invoke("ReconcileFunction", sample("get_diagnosis", tenant_id))
        self.start_in_console(tenant_id)
        assert self.provision(tenant_id).failures[-1] == ("Ensure Knowledge Store", "KnowledgeLost")
        self.read_anew(tenant_id)
        assert self.data_source(tenant_id) != ids

    def read_anew(self, tenant_id: str) -> None:
        """By a rebuild; what was lost goes after that."""
        assert self.fleet.finish(self.rebuild(tenant_id, keep_hours=0)).status == "SUCCEEDED"
        self.fleet.settle(tenant_id)
        self.fleet.timeline.run_for(1_000)
        self.fleet.invoke("ReconcileFunction", sample("hourly", ""))
        removal = self.fleet.finish(self.executions("rebuild_tenant", tenant_id)[-1])
        assert removal.status == "SUCCEEDED", removal.failures
        self.provisioned(tenant_id)

    def of_one_whose_record_is_wrong(self, tenant_id: str) -> None:
        """It names another tenant's knowledge base."""
        self.provisioned(tenant_id)
        registry, own = kbfleet.bootstrap.registry(), self.knowledge_base(tenant_id)
        record = registry.get(TenantId(tenant_id))
        anothers = self.knowledge_base("acme")["knowledgeBaseId"]
        registry.replace(replace(record, knowledge_base_id=anothers), fence=record.fence)
        self.provisioned(tenant_id)
        assert self.knowledge_base(tenant_id) == own

    def of_one_whose_knowledge_base_others_change(self, tenant_id: str) -> None:
        """Somebody adds a data source that reads another tenant's bucket, and lets the service role read it."""
        self.provisioned(tenant_id)
        self.open_the_service_role(tenant_id)
        agent, ids = self.client("bedrock-agent"), self.knowledge_base(tenant_id)
        wanted = as_sent(agent.get_data_source(**self.data_source("acme"))["dataSource"]["dataSourceConfiguration"])
        self.upload("acme", "warranty.md", "The warranty of the tent is two years long.")
        added = agent.create_data_source(**ids, name="quick-test", dataSourceConfiguration=wanted)["dataSource"]
        self.fleet.timeline.run_for(60)
        agent.start_ingestion_job(**ids, dataSourceId=added["dataSourceId"])
        self.fleet.timeline.run_for(600)
        assert self.fleet.invoke("AskFunction", sample("ask", tenant_id))["statusCode"] == 403
        self.fleet.invoke("SendAlertFunction", sample("send_alert_isolation_breached", tenant_id))
        # Also a comparison finds it, and gives the live one no credit for it.
        self.expect(tenant_id, "The warranty of the tent is two years long.", "rental-terms.md")
        assert self.fleet.finish(self.rebuild(tenant_id, compare_only=True)).status == "SUCCEEDED"
        self.fleet.timeline.run_for(1)
        self.api("delete_rebuild", tenant_id)
        self.fleet.finish(*self.executions("rebuild_tenant", tenant_id))
        self.reconcile()  # also looks at the documents, for the breach is open
        agent.start_ingestion_job(**ids, dataSourceId=added["dataSourceId"])  # which is stopped
        self.provisioned(tenant_id)
        self.reconcile()  # also searches by the tenant's credentials, for nothing else is found any more
        self.remove("acme", "warranty.md")

    def of_one_whose_data_source_others_change(self, tenant_id: str, *, found_by_a_look: bool) -> None:
        """Somebody has the tenant's own data source read another tenant's bucket, while an execution waits for a sync
        from it: whoever sees that first answers the execution."""
        self.provisioned(tenant_id)
        self.die_silently_while_waiting_for_a_sync(tenant_id)
        agent, ids = self.client("bedrock-agent"), self.data_source(tenant_id)
        anothers = agent.get_data_source(**self.data_source("acme"))["dataSource"]["dataSourceConfiguration"]
        agent.update_data_source(**ids, name="documents", dataSourceConfiguration=anothers)
        self.fleet.timeline.run_for(A_SHORT_LEASE)
        if found_by_a_look:
            self.reconcile()
            assert not self.fleet.sync(tenant_id).waiters
        execution = self.begin(tenant_id)
        self.until(lambda: "Run First Sync" in execution.states)
        self.stop_in_console(tenant_id)
        assert self.fleet.finish(execution).status == "SUCCEEDED"

    def of_one_that_comes_back(self, tenant_id: str) -> None:
        self.provisioned(tenant_id)
        self.api("delete_tenant", tenant_id, **queried(retention_days="30"))
        assert self.executions("offboard_tenant", tenant_id) == []
        self.api("delete_suspension", tenant_id)  # starts a provisioning, which opens the bucket again
        self.until(lambda: self.executions("provision_tenant", tenant_id)[-1].ended)
        assert self.status(tenant_id) is TenantStatus.ACTIVE

    def of_one_that_leaves(self, tenant_id: str) -> None:
        self.provisioned(tenant_id)
        self.upload(tenant_id, "rental-terms.md", "A tent is rented for three days at least.")
        tell_of_trouble(self.fleet, tenant_id, "acme")
        self.start_in_console(tenant_id)  # Stop Ingestion finds it
        self.open_the_service_role(tenant_id)
        self.leave_in_doubt(tenant_id)
        self.make_namesakes(tenant_id)
        late = self.before("DeleteDataSource", lambda: self.start_in_console(tenant_id))
        bucket = {"Bucket": self.bucket(tenant_id)}
        open_again = self.before("ListObjectVersions", lambda: self.client("s3").delete_bucket_policy(**bucket))
        with self.fleet.disturbed(late), self.fleet.disturbed(open_again):
            offboarding = self.offboard(tenant_id)
            self.api("get_offboarding", tenant_id, named=offboarding.name)
            self.until(lambda: "Delete Data Sources" in offboarding.states)
            self.lose_vectors(tenant_id)
            self.fleet.finish(offboarding, within=A_DAY)
        assert offboarding.status == "SUCCEEDED", offboarding.cause
        assert self.status(tenant_id) is TenantStatus.OFFBOARDED

    def leave_in_doubt(self, tenant_id: str) -> None:
        """There may be a second knowledge base, and nobody knows what the usage key is called."""
        registry = kbfleet.bootstrap.registry()
        tenant = registry.get(TenantId(tenant_id))
        registry.replace(replace(tenant, knowledge_base_alone=False, usage_key_id=None), fence=tenant.fence)

    def of_one_that_cannot_leave(self, tenant_id: str) -> None:
        self.provisioned(tenant_id)
        denied = {"effect": "error", "code": "AccessDeniedException", "message": "no", "count": 1}
        self.order({**denied, "operation": "DeleteKnowledgeBase"})
        assert self.fleet.finish(self.offboard(tenant_id), within=A_DAY).status == "FAILED"

    def of_one_that_leaves_while_an_execution_waits(self, tenant_id: str) -> None:
        self.provisioned(tenant_id)
        self.die_silently_while_waiting_for_a_sync(tenant_id)
        self.fleet.finish(self.offboard(tenant_id), within=A_DAY)

    def of_one_whose_request_dies_half_way(self, tenant_id: str) -> None:
        """The record says that the tenant goes; everything else is left to the execution, which a round starts."""
        self.provisioned(tenant_id)
        self.die_silently_while_waiting_for_a_sync(tenant_id)
        death = kill_first("PutItem", Moment.AFTER, function="TenantsFunction")
        with self.fleet.disturbed(death), suppress(TaskFailed):
            self.offboard(tenant_id)
        assert self.executions("offboard_tenant", tenant_id) == []
        self.reconcile()
        self.fleet.finish(*self.executions("offboard_tenant", tenant_id), within=A_DAY)
        assert self.status(tenant_id) is TenantStatus.OFFBOARDED

    def of_one_that_the_product_asks_for(self, tenant_id: str) -> None:
        requested = sample("onboarding_requested", tenant_id)
        requested["detail"]["knowledge_store"] = self.store
        self.fleet.invoke("StartProvisioningFunction", requested)
        self.until(lambda: "Ensure Bucket" in self.executions("provision_tenant", tenant_id)[-1].states)
        self.fleet.invoke("StartProvisioningFunction", {**requested, "id": "another"})  # finds the one that runs
        self.fleet.finish(*self.executions("provision_tenant", tenant_id))
        self.fleet.invoke("StartProvisioningFunction", requested)  # delivered again
        assert len(self.executions("provision_tenant", tenant_id)) == 1

    def of_one_that_is_repaired(self, tenant_id: str) -> None:
        self.provisioned(tenant_id)
        self.die_silently_while_waiting_for_a_sync(tenant_id)
        self.lose_vectors(tenant_id)
        registry = kbfleet.bootstrap.registry()
        record = registry.get(TenantId(tenant_id))
        # A process has died between storing its status and publishing it.
        registry.replace(replace(record, announced=False), fence=record.fence)
        self.fleet.timeline.run_for(301)
        self.reconcile()  # on its schedule
        repairing = sample("post_reconciliation", tenant_id) | {"body": '{"repair": true}'}
        answer = self.fleet.invoke("ReconcileFunction", repairing)
        assert json.loads(answer["body"])["repairs"] == [tenant_id]

    def of_one_that_an_update_finds(self, tenant_id: str) -> None:
        """Its record is of the version before."""
        self.provisioned(tenant_id)
        registry = kbfleet.bootstrap.registry()
        record = registry.get(TenantId(tenant_id))
        registry.replace(replace(record, resources_version=None), fence=record.fence)
        for _ in range(2):  # a schedule delivers at least once
            self.fleet.invoke("ConvergeTenantsFunction", sample("converge_tenants", ""))
        self.fleet.timeline.run_for(301)
        assert registry.get(TenantId(tenant_id)).resources_version is not None

    def of_one_that_no_capacity_is_left_for(self, tenant_id: str) -> None:
        for number in range(FOREIGN_KNOWLEDGE_BASES):
            self.make_a_foreign_knowledge_base(f"theirs-{number}")
        self._forget_what_was_counted()
        self.provision(tenant_id)  # looks at each of them; they are of another kind
        self._forget_what_was_counted()
        summary = iam_backends[self.fleet.deployment.account]["aws"].account_summary
        with patch.object(summary, "_roles_quota", 0):
            assert self.provision(f"{tenant_id}r").failures == [("Check Capacity", "CapacityExceeded")]

    def make_a_foreign_knowledge_base(self, name: str) -> None:
        role = self.fleet.deployment.value({"Fn::GetAtt": "KnowledgeBaseRole.Arn"})
        managed = {"type": "MANAGED", "managedKnowledgeBaseConfiguration": {"embeddingModelType": "MANAGED"}}
        self.client("bedrock-agent").create_knowledge_base(name=name, roleArn=role, knowledgeBaseConfiguration=managed)

    def _forget_what_was_counted(self) -> None:
        """As after hours in which nobody has counted what the account has room for."""
        table = self.fleet.deployment.value({"Ref": "Table"})
        self.client("dynamodb").delete_item(TableName=table, Key={"PK": {"S": "FLEET"}, "SK": {"S": "ROOM"}})

    def of_those_whom_the_schedule_reaches(self) -> None:
        self.fleet.timeline.run_for(A_DAY)
        generation = self.fleet.sync("acme").requested_generation
        self.fleet.invoke("RequestScheduledSyncsFunction", sample("request_scheduled_syncs", ""))
        assert self.fleet.sync("acme").requested_generation == generation + 1

    def of_alerts(self) -> None:
        """A message that Slack refuses and then takes, and that comes again."""
        secret = self.client("secretsmanager")
        with serving(Reply(500), Reply(200)) as slack:
            arn = self.fleet.deployment.value({"Fn::GetAtt": "SlackWebhookSecret.Id"})
            secret.create_secret(Name=arn, SecretString=slack.url)
            batch = sample("send_alert_ingestion_failed", "acme")
            assert self.fleet.invoke("SendAlertFunction", batch)["batchItemFailures"]
            for _ in range(2):
                assert not self.fleet.invoke("SendAlertFunction", batch)["batchItemFailures"]

    def of_one_whose_offboarding_fails(self, tenant_id: str) -> None:
        """People hear of it, and that it is over: nothing may be said of the tenant after that."""
        self.provisioned(tenant_id)
        with serving(Reply(200), Reply(200)) as slack:
            arn = self.fleet.deployment.value({"Fn::GetAtt": "SlackWebhookSecret.Id"})
            self.client("secretsmanager").put_secret_value(SecretId=arn, SecretString=slack.url)
            self._alerted("offboarding_failed", tenant_id)
            execution = self.fleet.finish(self.offboard(tenant_id), within=100_000)
            assert execution.status == "SUCCEEDED"
            ended = {
                "executionArn": execution.arn,
                "stateMachineArn": execution.arn.rpartition(":")[0].replace(":execution:", ":stateMachine:"),
                "stopDate": int(self.fleet.timeline.now() * 1_000),
            }
            self._alerted("execution_succeeded", tenant_id, **ended)
            assert len(slack.bodies) == 2

    def _alerted(self, name: str, tenant_id: str, **detail: Any) -> None:
        """The bus brings the notifier that sample, with these changes of its detail."""
        batch = sample(f"send_alert_{name}", tenant_id)
        (record,) = batch["Records"]
        body = json.loads(record["body"])
        body["detail"] |= detail
        answer = self.fleet.invoke("SendAlertFunction", {"Records": [record | {"body": json.dumps(body)}]})
        assert not answer["batchItemFailures"]

    # --- what operators and tenants do ---

    def look_at_documents(self, tenant_id: str) -> None:
        """All that is done with documents as a resource; one that is there for that only is erased."""
        s3, bucket, key = self.client("s3"), {"Bucket": self.bucket(tenant_id)}, "passing.md"
        for each in (key, f"{key}.metadata.json"):
            s3.put_object(**bucket, Key=each, Body=b'{"metadataAttributes": {}}')
        named = {"named": document_id(key)}
        assert key in {each["key"] for each in self.api("get_documents", tenant_id)["documents"]}
        assert self.api("get_document", tenant_id, **named)["metadata"] == {}
        event = sample("get_link", tenant_id)
        event["pathParameters"]["document"] = document_id(key)
        event["path"] = event["resource"].format_map(event["pathParameters"])
        assert self.fleet.invoke("LinksFunction", event)["statusCode"] == 200
        self.open_what_was_cited(tenant_id)
        assert self.api("delete_document", tenant_id, **named)["versions_removed"] is None
        assert self.api("delete_document", tenant_id, **named, **queried(all_versions="true"))["versions_removed"] == 2

    def open_what_was_cited(self, tenant_id: str) -> None:
        answer = json.loads(self.fleet.invoke("AskFunction", sample("ask", tenant_id))["body"])
        (source, *_) = (source for citation in answer["citations"] for source in citation["sources"])
        event = sample("post_link", tenant_id) | {
            "body": json.dumps({name: source[name] for name in ("uri", "ticket")})
        }
        for port in (kbfleet.bootstrap._session_secret, kbfleet.bootstrap.tickets):
            port.cache_clear()  # another function has not read it
        opened = self.fleet.invoke("LinksFunction", event)
        assert opened["statusCode"] == 200, opened

    def api(self, request: str, tenant_id: str, *, named: str = "", **changes: Any) -> dict[str, Any]:
        """Sends a sample request for that tenant, and for what has that name. Returns: the body.

        Raises: AssertionError when it is refused.
        """
        event = sample(request, tenant_id) | changes
        if named:
            event["pathParameters"][list(event["pathParameters"])[-1]] = named
            event["path"] = f"{event['path'].rpartition('/')[0]}/{named}"
        answer = self.fleet.invoke(_SERVED_BY.get(request, "TenantsFunction"), event)
        assert answer["statusCode"] < 300, answer
        body: dict[str, Any] = json.loads(answer["body"])
        return body

    def failing(self, tenant_id: str, token: str | None = None) -> dict[str, Any]:
        """A page of the documents that fail."""
        query = {"status": "LEFT_OUT"} | ({"next_token": token} if token else {})
        return self.api("get_documents", tenant_id, **queried(**query))

    def profile(self, request: str, changes: Json | None = None, *, status: int = 200) -> None:
        """A request about a profile."""
        answer = self.fleet.invoke("ProfilesFunction", sample(request, "acme") | (changes or {}))
        assert answer["statusCode"] == status, answer

    def begin(self, tenant_id: str) -> Execution:
        body = json.dumps({"knowledge_store": self.store})
        name = self.api("put_tenant", tenant_id, body=body)["execution"]
        self.fleet.timeline.run_for(5)
        self.api("put_tenant", tenant_id, body=body)  # the same again finds the one that runs
        (execution,) = (each for each in self.executions("provision_tenant", tenant_id) if each.name == name)
        return execution

    def provision(self, tenant_id: str) -> Execution:
        return self.fleet.finish(self.begin(tenant_id))

    def move_to_another_tier(self, tenant_id: str) -> None:
        self.fleet.finish(*self.executions("provision_tenant", tenant_id))
        self.fleet.timeline.run_for(1)  # executions are named after the time
        name = self.api("put_tenant", tenant_id, body='{"tier": "PREMIUM"}')["execution"]
        (execution,) = (each for each in self.executions("provision_tenant", tenant_id) if each.name == name)
        assert self.fleet.finish(execution).status == "SUCCEEDED"

    def provisioned(self, tenant_id: str) -> Execution:
        execution = self.provision(tenant_id)
        assert execution.status == "SUCCEEDED", (execution.error, execution.cause)
        return execution

    def tell_of_changes(self, tenant_id: str) -> None:
        """Of one in the tenant's bucket, and of one in nobody's."""
        buckets = (self.bucket(tenant_id), "nobodys")
        answer = self.fleet.invoke("NoteChangesFunction", sqs_batch(map(change_message, buckets)))
        assert answer == {"batchItemFailures": []}

    def sync(self, tenant_id: str, *, settled: bool = True) -> None:
        self.api("post_sync", tenant_id)
        if settled:
            self.fleet.settle(tenant_id)

    def upload_that_fails(self, tenant_id: str, key: str) -> None:
        """The next job, and only that, cannot make anything of it."""
        self.upload(tenant_id, key, "A tent is rented for three days at least.")
        self.order({"effect": "documents_fail", "keys": [key], "count": 1})
        self.sync(tenant_id)

    def collect(self, tenant_id: str, **changes: Any) -> None:
        """The bus reports the tenant's last job."""
        published = [event for event in self.fleet.events if event["Detail"].get("tenant_id") == tenant_id]
        (*_, ended) = (event for event in published if event["Detail"].get("ingestion_job_id"))
        event = {"detail-type": ended["DetailType"], "detail": ended["Detail"] | changes}
        self.fleet.invoke("CollectFailuresFunction", event)

    def offboard(self, tenant_id: str) -> Execution:
        self.api("delete_tenant", tenant_id, **queried(retention_days="0"))
        return self.executions("offboard_tenant", tenant_id)[-1]

    def ask(self, tenant_id: str) -> None:
        answer = self.fleet.invoke("AskFunction", sample("ask", tenant_id))
        assert answer["statusCode"] == 200, answer

    def expect(self, tenant_id: str, text: str, key: str) -> str:
        """Returns: the id of a golden question that expects the document to be found."""
        wanted = {"questions": [{"user_input": text, "reference_context_ids": [key]}]}
        (question,) = self.api("post_questions", tenant_id, body=json.dumps(wanted))["questions"]
        assert self.api("get_questions", tenant_id)["questions"] == [question]
        return str(question["id"])

    def ask_golden_questions(self, tenant_id: str, *, regressed: bool) -> None:
        """Twice, once with answers: then it is known whether they pass, or do not any more."""
        for answers in (False, True):
            self.fleet.timeline.run_for(60)
            requested = self.api("post_question_run", tenant_id, body=json.dumps({"answers": answers}))
            wanted = {"tenant_id": tenant_id, "cause": "DEMAND", "at": requested["requested_at"], "answers": answers}
            self.fleet.invoke("RunQuestionsFunction", {"Records": [{"body": json.dumps(wanted)}]})
        shown = self.api("get_question_runs", tenant_id)
        assert shown["runs"][0]["answers"], shown
        assert not any(verdict["trouble"] for verdict in shown["runs"][0]["verdicts"]), shown
        assert bool(shown["regressions"]) is regressed, shown
        assert shown["stand"] in self.api("get_question_stands", tenant_id)["tenants"]

    def count_usage(self, tenant_id: str) -> None:
        """What the ask function logs of an answered question, and a line that cannot be read."""
        counts = {"passages": 4, "citations": 2, "outcome": "ANSWERED"}
        line = {
            "timestamp": "2026-11-02T09:03:00Z",
            "tenant_id": tenant_id,
            "life": self.fleet.life(tenant_id).number,
        } | counts
        said = {"message": "Question answered"}
        logged = [
            {"id": str(number), "timestamp": 1_793_610_180_000, "message": json.dumps(message)}
            for number, message in enumerate([said | line, said])
        ]
        self.fleet.invoke("RecordUsageFunction", packed({"messageType": "DATA_MESSAGE", "logEvents": logged}))
        assert self.api("get_usage", tenant_id)["total"]["questions"] == 1

    def let_in(self, tenant_id: str) -> None:
        """A user of the tenant shows its token."""
        keys = key_set("first")
        with serving(Reply(body=keys)) as issuer:
            settings = {
                "TOKEN_ISSUER": ISSUER,
                "TOKEN_AUDIENCE": AUDIENCE,
                "TOKEN_TENANT_CLAIM": TENANT_CLAIM,
                "TOKEN_KEYS_URL": issuer.url,
                "TOKEN_ALGORITHMS": "RS256",
            }
            shown = f"Bearer {token(claims(**{TENANT_CLAIM: tenant_id}))}"
            with patch.dict(os.environ, settings):
                kbfleet.bootstrap.token_verifier.cache_clear()
                answer = self.fleet.invoke(
                    "AuthorizeFunction", sample("authorize", tenant_id) | {"authorizationToken": shown}
                )
                kbfleet.bootstrap.token_verifier.cache_clear()
        assert answer["usageIdentifierKey"] == self.fleet.names.usage_key(self.fleet.life(tenant_id)).value

    def reconcile(self) -> None:
        self.fleet.invoke("ReconcileFunction", sample("daily", ""))

    # --- what others do ---

    def client(self, service: str) -> Any:
        return self.fleet.client(service)

    def upload(self, tenant_id: str, key: str, text: str) -> None:
        self.client("s3").put_object(Bucket=self.bucket(tenant_id), Key=key, Body=text.encode())

    def remove(self, tenant_id: str, key: str) -> None:
        self.client("s3").delete_object(Bucket=self.bucket(tenant_id), Key=key)

    def let_drift(self, tenant_id: str) -> None:
        """Everything that provisioning repairs is undone."""
        agent = self.client("bedrock-agent")
        ids = self.data_source(tenant_id)
        base = agent.get_knowledge_base(knowledgeBaseId=ids["knowledgeBaseId"])["knowledgeBase"]
        names = ("knowledgeBaseId", "name", "roleArn", "knowledgeBaseConfiguration", "storageConfiguration")
        agent.update_knowledge_base(**{name: base[name] for name in names if name in base}, description="Mine.")
        tags = agent.list_tags_for_resource(resourceArn=base["knowledgeBaseArn"])["tags"]
        agent.untag_resource(resourceArn=base["knowledgeBaseArn"], tagKeys=list(tags))
        self.open_the_service_role(tenant_id)
        if self.store == "OPENSEARCH_SERVERLESS":
            name = self.fleet.names.data_access_policy(self.fleet.life(tenant_id))
            collections = self.client("opensearchserverless")
            policy = collections.get_access_policy(name=name, type="data")["accessPolicyDetail"]
            rules = [{**policy["policy"][0], "Principal": ["arn:aws:iam::123456789012:role/somebody"]}]
            collections.update_access_policy(
                name=name, type="data", policyVersion=policy["policyVersion"], policy=json.dumps(rules)
            )
        api_gateway = self.client("apigateway")
        (key,) = api_gateway.get_api_keys(nameQuery=self.fleet.names.usage_key(self.fleet.life(tenant_id)).name)[
            "items"
        ]
        disabled = [{"op": "replace", "path": "/enabled", "value": "false"}]
        api_gateway.update_api_key(apiKey=key["id"], patchOperations=disabled)
        self.fleet.timeline.run_for(60)
        if self.store == "MANAGED":
            return  # whose data sources know no other deletion policy
        source = agent.get_data_source(**ids)["dataSource"]
        configuration = source["dataSourceConfiguration"]
        agent.update_data_source(
            **ids, name=source["name"], dataSourceConfiguration=configuration, dataDeletionPolicy="RETAIN"
        )

    def open_the_service_role(self, tenant_id: str) -> None:
        """Somebody gives it more than it should have, and takes away what bounds it."""
        iam, role = self.client("iam"), {"RoleName": self.fleet.names.service_role(self.fleet.life(tenant_id))}
        statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_role_policy(**role, PolicyName="more", PolicyDocument=document)
        iam.attach_role_policy(**role, PolicyArn=self.fleet.deployment.value({"Ref": "ServiceRoleBoundary"}))
        (trust,) = iam.get_role(**role)["Role"]["AssumeRolePolicyDocument"]["Statement"]
        trusting = json.dumps({"Version": "2012-10-17", "Statement": [{**trust, "Condition": {}}]})
        iam.update_assume_role_policy(**role, PolicyDocument=trusting)
        iam.delete_role_permissions_boundary(**role)

    def make_namesakes(self, tenant_id: str) -> None:
        """Two more knowledge bases of the tenant's name: one with its tags, such as a lost answer can leave, and one of
        somebody else."""
        agent = self.client("bedrock-agent")
        base = agent.get_knowledge_base(**self.knowledge_base(tenant_id))["knowledgeBase"]
        names = ("name", "roleArn", "knowledgeBaseConfiguration", "storageConfiguration")
        members = {name: base[name] for name in names if name in base}
        agent.update_knowledge_base(**self.knowledge_base(tenant_id), **members | {"name": "renamed"})
        self.fleet.timeline.run_for(60)
        self.order({"effect": "uniqueness_lag", "seconds": 1e6, "count": 2})
        tags = agent.list_tags_for_resource(resourceArn=base["knowledgeBaseArn"])["tags"]
        agent.create_knowledge_base(**members, tags=tags)
        agent.create_knowledge_base(**members)
        self.fleet.timeline.run_for(120)

    def lose_vectors(self, tenant_id: str) -> None:
        """The index vanishes, so that Bedrock cannot delete vectors from it."""
        account = self.fleet.emulator._account
        for bucket in account.vector_buckets.values():
            bucket.indexes.pop(tenant_id, None)
        for key in [key for key in account.collection_indexes if key.endswith(f"/index/{tenant_id}")]:
            del account.collection_indexes[key]

    def ingest_directly(self, tenant_id: str, uri: str) -> None:
        content = {"dataSourceType": "S3", "s3": {"s3Location": {"uri": uri}}}
        self.client("bedrock-agent").ingest_knowledge_base_documents(
            **self.data_source(tenant_id), documents=[{"content": content}]
        )
        self.fleet.timeline.run_for(60)

    def start_in_console(self, tenant_id: str) -> None:
        self.client("bedrock-agent").start_ingestion_job(**self.data_source(tenant_id))

    def stop_in_console(self, tenant_id: str) -> None:
        agent = self.client("bedrock-agent")
        jobs = agent.list_ingestion_jobs(**self.data_source(tenant_id))["ingestionJobSummaries"]
        for job in jobs:
            if job["status"] in {"STARTING", "IN_PROGRESS"}:
                agent.stop_ingestion_job(**self.data_source(tenant_id), ingestionJobId=job["ingestionJobId"])

    def die_silently_while_waiting_for_a_sync(self, tenant_id: str) -> None:
        """After a breach, an execution waits for a sync of an active tenant, too; it dies, with its lease."""
        self.fleet.invoke("SendAlertFunction", sample("send_alert_isolation_breached", tenant_id))
        self.order({"effect": "job_hangs", "count": 1})
        with patch.dict(os.environ, {"LEASE_SECONDS": str(A_SHORT_LEASE)}):
            execution = self.begin(tenant_id)
        self.until(lambda: self.fleet.sync(tenant_id).job is not None)
        self.fleet.stop(execution, announced=False)

    def order(self, fault: dict[str, Any]) -> None:
        self.fleet.emulator.faults.add(fault)

    def before(self, operation: str, act: Callable[[], None]) -> Callable[[Call, Moment], None]:
        """Somebody acts right before the first such call of the product."""
        waiting = iter([act])

        def disturb(call: Call, at: Moment) -> None:
            if call.operation != operation or at is not Moment.BEFORE:
                return
            strand = self.fleet.timeline.current
            for once in waiting:
                assert strand is not None
                with patch.object(strand, "function", None):  # what somebody does is no call of the function
                    once()

        return disturb

    # --- looking ---

    def bucket(self, tenant_id: str) -> str:
        tenant = self.fleet.tenant(tenant_id)
        assert tenant is not None
        return str(tenant.bucket_name)

    def knowledge_base(self, tenant_id: str) -> dict[str, str]:
        tenant = self.fleet.tenant(tenant_id)
        assert tenant is not None
        return {"knowledgeBaseId": str(tenant.knowledge_base_id)}

    def data_source(self, tenant_id: str) -> dict[str, str]:
        tenant = self.fleet.tenant(tenant_id)
        assert tenant is not None
        return self.knowledge_base(tenant_id) | {"dataSourceId": str(tenant.data_source_id)}

    def status(self, tenant_id: str) -> TenantStatus | None:
        tenant = self.fleet.tenant(tenant_id)
        return tenant.status if tenant else None

    def executions(self, machine: str, tenant_id: str) -> list[Execution]:
        arn = self.fleet.machine_arn(machine)
        found = self.fleet.step_functions.executions.values()
        return [each for each in found if each.machine == arn and each.name.startswith(f"{tenant_id}-")]

    def until(self, reached: Callable[[], bool]) -> None:
        self.fleet.timeline.run_until(reached, within=3600)


def sample(name: str, tenant_id: str) -> Json:
    """A sample trigger, of that tenant."""
    text = (REPOSITORY / "events" / "triggers" / f"{name}.json").read_text("utf-8")
    return json.loads(text.replace("acme", tenant_id))
