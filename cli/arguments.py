"""Arguments and options that many commands have."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.completion import job_names, question_ids, tenant_ids
from kbfleet.domain.names import TenantId
from kbfleet.domain.questions import QuestionId

Tenant = Annotated[
    TenantId,
    typer.Argument(
        parser=TenantId,
        metavar="TENANT",
        help="The tenant's id: 3 to 32 of a-z, 0-9 and single hyphens.",
        autocompletion=tenant_ids,
    ),
]
NewTenant = Annotated[
    TenantId,
    typer.Argument(parser=TenantId, metavar="TENANT", help="The tenant's id: 3 to 32 of a-z, 0-9 and single hyphens."),
]
Job = Annotated[
    str, typer.Argument(metavar="JOB", help="Its id, as `kbfleet jobs list TENANT` shows it.", autocompletion=job_names)
]
Question = Annotated[
    QuestionId,
    typer.Argument(
        parser=QuestionId,
        metavar="QUESTION",
        help="Its id, as `kbfleet questions list TENANT` shows it.",
        autocompletion=question_ids,
    ),
]
Stack = Annotated[str, typer.Option(help="CloudFormation stack of the fleet.", envvar="KBFLEET_STACK")]
Region = Annotated[str | None, typer.Option(help="AWS Region of the fleet.", envvar="AWS_REGION")]
Wait = Annotated[bool, typer.Option(help="Wait for the end, showing progress.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

DEFAULT_STACK = "kbfleet"

# Under which headings `kbfleet --help` shows the commands.
TENANTS_PANEL = "Tenants"
DOCUMENTS_PANEL = "Documents and questions"
FLEET_PANEL = "The fleet as a whole"
