"""Profiles: how documents become knowledge, and how questions are answered from it.

A profile is a name, a version, and a description that never changes: another description is the next version. The
profile `default` has no versions of its own: it is what the stack's parameters say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from typing import Self

from kbfleet.domain.answer import DEFAULT_PASSAGES
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.validated_text import ValidatedText

PROFILE_NAME_PATTERN = "[a-z](-?[a-z0-9])*"
MIN_PROFILE_NAME_LENGTH, MAX_PROFILE_NAME_LENGTH = 2, 32
_NAME = re.compile(PROFILE_NAME_PATTERN)

MAX_VERSION = 999_999


class ProfileName(ValidatedText):
    """A profile's name: 2 to 32 of `[a-z0-9-]`, starting with a letter, no double or trailing hyphen.

    Raises:
        InvalidInput: naming the field `profile`.
    """

    __slots__ = ()

    def __new__(cls, value: object) -> Self:
        if (
            not isinstance(value, str)
            or not MIN_PROFILE_NAME_LENGTH <= len(value) <= MAX_PROFILE_NAME_LENGTH
            or not _NAME.fullmatch(value)
        ):
            shown = value if isinstance(value, str) and len(value) <= 64 else type(value).__name__
            raise InvalidInput(
                "profile",
                f"{shown!r} is not the name of a profile.",
                remedy="Use 2 to 32 lower-case letters, digits and single hyphens, starting with a letter.",
            )
        return super().__new__(cls, value)


DEFAULT_PROFILE = ProfileName("default")

EMBEDDING_THEMSELVES = frozenset({"MANAGED"})
"""Knowledge stores whose knowledge bases have an embedding model of their own. Source: Amazon Bedrock User Guide,
Managed knowledge bases."""


@dataclass(frozen=True, slots=True)
class ProfileReference:
    """One version of a profile, as a tenant's record names it. That of `default` is 0: it has none."""

    name: ProfileName = DEFAULT_PROFILE
    version: int = 0

    @property
    def is_default(self) -> bool:
        return self.name == DEFAULT_PROFILE

    def __str__(self) -> str:
        return str(self.name) if self.is_default else f"{self.name} version {self.version}"


BY_THE_STACK = ProfileReference()
"""What a tenant has that was given none."""


class ParserKind(StrEnum):
    """What reads the text out of documents. Source: Amazon Bedrock User Guide, Parsing options for your data source."""

    DEFAULT = "DEFAULT"
    """The parser that the kind of knowledge base has by itself."""
    FOUNDATION_MODEL = "FOUNDATION_MODEL"
    DATA_AUTOMATION = "DATA_AUTOMATION"
    SMART = "SMART"
    """Of knowledge bases of type MANAGED, which is also their default."""


class ChunkingKind(StrEnum):
    """How text is divided into passages. Source: Amazon Bedrock User Guide, How content chunking works."""

    DEFAULT = "DEFAULT"
    FIXED_SIZE = "FIXED_SIZE"
    HIERARCHICAL = "HIERARCHICAL"
    SEMANTIC = "SEMANTIC"
    NONE = "NONE"
    """Each document is one passage."""


class AnswererKind(StrEnum):
    """By which calls questions are answered: decision 34."""

    RETRIEVE_AND_CONVERSE = "RETRIEVE_AND_CONVERSE"
    RETRIEVE_AND_GENERATE = "RETRIEVE_AND_GENERATE"


class SearchType(StrEnum):
    """How passages are searched for. Source: botocore model of bedrock-agent-runtime, SearchType."""

    SEMANTIC = "SEMANTIC"
    HYBRID = "HYBRID"


