"""What kbfleet, and the emulator in AWS's place, take for true of AWS: what is expected, where it is known from, how it
is observed.

A fact is observed as a time or as a word of ours. No text of AWS, of a document or of a tenant is ever an observation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import inf


class Mark(StrEnum):
    """How a fact is known."""

    DOCUMENTED = "documented"
    REPORTED = "reported"
    """By users."""
    INFERRED = "inferred"
    UNKNOWN = "unknown"
    """What is expected is the reading that was chosen."""
    PROMISED = "promised"
    """By kbfleet itself."""


class Verdict(StrEnum):
    CONFIRMED = "CONFIRMED"
    REFUTED = "REFUTED"
    NOT_OBSERVED = "NOT_OBSERVED"


@dataclass(frozen=True, slots=True)
class Took:
    """A time in seconds, between two looks; `at_most` is infinite where the end was not seen."""

    at_least: float
    at_most: float

    def __str__(self) -> str:
        if self.at_most == inf:
            return f"more than {self.at_least:.0f} s"
        low, high = f"{self.at_least:.0f}", f"{self.at_most:.0f}"
        return f"{low} s" if low == high else f"{low} to {high} s"


@dataclass(frozen=True, slots=True)
class Word:
    """What was answered, in a word of ours."""

    word: str

    def __str__(self) -> str:
        return self.word


@dataclass(frozen=True, slots=True)
class NotObserved:
    """It could not be looked at; that confirms nothing. `because` is a sentence of ours."""

    because: str

    def __str__(self) -> str:
        return f"not observed, because {self.because}"


Observation = Took | Word | NotObserved


@dataclass(frozen=True, slots=True)
class Within:
    """Seconds that are expected, both included."""

    low: float
    high: float

    def agrees(self, observed: Observation) -> bool:
        return isinstance(observed, Took) and observed.at_least <= self.high and observed.at_most >= self.low

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g} s" if self.low else f"at most {self.high:g} s"


@dataclass(frozen=True, slots=True)
class Says:
    """The word that is expected."""

    word: str

    def agrees(self, observed: Observation) -> bool:
        return isinstance(observed, Word) and observed.word == self.word

    def __str__(self) -> str:
        return self.word


@dataclass(frozen=True, slots=True)
class Fact:
    """Args:
    identity: by which reports name it; never changed.
    says: what is true, in a few words.
    observed_by: how it is looked at.
    plays: where the emulator, or the local AWS, plays it: what changes when it is refuted.
    limits: whether it is observed with `--probe-limits` only.
    """

    identity: str
    says: str
    expected: Within | Says
    mark: Mark
    source: str
    observed_by: str
    plays: str
    limits: bool = False

    def verdict(self, observed: Observation) -> Verdict:
        if isinstance(observed, NotObserved):
            return Verdict.NOT_OBSERVED
        return Verdict.CONFIRMED if self.expected.agrees(observed) else Verdict.REFUTED


CROSSING_ATTEMPTS = 40

_USERS = "users' reports"
_KNOWLEDGE_BASES = "services/knowledge_bases.py"
_JOBS = "services/ingestion_jobs.py"
_DIRECT = "services/direct_ingestion.py"
_RETRIEVAL = "services/retrieval.py"
_KBFLEET = "README.md"
_OURS = "nothing: kbfleet is to be mended"

_FACTS = (
    # --- how long things take ---
    Fact(
        "vector-knowledge-base-creation",
        "a knowledge base of type VECTOR is CREATING",
        Within(40, 180),
        Mark.REPORTED,
        _USERS,
        "GetKnowledgeBase while tenants are provisioned",
        f"VECTOR_CREATION in {_KNOWLEDGE_BASES}",
    ),
    Fact(
        "managed-knowledge-base-creation",
        "a knowledge base of type MANAGED is CREATING",
        Within(40, 140),
        Mark.REPORTED,
        "users' reports, 47 to 124 s, n = 7",
        "GetKnowledgeBase while tenants are provisioned",
        f"MANAGED_CREATION in {_KNOWLEDGE_BASES}",
    ),
    Fact(
        "managed-data-source-creation",
        "a data source of a MANAGED knowledge base is CREATING",
        Within(90, 330),
        Mark.REPORTED,
        "users' reports; a sample of AWS's waits for 120 s",
        "GetDataSource while tenants are provisioned",
        f"CreateDataSource in {_KNOWLEDGE_BASES}",
    ),
    Fact(
        "service-role-taken",
        "from the creation of a service role until Bedrock takes it",
        Within(0, 80),
        Mark.REPORTED,
        "users' reports, about a minute",
        "CreateDate of GetRole, creationTime of GetIndex, createdAt of GetKnowledgeBase",
        "fault new_role_not_assumable",
    ),
    Fact(
        "first-ingestion-job",
        "an ingestion job over an empty bucket takes",
        Within(20, 420),
        Mark.REPORTED,
        "users' reports, 3 to 5 minutes for a small sync",
        "startedAt and updatedAt of ListIngestionJobs",
        f"STARTING and SMALL_SYNC in {_JOBS}",
    ),
    Fact(
        "new-bucket-missing",
        "a bucket just made is answered to be missing",
        Within(0, 180),
        Mark.REPORTED,
        "hashicorp/terraform-provider-aws#372, #7803",
        "HeadBucket after CreateBucket",
        "the local AWS's buckets",
    ),
    Fact(
        "new-bucket-busy",
        "the settings of a bucket just made cannot be changed",
        Within(0, 180),
        Mark.REPORTED,
        "hashicorp/terraform-provider-aws#7628",
        "PutBucketVersioning and PutBucketTagging, one upon the other",
        "the local AWS's buckets",
    ),
    Fact(
        "deleted-bucket-name",
        "the name of a bucket just deleted is not free",
        Within(0, 900),
        Mark.REPORTED,
        "aws/aws-cli#2411: minutes, in one report an hour",
        "CreateBucket after DeleteBucket, for a quarter of an hour",
        "the local AWS's buckets",
        limits=True,
    ),
    Fact(
        "events-begin",
        "after a tenant is ACTIVE, S3 tells of uploads since",
        Within(0, 320),
        Mark.DOCUMENTED,
        "S3 User Guide, Enabling Amazon EventBridge: about five minutes",
        "uploads at several times after ACTIVE, and the tenant's requested generation",
        "the local AWS's S3 events",
    ),
    Fact(
        "upload-noticed",
        "a document that S3 tells of is noticed",
        Within(0, 60),
        Mark.INFERRED,
        "EventBridge delivers at once; changes are gathered for five seconds",
        "the tenant's requested generation",
        "the local AWS's S3 events",
    ),
    Fact(
        "usage-key-counts",
        "from ACTIVE until a user of the tenant is answered",
        Within(0, 60),
        Mark.REPORTED,
        "users' reports, about ten seconds",
        "POST /ask with --user-token",
        "the local AWS's API keys",
    ),
    Fact(
        "vectors-searchable",
        "what a job has indexed is found after its end",
        Within(0, 300),
        Mark.DOCUMENTED,
        "Amazon Bedrock User Guide, Sync your data: a few minutes",
        "Retrieve after a sync has ended",
        "fault vectors_not_searchable",
    ),
    Fact(
        "knowledge-base-deletion",
        "a knowledge base is DELETING",
        Within(0, 120),
        Mark.UNKNOWN,
        "a guess",
        "GetKnowledgeBase while tenants are offboarded",
        f"DELETION in {_KNOWLEDGE_BASES}",
    ),
    # --- what calls are answered ---
    Fact(
        "duplicate-name",
        "a second knowledge base of a name",
        Says("ConflictException: already exists"),
        Mark.REPORTED,
        _USERS,
        "CreateKnowledgeBase, which is to be refused",
        f"_check_name in {_KNOWLEDGE_BASES}",
    ),
    Fact(
        "missing-index",
        "a knowledge base over an S3 vector index that is not there",
        Says("ValidationException: index could not be found"),
        Mark.UNKNOWN,
        "inferred from S3 Vectors' own error",
        "CreateKnowledgeBase, which is to be refused",
        f"_check_storage in {_KNOWLEDGE_BASES}, _SETTLING in adapters/aws_errors.py",
    ),
    Fact(
        "hybrid-search",
        "a HYBRID search on S3 Vectors",
        Says("ValidationException: HYBRID search type is not supported"),
        Mark.REPORTED,
        _USERS,
        "Retrieve",
        f"_search in {_RETRIEVAL}",
    ),
    Fact(
        "empty-query",
        "a search for nothing but a space",
        Says("ValidationException: Text input is required"),
        Mark.REPORTED,
        _USERS,
        "Retrieve",
        f"_check_text in {_RETRIEVAL}",
    ),
    Fact(
        "starts-with-filter",
        "a filter with startsWith on S3 Vectors",
        Says("ValidationException: another text"),
        Mark.REPORTED,
        "reports conflict: refused, or silently ignored",
        "Retrieve",
        "search/metadata_filters.py",
    ),
    Fact(
        "long-page-of-documents",
        "a page of 101 documents is asked for",
        Says("ValidationException: another text"),
        Mark.REPORTED,
        _USERS,
        "ListKnowledgeBaseDocuments",
        f"LONGEST_PAGE in {_DIRECT}",
    ),
    Fact(
        "foreign-session",
        "a session of RetrieveAndGenerate is used with another knowledge base",
        Says("ValidationException: Session"),
        Mark.UNKNOWN,
        "the safer reading",
        "RetrieveAndGenerate",
        f"_taken_up in {_RETRIEVAL}",
        limits=True,
    ),
    Fact(
        "resource-tag-on-retrieve",
        "aws:ResourceTag on bedrock:Retrieve",
        Says("decides"),
        Mark.UNKNOWN,
        "service authorization reference; not tried by anybody",
        "Retrieve with a role made for it, on the tagged knowledge base and on another",
        "knowledge_base_tags in emulator.py",
    ),
    # --- the limits: only where nobody else is in service ---
    Fact(
        "second-job",
        "a second ingestion job in a knowledge base",
        Says("ConflictException: per knowledge base"),
        Mark.REPORTED,
        _USERS,
        "StartIngestionJob",
        f"_check_running in {_JOBS}",
        limits=True,
    ),
    Fact(
        "sixth-job",
        "a sixth ingestion job in the account",
        Says("ConflictException: per account"),
        Mark.UNKNOWN,
        "inferred from the text of the second job",
        "StartIngestionJob on six knowledge bases",
        "Quotas.jobs_per_account_error in world/quotas.py",
        limits=True,
    ),
    Fact(
        "start-rate",
        "a second StartIngestionJob within a second, on VECTOR",
        Says("ThrottlingException: another text"),
        Mark.DOCUMENTED,
        "Amazon Bedrock endpoints and quotas: 0.1 a second",
        "StartIngestionJob on two knowledge bases",
        "world/quotas.py",
        limits=True,
    ),
    Fact(
        "start-rate-on-managed",
        "a second StartIngestionJob within a second, on MANAGED",
        Says("ThrottlingException: another text"),
        Mark.UNKNOWN,
        "documented beside the VECTOR quotas",
        "StartIngestionJob twice",
        "world/quotas.py",
        limits=True,
    ),
    Fact(
        "client-token-remembered",
        "a client token of StartIngestionJob is remembered",
        Within(300, 1_800),
        Mark.REPORTED,
        "users' reports: minutes only",
        "StartIngestionJob with the same token until it gives another job",
        "CLIENT_TOKEN_SECONDS in account.py",
        limits=True,
    ),
    Fact(
        "unreadable-document",
        "a job over a document without text ends",
        Says("COMPLETE, its reasons are JSON"),
        Mark.REPORTED,
        _USERS,
        "GetIngestionJob",
        "services/failure_reasons.py",
        limits=True,
    ),
    Fact(
        "ingestion-during-a-job",
        "IngestKnowledgeBaseDocuments while a job runs",
        Says("accepted"),
        Mark.UNKNOWN,
        "nobody has reported it",
        "IngestKnowledgeBaseDocuments",
        f"ingest_knowledge_base_documents in {_DIRECT}",
        limits=True,
    ),
    Fact(
        "long-uri",
        "IngestKnowledgeBaseDocuments of a URI over 128 characters",
        Says("ValidationException: another text"),
        Mark.UNKNOWN,
        "the safer reading; the botocore model's pattern is not anchored",
        "IngestKnowledgeBaseDocuments",
        "wire/shapes.py",
        limits=True,
    ),
    Fact(
        "document-indexed",
        "a document of IngestKnowledgeBaseDocuments is INDEXED on VECTOR",
        Within(2, 330),
        Mark.UNKNOWN,
        "no figure is published; 3 to 330 s on MANAGED",
        "GetKnowledgeBaseDocuments",
        f"INDEXING in {_DIRECT}",
        limits=True,
    ),
    Fact(
        "data-source-with-a-job",
        "DeleteDataSource while a job runs",
        Says("ConflictException: ongoing ingestion job"),
        Mark.REPORTED,
        _USERS,
        "DeleteDataSource, which is to be refused",
        f"_check_idle in {_KNOWLEDGE_BASES}",
        limits=True,
    ),
    # --- the story: what kbfleet itself promises ---
    Fact(
        "tenants-provisioned",
        "every tenant is provisioned",
        Says("ACTIVE"),
        Mark.PROMISED,
        _KBFLEET,
        "kbfleet's API",
        _OURS,
    ),
    Fact(
        "question-answered",
        "a question is answered from the tenant's own document",
        Says("from its own document"),
        Mark.PROMISED,
        _KBFLEET,
        "POST /tenants/…/ask",
        _OURS,
    ),
    Fact(
        "broken-document-named",
        "a document without text is named",
        Says("named, the sync is DEGRADED"),
        Mark.PROMISED,
        _KBFLEET,
        "GET /tenants/…/documents",
        _OURS,
    ),
    Fact(
        "alert-delivered",
        "the alert about it",
        Says("not among the undelivered"),
        Mark.PROMISED,
        _KBFLEET,
        "the queue of alerts and its dead-letter queue; whether people saw it, only they know",
        _OURS,
    ),
    Fact(
        "document-repaired",
        "the document, uploaded again with text",
        Says("answered from, the sync is SUCCEEDED"),
        Mark.PROMISED,
        _KBFLEET,
        "kbfleet's API",
        _OURS,
    ),
    Fact(
        "tenants-kept-apart",
        "attempts to reach the other tenant's document",
        Says(f"0 of {CROSSING_ATTEMPTS} reached it"),
        Mark.PROMISED,
        "docs/security.md",
        "POST /tenants/…/ask: questions, filters, sessions",
        _OURS,
    ),
    Fact(
        "suspended-tenant",
        "a suspended tenant's question",
        Says("refused: TenantSuspended"),
        Mark.PROMISED,
        _KBFLEET,
        "POST /tenants/…/ask",
        _OURS,
    ),
    Fact(
        "tenants-erased",
        "every tenant is offboarded",
        Says("OFFBOARDED, with a receipt"),
        Mark.PROMISED,
        _KBFLEET,
        "kbfleet's API",
        _OURS,
    ),
)

FACTS: Mapping[str, Fact] = {fact.identity: fact for fact in _FACTS}
"""By their identities, in the order in which they are shown."""

NOT_PROBED: Mapping[str, str] = {
    "events-before": "it would take a bucket's whole first day, and kbfleet relies on neither reading",
    "account-concurrency": "Lambda says it itself: GetAccountSettings; `kbfleet doctor` is the place for it",
    "asynchronous-throttling": "it would take all room for invocations from everybody in the account",
    "throttled-behind-an-api": "the same",
    "model-by-region": "it depends on the stack's model, of which `kbfleet doctor` tells",
    "inference-types": "the same",
    "model-lifecycle": "the same, for the models of profiles, too",
    "creating-data-source": "kbfleet waits until it is AVAILABLE, whatever the answer would be",
    "ongoing-documents": "kbfleet tries again later, whatever the refusal says",
}
"""Facts of the list in docs/local-aws.md that are left out, and why."""


def table() -> str:
    """Markdown: what is observed, how, and what a report changes that refutes it."""
    rows = [
        "| fact | what | expected | known | source | observed by | if refuted, change |",
        "|---|---|---|---|---|---|---|",
    ]
    for fact in FACTS.values():
        limits = ", with `--probe-limits`" if fact.limits else ""
        rows.append(
            f"| {fact.identity} | {fact.says} | {fact.expected} | {fact.mark} | {fact.source} | "
            f"{fact.observed_by}{limits} | {fact.plays} |"
        )
    return "\n".join(rows)


def table_of_others() -> str:
    """Markdown: what is not observed, and why."""
    rows = ["| fact | why it is left out |", "|---|---|"]
    return "\n".join([*rows, *(f"| {identity} | {why} |" for identity, why in NOT_PROBED.items())])
