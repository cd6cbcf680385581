"""Step Functions executions are run by moto's engine.

MiniStack has an engine of its own. In it a Lambda that raises in a `.waitForTaskToken` task leaves the execution
waiting for ever; `TimeoutSeconds` of the machine, `HeartbeatSeconds` and `MaxDelaySeconds` are ignored; JSONPath
filters give null; a missing path gives null; an invalid definition is accepted; and StartExecution with the name and
input of a running execution is refused. moto's engine (it began as LocalStack's) follows the Amazon States Language
in all of these.

What AWS does: "StartExecution is idempotent for STANDARD workflows" for the same name and input while running, else
ExecutionAlreadyExists; CreateStateMachine answers InvalidDefinition; SendTaskSuccess with a token whose task has ended
answers TaskTimedOut, with a token that never was InvalidToken (AWS Step Functions API reference).

A state machine that goes with its stack "is deleted only when all its executions are completed. On the next state
transition, the state machine's executions are terminated" (DeleteStateMachine, the same reference); meanwhile no new
one is started (StateMachineDeleting). MiniStack forgets it at once, with its executions. That the stack waits for it is
inferred.

MiniStack keeps the records (state machines, executions, the `aws.states` events); only what runs an execution is
replaced.
"""

import datetime
import enum
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
from botocore.client import BaseClient
from botocore.config import Config
from ministack.core import iam_actions
from ministack.services import stepfunctions
from ministack.services.cloudformation import provisioners, stacks
from moto.stepfunctions.parser.api import ExecutionStatus, StateMachineType
from moto.stepfunctions.parser.asl.eval.callback.callback import (
    CallbackEndpoint,
    CallbackOutcomeFailure,
    CallbackOutcomeSuccess,
)
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.utils import boto_client
from moto.stepfunctions.parser.backend.execution import Execution
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
from moto.stepfunctions.parser.backend.state_machine import StateMachineInstance

from local.stack.configuration import ACCESS_KEY, StackConfiguration

logger = logging.getLogger(__name__)

# The longest that a Lambda function runs (AWS documentation, Lambda quotas) and a little.
LONGEST_CALL = 15 * 60 + 10
_POLL_SECONDS = 0.1
_STATE_MACHINE = "AWS::StepFunctions::StateMachine"
CLIENT_NAMES = {"sfn": "stepfunctions", "states": "stepfunctions"}
_running: dict[str, Execution] = {}
# State machines by the tokens of tasks that are over.
_closed_tokens: dict[str, str] = {}


