"""The tenants' document buckets."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from kbfleet.adapters.aws_errors import translated
from kbfleet.domain.document_names import MAX_KEY_BYTES, key_in
from kbfleet.domain.errors import BucketNameTaken, ResourceMissing
from kbfleet.domain.failed_documents import BucketDocument, DocumentObject
from kbfleet.domain.survey import PresentVersion
from kbfleet.domain.uploads import METADATA_SUFFIX
from kbfleet.ports import VersionPage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

    from kbfleet.domain.names import Life, ResourceNames

REFUSE_UNENCRYPTED_TRANSPORT: Mapping[str, object] = {
    "Sid": "RefuseUnencryptedTransport",
    "Action": "s3:*",
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
REFUSE_UPLOADS: Mapping[str, object] = {"Sid": "RefuseUploads", "Action": "s3:PutObject"}
KEYS_A_PAGE = 1_000
"""The most. Source: AWS documentation, ListObjectsV2."""
LISTINGS = 5
"""Of keys that begin alike, for one place in a text where a name may begin: a tenant chooses what its keys are."""
PAGES_A_CALL = 20
"""Of 1,000 versions each; about ten seconds of deleting."""


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

    def tells_of_changes(self, name: str) -> bool:
        with translated(f"bucket {name}"), suppress(self._client.exceptions.NoSuchBucket):
            if self._owned(name):
                told = self._client.get_bucket_notification_configuration(
                    Bucket=name, ExpectedBucketOwner=self._account
                )
                return "EventBridgeConfiguration" in told
        return False

    def refuse_uploads(self, name: str) -> None:
        with translated(f"bucket {name}"), suppress(self._client.exceptions.NoSuchBucket):
            policy = self._policy(name, REFUSE_UNENCRYPTED_TRANSPORT, REFUSE_UPLOADS)
            self._client.put_bucket_policy(Bucket=name, ExpectedBucketOwner=self._account, Policy=policy)

    def exists(self, name: str) -> bool:
        with translated(f"bucket {name}"):
            return self._owned(name)

    def of_fleet(self, names: ResourceNames) -> Iterator[tuple[str, Life]]:
        with translated("the account's buckets"):
            pages = self._client.get_paginator("list_buckets").paginate(
                Prefix=f"{names.fleet}-", BucketRegion=self._region
            )
            for bucket in (bucket for page in pages for bucket in page.get("Buckets", ())):
                life = names.life_of_bucket(bucket["Name"])
                if life is not None:
                    yield bucket["Name"], life

    def delete(self, name: str) -> bool:
        owner: Any = {"Bucket": name, "ExpectedBucketOwner": self._account}
        with translated(f"bucket {name}"):
            try:
                pages = self._client.get_paginator("list_object_versions").paginate(**owner)
                for number, page in enumerate(pages):
                    if number == PAGES_A_CALL:
                        return False
                    self._delete_versions(owner, [*page.get("Versions", ()), *page.get("DeleteMarkers", ())])
                self._client.delete_bucket(**owner)
            except self._client.exceptions.NoSuchBucket:
                return True
            except ClientError as error:
                if error.response["Error"]["Code"] != "BucketNotEmpty":
                    raise
                # An upload that had begun before uploads were refused has come in behind the listing.
                return False
        return True

    def _delete_versions(self, owner: Any, versions: list[Any]) -> None:
        if not versions:
            return
        doomed: list[Any] = [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in versions]
        refused = self._client.delete_objects(**owner, Delete={"Objects": doomed, "Quiet": True}).get("Errors", [])
        if refused:
            # A batch answers 200 also when single objects were refused. Keys are tenants' text: they stay out.
            first = refused[0]
            raise ClientError(
                {"Error": {"Code": first["Code"], "Message": f"{len(refused)} objects: {first['Message']}"}},
                "DeleteObjects",
            )

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
        self._client.put_bucket_policy(**owner, Policy=self._policy(name, REFUSE_UNENCRYPTED_TRANSPORT))
        self._client.put_bucket_notification_configuration(
            **owner, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
        self._client.put_bucket_tagging(
            **owner, Tagging={"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}
        )

    def _policy(self, name: str, *statements: Mapping[str, object]) -> str:
        resource = [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]
        denied = [{**statement, "Effect": "Deny", "Principal": "*", "Resource": resource} for statement in statements]
        return json.dumps({"Version": "2012-10-17", "Statement": denied})


class S3BucketContents:
    """`kbfleet.ports.BucketContents` on S3. Keys are listed, objects never read: looking a document up needs no right
    to see what is in it.

    Args:
        account: whose buckets are looked into, and nobody else's.
    """

    def __init__(self, client: S3Client, *, account: str) -> None:
        self._client = client
        self._account = account

    def find(self, bucket: str, uri: str) -> BucketDocument | None:
        document, beside = self._listed(bucket, uri)
        if document is None:
            return None
        etags = " ".join(_etag(each) for each in (document, beside) if each is not None)
        return BucketDocument(uri, etags, f"{uri}{METADATA_SUFFIX}" if beside else None)

    def describe(self, bucket: str, uri: str) -> DocumentObject | None:
        document, beside = self._listed(bucket, uri)
        if document is None:
            return None
        changed_at = max(each["LastModified"] for each in (document, beside) if each is not None)
        return DocumentObject(changed_at, document["Size"], beside["Size"] if beside is not None else None)

    def present(self, bucket: str, keys: Sequence[str]) -> Collection[str]:
        try:
            with translated(f"bucket {bucket}"):
                found: set[str] = set()
                for key in keys[:LISTINGS]:
                    answer = self._client.list_objects_v2(
                        Bucket=bucket, Prefix=key, MaxKeys=KEYS_A_PAGE, ExpectedBucketOwner=self._account
                    )
                    listed = {each["Key"] for each in answer.get("Contents", ())}
                    if not answer["IsTruncated"]:
                        return found | listed & set(keys)
                    # Many begin like it. It comes first itself; the longer ones are looked for more closely.
                    found |= listed & {key}
                return found if len(keys) <= LISTINGS else ()
        except ResourceMissing:
            return ()

    def versions(self, bucket: str, after: str | None) -> VersionPage:
        key, version = json.loads(after) if after is not None else (None, None)
        place: Any = {"KeyMarker": key, "VersionIdMarker": version} if key is not None else {}
        with translated(f"bucket {bucket}"):
            page = self._client.list_object_versions(Bucket=bucket, ExpectedBucketOwner=self._account, **place)
        versions = [
            PresentVersion(
                each["LastModified"],
                each["Size"],
                # Its ETag ends in the number of its parts. Source: AWS documentation, Checking object integrity.
                in_parts="-" in each["ETag"],
                folder=each["Key"].endswith("/"),
            )
            for each in page.get("Versions", ())
            if each["IsLatest"]
        ]
        gone = [
            PresentVersion(each["LastModified"], deleted=True)
            for each in page.get("DeleteMarkers", ())
            if each["IsLatest"]
        ]
        more = page["IsTruncated"]
        following = json.dumps([page["NextKeyMarker"], page["NextVersionIdMarker"]]) if more else None
        return VersionPage([*versions, *gone], following)

    def _listed(self, bucket: str, uri: str) -> tuple[ObjectTypeDef | None, ObjectTypeDef | None]:
        """The object, and the metadata file beside it."""
        key = key_in(bucket, uri)
        try:
            with translated(f"bucket {bucket}"):
                document = self._object(bucket, key)
                beside_key = f"{key}{METADATA_SUFFIX}"
                possible = document is not None and len(beside_key.encode()) <= MAX_KEY_BYTES
                beside = self._object(bucket, beside_key) if possible else None
        except ResourceMissing:
            return None, None
        return document, beside

    def _object(self, bucket: str, key: str) -> ObjectTypeDef | None:
        # Of all keys that begin with this one, it comes first itself.
        answer = self._client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1, ExpectedBucketOwner=self._account)
        found = next(iter(answer.get("Contents", ())), None)
        return found if found is not None and found["Key"] == key else None


def _etag(listed: ObjectTypeDef) -> str:
    return listed["ETag"].strip('"')
