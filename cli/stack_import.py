"""Making the stack anew of the resources that an older one has left, so that the next deployment finds them in it.

They are those of template.yaml that are retained (docs/decisions/0039). CloudFormation takes them in by a change set of
type IMPORT; it changes none of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.exceptions import ClientError

from cli.fleet_api import FleetUnreachable, first_call
from cli.fleet_stack import asking
from cli.terminal import counted
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.tenant_status import TenantStatus

_TEMPLATE = Path(__file__).parents[1] / "template.yaml"
_CHANGE_SET = "take-in-what-was-kept"
_PENDING = {"CREATE_PENDING", "CREATE_IN_PROGRESS"}
_MISSING = {"NotFoundException", "ResourceNotFoundException"}
RETAINING = {"Retain", "RetainExceptOnCreate"}
"""Deletion policies by which a resource outlives its stack (AWS CloudFormation template reference)."""
MADE_ANEW = {"ServiceRoleBoundary"}
"""What is retained because tenants' roles have it, and holds nothing: the next deployment makes another, which those
roles get when their tenants are converged."""
Show = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Kept:
    """A resource that an older stack has left.

    Args:
        logical_id: its name in template.yaml.
        kind: its type in CloudFormation.
        identifier: by which CloudFormation finds it, the type's primary identifier.
        details: what helps to tell it from another one.
        indexes: of a table, the names of those that it has.
    """

    logical_id: str
    kind: str
    identifier: Mapping[str, str]
    details: str = ""
    indexes: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return self.identifier.get("Name") or next(iter(self.identifier.values()))


@cache
def retained_resources() -> Mapping[str, Mapping[str, Any]]:
    """Those of template.yaml that outlive the stack and are taken in, by their names in it; without conditions, since
    they are there."""
    from samtranslator.yaml_helper import yaml_parse

    resources = yaml_parse(_TEMPLATE.read_text("utf-8"))["Resources"]
    return {
        name: {member: value for member, value in resource.items() if member != "Condition"}
        for name, resource in resources.items()
        if resource.get("DeletionPolicy") in RETAINING and name not in MADE_ANEW
    }


def template_of(kept: Sequence[Kept], fleet: str) -> str:
    """A template of nothing but these resources, as template.yaml has them. It has no outputs, which an import may not
    add (AWS CloudFormation user guide, "Import AWS resources into a CloudFormation stack")."""
    names = [each.logical_id for each in kept]
    taken_in = {each.logical_id: each for each in kept}
    # Whether a rolled back import is one that created them (RetainExceptOnCreate) is not documented: nothing is risked.
    resources = {name: {**retained_resources()[name], "DeletionPolicy": "Retain"} for name in names}
    if "Table" in taken_in:
        resources["Table"]["Properties"] = _as_it_is(resources["Table"]["Properties"], taken_in["Table"].indexes)
    for resource in resources.values():
        if "DependsOn" in resource:
            resource["DependsOn"] = [name for name in resource["DependsOn"] if name in names]
    parameters = {"FleetName": {"Type": "String", "Default": fleet}}
    return json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Parameters": parameters, "Resources": resources})


def _as_it_is(table: Mapping[str, Any], indexes: frozenset[str]) -> Mapping[str, Any]:
    """Without indexes that an older version's table has not: CloudFormation compares what it imports with nothing, and
    the next deployment would take them for made."""
    kept = [index for index in table["GlobalSecondaryIndexes"] if index["IndexName"] in indexes]
    keys = {key["AttributeName"] for each in (table, *kept) for key in each["KeySchema"]}
    named = [each for each in table["AttributeDefinitions"] if each["AttributeName"] in keys]
    return {**table, "GlobalSecondaryIndexes": kept, "AttributeDefinitions": named}


@dataclass(frozen=True)
class StackImport:
    """A stack that is to be made anew.

    Args:
        stack: its name, as the older one's was.
        fleet: its FleetName, as the older one's was.
        session: credentials and Region.
    """

    stack: str
    fleet: str
    session: boto3.Session

    @classmethod
    def of(cls, stack: str, fleet: str, region: str | None) -> Self:
        """Raises: FleetUnreachable where AWS cannot be asked; InvalidInput where there is a stack of that name."""
        with first_call("AWS could not be asked", region):
            session = boto3.Session(region_name=region)
            made = cls(stack, fleet, session)
            status = made._status()
        if status is not None:
            advice = (
                "It holds what was kept already: deploy."
                if status == "IMPORT_COMPLETE"
                else f"If a deployment of it has failed, run `sam delete --stack-name {stack}` first: what holds data "
                "stays."
            )
            raise InvalidInput("stack", f"There is a stack {stack} ({status}) already.", remedy=advice)
        return made

    def kept(self, table: str | None = None) -> tuple[Kept, ...]:
        """What an older stack has left, in the template's order; several tables, if deployments have failed.

        Args:
            table: the one to look at only.

        Raises:
            FleetUnreachable.
        """
        found = [*self._tables(table), *self._vector_bucket(), *self._policies(), *self._collection()]
        order = list(retained_resources())
        return tuple(sorted(found, key=lambda each: order.index(each.logical_id)))

    def take_in(self, kept: Sequence[Kept], show: Show, pause: Callable[[], None]) -> None:
        """Makes the stack of them.

        Raises:
            FleetUnreachable: with what CloudFormation says.
        """
        cloudformation = self._client("cloudformation")
        with asking("The import could not be prepared (cloudformation:CreateChangeSet)"):
            cloudformation.create_change_set(
                StackName=self.stack,
                ChangeSetName=_CHANGE_SET,
                ChangeSetType="IMPORT",
                TemplateBody=template_of(kept, self.fleet),
                ResourcesToImport=[
                    {
                        "LogicalResourceId": each.logical_id,
                        "ResourceType": each.kind,
                        "ResourceIdentifier": dict(each.identifier),
                    }
                    for each in kept
                ],
            )
        with asking("The import could not be watched (cloudformation:DescribeChangeSet)"):
            while (proposed := self._change_set())["Status"] in _PENDING:
                show("being prepared")
                pause()
        if proposed.get("ExecutionStatus") != "AVAILABLE":
            # Nothing is in it yet; while it is there, no other import into a new stack of its name begins.
            with asking("The empty stack could not be deleted (cloudformation:DeleteStack)"):
                cloudformation.delete_stack(StackName=self.stack)
            raise FleetUnreachable(f"CloudFormation does not take them in: {proposed.get('StatusReason', '')}")
        with asking("The import could not be started (cloudformation:ExecuteChangeSet)"):
            cloudformation.execute_change_set(StackName=self.stack, ChangeSetName=_CHANGE_SET)
        with asking("The stack could not be watched (cloudformation:DescribeStacks)"):
            while (status := self._status() or "gone").endswith("_IN_PROGRESS"):
                show("being made")
                pause()
        if status != "IMPORT_COMPLETE":
            raise FleetUnreachable(f"Stack {self.stack} is {status}; its events in CloudFormation say why.")

    def _change_set(self) -> Mapping[str, Any]:
        described: Mapping[str, Any] = self._client("cloudformation").describe_change_set(
            StackName=self.stack, ChangeSetName=_CHANGE_SET
        )
        return described

    def _status(self) -> str | None:
        try:
            described = self._client("cloudformation").describe_stacks(StackName=self.stack)
        except ClientError as error:
            # CloudFormation's only word for a missing stack.
            if error.response["Error"]["Code"] == "ValidationError":
                return None
            raise
        return str(described["Stacks"][0]["StackStatus"])

    def _client(self, service: str) -> Any:
        return self.session.client(service)  # type: ignore[call-overload] # boto3-stubs know literal names only

    # --- one way for each type ---

    def _tables(self, only: str | None) -> Iterator[Kept]:
        """Named by CloudFormation: the stack's name, the resource's, and letters and digits of its own."""
        dynamodb = self._client("dynamodb")
        with asking("Tables could not be listed (dynamodb:ListTables)"):
            pages = dynamodb.get_paginator("list_tables").paginate()
            names = [name for page in pages for name in page["TableNames"] if self._may_be_ours(name)]
        for name in names:
            if only is None or name == only:
                with asking(f"Table {name} could not be looked at (dynamodb:DescribeTable)"):
                    table = dynamodb.describe_table(TableName=name)["Table"]
                indexes = frozenset(index["IndexName"] for index in table["GlobalSecondaryIndexes"])
                details = self._contents(dynamodb, name, table["CreationDateTime"])
                yield replace(self._kept("Table", {"TableName": name}, details), indexes=indexes)

    def _may_be_ours(self, table: str) -> bool:
        return table.startswith(f"{self.stack}-Table-") and table.removeprefix(f"{self.stack}-Table-").isalnum()

    def _contents(self, dynamodb: Any, table: str, made_at: datetime) -> str:
        """How many tenants a table knows, and of when it is.

        Raises: FleetUnreachable, also where they are another fleet's.
        """
        with asking(f"Table {table} could not be looked into (dynamodb:Query)"):
            pages = dynamodb.get_paginator("query").paginate(
                TableName=table,
                IndexName="Tenants",
                KeyConditionExpression="listed = :listed",
                ExpressionAttributeValues={":listed": {"S": "TENANT"}},
            )
            records = [record for page in pages for record in page["Items"]]
        buckets = [record["bucket_name"]["S"] for record in records if "bucket_name" in record]
        if others := [bucket for bucket in buckets if not bucket.startswith(f"{self.fleet}-")]:
            raise InvalidInput(
                "fleet",
                f"The tenants in table {table} are not of fleet {self.fleet}: one's bucket is called {others[0]}.",
                remedy="Give --fleet the FleetName that the older stack had.",
            )
        gone = sum(record["status"]["S"] == TenantStatus.OFFBOARDED for record in records)
        return f"{counted(len(records) - gone, 'tenant')}, {gone} offboarded; made on {made_at:%Y-%m-%d %H:%M}"

    def _vector_bucket(self) -> Iterator[Kept]:
        vectors = self._client("s3vectors")
        account = self._account()
        name = f"{self.fleet}-vectors-{account}-{self.session.region_name}"
        with asking(f"Vector bucket {name} could not be looked for (s3vectors:GetVectorBucket)"):
            found = _unless_missing(lambda: vectors.get_vector_bucket(vectorBucketName=name))
        if found is not None:
            yield self._kept("VectorBucket", {"VectorBucketArn": found["vectorBucket"]["vectorBucketArn"]})

    def _policies(self) -> Iterator[Kept]:
        serverless, name = self._client("opensearchserverless"), f"{self.fleet}-vectors"
        for logical_id, kind in (("CollectionEncryption", "encryption"), ("CollectionNetwork", "network")):
            with asking(f"Policy {name} could not be looked for (aoss:GetSecurityPolicy)"):
                found = _unless_missing(lambda kind=kind: serverless.get_security_policy(type=kind, name=name))  # type: ignore[misc]
            if found is not None:
                yield self._kept(logical_id, {"Type": kind, "Name": name})

    def _collection(self) -> Iterator[Kept]:
        name = f"{self.fleet}-vectors"
        with asking(f"Collection {name} could not be looked for (aoss:BatchGetCollection)"):
            found = self._client("opensearchserverless").batch_get_collection(names=[name])["collectionDetails"]
        for details in found:
            yield self._kept("Collection", {"Id": details["id"]}, f"{name}, {details['status']}")

    def _account(self) -> str:
        with asking("The account could not be looked up (sts:GetCallerIdentity)"):
            return str(self._client("sts").get_caller_identity()["Account"])

    @staticmethod
    def _kept(logical_id: str, identifier: Mapping[str, str], details: str = "") -> Kept:
        return Kept(logical_id, str(retained_resources()[logical_id]["Type"]), identifier, details)


def chosen(kept: Sequence[Kept], table: str | None) -> tuple[Kept, ...]:
    """What to take in.

    Raises:
        InvalidInput: there are several tables, and none was chosen; or the one that was is not among them.
    """
    tables = [each for each in kept if each.logical_id == "Table"]
    if table is not None and not tables:
        raise InvalidInput("table", f"There is no table {table} that an older stack of this name has left.")
    if len(tables) > 1:
        found = "; ".join(f"{each.name} ({each.details})" for each in tables)
        raise InvalidInput(
            "table",
            f"Several tables are left, and a stack has one: {found}.",
            remedy="Choose one by --table. The others stay as they are; delete those that nobody needs.",
        )
    return tuple(kept)


def _unless_missing(look: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any] | None:
    try:
        return look()
    except ClientError as error:
        if error.response["Error"]["Code"] in _MISSING:
            return None
        raise