@dataclass(frozen=True, slots=True)
class Parser:
    """
    Args:
        model: id of the foundation model or inference profile that reads, for FOUNDATION_MODEL only.
        prompt: what it is told in place of Bedrock's own words.
    """

    kind: ParserKind = ParserKind.DEFAULT
    model: str | None = None
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Chunking:
    """`None` for the numbers that the kind does not have: see `NUMBERS_OF_CHUNKING`.

    Args:
        max_tokens: of a passage.
        overlap_percentage: of a passage that is repeated in the next one.
        parent_tokens, child_tokens: what is shown to the model, and what is searched in.
        overlap_tokens: of a child that are repeated in the next one.
        buffer_size: sentences on either side that a sentence is compared together with.
        breakpoint_percentile: how unlike two sentences must be for a passage to end between them.
    """

    kind: ChunkingKind = ChunkingKind.DEFAULT
    max_tokens: int | None = None
    overlap_percentage: int | None = None
    parent_tokens: int | None = None
    child_tokens: int | None = None
    overlap_tokens: int | None = None
    buffer_size: int | None = None
    breakpoint_percentile: int | None = None


NUMBERS_OF_CHUNKING: Mapping[ChunkingKind, tuple[str, ...]] = {
    ChunkingKind.DEFAULT: (),
    ChunkingKind.FIXED_SIZE: ("max_tokens", "overlap_percentage"),
    ChunkingKind.HIERARCHICAL: ("parent_tokens", "child_tokens", "overlap_tokens"),
    ChunkingKind.SEMANTIC: ("max_tokens", "buffer_size", "breakpoint_percentile"),
    ChunkingKind.NONE: (),
}
"""Each kind needs all of its own. Source: botocore model of bedrock-agent, ChunkingConfiguration."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """`model` is the id of a foundation model; both are `None` where the store embeds with a model of its own."""

    model: str | None = None
    dimensions: int | None = None


@dataclass(frozen=True, slots=True)
class Ingestion:
    """How documents become knowledge.

    Args:
        knowledge_store: its type, as `bootstrap.KNOWLEDGE_STORES` names it.
    """

    knowledge_store: str
    embedding: Embedding = field(default_factory=Embedding)
    parser: Parser = field(default_factory=Parser)
    chunking: Chunking = field(default_factory=Chunking)

    @property
    def models(self) -> frozenset[str]:
        """That Bedrock calls in the name of the tenant's service role while it reads documents."""
        return frozenset(model for model in (self.embedding.model, self.parser.model) if model is not None)


@dataclass(frozen=True, slots=True)
class Guardrail:
    id: str
    version: str = "DRAFT"


@dataclass(frozen=True, slots=True)
class Reranker:
    """
    Args:
        model: id of a foundation model that puts passages into the order of their relevance.
        candidates: how many passages are searched for it to choose from.
    """

    model: str
    candidates: int


@dataclass(frozen=True, slots=True)
class Words:
    """What askers read when nothing was found, by the language of their question; `None` for what the stack says."""

    english: str | None = None
    japanese: str | None = None


