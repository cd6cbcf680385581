"""Every AWS call of a world: counted, named, and disturbed on order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import boto3
import botocore.endpoint
import botocore.retries.standard
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from moto.core.botocore_stubber import MockRawResponse
from moto.core.models import botocore_stubber

from bedrock_emulator import Emulator, attach
from tests.support import aws
from tests.support.slowness import FreshBuckets
from tests.support.state_machine import TaskFailed
from tests.support.virtual_time import Timeline

EMULATED = frozenset({"bedrock-agent", "bedrock-agent-runtime", "bedrock-runtime", "s3vectors", "opensearchserverless"})

# What a caller would look for in a log: the first of these that a call has.
_NAMING_PARAMETERS = (
    "Bucket",
    "indexName",
    "knowledgeBaseId",
    "collectionName",
    "name",
    "QueueUrl",
    "stateMachineArn",
    "executionArn",
)


_MOST_IN_EVENTS = 262_144
"""Bytes of a request of PutEvents, which moto does not limit. It was the limit until January 2026 (AWS documentation,
PutEvents; 1 MB since): the smaller one is taken."""


class FunctionDied(BaseException):
    """The function's process ended: nothing in it can catch that."""


class Moment(StrEnum):
    BEFORE = "before"
    """Nothing has happened yet."""
    AFTER = "after"
    """AWS has done what was asked; the caller does not know yet."""


@dataclass(frozen=True)
class Call:
    """One call of the product, however many attempts the SDK makes for it. `number` counts all of a world's, from 0;
    `strand` is the work it was made in: an execution's ARN, or what else was going on. `assumed`: it was made with
    credentials that the function was given, in place of its own role's."""

    number: int
    strand: str
    function: str
    service: str
    operation: str
    resource: str
    assumed: bool = False

    @property
    def kind(self) -> tuple[str, str, str]:
        return (self.function, self.service, self.operation)

    def __str__(self) -> str:
        return f"#{self.number} {self.function} {self.service}:{self.operation} {self.resource}".rstrip()


@dataclass(frozen=True)
class Answered:
    """What a call brought about: its parameters and its answer."""

    call: Call
    parameters: Mapping[str, Any]
    answer: Mapping[str, Any]


Disturbance = Callable[[Call, Moment], None]
"""Called before and after every call of the product, in the strand that makes it. It may raise `FunctionDied`, wait on
the timeline, or act on the world."""

VirtualService = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
"""An AWS service of the world's own: from operation and parameters to the answer. Raises: `Refused`."""


