"""Profiles as they are kept: versions that never change, and a list of those that can be chosen."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from kbfleet.adapters.dynamodb.profiles import DynamoDBProfileRecords
from kbfleet.adapters.dynamodb.table import Table
from kbfleet.domain.errors import ConcurrentUpdate
from kbfleet.domain.profiles import Profile, ProfileName
from kbfleet.ports import ProfileRecords
from tests.support.fakes import InMemoryProfileRecords
from tests.unit.test_profiles import FULL, PLAIN

NAME, OTHER = ProfileName("office"), ProfileName("office-2")


def version(number: int, name: ProfileName = NAME, like: Profile = FULL) -> Profile:
    return replace(like, name=name, version=number)


class ProfileRecordsSuite:
    @pytest.fixture
    def records(self) -> ProfileRecords:
        raise NotImplementedError

    @pytest.mark.parametrize("like", [FULL, PLAIN])
    def test_a_version_is_given_again_as_it_was_put(self, records: ProfileRecords, like: Profile) -> None:
        records.add(version(1, like=like))
        assert records.find(NAME, 1) == version(1, like=like)
        assert records.newest(NAME) == version(1, like=like)

    def test_a_version_is_written_once(self, records: ProfileRecords) -> None:
        records.add(version(1))
        with pytest.raises(ConcurrentUpdate):
            records.add(version(1, like=PLAIN))
        assert records.find(NAME, 1) == version(1)

    def test_the_newest_is_the_one_with_the_highest_number(self, records: ProfileRecords) -> None:
        for number in (1, 2, 9, 10):
            records.add(version(number))
        records.add(version(11, OTHER))
        assert records.newest(NAME) == version(10)
        assert records.find(NAME, 9) == version(9)

    @pytest.mark.parametrize("number", [-1, 0, 2, 10**9])
    def test_a_version_that_there_is_not_is_not_found(self, records: ProfileRecords, number: int) -> None:
        records.add(version(1))
        assert records.find(NAME, number) is None
        assert records.find(OTHER, 1) is None
        assert records.newest(OTHER) is None

    def test_what_is_removed_is_listed_no_more_and_its_versions_stay(self, records: ProfileRecords) -> None:
        for name in (OTHER, NAME):
            records.enlist(name)
            records.add(version(1, name))
        records.enlist(NAME)
        assert records.names() == [NAME, OTHER]
        records.delist(NAME)
        records.delist(NAME)
        assert records.names() == [OTHER]
        assert [records.is_listed(name) for name in (NAME, OTHER)] == [False, True]
        assert records.find(NAME, 1) == records.newest(NAME) == version(1)
        records.enlist(NAME)
        assert records.is_listed(NAME)


class TestInMemoryProfileRecords(ProfileRecordsSuite):
    @pytest.fixture
    def records(self) -> ProfileRecords:
        return InMemoryProfileRecords()


class TestDynamoDBProfileRecords(ProfileRecordsSuite):
    @pytest.fixture
    def records(self, table: Table) -> ProfileRecords:
        return DynamoDBProfileRecords(table)

    def test_what_a_later_version_of_kbfleet_has_stored_is_read(self, table: Table) -> None:
        records = DynamoDBProfileRecords(table)
        records.add(version(1))
        found: Any = table.item({"PK": "PROFILE#office", "SK": "VERSION#000001"})
        described = json.loads(found["description"])
        described["answering"]["tone"] = described["ingestion"]["parser"]["speed"] = "later"
        table.put({**found, "description": json.dumps(described)}, values={}, subject="a version")
        assert records.find(NAME, 1) == version(1)

    def test_what_an_earlier_version_of_kbfleet_has_stored_is_read(self, table: Table) -> None:
        records = DynamoDBProfileRecords(table)
        records.add(version(1, like=PLAIN))
        found: Any = table.item({"PK": "PROFILE#office", "SK": "VERSION#000001"})
        described = json.loads(found["description"])
        for part in ("parser", "chunking"):
            del described["ingestion"][part]
        for part in (
            "guardrail",
            "reranker",
            "search_type",
            "least_score",
            "temperature",
            "longest_answer",
            "nothing_found",
        ):
            del described["answering"][part]
        table.put({**found, "description": json.dumps(described)}, values={}, subject="a version")
        assert records.find(NAME, 1) == version(1, like=PLAIN)
