"""What is known of how documents are parsed, cut and described, shown of the emulator."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.session import get_session

from bedrock_emulator import Quotas
from bedrock_emulator.reading.parsers import can_see
from bedrock_emulator.world.clock import ManualClock
from emulator_support.workbench import REGION, TITAN

fact = pytest.mark.fact
needs_sight = pytest.mark.skipif(
    not can_see(), reason="the packages that read scans are not installed: bedrock-emulator[ocr]"
)

FILES = Path(__file__).parent / "files"
VISION = f"arn:aws:bedrock:{REGION}::foundation-model/amazon.nova-pro-v1:0"
ENGLISH = "Employees get 20 days of paid leave. The office closes at six in the evening."


def refusal(call: Callable[..., Any], **members: Any) -> tuple[int, str, str]:
    """The HTTP status, code and message of the error that a call is answered."""
    with pytest.raises(ClientError) as caught:
        call(**members)
    response = caught.value.response
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    return status, response["Error"]["Code"], response["Error"]["Message"]


def reasons(job: dict[str, Any]) -> str:
    """The texts inside the JSON inside the strings."""
    return "\n".join(text for element in job.get("failureReasons", ()) for text in json.loads(element))


def synced(bench: Any, settings: Any = None, **objects: Any) -> tuple[str, str, Any]:
    """A knowledge base, its data source with these ``vectorIngestionConfiguration``, and the job that read objects."""
    base = bench.knowledge_base()
    more = {"vectorIngestionConfiguration": settings} if settings else {}
    source = bench.data_source(base, **more)
    bench.put("documents", **objects)
    return base, source, bench.sync(base, source)


def listed(bench: Any, base: str, source: str) -> dict[str, str]:
    """The statuses of all documents of a data source, by their keys."""
    found = bench.agent.list_knowledge_base_documents(knowledgeBaseId=base, dataSourceId=source)["documentDetails"]
    return {each["identifier"]["s3"]["uri"].removeprefix("s3://documents/"): each["status"] for each in found}


def connector(**parameters: Any) -> dict[str, Any]:
    """The configuration of a data source of a MANAGED knowledge base."""
    return {
        "type": "MANAGED_KNOWLEDGE_BASE_CONNECTOR",
        "managedKnowledgeBaseConnectorConfiguration": {"connectorParameters": parameters},
    }


def to_bucket(**more: Any) -> dict[str, Any]:
    return connector(type="S3", version="1", connectionConfiguration={"bucketName": "documents"}, **more)


def hierarchical(parents: int, children: int, overlap: int = 1) -> dict[str, Any]:
    levels = {"levelConfigurations": [{"maxTokens": parents}, {"maxTokens": children}], "overlapTokens": overlap}
    return {"chunkingConfiguration": {"chunkingStrategy": "HIERARCHICAL", "hierarchicalChunkingConfiguration": levels}}


def semantic(most: int = 300, beside: int = 0, percentile: int = 90) -> dict[str, Any]:
    settings = {"maxTokens": most, "bufferSize": beside, "breakpointPercentileThreshold": percentile}
    return {"chunkingConfiguration": {"chunkingStrategy": "SEMANTIC", "semanticChunkingConfiguration": settings}}


def seen_by_a_model(**more: Any) -> dict[str, Any]:
    settings = {"modelArn": VISION, **more}
    return {
        "parsingConfiguration": {
            "parsingStrategy": "BEDROCK_FOUNDATION_MODEL",
            "bedrockFoundationModelConfiguration": settings,
        }
    }


# Formats


@fact("the default parser reads .doc and .xls", "D")
@pytest.mark.parametrize(("name", "words"), [("rules.doc", "出張旅費"), ("prices.xls", "Tent テント")])
def test_office_files_before_2007_are_read(bench: Any, name: str, words: str) -> None:
    base, _, ended = synced(bench, **{name: (FILES / name).read_bytes()})
    assert ended["statistics"]["numberOfNewDocumentsIndexed"] == 1
    assert words in "".join(result["content"]["text"] for result in bench.retrieved(base, "rules"))


@fact(".htm is none of the formats that are read, .html is", "D")
def test_the_ending_of_a_page_has_four_letters(bench: Any) -> None:
    _, _, ended = synced(bench, **{"a.html": "<p>Text.</p>", "b.htm": "<p>Text.</p>"})
    assert ("Ignored 1 files as their file format was not supported [Files: s3://documents/b.htm]") in reasons(ended)


@fact("a text that begins with `#!/` is refused", "R")
def test_a_script_is_no_text(bench: Any) -> None:
    base, source, ended = synced(bench, **{"run.txt": "#!/bin/sh\necho leave\n", "a.txt": "# /bin/sh is a shell."})
    assert listed(bench, base, source) == {"run.txt": "IGNORED", "a.txt": "INDEXED"}
    assert "s3://documents/run.txt" in reasons(ended)


@fact("a file of another kind than its ending says is ignored, and no other file with it", "I")
def test_a_file_is_what_its_ending_says(bench: Any) -> None:
    word = (FILES / "rules.docx").read_bytes()
    base, source, _ = synced(bench, **{"a.xlsx": word, "b.txt": (FILES / "rules.pdf").read_bytes(), "c.docx": word})
    assert listed(bench, base, source) == {"a.xlsx": "IGNORED", "b.txt": "IGNORED", "c.docx": "INDEXED"}


@fact("an object in an archive is left out of the job, and no other object with it", "I")
def test_an_archived_object_is_left_out(bench: Any) -> None:
    base, source, _ = synced(bench, **{"a.txt": ENGLISH})
    bench.s3.put_object(Bucket="documents", Key="old.txt", Body=b"Old.", StorageClass="GLACIER")
    ended = bench.sync(base, source)
    assert (ended["status"], ended["statistics"]["numberOfDocumentsFailed"]) == ("COMPLETE", 1)
    assert "InvalidObjectState" in reasons(ended)


@fact("text in Shift_JIS, EUC-JP, ISO-2022-JP, GB 18030, UTF-16 or that of Western Windows: read here", "U")
@pytest.mark.parametrize("encoding", ["cp932", "euc_jp", "iso2022_jp", "gb18030", "utf-16"])
def test_other_encodings_are_read(bench: Any, encoding: str) -> None:
    text = "有給休暇は年に二十日付与されます。\n会社は九時に始まります。\n"
    base, _, _ = synced(bench, **{"a.txt": text.encode(encoding)})
    assert bench.retrieved(base, "有給休暇")[0]["content"]["text"] == text.strip()


@fact(
    "a bucket may hold objects whose URIs have more than 128 characters: they are indexed, listed and found here", "U"
)
def test_long_uris_are_listed(bench: Any) -> None:
    key = f"{'規程' * 60}/{'x' * 200}.txt"
    base, source, _ = synced(bench, **{key: ENGLISH})
    assert listed(bench, base, source) == {key: "INDEXED"}
    assert bench.retrieved(base, "leave")[0]["location"]["s3Location"]["uri"] == f"s3://documents/{key}"


# Metadata


@fact("a number in the metadata of a result is a float", "R")
@pytest.mark.parametrize("given", [2026, {"value": {"type": "NUMBER", "numberValue": 2026}}])
def test_numbers_come_back_as_floats(bench: Any, given: Any) -> None:
    base, _, _ = synced(bench, **{"a.txt": ENGLISH, "a.txt.metadata.json": bench.sidecar(year=given)})
    year = bench.retrieved(base, "leave")[0]["metadata"]["year"]
    assert (year, type(year)) == (2026, float)


@fact("a result's metadata have x-amz-bedrock-kb-source-file-modality: TEXT for a text", "R")
def test_a_result_tells_its_modality(bench: Any) -> None:
    base, _, _ = synced(bench, **{"a.txt": ENGLISH})
    assert bench.retrieved(base, "leave")[0]["metadata"]["x-amz-bedrock-kb-source-file-modality"] == "TEXT"


@fact("S3 Vectors: a document with a sidecar over 1,024 bytes is missing from ListKnowledgeBaseDocuments", "R")
def test_a_large_sidecar_takes_its_document_out_of_the_list(bench: Any) -> None:
    base, source, _ = synced(bench, **{"a.txt": ENGLISH, "b.txt": "Other."})
    bench.put("documents", **{"a.txt.metadata.json": bench.sidecar(note="x" * 1_024)})
    ended = bench.sync(base, source)
    assert "MaximumFileSizeSupported: 1024 bytes" in reasons(ended)
    assert listed(bench, base, source) == {"b.txt": "INDEXED"}
    wanted = [{"dataSourceType": "S3", "s3": {"uri": "s3://documents/a.txt"}}]
    names = {"knowledgeBaseId": base, "dataSourceId": source}
    (found,) = bench.agent.get_knowledge_base_documents(**names, documentIdentifiers=wanted)["documentDetails"]
    assert found["status"] == "NOT_FOUND"
    assert [result["content"]["text"] for result in bench.retrieved(base, "leave")] == ["Other."]
    bench.s3.delete_object(Bucket="documents", Key="a.txt.metadata.json")
    assert bench.sync(base, source)["statistics"]["numberOfNewDocumentsIndexed"] == 1


@fact("a sidecar has at most 10 KB, whatever the store", "D")
def test_a_sidecar_has_a_largest_size(bench: Any) -> None:
    base = bench.managed()
    source = bench.data_source(base, configuration=to_bucket())
    for name, size in (("a", 10_000), ("b", 10_300)):
        bench.put("documents", **{f"{name}.txt": ENGLISH, f"{name}.txt.metadata.json": bench.sidecar(note="x" * size)})
    assert bench.sync(base, source)["statistics"]["numberOfNewDocumentsIndexed"] == 1


@fact("an attribute can't be called `id`", "R")
def test_an_attribute_called_id_is_refused(bench: Any) -> None:
    base, source, ended = synced(bench, **{"a.txt": ENGLISH, "a.txt.metadata.json": bench.sidecar(id="7")})
    assert "due to invalid metadata attributes" in reasons(ended)
    assert listed(bench, base, source) == {"a.txt": "IGNORED"}


@fact("attributes can't have the names of the service's own", "I")
@pytest.mark.parametrize("name", ["x-amz-bedrock-kb-source-uri", "AMAZON_BEDROCK_TEXT"])
def test_the_services_own_names_are_refused(bench: Any, name: str) -> None:
    _, _, ended = synced(bench, **{"a.txt": ENGLISH, "a.txt.metadata.json": bench.sidecar(**{name: "x"})})
    assert "due to invalid metadata attributes" in reasons(ended)


@fact(
    "`…due to invalid metadata attributes. Check that the attribute keys and values don't exceed the character quota, "
    "and that the attribute values are acceptable data types (strings, numbers, or Booleans). Then retry your request`",
    "R",
)
def test_invalid_attributes_are_told_in_these_words(bench: Any) -> None:
    _, _, ended = synced(bench, **{"a.txt": ENGLISH, "a.txt.metadata.json": bench.sidecar(a=None)})
    assert reasons(ended) == (
        "Encountered error: Ignored 1 files due to invalid metadata attributes. Check that the attribute keys and "
        "values don't exceed the character quota, and that the attribute values are acceptable data types (strings, "
        "numbers, or Booleans). Then retry your request [Files: s3://documents/a.txt]. "
        "Call to Customer Source did not succeed."
    )


# Rows of CSV

STOCK = "Item,Text,Price,Since\nTent,A tent for two.,120,2024\nStove,It burns gas.,45,2025\n"


def rows(content: tuple[str, ...] = ("Text",), **columns: list[str]) -> str:
    """A metadata file that makes each row of CSV a document of its own."""
    names = {member: [{"fieldName": name} for name in given] for member, given in columns.items()}
    described: dict[str, Any] = {"contentFields": [{"fieldName": name} for name in content]}
    if names:
        described["metadataFieldsSpecification"] = names
    structure = {"type": "RECORD_BASED_STRUCTURE_METADATA", "recordBasedStructureMetadata": described}
    return json.dumps({"metadataAttributes": {"shop": "Acme"}, "documentStructureConfiguration": structure})


def of_rows(bench: Any, base: str) -> dict[str, dict[str, Any]]:
    """The attributes that are not the service's own, by the text."""
    return {
        result["content"]["text"]: {k: v for k, v in result["metadata"].items() if not k.startswith("x-amz-")}
        for result in bench.retrieved(base, "tent gas", numberOfResults=20)
    }


