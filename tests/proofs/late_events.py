"""S3 tells of no change in the first minutes after a bucket's notification was switched on: no upload is lost.

A survey is crashed at each of its calls, and run again as Lambda does. It must request the one sync that is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from kbfleet.domain.sync import SyncState
from kbfleet.domain.tenant import Tenant
from tests.proofs.converged import departures
from tests.proofs.proof import Row, Runs, in_processes
from tests.support.api_requests import api_request
from tests.support.aws_calls import Call, Moment
from tests.support.slowness import Slowness
from tests.support.state_machine import TaskFailed
from tests.support.virtual_fleet import (
    AN_HOUR,
    RARE_SCHEDULE_SECONDS,
    RARE_TICKS,
    VirtualFleet,
    kill_at,
    provisioning_request,
    virtual_fleet,
)
from tests.support.world_copies import CopyDied, in_copy

TENANT = "acme"
LATE_SECONDS = 300.0
"""Source: AWS documentation, Amazon S3 User Guide, Enabling Amazon EventBridge."""
ACTIVE_BEFORE_EVENTS = Slowness(managed_knowledge_base=(5.0, 5.0), managed_data_source=(5.0, 5.0))
"""On MANAGED, too, there is time to upload before S3 begins to tell of changes."""
NOTHING_BY_SCHEDULE = {"SyncEveryHours": "0"}
"""Parameters by which nothing but events and surveys has documents synced."""
REAL_SECONDS = 120
_CERTAIN_SECONDS = 600.0
"""The default of the template's parameter."""
_SURVEY = "RequestScheduledSyncsFunction"


def lost_changes(fleet: VirtualFleet, *tenants: Tenant) -> Iterator[str]:
    """Whose documents were changed after the last job began that has ended well, and whose sync is not held for that;
    in sentences."""
    assert fleet.bucket_events is not None
    for tenant in tenants:
        changed_at = fleet.bucket_events.changed_at.get(str(tenant.bucket_name))
        if changed_at is None:
            continue
        source = {"knowledgeBaseId": tenant.knowledge_base_id, "dataSourceId": tenant.data_source_id}
        pages = fleet.client("bedrock-agent").get_paginator("list_ingestion_jobs").paginate(**source)
        jobs = [job for page in pages for job in page["ingestionJobSummaries"]]
        began = [job["startedAt"].timestamp() for job in jobs if job["status"] == "COMPLETE"]
        if max(began, default=0.0) >= changed_at:
            continue
        if fleet.sync(tenant.tenant_id).hold is None:
            yield f"{tenant.tenant_id}: a change of its documents is lost"


# --- what nobody is told of ---


def _upload(fleet: VirtualFleet, bucket: str) -> None:
    fleet.client("s3").put_object(Bucket=bucket, Key="new.txt", Body=b"Nobody has heard of this.")


def _replace(fleet: VirtualFleet, bucket: str) -> None:
    fleet.client("s3").put_object(Bucket=bucket, Key="kept.txt", Body=b"Another text.")


def _delete(fleet: VirtualFleet, bucket: str) -> None:
    fleet.client("s3").delete_object(Bucket=bucket, Key="kept.txt")


def _delete_for_good(fleet: VirtualFleet, bucket: str) -> None:
    version = fleet.client("s3").head_object(Bucket=bucket, Key="kept.txt")["VersionId"]
    fleet.client("s3").delete_object(Bucket=bucket, Key="kept.txt", VersionId=version)


def _bring_back(fleet: VirtualFleet, bucket: str) -> None:
    versions = fleet.client("s3").list_object_versions(Bucket=bucket)
    (marker,) = versions["DeleteMarkers"]
    fleet.client("s3").delete_object(Bucket=bucket, Key=marker["Key"], VersionId=marker["VersionId"])


def _nothing(_fleet: VirtualFleet, _bucket: str) -> None:
    pass


CHANGES: Mapping[str, Callable[[VirtualFleet, str], None]] = {
    "upload": _upload,
    "replace": _replace,
    "delete": _delete,
    "delete for good": _delete_for_good,
    "bring back": _bring_back,
    "nothing": _nothing,
}


# --- when ---


def _after_a_repair(fleet: VirtualFleet, store: str, change: Callable[[VirtualFleet, str], None]) -> None:
    """Somebody has switched the notification of a bucket with documents off; it was just switched on again."""
    execution = fleet.provision(TENANT, store)
    assert execution.status == "SUCCEEDED", execution.failures
    fleet.timeline.run_for(LATE_SECONDS)
    bucket, s3 = _bucket(fleet), fleet.client("s3")
    for key in ("kept.txt", "gone.txt", "stays.txt"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"A text.")
    s3.delete_object(Bucket=bucket, Key="gone.txt")
    fleet.timeline.run_for(AN_HOUR)
    fleet.settle(TENANT)
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    fleet.provision(TENANT, store)
    change(fleet, bucket)


