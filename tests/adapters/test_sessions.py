"""Sessions: good for the asker who was given one, for a day, and for nobody else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import TimestampSigner, URLSafeTimedSerializer

from kbfleet.adapters.sessions import LIFETIME, SignedSessions, SignedTickets
from kbfleet.domain.answer import Asker, Voucher
from kbfleet.domain.caller import UserId
from kbfleet.domain.errors import InvalidInput, SessionRefused, TicketRefused
from kbfleet.domain.names import Life
from tests.support.samples import ACME, SAKURA

SESSIONS = SignedSessions(lambda: "k" * 64)
FIRST = Life(ACME)
MINA = Asker(ACME, Voucher.IDENTITY_PROVIDER, UserId("mina"))


def test_the_asker_takes_the_conversation_up() -> None:
    assert SESSIONS.conversation(SESSIONS.issue("conversation-1", MINA, FIRST), MINA, FIRST) == "conversation-1"


@pytest.mark.parametrize(
    "other",
    [
        Asker(SAKURA, Voucher.IDENTITY_PROVIDER, UserId("mina")),
        Asker(ACME, Voucher.IDENTITY_PROVIDER, UserId("ken")),
        Asker(ACME, Voucher.IDENTITY_PROVIDER, UserId("mina ")),
        Asker(ACME, Voucher.IDENTITY_PROVIDER, UserId('mina"')),
        Asker(ACME, Voucher.BACK_END, UserId("mina")),
        Asker(ACME, Voucher.BACK_END, None),
    ],
)
def test_nobody_else_does(other: Asker) -> None:
    with pytest.raises(SessionRefused):
        SESSIONS.conversation(SESSIONS.issue("conversation-1", MINA, FIRST), other, FIRST)


@pytest.mark.parametrize(("given", "presented"), [(1, 2), (2, 1), (2, 3), (12, 1), (1, 12)])
def test_a_session_of_one_life_is_refused_in_another(given: int, presented: int) -> None:
    session = SESSIONS.issue("conversation-1", MINA, Life(ACME, given))
    assert SESSIONS.conversation(session, MINA, Life(ACME, given)) == "conversation-1"
    with pytest.raises(SessionRefused):
        SESSIONS.conversation(session, MINA, Life(ACME, presented))


def test_a_session_from_before_lives_were_counted_is_one_of_the_first() -> None:
    salt = json.dumps(["kbfleet.session", "acme", "IDENTITY_PROVIDER", "mina"])
    old = URLSafeTimedSerializer("k" * 64, salt=salt).dumps("conversation-1")
    assert SESSIONS.conversation(str(old), MINA, FIRST) == "conversation-1"


askers = st.builds(
    Asker,
    st.sampled_from([ACME, SAKURA]),
    st.sampled_from(Voucher),
    st.none() | st.text('mina ,:"\\\u00e9[]', min_size=1, max_size=4).map(UserId),
)


@given(askers, askers)
def test_of_any_two_askers_each_has_sessions_of_its_own(one: Asker, other: Asker) -> None:
    session = SESSIONS.issue("conversation-1", one, FIRST)
    if one == other:
        assert SESSIONS.conversation(session, other, FIRST) == "conversation-1"
    else:
        with pytest.raises(SessionRefused):
            SESSIONS.conversation(session, other, FIRST)


def test_a_session_from_before_a_voucher_was_signed_is_refused_like_one_that_is_over() -> None:
    old = URLSafeTimedSerializer("k" * 64, salt="kbfleet.session:acme:user mina").dumps("conversation-1")
    with pytest.raises(SessionRefused):
        SESSIONS.conversation(str(old), MINA, FIRST)


def test_a_session_of_another_key_is_refused() -> None:
    with pytest.raises(SessionRefused):
        SESSIONS.conversation(SignedSessions(lambda: "other" * 10).issue("conversation-1", MINA, FIRST), MINA, FIRST)


@given(st.data())
def test_a_session_that_was_tampered_with_is_refused(data: st.DataObject) -> None:
    session = SESSIONS.issue("conversation-1", MINA, FIRST)
    position = data.draw(st.integers(0, len(session) - 1))
    character = data.draw(st.sampled_from("aZ09-_.~ é"))
    changed = session[:position] + character + session[position + 1 :]
    if changed[:-1] == session[:-1]:
        return  # the last character of base64 has bits that say nothing
    with pytest.raises(SessionRefused):
        SESSIONS.conversation(changed, MINA, FIRST)


@given(st.text(max_size=300))
def test_whatever_is_no_session_is_refused(text: str) -> None:
    with pytest.raises(SessionRefused):
        SESSIONS.conversation(text, MINA, FIRST)


def test_a_session_ends_with_its_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_793_610_180
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _self: now)
    session = SESSIONS.issue("conversation-1", MINA, FIRST)
    now += int(LIFETIME.total_seconds())
    assert SESSIONS.conversation(session, MINA, FIRST) == "conversation-1"
    now += 1
    with pytest.raises(SessionRefused):
        SESSIONS.conversation(session, MINA, FIRST)


def test_a_refusal_is_one_of_the_field_session() -> None:
    refused = SessionRefused()
    assert isinstance(refused, InvalidInput)
    assert refused.field == "session"


TICKETS = SignedTickets(lambda: "k" * 64)
URI = "s3://kbfleet-acme-0123456789/規程/保証.pdf"


def other_writings(signed: str) -> list[str]:
    """Of the same signature: padded, and with bits that base64 has no use for."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(signed[-1])
    return [f"{signed}=", f"{signed}==", *(signed[:-1] + alphabet[last + bits] for bits in (1, 2, 3))]


