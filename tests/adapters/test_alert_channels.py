"""Alert channels: what they take is delivered, what they do not is offered again, and nobody gets a message twice
without need."""

from __future__ import annotations

import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from kbfleet.adapters.alert_channels import ChannelResources
from kbfleet.adapters.alert_channels.slack_bot import SlackBotChannel
from kbfleet.adapters.alert_channels.slack_webhook import SlackWebhookChannel
from kbfleet.adapters.alert_channels.sns import SnsChannel
from kbfleet.domain.alert import Alert, Severity
from kbfleet.domain.errors import AlertMaybeDelivered, AlertNotDelivered
from kbfleet.domain.ingestion_job import FailureReason, JobStatus, Outcome
from kbfleet.domain.signals import of_ingestion
from kbfleet.ports import AlertChannel
from kbfleet.usecases.incidents import IncidentDesk
from local.slack_sink import validate_message
from tests.support.aws import client as aws_client
from tests.support.clock import START
from tests.support.fakes import FakeClock, InMemoryIncidents
from tests.support.samples import DEPLOYMENT, job_state_change
from tests.support.slack import FakeSlack, slack


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack's client sleeps before another attempt."""
    monkeypatch.setattr(time, "sleep", lambda _: None)


def alert(identity: str = "cause/1/0", title: str = "acme: ingestion failed") -> Alert:
    return Alert(identity, Severity.BROKEN, title, "acme", (("Tenant", "acme"),), command="kbfleet sync start acme")


class ChannelSuite(ABC):
    """What every channel does."""

    @pytest.fixture
    @abstractmethod
    def channel(self) -> AlertChannel: ...

    @pytest.fixture
    @abstractmethod
    def said(self) -> Any:
        """A function that gives all that people can read there, message by message."""

    def test_a_message_says_what_broke_and_what_repairs_it(self, channel: AlertChannel, said: Any) -> None:
        channel.post(alert())
        (text,) = said()
        assert "acme: ingestion failed" in text
        assert "kbfleet sync start acme" in text

    def test_a_message_that_was_never_posted_is_not_found(self, channel: AlertChannel) -> None:
        channel.post(alert())
        assert channel.posted("cause/2/0", since=START) is None

    def test_a_message_with_a_name_can_be_changed_and_found(self, channel: AlertChannel, said: Any) -> None:
        name = channel.post(alert())
        if not name:
            with pytest.raises(AlertNotDelivered):
                channel.change(name, alert())
            return
        channel.change(name, alert(title="acme: over"))
        (text,) = said()
        assert "acme: over" in text
        assert channel.posted(alert().identity, since=START) == name


class SlackSuite(ChannelSuite):
    @pytest.fixture
    def fake(self) -> Iterator[FakeSlack]:
        with slack() as fake:
            yield fake

    @pytest.fixture
    def said(self, fake: FakeSlack) -> Any:
        return lambda: [json.dumps(message, ensure_ascii=False) for message in fake.messages]

    def test_slack_would_show_the_message(self, channel: AlertChannel, fake: FakeSlack) -> None:
        channel.post(alert())
        validate_message(json.dumps(fake.messages[0]).encode())

    def test_slack_looks_for_no_links_names_and_pages(self, channel: AlertChannel, fake: FakeSlack) -> None:
        channel.post(alert())
        (sent,) = fake.messages
        assert sent["parse"] == "none"
        assert not any(sent[name] for name in ("link_names", "unfurl_links", "unfurl_media", "mrkdwn"))

    def test_a_short_rate_limit_is_waited_out_once(self, channel: AlertChannel, fake: FakeSlack) -> None:
        fake.trouble = [429]
        channel.post(alert())
        assert (len(fake.calls), len(fake.messages)) == (2, 1)

    @pytest.mark.parametrize(("retry_after", "calls"), [("0", 2), ("30", 1)])
    def test_a_rate_limit_that_lasts_leaves_the_alert_to_the_queue(
        self, channel: AlertChannel, fake: FakeSlack, retry_after: str, calls: int
    ) -> None:
        fake.trouble, fake.retry_after = [429, 429], retry_after
        with pytest.raises(AlertNotDelivered, match="429") as raised:
            channel.post(alert())
        assert not isinstance(raised.value, AlertMaybeDelivered)
        assert len(fake.calls) == calls

    @pytest.mark.parametrize("trouble", [500, 503])
    def test_an_error_of_slacks_leaves_the_alert_to_the_queue(
        self, channel: AlertChannel, fake: FakeSlack, trouble: int
    ) -> None:
        fake.trouble = [trouble]
        with pytest.raises(AlertNotDelivered, match=str(trouble)):
            channel.post(alert())

    @pytest.mark.parametrize("trouble", ["lost", "unanswered"])
    def test_whether_a_message_without_an_answer_was_taken_is_not_known(
        self, channel: AlertChannel, fake: FakeSlack, trouble: str
    ) -> None:
        fake.trouble = [trouble]
        with pytest.raises(AlertMaybeDelivered):
            channel.post(alert())
        assert len(fake.calls) == 1

    def test_what_slack_refuses_is_said_in_its_words(self, channel: AlertChannel, fake: FakeSlack) -> None:
        fake.refusal = "no_service"
        with pytest.raises(AlertNotDelivered, match="no_service"):
            channel.post(alert())


