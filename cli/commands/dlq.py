"""`kbfleet dlq`: messages that could not be handled, and wait for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import RenderableType

from cli.arguments import DEFAULT_STACK, Json, Region, Stack
from cli.dead_letter_queues import QUEUES, named
from cli.dead_letters import DeadLetter, DeadLetters, Waiting
from cli.exit_codes import FAILED, stop
from cli.fleet_stack import FleetStack
from cli.progress import Progress, pause
from cli.terminal import DONE, Column, Listing, counted, literal, moment, moment_in_table, present, shortened
from kbfleet.domain.errors import InvalidInput

_REASON_CHARACTERS = 200
_REASONS = 5
"""That a line of the list shows of a queue."""

app = typer.Typer(help="Messages that could not be handled, and wait for people.", no_args_is_help=True)
Queue = Annotated[
    str,
    typer.Argument(
        metavar="QUEUE",
        help="Its name, as `kbfleet dlq list` shows it.",
        autocompletion=lambda: [each.name for each in QUEUES],
    ),
]


@app.command("list")
def list_dead_letters(as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None) -> None:
    """Show what waits in the dead-letter queues, since when, and why. Exit code 1 when anything waits."""
    queues = list(DeadLetters(FleetStack.named(stack, region)).waiting())
    filled = [each for each in queues if each.messages]

    def shown(_: object) -> Iterator[RenderableType]:
        if filled:
            yield _listing(filled)
            yield "Remove the cause, then give them back: kbfleet dlq redrive QUEUE"
        else:
            yield f"{DONE} Nothing waits in the {len(queues)} dead-letter queues."

    present([_for_programs(each) for each in queues], shown, as_json=as_json)
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
                literal(each.queue.meaning),
                _reasons(each) or "—",
                _page(each),
            )
            for each in filled
        ],
    )


def _reasons(waiting: Waiting) -> str:
    """A reason may be a whole document that could not be read; `dlq show` and --json have all of it."""
    shown = [literal(shortened(reason, _REASON_CHARACTERS)) for reason in waiting.reasons[:_REASONS]]
    more = len(waiting.reasons) - len(shown)
    return "\n".join([*shown, *([f"and {counted(more, 'other')}: see dlq show"] if more else [])])


@app.command("redrive")
def redrive_dead_letters(
    queue: Queue,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Give messages back to where they were going; remove the cause first. Exit code 1 when some of them stay."""
    wanted = named(queue)
    redriving = DeadLetters(FleetStack.named(stack, region)).redrive(wanted)
    state = next(redriving)
    if not state.ended and not yes:
        _confirm(f"Give {state.total} messages back to {wanted.returns_to}?")
    with Progress(f"Redriving {wanted.name}") as progress:
        while not state.ended:
            state = next(redriving)
            progress.show(f"{state.moved} of {state.total}")
            if not state.ended and wanted.returns_to_a_queue:
                pause()

    def shown(_: object) -> Iterator[RenderableType]:
        if not state.total:
            yield f"{DONE} Nothing waits in {wanted.name}."
        elif not state.refused:
            yield f"{DONE} {state.moved} messages of {wanted.name} went back to {wanted.returns_to}."

    present({"queue": wanted.name, **asdict(state)}, shown, as_json=as_json)
    if state.refused:
        refused = shortened(state.refused, _REASON_CHARACTERS * _REASONS)
        stop(f"{state.moved} of {state.total} went back; the others stay: {refused}")


@app.command("show")
def show_messages(
    queue: Queue,
    limit: Annotated[int, typer.Option(min=1, help="Most messages to show.")] = 100,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Show each message that waits in a dead-letter queue: since when, why, and what it says. Exit code 1 when one
    waits."""
    wanted = named(queue)
    letters = DeadLetters(FleetStack.named(stack, region)).messages(wanted, limit)

    def shown(_: object) -> Iterator[RenderableType]:
        for letter in letters:
            yield f"[bold]{literal(letter.message_id)}[/] since {moment(letter.sent_at)}"
            yield f"  {literal(letter.reason) or 'It does not say why it is here.'}"
            yield f"  [dim]{literal(letter.body)}[/]"
        if len(letters) == limit:
            yield f"There may be more than these {limit}: see --limit."
        if not letters:
            yield f"{DONE} Nothing waits in {wanted.name}."

    present([{"queue": wanted.name, **asdict(letter)} for letter in letters], shown, as_json=as_json)
    if letters:
        raise typer.Exit(FAILED)


@app.command("purge")
def purge_messages(
    queue: Queue,
    message: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this one, as `kbfleet dlq show QUEUE` names it.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Delete the messages of a dead-letter queue for good: those that nobody needs any more."""
    wanted, now = named(queue), datetime.now(UTC)
    dead_letters = DeadLetters(FleetStack.named(stack, region))

    def chosen(letter: DeadLetter) -> bool:
        return letter.message_id == message if message else letter.sent_at <= now

    if not yes and dead_letters.messages(wanted, 1):
        _confirm(f"Delete {'this message' if message else f'all messages of {wanted.name}'} for good?")
    deleted = dead_letters.purge(wanted, chosen)
    if message and not deleted:
        raise InvalidInput("message", f"{message!r} does not wait in {wanted.name}.")

    def shown(_: object) -> Iterator[RenderableType]:
        if deleted:
            yield f"{DONE} {counted(deleted, 'message')} of {wanted.name} deleted."
        else:
            yield f"{DONE} Nothing waits in {wanted.name}."

    present({"queue": wanted.name, "deleted": deleted}, shown, as_json=as_json)


def _confirm(question: str) -> None:
    """Raises: InvalidInput when the answer is not yes."""
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:
        raise InvalidInput("queue", "nobody answered; nothing was done. Give --yes.") from None
    if not agreed:
        raise InvalidInput("queue", "nothing was done.")
