"""What the calls of functions need to be permitted.

A call's HTTP request is mapped to IAM actions and resources by MiniStack, which does so to authorize it; what it does
not know is here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.awsrequest import AWSPreparedRequest
from ministack.core import iam_actions, router
from moto.iam.models import iam_backends

from bedrock_emulator import IamRoles
from bedrock_emulator.world.authority import RoleSession
from local.corrections.policy_conditions import item_conditions
from local.stack import bedrock_permissions
from tests.support import aws
from tests.support.aws_calls import Call
from tests.support.granted_permissions import (
    NO_RESOURCE,
    OPENER_ROLE,
    READER_ROLE,
    REMOVER_ROLE,
    SEARCHER_ROLE,
    SERVICE_ROLE,
    Need,
    Permissions,
    listed,
)
from tests.support.virtual_fleet import VirtualFleet

_ASSUMED_BY = {
    "ReconcileFunction": SEARCHER_ROLE,
    "DocumentsFunction": REMOVER_ROLE,
    "LinksFunction": OPENER_ROLE,
}
"""Whichever function is not named here assumes the other one."""

_NAMES_AT_MINISTACK = {"stepfunctions": "states"}
Context = Mapping[str, str | list[str]]


class NeededPermissions:
    """Collects what the functions of a world need, call by call, and what Bedrock needs of the service role."""

    def __init__(self, fleet: VirtualFleet) -> None:
        self.found: dict[Need, str] = {}
        """With the first call that needed it."""
        self._fleet = fleet
        self._permissions = Permissions(fleet.deployment)

    @contextmanager
    def collected(self) -> Iterator[None]:
        """While this lasts."""
        self._fleet.calls.request_observers.append(self._note)
        account = self._fleet.emulator._account  # the emulator asks nobody for roles, unless it is given an authority
        with _taught(), patch.object(account, "authority", _Authority(self)):
            yield
        self._fleet.calls.request_observers.remove(self._note)

    def of_a_service_role(self, action: str, resource: str) -> bool:
        """Notes that Bedrock needs it. Returns: whether the most that a service role may has it: what it has not is a
        wall, and whoever should have come through it would have failed."""
        account = self._fleet.deployment.account
        need = Need(SERVICE_ROLE, action, resource, (("aws:resourceaccount", (account,)),))
        if not self._permissions.allow(need):
            return False
        self.found.setdefault(need, "Bedrock")
        return True

    @property
    def shared_role(self) -> str:
        return str(self._fleet.deployment.value({"Fn::GetAtt": "KnowledgeBaseRole.Arn"}))

    # --- calls ---

    def _note(self, call: Call, parameters: Mapping[str, Any], request: AWSPreparedRequest) -> None:
        who = _ASSUMED_BY.get(call.function, READER_ROLE) if call.assumed else call.function
        for action, resource, context in self._needs(call, parameters, request):
            values = {key.lower(): tuple(listed(value)) for key, value in context.items()}
            self.found.setdefault(Need(who, action, resource, tuple(sorted(values.items()))), str(call))

    def _needs(
        self, call: Call, parameters: Mapping[str, Any], request: AWSPreparedRequest
    ) -> Iterator[tuple[str, str, Context]]:
        service = _NAMES_AT_MINISTACK.get(call.service, call.service)
        url = urlsplit(str(request.url))
        path, query = url.path, parse_qs(url.query, keep_blank_values=True)
        body = _bytes(request.body)
        headers = {name.lower(): _text(value) for name, value in request.headers.items()}
        if "Bucket" in parameters and not path.startswith(f"/{parameters['Bucket']}"):
            path = f"/{parameters['Bucket']}{path}"  # the bucket is in the name of the host
        where = (self._fleet.deployment.region, self._fleet.deployment.account)
        if call.operation == "DeleteObjects":
            # Source: service authorization reference, Amazon S3. MiniStack asks for DeleteObject on the first one, also
            # when a version of it is deleted.
            for each in parameters["Delete"]["Objects"]:
                action = "s3:DeleteObjectVersion" if "VersionId" in each else "s3:DeleteObject"
                yield action, f"arn:aws:s3:::{parameters['Bucket']}/{each['Key']}", {}
            return
        action = iam_actions.extract_iam_action(service, request.method, path, headers, body, query)
        if service == "iam":
            yield from _of_iam(call.operation, parameters, where[1])
            return
        if transacted := iam_actions.dynamodb_transaction_checks(action, body, *where):
            # Each item needs what it would need by itself. Source: AWS documentation, Using IAM with DynamoDB
            # transactions.
            for (each, table), item in zip(transacted, parameters["TransactItems"], strict=True):
                ((_, written),) = item.items()
                yield each, table, _conditions(each, written)
            return
        if action is None:
            raise NotImplementedError(f"which permission does {call} need?")
        resources = self._resources(service, str(request.method), path, headers, body, query)
        for resource in resources:
            yield action, resource, {**_conditions(action, parameters), "aws:ResourceAccount": where[1]}
        if service == "s3":
            for further, resource in iam_actions.s3_additional_checks(request.method, path, headers, body, query):
                yield further, resource, {}
        for further, resource in bedrock_permissions._further_permissions(action, path, body, *where):
            yield further, resource, bedrock_permissions.context_of(further)

    def _resources(
        self, service: str, method: str, path: str, headers: Mapping[str, str], body: bytes, query: Any
    ) -> list[str]:
        where = (self._fleet.deployment.region, self._fleet.deployment.account)
        members = json.loads(body) if body.startswith(b"{") else {}
        match service:
            case "dynamodb":
                return list(iam_actions.dynamodb_resource_arns(body, *where))
            case "events":
                return list(iam_actions.eventbridge_resource_arns(body, *where))
            case "bedrock-agent":
                return [_knowledge_base(path, *where)]
            case "bedrock-agent-runtime" if path.startswith("/knowledgebases/"):
                return [_knowledge_base(path, *where)]
            case "sts":
                return parse_qs(body.decode())["RoleArn"]
            case "bedrock-agent-runtime" | "opensearchserverless":
                return [NO_RESOURCE]  # their other permissions are those that have resources
            case "s3" if path == "/":
                return [NO_RESOURCE]  # ListAllMyBuckets
            case "states" if "taskToken" in members:
                return [self._machine_of(members["taskToken"])]
            case _:
                return [str(iam_actions.extract_resource_arn(service, method, path, headers, body, query, *where))]

    def _machine_of(self, token: str) -> str:
        name = token.rpartition("/")[0]
        (machine,) = {each.machine for each in self._fleet.step_functions.executions.values() if each.name == name}
        return machine


class _Authority:
    """`bedrock_emulator.world.authority.Authority`: the shared role may what the most of a service role may; a tenant's
    own, what its policies say besides."""

    def __init__(self, needed: NeededPermissions) -> None:
        self._needed = needed

    def assume(self, role_arn: str, source_arn: str, source_account: str) -> RoleSession | None:
        if role_arn == self._needed.shared_role:
            return _Session(self._needed, None)
        own = IamRoles(aws.client("iam")).assume(role_arn, source_arn, source_account)
        return _Session(self._needed, own) if own is not None else None


class _Session:
    def __init__(self, needed: NeededPermissions, own: RoleSession | None) -> None:
        self._needed = needed
        self._own = own

    def may(self, action: str, resource: str, conditions: Mapping[str, str]) -> bool:
        bounded = self._needed.of_a_service_role(action, resource)
        return bounded and (self._own is None or self._own.may(action, resource, conditions))


_BOUNDED = {
    "CreateRole",
    "DeleteRole",
    "PutRolePolicy",
    "DeleteRolePolicy",
    "DetachRolePolicy",
    "PutRolePermissionsBoundary",
    "UpdateAssumeRolePolicy",
}
"""Of the operations by which kbfleet changes roles, those that know `iam:PermissionsBoundary`. Source: service
authorization reference, Actions, resources, and condition keys for AWS Identity and Access Management."""


def _of_iam(operation: str, parameters: Mapping[str, Any], account: str) -> Iterator[tuple[str, str, Context]]:
    role = parameters.get("RoleName")
    if role is None:
        yield f"iam:{operation}", parameters.get("PolicyArn", NO_RESOURCE), {}
        return
    found = iam_backends[account]["aws"].roles.values()
    there = next((each for each in found if each.name == role), None)
    # Of one that is not there, nobody knows the path but who makes it: that IAM asks for its bare name is inferred.
    arn = there.arn if there else f"arn:aws:iam::{account}:role{parameters.get('Path', '/')}{role}"
    boundary = parameters.get("PermissionsBoundary") or (there and there.permissions_boundary_arn)
    known = {"iam:PermissionsBoundary": boundary} if operation in _BOUNDED and boundary else {}
    yield f"iam:{operation}", arn, known
    if parameters.get("Tags"):
        yield "iam:TagRole", arn, {}


@contextmanager
def _taught() -> Iterator[None]:
    """MiniStack knows what it is taught by the local AWS, and forgets it again."""
    with ExitStack() as stack:
        for known in (router.SERVICE_PATTERNS, iam_actions.SERVICE_TO_IAM_NAMESPACE, iam_actions._BOTOCORE_SERVICE_MAP):
            stack.enter_context(patch.dict(known))
        for name in ("extract_iam_action", "extract_resource_arn"):
            stack.enter_context(patch.object(iam_actions, name, getattr(iam_actions, name)))
        bedrock_permissions.teach()
        yield


def _knowledge_base(path: str, region: str, account: str) -> str:
    """Source: service authorization reference, Actions, resources, and condition keys for Amazon Bedrock."""
    parts = [unquote(part) for part in path.split("/") if part]
    if parts[0] == "tags":
        return "/".join(parts[1:])
    if len(parts) == 1:
        return NO_RESOURCE  # CreateKnowledgeBase and ListKnowledgeBases
    return f"arn:aws:bedrock:{region}:{account}:knowledge-base/{parts[1]}"


def _conditions(action: str, parameters: Mapping[str, Any]) -> Context:
    """The condition keys that our policies use. Source: service authorization reference, Actions, resources, and
    condition keys for Amazon EventBridge and for Amazon DynamoDB."""
    if action == "events:PutEvents":
        entries = parameters["Entries"]
        return {
            "events:source": sorted({entry["Source"] for entry in entries}),
            "events:detail-type": sorted({entry["DetailType"] for entry in entries}),
        }
    if action.startswith("dynamodb:"):
        selected = "SPECIFIC_ATTRIBUTES" if "ProjectionExpression" in parameters else "ALL_ATTRIBUTES"
        return {"dynamodb:Select": selected, **item_conditions(parameters, "PK")}
    return {}


def _bytes(body: Any) -> bytes:
    if isinstance(body, str):
        return body.encode()
    return bytes(body) if isinstance(body, bytes | bytearray) else b""  # an object's content, sent in pieces


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
