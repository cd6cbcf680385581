"""What a prompt asks, and the passages it is to be answered from.

A language model reads any prompt; this reads the usual forms: search results and documents as content blocks,
passages in XML elements or numbered ``[1]``, the question in an element of its own, after "Question:", or last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bedrock_emulator.reading.follow_ups import standalone

_ELEMENT = re.compile(
    r"<(?P<name>[A-Za-z_][\w-]*)(?P<attributes>(?:\s[^<>]*)?)>(?P<text>(?:(?!</?[A-Za-z_])[\s\S])*)</(?P=name)>"
)
_LABEL = re.compile(r"""\b(?:id|index|number|n)\s*=\s*["']?(?P<label>\w+)""")
_QUESTION_ELEMENTS = frozenset({"question", "query", "user_question", "user_query", "質問"})
_INSTRUCTION_ELEMENTS = frozenset({"instructions", "instruction", "rules", "format", "example", "role", "tone"})
_ASKED = re.compile(
    r"(?:^|\n)\s*(?:Question|User question|Query|質問|問い)\s*[:：]\s*(?P<text>[\s\S]+?)\s*(?:\n\s*\n|\Z)", re.I
)
_NUMBERED = re.compile(r"(?:^|\n)\s*\[(?P<label>\d+)\]\s*(?P<text>[\s\S]+?)(?=\n\s*\[\d+\]|\n\s*\n|\Z)")

# What prompts say that have a question rewritten.
_REWRITES = re.compile(
    r"stand-?\s?alone (?:question|query|search)|self-contained (?:question|query)|\b(?:rephrase|rewrite|reformulate)\b"
    r"[^.]{0,60}\b(?:question|query|input)|(?:question|query)[^.]{0,40}stands? on its own"
    r"|単独で(?:意味|理解)|質問を[^。]{0,20}書き[直換]"
    r"|質問に(?:書き|言い)[直換]",
    re.I,
)
_TURN = re.compile(r"^\s*(?:User|Human|Q|ユーザー|利用者)\s*[:：]\s*(?P<text>\S.*)$", re.M)


@dataclass(frozen=True)
class Source:
    """A passage of the prompt. ``label`` is what the prompt calls it; ``block`` the search result it was given as."""

    text: str
    label: str | None = None
    block: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Prompt:
    """The question, understood in its conversation, and what to answer it from.

    ``only_rewrites`` is true where the question is not to be answered, but to be put so that it stands on its own.
    """

    question: str
    sources: tuple[Source, ...]
    only_rewrites: bool = False


def read(system: Sequence[Mapping[str, Any]], messages: Sequence[Mapping[str, Any]]) -> Prompt:
    """Read the ``system`` and ``messages`` of a Converse request; the last message is what is asked."""
    blocks = [block for message in messages for block in message["content"]]
    sources = [source for block in blocks for source in _given_as_block(block)]
    texts = [block["text"] for block in system if "text" in block]
    texts += [block["text"] for block in blocks if "text" in block]
    sources += [source for text in texts for source in _marked(text)]
    asked = [block["text"] for block in messages[-1]["content"] if "text" in block] if messages else []
    question, rest = _question("\n\n".join(asked))
    instructions = "\n\n".join([*(block["text"] for block in system if "text" in block), rest])
    understood = standalone([*_questions_before(messages), *_transcribed(instructions), question]) if question else ""
    if _REWRITES.search(instructions):
        return Prompt(understood, (), only_rewrites=True)
    if not sources:
        sources = [Source(paragraph) for paragraph in re.split(r"\n\s*\n", rest) if paragraph.strip()]
    return Prompt(understood, tuple(sources))


def _questions_before(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for message in messages[:-1]:
        said = "\n\n".join(block["text"] for block in message["content"] if "text" in block)
        if message["role"] == "user" and said.strip():
            yield _question(said)[0]


def _transcribed(text: str) -> Iterator[str]:
    """The questions of a conversation that is told in the prompt."""
    return (turn["text"].strip() for turn in _TURN.finditer(text))


def _given_as_block(block: Mapping[str, Any]) -> Iterator[Source]:
    if "searchResult" in block:
        result = block["searchResult"]
        yield Source("\n".join(part["text"] for part in result["content"]), block=result)
    source = block.get("document", {}).get("source", {})
    if "text" in source:
        yield Source(source["text"])
    for part in source.get("content", ()):
        if "text" in part:
            yield Source(part["text"])


def _marked(text: str) -> Iterator[Source]:
    for element in _ELEMENT.finditer(text):
        if element["name"].lower() in _QUESTION_ELEMENTS | _INSTRUCTION_ELEMENTS:
            continue
        numbered = list(_NUMBERED.finditer(element["text"]))
        for part in numbered:
            yield Source(part["text"].strip(), part["label"])
        if not numbered and element["text"].strip():
            label = _LABEL.search(element["attributes"])
            yield Source(element["text"].strip(), label["label"] if label else None)
    for part in _NUMBERED.finditer(_ELEMENT.sub("\n\n", text)):
        yield Source(part["text"].strip(), part["label"])


def _question(text: str) -> tuple[str, str]:
    """The question, and the text without it."""
    for element in _ELEMENT.finditer(text):
        if element["name"].lower() in _QUESTION_ELEMENTS:
            return element["text"].strip(), text[: element.start()] + text[element.end() :]
    bare = _NUMBERED.sub("\n\n", _ELEMENT.sub("\n\n", text)).strip()
    if asked := _ASKED.search(bare):
        return asked["text"].strip(), bare[: asked.start()] + bare[asked.end() :]
    before, _, last = bare.rpartition("\n\n")
    return last.strip(), before
