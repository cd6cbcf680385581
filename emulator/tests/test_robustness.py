"""Whatever the emulator is sent, it answers as a service does, and what it has told before stays true.

`make test` sends some 1,500 requests. For more, say how many: ``BEDROCK_EMULATOR_REQUESTS=10000 pytest -s
emulator/tests/test_robustness.py`` (with ``-s`` the count is printed). The requests are the same in every run.
A failing sequence is told as it was made; when more requests were asked for, it is made shorter first, for minutes.
"""

from __future__ import annotations

import copy
import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

import boto3
import hypothesis
import pytest
from botocore.model import OperationModel
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from bedrock_emulator import Emulator, ManualClock, Quotas
from emulator_support.model_requests import garbage, members, operations
from emulator_support.waiting import until
from emulator_support.witness import RUNNING, Answer, Witness

USUAL = 500
WANTED = int(os.environ.get("BEDROCK_EMULATOR_REQUESTS", USUAL))
STEPS = 50
REGION = "us-east-1"
ACCOUNT = "000000000000"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/service-role/knowledge-base"
TITAN = f"arn:aws:bedrock:{REGION}::foundation-model/amazon.titan-embed-text-v2:0"
NOVA = f"arn:aws:bedrock:{REGION}::foundation-model/amazon.nova-lite-v1:0"
# Low enough to be reached within one sequence of requests.
QUOTAS = Quotas(
    vector_knowledge_bases=6,
    managed_knowledge_bases=2,
    data_sources_per_knowledge_base=3,
    data_sources_per_managed_knowledge_base=4,
    jobs_per_account=3,
    jobs_per_managed_knowledge_base=2,
    direct_ingestion_calls=3,
    requests_per_second={},
)
TEXTS = (
    "Paid leave is twenty days a year.",
    "年次有給休暇は二十日です。繰り越せます。",
    "Travel is reimbursed in May. Ask the office.",
    " ",
    "x" * 3_000,
)
SIDECARS = (
    None,
    '{"metadataAttributes": {"year": 2025, "team": "sales"}}',
    '{"metadataAttributes": {"tags": ["a", "b"], "draft": true}}',
    "{",
    '{"metadataAttributes": {"year": NaN}}',
    '{"metadataAttributes": {"note": "' + "x" * 1_100 + '"}}',
)
KEYS = ("leave.txt", "休暇.md", "travel.csv", "tool.exe", "page.html", "broken.pdf")
TOKENS = st.sampled_from(["t" * 40, "u" * 40])
NAMES = st.sampled_from([f"tenant-{letter}" for letter in "abcdefgh"])
CHOICE = st.integers(0, 10_000)

Source = tuple[str, str]


@dataclass(frozen=True)
class Remembered:
    """What a data source remembers of an object that it has read."""

    etag: str
    sidecar: str | None
    indexed: bool


