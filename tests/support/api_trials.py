"""Tries the deployed API with whatever its own document lets a caller send, and with what it does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import requests
import schemathesis
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from kbfleet.domain.document_names import document_id
from kbfleet.domain.errors import InvalidInput
from local.identity_provider import IdentityProvider
from local.stack.configuration import ACCESS_KEY, StackConfiguration

_PROFILE = Path(__file__).parents[2] / "examples" / "profiles" / "faq.json"
BEYOND_SCHEMAS = {
    "user_id": "which characters can be printed",
    "name": "which characters can be printed, for Unicode has not assigned all",
    "key": "how many bytes a text has",
    "content_type": "which types go with a key",
    "metadata": "how large the file becomes",
    "metadata_file": "the same, that it takes the place of metadata, and of which keys it may describe rows",
    "filter": "which operators the tenant's knowledge store has, and how deep a filter is",
    "to": "that one day is not before another",
    "document": "which texts are base64 of UTF-8, in its one spelling",
    "next_token": "of which list it is",
    "prefix": "how many bytes a text has",
    "user_input": "how long a question may be on the tenant's knowledge store, and which characters can be printed",
    "reference_context_ids": "that something is expected of a question, and how many bytes a key has",
    "contains": "which characters can be printed",
    "reference": "the same",
    "must_refuse": "that nothing else is expected then",
    "id": "that a question of that id is there, and given once",
    "questions": "whether a tenant has any, and how many bytes they have",
}
"""Fields about which not everything can be said in a schema, and what cannot."""


def taken_if_valid(_context: Any, response: Any, case: Any) -> None:
    """A request that keeps its schema is not refused as malformed; what a stack does not offer may be refused."""
    if response.status_code == 400 and case.meta.generation.mode is GenerationMode.POSITIVE:
        problem = response.json()
        # Of one of several, the field is called by its place, too.
        about = problem.get("field", "").rpartition(".")[2]
        malformed = problem["code"] == InvalidInput.__name__ and about not in BEYOND_SCHEMAS
        assert not malformed, f"a valid request is refused: {problem}"


def refused_if_malformed(context: Any, response: Any, case: Any) -> Any:
    """What a profile is checked for is answered, not refused: also that it breaks the schema."""
    if response.status_code == 200 and case.path.endswith("/check") and response.json()["refusals"]:
        return None
    return negative_data_rejection(context, response, case)


CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    taken_if_valid,
    refused_if_malformed,
)
_TIMEOUT_SECONDS = 35


@dataclass(frozen=True)
class Signature(requests.auth.AuthBase):
    """Signs a request as a caller with AWS credentials does."""

    configuration: StackConfiguration

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        signed = AWSRequest(request.method, request.url, data=request.body)
        credentials = Credentials(ACCESS_KEY, self.configuration.secret_key)
        SigV4Auth(credentials, "execute-api", self.configuration.region).add_auth(signed)
        request.headers.update(dict(signed.headers.items()))
        return request


@dataclass(frozen=True)
class Bearer(requests.auth.AuthBase):
    """Says for whom a request is made, as a tenant's user does."""

    token: str

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


@dataclass(frozen=True)
class ApiUnderTrial:
    """A deployed API.

    Args:
        url: of its stage.
        tenant: for which tokens speak.
        known: what there is, by the name of the path parameter: put into paths, beside what is made up.
    """

    configuration: StackConfiguration
    url: str
    tenant: str
    known: Mapping[str, Sequence[str]]

    def document(self) -> dict[str, Any]:
        answer = requests.get(f"{self.url}/openapi.json", timeout=_TIMEOUT_SECONDS)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def proof(self, operation: Any) -> requests.auth.AuthBase | None:
        """What the operation asks of its callers, or nothing."""
        (scheme,) = {name for required in operation.definition.raw["security"] for name in required} or {None}
        if scheme == "token":
            issuer = IdentityProvider.open(self.configuration.token_issuer, self.configuration.signing_key)
            return Bearer(issuer.mint(self.tenant))
        return Signature(self.configuration) if scheme == "signature" else None


@dataclass
class Trial:
    """One operation, tried in one way.

    Args:
        answers: the statuses, with how often each came.
    """

    name: str
    answers: Counter[int] = field(default_factory=Counter)
    failure: str | None = None


def made(tenant_id: str, kbfleet: Callable[..., Any]) -> dict[str, Sequence[str]]:
    """A tenant, and something of each kind that a path can name. Returns: their names, by the parameter of the path.

    Args:
        kbfleet: runs a command, and returns the JSON that it prints.
    """
    execution = kbfleet("tenant", "add", tenant_id)["execution"]
    (job,) = kbfleet("jobs", "list", tenant_id)["jobs"]
    (question,) = kbfleet("questions", "add", tenant_id, "What is mokuba?", "--expect", "rules.md")["questions"]
    return {
        "tenant_id": [tenant_id],
        "execution": [execution],
        "job": [job["ingestion_job_id"]],
        "document": [document_id("rules.md")],
        "profile": [kbfleet("profile", "put", str(_PROFILE))["name"]],
        "question": [question["id"]],
    }


def trials(api: ApiUnderTrial, *, examples: int, start: int = 0) -> Iterator[Callable[[], Trial]]:
    """Each operation with valid requests, with invalid ones where there can be any, and without proof of who calls.

    Args:
        examples: requests of each trial.
        start: of the deterministic choice of requests.
    """
    config = SchemathesisConfig.from_dict({"generation": {"with-security-parameters": False}})
    schema = schemathesis.openapi.from_dict(api.document(), config=config)
    for found in schema.get_all_operations():
        operation = found.ok()
        yield partial(_try, api, operation, GenerationMode.POSITIVE, examples, start)
        if operation.definition.raw.keys() & {"parameters", "requestBody"}:
            yield partial(_try, api, operation, GenerationMode.NEGATIVE, examples, start)
        if api.proof(operation):
            yield partial(_try_unproved, api, operation)


def _try(api: ApiUnderTrial, operation: Any, mode: GenerationMode, examples: int, start: int) -> Trial:
    trial = Trial(f"{operation.label}, {mode.value} requests")
    proof = api.proof(operation)
    known = st.fixed_dictionaries({name: st.sampled_from([*values, None]) for name, values in api.known.items()})

    @seed(start)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode), known)
    def call(case: Any, known: dict[str, str | None]) -> None:
        for name, value in known.items():
            if value is not None and name in (case.path_parameters or {}):
                case.path_parameters[name] = value
        response = case.call(base_url=api.url, auth=proof, timeout=_TIMEOUT_SECONDS)
        trial.answers[response.status_code] += 1
        case.validate_response(response, checks=list(CHECKS))

    try:
        call()
    except (AssertionError, FailureGroup, Failure) as wrong:
        trial.failure = f"{trial.name}: {wrong}"
    return trial


def _try_unproved(api: ApiUnderTrial, operation: Any) -> Trial:
    trial = Trial(f"{operation.label}, without proof")
    paths = {name: values[0] for name, values in api.known.items()}
    case = operation.Case(path_parameters=paths)
    response = case.call(base_url=api.url, timeout=_TIMEOUT_SECONDS)
    trial.answers[response.status_code] += 1
    if response.status_code not in (401, 403):
        trial.failure = f"{trial.name}: answered {response.status_code}"
    try:
        case.validate_response(response, checks=[status_code_conformance, response_schema_conformance])
    except FailureGroup as wrong:
        trial.failure = f"{trial.name}: {wrong}"
    return trial
