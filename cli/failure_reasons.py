"""How it is told why something could not be ingested."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cli.terminal import literal
from kbfleet.domain.ingestion import FailureReason


def reason_lines(reasons: Iterable[FailureReason]) -> Iterator[str]:
    """Lines in markup: each reason, and below it the documents that it names."""
    for reason in reasons:
        yield literal(reason.text)
        yield from (literal(f"  {uri}") for uri in reason.documents)
