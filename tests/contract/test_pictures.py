"""Each message that people can be sent has its picture in docs/alerts.md, made of what is sent now."""

from __future__ import annotations

import html
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from docs.terminal_pictures import drawn as draw_terminal
from tests.support.template import REPOSITORY

DOCS = REPOSITORY / "docs"


def _pictures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pictures", DOCS / "pictures.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PICTURES = _pictures()
MESSAGES: dict[str, str] = dict(PICTURES.messages())


def test_every_picture_was_made_of_the_present_message() -> None:
    digests = json.loads(Path(PICTURES.DIGESTS).read_text("utf-8"))
    assert digests == {name: PICTURES.digest(drawn) for name, drawn in MESSAGES.items()}, "run: make pictures"
    assert {path.stem for path in Path(PICTURES.PICTURES).glob("*.png")} == set(MESSAGES)


def test_the_page_shows_every_message_once() -> None:
    shown = re.findall(r"!\[[^\]]+\]\(pictures/(\w+)\.png\)", (DOCS / "alerts.md").read_text("utf-8"))
    assert sorted(shown) == sorted(MESSAGES)


@pytest.mark.parametrize("name", MESSAGES)
def test_nothing_of_a_message_is_left_as_markup(name: str) -> None:
    drawn = re.sub(r"<style>.*?</style>|<[^>]*>", "", MESSAGES[name], flags=re.DOTALL)
    assert not re.search(r"`|🔴|🟢", drawn)


@pytest.mark.parametrize("name", MESSAGES)
def test_no_message_was_sent_before_what_it_tells_of(name: str) -> None:
    (sent,) = re.findall(r"APP</span> <span>([\d:]+)</span>", MESSAGES[name])
    assert all(told <= sent for told in re.findall(r"Today ([\d:]+)", MESSAGES[name]))


TERMINALS = sorted(Path(PICTURES.PICTURES).glob("*.svg"))
"""What they show is compared with what is printed by tests/contract/test_docs.py: they are generated as pages are."""


def shown(picture: Path) -> str:
    return html.unescape("\n".join(re.findall(r"<text [^>]*>(.*?)</text>", picture.read_text("utf-8"))))


def test_each_picture_of_a_terminal_stands_on_a_page() -> None:
    pages = "".join(page.read_text("utf-8") for page in [*REPOSITORY.glob("*.md"), *DOCS.rglob("*.md")])
    assert TERMINALS
    assert [picture.name for picture in TERMINALS if f"pictures/{picture.name}" not in pages] == []


@pytest.mark.parametrize("picture", TERMINALS, ids=lambda picture: picture.stem)
def test_a_picture_of_a_terminal_fetches_and_runs_nothing(picture: Path) -> None:
    drawn = picture.read_text("utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"@font-face|@import|<script|<style|<image|href|\burl\(", drawn)
    ElementTree.fromstring(picture.read_text("utf-8"))  # noqa: S314 -- our own


def test_a_terminals_text_makes_no_markup_and_keeps_its_cells() -> None:
    drawn = draw_terminal("$ kbfleet ask '<script>'\n  \x1b[31m✗\x1b[0m 就業規則 & more   far away\n")
    assert "<script>" not in drawn
    found = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" textLength="([\d.]+)"([^>]*)>(.*?)</text>', drawn)
    assert [html.unescape(text) for *_, text in found] == [
        "$ kbfleet ask '<script>'",
        "✗",
        "就業規則",
        "& more",
        "far away",
    ]
    cells = [round((float(x) - 14) / 8.4) for x, *_ in found]
    assert cells == [0, 2, 4, 13, 22]
    assert [round(float(length) / 8.4) for _, _, length, *_ in found] == [24, 1, 8, 6, 8]
    assert [looks for *_, looks, _ in found[:2]] == [' font-weight="bold"', ' fill="#f07178"']


class TestThePictureOfTheDemo:
    """It is of a run that was recorded. Whatever can be compared without playing it again, is."""

    RECORDED = (DOCS / "pictures" / "demo.txt").read_text("utf-8")

    def test_its_scenes_are_played_in_that_order(self) -> None:
        source = (REPOSITORY / "local" / "demo.py").read_text("utf-8")
        titles = re.findall(r'self\._scene\("(.+?)"\)', source)
        scenes = [scene.rstrip("…") for scene in re.findall(r"^(\w.*?) ─+$", self.RECORDED, re.MULTILINE)]
        assert len(scenes) > 4
        assert [scene for scene in scenes if not any(title.startswith(scene) for title in titles)] == []

    def test_its_questions_are_asked_and_its_documents_are_there(self) -> None:
        source = (REPOSITORY / "local" / "demo.py").read_text("utf-8")
        asked = re.findall(r"^(?:sakura|acme) (.*[?。])$", self.RECORDED, re.MULTILINE)
        assert len(asked) == 5
        assert [question for question in asked if f'"{question}"' not in source] == []
        cited = re.findall(r"^  from ([^,\n]+)", self.RECORDED, re.MULTILINE)
        samples = {path.name for path in (REPOSITORY / "local" / "samples").rglob("*")}
        assert set(cited) <= samples

    def test_its_messages_are_those_that_are_sent_now(self) -> None:
        panels = re.findall(r"╭─ Slack.*?\n(.*?)╰", self.RECORDED, re.DOTALL)
        for panel, name in zip(panels, ("documents_opened", "documents_over"), strict=True):
            sent = (REPOSITORY / "tests" / "unit" / "snapshots" / "incidents" / f"{name}.json").read_text("utf-8")
            words = " ".join(re.findall(r'"text": "([^"]*)"', json.dumps(json.loads(sent), ensure_ascii=False)))
            lines = [line.strip("│ ") for line in panel.splitlines()]
            assert [line for line in lines if line != "…" and line not in words] == []

    def test_its_commands_are_known(self) -> None:
        from tests.contract.test_docs import stranger

        lines = re.findall(r"^\$ (kbfleet .*)$", self.RECORDED, re.MULTILINE)
        assert len(lines) == 3
        assert [line for line in lines if stranger(line)] == []


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="divider"):
        PICTURES.page({"blocks": [{"type": "divider"}]})


def test_a_time_is_drawn_as_a_reader_in_tokyo_sees_it_on_that_day_and_others_are_refused() -> None:
    def drawn(form: str, at: int = 1_793_610_000) -> str:
        date = {"type": "date", "timestamp": at, "format": form, "fallback": "2026-11-02 09:00:00 UTC"}
        rich = {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [date]}]}
        return str(PICTURES.page({"blocks": [rich]}))

    assert "<div>Today 18:00</div>" in drawn("{date_short_pretty} {time}")
    with pytest.raises(ValueError, match="a date that is not drawn"):
        drawn("{ago}")
    for another_day in (1_793_610_000 + 12 * 3_600, 1_793_610_000 - 24 * 3_600, 1_793_610_000 + 7_200):
        with pytest.raises(ValueError, match="a date that is not of the day"):
            drawn("{date_short_pretty} {time}", another_day)


def test_text_of_tenants_makes_no_markup() -> None:
    evil = {"type": "text", "text": "<script>alert(1)</script>`*x*`"}
    rich = {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [evil]}]}
    drawn = PICTURES.page({"blocks": [{"type": "header", "text": evil}, rich]})
    assert "<script>" not in drawn
    assert "`*x*`" in drawn
