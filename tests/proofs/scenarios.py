"""Workflows to crash: what to prepare, what to do, and what must be true afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import kbfleet.bootstrap
from kbfleet.contracts.events import SYNC_HELD
from kbfleet.domain.errors import TenantNotActive
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.names import TenantId
from kbfleet.domain.profiles import (
    Answering,
    Chunking,
    ChunkingKind,
    Embedding,
    Ingestion,
    Parser,
    ParserKind,
    Profile,
    ProfileName,
)
from tests.proofs.converged import departures
from tests.proofs.erased import remains
from tests.support.api_requests import api_request
from tests.support.losses import Loss, departures_from_the_bucket, lose, losses_on
from tests.support.slowness import AS_REPORTED, Slowness
from tests.support.state_machine import Execution, TaskFailed
from tests.support.tenant_lives import Lives
from tests.support.troubles import tell_of_trouble
from tests.support.virtual_fleet import AN_HOUR, VirtualFleet, provisioning_request

TENANT = "acme"
NEIGHBOUR = "bolt"
_A_DAY = 24 * AN_HOUR


def _nothing(_fleet: VirtualFleet) -> None:
    pass


def _nothing_wrong(_fleet: VirtualFleet) -> list[str]:
    return []


@dataclass(frozen=True)
class Scenario:
    """A workflow to crash.

    Args:
        source: the expression in this module that gives this scenario, to repeat a failure with.
        prepare: brings the world to where the workflow begins, with nothing on its way.
        start: starts an execution of it. The same again must bring everything in order.
        check: what is wrong afterwards, in sentences.
        check_meanwhile: what is wrong between the crash and the next run.
        crashed: the functions at whose calls it is crashed; all if there are none.
        slowness: of AWS.
        first_documents: whether each bucket has a document from the beginning.
        refusals: failures, by state and error, by which the next run says that nothing is left to do.
    """

    name: str
    source: str
    start: Callable[[VirtualFleet], Execution]
    check: Callable[[VirtualFleet], list[str]]
    tenants: tuple[str, ...] = (TENANT,)
    prepare: Callable[[VirtualFleet], None] = _nothing
    check_meanwhile: Callable[[VirtualFleet], list[str]] = _nothing_wrong
    refusals: frozenset[tuple[str, str]] = frozenset()
    crashed: frozenset[str] = frozenset()
    slowness: Slowness = AS_REPORTED
    first_documents: bool = True


def stores() -> list[str]:
    """Every type of knowledge store that there is."""
    return list(kbfleet.bootstrap.KNOWLEDGE_STORES)


def scenarios(store: str) -> list[Scenario]:
    return [
        provisioning(store),
        provisioning_without_documents(store),
        provisioning_by_a_profile(store),
        provisioning_again(store),
        offboarding(store),
        offboarding_while_rebuilt(store),
        offboarding_when_due(store),
        held_sync(store),
        rebuilding(store),
        stopping_a_rebuild(store),
        rolling_back(store),
        *([rebuilding_in_anothers_room(store)] if has_little_room(store) else []),
    ]


def restorations(store: str) -> list[Scenario]:
    """Of each loss that can happen there, by a rebuild; and of a tenant with a profile. Of one, that provisioning makes
    nothing in its place."""
    return [
        *(rebuilding_after(store, loss) for loss in losses_on(store)),
        rebuilding_by_a_profile_after(store, Loss.DATA_SOURCE),
        refusing_after(store, Loss.DATA_SOURCE),
    ]


def has_little_room(store: str) -> bool:
    """Whether candidates may have to wait there for what others have kept."""
    return kbfleet.bootstrap.store_types()[store].kind is KnowledgeBaseKind.VECTOR


LONGEST = Slowness(managed_knowledge_base=(124.0, 124.0), managed_data_source=(300.0, 300.0))

# --- a new tenant --------------------------------------------------------------------------------


@cache
def provisioning(store: str) -> Scenario:
    """A new tenant on that knowledge store."""
    return Scenario(
        "provisioning",
        f"provisioning({store!r})",
        partial(_start_provisioning, store),
        partial(_check_provisioned, {TENANT: store}),
        slowness=LONGEST,
    )


@cache
def provisioning_without_documents(store: str) -> Scenario:
    """A new tenant on that knowledge store, who has nothing to read yet."""
    return replace(
        provisioning(store),
        name="provisioning without documents",
        source=f"provisioning_without_documents({store!r})",
        first_documents=False,
    )


@cache
def provisioning_by_a_profile(store: str) -> Scenario:
    """A new tenant whose knowledge is made otherwise than the stack's parameters say."""
    return replace(
        provisioning(store),
        name="provisioning by a profile",
        source=f"provisioning_by_a_profile({store!r})",
        prepare=partial(_put_a_profile, store),
        start=_start_provisioning_by_a_profile,
    )


