"""What must be true of tenants that are provisioned, looked up in AWS rather than believed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import kbfleet.bootstrap
from kbfleet.domain.knowledge_base import DataSource, DataSourceStatus
from kbfleet.domain.names import TenantId
from kbfleet.domain.service_role import ServiceRole
from kbfleet.domain.sync import SyncState
from kbfleet.domain.tenant import Tenant
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.settings import read
from kbfleet.settings.provisioning import UsagePlanSettings
from tests.support.data_source_configurations import as_sent
from tests.support.virtual_fleet import ACCOUNT, VirtualFleet

_A_MINUTE = 60.0


def departures(fleet: VirtualFleet, stores: Mapping[str, str], *, foreign: int = 0) -> list[str]:
    """How the account differs from one in which exactly these tenants are provisioned, in sentences; none is right.

    Args:
        stores: the type of the knowledge store of every tenant, by tenant id.
        foreign: how many knowledge bases of others there are.
    """
    # Bedrock's request rates hold for looking, too.
    fleet.timeline.run_for(_A_MINUTE)
    found = [*_strangers(fleet, stores, foreign)]
    for tenant_id, store in stores.items():
        fleet.timeline.run_for(1)
        found += [f"{tenant_id}: {departure}" for departure in _departures(fleet, TenantId(tenant_id), store)]
    found += [f"an event of a stopped execution was lost by {function}" for function in fleet.lost_events]
    return found


def _strangers(fleet: VirtualFleet, stores: Mapping[str, str], foreign: int) -> Iterator[str]:
    """What belongs to nobody, or is there twice."""
    tenants = [TenantId(tenant_id) for tenant_id in stores]
    yield from _difference(
        "buckets", [fleet.names.bucket(fleet.life(tenant_id)) for tenant_id in tenants], buckets(fleet)
    )
    names = [summary["name"] for summary in knowledge_bases(fleet)]
    ours = [name for name in names if name.startswith(f"{fleet.names.fleet}-")]
    yield from _difference(
        "knowledge bases", [fleet.names.knowledge_base(fleet.knowledge(tenant_id)) for tenant_id in tenants], ours
    )
    if len(names) - len(ours) != foreign:
        yield f"of {foreign} foreign knowledge bases {len(names) - len(ours)} are left"
    wanted_roles = [fleet.names.service_role(fleet.life(tenant_id)) for tenant_id in tenants]
    yield from _difference("service roles", wanted_roles, service_roles(fleet))
    wanted_keys = [fleet.names.usage_key(fleet.life(tenant_id)).value for tenant_id in tenants]
    yield from _difference("usage keys", wanted_keys, [key["value"] for key in usage_keys(fleet)])
    for store in set(stores.values()):
        wanted = [fleet.names.vector_index(fleet.knowledge(each)) for each, of in stores.items() if of == store]
        yield from _difference(f"indexes of {store}", wanted if store in _INDEXES else [], _indexes(fleet, store))


def _difference(what: str, wanted: list[str], found: list[str]) -> Iterator[str]:
    if sorted(wanted) != sorted(found):
        yield f"{what} should be {sorted(wanted)}, and are {sorted(found)}"


def _departures(fleet: VirtualFleet, tenant_id: TenantId, store: str) -> Iterator[str]:
    tenant = fleet.tenant(tenant_id)
    if tenant is None:
        yield "there is no record"
        return
    if tenant.status is not TenantStatus.ACTIVE:
        yield f"the record is {tenant.status}"
    if tenant.lease is not None:
        yield f"the lease is held by {tenant.lease.holder}"
    if tenant.failure is not None:
        yield f"the record still names a failure: {tenant.failure.reason}"
    if tenant.bucket_name != fleet.names.bucket(fleet.life(tenant_id)):
        yield f"the record names bucket {tenant.bucket_name}"
    yield from _bucket_departures(fleet, tenant_id)
    yield from _knowledge_base_departures(fleet, tenant, store)
    yield from _service_role_departures(fleet, tenant, store)
    yield from _usage_key_departures(fleet, tenant)
    sync = fleet.sync(tenant_id)
    if sync.waiters:
        yield f"the ledger still has {len(sync.waiters)} waiters"
    if sync.state is not SyncState.IDLE:
        yield f"the ledger is {sync.state}"
    if tenant.data_source_id and not sync.has_synced(tenant.data_source_id) and not _has_nothing_to_read(fleet, tenant):
        yield "the ledger knows of no sync of the data source"


def _has_nothing_to_read(fleet: VirtualFleet, tenant: Tenant) -> bool:
    """Whether its bucket is empty, and the ledger has seen that."""
    listed = fleet.client("s3").list_object_versions(Bucket=tenant.bucket_name)
    sync = fleet.sync(tenant.tenant_id)
    return sync.never_used and sync.empty_at is not None and not {"Versions", "DeleteMarkers"} & set(listed)


def _bucket_departures(fleet: VirtualFleet, tenant_id: TenantId) -> Iterator[str]:
    s3, name = fleet.client("s3"), fleet.names.bucket(fleet.life(tenant_id))
    if name not in buckets(fleet):
        return  # reported already
    tags = fleet.names.tags(fleet.life(tenant_id))
    looks: Mapping[str, tuple[Callable[[], Any], Any]] = {
        "versioning": (lambda: s3.get_bucket_versioning(Bucket=name).get("Status"), "Enabled"),
        "encryption": (
            lambda: s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"][0][
                "ApplyServerSideEncryptionByDefault"
            ]["SSEAlgorithm"],
            "AES256",
        ),
        "public access block": (
            lambda: set(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values()),
            {True},
        ),
        "policy": (
            lambda: [
                (statement["Effect"], statement["Condition"])
                for statement in json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])["Statement"]
            ],
            [("Deny", {"Bool": {"aws:SecureTransport": "false"}})],
        ),
        "lifecycle": (
            lambda: [
                (rule["Status"], rule["AbortIncompleteMultipartUpload"])
                for rule in s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
            ],
            [("Enabled", {"DaysAfterInitiation": 7})],
        ),
        "notifications": (
            lambda: "EventBridgeConfiguration" in s3.get_bucket_notification_configuration(Bucket=name),
            True,
        ),
        "tags": (lambda: {tag["Key"]: tag["Value"] for tag in s3.get_bucket_tagging(Bucket=name)["TagSet"]}, tags),
    }
    for setting, (look, wanted) in looks.items():
        try:
            found = look()
        except s3.exceptions.ClientError as error:
            found = error.response["Error"]["Code"]
        if found != wanted:
            yield f"the bucket's {setting} is {found}"


def _knowledge_base_departures(fleet: VirtualFleet, tenant: Tenant, store: str) -> Iterator[str]:
    agent = fleet.client("bedrock-agent")
    name = fleet.names.knowledge_base(fleet.knowledge(tenant.tenant_id))
    listed = [summary["knowledgeBaseId"] for summary in knowledge_bases(fleet) if summary["name"] == name]
    if [tenant.knowledge_base_id] != listed:
        yield f"the record names knowledge base {tenant.knowledge_base_id}, and there are {listed}"
        return
    described = agent.get_knowledge_base(knowledgeBaseId=tenant.knowledge_base_id)["knowledgeBase"]
    if described["status"] != "ACTIVE":
        yield f"the knowledge base is {described['status']}"
    if tenant.knowledge_store_reference is None or tenant.bucket_name is None:
        yield "the record lacks its index or its bucket"
        return
    port = kbfleet.bootstrap.profiles().store_of(tenant, {store: kbfleet.bootstrap.stores()[store]})
    for part, wanted in port.knowledge_base_configuration(tenant.knowledge_store_reference).items():
        if described.get(part) != wanted:
            yield f"the knowledge base's {part} is {described.get(part)}"
    kind = described["knowledgeBaseConfiguration"]["type"]
    service_role = (
        f"arn:aws:iam::{ACCOUNT}:role{fleet.names.service_role_path}{fleet.names.service_role(tenant.this_life)}"
    )
    if described["roleArn"] != service_role:
        yield f"the knowledge base assumes {described['roleArn']}"
    if described.get("description") != f"Documents of {name}, kept in sync by kbfleet ({kind})":
        yield f"the knowledge base is described as {described.get('description')}"
    tags = agent.list_tags_for_resource(resourceArn=described["knowledgeBaseArn"])["tags"]
    if tags != fleet.names.tags(fleet.life(tenant.tenant_id)):
        yield f"the knowledge base's tags are {tags}"
    pages = agent.get_paginator("list_data_sources").paginate(knowledgeBaseId=tenant.knowledge_base_id)
    sources = [summary["dataSourceId"] for page in pages for summary in page["dataSourceSummaries"]]
    if sources != [tenant.data_source_id]:
        yield f"the record names data source {tenant.data_source_id}, and there are {sources}"
        return
    source = {"knowledgeBaseId": tenant.knowledge_base_id, "dataSourceId": tenant.data_source_id}
    read = agent.get_data_source(**source)["dataSource"]
    if read.get("vectorIngestionConfiguration", {}) != port.ingestion_configuration():
        yield f"the data source reads by {read.get('vectorIngestionConfiguration')}"
    configuration = as_sent(read["dataSourceConfiguration"])
    found = DataSource(str(tenant.data_source_id), "", DataSourceStatus.AVAILABLE, configuration=configuration)
    if not found.reads_as(port.data_source_configuration(tenant.bucket_name)):
        yield f"the data source reads {configuration}"
    pages = agent.get_paginator("list_ingestion_jobs").paginate(**source)
    statuses = [summary["status"] for page in pages for summary in page["ingestionJobSummaries"]]
    if "COMPLETE" not in statuses and not _has_nothing_to_read(fleet, tenant):
        yield f"no ingestion has completed: {statuses}"


def _service_role_departures(fleet: VirtualFleet, tenant: Tenant, store: str) -> Iterator[str]:
    iam, name = fleet.client("iam"), fleet.names.service_role(tenant.this_life)
    if name not in service_roles(fleet):
        return  # reported already
    role = iam.get_role(RoleName=name)["Role"]
    boundary = fleet.deployment.value({"Ref": "ServiceRoleBoundary"})
    if role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn") != boundary:
        yield f"the service role is bounded by {role.get('PermissionsBoundary')}"
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    place = f"arn:aws:bedrock:{fleet.names.region}:{ACCOUNT}:knowledge-base/{tenant.knowledge_base_id}"
    trusted = {"StringEquals": {"aws:SourceAccount": ACCOUNT}, "ArnLike": {"aws:SourceArn": [place]}}
    if statement["Condition"] != trusted:
        yield f"the service role is assumed for {statement['Condition']}"
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    if attached:
        yield f"attached to the service role are {attached}"
    policies = [
        iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
    ]
    described = kbfleet.bootstrap.stores()[store]
    wanted = ServiceRole(
        name, str(tenant.bucket_name), fleet.names.vector_indexes(tenant.this_life), described.role_services
    )
    if policies != [wanted.policy(fleet.deployment.property("ServiceRoleBoundary", "PolicyDocument"))]:
        yield f"the service role may {policies}"


def service_roles(fleet: VirtualFleet) -> list[str]:
    """The names of all there are on the fleet's path."""
    pages = fleet.client("iam").get_paginator("list_roles").paginate(PathPrefix=fleet.names.service_role_path)
    return [role["RoleName"] for page in pages for role in page["Roles"]]


