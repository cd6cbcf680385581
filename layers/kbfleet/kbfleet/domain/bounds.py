"""How much of what outsiders say is kept: the one place of all bounds, and of the way to keep within them.

A bound that is not kept by construction is met by the first tenant with much to say: an item or an event is refused,
again and again, and whoever wanted to write it stands still. So a value that holds text from outside cuts it when it is
made, wherever it comes from. What is left out is counted: behind a text in the text itself, behind a list beside it.

Sizes are bytes of a text as JSON in UTF-8, without what is around it. That is never less than what AWS counts: bytes of
UTF-8 for an item of DynamoDB (400 KB at most; AWS documentation, Quotas in Amazon DynamoDB), and of the JSON for an
event (1 MB since January 2026; botocore 1.44, PutEvents, and AWS Compute Blog, "More room to build"; 256 KB in older
pages of the documentation) or a message (1 MiB; botocore 1.44, SendMessage).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")

ITEM_BYTES = 300_000
"""Of an item of DynamoDB, at most."""
EVENT_BYTES = 200_000
"""Of an event: below all limits that were ever documented, with room for the envelope."""
ANSWER_BYTES = 5_000_000
"""Of an answer of the API: of a function, AWS takes 6 MB (AWS documentation, Lambda quotas)."""
PAGE_BYTES = 1_500_000
"""Of what a page lists. In the answer of a function it is JSON within JSON, which can treble what is not ASCII."""

REASON_BYTES = 8_192
"""Of one reason: as many as its 2,048 characters (botocore model of bedrock-agent, FailureReason) have at most, but for
control characters."""
JOBS_REASONS, JOBS_REASONS_BYTES = 100, 65_536
"""Reasons of one job that are kept and published. The list of documents is read where more are left out."""
RESULTS_REASONS_BYTES = 8_192
"""Of the newest result in a ledger entry: a tick reads dozens of entries. The job history has more."""
TOLD_REASONS_BYTES = 16_384
"""Of a job's reasons where an event tells of it again."""
DOCUMENT_REASON_BYTES = 2_048
"""Of one document's reason: a page has a hundred of them, beside their names."""
REPORTED_DOCUMENTS, REPORTED_DOCUMENTS_BYTES = 50, 122_880
"""Documents that an event names."""
EVIDENCE_BYTES = 65_536
"""Of what an incident shows. A message of Slack has room for less."""
CAUSE_BYTES = 24_576
"""Of why a task failed, of at most 32,768 characters (botocore model of Step Functions, SensitiveCause)."""
MESSAGE_BYTES = 4_096
"""Of what AWS says when it refuses a call, or gives a resource up."""

_LEFT_OUT = re.compile(r"… \((\d+) more characters\)$")


def size(text: str) -> int:
    """Bytes of the text as JSON in UTF-8; half a pair of UTF-16, which is neither, counts as it is escaped."""
    try:
        return len(json.dumps(text, ensure_ascii=False).encode()) - 2
    except UnicodeEncodeError:
        return len(json.dumps(text)) - 2


def shortened(text: str, most: int) -> str:
    """The text, or its beginning with how many characters are left out, in at most so many bytes (64 or more). What was
    shortened before is counted in."""
    if size(text) <= most:
        return text
    before = _LEFT_OUT.search(text)
    whole, missing = (text[: before.start()], int(before[1])) if before else (text, 0)
    room = most - size(f"… ({missing + len(whole)} more characters)")
    low, high = 0, len(whole)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(whole[:middle]) <= room else (low, middle - 1)
    return f"{whole[:low]}… ({missing + len(whole) - low} more characters)"


def fitting(
    items: Sequence[Item], size_of: Callable[[Item], int], *, most_bytes: int, most: int | None = None
) -> Sequence[Item]:
    """The first of the items, as many as fit into so many bytes together. Whoever shows them counts the others."""
    room, kept = most_bytes, 0
    for item in items[:most]:
        room -= size_of(item)
        if room < 0:
            break
        kept += 1
    return items[:kept]


def bounded_texts(texts: Sequence[str], most_bytes: int = MESSAGE_BYTES, *, most: int | None = None) -> tuple[str, ...]:
    """For people: the first of the texts, each and all of them bounded, and behind them how many are left out."""
    each = [shortened(text, most_bytes // 2) for text in texts]
    kept = fitting(each, size, most_bytes=most_bytes, most=most)
    left_out = len(texts) - len(kept)
    return (*kept, f"… and {left_out} more") if left_out else tuple(kept)
