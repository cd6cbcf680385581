"""Carries what the emulator's knowledge bases log to the log groups that deliveries in MiniStack name.

MiniStack keeps deliveries and delivers nothing, since nothing in it logs; its own subscription filters do the rest.
"""

import json
from collections.abc import Iterator
from typing import Any

from ministack.services import cloudwatch_logs


def carry(arn: str, records: list[dict[str, Any]]) -> None:
    """Writes a knowledge base's records into every log group that its log is delivered to, if any."""
    stream = arn.rpartition("/")[2]
    for group in _log_groups(arn):
        if stream not in cloudwatch_logs._log_groups[group]["streams"]:
            cloudwatch_logs._create_log_stream({"logGroupName": group, "logStreamName": stream})
        events = [
            {"timestamp": record["event_timestamp"], "message": json.dumps(record, ensure_ascii=False)}
            for record in records
        ]
        cloudwatch_logs._put_log_events({"logGroupName": group, "logStreamName": stream, "logEvents": events})


def _log_groups(arn: str) -> Iterator[str]:
    destinations = {made["arn"]: made for made in cloudwatch_logs._delivery_destinations.values()}
    for delivery in list(cloudwatch_logs._deliveries.values()):
        source = cloudwatch_logs._delivery_sources.get(delivery["deliverySourceName"])
        destination = destinations.get(delivery["deliveryDestinationArn"])
        if source is None or destination is None or arn not in source["resourceArns"]:
            continue
        target = destination["deliveryDestinationConfiguration"]["destinationResourceArn"]
        group = target.partition(":log-group:")[2].removesuffix(":*")
        if group in cloudwatch_logs._log_groups:
            yield group
