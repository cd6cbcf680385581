"""Ports that only speak outwards, in memory: they remember what was said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from kbfleet.contracts.dead_letters import is_about
from kbfleet.domain.deletions import SyncHeld
from kbfleet.domain.diagnosis import Diagnosis, FleetDiagnosis
from kbfleet.domain.errors import KbfleetError, NotReadyYet, ResourceConflict, ResourceMissing
from kbfleet.domain.failed_documents import FailureReport, RetryReport
from kbfleet.domain.ingestion_job import JobStateChange
from kbfleet.domain.isolation import Breach, IsolationVerified
from kbfleet.domain.names import Knowledge, TenantId
from kbfleet.domain.question_runs import QuestionsJudged
from kbfleet.domain.rebuild import RebuildEnded
from kbfleet.domain.reconciliation import Reconciliation
from kbfleet.domain.sync import Sync
from kbfleet.domain.tenant import TenantStateChange
from kbfleet.domain.workflow import WorkflowFailure
from kbfleet.ports import Execution


class RecordingTicks:
    """`kbfleet.ports.Ticks`."""

    def __init__(self) -> None:
        self.requests = 0

    def request(self) -> None:
        self.requests += 1


class RecordingDeletionChecks:
    """`kbfleet.ports.DeletionChecks`. `waiting` has each check once, as the queue's deduplication does."""

    def __init__(self) -> None:
        self._seen: set[tuple[Knowledge, int]] = set()
        self.waiting: list[Knowledge] = []

    def request(self, sync: Sync) -> None:
        check = (sync.of_knowledge, sync.version)
        if check not in self._seen:
            self._seen.add(check)
            self.waiting.append(sync.of_knowledge)

    def done(self, check: Knowledge) -> None:
        """Whoever has made it beside somebody else finds it gone."""
        if check in self.waiting:
            self.waiting.remove(check)


class RecordingDeadLetters:
    """`kbfleet.ports.DeadLetters`: messages and the names of their errors. It refuses while `down` is set."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, str]] = []
        self.down = False

    def keep(self, message: str, error: KbfleetError) -> None:
        if self.down:
            raise NotReadyYet("The queue is down.")
        self.kept.append((message, type(error).__name__))


class InMemoryUndeliveredMessages:
    """`kbfleet.ports.UndeliveredMessages`: the bodies of messages, of which at most `within_reach` are looked at."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.within_reach = 200

    def delete(self, tenant_id: TenantId, bucket_name: str) -> bool:
        seen, behind = self.bodies[: self.within_reach], self.bodies[self.within_reach :]
        self.bodies = [body for body in seen if not is_about(body, tenant_id=tenant_id, bucket_name=bucket_name)]
        self.bodies += behind
        return not behind


class RecordingAnnouncements:
    """`kbfleet.ports.Announcements`. `refusal` says why a job's change is refused, if it is."""

    def __init__(self) -> None:
        self.refusal: Callable[[JobStateChange], KbfleetError | None] = lambda _: None
        self.job_state_changes: list[JobStateChange] = []
        self.failure_reports: list[FailureReport] = []
        self.retry_reports: list[RetryReport] = []
        self.reconciliations: list[Reconciliation] = []
        self.tenant_state_changes: list[TenantStateChange] = []
        self.provisioning_failures: list[tuple[TenantId, WorkflowFailure]] = []
        self.offboarding_failures: list[tuple[TenantId, WorkflowFailure]] = []
        self.breaches: list[Breach] = []
        self.verifications: list[IsolationVerified] = []
        self.held_syncs: list[SyncHeld] = []
        self.diagnoses: list[Diagnosis] = []
        self.fleet_diagnoses: list[FleetDiagnosis] = []
        self.judged_questions: list[QuestionsJudged] = []
        self.rebuilds: list[RebuildEnded] = []
        self.rebuild_failures: list[tuple[TenantId, WorkflowFailure]] = []

    def rebuild_ended(self, ended: RebuildEnded) -> None:
        self.rebuilds.append(ended)

    def rebuild_failed(self, tenant_id: TenantId, failure: WorkflowFailure) -> None:
        self.rebuild_failures.append((tenant_id, failure))

    def sync_held(self, held: SyncHeld) -> None:
        self.held_syncs.append(held)

    def tenant_state_changed(self, change: TenantStateChange) -> None:
        self.tenant_state_changes.append(change)

    def reconciled(self, report: Reconciliation) -> None:
        self.reconciliations.append(report)

    def offboarding_failed(self, tenant_id: TenantId, failure: WorkflowFailure) -> None:
        self.offboarding_failures.append((tenant_id, failure))

    def isolation_breached(self, breach: Breach) -> None:
        self.breaches.append(breach)

    def isolation_verified(self, verified: IsolationVerified) -> None:
        self.verifications.append(verified)

    def diagnosed(self, diagnosis: Diagnosis) -> None:
        self.diagnoses.append(diagnosis)

    def questions_judged(self, judged: QuestionsJudged) -> None:
        self.judged_questions.append(judged)

    def fleet_diagnosed(self, diagnosis: FleetDiagnosis) -> None:
        self.fleet_diagnoses.append(diagnosis)

    def retry_ended(self, report: RetryReport) -> None:
        self.retry_reports.append(report)

    def failures_collected(self, report: FailureReport) -> None:
        self.failure_reports.append(report)

    def job_state_changed(self, change: JobStateChange) -> None:
        if (error := self.refusal(change)) is not None:
            raise error
        self.job_state_changes.append(change)

    def provisioning_failed(self, tenant_id: TenantId, failure: WorkflowFailure) -> None:
        self.provisioning_failures.append((tenant_id, failure))


