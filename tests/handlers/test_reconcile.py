"""`POST /reconciliations`."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.handlers.conftest import Handler, event
from tests.support.fleet import Fleet
from tests.support.samples import ACME, tenant


def test_the_sample_request_repairs_what_is_missing(fleet: Fleet, handler: Callable[[str], Handler]) -> None:
    fleet.registry.create(tenant())
    answer = handler("admin/reconcile")(event("triggers/post_reconciliation"))
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["repairs"] == [ACME]


@pytest.mark.parametrize("body", [None, "{}", '{"repair": false}'])
def test_nothing_is_repaired_unless_it_is_wanted(fleet: Fleet, handler: Callable[[str], Handler], body: str) -> None:
    fleet.registry.create(tenant())
    answer = handler("admin/reconcile")({**event("triggers/post_reconciliation"), "body": body})
    document = json.loads(answer["body"])
    assert (answer["statusCode"], document["missing"] > 0, document["repairs"]) == (200, True, [])
    assert fleet.executions.requests == {}


@pytest.mark.parametrize("repair", ["1", '"yes"', "0.0", "null"])
def test_what_is_no_truth_value_is_refused(handler: Callable[[str], Handler], fleet: Fleet, repair: str) -> None:
    answer = handler("admin/reconcile")({**event("triggers/post_reconciliation"), "body": f'{{"repair": {repair}}}'})
    assert (answer["statusCode"], json.loads(answer["body"])["field"]) == (400, "repair")
