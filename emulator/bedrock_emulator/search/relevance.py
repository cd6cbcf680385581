"""How relevant passages are to a question, by meaning and by the words they share with it.

A passage is scored by the best of its statements and by the whole of it, either of them by meaning and by shared words.
The shares were chosen on questions in both languages, in the middle of the range where they change little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bedrock_emulator.reading.outline import Headings, Statement, read
from bedrock_emulator.search.embedding import Embedder, PassageVectors, Vectors
from bedrock_emulator.search.lexical import Features, LexicalIndex, features

MEANING = 0.6
# Where statements share a vector, as in long manuals, it tells the topic of a page and no more. Chosen on questions
# about such manuals; from 0 to 0.3 little changes.
SHARED_MEANING = 0.3
WHOLE_PASSAGE = 0.2
# Of a larger collection only so many passages have all their statements compared, those that are nearest as a whole.
_COMPARED = 1_000
# How many passages are averaged at a time: it bounds the memory that many statements take.
_BLOCK = 1_000

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Passage:
    """What a text states, and the words of the text and of each statement with the headings above them.

    ``statements`` is never empty: a text that states nothing counts as one statement. ``headings_after`` are those in
    force where the text ends.
    """

    statements: tuple[Statement, ...]
    words: Features
    statement_words: tuple[Features, ...]
    headings_after: Headings


def passage(text: str, headings: Headings = (), attributes: str = "") -> Passage:
    """Read ``text``, which stands under ``headings``. ``attributes`` count as a further statement of it."""
    found, after = read(text, headings)
    if attributes:
        found.append(Statement(attributes.strip(), ()))
    if not found:
        found.append(Statement(text, headings))
    above = " ".join(heading for _, heading in headings)
    return Passage(
        tuple(found),
        features(f"{above} {attributes}{text}"),
        tuple(features(statement.in_context) for statement in found),
        after,
    )


@dataclass(frozen=True)
class Relevance:
    """Scores from 0 to 1: one a passage, and one a statement, those of passage ``n`` from ``starts[n]`` on."""

    passages: Scores
    statements: Scores
    starts: NDArray[np.intp]

    def of_statements(self, row: int) -> Scores:
        """The scores of the statements of passage ``row``, in their order."""
        end = self.starts[row + 1] if row + 1 < len(self.starts) else len(self.statements)
        return self.statements[self.starts[row] : end]


class RelevanceIndex:
    """Tells how relevant each of a fixed collection of passages is to a question."""

    def __init__(self, passages: Sequence[Passage], vectors: PassageVectors) -> None:
        """``vectors`` are those of the passages' statements, in the same order."""
        counts = [len(each.statements) for each in passages]
        self._starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.intp) if counts else np.zeros(0, np.intp)
        self._counts = np.array(counts, dtype=np.intp)
        self._vectors = vectors
        self._meaning = MEANING if len(vectors.rows) >= len(vectors.row_of) else SHARED_MEANING
        self._means = self._mean_vectors()
        self._passage_words = LexicalIndex([each.words for each in passages])
        self._statement_words = LexicalIndex([words for each in passages for words in each.statement_words])

    def scores(self, embedder: Embedder, question: str) -> Relevance:
        """The relevance of every passage to ``question``."""
        asked = features(question)
        words, single = self._passage_words.scores(asked), self._statement_words.scores(asked)
        if not len(self._starts):
            return Relevance(words, single, self._starts)
        if not embedder.dimension:
            return Relevance(self._combined(single, words), single, self._starts)
        vector = embedder.query(question)
        near = self._means @ vector
        whole = self._meaning * embedder.relevance(near, question) + (1 - self._meaning) * words
        cosines = np.repeat(near, self._counts)
        compared = self._nearest(whole + np.maximum.reduceat(single, self._starts))
        cosines[compared] = self._vectors.rows[self._vectors.row_of[compared]] @ vector
        single = self._meaning * embedder.relevance(cosines, question) + (1 - self._meaning) * single
        return Relevance(self._combined(single, whole), single, self._starts)

    def _combined(self, single: Scores, whole: Scores) -> Scores:
        best = np.maximum.reduceat(single, self._starts)
        combined: Scores = (1 - WHOLE_PASSAGE) * best + WHOLE_PASSAGE * whole
        return combined

    def _nearest(self, scores: Scores) -> NDArray[np.bool_]:
        """Which statements belong to the passages with the highest ``scores``."""
        passages = np.ones(len(scores), dtype=bool)
        if len(scores) > _COMPARED:
            passages[np.argpartition(-scores, _COMPARED)[_COMPARED:]] = False
        return np.repeat(passages, self._counts)

    def _mean_vectors(self) -> Vectors:
        """The direction in which the statements of each passage lie together."""
        rows, row_of = self._vectors.rows, self._vectors.row_of
        means = np.zeros((len(self._starts), rows.shape[1]), dtype=np.float32)
        if not rows.shape[1]:
            return means
        for first in range(0, len(self._starts), _BLOCK):
            block = self._starts[first : first + _BLOCK]
            end = block[-1] + self._counts[first + len(block) - 1]
            sums = np.add.reduceat(rows[row_of[block[0] : end]], block - block[0])
            means[first : first + _BLOCK] = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        return means
