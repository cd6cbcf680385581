"""Prints what watching the fleet costs a month, in Markdown: `python tests/contract/watching_cost_table.py`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from cli.costs.prices import Prices
from kbfleet.metrics import Metric
from tests.support.template import resources


def table() -> str:
    """After the free tier, at the prices that `kbfleet costs` calculates with."""
    prices = Prices.read()
    counted = (
        ("alarms, of one metric each", len(resources("AWS::CloudWatch::Alarm")), prices["alarm"]),
        ("dashboard", len(resources("AWS::CloudWatch::Dashboard")), prices["dashboard"]),
        ("metrics of its own, for the hours in which they are written", len(Metric), prices["custom_metric"]),
    )
    rows = ["| what | how many | USD each | USD a month, at most |", "|---|---|---|---|"]
    rows += [f"| {what} | {count} | {price:.2f} | {count * price:.2f} |" for what, count, price in counted]
    rows.append(f"| together | | | {sum(count * price for _, count, price in counted):.2f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())  # noqa: T201 - it is what the script is for
