"""The glossary names what the code has."""

from __future__ import annotations

import re
from pkgutil import resolve_name

import pytest

from tests.support.template import REPOSITORY

_PAGE = (REPOSITORY / "docs" / "glossary.md").read_text("utf-8")
_PLACES = re.findall(r"^\| ([a-z -]+) \| .+ \| `([\w.]+)` \|$", _PAGE, re.MULTILINE)


@pytest.mark.parametrize(("word", "place"), _PLACES, ids=[word for word, _ in _PLACES])
def test_a_word_is_where_the_glossary_says(word: str, place: str) -> None:
    assert resolve_name(place if place.startswith("cli.") else f"kbfleet.{place}") is not None, word


def test_every_row_has_a_place_and_no_word_has_two_meanings() -> None:
    words = [word for word, _ in _PLACES]
    rows = [line for line in _PAGE.splitlines() if line.startswith("| ") and not line.startswith("| word |")]
    assert (len(words), len(set(words))) == (len(rows), len(rows))
