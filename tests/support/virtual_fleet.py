"""A whole fleet in one process and in virtual time: the real handlers and state machines, on moto and the emulator.

What plays AWS: moto (S3, DynamoDB, EventBridge), the Bedrock emulator, and in virtual time Step Functions and the
queues that have functions behind them. Everything is deployed as template.yaml says. Use it from a test or a proof:

    with virtual_fleet(seed=7) as fleet:
        execution = fleet.provision("acme")
        assert execution.status == "SUCCEEDED"
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path, PurePosixPath
from random import Random
from types import SimpleNamespace
from typing import Any, TypeVar
from unittest.mock import patch

from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.model import Shape
from moto import mock_aws
from moto.core.models import botocore_stubber
from moto.core.serialize import ResponseSerializer
from moto.dynamodb.models.table import Table
from moto.iam import models as iam_models
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3 import models as s3_models
from moto.s3.models import FakeBucket

import bedrock_emulator.account
import kbfleet.bootstrap
from bedrock_emulator import Emulator, Quotas
from bedrock_emulator.world.records import KnowledgeBase
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.names import Knowledge, Life, ResourceNames, TenantId
from kbfleet.domain.sync import Sync, SyncState
from kbfleet.domain.tenant import Tenant
from kbfleet.usecases.question_rounds import LAP
from kbfleet.usecases.sync_schedule import RUN_EVERY
from tests.support import aws
from tests.support.aws_calls import Answered, AwsCalls, Call, Disturbance, FunctionDied, Moment
from tests.support.deployment_values import Deployment
from tests.support.document_changes import sqs_batch
from tests.support.samples import first_knowledge
from tests.support.slowness import AS_REPORTED, FreshBuckets, Slowness, managed_takes
from tests.support.state_machine import Execution, Json, StateMachine, TaskFailed
from tests.support.template import DEFINITIONS, handler, table_definition
from tests.support.virtual_bucket_events import BucketEvents
from tests.support.virtual_queue import FifoQueue, KeptMessages, StandardQueue
from tests.support.virtual_step_functions import VirtualStepFunctions
from tests.support.virtual_time import ProductClock, Strand, Timeline, Unfinished, VirtualClock

ACCOUNT = "123456789012"
REGION = "ap-northeast-1"
AN_HOUR = 3600.0
FIRST_DOCUMENT = "first.md"
_A_MINUTE = 60.0
_EVERY_STORE = {"OfferOpenSearchServerless": "true", "GenerationModelId": "apac.amazon.nova-lite-v1:0"}
"""Parameters by which the stack offers every knowledge store, and asks a model as Tokyo lets it be asked."""
RARE_TICKS = {"TickSeconds": "60"}
"""Parameters by which the scheduler looks every minute: the same calls as every five seconds but for looks at jobs that
still run, in a fifth of the time."""
RARE_SCHEDULE_SECONDS = 300.0
"""Between two ticks of the schedule, for the same reason."""
# Source: AWS documentation, How Lambda handles errors and retries with asynchronous invocation.
_ASYNCHRONOUS_RETRIES = (60.0, 120.0)


@dataclass(frozen=True)
class StoredProfile:
    """What a tenant's record said when it was written."""

    tenant_id: str
    status: str
    status_since: str
    fence: int


