"""Alarms go off, and back, as time goes by, and EventBridge learns of it.

MiniStack looks at an alarm only when somebody puts metric data, takes every metric of its name for the alarm's,
whatever the dimensions, and never sees that data is missing. Nothing counts what queues hold, nothing reads metrics
that functions log, and EventBridge hears of no change.

CloudWatch evaluates every minute, over the metric that the alarm names, and treats missing data as the alarm says; it
looks two periods further back than it must, and takes what it finds there before it takes data for missing ("Using
Amazon CloudWatch alarms" and "Configuring how CloudWatch alarms treat missing data", Amazon CloudWatch user guide; how
far back is inferred from the tables there). Each change of state is an event ("Alarm events and EventBridge"). Amazon
SQS says every minute how many messages of a queue are visible ("Available CloudWatch metrics for Amazon SQS"), and
metrics are taken out of log events ("Specification: Embedded metric format").

A minute of CloudWatch's is shorter by the stack's speed. It ends when the stack gets to it: a busy machine loses none.
Alarms on expressions, and the states of alarms that are made of others, are left to MiniStack.
"""

import asyncio
import json
import operator
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from ministack.services import cloudwatch, cloudwatch_logs, eventbridge, sqs

from local.stack.configuration import StackConfiguration

Alarm = dict[str, Any]
_MINUTE = 60
_LONGEST = 24 * 60
"""Minutes that an alarm looks back on at most: a day (PutMetricAlarm, EvaluationPeriods)."""
_FURTHER_BACK = 2
_QUEUE_METRIC = ("AWS/SQS", "ApproximateNumberOfMessagesVisible")
_COMPARISONS: Mapping[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}
_watching: set[asyncio.Task[None]] = set()
"""Kept, because the event loop keeps no task alive."""


def apply(configuration: StackConfiguration) -> None:
    """In a running event loop, which is the one that serves."""
    # When each minute ended, by the machine's clock.
    ends = deque([time.time()], maxlen=_LONGEST + 1)

    def evaluate(alarm: Alarm) -> None:
        if alarm.get("MetricName") and alarm.get("ComparisonOperator") in _COMPARISONS:
            _evaluate(alarm, ends)

    async def watch() -> None:
        while True:
            await asyncio.sleep(_MINUTE / configuration.speed)
            _count_messages()
            ends.append(time.time())
            # What happens meanwhile may add or remove one.
            for alarm in list(cloudwatch._alarms.values()):
                evaluate(alarm)

    run_actions, put_log_events = cloudwatch._dispatch_alarm_actions, cloudwatch_logs._append_log_events

    def act(alarm: Alarm, old_state: str, new_state: str, reason: str) -> None:
        run_actions(alarm, old_state, new_state, reason)
        _announce(alarm, old_state, new_state, reason)

    def append_log_events(stream: Any, events: Any) -> None:
        put_log_events(stream, events)
        for event in events:
            _take_metrics_out(str(event["message"]))

    cloudwatch._evaluate_alarm = evaluate
    cloudwatch._dispatch_alarm_actions = act
    cloudwatch_logs._append_log_events = append_log_events
    task = asyncio.get_running_loop().create_task(watch())
    _watching.add(task)


# --- where metrics come from ---


def _count_messages() -> None:
    now = time.time()
    for queue in list(sqs._queues.values()):
        visible = sum(message["visible_at"] <= now for message in list(queue["messages"]))
        _record(*_QUEUE_METRIC, {"QueueName": queue["name"]}, visible, "Count")


def _take_metrics_out(line: str) -> None:
    """Records what a line in the embedded metric format holds, if it is one."""
    if '"CloudWatchMetrics"' not in line:
        return
    try:
        root = json.loads(line)
        directives = root["_aws"]["CloudWatchMetrics"]
    except (ValueError, KeyError, TypeError):
        return  # is no such line, and stays what it is: a line of a log
    for directive in directives:
        for names in directive["Dimensions"]:
            dimensions = {name: str(root[name]) for name in names}
            for metric in directive["Metrics"]:
                values = root[metric["Name"]]
                for value in values if isinstance(values, list) else [values]:
                    _record(directive["Namespace"], metric["Name"], dimensions, value, metric.get("Unit", "None"))


def _record(namespace: str, name: str, dimensions: dict[str, str], value: float, unit: str) -> None:
    cloudwatch.record_metric(namespace, name, value, unit, dimensions)
    # A stack that is kept running for days must not grow by what no alarm can see any more.
    del cloudwatch._metrics[_key(namespace, name, dimensions)][: -10 * _LONGEST]


def _key(namespace: str, name: str, dimensions: dict[str, str]) -> tuple[str, str, str]:
    return namespace, name, cloudwatch._dims_key(dimensions)


