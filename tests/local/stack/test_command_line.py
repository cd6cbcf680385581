"""What a newcomer types."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jwt
import pytest
from typer.testing import CliRunner

from kbfleet.bootstrap import KNOWLEDGE_STORES
from local.main import app
from local.slack_sink import SlackSink
from local.stack.configuration import TENANT_CLAIM

runner = CliRunner()


def run(*arguments: str, stack: Any) -> str:
    result = runner.invoke(app, [*arguments, "--state", str(stack.configuration.state_directory)])
    assert result.exit_code == 0, result.output
    return result.output


def test_env_is_for_a_shell_to_evaluate(stack: Any) -> None:
    exports = run("env", stack=stack)
    shell = f"{exports}\nprintf %s $AWS_ENDPOINT_URL,$AWS_ACCESS_KEY_ID,$AWS_DISABLE_HOST_PREFIX_INJECTION"
    printed = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, check=True)  # noqa: S603
    assert printed.stdout == f"{stack.configuration.aws_url},test,true"


def test_up_prints_how_a_shell_finds_this_very_stack(stack: Any) -> None:
    (command,) = re.findall(r'eval "\$\((.+)\)"', run("up", "--no-deploy", stack=stack))
    evaluated = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)  # noqa: S603
    assert stack.configuration.aws_url in evaluated.stdout


def test_env_lets_a_shell_find_the_commands(stack: Any) -> None:
    shell = f"{run('env', stack=stack)}\ncommand -v kbfleet; command -v kbfleet-local"
    found = subprocess.run(  # noqa: S603
        ["/bin/sh", "-c", shell], capture_output=True, text=True, check=True, env={"PATH": os.defpath}
    )
    assert [Path(command).parent for command in found.stdout.split()] == [Path(sys.executable).parent] * 2


def test_token_prints_a_token_for_a_tenant(stack: Any) -> None:
    token = run("token", "acme", "--audience", "another", "--expires-in", "60", stack=stack).strip()
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims[TENANT_CLAIM], claims["aud"], claims["exp"] - claims["iat"]) == ("acme", "another", 60)


def test_slack_prints_the_messages(stack: Any) -> None:
    SlackSink(stack.configuration.slack_messages).take("/slack/services/T/B/x", b'{"text": "said by [the test]"}')
    assert "said by [the test]" in run("slack", stack=stack)
    last = run("slack", "--json", stack=stack).splitlines()[-1]
    assert json.loads(last)["message"] == {"text": "said by [the test]"}


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_that_slack_was_sent_nothing_is_said_to_people_only(
    arguments: list[str], stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SlackSink, "messages", lambda _: [])
    state = str(stack.configuration.state_directory)
    result = runner.invoke(app, ["slack", *arguments, "--state", state])
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "Slack was sent nothing yet.\n")


def test_status_says_where_the_stack_is(stack: Any) -> None:
    assert stack.configuration.aws_url in run("status", stack=stack)


def test_up_without_deployment_is_content_with_a_running_stack(stack: Any) -> None:
    assert stack.configuration.aws_url in run("up", "--no-deploy", stack=stack)


@pytest.mark.parametrize("command", [["status"], ["env"], ["token", "acme"], ["slack"]])
def test_without_a_stack_the_command_says_how_to_start_one(command: list[str], tmp_path: Any) -> None:
    result = runner.invoke(app, [*command, "--state", str(tmp_path)])
    assert result.exit_code == 1
    assert "kbfleet-local up" in result.output


def test_down_without_a_stack_is_fine(tmp_path: Any) -> None:
    result = runner.invoke(app, ["down", "--state", str(tmp_path)])
    assert (result.exit_code, result.output.strip()) == (0, "Nothing is running.")


def test_up_names_the_knowledge_stores_that_there_are(tmp_path: Any) -> None:
    result = runner.invoke(app, ["up", "--knowledge-store", "PINECONE", "--state", str(tmp_path)])
    assert result.exit_code == 2
    assert all(store in result.output for store in KNOWLEDGE_STORES)
