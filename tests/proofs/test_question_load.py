"""A sample of `make prove`: all golden questions of a fleet at once."""

from __future__ import annotations

import pytest

from tests.proofs import question_load

pytestmark = pytest.mark.timeout(600)


def test_all_questions_of_a_fleet_at_once_keep_to_their_share_beside_people_who_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(question_load, "WINDOWS", 1)
    monkeypatch.setattr(question_load, "WINDOW_SECONDS", 4)
    assert question_load.prove(3, 8).failures == []
