"""What `make audit` makes of what checkov finds."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from tests.oracles.audit import Acceptance, Finding, acceptances, new, read, run, stale

FUNCTIONS = Acceptance("CKV_AWS_117", "AWS::Lambda::Function.*", "no network")


def report(**summary: int) -> dict[str, Any]:
    failed = {"check_id": "CKV_AWS_117", "resource": "AWS::Lambda::Function.A", "check_name": "Inside a VPC"}
    return {"results": {"failed_checks": [failed]}, "summary": {"passed": 1, "parsing_errors": 0, **summary}}


@pytest.mark.parametrize(
    ("finding", "is_new"),
    [
        (Finding("CKV_AWS_117", "AWS::Lambda::Function.A"), False),
        (Finding("CKV_AWS_117", "AWS::Batch::Job.A"), True),
        (Finding("CKV_AWS_118", "AWS::Lambda::Function.A"), True),
    ],
)
def test_what_is_not_accepted_is_new(finding: Finding, is_new: bool) -> None:
    assert bool(new([finding], [FUNCTIONS])) == is_new


def test_what_is_accepted_and_not_found_is_stale() -> None:
    assert stale([], [FUNCTIONS]) == [FUNCTIONS]
    assert stale([Finding("CKV_AWS_117", "AWS::Lambda::Function.A")], [FUNCTIONS]) == []


def test_what_is_accepted_says_why_in_a_line() -> None:
    assert acceptances()
    for each in acceptances():
        assert len(each.because) > 20
        assert "\n" not in each.because


def test_a_report_is_read() -> None:
    assert [(each.check, each.resource) for each in read(report())] == [("CKV_AWS_117", "AWS::Lambda::Function.A")]


@pytest.mark.parametrize("summary", [{"parsing_errors": 1}, {"passed": 0}])
def test_a_report_of_what_was_not_looked_at_is_no_report(summary: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="not looked at everything"):
        read(report(**summary))


def test_checkov_is_told_to_reach_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in its place says how it was called."""
    monkeypatch.setenv("BC_API_KEY", "of somebody's other work")
    program = tmp_path / "checkov"
    program.write_text(f'#!/bin/sh\necho "$*" > {tmp_path}/called\nenv > {tmp_path}/environment\nexit 2\n', "utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(RuntimeError):
        run(str(program))
    assert "--skip-download" in (tmp_path / "called").read_text("utf-8")
    environment = (tmp_path / "environment").read_text("utf-8")
    assert "BC_API_KEY" not in environment
    for setting in ("CKV_SKIP_PACKAGE_UPDATE_CHECK=true", "https_proxy=http://127.0.0.1:9"):
        assert setting in environment
