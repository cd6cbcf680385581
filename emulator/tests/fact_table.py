"""Prints, as Markdown, which test shows which fact about the service: ``python tests/local/fact_table.py``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = {"D": "AWS documentation", "M": "botocore model", "R": "reported by users", "I": "inferred"}


def facts() -> Iterator[tuple[str, str, str]]:
    """The text, the source and the test of every fact, in the order of files and lines."""
    for path in sorted(HERE.glob("*/test_conformance_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef):
                continue
            for decorator in node.decorator_list:
                if (
                    isinstance(decorator, ast.Call)
                    and isinstance(decorator.func, ast.Name)
                    and decorator.func.id == "fact"
                ):
                    text, source = (ast.literal_eval(argument) for argument in decorator.args)
                    yield text, source, f"{path.relative_to(HERE)}::{node.name}"


def table() -> str:
    """All facts as a Markdown table."""
    rows = [f"| {text} | {SOURCES[source]} | `{test}` |" for text, source, test in facts()]
    return "\n".join(["| fact | source | test |", "|---|---|---|", *rows])


if __name__ == "__main__":
    print(table())  # noqa: T201 - it is what the script is for
