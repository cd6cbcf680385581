"""What tenants and their resources are called: ids, and the names that follow from them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.usage_plan import UsageKey
from kbfleet.domain.validated_text import ValidatedText

TENANT_ID_PATTERN = "[a-z](-?[a-z0-9])*"
MIN_TENANT_ID_LENGTH, MAX_TENANT_ID_LENGTH = 3, 32
_TENANT_ID = re.compile(TENANT_ID_PATTERN)
_FLEET_NAME = re.compile(r"[a-z][a-z0-9]*")


class TenantId(ValidatedText):
    """A tenant's identifier: 3 to 32 of `[a-z0-9-]`, starting with a letter, no double or trailing hyphen.

    The rule is the intersection of what S3 bucket names, S3 vector index names and Bedrock names allow, so that every
    resource name can be derived from it without escaping.

    Raises:
        InvalidInput: naming the field `tenant_id`.
    """

    __slots__ = ()

    def __new__(cls, value: object) -> Self:
        if (
            not isinstance(value, str)
            or not MIN_TENANT_ID_LENGTH <= len(value) <= MAX_TENANT_ID_LENGTH
            or not _TENANT_ID.fullmatch(value)
        ):
            shown = value if isinstance(value, str) and len(value) <= 64 else type(value).__name__
            raise InvalidInput(
                "tenant_id",
                f"{shown!r} is not a tenant id.",
                remedy="Use 3 to 32 lower-case letters, digits and single hyphens, starting with a letter.",
            )
        return super().__new__(cls, value)


def _tenant_id(text: str) -> TenantId | None:
    try:
        return TenantId(text)
    except InvalidInput:
        return None


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

    def service_role(self, tenant_id: TenantId) -> str:
        """Names of roles are unique in an account over all Regions, as buckets' are, and at most 64 characters."""
        return self.bucket(tenant_id)

    @property
    def service_role_path(self) -> str:
        """Below which the fleet's service roles are. Another Region's fleet of the same name has the same one."""
        return f"/kbfleet/{self.fleet}/"

    def tenant_of_service_role(self, name: str) -> TenantId | None:
        """As `tenant_of_bucket`."""
        return self.tenant_of_bucket(name)

    def tenant_of_bucket(self, name: str) -> TenantId | None:
        """Whose documents a bucket of that name holds; `None` for a name that this fleet never gives."""
        tenant_id = _tenant_id(name.removeprefix(f"{self.fleet}-").rpartition("-")[0])
        return tenant_id if tenant_id is not None and self.bucket(tenant_id) == name else None

    def tenant_of_knowledge_base(self, name: str) -> TenantId | None:
        """As `tenant_of_bucket`; but others may choose such a name, too."""
        tenant_id = _tenant_id(name.removeprefix(f"{self.fleet}-"))
        return tenant_id if tenant_id is not None and self.knowledge_base(tenant_id) == name else None

    def knowledge_base(self, tenant_id: TenantId) -> str:
        return f"{self.fleet}-{tenant_id}"

    def data_source(self) -> str:
        return "documents"

    def usage_key(self, tenant_id: TenantId) -> UsageKey:
        """Its value is derived, so that the authorizer knows it without looking it up."""
        owner = f"{self.account}/{self.region}/{self.fleet}/{tenant_id}"
        return UsageKey(f"{self.fleet}-{tenant_id}", hashlib.sha256(owner.encode()).hexdigest())

    def vector_index(self, tenant_id: TenantId) -> str:
        return str(tenant_id)

    @property
    def collection(self) -> str:
        """The collection of OpenSearch Serverless, which comes with the stack."""
        return f"{self.fleet}-vectors"

    def data_access_policy(self, tenant_id: TenantId) -> str:
        """At most 32 characters (botocore model of opensearchserverless), which a tenant's id alone may have."""
        return f"{self.fleet}-{hashlib.sha256(self.bucket(tenant_id).encode()).hexdigest()[:19]}"

    def tags(self, tenant_id: TenantId) -> dict[str, str]:
        return {"kbfleet:fleet": self.fleet, "kbfleet:tenant": str(tenant_id)}

    def marked(self, tags: Mapping[str, str], tenant_id: TenantId) -> bool:
        """Whether these tags prove that a resource is this tenant's. Its name alone proves nothing."""
        return self.tags(tenant_id).items() <= tags.items()

    def owned(self, name: str, tags: Mapping[str, str], tenant_id: TenantId) -> bool:
        """Whether a knowledge base of that name and with these tags can be this tenant's. Its tags
        decide. Where somebody has removed them, the name must be the tenant's."""
        known = {key: tags[key] for key in self.tags(tenant_id) if key in tags}
        if known:
            return known.items() <= self.tags(tenant_id).items()
        return name == self.knowledge_base(tenant_id)


@dataclass(frozen=True, slots=True)
class DataSourceReference:
    """The pair of ids that Bedrock wants wherever a data source is named."""

    knowledge_base_id: str
    data_source_id: str
