"""An SNS topic: mail, chat services, pagers and whatever else subscribes to it."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from kbfleet.adapters.alert_channels import SendingChannel
from kbfleet.adapters.aws_errors import translated
from kbfleet.domain.alert import Severity, in_utc
from kbfleet.domain.errors import AlertMaybeDelivered, AlertNotDelivered, KbfleetError, NotReadyYet
from kbfleet.domain.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kbfleet.adapters.alert_channels import ChannelResources
    from kbfleet.domain.alert import Alert

_MAX_SUBJECT = 99
"""ASCII, in one line, fewer than 100 characters. Source: AWS documentation, Amazon SNS, Publish."""
_MAX_MESSAGE_BYTES = 200_000
"""Of 256 KB, which count the attributes, too. Source: as above."""


class SnsChannel(SendingChannel):
    """`kbfleet.ports.AlertChannel` by Publish. Nothing that is published can be changed or looked up.

    A FIFO topic drops what comes again within five minutes, by the alert's identity (AWS documentation, Amazon SNS,
    Message deduplication for FIFO topics). Subscribers can filter by the attributes `severity` and `subject`.
    """

    def __init__(self, client: Any, topic_arn: str) -> None:
        self._client = client
        self._topic = topic_arn

    @classmethod
    def made_of(cls, resources: ChannelResources) -> Self:
        return cls(resources.client("sns"), resources.topic_arn)

    def post(self, alert: Alert, *, reply_to: str = "") -> str:  # noqa: ARG002 -- the port's
        if not self._topic:
            raise AlertNotDelivered("There is no topic for alerts.", remedy="Set the parameter AlertTopicArn.")
        subject = {"subject": {"DataType": "String", "StringValue": printable(alert.subject)}} if alert.subject else {}
        fifo: dict[str, Any] = {}
        if self._topic.endswith(".fifo"):
            incident = alert.identity.rpartition("/")[0]
            fifo = {"MessageGroupId": incident, "MessageDeduplicationId": alert.identity}
        with _answers():
            self._client.publish(
                TopicArn=self._topic,
                Subject=mail_subject(alert),
                Message=plain_text(alert),
                MessageAttributes={"severity": {"DataType": "String", "StringValue": alert.severity}, **subject},
                **fifo,
            )
        return ""


@contextmanager
def _answers() -> Iterator[None]:
    """Raises: AlertNotDelivered, AlertMaybeDelivered."""
    try:
        with translated("an alert"):
            yield
    except NotReadyYet as error:
        raise AlertMaybeDelivered(error.what) from error
    except KbfleetError as error:
        raise AlertNotDelivered(error.what, remedy=error.remedy) from error


def mail_subject(alert: Alert) -> str:
    return _headline(alert).encode("ascii", "replace").decode()[:_MAX_SUBJECT].rstrip()


def _headline(alert: Alert) -> str:
    """How badly whom it hits comes first: it is the subject of a mail and the beginning of a short message, of which a
    locked screen shows some 40 characters."""
    return f"{alert.hurt or ('Broken' if alert.severity is Severity.BROKEN else 'Well')} - {printable(alert.title)}"


def plain_text(alert: Alert) -> str:
    """Who is hurt and how badly, since when, what broke, why, which documents, how to repair it, where to look: for
    mail. Times are in UTC, and say so: nobody knows where it is read.

    What comes from outside stands behind a word or a dash of ours, each in its own line, and is cut before advice and
    command are.
    """
    lines = [_headline(alert), ""]
    lines += [
        f"{printable(name)}: {in_utc(value) if isinstance(value, datetime) else printable(value)}"
        for name, value in alert.facts
    ]
    for reason in alert.reasons:
        lines += ["", f"Why: {printable(reason.text)}", *(f"  - {printable(uri)}" for uri in reason.documents)]
        lines += [f"  … and {reason.documents_left_out} more documents"] if reason.documents_left_out else []
    lines += ["", f"… and {alert.reasons_left_out} more reasons"] if alert.reasons_left_out else []
    remedy = ["", printable(alert.advice)] if alert.advice else []
    remedy += ["", f"  {printable(alert.command)}"] if alert.command else []
    remedy += ["", *(f"{link.label}: {link.url}" if link.url else f"See {link.label}" for link in alert.links)]
    end = "\n".join(remedy).rstrip() + "\n"
    told = "\n".join(lines)
    room = _MAX_MESSAGE_BYTES - len(end.encode()) - 1
    if len(told.encode()) > room:
        left_out = f"\n… and {len(told.encode()) - room:,} more bytes, at least"
        told = told.encode()[: room - len(left_out.encode())].decode(errors="ignore") + left_out
    return f"{told}\n{end}"
