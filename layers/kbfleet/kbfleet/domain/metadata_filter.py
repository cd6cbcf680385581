"""Filters on documents' metadata, in Bedrock's own grammar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kbfleet.domain.errors import InvalidInput

MAX_KEY_LENGTH = 100
"""Characters. Source: botocore model of bedrock-agent-runtime, FilterKey."""

MAX_DEPTH = 5
MAX_CONDITIONS = 50
MAX_VALUES = 100
MAX_TEXT_LENGTH = 2_048
"""Ours: enough for any filter that a person writes, and little enough that checking one costs nothing. No attribute of
a document can hold a longer text that could be filtered by: S3 Vectors takes 2,048 bytes (Amazon S3 User Guide,
Limitations of S3 Vectors)."""

MAX_NUMBER = 2**53
"""Either side of zero. Ours: numbers of metadata are compared as floating point, and whole numbers beyond this one
would equal their neighbours."""

GROUP_OPERATORS = ("andAll", "orAll")
SCALAR_OPERATORS = ("equals", "notEquals")
LIST_OPERATORS = ("in", "notIn")
NUMERIC_OPERATORS = ("greaterThan", "greaterThanOrEquals", "lessThan", "lessThanOrEquals")
TEXTUAL_OPERATORS = ("startsWith", "stringContains", "listContains")
OPERATORS = (*SCALAR_OPERATORS, *NUMERIC_OPERATORS, *LIST_OPERATORS, *TEXTUAL_OPERATORS, *GROUP_OPERATORS)
"""Source: AWS documentation, RetrievalFilter. Which of them a knowledge store knows, the store says itself."""

FIELD = "filter"


@dataclass(frozen=True, slots=True)
class MetadataFilter:
    """A filter such as `{"equals": {"key": "department", "value": "sales"}}`, that Bedrock understands.

    Raises:
        InvalidInput: naming the place below `filter` that is wrong. It repeats no value: those are a tenant's text.
    """

    expression: Mapping[str, object]

    @property
    def operators(self) -> frozenset[str]:
        """All that are used in it, at any depth."""
        return frozenset(_operators(self.expression))

    def __post_init__(self) -> None:
        conditions = _checked(self.expression, FIELD, MAX_DEPTH)
        if conditions > MAX_CONDITIONS:
            raise InvalidInput(FIELD, f"has {conditions} conditions; at most {MAX_CONDITIONS} are allowed.")


def _checked(expression: object, place: str, depth: int) -> int:
    """Returns: how many conditions it has."""
    if depth == 0:
        raise InvalidInput(FIELD, f"is nested more than {MAX_DEPTH} deep.")
    if not isinstance(expression, Mapping) or len(expression) != 1:
        raise InvalidInput(place, f"must have exactly one operator, one of: {', '.join(OPERATORS)}.")
    ((operator, operand),) = expression.items()
    if operator not in OPERATORS:
        raise InvalidInput(place, f"has an unknown operator; there are: {', '.join(OPERATORS)}.")
    place = f"{place}.{operator}"
    if operator not in GROUP_OPERATORS:
        _check_condition(operator, operand, place)
        return 1
    if not isinstance(operand, list) or not 2 <= len(operand) <= MAX_CONDITIONS:
        raise InvalidInput(place, f"must be a list of 2 to {MAX_CONDITIONS} filters.")
    return sum(_checked(each, f"{place}.{position}", depth - 1) for position, each in enumerate(operand))


def _operators(expression: Mapping[str, Any]) -> Iterator[str]:
    for operator, operand in expression.items():
        yield operator
        if operator in GROUP_OPERATORS:
            for each in operand:
                yield from _operators(each)


def _check_condition(operator: str, operand: object, place: str) -> None:
    if not isinstance(operand, Mapping) or set(operand) != {"key", "value"}:
        raise InvalidInput(place, "must have a key and a value, and nothing else.")
    key, value = operand["key"], operand["value"]
    if not isinstance(key, str) or not 1 <= len(key) <= MAX_KEY_LENGTH:
        raise InvalidInput(f"{place}.key", f"must be text of 1 to {MAX_KEY_LENGTH} characters.")
    if operator in NUMERIC_OPERATORS and not is_number(value):
        raise InvalidInput(f"{place}.value", f"must be a number of {_NUMBERS}.")
    if operator in TEXTUAL_OPERATORS and not _is_text(value):
        raise InvalidInput(f"{place}.value", f"must be {_TEXT}.")
    if operator in SCALAR_OPERATORS and not _is_scalar(value):
        raise InvalidInput(f"{place}.value", f"must be {_SCALAR}.")
    if operator in LIST_OPERATORS and not (
        isinstance(value, list) and 1 <= len(value) <= MAX_VALUES and all(map(_is_scalar, value))
    ):
        raise InvalidInput(f"{place}.value", f"must be a list of 1 to {MAX_VALUES} values, each {_SCALAR}.")


_NUMBERS = f"-{MAX_NUMBER} to {MAX_NUMBER}"
_TEXT = f"text of at most {MAX_TEXT_LENGTH} characters"
_SCALAR = f"{_TEXT}, a number of {_NUMBERS}, or true or false"


def is_number(value: object) -> bool:
    """Whether it is a number that can be compared: not one of those that Python reads and JSON does not have, NaN and
    Infinity, nor one with so many digits that no floating point number comes near."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT_LENGTH


def _is_scalar(value: object) -> bool:
    return isinstance(value, bool) or _is_text(value) or is_number(value)
