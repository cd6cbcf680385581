"""The first page fits on a screen or two, and each figure on it is one that a command, a template or a page has."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

import pytest
import yaml
from typer.testing import CliRunner

import cli.main
from cli.costs.estimate import KEPT_FOR_REBUILDS, TENANTS_OF_A_FLEET, Workload
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.uploads import CONTENT_TYPES, MAX_DOCUMENT_BYTES
from tests.support.template import REPOSITORY, template

PAGE = (REPOSITORY / "README.md").read_text("utf-8")
JAPANESE = (REPOSITORY / "README.ja.md").read_text("utf-8")
BENCHMARKS = (REPOSITORY / "docs" / "benchmarks.md").read_text("utf-8")
CONTRIBUTING = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")


@pytest.mark.parametrize("page", [PAGE, JAPANESE], ids=["English", "Japanese"])
def test_it_is_short_and_narrow(page: str) -> None:
    lines = page.splitlines()
    assert len(lines) < 120
    assert [line for line in lines if len(line) > 120] == []


def of_benchmark(scenario: str, policy: str) -> list[str]:
    """The cells of a row of the first table: lost, makespan, by the bound, and so on."""
    rows = BENCHMARKS.partition(f"│ {scenario}")[2]
    found = re.search(rf"│   {re.escape(policy)} +│(.*)", rows)
    assert found
    return [cell.strip() for cell in found[1].split("│")]


def seconds_of_the_recorded_demo() -> int:
    found = re.search(r"in (\d+) seconds", (REPOSITORY / "docs" / "pictures" / "demo.txt").read_text("utf-8"))
    assert found
    return int(found[1])


ONBOARDED = "500 tenants onboarded at once"
WORKLOAD = Workload()
FIGURES: Mapping[str, Callable[[], object]] = {
    "95": lambda: TENANTS_OF_A_FLEET["S3_VECTORS"],
    "100": lambda: KnowledgeBaseKind.VECTOR.quota,
    "5": lambda: template()["Parameters"]["KnowledgeBasesForRebuilds"]["Default"],
    "10,000": lambda: f"{KnowledgeBaseKind.MANAGED.quota:,}",
    "15": lambda: len(yaml.safe_load((REPOSITORY / ".cfnlintrc").read_text("utf-8"))["regions"]),
    "50": lambda: MAX_DOCUMENT_BYTES // 1024**2,
    "200": lambda: WORKLOAD.documents,
    "10": lambda: f"{WORKLOAD.pages:.0f}",
    "1,000": lambda: f"{WORKLOAD.questions:,}",
    "3.11": lambda: re.findall(r'requires-python = ">=([\d.]+)"', (REPOSITORY / "pyproject.toml").read_text("utf-8"))[
        0
    ],
    "90": lambda: round(seconds_of_the_recorded_demo() / 15) * 15,
    "12": lambda: re.findall(r"`make test` .* (\d+) to \d+ minutes", CONTRIBUTING)[0],
    "13": lambda: re.findall(r"`make test` .* \d+ to (\d+) minutes", CONTRIBUTING)[0],
    "3": lambda: re.findall(r"`make demo` .* (\d+) minutes the first time", CONTRIBUTING)[0],
    "720": lambda: re.findall(r"`make demo` .* (\d+) MB in `.venv`", CONTRIBUTING)[0],
    "500": lambda: ONBOARDED.split()[0],
    "1.04": lambda: of_benchmark(ONBOARDED, "kbfleet")[2],
    "419": lambda: of_benchmark(ONBOARDED, "sync per object, SQS retries")[0],
}
"""Where each comes from. What is not here has no place on the page."""


def said(page: str) -> str:
    """What is written by hand, without what is a name."""
    for left_out in (
        r"<!-- generated: .*?<!-- end -->",
        r"<img [^>]*>",
        r"\]\([^)]*\)",
        r"^ {4}.*$",
        r"`[^`]*`",
        r"\bS3\b|\bboto3\b|\bUTF-8\b|exits 0",
        r"[a-z]{2}-[a-z]+-\d",
    ):
        page = re.sub(left_out, "", page, flags=re.MULTILINE | re.DOTALL if "generated" in left_out else re.MULTILINE)
    return page


def figures(page: str) -> list[str]:
    return re.findall(r"\d[\d.,]*\d|\d", said(page))


@pytest.mark.parametrize("figure", sorted(set(figures(PAGE))))
def test_each_figure_is_what_its_source_says(figure: str) -> None:
    assert figure in FIGURES, "say where it comes from"
    assert str(FIGURES[figure]()) == figure


def test_no_upload_was_lost_and_no_source_is_left_over() -> None:
    assert "with no upload lost" in PAGE
    assert of_benchmark(ONBOARDED, "kbfleet")[0] == "0"
    assert FIGURES.keys() == set(figures(PAGE))


def test_fewer_tenants_than_knowledge_bases_are_let_in_by_what_is_kept_for_rebuilds() -> None:
    assert template()["Parameters"]["KnowledgeBasesForRebuilds"]["Default"] == KEPT_FOR_REBUILDS
    assert template()["Parameters"]["KnowledgeStore"]["Default"] == "S3_VECTORS"


@pytest.mark.parametrize("page", [PAGE, JAPANESE], ids=["English", "Japanese"])
def test_each_row_of_the_costs_is_what_the_command_beside_it_says(page: str) -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \| `kbfleet (costs [^`]*)` \|$", page, re.MULTILINE)
    assert [tenants for tenants, _, _ in rows] == ["10", "50", "300"]
    for _, cells, arguments in rows:
        told = json.loads(CliRunner().invoke(cli.main.app, [*arguments.split(), "--json"]).stdout)
        for cell, (store, cost) in zip(cells.split(" | "), told["monthly"].items(), strict=True):
            shown = [each.replace(",", "") for each in re.findall(r"[\d.,]+", cell)[:2]]
            bounds = [f"{usd:.2f}" if usd < 100 else f"{usd:.0f}" for usd in (cost["low"], cost["high"])]
            assert shown == bounds, store
            fleets = re.search(r"\((\d+)", cell)
            assert told["fleets"][store] == int(fleets[1] if fleets else 1)


FORMATS = {
    ".pdf": "PDF",
    ".doc": "Word",
    ".docx": "Word",
    ".xls": "Excel",
    ".xlsx": "Excel",
    ".csv": "CSV",
    ".html": "HTML",
    ".md": "Markdown",
    ".txt": "text",
}


def test_the_formats_are_those_that_are_taken() -> None:
    assert FORMATS.keys() == CONTENT_TYPES.keys()
    line = re.findall(r"^- \*\*Formats:\*\* (.*?), of up to", PAGE, re.MULTILINE)[0]
    assert set(re.split(r", | and ", line)) == set(FORMATS.values())


QUESTIONS = {
    "for whom": "**For you if**",
    "for whom not": "**Not for you if**",
    "what it costs": "## What it costs",
    "whether it runs on AWS": "**Status: nobody has run it on AWS yet.**",
    "how many tenants": "**How many tenants:**",
    "which formats": "**Formats:**",
    "what is missing": "**What is missing:**",
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_a_visitor_asks_first_is_answered_before_anything_is_to_be_run(question: str) -> None:
    assert 0 < PAGE.index(QUESTIONS[question]) < PAGE.index("## Try it on a laptop")