class Requests(RuleBasedStateMachine):
    """One emulator, and requests of every kind to it."""

    made: ClassVar[int] = 0
    looks: ClassVar[int] = 0
    slowest: ClassVar[float] = 0.0
    by_status: ClassVar[Counter[tuple[str, int]]] = Counter()
    numbers: ClassVar[Iterator[int]] = itertools.count()
    s3: ClassVar[Any] = None

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.emulator = Emulator(
            region=REGION,
            account=ACCOUNT,
            clock=self.clock,
            quotas=QUOTAS,
            embedder="character",
            client_factory=lambda _: Requests.s3,
        )
        self.witness = Witness(self.emulator)
        self.bucket = f"documents-{next(Requests.numbers)}"
        Requests.s3.create_bucket(Bucket=self.bucket)
        self.remembered: dict[Source, dict[str, Remembered]] = {}
        assert self.send("s3vectors", "CreateVectorBucket", vectorBucketName="vectors").accepted
        # Something to begin with; many sequences would never come to a data source by chance.
        self._create_knowledge_base("tenant-a", "index-tenant-a", None)
        self._create_managed_knowledge_base("tenant-b")
        self._collection("acme")
        self.wait(160)
        for number in range(2):
            self._create_data_source(number, "S3", "documents", retain=False)
        self._create_data_source(0, "CUSTOM", "pages", retain=False)
        assert len(self.witness.data_sources) == 3
        self.upload("leave.txt", TEXTS[0], SIDECARS[1])

    def send(self, service: str, name: str, /, **given: Any) -> Answer:
        answer = self.witness.send(service, name, **given)
        Requests.by_status[name, answer.status] += 1
        return answer

    def wait(self, seconds: float) -> None:
        """Time passes, and each thing that is due happens in its order: what happens may plan what is next."""
        while seconds > 0:
            self.clock.advance(min(5.0, seconds))
            self.witness.look("bedrock-agent", "ListKnowledgeBases", maxResults=1)
            seconds -= 5.0

    # Anything

    def _any_operation(self, data: Any, service: str) -> None:
        mostly = [o for s, o in operations() if s == service and self.emulator.emulates(s, o.name)]
        others = [o for s, o in operations() if s == service]
        operation = data.draw(st.sampled_from(mostly if data.draw(st.integers(0, 7)) else others))
        self.witness.known.together = self._together(data.draw(CHOICE))
        self.send(service, operation.name, **members(data.draw, operation, self.witness.known))

    @rule(data=st.data())
    def any_operation_on_resources(self, data: Any) -> None:
        self._any_operation(data, "bedrock-agent")

    @rule(data=st.data())
    def any_other_operation_on_resources(self, data: Any) -> None:
        self._any_operation(data, "bedrock-agent")

    @rule(data=st.data())
    def any_question(self, data: Any) -> None:
        self._any_operation(data, "bedrock-agent-runtime")

    @rule(data=st.data())
    def any_conversation(self, data: Any) -> None:
        self._any_operation(data, "bedrock-runtime")

    @rule(data=st.data())
    def any_operation_on_guardrails(self, data: Any) -> None:
        self._any_operation(data, "bedrock")

    @rule(data=st.data())
    def any_operation_on_vectors(self, data: Any) -> None:
        self._any_operation(data, "s3vectors")

    @rule(data=st.data())
    def any_operation_on_collections(self, data: Any) -> None:
        self._any_operation(data, "opensearchserverless")

    @rule(request=garbage(), service=st.sampled_from(sorted({service for service, _ in operations()})))
    def garbage(self, request: Any, service: str) -> None:
        self.witness.send_raw(service, request)

    # What makes sense

    @rule(name=NAMES, shared=st.booleans(), token=st.none() | TOKENS)
    def create_knowledge_base(self, name: str, shared: bool, token: str | None) -> None:
        self._create_knowledge_base(name, "shared" if shared else f"index-{name}", token)

    def _create_knowledge_base(self, name: str, index: str, token: str | None) -> None:
        self.send(
            "s3vectors",
            "CreateIndex",
            vectorBucketName="vectors",
            indexName=index,
            dataType="float32",
            dimension=1024,
            distanceMetric="cosine",
            metadataConfiguration={"nonFilterableMetadataKeys": ["AMAZON_BEDROCK_TEXT", "AMAZON_BEDROCK_METADATA"]},
        )
        arn = f"arn:aws:s3vectors:{REGION}:{ACCOUNT}:bucket/vectors/index/{index}"
        self.send(
            "bedrock-agent",
            "CreateKnowledgeBase",
            name=name,
            roleArn=ROLE,
            knowledgeBaseConfiguration={
                "type": "VECTOR",
                "vectorKnowledgeBaseConfiguration": {"embeddingModelArn": TITAN},
            },
            storageConfiguration={"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": arn}},
            **({} if token is None else {"clientToken": token}),
        )

    @rule(name=NAMES)
    def create_managed_knowledge_base(self, name: str) -> None:
        self._create_managed_knowledge_base(name)

    def _create_managed_knowledge_base(self, name: str) -> None:
        self.send(
            "bedrock-agent",
            "CreateKnowledgeBase",
            name=name,
            roleArn=ROLE,
            knowledgeBaseConfiguration={
                "type": "MANAGED",
                "managedKnowledgeBaseConfiguration": {"embeddingModelType": "MANAGED"},
            },
        )

    @precondition(lambda self: self.witness.knowledge_bases)
    @rule(choice=CHOICE, name=NAMES, kind=st.sampled_from(["S3", "S3", "CUSTOM"]), retain=st.booleans())
    def create_data_source(self, choice: int, name: str, kind: str, retain: bool) -> None:
        self._create_data_source(choice, kind, name, retain=retain)

    def _create_data_source(self, choice: int, kind: str, name: str, *, retain: bool) -> None:
        base = self._knowledge_base(choice)
        if self._managed(base):
            connection = {"bucketName": self.bucket, "bucketOwnerAccountId": ACCOUNT}
            parameters = {"type": "S3", "version": "1", "connectionConfiguration": connection}
            configuration: dict[str, Any] = {
                "type": "MANAGED_KNOWLEDGE_BASE_CONNECTOR",
                "managedKnowledgeBaseConnectorConfiguration": {"connectorParameters": parameters},
            }
        elif kind == "CUSTOM":
            configuration = {"type": "CUSTOM"}
        else:
            configuration = {"type": "S3", "s3Configuration": {"bucketArn": f"arn:aws:s3:::{self.bucket}"}}
        self.send(
            "bedrock-agent",
            "CreateDataSource",
            knowledgeBaseId=base,
            name=name,
            dataSourceConfiguration=configuration,
            **({"dataDeletionPolicy": "RETAIN"} if retain else {}),
        )

    @rule(key=st.sampled_from(KEYS), text=st.sampled_from(TEXTS), sidecar=st.sampled_from(SIDECARS))
    def upload(self, key: str, text: str, sidecar: str | None) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=text.encode())
        if sidecar is not None:
            self.s3.put_object(Bucket=self.bucket, Key=f"{key}.metadata.json", Body=sidecar.encode())

    @rule(key=st.sampled_from(KEYS), with_sidecar=st.booleans())
    def remove(self, key: str, with_sidecar: bool) -> None:
        self.s3.delete_object(Bucket=self.bucket, Key=f"{key}.metadata.json" if with_sidecar else key)

    @precondition(lambda self: self.witness.data_sources)
    @rule(choice=CHOICE, token=st.none() | TOKENS)
    def start_ingestion_job(self, choice: int, token: str | None) -> None:
        given = self._names(self._data_source(choice)) | ({} if token is None else {"clientToken": token})
        self.send("bedrock-agent", "StartIngestionJob", **given)

    @precondition(lambda self: self.witness.jobs)
    @rule(choice=CHOICE)
    def stop_ingestion_job(self, choice: int) -> None:
        source = sorted(self.witness.jobs)[choice % len(self.witness.jobs)]
        self.send(
            "bedrock-agent", "StopIngestionJob", **self._names(source), ingestionJobId=self.witness.jobs[source][-1]
        )

    @precondition(lambda self: self.witness.data_sources)
    @rule(
        choice=CHOICE,
        changes=st.lists(
            st.tuples(st.sampled_from(KEYS), st.sampled_from(TEXTS), st.sampled_from(SIDECARS)), max_size=4
        ),
        gone=st.none() | st.sampled_from(KEYS),
    )
    def change_and_synchronise_twice(
        self, choice: int, changes: list[tuple[str, str, str | None]], gone: str | None
    ) -> None:
        source = self._data_source(choice)
        self._synchronise(source)
        for key, text, sidecar in changes:
            self.upload(key, text, sidecar)
        if gone is not None:
            self.remove(gone, with_sidecar=False)
        self._synchronise(source)

    @precondition(lambda self: self.witness.data_sources)
    @rule(choice=CHOICE)
    def wait_for_an_ingestion_job(self, choice: int) -> None:
        self._synchronise(self._data_source(choice))

    def _synchronise(self, source: Source) -> None:
        self.wait(100)
        sure = source not in self.witness.stirred | self.witness.updated
        started = self.send("bedrock-agent", "StartIngestionJob", **self._names(source))
        if not started.accepted:
            return
        listing = self._bucket_now()
        self.wait(400)
        ended = self.witness.look(
            "bedrock-agent",
            "GetIngestionJob",
            **self._names(source),
            ingestionJobId=started.content["ingestionJob"]["ingestionJobId"],
        ).content["ingestionJob"]
        if ended["status"] != "COMPLETE":
            return
        on_s3_vectors = not self._managed(source[0])
        counts, now = expected(listing, self.remembered.get(source, {}), on_s3_vectors=on_s3_vectors)
        self.remembered[source] = now
        self.witness.stirred.discard(source)
        if sure:
            assert ended["statistics"] == counts, (ended, listing)

    @precondition(lambda self: self.witness.data_sources)
    @rule(choice=CHOICE, ids=st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=2), inline=st.booleans())
    def ingest_documents(self, choice: int, ids: list[str], inline: bool) -> None:
        source = self._data_source(choice)
        text = {"type": "TEXT", "textContent": {"data": TEXTS[choice % len(TEXTS)]}}
        uri = f"s3://{self.bucket}/{KEYS[choice % len(KEYS)]}"
        contents: list[dict[str, Any]]
        if self._custom(source):
            held = {"sourceType": "IN_LINE", "inlineContent": text}
            kept = {"sourceType": "S3_LOCATION", "s3Location": {"uri": uri}}
            contents = [
                {
                    "dataSourceType": "CUSTOM",
                    "custom": {"customDocumentIdentifier": {"id": identifier}, **(held if inline else kept)},
                }
                for identifier in ids
            ]
        else:
            contents = [{"dataSourceType": "S3", "s3": {"s3Location": {"uri": uri}}}]
        documents = [{"content": content} for content in contents]
        self.send("bedrock-agent", "IngestKnowledgeBaseDocuments", **self._names(source), documents=documents)

    @precondition(lambda self: self.witness.data_sources)
    @rule(choice=CHOICE, waited=st.sampled_from([0, 3, 12, 21]), whole=st.booleans())
    def delete_what_is_being_ingested(self, choice: int, waited: float, whole: bool) -> None:
        source = self._data_source(choice)
        self.ingest_documents(choice, ["a"], True)
        self.wait(waited)
        if whole:
            self.send("bedrock-agent", "DeleteDataSource", **self._names(source))
        else:
            self.delete_documents(choice, "a")

    @precondition(lambda self: self.witness.data_sources)
    @rule(choice=CHOICE, identifier=st.sampled_from(["a", "b", "c"]))
    def delete_documents(self, choice: int, identifier: str) -> None:
        source = self._data_source(choice)
        uri = f"s3://{self.bucket}/{KEYS[choice % len(KEYS)]}"
        named = (
            {"dataSourceType": "CUSTOM", "custom": {"id": identifier}}
            if self._custom(source)
            else {"dataSourceType": "S3", "s3": {"uri": uri}}
        )
        self.send("bedrock-agent", "DeleteKnowledgeBaseDocuments", **self._names(source), documentIdentifiers=[named])

    @precondition(lambda self: self.witness.data_sources)
    @rule(choice=CHOICE, name=NAMES, policy=st.sampled_from(["DELETE", "RETAIN"]))
    def update_data_source(self, choice: int, name: str, policy: str) -> None:
        source = self._data_source(choice)
        found = self.witness.look("bedrock-agent", "GetDataSource", **self._names(source))
        if found.accepted:
            kept = ("dataSourceConfiguration", "vectorIngestionConfiguration")
            given = {key: value for key, value in found.content["dataSource"].items() if key in kept}
            connector = given["dataSourceConfiguration"].get("managedKnowledgeBaseConnectorConfiguration")
            if connector:
                connector["connectorParameters"] = json.loads(connector["connectorParameters"])
            names = self._names(source)
            self.send("bedrock-agent", "UpdateDataSource", **names, name=name, dataDeletionPolicy=policy, **given)

    @rule(text=st.sampled_from(TEXTS), streamed=st.booleans())
    def converse(self, text: str, streamed: bool) -> None:
        prompt = f"<passages>[1] {text}</passages>\n\nQuestion: How many days of leave are there?"
        self.send(
            "bedrock-runtime",
            "ConverseStream" if streamed else "Converse",
            modelId="amazon.nova-lite-v1:0",
            messages=[{"role": "user", "content": [{"text": prompt}]}],
        )

    @rule(name=st.sampled_from(["acme", "sakura"]), kind=st.sampled_from(["data", "network"]), delete=st.booleans())
    def policy(self, name: str, kind: str, delete: bool) -> None:
        rules = {"Rules": [{"ResourceType": "index", "Resource": ["index/*/*"]}]}
        text = json.dumps([rules | ({"Principal": [ROLE]} if kind == "data" else {})])
        noun = "AccessPolicy" if kind == "data" else "SecurityPolicy"
        given = {"type": kind, "name": name}
        self.send("opensearchserverless", f"Create{noun}", **given, policy=text)
        found = self.send("opensearchserverless", f"Get{noun}", **given).content
        ((_, detail),) = found.items()
        self.send("opensearchserverless", f"Update{noun}", **given, policy=text, policyVersion=detail["policyVersion"])
        if delete:
            self.send("opensearchserverless", f"Delete{noun}", **given)

    @precondition(lambda self: self.witness.collections)
    @rule(choice=CHOICE, name=st.sampled_from(["tenant-a", "tenant-b"]), kind=st.sampled_from(["knn_vector", "text"]))
    def collection_index(self, choice: int, name: str, kind: str) -> None:
        collection = list(self.witness.collections)[choice % len(self.witness.collections)]
        schema = {"mappings": {"properties": {"vector": {"type": kind, "dimension": 1024}}}}
        for verb in ("Create", "Update", "Get", *(("Delete",) if choice % 3 == 0 else ())):
            given = {"id": collection, "indexName": name, "indexSchema": schema}
            if verb in ("Get", "Delete"):
                del given["indexSchema"]
            self.send("opensearchserverless", f"{verb}Index", **given)

    @precondition(lambda self: self.witness.knowledge_bases)
    @rule(choice=CHOICE, text=st.sampled_from(["How many days of leave?", "休暇は何日", "「" * 1_000, "?"]))
    def ask(self, choice: int, text: str) -> None:
        base = self._knowledge_base(choice)
        self.send("bedrock-agent-runtime", "Retrieve", knowledgeBaseId=base, retrievalQuery={"text": text})
        configuration = {
            "type": "KNOWLEDGE_BASE",
            "knowledgeBaseConfiguration": {"knowledgeBaseId": base, "modelArn": NOVA},
        }
        self.send(
            "bedrock-agent-runtime",
            "RetrieveAndGenerate" if choice % 2 else "RetrieveAndGenerateStream",
            input={"text": text},
            retrieveAndGenerateConfiguration=configuration,
        )

    @precondition(lambda self: self.witness.data_sources)
    @rule(choice=CHOICE)
    def delete_data_source(self, choice: int) -> None:
        self.send("bedrock-agent", "DeleteDataSource", **self._names(self._data_source(choice)))

    @precondition(lambda self: len(self.witness.knowledge_bases) > 1)
    @rule(choice=CHOICE)
    def delete_knowledge_base(self, choice: int) -> None:
        self.send("bedrock-agent", "DeleteKnowledgeBase", knowledgeBaseId=self._knowledge_base(choice))

    @precondition(lambda self: self.witness.knowledge_bases)
    @rule(choice=CHOICE, name=NAMES)
    def rename_knowledge_base(self, choice: int, name: str) -> None:
        base = self._knowledge_base(choice)
        found = self.witness.look("bedrock-agent", "GetKnowledgeBase", knowledgeBaseId=base)
        if found.accepted:
            kept = ("roleArn", "knowledgeBaseConfiguration", "storageConfiguration")
            given = {key: value for key, value in found.content["knowledgeBase"].items() if key in kept}
            self.send("bedrock-agent", "UpdateKnowledgeBase", knowledgeBaseId=base, name=name, **given)

    @rule(name=NAMES)
    def delete_index(self, name: str) -> None:
        self.send("s3vectors", "DeleteIndex", vectorBucketName="vectors", indexName=f"index-{name}")

    @rule(name=st.sampled_from(["acme", "sakura"]), delete=st.booleans())
    def collection(self, name: str, delete: bool) -> None:
        self._collection(name)
        if delete:
            listed = self.send("opensearchserverless", "ListCollections", collectionFilters={"name": name})
            for summary in listed.content.get("collectionSummaries", ()):
                self.send("opensearchserverless", "DeleteCollection", id=summary["id"])

    def _collection(self, name: str) -> None:
        rules = '{"Rules": [{"ResourceType": "collection", "Resource": ["collection/*"]}], "AWSOwnedKey": true}'
        self.send("opensearchserverless", "CreateSecurityPolicy", type="encryption", name="all", policy=rules)
        self.send("opensearchserverless", "CreateCollection", name=name, type="VECTORSEARCH")

    @rule(
        fault=st.sampled_from(
            [
                {"effect": "job_fails", "failureReasons": ["The role was deleted."]},
                {"effect": "job_hangs"},
                {"effect": "knowledge_base_fails", "failureReasons": ["No capacity."]},
                {"effect": "data_source_fails", "failureReasons": ["Access denied."], "seconds": 20},
                {"effect": "vectors_not_searchable", "seconds": 60},
            ]
        )
    )
    def order_fault(self, fault: dict[str, Any]) -> None:
        self.emulator.faults.add({**fault, "count": 1})

    @rule(seconds=st.sampled_from([0.5, 5, 11, 30, 90, 700]))
    def time_passes(self, seconds: float) -> None:
        self.wait(seconds)

    # What must hold

    @invariant()
    def names_ids_and_quotas(self) -> None:
        self.witness.check_quick()

    def teardown(self) -> None:
        witness = self.witness
        self.emulator.faults.clear()
        try:
            for source, jobs in witness.jobs.items():
                witness.look("bedrock-agent", "StopIngestionJob", **self._names(source), ingestionJobId=jobs[-1])
            self.wait(600)
            witness.collections = {key: deleted for key, deleted in witness.collections.items() if not deleted}
            witness.check_all()
        finally:
            Requests.made += witness.requests
            Requests.looks += witness.looks
            Requests.slowest = max(Requests.slowest, witness.slowest)

    def _together(self, choice: int) -> dict[str, str]:
        """The names of one resource each and of what it belongs to."""
        witness = self.witness
        together = {"vectorBucketName": "vectors", "indexName": "index-tenant-a"}
        if witness.data_sources:
            source = self._data_source(choice)
            together |= self._names(source)
            together["resourceArn"] = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:knowledge-base/{source[0]}"
            if source in witness.jobs:
                together["ingestionJobId"] = witness.jobs[source][choice % len(witness.jobs[source])]
        if witness.collections:
            together["id"] = list(witness.collections)[choice % len(witness.collections)]
        return together

    def _knowledge_base(self, choice: int) -> str:
        bases = list(self.witness.knowledge_bases)
        return bases[choice % len(bases)]

    def _managed(self, base: str) -> bool:
        found = self.witness.look("bedrock-agent", "GetKnowledgeBase", knowledgeBaseId=base)
        configuration = found.content.get("knowledgeBase", {}).get("knowledgeBaseConfiguration", {})
        return bool(configuration.get("type") == "MANAGED")

    def _custom(self, source: Source) -> bool:
        found = self.witness.look("bedrock-agent", "GetDataSource", **self._names(source))
        configuration = found.content.get("dataSource", {}).get("dataSourceConfiguration", {})
        return bool(configuration.get("type") == "CUSTOM")

    def _data_source(self, choice: int) -> Source:
        sources = list(self.witness.data_sources)
        return sources[choice % len(sources)]

    def _names(self, source: Source) -> dict[str, str]:
        return {"knowledgeBaseId": source[0], "dataSourceId": source[1]}

    def _bucket_now(self) -> dict[str, tuple[str, bytes]]:
        listed = self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", ())
        return {
            entry["Key"]: (entry["ETag"], self.s3.get_object(Bucket=self.bucket, Key=entry["Key"])["Body"].read())
            for entry in listed
        }


