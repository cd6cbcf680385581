"""Requests and responses checked against botocore's shapes, in the words the services use.

boto3 checks required members, types and minima before it sends; maxima, patterns and enumerations are left to the
service (botocore ``validate.py``), so they have to be checked here. Message texts follow those that AWS services give:
``1 validation error detected: Value 'x' at 'name' failed to satisfy constraint: Member must …``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import regex  # type: ignore[import-untyped]
from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape

# The model's pattern for this shape cannot match any ARN (it says "/d{12}" for "\d{12}"), so the service cannot be
# applying it (botocore model of bedrock-agent, shape TaggableResourcesArn).
_PATTERNS_NOT_APPLIED = frozenset({"TaggableResourcesArn"})
# A bucket may hold an object whose URI no request may name, by this pattern (128 characters, none of them a line feed)
# beside a maximum of 2,048; that a service would not list it is not reported.
_PATTERNS_NOT_APPLIED_TO_ANSWERS = _PATTERNS_NOT_APPLIED | {"S3BucketUri"}
_MATCHING_SECONDS = 0.5
_BACKTRACKING_SECONDS = 0.1
"""Of the processor's time: what fits takes microseconds."""


@dataclass(frozen=True)
class Complaint:
    """What of a value breaks its shape: the path of each violation, and the service's words for it."""

    violations: Sequence[tuple[str, str]]

    def __str__(self) -> str:
        """The service's message, which names every violation."""
        noun = "error" if len(self.violations) == 1 else "errors"
        told = "; ".join(text for _, text in self.violations)
        return f"{len(self.violations)} validation {noun} detected: {told}"


def check(shape: Shape, value: Any, streamed: str | None = None, *, answer: bool = False) -> Complaint | None:
    """Judge ``value``, already parsed, against ``shape``. Gives None, or what is wrong with it.

    ``streamed`` names a member that is not in ``value`` because it travels as events; ``answer`` says that ``value`` is
    the service's own.
    """
    free = _PATTERNS_NOT_APPLIED_TO_ANSWERS if answer else _PATTERNS_NOT_APPLIED
    found = list(_violations(shape, value, "", free, streamed))
    return Complaint(found) if found else None


def is_document(shape: Shape) -> bool:
    """Whether the shape is a free-form JSON value (botocore trait ``document``)."""
    return isinstance(shape, StructureShape) and shape.is_document_type


def _violations(
    shape: Shape, value: Any, path: str, free: frozenset[str], streamed: str | None = None
) -> Iterator[tuple[str, str]]:
    """The path and the words of each; ``free`` are the shapes whose patterns are not applied."""
    if isinstance(shape, StructureShape):
        if is_document(shape):
            return
        for name in shape.required_members:
            if value.get(name) is None and name != streamed:
                missing = _join(path, name)
                yield missing, f"Value null at '{missing}' failed to satisfy constraint: Member must not be null"
        for name, member in shape.members.items():
            if value.get(name) is not None:
                yield from _violations(member, value[name], _join(path, name), free)
    elif isinstance(shape, ListShape):
        yield from _length(shape, value, path)
        for position, item in enumerate(value, start=1):
            yield from _violations(shape.member, item, f"{path}.{position}.member", free)
    elif isinstance(shape, MapShape):
        yield from _length(shape, value, path)
        for key, item in value.items():
            yield from _violations(shape.key, key, path, free)
            yield from _violations(shape.value, item, _join(path, key), free)
    elif isinstance(shape, StringShape):
        yield from _string(shape, value, path, free)
    elif shape.type_name == "blob":
        yield from _length(shape, value, path)
    elif shape.type_name in ("integer", "long", "float", "double"):
        yield from _range(shape, value, path)


def _string(shape: StringShape, value: str, path: str, free: frozenset[str]) -> Iterator[tuple[str, str]]:
    yield from _length(shape, value, path)
    if shape.enum and value not in shape.enum:
        yield _broken(shape, value, path, f"satisfy enum value set: [{', '.join(shape.enum)}]")
    pattern = shape.metadata.get("pattern")
    if pattern and shape.name not in free and not _matches(pattern, value, shape.metadata.get("max")):
        yield _broken(shape, value, path, f"satisfy regular expression pattern: {pattern}")


def _matches(pattern: str, value: str, most: int | None) -> bool:
    # Some of the models' patterns backtrack for minutes on a long value that nearly fits. One that is far too long is
    # refused for its length anyway; no value of a length allowed comes near the time.
    if most is not None and len(value) > 4 * most:
        return False
    patience = _MATCHING_SECONDS
    while True:
        began = time.thread_time()
        try:
            return _compiled(pattern).fullmatch(value, timeout=patience) is not None
        except TimeoutError:
            if time.thread_time() - began >= _BACKTRACKING_SECONDS:
                return False
            # Time has passed, but for others: on a busy machine this thread was hardly running.
            patience *= 2


def _length(shape: Shape, value: Any, path: str) -> Iterator[tuple[str, str]]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and len(value) < least:
        yield _broken(shape, value, path, f"have length greater than or equal to {least}")
    if most is not None and len(value) > most:
        yield _broken(shape, value, path, f"have length less than or equal to {most}")


def _range(shape: Shape, value: float, path: str) -> Iterator[tuple[str, str]]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and value < least:
        yield _broken(shape, value, path, f"have value greater than or equal to {least}")
    if most is not None and value > most:
        yield _broken(shape, value, path, f"have value less than or equal to {most}")


def _broken(shape: Shape, value: Any, path: str, constraint: str) -> tuple[str, str]:
    shown = "Value" if shape.metadata.get("sensitive") else f"Value '{value}'"
    return path, f"{shown} at '{path}' failed to satisfy constraint: Member must {constraint}"


@cache
def _compiled(pattern: str) -> Any:
    # The models hold Java expressions: Unicode classes such as \p{L} need `regex` rather than `re`.
    return regex.compile(pattern)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
