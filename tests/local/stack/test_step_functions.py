"""Executions behave as the Amazon States Language and the Step Functions API say."""

import json
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::000000000000:role/any"
LAMBDA = "arn:aws:states:::lambda:invoke"


def one_task(function: str, **fields: Any) -> dict[str, Any]:
    task = {"Type": "Task", "Resource": LAMBDA, "Parameters": {"FunctionName": function, "Payload.$": "$"}, "End": True}
    return {"StartAt": "Task", "States": {"Task": task | fields}}


def token_task(function: str, **fields: Any) -> dict[str, Any]:
    parameters = {"FunctionName": function, "Payload": {"token.$": "$$.Task.Token"}}
    return one_task(function, Resource=f"{LAMBDA}.waitForTaskToken", Parameters=parameters, **fields)


def make_machine(aws: Any, definition: dict[str, Any]) -> str:
    machine = aws.client("stepfunctions").create_state_machine(
        name=f"machine-{uuid4().hex[:8]}", definition=json.dumps(definition), roleArn=ROLE
    )
    return str(machine["stateMachineArn"])


def begin(aws: Any, machine: str, given: object = None, **options: str) -> str:
    started = aws.client("stepfunctions").start_execution(
        stateMachineArn=machine, input=json.dumps(given or {}), **options
    )
    return str(started["executionArn"])


def end_of(aws: Any, execution: str) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        described: dict[str, Any] = aws.client("stepfunctions").describe_execution(executionArn=execution)
        return None if described["status"] == "RUNNING" else described

    result: dict[str, Any] = aws.eventually(ended)
    return result


def history(aws: Any, execution: str) -> list[str]:
    pages = aws.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=execution)
    return [event["type"] for page in pages for event in page["events"]]


@pytest.fixture
def token_keeper(aws: Any) -> tuple[str, str]:
    """A function that puts its task token into a queue, and the queue."""
    queue = aws.make_queue()
    code = (
        "import boto3, os\ndef handler(event, context):\n"
        "  boto3.client('sqs').send_message(QueueUrl=os.environ['QUEUE'], MessageBody=event['token'])"
    )
    return aws.make_function(code, Environment={"Variables": {"QUEUE": queue}}), queue


FAILS_ONCE = """
class NotReadyYet(Exception): ...
tries = 0
def handler(event, context):
    global tries
    tries += 1
    if tries == 1: raise NotReadyYet
    return tries
"""


def test_a_retry_matches_the_name_of_a_functions_error(aws: Any) -> None:
    retry = [{"ErrorEquals": ["NotReadyYet"], "IntervalSeconds": 1, "MaxAttempts": 2}]
    machine = make_machine(aws, one_task(aws.make_function(FAILS_ONCE), Retry=retry))
    ended = end_of(aws, begin(aws, machine))
    assert ended["status"] == "SUCCEEDED"
    assert json.loads(ended["output"])["Payload"] == 2


def test_an_error_of_another_name_is_not_retried(stack: Any) -> None:
    retry = [{"ErrorEquals": ["Throttled"], "IntervalSeconds": 1, "MaxAttempts": 2}]
    machine = make_machine(stack, one_task(stack.make_function(FAILS_ONCE), Retry=retry))
    ended = end_of(stack, begin(stack, machine))
    assert (ended["status"], ended["error"]) == ("FAILED", "NotReadyYet")


def test_a_function_that_raises_fails_the_task_that_waits_for_a_token(aws: Any) -> None:
    machine = make_machine(aws, token_task(aws.make_function("def handler(e, c): raise ValueError"), TimeoutSeconds=60))
    ended = end_of(aws, begin(aws, machine))
    assert (ended["status"], ended["error"]) == ("FAILED", "ValueError")


