"""Storing what alerts are sent with, on moto's Secrets Manager."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import cli.main
from cli.fleet_stack import FleetStack
from tests.support.aws import client as aws_client

URL = "https://hooks.slack.com/services/T0/B0/x"


@dataclass
class Stack:
    """A stack with the secret as it is deployed."""

    name: str = "kbfleet"
    parameters: dict[str, str] = field(default_factory=dict)
    resources: dict[str, str] = field(default_factory=lambda: {"SlackWebhookSecret": "secret"})

    def client(self, service: str) -> Any:
        return aws_client(service)

    @property
    def secret(self) -> str:
        return str(aws_client("secretsmanager").get_secret_value(SecretId="secret")["SecretString"])


@pytest.fixture
def stack(aws: None, monkeypatch: pytest.MonkeyPatch) -> Stack:
    aws_client("secretsmanager").create_secret(Name="secret", SecretString="not set yet")
    stack = Stack()
    monkeypatch.setattr(FleetStack, "named", lambda *_: stack)
    return stack


def connect(given: str) -> Result:
    return CliRunner().invoke(cli.main.app, ["alerts", "connect"], input=given)


def test_a_webhooks_url_is_stored_and_not_printed(stack: Stack) -> None:
    result = connect(f"{URL}\n")
    assert (result.exit_code, stack.secret) == (0, URL)
    assert URL not in result.output


@pytest.mark.parametrize(
    ("channel", "given"), [("SLACK_WEBHOOK", "xoxb-1"), ("SLACK_BOT", URL), ("SLACK_WEBHOOK", ""), ("SNS", URL)]
)
def test_what_the_channel_cannot_use_is_refused_and_nothing_is_stored(stack: Stack, channel: str, given: str) -> None:
    stack.parameters["AlertChannel"] = channel
    assert (connect(given).exit_code, stack.secret) == (2, "not set yet")


def test_an_apps_token_is_stored(stack: Stack) -> None:
    stack.parameters["AlertChannel"] = "SLACK_BOT"
    assert (connect("xoxb-1").exit_code, stack.secret) == (0, "xoxb-1")


def test_a_stack_without_the_secret_learns_so(stack: Stack) -> None:
    stack.resources.clear()
    assert connect(URL).exit_code == 1
