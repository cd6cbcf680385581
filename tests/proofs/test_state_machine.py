"""The interpreter in virtual time does what moto's engine does with the same definitions and handlers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from moto import mock_aws
from moto.awslambda_simple.models import LambdaSimpleBackend

from tests.support.aws import client as aws_client
from tests.support.aws_calls import Refused
from tests.support.state_machine import Execution, NotInterpretedError, StateMachine, TaskFailed
from tests.support.virtual_fleet import RARE_TICKS, virtual_fleet
from tests.support.virtual_step_functions import VirtualStepFunctions
from tests.support.virtual_time import Timeline, VirtualClock
from tests.support.waiting import until
from tests.support.workflow_fleet import deployed_fleet

ACCOUNT = "123456789012"
REGION = "us-east-1"
MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:machine"


class Throttled(Exception):
    """What a handler raises that a state retries."""


class Refusal(Exception):
    """What a handler raises that nobody retries."""


class Handlers:
    """Lambda functions for one execution. `answer` answers a task's token: (token, output) or (token, error, cause)."""

    def __init__(self, answer: Callable[..., None]) -> None:
        self._answer = answer
        self._failures = 0

    def __call__(self, function: str, event: Any) -> Any:
        return getattr(self, function)(event)

    def echo(self, event: Any) -> Any:
        return {"given": event, "ready": True}

    def throttled_twice(self, event: Any) -> Any:
        self._failures += 1
        if self._failures <= 2:
            raise Throttled("slow down")
        return {"attempts": self._failures}

    def always_throttled(self, event: Any) -> Any:
        raise Throttled("slow down")

    def refused(self, event: Any) -> Any:
        raise Refusal("never")

    def answers_its_token(self, event: Any) -> Any:
        self._answer(event["token"], {"answer": 42})

    def fails_its_token(self, event: Any) -> Any:
        self._answer(event["token"], None, ("IngestionFailed", "no documents"))


def task(function: str, /, *, token: bool = False, **fields: Any) -> dict[str, Any]:
    payload = {"given.$": "$", **({"token.$": "$$.Task.Token"} if token else {})}
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke" + (".waitForTaskToken" if token else ""),
        "TimeoutSeconds": 20,
        "Parameters": {"FunctionName": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}", "Payload": payload},
        **({} if token else {"ResultSelector": {"payload.$": "$.Payload"}}),
        "ResultPath": "$.result",
        "Next": "Done",
        **fields,
    }


def machine(**states: Any) -> dict[str, Any]:
    ends = {"Done": {"Type": "Succeed"}, "Failed": {"Type": "Fail", "Error": "Failed", "Cause": "for good"}}
    return {"StartAt": next(iter(states)), "States": {**states, **ends}}


