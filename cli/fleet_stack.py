"""A deployed stack as the operator's own AWS credentials see it: for what must work when the fleet's API does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cli.fleet_api import FleetUnreachable, find_stack


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Raises: FleetUnreachable with what AWS says, in place of botocore's errors."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise FleetUnreachable(f"{what}: {error}") from error


@dataclass(frozen=True)
class FleetStack:
    """One stack.

    Args:
        description: of DescribeStacks.
        session: credentials and Region.
    """

    name: str
    description: Mapping[str, Any]
    session: boto3.Session

    @classmethod
    def named(cls, stack: str, region: str | None) -> FleetStack:
        """Raises: FleetUnreachable when there are no credentials, no Region, or no such stack."""
        session, description = find_stack(stack, region)
        return cls(stack, description, session)

    @property
    def status(self) -> str:
        return str(self.description["StackStatus"])

    @property
    def deployed_at(self) -> datetime:
        at: datetime = self.description.get("LastUpdatedTime") or self.description["CreationTime"]
        return at

    @cached_property
    def parameters(self) -> Mapping[str, str]:
        return {each["ParameterKey"]: each["ParameterValue"] for each in self.description.get("Parameters", [])}

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        return {each["OutputKey"]: each["OutputValue"] for each in self.description.get("Outputs", [])}

    @cached_property
    def resources(self) -> Mapping[str, str]:
        """The physical ids of all resources by their names in the template.

        Raises: FleetUnreachable.
        """
        return self.listed(self.name)

    @cached_property
    def monitoring(self) -> Mapping[str, str]:
        """The same of the nested stack that holds alarms and dashboard.

        Raises: FleetUnreachable, also when there is none, as in older releases.
        """
        if "Monitoring" not in self.resources:
            raise FleetUnreachable(f"Stack {self.name} has no Monitoring; deploy this release first.")
        return self.listed(self.resources["Monitoring"])

    def listed(self, stack: str) -> Mapping[str, str]:
        """The physical ids of the resources of a stack, this one or one within it, by their names in its template.

        Raises: FleetUnreachable.
        """
        with asking(f"The resources of stack {stack} could not be listed (cloudformation:ListStackResources)"):
            pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
            return {
                found["LogicalResourceId"]: found["PhysicalResourceId"]
                for page in pages
                for found in page["StackResourceSummaries"]
                if "PhysicalResourceId" in found
            }

    def client(self, service: str, config: Config | None = None) -> Any:
        """A boto3 client with the operator's credentials."""
        return self.session.client(service, config=config)  # type: ignore[call-overload] # boto3-stubs know literal names only
