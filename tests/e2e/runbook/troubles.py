"""What can go wrong, one kind after the other: how to break the fleet so, and how to take the cause away."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from botocore.exceptions import ClientError

from local import samples
from tests.e2e.runbook.fleet import Fleet
from tests.support.waiting import until

TENANT = "acme"
DAMAGED = b"%PDF-1.7\nthe rest of it is lost"


class Trouble:
    """One kind of trouble.

    page: of the runbook.
    title, cause: what the message must say.
    also: what titles of messages begin with, and whom they name, that come beside it and its recovery because the
        repair brings them about.
    tenant: for `<tenant>` in commands. values: for the other placeholders.
    """

    page: ClassVar[str]
    title: ClassVar[str]
    cause: ClassVar[str]
    tenant: ClassVar[str] = TENANT
    values: ClassVar[Mapping[str, str]] = {}
    also: ClassVar[Sequence[tuple[str, str]]] = ()

    def prepare(self, fleet: Fleet) -> None:
        """What has to be there before anything is broken."""

    def make(self, fleet: Fleet) -> None:
        """Breaks something."""
        raise NotImplementedError

    def take_away(self, fleet: Fleet) -> None:
        """Takes the cause away, as far as no command of the page does. May be called again."""

    def tidy_up(self, fleet: Fleet) -> None:
        """Undoes what `prepare` and `make` did, as far as the repair does not."""


# --- incidents ---


class ModelRefused(Trouble):
    """The embedding model cannot be called: for all tenants alike, and nothing of the tenant's own is otherwise."""

    page = "ingestion-failed"
    title = f"{TENANT}: ingestion failed"
    cause = "bedrock:InvokeModel"

    def make(self, fleet: Fleet) -> None:
        reason = (
            "Encountered error: User is not authorized to perform: bedrock:InvokeModel. Call to Model did not succeed."
        )
        fleet.fault(effect="job_fails", failureReasons=[reason])
        fleet.upload(TENANT, "kayaks.md", b"A kayak is rented by the hour.")

    def take_away(self, fleet: Fleet) -> None:
        fleet.no_faults()


class DocumentDamaged(Trouble):
    page = "documents-left-out"
    title = f"{TENANT}: some documents could not be ingested"
    cause = "terms.pdf"
    values: ClassVar = {
        "document": "terms.pdf",
        "file": next(str(path) for path in samples.documents(TENANT) if path.suffix == ".pdf"),
    }

    def make(self, fleet: Fleet) -> None:
        fleet.upload(TENANT, "terms.pdf", DAMAGED)


class BucketEmptied(Trouble):
    """The only document is deleted, and comes back."""

    page = "sync-held"
    tenant = "hotel"
    title = "hotel: sync held, since it would delete what is answered from"
    cause = "The bucket holds no document any more."
    values: ClassVar = {"missing": "1"}
    key = "prices.md"

    def prepare(self, fleet: Fleet) -> None:
        fleet.succeeds(f"kbfleet tenant add {self.tenant}")
        fleet.upload(self.tenant, self.key, b"A tent is rented for ten a day.")
        fleet.succeeds(f"kbfleet sync start {self.tenant}")
        # The upload has asked for a job of its own: what is deleted between its check and its reading is not held.
        until(lambda: self._is_at_rest(fleet), "the tenant is still synced")

    def _is_at_rest(self, fleet: Fleet) -> bool:
        sync = fleet.tenant(self.tenant)["sync"]
        return bool(sync["state"] == "IDLE" and sync["synced_generation"] == sync["requested_generation"] >= 3)

    def make(self, fleet: Fleet) -> None:
        fleet.client("s3").delete_object(Bucket=fleet.tenant(self.tenant)["bucket_name"], Key=self.key)

    def take_away(self, fleet: Fleet) -> None:
        s3, of = fleet.client("s3"), {"Bucket": fleet.tenant(self.tenant)["bucket_name"]}
        for marker in s3.list_object_versions(**of).get("DeleteMarkers", ()):
            s3.delete_object(**of, Key=marker["Key"], VersionId=marker["VersionId"])


class ProvisioningRefused(Trouble):
    page = "provisioning-failed"
    tenant = "bravo"
    title = "bravo: provisioning failed"
    cause = "AccessRefused"

    def make(self, fleet: Fleet) -> None:
        fleet.take_away("EnsureDataSourceFunction", "bedrock:*")
        fleet.succeeds(f"kbfleet tenant add {self.tenant} --no-wait")

    def take_away(self, fleet: Fleet) -> None:
        fleet.give_back("EnsureDataSourceFunction")


