"""Usage plans are listed of a key."""

from typing import Any
from uuid import uuid4


def test_a_keys_usage_plans_are_those_that_it_is_in(aws: Any) -> None:
    gateway, name = aws.client("apigateway"), uuid4().hex
    key = gateway.create_api_key(name=name, value=name, enabled=True)["id"]
    own, other = (gateway.create_usage_plan(name=f"{name}-{which}")["id"] for which in ("own", "other"))
    assert gateway.get_usage_plans(keyId=key)["items"] == []
    gateway.create_usage_plan_key(usagePlanId=own, keyId=key, keyType="API_KEY")
    assert [plan["id"] for plan in gateway.get_usage_plans(keyId=key)["items"]] == [own]
    assert {own, other} <= {plan["id"] for plan in gateway.get_usage_plans(limit=500)["items"]}
