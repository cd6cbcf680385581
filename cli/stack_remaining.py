"""What would stay, and go on costing, if a stack were deleted now.

It asks with the operator's own AWS credentials, and reads only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cli.fleet_api import FleetApi
from cli.fleet_stack import FleetStack, asking
from cli.stack_import import RETAINING
from kbfleet.contracts.rebuilds import BesideBody
from kbfleet.contracts.tenants import TenantBody
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.tenant_status import TenantStatus

_NESTED = "AWS::CloudFormation::Stack"
_STATE_MACHINE = "AWS::StepFunctions::StateMachine"
COSTS: Mapping[str, str] = {
    "AWS::DynamoDB::Table": "its storage and its continuous backups only",
    "AWS::S3Vectors::VectorBucket": "the storage of the vectors in it only",
    "AWS::OpenSearchServerless::Collection": "2 OCU for each hour, about 350 USD a month, used or not",
    "AWS::OpenSearchServerless::SecurityPolicy": "nothing",
    "AWS::Lambda::LayerVersion": "nothing",
    "AWS::IAM::ManagedPolicy": "nothing",
}
"""A month, of a resource that is left behind, by its type. docs/costs.md has the prices and where they are from."""
UNKNOWN_COST = "unknown: look its price up"


@dataclass(frozen=True, slots=True)
class TenantLeft:
    """What of a tenant is no part of the stack, and what to do about it.

    Args:
        resources: a few words for each.
    """

    tenant_id: str
    status: str
    resources: tuple[str, ...]
    costs: str
    advice: str


@dataclass(frozen=True, slots=True)
class ResourceLeft:
    """A resource of the stack that is retained.

    Args:
        logical_id: its name in the template.
        kind: its type in CloudFormation.
        name: its physical id.
    """

    logical_id: str
    kind: str
    name: str
    costs: str


@dataclass(frozen=True, slots=True)
class Remaining:
    """Args:
    executions: ARNs of those that run: the deletion of the stack waits for them.
    """

    tenants: tuple[TenantLeft, ...]
    resources: tuple[ResourceLeft, ...]
    executions: tuple[str, ...]

    @property
    def ready(self) -> bool:
        """Whether the stack can be deleted without leaving anything of a tenant, or waiting for an execution."""
        return not self.tenants and not self.executions


def remaining(stack: FleetStack, api: FleetApi) -> Remaining:
    """Raises: FleetUnreachable, Refused."""
    listed = api.tenants(None).tenants
    there = [each.tenant_id for each in listed if each.status is not TenantStatus.OFFBOARDED]
    templates = dict(_templates(stack, stack.name))
    return Remaining(
        tuple(_left(api.tenant(tenant_id)) for tenant_id in there),
        tuple(_retained(stack, templates)),
        tuple(_running(stack, templates[stack.name])),
    )


def _left(tenant: TenantBody) -> TenantLeft:
    beside = tenant.beside
    resources = (
        *([f"bucket {tenant.bucket_name}"] if tenant.bucket_name else []),
        *_of_knowledge(tenant),
        *(
            [f"{each} of knowledge {beside.knowledge} ({beside.role})" for each in _of_knowledge(beside)]
            if beside is not None
            else []
        ),
        *(["its usage key, and its service role if it has one of its own"] if tenant.bucket_name else []),
    )
    stores = {tenant.knowledge_store, *([beside.knowledge_store] if beside is not None else [])}
    costs = [
        "the storage of its documents",
        *(["of their vectors"] if stores - {KnowledgeBaseKind.MANAGED} else []),
        *(
            ["about 5 USD for each GB of them in a managed knowledge base"]
            if KnowledgeBaseKind.MANAGED in stores
            else []
        ),
    ]
    return TenantLeft(str(tenant.tenant_id), str(tenant.status), resources, ", and ".join(costs), _advice(tenant))


def _of_knowledge(knowledge: TenantBody | BesideBody) -> Iterator[str]:
    """What was made for one knowledge, a few words for each: its index is made first, and no record says so at once."""
    if knowledge.knowledge_base_id:
        yield f"knowledge base {knowledge.knowledge_base_id}"
    if knowledge.data_source_id:
        yield f"data source {knowledge.data_source_id}"
    if knowledge.knowledge_store != KnowledgeBaseKind.MANAGED:
        yield f"index in {knowledge.knowledge_store}{'' if knowledge.knowledge_base_id else ' (if it was made)'}"


def _advice(tenant: TenantBody) -> str:
    erase = f"Delete it by `kbfleet tenant offboard {tenant.tenant_id} --retention-days 0 --wait`"
    match tenant.status:
        case TenantStatus.OFFBOARDING if tenant.failure is not None:
            return f"Its deletion has failed: `kbfleet tenant show {tenant.tenant_id}` says why. {erase}."
        case TenantStatus.OFFBOARDING if tenant.offboarding is not None and tenant.offboarding.deletion_began_at:
            return "It is being deleted: wait for its receipt, then look again."
        case TenantStatus.OFFBOARDING:
            return (
                "Wait for its receipt, or leave it, too. To erase it before its time, take it back by `kbfleet tenant "
                f"resume {tenant.tenant_id}`. Then: {erase}."
            )
        case TenantStatus.PROVISIONING:
            return "Wait until it is provisioned, then look again."
    return f"{erase}; or leave it, for a stack that is made anew of what was kept."


def _templates(stack: FleetStack, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Of a stack and of those within it, as CloudFormation has worked them out; by the stacks' physical ids."""
    with asking(f"The template of stack {name} could not be read (cloudformation:GetTemplate)"):
        body = stack.client("cloudformation").get_template(StackName=name, TemplateStage="Processed")["TemplateBody"]
    template: Mapping[str, Any] = body if isinstance(body, Mapping) else _read(body)
    yield name, template
    physical = stack.listed(name)
    for logical_id, resource in template["Resources"].items():
        if resource["Type"] == _NESTED and logical_id in physical:
            yield from _templates(stack, physical[logical_id])


def _read(body: str) -> Mapping[str, Any]:
    from samtranslator.yaml_helper import yaml_parse

    template: Mapping[str, Any] = yaml_parse(body)
    return template


def _retained(stack: FleetStack, templates: Mapping[str, Mapping[str, Any]]) -> Iterator[ResourceLeft]:
    for name, template in templates.items():
        physical = stack.listed(name)
        for logical_id, resource in template["Resources"].items():
            if resource.get("DeletionPolicy") in RETAINING and logical_id in physical:
                kind = str(resource["Type"])
                yield ResourceLeft(logical_id, kind, physical[logical_id], COSTS.get(kind, UNKNOWN_COST))


def _running(stack: FleetStack, template: Mapping[str, Any]) -> Iterator[str]:
    """Of its state machines. "A state machine is deleted only when all its executions are completed" (AWS Step
    Functions API reference, DeleteStateMachine)."""
    machines = [name for name, resource in template["Resources"].items() if resource["Type"] == _STATE_MACHINE]
    pages = stack.client("stepfunctions").get_paginator("list_executions")
    for machine in machines:
        with asking(f"Executions of {machine} could not be listed (states:ListExecutions)"):
            for page in pages.paginate(stateMachineArn=stack.resources[machine], statusFilter="RUNNING"):
                yield from (execution["executionArn"] for execution in page["executions"])
