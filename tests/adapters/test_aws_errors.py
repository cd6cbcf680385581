"""AWS's errors become ours, by code, by status and by what is known of their texts."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)

from kbfleet.adapters.aws_errors import translated
from kbfleet.domain.errors import (
    AccessRefused,
    AwsRefusal,
    CapacityExceeded,
    KbfleetError,
    NotReadyYet,
    RequestRefused,
    ResourceConflict,
    ResourceMissing,
    Retryable,
    ServiceRoleRefused,
    SessionPolicyTooLarge,
    Throttled,
)

STORAGE = "The knowledge base storage configuration provided is invalid... "
ANSWERS = [
    # bedrock-agent, with the HTTP codes of its botocore model
    (429, "ThrottlingException", "Your request rate is too high.", Throttled),
    (500, "InternalServerException", "Internal server error.", NotReadyYet),
    (403, "AccessDeniedException", "User is not authorized to perform bedrock:CreateKnowledgeBase", AccessRefused),
    (404, "ResourceNotFoundException", "KnowledgeBase with id X does not exist.", ResourceMissing),
    (
        402,
        "ServiceQuotaExceededException",
        "You have reached the maximum number of knowledge bases: 100",
        CapacityExceeded,
    ),
    (409, "ConflictException", "KnowledgeBase with name kbfleet-acme already exists.", ResourceConflict),
    (409, "ConflictException", "DataSource with name documents already exists.", ResourceConflict),
    (409, "ConflictException", "…maximum number of concurrent ingestion jobs per knowledge base: 1", ResourceConflict),
    (409, "ConflictException", "…maximum number of concurrent ingestion jobs per account: 5", ResourceConflict),
    # what passes by itself
    (400, "ValidationException", "Bedrock Knowledge Base was unable to assume the given role", ServiceRoleRefused),
    (400, "ValidationException", f"{STORAGE}Request failed: [security_exception] 403 Forbidden", ServiceRoleRefused),
    (409, "ConcurrentModification", "The role is being changed by somebody else.", NotReadyYet),
    (400, "ValidationException", "Unable to verify the specified embedding model", NotReadyYet),
    (400, "ValidationException", f"{STORAGE}status code: 404, error message: no such index [acme]", NotReadyYet),
    (400, "ValidationException", f"{STORAGE}The specified index could not be found", NotReadyYet),
    (400, "ValidationException", "The knowledge base is not in a valid status", NotReadyYet),
    (
        400,
        "ValidationException",
        "You cannot start an ingestion job on a data source with status CREATING.",
        NotReadyYet,
    ),
    (400, "ValidationException", "There is an ongoing KnowledgeBaseDocuments API request.", NotReadyYet),
    (
        400,
        "ValidationException",
        "The sum of concurrent IngestKnowledgeBaseDocuments and DeleteKnowledgeBaseDocuments requests can't exceed 10",
        NotReadyYet,
    ),
    # what does not
    (400, "PackedPolicyTooLarge", "Packed policy consumes 112% of allotted space.", SessionPolicyTooLarge),
    (
        400,
        "ValidationException",
        "You cannot modify the knowledge base configuration once it is created.",
        RequestRefused,
    ),
    (
        400,
        "ValidationException",
        "role R is not able to call specified bedrock embedding model",
        RequestRefused,
    ),
    (400, "ValidationException", "1 validation error detected: Member must have length less than", RequestRefused),
    # bedrock-agent-runtime
    (400, "ServiceQuotaExceededException", "Your request exceeds the service quota.", CapacityExceeded),
    (400, "ValidationException", "Session with Id X is not valid. Please check and try again.", RequestRefused),
    (400, "ValidationException", "Invocation of model ID X with on-demand throughput isn't supported.", RequestRefused),
    (424, "DependencyFailedException", "There was an issue with a dependency.", RequestRefused),
    (502, "BadGatewayException", "There was an issue with a dependency due to a server issue.", NotReadyYet),
    # bedrock-runtime
    (408, "ModelTimeoutException", "The request took too long to process.", NotReadyYet),
    (424, "ModelErrorException", "The request failed due to an error while processing the model.", NotReadyYet),
    # the other services
    (400, "ProvisionedThroughputExceededException", "slow down", Throttled),
    (503, "SlowDown", "Please reduce your request rate.", Throttled),
    (400, "RequestThrottled", "slow down", Throttled),
    (429, "SomethingNew", "slow down", Throttled),
    (503, "ServiceUnavailable", "try later", NotReadyYet),
    (404, "NoSuchBucket", "The specified bucket does not exist", ResourceMissing),
    (404, "404", "Not Found", ResourceMissing),
    (403, "403", "Forbidden", AccessRefused),
    (400, "AWS.SimpleQueueService.NonExistentQueue", "no queue", ResourceMissing),
    (400, "ExecutionDoesNotExist", "no execution", ResourceMissing),
    (400, "ExecutionAlreadyExists", "there is one with another input", ResourceConflict),
    (409, "OperationAborted", "A conflicting conditional operation is in progress", NotReadyYet),
    (400, "TooManyBuckets", "too many", CapacityExceeded),
    (404, "NotFoundException", "The specified index could not be found", ResourceMissing),
    (418, "", "", RequestRefused),
]


def refusal(status: int, code: str, message: str) -> ClientError:
    return ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {
                "HTTPStatusCode": status,
                "RequestId": "r",
                "HostId": "",
                "HTTPHeaders": {},
                "RetryAttempts": 0,
            },
        },
        "CreateKnowledgeBase",
    )


@pytest.mark.parametrize(("status", "code", "message", "expected"), ANSWERS)
def test_an_answer_becomes_the_error_that_says_what_to_do(
    status: int, code: str, message: str, expected: type[KbfleetError]
) -> None:
    with pytest.raises(KbfleetError) as raised, translated("knowledge base kbfleet-acme"):
        raise refusal(status, code, message)
    assert type(raised.value) is expected


def test_the_message_says_what_was_asked_for_whom_and_what_aws_answered() -> None:
    with pytest.raises(AccessRefused) as raised, translated("knowledge base kbfleet-acme"):
        raise refusal(403, "AccessDeniedException", "not authorized")
    assert raised.value.what == (
        "CreateKnowledgeBase for knowledge base kbfleet-acme: AccessDeniedException: not authorized"
    )
    assert raised.value.remedy


def test_the_original_error_stays_the_cause() -> None:
    with pytest.raises(KbfleetError) as raised, translated("x"):
        raise refusal(400, "ValidationException", "no")
    assert isinstance(raised.value.__cause__, ClientError)


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="https://example"),
        ConnectTimeoutError(endpoint_url="https://example"),
        ReadTimeoutError(endpoint_url="https://example"),
        ConnectionClosedError(endpoint_url="https://example"),
    ],
)
def test_no_answer_is_worth_another_try(error: Exception) -> None:
    with pytest.raises(NotReadyYet, match=type(error).__name__), translated("x"):
        raise error


@pytest.mark.parametrize("error", [NoCredentialsError(), ParamValidationError(report="bad")])
def test_a_call_that_could_not_be_made_is_refused_for_good(error: Exception) -> None:
    with pytest.raises(RequestRefused), translated("x"):
        raise error


def test_what_is_not_aws_is_left_alone() -> None:
    with pytest.raises(ZeroDivisionError), translated("x"):
        raise ZeroDivisionError
    with pytest.raises(ResourceMissing, match="ours"), translated("x"):
        raise ResourceMissing("ours")


def test_only_two_errors_are_retried_by_name() -> None:
    assert set(Retryable.__subclasses__()) == {Throttled, NotReadyYet}
    assert not issubclass(AwsRefusal, Retryable)