@pytest.mark.parametrize("aws", ["corrected"], indirect=True)
def test_a_token_ends_its_task_with_success_or_failure(aws: Any, token_keeper: Any) -> None:
    function, queue = token_keeper
    machine = make_machine(aws, token_task(function, TimeoutSeconds=20))
    states = aws.client("stepfunctions")

    execution = begin(aws, machine)
    [token] = aws.receive(queue)
    states.send_task_heartbeat(taskToken=token)
    states.send_task_success(taskToken=token, output='{"job": "done"}')
    assert json.loads(end_of(aws, execution)["output"]) == {"job": "done"}

    execution = begin(aws, machine)
    [token] = aws.receive(queue)
    states.send_task_failure(taskToken=token, error="IngestionFailed", cause="no documents")
    ended = end_of(aws, execution)
    assert (ended["status"], ended["error"], ended["cause"]) == ("FAILED", "IngestionFailed", "no documents")


def test_a_token_cannot_be_used_twice(aws: Any, token_keeper: Any) -> None:
    function, queue = token_keeper
    execution = begin(aws, make_machine(aws, token_task(function, TimeoutSeconds=20)))
    [token] = aws.receive(queue)
    aws.client("stepfunctions").send_task_success(taskToken=token, output="{}")
    end_of(aws, execution)
    with pytest.raises(ClientError) as refused:
        aws.client("stepfunctions").send_task_success(taskToken=token, output="{}")
    assert refused.value.response["Error"]["Code"] == "TaskTimedOut"


def test_a_token_that_never_was_is_invalid(aws: Any) -> None:
    with pytest.raises(ClientError) as refused:
        aws.client("stepfunctions").send_task_success(taskToken="no-such-token", output="{}")
    assert refused.value.response["Error"]["Code"] == "InvalidToken"


def test_a_task_without_an_answer_times_out(stack: Any) -> None:
    machine = make_machine(stack, token_task(stack.make_function("def handler(e, c): ..."), TimeoutSeconds=1))
    ended = end_of(stack, begin(stack, machine))
    assert (ended["status"], ended["error"]) == ("FAILED", "States.Timeout")


def test_a_task_without_a_heartbeat_times_out(aws: Any) -> None:
    definition = token_task(aws.make_function("def handler(e, c): ..."), HeartbeatSeconds=1, TimeoutSeconds=60)
    ended = end_of(aws, begin(aws, make_machine(aws, definition)))
    assert ended["status"] == "FAILED"


def test_a_machine_has_a_timeout_of_its_own(aws: Any) -> None:
    wait = {"StartAt": "Wait", "TimeoutSeconds": 1, "States": {"Wait": {"Type": "Wait", "Seconds": 4, "End": True}}}
    assert end_of(aws, begin(aws, make_machine(aws, wait)))["status"] == "TIMED_OUT"


def test_starting_the_same_execution_again_gives_the_running_one(aws: Any) -> None:
    machine = make_machine(aws, {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 3, "End": True}}})
    execution = begin(aws, machine, {"tenant": "acme"}, name="provision-acme")
    assert begin(aws, machine, {"tenant": "acme"}, name="provision-acme") == execution


def test_another_input_or_an_ended_execution_takes_the_name(stack: Any) -> None:
    machine = make_machine(stack, {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 1, "End": True}}})
    execution = begin(stack, machine, {"tenant": "acme"}, name="provision-acme")
    for tenant in ("globex", "acme"):
        with pytest.raises(ClientError) as refused:
            begin(stack, machine, {"tenant": tenant}, name="provision-acme")
        assert refused.value.response["Error"]["Code"] == "ExecutionAlreadyExists"
        end_of(stack, execution)


@pytest.mark.parametrize(
    "definition",
    [
        "not JSON",
        '{"StartAt": "A"}',
        '{"StartAt": "A", "States": {"A": {"Type": "Tusk", "End": true}}}',
        '{"StartAt": "A", "States": {"A": {"Type": "Task", "End": true}}}',
    ],
)
def test_an_invalid_definition_is_refused(aws: Any, definition: str) -> None:
    with pytest.raises(ClientError) as refused:
        aws.client("stepfunctions").create_state_machine(name="invalid", definition=definition, roleArn=ROLE)
    assert refused.value.response["Error"]["Code"] == "InvalidDefinition"