@dataclass
class VirtualFleet:
    """A deployed fleet, with every handle that a proof needs.

    `events` is what was published, `lost_events` the functions that gave up on one, `stored` every state of every
    tenant's record, in order; `dead_letters` are the dead-letter queues, by their names in the template.
    """

    timeline: Timeline
    clock: VirtualClock
    emulator: Emulator
    calls: AwsCalls
    step_functions: VirtualStepFunctions
    ticks: FifoQueue
    retries: FifoQueue
    checks: FifoQueue
    deployment: Deployment
    names: ResourceNames
    functions: Functions
    safety_net_seconds: float
    dead_letters: dict[str, KeptMessages]
    bucket_events: BucketEvents | None = None
    questions: StandardQueue | None = None
    sync_schedule_seconds: float = RUN_EVERY.total_seconds()
    events: list[dict[str, Any]] = field(default_factory=list)
    lost_events: list[str] = field(default_factory=list)
    stored: list[StoredProfile] = field(default_factory=list)
    _background: list[Strand] = field(default_factory=list)

    # --- acting ---

    def start(self, machine: str, request: Json, name: str | None = None) -> Execution:
        """Starts an execution of a state machine, named by its definition's file without `.asl.json`."""
        arn = self.machine_arn(machine)
        return self.step_functions.start(arn, name or f"run-{len(self.step_functions.executions) + 1}", request)

    def provision(self, tenant_id: str, store: str | None = None, *, within: float = AN_HOUR) -> Execution:
        """Starts a provisioning and waits for its end. Raises: Unfinished after `within` virtual seconds."""
        return self.finish(self.start("provision_tenant", provisioning_request(tenant_id, store)), within=within)

    def finish(self, *executions: Execution, within: float = AN_HOUR) -> Execution:
        """Lets everything happen until they have ended. Returns: the last of them."""
        self.timeline.run_until(lambda: all(execution.ended for execution in executions), within=within)
        return executions[-1]

    def settle(self, *tenant_ids: str, within: float = AN_HOUR) -> None:
        """Lets everything happen until nothing is left to do for these tenants and no tick is on its way.

        Raises: Unfinished after `within` virtual seconds.
        """
        end = self.timeline.now() + within
        while True:
            self.timeline.run_for(10)
            # Whoever waits for a sync has a tick on its way, and looking into the table takes longer than a tick.
            told = self.bucket_events is None or self.bucket_events.empty
            if told and self.ticks.empty and not self._waiting(tenant_ids):
                return
            if self.timeline.now() > end:
                waiting = self._waiting(tenant_ids)
                raise Unfinished(f"after {within:g} virtual seconds these still wait for a sync: {waiting}")

    def _waiting(self, tenant_ids: Sequence[str]) -> list[str]:
        return [tenant_id for tenant_id in tenant_ids if self.sync(tenant_id).state is not SyncState.IDLE]

    def invoke(self, function: str, event: Json) -> Json:
        """Runs a function at once, beside whatever else goes on. Raises: TaskFailed."""
        outcome: list[Json | TaskFailed] = []

        def run() -> None:
            try:
                outcome.append(self.functions(function, event))
            except TaskFailed as error:
                outcome.append(error)

        self.timeline.spawn(function, run)
        self.timeline.run_until(lambda: bool(outcome), within=AN_HOUR)
        if isinstance(outcome[0], TaskFailed):
            raise outcome[0]
        return outcome[0]

    def define(self, machine: str, folder: Path, *, start_at: str | None = None) -> None:
        """Executions that start from here on go by the definition in that folder, from its first state unless another
        is named. Its functions are those of today."""
        definition = _definition(self.deployment, self._machine(machine), folder)
        definition["StartAt"] = start_at or definition["StartAt"]
        self.step_functions.update(self.machine_arn(machine), StateMachine(definition))

    def stop(self, execution: Execution, *, announced: bool = True) -> None:
        """StopExecution; `announced` is whether EventBridge delivers the event of it."""
        self.step_functions.stop(execution, announced=announced)

    @contextmanager
    def disturbed(self, disturbance: Disturbance) -> Iterator[None]:
        """While this lasts, every call of the product passes by `disturbance`."""
        self.calls.disturbances.append(disturbance)
        try:
            yield
        finally:
            self.calls.disturbances.remove(disturbance)

    # --- what goes on by itself ---

    def wake(self) -> None:
        """The tick queue is delivered and the schedule ticks, from now on."""
        self._background = [
            self.timeline.spawn("tick queue", self.ticks.deliver),
            self.timeline.spawn("document retry queue", self.retries.deliver),
            self.timeline.spawn("deletion check queue", self.checks.deliver),
            self.timeline.spawn("tick schedule", self._tick_by_schedule),
        ]
        if self.bucket_events is not None:
            self._background += [
                self.timeline.spawn("change queue", self.bucket_events.deliver),
                self.timeline.spawn("sync schedule", self._request_scheduled_syncs),
            ]
        if self.questions is not None:
            pollers = self.deployment.property("RunQuestionsFunction", "Events")["Part"]["Properties"]["ScalingConfig"]
            self._background += [
                *(
                    self.timeline.spawn("question queue", self.questions.deliver)
                    for _ in range(int(pollers["MaximumConcurrency"]))
                ),
                self.timeline.spawn("question rounds", self._request_question_rounds),
            ]

    def rest(self) -> None:
        """Nothing goes on by itself any more. Raises: RuntimeError when something else does."""
        self.timeline.dismiss(self._background)

    def _tick_by_schedule(self) -> None:
        """The safety net. A tick that fails is not repeated: the next one comes soon enough."""
        while True:
            self.timeline.sleep(self.safety_net_seconds)
            try:
                self.functions("TickFunction", {})
            except TaskFailed:
                continue

    def _request_question_rounds(self) -> None:
        """A lap that fails is not repeated: the next one goes on where it stopped."""
        while True:
            self.timeline.sleep(LAP.total_seconds())
            try:
                self.functions("RequestQuestionRoundFunction", {})
            except TaskFailed:
                continue

    def _request_scheduled_syncs(self) -> None:
        """One run that fails is tried twice more; the next one comes soon enough."""
        while True:
            self.timeline.sleep(self.sync_schedule_seconds)
            for pause in (*_ASYNCHRONOUS_RETRIES, None):
                try:
                    self.functions("RequestScheduledSyncsFunction", {})
                    break
                except TaskFailed:
                    if pause is not None:
                        self.timeline.sleep(pause)

    # --- looking ---

    def client(self, service: str) -> Any:
        return self.calls.lookout(service)

    def tenant(self, tenant_id: str) -> Tenant | None:
        return kbfleet.bootstrap.registry().find(TenantId(tenant_id))

    def sync(self, tenant_id: str) -> Sync:
        return kbfleet.bootstrap.ledger().find(self.knowledge(tenant_id))

    def life(self, tenant_id: str) -> Life:
        """Its present one, or its last; of a tenant that is not there yet, the first."""
        return self.knowledge(tenant_id).life

    def knowledge(self, tenant_id: str) -> Knowledge:
        """What answers in that life."""
        tenant = self.tenant(tenant_id)
        return tenant.live_knowledge if tenant is not None else first_knowledge(tenant_id)

    def fill_account(self, *, left: int) -> None:
        """Another fleet has all knowledge bases of type VECTOR that the account can have, but so many."""
        account, now = self.emulator._account, self.timeline.now()
        for number in range(KnowledgeBaseKind.VECTOR.quota - left - len(account.knowledge_bases)):
            identifier = f"S{number:09}"
            account.knowledge_bases[identifier] = KnowledgeBase(
                identifier=identifier,
                arn=account.arn("bedrock", f"knowledge-base/{identifier}"),
                name=f"somebodys-{number}",
                role_arn="arn:aws:iam::123456789012:role/somebodys",
                configuration={"type": "VECTOR"},
                storage=None,
                description="Documents of somebody, kept in sync by kbfleet (VECTOR)",
                status="ACTIVE",
                created_at=now,
                updated_at=now,
                tags={},
            )

    def machine_arn(self, machine: str) -> str:
        return str(self.deployment.value({"Ref": self._machine(machine)}))

    def matches(self, rule: str, event: Mapping[str, Any]) -> bool:
        """Whether a rule of the template is for what was published; its patterns are lists of values."""
        pattern = self.deployment.property(rule, "EventPattern")
        given = {"source": event["Source"], "detail-type": event["DetailType"], "detail": event["Detail"]}
        return _matches(pattern, given)

    def _machine(self, machine: str) -> str:
        for logical_id in self.deployment.made("AWS::Serverless::StateMachine"):
            if self.deployment.property(logical_id, "DefinitionUri").endswith(f"/{machine}.asl.json"):
                return logical_id
        raise KeyError(machine)


