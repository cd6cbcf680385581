"""Arguments and options that many commands have."""

from __future__ import annotations

import unicodedata
from typing import Annotated

import typer

from cli import completion
from cli.completion import document_keys, job_names, question_ids, tenant_ids
from cli.fleet_api import key_of_uri
from kbfleet.domain.document_names import MAX_KEY_BYTES
from kbfleet.domain.errors import InvalidInput
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
AnyTenant = Annotated[
    TenantId | None,
    typer.Argument(
        parser=TenantId,
        metavar="[TENANT]",
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


def _document(text: str) -> str:
    """A key, whatever it looks like; or a URI, as other commands show it. Raises: InvalidInput."""
    key = key_of_uri(text) or text
    if any(unicodedata.category(each) == "Cs" for each in key):
        raise InvalidInput("key", "is not UTF-8.")
    if not 1 <= len(key.encode()) <= MAX_KEY_BYTES:
        raise InvalidInput("key", f"must have 1 to {MAX_KEY_BYTES} bytes of UTF-8, such as handbook/rules.pdf.")
    return text


Document = Annotated[
    str,
    typer.Argument(
        parser=_document,
        metavar="KEY",
        help="Of the document, such as handbook/rules.pdf; or its s3:// URI.",
        autocompletion=document_keys,
    ),
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

DEFAULT_STACK = completion.DEFAULT_STACK

# Under which headings `kbfleet --help` shows the commands.
TENANTS_PANEL = "Tenants"
DOCUMENTS_PANEL = "Documents and questions"
FLEET_PANEL = "The fleet as a whole"
