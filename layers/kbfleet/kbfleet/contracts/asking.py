"""Bodies of the ask endpoints."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Self

from pydantic import Field

from kbfleet.contracts import Contract, WholeNumber
from kbfleet.domain.answer import MAX_PASSAGES, Answer, AnswerOutcome, Inquiry, Question
from kbfleet.domain.caller import UserId
from kbfleet.domain.metadata_filter import MetadataFilter

QUESTION_ANSWERED = "Question answered"
GOLDEN_QUESTION_ASKED = "Golden question asked"


class AskRequest(Contract):
    """Body of `POST /ask`. `session` is that of an earlier answer; `filter` is in Bedrock's grammar, see
    `MetadataFilter`. `keep` says whether question and answer are kept for a conversation; without, an answer to a
    question that takes none up has an empty `session`. Without `passages`, the tenant's profile says how
    many the answer may rest on."""

    question: Question
    session: str | None = Field(default=None, min_length=1, max_length=1_000)
    filter: dict[str, Any] | None = None
    passages: WholeNumber | None = Field(default=None, ge=1, le=MAX_PASSAGES)
    keep: bool = Field(default=True, strict=True)

    def to_domain(self) -> Inquiry:
        """Raises: InvalidInput."""
        metadata_filter = None if self.filter is None else MetadataFilter(self.filter)
        return Inquiry(self.question, self.passages, metadata_filter, kept=self.keep)


class TenantAskRequest(AskRequest):
    """Body of `POST /tenants/{tenant_id}/ask`. A session is good for the same `user_id` only."""

    user_id: UserId | None = None


class SourceBody(Contract):
    """With `uri` and `ticket`, `POST /documents/link` gives the asker a link to the document; `ticket` is `null` where
    a back end has asked, which opens documents itself."""

    document: str
    uri: str
    passage: str
    page: int | None
    metadata: dict[str, Any]
    score: float | None
    """How near the passage is to the question, where Bedrock says so: with RetrieveAndGenerate it does not."""
    ticket: str | None


class CitationBody(Contract):
    """`start` and `end` count characters of the answer; `end` is the one behind the last."""

    text: str
    start: int
    end: int
    sources: tuple[SourceBody, ...]


class FreshnessBody(Contract):
    synced_at: datetime | None
    pending_changes: bool


class AskResponse(Contract):
    """`documents_left_out` says how many of the tenant's documents are not answered from, or not wholly, because they
    could not be indexed; null where nobody knows. `session` is empty where nothing is kept to go on from. `outcome`
    says whether the answer rests on documents, nothing was found, or a guardrail has stepped in;
    `stop_reason` why the model stopped, in Bedrock's word, where Bedrock says so."""

    answer: str
    outcome: AnswerOutcome
    stop_reason: str | None
    citations: tuple[CitationBody, ...]
    session: str
    freshness: FreshnessBody
    documents_left_out: int | None
    request_id: str

    @classmethod
    def from_domain(cls, answer: Answer, request_id: str, ticket: Callable[[str], str] | None = None) -> Self:
        """Args: ticket: gives the one for a document, by its URI; without, there is none."""
        return cls(
            answer=answer.generated.text,
            outcome=answer.generated.outcome,
            stop_reason=answer.generated.stop_reason,
            citations=tuple(
                CitationBody(
                    text=citation.text,
                    start=citation.start,
                    end=citation.end,
                    sources=tuple(
                        SourceBody(
                            document=source.document,
                            uri=source.uri,
                            passage=source.passage,
                            page=source.page,
                            metadata=dict(source.metadata or {}),
                            score=source.score,
                            ticket=ticket(source.uri) if ticket is not None else None,
                        )
                        for source in citation.sources
                    ),
                )
                for citation in answer.generated.citations
            ),
            session=answer.session,
            freshness=FreshnessBody(
                synced_at=answer.freshness.synced_at, pending_changes=answer.freshness.pending_changes
            ),
            documents_left_out=answer.documents_left_out,
            request_id=request_id,
        )
