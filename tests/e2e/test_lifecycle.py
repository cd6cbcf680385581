"""A tenant's whole life on the local AWS, with IAM enforced: by event, suspended, resumed, offboarded, and anew."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local import deployment
from local.demo import Demo
from local.identity_provider import IdentityProvider
from tests.support.waiting import until

KbFleet = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.local_stack, pytest.mark.timeout(900)]
TENANT = "kokeshi"


@pytest.fixture
def status_of(kbfleet: KbFleet) -> Callable[[str], dict[str, Any]]:
    def look(tenant: str) -> dict[str, Any]:
        shown = kbfleet("tenant", "show", tenant, "--json")
        found: dict[str, Any] = json.loads(shown.stdout) if shown.returncode == 0 else {}
        return found

    return look


@pytest.fixture
def ask(story: Demo) -> Callable[[str], tuple[int, dict[str, Any]]]:
    def post(tenant: str) -> tuple[int, dict[str, Any]]:
        issuer = IdentityProvider.open(story.configuration.token_issuer, story.configuration.signing_key)
        return story.post_ask(b'{"question": "Who are you?"}', issuer.mint(tenant))

    return post


@pytest.fixture
def published(story: Demo) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The events that reach the fleet's bus from now on."""
    sqs, events = (deployment.client(story.configuration, service) for service in ("sqs", "events"))
    bus = story.outputs["BusName"]
    url = sqs.create_queue(QueueName="what-is-published")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = json.dumps({"source": ["kbfleet.tenants"]})
    events.put_rule(Name="what-is-published", EventBusName=bus, EventPattern=pattern)
    events.put_targets(Rule="what-is-published", EventBusName=bus, Targets=[{"Id": "queue", "Arn": arn}])
    seen: list[dict[str, Any]] = []

    def receive() -> list[dict[str, Any]]:
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            for message in messages:
                seen.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return seen

    yield receive
    events.remove_targets(Rule="what-is-published", EventBusName=bus, Ids=["queue"])
    events.delete_rule(Name="what-is-published", EventBusName=bus)
    sqs.delete_queue(QueueUrl=url)


def request_onboarding(story: Demo, detail: dict[str, Any]) -> None:
    entry = {"Source": "example.billing", "DetailType": "Tenant Onboarding Requested", "Detail": json.dumps(detail)}
    answer = deployment.client(story.configuration, "events").put_events(
        Entries=[{**entry, "EventBusName": story.outputs["BusName"]}]
    )
    assert answer["FailedEntryCount"] == 0


