"""`kbfleet dlq show` and `kbfleet dlq purge`: single messages that wait in a dead-letter queue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.markup import escape

from cli.arguments import DEFAULT_STACK, Json, Region, Stack
from cli.dead_letter_queues import QUEUES, DeadLetterQueue, named
from cli.dead_letters import DeadLetter, DeadLetters
from cli.exit_codes import FAILED
from cli.fleet_stack import FleetStack
from cli.terminal import DONE, moment, present
from kbfleet.domain.errors import InvalidInput

app = typer.Typer()


def _queue(name: str) -> DeadLetterQueue:
    """Raises: InvalidInput."""
    found = named(name)
    if found is None:
        raise InvalidInput("queue", f"there is no {name!r}; there are: {', '.join(each.name for each in QUEUES)}.")
    return found


Queue = Annotated[
    str,
    typer.Argument(
        metavar="QUEUE",
        help="Its name, as `kbfleet dlq list` shows it.",
        autocompletion=lambda: [each.name for each in QUEUES],
    ),
]


@app.command("show")
def show_messages(queue: Queue, as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None) -> None:
    """Show each message that waits in a dead-letter queue: since when, why, and what it says. Exit code 1 when one
    does."""
    wanted = _queue(queue)
    letters = DeadLetters(FleetStack.named(stack, region)).messages(wanted)

    def told(_: object) -> Iterator[RenderableType]:
        for letter in letters:
            yield f"[bold]{escape(letter.message_id)}[/] since {moment(letter.sent_at)}"
            yield f"  {escape(letter.reason) or 'It does not tell why it is here.'}"
            yield f"  [dim]{escape(letter.body)}[/]"
        if not letters:
            yield f"{DONE} Nothing waits in {wanted.name}."

    present([{"queue": wanted.name, **asdict(letter)} for letter in letters], told, as_json=as_json)
    if letters:
        raise typer.Exit(FAILED)


@app.command("purge")
def purge_messages(
    queue: Queue,
    message: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this one, as `kbfleet dlq show` names it.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Delete what waits in a dead-letter queue for good, for messages that nobody needs any more."""
    wanted, now = _queue(queue), datetime.now(UTC)
    dead_letters = DeadLetters(FleetStack.named(stack, region))

    def chosen(letter: DeadLetter) -> bool:
        return letter.message_id == message if message else letter.sent_at <= now

    seen = [letter for letter in dead_letters.messages(wanted) if chosen(letter)]
    if message and not seen:
        raise InvalidInput("message", f"{message!r} does not wait in {wanted.name}.")
    if seen and not yes:
        _confirm(f"Delete {'this message' if message else f'all messages of {wanted.name}'} for good?")
    deleted = dead_letters.purge(wanted, chosen) if seen else 0

    def told(_: object) -> Iterator[RenderableType]:
        yield (
            f"{DONE} {deleted} messages of {wanted.name} are deleted."
            if seen
            else f"{DONE} Nothing waits in {wanted.name}."
        )

    present({"queue": wanted.name, "deleted": deleted}, told, as_json=as_json)


def _confirm(question: str) -> None:
    """Raises: InvalidInput when the answer is not yes."""
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:
        raise InvalidInput("queue", "nobody answered; nothing was done. Give --yes.") from None
    if not agreed:
        raise InvalidInput("queue", "nothing was done.")