def expected(
    listing: dict[str, tuple[str, bytes]], before: dict[str, Remembered], *, on_s3_vectors: bool
) -> tuple[dict[str, int], dict[str, Remembered]]:
    """What a job counts that reads these objects, and what is remembered then; told apart from the emulator's code."""
    sidecars = {key.removesuffix(".metadata.json"): held for key, held in listing.items() if key.endswith(".json")}
    documents = {key: held for key, held in listing.items() if not key.endswith(".json")}
    counts = {
        "numberOfDocumentsScanned": len(documents),
        "numberOfMetadataDocumentsScanned": len(sidecars),
        "numberOfNewDocumentsIndexed": 0,
        "numberOfModifiedDocumentsIndexed": 0,
        "numberOfMetadataDocumentsModified": 0,
        "numberOfDocumentsDeleted": len(before.keys() - documents.keys()),
        "numberOfDocumentsFailed": 0,
        "numberOfDocumentsSkipped": 0,
    }
    now = {}
    for key, (etag, body) in documents.items():
        sidecar, attributes = sidecars.get(key, (None, b""))
        known = before.get(key)
        if known == Remembered(etag, sidecar, indexed=True):
            now[key] = known
            continue
        supported = key.rpartition(".")[2] not in ("exe", "pdf")
        faulty = attributes == b"{" or b"NaN" in attributes or (on_s3_vectors and len(attributes) > 1_024)
        indexed = supported and not faulty and body.strip() != b""
        if not (on_s3_vectors and len(attributes) > 1_024 and not key.endswith(".exe")):
            now[key] = Remembered(etag, sidecar, indexed)  # with such metadata, it is no longer listed
        # A faulty sidecar is seen before the text is, but after the format.
        unsupported = key.endswith(".exe")
        if not indexed:
            counts["numberOfDocumentsFailed"] += unsupported or not faulty
            continue
        if known is None or not known.indexed:
            counts["numberOfNewDocumentsIndexed"] += 1
        elif known.etag != etag:
            counts["numberOfModifiedDocumentsIndexed"] += 1
        counts["numberOfMetadataDocumentsModified"] += known is not None and known.sidecar != sidecar
    return counts, now


