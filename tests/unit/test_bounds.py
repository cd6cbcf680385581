"""How text from outside is kept within bounds, and what is left out is counted."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from kbfleet.domain.bounds import ANSWER_BYTES, REASON_BYTES, bounded_texts, fitting, shortened, size
from kbfleet.domain.ingestion_job import FailureReason
from kbfleet.responses import respond

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
LONG = st.builds(lambda piece, times: piece * times, TEXTS, st.integers(0, 300))


@given(LONG, st.integers(64, 2_000))
def test_a_text_is_cut_to_its_bytes_and_says_how_much_is_left_out(text: str, most: int) -> None:
    kept = shortened(text, most)
    assert size(kept) <= most
    if kept != text:
        counted = re.search(r"… \((\d+) more characters\)$", kept)
        assert counted
        assert text.startswith(kept[: counted.start()])
        assert counted.start() + int(counted[1]) == len(text)


@given(LONG, st.integers(200, 2_000))
def test_what_is_cut_again_still_counts_all(text: str, most: int) -> None:
    assert shortened(shortened(text, 2 * most), most) == shortened(text, most)


@given(TEXTS)
def test_a_size_is_that_of_json_and_never_less_than_that_of_the_text(text: str) -> None:
    assert size(text) == len(json.dumps(text, ensure_ascii=False).encode()) - 2 >= len(text.encode())


@given(st.lists(LONG, max_size=30), st.integers(200, 2_000))
def test_of_texts_for_people_the_last_says_how_many_are_left_out(texts: list[str], most: int) -> None:
    kept = bounded_texts(texts, most)
    left_out = re.fullmatch(r"… and (\d+) more", kept[-1]) if kept and len(kept) <= len(texts) else None
    assert len(kept) + (int(left_out[1]) - 1 if left_out else 0) == len(texts)
    assert sum(map(size, kept)) <= most + 40


def test_as_many_fit_as_there_is_room_for() -> None:
    assert list(fitting([3, 3, 3, 1], lambda each: each, most_bytes=7)) == [3, 3]
    assert list(fitting([1, 1, 1], lambda each: each, most_bytes=7, most=2)) == [1, 1]


@given(LONG, LONG)
def test_a_reason_is_bounded_whatever_it_says_and_names_are_kept_whole_or_not_at_all(text: str, names: str) -> None:
    reason = FailureReason(text, names)
    assert size(reason.text) + size(reason.names) <= REASON_BYTES
    assert reason.names in {names, ""}
    if reason.names != names:
        assert f"names that take {len(names)} characters are left out" in reason.text
    assert FailureReason(reason.text, reason.names) == reason


def test_an_answer_that_is_too_large_is_an_error_that_says_so() -> None:
    class Body(BaseModel):
        text: str

    assert respond(Body(text="a" * 1_000)).status == 200
    refused = respond(Body(text="a" * ANSWER_BYTES))
    assert refused.status == 500
    assert "too much" in json.loads(refused.body)["detail"]
