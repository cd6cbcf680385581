"""`kbfleet questions`: golden questions, and whether a tenant's knowledge still answers them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from cli.arguments import DEFAULT_STACK, Json, Question, Region, Stack, Tenant, Wait
from cli.exit_codes import FAILED
from cli.fleet_api import FleetApi, Refused
from cli.progress import Progress, Show, watch
from cli.question_suggestions import MOST_BYTES, READ, Suggestion, Unreadable, gathered, suggestions
from cli.terminal import DONE, Column, Listing, counted, err, literal, moment, moment_in_table, present, shortened
from kbfleet.contracts.document_listing import DocumentBody
from kbfleet.contracts.questions import (
    QuestionBody,
    QuestionRunBody,
    QuestionRunsBody,
    QuestionsBody,
    VerdictBody,
)
from kbfleet.domain.document_status import DocumentStatus
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.names import TenantId
from kbfleet.domain.printable import printable, printable_json
from kbfleet.domain.question_runs import Judgement, Shortcoming
from kbfleet.domain.questions import MAX_QUESTIONS, Draft, QuestionId, export_lines, import_lines, in_line

app = typer.Typer(
    help="Golden questions: whether a tenant's knowledge still answers what it is known to answer.",
    no_args_is_help=True,
)

_SHOWN_TEXT = 120
"""Characters of a question in a table."""
_NAMED = 10
"""Documents that could not be read: so many are named."""
_RUNS_LOOKED_AT = 20

_SHORT = {
    Shortcoming.NOT_FOUND: "no expected document is among the first five passages",
    Shortcoming.WORDS_MISSING: "expected words are not in the answer",
    Shortcoming.NOT_CITED: "the answer does not rest on an expected document",
    Shortcoming.NOT_ANSWERED: "it was not answered",
    Shortcoming.NOT_REFUSED: "it was answered, and should not have been",
}


@app.command()
def add(
    tenant: Tenant,
    text: Annotated[str, typer.Argument(metavar="QUESTION", help="What is asked.")],
    expect: Annotated[
        list[str] | None,
        typer.Option(help="Key of a document that is to be found, or its s3:// URI. Can be repeated: one is enough."),
    ] = None,
    contains: Annotated[
        list[str] | None, typer.Option(help="Words that the answer is to have in it. Can be repeated: all of them.")
    ] = None,
    must_refuse: Annotated[
        bool, typer.Option("--must-refuse", help="The documents do not answer it, and the answer is to say so.")
    ] = False,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Add a golden question, or change what is expected of the one with the same text."""
    draft = Draft(text, tuple(map(_key, expect or [])), tuple(contains or []), must_refuse)
    try:
        draft.question(QuestionId("q0000"))
    except InvalidInput as error:
        raise _of_an_option(error) from error
    body = FleetApi.of_stack(stack, region).add_questions(tenant, [draft])

    def shown(body: QuestionsBody) -> Iterator[RenderableType]:
        added = next((each for each in body.questions if each.user_input == text.strip()), body.questions[-1])
        yield f"{DONE} Question {literal(added.id)} of tenant {tenant} is kept. It has {_many(body)}."
        yield f"  `kbfleet questions run {tenant}` asks them now; they are asked after each sync, too."

    present(body, shown, as_json=as_json)


def _key(text: str) -> str:
    return text.removeprefix("s3://").partition("/")[2] if text.startswith("s3://") else text


_OPTIONS = {
    "user_input": "QUESTION",
    "reference_context_ids": "--expect",
    "contains": "--contains",
    "must_refuse": "--must-refuse",
}


def _of_an_option(error: InvalidInput) -> InvalidInput:
    """By the name by which it was given."""
    return InvalidInput(_OPTIONS.get(error.field, error.field), error.why, remedy=error.remedy)


def _many(body: QuestionsBody) -> str:
    return counted(len(body.questions), "golden question")


