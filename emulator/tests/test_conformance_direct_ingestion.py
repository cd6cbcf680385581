"""What is known of documents ingested directly, shown of the emulator."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from bedrock_emulator import Quotas

fact = pytest.mark.fact

LEAVE = "Paid leave is twenty days a year."


def custom(identifier: str, text: str = LEAVE, **attributes: str) -> dict[str, Any]:
    """A document of a CUSTOM data source, its text in line."""
    inline = {"type": "TEXT", "textContent": {"data": text}}
    document: dict[str, Any] = {
        "content": {
            "dataSourceType": "CUSTOM",
            "custom": {
                "customDocumentIdentifier": {"id": identifier},
                "sourceType": "IN_LINE",
                "inlineContent": inline,
            },
        }
    }
    if attributes:
        values = [{"key": k, "value": {"type": "STRING", "stringValue": v}} for k, v in attributes.items()]
        document["metadata"] = {"type": "IN_LINE_ATTRIBUTE", "inlineAttributes": values}
    return document


def in_s3(key: str) -> dict[str, Any]:
    """A document of an S3 data source."""
    return {"content": {"dataSourceType": "S3", "s3": {"s3Location": {"uri": f"s3://documents/{key}"}}}}


def names_of(bench: Any, kind: str = "CUSTOM") -> dict[str, str]:
    """A knowledge base with a data source of a kind."""
    base = bench.knowledge_base()
    more = {"configuration": {"type": "CUSTOM"}} if kind == "CUSTOM" else {}
    return {"knowledgeBaseId": base, "dataSourceId": bench.data_source(base, **more)}


def status(bench: Any, names: dict[str, str], identifier: str) -> str:
    """The status that GetKnowledgeBaseDocuments answers for a CUSTOM document."""
    wanted = [{"dataSourceType": "CUSTOM", "custom": {"id": identifier}}]
    (found,) = bench.agent.get_knowledge_base_documents(**names, documentIdentifiers=wanted)["documentDetails"]
    return str(found["status"])


@fact(
    "IngestKnowledgeBaseDocuments answers 202 and STARTING; right after, GetKnowledgeBaseDocuments can say NOT_FOUND",
    "R",
)
def test_a_document_is_indexed_after_a_while(bench: Any) -> None:
    names = names_of(bench)
    answer = bench.agent.ingest_knowledge_base_documents(**names, documents=[custom("leave", team="hr")])
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert [detail["status"] for detail in answer["documentDetails"]] == ["STARTING"]
    assert status(bench, names, "leave") == "NOT_FOUND"
    bench.clock.advance(3)
    assert status(bench, names, "leave") == "IN_PROGRESS"
    bench.clock.advance(60)
    assert status(bench, names, "leave") == "INDEXED"
    (found,) = bench.retrieved(names["knowledgeBaseId"], "paid leave")
    assert found["location"] == {"type": "CUSTOM", "customDocumentLocation": {"id": "leave"}}
    assert found["metadata"]["team"] == "hr"


@fact("a document ingested again replaces itself", "D")
def test_a_document_ingested_again_replaces_itself(bench: Any) -> None:
    names = names_of(bench)
    for text in (LEAVE, "Paid leave is thirty days a year."):
        bench.agent.ingest_knowledge_base_documents(**names, documents=[custom("leave", text)])
        bench.clock.advance(60)
    (found,) = bench.retrieved(names["knowledgeBaseId"], "paid leave")
    assert "thirty" in found["content"]["text"]


@fact("DeleteKnowledgeBaseDocuments answers DELETING, then the document is NOT_FOUND and no longer retrieved", "M")
def test_a_deleted_document_is_no_longer_found(bench: Any) -> None:
    names = names_of(bench)
    bench.agent.ingest_knowledge_base_documents(**names, documents=[custom("leave")])
    bench.clock.advance(60)
    wanted = [{"dataSourceType": "CUSTOM", "custom": {"id": identifier}} for identifier in ("leave", "unknown")]
    answer = bench.agent.delete_knowledge_base_documents(**names, documentIdentifiers=wanted)
    assert [detail["status"] for detail in answer["documentDetails"]] == ["DELETING", "NOT_FOUND"]
    bench.clock.advance(60)
    assert status(bench, names, "leave") == "NOT_FOUND"
    assert bench.retrieved(names["knowledgeBaseId"], "paid leave") == []


@fact("the dataSourceType of each document must match the type of the data source", "M")
def test_a_document_must_suit_its_data_source(bench: Any) -> None:
    names = names_of(bench, "S3")
    with pytest.raises(ClientError, match="must match the type of the data source"):
        bench.agent.ingest_knowledge_base_documents(**names, documents=[custom("leave")])


@fact("10 documents a call in the model; ListKnowledgeBaseDocuments maxResults > 100: 400", "R")
def test_calls_have_limits(bench: Any) -> None:
    names = names_of(bench)
    with pytest.raises(ClientError, match="at 'documents' failed to satisfy constraint: Member must have length less"):
        bench.agent.ingest_knowledge_base_documents(**names, documents=[custom(str(n)) for n in range(11)])
    with pytest.raises(ClientError, match="at 'maxResults' failed to satisfy constraint") as caught:
        bench.agent.list_knowledge_base_documents(**names, maxResults=101)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@fact(
    "more than 10 Ingest and DeleteKnowledgeBaseDocuments requests at work in the account: 400 `…can't exceed (10)`",
    "R",
)
def test_only_so_many_calls_are_worked_on_at_once(workbench_of: Any) -> None:
    bench = workbench_of(quotas=Quotas(requests_per_second={}, direct_ingestion_calls=2))
    names = names_of(bench)
    for number in range(2):
        bench.agent.ingest_knowledge_base_documents(**names, documents=[custom(str(number))])
    with pytest.raises(ClientError, match=r"ValidationException.*can't exceed \(2\)"):
        bench.agent.ingest_knowledge_base_documents(**names, documents=[custom("one more")])
    bench.clock.advance(60)
    assert bench.agent.ingest_knowledge_base_documents(**names, documents=[custom("one more")])
    assert Quotas().direct_ingestion_calls == 10


@fact("directly ingested S3 documents that are not in the bucket may be removed by the next sync", "D")
def test_a_sync_removes_what_is_no_longer_in_the_bucket(bench: Any) -> None:
    names = names_of(bench, "S3")
    bench.put("documents", **{"leave.txt": LEAVE, "stays.txt": "This stays."})
    bench.agent.ingest_knowledge_base_documents(**names, documents=[in_s3("leave.txt"), in_s3("stays.txt")])
    bench.clock.advance(60)
    assert len(bench.retrieved(names["knowledgeBaseId"], "paid leave")) == 2
    bench.s3.delete_object(Bucket="documents", Key="leave.txt")
    counted = bench.sync(*names.values())["statistics"]
    assert (counted["numberOfDocumentsDeleted"], counted["numberOfNewDocumentsIndexed"]) == (1, 0)
    assert len(bench.retrieved(names["knowledgeBaseId"], "paid leave")) == 1


@fact("a document that can't be read ends FAILED, one without text IGNORED with a statusReason", "M")
def test_a_faulty_document_tells_its_reason(bench: Any) -> None:
    names = names_of(bench, "S3")
    bench.put("documents", **{"empty.txt": " "})
    bench.agent.ingest_knowledge_base_documents(**names, documents=[in_s3("missing.txt"), in_s3("empty.txt")])
    bench.clock.advance(3)
    bench.agent.list_knowledge_base_documents(**names)
    bench.clock.advance(60)
    details = bench.agent.list_knowledge_base_documents(**names)["documentDetails"]
    assert {detail["identifier"]["s3"]["uri"][15:]: detail["status"] for detail in details} == {
        "missing.txt": "FAILED",
        "empty.txt": "IGNORED",
    }
    assert all(detail["statusReason"] for detail in details)


@fact("a data source of type CUSTOM takes no ingestion job", "D")
def test_a_custom_data_source_has_no_jobs(bench: Any) -> None:
    with pytest.raises(ClientError, match="not supported for a data source of type CUSTOM"):
        bench.agent.start_ingestion_job(**names_of(bench))


@fact("StartIngestionJob while documents are ingested: 400 `…ongoing KnowledgeBaseDocuments API request…`", "R")
def test_no_job_starts_while_documents_are_ingested(bench: Any) -> None:
    names = names_of(bench, "S3")
    bench.put("documents", **{"leave.md": LEAVE})
    bench.agent.ingest_knowledge_base_documents(**names, documents=[in_s3("leave.md")])
    with pytest.raises(ClientError, match=r"ValidationException.*ongoing KnowledgeBaseDocuments API request"):
        bench.start(names["knowledgeBaseId"], names["dataSourceId"])
    bench.clock.advance(60)
    assert bench.start(names["knowledgeBaseId"], names["dataSourceId"])


@fact("IngestKnowledgeBaseDocuments while a job runs: accepted here", "U")
def test_documents_are_taken_while_a_job_runs(bench: Any) -> None:
    names = names_of(bench, "S3")
    bench.put("documents", **{"leave.md": LEAVE})
    bench.start(names["knowledgeBaseId"], names["dataSourceId"])
    answer = bench.agent.ingest_knowledge_base_documents(**names, documents=[in_s3("leave.md")])
    assert [detail["status"] for detail in answer["documentDetails"]] == ["STARTING"]


@fact("a URI over 128 characters: refused here by the pattern of the model, which is not anchored", "U")
def test_a_long_uri_is_refused(bench: Any) -> None:
    names = names_of(bench, "S3")
    with pytest.raises(ClientError, match="must satisfy regular expression pattern"):
        bench.agent.ingest_knowledge_base_documents(**names, documents=[in_s3(f"{'x' * 200}.md")])


@fact("DeleteKnowledgeBaseDocuments leaves the object in the bucket, and the next sync brings it back", "D")
def test_a_deleted_document_comes_back_with_the_next_sync(bench: Any) -> None:
    base, source = bench.stocked(**{"leave.txt": LEAVE})
    wanted = [{"dataSourceType": "S3", "s3": {"uri": "s3://documents/leave.txt"}}]
    bench.agent.delete_knowledge_base_documents(knowledgeBaseId=base, dataSourceId=source, documentIdentifiers=wanted)
    bench.clock.advance(60)
    assert bench.retrieved(base, "paid leave") == []
    assert bench.sync(base, source)["statistics"]["numberOfNewDocumentsIndexed"] == 1
    assert len(bench.retrieved(base, "paid leave")) == 1


@fact("a sync after a direct ingestion skips what has not changed", "D")
def test_a_sync_skips_what_was_ingested_directly(bench: Any) -> None:
    names = names_of(bench, "S3")
    bench.put("documents", **{"leave.txt": LEAVE})
    bench.agent.ingest_knowledge_base_documents(**names, documents=[in_s3("leave.txt")])
    bench.clock.advance(60)
    counted = bench.sync(*names.values())["statistics"]
    assert (counted["numberOfDocumentsScanned"], counted["numberOfNewDocumentsIndexed"]) == (1, 0)
    assert counted["numberOfModifiedDocumentsIndexed"] == 0


@fact("a document outside the data source's prefixes can be ingested directly, and the next sync removes it", "R")
def test_a_document_outside_the_prefix_is_removed_by_the_next_sync(bench: Any) -> None:
    base = bench.knowledge_base()
    settings = {"bucketArn": "arn:aws:s3:::documents", "inclusionPrefixes": ["manuals/"]}
    source = bench.data_source(base, configuration={"type": "S3", "s3Configuration": settings})
    bench.put("documents", **{"leave.txt": LEAVE})
    names = {"knowledgeBaseId": base, "dataSourceId": source}
    bench.agent.ingest_knowledge_base_documents(**names, documents=[in_s3("leave.txt")])
    bench.clock.advance(60)
    assert len(bench.retrieved(base, "paid leave")) == 1
    assert bench.sync(base, source)["statistics"]["numberOfDocumentsDeleted"] == 1
    assert bench.retrieved(base, "paid leave") == []


@fact("a document sent again while it is worked on begins anew", "R")
def test_a_document_sent_again_begins_anew(bench: Any) -> None:
    names = names_of(bench)
    bench.agent.ingest_knowledge_base_documents(**names, documents=[custom("leave")])
    bench.clock.advance(15)
    assert status(bench, names, "leave") == "IN_PROGRESS"
    bench.agent.ingest_knowledge_base_documents(**names, documents=[custom("leave", "Paid leave is thirty days.")])
    bench.clock.advance(8)
    assert status(bench, names, "leave") == "IN_PROGRESS"
    bench.clock.advance(60)
    (found,) = bench.retrieved(names["knowledgeBaseId"], "paid leave")
    assert "thirty" in found["content"]["text"]


@fact("a metadata file counts only where the call names it", "I")
@pytest.mark.parametrize("named", [True, False])
def test_a_metadata_file_counts_where_it_is_named(bench: Any, named: bool) -> None:
    names = names_of(bench, "S3")
    bench.put("documents", **{"leave.txt": LEAVE, "leave.txt.metadata.json": bench.sidecar(team="hr")})
    beside = {"type": "S3_LOCATION", "s3Location": {"uri": "s3://documents/leave.txt.metadata.json"}}
    document = {**in_s3("leave.txt"), **({"metadata": beside} if named else {})}
    bench.agent.ingest_knowledge_base_documents(**names, documents=[document])
    bench.clock.advance(60)
    (found,) = bench.retrieved(names["knowledgeBaseId"], "paid leave")
    assert found["metadata"].get("team") == ("hr" if named else None)
