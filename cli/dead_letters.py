"""What waits in the fleet's dead-letter queues, and how it goes back."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from cli.dead_letter_queues import QUEUES, DeadLetterQueue
from cli.fleet_api import FleetUnreachable
from cli.fleet_stack import FleetStack, asking

_BATCH = 10
"""Messages that one call gives or deletes at most. Source: AWS documentation, ReceiveMessage, DeleteMessageBatch."""

LONG_POLL_SECONDS = 1
"""Any long poll asks every server that SQS keeps messages on; a short one may miss some (AWS documentation, Amazon SQS
short and long polling)."""

_LOOK_SECONDS = 600
"""For which messages that are looked at one after the other are hidden from others, at most; they are given back as
soon as the look is over. Ten thousand are looked at in less."""

_REDRIVE_SECONDS = 330
"""For which a message that is being given to its function is hidden from others; longer than any of them may run."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in a queue.

    Args:
        messages: approximately, as SQS counts them; those that somebody is looking at are among them.
        oldest_sent_at: of the messages that were looked at; `None` if there were none.
        reasons: of those messages, each once.
    """

    queue: DeadLetterQueue
    messages: int
    oldest_sent_at: datetime | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message that waits. `reason` is as `reason_of` has it."""

    message_id: str
    sent_at: datetime
    reason: str
    body: str


@dataclass(frozen=True, slots=True)
class Redriven:
    """How far a redrive has come. `refused` is why messages stay; empty while none does."""

    moved: int
    total: int
    ended: bool
    refused: str = ""


