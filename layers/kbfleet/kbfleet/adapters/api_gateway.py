"""API Gateway: the keys by which it counts what tenants ask."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kbfleet.adapters.aws_errors import translated
from kbfleet.domain.errors import NotReadyYet, ResourceConflict, ResourceMissing
from kbfleet.domain.finding import Drift

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

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

    def ensure(
        self,
        key: UsageKey,
        tags: Mapping[str, str],
        *,
        known_as: str | None = None,
        plan_id: str,
        other_plan_ids: Collection[str],
    ) -> str:
        key_id = self._ensure_key(key, tags, known_as)
        # A key can be in one usage plan only of those for the same stage: out of the other plans, then into its own.
        # Source: AWS documentation, Usage plans and API keys for REST APIs.
        for other in other_plan_ids:
            if self._in_plan(key_id, other):
                with suppress(ResourceMissing), translated(f"usage key {key.name} in usage plan {other}"):
                    self._client.delete_usage_plan_key(usagePlanId=other, keyId=key_id)
        if not self._in_plan(key_id, plan_id):
            self._put_into_plan(key, key_id, plan_id)
        return key_id

    def find(self, key: UsageKey) -> str | None:
        found = self._found(key, None)
        return str(found["id"]) if found is not None else None

    def delete(self, key: UsageKey, *, known_as: str | None = None) -> None:
        found = self._found(key, known_as)
        if found is not None:
            # It leaves its usage plans along with it (inferred).
            with suppress(ResourceMissing), translated(f"usage key {key.name}"):
                self._client.delete_api_key(apiKey=found["id"])

    def exists(self, key: UsageKey, *, known_as: str | None = None) -> bool:
        return self._found(key, known_as) is not None

    def differences(
        self, key: UsageKey, *, known_as: str | None = None, plan: str, other_plans: Collection[str]
    ) -> Sequence[Drift] | None:
        found = self._found(key, known_as)
        if found is None:
            return None
        drifts = [] if found["enabled"] else [Drift("it is disabled", breaks=True)]
        in_plans = self._plans_of(key, found["id"])
        if plan not in in_plans:
            # In a plan of others it may be taken or not: whom that serves, they know.
            breaks = False if in_plans & set(other_plans) else None if in_plans else True
            drifts.append(Drift(f"it is not in usage plan {plan}", breaks))
        return drifts

    def _plans_of(self, key: UsageKey, key_id: str) -> set[str]:
        """The names of those that it is in."""
        with translated(f"the usage plans of usage key {key.name}"):
            pages = self._client.get_paginator("get_usage_plans").paginate(
                keyId=key_id, PaginationConfig={"PageSize": _PAGE}
            )
            return {plan["name"] for page in pages for plan in page["items"]}

    def count(self) -> int:
        with translated("the account's API keys"):
            pages = self._client.get_paginator("get_api_keys").paginate(PaginationConfig={"PageSize": _PAGE})
            return sum(len(page["items"]) for page in pages)

    def _found(self, key: UsageKey, known_as: str | None) -> dict[str, Any] | None:
        """Where it was known by an id, whoever has made another since has named it as kbfleet does: nobody else has a
        use for its value. An account has many keys: all are read only where none has the name that it should have."""
        named = self._described(key, known_as) or self._listed(key, name=key.name)
        return named or (self._listed(key) if known_as is None else None)

    def _ensure_key(self, key: UsageKey, tags: Mapping[str, str], known_as: str | None) -> str:
        found = self._described(key, known_as) or self._listed(key, name=key.name)
        if found is None:
            try:
                with translated(f"usage key {key.name}"):
                    made = self._client.create_api_key(name=key.name, value=key.value, enabled=True, tags=dict(tags))
                return str(made["id"])
            except ResourceConflict:
                # Somebody has made it since, or given it another name.
                found = self._listed(key)
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

    def _described(self, key: UsageKey, key_id: str | None) -> dict[str, Any] | None:
        """The key of that id, if it is there and has the value."""
        if key_id is None:
            return None
        try:
            with translated(f"usage key {key.name}"):
                found: dict[str, Any] = self._client.get_api_key(apiKey=key_id, includeValue=True)
        except ResourceMissing:
            return None
        return found if found["value"] == key.value else None

    def _listed(self, key: UsageKey, *, name: str | None = None) -> dict[str, Any] | None:
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
