"""What is stored in one vector index: chunks of text with their vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import Any

import numpy as np

from bedrock_emulator.search.embedding import Embedder, PassageVectors
from bedrock_emulator.search.relevance import Passage, RelevanceIndex, Scores
from bedrock_emulator.world.records import DocumentIdentifier


@dataclass(frozen=True)
class Parent:
    """The larger piece of a document that is answered in place of its children."""

    identifier: str
    text: str


@dataclass(frozen=True)
class Chunk:
    """A piece of a document. ``metadata`` holds the sidecar's attributes and the service's own keys."""

    identifier: str
    text: str
    document: DocumentIdentifier
    data_source_id: str
    metadata: dict[str, Any]
    passage: Passage
    searchable_from: float = 0.0
    parent: Parent | None = None

    @property
    def answered(self) -> str:
        """The text that is answered where it is found."""
        return self.text if self.parent is None else self.parent.text


@dataclass(frozen=True)
class Hit:
    """A chunk found, with its score between 0 and 1 and those of its statements."""

    chunk: Chunk
    score: float
    statement_scores: Scores


@dataclass(frozen=True)
class _Snapshot:
    chunks: Sequence[Chunk]
    relevance: RelevanceIndex


class VectorIndex:
    """Chunks with the vectors of their statements in one contiguous array. Safe to use from several threads."""

    def __init__(self, dimension: int) -> None:
        """Empty; ``dimension`` is the embedder's."""
        self._lock = Lock()
        self._chunks: list[Chunk] = []
        self._vectors = PassageVectors.none(dimension)
        self._snapshot: _Snapshot | None = None

    def __len__(self) -> int:
        """How many chunks there are."""
        return len(self._chunks)

    def stored(self) -> tuple[list[Chunk], PassageVectors]:
        """Everything in it."""
        with self._lock:
            return list(self._chunks), self._vectors

    def replace(
        self,
        data_source_id: str,
        documents: Iterable[DocumentIdentifier],
        chunks: Sequence[Chunk],
        vectors: PassageVectors,
    ) -> None:
        """Remove a data source's chunks of ``documents`` and add ``chunks``, in one step.

        ``vectors`` are those of the statements of ``chunks``.
        """
        gone = {(data_source_id, document) for document in documents}
        with self._lock:
            self._keep([(chunk.data_source_id, chunk.document) not in gone for chunk in self._chunks])
            self._chunks += chunks
            self._vectors = PassageVectors(
                np.concatenate([self._vectors.rows, vectors.rows]),
                np.concatenate([self._vectors.row_of, vectors.row_of + len(self._vectors.rows)]),
            )

    def remove_data_source(self, data_source_id: str) -> None:
        """Remove every chunk that a data source brought."""
        with self._lock:
            self._keep([chunk.data_source_id != data_source_id for chunk in self._chunks])

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
        relevance = current.relevance.scores(embedder, query)
        order = np.argsort(-relevance.passages, kind="stable")
        found = (
            Hit(current.chunks[row], float(relevance.passages[row]), relevance.of_statements(row))
            for row in order
            if wanted(current.chunks[row])
        )
        return list(islice(found, most))

    def _keep(self, wanted: Sequence[bool]) -> None:
        counts = [len(chunk.passage.statements) for chunk in self._chunks]
        used = self._vectors.row_of[np.repeat(np.array(wanted, dtype=bool), counts)]
        rows, row_of = np.unique(used, return_inverse=True)
        self._chunks = [chunk for chunk, keep in zip(self._chunks, wanted, strict=True) if keep]
        self._vectors = PassageVectors(self._vectors.rows[rows], row_of)
        self._snapshot = None

    def _current(self) -> _Snapshot:
        with self._lock:
            if self._snapshot is None:
                chunks = tuple(self._chunks)
                self._snapshot = _Snapshot(chunks, RelevanceIndex([chunk.passage for chunk in chunks], self._vectors))
            return self._snapshot
