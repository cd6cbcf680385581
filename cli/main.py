"""`kbfleet`, the operator's command line: its groups put together. Exit codes are in `cli.exit_codes`."""

from __future__ import annotations

import io
import sys

import typer

from cli.arguments import DOCUMENTS_PANEL, FLEET_PANEL, TENANTS_PANEL
from cli.commands import (
    alerts,
    asking,
    dlq,
    documents,
    fleet,
    jobs,
    profile,
    questions,
    stack,
    sync,
    tenant,
    upload,
    verify,
    why,
)
from cli.costs.command import costs
from cli.exit_codes import ExplainingGroup

app = typer.Typer(
    cls=ExplainingGroup,
    help="Runs a fleet of Amazon Bedrock Knowledge Bases, one per tenant. Exit codes: 0 it is done; 1 it failed, or "
    "what was asked about is not well; 2 the input is not acceptable.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    # A bearer token may be among them.
    pretty_exceptions_show_locals=False,
)
app.add_typer(tenant.app, name="tenant", rich_help_panel=TENANTS_PANEL)
app.add_typer(sync.app, name="sync", rich_help_panel=TENANTS_PANEL)
app.add_typer(jobs.app, name="jobs", rich_help_panel=TENANTS_PANEL)
app.add_typer(documents.app, name="documents", rich_help_panel=DOCUMENTS_PANEL)
app.add_typer(upload.app)
app.add_typer(why.app)
app.add_typer(asking.app)
app.add_typer(questions.app, name="questions", rich_help_panel=DOCUMENTS_PANEL)
app.add_typer(fleet.app)
app.add_typer(verify.app)
app.command(rich_help_panel=FLEET_PANEL)(costs)
app.add_typer(profile.app, name="profile", rich_help_panel=FLEET_PANEL)
app.add_typer(alerts.app, name="alerts", rich_help_panel=FLEET_PANEL)
app.add_typer(dlq.app, name="dlq", rich_help_panel=FLEET_PANEL)
app.add_typer(stack.app, name="stack", rich_help_panel=FLEET_PANEL)


def main() -> None:
    """Entry point of the console script."""
    for stream in (sys.stdout, sys.stderr):
        # A sign that a terminal of another encoding does not know must not end the command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.exit(app())
