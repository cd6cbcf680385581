"""Puts the OpenAPI document together."""

from __future__ import annotations

import inspect
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from kbfleet import responses
from kbfleet.domain.document_names import MAX_KEY_BYTES, document_id
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.ingestion_job import JOB_NAME_PATTERN
from kbfleet.domain.names import TenantId
from kbfleet.domain.profiles import ProfileName
from kbfleet.domain.questions import QuestionId
from kbfleet.openapi.operations import (
    AWS_ERRORS,
    GATEWAY_PROBLEMS,
    OPERATIONS,
    Caller,
)
from kbfleet.openapi.schemas import PROBLEM, VALIDATED_TEXTS, components, parameters, reference
from kbfleet.usecases.reservations import EXECUTION_NAME_PATTERN, MAX_EXECUTION_NAME_LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kbfleet.domain.errors import KbfleetError
    from kbfleet.openapi.operations import (
        Operation,
    )
    from kbfleet.openapi.schemas import Mode

VERSION = "0.1.0"
"""Of kbfleet."""

_DESCRIPTION = """\
Answers tenants' questions from their own documents, and manages the knowledge bases behind it.

Tenants' users ask with the token of their identity provider; operators and back ends sign with IAM (SigV4, service
`execute-api`). Every request that is not served gets a problem document (RFC 9457).

Paths are taken as they are written: no id needs percent-encoding, and none is decoded. A query parameter that an
operation does not list, or that is given twice, is refused."""

_SECURITY_SCHEMES = {
    Caller.USER.value: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An OpenID Connect token. Only its claims say which tenant and user it is for.",
    },
    Caller.TRUSTED.value: {
        # As API Gateway itself exports it. Source: AWS documentation, OpenAPI extensions, authtype object.
        "type": "apiKey",
        "name": "Authorization",
        "in": "header",
        "x-amazon-apigateway-authtype": "awsSigv4",
        "description": "AWS Signature Version 4.",
    },
}
_EXECUTION = {
    "type": "string",
    "pattern": f"^{EXECUTION_NAME_PATTERN}$",
    "minLength": 1,
    "maxLength": MAX_EXECUTION_NAME_LENGTH,
    "examples": ["acme-20261102T090000000000"],
}
_JOB = {"type": "string", "pattern": f"^{JOB_NAME_PATTERN}$", "examples": ["KPXMDYDLWH"]}
_DOCUMENT = {
    "type": "string",
    "pattern": "^[A-Za-z0-9_-]+$",
    "minLength": 2,
    "maxLength": len(document_id("x" * MAX_KEY_BYTES)),
    "description": "The `id` of a document: base64url of its key in UTF-8, without padding.",
    "examples": [document_id("handbook/rental-terms.pdf")],
}
_TAGS = {Caller.USER: "asking", Caller.TRUSTED: "fleet", Caller.ANYBODY: "api"}

# What API Gateway answers without a gateway response of our own, in words.
_UNFORESEEN = {
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something failed in a way that was not foreseen.",
    HTTPStatus.BAD_GATEWAY: "The function behind the API failed.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The function behind the API could not be run.",
    HTTPStatus.GATEWAY_TIMEOUT: "The answer took more than 29 seconds.",
}
_TOO_LARGE = "The body is larger than API Gateway and Lambda take."
_NO_SUCH_PATH = "The path is not one of this API, or a parameter in it has characters that no id or name has."
_UNSIGNED = "The request is not signed, is wrongly signed, or was signed too long ago."

_HEADERS = {
    HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate", "How to prove who asks.", {"type": "string", "const": "Bearer"}),
    HTTPStatus.TOO_MANY_REQUESTS: ("Retry-After", "Seconds to wait.", {"type": "string", "pattern": "^[0-9]+$"}),
}


