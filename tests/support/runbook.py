"""A page of the runbook, as a machine reads it.

Each page has the sections Symptom, Check, Repair and Verify. What stands in a block fenced as `sh` is run line by line,
as it is; `<tenant>` and other placeholders are filled in by whoever runs it. A block fenced as `text` right after one
says what is printed: each of its lines must be found in what was, whatever is between them; `…` stands for anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.template import REPOSITORY

FOLDER = REPOSITORY / "docs" / "runbook"
SECTIONS = ("Symptom", "Check", "Repair", "Verify")
GENERAL = {"README", "dead-letters"}
"""Pages that are about no single kind of trouble."""
_SECTION = re.compile(rf"^\*\*({'|'.join(SECTIONS)})\.\*\*", re.MULTILINE)
_BLOCK = re.compile(
    r"^```sh\n(?P<commands>.*?)^```\n(?:\s*^```text\n(?P<printed>.*?)^```\n)?", re.MULTILINE | re.DOTALL
)
_PLACEHOLDER = re.compile(r"<[a-z][a-z ]*>")


@dataclass(frozen=True)
class Block:
    """Commands, one a line, and lines that they print."""

    commands: tuple[str, ...]
    printed: tuple[str, ...]

    def filled(self, values: Mapping[str, str]) -> Block:
        """With placeholders replaced. Raises: ValueError when one is left."""
        return Block(*(tuple(_filled(line, values) for line in lines) for lines in (self.commands, self.printed)))


@dataclass(frozen=True)
class Page:
    name: str
    text: str

    @classmethod
    def named(cls, name: str) -> Page:
        return cls(name, (FOLDER / f"{name}.md").read_text("utf-8"))

    @property
    def sections(self) -> Mapping[str, str]:
        """Their texts, in the order in which they stand."""
        _, *parts = _SECTION.split(self.text)
        return dict(zip(parts[::2], parts[1::2], strict=True))

    def blocks(self, section: str) -> list[Block]:
        found = _BLOCK.finditer(self.sections[section])
        return [Block(_lines(match["commands"]), _lines(match["printed"] or "")) for match in found]

    @property
    def commands(self) -> Iterator[str]:
        for section in SECTIONS:
            for block in self.blocks(section):
                yield from block.commands


def pages() -> list[str]:
    """Names of the pages about one kind of trouble each."""
    return sorted(path.stem for path in Path(FOLDER).glob("*.md") if path.stem not in GENERAL)


def lacking(printed: str, lines: tuple[str, ...]) -> list[str]:
    """The lines that were not printed. Frames of tables, and how much space there is, make no difference."""
    seen = _words(printed)
    return [line for line in lines if not _pattern(line).search(seen)]


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(_words(part)) for part in line.split("…")))


def _words(text: str) -> str:
    return " ".join(re.sub(r"[\u2500-\u257f]", " ", text).split())


def _lines(block: str) -> tuple[str, ...]:
    return tuple(line for line in block.splitlines() if line.strip())


def _filled(line: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        line = line.replace(f"<{name}>", value)
    if left := _PLACEHOLDER.search(line):
        raise ValueError(f"nothing is known for {left[0]} in: {line}")
    return line
