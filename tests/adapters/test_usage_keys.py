"""The keys by which API Gateway counts what tenants ask, by our fake and by the real adapter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.stub import Stubber

from kbfleet.adapters.api_gateway import ApiGatewayUsageKeys
from kbfleet.domain.errors import NotReadyYet, ResourceConflict, Throttled
from kbfleet.domain.names import Life
from kbfleet.ports import UsageKeys
from tests.support.aws import client as aws_client
from tests.support.aws import make_usage_plan
from tests.support.fakes import InMemoryUsageKeys
from tests.support.samples import ACME, NAMES, SAKURA

KEY, ANOTHER = NAMES.usage_key(Life(ACME)), NAMES.usage_key(Life(SAKURA))
TAGS = NAMES.tags(Life(ACME))
STANDARD, PREMIUM, OTHERS = "plan-standard", "plan-premium", "plan-of-others"
"""Ids of usage plans, which are called alike."""


class UsageKeysSuite:
    @pytest.fixture
    def keys(self) -> UsageKeys:
        raise NotImplementedError

    def plans_of(self, keys: UsageKeys) -> set[str]:
        """Which usage plans the tenant's key is in."""
        raise NotImplementedError

    def disable(self, keys: UsageKeys) -> None:
        """Somebody disables the tenant's key."""
        raise NotImplementedError

    def move(self, keys: UsageKeys, to: str | None) -> None:
        """Somebody takes the tenant's key out of its plans, and puts it into another."""
        raise NotImplementedError

    def breaks(self, keys: UsageKeys) -> list[bool | None] | None:
        """Of each difference, whether the key does not do its work for it."""
        found = keys.differences(KEY, plan=STANDARD, other_plans=[PREMIUM])
        return [each.breaks for each in found] if found is not None else None

    def test_what_somebody_has_changed_is_seen_and_put_right(self, keys: UsageKeys) -> None:
        assert self.breaks(keys) is None
        changes: list[tuple[Callable[[], None], bool | None]] = [
            (lambda: self.disable(keys), True),
            (lambda: self.move(keys, None), True),
            (lambda: self.move(keys, PREMIUM), False),
            (lambda: self.move(keys, OTHERS), None),
        ]
        for change, breaks in changes:
            keys.ensure(KEY, TAGS, plan_id=STANDARD, other_plan_ids=[PREMIUM, OTHERS])
            assert self.breaks(keys) == []
            change()
            assert self.breaks(keys) == [breaks]

    def test_one_that_was_never_made_is_not_there_and_can_be_deleted(self, keys: UsageKeys) -> None:
        keys.delete(KEY)
        assert not keys.exists(KEY)

    def test_one_is_there_and_in_its_plan_however_often_it_is_ensured(self, keys: UsageKeys) -> None:
        for _ in range(3):
            keys.ensure(KEY, TAGS, plan_id=STANDARD, other_plan_ids=[PREMIUM])
            assert keys.exists(KEY)
            assert self.plans_of(keys) == {STANDARD}

    def test_it_moves_to_another_plan_and_back(self, keys: UsageKeys) -> None:
        for plan, other in ((STANDARD, PREMIUM), (PREMIUM, STANDARD), (STANDARD, PREMIUM)):
            keys.ensure(KEY, TAGS, plan_id=plan, other_plan_ids=[other])
            assert self.plans_of(keys) == {plan}

    def test_one_that_is_deleted_is_gone_and_the_others_stay(self, keys: UsageKeys) -> None:
        keys.ensure(KEY, TAGS, plan_id=STANDARD, other_plan_ids=[PREMIUM])
        keys.ensure(ANOTHER, NAMES.tags(Life(SAKURA)), plan_id=STANDARD, other_plan_ids=[PREMIUM])
        for _ in range(2):
            keys.delete(KEY)
            assert not keys.exists(KEY)
        assert keys.exists(ANOTHER)

    def test_one_that_was_deleted_can_be_made_anew(self, keys: UsageKeys) -> None:
        keys.ensure(KEY, TAGS, plan_id=STANDARD, other_plan_ids=[PREMIUM])
        keys.delete(KEY)
        keys.ensure(KEY, TAGS, plan_id=PREMIUM, other_plan_ids=[STANDARD])
        assert keys.exists(KEY)

    def test_one_that_is_known_by_its_id_is_the_same_one(self, keys: UsageKeys) -> None:
        assert keys.find(KEY) is None
        key_id = keys.ensure(KEY, TAGS, plan_id=STANDARD, other_plan_ids=[PREMIUM])
        assert keys.find(KEY) == key_id
        assert keys.ensure(KEY, TAGS, known_as=key_id, plan_id=STANDARD, other_plan_ids=[PREMIUM]) == key_id
        assert keys.exists(KEY, known_as=key_id)
        keys.delete(KEY, known_as=key_id)
        assert not keys.exists(KEY, known_as=key_id)
        keys.delete(KEY, known_as=key_id)

    def test_each_counts_against_the_accounts_quota(self, keys: UsageKeys) -> None:
        before = keys.count()
        keys.ensure(KEY, TAGS, plan_id=STANDARD, other_plan_ids=[PREMIUM])
        assert keys.count() == before + 1

    def test_an_id_that_is_wrong_does_no_harm(self, keys: UsageKeys) -> None:
        another = keys.ensure(ANOTHER, NAMES.tags(Life(SAKURA)), plan_id=STANDARD, other_plan_ids=[PREMIUM])
        keys.ensure(KEY, TAGS, known_as=another, plan_id=STANDARD, other_plan_ids=[PREMIUM])
        keys.delete(KEY, known_as=another)
        assert not keys.exists(KEY, known_as=another)
        assert keys.exists(ANOTHER)

    def test_one_with_other_tags_is_not_taken(self, keys: UsageKeys) -> None:
        keys.ensure(KEY, NAMES.tags(Life(SAKURA)), plan_id=STANDARD, other_plan_ids=[PREMIUM])
        with pytest.raises(ResourceConflict, match="not its tags"):
            keys.ensure(KEY, TAGS, plan_id=STANDARD, other_plan_ids=[PREMIUM])


