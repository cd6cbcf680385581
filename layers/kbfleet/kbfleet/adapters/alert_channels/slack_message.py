"""A message as Slack shows it: pure, and the same for every way of posting it.

All of it is in elements whose text Slack shows as it is: nothing that a tenant, a document or AWS says can become
markup, a link, a mention, or one of our commands. Source: Slack documentation, Block Kit, Rich text block and Text
object (`plain_text`). Times are in elements that Slack shows in the zone of whoever reads: `date` elements, which it
takes in a section of a rich text and nowhere else that is used here (Block Kit, Date element). They are made of times
that kbfleet has, never of text.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler
from slack_sdk.models.blocks import (
    HeaderBlock,
    PlainTextObject,
    RichTextBlock,
    RichTextElementParts,
    RichTextListElement,
    RichTextPreformattedElement,
    RichTextSectionElement,
)

from kbfleet.domain.alert import Severity, in_utc
from kbfleet.domain.printable import ZERO_WIDTH_JOINER, ZERO_WIDTH_NON_JOINER, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from slack_sdk.http_retry.request import HttpRequest
    from slack_sdk.http_retry.response import HttpResponse
    from slack_sdk.http_retry.state import RetryState
    from slack_sdk.models.blocks import Block, RichTextElement

    from kbfleet.domain.alert import Alert, Link, Reason

TIMEOUT_SECONDS = 5
_LONGEST_PAUSE_SECONDS = 5.0
_MAX_HEADER = 150
"""Source: Slack documentation, Header block."""
_MAX_TEXT = 3_000
"""Characters of a block that come from outside. Source: Slack documentation, Text object; of rich text, no limit is
documented."""
_MAX_ENTRY = 1_200
"""Of these, for one fact, one reason or one document: a key of S3 has 1,024 bytes at most."""
_MAX_ENTRIES = 10
"""Reasons in one message, and documents; the job history has them all."""
UNPARSED: dict[str, Any] = {"parse": "none", "link_names": False}
"""Arguments by which Slack neither looks for links nor for names in what notifications show. Source: Slack
documentation, methods chat.postMessage and chat.update."""
_NO_PREVIEWS = {"unfurl_links": False, "unfurl_media": False, "mrkdwn": False}
AS_IT_IS: dict[str, Any] = UNPARSED | _NO_PREVIEWS
"""The same, and that no page is looked up for a preview. Source: Slack documentation, chat.postMessage."""
_Text, _Style = RichTextElementParts.Text, RichTextElementParts.TextStyle
_DATE = "{date_short_pretty} {time}"
"""“Today 18:04” for whoever reads it on that day in Tokyo. Source: Slack documentation, Date element, Date format
strings."""


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
    """Text that Slack shows as it is: no mention and no link can be made of it.

    Source: Slack documentation, Formatting text for app surfaces, "Escaping text".
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def summary(alert: Alert) -> str:
    """One line for notifications, where blocks are not shown. Slack parses it, so nothing from outside is in it. A
    locked screen shows its beginning: how badly whom it hits."""
    return escaped(_headline(alert, alert.notice or "There is news of kbfleet."))


def blocks(alert: Alert) -> Sequence[Block]:
    """The message: who is hurt and how badly, since when, what broke, why, which documents, how to repair it, where to
    look."""
    title = _cut(_headline(alert, alert.title), _MAX_HEADER)
    message: list[Block] = [HeaderBlock(text=PlainTextObject(text=title, emoji=False))]
    if alert.facts:
        message.append(RichTextBlock(elements=[_facts(alert.facts)]))
    if alert.reasons:
        message.append(_why(alert.reasons, alert.reasons_left_out))
    if alert.advice or alert.command:
        message.append(RichTextBlock(elements=list(_remedy(alert))))
    if alert.links:
        message.append(RichTextBlock(elements=[_line(*_links(alert.links))]))
    return message


def _headline(alert: Alert, what: str) -> str:
    sign = "🔴" if alert.severity is Severity.BROKEN else "🟢"
    return f"{sign} {' · '.join(filter(None, (alert.hurt, printable(what))))}"


