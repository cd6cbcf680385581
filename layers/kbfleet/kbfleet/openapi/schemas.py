"""JSON schemas of the contracts, as strict as the code that reads them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from kbfleet.contracts.asking import AskRequest, TenantAskRequest
from kbfleet.contracts.documents import DocumentUploadRequest, UploadRequest
from kbfleet.contracts.questions import QuestionDraftBody
from kbfleet.domain.answer import MAX_QUESTION_LENGTH, Question
from kbfleet.domain.caller import MAX_USER_ID_LENGTH, UserId
from kbfleet.domain.document_names import MAX_KEY_BYTES
from kbfleet.domain.document_trace import ObjectKey
from kbfleet.domain.metadata_filter import (
    GROUP_OPERATORS,
    LIST_OPERATORS,
    MAX_CONDITIONS,
    MAX_DEPTH,
    MAX_KEY_LENGTH,
    MAX_NUMBER,
    MAX_TEXT_LENGTH,
    MAX_VALUES,
    NUMERIC_OPERATORS,
    SCALAR_OPERATORS,
    TEXTUAL_OPERATORS,
)
from kbfleet.domain.names import MAX_TENANT_ID_LENGTH, MIN_TENANT_ID_LENGTH, TENANT_ID_PATTERN, TenantId
from kbfleet.domain.profiles import (
    MAX_PROFILE_NAME_LENGTH,
    MIN_PROFILE_NAME_LENGTH,
    PROFILE_NAME_PATTERN,
    ProfileName,
)
from kbfleet.domain.questions import (
    MAX_CONTAINED,
    MAX_CONTAINED_LENGTH,
    MAX_EXPECTED,
    MAX_REFERENCE,
    MAX_TEXT,
    QUESTION_ID_PATTERN,
    QuestionId,
)
from kbfleet.domain.tenant import MAX_NAME_LENGTH, DisplayName
from kbfleet.domain.uploads import (
    CONTENT_TYPES,
    MAX_METADATA_BYTES,
    METADATA_SUFFIX,
    RESERVED_ATTRIBUTES,
    DocumentKey,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel

    from kbfleet.domain.validated_text import ValidatedText

Schema = dict[str, Any]
Mode = Literal["validation", "serialization"]

REFERENCE = "#/components/schemas/{model}"
PROBLEM = "Problem"
METADATA_FILTER = "MetadataFilter"
_NOT_BLANK = r"\S"
_PRINTABLE_NAME = (
    r"^(?=.*\S)[^\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    r"\u2800\u3164\ue000-\uf8ff\ufeff\uffa0]+$"
)
"""JSON Schema knows no categories of characters: of those that cannot be seen, these are the most frequent."""


def _key_pattern() -> str:
    """Names between single slashes, none of them `.` or `..`, the last with an ending in letters of any case."""
    character = r"[^/\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]"
    undotted = character.replace("[^/", "[^/.")
    name = rf"(\.{{0,2}}{undotted}{character}*|\.{{3}}{character}*)"
    letters = ("".join(f"[{letter}{letter.upper()}]" for letter in ending[1:]) for ending in CONTENT_TYPES)
    return rf"^({name}/)*{character}+\.({'|'.join(letters)})$"


VALIDATED_TEXTS: Mapping[type[ValidatedText], Schema] = {
    TenantId: {
        "minLength": MIN_TENANT_ID_LENGTH,
        "maxLength": MAX_TENANT_ID_LENGTH,
        "pattern": f"^{TENANT_ID_PATTERN}$",
        "examples": ["acme"],
    },
    Question: {"minLength": 1, "maxLength": MAX_QUESTION_LENGTH, "pattern": _NOT_BLANK},
    DisplayName: {"minLength": 1, "maxLength": MAX_NAME_LENGTH, "pattern": _PRINTABLE_NAME},
    DocumentKey: {"minLength": 1, "maxLength": MAX_KEY_BYTES - len(METADATA_SUFFIX), "pattern": _key_pattern()},
    ObjectKey: {
        "minLength": 1,
        "maxLength": MAX_KEY_BYTES,
        "pattern": rf"^(?!.*{re.escape(METADATA_SUFFIX)}$)(?=.*\S)[^\u0000-\u001f\u007f-\u009f]+$",
        "examples": ["handbook/rules.pdf"],
    },
    ProfileName: {
        "minLength": MIN_PROFILE_NAME_LENGTH,
        "maxLength": MAX_PROFILE_NAME_LENGTH,
        "pattern": f"^{PROFILE_NAME_PATTERN}$",
        "examples": ["office-documents"],
    },
    QuestionId: {"minLength": 5, "maxLength": 21, "pattern": f"^{QUESTION_ID_PATTERN}$", "examples": ["q1a2b3c4d5e"]},
    UserId: {"minLength": 1, "maxLength": MAX_USER_ID_LENGTH, "pattern": r"^[^\u0000-\u001f\u007f-\u00a0]+$"},
}
"""What the constructors of our value objects let through, as far as JSON Schema can say it. What surrounds a question
or a name is stripped before it is measured, so a few texts that the schema refuses would be taken; a key is
measured in bytes; and not only control characters cannot be printed."""


class ContractSchemas(GenerateJsonSchema):
    """Pydantic's own sees nothing but text in a value object, and makes a title of each field's name."""

    def function_after_schema(self, schema: Any) -> Schema:
        return super().function_after_schema(schema) | VALIDATED_TEXTS.get(schema["function"]["function"], {})

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 -- of every field
        return False


def components(models: Iterable[tuple[type[BaseModel], Mode]]) -> dict[str, Schema]:
    """The schemas of these models and of all that they are made of, by name."""
    _, definitions = models_json_schema(
        sorted(set(models), key=lambda each: (each[0].__name__, each[1])),
        ref_template=REFERENCE,
        schema_generator=ContractSchemas,
    )
    found: dict[str, Schema] = definitions["$defs"]
    for contract, fields in _BEYOND_CONTRACTS.items():
        found[contract.__name__]["properties"].update(fields)
    return dict(sorted((found | _metadata_filter() | {PROBLEM: _problem()}).items()))


def standing_alone(model: type[BaseModel]) -> Schema:
    """The schema of one model, with all that it is made of: for what is not in the API's description."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(schema_generator=ContractSchemas),
    }


