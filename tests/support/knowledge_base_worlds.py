"""Places where knowledge bases are, for tests of what they do: in memory, and emulated behind the real adapter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from kbfleet.adapters.bedrock import BedrockKnowledgeBases
from kbfleet.domain.ingestion_job import FailureReason, IngestionJob, JobStatus
from kbfleet.domain.knowledge_base import (
    DataSource,
    DataSourceStatus,
    KnowledgeBase,
    KnowledgeBaseKind,
    KnowledgeBaseStatus,
    client_token,
)
from kbfleet.domain.names import DataSourceReference, Life, TenantId
from kbfleet.ports import KnowledgeBases
from tests.support.emulator import SERVICE_ROLE, EmulatedAws
from tests.support.fakes import FakeClock, InMemoryKnowledgeBases, JobCourse
from tests.support.knowledge_store_worlds import OnS3Vectors, StoreWorld
from tests.support.samples import ACME, NAMES, failure_reason, first_knowledge

BUCKET = NAMES.bucket(Life(ACME))
REASONS = (
    FailureReason("The role was deleted."),
    failure_reason("Ignored files", "s3://b/議事録, 1.md", "s3://b/2.md"),
)


LONGEST_CREATION_SECONDS = 124
LONGEST_DATA_SOURCE_CREATION_SECONDS = 300
"""Those of the kind MANAGED, as users report."""


class World(ABC):
    """Knowledge bases, and what tests do to them from outside."""

    knowledge_bases: KnowledgeBases

    @abstractmethod
    def advance(self, seconds: float) -> None: ...

    @abstractmethod
    def configuration(self, name: str) -> Mapping[str, object]:
        """The configuration of a knowledge base on an index of its own."""

    @abstractmethod
    def data_source_configuration(self) -> Mapping[str, object]: ...

    @abstractmethod
    def role_is_assumable_after(self, seconds: float) -> None: ...

    @abstractmethod
    def next_job_fails(self, data_source: DataSourceReference) -> None:
        """With `REASONS`."""

    @abstractmethod
    def delete(self, knowledge_base_id: str) -> None: ...

    @abstractmethod
    def names_are_taken_after(self, seconds: float) -> None:
        """Knowledge bases of one name can be made, one soon after the other."""

    @abstractmethod
    def make_foreign(self, name: str, kind: KnowledgeBaseKind) -> None:
        """Somebody else makes a knowledge base."""

    @abstractmethod
    def unsettle(self, knowledge_base_id: str) -> None:
        """Somebody changes the knowledge base's description."""

    @abstractmethod
    def lose_vectors(self, name: str) -> None:
        """The index of the knowledge base of that name is gone, so that no vectors can be deleted from it."""

    @abstractmethod
    def failed_data_source(self) -> DataSourceReference:
        """One that Bedrock has given up: `The role is gone.`"""

    # --- short ways ---

    def create(self, name: str, token: str = "") -> KnowledgeBase:
        return self.knowledge_bases.create(
            name,
            role_arn=SERVICE_ROLE,
            configuration=self.configuration(name),
            tags=NAMES.tags(Life(TenantId("acme"))),
            client_token=client_token(token or name),
        )

    def active(self, name: str) -> str:
        made = self.create(name).knowledge_base_id
        self.advance(LONGEST_CREATION_SECONDS)
        return made

    def create_data_source(self, knowledge_base_id: str, name: str = "documents", token: str = "") -> str:
        return self.knowledge_bases.create_data_source(
            knowledge_base_id,
            name,
            configuration=self.data_source_configuration(),
            client_token=client_token(knowledge_base_id, token or name),
        ).data_source_id

    def data_source(self, name: str = "kbfleet-acme") -> DataSourceReference:
        knowledge_base_id = self.active(name)
        made = DataSourceReference(knowledge_base_id, self.create_data_source(knowledge_base_id))
        self.advance(LONGEST_DATA_SOURCE_CREATION_SECONDS)
        return made

    def start(self, data_source: DataSourceReference, token: str = "first") -> IngestionJob:  # noqa: S107 - not a password
        self.advance(10)  # the account's start rate
        return self.knowledge_bases.start_ingestion(
            data_source, client_token=client_token(data_source.data_source_id, token)
        )

    def status(self, knowledge_base_id: str) -> KnowledgeBaseStatus | None:
        found = self.knowledge_bases.get(knowledge_base_id)
        return found.status if found else None

    def stored_data_source(self, data_source: DataSourceReference) -> DataSource:
        found = self.knowledge_bases.find_data_source(data_source.knowledge_base_id, "documents")
        assert found is not None
        assert found.data_source_id == data_source.data_source_id
        return found

    def ended(self, data_source: DataSourceReference, job: IngestionJob) -> IngestionJob:
        for _ in range(100):
            seen = self.knowledge_bases.ingestion_job(data_source, job.ingestion_job_id)
            if seen.status.ended:
                return seen
            self.advance(10)
        raise AssertionError(f"the job does not end: {seen}")