@pytest.mark.parametrize("number", range(5))
def test_a_session_and_a_ticket_have_one_writing_each(number: int) -> None:
    session, ticket = SESSIONS.issue("conversation-1", MINA, FIRST), TICKETS.issue(URI, MINA, FIRST)
    with pytest.raises(SessionRefused):
        SESSIONS.conversation(other_writings(session)[number], MINA, FIRST)
    with pytest.raises(TicketRefused):
        TICKETS.require(other_writings(ticket)[number], URI, MINA, FIRST)


class TestTickets:
    def test_it_opens_that_document_to_that_asker(self) -> None:
        TICKETS.require(TICKETS.issue(URI, MINA, FIRST), URI, MINA, FIRST)

    @pytest.mark.parametrize(
        ("uri", "asker", "life"),
        [
            (f"{URI} ", MINA, FIRST),
            (URI, Asker(ACME, Voucher.IDENTITY_PROVIDER, UserId("ken")), FIRST),
            (URI, Asker(ACME, Voucher.BACK_END, UserId("mina")), FIRST),
            (URI, Asker(SAKURA, Voucher.IDENTITY_PROVIDER, UserId("mina")), Life(SAKURA)),
            (URI, MINA, Life(ACME, 2)),
        ],
    )
    def test_it_opens_nothing_else(self, uri: str, asker: Asker, life: Life) -> None:
        with pytest.raises(TicketRefused):
            TICKETS.require(TICKETS.issue(URI, MINA, FIRST), uri, asker, life)

    def test_a_session_is_none_and_the_other_way_round(self) -> None:
        with pytest.raises(TicketRefused):
            TICKETS.require(SESSIONS.issue(URI, MINA, FIRST), URI, MINA, FIRST)
        with pytest.raises(SessionRefused):
            SESSIONS.conversation(TICKETS.issue(URI, MINA, FIRST), MINA, FIRST)

    def test_it_is_over_after_a_day(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = TimestampSigner("k").get_timestamp()
        monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: now - int(LIFETIME.total_seconds()) - 2)
        old = TICKETS.issue(URI, MINA, FIRST)
        monkeypatch.undo()
        with pytest.raises(TicketRefused):
            TICKETS.require(old, URI, MINA, FIRST)

    @given(st.text(max_size=60))
    def test_no_text_is_one(self, text: str) -> None:
        with pytest.raises(TicketRefused):
            TICKETS.require(text, URI, MINA, FIRST)
