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
from kbfleet.domain.document_trace import HopName
from tests.support.command_scenes import traced

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("emulator/*.md")]
    if ".venv" not in path.relative_to(ROOT).parts
)


def test_the_generated_parts_are_up_to_date() -> None:
    checked = subprocess.run([sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], check=False)  # noqa: S603
    assert checked.returncode == 0, "run: make docs"


def test_the_sample_of_why_shows_a_job_that_left_out_the_document_that_failed() -> None:
    said = {hop.hop: hop.finding for hop in traced().hops}
    assert "The job left it out" in said[HopName.DOCUMENT]
    assert "ended DEGRADED" in said[HopName.JOB]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_inside_the_repository_leads_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text) + re.findall(r'\bsrc="([^"]+)"', text)
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
        yield from re.findall(rf"^(?:\$ )?({PROGRAM}.*)$", block, re.MULTILINE)
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
        "\n    bedrock-emulator --quick\n\n```console\n$ kbfleet show\n```\n"
    )
    assert [stranger(line) for line in commands(page)] == ["provision", "--quick", "--soon", "show", "", ""]


PACKAGE = ROOT / "layers" / "kbfleet" / "kbfleet"
CHANGES = re.findall(
    r"^\| ([^|]+) \| (.+) \|$",
    (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## Where to change what")[2].partition("\n## ")[0],
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


TYPED = {".", "aws", "curl", "done", "eval", "export", "for", "git", "make", "pip", "python", "sam", "sed", "xargs"}
"""What readers have, or what the page before has them install."""
NOT_TYPED = {"POST", "Authorization:", "fields"}
"""What stands in blocks, and is a request, or a query of CloudWatch Logs."""
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def typed_lines(page: str) -> Iterator[str]:
    """Each first line of a command in a block that is indented, or fenced as a shell's or a console's."""
    page = re.sub(r"<!-- generated: .*?<!-- end -->", "", page, flags=re.DOTALL)
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        lines = block.splitlines()
        if language == "sh":
            yield from (line for line in lines if line and not line.startswith(" "))
        elif language == "console":
            yield from (line[2:] for line in lines if line.startswith("$ "))
    unfenced = re.sub(r"^```.*?^```", "", page, flags=re.MULTILINE | re.DOTALL)
    for block in re.findall(r"(?<=\n\n)(?: {4}\S.*\n(?: {4,}.*\n)*)", unfenced):
        yield from re.findall(r"^ {4}(?=[^\s{\"])(.*)$", block, re.MULTILINE)


def unknown(line: str) -> str:
    """What nobody can type of it: a program that is not there, or a target that the Makefile does not have."""
    word, *others = line.removeprefix("$ ").split()
    if word == "make":
        return next((target for target in others[:1] if re.fullmatch(r"[a-z-]+", target) and target not in TARGETS), "")
    return "" if word in TYPED | NOT_TYPED | PROGRAMS.keys() else word


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_line_that_is_to_be_typed_begins_with_something_that_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    assert [(line, word) for line in typed_lines(text) if (word := unknown(line))] == []
    assert [target for target in re.findall(r"`make ([a-z-]+)[^`]*`", text) if target not in TARGETS] == []


def test_the_check_of_what_is_typed_sees_what_is_wrong() -> None:
    page = (
        "Then:\n\n    make coffee\n    terraform apply\n\n```sh\nmake demo\nnpm run x\n```\n\n"
        "```console\n$ kbfleet doctor\nall is well\n$ cargo run\n```\n"
    )
    found = [word for line in typed_lines(page) if (word := unknown(line))]
    assert sorted(found) == ["cargo", "coffee", "npm", "terraform"]


def written(name: str) -> str:
    """What of a page is written by hand."""
    return re.sub(r"<!-- generated: .*?<!-- end -->", "", (ROOT / name).read_text("utf-8"), flags=re.DOTALL)


TRANSLATED = {"README.md": "README.ja.md", "docs/cli.md": "docs/cli.ja.md"}
BOTH = pytest.mark.parametrize(
    ("english", "japanese"), [(written(one), written(other)) for one, other in TRANSLATED.items()], ids=TRANSLATED
)


def typed(page: str) -> list[str]:
    """The lines of indented blocks, without their comments."""
    return [line.partition(" #")[0].rstrip() for line in re.findall(r"^ {4}(.*)$", page, re.MULTILINE)]


@BOTH
def test_the_japanese_page_has_the_same_commands(english: str, japanese: str) -> None:
    assert typed(japanese) == typed(english)
    assert set(commands(english)) == set(commands(japanese))
    assert sorted(re.findall(r"`(?:GET|POST|PUT|DELETE|make|python)[^`]*`", japanese)) == sorted(
        re.findall(r"`(?:GET|POST|PUT|DELETE|make|python)[^`]*`", english)
    )


@BOTH
def test_each_row_and_line_of_the_japanese_page_names_the_same(english: str, japanese: str) -> None:
    def named(page: str) -> list[set[str]]:
        rows = re.findall(r"^\|.*$", page, re.MULTILINE)
        return [set(re.findall(r"[\w.-]*\w", " ".join(re.findall(r"`([^`]+)`", row)))) for row in rows]

    assert named(japanese) == named(english)


@BOTH
def test_the_japanese_page_has_the_same_sections_tables_lists_and_pictures(english: str, japanese: str) -> None:
    def shape(page: str) -> list[list[int]]:
        sections = re.split(r"^## ", page, flags=re.MULTILINE)
        return [
            [len(re.findall(f"^{begun}", each, re.MULTILINE)) for begun in (r"\|", "- ", r"\*\*")] for each in sections
        ]

    assert shape(japanese) == shape(english)
    assert re.findall(r'src="[^"]*" width="\d+"', japanese) == re.findall(r'src="[^"]*" width="\d+"', english)


@BOTH
def test_the_pages_lead_to_each_other_and_to_the_same_places(english: str, japanese: str) -> None:
    def links(page: str) -> set[str]:
        return set(re.findall(r"\]\((?!https?:|#)([^)\s]+)", page))

    to_each_other = {"README.ja.md", "README.md", "cli.ja.md", "cli.md", "docs/cli.ja.md"}
    assert links(english) ^ links(japanese) <= to_each_other
    assert any(link.endswith(".ja.md") for link in links(english))


@BOTH
def test_the_japanese_page_says_the_same_numbers(english: str, japanese: str) -> None:
    english_numbers, japanese_numbers = (set(re.findall(r"\d[\d.,]*\d|\d", page)) for page in (english, japanese))
    assert japanese_numbers - english_numbers <= {"1", "2"}  # counters, such as 1 つ
    assert english_numbers - japanese_numbers == set()
