"""What is known of AWS that decides how kbfleet fares there, from where, and how the local AWS plays it.

This is the list that docs/local-aws.md shows, and that a trial on a real account goes by: whatever is reported,
inferred or unknown is worth a look there. Facts about single answers of Bedrock that matter less are with the emulator
(emulator/FACTS.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from local.delays import AS_ON_AWS


class Mark(StrEnum):
    """How well a fact is known."""

    DOCUMENTED = "D"
    MODEL = "M"
    REPORTED = "R"
    INFERRED = "I"
    UNKNOWN = "U"


MEANINGS = {
    Mark.DOCUMENTED: "AWS documentation",
    Mark.MODEL: "botocore's service models",
    Mark.REPORTED: "reported or measured by users",
    Mark.INFERRED: "inferred from others",
    Mark.UNKNOWN: "not known: what is played is the reading that was chosen",
}


class Speed(StrEnum):
    """What the stack's speed does to a fact."""

    SCALED = "scaled"
    """It passes, or comes round, so many times as fast."""
    DENSER = "denser"
    """The number stays, but what it limits comes so many times as fast: it is stricter here than on AWS."""
    NONE = "–"
    """Time has no part in it."""


@dataclass(frozen=True)
class Fact:
    """Args:
    name: by which reports, probes and other lists call it; never changed.
    says: what is true of AWS.
    source: where it is known from.
    played: how the local AWS plays it.
    test: the test that shows it of the local AWS, as path::name.
    """

    name: str
    says: str
    mark: Mark
    source: str
    played: str
    speed: Speed
    test: str


D, M, R, I, U = Mark  # noqa: E741 -- the marks' own letters
_DELAYS = "tests/local/stack/test_delays.py::"
_EMULATED = "emulator/tests/test_conformance_"
_USERS = "users' reports"