@fact("CSV: one column is the content, a row at a time, and the others are attributes, as texts", "D")
def test_each_row_is_a_document_with_its_attributes(bench: Any) -> None:
    base, _, ended = synced(bench, **{"stock.csv": STOCK, "stock.csv.metadata.json": rows()})
    assert ended["statistics"]["numberOfNewDocumentsIndexed"] == 1
    assert of_rows(bench, base) == {
        "A tent for two.": {"shop": "Acme", "Item": "Tent", "Price": "120", "Since": "2024"},
        "It burns gas.": {"shop": "Acme", "Item": "Stove", "Price": "45", "Since": "2025"},
    }
    found = bench.retrieved(base, "tent gas", filter={"equals": {"key": "Item", "value": "Stove"}})
    assert [result["content"]["text"] for result in found] == ["It burns gas."]


@fact("CSV: with fieldsToInclude only those columns are attributes", "D")
def test_columns_can_be_included(bench: Any) -> None:
    base, _, _ = synced(bench, **{"stock.csv": STOCK, "stock.csv.metadata.json": rows(fieldsToInclude=["Price"])})
    assert of_rows(bench, base)["A tent for two."] == {"shop": "Acme", "Price": "120"}


@fact("CSV: with fieldsToExclude all other columns are attributes", "D")
def test_columns_can_be_excluded(bench: Any) -> None:
    base, _, _ = synced(bench, **{"stock.csv": STOCK, "stock.csv.metadata.json": rows(fieldsToExclude=["Price"])})
    assert of_rows(bench, base)["A tent for two."] == {"shop": "Acme", "Item": "Tent", "Since": "2024"}


