"""Policies see that a call is safe, an event's source, an item's partition and attributes, and a literal wildcard.

With authorization on, MiniStack takes every call for one without TLS, because its endpoint is http: a bucket policy
that demands TLS then denies everything. It gives policies neither `events:source` nor `dynamodb:LeadingKeys`: a
permission for events of one source permits nothing, one for items of one partition (`ForAllValues`) permits all of
them. Of `dynamodb:Attributes` it has those that are read, not those that are written, and `dynamodb:ReturnValues` not
at all. And it takes `${*}`, `${?}` and `${$}` in a resource for wildcards and text, not for the characters themselves.

AWS has the keys in its service authorization reference (Actions, resources, and condition keys for Amazon EventBridge
and for Amazon DynamoDB), the three variables in the IAM user guide (Variables and tags). The local endpoint stands for
AWS's, which is https.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from ministack import app
from ministack.core import iam_actions, iam_evaluator
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

    def with_items(body: bytes) -> dict[str, Any]:
        return {**dynamodb_service_context(body), **_of_items(body)}

    app.pin_request_origin = pin_safe_origin
    iam_actions.request_tag_context = with_event_sources
    iam_actions.dynamodb_service_context = with_items
    iam_evaluator._fnmatch_compile = matching


def _event_sources(body: bytes) -> dict[str, Any]:
    entries = _read(body).get("Entries") or []
    names = {"events:source": "Source", "events:detail-type": "DetailType"}
    values = {key: sorted({entry[name] for entry in entries if name in entry}) for key, name in names.items()}
    # A condition without a set operator looks at one value only.
    return {key: found[0] if len(found) == 1 else found for key, found in values.items()}


def _of_items(body: bytes) -> dict[str, Any]:
    request = _read(body)
    written = next((one for item in request.get("TransactItems") or [{}] for one in item.values()), request)
    name = written.get("TableName") or next(iter(request.get("RequestItems") or [""]))
    table = dynamodb._tables.get(name.rpartition("/")[2])
    if table is None:
        return {}
    partition = next(key["AttributeName"] for key in table["KeySchema"] if key["KeyType"] == "HASH")
    return item_conditions(request, partition)


def item_conditions(request: Mapping[str, Any], partition: str) -> dict[str, Any]:
    """What DynamoDB gives policies of a request, by its parameters. Args: partition: name of the partition key."""
    parts = list(_parts(request))
    keys = sorted({key for part in parts for key in _leading_keys(part, partition)})
    attributes = sorted({name for part in parts for name in _attributes(part)})
    found: dict[str, Any] = {"dynamodb:LeadingKeys": keys} if keys else {}
    if attributes:
        found["dynamodb:Attributes"] = attributes
    if "UpdateExpression" in request:
        found["dynamodb:ReturnValues"] = request.get("ReturnValues", "NONE")
    return found


def _parts(request: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The request, and those that are within a transaction or a batch."""
    yield request
    for item in request.get("TransactItems") or []:
        yield from item.values()
    for items in (request.get("RequestItems") or {}).values():
        for item in items if isinstance(items, list) else []:
            yield from item.values()


def _leading_keys(request: Mapping[str, Any], partition: str) -> Iterator[str]:
    item = request.get("Key") or request.get("Item")
    value = item.get(partition) if isinstance(item, Mapping) else _queried(request, partition)
    if value:
        yield str(next(iter(value.values())))


def _queried(request: Mapping[str, Any], partition: str) -> dict[str, Any] | None:
    """The value that a query's condition gives the partition key."""
    names = request.get("ExpressionAttributeNames") or {}
    for name, placeholder in KEY_CONDITION.findall(request.get("KeyConditionExpression") or ""):
        if names.get(name, name) == partition:
            value: dict[str, Any] | None = (request.get("ExpressionAttributeValues") or {}).get(placeholder)
            return value
    return None


_WORDS = re.compile(r"(?<![:.\w#])(?:#\w+|[A-Za-z_]\w*)(?!\w*\s*\()")
_KEYWORDS = {"SET", "REMOVE", "ADD", "DELETE", "AND", "OR", "NOT", "BETWEEN", "IN"}


def _attributes(request: Mapping[str, Any]) -> Iterator[str]:
    """Names of attributes in what is written, in its conditions, and in what is to be read; of paths, the first."""
    names = request.get("ExpressionAttributeNames") or {}
    for expression in ("UpdateExpression", "ConditionExpression", "ProjectionExpression"):
        for word in _WORDS.findall(request.get(expression) or ""):
            if word.upper() not in _KEYWORDS:
                yield names.get(word, word)
    if "UpdateExpression" in request:
        yield from request["Key"]
    if isinstance(item := request.get("Item"), Mapping):
        yield from item


@cache
def matching(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    """What a pattern of a policy matches: `*` and `?` are wildcards, `${*}`, `${?}` and `${$}` the characters."""
    pieces = [""]
    for part in re.findall(r"\$\{[*?$]\}|.", pattern, re.DOTALL):
        if part == "*":
            pieces.append("")
        else:
            pieces[-1] += "." if part == "?" else re.escape(part[2] if len(part) > 1 else part)
    first, *others = pieces
    # The first place where a piece fits is as good as any later one: nothing is tried again, however many there are.
    expression = first + "".join(f"(?>.*?{piece})" for piece in others[:-1])
    ending = f".*{others[-1]}" if others else ""
    return re.compile(rf"{expression}{ending}\Z", re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _read(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return {}  # the service will refuse it
    return request if isinstance(request, dict) else {}
