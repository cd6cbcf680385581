"""The first call of AWS that a command makes: what is said when it fails, and where was looked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    SSOTokenLoadError,
    TokenRetrievalError,
)
from typer.testing import CliRunner

import cli.main

Answer = Callable[[Exception], None]


@pytest.fixture(autouse=True)
def of_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials but those in a file with the profile `night-watch`."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "DEFAULT_PROFILE", "REGION", "DEFAULT_REGION"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    (tmp_path / "config").write_text("[profile night-watch]\nregion = eu-west-1\n", "utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_PROFILE", "night-watch")


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Sets what DescribeStacks ends with."""

    def ends(error: Exception) -> None:
        class CloudFormation:
            def describe_stacks(self, **_: str) -> dict[str, Any]:
                raise error

        monkeypatch.setattr(boto3.Session, "client", lambda *_, **__: CloudFormation())

    return ends


def refused(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "DescribeStacks")


# A command that calls the API, one that looks at the stack itself, and one that makes it.
COMMANDS = pytest.mark.parametrize("command", [("tenant", "show", "acme"), ("doctor",), ("stack", "import")])


@COMMANDS
def test_without_credentials_that_is_said_and_where_was_looked(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli.main.app, [*command, "--region", "eu-north-1"])
    assert result.exit_code == 1
    assert "no usable AWS credentials were found" in result.stderr
    assert "in Region eu-north-1, with profile night-watch" in result.stderr
    assert "not found: " not in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (NoCredentialsError(), "no usable AWS credentials were found"),
        (SSOTokenLoadError(error_msg="expired"), "no usable AWS credentials were found"),
        (TokenRetrievalError(provider="sso", error_msg="expired"), "no usable AWS credentials were found"),
        (refused("ExpiredToken", "The security token is expired"), "AWS does not take these credentials"),
        (refused("InvalidClientTokenId", "The token is invalid."), "AWS does not take these credentials"),
        (refused("AccessDenied", "not authorized to perform"), "these credentials may not do that"),
        (refused("ValidationError", "Stack with id kbfleet does not exist"), "There is no stack 'kbfleet'"),
        (refused("Throttling", "Rate exceeded"), "Rate exceeded"),
        (EndpointConnectionError(endpoint_url="https://cloudformation.xx-moon-1.amazonaws.com/"), "nothing answered"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
@pytest.mark.parametrize("command", [("tenant", "show", "acme"), ("doctor",)])
def test_each_cause_has_its_own_words(answer: Answer, command: tuple[str, ...], error: Exception, says: str) -> None:
    answer(error)
    result = CliRunner().invoke(cli.main.app, [*command])
    assert result.exit_code == 1
    assert says in result.stderr
    assert "in Region eu-west-1, with profile night-watch" in result.stderr
    assert ("There is no stack" in result.stderr) is says.startswith("There is no stack")


@COMMANDS
def test_a_profile_that_there_is_not_is_named(monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    monkeypatch.setenv("AWS_PROFILE", "day-watch")
    result = CliRunner().invoke(cli.main.app, [*command, "--region", "eu-north-1"])
    assert result.exit_code == 1
    assert "day-watch" in result.stderr
    assert "aws configure list-profiles" in result.stderr
