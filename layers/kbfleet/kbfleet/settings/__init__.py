"""What a deployment sets through environment variables, typed, and validated at first use.

A module for each part of kbfleet, because a cold start pays for every class that is made.
"""

from __future__ import annotations

import os
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict

from kbfleet.domain.model_ids import is_inference_profile
from kbfleet.domain.names import ResourceNames

if TYPE_CHECKING:
    from kbfleet.domain.workflow import Workflow


def _seconds(value: object) -> object:
    return timedelta(seconds=float(value)) if isinstance(value, str) else value


def _hours(value: object) -> object:
    return timedelta(hours=float(value)) if isinstance(value, str) else value


Seconds = Annotated[timedelta, BeforeValidator(_seconds)]
Hours = Annotated[timedelta, BeforeValidator(_hours)]


class EnvironmentSettings(BaseModel):
    """Read from environment variables of the fields' names in capitals."""

    model_config = ConfigDict(
        frozen=True, alias_generator=str.upper, ignored_types=(cached_property,), extra="ignore", defer_build=True
    )


class FleetSettings(EnvironmentSettings):
    """Which fleet this is. Every function has these."""

    aws_region: str
    account_id: str
    partition: str = "aws"
    stack_name: str
    fleet_name: str
    table_name: str

    @property
    def names(self) -> ResourceNames:
        return ResourceNames(self.fleet_name, self.account_id, self.aws_region)

    def state_machine_arn(self, workflow: Workflow) -> str:
        """That which the template names after the fleet and the workflow. A reference in the environment would make the
        state machines and their own tasks depend on each other."""
        name = f"{self.fleet_name}-{workflow.replace('_', '-')}"
        return f"arn:{self.partition}:states:{self.aws_region}:{self.account_id}:stateMachine:{name}"

    def model_arn(self, model_id: str) -> str:
        """The ARN of a foundation model or an inference profile."""
        if is_inference_profile(model_id):
            return f"arn:{self.partition}:bedrock:{self.aws_region}:{self.account_id}:inference-profile/{model_id}"
        return f"arn:{self.partition}:bedrock:{self.aws_region}::foundation-model/{model_id}"


Settings = TypeVar("Settings", bound=EnvironmentSettings)


def read(settings: type[Settings]) -> Settings:
    """Raises: pydantic.ValidationError naming the variables that are missing or wrong; that is a fault of the
    template."""
    return settings.model_validate(dict(os.environ))
