"""Each message that people can be sent has its picture in docs/alerts.md, made of what is sent now."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

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


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="divider"):
        PICTURES.page({"blocks": [{"type": "divider"}]})


def test_a_time_is_drawn_as_a_reader_in_tokyo_sees_it_on_that_day_and_another_form_of_it_is_refused() -> None:
    def drawn(form: str) -> str:
        date = {"type": "date", "timestamp": 1_762_074_000, "format": form, "fallback": "2025-11-02 09:00:00 UTC"}
        rich = {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [date]}]}
        return str(PICTURES.page({"blocks": [rich]}))

    assert "<div>Today 18:00</div>" in drawn("{date_short_pretty} {time}")
    with pytest.raises(ValueError, match="a date that is not drawn"):
        drawn("{ago}")


def test_text_of_tenants_makes_no_markup() -> None:
    evil = {"type": "text", "text": "<script>alert(1)</script>`*x*`"}
    rich = {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [evil]}]}
    drawn = PICTURES.page({"blocks": [{"type": "header", "text": evil}, rich]})
    assert "<script>" not in drawn
    assert "`*x*`" in drawn
