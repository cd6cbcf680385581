"""The documents keep up with the code."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

import cli.main
import local.main
from bedrock_emulator import server as bedrock_emulator

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("emulator/*.md")]
    if ".venv" not in path.relative_to(ROOT).parts
)


def test_the_generated_parts_are_up_to_date() -> None:
    checked = subprocess.run([sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], check=False)  # noqa: S603
    assert checked.returncode == 0, "run: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_inside_the_repository_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text("utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_heading_finds_it(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", page.read_text("utf-8"))
    pages = [((page.parent / path).resolve() if path else page, anchor) for path, anchor in links]
    assert [anchor for led, anchor in pages if led.suffix == ".md" and anchor not in anchors(led)] == []


def test_every_alarm_has_its_runbook_page() -> None:
    pages = re.findall(r"docs/runbook/[\w-]+\.md", (ROOT / "monitoring" / "template.yaml").read_text("utf-8"))
    assert pages
    assert [page for page in pages if not (ROOT / page).exists()] == []


PROGRAMS = {
    "kbfleet": typer.main.get_command(cli.main.app),
    "kbfleet-local": typer.main.get_command(local.main.app),
    "bedrock-emulator": typer.main.get_command(bedrock_emulator.app),
}


PROGRAM = r"(?:\.venv/bin/)?(?:kbfleet|bedrock-emulator)"


def commands(page: str) -> Iterator[str]:
    """What a reader would type: code blocks, indented or fenced, and code within the text."""
    # Its names begin as the program's does, and nobody types them.
    page = re.sub("<!-- generated: permissions -->.*?<!-- end -->", "", page, flags=re.DOTALL)
    yield from re.findall(rf"^ {{4,}}(?:\$ )?({PROGRAM}.*)$", page, re.MULTILINE)
    for block in re.findall(r"^```\w*\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        yield from re.findall(rf"^{PROGRAM}.*$", block, re.MULTILINE)
    for span in re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)):
        if re.match(PROGRAM, span):
            yield span


def stranger(line: str) -> str:
    """The first word of a command that its program does not know; empty if there is none."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        words = line.split()
    program, *words = (word for word in words if not re.search(r"[<>|]$", word))
    command = PROGRAMS.get(program.removeprefix(".venv/bin/"))
    if command is None:
        return "" if re.search(r"[^\w-]", program) else program
    known = {"--help", "--install-completion", "--show-completion"}
    for word in words:
        below = getattr(command, "commands", None)
        if below is not None and not word.startswith("-"):
            # Some groups do what one of their commands does, where none is named.
            meant = word if word in below else getattr(command, "otherwise", word)
            if meant not in below:
                return word if re.fullmatch(r"[a-z][a-z-]*", word) else ""
            command = below[meant]
        elif word.startswith("--"):
            known |= {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
            if word.partition("=")[0] not in known:
                return word
    return ""


# A changelog says what was, too.
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_command_that_is_shown_exists(page: Path) -> None:
    assert [(line, word) for line in commands(page.read_text("utf-8")) if (word := stranger(line))] == []


def test_the_check_of_commands_sees_what_is_wrong() -> None:
    page = (
        "    kbfleet provision acme\n\n```sh\nkbfleet sync start acme --soon\n```\n\n`kbfleet jobs`, `kbfleet doctor`\n"
        "\n    bedrock-emulator --quick\n"
    )
    assert [stranger(line) for line in commands(page)] == ["provision", "--quick", "--soon", "", ""]


PACKAGE = ROOT / "layers" / "kbfleet" / "kbfleet"
CHANGES = re.findall(
    r"^\| ([^|]+) \| (.+) \|$",
    (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## Where to change what")[2],
    re.M,
)[1:]


@pytest.mark.parametrize(("change", "places"), CHANGES, ids=[change for change, _ in CHANGES])
def test_the_place_of_a_change_is_where_contributing_says(change: str, places: str) -> None:
    """Files exist, and names stand in one of the row's files."""
    named = re.findall(r"`([^`]+)`", places)
    paths = [name for name in named if re.fullmatch(r"[\w*/]*[\w*]\.(py|yaml)|[\w/]+/", name)]
    found = {path: [*ROOT.glob(path), *PACKAGE.glob(path)] for path in paths}
    assert [path for path, files in found.items() if not files] == []
    text = "\n".join(file.read_text("utf-8") for files in found.values() for file in files if file.is_file())
    words = {
        word for name in named if re.fullmatch(r"[A-Za-z_.]+", name) and name not in paths for word in name.split(".")
    }
    assert [word for word in words if not re.search(rf"\b{word}\b", text)] == []


def test_every_state_machine_has_its_diagram() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    for definition in (ROOT / "statemachine").glob("*.asl.json"):
        assert f"<!-- generated: diagram of {definition.name.removesuffix('.asl.json')} -->" in page


ENGLISH, JAPANESE = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.ja.md"))


def typed(page: str) -> list[str]:
    """The lines of indented blocks, without their comments."""
    return [line.partition(" #")[0].rstrip() for line in re.findall(r"^ {4}(.*)$", page, re.MULTILINE)]


def test_the_japanese_readme_has_the_same_commands() -> None:
    english, japanese = (re.sub(r"^```.*?^```", "", page, flags=re.M | re.S) for page in (ENGLISH, JAPANESE))
    assert typed(japanese) == typed(english)
    assert set(commands(english)) == set(commands(japanese))
    assert sorted(re.findall(r"`(?:GET|POST|PUT|DELETE|make|python)[^`]*`", japanese)) == sorted(
        re.findall(r"`(?:GET|POST|PUT|DELETE|make|python)[^`]*`", english)
    )


def test_each_row_of_the_japanese_readmes_tables_names_the_same() -> None:
    def named(page: str) -> list[set[str]]:
        rows = re.findall(r"^\|.*$", page, re.MULTILINE)
        return [set(re.findall(r"[\w.-]*\w", " ".join(re.findall(r"`([^`]+)`", row)))) for row in rows]

    assert named(JAPANESE) == named(ENGLISH)


def test_the_japanese_readme_has_the_same_sections_tables_and_pictures() -> None:
    def shape(page: str) -> list[int]:
        sections = re.split(r"^## ", page, flags=re.MULTILINE)
        return [len(re.findall(r"^\|", section, re.MULTILINE)) for section in sections]

    assert shape(JAPANESE) == shape(ENGLISH)

    def picture(page: str) -> list[str]:
        drawn = page.partition("```mermaid")[2].partition("```")[0]
        return re.findall(r"\b[a-z]+\b(?=[\[({])|-->", drawn)

    assert picture(JAPANESE) == picture(ENGLISH)


def test_the_readmes_lead_to_each_other_and_to_the_same_places() -> None:
    def links(page: str) -> set[str]:
        return set(re.findall(r"\]\((?!https?:)([^)\s]+)", page))

    assert links(ENGLISH) ^ links(JAPANESE) == {"README.ja.md", "README.md"}


def test_the_japanese_readme_says_the_same_numbers() -> None:
    english, japanese = (
        set(re.findall(r"\d[\d.,]*\d|\d", re.sub(r"```.*?```", "", page, flags=re.S))) for page in (ENGLISH, JAPANESE)
    )
    assert japanese - english <= {"1", "2"}  # counters, such as 1 つ
    assert english - japanese == set()
