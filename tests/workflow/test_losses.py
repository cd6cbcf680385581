"""Each loss, wherever it is told: one finding, a true sentence about answers, and a command that brings all back.

Through the real functions on the emulator, in virtual time, with service roles that are asked as IAM has them. What is
lost is what somebody can delete in the console, whole or half.

The world is prepared once, a tenant on each store; each loss happens in a copy of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

import kbfleet.bootstrap
from bedrock_emulator import Quotas
from bedrock_emulator.world.iam_roles import IamRoles
from kbfleet.domain.finding import Disagreement, Finding, ResourceKind
from kbfleet.domain.harm import Harm
from kbfleet.domain.names import TenantId
from tests.support.api_requests import queried
from tests.support.http_server import Reply, serving
from tests.support.losses import (
    Loss,
    delete_bucket,
    departures_from_the_bucket,
    disable_the_usage_key,
    lose,
    losses_on,
    take_permissions_away,
)
from tests.support.state_machine import Execution
from tests.support.tenant_lives import Lives, sample
from tests.support.virtual_fleet import FIRST_DOCUMENT, RARE_SCHEDULE_SECONDS, RARE_TICKS, VirtualFleet, virtual_fleet
from tests.support.world_copies import in_copy

TENANTS = {"S3_VECTORS": "acme", "OPENSEARCH_SERVERLESS": "bolt", "MANAGED": "corp"}
DOCUMENTS = {
    "tents.md": "A tent is rented for three days at least.",
    "house.md": "The house at the lake has seven rooms.",
}
ALL = len(DOCUMENTS) + 1
"""With the first document, which each tenant has."""
SEARCHABLE = 400  # seconds
HOURLY = {"hourly": True}
REAL_SECONDS = 120


@dataclass(frozen=True)
class Case:
    """What somebody does, and what is to be told of it.

    Args:
        harm: which of them it is depends on the store.
    """

    act: Callable[[Lives, str], object]
    disagreement: Disagreement
    kind: ResourceKind
    harm: frozenset[Harm]


def of_content(loss: Loss) -> Callable[[Lives, str], None]:
    return lambda lives, tenant_id: lose(lives.fleet, lives.store, tenant_id, loss)


def delete_the_service_role(lives: Lives, tenant_id: str) -> None:
    take_permissions_away(lives.fleet, tenant_id)
    lives.client("iam").delete_role(RoleName=lives.fleet.names.service_role(lives.fleet.life(tenant_id)))


def keep_the_service_role_from_reading(lives: Lives, tenant_id: str) -> None:
    take_permissions_away(lives.fleet, tenant_id, of="s3:")


def usage_key_of(lives: Lives, tenant_id: str) -> str:
    value = lives.fleet.names.usage_key(lives.fleet.life(tenant_id)).value
    listed = lives.client("apigateway").get_api_keys(includeValues=True)["items"]
    (found,) = (each["id"] for each in listed if each["value"] == value)
    return str(found)


def delete_the_usage_key(lives: Lives, tenant_id: str) -> None:
    lives.client("apigateway").delete_api_key(apiKey=usage_key_of(lives, tenant_id))


def switch_events_off(lives: Lives, tenant_id: str) -> None:
    lives.client("s3").put_bucket_notification_configuration(
        Bucket=lives.bucket(tenant_id), NotificationConfiguration={}
    )


# --- what is half lost ---


def begin_to_delete_the_knowledge_base(lives: Lives, tenant_id: str) -> None:
    lives.client("bedrock-agent").delete_knowledge_base(**lives.knowledge_base(tenant_id))


def begin_to_delete_the_data_source(lives: Lives, tenant_id: str) -> None:
    lives.client("bedrock-agent").delete_data_source(**lives.data_source(tenant_id))


def in_vain(
    first: Callable[[Lives, str], object], then: Callable[[Lives, str], None]
) -> Callable[[Lives, str], object]:
    """Something is deleted that cannot be, for want of what was deleted before."""

    def act(lives: Lives, tenant_id: str) -> None:
        first(lives, tenant_id)
        then(lives, tenant_id)
        lives.fleet.timeline.run_for(120)

    return act


def of_permissions(lives: Lives, tenant_id: str) -> None:
    take_permissions_away(lives.fleet, tenant_id)


def distrust_the_service_role(lives: Lives, tenant_id: str) -> None:
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
    lives.client("iam").update_assume_role_policy(
        RoleName=lives.fleet.names.service_role(lives.fleet.life(tenant_id)),
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )


def disable_usage(lives: Lives, tenant_id: str) -> None:
    disable_the_usage_key(lives.fleet, tenant_id)


def take_the_usage_key_out_of_its_plan(lives: Lives, tenant_id: str) -> None:
    gateway, key = lives.client("apigateway"), usage_key_of(lives, tenant_id)
    for plan in gateway.get_usage_plans(keyId=key)["items"]:
        gateway.delete_usage_plan_key(usagePlanId=plan["id"], keyId=key)


NONE, OLD, SOME = frozenset({Harm.NO_ANSWERS}), frozenset({Harm.WRONG_ANSWERS}), frozenset({Harm.DOCUMENTS_MISSING})
MISSING, EMPTIED, BROKEN = Disagreement.MISSING, Disagreement.EMPTIED, Disagreement.BROKEN
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
    "SERVICE_ROLE": Case(delete_the_service_role, MISSING, ResourceKind.SERVICE_ROLE, NONE),
    "USAGE_KEY": Case(delete_the_usage_key, MISSING, ResourceKind.USAGE_KEY, NONE),
    "EVENTS": Case(switch_events_off, Disagreement.CHANGED, ResourceKind.BUCKET, SOME),
    "KNOWLEDGE_BASE_DELETING": Case(begin_to_delete_the_knowledge_base, MISSING, ResourceKind.KNOWLEDGE_BASE, NONE),
    "DATA_SOURCE_DELETING": Case(begin_to_delete_the_data_source, MISSING, ResourceKind.DATA_SOURCE, OLD),
    "PERMISSIONS": Case(of_permissions, BROKEN, ResourceKind.SERVICE_ROLE, NONE | OLD),
    "PERMISSION_TO_READ": Case(keep_the_service_role_from_reading, BROKEN, ResourceKind.SERVICE_ROLE, OLD),
    "TRUST": Case(distrust_the_service_role, BROKEN, ResourceKind.SERVICE_ROLE, NONE | OLD),
    "USAGE_KEY_DISABLED": Case(disable_usage, BROKEN, ResourceKind.USAGE_KEY, NONE),
    "USAGE_KEY_IN_NO_PLAN": Case(take_the_usage_key_out_of_its_plan, BROKEN, ResourceKind.USAGE_KEY, NONE),
    "KNOWLEDGE_BASE_STUCK": Case(
        in_vain(of_permissions, begin_to_delete_the_knowledge_base),
        BROKEN,
        ResourceKind.KNOWLEDGE_BASE,
        NONE,
    ),
    "KNOWLEDGE_BASE_STUCK_WITHOUT_INDEX": Case(
        in_vain(of_content(Loss.INDEX), begin_to_delete_the_knowledge_base),
        BROKEN,
        ResourceKind.KNOWLEDGE_BASE,
        NONE,
    ),
    "DATA_SOURCE_STUCK": Case(
        in_vain(of_permissions, begin_to_delete_the_data_source), BROKEN, ResourceKind.DATA_SOURCE, NONE
    ),
    "DATA_SOURCE_STUCK_WITHOUT_INDEX": Case(
        in_vain(of_content(Loss.INDEX), begin_to_delete_the_data_source),
        BROKEN,
        ResourceKind.DATA_SOURCE,
        NONE,
    ),
}
OF_CONTENT = {ResourceKind.VECTOR_INDEX, ResourceKind.KNOWLEDGE_BASE, ResourceKind.DATA_SOURCE}
SEEN_BY_LISTS = {
    (MISSING, kind) for kind in (ResourceKind.VECTOR_INDEX, ResourceKind.KNOWLEDGE_BASE, ResourceKind.SERVICE_ROLE)
}
"""Within an hour, without anybody asking."""
SHOWN_BY_LISTS_FOR_A_WHILE = {"KNOWLEDGE_BASE_DELETING"}
OF_VECTORS = {"KNOWLEDGE_BASE_STUCK", "DATA_SOURCE_STUCK"} | {name for name in CASES if name.endswith("WITHOUT_INDEX")}
"""A knowledge base of type MANAGED needs its role for no store, and has no index."""
ON_ONE_STORE = {
    "SERVICE_ROLE",
    "EVENTS",
    "PERMISSION_TO_READ",
    *(name for name in CASES if "STUCK" in name or name.startswith("USAGE_KEY")),
}
"""What does not depend on the store is tried on one."""


def can_happen(store: str, name: str) -> bool:
    if name in Loss.__members__:
        return Loss[name] in losses_on(store)
    return store == "S3_VECTORS" or (name not in ON_ONE_STORE and not (store == "MANAGED" and name in OF_VECTORS))


EVERY = [(store, name) for store in TENANTS for name in CASES if can_happen(store, name)]
TRIED = [
    (store, name)
    for store, name in EVERY
    if store == "S3_VECTORS"
    or (store, name)
    in {("OPENSEARCH_SERVERLESS", "INDEX_REPLACED"), ("MANAGED", "DATA_SOURCE"), ("MANAGED", "PERMISSIONS")}
]
"""A sample; `make prove` tries them all."""


@contextmanager
def world() -> Iterator[VirtualFleet]:
    """A tenant with documents on each store, all of them answered from; nothing goes on."""
    with virtual_fleet(
        parameters=RARE_TICKS, safety_net_seconds=RARE_SCHEDULE_SECONDS, quotas=Quotas(requests_per_second={})
    ) as fleet:
        fleet.emulator._account.authority = IamRoles(fleet.client("iam"))
        for store, tenant_id in TENANTS.items():
            lives = Lives(fleet, store)
            lives.provisioned(tenant_id)
            upload(lives, tenant_id, DOCUMENTS)
            lives.sync(tenant_id)
        fleet.timeline.run_for(SEARCHABLE)
        for store, tenant_id in TENANTS.items():
            assert not departures_from_the_bucket(fleet, tenant_id)
            assert diagnosis(Lives(fleet, store), tenant_id)["well"]
        fleet.rest()
        yield fleet


@pytest.fixture(scope="module")
def prepared() -> Iterator[VirtualFleet]:
    with world() as fleet:
        yield fleet


Trial = Callable[[Lives, str], object]
Try = Callable[..., Any]


@pytest.fixture
def tried(prepared: VirtualFleet) -> Try:
    """Tries something with the tenant of a store, in a copy of the world."""

    def run(trial: Trial, store: str = "S3_VECTORS") -> object:
        return try_in_a_copy(prepared, trial, store)

    return run


def try_in_a_copy(fleet: VirtualFleet, trial: Trial, store: str) -> object:
    """Raises: CopyDied when it does not end well."""
    return in_copy(fleet, lambda copied: trial(Lives(copied, store), TENANTS[store]), within=REAL_SECONDS)


def lost(fleet: VirtualFleet, store: str, name: str) -> None:
    """That a loss is told alike everywhere, and its command brings all back. Raises: CopyDied when it does not."""
    try_in_a_copy(fleet, partial(is_told_and_brought_back, CASES[name], name), store)


# --- the surfaces ---


def answered(lives: Lives, function: str, event: dict[str, Any]) -> dict[str, Any]:
    answer = lives.fleet.invoke(function, event)
    assert answer["statusCode"] == 200, answer
    body: dict[str, Any] = json.loads(answer["body"])
    return body


def diagnosis(lives: Lives, tenant_id: str) -> dict[str, Any]:
    """What `kbfleet tenant show` shows."""
    return answered(lives, "ReconcileFunction", sample("get_diagnosis", tenant_id))


def reconciliation(lives: Lives, tenant_id: str) -> list[dict[str, Any]]:
    """What `kbfleet reconcile` and `kbfleet doctor` show."""
    asked = sample("post_reconciliation", tenant_id) | {"body": json.dumps({"tenant_id": tenant_id})}
    found: list[dict[str, Any]] = answered(lives, "ReconcileFunction", asked)["findings"]
    return found


def why(lives: Lives, tenant_id: str) -> dict[str, Any]:
    return answered(lives, "WhyFunction", sample("get_why", tenant_id) | queried(key="tents.md"))


def published(lives: Lives, tenant_id: str, kind: str = "Tenant Diagnosed") -> list[dict[str, Any]]:
    found = [event["Detail"] for event in lives.fleet.events if event["DetailType"] == kind]
    return [detail for detail in found if detail["tenant_id"] == tenant_id]


def said_in_slack(lives: Lives, details: Sequence[dict[str, Any]], kind: str = "Tenant Diagnosed") -> list[str]:
    """What the notifier posts to the webhook of these events, message by message."""
    with serving(Reply()) as webhook:
        arn = lives.fleet.deployment.value({"Fn::GetAtt": "SlackWebhookSecret.Id"})
        lives.client("secretsmanager").create_secret(Name=arn, SecretString=webhook.url)
        (record,) = sample("send_alert_tenant_diagnosed", "")["Records"]
        for number, detail in enumerate(details):
            body = json.loads(record["body"]) | {"detail-type": kind, "detail": detail}
            sent = {"Records": [record | {"messageId": str(number), "body": json.dumps(body)}]}
            assert lives.fleet.invoke("SendAlertFunction", sent) == {"batchItemFailures": []}
    # Not as Slack's markup has it: in a code block, nothing of a command is escaped.
    return [json.dumps(json.loads(body), ensure_ascii=False) for body in webhook.bodies]


def upload(lives: Lives, tenant_id: str, documents: dict[str, str]) -> None:
    for key, text in documents.items():
        lives.client("s3").put_object(Bucket=lives.bucket(tenant_id), Key=key, Body=text.encode())


def search_finds(lives: Lives, tenant_id: str, text: str) -> set[str]:
    found = lives.client("bedrock-agent-runtime").retrieve(
        **lives.knowledge_base(tenant_id),
        retrievalQuery={"text": text},
        retrievalConfiguration={"vectorSearchConfiguration": {"numberOfResults": 100}},
    )
    return {each["location"]["s3Location"]["uri"].rpartition("/")[2] for each in found["retrievalResults"]}


def is_whole(lives: Lives, tenant_id: str) -> None:
    """Once everything has come to its end."""
    lives.fleet.settle(tenant_id)
    lives.fleet.timeline.run_for(SEARCHABLE)
    assert not departures_from_the_bucket(lives.fleet, tenant_id)
    assert diagnosis(lives, tenant_id)["well"]


def added_once(lives: Lives, tenant_id: str) -> Execution:
    """`kbfleet tenant add`, and nothing behind it."""
    body = json.dumps({"knowledge_store": lives.store})
    name = lives.api("put_tenant", tenant_id, body=body)["execution"]
    (execution,) = (each for each in lives.executions("provision_tenant", tenant_id) if each.name == name)
    return lives.fleet.finish(execution)


# --- what kbfleet brings back ---


@pytest.mark.parametrize(("store", "name"), TRIED)
def test_a_loss_is_told_alike_everywhere_and_its_command_brings_all_back(
    prepared: VirtualFleet, store: str, name: str
) -> None:
    lost(prepared, store, name)


def is_told_and_brought_back(case: Case, name: str, lives: Lives, tenant_id: str) -> None:
    told = len(published(lives, tenant_id))
    case.act(lives, tenant_id)
    if (case.disagreement, case.kind) in SEEN_BY_LISTS and name not in SHOWN_BY_LISTS_FOR_A_WHILE:
        lives.fleet.invoke("ReconcileFunction", HOURLY)
        assert len(published(lives, tenant_id)) == told + 1

    # `tenant show`, `reconcile` and `doctor` (which asks as `reconcile` does) have the same finding.
    shown = diagnosis(lives, tenant_id)
    (finding, *_) = shown["findings"]
    assert (finding["disagreement"], finding["kind"]) == (case.disagreement, case.kind), shown
    assert finding["harm"] in case.harm
    rebuilt = case.kind in OF_CONTENT
    assert finding["command"] == f"kbfleet tenant {'rebuild' if rebuilt else 'add'} {tenant_id}"
    reported = reconciliation(lives, tenant_id)
    assert finding in reported, reported
    # No other finding contradicts its sentence about answers.
    assert not [each for each in reported if each["harm"] == Harm.MACHINERY_ONLY], reported
    # `why` does not contradict it, and proposes nothing that deletes.
    advice = " ".join(hop["advice"] for hop in why(lives, tenant_id)["hops"])
    assert "offboard" not in advice
    # Slack: its sentence, its command.
    told_then = published(lives, tenant_id)[told:]
    (message, *_) = said_in_slack(lives, told_then[:1])
    cause = Finding(case.disagreement, case.kind, "", TenantId(tenant_id)).cause
    assert f"{tenant_id}: {cause}" in message
    assert Harm(finding["harm"]).sentence in message
    assert f"{finding['command']} --stack" in message

    # The command is run, and all that was answered from is answered from again.
    if rebuilt:
        added = added_once(lives, tenant_id)
        assert added.status == "SUCCEEDED" or added.failures[-1][1] == "KnowledgeLost", added.failures
    execution = lives.fleet.finish(lives.rebuild(tenant_id, keep_hours=0)) if rebuilt else added_once(lives, tenant_id)
    assert execution.status == "SUCCEEDED", (execution.failures[-2:], lives.fleet.tenant(tenant_id))
    lives.fleet.settle(tenant_id)
    lives.fleet.timeline.run_for(SEARCHABLE)
    assert not departures_from_the_bucket(lives.fleet, tenant_id)
    assert kbfleet.bootstrap.registry().get(TenantId(tenant_id)).losses
    if rebuilt:
        what_is_kept_goes(lives, tenant_id)
    elif (case.disagreement, case.kind) in SEEN_BY_LISTS:
        lives.fleet.invoke("ReconcileFunction", HOURLY)
    assert diagnosis(lives, tenant_id)["well"]
    assert not kbfleet.bootstrap.registry().get(TenantId(tenant_id)).losses
    (*_, over) = published(lives, tenant_id)
    assert (over["losses"], over["seen"]) == ([], True)


def test_a_sync_that_fails_for_a_changed_role_is_one_message_and_goes_on_by_its_command(tried: Try) -> None:
    tried(a_sync_fails_for_a_changed_role)


def a_sync_fails_for_a_changed_role(lives: Lives, tenant_id: str) -> None:
    role = lives.fleet.names.service_role(lives.fleet.life(tenant_id))
    denied = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": ["s3:*"], "Resource": "*"}]}
    lives.client("iam").put_role_policy(RoleName=role, PolicyName="denied", PolicyDocument=json.dumps(denied))
    upload(lives, tenant_id, {"new.md": "A kayak is rented by the hour."})
    lives.sync(tenant_id)
    changes = [event["Detail"] for event in lives.fleet.events if event["DetailType"] == "Ingestion Job State Change"]
    failed = [each for each in changes if each["tenant_id"] == tenant_id][-1]
    assert (failed["outcome"], failed["final"]) == ("FAILED", True)
    lives.collect(tenant_id)
    (message,) = said_in_slack(lives, published(lives, tenant_id))
    assert f"{tenant_id}: the service role is set otherwise than it should be" in message
    assert "s3:ListBucket" in message
    assert f"kbfleet tenant add {tenant_id} --stack" in message

    assert added_once(lives, tenant_id).status == "SUCCEEDED"
    is_whole(lives, tenant_id)


def what_is_kept_goes(lives: Lives, tenant_id: str) -> None:
    """What was lost, once nobody answers from it any more."""
    lives.fleet.timeline.run_for(1_000)
    lives.fleet.invoke("ReconcileFunction", HOURLY)
    lives.fleet.finish(*lives.executions("rebuild_tenant", tenant_id))
    tenant = lives.fleet.tenant(tenant_id)
    assert tenant is not None
    assert (tenant.knowledge, tenant.beside) == (2, None)


# --- what it costs to look at a loss that stays ---


def test_a_loss_that_stays_is_searched_ten_times_a_day_at_most(tried: Try) -> None:
    def trial(lives: Lives, tenant_id: str) -> None:
        lose(lives.fleet, lives.store, tenant_id, Loss.INDEX_REPLACED)
        base, searches = str(lives.knowledge_base(tenant_id)["knowledgeBaseId"]), list[int]()
        for _ in range(7):  # times four hours
            before = len(lives.fleet.calls.made)
            for _ in range(3):
                lives.fleet.invoke("ReconcileFunction", HOURLY)
                lives.collect(tenant_id, status="FAILED", outcome="FAILED", final=True)
            made = lives.fleet.calls.made[before:]
            searches.append(sum(call.operation == "Retrieve" and base in call.resource for call in made))
            lives.fleet.timeline.run_for(4 * 3_600)
        assert searches[0] >= 2
        assert max(sum(searches[:6]), sum(searches[1:])) <= 10
        # It is told all the same, and whoever asks is told at once.
        assert [loss["kind"] for loss in published(lives, tenant_id)[-1]["losses"]] == [ResourceKind.VECTOR_INDEX]
        assert not diagnosis(lives, tenant_id)["unseen"]

    tried(trial)


# --- what kbfleet alone cannot bring back ---


def test_a_lost_bucket_is_told_with_what_only_its_owner_can_do_and_takes_no_answer_away(tried: Try) -> None:
    tried(a_lost_bucket_is_told)


def a_lost_bucket_is_told(lives: Lives, tenant_id: str) -> None:
    delete_bucket(lives.fleet, lives.bucket(tenant_id))
    lives.fleet.invoke("ReconcileFunction", HOURLY)
    (*_, event) = published(lives, tenant_id)
    (loss,) = event["losses"]
    assert (loss["kind"], loss["harm"]) == ("bucket", Harm.WRONG_ANSWERS)
    (message,) = said_in_slack(lives, [event])
    assert "only a backup brings them back" in message
    assert Harm.WRONG_ANSWERS.sentence in message
    traced = why(lives, tenant_id)
    assert traced["stuck_at"] == "OBJECT"
    assert "only a backup brings them back" in traced["hops"][-1]["advice"]

    lives.provisioned(tenant_id)  # the command of the message
    lives.api("post_sync", tenant_id)
    lives.fleet.settle(tenant_id)
    assert lives.fleet.sync(tenant_id).hold is not None
    for key, text in DOCUMENTS.items():
        assert key in search_finds(lives, tenant_id, text)
    (finding,) = diagnosis(lives, tenant_id)["findings"]
    assert (finding["disagreement"], finding["harm"], finding["command"]) == (
        "HELD",
        "WRONG_ANSWERS",
        f"kbfleet sync start {tenant_id} --accept-deletions {ALL}",
    )
    assert reconciliation(lives, tenant_id) == [finding]

    upload(lives, tenant_id, DOCUMENTS)  # from the backup
    lives.api("post_sync", tenant_id, body=accepting(ALL))
    is_whole(lives, tenant_id)
    assert lives.fleet.sync(tenant_id).hold is None


def accepting(deletions: int) -> str:
    return json.dumps({"accept_deletions": deletions})


@pytest.mark.parametrize("restored", [True, False], ids=["with the documents back", "with none"])
def test_a_bucket_and_a_data_source_that_are_lost_together_drop_nothing_unasked(tried: Try, *, restored: bool) -> None:
    tried(partial(nothing_is_dropped_unasked, restored))


def nothing_is_dropped_unasked(restored: bool, lives: Lives, tenant_id: str) -> None:
    fleet = lives.fleet
    delete_bucket(fleet, lives.bucket(tenant_id))
    lose(fleet, lives.store, tenant_id, Loss.DATA_SOURCE_RETAINED)
    fleet.invoke("ReconcileFunction", HOURLY)

    # The command of the message makes the bucket again, and names the other one.
    added = added_once(lives, tenant_id)
    assert added.failures[-1] == ("Ensure Data Source", "KnowledgeLost")
    tenant = fleet.tenant(tenant_id)
    assert tenant is not None
    assert tenant.failure is not None
    assert f"`kbfleet tenant rebuild {tenant_id}`" in tenant.failure.reason
    if restored:
        upload(lives, tenant_id, DOCUMENTS)
    else:
        rebuilt_in_vain(lives, tenant_id, "documents would go")
        lives.api("post_sync", tenant_id)
        fleet.settle(tenant_id)
        hold = fleet.sync(tenant_id).hold
        assert hold is not None
        lives.api("post_sync", tenant_id, body=accepting(hold.missing))
        fleet.settle(tenant_id)
    assert fleet.finish(lives.rebuild(tenant_id, keep_hours=0)).status == "SUCCEEDED"
    fleet.settle(tenant_id)
    fleet.timeline.run_for(SEARCHABLE)
    assert not departures_from_the_bucket(fleet, tenant_id)
    for key, text in DOCUMENTS.items():
        assert (key in search_finds(lives, tenant_id, text)) is restored
    what_is_kept_goes(lives, tenant_id)
    added_once(lives, tenant_id)
    assert diagnosis(lives, tenant_id)["well"]


def rebuilt_in_vain(lives: Lives, tenant_id: str, why: str) -> None:
    assert lives.fleet.finish(lives.rebuild(tenant_id, keep_hours=0)).status == "SUCCEEDED"
    tenant = lives.fleet.tenant(tenant_id)
    assert tenant is not None
    assert tenant.knowledge == 1
    assert tenant.beside is not None
    assert tenant.beside.comparison is not None
    assert why in " ".join(tenant.beside.comparison.refusals)
    assert all(key in search_finds(lives, tenant_id, text) for key, text in DOCUMENTS.items())


def test_a_vector_bucket_that_is_lost_is_one_finding_of_the_fleet(tried: Try) -> None:
    tried(a_lost_vector_bucket_is_one_finding)


def a_lost_vector_bucket_is_one_finding(lives: Lives, tenant_id: str) -> None:
    fleet, other = lives.fleet, "sakura"
    lives.provisioned(other)
    name = lose_the_vector_bucket(lives)
    fleet.invoke("ReconcileFunction", HOURLY)
    report = answered(lives, "ReconcileFunction", sample("post_reconciliation", tenant_id) | {"body": "{}"})
    (loss,) = report["shared_losses"]
    assert (loss["kind"], loss["harm"], loss["command"]) == (
        "knowledge store",
        "NO_ANSWERS",
        "kbfleet reconcile --repair",
    )
    assert report["unlisted"] == []
    assert {(each["tenant_id"], each["kind"]) for each in report["findings"]} == {
        (tenant_id, "knowledge store"),
        (other, "knowledge store"),
    }
    assert [each["kind"] for each in diagnosis(lives, other)["findings"]] == ["knowledge store"]
    told = [event["Detail"] for event in fleet.events if event["DetailType"] == "Fleet Diagnosed"]
    assert told
    assert all(each["losses"] == [{"kind": "knowledge store", "name": "S3_VECTORS"}] for each in told)
    assert not published(lives, other)

    # What the page of the runbook says; then the command.
    lives.client("s3vectors").create_vector_bucket(vectorBucketName=name)
    repair = sample("post_reconciliation", tenant_id) | {"body": '{"repair": true}'}
    assert set(answered(lives, "ReconcileFunction", repair)["repairs"]) == {tenant_id, other}
    fleet.timeline.run_for(1_200)
    for each in (tenant_id, other):
        is_whole(lives, each)


def lose_the_vector_bucket(lives: Lives) -> str:
    vectors = lives.client("s3vectors")
    (name,) = (each["vectorBucketName"] for each in vectors.list_vector_buckets()["vectorBuckets"])
    for index in vectors.list_indexes(vectorBucketName=name)["indexes"]:
        vectors.delete_index(vectorBucketName=name, indexName=index["indexName"])
    vectors.delete_vector_bucket(vectorBucketName=name)
    return str(name)


MANY = {
    f"rule-{number:02}.md": f"Rule {number}: a tent for {number} is rented for {number * 3} days."
    for number in range(12)
}


@pytest.mark.parametrize("kept", [0, 1, 7], ids=["all", "all but one", "more than half"])
def test_documents_that_are_deleted_go_on_to_answer_until_somebody_accepts_that(tried: Try, kept: int) -> None:
    tried(partial(deleted_documents_go_on_to_answer, kept))


def deleted_documents_go_on_to_answer(kept: int, lives: Lives, tenant_id: str) -> None:
    more = {**MANY, **{f"more-{key}": f"More: {text}" for key, text in MANY.items()}} if kept > 1 else MANY
    documents = {**more, **DOCUMENTS, FIRST_DOCUMENT: "Snow shoes are rented for eleven days."}
    upload(lives, tenant_id, documents)
    lives.sync(tenant_id)
    s3, bucket = lives.client("s3"), lives.bucket(tenant_id)
    gone = list(documents)[kept:]
    for key in gone:
        s3.delete_object(Bucket=bucket, Key=key)
    lives.api("post_sync", tenant_id)
    lives.fleet.settle(tenant_id)
    hold = lives.fleet.sync(tenant_id).hold
    assert hold is not None
    assert hold.missing == len(gone)
    (held,) = published(lives, tenant_id, "Sync Held")
    (message,) = said_in_slack(lives, [held], "Sync Held")
    assert f"kbfleet sync start {tenant_id} --accept-deletions {len(gone)} --stack" in message
    assert "Put the documents back" in message
    assert all(key in search_finds(lives, tenant_id, documents[key]) for key in gone[:3])

    # What the message says first.
    for marker in s3.list_object_versions(Bucket=bucket)["DeleteMarkers"]:
        s3.delete_object(Bucket=bucket, Key=marker["Key"], VersionId=marker["VersionId"])
    lives.api("post_sync", tenant_id)
    is_whole(lives, tenant_id)
    assert lives.fleet.sync(tenant_id).hold is None


def test_the_last_versions_of_documents_that_are_deleted_can_be_accepted(tried: Try) -> None:
    """No version is left to be put back: what the message says for that case."""

    def trial(lives: Lives, tenant_id: str) -> None:
        s3, bucket = lives.client("s3"), lives.bucket(tenant_id)
        for each in s3.list_object_versions(Bucket=bucket)["Versions"]:
            s3.delete_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])
        lives.api("post_sync", tenant_id)
        lives.fleet.settle(tenant_id)
        (held,) = published(lives, tenant_id, "Sync Held")
        (message,) = said_in_slack(lives, [held], "Sync Held")
        assert f"--accept-deletions {ALL} --stack" in message
        lives.api("post_sync", tenant_id, body=accepting(ALL))
        is_whole(lives, tenant_id)
        assert not search_finds(lives, tenant_id, DOCUMENTS["tents.md"])

    tried(trial)


# --- what takes no answer away ---


def delete_old_versions(lives: Lives, tenant_id: str) -> None:
    s3, bucket = lives.client("s3"), lives.bucket(tenant_id)
    upload(lives, tenant_id, {key: f"{text} Anew." for key, text in DOCUMENTS.items()})
    lives.sync(tenant_id)
    for each in s3.list_object_versions(Bucket=bucket)["Versions"]:
        if not each["IsLatest"]:
            s3.delete_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])


def delete_the_policy(lives: Lives, tenant_id: str) -> None:
    lives.client("s3").delete_bucket_policy(Bucket=lives.bucket(tenant_id))


def replace_the_policy(lives: Lives, tenant_id: str) -> None:
    bucket = lives.bucket(tenant_id)
    reading = {"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "s3:GetObject"}
    policy = {"Version": "2012-10-17", "Statement": [{**reading, "Resource": f"arn:aws:s3:::{bucket}/*"}]}
    lives.client("s3").put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


def suspend_versioning(lives: Lives, tenant_id: str) -> None:
    lives.client("s3").put_bucket_versioning(
        Bucket=lives.bucket(tenant_id), VersioningConfiguration={"Status": "Suspended"}
    )


def untag(lives: Lives, tenant_id: str) -> None:
    lives.client("s3").delete_bucket_tagging(Bucket=lives.bucket(tenant_id))


def admit_the_public(lives: Lives, tenant_id: str) -> None:
    lives.client("s3").delete_public_access_block(Bucket=lives.bucket(tenant_id))


def keep_parts_of_uploads(lives: Lives, tenant_id: str) -> None:
    lives.client("s3").delete_bucket_lifecycle(Bucket=lives.bucket(tenant_id))


def test_old_versions_that_are_deleted_are_no_loss(tried: Try) -> None:
    def trial(lives: Lives, tenant_id: str) -> None:
        delete_old_versions(lives, tenant_id)
        lives.api("post_sync", tenant_id)
        is_whole(lives, tenant_id)

    tried(trial)


@pytest.mark.parametrize(
    "act",
    [delete_the_policy, replace_the_policy, suspend_versioning, untag, admit_the_public, keep_parts_of_uploads],
)
def test_a_setting_that_takes_no_answer_away_is_told_and_tenant_add_sets_it_right(
    tried: Try, act: Callable[[Lives, str], None]
) -> None:
    def trial(lives: Lives, tenant_id: str) -> None:
        s3, bucket = lives.client("s3"), lives.bucket(tenant_id)
        policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
        act(lives, tenant_id)
        told = len(published(lives, tenant_id))
        (finding,) = diagnosis(lives, tenant_id)["findings"]
        assert (finding["disagreement"], finding["kind"], finding["harm"], finding["command"]) == (
            Disagreement.CHANGED,
            ResourceKind.BUCKET,
            Harm.MACHINERY_ONLY,
            f"kbfleet tenant add {tenant_id}",
        )
        assert reconciliation(lives, tenant_id) == [finding]
        assert len(published(lives, tenant_id)) == told  # nobody is woken up for it
        added_once(lives, tenant_id)
        is_whole(lives, tenant_id)
        assert all(each in json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"] for each in policy)
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"

    tried(trial)


# --- what is lost of the table ---


def in_the_table(lives: Lives, tenant_id: str, sort_key: str) -> tuple[Any, str, list[dict[str, Any]]]:
    """The tenant's items whose sort keys have that in them."""
    table = lives.client("dynamodb")
    (name,) = table.list_tables()["TableNames"]
    found = table.scan(TableName=name)["Items"]
    own = [each for each in found if each["PK"]["S"] == f"TENANT#{tenant_id}" and sort_key in each["SK"]["S"]]
    return table, name, own


