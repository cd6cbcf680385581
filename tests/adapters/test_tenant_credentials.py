"""Credentials for one tenant's knowledge base: asked for once, renewed in time, and never another's."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from ministack.core import iam_evaluator

from kbfleet.adapters.answerers import CALLS, RetrieveAndConverseAnswerer, RetrieveAndGenerateAnswerer
from kbfleet.adapters.scoped_credentials import ScopedRole
from kbfleet.adapters.tenant_credentials import TenantClients, session_policy
from kbfleet.domain.errors import AccessRefused
from tests.support.answerer import askable
from tests.support.aws import client as aws_client
from tests.support.fakes import FakeClock
from tests.support.samples import ACCOUNT, ACME, REGION, SAKURA

KNOWLEDGE_BASES = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:knowledge-base"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/reader"
OURS = askable(ACME, "KB00000001")


class World:
    """STS by moto, and clients that are known by what they were made with."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.sts = aws_client("sts")
        self.assumed: list[dict[str, Any]] = []
        self.sts.meta.events.register("provide-client-params.sts.AssumeRole", self._note)
        self.sts.meta.events.register("after-call.sts.AssumeRole", self._expire)
        self.clients = TenantClients(
            ScopedRole(self.sts, ROLE),
            make=self.make,
            knowledge_bases=KNOWLEDGE_BASES,
            answering=RetrieveAndConverseAnswerer.actions,
            clock=self.clock,
        )

    def _note(self, params: dict[str, Any], **_: Any) -> None:
        self.assumed.append(params)

    def _expire(self, parsed: dict[str, Any], **_: Any) -> None:
        if "Credentials" in parsed:
            parsed["Credentials"]["Expiration"] = self.clock.now() + timedelta(hours=1)

    def make(self, operation: str, **credentials: str) -> object:
        return (operation, credentials["aws_session_token"], object())


@pytest.fixture
def world(aws: None) -> World:
    return World()


def test_a_tenants_credentials_are_asked_for_once(world: World) -> None:
    first = world.clients("Retrieve", OURS)
    assert world.clients("Retrieve", OURS) is first
    world.clients("Converse", OURS)
    assert len(world.assumed) == 1
    assert (world.assumed[0]["RoleArn"], world.assumed[0]["RoleSessionName"]) == (ROLE, "acme")


def test_they_are_renewed_before_they_end(world: World) -> None:
    first = world.clients("Retrieve", OURS)
    world.clock.advance(54 * 60)
    assert world.clients("Retrieve", OURS) is first
    world.clock.advance(60)
    assert world.clients("Retrieve", OURS) is not first
    assert len(world.assumed) == 2


def test_every_tenant_and_every_knowledge_base_has_its_own(world: World) -> None:
    others = [
        askable(SAKURA, "KB00000002"),
        askable(SAKURA, "KB00000001"),
        replace(OURS, knowledge_base_id="KB00000002"),
    ]
    clients = [world.clients("Retrieve", tenant) for tenant in (OURS, *others)]
    assert len({id(client) for client in clients}) == 4
    allowed = [json.loads(request["Policy"])["Statement"][0]["Resource"] for request in world.assumed]
    assert allowed == [f"{KNOWLEDGE_BASES}/KB0000000{number}" for number in (1, 2, 1, 2)]


def test_who_has_not_asked_for_longest_makes_room(world: World) -> None:
    tenants = [askable(ACME, f"KB{number:08}") for number in range(201)]
    for tenant in tenants:
        world.clients("Retrieve", tenant)
    world.clients("Retrieve", tenants[-1])
    assert len(world.assumed) == 201
    world.clients("Retrieve", tenants[0])
    assert len(world.assumed) == 202


def test_a_role_that_cannot_be_assumed_is_reported(world: World) -> None:
    def refuse(**_: Any) -> None:
        raise world.sts.exceptions.ClientError(
            {"Error": {"Code": "AccessDenied", "Message": "not authorized to perform: sts:AssumeRole"}}, "AssumeRole"
        )

    world.sts.meta.events.register("before-call.sts.AssumeRole", refuse)
    with pytest.raises(AccessRefused, match="acme"):
        world.clients("Retrieve", OURS)


@pytest.mark.parametrize(
    ("knowledge_base_id", "tags", "decision"),
    [
        ("KB00000001", {}, "Allow"),
        ("KB00000001", {"kbfleet:tenant": "acme"}, "Allow"),
        ("KB00000001", {"kbfleet:tenant": "sakura"}, "Deny"),
        ("KB00000001", {"kbfleet:tenant": ""}, "Deny"),
        ("KB00000002", {"kbfleet:tenant": "acme"}, "ImplicitDeny"),
    ],
)
def test_the_policy_opens_the_recorded_knowledge_base_unless_it_is_known_to_be_anothers(
    knowledge_base_id: str, tags: dict[str, str], decision: str
) -> None:
    arn = f"{KNOWLEDGE_BASES}/{knowledge_base_id}"
    assert decided("bedrock:Retrieve", arn, RetrieveAndConverseAnswerer.actions, tags) == decision


@pytest.mark.parametrize(
    ("action", "by_two_calls", "by_one_call", "by_a_search"),
    [
        ("bedrock:Retrieve", "Allow", "Allow", "Allow"),
        ("bedrock:InvokeModel", "Allow", "Allow", "ImplicitDeny"),
        ("bedrock:ApplyGuardrail", "Allow", "Allow", "ImplicitDeny"),
        ("bedrock:RetrieveAndGenerate", "ImplicitDeny", "Allow", "ImplicitDeny"),
    ],
)
def test_the_policy_allows_what_the_way_of_answering_needs_and_no_more(
    action: str, by_two_calls: str, by_one_call: str, by_a_search: str
) -> None:
    resource = f"{KNOWLEDGE_BASES}/KB00000001" if action == "bedrock:Retrieve" else "*"
    ways = (RetrieveAndConverseAnswerer.actions, RetrieveAndGenerateAnswerer.actions, ())
    decisions = [decided(action, resource, way, {}) for way in ways]
    assert decisions == [by_two_calls, by_one_call, by_a_search]


def decided(action: str, resource: str, answering: tuple[str, ...], tags: dict[str, str]) -> str:
    """What IAM says to the tenant's session about it."""
    context = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/acme",
        principal_type="AssumedRole",
        principal_account=ACCOUNT,
        action=action,
        resource_arn=resource,
        region=REGION,
        service_context={f"aws:resourcetag/{key}": value for key, value in tags.items()},
    )
    document = session_policy(OURS, f"{KNOWLEDGE_BASES}/KB00000001", answering)
    return str(iam_evaluator.evaluate(context, [iam_evaluator.parse_policy_document(document)]).decision)


def test_the_policy_fits_into_a_request() -> None:
    longest = replace(OURS, tenant_id=type(ACME)("a" * 32))
    actions = RetrieveAndGenerateAnswerer.actions
    assert len(json.dumps(session_policy(longest, f"{KNOWLEDGE_BASES}/KB00000001", actions))) < 2_048


def test_no_answer_takes_longer_than_api_gateway_waits() -> None:
    seconds = {call: limit for call, (_, limit) in CALLS.items()}
    assert seconds["RetrieveAndGenerate"] + 2 < 29
    assert seconds["Retrieve"] + seconds["Converse"] + 2 * 2 <= 29
    assert seconds["Rewrite"] + seconds["Retrieve"] + seconds["ConverseAfterRewrite"] + 3 * 2 <= 29
