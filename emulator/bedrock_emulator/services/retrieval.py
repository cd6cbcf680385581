"""Service ``bedrock-agent-runtime``: passages retrieved, and answers generated from them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bedrock_emulator.account import Account, index_key
from bedrock_emulator.reading.follow_ups import standalone
from bedrock_emulator.search.answering import Source, answer
from bedrock_emulator.search.metadata_filters import predicate
from bedrock_emulator.search.vector_index import Chunk, Hit
from bedrock_emulator.services.guardrails import Guard, guard
from bedrock_emulator.services.reranking import reranked, reranker
from bedrock_emulator.services.service_role import check_search
from bedrock_emulator.wire.errors import not_found, validation
from bedrock_emulator.wire.paging import page
from bedrock_emulator.world.models import check_invocable
from bedrock_emulator.world.records import KnowledgeBase, Session

Members = dict[str, Any]

SESSION_SECONDS = 24 * 3600  # AWS documentation, RetrieveAndGenerate, sessionId
NO_ANSWER = "Sorry, I am unable to assist you with this request."
MOST_RESULTS = 100  # over all pages; botocore model, numberOfResults
DEFAULT_RESULTS = 5  # AWS documentation, "Configure and customize queries": the default maximum of results


@dataclass(frozen=True)
class _Answered:
    """An answer; ``guardrail_action`` is None where no guardrail was asked."""

    text: str
    citations: list[Members]
    guardrail_action: str | None


class Retrieval:
    """Operations by their names in the model, in snake case. Called without holding the account's lock."""

    def __init__(self, account: Account) -> None:
        """``account`` holds the state."""
        self._account = account

    def retrieve(self, given: Members) -> Members:
        """The passages nearest to the query, best first."""
        base = self._knowledge_base(given["knowledgeBaseId"].rpartition("/")[2])
        text = given["retrievalQuery"].get("text", "")
        self._check_text(base, text)
        guarding = self._guard(given)
        guarded = {} if guarding is None else {"guardrailAction": "NONE"}
        if guarding is not None and guarding.assess("INPUT", text).blocked:
            # That the passages are not looked at is documented; that none are given to such a query is inferred.
            return {"retrievalResults": [], "guardrailAction": "INTERVENED"}
        settings = given.get("retrievalConfiguration", {})
        hits = self._search(base, text, settings, by_role=True)
        scope = f"Retrieve {base.identifier} {text} {settings}"
        # So many children are found; those of one parent are answered as one, so there may be fewer results.
        answered = {id(hit) for hit in _one_of_each_parent(hits)}
        shown, token = page(hits, scope, _number_of_results(settings), given.get("nextToken"))
        results = [
            {
                **_reference(hit.chunk),
                "score": hit.score,
                **({"documentId": _document_id(hit.chunk)} if base.managed else {}),
            }
            for hit in shown
            if id(hit) in answered
        ]
        return {"retrievalResults": results, "nextToken": token, **guarded}

    def retrieve_and_generate(self, given: Members) -> Members:
        """An answer in the documents' own sentences, each with its citation."""
        session, answered = self._answer(given)
        return {
            "sessionId": session,
            "output": {"text": answered.text},
            "citations": answered.citations,
            "guardrailAction": answered.guardrail_action,
        }

    def retrieve_and_generate_stream(self, given: Members) -> Members:
        """The same answer as events. Their order is not documented: a citation follows the text it belongs to."""
        session, answered = self._answer(given)

        def events() -> Iterator[Members]:
            position = 0
            for citation in answered.citations:
                part = citation["generatedResponsePart"]["textResponsePart"]
                end = part["span"]["end"]
                yield {"output": {"text": answered.text[position : end + 1]}}
                yield {"citation": {"citation": citation, **citation}}
                position = end + 1
            if answered.guardrail_action is not None:
                yield {"guardrail": {"action": answered.guardrail_action}}

        return {"sessionId": session, "stream": events()}

    def _answer(self, given: Members) -> tuple[str, _Answered]:
        """The session, and what is answered in it."""
        if "retrieveAndGenerateConfiguration" not in given:
            raise validation("retrieveAndGenerateConfiguration is required.")
        settings = given["retrieveAndGenerateConfiguration"].get("knowledgeBaseConfiguration")
        if settings is None:
            raise validation("knowledgeBaseConfiguration is required for type KNOWLEDGE_BASE.")
        base = self._knowledge_base(settings["knowledgeBaseId"])
        if base.managed:
            # The restriction is documented, its words are not.
            raise validation("RetrieveAndGenerate is not supported for a knowledge base of type MANAGED.")
        asked = given["input"]["text"]
        self._check_text(base, asked)
        check_invocable(settings["modelArn"], self._account.region, self._account.now())
        generation = settings.get("generationConfiguration", {})
        template = generation.get("promptTemplate", {}).get("textPromptTemplate")
        if template is not None and "$search_results$" not in template:
            raise validation("The prompt template must contain the placeholder $search_results$.")
        guarding = self._guard(generation)
        session, text = self._taken_up(given.get("sessionId"), base, asked)
        if guarding is not None and guarding.assess("INPUT", asked).blocked:
            return session, _refused(guarding.message("INPUT"), [])
        retrieval = settings.get("retrievalConfiguration", {})
        hits = self._search(base, text, retrieval, by_role=False)[: _number_of_results(retrieval)]
        sources = [Source(hit.chunk.passage.statements, hit.score, hit.statement_scores) for hit in hits]
        found = answer(self._account.embedder, text, sources)
        action = None if guarding is None else "NONE"
        if not found.parts:
            # A refusal is one citation without references, as responses recorded in public code show.
            return session, _Answered(NO_ANSWER, [_citation(NO_ANSWER, 0, len(NO_ANSWER), [])], action)
        if guarding is not None and guarding.assess("OUTPUT", found.text).blocked:
            # The passages that the text was made of are cited all the same, users report.
            cited = sorted({rank for part in found.parts for rank in part.sources})
            return session, _refused(guarding.message("OUTPUT"), [hits[rank].chunk for rank in cited])
        citations = [
            _citation(found.text, part.start, part.end, [hits[rank].chunk for rank in part.sources])
            for part in found.parts
        ]
        return session, _Answered(found.text, citations, action)

    def _guard(self, given: Mapping[str, Any]) -> Guard | None:
        named = given.get("guardrailConfiguration")
        return None if named is None else guard(self._account, named["guardrailId"], named["guardrailVersion"])

    def _search(self, base: KnowledgeBase, text: str, settings: Mapping[str, Any], *, by_role: bool) -> list[Hit]:
        """``by_role`` says that the knowledge base's own role calls a reranking model, rather than whoever asks."""
        wrong, right = "vectorSearchConfiguration", "managedSearchConfiguration"
        if not base.managed:
            wrong, right = right, wrong
        if wrong in settings:
            # Reported by users for MANAGED; in the same words here for the others.
            raise validation(
                f"Incompatible configuration: {wrong} is not supported for {base.configuration['type'].lower()} "
                f"knowledge bases. Use {right} instead."
            )
        search = settings.get(right, {})
        reranking = reranker(search, self._account.region)
        if search.get("overrideSearchType") == "HYBRID" and base.store_type == "S3_VECTORS":
            raise validation(f"HYBRID search type is not supported for search operation on index {base.identifier}.")
        let_through = predicate(search.get("filter"), base.store_type)
        now = self._account.now()
        key = index_key(base)
        with self._account.lock:
            if not base.managed and self._account.index(key) is None:
                raise validation("The vector index of the knowledge base could not be found.")
            contents = self._account.contents(key)
        check_search(
            self._account, base, reranking["modelConfiguration"]["modelArn"] if reranking and by_role else None
        )
        hits = contents.search(
            self._account.embedder,
            text,
            lambda chunk: chunk.searchable_from <= now and let_through(chunk.metadata),
            MOST_RESULTS,
        )
        if reranking is None:
            return hits
        found = _one_of_each_parent(hits[: _number_of_results(settings)])
        return reranked(self._account.embedder, text, found, reranking)

    def _knowledge_base(self, identifier: str) -> KnowledgeBase:
        with self._account.lock:
            base = self._account.knowledge_bases.get(identifier)
            if base is None:
                raise not_found(f"Knowledge Base with id {identifier} does not exist.")
            if base.status in ("CREATING", "DELETING", "FAILED"):
                raise validation(f"Knowledge base {base.identifier} is not in a valid status: {base.status}")
            return base

    def _check_text(self, base: KnowledgeBase, text: str) -> None:
        if not text.strip():
            raise validation("Text input is required.")
        quotas = self._account.quotas
        most = quotas.managed_query_characters if base.managed else quotas.query_characters
        if len(text) > most:
            raise validation(
                "1 validation error detected: Value at 'text' failed to satisfy constraint: "
                f"Member must have length less than or equal to {most}"
            )

    def _taken_up(self, identifier: str | None, base: KnowledgeBase, text: str) -> tuple[str, str]:
        """The conversation's identifier, and the question as it is understood in it."""
        now = self._account.now()
        with self._account.lock:
            live = {key: session for key, session in self._account.sessions.items() if session.expires_at > now}
            self._account.sessions = live
            if identifier is None:
                identifier = str(uuid.uuid4())
                live[identifier] = Session(base.identifier, now + SESSION_SECONDS, text)
            elif identifier not in live or live[identifier].knowledge_base_id != base.identifier:
                # What another knowledge base's session is answered is not known; it is surely not let in.
                raise validation(f"Session with Id {identifier} is not valid. Please check and try again.")
            session = live[identifier]
            session.asked = standalone([session.asked, text])
            return identifier, session.asked


