"""What the parameter `Answering` changes: the calls that an answer takes, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bedrock_emulator import Quotas
from tests.support.breaches import add_in_console, ask
from tests.support.granted_permissions import READER_ROLE, Permissions
from tests.support.tenant_lives import Lives
from tests.support.virtual_fleet import VirtualFleet, virtual_fleet

QUESTION = "For how many days is a tent rented?"
TENTS = "A tent is rented for three days at least."
HOUSE = "The house at the lake has seven rooms."
TWO_CALLS = {"Retrieve": 1, "Converse": 1, "RetrieveAndGenerate": 0}
THREE_CALLS = TWO_CALLS | {"Converse": 2}
ONE_CALL = {"Retrieve": 0, "Converse": 0, "RetrieveAndGenerate": 1}


@contextmanager
def provisioned(way: str, store: str) -> Iterator[tuple[VirtualFleet, Lives]]:
    """Two tenants on that store, each with a document, in a fleet whose questions are answered that way."""
    parameters = {"TickSeconds": "60", "Answering": way}
    with virtual_fleet(parameters=parameters, quotas=Quotas(requests_per_second={})) as fleet:
        lives = Lives(fleet, store)
        for tenant_id, text in (("alpha", TENTS), ("beta", HOUSE)):
            lives.provisioned(tenant_id)
            lives.upload(tenant_id, "doc.md", text)
            lives.sync(tenant_id)
        fleet.emulator.calls.clear()
        yield fleet, lives


def asked(fleet: VirtualFleet) -> dict[str, int]:
    """How often each of the calls was made since it was asked last."""
    counts = {operation: len(fleet.emulator.calls.of(operation)) for operation in TWO_CALLS}
    fleet.emulator.calls.clear()
    return counts


@pytest.mark.parametrize(
    ("way", "store", "calls", "of_a_follow_up"),
    [
        ("RETRIEVE_AND_CONVERSE", "S3_VECTORS", TWO_CALLS, THREE_CALLS),
        ("RETRIEVE_AND_CONVERSE", "MANAGED", TWO_CALLS, THREE_CALLS),
        ("RETRIEVE_AND_GENERATE", "S3_VECTORS", ONE_CALL, ONE_CALL),
        ("RETRIEVE_AND_GENERATE", "MANAGED", TWO_CALLS, THREE_CALLS),
    ],
)
def test_it_decides_by_which_calls_and_by_which_permissions_an_answer_is_written(
    way: str, store: str, calls: dict[str, int], of_a_follow_up: dict[str, int]
) -> None:
    with provisioned(way, store) as (fleet, lives):
        first = ask(lives, QUESTION)
        assert (first["status"], first["outcome"]) == (200, "ANSWERED")
        assert "three days" in first["answer"]
        assert asked(fleet) == calls
        again = ask(lives, QUESTION, session=first["session"])
        assert (again["status"], again["session"]) == (200, first["session"])
        assert asked(fleet) == of_a_follow_up
        permitted = {(grant.who, grant.action) for grant in Permissions(fleet.deployment).grants()}
        may = (READER_ROLE, "bedrock:RetrieveAndGenerate") in permitted
        assert may is (way == "RETRIEVE_AND_GENERATE")


@pytest.mark.parametrize("store", ["S3_VECTORS", "OPENSEARCH_SERVERLESS", "MANAGED"])
def test_a_breach_shows_no_model_anything_and_ends_the_session_in_which_it_was_seen(store: str) -> None:
    with provisioned("RETRIEVE_AND_CONVERSE", store) as (fleet, lives):
        ended, other = (ask(lives, QUESTION)["session"] for _ in range(2))
        add_in_console(lives)
        fleet.emulator.calls.clear()
        assert ask(lives, QUESTION, session=ended)["code"] == "IsolationBreached"
        assert ask(lives, QUESTION)["code"] == "IsolationBreached"
        # The one call of the model was about the question and what was said before, and saw no passage.
        assert asked(fleet) == {"Retrieve": 2, "Converse": 1, "RetrieveAndGenerate": 0}
        lives.provisioned("alpha")
        assert ask(lives, QUESTION, session=ended)["code"] == "SessionRefused"
        assert ask(lives, QUESTION, session=other)["outcome"] == "ANSWERED"
        assert not [call for call in fleet.emulator.calls.of("Converse") if HOUSE in repr(call["input"])]