def as_delivered(event: Mapping[str, Any]) -> str:
    """What was published, as EventBridge gives it to a queue, as far as it is read. Source: AWS documentation,
    EventBridge, Structure of events."""
    return json.dumps({"detail-type": event["DetailType"], "source": event["Source"], "detail": event["Detail"]})


def _matches(pattern: Any, given: Any) -> bool:
    if isinstance(pattern, dict):
        return isinstance(given, dict) and all(_matches(part, given.get(name)) for name, part in pattern.items())
    if any(isinstance(value, dict) for value in pattern):
        raise NotImplementedError(f"the pattern {pattern}")
    return given in pattern


def provisioning_request(tenant_id: str, store: str | None = None) -> dict[str, str]:
    """The input of `provision_tenant`."""
    return {"tenant_id": tenant_id} | ({"knowledge_store": store} if store else {})


def kill_at(number: int, moment: Moment) -> Disturbance:
    """The function that makes call `number` dies there."""

    def disturb(call: Call, at: Moment) -> None:
        if call.number == number and at is moment:
            raise FunctionDied(f"RequestId: {call.strand} Process exited before completing request")

    return disturb


def kill_first(operation: str, moment: Moment, *, function: str | None = None) -> Disturbance:
    """The function that is the first to make such a call dies there; only `function`, if one is named."""
    met: list[Call] = []

    def disturb(call: Call, at: Moment) -> None:
        if call.operation != operation or function not in {None, call.function}:
            return
        if not met or met[0] == call:
            met[:] = [call]
            if at is moment:
                raise FunctionDied(f"RequestId: {call.strand} Process exited before completing request")

    return disturb