class RebuildingRefused(Trouble):
    page = "rebuilding-failed"
    tenant = "juliet"
    title = "juliet: rebuilding failed"
    cause = "AccessRefused"

    def prepare(self, fleet: Fleet) -> None:
        fleet.succeeds(f"kbfleet tenant add {self.tenant}")

    def make(self, fleet: Fleet) -> None:
        fleet.take_away("EnsureDataSourceFunction", "bedrock:*")
        fleet.succeeds(f"kbfleet tenant rebuild {self.tenant} --no-wait")

    def take_away(self, fleet: Fleet) -> None:
        fleet.give_back("EnsureDataSourceFunction")


class QuotaExhausted(Trouble):
    page = "provisioning-failed"
    tenant = "charlie"
    title = "charlie: provisioning failed"
    cause = "CapacityExceeded"

    def make(self, fleet: Fleet) -> None:
        text = "The number of knowledge bases has reached the quota of 100."
        fleet.fault(effect="error", operation="CreateKnowledgeBase", code="ServiceQuotaExceededException", message=text)
        fleet.succeeds(f"kbfleet tenant add {self.tenant} --no-wait")

    def take_away(self, fleet: Fleet) -> None:
        fleet.no_faults()


class OffboardingRefused(Trouble):
    page = "offboarding-failed"
    tenant = "delta"
    title = "delta: offboarding failed"
    cause = "AccessRefused"

    def make(self, fleet: Fleet) -> None:
        fleet.succeeds(f"kbfleet tenant add {self.tenant}")
        fleet.take_away("DeleteBucketFunction", "s3:DeleteBucket")
        fleet.succeeds(f"kbfleet tenant offboard {self.tenant} --confirm {self.tenant}")

    def take_away(self, fleet: Fleet) -> None:
        fleet.give_back("DeleteBucketFunction")


class ForeignDataSource(Trouble):
    """A data source, added in the console, that reads a bucket which is not the tenant's."""

    page = "isolation-breached"
    title = f"{TENANT}: something within its reach is not its own"
    cause = "data source"

    def make(self, fleet: Fleet) -> None:
        fleet.client("bedrock-agent").create_data_source(
            knowledgeBaseId=fleet.tenant(TENANT)["knowledge_base_id"],
            name="quick-test",
            dataSourceConfiguration={"type": "S3", "s3Configuration": {"bucketArn": "arn:aws:s3:::kbfleet-golf"}},
        )
        fleet.run(f"kbfleet reconcile --tenant {TENANT}")  # as it is done each day


class SomethingLost(Trouble):
    """Somebody deletes what answers rest on, in the console."""

    page = "knowledge-lost"
    lost: ClassVar[str]

    def make(self, fleet: Fleet) -> None:
        fleet.run(f"kbfleet tenant show {self.tenant}")  # it is well
        self.delete(fleet)
        fleet.run("kbfleet reconcile")  # as it is done each hour

    def delete(self, fleet: Fleet) -> None:
        raise NotImplementedError


class RoleChanged(Trouble):
    """Somebody denies the service role the bucket. The next ingestion fails for it, and that is no other message."""

    page = "knowledge-lost"
    title = f"{TENANT}: the service role is set otherwise than it should be"
    cause = "s3:ListBucket"

    def make(self, fleet: Fleet) -> None:
        fleet.take_away(fleet.tenant(TENANT)["bucket_name"], "s3:*")  # its service role has the same name
        fleet.upload(TENANT, "canoes.md", b"A canoe is rented by the day.")

    def tidy_up(self, fleet: Fleet) -> None:
        fleet.give_back(fleet.tenant(TENANT)["bucket_name"])


class IndexLost(SomethingLost):
    title = f"{TENANT}: the vector index is gone"
    cause = "No question is answered meanwhile"

    def delete(self, fleet: Fleet) -> None:
        live = fleet.tenant(TENANT)["knowledge_base_id"]
        described = fleet.client("bedrock-agent").get_knowledge_base(knowledgeBaseId=live)["knowledgeBase"]
        index = described["storageConfiguration"]["s3VectorsConfiguration"]["indexArn"]
        fleet.client("s3vectors").delete_index(indexArn=index)


class KnowledgeBaseLost(SomethingLost):
    title = f"{TENANT}: the knowledge base is gone"
    cause = "No question is answered meanwhile"

    def delete(self, fleet: Fleet) -> None:
        agent, knowledge_base = fleet.client("bedrock-agent"), fleet.tenant(TENANT)["knowledge_base_id"]
        agent.delete_knowledge_base(knowledgeBaseId=knowledge_base)
        until(lambda: knowledge_base not in str(agent.list_knowledge_bases()), "the knowledge base does not go")


