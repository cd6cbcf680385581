"""Amazon States Language in virtual time: the part of it that this project's definitions use.

Why our own: no library runs a definition on a clock that the caller moves, and what is proved here (every crash point,
storms, weeks of waiting) would take hours in real time. It knows little on purpose, refuses a definition with anything
that it does not know, and is compared with moto's engine by `tests/proofs/test_state_machine.py`: same definition, same
handlers, same states.

Source of the rules: the Amazon States Language specification, and AWS documentation, "Handling errors in Step Functions
workflows". Query language: JSONPath.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

Json = Any

_FIELDS: Mapping[str, frozenset[str]] = {
    "Task": frozenset(
        {"Resource", "TimeoutSeconds", "Parameters", "ResultSelector", "ResultPath", "Retry", "Catch", "Next", "End"}
    ),
    "Pass": frozenset({"Parameters", "Result", "ResultPath", "Next", "End"}),
    "Choice": frozenset({"Choices", "Default"}),
    "Wait": frozenset({"Seconds", "SecondsPath", "Timestamp", "TimestampPath", "Next", "End"}),
    "Succeed": frozenset(),
    "Fail": frozenset({"Error", "Cause"}),
}
_MACHINE_FIELDS = frozenset({"Comment", "StartAt", "States", "TimeoutSeconds", "QueryLanguage", "Version"})
_RETRIER_FIELDS = frozenset(
    {"ErrorEquals", "IntervalSeconds", "BackoffRate", "MaxAttempts", "MaxDelaySeconds", "JitterStrategy", "Comment"}
)
_CATCHER_FIELDS = frozenset({"ErrorEquals", "ResultPath", "Next", "Comment"})
_INVOKE = "arn:aws:states:::lambda:invoke"
_INVOKE_WITH_TOKEN = f"{_INVOKE}.waitForTaskToken"
_UNCATCHABLE = frozenset({"States.DataLimitExceeded", "States.Runtime"})


class NotInterpretedError(NotImplementedError):
    """The definition uses something that this interpreter does not know."""


class TaskFailed(Exception):
    """A task's failure, as Step Functions names it."""

    def __init__(self, error: str, cause: str = "") -> None:
        super().__init__(error, cause)
        self.error = error
        self.cause = cause


class ExecutionTimedOut(BaseException):
    """The machine's TimeoutSeconds are over: no state can catch that."""


class Surroundings(Protocol):
    """What an execution lives in."""

    def now(self) -> float:
        """Seconds since 1970."""
        ...

    def sleep(self, seconds: float) -> None: ...

    def jitter(self) -> float:
        """At random, from 0 to 1."""
        ...

    def invoke(self, execution: Execution, function_arn: str, payload: Json) -> Json:
        """Gives what the function returned. Raises: TaskFailed under the name of what it raised."""
        ...

    def new_task_token(self, execution: Execution) -> str: ...

    def task_answer(self, token: str, until: float) -> Json:
        """Waits for SendTaskSuccess. Raises: TaskFailed by SendTaskFailure, or States.Timeout."""
        ...


@dataclass
class Execution:
    """One run of a state machine. Times are seconds since 1970; `retries` counts attempts after the first."""

    machine: str
    name: str
    arn: str
    input: Json
    started_at: float
    status: str = "RUNNING"
    states: list[str] = field(default_factory=list)
    retries: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    ended_at: float | None = None
    output: Json = None
    error: str | None = None
    cause: str | None = None

    @property
    def ended(self) -> bool:
        return self.status != "RUNNING"

    @property
    def transitions(self) -> int:
        """As Step Functions bills them: states entered, and each retry. Source: AWS Step Functions pricing."""
        return len(self.states) + self.retries

    @property
    def seconds(self) -> float:
        """How long it ran. Raises: ValueError while it does."""
        if self.ended_at is None:
            raise ValueError(f"{self.name} has not ended")
        return self.ended_at - self.started_at

    @property
    def events(self) -> int:
        """In its history, at most: it began and has ended, each state was entered and left, and each attempt of a task
        was scheduled, started, perhaps submitted, and has ended. Source: AWS documentation, HistoryEvent."""
        return 2 + 6 * len(self.states) + 4 * self.retries

    def end(self, status: str, now: float, *, output: Json = None, error: str | None = None, cause: str = "") -> None:
        self.status, self.ended_at, self.output, self.error = status, now, output, error
        self.cause = cause if error is not None else None


