"""The runbook, tried: break the fleet, see one message, do what its page says, see the recovery."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.runbook.fleet import RUNBOOK, Fleet, Message, until
from tests.e2e.runbook.troubles import TROUBLES, Trouble
from tests.support.runbook import Page, Step, lacking

pytestmark = [pytest.mark.local_stack, pytest.mark.timeout(300)]


@pytest.fixture(params=TROUBLES, ids=lambda trouble: trouble.__name__)
def trouble(request: pytest.FixtureRequest) -> Trouble:
    kind: type[Trouble] = request.param
    return kind()


@pytest.fixture
def news(fleet: Fleet) -> Callable[[], list[Message]]:
    """What Slack was sent since the test began."""
    before = len(fleet.messages())
    return lambda: fleet.messages()[before:]


def nth(news: Callable[[], list[Message]], number: int) -> Message:
    def look() -> Message | None:
        told = news()
        return told[number] if len(told) > number else None

    return until(look, lambda: f"message {number} is not there, but {news()}", seconds=90)


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
        for step in self._steps("Check"):
            until(lambda step=step: self._shows(step, {0, 1}), lambda: self.said)  # type: ignore[misc]

    def mend(self) -> None:
        for step in self._steps("Mend"):
            assert self._shows(step, {0}), self.said

    def verify(self) -> None:
        """As often as it takes: it is well again when every command shows what the page says, and exits with 0."""
        for step in self._steps("Verify"):
            until(lambda step=step: self._shows(step, {0}), lambda: self.said)  # type: ignore[misc]

    def _steps(self, section: str) -> list[Step]:
        values = {"tenant": self.trouble.tenant, **self.trouble.values}
        steps = [step.filled(values) for step in self.page.steps(section)]
        assert steps, f"{section} has nothing to run"
        return steps

    def _shows(self, step: Step, accepted: set[int]) -> bool:
        ran = [self.fleet.run(self._as_the_message_has_it(each), self.trouble.answers) for each in step.commands]
        printed = "".join(each.stdout + each.stderr for each in ran)
        self.said = "\n".join([*step.commands, printed, f"lacking: {lacking(printed, step.printed)}"])
        return all(each.returncode in accepted for each in ran) and not lacking(printed, step.printed)

    def _as_the_message_has_it(self, command: str) -> str:
        if self.message.command.startswith(f"{command} --stack "):
            self.ran_the_messages_command = True
            return self.message.command
        return command


def test_a_trouble_is_told_once_and_mended_by_its_page(
    fleet: Fleet, trouble: Trouble, news: Callable[[], list[Message]]
) -> None:
    try:
        trouble.make(fleet)
        message = nth(news, 0)
        assert trouble.title in message.title
        assert trouble.cause in message.text
        assert f"<{RUNBOOK}/{trouble.page}.md|Runbook>" in message.text

        reader = Reader(fleet, trouble, message)
        reader.check()
        assert news() == [message]

        trouble.take_away(fleet)
        reader.mend()
        assert reader.ran_the_messages_command, f"the page has no {message.command}"
        over = nth(news, 1)
        assert over.over, over
        assert f"{RUNBOOK}/{trouble.page}.md" in over.text
        reader.verify()

        until(lambda: not fleet.waiting("AlertQueue"), "what is left to be told is not told")
        assert news() == [message, over]
    finally:
        trouble.take_away(fleet)
