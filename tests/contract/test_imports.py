"""What import-linter cannot say: that the domain imports nothing but the standard library, whatever is installed."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import kbfleet.domain

DOMAIN = sorted(Path(kbfleet.domain.__path__[0]).glob("*.py"))


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("path", DOMAIN, ids=lambda path: path.stem)
def test_the_domain_imports_itself_and_the_standard_library_only(path: Path) -> None:
    for module in imported(path):
        own = module == "kbfleet.domain" or module.startswith("kbfleet.domain.")
        assert own or module.split(".")[0] in sys.stdlib_module_names, module
