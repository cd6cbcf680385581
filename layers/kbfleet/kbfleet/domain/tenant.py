"""A tenant, its lifecycle, its lease, and the names of everything that belongs to it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from kbfleet.domain.errors import InvalidInput, LeaseLost, TenantBusy, TenantNotActive
from kbfleet.domain.validated_text import ValidatedText

_TENANT_ID = re.compile(r"[a-z](-?[a-z0-9])*")
_FLEET_NAME = re.compile(r"[a-z][a-z0-9]*")

MAX_NAME_LENGTH = 100
"""Characters of a tenant's display name."""


class TenantId(ValidatedText):
    """A tenant's identifier: 3 to 32 of `[a-z0-9-]`, starting with a letter, no double or trailing hyphen.

    The rule is the intersection of what S3 bucket names, S3 vector index names and Bedrock names allow, so that every
    resource name can be derived from it without escaping.

    Raises:
        InvalidInput: naming the field `tenant_id`.
    """

    __slots__ = ()

    def __new__(cls, value: object) -> Self:
        if not isinstance(value, str) or not 3 <= len(value) <= 32 or not _TENANT_ID.fullmatch(value):
            shown = value if isinstance(value, str) and len(value) <= 64 else type(value).__name__
            raise InvalidInput(
                "tenant_id",
                f"{shown!r} is not a tenant id.",
                remedy="Use 3 to 32 lower-case letters, digits and single hyphens, starting with a letter.",
            )
        return super().__new__(cls, value)


@dataclass(frozen=True, slots=True)
class ResourceNames:
    """The one place where names of AWS resources are derived from tenant ids.

    Args:
        fleet: the fleet's name, 2 to 12 lower-case letters and digits; prefixes every resource so that IAM policies
            can name them. It has no hyphen, because tenant `eu-acme` of fleet `kb` and tenant `acme` of a fleet `kb-eu`
            in the same account would share every name.
        account: AWS account id.
        region: AWS Region.
    """

    fleet: str
    account: str
    region: str

    def __post_init__(self) -> None:
        if not 2 <= len(self.fleet) <= 12 or not _FLEET_NAME.fullmatch(self.fleet):
            raise InvalidInput("fleet", f"{self.fleet!r} is not 2 to 12 lower-case letters and digits.")

    def bucket(self, tenant_id: TenantId) -> str:
        """S3 bucket names are global and at most 63 characters: a digest of account and Region keeps ours apart from
        the same tenant's in another account without spending 27 characters on writing both out."""
        digest = hashlib.sha256(f"{self.account}/{self.region}".encode()).hexdigest()[:10]
        return f"{self.fleet}-{tenant_id}-{digest}"

    def knowledge_base(self, tenant_id: TenantId) -> str:
        return f"{self.fleet}-{tenant_id}"

    def data_source(self) -> str:
        return "documents"

    def vector_index(self, tenant_id: TenantId) -> str:
        return str(tenant_id)

    def tags(self, tenant_id: TenantId) -> dict[str, str]:
        return {"kbfleet:fleet": self.fleet, "kbfleet:tenant": str(tenant_id)}


class TenantStatus(StrEnum):
    PROVISIONING = "PROVISIONING"
    ACTIVE = "ACTIVE"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to change a tenant's resources, held by one execution at a time."""

    holder: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ProvisioningFailure:
    """Why the last provisioning ended without an active tenant."""

    step: str
    error: str
    reason: str
    execution: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant's record in the registry. Resource ids are `None` until the resource is known to exist."""

    tenant_id: TenantId
    name: str
    status: TenantStatus
    knowledge_store: str
    created_at: datetime
    updated_at: datetime
    fence: int = 0
    lease: Lease | None = None
    bucket_name: str | None = None
    knowledge_store_reference: str | None = None
    knowledge_base_id: str | None = None
    data_source_id: str | None = None
    failure: ProvisioningFailure | None = None

    def leased_at(self, now: datetime) -> bool:
        return self.lease is not None and self.lease.expires_at > now

    def reserved_by(self, holder: str, now: datetime, lease: timedelta) -> Tenant:
        """The record with its lease given to `holder` and the next fencing token.

        The same holder may reserve again: a step that is retried after its answer was lost must not lock itself out.

        Raises:
            TenantBusy: another execution holds a lease that has not expired.
        """
        if self.lease is not None and self.leased_at(now) and self.lease.holder != holder:
            raise TenantBusy(
                f"Tenant {self.tenant_id} is being provisioned by {self.lease.holder}.",
                remedy="Wait for that execution to end, then run the command again.",
            )
        return replace(self, lease=Lease(holder, now + lease), fence=self.fence + 1, updated_at=now)

    def held_under(self, fence: int) -> Tenant:
        """This record, if the fencing token is still the newest.

        Raises:
            LeaseLost: a later execution has reserved the tenant, or the lease was given back.
        """
        if self.lease is None or self.fence != fence:
            raise LeaseLost(
                f"The lease on tenant {self.tenant_id} has passed to a later execution.",
                remedy="Nothing to do here: the later execution converges the tenant.",
            )
        return self

    def activated(self, now: datetime) -> Tenant:
        return replace(self, status=TenantStatus.ACTIVE, lease=None, failure=None, updated_at=now)

    def failed(self, failure: ProvisioningFailure) -> Tenant:
        return replace(self, status=TenantStatus.FAILED, lease=None, failure=failure, updated_at=failure.at)

    def data_source(self) -> DataSourceReference:
        """Where the tenant's documents are ingested.

        Raises:
            TenantNotActive: the tenant has no data source yet.
        """
        if self.knowledge_base_id is None or self.data_source_id is None:
            raise TenantNotActive(
                f"Tenant {self.tenant_id} has no knowledge base with a data source yet.",
                remedy=f"Run `kbfleet provision {self.tenant_id}` first.",
            )
        return DataSourceReference(self.knowledge_base_id, self.data_source_id)


@dataclass(frozen=True, slots=True)
class DataSourceReference:
    """The pair of ids that Bedrock wants wherever a data source is named."""

    knowledge_base_id: str
    data_source_id: str


class DisplayName(ValidatedText):
    """A tenant's name for people: 1 to 100 characters that are not all white space.

    Raises:
        InvalidInput: naming the field `name`.
    """

    __slots__ = ()

    def __new__(cls, value: object) -> Self:
        if not isinstance(value, str) or not value.strip() or len(value) > MAX_NAME_LENGTH:
            raise InvalidInput("name", f"must be text of 1 to {MAX_NAME_LENGTH} characters.")
        return super().__new__(cls, value.strip())


@dataclass(frozen=True, slots=True)
class ProvisioningRequest:
    """What an execution was started with. `name` and `knowledge_store` are `None` to keep what the record says."""

    tenant_id: TenantId
    name: DisplayName | None = None
    knowledge_store: str | None = None


@dataclass(frozen=True, slots=True)
class Reservation:
    """The right of one execution to converge one tenant, until a later one takes it."""

    tenant_id: TenantId
    fence: int
    deadline: datetime
