"""Single documents of a data source, by the real adapters on the emulator and on moto's S3."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from kbfleet.adapters import s3
from kbfleet.adapters.bedrock_documents import BedrockDocuments
from kbfleet.adapters.dynamodb.table import Table
from kbfleet.adapters.s3 import S3BucketContents
from kbfleet.adapters.sqs_retry_runs import SqsRetryRuns
from kbfleet.contracts import parse_json
from kbfleet.contracts.documents import RetryRunRequest
from kbfleet.domain.document_names import is_in
from kbfleet.domain.errors import IsolationBreached, RequestRefused, ResourceMissing
from kbfleet.domain.failed_documents import BucketDocument, DocumentRetry, IngestedStatus
from kbfleet.domain.knowledge_base import client_token
from kbfleet.domain.names import DataSourceReference, Life
from tests.support.aws import client as aws_client
from tests.support.clock import START
from tests.support.knowledge_base_worlds import BUCKET, Emulated
from tests.support.samples import ACCOUNT, ACME, NAMES, SAKURA

SENTENCE = "A tent is rented for three days at least. "


@pytest.fixture
def world(aws: None) -> Emulated:
    return Emulated()


@pytest.fixture
def source(world: Emulated) -> DataSourceReference:
    return world.data_source()


@pytest.fixture
def documents(world: Emulated) -> BedrockDocuments:
    return BedrockDocuments(world.agent)


@pytest.fixture
def contents(world: Emulated) -> S3BucketContents:
    return S3BucketContents(world.aws.s3, account=ACCOUNT)


def put(world: Emulated, key: str, content: str = SENTENCE) -> str:
    world.aws.s3.put_object(Bucket=BUCKET, Key=key, Body=content.encode())
    return f"s3://{BUCKET}/{key}"


class TestWhatBedrockKnows:
    def test_what_it_does_not_know_is_not_found(self, documents: BedrockDocuments, source: DataSourceReference) -> None:
        (found,) = documents.look_up(source, BUCKET, [f"s3://{BUCKET}/unknown.md"])
        assert found.status is IngestedStatus.NOT_FOUND
        assert documents.look_up(source, BUCKET, []) == []

    def test_one_that_is_not_in_s3_is_listed_and_is_in_no_bucket(self, source: DataSourceReference) -> None:
        class Lists:
            def list_knowledge_base_documents(self, **_: object) -> dict[str, object]:
                identifier = {"dataSourceType": "CUSTOM", "custom": {"id": "secret"}}
                return {"documentDetails": [{"identifier": identifier, "status": "INDEXED"}]}

        (page,) = BedrockDocuments(Lists()).pages(source)  # type: ignore[arg-type]  # all that it calls
        assert [is_in(BUCKET, document.uri) for document in page.documents] == [False]

    def test_more_than_ten_are_looked_up_each_with_its_status_and_reason(
        self, world: Emulated, documents: BedrockDocuments, source: DataSourceReference
    ) -> None:
        uris = [put(world, f"{number}.md") for number in range(23)]
        world.aws.emulator.faults.add({"effect": "documents_fail", "keys": ["7.md"]})
        world.ended(source, world.start(source))
        found = {document.uri: document for document in documents.look_up(source, BUCKET, uris)}
        assert set(found) == set(uris)
        failed = found.pop(uris[7])
        assert failed.status is IngestedStatus.FAILED
        assert "internal error" in failed.reason
        assert failed.updated_at is not None
        assert {document.status for document in found.values()} == {IngestedStatus.INDEXED}

    def test_one_that_it_will_not_look_up_does_not_hide_the_others(
        self, world: Emulated, documents: BedrockDocuments, source: DataSourceReference
    ) -> None:
        uris = [put(world, f"{number}.md") for number in range(7)]
        world.ended(source, world.start(source))
        found = documents.look_up(source, BUCKET, [*uris[:4], f"s3://{BUCKET}/{'long' * 50}.md", *uris[4:]])
        assert [document.status for document in found].count(IngestedStatus.INDEXED) == 7

    def test_ten_are_looked_at_by_one_request_which_is_refused_as_a_whole(
        self, world: Emulated, documents: BedrockDocuments, source: DataSourceReference
    ) -> None:
        uris = [put(world, f"{number}.md") for number in range(9)]
        world.ended(source, world.start(source))
        calls: list[str] = []
        world.agent.meta.events.register("before-call.bedrock-agent", lambda model, **_: calls.append(model.name))
        found = documents.look_once(source, BUCKET, [*uris, f"s3://{BUCKET}/unknown.md"])
        assert found is not None
        assert [each.status for each in found] == [IngestedStatus.INDEXED] * 9 + [IngestedStatus.NOT_FOUND]
        assert documents.look_once(source, BUCKET, [uris[0], f"s3://{BUCKET}/{'long' * 50}.md"]) is None
        assert calls == ["GetKnowledgeBaseDocuments"] * 2
        with pytest.raises(IsolationBreached):
            documents.look_once(source, BUCKET, [f"s3://{NAMES.bucket(Life(SAKURA))}/a.md"])

    def test_all_of_them_come_in_pages(
        self, world: Emulated, documents: BedrockDocuments, source: DataSourceReference
    ) -> None:
        uris = [put(world, f"{number}.md") for number in range(105)]
        world.ended(source, world.start(source))
        pages = list(documents.pages(source))
        assert [len(page.documents) for page in pages] == [100, 5]
        assert sorted(document.uri for page in pages for document in page.documents) == sorted(uris)
        assert pages[-1].following is None
        assert list(documents.pages(source, pages[0].following)) == pages[1:]
        with pytest.raises(RequestRefused):
            list(documents.pages(source, "a place that never was"))

    @pytest.mark.parametrize("key", ["line\nfeed.md", "long" * 60 + ".md", "ends in a space ", "[draft].md"])
    def test_a_document_that_no_request_may_name_is_in_the_list(
        self, world: Emulated, documents: BedrockDocuments, source: DataSourceReference, key: str
    ) -> None:
        uri = put(world, key)
        world.ended(source, world.start(source))
        (page,) = documents.pages(source)
        (document,) = page.documents
        assert document.uri == uri

    def test_a_document_of_another_bucket_is_refused_where_it_is_used(
        self, documents: BedrockDocuments, contents: S3BucketContents, source: DataSourceReference
    ) -> None:
        foreign = f"s3://{NAMES.bucket(Life(SAKURA))}/a.md"
        with pytest.raises(IsolationBreached):
            documents.look_up(source, BUCKET, [foreign])
        for document in (BucketDocument(foreign, "1"), BucketDocument(f"s3://{BUCKET}/a.md", "1", foreign)):
            with pytest.raises(IsolationBreached):
                documents.ingest(source, BUCKET, [document], client_token=client_token("foreign"))
        for look in (contents.find, contents.describe):
            with pytest.raises(IsolationBreached):
                look(BUCKET, foreign)

    def test_a_data_source_that_is_gone_is_missing(self, documents: BedrockDocuments) -> None:
        gone = DataSourceReference("KBUNKNOWN0", "DSUNKNOWN0")
        with pytest.raises(ResourceMissing):
            documents.look_up(gone, BUCKET, [f"s3://{BUCKET}/a.md"])
        with pytest.raises(ResourceMissing):
            list(documents.pages(gone))


class TestIngestingThem:
    def test_a_document_that_failed_is_indexed_with_the_attributes_of_the_file_beside_it(
        self, world: Emulated, documents: BedrockDocuments, contents: S3BucketContents, source: DataSourceReference
    ) -> None:
        uri = put(world, "terms.md")
        put(world, "terms.md.metadata.json", json.dumps({"metadataAttributes": {"season": "winter"}}))
        world.aws.emulator.faults.add({"effect": "documents_fail", "keys": ["terms.md"], "count": 1})
        world.ended(source, world.start(source))
        found = contents.find(BUCKET, uri)
        assert found is not None
        (answer,) = documents.ingest(source, BUCKET, [found], client_token=client_token("first try"))
        assert answer.status is IngestedStatus.STARTING
        assert answer.updated_at is not None
        world.advance(60)
        (after,) = documents.look_up(source, BUCKET, [uri])
        assert after.status is IngestedStatus.INDEXED
        assert after.updated_at is not None
        assert after.updated_at > answer.updated_at
        runtime = world.aws.client("bedrock-agent-runtime")
        passages = runtime.retrieve(knowledgeBaseId=source.knowledge_base_id, retrievalQuery={"text": "tent"})
        assert passages["retrievalResults"][0]["metadata"]["season"] == "winter"
        # The next sync finds nothing to do: it was given the same objects.
        job = world.ended(source, world.start(source, "second"))
        assert (job.statistics.new, job.statistics.modified, job.statistics.metadata_modified) == (0, 0, 0)

    def test_more_than_ten_are_refused(self, documents: BedrockDocuments, source: DataSourceReference) -> None:
        many = [BucketDocument(f"s3://{BUCKET}/{number}.md", "1") for number in range(11)]
        with pytest.raises(RequestRefused):
            documents.ingest(source, BUCKET, many, client_token=client_token("eleven"))


class TestWhatIsInTheBucket:
    def test_a_document_has_another_revision_whenever_it_or_the_file_beside_it_is_another_one(
        self, world: Emulated, contents: S3BucketContents
    ) -> None:
        revisions: list[str] = []
        uri = put(world, "議事録, 第2版.pdf")
        for key, content in (
            ("議事録, 第2版.pdf", "one"),
            ("議事録, 第2版.pdf", "two"),
            ("議事録, 第2版.pdf.metadata.json", "{}"),
            ("議事録, 第2版.pdf.metadata.json", "{ }"),
        ):
            put(world, key, content)
            found = contents.find(BUCKET, uri)
            assert found is not None
            assert found.metadata_uri == (f"{uri}.metadata.json" if len(revisions) > 1 else None)
            revisions.append(found.revision)
        assert len(set(revisions)) == 4

    def test_one_that_is_gone_is_not_found_though_others_begin_like_it(
        self, world: Emulated, contents: S3BucketContents
    ) -> None:
        put(world, "terms.md-draft")
        assert contents.find(BUCKET, f"s3://{BUCKET}/terms.md") is None
        assert contents.find("no-such-bucket-of-ours", "s3://no-such-bucket-of-ours/terms.md") is None

    def test_keys_are_found_among_many_that_begin_like_them(
        self, world: Emulated, contents: S3BucketContents, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(s3, "KEYS_A_PAGE", 3)
        for key in ("a", *(f"a{number}" for number in range(9)), "a]b"):
            put(world, key)
        assert set(contents.present(BUCKET, ["a", "a]", "a]b"])) == {"a", "a]b"}
        monkeypatch.setattr(s3, "LISTINGS", 1)
        assert set(contents.present(BUCKET, ["a", "a]", "a]b"])) == set()  # nothing is known of what is not looked at
        assert set(contents.present(BUCKET, ["b"])) == set()
        assert set(contents.present("no-such-bucket-of-ours", ["a"])) == set()


def test_each_step_of_a_retry_comes_once_and_says_which_it_is(table: Table) -> None:
    sqs = aws_client("sqs")
    attributes = {"FifoQueue": "true"}
    url = sqs.create_queue(QueueName="retries.fifo", Attributes=attributes)["QueueUrl"]
    runs = SqsRetryRuns(sqs, queue_url=url)
    for version in (1, 1, 2, 1):
        runs.request(DocumentRetry(ACME, "now", START + timedelta(hours=1), version=version))
    received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert [parse_json(RetryRunRequest, message["Body"]) for message in received] == [
        RetryRunRequest(tenant_id=ACME, version=1),
        RetryRunRequest(tenant_id=ACME, version=2),
    ]


def test_a_status_that_nobody_knew_of_concludes_nothing() -> None:
    class Agent:
        def get_knowledge_base_documents(self, **_: object) -> dict[str, object]:
            identifier = {"dataSourceType": "S3", "s3": {"uri": f"s3://{BUCKET}/a.md"}}
            return {"documentDetails": [{"identifier": identifier, "status": "BRAND_NEW"}]}

    source = DataSourceReference("KB00000001", "DS00000002")
    (found,) = BedrockDocuments(Agent()).look_up(source, BUCKET, [f"s3://{BUCKET}/a.md"])  # type: ignore[arg-type]  # no more of it is called
    assert (found.status, found.status.failing) == (IngestedStatus.UNKNOWN, False)
