"""What is stored in one vector index: chunks of text with their vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import Any

import numpy as np

from local.bedrock.embedding import Embedder, Vectors
from local.bedrock.lexical import Features, LexicalIndex, features
from local.bedrock.records import DocumentIdentifier

# Of a score, what meaning contributes; shared words contribute the rest. Chosen on questions in both languages.
MEANING = 0.65


@dataclass(frozen=True)
class Chunk:
    """A passage of a document.

    ``metadata`` holds the sidecar's attributes and the service's own keys; ``embedded_attributes`` those of the former
    that are embedded with the text, as text.
    """

    identifier: str
    text: str
    document: DocumentIdentifier
    data_source_id: str
    metadata: dict[str, Any]
    embedded_attributes: str
    lexical: Features
    searchable_from: float = 0.0


@dataclass(frozen=True)
class Hit:
    """A chunk found, with its score between 0 and 1."""

    chunk: Chunk
    score: float


@dataclass(frozen=True)
class _Snapshot:
    chunks: Sequence[Chunk]
    vectors: Vectors
    lexical: LexicalIndex


class VectorIndex:
    """Chunks with their vectors in one contiguous array. Safe to use from several threads."""

    def __init__(self, dimension: int) -> None:
        """Empty; ``dimension`` is the embedder's."""
        self._lock = Lock()
        self._chunks: list[Chunk] = []
        self._vectors: Vectors = np.zeros((0, dimension), dtype=np.float32)
        self._snapshot: _Snapshot | None = None

    def __len__(self) -> int:
        """How many chunks there are."""
        return len(self._chunks)

    def stored(self) -> tuple[list[Chunk], Vectors]:
        """Everything in it, row by row."""
        with self._lock:
            return list(self._chunks), self._vectors

    def replace(
        self,
        data_source_id: str,
        documents: Iterable[DocumentIdentifier],
        chunks: Sequence[Chunk],
        vectors: Vectors,
    ) -> None:
        """Remove a data source's chunks of ``documents`` and add ``chunks``, in one step."""
        gone = {(data_source_id, document) for document in documents}
        with self._lock:
            kept = [row for row, chunk in enumerate(self._chunks) if (chunk.data_source_id, chunk.document) not in gone]
            self._chunks = [*(self._chunks[row] for row in kept), *chunks]
            self._vectors = np.concatenate([self._vectors[kept], vectors])
            self._snapshot = None

    def remove_data_source(self, data_source_id: str) -> None:
        """Remove every chunk that a data source brought."""
        with self._lock:
            kept = [row for row, chunk in enumerate(self._chunks) if chunk.data_source_id != data_source_id]
            self._chunks = [self._chunks[row] for row in kept]
            self._vectors = self._vectors[kept]
            self._snapshot = None

    def search(
        self,
        embedder: Embedder,
        query: str,
        wanted: Callable[[Chunk], bool],
        most: int,
    ) -> list[Hit]:
        """The ``most`` best of the chunks for which ``wanted`` is true, best first."""
        current = self._current()
        if not current.chunks:
            return []
        words = current.lexical.scores(features(query))
        if embedder.dimension == 0:
            scores = words
        else:
            meaning = embedder.relevance(current.vectors @ embedder.query(query))
            scores = MEANING * meaning + (1 - MEANING) * words
        order = np.argsort(-scores, kind="stable")
        found = (Hit(current.chunks[row], float(scores[row])) for row in order if wanted(current.chunks[row]))
        return list(islice(found, most))

    def _current(self) -> _Snapshot:
        with self._lock:
            if self._snapshot is None:
                chunks = tuple(self._chunks)
                lexical = LexicalIndex([chunk.lexical for chunk in chunks])
                self._snapshot = _Snapshot(chunks, self._vectors, lexical)
            return self._snapshot
