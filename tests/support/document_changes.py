"""S3's events about changes in tenants' buckets, and the batches in which a function gets it from its queue."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any


def s3_event(bucket: str, *, deleted: bool = False, key: str = "handbook.md") -> dict[str, Any]:
    """Of the shape in AWS documentation, Amazon S3, EventBridge event message structure."""
    reason = (
        {"reason": "DeleteObject", "deletion-type": "Delete Marker Created"} if deleted else {"reason": "PutObject"}
    )
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Deleted" if deleted else "Object Created",
        "source": "aws.s3",
        "account": "123456789012",
        "time": "2026-11-02T09:00:00Z",
        "region": "us-east-1",
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {"key": key, "etag": "b1946ac92492d2347c6235b4d2611184", "sequencer": "00617F08299329D189"},
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "192.0.2.7",
            **reason,
        },
    }


def sqs_batch(bodies: Iterable[str]) -> dict[str, Any]:
    """Messages with the ids `0`, `1`, …"""
    return {
        "Records": [
            {
                "messageId": str(number),
                "receiptHandle": f"receipt-{number}",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:changes",
                "awsRegion": "us-east-1",
            }
            for number, body in enumerate(bodies)
        ]
    }


def change_message(bucket: str, *, deleted: bool = False, key: str = "handbook.md") -> str:
    return json.dumps(s3_event(bucket, deleted=deleted, key=key))
