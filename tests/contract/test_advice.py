"""What people are told to do can be done: every command exists as it stands, and of every advice somebody has proved
that it helps where it is given."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from collections.abc import Iterator
from itertools import product
from typing import Any

import botocore.session
import pytest
import typer
from botocore import xform_name
from samcli.cli.main import cli as sam

import cli.main
import local.main
from cli.dead_letter_queues import QUEUES
from kbfleet.domain.alert import ALARM_REMEDIES
from kbfleet.domain.finding import NOWHERE, Disagreement, Finding, ResourceKind
from kbfleet.domain.names import TenantId
from tests.e2e.runbook.troubles import TROUBLES, AlertsUndelivered
from tests.proofs.advice import situations, table
from tests.support.advice import commands_in, of_the_code, verbs
from tests.support.runbook import Page, pages
from tests.support.template import REPOSITORY

TABLE = table()
DRILL, NONE = "drill: ", "none: "

ACME = TenantId("acme")
FILLED = {
    "FILE": __file__,
    "KEY": "a.md",
    "QUEUE": QUEUES[0].name,
    "TENANT": "acme",
    "JOB": "JOB0000001",
    "store": "",
    "PROFILE": "office",
}
OF_THE_CLI_ITSELF = {"s3 ls", "configure list-profiles"}
"""Commands of the AWS CLI that call no operation of their name. Source: AWS CLI Command Reference."""


def findings() -> Iterator[Finding]:
    for disagreement, kind, left_on, taken_up, answers_go in product(
        Disagreement, ResourceKind, (None, NOWHERE, "S3_VECTORS"), (True, False), (True, False)
    ):
        yield Finding(disagreement, kind, "x", ACME, left_on, taken_up, answers_go=answers_go)


def proposed() -> list[str]:
    """Every command, with values in place of what is filled in."""
    found = {command for advice in of_the_code() for command in advice.commands}
    found |= {command for finding in findings() for command in commands_in(finding.advice)}
    found |= {finding.whole_command for finding in findings() if finding.whole_command}
    found |= {command for command, _ in ALARM_REMEDIES}
    found |= {command for name in pages() for command in Page.named(name).commands}
    return sorted({filled for command in found for filled in _filled(command)})


def _filled(command: str) -> Iterator[str]:
    """An expression is filled in by what its name says; what names the verb, by every verb there is."""
    named = re.search(r"\{(?:verb|self\.command)\}", command)
    for verb in verbs() if named else ("",):
        said = command.replace(named[0], verb) if named else command
        said = re.sub(r"\{([^{}]*)\}|<([a-z ]+)>", lambda found: _value(found[1] or found[2]), said)
        yield re.sub(r"\b[A-Z]{3,}\b", lambda found: FILLED.get(found[0], found[0]), said)


def _value(expression: str) -> str:
    name = expression.rpartition(".")[2].strip("()")
    if "profile" in expression or expression == "wanted.name":
        return "office"
    if "tenant" in name:
        return "acme"
    return {"missing": "12", "_of(state": " --state x", "queue": QUEUES[0].name, "file": __file__, **FILLED}.get(
        name, "x"
    )


def parses(command: str) -> None:
    """Raises: click's exceptions, AssertionError, when it cannot be run as it stands."""
    words = shlex.split(command)
    match words[0]:
        case "kbfleet":
            _parses_with(typer.main.get_command(cli.main.app), words)
        case "kbfleet-local":
            _parses_with(typer.main.get_command(local.main.app), words)
        case "sam":
            context = sam.make_context("sam", [], resilient_parsing=True)
            found = sam.get_command(context, words[1])
            assert found is not None, command
            assert {word for word in words[2:] if word.startswith("--")} <= {
                option for each in found.params for option in each.opts
            }
        case "aws":
            _is_of_aws(words[1:])
        case "eval" | "export" | "for" | "make" | "python" | ".":
            pass
        case other:
            raise AssertionError(f"{other} is no program that people are told to run: {command}")


