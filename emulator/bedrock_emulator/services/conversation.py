"""Service ``bedrock-runtime``: Converse, answered from the passages in the prompt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bedrock_emulator.account import Account
from bedrock_emulator.reading.sentences import estimated_tokens
from bedrock_emulator.search import prompts
from bedrock_emulator.search.answering import Answer, Source, answer
from bedrock_emulator.search.embedding import passage_vectors
from bedrock_emulator.search.prompts import Prompt
from bedrock_emulator.search.relevance import RelevanceIndex, passage
from bedrock_emulator.wire.errors import NotEmulatedError, validation
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
        content, tokens, stopped = self._reply(given)
        return {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": stopped,
            **tokens,
        }

    def converse_stream(self, given: Members) -> Members:
        """The same message as events."""
        content, tokens, stopped = self._reply(given)

        def events() -> Iterator[Members]:
            yield {"messageStart": {"role": "assistant"}}
            for position, block in enumerate(content):
                cited = block.get("citationsContent", {"content": [block], "citations": []})
                for text in (part["text"] for part in cited["content"]):
                    for piece in _pieces(text):
                        yield {"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": position}}
                for citation in cited["citations"]:
                    yield {"contentBlockDelta": {"delta": {"citation": citation}, "contentBlockIndex": position}}
                yield {"contentBlockStop": {"contentBlockIndex": position}}
            yield {"messageStop": {"stopReason": stopped}}
            yield {"metadata": tokens}

        return {"stream": events()}

    def _reply(self, given: Members) -> tuple[list[Members], Members, str]:
        began = self._account.now()
        check_invocable(given["modelId"], self._account.region)
        for unsupported in ("toolConfig", "guardrailConfig", "outputConfig", "promptVariables"):
            if unsupported in given:
                raise NotEmulatedError(unsupported)
        messages = given.get("messages", [])
        if not messages or messages[-1]["role"] != "user":
            raise validation("A conversation must end with a user message. Try again with a conversation that does so.")
        prompt = prompts.read(given.get("system", ()), messages)
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
        written = estimated_tokens(words)
        usage = {"inputTokens": read, "outputTokens": written, "totalTokens": read + written}
        return content, {"usage": usage, "metrics": {"latencyMs": int((self._account.now() - began) * 1000)}}, stopped

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
        vectors = passage_vectors(embedder, [each.statements for each in passages])
        found = RelevanceIndex(passages, vectors).scores(embedder, prompt.question)
        sources = [
            Source(each.statements, float(found.passages[row]), found.of_statements(row))
            for row, each in enumerate(passages)
        ]
        return sorted(enumerate(sources), key=lambda item: -item[1].score)


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
