"""What every tenant registry does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from kbfleet.adapters.dynamodb.table import Table
from kbfleet.adapters.dynamodb.tenants import DynamoDBTenantRegistry
from kbfleet.domain.comparison import Comparison, Measure
from kbfleet.domain.erasure import ErasedResource, ErasureReceipt, Remainder
from kbfleet.domain.errors import ConcurrentUpdate, TenantNotFound
from kbfleet.domain.knowledges import Beside, RebuildPlan, Role
from kbfleet.domain.names import TenantId
from kbfleet.domain.profiles import DEFAULT_PROFILE, ProfileName, ProfileReference
from kbfleet.domain.questions import QuestionId
from kbfleet.domain.tenant import REQUESTED_NAME_KEPT_FOR, DisplayName, Lease, Offboarding, Tenant
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.usage_plan import Tier
from kbfleet.ports import TenantRegistry
from tests.support.clock import START
from tests.support.fakes import InMemoryTenantRegistry
from tests.support.samples import ACME, EXECUTION, SAKURA, provisioning_failure, tenant

FULL = tenant(
    SAKURA,
    name="桜商事 & Co. <本社>",
    status=TenantStatus.FAILED,
    tier=Tier.PREMIUM,
    fence=7,
    lease=Lease(EXECUTION, START + timedelta(hours=5, microseconds=1)),
    drift=("Made with another model.",),
    failure=provisioning_failure(reason="権限がありません。"),
    previous_status=TenantStatus.OFFBOARDING,
    offboarding=Offboarding(START, START + timedelta(days=30), TenantStatus.ACTIVE, START + timedelta(days=31)),
    erasure=ErasureReceipt(START, START, EXECUTION, (ErasedResource("bucket", "b"),), (Remainder("usage", "numbers"),)),
    updated_at=START + timedelta(microseconds=123_456),
)
MINIMAL = Tenant(ACME, "acme", TenantStatus.PROVISIONING, "S3_VECTORS", START, START, START)


class TenantRegistrySuite:
    @pytest.fixture
    def registry(self) -> TenantRegistry:
        raise NotImplementedError

    def test_an_unknown_tenant_is_not_found(self, registry: TenantRegistry) -> None:
        assert registry.find(ACME) is None
        with pytest.raises(TenantNotFound, match="acme"):
            registry.get(ACME)

    def test_all_tenants_are_listed_over_all_pages_in_order(self, registry: TenantRegistry) -> None:
        # About 1.2 MB, where a page of DynamoDB has one.
        padding = ("x" * 4_000,)
        made = [replace(MINIMAL, tenant_id=TenantId(f"tenant-{number:03d}"), drift=padding) for number in range(300)]
        for one in reversed(made):
            registry.create(one)
        assert list(registry.all()) == made

    def test_a_few_tenants_are_listed_at_a_time_after_one_that_may_be_gone(self, registry: TenantRegistry) -> None:
        ids = [TenantId(f"tenant-{number}") for number in range(5)]
        for tenant_id in reversed(ids):
            registry.create(replace(MINIMAL, tenant_id=tenant_id))

        def following(tenant_id: TenantId | None, limit: int) -> list[TenantId]:
            return [found.tenant_id for found in registry.following(tenant_id, limit)]

        assert following(None, 2) == ids[:2]
        assert following(ids[1], 2) == ids[2:4]
        assert following(TenantId("tenant-2-gone"), 9) == ids[3:]
        assert following(ids[4], 9) == []

    def test_one_with_a_knowledge_beside_the_live_one_is_stored_as_it_is_recorded_and_not_as_it_is_seen(
        self, registry: TenantRegistry
    ) -> None:
        plan = RebuildPlan(START, "MANAGED", ProfileReference(ProfileName("office"), 2), timedelta(hours=24))
        comparison = Comparison(START, Measure(3, 1, 0), Measure(3, 1, 1), (QuestionId("q0001"),), (), ("Worse.",))
        beside = Beside(plan.candidate(2), Role.CANDIDATE, START, plan, comparison=comparison, following=plan)
        record = replace(MINIMAL, beside=beside, last_knowledge=2)
        registry.create(record)
        assert registry.get(ACME) == record
        with pytest.raises(RuntimeError, match="seen from beside"):
            registry.replace(record.seen_from_beside(), fence=record.fence)
        assert registry.get(ACME) == record

    def test_the_users_of_a_profile_are_found_without_looking_at_others(self, registry: TenantRegistry) -> None:
        office, other = (ProfileReference(ProfileName(name), 1) for name in ("office", "office-2"))
        users = [TenantId(f"tenant-{number}") for number in range(3)]
        for tenant_id in reversed(users):
            registry.create(replace(MINIMAL, tenant_id=tenant_id, profile=replace(office, version=2)))
        registry.create(replace(MINIMAL, tenant_id=TenantId("another"), profile=other))
        registry.create(replace(MINIMAL, tenant_id=TenantId("gone"), profile=office, status=TenantStatus.OFFBOARDED))
        registry.create(replace(MINIMAL, tenant_id=TenantId("plain")))
        assert registry.using(office.name, 9) == users
        assert registry.using(office.name, 2) == users[:2]
        assert registry.using(DEFAULT_PROFILE, 9) == []
        registry.replace(replace(registry.get(users[0]), profile=ProfileReference()), fence=MINIMAL.fence)
        assert registry.using(office.name, 9) == users[1:]
        assert registry.get(users[1]).profile == replace(office, version=2)

    def test_a_record_that_names_a_profile_has_that_whatever_is_remembered(self, registry: TenantRegistry) -> None:
        office = ProfileReference(ProfileName("office"), 2)
        registry.remember_profile(MINIMAL.this_life, office)
        assert registry.find(ACME) is None
        registry.create(MINIMAL)
        assert registry.get(ACME).profile == ProfileReference()
        registry.replace(replace(MINIMAL, profile=replace(office, version=3)), fence=MINIMAL.fence)
        assert registry.get(ACME).profile == replace(office, version=3)

    def test_those_whose_ids_begin_alike_are_listed_alone(self, registry: TenantRegistry) -> None:
        ids = [TenantId(name) for name in ("ace", "acme", "acme-2", "acme2", "acmf", "zeta")]
        for tenant_id in ids:
            registry.create(replace(MINIMAL, tenant_id=tenant_id))

        def following(beginning: str, after: TenantId | None = None, limit: int = 9) -> list[TenantId]:
            return [found.tenant_id for found in registry.following(after, limit, beginning)]

        assert following("acme") == ids[1:4]
        assert following("acme", ids[1]) == ids[2:4]
        assert following("acme", ids[0], 2) == ids[1:3]
        assert following("acme-") == [ids[2]]
        assert following("") == ids
        assert following("acme", ids[5]) == following("b") == []

    @pytest.mark.parametrize("stored", [MINIMAL, FULL], ids=["minimal", "full"])
    def test_a_record_comes_back_as_it_was_stored(self, registry: TenantRegistry, stored: Tenant) -> None:
        registry.create(stored)
        assert registry.find(stored.tenant_id) == registry.get(stored.tenant_id) == stored

    def test_a_requested_name_is_for_one_execution_only_also_of_a_tenant_that_is_not_there(
        self, registry: TenantRegistry
    ) -> None:
        registry.request_name(ACME, DisplayName("アクメ"), execution="acme-1", now=START)
        registry.request_name(ACME, DisplayName("桜商事 & Co."), execution="acme-2", now=START)

        def requested(tenant_id: TenantId, execution: str) -> DisplayName | None:
            return registry.requested_name(tenant_id, execution=execution, now=START)

        assert requested(ACME, "acme-1") == "アクメ"
        assert requested(ACME, "acme-2") == "桜商事 & Co."
        assert (requested(ACME, "acme-3"), requested(ACME, "acme"), requested(SAKURA, "acme-1")) == (None, None, None)
        assert (registry.find(ACME), list(registry.all())) == (None, [])

    def test_the_same_execution_may_be_asked_for_again(self, registry: TenantRegistry) -> None:
        for _ in range(2):
            registry.request_name(ACME, DisplayName("アクメ"), execution="acme-1", now=START)
        assert registry.requested_name(ACME, execution="acme-1", now=START) == "アクメ"

    def test_a_requested_name_is_kept_for_a_day_and_not_given_after_it(self, registry: TenantRegistry) -> None:
        registry.request_name(ACME, DisplayName("アクメ"), execution="acme-1", now=START)

        def after(passed: timedelta) -> DisplayName | None:
            return registry.requested_name(ACME, execution="acme-1", now=START + passed)

        assert after(REQUESTED_NAME_KEPT_FOR - timedelta(seconds=1)) == "アクメ"
        assert after(REQUESTED_NAME_KEPT_FOR) is None

    def test_a_tenant_is_created_once(self, registry: TenantRegistry) -> None:
        registry.create(MINIMAL)
        with pytest.raises(ConcurrentUpdate):
            registry.create(replace(MINIMAL, name="another"))
        assert registry.get(ACME) == MINIMAL

    def test_the_newest_fencing_token_may_replace_the_record(self, registry: TenantRegistry) -> None:
        registry.create(FULL)
        changed = replace(FULL, fence=8, name="another", lease=None, failure=None)
        registry.replace(changed, fence=7)
        assert registry.get(SAKURA) == changed

    @pytest.mark.parametrize("fence", [6, 8])
    def test_any_other_may_not(self, registry: TenantRegistry, fence: int) -> None:
        registry.create(FULL)
        with pytest.raises(ConcurrentUpdate):
            registry.replace(replace(FULL, name="another"), fence=fence)
        assert registry.get(SAKURA) == FULL

    def test_a_record_that_does_not_exist_cannot_be_replaced(self, registry: TenantRegistry) -> None:
        with pytest.raises(ConcurrentUpdate):
            registry.replace(MINIMAL, fence=0)
        assert registry.find(ACME) is None

    def test_tenants_are_kept_apart(self, registry: TenantRegistry) -> None:
        registry.create(MINIMAL)
        registry.create(FULL)
        assert (registry.get(ACME), registry.get(SAKURA)) == (MINIMAL, FULL)


class TestInMemoryTenantRegistry(TenantRegistrySuite):
    @pytest.fixture
    def registry(self) -> TenantRegistry:
        return InMemoryTenantRegistry()


class TestDynamoDBTenantRegistry(TenantRegistrySuite):
    @pytest.fixture
    def registry(self, table: Table) -> TenantRegistry:
        return DynamoDBTenantRegistry(table)

    def test_a_record_from_before_there_were_profiles_has_the_default(
        self, registry: TenantRegistry, table: Table
    ) -> None:
        registry.create(FULL)
        key = {"PK": {"S": f"TENANT#{SAKURA}"}, "SK": {"S": "PROFILE"}}
        table.client.update_item(TableName=table.name, Key=key, UpdateExpression="REMOVE profile")
        assert registry.get(SAKURA) == replace(FULL, profile=ProfileReference())

    def test_what_a_version_before_kept_of_losses_is_passed_over(self, registry: TenantRegistry, table: Table) -> None:
        registry.create(FULL)
        key = {"PK": {"S": f"TENANT#{SAKURA}"}, "SK": {"S": "PROFILE"}}
        table.client.update_item(
            TableName=table.name,
            Key=key,
            UpdateExpression="SET emptied_seen_at = :at, read_again_since = :at",
            ExpressionAttributeValues={":at": {"S": "2026-11-02T09:00:00Z"}},
        )
        assert registry.get(SAKURA) == FULL

    @pytest.mark.parametrize("life", [1, 2])
    def test_a_version_that_knows_no_profiles_does_not_make_it_forget_the_tenants(
        self, registry: TenantRegistry, table: Table, life: int
    ) -> None:
        """An update was taken back: the older version has read the record, and written all that it knows of it."""
        office = ProfileReference(ProfileName("office"), 2)
        tenant = replace(FULL, profile=office, life=life)
        registry.remember_profile(tenant.this_life, office)
        registry.create(tenant)
        key = {"PK": {"S": f"TENANT#{SAKURA}"}, "SK": {"S": "PROFILE"}}
        known_to_nobody = "REMOVE profile, queue, queue_position"
        table.client.update_item(TableName=table.name, Key=key, UpdateExpression=known_to_nobody)
        found = registry.get(SAKURA)
        assert found.profile == office
        assert registry.using(office.name, 9) == []
        registry.replace(found, fence=FULL.fence)  # as the convergence does
        assert registry.using(office.name, 9) == [SAKURA]

    def test_what_a_life_that_is_over_was_given_counts_for_no_other(
        self, registry: TenantRegistry, table: Table
    ) -> None:
        registry.remember_profile(FULL.this_life, ProfileReference(ProfileName("office"), 2))
        registry.create(replace(FULL, life=FULL.life + 1))
        key = {"PK": {"S": f"TENANT#{SAKURA}"}, "SK": {"S": "PROFILE"}}
        table.client.update_item(TableName=table.name, Key=key, UpdateExpression="REMOVE profile")
        assert registry.get(SAKURA).profile == ProfileReference()

    def test_a_record_from_before_there_were_tiers_is_of_the_standard_one(
        self, registry: TenantRegistry, table: Table
    ) -> None:
        registry.create(FULL)
        key = {"PK": {"S": f"TENANT#{SAKURA}"}, "SK": {"S": "PROFILE"}}
        table.client.update_item(TableName=table.name, Key=key, UpdateExpression="REMOVE tier")
        assert registry.get(SAKURA) == replace(FULL, tier=Tier.STANDARD)
