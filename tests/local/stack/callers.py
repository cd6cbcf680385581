"""Callers of the local AWS who may do only what a policy says."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

Clients = Callable[[str], Any]


def client_of_user(aws: Any, *statements: dict[str, Any]) -> Clients:
    """Clients of a user who may do what the statements say."""
    iam, name = aws.client("iam"), f"user-{uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement} for statement in statements]}
    iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return lambda service: aws.client(service, key["AccessKeyId"], key["SecretAccessKey"])
