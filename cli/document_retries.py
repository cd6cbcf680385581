"""The words for how a retry of documents goes."""

from __future__ import annotations

from kbfleet.contracts.documents import DocumentRetryBody


def tried(retry: DocumentRetryBody) -> str:
    skipped = f", {retry.skipped} not tried" if retry.skipped else ""
    return f"{retry.fixed} fixed, {retry.failed + retry.unanswered} not, {retry.under_way} under way{skipped}"
