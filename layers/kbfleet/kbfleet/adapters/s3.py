"""The tenants' document buckets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from kbfleet.adapters.aws_errors import translated
from kbfleet.domain.errors import BucketNameTaken

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


class S3DocumentBuckets:
    """`kbfleet.ports.DocumentBuckets` on S3.

    Every setting is written on every run, not compared first: each call is idempotent, and a setting that was read as
    right a moment ago proves nothing. That is also what repairs drift.
    """

    def __init__(self, client: S3Client, *, account: str, region: str) -> None:
        self._client = client
        self._account = account
        self._region = region

    def ensure(self, name: str, tags: Mapping[str, str]) -> None:
        with translated(f"bucket {name}"):
            if not self._owned(name):
                self._create(name)
            self._converge(name, tags)

    def _owned(self, name: str) -> bool:
        """Whether the bucket exists and is ours. HeadBucket comes before CreateBucket because creating one's own bucket
        again answers 200 in us-east-1 and resets its ACLs (AWS documentation of CreateBucket)."""
        try:
            self._client.head_bucket(Bucket=name, ExpectedBucketOwner=self._account)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in {"404", "NoSuchBucket"}:
                return False
            if code in {"403", "AccessDenied"}:
                raise self._taken(name) from error
            raise
        return True

    def _create(self, name: str) -> None:
        # us-east-1 must not be named as a location constraint (AWS documentation of CreateBucket).
        location: dict[str, Any] = (
            {} if self._region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": self._region}}
        )
        try:
            self._client.create_bucket(Bucket=name, **location)
        except ClientError as error:
            match error.response["Error"]["Code"]:
                case "BucketAlreadyOwnedByYou":
                    return
                case "BucketAlreadyExists":
                    raise self._taken(name) from error
            raise

    def _taken(self, name: str) -> BucketNameTaken:
        return BucketNameTaken(
            f"Bucket {name} exists and account {self._account} may not use it.",
            remedy="If the bucket is ours, allow this role s3:ListBucket on it; else give the fleet another name.",
        )

    def _converge(self, name: str, tags: Mapping[str, str]) -> None:
        owner: Any = {"Bucket": name, "ExpectedBucketOwner": self._account}
        self._client.put_public_access_block(
            **owner,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )
        self._client.put_bucket_encryption(
            **owner,
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            },
        )
        self._client.put_bucket_versioning(**owner, VersioningConfiguration={"Status": "Enabled"})
        self._client.put_bucket_policy(**owner, Policy=json.dumps(self._tls_only(name)))
        self._client.put_bucket_notification_configuration(
            **owner, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
        self._client.put_bucket_tagging(
            **owner, Tagging={"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}
        )

    def _tls_only(self, name: str) -> dict[str, object]:
        return {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "RefuseUnencryptedTransport",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                }
            ],
        }