_OFFICE = ProfileName("office")


_PARSER = "apac.amazon.nova-pro-v1:0"
_CHUNKING = {
    "S3_VECTORS": Chunking(ChunkingKind.SEMANTIC, max_tokens=200, buffer_size=1, breakpoint_percentile=90),
    "OPENSEARCH_SERVERLESS": Chunking(
        ChunkingKind.HIERARCHICAL, parent_tokens=900, child_tokens=200, overlap_tokens=20
    ),
    "MANAGED": Chunking(ChunkingKind.FIXED_SIZE, max_tokens=200, overlap_percentage=10),
}
"""As far from the default as each takes it."""


def _put_a_profile(store: str, _fleet: VirtualFleet) -> None:
    if store == "MANAGED":
        embedding, parser = Embedding(), Parser(ParserKind.SMART)
    else:
        embedding = Embedding("amazon.titan-embed-text-v2:0", 512)
        parser = Parser(ParserKind.FOUNDATION_MODEL, _PARSER, "Tables as Markdown.")
    ingestion = Ingestion(store, embedding, parser, _CHUNKING[store])
    records = kbfleet.bootstrap.profile_records()
    records.enlist(_OFFICE)
    records.add(Profile(_OFFICE, 1, ingestion, Answering("apac.amazon.nova-lite-v1:0")))


def _start_provisioning_by_a_profile(fleet: VirtualFleet) -> Execution:
    return fleet.start("provision_tenant", {"tenant_id": TENANT, "profile": {"name": _OFFICE, "version": 1}})


def _provisioned_by_a_profile(fleet: VirtualFleet, store: str, tenant_id: str) -> None:
    _put_a_profile(store, fleet)
    execution = fleet.finish(_start_provisioning_by_a_profile(fleet))
    fleet.settle(tenant_id)
    assert execution.status == "SUCCEEDED", execution.failures


def _start_provisioning(store: str, fleet: VirtualFleet) -> Execution:
    return fleet.start("provision_tenant", provisioning_request(TENANT, store))


def _check_provisioned(tenants: Mapping[str, str], fleet: VirtualFleet) -> list[str]:
    return departures(fleet, tenants)


def _provisioned(fleet: VirtualFleet, store: str, *tenant_ids: str) -> None:
    executions = [fleet.start("provision_tenant", provisioning_request(each, store)) for each in tenant_ids]
    fleet.finish(*executions)
    fleet.settle(*tenant_ids)
    assert all(execution.status == "SUCCEEDED" for execution in executions), [each.failures for each in executions]


# --- an active tenant ----------------------------------------------------------------------------


@cache
def provisioning_again(store: str) -> Scenario:
    """An active tenant whose resources are not any more what they should be."""
    return Scenario(
        "provisioning an active tenant again",
        f"provisioning_again({store!r})",
        partial(_start_provisioning, store),
        partial(_check_provisioned_again, store),
        prepare=partial(_prepare_drift, store),
        check_meanwhile=_not_in_service,
    )