def _usage_key_departures(fleet: VirtualFleet, tenant: Tenant) -> Iterator[str]:
    wanted = fleet.names.usage_key(fleet.life(tenant.tenant_id))
    for key in usage_keys(fleet):
        if key["value"] != wanted.value:
            continue
        if (key["name"], key["enabled"], key["tags"]) != (
            wanted.name,
            True,
            fleet.names.tags(fleet.life(tenant.tenant_id)),
        ):
            yield f"the usage key is {key}"
        plans = read(UsagePlanSettings).plans
        client = fleet.client("apigateway")
        found = {
            tier
            for tier, plan_id in plans.items()
            for page in client.get_paginator("get_usage_plan_keys").paginate(usagePlanId=plan_id)
            for item in page["items"]
            if item["id"] == key["id"]
        }
        if found != {tenant.tier}:
            yield f"the usage key is in the usage plans of {found}"


def usage_keys(fleet: VirtualFleet) -> list[dict[str, Any]]:
    """All there are, with their values."""
    pages = fleet.client("apigateway").get_paginator("get_api_keys").paginate(includeValues=True)
    return [key for page in pages for key in page["items"]]


def knowledge_bases(fleet: VirtualFleet) -> list[dict[str, Any]]:
    """The summaries of all there are."""
    pages = fleet.client("bedrock-agent").get_paginator("list_knowledge_bases").paginate()
    return [summary for page in pages for summary in page["knowledgeBaseSummaries"]]