@dataclass(frozen=True)
class DeadLetters:
    """The dead-letter queues of a stack, by the operator's own credentials."""

    stack: FleetStack

    def waiting(self) -> Iterator[Waiting]:
        """Of every queue that the stack has. Looking takes nothing out.

        Raises: FleetUnreachable.
        """
        for queue in QUEUES:
            if queue.resource in self.stack.resources:
                yield self._waiting_in(queue)

    def redrive(self, queue: DeadLetterQueue) -> Iterator[Redriven]:
        """Gives everything that waits back to whom it was meant for. Yields how far it has come, again and again; the
        last one has `ended`.

        Raises: FleetUnreachable.
        """
        total = self._waiting_in(queue).messages
        yield Redriven(0, total, ended=total == 0)
        if total:
            yield from self._moved(queue) if queue.returns_to_a_queue else self._handed_over(queue, total)

    def messages(self, queue: DeadLetterQueue, limit: int) -> tuple[DeadLetter, ...]:
        """What waits in a queue, the oldest first; of a FIFO queue the first ten of each group, which is what SQS gives
        out before somebody takes them. Looking takes nothing out, but hides what was seen from others for a moment.

        Args:
            limit: most messages; which ones of more, SQS decides.

        Raises: FleetUnreachable.
        """
        with self._received(queue) as received:
            return tuple(sorted((letter for letter, _ in islice(received, limit)), key=lambda letter: letter.sent_at))

    def purge(self, queue: DeadLetterQueue, wanted: Callable[[DeadLetter], bool]) -> int:
        """Deletes the wanted messages for good. Returns: how many.

        Raises: FleetUnreachable.
        """
        deleted = 0
        # Those of a FIFO queue come once those before them are gone.
        while some := self._purge_some(queue, wanted):
            deleted += some
        return deleted

    def _purge_some(self, queue: DeadLetterQueue, wanted: Callable[[DeadLetter], bool]) -> int:
        sqs, url = self.stack.client("sqs"), self._url(queue)
        deleted = 0
        with self._received(queue) as received:
            while batch := list(islice((receipt for letter, receipt in received if wanted(letter)), _BATCH)):
                with asking(f"Messages of {queue.resource} could not be deleted"):
                    answer = sqs.delete_message_batch(QueueUrl=url, Entries=_entries(batch))
                if refused := answer.get("Failed"):
                    raise FleetUnreachable(f"Messages of {queue.resource} could not be deleted: {refused[0]['Code']}.")
                deleted += len(batch)
        return deleted

    @contextmanager
    def _received(self, queue: DeadLetterQueue) -> Iterator[Iterator[tuple[DeadLetter, str]]]:
        """All messages that are there, with their receipts, each once. They stay hidden from others until the block
        ends."""
        sqs, url = self.stack.client("sqs"), self._url(queue)
        receipts: dict[str, str] = {}

        def received() -> Iterator[tuple[DeadLetter, str]]:
            while True:
                with asking(f"The queue {queue.resource} could not be looked at (sqs:ReceiveMessage)"):
                    some = sqs.receive_message(
                        QueueUrl=url,
                        MaxNumberOfMessages=_BATCH,
                        VisibilityTimeout=_LOOK_SECONDS,
                        WaitTimeSeconds=LONG_POLL_SECONDS,
                        MessageAttributeNames=["All"],
                        MessageSystemAttributeNames=["SentTimestamp"],
                    ).get("Messages", [])
                new = [message for message in some if message["MessageId"] not in receipts]
                if not new:
                    return
                receipts.update({message["MessageId"]: message["ReceiptHandle"] for message in new})
                for message in new:
                    sent_at = datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC)
                    letter = DeadLetter(message["MessageId"], sent_at, reason_of(message), message["Body"])
                    yield letter, message["ReceiptHandle"]

        try:
            yield received()
        finally:
            given_back = list(receipts.values())
            for first in range(0, len(given_back), _BATCH):
                # One that was deleted is no longer there to be shown; one that is refused is shown a while later.
                with suppress(ClientError):
                    sqs.change_message_visibility_batch(
                        QueueUrl=url, Entries=_entries(given_back[first : first + _BATCH], VisibilityTimeout=0)
                    )

    def _url(self, queue: DeadLetterQueue) -> str:
        if queue.resource not in self.stack.resources:
            raise FleetUnreachable(f"Stack {self.stack.name} has no {queue.resource}; deploy this release first.")
        return self.stack.resources[queue.resource]

    def _waiting_in(self, queue: DeadLetterQueue) -> Waiting:
        sqs, url = self.stack.client("sqs"), self._url(queue)
        counted = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        with asking(f"The queue {queue.resource} could not be looked at"):
            attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(counted))["Attributes"]
            seen = sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=_BATCH,
                VisibilityTimeout=0,  # others see them as before
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["SentTimestamp"],
            ).get("Messages", [])
        sent = [int(message["Attributes"]["SentTimestamp"]) / 1000 for message in seen]
        # The count may be behind what was just seen.
        messages = max(len(seen), sum(int(attributes[name]) for name in counted))
        reasons = dict.fromkeys(reason for message in seen if (reason := reason_of(message)))
        return Waiting(queue, messages, datetime.fromtimestamp(min(sent), UTC) if sent else None, tuple(reasons))

    # --- back to a queue ---

    def _moved(self, queue: DeadLetterQueue) -> Iterator[Redriven]:
        sqs = self.stack.client("sqs")
        with asking(f"What waits in {queue.resource} could not be moved"):
            source, destination = self._arn(sqs, queue.resource), self._arn(sqs, queue.returns_to)
            # The destination is named: messages that a function or EventBridge put here itself have no queue that they
            # came from, and would stay. They are as they would have come by the queue.
            sqs.start_message_move_task(SourceArn=source, DestinationArn=destination)
            ended = False
            while not ended:
                task = sqs.list_message_move_tasks(SourceArn=source, MaxResults=1)["Results"][0]
                moved, status = task.get("ApproximateNumberOfMessagesMoved", 0), task["Status"]
                ended = status not in {"RUNNING", "CANCELLING"}
                refused = task.get("FailureReason") or ("" if status in {"COMPLETED", "RUNNING"} else status)
                yield Redriven(moved, task.get("ApproximateNumberOfMessagesToMove", moved), ended, refused)

    def _arn(self, sqs: Any, resource: str) -> str:
        url = self.stack.resources[resource]
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
        return str(attributes["QueueArn"])

    # --- back to a function ---

    def _handed_over(self, queue: DeadLetterQueue, total: int) -> Iterator[Redriven]:
        """SQS moves messages to queues only: these are given to their function one by one, and deleted when it takes
        them. What it refuses stays."""
        refusals: dict[str, None] = {}
        moved = 0
        for _ in range(total):  # no more than there were: a function may put one aside again
            refusal = self._hand_over_one(queue)
            if refusal is None:
                break
            if refusal:
                refusals[refusal] = None
            else:
                moved += 1
            yield Redriven(moved, total, ended=False, refused="; ".join(refusals))
        yield Redriven(moved, total, ended=True, refused="; ".join(refusals))

    def _hand_over_one(self, queue: DeadLetterQueue) -> str | None:
        """Returns: why it is refused; empty if it is not, `None` when nothing is left."""
        sqs, url = self.stack.client("sqs"), self._url(queue)
        with asking(f"What waits in {queue.resource} could not be given to {queue.returns_to}"):
            received = sqs.receive_message(QueueUrl=url, VisibilityTimeout=_REDRIVE_SECONDS).get("Messages", [])
            if not received:
                return None
            event = event_of(queue, received[0]["Body"])
            if event is None:
                return "A message is not a JSON object."
            # One attempt: a second one would run beside the first.
            once = Config(read_timeout=_REDRIVE_SECONDS, retries={"total_max_attempts": 1})
            function = self.stack.resources[queue.returns_to]
            answer = self.stack.client("lambda", once).invoke(FunctionName=function, Payload=json.dumps(event))
            if "FunctionError" in answer:
                return _error_message(json.loads(answer["Payload"].read()))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=received[0]["ReceiptHandle"])
        return ""


