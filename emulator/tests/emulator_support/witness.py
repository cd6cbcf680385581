"""A witness of all that an emulator answers: each answer must fit its model, and all of them must agree."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import botocore.session
from botocore.awsrequest import HeadersDict
from botocore.eventstream import EventStreamBuffer
from botocore.model import OperationModel, Shape, StructureShape
from botocore.parsers import create_parser
from botocore.validate import ParamValidator

from bedrock_emulator import Emulator, Request, Response
from emulator_support.model_requests import Known, written

# However busy the machine is: none of these requests takes the emulator a tenth of this.
LONGEST_SECONDS = 5.0
# Services answer these to any operation, whether its model lists them or not (AWS documentation, "Common errors").
COMMON_ERRORS = frozenset(
    {
        "NotEmulatedException",
        "SerializationException",
        "ThrottlingException",
        "UnknownOperationException",
        "ValidationException",
    }
)
RUNNING = frozenset({"STARTING", "IN_PROGRESS", "STOPPING"})


@dataclass(frozen=True)
class Answer:
    """``content`` is parsed by botocore when the status is below 300, else ``code`` and ``message`` are told."""

    status: int
    content: dict[str, Any] = field(default_factory=dict)
    code: str = ""
    message: str = ""

    @property
    def accepted(self) -> bool:
        return self.status < 300


@cache
def operation(service: str, name: str) -> OperationModel:
    """The model of an operation."""
    return botocore.session.get_session().get_service_model(service).operation_model(name)


class Witness:
    """Sends requests to an emulator and keeps account of what was made and deleted.

    ``requests`` counts what was sent on behalf of a test, ``looks`` what was sent to check on it.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.known = Known()
        self.requests = 0
        self.looks = 0
        self.slowest = 0.0
        # By id or name; the value says whether its deletion was accepted.
        self.knowledge_bases: dict[str, bool] = {}
        self.data_sources: dict[tuple[str, str], bool] = {}
        self.retained: set[str] = set()
        self.jobs: dict[tuple[str, str], list[str]] = {}
        self.vector_buckets: dict[str, str] = {}
        self.indexes: dict[str, set[str]] = {}
        self.collections: dict[str, bool] = {}
        self.policies: set[tuple[str, str]] = set()
        # Data sources that were given something else than an ingestion job that was waited for.
        self.stirred: set[tuple[str, str]] = set()
        self.updated: set[tuple[str, str]] = set()

    # Sending

    def send(self, service: str, name: str, /, **members: Any) -> Answer:
        """One request on behalf of the test."""
        self.requests += 1
        self.known.learn(members)
        answer = self._sent(service, operation(service, name), members)
        if answer.accepted:
            self._note(service, name, members, answer.content)
        return answer

    def send_raw(self, service: str, request: Request) -> None:
        """A request that may be anything. What it did, should it be accepted, is learnt by looking."""
        self.requests += 1
        response = self._handled(service, request)
        assert response.status < 500 or response.status == 501, (request, response)
        if response.status < 300:
            self._catch_up()

    def look(self, service: str, name: str, /, **members: Any) -> Answer:
        """One request to check on things."""
        self.looks += 1
        return self._sent(service, operation(service, name), members)

    def pages(self, service: str, name: str, size: int = 7, /, **members: Any) -> list[Any]:
        """All entries of a list, page by page."""
        found: list[Any] = []
        token = None
        while True:
            more: dict[str, Any] = {} if token is None else {"nextToken": token}
            answer = self.look(service, name, **members, **more, maxResults=size)
            assert answer.accepted, (name, answer)
            (entries,) = (value for value in answer.content.values() if isinstance(value, list))
            assert len(entries) <= size, name
            found += entries
            token = answer.content.get("nextToken")
            if token is None:
                return found

    def _handled(self, service: str, request: Request) -> Response:
        began = time.monotonic()
        response = self.emulator.handle(service, request)
        took = time.monotonic() - began
        self.slowest = max(self.slowest, took)
        assert took < LONGEST_SECONDS, (took, request)
        return response

    def _sent(self, service: str, model: OperationModel, members: Mapping[str, Any]) -> Answer:
        response = self._handled(service, written(model, members))
        if response.status < 300:
            content = _parsed(model, response)
            self.known.learn(content)
            return Answer(response.status, content)
        code, message = _error(response)
        assert response.status == 501 or response.status < 500, (model.name, members, code, message)
        assert (response.status == 501) == (code == "NotEmulatedException"), (model.name, response)
        known = {shape.name for shape in model.error_shapes} | COMMON_ERRORS
        assert code in known, (model.name, code, message)
        assert message, (model.name, code)
        return Answer(response.status, {}, code, message)

    # Keeping account

    def _note(self, service: str, name: str, given: Mapping[str, Any], content: Mapping[str, Any]) -> None:
        match service, name:
            case "bedrock-agent", "CreateKnowledgeBase":
                self._made(self.knowledge_bases, content["knowledgeBase"]["knowledgeBaseId"], given)
            case "bedrock-agent", "DeleteKnowledgeBase":
                base = content["knowledgeBaseId"]
                self.knowledge_bases[base] = True
                for key in [key for key in self.data_sources if key[0] == base]:
                    self._source_goes(key)
            case "bedrock-agent", "CreateDataSource":
                source = content["dataSource"]
                self._made(self.data_sources, (source["knowledgeBaseId"], source["dataSourceId"]), given)
            case "bedrock-agent", "DeleteDataSource":
                self._source_goes((content["knowledgeBaseId"], content["dataSourceId"]))
            case "bedrock-agent", "StartIngestionJob":
                job = content["ingestionJob"]
                jobs = self.jobs.setdefault((job["knowledgeBaseId"], job["dataSourceId"]), [])
                assert job["ingestionJobId"] not in jobs or "clientToken" in given
                if job["ingestionJobId"] not in jobs:
                    jobs.append(job["ingestionJobId"])
                self.stirred.add((job["knowledgeBaseId"], job["dataSourceId"]))
                self.check_running_jobs()
            case "bedrock-agent", ("IngestKnowledgeBaseDocuments" | "DeleteKnowledgeBaseDocuments"):
                self.stirred.add((given["knowledgeBaseId"], given["dataSourceId"]))
            case "bedrock-agent", "UpdateDataSource":
                self.updated.add((given["knowledgeBaseId"], given["dataSourceId"]))
            case "s3vectors", "CreateVectorBucket":
                bucket = given["vectorBucketName"]
                assert bucket not in self.vector_buckets
                self.vector_buckets[bucket] = content["vectorBucketArn"]
                self.indexes[bucket] = set()
            case "s3vectors", "DeleteVectorBucket":
                bucket = self._bucket(given)
                assert not self.indexes.pop(bucket)
                del self.vector_buckets[bucket]
            case "s3vectors", "CreateIndex":
                bucket = self._bucket(given)
                assert given["indexName"] not in self.indexes[bucket]
                self.indexes[bucket].add(given["indexName"])
            case "s3vectors", "DeleteIndex":
                if "indexArn" in given:
                    bucket_arn, _, index = given["indexArn"].partition("/index/")
                    self.indexes[self._bucket({"vectorBucketArn": bucket_arn})].remove(index)
                else:
                    self.indexes[self._bucket(given)].remove(given["indexName"])
            case "opensearchserverless", "CreateCollection":
                self._made(self.collections, content["createCollectionDetail"]["id"], {})
            case "opensearchserverless", "DeleteCollection":
                self.collections[given["id"]] = True
            case "opensearchserverless", ("CreateSecurityPolicy" | "CreateAccessPolicy"):
                assert (given["type"], given["name"]) not in self.policies
                self.policies.add((given["type"], given["name"]))
            case "opensearchserverless", ("DeleteSecurityPolicy" | "DeleteAccessPolicy"):
                self.policies.remove((given["type"], given["name"]))

    def _made(self, census: dict[Any, bool], key: Any, given: Mapping[str, Any]) -> None:
        # The token of an earlier request is answered what that request made.
        assert key not in census or "clientToken" in given, key
        census.setdefault(key, False)

    def _source_goes(self, key: tuple[str, str]) -> None:
        self.data_sources[key] = True
        found = self.look("bedrock-agent", "GetDataSource", knowledgeBaseId=key[0], dataSourceId=key[1])
        if found.accepted and found.content["dataSource"].get("dataDeletionPolicy") == "RETAIN":
            self.retained.add(key[1])

    def _bucket(self, given: Mapping[str, Any]) -> str:
        if "vectorBucketName" in given:
            return str(given["vectorBucketName"])
        return next(name for name, arn in self.vector_buckets.items() if arn == given["vectorBucketArn"])

    def _catch_up(self) -> None:
        for bucket in self.pages("s3vectors", "ListVectorBuckets"):
            self.vector_buckets.setdefault(bucket["vectorBucketName"], bucket["vectorBucketArn"])
            self.indexes.setdefault(bucket["vectorBucketName"], set())
        for base in self.pages("bedrock-agent", "ListKnowledgeBases"):
            self.knowledge_bases.setdefault(base["knowledgeBaseId"], False)
        for collection in self.pages("opensearchserverless", "ListCollections"):
            self.collections.setdefault(collection["id"], False)

    # What must hold

    def check_running_jobs(self) -> None:
        """At most 1 job runs in a VECTOR knowledge base, and 5 in all of those together."""
        running: dict[str, int] = {}
        for (base, source), jobs in self.jobs.items():
            for job in jobs:
                found = self.look(
                    "bedrock-agent", "GetIngestionJob", knowledgeBaseId=base, dataSourceId=source, ingestionJobId=job
                )
                if found.accepted and found.content["ingestionJob"]["status"] in RUNNING:
                    running[base] = running.get(base, 0) + 1
        quotas = self.emulator.quotas
        vector = {base: count for base, count in running.items() if self._kind(base) == "VECTOR"}
        assert all(count <= quotas.jobs_per_knowledge_base for count in vector.values()), running
        assert sum(vector.values()) <= quotas.jobs_per_account, running
        assert all(count <= quotas.jobs_per_managed_knowledge_base for count in running.values()), running

    def check_quick(self) -> None:
        """What a list of the knowledge bases alone can tell: quotas, and that names and ids are unique."""
        listed = self.pages("bedrock-agent", "ListKnowledgeBases")
        ids = [base["knowledgeBaseId"] for base in listed]
        names = [base["name"] for base in listed]
        assert len(set(ids)) == len(ids), ids
        assert len(set(names)) == len(names), names
        assert set(ids) <= self.knowledge_bases.keys()
        assert {base for base, deleted in self.knowledge_bases.items() if not deleted} <= set(ids)
        quotas = self.emulator.quotas
        assert len(ids) <= quotas.vector_knowledge_bases + quotas.managed_knowledge_bases

    def check_all(self) -> None:
        """Everything that can be listed is what was made and not deleted. Call it when nothing is under way."""
        self.check_quick()
        self.check_running_jobs()
        listed = {base["knowledgeBaseId"]: base for base in self.pages("bedrock-agent", "ListKnowledgeBases", 3)}
        kinds = [self._kind(base) for base in listed]
        assert kinds.count("VECTOR") <= self.emulator.quotas.vector_knowledge_bases
        assert kinds.count("MANAGED") <= self.emulator.quotas.managed_knowledge_bases
        for base, summary in listed.items():
            if self.knowledge_bases[base]:
                assert summary["status"] in ("DELETE_UNSUCCESSFUL", "ACTIVE"), summary
            self._check_knowledge_base(base, summary)
        for base in self.knowledge_bases.keys() - listed.keys():
            assert self.look("bedrock-agent", "GetKnowledgeBase", knowledgeBaseId=base).status == 404
        buckets = {bucket["vectorBucketName"] for bucket in self.pages("s3vectors", "ListVectorBuckets")}
        assert buckets == self.vector_buckets.keys()
        for bucket, indexes in self.indexes.items():
            found = [index["indexName"] for index in self.pages("s3vectors", "ListIndexes", vectorBucketName=bucket)]
            assert sorted(found) == sorted(indexes)
        collections = {entry["id"] for entry in self.pages("opensearchserverless", "ListCollections")}
        assert collections == {identifier for identifier, deleted in self.collections.items() if not deleted}
        for kind, operation_name in (
            ("encryption", "ListSecurityPolicies"),
            ("network", "ListSecurityPolicies"),
            ("data", "ListAccessPolicies"),
        ):
            policies = [entry["name"] for entry in self.pages("opensearchserverless", operation_name, type=kind)]
            assert sorted(policies) == sorted(name for of, name in self.policies if of == kind)

    def _kind(self, base: str) -> str:
        found = self.look("bedrock-agent", "GetKnowledgeBase", knowledgeBaseId=base)
        return str(found.content["knowledgeBase"]["knowledgeBaseConfiguration"]["type"]) if found.accepted else "GONE"

    def _check_knowledge_base(self, base: str, summary: Mapping[str, Any]) -> None:
        found = self.look("bedrock-agent", "GetKnowledgeBase", knowledgeBaseId=base).content["knowledgeBase"]
        assert {key: found.get(key) for key in summary} == summary
        sources = self.pages("bedrock-agent", "ListDataSources", 2, knowledgeBaseId=base)
        ids = [source["dataSourceId"] for source in sources]
        assert len(set(ids)) == len(ids)
        names = [source["name"] for source in sources]
        assert len(set(names)) == len(names)
        for (of, source), deleted in self.data_sources.items():
            if of == base and not deleted:
                assert source in ids, (base, source)
        for source in sources:
            key = (base, source["dataSourceId"])
            assert key in self.data_sources
            assert not self.data_sources[key] or source["status"] in ("DELETE_UNSUCCESSFUL", "AVAILABLE"), source
            self._check_data_source(*key)
        if found["status"] in ("ACTIVE", "DELETE_UNSUCCESSFUL"):
            self._check_passages(base)

    def _check_data_source(self, base: str, source: str) -> None:
        names = {"knowledgeBaseId": base, "dataSourceId": source}
        listed = [job["ingestionJobId"] for job in self.pages("bedrock-agent", "ListIngestionJobs", **names)]
        assert listed == list(reversed(self.jobs.get((base, source), [])))
        for identifier in listed:
            answer = self.look("bedrock-agent", "GetIngestionJob", **names, ingestionJobId=identifier)
            check_statistics(answer.content["ingestionJob"])
        documents = self.pages("bedrock-agent", "ListKnowledgeBaseDocuments", **names)
        identifiers = [json.dumps(document["identifier"], sort_keys=True) for document in documents]
        assert len(set(identifiers)) == len(identifiers)
        ended = {"INDEXED", "FAILED", "IGNORED"}
        assert {document["status"] for document in documents} <= ended, documents

    def _check_passages(self, base: str) -> None:
        """Each passage that is found belongs to a document that is indexed, or to a data source deleted with RETAIN."""
        search = {"numberOfResults": 100}
        kind = "managedSearchConfiguration" if self._kind(base) == "MANAGED" else "vectorSearchConfiguration"
        answer = self.look(
            "bedrock-agent-runtime",
            "Retrieve",
            knowledgeBaseId=base,
            retrievalQuery={"text": "leave"},
            retrievalConfiguration={kind: search},
        )
        if not answer.accepted:
            assert "index" in answer.message
            return
        owners = {source: of for of, source in self.data_sources}
        seen = set()
        for result in answer.content["retrievalResults"]:
            assert result["metadata"]["x-amz-bedrock-kb-chunk-id"] not in seen
            seen.add(result["metadata"]["x-amz-bedrock-kb-chunk-id"])
            source = result["metadata"].get("x-amz-bedrock-kb-data-source-id") or result["metadata"]["_data_source_id"]
            if source in self.retained:
                continue
            location = result["location"]
            named = (
                {"s3": {"uri": location["s3Location"]["uri"]}}
                if location["type"] == "S3"
                else {"custom": {"id": location["customDocumentLocation"]["id"]}}
            )
            found = self.look(
                "bedrock-agent",
                "GetKnowledgeBaseDocuments",
                knowledgeBaseId=owners[source],
                dataSourceId=source,
                documentIdentifiers=[{"dataSourceType": location["type"], **named}],
            )
            assert found.accepted, (result, found)
            assert found.content["documentDetails"][0]["status"] == "INDEXED", (result, found)


