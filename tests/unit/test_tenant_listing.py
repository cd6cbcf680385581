"""Listing tenants: page after page, each once, whatever the status that is asked for."""

from __future__ import annotations

from collections import Counter

import pytest

from kbfleet.domain.names import TenantId
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.usecases.tenant_listing import MOST_LOOKED_AT, TenantPage, list_tenants
from tests.support.fleet import Fleet
from tests.support.samples import tenant

EVERY_TENTH_FAILED = {0: TenantStatus.FAILED}


def fleet_of(count: int) -> Fleet:
    fleet = Fleet()
    for number in range(count):
        status = EVERY_TENTH_FAILED.get(number % 10, TenantStatus.ACTIVE)
        fleet.registry.create(tenant(TenantId(f"tenant-{number:05}"), status=status))
    return fleet


def pages(fleet: Fleet, *, limit: int, status: TenantStatus | None = None) -> list[TenantPage]:
    found: list[TenantPage] = []
    after: TenantId | None = None
    while not found or after is not None:
        page = list_tenants(after=after, limit=limit, status=status, registry=fleet.registry, ledger=fleet.ledger)
        found.append(page)
        after = page.last
    return found


@pytest.mark.parametrize("count", [0, 1, 6, 7, 99, 100, 101, 250])
@pytest.mark.parametrize("status", [None, TenantStatus.FAILED])
def test_every_tenant_comes_once_and_in_order(count: int, status: TenantStatus | None) -> None:
    fleet = fleet_of(count)
    found = pages(fleet, limit=7, status=status)
    listed = [each.tenant.tenant_id for page in found for each in page.tenants]
    wanted = [each.tenant_id for each in fleet.registry.all() if status is None or each.status is status]
    assert listed == sorted(wanted)
    assert max(Counter(listed).values(), default=1) == 1
    assert all(len(page.tenants) <= 7 for page in found)


def test_a_full_last_page_is_not_followed_by_an_empty_one() -> None:
    assert [len(page.tenants) for page in pages(fleet_of(14), limit=7)] == [7, 7]


def test_a_rare_status_ends_a_page_early_and_the_next_one_goes_on() -> None:
    fleet = fleet_of(MOST_LOOKED_AT + 1)
    found = pages(fleet, limit=100, status=TenantStatus.SUSPENDED)
    assert [len(page.tenants) for page in found] == [0, 0]


def test_those_whose_ids_begin_alike_are_listed_over_all_pages() -> None:
    fleet = fleet_of(250)
    page = list_tenants(
        after=None, limit=9, status=None, registry=fleet.registry, ledger=fleet.ledger, beginning="tenant-0012"
    )
    assert [each.tenant.tenant_id[-1] for each in page.tenants] == list("012345678")
    rest = list_tenants(
        after=page.last, limit=9, status=None, registry=fleet.registry, ledger=fleet.ledger, beginning="tenant-0012"
    )
    assert ([each.tenant.tenant_id for each in rest.tenants], rest.last) == (["tenant-00129"], None)


def test_each_comes_with_its_entry_in_the_ledger() -> None:
    fleet = Fleet()
    fleet.add(TenantId("acme"))
    fleet.request(TenantId("acme"))
    fleet.tick_until_idle()
    ((listed,),) = [page.tenants for page in pages(fleet, limit=7)]
    assert listed.sync.synced_at is not None
