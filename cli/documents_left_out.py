"""The words for whether it is known which documents are left out."""

from __future__ import annotations

from collections.abc import Iterator

from cli.terminal import literal, moment
from kbfleet.contracts.tenants import SyncBody
from kbfleet.domain.left_out import LeftOutNotKnown


def not_known_lines(not_known: LeftOutNotKnown) -> Iterator[str]:
    since = f" since {moment(not_known.since)}" if not_known.since else ""
    yield f"[yellow]Whether documents have failed is not known{since}.[/] {literal(not_known.finding)}"
    yield f"  → {literal(not_known.advice)}"


def left_out(sync: SyncBody) -> Iterator[str]:
    """In a table of details."""
    if sync.left_out_not_known is not None:
        yield from not_known_lines(sync.left_out_not_known)
    elif sync.documents_left_out:
        yield f"[red]{sync.documents_left_out}[/]"
    else:
        yield "none" if sync.documents_left_out == 0 else "not known"
