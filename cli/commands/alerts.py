"""`kbfleet alerts`: how alerts reach people."""

from __future__ import annotations

import sys

import typer

from cli import alert_secret
from cli.arguments import DEFAULT_STACK, Json, Region, Stack
from cli.fleet_stack import FleetStack
from cli.terminal import DONE, present

app = typer.Typer(help="How alerts reach people.", no_args_is_help=True)


@app.command()
def connect(as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None) -> None:
    """Store what alerts are sent with: the URL of a Slack webhook, or the token of a Slack app. The command asks for
    it, or reads it from standard input, so that no shell's history has it."""
    fleet = FleetStack.named(stack, region)
    if sys.stdin.isatty():
        secret = str(typer.prompt("Slack webhook URL, or bot token", hide_input=True, err=True))
    else:
        secret = sys.stdin.readline()
    stored = alert_secret.store(fleet, secret.strip())
    present({"stored": stored}, lambda _: [f"{DONE} Alerts are sent with {stored} from now on."], as_json=as_json)