def _prepare_drift(store: str, fleet: VirtualFleet) -> None:
    _provisioned(fleet, store, TENANT)
    tenant = fleet.tenant(TENANT)
    assert tenant is not None
    s3, agent = fleet.client("s3"), fleet.client("bedrock-agent")
    s3.delete_bucket_policy(Bucket=tenant.bucket_name)
    s3.delete_bucket_tagging(Bucket=tenant.bucket_name)
    described = agent.get_knowledge_base(knowledgeBaseId=tenant.knowledge_base_id)["knowledgeBase"]
    agent.untag_resource(resourceArn=described["knowledgeBaseArn"], tagKeys=list(fleet.names.tags(fleet.life(TENANT))))
    members = ("knowledgeBaseId", "name", "roleArn", "knowledgeBaseConfiguration", "storageConfiguration")
    kept = {name: described[name] for name in members if name in described}
    agent.update_knowledge_base(**kept, description="Somebody else's words")
    # Its service role is nobody's business any more: without a boundary, and trusting Bedrock for all of the account.
    iam, role = fleet.client("iam"), {"RoleName": fleet.names.service_role(fleet.life(TENANT))}
    (trust,) = iam.get_role(**role)["Role"]["AssumeRolePolicyDocument"]["Statement"]
    opened = json.dumps({"Version": "2012-10-17", "Statement": [{**trust, "Condition": {}}]})
    iam.update_assume_role_policy(**role, PolicyDocument=opened)
    boundary = fleet.deployment.property("ServiceRoleBoundary", "PolicyDocument")
    iam.put_role_policy(**role, PolicyName="more", PolicyDocument=json.dumps(boundary))
    iam.attach_role_policy(**role, PolicyArn=fleet.deployment.value({"Ref": "ServiceRoleBoundary"}))
    iam.delete_role_permissions_boundary(**role)
    # What the knowledge base reads is not the tenant's bucket, and not only that.
    port, names = kbfleet.bootstrap.stores()[store], {"knowledgeBaseId": str(tenant.knowledge_base_id)}
    foreign = port.data_source_configuration(fleet.names.bucket(fleet.life(NEIGHBOUR)))
    fleet.timeline.run_for(60)
    agent.update_data_source(
        **names, dataSourceId=tenant.data_source_id, name="documents", dataSourceConfiguration=foreign
    )
    agent.create_data_source(**names, name="quick-test", dataSourceConfiguration=foreign)
    fleet.timeline.run_for(600)


def _check_provisioned_again(store: str, fleet: VirtualFleet) -> list[str]:
    return [*_not_in_service(fleet), *departures(fleet, {TENANT: store})]


def _not_in_service(fleet: VirtualFleet) -> list[str]:
    """Whether the tenant could not be asked, now or at any time since it became active."""
    statuses = [profile.status for profile in fleet.stored]
    since = statuses[statuses.index("ACTIVE") :]
    wrong = [f"the record has been {status}" for status in since if status != "ACTIVE"]
    try:
        knowledge_base_id = kbfleet.bootstrap.registry().get(TenantId(TENANT)).askable()
    except TenantNotActive as error:
        return [*wrong, str(error)]
    # MANAGED knowledge bases give no answers, passages only: what every type can be asked for.
    query = {"text": "What does it say?"}
    fleet.client("bedrock-agent-runtime").retrieve(knowledgeBaseId=knowledge_base_id, retrievalQuery=query)
    return wrong


# --- a tenant whose documents are gone -----------------------------------------------------------


@cache
def held_sync(store: str) -> Scenario:
    """An active tenant whose only document was deleted, and of whom an operator requests a sync."""
    return Scenario(
        "the check that holds a sync",
        f"held_sync({store!r})",
        partial(_request_a_sync, store),
        _check_held,
        prepare=partial(_prepare_emptied, store),
        crashed=frozenset({"CheckDeletionsFunction"}),
        first_documents=False,
    )


def _prepare_emptied(store: str, fleet: VirtualFleet) -> None:
    _provisioned(fleet, store, TENANT)
    s3, bucket = fleet.client("s3"), fleet.names.bucket(fleet.life(TENANT))
    s3.put_object(Bucket=bucket, Key="kept.txt", Body=b"A text.")
    _request_a_sync(store, fleet)
    fleet.settle(TENANT)
    fleet.timeline.run_for(60)
    s3.delete_object(Bucket=bucket, Key="kept.txt")
    assert _jobs(fleet) == 2


