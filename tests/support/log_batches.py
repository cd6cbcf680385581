"""What CloudWatch Logs invokes a function with that subscribes to a log group: base64 of gzip of JSON."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any


def opened(payload: dict[str, Any]) -> dict[str, Any]:
    batch: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(payload["awslogs"]["data"])))
    return batch


def packed(batch: dict[str, Any]) -> dict[str, Any]:
    return {"awslogs": {"data": base64.b64encode(gzip.compress(json.dumps(batch).encode())).decode()}}
