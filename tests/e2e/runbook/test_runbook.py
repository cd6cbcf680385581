"""The runbook, tried: break the fleet, see one message, do what its page says, see the recovery."""

from __future__ import annotations

import pytest

from tests.e2e.runbook.fleet import RUNBOOK, Fleet, Message
from tests.e2e.runbook.troubles import TROUBLES, AlertsUndelivered, Trouble
from tests.support.runbook import Block, Page, lacking
from tests.support.waiting import until

pytestmark = [pytest.mark.local_stack, pytest.mark.drill, pytest.mark.timeout(900)]


@pytest.fixture(params=TROUBLES, ids=lambda trouble: trouble.__name__)
def trouble(request: pytest.FixtureRequest) -> Trouble:
    kind: type[Trouble] = request.param
    return kind()


class Reader:
    """Somebody who was sent a message and does what the page says."""

    def __init__(self, fleet: Fleet, trouble: Trouble, message: Message) -> None:
        self.fleet = fleet
        self.trouble = trouble
        self.message = message
        self.ran_the_messages_command = False
        self.page = Page.named(trouble.page)

    def check(self) -> None:
        """Every command shows what the page says. Some exit with 1, as what they look at is not well."""
        for block in self._blocks("Check"):
            until(lambda block=block: self._shows(block, {0, 1}), lambda: self.said)  # type: ignore[misc]

    def repair(self) -> None:
        for block in self._blocks("Repair"):
            assert self._shows(block, {0}), self.said

    def verify(self) -> None:
        """As often as it takes: it is well again when every command shows what the page says, and exits with 0."""
        for block in self._blocks("Verify"):
            until(lambda block=block: self._shows(block, {0}), lambda: self.said)  # type: ignore[misc]

    def _blocks(self, section: str) -> list[Block]:
        values = {"tenant": self.trouble.tenant, **self.trouble.values}
        blocks = [block.filled(values) for block in self.page.blocks(section)]
        assert blocks, f"{section} has nothing to run"
        return blocks

    def _shows(self, block: Block, accepted: set[int]) -> bool:
        ran = [self.fleet.run(self._as_the_message_has_it(each), self._answer(each)) for each in block.commands]
        printed = "".join(each.stdout + each.stderr for each in ran)
        self.said = "\n".join([*block.commands, printed, f"lacking: {lacking(printed, block.printed)}"])
        return all(each.returncode in accepted for each in ran) and not lacking(printed, block.printed)

    def _answer(self, command: str) -> str:
        """What is typed when the command asks."""
        if " offboard " in command:
            return f"{self.trouble.tenant}\n"
        return f"{self.fleet.configuration.slack_webhook}\n" if command == "kbfleet alerts connect" else "y\n"

    def _as_the_message_has_it(self, command: str) -> str:
        proposed = self.message.command
        for place, value in (("FILE", "file"), ("KEY", "document")):  # what only the reader knows
            proposed = proposed.replace(f" {place} ", f" {self.trouble.values.get(value, place)} ")
        if proposed.startswith(f"{command} --stack "):
            self.ran_the_messages_command = True
            return proposed
        return command


def settled(fleet: Fleet) -> None:
    until(lambda: not fleet.waiting("AlertQueue"), "what is left to be reported is not")


def test_a_trouble_is_reported_once_and_repaired_by_its_page(fleet: Fleet, trouble: Trouble) -> None:
    page = f"Runbook: {RUNBOOK}/{trouble.page}.md"
    trouble.prepare(fleet)
    settled(fleet)
    before = len(fleet.messages())

    def news() -> list[Message]:
        return fleet.messages()[before:]

    def recovery() -> Message | None:
        return next((each for each in news() if each.over and page in each.text), None)

    try:
        trouble.make(fleet)
        message = until(lambda: next(iter(news()), None), "nobody is notified")
        assert message.title.startswith("🔴")
        assert trouble.title in message.text
        assert trouble.cause in message.text
        assert page in message.text

        reader = Reader(fleet, trouble, message)
        reader.check()
        assert news() == [message]

        trouble.take_away(fleet)
        reader.repair()
        assert reader.ran_the_messages_command, f"the page has no {message.command}"
        over = until(recovery, lambda: f"the recovery is not reported, only {news()}")
        reader.verify()

        settled(fleet)
        beside = [each.title for each in news() if each not in (message, over)]
        assert len(beside) == len(trouble.also), beside
        assert all(any(title.startswith(sign) and who in title for title in beside) for sign, who in trouble.also), (
            beside
        )
    finally:
        trouble.take_away(fleet)
        trouble.tidy_up(fleet)


def test_while_nobody_can_be_reported_the_doctor_knows_and_all_is_reported_later(fleet: Fleet) -> None:
    trouble = AlertsUndelivered()
    trouble.prepare(fleet)
    settled(fleet)
    before = len(fleet.messages())
    try:
        trouble.make(fleet)
        until(lambda: fleet.alarm_state("AlertsUndeliveredAlarm") == "ALARM", "the alarm does not go off")
        reader = Reader(fleet, trouble, Message("", "", ""))
        reader.check()
        assert fleet.messages()[before:] == []
        trouble.take_away(fleet)
        reader.repair()
        (message,) = until(lambda: fleet.messages()[before:], "nobody is notified")
        assert trouble.title in message.text
        reader.verify()
    finally:
        trouble.tidy_up(fleet)
