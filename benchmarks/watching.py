"""What it costs to know that nothing is lost: calls of AWS that the rounds make while nothing changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bedrock_emulator import Quotas
from benchmarks.report import Measurement
from tests.support.tenant_lives import Lives
from tests.support.virtual_fleet import RARE_SCHEDULE_SECONDS, RARE_TICKS, virtual_fleet

STORES = ("S3_VECTORS", "OPENSEARCH_SERVERLESS", "MANAGED")
FLEETS = (100, 1_000, 10_000)
_FEW, _MORE = 1, 3
_HOURS = 24
_OF_BEDROCK_AT_MOST, _PAID_AT_MOST = 30, 10
_BEDROCK = {"bedrock-agent", "bedrock-agent-runtime"}
_PAID = {"Retrieve"}
"""By the call of Bedrock; the question's embedding is paid beside it."""
_IN_A_PAGE: Mapping[str, int] = {
    "ListBuckets": 1_000,
    "ListIndexes": 500,
    "ListKnowledgeBases": 1_000,
    "ListRoles": 1_000,
    "GetApiKeys": 500,
}
"""What grows by a page and not by a tenant. Source: the adapters' page sizes; AWS documentation of each call."""
_OURS = {"dynamodb", "events"}
"""Records and events are counted apart: `kbfleet costs` has what they cost."""


@dataclass(frozen=True)
class Round:
    """Calls by service and operation, of one run."""

    calls: Counter[tuple[str, str]]

    def of(self, services: set[str]) -> int:
        return sum(count for (service, _), count in self.calls.items() if service in services)


def measured(store: str) -> Iterator[Measurement]:
    """Two fleets of different sizes show what a tenant costs, and what a round costs whatever the number."""
    hourly = _per_tenant(*(_run(store, size, {"hourly": True}) for size in (_FEW, _MORE)))
    daily = _per_tenant(*(_run(store, size, {}) for size in (_FEW, _MORE)))
    bedrock = sum(count for (service, _), count in daily.items() if service in _BEDROCK)
    bedrock += _HOURS * sum(count for (service, _), count in hourly.items() if service in _BEDROCK)
    paid = sum(count for (_, operation), count in daily.items() if operation in _PAID)
    others = sum(count for (service, _), count in daily.items() if service not in _BEDROCK | _OURS)
    others += _HOURS * sum(count for (service, _), count in hourly.items() if service not in _BEDROCK | _OURS)
    yield Measurement("of Bedrock, a tenant and day", bedrock, "calls", _OF_BEDROCK_AT_MOST)
    yield Measurement("paid among them", paid, "calls", _PAID_AT_MOST)
    yield Measurement("of S3, IAM, API Gateway and the store, a tenant and day", others, "calls")
    pages = {operation for _, operation in _run(store, _FEW, {"hourly": True}).calls if operation in _IN_A_PAGE}
    for tenants in FLEETS:
        lists = sum(-(-tenants // _IN_A_PAGE[operation]) for operation in pages)
        yield Measurement(f"lists of an hourly round, {tenants:,} tenants", lists, "calls")


def _run(store: str, tenants: int, event: dict[str, bool]) -> Round:
    with virtual_fleet(
        parameters=RARE_TICKS, safety_net_seconds=RARE_SCHEDULE_SECONDS, quotas=Quotas(requests_per_second={})
    ) as fleet:
        lives = Lives(fleet, store)
        for number in range(tenants):
            lives.provisioned(f"tenant-{number}")
        before = len(fleet.calls.made)
        fleet.invoke("ReconcileFunction", event)
        made = [call for call in fleet.calls.made[before:] if call.function == "ReconcileFunction"]
        return Round(Counter((call.service, call.operation) for call in made))


def _per_tenant(few: Round, more: Round) -> Mapping[tuple[str, str], float]:
    grown = {key: (more.calls[key] - few.calls[key]) / (_MORE - _FEW) for key in more.calls}
    return {key: count for key, count in grown.items() if key[1] not in _IN_A_PAGE}
