"""With authorization on, a permission for one object is for the object of exactly that key."""

from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.local.stack.callers import client_of_user


@pytest.mark.parametrize("key", ["/a.md", "a//b.md", "s3://bucket/a.md"])
def test_slashes_in_a_key_are_part_of_it(guarded_aws: Any, key: str) -> None:
    bucket, s3 = f"bucket-{uuid4().hex[:8]}", guarded_aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    other = key.replace("//", "/").removeprefix("/")
    for each in (key, other):
        s3.put_object(Bucket=bucket, Key=each, Body=each.encode())
    user = client_of_user(guarded_aws, {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/{key}"})
    assert user("s3").get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    with pytest.raises(ClientError, match="AccessDenied"):
        user("s3").get_object(Bucket=bucket, Key=other)
