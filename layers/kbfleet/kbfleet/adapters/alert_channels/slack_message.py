"""A message as Slack shows it: pure, and the same for every way of posting it."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.models.blocks import ContextBlock, HeaderBlock, MarkdownTextObject, SectionBlock

from kbfleet.domain.alert import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slack_sdk.http_retry.request import HttpRequest
    from slack_sdk.http_retry.response import HttpResponse
    from slack_sdk.http_retry.state import RetryState
    from slack_sdk.models.blocks import Block

    from kbfleet.domain.alert import Alert, Link

TIMEOUT_SECONDS = 5
_LONGEST_PAUSE_SECONDS = 5.0
# Slack's limits. Source: Slack documentation, Block Kit reference.
_MAX_HEADER = 150
_MAX_SECTION = 3_000
_MAX_FIELD = 2_000
_MAX_FIELDS = 10
_MAX_DOCUMENTS = 10
"""Documents named in one message; the job history has them all."""


class ShortRateLimitHandler(RateLimitErrorRetryHandler):
    """Waits as long as Slack's `Retry-After` says, once, unless that is longer than a function should sleep: then the
    queue offers the alert again."""

    def _can_retry(
        self,
        *,
        state: RetryState,  # noqa: ARG002 -- slack_sdk's
        request: HttpRequest,  # noqa: ARG002 -- slack_sdk's
        response: HttpResponse | None = None,
        error: Exception | None = None,  # noqa: ARG002 -- slack_sdk's
    ) -> bool:
        if response is None or response.status_code != 429:
            return False
        asked = next((value for name, value in response.headers.items() if name.lower() == "retry-after"), None)
        seconds = asked[0] if isinstance(asked, list) else asked
        return seconds is None or float(seconds) <= _LONGEST_PAUSE_SECONDS


def escaped(text: str) -> str:
    """Text that Slack shows as it is: no mention and no link can be made of tenant data.

    Source: Slack documentation, Formatting text for app surfaces, "Escaping text".
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, limit: int) -> str:
    """Args: text: escaped, or for plain text. No escaped character is left in half."""
    return text if len(text) <= limit else f"{_HALF_AN_ESCAPE.sub('', text[: limit - 1])}…"


_HALF_AN_ESCAPE = re.compile(r"&(amp|am|a|lt|l|gt|g)?$")


def summary(alert: Alert) -> str:
    """One line for notifications, where blocks are not shown."""
    sign = "🔴" if alert.severity is Severity.BROKEN else "🟢"
    return f"{sign} {escaped(alert.title)}"


def blocks(alert: Alert) -> Sequence[Block]:
    """The message: what broke, for whom, why, which documents, how to mend it, where to look."""
    sign = "🔴" if alert.severity is Severity.BROKEN else "🟢"
    message: list[Block] = [HeaderBlock(text=_cut(f"{sign} {alert.title}", _MAX_HEADER))]
    fields = iter(
        MarkdownTextObject(text=_cut(f"*{escaped(name)}*\n{escaped(value)}", _MAX_FIELD)) for name, value in alert.facts
    )
    while some := list(islice(fields, _MAX_FIELDS)):
        message.append(SectionBlock(fields=some))
    if alert.reasons:
        lines = "\n".join(f"• {escaped(reason.text)}" for reason in alert.reasons)
        message.append(_section(f"*Why*\n{lines}"))
    documents = list(dict.fromkeys(uri for reason in alert.reasons for uri in reason.documents))
    if documents:
        shown = "\n".join(f"`{escaped(uri)}`" for uri in documents[:_MAX_DOCUMENTS])
        more = f"\n… and {len(documents) - _MAX_DOCUMENTS} more" if len(documents) > _MAX_DOCUMENTS else ""
        message.append(_section(f"*Documents*\n{shown}{more}"))
    if alert.advice or alert.command:
        message.append(_section(f"*To mend it*\n{escaped(alert.advice)}"))
    if alert.command:
        message.append(_section(f"```{escaped(alert.command)}```"))
    if alert.links:
        message.append(ContextBlock(elements=[MarkdownTextObject(text=" · ".join(map(_link, alert.links)))]))
    return message


def _link(link: Link) -> str:
    return f"<{link.url}|{escaped(link.label)}>" if link.url else escaped(link.label)


def _section(text: str) -> SectionBlock:
    return SectionBlock(text=MarkdownTextObject(text=_cut(text, _MAX_SECTION)))
