"""Golden questions that a document itself suggests: its questions with their answers, and its headings.

No model is asked. What is found is a proposal, for somebody to look through: that a document has a heading does not say
that anybody asks for what is under it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import unescape
from itertools import chain, zip_longest
from pathlib import PurePosixPath

from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.printable import is_printable
from kbfleet.domain.questions import MAX_EXPECTED, Draft, QuestionId

READ = (".md", ".txt", ".html")
"""Endings of documents that are text. To read others takes a parser, which would run on what strangers have sent."""
MOST_BYTES = 65_536
"""That are read of a document, from its beginning."""
LONGEST = 200
"""Characters: what is longer is no heading, and no question that anybody asks."""
_LONGEST_ANSWER = 2_000
_SHORTEST = 2
_NOT_UTF_8 = "it is not text in UTF-8"
_JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


class Unreadable(Exception):
    """The document is of another format, or not in UTF-8: which, is its text."""


@dataclass(frozen=True, slots=True)
class Block:
    """A heading, or a line or paragraph of text. Args: level: of a heading, from 1; 0 of text."""

    text: str
    level: int = 0


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A question that a document suggests.

    Args:
        asked: whether the document has it as a question. Else it is made of a heading.
        answer: as the document gives it; empty where that is not said.
    """

    text: str
    documents: tuple[str, ...]
    asked: bool
    answer: str = ""

    @property
    def draft(self) -> Draft:
        return Draft(self.text, self.documents, reference=self.answer)


def suggestions(key: str, content: bytes) -> Sequence[Suggestion]:
    """Those of one document, its questions first.

    Args:
        key: its name, whose ending says how it is read.
        content: `MOST_BYTES` of it at most; what is behind them is not looked at.

    Raises: Unreadable.
    """
    ending = PurePosixPath(key).suffix.lower()
    if ending not in _BLOCKS:
        raise Unreadable(f"its name does not end in {', '.join(READ)}")
    blocks = list(_BLOCKS[ending](_decoded(content[:MOST_BYTES])))
    if len(content) >= MOST_BYTES:
        blocks = blocks[:-1]  # it may be cut
    found = chain(_questions(blocks, key), _of_headings(blocks, key))
    return [each for each in found if _is_fit(each)]


def gathered(found: Iterable[Sequence[Suggestion]], known: Iterable[str], most: int) -> Sequence[Suggestion]:
    """Of several documents, each in its turn, so that no long one crowds the others out. What two documents ask is one
    question, which either of them answers.

    Args:
        known: texts of questions that there are already.
        most: how many are given.
    """
    turns = chain.from_iterable(zip_longest(*found))
    by_text = dict[str, Suggestion]()
    for suggestion in filter(None, turns):
        before = by_text.get(suggestion.text)
        documents = (*(before.documents if before is not None else ()), *suggestion.documents)
        by_text[suggestion.text] = replace(before or suggestion, documents=tuple(dict.fromkeys(documents)))
    for text in known:
        by_text.pop(text, None)
    # What many documents have is the frame of a page, such as "Contact", and asks for none of them.
    return [each for each in by_text.values() if len(each.documents) <= MAX_EXPECTED][:most]


def _is_fit(suggestion: Suggestion) -> bool:
    """What is not printable is no question that somebody types; nor would an operator see what they accept."""
    texts = (suggestion.text, suggestion.answer)
    if not all(map(is_printable, texts)) or not any(map(str.isalpha, suggestion.text)):
        return False
    try:
        suggestion.draft.question(QuestionId("q0000"))
    except InvalidInput:
        return False  # a key that no question may expect
    return True


def _decoded(content: bytes) -> str:
    """Raises: Unreadable."""
    try:
        # The last letter that was read may be cut.
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(content, final=len(content) < MOST_BYTES)
    except UnicodeDecodeError as error:
        raise Unreadable(_NOT_UTF_8) from error
    if "\0" in text:
        raise Unreadable(_NOT_UTF_8)
    return text