class StateMachine:
    """A definition that can be run.

    Raises:
        NotInterpretedError: it uses something unknown here; found before anything runs.
    """

    def __init__(self, definition: Mapping[str, Json]) -> None:
        _only(definition, _MACHINE_FIELDS, "the machine")
        if definition.get("QueryLanguage", "JSONPath") != "JSONPath":
            raise NotInterpretedError("only JSONPath is interpreted")
        self._start: str = definition["StartAt"]
        self._states: Mapping[str, Mapping[str, Json]] = definition["States"]
        self._timeout: float | None = definition.get("TimeoutSeconds")
        for name, state in self._states.items():
            _check_state(name, state)

    def run(self, execution: Execution, surroundings: Surroundings) -> None:
        """Runs to the end and writes it into `execution`: SUCCEEDED, FAILED or TIMED_OUT."""
        try:
            _Run(self._states, self._timeout, execution, surroundings).from_state(self._start)
        except ExecutionTimedOut:
            execution.end("TIMED_OUT", surroundings.now(), error="States.Timeout")
        except TaskFailed as failure:
            execution.end("FAILED", surroundings.now(), error=failure.error, cause=failure.cause)


class _Run:
    def __init__(
        self,
        states: Mapping[str, Mapping[str, Json]],
        timeout: float | None,
        execution: Execution,
        surroundings: Surroundings,
    ) -> None:
        self._states = states
        self._execution = execution
        self._surroundings = surroundings
        self._deadline = execution.started_at + timeout if timeout is not None else float("inf")
        self._kinds: Mapping[str, Callable[[Mapping[str, Json], Json], tuple[str | None, Json]]] = {
            "Task": self._task,
            "Pass": self._pass,
            "Choice": self._choice,
            "Wait": self._wait,
            "Succeed": lambda _state, data: (None, data),
            "Fail": self._fail,
        }

    def from_state(self, name: str | None) -> None:
        data = copy.deepcopy(self._execution.input)
        while name is not None:
            self._execution.states.append(name)
            state = self._states[name]
            name, data = self._kinds[state["Type"]](state, data)
        self._execution.end("SUCCEEDED", self._surroundings.now(), output=data)

    # --- states ---

    def _task(self, state: Mapping[str, Json], data: Json) -> tuple[str | None, Json]:
        attempts = [0] * len(state.get("Retry", ()))
        while True:
            try:
                result = self._attempt(state, data)
                break
            except TaskFailed as failure:
                self._execution.failures.append((self._execution.states[-1], failure.error))
                delay = self._retry_delay(state, failure.error, attempts)
                if delay is not None:
                    self._sleep(delay)
                    self._execution.retries += 1
                    continue
                return self._caught(state, data, failure)
        if "ResultSelector" in state:
            result = self._filled(state["ResultSelector"], result)
        return state.get("Next"), _put(data, state.get("ResultPath", "$"), result)

    def _attempt(self, state: Mapping[str, Json], data: Json) -> Json:
        began = self._surroundings.now()
        waits = state["Resource"] == _INVOKE_WITH_TOKEN
        token = self._surroundings.new_task_token(self._execution) if waits else None
        parameters = self._filled(state["Parameters"], data, token)
        _only(parameters, frozenset({"FunctionName", "Payload"}), "the Parameters of a Lambda task")
        answer = self._surroundings.invoke(self._execution, parameters["FunctionName"], parameters["Payload"])
        limit = began + state["TimeoutSeconds"] if "TimeoutSeconds" in state else float("inf")
        if self._surroundings.now() > limit:
            # A function ends by its own timeout before: the definitions' contract test sees to it that they nest.
            raise NotInterpretedError(f"a function outlived the timeout of its state {self._execution.states[-1]}")
        if token is None:
            return {"ExecutedVersion": "$LATEST", "Payload": answer, "StatusCode": 200}
        if self._deadline < limit:
            try:
                return self._surroundings.task_answer(token, self._deadline)
            except TaskFailed as failure:
                if failure.error == "States.Timeout":
                    raise ExecutionTimedOut from failure
                raise
        return self._surroundings.task_answer(token, limit)

    def _retry_delay(self, state: Mapping[str, Json], error: str, attempts: list[int]) -> float | None:
        for index, retrier in enumerate(state.get("Retry", ())):
            if not _matches(retrier["ErrorEquals"], error):
                continue
            if attempts[index] >= retrier.get("MaxAttempts", 3):
                return None
            delay = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** attempts[index]
            attempts[index] += 1
            delay = min(delay, retrier.get("MaxDelaySeconds", delay))
            return float(delay * self._surroundings.jitter() if retrier.get("JitterStrategy") == "FULL" else delay)
        return None

    def _caught(self, state: Mapping[str, Json], data: Json, failure: TaskFailed) -> tuple[str, Json]:
        for catcher in state.get("Catch", ()):
            if _matches(catcher["ErrorEquals"], failure.error):
                reported = {"Error": failure.error, "Cause": failure.cause}
                return catcher["Next"], _put(data, catcher.get("ResultPath", "$"), reported)
        raise failure

    def _pass(self, state: Mapping[str, Json], data: Json) -> tuple[str | None, Json]:
        result = self._filled(state["Parameters"], data) if "Parameters" in state else data
        return state.get("Next"), _put(data, state.get("ResultPath", "$"), state.get("Result", result))

    def _choice(self, state: Mapping[str, Json], data: Json) -> tuple[str, Json]:
        for choice in state["Choices"]:
            if self._holds(choice, data):
                return choice["Next"], data
        if "Default" not in state:
            raise TaskFailed("States.NoChoiceMatched")
        return state["Default"], data

    def _holds(self, rule: Mapping[str, Json], data: Json) -> bool:
        if "And" in rule:
            return all(self._holds(part, data) for part in rule["And"])
        if "Or" in rule:
            return any(self._holds(part, data) for part in rule["Or"])
        if "Not" in rule:
            return not self._holds(rule["Not"], data)
        (operator,) = rule.keys() - {"Variable", "Next", "Comment"}
        wanted = rule[operator]
        try:
            value = self._at(rule["Variable"], data)
        except TaskFailed:
            if operator == "IsPresent":
                return not wanted
            raise
        match operator:
            case "IsPresent":
                return bool(wanted)
            case "IsNull":
                return bool((value is None) == wanted)
            case "BooleanEquals" | "StringEquals":
                return type(value) is type(wanted) and bool(value == wanted)
        raise NotInterpretedError(operator)

    def _wait(self, state: Mapping[str, Json], data: Json) -> tuple[str | None, Json]:
        seconds = state.get("Seconds")
        if "SecondsPath" in state:
            seconds = self._at(state["SecondsPath"], data)
        if seconds is None:
            moment = state["Timestamp"] if "Timestamp" in state else self._at(state["TimestampPath"], data)
            # Step Functions takes the RFC 3339 form with a capital T and a time zone.
            seconds = datetime.fromisoformat(moment).timestamp() - self._surroundings.now()
        self._sleep(max(0.0, seconds))
        return state.get("Next"), data

    def _fail(self, state: Mapping[str, Json], data: Json) -> tuple[str | None, Json]:
        raise TaskFailed(state.get("Error", ""), state.get("Cause", ""))

    def _sleep(self, seconds: float) -> None:
        left = self._deadline - self._surroundings.now()
        self._surroundings.sleep(min(seconds, left))
        if seconds >= left:
            raise ExecutionTimedOut

    # --- data ---

    def _filled(self, template: Json, data: Json, token: str | None = None) -> Json:
        if isinstance(template, list):
            return [self._filled(part, data, token) for part in template]
        if not isinstance(template, dict):
            return template
        return {
            (name[:-2] if name.endswith(".$") else name): (
                self._at(value, data, token) if name.endswith(".$") else self._filled(value, data, token)
            )
            for name, value in template.items()
        }

    def _at(self, path: str, data: Json, token: str | None = None) -> Json:
        """The value at a reference path. Raises: TaskFailed States.Runtime when there is none."""
        if path.startswith("$$"):
            execution = self._execution
            data = {
                "Execution": {"Id": execution.arn, "Name": execution.name, "Input": execution.input},
                **({"Task": {"Token": token}} if token else {}),
            }
            path = path[1:]
        for name in _names(path):
            if not isinstance(data, dict) or name not in data:
                raise TaskFailed("States.Runtime", f"The path {path} could not be found in the input.")
            data = data[name]
        return copy.deepcopy(data)


