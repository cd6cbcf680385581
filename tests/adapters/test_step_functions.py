"""Executions and waiting tasks, on moto's Step Functions engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.stub import Stubber
from moto import mock_aws

from kbfleet.adapters.step_functions import StepFunctionsExecutions, StepFunctionsTaskCallbacks
from kbfleet.domain.errors import ResourceConflict, ResourceMissing
from kbfleet.ports import Execution, Executions, TaskCallbacks
from tests.support.aws import client as aws_client
from tests.support.clock import START
from tests.support.fakes import FailedTask, InMemoryExecutions, RecordingTaskCallbacks, SucceededTask
from tests.support.samples import ACCOUNT, REGION
from tests.support.waiting import until

REQUEST = {"tenant_id": "acme", "name": "アクメ"}


def _definition(queue_url: str) -> dict[str, Any]:
    return {
        "StartAt": "Wait For Word",
        "States": {
            "Wait For Word": {
                "Type": "Task",
                "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
                "Parameters": {"QueueUrl": queue_url, "MessageBody.$": "$$.Task.Token"},
                "TimeoutSeconds": 60,
                "Next": "Done",
            },
            "Done": {"Type": "Succeed"},
        },
    }


class StepFunctions:
    """A state machine whose one task waits for word, on a queue where tests find its token."""

    def __init__(self) -> None:
        self.client: Any = aws_client("stepfunctions")
        self._sqs: Any = aws_client("sqs")
        self.queue_url = self._sqs.create_queue(QueueName="words")["QueueUrl"]
        made = self.client.create_state_machine(
            name="kbfleet-provision-tenant",
            definition=json.dumps(_definition(self.queue_url)),
            roleArn=f"arn:aws:iam::{ACCOUNT}:role/machine",
        )
        self.arn: str = made["stateMachineArn"]

    @property
    def executions(self) -> Executions:
        return StepFunctionsExecutions(self.client, state_machine_arn=self.arn)

    def token(self) -> str:
        received: list[dict[str, Any]] = until(
            lambda: self._sqs.receive_message(QueueUrl=self.queue_url).get("Messages", []), "no message came"
        )
        return str(received[0]["Body"])

    def ended(self, name: str) -> Execution:
        def described() -> Execution | None:
            execution = self.executions.describe(name)
            return execution if execution.status != "RUNNING" else None

        ended: Execution = until(described, "it has not ended", every=0.02)
        return ended


@pytest.fixture
def step_functions(monkeypatch: pytest.MonkeyPatch) -> Iterator[StepFunctions]:
    for name, value in {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        yield StepFunctions()


class ExecutionsSuite:
    @pytest.fixture
    def executions(self) -> Executions:
        raise NotImplementedError

    def test_a_started_execution_runs_and_can_be_looked_at(self, executions: Executions) -> None:
        started = executions.start("acme-1", REQUEST)
        assert (started.name, started.status) == ("acme-1", "RUNNING")
        described = executions.describe("acme-1")
        assert (described.name, described.arn, described.status) == ("acme-1", started.arn, "RUNNING")

    def test_the_same_start_again_is_the_same_execution(self, executions: Executions) -> None:
        assert executions.start("acme-1", REQUEST).arn == executions.start("acme-1", REQUEST).arn

    def test_the_same_name_with_another_request_is_a_conflict(self, executions: Executions) -> None:
        executions.start("acme-1", REQUEST)
        with pytest.raises(ResourceConflict):
            executions.start("acme-1", {"tenant_id": "sakura"})

    def test_an_unknown_execution_is_missing(self, executions: Executions) -> None:
        with pytest.raises(ResourceMissing):
            executions.describe("acme-2")


class TestInMemoryExecutions(ExecutionsSuite):
    @pytest.fixture
    def executions(self) -> Executions:
        return InMemoryExecutions()


class TestStepFunctionsExecutions(ExecutionsSuite):
    @pytest.fixture
    def executions(self, aws: None) -> Executions:
        # Without moto's engine: what is started stays RUNNING, and no thread outlives the test.
        made = aws_client("stepfunctions").create_state_machine(
            name="kbfleet-provision-tenant",
            definition=json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}),
            roleArn=f"arn:aws:iam::{ACCOUNT}:role/machine",
        )
        return StepFunctionsExecutions(aws_client("stepfunctions"), state_machine_arn=made["stateMachineArn"])

    def test_the_step_is_the_state_that_was_entered_last_even_if_much_has_happened_since(self, aws: None) -> None:
        # moto gives a history in the order of time whatever it is asked for, so AWS's own answers stand here.
        client = aws_client("stepfunctions")
        machine = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:machine"
        arn = f"arn:aws:states:{REGION}:{ACCOUNT}:execution:machine:acme-1"
        asked = {"executionArn": arn, "reverseOrder": True, "includeExecutionData": False}
        with Stubber(client) as stubber:
            described = {"executionArn": arn, "stateMachineArn": machine, "status": "RUNNING", "startDate": START}
            stubber.add_response("describe_execution", described)
            stubber.add_response(
                "get_execution_history", {"events": [_event(9, "TaskScheduled")], "nextToken": "more"}, asked
            )
            stubber.add_response(
                "get_execution_history",
                {"events": [_event(8, "TaskStateEntered", "Ensure Bucket"), _event(2, "TaskStateEntered", "Reserve")]},
                {**asked, "nextToken": "more"},
            )
            executions = StepFunctionsExecutions(client, state_machine_arn=machine)
            assert executions.describe("acme-1").step == "Ensure Bucket"


def _event(number: int, kind: str, state: str | None = None) -> dict[str, Any]:
    event: dict[str, Any] = {"id": number, "type": kind, "timestamp": START}
    return {**event, "stateEnteredEventDetails": {"name": state}} if state else event


class TestTaskCallbacks:
    def test_a_waiting_task_goes_on_when_it_gets_a_success(self, step_functions: StepFunctions) -> None:
        step_functions.executions.start("acme-1", REQUEST)
        StepFunctionsTaskCallbacks(step_functions.client).succeed(step_functions.token(), {"outcome": "SUCCEEDED"})
        assert step_functions.ended("acme-1").status == "SUCCEEDED"

    def test_a_waiting_task_fails_by_the_name_that_it_is_given(self, step_functions: StepFunctions) -> None:
        step_functions.executions.start("acme-1", REQUEST)
        callbacks = StepFunctionsTaskCallbacks(step_functions.client)
        callbacks.fail(step_functions.token(), "IngestionFailed", "文書を読めません。")
        ended = step_functions.ended("acme-1")
        assert (ended.status, ended.error) == ("FAILED", "IngestionFailed")

    def test_the_cause_is_sent_too(self, aws: None) -> None:
        # moto drops the cause.
        client = aws_client("stepfunctions")
        sent = {"taskToken": "t", "error": "IngestionFailed", "cause": "文書を読めません。"}
        with Stubber(client) as stubber:
            stubber.add_response("send_task_failure", {}, sent)
            StepFunctionsTaskCallbacks(client).fail("t", sent["error"], sent["cause"])
            stubber.assert_no_pending_responses()

    @pytest.mark.parametrize("code", ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"])
    def test_a_task_that_no_longer_waits_is_not_an_error(self, aws: None, code: str) -> None:
        client = aws_client("stepfunctions")
        callbacks = StepFunctionsTaskCallbacks(client)
        with Stubber(client) as stubber:
            stubber.add_client_error("send_task_success", code, http_status_code=400)
            stubber.add_client_error("send_task_failure", code, http_status_code=400)
            callbacks.succeed("t", {})
            callbacks.fail("t", "IngestionFailed", "x")
            stubber.assert_no_pending_responses()

    def test_in_memory_a_task_takes_its_first_answer(self) -> None:
        callbacks = RecordingTaskCallbacks()
        port: TaskCallbacks = callbacks
        port.succeed("one", {"outcome": "SUCCEEDED"})
        port.fail("one", "IngestionFailed", "too late")
        port.fail("two", "IngestionFailed", "x")
        assert callbacks.answers == [
            SucceededTask("one", {"outcome": "SUCCEEDED"}),
            FailedTask("two", "IngestionFailed", "x"),
        ]