def test_a_tenant_whose_record_is_lost_is_taken_up_with_all_that_it_has(tried: Try) -> None:
    tried(a_lost_record_is_taken_up)


def a_lost_record_is_taken_up(lives: Lives, tenant_id: str) -> None:
    table, name, (record,) = in_the_table(lives, tenant_id, "PROFILE")
    table.delete_item(TableName=name, Key={"PK": record["PK"], "SK": record["SK"]})
    asked = sample("post_reconciliation", tenant_id) | {"body": "{}"}
    reported = answered(lives, "ReconcileFunction", asked)["findings"]
    assert {each["disagreement"] for each in reported} == {Disagreement.UNEXPLAINED}
    command = f"kbfleet tenant add {tenant_id} --knowledge-store {lives.store}"
    assert all(command in each["advice"] for each in reported)
    lives.provisioned(tenant_id)
    is_whole(lives, tenant_id)


@pytest.mark.parametrize(
    "lacking",
    [
        {"knowledge_base_id"},
        {"data_source_id"},
        {"bucket_name"},
        {"knowledge_store_reference"},
        {"knowledge_base_id", "data_source_id"},
    ],
    ids=lambda lacking: " and ".join(sorted(lacking)),
)
def test_a_record_that_somebody_has_half_deleted_is_completed_by_tenant_add(tried: Try, lacking: set[str]) -> None:
    def trial(lives: Lives, tenant_id: str) -> None:
        table, name, (record,) = in_the_table(lives, tenant_id, "PROFILE")
        left = {key: value for key, value in record.items() if key not in lacking}
        assert len(left) == len(record) - len(lacking)
        table.put_item(TableName=name, Item=left)
        reconciliation(lives, tenant_id)
        lives.provisioned(tenant_id)
        is_whole(lives, tenant_id)

    tried(trial)


def test_a_tenant_whose_ledger_entry_is_lost_is_synced_anew(tried: Try) -> None:
    def trial(lives: Lives, tenant_id: str) -> None:
        table, name, entries = in_the_table(lives, tenant_id, "SYNC")
        assert entries
        for entry in entries:
            table.delete_item(TableName=name, Key={"PK": entry["PK"], "SK": entry["SK"]})
        lives.provisioned(tenant_id)
        is_whole(lives, tenant_id)
        assert lives.fleet.sync(tenant_id).synced_generation > 0

    tried(trial)
