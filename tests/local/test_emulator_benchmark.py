"""What the benchmark of the emulator measures, it measures: tried here on a small scale, without its targets."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from typer.testing import CliRunner

from benchmarks import emulator
from benchmarks.__main__ import app
from benchmarks.documents import document
from benchmarks.report import Measurement, show


def test_a_small_scale_is_measured_in_seconds() -> None:
    scale = emulator.Scale(documents=6, chunks=40, questions=5, knowledge_bases=12, embedder="character")
    measured = {measurement.name: measurement.value for measurement in emulator.measure(scale)}
    assert [name.partition(",")[0] for name in measured] == [
        "start until the first answer",
        "6 documents of 5 KB ingested",
        "Retrieve over 40 chunks",
        "Retrieve over 40 chunks",
        "12 knowledge bases held",
        "12 knowledge bases made",
    ]
    assert all(value > 0 for value in measured.values()), measured


@pytest.mark.parametrize(("value", "code"), [(1.9, 0), (2.1, 1)])
def test_a_missed_target_is_reported_by_the_exit_code(monkeypatch: pytest.MonkeyPatch, value: float, code: int) -> None:
    monkeypatch.setattr(emulator, "measure", lambda _: iter([Measurement("start", value, "s", 2)]))
    reported = CliRunner().invoke(app, ["emulator"])
    assert reported.exit_code == code
    assert ("FAIL" if code else "PASS") in reported.output


def test_the_table_tells_the_machine() -> None:
    written = io.StringIO()
    assert show("Emulator", [Measurement("rate", 5_000, "/s")], Console(file=written, width=100))
    assert "5,000 /s" in written.getvalue()
    assert "Python" in written.getvalue()


@pytest.mark.parametrize("number", range(4))
def test_documents_are_the_same_in_every_run_and_of_the_size_asked_for(number: int) -> None:
    text = document(number, 5_000)
    assert text == document(number, 5_000)
    assert 4_700 < len(text.encode()) <= 5_000
