"""Service ``bedrock-runtime``: Converse, answered from the passages in the prompt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bedrock_emulator.account import Account
from bedrock_emulator.reading.sentences import estimated_tokens
from bedrock_emulator.search import prompts
from bedrock_emulator.search.answering import Answer, Source, answer
from bedrock_emulator.search.prompts import Prompt
from bedrock_emulator.search.relevance import passage
from bedrock_emulator.search.reranking import compared
from bedrock_emulator.services.guardrails import Assessment, Guard, Side, apply_guardrail, guard
from bedrock_emulator.wire.errors import validation
from bedrock_emulator.world.models import check_invocable

Members = dict[str, Any]

NOTHING_FOUND = "I could not find an answer to this question in the given passages."


class Conversation:
    """Operations by their names in the model, in snake case."""

    def __init__(self, account: Account) -> None:
        """``account`` gives the embedding model and the clock."""
        self._account = account

    def converse(self, given: Members) -> Members:
        """One message of the assistant: the sentences of the prompt's passages that answer the question.

        Passages given as search results with citations enabled are cited in ``citationsContent`` blocks; numbered ones
        by their numbers, like [1].
        """
        reply = self._reply(given)
        return {
            "output": {"message": {"role": "assistant", "content": reply.content}},
            "stopReason": reply.stopped,
            **reply.measured,
            "trace": reply.trace,
        }

    def converse_stream(self, given: Members) -> Members:
        """The same message as events."""
        reply = self._reply(given)

        def events() -> Iterator[Members]:
            yield {"messageStart": {"role": "assistant"}}
            for position, block in enumerate(reply.content):
                cited = block.get("citationsContent", {"content": [block], "citations": []})
                for text in (part["text"] for part in cited["content"]):
                    for piece in _pieces(text):
                        yield {"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": position}}
                for citation in cited["citations"]:
                    yield {"contentBlockDelta": {"delta": {"citation": citation}, "contentBlockIndex": position}}
                yield {"contentBlockStop": {"contentBlockIndex": position}}
            yield {"messageStop": {"stopReason": reply.stopped}}
            yield {"metadata": {**reply.measured, "trace": reply.trace}}

        return {"stream": events()}

    def apply_guardrail(self, given: Members) -> Members:
        """What a guardrail says of texts, without a model."""
        return apply_guardrail(self._account, given)

    def _reply(self, given: Members) -> _Reply:
        began = self._account.now()
        check_invocable(given["modelId"], self._account.region, self._account.now())
        messages = given.get("messages", [])
        if not messages or messages[-1]["role"] != "user":
            raise validation("A conversation must end with a user message. Try again with a conversation that does so.")
        guarding = _Guarding.of(self._account, given)
        if (refusal := guarding.on_input(given.get("system", []), messages)) is not None:
            return _Reply([{"text": refusal}], "guardrail_intervened", _measured(0, 0, 0), guarding.trace())
        prompt = prompts.read(_unguarded(given.get("system", [])), [_read(message) for message in messages])
        if not prompt.question:
            raise validation("The text field in the ContentBlock object is blank. Add text and try again.")
        content = [{"text": prompt.question}] if prompt.only_rewrites else self._content(prompt)
        words = "".join(_text(block) for block in content)
        limit = given.get("inferenceConfig", {}).get("maxTokens")
        stopped = "end_turn"
        if limit is not None and estimated_tokens(words) > limit:
            content, stopped = [{"text": words[: max(1, len(words) * limit // estimated_tokens(words))]}], "max_tokens"
            words = content[0]["text"]
        read = estimated_tokens(prompt.question) + sum(estimated_tokens(source.text) for source in prompt.sources)
        measured = _measured(read, estimated_tokens(words), int((self._account.now() - began) * 1000))
        if (refusal := guarding.on_output(words)) is not None:
            content, stopped = [{"text": refusal}], "guardrail_intervened"
        return _Reply(content, stopped, measured, guarding.trace())

    def _content(self, prompt: Prompt) -> list[Members]:
        ranked = self._ranked(prompt)
        found = answer(self._account.embedder, prompt.question, [source for _, source in ranked])
        if not found.parts:
            return [{"text": NOTHING_FOUND}]
        rows = [row for row, _ in ranked]
        if any((source.block or {}).get("citations", {}).get("enabled") for source in prompt.sources):
            return [_cited(prompt, found, position, rows) for position in range(len(found.parts))]
        return [{"text": _labelled(prompt, found, rows)}]

    def _ranked(self, prompt: Prompt) -> list[tuple[int, Source]]:
        """The prompt's sources by row, nearest to the question first."""
        embedder = self._account.embedder
        passages = [passage(source.text) for source in prompt.sources]
        found = compared(embedder, prompt.question, passages)
        sources = [
            Source(each.statements, float(found.passages[row]), found.of_statements(row))
            for row, each in enumerate(passages)
        ]
        return sorted(enumerate(sources), key=lambda item: -item[1].score)


