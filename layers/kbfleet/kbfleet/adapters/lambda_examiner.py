"""The function that examines tenants, for whoever has no right to look at all that an examination looks at."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kbfleet.adapters.aws_errors import translated
from kbfleet.contracts.events import JobStateChangeDetail, JobStateChangeEvent
from kbfleet.domain.bounds import MESSAGE_BYTES, shortened
from kbfleet.domain.errors import NotReadyYet

if TYPE_CHECKING:
    from mypy_boto3_lambda.client import LambdaClient

    from kbfleet.domain.ingestion_job import JobStateChange


class LambdaExaminer:
    """`kbfleet.ports.Examiner` by invoking that function, and waiting for its end: what it could not do is its caller's
    to repeat, who has a place for what fails for good.

    Args:
        function: its name.
    """

    def __init__(self, client: LambdaClient, *, function: str) -> None:
        self._client = client
        self._function = function

    def examine_after(self, failed: JobStateChange) -> None:
        event = JobStateChangeEvent.of(JobStateChangeDetail.from_domain(failed))
        with translated(f"function {self._function}"):
            answer = self._client.invoke(FunctionName=self._function, Payload=event.model_dump_json(by_alias=True))
        if "FunctionError" in answer:
            # Source: AWS documentation, Invoke: the payload is then what the function has raised.
            raised = json.loads(answer["Payload"].read())
            said = shortened(f"{raised.get('errorType')}: {raised.get('errorMessage')}", MESSAGE_BYTES)
            raise NotReadyYet(f"Tenant {failed.tenant_id} could not be examined: {said}")
