"""Step Functions in virtual time: executions, task tokens, and the API that the product calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from tests.support.aws_calls import Refused
from tests.support.state_machine import Execution, Json, StateMachine, TaskFailed
from tests.support.virtual_time import Signal, Strand, Timeline


class ExecutionStopped(BaseException):
    """Unwinds an execution that was aborted."""


class Functions(Protocol):
    def __call__(self, function: str, event: Json) -> Json:
        """Runs a Lambda function, named by its logical id. Raises: TaskFailed."""
        ...


@dataclass
class _Task:
    answered: Signal = field(default_factory=Signal)
    output: Json = None
    failure: TaskFailed | None = None
    closed: bool = False


class VirtualStepFunctions:
    """`tests.support.state_machine.Surroundings` of every execution.

    Args:
        machines: by ARN.
        stopped: is called about each execution that ends as TIMED_OUT or ABORTED.
        seed: for the jitter of retries.
    """

    def __init__(
        self,
        machines: Mapping[str, StateMachine],
        timeline: Timeline,
        functions: Functions,
        *,
        stopped: Callable[[Execution], None],
        seed: int,
    ) -> None:
        self.executions: dict[str, Execution] = {}
        self._machines = dict(machines)
        self._timeline = timeline
        self._functions = functions
        self._stopped = stopped
        self._random = Random(seed)  # noqa: S311 - repeatable on purpose
        self._strands: dict[str, Strand] = {}
        self._tasks: dict[str, _Task] = {}
        self._newest_token: dict[str, str] = {}

    def update(self, machine: str, definition: StateMachine) -> None:
        """UpdateStateMachine: executions that run go on by the definition that they began with."""
        self._machines[machine] = definition

    def start(self, machine: str, name: str, request: Json) -> Execution:
        """Starting one that runs once more, with the same input, gives that one (AWS documentation, StartExecution).

        Raises: Refused ExecutionAlreadyExists.
        """
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:{name}"
        known = self.executions.get(arn)
        if known is not None and not known.ended and known.input == request:
            return known
        if known is not None:
            raise Refused("ExecutionAlreadyExists", f"Execution Already Exists: '{arn}'")
        execution = Execution(machine, name, arn, request, self._timeline.now())
        self.executions[arn] = execution
        self._strands[arn] = self._timeline.spawn(arn, lambda: self._run(execution))
        return execution

    def _run(self, execution: Execution) -> None:
        try:
            self._machines[execution.machine].run(execution, self)
        except ExecutionStopped:
            return
        if execution.status == "TIMED_OUT":
            self._close_task(execution)
            self._stopped(execution)

    def stop(self, execution: Execution, *, announced: bool = True) -> None:
        """StopExecution. A function that runs is not stopped by that: what it returns is ignored.

        Args:
            announced: whether EventBridge delivers the event of it.
        """
        if execution.ended:
            return
        execution.end("ABORTED", self._timeline.now())
        self._close_task(execution)
        strand = self._strands[execution.arn]
        if strand.function is None and strand is not self._timeline.current:
            self._timeline.interrupt(strand, ExecutionStopped())
        if announced:
            self._stopped(execution)

    # --- Surroundings ---

    def now(self) -> float:
        return self._timeline.now()

    def sleep(self, seconds: float) -> None:
        self._timeline.sleep(seconds)

    def jitter(self) -> float:
        return self._random.random()

    def invoke(self, execution: Execution, function_arn: str, payload: Json) -> Json:
        # Between two states others may act, too.
        self._timeline.pass_baton()
        task = self._tasks.get(self._newest_token.get(execution.arn, ""))
        try:
            result = self._functions(function_arn.rpartition(":")[2], payload)
        except TaskFailed:
            if execution.ended:
                raise ExecutionStopped from None
            if task is None or task.closed:
                raise
            if task.answered.is_set:
                return None  # whoever answers the task first decides it
            task.closed = True
            raise
        if execution.ended:
            raise ExecutionStopped
        return result

    def new_task_token(self, execution: Execution) -> str:
        token = f"{execution.name}/{len(self._tasks)}"
        self._tasks[token] = _Task()
        self._newest_token[execution.arn] = token
        return token

    def task_answer(self, token: str, until: float) -> Json:
        task = self._tasks[token]
        answered = self._timeline.wait(task.answered, until)
        task.closed = True
        if not answered:
            raise TaskFailed("States.Timeout")
        if task.failure is not None:
            raise task.failure
        return task.output

    def _close_task(self, execution: Execution) -> None:
        token = self._newest_token.get(execution.arn)
        if token is not None:
            self._tasks[token].closed = True

    # --- API ---

    def answer(self, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """Step Functions, as far as the product uses it. Raises: Refused."""
        match operation:
            case "SendTaskSuccess":
                self._answer_task(parameters["taskToken"], json.loads(parameters["output"]), None)
                return {}
            case "SendTaskFailure":
                failure = TaskFailed(parameters.get("error", ""), parameters.get("cause", ""))
                self._answer_task(parameters["taskToken"], None, failure)
                return {}
            case "StartExecution":
                machine, name = parameters["stateMachineArn"], parameters["name"]
                started = self.start(machine, name, json.loads(parameters["input"]))
                return {"executionArn": started.arn, "startDate": started.started_at}
            case "StopExecution":
                self.stop(self._find(parameters["executionArn"]))
                return {"stopDate": self._timeline.now()}
            case "DescribeExecution":
                return self._described(self._find(parameters["executionArn"]))
            case "GetExecutionHistory":
                return {"events": self._events(self._find(parameters["executionArn"]), parameters)}
        raise NotImplementedError(f"states:{operation}")

    def _answer_task(self, token: str, output: Json, failure: TaskFailed | None) -> None:
        task = self._tasks.get(token)
        if task is None:
            raise Refused("InvalidToken", "Invalid token")
        if task.closed or task.answered.is_set:
            raise Refused("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
        task.output, task.failure = output, failure
        task.answered.set()

    def _find(self, arn: str) -> Execution:
        if arn not in self.executions:
            raise Refused("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")
        return self.executions[arn]

    def _described(self, execution: Execution) -> dict[str, Any]:
        described = {
            "executionArn": execution.arn,
            "stateMachineArn": execution.machine,
            "name": execution.name,
            "status": execution.status,
            "startDate": execution.started_at,
            "stopDate": execution.ended_at,
            "input": json.dumps(execution.input),
            "error": execution.error,
            "cause": execution.cause,
        }
        return {name: value for name, value in described.items() if value is not None}

    def _events(self, execution: Execution, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The states that were entered; the other kinds of event are left out."""
        events = [
            {
                "id": number,
                "timestamp": execution.started_at,
                "type": "TaskStateEntered",
                "stateEnteredEventDetails": {"name": name},
            }
            for number, name in enumerate(execution.states, start=1)
        ]
        return list(reversed(events)) if parameters.get("reverseOrder") else events
