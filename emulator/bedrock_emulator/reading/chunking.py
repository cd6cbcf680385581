"""Documents cut into chunks, by the strategies of a data source's ``vectorIngestionConfiguration``.

AWS documentation, "How content chunking works for knowledge bases": default chunking makes chunks of about 300 tokens
that honour sentence boundaries; fixed-size chunking takes a maximum of tokens and an overlap percentage; hierarchical
chunking makes children within parents, of which the children are searched and the parents answered; semantic chunking
cuts where the meaning of neighbouring sentences differs most; with no chunking each document is one chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bedrock_emulator.reading.sentences import estimated_tokens, sentence_spans, token_weight

DEFAULT_TOKENS = 300
# Titan Text Embeddings takes at most 8,192 tokens (AWS documentation), so an uncut document ends there.
MODEL_TOKENS = 8_192
# As a failure reason says that users report.
SEMANTIC_CHARACTERS = 1_000_000

Distances = Callable[[Sequence[str]], Sequence[float]]
"""How far in meaning each of some texts is from the one after it."""


@dataclass(frozen=True)
class Piece:
    """A chunk to be searched. ``parent`` is the text to be answered in its place, where there is one."""

    text: str
    parent: str | None = None


Chunker = Callable[[str], list[Piece]]


class TooLongError(Exception):
    """The text is longer than the strategy takes."""


def strategy(ingestion: Mapping[str, Any] | None) -> str | None:
    """The ``chunkingStrategy``; None where there is none, which means the default."""
    found = (ingestion or {}).get("chunkingConfiguration", {}).get("chunkingStrategy")
    return None if found is None else str(found)


def chunker(ingestion: Mapping[str, Any] | None, distances: Distances) -> Chunker:
    """The way to cut one page or document; that of SEMANTIC chunking raises TooLongError."""
    chunking = (ingestion or {}).get("chunkingConfiguration", {})
    match strategy(ingestion):
        case "NONE":
            return _uncut
        case "HIERARCHICAL":
            settings = chunking["hierarchicalChunkingConfiguration"]
            parents, children = (level["maxTokens"] for level in settings["levelConfigurations"])
            return partial(_in_parents, parents=parents, children=children, overlap=settings["overlapTokens"])
        case "SEMANTIC":
            return partial(_by_meaning, **_semantic(chunking["semanticChunkingConfiguration"]), distances=distances)
        case "FIXED_SIZE":
            usual = {"maxTokens": DEFAULT_TOKENS, "overlapPercentage": 20}
            fixed = chunking.get("fixedSizeChunkingConfiguration", usual)
            most = fixed["maxTokens"]
            return partial(_flat, most=most, overlap=most * fixed["overlapPercentage"] // 100)
    return partial(_flat, most=DEFAULT_TOKENS, overlap=0)


def _semantic(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "most": settings["maxTokens"],
        "beside": settings["bufferSize"],
        "percentile": settings["breakpointPercentileThreshold"],
    }


def _uncut(text: str) -> list[Piece]:
    whole = [text] if estimated_tokens(text) <= MODEL_TOKENS else _cut(text, MODEL_TOKENS, 0)[:1]
    return [Piece(each) for each in whole if each.strip()]


def _flat(text: str, most: int, overlap: int) -> list[Piece]:
    return [Piece(chunk) for chunk in _cut(text, most, overlap)]


def _in_parents(text: str, parents: int, children: int, overlap: int) -> list[Piece]:
    return [
        Piece(child, parent) for parent in _cut(text, parents, overlap) for child in _cut(parent, children, overlap)
    ]


def _by_meaning(text: str, most: int, beside: int, percentile: int, distances: Distances) -> list[Piece]:
    """Sentences together until the next ones are further away than most are. Each is seen with those ``beside`` it."""
    if len(text) > SEMANTIC_CHARACTERS:
        raise TooLongError(f"File body text exceeds size limit of {SEMANTIC_CHARACTERS} for semantic chunking.")
    spans = sentence_spans(text)
    if not spans:
        return []
    windows = [
        text[spans[max(0, at - beside)][0] : spans[min(len(spans) - 1, at + beside)][1]] for at in range(len(spans))
    ]
    apart = distances(windows)
    border = _percentile(apart, percentile)
    ends = [at for at, distance in enumerate(apart) if distance > border]
    return [Piece(chunk) for part in _parts(text, spans, ends) for chunk in _cut(part, most, 0)]


def _parts(text: str, spans: Sequence[tuple[int, int]], ends: Sequence[int]) -> Iterator[str]:
    first = 0
    for last in (*ends, len(spans) - 1):
        yield text[spans[first][0] : spans[last][1]]
        first = last + 1


def _percentile(values: Sequence[float], percentile: int) -> float:
    """The value that so many per cent of the ``values`` are not above."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) * percentile // 100] if ordered else 0.0


def _cut(text: str, most: int, overlap: int) -> list[str]:
    """Chunks of at most ``most`` tokens of whole sentences, each starting with about ``overlap`` tokens of the last."""
    pieces = [piece for span in sentence_spans(text) for piece in _pieces(text, *span, most)]
    if not pieces:
        return []
    starts = [start for start, _ in pieces[1:]]
    sizes = [token_weight(text[start:end]) for (start, _), end in zip(pieces, [*starts, pieces[-1][1]], strict=True)]
    chunks = []
    first = 0
    while first < len(pieces):
        last, size = first, sizes[first]
        while last + 1 < len(pieces) and size + sizes[last + 1] <= most:
            last += 1
            size += sizes[last]
        chunks.append(text[pieces[first][0] : pieces[last][1]])
        if last + 1 == len(pieces):
            break
        following, repeated = last + 1, 0.0
        while following - 1 > first and repeated + sizes[following - 1] <= overlap:
            following -= 1
            repeated += sizes[following]
        first = following
    return chunks


def _pieces(text: str, start: int, end: int, most: int) -> list[tuple[int, int]]:
    """A sentence longer than a chunk in parts of equal length; any other as it is."""
    parts = -(-estimated_tokens(text[start:end]) // most)
    length = -(-(end - start) // parts)
    return [(at, min(at + length, end)) for at in range(start, end, length)]