class TestSlackWebhook(SlackSuite):
    @pytest.fixture
    def channel(self, fake: FakeSlack) -> AlertChannel:
        return SlackWebhookChannel.made_of(_resources(f"{fake.url}/services/T000/B000/secret"))

    @pytest.mark.parametrize("secret", ["not set yet", "", "ftp://example.com", "None"])
    def test_a_secret_without_a_url_is_not_posted_to_and_says_how_to_set_it(self, secret: str) -> None:
        with pytest.raises(AlertNotDelivered, match="kbfleet alerts connect"):
            SlackWebhookChannel(lambda: secret).post(alert())

    def test_a_changed_secret_needs_no_new_deployment(self) -> None:
        with slack() as old, slack() as new:
            urls = [old.url, new.url]
            changing = SlackWebhookChannel(lambda: urls.pop(0))
            changing.post(alert())
            changing.post(alert())
        assert (len(old.messages), len(new.messages)) == (1, 1)

    def test_the_webhooks_url_is_in_no_error_because_it_is_a_secret(
        self, channel: AlertChannel, fake: FakeSlack
    ) -> None:
        fake.refusal = "no_service"
        with pytest.raises(AlertNotDelivered) as raised:
            channel.post(alert())
        assert "B000" not in str(raised.value)


class TestSlackBot(SlackSuite):
    @pytest.fixture
    def channel(self, fake: FakeSlack) -> AlertChannel:
        return SlackBotChannel(lambda: "xoxb-1", "C012AB3CD", f"{fake.url}/api/")

    def test_a_reply_is_in_the_thread_of_its_message(self, channel: AlertChannel, fake: FakeSlack) -> None:
        first = channel.post(alert())
        reply = channel.post(alert("cause/1/1"), reply_to=first)
        assert [message["ts"] for message in fake.roots] == [first]
        assert channel.posted("cause/1/1", since=START, reply_to=first) == reply
        assert channel.posted("cause/1/1", since=START) is None

    def test_a_message_is_found_on_whichever_page_it_is(self, channel: AlertChannel, fake: FakeSlack) -> None:
        names = [channel.post(alert(f"cause/{number}/0")) for number in range(5)]
        assert channel.posted("cause/4/0", since=START) == names[4]
        assert fake.calls.count("/api/conversations.history") == 3

    def test_a_message_that_somebody_deleted_stays_deleted(self, channel: AlertChannel, fake: FakeSlack) -> None:
        name = channel.post(alert())
        fake.messages.clear()
        channel.change(name, alert())
        assert fake.messages == []

    @pytest.mark.parametrize("word", ["not_in_channel", "invalid_auth", "channel_not_found", "missing_scope"])
    def test_a_refusal_that_people_can_repair_says_how(self, channel: AlertChannel, fake: FakeSlack, word: str) -> None:
        fake.refusal = word
        with pytest.raises(AlertNotDelivered) as raised:
            channel.post(alert())
        assert raised.value.remedy

    @pytest.mark.parametrize("secret", ["not set yet", "https://hooks.slack.com/services/T/B/x"])
    def test_a_secret_without_a_bot_token_is_not_sent_anywhere(self, fake: FakeSlack, secret: str) -> None:
        with pytest.raises(AlertNotDelivered, match="kbfleet alerts connect"):
            SlackBotChannel(lambda: secret, "C012AB3CD", f"{fake.url}/api/").post(alert())
        assert fake.calls == []


