"""An EventBridge rule invokes a function asynchronously, with Lambda's retries.

MiniStack starts one thread that invokes the function once: what the function raises is dropped, and so is the event of
a function that does not exist.

AWS hands the event to Lambda's asynchronous invocation, which tries twice more when the function raises and then sends
the event to the function's OnFailure destination or dead-letter queue (AWS documentation, Lambda, "How Lambda handles
errors and retries with asynchronous invocation"); an event that cannot be handed over goes to the dead-letter queue of
the rule's target (EventBridge, "Using dead-letter queues to process undelivered events").
"""

import contextvars
import json
from typing import Any

from ministack.core.arn import parse_arn
from ministack.services import eventbridge, lambda_svc

from local.stack.configuration import StackConfiguration

_target: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("event_target", default=None)


def apply(configuration: StackConfiguration) -> None:  # noqa: ARG001 -- every correction takes it
    invoke_target = eventbridge._invoke_target

    def invoke(target: dict[str, Any], *arguments: Any, **options: Any) -> Any:
        token = _target.set(target)
        try:
            return invoke_target(target, *arguments, **options)
        finally:
            _target.reset(token)

    eventbridge._invoke_target = invoke
    eventbridge._dispatch_to_lambda = _invoke_asynchronously


def _invoke_asynchronously(arn: str, payload: str) -> None:
    function, config, name = lambda_svc._get_func_record_for_ref(arn)
    if function and config:
        record = lambda_svc._execution_record_for_config(function, config)
        lambda_svc.invoke_async_with_retry(record, json.loads(payload))
        return
    dead_letters = ((_target.get() or {}).get("DeadLetterConfig") or {}).get("Arn")
    if dead_letters:
        eventbridge._dispatch_to_sqs(parse_arn(dead_letters), payload)
    else:
        eventbridge.logger.warning("an event for the function %s, which does not exist, is lost", name)
