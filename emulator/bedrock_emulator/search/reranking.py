"""Texts compared with a question among themselves, as a reranking model compares them."""

from __future__ import annotations

from collections.abc import Sequence

from bedrock_emulator.search.embedding import Embedder, passage_vectors
from bedrock_emulator.search.relevance import Passage, Relevance, RelevanceIndex


def compared(embedder: Embedder, question: str, passages: Sequence[Passage]) -> Relevance:
    """How relevant each of ``passages`` is to ``question``; how rare a word is, they alone decide."""
    vectors = passage_vectors(embedder, [each.statements for each in passages])
    return RelevanceIndex(passages, vectors).scores(embedder, question)
