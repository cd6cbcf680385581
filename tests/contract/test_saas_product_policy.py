"""docs/saas-product-policy.json allows a SaaS product what it needs; nobody but the stack's roles speaks as kbfleet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ministack.core import iam_evaluator

from kbfleet.contracts import events as our_events
from kbfleet.contracts.events import INGESTION_SOURCE, ONBOARDING_REQUESTED, TENANT_SOURCE
from kbfleet.openapi.operations import OPERATIONS, Caller
from tests.support.granted_permissions import listed
from tests.support.template import REPOSITORY, resources

PATH = REPOSITORY / "docs" / "saas-product-policy.json"
FILLED_IN = {"REGION": "us-east-1", "ACCOUNT": "123456789012", "API": "a1b2c3d4e5", "FLEET": "kbfleet"}
SOURCE = "example.billing"
BUS = "arn:aws:events:us-east-1:123456789012:event-bus/kbfleet"
STAGE = "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/v1"
NEEDED = {
    ("POST", "/tenants/{tenant_id}/ask"),
    ("POST", "/tenants/{tenant_id}/uploads"),
    ("POST", "/tenants/{tenant_id}/uploads/batch"),
    ("GET", "/tenants/{tenant_id}/documents"),
    ("GET", "/tenants/{tenant_id}/documents/{document}"),
    ("GET", "/tenants/{tenant_id}/documents/{document}/link"),
    ("GET", "/tenants/{tenant_id}/documents/why"),
    ("DELETE", "/tenants/{tenant_id}/documents/{document}"),
}
OUR_SOURCES = (INGESTION_SOURCE, TENANT_SOURCE)
EVERYTHING = {"Sid": "Everything", "Effect": "Allow", "Action": "*", "Resource": "*"}


def policy() -> dict[str, Any]:
    text = PATH.read_text("utf-8")
    for placeholder, value in {**FILLED_IN, "SOURCE": SOURCE}.items():
        text = text.replace(placeholder, value)
    filled: dict[str, Any] = json.loads(text)
    return filled


def allows(action: str, resource: str, *further: dict[str, Any], **keys: list[str]) -> bool:
    """Whether the product may do that, by its policy and the further statements."""
    context = iam_evaluator.EvalContext(
        principal_arn="arn:aws:sts::123456789012:assumed-role/product/product",
        principal_type="AssumedRole",
        principal_account="123456789012",
        action=action,
        resource_arn=resource,
        region="us-east-1",
        service_context={
            f"events:{name.replace('_', '-')}": values[0] if len(values) == 1 else values
            for name, values in keys.items()
        },
    )
    document = {"Version": "2012-10-17", "Statement": [*policy()["Statement"], *further]}
    decision = iam_evaluator.evaluate(context, [iam_evaluator.parse_policy_document(document)]).decision
    return bool(decision == "Allow")


def puts(*sources: str, detail_type: str = ONBOARDING_REQUESTED, bus: str = BUS) -> bool:
    return allows("events:PutEvents", bus, source=list(sources), detail_type=[detail_type])


class TestTheApi:
    @pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
    def test_a_back_end_may_ask_and_show_documents_and_nothing_else(self, operation: Any) -> None:
        path = operation.path.format(
            tenant_id="acme", execution="x", job="x", document="YS5tZA", profile="office", question="qxxxx"
        )
        allowed = allows("execute-api:Invoke", f"{STAGE}/{operation.method}{path}")
        assert allowed == ((operation.method, operation.path) in NEEDED)

    def test_what_it_may_call_is_there(self) -> None:
        trusted = {(each.method, each.path) for each in OPERATIONS if each.caller is Caller.TRUSTED}
        assert trusted >= NEEDED

    def test_it_may_ask_another_stage_nothing(self) -> None:
        assert not allows("execute-api:Invoke", f"{STAGE.replace('/v1', '/v2')}/POST/tenants/acme/ask")


class TestTheBus:
    def test_it_may_ask_for_tenants(self) -> None:
        assert puts(SOURCE)

    @pytest.mark.parametrize("source", [*OUR_SOURCES, "kbfleet.", "kbfleet.anything", "aws.states", "another", ""])
    def test_it_may_speak_as_nobody_else(self, source: str) -> None:
        assert not puts(source)
        assert not puts(source, detail_type=our_events.JOB_STATE_CHANGE)

    @pytest.mark.parametrize("source", OUR_SOURCES)
    def test_nor_may_it_hide_that_among_events_of_its_own(self, source: str) -> None:
        assert not puts(SOURCE, source)
        assert not puts(source, SOURCE)

    @pytest.mark.parametrize("source", OUR_SOURCES)
    def test_nor_where_another_policy_allows_everything(self, source: str) -> None:
        assert not allows("events:PutEvents", BUS, EVERYTHING, source=[source], detail_type=["any"])
        assert allows("events:PutEvents", BUS, EVERYTHING, source=["another"], detail_type=["any"])

    @pytest.mark.parametrize(
        "detail_type", [our_events.JOB_STATE_CHANGE, our_events.DOCUMENT_FAILURES, our_events.PROVISIONING_FAILED, ""]
    )
    def test_it_may_say_nothing_but_that(self, detail_type: str) -> None:
        assert not puts(SOURCE, detail_type=detail_type)

    def test_it_may_use_no_other_bus(self) -> None:
        assert not puts(SOURCE, bus=BUS.replace("/kbfleet", "/default"))

    @pytest.mark.parametrize("action", ["events:PutRule", "events:PutTargets", "events:DisableRule", "sqs:SendMessage"])
    def test_it_may_change_no_rule(self, action: str) -> None:
        assert not allows(action, "*")


def patterns_of_the_bus() -> Iterator[tuple[str, dict[str, Any]]]:
    """Of every rule on the fleet's bus."""
    for name, made in resources("AWS::Events::Rule").items():
        if "EventBusName" in made["Properties"]:
            yield name, made["Properties"]["EventPattern"]
    for function, made in resources("AWS::Serverless::Function").items():
        for name, event in made["Properties"].get("Events", {}).items():
            if event["Type"] == "EventBridgeRule" and "EventBusName" in event["Properties"]:
                yield f"{function}.{name}", event["Properties"]["Pattern"]


