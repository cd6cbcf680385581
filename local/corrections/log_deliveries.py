"""Subscription filters select by members of JSON and lose nothing, and delivery sources are as strict as AWS's.

MiniStack takes every word of a filter pattern for one that the message must hold, the name of the member with its dot
too: `{ $.event_type = "Done" }` never matches anything. What a subscribed function raises is dropped, and the log
events with it. And it lets a delivery source change its resource, two sources share one, and a source be deleted while
something is delivered from it.

AWS compares the member that the selector names ("Filter pattern syntax …", Amazon CloudWatch Logs user guide). It
invokes the function asynchronously, with Lambda's retries and dead-letter queue ("Processing CloudWatch Logs with
Lambda", AWS Lambda developer guide). A source keeps its resource, and a resource has one source of a log type (refused
by the texts below, as users report); one that has deliveries cannot be deleted (Amazon CloudWatch Logs API reference,
DeleteDeliverySource).
"""

import base64
import gzip
import json
import uuid
from typing import Any

from ministack.core.responses import error_response_json, get_account_id
from ministack.services import cloudwatch_logs, lambda_svc

from local.stack import filter_patterns
from local.stack.configuration import StackConfiguration

Request = dict[str, Any]
_ANOTHER_RESOURCE = (
    "Update to existing Delivery Source with new ResourceId is not allowed. "
    "Please create a new Delivery Source instead."
)
_RESOURCE_TAKEN = "This ResourceId has already been used in another Delivery Source in this account."
_IN_USE = "Delivery Source has deliveries that must be deleted first."  # inferred: its text is not known


def apply(configuration: StackConfiguration) -> None:  # noqa: ARG001 -- every correction takes it
    words_match, put, delete = (
        cloudwatch_logs._subscription_pattern_matches,
        cloudwatch_logs._put_delivery_source,
        cloudwatch_logs._delete_delivery_source,
    )

    def matches(pattern: str, message: str) -> bool:
        if pattern and filter_patterns.is_known(pattern):
            return filter_patterns.matches(pattern, message)
        return bool(words_match(pattern, message))

    def put_source(request: Request) -> Any:
        refusal = _refusal(request)
        return _conflict(refusal) if refusal else put(request)

    def delete_source(request: Request) -> Any:
        used = {delivery["deliverySourceName"] for delivery in cloudwatch_logs._deliveries.values()}
        return _conflict(_IN_USE) if request.get("name") in used else delete(request)

    def forward(group: str, stream: str, events: list[dict[str, Any]]) -> None:
        subscriptions = (cloudwatch_logs._log_groups.get(group) or {}).get("subscriptionFilters") or {}
        for subscription in list(subscriptions.values()):
            found = [event for event in events if matches(subscription.get("filterPattern") or "", event["message"])]
            if found:
                _hand_over(subscription, group, stream, found)

    cloudwatch_logs._fanout_to_subscription_filters = forward
    # The table of operations is made anew for each request, from these names.
    cloudwatch_logs._put_delivery_source = put_source
    cloudwatch_logs._delete_delivery_source = delete_source


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


def _refusal(request: Request) -> str | None:
    name, resource, log_type = (request.get(member) for member in ("name", "resourceArn", "logType"))
    for source in cloudwatch_logs._delivery_sources.values():
        same_resource = source["resourceArns"] == [resource]
        if source["name"] == name and not same_resource:
            return _ANOTHER_RESOURCE
        if source["name"] != name and same_resource and source["logType"] == log_type:
            return _RESOURCE_TAKEN
    return None


def _conflict(message: str) -> Any:
    return error_response_json("ConflictException", message, 400)