def apply(configuration: StackConfiguration) -> None:
    # Each caught failure of a task, with its whole syntax tree; the execution's history has it in short.
    logging.getLogger("moto.stepfunctions.parser.asl.component.eval_component").setLevel(logging.CRITICAL)
    _send_service_integrations_to(configuration)
    start_execution, stop_execution = stepfunctions._start_execution, stepfunctions._stop_execution
    get_execution_history = stepfunctions._get_execution_history
    find_definition_problem = stepfunctions._validate_definition_jsonata
    extract_resource_arn = iam_actions.extract_resource_arn
    state_machine_type = provisioners._RESOURCE_HANDLERS[_STATE_MACHINE]
    create_by_template, delete_by_template = state_machine_type["create"], state_machine_type["delete"]
    blocks_event_loop = stacks._runs_on_worker_thread

    def definition_problem(definition: str | None) -> str | None:
        problem: str | None = find_definition_problem(definition)
        return problem or _definition_problem(definition or "")

    def create_state_machine_by_template(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        if problem := _definition_problem(provisioners._sfn_definition(properties)):
            raise provisioners._sfn_handler_error(problem)
        return create_by_template(logical_id, properties, stack)

    def delete_state_machine_with_its_stack(arn: str, properties: dict[str, Any]) -> None:
        _end_executions(arn, stop)
        delete_by_template(arn, properties)

    def start(request: dict[str, Any]) -> Any:
        return _deleting(request) or _same_running_execution(request) or start_execution(request)

    def stop(request: dict[str, Any]) -> Any:
        response = stop_execution(request)
        execution = _running.get(request.get("executionArn", ""))
        record = stepfunctions._executions.get(request.get("executionArn"))
        if execution and record["status"] == ExecutionStatus.ABORTED and (environment := _environment(execution)):
            environment.set_stop(stop_date=_now(), error=request.get("error"), cause=request.get("cause"))
        return response

    def history(request: dict[str, Any]) -> Any:
        if execution := _running.get(request.get("executionArn", "")):
            _copy_history(execution, stepfunctions._executions[request["executionArn"]])
        return get_execution_history(request)

    def resource_arn(service: str, method: str, path: str, headers: Any, body: bytes, *rest: Any) -> Any:
        machine = _machine_of_token(body) if service == "states" and b'"taskToken"' in body else None
        return machine or extract_resource_arn(service, method, path, headers, body, *rest)

    iam_actions.extract_resource_arn = resource_arn
    stepfunctions._run_execution = _run
    stepfunctions._start_execution = start
    stepfunctions._stop_execution = stop
    stepfunctions._get_execution_history = history
    stepfunctions._validate_definition_jsonata = definition_problem
    stepfunctions._send_task_success = lambda request: _end_task(
        request, lambda token: CallbackOutcomeSuccess(token, request["output"])
    )
    stepfunctions._send_task_failure = lambda request: _end_task(
        request, lambda token: CallbackOutcomeFailure(token, request.get("error"), request.get("cause"))
    )
    stepfunctions._send_task_heartbeat = _heartbeat
    state_machine_type["create"] = create_state_machine_by_template
    state_machine_type["delete"] = delete_state_machine_with_its_stack
    # It waits for executions, whose functions this very event loop runs.
    stacks._runs_on_worker_thread = lambda name: name == _STATE_MACHINE or blocks_event_loop(name)


class _Worker(ExecutionWorker):  # type: ignore[misc]
    """Evaluates an execution; stops at once when it was aborted before it began."""

    def __init__(self, record: dict[str, Any], **arguments: Any) -> None:
        super().__init__(**arguments)
        self._record = record

    def _get_evaluation_environment(self) -> Environment:
        self.env = super()._get_evaluation_environment()
        # After self.env is set: a StopExecution that saw no environment has set the status before.
        if self._record["status"] == ExecutionStatus.ABORTED:
            self.env.set_stop(stop_date=_now(), error=self._record["error"], cause=self._record["cause"])
        return self.env

    def run(self) -> None:
        """Evaluates in the calling thread; MiniStack gives each execution its own."""
        self._execution_logic()


def _run(arn: str) -> None:
    record = stepfunctions._executions.get(arn)
    machine = record and stepfunctions._state_machines.get(record["stateMachineArn"])
    if not machine:
        return
    execution = _make_execution(record, machine)
    _running[arn] = execution
    try:
        execution.exec_worker.run()
    except Exception as error:
        logger.exception("Step Functions execution %s could not be run", arn)
        stepfunctions._fail_execution(record, "States.Runtime", repr(error))
    else:
        _copy_history(execution, record)
        _copy_outcome(execution, record)
    finally:
        del _running[arn]
        if environment := _environment(execution):
            _closed_tokens.update(dict.fromkeys(environment.callback_pool_manager._pool, record["stateMachineArn"]))


def _make_execution(record: dict[str, Any], machine: dict[str, Any]) -> Execution:
    _, _, _, region, account, *_ = record["executionArn"].split(":")
    execution = Execution(
        name=record["name"],
        sm_type=StateMachineType(machine["type"]),
        role_arn=machine["roleArn"],
        exec_arn=record["executionArn"],
        account_id=account,
        region_name=region,
        state_machine=StateMachineInstance(
            name=machine["name"],
            arn=machine["stateMachineArn"],
            definition=machine["definition"],
            role_arn=machine["roleArn"],
            logging_config=machine["loggingConfiguration"],
            sm_type=StateMachineType(machine["type"]),
        ),
        # Text, because the context object gives it to states as $$.Execution.StartTime.
        start_date=record["startDate"],
        cloud_watch_logging_session=None,
        activity_store={},
        input_data=record["input"],
    )
    template = execution._get_start_execution_worker()
    execution.exec_status = ExecutionStatus.RUNNING
    execution.exec_worker = _Worker(
        record,
        evaluation_details=template._evaluation_details,
        exec_comm=template._execution_communication,
        cloud_watch_logging_session=None,
        activity_store={},
    )
    return execution


def _copy_history(execution: Execution, record: dict[str, Any]) -> None:
    if events := _plain(execution.to_history_output()["events"]):
        record["events"] = events


def _copy_outcome(execution: Execution, record: dict[str, Any]) -> None:
    if record["status"] != ExecutionStatus.RUNNING:
        return
    record.update(stopDate=stepfunctions.now_iso(), error=execution.error, cause=execution.cause)
    if execution.exec_status == ExecutionStatus.SUCCEEDED:
        record["output"] = json.dumps(execution.output, ensure_ascii=False)
    # Last, because it is what DescribeExecution's callers wait for.
    record["status"] = execution.exec_status.value
    stepfunctions._emit_execution_status_event(record)


def _same_running_execution(request: dict[str, Any]) -> Any:
    name, machine = request.get("name"), stepfunctions._state_machines.get(request.get("stateMachineArn"))
    if not name or not machine or machine["type"] != StateMachineType.STANDARD:
        return None
    arn = machine["stateMachineArn"].replace(":stateMachine:", ":execution:") + f":{name}"
    record = stepfunctions._executions.get(arn)
    if not record or record["status"] != ExecutionStatus.RUNNING or record["input"] != request.get("input", "{}"):
        return None
    return stepfunctions.json_response({"executionArn": arn, "startDate": record["startDate"]})


def _deleting(request: dict[str, Any]) -> Any:
    machine = stepfunctions._state_machines.get(request.get("stateMachineArn"), {})
    if machine.get("status") != "DELETING":
        return None
    arn = machine["stateMachineArn"]
    return stepfunctions.error_response_json("StateMachineDeleting", f"State Machine is being deleted: '{arn}'", 400)


def _end_executions(machine: str, stop: Callable[[dict[str, Any]], Any]) -> None:
    """Starts no execution of a state machine any more, ends each where it enters its next state, and waits for all."""
    if machine in stepfunctions._state_machines:
        stepfunctions._state_machines[machine]["status"] = "DELETING"
    entered: dict[str, int] = {}
    while left := list(_executions_under_way(machine)):
        for arn in left:
            if (execution := _running.get(arn)) is None:
                continue
            events = _plain(execution.to_history_output()["events"])
            states = sum(event["type"].endswith("StateEntered") for event in events)
            if entered.setdefault(arn, states) != states:
                stop({"executionArn": arn})
        time.sleep(_POLL_SECONDS)


def _executions_under_way(machine: str) -> Iterator[str]:
    for arn, record in list(stepfunctions._executions.items()):
        if record["stateMachineArn"] == machine and record["status"] == ExecutionStatus.RUNNING:
            yield arn


def _definition_problem(definition: str) -> str | None:
    try:
        AmazonStateLanguageParser.parse(definition)
    except Exception as error:  # noqa: BLE001 -- the parser raises many kinds, all about the definition
        return f"Invalid State Machine Definition: '{error!r}'"
    return None


def _end_task(request: dict[str, Any], outcome: Callable[[str], Any]) -> Any:
    token = request["taskToken"]
    endpoint = _open_task(token)
    if not isinstance(endpoint, CallbackEndpoint):
        return endpoint
    endpoint.notify(outcome(token))
    return stepfunctions.json_response({})


def _heartbeat(request: dict[str, Any]) -> Any:
    endpoint = _open_task(request["taskToken"])
    if not isinstance(endpoint, CallbackEndpoint):
        return endpoint
    endpoint.notify_heartbeat()
    return stepfunctions.json_response({})


def _open_task(token: str) -> Any:
    """The waiting task of a token, or the error response if there is none."""
    for execution in list(_running.values()):
        environment = _environment(execution)
        endpoint = environment and environment.callback_pool_manager.get(token)
        if endpoint is None:
            continue
        if not endpoint._notify_event.is_set():
            return endpoint
        break
    else:
        if token not in _closed_tokens:
            return stepfunctions.error_response_json("InvalidToken", f"Invalid Token: '{token}'", 400)
    return stepfunctions.error_response_json(
        "TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'", 400
    )


def _machine_of_token(body: bytes) -> str | None:
    """The state machine whose task a token is of, which is what policies name (AWS service authorization reference)."""
    token = json.loads(body)["taskToken"]
    for execution in list(_running.values()):
        environment = _environment(execution)
        if environment and environment.callback_pool_manager.get(token):
            return str(execution.state_machine.arn)
    return _closed_tokens.get(token)


def _environment(execution: Execution) -> Environment | None:
    return execution.exec_worker.env


def _send_service_integrations_to(configuration: StackConfiguration) -> None:
    clients: dict[tuple[str, str], BaseClient] = {}
    lock = threading.Lock()
    config = Config(
        parameter_validation=False,
        retries={"total_max_attempts": 1},
        max_pool_connections=100,
        read_timeout=LONGEST_CALL,
        inject_host_prefix=False,
    )

    def client_for(region: str, service: str, state_credentials: Any = None) -> BaseClient:  # noqa: ARG001
        name = CLIENT_NAMES.get(service.lower(), service)
        # Making a client is not thread-safe in boto3 and takes tens of milliseconds; using one is safe.
        with lock:
            if (region, name) not in clients:
                clients[region, name] = boto3.client(  # type: ignore[call-overload]
                    name,
                    region_name=region,
                    endpoint_url=configuration.aws_url,
                    aws_access_key_id=ACCESS_KEY,
                    aws_secret_access_key=configuration.secret_key,
                    config=config,
                )
            return clients[region, name]

    # The function is imported by name into every kind of task.
    replaced = boto_client.boto_client_for
    for name, module in list(sys.modules.items()):
        if name.startswith("moto.stepfunctions.") and vars(module).get("boto_client_for") is replaced:
            module.boto_client_for = client_for  # type: ignore[attr-defined]


def _plain(value: Any) -> Any:
    """History events as MiniStack stores them: text for times, plain values for enumerations."""
    match value:
        case datetime.datetime():
            return value.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case dict():
            return {key: _plain(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_plain(entry) for entry in value]
        case enum.Enum():
            return value.value
    return value


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
