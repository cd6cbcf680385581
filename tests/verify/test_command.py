"""`kbfleet verify` asks before it makes anything, and says how to go on when it was stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import cli.main
import cli.verify.run
from cli.fleet_api import FleetApi
from cli.fleet_stack import FleetStack
from cli.verify.facts import Word
from cli.verify.report import Report
from cli.verify.run import Plan
from cli.verify.story import IDS
from cli.verify.under_test import Late, Trial

STACK_ID = "arn:aws:cloudformation:eu-central-1:123456789012:stack/kbfleet/00000000-0000-0000-0000-000000000000"


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was begun, of a fleet on which everything could be."""
    done: list[str] = []
    monkeypatch.setattr(FleetApi, "of_stack", lambda *_: FleetApi("https://api.example.com/v1", None))  # type: ignore[arg-type]
    monkeypatch.setattr(FleetStack, "named", lambda *_: FleetStack("kbfleet", {"StackId": STACK_ID}, None))  # type: ignore[arg-type]
    monkeypatch.setattr(cli.verify.run, "plan", lambda *_, **__: Plan(IDS, "at most 2 USD", 3_600))
    monkeypatch.setattr(cli.verify.run, "verify", lambda *_, **__: done.append("verify"))
    return done


def test_nothing_is_made_before_somebody_has_agreed(begun: list[str]) -> None:
    for answers in ("n\n", ""):
        refused = CliRunner().invoke(cli.main.app, ["verify"], input=answers)
        assert refused.exit_code in {1, 2}
    assert begun == []
    assert "stack kbfleet in eu-central-1 of account 123456789012" in refused.stderr
    assert "8 tenants" in refused.stderr
    assert "a bucket" in refused.stderr
    assert "at most 2 USD" in refused.stderr
    assert "60 minutes at most" in refused.stderr


@pytest.mark.parametrize(("stopped", "exit_code"), [(KeyboardInterrupt(), 130), (Late("an offboarding has failed"), 1)])
def test_who_stops_it_learns_how_to_clean_up(
    begun: list[str], stopped: BaseException, exit_code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise stopped

    monkeypatch.setattr(cli.verify.run, "verify", stop)
    result = CliRunner().invoke(cli.main.app, ["verify", "--yes"])
    assert result.exit_code == exit_code
    assert "kbfleet verify --clean-up" in result.stderr
    assert begun == []


@pytest.mark.parametrize("stopped", [KeyboardInterrupt(), Late("it stays"), KeyError("a member of an answer")])
def test_what_was_observed_is_written_however_it_ends(
    begun: list[str], stopped: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(trial: Trial, *_: object, **__: object) -> None:
        trial.note("sixth-job", Word("accepted"))
        raise stopped

    monkeypatch.setattr(cli.verify.run, "verify", stop)
    monkeypatch.setattr(FleetApi, "region", "us-east-1")
    path = tmp_path / "report.json"
    result = CliRunner().invoke(cli.main.app, ["verify", "--yes", "--report", str(path)])
    assert result.exit_code != 0
    lines = {line.fact: line for line in Report.read(path).facts}
    assert lines["sixth-job"].word == "accepted"
    assert lines["suspended-tenant"].because == "the run did not come to it"


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_made(begun: list[str], tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "report.json"
    result = CliRunner().invoke(cli.main.app, ["verify", "--yes", "--report", str(path)])
    assert (result.exit_code, begun) == (2, [])
    assert "cannot be written" in result.stderr


def test_an_older_report_stays_when_nobody_agrees(begun: list[str], tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("of before", "utf-8")
    CliRunner().invoke(cli.main.app, ["verify", "--report", str(path)], input="n\n")
    assert (path.read_text("utf-8"), begun) == ("of before", [])


@pytest.mark.parametrize(("found", "said"), [(["tenant verify-one"], "tenant verify-one"), ([], "there was nothing")])
def test_cleaning_up_says_what_was_there(
    begun: list[str], found: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli.verify.run, "clean_up", lambda _: found)
    result = CliRunner().invoke(cli.main.app, ["verify", "--clean-up"])
    assert (result.exit_code, begun) == (0, [])
    assert said in result.stdout
