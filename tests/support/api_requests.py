"""Requests as API Gateway hands them to functions. Source: AWS documentation, Amazon API Gateway, input format of a
Lambda function for proxy integration."""

from __future__ import annotations

import json
from typing import Any


def queried(**values: str | list[str]) -> dict[str, Any]:
    """The members of a request that hold its query. Of a parameter that is given more than once, the single ones have
    the last value."""
    several = {name: [value] if isinstance(value, str) else value for name, value in values.items()}
    return {
        "queryStringParameters": {name: each[-1] for name, each in several.items()} or None,
        "multiValueQueryStringParameters": several or None,
    }


def api_request(
    method: str, resource: str, *, body: object = None, query: dict[str, str], **path: str
) -> dict[str, Any]:
    """A request to a resource, its path parameters filled in."""
    return {
        "httpMethod": method,
        "resource": resource,
        "path": resource.format_map(path),
        "pathParameters": path or None,
        "body": None if body is None else json.dumps(body),
        "requestContext": {"requestId": "01234567-89ab-cdef-0123-456789abcdef"},
        **queried(**query),
    }