# --- what state an alarm is in ---


def _evaluate(alarm: Alarm, ends: deque[float]) -> None:
    old_state = alarm["StateValue"]
    new_state, reason = _state(alarm, list(_data(alarm, ends)))
    if new_state == old_state:
        return
    alarm |= {"StateValue": new_state, "StateReason": reason, "StateUpdatedTimestamp": int(time.time())}
    cloudwatch._record_history(alarm["AlarmName"], old_state, new_state, reason)
    cloudwatch._dispatch_alarm_actions(alarm, old_state, new_state, reason)
    cloudwatch._evaluate_parent_alarms(alarm)


def _data(alarm: Alarm, ends: deque[float]) -> Iterator[float | None]:
    """The alarm's statistic in each period that it looks at, the newest first; `None` where there is no data."""
    dimensions = cloudwatch._dims_from_list(alarm.get("Dimensions") or [])
    minutes = max(1, int(alarm.get("Period", _MINUTE)) // _MINUTE)
    periods = int(alarm.get("EvaluationPeriods", 1)) + _FURTHER_BACK
    statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average"
    borders = list(ends)[::-minutes][: periods + 1]
    points = cloudwatch._metrics.get(_key(alarm["Namespace"], alarm["MetricName"], dimensions)) or []
    recent = [point for point in list(points) if point["Timestamp"] > borders[-1]]
    for end, begin in pairwise(borders):
        inside = [point for point in recent if begin < point["Timestamp"] <= end]
        yield cloudwatch._stat_value(cloudwatch._calc_stats(inside), statistic, inside) if inside else None


def _state(alarm: Alarm, data: list[float | None]) -> tuple[str, str]:
    """The state that follows from the data, the newest first, and its reason in CloudWatch's words."""
    wanted = int(alarm.get("EvaluationPeriods", 1))
    breaches, words = _COMPARISONS[alarm["ComparisonOperator"]]
    there = [value for value in data if value is not None][:wanted]
    missing, treatment = wanted - len(there), alarm.get("TreatMissingData") or "missing"
    if not there and treatment == "ignore":
        return alarm["StateValue"], ""
    if not there and treatment == "missing":
        return "INSUFFICIENT_DATA", f"Insufficient Data: {_counted(missing, 'datapoint')} were unknown."
    breaching = [value for value in there if breaches(value, alarm["Threshold"])]
    count = len(breaching) + (missing if treatment == "breaching" else 0)
    rings = count >= int(alarm.get("DatapointsToAlarm") or wanted)
    if there:
        shown = breaching if rings and breaching else there
        values = ", ".join(str(float(value)) for value in shown)
        verb = ("was" if len(shown) == 1 else "were") + ("" if rings else " not")
        reason = f"{_counted(len(shown), 'datapoint')} [{values}] {verb} {words} the threshold ({alarm['Threshold']})"
    else:
        treated = "Breaching" if treatment == "breaching" else "NonBreaching"
        periods, unknown = _counted(missing, "period"), _counted(missing, "missing datapoint")
        were = "was" if missing == 1 else "were"
        reason = f"no datapoints were received for {periods} and {unknown} {were} treated as [{treated}]"
    return ("ALARM" if rings else "OK"), f"Threshold Crossed: {reason}."


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


# --- what others hear of it ---


def _announce(alarm: Alarm, old_state: str, new_state: str, reason: str) -> None:
    now = datetime.now(UTC)
    detail = {
        "alarmName": alarm["AlarmName"],
        "state": {"value": new_state, "reason": reason, "timestamp": _timestamp(now)},
        "previousState": {"value": old_state},
        "configuration": {"description": alarm.get("AlarmDescription") or "", **_configuration(alarm)},
    }
    entry = {
        "Source": "aws.cloudwatch",
        "DetailType": "CloudWatch Alarm State Change",
        "Resources": [alarm["AlarmArn"]],
        "Detail": json.dumps(detail),
    }
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def _configuration(alarm: Alarm) -> dict[str, Any]:
    if "MetricName" not in alarm:
        return {"alarmRule": alarm.get("AlarmRule", "")}
    metric = {
        "namespace": alarm.get("Namespace"),
        "name": alarm["MetricName"],
        "dimensions": cloudwatch._dims_from_list(alarm.get("Dimensions") or []),
    }
    statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic")
    read = {"metric": metric, "period": alarm.get("Period"), "stat": statistic}
    return {"metrics": [{"id": "m1", "metricStat": read, "returnData": True}]}


def _timestamp(time_: datetime) -> str:
    return f"{time_:%Y-%m-%dT%H:%M:%S}.{time_.microsecond // 1000:03d}+0000"
