"""What of the stack costs money whether or not anybody uses it, counted in its templates and the state machine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_ROOT = Path(__file__).parents[2]
_MINUTES = {"minute": 1, "hour": 60, "day": 1440}
MONTH_MINUTES = 43_800
"""730 hours, AWS's own month."""


@dataclass(frozen=True)
class StackParts:
    """Counted in one stack.

    Args:
        alarm_metrics: metrics that alarms watch; each is paid for.
        polled_queues: queues that Lambda asks for messages, by whether they are FIFO.
        scheduled: invocations by schedules, a month.
        provisioning_states: of an execution that goes well and looks at the new knowledge base twice.
    """

    alarm_metrics: int
    dashboards: int
    secrets: int
    polled_queues: tuple[bool, ...]
    scheduled: float
    provisioning_states: int


class _Loader(yaml.SafeLoader):
    """YAML in which CloudFormation's short functions are what they are applied to."""


def _applied_to(loader: _Loader, _name: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    raise yaml.constructor.ConstructorError(None, None, "an unknown kind of node", node.start_mark)


_Loader.add_multi_constructor("!", _applied_to)


@cache
def stack_parts() -> StackParts:
    """Of this repository's templates."""
    definition = json.loads((_ROOT / "statemachine" / "provision_tenant.asl.json").read_text("utf-8"))
    return counted(_resources(_ROOT / "template.yaml"), definition)


def _resources(template: Path) -> dict[str, Mapping[str, Any]]:
    """Those of a template and of its nested applications."""
    loaded = yaml.load(template.read_text("utf-8"), _Loader)  # noqa: S506 -- a SafeLoader
    found: dict[str, Mapping[str, Any]] = loaded["Resources"]
    nested = [each for each in found.values() if each["Type"] == "AWS::Serverless::Application"]
    for application in nested:
        found |= _resources(template.parent / application["Properties"]["Location"])
    return found


def counted(resources: Mapping[str, Mapping[str, Any]], provisioning: Mapping[str, Any]) -> StackParts:
    """Args:
    resources: of the template, and of its nested applications.
    provisioning: the definition of the state machine that provisions.
    """
    kinds = [resource["Type"] for resource in resources.values()]
    return StackParts(
        alarm_metrics=sum(_alarm_metrics(each) for each in resources.values()),
        dashboards=kinds.count("AWS::CloudWatch::Dashboard"),
        secrets=sum(
            each["Type"] == "AWS::SecretsManager::Secret" and "Condition" not in each for each in resources.values()
        ),
        polled_queues=tuple(_polled_queues(resources)),
        scheduled=sum(MONTH_MINUTES / _every_minutes(event) for event in _events(resources, "ScheduleV2")),
        provisioning_states=_states_on_the_way(provisioning),
    )


def _alarm_metrics(resource: Mapping[str, Any]) -> int:
    if resource["Type"] != "AWS::CloudWatch::Alarm":
        return 0
    queries = resource["Properties"].get("Metrics", [{"MetricStat": {}}])
    return sum("MetricStat" in query for query in queries)


def _events(resources: Mapping[str, Mapping[str, Any]], kind: str) -> Iterator[Mapping[str, Any]]:
    for resource in resources.values():
        if resource["Type"] == "AWS::Serverless::Function":
            events = resource["Properties"].get("Events", {}).values()
            yield from (event["Properties"] for event in events if event["Type"] == kind)


def _polled_queues(resources: Mapping[str, Mapping[str, Any]]) -> Iterator[bool]:
    for event in _events(resources, "SQS"):
        queue = resources[event["Queue"].partition(".")[0]]
        yield bool(queue["Properties"].get("FifoQueue", False))


def _every_minutes(schedule: Mapping[str, Any]) -> int:
    expression = schedule["ScheduleExpression"]
    rate = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression)
    if rate is None:
        raise ValueError(f"{expression!r} is no rate; costs can be counted of rates only")
    return int(rate[1]) * _MINUTES[rate[2]]


def _states_on_the_way(definition: Mapping[str, Any]) -> int:
    states, name, passed = definition["States"], definition["StartAt"], 0
    waited = False
    while name:
        state, passed = states[name], passed + 1
        if state["Type"] == "Choice":
            name, waited = (state["Choices"][0]["Next"], waited) if waited else (state["Default"], True)
        else:
            name = state.get("Next")
    return passed
