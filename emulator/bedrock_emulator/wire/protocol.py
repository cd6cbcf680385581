"""AWS wire protocols from the service's side, driven by botocore's service models.

REST-JSON (bedrock, bedrock-agent, bedrock-agent-runtime, bedrock-runtime, s3vectors) and JSON 1.0
(opensearchserverless):
which operation a request calls, its input as Python values, and the answer as bytes. AWS publishes clients for these
protocols only; the rules are those of the Smithy specification, "AWS restJson1 protocol" and "AWS JSON 1.0 protocol".
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from html import escape
from typing import Any
from urllib.parse import parse_qsl, unquote

import botocore
import botocore.session
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape
from botocore.utils import parse_timestamp

from bedrock_emulator.wire import event_stream, shapes
from bedrock_emulator.wire.errors import NotEmulatedError, ServiceError, validation
from bedrock_emulator.wire.messages import Request, Response

WallTime = Callable[[float], float]
"""From a time of the emulator's clock to the one that callers are told."""

# How deep the services let a body be nested is not documented; their models' own shapes need about 20.
_DEEPEST = 100
_LONGEST_PATH = 200

SERVICES = ("bedrock-agent", "bedrock-agent-runtime", "bedrock-runtime", "s3vectors", "opensearchserverless", "bedrock")
"""The services with operations that are emulated, as botocore names them. One with a large model is asked last."""

# Services answer these to any operation, and their models do not list them (AWS documentation, "Common errors").
_COMMON_STATUSES = {"InvalidSignatureException": 403}


@cache
def protocol(service: str) -> Protocol:
    """The protocol of a service by botocore's name. Loads its model on first use (some 50 ms)."""
    return Protocol(botocore.session.get_session().get_service_model(service))


def foreign_error(error: ServiceError, request: Request) -> Response:
    """The answer for an error to a request whose protocol no model tells: XML where services of XML are asked.

    Query services send forms; S3 is asked without a JSON body (botocore models of `sts` and `s3`).
    """
    status = 501 if isinstance(error, NotEmulatedError) else _COMMON_STATUSES.get(error.code, 400)
    if "json" in (request.header("Content-Type") or "json"):
        body = json.dumps({"message": error.message}, ensure_ascii=False).encode()
        return Response(status, {"Content-Type": "application/json", "x-amzn-ErrorType": error.code}, body)
    told = f"<Code>{error.code}</Code><Message>{escape(error.message)}</Message>"
    body = f"<ErrorResponse><Error>{told}</Error></ErrorResponse>".encode()
    return Response(status, {"Content-Type": "text/xml", "x-amzn-ErrorType": error.code}, body)


@dataclass(frozen=True)
class Route:
    """A call recognised in a request: the operation, and the labels of its path, decoded."""

    operation: OperationModel
    labels: Mapping[str, str]


