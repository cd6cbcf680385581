"""`kbfleet dlq`: what could not be handled, and waits for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.markup import escape

from cli.arguments import DEFAULT_STACK, Json, Region, Stack
from cli.dead_letter_queues import QUEUES, named
from cli.dead_letters import DeadLetters, Waiting
from cli.exit_codes import FAILED, stop
from cli.fleet_stack import FleetStack
from cli.progress import Progress, pause
from cli.terminal import DONE, Column, Listing, moment_in_table, present
from kbfleet.domain.errors import InvalidInput

app = typer.Typer(help="What could not be handled, and waits for people.", no_args_is_help=True)


@app.command("list")
def list_dead_letters(as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None) -> None:
    """Show what waits in the dead-letter queues, since when, and why. Exit code 1 when anything does."""
    queues = list(DeadLetters(FleetStack.named(stack, region)).waiting())
    filled = [each for each in queues if each.messages]

    def told(_: object) -> Iterator[RenderableType]:
        if filled:
            yield _listing(filled)
            yield "Remove the cause, then give them back: kbfleet dlq redrive QUEUE"
        else:
            yield f"{DONE} Nothing waits in the {len(queues)} dead-letter queues."

    present([_for_programs(each) for each in queues], told, as_json=as_json)
    if filled:
        raise typer.Exit(FAILED)


def _for_programs(waiting: Waiting) -> dict[str, object]:
    return {
        "queue": waiting.queue.name,
        "resource": waiting.queue.resource,
        "messages": waiting.messages,
        "oldest_sent_at": waiting.oldest_sent_at.isoformat() if waiting.oldest_sent_at else None,
        "reasons": list(waiting.reasons),
        "meaning": waiting.queue.meaning,
        "page": _page(waiting),
    }


def _page(waiting: Waiting) -> str:
    return f"docs/runbook/{waiting.queue.page}.md"


def _listing(filled: list[Waiting]) -> Listing:
    return Listing(
        [
            Column("Queue"),
            Column("Messages", numbers=True),
            Column("Oldest seen (UTC)"),
            Column("What it means", prose=True),
            Column("Reasons seen", prose=True),
            Column("Runbook"),
        ],
        [
            (
                each.queue.name,
                str(each.messages),
                moment_in_table(each.oldest_sent_at) if each.oldest_sent_at else "—",
                escape(each.queue.meaning),
                escape("\n".join(each.reasons)) or "—",
                _page(each),
            )
            for each in filled
        ],
    )


@app.command("redrive")
def redrive_dead_letters(
    queue: Annotated[
        str,
        typer.Argument(
            metavar="QUEUE",
            help="Its name, as `kbfleet dlq list` shows it.",
            autocompletion=lambda: [each.name for each in QUEUES],
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Give what waits back to whom it was meant for; remove the cause first. Exit code 1 when some of it stays."""
    wanted = named(queue)
    if wanted is None:
        raise InvalidInput("queue", f"there is no {queue!r}; there are: {', '.join(each.name for each in QUEUES)}.")
    steps = DeadLetters(FleetStack.named(stack, region)).redrive(wanted)
    state = next(steps)
    if not state.ended and not yes:
        _confirm(f"Give {state.total} messages back to {wanted.returns_to}?")
    with Progress(f"Redriving {wanted.name}") as progress:
        while not state.ended:
            state = next(steps)
            progress.show(f"{state.moved} of {state.total}")
            if not state.ended and wanted.returns_to_a_queue:
                pause()

    def told(_: object) -> Iterator[RenderableType]:
        if not state.total:
            yield f"{DONE} Nothing waits in {wanted.name}."
        elif not state.refused:
            yield f"{DONE} {state.moved} messages of {wanted.name} went back to {wanted.returns_to}."

    present({"queue": wanted.name, **asdict(state)}, told, as_json=as_json)
    if state.refused:
        stop(f"{state.moved} of {state.total} went back; the others stay: {state.refused}")


def _confirm(question: str) -> None:
    """Raises: InvalidInput when the answer is not yes."""
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:
        raise InvalidInput("queue", "nobody answered; nothing was done. Give --yes.") from None
    if not agreed:
        raise InvalidInput("queue", "nothing was done.")
