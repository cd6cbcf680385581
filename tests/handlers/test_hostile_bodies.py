"""No body of a request, whatever it is, makes a function of the API fail: it is served, or refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kbfleet.domain.answer import GeneratedAnswer
from kbfleet.domain.names import Life
from tests.handlers.conftest import Handler, event
from tests.support.fakes import ScriptedAnswerer
from tests.support.fleet import Fleet
from tests.support.samples import ACME, NAMES, tenant

HUGE = int("9" * 400)
WITH_BODIES = {
    "ask": "ask/ask",
    "ask_for_tenant": "ask/ask",
    "post_upload": "admin/uploads",
    "post_uploads": "admin/uploads",
    "put_tenant": "admin/tenants",
    "put_profile": "admin/profiles",
    "post_profile_check": "admin/profiles",
    "post_reconciliation": "admin/reconcile",
    "post_link": "ask/links",
    "post_questions": "admin/questions",
    "post_question_run": "admin/questions",
}
"""Sample requests, and the functions that read their bodies."""

FIELDS = {
    "ask": ["question", "session", "passages", "keep"],
    "ask_for_tenant": ["question", "session", "passages", "keep", "user_id"],
    "post_upload": ["key", "size", "content_type", "metadata_file"],
    "post_uploads": ["documents"],
    "put_tenant": ["name", "knowledge_store", "tier", "profile", "must_exist"],
    "put_profile": ["ingestion", "answering"],
    "post_profile_check": ["ingestion", "answering"],
    "post_reconciliation": ["repair"],
    "post_link": ["uri", "ticket"],
    "post_questions": ["questions"],
    "post_question_run": ["answers"],
}

hostile_numbers = st.sampled_from([HUGE, -HUGE, 2**63, 1e308, float("nan"), float("inf"), -0.0, True])
hostile_texts = st.sampled_from(
    ["", "\x00", "\ud800", "\udfff\ud800", "\u202e", "\u2028", "a" * 3_000, "é" * 900, "[" * 300, "${a}", "__proto__"]
)
leaves = st.none() | st.booleans() | hostile_numbers | hostile_texts | st.text(max_size=5) | st.integers()
anything = st.recursive(
    leaves,
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=5) | hostile_texts, inside),
    max_leaves=8,
)
values = hostile_numbers | hostile_texts | st.lists(leaves, max_size=200) | anything
conditions = st.fixed_dictionaries({"key": st.just("year") | anything, "value": values})
filters = st.recursive(
    st.dictionaries(
        st.sampled_from(["equals", "in", "notIn", "greaterThan", "startsWith"]), conditions, min_size=1, max_size=1
    ),
    lambda inside: st.dictionaries(
        st.sampled_from(["andAll", "orAll"]), st.lists(inside, min_size=2, max_size=4), min_size=1, max_size=1
    ),
    max_leaves=6,
)
questions = st.lists(
    st.dictionaries(
        st.sampled_from(["user_input", "reference_context_ids", "contains", "must_refuse", "reference", "id"]),
        values | st.lists(hostile_texts, max_size=3),
        max_size=6,
    ),
    max_size=5,
)
attributes = st.dictionaries(st.text("abc", min_size=1, max_size=3) | hostile_texts, values, min_size=1, max_size=3)
# A document among others, hostile in one of its fields at least.
structures = st.fixed_dictionaries(
    {"type": st.just("RECORD_BASED_STRUCTURE_METADATA") | values, "recordBasedStructureMetadata": anything}
)
metadata_files = st.fixed_dictionaries(
    {"metadataAttributes": attributes | st.dictionaries(st.just("a"), st.fixed_dictionaries({"value": anything}))},
    optional={"documentStructureConfiguration": structures},
)
several = st.fixed_dictionaries(
    {"key": st.sampled_from(["a.md", "b.csv", "é.md", "e\u0301.md"]) | values, "size": st.just(1) | values},
    optional={"md5": st.just("0" * 32) | values, "metadata": attributes, "metadata_file": metadata_files | values},
)


def nested(depth: int, opening: str, inmost: str, closing: str) -> str:
    return opening * depth + inmost + closing * depth


texts = st.sampled_from(
    [
        "",
        " ",
        "null",
        "true",
        "[]",
        "{}",
        '""',
        "1e999",
        "-1e999999999",
        "NaN",
        "{",
        "{\x00}",
        "\ufeff{}",
        "\ud800",
        "e30=",
        "--boundary\r\nContent-Disposition: form-data",
        '{"question": "a", "question": "b"}',
        '{"question": "\\ud800"}',
        '{"question": "\\u0000"}',
        nested(100_000, "[", "", "]"),
        nested(100_000, '{"a":', "1", "}"),
        nested(150, '{"question": "a", "filter": {"andAll": [', "", "]}}"),
        '{"question": "a", "filter": {"equals": {"key": "a", "value": ' + "9" * 5_000 + "}}}",
        '{"key": "a.md", "size": ' + "9" * 5_000 + "}",
        '{"key": "a.md", "size": 1e400}',
        '{"key": "a.md", "size": 1, "metadata": {"a": ' + nested(190, "[", "1", "]") + "}}",
        '{"' + "k" * 100_000 + '": 1}',
    ]
)


@pytest.fixture
def answered(
    fleet: Fleet, handler: Callable[[str], Handler], answerer: Callable[..., ScriptedAnswerer]
) -> Callable[[str, object], dict[str, Any]]:
    """What a sample request is answered with another body; text is sent as it is."""
    fleet.registry.create(tenant(ACME, bucket_name=NAMES.bucket(Life(ACME))))
    answerer(KB00000001=GeneratedAnswer("Two years.", ()))
    handlers = {sample: handler(function) for sample, function in WITH_BODIES.items()}

    def send(sample: str, body: object) -> dict[str, Any]:
        request = event(f"triggers/{sample}")
        request["body"] = body if isinstance(body, str) else json.dumps(body)
        answer: dict[str, Any] = handlers[sample](request)
        return answer

    return send


often = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("sample", WITH_BODIES)
@often
@given(body=texts | anything)
def test_whatever_is_sent_is_served_or_refused(answered: Any, sample: str, body: object) -> None:
    answer = answered(sample, body)
    assert answer["statusCode"] < 500, answer["body"]
    answer["body"].encode()


@pytest.mark.parametrize("sample", WITH_BODIES)
@often
@given(data=st.data())
def test_whatever_stands_in_a_field_is_served_or_refused(answered: Any, sample: str, data: st.DataObject) -> None:
    body = json.loads(event(f"triggers/{sample}")["body"] or "{}")
    known = {
        "filter": filters | anything,
        "metadata": attributes | anything,
        "metadata_file": metadata_files | anything,
        "documents": st.lists(several, max_size=3) | anything,
        "questions": questions | anything,
    }
    name = data.draw(st.sampled_from([*known, *FIELDS[sample]]))
    body[name] = data.draw(known.get(name, anything))
    answer = answered(sample, body)
    assert answer["statusCode"] < 500, answer["body"]
    answer["body"].encode()


@pytest.mark.parametrize("value", [HUGE, -HUGE, [HUGE]])
def test_a_number_of_400_digits_is_refused_by_name(answered: Any, value: object) -> None:
    operator = "in" if isinstance(value, list) else "lessThan"
    body = {"question": "How long?", "filter": {operator: {"key": "year", "value": value}}}
    refused = json.loads(answered("ask", body)["body"])
    assert (refused["status"], refused["field"]) == (400, f"filter.{operator}.value")
    refused = json.loads(answered("post_upload", {"key": "a.md", "size": 3, "metadata": {"year": value}})["body"])
    assert (refused["status"], refused["field"]) == (400, "metadata")