@contextmanager
def virtual_fleet(
    *,
    seed: int = 0,
    interleaved: bool = False,
    quotas: Quotas | None = None,
    parameters: Mapping[str, str] | None = None,
    safety_net_seconds: float = _A_MINUTE,
    late_role_seconds: float = 0.0,
    slowness: Slowness = AS_REPORTED,
    late_event_seconds: float | None = None,
    sync_schedule_seconds: float = RUN_EVERY.total_seconds(),
    first_documents: bool = True,
    questions_are_asked: bool = False,
) -> Iterator[VirtualFleet]:
    """Deploys a fleet, and takes it down again.

    Args:
        seed: for everything that is left to chance: who runs next, jitter, throttling.
        interleaved: whether others may act at each AWS call; else work runs until it waits.
        quotas: of Bedrock; its real ones, request rates too, unless given.
        parameters: of template.yaml, where they are not to have their defaults.
        safety_net_seconds: between two ticks of the schedule. A day of idle ticks takes seconds: more than its minute
            where days pass.
        late_role_seconds: after a role was made, for which Bedrock cannot assume it yet.
        slowness: of what takes its time otherwise.
        late_event_seconds: after a bucket's notification was switched on, for which S3 tells of no change. Without it,
            S3 never tells, and nothing is synced by schedule.
        sync_schedule_seconds: between two runs of the schedule of syncs. More than its own where days pass, as above.
        first_documents: whether somebody puts a document into each bucket at the very moment when it is made. A tenant
            without any has no first sync.
        questions_are_asked: whether golden questions are, after each ingestion and round after round. Without it,
            whoever wants them asked invokes the function.

    Raises:
        StrandDied: something failed that nobody waited for, or a thread would outlive its world.
    """
    arns: dict[str, str] = {}
    deployment = Deployment(ACCOUNT, REGION, _EVERY_STORE | dict(parameters or {}), arns=arns)
    clock = VirtualClock()
    with ExitStack() as stack:
        stack.enter_context(mock_aws())
        s3 = aws.client("s3", region=REGION)
        emulator = Emulator(
            region=REGION,
            account=ACCOUNT,
            clock=clock,
            quotas=quotas,
            embedder="character",
            client_factory=lambda _service: s3,
        )
        if late_role_seconds:
            emulator.faults.add({"effect": "new_role_not_assumable", "seconds": late_role_seconds})
        agenda = emulator._account.agenda  # its next moment is nobody else's business, but time must stop there
        timeline = Timeline(
            clock,
            interleaving=Random(seed) if interleaved else None,  # noqa: S311 - repeatable on purpose
            due=lambda: agenda._due[0][0] if agenda._due else None,
            run_due=agenda.run_due,
        )
        fleet = _deployed(
            deployment, timeline, clock, emulator, seed, safety_net_seconds, questions_are_asked=questions_are_asked
        )
        fleet.calls.fresh_buckets = fresh_buckets = FreshBuckets(slowness, clock, seed=seed)
        fleet.calls.s3_observers.append(fresh_buckets.note)
        if first_documents:
            fleet.calls.s3_observers.append(partial(_put_first_document, aws.client("s3", region=REGION)))
        s3.meta.events.unregister("before-send", botocore_stubber)
        s3.meta.events.register_first("before-send", partial(_answer_bedrock, fresh_buckets))
        stack.enter_context(managed_takes(slowness))
        if late_event_seconds is not None:
            fleet.bucket_events = _bucket_events(fleet, late_event_seconds)
            fleet.calls.s3_observers.append(fleet.bucket_events.observe)
            fleet.sync_schedule_seconds = sync_schedule_seconds
        _make_resources(fleet)
        arns |= _make_collections(fleet)
        _make_managed_policies(fleet)
        stack.enter_context(fleet.calls.in_place_of_boto3())
        stack.enter_context(patch.dict(os.environ, _environment(deployment)))
        stack.enter_context(patch.object(kbfleet.bootstrap, "clock", lambda: ProductClock(clock)))
        stack.enter_context(patch.object(kbfleet.bootstrap, "sleep", timeline.sleep))
        stack.enter_context(patch.object(FakeBucket, "get_permission", _permission_over_https))
        stack.enter_context(patch.object(iam_models, "utcnow", lambda: clock.datetime().replace(tzinfo=None)))
        stack.enter_context(patch.object(s3_models, "utcnow", _one_after_another(clock)))
        stack.enter_context(patch.object(ResponseSerializer, "get_value", _attribute_value))
        stack.enter_context(patch.object(Table, "query", _query_what_may_match))
        identifiers = Random(seed)  # noqa: S311 - repeatable on purpose
        stack.enter_context(patch.object(bedrock_emulator.account, "secrets", identifiers))
        stack.enter_context(_quiet())
        _forget_ports()
        stack.callback(_forget_ports)
        stack.callback(timeline.close)
        fleet.wake()
        yield fleet


