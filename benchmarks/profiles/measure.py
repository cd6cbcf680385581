"""Each profile's knowledge base on the emulator, made by the requests of kbfleet's own adapters, and asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from bedrock_emulator import Emulator, ManualClock, Quotas
from bedrock_emulator.reading.parsers import can_see
from bedrock_emulator.reading.sentences import estimated_tokens
from benchmarks.aws import ACCOUNT, REGION, ROLE, VECTOR_BUCKET, client, moto
from benchmarks.manuals.library import NotHereError, Question
from benchmarks.manuals.measure import KEPT
from benchmarks.profiles import collections
from benchmarks.profiles.collections import Collection
from benchmarks.profiles.shipped import profiles
from kbfleet.adapters.answerers import Reranking, Search
from kbfleet.adapters.knowledge_stores import StoreResources
from kbfleet.bootstrap import store_types
from kbfleet.domain.answer import Inquiry
from kbfleet.domain.answer import Question as Asked
from kbfleet.domain.model_ids import is_inference_profile
from kbfleet.domain.names import Knowledge, Life, ResourceNames, TenantId
from kbfleet.domain.profiles import DEFAULT_PROFILE, ParserKind, Profile

RANKS = 10
"""How many passages are looked at. Whatever a profile says, so many are asked for, so that profiles can be compared."""
SHOWN = 5
_BUCKET = "documents"
_COLLECTION = "benchmark"


@dataclass(frozen=True)
class Row:
    """How a profile does in a collection.

    Args:
        ranks: of the first passage with the answer, from 1, for each question; `None` where none of the first ten has
            it.
        tokens: of the first five passages together, for each question.
        left_out: documents that were not read in.
    """

    profile: str
    collection: str
    ranks: tuple[int | None, ...]
    tokens: tuple[int, ...]
    left_out: int

    def hit_rate(self, passages: int) -> float:
        """The share of the questions whose answer is in one of the first so many passages."""
        return fmean(rank is not None and rank <= passages for rank in self.ranks)

    @property
    def mean_reciprocal_rank(self) -> float:
        return fmean(0.0 if rank is None else 1 / rank for rank in self.ranks)


def measured(profile: Profile, collection: Collection) -> Row:
    """The collection read in and asked by a profile."""
    with moto():
        aws = _Aws()
        base, store = aws.knowledge_base(profile)
        left_out = aws.ingest(base, store.data_source_configuration(_BUCKET), store, collection.documents)
        search = _search(profile)
        found = [aws.found(base, search, question) for question in collection.questions]
    return Row(
        str(profile.name),
        collection.name,
        tuple(rank for rank, _ in found),
        tuple(tokens for _, tokens in found),
        left_out,
    )


def model_arn(model_id: str) -> str:
    """Of a foundation model or an inference profile, in the benchmark's account."""
    account, kind = (ACCOUNT, "inference-profile") if is_inference_profile(model_id) else ("", "foundation-model")
    return f"arn:aws:bedrock:{REGION}:{account}:{kind}/{model_id}"


def _search(profile: Profile) -> Search:
    answering = profile.answering
    reranker = answering.reranker
    return replace(
        Search.of(store_types()[profile.ingestion.knowledge_store]),
        search_type=answering.search_type,
        reranking=Reranking(model_arn(reranker.model), reranker.candidates) if reranker is not None else None,
    )


