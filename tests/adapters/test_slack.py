"""Slack by its incoming webhook: what it takes is delivered, what it does not is offered again."""

from __future__ import annotations

import json
import time

import pytest

from kbfleet.adapters.alert_channels.slack import SlackAlertChannel
from kbfleet.domain.alert import Alert, ingestion_alert
from kbfleet.domain.errors import AlertNotDelivered
from kbfleet.domain.ingestion import JobStatus, Outcome
from kbfleet.ports import AlertChannel
from tests.support.http_server import Reply, serving
from tests.support.samples import DEPLOYMENT, job_state_change


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack's client sleeps between two attempts."""
    monkeypatch.setattr(time, "sleep", lambda _: None)


def alert() -> Alert:
    made = ingestion_alert(job_state_change(status=JobStatus.FAILED, outcome=Outcome.FAILED), DEPLOYMENT)
    assert made is not None
    return made


def channel(url: str) -> AlertChannel:
    return SlackAlertChannel(lambda: url)


def test_a_message_has_text_for_notifications_and_blocks_to_read() -> None:
    with serving(Reply()) as slack:
        channel(slack.url).send(alert())
    (sent,) = map(json.loads, slack.bodies)
    assert "acme" in sent["text"]
    assert [block["type"] for block in sent["blocks"]] == ["header", "section", "section", "context"]


def test_a_rate_limit_is_waited_out_once() -> None:
    with serving(Reply(status=429, headers={"Retry-After": "0"}), Reply()) as slack:
        channel(slack.url).send(alert())
    assert len(slack.bodies) == 2


def test_a_rate_limit_that_lasts_leaves_the_alert_to_the_queue() -> None:
    limited = Reply(status=429, headers={"Retry-After": "0"})
    with serving(limited) as slack, pytest.raises(AlertNotDelivered, match="429"):
        channel(slack.url).send(alert())


def test_a_server_error_that_passes_does_not_matter() -> None:
    with serving(Reply(status=500), Reply()) as slack:
        channel(slack.url).send(alert())
    assert len(slack.bodies) == 2


@pytest.mark.parametrize("reply", [Reply(500, b"internal"), Reply(404, b"no_service"), Reply(403, b"not_allowed")])
def test_an_error_that_lasts_leaves_the_alert_to_the_queue(reply: Reply) -> None:
    with serving(reply) as slack, pytest.raises(AlertNotDelivered, match=f"{reply.status}.*{reply.body.decode()}"):
        channel(slack.url).send(alert())


def test_a_slack_that_is_not_there_leaves_the_alert_to_the_queue() -> None:
    with serving(Reply()) as slack:
        gone = slack.url
    with pytest.raises(AlertNotDelivered):
        channel(gone).send(alert())


@pytest.mark.parametrize("secret", ["not set yet", "", "ftp://example.com", "None"])
def test_a_secret_without_a_url_is_not_posted_to_and_says_how_to_set_it(secret: str) -> None:
    with pytest.raises(AlertNotDelivered, match="put-secret-value"):
        channel(secret).send(alert())


def test_a_changed_secret_needs_no_new_deployment() -> None:
    with serving(Reply()) as old, serving(Reply()) as new:
        urls = [old.url, new.url]
        changing = SlackAlertChannel(lambda: urls.pop(0))
        changing.send(alert())
        changing.send(alert())
    assert (len(old.bodies), len(new.bodies)) == (1, 1)


def test_the_webhooks_url_is_in_no_error_because_it_is_a_secret() -> None:
    with serving(Reply(status=404, body=b"no_service")) as slack, pytest.raises(AlertNotDelivered) as raised:
        channel(f"{slack.url}/services/T000/B000/secret").send(alert())
    assert "B000" not in str(raised.value)
