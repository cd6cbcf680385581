"""AWS IAM: the service roles of tenants' knowledge bases."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kbfleet.adapters.aws_errors import translated
from kbfleet.domain.capacity import Scarce
from kbfleet.domain.errors import CapacityExceeded, NotReadyYet, ResourceConflict, ResourceMissing
from kbfleet.domain.finding import Drift
from kbfleet.domain.service_role import lacks, same_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from mypy_boto3_iam.client import IAMClient

    from kbfleet.domain.names import Life, ResourceNames
    from kbfleet.domain.service_role import ServiceRole
    from kbfleet.ports import Clock, ServiceRoles

_PAGE = 1_000
"""The most that ListRoles gives at once (botocore model); IAM may give fewer."""
_POLICY = "read-documents-and-use-vectors"
"""The one inline policy of a role."""


class IamServiceRoles:
    """`kbfleet.ports.ServiceRoles`, one a tenant.

    Args:
        names: of the fleet.
        boundary_arn: the managed policy that bounds all of the fleet's service roles. What a tenant's role may is taken
            from it, too.
    """

    per_tenant = True

    def __init__(
        self, client: IAMClient, *, names: ResourceNames, partition: str, boundary_arn: str, clock: Clock
    ) -> None:
        self._client = client
        self._names = names
        self._partition = partition
        self._boundary_arn = boundary_arn
        self._clock = clock

    def arn(self, name: str) -> str:
        path = self._names.service_role_path
        return f"arn:{self._partition}:iam::{self._names.account}:role{path}{name}"

    def ensure(self, role: ServiceRole) -> datetime | None:
        try:
            with translated(f"service role {role.name}"):
                found = self._find(role.name)
                if found is None:
                    found = self._create(role)
                repairs = self._repairs(role, found)
                for _, repair in repairs:
                    repair()
        except ResourceMissing as error:
            # IAM may not find for some seconds what it has just made (IAM user guide, Troubleshoot IAM, Changes that I
            # make are not always immediately visible).
            raise NotReadyYet(error.what) from error
        return self._clock.now() if repairs else found["CreateDate"]

    def trust(self, role: ServiceRole) -> None:
        with translated(f"service role {role.name}"):
            self._update_trust(role)

    def differences(self, role: ServiceRole) -> Sequence[Drift] | None:
        with translated(f"service role {role.name}"):
            found = self._find(role.name)
            return [drift for drift, _ in self._repairs(role, found)] if found is not None else None

    def delete(self, name: str) -> None:
        with translated(f"service role {name}"):
            found = self._find(name)
            if found is None:
                return
            try:
                if self._unbounded(found):
                    self._bound(name)
                # A role that has a policy cannot be deleted.
                for _, strip in self._attached(name):
                    strip()
                for policy in self._inline(name):
                    self._client.delete_role_policy(RoleName=name, PolicyName=policy)
                self._client.delete_role(RoleName=name)
            except self._client.exceptions.NoSuchEntityException:
                return  # somebody else is deleting it, too

    def exists(self, name: str) -> bool:
        with translated(f"service role {name}"):
            return self._find(name) is not None

    def of_fleet(self, names: ResourceNames) -> Iterator[tuple[str, Life]]:
        with translated("the fleet's service roles"):
            pages = self._client.get_paginator("list_roles").paginate(
                PathPrefix=names.service_role_path, PaginationConfig={"PageSize": _PAGE}
            )
            for page in pages:
                for role in page["Roles"]:
                    life = names.life_of_service_role(role["RoleName"])
                    if life is not None:
                        yield role["RoleName"], life

    def shared_is_there(self) -> bool:
        return True

    def room(self) -> tuple[int, int] | None:
        with translated("the account's roles"):
            summary = self._client.get_account_summary()["SummaryMap"]
        return summary["Roles"], summary["RolesQuota"]

    def _find(self, name: str) -> Mapping[str, Any] | None:
        try:
            return self._client.get_role(RoleName=name)["Role"]
        except self._client.exceptions.NoSuchEntityException:
            return None

    def _create(self, role: ServiceRole) -> Mapping[str, Any]:
        try:
            with translated(f"service role {role.name}"):
                return self._client.create_role(
                    Path=self._names.service_role_path,
                    RoleName=role.name,
                    AssumeRolePolicyDocument=json.dumps(self._trust(role)),
                    PermissionsBoundary=self._boundary_arn,
                    Description=f"Assumed by Bedrock for the knowledge bases of {role.bucket}",
                    Tags=[{"Key": key, "Value": value} for key, value in role.tags.items()],
                )["Role"]
        except ResourceConflict as error:
            raise NotReadyYet(f"Service role {role.name} has just been made by somebody else.") from error
        except CapacityExceeded as error:
            raise CapacityExceeded(error.what, remedy=Scarce.SERVICE_ROLES.way_out) from error

    def _repairs(self, role: ServiceRole, found: Mapping[str, Any]) -> list[tuple[Drift, Callable[[], object]]]:
        """What is not as it should be, and how to change that, in the order in which that is permitted: a role without
        its boundary may not be changed otherwise. What others have attached may deny something, which does not show."""
        client, name = self._client, role.name
        repairs: list[tuple[Drift, Callable[[], object]]] = []
        if self._unbounded(found):
            # By another one it may be allowed less.
            unbounded = Drift("its permissions boundary is not the fleet's", None if _boundary_of(found) else False)
            repairs.append((unbounded, lambda: self._bound(name)))
        trust = found["AssumeRolePolicyDocument"]
        if not same_policy(trust, self._trust(role)):
            shut = lacks(trust, self._trust(role)) and lacks(trust, self._trust(replace(role, knowledge_bases=())))
            whose = "is not assumed for" if shut else "is assumed for others than"
            trusting = Drift(f"it {whose} the tenant's knowledge bases", shut)
            repairs.append((trusting, lambda: self._update_trust(role)))
        wanted = role.policy(self._boundary())
        allowed = self._policy(name)
        if not same_policy(allowed, wanted):

            def permit() -> object:
                return client.put_role_policy(RoleName=name, PolicyName=_POLICY, PolicyDocument=json.dumps(wanted))

            less = lacks(allowed, wanted)
            repairs.append((Drift(f"it may do {'less' if less else 'more'} than it should", less), permit))
        for policy in self._inline(name):
            if policy != _POLICY:

                def remove(policy: str = policy) -> object:
                    return client.delete_role_policy(RoleName=name, PolicyName=policy)

                repairs.append((Drift(f"it has a further policy, {policy}", None), remove))
        return repairs + self._attached(name)

    def _unbounded(self, found: Mapping[str, Any]) -> bool:
        """Whether it lacks the boundary without which nobody of the fleet's may change or delete it."""
        return bool(_boundary_of(found) != self._boundary_arn)

    def _bound(self, name: str) -> None:
        self._client.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=self._boundary_arn)

    def _attached(self, name: str) -> list[tuple[Drift, Callable[[], object]]]:
        """The managed policies that somebody has attached, which kbfleet never does, and how to take them away."""
        pages = self._client.get_paginator("list_attached_role_policies").paginate(RoleName=name)
        attached = [policy["PolicyArn"] for page in pages for policy in page["AttachedPolicies"]]

        def detaching(policy: str) -> Callable[[], object]:
            return lambda: self._client.detach_role_policy(RoleName=name, PolicyArn=policy)

        return [(Drift(f"policy {policy} is attached to it", None), detaching(policy)) for policy in attached]

    def _inline(self, name: str) -> list[str]:
        pages = self._client.get_paginator("list_role_policies").paginate(RoleName=name)
        return [policy for page in pages for policy in page["PolicyNames"]]

    def _policy(self, name: str) -> object:
        try:
            return self._client.get_role_policy(RoleName=name, PolicyName=_POLICY)["PolicyDocument"]
        except self._client.exceptions.NoSuchEntityException:
            return None

    def _boundary(self) -> Mapping[str, Any]:
        version = self._client.get_policy(PolicyArn=self._boundary_arn)["Policy"]["DefaultVersionId"]
        found: Any = self._client.get_policy_version(PolicyArn=self._boundary_arn, VersionId=version)
        document: Mapping[str, Any] = found["PolicyVersion"]["Document"]
        return document

    def _update_trust(self, role: ServiceRole) -> None:
        self._client.update_assume_role_policy(RoleName=role.name, PolicyDocument=json.dumps(self._trust(role)))

    def _trust(self, role: ServiceRole) -> Mapping[str, Any]:
        names = self._names
        place = f"arn:{self._partition}:bedrock:{names.region}:{names.account}:knowledge-base"
        return role.trust_policy(place, names.account)


