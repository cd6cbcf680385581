"""Prints every alarm of the stack, in Markdown: `python tests/contract/alarm_table.py`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.template import properties, resources, template

_ENDS = re.compile(r"(?: Run `[^`]+`\.)? See docs/(runbook/([\w-]+)\.md)$")
_COMPARED = {"GreaterThanThreshold": "above", "LessThanThreshold": "below"}
_SILENCE = {"notBreaching": "is well", "breaching": "is trouble", "ignore": "changes nothing"}


def _condition(alarm: dict[str, Any]) -> str:
    threshold = alarm["Threshold"]
    if isinstance(threshold, dict):
        name = threshold["Ref"]
        threshold = f"`{name}` ({template()['Parameters'][name]['Default']:,})"
    elif threshold < 1 and alarm["Statistic"] == "Average":
        threshold = f"{threshold:.0%}"
    statistic = alarm.get("Statistic") or alarm["ExtendedStatistic"]
    of, minutes = alarm["EvaluationPeriods"], alarm["Period"] // 60
    wanted = alarm.get("DatapointsToAlarm", of)
    period = {1: "minute", 60: "hour"}.get(minutes, f"{minutes} minutes")
    when = f"in a period of one {period}" if of == 1 and minutes in {1, 60} else f"in {wanted} of {of} × {period}"
    if of == 1 and minutes not in {1, 60}:
        when = f"in {period}"
    return f"{statistic} of `{alarm['MetricName']}` {_COMPARED[alarm['ComparisonOperator']]} {threshold} {when}"


def table() -> str:
    rows = ["| alarm | what it says | it goes off | silence of the metric |", "|---|---|---|---|"]
    for name in resources("AWS::CloudWatch::Alarm"):
        alarm = properties(name)
        ends = _ENDS.search(alarm["AlarmDescription"])
        assert ends
        what = alarm["AlarmDescription"][: ends.start()]
        silence = _SILENCE[alarm["TreatMissingData"]]
        rows.append(f"| [{name.removesuffix('Alarm')}]({ends[1]}) | {what} | {_condition(alarm)} | {silence} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())  # noqa: T201 - it is what the script is for
