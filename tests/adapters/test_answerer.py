"""Answers by RetrieveAndGenerate, from documents that were really ingested."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.stub import Stubber

from kbfleet.adapters.bedrock import RetrieveAndGenerateAnswerer
from kbfleet.domain.answer import Question
from kbfleet.domain.errors import KbfleetError, NotReadyYet, ResourceMissing, Throttled
from kbfleet.ports import Answerer
from tests.support.emulator import NOVA
from tests.support.knowledge_base_worlds import BUCKET, Emulated

QUESTION = Question("How long is the warranty of the tent?")


@pytest.fixture
def world(aws: None) -> Emulated:
    return Emulated()


def answerer_of(world: Emulated) -> Answerer:
    return RetrieveAndGenerateAnswerer(world.aws.client("bedrock-agent-runtime"), model_arn=NOVA)


def ingested(world: Emulated, **documents: str) -> str:
    """A knowledge base of these documents; gives its id."""
    for key, text in documents.items():
        world.aws.s3.put_object(Bucket=BUCKET, Key=key, Body=text.encode())
    data_source = world.data_source()
    world.ended(data_source, world.start(data_source))
    return data_source.knowledge_base_id


def test_an_answer_cites_the_document_and_the_passage_that_it_rests_on(world: Emulated) -> None:
    text = "The warranty of the tent is two years from the day of purchase."
    knowledge_base_id = ingested(world, **{"policies/warranty, 2026.md": text})
    answer = answerer_of(world).answer(knowledge_base_id, QUESTION)
    assert "two years" in answer.text
    (citation, *_) = answer.citations
    assert answer.text[citation.start : citation.end] == citation.text
    (source, *_) = citation.sources
    assert source.document == "policies/warranty, 2026.md"
    assert source.uri == f"s3://{BUCKET}/policies/warranty, 2026.md"
    assert "two years" in source.passage


def test_only_the_tenants_own_attributes_are_shown_as_metadata(world: Emulated) -> None:
    sidecar = '{"metadataAttributes": {"department": "sales"}}'
    text = "The warranty of the tent is two years."
    knowledge_base_id = ingested(world, **{"warranty.md": text, "warranty.md.metadata.json": sidecar})
    (citation, *_) = answerer_of(world).answer(knowledge_base_id, QUESTION).citations
    assert citation.sources[0].metadata == {"department": "sales"}


def test_japanese_documents_answer_japanese_questions(world: Emulated) -> None:
    knowledge_base_id = ingested(world, **{"保証規程.md": "テントの保証期間は、購入日から二年間です。"})
    answer = answerer_of(world).answer(knowledge_base_id, Question("テントの保証期間はどのくらいですか。"))
    assert "二年間" in answer.text
    assert answer.citations[0].sources[0].document == "保証規程.md"


def test_a_knowledge_base_without_documents_answers_without_citations(world: Emulated) -> None:
    answer = answerer_of(world).answer(ingested(world), QUESTION)
    assert answer.text
    assert answer.citations == ()


def test_a_knowledge_base_that_is_gone_is_missing(world: Emulated) -> None:
    with pytest.raises(ResourceMissing):
        answerer_of(world).answer("KBUNKNOWN0", QUESTION)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ThrottlingException", Throttled),
        ("InternalServerException", NotReadyYet),
        ("BadGatewayException", NotReadyYet),
    ],
)
def test_what_bedrock_refuses_is_told(world: Emulated, code: str, error: type[KbfleetError]) -> None:
    world.aws.emulator.faults.add(
        {"effect": "error", "operation": "RetrieveAndGenerate", "code": code, "message": "x", "count": 1}
    )
    with pytest.raises(error):
        answerer_of(world).answer("KBUNKNOWN0", QUESTION)


def test_the_model_is_given_the_question_and_as_many_passages_as_it_is_made_for(world: Emulated) -> None:
    client = world.aws.client("bedrock-agent-runtime")
    knowledge_base: dict[str, Any] = {
        "knowledgeBaseId": "KB00000001",
        "modelArn": NOVA,
        "retrievalConfiguration": {"vectorSearchConfiguration": {"numberOfResults": 7}},
    }
    request = {
        "input": {"text": QUESTION},
        "retrieveAndGenerateConfiguration": {
            "type": "KNOWLEDGE_BASE",
            "knowledgeBaseConfiguration": knowledge_base,
        },
    }
    page = {"x-amz-bedrock-kb-document-page-number": 3.0, "x-amz-bedrock-kb-chunk-id": "x", "部署": "営業"}
    location = {"type": "S3", "s3Location": {"uri": "s3://bucket/folder/manual.pdf"}}
    reply = {
        "sessionId": "session",
        "output": {"text": "Two years. Ask us."},
        "citations": [
            {
                "generatedResponsePart": {"textResponsePart": {"text": "Two years.", "span": {"start": 0, "end": 9}}},
                "retrievedReferences": [{"content": {"text": "two years"}, "location": location, "metadata": page}],
            },
            {"generatedResponsePart": {"textResponsePart": {"text": "Ask us."}}, "retrievedReferences": []},
        ],
    }
    with Stubber(client) as stubber:
        stubber.add_response("retrieve_and_generate", reply, request)
        answer = RetrieveAndGenerateAnswerer(client, model_arn=NOVA, passages=7).answer("KB00000001", QUESTION)
    (citation,) = answer.citations  # a part of the answer that rests on nothing is not cited
    assert (citation.text, citation.start, citation.end) == ("Two years.", 0, 10)
    (source,) = citation.sources
    assert (source.document, source.page, source.metadata) == ("folder/manual.pdf", 3, {"部署": "営業"})
