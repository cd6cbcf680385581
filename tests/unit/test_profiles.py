"""What a profile says, what its rules refuse, and what another one would change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st

from kbfleet.bootstrap import KNOWLEDGE_STORES
from kbfleet.domain.errors import InvalidInput, ProfileRefused
from kbfleet.domain.profile_rules import (
    LIMITS,
    RULES,
    TEXT_LIMITS,
    Limit,
    StackOffer,
    TextLimit,
    Whose,
    refusals,
    require_allowed,
)
from kbfleet.domain.profiles import (
    AnswererKind,
    Chunking,
    ChunkingKind,
    Effect,
    Embedding,
    Guardrail,
    Ingestion,
    Parser,
    ParserKind,
    Profile,
    ProfileName,
    Reranker,
    SearchType,
    Words,
    changes,
)
from tests.support.samples import STACK_DEFAULTS

VISION, RERANKER = "us.amazon.nova-pro-v1:0", "cohere.rerank-v3-5:0"
OFFER = StackOffer(
    "us-east-1",
    frozenset(KNOWLEDGE_STORES),
    frozenset({"amazon.titan-embed-text-v2:0", VISION, RERANKER}),
    frozenset({STACK_DEFAULTS.answering.model}),
    frozenset(AnswererKind),
    "guardrail1",
)
PLAIN = STACK_DEFAULTS.profile()
FULL = Profile(
    ProfileName("full"),
    3,
    Ingestion(
        "OPENSEARCH_SERVERLESS",
        Embedding("amazon.titan-embed-text-v2:0", 512),
        Parser(ParserKind.FOUNDATION_MODEL, VISION, "Transcribe tables."),
        Chunking(ChunkingKind.FIXED_SIZE, max_tokens=300, overlap_percentage=20),
    ),
    replace(
        STACK_DEFAULTS.answering,
        prompt="Answer from $search_results$.",
        guardrail=Guardrail("guardrail1", "3"),
        passages=5,
        search_type=SearchType.HYBRID,
        reranker=Reranker(RERANKER, 20),
        least_score=0.2,
        temperature=0.0,
        longest_answer=800,
        nothing_found=Words("I found nothing.", "見つかりませんでした。"),
    ),
)


def fields_of(profile: Profile, offer: StackOffer = OFFER) -> list[str]:
    return [each.field for each in refusals(profile, offer)]


def saying(field: str, value: object, profile: Profile = FULL) -> Profile:
    """The profile with that value in that field."""

    def put(part: Any, names: list[str]) -> Any:
        name, *rest = names
        return replace(part, **{name: put(getattr(part, name), rest) if rest else value})

    made: Profile = put(profile, field.split("."))
    return made


class TestWhatIsTaken:
    @pytest.mark.parametrize("profile", [PLAIN, FULL])
    def test_a_profile_within_all_rules_is_refused_by_none(self, profile: Profile) -> None:
        assert fields_of(profile) == []

    @pytest.mark.parametrize("store", KNOWLEDGE_STORES)
    def test_the_default_is_taken_on_every_store(self, store: str) -> None:
        assert fields_of(STACK_DEFAULTS.profile(store)) == []

    @pytest.mark.parametrize("name", ["a", "Office", "office-", "of--fice", "9lives", "x" * 33, "a\nb", "", None, 7])
    def test_a_name_that_is_none_is_refused(self, name: object) -> None:
        with pytest.raises(InvalidInput, match="profile"):
            ProfileName(name)


class TestWhatIsRefused:
    def test_all_that_is_wrong_is_told_at_once(self) -> None:
        wrong = saying("ingestion.knowledge_store", "MANAGED")
        wrong = saying("answering.passages", 0, saying("answering.prompt", "Answer.", wrong))
        assert {
            "ingestion.parser.kind",
            "ingestion.embedding.model",
            "answering.search_type",
            "answering.passages",
            "answering.prompt",
        } <= set(fields_of(wrong))
        with pytest.raises(ProfileRefused) as caught:
            require_allowed(wrong, OFFER)
        assert all(field in str(caught.value) for field in fields_of(wrong))

    @pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.field)
    def test_a_number_is_taken_at_both_bounds_and_refused_beyond(self, limit: Limit) -> None:
        def refused(value: float) -> bool:
            told = refusals(saying(limit.field, value), OFFER)
            return any(each.field == limit.field and " to " in each.instead for each in told)

        assert not refused(limit.least)
        assert not refused(limit.most)
        assert refused(limit.least - 1)
        assert refused(limit.most + 1)
        assert refused(float("nan"))

    @pytest.mark.parametrize("limit", TEXT_LIMITS, ids=lambda limit: limit.field)
    def test_a_text_is_refused_that_is_too_long_or_blank(self, limit: TextLimit) -> None:
        assert limit.field not in fields_of(FULL)
        for text in ("", " ", f"{FULL.value(limit.field)}{'x' * limit.longest}"):
            assert limit.field in fields_of(saying(limit.field, text))

    @pytest.mark.parametrize("words", ["two\nlines", "\x1b[31mred", " ahead", "behind ", "\u2028"])
    def test_what_askers_read_is_one_line_without_control_characters(self, words: str) -> None:
        assert "answering.nothing_found.english" in fields_of(saying("answering.nothing_found.english", words))

    def test_the_numbers_of_a_kind_of_chunking_are_all_there_and_no_others(self) -> None:
        lacking = saying("ingestion.chunking", Chunking(ChunkingKind.SEMANTIC, max_tokens=300, overlap_percentage=20))
        assert fields_of(lacking) == [
            "ingestion.chunking.overlap_percentage",
            "ingestion.chunking.buffer_size",
            "ingestion.chunking.breakpoint_percentile",
        ]

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("ingestion.embedding.model", "amazon.titan-embed-text-v1"),
            ("ingestion.parser.model", "anthropic.claude-haiku-4-5-20251001-v1:0"),
            ("answering.model", "us.amazon.nova-premier-v1:0"),
            ("answering.reranker.model", "amazon.rerank-v1:0"),
            ("answering.guardrail.id", "another1"),
        ],
    )
    def test_what_the_stack_does_not_grant_is_refused_and_what_it_grants_is_named(self, field: str, value: str) -> None:
        told = [each for each in refusals(saying(field, value), OFFER) if each.field == field]
        assert Whose.STACK in {each.whose for each in told}
        assert any("Choose" in each.instead for each in told)

    def test_a_store_that_the_stack_does_not_offer_is_refused(self) -> None:
        assert fields_of(FULL, replace(OFFER, stores=frozenset({"S3_VECTORS"}))) == ["ingestion.knowledge_store"]

    def test_one_call_tells_no_scores_and_does_not_rerank(self) -> None:
        one_call = saying("answering.answerer", AnswererKind.RETRIEVE_AND_GENERATE)
        assert fields_of(one_call) == ["answering.reranker.model", "answering.least_score"]

    def test_a_value_is_told_in_its_beginning_only(self) -> None:
        (refusal,) = refusals(saying("answering.prompt", "x" * 5_000), OFFER)
        assert len(str(refusal)) < 400
        assert "5,000 characters" in str(refusal)

    def test_every_rule_has_a_source_and_a_field_that_there_is(self) -> None:
        assert all(rule.source and rule.field in FULL.values() for rule in RULES)


class TestLimitsOfTheModels:
    """The numbers are those of botocore's models, wherever Bedrock's are meant."""

    SHAPES = (
        ("bedrock-agent", "FixedSizeChunkingConfiguration", "maxTokens", "ingestion.chunking.max_tokens"),
        (
            "bedrock-agent",
            "FixedSizeChunkingConfiguration",
            "overlapPercentage",
            "ingestion.chunking.overlap_percentage",
        ),
        ("bedrock-agent", "SemanticChunkingConfiguration", "maxTokens", "ingestion.chunking.max_tokens"),
        ("bedrock-agent", "SemanticChunkingConfiguration", "bufferSize", "ingestion.chunking.buffer_size"),
        (
            "bedrock-agent",
            "SemanticChunkingConfiguration",
            "breakpointPercentileThreshold",
            "ingestion.chunking.breakpoint_percentile",
        ),
        ("bedrock-agent", "HierarchicalChunkingLevelConfiguration", "maxTokens", "ingestion.chunking.parent_tokens"),
        ("bedrock-agent", "HierarchicalChunkingLevelConfiguration", "maxTokens", "ingestion.chunking.child_tokens"),
        (
            "bedrock-agent-runtime",
            "KnowledgeBaseVectorSearchConfiguration",
            "numberOfResults",
            "answering.passages",
        ),
        (
            "bedrock-agent-runtime",
            "VectorSearchBedrockRerankingConfiguration",
            "numberOfRerankedResults",
            "answering.passages",
        ),
        ("bedrock-runtime", "InferenceConfiguration", "temperature", "answering.temperature"),
    )

    @pytest.mark.parametrize(("service", "shape", "member", "field"), SHAPES)
    def test_a_limit_is_that_of_the_model(self, service: str, shape: str, member: str, field: str) -> None:
        model: Any = Session().get_service_model(service).shape_for(shape)
        bounds = model.members[member].metadata
        limit = next(each for each in LIMITS if each.field == field)
        assert (limit.least, limit.most) == (bounds["min"], bounds["max"])

    @pytest.mark.parametrize(
        ("service", "shape", "field"),
        [
            ("bedrock-agent", "ParsingPromptText", "ingestion.parser.prompt"),
            ("bedrock-agent-runtime", "TextPromptTemplate", "answering.prompt"),
        ],
    )
    def test_a_text_is_as_long_as_in_the_model(self, service: str, shape: str, field: str) -> None:
        model: Any = Session().get_service_model(service).shape_for(shape)
        assert next(each.longest for each in TEXT_LIMITS if each.field == field) == model.metadata["max"]


class TestChanges:
    def test_nothing_changes_between_the_same(self) -> None:
        assert changes(FULL, replace(FULL, version=4)) == ()
        assert FULL.describes_as(replace(FULL, version=4))

    @pytest.mark.parametrize(
        ("field", "value", "effect"),
        [
            ("answering.passages", 7, Effect.NEXT_QUESTION),
            ("answering.reranker", None, Effect.NEXT_QUESTION),
            ("answering.nothing_found", Words("No.", "なし。"), Effect.NEXT_QUESTION),
            ("ingestion.parser.prompt", None, Effect.READ_AGAIN),
            ("ingestion.parser.model", "us.amazon.nova-lite-v1:0", Effect.READ_AGAIN),
            ("ingestion.parser", Parser(), Effect.REBUILD),
            ("ingestion.chunking.max_tokens", 301, Effect.REBUILD),
            ("ingestion.embedding.dimensions", 1_024, Effect.REBUILD),
            ("ingestion.knowledge_store", "S3_VECTORS", Effect.REBUILD),
        ],
    )
    def test_a_change_says_what_it_takes(self, field: str, value: object, effect: Effect) -> None:
        after = saying(field, value)
        told = changes(FULL, after)
        assert {each.effect for each in told} == {effect}
        assert all(each.field.startswith(field) for each in told)
        assert not FULL.describes_as(after)

    @given(st.sampled_from(sorted(FULL.values())), st.sampled_from(sorted(FULL.values())))
    def test_a_change_is_told_both_ways(self, one: str, other: str) -> None:
        changed = saying(one, None, saying(other, None))
        forwards, backwards = changes(FULL, changed), changes(changed, FULL)
        assert {(each.field, each.before, each.after) for each in forwards} == {
            (each.field, each.after, each.before) for each in backwards
        }