PATTERNS = dict(patterns_of_the_bus())


class TestTheStack:
    @pytest.mark.parametrize("name", PATTERNS)
    def test_every_rule_on_the_bus_acts_on_sources_of_ours_only_but_the_one_for_onboarding(self, name: str) -> None:
        pattern = PATTERNS[name]
        if pattern["detail-type"] == [ONBOARDING_REQUESTED]:
            assert pattern["source"] == [{"anything-but": {"prefix": "kbfleet."}}]
        else:
            assert pattern["source"]
            assert set(pattern["source"]) <= set(OUR_SOURCES)
            assert ONBOARDING_REQUESTED not in pattern["detail-type"]

    def test_the_rules_are_those_that_there_are(self) -> None:
        assert {"TenantDiagnosedRule", "CollectFailuresFunction.JobEnded"} <= PATTERNS.keys()
        assert len([each for each in PATTERNS.values() if each["detail-type"] == [ONBOARDING_REQUESTED]]) == 1

    def test_every_function_may_speak_as_one_source_of_ours(self) -> None:
        found = []
        for function, made in resources("AWS::Serverless::Function").items():
            for policy in made["Properties"].get("Policies", []):
                for statement in policy.get("Statement", []) if isinstance(policy, dict) else []:
                    if "events:PutEvents" in listed(statement["Action"]):
                        found.append(function)
                        assert statement["Action"] == "events:PutEvents", function
                        assert statement["Condition"]["StringEquals"]["events:source"] in OUR_SOURCES, function
        assert len(found) > 10


@pytest.mark.parametrize("placeholder", [*FILLED_IN, "SOURCE"])
def test_the_page_says_how_to_fill_in_every_placeholder(placeholder: str) -> None:
    assert placeholder in PATH.read_text("utf-8")
    assert f"s/{placeholder}/" in (REPOSITORY / "docs" / "calling.md").read_text("utf-8")
