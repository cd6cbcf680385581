"""Slack, through the bot token of an app: one message an incident, which is changed in place and replied to.

The app needs the scopes `chat:write` and `channels:history` (`groups:history` in a private channel), and must be in the
channel. Source: Slack documentation, methods chat.postMessage, chat.update, conversations.history and
conversations.replies.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self
from urllib.error import URLError

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.models.metadata import Metadata

from kbfleet.adapters.alert_channels.slack_message import (
    AS_IT_IS,
    TIMEOUT_SECONDS,
    UNPARSED,
    ShortRateLimitHandler,
    blocks,
    summary,
)
from kbfleet.domain.errors import AlertMaybeDelivered, AlertNotDelivered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from kbfleet.adapters.alert_channels import ChannelResources
    from kbfleet.domain.alert import Alert

_EVENT = "kbfleet_notice"
"""Type of the metadata by which a message that was posted is found again. Source: Slack documentation, Message
metadata."""
_CLOCKS_DIFFER_BY = timedelta(minutes=5)
_PAGE = 200
_UNCHANGEABLE = {"message_not_found", "cant_update_message", "edit_window_closed"}
"""Somebody has deleted the message, or the workspace lets nobody change one that is so old: people know of it, and no
other try would change that. Source: Slack documentation, chat.update, Errors."""
_UNKNOWN_END = {"internal_error", "fatal_error", "request_timeout", "service_unavailable"}
"""After which "some aspect of the operation" may have succeeded. Source: Slack documentation, chat.postMessage,
Errors."""
_REMEDIES = {
    "invalid_auth": "Store the app's bot token in the secret: `kbfleet alerts connect`.",
    "not_authed": "Store the app's bot token in the secret: `kbfleet alerts connect`.",
    "not_in_channel": "Invite the app to the channel.",
    "channel_not_found": "Set the parameter SlackChannelId to the id of a channel that the app is in.",
    "missing_scope": "Give the app the scopes chat:write and channels:history.",
}


class SlackBotChannel:
    """`kbfleet.ports.AlertChannel` by the Web API of Slack.

    Args:
        token: gives the bot token when a message is sent.
        channel_id: of the conversation to post to, such as C012AB3CD; names do not do for chat.update.
        api_url: of the Web API, with a slash at the end.
    """

    def __init__(self, token: Callable[[], str], channel_id: str, api_url: str = WebClient.BASE_URL) -> None:
        self._token = token
        self._channel = channel_id
        self._api_url = api_url

    @classmethod
    def made_of(cls, resources: ChannelResources) -> Self:
        return cls(resources.secret, resources.slack_channel_id)

    def post(self, alert: Alert, *, reply_to: str = "") -> str:
        with _answers():
            answer = self._client().chat_postMessage(
                channel=self._channel,
                text=summary(alert),
                blocks=blocks(alert),
                thread_ts=reply_to or None,
                metadata=Metadata(event_type=_EVENT, event_payload={"identity": alert.identity}),
                **AS_IT_IS,
            )
        return str(answer["ts"])

    def change(self, message: str, alert: Alert) -> None:
        try:
            with _answers():
                self._client().chat_update(
                    channel=self._channel, ts=message, text=summary(alert), blocks=blocks(alert), **UNPARSED
                )
        except AlertNotDelivered as error:
            if _word(error.__cause__) not in _UNCHANGEABLE:
                raise

    def posted(self, identity: str, *, since: datetime, reply_to: str = "") -> str | None:
        oldest = f"{(since - _CLOCKS_DIFFER_BY).timestamp():.6f}"
        client = self._client()
        wanted: dict[str, Any] = {
            "channel": self._channel,
            "oldest": oldest,
            "limit": _PAGE,
            "include_all_metadata": True,
        }
        with _answers():
            if reply_to:
                pages = client.conversations_replies(ts=reply_to, **wanted)
            else:
                pages = client.conversations_history(**wanted)
            # Iterating asks for all pages.
            for page in pages:
                for message in page["messages"]:
                    metadata = message.get("metadata") or {}
                    if metadata.get("event_type") == _EVENT and metadata["event_payload"].get("identity") == identity:
                        return str(message["ts"])
        return None

    def _client(self) -> WebClient:
        token = self._token()
        if not token.startswith("xoxb-"):
            raise AlertNotDelivered("The Slack secret does not hold a bot token.", remedy=_REMEDIES["invalid_auth"])
        return WebClient(
            token,
            base_url=self._api_url,
            timeout=TIMEOUT_SECONDS,
            retry_handlers=[ShortRateLimitHandler(max_retry_count=1)],
        )


@contextmanager
def _answers() -> Iterator[None]:
    """Raises: AlertNotDelivered, AlertMaybeDelivered."""
    try:
        yield
    except SlackApiError as error:
        status, word = error.response.status_code, _word(error)
        if status >= 500 or word in _UNKNOWN_END:
            raise AlertMaybeDelivered(f"Slack answered {status}: {word[:200]}.") from error
        raise AlertNotDelivered(f"Slack answered {status}: {word[:200]}.", remedy=_REMEDIES.get(word, "")) from error
    except (URLError, OSError) as error:
        raise AlertMaybeDelivered(f"Slack did not answer: {type(error).__name__}.") from error


def _word(error: BaseException | None) -> str:
    return str(error.response.get("error", "")) if isinstance(error, SlackApiError) else ""
