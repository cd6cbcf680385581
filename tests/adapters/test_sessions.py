"""Sessions: good for the asker who was given one, for a day, and for nobody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import TimestampSigner

from kbfleet.adapters.sessions import LIFETIME, SignedSessions
from kbfleet.domain.answer import Asker
from kbfleet.domain.errors import InvalidInput, SessionRefused
from tests.support.samples import ACME, SAKURA

SESSIONS = SignedSessions(lambda: "k" * 64)
MINA = Asker(ACME, "user mina")


def test_the_asker_takes_the_conversation_up() -> None:
    assert SESSIONS.conversation(SESSIONS.issue("conversation-1", MINA), MINA) == "conversation-1"


@pytest.mark.parametrize(
    "other",
    [
        Asker(SAKURA, "user mina"),
        Asker(ACME, "user ken"),
        Asker(ACME, "user of the back end mina"),
        Asker(ACME, "user mina "),
        Asker(ACME, ""),
    ],
)
def test_nobody_else_does(other: Asker) -> None:
    with pytest.raises(SessionRefused):
        SESSIONS.conversation(SESSIONS.issue("conversation-1", MINA), other)


def test_a_session_of_another_key_is_refused() -> None:
    with pytest.raises(SessionRefused):
        SESSIONS.conversation(SignedSessions(lambda: "other" * 10).issue("conversation-1", MINA), MINA)


@given(st.data())
def test_a_session_that_was_tampered_with_is_refused(data: st.DataObject) -> None:
    session = SESSIONS.issue("conversation-1", MINA)
    position = data.draw(st.integers(0, len(session) - 1))
    character = data.draw(st.sampled_from("aZ09-_.~ é"))
    changed = session[:position] + character + session[position + 1 :]
    if changed[:-1] == session[:-1]:
        return  # the last character of base64 has bits that say nothing
    with pytest.raises(SessionRefused):
        SESSIONS.conversation(changed, MINA)


@given(st.text(max_size=300))
def test_whatever_is_no_session_is_refused(text: str) -> None:
    with pytest.raises(SessionRefused):
        SESSIONS.conversation(text, MINA)


def test_a_session_ends_with_its_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_793_610_180
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _self: now)
    session = SESSIONS.issue("conversation-1", MINA)
    now += int(LIFETIME.total_seconds())
    assert SESSIONS.conversation(session, MINA) == "conversation-1"
    now += 1
    with pytest.raises(SessionRefused):
        SESSIONS.conversation(session, MINA)


def test_a_refusal_is_one_of_the_field_session() -> None:
    refused = SessionRefused()
    assert isinstance(refused, InvalidInput)
    assert refused.field == "session"
