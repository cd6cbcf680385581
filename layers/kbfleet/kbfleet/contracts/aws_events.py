"""Events and log records of AWS's own, as far as they matter to us."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field

from kbfleet.domain.names import TenantId
from kbfleet.domain.sync import DocumentChange
from kbfleet.domain.workflow import Workflow


class StoppedExecutionInput(BaseModel):
    """What the inputs of all state machines have in common."""

    tenant_id: TenantId


class StoppedExecutionDetail(BaseModel):
    """`detail` of AWS's event "Step Functions Execution Status Change"; `input` is JSON text."""

    executionArn: str  # noqa: N815 - AWS's own name
    stateMachineArn: str  # noqa: N815
    status: str
    input: str

    @property
    def workflow(self) -> Workflow:
        name = self.stateMachineArn.rsplit(":", 1)[-1].replace("-", "_")
        return next(workflow for workflow in Workflow if name.endswith(workflow))


EXECUTION_STATUS_CHANGE = "Step Functions Execution Status Change"

ALARM_STATE_CHANGE = "CloudWatch Alarm State Change"


class SucceededExecutionDetail(StoppedExecutionDetail):
    """The same of an execution that reached its end. Times are in milliseconds since 1970; `output` is JSON text, left
    out when it is too long. Source: AWS documentation, EventBridge events of Step Functions."""

    status: Literal["SUCCEEDED"]
    output: str | None = None
    stopDate: Annotated[datetime, BeforeValidator(lambda value: datetime.fromtimestamp(value / 1_000, UTC))]  # noqa: N815

    @property
    def superseded(self) -> bool:
        """Whether it made way for whoever has its tenant now: such an execution has done nothing of its own. What a
        step has failed with stays in an execution's output."""
        return "failure" in json.loads(self.output or "{}")


class SucceededExecutionEvent(BaseModel):
    detail: SucceededExecutionDetail


class AlarmState(BaseModel):
    value: Literal["ALARM", "OK", "INSUFFICIENT_DATA"]
    reason: str = ""
    timestamp: AwareDatetime


class AlarmConfiguration(BaseModel):
    description: str = ""


class AlarmStateChangeDetail(BaseModel):
    """`detail` of AWS's event. Source: AWS documentation, Alarm events and EventBridge."""

    alarmName: str  # noqa: N815
    state: AlarmState
    configuration: AlarmConfiguration = AlarmConfiguration()


class AlarmStateChangeEvent(BaseModel):
    detail: AlarmStateChangeDetail


class BucketName(BaseModel):
    name: str


class DocumentChangeDetail(BaseModel):
    """Of the many fields only the bucket is read. `object.key` is not: it is raw there, and not URL-encoded as in the
    notifications that S3 itself sends to queues (as emulators of S3 have it; AWS's documentation does not say)."""

    bucket: BucketName


class DocumentChangeEvent(BaseModel):
    """S3's own event on the account's default bus. A delete marker is an `Object Deleted`, too; its `deletion-type`
    distinguishes them. Source: AWS documentation, Amazon S3, EventBridge event message structure."""

    source: Literal["aws.s3"]
    detail_type: Literal["Object Created", "Object Deleted"] = Field(alias="detail-type")
    detail: DocumentChangeDetail

    def to_domain(self) -> DocumentChange:
        return DocumentChange(self.detail.bucket.name, deleted=self.detail_type == "Object Deleted")
