"""Tenant ids, the names derived from them, leases and fencing."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kbfleet.domain.errors import (
    InvalidInput,
    LeaseLost,
    OffboardingBegun,
    TenantBusy,
    TenantNotActive,
    TenantOffboarding,
)
from kbfleet.domain.names import MAX_LIFE, Knowledge, Life, ResourceNames, TenantId
from kbfleet.domain.tenant import DisplayName, Lease
from kbfleet.domain.tenant_status import TenantStatus
from tests.support.clock import START
from tests.support.hostile_words import FILLS_THE_CLIPBOARD, assert_printable
from tests.support.samples import ACCOUNT, DATA_SOURCE, NAMES, REGION, first_knowledge, provisioning_failure, tenant

LEASE = timedelta(hours=5)

# The rule in words, not in the product's pattern: words of letters and digits, joined by single hyphens.
_WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=32)
valid_tenant_ids = (
    st.lists(_WORD, min_size=1, max_size=8)
    .map("-".join)
    .filter(lambda text: 3 <= len(text) <= 32 and text[0].isalpha())
)
valid_fleet_names = st.from_regex(r"[a-z][a-z0-9]{1,11}", fullmatch=True)
numbers = st.integers(1, 3) | st.integers(1, MAX_LIFE)
regions = st.sampled_from(["us-east-1", "ap-northeast-1", "ap-southeast-4", "us-gov-west-1"])


def is_valid(text: str) -> bool:
    words = text.split("-")
    return (
        3 <= len(text) <= 32
        and "a" <= text[0] <= "z"
        and all(words)
        and all(character in "abcdefghijklmnopqrstuvwxyz0123456789-" for character in text)
    )


class TestTenantIds:
    @given(valid_tenant_ids)
    @example("abc")
    @example("a" * 32)
    @example("a-1-b-2")
    def test_valid_ids_are_accepted_as_they_are(self, text: str) -> None:
        assert TenantId(text) == text

    @given(st.one_of(st.text(max_size=40), st.text("abc019-", min_size=1, max_size=34)))
    @example("")
    @example("ab")
    @example("a" * 33)
    @example("Acme")
    @example("1acme")
    @example("-acme")
    @example("acme-")
    @example("ac--me")
    @example("acme\n")
    @example("ac_me")
    @example("会社名")
    @example("acmé")
    @example("acme١")
    def test_anything_else_is_refused_naming_the_field(self, text: str) -> None:
        if is_valid(text):
            assert TenantId(text) == text
            return
        with pytest.raises(InvalidInput) as refused:
            TenantId(text)
        assert refused.value.field == "tenant_id"
        assert "lower-case letters" in refused.value.remedy

    @pytest.mark.parametrize("value", [None, 7, b"acme", ["acme"], {"tenant_id": "acme"}])
    def test_what_is_not_text_is_refused(self, value: object) -> None:
        with pytest.raises(InvalidInput):
            TenantId(value)

    def test_a_very_long_value_is_not_repeated_in_the_message(self) -> None:
        with pytest.raises(InvalidInput) as refused:
            TenantId("x" * 10_000)
        assert len(str(refused.value)) < 200


class TestResourceNames:
    @given(valid_fleet_names, valid_tenant_ids, regions, numbers, numbers)
    @example("a" * 12, "b" * 32, "ap-southeast-4", 1, 1)
    @example("a" * 12, "b" * 32, "ap-southeast-4", MAX_LIFE, MAX_LIFE)
    def test_every_name_is_one_that_aws_accepts(
        self, fleet: str, tenant_id: str, region: str, life_number: int, number: int
    ) -> None:
        names, life = ResourceNames(fleet, ACCOUNT, region), Life(TenantId(tenant_id), life_number)
        knowledge = Knowledge(life, number)
        # Source: Amazon S3 documentation, "General purpose bucket naming rules".
        bucket = names.bucket(life)
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", bucket)
        assert not bucket.startswith(("xn--", "sthree-", "amzn-s3-demo-"))
        assert not bucket.endswith(("-s3alias", "--ol-s3", "--x-s3", "--table-s3", "-an"))
        # Source: botocore model of bedrock-agent, shape Name.
        for name in (names.knowledge_base(knowledge), names.data_source()):
            assert re.fullmatch(r"([0-9a-zA-Z][_-]?){1,100}", name)
        # Source: Amazon S3 documentation, "Vector index naming rules".
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", names.vector_index(knowledge))
        # Source: AWS documentation, "Tag naming limits and requirements".
        for key, value in names.tags(life).items():
            assert re.fullmatch(r"[\w .:/=+@-]{1,128}", key)
            assert len(value) <= 256
            assert not key.startswith("aws:")

    @given(valid_fleet_names, valid_tenant_ids, valid_tenant_ids)
    @example("kbfleet", "acme", "acme-2")
    def test_different_tenants_of_a_fleet_never_share_a_name(self, fleet: str, one: str, other: str) -> None:
        names = ResourceNames(fleet, ACCOUNT, REGION)
        mine, theirs = first_knowledge(one), first_knowledge(other)
        for derive in (names.knowledge_base, names.vector_index):
            assert (derive(mine) == derive(theirs)) == (one == other)
        assert (names.bucket(mine.life) == names.bucket(theirs.life)) == (one == other)

    @given(valid_fleet_names, valid_tenant_ids, valid_fleet_names, valid_tenant_ids)
    @example("kb", "eu-acme", "kbeu", "acme")
    def test_tenants_of_different_fleets_in_one_account_never_share_a_name(
        self, fleet: str, tenant_id: str, other_fleet: str, other_tenant_id: str
    ) -> None:
        one, other = ResourceNames(fleet, ACCOUNT, REGION), ResourceNames(other_fleet, ACCOUNT, REGION)
        same = (fleet, tenant_id) == (other_fleet, other_tenant_id)
        mine, theirs = TenantId(tenant_id), TenantId(other_tenant_id)
        assert (one.bucket(Life(mine)) == other.bucket(Life(theirs))) == same
        assert (one.knowledge_base(first_knowledge(mine)) == other.knowledge_base(first_knowledge(theirs))) == same

    def test_the_same_tenant_has_another_bucket_in_another_account_or_region(self) -> None:
        buckets = {
            ResourceNames("kbfleet", account, region).bucket(Life(TenantId("acme")))
            for account in (ACCOUNT, "210987654321")
            for region in ("us-east-1", "ap-northeast-1")
        }
        assert len(buckets) == 4

    def test_names_are_the_same_every_time(self) -> None:
        again = ResourceNames("kbfleet", ACCOUNT, REGION)
        assert again.bucket(Life(TenantId("acme"))) == NAMES.bucket(Life(TenantId("acme")))

    @pytest.mark.parametrize("fleet", ["", "k", "a" * 13, "Kb", "1kb", "kb-", "kb-eu", "k_b", "kb\n"])
    def test_an_impossible_fleet_name_is_refused(self, fleet: str) -> None:
        with pytest.raises(InvalidInput, match="fleet"):
            ResourceNames(fleet, ACCOUNT, REGION)


class TestDisplayNames:
    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("Acme", "Acme"),
            ("  桜商事 ", "桜商事"),
            ("x" * 100, "x" * 100),
            ("A & B <C>", "A & B <C>"),
            ("Cafe\u0301", "Café"),
            ("か\u3099", "が"),
            ("👩\u200d🚀", "👩\u200d🚀"),
            ("می\u200cخواهم", "می\u200cخواهم"),
        ],
    )
    def test_any_short_text_is_a_name_without_the_space_around_it(self, text: str, name: str) -> None:
        assert DisplayName(text) == name

    @pytest.mark.parametrize(
        "text",
        [
            FILLS_THE_CLIPBOARD,
            "a\0b",
            "a\nb",
            "\u202eemca",
            "\u2066a",
            "a\u2028b",
            "a\u2029b",
            "ac\u200dme",
            "\u3164",
            "\ufeffa",
        ],
    )
    def test_what_cannot_be_seen_or_acts_on_a_device_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidInput, match="can be seen") as refused:
            DisplayName(f"x{text}x")
        assert_printable(str(refused.value))

    @pytest.mark.parametrize("text", ["", "   ", "\n", "x" * 101, None, 5])
    def test_no_text_or_too_long_a_text_is_refused(self, text: object) -> None:
        with pytest.raises(InvalidInput, match="name"):
            DisplayName(text)


class TestLeases:
    def test_the_first_to_reserve_gets_the_lease_and_the_next_fencing_token(self) -> None:
        reserved = tenant(fence=4).reserved_by("one", START, LEASE)
        assert reserved.lease == Lease("one", START + LEASE)
        assert reserved.fence == 5

    def test_another_execution_is_refused_while_the_lease_lasts(self) -> None:
        reserved = tenant().reserved_by("one", START, LEASE)
        with pytest.raises(TenantBusy, match="one"):
            reserved.reserved_by("two", START + LEASE - timedelta(seconds=1), LEASE)

    def test_a_lease_that_has_run_out_can_be_taken_over(self) -> None:
        reserved = tenant().reserved_by("one", START, LEASE)
        taken = reserved.reserved_by("two", START + LEASE, LEASE)
        assert taken.lease is not None
        assert taken.lease.holder == "two"
        assert taken.fence == reserved.fence + 1

    def test_the_holder_may_reserve_again_because_its_answer_may_have_been_lost(self) -> None:
        reserved = tenant().reserved_by("one", START, LEASE)
        again = reserved.reserved_by("one", START + timedelta(minutes=1), LEASE)
        assert again.fence == reserved.fence + 1

    def test_the_newest_fencing_token_holds_the_record(self) -> None:
        reserved = tenant().reserved_by("one", START, LEASE)
        assert reserved.held_under(reserved.fence) is reserved

    def test_an_older_fencing_token_does_not_hold_it_any_more(self) -> None:
        old = tenant().reserved_by("one", START, LEASE)
        taken = old.reserved_by("two", START + LEASE, LEASE)
        with pytest.raises(LeaseLost):
            taken.held_under(old.fence)

    def test_a_lease_that_was_given_back_holds_nothing(self) -> None:
        activated = tenant().reserved_by("one", START, LEASE).converged("2", START)
        with pytest.raises(LeaseLost):
            activated.held_under(activated.fence)


class TestLifecycle:
    def test_activation_gives_the_lease_back_and_forgets_the_last_failure(self) -> None:
        broken = tenant(status=TenantStatus.FAILED, failure=provisioning_failure())
        activated = broken.reserved_by("one", START, LEASE).converged("2", START)
        assert (activated.status, activated.lease, activated.failure) == (TenantStatus.ACTIVE, None, None)
        assert activated.resources_version == "2"

    def test_a_suspended_tenant_is_converged_and_stays_suspended(self) -> None:
        reserved = tenant(status=TenantStatus.SUSPENDED).reserved_by("one", START, LEASE)
        assert reserved.status is TenantStatus.SUSPENDED
        converged = reserved.converged("2", START)
        assert (converged.status, converged.lease) == (TenantStatus.SUSPENDED, None)
        assert converged.resources_version == "2"

    def test_a_suspended_tenant_that_is_being_converged_cannot_be_resumed_yet(self) -> None:
        reserved = tenant(status=TenantStatus.SUSPENDED).reserved_by("one", START, LEASE)
        with pytest.raises(TenantBusy, match="one"):
            reserved.resumed(START)

    def test_failure_gives_the_lease_back_and_keeps_what_was_made(self) -> None:
        provisioned = tenant(status=TenantStatus.PROVISIONING)
        failed = provisioned.reserved_by("one", START, LEASE).failed(provisioning_failure())
        assert (failed.status, failed.lease) == (TenantStatus.FAILED, None)
        assert failed.failure == provisioning_failure()
        assert failed.knowledge_base_id == DATA_SOURCE.knowledge_base_id

    def test_one_that_leaves_is_told_the_way_back_only_while_there_is_one(self) -> None:
        leaving = tenant().offboarding_requested(START, retention=timedelta(days=30))
        with pytest.raises(TenantOffboarding, match=r"`kbfleet tenant resume acme` takes it back until .* after 20"):
            leaving.not_leaving()
        assert leaving.resumed(START).status is TenantStatus.ACTIVE
        deleted = leaving.deletion_begun(START + timedelta(days=30))
        with pytest.raises(TenantOffboarding, match="is being deleted; it can be added anew when") as told:
            deleted.not_leaving()
        assert "resume" not in str(told.value)
        with pytest.raises(OffboardingBegun):
            deleted.resumed(START)

    def test_a_tenant_with_a_data_source_can_be_ingested(self) -> None:
        assert tenant().data_source() == DATA_SOURCE

    @pytest.mark.parametrize("missing", ["knowledge_base_id", "data_source_id"])
    def test_a_tenant_without_one_cannot_and_is_given_the_command(self, missing: str) -> None:
        with pytest.raises(TenantNotActive, match="kbfleet tenant add acme"):
            tenant(**{missing: None}).data_source()
