"""With authorization on, a batch delete of versions needs the permission to delete versions, and only that."""

from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.local.stack.callers import client_of_user


def bucket_of_versions(aws: Any) -> tuple[str, list[dict[str, str]]]:
    bucket, s3 = f"bucket-{uuid4().hex[:8]}", aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    puts = [s3.put_object(Bucket=bucket, Key="document.md", Body=b"text") for _ in range(2)]
    return bucket, [{"Key": "document.md", "VersionId": put["VersionId"]} for put in puts]


def test_versions_may_be_deleted_by_who_may_delete_versions(guarded_aws: Any) -> None:
    bucket, versions = bucket_of_versions(guarded_aws)
    user = client_of_user(guarded_aws, {"Action": "s3:DeleteObjectVersion", "Resource": f"arn:aws:s3:::{bucket}/*"})
    user("s3").delete_objects(Bucket=bucket, Delete={"Objects": versions})
    assert "Versions" not in guarded_aws.client("s3").list_object_versions(Bucket=bucket)


@pytest.mark.parametrize("guarded_aws", ["corrected"], indirect=True)
def test_versions_may_not_be_deleted_by_who_may_delete_objects_only(guarded_aws: Any) -> None:
    bucket, versions = bucket_of_versions(guarded_aws)
    user = client_of_user(guarded_aws, {"Action": "s3:DeleteObject", "Resource": f"arn:aws:s3:::{bucket}/*"})
    with pytest.raises(ClientError, match="s3:DeleteObjectVersion"):
        user("s3").delete_objects(Bucket=bucket, Delete={"Objects": versions})
