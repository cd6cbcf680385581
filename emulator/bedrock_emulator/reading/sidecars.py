"""Metadata files beside documents: ``<file>.metadata.json``.

AWS documentation, "Include metadata in a data source to improve knowledge base query": an object ``metadataAttributes``
whose values are plain, or typed with a flag ``includeForEmbedding``; the two forms can be mixed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SUFFIX = ".metadata.json"

_MEMBER_OF_TYPE = {
    "STRING": "stringValue",
    "NUMBER": "numberValue",
    "BOOLEAN": "booleanValue",
    "STRING_LIST": "stringListValue",
}


class InvalidSidecarError(Exception):
    """The file does not hold metadata attributes in a known form."""


@dataclass(frozen=True)
class Attributes:
    """The attributes of a document, and the part of them that is embedded with its text."""

    values: Mapping[str, Any]
    embedded: Mapping[str, Any]


NO_ATTRIBUTES = Attributes({}, {})


def parse(body: bytes) -> Attributes:
    """Read a sidecar. InvalidSidecarError when it is no JSON object of attributes."""
    try:
        given = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)["metadataAttributes"]
        items = given.items()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidSidecarError("metadataAttributes must be a JSON object") from error
    values, embedded = {}, {}
    for name, value in items:
        if isinstance(value, dict):
            values[name] = typed_value(value.get("value"))
            if value.get("includeForEmbedding") is True:
                embedded[name] = values[name]
        else:
            values[name] = _checked(value)
    return Attributes(values, embedded)


def _refuse_constant(constant: str) -> None:
    # Python reads NaN and Infinity, which are not JSON.
    raise ValueError(constant)


def typed_value(value: Any) -> Any:
    """The plain value of the typed form ``{"type": …, "stringValue": …}``. InvalidSidecarError when it is malformed."""
    try:
        return _checked(value[_MEMBER_OF_TYPE[value["type"]]])
    except (KeyError, TypeError) as error:
        raise InvalidSidecarError("an attribute's typed value is malformed") from error


def _checked(value: Any) -> Any:
    plain = isinstance(value, str | int | bool) or (isinstance(value, float) and math.isfinite(value))
    if plain or (isinstance(value, list) and all(isinstance(item, str) for item in value)):
        return value
    raise InvalidSidecarError("an attribute must be a string, a number, a boolean or a list of strings")
