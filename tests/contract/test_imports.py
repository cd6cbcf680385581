"""What import-linter cannot say: that the domain imports nothing but the standard library, whatever is installed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import kbfleet.domain
from tests.support.template import REPOSITORY

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


def test_asking_starts_without_what_only_others_need() -> None:
    """Somebody waits for its cold starts, and each class that is made costs half a millisecond (decision 23)."""
    asked = "import sys, ask; print(*sys.modules)"
    loaded = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", asked], cwd=REPOSITORY / "functions" / "ask", capture_output=True, text=True, check=True
    ).stdout.split()
    assert "kbfleet.domain.answer" in loaded
    assert not set(loaded) & {
        "boto3.dynamodb.table",
        "kbfleet.domain.erasure",
        "kbfleet.domain.knowledge_base",
        "kbfleet.domain.tenant",
        "kbfleet.domain.usage",
        "kbfleet.openapi",
        "kbfleet.ports",
    }


@pytest.mark.parametrize("function", ["ask/ask", "admin/tenants"])
def test_nothing_is_collected_while_a_function_starts(function: str) -> None:
    """All that a start makes stays: looking for garbage among it takes a fifth of it (decision 54)."""
    folder, module = (REPOSITORY / "functions" / function).parent, Path(function).name
    counted = "import gc; done = sum(each['collections'] for each in gc.get_stats())"
    started = f"import kbfleet; {counted}; import {module}; before = done; {counted}; print(done - before)"
    collections = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", started], cwd=folder, capture_output=True, text=True, check=True
    ).stdout
    assert collections == "0\n"
