"""template.yaml and the state machines' definitions, as tests read them."""

from __future__ import annotations

import ast
import importlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
TEMPLATE = REPOSITORY / "template.yaml"
DEFINITIONS = REPOSITORY / "statemachine"
STATE_MACHINES = tuple(sorted(path.name.removesuffix(".asl.json") for path in DEFINITIONS.glob("*.asl.json")))


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags, which become their long forms: `!Ref X` is `{"Ref": "X"}`."""


def _intrinsic(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _intrinsic)


@cache
def template() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(TEMPLATE.read_text("utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    return loaded


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """The resources of one type, by logical id."""
    return {name: resource for name, resource in template()["Resources"].items() if resource["Type"] == kind}


def properties(logical_id: str) -> dict[str, Any]:
    found: dict[str, Any] = template()["Resources"][logical_id]["Properties"]
    return found


def function_property(logical_id: str, name: str) -> Any:
    """A function's own property, or the one that Globals give it."""
    return properties(logical_id).get(name, template()["Globals"]["Function"].get(name))


def environment(logical_id: str) -> dict[str, Any]:
    """The environment variables of a function, with those that Globals give it."""
    everywhere = template()["Globals"]["Function"]["Environment"]["Variables"]
    own = properties(logical_id).get("Environment", {}).get("Variables", {})
    return {**everywhere, **own}


def handler_place(logical_id: str) -> tuple[str, str]:
    """Where a function's handler is: the module's path in the repository without its ending, and the handler's name."""
    module, _, name = properties(logical_id)["Handler"].rpartition(".")
    return f"{properties(logical_id)['CodeUri']}{module}", name


def handler(logical_id: str) -> Callable[..., Any]:
    """A function's handler, which is imported."""
    module, name = handler_place(logical_id)
    found: Callable[..., Any] = getattr(importlib.import_module(module.replace("/", ".")), name)
    return found


def handler_code(logical_id: str) -> ast.Module:
    """What of its module a function runs: all but the handlers of other functions."""
    module, name = handler_place(logical_id)
    tree = ast.parse((REPOSITORY / f"{module}.py").read_text("utf-8"))
    places = map(handler_place, resources("AWS::Serverless::Function"))
    others = {other for place, other in places if place == module} - {name}
    tree.body = [node for node in tree.body if not (isinstance(node, ast.FunctionDef) and node.name in others)]
    return tree


def table_definition() -> dict[str, Any]:
    """The arguments of CreateTable that make the fleet's table."""
    names = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    return {name: properties("Table")[name] for name in names}


def definition_text(state_machine: str) -> str:
    return (DEFINITIONS / f"{state_machine}.asl.json").read_text("utf-8")


@cache
def definition(state_machine: str) -> dict[str, Any]:
    """A state machine's definition, with its `${…}` as they are written."""
    loaded: dict[str, Any] = json.loads(definition_text(state_machine))
    return loaded
