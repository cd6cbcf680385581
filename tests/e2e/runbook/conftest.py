"""One fleet for all drills, each of which leaves it well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local import deployment
from local.stack import process
from local.stack.configuration import StackConfiguration, free_port
from tests.e2e.runbook.fleet import RUNBOOK, Fleet
from tests.e2e.runbook.troubles import TENANT


def listed(configuration: StackConfiguration, stack: str) -> dict[str, str]:
    """The physical ids of a stack's resources by their names in the template."""
    pages = deployment.client(configuration, "cloudformation").get_paginator("list_stack_resources")
    return {
        found["LogicalResourceId"]: found["PhysicalResourceId"]
        for page in pages.paginate(StackName=stack)
        for found in page["StackResourceSummaries"]
    }


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """With a tenant that has a document. Every function may do what its role says, and nothing else."""
    folder = tmp_path_factory.mktemp("runbook")
    configuration = StackConfiguration(
        state_directory=folder, aws_port=free_port(), side_port=free_port(), authorization=True
    )
    process.start(configuration)
    try:
        deployed = deployment.deploy(configuration, parameter_overrides={"RunbookUrl": RUNBOOK})
        resources = listed(configuration, deployed.stack_name)
        resources |= listed(configuration, resources["Monitoring"])
        fleet = Fleet(configuration, deployed.outputs, resources)
        fleet.succeeds(f"kbfleet tenant add {TENANT}")
        fleet.upload(TENANT, "tents.md", b"A tent is guaranteed for 24 months.")
        fleet.succeeds(f"kbfleet sync start {TENANT}")
        yield fleet
    finally:
        process.stop(folder)
