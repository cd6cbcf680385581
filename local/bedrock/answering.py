"""Answers made of the documents' own sentences, in place of a language model.

The answer is extractive: the sentences of the retrieved passages that fit the question best, in the language of the
documents, each cited. It can't reason or rephrase, and it can't make anything up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from local.bedrock.embedding import Embedder
from local.bedrock.lexical import LexicalIndex, features
from local.bedrock.sentences import sentences
from local.bedrock.vector_index import MEANING

# A sentence below this has nothing to do with the question. Chosen on questions with and without an answer, in both
# languages; without an embedding model words alone decide, so less of a share already tells.
_RELEVANT, _RELEVANT_BY_WORDS = 0.35, 0.24
# How much the passage around a sentence counts: its heading often names what the sentence leaves out.
_PASSAGE = 0.25
# Beside the best sentence only those nearly as good are given.
_NEARLY_AS_GOOD = 0.9
_MOST_SENTENCES = 3
_MOST_PASSAGES = 5
_SHORTEST = 6
_ENDED = re.compile(r"[。．.!?！？」』）)]$")
_MARKUP = re.compile(r"^(?:#{1,6}|[-*+>・•]|\d+[.)])\s+")
_EMPHASIS = re.compile(r"\*\*|__|`")


@dataclass(frozen=True)
class Passage:
    """A text to answer from, and how near it is to the question (0 to 1)."""

    text: str
    score: float


@dataclass(frozen=True)
class Part:
    """A stretch of an answer's text (end exclusive) and the passages it was taken from, by their positions."""

    start: int
    end: int
    passages: tuple[int, ...]


@dataclass(frozen=True)
class Answer:
    """An answer; one without parts says nothing."""

    text: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class _Candidate:
    text: str
    passage: Passage
    order: tuple[int, int]


def answer(embedder: Embedder, question: str, passages: Sequence[Passage]) -> Answer:
    """Answer ``question`` from ``passages``, best first; without parts when no sentence is relevant enough."""
    read = passages[:_MOST_PASSAGES]
    candidates = [
        _Candidate(sentence, passage, (rank, position))
        for rank, passage in enumerate(read)
        for position, sentence in enumerate(_statements(passage.text))
    ]
    text = ""
    parts = []
    for candidate in _best(embedder, question, candidates):
        if text and text[-1] not in "。！？」":
            text += " "
        start = len(text)
        text += candidate.text if _ENDED.search(candidate.text) else f"{candidate.text}{_full_stop(candidate.text)}"
        sources = tuple(rank for rank, passage in enumerate(read) if candidate.text in _statements(passage.text))
        parts.append(Part(start, len(text), sources))
    return Answer(text, tuple(parts))


def _best(embedder: Embedder, question: str, candidates: Sequence[_Candidate]) -> list[_Candidate]:
    # Of a sentence that stands in several passages the best-placed counts.
    unique = {candidate.text: candidate for candidate in reversed(candidates)}
    ordered = sorted(unique.values(), key=lambda candidate: candidate.order)
    if not ordered:
        return []
    found = [candidate.text for candidate in ordered]
    scores = LexicalIndex([features(sentence) for sentence in found]).scores(features(question))
    threshold = _RELEVANT_BY_WORDS
    if embedder.dimension:
        meaning = embedder.relevance(embedder.passages(found) @ embedder.query(question))
        scores = MEANING * meaning + (1 - MEANING) * scores
        threshold = _RELEVANT
    relevant = scores >= threshold
    if not relevant.any():
        return []
    around = np.array([candidate.passage.score for candidate in ordered], dtype=np.float32)
    scores = (1 - _PASSAGE) * scores + _PASSAGE * around
    best = float(scores[relevant].max())
    rows = [
        row for row in np.argsort(-scores, kind="stable") if relevant[row] and scores[row] >= best * _NEARLY_AS_GOOD
    ]
    return sorted((ordered[row] for row in rows[:_MOST_SENTENCES]), key=lambda candidate: candidate.order)


def _statements(text: str) -> list[str]:
    """The sentences of a passage without their mark-up. Headings and questions answer nothing."""
    found = []
    for sentence in sentences(text):
        plain = _EMPHASIS.sub("", _MARKUP.sub("", sentence)).strip()
        if len(plain) >= _SHORTEST and not sentence.startswith("#") and not plain.endswith(("?", "？")):
            found.append(plain)
    return found


def _full_stop(text: str) -> str:
    return "。" if re.search(r"[ぁ-ヿ一-鿿]", text) else "."
