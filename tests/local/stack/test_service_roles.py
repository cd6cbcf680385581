"""What Bedrock may do with a service role on the local AWS is what IAM says: trust, policies, boundary, bucket."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.local.stack.callers import client_of_user
from tests.local.stack.conftest import LocalAws
from tests.support.tenant_roles import (
    CROSSINGS,
    ROLE_PATH,
    Crossing,
    RoleDocuments,
    RoleRig,
    TenantOnStore,
    TenantWalls,
    breach,
    narrow_roles,
    role_rig,
    shared_roles,
    trust_of_bedrock,
)

ACCOUNT = "000000000000"
REGION = "us-east-1"
NOT_ASSUMABLE = "unable to assume the given role"
STORE = "S3_VECTORS"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RoleRig]:
    with role_rig(tmp_path_factory.mktemp("stack")) as made:
        yield made


Tenants = tuple[TenantOnStore, TenantOnStore]


@pytest.fixture(scope="module")
def tenants(rig: RoleRig) -> Tenants:
    """With narrow roles."""
    return rig.tenant("maple", STORE, "walrus"), rig.tenant("maples", STORE, "copper")


@pytest.fixture(scope="module")
def sharing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RoleRig, Tenants]]:
    """Tenants whose roles are as wide as a shared one."""
    with role_rig(tmp_path_factory.mktemp("stack"), shared_roles) as made:
        yield made, (made.tenant("maple", STORE, "walrus"), made.tenant("maples", STORE, "copper"))


def of_crossing(crossing: Crossing) -> str:
    return crossing.what


@pytest.mark.parametrize("crossing", CROSSINGS, ids=of_crossing)
def test_narrow_roles_keep_tenants_apart(rig: RoleRig, tenants: Tenants, crossing: Crossing) -> None:
    assert breach(rig, crossing, *tenants) is None
    for tenant in tenants:
        assert tenant.word in rig.found(tenant)


@pytest.mark.parametrize("crossing", CROSSINGS, ids=of_crossing)
def test_wide_roles_do_not(sharing: tuple[RoleRig, Tenants], crossing: Crossing) -> None:
    rig, tenants = sharing
    assert breach(rig, crossing, *tenants) is not None


@pytest.fixture
def role(rig: RoleRig) -> Callable[..., TenantOnStore]:
    """Makes a tenant, and then changes its role's documents."""

    def make(change: Callable[[TenantWalls, RoleDocuments], RoleDocuments]) -> TenantOnStore:
        tenant = rig.tenant(f"t{uuid4().hex[:6]}", STORE, "saffron")
        changed = change(tenant.walls, narrow_roles(tenant.walls))
        iam, name = rig.client("iam"), tenant.bucket
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(changed.trust))
        iam.put_role_policy(RoleName=name, PolicyName="tenant", PolicyDocument=json.dumps(changed.policy))
        if changed.boundary != narrow_roles(tenant.walls).boundary:
            arn = iam.create_policy(PolicyName=f"{name}-boundary", PolicyDocument=json.dumps(changed.boundary))
            iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=arn["Policy"]["Arn"])
        return tenant

    return make


def statement(*actions: str, effect: str = "Allow", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": list(actions), "Resource": resource, **more}


def trusting(condition: dict[str, Any], *more: dict[str, Any]) -> Any:
    """Changes the trust policy to one with this condition, and with more statements."""

    def change(walls: TenantWalls, documents: RoleDocuments) -> RoleDocuments:
        trust = trust_of_bedrock(walls)
        [allow] = trust["Statement"]
        filled = json.loads(json.dumps(condition).replace("MINE", walls.knowledge_base_arn))
        return replace(documents, trust={**trust, "Statement": [{**allow, "Condition": filled}, *more]})

    return change


OF_BEDROCK = {"Principal": {"Service": "bedrock.amazonaws.com"}, "Action": "sts:AssumeRole"}
ANY = "arn:aws:bedrock:*:*:knowledge-base/*"


@pytest.mark.parametrize(
    ("change", "assumable"),
    [
        (trusting({"ArnLike": {"aws:SourceArn": ANY}}), True),
        (trusting({"ArnEquals": {"aws:SourceArn": "MINE"}, "StringEquals": {"aws:SourceAccount": ACCOUNT}}), True),
        (trusting({"StringEquals": {"aws:SourceArn": ["arn:aws:bedrock:other", "MINE"]}}), True),
        (trusting({"StringEquals": {"aws:SourceArn": ANY}}), False),
        (trusting({"ArnLike": {"aws:SourceArn": "MINE0"}}), False),
        (trusting({"ArnLike": {"aws:SourceArn": ANY}, "StringEquals": {"aws:SourceAccount": "1" * 12}}), False),
        (trusting({"StringNotEquals": {"aws:SourceArn": "MINE"}}), False),
        (trusting({"Null": {"aws:SourceArn": "true"}}), False),
        (trusting({"Bool": {"aws:PrincipalIsAWSService": "true"}}), True),
        (trusting({"StringEquals": {"sts:ExternalId": "secret"}}), False),
        (trusting({"ArnLike": {"aws:SourceArn": ANY}}, {"Effect": "Deny", **OF_BEDROCK}), False),
    ],
)
def test_trust_is_evaluated_with_its_conditions(rig: RoleRig, role: Any, change: Any, assumable: bool) -> None:
    tenant = role(change)
    if assumable:
        assert "saffron" in rig.found(tenant)
        return
    for use in (lambda: rig.found(tenant), lambda: rig.sync(tenant.knowledge_base, tenant.data_source)):
        with pytest.raises(ClientError, match=NOT_ASSUMABLE):
            use()


@pytest.mark.parametrize("principal", [{"Service": "lambda.amazonaws.com"}, {"AWS": ACCOUNT}], ids=str)
def test_trust_of_others_is_none_of_bedrocks(rig: RoleRig, role: Any, principal: dict[str, str]) -> None:
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal}
    tenant = role(lambda _, documents: replace(documents, trust={"Version": "2012-10-17", "Statement": [trust]}))
    with pytest.raises(ClientError, match=NOT_ASSUMABLE):
        rig.found(tenant)


