"""Amounts of which only the bounds are known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """An amount, at least `low` and at most `high`, which is infinite where no bound is known; neither is negative."""

    low: float
    high: float

    @classmethod
    def exactly(cls, amount: float) -> Range:
        return cls(amount, amount)

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.high + other.high)

    def __mul__(self, other: Range | float) -> Range:
        factor = other if isinstance(other, Range) else Range.exactly(other)
        return Range(self.low * factor.low, self.high * factor.high)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Range:
        return Range(self.low / divisor, self.high / divisor)


NOTHING = Range.exactly(0)


def total(ranges: list[Range]) -> Range:
    return sum(ranges, NOTHING)