def _boundary_of(found: Mapping[str, Any]) -> str | None:
    arn: str | None = found.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
    return arn


class SharedServiceRole:
    """`kbfleet.ports.ServiceRoles` where one role, which comes with the stack, serves every tenant.

    Args:
        own: tenants' own roles, of a time when they had some.
    """

    per_tenant = False

    def __init__(self, arn: str, own: ServiceRoles) -> None:
        self._arn = arn
        self._own = own

    def arn(self, name: str) -> str:  # noqa: ARG002 - the same for every tenant
        return self._arn

    def ensure(self, role: ServiceRole) -> datetime | None:  # noqa: ARG002 - as above
        return None

    def trust(self, role: ServiceRole) -> None:
        self._own.delete(role.name)

    def differences(self, role: ServiceRole) -> Sequence[Drift] | None:  # noqa: ARG002 - as above
        return ()

    def delete(self, name: str) -> None:
        self._own.delete(name)

    def exists(self, name: str) -> bool:
        return self._own.exists(name)

    def of_fleet(self, names: ResourceNames) -> Iterator[tuple[str, Life]]:
        return self._own.of_fleet(names)

    def shared_is_there(self) -> bool:
        return self._own.exists(self._arn.rpartition("/")[2])

    def room(self) -> tuple[int, int] | None:
        return None
