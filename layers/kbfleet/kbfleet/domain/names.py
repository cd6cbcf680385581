"""What tenants and their resources are called: ids, and the names that follow from them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.usage_plan import Tier, UsageKey
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


MAX_LIFE = 999_999
"""The longest fleet name, tenant id and digest leave six digits of a bucket's name to the number of a life."""

_NUMBER = re.compile(r"[1-9][0-9]*")


def _require_number(field: str, value: int) -> None:
    if not 1 <= value <= MAX_LIFE:
        raise InvalidInput(field, f"{value} is not a number from 1 to {MAX_LIFE}.")


@dataclass(frozen=True, slots=True)
class Life:
    """One time in which a tenant id is provisioned: what it is given then is of no other time.

    It is counted, and not drawn at random: where the record is lost, the names of the first life can still be derived.

    Raises:
        InvalidInput: naming the field `life`.
    """

    tenant_id: TenantId
    number: int = 1

    def __post_init__(self) -> None:
        _require_number("life", self.number)

    @property
    def is_first(self) -> bool:
        """Whether its things are named as they were before lives were counted."""
        return self.number == 1

    def __str__(self) -> str:
        return f"{self.tenant_id}" if self.is_first else f"{self.tenant_id}, life {self.number}"


@dataclass(frozen=True, slots=True)
class Knowledge:
    """An index, a knowledge base and a data source that belong together. They are counted within a life.

    Raises:
        InvalidInput: naming the field `knowledge`.
    """

    life: Life
    number: int = 1

    def __post_init__(self) -> None:
        _require_number("knowledge", self.number)

    @property
    def tenant_id(self) -> TenantId:
        return self.life.tenant_id

    @property
    def is_first(self) -> bool:
        """Whether it is named as it was before there were several."""
        return self.life.is_first and self.number == 1


_FLEET_TAG, _TENANT_TAG, _LIFE_TAG = "kbfleet:fleet", "kbfleet:tenant", "kbfleet:life"