class DataSourceLost(SomethingLost):
    title = f"{TENANT}: the data source is gone"
    cause = "The data source is gone"

    def delete(self, fleet: Fleet) -> None:
        agent, tenant = fleet.client("bedrock-agent"), fleet.tenant(TENANT)
        base, source = tenant["knowledge_base_id"], tenant["data_source_id"]
        agent.delete_data_source(knowledgeBaseId=base, dataSourceId=source)
        until(lambda: source not in str(agent.list_data_sources(knowledgeBaseId=base)), "the data source does not go")
        fleet.run(f"kbfleet tenant show {TENANT}")  # no list of the account shows it


class BucketLost(SomethingLost):
    """With all documents and their versions. What was read of them is still answered from."""

    page = "bucket-lost"
    tenant = "india"
    title = "india: the bucket is gone"
    cause = "only a backup brings them back"

    def prepare(self, fleet: Fleet) -> None:
        fleet.succeeds(f"kbfleet tenant add {self.tenant}")
        fleet.upload(self.tenant, "prices.md", b"A tent is rented for ten a day.")
        fleet.succeeds(f"kbfleet sync start {self.tenant}")

    def delete(self, fleet: Fleet) -> None:
        s3, bucket = fleet.client("s3"), fleet.tenant(self.tenant)["bucket_name"]
        listed = s3.list_object_versions(Bucket=bucket)
        for each in (*listed.get("Versions", ()), *listed.get("DeleteMarkers", ())):
            s3.delete_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])
        s3.delete_bucket(Bucket=bucket)

    def tidy_up(self, fleet: Fleet) -> None:
        """Its sync would be held later on, beside another trouble."""
        fleet.succeeds(f"kbfleet tenant offboard {self.tenant} --retention-days 0 --confirm {self.tenant} --wait")


# --- alarms ---


class JobsNotStarted(Trouble):
    page = "changes-waiting"
    title = "ChangesWaitingAlarm"
    cause = "greater than the threshold (3.0)"

    def make(self, fleet: Fleet) -> None:
        fleet.set_threshold("ChangesWaitingAlarm", 3)
        fleet.fault(effect="error", operation="StartIngestionJob", code="ThrottlingException", message="Rate exceeded.")
        fleet.upload(TENANT, "rafts.md", b"A raft is rented by the week.")

    def take_away(self, fleet: Fleet) -> None:
        fleet.no_faults()

    def tidy_up(self, fleet: Fleet) -> None:
        fleet.set_threshold("ChangesWaitingAlarm", 3_600)


class SomebodysBucket(Trouble):
    """A bucket with the fleet's prefix that is no tenant's."""

    page = "changes-refused"
    title = "ChangesRefusedAlarm"
    cause = "1 datapoint [1.0] was greater than the threshold (0.0)"
    bucket = "kbfleet-of-somebody-else"
    values: ClassVar = {"bucket": bucket}

    def make(self, fleet: Fleet) -> None:
        s3 = fleet.client("s3")
        s3.create_bucket(Bucket=self.bucket)
        self._notify(fleet, {"EventBridgeConfiguration": {}})
        told_from = time.monotonic() + fleet.configuration.delays.bucket_events / fleet.configuration.speed
        until(lambda: time.monotonic() > told_from, "S3 tells of nothing before")
        self._at_last(lambda: s3.put_object(Bucket=self.bucket, Key="own.md", Body=b"mine"))

    def take_away(self, fleet: Fleet) -> None:
        self._notify(fleet, {})

    def _notify(self, fleet: Fleet, configuration: Mapping[str, object]) -> None:
        configured = {"Bucket": self.bucket, "NotificationConfiguration": configuration}
        self._at_last(lambda: fleet.client("s3").put_bucket_notification_configuration(**configured))

    def _at_last(self, call: Callable[[], object]) -> None:
        """A new bucket does not show everywhere for some seconds, and is busy."""

        def taken() -> bool:
            try:
                call()
            except ClientError as error:
                if error.response["Error"]["Code"] not in {"NoSuchBucket", "OperationAborted"}:
                    raise
                return False
            return True

        until(taken, "the bucket does not show")


