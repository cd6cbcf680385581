"""What kbfleet measures of itself: each metric is written by somebody, in one way, and shown on the dashboard."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kbfleet.metrics import DIMENSIONS, NAMESPACE, SERVICE, Metric, publish
from tests.contract.metric_table import emitters
from tests.support.template import REPOSITORY, properties, resources, template

DASHBOARD = properties("Dashboard")["DashboardBody"]["Fn::Sub"]
# Source: AWS documentation: Amazon SQS "Available CloudWatch metrics"; Lambda "Types of metrics"; Step Functions
# "Monitoring metrics using CloudWatch"; API Gateway "dimensions and metrics"; Bedrock "Monitor bedrock-runtime
# inference using CloudWatch metrics".
DOCUMENTED: dict[str, tuple[set[str], set[str]]] = {
    "AWS/SQS": ({"QueueName"}, {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"}),
    "AWS/Lambda": ({"FunctionName"}, {"Invocations", "Errors", "Throttles", "Duration"}),
    "AWS/States": (
        {"StateMachineArn"},
        {
            "ExecutionsStarted",
            "ExecutionsSucceeded",
            "ExecutionsFailed",
            "ExecutionsTimedOut",
            "ExecutionsAborted",
            "ExecutionTime",
        },
    ),
    "AWS/ApiGateway": ({"ApiName", "Stage"}, {"4XXError", "5XXError", "Count", "Latency"}),
    "AWS/Bedrock": (
        {"ModelId"},
        {
            "Invocations",
            "InvocationLatency",
            "InvocationThrottles",
            "InvocationClientErrors",
            "InvocationServerErrors",
            "InputTokenCount",
            "OutputTokenCount",
        },
    ),
}


def body(open_: str = "[", to: str = "](https://runbook.example/") -> dict[str, Any]:
    """The dashboard as CloudWatch gets it; what `Ref` and `Fn::GetAtt` give is the reference itself."""
    given = {"Open": open_, "To": to, "EveryFunction": _joined(DASHBOARD[1]["EveryFunction"])}
    # Numbers are not in quotes, and parameters that are numbers have a default.
    numbers = {
        name: str(each["Default"]) for name, each in template()["Parameters"].items() if each["Type"] == "Number"
    }

    def value(match: re.Match[str]) -> str:
        return given.get(match[1], numbers.get(match[1], match[1]))

    parsed: dict[str, Any] = json.loads(re.sub(r"\$\{([\w.:]+)\}", value, DASHBOARD[0]))
    return parsed


def _joined(node: Any) -> str:
    """Names joined as the template says, and joined anew where a parameter takes them apart."""
    if "Ref" in node:
        return str(node["Ref"])
    separator, parts = node["Fn::Join"]
    names = parts if isinstance(parts, list) else _joined(parts).split(",")
    return str(separator).join(name if isinstance(name, str) else name["Ref"] for name in names)


WIDGETS = body()["widgets"]
GRAPHS = [widget["properties"] for widget in WIDGETS if widget["type"] == "metric"]


def charted() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Namespace, name and dimensions of every metric on the dashboard."""
    for graph in GRAPHS:
        before: list[str] = []
        for metric in graph["metrics"]:
            texts = [part for part in metric if isinstance(part, str)]
            # Source: AWS documentation, Dashboard body structure and syntax: what the metric before it says, too.
            before = [*before[: len(before) - len(texts[1:])], *texts[1:]] if texts[0] == "..." else texts
            namespace, name, *dimensions = before
            yield namespace, name, dict(zip(dimensions[::2], dimensions[1::2], strict=True))


def watched() -> Iterator[tuple[str, str, dict[str, str]]]:
    """The same of every alarm."""
    for logical_id in resources("AWS::CloudWatch::Alarm"):
        alarm = properties(logical_id)
        dimensions = {each["Name"]: str(each["Value"]) for each in alarm["Dimensions"]}
        yield alarm["Namespace"], alarm["MetricName"], dimensions


