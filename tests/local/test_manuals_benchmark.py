"""What the benchmark of the manuals counts, and that it says so where they cannot be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.manuals import library, measure


def rows(*ranks: int | None, stands_there: bool = True) -> dict[str, Any]:
    asked = [
        {"question": str(n), "stands there": stands_there, "rank": rank, "rank of the answer": rank}
        for n, rank in enumerate(ranks)
    ]
    return {"documents": 7, "seconds of reading": 1.5, "asked": asked}


def test_the_questions_are_many_and_in_both_languages() -> None:
    questions = library.questions()
    assert len({each.question for each in questions}) == len(questions) >= 40
    english = [each for each in questions if each.question.isascii()]
    assert 20 <= len(english) <= len(questions) - 20
    assert {each.document for each in questions} >= library.PDFS.keys()


@pytest.mark.parametrize(
    ("ranks", "missed", "code"),
    [((1, 1, 1, 1, 3), (20, 0, 0), 0), ((1, 1, 1, 3, 4), (40, 0, 0), 1), ((*[1] * 9, None), (10, 10, 10), 1)],
)
def test_what_is_missed_is_counted(
    monkeypatch: pytest.MonkeyPatch, ranks: tuple[int | None, ...], missed: tuple[float, ...], code: int
) -> None:
    monkeypatch.setattr(measure, "asked", lambda _: rows(*ranks))
    assert [each.value for each in measure.measure()][:3] == list(missed)
    assert CliRunner().invoke(app, ["manuals"]).exit_code == code


def test_another_checkouts_emulator_is_measured_first_and_has_no_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path | None] = []

    def of(emulator: Path | None) -> dict[str, Any]:
        asked.append(emulator)
        return rows(None, stands_there=False) if emulator else rows(1)

    monkeypatch.setattr(measure, "asked", of)
    assert CliRunner().invoke(app, ["manuals", "--against", "other/emulator"]).exit_code == 0
    assert asked == [Path("other/emulator"), None]


def test_a_question_whose_answer_is_not_in_its_document_is_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "asked", lambda _: rows(1, stands_there=False))
    with pytest.raises(RuntimeError, match="not in the document"):
        list(measure.measure())


def test_it_is_skipped_with_its_reason_where_the_manuals_can_not_be_had(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(measure, "KEPT", tmp_path / "manuals")
    monkeypatch.setenv("PATH", str(tmp_path))
    told = CliRunner().invoke(app, ["manuals"])
    assert told.exit_code == 0
    assert "Skipped: this is not Debian" in told.output
