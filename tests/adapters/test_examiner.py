"""The function that examines tenants, asked by one that may not."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber

from kbfleet.adapters.lambda_examiner import LambdaExaminer
from kbfleet.contracts import parse
from kbfleet.contracts.events import JobStateChangeEvent
from kbfleet.domain.errors import AccessRefused, NotReadyYet, Throttled
from kbfleet.domain.ingestion_job import JobStatus, Outcome
from tests.support.aws import client as aws_client
from tests.support.samples import job_state_change

FAILED = job_state_change(status=JobStatus.FAILED, outcome=Outcome.FAILED)
INVOCATION = {"FunctionName": "reconcile", "Payload": ANY}


def payload(content: object) -> dict[str, Any]:
    body = json.dumps(content).encode()
    return {"StatusCode": 200, "Payload": StreamingBody(BytesIO(body), len(body))}


@pytest.fixture
def stub() -> Stubber:
    return Stubber(aws_client("lambda"))


@pytest.fixture
def examiner(stub: Any) -> LambdaExaminer:
    return LambdaExaminer(stub.client, function="reconcile")


def test_it_is_told_of_the_job_as_the_bus_tells_of_it(stub: Any, examiner: LambdaExaminer) -> None:
    told: list[dict[str, Any]] = []
    events = stub.client.meta.events
    events.register("before-parameter-build.lambda", lambda params, **_: told.append(params))
    stub.add_response("invoke", payload(None), INVOCATION)
    with stub:
        examiner.examine_after(FAILED)
    (sent,) = told
    assert parse(JobStateChangeEvent, json.loads(sent["Payload"])).detail.to_domain() == FAILED


def test_what_it_has_raised_is_the_callers_to_repeat(stub: Any, examiner: LambdaExaminer) -> None:
    raised = payload({"errorType": "Throttled", "errorMessage": "slow"}) | {"FunctionError": "Unhandled"}
    stub.add_response("invoke", raised, INVOCATION)
    with stub, pytest.raises(NotReadyYet, match="Throttled: slow"):
        examiner.examine_after(FAILED)


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [("TooManyRequestsException", 429, Throttled), ("AccessDeniedException", 403, AccessRefused)],
)
def test_what_lambda_refuses_is_an_error_of_ours(
    stub: Any, examiner: LambdaExaminer, code: str, status: int, error: type[Exception]
) -> None:
    stub.add_client_error("invoke", code, "no", status)
    with stub, pytest.raises(error):
        examiner.examine_after(FAILED)
