"""Filters on the metadata of chunks, as in ``retrievalConfiguration``.

Operators and the types they take: botocore model of bedrock-agent-runtime, shape RetrievalFilter. A chunk without the
key satisfies ``notEquals`` and ``notIn`` and no other operator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bedrock_emulator.wire.errors import validation

Predicate = Callable[[Mapping[str, Any]], bool]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(held: Any, given: Any) -> bool:
    return bool(held == given) and isinstance(held, bool) == isinstance(given, bool)


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "equals": _same,
    "notEquals": lambda held, given: not _same(held, given),
    "in": lambda held, given: any(_same(held, item) for item in given),
    "notIn": lambda held, given: not any(_same(held, item) for item in given),
    "greaterThan": lambda held, given: _number(held) and held > given,
    "greaterThanOrEquals": lambda held, given: _number(held) and held >= given,
    "lessThan": lambda held, given: _number(held) and held < given,
    "lessThanOrEquals": lambda held, given: _number(held) and held <= given,
    "startsWith": lambda held, given: isinstance(held, str) and held.startswith(given),
    "stringContains": lambda held, given: (
        given in held if isinstance(held, str) else isinstance(held, list) and any(given in item for item in held)
    ),
    "listContains": lambda held, given: isinstance(held, list) and given in held,
}
_NUMERIC = frozenset({"greaterThan", "greaterThanOrEquals", "lessThan", "lessThanOrEquals"})
_TEXTUAL = frozenset({"startsWith", "stringContains", "listContains"})
_NEGATIVE = frozenset({"notEquals", "notIn"})
# AWS documentation, "Configure and customize queries": Amazon S3 Vectors and knowledge bases of type MANAGED have
# neither of them.
_ELSEWHERE_ONLY = frozenset({"startsWith", "stringContains"})


def predicate(given: Mapping[str, Any] | None, store_type: str) -> Predicate:
    """What a filter lets through; without one everything. ValidationException when it is malformed or not supported."""
    if given is None:
        return lambda _: True
    if len(given) != 1:
        raise validation("The filter must have exactly one operator.")
    ((operator, operand),) = given.items()
    if operator in ("andAll", "orAll"):
        parts = [predicate(part, store_type) for part in operand]
        combine = all if operator == "andAll" else any
        return lambda metadata: combine(part(metadata) for part in parts)
    if store_type in ("S3_VECTORS", "MANAGED") and operator in _ELSEWHERE_ONLY:
        raise validation(f"The filter operator {operator} is not supported for the vector store type {store_type}.")
    key, value = operand["key"], operand["value"]
    _check(operator, value)
    compare = _COMPARISONS[operator]
    return lambda metadata: compare(metadata[key], value) if key in metadata else operator in _NEGATIVE


def _check(operator: str, value: Any) -> None:
    if operator in ("in", "notIn"):
        fits = isinstance(value, list) and len(value) > 0
    elif operator in _NUMERIC:
        fits = _number(value)
    elif operator in _TEXTUAL:
        fits = isinstance(value, str)
    else:
        fits = isinstance(value, str | bool) or _number(value)
    if not fits:
        raise validation(f"The filter value {value!r} is not valid for the operator {operator}.")
