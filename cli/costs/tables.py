"""An estimate and its prices as rows, and rows as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf

from cli.costs.estimate import STORES, Estimate, When
from cli.costs.prices import GRADES, Prices
from cli.costs.ranges import Range

HEADINGS = ("USD", *STORES)


_SMALLEST = 0.005
"""USD that are shown as a figure."""


def headings(made: Estimate) -> tuple[str, ...]:
    """Of the columns of `lines_of`."""
    return ("USD", *made.stores)


def amount(cost: Range) -> str:
    """A range for people: `3.20`, `1.10 – 5.00`, `0`; without an upper bound `≥ 1.10`, or `unknown`."""
    if cost.high == inf:
        return f"≥ {_figure(cost.low)}" if cost.low >= _SMALLEST else "unknown"
    low, high = _figure(cost.low), _figure(cost.high)
    return low if low == high else f"{low} – {high}"


def _figure(usd: float) -> str:
    if usd == 0:
        return "0"
    return "< 0.01" if usd < _SMALLEST else f"{usd:,.2f}" if usd < 100 else f"{usd:,.0f}"


def lines_of(made: Estimate) -> Iterable[tuple[str, ...]]:
    """A heading of each part, its items, its sum; and at the end what one tenant, question or document costs."""
    yield ("**fleets needed**", *(str(made.fleets[store]) for store in made.stores))
    for when in When:
        yield (f"**{when}**", *(f"**{amount(made.total(when, store))}**" for store in made.stores))
        for line in made.lines:
            if line.when is when:
                yield (line.item, *(amount(line.by_store[store]) for store in made.stores))
    yield ("**in all, a month**", *(f"**{amount(made.monthly(store))}**" for store in made.stores))
    yield ("for each tenant, a month", *(amount(made.for_a_tenant(store)) for store in made.stores))
    yield ("for 1,000 questions more", *(amount(made.for_a_thousand_questions(store)) for store in made.stores))
    yield ("for 1,000 documents more, once", *(amount(made.for_a_document(store) * 1_000) for store in made.stores))


def described(made: Estimate) -> str:
    """The workload in a line."""
    w = made.workload
    golden = (
        f"; and {w.golden_questions} golden questions, asked {w.golden_runs:,} times a month after changes and each day"
        if w.golden_questions
        else ""
    )
    return (
        f"{w.tenants:,} tenants, each with {w.documents:,} documents of {w.pages:g} pages and {w.megabytes:g} MB, "
        f"{w.changed:.0%} of them changed in a month, and {w.questions:,} questions a month{golden}"
    )


def price_rows(prices: Prices) -> Iterable[tuple[str, ...]]:
    others = ((f"{each.name} of {' or '.join(each.models)}", each) for each in prices.of_models)
    for name, price in (*prices.by_name.items(), *others):
        known = price.grade + (f" {price.dated}" if price.dated else "")
        yield name, f"{price.usd:.12f}".rstrip("0").rstrip("."), price.unit, known, price.page
    for name, price in prices.unknown.items():
        yield name, "unknown", price.unit, "", price.page


PRICE_HEADINGS = ("price", "USD", "for one", "known by", "to be checked on")


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of GitHub's Markdown."""
    table = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in table)


def grades() -> str:
    """What the words for how a price is known mean."""
    return "\n".join(f"- `{grade}`: {meaning}" for grade, meaning in GRADES.items() if grade != "GIVEN")
