"""With authorization on, permissions boundaries bind, and whoever makes roles can be kept to those that have one."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import boto3
from botocore.exceptions import ClientError

from tests.local.stack.callers import client_of_user

ACCOUNT = "000000000000"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}],
    }
)
PATH = "/fleet/"


def document(*actions: str) -> str:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def make_boundary(aws: Any, *actions: str) -> str:
    made = aws.client("iam").create_policy(PolicyName=f"b-{uuid4().hex[:8]}", PolicyDocument=document(*actions))
    return str(made["Policy"]["Arn"])


def clients_of_role(aws: Any, arn: str) -> Callable[[str], Any]:
    given = aws.client("sts").assume_role(RoleArn=arn, RoleSessionName="any")["Credentials"]
    return lambda service: boto3.client(  # type: ignore[call-overload]
        service,
        region_name="us-east-1",
        endpoint_url=aws.configuration.aws_url,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )


def refused(call: Callable[..., Any], **arguments: Any) -> bool:
    try:
        call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException"):
            raise
        return True
    return False


def test_a_templates_role_is_bound_by_its_boundary(guarded_aws: Any) -> None:
    boundary = make_boundary(guarded_aws, "sqs:*")
    policy = {"PolicyName": "wide", "PolicyDocument": json.loads(document("*"))}
    properties = {"AssumeRolePolicyDocument": json.loads(TRUST), "Policies": [policy]}

    def deployed(stack: str = "", **more: Any) -> Any:
        resources = {"Role": {"Type": "AWS::IAM::Role", "Properties": {**properties, **more}}}
        return guarded_aws.deploy(resources, {"Arn": {"Fn::GetAtt": "Role.Arn"}}, stack=stack)

    made = deployed(PermissionsBoundary=boundary)
    clients = clients_of_role(guarded_aws, made.outputs["Arn"])
    assert not refused(clients("sqs").list_queues)
    assert refused(clients("dynamodb").list_tables)
    deployed(made.name)
    assert not refused(clients("dynamodb").list_tables)


def test_whoever_makes_roles_is_kept_to_those_with_a_boundary(guarded_aws: Any) -> None:
    """By `iam:PermissionsBoundary` on each action that has it, and by the roles' path."""
    boundary, other = make_boundary(guarded_aws, "sqs:*"), make_boundary(guarded_aws, "*")
    iam = client_of_user(
        guarded_aws,
        {
            "Action": "iam:*",
            "Resource": f"arn:aws:iam::{ACCOUNT}:role{PATH}*",
            "Condition": {"StringEquals": {"iam:PermissionsBoundary": boundary}},
        },
    )("iam")
    root = guarded_aws.client("iam")

    def name() -> str:
        return f"role-{uuid4().hex[:8]}"

    for wrong in (
        {},
        {"Path": PATH},
        {"Path": PATH, "PermissionsBoundary": other},
        {"PermissionsBoundary": boundary},
        {"Path": "/other/", "PermissionsBoundary": boundary},
    ):
        arguments = {"RoleName": name(), "AssumeRolePolicyDocument": TRUST, **wrong}
        assert refused(iam.create_role, **arguments), wrong
    bound, free = name(), name()
    bounded = {"Path": PATH, "PermissionsBoundary": boundary}
    iam.create_role(RoleName=bound, AssumeRolePolicyDocument=TRUST, **bounded)
    root.create_role(RoleName=free, Path=PATH, AssumeRolePolicyDocument=TRUST)
    for operation, arguments in (
        ("get_role", {}),
        ("update_role", {"Description": "any"}),
        ("update_role_description", {"Description": "any"}),
        ("update_assume_role_policy", {"PolicyDocument": TRUST}),
        ("put_role_policy", {"PolicyName": "wide", "PolicyDocument": document("*")}),
        ("delete_role_policy", {"PolicyName": "wide"}),
        ("attach_role_policy", {"PolicyArn": other}),
        ("detach_role_policy", {"PolicyArn": other}),
        ("put_role_permissions_boundary", {"PermissionsBoundary": boundary}),
    ):
        call = getattr(iam, operation)
        assert not refused(call, RoleName=bound, **arguments), operation
        if operation != "put_role_permissions_boundary":
            assert refused(call, RoleName=free, **arguments), operation
    assert refused(iam.put_role_permissions_boundary, RoleName=bound, PermissionsBoundary=other)
    for operation in ("delete_role", "delete_role_permissions_boundary"):
        assert refused(getattr(iam, operation), RoleName=free), operation
        assert not refused(getattr(iam, operation), RoleName=bound), operation
        root.create_role(RoleName=(bound := name()), AssumeRolePolicyDocument=TRUST, **bounded)


def test_only_permitted_policies_may_be_attached(guarded_aws: Any) -> None:
    permitted, other = make_boundary(guarded_aws, "sqs:*"), make_boundary(guarded_aws, "*")
    condition = {"ArnEquals": {"iam:PolicyARN": permitted}}
    iam = client_of_user(guarded_aws, {"Action": "iam:*", "Resource": "*", "Condition": condition})("iam")
    name = f"role-{uuid4().hex[:8]}"
    guarded_aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    assert not refused(iam.attach_role_policy, RoleName=name, PolicyArn=permitted)
    assert refused(iam.attach_role_policy, RoleName=name, PolicyArn=other)


def test_a_session_is_known_by_its_roles_arn(guarded_aws: Any) -> None:
    root, name = guarded_aws.client("iam"), f"role-{uuid4().hex[:8]}"
    arn = root.create_role(RoleName=name, Path=PATH, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    root.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=document("*"))
    s3, bucket = guarded_aws.client("s3"), f"bucket-{uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": {"ArnNotEquals": {"aws:PrincipalArn": arn}, "Null": {"aws:userid": "false"}},
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    assert not refused(clients_of_role(guarded_aws, arn)("s3").put_object, Bucket=bucket, Key="a", Body=b"")
    other = client_of_user(guarded_aws, {"Action": "s3:*", "Resource": "*"})
    assert refused(other("s3").put_object, Bucket=bucket, Key="a", Body=b"")