@fact("CSV: there is one content field", "D")
@pytest.mark.parametrize("content", [(), ("Text", "Item")])
def test_there_is_one_content_field(bench: Any, content: tuple[str, ...]) -> None:
    base, source, _ = synced(bench, **{"stock.csv": STOCK, "stock.csv.metadata.json": rows(content)})
    assert listed(bench, base, source) == {"stock.csv": "IGNORED"}


@fact("CSV: a file without the content field is ignored", "I")
def test_the_content_field_must_be_there(bench: Any) -> None:
    base, source, _ = synced(bench, **{"stock.csv": STOCK, "stock.csv.metadata.json": rows(("Words",))})
    assert listed(bench, base, source) == {"stock.csv": "IGNORED"}


@fact("CSV: the chunking strategy is applied to the content field of each row", "D")
def test_the_text_of_a_row_is_cut(bench: Any) -> None:
    text = " ".join(f"Sentence number {number} is about tents." for number in range(40))
    fixed = {"maxTokens": 50, "overlapPercentage": 1}
    settings = {"chunkingConfiguration": {"chunkingStrategy": "FIXED_SIZE", "fixedSizeChunkingConfiguration": fixed}}
    stock = f"Item,Text\nTent,{text}\nStove,It burns gas.\n"
    base, _, _ = synced(bench, settings, **{"stock.csv": stock, "stock.csv.metadata.json": rows()})
    found = of_rows(bench, base)
    assert len(found) > 5
    assert {attributes["Item"] for attributes in found.values()} == {"Tent", "Stove"}


@fact("S3 Vectors: the columns of a row count among its 35 metadata keys", "I")
def test_columns_are_keys_too(bench: Any) -> None:
    def stock(columns: int) -> str:
        names = [f"c{number}" for number in range(columns)]
        return f"Text,{','.join(names)}\nA tent.,{','.join(names)}\n"

    base, source, _ = synced(
        bench,
        **{"a.csv": stock(34), "a.csv.metadata.json": rows(), "b.csv": stock(35), "b.csv.metadata.json": rows()},
    )
    assert listed(bench, base, source) == {"a.csv": "INDEXED", "b.csv": "IGNORED"}


# Errors of fields


