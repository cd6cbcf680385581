"""However 10,000 tenants are, an overview of them is whole within its reads: by the sizes of what is in the index."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.fleet import Made, broken, busy, stored, well
from kbfleet.adapters.dynamodb.table import Table
from kbfleet.usecases.fleet_overview import MOST_READS
from tests.support.template import table_definition

TENANTS = 10_000
PAGE = 1024 * 1024
"""Bytes that a page of a query has at most, before it is filtered. Source: AWS documentation, Query."""
AROUND = 100
"""Bytes beside the attributes of an item that storage takes (AWS documentation, DynamoDB item sizes). Whether a page
counts them is not said, so they are counted here."""
ITEMS, USAGE, OTHER_STATUSES, INCIDENTS = 4, 2, 5, 2
"""Reads beside the tenants that are in service, their syncs and their questions."""


def size(value: Mapping[str, Any]) -> int:
    """Of an attribute's value, in bytes. Source: AWS documentation, DynamoDB item sizes and formats."""
    ((kind, held),) = value.items()
    match kind:
        case "S":
            return len(held.encode())
        case "N":
            return len(held) // 2 + 2
        case "L":
            return 3 + sum(1 + size(each) for each in held)
        case "M":
            return 3 + sum(1 + len(name) + size(each) for name, each in held.items())
    return 1


def projected(item: Mapping[str, Any]) -> int:
    """Bytes that an item has in the index."""
    (index,) = (each for each in table_definition()["GlobalSecondaryIndexes"] if each["IndexName"] == "Overview")
    keys = {"PK", "SK", *(key["AttributeName"] for key in index["KeySchema"])}
    kept = keys | set(index["Projection"]["NonKeyAttributes"])
    return AROUND + sum(len(name) + size(value) for name, value in item.items() if name in kept)


def pages(made: Callable[[int], Made], number: int = TENANTS) -> int:
    """Of tenants, syncs and questions, if all of them were as large as the largest of these."""
    items: list[dict[str, Any]] = []
    table = Table(cast("Any", SimpleNamespace(put_item=lambda *, Item, **_: items.append(Item))), "kbfleet")  # noqa: N803 - boto3's name
    stored(table, made, 40)
    partitions: dict[str, int] = {}
    for item in items:
        if "status" not in item:
            continue  # it has nothing to say, and is not in the index
        partition = item["status"]["S"]
        partitions[partition] = max(partitions.get(partition, 0), projected(item))
    assert partitions.keys() == {"ACTIVE", "QUESTIONS"} | ({"SYNC"} if made is not well else set())
    return sum(ceil(number / (PAGE // each)) for each in partitions.values())


@pytest.mark.parametrize("made", [well, busy, broken])
def test_ten_thousand_tenants_are_read_within_the_reads_of_an_overview(made: Callable[[int], Made]) -> None:
    assert ITEMS + USAGE + OTHER_STATUSES + INCIDENTS + pages(made) <= MOST_READS


def test_a_fleet_that_is_well_leaves_half_of_them() -> None:
    assert ITEMS + USAGE + OTHER_STATUSES + 1 + pages(well) <= 20


def test_ten_thousand_tenants_are_not_read_within_a_few_pages_anyway() -> None:
    """Or these sizes would say nothing."""
    assert pages(broken) > 8
    assert pages(broken, 10 * TENANTS) > MOST_READS
