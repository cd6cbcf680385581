"""A whole run: what it will make and cost, the story, the probes, and the cleaning up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from math import inf

from cli.costs.estimate import STORES, Estimate, When, Workload, estimate
from cli.costs.prices import Prices
from cli.costs.ranges import Range, total
from cli.costs.stack_parts import stack_parts
from cli.costs.tables import amount
from cli.verify import story
from cli.verify.facts import CROSSING_ATTEMPTS, FACTS, NotObserved
from cli.verify.probes import (
    PROBES,
    REMOVING_SECONDS,
    remove_probe_bucket,
    remove_probe_knowledge_bases,
    remove_probe_role,
)
from cli.verify.report import Line, Report
from cli.verify.under_test import UNANSWERED, FleetUnderTest, Late, Trial, reason_of
from kbfleet.contracts.tenants import ListedTenantBody
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.names import TenantId
from kbfleet.domain.tenant_status import TenantStatus

_QUESTIONS = CROSSING_ATTEMPTS + 40
"""Of a tenant, more than are asked."""
_DOCUMENTS = 10
_SUSPENDING_SECONDS = 300.0
_ELSEWHERE = "Leave it out, or run it on a stack of its own in another account or Region."
_LISTING_SECONDS = 60.0
"""Until a tenant that was just requested is listed."""
_CLEANING_SECONDS = _LISTING_SECONDS + story.OFFBOARDING_SECONDS + REMOVING_SECONDS


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would make.

    Args:
        costs: in USD at most, as a table of prices has it, and what is not in it.
        seconds: after which it has ended, at the latest.
    """

    tenants: tuple[TenantId, ...]
    costs: str
    seconds: float


def plan(fleet: FleetUnderTest, *, limits: bool) -> Plan:
    """Raises: InvalidInput when somebody is in the way; FleetUnreachable, Refused."""
    _require_room(fleet, limits=limits)
    tenants = (story.ONE, story.TWO, *(story.LIMITS if limits else ()))
    seconds = story.SECONDS + sum(probe.seconds for probe in PROBES if limits or not probe.limits) + _CLEANING_SECONDS
    seconds += _SUSPENDING_SECONDS if limits else 0.0
    return Plan(tenants, _costs(fleet, len(tenants)), seconds)


def _require_room(fleet: FleetUnderTest, *, limits: bool) -> None:
    """Raises: InvalidInput when tenants, or knowledge bases where limits are tried, are in the way; FleetUnreachable,
    Refused."""
    ours, others = _in_service(fleet)
    if ours:
        raise InvalidInput(
            "verify", "tenants of a former run are still there.", remedy="Run `kbfleet verify --clean-up` first."
        )
    if strangers := [each for each in others if each.tenant_id in story.IDS]:
        raise InvalidInput("verify", f"tenant {strangers[0].tenant_id} is somebody's; it takes that id for itself.")
    if limits and others:
        raise InvalidInput(
            "probe-limits",
            f"{len(others)} other tenants are in service, and would have to wait for what it uses up.",
            remedy=_ELSEWHERE,
        )
    # Limits are the account's: another fleet's tenants, or a knowledge base of another program, would wait as well.
    if limits and (bases := _knowledge_bases(fleet)):
        raise InvalidInput(
            "probe-limits",
            f"{bases} knowledge bases of the account are in this Region, and may have to wait for what it uses up.",
            remedy=_ELSEWHERE,
        )


def _knowledge_bases(fleet: FleetUnderTest) -> int:
    pages = fleet.client("bedrock-agent", patient=True).get_paginator("list_knowledge_bases").paginate()
    return sum(each["status"] != "DELETING" for page in pages for each in page["knowledgeBaseSummaries"])


def _in_service(fleet: FleetUnderTest) -> tuple[list[ListedTenantBody], list[ListedTenantBody]]:
    """The tenants of former runs, and all others."""
    there = [each for each in fleet.api.tenants(None).tenants if each.status is not TenantStatus.OFFBOARDED]
    ours = [each for each in there if each.tenant_id in story.IDS and each.name == story.NAME]
    return ours, [each for each in there if each not in ours]


def _costs(fleet: FleetUnderTest, tenants: int) -> str:
    """A whole month of what exists for an hour or two, on the dearest store: more than it can be."""
    workload = Workload(
        tenants=tenants, documents=_DOCUMENTS, pages=1, megabytes=0.01, changed=1.0, questions=_QUESTIONS
    )
    region = fleet.api.region
    regions = (region, "us-east-1")
    for named in regions:
        try:
            prices = Prices.of_region(named)
        except InvalidInput:
            continue
        made = estimate(workload, prices, stack_parts())
        dearest = max(_of(made, store).high for store in STORES)
        if dearest < inf:
            break
    bound = f"{amount(Range.exactly(dearest))} USD"
    elsewhere = f", by the prices of {named}: not all of {region} are known" if named != region else ""
    model = fleet.parameters.get("GenerationModelId", "")
    questions = f"; and {_QUESTIONS * 2} questions to a model whose price is not known"
    return f"at most {bound}{elsewhere}{'' if prices.of_tokens(model) else questions}"


