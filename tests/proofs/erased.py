"""What must be true of a tenant that is offboarded, looked up in AWS rather than believed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from kbfleet.contracts.dead_letters import is_about
from kbfleet.domain.erasure import ErasureReceipt
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.tenant import Tenant
from kbfleet.domain.tenant_status import TenantStatus
from tests.proofs.converged import buckets, indexes, knowledge_bases, service_roles, usage_keys
from tests.support.virtual_fleet import VirtualFleet

_KINDS = {"bucket", "vector index", "knowledge base", "service role", "usage key", "records", "part in incidents"}
_PARTITIONS = ("TENANT", "CONVERSATION", "QUESTIONS")
"""Of the table, that are a tenant's own."""
_WITH_IDS_ONLY = {
    "DeletionCheckDeadLetterQueue",
    "DocumentRetryDeadLetterQueue",
    "TickDeadLetterQueue",
    "UsageDeadLetterQueue",
}
_deserializer = TypeDeserializer()


def remains(fleet: VirtualFleet, tenant_id: str) -> list[str]:
    """What is left of the tenant beside its tombstone and receipts, and what is wrong with these, in sentences."""
    found = [*_remains(fleet, TenantId(tenant_id)), *_wrong_with_tombstone(fleet, fleet.tenant(tenant_id))]
    return [f"{tenant_id}: {each}" for each in found]


def _remains(fleet: VirtualFleet, tenant_id: TenantId) -> Iterator[str]:
    last = fleet.life(tenant_id).number
    # Of every life that the tenant has had, and of one too many.
    for life in (Life(tenant_id, number) for number in range(1, last + 2)):
        yield from _remains_of_life(fleet, life)
    # What has no list of its own once its owner is gone.
    account = fleet.emulator._account
    yield from (f"data source {of} is left" for of in account.data_sources if of[0] not in account.knowledge_bases)
    own_index = re.compile(rf".*/{tenant_id}(\.\d+\.\d+)?")
    yield from (f"vectors {key} are left" for key in account.all_contents() if own_index.fullmatch(key))
    bucket = fleet.names.bucket(fleet.life(tenant_id))
    for queue in fleet.dead_letters.keys() - _WITH_IDS_ONLY:
        left = [
            body
            for body in fleet.dead_letters[queue].messages
            if is_about(body, tenant_id=tenant_id, bucket_name=bucket)
        ]
        yield from (f"a message in {queue} is left" for _ in left)
    own = {f"{kind}#{tenant_id}" for kind in _PARTITIONS}
    for item in items(fleet):
        # Documents are named by the bucket that they are in. A receipt has its name, too.
        if bucket in repr(item) and not _is_receipt(item) and item["SK"] != "PROFILE":
            yield f"item {item['PK']} {item['SK']} names a document, or the bucket"
        if item["PK"].startswith("INCIDENT#CAUSE#") and item["evidence"]["subject"] == tenant_id:
            yield f"incident {item['PK']} {item['SK']} shows something of it"
        if item["PK"].startswith("INCIDENT#CAUSE#") and tenant_id in item["affected"] and not item["erased"]:
            yield f"incident {item['PK']} {item['SK']} still has it"
        if item["PK"].startswith("INCIDENT#MEMBERS#") and item["SK"] == tenant_id:
            yield f"it is still a member of {item['PK']}"
        if item["PK"] == f"INCIDENT#SUBJECT#{tenant_id}" and item.get("entries"):
            yield f"timeline {item['SK']} has entries"
        catalogued = item["PK"].startswith("KNOWLEDGE_STORE#") and own_index.fullmatch(item["SK"].replace("#", "/"))
        owned = item["PK"] in own and item["SK"] != "PROFILE" and not _is_receipt(item)
        if catalogued or owned:
            yield f"item {item['PK']} {item['SK']} is left"


def _remains_of_life(fleet: VirtualFleet, life: Life) -> Iterator[str]:
    names = fleet.names
    if names.bucket(life) in buckets(fleet):
        yield f"the bucket of life {life.number} is left"
    found = filter(None, map(names.knowledge_of_vector_index, indexes(fleet)))
    yield from (f"the index of {knowledge} is left" for knowledge in found if knowledge.life == life)
    listed = (names.knowledge_of_knowledge_base(summary["name"]) for summary in knowledge_bases(fleet))
    yield from (f"the knowledge base of {each} is left" for each in listed if each is not None and each.life == life)
    if names.usage_key(life).value in [key["value"] for key in usage_keys(fleet)]:
        yield f"the usage key of life {life.number} is left"
    if names.service_role(life) in service_roles(fleet):
        yield f"the service role of life {life.number} is left"
    if ("data", names.data_access_policy(life)) in fleet.emulator._account.policies:
        yield f"the data access policy of life {life.number} is left"


def _wrong_with_tombstone(fleet: VirtualFleet, tenant: Tenant | None) -> Iterator[str]:
    if tenant is None or tenant.status is not TenantStatus.OFFBOARDED:
        yield f"the record is {tenant and tenant.status}"
        return
    if tenant.lease is not None:
        yield f"the lease is held by {tenant.lease.holder}"
    kept = [name for name in _RESOURCES if getattr(tenant, name) is not None]
    if kept:
        yield f"the tombstone still has {kept}"
    if tenant.erasure is None:
        yield "there is no receipt"
        return
    yield from _wrong_with_receipt(fleet, tenant, tenant.erasure)


_RESOURCES = (
    "bucket_name",
    "knowledge_store_reference",
    "knowledge_base_id",
    "data_source_id",
    "offboarding",
    "failure",
)


def _wrong_with_receipt(fleet: VirtualFleet, tenant: Tenant, receipt: ErasureReceipt) -> Iterator[str]:
    """What it says is gone has been looked for above, by name; here, what it must say."""
    if {erased.kind for erased in receipt.erased} != _KINDS:
        yield f"the receipt names {receipt.erased}"
    if receipt.life != tenant.life:
        yield f"the receipt is of life {receipt.life}, and the tombstone of life {tenant.life}"
    if receipt.execution not in fleet.step_functions.executions:
        yield f"the receipt is of an execution {receipt.execution}, which there never was"
    if not receipt.requested_at <= receipt.verified_at <= tenant.status_since:
        yield f"the receipt says {receipt.requested_at} and {receipt.verified_at}, the tombstone {tenant.status_since}"
    receipts = [item for item in items(fleet) if item["PK"] == f"TENANT#{tenant.tenant_id}" and _is_receipt(item)]
    if receipt.execution not in {item["execution"] for item in receipts}:
        yield "the receipt is not kept beside the tombstone"
    known = set(fleet.emulator._account.knowledge_bases)
    yield from (f"{each.kind} {each.name} is not gone" for each in receipt.erased if each.name in known)


def _is_receipt(item: dict[str, Any]) -> bool:
    return bool(item["SK"].startswith("ERASURE#"))


def items(fleet: VirtualFleet) -> list[dict[str, Any]]:
    """All that is in the table."""
    table = fleet.deployment.value({"Ref": "Table"})
    pages = fleet.client("dynamodb").get_paginator("scan").paginate(TableName=table)
    found = (item for page in pages for item in page["Items"])
    return [{name: _deserializer.deserialize(value) for name, value in item.items()} for item in found]
