"""What is not emulated is answered 501 by name, at the call that asks for it; also by models that are yet to come."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StringShape, StructureShape

from bedrock_emulator import Emulator, Request
from bedrock_emulator.services.supported import SUPPORTED, check_supported, named
from bedrock_emulator.wire.errors import NotEmulatedError
from bedrock_emulator.wire.protocol import SERVICES, Protocol
from bedrock_emulator.wire.shapes import is_document
from emulator_support.model_requests import operations
from emulator_support.workbench import ROLE


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
            todo += [shape.members[name] for name in named(service, shape.name).all]
        elif isinstance(shape, StringShape) and shape.enum and shape.name not in seen:
            seen.add(shape.name)
            yield shape


@pytest.mark.parametrize("service", SERVICES)
def test_the_table_names_what_the_models_know(service: str) -> None:
    in_use = {shape.name: shape for shape in shapes_in_use(service)}
    assert SUPPORTED[service].keys() == in_use.keys()
    for name, shape in in_use.items():
        known = set(shape.members if isinstance(shape, StructureShape) else shape.metadata["enum"])
        assert known >= named(service, name).all, name


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
PARSERS: dict[str, dict[str, Any]] = {
    "BEDROCK_FOUNDATION_MODEL": {
        "bedrockFoundationModelConfiguration": {
            "modelArn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"
        }
    },
    "BEDROCK_DATA_AUTOMATION": {},
    "SMART_PARSING": {},
}


@pytest.mark.parametrize("strategy", CHUNKINGS)
def test_a_chunking_is_offered_or_refused_at_once(bench: Any, strategy: str) -> None:
    settings = {"chunkingConfiguration": {"chunkingStrategy": strategy, **CHUNKINGS[strategy]}}
    _offered_or_refused(bench, settings, strategy in named("bedrock-agent", "ChunkingStrategy").all)


@pytest.mark.parametrize("strategy", PARSERS)
def test_a_parser_is_offered_or_refused_at_once(bench: Any, strategy: str) -> None:
    settings = {"parsingConfiguration": {"parsingStrategy": strategy, **PARSERS[strategy]}}
    _offered_or_refused(bench, settings, strategy in named("bedrock-agent", "ParsingStrategy").all)


def _offered_or_refused(bench: Any, settings: dict[str, Any], offered: bool) -> None:
    base = bench.knowledge_base()
    if not offered:
        with pytest.raises(ClientError, match=r"CreateDataSource: vectorIngestionConfiguration.* is not emulated"):
            bench.data_source(base, vectorIngestionConfiguration=settings)
        return
    source = bench.data_source(base, vectorIngestionConfiguration=settings)
    bench.put("documents", **{"leave.txt": "Paid leave is twenty days a year."})
    ended = bench.sync(base, source)
    assert (ended["status"], ended["statistics"]["numberOfNewDocumentsIndexed"]) == ("COMPLETE", 1)


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