@fact("s3vectors: a ValidationException has a fieldList of paths and messages", "M")
def test_errors_of_s3_vectors_list_their_fields(bench: Any) -> None:
    bench.index("tenant")
    with pytest.raises(ClientError) as caught:
        bench.index("wide", dimension=5_000)
    response: Any = caught.value.response
    (field,) = response["fieldList"]
    assert (field["path"], "less than or equal to 4096" in field["message"]) == ("dimension", True)


@fact("bedrock-agent: a ValidationException has a fieldList of names and messages", "M")
def test_errors_of_bedrock_agent_list_their_fields(bench: Any) -> None:
    with pytest.raises(ClientError) as caught:
        bench.agent.create_knowledge_base(**bench.knowledge_base_request("a" * 300, bench.index("tenant")))
    response: Any = caught.value.response
    assert {field["name"] for field in response["fieldList"]} == {"name"}


# Data sources


@fact("MANAGED: S3 and CUSTOM: 400 `Unsupported data source type for MANAGED knowledge base type.`", "R")
@pytest.mark.parametrize("kind", ["S3", "CUSTOM", "WEB"])
def test_a_managed_knowledge_base_refuses_other_types(bench: Any, kind: str) -> None:
    base = bench.managed()
    more = {"s3Configuration": {"bucketArn": "arn:aws:s3:::documents"}} if kind == "S3" else {}
    configuration = {"type": kind, **more}
    assert refusal(
        bench.agent.create_data_source, knowledgeBaseId=base, name="d", dataSourceConfiguration=configuration
    ) == (400, "ValidationException", "Unsupported data source type for MANAGED knowledge base type.")


SUPPORTED = (
    "S3, ONEDRIVE, ZENDESK, SALESFORCE, BOX, DROPBOX, SHAREPOINT, GOOGLEDRIVE, WEB, CUSTOM, CONFLUENCEONPREM, "
    "CONFLUENCE, SERVICENOW"
)


@fact("MANAGED: connectorParameters without type: `Connector type is required in connector parameters`", "R")
def test_a_connector_has_a_type(bench: Any) -> None:
    assert refused(bench, connector(version="1")) == "Connector type is required in connector parameters"


@fact("MANAGED: another type: `Invalid connector type '{type}'. Supported types are: S3, ONEDRIVE, …`", "R")
def test_a_connectors_type_is_known(bench: Any) -> None:
    told = refused(bench, connector(type="BOGUS", version="1"))
    assert told == f"Invalid connector type 'BOGUS'. Supported types are: {SUPPORTED}."


@fact("MANAGED: without version: `The 'version' field is required in connector parameters.`", "R")
def test_a_connector_has_a_version(bench: Any) -> None:
    assert refused(bench, connector(type="S3")) == "The 'version' field is required in connector parameters."


@fact("MANAGED: version 1.0.0: `Invalid connector version '1.0.0'. Supported versions are: 1.`", "R")
def test_a_connectors_version_is_a_number(bench: Any) -> None:
    told = refused(bench, connector(type="S3", version="1.0.0"))
    assert told == "Invalid connector version '1.0.0'. Supported versions are: 1."


def refused(bench: Any, configuration: dict[str, Any]) -> str:
    """The message of CreateDataSource of a MANAGED knowledge base."""
    create = bench.agent.create_data_source
    status, code, told = refusal(
        create, knowledgeBaseId=bench.managed(), name="d", dataSourceConfiguration=configuration
    )
    assert (status, code) == (400, "ValidationException")
    return told


@fact(
    "MANAGED: without connectionConfiguration: CREATING, then FAILED, `Value at 'connectionConfiguration' failed to "
    "satisfy constraint: Member must not be null`",
    "R",
)
def test_a_connector_without_a_connection_fails_later(bench: Any) -> None:
    base = bench.managed()
    source = bench.data_source(base, configuration=connector(type="S3", version="1"))
    found = bench.agent.get_data_source(knowledgeBaseId=base, dataSourceId=source)["dataSource"]
    assert found["status"] == "FAILED"
    assert found["failureReasons"] == [
        "Value at 'connectionConfiguration' failed to satisfy constraint: Member must not be null"
    ]


@fact("StartIngestionJob: `You cannot start an ingestion job on a data source with status FAILED.`", "R")
def test_a_failed_data_source_takes_no_job(bench: Any) -> None:
    base = bench.managed()
    source = bench.data_source(base, configuration=connector(type="S3", version="1"))
    assert refusal(bench.agent.start_ingestion_job, knowledgeBaseId=base, dataSourceId=source)[1:] == (
        "ValidationException",
        "You cannot start an ingestion job on a data source with status FAILED.",
    )


@fact("MANAGED: filterConfiguration.inclusionPrefixes limits what a connector reads", "R")
def test_a_connector_reads_its_prefixes(bench: Any) -> None:
    base = bench.managed()
    source = bench.data_source(base, configuration=to_bucket(filterConfiguration={"inclusionPrefixes": ["a/", "b/"]}))
    bench.put("documents", **{"a/1.txt": "One.", "b/2.txt": "Two.", "c/3.txt": "Three."})
    assert bench.sync(base, source)["statistics"]["numberOfNewDocumentsIndexed"] == 2


