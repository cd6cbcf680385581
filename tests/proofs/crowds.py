"""Waiting for a first sync: behind a queue that is longer than anybody thought, and in a crowd."""

from __future__ import annotations

from benchmarks.growth import MOST_TIMES_THE_BOUND, all_at_once, offboarding_one, provisioning_one, soonest
from tests.support.virtual_fleet import AN_HOUR, RARE_SCHEDULE_SECONDS, RARE_TICKS, virtual_fleet

FEW, MANY = 10, 600
"""Others in the account, on this page: more than a page of any list by default, and of API keys."""


def crowd(tenants: int) -> list[str]:
    """So many tenants on MANAGED at once, each with a document. Returns: what is wrong."""
    executions, took = all_at_once(tenants)
    wrong = [f"{each.name} ended {each.status}: {each.failures[-3:]}" for each in executions if each.error is not None]
    if took > MOST_TIMES_THE_BOUND * soonest(tenants):
        wrong.append(f"the last was active after {took:,.0f} s, at most {soonest(tenants):,.0f} s are needed")
    return wrong


def behind_a_long_queue(hours: float) -> tuple[str, int]:
    """Bedrock starts no job for so long. Returns: how the provisioning ended, and in how many transitions."""
    with virtual_fleet(parameters=RARE_TICKS, safety_net_seconds=RARE_SCHEDULE_SECONDS) as fleet:
        fault = {
            "effect": "error",
            "operation": "StartIngestionJob",
            "code": "ThrottlingException",
            "message": "Your request rate is too high.",
        }
        fleet.emulator.faults.add(fault)
        execution = fleet.start("provision_tenant", {"tenant_id": "acme", "knowledge_store": "S3_VECTORS"})
        fleet.timeline.run_for(hours * AN_HOUR)
        fleet.emulator.faults.clear()
        fleet.finish(execution, within=2 * AN_HOUR)
        return execution.status, execution.transitions


def beside_others(size: int) -> list[str]:
    """One provisioned and one offboarded in a fleet of that size, against one of ten. Returns: what is wrong."""
    wrong = []
    for measure in (provisioning_one, offboarding_one):
        few, many = measure(FEW), measure(size)
        if many.calls > few.calls * 1.05 or many.seconds > few.seconds * 1.05:
            wrong.append(f"{measure.__name__}: {many} beside {size}, {few} beside {FEW}")
    return wrong
