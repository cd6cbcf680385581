"""The API's document: it says what template.yaml and the handlers do, all of it."""

from __future__ import annotations

import importlib
import json
import re
import tomllib
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openapi_spec_validator import validate
from pydantic import BaseModel

from kbfleet import responses
from kbfleet.contracts import Contract
from kbfleet.domain import errors
from kbfleet.domain.answer import Question
from kbfleet.domain.caller import UserId
from kbfleet.domain.errors import InvalidInput, KbfleetError
from kbfleet.domain.metadata_filter import MAX_NUMBER, MAX_TEXT_LENGTH, MAX_VALUES, OPERATORS, MetadataFilter
from kbfleet.domain.names import TenantId
from kbfleet.domain.tenant import DisplayName
from kbfleet.domain.uploads import DocumentKey, Upload
from kbfleet.domain.validated_text import ValidatedText
from kbfleet.openapi.document import VERSION
from kbfleet.openapi.operations import GATEWAY_PROBLEMS, OPERATIONS, Caller, Operation
from kbfleet.openapi.schemas import VALIDATED_TEXTS
from tests.handlers.conftest import ENVIRONMENT
from tests.support.openapi import component, described, validator
from tests.support.template import REPOSITORY, handler_place, properties, resources

Route = tuple[str, str]
Served = dict[Route, tuple[str, type[BaseModel] | None]]
"""The routes of a function: the name of what serves each, and the query that it takes."""
AUTHORIZERS = {Caller.TRUSTED: "AWS_IAM", Caller.ANYBODY: "NONE", Caller.USER: None}
"""What the template says of whom an operation serves; nothing means the default authorizer, the token's."""


def events() -> Iterator[tuple[str, dict[str, Any]]]:
    """The routes of API Gateway, with the function behind each."""
    for function, made in resources("AWS::Serverless::Function").items():
        for event in made["Properties"].get("Events", {}).values():
            if event["Type"] == "Api":
                yield function, event["Properties"]