class Protocol:
    """Reads requests and writes responses of one service."""

    def __init__(self, model: ServiceModel) -> None:
        """``model`` decides everything: routes, shapes, error statuses."""
        self.model = model
        self._rest = model.metadata["protocol"] == "rest-json"

    def route(self, request: Request) -> Route | None:
        """Which operation the request calls, or None when it is none of this service's."""
        if not self._rest:
            prefix, _, name = (request.header("X-Amz-Target") or "").partition(".")
            if prefix != self.model.metadata["targetPrefix"] or name not in self.model.operation_names:
                return None
            return Route(self.model.operation_model(name), {})
        path = request.path.rstrip("/")
        for with_slashes in (False, True):
            for template in self._templates:
                pattern = template.pattern_with_slashes if with_slashes else template.pattern
                if template.method == request.method and pattern and (match := pattern.fullmatch(path)):
                    labels = {template.labels[key]: unquote(value) for key, value in match.groupdict().items()}
                    return Route(template.operation, labels)
        return None

    def parse(self, route: Route, request: Request) -> dict[str, Any]:
        """The operation's input. ServiceError ValidationException when it breaks the model's constraints."""
        shape = route.operation.input_shape
        if shape is None:
            return {}
        given: dict[str, Any] = {}
        query = parse_qsl(request.query, keep_blank_values=True)
        body_members: dict[str, Shape] = {}
        for name, member in shape.members.items():
            wire = member.serialization.get("name", name)
            match member.serialization.get("location"):
                case "uri":
                    given[name] = route.labels[wire]
                case "querystring" if isinstance(member, ListShape):
                    given[name] = [_from_text(member.member, value) for key, value in query if key == wire]
                case "querystring":
                    if (value := dict(query).get(wire)) is not None:
                        given[name] = _from_text(member, value)
                case "header":
                    if (value := request.header(wire)) is not None:
                        given[name] = _from_text(member, value)
                case _:
                    body_members[name] = member
        payload = shape.serialization.get("payload")
        if payload and shape.members[payload].type_name == "blob":
            given[payload] = request.body
        elif payload:
            given[payload] = _from_json(shape.members[payload], _json(request.body), payload)
        else:
            given.update(_from_json_members(body_members, _json(request.body), ""))
        if (complaint := shapes.check(shape, given)) is not None:
            raise validation(str(complaint), complaint.violations)
        return given

    def serialise(self, operation: OperationModel, output: Mapping[str, Any], wall_time: WallTime = float) -> Response:
        """The successful answer, its timestamps told by ``wall_time``.

        An output that breaks the model is a fault of the emulator: AssertionError.
        """
        status = operation.http.get("responseCode", 200) if self._rest else 200
        shape = operation.output_shape
        if shape is None:
            return Response(status, self._headers(), b"" if self._rest else b"{}")
        headers = self._headers()
        streamed = shape.event_stream_name if operation.has_event_stream_output else None
        checked = {name: value for name, value in output.items() if name != streamed and value is not None}
        if (complaint := shapes.check(shape, checked, streamed, answer=True)) is not None:
            raise AssertionError(f"{operation.name} answers what its model forbids: {complaint}")
        unknown = checked.keys() - shape.members.keys()
        if unknown:
            raise AssertionError(f"{operation.name} answers members unknown to its model: {sorted(unknown)}")
        body: dict[str, Any] = {}
        for name, value in checked.items():
            member = shape.members[name]
            wire = member.serialization.get("name", name)
            if member.serialization.get("location") == "header":
                headers[wire] = str(value)
            else:
                body[wire] = _to_json(member, value, wall_time)
        if streamed is not None:
            headers["Content-Type"] = "application/vnd.amazon.eventstream"
            return Response(status, headers, self._events(shape.members[streamed], output[streamed], wall_time))
        payload = shape.serialization.get("payload")
        content = body.get(payload, {}) if payload else body
        return Response(status, headers, json.dumps(content, ensure_ascii=False).encode())

    def serialise_error(self, error: ServiceError) -> Response:
        """The answer for an error, with the HTTP status that the model gives it."""
        status = 501 if isinstance(error, NotEmulatedError) else self._error_status(error.code)
        headers = self._headers()
        if self._rest:
            headers["x-amzn-ErrorType"] = error.code
            told = {"message": error.message, **self._field_list(error)}
            return Response(status, headers, json.dumps(told, ensure_ascii=False).encode())
        kind = f"com.amazonaws.{self.model.signing_name}#{error.code}"
        return Response(status, headers, json.dumps({"__type": kind, "message": error.message}).encode())

    def _field_list(self, error: ServiceError) -> dict[str, Any]:
        """Where the model has a list of fields for an error: each with its path, or its name, and what is wrong."""
        shape: Any = next((shape for shape in self.model.error_shapes if shape.name == error.code), None)
        if not error.fields or shape is None or "fieldList" not in shape.members:
            return {}
        place = "path" if "path" in shape.members["fieldList"].member.members else "name"
        return {"fieldList": [{place: path, "message": message} for path, message in error.fields]}

    def _error_status(self, code: str) -> int:
        shape = next((shape for shape in self.model.error_shapes if shape.name == code), None)
        if shape is None:
            return _COMMON_STATUSES.get(code, 400)
        status: int = shape.metadata.get("error", {}).get("httpStatusCode", 400)
        if status == 400 and shape.metadata.get("fault"):
            return 500
        return status

    def _headers(self) -> dict[str, str]:
        kind = "application/json" if self._rest else f"application/x-amz-json-{self.model.metadata['jsonVersion']}"
        return {"Content-Type": kind}

    def _events(self, shape: StructureShape, events: Iterable[Mapping[str, Any]], wall_time: WallTime) -> bytes:
        frames = []
        for event in events:
            (kind, value), *_ = event.items()
            member = shape.members[kind]
            if (complaint := shapes.check(member, value)) is not None:
                raise AssertionError(f"event {kind} breaks its model: {complaint}")
            content = json.dumps(_to_json(member, value, wall_time), ensure_ascii=False)
            frames.append(event_stream.frame(kind, content.encode()))
        return b"".join(frames)

    @cached_property
    def _templates(self) -> list[_Template]:
        operations = [self.model.operation_model(name) for name in self.model.operation_names]
        # More literal characters first, so that a fixed segment wins over a label.
        return sorted((_Template.of(operation) for operation in operations), key=lambda template: -template.literals)


@dataclass(frozen=True)
class _Template:
    operation: OperationModel
    method: str
    pattern: re.Pattern[str]
    # A label may hold an ARN with slashes, which a server that decodes the path leaves bare. Only where it is the only
    # label: no other path has one, and several would take very long to try on a long path.
    pattern_with_slashes: re.Pattern[str] | None
    labels: Mapping[str, str]
    literals: int

    @classmethod
    def of(cls, operation: OperationModel) -> _Template:
        uri = operation.http["requestUri"].partition("?")[0].rstrip("/")
        parts = re.split(r"\{([^}]+)\}", uri)
        names = {f"label{number}": name.rstrip("+") for number, name in enumerate(parts[1::2])}

        def pattern(label: str) -> re.Pattern[str]:
            text = "".join(
                f"(?P<label{position // 2}>{label})" if position % 2 else re.escape(part)
                for position, part in enumerate(parts)
            )
            return re.compile(text)

        literals = sum(len(part) for part in parts[::2])
        with_slashes = pattern(".+") if len(names) == 1 else None
        return cls(operation, operation.http["method"], pattern("[^/]+"), with_slashes, names, literals)


