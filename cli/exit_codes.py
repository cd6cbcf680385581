"""How a command ends: with a documented exit code and, when something is wrong, one sentence on standard error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from botocore.exceptions import BotoCoreError, ClientError
from typer.core import TyperGroup

from cli.fleet_api import FleetUnreachable, Refused, UploadRefused
from cli.terminal import err, literal, marked
from kbfleet.domain.errors import KbfleetError

FAILED = 1
"""It failed, or what was asked about is not well."""
BAD_INPUT = 2
"""The input is not acceptable; what Click answers to unknown options, too."""
INTERRUPTED = 130
"""As shells have it: 128 and the number of SIGINT."""


class ExplainingGroup(TyperGroup):
    """A group of commands none of which ends with a traceback for anything that was to be expected."""

    def invoke(self, ctx: Any) -> Any:
        with explained():
            return super().invoke(ctx)


@contextmanager
def explained() -> Iterator[None]:
    """Every expected failure as one sentence on standard error and a documented exit code."""
    try:
        yield
    except KbfleetError as error:
        stop(str(error), BAD_INPUT)
    except Refused as error:
        stop(error.detail, FAILED if error.passing else BAD_INPUT)
    except (FleetUnreachable, UploadRefused, BotoCoreError, ClientError) as error:
        stop(str(error), FAILED)
    except KeyboardInterrupt:
        stop("Stopped watching. What was started continues; run the same command to watch again.", INTERRUPTED)


def stop_watching() -> NoReturn:
    """Ends, on somebody's interrupt, what only looks: nothing was started, and nothing went wrong."""
    err.print("Stopped watching.")
    raise typer.Exit(INTERRUPTED)


def stop(message: str, code: int = FAILED, *, details: Iterable[str] = ()) -> NoReturn:
    """Args: details: a line each, below the message; in markup, as `cli.terminal.literal` makes it."""
    for line in (f"[red]✗[/] {literal(message)}", *(f"  {detail}" for detail in details)):
        err.print(marked(line), soft_wrap=True)
    raise typer.Exit(code)