def _number_of_results(settings: Mapping[str, Any]) -> int:
    for search in settings.values():
        if "numberOfResults" in search:
            return int(search["numberOfResults"])
    return DEFAULT_RESULTS


def _refused(message: str, chunks: list[Chunk]) -> _Answered:
    """What a guardrail says in place of a text."""
    return _Answered(message, [_citation(message, 0, len(message), chunks)], "INTERVENED")


def _citation(text: str, start: int, end: int, chunks: list[Chunk]) -> Members:
    return {
        "generatedResponsePart": {
            "textResponsePart": {
                "text": text[start:end],
                # The end is the last character itself, not the one after it, as in responses recorded in public code.
                "span": {"start": start, "end": end - 1},
            }
        },
        "retrievedReferences": [_reference(chunk) for chunk in _distinct(chunks)],
    }


def _distinct(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Without further children of the same parent."""
    found: dict[str, Chunk] = {}
    for chunk in chunks:
        found.setdefault(chunk.parent.identifier if chunk.parent else chunk.identifier, chunk)
    return list(found.values())


def _one_of_each_parent(hits: Sequence[Hit]) -> list[Hit]:
    wanted = {chunk.identifier for chunk in _distinct([hit.chunk for hit in hits])}
    return [hit for hit in hits if hit.chunk.identifier in wanted]


def _reference(chunk: Chunk) -> Members:
    if chunk.document.kind == "S3":
        location = {"type": "S3", "s3Location": {"uri": chunk.document.reference}}
    else:
        location = {"type": "CUSTOM", "customDocumentLocation": {"id": chunk.document.reference}}
    return {"content": {"type": "TEXT", "text": chunk.answered}, "location": location, "metadata": chunk.metadata}


def _document_id(chunk: Chunk) -> str:
    return chunk.document.reference[:1825]
