"""What is known of data sources and ingestion jobs, shown of the emulator."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bedrock_emulator import Quotas

fact = pytest.mark.fact

NOTHING = {
    "numberOfDocumentsScanned": 0,
    "numberOfMetadataDocumentsScanned": 0,
    "numberOfNewDocumentsIndexed": 0,
    "numberOfModifiedDocumentsIndexed": 0,
    "numberOfMetadataDocumentsModified": 0,
    "numberOfDocumentsDeleted": 0,
    "numberOfDocumentsFailed": 0,
    "numberOfDocumentsSkipped": 0,
}


def connector(bucket: str) -> dict[str, Any]:
    """The configuration of a data source of a MANAGED knowledge base."""
    parameters = {"type": "S3", "version": "1", "connectionConfiguration": {"bucketName": bucket}}
    return {
        "type": "MANAGED_KNOWLEDGE_BASE_CONNECTOR",
        "managedKnowledgeBaseConnectorConfiguration": {"connectorParameters": parameters},
    }


def refusal(call: Callable[..., Any], **members: Any) -> tuple[int, str, str]:
    """The HTTP status, code and message of the error that a call is answered."""
    with pytest.raises(ClientError) as caught:
        call(**members)
    response = caught.value.response
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    return status, response["Error"]["Code"], response["Error"]["Message"]


def reasons(job: dict[str, Any]) -> list[str]:
    """The texts inside the JSON inside the strings."""
    return [text for element in job.get("failureReasons", ()) for text in json.loads(element)]


# Data sources


@fact("CreateDataSource answers 200; on VECTOR the status is AVAILABLE", "I")
def test_a_data_source_is_available_at_once(bench: Any) -> None:
    base = bench.knowledge_base()
    made = bench.agent.create_data_source(
        knowledgeBaseId=base,
        name="documents",
        dataSourceConfiguration={"type": "S3", "s3Configuration": {"bucketArn": "arn:aws:s3:::documents"}},
    )
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert made["dataSource"]["status"] == "AVAILABLE"
    assert made["dataSource"]["dataDeletionPolicy"] == "DELETE"


@fact("CreateDataSource while the knowledge base is not ACTIVE: `not in a valid status`", "R")
def test_a_data_source_needs_an_active_knowledge_base(bench: Any) -> None:
    base = bench.create("tenant")["knowledgeBaseId"]
    _, _, message = refusal(
        bench.agent.create_data_source,
        knowledgeBaseId=base,
        name="documents",
        dataSourceConfiguration={"type": "S3", "s3Configuration": {"bucketArn": "arn:aws:s3:::documents"}},
    )
    assert "not in a valid status" in message


@fact("duplicate data source name in a knowledge base: 409 `DataSource with name {n} already exists.`", "R")
def test_a_second_data_source_of_a_name_is_a_conflict(bench: Any) -> None:
    base = bench.knowledge_base()
    bench.data_source(base)
    with pytest.raises(ClientError, match=r"DataSource with name documents already exists\.") as caught:
        bench.data_source(base)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409


@fact("data sources per knowledge base: 5", "D")
def test_the_sixth_data_source_exceeds_the_quota(bench: Any) -> None:
    base = bench.knowledge_base()
    for number in range(5):
        bench.data_source(base, name=f"source-{number}")
    with pytest.raises(ClientError) as caught:
        bench.data_source(base, name="one-more")
    assert caught.value.response["Error"]["Code"] == "ServiceQuotaExceededException"
    pages = bench.agent.get_paginator("list_data_sources").paginate(
        knowledgeBaseId=base, PaginationConfig={"PageSize": 2}
    )
    assert [len(page["dataSourceSummaries"]) for page in pages] == [2, 2, 1]


@fact("UpdateDataSource is a full replacement: what is not sent is gone", "R")
def test_an_update_replaces_every_member(bench: Any) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base, description="old", dataDeletionPolicy="RETAIN")
    bench.agent.update_data_source(
        knowledgeBaseId=base,
        dataSourceId=source,
        name="documents",
        dataSourceConfiguration={"type": "S3", "s3Configuration": {"bucketArn": "arn:aws:s3:::others"}},
    )
    found = bench.agent.get_data_source(knowledgeBaseId=base, dataSourceId=source)["dataSource"]
    assert "description" not in found
    assert found["dataDeletionPolicy"] == "DELETE"


@fact("you can't change the chunkingConfiguration after you create the data source", "M")
def test_the_chunking_can_not_be_changed(bench: Any) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base)
    status, code, _ = refusal(
        bench.agent.update_data_source,
        knowledgeBaseId=base,
        dataSourceId=source,
        name="documents",
        dataSourceConfiguration={"type": "S3", "s3Configuration": {"bucketArn": "arn:aws:s3:::documents"}},
        vectorIngestionConfiguration={"chunkingConfiguration": {"chunkingStrategy": "NONE"}},
    )
    assert (status, code) == (400, "ValidationException")


@fact("DeleteDataSource with a running job: ConflictException", "R")
def test_a_data_source_with_a_running_job_can_not_be_deleted(bench: Any) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base)
    bench.start(base, source)
    assert refusal(bench.agent.delete_data_source, knowledgeBaseId=base, dataSourceId=source)[:2] == (
        409,
        "ConflictException",
    )


@fact("dataDeletionPolicy DELETE deletes what the data source brought; RETAIN keeps it", "M")
@pytest.mark.parametrize(("policy", "left"), [("DELETE", 0), ("RETAIN", 1)])
def test_the_deletion_policy_decides_about_the_vectors(bench: Any, policy: str, left: int) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base, dataDeletionPolicy=policy)
    bench.put("documents", **{"leave.txt": "Paid leave is twenty days."})
    bench.sync(base, source)
    answer = bench.agent.delete_data_source(knowledgeBaseId=base, dataSourceId=source)
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["status"]) == (202, "DELETING")
    bench.clock.advance(60)
    assert refusal(bench.agent.get_data_source, knowledgeBaseId=base, dataSourceId=source)[0] == 404
    assert len(bench.retrieved(base, "paid leave")) == left


@fact("MANAGED: the only dataDeletionPolicy is DELETE; the data source is a MANAGED_KNOWLEDGE_BASE_CONNECTOR", "M")
def test_a_managed_knowledge_base_takes_a_connector(bench: Any) -> None:
    base = bench.managed()
    with pytest.raises(ClientError, match="RETAIN is not supported"):
        bench.data_source(base, configuration=connector("documents"), dataDeletionPolicy="RETAIN")
    source = bench.data_source(base, configuration=connector("documents"))
    bench.put("documents", **{"leave.txt": "Paid leave is twenty days."})
    assert bench.sync(base, source)["statistics"]["numberOfNewDocumentsIndexed"] == 1


@fact("MANAGED: GetDataSource gives connectorParameters as JSON in a text, with defaults that nobody sent", "R")
def test_a_connector_is_described_with_its_defaults(bench: Any) -> None:
    base = bench.managed()
    source = bench.data_source(base, configuration=connector("documents"))
    described = bench.agent.get_data_source(knowledgeBaseId=base, dataSourceId=source)["dataSource"]
    connector_given = described["dataSourceConfiguration"]["managedKnowledgeBaseConnectorConfiguration"]
    assert json.loads(connector_given["connectorParameters"]) == {
        "type": "S3",
        "version": "1",
        "connectionConfiguration": {"bucketName": "documents", "bucketArn": "arn:aws:s3:::documents"},
        "filterConfiguration": {"maxFileSizeInMegaBytes": "500"},
        "aclEnabled": False,
    }
    image = {"imageExtractionConfiguration": {"imageExtractionStatus": "ENABLED"}}
    assert connector_given["mediaExtractionConfiguration"] == image
    given = {**described["dataSourceConfiguration"], "managedKnowledgeBaseConnectorConfiguration": connector_given}
    with pytest.raises(ClientError, match="connectorParameters is required"):
        bench.agent.update_data_source(
            knowledgeBaseId=base, dataSourceId=source, name="documents", dataSourceConfiguration=given
        )


@fact("MANAGED: a result's metadata have _source_uri and _data_source_id", "D")
def test_a_managed_result_tells_where_it_comes_from(bench: Any) -> None:
    base = bench.managed()
    source = bench.data_source(base, configuration=connector("documents"))
    bench.put("documents", **{"leave.txt": "Paid leave is twenty days."})
    bench.sync(base, source)
    bench.clock.advance(600)
    (result,) = bench.retrieved(base, "paid leave")
    assert result["metadata"]["_source_uri"] == "s3://documents/leave.txt"
    assert result["metadata"]["_data_source_id"] == source


@fact("on MANAGED, a data source is CREATING for two to five minutes", "R")
def test_a_data_source_of_a_managed_knowledge_base_is_creating_for_minutes(bench: Any) -> None:
    bench.s3.create_bucket(Bucket="documents")
    base = bench.managed()

    def make(number: int) -> str:
        made = bench.agent.create_data_source(
            knowledgeBaseId=base, name=f"source-{number}", dataSourceConfiguration=connector("documents")
        )
        assert made["dataSource"]["status"] == "CREATING"
        return str(made["dataSource"]["dataSourceId"])

    sources = [make(number) for number in range(20)]

    def available() -> int:
        found = (bench.agent.get_data_source(knowledgeBaseId=base, dataSourceId=source) for source in sources)
        return sum(each["dataSource"]["status"] == "AVAILABLE" for each in found)

    bench.clock.advance(119.9)
    assert available() == 0
    bench.clock.advance(90.1)
    assert 0 < available() < 20
    bench.clock.advance(90.1)
    assert available() == 20


@fact("a data source that is CREATING takes no job and no documents, and can be neither changed nor deleted", "I")
def test_a_data_source_that_is_creating_takes_nothing(bench: Any) -> None:
    bench.s3.create_bucket(Bucket="documents")
    base, configuration = bench.managed(), connector("documents")
    made = bench.agent.create_data_source(knowledgeBaseId=base, name="documents", dataSourceConfiguration=configuration)
    names = {"knowledgeBaseId": base, "dataSourceId": made["dataSource"]["dataSourceId"]}
    uri = {"dataSourceType": "S3", "s3": {"s3Location": {"uri": "s3://documents/leave.txt"}}}
    assert refusal(bench.agent.start_ingestion_job, **names)[0] == 400
    assert refusal(bench.agent.ingest_knowledge_base_documents, **names, documents=[{"content": uri}])[0] == 400
    change = {"name": "documents", "dataSourceConfiguration": configuration}
    assert refusal(bench.agent.update_data_source, **names, **change)[:2] == (409, "ConflictException")
    assert refusal(bench.agent.delete_data_source, **names)[:2] == (409, "ConflictException")
    bench.clock.advance(300)
    bench.agent.update_data_source(**names, **change)
    bench.agent.start_ingestion_job(**names)


@fact("on MANAGED, CreateDataSource can answer 200 and the data source later turn FAILED", "R")
def test_a_data_source_can_turn_failed(bench: Any) -> None:
    bench.emulator.faults.add({"effect": "data_source_fails", "failureReasons": ["Access denied."], "seconds": 30})
    base = bench.managed()
    source = bench.data_source(base, configuration=connector("documents"))
    bench.clock.advance(31)
    found = bench.agent.get_data_source(knowledgeBaseId=base, dataSourceId=source)["dataSource"]
    assert (found["status"], found["failureReasons"]) == ("FAILED", ["Access denied."])
    assert refusal(bench.agent.start_ingestion_job, knowledgeBaseId=base, dataSourceId=source)[0] == 400


# Jobs


@fact(
    "StartIngestionJob answers 202 and STARTING, then IN_PROGRESS, then COMPLETE; a small sync takes 3 to 5 minutes",
    "R",
)
def test_a_job_runs_through_its_statuses(bench: Any) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base)
    bench.put("documents", **{"leave.txt": "Paid leave is twenty days."})
    started = bench.agent.start_ingestion_job(knowledgeBaseId=base, dataSourceId=source)
    assert started["ResponseMetadata"]["HTTPStatusCode"] == 202
    seen = [started["ingestionJob"]["status"]]
    for _ in range(30):
        bench.clock.advance(10)
        seen.append(bench.job(base, source, started["ingestionJob"]["ingestionJobId"])["status"])
    assert list(dict.fromkeys(seen)) == ["STARTING", "IN_PROGRESS", "COMPLETE"]
    assert 17 <= seen.index("COMPLETE") <= 30


@fact(
    "1 job per knowledge base: 409 `You have reached the maximum number of concurrent ingestion jobs per knowledge "
    "base: 1`",
    "R",
)
def test_a_second_job_in_a_knowledge_base_is_a_conflict(bench: Any) -> None:
    base = bench.knowledge_base()
    first, second = bench.data_source(base), bench.data_source(base, name="other")
    bench.start(base, first)
    for source in (first, second):
        assert refusal(bench.agent.start_ingestion_job, knowledgeBaseId=base, dataSourceId=source) == (
            409,
            "ConflictException",
            "You have reached the maximum number of concurrent ingestion jobs per knowledge base: 1",
        )


@fact("5 jobs at once per account; the text ends in `per account: 5`, the class is not known", "U")
@pytest.mark.parametrize("code", ["ConflictException", "ServiceQuotaExceededException", "ThrottlingException"])
def test_a_sixth_job_in_the_account_is_refused(workbench_of: Any, code: str) -> None:
    bench = workbench_of(quotas=Quotas(requests_per_second={}, jobs_per_account_error=code))
    pairs = []
    for number in range(6):
        base = bench.knowledge_base(f"tenant-{number}")
        pairs.append((base, bench.data_source(base)))
    for base, source in pairs[:5]:
        bench.start(base, source)
    base, source = pairs[5]
    _, answered, message = refusal(bench.agent.start_ingestion_job, knowledgeBaseId=base, dataSourceId=source)
    assert (answered, message) == (
        code,
        "You have reached the maximum number of concurrent ingestion jobs per account: 5",
    )


@fact("StartIngestionJob: 0.1 requests a second, ThrottlingException is 429", "D")
def test_jobs_can_be_started_every_ten_seconds_only(workbench_of: Any) -> None:
    bench = workbench_of(quotas=Quotas())
    pairs = []
    for number in range(2):
        base = bench.knowledge_base(f"tenant-{number}")
        pairs.append({"knowledgeBaseId": base, "dataSourceId": bench.data_source(base)})
    bench.agent.start_ingestion_job(**pairs[0])
    bench.clock.advance(9.9)
    assert refusal(bench.agent.start_ingestion_job, **pairs[1])[:2] == (429, "ThrottlingException")
    bench.clock.advance(0.2)
    assert bench.agent.start_ingestion_job(**pairs[1])


@fact("requests a second: Create, Update and Delete 2, Get and List 10", "D")
def test_other_calls_have_rates_too(workbench_of: Any) -> None:
    bench = workbench_of(quotas=Quotas())
    for _ in range(10):
        bench.agent.list_knowledge_bases()
    assert refusal(bench.agent.list_knowledge_bases)[:2] == (429, "ThrottlingException")
    bench.clock.advance(0.1)
    assert bench.agent.list_knowledge_bases()
    bench.create("one")
    bench.create("two")
    with pytest.raises(ClientError, match="ThrottlingException"):
        bench.create("three")


@fact("the same clientToken starts no second job", "D")
def test_the_same_client_token_gives_the_first_job(bench: Any) -> None:
    base = bench.knowledge_base()
    members = {"knowledgeBaseId": base, "dataSourceId": bench.data_source(base), "clientToken": "t" * 40}
    first = bench.agent.start_ingestion_job(**members)["ingestionJob"]["ingestionJobId"]
    assert bench.agent.start_ingestion_job(**members)["ingestionJob"]["ingestionJobId"] == first


@fact("a job can be stopped: STOPPING, STOPPED, and started again to ingest the rest", "M")
def test_a_running_job_can_be_stopped(bench: Any) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base)
    bench.put("documents", **{"leave.txt": "Paid leave is twenty days."})
    job = bench.start(base, source)
    names = {"knowledgeBaseId": base, "dataSourceId": source, "ingestionJobId": job}
    assert bench.agent.stop_ingestion_job(**names)["ingestionJob"]["status"] == "STOPPING"
    bench.clock.advance(10)
    assert bench.job(base, source, job)["status"] == "STOPPED"
    assert refusal(bench.agent.stop_ingestion_job, **names)[1] == "ConflictException"
    assert bench.sync(base, source)["statistics"]["numberOfNewDocumentsIndexed"] == 1


@fact("failureReasons is on Get, Start and Stop, not on List; List filters on STATUS EQ one value", "M")
def test_listed_jobs_have_no_failure_reasons(bench: Any) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base)
    bench.put("documents", **{"program.exe": "MZ"})
    assert bench.sync(base, source)["failureReasons"]
    bench.start(base, source)
    names = {"knowledgeBaseId": base, "dataSourceId": source}
    listed = bench.agent.list_ingestion_jobs(**names)["ingestionJobSummaries"]
    assert [job["status"] for job in listed] == ["STARTING", "COMPLETE"]
    assert all("failureReasons" not in job for job in listed)
    condition = {"attribute": "STATUS", "operator": "EQ", "values": ["COMPLETE"]}
    found = bench.agent.list_ingestion_jobs(**names, filters=[condition])["ingestionJobSummaries"]
    assert [job["status"] for job in found] == ["COMPLETE"]
    two = {**condition, "values": ["COMPLETE", "FAILED"]}
    assert refusal(bench.agent.list_ingestion_jobs, **names, filters=[two])[1] == "ValidationException"


@fact("faults of the whole job end FAILED", "I")
def test_a_missing_bucket_fails_the_job(bench: Any) -> None:
    base = bench.knowledge_base()
    configuration = {"type": "S3", "s3Configuration": {"bucketArn": "arn:aws:s3:::nowhere"}}
    source = bench.data_source(base, configuration=configuration)
    ended = bench.sync(base, source)
    assert ended["status"] == "FAILED"
    assert "NoSuchBucket" in reasons(ended)[0]


# Documents


@fact("sync is incremental: only added, modified or deleted objects since the last one", "D")
def test_only_changes_are_indexed(bench: Any) -> None:
    base, source = bench.stocked(**{"one.txt": "First.", "two.txt": "Second.", "three.txt": "Third."})
    bench.put("documents", **{"one.txt": "First, changed.", "four.txt": "Fourth."})
    bench.s3.delete_object(Bucket="documents", Key="two.txt")
    changed = bench.sync(base, source)["statistics"]
    assert changed == NOTHING | {
        "numberOfDocumentsScanned": 3,
        "numberOfNewDocumentsIndexed": 1,
        "numberOfModifiedDocumentsIndexed": 1,
        "numberOfDocumentsDeleted": 1,
    }
    assert bench.sync(base, source)["statistics"] == NOTHING | {"numberOfDocumentsScanned": 3}
    texts = {result["content"]["text"] for result in bench.retrieved(base, "anything")}
    assert texts == {"First, changed.", "Third.", "Fourth."}


@fact("a change to the sidecar alone counts as numberOfMetadataDocumentsModified", "D")
def test_a_changed_sidecar_is_no_modified_document(bench: Any) -> None:
    base, source = bench.stocked(**{"a.txt": "Text.", "a.txt.metadata.json": bench.sidecar(year=2024)})
    bench.put("documents", **{"a.txt.metadata.json": bench.sidecar(year=2025)})
    assert bench.sync(base, source)["statistics"] == NOTHING | {
        "numberOfDocumentsScanned": 1,
        "numberOfMetadataDocumentsScanned": 1,
        "numberOfMetadataDocumentsModified": 1,
    }
    assert bench.retrieved(base, "text")[0]["metadata"]["year"] == 2025


@fact("more objects than one page of the list are all read", "D")
def test_a_bucket_of_many_pages_is_read_to_its_end(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    base = bench.knowledge_base()
    source = bench.data_source(base)
    for number in range(8):
        bench.s3.put_object(Bucket="documents", Key=f"{number}.txt", Body=b"A text.")
    assert bench.s3.list_objects_v2(Bucket="documents")["IsTruncated"]
    assert bench.sync(base, source)["statistics"]["numberOfNewDocumentsIndexed"] == 8


@fact("ignored files end COMPLETE; failureReasons are JSON arrays in strings that name the cause and the files", "R")
def test_unsupported_and_empty_files_are_ignored(bench: Any) -> None:
    base, source = bench.stocked(
        **{"good.txt": "Text.", "some program.exe": "MZ", "empty.txt": " ", "broken.pdf": "not a PDF", "b.exe": "MZ"}
    )
    bench.put("documents", **{"another.txt": "More."})
    ended = bench.sync(base, source)
    assert ended["status"] == "COMPLETE"
    assert ended["statistics"] == NOTHING | {
        "numberOfDocumentsScanned": 6,
        "numberOfNewDocumentsIndexed": 1,
        "numberOfDocumentsFailed": 4,
    }
    by_format, by_text = sorted(reasons(ended), key=lambda text: "no text" in text)
    assert by_format == (
        "Encountered error: Ignored 2 files as their file format was not supported "
        "[Files: s3://documents/b.exe, s3://documents/some program.exe]. Call to Customer Source did not succeed."
    )
    assert (
        "Ignored 2 files as no text content found [Files: s3://documents/broken.pdf, s3://documents/empty.txt]"
        in by_text
    )


@fact("an element of failureReasons has at most 2,048 characters", "M")
def test_a_long_list_of_files_is_cut(bench: Any) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base)
    for number in range(200):
        bench.s3.put_object(Bucket="documents", Key=f"{'x' * 30}-{number}.exe", Body=b"MZ")
    ended = bench.sync(base, source)
    assert "Ignored 200 files" in reasons(ended)[0]
    assert len(ended["failureReasons"][0]) <= 2_048


@fact("a file over 50 MB is not indexed", "D")
def test_a_file_over_the_limit_is_ignored(workbench_of: Any) -> None:
    bench = workbench_of(quotas=Quotas(requests_per_second={}, file_bytes=100))
    base = bench.knowledge_base()
    source = bench.data_source(base)
    bench.put("documents", **{"big.txt": "x" * 101})
    assert bench.sync(base, source)["statistics"]["numberOfDocumentsFailed"] == 1
    assert Quotas().file_bytes == 50 * 1024 * 1024


@fact("a job can end COMPLETE with failed=0 and skipped=0 and have indexed nothing: only failureReasons tells", "R")
def test_only_failure_reasons_tell_of_a_large_sidecar(bench: Any) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base)
    bench.put("documents", **{"a.txt": "Text.", "a.txt.metadata.json": bench.sidecar(note="x" * 1_024)})
    ended = bench.sync(base, source)
    assert ended["status"] == "COMPLETE"
    assert ended["statistics"] == NOTHING | {"numberOfDocumentsScanned": 1, "numberOfMetadataDocumentsScanned": 1}
    assert (
        "the associated metadata was larger than service limit of MaximumFileSizeSupported: 1024 bytes"
        in reasons(ended)[0]
    )


@fact("`…due to invalid metadata attributes. …`", "R")
@pytest.mark.parametrize("content", ["{", '{"metadataAttributes": []}', '{"metadataAttributes": {"a": {"b": 1}}}'])
def test_an_invalid_sidecar_makes_its_document_ignored(bench: Any, content: str) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base)
    bench.put("documents", **{"a.txt": "Text.", "a.txt.metadata.json": content})
    ended = bench.sync(base, source)
    assert "Ignored 1 files due to invalid metadata attributes." in reasons(ended)[0]


@fact("S3 Vectors: a document has at most 35 metadata keys", "D")
def test_a_document_with_more_attributes_than_a_vector_takes_is_ignored(bench: Any) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base)
    attributes = {f"a{number}": number for number in range(35)}
    bench.put("documents", **{"a.txt": "Text.", "a.txt.metadata.json": bench.sidecar(**attributes)})
    assert bench.sync(base, source)["statistics"]["numberOfNewDocumentsIndexed"] == 1
    bench.put("documents", **{"b.txt": "Text.", "b.txt.metadata.json": bench.sidecar(**attributes, one_more=1)})
    assert "Ignored 1 files due to invalid metadata attributes." in reasons(bench.sync(base, source))[0]


@fact(
    "an index without AMAZON_BEDROCK_TEXT as non-filterable: `Filterable metadata must have at most 2048 bytes…`", "R"
)
def test_long_chunks_fail_where_their_text_is_filterable(bench: Any) -> None:
    bench.index("naive", metadataConfiguration={"nonFilterableMetadataKeys": ["other"]})
    arn = bench.vectors.get_index(vectorBucketName="vectors", indexName="naive")["index"]["indexArn"]
    base = bench.agent.create_knowledge_base(**bench.knowledge_base_request("naive", arn))["knowledgeBase"][
        "knowledgeBaseId"
    ]
    bench.clock.advance(90)
    source = bench.data_source(
        base, vectorIngestionConfiguration={"chunkingConfiguration": {"chunkingStrategy": "NONE"}}
    )
    bench.put("documents", **{"short.txt": "Short.", "long.txt": "Rather long. " * 200})
    ended = bench.sync(base, source)
    assert ended["statistics"]["numberOfNewDocumentsIndexed"] == 1
    assert ended["statistics"]["numberOfDocumentsFailed"] == 1
    assert (
        "Filterable metadata must have at most 2048 bytes (Service: S3Vectors, Status Code: 400)" in reasons(ended)[0]
    )


@fact("inclusionPrefixes limit what is read", "M")
def test_only_keys_with_the_prefix_are_read(bench: Any) -> None:
    base = bench.knowledge_base()
    settings = {"bucketArn": "arn:aws:s3:::documents", "inclusionPrefixes": ["docs/"]}
    source = bench.data_source(base, configuration={"type": "S3", "s3Configuration": settings})
    bench.put("documents", **{"docs/a.txt": "Text.", "other.txt": "Other."})
    assert bench.sync(base, source)["statistics"]["numberOfDocumentsScanned"] == 1


@fact("two knowledge bases on one vector index see each other's chunks", "D")
def test_a_shared_index_is_shared(bench: Any) -> None:
    base, _ = bench.stocked(**{"secret.txt": "The secret of the first tenant."})
    arn = bench.vectors.get_index(vectorBucketName="vectors", indexName="index-tenant")["index"]["indexArn"]
    other = bench.agent.create_knowledge_base(**bench.knowledge_base_request("other", arn))["knowledgeBase"]
    bench.clock.advance(90)
    found = bench.retrieved(other["knowledgeBaseId"], "secret")
    assert found[0]["content"]["text"] == "The secret of the first tenant."
    assert base != other["knowledgeBaseId"]


@fact("after COMPLETE, vectors may take minutes to become searchable", "D")
def test_vectors_can_be_searchable_later_than_complete(bench: Any) -> None:
    bench.emulator.faults.add({"effect": "vectors_not_searchable", "seconds": 120})
    base, _ = bench.stocked(**{"a.txt": "Text."})
    assert bench.retrieved(base, "text") == []
    bench.clock.advance(121)
    assert len(bench.retrieved(base, "text")) == 1


@fact("what is uploaded while a job runs is not in it", "I")
def test_an_upload_during_the_job_waits_for_the_next(bench: Any) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base)
    job = bench.start(base, source)
    bench.clock.advance(10)
    bench.job(base, source, job)
    bench.put("documents", **{"late.txt": "Late."})
    bench.clock.advance(300)
    assert bench.job(base, source, job)["statistics"]["numberOfDocumentsScanned"] == 0
    assert bench.sync(base, source)["statistics"]["numberOfNewDocumentsIndexed"] == 1
