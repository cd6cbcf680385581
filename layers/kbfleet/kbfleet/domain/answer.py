"""Questions, answers, and where each statement comes from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from kbfleet.domain.caller import UserId
from kbfleet.domain.document_names import is_in
from kbfleet.domain.errors import InvalidInput, IsolationBreached
from kbfleet.domain.metadata_filter import MetadataFilter
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.validated_text import ValidatedText

MAX_QUESTION_LENGTH = 1_000
"""Characters. Source: AWS documentation, Amazon Bedrock quotas, "User query length"."""

DEFAULT_PASSAGES = 5
MAX_PASSAGES = 100
"""Source: botocore model of bedrock-agent-runtime, numberOfResults."""

_JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
"""Hiragana, katakana and the common ideographs (Unicode Standard, code charts)."""


class Question(ValidatedText):
    """A tenant's question: 1 to 1,000 characters that are not all white space.

    Raises:
        InvalidInput: naming the field `question`.
    """

    __slots__ = ()
    most = MAX_QUESTION_LENGTH

    def __new__(cls, value: object) -> Self:
        if not isinstance(value, str):
            raise InvalidInput("question", "must be text.")
        text = value.strip()
        if not text:
            raise InvalidInput("question", "must not be empty.")
        if len(text) > cls.most:
            raise InvalidInput("question", f"has {len(text)} characters; at most {cls.most} are allowed.")
        return super().__new__(cls, text)


class LongQuestion(Question):
    """The same with up to 10,000 characters, which knowledge bases of type MANAGED take. Source: AWS documentation,
    Amazon Bedrock quotas, "User query length"."""

    __slots__ = ()
    most = 10_000


class AnswerOutcome(StrEnum):
    """What a question came to. kbfleet decides it, not the words of a model."""

    ANSWERED = "ANSWERED"
    """At least one statement of the answer rests on a passage of the tenant's documents."""
    NOTHING_FOUND = "NOTHING_FOUND"
    """No passage was found, or the model made no statement that rests on one: what it said instead is not given."""
    REFUSED_BY_GUARDRAIL = "REFUSED_BY_GUARDRAIL"
    """The guardrail has stepped in; the text is the guardrail's."""


@dataclass(frozen=True, slots=True)
class NothingFoundWords:
    """What askers read when nothing was found, in the language of their question: Japanese where it has Japanese
    characters, else English."""

    english: str
    japanese: str

    def to(self, question: Question) -> str:
        return self.japanese if _JAPANESE.search(question) else self.english


class Voucher(StrEnum):
    """Who says which user asks."""

    IDENTITY_PROVIDER = "IDENTITY_PROVIDER"
    BACK_END = "BACK_END"


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: a tenant, and which of its users. Users of one name are two when different ones vouch for them.

    Args:
        user_id: `None` for a back end that names no user.
    """

    tenant_id: TenantId
    voucher: Voucher
    user_id: UserId | None


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A question and how it is to be answered.

    Args:
        passages: how many the answer may rest on; `None` for as many as the tenant's profile says.
        conversation: the one that is taken up, by the answerer's own name for it.
        kept: whether question and answer are kept, so that a conversation can go on from them.
    """

    question: Question
    passages: int | None = None
    filter: MetadataFilter | None = None
    conversation: str | None = None
    kept: bool = True


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question of a conversation, and its answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Source:
    """A passage that a statement rests on. `score` is how near it is to the question, where the service says so."""

    document: str
    uri: str
    passage: str
    page: int | None = None
    metadata: Mapping[str, object] | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Citation:
    """A part of the answer, by its first character and the one behind its last, and the passages it rests on."""

    text: str
    start: int
    end: int
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class AskUsage:
    """What one answered question used.

    Args:
        passages: that were given to the model, as far as the answer says.
        citations: parts of the answer that rest on passages.
        input_tokens, output_tokens: of the model; `None` where the service does not say. Converse does (`usage`),
            RetrieveAndGenerate does not. Source: botocore models of bedrock-runtime and bedrock-agent-runtime.
    """

    passages: int
    citations: int
    input_tokens: int | None
    output_tokens: int | None
    outcome: AnswerOutcome


@dataclass(frozen=True, slots=True)
class GeneratedAnswer:
    """What the answerer gave.

    Args:
        conversation: by which the next question takes this one up.
        passages: how many were retrieved, or, where that is not known, how many were cited.
        input_tokens, output_tokens: of the model, where Bedrock names them; none were used where no model was asked.
        stop_reason: why the model stopped, in Bedrock's word; `None` where Bedrock does not say, or no model was asked.
    """

    text: str
    citations: tuple[Citation, ...]
    outcome: AnswerOutcome = AnswerOutcome.ANSWERED
    conversation: str = ""
    passages: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    stop_reason: str | None = None

    @property
    def usage(self) -> AskUsage:
        return AskUsage(self.passages, len(self.citations), self.input_tokens, self.output_tokens, self.outcome)

    @property
    def sources(self) -> Iterator[Source]:
        """Of all statements."""
        return (source for citation in self.citations for source in citation.sources)


def require_own(sources: Iterable[Source], bucket_name: str, tenant_id: TenantId) -> None:
    """Raises: IsolationBreached when one of these passages is not from a document in the tenant's own bucket, or does
    not say where it is from."""
    if not all(is_in(bucket_name, source.uri) for source in sources):
        raise IsolationBreached(
            f"What was found for tenant {tenant_id} is not all from documents in {bucket_name}.",
            remedy=f"Run `kbfleet reconcile --tenant {tenant_id}`: it says what is not the tenant's own.",
        )


@dataclass(frozen=True, slots=True)
class Freshness:
    """How far the knowledge base reflects the tenant's documents."""

    synced_at: datetime | None
    pending_changes: bool


@dataclass(frozen=True, slots=True)
class AskableTenant:
    """What asking needs to know of a tenant.

    Args:
        documents_left_out: how many are in the tenant's bucket, and not in the index, or not wholly; `None` where it is
            not known.
        profile, profile_version: by which it is answered; empty for what the stack's parameters say.
    """

    tenant_id: TenantId
    knowledge_base_id: str
    knowledge_store: str
    freshness: Freshness
    documents_left_out: int | None = None
    life: int = 1
    profile: str = ""
    profile_version: int = 0

    @property
    def this_life(self) -> Life:
        return Life(self.tenant_id, self.life)


@dataclass(frozen=True, slots=True)
class Answer:
    """`session` is what the caller sends with the next question; empty where there is nothing to go on from. `life` is
    the one whose documents have answered it."""

    generated: GeneratedAnswer
    freshness: Freshness
    documents_left_out: int | None
    session: str
    life: Life
