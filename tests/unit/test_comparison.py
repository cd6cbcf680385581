"""Whether a candidate may become the live knowledge: by documents that are answered from, and by golden questions."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbfleet.domain.comparison import (
    LAGS_AT_MOST,
    NAMED_QUESTIONS,
    AskedOfBoth,
    Comparison,
    Standing,
    answered_documents,
    compared,
    going_unasked,
    is_complete,
)
from kbfleet.domain.deletions import AnsweredFrom, Hold, HoldReason
from kbfleet.domain.names import Knowledge
from kbfleet.domain.questions import QuestionId
from kbfleet.domain.sync import Priority, Sync
from tests.support.clock import START
from tests.support.samples import ACME, first_knowledge

A_MINUTE = timedelta(minutes=1)


def asked(*hits: tuple[bool, bool]) -> list[AskedOfBoth]:
    """Args: hits: of the live one, and of the candidate."""
    return [AskedOfBoth(QuestionId(f"q{place:04}"), live, candidate) for place, (live, candidate) in enumerate(hits)]


def judged(
    live: int | None = 10, candidate: int | None = 10, *hits: tuple[bool, bool], tolerance: int = 5
) -> Comparison:
    return compared(START, live_documents=live, candidate_documents=candidate, asked=asked(*hits), tolerance=tolerance)


class TestTheGate:
    def test_as_many_documents_and_no_questions_are_enough(self) -> None:
        comparison = judged()
        assert comparison.may_be_promoted
        assert comparison.candidate.hit_rate is None

    def test_one_document_less_is_not(self) -> None:
        (reason,) = judged(10, 9).refusals
        assert "from 9 documents, the live one from 10" in reason

    def test_a_candidate_of_which_nobody_knows_is_not_promoted(self) -> None:
        assert not judged(None, None).may_be_promoted

    def test_a_live_one_of_which_nobody_knows_keeps_nothing_back(self) -> None:
        assert judged(None, 0).may_be_promoted

    def test_questions_that_find_less_keep_it_back_and_are_named(self) -> None:
        comparison = judged(10, 10, (True, False), (True, True), (False, True), (True, False))
        assert [str(each) for each in comparison.worse] == ["q0000", "q0003"]
        assert [str(each) for each in comparison.better] == ["q0002"]
        (reason,) = comparison.refusals
        assert "2 of 4 golden questions" in reason
        assert "3 in the live one: that is 25 percentage points less" in reason

    def test_what_is_tolerated_is_tolerated_to_the_point(self) -> None:
        hits = [(True, place > 0) for place in range(20)]
        assert judged(10, 10, *hits, tolerance=5).may_be_promoted
        assert not judged(10, 10, *hits, tolerance=4).may_be_promoted

    def test_where_nothing_is_live_any_more_whatever_is_complete_is_better(self) -> None:
        comparison = compared(
            START,
            live_documents=10,
            candidate_documents=None,
            asked=[AskedOfBoth(QuestionId("q0000"), None, candidate=False)],
            tolerance=0,
            standing=Standing.GONE,
        )
        assert comparison.may_be_promoted
        assert (comparison.live, comparison.candidate.asked) == (None, 1)

    @pytest.mark.parametrize(
        ("candidate", "remade", "missing", "accepted", "going"),
        [
            (3, False, 0, 0, 0),
            (0, False, 0, 0, 10),
            (None, False, 0, 0, 10),
            (3, True, 0, 0, 7),
            (10, True, 0, 0, 0),
            (3, False, 7, 0, 7),
            (3, True, 7, 7, 0),
            (0, True, 10, 10, 0),
        ],
    )
    def test_what_is_answered_from_without_a_data_source_does_not_go_unasked(
        self, candidate: int | None, remade: bool, missing: int, accepted: int, going: int
    ) -> None:
        read = AnsweredFrom("DS00000001", 10, START, START)
        hold = Hold(HoldReason.EMPTY, missing, 10, START, START) if missing else None
        live = replace(Sync(ACME), answered_from=read, hold=hold, accepted=accepted)
        made_at = START + timedelta(hours=1) if remade else None
        assert going_unasked(live, 10, candidate, made_at) == going
        comparison = compared(
            START,
            live_documents=10,
            candidate_documents=candidate,
            asked=[],
            tolerance=0,
            standing=Standing.BEREFT,
            going=going,
        )
        assert comparison.may_be_promoted is not bool(going)
        assert comparison.live is None

    @given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60), st.integers(0, 100), st.integers(0, 20))
    def test_it_is_never_promoted_when_it_is_worse_by_more(
        self, hits: list[tuple[bool, bool]], tolerance: int, documents: int
    ) -> None:
        comparison = judged(10, documents, *hits, tolerance=tolerance)
        lost = sum(live for live, _ in hits) - sum(candidate for _, candidate in hits)
        worse = documents < 10 or (bool(hits) and lost / len(hits) > tolerance / 100 + 1e-9)
        assert comparison.may_be_promoted is not worse
        assert len(comparison.worse) <= NAMED_QUESTIONS


class TestDocuments:
    ENTRY = replace(
        Sync.never_stored(first_knowledge("acme")),
        answered_from=AnsweredFrom("DS00000002", 12, START, START, left_out=2),
    )

    def test_those_that_were_found_less_those_left_out(self) -> None:
        assert answered_documents(self.ENTRY, "DS00000002") == 10
        assert answered_documents(replace(self.ENTRY, documents_left_out=3), "DS00000002") == 9

    def test_what_another_data_source_has_read_says_nothing(self) -> None:
        assert answered_documents(self.ENTRY, "DS00000003") is None
        assert answered_documents(replace(self.ENTRY, answered_from=None), "DS00000002") is None


class TestCompleteness:
    LIVE = replace(Sync.never_stored(first_knowledge("acme")), synced_at=START)
    SYNCED = replace(
        Sync.never_stored(Knowledge(first_knowledge("acme").life, 2)),
        requested_generation=1,
        synced_generation=1,
        synced_data_source_id="DS00000022",
        synced_at=START,
    )

    def complete(self, candidate: Sync, live: Sync = LIVE) -> bool:
        return is_complete(candidate, "DS00000022", live)

    def test_one_that_was_never_synced_is_not(self) -> None:
        assert not self.complete(Sync.never_stored(self.SYNCED.of_knowledge))

    def test_one_for_which_nothing_waits_is(self) -> None:
        assert self.complete(self.SYNCED)

    def test_a_change_that_the_live_one_has_and_it_has_not_is_waited_for(self) -> None:
        assert not self.complete(self.SYNCED.requested(START - A_MINUTE, Priority.CHANGED))

    def test_a_change_that_neither_has_is_not(self) -> None:
        assert self.complete(self.SYNCED.requested(START + A_MINUTE, Priority.CHANGED))

    def test_where_changes_never_rest_it_may_lag_behind_by_little(self) -> None:
        behind = self.SYNCED.requested(START - A_MINUTE, Priority.CHANGED)
        read = AnsweredFrom("DS00000022", 3, START, START)
        for lag, complete in ((LAGS_AT_MOST, True), (LAGS_AT_MOST + A_MINUTE, False)):
            live = replace(self.LIVE, answered_from=AnsweredFrom("DS00000002", 3, START + lag, START + lag))
            assert self.complete(replace(behind, answered_from=read), live) is complete