def _json(body: bytes) -> Any:
    if not body:
        return {}
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ServiceError("SerializationException", "The request body is not valid JSON.") from None
    _check_sound(value)
    return value


def _refuse_constant(constant: str) -> None:
    # Python reads and writes NaN and Infinity, which are not JSON.
    raise ValueError(constant)


def _check_sound(value: Any) -> None:
    """Refuse what JSON can say and nobody could store or send back: numbers and texts out of range, endless nesting."""
    level = [value]
    for _ in range(_DEEPEST):
        following: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                following += [*item.keys(), *item.values()]
            elif isinstance(item, list):
                following += item
            elif isinstance(item, str) and not _is_unicode(item):
                raise ServiceError("SerializationException", "The request body holds half of a surrogate pair.")
            elif isinstance(item, float) and not math.isfinite(item):
                raise ServiceError("SerializationException", "The request body holds a number that is out of range.")
        if not following:
            return
        level = following
    raise ServiceError("SerializationException", "The request body is nested too deeply.")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _from_json_members(members: Mapping[str, Shape], value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _mistyped(path, "a structure")
    known = {member.serialization.get("name", name) for name, member in members.items()}
    for name, given in value.items():
        if name not in known and given is not None:
            # The service would leave it out. But a client newer than this botocore may have sent it, and mean it.
            below = f"{path}.{name}" if path else name
            raise NotEmulatedError(f"{below[:_LONGEST_PATH]}, unknown to botocore {botocore.__version__},")
    parsed = {}
    for name, member in members.items():
        given = value.get(member.serialization.get("name", name))
        if given is not None:
            parsed[name] = _from_json(member, given, f"{path}.{name}" if path else name)
    return parsed


def _from_json(shape: Shape, value: Any, path: str) -> Any:
    if shapes.is_document(shape):
        return value
    if isinstance(shape, StructureShape):
        return _from_json_members(shape.members, value, path)
    if isinstance(shape, ListShape):
        if not isinstance(value, list):
            raise _mistyped(path, "a list")
        return [_from_json(shape.member, item, path) for item in value]
    if isinstance(shape, MapShape):
        if not isinstance(value, dict):
            raise _mistyped(path, "a map")
        return {key: _from_json(shape.value, item, path) for key, item in value.items()}
    match shape.type_name:
        case "timestamp":
            return _timestamp(value, path)
        case "blob":
            try:
                return base64.b64decode(value, validate=True)
            except (binascii.Error, TypeError):
                raise _mistyped(path, "base64 data") from None
        case "string" if not isinstance(value, str):
            raise _mistyped(path, "a string")
        case "boolean" if not isinstance(value, bool):
            raise _mistyped(path, "a boolean")
        case "integer" | "long" if not isinstance(value, int) or isinstance(value, bool):
            raise _mistyped(path, "an integer")
        case "float" | "double" if not isinstance(value, int | float) or isinstance(value, bool):
            raise _mistyped(path, "a number")
    return value


def _mistyped(path: str, expected: str) -> ServiceError:
    return ServiceError("SerializationException", f"'{path or 'the request body'}' must be {expected}.")


def _from_text(shape: Shape, text: str) -> Any:
    match shape.type_name:
        case "integer" | "long":
            try:
                return int(text)
            except ValueError:
                raise _mistyped(text, "an integer") from None
        case "boolean":
            return text == "true"
        case "timestamp":
            return _timestamp(text, text)
    return text


def _timestamp(value: Any, path: str) -> datetime:
    try:
        parsed: datetime = parse_timestamp(value)
    except (ValueError, TypeError, OverflowError, RuntimeError):
        raise _mistyped(path, "a timestamp") from None
    return parsed


def _to_json(shape: Shape, value: Any, wall_time: WallTime) -> Any:
    if shapes.is_document(shape):
        return value
    if isinstance(shape, StructureShape):
        return {
            shape.members[name].serialization.get("name", name): _to_json(shape.members[name], item, wall_time)
            for name, item in value.items()
            if item is not None
        }
    if isinstance(shape, ListShape):
        return [_to_json(shape.member, item, wall_time) for item in value]
    if isinstance(shape, MapShape):
        return {key: _to_json(shape.value, item, wall_time) for key, item in value.items()}
    if shape.type_name == "blob":
        return base64.b64encode(value).decode()
    if shape.type_name == "timestamp":
        if shape.serialization.get("timestampFormat") == "iso8601":
            return datetime.fromtimestamp(wall_time(value), UTC).isoformat()
        return round(wall_time(value), 3)
    return value
