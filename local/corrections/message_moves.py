"""SQS can move messages out of a dead-letter queue.

MiniStack knows none of StartMessageMoveTask, ListMessageMoveTasks and CancelMessageMoveTask.

AWS moves what a dead-letter queue holds to a given queue or, by default, to the queues that the messages came from;
only a queue that is the dead-letter queue of another one can be the source (AWS documentation, Amazon SQS API
reference, StartMessageMoveTask). Here a task has moved everything by the time it is answered: there is never one to
cancel, and the rate that may be asked for has no effect.
"""

import json
import time
import uuid
from typing import Any

from ministack.services import sqs

from local.stack.configuration import StackConfiguration

LIST_LIMIT = 10


def apply(configuration: StackConfiguration) -> None:  # noqa: ARG001 -- every correction takes it
    tasks: dict[str, list[dict[str, Any]]] = {}

    def start(request: dict[str, Any], _queue_url: str) -> dict[str, Any]:
        source = _dead_letter_queue(request["SourceArn"])
        moved = _move(source, request.get("DestinationArn"))
        task = {
            "Status": "COMPLETED",
            "SourceArn": request["SourceArn"],
            "ApproximateNumberOfMessagesMoved": moved,
            "ApproximateNumberOfMessagesToMove": moved,
            "StartedTimestamp": int(time.time() * 1000),
        }
        if "DestinationArn" in request:
            task["DestinationArn"] = request["DestinationArn"]
        tasks.setdefault(request["SourceArn"], []).insert(0, task)
        return {"TaskHandle": str(uuid.uuid4())}

    def list_tasks(request: dict[str, Any], _queue_url: str) -> dict[str, Any]:
        _existing_queue(request["SourceArn"], "SourceArn")
        wanted = min(int(request.get("MaxResults", 1)), LIST_LIMIT)
        return {"Results": tasks.get(request["SourceArn"], [])[:wanted]}

    def cancel(_request: dict[str, Any], _queue_url: str) -> dict[str, Any]:
        raise sqs._Err("ResourceNotFoundException", "Task does not exist or is not running.", 404)

    sqs._HANDLERS.update(
        {"StartMessageMoveTask": start, "ListMessageMoveTasks": list_tasks, "CancelMessageMoveTask": cancel}
    )


def _existing_queue(arn: str, parameter: str) -> dict[str, Any]:
    queue: dict[str, Any] | None = sqs._queue_by_arn(arn)
    if queue is None:
        message = f"The resource that you specified for the {parameter} parameter doesn't exist."
        raise sqs._Err("ResourceNotFoundException", message, 404)
    return queue


def _dead_letter_queue(arn: str) -> dict[str, Any]:
    queue = _existing_queue(arn, "SourceArn")
    policies = (other["attributes"].get("RedrivePolicy") for other in sqs._queues.values())
    if not any(json.loads(policy).get("deadLetterTargetArn") == arn for policy in policies if policy):
        raise sqs._Err("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.", 400)
    return queue


def _move(source: dict[str, Any], destination_arn: str | None) -> int:
    fixed_destination = destination_arn and _existing_queue(destination_arn, "DestinationArn")
    now = time.time()
    kept: list[dict[str, Any]] = []
    moved = 0
    for message in source["messages"]:
        system_attributes = dict(message["sys"])
        origin = system_attributes.pop("DeadLetterQueueSourceArn", "")
        destination = fixed_destination or sqs._queue_by_arn(origin)
        if destination is None or message["visible_at"] > now:
            kept.append(message)
            continue
        begun_anew = {"receipt_handle": None, "receive_count": 0, "first_receive_at": None, "visible_at": now}
        destination["messages"].append({**message, **begun_anew, "sys": system_attributes})
        moved += 1
    source["messages"] = kept
    # Event source mappings look for messages when this is set.
    sqs.esm_wake.set()
    return moved
