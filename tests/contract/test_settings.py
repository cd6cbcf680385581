"""Every environment variable that a function reads is set for it, and none is set that nobody reads."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest

from kbfleet import bootstrap, settings
from kbfleet.settings import EnvironmentSettings
from tests.support.template import environment, handler_code, properties, resources

FUNCTIONS = resources("AWS::Serverless::Function")
MODULES = [settings, *(import_module(name) for _, name, _ in iter_modules(settings.__path__, f"{settings.__name__}."))]


def kinds_of(kind: type[EnvironmentSettings]) -> Iterator[type[EnvironmentSettings]]:
    for each in kind.__subclasses__():
        yield from (each, *kinds_of(each))


SETTINGS: dict[str, type[EnvironmentSettings]] = {
    kind.__name__: kind for kind in kinds_of(EnvironmentSettings) if sys.modules[kind.__module__] in MODULES
}
# Source: AWS documentation, "Defined runtime environment variables" of Lambda.
BY_LAMBDA = {"AWS_REGION"}
# Source: Powertools for AWS Lambda (Python) documentation, "Environment variables".
FOR_POWERTOOLS = {"POWERTOOLS_SERVICE_NAME", "POWERTOOLS_LOG_LEVEL"}
# Source: Pydantic documentation, "Plugins".
FOR_PYDANTIC = {"PYDANTIC_DISABLE_PLUGINS"}


def names_in(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _makers() -> dict[str, ast.AST]:
    """The functions and registries of the composition root, by name."""
    body = ast.parse(Path(bootstrap.__file__).read_text("utf-8")).body
    made: dict[str, ast.AST] = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            made[node.target.id] = node
    return made


MAKERS = _makers()


def read_by_port(port: str, seen: frozenset[str] = frozenset()) -> set[str]:
    """The settings that making a port reads, also through other ports."""
    if port not in MAKERS or port in seen:
        return set()
    names = names_in(MAKERS[port])
    return (names & set(SETTINGS)).union(*(read_by_port(name, seen | {port}) for name in names))


def read_by_function(function: str) -> set[str]:
    tree = handler_code(function)
    ports = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "bootstrap"
    }
    return (names_in(tree) & set(SETTINGS)).union(*map(read_by_port, ports))


def variables(kind: str, *, required: bool = False) -> set[str]:
    fields = SETTINGS[kind].model_fields.items()
    return {field.alias or name.upper() for name, field in fields if field.is_required() or not required}


def test_the_ports_of_the_composition_root_are_understood() -> None:
    assert read_by_port("fleet") == {"FleetSettings"}
    assert read_by_port("scheduler") == {
        "FleetSettings",
        "IngestionSettings",
        "AnnouncementSettings",
        "DeletionCheckQueueSettings",
    }
    assert read_by_port("service_roles") == {"FleetSettings", "ServiceRoleSettings"}
    assert read_by_port("stores") == {"KnowledgeStoreSettings", "FleetSettings"}
    assert read_by_port("token_verifier") == {"TokenSettings"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_has_every_variable_that_it_needs(function: str) -> None:
    kinds = read_by_function(function)
    needed = set().union(*(variables(kind, required=True) for kind in kinds)) - BY_LAMBDA
    assert needed <= set(environment(function))


def test_every_variable_of_the_template_is_read_by_somebody() -> None:
    given = set().union(*(environment(function) for function in FUNCTIONS)) - FOR_POWERTOOLS - FOR_PYDANTIC
    assert given <= set().union(*map(variables, SETTINGS))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_only_some_functions_need_is_not_given_to_the_others(function: str) -> None:
    own: dict[str, Any] = properties(function).get("Environment", {}).get("Variables", {})
    read = set().union(*map(variables, read_by_function(function)))
    assert set(own) <= read


def test_every_settings_class_is_read_by_some_function() -> None:
    assert set().union(*map(read_by_function, FUNCTIONS)) == set(SETTINGS)
