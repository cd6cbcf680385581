"""A list of usage plans is of those that a key is in, where a key is named.

MiniStack gives all of them, whatever `keyId` says. AWS documentation, GetUsagePlans: the identifier of the API key
associated with the usage plans.
"""

from typing import Any

from ministack.services import apigateway_v1

from local.stack.configuration import StackConfiguration


def apply(configuration: StackConfiguration) -> None:  # noqa: ARG001 -- every correction takes it
    def of_the_key(query_params: Any) -> Any:
        key_id = apigateway_v1._qp(query_params, "keyId")
        plans = apigateway_v1._usage_plans.items()
        keys = apigateway_v1._usage_plan_keys
        found = [plan for plan_id, plan in plans if key_id is None or key_id in keys.get(plan_id, {})]
        return apigateway_v1._v1_paginated_response(found, query_params)

    apigateway_v1._get_usage_plans = of_the_key
