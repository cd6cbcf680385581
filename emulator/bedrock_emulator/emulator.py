"""The emulator: requests in, responses out."""

from __future__ import annotations

import json
import logging
import typing
import uuid
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from time import sleep
from typing import Any

import boto3
from botocore import xform_name
from botocore.model import OperationModel

from bedrock_emulator.account import Account, Shared
from bedrock_emulator.search.embedding import embedder as embedder_of
from bedrock_emulator.services.conversation import Conversation
from bedrock_emulator.services.direct_ingestion import DirectIngestion
from bedrock_emulator.services.guardrails import Guardrails
from bedrock_emulator.services.ingestion_jobs import IngestionJobs
from bedrock_emulator.services.knowledge_bases import KnowledgeBases
from bedrock_emulator.services.opensearch_serverless import OpenSearchServerless
from bedrock_emulator.services.reranking import Reranking
from bedrock_emulator.services.retrieval import Retrieval
from bedrock_emulator.services.s3_vectors import S3Vectors
from bedrock_emulator.services.supported import check_supported
from bedrock_emulator.state import keep, kept, restore
from bedrock_emulator.wire.addressing import SERVICES_OF_SIGNING_NAME, scope, service_of
from bedrock_emulator.wire.errors import ConnectionBrokenError, NotEmulatedError, ServiceError
from bedrock_emulator.wire.messages import Request, Response
from bedrock_emulator.wire.protocol import SERVICES, Protocol, foreign_error, protocol
from bedrock_emulator.world.authority import Authority
from bedrock_emulator.world.calls import Calls
from bedrock_emulator.world.clock import Clock, ScaledClock
from bedrock_emulator.world.faults import Faults
from bedrock_emulator.world.quotas import Quotas

_log = logging.getLogger(__name__)

_CONTROL = "/_emulator/"
_LONGEST_NAME = 200
# These spend their time on computing, not on the state, and take the lock themselves for as long as they need it.
_UNLOCKED = frozenset({"bedrock-agent-runtime", "bedrock-runtime"})


@typing.runtime_checkable
class _Resumable(typing.Protocol):
    def resume(self) -> None: ...