class SnsSuite(ChannelSuite):
    """SNS as moto has it, with a queue that reads along."""

    fifo: ClassVar[bool]

    @pytest.fixture
    def topic(self, aws: None) -> tuple[str, str]:
        """ARN of a topic and URL of the queue."""
        sns, sqs = aws_client("sns"), aws_client("sqs")
        attributes = {"FifoTopic": "true"} if self.fifo else {}
        of_queue = {"FifoQueue": "true"} if self.fifo else {}
        ending = ".fifo" if self.fifo else ""
        arn = sns.create_topic(Name=f"incidents{ending}", Attributes=attributes)["TopicArn"]
        queue = sqs.create_queue(QueueName=f"reader{ending}", Attributes=of_queue)["QueueUrl"]
        queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn)
        return arn, queue

    @pytest.fixture
    def channel(self, topic: tuple[str, str]) -> AlertChannel:
        return SnsChannel.made_of(_resources(topic_arn=topic[0]))

    @pytest.fixture
    def said(self, topic: tuple[str, str]) -> Any:
        def texts() -> list[str]:
            answer = aws_client("sqs").receive_message(QueueUrl=topic[1], MaxNumberOfMessages=10)
            return [json.loads(message["Body"])["Message"] for message in answer.get("Messages", [])]

        return texts

    def test_any_title_makes_a_subject_that_sns_takes(self, channel: AlertChannel) -> None:
        channel.post(alert(title="acme: 議事録 could\nnot be read " + "x" * 200))

    def test_a_very_long_alert_still_fits(self, channel: AlertChannel, said: Any) -> None:
        channel.post(replace(alert(), facts=(("Long", "深" * 100_000),)))
        assert len(said()) == 1

    def test_a_topic_that_is_gone_leaves_the_alert_to_the_queue(self, channel: AlertChannel, topic: Any) -> None:
        aws_client("sns").delete_topic(TopicArn=topic[0])
        with pytest.raises(AlertNotDelivered):
            channel.post(alert())

    def test_without_a_topic_the_message_says_which_parameter_to_set(self, aws: None) -> None:
        with pytest.raises(AlertNotDelivered, match="AlertTopicArn"):
            SnsChannel.made_of(_resources()).post(alert())


class TestSns(SnsSuite):
    fifo = False


class TestSnsFifo(SnsSuite):
    fifo = True


def _resources(secret: str = "", topic_arn: str = "") -> ChannelResources:
    return ChannelResources(lambda: secret, "C012AB3CD", topic_arn, aws_client)


# --- an hour of trouble ---

TROUBLE = (429, 500, "lost", 503)


@pytest.mark.parametrize("kind", ["bot", "webhook"])
def test_an_hour_of_429_500_and_timeouts_loses_and_doubles_nothing(kind: str) -> None:
    """A queue offers each event again after three minutes. What a webhook takes without an answer is left out: nobody
    can know of it. A bot looks it up."""
    with slack() as fake:
        channel: AlertChannel = SlackWebhookChannel(lambda: fake.url)
        trouble: tuple[int | str, ...] = TROUBLE
        if kind == "bot":
            channel, trouble = SlackBotChannel(lambda: "xoxb-1", "C1", f"{fake.url}/api/"), (*TROUBLE, "unanswered")
        clock, incidents = FakeClock(), InMemoryIncidents()
        signals = []
        for number in range(10):
            tenant, reason = f"tenant-{number}", FailureReason(f"reason {chr(97 + number)}")
            base = job_state_change(tenant_id=tenant, ingestion_job_id=f"JOB000000{number}")
            failed = replace(base, status=JobStatus.FAILED, outcome=Outcome.FAILED, failure_reasons=(reason,))
            repaired = replace(base, occurred_at=base.occurred_at + timedelta(minutes=30))
            signals += [*of_ingestion(failed, DEPLOYMENT), *of_ingestion(repaired, DEPLOYMENT)]
        waiting, rounds = list(signals), 0
        while waiting:
            rounds += 1
            assert rounds < 40
            fake.trouble = [trouble[(rounds + place) % len(trouble)] for place in range(60)] if rounds <= 20 else []
            left = []
            for signal in waiting:
                desk = IncidentDesk(incidents, channel, clock, DEPLOYMENT)
                try:
                    for incident in desk.record(signal):
                        desk.notify(incident)
                except AlertNotDelivered:
                    left.append(signal)
            waiting = left
            clock.advance(180)
    texts = [message["text"] for message in fake.roots]
    assert len({re.findall(r"tenant-\d", text)[0] for text in texts}) == 10
    assert len(set(texts)) == len(texts)
    for incident_number in range(10):
        own = [message["text"] for message in fake.messages if f"tenant-{incident_number}:" in message["text"]]
        assert own[-1].startswith("🟢")
        assert len(own) <= 2
