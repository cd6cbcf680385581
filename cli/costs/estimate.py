"""What a workload costs on each knowledge store, in USD of a Region, without free tiers and taxes.

Where something is not known, both bounds are carried to the end. What is assumed is a constant here, with its source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil, inf
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from cli.costs.prices import Prices
from cli.costs.ranges import NOTHING, Range, total
from cli.costs.stack_parts import MONTH_MINUTES, StackParts
from kbfleet.domain.answer import DEFAULT_PASSAGES
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.profiles import Chunking, ChunkingKind, Profile
from kbfleet.domain.questions import MAX_QUESTIONS

STORES = ("S3_VECTORS", "OPENSEARCH_SERVERLESS", "MANAGED")
KEPT_FOR_REBUILDS = 5
"""Of the knowledge bases of type VECTOR: new tenants leave them to rebuilds, by the default of the parameter
KnowledgeBasesForRebuilds."""
_VECTOR = KnowledgeBaseKind.VECTOR.quota - KEPT_FOR_REBUILDS
TENANTS_OF_A_FLEET = {
    "S3_VECTORS": _VECTOR,
    "OPENSEARCH_SERVERLESS": _VECTOR,
    "MANAGED": KnowledgeBaseKind.MANAGED.quota,
}
"""In an account and Region."""

TOKENS_OF_A_PAGE = Range(500, 1_000)
"""Assumed; a page of Japanese is nearer to the upper bound."""
TOKENS_OF_A_CHUNK = 300
"""Bedrock's default chunking: about 300 tokens (AWS documentation, How content chunking works for knowledge bases)."""
MOST_TOKENS_OF_A_VECTOR = 8_192
"""Of what Titan Text Embeddings V2 takes; where nothing is divided, the rest of a document is not embedded."""
SHORTEST_BY_MEANING = 0.25
"""Of the longest: passages that end where the meaning changes. Assumed; the prose decides."""
TOKENS_OF_A_PICTURE = Range(1_000, 3_000)
"""Of a page that a model reads, with what it is told to do. How large the picture is that Bedrock gives to it is not
documented; assumed."""
TOKENS_TRANSCRIBED = Range(1, 1.5)
"""What the model writes of a page, for each token of its text: tables take more as Markdown. Assumed."""
BYTES_OF_A_TOKEN = 4
"""Of text, about; assumed."""
DIMENSIONS = 1_024
BYTES_OF_A_NUMBER = 4
"""32-bit numbers (Amazon S3 User Guide, S3 Vectors)."""
BYTES_BESIDE_A_VECTOR = Range(200, 1_500)
"""Its key, and what Bedrock and a metadata file say of it; assumed."""
SMALLEST_PUT = 128 * 1024
"""Bytes that a PutVectors is charged for at least. How many vectors Bedrock puts at once is not documented."""
VECTORS_OF_THE_FIRST_TIER = 100_000
PROMPT_TOKENS = Range(300, 1_000)
"""Of the prompt around the passages; assumed."""
QUESTION_TOKENS = 50
ANSWER_TOKENS = Range(100, 400)
"""Both assumed."""
FOLLOW_UPS = Range(0.1, 0.5)
"""The share of questions that go on from others, so that the model rewrites them first; assumed."""
EXCHANGES_BEFORE = Range(1, 5)
"""That are shown to the model for it; it is shown 5 at most (`answerers.EXCHANGES_SHOWN`)."""
REWRITING_PROMPT_TOKENS = 150
CONVERSATION_WRITES, CONVERSATION_READS = Range(1, 10), Range(0, 3)
"""DynamoDB units of an answer that is kept: a question and its answer are a kilobyte or two, and a change pays for the
whole conversation; the first question of one reads nothing. Assumed."""
ASK_SECONDS = Range(2, 8)
"""Nearly all of it is the model's time; assumed."""
ASK_GIGABYTES, GIGABYTES = 1.0, 0.5
"""Of memory: the ask function's, and the other functions' (template.yaml)."""
SHORT_SECONDS = Range(0.05, 0.5)
"""Of a tick, an authorization or a step; assumed, with cold starts in the upper bound."""
LOG_BYTES = Range(800, 3_000)
"""Of an invocation; assumed."""
TRACED = Range(0.05, 1)
"""X-Ray records the first request of each second and 5 % of the others (AWS documentation, Sampling rules)."""
POLLERS, POLLS_A_MINUTE = Range(1, 5), 3
"""Up to five pollers ask an idle queue, for 20 seconds each time (AWS documentation, Using Lambda with Amazon SQS)."""
CUSTOM_METRICS = Range(5, 35)
"""A custom metric is paid for in the hours in which it is written; most are written only when something happens."""
JOB_MINUTES = Range(3, 5)
"""Of a small ingestion (reported by users)."""
JOBS_AT_ONCE = 5
"""Of an account and Region (AWS documentation, Quotas for Amazon Bedrock)."""
TICK_SECONDS = 5
"""The parameter's default."""
TICK_READS, TICK_WRITES = 30, 8
"""DynamoDB units of a busy tick, about: 22 requests for 37 items, measured (docs/benchmarks.md)."""
SYNCS_A_MONTH = 30
"""One a day without a change: SyncEveryHours is 24 by default."""
QUESTION_ROUNDS_A_MONTH = 30
"""In which golden questions are asked although nothing has changed: one a day."""
GOLDEN_SECONDS = Range(0.5, 1.5)
"""Of a search and of the waiting for its place: two a second, by QuestionSearchesPerSecond. More run beside each other
where many tenants' questions wait; assumed."""
GOLDEN_READS, GOLDEN_WRITES = Range(2, 4), Range(2, 8)
"""DynamoDB units of a search: its place, the tenant, its share of what is known of the tenant's questions, and the
counting of its usage, which many share. Assumed."""
OCU_FLOOR = 2
"""One for indexing and one for search, each with a standby (AWS documentation, Managing capacity limits for Amazon
OpenSearch Serverless). The template's collection has standbys."""
BYTES_OF_AN_OCU = 6 * 1024**3
HNSW_OVERHEAD, HNSW_LINKS_BYTES = 1.1, 8 * 16
"""Memory of a vector in a graph: 1.1 × (4 × dimensions + 8 × m) bytes, m = 16 (OpenSearch documentation, k-NN)."""