def _deployed(
    deployment: Deployment,
    timeline: Timeline,
    clock: VirtualClock,
    emulator: Emulator,
    seed: int,
    safety_net_seconds: float,
    *,
    questions_are_asked: bool,
) -> VirtualFleet:
    functions = Functions(deployment, timeline)
    reporters = _reporters(deployment)

    def report(execution: Execution) -> None:
        event = _stopped_event(execution)
        for function in reporters.get(execution.machine, ()):
            timeline.spawn(
                f"{function} of {execution.name}",
                lambda name=function: deliver(name, event),  # type: ignore[misc]
            )

    def deliver(function: str, event: Json) -> None:
        for pause in (*_ASYNCHRONOUS_RETRIES, None):
            try:
                functions(function, event)
            except TaskFailed:
                if pause is None:
                    fleet.lost_events.append(function)
                    return
                timeline.sleep(pause)
            else:
                return

    machines = {
        str(deployment.value({"Ref": logical_id})): StateMachine(_definition(deployment, logical_id))
        for logical_id in deployment.made("AWS::Serverless::StateMachine")
    }
    step_functions = VirtualStepFunctions(machines, timeline, functions, stopped=report, seed=seed)
    ticks = _queue("TickQueue", "TickFunction", deployment, timeline, functions, FifoQueue)
    retries = _queue("DocumentRetryQueue", "RetryDocumentsFunction", deployment, timeline, functions, FifoQueue)
    checks = _queue("DeletionCheckQueue", "CheckDeletionsFunction", deployment, timeline, functions, FifoQueue)
    dead_letters = {
        name: KeptMessages(str(deployment.value({"Ref": name})), timeline)
        for name in deployment.made("AWS::SQS::Queue")
        if name.endswith("DeadLetterQueue")
    }
    queues: dict[str, FifoQueue | StandardQueue | KeptMessages] = {each.url: each for each in (ticks, retries, checks)}
    queues |= {kept.url: kept for kept in dead_letters.values()}
    questions = None
    if questions_are_asked:
        questions = _queue("QuestionQueue", "RunQuestionsFunction", deployment, timeline, functions, StandardQueue)
    kept = KeptMessages(str(deployment.value({"Ref": "QuestionQueue"})), timeline)
    queues[kept.url] = questions or kept

    def answer_for_queues(operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        return queues[parameters["QueueUrl"]].answer(operation, parameters)

    services = {"stepfunctions": step_functions.answer, "sqs": answer_for_queues}
    calls = AwsCalls(timeline, emulator, services, region=REGION, seed=seed)
    calls.functions = functions

    names = ResourceNames(str(deployment.value({"Ref": "FleetName"})), ACCOUNT, REGION)
    fleet = VirtualFleet(
        timeline,
        clock,
        emulator,
        calls,
        step_functions,
        ticks,
        retries,
        checks,
        deployment,
        names,
        functions,
        safety_net_seconds,
        dead_letters,
        questions=questions,
    )
    calls.observers.append(partial(_record, fleet))
    return fleet


def _record(fleet: VirtualFleet, answered: Answered) -> None:
    match answered.call.operation:
        case "PutEvents":
            entries = zip(answered.parameters["Entries"], answered.answer["Entries"], strict=True)
            for event in (
                {**given, "Detail": json.loads(given["Detail"])} for given, taken in entries if "EventId" in taken
            ):
                fleet.events.append(event)
                if fleet.questions is not None and fleet.matches("KnowledgeChangedRule", event):
                    fleet.questions.put(as_delivered(event))
        case "PutItem" if answered.parameters["Item"]["SK"]["S"] == "PROFILE":
            item = answered.parameters["Item"]
            tenant_id, status, since = (item[name]["S"] for name in ("tenant_id", "status", "status_since"))
            fleet.stored.append(StoredProfile(tenant_id, status, since, int(item["fence"]["N"])))


class Functions:
    """Lambda: runs handlers in the strand that invokes them."""

    def __init__(self, deployment: Deployment, timeline: Timeline) -> None:
        self._deployment = deployment
        self._timeline = timeline
        self._known: dict[str, tuple[Callable[[Json, Any], Json], float]] = {}

    def __call__(self, function: str, event: Json) -> Json:
        handler, timeout = self._find(function)
        strand = self._timeline.current
        assert strand is not None, "functions are invoked by strands"
        invoked_by = strand.function, strand.deadline
        strand.function, strand.deadline = function, self._timeline.now() + timeout
        try:
            return json.loads(json.dumps(handler(json.loads(json.dumps(event)), self._context(function))))
        except FunctionDied as death:
            # What Step Functions calls a function that ran out of time or memory, or whose process ended. Source: AWS
            # documentation, Handle transient Lambda service exceptions.
            raise TaskFailed("Lambda.Unknown", str(death)) from None
        except Exception as error:
            cause = json.dumps({"errorMessage": str(error), "errorType": type(error).__name__})
            raise TaskFailed(type(error).__name__, cause) from error
        finally:
            strand.function, strand.deadline = invoked_by

    def _find(self, function: str) -> tuple[Callable[[Json, Any], Json], float]:
        if function not in self._known:
            made = self._deployment.function(function)
            self._known[function] = (handler(function), float(made["Timeout"]))
        return self._known[function]

    def _context(self, function: str) -> Any:
        strand = self._timeline.current
        assert strand is not None
        return SimpleNamespace(
            function_name=function,
            memory_limit_in_mb=512,
            invoked_function_arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}",
            aws_request_id="00000000-0000-0000-0000-000000000000",
            get_remaining_time_in_millis=lambda: int((strand.deadline - self._timeline.now()) * 1000),
        )


