"""A function gets a queue's messages in batches of the size, and gathered for the time, that its mapping asks for.

MiniStack never hands over more than ten messages, and hands over whatever is there at once:
MaximumBatchingWindowInSeconds is stored and ignored.

On AWS a batch of a standard queue may have up to 10,000 messages, and Lambda gathers one until it is full or the window
is over, which begins with the first message (AWS documentation, Lambda, "Using Lambda with Amazon SQS" and "Batching
behavior"). The limit of 6 MB of a batch is left out.

A window's seconds are AWS's, and pass on the emulator's clock as all of AWS's do: else five of them would be ten
minutes beside a debounce of thirty seconds. But what is gathered comes as fast as this machine makes it, so no window
is shorter than `LEAST_WINDOW`.
"""

import time
from typing import Any

from ministack.services import lambda_svc, sqs

from local.stack.configuration import StackConfiguration

LEAST_WINDOW = 1.0
"""Seconds."""


def apply(configuration: StackConfiguration) -> None:
    def receive(queue_url: str, batch_size: int) -> list[dict[str, Any]]:
        with sqs._queues_lock:
            queue = sqs._get_q(queue_url)
            sqs._expire_retained(queue)
            sqs._dlq_sweep(queue)
            asked = _window(queue["attributes"]["QueueArn"])
            if not _gathered(queue, batch_size, asked and max(LEAST_WINDOW, asked / configuration.speed)):
                return []
            visibility = int(queue["attributes"].get("VisibilityTimeout", "30"))
            messages: list[dict[str, Any]] = sqs._collect_msgs(queue, batch_size, visibility)
            return messages

    sqs._receive_messages_for_esm = receive


def _window(queue_arn: str) -> float:
    """AWS's seconds; zero if no mapping of the queue has one."""
    mappings = (mapping for mapping in lambda_svc._esms.values() if mapping.get("EventSourceArn") == queue_arn)
    return max((float(mapping.get("MaximumBatchingWindowInSeconds") or 0) for mapping in mappings), default=0)


def _gathered(queue: dict[str, Any], batch_size: int, window: float) -> bool:
    now = time.time()
    waiting = [message["visible_at"] for message in queue["messages"] if message["visible_at"] <= now]
    return len(waiting) >= batch_size or (bool(waiting) and min(waiting) + window <= now)
