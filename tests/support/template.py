"""template.yaml and the state machines' definitions, as tests read them.

What a nested application holds is read as if it stood in template.yaml itself.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
TEMPLATE = REPOSITORY / "template.yaml"
MONITORING = REPOSITORY / "monitoring" / "template.yaml"
TEMPLATES = (TEMPLATE, MONITORING)
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


def read(path: str) -> dict[str, Any]:
    """A template as it is written, by its path in the repository."""
    loaded: dict[str, Any] = yaml.load((REPOSITORY / path).read_text("utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    return loaded


@cache
def template() -> dict[str, Any]:
    return expanded("template.yaml", read)


def expanded(path: str, read: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """The template at `path`, with conditions and resources of its nested applications among its own.

    A reference to a parameter of a nested application becomes what the parameter is given, one to an output what the
    output is.
    """
    whole = read(path)
    for name, resource in list(whole["Resources"].items()):
        if resource["Type"] != "AWS::Serverless::Application":
            continue
        del whole["Resources"][name]
        location = str(PurePosixPath(path).parent / resource["Properties"]["Location"])
        nested = _with(expanded(location, read), resource["Properties"].get("Parameters", {}))
        outputs = {f"{name}.Outputs.{key}": output["Value"] for key, output in nested.get("Outputs", {}).items()}
        whole = _with(whole, outputs)
        for section in ("Conditions", "Resources"):
            own, added = whole.setdefault(section, {}), nested.get(section, {})
            assert not own.keys() & added.keys(), f"{own.keys() & added.keys()} are in {path} and in {location}"
            own |= added
    return whole


def _with(value: Any, meant: Mapping[str, Any]) -> Any:
    """The value, each reference to a name in `meant` replaced by what is meant by it."""
    if isinstance(value, list):
        return [_with(item, meant) for item in value]
    if not isinstance(value, Mapping):
        return value
    if (name := _reference(value)) in meant:
        return meant[str(name)]
    if "Fn::Sub" in value:
        return {"Fn::Sub": _sub(value["Fn::Sub"], meant)}
    return {key: _with(item, meant) for key, item in value.items()}


def _sub(argument: Any, meant: Mapping[str, Any]) -> Any:
    text, own = (argument, None) if isinstance(argument, str) else argument
    known = {name: said for name, value in meant.items() if (said := _reference(value)) and name not in (own or {})}
    text = re.sub(r"\$\{([\w.:]+)\}", lambda match: f"${{{known.get(match[1], match[1])}}}", text)
    return text if own is None else [text, _with(own, meant)]


def _reference(value: Any) -> str | None:
    """What `Fn::Sub` calls that which a `Ref` or a `Fn::GetAtt` refers to."""
    if not isinstance(value, Mapping) or len(value) != 1:
        return None
    ((function, argument),) = value.items()
    if function == "Fn::GetAtt" and isinstance(argument, list):
        return ".".join(argument)
    return argument if function in {"Ref", "Fn::GetAtt"} else None


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
