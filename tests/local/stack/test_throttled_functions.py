"""A function without room is invoked later where nobody waits, and a REST API's caller is told of an error only."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from ministack.services import apigateway_v1, lambda_svc

from local.corrections import throttled_functions
from tests.local.stack.conftest import with_and_without_corrections

SPEED = 60.0
THROTTLED = {"throttle": True, "error": True, "body": {"Reason": "ConcurrentInvocationLimitExceeded"}, "log": ""}


class Elapsed:
    """A clock that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.waits: list[float] = []

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.waits.append(seconds)


class Function:
    """Throttled so many times, then invoked."""

    def __init__(self, throttled: int) -> None:
        config = {"FunctionName": "any", "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:any"}
        self.record = {"config": config}
        self.throttled = throttled
        self.invoked = False

    def execute(self, _record: Any, _event: Any) -> dict[str, Any]:
        self.throttled -= 1
        if self.throttled >= 0:
            return THROTTLED
        self.invoked = True
        return {"body": None, "log": ""}


@pytest.fixture(params=with_and_without_corrections)
def corrected(request: pytest.FixtureRequest) -> bool:
    """With the correction, which must show a behaviour, and without, which must fail to."""
    return bool(request.param == "corrected")


@pytest.fixture
def invoke_asynchronously(corrected: bool, monkeypatch: pytest.MonkeyPatch) -> Callable[[Function], Elapsed]:
    """Gives the time that MiniStack took until it let go of the event."""
    elapsed = Elapsed()

    def invoke(function: Function) -> Elapsed:
        monkeypatch.setattr(lambda_svc, "_LAMBDA_ASYNC_RETRY_BASE_SECONDS", 0)
        monkeypatch.setattr(lambda_svc, "_execute_function", function.execute)
        monkeypatch.setattr(lambda_svc, "invoke_async_with_retry", lambda_svc.invoke_async_with_retry)
        if corrected:
            throttled_functions._try_again(SPEED, elapsed.now, elapsed.sleep)
        before = set(threading.enumerate())
        lambda_svc.invoke_async_with_retry(function.record, {})
        for thread in set(threading.enumerate()) - before:
            thread.join(30)
            assert not thread.is_alive()
        return elapsed

    return invoke


def test_an_event_waits_until_there_is_room(invoke_asynchronously: Callable[[Function], Elapsed]) -> None:
    function = Function(throttled=60)
    waits = invoke_asynchronously(function).waits
    assert function.invoked
    # A second of AWS's at first, but no less than 50 ms here; five minutes at last.
    assert (waits[0], waits[-1]) == (0.05, 300 / SPEED)


def test_an_event_is_given_up_after_six_hours(invoke_asynchronously: Callable[[Function], Elapsed]) -> None:
    function = Function(throttled=1_000_000)
    elapsed = invoke_asynchronously(function)
    assert not function.invoked
    assert 6 * 3600 / SPEED <= elapsed.seconds < (6 * 3600 + 300) / SPEED


def test_the_caller_of_an_api_is_not_told_that_the_function_was_throttled(
    corrected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def throttled(*_: Any, **__: Any) -> tuple[dict[str, Any], None]:
        return THROTTLED, None

    monkeypatch.setattr(apigateway_v1, "_call_lambda_raw", throttled)
    monkeypatch.setattr(apigateway_v1, "_lambda_proxy_response", apigateway_v1._lambda_proxy_response)
    monkeypatch.setattr(apigateway_v1, "_invoke_lambda_proxy_v1", apigateway_v1._invoke_lambda_proxy_v1)
    if corrected:
        throttled_functions._hide_from_callers()
    request: tuple[Any, ...] = (
        {"uri": "any"},
        "api",
        "v1",
        {},
        {"id": "any", "path": "/ask"},
        "/ask",
        "POST",
        {},
        b"",
        {},
        {},
    )
    answer = asyncio.run(apigateway_v1._invoke_lambda_proxy_v1(*request))
    assert isinstance(answer, apigateway_v1._GatewayError)
    assert (answer.response_type, answer.message) == ("API_CONFIGURATION_ERROR", "Internal server error")
