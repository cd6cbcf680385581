"""The runbook holds together: every page has what a person at three in the morning needs, and is tried."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import typer

from cli.dead_letter_queues import QUEUES
from cli.main import app
from kbfleet.domain.alert import ALARM_REMEDIES
from kbfleet.domain.harm import Harm
from tests.e2e.runbook.troubles import TROUBLES, UNTRIED, AlertsUndelivered
from tests.support.runbook import FOLDER, SECTIONS, Page, lacking, pages
from tests.support.template import properties, resources

ALARMS = {name: str(properties(name)["AlarmDescription"]) for name in resources("AWS::CloudWatch::Alarm")}
COMMANDS = sorted(
    {
        *(command for name in pages() for command in Page.named(name).commands if command.startswith("kbfleet ")),
        *(found for text in ALARMS.values() for found in re.findall(r"`(kbfleet [^`]+)`", text)),
        *(found for path in FOLDER.glob("*.md") for found in re.findall(r"`(kbfleet [^`]+)`", path.read_text("utf-8"))),
    }
)


@pytest.mark.parametrize("name", pages())
class TestEveryPage:
    def test_has_its_sections_in_order(self, name: str) -> None:
        assert tuple(Page.named(name).sections) == SECTIONS

    @pytest.mark.parametrize("section", SECTIONS[1:])
    def test_can_be_done_as_it_stands(self, name: str, section: str) -> None:
        assert Page.named(name).blocks(section)

    def test_is_tried(self, name: str) -> None:
        """`make drill` runs its commands on a fleet that was broken so."""
        tried = {AlertsUndelivered.page, *(trouble.page for trouble in TROUBLES)}
        assert name in tried | UNTRIED.keys(), "it needs a case in tests/e2e/runbook/troubles.py"
        assert not tried & UNTRIED.keys()

    def test_is_in_the_list(self, name: str) -> None:
        assert f"]({name}.md)" in (FOLDER / "README.md").read_text("utf-8")

    def test_takes_three_commands_or_fewer_at_a_time(self, name: str) -> None:
        page = Page.named(name)
        assert all(len(block.commands) <= 3 for section in SECTIONS for block in page.blocks(section))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_is_named_exists(command: str) -> None:
    words = shlex.split(command)[1:]
    # Words that stand for something are taken as they are; whether a value is right is not asked here.
    found: Any = typer.main.get_command(app)
    while hasattr(found, "commands") and words:
        otherwise = getattr(found, "otherwise", None)
        word = otherwise if otherwise and words[0] not in found.commands else words.pop(0)
        assert word in found.commands, f"{word} of {command}"
        found = found.commands[word]
    options = {option for each in found.params for option in each.opts}
    assert {word for word in words if word.startswith("--")} <= options


@pytest.mark.parametrize("name", ALARMS)
def test_the_command_of_an_alarm_is_on_its_page(name: str) -> None:
    command = re.search(r"Run `([^`]+)`\. See docs/runbook/([a-z-]+)\.md$", ALARMS[name])
    assert command is not None
    assert command[1] in set(Page.named(command[2]).commands)


def test_commands_that_alerts_propose_for_alarms_are_those_of_the_template() -> None:
    described = {re.search(r"Run `([^`]+)`\. See docs/runbook/([a-z-]+)\.md$", text) for text in ALARMS.values()}
    assert {(found[1], found[2]) for found in described if found} == ALARM_REMEDIES


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_says_first_how_askers_are_hurt(name: str) -> None:
    """CloudWatch's own mail shows it, too, where a topic for alarms is set."""
    assert ALARMS[name].startswith(tuple(f"{harm.label}. " for harm in Harm))


@pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)
def test_the_page_of_a_dead_letter_queue_empties_it(queue: Any) -> None:
    repair = Page.named(queue.page).sections["Repair"]
    assert f"kbfleet dlq redrive {queue.name}" in repair or f"kbfleet dlq purge {queue.name}" in repair


def test_what_a_page_says_is_printed_is_found_whatever_is_between() -> None:
    printed = "│ Last sync │ FAILED, job X │\n│ Pending │ none │"
    assert lacking(printed, ("Last sync … job", "Pending none", "Last sync SUCCEEDED")) == ["Last sync SUCCEEDED"]
