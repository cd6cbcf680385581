"""API Gateway: the keys by which it counts what tenants ask."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kbfleet.adapters.aws_errors import translated
from kbfleet.domain.errors import NotReadyYet, ResourceConflict, ResourceMissing

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from kbfleet.domain.usage_plan import UsageKey

_PAGE = 500
"""The most keys that one page of the list has (AWS documentation, GetApiKeys)."""


class ApiGatewayUsageKeys:
    """`kbfleet.ports.UsageKeys` by API keys of API Gateway.

    Args:
        client: of boto3, for `apigateway`.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def ensure(self, key: UsageKey, tags: Mapping[str, str], *, plan_id: str, other_plan_ids: Collection[str]) -> None:
        key_id = self._ensure_key(key, tags)
        # A key can be in one usage plan only of those for the same stage: out of the other plans, then into its own.
        # Source: AWS documentation, Usage plans and API keys for REST APIs.
        for other in other_plan_ids:
            if self._in_plan(key_id, other):
                with suppress(ResourceMissing), translated(f"usage key {key.name} in usage plan {other}"):
                    self._client.delete_usage_plan_key(usagePlanId=other, keyId=key_id)
        if not self._in_plan(key_id, plan_id):
            self._put_into_plan(key, key_id, plan_id)

    def delete(self, key: UsageKey) -> None:
        found = self._find(key)
        if found is not None:
            # It leaves its usage plans along with it (inferred).
            with suppress(ResourceMissing), translated(f"usage key {key.name}"):
                self._client.delete_api_key(apiKey=found["id"])

    def exists(self, key: UsageKey) -> bool:
        # An account has many keys: all are read only where none has the name that it should have.
        return self._find(key, name=key.name) is not None or self._find(key) is not None

    def _ensure_key(self, key: UsageKey, tags: Mapping[str, str]) -> str:
        found = self._find(key, name=key.name)
        if found is None:
            try:
                with translated(f"usage key {key.name}"):
                    made = self._client.create_api_key(name=key.name, value=key.value, enabled=True, tags=dict(tags))
                return str(made["id"])
            except ResourceConflict:
                # Somebody has made it since, or given it another name.
                found = self._find(key)
                if found is None:
                    raise NotReadyYet(f"Usage key {key.name} exists, but is not listed yet.") from None
        if not tags.items() <= found.get("tags", {}).items():
            raise ResourceConflict(
                f"An API key {found['name']} ({found['id']}) has the value of usage key {key.name}, but not its tags.",
                remedy=f"Delete it; or, if it is this tenant's, tag it with {dict(tags)}. Then provision again.",
            )
        drift = {"/enabled": (found["enabled"], True), "/name": (found["name"], key.name)}
        repairs = [
            {"op": "replace", "path": path, "value": str(wanted).lower() if wanted is True else wanted}
            for path, (present, wanted) in drift.items()
            if present != wanted
        ]
        if repairs:
            with translated(f"usage key {key.name}"):
                self._client.update_api_key(apiKey=found["id"], patchOperations=repairs)
        return str(found["id"])

    def _find(self, key: UsageKey, *, name: str | None = None) -> dict[str, Any] | None:
        """The key of that value, whatever its name is; with `name`, only among those whose names begin so."""
        query = {"nameQuery": name} if name else {}
        with translated(f"usage key {key.name}"):
            pages = self._client.get_paginator("get_api_keys").paginate(
                includeValues=True, PaginationConfig={"PageSize": _PAGE}, **query
            )
            keys = (item for page in pages for item in page["items"])
            found: dict[str, Any] | None = next((item for item in keys if item["value"] == key.value), None)
        return found

    def _put_into_plan(self, key: UsageKey, key_id: str, plan_id: str) -> None:
        try:
            with translated(f"usage key {key.name} in usage plan {plan_id}"):
                self._client.create_usage_plan_key(usagePlanId=plan_id, keyId=key_id, keyType="API_KEY")
        except ResourceConflict:
            # It has been put there since; or into a plan for the same stage that is not the fleet's.
            if not self._in_plan(key_id, plan_id):
                raise

    def _in_plan(self, key_id: str, plan_id: str) -> bool:
        try:
            with translated(f"API key {key_id} in usage plan {plan_id}"):
                self._client.get_usage_plan_key(usagePlanId=plan_id, keyId=key_id)
        except ResourceMissing:
            return False
        return True
