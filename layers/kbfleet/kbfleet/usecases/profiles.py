"""Profiles: putting, removing and looking them up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kbfleet.domain.errors import InvalidInput, ProfileInUse, ProfileNotFound
from kbfleet.domain.profile_rules import refusals, require_allowed
from kbfleet.domain.profiles import (
    DEFAULT_PROFILE,
    MAX_VERSION,
    ProfileReference,
    changes,
    default_ingestion,
    ingestion_changes,
)
from kbfleet.usecases.reservations import store_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kbfleet.domain.profile_rules import Refusal, StackOffer
    from kbfleet.domain.profiles import Ingestion, Profile, ProfileChange, ProfileName, StackDefaults
    from kbfleet.domain.tenant import Tenant
    from kbfleet.ports import KnowledgeStore, ProfileRecords, TenantRegistry
    from kbfleet.usecases.reservations import Stores

_NAMED_USERS = 5
"""Of the tenants that keep a profile from being removed."""


@dataclass(frozen=True, slots=True)
class Profiles:
    """What tenants are given, as far as knowledge is made by it.

    Args:
        ingestion: what the stack's parameters say.
    """

    records: ProfileRecords
    ingestion: Ingestion

    def newest(self, name: ProfileName) -> Profile:
        """The newest version of one that was put.

        Raises: ProfileNotFound: there is none, or it was removed.
        """
        found = self.newest_listed(name)
        if found is None:
            raise ProfileNotFound.of(name)
        return found

    def newest_listed(self, name: ProfileName) -> Profile | None:
        return self.records.newest(name) if self.records.is_listed(name) else None

    def version(self, reference: ProfileReference) -> Profile:
        """Of one that was put, also where it was removed since.

        Raises: ProfileNotFound.
        """
        found = self.records.find(reference.name, reference.version)
        if found is None:
            raise ProfileNotFound.of(reference.name, reference.version)
        return found

    def ingestion_of(self, reference: ProfileReference, knowledge_store: str) -> Ingestion:
        """How documents become knowledge by that version, of a tenant on that store.

        Raises: ProfileNotFound.
        """
        if reference.is_default:
            return default_ingestion(self.ingestion, knowledge_store)
        return self.version(reference).ingestion

    def parsing_model(self, tenant: Tenant) -> str | None:
        """The model that is to read the pages of the tenant's documents; `None` where Bedrock's own parser does.

        Raises: ProfileNotFound.
        """
        return None if tenant.profile.is_default else self.version(tenant.profile).ingestion.parser.model

    def store_type(self, reference: ProfileReference) -> str | None:
        """Of the knowledge store that it is for; `None` for every store.

        Raises: ProfileNotFound.
        """
        return None if reference.is_default else self.version(reference).ingestion.knowledge_store

    def models_of(self, reference: ProfileReference) -> tuple[frozenset[str] | None, bool]:
        """The models that Bedrock calls in the name of the tenant's service role, `None` for those of the stack's
        parameters; and whether one of them reranks.

        Raises: ProfileNotFound.
        """
        if reference.is_default:
            return None, False
        profile = self.version(reference)
        return profile.service_role_models, profile.answering.reranker is not None

    def store_of(self, tenant: Tenant, stores: Stores) -> KnowledgeStore:
        """The tenant's store, for knowledge that is made by the tenant's profile.

        Raises: KnowledgeStoreNotOffered, ProfileNotFound.
        """
        store = store_of(tenant, stores)
        if tenant.profile.is_default:
            return store
        return store.made_by(self.ingestion_of(tenant.profile, tenant.knowledge_store))


@dataclass(frozen=True, slots=True)
class ProfileCatalogue:
    """All that can be chosen: the profiles that were put, and what the stack's parameters say."""

    records: ProfileRecords
    defaults: StackDefaults

    @property
    def put(self) -> Profiles:
        return Profiles(self.records, self.defaults.ingestion)

    def get(self, name: ProfileName, version: int | None = None) -> Profile:
        """
        Args:
            version: `None` for the newest.

        Raises:
            ProfileNotFound.
            InvalidInput: `default` has no versions.
        """
        if name != DEFAULT_PROFILE:
            return self.put.newest(name) if version is None else self.put.version(ProfileReference(name, version))
        if version is not None:
            raise InvalidInput("version", "profile default has none: it is what the stack's parameters say.")
        return self.defaults.profile()

    def all(self) -> Sequence[Profile]:
        """`default`, and the newest versions of those that are listed."""
        newest = (self.records.newest(name) for name in self.records.names())
        return [self.defaults.profile(), *(profile for profile in newest if profile is not None)]


