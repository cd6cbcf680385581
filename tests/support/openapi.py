"""What the API's document promises of an operation, as tests hold answers against it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError, validators

from kbfleet.openapi.document import document


@cache
def described() -> dict[str, Any]:
    return document()


def _matches(_: object, pattern: str, instance: object, __: object) -> Iterator[ValidationError]:
    """In the regular expressions of JSON Schema, `$` is the end; in Python's, also what is before a last line feed."""
    if isinstance(instance, str) and not re.search(re.sub(r"(?<!\\)\$", r"\\Z", pattern), instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


_Validator = validators.extend(Draft202012Validator, {"pattern": _matches})


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Of a schema that may point at the document's components."""
    return _Validator({**schema, "components": described()["components"]}, format_checker=FormatChecker())


def component(name: str) -> Draft202012Validator:
    return validator({"$ref": f"#/components/schemas/{name}"})


def require_as_documented(request: dict[str, Any], answer: dict[str, Any]) -> None:
    """A function's answer to a request of API Gateway.

    Raises:
        AssertionError: the operation's description has no such status, kind of content, headers, body or problem.
    """
    if (operation := described()["paths"].get(request["resource"], {}).get(request["httpMethod"].lower())) is None:
        return
    status, headers = str(answer["statusCode"]), answer["multiValueHeaders"]
    assert status in operation["responses"], f"{operation['operationId']} is not said to answer {status}"
    promised = operation["responses"][status]
    ((kind, content),) = promised["content"].items()
    assert headers["Content-Type"] == [kind]
    missing = promised.get("headers", {}).keys() - headers.keys()
    assert not missing, f"{operation['operationId']} is said to answer {status} with {missing}"
    body = json.loads(answer["body"])
    validator(content["schema"]).validate(body)
    if kind == "application/problem+json":
        assert f"`{body['type']}`" in promised["description"], f"{body['type']} is not said to come with {status}"
