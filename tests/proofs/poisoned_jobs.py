"""Whatever the jobs of five tenants have to say, the others are synced as soon as without that: an account may run five
jobs at once."""

from __future__ import annotations

from dataclasses import dataclass

from kbfleet.domain.sync import SyncState
from tests.proofs.proof import Row
from tests.support.tenant_lives import Lives
from tests.support.virtual_fleet import VirtualFleet, virtual_fleet

LOUD = tuple(f"loud-{number}" for number in range(5))
OTHERS = ("acme", "sakura", "zen")
MOST_TIMES_THE_LAG = 1.5
REASONS, CHARACTERS = 2_048, 2_048
"""As many as Bedrock may give, as long as they may be (botocore model of bedrock-agent)."""


@dataclass(frozen=True)
class Seen:
    """`lags`: seconds from the request to the sync of each of the others. `ended`: changes of the loud ones' jobs that
    were published of their ends; `reasons`, how many reasons each of these has or counts. `looks` at a job by the
    scheduler, all in all."""

    lags: dict[str, float]
    ended: int
    reasons: tuple[int, ...]
    looks: int


def seen(*, loud: bool) -> Seen:
    """Five tenants are synced, and then, while their jobs run, three others are requested. Args: loud: whether the jobs
    of the five fail with all that Bedrock may say."""
    with virtual_fleet() as fleet:
        lives = Lives(fleet, "S3_VECTORS")
        fleet.finish(*(lives.begin(tenant_id) for tenant_id in (*LOUD, *OTHERS)))
        for tenant_id in (*LOUD, *OTHERS):
            lives.upload(tenant_id, "rules.md", "A tent is rented for three days at least.")
        before = len(fleet.events)
        if loud:
            reasons = [f"{number}: {'理' * CHARACTERS}"[:CHARACTERS] for number in range(REASONS)]
            lives.order({"effect": "job_fails", "failureReasons": reasons, "count": len(LOUD)})
        for tenant_id in LOUD:
            lives.sync(tenant_id, settled=False)
        lives.until(lambda: all(fleet.sync(tenant_id).state is SyncState.RUNNING for tenant_id in LOUD))
        began = fleet.clock.datetime()
        for tenant_id in OTHERS:
            lives.sync(tenant_id, settled=False)
        fleet.settle(*LOUD, *OTHERS, within=4 * 3_600)
        synced = {tenant_id: fleet.sync(tenant_id).synced_at for tenant_id in OTHERS}
        return Seen(
            {tenant_id: (at - began).total_seconds() for tenant_id, at in synced.items() if at is not None},
            *_published(fleet, before),
            sum(call.operation == "GetIngestionJob" for call in fleet.calls.made),
        )


def _published(fleet: VirtualFleet, before: int) -> tuple[int, tuple[int, ...]]:
    ended = [
        event["Detail"]
        for event in fleet.events[before:]
        if event["DetailType"] == "Ingestion Job State Change"
        and event["Detail"]["tenant_id"] in LOUD
        and event["Detail"]["outcome"]
    ]
    return len(ended), tuple(len(each["failure_reasons"]) + each["reasons_left_out"] for each in ended)


def prove() -> Row:
    row = Row(f"{len(LOUD)} jobs with all that Bedrock may say keep nobody from being synced")
    quiet, loud = seen(loud=False), seen(loud=True)
    for tenant_id in OTHERS:
        lag, usual = loud.lags[tenant_id], quiet.lags[tenant_id]
        row.add(None if lag <= MOST_TIMES_THE_LAG * usual else f"{tenant_id} was synced after {lag} s, not {usual} s")
    row.add(None if loud.ended == len(LOUD) else f"{loud.ended} ends of {len(LOUD)} jobs were published")
    row.add(None if set(loud.reasons) == {REASONS} else f"not all reasons are counted: {loud.reasons}")
    row.add(None if loud.looks <= 2 * quiet.looks else f"{loud.looks} looks at jobs, not {quiet.looks}")
    longest = max(loud.lags[tenant_id] / quiet.lags[tenant_id] for tenant_id in OTHERS)
    row.findings.append(f"lag of the others at most {longest:.2f} times the usual one, {MOST_TIMES_THE_LAG} allowed")
    return row