def with_statements(*added: dict[str, Any]) -> Any:
    def change(_: TenantWalls, documents: RoleDocuments) -> RoleDocuments:
        statements = [*documents.policy["Statement"], *added]
        return replace(documents, policy={"Version": "2012-10-17", "Statement": statements})

    return change


def within(*statements: dict[str, Any]) -> Any:
    """Changes the permissions boundary."""
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    return lambda _, documents: replace(documents, boundary=document)


@pytest.mark.parametrize(
    "change",
    [
        with_statements(statement("s3:GetObject", effect="Deny")),
        within(statement("s3:ListBucket", "bedrock:*", "s3vectors:*")),
        within(statement("*"), statement("s3:GetObject", effect="Deny")),
        within(statement("*", Condition={"StringEquals": {"aws:SourceArn": "arn:aws:bedrock:any"}})),
        within(statement("*", Condition={"StringEquals": {"aws:ResourceAccount": "1" * 12}})),
    ],
    ids=["denied", "not in the boundary", "denied by the boundary", "a key that no session has", "another account"],
)
def test_what_policies_or_the_boundary_do_not_allow_is_not_read(rig: RoleRig, role: Any, change: Any) -> None:
    tenant = role(change)
    rig.put(tenant.bucket, "more.md", "The garden of the house has an owl.")
    assert "not authorized to perform: " in end_of_sync(rig, tenant)


def end_of_sync(rig: RoleRig, tenant: TenantOnStore) -> str:
    """The status of a job and its reasons, or why it may not start."""
    try:
        ended = rig.sync(tenant.knowledge_base, tenant.data_source)
    except ClientError as error:
        return str(error)
    return f"{ended['status']} {ended.get('failureReasons')}"


def test_a_boundary_alone_grants_nothing(rig: RoleRig, role: Any) -> None:
    tenant = role(
        lambda _, documents: replace(
            documents, policy={"Version": "2012-10-17", "Statement": [statement("bedrock:InvokeModel")]}
        )
    )
    with pytest.raises(ClientError, match="not authorized to perform: s3vectors:QueryVectors"):
        rig.found(tenant)


def bucket_policy(rig: RoleRig, bucket: str, **of_statement: Any) -> None:
    resource = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    document = {"Version": "2012-10-17", "Statement": [{"Resource": resource, **of_statement}]}
    rig.client("s3").put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))


def test_a_bucket_policy_can_grant_by_itself_and_deny(rig: RoleRig, role: Any) -> None:
    embedding = {"Version": "2012-10-17", "Statement": [statement("bedrock:*", "s3vectors:*")]}
    tenant = role(lambda _, documents: replace(documents, policy=embedding))
    rig.put(tenant.bucket, "more.md", "The garden of the house has an owl.")
    assert rig.sync(tenant.knowledge_base, tenant.data_source)["status"] == "FAILED"
    bucket_policy(rig, tenant.bucket, Effect="Allow", Action="s3:*", Principal={"AWS": tenant.role_arn})
    assert rig.sync(tenant.knowledge_base, tenant.data_source)["status"] == "COMPLETE"
    rig.put(tenant.bucket, "most.md", "The roof of the house has a stork.")
    condition = {"ArnEquals": {"aws:PrincipalArn": tenant.role_arn}}
    bucket_policy(rig, tenant.bucket, Effect="Deny", Action="s3:*", Principal="*", Condition=condition)
    assert rig.sync(tenant.knowledge_base, tenant.data_source)["status"] == "FAILED"


