"""What is said of each document, and what never is: a status that nobody knows."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbfleet.domain.deletions import AnsweredFrom
from kbfleet.domain.document_links import presentation
from kbfleet.domain.document_names import MAX_KEY_BYTES, document_id, key_of
from kbfleet.domain.document_pages import MAX_TOKEN_LENGTH, DocumentList, ListPlace
from kbfleet.domain.document_status import (
    BucketEntry,
    DocumentState,
    DocumentStatus,
    IndexState,
    KnownFrom,
    after_deletion,
    by_bedrock,
    by_ledger,
)
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.failed_documents import FailedDocument, IngestedDocument, IngestedStatus
from kbfleet.domain.ingestion_job import JobStatus, Outcome
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.sync import RunningJob, Sync, SyncResult
from kbfleet.openapi.operations import OPERATIONS
from tests.support.clock import START
from tests.support.samples import ACME, SAKURA

SOURCE = "DS00000001"
READ_FROM, READ_UNTIL = START, START + timedelta(minutes=5)
RESULT = SyncResult(
    Outcome.SUCCEEDED, 1, READ_UNTIL, "JOB0000001", data_source_id=SOURCE, started_at=READ_FROM, documents=9
)
SYNCED = Sync(
    ACME,
    requested_generation=1,
    synced_generation=1,
    synced_at=READ_UNTIL,
    synced_data_source_id=SOURCE,
    result=RESULT,
    answered_from=AnsweredFrom(SOURCE, 9, READ_FROM, READ_UNTIL),
    documents_left_out=0,
    left_out_as_of=READ_UNTIL,
    left_out_whole=True,
)
NOT_COUNTED = replace(SYNCED, documents_left_out=None, uncounted_since=READ_UNTIL)
RUNNING = RunningJob("JOB0000002", 2, JobStatus.IN_PROGRESS, READ_UNTIL + timedelta(hours=1))


def entry(at: datetime, *, deleted: bool = False, revision: str = "1") -> BucketEntry:
    return BucketEntry("a.md", at, at + timedelta(seconds=2), 10, None, revision, deleted)


def failure(revision: str | None = "1") -> FailedDocument:
    return FailedDocument("s3://b/a.md", "no text", READ_UNTIL, READ_UNTIL, revision=revision)


BEFORE, WITHIN, LATER = (
    READ_FROM - timedelta(hours=1),
    READ_FROM + timedelta(minutes=1),
    READ_UNTIL + timedelta(hours=2),
)
STILL_LATER = LATER + timedelta(hours=1)


def ledgers(
    at: datetime, sync: Sync = SYNCED, found: FailedDocument | None = None, *, deleted: bool = False
) -> tuple[str, bool]:
    state, open_ = by_ledger(entry(at, deleted=deleted), found, IndexState(sync, SOURCE))
    return state.status, open_


class TestByTheLedger:
    def test_what_a_job_that_left_nothing_out_has_read_is_answered_from(self) -> None:
        state, open_ = by_ledger(entry(BEFORE), None, IndexState(SYNCED, SOURCE))
        assert state == DocumentState(DocumentStatus.ANSWERED_FROM, READ_UNTIL, "JOB0000001", KnownFrom.LEDGER)
        assert not open_

    @pytest.mark.parametrize(
        ("sync", "source"),
        [
            (NOT_COUNTED, SOURCE),
            (replace(SYNCED, answered_from=None), SOURCE),
            (SYNCED, "DS00000002"),  # it was made anew, and has read nothing
            (SYNCED, None),
            (replace(SYNCED, synced_data_source_id=None), SOURCE),  # nothing it has read counts
        ],
        ids=["not counted", "not kept", "another data source", "none", "distrusted"],
    )
    def test_where_it_is_not_known_nothing_is_said(self, sync: Sync, source: str | None) -> None:
        state, open_ = by_ledger(entry(BEFORE), None, IndexState(sync, source))
        assert (state.status, state.known_from, open_) == (DocumentStatus.UNKNOWN, None, True)

    def test_what_was_changed_while_the_job_read_may_be_in_it(self) -> None:
        assert ledgers(WITHIN) == ("UNKNOWN", True)

    def test_what_came_later_is_not_seen_yet_unless_bedrock_was_given_it(self) -> None:
        assert ledgers(LATER) == ("NOT_SEEN_YET", True)

    def test_before_the_first_job_nothing_is_seen(self) -> None:
        assert ledgers(BEFORE, Sync(ACME)) == ("NOT_SEEN_YET", True)

    def test_after_a_first_job_that_failed_nothing_is_known(self) -> None:
        failed = replace(RESULT, outcome=Outcome.FAILED)
        assert ledgers(BEFORE, Sync(ACME, result=failed)) == ("UNKNOWN", True)

    def test_what_the_running_job_reads_is_being_indexed(self) -> None:
        running = replace(SYNCED, job=replace(RUNNING, started_at=STILL_LATER))
        state, open_ = by_ledger(entry(LATER), None, IndexState(running, SOURCE))
        assert state == DocumentState(DocumentStatus.BEING_INDEXED, STILL_LATER, "JOB0000002", KnownFrom.LEDGER)
        assert not open_
        # It began before the upload: it may come to it, and may not.
        assert ledgers(STILL_LATER, running) == ("NOT_SEEN_YET", True)
        assert ledgers(BEFORE, running) == ("ANSWERED_FROM", False)

    def test_one_that_fails_is_left_out_until_it_is_another(self) -> None:
        sync = replace(SYNCED, documents_left_out=1)
        state, _ = by_ledger(entry(BEFORE), failure(), IndexState(sync, SOURCE))
        assert (state.status, state.since, state.reason) == (DocumentStatus.LEFT_OUT, READ_UNTIL, "no text")
        assert ledgers(BEFORE, sync, failure(None)) == ("LEFT_OUT", False)
        assert ledgers(LATER, sync, failure("0")) == ("NOT_SEEN_YET", True)
        assert ledgers(BEFORE, sync, failure("0")) == ("UNKNOWN", True)

    def test_what_was_deleted_before_a_job_is_gone_and_else_bedrock_is_asked(self) -> None:
        assert ledgers(BEFORE, deleted=True) == ("GONE", False)
        assert ledgers(WITHIN, deleted=True) == ("UNKNOWN", True)
        assert ledgers(LATER, deleted=True) == ("UNKNOWN", True)
        assert ledgers(BEFORE, Sync(ACME), deleted=True) == ("UNKNOWN", True)


def said(
    status: IngestedStatus,
    at: datetime | None,
    changed: datetime = LATER,
    sync: Sync = SYNCED,
    *,
    deleted: bool = False,
    first: bool = False,
) -> str:
    index, found = IndexState(sync, SOURCE), replace(entry(changed, deleted=deleted), first=first)
    ingested = IngestedDocument("s3://b/a.md", status, "no text", at)
    return by_bedrock(found, ingested, index, by_ledger(found, None, index)[0]).status


class TestByBedrock:
    @pytest.mark.parametrize(
        ("status", "at", "expected"),
        [
            (IngestedStatus.INDEXED, STILL_LATER, "ANSWERED_FROM"),
            (IngestedStatus.INDEXED, None, "ANSWERED_FROM"),
            (IngestedStatus.INDEXED, BEFORE, "NOT_SEEN_YET"),
            (IngestedStatus.FAILED, STILL_LATER, "LEFT_OUT"),
            (IngestedStatus.PARTIALLY_INDEXED, STILL_LATER, "LEFT_OUT"),
            (IngestedStatus.IGNORED, BEFORE, "NOT_SEEN_YET"),
            (IngestedStatus.IN_PROGRESS, BEFORE, "BEING_INDEXED"),
            (IngestedStatus.NOT_FOUND, None, "NOT_SEEN_YET"),
            (IngestedStatus.UNKNOWN, None, "NOT_SEEN_YET"),
        ],
    )
    def test_what_it_says_is_about_the_version_that_it_has_read(
        self, status: IngestedStatus, at: datetime | None, expected: str
    ) -> None:
        assert said(status, at) == expected

    def test_what_a_job_has_read_since_is_current_whatever_its_date(self) -> None:
        assert said(IngestedStatus.INDEXED, BEFORE - timedelta(days=1), BEFORE, NOT_COUNTED) == "ANSWERED_FROM"

    @pytest.mark.parametrize("status", [IngestedStatus.INDEXED, IngestedStatus.FAILED])
    def test_a_job_that_had_begun_before_the_change_may_have_read_the_version_before(
        self, status: IngestedStatus
    ) -> None:
        assert said(status, READ_UNTIL, WITHIN) == "UNKNOWN"
        running = replace(SYNCED, job=replace(RUNNING, started_at=LATER - timedelta(minutes=1)))
        assert said(status, LATER + timedelta(minutes=1), LATER, running) == "NOT_SEEN_YET"
        # Given to Bedrock by itself, when no job was at work.
        assert said(status, STILL_LATER, WITHIN) in {"ANSWERED_FROM", "LEFT_OUT"}

    @pytest.mark.parametrize("at", [READ_UNTIL, STILL_LATER])
    def test_what_is_the_first_of_its_key_is_meant_whenever_the_job_began(self, at: datetime) -> None:
        assert said(IngestedStatus.INDEXED, at, WITHIN, first=True) == "ANSWERED_FROM"

    def test_that_it_does_not_know_what_was_read_settles_nothing(self) -> None:
        assert said(IngestedStatus.NOT_FOUND, None, BEFORE, NOT_COUNTED) == "UNKNOWN"

    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            (IngestedStatus.INDEXED, "DELETED"),
            (IngestedStatus.PARTIALLY_INDEXED, "DELETED"),
            (IngestedStatus.DELETING, "DELETED"),
            (IngestedStatus.NOT_FOUND, "GONE"),
            (IngestedStatus.UNKNOWN, "UNKNOWN"),
        ],
    )
    def test_what_was_deleted_is_answered_from_for_as_long_as_it_knows_it(
        self, status: IngestedStatus, expected: str
    ) -> None:
        assert said(status, BEFORE, deleted=True) == expected
        assert after_deletion(IngestedDocument("s3://b/a.md", status)).status == expected


KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=MAX_KEY_BYTES).filter(
    lambda key: len(key.encode()) <= MAX_KEY_BYTES
)
HOSTILE_KEYS = [
    "a.md",
    "../a.md",
    "/a.md",
    "a//b.md",
    "./.",
    "%2F%2e%2e",
    "a b+c&d=e?f#g.md",
    "\"'`$(id)<>[]{}|\\^~.md",
    "\x00\n\r\x1b]52;c;eA==\x07.md",
    "ガ.md",
    unicodedata.normalize("NFD", "ガ.md"),
    "x" * 1_024,
    "規" * 341,
]


class TestTheIdOfADocument:
    @given(KEYS)
    def test_it_is_of_one_key_and_needs_no_encoding_in_a_path(self, key: str) -> None:
        identity = document_id(key)
        assert key_of(identity) == key
        assert set(identity) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")

    def test_no_two_keys_have_one(self) -> None:
        assert len({document_id(key) for key in HOSTILE_KEYS}) == len(HOSTILE_KEYS)

    @pytest.mark.parametrize(
        "text",
        ["", "=", "YQ==", "YR", "Y", "a/b", "a+b", "..", "%2e", "_w", "gICA", "YQ\n", document_id("x" * 1_024) + "eA"],
    )
    def test_nothing_else_is_one(self, text: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            key_of(text)
        assert refused.value.field == "document"

    def test_no_other_resource_below_documents_can_be_one(self) -> None:
        begins = "/tenants/{tenant_id}/documents/"
        beside = {
            operation.path.removeprefix(begins).partition("/")[0]
            for operation in OPERATIONS
            if operation.path.startswith(begins)
        } - {"{document}"}
        assert beside == {"why", "retry"}
        for name in beside:
            with pytest.raises(InvalidInput):
                key_of(name)


class TestPlacesInAList:
    LIST = DocumentList(Life(ACME), None, "handbook/")

    @given(KEYS)
    def test_a_place_comes_back(self, key: str) -> None:
        place = self.LIST.first_place.behind(key)
        assert place is not None
        assert len(place.token) <= MAX_TOKEN_LENGTH
        assert self.LIST.place(place.token) == place

    @pytest.mark.parametrize(
        "other",
        [
            replace(LIST, of=Life(SAKURA)),
            replace(LIST, of=Life(TenantId("acme-2"))),
            replace(LIST, of=Life(ACME, 2)),
            replace(LIST, status=DocumentStatus.LEFT_OUT),
            replace(LIST, prefix="handbook"),
        ],
    )
    def test_it_is_of_no_other_list(self, other: DocumentList) -> None:
        token = replace(self.LIST.first_place, after="handbook/a.md").token
        with pytest.raises(InvalidInput) as refused:
            other.place(token)
        assert refused.value.field == "next_token"

    @pytest.mark.parametrize("change", [lambda token: token[:-1], lambda token: f"A{token[1:]}", lambda _: "x"])
    def test_what_somebody_has_changed_is_none(self, change: object) -> None:
        token = replace(self.LIST.first_place, after="handbook/a.md").token
        with pytest.raises(InvalidInput):
            self.LIST.place(change(token))  # type: ignore[operator]

    def test_a_spelling_that_there_is_not_is_none(self) -> None:
        with pytest.raises(InvalidInput):
            self.LIST.place(ListPlace(self.LIST, spelling=7, after="a").token)

    def test_names_that_look_like_the_prefix_are_listed_too(self) -> None:
        composed = DocumentList(Life(ACME), prefix="ガイド/")
        decomposed = unicodedata.normalize("NFD", "ガイド/")
        assert set(composed.spellings) >= {"ガイド/", decomposed}
        place: ListPlace | None = composed.first_place
        seen = []
        while place is not None:
            seen.append(place.prefix)
            place = place.behind(None)
        assert tuple(seen) == composed.spellings
        assert composed.has(f"{decomposed}a.md")

    @pytest.mark.parametrize("prefix", ["x" * 1_025, "規" * 342, "\ud800", "a\0"])
    def test_no_key_begins_with_what_cannot_be_in_one(self, prefix: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            DocumentList(Life(ACME), prefix=prefix)
        assert refused.value.field == "prefix"


@pytest.mark.parametrize("key", HOSTILE_KEYS)
def test_nothing_of_a_name_acts_in_a_header(key: str) -> None:
    disposition = presentation(key).disposition
    assert disposition.isascii()
    assert disposition.isprintable()
    assert '"' not in disposition
    assert disposition.count(";") == 1


@pytest.mark.parametrize(
    ("key", "kind", "content_type"),
    [
        ("a.PDF", "inline", "application/pdf"),
        ("a.md", "inline", "text/plain; charset=utf-8"),
        ("a.html", "attachment", None),
        ("a.svg", "attachment", None),
        ("a", "attachment", None),
    ],
)
def test_what_could_run_is_saved_and_not_shown(key: str, kind: str, content_type: str | None) -> None:
    shown = presentation(key)
    assert (shown.disposition.partition(";")[0], shown.content_type) == (kind, content_type)
