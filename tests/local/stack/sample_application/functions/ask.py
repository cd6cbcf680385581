"""Answers with what the authorizer said."""

import json
from typing import Any


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return {"statusCode": 200, "body": json.dumps({"authorizer": event["requestContext"]["authorizer"]})}
