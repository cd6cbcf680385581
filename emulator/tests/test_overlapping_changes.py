"""What is under way when something else happens: nothing is left over, nothing comes back."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError


def text(identifier: str, data: str) -> dict[str, Any]:
    """A CUSTOM document given in line."""
    custom = {
        "customDocumentIdentifier": {"id": identifier},
        "sourceType": "IN_LINE",
        "inlineContent": {"type": "TEXT", "textContent": {"data": data}},
    }
    return {"content": {"dataSourceType": "CUSTOM", "custom": custom}}


def custom_source(bench: Any) -> dict[str, str]:
    base = bench.knowledge_base()
    return {"knowledgeBaseId": base, "dataSourceId": bench.data_source(base, configuration={"type": "CUSTOM"})}


def pass_time(bench: Any, seconds: int) -> None:
    """In steps, because what happens at one time may plan what happens at the next."""
    for _ in range(0, seconds, 5):
        bench.clock.advance(5)
        bench.agent.list_knowledge_bases()


def status(bench: Any, names: dict[str, str], identifier: str) -> str:
    wanted = [{"dataSourceType": "CUSTOM", "custom": {"id": identifier}}]
    found = bench.agent.get_knowledge_base_documents(**names, documentIdentifiers=wanted)
    return str(found["documentDetails"][0]["status"])


def test_a_document_deleted_while_it_is_ingested_stays_away(bench: Any) -> None:
    names = custom_source(bench)
    bench.agent.ingest_knowledge_base_documents(**names, documents=[text("leave", "Paid leave is twenty days.")])
    pass_time(bench, 5)
    identifier = {"dataSourceType": "CUSTOM", "custom": {"id": "leave"}}
    bench.agent.delete_knowledge_base_documents(**names, documentIdentifiers=[identifier])
    pass_time(bench, 60)
    assert status(bench, names, "leave") == "NOT_FOUND"
    assert bench.retrieved(names["knowledgeBaseId"], "paid leave") == []


def test_a_data_source_deleted_while_a_document_is_ingested_leaves_nothing(bench: Any) -> None:
    names = custom_source(bench)
    bench.agent.ingest_knowledge_base_documents(**names, documents=[text("leave", "Paid leave is twenty days.")])
    bench.clock.advance(2)
    bench.agent.delete_data_source(**names)
    pass_time(bench, 60)
    assert bench.retrieved(names["knowledgeBaseId"], "paid leave") == []


def test_the_later_of_two_ingestions_of_a_document_counts(bench: Any) -> None:
    names = custom_source(bench)
    bench.agent.ingest_knowledge_base_documents(**names, documents=[text("leave", "Ten days.")])
    pass_time(bench, 5)
    bench.agent.ingest_knowledge_base_documents(**names, documents=[text("leave", "Twenty days.")])
    pass_time(bench, 60)
    assert [result["content"]["text"] for result in bench.retrieved(names["knowledgeBaseId"], "days")] == [
        "Twenty days."
    ]
    assert status(bench, names, "leave") == "INDEXED"


def test_a_document_ingested_while_it_is_deleted_is_there(bench: Any) -> None:
    names = custom_source(bench)
    bench.agent.ingest_knowledge_base_documents(**names, documents=[text("leave", "Ten days.")])
    pass_time(bench, 60)
    identifier = {"dataSourceType": "CUSTOM", "custom": {"id": "leave"}}
    bench.agent.delete_knowledge_base_documents(**names, documentIdentifiers=[identifier])
    bench.agent.ingest_knowledge_base_documents(**names, documents=[text("leave", "Twenty days.")])
    pass_time(bench, 60)
    assert status(bench, names, "leave") == "INDEXED"
    assert len(bench.retrieved(names["knowledgeBaseId"], "days")) == 1


def test_a_document_given_twice_in_a_call_is_refused(bench: Any) -> None:
    names = custom_source(bench)
    with pytest.raises(ClientError, match="ValidationException"):
        bench.agent.ingest_knowledge_base_documents(**names, documents=[text("a", "One."), text("a", "Two.")])


def test_calls_that_end_badly_do_not_use_up_the_quota(bench: Any) -> None:
    names = custom_source(bench)
    missing = {
        "content": {
            "dataSourceType": "CUSTOM",
            "custom": {
                "customDocumentIdentifier": {"id": "a"},
                "sourceType": "S3_LOCATION",
                "s3Location": {"uri": "s3://nowhere/a.txt"},
            },
        }
    }
    for _ in range(12):
        bench.agent.ingest_knowledge_base_documents(**names, documents=[missing])
        pass_time(bench, 30)
    assert status(bench, names, "a") == "FAILED"


def test_deleting_twice_deletes_once(bench: Any) -> None:
    base, source = bench.stocked(**{"leave.txt": "Paid leave is twenty days."})
    bench.vectors.delete_index(vectorBucketName="vectors", indexName="index-tenant")
    bench.agent.delete_knowledge_base(knowledgeBaseId=base)
    bench.clock.advance(6)
    assert bench.agent.delete_knowledge_base(knowledgeBaseId=base)["status"] == "DELETING"
    bench.clock.advance(5)
    found = bench.agent.get_knowledge_base(knowledgeBaseId=base)["knowledgeBase"]
    assert found["status"] == "DELETE_UNSUCCESSFUL"
    changed = found["updatedAt"]
    bench.clock.advance(60)
    assert bench.agent.get_knowledge_base(knowledgeBaseId=base)["knowledgeBase"]["updatedAt"] == changed
    assert bench.agent.get_data_source(knowledgeBaseId=base, dataSourceId=source)


def test_a_managed_knowledge_base_that_is_deleted_leaves_nothing_stored(bench: Any) -> None:
    base = bench.managed()
    parameters = {"type": "S3", "version": "1", "connectionConfiguration": {"bucketName": "documents"}}
    configuration = {
        "type": "MANAGED_KNOWLEDGE_BASE_CONNECTOR",
        "managedKnowledgeBaseConnectorConfiguration": {"connectorParameters": parameters},
    }
    source = bench.data_source(base, configuration=configuration)
    bench.put("documents", **{"leave.txt": "Paid leave is twenty days."})
    names = {"knowledgeBaseId": base, "dataSourceId": source}
    location = {"dataSourceType": "S3", "s3": {"s3Location": {"uri": "s3://documents/leave.txt"}}}
    bench.agent.ingest_knowledge_base_documents(**names, documents=[{"content": location}])
    pass_time(bench, 5)
    bench.agent.delete_knowledge_base(knowledgeBaseId=base)
    pass_time(bench, 60)
    # No answer tells of it any more, so the memory itself is looked into.
    assert bench.emulator._account.all_contents() == {}


def test_a_document_whose_index_is_deleted_meanwhile_is_not_in_the_next_index_of_that_name(bench: Any) -> None:
    names = custom_source(bench)
    bench.agent.ingest_knowledge_base_documents(**names, documents=[text("leave", "Paid leave is twenty days.")])
    pass_time(bench, 5)
    bench.vectors.delete_index(vectorBucketName="vectors", indexName="index-tenant")
    pass_time(bench, 60)
    bench.index("index-tenant")
    assert bench.retrieved(names["knowledgeBaseId"], "paid leave") == []
    assert status(bench, names, "leave") == "FAILED"
