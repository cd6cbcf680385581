"""Subscription filters select by members of JSON, and lose nothing.

MiniStack takes every word of a filter pattern for one that the message must hold, the name of the member with its dot
too: `{ $.event_type = "Done" }` never matches anything. What a subscribed function raises is dropped, and the log
events with it.

AWS compares the member that the selector names ("Filter pattern syntax …", Amazon CloudWatch Logs user guide). It
invokes the function asynchronously, with Lambda's retries and dead-letter queue ("Processing CloudWatch Logs with
Lambda", AWS Lambda developer guide).
"""

import base64
import gzip
import json
import uuid
from typing import Any

from ministack.core.responses import get_account_id
from ministack.services import cloudwatch_logs, lambda_svc

from local.stack import filter_patterns
from local.stack.configuration import StackConfiguration


def apply(configuration: StackConfiguration) -> None:  # noqa: ARG001 -- every correction takes it
    words_match = cloudwatch_logs._subscription_pattern_matches

    def matches(pattern: str, message: str) -> bool:
        if pattern and filter_patterns.is_known(pattern):
            return filter_patterns.matches(pattern, message)
        return bool(words_match(pattern, message))

    def forward(group: str, stream: str, events: list[dict[str, Any]]) -> None:
        subscriptions = (cloudwatch_logs._log_groups.get(group) or {}).get("subscriptionFilters") or {}
        for subscription in list(subscriptions.values()):
            found = [event for event in events if matches(subscription.get("filterPattern") or "", event["message"])]
            if found:
                _hand_over(subscription, group, stream, found)

    cloudwatch_logs._fanout_to_subscription_filters = forward


def _hand_over(subscription: dict[str, Any], group: str, stream: str, events: list[dict[str, Any]]) -> None:
    """Source of the event: AWS documentation, Processing CloudWatch Logs with Lambda."""
    name = subscription["destinationArn"].partition(":function:")[2].partition(":")[0]
    function = lambda_svc._functions.get(name)
    # AWS refuses a filter that would feed a function its own log.
    if function is None or group == f"/aws/lambda/{name}":
        return
    delivery = {
        "messageType": "DATA_MESSAGE",
        "owner": get_account_id(),
        "logGroup": group,
        "logStream": stream,
        "subscriptionFilters": [subscription["filterName"]],
        "logEvents": [{"id": uuid.uuid4().hex, "timestamp": e["timestamp"], "message": e["message"]} for e in events],
    }
    data = base64.b64encode(gzip.compress(json.dumps(delivery).encode())).decode()
    lambda_svc.invoke_async_with_retry(function, {"awslogs": {"data": data}})