RETRY = [{"ErrorEquals": ["Throttled"], "IntervalSeconds": 1, "BackoffRate": 1, "MaxAttempts": 2}]
CATCH = [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.failure", "Next": "Failed"}]
CATCH_REFUSAL = [{"ErrorEquals": ["Refusal"], "ResultPath": "$.failure", "Next": "Done"}]


def choice(rule: Mapping[str, Any]) -> dict[str, Any]:
    return machine(Ask={"Type": "Choice", "Choices": [{**rule, "Next": "Done"}], "Default": "Failed"})


YES = {"Variable": "$.yes", "BooleanEquals": True}
NO = {"Variable": "$.no", "BooleanEquals": True}
DEFINITIONS: Mapping[str, dict[str, Any]] = {
    "a task's answer is kept where it should be": machine(Work=task("echo")),
    "a task's answer is thrown away": machine(Work=task("echo", ResultPath=None)),
    "a task that is throttled is tried again": machine(Work=task("throttled_twice", Retry=RETRY)),
    "attempts run out": machine(Work=task("always_throttled", Retry=RETRY, Catch=CATCH)),
    "an error that is not retried is caught": machine(Work=task("refused", Retry=RETRY, Catch=CATCH_REFUSAL)),
    "an error that nobody catches ends the execution": machine(Work=task("refused", Retry=RETRY)),
    "a task is answered by its token": machine(Work=task("answers_its_token", token=True)),
    "a task fails by its token": machine(Work=task("fails_its_token", token=True, Catch=CATCH)),
    "nobody answers in time": machine(Work=task("echo", token=True, TimeoutSeconds=1, Catch=CATCH)),
    "a wait": machine(Rest={"Type": "Wait", "SecondsPath": "$.seconds", "Next": "Done"}),
    "a result in the middle": machine(
        Set={"Type": "Pass", "Result": {"a": 1}, "ResultPath": "$.made.here", "Next": "Work"}, Work=task("echo")
    ),
    "parameters of a pass": machine(
        Set={"Type": "Pass", "Parameters": {"name.$": "$$.Execution.Name", "yes.$": "$.yes"}, "Next": "Done"}
    ),
    "a choice by a boolean": choice(YES),
    "a choice by text": choice({"Variable": "$.colour", "StringEquals": "red"}),
    "a choice by what is there": choice({"Variable": "$.nowhere", "IsPresent": False}),
    "both": choice({"And": [YES, NO]}),
    "either": choice({"Or": [NO, YES]}),
    "not": choice({"Not": NO}),
    "a path to nowhere": machine(Rest={"Type": "Wait", "SecondsPath": "$.nowhere", "Next": "Done"}),
}
INPUT = {"yes": True, "no": False, "colour": "red", "seconds": 1}


@dataclass(frozen=True)
class Seen:
    """What can be compared."""

    status: str
    error: str | None
    states: tuple[str, ...]
    output: Any


def interpreted(definition: Mapping[str, Any]) -> tuple[Seen, Execution]:
    timeline = Timeline(VirtualClock())
    handlers = Handlers(lambda token, output, failure=None: answer(token, output, failure))

    def call(function: str, event: Any) -> Any:
        try:
            return handlers(function, event)
        except (Throttled, Refusal) as error:
            raise TaskFailed(type(error).__name__, str(error)) from error

    step_functions = VirtualStepFunctions(
        {MACHINE: StateMachine(definition)}, timeline, call, stopped=lambda _execution: None, seed=0
    )

    def answer(token: str, output: Any, failure: tuple[str, str] | None) -> None:
        if failure is None:
            step_functions.answer("SendTaskSuccess", {"taskToken": token, "output": json.dumps(output)})
        else:
            error, cause = failure
            step_functions.answer("SendTaskFailure", {"taskToken": token, "error": error, "cause": cause})

    execution = step_functions.start(MACHINE, "run", INPUT)
    timeline.run_until(lambda: execution.ended, within=100)
    timeline.close()
    return Seen(execution.status, execution.error, tuple(execution.states), execution.output), execution


@pytest.fixture(scope="module")
def by_moto() -> dict[str, Seen]:
    """All definitions at once: the engine waits in real time."""
    runs: dict[str, Handlers] = {}

    def invoke(_self: object, function: str, _qualifier: str, body: Any, _headers: Any, answered: Any) -> bytes:
        event = json.loads(body)
        try:
            return json.dumps(runs[event["given"]["run"]](function.rpartition(":")[2], event)).encode()
        except (Throttled, Refusal) as error:
            answered["x-amz-function-error"] = "Unhandled"
            return json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)}).encode()

    patched = pytest.MonkeyPatch()
    patched.setattr(LambdaSimpleBackend, "invoke", invoke)
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}, "lambda": {"use_docker": False}}):
        client = aws_client("stepfunctions", region=REGION)

        def answer(token: str, output: Any, failure: tuple[str, str] | None = None) -> None:
            if failure is None:
                client.send_task_success(taskToken=token, output=json.dumps(output))
            else:
                client.send_task_failure(taskToken=token, error=failure[0], cause=failure[1])

        trust = json.dumps({"Version": "2012-10-17", "Statement": []})
        role = aws_client("iam", region=REGION).create_role(RoleName="function", AssumeRolePolicyDocument=trust)
        functions = [name for name in vars(Handlers) if not name.startswith("_")]
        for name in functions:
            aws_client("lambda", region=REGION).create_function(
                FunctionName=name,
                Runtime="python3.13",
                Role=role["Role"]["Arn"],
                Handler="module.handler",
                Code={"ZipFile": b"not used: the handler runs in this process"},
            )
        started = {}
        for number, (name, definition) in enumerate(DEFINITIONS.items()):
            runs[name] = Handlers(answer)
            made = client.create_state_machine(
                name=f"machine-{number}", definition=json.dumps(definition), roleArn=role["Role"]["Arn"]
            )
            started[name] = client.start_execution(
                stateMachineArn=made["stateMachineArn"], name="run", input=json.dumps({**INPUT, "run": name})
            )["executionArn"]
        seen = {name: _finished(client, arn) for name, arn in started.items()}
    patched.undo()
    return seen


def _finished(client: Any, arn: str) -> Seen:
    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = client.describe_execution(executionArn=arn)
        return found if found["status"] != "RUNNING" else None

    described = until(ended, arn, every=0.05)
    pages = client.get_paginator("get_execution_history").paginate(executionArn=arn)
    entered = [event.get("stateEnteredEventDetails", {}).get("name") for page in pages for event in page["events"]]
    output = json.loads(described["output"]) if "output" in described else None
    return Seen(described["status"], described.get("error"), tuple(name for name in entered if name), output)