class _Aws:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.s3 = client("s3")
        self.emulator = Emulator(
            region=REGION,
            account=ACCOUNT,
            clock=self.clock,
            quotas=Quotas(requests_per_second={}),
            embedder="multilingual",
            client_factory=lambda _: self.s3,
        )
        self.agent, self.runtime = self.client("bedrock-agent"), self.client("bedrock-agent-runtime")

    def client(self, service: str) -> Any:
        return client(service, self.emulator)

    def knowledge_base(self, profile: Profile) -> tuple[str, Any]:
        """The id of one that is ACTIVE, and kbfleet's adapter of its store."""
        self.client("s3vectors").create_vector_bucket(vectorBucketName=VECTOR_BUCKET)
        catalogue = _Catalogue()
        resources = StoreResources(
            names=ResourceNames("kbfleet", ACCOUNT, REGION),
            ingestion=profile.ingestion,
            model_arn=model_arn,
            vector_bucket_name=VECTOR_BUCKET,
            collection_arn=self._collection(),
            client=self.client,
            catalogue=lambda _: catalogue,
        )
        store: Any = store_types()[profile.ingestion.knowledge_store].made_of(resources)
        reference = store.ensure(Knowledge(Life(TenantId("benchmark"))))
        made = self.agent.create_knowledge_base(
            name="benchmark", roleArn=ROLE, **store.knowledge_base_configuration(reference)
        )
        self.advance(130)
        return str(made["knowledgeBase"]["knowledgeBaseId"]), store

    def _collection(self) -> str:
        serverless = self.client("opensearchserverless")
        rules = [{"ResourceType": "collection", "Resource": [f"collection/{_COLLECTION}"]}]
        serverless.create_security_policy(
            type="encryption", name=_COLLECTION, policy=json.dumps({"Rules": rules, "AWSOwnedKey": True})
        )
        permissions = ["aoss:DescribeIndex", "aoss:ReadDocument", "aoss:WriteDocument"]
        indexes = [{"ResourceType": "index", "Resource": [f"index/{_COLLECTION}/*"], "Permission": permissions}]
        access = json.dumps([{"Rules": indexes, "Principal": [ROLE]}])
        serverless.create_access_policy(type="data", name=_COLLECTION, policy=access)
        made = serverless.create_collection(name=_COLLECTION, type="VECTORSEARCH")
        self.advance(300)
        return str(made["createCollectionDetail"]["arn"])

    def ingest(self, base: str, configuration: Any, store: Any, documents: Mapping[str, bytes]) -> int:
        """Returns: how many documents were left out. Raises RuntimeError when the job itself fails."""
        self.s3.create_bucket(Bucket=_BUCKET)
        for key, body in documents.items():
            self.s3.put_object(Bucket=_BUCKET, Key=key, Body=body)
        settings = store.ingestion_configuration()
        made = self.agent.create_data_source(
            knowledgeBaseId=base,
            name=_BUCKET,
            dataSourceConfiguration=configuration,
            **({"vectorIngestionConfiguration": settings} if settings else {}),
        )
        self.advance(400)
        names = {"knowledgeBaseId": base, "dataSourceId": made["dataSource"]["dataSourceId"]}
        job = self.agent.start_ingestion_job(**names)["ingestionJob"]["ingestionJobId"]
        self.advance(100_000, step=50_000)
        ended = self.agent.get_ingestion_job(**names, ingestionJobId=job)["ingestionJob"]
        if ended["status"] != "COMPLETE":
            raise RuntimeError(f"the ingestion job ended {ended}")
        statistics = ended["statistics"]
        return int(statistics["numberOfDocumentsScanned"] - statistics["numberOfNewDocumentsIndexed"])

    def advance(self, seconds: float, step: float = 15) -> None:
        """What the emulator does at one time plans what it does later."""
        while seconds > 0:
            self.clock.advance(min(seconds, step))
            self.agent.list_knowledge_bases(maxResults=1)
            seconds -= step

    def found(self, base: str, search: Search, question: Question) -> tuple[int | None, int]:
        """The rank of the first passage with the answer, and the tokens of the first five."""
        results = self.runtime.retrieve(
            knowledgeBaseId=base,
            retrievalQuery={"text": question.question},
            retrievalConfiguration=search.configuration(Inquiry(Asked(question.question), passages=RANKS)),
        )["retrievalResults"]
        ranks = [rank for rank, result in enumerate(results, start=1) if _answers(result, question)]
        texts = [result["content"]["text"] for result in results[:SHOWN]]
        return (ranks[0] if ranks else None), sum(map(estimated_tokens, texts))


class _Catalogue:
    def __init__(self) -> None:
        self._names: set[str] = set()

    def add(self, index_name: str) -> None:
        self._names.add(index_name)

    def remove(self, index_name: str) -> None:
        self._names.discard(index_name)

    def index_names(self) -> Iterator[str]:
        yield from sorted(self._names)


def _answers(result: Mapping[str, Any], question: Question) -> bool:
    location = result["location"]
    uri = location["s3Location"]["uri"]
    return uri == f"s3://{_BUCKET}/{question.document}" and _squeezed(question.expected) in _squeezed(
        result["content"]["text"]
    )


def _squeezed(text: str) -> str:
    """Without white space, which reading may lose or add."""
    return "".join(text.split())


COLLECTIONS: Mapping[str, Callable[[], Collection]] = {
    "company-files": collections.company_files,
    "scans": collections.scans,
    "price-lists": collections.price_lists,
    "manuals": lambda: collections.manuals(KEPT),
}


@dataclass(frozen=True)
class Skipped:
    """What could not be measured here, and why."""

    profile: str
    collection: str
    reason: str


def measure(only: str | None = None) -> Iterator[Row | Skipped]:
    """Each profile in each collection, as soon as it is measured.

    Args:
        only: the name of a collection, of `COLLECTIONS`.
    """
    for name, made in COLLECTIONS.items():
        if only is not None and name != only:
            continue
        try:
            collection = made()
        except NotHereError as missing:
            yield Skipped("all", name, str(missing))
            continue
        for profile in profiles():
            if profile.ingestion.parser.kind is ParserKind.FOUNDATION_MODEL and not can_see():
                yield Skipped(str(profile.name), name, "the packages that read scans are not installed: make scans")
                continue
            yield measured(profile, collection)


HEADINGS = ("collection", "profile", "hit rate@1", "hit rate@5", "MRR", "tokens of five passages", "left out")


def cells(row: Row) -> tuple[str, ...]:
    """Of a table, under `HEADINGS`."""
    return (
        f"{row.collection}, {len(row.ranks)} questions",
        row.profile,
        f"{row.hit_rate(1):.1%}",
        f"{row.hit_rate(SHOWN):.1%}",
        f"{row.mean_reciprocal_rank:.3f}",
        f"{fmean(row.tokens):,.0f}",
        str(row.left_out),
    )


def apart(rows: Sequence[Row]) -> list[Row]:
    """The rows whose hit rate at 1 or at 5 differs by five points or more from that of `default` in its collection."""
    plain = {row.collection: row for row in rows if row.profile == DEFAULT_PROFILE}
    return [
        row
        for row in rows
        if row.collection in plain
        and any(abs(row.hit_rate(n) - plain[row.collection].hit_rate(n)) >= _APART for n in (1, SHOWN))
    ]


_APART = 0.05 - 1e-9
