"""Faults to order: what goes wrong, in which calls, and how often."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

from annotated_types import Ge, Interval

EFFECTS: Mapping[str, str] = {
    "error": "answers the error `code` with `message`, without effect",
    "latency": "answers `seconds` later, on the emulator's clock",
    "broken_before_effect": "the connection breaks, nothing has happened",
    "broken_after_effect": "the connection breaks after the call has taken effect",
    "job_fails": "the ingestion job ends FAILED with `failureReasons`",
    "job_hangs": "the ingestion job stays IN_PROGRESS until it is stopped",
    "documents_fail": "the documents whose keys are in `keys` fail in the ingestion job",
    "parser_fails": "the chosen parser fails at the documents whose keys are in `keys`: the default parser reads them",
    "knowledge_base_fails": "the knowledge base ends FAILED with `failureReasons` instead of ACTIVE",
    "data_source_fails": "the data source, made all right, turns FAILED with `failureReasons` after `seconds`",
    "role_not_assumable": "a service role cannot be assumed until `seconds` after its first use",
    "new_role_not_assumable": "a service role cannot be assumed until `seconds` after `Emulator.role_made` told of it",
    "model_not_verifiable": "an embedding model cannot be verified until `seconds` after the first use of a role",
    "index_not_visible": "a vector index is not seen by CreateKnowledgeBase until `seconds` after it was made",
    "vectors_not_searchable": "what an ingestion job indexed is found only `seconds` after it completed",
    "uniqueness_lag": "a knowledge base's name and client token are taken only `seconds` after its creation",
    "takes": "what the call begins (a creation, a job, an ingestion, a deletion) is over after `seconds`",
    "token_forgotten": "the client token of the call is forgotten after `seconds`",
    "no_request_rate": "the call is not held to its request rate",
    "tags_not_seen": "whoever decides about calls sees no tags of knowledge bases",
}

_CALL_EFFECTS = ("error", "latency", "broken_before_effect", "broken_after_effect")
_DEFAULT_OPERATIONS = {
    "job_fails": "StartIngestionJob",
    "job_hangs": "StartIngestionJob",
    "documents_fail": "StartIngestionJob",
    "parser_fails": "StartIngestionJob",
    "vectors_not_searchable": "StartIngestionJob",
    "knowledge_base_fails": "CreateKnowledgeBase",
    "data_source_fails": "CreateDataSource",
    "role_not_assumable": "CreateKnowledgeBase",
    "new_role_not_assumable": "AssumeRole",
    "model_not_verifiable": "CreateKnowledgeBase",
    "index_not_visible": "CreateIndex",
    "uniqueness_lag": "CreateKnowledgeBase",
    "tags_not_seen": "Retrieve",
}
_NEEDS = {
    "error": ("code", "message"),
    "job_fails": ("failureReasons",),
    "knowledge_base_fails": ("failureReasons",),
    "data_source_fails": ("failureReasons",),
    "documents_fail": ("keys",),
    "parser_fails": ("keys",),
    **dict.fromkeys(
        (
            "latency",
            "role_not_assumable",
            "new_role_not_assumable",
            "model_not_verifiable",
            "index_not_visible",
            "vectors_not_searchable",
            "uniqueness_lag",
            "takes",
            "token_forgotten",
        ),
        ("seconds",),
    ),
}


@dataclass
class Fault:
    """One ordered fault. It strikes ``count`` times, or with ``probability`` for ever; with neither, every time.

    It strikes calls of ``operation`` whose members equal ``match`` and have the text ``containing`` in them somewhere.
    """

    effect: str
    operation: str
    match: dict[str, Any] = field(default_factory=dict)
    containing: str = ""
    count: Annotated[int, Ge(0)] | None = None
    probability: Annotated[float, Interval(ge=0, le=1)] | None = None
    seed: int = 0
    code: str = ""
    message: str = ""
    seconds: Annotated[float, Interval(ge=0, le=1_000_000)] = 0.0
    failureReasons: list[str] = field(default_factory=list)  # noqa: N815 - the service's own name, as written in files
    keys: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, order: Mapping[str, Any]) -> Fault:
        """From its JSON form. ValueError when a member is unknown, missing or contradictory."""
        if not isinstance(order, Mapping):
            raise ValueError(f"a fault is ordered by a JSON object, not by {order!r}")  # noqa: TRY004 - as promised
        effect = order.get("effect", "")
        if not isinstance(effect, str) or effect not in EFFECTS:
            raise ValueError(f"effect must be one of {', '.join(EFFECTS)}, not {effect!r}")
        unknown = order.keys() - cls.__dataclass_fields__.keys()
        if unknown:
            raise ValueError(f"unknown members: {', '.join(sorted(unknown))}")
        missing = [name for name in _NEEDS.get(effect, ()) if name not in order]
        operation = order.get("operation") or _DEFAULT_OPERATIONS.get(effect)
        if not operation:
            missing.append("operation")
        if missing:
            raise ValueError(f"a fault of effect {effect!r} needs {', '.join(missing)}")
        if order.get("count") is not None and order.get("probability") is not None:
            raise ValueError("count and probability exclude each other")
        return _fault(cls, {**order, "operation": operation})

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - repeatable on purpose

    def strikes(self, operation: str, members: Mapping[str, Any]) -> bool:
        """Whether it strikes this call; spends one of ``count`` if so."""
        if self.operation != operation or any(members.get(name) != value for name, value in self.match.items()):
            return False
        if self.containing and self.containing not in json.dumps(members, default=str, ensure_ascii=False):
            return False
        if self.probability is not None:
            return self._random.random() < self.probability
        if self.count is None:
            return True
        self.count -= 1
        return self.count >= 0


def _fault(kind: type[Fault], members: Mapping[str, Any]) -> Fault:
    # Here, because importing it takes long and most emulators never see a fault.
    from pydantic import TypeAdapter

    return TypeAdapter(kind).validate_python(members)


class Faults:
    """The faults on order. Safe to use from several threads."""

    def __init__(self) -> None:
        """No faults."""
        self._lock = Lock()
        self._orders: list[Fault] = []

    def add(self, order: Mapping[str, Any]) -> None:
        """Order a fault; its JSON form is described by `Fault` and `EFFECTS`. ValueError when it makes no sense."""
        fault = Fault.of(order)
        with self._lock:
            self._orders.append(fault)

    def load(self, path: Path) -> None:
        """Order every fault of a JSON file: one object, or a list of them."""
        orders = json.loads(path.read_text(encoding="utf-8"))
        for order in orders if isinstance(orders, list) else [orders]:
            self.add(order)

    def clear(self) -> None:
        """Withdraw every order."""
        with self._lock:
            self._orders.clear()

    def listed(self) -> list[dict[str, Any]]:
        """The orders in their JSON form, those that are spent left out."""
        with self._lock:
            return [asdict(fault) for fault in self._orders if fault.count is None or fault.count > 0]

    def striking(self, operation: str, members: Mapping[str, Any]) -> list[Fault]:
        """The faults that strike the call itself, in the order they were given."""
        return self._take(_CALL_EFFECTS, operation, members)

    def of_effect(self, effect: str, operation: str, members: Mapping[str, Any]) -> Fault | None:
        """The first fault of ``effect`` that strikes, or None."""
        return next(iter(self._take((effect,), operation, members)), None)

    def _take(self, effects: tuple[str, ...], operation: str, members: Mapping[str, Any]) -> list[Fault]:
        with self._lock:
            return [fault for fault in self._orders if fault.effect in effects and fault.strikes(operation, members)]
