"""Rounds of golden questions: everybody, at half the pace, from where the last lap stopped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import count, pairwise

import pytest

from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.question_runs import QuestionWatch, RunCause, Standing
from kbfleet.domain.questions import QuestionId
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.usecases.question_rounds import EVERY, LAP, SHARE
from tests.support.clock import START
from tests.support.fleet import SEARCH_INTERVAL, Fleet
from tests.support.samples import tenant

QUESTIONS = {QuestionId(f"q{number:04}"): Standing(1) for number in range(20)}


def fleet_of(tenants: int) -> Fleet:
    fleet = Fleet()
    for number in range(tenants):
        tenant_id = TenantId(f"t-{number:04}")
        fleet.registry.create(tenant(tenant_id))
        fleet.question_watches.save(QuestionWatch(Life(tenant_id), QUESTIONS, questions=len(QUESTIONS)))
    return fleet


def asked(fleet: Fleet) -> list[str]:
    return [str(life.tenant_id) for _, life, _ in fleet.question_runs.waiting]


def test_everybody_comes_once_however_many_laps_it_takes() -> None:
    fleet = fleet_of(1_000)
    laps = 0
    while len(asked(fleet)) < 1_000:
        assert fleet.question_rounds.go_on() > 0
        fleet.clock.advance(LAP.total_seconds())
        laps += 1
    assert asked(fleet) == sorted(set(asked(fleet)))
    assert laps > 5
    assert {(request.cause, request.at) for _, _, request in fleet.question_runs.waiting if request} == {
        (RunCause.ROUND, START)
    }
    # Half of the searches are for changes and for people.
    times = [at for at, _, _ in fleet.question_runs.waiting]
    assert all(later - earlier >= timedelta(0) for earlier, later in pairwise(times))
    assert times[-1] - START >= 999 * 20 * SEARCH_INTERVAL / SHARE * 0.9
    # And the next round begins a day after this one did.
    assert fleet.question_rounds.go_on() == 0
    fleet.clock.set(max(fleet.clock.now(), START + EVERY))
    assert fleet.question_rounds.go_on() > 0


@pytest.mark.parametrize("tenants", [0, 1, 50, 51])
def test_a_small_fleet_is_done_in_a_lap(tenants: int) -> None:
    fleet = fleet_of(tenants)
    assert fleet.question_rounds.go_on() == tenants
    assert fleet.question_rounds.go_on() == 0


def test_nobody_is_asked_who_has_no_questions_or_is_out_of_service() -> None:
    fleet = fleet_of(2)
    fleet.registry.create(tenant(TenantId("none")))
    fleet.registry.replace(tenant(TenantId("t-0001"), status=TenantStatus.SUSPENDED), fence=1)
    assert fleet.question_rounds.go_on() == 1
    assert asked(fleet) == ["t-0000"]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(5))
def test_a_round_that_dies_on_its_first_page_is_the_same_one_when_it_goes_on(
    at: int, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was another one, of a later time: everybody on that page was asked twice."""
    fleet, calls = fleet_of(3), count()

    def mortal(call: Callable[..., None]) -> Callable[..., None]:
        def called(*arguments: object, **options: object) -> None:
            dies = next(calls) == at
            if dies and not after:
                raise ConnectionError
            call(*arguments, **options)
            if dies:
                raise ConnectionError

        return called

    monkeypatch.setattr(fleet.question_runs, "request", mortal(fleet.question_runs.request))
    monkeypatch.setattr(fleet.question_round_positions, "save", mortal(fleet.question_round_positions.save))
    with pytest.raises(ConnectionError):
        fleet.question_rounds.go_on()
    for _ in range(2):
        fleet.clock.advance(LAP.total_seconds())
        fleet.question_rounds.go_on()
    assert set(asked(fleet)) == {"t-0000", "t-0001", "t-0002"}
    assert len({request.at for _, _, request in fleet.question_runs.waiting if request}) == 1


def test_a_lap_that_dies_is_taken_up_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = fleet_of(120)
    request, calls = fleet.question_runs.request, iter(range(1_000))

    def dying(*arguments: object, **options: object) -> None:
        if next(calls) == 70:
            raise ConnectionError
        request(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(fleet.question_runs, "request", dying)
    with pytest.raises(ConnectionError):
        fleet.question_rounds.go_on()
    for _ in range(5):
        fleet.question_rounds.go_on()
    assert set(asked(fleet)) == {f"t-{number:04}" for number in range(120)}
    # Those of the page that was not done come again, for the same time: a run serves both.
    assert len(asked(fleet)) <= 120 + 50
    assert len({request.at for _, _, request in fleet.question_runs.waiting if request}) == 1