def _request_a_sync(store: str, fleet: VirtualFleet) -> Execution:
    """As an operator does, who has the tenant converged, too."""
    synced = api_request("POST", "/tenants/{tenant_id}/syncs", query={}, tenant_id=TENANT)
    assert fleet.invoke("TenantsFunction", synced)["statusCode"] == 202
    return _start_provisioning(store, fleet)


def _jobs(fleet: VirtualFleet) -> int:
    tenant = fleet.tenant(TENANT)
    assert tenant is not None
    names = {"knowledgeBaseId": tenant.knowledge_base_id, "dataSourceId": tenant.data_source_id}
    return len(fleet.client("bedrock-agent").list_ingestion_jobs(**names)["ingestionJobSummaries"])


def _check_held(fleet: VirtualFleet) -> list[str]:
    wrong = []
    if fleet.sync(TENANT).hold is None:
        wrong.append("no sync is held")
    if (jobs := _jobs(fleet)) != 2:
        wrong.append(f"{jobs} jobs have run, and two were asked for that delete nothing")
    if not any(event["DetailType"] == SYNC_HELD for event in fleet.events):
        wrong.append("nobody was told")
    return wrong


# --- a tenant that has lost its content ---


@cache
def refusing_after(store: str, loss: Loss) -> Scenario:
    """A tenant that has lost what it was answered from, and is provisioned: nothing is made in its place."""
    return Scenario(
        f"provisioning after the loss of {loss}",
        f"refusing_after({store!r}, Loss.{loss.name})",
        partial(_start_provisioning, store),
        partial(_check_nothing_made, store),
        prepare=partial(_prepare_loss, store, loss),
        refusals=frozenset(
            (f"Ensure {what}", "KnowledgeLost") for what in ("Knowledge Store", "Knowledge Base", "Data Source")
        ),
    )


def _check_nothing_made(store: str, fleet: VirtualFleet) -> list[str]:
    """And a rebuild then brings all of it back."""
    execution = fleet.finish(_rebuild(fleet, keep_hours=0))
    wrong = [] if execution.status == "SUCCEEDED" else [f"the rebuild ended {execution.status}: {execution.failures}"]
    fleet.settle(TENANT)
    # Which takes the failure out of the record.
    fleet.finish(_start_provisioning(store, fleet))
    return [*wrong, *_check_rebuilt(store, fleet)]


@cache
def rebuilding_by_a_profile_after(store: str, loss: Loss) -> Scenario:
    """A tenant whose knowledge is made otherwise than the stack's parameters say, and is to be made so again."""
    return replace(
        rebuilding_after(store, loss),
        name=f"a rebuild after the loss of {loss}, by a profile",
        source=f"rebuilding_by_a_profile_after({store!r}, Loss.{loss.name})",
        prepare=partial(_prepare_loss, store, loss, provisioned=_provisioned_by_a_profile),
    )


def _prepare_loss(
    store: str,
    loss: Loss,
    fleet: VirtualFleet,
    *,
    provisioned: Callable[[VirtualFleet, str, str], None] = _provisioned,
) -> None:
    provisioned(fleet, store, TENANT)
    s3, bucket = fleet.client("s3"), fleet.names.bucket(fleet.life(TENANT))
    _read(fleet, _DOCUMENTS)
    assert not departures_from_the_bucket(fleet, TENANT)
    lose(fleet, store, TENANT, loss)
    s3.delete_object(Bucket=bucket, Key="withdrawn.txt")
    s3.put_object(Bucket=bucket, Key="added.txt", Body=b"The ferry to the island leaves at noon.")
    if loss is Loss.INDEX_REPLACED:
        # Which brings what is new, and ends well.
        assert fleet.invoke("TenantsFunction", _SYNC)["statusCode"] == 202
        fleet.settle(TENANT)
        assert departures_from_the_bucket(fleet, TENANT)


_DOCUMENTS = {
    "tents.txt": b"A tent is rented for three days at least.",
    "house.txt": b"The house at the lake has seven rooms.",
    "withdrawn.txt": b"Dogs are welcome everywhere.",
}
_SYNC = api_request("POST", "/tenants/{tenant_id}/syncs", query={}, tenant_id=TENANT)


