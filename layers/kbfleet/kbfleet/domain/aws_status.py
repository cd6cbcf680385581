"""Statuses that AWS gives. What AWS comes to give later must not end the work for everybody else."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class AwsStatus(StrEnum):
    """Whose every kind has the member UNKNOWN, which stands for whatever is not among the others: nothing is concluded
    from it."""

    @classmethod
    def _missing_(cls, value: object) -> Self:  # noqa: ARG003 - whatever it is
        return cls["UNKNOWN"]
