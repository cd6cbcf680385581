"""What every list of failing documents does, and every memory of a retry."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from kbfleet.adapters.dynamodb.documents import DynamoDBDocumentRetries, DynamoDBFailedDocuments
from kbfleet.adapters.dynamodb.table import Table
from kbfleet.adapters.dynamodb.tenants import DynamoDBTenantRecords
from kbfleet.domain.document_examination import DocumentFault, DocumentFinding, Examination, FileKind
from kbfleet.domain.errors import ConcurrentUpdate, IsolationBreached
from kbfleet.domain.failed_documents import DocumentRetry, FailedDocument, FailureStatus, SentDocument
from kbfleet.domain.names import Life
from kbfleet.ports import DocumentRetries, FailedDocuments
from tests.support.clock import START
from tests.support.fakes import InMemoryDocumentRetries, InMemoryFailedDocuments
from tests.support.samples import ACME, NAMES, SAKURA, uri_of

DOCUMENT = FailedDocument(
    uri_of(f"{'深' * 341}/議事録, 第2版.pdf"),  # a key of more bytes than a sort key takes
    "no text",
    START,
    START + timedelta(hours=1, microseconds=5),
    times=4,
    status=FailureStatus.SET_ASIDE,
    revision="0f343b0931126a20f133d67c2b018a3b",
)
RETRY = DocumentRetry(
    ACME, "now", START, "ab", (SentDocument(DOCUMENT.uri, START),), fixed=1, failed=2, unanswered=3, stopped="why"
)


def numbered(number: int) -> FailedDocument:
    return replace(DOCUMENT, uri=uri_of(str(number)))


class FailedDocumentsSuite:
    @pytest.fixture
    def documents(self) -> FailedDocuments:
        raise NotImplementedError

    def test_a_document_comes_back_as_it_was_stored(self, documents: FailedDocuments) -> None:
        assert documents.find(Life(ACME), DOCUMENT.uri) is None
        stored = documents.save(Life(ACME), DOCUMENT)
        assert stored == replace(DOCUMENT, version=1)
        assert documents.find(Life(ACME), DOCUMENT.uri) == stored
        assert list(documents.all(Life(ACME))) == [stored]

    def test_of_many_names_those_that_fail_are_found(self, documents: FailedDocuments) -> None:
        stored = [documents.save(Life(ACME), numbered(number)) for number in range(3)]
        documents.save(Life(ACME, 2), replace(DOCUMENT, uri=f"s3://{NAMES.bucket(Life(ACME, 2))}/9"))
        wanted = [uri_of(str(number)) for number in range(120)]
        assert documents.those_of(Life(ACME), [*wanted, wanted[0]]) == {each.uri: each for each in stored}
        assert documents.those_of(Life(ACME), []) == {}

    @pytest.mark.parametrize(
        "examination",
        [
            Examination("1", DocumentFinding(DocumentFault.TOO_LARGE, size=60 * 1024**2, most=50 * 1024**2)),
            Examination("1", DocumentFinding(DocumentFault.OTHER_CONTENT, certain=False, looks_like=FileKind.PDF)),
            Examination("1", looked_into=False),
        ],
    )
    def test_so_does_what_was_seen_of_it(self, documents: FailedDocuments, examination: Examination) -> None:
        stored = documents.save(Life(ACME), replace(DOCUMENT, examination=examination))
        assert stored.examination == examination
        assert documents.find(Life(ACME), DOCUMENT.uri) == stored

    def test_who_read_an_older_one_cannot_store_or_remove_it(self, documents: FailedDocuments) -> None:
        first = documents.save(Life(ACME), DOCUMENT)
        with pytest.raises(ConcurrentUpdate):
            documents.save(Life(ACME), DOCUMENT)
        documents.save(Life(ACME), first)
        with pytest.raises(ConcurrentUpdate):
            documents.save(Life(ACME), first)
        with pytest.raises(ConcurrentUpdate):
            documents.remove(Life(ACME), first)

    def test_one_that_was_removed_is_gone_and_stays_so(self, documents: FailedDocuments) -> None:
        stored = documents.save(Life(ACME), DOCUMENT)
        documents.remove(Life(ACME), stored)
        documents.remove(Life(ACME), stored)
        assert list(documents.all(Life(ACME))) == []
        with pytest.raises(ConcurrentUpdate):
            documents.save(Life(ACME), stored)

    def test_lives_are_kept_apart_and_take_only_what_is_in_their_buckets(self, documents: FailedDocuments) -> None:
        again = Life(ACME, 2)
        with pytest.raises(IsolationBreached):
            documents.save(again, DOCUMENT)
        documents.save(Life(ACME), DOCUMENT)
        theirs = [replace(DOCUMENT, uri=f"s3://{NAMES.bucket(again)}/{number}.md") for number in range(3)]
        stored = [documents.save(again, document) for document in theirs]
        assert len(list(documents.all(Life(ACME)))) == 1
        first = documents.page(again, 2, None)
        rest = documents.page(again, 2, first.following)
        assert sorted(each.uri for each in (*first.documents, *rest.documents)) == [each.uri for each in theirs]
        assert rest.following is None
        documents.remove(again, stored[0])
        assert documents.find(again, stored[0].uri) is None
        assert documents.find(again, DOCUMENT.uri) is None

    def test_tenants_are_kept_apart(self, documents: FailedDocuments) -> None:
        documents.save(Life(ACME), DOCUMENT)
        assert list(documents.all(Life(SAKURA))) == []
        assert documents.find(Life(SAKURA), DOCUMENT.uri) is None

    @pytest.mark.parametrize("number", [0, 1, 9, 10, 11, 25])
    def test_pages_have_each_document_once(self, documents: FailedDocuments, number: int) -> None:
        stored = {documents.save(Life(ACME), numbered(each)).uri for each in range(number)}
        seen: list[str] = []
        after: str | None = None
        while True:
            page = documents.page(Life(ACME), 10, after)
            assert len(page.documents) <= 10
            seen += [document.uri for document in page.documents]
            after = page.following
            if after is None:
                break
        assert sorted(seen) == sorted(stored)

    def test_a_page_goes_on_where_a_document_was_that_is_gone(self, documents: FailedDocuments) -> None:
        for each in range(4):
            documents.save(Life(ACME), numbered(each))
        first = documents.page(Life(ACME), 2, None)
        for document in first.documents:
            documents.remove(Life(ACME), document)
        second = documents.page(Life(ACME), 2, first.following)
        assert len(second.documents) == 2
        assert second.following is None


class TestInMemoryFailedDocuments(FailedDocumentsSuite):
    @pytest.fixture
    def documents(self) -> FailedDocuments:
        return InMemoryFailedDocuments()


class TestDynamoDBFailedDocuments(FailedDocumentsSuite):
    @pytest.fixture
    def documents(self, table: Table) -> FailedDocuments:
        return DynamoDBFailedDocuments(table, NAMES)

    def test_one_of_before_documents_were_looked_at_is_read(self, table: Table, documents: FailedDocuments) -> None:
        documents.save(Life(ACME), DOCUMENT)
        (item,) = table.client.scan(TableName=table.name)["Items"]
        assert "examination" not in item
        found = documents.find(Life(ACME), DOCUMENT.uri)
        assert found is not None
        assert (found.examination, found.finding) == (None, None)

    def test_nothing_expires(self, table: Table, documents: FailedDocuments) -> None:
        documents.save(Life(ACME), DOCUMENT)
        assert "expires_at" not in table.client.scan(TableName=table.name)["Items"][0]

    def test_offboarding_deletes_all_of_it(self, table: Table, documents: FailedDocuments) -> None:
        documents.save(Life(ACME), DOCUMENT)
        DynamoDBDocumentRetries(table).save(RETRY)
        records = DynamoDBTenantRecords(table)
        records.erase(Life(ACME), keep_usage=True)
        assert records.erased(Life(ACME), keep_usage=True)
        assert table.client.scan(TableName=table.name)["Count"] == 0


class DocumentRetriesSuite:
    @pytest.fixture
    def retries(self) -> DocumentRetries:
        raise NotImplementedError

    def test_a_retry_comes_back_as_it_was_stored(self, retries: DocumentRetries) -> None:
        assert retries.find(Life(ACME)) is None
        stored = retries.save(RETRY)
        assert stored == replace(RETRY, version=1)
        assert retries.find(Life(ACME)) == stored
        assert retries.find(Life(SAKURA)) is None

    def test_who_read_an_older_one_cannot_store_it(self, retries: DocumentRetries) -> None:
        first = retries.save(RETRY)
        retries.save(first)
        for older in (RETRY, first):
            with pytest.raises(ConcurrentUpdate):
                retries.save(older)

    def test_what_was_deleted_does_not_come_back(self, retries: DocumentRetries) -> None:
        with pytest.raises(ConcurrentUpdate):
            retries.save(replace(RETRY, version=3))


class TestInMemoryDocumentRetries(DocumentRetriesSuite):
    @pytest.fixture
    def retries(self) -> DocumentRetries:
        return InMemoryDocumentRetries()


class TestDynamoDBDocumentRetries(DocumentRetriesSuite):
    @pytest.fixture
    def retries(self, table: Table) -> DocumentRetries:
        return DynamoDBDocumentRetries(table)
