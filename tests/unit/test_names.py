"""Names of the knowledge in a tenant's lives: no two share any, and each can be read back without a record."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.names import MAX_LIFE, Knowledge, Life, ResourceNames, TenantId
from tests.support.samples import ACCOUNT, ACME, NAMES, REGION, first_knowledge

fleets = st.from_regex(r"[a-z][a-z0-9]{1,11}", fullmatch=True).map(lambda name: ResourceNames(name, ACCOUNT, REGION))
# Few words, so that ids are often another's with something behind them, and read like a life's number.
tenant_ids = (
    st.lists(st.sampled_from(["acme", "a", "eu", "2", "12", "02", "999999", "1"]), min_size=1, max_size=5)
    .map("-".join)
    .filter(lambda text: 3 <= len(text) <= 32 and text[0].isalpha())
    .map(TenantId)
)
numbers = st.sampled_from([1, 2, 3, 12, MAX_LIFE]) | st.integers(1, MAX_LIFE)
known = st.builds(Knowledge, st.builds(Life, tenant_ids, numbers), numbers)
FIRST = first_knowledge("acme")


class TestTheFirst:
    def test_has_the_names_from_before_lives_were_counted(self) -> None:
        assert NAMES.bucket(FIRST.life) == "kbfleet-acme-eb805c6c3f"
        assert NAMES.knowledge_base(FIRST) == "kbfleet-acme"
        assert NAMES.vector_index(FIRST) == "acme"
        assert NAMES.usage_key(FIRST.life).name == "kbfleet-acme"
        assert NAMES.tags(FIRST.life) == {"kbfleet:fleet": "kbfleet", "kbfleet:tenant": "acme"}

    def test_is_what_a_resource_is_of_that_was_tagged_before(self) -> None:
        old = {"kbfleet:fleet": "kbfleet", "kbfleet:tenant": "acme", "team": "search"}
        assert NAMES.marked(old, Life(ACME))
        assert NAMES.owned("whatever it was renamed to", old, Life(ACME))
        assert not NAMES.marked(old, Life(ACME, 2))
        assert not NAMES.owned("kbfleet-acme", old, Life(ACME, 2))


class TestAnother:
    def test_says_which_it_is(self) -> None:
        knowledge = Knowledge(Life(ACME, 2), 3)
        assert NAMES.bucket(knowledge.life).startswith("kbfleet-acme-2-")
        assert NAMES.knowledge_base(knowledge) == "kbfleet-acme_2_3"
        assert NAMES.vector_index(knowledge) == "acme.2.3"
        assert NAMES.usage_key(knowledge.life).name == "kbfleet-acme_2"
        assert NAMES.tags(knowledge.life)["kbfleet:life"] == "2"

    def test_knowledge_of_the_first_life_has_its_bucket_and_names_of_its_own(self) -> None:
        second = Knowledge(Life(ACME), 2)
        assert NAMES.knowledge_base(second) == "kbfleet-acme_1_2"
        assert NAMES.vector_index(second) == "acme.1.2"
        assert second.life == FIRST.life

    def test_is_the_owner_of_what_has_lost_its_tags_if_the_name_says_so(self) -> None:
        life = Life(ACME, 2)
        for tags in ({}, {"kbfleet:tenant": "acme"}, {"kbfleet:fleet": "kbfleet", "kbfleet:tenant": "acme"}):
            assert NAMES.owned("kbfleet-acme_2_1", tags, life)
            assert not NAMES.owned("kbfleet-acme_3_1", tags, life)
            assert not NAMES.owned("kbfleet-acme", tags, life)

    @pytest.mark.parametrize("number", [0, -1, MAX_LIFE + 1])
    def test_number_that_names_have_no_room_for_is_refused(self, number: int) -> None:
        with pytest.raises(InvalidInput, match=f"life: {number} is not a number from 1 to 999999"):
            Life(ACME, number)
        with pytest.raises(InvalidInput, match="knowledge"):
            Knowledge(Life(ACME), number)


class TestAnyTwo:
    @given(fleets, known, known)
    @example(NAMES, first_knowledge("acme-2"), Knowledge(Life(ACME, 2)))
    @example(NAMES, Knowledge(Life(ACME, 2)), Knowledge(Life(ACME), 2))
    @example(NAMES, Knowledge(Life(TenantId("acme-1"), 2)), Knowledge(Life(ACME, 12)))
    def test_share_no_name(self, names: ResourceNames, one: Knowledge, other: Knowledge) -> None:
        assert (names.knowledge_base(one) == names.knowledge_base(other)) == (one == other)
        assert (names.vector_index(one) == names.vector_index(other)) == (one == other)
        same_life = one.life == other.life
        assert (names.bucket(one.life) == names.bucket(other.life)) == same_life
        assert (names.usage_key(one.life).name == names.usage_key(other.life).name) == same_life
        assert (names.usage_key(one.life).value == names.usage_key(other.life).value) == same_life
        assert (names.tags(one.life) == names.tags(other.life)) == same_life
        assert names.marked(names.tags(one.life), other.life) == same_life
        assert names.owned(names.knowledge_base(one), names.tags(one.life), other.life) == same_life
        assert names.owned(names.knowledge_base(one), {}, other.life) == same_life

    @given(known, known)
    @example(FIRST, first_knowledge("acme-2"))
    def test_tenants_are_told_apart_by_what_permissions_are_given_for(self, one: Knowledge, other: Knowledge) -> None:
        assume(one.tenant_id != other.tenant_id)
        for pattern in (f"{one.tenant_id}", f"{one.tenant_id}.*"):
            assert not fnmatch.fnmatchcase(NAMES.vector_index(other), pattern)
        own = NAMES.vector_index(one)
        assert own == one.tenant_id or fnmatch.fnmatchcase(own, f"{one.tenant_id}.*")


class TestReadingANameBack:
    @given(fleets, known)
    def test_gives_what_it_was_derived_from(self, names: ResourceNames, knowledge: Knowledge) -> None:
        assert names.life_of_bucket(names.bucket(knowledge.life)) == knowledge.life
        assert names.knowledge_of_knowledge_base(names.knowledge_base(knowledge)) == knowledge
        assert names.knowledge_of_vector_index(names.vector_index(knowledge)) == knowledge

    @given(st.one_of(st.text(max_size=80), st.text("kbfleet-acme_.129", max_size=40).map("kbfleet-acme".__add__)))
    def test_gives_only_what_the_name_is_derived_from(self, name: str) -> None:
        life = NAMES.life_of_bucket(name)
        assert life is None or NAMES.bucket(life) == name
        for read, derive in (
            (NAMES.knowledge_of_knowledge_base, NAMES.knowledge_base),
            (NAMES.knowledge_of_vector_index, NAMES.vector_index),
        ):
            knowledge = read(name)
            assert knowledge is None or derive(knowledge) == name

    @pytest.mark.parametrize(
        "name",
        [
            "kbfleet-acme_1_1",
            "kbfleet-acme_2",
            "kbfleet-acme_02_1",
            "kbfleet-acme_2_0",
            "kbfleet-acme_2_1_1",
            "kbfleet-acme_1000000_1",
            "kbfleet-acme_２_1",
            "kbfleet-acme__2_1",
        ],
    )
    def test_that_is_another_way_of_writing_it_gives_nothing(self, name: str) -> None:
        assert NAMES.knowledge_of_knowledge_base(name) is None
        assert NAMES.knowledge_of_vector_index(name.removeprefix("kbfleet-").replace("_", ".")) is None

    def test_of_another_fleet_gives_nothing(self) -> None:
        other = ResourceNames("other", ACCOUNT, REGION)
        assert NAMES.life_of_bucket(other.bucket(Life(ACME, 2))) is None
        assert NAMES.knowledge_of_knowledge_base(other.knowledge_base(Knowledge(Life(ACME, 2)))) is None

    def test_of_a_bucket_with_another_digest_gives_nothing(self) -> None:
        digest = NAMES.bucket(Life(ACME)).rpartition("-")[2]
        assert NAMES.life_of_bucket(f"kbfleet-acme-2-{digest}") == Life(TenantId("acme-2"))
        assert NAMES.life_of_bucket(f"kbfleet-acme-{NAMES.bucket(Life(ACME, 2)).rpartition('-')[2]}") is None
