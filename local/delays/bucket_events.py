"""EventBridge is told of a bucket's changes some minutes after that was switched on; of earlier ones never.

"After you enable EventBridge, it takes around five minutes for the changes to take effect" (Amazon S3 user guide,
Enabling Amazon EventBridge). That what changes meanwhile is told to nobody, also later, is our reading. So is that
switching it on again, where it is on, begins nothing anew.

Other destinations of notifications are told at once, and a template's buckets are old from the start.
"""

from __future__ import annotations

import json
from typing import Any

from ministack.services import eventbridge, s3

from local.delays import Clock, Delays

_SWITCHED_ON = "EventBridgeConfiguration"


def apply(delays: Delays, now: Clock) -> None:
    since: dict[str, float] = {}
    put_notification = s3._put_bucket_notification
    dispatch = eventbridge._dispatch_event

    def put_and_note(name: str, *request: Any) -> Any:
        before = _tells_event_bridge(name)
        answer = put_notification(name, *request)
        if not _tells_event_bridge(name):
            since.pop(name, None)
        elif not before:
            since[name] = now()
        return answer

    def dispatch_in_time(event: dict[str, Any], *others: Any, **named: Any) -> Any:
        # Nobody but S3 may name itself so (AWS documentation, PutEvents: sources that begin with aws. are reserved).
        if event.get("Source") == "aws.s3":
            bucket = json.loads(event["Detail"])["bucket"]["name"]
            if bucket in since and now() < since[bucket] + delays.bucket_events:
                return None
        return dispatch(event, *others, **named)

    s3._put_bucket_notification = put_and_note
    eventbridge._dispatch_event = dispatch_in_time


def _tells_event_bridge(bucket: str) -> bool:
    return _SWITCHED_ON in (s3._bucket_notifications.get(bucket) or "")