class TestAMetric:
    @pytest.mark.parametrize("metric", Metric)
    def test_is_written_by_a_function_of_the_stack(self, metric: Metric) -> None:
        assert emitters()[metric]

    @pytest.mark.parametrize("metric", Metric)
    def test_is_written_with_its_unit_and_the_dimensions_that_all_have(
        self, metric: Metric, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("AWS_REGION", "ACCOUNT_ID", "STACK_NAME", "FLEET_NAME", "TABLE_NAME"):
            monkeypatch.setenv(name, "kbfleet")
        # Whatever the environment says: alarms and dashboard name these.
        monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "another")
        publish({metric: 2})
        written = json.loads(capsys.readouterr().out)
        (directive,) = written["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == NAMESPACE
        assert [set(names) for names in directive["Dimensions"]] == [set(DIMENSIONS)]
        assert directive["Metrics"] == [{"Name": metric.value, "Unit": metric.unit.value}]
        assert (written["service"], written["fleet"], written[metric.value]) == (SERVICE, "kbfleet", [2.0])

    def test_is_written_in_no_other_way(self) -> None:
        writers = {
            path.name
            for folder in ("functions", "layers/kbfleet")
            for path in (REPOSITORY / folder).rglob("*.py")
            if re.search(r"powertools\.metrics|import .*\bMetrics\b|single_metric", path.read_text("utf-8"))
        }
        assert writers == {"metrics.py"}

    def test_is_on_the_dashboard_unless_something_rare_or_an_alarm_tells_of_it(self) -> None:
        elsewhere = {
            Metric.INGESTION_JOBS_STARTED,
            Metric.INGESTION_JOBS_ENDED,  # by how they ended
            Metric.CHANGES_OF_LEAVING_TENANTS,
            Metric.USAGE_LINES_REFUSED,  # in the dead-letter queue
            Metric.CAPACITY_USED,  # an alarm
        }
        assert {name for namespace, name, _ in charted() if namespace == NAMESPACE} == set(Metric) - elsewhere


class TestWhatIsShownAndWatched:
    @pytest.mark.parametrize(("namespace", "name", "dimensions"), [*charted(), *watched()])
    def test_is_a_metric_that_somebody_writes(self, namespace: str, name: str, dimensions: dict[str, str]) -> None:
        if namespace == NAMESPACE:
            assert name in set(Metric)
            assert set(dimensions) == set(DIMENSIONS)
            assert dimensions["service"] == SERVICE
            assert dimensions["fleet"] in {"FleetName", "{'Ref': 'FleetName'}"}
        else:
            expected, names = DOCUMENTED[namespace]
            assert set(dimensions) == expected
            assert name in names

    def test_every_function_is_shown_with_its_errors_throttles_and_run_time(self) -> None:
        functions = set(resources("AWS::Serverless::Function"))
        for metric in ("Errors", "Throttles", "Duration"):
            shown = {
                dimensions["FunctionName"]
                for namespace, name, dimensions in charted()
                if (namespace, name) == ("AWS/Lambda", metric)
            }
            assert shown == functions

    def test_every_queue_is_shown(self) -> None:
        shown = {dimensions["QueueName"].split(".")[0] for _, _, dimensions in charted() if "QueueName" in dimensions}
        assert shown == set(resources("AWS::SQS::Queue"))

    def test_every_alarm_is_shown(self) -> None:
        (shown,) = (widget["properties"]["alarms"] for widget in WIDGETS if widget["type"] == "alarm")
        assert sorted(shown) == sorted(f"{name}.Arn" for name in resources("AWS::CloudWatch::Alarm"))


class TestTheDashboard:
    def test_names_no_resource_that_is_not_there(self) -> None:
        known = set(template()["Resources"]) | set(template()["Parameters"]) | set(DASHBOARD[1])
        named = {name.split(".")[0] for name in re.findall(r"\$\{([\w.]+)\}", DASHBOARD[0])}
        assert named <= known

    def test_names_what_is_made_under_a_condition_only_under_that_condition(self) -> None:
        conditional = {name for name, resource in template()["Resources"].items() if "Condition" in resource}
        assert not {name for name in re.findall(r"\$\{(\w+)", DASHBOARD[0]) if name in conditional}

    def test_shows_figures_and_our_own_words_only(self) -> None:
        """A widget of logs would show what others have written."""
        assert {widget["type"] for widget in WIDGETS} <= {"alarm", "metric", "text"}

    def test_leaves_no_two_widgets_in_one_place(self) -> None:
        # Source: AWS documentation, Dashboard body structure and syntax: the grid is 24 units wide.
        taken: set[tuple[int, int]] = set()
        for widget in WIDGETS:
            x, y, width, height = (widget[name] for name in ("x", "y", "width", "height"))
            assert x + width <= 24
            cells = {(x + i, y + j) for i in range(width) for j in range(height)}
            assert not cells & taken
            taken |= cells

    def test_tells_what_every_graph_shows(self) -> None:
        for graph in GRAPHS:
            assert graph["title"]
            # Without a label it is what the metrics of a graph differ in: here, the names of functions.
            named = [metric for metric in graph["metrics"] if isinstance(metric[-1], dict)]
            assert len(named) == len(graph["metrics"]) or graph["metrics"][0][2] == "FunctionName"
            assert all(metric[-1]["label"] for metric in named)

    @pytest.mark.parametrize(("open_", "to"), [("[", "](https://runbook.example/"), ("", " (docs/runbook/")])
    def test_leads_to_pages_of_the_runbook_that_are_there(self, open_: str, to: str) -> None:
        texts = [each["properties"]["markdown"] for each in body(open_, to)["widgets"] if each["type"] == "text"]
        pages = [page for text in texts for page in re.findall(re.escape(to) + r"([\w-]+\.md)\)", text)]
        assert len(pages) >= 15
        missing = [page for page in pages if not Path(REPOSITORY, "docs", "runbook", page).is_file()]
        assert not missing