class _Region:
    """One Region of the account: its state, and the services on it."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.services: Mapping[str, tuple[object, ...]] = {
            "bedrock-agent": (KnowledgeBases(account), IngestionJobs(account), DirectIngestion(account)),
            "bedrock-agent-runtime": (Retrieval(account), Reranking(account)),
            "bedrock-runtime": (Conversation(account),),
            "s3vectors": (S3Vectors(account),),
            "opensearchserverless": (OpenSearchServerless(account),),
            "bedrock": (Guardrails(account),),
        }

    def resume(self, earlier: dict[str, Any]) -> None:
        """Begin with a state that was kept, and carry on with what was under way."""
        restore(self.account, earlier)
        for holder in (holder for holders in self.services.values() for holder in holders):
            if isinstance(holder, _Resumable):
                with self.account.lock:
                    holder.resume()

    def performing(self, service: str, operation: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """What answers an operation. NotEmulatedError where nothing does."""
        name = xform_name(operation)
        for holder in self.services[service]:
            method: Callable[[dict[str, Any]], dict[str, Any]] | None = getattr(holder, name, None)
            if method is not None:
                return method
        raise NotEmulatedError(f"{service}:{operation}")


class Emulator:
    """Amazon Bedrock Knowledge Bases and their vector stores, for one account. Safe for many threads.

    The Region is the one that a request is signed for; each has its own resources, quotas and rates.
    """

    def __init__(
        self,
        *,
        region: str = "us-east-1",
        account: str = "000000000000",
        speed: float = 1.0,
        embedder: str = "auto",
        client_factory: Callable[[str], Any] | None = None,
        clock: Clock | None = None,
        quotas: Quotas | None = None,
        authority: Authority | None = None,
        role_propagation: float = 0.0,
        state: Path | None = None,
        remembered_vectors: Path | None = None,
        address: str | None = None,
    ) -> None:
        """An account that is empty, or as it was kept in the directory ``state`` when an earlier emulator was closed.

        ``region`` is that of requests which are not signed. ``speed`` is emulated seconds per second, unless a
        ``clock`` is given. ``embedder`` is "multilingual", "character" or "auto". ``client_factory("s3")`` gives the
        boto3 client that documents are read with. ``authority`` is asked whenever Bedrock acts with the service role of
        a knowledge base; without one, everything is allowed. ``role_propagation`` is for how many seconds nobody can
        assume a role after `role_made` told of it. ``remembered_vectors`` is a file, made when there is none, of what
        the embedding model made of passages: those that an earlier process has embedded are not embedded again.
        ``address`` is the URL that the emulator is served at.
        """
        self._state = state
        earlier = kept(state) if state is not None else None
        self._clock = clock or ScaledClock(speed, not_before=earlier["now"] if earlier else 0.0)
        self._quotas = quotas or Quotas()
        self._request_rates = dict(self._quotas.requests_per_second)
        self._client_factory = client_factory
        self._shared = Shared(
            account=account,
            clock=self._clock,
            quotas=self._quotas,
            embedder=embedder_of(embedder, remembered_vectors),
            authority=authority,
            role_propagation=role_propagation,
            address=address,
        )
        self.calls = Calls()
        self._lock = Lock()
        self._regions: dict[str, _Region] = {}
        self._default_region = region
        self._account = self._region(region).account
        for name, of_region in (earlier["regions"] if earlier else {}).items():
            self._region(name).resume(of_region)

    def _region(self, name: str) -> _Region:
        """The Region of that name; empty when it is met for the first time."""
        with self._lock:
            if name not in self._regions:
                factory = self._client_factory or partial(boto3.client, region_name=name)
                self._regions[name] = _Region(Account(name, self._shared, factory))
            return self._regions[name]

    def _accounts(self) -> dict[str, Account]:
        """The state of each Region that was met, by its name."""
        with self._lock:
            return {name: region.account for name, region in self._regions.items()}

    def close(self) -> None:
        """Keep the state, where a directory for it was given. Nothing else needs closing."""
        if self._state is not None:
            keep(self._accounts(), self._state)

    @property
    def quotas(self) -> Quotas:
        """The quotas enforced."""
        return self._quotas

    def emulates(self, service: str, operation: str) -> bool:
        """Whether an operation is answered, rather than refused with HTTP 501."""
        holders = self._region(self._default_region).services.get(service, ())
        return any(hasattr(holder, xform_name(operation)) for holder in holders)

    @property
    def faults(self) -> Faults:
        """The faults on order, in all Regions."""
        return self._shared.faults

    def knowledge_base_tags(self) -> dict[str, dict[str, str]]:
        """By the knowledge bases' ARNs, of all Regions."""
        if self.faults.of_effect("tags_not_seen", "Retrieve", {}) is not None:
            return {}
        tags: dict[str, dict[str, str]] = {}
        for account in self._accounts().values():
            with account.lock:
                tags |= {base.arn: dict(base.tags) for base in account.knowledge_bases.values()}
        return tags

    def role_made(self, arn: str) -> None:
        """Say that a role was made just now: for a while nobody can assume it, by ``role_propagation`` or a fault."""
        self._shared.roles_made[arn] = self._clock.now()

    def answer(self, request: Request) -> Response:
        """Answer a request to whatever service it is signed for; HTTP 501 by name when that is not emulated.

        ConnectionBrokenError when the answer must not reach the caller: then drop the connection.
        """
        try:
            service = service_of(request)
            if service is None:
                signed = scope(request)
                candidates = SERVICES_OF_SIGNING_NAME.get(signed.name, ()) if signed else ()
                service = candidates[0] if candidates else None
        except ServiceError as refusal:
            return _identified(foreign_error(refusal, request), _new_request_id())
        if service is not None:
            return self.handle(service, request)
        named = f"service {signed.name}" if signed else "an unsigned request"
        refused = NotEmulatedError(f"{_called(request)} ({named})")
        return _identified(foreign_error(refused, request), _new_request_id())

    def handle(self, service: str, request: Request) -> Response:
        """Answer a request to ``service``, named as botocore names it.

        ConnectionBrokenError when the answer must not reach the caller: then drop the connection. ValueError when the
        service is none of those emulated.
        """
        if service not in SERVICES:
            raise ValueError(f"{service} is not emulated")
        identifier = _new_request_id()
        return _identified(self._handled(service, request, identifier), identifier)

    def _handled(self, service: str, request: Request, identifier: str) -> Response:
        spoken = protocol(service)
        try:
            signed = scope(request)
        except ServiceError as refusal:
            return spoken.serialise_error(refusal)
        region = self._region(signed.region if signed else self._default_region)
        route = spoken.route(request)
        if route is None:
            return spoken.serialise_error(NotEmulatedError(f"{_called(request)} of {service}"))
        members: dict[str, Any] = {}
        status, error, output = None, None, dict[str, Any]()
        arrived = self._clock.now()
        try:
            perform = region.performing(service, route.operation.name)
            members = spoken.parse(route, request)
            response, output = self._answer(spoken, region.account, service, route.operation, members, perform)
            status = response.status
        except ServiceError as refusal:
            response = spoken.serialise_error(refusal)
            status, error = response.status, refusal.code
        except ConnectionBrokenError:
            error = "ConnectionBroken"
            raise
        except Exception as fault:  # noqa: BLE001 - answered as the service would, and logged
            _log.exception("%s failed", route.operation.name)
            response = spoken.serialise_error(
                ServiceError("InternalServerException", f"{type(fault).__name__}: {fault}")
            )
            status, error = response.status, "InternalServerException"
        finally:
            self.calls.add(
                at=arrived,
                region=region.account.region,
                service=service,
                operation=route.operation.name,
                members=members,
                status=status,
                error=error,
                usage=_usage(output),
                request_id=identifier,
            )
        return response

    def is_control(self, path: str) -> bool:
        """Whether a path belongs to the emulator itself rather than to a service."""
        return path.startswith(_CONTROL)

    def control(self, request: Request) -> Response:
        """The emulator's own endpoints, in JSON.

        ``/_emulator/faults`` (GET, POST one or a list, DELETE), ``/_emulator/calls`` (GET, DELETE), and
        ``/_emulator/request-rates`` (GET, PATCH ``{operation: requests a second, or null for no limit}``).
        """
        match request.method, request.path.removeprefix(_CONTROL).rstrip("/"):
            case "GET", "faults":
                return _json_response(200, self.faults.listed())
            case "POST", "faults":
                try:
                    orders = json.loads(request.body)
                    for order in orders if isinstance(orders, list) else [orders]:
                        self.faults.add(order)
                except (ValueError, RecursionError) as error:
                    return _json_response(400, {"message": str(error)})
                return _json_response(201, self.faults.listed())
            case "DELETE", "faults":
                self.faults.clear()
                return _json_response(200, [])
            case "GET", "request-rates":
                return _json_response(200, self._request_rates)
            case "PATCH", "request-rates":
                try:
                    self._set_request_rates(json.loads(request.body))
                except (ValueError, RecursionError) as error:
                    return _json_response(400, {"message": str(error)})
                return _json_response(200, self._request_rates)
            case "GET", "calls":
                return _json_response(200, list(self.calls))
            case "DELETE", "calls":
                self.calls.clear()
                return _json_response(200, [])
        return _json_response(404, {"message": f"{request.method} {request.path} is not offered"})

    def _set_request_rates(self, changes: Any) -> None:
        """ValueError when they are not rates by operation; nothing is changed then."""
        if not isinstance(changes, dict) or not all(
            rate is None or (isinstance(rate, (int, float)) and not isinstance(rate, bool) and rate > 0)
            for rate in changes.values()
        ):
            raise ValueError("request rates are a JSON object of positive numbers, or nulls, by operation")
        merged = {**self._request_rates, **changes}
        self._request_rates = {operation: rate for operation, rate in merged.items() if rate is not None}

    def _answer(
        self,
        spoken: Protocol,
        account: Account,
        service: str,
        operation: OperationModel,
        members: dict[str, Any],
        perform: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> tuple[Response, dict[str, Any]]:
        check_supported(operation, members)
        account.agenda.run_due()
        self._spend_rate(account, operation.name, members)
        faults = self.faults.striking(operation.name, members)
        for fault in faults:
            self._strike_before(fault.effect, fault.seconds, fault.code, fault.message)
        with nullcontext() if service in _UNLOCKED else account.lock:
            output = perform(members)
            if "stream" in output:
                output["stream"] = list(output["stream"])
            response = spoken.serialise(operation, output, self._clock.wall_time)
        if any(fault.effect == "broken_after_effect" for fault in faults):
            raise ConnectionBrokenError
        return response, output

    def _strike_before(self, effect: str, seconds: float, code: str, message: str) -> None:
        if effect == "latency":
            sleep(self._clock.real_seconds_until(self._clock.now() + seconds) or 0.0)
        elif effect == "error":
            raise ServiceError(code, message)
        elif effect == "broken_before_effect":
            raise ConnectionBrokenError

    def _spend_rate(self, account: Account, operation: str, members: dict[str, Any]) -> None:
        rate = self._request_rates.get(operation)
        if rate is None or self.faults.of_effect("no_request_rate", operation, members) is not None:
            return
        base = account.knowledge_bases.get(members.get("knowledgeBaseId", "").rpartition("/")[2])
        if operation == "Retrieve" and base is not None and base.managed:
            minute = self._quotas.managed_retrievals_per_minute_per_knowledge_base
            account.rates.take(f"Retrieve {base.identifier}", minute / 60, burst=minute)
            account.rates.take("Retrieve MANAGED", self._quotas.managed_retrievals_per_second)
            return
        account.rates.take(operation, rate)


def _usage(output: dict[str, Any]) -> dict[str, int] | None:
    """The tokens that an answer names, at once or in an event."""
    for part in (output, *(event.get("metadata", {}) for event in output.get("stream", ()))):
        if "usage" in part:
            usage: dict[str, int] = part["usage"]
            return usage
    return None


def _called(request: Request) -> str:
    """The operation of a request that no model knows: as JSON services name it, or by its method and path."""
    target = request.header("X-Amz-Target")
    return (target or f"{request.method} {request.path}")[:_LONGEST_NAME]


def _new_request_id() -> str:
    return str(uuid.uuid4())


def _identified(response: Response, identifier: str) -> Response:
    # In small letters, as a proxy that looks for it in a plain dictionary would write it, too.
    return replace(response, headers={**response.headers, "x-amzn-requestid": identifier})


def _json_response(status: int, content: Any) -> Response:
    body = json.dumps(content, ensure_ascii=False, default=str).encode()
    return Response(status, {"Content-Type": "application/json"}, body)