@fact("MANAGED: with managedKnowledgeBaseConfiguration {}, the service takes embeddingModelType MANAGED", "R")
def test_a_managed_knowledge_base_needs_no_configuration(bench: Any) -> None:
    ways: dict[str, dict[str, Any]] = {"empty": {"managedKnowledgeBaseConfiguration": {}}, "none": {}}
    for name, given in ways.items():
        role = bench.knowledge_base_request("x", "arn")["roleArn"]
        request = {"name": name, "roleArn": role, "knowledgeBaseConfiguration": {"type": "MANAGED", **given}}
        made = bench.agent.create_knowledge_base(**request)["knowledgeBase"]
        assert made["knowledgeBaseConfiguration"]["managedKnowledgeBaseConfiguration"] == {
            "embeddingModelType": "MANAGED"
        }
        bench.clock.advance(130)
        bench.agent.update_knowledge_base(**request, knowledgeBaseId=made["knowledgeBaseId"], description="as before")


@fact("the type of a data source can't be changed", "D")
def test_the_type_of_a_data_source_is_for_ever(bench: Any) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base, configuration={"type": "CUSTOM"})
    configuration = {"type": "S3", "s3Configuration": {"bucketArn": "arn:aws:s3:::documents"}}
    names = {"knowledgeBaseId": base, "dataSourceId": source, "name": "documents"}
    assert refusal(bench.agent.update_data_source, **names, dataSourceConfiguration=configuration)[:2] == (
        400,
        "ValidationException",
    )


@needs_sight
@fact(
    "the kind of parser can't: `vectorIngestionConfiguration.parsingConfiguration cannot be updated once created`", "R"
)
def test_the_kind_of_parser_is_for_ever(bench: Any) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base, vectorIngestionConfiguration=seen_by_a_model())
    configuration = {"type": "S3", "s3Configuration": {"bucketArn": "arn:aws:s3:::documents"}}
    names = {"knowledgeBaseId": base, "dataSourceId": source, "name": "documents"}
    assert refusal(bench.agent.update_data_source, **names, dataSourceConfiguration=configuration)[2] == (
        "vectorIngestionConfiguration.parsingConfiguration cannot be updated once created"
    )


@needs_sight
@fact("the model and the prompt of a parser can be changed", "D")
def test_the_model_of_a_parser_can_be_changed(bench: Any) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base, vectorIngestionConfiguration=seen_by_a_model())
    later = seen_by_a_model(
        modelArn=VISION.replace("pro", "lite"), parsingPrompt={"parsingPromptText": "Read the tables."}
    )
    bench.agent.update_data_source(
        knowledgeBaseId=base,
        dataSourceId=source,
        name="documents",
        dataSourceConfiguration={"type": "S3", "s3Configuration": {"bucketArn": "arn:aws:s3:::documents"}},
        vectorIngestionConfiguration=later,
    )
    found = bench.agent.get_data_source(knowledgeBaseId=base, dataSourceId=source)["dataSource"]
    assert found["vectorIngestionConfiguration"] == later


# Chunking

HANDBOOK = "\n\n".join(
    f"Rule {number} is about {topic}. It has been in force since {2000 + number}. Its number is {number * 111}."
    for number, topic in enumerate(["tents", "stoves", "boats", "lamps", "ropes", "maps", "bags", "shoes"])
)


@fact("HIERARCHICAL: children are searched, and their parents answered", "D")
def test_parents_are_answered_for_their_children(bench: Any) -> None:
    base, _, _ = synced(bench, hierarchical(80, 20), **{"a.txt": HANDBOOK})
    best = bench.retrieved(base, "When did the rule about boats come into force?")[0]["content"]["text"]
    assert "boats" in best
    assert "lamps" in best or "stoves" in best
    answer = bench.ask(base, "What is the number of rule 2 about boats?")
    references = [each for citation in answer["citations"] for each in citation["retrievedReferences"]]
    assert references
    assert all(len(each["content"]["text"]) > 100 for each in references)


@fact("HIERARCHICAL: fewer results than asked for, as children of one parent become one", "D")
def test_children_of_one_parent_are_one_result(bench: Any) -> None:
    base, _, _ = synced(bench, hierarchical(80, 20), **{"a.txt": HANDBOOK})
    found = [result["content"]["text"] for result in bench.retrieved(base, "rule", numberOfResults=10)]
    assert 1 < len(found) < 10
    assert len(set(found)) == len(found)
    members = {"knowledgeBaseId": base, "retrievalQuery": {"text": "rule"}}
    pages = bench.runtime.get_paginator("retrieve").paginate(**members)
    everything = [result["content"]["text"] for page in pages for result in page["retrievalResults"]]
    assert len(set(everything)) == len(everything) >= len(found)


@fact("HIERARCHICAL: exactly two levels, each of 1 to 8,192 tokens, overlapTokens at least 1", "M")
@pytest.mark.parametrize(("levels", "overlap"), [([100, 50, 20], 1), ([9_000, 50], 1)])
def test_there_are_two_levels(bench: Any, levels: list[int], overlap: int) -> None:
    settings = hierarchical(100, 50, overlap)
    described = settings["chunkingConfiguration"]["hierarchicalChunkingConfiguration"]
    described["levelConfigurations"] = [{"maxTokens": most} for most in levels]
    assert refused_settings(bench, settings)[:2] == (400, "ValidationException")


@fact("HIERARCHICAL: children are no larger than parents, and overlap by less than their size", "I")
@pytest.mark.parametrize("settings", [hierarchical(50, 100), hierarchical(100, 50, 50)])
def test_children_are_smaller_than_parents(bench: Any, settings: dict[str, Any]) -> None:
    assert refused_settings(bench, settings)[:2] == (400, "ValidationException")


