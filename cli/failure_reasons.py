"""How it is told why something could not be ingested."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.markup import escape

from kbfleet.domain.ingestion import FailureReason


def reason_lines(reasons: Iterable[FailureReason]) -> Iterator[str]:
    """Lines in rich's markup: each reason, as Bedrock gives it."""
    for reason in reasons:
        yield escape(reason.whole)
