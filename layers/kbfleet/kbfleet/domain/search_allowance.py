"""How often a tenant's knowledge base is searched without anybody asking: each search is paid for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

AT_ONCE = 4
"""Two looks at something that has just been lost: what a search shows is believed when two agree."""
ONE_COMES_BACK_EACH = timedelta(hours=4)
"""So there are at most ten in any 24 hours, four and six that have come back."""


@dataclass(frozen=True, slots=True)
class SearchAllowance:
    """
    Args:
        whole_at: when all that were taken have come back.
    """

    whole_at: datetime

    @classmethod
    def after_one_more(cls, last: SearchAllowance | None, now: datetime) -> SearchAllowance | None:
        """`None` where none is left."""
        taken = cls((max(last.whole_at, now) if last is not None else now) + ONE_COMES_BACK_EACH)
        return taken if taken.whole_at - now <= AT_ONCE * ONE_COMES_BACK_EACH else None