def _read(fleet: VirtualFleet, documents: Mapping[str, bytes]) -> None:
    """These are put into the tenant's bucket, and answered from."""
    bucket = fleet.names.bucket(fleet.life(TENANT))
    for key, text in documents.items():
        fleet.client("s3").put_object(Bucket=bucket, Key=key, Body=text)
    assert fleet.invoke("TenantsFunction", _SYNC)["statusCode"] == 202
    fleet.settle(TENANT)


# --- another knowledge beside the live one -------------------------------------------------------


@cache
def rebuilding(store: str) -> Scenario:
    """A tenant that is answered from documents, of which some change while its candidate is built. What it was answered
    from before is deleted afterwards."""
    return Scenario(
        "a rebuild",
        f"rebuilding({store!r})",
        partial(_rebuild, keep_hours=0),
        partial(_check_rebuilt, store),
        prepare=partial(_prepare_documents_to_rebuild, store),
        check_meanwhile=_not_in_service,
    )


@cache
def rebuilding_in_anothers_room(store: str) -> Scenario:
    """The account is full, and a neighbour has kept what it was answered from: that leaves for the candidate, long
    before its time."""
    return Scenario(
        "a rebuild that another's kept knowledge leaves for",
        f"rebuilding_in_anothers_room({store!r})",
        _rebuild_beside_rounds,
        partial(_check_rebuilt_in_anothers_room, store),
        tenants=(TENANT, NEIGHBOUR),
        prepare=partial(_prepare_full_account, store),
        check_meanwhile=_not_in_service,
    )


@cache
def rebuilding_after(store: str, loss: Loss) -> Scenario:
    """A tenant that has lost what it was answered from, and is rebuilt in place of being provisioned again."""
    return Scenario(
        f"a rebuild after the loss of {loss}",
        f"rebuilding_after({store!r}, Loss.{loss.name})",
        partial(_rebuild, keep_hours=0),
        partial(_check_rebuilt, store),
        prepare=partial(_prepare_loss, store, loss),
    )


@cache
def stopping_a_rebuild(store: str) -> Scenario:
    """A rebuild is stopped when its candidate was built and compared: the execution deletes that."""
    return Scenario(
        "the deletion of a candidate",
        f"stopping_a_rebuild({store!r})",
        _stop_the_rebuild,
        partial(_check_stopped, store),
        prepare=partial(_prepare_candidate, store),
        check_meanwhile=_not_in_service,
    )


@cache
def rolling_back(store: str) -> Scenario:
    """A tenant that was rebuilt, and of which an operator rolls that back."""
    return Scenario(
        "a rollback",
        f"rolling_back({store!r})",
        _roll_back,
        partial(_check_rolled_back, store),
        prepare=partial(_prepare_rebuilt, store),
        check_meanwhile=_not_in_service,
        crashed=frozenset({"TenantsFunction"}),
    )


_REBUILD = api_request("PUT", "/tenants/{tenant_id}/rebuild", query={}, tenant_id=TENANT)
_STOP_REBUILD = api_request("DELETE", "/tenants/{tenant_id}/rebuild", query={}, tenant_id=TENANT)
_ROLL_BACK = api_request("PUT", "/tenants/{tenant_id}/knowledge", query={}, tenant_id=TENANT) | {
    "body": json.dumps({"live": 1})
}


def _prepare_documents_to_rebuild(store: str, fleet: VirtualFleet) -> None:
    _provisioned(fleet, store, TENANT)
    _read(fleet, _DOCUMENTS)


