"""What a profile's numbers become in the requests that an answer is made of."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.stub import Stubber

from kbfleet.adapters.answerers import (
    Generation,
    Reranking,
    RetrieveAndConverseAnswerer,
    RetrieveAndGenerateAnswerer,
    Search,
)
from kbfleet.bootstrap import store_types
from kbfleet.domain.answer import AnswerOutcome, Inquiry, NothingFoundWords, Question
from kbfleet.domain.profiles import SearchType
from tests.support.answerer import InMemoryConversations, askable
from tests.support.aws import client
from tests.support.clock import FakeClock
from tests.support.samples import ACME, NAMES, model_arn

QUESTION = Question("How much is the tent?")
RERANKING = Reranking(model_arn("cohere.rerank-v3-5:0"), 20)
WORDS = NothingFoundWords("Nothing.", "なし。")
GENERATION = Generation(model_arn("us.amazon.nova-lite-v1:0"), WORDS, temperature=0.0, longest_answer=300)


def search(store: str, **settings: Any) -> Search:
    return replace(Search.of(store_types()[store]), **settings)


def found(*scores: float | None) -> list[dict[str, Any]]:
    uri = f"s3://{NAMES.bucket(askable(ACME, 'KB00000001').this_life)}/prices.md"
    return [
        {"content": {"text": f"Tent {number}."}, "location": {"type": "S3", "s3Location": {"uri": uri}}}
        | ({"score": score} if score is not None else {})
        for number, score in enumerate(scores, start=1)
    ]


class TestASearch:
    def test_without_any_number_it_is_what_it_was(self) -> None:
        assert search("S3_VECTORS").configuration(Inquiry(QUESTION)) == {
            "vectorSearchConfiguration": {"numberOfResults": 5}
        }

    @pytest.mark.parametrize(("asked", "passages", "candidates"), [(None, 3, 20), (7, 7, 20), (50, 50, 50)])
    def test_a_reranker_chooses_as_many_passages_as_are_asked_for(
        self, asked: int | None, passages: int, candidates: int
    ) -> None:
        wanted = search("S3_VECTORS", passages=3, reranking=RERANKING).configuration(Inquiry(QUESTION, asked))
        assert wanted["vectorSearchConfiguration"] == {
            "numberOfResults": candidates,
            "rerankingConfiguration": {
                "type": "BEDROCK_RERANKING_MODEL",
                "bedrockRerankingConfiguration": {
                    "modelConfiguration": {"modelArn": RERANKING.model_arn},
                    "numberOfRerankedResults": passages,
                },
            },
        }

    def test_a_managed_knowledge_base_is_told_whose_reranker_it_is(self) -> None:
        wanted = search("MANAGED", reranking=RERANKING).configuration(Inquiry(QUESTION))
        assert wanted["managedSearchConfiguration"]["rerankingModelType"] == "CUSTOM"

    def test_the_type_of_search_is_the_profiles(self) -> None:
        wanted = search("OPENSEARCH_SERVERLESS", search_type=SearchType.HYBRID).configuration(Inquiry(QUESTION))
        assert wanted["vectorSearchConfiguration"]["overrideSearchType"] == "HYBRID"


class TestRetrieveAndConverse:
    def answered(self, wanted: Search, *scores: float | None) -> tuple[Any, list[dict[str, Any]]]:
        """The answer, and what the model was asked."""
        retrieving, conversing = (client(name) for name in ("bedrock-agent-runtime", "bedrock-runtime"))
        asked: list[dict[str, Any]] = []
        conversing.meta.events.register(
            "provide-client-params.bedrock-runtime.Converse", lambda params, **_: asked.append(params)
        )
        reply = {
            "output": {"message": {"role": "assistant", "content": [{"text": "Two hundred. [1]"}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 10, "outputTokens": 3, "totalTokens": 13},
            "metrics": {"latencyMs": 1},
        }
        clients = {"Retrieve": retrieving}
        with Stubber(retrieving) as retrieve, Stubber(conversing) as converse:
            retrieve.add_response("retrieve", {"retrievalResults": found(*scores)})
            converse.add_response("converse", reply)
            answerer = RetrieveAndConverseAnswerer(
                lambda call, _tenant: clients.get(call, conversing),
                wanted,
                GENERATION,
                InMemoryConversations(FakeClock(), timedelta(days=1)),
            )
            tenant = askable(ACME, "KB00000001")
            return answerer.answer(tenant, Inquiry(QUESTION), NAMES.bucket(tenant.this_life)), asked

    def test_temperature_and_length_are_the_profiles(self) -> None:
        _, (asked,) = self.answered(search("S3_VECTORS"), 0.9)
        assert asked["inferenceConfig"] == {"temperature": 0.0, "maxTokens": 300}

    def test_what_is_too_far_from_the_question_is_not_shown_to_the_model(self) -> None:
        answer, (asked,) = self.answered(search("S3_VECTORS", least_score=0.5), 0.9, 0.5, 0.49, None)
        told = asked["messages"][-1]["content"][0]["text"]
        assert [f"Tent {number}." in told for number in (1, 2, 3, 4)] == [True, True, False, True]
        assert answer.passages == 3

    def test_whoever_only_searches_gets_what_an_answer_would_rest_on(self) -> None:
        retrieving, tenant = client("bedrock-agent-runtime"), askable(ACME, "KB00000001")
        with Stubber(retrieving) as retrieve:
            retrieve.add_response("retrieve", {"retrievalResults": found(0.9, 0.5, 0.49, None)})
            answerer = RetrieveAndConverseAnswerer(
                lambda *_: retrieving,
                search("S3_VECTORS", least_score=0.5),
                GENERATION,
                InMemoryConversations(FakeClock(), timedelta(days=1)),
            )
            sources = answerer.retrieve(tenant, Inquiry(QUESTION), NAMES.bucket(tenant.this_life))
        assert [source.score for source in sources] == [0.9, 0.5, None]

    def test_where_nothing_is_near_enough_the_model_is_not_asked(self) -> None:
        answer, asked = self.answered(search("S3_VECTORS", least_score=0.95), 0.9, 0.5)
        assert (answer.outcome, answer.text, asked) == (AnswerOutcome.NOTHING_FOUND, WORDS.english, [])


def test_retrieve_and_generate_is_told_temperature_and_length() -> None:
    answerer = RetrieveAndGenerateAnswerer(lambda *_: None, search("S3_VECTORS"), GENERATION)
    assert answerer._generation_configuration() == {
        "inferenceConfig": {"textInferenceConfig": {"temperature": 0.0, "maxTokens": 300}}
    }