def refused_settings(bench: Any, settings: dict[str, Any], base: str | None = None) -> tuple[int, str, str]:
    """What CreateDataSource answers."""
    managed = base is not None
    configuration = (
        to_bucket() if managed else {"type": "S3", "s3Configuration": {"bucketArn": "arn:aws:s3:::documents"}}
    )
    return refusal(
        bench.agent.create_data_source,
        knowledgeBaseId=base or bench.knowledge_base(),
        name="documents",
        dataSourceConfiguration=configuration,
        vectorIngestionConfiguration=settings,
    )


@fact("HIERARCHICAL on S3 Vectors: parents of many tokens exceed the limit of metadata", "D")
def test_parents_on_s3_vectors_have_a_limit(bench: Any) -> None:
    text = "年次有給休暇は入社した日から数えて六か月を過ぎた従業員に与えられます。\n" * 500
    base, source, ended = synced(bench, hierarchical(8_192, 4_000), **{"a.txt": text * 2, "b.txt": HANDBOOK})
    assert listed(bench, base, source) == {"a.txt": "FAILED", "b.txt": "INDEXED"}
    assert "Metadata must have at most 40960 bytes" in reasons(ended)


@fact("SEMANTIC: a text is cut where the meaning of its sentences changes most", "D")
def test_semantic_chunks_are_of_one_topic(bench: Any) -> None:
    leave = [f"Paid leave of employees is {number} days of leave." for number in range(20, 26)]
    tents = [f"Tents are rented for {number} euros a tent." for number in range(30, 36)]
    base, _, _ = synced(bench, semantic(), **{"a.txt": " ".join([*leave, *tents])})
    found = {result["content"]["text"] for result in bench.retrieved(base, "leave tents")}
    assert found == {" ".join(leave), " ".join(tents)}


@fact("SEMANTIC: `File body text exceeds size limit of 1000000 for semantic chunking.`", "R")
def test_semantic_chunking_has_a_limit(bench: Any) -> None:
    base, source, ended = synced(bench, semantic(), **{"a.txt": "A short text. " * 75_000, "b.txt": ENGLISH})
    assert "File body text exceeds size limit of 1000000 for semantic chunking." in reasons(ended)
    assert listed(bench, base, source) == {"a.txt": "FAILED", "b.txt": "INDEXED"}


@fact("SEMANTIC: maxTokens 1 to 8,192, bufferSize 0 or 1, breakpointPercentileThreshold 50 to 99", "M")
@pytest.mark.parametrize("settings", [semantic(most=9_000), semantic(beside=2), semantic(percentile=100)])
def test_semantic_chunking_has_ranges(bench: Any, settings: dict[str, Any]) -> None:
    assert refused_settings(bench, settings)[:2] == (400, "ValidationException")


@fact("a chunkingStrategy comes with its configuration", "M")
@pytest.mark.parametrize("strategy", ["HIERARCHICAL", "SEMANTIC"])
def test_a_strategy_needs_its_configuration(bench: Any, strategy: str) -> None:
    _, code, told = refused_settings(bench, {"chunkingConfiguration": {"chunkingStrategy": strategy}})
    assert (code, f"is required for chunkingStrategy {strategy}" in told) == ("ValidationException", True)


@fact("NONE: results have no page numbers", "D")
def test_uncut_pages_have_no_numbers(bench: Any, two_page_pdf: bytes) -> None:
    settings = {"chunkingConfiguration": {"chunkingStrategy": "NONE"}}
    base, _, _ = synced(bench, settings, **{"rules.pdf": two_page_pdf})
    found = bench.retrieved(base, "paid leave")
    assert found
    assert all("x-amz-bedrock-kb-document-page-number" not in result["metadata"] for result in found)


@fact("MANAGED: semantic chunking is refused", "D")
def test_a_managed_knowledge_base_has_no_semantic_chunking(bench: Any) -> None:
    assert refused_settings(bench, semantic(), bench.managed())[:2] == (400, "ValidationException")


@fact("MANAGED: hierarchical chunking, which is not listed, is refused", "I")
def test_a_managed_knowledge_base_has_no_hierarchical_chunking(bench: Any) -> None:
    assert refused_settings(bench, hierarchical(100, 50), bench.managed())[:2] == (400, "ValidationException")


@fact("MANAGED: fixed-size chunking and none are taken", "D")
def test_a_managed_knowledge_base_can_be_cut_in_fixed_sizes(bench: Any) -> None:
    base = bench.managed()
    for strategy in ("NONE", "FIXED_SIZE"):
        settings = {"chunkingConfiguration": {"chunkingStrategy": strategy}}
        source = bench.data_source(
            base, name=strategy.replace("_", "-"), configuration=to_bucket(), vectorIngestionConfiguration=settings
        )
        found = bench.agent.get_data_source(knowledgeBaseId=base, dataSourceId=source)["dataSource"]
        assert found["vectorIngestionConfiguration"] == settings


# Parsers


@fact("the default parser finds no text in a scan", "D")
def test_the_default_parser_is_blind(bench: Any) -> None:
    _, _, ended = synced(bench, **{"scan.pdf": (FILES / "scan.pdf").read_bytes()})
    assert "Ignored 1 files as no text content found [Files: s3://documents/scan.pdf]" in reasons(ended)


