"""How long AWS takes until what it has made is there for everybody, in a virtual world."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from moto.core.botocore_stubber import MockRawResponse

from bedrock_emulator.services import knowledge_bases
from tests.support.virtual_time import VirtualClock

Seconds = tuple[float, float]
"""The shortest and the longest."""


@dataclass(frozen=True)
class Slowness:
    """Seconds, as users report them unless others are given.

    Args:
        buckets: after a bucket was made, for which half of the calls about it are refused; and after it was deleted,
            for which its name is not free. Source: terraform-provider-aws #7628, #7803, #372; aws-cli #2593.
        buckets_to_bedrock: the same for Bedrock, to which the bucket does not show at all.
        managed_knowledge_base: from creating one of type MANAGED to ACTIVE.
        managed_data_source: from creating a data source of one to AVAILABLE.
    """

    buckets: float = 20.0
    buckets_to_bedrock: float = 20.0
    managed_knowledge_base: Seconds = knowledge_bases.MANAGED_CREATION
    managed_data_source: Seconds = knowledge_bases.MANAGED_DATA_SOURCE_CREATION


AS_REPORTED = Slowness()
PROMPT_BUCKETS = Slowness(buckets=0.0, buckets_to_bedrock=0.0)


class FreshBuckets:
    """What S3 refuses because a bucket was just made, or just deleted. Half of it by chance, from `seed`: some parts of
    S3 know a bucket already."""

    def __init__(self, slowness: Slowness, clock: VirtualClock, *, seed: int) -> None:
        self._slowness = slowness
        self._clock = clock
        self._random = Random(seed)  # noqa: S311 - repeatable on purpose
        self._made: dict[str, float] = {}
        self._deleted: dict[str, float] = {}

    def note(self, operation: str, parameters: Mapping[str, Any], _answer: Mapping[str, Any]) -> None:
        """That call has taken effect."""
        bucket = parameters.get("Bucket", "")
        if operation == "CreateBucket":
            self._made.setdefault(bucket, self._clock.now())
        elif operation == "DeleteBucket":
            self._made.pop(bucket, None)
            self._deleted[bucket] = self._clock.now()

    def refusal(self, operation: str, request: AWSPreparedRequest) -> AWSResponse | None:
        """What the product is answered instead."""
        bucket, now = _bucket(request), self._clock.now()
        if operation == "CreateBucket":
            busy = now < self._deleted.get(bucket, float("-inf")) + self._slowness.buckets
            return _refused(request, 409, "OperationAborted") if busy else None
        if now >= self._made.get(bucket, float("-inf")) + self._slowness.buckets or self._random.random() < 0.5:
            return None
        aborted = operation.startswith(("Put", "Delete")) and self._random.random() < 0.5
        return _refused(request, 409, "OperationAborted") if aborted else _refused(request, 404, "NoSuchBucket")

    def refusal_to_bedrock(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        """What Bedrock is answered instead."""
        shows_at = self._made.get(_bucket(request), float("-inf")) + self._slowness.buckets_to_bedrock
        return _refused(request, 404, "NoSuchBucket") if self._clock.now() < shows_at else None


def _bucket(request: AWSPreparedRequest) -> str:
    """Of a request for `bucket.s3.region.amazonaws.com`."""
    host, found, _ = str(urlsplit(request.url).hostname).partition(".s3.")
    return host if found else ""


def _refused(request: AWSPreparedRequest, status: int, code: str) -> AWSResponse:
    message = {
        "NoSuchBucket": "The specified bucket does not exist",
        "OperationAborted": "A conflicting conditional operation is currently in progress against this resource. "
        "Please try again.",
    }[code]
    # HeadBucket's answers have no body. Source: AWS documentation, HeadBucket.
    text = "" if request.method == "HEAD" else f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return AWSResponse(request.url, status, HTTPHeaders(), MockRawResponse(text.encode()))


@contextmanager
def managed_takes(slowness: Slowness) -> Iterator[None]:
    """While this lasts, Bedrock takes that long for what it makes for knowledge bases of type MANAGED."""
    with (
        patch.object(knowledge_bases, "MANAGED_CREATION", slowness.managed_knowledge_base),
        patch.object(knowledge_bases, "MANAGED_DATA_SOURCE_CREATION", slowness.managed_data_source),
    ):
        yield
