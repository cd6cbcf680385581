"""Policies see that a call is safe, which source an event has, and which partition an item is in.

With authorization on, MiniStack takes every call for one without TLS, because its endpoint is http: a bucket policy
that demands TLS then denies everything. It gives policies neither `events:source` nor `dynamodb:LeadingKeys`: a
permission for events of one source permits nothing, one for items of one partition (`ForAllValues`) permits all of
them.

AWS has the two keys in its service authorization reference (Actions, resources, and condition keys for Amazon
EventBridge and for Amazon DynamoDB). The local endpoint stands for AWS's, which is https.
"""

import json
import re
from typing import Any

from ministack import app
from ministack.core import iam_actions
from ministack.services import dynamodb

from local.stack.configuration import StackConfiguration

KEY_CONDITION = re.compile(r"(#?\w+)\s*=\s*(:\w+)")


def apply(configuration: StackConfiguration) -> None:  # noqa: ARG001 -- every correction takes it
    pin_request_origin = app.pin_request_origin
    request_tag_context = iam_actions.request_tag_context
    dynamodb_service_context = iam_actions.dynamodb_service_context

    def pin_safe_origin(address: str, _secure: bool) -> None:
        pin_request_origin(address, True)

    def with_event_sources(service: str, action: str, body: bytes, parameters: dict[str, Any]) -> dict[str, Any]:
        context: dict[str, Any] = request_tag_context(service, action, body, parameters)
        return context | _event_sources(body) if action == "events:PutEvents" else context

    def with_leading_keys(body: bytes) -> dict[str, Any]:
        return {**dynamodb_service_context(body), **_leading_keys(body)}

    app.pin_request_origin = pin_safe_origin
    iam_actions.request_tag_context = with_event_sources
    iam_actions.dynamodb_service_context = with_leading_keys


def _event_sources(body: bytes) -> dict[str, Any]:
    entries = _read(body).get("Entries") or []
    names = {"events:source": "Source", "events:detail-type": "DetailType"}
    values = {key: sorted({entry[name] for entry in entries if name in entry}) for key, name in names.items()}
    # A condition without a set operator looks at one value only.
    return {key: found[0] if len(found) == 1 else found for key, found in values.items()}


def _leading_keys(body: bytes) -> dict[str, Any]:
    request = _read(body)
    table = dynamodb._tables.get(request.get("TableName", "").rpartition("/")[2])
    if table is None:
        return {}
    partition = next(key["AttributeName"] for key in table["KeySchema"] if key["KeyType"] == "HASH")
    item = request.get("Key") or request.get("Item")
    value = item.get(partition) if isinstance(item, dict) else _queried(request, partition)
    return {"dynamodb:LeadingKeys": [str(next(iter(value.values())))]} if value else {}


def _queried(request: dict[str, Any], partition: str) -> dict[str, Any] | None:
    """The value that a query's condition gives the partition key."""
    names = request.get("ExpressionAttributeNames") or {}
    for name, placeholder in KEY_CONDITION.findall(request.get("KeyConditionExpression") or ""):
        if names.get(name, name) == partition:
            value: dict[str, Any] | None = (request.get("ExpressionAttributeValues") or {}).get(placeholder)
            return value
    return None


def _read(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return {}  # the service will refuse it
    return request if isinstance(request, dict) else {}