class TestInMemoryUsageKeys(UsageKeysSuite):
    @pytest.fixture
    def keys(self) -> UsageKeys:
        return InMemoryUsageKeys()

    def plans_of(self, keys: UsageKeys) -> set[str]:
        assert isinstance(keys, InMemoryUsageKeys)
        return keys.keys[KEY.value].plans

    def disable(self, keys: UsageKeys) -> None:
        assert isinstance(keys, InMemoryUsageKeys)
        keys.keys[KEY.value].enabled = False

    def move(self, keys: UsageKeys, to: str | None) -> None:
        assert isinstance(keys, InMemoryUsageKeys)
        keys.keys[KEY.value].plans = {to} if to is not None else set()


class TestApiGatewayUsageKeys(UsageKeysSuite):
    @pytest.fixture
    def keys(self, aws: None) -> UsageKeys:
        self.client: Any = aws_client("apigateway")
        for plan in (STANDARD, PREMIUM, OTHERS):
            make_usage_plan(plan, plan)
        return ApiGatewayUsageKeys(self.client)

    def disable(self, _keys: UsageKeys) -> None:
        (key,) = self.made()
        disabled = [{"op": "replace", "path": "/enabled", "value": "false"}]
        self.client.update_api_key(apiKey=key["id"], patchOperations=disabled)

    def move(self, _keys: UsageKeys, to: str | None) -> None:
        (key,) = self.made()
        for plan in self.client.get_usage_plans(keyId=key["id"])["items"]:
            self.client.delete_usage_plan_key(usagePlanId=plan["id"], keyId=key["id"])
        if to is not None:
            self.client.create_usage_plan_key(usagePlanId=to, keyId=key["id"], keyType="API_KEY")

    def plans_of(self, _keys: UsageKeys) -> set[str]:
        (key,) = self.made()
        return {plan for plan in (STANDARD, PREMIUM) if self.in_plan(key["id"], plan)}

    def in_plan(self, key_id: str, plan: str) -> bool:
        found = self.client.get_usage_plan_keys(usagePlanId=plan)["items"]
        return key_id in [item["id"] for item in found]

    def made(self) -> list[dict[str, Any]]:
        found = self.client.get_api_keys(includeValues=True)["items"]
        return [item for item in found if item["value"] == KEY.value]

    def ensure(self, keys: UsageKeys) -> None:
        keys.ensure(KEY, TAGS, plan_id=STANDARD, other_plan_ids=[PREMIUM])

    def test_it_has_the_tenants_name_value_and_tags(self, keys: UsageKeys) -> None:
        self.ensure(keys)
        (key,) = self.made()
        assert (key["name"], key["value"], key["enabled"], key["tags"]) == ("kbfleet-acme", KEY.value, True, TAGS)

    @pytest.mark.parametrize(("path", "value"), [("/enabled", "false"), ("/name", "renamed")])
    def test_drift_is_repaired(self, keys: UsageKeys, path: str, value: str) -> None:
        self.ensure(keys)
        (before,) = self.made()
        changed = [{"op": "replace", "path": path, "value": value}]
        self.client.update_api_key(apiKey=before["id"], patchOperations=changed)
        self.ensure(keys)
        (key,) = self.made()
        assert (key["id"], key["name"], key["enabled"]) == (before["id"], "kbfleet-acme", True)

    def test_one_that_was_renamed_is_found_and_deleted(self, keys: UsageKeys) -> None:
        self.ensure(keys)
        (key,) = self.made()
        changed = [{"op": "replace", "path": "/name", "value": "renamed"}]
        self.client.update_api_key(apiKey=key["id"], patchOperations=changed)
        assert keys.exists(KEY)
        keys.delete(KEY)
        assert self.made() == []

    def test_one_that_was_left_out_of_its_plan_is_put_in(self, keys: UsageKeys) -> None:
        self.client.create_api_key(name=KEY.name, value=KEY.value, enabled=True, tags=TAGS)
        self.ensure(keys)
        assert self.plans_of(keys) == {STANDARD}

    def test_that_of_a_tenant_whose_id_begins_alike_is_another(self, keys: UsageKeys) -> None:
        self.client.create_api_key(name=f"{KEY.name}-2", value="x" * 20, enabled=True)
        assert not keys.exists(KEY)
        self.ensure(keys)
        assert len(self.made()) == 1