class FunctionForbidden(Trouble):
    """A function may not use the table any more."""

    function: ClassVar[str]
    queue: ClassVar[str] = ""
    cause = "was greater than the threshold (0.0)"

    def prepare(self, fleet: Fleet) -> None:
        if self.queue:
            fleet.impatient(self.queue, tries=1)

    def make(self, fleet: Fleet) -> None:
        fleet.take_away(self.function, "dynamodb:*")
        self.use(fleet)

    def use(self, fleet: Fleet) -> None:
        """Has the function be called."""
        raise NotImplementedError

    def take_away(self, fleet: Fleet) -> None:
        fleet.give_back(self.function)

    def tidy_up(self, fleet: Fleet) -> None:
        if self.queue:
            fleet.impatient(self.queue, tries=3)


class TicksForbidden(FunctionForbidden):
    page = "ticks-failing"
    title = "TicksFailingAlarm"
    function = "TickFunction"
    queue = "TickQueue"

    def use(self, fleet: Fleet) -> None:
        fleet.upload(TENANT, "sails.md", b"A sail is sold by the metre.")


class ChecksForbidden(FunctionForbidden):
    page = "deletion-checks-failing"
    title = "DeletionChecksFailingAlarm"
    function = "CheckDeletionsFunction"
    queue = "DeletionCheckQueue"

    def use(self, fleet: Fleet) -> None:
        fleet.upload(TENANT, "anchors.md", b"An anchor is sold by the kilogram.")


class QuestionsForbidden(FunctionForbidden):
    page = "question-runs-failing"
    title = "QuestionRunsFailingAlarm"
    function = "RunQuestionsFunction"
    queue = "QuestionQueue"

    def prepare(self, fleet: Fleet) -> None:
        super().prepare(fleet)
        fleet.succeeds(f"kbfleet questions add {TENANT} 'For how many months is a tent guaranteed?' --expect tents.md")

    def use(self, fleet: Fleet) -> None:
        fleet.succeeds(f"kbfleet questions run {TENANT} --no-wait")

    def tidy_up(self, fleet: Fleet) -> None:
        super().tidy_up(fleet)
        _remove_questions(fleet)


class QuestionRegressed(Trouble):
    """A document is replaced by a wrong one, after the question that expects it was known to pass."""

    page = "questions-regressed"
    title = f"{TENANT}: 1 of 1 questions no longer finds its document"
    cause = "rudders.md"
    values: ClassVar = {"key": "rudders.md"}
    key = "rudders.md"
    good = b"A rudder steers the boat. A rudder costs forty euros."

    def prepare(self, fleet: Fleet) -> None:
        self._put(fleet, self.good)
        fleet.succeeds(f"kbfleet questions add {TENANT} 'What does a rudder cost?' --expect {self.key}")
        for _ in range(2):
            fleet.succeeds(f"kbfleet questions run {TENANT}")

    def make(self, fleet: Fleet) -> None:
        fleet.client("s3").delete_object(Bucket=fleet.tenant(TENANT)["bucket_name"], Key=self.key)
        fleet.succeeds(f"kbfleet sync start {TENANT}")
        for _ in range(2):
            fleet.run(f"kbfleet questions run {TENANT}")

    def take_away(self, fleet: Fleet) -> None:
        self._put(fleet, self.good)
        fleet.succeeds(f"kbfleet questions run {TENANT}")

    def tidy_up(self, fleet: Fleet) -> None:
        _remove_questions(fleet)

    def _put(self, fleet: Fleet, content: bytes) -> None:
        fleet.upload(TENANT, self.key, content)
        fleet.succeeds(f"kbfleet sync start {TENANT}")


def _remove_questions(fleet: Fleet) -> None:
    for question in json.loads(fleet.succeeds(f"kbfleet questions list {TENANT} --json"))["questions"]:
        fleet.succeeds(f"kbfleet questions remove {TENANT} {question['id']}")


class CollectionForbidden(FunctionForbidden):
    page = "failures-uncollected"
    title = "FailuresUncollectedAlarm"
    function = "CollectFailuresFunction"

    def use(self, fleet: Fleet) -> None:
        fleet.succeeds(f"kbfleet sync start {TENANT}")


class RetryForbidden(FunctionForbidden):
    page = "document-retries-failing"
    title = "DocumentRetriesFailingAlarm"
    function = "RetryDocumentsFunction"
    queue = "DocumentRetryQueue"
    also = (("🟢", f"{TENANT}: some documents could not be ingested"),)  # the retry that goes on repairs the last one

    def prepare(self, fleet: Fleet) -> None:
        super().prepare(fleet)
        before = len(fleet.messages())
        fleet.fault(effect="documents_fail", keys=["oars.md"])
        fleet.upload(TENANT, "oars.md", b"An oar is sold in pairs.")
        until(lambda: fleet.messages()[before:], "a document that fails is not reported")
        until(lambda: fleet.tenant(TENANT)["sync"]["state"] == "IDLE", "the tenant is still synced")
        fleet.no_faults()

    def use(self, fleet: Fleet) -> None:
        fleet.succeeds(f"kbfleet sync retry-failed {TENANT} --no-wait")


