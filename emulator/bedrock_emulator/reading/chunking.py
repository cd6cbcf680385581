"""Documents cut into chunks, by the strategies of a data source's ``vectorIngestionConfiguration``.

AWS documentation, "How content chunking works for knowledge bases": default chunking makes chunks of about 300 tokens
that honour sentence boundaries; fixed-size chunking takes a maximum of tokens and an overlap percentage; with no
chunking each document is one chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bedrock_emulator.reading.sentences import estimated_tokens, sentence_spans, token_weight
from bedrock_emulator.wire.errors import NotEmulatedError

DEFAULT_TOKENS = 300
# Titan Text Embeddings takes at most 8,192 tokens (AWS documentation), so an uncut document ends there.
MODEL_TOKENS = 8_192


def chunker(ingestion: Mapping[str, Any] | None) -> Callable[[str], list[str]]:
    """The way to cut one page or document. NotEmulatedError for strategies and steps not offered here."""
    settings = dict(ingestion or {})
    if unsupported := settings.keys() - {"chunkingConfiguration", "parsingConfiguration"}:
        raise NotEmulatedError(f"vectorIngestionConfiguration.{min(unsupported)}")
    chunking = settings.get("chunkingConfiguration")
    if chunking is None:
        return partial(_cut, most=DEFAULT_TOKENS, overlap=0)
    match chunking["chunkingStrategy"]:
        case "NONE":
            return lambda text: [text] if estimated_tokens(text) <= MODEL_TOKENS else _cut(text, MODEL_TOKENS, 0)[:1]
        case "FIXED_SIZE":
            fixed = chunking.get(
                "fixedSizeChunkingConfiguration", {"maxTokens": DEFAULT_TOKENS, "overlapPercentage": 20}
            )
            most = fixed["maxTokens"]
            return partial(_cut, most=most, overlap=most * fixed["overlapPercentage"] // 100)
        case strategy:
            raise NotEmulatedError(f"chunkingStrategy {strategy}")


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
