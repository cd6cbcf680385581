"""Filters: what Bedrock's grammar allows, and that a refusal names the place and repeats no value."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.metadata_filter import (
    MAX_CONDITIONS,
    MAX_DEPTH,
    MAX_NUMBER,
    MAX_TEXT_LENGTH,
    MAX_VALUES,
    OPERATORS,
    MetadataFilter,
)

KEYS = st.text(min_size=1, max_size=100)
NUMBERS = st.one_of(st.integers(-MAX_NUMBER, MAX_NUMBER), st.floats(-MAX_NUMBER, MAX_NUMBER))
SCALARS = st.one_of(st.text(), st.booleans(), NUMBERS)
VALUES = {
    "equals": SCALARS,
    "notEquals": SCALARS,
    "greaterThan": NUMBERS,
    "greaterThanOrEquals": NUMBERS,
    "lessThan": NUMBERS,
    "lessThanOrEquals": NUMBERS,
    "in": st.lists(SCALARS, min_size=1, max_size=4),
    "notIn": st.lists(SCALARS, min_size=1, max_size=4),
    "startsWith": st.text(),
    "stringContains": st.text(),
    "listContains": st.text(),
}
CONDITIONS = st.one_of(
    *(
        st.fixed_dictionaries({operator: st.fixed_dictionaries({"key": KEYS, "value": values})})
        for operator, values in VALUES.items()
    )
)
FILTERS = st.one_of(
    CONDITIONS,
    *(st.fixed_dictionaries({group: st.lists(CONDITIONS, min_size=2, max_size=4)}) for group in ("andAll", "orAll")),
)
JSON = st.recursive(
    st.one_of(st.none(), SCALARS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(["key", "value", *OPERATORS]), st.text()), inner, max_size=3),
    ),
    max_leaves=8,
)
DEPARTMENT = {"equals": {"key": "department", "value": "sales"}}


def nested(depth: int) -> dict[str, Any]:
    filter_: dict[str, Any] = DEPARTMENT
    for _ in range(depth - 1):
        filter_ = {"andAll": [filter_, DEPARTMENT]}
    return filter_


def test_every_operator_that_bedrock_has_is_known() -> None:
    import botocore.session

    model = botocore.session.get_session().get_service_model("bedrock-agent-runtime")
    shape: Any = model.shape_for("RetrievalFilter")
    assert set(OPERATORS) == set(shape.members)


@given(FILTERS)
def test_what_the_grammar_allows_is_taken_as_it_is(expression: dict[str, Any]) -> None:
    assert MetadataFilter(expression).expression == expression


@given(JSON)
def test_anything_is_either_a_filter_or_refused(expression: Any) -> None:
    with suppress(InvalidInput):
        assert MetadataFilter(expression).expression == expression


@pytest.mark.parametrize(
    ("expression", "field"),
    [
        ({}, "filter"),
        ([], "filter"),
        ("department = sales", "filter"),
        ({**DEPARTMENT, "in": {"key": "a", "value": ["b"]}}, "filter"),
        ({"EQUALS": DEPARTMENT["equals"]}, "filter"),
        ({"equals": {"key": "a"}}, "filter.equals"),
        ({"equals": {"key": "a", "value": "b", "tenant": "c"}}, "filter.equals"),
        ({"equals": {"key": "", "value": "b"}}, "filter.equals.key"),
        ({"equals": {"key": "k" * 101, "value": "b"}}, "filter.equals.key"),
        ({"equals": {"key": "a", "value": None}}, "filter.equals.value"),
        ({"equals": {"key": "a", "value": ["b"]}}, "filter.equals.value"),
        ({"greaterThan": {"key": "a", "value": "9"}}, "filter.greaterThan.value"),
        ({"lessThan": {"key": "a", "value": True}}, "filter.lessThan.value"),
        ({"lessThan": {"key": "a", "value": float("nan")}}, "filter.lessThan.value"),
        ({"lessThan": {"key": "a", "value": float("inf")}}, "filter.lessThan.value"),
        ({"lessThan": {"key": "a", "value": int("9" * 400)}}, "filter.lessThan.value"),
        ({"equals": {"key": "a", "value": -int("9" * 400)}}, "filter.equals.value"),
        ({"equals": {"key": "a", "value": MAX_NUMBER + 1}}, "filter.equals.value"),
        ({"equals": {"key": "a", "value": "b" * (MAX_TEXT_LENGTH + 1)}}, "filter.equals.value"),
        ({"startsWith": {"key": "a", "value": "b" * (MAX_TEXT_LENGTH + 1)}}, "filter.startsWith.value"),
        ({"in": {"key": "a", "value": [1, int("9" * 400)]}}, "filter.in.value"),
        ({"notIn": {"key": "a", "value": ["b"] * (MAX_VALUES + 1)}}, "filter.notIn.value"),
        ({"in": {"key": "a", "value": "b"}}, "filter.in.value"),
        ({"notIn": {"key": "a", "value": []}}, "filter.notIn.value"),
        ({"startsWith": {"key": "a", "value": 1}}, "filter.startsWith.value"),
        ({"andAll": [DEPARTMENT]}, "filter.andAll"),
        ({"orAll": DEPARTMENT}, "filter.orAll"),
        ({"orAll": [DEPARTMENT, {"equals": {"key": "a", "value": {}}}]}, "filter.orAll.1.equals.value"),
        (nested(MAX_DEPTH + 1), "filter"),
        ({"andAll": [{"orAll": [DEPARTMENT] * MAX_CONDITIONS}, DEPARTMENT]}, "filter"),
    ],
)
def test_anything_else_is_refused_naming_the_place(expression: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        MetadataFilter(expression)
    assert refused.value.field == field
    assert "sales" not in str(refused.value)


def test_the_deepest_and_the_widest_are_allowed() -> None:
    MetadataFilter(nested(MAX_DEPTH))
    MetadataFilter({"andAll": [DEPARTMENT] * MAX_CONDITIONS})