def _rebuild(fleet: VirtualFleet, *, keep_hours: int, compare_only: bool = False) -> Execution:
    """As an operator does, who runs the command again where it died; whose users change documents meanwhile. Once it
    is promoted, there is nothing to do."""
    tenant = fleet.tenant(TENANT)
    assert tenant is not None
    if tenant.knowledge != 1:
        return fleet.start("rebuild_tenant", {"tenant_id": TENANT})
    wanted = {"keep_hours": keep_hours, "compare_only": compare_only}
    execution = _asked(fleet, _REBUILD | {"body": json.dumps(wanted)})
    s3, bucket = fleet.client("s3"), fleet.names.bucket(fleet.life(TENANT))
    s3.put_object(Bucket=bucket, Key="late.txt", Body=b"Skis are waxed on Fridays.")
    s3.delete_object(Bucket=bucket, Key="withdrawn.txt")
    return execution


def _asked(fleet: VirtualFleet, request: dict[str, Any]) -> Execution:
    """Of `rebuild_tenant`, which the API has started, or says to be at work."""
    try:
        answer = fleet.invoke("TenantsFunction", request)
    except TaskFailed:
        answer = fleet.invoke("TenantsFunction", request)
    if answer["statusCode"] != 202:
        return fleet.start("rebuild_tenant", {"tenant_id": TENANT})
    name, machine = json.loads(answer["body"])["execution"], fleet.machine_arn("rebuild_tenant")
    executions = fleet.step_functions.executions.values()
    return next(each for each in executions if each.machine == machine and each.name == name)


def _check_rebuilt(store: str, fleet: VirtualFleet) -> list[str]:
    """The candidate answers; and once nobody can answer from the other one any more, nothing of that is left."""
    fleet.settle(TENANT)
    tenant = fleet.tenant(TENANT)
    assert tenant is not None
    wrong = [] if tenant.knowledge == 2 else [f"knowledge {tenant.knowledge} answers: {tenant.beside}"]
    wrong += departures_from_the_bucket(fleet, TENANT)
    return [*wrong, *_check_alone(store, fleet)]


def _check_alone(store: str, fleet: VirtualFleet, *tenant_ids: str, foreign: int = 0) -> list[str]:
    """After the round that comes next, each of the tenants has one knowledge."""
    tenant_ids = tenant_ids or (TENANT,)
    fleet.timeline.run_for(AN_HOUR)
    fleet.invoke("ReconcileFunction", {"hourly": True})
    machine = fleet.machine_arn("rebuild_tenant")
    fleet.finish(*(each for each in fleet.step_functions.executions.values() if each.machine == machine))
    fleet.settle(*tenant_ids)
    tenants = [fleet.tenant(tenant_id) for tenant_id in tenant_ids]
    wrong = [f"beside it is {tenant.beside}" for tenant in tenants if tenant is not None and tenant.beside is not None]
    wrong += departures(fleet, dict.fromkeys(tenant_ids, store), foreign=foreign)
    return [*wrong, *departures_from_the_bucket(fleet, TENANT)]


def _prepare_full_account(store: str, fleet: VirtualFleet) -> None:
    _provisioned(fleet, store, TENANT, NEIGHBOUR)
    _read(fleet, _DOCUMENTS)
    request = api_request("PUT", "/tenants/{tenant_id}/rebuild", query={}, tenant_id=NEIGHBOUR)
    fleet.invoke("TenantsFunction", request | {"body": json.dumps({"keep_hours": 24})})
    fleet.finish(*fleet.step_functions.executions.values())
    fleet.settle(TENANT, NEIGHBOUR)
    neighbour = fleet.tenant(NEIGHBOUR)
    assert neighbour is not None
    assert neighbour.knowledge == 2
    assert neighbour.beside is not None
    fleet.fill_account(left=0)


def _rebuild_beside_rounds(fleet: VirtualFleet) -> Execution:
    """The candidate waits for the neighbour's execution: if that has died, the round starts another; if it has failed,
    people run the command in its message."""

    def go_on() -> None:
        fleet.timeline.sleep(AN_HOUR / 4)
        neighbour = fleet.tenant(NEIGHBOUR)
        if neighbour is not None and neighbour.beside is not None and neighbour.beside.failure is not None:
            stop = api_request("DELETE", "/tenants/{tenant_id}/rebuild", query={}, tenant_id=NEIGHBOUR)
            assert fleet.functions("TenantsFunction", stop)["statusCode"] == 202
        fleet.functions("ReconcileFunction", {"hourly": True})

    fleet.timeline.spawn("the round", go_on)
    return _rebuild(fleet, keep_hours=0)