def require_takeable(wanted: ProfileReference, existing: Tenant | None, profiles: Profiles) -> str | None:
    """A tenant can be given that profile. Returns: the type of the knowledge store that it is for; `None` for every
    store.

    Raises:
        ProfileNotFound.
        InvalidInput: the tenant's documents have been read otherwise than by it.
    """
    store = profiles.store_type(wanted)
    if existing is None or existing.knowledge_base_id is None:
        return store
    if store in {None, existing.knowledge_store}:
        before, after = (profiles.ingestion_of(each, existing.knowledge_store) for each in (existing.profile, wanted))
        otherwise = ", ".join(each.field for each in ingestion_changes(before, after))
    else:
        otherwise = "ingestion.knowledge_store"
    if otherwise:
        raise InvalidInput(
            "profile",
            f"{wanted} reads documents otherwise than tenant {existing.tenant_id}'s are read: by {otherwise}.",
            remedy=f"Run `kbfleet tenant rebuild {existing.tenant_id} --profile {wanted.name}`: it reads them anew "
            "beside what answers; or choose a profile that differs in how questions are answered only.",
        )
    return store


def put_version(wanted: Profile, *, catalogue: ProfileCatalogue, offer: StackOffer) -> Profile:
    """Makes it the newest version, unless the newest describes the same. Returns: that version.

    Args:
        wanted: whatever its version.

    Raises:
        InvalidInput: `default` cannot be put; or there are too many versions.
        ProfileRefused: with all that is refused; nothing was put.
        ConcurrentUpdate: somebody else puts it at the same moment.
    """
    _not_the_default(wanted.name, "put")
    require_allowed(wanted, offer)
    newest = catalogue.records.newest(wanted.name)
    # Before the version: whoever dies in between leaves a name that has no new version, and not one that is not listed.
    catalogue.records.enlist(wanted.name)
    if newest is not None and newest.describes_as(wanted):
        return newest
    following = replace(wanted, version=newest.version + 1 if newest is not None else 1)
    if following.version > MAX_VERSION:
        raise InvalidInput("profile", f"{wanted.name} has {MAX_VERSION:,} versions, and can have no more.")
    catalogue.records.add(following)
    return following


def check_profile(
    wanted: Profile, *, catalogue: ProfileCatalogue, offer: StackOffer
) -> tuple[Sequence[Refusal], Profile | None, Sequence[ProfileChange]]:
    """What would be refused of it; the newest version, if there is one; and what the wanted one changes of that."""
    newest = (
        catalogue.defaults.profile() if wanted.name == DEFAULT_PROFILE else catalogue.put.newest_listed(wanted.name)
    )
    return refusals(wanted, offer), newest, changes(newest, wanted) if newest is not None else ()


def remove_profile(name: ProfileName, *, catalogue: ProfileCatalogue, registry: TenantRegistry) -> None:
    """It can be chosen no more. Its versions stay: a tenant that was given it at the same moment goes on with it.

    Raises:
        InvalidInput: `default` cannot be removed.
        ProfileNotFound: there is none.
        ProfileInUse: tenants use it; it stays.
    """
    _not_the_default(name, "removed")
    if catalogue.put.newest_listed(name) is None:
        raise ProfileNotFound.of(name)
    # Before the look: nobody takes it up behind that.
    catalogue.records.delist(name)
    users = registry.using(name, _NAMED_USERS + 1)
    if users:
        catalogue.records.enlist(name)
        more = " and others" if len(users) > _NAMED_USERS else ""
        raise ProfileInUse(
            f"Profile {name} is used by {', '.join(users[:_NAMED_USERS])}{more}.",
            remedy="Give them another with `kbfleet tenant update TENANT --profile PROFILE`, or offboard them.",
        )


def _not_the_default(name: ProfileName, what: str) -> None:
    if name == DEFAULT_PROFILE:
        raise InvalidInput(
            "profile",
            f"default cannot be {what}: it is what the stack's parameters say.",
            remedy="Deploy with other parameters, or choose another name.",
        )
