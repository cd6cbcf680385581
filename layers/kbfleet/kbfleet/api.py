"""The Powertools resolver of functions with many routes."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from kbfleet import responses

if TYPE_CHECKING:
    from aws_lambda_powertools.event_handler.exceptions import NotFoundError
    from pydantic import BaseModel


def respond(body: BaseModel, status: HTTPStatus = HTTPStatus.OK) -> Response[str]:
    return _powertools(responses.respond(body, status))


def resolver() -> APIGatewayRestResolver:
    """One whose every failure is a problem document."""
    app = APIGatewayRestResolver()

    @app.exception_handler(Exception)
    def failed(error: Exception) -> Response[str]:
        return _powertools(responses.failure(error))

    @app.not_found
    def no_such_path(_error: NotFoundError) -> Response[str]:
        return _powertools(responses.problem(HTTPStatus.NOT_FOUND, "No such path."))

    return app


def _powertools(response: responses.HttpResponse) -> Response[str]:
    return Response(
        status_code=response.status,
        content_type=response.content_type,
        body=response.body,
        headers={**response.headers},
    )