@pytest.mark.timeout(3_600 if WANTED > USUAL else 120)
def test_whatever_is_asked_the_emulator_answers_and_keeps_its_promises(aws: None) -> None:
    Requests.s3 = boto3.client("s3", region_name=REGION)
    few = max(1, min(10, WANTED // STEPS))
    for number in itertools.count():
        chosen = settings(
            max_examples=few,
            stateful_step_count=STEPS,
            database=None,
            deadline=None,
            print_blob=True,
            phases=(Phase.generate, Phase.shrink) if WANTED > USUAL else (Phase.generate,),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        machine = hypothesis.seed(number)(type(f"Requests{number}", (Requests,), {}))
        run_state_machine_as_test(machine, settings=chosen)
        if Requests.made >= WANTED:
            break
    emulator = Emulator(embedder="character")
    emulated = {operation.name for service, operation in operations() if emulator.emulates(service, operation.name)}
    accepted = {name for name, status in Requests.by_status if status < 300}
    print(  # noqa: T201 - what was tried is worth knowing
        f"\n{Requests.made:,} requests, and {Requests.looks:,} to look at what they did. Of {len(emulated)} operations "
        f"{len(accepted)} were accepted at least once. The slowest request took {Requests.slowest * 1000:.0f} ms."
    )
    for (name, status), count in sorted(Requests.by_status.items()) if WANTED >= 5_000 else ():
        print(f"{count:6} {name} {status}")  # noqa: T201


def test_every_operation_of_the_six_services_is_answered(aws: None) -> None:
    witness = Witness(
        Emulator(region=REGION, account=ACCOUNT, clock=ManualClock(), quotas=QUOTAS, embedder="character")
    )
    for service, operation in operations():
        _try(witness, service, operation)
    assert witness.requests >= 2 * len(operations())


def _try(witness: Witness, service: str, operation: OperationModel) -> None:
    known = copy.deepcopy(witness.known)  # what is drawn must not depend on what was answered to the example before

    @hypothesis.seed(0)
    @settings(
        max_examples=2 if WANTED <= USUAL else 10,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )
    @hypothesis.given(st.data())
    def once(data: Any) -> None:
        witness.send(service, operation.name, **members(data.draw, operation, known))

    once()


def test_many_callers_at_once_are_all_answered(aws: None) -> None:
    s3 = boto3.client("s3", region_name=REGION)
    s3.create_bucket(Bucket="documents")
    s3.put_object(Bucket="documents", Key="leave.txt", Body=b"Paid leave is twenty days a year.")
    emulator = Emulator(
        region=REGION,
        account=ACCOUNT,
        speed=2_000,
        quotas=Quotas(requests_per_second={}),
        embedder="character",
        client_factory=lambda _: s3,
    )
    most = 0
    with ThreadPoolExecutor(8) as callers:
        tenants = [callers.submit(_one_tenant, emulator, number) for number in range(24)]
        while not all(tenant.done() for tenant in tenants):
            most = max(most, _running_jobs(emulator))
            time.sleep(0.002)
    for tenant in tenants:
        tenant.result()
    assert Witness(emulator).pages("bedrock-agent", "ListKnowledgeBases") == []
    assert 1 < most <= Quotas().jobs_per_account


def _running_jobs(emulator: Emulator) -> int:
    # Asked one by one, jobs that run one after another would look as if they ran at once.
    account = emulator._account
    with account.lock:
        return sum(job.status in RUNNING for jobs in account.jobs.values() for job in jobs)


def _one_tenant(emulator: Emulator, number: int) -> None:
    """A tenant from its beginning to its end, in competition with the others."""
    witness = Witness(emulator)
    name = f"tenant-{number}"
    witness.send("s3vectors", "CreateVectorBucket", vectorBucketName=name)
    index = {"vectorBucketName": name, "indexName": name}
    shape = {"dataType": "float32", "dimension": 1024, "distanceMetric": "cosine"}
    arn = witness.send("s3vectors", "CreateIndex", **index, **shape).content["indexArn"]
    base = witness.send(
        "bedrock-agent",
        "CreateKnowledgeBase",
        name=name,
        roleArn=ROLE,
        knowledgeBaseConfiguration={"type": "VECTOR", "vectorKnowledgeBaseConfiguration": {"embeddingModelArn": TITAN}},
        storageConfiguration={"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": arn}},
    ).content["knowledgeBase"]["knowledgeBaseId"]
    until(lambda: _status(witness, "KnowledgeBase", knowledgeBaseId=base) == "ACTIVE")
    bucket = {"type": "S3", "s3Configuration": {"bucketArn": "arn:aws:s3:::documents"}}
    made = witness.send(
        "bedrock-agent", "CreateDataSource", knowledgeBaseId=base, name="s3", dataSourceConfiguration=bucket
    )
    names = {"knowledgeBaseId": base, "dataSourceId": made.content["dataSource"]["dataSourceId"]}
    started: list[Answer] = []

    def accepted() -> bool:
        started.append(witness.send("bedrock-agent", "StartIngestionJob", **names))
        assert started[-1].status in (202, 409)
        return started[-1].accepted

    until(accepted)
    job = started[-1].content["ingestionJob"]["ingestionJobId"]
    until(lambda: _status(witness, "IngestionJob", **names, ingestionJobId=job) == "COMPLETE")
    found = witness.send("bedrock-agent-runtime", "Retrieve", knowledgeBaseId=base, retrievalQuery={"text": "leave"})
    assert [result["metadata"]["x-amz-bedrock-kb-data-source-id"] for result in found.content["retrievalResults"]] == [
        names["dataSourceId"]
    ]
    witness.send("bedrock-agent", "DeleteKnowledgeBase", knowledgeBaseId=base)
    until(lambda: not witness.look("bedrock-agent", "GetKnowledgeBase", knowledgeBaseId=base).accepted)


def _status(witness: Witness, what: str, **names: str) -> str:
    found = witness.look("bedrock-agent", f"Get{what}", **names)
    ((_, content),) = found.content.items()
    return str(content["status"])
