"""Sessions that only the asker who was given one can use, by itsdangerous."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

from itsdangerous import BadData, URLSafeTimedSerializer

from kbfleet.domain.errors import SessionRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from kbfleet.domain.answer import Asker

LIFETIME = timedelta(hours=24)
"""A conversation that Bedrock keeps cannot last longer. Source: AWS documentation, RetrieveAndGenerate, sessionId."""


class SignedSessions:
    """`kbfleet.ports.Sessions`: the conversation, signed for its asker, so that nothing need be stored.

    Args:
        secret: gives the key of this fleet; at least 32 random characters.
    """

    def __init__(self, secret: Callable[[], str]) -> None:
        self._secret = secret

    def issue(self, conversation: str, asker: Asker) -> str:
        return str(self._serializer(asker).dumps(conversation))

    def conversation(self, session: str, asker: Asker) -> str:
        try:
            return str(self._serializer(asker).loads(session, max_age=int(LIFETIME.total_seconds())))
        except BadData:
            raise SessionRefused from None

    def _serializer(self, asker: Asker) -> URLSafeTimedSerializer:
        # The salt goes into the key: what is signed for one asker is noise to every other. It is JSON, so that no part
        # of it can be read as another, whatever a subject says.
        parts = ["kbfleet.session", asker.tenant_id, asker.voucher, asker.user_id]
        return URLSafeTimedSerializer(self._secret(), salt=json.dumps(parts))