GIGABYTE = 1024**3
TERABYTE = 1024**4


class Workload(BaseModel):
    """What tenants bring and ask.

    Args:
        tenants: in all, however many fleets they need.
        documents: of a tenant.
        pages: of a document.
        megabytes: of a document as it is uploaded.
        changed: the share of a tenant's documents that change in a month.
        questions: of a tenant and month.
        golden_questions: of a tenant.
        golden_runs: of a tenant and month, in which they are asked because documents have changed. Beside them, a round
            asks them each day.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenants: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    documents: Annotated[int, Field(ge=0, le=10_000_000)] = 200
    pages: Annotated[float, Field(ge=0, le=1_000_000)] = 10
    megabytes: Annotated[float, Field(ge=0, le=50)] = 1
    changed: Annotated[float, Field(ge=0, le=100)] = 0.1
    questions: Annotated[int, Field(ge=0, le=1_000_000_000)] = 1_000
    golden_questions: Annotated[int, Field(ge=0, le=MAX_QUESTIONS)] = 0
    golden_runs: Annotated[int, Field(ge=0, le=100_000)] = 20

    @property
    def all_documents(self) -> int:
        return self.tenants * self.documents

    @property
    def all_questions(self) -> int:
        return self.tenants * self.questions

    @property
    def golden_searches(self) -> int:
        """A month, of all tenants."""
        return self.tenants * self.golden_questions * (self.golden_runs + QUESTION_ROUNDS_A_MONTH)

    @property
    def tokens_of_a_document(self) -> Range:
        return TOKENS_OF_A_PAGE * self.pages

    @property
    def gigabytes(self) -> float:
        return self.all_documents * self.megabytes / 1024

    @property
    def jobs(self) -> Range:
        """Ingestion jobs a month. Changes that come together share one; at worst each has its own."""
        return Range(SYNCS_A_MONTH, SYNCS_A_MONTH + self.changed * self.documents) * self.tenants


_CHUNK = Range.exactly(TOKENS_OF_A_CHUNK)


@dataclass(frozen=True)
class Manner:
    """What costs are made of in the way in which documents become knowledge, and questions are answered.

    Args:
        divided: whether documents are divided into passages; else each is one, of as many tokens as it has.
        chunk_tokens: of the text of a vector.
        kept_tokens: of what is kept with a vector.
        shown_tokens: of a passage that the model is shown.
        repeated: how often each token is embedded, because passages overlap.
        compared: how often each token is embedded beside that, to find where passages end.
        parser: the id of the model that reads pages; `None` for Bedrock's own parser, which is free.
        reranker: the id of the model that orders passages.
    """

    divided: bool = True
    chunk_tokens: Range = _CHUNK
    kept_tokens: Range = _CHUNK
    shown_tokens: Range = _CHUNK
    repeated: float = 1.0
    compared: Range = NOTHING
    passages: int = DEFAULT_PASSAGES
    dimensions: int = DIMENSIONS
    parser: str | None = None
    reranker: str | None = None

    @classmethod
    def of(cls, profile: Profile) -> Manner:
        ingestion, answering = profile.ingestion, profile.answering
        plain = cls(
            passages=answering.passages,
            dimensions=ingestion.embedding.dimensions or DIMENSIONS,
            parser=ingestion.parser.model,
            reranker=answering.reranker.model if answering.reranker is not None else None,
        )
        return replace(plain, **_chunked(ingestion.chunking))

    @property
    def bytes_of_a_vector(self) -> int:
        return self.dimensions * BYTES_OF_A_NUMBER


def _chunked(chunking: Chunking) -> dict[str, Any]:
    """What a chunking decides of a `Manner`. Its numbers are there: a profile is held against the rules before."""
    most = Range.exactly(chunking.max_tokens or 0)
    match chunking.kind:
        case ChunkingKind.FIXED_SIZE:
            return _passages_of(most) | {"repeated": 1 / (1 - (chunking.overlap_percentage or 0) / 100)}
        case ChunkingKind.HIERARCHICAL:
            child, parent = chunking.child_tokens or 0, chunking.parent_tokens or 0
            return {
                "chunk_tokens": Range.exactly(child),
                # A parent is kept once, or with each of its children. That of a short document is no longer than one.
                "kept_tokens": Range(child, child + parent),
                "shown_tokens": Range(child, parent),
                "repeated": child / (child - (chunking.overlap_tokens or 0)),
            }
        case ChunkingKind.SEMANTIC:
            # Inferred: each sentence is embedded with those beside it, and so each one more often.
            compared = Range(1, 1 + 2 * (chunking.buffer_size or 0))
            return _passages_of(Range(most.low * SHORTEST_BY_MEANING, most.high)) | {"compared": compared}
        case ChunkingKind.NONE:
            return {"divided": False}
    return {}


def _passages_of(tokens: Range) -> dict[str, Any]:
    return {"chunk_tokens": tokens, "kept_tokens": tokens, "shown_tokens": tokens}


class When(StrEnum):
    ALWAYS = "unused, a month"
    MONTHLY = "by use, a month"
    ONCE = "once, at the beginning"


@dataclass(frozen=True)
class Line:
    """One kind of cost.

    Args:
        by_store: in USD, for every knowledge store.
    """

    when: When
    item: str
    by_store: dict[str, Range]


@dataclass(frozen=True)
class Estimate:
    """
    Args:
        stores: the knowledge stores that were asked about, in the order of `STORES`.
    """

    workload: Workload
    fleets: dict[str, int]
    lines: tuple[Line, ...]
    stores: tuple[str, ...] = STORES

    def total(self, when: When, store: str) -> Range:
        return total([line.by_store[store] for line in self.lines if line.when is when])

    def monthly(self, store: str) -> Range:
        return self.total(When.ALWAYS, store) + self.total(When.MONTHLY, store)

    def for_a_tenant(self, store: str) -> Range:
        """A month, with its share of what is always paid."""
        return self.monthly(store) / self.workload.tenants

    def for_a_thousand_questions(self, store: str) -> Range:
        """What one thousand more cost, as the calculation has it."""
        asked = total([line.by_store[store] for line in self.lines if line.item.startswith(_QUESTIONS)])
        return asked * 1_000 / self.workload.all_questions if self.workload.all_questions else NOTHING

    def for_a_document(self, store: str) -> Range:
        """What its coming costs once."""
        came = total([line.by_store[store] for line in self.lines if line.item.startswith(_DOCUMENTS)])
        return came / self.workload.all_documents if self.workload.all_documents else NOTHING


_QUESTIONS = "questions: "
_DOCUMENTS = "documents: "


def estimate(
    workload: Workload,
    prices: Prices,
    parts: StackParts,
    manner: Manner | None = None,
    stores: tuple[str, ...] = STORES,
) -> Estimate:
    """Pure: the same for the same arguments. What a price is part of that is not known has no upper bound.

    Args:
        manner: that of a profile; that of the parameters' defaults unless given.
        stores: which of `STORES` are asked about.
    """
    fleets = {store: ceil(workload.tenants / TENANTS_OF_A_FLEET[store]) for store in STORES}
    without, beside = (
        _Calculation(workload, prices.assuming(usd), parts, fleets, manner or Manner()).lines() for usd in (0, 1)
    )
    return Estimate(workload, fleets, tuple(map(_bounded, without, beside)), stores)


def _bounded(without: Line, beside: Line) -> Line:
    """The line as it is without the prices that are not known; open where they would change it."""
    by_store = {
        store: cost if cost == beside.by_store[store] else Range(cost.low, inf)
        for store, cost in without.by_store.items()
    }
    return replace(without, by_store=by_store)


@dataclass(frozen=True)
class _Calculation:
    workload: Workload
    prices: Prices
    parts: StackParts
    fleets: dict[str, int]
    manner: Manner

    def lines(self) -> Iterator[Line]:
        yield from self._always()
        yield from self._documents_kept()
        yield from self._ingestion()
        yield from self._questions()
        yield from self._golden_questions()
        yield from self._once()

    # --- always ---

    def _always(self) -> Iterator[Line]:
        p, parts = self.prices, self.parts
        yield self._of_each_fleet("alarms", Range.exactly(parts.alarm_metrics * p["alarm"]))
        yield self._of_each_fleet("dashboards", Range.exactly(parts.dashboards * p["dashboard"]))
        yield self._of_each_fleet("custom metrics", CUSTOM_METRICS * p["custom_metric"])
        yield self._of_each_fleet("secrets", Range.exactly(parts.secrets * p["secret"]))
        asked = sum(p["sqs_fifo_request" if fifo else "sqs_request"] for fifo in parts.polled_queues)
        yield self._of_each_fleet("queues that wait for messages", POLLERS * (POLLS_A_MINUTE * MONTH_MINUTES * asked))
        run = self._invocations(parts.scheduled) + Range.exactly(parts.scheduled * (p["schedule"] + p["dynamodb_read"]))
        yield self._of_each_fleet("schedules, and what they run", run)
        yield Line(
            When.ALWAYS,
            "capacity of OpenSearch Serverless",
            self._only("OPENSEARCH_SERVERLESS", self._ocus() * (p["ocu_hour"] * MONTH_MINUTES / 60)),
        )

    def _ocus(self) -> Range:
        fleets = self.fleets["OPENSEARCH_SERVERLESS"]
        memory = HNSW_OVERHEAD * (self.manner.bytes_of_a_vector + HNSW_LINKS_BYTES) * self._vectors().high / fleets
        # At worst, half of an OCU's memory is left for vectors, for indexing as for search.
        return Range(OCU_FLOOR, max(OCU_FLOOR, 2 * ceil(memory / (BYTES_OF_AN_OCU / 2)))) * fleets

    # --- as it is used ---

    def _documents_kept(self) -> Iterator[Line]:
        p = self.prices
        yield self._of_all(When.MONTHLY, "buckets", Range.exactly(self.workload.gigabytes * p["s3_gb"]))
        yield Line(
            When.MONTHLY,
            "vectors kept",
            {
                "S3_VECTORS": self._vector_bytes() * (p["vector_gb"] / GIGABYTE),
                "OPENSEARCH_SERVERLESS": self._vector_bytes() * (p["opensearch_gb"] / GIGABYTE),
                "MANAGED": Range.exactly(self.workload.gigabytes * p["managed_gb"]),
            },
        )

    def _ingestion(self) -> Iterator[Line]:
        p, workload = self.prices, self.workload
        followed = self._invocations(1) + Range.exactly(
            TICK_READS * p["dynamodb_read"] + TICK_WRITES * p["dynamodb_write"] + 3 * p["sqs_fifo_request"]
        )
        by_store = {store: self._ticks(self.fleets[store]) * followed for store in STORES}
        yield Line(When.MONTHLY, "ingestion: following jobs", by_store)
        lists = ceil(workload.documents / 1_000) * p["s3_write"]
        # Started, under way, ended: each is an event, a line of history, and a function that takes note.
        announced = 3 * (p["event"] + 2 * p["dynamodb_write"])
        # Before it, the bucket is listed for what it would delete.
        checked = lists + 3 * p["sqs_fifo_request"] + p["dynamodb_write"]
        of_a_job = self._invocations(4) + Range.exactly(lists + announced + checked)
        yield self._of_all(When.MONTHLY, "ingestion: the jobs themselves", workload.jobs * of_a_job)
        changed = workload.changed * workload.all_documents
        yield Line(When.MONTHLY, "ingestion: changed documents", self._read_in(changed))
        yield from self._read_by_models(When.MONTHLY, "ingestion: changed documents", changed)

    def _ticks(self, fleets: int) -> Range:
        """A month. Jobs that run at once share their ticks, and there are no more ticks than fit into a month."""
        busy = self.workload.jobs * JOB_MINUTES * (60 / TICK_SECONDS)
        at_most = MONTH_MINUTES * 60 / TICK_SECONDS * fleets
        return Range(min(busy.low / JOBS_AT_ONCE, at_most), min(busy.high, at_most))

    def _read_in(self, documents: float) -> dict[str, Range]:
        """Putting them into buckets, embedding them, and keeping their vectors."""
        p = self.prices
        stored = documents * (p["s3_write"] + p["s3_read"] + p["event"])
        tokens = self._embedded_of_a_document() * documents
        vectors = self._vectors_of_a_document() * documents
        # At best many vectors are put at once; at worst each is put alone.
        put = Range(
            self._bytes_of_a_vector().low * vectors.low,
            max(self._bytes_of_a_vector().high, SMALLEST_PUT) * vectors.high,
        ) * (p["vector_put_gb"] / GIGABYTE)
        embedded = tokens * p["embedding_token"] + Range.exactly(stored)
        return {"S3_VECTORS": embedded + put, "OPENSEARCH_SERVERLESS": embedded, "MANAGED": Range.exactly(stored)}

    def _read_by_models(self, when: When, item: str, documents: float) -> Iterator[Line]:
        """What a parser's model and semantic chunking cost of documents, all of which count as PDF files."""
        p, manner = self.prices, self.manner
        if manner.parser is not None:
            written = self.workload.tokens_of_a_document * TOKENS_TRANSCRIBED * p["parsing_output_token"]
            read = TOKENS_OF_A_PICTURE * self.workload.pages * p["parsing_input_token"]
            yield self._of_all(when, f"{item}, parsed by a model", (read + written) * documents)
        if manner.compared != NOTHING:
            compared = self.workload.tokens_of_a_document * manner.compared * p["embedding_token"]
            yield self._of_all(when, f"{item}, semantic chunking", compared * documents)

    def _questions(self) -> Iterator[Line]:
        p, questions = self.prices, self.workload.all_questions
        yield self._of_all(When.MONTHLY, f"{_QUESTIONS}API Gateway", Range.exactly(questions * p["api_request"]))
        ran = ASK_SECONDS * (ASK_GIGABYTES * p["lambda_gb_second"]) + Range.exactly(p["lambda_request"])
        # Authorized at most once each, and counted in a transaction of two writes of one unit, which costs four.
        beside = self._invocations(1) * Range(0, 2) + Range.exactly(4 * p["dynamodb_write"] + p["dynamodb_read"])
        beside += CONVERSATION_WRITES * p["dynamodb_write"] + CONVERSATION_READS * p["dynamodb_read"]
        notified = self._notified(1)
        yield self._of_all(When.MONTHLY, f"{_QUESTIONS}functions and records", (ran + beside + notified) * questions)
        passage = self.manner.shown_tokens if self.manner.divided else self._embedded_of_a_document()
        shown = passage * self.manner.passages + Range.exactly(QUESTION_TOKENS)
        read = (PROMPT_TOKENS + shown) * p["input_token"]
        yield self._of_all(When.MONTHLY, f"{_QUESTIONS}model", (read + ANSWER_TOKENS * p["output_token"]) * questions)
        exchange = ANSWER_TOKENS + Range.exactly(QUESTION_TOKENS)
        retold = Range(EXCHANGES_BEFORE.low * exchange.low, EXCHANGES_BEFORE.high * exchange.high)
        rewriting = (retold + Range.exactly(REWRITING_PROMPT_TOKENS + QUESTION_TOKENS)) * p["input_token"]
        rewriting += Range.exactly(QUESTION_TOKENS * p["output_token"])
        rewritten = Range(FOLLOW_UPS.low * rewriting.low, FOLLOW_UPS.high * rewriting.high)
        yield self._of_all(When.MONTHLY, f"{_QUESTIONS}model, rewriting follow-ups", rewritten * questions)
        yield Line(When.MONTHLY, f"{_QUESTIONS}search", self._searches(questions))
        yield from self._reranked(_QUESTIONS, questions)

    def _reranked(self, what: str, searches: int) -> Iterator[Line]:
        if self.manner.reranker is not None:
            # A query of up to 100 passages, and no profile has more candidates.
            yield self._of_all(When.MONTHLY, f"{what}reranking", Range.exactly(searches * self.prices["rerank_query"]))

    def _searches(self, number: int) -> dict[str, Range]:
        p = self.prices
        embedded = QUESTION_TOKENS * p["embedding_token"]
        return {
            "S3_VECTORS": (self._searched() + Range.exactly(p["vector_query"] + embedded)) * number,
            "OPENSEARCH_SERVERLESS": Range.exactly(embedded * number),
            "MANAGED": Range.exactly(p["managed_retrieve"] * number),
        }

    def _golden_questions(self) -> Iterator[Line]:
        """By a search alone: answers are made on demand only."""
        p, searches = self.prices, self.workload.golden_searches
        yield Line(When.MONTHLY, "golden questions: search", self._searches(searches))
        yield from self._reranked("golden questions: ", searches)
        ran = GOLDEN_SECONDS * (GIGABYTES * p["lambda_gb_second"])
        beside = GOLDEN_READS * p["dynamodb_read"] + GOLDEN_WRITES * p["dynamodb_write"]
        # A line for each, and a message and two invocations for some of them together: at worst for each.
        logged = LOG_BYTES * (p["log_gb"] / GIGABYTE)
        asked = (self._invocations(2) + Range.exactly(2 * p["sqs_request"])) * Range(0.05, 1)
        yield self._of_all(
            When.MONTHLY, "golden questions: functions and records", (ran + beside + logged + asked) * searches
        )

    def _searched(self) -> Range:
        """What looking through one tenant's index costs. Text is no filterable metadata, and not counted."""

        def of(vectors: float, size: float) -> float:
            first = min(vectors, VECTORS_OF_THE_FIRST_TIER)
            paid = first * self.prices["vector_scan_tb"] + (vectors - first) * self.prices["vector_scan_further_tb"]
            return paid * size / TERABYTE

        vectors, beside = self._vectors_of_a_document() * self.workload.documents, BYTES_BESIDE_A_VECTOR
        size = self.manner.bytes_of_a_vector
        return Range(of(vectors.low, size + beside.low), of(vectors.high, size + beside.high))

    # --- once ---

    def _once(self) -> Iterator[Line]:
        p, states = self.prices, self.parts.provisioning_states
        of_a_tenant = self._invocations(states) + Range.exactly(
            states * p["state_transition"] + 2 * states * (p["dynamodb_read"] + p["dynamodb_write"])
        )
        yield self._of_all(When.ONCE, "tenants: provisioning", of_a_tenant * self.workload.tenants)
        came = self._read_in(self.workload.all_documents)
        yield Line(When.ONCE, f"{_DOCUMENTS}uploaded and read in", came)
        yield from self._read_by_models(When.ONCE, f"{_DOCUMENTS}read in", self.workload.all_documents)

    # --- shared ---

    def _invocations(self, count: float) -> Range:
        """Of functions that are quickly done, with their logs and traces."""
        ran = SHORT_SECONDS * (GIGABYTES * self.prices["lambda_gb_second"])
        return (ran + Range.exactly(self.prices["lambda_request"]) + self._notified(1)) * count

    def _notified(self, invocations: float) -> Range:
        logged = LOG_BYTES * (self.prices["log_gb"] / GIGABYTE)
        return (logged + TRACED * self.prices["trace"]) * invocations

    def _embedded_of_a_document(self) -> Range:
        """Tokens, without those that only tell where passages end."""
        tokens = self.workload.tokens_of_a_document
        if not self.manner.divided:
            tokens = Range(min(tokens.low, MOST_TOKENS_OF_A_VECTOR), min(tokens.high, MOST_TOKENS_OF_A_VECTOR))
        return tokens * self.manner.repeated

    def _vectors_of_a_document(self) -> Range:
        embedded, chunk = self._embedded_of_a_document(), self.manner.chunk_tokens
        return Range(embedded.low / chunk.high, embedded.high / chunk.low) if self.manner.divided else Range.exactly(1)

    def _vectors(self) -> Range:
        return self._vectors_of_a_document() * self.workload.all_documents

    def _bytes_of_a_vector(self) -> Range:
        text = self.manner.kept_tokens if self.manner.divided else self._embedded_of_a_document()
        return BYTES_BESIDE_A_VECTOR + text * BYTES_OF_A_TOKEN + Range.exactly(self.manner.bytes_of_a_vector)

    def _vector_bytes(self) -> Range:
        return self._vectors() * self._bytes_of_a_vector()

    def _of_each_fleet(self, item: str, cost: Range) -> Line:
        return Line(When.ALWAYS, item, {store: cost * self.fleets[store] for store in STORES})

    def _of_all(self, when: When, item: str, cost: Range) -> Line:
        return Line(when, item, dict.fromkeys(STORES, cost))

    def _only(self, store: str, cost: Range) -> dict[str, Range]:
        return dict.fromkeys(STORES, NOTHING) | {store: cost}