Queue = TypeVar("Queue", FifoQueue, StandardQueue)


def _queue(
    logical_id: str,
    function: str,
    deployment: Deployment,
    timeline: Timeline,
    functions: Functions,
    kind: type[Queue],
) -> Queue:
    """A queue of the template, with the function that reads it."""

    def deal(body: str) -> bool:
        try:
            functions(function, {"Records": [{"body": body}]})
        except TaskFailed:
            return False
        return True

    return kind(
        str(deployment.value({"Ref": logical_id})),
        timeline,
        delay=float(deployment.property(logical_id, "DelaySeconds")),
        visibility_timeout=float(deployment.property(logical_id, "VisibilityTimeout")),
        max_receives=int(deployment.property(logical_id, "RedrivePolicy")["maxReceiveCount"]),
        deal=deal,
    )


def _bucket_events(fleet: VirtualFleet, late: float) -> BucketEvents:
    deployment, function = fleet.deployment, "NoteChangesFunction"

    def deal(messages: list[str]) -> list[str]:
        try:
            failures = fleet.functions(function, sqs_batch(messages))["batchItemFailures"]
        except TaskFailed:
            return messages
        return [messages[int(failure["itemIdentifier"])] for failure in failures]

    (mapping,) = deployment.property(function, "Events").values()
    return BucketEvents(
        fleet.timeline,
        late=late,
        gathered=float(mapping["Properties"]["MaximumBatchingWindowInSeconds"]),
        visibility_timeout=float(deployment.property("ChangeQueue", "VisibilityTimeout")),
        deal=deal,
    )