def _entries(receipts: Sequence[str], **settings: object) -> list[dict[str, object]]:
    """Of a call for several messages."""
    return [{"Id": str(place), "ReceiptHandle": receipt, **settings} for place, receipt in enumerate(receipts)]


def reason_of(message: Mapping[str, Any]) -> str:
    """Why a message is there, as far as it says: by the attributes that our functions or EventBridge have given it, or
    by the record that Lambda makes of a failed invocation; empty if it does not say.

    Source: AWS documentation, Using dead-letter queues to process undelivered events (EventBridge); Capturing records
    of Lambda asynchronous invocations.
    """
    attributes = {name: value.get("StringValue", "") for name, value in message.get("MessageAttributes", {}).items()}
    for code, text in (("Error", "Reason"), ("ERROR_CODE", "ERROR_MESSAGE")):
        if code in attributes:
            return f"{attributes[code]}: {attributes.get(text, '')}".removesuffix(": ")
    answer = _record(message["Body"]).get("responsePayload")
    return _error_message(answer) if answer is not None else ""


def event_of(queue: DeadLetterQueue, body: str) -> Mapping[str, Any] | None:
    """What the function was to be invoked with when it failed, or was not reached; `None` for what is no event."""
    record = _record(body)
    if not record:
        return None
    if "requestPayload" in record:
        payload: Mapping[str, Any] = record["requestPayload"]
        return payload
    if queue.returns_to == "RecordUsageFunction":
        # One line of a delivery, put aside by the function itself.
        logged = json.dumps({"messageType": "DATA_MESSAGE", "logEvents": [record]})
        return {"awslogs": {"data": base64.b64encode(gzip.compress(logged.encode())).decode()}}
    return record


def _record(body: str) -> dict[str, Any]:
    try:
        record = json.loads(body)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _error_message(answer: object) -> str:
    if not isinstance(answer, Mapping):
        return str(answer)
    kind, text = answer.get("errorType"), answer.get("errorMessage")
    return ": ".join(str(part) for part in (kind, text) if part) or json.dumps(answer)