def document() -> dict[str, Any]:
    """The whole API in OpenAPI 3.1. Its server is wherever the document is served from."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation)
    bodies: list[tuple[Any, Mode]] = [(each.body, "validation") for each in OPERATIONS if each.body]
    answers: list[tuple[Any, Mode]] = [(each.answer, "serialization") for each in OPERATIONS if each.answer]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "kbfleet",
            "version": VERSION,
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "."}],
        "paths": paths,
        "components": {"schemas": components(bodies + answers), "securitySchemes": _SECURITY_SCHEMES},
    }


def _described(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [_TAGS[operation.caller]],
        "security": [{operation.caller.value: []}] if operation.caller is not Caller.ANYBODY else [],
    }
    if taken := [*_path_parameters(operation), *(parameters(operation.query) if operation.query else [])]:
        found["parameters"] = taken
    if operation.body:
        content: dict[str, Any] = {"schema": reference(operation.body.__name__)}
        if operation.example:
            content["example"] = dict(operation.example)
        found["requestBody"] = {"required": not operation.body_optional, "content": {"application/json": content}}
    schema = reference(operation.answer.__name__) if operation.answer else {"type": "object"}
    served = {"description": operation.status.phrase, "content": {"application/json": {"schema": schema}}}
    found["responses"] = {str(operation.status.value): served} | _problems(operation)
    return found


def _path_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    if operation.of_a_tenant:
        yield _path_parameter("tenant_id", {"type": "string", **VALIDATED_TEXTS[TenantId]})
    if "{profile}" in operation.path:
        yield _path_parameter("profile", {"type": "string", **VALIDATED_TEXTS[ProfileName]})
    if "{execution}" in operation.path:
        yield _path_parameter("execution", _EXECUTION)
    if "{job}" in operation.path:
        yield _path_parameter("job", _JOB)
    if "{document}" in operation.path:
        yield _path_parameter("document", _DOCUMENT)
    if "{question}" in operation.path:
        yield _path_parameter("question", {"type": "string", **VALIDATED_TEXTS[QuestionId]})


def _path_parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _problems(operation: Operation) -> dict[str, Any]:
    """Each status that is not a success, with what it can mean."""
    meanings: dict[HTTPStatus, set[str]] = {}
    for status, meaning in _meanings(operation):
        meanings.setdefault(status, set()).add(meaning)
    return {str(status.value): _problem(status, meanings[status]) for status in sorted(meanings)}


def _meanings(operation: Operation) -> Iterator[tuple[HTTPStatus, str]]:
    for kind in problem_kinds(operation):
        yield responses.status_of(kind), _typed(kind.__name__, " ".join((inspect.getdoc(kind) or "").split()))
    for gateway in GATEWAY_PROBLEMS.values():
        if operation.caller in gateway.callers:
            yield gateway.status, _typed(gateway.code, gateway.detail)
    for status, meaning in _UNFORESEEN.items():
        yield status, _untyped(meaning)
    if operation.caller is Caller.TRUSTED:
        yield HTTPStatus.FORBIDDEN, _untyped(_UNSIGNED)
    yield HTTPStatus.NOT_FOUND, _untyped(_NO_SUCH_PATH)
    if operation.body:
        yield HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _untyped(_TOO_LARGE)


def problem_kinds(operation: Operation) -> set[type[KbfleetError]]:
    """The errors that the handler of an operation may answer with, subclasses included."""
    declared = operation.refusals + (AWS_ERRORS if operation.caller is not Caller.ANYBODY else ())
    return {kind for each in declared for kind in ((each,) if each is InvalidInput else _family(each))}


def _family(kind: type[KbfleetError]) -> Iterator[type[KbfleetError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _family(each)


def _typed(code: str, meaning: str) -> str:
    return f"- `{responses.problem_type(code)}`: {meaning}"


def _untyped(meaning: str) -> str:
    return f"- `about:blank`: {meaning}"


def _problem(status: HTTPStatus, meanings: set[str]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "description": "\n".join([f"{status.phrase}.\n", *sorted(meanings)]),
        "content": {"application/problem+json": {"schema": reference(PROBLEM)}},
    }
    if status in _HEADERS:
        name, meaning, schema = _HEADERS[status]
        described["headers"] = {name: {"description": meaning, "required": True, "schema": schema}}
    return described
