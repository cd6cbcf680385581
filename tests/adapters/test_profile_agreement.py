"""What kbfleet takes of profiles, Bedrock takes, and what kbfleet says that Bedrock refuses, Bedrock refuses: every
combination of knowledge store, parser, chunking, embedding, search and reranker is tried on the emulator, by the
requests of the real adapters."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from itertools import count, product
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from bedrock_emulator.reading import parsers
from kbfleet.adapters.answerers import Reranking, Search
from kbfleet.bootstrap import KNOWLEDGE_STORES, store_types
from kbfleet.contracts import parse
from kbfleet.contracts.profiles import ProfileFile
from kbfleet.domain.answer import Inquiry, Question
from kbfleet.domain.knowledge_base import client_token
from kbfleet.domain.names import TenantId
from kbfleet.domain.profile_rules import Refusal, StackOffer, Whose, refusals
from kbfleet.domain.profiles import (
    AnswererKind,
    Chunking,
    ChunkingKind,
    Embedding,
    Ingestion,
    Parser,
    ParserKind,
    Profile,
    ProfileName,
    Reranker,
    SearchType,
)
from kbfleet.ports import KnowledgeStore
from tests.support.emulator import SERVICE_ROLE, EmulatedAws
from tests.support.knowledge_store_worlds import Managed, OnOpenSearchServerless, OnS3Vectors
from tests.support.samples import REGION, STACK_DEFAULTS, first_knowledge, model_arn

SHIPPED = Path(__file__).parents[2] / "examples" / "profiles"
TITAN, NOVA = "amazon.titan-embed-text-v2:0", "us.amazon.nova-pro-v1:0"
BLIND = "amazon.nova-micro-v1:0"
RERANKERS = ("amazon.rerank-v1:0", "cohere.rerank-v3-5:0")

PARSERS = (
    Parser(),
    Parser(ParserKind.FOUNDATION_MODEL, NOVA),
    Parser(ParserKind.FOUNDATION_MODEL, NOVA, "Transcribe every table as Markdown."),
    Parser(ParserKind.FOUNDATION_MODEL, BLIND),
    Parser(ParserKind.DATA_AUTOMATION),
    Parser(ParserKind.SMART),
)
CHUNKINGS = (
    Chunking(),
    Chunking(ChunkingKind.FIXED_SIZE, max_tokens=8_192, overlap_percentage=99),
    Chunking(ChunkingKind.FIXED_SIZE, max_tokens=8_193, overlap_percentage=20),
    Chunking(ChunkingKind.HIERARCHICAL, parent_tokens=1_500, child_tokens=300, overlap_tokens=60),
    Chunking(ChunkingKind.HIERARCHICAL, parent_tokens=1_500, child_tokens=300, overlap_tokens=300),
    Chunking(ChunkingKind.HIERARCHICAL, parent_tokens=299, child_tokens=300, overlap_tokens=60),
    Chunking(ChunkingKind.SEMANTIC, max_tokens=300, buffer_size=0, breakpoint_percentile=95),
    Chunking(ChunkingKind.SEMANTIC, max_tokens=300, buffer_size=2, breakpoint_percentile=95),
    Chunking(ChunkingKind.NONE),
)
EMBEDDINGS = (
    Embedding(),
    Embedding(TITAN, 1_024),
    Embedding(TITAN, 256),
    Embedding(TITAN, 300),
    Embedding("amazon.titan-embed-text-v1", 1_536),
    Embedding("cohere.embed-multilingual-v3", 1_024),
    Embedding("cohere.embed-multilingual-v3", 512),
    Embedding("amazon.nova-2-multimodal-embeddings-v1:0", 3_072),
    Embedding("someone.elses-embedding-v1:0", 768),
)
SEARCHES = (None, *SearchType)
RERANKED = (None, *(Reranker(model, 20) for model in RERANKERS))

OFFER = StackOffer(
    REGION,
    frozenset(KNOWLEDGE_STORES),
    frozenset({NOVA, BLIND, *RERANKERS, *(each.model for each in EMBEDDINGS if each.model)}),
    frozenset({STACK_DEFAULTS.answering.model}),
    frozenset(AnswererKind),
)


def combinations() -> Iterator[Profile]:
    for store, parser, chunking, embedding, search, reranker in product(
        KNOWLEDGE_STORES, PARSERS, CHUNKINGS, EMBEDDINGS, SEARCHES, RERANKED
    ):
        ingestion = Ingestion(store, embedding, parser, chunking)
        answering = replace(STACK_DEFAULTS.answering, search_type=search, reranker=reranker)
        yield Profile(ProfileName("tried"), 1, ingestion, answering)


class Verdict(Enum):
    TAKEN = "TAKEN"
    REFUSED = "REFUSED"
    NOT_EMULATED = "NOT_EMULATED"


def verdict(call: Callable[[], object]) -> Verdict:
    try:
        call()
    except ParamValidationError:
        return Verdict.REFUSED  # as the service's own model says
    except ClientError as error:
        told = {400: Verdict.REFUSED, 501: Verdict.NOT_EMULATED}.get(
            error.response["ResponseMetadata"]["HTTPStatusCode"]
        )
        if told is None:
            raise
        return told
    return Verdict.TAKEN


@dataclass
class Made:
    """A knowledge base, and what became of the request for it."""

    verdict: Verdict
    knowledge_base_id: str = ""


class Bedrock:
    """What is the same for several combinations is asked once."""

    def __init__(self) -> None:
        self.aws = EmulatedAws(data_sources=1_000)
        self.agent, self.runtime = (self.aws.client(each) for each in ("bedrock-agent", "bedrock-agent-runtime"))
        worlds = (OnS3Vectors(self.aws), OnOpenSearchServerless(self.aws), Managed(self.aws))
        self.stores: dict[str, KnowledgeStore] = dict(
            zip(KNOWLEDGE_STORES, (each.store for each in worlds), strict=True)
        )
        self.aws.s3.create_bucket(Bucket="documents")
        self.numbers = count()
        self.knowledge_base = cache(self._knowledge_base)
        self.data_source = cache(self._data_source)
        self.search = cache(self._search)

    def verdict(self, profile: Profile) -> Verdict:
        store, embedding = profile.ingestion.knowledge_store, profile.ingestion.embedding
        base = self.knowledge_base(store, embedding)
        if base.verdict is not Verdict.TAKEN:
            return base.verdict
        answering = profile.answering
        verdicts = {
            self.data_source(store, embedding, profile.ingestion.parser, profile.ingestion.chunking),
            self.search(store, embedding, answering.search_type, answering.reranker),
        }
        return next(each for each in (Verdict.REFUSED, Verdict.NOT_EMULATED, Verdict.TAKEN) if each in verdicts)

    def _made_by(self, ingestion: Ingestion) -> KnowledgeStore:
        return self.stores[ingestion.knowledge_store].made_by(ingestion)

    def _knowledge_base(self, store_type: str, embedding: Embedding) -> Made:
        if embedding.model is None and store_type != "MANAGED":
            return Made(Verdict.REFUSED)  # the member is required in the model
        store = self._made_by(Ingestion(store_type, embedding))
        knowledge = first_knowledge(TenantId(f"tenant-{next(self.numbers)}"))
        name = f"{store_type}-{client_token(str(embedding))[:16]}".replace("_", "-")
        configuration: Any = store.knowledge_base_configuration(store.ensure(knowledge))
        found: list[str] = []

        def make() -> None:
            made = self.agent.create_knowledge_base(name=name, roleArn=SERVICE_ROLE, **configuration)
            found.append(made["knowledgeBase"]["knowledgeBaseId"])

        told = verdict(make)
        self.aws.advance(130)
        return Made(told, *found)

    def _data_source(self, store_type: str, embedding: Embedding, parser: Parser, chunking: Chunking) -> Verdict:
        store = self._made_by(Ingestion(store_type, embedding, parser, chunking))
        settings: Any = store.ingestion_configuration()
        return verdict(
            lambda: self.agent.create_data_source(
                knowledgeBaseId=self.knowledge_base(store_type, embedding).knowledge_base_id,
                name=f"source-{client_token(str(settings))[:32]}",
                dataSourceConfiguration=store.data_source_configuration("documents"),
                **({"vectorIngestionConfiguration": settings} if settings else {}),
            )
        )

    def _search(
        self, store_type: str, embedding: Embedding, search_type: SearchType | None, reranker: Reranker | None
    ) -> Verdict:
        reranking = Reranking(model_arn(reranker.model), reranker.candidates) if reranker else None
        search = replace(Search.of(store_types()[store_type]), search_type=search_type, reranking=reranking)
        return verdict(
            lambda: self.runtime.retrieve(
                knowledgeBaseId=self.knowledge_base(store_type, embedding).knowledge_base_id,
                retrievalQuery={"text": "How much is the tent?"},
                retrievalConfiguration=search.configuration(Inquiry(Question("How much is the tent?"))),
            )
        )


def by_bedrock(refused: tuple[Refusal, ...]) -> bool:
    return any(each.whose is Whose.BEDROCK for each in refused)


@pytest.fixture
def bedrock(aws: None, monkeypatch: pytest.MonkeyPatch) -> Bedrock:
    # What reads pages is not needed to say whether a data source can be made.
    monkeypatch.setattr(parsers, "can_see", lambda: True)
    return Bedrock()


def test_bedrock_and_kbfleet_agree_on_every_combination(bedrock: Bedrock) -> None:
    wrong: list[str] = []
    counts = dict.fromkeys(("taken", "refused by Bedrock", "ours"), 0)
    for profile in combinations():
        refused = refusals(profile, OFFER)
        if by_bedrock(refused):
            counts["refused by Bedrock"] += 1
            if bedrock.verdict(profile) is Verdict.TAKEN:
                wrong.append(f"Bedrock takes {profile.ingestion}, {profile.answering}: {refused}")
        elif refused:
            counts["ours"] += 1
        else:
            counts["taken"] += 1
            if bedrock.verdict(profile) is not Verdict.TAKEN:
                wrong.append(f"Bedrock does not take {profile.ingestion}, {profile.answering}")
    assert not wrong, f"{len(wrong)} of {counts}: {wrong[:5]}"
    assert min(counts.values()) > 50, counts


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.json")), ids=lambda path: path.stem)
def test_a_shipped_profile_is_taken_by_the_emulator_on_each_store_that_it_can_be_on(
    bedrock: Bedrock, path: Path
) -> None:
    file = parse(ProfileFile, json.loads(path.read_text("utf-8")))
    verdicts = {}
    for store in KNOWLEDGE_STORES:
        if file.request.ingestion.knowledge_store in (None, store):
            own = replace(STACK_DEFAULTS, ingestion=replace(STACK_DEFAULTS.ingestion, knowledge_store=store))
            profile = file.request.to_domain(file.name, 1, own)
            allowed = all(each.whose is Whose.STACK for each in refusals(profile, OFFER))
            verdicts[store] = (allowed, bedrock.verdict(profile) is Verdict.TAKEN)
    assert (True, True) in verdicts.values()
    assert all(allowed == taken for allowed, taken in verdicts.values()), verdicts


def test_every_refusal_names_its_field_its_value_and_what_to_choose_instead() -> None:
    for profile in combinations():
        for refusal in refusals(profile, OFFER):
            assert refusal.field in profile.values(), refusal
            assert refusal.value == profile.values()[refusal.field]
            assert refusal.rule.endswith("."), refusal
            assert refusal.instead.endswith("."), refusal
