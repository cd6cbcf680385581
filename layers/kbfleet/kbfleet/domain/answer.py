"""Questions, answers, and where each statement comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.validated_text import ValidatedText

MAX_QUESTION_LENGTH = 1_000
"""Characters. Source: AWS documentation, Amazon Bedrock quotas, "User query length"."""


class Question(ValidatedText):
    """A tenant's question: 1 to 1,000 characters that are not all white space.

    Raises:
        InvalidInput: naming the field `question`.
    """

    __slots__ = ()

    def __new__(cls, value: object) -> Self:
        if not isinstance(value, str):
            raise InvalidInput("question", "must be text.")
        text = value.strip()
        if not text:
            raise InvalidInput("question", "must not be empty.")
        if len(text) > MAX_QUESTION_LENGTH:
            raise InvalidInput("question", f"has {len(text)} characters; at most {MAX_QUESTION_LENGTH} are allowed.")
        return super().__new__(cls, text)


@dataclass(frozen=True, slots=True)
class Source:
    """A passage that a statement rests on."""

    document: str
    uri: str
    passage: str
    page: int | None = None
    metadata: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Citation:
    """A part of the answer, by its first character and the one behind its last, and the passages it rests on."""

    text: str
    start: int
    end: int
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class GeneratedAnswer:
    """What the answerer gave."""

    text: str
    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class Freshness:
    """How far the knowledge base reflects the tenant's documents."""

    synced_at: datetime | None
    pending_changes: bool


@dataclass(frozen=True, slots=True)
class Answer:
    generated: GeneratedAnswer
    freshness: Freshness
