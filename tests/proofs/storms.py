"""Many at once: executions that compete for one tenant, and tenants that compete for a throttled Bedrock."""

from __future__ import annotations

from functools import partial

from tests.proofs.converged import departures
from tests.proofs.proof import Row, Runs, in_processes
from tests.support.aws_calls import EMULATED
from tests.support.virtual_fleet import AN_HOUR, provisioning_request, virtual_fleet
from tests.support.virtual_time import StrandDied, Unfinished

RIVALS = 20
TENANTS = 50
THROTTLED = 0.3
RIVALS_WITHIN = AN_HOUR
"""Virtual seconds. One provisioning takes about 275."""
# A job may start every ten seconds: ticks in between only cost time here.
_PARAMETERS = {"TickSeconds": "10"}
TENANTS_WITHIN = AN_HOUR
"""Virtual seconds. Bedrock runs five ingestions of 180 seconds at a time: 50 of them take half an hour at least."""


def rivals(store: str, seed: int) -> str | None:
    """Twenty executions for one tenant at once, interleaved at their AWS calls. Returns: what is wrong."""
    with virtual_fleet(seed=seed, interleaved=True) as fleet:
        request = provisioning_request("acme", store)
        executions = [fleet.start("provision_tenant", request) for _ in range(RIVALS)]
        wrong: list[str] = []
        try:
            fleet.finish(*executions, within=RIVALS_WITHIN)
            fleet.settle("acme")
            won = [execution for execution in executions if execution.status == "SUCCEEDED"]
            if len(won) != 1:
                wrong.append(f"{len(won)} executions succeeded")
            for execution in executions:
                busy = execution.failures[:1] == [("Reserve Tenant", "TenantBusy")]
                if execution.status != "SUCCEEDED" and not busy:
                    wrong.append(f"{execution.name} failed by {execution.failures}")
            wrong += departures(fleet, {"acme": store})
        except (Unfinished, StrandDied) as error:
            wrong.append(f"{error}: {error.__cause__!r}")
    return _reported("rivals", store, seed, wrong)


def crowd(store: str, seed: int, *, tenants: int = TENANTS) -> tuple[str | None, float]:
    """Fifty new tenants at once, while three of ten Bedrock calls are throttled.

    Returns: what is wrong, and how many virtual seconds it took.
    """
    wanted = {f"tenant-{number}": store for number in range(tenants)}
    with virtual_fleet(seed=seed, interleaved=True, parameters=_PARAMETERS) as fleet:
        for service in EMULATED:
            fleet.calls.throttle(service, THROTTLED)
        began = fleet.timeline.now()
        executions = [fleet.start("provision_tenant", provisioning_request(each, store)) for each in wanted]
        wrong: list[str] = []
        took = 0.0
        try:
            fleet.finish(*executions, within=TENANTS_WITHIN)
            took = fleet.timeline.now() - began
            fleet.settle(*wanted)
            wrong += [
                f"{execution.input['tenant_id']} ended {execution.status}: {execution.failures}"
                for execution in executions
                if execution.status != "SUCCEEDED"
            ]
            fleet.emulator.faults.clear()
            wrong += departures(fleet, wanted)
        except (Unfinished, StrandDied) as error:
            wrong.append(f"{error}: {error.__cause__!r}")
    return _reported("crowd", store, seed, wrong), took


def _reported(storm: str, store: str, seed: int, wrong: list[str]) -> str | None:
    return f"tests.proofs.storms.{storm}({store!r}, {seed}): {'; '.join(wrong)}" if wrong else None


def prove_rivals(store: str, seeds: range, *, run: Runs = in_processes) -> Row:
    row = Row(f"{RIVALS} executions for one tenant at once", store)
    for failure in run(partial(rivals, store), seeds):
        row.add(failure)
    return row


def prove_crowd(store: str, seeds: range, *, tenants: int = TENANTS, run: Runs = in_processes) -> Row:
    row = Row(f"{tenants} tenants at once, {THROTTLED:.0%} of Bedrock's answers throttling", store)
    longest = 0.0
    for failure, took in run(partial(crowd, store, tenants=tenants), seeds):
        row.add(failure)
        longest = max(longest, took)
    came_to = "all active" if not row.failures else "not all active"
    row.findings.append(f"{came_to} after {longest:,.0f} s, at most {TENANTS_WITHIN:,.0f} s")
    return row