class InMemory(World):
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.knowledge_bases = self.memory = InMemoryKnowledgeBases(self.clock)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def configuration(self, name: str) -> Mapping[str, object]:
        return {"knowledgeBaseConfiguration": {"type": "VECTOR"}, "storageConfiguration": {"index": name}}

    def data_source_configuration(self) -> Mapping[str, object]:
        return {"type": "S3", "s3Configuration": {"bucketArn": f"arn:aws:s3:::{BUCKET}"}}

    def role_is_assumable_after(self, seconds: float) -> None:
        self.memory.role_assumable_at = self.clock.now() + timedelta(seconds=seconds)

    def next_job_fails(self, data_source: DataSourceReference) -> None:
        self.memory.plan(data_source.knowledge_base_id, JobCourse(JobStatus.FAILED, failure_reasons=REASONS))

    def delete(self, knowledge_base_id: str) -> None:
        self.memory.vanish(knowledge_base_id)

    def names_are_taken_after(self, seconds: float) -> None:
        self.memory.uniqueness_lag = timedelta(seconds=seconds)

    def make_foreign(self, name: str, kind: KnowledgeBaseKind) -> None:
        configuration = {"knowledgeBaseConfiguration": {"type": kind}}
        self.memory.create(name, role_arn="", configuration=configuration, tags={}, client_token=client_token(name))

    def unsettle(self, knowledge_base_id: str) -> None:
        self.memory.unsettle(knowledge_base_id)

    def lose_vectors(self, name: str) -> None:
        self.memory.vectors_cannot_be_deleted = True

    def failed_data_source(self) -> DataSourceReference:
        made = self.data_source()
        source = self.stored_data_source(made)
        failed = replace(source, status=DataSourceStatus.FAILED, failure_reasons=("The role is gone.",))
        self.memory.set_data_source(made.knowledge_base_id, failed)
        return made


class Emulated(World):
    """Behind the real adapter.

    Args:
        on: where the vectors live.
        options: of the emulated account.
    """

    def __init__(self, on: Callable[[EmulatedAws], StoreWorld] = OnS3Vectors, **options: Any) -> None:
        self.aws = EmulatedAws(requests_per_second={"StartIngestionJob": 0.1}, **options)
        self.agent = self.aws.client("bedrock-agent")
        self.knowledge_bases = BedrockKnowledgeBases(self.agent)
        self.on = on(self.aws)
        self.store = self.on.store
        self.aws.s3.create_bucket(Bucket=BUCKET)

    def advance(self, seconds: float) -> None:
        self.aws.advance(seconds)

    def configuration(self, name: str) -> Mapping[str, object]:
        return self.store.knowledge_base_configuration(self.store.ensure(first_knowledge(name.replace("_", "-"))))

    def data_source_configuration(self) -> Mapping[str, object]:
        return self.store.data_source_configuration(BUCKET)

    def role_is_assumable_after(self, seconds: float) -> None:
        self.aws.emulator.faults.add({"effect": "role_not_assumable", "seconds": seconds})

    def next_job_fails(self, data_source: DataSourceReference) -> None:
        reasons = [
            "The role was deleted.",
            '["Ignored files [Files: s3://b/議事録, 1.md, s3://b/2.md]. Call to Customer Source did not succeed."]',
        ]
        self.aws.emulator.faults.add({"effect": "job_fails", "failureReasons": reasons, "count": 1})

    def delete(self, knowledge_base_id: str) -> None:
        for source in self.agent.list_data_sources(knowledgeBaseId=knowledge_base_id)["dataSourceSummaries"]:
            self.agent.delete_data_source(knowledgeBaseId=knowledge_base_id, dataSourceId=source["dataSourceId"])
        self.advance(60)
        self.agent.delete_knowledge_base(knowledgeBaseId=knowledge_base_id)
        self.advance(60)

    def names_are_taken_after(self, seconds: float) -> None:
        self.aws.emulator.faults.add({"effect": "uniqueness_lag", "seconds": seconds})

    def make_foreign(self, name: str, kind: KnowledgeBaseKind) -> None:
        managed = {
            "knowledgeBaseConfiguration": {
                "type": "MANAGED",
                "managedKnowledgeBaseConfiguration": {"embeddingModelType": "MANAGED"},
            }
        }
        configuration = managed if kind is KnowledgeBaseKind.MANAGED else self.configuration(name)
        self.agent.create_knowledge_base(name=name, roleArn=SERVICE_ROLE, **configuration)

    def unsettle(self, knowledge_base_id: str) -> None:
        found = self.agent.get_knowledge_base(knowledgeBaseId=knowledge_base_id)["knowledgeBase"]
        sent = ("knowledgeBaseId", "name", "roleArn", "knowledgeBaseConfiguration", "storageConfiguration")
        self.agent.update_knowledge_base(**{member: found[member] for member in sent}, description="Mine.")
        self.advance(60)

    def lose_vectors(self, name: str) -> None:
        self.on.drop(TenantId(name))

    def failed_data_source(self) -> DataSourceReference:
        fault = {"effect": "data_source_fails", "seconds": 0, "failureReasons": ["The role is gone."], "count": 1}
        self.aws.emulator.faults.add(fault)
        return self.data_source()