@app.command()
def suggest(
    tenant: Tenant,
    prefix: Annotated[str, typer.Option(help="Only from documents whose keys begin so, such as handbook/.")] = "",
    documents: Annotated[int, typer.Option(min=1, max=100, help="How many documents are read at most.")] = 20,
    most: Annotated[int, typer.Option(min=1, max=MAX_QUESTIONS, help="How many questions are proposed at most.")] = 20,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Propose golden questions from the tenant's own documents (Markdown, text, HTML): their questions, with answers,
    and their headings. Prints lines that `import` takes, for you to choose from; it adds none itself."""
    api = FleetApi.of_stack(stack, region)
    chosen = api.some_documents(tenant, prefix, _is_read, documents)
    found, unread = list[Sequence[Suggestion]](), list[tuple[str, str]]()
    with Progress(f"Documents of {tenant}") as progress:
        for number, document in enumerate(chosen):
            progress.count(number, len(chosen))
            try:
                content = api.opened(api.document_link(tenant, document.key), MOST_BYTES)
                found.append(suggestions(document.key, content))
            except Unreadable as unreadable:
                unread.append((document.key, str(unreadable)))
            except Refused as refused:
                if refused.code != "DocumentNotFound":
                    raise
                unread.append((document.key, "it was deleted meanwhile"))
    proposed = gathered(found, [each.user_input for each in api.questions(tenant).questions], most)
    lines = [
        {"user_input": each.text, "reference_context_ids": list(each.documents), "reference": each.answer}
        for each in proposed
    ]
    # Lines may go into a file: what is said of them does not.
    read, proposals = counted(len(found), "document"), counted(len(lines), "new question")
    err.print(f"{read} read, {len(unread):,} could not be: {proposals}.")
    for key, why in unread[:_NAMED]:
        err.print(f"  {printable(key)}: {why}", soft_wrap=True)
    if len(unread) > _NAMED:
        err.print(f"  … and {len(unread) - _NAMED:,} more")
    if not chosen:
        err.print(f"None of the first documents ends in {', '.join(READ)}. --prefix looks at others.")
    elif lines:
        err.print(f"Choose among them, then `kbfleet questions import {tenant} FILE`.")
    present(lines, lambda lines: [literal(printable_json(each)) for each in _lines(lines)], as_json=as_json)


def _is_read(document: DocumentBody) -> bool:
    there = document.size and document.status is not DocumentStatus.LEFT_OUT
    return bool(there) and document.key.lower().endswith(READ)


def _lines(questions: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    # Not by what else Python takes for an end of a line: a key may have that in it.
    return export_lines(questions).removesuffix("\n").split("\n") if questions else []


@app.command("import")
def import_questions(
    tenant: Tenant,
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="JSON Lines, as ragas has them.")
    ],
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Add the golden questions of a file, or change those that are there. Where a line is wrong, nothing is."""
    read = _read(file)
    try:
        body = FleetApi.of_stack(stack, region).add_questions(tenant, [draft for _, draft in read])
    except Refused as refused:
        raise Refused(
            refused.status, refused.code, _by_line(refused, [number for number, _ in read], file)
        ) from refused

    def shown(body: QuestionsBody) -> Iterator[RenderableType]:
        yield f"{DONE} {literal(str(file))} is imported: {counted(len(read), 'question')}."
        yield f"  Tenant {tenant} has {_many(body)}."

    present(body, shown, as_json=as_json)


def _read(file: Path) -> Sequence[tuple[int, Draft]]:
    """Raises: InvalidInput, naming file, line and field."""
    try:
        read = import_lines(file.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidInput(str(file), "is not text in UTF-8. Nothing was imported.") from error
    except InvalidInput as error:
        raise InvalidInput(f"{file}, {error.field}", f"{error.why} Nothing was imported.") from error
    if not read:
        raise InvalidInput(str(file), "has no question.")
    return read


def _by_line(refused: Refused, numbers: Sequence[int], file: Path) -> str:
    """What the API says of a question by its place, by the line that it stands in."""
    first, _, said = refused.detail.partition(": ")
    parts = first.split(".", 2)
    if len(parts) == 3 and parts[0] == "questions" and parts[1].isdecimal() and int(parts[1]) < len(numbers):
        error = in_line(InvalidInput(parts[2], said), numbers[int(parts[1])])
        return f"{file}, {error.field}: {said} Nothing was imported."
    return f"{file}: {refused.detail}"


@app.command("export")
def export_questions(
    tenant: Tenant,
    file: Annotated[Path, typer.Argument(dir_okay=False, writable=True, help="Where they go; what is there is lost.")],
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Write the tenant's golden questions into a file of JSON Lines, as `import` takes it."""
    body = FleetApi.of_stack(stack, region).questions(tenant)
    file.write_text(export_lines(each.model_dump(mode="json") for each in body.questions), "utf-8")

    def shown(body: QuestionsBody) -> Iterator[RenderableType]:
        yield f"{DONE} {literal(str(file))} has {_many(body)} of tenant {tenant}."

    present(body, shown, as_json=as_json)


@app.command("list")
def list_questions(tenant: Tenant, as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None) -> None:
    """Show the tenant's golden questions, and what is expected of their answers."""

    def shown(body: QuestionsBody) -> Iterator[RenderableType]:
        if not body.questions:
            yield f'Tenant {tenant} has no questions. `kbfleet questions add {tenant} "…" --expect KEY` adds one.'
            return
        yield Listing(
            [Column("Id"), Column("Question", prose=True), Column("Expected", prose=True)],
            [
                (literal(each.id), literal(shortened(each.user_input, _SHOWN_TEXT)), "\n".join(_expected(each)))
                for each in body.questions
            ],
        )

    present(FleetApi.of_stack(stack, region).questions(tenant), shown, as_json=as_json)


def _expected(question: QuestionBody) -> Iterator[str]:
    yield from (f"from {literal(key)}" for key in question.reference_context_ids)
    yield from (f"says {literal(text)}" for text in question.contains)
    if question.must_refuse:
        yield "is not answered"


@app.command()
def remove(
    tenant: Tenant, question: Question, as_json: Json = False, stack: Stack = DEFAULT_STACK, region: Region = None
) -> None:
    """Remove a golden question."""

    def shown(body: QuestionsBody) -> Iterator[RenderableType]:
        yield f"{DONE} Question {question} is removed. Tenant {tenant} has {_many(body)}."

    present(FleetApi.of_stack(stack, region).remove_question(tenant, question), shown, as_json=as_json)


@app.command()
def run(
    tenant: Tenant,
    answers: Annotated[
        bool, typer.Option("--answers", help="Have a model answer them, too, and judge what it says. It costs tokens.")
    ] = False,
    wait: Wait = True,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Ask the tenant's golden questions now. Exit code 1 when one fails, or cannot be judged though it should be."""
    api = FleetApi.of_stack(stack, region)
    requested = api.request_question_run(tenant, answers=answers)
    if not wait:
        present(requested, lambda _: [f"The questions of tenant {tenant} are asked soon."], as_json=as_json)
        return
    ended = _watched(api, tenant, requested.requested_at, answers=answers)
    present(ended, _shown_of_run, as_json=as_json)
    if not _is_well(ended):
        raise typer.Exit(FAILED)


def _watched(api: FleetApi, tenant: TenantId, since: datetime, *, answers: bool) -> QuestionRunBody:
    def look(show: Show) -> QuestionRunBody | None:
        body = api.question_runs(tenant, _RUNS_LOOKED_AT)
        under_way = body.under_way
        show(f"{counted(under_way.left, 'question')} left" if under_way is not None else "waiting for its turn")
        served = (each for each in body.runs if each.began_at >= since and each.answers >= answers)
        return next(iter([*served][::-1]), None)

    return watch(f"Asking the questions of {tenant}", look)


def _is_well(run: QuestionRunBody) -> bool:
    return not run.score.failed and not any(verdict.trouble for verdict in run.verdicts)


@app.command()
def results(
    tenant: Tenant,
    limit: Annotated[int, typer.Option(min=1, max=20, help="How many runs at most, the newest first.")] = 5,
    as_json: Json = False,
    stack: Stack = DEFAULT_STACK,
    region: Region = None,
) -> None:
    """Show what the newest runs came to: which questions pass, which do not, and why. Exit code 1 when one that was
    known to pass does not any more."""
    body = FleetApi.of_stack(stack, region).question_runs(tenant, limit)
    present(body, _shown_of_runs, as_json=as_json)
    if body.regressions:
        raise typer.Exit(FAILED)


def _shown_of_runs(body: QuestionRunsBody) -> Iterator[RenderableType]:
    if not body.runs:
        yield f"The golden questions of tenant {body.tenant_id} were not asked yet."
        return
    yield Listing(
        [
            Column("Run"),
            Column("Began (UTC)"),
            Column("Why"),
            Column("Answers"),
            *(Column(name, numbers=True) for name in ("Passed", "Failed", "Not judged", "Found", "First", "MRR")),
        ],
        [
            (
                literal(run.run),
                moment_in_table(run.began_at),
                run.cause.value.lower(),
                "yes" if run.answers else "no",
                str(run.score.passed),
                str(run.score.failed),
                str(run.score.not_judged),
                _share(run.score.hit_rate_5),
                _share(run.score.hit_rate_1),
                f"{run.score.mrr:.2f}" if run.score.mrr is not None else "—",
            )
            for run in body.runs
        ],
        caption="Found: an expected document is among the first five passages; First: it comes first.",
    )
    yield ""
    yield from _shown_of_run(body.runs[0])
    for each in body.regressions:
        since = f"the sync at {moment(each.after_sync)}" if each.after_sync else moment(each.since)
        yield f"[red]✗[/] Question {literal(each.id)} was known to pass, and does not any more since {since}."


def _share(rate: float | None) -> str:
    return f"{rate:.0%}" if rate is not None else "—"


def _shown_of_run(run: QuestionRunBody) -> Iterator[RenderableType]:
    wrong = [verdict for verdict in run.verdicts if verdict.judgement is not Judgement.PASSED]
    yield (
        f"{DONE if _is_well(run) else '[red]✗[/]'} Run {literal(run.run)}: {run.score.passed} passed, "
        f"{run.score.failed} failed, {run.score.not_judged} not judged."
    )
    for verdict in wrong:
        yield f"  {literal(verdict.id)}: {_why(verdict)}"


def _why(verdict: VerdictBody) -> str:
    if verdict.trouble:
        return f"could not be asked: {literal(verdict.trouble)}"
    if verdict.judgement is Judgement.NOT_JUDGED:
        return "is judged by its answer only: --answers"
    said = "; ".join(_SHORT[each] for each in verdict.shortcomings)
    instead = f"; first came {literal(verdict.instead)}" if verdict.instead else ""
    return f"{said}{instead}"
