"""Trigger: `GET /openapi.json`, for everybody. What the API takes and answers, for people and their tools."""

import json
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import api
from kbfleet.logs import logger
from kbfleet.openapi.document import document
from kbfleet.telemetry import tracer

app = api.resolver()
_DOCUMENT = json.dumps(document(), ensure_ascii=False)


@app.get("/openapi.json")
def get_openapi() -> Response[str]:
    return Response(HTTPStatus.OK, "application/json", _DOCUMENT)


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return app.resolve(event, context)
