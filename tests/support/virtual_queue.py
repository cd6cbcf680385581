"""SQS queues with a Lambda function behind them, in virtual time.

Source: AWS documentation, Amazon SQS FIFO queues (deduplication within five minutes, order in a message group), Amazon
SQS delay queues and message timers (a message's own delay holds in place of its queue's), and Using Lambda with Amazon
SQS (a failed invocation leaves the message, which is visible again after the timeout).
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from tests.support.aws_calls import Refused
from tests.support.virtual_time import Signal, Timeline

_DEDUPLICATION_SECONDS = 300


@dataclass
class Message:
    body: str
    visible_at: float
    received: int = 0


class _Queue:
    """What both kinds are made of.

    Args:
        delay: seconds before a message is visible.
        visibility_timeout: seconds until a message that was not dealt with is offered again.
        max_receives: after so many offers it moves to `dead_letters`.
        deal: the function behind the queue. Returns: whether it succeeded.
    """

    def __init__(
        self,
        url: str,
        timeline: Timeline,
        *,
        delay: float,
        visibility_timeout: float,
        max_receives: int,
        deal: Callable[[str], bool],
    ) -> None:
        self.url = url
        self.dead_letters: list[Message] = []
        self._timeline = timeline
        self._delay = delay
        self._visibility_timeout = visibility_timeout
        self._max_receives = max_receives
        self._deal = deal
        self._arrival = Signal()


class FifoQueue(_Queue):
    """One message at a time, in order, as within a message group; those of several groups wait for one another, too."""

    def __init__(self, url: str, timeline: Timeline, **given: Any) -> None:
        super().__init__(url, timeline, **given)
        self._messages: deque[Message] = deque()
        self._seen: dict[str, float] = {}

    @property
    def empty(self) -> bool:
        return not self._messages

    def answer(self, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """SQS, as far as the product uses it."""
        if operation != "SendMessage" or parameters["QueueUrl"] != self.url:
            raise NotImplementedError(f"sqs:{operation} on {parameters.get('QueueUrl')}")
        if parameters.get("MessageGroupId") is None:
            raise Refused("MissingParameter", "The request must contain the parameter MessageGroupId.")
        now = self._timeline.now()
        self._seen = {known: at for known, at in self._seen.items() if now - at < _DEDUPLICATION_SECONDS}
        token = parameters["MessageDeduplicationId"]
        if token not in self._seen:
            self._seen[token] = now
            self._messages.append(Message(parameters["MessageBody"], now + self._delay))
            self._arrival.set()
        return {"MessageId": str(uuid.UUID(int=len(self._seen)))}

    def deliver(self) -> None:
        """Offers messages for ever: the event source mapping. Runs in a strand."""
        while True:
            while not self._messages:
                self._arrival = Signal()
                self._timeline.wait(self._arrival)
            message = self._messages[0]
            self._timeline.sleep(max(0.0, message.visible_at - self._timeline.now()))
            message.received += 1
            if self._deal(message.body):
                self._messages.popleft()
            elif message.received >= self._max_receives:
                self.dead_letters.append(self._messages.popleft())
            else:
                message.visible_at = self._timeline.now() + self._visibility_timeout


class StandardQueue(_Queue):
    """In the order in which messages can be seen. So many are dealt with at once as strands `deliver`. `delay` is of
    messages that say nothing else."""

    def __init__(self, url: str, timeline: Timeline, **given: Any) -> None:
        super().__init__(url, timeline, **given)
        self._messages: list[Message] = []
        self._under_way = 0

    @property
    def empty(self) -> bool:
        return not self._messages and not self._under_way

    def answer(self, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """SQS, as far as the product uses it."""
        if operation != "SendMessage":
            raise NotImplementedError(f"sqs:{operation} on {self.url}")
        self.put(parameters["MessageBody"], parameters.get("DelaySeconds"))
        return {"MessageId": str(uuid.uuid4())}

    def put(self, body: str, delay: float | None = None) -> None:
        self._messages.append(Message(body, self._timeline.now() + (self._delay if delay is None else delay)))
        self._arrival.set()

    def deliver(self) -> None:
        """Offers messages for ever, one at a time: a poller of the event source mapping. Runs in a strand."""
        while True:
            message = self._next()
            self._under_way += 1
            message.received += 1
            if not self._deal(message.body):
                if message.received >= self._max_receives:
                    self.dead_letters.append(message)
                else:
                    message.visible_at = self._timeline.now() + self._visibility_timeout
                    self._messages.append(message)
                    self._arrival.set()
            self._under_way -= 1

    def _next(self) -> Message:
        """Waits until there is one that can be seen."""
        while True:
            first = min(self._messages, key=lambda message: message.visible_at, default=None)
            if first is not None and first.visible_at <= self._timeline.now():
                self._messages.remove(first)
                return first
            if self._arrival.is_set:
                self._arrival = Signal()
            self._timeline.wait(self._arrival, until=first.visible_at if first is not None else None)


class KeptMessages:
    """A dead-letter queue: nothing reads it by itself."""

    def __init__(self, url: str, timeline: Timeline) -> None:
        self.url = url
        self._timeline = timeline
        self._messages: dict[str, Message] = {}
        self._sent = 0

    @property
    def messages(self) -> list[str]:
        return [message.body for message in self._messages.values()]

    def keep(self, body: str) -> str:
        """Returns: the message's id."""
        self._sent += 1
        identity = str(uuid.UUID(int=self._sent))
        self._messages[identity] = Message(body, self._timeline.now())
        return identity

    def answer(self, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """SQS, as far as the product uses it. A message's id is its receipt, too."""
        match operation:
            case "SendMessage":
                return {"MessageId": self.keep(parameters["MessageBody"])}
            case "ReceiveMessage":
                self._wait(parameters["WaitTimeSeconds"])
                return {"Messages": list(islice(self._receive(parameters["VisibilityTimeout"]), 10))}
            case "GetQueueAttributes":
                hidden = sum(message.visible_at > self._timeline.now() for message in self._messages.values())
                return {"Attributes": {"ApproximateNumberOfMessagesNotVisible": str(hidden)}}
            case "DeleteMessage":
                self._messages.pop(parameters["ReceiptHandle"], None)
                return {}
            case "ChangeMessageVisibility":
                self._messages[parameters["ReceiptHandle"]].visible_at = self._timeline.now()
                return {}
        raise NotImplementedError(f"sqs:{operation} on {self.url}")

    def _wait(self, seconds: float) -> None:
        """A long poll: until a message can be seen, or the time is over."""
        now = self._timeline.now()
        soonest = min((message.visible_at for message in self._messages.values()), default=now + seconds)
        if self._timeline.current is not None:
            self._timeline.sleep(max(0.0, min(soonest - now, seconds)))

    def _receive(self, visibility_timeout: float) -> Iterator[Mapping[str, str]]:
        now = self._timeline.now()
        for identity, message in self._messages.items():
            if message.visible_at <= now:
                message.visible_at = now + visibility_timeout
                yield {"MessageId": identity, "ReceiptHandle": identity, "Body": message.body}
