"""Prints, as Markdown, which operation is done, plain or answered 501: ``python emulator/tests/operation_table.py``.

With ``--summary``, only how each service stands.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import botocore.session
from botocore.model import ListShape, MapShape, OperationModel, Shape, StringShape, StructureShape

from bedrock_emulator import Emulator
from bedrock_emulator.services.supported import named
from bedrock_emulator.wire.protocol import SERVICES
from bedrock_emulator.wire.shapes import is_document


def missing(service: str, shape: Shape, path: str = "") -> Iterator[str]:
    """What an operation's input could ask for that is answered 501: members by their paths, with values."""
    if is_document(shape):
        return
    if isinstance(shape, StructureShape):
        known = named(service, shape.name).taken
        for name, member in shape.members.items():
            below = f"{path}.{name}" if path else name
            # A filter is made of filters.
            if name not in known:
                yield below
            elif name not in path.split("."):
                yield from missing(service, member, below)
    elif isinstance(shape, ListShape):
        yield from missing(service, shape.member, path)
    elif isinstance(shape, MapShape):
        yield from missing(service, shape.value, path)
    elif isinstance(shape, StringShape) and shape.enum:
        yield from (f"{path} {value}" for value in shape.enum if value not in named(service, shape.name).taken)


def plain(service: str, shape: Shape, path: str = "") -> Iterator[str]:
    """The outermost members that are taken without effect."""
    if is_document(shape):
        return
    if isinstance(shape, StructureShape):
        row = named(service, shape.name)
        for name, member in shape.members.items():
            below = f"{path}.{name}" if path else name
            if name in row.plain:
                yield below
            elif name in row.effective and name not in path.split("."):
                yield from plain(service, member, below)
    elif isinstance(shape, ListShape):
        yield from plain(service, shape.member, path)


def told(paths: Iterable[str]) -> str:
    """Members by their own names and those of what holds them, each once, with all their values."""
    values: dict[str, list[str]] = {}
    for path in paths:
        member, _, value = path.partition(" ")
        values.setdefault(".".join(member.split(".")[-2:]), []).extend([value] if value else [])
    return ", ".join(f"`{' '.join([name, ', '.join(each)]).strip()}`" for name, each in values.items()) or "–"


def row(service: str, operation: OperationModel) -> str:
    """One emulated operation."""
    shape = operation.input_shape
    cells = (told(plain(service, shape)), told(missing(service, shape))) if shape else ("–", "–")
    return f"| `{operation.name}` | {cells[0]} | {cells[1]} |"


def by_service() -> Iterator[tuple[str, list[OperationModel], list[str]]]:
    """Each service with the operations that are emulated, and the names of the others."""
    emulator = Emulator(embedder="character")
    session = botocore.session.get_session()
    for service in SERVICES:
        model = session.get_service_model(service)
        done = [model.operation_model(name) for name in model.operation_names if emulator.emulates(service, name)]
        yield service, done, sorted(set(model.operation_names) - {operation.name for operation in done})


def table() -> str:
    """All operations of the services, those without a row by their names alone."""
    lines = []
    for service, done, others in by_service():
        lines += [f"## {service}", "", "| done | plain: taken without effect | 501 |", "|---|---|---|"]
        lines += [row(service, operation) for operation in done]
        lines += ["", f"501: {', '.join(others)}.", ""]
    return "\n".join(lines).rstrip()


def summary() -> str:
    """How many operations of each service are done, and which."""
    lines = ["| service | done | 501 |", "|---|---|---|"]
    for service, done, others in by_service():
        lines.append(f"| `{service}` | {', '.join(operation.name for operation in done)} | {len(others)} others |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(summary() if "--summary" in sys.argv else table())  # noqa: T201 - it is what the script is for
