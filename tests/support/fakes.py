"""In-memory ports: stateful stand-ins that pass the same suites as the real adapters."""

from tests.support.answerer import ScriptedAnswerer
from tests.support.clock import FakeClock
from tests.support.documents import InMemoryDocumentBuckets, InMemoryIndexCatalogue, InMemoryKnowledgeStore
from tests.support.failed_documents import (
    InMemoryBucketContents,
    InMemoryDocumentLinks,
    InMemoryDocumentRemoval,
    InMemoryDocumentRetries,
    InMemoryFailedDocuments,
    InMemoryIngestedDocuments,
    InMemoryPassageSearch,
    InMemoryRetrievalProbe,
    RecordingRetryRuns,
)
from tests.support.fleet_records import InMemoryFleetRecords
from tests.support.incidents import InMemoryIncidents, RecordingAlertChannel
from tests.support.knowledge_bases import InMemoryKnowledgeBases, JobCourse, StartedJob
from tests.support.recorders import (
    FailedTask,
    InMemoryExecutions,
    InMemoryUndeliveredMessages,
    RecordingAnnouncements,
    RecordingDeadLetters,
    RecordingDeletionChecks,
    RecordingTaskCallbacks,
    RecordingTicks,
    SucceededTask,
)
from tests.support.records import (
    InMemoryAskableTenantRecords,
    InMemoryConvergenceRecord,
    InMemoryDocumentRounds,
    InMemoryJobHistory,
    InMemoryProfileRecords,
    InMemoryRoomCounts,
    InMemorySearchAllowances,
    InMemorySyncLedger,
    InMemoryTenantNames,
    InMemoryTenantRecords,
    InMemoryTenantRegistry,
    InMemoryTenantRounds,
)
from tests.support.service_roles import InMemoryServiceRoles
from tests.support.uploads import InMemoryUploads
from tests.support.usage import InMemoryUsageRecords
from tests.support.usage_keys import InMemoryUsageKeys

__all__ = [
    "FailedTask",
    "FakeClock",
    "InMemoryAskableTenantRecords",
    "InMemoryBucketContents",
    "InMemoryConvergenceRecord",
    "InMemoryDocumentBuckets",
    "InMemoryDocumentLinks",
    "InMemoryDocumentRemoval",
    "InMemoryDocumentRetries",
    "InMemoryDocumentRounds",
    "InMemoryExecutions",
    "InMemoryFailedDocuments",
    "InMemoryFleetRecords",
    "InMemoryIncidents",
    "InMemoryIndexCatalogue",
    "InMemoryIngestedDocuments",
    "InMemoryJobHistory",
    "InMemoryKnowledgeBases",
    "InMemoryKnowledgeStore",
    "InMemoryPassageSearch",
    "InMemoryProfileRecords",
    "InMemoryRetrievalProbe",
    "InMemoryRoomCounts",
    "InMemorySearchAllowances",
    "InMemoryServiceRoles",
    "InMemorySyncLedger",
    "InMemoryTenantNames",
    "InMemoryTenantRecords",
    "InMemoryTenantRegistry",
    "InMemoryTenantRounds",
    "InMemoryUndeliveredMessages",
    "InMemoryUploads",
    "InMemoryUsageKeys",
    "InMemoryUsageRecords",
    "JobCourse",
    "RecordingAlertChannel",
    "RecordingAnnouncements",
    "RecordingDeadLetters",
    "RecordingDeletionChecks",
    "RecordingRetryRuns",
    "RecordingTaskCallbacks",
    "RecordingTicks",
    "ScriptedAnswerer",
    "StartedJob",
    "SucceededTask",
]