@needs_sight
@fact("a foundation model as the parser reads a scan", "D")
def test_a_foundation_model_reads_a_scan(bench: Any) -> None:
    base, _, ended = synced(bench, seen_by_a_model(), **{"scan.pdf": (FILES / "scan.pdf").read_bytes()})
    assert ended["statistics"]["numberOfNewDocumentsIndexed"] == 1, ended
    (found,) = bench.retrieved(base, "有給休暇")
    text = "".join(found["content"]["text"].split())
    assert "有給休暇は入社六か月後に10日付与する。" in text
    assert "Theofficeclosesatsixintheevening." in text


@needs_sight
@fact("where the chosen parser fails at a file, the default parser reads it, and nothing tells", "D")
def test_a_failing_parser_is_replaced_silently(bench: Any) -> None:
    bench.emulator.faults.add({"effect": "parser_fails", "keys": ["scan.pdf", "rules.pdf"]})
    files = {name: (FILES / name).read_bytes() for name in ("scan.pdf", "rules.pdf")}
    base, source, ended = synced(bench, seen_by_a_model(), **files)
    assert listed(bench, base, source) == {"scan.pdf": "IGNORED", "rules.pdf": "INDEXED"}
    assert "parse" not in reasons(ended)


@needs_sight
@fact("a chosen parser is used for .pdf only", "D")
def test_a_chosen_parser_reads_pdf_only(bench: Any) -> None:
    word = (FILES / "rules.docx").read_bytes()
    base, source, _ = synced(bench, seen_by_a_model(), **{"rules.docx": word, "a.txt": ENGLISH})
    assert listed(bench, base, source) == {"rules.docx": "INDEXED", "a.txt": "INDEXED"}


class Without:
    """An authority that denies one action on one resource, and allows all else."""

    def __init__(self, resource: str) -> None:
        self._resource = resource

    def assume(self, role_arn: str, source_arn: str, source_account: str) -> Without:
        return self

    def may(self, action: str, resource: str, conditions: Any) -> bool:
        return resource != self._resource


@needs_sight
@fact(
    "direct ingestion is refused where the role can't call the parsing model: `…not able to call the specified model…`",
    "R",
)
def test_direct_ingestion_checks_the_parsing_model(workbench_of: Any) -> None:
    bench = workbench_of(authority=Without(VISION))
    base = bench.knowledge_base()
    source = bench.data_source(base, vectorIngestionConfiguration=seen_by_a_model())
    bench.put("documents", **{"a.txt": ENGLISH})
    location = {"s3Location": {"uri": "s3://documents/a.txt"}}
    status, code, told = refusal(
        bench.agent.ingest_knowledge_base_documents,
        knowledgeBaseId=base,
        dataSourceId=source,
        documents=[{"content": {"dataSourceType": "S3", "s3": location}}],
    )
    assert (status, code) == (400, "ValidationException")
    assert f"is not able to call the specified model {VISION}" in told


ENDING = "arn:aws:bedrock:ap-northeast-1::foundation-model/anthropic.claude-opus-4-1-20250805-v1:0"
ITS_END = datetime(2027, 1, 8, tzinfo=UTC).timestamp()


@needs_sight
@fact(
    "after the end of the model that parses, direct ingestion is refused, and a job ends well with nothing indexed",
    "R",
)
def test_a_parsing_model_ends(workbench_of: Any) -> None:
    bench = workbench_of(clock=ManualClock(ITS_END - 3_600))
    base, source, ended = synced(bench, seen_by_a_model(modelArn=ENDING), **{"before.txt": ENGLISH})
    assert ended["statistics"]["numberOfNewDocumentsIndexed"] == 1
    bench.clock.advance(ITS_END - bench.clock.now())
    bench.put("documents", **{"after.txt": ENGLISH})
    ended = bench.sync(base, source)
    assert (ended["status"], reasons(ended)) == ("COMPLETE", "")
    counts = ended["statistics"]
    assert (counts["numberOfNewDocumentsIndexed"], counts["numberOfDocumentsFailed"]) == (0, 0)
    assert listed(bench, base, source) == {"before.txt": "INDEXED"}
    location = {"s3Location": {"uri": "s3://documents/after.txt"}}
    status, code, told = refusal(
        bench.agent.ingest_knowledge_base_documents,
        knowledgeBaseId=base,
        dataSourceId=source,
        documents=[{"content": {"dataSourceType": "S3", "s3": location}}],
    )
    assert (status, code) == (400, "ValidationException")
    assert "This model version has reached the end of its life." in told


@needs_sight
@fact("a job whose role can't call the parsing model ends COMPLETE: the default parser reads what it can", "R")
def test_a_job_goes_on_without_its_parsing_model(workbench_of: Any) -> None:
    bench = workbench_of(authority=Without(VISION))
    files = {name: (FILES / name).read_bytes() for name in ("scan.pdf", "rules.pdf")}
    base, source, ended = synced(bench, seen_by_a_model(), **files)
    assert ended["status"] == "COMPLETE"
    assert listed(bench, base, source) == {"scan.pdf": "IGNORED", "rules.pdf": "INDEXED"}


@fact("documents are parsed by models of Claude and Nova that can see, and by Llama 4", "D")
@pytest.mark.parametrize("model", ["amazon.nova-micro-v1:0", "us.amazon.nova-micro-v1:0", "cohere.command-r-v1:0"])
def test_a_model_that_cannot_see_does_not_parse(bench: Any, model: str) -> None:
    settings = seen_by_a_model(modelArn=f"{VISION.rpartition('/')[0]}/{model}")
    assert refused_settings(bench, settings)[:2] == (400, "ValidationException")