def item(**changes: Any) -> dict[str, Any]:
    return {"id": "key1", "name": KEY.name, "value": KEY.value, "enabled": True, "tags": TAGS, **changes}


def test_one_that_is_known_is_looked_up_without_a_list_of_the_account(aws: None) -> None:
    """It took 40 pages of 500 keys to offboard a tenant of 10,000."""
    client: Any = aws_client("apigateway")
    keys = ApiGatewayUsageKeys(client)
    key_id = keys.ensure(KEY, TAGS, plan_id=STANDARD, other_plan_ids=[PREMIUM])
    for number in range(600):
        client.create_api_key(name=f"kbfleet-other-{number}", value=f"{number:020}", enabled=True)
    pages: list[dict[str, Any]] = []
    client.meta.events.register("after-call.api-gateway.GetApiKeys", lambda parsed, **_: pages.append(parsed))
    keys.delete(KEY, known_as=key_id)
    assert not keys.exists(KEY, known_as=key_id)
    # Whether somebody has made another one of its name since.
    assert [len(page["items"]) for page in pages] == [0]


class TestRefusals:
    @pytest.fixture
    def stub(self) -> Any:
        return Stubber(aws_client("apigateway"))

    @pytest.fixture
    def keys(self, stub: Any) -> UsageKeys:
        return ApiGatewayUsageKeys(stub.client)

    def ensure(self, stub: Any, keys: UsageKeys) -> None:
        with stub:
            keys.ensure(KEY, TAGS, plan_id=STANDARD, other_plan_ids=[])
            stub.assert_no_pending_responses()

    def test_it_is_found_on_whichever_page_of_the_list_it_is(self, stub: Any, keys: UsageKeys) -> None:
        stub.add_response("get_api_keys", {"items": [item(id="other", value="y" * 20)], "position": "2"})
        stub.add_response("get_api_keys", {"items": [item()]})
        stub.add_response("get_usage_plan_key", {"id": "key1"})
        self.ensure(stub, keys)

    def test_one_that_somebody_else_makes_at_the_same_moment_is_taken(self, stub: Any, keys: UsageKeys) -> None:
        stub.add_response("get_api_keys", {"items": []})
        stub.add_client_error("create_api_key", "ConflictException", "API Key already exists", 409)
        stub.add_response("get_api_keys", {"items": [item()]})
        stub.add_client_error("get_usage_plan_key", "NotFoundException", "no", 404)
        stub.add_client_error("create_usage_plan_key", "ConflictException", "already subscribed", 409)
        stub.add_response("get_usage_plan_key", {"id": "key1"})
        self.ensure(stub, keys)

    def test_one_that_exists_but_is_not_listed_yet_is_worth_another_try(self, stub: Any, keys: UsageKeys) -> None:
        stub.add_response("get_api_keys", {"items": []})
        stub.add_client_error("create_api_key", "ConflictException", "API Key already exists", 409)
        stub.add_response("get_api_keys", {"items": []})
        with pytest.raises(NotReadyYet):
            self.ensure(stub, keys)

    def test_one_that_is_in_a_plan_of_others_is_a_conflict(self, stub: Any, keys: UsageKeys) -> None:
        stub.add_response("get_api_keys", {"items": [item()]})
        stub.add_client_error("get_usage_plan_key", "NotFoundException", "no", 404)
        stub.add_client_error("create_usage_plan_key", "ConflictException", "subscribed to another", 409)
        stub.add_client_error("get_usage_plan_key", "NotFoundException", "no", 404)
        with pytest.raises(ResourceConflict, match="subscribed to another"):
            self.ensure(stub, keys)

    def test_too_many_calls_are_worth_another_try(self, stub: Any, keys: UsageKeys) -> None:
        stub.add_response("get_api_keys", {"items": []})
        stub.add_client_error("create_api_key", "TooManyRequestsException", "slow", 429)
        with pytest.raises(Throttled):
            self.ensure(stub, keys)
