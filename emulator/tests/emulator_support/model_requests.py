"""Requests made by hypothesis from botocore's service models: those that fit, those that do not, and plain garbage."""

from __future__ import annotations

import base64
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

import botocore.session
import regex  # type: ignore[import-untyped]
from botocore.model import ListShape, MapShape, OperationModel, Shape, StringShape, StructureShape
from hypothesis import strategies as st

from bedrock_emulator import Request
from bedrock_emulator.wire.protocol import SERVICES

_DEEPEST = 7
_REMEMBERED = 12
_ABSENT = object()

# Strings that fit some pattern or other of the models; where none does, the shape is given one at random.
_CANDIDATES = (
    "tenant-a",
    "A1B2C3D4E5",
    "a" * 40,
    "documents",
    "1",
    "acme.json",
    "2026-04-01",
    "text/plain",
    "s3://documents/leave.txt",
    "https://example.com/page",
    "arn:aws:s3:::documents",
    "arn:aws:iam::000000000000:role/service-role/knowledge-base",
    "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-embed-text-v2:0",
    "arn:aws:bedrock:us-east-1:000000000000:knowledge-base/A1B2C3D4E5",
    "arn:aws:s3vectors:us-east-1:000000000000:bucket/vectors/index/tenant-a",
    "arn:aws:s3vectors:us-east-1:000000000000:bucket/vectors",
    "arn:aws:kms:us-east-1:000000000000:key/01234567-89ab-cdef-0123-456789abcdef",
    "arn:aws:lambda:us-east-1:000000000000:function:transform",
    "arn:aws:secretsmanager:us-east-1:000000000000:secret:tenant-AbCdEf",
    "arn:aws:aoss:us-east-1:000000000000:collection/abcdefghij0123456789",
    "有給休暇は何日ですか。",
    "$search_results$ How many days of leave are there?",
)
# Member names that mean the same things.
_SAME = {
    "resourceArn": ("knowledgeBaseArn", "indexArn", "vectorBucketArn", "arn"),
    "id": ("collectionId", "id"),
    "ids": ("id",),
    "knowledgeBaseId": ("knowledgeBaseId", "knowledgeBaseArn"),
    "names": ("name",),
    "collectionArn": ("arn",),
}
_RATHER = st.integers(0, 9)
_SMALL = st.integers(0, 3)
_TEXT = st.text(max_size=12)
_NUMBERS = st.one_of(
    st.integers(-5, 200), st.sampled_from([0, 1, -1, 2**31, 2**63, 10**30, 1.5, -0.0, 1e308, math.inf, math.nan])
)
_SURROGATE = "\ud800"


def _odd_values() -> st.SearchStrategy[Any]:
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        _NUMBERS,
        _TEXT,
        st.sampled_from(["", " ", "x" * 5_000, "あ" * 2_000, "\x00", _SURROGATE, "../..", "a-" * 3_000 + "!"]),
    )
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3))


_ODD = _odd_values()
_DOCUMENTS = st.recursive(
    st.one_of(st.booleans(), st.integers(-9, 9), _TEXT),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=4,
)


@cache
def operations() -> tuple[tuple[str, OperationModel], ...]:
    """Every operation of the six services, with its service's name."""
    session = botocore.session.get_session()
    models = [(service, session.get_service_model(service)) for service in SERVICES]
    return tuple((service, model.operation_model(name)) for service, model in models for name in model.operation_names)


class Known:
    """Values met in requests and answers by the name of their member, to be used again."""

    def __init__(self) -> None:
        """Nothing is known."""
        self._values: dict[str, list[str]] = defaultdict(list)
        # Values that belong together, such as those of a data source and its knowledge base.
        self.together: Mapping[str, str] = {}

    def learn(self, value: Any, name: str = "") -> None:
        """Note every string inside a JSON value."""
        if isinstance(value, Mapping):
            for key, item in value.items():
                self.learn(item, str(key))
        elif isinstance(value, list):
            for item in value:
                self.learn(item, name)
        elif isinstance(value, str) and value not in self._values[name]:
            self._values[name].append(value)
            # The newest are the likeliest to be still there.
            del self._values[name][:-_REMEMBERED]

    def of(self, name: str) -> list[str]:
        """What is known for a member of that name."""
        return [value for same in _SAME.get(name, (name,)) for value in self._values[same]]


