"""Every function may do what it does and nothing else, found out by letting it do everything it can.

The real functions run through all that can happen to a tenant. Each of their calls is mapped to IAM actions and
resources, and must be allowed by the policies of template.yaml; each action that these allow must have been needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from bedrock_emulator import Quotas
from kbfleet.bootstrap import KNOWLEDGE_STORES
from tests.support.granted_permissions import (
    OPENER_ROLE,
    READER_ROLE,
    REMOVER_ROLE,
    SEARCHER_ROLE,
    UPLOADER_ROLE,
    Grant,
    Need,
    Permissions,
)
from tests.support.needed_permissions import NeededPermissions
from tests.support.tenant_lives import MODELS_OF_PROFILES, live_everything, live_on_a_store
from tests.support.virtual_fleet import RARE_SCHEDULE_SECONDS, RARE_TICKS, VirtualFleet, virtual_fleet

pytestmark = pytest.mark.timeout(600)
"""The lives take a minute, and several on a busy machine."""

UNSEEN = {
    # Bedrock looks the profile up on behalf of the caller, if the model is one. Source: AWS documentation,
    # Prerequisites for inference profiles.
    (READER_ROLE, "bedrock:GetInferenceProfile"),
    # As users report: whoever makes an API key with tags needs it, also without calling TagResource.
    ("EnsureUsageKeyFunction", "apigateway:PUT"),
    # What whoever has a form or a link does with it: signing asks nobody.
    (UPLOADER_ROLE, "s3:PutObject"),
    (OPENER_ROLE, "s3:GetObject"),
}
"""What is needed and shows in no call."""


@dataclass
class Audit:
    """What was needed, with an example of a call, and what is permitted."""

    needed: dict[Need, str]
    denied: dict[Need, str]
    grants: list[Grant]


@contextmanager
def audited() -> Iterator[tuple[VirtualFleet, NeededPermissions]]:
    # Request rates add pauses only.
    parameters = RARE_TICKS | {"IngestionModelArns": MODELS_OF_PROFILES}
    with virtual_fleet(
        parameters=parameters, safety_net_seconds=RARE_SCHEDULE_SECONDS, quotas=Quotas(requests_per_second={})
    ) as fleet:
        needed = NeededPermissions(fleet)
        with needed.collected():
            yield fleet, needed


@pytest.fixture(scope="module")
def audit() -> Audit:
    """Of everything on the default store, and of what depends on the store on the others."""
    whole = Audit({}, {}, [])
    for number, store in enumerate(KNOWLEDGE_STORES):
        with audited() as (fleet, needed):
            live = live_on_a_store if number else live_everything
            live(fleet, store)
        permissions = Permissions(fleet.deployment)
        whole.needed |= needed.found
        whole.denied |= {need: call for need, call in needed.found.items() if not permissions.allow(need)}
        whole.grants += permissions.grants()
    return whole


def test_every_function_may_do_what_it_does(audit: Audit) -> None:
    assert not [f"{need.who} needs {need.action} on {need.resource} for {call}" for need, call in audit.denied.items()]


def test_no_function_may_do_what_it_never_does(audit: Audit) -> None:
    needed = {(need.who, need.action) for need in audit.needed} | UNSEEN
    assert not {
        (grant.who, grant.sid, grant.action) for grant in audit.grants if (grant.who, grant.action) not in needed
    }


def test_what_shows_in_no_call_is_permitted_and_really_does_not_show(audit: Audit) -> None:
    permitted = {(grant.who, grant.action) for grant in audit.grants}
    assert permitted >= UNSEEN
    assert not {(need.who, need.action) for need in audit.needed} & UNSEEN


def test_every_function_that_may_do_anything_was_run(audit: Audit) -> None:
    assert {grant.who for grant in audit.grants} == {need.who for need in audit.needed} | {UPLOADER_ROLE, OPENER_ROLE}


def test_no_action_is_a_pattern(audit: Audit) -> None:
    assert not {grant for grant in audit.grants if "*" in grant.action or "?" in grant.action}


@pytest.fixture(scope="module")
def permissions() -> Permissions:
    with virtual_fleet() as fleet:
        return Permissions(fleet.deployment)


ROLES = "arn:aws:iam::123456789012:role"
TABLE = "arn:aws:dynamodb:ap-northeast-1:123456789012:table/Table"
KNOWLEDGE_BASES = "arn:aws:bedrock:ap-northeast-1:123456789012:knowledge-base"
PROFILES = "arn:aws:bedrock:ap-northeast-1:123456789012:inference-profile"
NOVA_IN_MUMBAI = "arn:aws:bedrock:ap-south-1::foundation-model/amazon.nova-lite-v1:0"
OWN_ACCOUNT = (("aws:resourceaccount", ("123456789012",)),)
Condition = tuple[str, tuple[str, ...]]


def partition(name: str) -> Condition:
    return ("dynamodb:leadingkeys", (name,))


def through(profile: str) -> tuple[Condition]:
    return (("bedrock:inferenceprofilearn", (f"{PROFILES}/{profile}",)),)


def selected(what: str) -> Condition:
    return ("dynamodb:select", (what,))


def read(of: str, *attributes: str) -> tuple[Condition, ...]:
    return (partition(of), ("dynamodb:attributes", attributes), selected("SPECIFIC_ATTRIBUTES"))


def written(of: str, *attributes: str) -> tuple[Condition, ...]:
    return (partition(of), ("dynamodb:attributes", ("PK", "SK", *attributes)), ("dynamodb:returnvalues", ("NONE",)))


class TestTheAuditItself:
    """That it would see a missing permission."""

    @pytest.mark.parametrize(
        "need",
        [
            Need("RefuseUploadsFunction", "s3:PutBucketPolicy", "arn:aws:s3:::another-bucket"),
            Need("RefuseUploadsFunction", "s3:DeleteBucketPolicy", "arn:aws:s3:::kbfleet-acme"),
            Need("RefuseUploadsFunction", "s3:PutBucketPolicy", "*"),
            Need(
                "ReserveTenantFunction",
                "events:PutEvents",
                "arn:aws:events:ap-northeast-1:123456789012:event-bus/kbfleet",
                (("events:source", ("kbfleet.ingestion",)),),
            ),
            Need(
                "DeleteKnowledgeStoreFunction",
                "dynamodb:DeleteItem",
                "arn:aws:dynamodb:ap-northeast-1:123456789012:table/Table",
                (("dynamodb:leadingkeys", ("TENANT#acme",)),),
            ),
            Need("EnsureKnowledgeBaseFunction", "iam:PassRole", "arn:aws:iam::123456789012:role/admin"),
            # The ask function writes conversations and nothing else, and reads no whole record.
            Need("AskFunction", "dynamodb:UpdateItem", TABLE, written("TENANT#acme", "exchanges")),
            Need("AskFunction", "dynamodb:UpdateItem", TABLE, written("FLEET", "exchanges")),
            Need("AskFunction", "dynamodb:UpdateItem", TABLE, written("CONVERSATION#acme", "exchanges", "lease")),
            Need("AskFunction", "dynamodb:PutItem", TABLE, written("CONVERSATION#acme", "exchanges")),
            Need("AskFunction", "dynamodb:GetItem", TABLE, read("TENANT#acme", "status", "lease")),
            Need("AskFunction", "dynamodb:GetItem", TABLE, (partition("TENANT#acme"), selected("ALL_ATTRIBUTES"))),
            Need("AskFunction", "dynamodb:GetItem", TABLE, read("INCIDENT#SUBJECT#acme", "status")),
            # What is signed by the function itself opens no document.
            Need("UploadsFunction", "s3:PutObject", "arn:aws:s3:::kbfleet-acme/terms.pdf", OWN_ACCOUNT),
            # What deletes and opens documents is a role that is narrowed to one.
            *(
                Need("DocumentsFunction", action, "arn:aws:s3:::kbfleet-acme/terms.pdf", OWN_ACCOUNT)
                for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion")
            ),
            Need("LinksFunction", "s3:GetObject", "arn:aws:s3:::kbfleet-acme/terms.pdf", OWN_ACCOUNT),
            Need("LinksFunction", "sts:AssumeRole", f"{ROLES}/{REMOVER_ROLE}"),
            Need("DocumentsFunction", "sts:AssumeRole", f"{ROLES}/{OPENER_ROLE}"),
            Need("DocumentsFunction", "bedrock:ListKnowledgeBaseDocuments", f"{KNOWLEDGE_BASES}/KB00000001"),
            Need(OPENER_ROLE, "s3:DeleteObject", "arn:aws:s3:::kbfleet-acme/terms.pdf", OWN_ACCOUNT),
            Need(OPENER_ROLE, "s3:GetObject", "arn:aws:s3:::another-bucket/terms.pdf", OWN_ACCOUNT),
            Need(REMOVER_ROLE, "s3:DeleteObject", "arn:aws:s3:::another-bucket/terms.pdf", OWN_ACCOUNT),
            Need(REMOVER_ROLE, "s3:DeleteBucket", "arn:aws:s3:::kbfleet-acme", OWN_ACCOUNT),
            # Who says why a document fails looks at it; nobody else does.
            *(
                Need(who, "s3:GetObject", "arn:aws:s3:::kbfleet-acme/terms.pdf", OWN_ACCOUNT)
                for who in ("WhyFunction", "RetryDocumentsFunction", "TenantsFunction", "AskFunction")
            ),
            Need("CollectFailuresFunction", "s3:GetObject", "arn:aws:s3:::another-bucket/terms.pdf", OWN_ACCOUNT),
            Need("CollectFailuresFunction", "s3:PutObject", "arn:aws:s3:::kbfleet-acme/terms.pdf", OWN_ACCOUNT),
            # Whoever searches for what is foreign has no answer written of it.
            Need("ReconcileFunction", "sts:AssumeRole", f"{ROLES}/{READER_ROLE}"),
            Need("AskFunction", "sts:AssumeRole", f"{ROLES}/{SEARCHER_ROLE}"),
            Need(SEARCHER_ROLE, "bedrock:RetrieveAndGenerate", "*"),
            Need(
                SEARCHER_ROLE,
                "bedrock:InvokeModel",
                "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
            ),
            # Answers are written by the model that was given, and by what its profile forwards to.
            Need(READER_ROLE, "bedrock:InvokeModel", "arn:aws:bedrock:ap-northeast-1::foundation-model/any"),
            Need(READER_ROLE, "bedrock:InvokeModel", f"{PROFILES}/apac.amazon.nova-pro-v1:0"),
            Need(READER_ROLE, "bedrock:InvokeModel", NOVA_IN_MUMBAI, through("apac.amazon.nova-pro-v1:0")),
            # Nobody reads conversations but who continues them, and who deletes them.
            Need("TenantsFunction", "dynamodb:GetItem", TABLE, (partition("CONVERSATION#acme"),)),
            Need("TickFunction", "dynamodb:PutItem", TABLE, (partition("INCIDENT#SUBJECT#acme"),)),
            Need("DeleteRecordsFunction", "dynamodb:PutItem", TABLE, (partition("TENANT#acme"),)),
        ],
        ids=lambda need: f"{need.who} {need.action} {need.resource}",
    )
    def test_what_no_statement_allows_is_denied(self, permissions: Permissions, need: Need) -> None:
        assert not permissions.allow(need)

    @pytest.mark.parametrize(
        "need",
        [
            Need("AskFunction", "dynamodb:UpdateItem", TABLE, written("CONVERSATION#acme", "exchanges", "expires_at")),
            Need("AskFunction", "dynamodb:GetItem", TABLE, read("TENANT#acme", "status", "knowledge_base_id")),
            Need(UPLOADER_ROLE, "s3:PutObject", "arn:aws:s3:::kbfleet-acme/terms.pdf", OWN_ACCOUNT),
            Need("CollectFailuresFunction", "s3:GetObject", "arn:aws:s3:::kbfleet-acme/terms.pdf", OWN_ACCOUNT),
            Need(READER_ROLE, "bedrock:InvokeModel", f"{PROFILES}/apac.amazon.nova-lite-v1:0"),
            Need(READER_ROLE, "bedrock:InvokeModel", NOVA_IN_MUMBAI, through("apac.amazon.nova-lite-v1:0")),
        ],
        ids=lambda need: f"{need.who} {need.action} {need.resource}",
    )
    def test_what_a_statement_allows_is_not(self, permissions: Permissions, need: Need) -> None:
        assert permissions.allow(need)

    def test_another_source_or_partition_makes_the_difference(self, permissions: Permissions) -> None:
        bus, table = (
            "arn:aws:events:ap-northeast-1:123456789012:event-bus/kbfleet",
            "arn:aws:dynamodb:ap-northeast-1:123456789012:table/Table",
        )
        published = (("events:source", ("kbfleet.tenants",)),)
        assert permissions.allow(Need("ReserveTenantFunction", "events:PutEvents", bus, published))
        catalogued = (("dynamodb:leadingkeys", ("KNOWLEDGE_STORE#OPENSEARCH_SERVERLESS",)),)
        assert permissions.allow(Need("DeleteKnowledgeStoreFunction", "dynamodb:DeleteItem", table, catalogued))
