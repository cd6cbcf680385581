"""Whether a candidate may take the place of the live knowledge: measured, and judged without a model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from kbfleet.domain.questions import QuestionId
from kbfleet.domain.sync import Sync

NAMED_QUESTIONS = 20
"""Of those that are worse, so many are named."""
LAGS_AT_MOST = timedelta(minutes=15)
"""By which the last job of a candidate may have begun before that of the live one. Where changes never rest, one of the
two is always behind; what it lacks is in its queue."""


class Standing(Enum):
    """What is left of the live knowledge when a candidate is to take its place."""

    LIVES = auto()
    BEREFT = auto()
    """What was read before may still be answered from, and nobody brings it up to date: its data source is gone."""
    GONE = auto()
    """Nothing can be answered from it, or nearly nothing: it was lost, or lost and refilled."""


@dataclass(frozen=True, slots=True)
class AskedOfBoth:
    """What a golden question came to: whether an expected document was among the first passages of each.

    Args:
        live: `None` where nothing is live any more that could be asked.
    """

    question_id: QuestionId
    live: bool | None
    candidate: bool


@dataclass(frozen=True, slots=True)
class Measure:
    """Of one knowledge.

    Args:
        documents: from how many it answers; `None` where nobody knows.
        asked, found: golden questions that were searched for in it, and those that found an expected document.
    """

    documents: int | None = None
    asked: int = 0
    found: int = 0

    @property
    def hit_rate(self) -> float | None:
        """In per cent; `None` where nothing was asked: that is not 0, and not 100."""
        return 100 * self.found / self.asked if self.asked else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    Args:
        live: `None` where nothing was live any more.
        worse, better: questions that find their document in one of the two only; the first of them.
        refusals: why the candidate is not promoted, in sentences; none if it may be.
    """

    at: datetime
    candidate: Measure
    live: Measure | None = None
    worse: tuple[QuestionId, ...] = ()
    better: tuple[QuestionId, ...] = ()
    refusals: tuple[str, ...] = ()

    @property
    def may_be_promoted(self) -> bool:
        return not self.refusals


def compared(
    at: datetime,
    *,
    live_documents: int | None,
    candidate_documents: int | None,
    asked: Iterable[AskedOfBoth],
    tolerance: int,
    standing: Standing = Standing.LIVES,
    going: int = 0,
) -> Comparison:
    """
    Args:
        live_documents, candidate_documents: see `answered_documents`.
        tolerance: in percentage points.
        standing: if nothing lives, whatever the candidate answers is more; but not where all would go unasked.
        going: of one that is bereft: see `going_unasked`.
    """
    of_both = list(asked)
    candidate = Measure(candidate_documents, len(of_both), sum(each.candidate for each in of_both))
    if standing is Standing.BEREFT:
        return Comparison(at, candidate, refusals=(_GOING.format(going=going),) if going else ())
    if standing is Standing.GONE:
        return Comparison(at, candidate)
    live = Measure(live_documents, len(of_both), sum(bool(each.live) for each in of_both))
    worse = tuple(each.question_id for each in of_both if each.live and not each.candidate)
    better = tuple(each.question_id for each in of_both if each.candidate and not each.live)
    return Comparison(
        at,
        candidate,
        live,
        worse[:NAMED_QUESTIONS],
        better[:NAMED_QUESTIONS],
        tuple(_refusals(live, candidate, tolerance)),
    )


_GOING = (
    "Of what is still answered from, {going:,} documents would go, which the bucket has no more. Put them back; or, if "
    "they are to go, sync, and accept what is held then. After that, rebuild again."
)


def _refusals(live: Measure, candidate: Measure, tolerance: int) -> Iterable[str]:
    if candidate.documents is None:
        yield "Nobody knows from how many documents the candidate answers."
    elif live.documents is not None and candidate.documents < live.documents:
        yield (f"The candidate answers from {candidate.documents:,} documents, the live one from {live.documents:,}.")
    before, after = live.hit_rate, candidate.hit_rate
    # By counts, since a share of three has no end.
    if before is not None and after is not None and 100 * (live.found - candidate.found) > tolerance * live.asked:
        yield (
            f"{candidate.found} of {candidate.asked} golden questions find their document in the candidate, "
            f"{live.found} in the live one: that is {before - after:.0f} percentage points less, and {tolerance} are "
            "tolerated."
        )


def answered_documents(sync: Sync, data_source_id: str | None) -> int | None:
    """From how many documents is answered, as the ledger counts them; `None` where it does not know.

    Args:
        data_source_id: what was read by another one is not there any more.
    """
    of = sync.answered_from
    if of is None or of.data_source_id != data_source_id:
        return None
    left_out = sync.documents_left_out if sync.documents_left_out is not None else of.left_out
    return max(0, of.documents - left_out)


def going_unasked(
    live: Sync, live_documents: int | None, candidate: int | None, bucket_made_at: datetime | None
) -> int:
    """How many documents that are answered from would go with a knowledge whose data source is gone, although nobody
    has accepted that: those for which its sync is held; and where its bucket holds nothing, or was made anew since they
    were read, those that the candidate has less.

    Args:
        live_documents, candidate: from how many documents each answers.
    """
    held = live.hold.missing if live.hold is not None else 0
    read = live.answered_from
    remade = bucket_made_at is not None and read is not None and bucket_made_at > read.read_until
    fewer = (live_documents or 0) - (candidate or 0) if remade or not candidate else 0
    going = max(held, fewer)
    return going if going > live.accepted else 0


def is_complete(candidate: Sync, data_source_id: str, live: Sync) -> bool:
    """Whether the candidate has all that the live one has: its first sync has counted, and whatever change waits for
    it, the live one has not got either. Where changes never rest, it lags behind by little.

    Args:
        data_source_id: of the candidate.
    """
    if not candidate.has_synced(data_source_id):
        return False
    waits_since, read = candidate.stale_since(), candidate.answered_from
    if waits_since is None or live.synced_at is None or waits_since > live.synced_at:
        return True
    read_live = live.answered_from
    return read is not None and read_live is not None and read_live.read_from - read.read_from <= LAGS_AT_MOST