@dataclass(frozen=True, slots=True)
class Answering:
    """How questions are answered from knowledge.

    Args:
        model: id of the foundation model or inference profile that writes answers.
        nothing_found: what askers read when nothing was found.
        prompt: what answers are written by; `None` for the answerer's own.
        passages: how many an answer may rest on, unless the question says.
        search_type: `None` for what the knowledge store does by itself.
        least_score: passages below it are not used.
        temperature: of the model; `None` for its own.
        longest_answer: tokens of an answer, at most; `None` for as many as the model writes.
    """

    model: str
    answerer: AnswererKind = AnswererKind.RETRIEVE_AND_CONVERSE
    prompt: str | None = None
    guardrail: Guardrail | None = None
    passages: int = DEFAULT_PASSAGES
    search_type: SearchType | None = None
    reranker: Reranker | None = None
    least_score: float | None = None
    temperature: float | None = None
    longest_answer: int | None = None
    nothing_found: Words = field(default_factory=Words)


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile in one of its versions."""

    name: ProfileName
    version: int
    ingestion: Ingestion
    answering: Answering

    @property
    def reference(self) -> ProfileReference:
        return ProfileReference(self.name, self.version)

    @property
    def service_role_models(self) -> frozenset[str]:
        """That Bedrock calls in the name of the tenant's service role: of Retrieve, the reranker, too (Amazon Bedrock
        User Guide, Permissions for reranking in Amazon Bedrock)."""
        reranker = self.answering.reranker
        return self.ingestion.models | ({reranker.model} if reranker is not None else frozenset())

    def describes_as(self, other: Profile) -> bool:
        """Whether both describe the same, whatever their names and versions."""
        return (self.ingestion, self.answering) == (other.ingestion, other.answering)

    def value(self, field: str) -> object:
        """What it says in the field of that name; `None` where it says nothing."""
        found: object = self
        for name in field.split("."):
            found = getattr(found, name, None)
        return found

    def values(self) -> Mapping[str, object]:
        """Everything that it says, by the name of its field, such as `ingestion.chunking.max_tokens`."""
        return dict(_values(self.ingestion, "ingestion")) | dict(_values(self.answering, "answering"))


def _values(part: object, place: str) -> Iterator[tuple[str, object]]:
    if not is_dataclass(part):
        yield place, part
        return
    for each in fields(part):
        yield from _values(getattr(part, each.name), f"{place}.{each.name}")


class Effect(StrEnum):
    """What it takes for a change of a tenant's profile to count."""

    NEXT_QUESTION = "NEXT_QUESTION"
    READ_AGAIN = "READ_AGAIN"
    """It is changed in place, and counts for a document once that is read again."""
    REBUILD = "REBUILD"
    """Bedrock cannot change it: there must be another knowledge base. Source: Amazon Bedrock User Guide, Customize
    ingestion for a data source; botocore model of bedrock-agent, UpdateKnowledgeBase."""


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """`None` for what one of both does not say."""

    field: str
    before: object
    after: object
    effect: Effect


_IN_PLACE = frozenset({"ingestion.parser.model", "ingestion.parser.prompt"})


def changes(before: Profile, after: Profile) -> tuple[ProfileChange, ...]:
    """What another profile, or another version, changes for a tenant; in the order of the fields."""
    answering = _differences(before.answering, after.answering, "answering", lambda _: Effect.NEXT_QUESTION)
    return (*ingestion_changes(before.ingestion, after.ingestion), *answering)


def ingestion_changes(before: Ingestion, after: Ingestion) -> tuple[ProfileChange, ...]:
    """As `changes`, of how documents become knowledge."""
    # The kind of parser cannot be changed, so neither can the model be given to one that has had none.
    in_place = _IN_PLACE if before.parser.kind is after.parser.kind else frozenset[str]()

    def effect(name: str) -> Effect:
        return Effect.READ_AGAIN if name in in_place else Effect.REBUILD

    return tuple(_differences(before, after, "ingestion", effect))


def _differences(before: object, after: object, place: str, effect: Callable[[str], Effect]) -> Iterator[ProfileChange]:
    old, new = dict(_values(before, place)), dict(_values(after, place))
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            yield ProfileChange(name, old.get(name), new.get(name), effect(name))


@dataclass(frozen=True, slots=True)
class StackDefaults:
    """What the stack's parameters say of knowledge and answers.

    Args:
        ingestion: with the stack's default store.
    """

    ingestion: Ingestion
    answering: Answering

    def profile(self, knowledge_store: str | None = None) -> Profile:
        """The profile `default`, of a tenant on that store.

        Args:
            knowledge_store: `None` for the stack's default.
        """
        return Profile(DEFAULT_PROFILE, 0, default_ingestion(self.ingestion, knowledge_store), self.answering)


def default_ingestion(own: Ingestion, knowledge_store: str | None = None) -> Ingestion:
    """How documents become knowledge by the profile `default`, on that store.

    Args:
        own: on the stack's default store.
    """
    store = knowledge_store or own.knowledge_store
    return Ingestion(store, Embedding() if store in EMBEDDING_THEMSELVES else own.embedding)
