"""cfn-lint looks at every template with every rule, for every Region that people are told of."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.support.template import REPOSITORY, TEMPLATES

CONFIG = (REPOSITORY / ".cfnlintrc").read_text("utf-8")
SETTINGS: dict[str, Any] = yaml.safe_load(CONFIG)


def test_every_template_is_linted_with_the_rules_that_only_inform_too() -> None:
    assert SETTINGS["templates"] == [str(path.relative_to(REPOSITORY)) for path in TEMPLATES]
    assert SETTINGS["include_checks"] == ["I"]


def test_every_region_that_the_page_of_deploying_names_is_looked_at() -> None:
    page = (REPOSITORY / "docs" / "deploying.md").read_text("utf-8")
    named = set(re.findall(r"\b[a-z]{2}(?:-gov)?-(?:north|south|east|west|central)[a-z]*-\d\b", page))
    assert named
    assert named - set(SETTINGS["regions"]) == set()


def test_what_is_accepted_is_accepted_here_only_and_says_why() -> None:
    assert SETTINGS["ignore_checks"]
    for rule in SETTINGS["ignore_checks"]:
        assert re.search(rf"^ *- {rule} # \w.{{20,}}$", CONFIG, re.MULTILINE), rule
    for path in TEMPLATES:
        assert "cfn-lint" not in path.read_text("utf-8")