def _check_rebuilt_in_anothers_room(store: str, fleet: VirtualFleet) -> list[str]:
    fleet.settle(TENANT, NEIGHBOUR)
    tenant, neighbour = fleet.tenant(TENANT), fleet.tenant(NEIGHBOUR)
    assert tenant is not None
    assert neighbour is not None
    wrong = [] if tenant.knowledge == 2 else [f"knowledge {tenant.knowledge} answers: {tenant.beside}"]
    wrong += [] if neighbour.knowledge == 2 else [f"knowledge {neighbour.knowledge} of the neighbour answers"]
    foreign = KnowledgeBaseKind.VECTOR.quota - 3  # two that answer, and one that was kept
    return [*wrong, *_check_alone(store, fleet, TENANT, NEIGHBOUR, foreign=foreign)]


def _prepare_candidate(store: str, fleet: VirtualFleet) -> None:
    _prepare_documents_to_rebuild(store, fleet)
    execution = _rebuild(fleet, keep_hours=24, compare_only=True)
    fleet.finish(execution)
    assert execution.status == "SUCCEEDED", execution.failures
    fleet.settle(TENANT)
    tenant = fleet.tenant(TENANT)
    assert tenant is not None
    assert tenant.knowledge == 1
    assert tenant.beside is not None


def _stop_the_rebuild(fleet: VirtualFleet) -> Execution:
    return _asked(fleet, _STOP_REBUILD)


def _check_stopped(store: str, fleet: VirtualFleet) -> list[str]:
    tenant = fleet.tenant(TENANT)
    assert tenant is not None
    wrong = [] if tenant.knowledge == 1 else [f"knowledge {tenant.knowledge} answers"]
    return [*wrong, *_check_alone(store, fleet)]


def _prepare_rebuilt(store: str, fleet: VirtualFleet) -> None:
    _prepare_documents_to_rebuild(store, fleet)
    execution = _rebuild(fleet, keep_hours=24)
    fleet.finish(execution)
    fleet.settle(TENANT)
    tenant = fleet.tenant(TENANT)
    assert tenant is not None
    assert tenant.knowledge == 2, execution.failures


def _roll_back(fleet: VirtualFleet) -> Execution:
    """As an operator does, who runs the command again where it died. No execution is needed."""
    try:
        answer = fleet.invoke("TenantsFunction", _ROLL_BACK)
    except TaskFailed:
        answer = fleet.invoke("TenantsFunction", _ROLL_BACK)
    assert answer["statusCode"] == 200, answer
    return fleet.start("rebuild_tenant", {"tenant_id": TENANT})  # finds nothing to do


def _check_rolled_back(store: str, fleet: VirtualFleet) -> list[str]:
    fleet.settle(TENANT)
    tenant = fleet.tenant(TENANT)
    assert tenant is not None
    wrong = [] if tenant.knowledge == 1 else [f"knowledge {tenant.knowledge} answers"]
    told = [event["DetailType"] for event in fleet.events].count("Rebuild Ended")
    wrong += [] if told >= 2 else ["nobody was told"]
    wrong += departures_from_the_bucket(fleet, TENANT)
    fleet.timeline.run_for(_A_DAY)
    return [*wrong, *_check_alone(store, fleet)]


# --- a tenant that goes --------------------------------------------------------------------------


@cache
def offboarding(store: str) -> Scenario:
    """A tenant with documents, golden questions and a history, deleted at once beside a neighbour that stays."""
    return Scenario(
        "offboarding",
        f"offboarding({store!r})",
        _start_offboarding,
        partial(_check_offboarded, store),
        tenants=(TENANT, NEIGHBOUR),
        prepare=partial(_prepare_documents, store),
        refusals=frozenset({("Fence Off Tenant", "TenantOffboarded")}),
    )