@dataclass(frozen=True, slots=True)
class SucceededTask:
    task_token: str
    output: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class FailedTask:
    task_token: str
    error: str
    cause: str


class RecordingTaskCallbacks:
    """`kbfleet.ports.TaskCallbacks`. Each task takes its first answer; it no longer waits for a second."""

    def __init__(self) -> None:
        self.answers: list[SucceededTask | FailedTask] = []

    def succeed(self, task_token: str, output: Mapping[str, object]) -> None:
        self._take(SucceededTask(task_token, output))

    def fail(self, task_token: str, error: str, cause: str) -> None:
        self._take(FailedTask(task_token, error, cause))

    def answer(self, task_token: str) -> SucceededTask | FailedTask | None:
        return next((answer for answer in self.answers if answer.task_token == task_token), None)

    def _take(self, answer: SucceededTask | FailedTask) -> None:
        if self.answer(answer.task_token) is None:
            self.answers.append(answer)


class InMemoryExecutions:
    """`kbfleet.ports.Executions` of a state machine whose runs end when a test says so.

    Args:
        account: the executions of all state machines by ARN; those that share it know what runs in each other.
    """

    def __init__(
        self, state_machine: str = "kbfleet-provision-tenant", account: dict[str, Execution] | None = None
    ) -> None:
        self._prefix = f"arn:aws:states:us-east-1:123456789012:execution:{state_machine}"
        self._account: dict[str, Execution] = {} if account is None else account
        self.requests: dict[str, Mapping[str, object]] = {}
        self._refusals: list[KbfleetError] = []

    def refuse_next(self, error: KbfleetError) -> None:
        """Whoever starts the next execution gets that error."""
        self._refusals.append(error)

    def start(self, name: str, request: Mapping[str, object]) -> Execution:
        if self._refusals:
            raise self._refusals.pop()
        arn = self._arn(name)
        if arn in self._account:
            if self._account[arn].status == "RUNNING" and self.requests[name] == request:
                return self._account[arn]
            raise ResourceConflict(f"Execution {name} exists.")
        self._account[arn] = Execution(name, arn, "RUNNING")
        self.requests[name] = dict(request)
        return self._account[arn]

    def is_running(self, arn: str) -> bool:
        return arn in self._account and self._account[arn].status == "RUNNING"

    def describe(self, name: str) -> Execution:
        if self._arn(name) not in self._account:
            raise ResourceMissing(f"There is no execution {name}.")
        return self._account[self._arn(name)]

    def begin(self, arn: str) -> None:
        """An execution of that ARN runs, whoever started it and whatever its state machine."""
        self._account.setdefault(arn, Execution(arn.rsplit(":", 1)[-1], arn, "RUNNING"))

    def progress(
        self, name: str, *, status: str, step: str | None = None, error: str | None = None, cause: str | None = None
    ) -> None:
        """The execution has come to this."""
        arn = self._arn(name)
        self._account[arn] = replace(self._account[arn], status=status, step=step, error=error, cause=cause)

    def _arn(self, name: str) -> str:
        return f"{self._prefix}:{name}"