@dataclass(frozen=True)
class _Reply:
    """``measured`` holds usage and metrics; ``trace`` is None unless it was asked for."""

    content: list[Members]
    stopped: str
    measured: Members
    trace: Members | None


@dataclass
class _Guarding:
    """What the guardrail of one conversation says, if there is one, and what it has said."""

    guard: Guard | None
    traced: str = "disabled"
    assessed: dict[Side, Assessment] = field(default_factory=dict)
    model_output: str | None = None

    @classmethod
    def of(cls, account: Account, given: Members) -> _Guarding:
        """ServiceError ValidationException when the guardrail that is named does not exist."""
        named = given.get("guardrailConfig")
        if named is None:
            return cls(None)
        if "guardrailIdentifier" not in named or "guardrailVersion" not in named:
            raise validation("guardrailConfig takes guardrailIdentifier and guardrailVersion.")
        found = guard(account, named["guardrailIdentifier"], named["guardrailVersion"])
        return cls(found, named.get("trace", "disabled"))

    def on_input(self, system: list[Members], messages: list[Members]) -> str | None:
        """What is said in place of an answer; None to go on.

        Where content is marked as ``guardContent``, only that is looked at, else all that the messages say (AWS
        documentation, "Include a guardrail with the Converse API").
        """
        blocks = [block for message in messages for block in message["content"]]
        marked = [block["guardContent"]["text"]["text"] for block in (*system, *blocks) if "guardContent" in block]
        return self._said("INPUT", "\n".join(marked or [text for block in blocks for text in _texts(block)]))

    def on_output(self, text: str) -> str | None:
        """What is said in place of the model's text; None to leave it."""
        self.model_output = text
        return self._said("OUTPUT", text)

    def _said(self, side: Side, text: str) -> str | None:
        if self.guard is None:
            return None
        self.assessed[side] = self.guard.assess(side, text)
        return self.guard.message(side) if self.assessed[side].blocked else None

    def trace(self) -> Members | None:
        """As the models have it."""
        if self.guard is None or self.traced == "disabled":
            return None
        told: Members = {}
        if "INPUT" in self.assessed:
            told["inputAssessment"] = {self.guard.identifier: self.assessed["INPUT"].told()}
        if "OUTPUT" in self.assessed:
            told["outputAssessments"] = {self.guard.identifier: [self.assessed["OUTPUT"].told()]}
            told["modelOutput"] = [self.model_output]
        return {"guardrail": told}


def _measured(read: int, written: int, milliseconds: int) -> Members:
    usage = {"inputTokens": read, "outputTokens": written, "totalTokens": read + written}
    return {"usage": usage, "metrics": {"latencyMs": milliseconds}}


def _unguarded(blocks: list[Members]) -> list[Members]:
    """What is marked for a guardrail is text to the model."""
    return [{"text": block["guardContent"]["text"]["text"]} if "guardContent" in block else block for block in blocks]


def _read(message: Members) -> Members:
    return {**message, "content": _unguarded(message["content"])}


def _texts(block: Members) -> Iterator[str]:
    """All that a block of a message says."""
    if "text" in block:
        yield block["text"]
    for part in block.get("searchResult", {}).get("content", ()):
        yield part["text"]
    source = block.get("document", {}).get("source", {})
    if "text" in source:
        yield source["text"]
    for part in source.get("content", ()):
        yield part["text"]


def _cited(prompt: Prompt, found: Answer, position: int, rows: list[int]) -> Members:
    part = found.parts[position]
    until = found.parts[position + 1].start if position + 1 < len(found.parts) else part.end
    given = [source for source in prompt.sources if source.block is not None]
    citations = []
    for source in (prompt.sources[rows[rank]] for rank in part.sources):
        if source.block is None:
            continue
        where = {"searchResultIndex": given.index(source), "start": 0, "end": len(source.block["content"])}
        citations.append(
            {
                "title": source.block["title"],
                "source": source.block["source"],
                "sourceContent": [{"text": found.text[part.start : part.end]}],
                "location": {"searchResultLocation": where},
            }
        )
    return {"citationsContent": {"content": [{"text": found.text[part.start : until]}], "citations": citations}}


def _labelled(prompt: Prompt, found: Answer, rows: list[int]) -> str:
    pieces = []
    for part in found.parts:
        labels = [prompt.sources[rows[rank]].label for rank in part.sources]
        marks = "".join(f" [{label}]" for label in labels if label is not None)
        pieces.append(found.text[part.start : part.end] + marks)
    return " ".join(pieces)


def _text(block: Members) -> str:
    if "text" in block:
        return str(block["text"])
    return "".join(part["text"] for part in block["citationsContent"]["content"])


def _pieces(text: str, length: int = 20) -> Iterator[str]:
    for start in range(0, len(text), length):
        yield text[start : start + length]