@cache
def offboarding_while_rebuilt(store: str) -> Scenario:
    """The same, of a tenant whose candidate is being ingested."""
    return replace(
        offboarding(store),
        name="offboarding in the midst of a rebuild",
        source=f"offboarding_while_rebuilt({store!r})",
        prepare=partial(_prepare_rebuild_under_way, store),
    )


@cache
def offboarding_when_due(store: str) -> Scenario:
    """The same, whose retention period is over, started by the daily round."""
    return Scenario(
        "the round that starts a deletion",
        f"offboarding_when_due({store!r})",
        _run_daily_round,
        partial(_check_offboarded, store),
        tenants=(TENANT, NEIGHBOUR),
        prepare=partial(_prepare_leaving, store),
        crashed=frozenset({"ReconcileFunction"}),
    )


def _prepare_leaving(store: str, fleet: VirtualFleet) -> None:
    _prepare_documents(store, fleet)
    assert _request_offboarding(fleet, days=1)["execution"] is None
    fleet.timeline.run_for(_A_DAY)


def _run_daily_round(fleet: VirtualFleet) -> Execution:
    """As Lambda does, which runs it again where it died."""
    try:
        fleet.invoke("ReconcileFunction", {})
    except TaskFailed:
        fleet.invoke("ReconcileFunction", {})
    (execution,) = _offboardings(fleet)
    return execution


def _offboardings(fleet: VirtualFleet) -> list[Execution]:
    machine = fleet.machine_arn("offboard_tenant")
    return [each for each in fleet.step_functions.executions.values() if each.machine == machine]


def _prepare_rebuild_under_way(store: str, fleet: VirtualFleet) -> None:
    """Whose execution has died: no scenario begins with one at work."""
    _prepare_documents(store, fleet)
    execution = _rebuild(fleet, keep_hours=24)
    fleet.timeline.run_until(lambda: "Await Candidate" in execution.states, within=AN_HOUR)
    fleet.stop(execution, announced=False)
    fleet.settle(TENANT)
    tenant = fleet.tenant(TENANT)
    assert tenant is not None
    assert tenant.beside is not None


def _prepare_documents(store: str, fleet: VirtualFleet) -> None:
    _provisioned(fleet, store, TENANT, NEIGHBOUR)
    s3, bucket = fleet.client("s3"), fleet.names.bucket(fleet.life(TENANT))
    for text in (b"The first version.", b"The second version."):
        s3.put_object(Bucket=bucket, Key="kept.txt", Body=text)
    s3.put_object(Bucket=bucket, Key="deleted.txt", Body=b"Gone, but for its version.")
    s3.delete_object(Bucket=bucket, Key="deleted.txt")
    synced = api_request("POST", "/tenants/{tenant_id}/syncs", query={}, tenant_id=TENANT)
    assert fleet.invoke("TenantsFunction", synced)["statusCode"] == 202
    fleet.settle(TENANT)
    lives = Lives(fleet, store)
    lives.expect(TENANT, "Which version is this?", "kept.txt")
    lives.ask_golden_questions(TENANT, regressed=False)
    tell_of_trouble(fleet, TENANT, NEIGHBOUR)


def _start_offboarding(fleet: VirtualFleet) -> Execution:
    """As an operator does, who runs the command again where it died."""
    try:
        requested = _request_offboarding(fleet, days=0)
    except TaskFailed:
        requested = _request_offboarding(fleet, days=0)
    if requested.get("code") == "TenantOffboarded":
        return fleet.start("offboard_tenant", {"tenant_id": TENANT})  # finds nothing left to do
    (execution,) = (each for each in _offboardings(fleet) if each.name == requested["execution"]["execution"])
    return execution


def _request_offboarding(fleet: VirtualFleet, *, days: int) -> dict[str, Any]:
    query = {"retention_days": str(days)}
    answer = fleet.invoke(
        "TenantsFunction", api_request("DELETE", "/tenants/{tenant_id}", query=query, tenant_id=TENANT)
    )
    body: dict[str, Any] = json.loads(answer["body"])
    return body


def _check_offboarded(store: str, fleet: VirtualFleet) -> list[str]:
    return [*remains(fleet, TENANT), *departures(fleet, {NEIGHBOUR: store})]