def test_a_tenant_from_its_onboarding_event_to_its_receipt_and_back(
    story: Demo,
    kbfleet: KbFleet,
    status_of: Callable[[str], dict[str, Any]],
    ask: Callable[[str], tuple[int, dict[str, Any]]],
    published: Callable[[], list[dict[str, Any]]],
) -> None:
    request_onboarding(story, {"tenant_id": TENANT, "name": "こけし工房"})
    until(lambda: status_of(TENANT).get("status") == "ACTIVE", "the event has not made an active tenant")
    assert ask(TENANT)[0] == 200

    bucket = status_of(TENANT)["bucket_name"]
    s3 = deployment.client(story.configuration, "s3")
    for version in range(3):
        s3.put_object(Bucket=bucket, Key="documents/工房 案内.md", Body=f"Edition {version}".encode())
    s3.put_object(Bucket=bucket, Key="prices.md", Body=b"A kokeshi is 4,000 yen.")
    s3.delete_object(Bucket=bucket, Key="prices.md")

    assert kbfleet("tenant", "suspend", TENANT).returncode == 0
    until(lambda: ask(TENANT)[1].get("code") == "TenantSuspended", "a suspended tenant is still asked")
    assert "stays suspended" in kbfleet("tenant", "add", TENANT).stdout
    assert status_of(TENANT)["status"] == "SUSPENDED"
    assert kbfleet("sync", "start", TENANT).returncode == 2
    assert kbfleet("tenant", "resume", TENANT).returncode == 0
    until(lambda: ask(TENANT)[0] == 200, "a resumed tenant is still refused")

    assert kbfleet("tenant", "offboard", TENANT, "--retention-days", "1", "--confirm", "another").returncode == 2
    waiting = kbfleet("tenant", "offboard", TENANT, "--retention-days", "1", "--confirm", TENANT)
    assert "kbfleet tenant resume kokeshi" in waiting.stdout
    until(lambda: ask(TENANT)[1].get("code") == "TenantOffboarding", "a tenant on its way out is still asked")
    assert kbfleet("tenant", "resume", TENANT).returncode == 0
    until(lambda: ask(TENANT)[0] == 200, "a tenant that was taken back is still refused")

    # Taking it back has started a convergence, which holds the lease for a moment.
    def offboarded() -> bool:
        ran = kbfleet("tenant", "offboard", TENANT, "--retention-days", "0", "--confirm", TENANT, "--wait")
        assert ran.returncode == 0 or "being worked on" in ran.stderr, ran.stderr
        return ran.returncode == 0

    until(offboarded, "the tenant is not offboarded")
    gone = status_of(TENANT)
    assert gone["status"] == "OFFBOARDED"
    assert [erased["kind"] for erased in gone["erasure"]["erased"]] == [
        "bucket",
        "vector index",
        "knowledge base",
        "service role",
        "usage key",
        "records",
        "part in incidents",
    ]
    until(lambda: ask(TENANT)[1].get("code") == "TenantNotProvisioned", "an offboarded tenant is still asked")
    again = kbfleet("tenant", "offboard", TENANT)
    assert again.returncode == 0
    assert "is gone" in again.stdout

    assert kbfleet("tenant", "add", TENANT).returncode == 0
    assert status_of(TENANT)["status"] == "ACTIVE"
    changes = [event["detail"]["status"] for event in published() if event["detail-type"] == "Tenant State Change"]
    assert changes == [
        "PROVISIONING",
        "ACTIVE",
        "SUSPENDED",
        "ACTIVE",
        "OFFBOARDING",
        "ACTIVE",
        "OFFBOARDING",
        "OFFBOARDED",
        "PROVISIONING",
        "ACTIVE",
    ]


def test_a_malformed_onboarding_is_kept_with_its_reason(story: Demo) -> None:
    request_onboarding(story, {"tenant_id": "No Such Id"})
    sqs = deployment.client(story.configuration, "sqs")
    described = deployment.client(story.configuration, "cloudformation").describe_stack_resource(
        StackName="kbfleet", LogicalResourceId="OnboardingDeadLetterQueue"
    )
    url = described["StackResourceDetail"]["PhysicalResourceId"]
    received = until(lambda: sqs.receive_message(QueueUrl=url).get("Messages"), "it is not in the dead-letter queue")
    kept = json.loads(received[0]["Body"])
    assert kept["requestPayload"]["detail"]["tenant_id"] == "No Such Id"
    assert "tenant_id" in kept["responsePayload"]["errorMessage"]


def test_what_went_missing_is_reported_and_made_again_only_when_asked(
    story: Demo, kbfleet: KbFleet, status_of: Callable[[str], dict[str, Any]]
) -> None:
    assert kbfleet("reconcile").returncode == 0
    vectors = deployment.client(story.configuration, "s3vectors")
    index = {"vectorBucketName": story.outputs["VectorBucketArn"].rpartition("/")[2], "indexName": "sakura"}
    vectors.delete_index(**index)
    reported = kbfleet("reconcile")
    assert reported.returncode == 1
    assert "MISSING vector index sakura" in reported.stdout
    repaired = kbfleet("reconcile", "--repair")
    assert "The repair of sakura is started." in repaired.stdout
    until(lambda: kbfleet("reconcile").returncode == 0, "what was lost is not read anew")
    again = status_of("sakura")
    assert (again["status"], again["knowledge"]) == ("ACTIVE", 2)
    story.ask()  # whatever it answered before, it answers again
