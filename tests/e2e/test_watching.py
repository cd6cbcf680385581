"""The deployed dashboard and alarms, with the names that things have once they are made."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from local import deployment

if TYPE_CHECKING:
    from local.stack.configuration import StackConfiguration

pytestmark = [pytest.mark.local_stack, pytest.mark.timeout(900)]


DASHBOARD = f"{deployment.STACK_NAME}-monitoring"


def test_the_dashboard_shows_every_alarm_and_only_metrics_of_what_there_is(configuration: StackConfiguration) -> None:
    cloudwatch = deployment.client(configuration, "cloudwatch")
    written = cloudwatch.get_dashboard(DashboardName=DASHBOARD)["DashboardBody"]
    assert "${" not in written
    widgets = json.loads(written)["widgets"]
    pages = cloudwatch.get_paginator("describe_alarms").paginate()
    alarms = {alarm["AlarmArn"] for page in pages for alarm in page["MetricAlarms"]}
    (shown,) = (widget["properties"]["alarms"] for widget in widgets if widget["type"] == "alarm")
    assert set(shown) == alarms

    functions = {
        function["FunctionName"]
        for page in deployment.client(configuration, "lambda").get_paginator("list_functions").paginate()
        for function in page["Functions"]
    }
    queues = {url.rpartition("/")[2] for url in deployment.client(configuration, "sqs").list_queues()["QueueUrls"]}
    named: dict[str, set[str]] = {"FunctionName": set(), "QueueName": set()}
    for widget in widgets:
        texts: list[str] = []
        for metric in widget["properties"].get("metrics", ()):
            said = [part for part in metric if isinstance(part, str)]
            texts = [*texts[:-1], said[1]] if said[0] == "..." else said
            for name, value in zip(texts[2::2], texts[3::2], strict=True):
                named.setdefault(name, set()).add(value)
    assert named["FunctionName"] == {name for name in functions if name.startswith(f"{deployment.STACK_NAME}-")}
    assert named["QueueName"] <= queues


def test_without_an_address_of_the_runbook_the_dashboard_names_its_places(configuration: StackConfiguration) -> None:
    cloudwatch = deployment.client(configuration, "cloudwatch")
    widgets = json.loads(cloudwatch.get_dashboard(DashboardName=DASHBOARD)["DashboardBody"])["widgets"]
    texts = " ".join(widget["properties"]["markdown"] for widget in widgets if widget["type"] == "text")
    assert re.search(r"Queues stuck \(docs/runbook/queues-stuck\.md\)", texts)
    assert "](" not in texts
