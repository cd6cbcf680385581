"""Sessions and tickets that only the asker who was given one can use, by itsdangerous."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

from itsdangerous import BadData, BadSignature, URLSafeTimedSerializer
from itsdangerous.encoding import base64_decode, base64_encode

from kbfleet.domain.errors import SessionRefused, TicketRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from kbfleet.domain.answer import Asker
    from kbfleet.domain.names import Life

LIFETIME = timedelta(hours=24)
"""A conversation that Bedrock keeps cannot last longer. Source: AWS documentation, RetrieveAndGenerate, sessionId."""


def _read(serializer: URLSafeTimedSerializer, signed: str) -> object:
    """What was signed. Raises: BadData, also for another writing of what was issued: base64 takes padding, and has bits
    without a meaning at its end."""
    read: object = serializer.loads(signed, max_age=int(LIFETIME.total_seconds()))
    if any(base64_encode(base64_decode(part)).decode() != part for part in signed.split(".")):
        raise BadSignature("It was issued in another writing.")
    return read


class SignedSessions:
    """`kbfleet.ports.Sessions`: the conversation, signed for its asker, so that nothing need be stored.

    Args:
        secret: gives the key of this fleet; at least 32 random characters.
    """

    def __init__(self, secret: Callable[[], str]) -> None:
        self._secret = secret

    def issue(self, conversation: str, asker: Asker, life: Life) -> str:
        return str(self._serializer(asker, life).dumps(conversation))

    def conversation(self, session: str, asker: Asker, life: Life) -> str:
        try:
            return str(_read(self._serializer(asker, life), session))
        except BadData:
            raise SessionRefused from None

    def _serializer(self, asker: Asker, life: Life) -> URLSafeTimedSerializer:
        # The salt goes into the key: what is signed for one asker is noise to every other. It is JSON, so that no part
        # of it can be read as another, whatever a subject says. Sessions of a first life are as old as sessions.
        parts = ["kbfleet.session", asker.tenant_id, asker.voucher, asker.user_id]
        parts += [] if life.is_first else [str(life.number)]
        return URLSafeTimedSerializer(self._secret(), salt=json.dumps(parts))


class SignedTickets:
    """`kbfleet.ports.Tickets`: a signature, and nothing that can be read.

    Args:
        secret: as that of sessions, which is no other: what is signed for one of them is noise to the other.
    """

    def __init__(self, secret: Callable[[], str]) -> None:
        self._secret = secret

    def issue(self, uri: str, asker: Asker, life: Life) -> str:
        return str(self._serializer(uri, asker, life).dumps(None))

    def require(self, ticket: str, uri: str, asker: Asker, life: Life) -> None:
        try:
            _read(self._serializer(uri, asker, life), ticket)
        except BadData:
            raise TicketRefused from None

    def _serializer(self, uri: str, asker: Asker, life: Life) -> URLSafeTimedSerializer:
        parts = ["kbfleet.ticket", asker.tenant_id, asker.voucher, asker.user_id, str(life.number), uri]
        return URLSafeTimedSerializer(self._secret(), salt=json.dumps(parts))
