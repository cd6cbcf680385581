"""Slack, through an incoming webhook: it posts, and can neither change what it has posted nor reply to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self
from urllib.error import URLError

from slack_sdk.webhook import WebhookClient

from kbfleet.adapters.alert_channels import SendingChannel
from kbfleet.adapters.alert_channels.slack_message import (
    AS_IT_IS,
    TIMEOUT_SECONDS,
    ShortRateLimitHandler,
    blocks,
    summary,
)
from kbfleet.domain.errors import AlertMaybeDelivered, AlertNotDelivered

if TYPE_CHECKING:
    from collections.abc import Callable

    from kbfleet.adapters.alert_channels import ChannelResources
    from kbfleet.domain.alert import Alert


class SlackWebhookChannel(SendingChannel):
    """`kbfleet.ports.AlertChannel` by an incoming webhook.

    Args:
        webhook_url: gives the URL when a message is sent.
    """

    def __init__(self, webhook_url: Callable[[], str]) -> None:
        self._webhook_url = webhook_url

    @classmethod
    def made_of(cls, resources: ChannelResources) -> Self:
        return cls(resources.secret)

    def post(self, alert: Alert, *, reply_to: str = "") -> str:  # noqa: ARG002 -- the port's
        url = self._webhook_url()
        if not url.startswith(("https://", "http://")):
            raise AlertNotDelivered(
                "The Slack webhook secret does not hold a URL.",
                remedy="Store the incoming webhook's URL in it: `kbfleet alerts connect`.",
            )
        # Nothing but a rate limit is tried again here: Slack may have taken what it did not answer.
        client = WebhookClient(url, timeout=TIMEOUT_SECONDS, retry_handlers=[ShortRateLimitHandler(max_retry_count=1)])
        try:
            answer = client.send_dict({"text": summary(alert), "blocks": blocks(alert), **AS_IT_IS})
        except (URLError, OSError) as error:
            raise AlertMaybeDelivered(f"Slack did not answer: {type(error).__name__}.") from error
        if answer.status_code != 200:
            raise AlertNotDelivered(f"Slack answered {answer.status_code}: {answer.body[:200]}.")
        return ""