def members(draw: Callable[[st.SearchStrategy[Any]], Any], operation: OperationModel, known: Known) -> dict[str, Any]:
    """Members of a request: in two of three cases such as fit, else with some that are wrong, missing or odd."""
    shape = operation.input_shape
    if shape is None:
        return {}
    wild = draw(_SMALL) == 0
    made = _structure(draw, shape, known, 0, wild)
    return made if isinstance(made, dict) else {}


def _structure(draw: Any, shape: StructureShape, known: Known, depth: int, wild: bool) -> dict[str, Any]:
    made = {}
    # A union takes one member; two are one of the ways to be wrong.
    names: Iterable[str] = shape.members
    if shape.is_tagged_union:
        names = [draw(st.sampled_from(sorted(shape.members)))]
    chance = max(1, 5 - 2 * depth)
    for name in names:
        required = name in shape.required_members or shape.is_tagged_union
        if not required and draw(_RATHER) >= chance:
            continue
        if required and wild and draw(_RATHER) == 0:
            continue
        value = _value(draw, shape.members[name], name, known, depth + 1, wild)
        if value is not _ABSENT:
            made[name] = value
    return made


def _value(draw: Any, shape: Shape, name: str, known: Known, depth: int, wild: bool) -> Any:
    if wild and draw(_RATHER) == 0:
        return draw(_ODD)
    if depth > _DEEPEST:
        return _ABSENT
    if isinstance(shape, StructureShape):
        return draw(_DOCUMENTS) if shape.is_document_type else _structure(draw, shape, known, depth, wild)
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if isinstance(shape, ListShape):
        items = [_value(draw, shape.member, name, known, depth, wild) for _ in range((least or 0) + draw(_SMALL))]
        return [item for item in items if item is not _ABSENT][: most if most and not wild else None]
    if isinstance(shape, MapShape):
        keys = [_value(draw, shape.key, name, known, depth, False) for _ in range((least or 0) + draw(_SMALL))]
        return {str(key): _value(draw, shape.value, name, known, depth, wild) for key in keys}
    if isinstance(shape, StringShape):
        return _string(draw, shape, name, known)
    match shape.type_name:
        case "boolean":
            return draw(st.booleans())
        case "integer" | "long":
            floor = 0 if least is None else least
            return draw(st.integers(floor, min(most if most is not None else floor + 100, floor + 5_000)))
        case "float" | "double":
            return draw(st.floats(least if least is not None else 0, most if most is not None else 1))
        case "blob":
            return base64.b64encode(draw(st.binary(max_size=20))).decode()
        case "timestamp":
            return draw(st.sampled_from([1_750_000_000, "2026-04-01T00:00:00Z", 1.5]))
    raise NotImplementedError(shape.type_name)


def _string(draw: Any, shape: StringShape, name: str, known: Known) -> str:
    if shape.enum:
        return str(draw(st.sampled_from(shape.enum)))
    if name in known.together and draw(_RATHER) < 8:
        return known.together[name]
    met = known.of(name)
    if met and draw(_RATHER) < 7:
        return str(draw(st.sampled_from(met)))
    fitting = _fitting(shape.metadata.get("pattern"), shape.metadata.get("min", 0), shape.metadata.get("max", 10_000))
    text: str = draw(st.sampled_from(fitting) if fitting else _TEXT)
    return text


@cache
def _fitting(pattern: str | None, least: int, most: int) -> tuple[str, ...]:
    sized = [text for text in _CANDIDATES if least <= len(text) <= most]
    return tuple(text for text in sized if pattern is None or regex.fullmatch(pattern, text))


