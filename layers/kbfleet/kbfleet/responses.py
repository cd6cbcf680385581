"""What our HTTP functions answer: bodies in JSON, and one place from exception to RFC 9457 problem details."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from kbfleet.domain import errors
from kbfleet.domain.bounds import ANSWER_BYTES
from kbfleet.logs import logger

if TYPE_CHECKING:
    from pydantic import BaseModel

_STATUS: tuple[tuple[type[errors.KbfleetError], HTTPStatus], ...] = (
    (errors.InvalidInput, HTTPStatus.BAD_REQUEST),
    (errors.KnowledgeStoreNotOffered, HTTPStatus.BAD_REQUEST),
    (errors.TokenRefused, HTTPStatus.UNAUTHORIZED),
    (errors.TenantClaimMissing, HTTPStatus.FORBIDDEN),
    (errors.IsolationBreached, HTTPStatus.FORBIDDEN),
    (errors.TicketRefused, HTTPStatus.FORBIDDEN),
    (errors.TenantNotFound, HTTPStatus.NOT_FOUND),
    (errors.ExecutionNotFound, HTTPStatus.NOT_FOUND),
    (errors.JobNotFound, HTTPStatus.NOT_FOUND),
    (errors.DocumentNotFound, HTTPStatus.NOT_FOUND),
    (errors.ProfileNotFound, HTTPStatus.NOT_FOUND),
    (errors.ProfileInUse, HTTPStatus.CONFLICT),
    (errors.QuestionNotFound, HTTPStatus.NOT_FOUND),
    (errors.TenantBusy, HTTPStatus.CONFLICT),
    (errors.NothingBeside, HTTPStatus.CONFLICT),
    (errors.TenantNotActive, HTTPStatus.CONFLICT),
    (errors.OffboardingBegun, HTTPStatus.CONFLICT),
    (errors.DeletionsNotSeen, HTTPStatus.CONFLICT),
    (errors.ConcurrentUpdate, HTTPStatus.CONFLICT),
    (errors.Throttled, HTTPStatus.TOO_MANY_REQUESTS),
    (errors.NotReadyYet, HTTPStatus.SERVICE_UNAVAILABLE),
    (errors.AwsRefusal, HTTPStatus.BAD_GATEWAY),
)
_RETRY_AFTER_SECONDS = "2"


@dataclass(frozen=True)
class HttpResponse:
    """As API Gateway takes it from a function."""

    status: HTTPStatus
    body: str
    content_type: str = "application/json"
    retry_after: str | None = None

    @property
    def headers(self) -> dict[str, list[str]]:
        """All but the type of the content."""
        return {} if self.retry_after is None else {"Retry-After": [self.retry_after]}

    @property
    def proxied(self) -> dict[str, Any]:
        """Source: AWS documentation, Amazon API Gateway, output format of a Lambda function for proxy integration."""
        return {
            "statusCode": int(self.status),
            "multiValueHeaders": {"Content-Type": [self.content_type], **self.headers},
            "body": self.body,
        }


def status_of(kind: type[errors.KbfleetError]) -> HTTPStatus:
    """With what an error of that kind is answered."""
    return next((status for known, status in _STATUS if issubclass(kind, known)), HTTPStatus.INTERNAL_SERVER_ERROR)


def problem_type(code: str) -> str:
    """The URI that identifies a kind of problem (RFC 9457, section 3.1.1), of the name of its error."""
    return f"urn:kbfleet:problem:{re.sub(r'(?<!^)(?=[A-Z])', '-', code).lower()}"


def respond(body: BaseModel, status: HTTPStatus = HTTPStatus.OK) -> HttpResponse:
    """One that would be too large for a function's answer, which no page and no list is, is an error that says so."""
    text = body.model_dump_json()
    # JSON within JSON may treble.
    if len(text.encode()) > ANSWER_BYTES // 3 and len(json.dumps(text)) > ANSWER_BYTES:
        logger.error("The answer is too large", body=type(body).__name__, characters=len(text))
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, f"The answer has {len(text):,} characters, which is too much.")
    return HttpResponse(status, text)


_LOOK = "the log of the function says why, under the id of this request."


def failure(error: Exception, request_id: str) -> HttpResponse:
    """The problem document of an exception, whatever it is; the log says more.

    Args:
        request_id: API Gateway's, by which the log is found.
    """
    if not isinstance(error, errors.KbfleetError):
        logger.error("The request failed unexpectedly", exc_info=error, request_id=request_id)
        detail = f"Unexpected error. Trying again may help; if it does not, {_LOOK}"
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail, request_id=request_id)
    write = logger.error if isinstance(error, errors.IsolationBreached) else logger.warning
    write("The request was not served", error=type(error).__name__, reason=error.logged, request_id=request_id)
    if isinstance(error, errors.Throttled):
        # Imported here: it is rare, and no cold start should wait for it.
        from kbfleet.metrics import Metric, publish

        publish({Metric.REQUESTS_THROTTLED: 1})
    code, status = type(error).__name__, status_of(type(error))
    internal = _in_place_of(error)
    return problem(
        status,
        internal or str(error),
        code,
        field=error.field if isinstance(error, errors.InvalidInput) else None,
        request_id=request_id if internal else None,
        retry_after=_RETRY_AFTER_SECONDS if isinstance(error, errors.Retryable) else None,
    )


def _in_place_of(error: errors.KbfleetError) -> str:
    """What the caller is told of an error whose own words stay in the log, because they are AWS's and name resources
    that are not the caller's; empty for all others."""
    if isinstance(error, errors.Retryable):
        return f"The service behind this API could not answer now. Try again; if that does not help, {_LOOK}"
    if isinstance(error, errors.AwsRefusal | errors.IsolationBreached) and not isinstance(error, errors.BucketGone):
        return f"The service behind this API could not answer. Trying again does not help: {_LOOK}"
    return ""


def problem(
    status: HTTPStatus,
    detail: str,
    code: str | None = None,
    *,
    field: str | None = None,
    request_id: str | None = None,
    retry_after: str | None = None,
) -> HttpResponse:
    """A problem document (RFC 9457).

    Args:
        code: the name of one of our errors; without, the status says all.
        field: the part of the request that is wrong.
        request_id: by which the log says more.
        retry_after: seconds.
    """
    document: dict[str, object] = {
        "type": "about:blank" if code is None else problem_type(code),
        "title": status.phrase,
        "status": int(status),
    }
    if code is not None:
        document["code"] = code
    document["detail"] = detail
    if field is not None:
        document["field"] = field
    if request_id is not None:
        document["request_id"] = request_id
    return HttpResponse(status, json.dumps(document, ensure_ascii=False), "application/problem+json", retry_after)
