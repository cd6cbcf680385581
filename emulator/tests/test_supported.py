"""What is not emulated is answered 501 by name, at the call that asks for it; also by models that are yet to come."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StringShape, StructureShape

from bedrock_emulator import Emulator, Request
from bedrock_emulator.reading.parsers import can_see
from bedrock_emulator.services.supported import SUPPORTED, check_supported, named
from bedrock_emulator.wire.errors import NotEmulatedError
from bedrock_emulator.wire.protocol import SERVICES, Protocol
from bedrock_emulator.wire.shapes import is_document
from emulator_support.model_requests import operations
from emulator_support.workbench import ROLE, TITAN


def shapes_in_use(service: str) -> Iterator[Shape]:
    """The structures and enumerations of the inputs of emulated operations, by the members that are taken."""
    emulator = Emulator(embedder="character")
    todo: list[Shape] = [
        operation.input_shape
        for of, operation in operations()
        if of == service and emulator.emulates(of, operation.name) and operation.input_shape is not None
    ]
    seen = set()
    while todo:
        shape = todo.pop()
        if isinstance(shape, ListShape):
            todo.append(shape.member)
        elif isinstance(shape, MapShape):
            todo.append(shape.value)
        elif isinstance(shape, StructureShape) and not is_document(shape) and shape.name not in seen:
            seen.add(shape.name)
            yield shape
            todo += [shape.members[name] for name in named(service, shape.name).taken]
        elif isinstance(shape, StringShape) and shape.enum and shape.name not in seen:
            seen.add(shape.name)
            yield shape


@pytest.mark.parametrize("service", SERVICES)
def test_the_table_names_what_the_models_know(service: str) -> None:
    in_use = {shape.name: shape for shape in shapes_in_use(service)}
    assert SUPPORTED[service].keys() == in_use.keys()
    for name, shape in in_use.items():
        known = set(shape.members if isinstance(shape, StructureShape) else shape.metadata["enum"])
        row = named(service, name)
        assert known >= row.taken | row.refused, name


def vectors(**ingestion: Any) -> dict[str, Any]:
    return {"vectorIngestionConfiguration": ingestion}


@pytest.mark.parametrize(
    ("asked", "named_"),
    [
        (
            vectors(
                customTransformationConfiguration={
                    "intermediateStorage": {"s3Location": {"uri": "s3://b/"}},
                    "transformations": [
                        {
                            "stepToApply": "POST_CHUNKING",
                            "transformationFunction": {
                                "transformationLambdaConfiguration": {
                                    "lambdaArn": "arn:aws:lambda:us-east-1:000000000000:function:transform"
                                }
                            },
                        }
                    ],
                }
            ),
            "vectorIngestionConfiguration.customTransformationConfiguration",
        ),
        (
            vectors(
                contextEnrichmentConfiguration={
                    "type": "BEDROCK_FOUNDATION_MODEL",
                    "bedrockFoundationModelConfiguration": {
                        "modelArn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
                        "enrichmentStrategyConfiguration": {"method": "CHUNK_ENTITY_EXTRACTION"},
                    },
                }
            ),
            "vectorIngestionConfiguration.contextEnrichmentConfiguration",
        ),
    ],
    ids=["custom transformations", "context enrichment"],
)
def test_a_data_source_is_refused_when_it_is_made(bench: Any, asked: dict[str, Any], named_: str) -> None:
    base = bench.knowledge_base()
    with pytest.raises(ClientError, match=named_) as caught:
        bench.data_source(base, **asked)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert caught.value.response["Error"]["Code"] == "NotEmulatedException"
    assert bench.agent.list_data_sources(knowledgeBaseId=base)["dataSourceSummaries"] == []


CHUNKINGS: dict[str, dict[str, Any]] = {
    "HIERARCHICAL": {
        "hierarchicalChunkingConfiguration": {
            "levelConfigurations": [{"maxTokens": 900}, {"maxTokens": 200}],
            "overlapTokens": 20,
        }
    },
    "SEMANTIC": {
        "semanticChunkingConfiguration": {"maxTokens": 300, "bufferSize": 0, "breakpointPercentileThreshold": 95}
    },
}
VISION = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"


@pytest.mark.parametrize("strategy", sorted(named("bedrock-agent", "ChunkingStrategy").taken - {"FIXED_SIZE", "NONE"}))
def test_a_chunking_that_is_taken_is_done(bench: Any, strategy: str) -> None:
    _is_done(bench, {"chunkingConfiguration": {"chunkingStrategy": strategy, **CHUNKINGS[strategy]}})


def seen_by_a_model(**more: Any) -> dict[str, Any]:
    described = {"modelArn": VISION, **more}
    return {
        "parsingConfiguration": {
            "parsingStrategy": "BEDROCK_FOUNDATION_MODEL",
            "bedrockFoundationModelConfiguration": described,
        }
    }


@pytest.mark.skipif(not can_see(), reason="the packages that read scans are not installed: bedrock-emulator[ocr]")
def test_a_parser_that_is_taken_is_done(bench: Any) -> None:
    _is_done(bench, seen_by_a_model())


def test_a_parser_that_sees_is_refused_where_nothing_can_see(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bedrock_emulator.reading.parsers.can_see", lambda: False)
    base = bench.knowledge_base()
    with pytest.raises(ClientError, match=r"BEDROCK_FOUNDATION_MODEL without bedrock-emulator\[ocr\] is not emulated"):
        bench.data_source(base, vectorIngestionConfiguration=seen_by_a_model())
    assert bench.agent.list_data_sources(knowledgeBaseId=base)["dataSourceSummaries"] == []


def _is_done(bench: Any, settings: dict[str, Any]) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base, vectorIngestionConfiguration=settings)
    bench.put("documents", **{"leave.txt": "Paid leave is twenty days a year."})
    ended = bench.sync(base, source)
    assert (ended["status"], ended["statistics"]["numberOfNewDocumentsIndexed"]) == ("COMPLETE", 1)


# What Bedrock itself refuses in some settings

S3 = {"type": "S3", "s3Configuration": {"bucketArn": "arn:aws:s3:::documents"}}
CONNECTOR = {
    "type": "MANAGED_KNOWLEDGE_BASE_CONNECTOR",
    "managedKnowledgeBaseConnectorConfiguration": {
        "connectorParameters": {
            "type": "S3",
            "version": "1",
            "connectionConfiguration": {"bucketName": "documents"},
        }
    },
}
ADDRESS, SECRET = "https://example.com", "arn:aws:secretsmanager:us-east-1:000000000000:secret:crawler"
CRAWLERS: dict[str, dict[str, Any]] = {
    "webConfiguration": {"sourceConfiguration": {"urlConfiguration": {"seedUrls": [{"url": ADDRESS}]}}},
    "confluenceConfiguration": {
        "sourceConfiguration": {
            "hostUrl": ADDRESS,
            "hostType": "SAAS",
            "authType": "BASIC",
            "credentialsSecretArn": SECRET,
        }
    },
    "salesforceConfiguration": {
        "sourceConfiguration": {
            "hostUrl": ADDRESS,
            "authType": "OAUTH2_CLIENT_CREDENTIALS",
            "credentialsSecretArn": SECRET,
        }
    },
    "sharePointConfiguration": {
        "sourceConfiguration": {
            "domain": "example",
            "siteUrls": [ADDRESS],
            "hostType": "ONLINE",
            "authType": "OAUTH2_CLIENT_CREDENTIALS",
            "credentialsSecretArn": SECRET,
        }
    },
}
KIND_OF = {
    "webConfiguration": "WEB",
    "confluenceConfiguration": "CONFLUENCE",
    "salesforceConfiguration": "SALESFORCE",
    "sharePointConfiguration": "SHAREPOINT",
}


def asks_for_source(bench: Any, managed: bool, configuration: dict[str, Any], **ingestion: Any) -> int:
    """The HTTP status that CreateDataSource is answered with."""
    base = bench.managed() if managed else bench.knowledge_base()
    more = {"vectorIngestionConfiguration": ingestion} if ingestion else {}
    return _status(
        bench.agent.create_data_source,
        knowledgeBaseId=base,
        name="documents",
        dataSourceConfiguration=configuration,
        **more,
    )


def asks_for_parser(bench: Any, managed: bool, strategy: str, **more: Any) -> int:
    """The same, with a parser."""
    parsing = {"parsingStrategy": strategy, **more}
    return asks_for_source(bench, managed, CONNECTOR if managed else S3, parsingConfiguration=parsing)


def asks_for_vectors(bench: Any, configuration: dict[str, Any], **storage: Any) -> int:
    """The HTTP status that CreateKnowledgeBase is answered with."""
    return _status(
        bench.agent.create_knowledge_base,
        name="tenant",
        roleArn=ROLE,
        knowledgeBaseConfiguration=configuration,
        **storage,
    )


def binary(of: str, **more: Any) -> dict[str, Any]:
    """The configuration of a knowledge base with binary vectors."""
    member = f"{of.lower()}KnowledgeBaseConfiguration"
    settings = {"bedrockEmbeddingModelConfiguration": {"embeddingDataType": "BINARY"}}
    return {"type": of, member: {"embeddingModelArn": TITAN, "embeddingModelConfiguration": settings, **more}}


def on_s3_vectors(bench: Any) -> dict[str, Any]:
    return {"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": bench.index("tenant")}}


ON_OPENSEARCH = {
    "type": "OPENSEARCH_SERVERLESS",
    "opensearchServerlessConfiguration": {
        "collectionArn": "arn:aws:aoss:us-east-1:000000000000:collection/abcdefghijklmnopqrst",
        "vectorIndexName": "tenant",
        "fieldMapping": {"vectorField": "vector", "textField": "text", "metadataField": "metadata"},
    },
}
MODALITY = {"modelArn": VISION, "parsingModality": "MULTIMODAL"}
Asking = Callable[[Any], int]


def _source(configuration: dict[str, Any]) -> Asking:
    return lambda bench: asks_for_source(bench, managed=False, configuration=configuration)


def _managed_source(configuration: dict[str, Any]) -> Asking:
    return lambda bench: asks_for_source(bench, managed=True, configuration=configuration)


def _parser(strategy: str, **more: Any) -> Asking:
    return lambda bench: asks_for_parser(bench, False, strategy, **more)


def _managed_parser(strategy: str, **more: Any) -> Asking:
    return lambda bench: asks_for_parser(bench, True, strategy, **more)


# What Bedrock refuses, and what only the emulator does.
BOTH_WAYS: dict[tuple[str, str], tuple[Asking, Asking]] = {
    **{
        ("DataSourceType", kind): (_managed_source({"type": kind}), _source({"type": kind}))
        for kind in ("WEB", "CONFLUENCE", "SALESFORCE", "SHAREPOINT", "REDSHIFT_METADATA")
    },
    **{
        ("DataSourceConfiguration", member): (
            _managed_source({"type": KIND_OF[member], member: crawler}),
            _source({**S3, member: crawler}),
        )
        for member, crawler in CRAWLERS.items()
    },
    ("EmbeddingDataType", "BINARY"): (
        lambda bench: asks_for_vectors(bench, binary("VECTOR"), storageConfiguration=on_s3_vectors(bench)),
        lambda bench: asks_for_vectors(bench, binary("VECTOR"), storageConfiguration=ON_OPENSEARCH),
    ),
    ("ParsingConfiguration", "bedrockDataAutomationConfiguration"): (
        _managed_parser("BEDROCK_DATA_AUTOMATION", bedrockDataAutomationConfiguration={}),
        _parser("BEDROCK_FOUNDATION_MODEL", bedrockDataAutomationConfiguration={}),
    ),
    ("ParsingStrategy", "BEDROCK_DATA_AUTOMATION"): (
        _managed_parser("BEDROCK_DATA_AUTOMATION"),
        _parser("BEDROCK_DATA_AUTOMATION"),
    ),
    ("ParsingStrategy", "MULTI_MODAL_EMBEDDINGS"): (
        _parser("MULTI_MODAL_EMBEDDINGS"),
        _managed_parser("MULTI_MODAL_EMBEDDINGS"),
    ),
    ("BedrockFoundationModelConfiguration", "parsingModality"): (
        _managed_parser("BEDROCK_FOUNDATION_MODEL", bedrockFoundationModelConfiguration=MODALITY),
        _parser("BEDROCK_FOUNDATION_MODEL", bedrockFoundationModelConfiguration=MODALITY),
    ),
}


def _status(call: Callable[..., Any], **members: Any) -> int:
    with pytest.raises(ClientError) as caught:
        call(**members)
    status: int = caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
    expected = {400: "ValidationException", 501: "NotEmulatedException"}
    assert caught.value.response["Error"]["Code"] == expected[status]
    return status


def test_all_that_bedrock_refuses_itself_is_tried_both_ways() -> None:
    apart = {(shape, name) for shape in SUPPORTED["bedrock-agent"] for name in named("bedrock-agent", shape).refused}
    assert BOTH_WAYS.keys() == apart
    others = SUPPORTED.keys() - {"bedrock-agent"}
    assert not any(named(service, shape).refused for service in others for shape in SUPPORTED[service])


@pytest.mark.parametrize("of", BOTH_WAYS, ids=" ".join)
def test_what_bedrock_refuses_itself_is_its_400_and_all_else_is_501(bench: Any, of: tuple[str, str]) -> None:
    assert [ask(bench) for ask in BOTH_WAYS[of]] == [400, 501]


def test_a_managed_knowledge_base_has_no_binary_vectors_here(bench: Any) -> None:
    assert asks_for_vectors(bench, binary("MANAGED", embeddingModelType="CUSTOM")) == 501


@pytest.mark.parametrize(
    ("search", "named_"),
    [
        (
            {
                "implicitFilterConfiguration": {
                    "modelArn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
                    "metadataAttributes": [{"key": "year", "type": "NUMBER", "description": "the year"}],
                }
            },
            "implicitFilterConfiguration",
        )
    ],
)
def test_a_search_is_refused_by_name(bench: Any, search: dict[str, Any], named_: str) -> None:
    base = bench.knowledge_base()
    with pytest.raises(ClientError, match=f"Retrieve: .*{named_}.* is not emulated"):
        bench.retrieved(base, "leave", **search)


def test_query_decomposition_and_agentic_retrieval_are_refused_by_name(bench: Any) -> None:
    base = bench.knowledge_base()
    settings = {
        "knowledgeBaseId": base,
        "modelArn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
        "orchestrationConfiguration": {"queryTransformationConfiguration": {"type": "QUERY_DECOMPOSITION"}},
    }
    with pytest.raises(ClientError, match=r"orchestrationConfiguration\.queryTransformationConfiguration is not"):
        bench.runtime.retrieve_and_generate(
            input={"text": "leave"},
            retrieveAndGenerateConfiguration={"type": "KNOWLEDGE_BASE", "knowledgeBaseConfiguration": settings},
        )
    answered = bench.emulator.answer(Request("POST", "/agenticRetrieveStream", body=b"{}"))
    assert answered.status == 501
    with pytest.raises(ClientError, match="QueryVectors is not emulated"):
        bench.vectors.query_vectors(
            vectorBucketName="vectors", indexName="tenant", topK=1, queryVector={"float32": [1.0]}
        )


# Models that are yet to come


def model_to_come() -> ServiceModel:
    """The model of bedrock-agent with an operation, a member and a value more."""
    loader = botocore.session.get_session().get_component("data_loader")
    described = copy.deepcopy(loader.load_service_model("bedrock-agent", "service-2"))
    described["shapes"]["CreateKnowledgeBaseRequest"]["members"]["moonPhase"] = {"shape": "Name"}
    described["shapes"]["KnowledgeBaseType"]["enum"].append("LUNAR")
    described["operations"]["WatchMoon"] = {
        "name": "WatchMoon",
        "http": {"method": "POST", "requestUri": "/moon/", "responseCode": 200},
    }
    return ServiceModel(described, "bedrock-agent")


def create(**more: Any) -> Request:
    given = {
        "name": "tenant",
        "roleArn": ROLE,
        "knowledgeBaseConfiguration": {"type": "MANAGED"},
        **more,
    }
    return Request("PUT", "/knowledgebases/", body=json.dumps(given).encode())


@pytest.mark.parametrize(
    ("request_", "named_"),
    [
        (create(moonPhase="new"), "CreateKnowledgeBase: moonPhase is not emulated"),
        (
            create(knowledgeBaseConfiguration={"type": "LUNAR"}),
            r"CreateKnowledgeBase: knowledgeBaseConfiguration\.type LUNAR is not emulated",
        ),
        (create(tags={"tenant": "acme"}), None),
    ],
    ids=["member", "value", "known"],
)
def test_what_a_newer_model_names_is_refused_by_name(request_: Request, named_: str | None) -> None:
    spoken = Protocol(model_to_come())
    route = spoken.route(request_)
    assert route is not None
    given = spoken.parse(route, request_)
    if named_ is None:
        check_supported(route.operation, given)
        return
    with pytest.raises(NotEmulatedError, match=named_):
        check_supported(route.operation, given)


def test_an_operation_of_a_newer_model_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = Emulator(embedder="character")
    spoken = Protocol(model_to_come())
    monkeypatch.setattr("bedrock_emulator.emulator.protocol", lambda _: spoken)
    answered = emulator.handle("bedrock-agent", Request("POST", "/moon/"))
    assert (answered.status, "bedrock-agent:WatchMoon" in answered.body.decode()) == (501, True)


def test_a_member_that_no_model_here_knows_is_refused_by_name(bench: Any) -> None:
    answered = bench.emulator.answer(create(moonPhase="new"))
    assert (answered.status, "moonPhase" in answered.body.decode()) == (501, True)
    assert bench.emulator.answer(create(moonPhase=None)).status == 202
