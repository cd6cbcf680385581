"""Trigger: `GET /openapi.json`, for everybody. What the API takes and answers, for people and their tools."""

import json
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet.logs import logger
from kbfleet.openapi.document import document
from kbfleet.responses import HttpResponse
from kbfleet.routing import Request, Route, dispatch

_DOCUMENT = json.dumps(document(), ensure_ascii=False)


def get_openapi(_request: Request) -> HttpResponse:
    return HttpResponse(HTTPStatus.OK, _DOCUMENT)


ROUTES = {("GET", "/openapi.json"): Route(get_openapi)}


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    return dispatch(event, ROUTES)
