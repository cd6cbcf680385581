"""The list of what is known of AWS holds together: names, tests, delays."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from local.delays import AT_ONCE
from local.facts import FACTS, Fact

ROOT = Path(__file__).parents[2]


def test_every_fact_has_a_name_of_its_own() -> None:
    assert [name for name, count in Counter(fact.name for fact in FACTS).items() if count > 1] == []
    assert [fact.name for fact in FACTS if not re.fullmatch(r"[a-z]+(-[a-z]+)*", fact.name)] == []


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_a_test_shows_what_is_played(fact: Fact) -> None:
    path, _, name = fact.test.partition("::")
    functions = {
        node.name for node in ast.parse((ROOT / path).read_text("utf-8")).body if isinstance(node, ast.FunctionDef)
    }
    assert name in functions


@pytest.mark.parametrize("delay", AT_ONCE.listed())
def test_every_delay_plays_one_fact(delay: str) -> None:
    (fact,) = [fact for fact in FACTS if f"`{delay}`" in fact.played]
    assert fact.source