def test_an_invalid_definition_in_a_template_fails_the_stack(stack: Any) -> None:
    properties = {"RoleArn": ROLE, "DefinitionString": '{"StartAt": "A", "States": {"A": {"Type": "Tusk"}}}'}
    with pytest.raises(AssertionError, match="Invalid State Machine Definition"):
        stack.deploy({"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}})


def test_jsonpath_filters_select(aws: Any) -> None:
    select = {"Type": "Pass", "Parameters": {"hit.$": "$.list[?(@.key==2)]"}, "End": True}
    execution = begin(
        aws, make_machine(aws, {"StartAt": "S", "States": {"S": select}}), {"list": [{"key": 1}, {"key": 2}]}
    )
    assert json.loads(end_of(aws, execution)["output"]) == {"hit": [{"key": 2}]}


def test_the_history_can_be_read_while_an_execution_runs(aws: Any) -> None:
    machine = make_machine(aws, token_task(aws.make_function("def handler(e, c): ..."), TimeoutSeconds=20))
    execution = begin(aws, machine)
    assert aws.eventually(lambda: "TaskSubmitted" in history(aws, execution))
    aws.client("stepfunctions").stop_execution(executionArn=execution, error="Stopped", cause="by hand")
    ended = end_of(aws, execution)
    assert (ended["status"], ended["error"]) == ("ABORTED", "Stopped")


def test_the_history_says_what_happened(stack: Any) -> None:
    execution = begin(stack, make_machine(stack, one_task(stack.make_function("def handler(e, c): return 1"))))
    end_of(stack, execution)
    assert history(stack, execution) == [
        *("ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSucceeded"),
        *("TaskStateExited", "ExecutionSucceeded"),
    ]


def test_status_changes_are_events_on_the_default_bus(stack: Any) -> None:
    queue = stack.make_queue()
    machine = make_machine(stack, {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "E", "Cause": "c"}}})
    pattern = {"source": ["aws.states"], "detail": {"stateMachineArn": [machine]}}
    stack.client("events").put_rule(Name=machine.split(":")[-1], EventPattern=json.dumps(pattern))
    stack.client("events").put_targets(
        Rule=machine.split(":")[-1], Targets=[{"Id": "queue", "Arn": stack.queue_arn(queue)}]
    )
    begin(stack, machine)
    details = [json.loads(body)["detail"] for body in stack.receive(queue, count=2)]
    assert sorted(detail["status"] for detail in details) == ["FAILED", "RUNNING"]
    assert {detail.get("error") for detail in details} == {None, "E"}


class TestAStateMachineThatGoesWithItsStack:
    @staticmethod
    def deployed(aws: Any, definition: dict[str, Any]) -> tuple[str, str]:
        """Its stack, and its ARN."""
        properties = {"DefinitionString": json.dumps(definition), "RoleArn": ROLE}
        made = aws.deploy(
            {"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}},
            {"Machine": {"Ref": "Machine"}},
        )
        return made.name, made.outputs["Machine"]

    @staticmethod
    def status(aws: Any, stack_id: str) -> str:
        return str(aws.client("cloudformation").describe_stacks(StackName=stack_id)["Stacks"][0]["StackStatus"])

    def test_it_ends_executions_where_they_enter_their_next_state(self, aws: Any) -> None:
        states = {
            "First": {"Type": "Wait", "Seconds": 2, "Next": "Second"},
            "Second": {"Type": "Wait", "Seconds": 3600, "End": True},
        }
        stack, machine = self.deployed(aws, {"StartAt": "First", "States": states})
        cloudformation = aws.client("cloudformation")
        identifier = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackId"]
        execution = begin(aws, machine)
        cloudformation.delete_stack(StackName=stack)

        def refused() -> bool:
            try:
                begin(aws, machine)
            except ClientError as error:
                return error.response["Error"]["Code"] == "StateMachineDeleting"
            return False

        aws.eventually(refused)
        assert self.status(aws, identifier) == "DELETE_IN_PROGRESS"
        described = aws.client("stepfunctions").describe_execution(executionArn=execution)
        assert described["status"] == "RUNNING"
        aws.eventually(lambda: self.status(aws, identifier) == "DELETE_COMPLETE")
