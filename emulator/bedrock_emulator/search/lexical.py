"""Ranking by the words that question and passage share: BM25 over words and Japanese character pairs."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

_RUN = re.compile(r"[぀-ヿ一-鿿㐀-䶿々ー]+|[^\W_぀-ヿ一-鿿㐀-䶿]+")
_WIDE = re.compile(r"[぀-ヿ一-鿿㐀-䶿々ー]")
# Words that carry a question, not its subject. In Japanese these are in hiragana, apart from the interrogative 何.
STOP_WORDS = frozenset(
    """
    a about after again all also am an and any are as at be because been before being but by can could did do does doing
    done each every few for from get gets getting give gives got had has have having he her here his how i if in into is
    it its just long many may me more most much must my no not now of often old on once one only or other our out over
    own per please quickly shall she should so some soon such take takes tell than that the their them then there these
    they this those to too under until up us very want was we were what when where which while who whom whose why will
    with within would you your
    """.split()  # noqa: SIM905 - a list of words reads better as words
)
_SAYS_NOTHING = re.compile(r"[぀-ゟー]+|.?何.?")
_K1, _B = 1.2, 0.75


@dataclass(frozen=True)
class Features:
    """The features of one text: hashes and how often each occurs."""

    identifiers: NDArray[np.uint32]
    counts: NDArray[np.float32]
    length: float


def features(text: str) -> Features:
    """The lexical features of ``text``: words without their endings, and pairs of Japanese characters."""
    found = Counter(_feature_strings(text))
    identifiers = np.fromiter((crc32(feature.encode()) for feature in found), dtype=np.uint32, count=len(found))
    counts = np.fromiter(found.values(), dtype=np.float32, count=len(found))
    return Features(identifiers, counts, float(counts.sum()))


def _feature_strings(text: str) -> list[str]:
    strings: list[str] = []
    for run in _RUN.findall(unicodedata.normalize("NFKC", text).casefold()):
        if not _WIDE.match(run):
            if run not in STOP_WORDS:
                strings.append(stem(run))
        elif len(run) == 1:
            strings.append(run)
        else:
            pairs = (run[start : start + 2] for start in range(len(run) - 1))
            strings.extend(pair for pair in pairs if not _SAYS_NOTHING.fullmatch(pair))
    return strings


def stem(word: str) -> str:
    """A word in small letters without its ending.

    Six letters unite "reimburse" with "reimbursement"; a plural's s would part shorter words.
    """
    return word[:6] if len(word) > 6 else word.removesuffix("s") if len(word) > 3 else word


class LexicalIndex:
    """BM25 over a fixed collection. Postings lie in flat arrays sorted by feature, so a query touches its own only."""

    def __init__(self, texts: list[Features]) -> None:
        """``texts`` by row number."""
        self._size = len(texts)
        lengths = np.fromiter((text.length for text in texts), dtype=np.float32, count=self._size)
        mean = float(lengths.mean()) if self._size else 1.0
        identifiers = np.concatenate([text.identifiers for text in texts]) if texts else np.zeros(0, np.uint32)
        counts = np.concatenate([text.counts for text in texts]) if texts else np.zeros(0, np.float32)
        rows = np.repeat(np.arange(self._size), [len(text.identifiers) for text in texts])
        order = np.argsort(identifiers, kind="stable")
        self._identifiers = identifiers[order]
        self._rows = rows[order]
        norms = _K1 * (1 - _B + _B * lengths[rows] / max(mean, 1.0)) if self._size else counts
        self._weights = (counts * (_K1 + 1) / (counts + norms))[order]

    def scores(self, query: Features) -> NDArray[np.float32]:
        """For each row, the share (0 to 1) of the query's weight that the text covers; rare features weigh more."""
        scores = np.zeros(self._size, dtype=np.float32)
        possible = 0.0
        for identifier in query.identifiers:
            start, end = np.searchsorted(self._identifiers, [identifier, identifier + 1])
            frequency = int(end - start)
            rarity = float(np.log(1 + (self._size - frequency + 0.5) / (frequency + 0.5)))
            possible += rarity * (_K1 + 1) / (1 + _K1 * 0.75)
            scores[self._rows[start:end]] += rarity * self._weights[start:end]
        return np.clip(scores / possible, 0.0, 1.0) if possible else scores