# On the wire


def written(operation: OperationModel, given: Mapping[str, Any]) -> Request:
    """The HTTP request for members that may be anything JSON can say, which botocore itself would refuse to write."""
    service = operation.service_model
    if service.metadata["protocol"] == "json":
        target = f"{service.metadata['targetPrefix']}.{operation.name}"
        headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.0"}
        return Request("POST", "/", "", headers, _json(given))
    shape = operation.input_shape
    path = operation.http["requestUri"].partition("?")[0]
    query: list[tuple[str, str]] = []
    headers = {}
    body = {}
    payload: Any = _ABSENT
    for name, member in (shape.members if shape else {}).items():
        wire = member.serialization.get("name", name)
        match member.serialization.get("location"):
            case "uri":
                # An empty one would make it the path of another operation: of a list, where this one gets a thing.
                label = quote(_plain(given.get(name, "")), safe="") or "-"
                path = path.replace(f"{{{wire}}}", label).replace(f"{{{wire}+}}", label)
            case "querystring" if name in given:
                listed = given[name] if isinstance(given[name], list) else [given[name]]
                query += [(wire, _plain(value)) for value in listed]
            case "header" if name in given:
                headers[wire] = _plain(given[name])
            case None if shape and shape.serialization.get("payload") == name and name in given:
                payload = given[name]
            case None if name in given:
                body[wire] = given[name]
    content = body if payload is _ABSENT else payload
    return Request(operation.http["method"], path, urlencode(query, errors="replace"), headers, _json(content))


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "replace").decode()


def _json(value: Any) -> bytes:
    # ASCII, so that half a surrogate pair arrives as an escape, as a careless client would send it.
    return json.dumps(value).encode()


def _nested(opening: str, closing: str, depth: int) -> bytes:
    return (opening * depth + "1" + closing * depth).encode()


_BODIES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b'"text"',
            b"1e999",
            b'{"name": NaN}',
            b'{"name": "\\ud800"}',
            b'{"name": "\xff\xfe"}',
            b"\xef\xbb\xbf{}",
            '{"name": "x"}'.encode("utf-16"),
            b'{"maxResults": ' + b"9" * 5_000 + b"}",
            _nested("[", "]", 100_000),
            _nested('{"andAll": [', "]}", 20_000),
            _nested('{"retrievalConfiguration":', "}", 5_000),
        ]
    ),
    _ODD.map(_json),
)
_SEGMENTS = st.one_of(
    _TEXT,
    st.sampled_from(["%", "%ZZ", "%00", "%2F", "%C3%28", "..", "//", "a" * 3_000, "A1B2C3D4E5", "%ED%A0%80", "\u3042"]),
)


def garbage() -> st.SearchStrategy[Request]:
    """Requests as no client writes them: odd methods, paths, queries, headers and bodies."""
    templates = sorted({operation.http["requestUri"].partition("?")[0] for _, operation in operations()})

    @st.composite
    def made(draw: Any) -> Request:
        path = draw(st.sampled_from(templates))
        while "{" in path:
            before, _, after = path.partition("{")
            path = before + draw(_SEGMENTS).replace("{", "") + after.partition("}")[2]
        if draw(_SMALL) == 0:
            path = "/" + "/".join(draw(st.lists(_SEGMENTS, max_size=4)))
        headers = {
            "X-Amz-Target": draw(
                st.sampled_from(["", "OpenSearchServerless.", "OpenSearchServerless.CreateCollection", "."]) | _TEXT
            ),
            "Authorization": draw(st.sampled_from(["", "AWS4-HMAC-SHA256 Credential=a/20260401/r/aoss/aws4_request"])),
        }
        method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "get", "", "BREW"]))
        query = draw(st.sampled_from(["", "maxResults=x&nextToken=%ff", "&&=", "tagKeys=%ED%A0%80", "maxResults=-1"]))
        return Request(method, path, query, headers, draw(_BODIES))

    return made()
