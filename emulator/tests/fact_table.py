"""Prints, as Markdown, which test shows which fact about the service: ``python emulator/tests/fact_table.py``.

Of the tests in another folder, where one is named.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCES = {"D": "AWS documentation", "M": "botocore model", "R": "reported by users", "I": "inferred", "U": "not known"}


def facts(folder: Path) -> Iterator[tuple[str, str, str]]:
    """The text, the source and the test of every fact, in the order of files and lines."""
    for path in sorted(folder.glob("test_conformance_*.py")):
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
                    yield text, source, f"{path.name}::{node.name}"


def table(folder: Path) -> str:
    """All facts of a folder's tests as a Markdown table."""
    rows = [f"| {text} | {SOURCES[source]} | `{test}` |" for text, source, test in facts(folder)]
    return "\n".join(["| fact | source | test |", "|---|---|---|", *rows])


if __name__ == "__main__":
    print(table(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent))  # noqa: T201 - it is what the script is for
