"""One file an alert channel. What they are made of, and how they are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from kbfleet.domain.errors import AlertNotDelivered

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from kbfleet.domain.alert import Alert
    from kbfleet.ports import AlertChannel


@dataclass(frozen=True, slots=True)
class ChannelResources:
    """What a stack has for channels. An empty name is of something that it does not have.

    Args:
        secret: gives the secret when a message is sent, so that a changed one needs no new deployment.
        slack_channel_id: of the conversation that a Slack app posts to.
        topic_arn: of an SNS topic.
        client: makes a boto3 client of a service.
    """

    secret: Callable[[], str]
    slack_channel_id: str
    topic_arn: str
    client: Callable[[str], Any]


class ChannelType(Protocol):
    @classmethod
    def made_of(cls, resources: ChannelResources) -> AlertChannel: ...


class SendingChannel:
    """Base of channels that only send: what they have sent has no name, and can neither be changed nor looked up. Where
    the answer to a message is lost, that message comes twice."""

    def change(self, message: str, alert: Alert) -> None:  # noqa: ARG002 -- the port's
        raise AlertNotDelivered("This channel cannot change a message.")

    def posted(self, identity: str, *, since: datetime, reply_to: str = "") -> str | None:  # noqa: ARG002 -- the port's
        return None
