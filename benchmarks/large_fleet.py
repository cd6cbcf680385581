"""A fleet with many tenants that do nothing: of them there is what records and lists of the account show.

They are put straight into what plays AWS, since ten thousand of them would take an hour to provision.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, TypeVar, cast
from unittest.mock import patch

from moto.apigateway.models import ApiKey, apigateway_backends
from moto.apigateway.responses import APIGatewayResponse
from moto.core.responses import ActionResult
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.iam.models import Role, iam_backends
from moto.s3.models import FakeBucket, s3_backends
from moto.s3.responses import S3Response

import kbfleet.bootstrap
from bedrock_emulator import Quotas
from bedrock_emulator.world.records import DataSource, KnowledgeBase
from kbfleet.adapters.dynamodb.sync_ledger import DynamoDBSyncLedger
from kbfleet.adapters.dynamodb.table import Table
from kbfleet.adapters.dynamodb.tenants import DynamoDBTenantRegistry
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.names import Knowledge, Life, TenantId
from kbfleet.domain.sync import Sync
from kbfleet.domain.tenant import Tenant
from kbfleet.domain.tenant_status import TenantStatus
from tests.support.aws_calls import Answered, Call, Moment
from tests.support.slowness import Slowness
from tests.support.virtual_fleet import (
    ACCOUNT,
    AN_HOUR,
    RARE_SCHEDULE_SECONDS,
    RARE_TICKS,
    REGION,
    VirtualFleet,
    virtual_fleet,
)

STORE = "MANAGED"
"""The one that an account has room for 10,000 of."""
AS_SLOW_AS_USUAL = Slowness(
    buckets=0.0,
    buckets_to_bedrock=0.0,
    managed_knowledge_base=(73.0, 73.0),
    managed_data_source=(120.0, 120.0),
)
"""The same for everybody, so that nothing but the number of tenants makes a difference."""

# How long a call takes, in seconds: guesses, on the long side of what is usual within a Region.
A_CALL, _A_RECORD, _A_PAGE_OF_RECORDS, _A_PAGE = 0.05, 0.01, 0.05, 0.15
_OF_RECORDS = {"Query": _A_PAGE_OF_RECORDS, "BatchGetItem": _A_PAGE_OF_RECORDS}
_LISTS = {"ListBuckets", "ListKnowledgeBases", "ListRoles", "ListIndexes", "GetApiKeys"}
_A_DAY = timedelta(days=1)
Result = TypeVar("Result")


def lose_roles() -> None:
    """All service roles are gone."""
    iam_backends[ACCOUNT]["aws"].roles.clear()


def lose_buckets() -> None:
    """All buckets are gone."""
    s3_backends[ACCOUNT]["aws"].buckets.clear()
    s3_backends.bucket_accounts.clear()


def call_seconds(service: str, operation: str) -> float:
    """How long such a call takes."""
    if service == "dynamodb":
        return _OF_RECORDS.get(operation, _A_RECORD)
    return _A_PAGE if operation in _LISTS else A_CALL


@contextmanager
def large_fleet(
    others: int, *, quotas: Quotas | None = None, questions_are_asked: bool = False
) -> Iterator[VirtualFleet]:
    """A fleet with that many tenants on MANAGED, named `tenant-0` and so on. All are active, synced, and idle.

    Args:
        quotas, questions_are_asked: as of `virtual_fleet`.
    """
    made = virtual_fleet(
        parameters=RARE_TICKS,
        safety_net_seconds=RARE_SCHEDULE_SECONDS,
        slowness=AS_SLOW_AS_USUAL,
        quotas=quotas,
        questions_are_asked=questions_are_asked,
    )
    with made as fleet, _listed_by_pages():
        # Ten thousand tenants with a role each need more than an account has unasked.
        iam_backends[ACCOUNT]["aws"].account_summary._roles_quota = 20_000
        table = written_directly(fleet)
        registry, ledger = DynamoDBTenantRegistry(table), DynamoDBSyncLedger(table)
        for number in range(others):
            tenant = _tenant(fleet, number)
            registry.create(tenant)
            ledger.save(_synced(tenant))
            _make_resources(fleet, tenant)
        yield fleet


@contextmanager
def _listed_by_pages() -> Iterator[None]:
    """moto gives the first page of buckets for all of them, and all API keys on one page."""
    with (
        patch.object(S3Response, "all_buckets", _page_of_buckets),
        patch.object(APIGatewayResponse, "get_api_keys", _page_of_keys),
    ):
        yield


def _page_of_buckets(response: S3Response) -> Any:
    prefix, first = response._get_param("prefix") or "", response._get_param("continuation-token") or ""
    most = int(response._get_param("max-buckets") or 10_000)
    names = sorted(name for name in response.backend.buckets if name.startswith(prefix) and name > first)
    response.data["Action"] = "ListBuckets"
    answer: dict[str, Any] = {"Buckets": [{"Name": name} for name in names[:most]]}
    if len(names) > most:
        answer["ContinuationToken"] = names[most - 1]
    return response.serialized(ActionResult(answer))


def _page_of_keys(response: APIGatewayResponse) -> str:
    name, first = response._get_param("name") or "", int(response._get_param("position") or 0)
    most = int(response._get_param("limit") or 25)
    found = [key for key in response.backend.keys.values() if (key.name or "").startswith(name)]
    page = [key.to_json() for key in found[first : first + most]]
    if not response._get_bool_param("includeValues"):
        page = [{name: value for name, value in key.items() if name != "value"} for key in page]
    following = {"position": str(first + most)} if len(found) > first + most else {}
    return json.dumps({"item": page, **following})


def written_directly(fleet: VirtualFleet) -> Table:
    """The fleet's table, into which adapters write without a call: ten times as fast. Nobody else writes meanwhile, so
    conditions hold."""
    name = str(fleet.deployment.value({"Ref": "Table"}))
    items = dynamodb_backends[ACCOUNT][REGION].tables[name]

    def put_item(*, Item: dict[str, Any], **_: Any) -> None:  # noqa: N803 - boto3's name
        items.put_item(Item)

    def update_item(*, Key: dict[str, Any], **given: Any) -> None:  # noqa: N803 - as above
        present = items.get_item(*(DynamoType(Key[name]) for name in ("PK", "SK")))
        before = present.to_json()["Attributes"] if present is not None else {}
        names, values = given["ExpressionAttributeNames"], given["ExpressionAttributeValues"]
        items.put_item(before | Key | {names[f"#{name}"]: values[f":{name}"] for name in (each[1:] for each in names)})

    return Table(cast(Any, SimpleNamespace(put_item=put_item, update_item=update_item)), name)


def _tenant(fleet: VirtualFleet, number: int) -> Tenant:
    life, a_day_ago = Life(TenantId(f"tenant-{number}")), fleet.clock.datetime() - _A_DAY
    return Tenant(
        tenant_id=life.tenant_id,
        name=f"Tenant {number}",
        status=TenantStatus.ACTIVE,
        knowledge_store=STORE,
        created_at=a_day_ago,
        updated_at=a_day_ago,
        status_since=a_day_ago,
        previous_status=TenantStatus.PROVISIONING,
        announced=True,
        fence=2,
        bucket_name=fleet.names.bucket(life),
        knowledge_base_id=f"X{number:09}",
        data_source_id=f"Y{number:09}",
        knowledge_base_alone=True,
        usage_key_id=f"Z{number:09}",
        data_source_made_at=a_day_ago,
    )


def _synced(tenant: Tenant) -> Sync:
    return Sync(
        tenant.tenant_id,
        kind=KnowledgeBaseKind.MANAGED,
        requested_generation=1,
        synced_generation=1,
        synced_at=tenant.created_at,
        synced_data_source_id=tenant.data_source_id,
    )


def _make_resources(fleet: VirtualFleet, tenant: Tenant) -> None:
    names, life, knowledge_base_id = fleet.names, tenant.this_life, str(tenant.knowledge_base_id)
    account = fleet.emulator._account
    name = names.knowledge_base(Knowledge(life, 1))
    account.knowledge_bases[knowledge_base_id] = KnowledgeBase(
        identifier=knowledge_base_id,
        arn=account.arn("bedrock", f"knowledge-base/{knowledge_base_id}"),
        name=name,
        role_arn=f"arn:aws:iam::{ACCOUNT}:role{names.service_role_path}{names.service_role(life)}",
        configuration={"type": STORE},
        storage=None,
        description=f"Documents of {name}, kept in sync by kbfleet ({STORE})",
        status="ACTIVE",
        created_at=fleet.timeline.now(),
        updated_at=fleet.timeline.now(),
        tags=dict(names.tags(life)),
    )
    bucket, data_source_id = names.bucket(life), str(tenant.data_source_id)
    account.data_sources[knowledge_base_id, data_source_id] = DataSource(
        identifier=data_source_id,
        knowledge_base_id=knowledge_base_id,
        name=names.data_source(),
        description=None,
        members={"dataSourceConfiguration": kbfleet.bootstrap.stores()[STORE].data_source_configuration(bucket)},
        deletion_policy="DELETE",
        status="AVAILABLE",
        created_at=fleet.timeline.now() - _A_DAY.total_seconds(),
        updated_at=fleet.timeline.now() - _A_DAY.total_seconds(),
    )
    s3_backends[ACCOUNT]["aws"].buckets[bucket] = FakeBucket(name=bucket, account_id=ACCOUNT, region_name=REGION)
    iam_backends[ACCOUNT]["aws"].roles[f"AROA{knowledge_base_id}"] = Role(
        account_id=ACCOUNT,
        partition="aws",
        role_id=f"AROA{knowledge_base_id}",
        name=names.service_role(life),
        assume_role_policy_document="{}",
        path=names.service_role_path,
        permissions_boundary=None,
        description="",
        tags=[],
        max_session_duration="3600",
    )
    key, key_id = names.usage_key(life), str(tenant.usage_key_id)
    made = ApiKey(api_key_id=key_id, name=key.name, value=key.value, enabled=True, tags=dict(names.tags(life)))
    apigateway_backends[ACCOUNT][REGION].keys[key_id] = made


# --- what something costs there ---


@dataclass
class Cost:
    """What something has cost: calls of AWS, how much they answered, and virtual seconds.

    Args:
        items: records and resources in all answers.
        read: bytes of all answers, as JSON.
    """

    calls: int = 0
    items: int = 0
    read: int = 0
    seconds: float = 0.0


@contextmanager
def counted(fleet: VirtualFleet, strand: str) -> Iterator[Cost]:
    """While this lasts, calls that are made in the strand of that name take their time, and are counted."""
    cost, began = Cost(), fleet.timeline.now()

    def note(answered: Answered) -> None:
        if answered.call.strand != strand:
            return
        cost.items += sum(map(len, _lists(answered.answer)))
        content = {name: value for name, value in answered.answer.items() if name != "ResponseMetadata"}
        cost.read += len(json.dumps(content, default=str).encode())

    def take_time(call: Call, moment: Moment) -> None:
        if moment is Moment.BEFORE and call.strand == strand:
            cost.calls += 1
            fleet.calls.pause(call_seconds(call.service, call.operation))

    fleet.calls.observers.append(note)
    try:
        with fleet.disturbed(take_time):
            yield cost
    finally:
        fleet.calls.observers.remove(note)
        cost.seconds = fleet.timeline.now() - began


def _lists(answer: Mapping[str, Any]) -> Iterable[list[Any]]:
    for name, value in answer.items():
        if isinstance(value, list):
            yield value
        elif name == "Item":
            yield [value]
        elif name == "Responses":
            yield from value.values()


def as_function(fleet: VirtualFleet, name: str, work: Callable[[], Result]) -> Result:
    """Runs it as if it were a function of that name, so that its calls are counted."""
    results = list[Result]()
    strand = fleet.timeline.spawn(name, lambda: results.append(work()))
    strand.function = name
    fleet.timeline.run_until(lambda: strand.ended.is_set, within=AN_HOUR)
    return results[0]