def check_statistics(job: Mapping[str, Any]) -> None:
    """The counts of a job fit together: what is not counted otherwise is unchanged, or had a faulty sidecar."""
    counts = job["statistics"]
    assert all(count >= 0 for count in counts.values())
    scanned = counts["numberOfDocumentsScanned"]
    fresh = counts["numberOfNewDocumentsIndexed"] + counts["numberOfModifiedDocumentsIndexed"]
    assert fresh + counts["numberOfDocumentsFailed"] <= scanned, counts
    assert counts["numberOfMetadataDocumentsModified"] <= scanned, counts
    if job["status"] != "COMPLETE":
        assert set(counts.values()) == {0}, job


def _parsed(model: OperationModel, response: Response) -> dict[str, Any]:
    shape = model.output_shape
    if shape is None:
        return {}
    if shape.event_stream_name is not None:
        stream = shape.members[shape.event_stream_name]
        assert isinstance(stream, StructureShape)
        for kind, payload in _events(response.body):
            _fits(_read(model, stream.members[kind], payload), stream.members[kind], f"{model.name} {kind}")
        return {}
    json.loads(response.body, parse_constant=_no_json)
    parsed = _read(model, shape, response.body, response)
    _fits(parsed, shape, model.name)
    return parsed


def _read(model: OperationModel, shape: Shape, body: bytes, response: Response | None = None) -> dict[str, Any]:
    headers = HeadersDict(response.headers if response else {})
    given = {"headers": headers, "status_code": response.status if response else 200, "body": body}
    parsed: dict[str, Any] = create_parser(model.service_model.metadata["protocol"]).parse(given, shape)
    parsed.pop("ResponseMetadata", None)
    return parsed


def _fits(value: Any, shape: Any, what: str) -> None:
    report = ParamValidator().validate(value, shape)
    assert not report.has_errors(), (what, str(report.generate_report()), value)


def _events(body: bytes) -> Iterator[tuple[str, bytes]]:
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    for event in buffer:
        headers: Any = event.headers
        yield headers[":event-type"], event.payload


def _error(response: Response) -> tuple[str, str]:
    content = json.loads(response.body)
    code = response.headers.get("x-amzn-ErrorType") or str(content["__type"]).rpartition("#")[2]
    return code, content["message"]


def _no_json(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")
