"""Of alerts to people, and of announcements to other systems."""

from __future__ import annotations

from kbfleet.settings import EnvironmentSettings


class AnnouncementSettings(EnvironmentSettings):
    bus_name: str


class AlertSettings(EnvironmentSettings):
    """Where alerts go. An empty ARN or id is of something that the channel does not need."""

    alert_channel: str
    slack_webhook_secret_arn: str
    slack_channel_id: str = ""
    alert_topic_arn: str = ""
    runbook_url: str = ""