def parameters(model: type[BaseModel]) -> list[Schema]:
    """A contract's fields as query parameters."""
    schema = model.model_json_schema(schema_generator=ContractSchemas, ref_template="{model}")
    required, definitions = schema.get("required", ()), schema.get("$defs", {})
    return [
        _parameter(name, dict(field), definitions, required=name in required)
        for name, field in schema["properties"].items()
    ]


def _parameter(name: str, schema: Schema, definitions: Mapping[str, Schema], *, required: bool) -> Schema:
    found = {"name": name, "in": "query", "required": required}
    if description := schema.pop("description", None):
        found["description"] = description
    # A query has no null: what is None in the contract is left out there.
    alternatives = [each for each in schema.pop("anyOf", []) if each != {"type": "null"}]
    if schema.get("default", ...) is None:
        del schema["default"]
    merged = {**schema, **alternatives[0]} if alternatives else schema
    if model := merged.pop("$ref", None):
        merged |= {key: value for key, value in definitions[model].items() if key not in {"title", "description"}}
    return {**found, "schema": merged}


def reference(name: str) -> Schema:
    return {"$ref": REFERENCE.format(model=name)}


def _typed_value(kind: str, member: str, value: Schema) -> Schema:
    """Of an attribute, in the form in which Bedrock takes it with its type."""
    return {
        "type": "object",
        "properties": {"type": {"const": kind}, member: value},
        "required": ["type", member],
        "additionalProperties": False,
    }


_FILTER = {"anyOf": [reference(METADATA_FILTER), {"type": "null"}], "default": None}
_NUMBER = {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER}
_ATTRIBUTE_TEXT = {"type": "string", "minLength": 1, "maxLength": MAX_METADATA_BYTES}
_ATTRIBUTE_TEXTS = {"type": "array", "items": _ATTRIBUTE_TEXT, "minItems": 1, "maxItems": MAX_VALUES}
_ATTRIBUTES: Schema = {
    "type": "object",
    "propertyNames": {
        "maxLength": MAX_KEY_LENGTH,
        "pattern": rf"(?=.*{_NOT_BLANK})^[^\u0000-\u001f\u007f-\u009f]+$",
        "not": {"pattern": RESERVED_ATTRIBUTES},
    },
    "additionalProperties": {
        "anyOf": [
            _ATTRIBUTE_TEXT,
            _NUMBER,
            {"type": "boolean"},
            _ATTRIBUTE_TEXTS,
        ]
    },
    "default": {},
}
_TYPED = {
    "type": "object",
    "properties": {
        "value": {
            "oneOf": [
                _typed_value("STRING", "stringValue", _ATTRIBUTE_TEXT),
                _typed_value("NUMBER", "numberValue", _NUMBER),
                _typed_value("BOOLEAN", "booleanValue", {"type": "boolean"}),
                _typed_value("STRING_LIST", "stringListValue", _ATTRIBUTE_TEXTS),
            ]
        },
        "includeForEmbedding": {"type": "boolean"},
    },
    "required": ["value"],
    "additionalProperties": False,
}
_FIELDS = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"fieldName": {"type": "string", "minLength": 1}},
        "required": ["fieldName"],
        "additionalProperties": False,
    },
}
_METADATA_FILE = {
    "description": "In place of `metadata`: all that the file beside the document is to hold, as Bedrock reads it. "
    "`documentStructureConfiguration` is for CSV files.",
    "type": ["object", "null"],
    "properties": {
        "metadataAttributes": {
            **_ATTRIBUTES,
            "additionalProperties": {"anyOf": [*_ATTRIBUTES["additionalProperties"]["anyOf"], _TYPED]},
        },
        "documentStructureConfiguration": {
            "type": "object",
            "properties": {
                "type": {"const": "RECORD_BASED_STRUCTURE_METADATA"},
                "recordBasedStructureMetadata": {
                    "type": "object",
                    "properties": {
                        "contentFields": {**_FIELDS, "minItems": 1, "maxItems": 1},
                        "metadataFieldsSpecification": {
                            "type": "object",
                            "properties": {"fieldsToInclude": _FIELDS, "fieldsToExclude": _FIELDS},
                            "additionalProperties": False,
                        },
                    },
                    "required": ["contentFields"],
                    "additionalProperties": False,
                },
            },
            "required": ["type", "recordBasedStructureMetadata"],
            "additionalProperties": False,
        },
    },
    "required": ["metadataAttributes"],
    "additionalProperties": False,
    "default": None,
}


