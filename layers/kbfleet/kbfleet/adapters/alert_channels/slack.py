"""Slack, through an incoming webhook."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.error import URLError

from slack_sdk.http_retry.builtin_handlers import (
    ConnectionErrorRetryHandler,
    RateLimitErrorRetryHandler,
    ServerErrorRetryHandler,
)
from slack_sdk.models.blocks import Block, ContextBlock, HeaderBlock, MarkdownTextObject, SectionBlock
from slack_sdk.webhook import WebhookClient

from kbfleet.domain.alert import Alert, Severity
from kbfleet.domain.errors import AlertNotDelivered

_TIMEOUT_SECONDS = 5
# Slack's limits. Source: Slack documentation, Block Kit reference.
_MAX_HEADER = 150
_MAX_SECTION = 3_000
_MAX_FIELD = 2_000
_MAX_DOCUMENTS = 10
"""Documents named in one message; the job history has them all."""


class SlackAlertChannel:
    """`kbfleet.ports.AlertChannel` by an incoming webhook.

    Args:
        webhook_url: gives the URL when a message is sent, so that a changed secret needs no new deployment.
    """

    def __init__(self, webhook_url: Callable[[], str]) -> None:
        self._webhook_url = webhook_url

    def send(self, alert: Alert) -> None:
        url = self._webhook_url()
        if not url.startswith(("https://", "http://")):
            raise AlertNotDelivered(
                "The Slack webhook secret does not hold a URL.",
                remedy="Store the incoming webhook's URL in it: `aws secretsmanager put-secret-value`.",
            )
        client = WebhookClient(
            url,
            timeout=_TIMEOUT_SECONDS,
            retry_handlers=[
                ConnectionErrorRetryHandler(max_retry_count=1),
                RateLimitErrorRetryHandler(max_retry_count=1),
                ServerErrorRetryHandler(max_retry_count=1),
            ],
        )
        try:
            answer = client.send(text=summary(alert), blocks=blocks(alert))
        except (URLError, OSError) as error:
            raise AlertNotDelivered(f"Slack did not answer: {type(error).__name__}.") from error
        if answer.status_code != 200:
            raise AlertNotDelivered(f"Slack answered {answer.status_code}: {answer.body[:200]}.")


def escaped(text: str) -> str:
    """Text that Slack shows as it is: no mention and no link can be made of tenant data.

    Source: Slack documentation, Formatting text for app surfaces, "Escaping text".
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def summary(alert: Alert) -> str:
    """One line for notifications, where blocks are not shown."""
    sign = "🔴" if alert.severity is Severity.BROKEN else "🟢"
    return f"{sign} {escaped(alert.title)}"


def blocks(alert: Alert) -> Sequence[Block]:
    """The message: what broke, for whom, why, which documents, how to mend it, where to look."""
    sign = "🔴" if alert.severity is Severity.BROKEN else "🟢"
    message: list[Block] = [HeaderBlock(text=_cut(f"{sign} {alert.title}", _MAX_HEADER))]
    message.append(
        SectionBlock(
            fields=[
                MarkdownTextObject(text=_cut(f"*{escaped(name)}*\n{escaped(value)}", _MAX_FIELD))
                for name, value in alert.facts
            ]
        )
    )
    if alert.reasons:
        lines = "\n".join(f"• {escaped(reason.text)}" for reason in alert.reasons)
        message.append(_section(f"*Why*\n{lines}"))
    documents = list(dict.fromkeys(uri for reason in alert.reasons for uri in reason.documents))
    if documents:
        shown = "\n".join(f"`{escaped(uri)}`" for uri in documents[:_MAX_DOCUMENTS])
        more = f"\n… and {len(documents) - _MAX_DOCUMENTS} more" if len(documents) > _MAX_DOCUMENTS else ""
        message.append(_section(f"*Documents*\n{shown}{more}"))
    if alert.command:
        message.append(_section(f"*To mend it*\n{escaped(alert.advice)}\n```{escaped(alert.command)}```"))
    if alert.links:
        links = " · ".join(f"<{link.url}|{escaped(link.label)}>" for link in alert.links)
        message.append(ContextBlock(elements=[MarkdownTextObject(text=links)]))
    return message


def _section(text: str) -> SectionBlock:
    return SectionBlock(text=MarkdownTextObject(text=_cut(text, _MAX_SECTION)))
