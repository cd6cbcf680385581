"""Which tenant a message is about that waits in a dead-letter queue."""

from __future__ import annotations

import json
from typing import Any


def is_about(body: str, *, tenant_id: str, bucket_name: str) -> bool:
    """Whether a message is about that tenant and nobody else.

    A tenant's id counts only as the whole value of a field that is for it: `detail.tenant_id` of our own events,
    `detail.bucket.name` of S3's, `detail.input` of Step Functions', `tenant_id` of a line of usage; and the same in
    what a function was invoked with when it failed (AWS documentation, Capturing records of Lambda asynchronous
    invocations). Nothing is looked for in text.
    """
    message = _members(body)
    event = _members(message.get("requestPayload")) or message
    detail = _members(event.get("detail"))
    bucket = _members(detail.get("bucket"))
    named = (event.get("tenant_id"), detail.get("tenant_id"), _members(detail.get("input")).get("tenant_id"))
    return tenant_id in named or bucket.get("name") == bucket_name


def _members(value: object) -> dict[str, Any]:
    """Those of an object, or of the text of one; none of what is neither."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}
