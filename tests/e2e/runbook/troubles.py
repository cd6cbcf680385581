"""What can go wrong, one kind after the other: how to break the fleet so, and how to take the cause away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tests.e2e.runbook.fleet import Fleet

TENANT = "acme"
DAMAGED = b"%PDF-1.7\nthe rest of it is lost"


class Trouble:
    """One kind of trouble.

    page: of the runbook.
    title, cause: what the message must say.
    tenant: for `<tenant>` in commands. values: for the other placeholders.
    answers: what is typed when a command asks.
    """

    page: ClassVar[str]
    title: ClassVar[str]
    cause: ClassVar[str]
    tenant: ClassVar[str] = TENANT
    values: ClassVar[Mapping[str, str]] = {}
    answers: ClassVar[str] = ""

    def make(self, fleet: Fleet) -> None:
        """Breaks something."""
        raise NotImplementedError

    def take_away(self, fleet: Fleet) -> None:
        """Takes the cause away, as far as no command of the page does. May be called again."""


# --- incidents ---


class BucketUnreadable(Trouble):
    page = "ingestion-failed"
    title = f"{TENANT}: ingestion failed"
    cause = "s3:ListBucket"

    def make(self, fleet: Fleet) -> None:
        fleet.take_away("KnowledgeBaseRole", "s3:*")
        fleet.upload(TENANT, "kayaks.md", b"A kayak is rented by the hour.")

    def take_away(self, fleet: Fleet) -> None:
        fleet.give_back("KnowledgeBaseRole")


class DocumentDamaged(Trouble):
    page = "documents-left-out"
    title = f"{TENANT}: some documents could not be ingested"
    cause = "terms.pdf"
    values: ClassVar = {"document": "terms.pdf"}

    def make(self, fleet: Fleet) -> None:
        fleet.upload(TENANT, "terms.pdf", DAMAGED)

    def take_away(self, fleet: Fleet) -> None:
        bucket = fleet.tenant(TENANT)["bucket_name"]
        fleet.client("s3").delete_object(Bucket=bucket, Key="terms.pdf")


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
    answers = "delta\n"

    def make(self, fleet: Fleet) -> None:
        fleet.succeeds(f"kbfleet tenant add {self.tenant}")
        fleet.take_away("DeleteBucketFunction", "s3:DeleteBucket")
        fleet.succeeds(f"kbfleet tenant offboard {self.tenant} --confirm {self.tenant}")

    def take_away(self, fleet: Fleet) -> None:
        fleet.give_back("DeleteBucketFunction")


# --- alarms ---

TROUBLES: tuple[type[Trouble], ...] = (
    BucketUnreadable,
    DocumentDamaged,
    ProvisioningRefused,
    QuotaExhausted,
    OffboardingRefused,
)
