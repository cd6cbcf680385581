"""In-memory ports: stateful stand-ins that pass the same suites as the real adapters."""

from tests.support.answerer import ScriptedAnswerer
from tests.support.clock import FakeClock
from tests.support.documents import InMemoryDocumentBuckets, InMemoryIndexCatalogue, InMemoryKnowledgeStore
from tests.support.knowledge_bases import InMemoryKnowledgeBases, JobCourse, StartedJob
from tests.support.log_deliveries import InMemoryLogDeliveries
from tests.support.recorders import (
    FailedTask,
    InMemoryExecutions,
    RecordingAlertChannel,
    RecordingAnnouncements,
    RecordingDeadLetters,
    RecordingTaskCallbacks,
    RecordingTicks,
    SucceededTask,
)
from tests.support.records import (
    InMemoryJobHistory,
    InMemorySyncLedger,
    InMemoryTenantRecords,
    InMemoryTenantRegistry,
    InMemoryTenantRounds,
)

__all__ = [
    "FailedTask",
    "FakeClock",
    "InMemoryDocumentBuckets",
    "InMemoryExecutions",
    "InMemoryIndexCatalogue",
    "InMemoryJobHistory",
    "InMemoryKnowledgeBases",
    "InMemoryKnowledgeStore",
    "InMemoryLogDeliveries",
    "InMemorySyncLedger",
    "InMemoryTenantRecords",
    "InMemoryTenantRegistry",
    "InMemoryTenantRounds",
    "JobCourse",
    "RecordingAlertChannel",
    "RecordingAnnouncements",
    "RecordingDeadLetters",
    "RecordingTaskCallbacks",
    "RecordingTicks",
    "ScriptedAnswerer",
    "StartedJob",
    "SucceededTask",
]
