"""Of what people and other systems are told."""

from __future__ import annotations

from kbfleet.settings import EnvironmentSettings


class AnnouncementSettings(EnvironmentSettings):
    bus_name: str


class AlertSettings(EnvironmentSettings):
    """Where people are told. An empty ARN or id is of something that the channel does not need."""

    alert_channel: str
    slack_webhook_secret_arn: str
    slack_channel_id: str = ""
    alert_topic_arn: str = ""
    runbook_url: str = ""