FACTS = (
    # --- buckets ---
    Fact(
        "new-bucket-missing",
        "for seconds to minutes after CreateBucket, other calls about the bucket are answered NoSuchBucket",
        R,
        "hashicorp/terraform-provider-aws#372, #7803, #12907, #49960; how long is not known",
        f"`bucket_visible`, {AS_ON_AWS.bucket_visible:g} s; all calls alike, though on AWS some see it before others",
        Speed.SCALED,
        f"{_DELAYS}test_a_bucket_just_made_is_not_there_yet",
    ),
    Fact(
        "new-bucket-busy",
        "changes to a bucket's settings that collide with others: 409 OperationAborted",
        R,
        "hashicorp/terraform-provider-aws#7628, #33478, #33531",
        f"`bucket_settings`: every change to the settings for {AS_ON_AWS.bucket_settings:g} s more",
        Speed.SCALED,
        f"{_DELAYS}test_the_settings_of_a_new_bucket_are_in_the_making",
    ),
    Fact(
        "deleted-bucket-name",
        "for minutes, in one report an hour, after DeleteBucket the name cannot be taken: 409 OperationAborted",
        R,
        "aws/aws-cli#2411, #2593; aws-controllers-k8s/community#188",
        f"`bucket_name`, {AS_ON_AWS.bucket_name:g} s",
        Speed.SCALED,
        f"{_DELAYS}test_the_name_of_a_bucket_just_deleted_is_not_free_yet",
    ),
    Fact(
        "events-begin",
        "EventBridge is told of a bucket's changes about five minutes after it was switched on",
        D,
        "Amazon S3 user guide, Enabling Amazon EventBridge",
        f"`bucket_events`, {AS_ON_AWS.bucket_events:g} s",
        Speed.SCALED,
        f"{_DELAYS}test_event_bridge_is_told_of_changes_after_five_minutes_and_never_of_those_before",
    ),
    Fact(
        "events-before",
        "it is never told of what changed before that, and switching it on again begins nothing anew",
        I,
        "the same",
        "events before that are dropped",
        Speed.SCALED,
        f"{_DELAYS}test_switching_event_bridge_off_and_on_takes_five_minutes_again",
    ),
    Fact(
        "keys-that-no-body-names",
        "a key may hold what XML has no character for: no DeleteObjects can name it, DeleteObject removes its "
        "versions, and lists have it percent-encoded",
        D,
        "Amazon S3 user guide, Naming Amazon S3 objects; API reference, ListObjectVersions; W3C, XML 1.0, 2.2",
        "as it is: 400 MalformedXML",
        Speed.NONE,
        "tests/local/stack/test_version_lists.py::test_no_batch_names_what_xml_has_no_character_for",
    ),
    Fact(
        "etag-of-one-piece",
        "the ETag of what was put in one piece, and is not encrypted with a key of KMS, is its MD5",
        D,
        "Amazon S3 API reference, Object",
        "as it is",
        Speed.NONE,
        "tests/local/stack/test_version_lists.py::test_what_is_put_in_one_piece_is_listed_with_its_md5",
    ),
    # --- keys, roles, functions, models ---
    Fact(
        "usage-key-counts",
        "an API key counts some seconds after it was made; until then its bearer is answered 403",
        R,
        "moduspwnens/boa-chat#1: seconds; ten are our reading",
        f"`usage_key`, {AS_ON_AWS.usage_key:g} s; that a key changes its usage plan shows at once",
        Speed.SCALED,
        f"{_DELAYS}test_an_api_key_counts_ten_seconds_after_it_was_made",
    ),
    Fact(
        "service-role-taken",
        "for seconds, up to a minute, after CreateRole Bedrock cannot assume the role",
        R,
        f"{_USERS}: `unable to assume the given role`",
        f"`role`, {AS_ON_AWS.role:g} s; a template's roles are old, changes of policies count at once",
        Speed.SCALED,
        f"{_DELAYS}test_the_delays_reach_the_roles_of_a_running_stack",
    ),
    Fact(
        "account-concurrency",
        "a new account has room for ten Lambda invocations at a time: 429 TooManyRequestsException",
        R,
        "Lambda quotas: \u201creduced\u201d for new accounts; ten, by users' reports",
        "`--account-concurrency 10`; on in the end-to-end tests only, since all invocations come faster here",
        Speed.DENSER,
        f"{_DELAYS}test_an_account_has_room_for_so_many_invocations",
    ),
    Fact(
        "asynchronous-throttling",
        "a throttled asynchronous invocation is tried again for six hours, first after a second, then up to five "
        "minutes apart",
        D,
        "Lambda developer guide, How Lambda handles errors and retries with asynchronous invocation",
        "as it is",
        Speed.SCALED,
        "tests/local/stack/test_throttled_functions.py::test_an_event_waits_until_there_is_room",
    ),
    Fact(
        "throttled-behind-an-api",
        "the caller of a REST API whose function is throttled sees a 500",
        R,
        "repost.aws/questions/QUfI6bsdd0SOiPeyimzxSkfQ",
        "as it is",
        Speed.NONE,
        "tests/local/stack/test_throttled_functions.py::"
        "test_the_caller_of_an_api_is_not_told_that_the_function_was_throttled",
    ),
    Fact(
        "model-by-region",
        "in many Regions Amazon Nova can be called through an inference profile only: 400 `Invocation of model ID … "
        "with on-demand throughput isn't supported`",
        R,
        "Bedrock user guide, Supported Regions and models for inference profiles, and for batch inference; "
        "aws-solutions-library-samples/qnabot-on-aws#823",
        "by a table of six models; any other can be called everywhere",
        Speed.NONE,
        f"{_EMULATED}conversation.py::test_a_model_is_callable_by_region",
    ),
    Fact(
        "inference-types",
        "GetFoundationModel says INFERENCE_PROFILE in `inferenceTypesSupported`, which botocore's model does not know",
        R,
        "aws-samples/artifacts-and-tools-for-bedrock#13",
        "by the same table",
        Speed.NONE,
        "tests/local/stack/test_foundation_models.py::test_a_model_says_how_it_can_be_called",
    ),
    Fact(
        "model-lifecycle",
        "GetFoundationModel says of a model whose end is announced that it is LEGACY, since when and until when; after "
        "that it is called no more: `This model version has reached the end of its life.`",
        R,
        "botocore model of bedrock, FoundationModelLifecycle; Amazon Bedrock User Guide, Model lifecycle; "
        "aws-samples/bedrock-chat#1126",
        "by a table of three models; any other goes on for ever. One that has ended is not there any more",
        Speed.NONE,
        "tests/local/stack/test_foundation_models.py::test_a_model_says_when_it_ends",
    ),
    # --- how long Bedrock takes ---
    Fact(
        "vector-knowledge-base-creation",
        "a knowledge base of type VECTOR is CREATING for about 83 s",
        R,
        _USERS,
        "83 s",
        Speed.SCALED,
        f"{_EMULATED}knowledge_bases.py::test_a_vector_knowledge_base_is_active_after_83_seconds",
    ),
    Fact(
        "managed-knowledge-base-creation",
        "a knowledge base of type MANAGED is CREATING for 47 to 124 s",
        R,
        f"{_USERS}, n = 7; the console says two to five minutes",
        "47 to 124 s, by its id",
        Speed.SCALED,
        f"{_EMULATED}knowledge_bases.py::test_a_managed_knowledge_base_is_active_after_one_or_two_minutes",
    ),
    Fact(
        "managed-data-source-creation",
        "a data source of a MANAGED knowledge base is CREATING for two to five minutes",
        R,
        f"{_USERS}; a sample of AWS's waits for 120 s",
        "120 to 300 s, by its id",
        Speed.SCALED,
        f"{_EMULATED}ingestion_jobs.py::test_a_data_source_of_a_managed_knowledge_base_is_creating_for_minutes",
    ),
    Fact(
        "creating-data-source",
        "a data source that is CREATING takes no job and no documents, and can be neither changed nor deleted",
        I,
        "from what a knowledge base answers that is CREATING",
        "400 ValidationException, or 409 ConflictException for changing and deleting",
        Speed.NONE,
        f"{_EMULATED}ingestion_jobs.py::test_a_data_source_that_is_creating_takes_nothing",
    ),
    Fact(
        "first-ingestion-job",
        "a small sync takes three to five minutes",
        R,
        _USERS,
        "three minutes",
        Speed.SCALED,
        f"{_EMULATED}ingestion_jobs.py::test_a_job_runs_through_its_statuses",
    ),
    Fact(
        "vectors-searchable",
        "after a job has ended, what it indexed may take minutes to be found",
        D,
        "Bedrock user guide, Sync your data with your knowledge base",
        "fault `vectors_not_searchable`; else at once",
        Speed.SCALED,
        f"{_EMULATED}ingestion_jobs.py::test_vectors_can_be_searchable_later_than_complete",
    ),
    Fact(
        "document-indexed",
        "how long a document of IngestKnowledgeBaseDocuments takes to be INDEXED on VECTOR",
        U,
        "no figure is published; 3 to 330 s on MANAGED",
        "a guess",
        Speed.SCALED,
        f"{_EMULATED}direct_ingestion.py::test_a_document_is_indexed_after_a_while",
    ),
    Fact(
        "knowledge-base-deletion",
        "how long a knowledge base is DELETING",
        U,
        "nobody has reported it",
        "ten seconds, a guess",
        Speed.SCALED,
        f"{_EMULATED}knowledge_bases.py::test_a_deleted_knowledge_base_goes_away",
    ),
    # --- what Bedrock answers, where kbfleet acts by it ---
    Fact(
        "sixth-job",
        "the class of the error that refuses an account's sixth job",
        U,
        "inferred from the text of the second job in a knowledge base",
        "409 ConflictException `…per account: 5`",
        Speed.NONE,
        f"{_EMULATED}ingestion_jobs.py::test_a_sixth_job_in_the_account_is_refused",
    ),
    Fact(
        "second-job",
        "a second job in a knowledge base: 409 ConflictException `…per knowledge base: 1`",
        R,
        _USERS,
        "as it is",
        Speed.NONE,
        f"{_EMULATED}ingestion_jobs.py::test_a_second_job_in_a_knowledge_base_is_a_conflict",
    ),
    Fact(
        "start-rate",
        "StartIngestionJob: one in ten seconds for an account and Region",
        D,
        "Amazon Bedrock endpoints and quotas",
        "as it is",
        Speed.SCALED,
        f"{_EMULATED}ingestion_jobs.py::test_jobs_can_be_started_every_ten_seconds_only",
    ),
    Fact(
        "start-rate-on-managed",
        "whether that holds for MANAGED knowledge bases",
        U,
        "documented beside the quotas of VECTOR",
        "it does",
        Speed.SCALED,
        f"{_EMULATED}ingestion_jobs.py::test_jobs_can_be_started_every_ten_seconds_only",
    ),
    Fact(
        "client-token-remembered",
        "a client token is remembered for minutes",
        R,
        _USERS,
        "ten minutes",
        Speed.SCALED,
        f"{_EMULATED}knowledge_bases.py::test_a_client_token_is_forgotten_after_minutes",
    ),
    Fact(
        "duplicate-name",
        "a second knowledge base of a name: 409 ConflictException `… already exists.`",
        R,
        _USERS,
        "as it is",
        Speed.NONE,
        f"{_EMULATED}knowledge_bases.py::test_a_second_knowledge_base_of_a_name_is_a_conflict",
    ),
    Fact(
        "missing-index",
        "the text for an S3 vector index that is not there",
        U,
        "inferred from S3 Vectors' own error",
        "`… The specified index could not be found (Service: S3Vectors, Status Code: 404)`",
        Speed.NONE,
        f"{_EMULATED}knowledge_bases.py::test_a_knowledge_base_needs_its_index",
    ),
    Fact(
        "data-source-with-a-job",
        "DeleteDataSource while a job runs: ConflictException",
        R,
        _USERS,
        "as it is",
        Speed.NONE,
        f"{_EMULATED}ingestion_jobs.py::test_a_data_source_with_a_running_job_can_not_be_deleted",
    ),
    Fact(
        "resource-tag-on-retrieve",
        "whether `aws:ResourceTag` decides about bedrock:Retrieve",
        U,
        "service authorization reference; nobody has reported it",
        "it does, with `--authorization`",
        Speed.NONE,
        "tests/local/stack/test_conformance_callers.py::test_a_tag_of_the_knowledge_base_decides_who_may_retrieve",
    ),
    Fact(
        "foreign-session",
        "what a session of RetrieveAndGenerate does with another knowledge base",
        U,
        "the safer reading",
        "400 `Session with Id … is not valid.`",
        Speed.NONE,
        f"{_EMULATED}retrieval.py::test_a_session_belongs_to_its_knowledge_base",
    ),
    Fact(
        "unreadable-document",
        "a job over a document without text ends COMPLETE, its reasons JSON in a text",
        R,
        _USERS,
        "as it is",
        Speed.NONE,
        f"{_EMULATED}ingestion_jobs.py::test_unsupported_and_empty_files_are_ignored",
    ),
    Fact(
        "hybrid-search",
        "HYBRID search on S3 Vectors: 400 `HYBRID search type is not supported …`",
        R,
        _USERS,
        "as it is",
        Speed.NONE,
        f"{_EMULATED}retrieval.py::test_there_is_no_hybrid_search_on_s3_vectors",
    ),
    Fact(
        "empty-query",
        "a search for nothing: 400 `Text input is required.`",
        R,
        _USERS,
        "as it is",
        Speed.NONE,
        f"{_EMULATED}retrieval.py::test_an_empty_query_is_refused",
    ),
    Fact(
        "starts-with-filter",
        "whether a filter that S3 Vectors does not know, such as startsWith, is refused or silently ignored",
        R,
        f"documented as not supported; {_USERS} conflict",
        "400 ValidationException",
        Speed.NONE,
        f"{_EMULATED}retrieval.py::test_some_operators_are_not_for_s3_vectors",
    ),
    Fact(
        "ingestion-during-a-job",
        "what IngestKnowledgeBaseDocuments is answered while a job runs",
        U,
        "documented as not to be done; nobody has reported the answer",
        "it is accepted",
        Speed.NONE,
        f"{_EMULATED}direct_ingestion.py::test_documents_are_taken_while_a_job_runs",
    ),
    Fact(
        "long-uri",
        "whether IngestKnowledgeBaseDocuments takes a URI over 128 characters",
        U,
        "the pattern of botocore's model is not anchored",
        "400 ValidationException",
        Speed.NONE,
        f"{_EMULATED}direct_ingestion.py::test_a_long_uri_is_refused",
    ),
    Fact(
        "ongoing-documents",
        "StartIngestionJob while documents of the knowledge base are ingested one by one: 400 ValidationException",
        R,
        "HatmanStack/RAGStack-Lambda",
        "as it is, until the documents have ended",
        Speed.SCALED,
        f"{_EMULATED}direct_ingestion.py::test_no_job_starts_while_documents_are_ingested",
    ),
    Fact(
        "long-page-of-documents",
        "ListKnowledgeBaseDocuments with maxResults over 100: 400",
        R,
        _USERS,
        "as it is",
        Speed.NONE,
        f"{_EMULATED}direct_ingestion.py::test_calls_have_limits",
    ),
)


def table() -> Iterator[str]:
    """Markdown: what the marks mean, then the facts."""
    yield ". ".join(f"**{mark}**: {meaning}" for mark, meaning in MEANINGS.items()) + "."
    yield ""
    yield "| fact | known from | played here | at speed |"
    yield "|---|---|---|---|"
    for fact in FACTS:
        says = f"{fact.says} (`{fact.name}`)"
        shown = f"[{fact.played}](../{fact.test.partition('::')[0]})"
        yield f"| {says} | **{fact.mark}** {fact.source} | {shown} | {fact.speed} |"


if __name__ == "__main__":
    print("\n".join(table()))  # noqa: T201 -- it is what the script is for