def _reporters(deployment: Deployment) -> dict[str, list[str]]:
    """The functions that EventBridge calls about an execution that was stopped, by state machine."""
    found: dict[str, list[str]] = {}
    for function in deployment.made("AWS::Serverless::Function"):
        events = deployment.property(function, "Events") if deployment.has(function, "Events") else {}
        for event in events.values():
            pattern = event["Properties"].get("Pattern", {})
            if event["Type"] == "EventBridgeRule" and pattern.get("source") == ["aws.states"]:
                for machine in pattern["detail"]["stateMachineArn"]:
                    found.setdefault(machine, []).append(function)
    return found


def _stopped_event(execution: Execution) -> dict[str, Any]:
    """Source: AWS documentation, Step Functions events in EventBridge."""
    return {
        "source": "aws.states",
        "detail-type": "Step Functions Execution Status Change",
        "detail": {
            "executionArn": execution.arn,
            "stateMachineArn": execution.machine,
            "name": execution.name,
            "status": execution.status,
            "input": json.dumps(execution.input),
        },
    }


def _definition(deployment: Deployment, machine: str, folder: Path = DEFINITIONS) -> dict[str, Any]:
    text = (folder / PurePosixPath(deployment.property(machine, "DefinitionUri")).name).read_text("utf-8")
    for name, value in deployment.property(machine, "DefinitionSubstitutions").items():
        text = text.replace(f"${{{name}}}", str(value))
    definition: dict[str, Any] = json.loads(text)
    return definition


def _environment(deployment: Deployment) -> dict[str, str]:
    """One process plays every function, so their variables must agree. Raises: ValueError when two do not."""
    variables: dict[str, str] = {}
    for function in deployment.made("AWS::Serverless::Function"):
        for name, value in deployment.function(function)["Environment"]["Variables"].items():
            if variables.setdefault(name, value) != value:
                raise ValueError(f"{function} has another {name} than other functions")
    by_lambda = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
    return {**variables, **by_lambda, "POWERTOOLS_TRACE_DISABLED": "true"}


def _make_resources(fleet: VirtualFleet) -> None:
    table = fleet.deployment.value({"Ref": "Table"})
    fleet.client("dynamodb").create_table(TableName=table, **table_definition())
    for bus in fleet.deployment.made("AWS::Events::EventBus"):
        fleet.client("events").create_event_bus(Name=fleet.deployment.property(bus, "Name"))
    for secret in fleet.deployment.made("AWS::SecretsManager::Secret"):
        fleet.client("secretsmanager").create_secret(Name=secret, SecretString="k" * 64)
    for plan in fleet.deployment.made("AWS::ApiGateway::UsagePlan"):
        name, plan_id = fleet.deployment.property(plan, "UsagePlanName"), fleet.deployment.value({"Ref": plan})
        aws.make_usage_plan(name, plan_id, region=REGION)
    for bucket in fleet.deployment.made("AWS::S3Vectors::VectorBucket"):
        name = fleet.deployment.property(bucket, "VectorBucketName")
        fleet.client("s3vectors").create_vector_bucket(vectorBucketName=name)


def _make_managed_policies(fleet: VirtualFleet) -> None:
    for policy in fleet.deployment.made("AWS::IAM::ManagedPolicy"):
        document = json.dumps(fleet.deployment.property(policy, "PolicyDocument"))
        fleet.client("iam").create_policy(PolicyName=policy, PolicyDocument=document)


def _make_collections(fleet: VirtualFleet) -> dict[str, str]:
    """Collections have an id of their own. Returns: their ARNs, by logical id."""
    client, deployment = fleet.client("opensearchserverless"), fleet.deployment
    for kind, create in (("Security", client.create_security_policy), ("Access", client.create_access_policy)):
        for policy in deployment.made(f"AWS::OpenSearchServerless::{kind}Policy"):
            create(**{name.lower(): deployment.property(policy, name) for name in ("Name", "Type", "Policy")})
    arns = {}
    for collection in deployment.made("AWS::OpenSearchServerless::Collection"):
        members = {name.lower(): deployment.property(collection, name) for name in ("Name", "Type")}
        arns[collection] = client.create_collection(**members)["createCollectionDetail"]["arn"]
    while any(summary["status"] != "ACTIVE" for summary in client.list_collections()["collectionSummaries"]):
        fleet.timeline.run_for(_A_MINUTE)
    return arns


