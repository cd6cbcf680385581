"""A bucket is not there yet when it was just made, and its name not free yet when it was just deleted.

For `bucket_visible` seconds after CreateBucket every other call about the bucket is answered NoSuchBucket, and a second
CreateBucket OperationAborted. For `bucket_settings` seconds more it can be read and written, but changes to its
settings are OperationAborted. For `bucket_name` seconds after DeleteBucket, CreateBucket is OperationAborted.

What users report: NoSuchBucket for settings of a bucket that was just made (github.com/hashicorp/terraform-provider-aws
issues 372, 7803, 49960), OperationAborted for changes to settings that collide with others (issues 7628, 33478), and
for a name that was deleted minutes, in one report an hour, ago (github.com/aws/aws-cli issues 2411, 2593). How long
each lasts is nowhere written; that all calls are alike is our reading, since on AWS some calls see a bucket before
others do. ListBuckets names a bucket at once.

CloudFormation waits for its own buckets: those of a template are old from the start.
"""

from __future__ import annotations

from typing import Any

from ministack.services import s3

from local.delays import Clock, Delays

Answer = tuple[int, dict[str, str], bytes]
# Names the operation in some SDKs' addresses, and means nothing to S3.
_OPERATION_NAME = "x-id"


def apply(delays: Delays, now: Clock) -> None:
    buckets = _Buckets(delays, now)
    dispatch = s3._dispatch

    def dispatch_in_time(
        method: str, bucket: str, key: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
    ) -> Answer:
        about_settings = not key and bool(query.keys() - {_OPERATION_NAME})
        if refused := buckets.refusal(method, bucket, key, about_settings=about_settings):
            return refused
        existed = bucket in s3._buckets
        answer: Answer = dispatch(method, bucket, key, headers, body, query)
        if bucket:
            buckets.note(bucket, existed=existed)
        return answer

    s3._dispatch = dispatch_in_time


class _Buckets:
    """When buckets were made and deleted, by name."""

    def __init__(self, delays: Delays, now: Clock) -> None:
        self._delays = delays
        self._now = now
        self._made: dict[str, float] = {}
        self._deleted: dict[str, float] = {}

    def note(self, bucket: str, *, existed: bool) -> None:
        """Args: existed: before the call that has just been answered."""
        exists = bucket in s3._buckets
        if exists and not existed:
            self._made[bucket] = self._now()
            self._deleted.pop(bucket, None)
        elif existed and not exists:
            self._deleted[bucket] = self._now()
            self._made.pop(bucket, None)

    def refusal(self, method: str, bucket: str, key: str, *, about_settings: bool) -> Answer | None:
        creates = method == "PUT" and not key and not about_settings
        if self._is_since(self._deleted.get(bucket), self._delays.bucket_name):
            return _aborted(bucket) if creates else None
        made = self._made.get(bucket)
        if self._is_since(made, self._delays.bucket_visible):
            if creates:
                return _aborted(bucket)
            missing: Answer = s3._no_such_bucket(bucket)
            return missing
        changes = method in ("PUT", "DELETE") and not key
        if changes and self._is_since(made, self._delays.bucket_visible + self._delays.bucket_settings):
            return _aborted(bucket)
        return None

    def _is_since(self, moment: float | None, seconds: float) -> bool:
        return moment is not None and self._now() < moment + seconds


def _aborted(bucket: str) -> Answer:
    answer: Answer = s3._error(
        "OperationAborted",
        "A conflicting conditional operation is currently in progress against this resource. Please try again.",
        409,
        f"/{bucket}",
    )
    return answer