def _after_the_first_provisioning(fleet: VirtualFleet, store: str, change: Callable[[VirtualFleet, str], None]) -> None:
    """A new tenant's documents come while its first job runs."""
    execution = fleet.start("provision_tenant", provisioning_request(TENANT, store))
    fleet.timeline.run_until(lambda: fleet.sync(TENANT).state is SyncState.RUNNING, within=AN_HOUR)
    change(fleet, _bucket(fleet))
    fleet.finish(execution)


OCCASIONS: Mapping[str, tuple[Callable[..., None], tuple[str, ...]]] = {
    "a repair": (_after_a_repair, tuple(CHANGES)),
    "the first provisioning": (_after_the_first_provisioning, ("upload", "nothing")),
}
"""When events are not on, and what can happen then."""


def _bucket(fleet: VirtualFleet) -> str:
    return fleet.names.bucket(fleet.life(TENANT))


# --- crashing the survey ---


@contextmanager
def _when_events_come(store: str, occasion: str, change: str) -> Iterator[VirtualFleet]:
    """A world at rest, in which a survey is due."""
    prepare, _ = OCCASIONS[occasion]
    with virtual_fleet(
        parameters=RARE_TICKS | NOTHING_BY_SCHEDULE,
        safety_net_seconds=RARE_SCHEDULE_SECONDS,
        late_event_seconds=LATE_SECONDS,
        sync_schedule_seconds=10 * AN_HOUR,  # the survey is ours to run
        slowness=ACTIVE_BEFORE_EVENTS,
    ) as fleet:
        prepare(fleet, store, CHANGES[change])
        tenant = fleet.tenant(TENANT)
        assert tenant is not None
        assert tenant.events_since is not None
        assert fleet.bucket_events is not None
        assert bool(fleet.bucket_events.untold) == (change != "nothing"), "somebody was told"
        fleet.timeline.run_for(tenant.events_since.timestamp() + _CERTAIN_SECONDS - fleet.timeline.now())
        fleet.rest()
        yield fleet


def _surveyed(crash: tuple[int, Moment] | None, changed: bool, store: str, fleet: VirtualFleet) -> list[str]:
    """Runs the survey, as Lambda does, which runs it again where it died. Returns: what is wrong afterwards."""
    before = fleet.sync(TENANT).requested_generation
    disturbances = [kill_at(*crash)] if crash is not None else []
    fleet.calls.disturbances += disturbances
    try:
        fleet.invoke(_SURVEY, {})
    except TaskFailed:
        fleet.invoke(_SURVEY, {})
    fleet.timeline.run_for(RARE_SCHEDULE_SECONDS)
    fleet.settle(TENANT)
    fleet.invoke(_SURVEY, {})
    fleet.settle(TENANT)
    requested = fleet.sync(TENANT).requested_generation - before
    wrong = [] if requested == changed else [f"{requested} syncs were requested"]
    tenant = fleet.tenant(TENANT)
    assert tenant is not None
    shown = fleet.invoke("TenantsFunction", api_request("GET", "/tenants/{tenant_id}", query={}, tenant_id=TENANT))
    if '"changes_unnoticed_until":null' not in shown["body"].replace(" ", ""):
        wrong.append(f"it is shown as {shown['body']}")
    return [*wrong, *lost_changes(fleet, tenant), *departures(fleet, {TENANT: store})]


def _calls(changed: bool, store: str, fleet: VirtualFleet) -> list[Call]:
    """Those of an undisturbed survey."""
    first = len(fleet.calls.made)
    wrong = _surveyed(None, changed, store, fleet)
    assert not wrong, wrong
    until = next((call.number for call in fleet.calls.made[first:] if call.function != _SURVEY), None)
    return fleet.calls.made[first:until]


def crash_everywhere(case: tuple[str, str, str]) -> list[str | None]:
    """Crashes the survey before and after each of its calls.

    Args:
        case: knowledge store, occasion and change, by their names.

    Returns: for each crash what is wrong, with how to repeat it.
    """
    store, occasion, change = case
    changed = change != "nothing"
    outcomes: list[str | None] = []
    with _when_events_come(store, occasion, change) as fleet:
        calls = in_copy(fleet, partial(_calls, changed, store), within=REAL_SECONDS)
        for call in calls:
            for moment in Moment:
                try:
                    wrong = in_copy(
                        fleet, partial(_surveyed, (call.number, moment), changed, store), within=REAL_SECONDS
                    )
                except CopyDied as error:
                    wrong = [str(error)]
                repeat = f"tests.proofs.late_events.crash_everywhere({case})"
                outcomes.append(f"{moment} call {call}: {'; '.join(wrong)}. Repeat: {repeat}" if wrong else None)
    return outcomes


def prove(store: str, *, run: Runs = in_processes) -> Row:
    row = Row("no upload is lost although events were not on: crash at every call of the survey", store)
    cases = [(store, occasion, change) for occasion, (_, changes) in OCCASIONS.items() for change in changes]
    for outcomes in run(crash_everywhere, cases):
        for outcome in outcomes:
            row.add(outcome)
    return row
