"""The words for why something could not be ingested."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cli.terminal import literal
from kbfleet.domain.ingestion_job import FailureReason


def reason_lines(reasons: Iterable[FailureReason]) -> Iterator[str]:
    """Lines in markup: each reason, as Bedrock gives it."""
    return (literal(reason.whole) for reason in reasons)
