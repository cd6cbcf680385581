"""What is printed where: results to standard output, for people or for programs; all else to standard error.

Nothing that somebody may want to copy is ever cut or broken: ids and commands keep their line whatever the width.
Colours are left out where NO_COLOR is set or nobody looks.

Text that is not ours goes through `literal` into our markup, and our markup through `marked` to the terminal: so no
tenant's name, no key and no message of AWS is read as markup or as a terminal's control sequence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from pydantic_core import to_json
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

from kbfleet.domain.printable import printable, printable_json

# Text that was not given to `marked` is printed as it is.
out = Console(markup=False, emoji=False)
err = Console(stderr=True, markup=False, emoji=False)

Result = TypeVar("Result")

_STAND_INS = {"[": "\ue000", "\\": "\ue001"}
"""For what rich reads as markup. Whether a back slash takes the meaning of a bracket depends on what stands beside
them, so no way of escaping holds for text that is put between other text. What is printable has no characters of
private use."""
_HIDING, _SHOWING = str.maketrans(_STAND_INS), str.maketrans({stand_in: own for own, stand_in in _STAND_INS.items()})


def literal(text: str, *, keep: str = "") -> str:
    """Text from outside, for a place in markup: it is shown as it is, in one line, with what would act made visible.

    Args:
        keep: characters that stay although they cannot be seen, such as a line feed in an answer.
    """
    return printable(text, keep=keep).translate(_HIDING)


def marked(markup: str) -> Text:
    """Text in rich's markup, with whatever `literal` has put into it. May have several lines."""
    stand_ins = "".join(_STAND_INS.values())
    text = Text.from_markup(printable(markup, keep=f"\n{stand_ins}"), emoji=False)
    text.plain = text.plain.translate(_SHOWING)
    return text


def shortened(text: str, most: int) -> str:
    """Text from outside, with `…` for what goes beyond so many characters: prose of any length among other lines."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


DONE = "[green]✓[/]"
_LEAST_PROSE = 24
"""Cells that prose may be squeezed into."""
_GAP = 2


def present(result: Result, shown: Callable[[Result], Iterable[RenderableType]], *, as_json: bool) -> None:
    """Prints a result.

    Args:
        result: contracts, data classes, and what JSON has itself.
        shown: what people see of it; text is in rich's markup, as `marked` takes it.
        as_json: whether a program reads it: standard output then has one JSON document and nothing else.
    """
    if as_json:
        document = json.dumps(json.loads(to_json(result)), indent=2, ensure_ascii=False)
        out.print(JSONHighlighter()(printable_json(document)), soft_wrap=True)
        return
    for each in shown(result):
        out.print(marked(each) if isinstance(each, str) else each, soft_wrap=True)


def counted(number: int, noun: str) -> str:
    """A number with its noun, whose plural ends in s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def moment(at: datetime) -> str:
    return f"{moment_in_table(at)} UTC"


def moment_in_table(at: datetime) -> str:
    """Under a heading that says that it is in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


@dataclass(frozen=True, slots=True)
class Column:
    """Of a `Listing`.

    Args:
        prose: whether its texts may be broken between words.
    """

    name: str
    numbers: bool = False
    prose: bool = False


@dataclass(frozen=True)
class Details:
    """Names and values, a line each; values may have several lines. Both are in rich's markup."""

    rows: Sequence[tuple[str, str]]
    title: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.title:
            yield marked(f"[bold]{self.title}[/]")
        width = max((cell_len(name) for name, _ in self.rows), default=0)
        for name, value in self.rows:
            for number, line in enumerate(value.split("\n")):
                label = "" if number else name
                yield marked(f"[dim]{label}{' ' * (width - cell_len(label))}[/]  {line}")


@dataclass(frozen=True)
class Listing:
    """A table of rows, a line each where nobody looks, so that other programs can filter them.

    On a terminal, prose is broken between words; where it has no room beside the other columns, it goes below each row;
    and where these have none either, each row is printed as `Details`.

    Args:
        rows: a text in rich's markup for each column.
        footer: a last row, such as sums.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    title: str = ""
    caption: str = ""
    footer: Sequence[str] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.title:
            yield marked(f"[bold]{self.title}[/]")
        numbers = range(len(self.columns))
        terse = [number for number in numbers if not self.columns[number].prose]
        widths = {number: self._width(number) for number in numbers}
        least = {number: widths[number] if number in terse else min(widths[number], _LEAST_PROSE) for number in numbers}
        if not console.is_terminal:
            yield from self._lines(console, options, widths, _with_gaps(widths.values()))
        elif _with_gaps(least.values()) <= options.max_width:
            yield from self._lines(console, options, least, options.max_width)
        elif _with_gaps(widths[number] for number in terse) <= options.max_width:
            yield from self._with_prose_below(console, options, {number: widths[number] for number in terse})
        else:
            for row in self._all_rows():
                yield Details([(column.name, text or "—") for column, text in zip(self.columns, row, strict=True)])
                yield ""
        if self.caption:
            yield marked(f"[dim]{self.caption}[/]")

    def _width(self, number: int) -> int:
        texts = [self.columns[number].name, *(row[number] for row in self._all_rows())]
        return max(cell_len(line) for text in texts for line in marked(text).plain.split("\n"))

    def _all_rows(self) -> list[Sequence[str]]:
        return [*self.rows, *([self.footer] if self.footer else [])]

    def _with_prose_below(self, console: Console, options: ConsoleOptions, widths: Mapping[int, int]) -> RenderResult:
        header, *lines = self._lines(console, options, widths, _with_gaps(widths.values()))
        yield header
        for line, row in zip(lines, self._all_rows(), strict=True):
            yield line
            for column, text in zip(self.columns, row, strict=True):
                if column.prose and text:
                    yield from (marked(f"  [dim]{column.name}:[/] {part}") for part in text.split("\n"))

    def _lines(self, console: Console, options: ConsoleOptions, widths: Mapping[int, int], room: int) -> Iterator[Text]:
        """The header and the rows, of these columns with at least these widths."""
        table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False)
        for number, width in widths.items():
            column = self.columns[number]
            table.add_column(
                column.name,
                justify="right" if column.numbers else "left",
                min_width=width,
                no_wrap=not column.prose,
                overflow="fold",
            )
        for row in self._all_rows():
            table.add_row(*(marked(row[number]) for number in widths))
        for line in console.render_lines(table, options.update(width=room, no_wrap=False, overflow="fold"), pad=False):
            text = Text.assemble(*((segment.text, segment.style or "") for segment in line))
            text.rstrip()
            yield text


def _with_gaps(widths: Iterable[int]) -> int:
    given = list(widths)
    return sum(given) + _GAP * (len(given) - 1)