@fact("MANAGED: foundation models and Data Automation are no parsers", "D")
@pytest.mark.parametrize("strategy", ["BEDROCK_FOUNDATION_MODEL", "BEDROCK_DATA_AUTOMATION"])
def test_a_managed_knowledge_base_parses_itself(bench: Any, strategy: str) -> None:
    settings = {"parsingConfiguration": {"parsingStrategy": strategy}}
    assert refused_settings(bench, settings, bench.managed())[:2] == (400, "ValidationException")


@fact("SMART_PARSING is for MANAGED, and its default", "D")
def test_smart_parsing_is_for_managed_knowledge_bases(bench: Any) -> None:
    settings = {"parsingConfiguration": {"parsingStrategy": "SMART_PARSING"}}
    assert bench.data_source(bench.managed(), configuration=to_bucket(), vectorIngestionConfiguration=settings)
    assert refused_settings(bench, settings)[:2] == (400, "ValidationException")


@fact("a parsing prompt has at most 10,000 characters", "M")
def test_a_parsing_prompt_has_a_longest_length(bench: Any) -> None:
    settings = seen_by_a_model(parsingPrompt={"parsingPromptText": "x" * 10_001})
    assert "less than or equal to 10000" in refused_settings(bench, settings)[2]


# Embedding models


def with_model(bench: Any, name: str, index: int, **settings: Any) -> dict[str, Any]:
    """The members of CreateKnowledgeBase, with an index of that dimension."""
    request: dict[str, Any] = bench.knowledge_base_request(name, bench.index(f"index-{name}", dimension=index))
    vector = request["knowledgeBaseConfiguration"]["vectorKnowledgeBaseConfiguration"]
    if "model" in settings:
        vector["embeddingModelArn"] = TITAN.replace("amazon.titan-embed-text-v2:0", settings.pop("model"))
    if settings:
        vector["embeddingModelConfiguration"] = {"bedrockEmbeddingModelConfiguration": settings}
    return request


@fact("Titan Text Embeddings V2 makes vectors of 256, 512 or 1,024 numbers", "D")
@pytest.mark.parametrize("dimensions", [256, 512, 1024])
def test_titan_has_three_dimensions(bench: Any, dimensions: int) -> None:
    assert bench.agent.create_knowledge_base(**with_model(bench, "tenant", dimensions, dimensions=dimensions))


@fact("an embedding model makes no vectors of other dimensions", "I")
@pytest.mark.parametrize(
    ("model", "dimensions"), [("amazon.titan-embed-text-v2:0", 300), ("cohere.embed-english-v3", 512)]
)
def test_other_dimensions_are_refused(bench: Any, model: str, dimensions: int) -> None:
    request = with_model(bench, "tenant", dimensions, model=model, dimensions=dimensions)
    assert refusal(bench.agent.create_knowledge_base, **request)[:2] == (400, "ValidationException")


@fact("Titan Embeddings G1 makes vectors of 1,536 numbers, Cohere Embed V3 of 1,024", "D")
@pytest.mark.parametrize(
    ("model", "dimension"),
    [
        ("amazon.titan-embed-text-v1", 1536),
        ("cohere.embed-english-v3", 1024),
        ("cohere.embed-multilingual-v3", 1024),
    ],
)
def test_each_model_has_its_dimension(bench: Any, model: str, dimension: int) -> None:
    assert bench.agent.create_knowledge_base(**with_model(bench, "right", dimension, model=model))
    request = with_model(bench, "wrong", dimension - 1, model=model)
    assert refusal(bench.agent.create_knowledge_base, **request)[:2] == (400, "ValidationException")


@fact("S3 Vectors takes float vectors only: embeddingDataType BINARY is refused", "D")
def test_s3_vectors_take_no_binary_vectors(bench: Any) -> None:
    request = with_model(bench, "tenant", 1024, embeddingDataType="BINARY")
    assert refusal(bench.agent.create_knowledge_base, **request)[:2] == (400, "ValidationException")


@fact("MANAGED: textReadyAt of a job, once all its text can be found; other jobs have none", "M")
def test_a_job_tells_when_its_text_is_ready(bench: Any) -> None:
    shape: Any = get_session().get_service_model("bedrock-agent").shape_for("IngestionJob")
    members = shape.members
    base = bench.managed()
    source = bench.data_source(base, configuration=to_bucket())
    bench.put("documents", **{"a.txt": ENGLISH})
    started = bench.agent.start_ingestion_job(knowledgeBaseId=base, dataSourceId=source)["ingestionJob"]
    assert "textReadyAt" not in started
    bench.clock.advance(10)
    bench.job(base, source, started["ingestionJobId"])
    bench.clock.advance(600)
    ended = bench.job(base, source, started["ingestionJobId"])
    assert ("textReadyAt" in ended) == ("textReadyAt" in members)  # this botocore's model may be older
    _, _, vector = synced(bench, **{"b.txt": ENGLISH})
    assert "textReadyAt" not in vector


@fact(
    "numbers of quotas: a sidecar of 10 KB, on S3 Vectors 1 KB and 35 keys, 2 KB of them filterable, 40 KB in all", "D"
)
def test_limits_of_metadata() -> None:
    quotas = Quotas()
    assert (quotas.sidecar_bytes, quotas.sidecar_bytes_on_s3_vectors) == (10_240, 1_024)
    assert (quotas.sidecar_keys_on_s3_vectors, quotas.filterable_metadata_bytes) == (35, 2_048)
    assert quotas.metadata_bytes_on_s3_vectors == 40_960
