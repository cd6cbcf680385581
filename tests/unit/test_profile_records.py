"""Putting, checking and removing profiles."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kbfleet.domain.errors import ConcurrentUpdate, InvalidInput, ProfileInUse, ProfileNotFound, ProfileRefused
from kbfleet.domain.profiles import DEFAULT_PROFILE, Effect, Profile, ProfileName, ProfileReference
from kbfleet.domain.tenant import ProvisioningRequest
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.ports import ProfileRecords
from kbfleet.usecases.profiles import ProfileCatalogue, check_profile, put_version, remove_profile
from kbfleet.usecases.provisioning import start_provisioning
from tests.support.fakes import InMemoryProfileRecords, InMemoryTenantRegistry
from tests.support.fleet import Fleet
from tests.support.samples import ACME, SAKURA, STACK_DEFAULTS, tenant
from tests.unit.test_profiles import FULL, OFFER, saying

NAME = FULL.name


def catalogue_of(records: ProfileRecords) -> ProfileCatalogue:
    return ProfileCatalogue(records, STACK_DEFAULTS)


class Shelf:
    """Profiles, and tenants that use them."""

    def __init__(self) -> None:
        self.records = InMemoryProfileRecords()
        self.catalogue = catalogue_of(self.records)
        self.registry = InMemoryTenantRegistry()

    def put(self, profile: Profile = FULL) -> Profile:
        return put_version(profile, catalogue=self.catalogue, offer=OFFER)

    def remove(self, name: ProfileName = NAME) -> None:
        remove_profile(name, catalogue=self.catalogue, registry=self.registry)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def test_the_first_version_is_1_and_another_description_is_the_next(shelf: Shelf) -> None:
    assert shelf.put().version == 1
    assert shelf.put(saying("answering.passages", 6)).version == 2
    assert shelf.catalogue.get(NAME) == replace(saying("answering.passages", 6), version=2)
    assert shelf.catalogue.get(NAME, 1) == replace(FULL, version=1)


def test_the_same_description_is_no_new_version(shelf: Shelf) -> None:
    shelf.put()
    assert shelf.put().version == 1
    assert shelf.records.find(NAME, 2) is None


def test_an_earlier_description_is_the_next_version_once_more(shelf: Shelf) -> None:
    shelf.put()
    shelf.put(saying("answering.passages", 6))
    assert shelf.put().version == 3


def test_of_two_who_put_at_once_one_is_told(shelf: Shelf) -> None:
    shelf.put()

    class ReadBefore(InMemoryProfileRecords):
        def newest(self, name: ProfileName) -> Profile | None:
            return shelf.records.find(name, 1)

    late = ReadBefore(replace(FULL, version=1), replace(FULL, version=2))
    with pytest.raises(ConcurrentUpdate):
        put_version(saying("answering.passages", 7), catalogue=catalogue_of(late), offer=OFFER)


def test_what_breaks_a_rule_is_not_put(shelf: Shelf) -> None:
    shelf.put()
    with pytest.raises(ProfileRefused, match="passages"):
        shelf.put(saying("answering.passages", 0))
    assert shelf.catalogue.get(NAME).version == 1


def test_the_default_is_neither_put_nor_removed_nor_has_it_versions(shelf: Shelf) -> None:
    with pytest.raises(InvalidInput, match="default"):
        shelf.put(replace(FULL, name=DEFAULT_PROFILE))
    with pytest.raises(InvalidInput, match="default"):
        shelf.remove(DEFAULT_PROFILE)
    with pytest.raises(InvalidInput, match="default"):
        shelf.catalogue.get(DEFAULT_PROFILE, 1)
    assert shelf.catalogue.get(DEFAULT_PROFILE) == STACK_DEFAULTS.profile()


def test_all_are_the_default_and_the_newest_of_each(shelf: Shelf) -> None:
    shelf.put()
    shelf.put(saying("answering.passages", 6))
    shelf.records.enlist(ProfileName("begun"))  # and whoever did died
    assert [str(each.reference) for each in shelf.catalogue.all()] == ["default", "full version 2"]


def test_what_nobody_uses_can_be_removed_and_put_again(shelf: Shelf) -> None:
    shelf.put()
    shelf.remove()
    with pytest.raises(ProfileNotFound):
        shelf.catalogue.get(NAME)
    with pytest.raises(ProfileNotFound):
        shelf.remove()
    # Whoever was given it at the same moment goes on with it.
    assert shelf.catalogue.get(NAME, 1).version == 1
    assert shelf.put().version == 1
    assert shelf.catalogue.get(NAME).version == 1


def test_what_a_tenant_uses_is_not_removed_in_whichever_version(shelf: Shelf) -> None:
    shelf.put()
    shelf.registry.create(tenant(ACME, profile=ProfileReference(NAME, 1)))
    shelf.put(saying("answering.passages", 6))
    with pytest.raises(ProfileInUse, match="acme"):
        shelf.remove()
    assert shelf.catalogue.get(NAME).version == 2
    shelf.registry.replace(tenant(ACME, profile=ProfileReference(NAME, 1), status=TenantStatus.OFFBOARDED), fence=1)
    shelf.remove()


def test_a_tenants_profile_is_the_version_of_its_record(shelf: Shelf) -> None:
    shelf.put()
    shelf.put(saying("answering.passages", 6))
    office = saying("ingestion.parser.model", "us.amazon.nova-lite-v1:0")
    shelf.records.add(replace(office, version=3))
    acme = tenant(ACME, profile=ProfileReference(NAME, 3))
    assert shelf.catalogue.put.ingestion_of(acme.profile, "OPENSEARCH_SERVERLESS") == office.ingestion
    assert shelf.catalogue.put.models_of(acme.profile) == (
        frozenset({"us.amazon.nova-lite-v1:0", "amazon.titan-embed-text-v2:0", "cohere.rerank-v3-5:0"}),
        True,
    )
    plain = tenant(SAKURA, knowledge_store="MANAGED")
    assert shelf.catalogue.put.ingestion_of(plain.profile, "MANAGED") == STACK_DEFAULTS.profile("MANAGED").ingestion
    assert shelf.catalogue.put.models_of(plain.profile) == (None, False)


def test_a_check_tells_what_would_be_refused_and_what_changes(shelf: Shelf) -> None:
    wanted = saying("answering.passages", 0, saying("ingestion.chunking.max_tokens", 301))
    refused, newest, changed = check_profile(wanted, catalogue=shelf.catalogue, offer=OFFER)
    assert [each.field for each in refused] == ["answering.passages"]
    assert (newest, changed) == (None, ())
    shelf.put()
    _, newest, changed = check_profile(wanted, catalogue=shelf.catalogue, offer=OFFER)
    assert newest == replace(FULL, version=1)
    assert {each.field: each.effect for each in changed} == {
        "ingestion.chunking.max_tokens": Effect.REBUILD,
        "answering.passages": Effect.NEXT_QUESTION,
    }
    assert shelf.catalogue.get(NAME).version == 1


@pytest.mark.parametrize("existing", [True, False])
def test_one_for_another_store_is_refused(existing: bool) -> None:
    fleet = Fleet()
    fleet.profile_records.add(replace(FULL, version=1))
    stores = {"S3_VECTORS": fleet.store, "OPENSEARCH_SERVERLESS": fleet.store}
    if existing:
        fleet.registry.create(tenant(ACME))
    asked = ProvisioningRequest(
        ACME, knowledge_store=None if existing else "S3_VECTORS", profile=ProfileReference(FULL.name, 1)
    )

    def start(request: ProvisioningRequest) -> None:
        start_provisioning(
            request,
            registry=fleet.registry,
            executions=fleet.executions,
            stores=stores,
            profiles=fleet.profiles,
            clock=fleet.clock,
        )

    refused = (
        "by ingestion.knowledge_store" if existing else "is for knowledge store OPENSEARCH_SERVERLESS, not S3_VECTORS"
    )
    with pytest.raises(InvalidInput, match=refused):
        start(asked)
    assert fleet.executions.requests == {}
    start(ProvisioningRequest(SAKURA, profile=ProfileReference(FULL.name, 1)))
    assert len(fleet.executions.requests) == 1
