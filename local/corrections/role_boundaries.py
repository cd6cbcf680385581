"""A template's roles get their permissions boundary; policies see it, a role's path, and whose session calls.

MiniStack evaluates permissions boundaries, but its CloudFormation leaves out those of a template's roles. In the ARN of
a role that a call of IAM names, it leaves out the path: a permission for the roles under a path permits nothing. It
gives policies neither `iam:PermissionsBoundary` nor `iam:PolicyARN`. And `aws:PrincipalArn` is a session's own ARN
there; on AWS it is that of its role.

AWS has the first in the CloudFormation template reference (AWS::IAM::Role), the two keys and their operations in the
service authorization reference (Actions, resources, and condition keys for AWS Identity and Access Management), the
last in the IAM user guide (AWS global condition context keys).
"""

from collections.abc import Callable, Mapping
from typing import Any

from ministack.core import iam_actions, iam_evaluator, responses
from ministack.services import iam
from ministack.services.cloudformation import provisioners

from local.stack.configuration import StackConfiguration

BOUNDED = frozenset(
    f"iam:{operation}"
    for operation in (
        *("CreateRole", "DeleteRole", "GetRole", "UpdateRole", "UpdateRoleDescription", "UpdateAssumeRolePolicy"),
        *("PutRolePolicy", "DeleteRolePolicy", "AttachRolePolicy", "DetachRolePolicy"),
        *("PutRolePermissionsBoundary", "DeleteRolePermissionsBoundary"),
    )
)
"""Actions that have the condition key `iam:PermissionsBoundary`."""
_CHOOSING = frozenset({"iam:CreateRole", "iam:PutRolePermissionsBoundary"})
"""Those whose request says which boundary it is; for all others it is the one that the role has."""
_ATTACHING = frozenset({"iam:AttachRolePolicy", "iam:DetachRolePolicy"})

Parameters = Mapping[str, Any]


def apply(configuration: StackConfiguration) -> None:  # noqa: ARG001 -- every correction takes it
    request_tag_context = iam_actions.request_tag_context
    extract_resource_arn = iam_actions.extract_resource_arn
    resolve_condition_key = iam_evaluator._resolve_condition_key

    def with_roles(service: str, action: str, body: bytes, parameters: Parameters) -> dict[str, Any]:
        context: dict[str, Any] = request_tag_context(service, action, body, parameters)
        return context | _of_role(action, parameters) if service == "iam" else context

    def with_paths(service: str, method: str, path: str, headers: Any, body: bytes, *rest: Any) -> str:
        parameters: Parameters = rest[0]
        if service == "iam" and (name := _one(parameters, "RoleName")):
            return _role_arn(name, parameters)
        return str(extract_resource_arn(service, method, path, headers, body, *rest))

    def with_role_arns(key: str, context: Any) -> Any:
        if key.lower() == "aws:principalarn" and ":assumed-role/" in context.principal_arn:
            name = iam_evaluator._role_name_from_assumed_arn(context.principal_arn)
            role = iam._roles.get_scoped(context.principal_account, None, name)
            return role["Arn"] if role else context.principal_arn
        return resolve_condition_key(key, context)

    iam_actions.request_tag_context = with_roles
    iam_actions.extract_resource_arn = with_paths
    iam_evaluator._resolve_condition_key = with_role_arns
    handlers = provisioners._RESOURCE_HANDLERS["AWS::IAM::Role"]
    handlers["create"] = _with_boundary(handlers["create"], given=1)
    handlers["update"] = _with_boundary(handlers["update"], given=2)


def _with_boundary(make: Callable[..., Any], given: int) -> Callable[..., Any]:
    """Args: given: the number of the argument that holds the template's properties."""

    def make_with_boundary(*arguments: Any, **named: Any) -> Any:
        made = make(*arguments, **named)
        iam._roles[made[0]]["PermissionsBoundary"] = arguments[given].get("PermissionsBoundary")
        return made

    return make_with_boundary


def _of_role(action: str, parameters: Parameters) -> dict[str, Any]:
    found = {}
    if action in BOUNDED:
        role = iam._roles.get(_one(parameters, "RoleName")) or {}
        chosen = _one(parameters, "PermissionsBoundary") if action in _CHOOSING else role.get("PermissionsBoundary")
        if chosen:
            found["iam:PermissionsBoundary"] = chosen
    if action in _ATTACHING:
        found["iam:PolicyARN"] = _one(parameters, "PolicyArn")
    return found


def _role_arn(name: str, parameters: Parameters) -> str:
    role = iam._roles.get(name)
    path = role["Path"] if role else _one(parameters, "Path") or "/"
    return f"arn:aws:iam::{responses.get_account_id()}:role{path}{name}"


def _one(parameters: Parameters, name: str) -> str:
    value = parameters.get(name) or ""
    return str(value[0] if isinstance(value, list) else value)
