"""A whole fleet in one process and in virtual time: the real handlers and state machines, on moto and the emulator.

What plays AWS: moto (S3, DynamoDB, EventBridge), the Bedrock emulator, and in virtual time Step Functions and the tick
queue. Everything is deployed as template.yaml says. Use it from a test or a proof:

    with virtual_fleet(seed=7) as fleet:
        execution = fleet.provision("acme")
        assert execution.status == "SUCCEEDED"
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import aws_lambda_powertools.metrics.base
from moto import mock_aws

import kbfleet.bootstrap
from kbfleet.domain.ingestion import Sync, SyncState
from kbfleet.domain.tenant import ResourceNames, Tenant, TenantId
from local.bedrock import Emulator, Quotas
from tests.support import aws
from tests.support.aws_calls import Answered, AwsCalls, Call, Disturbance, FunctionDied, Moment
from tests.support.deployment_values import Deployment
from tests.support.state_machine import Execution, Json, StateMachine, TaskFailed
from tests.support.template import REPOSITORY, table_definition
from tests.support.virtual_queue import FifoQueue
from tests.support.virtual_step_functions import VirtualStepFunctions
from tests.support.virtual_time import ProductClock, Timeline, Unfinished, VirtualClock

ACCOUNT = "123456789012"
REGION = "ap-northeast-1"
AN_HOUR = 3600.0
_A_MINUTE = 60.0
_EVERY_STORE = {"OfferOpenSearchServerless": "true"}
"""Parameters by which the stack offers every knowledge store."""
# Source: AWS documentation, How Lambda handles errors and retries with asynchronous invocation.
_ASYNCHRONOUS_RETRIES = (60.0, 120.0)


@dataclass
class VirtualFleet:
    """A deployed fleet, with every handle that a proof needs."""

    timeline: Timeline
    clock: VirtualClock
    emulator: Emulator
    calls: AwsCalls
    step_functions: VirtualStepFunctions
    ticks: FifoQueue
    deployment: Deployment
    names: ResourceNames
    events: list[dict[str, Any]]
    lost_events: list[str]

    # --- acting ---

    def start(self, machine: str, request: Json, name: str | None = None) -> Execution:
        """Starts an execution of a state machine, named by its definition's file without `.asl.json`."""
        arn = self.machine_arn(machine)
        return self.step_functions.start(arn, name or f"run-{len(self.step_functions.executions) + 1}", request)

    def provision(self, tenant_id: str, store: str | None = None, *, within: float = AN_HOUR) -> Execution:
        """Starts a provisioning and waits for its end. Raises: Unfinished after `within` virtual seconds."""
        return self.finish(self.start("provision_tenant", provisioning_request(tenant_id, store)), within=within)

    def invoke(self, function: str, event: Json, *, within: float = _A_MINUTE) -> Json:
        """Invokes a function, named by its logical id, and waits for its answer. Raises: TaskFailed, Unfinished."""
        ended: list[Json | TaskFailed] = []

        def run() -> None:
            try:
                ended.append(_Functions(self.deployment, self.timeline)(function, event))
            except TaskFailed as failure:
                ended.append(failure)

        self.timeline.spawn(function, run)
        self.timeline.run_until(lambda: bool(ended), within=within)
        if isinstance(ended[0], TaskFailed):
            raise ended[0]
        return ended[0]

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
            waiting = [tenant_id for tenant_id in tenant_ids if self.sync(tenant_id).state is not SyncState.IDLE]
            if not waiting and self.ticks.empty:
                return
            if self.timeline.now() > end:
                raise Unfinished(f"after {within:g} virtual seconds these still wait for a sync: {waiting}")

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

    # --- looking ---

    def client(self, service: str) -> Any:
        return self.calls.client(service)

    def tenant(self, tenant_id: str) -> Tenant | None:
        return kbfleet.bootstrap.registry().find(TenantId(tenant_id))

    def sync(self, tenant_id: str) -> Sync:
        return kbfleet.bootstrap.ledger().find(TenantId(tenant_id))

    def machine_arn(self, machine: str) -> str:
        for logical_id in self.deployment.made("AWS::Serverless::StateMachine"):
            if self.deployment.property(logical_id, "DefinitionUri").endswith(f"/{machine}.asl.json"):
                return str(self.deployment.value({"Ref": logical_id}))
        raise KeyError(machine)


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
) -> Iterator[VirtualFleet]:
    """Deploys a fleet, and takes it down again.

    Args:
        seed: for everything that is left to chance: who runs next, jitter, throttling.
        interleaved: whether others may act at each AWS call; else work runs until it waits.
        quotas: of Bedrock; its real ones, request rates too, unless given.
        parameters: of template.yaml, where they are not to have their defaults.

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
        agenda = emulator._account.agenda  # its next moment is nobody else's business, but time must stop there
        timeline = Timeline(
            clock,
            interleaving=Random(seed) if interleaved else None,  # noqa: S311 - repeatable on purpose
            due=lambda: agenda._due[0][0] if agenda._due else None,
            run_due=agenda.run_due,
        )
        fleet = _deployed(deployment, timeline, clock, emulator, seed)
        _make_resources(fleet)
        arns |= _make_collections(fleet)
        stack.enter_context(fleet.calls.in_place_of_boto3())
        stack.enter_context(patch.dict(os.environ, _environment(deployment)))
        stack.enter_context(patch.object(kbfleet.bootstrap, "clock", lambda: ProductClock(clock)))
        stack.enter_context(_quiet())
        _forget_ports()
        stack.callback(_forget_ports)
        stack.callback(timeline.close)
        timeline.spawn("tick queue", fleet.ticks.deliver)
        timeline.spawn("tick schedule", lambda: _tick_every_minute(fleet))
        yield fleet


def _deployed(
    deployment: Deployment, timeline: Timeline, clock: VirtualClock, emulator: Emulator, seed: int
) -> VirtualFleet:
    functions = _Functions(deployment, timeline)
    events: list[dict[str, Any]] = []
    lost_events: list[str] = []
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
                    lost_events.append(function)
                    return
                timeline.sleep(pause)
            else:
                return

    machines = {
        str(deployment.value({"Ref": logical_id})): StateMachine(_definition(deployment, logical_id))
        for logical_id in deployment.made("AWS::Serverless::StateMachine")
    }
    step_functions = VirtualStepFunctions(machines, timeline, functions, stopped=report, seed=seed)
    ticks = _tick_queue(deployment, timeline, functions)
    services = {"stepfunctions": step_functions.answer, "sqs": ticks.answer}
    calls = AwsCalls(timeline, emulator, services, region=REGION, seed=seed)

    def record_events(answered: Answered) -> None:
        if answered.call.operation == "PutEvents":
            entries = zip(answered.parameters["Entries"], answered.answer["Entries"], strict=True)
            events.extend(
                {**given, "Detail": json.loads(given["Detail"])} for given, taken in entries if "EventId" in taken
            )

    calls.observers.append(record_events)
    names = ResourceNames(str(deployment.value({"Ref": "FleetName"})), ACCOUNT, REGION)
    return VirtualFleet(timeline, clock, emulator, calls, step_functions, ticks, deployment, names, events, lost_events)


class _Functions:
    """Lambda: runs handlers in the strand that invokes them."""

    def __init__(self, deployment: Deployment, timeline: Timeline) -> None:
        self._deployment = deployment
        self._timeline = timeline
        self._known: dict[str, tuple[Callable[[Json, Any], Json], float]] = {}

    def __call__(self, function: str, event: Json) -> Json:
        handler, timeout = self._find(function)
        strand = self._timeline.current
        assert strand is not None, "functions are invoked by strands"
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
            strand.function, strand.deadline = None, float("inf")

    def _find(self, function: str) -> tuple[Callable[[Json, Any], Json], float]:
        if function not in self._known:
            made = self._deployment.function(function)
            module = f"{made['CodeUri'].strip('/')}/{made['Handler'].partition('.')[0]}".replace("/", ".")
            self._known[function] = (importlib.import_module(module).handler, float(made["Timeout"]))
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


def _tick_queue(deployment: Deployment, timeline: Timeline, functions: _Functions) -> FifoQueue:
    def tick(_body: str) -> bool:
        try:
            functions("TickFunction", {})
        except TaskFailed:
            return False
        return True

    return FifoQueue(
        str(deployment.value({"Ref": "TickQueue"})),
        timeline,
        delay=float(deployment.property("TickQueue", "DelaySeconds")),
        visibility_timeout=float(deployment.property("TickQueue", "VisibilityTimeout")),
        max_receives=int(deployment.property("TickQueue", "RedrivePolicy")["maxReceiveCount"]),
        deal=tick,
    )


def _tick_every_minute(fleet: VirtualFleet) -> None:
    """The safety net. A tick that fails is not repeated: the next minute brings another one."""
    functions = _Functions(fleet.deployment, fleet.timeline)
    while True:
        fleet.timeline.sleep(_A_MINUTE)
        try:
            functions("TickFunction", {})
        except TaskFailed:
            continue


def _reporters(deployment: Deployment) -> dict[str, list[str]]:
    """The functions that EventBridge tells of an execution that was stopped, by state machine."""
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


def _definition(deployment: Deployment, machine: str) -> dict[str, Any]:
    text = (REPOSITORY / deployment.property(machine, "DefinitionUri")).read_text("utf-8")
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
    for bucket in fleet.deployment.made("AWS::S3Vectors::VectorBucket"):
        name = fleet.deployment.property(bucket, "VectorBucketName")
        fleet.client("s3vectors").create_vector_bucket(vectorBucketName=name)


def _make_collections(fleet: VirtualFleet) -> dict[str, str]:
    """Collections are told by an id of their own. Returns: their ARNs, by logical id."""
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


def _forget_ports() -> None:
    for port in vars(kbfleet.bootstrap).values():
        if hasattr(port, "cache_clear"):
            port.cache_clear()


@contextmanager
def _quiet() -> Iterator[None]:
    """Thousands of runs would write millions of lines of logs and metrics."""
    from kbfleet.telemetry import logger, metrics

    level = logger.log_level
    logger.setLevel("CRITICAL")
    try:
        with (
            patch.object(metrics, "flush_metrics", metrics.clear_metrics),
            # What `single_metric` writes, nothing else can turn off.
            patch.object(aws_lambda_powertools.metrics.base, "print", lambda *_, **__: None, create=True),
        ):
            yield
    finally:
        logger.setLevel(level)
