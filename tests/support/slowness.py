"""How long AWS takes until what it has made is there for everybody, in a virtual world."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from moto.core.botocore_stubber import MockRawResponse

import bedrock_emulator.services.knowledge_bases
from bedrock_emulator.services.knowledge_bases import KnowledgeBases
from bedrock_emulator.wire.errors import conflict
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
    managed_knowledge_base: Seconds = (47.0, 124.0)
    managed_data_source: Seconds = (120.0, 300.0)


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

    def note(self, operation: str, bucket: str) -> None:
        """That call has taken effect."""
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
def managed_takes(slowness: Slowness, *, seed: int) -> Iterator[None]:
    """While this lasts, Bedrock takes that long for what it makes for knowledge bases of type MANAGED. A data source
    that is CREATING can neither be changed nor deleted: what the service answers is not known."""
    random = Random(seed)  # noqa: S311 - repeatable on purpose
    module = bedrock_emulator.services.knowledge_bases
    create_base, create_source = KnowledgeBases.create_knowledge_base, KnowledgeBases.create_data_source

    def create_knowledge_base(self: KnowledgeBases, given: dict[str, Any]) -> dict[str, Any]:
        seconds = random.uniform(*slowness.managed_knowledge_base)
        with patch.object(module, "MANAGED_CREATION", seconds):
            return create_base(self, given)

    def create_data_source(self: KnowledgeBases, given: dict[str, Any]) -> dict[str, Any]:
        account = self._account
        before = set(account.data_sources)
        answer = create_source(self, given)
        identity = given["knowledgeBaseId"], answer["dataSource"]["dataSourceId"]
        if identity in before or not account.knowledge_base(given["knowledgeBaseId"]).managed:
            return answer
        made, available_at = (
            account.data_sources[identity],
            account.now() + random.uniform(*slowness.managed_data_source),
        )
        made.status = "CREATING"

        def settle() -> None:
            if made.status == "CREATING":
                made.status, made.updated_at = "AVAILABLE", available_at

        account.agenda.at(available_at, settle)
        return {"dataSource": {**answer["dataSource"], "status": made.status}}

    def unless_creating(operation: Any) -> Any:
        def checked(self: KnowledgeBases, given: dict[str, Any]) -> Any:
            source = self._account.data_sources.get((given["knowledgeBaseId"], given["dataSourceId"]))
            if source is not None and source.status == "CREATING":
                raise conflict(f"DataSource with id {source.identifier} is being created.")
            return operation(self, given)

        return checked

    with ExitStack() as stack:
        for name, instead in (
            ("create_knowledge_base", create_knowledge_base),
            ("create_data_source", create_data_source),
            ("update_data_source", unless_creating(KnowledgeBases.update_data_source)),
            ("delete_data_source", unless_creating(KnowledgeBases.delete_data_source)),
        ):
            stack.enter_context(patch.object(KnowledgeBases, name, instead))
        yield
