"""Ingestion jobs of service ``bedrock-agent``: started, running, ended."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from threading import Thread
from typing import Any

from bedrock_emulator.account import Account, index_key
from bedrock_emulator.services import failure_reasons
from bedrock_emulator.services.ingestion import JobFailedError, Outcome, Rules, synchronise
from bedrock_emulator.services.ingestion_settings import parsing_model
from bedrock_emulator.services.s3_source import s3_source
from bedrock_emulator.services.service_role import DeniedError, IndexUse, ServiceRole, assume, assume_for_call
from bedrock_emulator.wire.errors import ServiceError, conflict, not_found, validation
from bedrock_emulator.wire.paging import page
from bedrock_emulator.wire.protocol import protocol
from bedrock_emulator.world.faults import Fault
from bedrock_emulator.world.models import has_ended
from bedrock_emulator.world.records import RUNNING, DataSource, IngestionJob, KnowledgeBase

Members = dict[str, Any]

_log = logging.getLogger(__name__)

# Seconds at speed 1. A small sync takes 3 to 5 minutes, users report; how that divides is our guess.
STARTING = 5.0
SMALL_SYNC = 180.0
PER_DOCUMENT = 0.25
STOPPING = 5.0

_FAULTS = ("job_fails", "job_hangs", "documents_fail", "parser_fails", "vectors_not_searchable")


class IngestionJobs:
    """Operations by their names in the model, in snake case."""

    def __init__(self, account: Account) -> None:
        """``account`` holds the state."""
        self._account = account

    def start_ingestion_job(self, given: Members) -> Members:
        """Status STARTING. Refused while the quota of running jobs is used up."""
        account = self._account
        base = account.knowledge_base(given["knowledgeBaseId"])
        source = account.data_source(base.identifier, given["dataSourceId"])
        if earlier := account.remembered("StartIngestionJob", given.get("clientToken")):
            return {"ingestionJob": _job(earlier)}
        if source.status == "FAILED":
            # As a user recorded it of a connector.
            raise validation("You cannot start an ingestion job on a data source with status FAILED.")
        if base.status != "ACTIVE" or source.status != "AVAILABLE":
            status = base.status if base.status != "ACTIVE" else source.status
            raise validation(f"Knowledge base {base.identifier} is not in a valid status: {status}")
        if source.members["dataSourceConfiguration"]["type"] == "CUSTOM":
            raise validation("StartIngestionJob is not supported for a data source of type CUSTOM.")
        self._check_running(base)
        assume_for_call(account, base, "StartIngestionJob")
        now = account.now()
        job = IngestionJob(
            identifier=account.new_id(),
            knowledge_base_id=base.identifier,
            data_source_id=source.identifier,
            description=given.get("description"),
            status="STARTING",
            started_at=now,
            updated_at=now,
        )
        account.jobs.setdefault((base.identifier, source.identifier), []).append(job)
        account.remember("StartIngestionJob", given.get("clientToken"), job)
        run = _Run(
            account,
            base,
            source,
            job,
            {effect: account.faults.of_effect(effect, "StartIngestionJob", given) for effect in _FAULTS},
            account.duration("StartIngestionJob", given, SMALL_SYNC),
        )
        account.agenda.at(now + STARTING, run.begin)
        return {"ingestionJob": _job(job)}

    def get_ingestion_job(self, given: Members) -> Members:
        """ResourceNotFoundException when there is none."""
        return {"ingestionJob": _job(self._find(given))}

    def list_ingestion_jobs(self, given: Members) -> Members:
        """Newest first unless sorted otherwise; summaries have no failureReasons."""
        source = self._account.data_source(given["knowledgeBaseId"], given["dataSourceId"])
        jobs = list(reversed(self._account.jobs.get((source.knowledge_base_id, source.identifier), [])))
        for condition in given.get("filters", ()):
            if len(condition["values"]) != 1:
                raise validation("The filter must have exactly one value.")
            jobs = [job for job in jobs if job.status == condition["values"][0]]
        if "sortBy" in given:
            by_status = given["sortBy"]["attribute"] == "STATUS"
            jobs.sort(
                key=(lambda job: job.status) if by_status else (lambda job: job.started_at),
                reverse=given["sortBy"]["order"] == "DESCENDING",
            )
        scope = f"ListIngestionJobs {source.identifier} {given.get('filters')} {given.get('sortBy')}"
        shown, token = page(jobs, scope, given.get("maxResults"), given.get("nextToken"))
        summaries = [{key: value for key, value in _job(job).items() if key != "failureReasons"} for job in shown]
        return {"ingestionJobSummaries": summaries, "nextToken": token}

    def stop_ingestion_job(self, given: Members) -> Members:
        """Status STOPPING; what was not yet indexed stays out. ConflictException when it has ended."""
        job = self._find(given)
        if job.status not in ("STARTING", "IN_PROGRESS"):
            raise conflict(f"Ingestion job {job.identifier} cannot be stopped in status {job.status}.")
        job.status, job.updated_at = "STOPPING", self._account.now()

        self._account.agenda.at(self._account.now() + STOPPING, partial(self._stopped, job))
        return {"ingestionJob": _job(job)}

    def resume(self) -> None:
        """Carry on with what was under way when the state was kept: running jobs read their bucket anew."""
        for (base_id, source_id), jobs in self._account.jobs.items():
            for job in jobs:
                if job.status in ("STARTING", "IN_PROGRESS"):
                    job.status = "STARTING"
                    base, source = (
                        self._account.knowledge_bases[base_id],
                        self._account.data_sources[base_id, source_id],
                    )
                    run = _Run(self._account, base, source, job, dict.fromkeys(_FAULTS))
                    self._account.agenda.at(self._account.now() + STARTING, run.begin)
                elif job.status == "STOPPING":
                    self._account.agenda.at(self._account.now() + STOPPING, partial(self._stopped, job))

    def _stopped(self, job: IngestionJob) -> None:
        job.status, job.updated_at = "STOPPED", self._account.now()

    def _find(self, given: Members) -> IngestionJob:
        source = self._account.data_source(given["knowledgeBaseId"], given["dataSourceId"])
        for job in self._account.jobs.get((source.knowledge_base_id, source.identifier), ()):
            if job.identifier == given["ingestionJobId"]:
                return job
        raise not_found(f"IngestionJob with id {given['ingestionJobId']} does not exist.")

    def _check_running(self, base: KnowledgeBase) -> None:
        if self._account.document_requests[base.identifier]:
            raise validation(f"There is an ongoing KnowledgeBaseDocuments API request for {base.identifier}.")
        quotas = self._account.quotas
        running = [job for jobs in self._account.jobs.values() for job in jobs if job.status in RUNNING]
        here = [job for job in running if job.knowledge_base_id == base.identifier]
        most = quotas.jobs_per_managed_knowledge_base if base.managed else quotas.jobs_per_knowledge_base
        text = "You have reached the maximum number of concurrent ingestion jobs per"
        if len(here) >= most:
            raise conflict(f"{text} knowledge base: {most}")
        # The account's limit is documented beside the VECTOR quotas; MANAGED ones have a limit a knowledge base only.
        vector = [job for job in running if not self._account.knowledge_bases[job.knowledge_base_id].managed]
        if not base.managed and len(vector) >= quotas.jobs_per_account:
            raise ServiceError(quotas.jobs_per_account_error, f"{text} account: {quotas.jobs_per_account}")


class _Run:
    """One job from its start to its end. Its methods run holding the account's lock, except the reading itself."""

    def __init__(
        self,
        account: Account,
        base: KnowledgeBase,
        source: DataSource,
        job: IngestionJob,
        faults: dict[str, Fault | None],
        seconds: float = SMALL_SYNC,
    ) -> None:
        self._account = account
        self._base = base
        self._source = source
        self._job = job
        self._faults = faults
        self._seconds = seconds

    def begin(self) -> None:
        """The time for STARTING is over: read the bucket, in a thread where time runs by itself."""
        if self._job.status != "STARTING":
            return
        self._job.status, self._job.updated_at = "IN_PROGRESS", self._account.now()
        if self._faults["job_hangs"]:
            return
        failing, badly_parsed = self._faults["documents_fail"], self._faults["parser_fails"]
        key = index_key(self._base)
        rules = Rules(
            # The job must not see what direct ingestion changes meanwhile.
            source=replace(self._source, documents=dict(self._source.documents)),
            index=self._account.index(key),
            embedder=self._account.embedder,
            quotas=self._account.quotas,
            on_s3_vectors=self._base.store_type == "S3_VECTORS",
            failing_keys=failing.keys if failing else (),
            badly_parsed_keys=badly_parsed.keys if badly_parsed else (),
        )
        if self._account.clock.real_seconds_until(self._account.now()) is None:
            self._work(rules)
        else:
            Thread(target=self._work, args=(rules,), name=f"ingestion-{self._job.identifier}", daemon=True).start()

    def _work(self, rules: Rules) -> None:
        end, documents = self._outcome(rules)
        with self._account.lock:
            due = self._job.started_at + self._seconds + PER_DOCUMENT * documents
            self._account.agenda.at(due, end)

    def _outcome(self, rules: Rules) -> tuple[Callable[[], None], int]:
        fault = self._faults["job_fails"]
        if fault is not None:
            return partial(self._fail, fault.failureReasons), 0
        try:
            role = self._assumed_role()
            parser = parsing_model(self._source.members.get("vectorIngestionConfiguration"))
            ended = parser is not None and has_ended(parser, self._account.now())
            rules = replace(rules, may_parse=self._may_parse(role, parser), parser_ended=ended)
            outcome = synchronise(rules, s3_source(rules.source, self._account.client_factory("s3"), role))
            self._check_store(role, outcome)
        except JobFailedError as failure:
            return partial(self._fail, [failure.reason]), 0
        except Exception as error:  # noqa: BLE001 - a job that died unseen would run for ever
            _log.exception("ingestion job %s failed", self._job.identifier)
            return partial(self._fail, [failure_reasons.whole_job(f"{type(error).__name__}: {error}.")]), 0
        return partial(self._complete, outcome), len(outcome.touched)

    def _assumed_role(self) -> ServiceRole:
        try:
            # Users see sessions of this name; whether the data source's id stands in them or the job's is not known.
            task = f"DocumentLoaderTask-{self._source.identifier}"
            return assume(self._account, self._base.role_arn, self._base.arn, task)
        except DeniedError as denial:
            raise JobFailedError(failure_reasons.whole_job(f"{denial}.")) from denial

    def _may_parse(self, role: ServiceRole, model: str | None) -> bool:
        try:
            if model is not None:
                role.check_parsing_model(model)
        except DeniedError:
            return False
        return True

    def _check_store(self, role: ServiceRole, outcome: Outcome) -> None:
        key = index_key(self._base)
        try:
            if outcome.chunks:
                role.check_model(self._base.configuration)
                role.check_index(key, IndexUse.WRITING)
            if any(identifier in self._source.documents for identifier in outcome.touched):
                role.check_index(key, IndexUse.DELETION)
        except DeniedError as denial:
            raise JobFailedError(failure_reasons.whole_job(f"{denial}.")) from denial

    def _complete(self, outcome: Outcome) -> None:
        if self._job.status != "IN_PROGRESS":
            return
        now = self._account.now()
        key = index_key(self._base)
        if not self._base.managed and self._account.index(key) is None:
            self._fail([failure_reasons.whole_job("The vector index of the knowledge base could not be found.")])
            return
        lag = self._faults["vectors_not_searchable"]
        if lag is not None:
            outcome.chunks = [replace(chunk, searchable_from=now + lag.seconds) for chunk in outcome.chunks]
        contents = self._account.contents(key)
        contents.replace(self._source.identifier, outcome.touched, outcome.chunks, outcome.vectors)
        for identifier in outcome.removed:
            self._source.documents.pop(identifier, None)
        for identifier, document in outcome.documents.items():
            self._source.documents[identifier] = replace(document, updated_at=now)
        self._job.status, self._job.updated_at = "COMPLETE", now
        self._job.text_ready_at = now + (lag.seconds if lag else 0.0) if self._base.managed else None
        self._job.statistics, self._job.failure_reasons = outcome.statistics, outcome.failure_reasons

    def _fail(self, reasons: list[str]) -> None:
        if self._job.status != "IN_PROGRESS":
            return
        self._job.status, self._job.updated_at = "FAILED", self._account.now()
        self._job.failure_reasons = reasons


def _job(job: IngestionJob) -> Members:
    return {
        "knowledgeBaseId": job.knowledge_base_id,
        "dataSourceId": job.data_source_id,
        "ingestionJobId": job.identifier,
        "description": job.description,
        "status": job.status,
        "statistics": job.statistics,
        "failureReasons": job.failure_reasons or None,
        "startedAt": job.started_at,
        "updatedAt": job.updated_at,
        # Models of botocore before November 2026 do not know it.
        **({"textReadyAt": job.text_ready_at} if _tells_text_ready() else {}),
    }


@cache
def _tells_text_ready() -> bool:
    shape: Any = protocol("bedrock-agent").model.shape_for("IngestionJob")
    return "textReadyAt" in shape.members
