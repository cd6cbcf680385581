"""An API key counts some seconds after it was made; until then it is answered as one that does not exist.

Users report seconds, in which a key is refused as one without a usage plan (github.com/moduspwnens/boa-chat issue 1).
Ten are our reading. That a key is put into another usage plan shows at once.
"""

from __future__ import annotations

import json
from typing import Any

from ministack.services import apigateway_v1

from local.delays import Clock, Delays

CREATED = 201


def apply(delays: Delays, now: Clock) -> None:
    made: dict[str, float] = {}
    create_key, resolve_key = apigateway_v1._create_api_key, apigateway_v1._resolve_api_key

    def create_and_note(request: dict[str, Any]) -> Any:
        status, headers, body = create_key(request)
        if status == CREATED:
            made[json.loads(body)["id"]] = now()
        return status, headers, body

    def resolve_in_time(value: str | None) -> Any:
        key = resolve_key(value)
        return None if key is not None and now() < made.get(key["id"], 0) + delays.usage_key else key

    apigateway_v1._create_api_key, apigateway_v1._resolve_api_key = create_and_note, resolve_in_time
