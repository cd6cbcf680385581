"""Metadata files beside documents: ``<file>.metadata.json``.

AWS documentation, "Include metadata in a data source to improve knowledge base query": an object ``metadataAttributes``
whose values are plain, or typed with a flag ``includeForEmbedding``; the two forms can be mixed.
"""

from __future__ import annotations

import json
import math
import re
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


# Users report that `id` is refused; the others are the service's own, of which it is inferred.
_RESERVED = re.compile(r"id|x-amz-bedrock-kb-.*|AMAZON_BEDROCK_.*")


@dataclass(frozen=True)
class Records:
    """Each row of a CSV file is a document of its own: the column that is its text, and those that are its attributes.

    Without ``included`` all but the ``excluded`` are.
    """

    content: str
    included: frozenset[str] | None
    excluded: frozenset[str]

    def keeps(self, column: str) -> bool:
        """Whether a column is an attribute."""
        return column not in self.excluded and (self.included is None or column in self.included)


@dataclass(frozen=True)
class Attributes:
    """The attributes of a document, and the part of them that is embedded with its text.

    ``records`` is what a metadata file says of the rows of its CSV file.
    """

    values: Mapping[str, Any]
    embedded: Mapping[str, Any]
    records: Records | None = None


NO_ATTRIBUTES = Attributes({}, {})


def parse(body: bytes) -> Attributes:
    """Read a sidecar. InvalidSidecarError when it is no JSON object of attributes."""
    try:
        given = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)
        items = given["metadataAttributes"].items()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidSidecarError("metadataAttributes must be a JSON object") from error
    values, embedded = {}, {}
    for name, value in items:
        check_name(name)
        if isinstance(value, dict):
            values[name] = typed_value(value.get("value"))
            if value.get("includeForEmbedding") is True:
                embedded[name] = _written(values[name])
        else:
            values[name] = _checked(value)
    return Attributes(values, embedded, _records(given))


def check_name(name: str) -> None:
    """InvalidSidecarError where an attribute has a name that is the service's own."""
    if _RESERVED.fullmatch(name):
        raise InvalidSidecarError(f"an attribute can't be called {name}")


def _records(given: Mapping[str, Any]) -> Records | None:
    """AWS documentation, "Include metadata in a data source": one content field, and columns included or excluded."""
    structure = given.get("documentStructureConfiguration")
    if structure is None:
        return None
    try:
        if structure["type"] != "RECORD_BASED_STRUCTURE_METADATA":
            raise InvalidSidecarError(f"the structure {structure['type']} is not known")
        described = structure["recordBasedStructureMetadata"]
        (content,) = (field["fieldName"] for field in described["contentFields"])
        columns = described.get("metadataFieldsSpecification", {})
        included = [field["fieldName"] for field in columns.get("fieldsToInclude", ())]
        excluded = [field["fieldName"] for field in columns.get("fieldsToExclude", ())]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidSidecarError("documentStructureConfiguration is malformed") from error
    if not all(isinstance(name, str) for name in (content, *included, *excluded)):
        raise InvalidSidecarError("a field's name must be a text")
    return Records(content, frozenset(included) or None, frozenset(excluded))


def _written(value: Any) -> Any:
    """A whole number as people write it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


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
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value)  # the service knows one kind of number
    if isinstance(value, str | bool) or (isinstance(value, list) and all(isinstance(item, str) for item in value)):
        return value
    raise InvalidSidecarError("an attribute must be a string, a number, a boolean or a list of strings")


def _number(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidSidecarError("a number is too large")
    return number