def _cut(text: str, limit: int) -> str:
    """Args: text: printable; it stays so: a joiner at its end would join nothing."""
    if len(text) <= limit:
        return text
    return f"{text[: limit - 1].rstrip(ZERO_WIDTH_JOINER + ZERO_WIDTH_NON_JOINER)}…"


def _fitting(texts: Iterable[str]) -> Iterator[str]:
    """As much of the texts as a block has room for, printable, in order."""
    room = _MAX_TEXT
    for text in texts:
        if room <= 0:
            return
        shown = _cut(printable(text) or "—", min(room, _MAX_ENTRY))
        room -= len(shown)
        yield shown


def _line(*parts: RichTextElement) -> RichTextSectionElement:
    return RichTextSectionElement(elements=list(parts))


def _bold(text: str) -> RichTextElement:
    return _Text(text=text, style=_Style(bold=True))


def _code(text: str) -> RichTextElement:
    return _Text(text=text, style=_Style(code=True))


def _date(time: datetime) -> RichTextElement:
    return RichTextElementParts.Date(timestamp=int(time.timestamp()), format=_DATE, fallback=in_utc(time))


def _facts(facts: Sequence[tuple[str, str | datetime]]) -> RichTextSectionElement:
    parts: list[RichTextElement] = []
    shown = list(_fitting(in_utc(value) if isinstance(value, datetime) else value for _, value in facts))
    for (name, whole), value in zip(facts, shown, strict=False):
        parts += [_Text(text="\n")] if parts else []
        parts.append(_bold(f"{printable(name) or '—'}:"))
        parts += [_Text(text=" "), _date(whole)] if isinstance(whole, datetime) else [_Text(text=f" {value}")]
    if more := len(facts) - len(shown):
        parts += [_Text(text="\n"), _Text(text=f"… and {more} more")]
    return _line(*parts)


def _why(reasons: Sequence[Reason], left_out: int) -> RichTextBlock:
    """Each reason with its documents below it, so that of each document it shows why; of each reason one at least."""
    named = reasons[:_MAX_ENTRIES]
    each = _MAX_ENTRIES // max(1, sum(bool(reason.documents) for reason in named))
    fitting = _fitting(text for reason in named for text in (reason.text, *reason.documents[:each]))
    entries: list[RichTextElement] = []
    shown = 0
    for reason in named:
        text = next(fitting, None)
        if text is None:
            break
        parts: list[RichTextElement] = [_Text(text=text)]
        for _, uri in zip(reason.documents[:each], fitting, strict=False):
            parts += [_Text(text="\n"), _code(uri)]
        shown += 1
        if more := len(reason.documents) - (len(parts) - 1) // 2 + reason.documents_left_out:
            parts += [_Text(text="\n"), _Text(text=f"… and {more} more documents")]
        entries.append(_line(*parts))
    message: list[RichTextElement] = [_line(_bold("Why")), RichTextListElement(style="bullet", elements=entries)]
    if more := len(reasons) - shown + left_out:
        message.append(_line(_Text(text=f"… and {more} more reasons")))
    return RichTextBlock(elements=message)


def _remedy(alert: Alert) -> Iterator[RichTextElement]:
    """Advice and command are ours, and hold nothing from outside but checked ids: back ticks in them are markup."""
    parts: list[RichTextElement] = [_bold("To repair it")]
    if alert.advice:
        parts.append(_Text(text="\n"))
    for place, text in enumerate(printable(alert.advice).split("`")):
        if text:
            parts.append(_code(text) if place % 2 else _Text(text=text))
    yield _line(*parts)
    if alert.command:
        yield RichTextPreformattedElement(elements=[_Text(text=printable(alert.command))])


def _links(links: Sequence[Link]) -> Iterator[RichTextElement]:
    for place, link in enumerate(links):
        if place:
            yield _Text(text=" · ")
        yield RichTextElementParts.Link(url=link.url, text=link.label) if link.url else _Text(text=link.label)
