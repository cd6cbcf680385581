"""The proof that nothing of an offboarded tenant is left but what it says is left, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class ErasedResource:
    """A resource that was looked up again after its deletion, and not found.

    Args:
        kind: what it was, in the field's own words: `bucket`, `knowledge base`, …
        name: its name or id.
    """

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Remainder:
    """Something that outlives the tenant.

    Args:
        where: it is.
        holds: what of the tenant is in it.
        until: by when it is gone; `None` where nobody of kbfleet's deletes it.
    """

    where: str
    holds: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ErasureReceipt:
    """What was deleted, when that was verified, and what remains.

    Args:
        requested_at: when the offboarding was asked for.
        verified_at: when every resource was looked up again and found gone.
        execution: ARN of the execution of `offboard_tenant`.
        life: number of the tenant's life that has ended with it.
    """

    requested_at: datetime
    verified_at: datetime
    execution: str
    erased: tuple[ErasedResource, ...]
    remaining: tuple[Remainder, ...] = ()
    life: int = 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where something remains of every tenant that goes. `kept_for` is `None` where there is no end that kbfleet knows
    of; `until` says it to people."""

    where: str
    holds: str
    until: str
    kept_for: timedelta | None = None

    def remainder(self, now: datetime) -> Remainder:
        return Remainder(self.where, self.holds, now + self.kept_for if self.kept_for is not None else None)


USAGE = Place(
    "usage in the table",
    "its id and numbers, by day",
    "as long as the table lives, which outlives the stack, if `UsageAfterOffboarding` is `KEEP`",
)
LOGS = "logs"
PLACES = (
    Place(
        "tombstone and receipts in the table",
        "its id, times, and names of what is gone",
        "as long as the table lives, which outlives the stack",
    ),
    Place(
        "profiles in the table",
        "what people wrote about it into a prompt, or into words for askers",
        "as long as the table lives, which outlives the stack",
    ),
    Place(
        "incidents in the table",
        "its id, and when something of it was broken",
        "30 days",
        timedelta(days=30),
    ),
    Place(
        "dead-letter queues",
        "messages about it that came later, or that somebody was looking at",
        "14 days",
        timedelta(days=14),
    ),
    Place(
        "point-in-time recovery of the table",
        "all that the table held of it",
        "35 days",
        timedelta(days=35),
    ),
    Place(
        "histories of executions",
        "its id, its profile, names of its resources, reasons of failures, which may name documents",
        "90 days after their end (Step Functions quotas)",
        timedelta(days=90),
    ),
    Place(
        "CloudTrail's event history",
        "its id, and names of its resources",
        "90 days (AWS CloudTrail user guide, Event history)",
        timedelta(days=90),
    ),
    Place(
        "traces",
        "names of its resources, and errors",
        "30 days (AWS X-Ray FAQs)",
        timedelta(days=30),
    ),
    Place(
        "sessions at Bedrock",
        "conversations with its knowledge base",
        "24 hours after they began (Amazon Bedrock API reference, RetrieveAndGenerate)",
        timedelta(days=1),
    ),
    Place(
        "API Gateway's cache",
        "that a token named it",
        "60 seconds",
        timedelta(seconds=60),
    ),
    Place(
        "alerts and events that were sent",
        "its id and name, names of documents, reasons of failures",
        "until their receivers delete them: kbfleet cannot reach them",
    ),
    Place(
        "copies that you made",
        "what you put into them, such as backups of the table",
        "until you delete them: kbfleet cannot reach them",
    ),
)
"""Everywhere but in logs, whose time is the stack's, and usage, which is kept by choice."""


def logs(kept_for: timedelta) -> Place:
    return Place(LOGS, "its id, counts, and errors; no text of it", "`LogRetentionDays`", kept_for)


def remaining(now: datetime, *, keep_usage: bool, logs_kept_for: timedelta) -> tuple[Remainder, ...]:
    """What remains of a tenant whose erasure was verified now."""
    places = (*([USAGE] if keep_usage else ()), *PLACES, logs(logs_kept_for))
    return tuple(place.remainder(now) for place in places)


def table() -> str:
    """Every place, in Markdown."""
    rows = ["| where | what of the tenant | until when |", "|---|---|---|"]
    rows += [f"| {place.where} | {place.holds} | {place.until} |" for place in (USAGE, *PLACES, logs(timedelta()))]
    return "\n".join(rows)