def without_run(value: Any) -> Any:
    """Moto's executions are distinguished by a member of their input; causes are worded by each engine."""
    if not isinstance(value, dict):
        return value
    return {name: without_run(part) for name, part in value.items() if name not in {"run", "Cause", "token"}}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_both_engines_see_the_same(name: str, by_moto: Mapping[str, Seen]) -> None:
    seen, _ = interpreted(DEFINITIONS[name])
    moto = by_moto[name]
    assert (seen.status, seen.error, seen.states) == (moto.status, moto.error, moto.states)
    assert without_run(seen.output) == without_run(moto.output)


def test_retries_count_as_transitions_and_take_virtual_time() -> None:
    _, execution = interpreted(DEFINITIONS["a task that is throttled is tried again"])
    assert (execution.transitions, execution.seconds) == (4, 2.0)


def test_a_choice_without_a_match_or_a_default_fails_by_its_own_name() -> None:
    # As the specification has it; moto's engine calls it States.Runtime.
    seen, _ = interpreted(machine(Ask={"Type": "Choice", "Choices": [{**NO, "Next": "Done"}]}))
    assert (seen.status, seen.error) == ("FAILED", "States.NoChoiceMatched")


@pytest.mark.parametrize(
    "definition",
    [
        machine(Work={"Type": "Map", "Next": "Done"}),
        machine(Work=task("echo", HeartbeatSeconds=3)),
        machine(Work={**task("echo"), "Resource": "arn:aws:states:::sqs:sendMessage"}),
        machine(Work=task("echo", ResultSelector={"all.$": "States.Format('{}', $.Payload)"})),
        machine(Work=task("echo", ResultPath="$.results[0]")),
        choice({"Variable": "$.seconds", "NumericEquals": 1}),
        {**machine(Rest={"Type": "Wait", "Seconds": 1, "Next": "Done"}), "QueryLanguage": "JSONata"},
    ],
)
def test_what_is_not_known_is_refused_before_anything_runs(definition: dict[str, Any]) -> None:
    with pytest.raises(NotInterpretedError):
        StateMachine(definition)


def test_a_machine_ends_at_its_timeout_also_while_it_waits() -> None:
    for waiting in ({"Type": "Wait", "Seconds": 600, "Next": "Done"}, task("echo", token=True, TimeoutSeconds=600)):
        seen, execution = interpreted({**machine(Work=waiting), "TimeoutSeconds": 60})
        assert (seen.status, execution.seconds) == ("TIMED_OUT", 60)


def test_a_token_is_answered_once() -> None:
    answers: list[str] = []

    def answers_twice(function: str, event: Any) -> Any:
        token = {"taskToken": event["token"], "output": "{}"}
        step_functions.answer("SendTaskSuccess", token)
        with pytest.raises(Refused, match="TaskTimedOut"):
            step_functions.answer("SendTaskSuccess", token)
        answers.append(event["token"])

    timeline = Timeline(VirtualClock())
    definition = StateMachine(machine(Work=task("any", token=True)))
    step_functions = VirtualStepFunctions(
        {MACHINE: definition}, timeline, answers_twice, stopped=lambda _execution: None, seed=0
    )
    execution = step_functions.start(MACHINE, "run", INPUT)
    timeline.run_until(lambda: execution.ended, within=100)
    timeline.close()
    assert (execution.status, len(answers)) == ("SUCCEEDED", 1)


@pytest.mark.parametrize(
    "fault",
    [
        None,
        {"operation": "CreateKnowledgeBase", "effect": "error", "code": "AccessDeniedException", "message": "no"},
        {
            "operation": "CreateKnowledgeBase",
            "effect": "error",
            "code": "ThrottlingException",
            "message": "",
            "count": 4,
        },
        {"effect": "job_fails", "failureReasons": ["The role cannot read."]},
    ],
    ids=["nothing", "the knowledge base is refused", "a call is throttled", "the first ingestion fails"],
)
def test_both_engines_provision_alike_when_this_fails(
    fault: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with virtual_fleet(parameters=RARE_TICKS) as virtual:
        if fault:
            virtual.emulator.faults.add(fault)
        ours = virtual.provision("acme")
    with deployed_fleet(monkeypatch) as real:
        if fault:
            real.emulator.faults.add(fault)
        arn = real.start({"tenant_id": "acme"})
        described = real.finish(arn)
        states = real.states(arn)
    # How often each looks at the knowledge base depends on its speed: states in the order of their first entry.
    waiting = "Wait For Knowledge Base"
    assert [state for state in dict.fromkeys(ours.states) if state != waiting] == [
        state for state in dict.fromkeys(states) if state != waiting
    ]
    assert (ours.status, ours.error) == (described["status"], described.get("error"))
