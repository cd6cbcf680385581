"""`kbfleet questions` as an operator types it, on the function that serves it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner, Result

import cli.main
import cli.progress
from cli import doctor
from cli.commands.tenant import _golden_questions
from cli.completion import question_ids
from cli.doctor import Verdict
from cli.fleet_api import FleetApi, Refused
from kbfleet.domain.answer import AnswerOutcome, GeneratedAnswer
from kbfleet.domain.errors import AccessRefused
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.tenant_status import TenantStatus
from tests.handlers.conftest import Handler, event
from tests.support.fleet import Fleet
from tests.support.samples import ACME, SAKURA, tenant

Run = Callable[..., Result]


@pytest.fixture
def run(fleet: Fleet, handler: Callable[[str], Handler], monkeypatch: pytest.MonkeyPatch) -> Run:
    for tenant_id in (ACME, SAKURA):
        fleet.registry.create(tenant(tenant_id))
    serve = handler("admin/questions")

    def signed(_api: FleetApi, kind: Any, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        request, split = event("triggers/get_questions"), urlsplit(path)
        _, _, *named = split.path.split("/")
        tenant_id, *rest = named or [""]
        resource = "/".join(["/tenants/{tenant_id}", *rest]) if named else split.path
        parameters = {"tenant_id": tenant_id}
        if method == "DELETE":
            parameters["question"], resource = rest[-1], "/tenants/{tenant_id}/questions/{question}"
        request |= {
            "httpMethod": method,
            "path": split.path,
            "resource": resource,
            "pathParameters": parameters,
            "multiValueQueryStringParameters": parse_qs(split.query) or None,
            "body": json.dumps(body) if body is not None else None,
        }
        answer = serve(request)
        if answer["statusCode"] >= 400:
            problem = json.loads(answer["body"])
            raise Refused(answer["statusCode"], problem["code"], problem["detail"])
        return kind.model_validate_json(answer["body"])

    def work() -> None:
        """What happens while the command waits."""
        message = fleet.question_runs.take()
        assert message is not None, "nothing is done, and the command waits"
        fleet.question_runner.run(*message, fleet.clock.now() + timedelta(seconds=60))

    monkeypatch.setattr(FleetApi, "_signed", signed)
    monkeypatch.setattr(FleetApi, "of_stack", lambda *_: FleetApi("https://api.example.com/v1", None))  # type: ignore[arg-type]
    monkeypatch.setattr(cli.progress, "pause", work)
    return lambda *arguments: CliRunner().invoke(cli.main.app, ["questions", *arguments])


def advised(result: Result) -> list[str]:
    """The words of the command that a refusal names, behind `kbfleet questions`."""
    (command,) = re.findall(r"`kbfleet questions (.+?)`", " ".join((result.stdout + result.stderr).split()))
    return [word.strip('"') for word in command.split()]


def ids(run: Run, tenant_id: str = "acme") -> list[str]:
    return [each["id"] for each in json.loads(run("list", tenant_id, "--json").stdout)["questions"]]


@pytest.mark.parametrize("asked", [("run", "acme"), ("list", "acme")])
def test_whoever_has_none_is_told_how_to_add_one(run: Run, fleet: Fleet, asked: tuple[str, ...]) -> None:
    command = advised(run(*asked))
    added = run(*command)
    assert added.exit_code == 0, added.output
    fleet.retriever.found = {"…": ["KEY"]}
    passed = run(*advised(added))
    assert passed.exit_code == 0, passed.output
    assert "1 passed, 0 failed" in passed.stdout


def test_whoever_names_one_that_is_not_there_is_told_how_to_see_those_that_are(run: Run) -> None:
    run("add", "acme", "How long?", "--expect", "a.md")
    refused = run("remove", "acme", "q99999")
    assert refused.exit_code == 2
    listed = run(*advised(refused))
    (question,) = ids(run)
    assert question in listed.stdout
    assert run("remove", "acme", question).exit_code == 0
    assert ids(run) == []


def test_a_run_says_what_fails_and_why(run: Run, fleet: Fleet) -> None:
    run("add", "acme", "one", "--expect", "s3://kbfleet-acme/handbook/a.md")
    run("add", "acme", "two", "--expect", "b.md", "--contains", "two years")
    fleet.retriever.found = {"one": ["handbook/a.md"], "two": ["c.md"]}
    result = run("run", "acme")
    assert result.exit_code == 1
    assert "1 passed, 1 failed" in result.stdout
    assert "no expected document is among the first five passages; first came c.md" in result.stdout
    assert run("results", "acme").exit_code == 0
    assert json.loads(run("results", "acme", "--json").stdout)["runs"][0]["score"]["mrr"] == 0.5


def test_a_question_that_does_not_pass_any_more_is_shown_with_its_sync(run: Run, fleet: Fleet) -> None:
    run("add", "acme", "one", "--expect", "a.md")
    for found in (["a.md"], ["a.md"], [], []):
        fleet.retriever.found = {"one": found}
        fleet.clock.advance(60)
        run("run", "acme")
    result = run("results", "acme")
    assert result.exit_code == 1
    assert f"Question {ids(run)[0]} was known to pass" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("one",), "--expect"),
        ((" ", "--must-refuse"), "QUESTION"),
        (("one", "--must-refuse", "--expect", "a.md"), "--must-refuse"),
        (("one", "--contains", "x" * 201), "--contains"),
    ],
)
def test_what_is_wrong_is_called_as_it_was_given(run: Run, arguments: tuple[str, ...], named: str) -> None:
    refused = run("add", "acme", *arguments)
    assert refused.exit_code == 2
    assert f"{named}: " in refused.stderr


# --- files ---


def test_what_is_exported_is_imported_for_another_tenant(run: Run, tmp_path: Path) -> None:
    run("add", "acme", "テントの\n保証は？", "--expect", "規約/a.md", "--contains", "二年")
    run("add", "acme", "The moon?", "--must-refuse")
    file = tmp_path / "questions.jsonl"
    assert run("export", "acme", str(file)).exit_code == 0
    assert run("import", "sakura", str(file)).exit_code == 0
    again = tmp_path / "again.jsonl"
    assert run("export", "sakura", str(again)).exit_code == 0
    assert again.read_text("utf-8") == file.read_text("utf-8")
    assert ids(run, "sakura") == ids(run)


FINE = json.dumps({"user_input": "fine", "must_refuse": True})
TOO_LONG = json.dumps({"user_input": "x" * 1_001, "must_refuse": True})


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ([FINE, "", "{"], "line 3: "),
        ([FINE, '{"user_input": ""}'], "line 2, user_input: "),
        # Only the API knows how long the tenant's knowledge base takes questions.
        ([FINE, "", "", TOO_LONG], "line 4, user_input: has 1,001 characters"),
        ([FINE, FINE], "line 2, user_input: asks what another one asks."),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_imported(
    run: Run, fleet: Fleet, tmp_path: Path, lines: list[str], named: str
) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_text("\n".join(lines), "utf-8")
    refused = run("import", "acme", str(file))
    assert refused.exit_code == 2
    said = " ".join(refused.stderr.split())
    assert f"{file}, {named}" in said
    assert "Nothing was imported." in said
    assert fleet.golden_questions.find(Life(ACME)).version == 0


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe"])
def test_a_file_without_questions_is_refused(run: Run, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "questions.jsonl"
    file.write_bytes(content)
    refused = run("import", "acme", str(file))
    assert refused.exit_code == 2
    assert str(file) in refused.stderr.replace("\n", "")


def test_the_tab_key_knows_the_ids(run: Run) -> None:
    run("add", "acme", "one", "--expect", "a.md")
    context: Any = SimpleNamespace(params={"tenant": TenantId("acme"), "stack": "kbfleet", "region": None})
    assert question_ids(context, "q") == ids(run)
    assert question_ids(context, "x") == []


class TestWhoeverFollowsTheDoctor:
    """From a tenant without questions to one whose questions do not pass any more, each time by what was said."""

    @pytest.fixture
    def documents(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The tenant has a page of questions."""
        monkeypatch.setattr(FleetApi, "some_documents", lambda *_: [SimpleNamespace(key="faq.md")])
        monkeypatch.setattr(FleetApi, "document_link", lambda *_: None)
        monkeypatch.setattr(FleetApi, "opened", lambda *_: b"# FAQ\n\nQ: How long?\nA: Two years.\n")

    def said(self) -> tuple[Verdict, list[str]]:
        """The doctor's verdict on acme, and the words of the command that it advises; `tenant show` says the same."""
        stack: Any = SimpleNamespace(outputs={"ApiUrl": "https://api.example.com/v1"}, session=None)
        said = [(verdict, advice) for verdict, found, advice in doctor._questions(stack) if "acme" in found]
        verdict, advice = said[0] if said else (Verdict.WELL, "")
        stand = next(each for each in FleetApi(stack.outputs["ApiUrl"], stack.session).question_stands())
        shown = "\n".join(_golden_questions(stand))
        commands = re.findall(r"`kbfleet questions (.+?)`", advice)
        assert set(re.findall(r"`kbfleet questions (.+?)`", shown)) <= set(commands)
        return verdict, commands[0].split() if commands else []

    def test_each_command_leads_on(self, run: Run, fleet: Fleet, documents: None, tmp_path: Path) -> None:
        fleet.registry.replace(tenant(SAKURA, status=TenantStatus.SUSPENDED), fence=1)
        fleet.registry.create(tenant(TenantId("zoo")))
        verdict, command = self.said()
        assert verdict is Verdict.NOTE
        proposed = run(*command)
        file = tmp_path / "questions.jsonl"
        file.write_text(proposed.stdout, "utf-8")
        assert run(*(str(file) if word == "FILE" else word for word in advised(proposed))).exit_code == 0
        _work(fleet)

        verdict, command = self.said()
        assert (verdict, command) == (Verdict.NOTE, ["run", "acme"])
        fleet.retriever.found = {"How long?": ["faq.md"]}
        assert run(*command).exit_code == 0
        assert self.said() == (Verdict.WELL, [])

        fleet.clock.advance(60)
        run("run", "acme")
        fleet.retriever.found = {"How long?": ["other.md"]}
        for expected in (Verdict.NOTE, Verdict.WRONG):
            fleet.clock.advance(60)
            run("run", "acme")
            verdict, command = self.said()
            assert (verdict, command) == (expected, ["results", "acme"])
            assert "first came other.md" in run(*command).stdout

        fleet.retriever.found = {"How long?": AccessRefused("no")}
        fleet.clock.advance(60)
        run("add", "acme", "How long?", "--expect", "new.md")
        run("run", "acme")
        verdict, command = self.said()
        assert verdict is Verdict.UNKNOWN
        assert "could not be asked: AccessRefused" in run(*command).stdout

    def test_what_is_judged_by_answers_only_is_judged_by_answers(self, run: Run, fleet: Fleet) -> None:
        fleet.registry.create(tenant(TenantId("zoo")))
        run("add", "acme", "What is the weather?", "--must-refuse")
        run("run", "acme")
        fleet.answers = {"KB00000001": GeneratedAnswer("", (), AnswerOutcome.NOTHING_FOUND)}
        verdict, command = self.said()
        assert (verdict, command) == (Verdict.NOTE, ["run", "acme", "--answers"])
        fleet.clock.advance(60)
        assert run(*command).exit_code == 0
        assert self.said() == (Verdict.WELL, [])


def _work(fleet: Fleet) -> None:
    while message := fleet.question_runs.take():
        fleet.question_runner.run(*message, fleet.clock.now() + timedelta(seconds=60))
