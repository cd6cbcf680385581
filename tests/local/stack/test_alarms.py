"""Alarms go off and back by themselves, and EventBridge hears of it."""

import json
from typing import Any
from uuid import uuid4

import pytest

LOGS_A_METRIC = """
import json
def handler(event, context):
    directive = {"Namespace": "shop", "Dimensions": [["fleet"]], "Metrics": [{"Name": "Waiting", "Unit": "Seconds"}]}
    print(json.dumps({"_aws": {"Timestamp": 0, "CloudWatchMetrics": [directive]}, "fleet": event, "Waiting": [7.0]}))
"""


@pytest.fixture
def states(aws: Any) -> Any:
    """The states of an alarm that EventBridge reports, in their order: the queue to receive them from."""
    queue, rule = aws.make_queue(), f"alarms-{uuid4().hex[:8]}"

    def of(alarm: str) -> str:
        pattern = {"source": ["aws.cloudwatch"], "detail": {"alarmName": [alarm], "state": {"value": ["ALARM", "OK"]}}}
        aws.client("events").put_rule(Name=rule, EventPattern=json.dumps(pattern))
        target = {"Id": "queue", "Arn": aws.queue_arn(queue), "InputPath": "$.detail"}
        aws.client("events").put_targets(Rule=rule, Targets=[target])
        return str(queue)

    return of


def make_alarm(aws: Any, namespace: str, metric: str, **changes: Any) -> str:
    name = f"alarm-{uuid4().hex[:8]}"
    settings = {
        "Statistic": "Maximum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 0,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }
    aws.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        AlarmDescription="Look. See docs/page.md",
        Namespace=namespace,
        MetricName=metric,
        **settings | changes,
    )
    return name


def state(aws: Any, alarm: str) -> str:
    [found] = aws.client("cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
    return str(found["StateValue"])


def test_an_alarm_goes_off_while_its_queue_holds_a_message(aws: Any, states: Any) -> None:
    queue = aws.make_queue()
    dimensions = [{"Name": "QueueName", "Value": queue.rpartition("/")[2]}]
    alarm = make_alarm(aws, "AWS/SQS", "ApproximateNumberOfMessagesVisible", Dimensions=dimensions)
    reported = states(alarm)
    aws.client("sqs").send_message(QueueUrl=queue, MessageBody="dead letter")
    seen: list[dict[str, Any]] = []
    while not seen or seen[-1]["state"]["value"] != "ALARM":
        seen += map(json.loads, aws.receive(reported))
    assert "1 datapoint [1.0] was greater than the threshold" in seen[-1]["state"]["reason"]
    assert seen[-1]["configuration"]["description"] == "Look. See docs/page.md"
    assert seen[-1]["previousState"]["value"] in {"OK", "INSUFFICIENT_DATA"}
    aws.client("sqs").purge_queue(QueueUrl=queue)
    [over] = aws.receive(reported)
    assert json.loads(over)["state"]["value"] == "OK"


def test_a_metric_that_a_function_logs_sets_off_the_alarm_on_its_dimensions_only(aws: Any, eventually: Any) -> None:
    fleet = f"fleet-{uuid4().hex[:8]}"
    function = aws.make_function(LOGS_A_METRIC)
    long = {"Period": 300, "TreatMissingData": "missing"}
    own = make_alarm(aws, "shop", "Waiting", Dimensions=[{"Name": "fleet", "Value": fleet}], **long)
    foreign = make_alarm(aws, "shop", "Waiting", Dimensions=[{"Name": "fleet", "Value": "another"}], **long)
    aws.invoke(function, fleet)
    eventually(lambda: state(aws, own) == "ALARM")
    assert state(aws, foreign) == "INSUFFICIENT_DATA"


@pytest.mark.parametrize(("treatment", "expected"), [("notBreaching", "OK"), ("breaching", "ALARM")])
def test_missing_data_is_treated_as_the_alarm_says(aws: Any, eventually: Any, treatment: str, expected: str) -> None:
    alarm = make_alarm(aws, "shop", "NeverPublished", TreatMissingData=treatment)
    eventually(lambda: state(aws, alarm) == expected)
