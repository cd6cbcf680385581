"""The documents keep up with the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")] if ".venv" not in path.relative_to(ROOT).parts
)


def test_the_generated_parts_are_up_to_date() -> None:
    checked = subprocess.run([sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], check=False)  # noqa: S603
    assert checked.returncode == 0, "run: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_inside_the_repository_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text("utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


def test_every_alarm_has_its_runbook_page() -> None:
    pages = re.findall(r"docs/runbook/[\w-]+\.md", (ROOT / "template.yaml").read_text("utf-8"))
    assert pages
    assert [page for page in pages if not (ROOT / page).exists()] == []