class OnboardingMalformed(Trouble):
    page = "onboarding-refused"
    tenant = "echo"
    title = "OnboardingRefusedAlarm"
    cause = "was greater than the threshold (0.0)"

    def make(self, fleet: Fleet) -> None:
        entry = {
            "Source": "example.billing",
            "DetailType": "Tenant Onboarding Requested",
            "Detail": '{"tenant": "echo"}',
        }
        fleet.client("events").put_events(Entries=[{**entry, "EventBusName": fleet.outputs["BusName"]}])


class StoppedUnseen(FunctionForbidden):
    page = "stopped-executions-unreported"
    tenant = "foxtrot"
    title = "StoppedExecutionsUnreportedAlarm"
    function = "RecordStoppedExecutionFunction"
    also = (("🔴", "foxtrot"), ("🟢", "foxtrot"))

    def use(self, fleet: Fleet) -> None:
        fleet.succeeds(f"kbfleet tenant add {self.tenant} --no-wait")
        states, machine = fleet.client("stepfunctions"), fleet.outputs["ProvisionTenantStateMachineArn"]
        running = states.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]
        states.stop_execution(executionArn=running[0]["executionArn"])


class UsageForbidden(FunctionForbidden):
    page = "usage-uncounted"
    title = "UsageUncountedAlarm"
    function = "RecordUsageFunction"

    def use(self, fleet: Fleet) -> None:
        fleet.ask(TENANT, "For how long is a tent guaranteed?")


class AlertsUndelivered(Trouble):
    """Not among the others: nobody is notified of it."""

    page = "alerts-undelivered"
    title = f"{TENANT}: some documents could not be ingested"

    def prepare(self, fleet: Fleet) -> None:
        fleet.impatient("AlertQueue", tries=2)

    def make(self, fleet: Fleet) -> None:
        secret = fleet.outputs["SlackWebhookSecretArn"]
        fleet.client("secretsmanager").put_secret_value(SecretId=secret, SecretString="not set yet")
        fleet.start_anew("SendAlertFunction")
        fleet.upload(TENANT, "terms.pdf", DAMAGED)

    def take_away(self, fleet: Fleet) -> None:
        # The notifier knows a secret for a minute.
        fleet.impatient("AlertQueue", tries=100)

    def tidy_up(self, fleet: Fleet) -> None:
        webhook = fleet.configuration.slack_webhook
        secret = fleet.outputs["SlackWebhookSecretArn"]
        fleet.client("secretsmanager").put_secret_value(SecretId=secret, SecretString=webhook)
        fleet.client("s3").delete_object(Bucket=fleet.tenant(TENANT)["bucket_name"], Key="terms.pdf")


TROUBLES: tuple[type[Trouble], ...] = (
    # First, while no change has waited: their alarms look back, with thresholds of seconds, on what came before them.
    JobsNotStarted,
    ModelRefused,
    DocumentDamaged,
    BucketEmptied,
    ProvisioningRefused,
    RebuildingRefused,
    QuotaExhausted,
    OffboardingRefused,
    ForeignDataSource,
    RoleChanged,
    IndexLost,
    KnowledgeBaseLost,
    DataSourceLost,
    BucketLost,
    SomebodysBucket,
    TicksForbidden,
    ChecksForbidden,
    QuestionsForbidden,
    QuestionRegressed,
    CollectionForbidden,
    RetryForbidden,
    OnboardingMalformed,
    StoppedUnseen,
    UsageForbidden,
)

UNTRIED: Mapping[str, str] = {
    "alerts-waiting": "the local AWS does not say how old a queue's oldest message is",
    "api-failing": "the local AWS has no metrics of API Gateway",
    "ask-slow": "answers of the local AWS are not slow",
    "capacity-low": "nobody can repair it by a command: some tenants have to go",
    "concurrency-exhausted": "the local AWS lets functions wait instead of refusing to run them",
    "executions-failing": "the local AWS has no metrics of Step Functions; the failures themselves are tried",
    "queues-stuck": "the local AWS does not say how old a queue's oldest message is",
    "requests-throttled": "it passes by itself, or needs a quota of the account",
    "shared-resource-lost": "it hits all tenants of the drill's fleet at once; tests/workflow/test_losses.py tries it",
    "scheduled-work-failing": "schedules of the local AWS run at their real pace, up to a day apart",
}
"""Pages that no drill is about, and why."""