def _parses_with(command: Any, words: list[str]) -> None:
    name, *left = words
    while hasattr(command, "commands"):
        # Some groups do what one of their commands does, where none is named.
        otherwise = getattr(command, "otherwise", None)
        word = otherwise if otherwise and left[0] not in command.commands else left.pop(0)
        assert word in command.commands, f"{word} of {words}"
        name, command = f"{name} {word}", command.commands[word]
    command.make_context(name, left).close()


def _is_of_aws(words: list[str]) -> None:
    service, operation, *options = words
    if f"{service} {operation}" in OF_THE_CLI_ITSELF:
        return
    model = botocore.session.get_session().get_service_model(service)
    (called,) = (each for each in model.operation_names if xform_name(each, "-") == operation)
    shape = model.operation_model(called).input_shape
    given = {word for word in options if word.startswith("--")}
    required = {f"--{xform_name(each, '-')}" for each in (shape.required_members if shape else ())}
    known = {f"--{xform_name(each, '-')}" for each in (shape.members if shape else ())} | {
        "--region",
        "--output",
        "--query",
    }
    assert required <= given, f"{words} lacks {required - given}"
    assert given <= known, f"{words} has {given - known}"
    if operation == "describe-stack-resource-drifts":
        assert "--stack-name" in given


@pytest.mark.parametrize("command", proposed())
def test_every_command_that_people_are_told_to_run_can_be_run_as_it_stands(command: str) -> None:
    parses(command)


def test_a_command_that_lacks_something_is_noticed() -> None:
    for wrong in (
        "kbfleet tenant show",
        "kbfleet tenants list",
        "aws secretsmanager restore-secret",
        "kbfleet upload a",
    ):
        with pytest.raises(Exception, match=r".+"):
            parses(wrong)


def resolves(proof: str) -> bool:
    if proof.startswith(NONE):
        return len(proof) > len(NONE)
    if proof.startswith(DRILL):
        return proof.removeprefix(DRILL) in {trouble.__name__ for trouble in (*TROUBLES, AlertsUndelivered)}
    if "::" not in proof:
        return proof in situations()
    path, *names = proof.partition("[")[0].split("::")
    return names[-1].startswith("test_") and _defines(ast.parse((REPOSITORY / path).read_text("utf-8")), names)


def _defines(module: ast.Module, names: list[str]) -> bool:
    """Whether a module has such a test, or a class that has, or whose base in this module has."""
    defined = {each.name: each for each in module.body if isinstance(each, ast.ClassDef | ast.FunctionDef)}
    if len(names) == 1:
        return names[0] in defined
    found = defined.get(names[0])
    if not isinstance(found, ast.ClassDef):
        return False
    own = {each.name for each in found.body if isinstance(each, ast.FunctionDef)}
    bases = (each.id for each in found.bases if isinstance(each, ast.Name))
    return names[1] in own or any(_defines(module, [base, names[1]]) for base in bases)


def test_every_advice_names_what_proves_it() -> None:
    unproved = [each.key for each in of_the_code() if each.key not in TABLE]
    assert unproved == [], "say in tests/contract/advice.json what proves these"


def test_the_table_has_nothing_that_nobody_says() -> None:
    assert TABLE.keys() <= {each.key for each in of_the_code()}


@pytest.mark.parametrize("proof", sorted(set(TABLE.values())))
def test_what_proves_an_advice_is_there(proof: str) -> None:
    assert resolves(proof)


def test_nearly_every_advice_is_proved(capsys: pytest.CaptureFixture[str]) -> None:
    advice = of_the_code()
    proved = [each for each in advice if not TABLE.get(each.key, NONE).startswith(NONE)]
    done = [each for each in proved if TABLE[each.key] in situations() or TABLE[each.key].startswith(DRILL)]
    commanding = [each for each in advice if each.commands]
    rate = (
        f"{len(proved)} of {len(advice)} texts are proved, {len(done)} of them by being followed; "
        f"{len([each for each in proved if each.commands])} of {len(commanding)} of those with a command"
    )
    with capsys.disabled():
        sys.stdout.write(f"\nadvice: {rate}\n")
    assert len(advice) - len(proved) <= UNPROVED_AT_MOST


UNPROVED_AT_MOST = 15
"""May only fall."""
