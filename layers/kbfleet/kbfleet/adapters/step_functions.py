"""Step Functions: starting and describing executions, and answering tasks that wait by token."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from kbfleet.adapters.aws_errors import translated
from kbfleet.domain.errors import ResourceMissing
from kbfleet.ports import Execution

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_stepfunctions.client import SFNClient


class StepFunctionsTaskCallbacks:
    """`kbfleet.ports.TaskCallbacks` on Step Functions.

    A token that is no longer known has nobody behind it: the execution timed out, was stopped, or its history has
    expired, and its own alarms have gone off. Raising would keep the tenant's ledger entry from ever being closed.
    """

    def __init__(self, client: SFNClient) -> None:
        self._client = client
        errors = client.exceptions
        self._gone = (errors.TaskTimedOut, errors.TaskDoesNotExist, errors.InvalidToken)

    def succeed(self, task_token: str, output: Mapping[str, object]) -> None:
        with translated("a waiting task"), suppress(*self._gone):
            self._client.send_task_success(taskToken=task_token, output=json.dumps(output))

    def fail(self, task_token: str, error: str, cause: str) -> None:
        with translated("a waiting task"), suppress(*self._gone):
            self._client.send_task_failure(taskToken=task_token, error=error, cause=cause)


class StepFunctionsExecutions:
    """`kbfleet.ports.Executions` of one state machine."""

    def __init__(self, client: SFNClient, *, state_machine_arn: str) -> None:
        self._client = client
        self._state_machine_arn = state_machine_arn

    def start(self, name: str, request: Mapping[str, object]) -> Execution:
        with translated(f"execution {name}"):
            answer = self._client.start_execution(
                stateMachineArn=self._state_machine_arn, name=name, input=json.dumps(request, ensure_ascii=False)
            )
        return Execution(name, answer["executionArn"], "RUNNING")

    def describe(self, name: str) -> Execution:
        arn = f"{self._state_machine_arn.replace(':stateMachine:', ':execution:')}:{name}"
        with translated(f"execution {name}"):
            answer = self._client.describe_execution(executionArn=arn)
            step = self._newest_step(arn)
        return Execution(name, arn, answer["status"], step, answer.get("error"), answer.get("cause"))

    def is_running(self, arn: str) -> bool:
        try:
            with translated(f"execution {arn}"):
                return self._client.describe_execution(executionArn=arn)["status"] == "RUNNING"
        except ResourceMissing:
            return False

    def _newest_step(self, arn: str) -> str | None:
        """The state that was entered last. The newest events come first, so the first page that has one is enough."""
        pages = self._client.get_paginator("get_execution_history").paginate(
            executionArn=arn, reverseOrder=True, includeExecutionData=False
        )
        entered = (event.get("stateEnteredEventDetails") for page in pages for event in page["events"])
        return next((details["name"] for details in entered if details), None)