def buckets(fleet: VirtualFleet) -> list[str]:
    """The names of all there are."""
    pages = fleet.client("s3").get_paginator("list_buckets").paginate()
    return [bucket["Name"] for page in pages for bucket in page["Buckets"]]


def _s3_vectors_indexes(fleet: VirtualFleet) -> list[str]:
    client = fleet.client("s3vectors")
    pages = client.get_paginator("list_vector_buckets").paginate()
    buckets = [bucket["vectorBucketName"] for page in pages for bucket in page["vectorBuckets"]]
    return [
        index["indexName"]
        for bucket in buckets
        for page in client.get_paginator("list_indexes").paginate(vectorBucketName=bucket)
        for index in page["indexes"]
    ]


def _opensearch_serverless_indexes(fleet: VirtualFleet) -> list[str]:
    # That service has no call that lists the indexes of a collection.
    return [index.name for index in fleet.emulator._account.collection_indexes.values()]


_INDEXES: Mapping[str, Callable[[VirtualFleet], list[str]]] = {
    "S3_VECTORS": _s3_vectors_indexes,
    "OPENSEARCH_SERVERLESS": _opensearch_serverless_indexes,
}
"""How to find the indexes of a knowledge store; one that is not here has none of its own."""


def indexes(fleet: VirtualFleet) -> list[str]:
    """The names of all there are, in every knowledge store."""
    return [name for listed in _INDEXES.values() for name in listed(fleet)]


def _indexes(fleet: VirtualFleet, store: str) -> list[str]:
    return _INDEXES[store](fleet) if store in _INDEXES else []