def _names(path: str) -> list[str]:
    """The member names of a path like `$.a.b`. Raises: NotInterpretedError for any other kind of path."""
    root, *names = path.split(".")
    if root != "$" or not all(name.isidentifier() for name in names):
        raise NotInterpretedError(f"the path {path!r}")
    return names


def _put(data: Json, path: str | None, value: Json) -> Json:
    if path is None:
        return data
    names = _names(path)
    if not names:
        return value
    result = copy.deepcopy(data)
    holder = result
    for name in names[:-1]:
        holder = holder.setdefault(name, {})
    holder[names[-1]] = value
    return result


def _matches(wanted: list[str], error: str) -> bool:
    if error in wanted:
        return True
    if error in _UNCATCHABLE:
        return False
    return "States.ALL" in wanted or ("States.TaskFailed" in wanted and error != "States.Timeout")


def _only(given: Mapping[str, Json], known: frozenset[str], where: str) -> None:
    unknown = given.keys() - known
    if unknown:
        raise NotInterpretedError(f"{where}: {', '.join(sorted(unknown))}")


def _check_state(name: str, state: Mapping[str, Json]) -> None:
    kind = state["Type"]
    if kind not in _FIELDS:
        raise NotInterpretedError(f"state {name}: Type {kind}")
    _only(state, _FIELDS[kind] | {"Type", "Comment"}, f"state {name}")
    if kind == "Task" and state["Resource"] not in {_INVOKE, _INVOKE_WITH_TOKEN}:
        raise NotInterpretedError(f"state {name}: Resource {state['Resource']}")
    for retrier in state.get("Retry", ()):
        _only(retrier, _RETRIER_FIELDS, f"a retrier of state {name}")
    for catcher in state.get("Catch", ()):
        _only(catcher, _CATCHER_FIELDS, f"a catcher of state {name}")
    for rule in state.get("Choices", ()):
        _check_rule(name, rule)
    for path in (state.get("ResultPath"), state.get("SecondsPath"), state.get("TimestampPath")):
        if path is not None:
            _names(path)
    for member in ("Parameters", "ResultSelector"):
        _check_paths(json.loads(json.dumps(state.get(member, {}))))


def _check_rule(name: str, rule: Mapping[str, Json]) -> None:
    parts = [*rule.get("And", ()), *rule.get("Or", ()), *([rule["Not"]] if "Not" in rule else [])]
    for part in parts:
        _check_rule(name, part)
    operators = rule.keys() - {"Variable", "Next", "Comment", "And", "Or", "Not"}
    known = {"BooleanEquals", "StringEquals", "IsPresent", "IsNull"}
    if operators - known or len(operators) != (0 if parts else 1):
        raise NotInterpretedError(f"a choice of state {name}: {', '.join(sorted(operators))}")
    if "Variable" in rule:
        _names(rule["Variable"])


def _check_paths(template: Json) -> None:
    for name, value in template.items() if isinstance(template, dict) else ():
        if name.endswith(".$"):
            _names(value.removeprefix("$") if value.startswith("$$") else value)
        else:
            _check_paths(value)
