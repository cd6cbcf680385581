"""What is printed where: results to standard output, for people or for programs; all else to standard error.

Nothing that somebody may want to copy is ever cut or broken: ids and commands keep their line whatever the width.
Colours are left out where NO_COLOR is set or nobody looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from pydantic_core import to_json
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

out = Console()
err = Console(stderr=True)

Result = TypeVar("Result")

DONE = "[green]✓[/]"
_LEAST_PROSE = 24
"""Cells that text may be squeezed into before the whole table is turned."""


def present(result: Result, told: Callable[[Result], Iterable[RenderableType]], *, as_json: bool) -> None:
    """Prints a result.

    Args:
        result: contracts, data classes, and what JSON has itself.
        told: what people are told of it; text is in rich's markup.
        as_json: whether a program reads it: standard output then has one JSON document and nothing else.
    """
    if as_json:
        out.print_json(to_json(result).decode())
        return
    for each in told(result):
        out.print(each, soft_wrap=True)


def moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


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
            yield Text.from_markup(f"[bold]{self.title}[/]")
        width = max((cell_len(name) for name, _ in self.rows), default=0)
        for name, value in self.rows:
            for number, line in enumerate(value.split("\n")):
                label = "" if number else name
                yield Text.from_markup(f"[dim]{label}{' ' * (width - cell_len(label))}[/]  {line}")


@dataclass(frozen=True)
class Listing:
    """A table of rows, a line each where nobody looks, so that other programs can filter them.

    On a terminal, prose is broken between words. Where that is not enough, each row is printed as `Details`.

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
        widths = [self._width(number) for number in range(len(self.columns))]
        gaps = 2 * (len(widths) - 1)
        least = [
            min(width, _LEAST_PROSE) if column.prose else width
            for column, width in zip(self.columns, widths, strict=True)
        ]
        if not console.is_terminal:
            yield from self._titled(self._table(widths), sum(widths) + gaps)
        elif sum(least) + gaps <= options.max_width:
            yield from self._titled(self._table(least), options.max_width)
        else:
            yield from self._turned()

    def _width(self, number: int) -> int:
        texts = [self.columns[number].name, *(row[number] for row in self._all_rows())]
        return max(cell_len(line) for text in texts for line in Text.from_markup(text).plain.split("\n"))

    def _all_rows(self) -> list[Sequence[str]]:
        return [*self.rows, *([self.footer] if self.footer else [])]

    def _table(self, least: Sequence[int]) -> Table:
        table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False, show_footer=bool(self.footer))
        for number, (column, width) in enumerate(zip(self.columns, least, strict=True)):
            table.add_column(
                column.name,
                footer=self.footer[number] if self.footer else "",
                justify="right" if column.numbers else "left",
                min_width=width,
                no_wrap=not column.prose,
                overflow="fold",
            )
        for row in self.rows:
            table.add_row(*row)
        return table

    def _titled(self, table: Table, width: int) -> RenderResult:
        if self.title:
            yield Text.from_markup(f"[bold]{self.title}[/]")
        yield _Wide(table, width)
        if self.caption:
            yield Text.from_markup(f"[dim]{self.caption}[/]")

    def _turned(self) -> RenderResult:
        if self.title:
            yield Text.from_markup(f"[bold]{self.title}[/]")
        for row in self._all_rows():
            yield Details([(column.name, text) for column, text in zip(self.columns, row, strict=True)])
            yield ""
        if self.caption:
            yield Text.from_markup(f"[dim]{self.caption}[/]")


@dataclass(frozen=True)
class _Wide:
    """Something that is given so much room, whatever the console's."""

    content: RenderableType
    width: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from console.render(self.content, options.update(width=self.width, no_wrap=False, overflow="fold"))