def _of(made: Estimate, store: str) -> Range:
    return total([made.total(when, store) for when in (When.MONTHLY, When.ONCE)])


def verify(trial: Trial, tenants: Sequence[TenantId], *, limits: bool) -> Report:
    """Tells the story, probes, and takes everything back, whatever happens.

    Raises: whatever stopped it, KeyboardInterrupt too, after cleaning up; Late when something could not be taken back;
    InvalidInput, having made nothing, when somebody is in the way.
    """
    # Once more: whoever was asked may have answered an hour later.
    _require_room(trial.fleet, limits=limits)
    try:
        if tell(trial, tenants):
            probe(trial, limits=limits)
        end(trial, tenants)
    finally:
        clean_up(trial)
    return written(trial, limits=limits)


def tell(trial: Trial, tenants: Sequence[TenantId]) -> bool:
    """The story, up to where the tenants are to go. Returns: whether there are tenants to probe on."""
    story.provision(trial, tenants)
    there = all(each in trial.tenants and trial.tenants[each].status is TenantStatus.ACTIVE for each in tenants)
    if there:
        for scene in (
            story.use_key,
            story.upload,
            story.search,
            story.ask,
            story.break_and_repair,
            story.cross,
        ):
            scene(trial)
    return there


def probe(trial: Trial, *, limits: bool) -> None:
    """Every probe; those of the limits, too, if they are wanted."""
    if limits:
        with trial.within(_SUSPENDING_SECONDS):
            # So that kbfleet starts no job of its own for what the probes upload.
            for tenant_id in story.LIMITS:
                trial.fleet.api.suspend(tenant_id)
    for each in PROBES:
        if limits or not each.limits:
            with trial.within(each.seconds, *each.facts):
                trial.say(f"probing {', '.join(each.facts)}")
                each.run(trial)


def end(trial: Trial, tenants: Sequence[TenantId]) -> None:
    """The end of the story."""
    if story.ONE in trial.tenants:
        story.suspend(trial)
    story.offboard(trial, [each for each in tenants if each in trial.tenants])


def clean_up(trial: Trial) -> list[str]:
    """Takes back whatever a run has made, this one or one that crashed. What stays keeps nothing else.

    Returns: what was there, in words of ours.

    Raises: Late when something stays, with every reason.
    """
    found, reasons = list[str](), list[str]()
    for remove in (_tenants_left, _role_left, _bucket_left, _knowledge_bases_left):
        try:
            found += remove(trial)
        except UNANSWERED as error:
            reasons.append(reason_of(error))
    if reasons:
        raise Late("; ".join(reasons))
    return found


def _tenants_left(trial: Trial) -> list[str]:
    fleet = trial.fleet
    # What was requested a moment ago is not listed yet.
    trial.eventually(
        lambda: trial.requested <= {each.tenant_id for each in fleet.api.tenants(None).tenants}, _LISTING_SECONDS
    )
    ours, _ = _in_service(fleet)
    if ours:
        with trial.limited(story.OFFBOARDING_SECONDS):
            story.erase(trial, [each.tenant_id for each in ours])
    return [f"tenant {each.tenant_id}" for each in ours]


def _role_left(trial: Trial) -> list[str]:
    return ["a role for probes"] if remove_probe_role(trial.fleet) else []


def _bucket_left(trial: Trial) -> list[str]:
    return ["a bucket for probes"] if remove_probe_bucket(trial.fleet) else []


def _knowledge_bases_left(trial: Trial) -> list[str]:
    return ["a knowledge base that should have been refused"] if remove_probe_knowledge_bases(trial) else []


def written(trial: Trial, *, limits: bool) -> Report:
    """With a line for every fact, in their order."""
    region = trial.fleet.api.region
    lines = []
    for identity, fact in FACTS.items():
        skipped = "it needs --probe-limits" if fact.limits and not limits else "the run did not come to it"
        observation = trial.observed.get(identity, NotObserved(skipped))
        lines.append(Line.of(fact, observation, trial.took.get(identity, 0.0)))
    today = datetime.now(UTC).date()
    return Report(kbfleet=version("kbfleet"), region=region, made_on=today, speed=trial.fleet.speed, facts=tuple(lines))
