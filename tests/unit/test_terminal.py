"""Nothing that one may want to copy is cut, however narrow the terminal."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from cli.terminal import Column, Details, Listing

URI = "s3://kbfleet-acme-0123456789/handbook/rules of the [house].pdf"
REASON = "The service role may not read the bucket. Give it the permission, and sync again."
LISTING = Listing(
    [Column("Job"), Column("Read", numbers=True), Column("Document"), Column("Why", prose=True)],
    [("JOB0000001", "7", URI.replace("[", "\\["), REASON), ("JOB0000002", "1,234", "—", "")],
    title="acme",
    caption="2 jobs",
)


def printed(content: object, width: int, *, terminal: bool = True) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, no_color=True, highlight=False)
    console.print(content, soft_wrap=True)
    return re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue()).splitlines()


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("terminal", [True, False])
def test_ids_are_whole_on_one_line_at_every_width(width: int, terminal: bool) -> None:
    lines = printed(LISTING, width, terminal=terminal)
    for whole in ("JOB0000001", "JOB0000002", "1,234", URI):
        assert [line for line in lines if whole in line], (whole, lines)
    assert "…" not in "".join(lines)


def test_prose_is_broken_between_words_where_there_is_room_beside() -> None:
    lines = printed(LISTING, 125)
    assert len(lines) > 5
    assert all(len(line) <= 125 for line in lines)


def test_else_it_goes_below_its_row() -> None:
    header, *rows = printed(LISTING, 90)[1:]
    assert header.split() == ["Job", "Read", "Document"]
    assert rows == [
        f"JOB0000001      7  {URI}",
        f"  Why: {REASON}",
        "JOB0000002  1,234  —",
        "2 jobs",
    ]


def test_and_a_row_that_has_no_room_at_all_is_turned() -> None:
    assert printed(LISTING, 40)[1:6] == [
        "Job       JOB0000001",
        "Read      7",
        f"Document  {URI}",
        f"Why       {REASON}",
        "",
    ]


def test_where_nobody_looks_each_row_is_a_line() -> None:
    title, header, first, second, caption = printed(LISTING, 20, terminal=False)
    assert (title, header.split()[0], caption) == ("acme", "Job", "2 jobs")
    assert REASON in first
    assert second == "JOB0000002  1,234  —"


def test_wide_letters_stand_under_their_heading() -> None:
    listing = Listing([Column("Name"), Column("Tier")], [("株式会社さくら", "PREMIUM"), ("Acme", "STANDARD")])
    _, sakura, acme = printed(listing, 80)
    assert sakura == "株式会社さくら  PREMIUM"
    assert acme == "Acme            STANDARD"


def test_details_go_on_below_their_name() -> None:
    assert printed(Details([("Why", "one\ntwo"), ("Status", "FAILED")], title="acme"), 10) == [
        "acme",
        "Why     one",
        "        two",
        "Status  FAILED",
    ]


def test_colours_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    file = io.StringIO()
    Console(file=file, width=80, force_terminal=True).print(Listing([Column("Status")], [("[red]FAILED[/]",)]))
    assert "\x1b[31m" not in file.getvalue()
