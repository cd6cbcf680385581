"""Answers made of the documents' own sentences, in place of a language model.

The answer is extractive: the statements of the retrieved passages that fit the question best, in the language of the
documents, each cited. It can't reason or rephrase, and it can't make anything up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bedrock_emulator.reading.outline import Statement
from bedrock_emulator.search.embedding import Embedder
from bedrock_emulator.search.evidence import Evidence
from bedrock_emulator.search.relevance import Scores

# A statement that scores less, with what counts against it taken off, does not answer. Chosen on questions with and
# without an answer, in both languages; without an embedding model words alone decide, so less of a share already tells.
_ANSWERS, _ANSWERS_BY_WORDS = 0.07, 0.02
# Nor does one that scores so much less than the nearest statement: that speaks of what is asked, and does not tell it.
_AS_NEAR = 0.6
# How much the passage around a statement counts: what the statement leaves out stands near it.
_PASSAGE = 0.25
# Beside the best statement only those nearly as good are given, and the sentence after it unless it is far worse: that
# often says what the best one speaks of.
_NEARLY_AS_GOOD, _CONTINUES = 0.93, 0.2
_MOST_STATEMENTS = 3
_MOST_SOURCES = 5
_ENDED = re.compile(r"[。．.!?！？][」』）)\"']?$")
_WIDE = re.compile(r"[ぁ-ヿ一-鿿]")
_RECORD = re.compile(r"\S: .+, .+: ")


@dataclass(frozen=True)
class Source:
    """A passage to answer from: its statements, and how relevant it and each of them are to the question."""

    statements: Sequence[Statement]
    score: float
    statement_scores: Scores


@dataclass(frozen=True)
class Part:
    """A stretch of an answer's text (end exclusive) and the sources it was taken from, by their positions."""

    start: int
    end: int
    sources: tuple[int, ...]


@dataclass(frozen=True)
class Answer:
    """An answer; one without parts says nothing."""

    text: str
    parts: tuple[Part, ...]


class _Place(NamedTuple):
    source: int
    position: int


def answer(embedder: Embedder, question: str, sources: Sequence[Source]) -> Answer:
    """The answer to ``question`` that ``sources``, best first, hold; without parts when none of them holds one.

    ``embedder`` is the one that their scores come from.
    """
    read = sources[:_MOST_SOURCES]
    least = _ANSWERS if embedder.dimension else _ANSWERS_BY_WORDS
    text = ""
    parts = []
    for place in _chosen(question, read, least):
        told = read[place.source].statements[place.position].text
        if text and not _WIDE.search(text[-2:]) and not text.endswith("。"):
            text += " "
        start = len(text)
        text += told if _ENDED.search(told) else told + ("。" if _WIDE.search(told) else ".")
        holding = (at for at, source in enumerate(read) if any(told == other.text for other in source.statements))
        parts.append(Part(start, len(text), tuple(holding)))
    return Answer(text, tuple(parts))


def _chosen(question: str, sources: Sequence[Source], least: float) -> list[_Place]:
    """The statements to answer with, in the order of the sources."""
    scores: dict[_Place, float] = {}
    seen: set[str] = set()
    for at, source in enumerate(sources):
        for position, statement in enumerate(source.statements):
            # Of a statement that stands in several passages the best-placed counts.
            if statement.text not in seen:
                seen.add(statement.text)
                single = float(source.statement_scores[position])
                scores[_Place(at, position)] = (1 - _PASSAGE) * single + _PASSAGE * source.score
    evidence = Evidence(question, [source.statements for source in sources])
    nearest = max(scores.values(), default=0.0)
    scores = {
        place: score
        for place, score in scores.items()
        if score >= _AS_NEAR * nearest and score - evidence.missing(place.source) >= least and evidence.holds(*place)
    }
    if not scores:
        return []
    ranked = sorted(scores, key=lambda place: -scores[place])
    best = ranked[0]
    chosen = [place for place in ranked if scores[place] >= _NEARLY_AS_GOOD * scores[best]][:_MOST_STATEMENTS]
    following = _Place(best.source, best.position + 1)
    if len(chosen) < _MOST_STATEMENTS and following not in chosen and _continues(sources, best, following):
        chosen.append(following)
    return sorted(chosen)


def _continues(sources: Sequence[Source], best: _Place, following: _Place) -> bool:
    source = sources[best.source]
    if following.position >= len(source.statements):
        return False
    before, after = source.statements[best.position], source.statements[following.position]
    if before.headings != after.headings or _RECORD.search(before.text) or _RECORD.search(after.text):
        return False
    scores = source.statement_scores
    return bool(scores[following.position] >= _CONTINUES * scores[best.position])
