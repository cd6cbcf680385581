"""What our HTTP functions have in common: one place from exception to RFC 9457 problem details."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from kbfleet.domain import errors
from kbfleet.telemetry import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.event_handler.exceptions import NotFoundError
    from pydantic import BaseModel

_STATUS: tuple[tuple[type[errors.KbfleetError], HTTPStatus], ...] = (
    (errors.InvalidInput, HTTPStatus.BAD_REQUEST),
    (errors.KnowledgeStoreNotOffered, HTTPStatus.BAD_REQUEST),
    (errors.TokenRefused, HTTPStatus.UNAUTHORIZED),
    (errors.TenantClaimMissing, HTTPStatus.FORBIDDEN),
    (errors.IsolationBreached, HTTPStatus.FORBIDDEN),
    (errors.TenantNotFound, HTTPStatus.NOT_FOUND),
    (errors.ExecutionNotFound, HTTPStatus.NOT_FOUND),
    (errors.TenantBusy, HTTPStatus.CONFLICT),
    (errors.TenantNotActive, HTTPStatus.CONFLICT),
    (errors.OffboardingBegun, HTTPStatus.CONFLICT),
    (errors.ConcurrentUpdate, HTTPStatus.CONFLICT),
    (errors.Throttled, HTTPStatus.TOO_MANY_REQUESTS),
    (errors.NotReadyYet, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.AwsRefusal, HTTPStatus.BAD_GATEWAY),
)
_RETRY_AFTER_SECONDS = "2"


def status_of(kind: type[errors.KbfleetError]) -> HTTPStatus:
    """With what an error of that kind is answered."""
    return next((status for known, status in _STATUS if issubclass(kind, known)), HTTPStatus.INTERNAL_SERVER_ERROR)


def problem_type(code: str) -> str:
    """The URI by which a problem is told from others (RFC 9457, section 3.1.1), of the name of its error."""
    return f"urn:kbfleet:problem:{re.sub(r'(?<!^)(?=[A-Z])', '-', code).lower()}"


def respond(body: BaseModel, status: HTTPStatus = HTTPStatus.OK) -> Response[str]:
    return Response(status_code=status, content_type="application/json", body=body.model_dump_json())


def problem(error: errors.KbfleetError) -> Response[str]:
    """The problem document of an error. What AWS said stays in the log: it names resources that are not the
    caller's."""
    code, status = type(error).__name__, status_of(type(error))
    internal = isinstance(error, errors.Retryable | errors.AwsRefusal | errors.IsolationBreached)
    document: dict[str, object] = {
        "type": problem_type(code),
        "title": status.phrase,
        "status": int(status),
        "code": code,
        "detail": "The service behind this API could not answer." if internal else str(error),
    }
    if isinstance(error, errors.InvalidInput):
        document["field"] = error.field
    headers: dict[str, str | list[str]] = (
        {"Retry-After": _RETRY_AFTER_SECONDS} if isinstance(error, errors.Retryable) else {}
    )
    return _problem_response(status, document, headers)


def _problem_response(
    status: HTTPStatus, document: dict[str, object], headers: dict[str, str | list[str]] | None = None
) -> Response[str]:
    return Response(
        status_code=status,
        content_type="application/problem+json",
        body=json.dumps(document, ensure_ascii=False),
        headers=headers or {},
    )


def _plain(status: HTTPStatus, detail: str) -> Response[str]:
    return _problem_response(
        status, {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail}
    )


def resolver() -> APIGatewayRestResolver:
    """A Powertools resolver whose every failure is a problem document."""
    app = APIGatewayRestResolver()

    @app.exception_handler(errors.KbfleetError)
    def known(error: errors.KbfleetError) -> Response[str]:
        write = logger.error if isinstance(error, errors.IsolationBreached) else logger.warning
        write("The request was not served", error=type(error).__name__, reason=str(error))
        return problem(error)

    @app.not_found
    def no_such_path(_error: NotFoundError) -> Response[str]:
        return _plain(HTTPStatus.NOT_FOUND, "No such path.")

    @app.exception_handler(Exception)
    def unknown(_error: Exception) -> Response[str]:
        logger.exception("The request failed unexpectedly")
        return _plain(HTTPStatus.INTERNAL_SERVER_ERROR, "Unexpected error.")

    return app