def operation_of(event: dict[str, Any]) -> Operation | None:
    routes = {(operation.method, operation.path): operation for operation in OPERATIONS}
    return routes.get((event["Method"], event["Path"]))


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Served]:
    """What each function of the API serves."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    def routes_of(function: str) -> Served:
        module = importlib.import_module(handler_place(function)[0].replace("/", "."))
        return {key: (route.serve.__name__, route.query) for key, route in module.ROUTES.items()}

    return {function: routes_of(function) for function, _ in events()}


class TestOperations:
    def test_the_document_has_those_of_the_template_and_no_other(self) -> None:
        deployed = {(event["Method"], event["Path"]) for _, event in events()}
        assert {(operation.method, operation.path) for operation in OPERATIONS} == deployed

    def test_each_is_handled_by_the_function_that_the_template_sends_it_to(self, handlers: dict[str, Served]) -> None:
        documented: dict[str, Served] = {function: {} for function in handlers}
        for function, event in events():
            operation = operation_of(event)
            assert operation is not None
            documented[function][operation.method, operation.path] = (operation.name, operation.query)
        assert documented == handlers

    @pytest.mark.parametrize("event", [event for _, event in events()], ids=lambda event: event["Path"])
    def test_each_asks_for_the_proof_that_the_template_asks_for(self, event: dict[str, Any]) -> None:
        operation = operation_of(event)
        assert operation is not None
        assert event.get("Auth", {}).get("Authorizer") == AUTHORIZERS[operation.caller]

    def test_only_the_document_itself_is_for_everybody(self) -> None:
        assert [operation.path for operation in OPERATIONS if operation.caller is Caller.ANYBODY] == ["/openapi.json"]

    def test_examples_are_the_sample_requests(self) -> None:
        samples: dict[Route, Any] = {}
        for path in (REPOSITORY / "events" / "triggers").glob("*.json"):
            sample = json.loads(path.read_text("utf-8"))
            if "httpMethod" in sample:
                samples[sample["httpMethod"], sample["resource"]] = json.loads(sample["body"] or "null")
        for operation in OPERATIONS:
            assert samples[operation.method, operation.path] == operation.example

    @pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.example], ids=lambda each: each.name)
    def test_examples_keep_their_schema(self, operation: Operation) -> None:
        assert operation.body is not None
        component(operation.body.__name__).validate(operation.example)


class TestProblems:
    def test_every_error_has_a_type_of_its_own(self) -> None:
        kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, KbfleetError)]
        types = [responses.problem_type(kind.__name__) for kind in kinds]
        assert len(set(types)) == len(types)
        assert all(re.fullmatch(r"urn:kbfleet:problem:[a-z]+(-[a-z]+)*", each) for each in types)
        assert responses.problem_type("TenantSuspended") == "urn:kbfleet:problem:tenant-suspended"

    def test_those_that_api_gateway_makes_are_the_gateway_responses_of_the_template(self) -> None:
        deployed = properties("Api")["GatewayResponses"]
        named = {kind: made for kind, made in deployed.items() if not kind.startswith("DEFAULT_")}
        assert {kind: json.loads(made["ResponseTemplates"]["application/json"]) for kind, made in named.items()} == {
            kind: {
                "type": responses.problem_type(problem.code),
                "title": problem.status.phrase,
                "status": problem.status,
                "code": problem.code,
                "detail": problem.detail,
            }
            for kind, problem in GATEWAY_PROBLEMS.items()
        }
        assert {kind: made["StatusCode"] for kind, made in named.items()} == {
            kind: problem.status for kind, problem in GATEWAY_PROBLEMS.items()
        }

    def test_those_that_it_makes_without_our_words_are_plain(self) -> None:
        for kind in ("DEFAULT_4XX", "DEFAULT_5XX"):
            made = properties("Api")["GatewayResponses"][kind]["ResponseTemplates"]["application/json"]
            problem = json.loads(made.replace("$context.error.messageString", '"Forbidden"'))
            assert problem["type"] == "about:blank"
            component("Problem").validate(problem)

    @pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
    def test_every_status_that_is_not_a_success_has_one(self, operation: Operation) -> None:
        responses = described()["paths"][operation.path][operation.method.lower()]["responses"]
        assert {HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.TOO_MANY_REQUESTS} <= set(map(int, responses))
        for status, response in responses.items():
            (kind,) = response["content"]
            assert kind == ("application/json" if int(status) < 400 else "application/problem+json")


class TestDocument:
    def test_it_is_valid_openapi(self) -> None:
        validate(described())

    def test_it_is_of_this_version(self) -> None:
        project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
        assert described()["info"]["version"] == VERSION == project["version"]

    def test_every_component_is_used(self) -> None:
        text = json.dumps(described())
        for name in described()["components"]["schemas"]:
            assert f'"#/components/schemas/{name}"' in text, name

    def test_what_a_contract_refuses_is_refused_by_its_schema_too(self) -> None:
        for operation in OPERATIONS:
            if operation.body is not None and issubclass(operation.body, Contract):
                assert not component(operation.body.__name__).is_valid(
                    {"no_such_field": 1, **(operation.example or {})}
                )


def taken(kind: type[ValidatedText], value: object) -> bool:
    try:
        return kind(value) == value
    except InvalidInput:
        return False


@pytest.mark.parametrize("kind", VALIDATED_TEXTS)
@given(
    value=st.text(max_size=40)
    | st.from_regex("[a-z-]{2,33}", fullmatch=True)
    | st.from_regex(r"[./aあ\t]{0,8}\.(txt|PDF|csv)", fullmatch=True)
)
def test_what_a_value_object_takes_as_it_is_its_schema_takes(kind: type[ValidatedText], value: str) -> None:
    if taken(kind, value):
        validator({"type": "string", **VALIDATED_TEXTS[kind]}).validate(value)


@given(st.from_regex("[a-z0-9-]{2,33}", fullmatch=True))
def test_the_schema_of_a_tenant_id_takes_nothing_else(value: str) -> None:
    assert validator({"type": "string", **VALIDATED_TEXTS[TenantId]}).is_valid(value) == taken(TenantId, value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Question, ""),
        (Question, " "),
        (Question, "x" * 1_001),
        (DisplayName, "\n"),
        (DisplayName, "a\nb"),
        (UserId, ""),
        (UserId, "a\tb"),
    ]
    + [(DocumentKey, key) for key in ("", "a", ".txt", "a/.txt", "/a.txt", "a//b.txt", "a/../b.md", "a\t.md", "a.exe")]
    + [(DocumentKey, key) for key in ("a\u202egpj.md", "a\u2028.md", "a\u2067.md")]
    + [(DisplayName, name) for name in ("Ac\x1bme", "\u202eemca", "a\u2028b", "\u3164", "ac\u200bme")],
)
def test_what_a_value_object_refuses_its_schema_refuses(kind: type[ValidatedText], value: str) -> None:
    assert not taken(kind, value)
    assert not validator({"type": "string", **VALIDATED_TEXTS[kind]}).is_valid(value)


NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
LIMITS = st.sampled_from([MAX_NUMBER, -MAX_NUMBER, MAX_NUMBER + 1, int("9" * 400), "a" * MAX_TEXT_LENGTH])
SCALARS = st.text(max_size=5) | st.booleans() | NUMBERS | LIMITS | st.just("a" * (MAX_TEXT_LENGTH + 1))
LISTS = st.lists(SCALARS, max_size=3) | st.sampled_from([["a"] * MAX_VALUES, ["a"] * (MAX_VALUES + 1)])
CONDITIONS = st.fixed_dictionaries({"key": st.text(max_size=3)}, optional={"value": SCALARS | LISTS | st.none()})
NAMES = st.text(max_size=5) | st.sampled_from(
    [
        "a\n",
        "id",
        "ids",
        "_source_uri",
        "a_b",
        "AMAZON_BEDROCK_TEXT",
        "x-amz-bedrock-kb-a",
        "n" * 100,
        "n" * 101,
        "a\x00",
        "\x85",
    ]
)


def filters(*, depth: int = 3) -> st.SearchStrategy[Any]:
    """Filters, some of them wrong."""
    conditions = st.dictionaries(st.sampled_from([*OPERATORS, "like"]), CONDITIONS, max_size=2)
    if depth == 0:
        return conditions
    groups = st.dictionaries(
        st.sampled_from(["andAll", "orAll"]), st.lists(filters(depth=depth - 1), max_size=3), max_size=1
    )
    return conditions | groups


@given(filters())
@example({"andAll": [{"in": {"key": "a", "value": ["b"]}}, {"orAll": [{"equals": {"key": "c", "value": 1}}] * 2}]})
@example({"andAll": [{"equals": {"key": "a", "value": True}}]})
@example({"greaterThan": {"key": "a", "value": True}})
def test_the_schema_of_a_filter_takes_what_the_grammar_takes(expression: dict[str, Any]) -> None:
    try:
        MetadataFilter(expression)
    except InvalidInput:
        valid = False
    else:
        valid = True
    assert component("MetadataFilter").is_valid(expression) == valid


@given(st.dictionaries(NAMES, SCALARS | LISTS | st.none(), max_size=2))
def test_the_schema_of_attributes_takes_what_an_upload_takes(attributes: dict[str, Any]) -> None:
    try:
        Upload(DocumentKey("a.md"), 1, metadata=attributes)
    except InvalidInput:
        valid = False
    else:
        valid = True
    request = {"key": "a.md", "size": 1, "metadata": attributes}
    assert component("UploadRequest").is_valid(request) == valid
