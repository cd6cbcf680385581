"""No tenant reaches another's documents, through whatever it sends, and whatever became of the records."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local import deployment
from local.stack.configuration import StackConfiguration
from tests.proofs.isolation import tried
from tests.support.isolation_attempts import CANARIES, Answer, Fleet, furnished
from tests.support.waiting import until

pytestmark = [pytest.mark.local_stack, pytest.mark.timeout(900)]
ATTEMPTS = 30
"""`make prove` makes twenty times as many."""


@pytest.fixture(scope="module")
def fleet(configuration: StackConfiguration) -> Fleet:
    return furnished(configuration, deployment.read_outputs(configuration))


@pytest.fixture
def swapped(fleet: Fleet) -> Iterator[None]:
    """The records of two tenants name each other's knowledge bases."""
    fleet.swap("maple", "maples")
    yield
    fleet.swap("maple", "maples")


def test_every_tenant_knows_its_own_secret_and_no_other(fleet: Fleet) -> None:
    for tenant_id, canary in CANARIES.items():
        answer = fleet.ask(tenant_id)
        assert answer.status == 200
        assert canary in answer.text
        assert not [other for other in CANARIES.values() if other != canary and other in answer.text]


@pytest.mark.parametrize("tenant_id", ["maple", "mapl"])
def test_a_conversation_is_taken_up_on_either_kind_of_knowledge_base(fleet: Fleet, tenant_id: str) -> None:
    answer = fleet.ask(tenant_id, "And once more, what is the canary phrase?", session=fleet.sessions[tenant_id])
    assert answer.status == 200
    assert answer.body["session"] == fleet.sessions[tenant_id]
    assert CANARIES[tenant_id] in answer.text


def test_no_attempt_succeeds(fleet: Fleet) -> None:
    row = tried(fleet, ATTEMPTS)
    assert row.runs >= ATTEMPTS
    assert row.failures == []


@pytest.mark.usefixtures("swapped")
def test_a_record_that_names_anothers_knowledge_base_opens_nothing(fleet: Fleet) -> None:
    def refused() -> Answer | None:
        answer = fleet.ask("maple")  # what was read before is remembered for a while
        assert CANARIES["maples"] not in answer.text
        return answer if answer.status != 200 else None

    answer = until(refused, "it is still answered")
    assert (answer.status, answer.body["code"]) == (403, "IsolationBreached")
    assert CANARIES["maples"] not in answer.text


def test_once_the_records_are_right_again_so_are_the_answers(fleet: Fleet) -> None:
    until(lambda: CANARIES["maple"] in fleet.ask("maple").text, "it does not know its own canary")
