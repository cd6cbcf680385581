"""Prints every metric that kbfleet writes, in Markdown: `python tests/contract/metric_table.py`."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from kbfleet.metrics import Metric
from tests.support.template import REPOSITORY, handler_code, resources

_PACKAGE = REPOSITORY / "layers" / "kbfleet" / "kbfleet"
_SHARED = {
    "report_tick": _PACKAGE / "telemetry.py",
    "dispatch": _PACKAGE / "responses.py",  # through kbfleet.routing
    "responses": _PACKAGE / "responses.py",
}
"""What writes metrics for the functions that call it, by name, and where it is."""


def emitters() -> dict[Metric, tuple[str, ...]]:
    """The functions of the stack that write a metric, by their logical ids."""
    named = {function: set(_written_by(function)) for function in resources("AWS::Serverless::Function")}
    return {
        metric: tuple(sorted(function for function, names in named.items() if metric.name in names))
        for metric in Metric
    }


def _written_by(function: str) -> Iterator[str]:
    tree = handler_code(function)
    yield from _metrics_in(tree)
    names = {node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "") for node in ast.walk(tree)}
    modules = {(node.module or "").split(".")[-1] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    for shared in (names | modules) & set(_SHARED):
        yield from _metrics_in(ast.parse(_SHARED[shared].read_text("utf-8")))


def _metrics_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Metric":
            yield node.attr


def table() -> str:
    rows = ["| metric | unit | what it counts or measures | who writes it |", "|---|---|---|---|"]
    for metric, functions in emitters().items():
        who = ", ".join(function.removesuffix("Function") for function in functions)
        rows.append(f"| `{metric.value}` | {metric.unit.value} | {metric.meaning} | {who} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())  # noqa: T201 - it is what the script is for
