"""Ticks on the FIFO queue of template.yaml."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from kbfleet.adapters.sqs import SqsTicks
from kbfleet.domain.errors import ResourceMissing
from kbfleet.ports import Ticks
from tests.support.aws import client as aws_client
from tests.support.clock import START, FakeClock
from tests.support.fakes import RecordingTicks
from tests.support.samples import REGION
from tests.support.template import properties, template

TICK_SECONDS = template()["Parameters"]["TickSeconds"]["Default"]


@pytest.fixture
def queue(aws: None) -> tuple[Any, str]:
    client: Any = aws_client("sqs")
    assert properties("TickQueue")["DelaySeconds"] == {"Ref": "TickSeconds"}
    attributes = {"FifoQueue": "true", "DelaySeconds": str(TICK_SECONDS)}
    return client, client.create_queue(QueueName="ticks.fifo", Attributes=attributes)["QueueUrl"]


def waiting(queue: tuple[Any, str]) -> int:
    client, url = queue
    attributes = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return int(attributes["ApproximateNumberOfMessages"]) + int(attributes["ApproximateNumberOfMessagesDelayed"])


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ticks(queue: tuple[Any, str], clock: FakeClock) -> Ticks:
    client, url = queue
    return SqsTicks(client, queue_url=url, interval=timedelta(seconds=TICK_SECONDS), clock=clock)


def test_a_request_becomes_one_delayed_message(ticks: Ticks, queue: tuple[Any, str]) -> None:
    ticks.request()
    assert waiting(queue) == 1
    assert queue[0].receive_message(QueueUrl=queue[1]).get("Messages", []) == []


def test_all_requests_of_one_interval_become_one_tick(ticks: Ticks, queue: tuple[Any, str]) -> None:
    for _ in range(50):
        ticks.request()
    assert waiting(queue) == 1


@pytest.mark.parametrize("offset", [0, 0.001, 2.5, TICK_SECONDS - 0.001])
def test_a_tick_is_never_taken_for_the_one_that_it_was_made_by(
    ticks: Ticks, queue: tuple[Any, str], clock: FakeClock, offset: float
) -> None:
    """The message is delivered one delay after it was sent, wherever in the interval that was."""
    clock.set(START + timedelta(seconds=offset))
    for sent in range(1, 6):
        ticks.request()
        assert waiting(queue) == sent
        clock.advance(TICK_SECONDS)


def test_a_queue_that_is_gone_is_missing(aws: None, clock: FakeClock) -> None:
    client = aws_client("sqs")
    url = f"https://sqs.{REGION}.amazonaws.com/123456789012/ticks.fifo"
    with pytest.raises(ResourceMissing):
        SqsTicks(client, queue_url=url, interval=timedelta(seconds=TICK_SECONDS), clock=clock).request()


def test_requests_in_memory_are_counted() -> None:
    ticks = RecordingTicks()
    port: Ticks = ticks
    port.request()
    assert ticks.requests == 1