class Refused(Exception):
    """A virtual service's error answer."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


class AwsCalls:
    """Makes the clients of one world, and stands between them and AWS.

    Args:
        services: those that the world itself plays, by botocore's name; they speak AWS's JSON protocols. The Bedrock
            emulator answers for its own, moto for all others.
        seed: for the SDK's own pauses between attempts, and for throttling.
    """

    def __init__(
        self, timeline: Timeline, emulator: Emulator, services: Mapping[str, VirtualService], *, region: str, seed: int
    ) -> None:
        self.made: list[Call] = []
        self.disturbances: list[Disturbance] = []
        self.observers: list[Callable[[Answered], None]] = []
        self.s3_observers: list[Callable[[str, Mapping[str, Any], Mapping[str, Any]], None]] = []
        self.request_observers: list[Callable[[Call, Mapping[str, Any], AWSPreparedRequest], None]] = []
        self.fresh_buckets: FreshBuckets | None = None
        self.functions: Callable[[str, Any], Any] | None = None
        self._timeline = timeline
        self._emulator = emulator
        self._services = services
        self._region = region
        self._random = Random(seed)  # noqa: S311 - repeatable on purpose
        self._throttled: dict[str, float] = {}
        self._clients: dict[str, Any] = {}

    def throttle(self, service: str, probability: float) -> None:
        """Refuses each attempt of a service's calls with that probability, from now on."""
        if service not in EMULATED:
            self._throttled[service] = probability
            return
        for operation in aws.client(service, region=self._region).meta.service_model.operation_names:
            if self._emulator.emulates(service, operation):
                order = {
                    "effect": "error",
                    "operation": operation,
                    "probability": probability,
                    "seed": self._random.randrange(2**32),
                    "code": "ThrottlingException",
                    "message": "Your request rate is too high. Reduce the frequency of requests.",
                }
                self._emulator.faults.add(order)

    @contextmanager
    def in_place_of_boto3(self) -> Iterator[None]:
        """All clients are made here, and the SDK's pauses pass in virtual time."""
        standard = botocore.retries.standard
        backoff = partial(standard.ExponentialBackoff, random=self._random.random)
        with ExitStack() as stack:
            stack.enter_context(patch.object(boto3, "client", self.client))
            stack.enter_context(patch.object(standard, "ExponentialBackoff", backoff))
            stack.enter_context(patch.object(botocore.endpoint, "time", SimpleNamespace(sleep=self.pause)))
            yield

    def lookout(self, service: str) -> Any:
        """The one client by which to look at this world, and to act on it: a client takes ten milliseconds to make."""
        if service not in self._clients:
            self._clients[service] = self.client(service)
        return self._clients[service]

    def client(self, service: str, *, config: Config | None = None, **credentials: str) -> Any:
        """A new client of this world. Calls made outside of any function are carried out without more ado."""
        made = aws.client(service, region=self._region, config=config)
        events = made.meta.events
        if service in EMULATED:
            attach(made, self._emulator)
        else:
            # botocore asks every handler, also when one has answered: moto must not carry out what is refused here.
            events.unregister("before-send", botocore_stubber)
            events.register_first("before-send", partial(self._answer, service))
        events.register("after-call.iam.CreateRole", self._tell_of_role)
        if service == "s3":
            events.register("before-parameter-build", _keep_parameters)
            events.register("after-call", self._tell_of_s3)
        events.register("before-parameter-build", partial(self._before, service, bool(credentials)))
        events.register("request-created", self._requested)
        events.register("after-call", self._after)
        return made

    def _before(
        self, service: str, assumed: bool, *, params: Any, model: Any, context: dict[str, Any], **_: Any
    ) -> None:
        strand = self._timeline.current
        if strand is None or strand.function is None:
            return
        self._timeline.pass_baton()
        resource = next((str(params[name]) for name in _NAMING_PARAMETERS if name in params), "")
        if not resource and "Key" in params:
            resource = "/".join(value["S"] for value in params["Key"].values())
        if not resource and "Item" in params:
            resource = "/".join(params["Item"][key]["S"] for key in ("PK", "SK"))
        call = Call(len(self.made), strand.name, strand.function, service, model.name, resource, assumed)
        self.made.append(call)
        context["call"], context["parameters"] = call, params
        for disturb in tuple(self.disturbances):
            disturb(call, Moment.BEFORE)

    def _requested(self, *, request: AWSRequest, **_: Any) -> None:
        call: Call | None = request.context.get("call")
        if call is not None:
            for observe in self.request_observers:
                observe(call, request.context["parameters"], request.prepare())

    def _after(self, *, parsed: Any, context: dict[str, Any], **_: Any) -> None:
        call: Call | None = context.get("call")
        if call is None:
            return
        if "Error" not in parsed:
            for observe in self.observers:
                observe(Answered(call, context["parameters"], parsed))
        for disturb in tuple(self.disturbances):
            disturb(call, Moment.AFTER)

    def _tell_of_s3(self, *, parsed: Any, model: Any, context: dict[str, Any], **_: Any) -> None:
        if "Error" not in parsed:
            for observe in self.s3_observers:
                observe(model.name, context["given"], parsed)

    def _tell_of_role(self, *, parsed: Any, **_: Any) -> None:
        if "Error" not in parsed:
            self._emulator.role_made(parsed["Role"]["Arn"])

    def pause(self, seconds: float) -> None:
        """Passes virtual time, as the SDK does between two attempts; a function dies at its timeout."""
        strand = self._timeline.current
        if strand is not None and self._timeline.now() + seconds > strand.deadline:
            self._timeline.sleep(max(0.0, strand.deadline - self._timeline.now()))
            raise FunctionDied("Task timed out")
        self._timeline.sleep(seconds)

    def _answer(self, service: str, *, event_name: str, request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
        if self._random.random() < self._throttled.get(service, 0.0):
            return _throttled(service, request)
        # Who only looks at the world sees it as it is.
        strand = self._timeline.current
        if service == "s3" and self.fresh_buckets is not None and strand is not None and strand.function is not None:
            refusal = self.fresh_buckets.refusal(event_name.rpartition(".")[2], request)
            if refusal is not None:
                return refusal
        if service == "events" and len(_text(request.body).encode()) > _MOST_IN_EVENTS:
            message = "Total size of the entries in the request is over the limit."
            return _response(request, 400, {"__type": "ValidationException", "message": message})
        if service == "lambda" and self.functions is not None:
            return _invoked(request, self.functions)
        if service not in self._services:
            answered: AWSResponse | None = botocore_stubber(event_name, request)
            return answered
        operation = _text(request.headers["X-Amz-Target"]).rpartition(".")[2]
        try:
            return _response(request, 200, self._services[service](operation, json.loads(_text(request.body))))
        except Refused as refusal:
            return _response(request, 400, {"__type": refusal.code, "message": refusal.message})


def _invoked(request: AWSPreparedRequest, functions: Callable[[str, Any], Any]) -> AWSResponse:
    """Source: AWS documentation, Lambda, Invoke: what a function raises is its answer, too."""
    name = str(request.url).rpartition("/functions/")[2].partition("/")[0]
    try:
        return _raw_response(
            request, 200, "application/json", json.dumps(functions(name, json.loads(_text(request.body))))
        )
    except TaskFailed as failure:
        raised = {"errorType": failure.error, "errorMessage": failure.cause}
        answer = _raw_response(request, 200, "application/json", json.dumps(raised))
        answer.headers["X-Amz-Function-Error"] = "Unhandled"
        return answer


def _throttled(service: str, request: AWSPreparedRequest) -> AWSResponse:
    if service == "s3":
        body = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
        return _raw_response(request, 503, "application/xml", body)
    return _response(request, 400, {"__type": "ThrottlingException", "message": "Rate exceeded"})


def _response(request: AWSPreparedRequest, status: int, content: Mapping[str, Any]) -> AWSResponse:
    return _raw_response(request, status, "application/x-amz-json-1.0", json.dumps(content))


def _raw_response(request: AWSPreparedRequest, status: int, content_type: str, body: str) -> AWSResponse:
    headers = HTTPHeaders()
    headers["Content-Type"] = content_type
    return AWSResponse(request.url, status, headers, MockRawResponse(body.encode()))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _keep_parameters(*, params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["given"] = params
