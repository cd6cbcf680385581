"""AWS has partitions (aws, aws-cn, aws-us-gov, …): whoever writes an ARN asks in which one this is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kbfleet.adapters.knowledge_stores import StoreResources
from kbfleet.bootstrap import KNOWLEDGE_STORES, store_types
from kbfleet.domain.names import ResourceNames
from tests.support.aws import client
from tests.support.samples import ACCOUNT, INGESTION
from tests.support.template import STATE_MACHINES, definition

ROOT = Path(__file__).parents[2]
PRODUCT = ("layers", "functions", "cli", "statemachine", "monitoring", "template.yaml", "examples")
WRITTEN_BY_HAND = re.compile(r"arn:aws:")


def files() -> Iterator[Path]:
    for part in PRODUCT:
        path = ROOT / part
        yield from (path,) if path.is_file() else (each for each in path.rglob("*") if each.suffix in _KINDS)


_KINDS = {".py", ".json", ".yaml", ".yml"}


def test_no_arn_names_a_partition_by_hand() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if WRITTEN_BY_HAND.search(line)
    ]
    assert found == []


def test_the_product_is_looked_at() -> None:
    assert len(list(files())) > 100


@pytest.mark.parametrize("machine", STATE_MACHINES)
def test_tasks_are_those_of_the_stacks_own_partition(machine: str) -> None:
    tasks = [state for state in definition(machine)["States"].values() if state["Type"] == "Task"]
    assert tasks
    assert all(task["Resource"].startswith("arn:${Partition}:states:::lambda:invoke") for task in tasks)


@pytest.mark.parametrize(
    ("region", "partition"), [("ap-northeast-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
)
@pytest.mark.parametrize("store_type", KNOWLEDGE_STORES)
def test_a_data_source_reads_a_bucket_of_the_regions_partition(store_type: str, region: str, partition: str) -> None:
    store = store_types()[store_type].made_of(
        StoreResources(
            ResourceNames("kbfleet", ACCOUNT, region),
            INGESTION,
            lambda model: f"arn:{partition}:bedrock:{region}::foundation-model/{model}",
            "vectors",
            f"arn:{partition}:aoss:{region}:{ACCOUNT}:collection/c",
            lambda service: client(service, region=region),
            lambda _: None,  # type: ignore[arg-type, return-value] # nothing is catalogued here
        )
    )
    configuration = str(store.data_source_configuration("kbfleet-acme"))
    assert "kbfleet-acme" in configuration
    assert "arn:" not in configuration or f"arn:{partition}:s3:::kbfleet-acme" in configuration