@dataclass(frozen=True, slots=True)
class ResourceNames:
    """The one place where names of AWS resources are derived from tenants, their lives and what they know.

    The names of first lives and first knowledge have no number: fleets have had them since before numbers were given.
    What has a number is told apart by a character that no tenant id has, or, where none is allowed, by its digest. A
    name is read back only if deriving it again gives the same text.

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

    def bucket(self, life: Life) -> str:
        """S3 bucket names are global and at most 63 characters: a digest of account and Region keeps ours apart from
        the same tenant's in another account without spending 27 characters on writing both out. From the second life
        on it covers tenant and life, too, so that life 2 of `acme` is not life 1 of `acme-2`."""
        place, name = f"{self.account}/{self.region}", f"{self.fleet}-{life.tenant_id}"
        if not life.is_first:
            place, name = f"{place}/{life.tenant_id}/{life.number}", f"{name}-{life.number}"
        return f"{name}-{hashlib.sha256(place.encode()).hexdigest()[:10]}"

    def service_role(self, life: Life) -> str:
        """Names of roles are unique in an account over all Regions, as buckets' are, and at most 64 characters."""
        return self.bucket(life)

    @property
    def service_role_path(self) -> str:
        """Below which the fleet's service roles are. Another Region's fleet of the same name has the same one."""
        return f"/kbfleet/{self.fleet}/"

    def life_of_service_role(self, name: str) -> Life | None:
        """As `life_of_bucket`."""
        return self.life_of_bucket(name)

    def life_of_bucket(self, name: str) -> Life | None:
        """Whose documents a bucket of that name holds; `None` for a name that this fleet never gives."""
        body = name.removeprefix(f"{self.fleet}-").rpartition("-")[0]
        tenant, _, number = body.rpartition("-")
        candidates = (_life(body, "1"), _life(tenant, number))
        return next((life for life in candidates if life is not None and self.bucket(life) == name), None)

    def knowledge_base(self, knowledge: Knowledge) -> str:
        name = f"{self.fleet}-{knowledge.tenant_id}"
        # Bedrock takes single underscores (botocore model of bedrock-agent, shape Name).
        return name if knowledge.is_first else f"{name}_{knowledge.life.number}_{knowledge.number}"

    def knowledge_of_knowledge_base(self, name: str) -> Knowledge | None:
        """As `life_of_bucket`; but others may choose such a name, too."""
        found = _knowledge(name.removeprefix(f"{self.fleet}-"), "_")
        return found if found is not None and self.knowledge_base(found) == name else None

    def data_source(self) -> str:
        """The same everywhere: outside its knowledge base, a data source has no name."""
        return "documents"

    def usage_key(self, life: Life) -> UsageKey:
        """Its value is derived, so that the authorizer knows it without looking the key up."""
        owner, name = f"{self.account}/{self.region}/{self.fleet}/{life.tenant_id}", f"{self.fleet}-{life.tenant_id}"
        if not life.is_first:
            owner, name = f"{owner}/{life.number}", f"{name}_{life.number}"
        return UsageKey(name, hashlib.sha256(owner.encode()).hexdigest())

    def usage_plan(self, tier: Tier) -> str:
        """One of the stack's own, as the template calls it."""
        return f"{self.fleet}-{tier.lower()}"

    def vector_index(self, knowledge: Knowledge) -> str:
        """S3 Vectors takes dots inside (Amazon S3 User Guide, Naming requirements for vector indexes), and OpenSearch
        does, too."""
        tenant_id = str(knowledge.tenant_id)
        return tenant_id if knowledge.is_first else f"{tenant_id}.{knowledge.life.number}.{knowledge.number}"

    def vector_indexes(self, life: Life) -> tuple[str, ...]:
        """Patterns, with `*` for any text, of all indexes that a life can have, and of nobody else's."""
        first = (str(life.tenant_id),) if life.is_first else ()
        return (*first, f"{life.tenant_id}.{life.number}.*")

    def knowledge_of_vector_index(self, name: str) -> Knowledge | None:
        """As `life_of_bucket`; an index that somebody else has made may have such a name, too."""
        found = _knowledge(name, ".")
        return found if found is not None and self.vector_index(found) == name else None

    @property
    def collection(self) -> str:
        """The collection of OpenSearch Serverless, which comes with the stack."""
        return f"{self.fleet}-vectors"

    def data_access_policy(self, life: Life) -> str:
        """At most 32 characters (botocore model of opensearchserverless), which a tenant's id alone may have."""
        return f"{self.fleet}-{hashlib.sha256(self.bucket(life).encode()).hexdigest()[:19]}"

    def tags(self, life: Life) -> dict[str, str]:
        """What carries no life's tag is of the first: it may be older than that tag."""
        tags = {_FLEET_TAG: self.fleet, _TENANT_TAG: str(life.tenant_id)}
        return tags if life.is_first else {**tags, _LIFE_TAG: str(life.number)}

    def marked(self, tags: Mapping[str, str], life: Life) -> bool:
        """Whether these tags prove that a resource is of this life. Its name alone proves nothing."""
        return _ours(tags) == self.tags(life)

    def owned(self, name: str, tags: Mapping[str, str], life: Life) -> bool:
        """Whether a knowledge base of that name and with these tags can be of this life. Its tags decide. Where
        somebody has removed those that would, its name must be one that this life gives."""
        known = _ours(tags)
        if not known.items() <= self.tags(life).items():
            return False
        if known and (life.is_first or _LIFE_TAG in known):
            return True
        named = self.knowledge_of_knowledge_base(name)
        return named is not None and named.life == life


def _ours(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: tags[key] for key in (_FLEET_TAG, _TENANT_TAG, _LIFE_TAG) if key in tags}


def _life(tenant: str, number: str) -> Life | None:
    if not _NUMBER.fullmatch(number) or len(number) > len(str(MAX_LIFE)):
        return None
    tenant_id = _tenant_id(tenant)
    return Life(tenant_id, int(number)) if tenant_id is not None else None


def _knowledge(text: str, separator: str) -> Knowledge | None:
    """Of `<tenant>`, or of `<tenant>`, life and knowledge with a separator between them that no tenant id has."""
    tenant, *numbers = text.split(separator)
    life_number, number = numbers or ("1", "1") if len(numbers) in {0, 2} else ("", "")
    life, counted = _life(tenant, life_number), _life(tenant, number)
    return Knowledge(life, counted.number) if life is not None and counted is not None else None


@dataclass(frozen=True, slots=True)
class DataSourceReference:
    """The pair of ids that Bedrock wants wherever a data source is named."""

    knowledge_base_id: str
    data_source_id: str
