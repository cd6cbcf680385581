"""Counts ticks, and sends the next one as long as it should."""

import os
import time
from typing import Any

import boto3

table = boto3.resource("dynamodb").Table(os.environ["TABLE"])
sqs = boto3.client("sqs")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    for record in event["Records"]:
        left = int(record["body"])
        table.update_item(
            Key={"PK": "TICKS", "SK": "COUNT"},
            UpdateExpression="ADD ticks :one",
            ExpressionAttributeValues={":one": 1},
        )
        if left > 1:
            sqs.send_message(
                QueueUrl=os.environ["TICKS"],
                MessageBody=str(left - 1),
                MessageGroupId="ticks",
                MessageDeduplicationId=str(int(time.time())),
            )
    return {"batchItemFailures": []}
