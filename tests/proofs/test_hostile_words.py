"""The names of documents stay words. A sample; `make prove` tries thousands."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.proofs import hostile_words, isolation_within
from tests.proofs.proof import Row
from tests.support.hostile_documents import SECRET, HostileDocuments
from tests.support.virtual_fleet import RARE_TICKS, virtual_fleet


@pytest.fixture(params=["S3_VECTORS", "MANAGED"])
def hostile(request: pytest.FixtureRequest) -> Iterator[HostileDocuments]:
    with virtual_fleet(parameters=RARE_TICKS) as fleet:
        yield HostileDocuments(fleet, request.param)


def test_documents_names_are_listed_as_they_are_and_bring_nobody_elses_in(hostile: HostileDocuments) -> None:
    hostile.fail(["[draft] budget.txt"])  # the only one, which was none
    assert [document["uri"] for document in hostile.listed()] == [f"s3://{hostile.bucket}/[draft] budget.txt"]
    keys = [
        f"a, s3://{hostile.victims_bucket}/{SECRET}].pdf",
        f"a, s3://{hostile.victims_bucket}/{SECRET}",
        "[draft] budget.txt",
        "x [v1].pdf",
        "[重要] 規程.pdf",
        "ends in a space ",
        "x] kms b.pdf",
        "line\nfeed.pdf",
        "one.exe",
        f"one.exe, s3://{hostile.bucket}/two.exe",
        "two.exe",
    ]
    reported = hostile.fail(keys)
    expected = {f"s3://{hostile.bucket}/{key}" for key in keys}
    assert {document["uri"] for document in hostile.listed()} == expected
    assert {document["uri"] for document in reported["Detail"]["documents"]} == expected
    for document in hostile.listed():
        assert re.fullmatch(
            r"Encountered error: Ignored \d+ files? as (no text content found|their file format was not supported)",
            document["reason"],
        )
    retry = hostile.retried()
    assert retry["stopped"] == ""
    assert {document["uri"] for document in hostile.listed()} == expected
    assert not list(hostile.foreign())


def test_a_forged_event_brings_nobody_elses_document_in(hostile: HostileDocuments) -> None:
    hostile.fail(["scan.exe"])
    foreign = f"s3://{hostile.victims_bucket}/{SECRET}"
    for forged in (
        {"failure_reasons": [{"text": "no text", "documents": [foreign]}]},
        {"failure_reasons": [{"text": "no text", "names": f"[Files: {foreign}]."}]},
        {
            "failure_reasons": [],
            "knowledge_base_id": hostile.lives.knowledge_base("beta")["knowledgeBaseId"],
            "data_source_id": hostile.lives.data_source("beta")["dataSourceId"],
        },
    ):
        hostile.lives.collect("acme", **forged)
        assert [document["uri"] for document in hostile.listed()] == [f"s3://{hostile.bucket}/scan.exe"]
    hostile.retried()
    assert not list(hostile.foreign())


def test_a_sample_of_hostile_words_stays_words() -> None:
    with virtual_fleet(parameters=RARE_TICKS) as fleet:
        row = hostile_words.tried(HostileDocuments(fleet, "S3_VECTORS"), keys=30, texts=5, at_once=30)
    assert (row.runs, row.failures) == (35, [])


def test_a_sample_of_attempts_from_within_reaches_nothing() -> None:
    row = Row("a sample")
    isolation_within.attempt_all(row, "MANAGED", parts=50)
    assert not row.failures
    assert row.runs == 12 + len(isolation_within.DOCUMENT_ATTEMPTS)
