"""Why an execution of a state machine did not reach its end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kbfleet.domain.bounds import MESSAGE_BYTES, shortened


class Workflow(StrEnum):
    """The state machines, by the names of their files."""

    PROVISION_TENANT = "provision_tenant"
    OFFBOARD_TENANT = "offboard_tenant"
    REBUILD_TENANT = "rebuild_tenant"


@dataclass(frozen=True, slots=True)
class WorkflowFailure:
    """Why the last execution of a state machine did not reach its end.

    Args:
        deletes: whether it only deleted what does not answer: nothing is to be built after it.
    """

    workflow: Workflow
    step: str
    error: str
    reason: str
    execution: str
    at: datetime
    deletes: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", shortened(self.reason, MESSAGE_BYTES))


def describe_failure(
    workflow: Workflow, *, execution: str, step: str, error: str, cause: str, now: datetime
) -> WorkflowFailure:
    """A failure for people, from what Step Functions says.

    Args:
        cause: a task's `Cause`: the JSON of a Lambda error, whose message is what people want, or plain text.
    """
    try:
        value = json.loads(cause)
    except ValueError:
        value = None
    message = value.get("errorMessage") if isinstance(value, dict) else None
    reason = message if isinstance(message, str) and message else cause or error
    return WorkflowFailure(workflow, step, error, reason, execution, now)