def _plain(text: str) -> str:
    return " ".join(text.split())


# --- Markdown and text ---------------------------------------------------------------------------

_ATX = re.compile(r" {0,3}(#{1,6})[ \t](.*)")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_LINK = re.compile(r"!?\[([^\[\]]{0,200})\]\([^()]{0,500}\)")
_MARKS = re.compile(r"\*{1,3}|`{1,3}|(?<!\w)_{1,2}|_{1,2}(?!\w)|<[^<>]{1,200}>")


def _of_markdown(text: str) -> Iterator[Block]:
    """Source: CommonMark 0.31, sections 4.2 (ATX headings), 4.3 (setext headings) and 4.5 (fenced code blocks)."""
    lines = text.split("\n")
    fence = ""
    before = ""
    if lines[0].rstrip() == "---" and "---" in (each.rstrip() for each in lines[1:]):
        # What many generators of sites keep before the text.
        lines = lines[1 + [each.rstrip() for each in lines[1:]].index("---") + 1 :]
    for line in lines:
        opened = _FENCE.match(line)
        if fence:
            if opened is not None and opened[1].startswith(fence):
                fence = ""
            continue
        if opened is not None:
            yield from _text(before)
            fence, before = opened[1], ""
            continue
        heading, underline = _ATX.match(line), _UNDERLINE.fullmatch(line.rstrip())
        if heading is not None:
            yield from _text(before)
            yield Block(_unmarked(heading[2].rstrip().rstrip("#")), len(heading[1]))
            before = ""
        elif underline is not None and before.strip():
            yield Block(_unmarked(before), 1 if underline[1][0] == "=" else 2)
            before = ""
        else:
            yield from _text(before)
            before = line
    yield from _text(before)


def _text(line: str) -> Iterator[Block]:
    """A line of Markdown; an empty one ends a paragraph."""
    yield Block(_unmarked(line.lstrip(" \t>").removeprefix("- ").removeprefix("* ")))


def _unmarked(line: str) -> str:
    return _plain(_MARKS.sub("", _LINK.sub(r"\1", line)))


def _of_plain_text(text: str) -> Iterator[Block]:
    return (Block(_plain(line)) for line in text.split("\n"))


# --- web pages -----------------------------------------------------------------------------------

_HEADINGS = {**{f"h{level}": level for level in range(1, 7)}, "dt": 6, "summary": 6}
"""With their levels. A term, or a summary that opens, is a question in many pages of them."""
_ENDS_A_BLOCK = {*_HEADINGS, "p", "div", "li", "ul", "ol", "dl", "dd", "tr", "td", "th", "table", "details", "br"}
_ENDS_A_BLOCK |= {"section", "article", "body"}
_NOT_SHOWN = {"title", "script", "style", "template", "noscript", "nav", "header", "footer"}
"""Also what stands around the article on each page of a site."""
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]{0,20})[^<>]*>")


def _of_html(text: str) -> Iterator[Block]:
    """By its tags alone: the standard library's parser takes minutes for some pages of 64 KiB, and raises at others."""
    words, level, hidden, place = list[str](), 0, 0, 0
    while place < len(text):
        begins = text.find("<", place)
        begins = begins if begins >= 0 else len(text)
        if not hidden:
            words.append(text[place:begins])
        if text.startswith("<!--", begins):
            ends = text.find("-->", begins)
            place = ends + 3 if ends >= 0 else len(text)
            continue
        tag = _TAG.match(text, begins)
        if tag is None:
            # No tag, but a sign in the text.
            words += [text[begins : begins + 1]] if not hidden else []
            place = begins + 1
            continue
        place, name = tag.end(), tag[2].lower()
        if name in _NOT_SHOWN:
            hidden = max(0, hidden + (-1 if tag[1] else 1))
        if name in _ENDS_A_BLOCK:
            yield from _shown_as(words, level)
            words, level = [], 0 if tag[1] else _HEADINGS.get(name, 0)
    yield from _shown_as(words, level)


