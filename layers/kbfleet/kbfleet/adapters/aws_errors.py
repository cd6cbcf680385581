"""From botocore's errors to ours. Every adapter wraps its calls in `translated`; nothing else looks at AWS error
codes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as AwsConnectionError

from kbfleet.domain.bounds import MESSAGE_BYTES, shortened
from kbfleet.domain.errors import (
    AccessRefused,
    CapacityExceeded,
    NotReadyYet,
    RequestRefused,
    ResourceConflict,
    ResourceMissing,
    ServiceRoleRefused,
    SessionPolicyTooLarge,
    Throttled,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kbfleet.domain.errors import (
        KbfleetError,
    )

_THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "ProvisionedThroughputExceededException",
    "SlowDown",
}
_MISSING = {
    "ResourceNotFoundException",
    "NoSuchEntity",
    "NotFoundException",
    "NoSuchBucket",
    "404",
    "ExecutionDoesNotExist",
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
}
_CONFLICT = {
    "ConflictException",
    "ResourceInUseException",
    "ExecutionAlreadyExists",
    "EntityAlreadyExists",
    "409",
}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"}
_MODEL_FAILED = {"ModelTimeoutException", "ModelErrorException"}
"""The model's fault, although their statuses are 408 and 424. Source: botocore model of bedrock-runtime."""
_POLICY_TOO_LARGE = {"PackedPolicyTooLarge", "PackedPolicyTooLargeException"}
_QUOTA = {"ServiceQuotaExceededException", "LimitExceededException", "LimitExceeded", "TooManyBuckets"}

_ROLE_REFUSED = ("unable to assume the given role", "[security_exception] 403 Forbidden")
"""Texts of 400 answers about the service role, reported by users of Bedrock Knowledge Bases: IAM takes up to about a
minute to make a new role assumable; the second one is of OpenSearch Serverless, whose data access policies take as
long. The same texts can mask a permission that is really missing."""

_SETTLING = (
    # S3: somebody changes the same bucket at this moment, or its name is not free again yet; also of a bucket that was
    # just made (terraform-provider-aws #7628, aws-cli #2593).
    "OperationAborted",
    # Of a bucket that S3 does not know: its own word is NoSuchBucket, which only who calls can judge. This is Bedrock,
    # which passes on what S3 has told it of a bucket that was just made.
    "The specified bucket does not exist",
    # DynamoDB, while an index is made or deleted, by an update or because one is taken back (reported by users).
    "Cannot read from backfilling global secondary index",
    "The table does not have the specified index",
    "ConcurrentModification",  # IAM: somebody else changes the same role at this moment
    "Unable to verify the specified embedding model",
    "no such index",  # OpenSearch
    "specified index could not be found",  # S3 Vectors: inferred from that service's own error
    "not in a valid status",
    # Also where the status is FAILED, which does not pass: whoever calls looks at the data source then.
    "cannot start an ingestion job on a data source with status",
    # Documents are ingested one by one at this moment: no job starts beside them (HatmanStack/RAGStack-Lambda).
    "ongoing KnowledgeBaseDocuments API request",
)
"""Texts of 400 answers that pass by themselves, reported by users, most of them of Bedrock Knowledge Bases: a new index
is not visible at once. The same texts can mask a permission that is really missing, so retries of them must end."""

_CROWDED = ("sum of concurrent IngestKnowledgeBaseDocuments", "reached max number")
"""An account has room for ten requests that ingest documents one by one (Amazon Bedrock quotas; the texts are of users'
scripts)."""


@contextmanager
def translated(subject: str, *, unsaid: Iterable[str] = ()) -> Iterator[None]:
    """Runs AWS calls; raises kbfleet's errors in place of botocore's.

    Args:
        subject: to whom it happens, for the message: `knowledge base kbfleet-acme of tenant acme`.
        unsaid: names of documents, which AWS may repeat: messages reach logs, and no tenant's text does.

    Raises:
        Throttled, NotReadyYet: worth another try; ServiceRoleRefused, which is one, while the role is new.
        AccessRefused, RequestRefused, ResourceMissing, ResourceConflict, CapacityExceeded: for good.
    """
    try:
        yield
    except ClientError as error:
        raise _from_answer(error, subject, unsaid) from error
    except (AwsConnectionError, HTTPClientError) as error:
        what = f"AWS did not answer about {subject}: {type(error).__name__}."
        raise NotReadyYet(what, for_everybody=True) from error
    except BotoCoreError as error:
        raise RequestRefused(f"The call about {subject} could not be made: {error}.") from error


def _from_answer(error: ClientError, subject: str, unsaid: Iterable[str]) -> KbfleetError:
    code = error.response.get("Error", {}).get("Code", "")
    message = error.response.get("Error", {}).get("Message", "")
    for name in sorted(unsaid, key=len, reverse=True):
        message = message.replace(name, "…")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    what = f"{error.operation_name} for {subject}: {code}: {shortened(message, MESSAGE_BYTES)}"
    if code in _THROTTLED or status == 429:
        return Throttled(what)
    if code in _DENIED:
        return AccessRefused(what, remedy="Add the missing permission to the role that made the call.")
    if code in _QUOTA:
        return CapacityExceeded(what, remedy="Free capacity, or ask AWS for a higher quota where it is adjustable.")
    if code in _MISSING:
        return ResourceMissing(what)
    if code in _POLICY_TOO_LARGE:
        return SessionPolicyTooLarge(what)
    if code in _CONFLICT:
        return ResourceConflict(what)
    if any(text in message for text in _ROLE_REFUSED):
        return ServiceRoleRefused(what)
    if status >= 500 or code in _MODEL_FAILED or any(text in message for text in _CROWDED):
        return NotReadyYet(what, for_everybody=True)
    if any(text in f"{code} {message}" for text in _SETTLING):
        return NotReadyYet(what)
    return RequestRefused(what)
