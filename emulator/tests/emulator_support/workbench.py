"""An emulator on a clock moved by hand, with boto3 clients connected without a socket and those of an S3 beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from bedrock_emulator import Emulator, ManualClock, Quotas, attach

REGION = "us-east-1"
ACCOUNT = "000000000000"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/service-role/knowledge-base"
TITAN = f"arn:aws:bedrock:{REGION}::foundation-model/amazon.titan-embed-text-v2:0"
NOVA = f"arn:aws:bedrock:{REGION}::foundation-model/amazon.nova-lite-v1:0"
NON_FILTERABLE = ["AMAZON_BEDROCK_TEXT", "AMAZON_BEDROCK_METADATA"]


@dataclass
class Workbench:
    """The clients, the clock, and short ways to what most tests need first."""

    emulator: Emulator
    clock: Any
    region: str = REGION
    clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """A client of an emulated service that does not retry, or of the S3 beside it."""
        if service not in self.clients:
            client = boto3.client(  # type: ignore[call-overload]  # the service is not a literal here
                service,
                region_name=self.region,
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=Config(retries={"total_max_attempts": 1}),
            )
            self.clients[service] = client if service in ("s3", "iam", "lambda") else attach(client, self.emulator)
        return self.clients[service]

    @property
    def agent(self) -> Any:
        return self.client("bedrock-agent")

    @property
    def runtime(self) -> Any:
        return self.client("bedrock-agent-runtime")

    @property
    def s3(self) -> Any:
        return self.client("s3")

    @property
    def vectors(self) -> Any:
        return self.client("s3vectors")

    def put(self, bucket: str, **objects: str | bytes) -> None:
        """Objects by key."""
        for key, body in objects.items():
            self.s3.put_object(Bucket=bucket, Key=key, Body=body.encode() if isinstance(body, str) else body)

    def index(self, name: str, bucket: str = "vectors", dimension: int = 1024, **more: Any) -> str:
        """A vector index; gives its ARN."""
        if bucket not in {known["vectorBucketName"] for known in self.vectors.list_vector_buckets()["vectorBuckets"]}:
            self.vectors.create_vector_bucket(vectorBucketName=bucket)
        settings = {
            "dataType": "float32",
            "distanceMetric": "cosine",
            "metadataConfiguration": {"nonFilterableMetadataKeys": NON_FILTERABLE},
            **more,
        }
        made = self.vectors.create_index(vectorBucketName=bucket, indexName=name, dimension=dimension, **settings)
        return str(made["indexArn"])

    def knowledge_base_request(self, name: str, index_arn: str, **more: Any) -> dict[str, Any]:
        """The members of CreateKnowledgeBase."""
        return {
            "name": name,
            "roleArn": ROLE,
            "knowledgeBaseConfiguration": {
                "type": "VECTOR",
                "vectorKnowledgeBaseConfiguration": {"embeddingModelArn": TITAN},
            },
            "storageConfiguration": {"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": index_arn}},
            **more,
        }

    def create(self, name: str, **more: Any) -> dict[str, Any]:
        """A knowledge base on an index of its own, still CREATING."""
        request = self.knowledge_base_request(name, self.index(f"index-{name}".lower()), **more)
        made: dict[str, Any] = self.agent.create_knowledge_base(**request)["knowledgeBase"]
        return made

    def knowledge_base(self, name: str = "tenant", **more: Any) -> str:
        """An ACTIVE knowledge base; gives its id."""
        identifier = str(self.create(name, **more)["knowledgeBaseId"])
        self.clock.advance(90)
        return identifier

    def managed(self, name: str = "managed") -> str:
        """An ACTIVE knowledge base of type MANAGED; gives its id."""
        made = self.agent.create_knowledge_base(
            name=name,
            roleArn=ROLE,
            knowledgeBaseConfiguration={
                "type": "MANAGED",
                "managedKnowledgeBaseConfiguration": {"embeddingModelType": "MANAGED"},
            },
        )
        self.clock.advance(124)
        return str(made["knowledgeBase"]["knowledgeBaseId"])

    def data_source(self, knowledge_base: str, bucket: str = "documents", name: str = "documents", **more: Any) -> str:
        """An AVAILABLE data source on a bucket, which is made when it is missing; gives its id."""
        if bucket not in {known["Name"] for known in self.s3.list_buckets()["Buckets"]}:
            # S3 takes no location constraint that names its first Region.
            elsewhere = {} if self.region == REGION else {"LocationConstraint": self.region}
            self.s3.create_bucket(Bucket=bucket, **({"CreateBucketConfiguration": elsewhere} if elsewhere else {}))
        made = self.agent.create_data_source(
            knowledgeBaseId=knowledge_base,
            name=name,
            dataSourceConfiguration=more.pop(
                "configuration", {"type": "S3", "s3Configuration": {"bucketArn": f"arn:aws:s3:::{bucket}"}}
            ),
            **more,
        )
        if made["dataSource"]["status"] == "CREATING":
            self.clock.advance(300)
        return str(made["dataSource"]["dataSourceId"])

    def start(self, knowledge_base: str, source: str) -> str:
        """An ingestion job, after waiting for the start rate; gives its id."""
        self.clock.advance(10)
        started = self.agent.start_ingestion_job(knowledgeBaseId=knowledge_base, dataSourceId=source)
        return str(started["ingestionJob"]["ingestionJobId"])

    def job(self, knowledge_base: str, source: str, job: str) -> dict[str, Any]:
        """The job as it is now."""
        found: dict[str, Any] = self.agent.get_ingestion_job(
            knowledgeBaseId=knowledge_base, dataSourceId=source, ingestionJobId=job
        )["ingestionJob"]
        return found

    def sync(self, knowledge_base: str, source: str) -> dict[str, Any]:
        """An ingestion job, ended."""
        job = self.start(knowledge_base, source)
        # The bucket is read when STARTING is over, and the end is planned then.
        self.clock.advance(10)
        self.job(knowledge_base, source, job)
        self.clock.advance(600)
        return self.job(knowledge_base, source, job)

    def stocked(self, **objects: str | bytes) -> tuple[str, str]:
        """A knowledge base with a data source that holds and has indexed these objects; gives both ids."""
        base = self.knowledge_base()
        source = self.data_source(base)
        self.put("documents", **objects)
        ended = self.sync(base, source)
        assert ended["status"] == "COMPLETE", ended
        return base, source

    @staticmethod
    def sidecar(**attributes: Any) -> str:
        """A metadata file's content."""
        return json.dumps({"metadataAttributes": attributes}, ensure_ascii=False)

    def retrieved(self, knowledge_base: str, text: str, **search: Any) -> list[dict[str, Any]]:
        """The results of Retrieve."""
        more = {"retrievalConfiguration": {"vectorSearchConfiguration": search}} if search else {}
        found: list[dict[str, Any]] = self.runtime.retrieve(
            knowledgeBaseId=knowledge_base, retrievalQuery={"text": text}, **more
        )["retrievalResults"]
        return found

    def ask(self, knowledge_base: str, text: str, model: str = NOVA, **more: Any) -> dict[str, Any]:
        """RetrieveAndGenerate."""
        answered: dict[str, Any] = self.runtime.retrieve_and_generate(
            input={"text": text},
            retrieveAndGenerateConfiguration={
                "type": "KNOWLEDGE_BASE",
                "knowledgeBaseConfiguration": {"knowledgeBaseId": knowledge_base, "modelArn": model},
            },
            **more,
        )
        return answered


def make_workbench(**arguments: Any) -> Workbench:
    """Without request rates and without an embedding model. Takes the emulator's own arguments in their place."""
    clock = arguments.pop("clock", None) or ManualClock()
    settings = {
        "region": REGION,
        "quotas": Quotas(requests_per_second={}),
        "embedder": "character",
        "account": ACCOUNT,
        **arguments,
    }
    return Workbench(Emulator(clock=clock, **settings), clock, settings["region"])