def test_a_bucket_that_demands_tls_is_read(rig: RoleRig, tenants: Tenants) -> None:
    plain = {"Bool": {"aws:SecureTransport": "false"}}
    bucket_policy(rig, tenants[0].bucket, Effect="Deny", Action="s3:*", Principal="*", Condition=plain)
    assert rig.sync(tenants[0].knowledge_base, tenants[0].data_source)["status"] == "COMPLETE"


def test_a_role_is_found_by_its_whole_arn(rig: RoleRig, tenants: Tenants) -> None:
    elsewhere = tenants[0].role_arn.replace(ROLE_PATH, "/elsewhere/")
    with pytest.raises(ClientError, match=NOT_ASSUMABLE):
        rig.make_knowledge_base("elsewhere", elsewhere, STORE, tenants[0].storage)


def test_a_knowledge_base_on_ones_own_index_is_made(rig: RoleRig, role: Any) -> None:
    """Else the refusal of one on another's index would say nothing of the index."""
    tenant = role(trusting({"ArnLike": {"aws:SourceArn": ANY}}))
    assert rig.make_knowledge_base(f"{tenant.bucket}-more", tenant.role_arn, STORE, tenant.storage)


@pytest.fixture
def late_role(rig: RoleRig) -> Iterator[str]:
    """The name of one that is late for hours: at the rig's speed, seconds."""
    name = f"late-{uuid4().hex[:8]}"
    match = {"roleArn": f"arn:aws:iam::{ACCOUNT}:role{ROLE_PATH}{name}"}
    control(rig, "POST", {"effect": "new_role_not_assumable", "seconds": 50_000, "match": match})
    yield name
    control(rig, "DELETE")


def control(rig: RoleRig, method: str, order: Any = None) -> None:
    request = urllib.request.Request(  # noqa: S310 - ours
        f"{rig.configuration.aws_url}/_emulator/faults", json.dumps(order).encode(), method=method
    )
    with urllib.request.urlopen(request):  # noqa: S310 - ours
        pass


def test_a_role_just_made_can_not_be_assumed_at_first(rig: RoleRig, tenants: Tenants, late_role: str) -> None:
    walls = replace(tenants[0].walls, knowledge_base_arn=ANY)
    role_arn = rig.make_role(late_role, walls)

    def taken() -> bool:
        try:
            return bool(rig.make_knowledge_base("late", role_arn, STORE, tenants[0].storage))
        except ClientError as error:
            if NOT_ASSUMABLE not in str(error):
                raise
            return False

    assert not taken()
    assert "walrus" in rig.found(tenants[0])
    assert LocalAws(rig.configuration).eventually(taken)


def test_only_a_role_that_the_caller_may_pass_to_bedrock_is_taken(rig: RoleRig, tenants: Tenants) -> None:
    tenant = tenants[0]
    aws, creating = LocalAws(rig.configuration), {"Action": "bedrock:*", "Resource": "*"}
    request = {
        "knowledgeBaseId": tenant.knowledge_base,
        "name": tenant.bucket,
        "roleArn": tenant.role_arn,
        **rig.configured(STORE, tenant.storage),
    }

    def passing(service: str, resource: str) -> dict[str, Any]:
        condition = {"StringEquals": {"iam:PassedToService": service}}
        return {"Action": "iam:PassRole", "Resource": resource, "Condition": condition}

    bedrock, roles = "bedrock.amazonaws.com", f"arn:aws:iam::{ACCOUNT}:role{ROLE_PATH}*"
    for refused in ([], [passing("lambda.amazonaws.com", roles)], [passing(bedrock, roles.replace("proof", "other"))]):
        agent = client_of_user(aws, creating, *refused)("bedrock-agent")
        with pytest.raises(ClientError, match="not authorized to perform: iam:PassRole"):
            agent.update_knowledge_base(**request)
    agent = client_of_user(aws, creating, passing(bedrock, roles))("bedrock-agent")
    assert agent.update_knowledge_base(**request)


CALLS = """
import boto3
from botocore.exceptions import ClientError


def outcome(call):
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "done"


def handler(event, context):
    return [outcome(boto3.client("sqs").list_queues), outcome(boto3.client("dynamodb").list_tables)]
"""


def test_a_function_is_bound_by_its_roles_boundary(rig: RoleRig) -> None:
    iam, name = rig.client("iam"), f"role-{uuid4().hex[:8]}"
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}

    def document(*statements: dict[str, Any]) -> str:
        return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})

    boundary = iam.create_policy(PolicyName=f"{name}-boundary", PolicyDocument=document(statement("sqs:*")))
    made = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=document(trust), PermissionsBoundary=boundary["Policy"]["Arn"]
    )
    iam.put_role_policy(RoleName=name, PolicyName="wide", PolicyDocument=document(statement("*")))
    aws = LocalAws(rig.configuration)
    assert aws.invoke(aws.make_function(CALLS, Role=made["Role"]["Arn"])) == (None, ["done", "AccessDeniedException"])
