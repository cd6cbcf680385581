"""What a report of `kbfleet verify` says, and what one that is read back may do: be compared, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import cli.main
from cli.fleet_api import FleetUnreachable, Refused
from cli.verify.facts import FACTS, NotObserved, Observation, Says, Took, Verdict, Within, Word
from cli.verify.report import MAX_BYTES, Line, Report, compare
from cli.verify.under_test import Late, Trial, answered
from kbfleet.domain.errors import InvalidInput

SECRETS = (
    "123456789012",
    "arn:aws:iam::123456789012:role/acme",
    "s3://kbfleet-acme-1a2b/rules.pdf",
    "https://abcdefghij.execute-api.us-east-1.amazonaws.com",
    "Kayaks Ltd.",
    "\x1b]52;c;cm0gLXJm\x07",
)


def a_report(**observed: Observation) -> Report:
    lines = [
        Line.of(fact, observed.get(identity.replace("-", "_"), NotObserved("it was left out")), 1.0)
        for identity, fact in FACTS.items()
    ]
    return Report(kbfleet="0.1.0", region="us-east-1", made_on="2026-12-01", facts=tuple(lines))  # type: ignore[arg-type]


def written(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "report.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


# --- what is observed ---


@pytest.mark.parametrize(
    ("observed", "agrees"),
    [
        (Took(50, 60), True),
        (Took(0, 40), True),
        (Took(100, inf), True),
        (Took(0, 39.9), False),
        (Took(100.1, 200), False),
        (Word("50 to 60 s"), False),
    ],
)
def test_a_time_agrees_where_it_may_lie_in_what_is_expected(observed: Observation, agrees: bool) -> None:
    assert Within(40, 100).agrees(observed) is agrees


def test_what_was_not_observed_confirms_nothing() -> None:
    for fact in FACTS.values():
        assert fact.verdict(NotObserved("nobody looked")) is Verdict.NOT_OBSERVED


def test_what_is_expected_can_be_told_from_the_contrary() -> None:
    for fact in FACTS.values():
        other = Word("otherwise") if isinstance(fact.expected, Says) else Took(fact.expected.high + 1, inf)
        assert fact.verdict(other) is Verdict.REFUTED


# --- what is written ---


def raised(secret: str) -> list[Exception]:
    said = {"Error": {"Code": secret, "Message": secret}}
    return [
        ClientError(said, "CreateKnowledgeBase"),  # type: ignore[arg-type] # boto3-stubs want more of it
        Refused(400, secret, secret),
        FleetUnreachable(secret),
        Late("it did not come"),
    ]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_report_holds_nothing_that_others_have_said(secret: str) -> None:
    observed: dict[str, Observation] = {}
    for error, fact in zip(raised(secret), FACTS, strict=False):
        trial = Trial(_Fleet(), lambda _: None)  # type: ignore[arg-type]
        with trial.within(10, fact):
            raise error
        observed |= trial.observed

    def call() -> None:
        raise raised(secret)[0]

    observed["duplicate-name"] = Word(answered(call, "already exists"))
    report = a_report(**{fact.replace("-", "_"): seen for fact, seen in observed.items()})
    text = report.model_dump_json()
    assert secret not in text
    assert not re.search(r"\d{12}|arn:|://|amazonaws|\\u00", text)
    assert len([line for line in report.facts if line.because != "it was left out"]) == 5


class _Fleet:
    speed = 1.0

    def now(self) -> float:
        return 0.0


# --- what is read back ---


def test_a_report_says_what_differs_from_what_the_emulator_plays(tmp_path: Path) -> None:
    report = a_report(
        vector_knowledge_base_creation=Took(400, 410),
        sixth_job=Word("ServiceQuotaExceededException: per account"),
        second_job=Word("ConflictException: per knowledge base"),
    )
    read = Report.read(written(tmp_path, report.model_dump(mode="json")))
    assert read == report
    made = compare(read)
    assert [each.fact.identity for each in made.differences] == ["vector-knowledge-base-creation", "sixth-job"]
    assert made.confirmed == 1
    assert len(made.not_observed) == len(FACTS) - 3
    shown = CliRunner().invoke(cli.main.app, ["verify", "--compare", str(tmp_path / "report.json")])
    assert shown.exit_code == 1
    assert "VECTOR_CREATION" in shown.stdout
    assert "ServiceQuotaExceededException: per account" in shown.stdout


def test_a_report_of_a_stand_in_is_told_from_one_of_aws(tmp_path: Path) -> None:
    document = a_report().model_dump(mode="json") | {"speed": 60}
    shown = CliRunner().invoke(cli.main.app, ["verify", "--compare", str(written(tmp_path, document))])
    assert "not of AWS" in shown.stdout


def test_a_report_is_believed_no_verdict(tmp_path: Path) -> None:
    document = a_report(sixth_job=Word("accepted")).model_dump(mode="json")
    for line in document["facts"]:
        line["verdict"] = "CONFIRMED"
    made = compare(Report.read(written(tmp_path, document)))
    assert [each.fact.identity for each in made.differences] == ["sixth-job"]
    assert made.confirmed == 0


def test_facts_of_other_versions_are_counted(tmp_path: Path) -> None:
    document = a_report().model_dump(mode="json")
    document["facts"].append({"fact": "moon-phase", "verdict": "REFUTED", "word": "full"})
    assert compare(Report.read(written(tmp_path, document))).unknown == 1


def a_line(**changes: object) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["facts"][0].update(changes)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document.update(format=2),
        lambda document: document.update(account="123456789012"),
        lambda document: document.update(region="\x1b[2J"),
        lambda document: document.update(kbfleet="[link=https://example.com]0.1[/link]"),
        lambda document: document.update(facts=document["facts"] * 20),
        a_line(fact="../../etc/passwd"),
        a_line(word="run\x1b]52;c;cm0gLXJm\x07", because=None),
        a_line(word="[bold]confirmed[/]", because=None),
        a_line(word="a" * 161, because=None),
        a_line(word="both"),
        a_line(because=None),
        a_line(seconds=[-1, 2], because=None),
        a_line(seconds=[1, 1e9], because=None),
        a_line(seconds=[180, 40], because=None),
        lambda document: document["facts"].append(document["facts"][0]),
        a_line(verdict="FINE"),
        a_line(note="s3://acme/rules.pdf"),
    ],
)
def test_what_is_no_report_is_refused(spoil: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    document = a_report().model_dump(mode="json")
    spoil(document)
    refused = CliRunner().invoke(cli.main.app, ["verify", "--compare", str(written(tmp_path, document))])
    assert refused.exit_code == 2
    assert "\x1b" not in refused.output


@pytest.mark.parametrize("content", ["", "[" * 100_000, "null", '{"format": 1}', "x" * (MAX_BYTES + 1)])
def test_a_file_of_anything_is_refused(content: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="report"):
        Report.read(written(tmp_path, content))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        Report.read(tmp_path / "nothing.json")


@given(st.binary(max_size=2_000))
def test_bytes_are_a_report_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("report") / "report.json"
    path.write_bytes(content)
    with pytest.raises(InvalidInput):
        Report.read(path)
