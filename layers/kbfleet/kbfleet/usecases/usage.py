"""Counting what tenants' questions use, from the lines that are written of each."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from kbfleet.domain.errors import ConcurrentUpdate
from kbfleet.domain.usage import DailyUsage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kbfleet.domain.usage import AnsweredQuestion, GoldenQuestionAsked
    from kbfleet.ports import Clock, UsageRecords

_ATTEMPTS = 20
"""Deliveries that meet at one tenant's day are few; losing this often in a row means something is broken."""


def count_usage(
    questions: Iterable[AnsweredQuestion | GoldenQuestionAsked], *, delivery: str, records: UsageRecords, clock: Clock
) -> list[DailyUsage]:
    """Adds questions to the days of their tenants' lives; that of a question is the day in UTC on which it was
    asked, however late its line comes.

    Args:
        delivery: identity of what the questions came with. The same delivery again counts nothing.

    Returns: what the delivery amounts to, by life and day.

    Raises:
        ConcurrentUpdate: it lost twenty times in a row against other deliveries.
        Throttled, NotReadyYet, AwsRefusal.
    """
    days: dict[tuple[str, str, int], DailyUsage] = {}
    for question in questions:
        day = question.at.astimezone(UTC).date()
        key = (question.tenant_id, day.isoformat(), question.life)
        days[key] = days.get(key, DailyUsage(question.tenant_id, day, life=question.life)).plus(question.counts)
    # In one order, so that the same delivery is divided in the same way each time it comes.
    usage = [days[key] for key in sorted(days)]
    for _ in range(_ATTEMPTS):
        try:
            records.add(usage, delivery=delivery, now=clock.now())
        except ConcurrentUpdate:
            continue
        return usage
    raise ConcurrentUpdate(f"Usage of delivery {delivery} collided with others {_ATTEMPTS} times while it was added.")
