"""A template's ReservedConcurrentExecutions and RecursiveLoop reach the function.

MiniStack's CloudFormation leaves both out, though its Lambda knows them: a reserved concurrency of one would not
serialise anything, and a function that may invoke itself is reported as one that may not.

On AWS they are properties of AWS::Lambda::Function, and taking one out of the template takes it off the function (AWS
documentation, CloudFormation template reference).
"""

from typing import Any

from ministack.services import lambda_svc
from ministack.services.cloudformation import provisioners

from local.stack.configuration import StackConfiguration


def apply(configuration: StackConfiguration) -> None:  # noqa: ARG001 -- every correction takes it
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    create, update = handlers["create"], handlers["update"]

    def create_with_settings(logical_id: str, properties: dict[str, Any], stack: str) -> tuple[str, dict[str, Any]]:
        return _keep(create(logical_id, properties, stack), properties)

    def update_with_settings(
        physical_id: str, old: dict[str, Any], new: dict[str, Any], *names: str
    ) -> tuple[str, dict[str, Any]]:
        return _keep(update(physical_id, old, new, *names), new)

    handlers["create"], handlers["update"] = create_with_settings, update_with_settings


def _keep(made: tuple[str, dict[str, Any]], properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    function = lambda_svc._functions[made[0]]
    reserved = properties.get("ReservedConcurrentExecutions")
    function["concurrency"] = None if reserved is None else int(reserved)
    function["recursive_loop"] = properties.get("RecursiveLoop", "Terminate")
    return made