def _shown_as(words: Sequence[str], level: int) -> Iterator[Block]:
    if text := _plain(unescape("".join(words))):
        yield Block(text, level)


_BLOCKS: Mapping[str, Callable[[str], Iterable[Block]]] = {
    ".md": _of_markdown,
    ".txt": _of_plain_text,
    ".html": _of_html,
}

# --- what is asked -------------------------------------------------------------------------------

_ASKS = re.compile(r"(?:Q|Question|質問|問)\s{0,2}[0-9０-９]{0,4}\s{0,2}[.:．：、)）]\s{0,4}(.*)", re.IGNORECASE)
_ANSWERS = re.compile(r"(?:A|Answer|回答|答え|答)\s{0,2}[0-9０-９]{0,4}\s{0,2}[.:．：、)）]\s{0,4}(.*)", re.IGNORECASE)
_NUMBER = re.compile(r"(?:[0-9]{1,3}[.)]|[0-9]{1,3}(?:\.[0-9]{1,3}){1,5}\.?)\s{1,4}")
_ENDS_AS_A_QUESTION = re.compile(r".*(?:[?？]|(?:ます|です|ません|ました|でしょう)か。?)")


def _questions(blocks: Sequence[Block], key: str) -> Iterator[Suggestion]:
    """With what is behind each of them up to the next heading, question or empty line."""
    for place, block in enumerate(blocks):
        marked = _ASKS.fullmatch(block.text[: 2 * LONGEST])
        text = _NUMBER.sub("", marked[1] if marked is not None else block.text, count=1)
        if not _SHORTEST <= len(text) <= LONGEST:
            continue
        if marked is None and not (block.level and _ENDS_AS_A_QUESTION.fullmatch(text)):
            continue
        answer = _answer(blocks, place + 1)
        # A Q without an A may be the first word of anything.
        if answer or (marked is None and _has_text(blocks, place)):
            yield Suggestion(text, (key,), asked=True, answer=answer)


def _answer(blocks: Sequence[Block], place: int) -> str:
    """Of the question before that place: what is marked as it, or the first paragraph; empty if there is none, or it is
    longer than an answer is."""
    said: list[str] = []
    for block in blocks[place:]:
        begins = _ANSWERS.fullmatch(block.text[:LONGEST]) if not said else None
        if block.level or _ASKS.fullmatch(block.text[:LONGEST]) is not None or (said and not block.text):
            break
        if block.text:
            said.append(_ANSWERS.sub(r"\1", block.text, count=1) if begins is not None else block.text)
        if sum(map(len, said)) > _LONGEST_ANSWER:
            return ""
    return " ".join(said)


def _of_headings(blocks: Sequence[Block], key: str) -> Iterator[Suggestion]:
    """Named together with the document's title: many documents have a heading such as "Prices"."""
    title = next((block.text for block in blocks if block.level), "")
    for place, block in enumerate(blocks):
        heading = _NUMBER.sub("", block.text, count=1)
        if not block.level or not _SHORTEST <= len(heading) <= LONGEST // 2 or len(title) > LONGEST // 2:
            continue
        if _ENDS_AS_A_QUESTION.fullmatch(heading) or _ASKS.fullmatch(heading) or block.text == title:
            continue
        if _has_text(blocks, place):
            yield Suggestion(_asked_for(heading, title), (key,), asked=False)


def _asked_for(heading: str, title: str) -> str:
    if _JAPANESE.search(heading):
        return f"「{title}」では、「{heading}」についてどのように書かれていますか。"
    return f"What does “{title}” say about “{heading}”?"


def _has_text(blocks: Sequence[Block], place: int) -> bool:
    """Whether anything is said between that heading and the next one."""
    for block in blocks[place + 1 :]:
        if block.level:
            return False
        if block.text:
            return True
    return False