def _few(most: int, longest: int) -> Schema:
    """Some different texts, each with something in it."""
    text = {"type": "string", "minLength": 1, "maxLength": longest, "pattern": _NOT_BLANK}
    return {"type": "array", "items": text, "maxItems": most, "uniqueItems": True, "default": []}


_BEYOND_CONTRACTS: Mapping[type[BaseModel], dict[str, Schema]] = {
    AskRequest: {"filter": _FILTER},
    TenantAskRequest: {"filter": _FILTER},
    UploadRequest: {"metadata": _ATTRIBUTES, "metadata_file": _METADATA_FILE},
    DocumentUploadRequest: {"metadata": _ATTRIBUTES, "metadata_file": _METADATA_FILE},
    QuestionDraftBody: {
        "user_input": {
            "type": "string",
            "minLength": 1,
            "maxLength": max(MAX_TEXT.values()),
            "pattern": _NOT_BLANK,
        },
        "reference_context_ids": _few(MAX_EXPECTED, MAX_KEY_BYTES),
        "contains": _few(MAX_CONTAINED, MAX_CONTAINED_LENGTH),
        "reference": {"type": "string", "maxLength": MAX_REFERENCE, "default": ""},
        "id": {
            "anyOf": [{"type": "string", **VALIDATED_TEXTS[QuestionId]}, {"type": "null"}],
            "default": None,
        },
    },
}
"""Fields whose grammar is in the domain."""


def _metadata_filter() -> dict[str, Schema]:
    """The grammar of `domain.metadata_filter`."""
    text: Schema = {"type": "string", "maxLength": MAX_TEXT_LENGTH}
    scalar: Schema = {"anyOf": [text, _NUMBER, {"type": "boolean"}]}
    values: dict[tuple[str, ...], Schema] = {
        SCALAR_OPERATORS: scalar,
        NUMERIC_OPERATORS: _NUMBER,
        LIST_OPERATORS: {"type": "array", "items": scalar, "minItems": 1, "maxItems": MAX_VALUES},
        TEXTUAL_OPERATORS: text,
    }
    group = {"type": "array", "items": reference(METADATA_FILTER), "minItems": 2, "maxItems": MAX_CONDITIONS}
    operands = {operator: _condition(value) for operators, value in values.items() for operator in operators}
    return {
        METADATA_FILTER: {
            "description": f"A filter on documents' metadata, in Bedrock's own grammar: one operator, nested at most "
            f"{MAX_DEPTH} deep, with at most {MAX_CONDITIONS} conditions in all. Not every knowledge store knows every "
            f"operator.",
            "type": "object",
            "properties": operands | dict.fromkeys(GROUP_OPERATORS, group),
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
            "examples": [{"equals": {"key": "department", "value": "sales"}}],
        }
    }


def _condition(value: Schema) -> Schema:
    key = {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH}
    return {
        "type": "object",
        "properties": {"key": key, "value": value},
        "required": ["key", "value"],
        "additionalProperties": False,
    }


def _problem() -> Schema:
    return {
        "description": "Why a request was not served (RFC 9457). Its kind is in `type`, and in `code`, which says the "
        "same in one word. Problems that API Gateway or an unforeseen failure make have the type `about:blank`.",
        "type": "object",
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": {"type": "string", "description": "The status in words."},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "code": {"type": "string", "description": "Name of the error."},
            "detail": {"type": "string", "description": "What happened, and what to do about it."},
            "field": {"type": "string", "description": "The field of the request that is not acceptable."},
            "request_id": {
                "type": "string",
                "description": "Where the detail does not say all: the id under which the log of the function does.",
            },
        },
        "required": ["type", "title"],
        "examples": [
            {
                "type": "urn:kbfleet:problem:tenant-not-found",
                "title": "Not Found",
                "status": 404,
                "code": "TenantNotFound",
                "detail": "There is no tenant acme. `kbfleet tenant list` shows those that there are.",
            }
        ],
    }
