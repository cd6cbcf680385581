"""Rounds through all tenants, in which golden questions are asked although nothing has changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from kbfleet.domain.question_runs import RunCause, RunRequest

if TYPE_CHECKING:
    from kbfleet.ports import Clock, QuestionRuns, QuestionWatches, TenantRegistry, TenantRounds

EVERY = timedelta(days=1)
"""A round begins, if the last one has ended."""
LAP = timedelta(minutes=15)
"""For so long, each call has questions asked: it is called again then. It is also the longest that a queue holds a
message back. Source: Amazon SQS API reference, SendMessage."""
SHARE = 0.5
"""Of the searches that golden questions may make: changes and people do not wait behind a whole round."""
_TENANTS = 50
"""That are looked at together."""


@dataclass(frozen=True)
class QuestionRounds:
    """
    Args:
        interval: between two searches for golden questions.
    """

    registry: TenantRegistry
    watches: QuestionWatches
    runs: QuestionRuns
    rounds: TenantRounds
    clock: Clock
    interval: timedelta

    def go_on(self) -> int:
        """Has the questions of the next tenants asked, as many as fit into a lap, each when its turn comes. Whoever
        repeats it has nobody asked twice.

        Returns: of how many tenants.
        """
        now, place = self.clock.now(), self.rounds.find()
        if place.visited is None and place.began_at is None:
            if place.last is not None and now - place.last.began_at < EVERY:
                return 0
            # Before anybody is asked: whoever goes on where this one dies goes on with the same round.
            place = replace(place, began_at=now)
            self.rounds.save(place)
        began_at = place.began_at or now
        requested, turn = 0, timedelta(0)
        while turn < LAP:
            tenants = self.registry.following(place.visited, _TENANTS)
            known = self.watches.known([tenant.this_life for tenant in tenants if tenant.is_in_service])
            for watch in known:
                self.runs.request(watch.of_life, RunRequest(RunCause.ROUND, began_at), after=min(turn, LAP))
                requested += 1
                turn += self.interval / SHARE * max(1, watch.questions)
            last = tenants[-1].tenant_id if len(tenants) == _TENANTS else None
            place = place.moved(last, since=began_at, now=now)
            self.rounds.save(place)
            if last is None:
                break
        return requested
