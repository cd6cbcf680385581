"""Each loss, wherever it is told: one finding, a true sentence about answers, and a command that brings all back.

Through the real functions on the emulator, in virtual time. What is lost is what somebody can delete in the console.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import kbfleet.bootstrap
from bedrock_emulator import Quotas
from kbfleet.contracts import parse
from kbfleet.contracts.events import TenantDiagnosedEvent
from kbfleet.domain.alert import Deployment
from kbfleet.domain.finding import Disagreement, ResourceKind
from kbfleet.domain.harm import Harm
from kbfleet.domain.incident import Concern
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.signals import of_diagnosis
from tests.support.api_requests import queried
from tests.support.losses import Loss, departures_from_the_bucket, lose, losses_on
from tests.support.tenant_lives import Lives, sample
from tests.support.virtual_fleet import FIRST_DOCUMENT, RARE_SCHEDULE_SECONDS, RARE_TICKS, VirtualFleet, virtual_fleet

DOCUMENTS = {
    "tents.md": "A tent is rented for three days at least.",
    "house.md": "The house at the lake has seven rooms.",
}
ALL = len(DOCUMENTS) + 1
"""With the first document, which each tenant has."""
GO_ON = f"kbfleet sync start acme --accept-deletions {ALL}"
ACCEPTED = json.dumps({"accept_deletions": ALL})
SEARCHABLE = 400  # seconds
HOURLY = {"hourly": True}


@dataclass(frozen=True)
class Case:
    """What somebody does, and what is to be told of it.

    harm: `None` where it depends on the store.
    """

    act: Callable[[Lives, str], None]
    disagreement: Disagreement
    kind: ResourceKind
    harm: frozenset[Harm]


def of_content(loss: Loss) -> Callable[[Lives, str], None]:
    return lambda lives, tenant_id: lose(lives.fleet, lives.store, tenant_id, loss)


def delete_the_service_role(lives: Lives, tenant_id: str) -> None:
    iam, name = lives.client("iam"), lives.fleet.names.service_role(lives.fleet.life(tenant_id))
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=policy)
    iam.delete_role(RoleName=name)


def delete_the_usage_key(lives: Lives, tenant_id: str) -> None:
    value = lives.fleet.names.usage_key(Life(TenantId(tenant_id))).value
    gateway = lives.client("apigateway")
    (found,) = (each for each in gateway.get_api_keys(includeValues=True)["items"] if each["value"] == value)
    gateway.delete_api_key(apiKey=found["id"])


def switch_events_off(lives: Lives, tenant_id: str) -> None:
    lives.client("s3").put_bucket_notification_configuration(
        Bucket=lives.bucket(tenant_id), NotificationConfiguration={}
    )


NONE, OLD, SOME = frozenset({Harm.NO_ANSWERS}), frozenset({Harm.WRONG_ANSWERS}), frozenset({Harm.DOCUMENTS_MISSING})
MISSING, EMPTIED = Disagreement.MISSING, Disagreement.EMPTIED
CASES: dict[str, Case] = {
    **{
        loss.name: Case(of_content(loss), disagreement, kind, harm)
        for loss, disagreement, kind, harm in (
            (Loss.INDEX, MISSING, ResourceKind.VECTOR_INDEX, NONE),
            (Loss.INDEX_REPLACED, EMPTIED, ResourceKind.VECTOR_INDEX, NONE),
            (Loss.KNOWLEDGE_BASE, MISSING, ResourceKind.KNOWLEDGE_BASE, NONE),
            (Loss.KNOWLEDGE_BASE_RETAINED, MISSING, ResourceKind.KNOWLEDGE_BASE, NONE),
            (Loss.DATA_SOURCE, MISSING, ResourceKind.DATA_SOURCE, NONE),
            (Loss.DATA_SOURCE_RETAINED, MISSING, ResourceKind.DATA_SOURCE, OLD),
        )
    },
    "SERVICE_ROLE": Case(delete_the_service_role, MISSING, ResourceKind.SERVICE_ROLE, NONE | OLD),
    "USAGE_KEY": Case(delete_the_usage_key, MISSING, ResourceKind.USAGE_KEY, NONE),
    "EVENTS": Case(switch_events_off, Disagreement.CHANGED, ResourceKind.BUCKET, SOME),
}
SEEN_BY_LISTS = {ResourceKind.VECTOR_INDEX, ResourceKind.KNOWLEDGE_BASE, ResourceKind.SERVICE_ROLE}
"""Within an hour, without anybody asking."""
TRIED = [
    (store, name)
    for store in ("S3_VECTORS", "OPENSEARCH_SERVERLESS", "MANAGED")
    for name in CASES
    if name not in Loss.__members__ or Loss[name] in losses_on(store)
    # What does not depend on the store is tried on one.
    if name in Loss.__members__ or store == "S3_VECTORS"
]


@pytest.fixture
def fleet() -> Iterator[VirtualFleet]:
    with virtual_fleet(
        parameters=RARE_TICKS, safety_net_seconds=RARE_SCHEDULE_SECONDS, quotas=Quotas(requests_per_second={})
    ) as fleet:
        yield fleet


def answered(lives: Lives, function: str, event: dict[str, Any]) -> dict[str, Any]:
    answer = lives.fleet.invoke(function, event)
    assert answer["statusCode"] == 200, answer
    body: dict[str, Any] = json.loads(answer["body"])
    return body


def diagnosed(lives: Lives, tenant_id: str) -> list[dict[str, Any]]:
    published = [event for event in lives.fleet.events if event["DetailType"] == "Tenant Diagnosed"]
    return [event["Detail"] for event in published if event["Detail"]["tenant_id"] == tenant_id]


@pytest.mark.parametrize(("store", "name"), TRIED)
def test_a_loss_is_told_alike_everywhere_and_its_command_brings_all_back(
    fleet: VirtualFleet, store: str, name: str
) -> None:
    case, lives = CASES[name], Lives(fleet, store)
    lives.provisioned("acme")
    for key, text in DOCUMENTS.items():
        lives.upload("acme", key, text)
    lives.sync("acme")
    fleet.timeline.run_for(SEARCHABLE)
    assert not departures_from_the_bucket(fleet, "acme")
    assert answered(lives, "ReconcileFunction", sample("get_diagnosis", "acme"))["well"]
    told = len(diagnosed(lives, "acme"))

    case.act(lives, "acme")
    if case.kind in SEEN_BY_LISTS:
        fleet.invoke("ReconcileFunction", HOURLY)
        assert len(diagnosed(lives, "acme")) == told + 1

    # `tenant show`, `reconcile` and `doctor` (which asks as `reconcile` does) have the same finding.
    shown = answered(lives, "ReconcileFunction", sample("get_diagnosis", "acme"))
    (finding, *_) = shown["findings"]
    assert (finding["disagreement"], finding["kind"]) == (case.disagreement, case.kind), shown
    assert finding["harm"] in case.harm
    assert finding["command"] == "kbfleet tenant add acme"
    asked = sample("post_reconciliation", "acme") | {"body": '{"tenant_id": "acme"}'}
    reported = answered(lives, "ReconcileFunction", asked)["findings"]
    assert finding in reported, reported
    # `why` does not contradict it, and proposes nothing that deletes.
    why = answered(lives, "WhyFunction", sample("get_why", "acme") | queried(key="tents.md"))
    advice = " ".join(hop["advice"] for hop in why["hops"])
    assert "offboard" not in advice
    # Slack: one message, its sentence, its command.
    (event, *_) = diagnosed(lives, "acme")[told:]
    parsed = parse(TenantDiagnosedEvent, {"detail-type": "Tenant Diagnosed", "detail": event})
    (signal,) = of_diagnosis(parsed.detail.to_domain(), Deployment("kbfleet", "us-east-1"))
    assert signal.concern is Concern.KNOWLEDGE
    assert signal.failure is not None
    assert signal.failure.evidence.harm == finding["harm"]
    assert signal.failure.evidence.command.startswith(finding["command"])

    # The command is run, and all that was answered from is answered from again.
    lives.provisioned("acme")
    fleet.settle("acme")
    fleet.timeline.run_for(SEARCHABLE)
    assert not departures_from_the_bucket(fleet, "acme")
    assert kbfleet.bootstrap.registry().get(TenantId("acme")).losses
    fleet.invoke("ReconcileFunction", HOURLY)
    assert not kbfleet.bootstrap.registry().get(TenantId("acme")).losses
    (*_, over) = diagnosed(lives, "acme")
    assert (over["losses"], over["seen"]) == ([], True)
    assert answered(lives, "ReconcileFunction", sample("get_diagnosis", "acme"))["well"]


# --- what kbfleet alone cannot bring back -----------------------------------------------------------


def search_finds(lives: Lives, tenant_id: str, text: str) -> set[str]:
    tenant = lives.fleet.tenant(tenant_id)
    assert tenant is not None
    found = lives.client("bedrock-agent-runtime").retrieve(
        knowledgeBaseId=str(tenant.knowledge_base_id),
        retrievalQuery={"text": text},
        retrievalConfiguration={"vectorSearchConfiguration": {"numberOfResults": 100}},
    )
    return {each["location"]["s3Location"]["uri"].rpartition("/")[2] for each in found["retrievalResults"]}


def delete_the_bucket(lives: Lives, tenant_id: str) -> None:
    s3, bucket = lives.client("s3"), lives.bucket(tenant_id)
    listed = s3.list_object_versions(Bucket=bucket)
    for each in (*listed.get("Versions", ()), *listed.get("DeleteMarkers", ())):
        s3.delete_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])
    s3.delete_bucket(Bucket=bucket)


def with_documents(fleet: VirtualFleet) -> Lives:
    lives = Lives(fleet, "S3_VECTORS")
    lives.provisioned("acme")
    for key, text in DOCUMENTS.items():
        lives.upload("acme", key, text)
    lives.sync("acme")
    fleet.timeline.run_for(SEARCHABLE)
    return lives


def test_a_lost_bucket_is_told_with_what_only_its_owner_can_do_and_takes_no_answer_away(fleet: VirtualFleet) -> None:
    lives = with_documents(fleet)
    delete_the_bucket(lives, "acme")
    fleet.invoke("ReconcileFunction", HOURLY)
    (*_, event) = diagnosed(lives, "acme")
    (loss,) = event["losses"]
    assert (loss["kind"], loss["harm"]) == ("bucket", Harm.WRONG_ANSWERS)
    parsed = parse(TenantDiagnosedEvent, {"detail-type": "Tenant Diagnosed", "detail": event})
    (signal,) = of_diagnosis(parsed.detail.to_domain(), Deployment("kbfleet", "us-east-1"))
    assert signal.failure is not None
    assert "only a backup brings them back" in signal.failure.evidence.advice
    why = answered(lives, "WhyFunction", sample("get_why", "acme") | queried(key="tents.md"))
    assert why["stuck_at"] == "OBJECT"
    assert "only a backup brings them back" in why["hops"][-1]["advice"]

    lives.provisioned("acme")  # the command of the message
    lives.api("post_sync", "acme")
    fleet.settle("acme")
    assert fleet.sync("acme").hold is not None
    for key, text in DOCUMENTS.items():
        assert key in search_finds(lives, "acme", text)
    shown = answered(lives, "ReconcileFunction", sample("get_diagnosis", "acme"))
    (finding,) = shown["findings"]
    assert (finding["disagreement"], finding["harm"], finding["command"]) == ("HELD", "WRONG_ANSWERS", GO_ON)
    asked = sample("post_reconciliation", "acme") | {"body": '{"look_only": true}'}
    assert answered(lives, "ReconcileFunction", asked)["findings"] == [finding]
    why = answered(lives, "WhyFunction", sample("get_why", "acme") | queried(key="tents.md"))
    assert why["stuck_at"]

    for key, text in DOCUMENTS.items():  # from the backup
        lives.upload("acme", key, text)
    lives.api("post_sync", "acme", body=ACCEPTED)
    fleet.settle("acme")
    assert answered(lives, "ReconcileFunction", sample("get_diagnosis", "acme"))["well"]
    fleet.timeline.run_for(SEARCHABLE)
    assert not departures_from_the_bucket(fleet, "acme")
    assert fleet.sync("acme").hold is None


@pytest.mark.parametrize("restored", [True, False], ids=["with the documents back", "with none"])
def test_a_bucket_and_a_data_source_that_are_lost_together_drop_nothing_unasked(
    fleet: VirtualFleet, *, restored: bool
) -> None:
    lives = with_documents(fleet)
    delete_the_bucket(lives, "acme")
    lose(fleet, "S3_VECTORS", "acme", Loss.DATA_SOURCE_RETAINED)
    fleet.invoke("ReconcileFunction", HOURLY)

    for _ in range(2):  # the command of the message, and once more
        assert lives.provision("acme").status == "FAILED"
        tenant = fleet.tenant("acme")
        assert tenant is not None
        assert tenant.failure is not None
        assert tenant.failure.error == "DeletionsHeld"
        assert f"`{GO_ON}`" in tenant.failure.reason
        assert tenant.status == "ACTIVE"
        assert all(key in search_finds(lives, "acme", text) for key, text in DOCUMENTS.items())
    held = [event["Detail"] for event in fleet.events if event["DetailType"] == "Sync Held"]
    assert len({each["identity"] for each in held}) == 1
    shown = answered(lives, "ReconcileFunction", sample("get_diagnosis", "acme"))
    assert GO_ON in {each["command"] for each in shown["findings"]}
    lives.api("post_sync", "acme")  # without accepting, it stays held
    fleet.settle("acme")
    assert all(key in search_finds(lives, "acme", text) for key, text in DOCUMENTS.items())

    if restored:
        for key, text in DOCUMENTS.items():
            lives.upload("acme", key, text)
    lives.api("post_sync", "acme", body=ACCEPTED)
    fleet.timeline.run_for(1_200)
    fleet.settle("acme")
    fleet.timeline.run_for(SEARCHABLE)
    assert fleet.sync("acme").hold is None
    assert not departures_from_the_bucket(fleet, "acme")
    for key, text in DOCUMENTS.items():
        assert (key in search_finds(lives, "acme", text)) is restored
    fleet.invoke("ReconcileFunction", HOURLY)
    assert answered(lives, "ReconcileFunction", sample("get_diagnosis", "acme"))["well"]


def lose_the_vector_bucket(lives: Lives) -> str:
    vectors = lives.client("s3vectors")
    (name,) = (each["vectorBucketName"] for each in vectors.list_vector_buckets()["vectorBuckets"])
    for index in vectors.list_indexes(vectorBucketName=name)["indexes"]:
        vectors.delete_index(vectorBucketName=name, indexName=index["indexName"])
    vectors.delete_vector_bucket(vectorBucketName=name)
    return str(name)


def test_a_vector_bucket_that_is_lost_is_one_finding_of_the_fleet(fleet: VirtualFleet) -> None:
    lives = with_documents(fleet)
    lives.provisioned("sakura")
    name = lose_the_vector_bucket(lives)
    fleet.invoke("ReconcileFunction", HOURLY)
    asked = sample("post_reconciliation", "acme") | {"body": "{}"}
    report = answered(lives, "ReconcileFunction", asked)
    (loss,) = report["shared_losses"]
    assert (loss["kind"], loss["harm"], loss["command"]) == (
        "knowledge store",
        "NO_ANSWERS",
        "kbfleet reconcile --repair",
    )
    assert report["unlisted"] == []
    assert {each["kind"] for each in report["findings"]} == {"knowledge store"}
    shown = answered(lives, "ReconcileFunction", sample("get_diagnosis", "sakura"))
    assert [each["kind"] for each in shown["findings"]] == ["knowledge store"]
    told = [event["Detail"] for event in fleet.events if event["DetailType"] == "Fleet Diagnosed"]
    assert all(each["losses"] == [{"kind": "knowledge store", "name": "S3_VECTORS"}] for each in told)
    assert not diagnosed(lives, "sakura")

    # What the page of the runbook says; then the command.
    lives.client("s3vectors").create_vector_bucket(vectorBucketName=name)
    repair = sample("post_reconciliation", "acme") | {"body": '{"repair": true}'}
    assert set(answered(lives, "ReconcileFunction", repair)["repairs"]) == {"acme", "sakura"}
    fleet.timeline.run_for(1_200)
    fleet.settle("acme", "sakura")
    fleet.timeline.run_for(SEARCHABLE)
    assert not departures_from_the_bucket(fleet, "acme")
    for tenant_id in ("acme", "sakura"):
        shown = answered(lives, "ReconcileFunction", sample("get_diagnosis", tenant_id))
        assert shown["well"], shown


def test_documents_that_are_all_deleted_go_on_to_answer_until_somebody_accepts_that(fleet: VirtualFleet) -> None:
    lives = with_documents(fleet)
    for key in (*DOCUMENTS, FIRST_DOCUMENT):
        lives.remove("acme", key)
    lives.api("post_sync", "acme")
    fleet.settle("acme")
    assert fleet.sync("acme").hold is not None
    assert all(key in search_finds(lives, "acme", text) for key, text in DOCUMENTS.items())
    s3, bucket = lives.client("s3"), lives.bucket("acme")
    for marker in s3.list_object_versions(Bucket=bucket)["DeleteMarkers"]:
        s3.delete_object(Bucket=bucket, Key=marker["Key"], VersionId=marker["VersionId"])
    lives.api("post_sync", "acme")
    fleet.settle("acme")
    assert fleet.sync("acme").hold is None
    assert not departures_from_the_bucket(fleet, "acme")


def test_a_tenant_whose_record_is_lost_is_taken_up_with_all_that_it_has(fleet: VirtualFleet) -> None:
    lives = with_documents(fleet)
    table = lives.client("dynamodb")
    (name,) = table.list_tables()["TableNames"]
    table.delete_item(TableName=name, Key={"PK": {"S": "TENANT#acme"}, "SK": {"S": "PROFILE"}})
    reported = answered(lives, "ReconcileFunction", sample("post_reconciliation", "acme") | {"body": "{}"})["findings"]
    assert {each["disagreement"] for each in reported} == {Disagreement.UNEXPLAINED}
    assert all("kbfleet tenant add acme --knowledge-store S3_VECTORS" in each["advice"] for each in reported)
    lives.provisioned("acme")
    fleet.settle("acme")
    fleet.timeline.run_for(SEARCHABLE)
    assert not departures_from_the_bucket(fleet, "acme")
    assert answered(lives, "ReconcileFunction", sample("get_diagnosis", "acme"))["well"]
