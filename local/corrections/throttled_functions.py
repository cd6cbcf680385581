"""A function that is throttled is invoked later where nobody waits for it, and API Gateway says nothing of it.

MiniStack counts a throttled asynchronous invocation as one of its three tries, so that an event is lost after seconds
without room; and a REST API hands the 429 of Lambda to its own caller.

AWS puts such an event back into its queue and tries again for up to six hours, first after a second, and then less and
less often, up to every five minutes (AWS documentation, Lambda, "How Lambda handles errors and retries with
asynchronous invocation"). With a proxy integration the caller of a REST API sees a 500 (users report:
repost.aws/questions/QUfI6bsdd0SOiPeyimzxSkfQ). These times pass as fast as all of the local AWS.
"""

import contextvars
import time
from collections.abc import Callable
from typing import Any

from ministack.services import apigateway_v1, lambda_svc

from local.stack.configuration import StackConfiguration

LONGEST_SECONDS = 6 * 3600.0
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 300.0
# Real seconds: a machine that is too busy for an invocation is not asked every few milliseconds.
_SHORTEST_WAIT = 0.05
_give_up_at: contextvars.ContextVar[float | None] = contextvars.ContextVar("give_up_at", default=None)


class _ThrottledError(Exception):
    """The function behind an API was throttled."""


def apply(configuration: StackConfiguration) -> None:
    _try_again(configuration.speed, time.monotonic, time.sleep)
    _hide_from_callers()


def _try_again(speed: float, now: Callable[[], float], sleep: Callable[[float], None]) -> None:
    invoke, execute = lambda_svc.invoke_async_with_retry, lambda_svc._execute_function

    def invoke_with_patience(function: dict[str, Any], event: Any) -> None:
        # MiniStack takes the context along into the thread that invokes.
        token = _give_up_at.set(now() + LONGEST_SECONDS / speed)
        try:
            invoke(function, event)
        finally:
            _give_up_at.reset(token)

    def execute_with_patience(function: dict[str, Any], event: Any) -> dict[str, Any]:
        result: dict[str, Any] = execute(function, event)
        give_up_at, wait = _give_up_at.get(), FIRST_WAIT_SECONDS
        while give_up_at is not None and result.get("throttle") and now() < give_up_at:
            sleep(max(_SHORTEST_WAIT, wait / speed))
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
            result = execute(function, event)
        return result

    lambda_svc.invoke_async_with_retry, lambda_svc._execute_function = invoke_with_patience, execute_with_patience


def _hide_from_callers() -> None:
    answer_of, invoke = apigateway_v1._lambda_proxy_response, apigateway_v1._invoke_lambda_proxy_v1

    def answer_unless_throttled(result: dict[str, Any]) -> Any:
        if result.get("throttle"):
            raise _ThrottledError
        return answer_of(result)

    async def invoke_and_hide(*arguments: Any, **named: Any) -> Any:
        try:
            return await invoke(*arguments, **named)
        except _ThrottledError:
            return apigateway_v1._gw_error("API_CONFIGURATION_ERROR", "Internal server error")

    apigateway_v1._lambda_proxy_response = answer_unless_throttled
    apigateway_v1._invoke_lambda_proxy_v1 = invoke_and_hide