def _put_first_document(s3: Any, operation: str, parameters: Mapping[str, Any], _answer: Mapping[str, Any]) -> None:
    if operation == "CreateBucket":
        s3.put_object(Bucket=parameters["Bucket"], Key=FIRST_DOCUMENT, Body=b"Snow shoes are rented for eleven days.")


def _answer_bedrock(
    fresh_buckets: FreshBuckets, event_name: str, request: AWSPreparedRequest, **_: Any
) -> AWSResponse | None:
    """As `AwsCalls` answers the product."""
    answered: AWSResponse | None = fresh_buckets.refusal_to_bedrock(request) or botocore_stubber(event_name, request)
    return answered


def _permission_over_https(bucket: FakeBucket, action: str, resource: str) -> PermissionResult:
    """moto takes a condition that does not hold for a denial. Calls are made over https here, as they are on AWS."""
    if bucket.policy is None:
        return PermissionResult.NEUTRAL
    policy = json.loads(bucket.policy)
    plain_http = {"Bool": {"aws:SecureTransport": "false"}}
    statements = [statement for statement in policy["Statement"] if statement.get("Condition") != plain_http]
    if not statements:
        return PermissionResult.NEUTRAL
    return IAMPolicy(json.dumps({**policy, "Statement": statements})).is_action_permitted(action, resource)


def _one_after_another(clock: VirtualClock) -> Callable[[], datetime]:
    """moto knows the order of versions by their times alone, and virtual time stands still while somebody acts."""
    last = clock.datetime()

    def now() -> datetime:
        nonlocal last
        last = max(clock.datetime(), last + timedelta(milliseconds=1))
        return last.replace(tzinfo=None)

    return now


_ATTRIBUTE_TYPES = frozenset({"S", "N", "B", "SS", "NS", "BS", "M", "L", "NULL", "BOOL"})
_looked_for = ResponseSerializer.get_value


def _attribute_value(serializer: ResponseSerializer, value: Any, key: str, shape: Shape) -> Any:
    """moto looks for each of the ten types of an attribute of DynamoDB under several spellings, which was a third of a
    world's time; they are spelled right."""
    if type(value) is dict and value and value.keys() <= _ATTRIBUTE_TYPES:
        return value.get(key)
    return _looked_for(serializer, value, key, shape)


_query = Table.query
_INDEX = 6
"""The place of the index's name among what `Table.query` is given behind the key."""


def _query_what_may_match(table: Table, hash_key: Any, *arguments: Any, **named: Any) -> Any:
    """moto sorts all items of a table before it looks which are asked for, and sorts those again: with a thousand
    tenants that was nearly all of a world's time. It is shown those only that have the key, or are in the index."""
    if arguments[_INDEX] is None:
        items = list(table.items.get(hash_key, {}).values())
    else:
        keys = [name for name, _ in named["hash_key_conditions"]]
        items = [
            item
            for partition in table.items.values()
            for item in partition.values()
            if all(key in item.attrs for key in keys)
        ]
    with patch.object(table, "all_items", lambda: items):
        return _query(table, hash_key, *arguments, **named)


def _forget_ports() -> None:
    for port in vars(kbfleet.bootstrap).values():
        if hasattr(port, "cache_clear"):
            port.cache_clear()


@contextmanager
def _quiet() -> Iterator[None]:
    """Thousands of runs would write millions of lines of logs and metrics."""
    from kbfleet.logs import logger
    from kbfleet.usage_log import usage_logger

    levels = {each: each.log_level for each in (logger, usage_logger)}
    for each in levels:
        each.setLevel("CRITICAL")
    try:
        with (
            patch.object(AmazonCloudWatchEMFProvider, "flush_metrics", lambda self, *_, **__: self.clear_metrics()),
        ):
            yield
    finally:
        for each, level in levels.items():
            each.setLevel(level)
