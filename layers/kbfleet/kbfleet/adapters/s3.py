"""The tenants' document buckets."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import replace
from enum import StrEnum
from os.path import commonprefix
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from kbfleet.adapters.aws_errors import translated
from kbfleet.adapters.s3_versions import batches, remove
from kbfleet.domain.document_examination import EDGE_BYTES, DocumentSample
from kbfleet.domain.document_names import MAX_KEY_BYTES, key_in
from kbfleet.domain.document_status import BucketEntry
from kbfleet.domain.errors import (
    AccessRefused,
    BucketNameTaken,
    NotReadyYet,
    PolicyNotTaken,
    RequestRefused,
    ResourceMissing,
)
from kbfleet.domain.failed_documents import BucketDocument, DocumentObject
from kbfleet.domain.finding import Drift
from kbfleet.domain.question_runs import ChangedDocuments
from kbfleet.domain.survey import PresentVersion
from kbfleet.domain.uploads import MAX_METADATA_BYTES, METADATA_SUFFIX, StoredObject
from kbfleet.ports import ComparedPage, EntryPage, VersionPage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
    from datetime import datetime

    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef, PublicAccessBlockConfigurationTypeDef

    from kbfleet.domain.deletions import AnsweredFrom
    from kbfleet.domain.names import Life, ResourceNames
    from kbfleet.ports import Clock

    _Repair = Callable[[], object]

REFUSE_UNENCRYPTED_TRANSPORT: Mapping[str, object] = {
    "Sid": "RefuseUnencryptedTransport",
    "Action": "s3:*",
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
REFUSE_UPLOADS: Mapping[str, object] = {"Sid": "RefuseUploads", "Action": "s3:PutObject"}
_OUR_STATEMENTS = {REFUSE_UNENCRYPTED_TRANSPORT["Sid"], REFUSE_UPLOADS["Sid"]}
_PUBLIC_ACCESS_BLOCKED: PublicAccessBlockConfigurationTypeDef = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
_ABORT_UPLOADS = "kbfleet-abort-incomplete-uploads"
_UPLOAD_DAYS = 7
"""After which what an upload in parts has left unfinished is deleted: nobody sees it, and it costs."""
_BUCKETS_A_PAGE = 1_000
_PAGES_OF_CHANGES = 10
"""Of a thousand versions each, that are looked through for what has changed: about a second."""
KEYS_A_PAGE = 1_000
"""The most. Source: AWS documentation, ListObjectsV2."""
KEYS_A_DOCUMENT = 3
"""That are listed for each document of a page: its metadata file is one, and older versions of both are others."""
LISTINGS = 5
"""Of single keys, for one place in a text where a name may begin: a tenant chooses what its keys are."""
_PAGES_BETWEEN = 2
"""Of a bucket's list, in search of some keys; what is not on them is looked up by itself."""


class S3DocumentBuckets:
    """`kbfleet.ports.DocumentBuckets` on S3.

    Every setting is read on every run, and written only where it is not what kbfleet promises: most of S3's settings
    can be written only as a whole, and what else stands in them is the customer's own (tags, policy statements,
    notifications, lifecycle rules, the key of the default encryption). Nothing locks a bucket between reading and
    writing: who changes a setting in that very moment may have to do so again.
    """

    def __init__(self, client: S3Client, *, account: str, region: str, clock: Clock) -> None:
        self._client = client
        self._account = account
        self._region = region
        self._clock = clock

    def ensure(self, name: str, tags: Mapping[str, str]) -> None:
        with _there(name):
            if not self._owned(name):
                self._create(name)
            for _, repair in self._repairs(name, tags):
                repair()

    def tells_of_changes(self, name: str) -> bool:
        with translated(f"bucket {name}"), suppress(self._client.exceptions.NoSuchBucket):
            if self._owned(name):
                told = self._client.get_bucket_notification_configuration(
                    Bucket=name, ExpectedBucketOwner=self._account
                )
                return "EventBridgeConfiguration" in told
        return False

    def differences(self, name: str, tags: Mapping[str, str]) -> Sequence[Drift] | None:
        with translated(f"bucket {name}"), suppress(self._client.exceptions.NoSuchBucket):
            if self._owned(name):
                return [drift for drift, _ in self._repairs(name, tags)]
        return None

    def refuse_uploads(self, name: str) -> None:
        owner, ours = self._owner(name), (REFUSE_UNENCRYPTED_TRANSPORT, REFUSE_UPLOADS)
        with _there(name):
            try:
                refusing = self._policy(owner, *ours)
                if refusing is not None:
                    refusing()
            except PolicyNotTaken:
                # The bucket is about to be deleted: what S3 does not take in its policy must not keep it.
                self._put_policy(owner, {"Version": "2012-10-17", "Statement": self._statements(owner, ours)})

    def exists(self, name: str) -> bool:
        with translated(f"bucket {name}"):
            return self._owned(name)

    def of_fleet(self, names: ResourceNames) -> Iterator[tuple[str, Life]]:
        with translated("the account's buckets"):
            pages = self._client.get_paginator("list_buckets").paginate(
                Prefix=f"{names.fleet}-", BucketRegion=self._region, PaginationConfig={"PageSize": _BUCKETS_A_PAGE}
            )
            for bucket in (bucket for page in pages for bucket in page.get("Buckets", ())):
                life = names.life_of_bucket(bucket["Name"])
                if life is not None:
                    yield bucket["Name"], life

    def count(self) -> int:
        with translated("the account's buckets"):
            pages = self._client.get_paginator("list_buckets").paginate(PaginationConfig={"PageSize": _BUCKETS_A_PAGE})
            return sum(len(page.get("Buckets", ())) for page in pages)

    def delete(self, name: str, *, until: datetime) -> bool:
        owner = self._owner(name)
        with _there(name):
            pages = self._client.get_paginator("list_object_versions").paginate(**owner)
            for page in pages:
                doomed = list(batches([*page.get("Versions", ()), *page.get("DeleteMarkers", ())]))
                for number, batch in enumerate(doomed, 1):
                    remove(self._client, owner, batch)
                    if (number < len(doomed) or page["IsTruncated"]) and self._clock.now() >= until:
                        return False
            try:
                self._client.delete_bucket(**owner)
            except ClientError as error:
                if _code(error) != "BucketNotEmpty":
                    raise
                # An upload that had begun before uploads were refused has come in behind the listing. Who comes again
                # at once, and again, would fill the history of the execution.
                raise NotReadyYet(f"Something has come into bucket {name} while it was emptied.") from error
        return True

    def _owner(self, name: str) -> Any:
        """What every call about a bucket is made with, so that it is about no other account's."""
        return {"Bucket": name, "ExpectedBucketOwner": self._account}

    def _owned(self, name: str) -> bool:
        """Whether the bucket exists and is ours. HeadBucket comes before CreateBucket because creating one's own bucket
        again answers 200 in us-east-1 and resets its ACLs (AWS documentation of CreateBucket)."""
        try:
            self._client.head_bucket(**self._owner(name))
        except ClientError as error:
            code = _code(error)
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
            match _code(error):
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

    def _repairs(self, name: str, tags: Mapping[str, str]) -> Iterator[tuple[Drift, _Repair]]:
        """What is not as it should be, and how to change that; each setting is read when it is its turn."""
        owner = self._owner(name)
        # First: S3 refuses a public policy only after it.
        settings: Mapping[Drift, Callable[[], _Repair | None]] = {
            Drift("it does not block public access"): lambda: self._public_access(owner),
            Drift("what comes in is not encrypted by default"): lambda: self._encryption(owner),
            Drift("it keeps no older versions"): lambda: self._versioning(owner),
            Drift("its policy does not say what kbfleet puts into it"): lambda: self._policy(
                owner, REFUSE_UNENCRYPTED_TRANSPORT
            ),
            Drift("EventBridge is not told of its changes", breaks=True): lambda: self._notifications(owner),
            Drift("it lacks the fleet's tags"): lambda: self._tags(owner, tags),
            Drift("what uploads leave unfinished stays"): lambda: self._lifecycle(owner),
        }
        for drift, look in settings.items():
            repair = look()
            if repair is not None:
                yield drift, repair

    def _public_access(self, owner: Any) -> _Repair | None:
        try:
            found: Any = self._client.get_public_access_block(**owner)["PublicAccessBlockConfiguration"]
        except ClientError as error:
            found = _nothing(error, "NoSuchPublicAccessBlockConfiguration", {})
        if found == _PUBLIC_ACCESS_BLOCKED:
            return None
        blocked = _PUBLIC_ACCESS_BLOCKED
        return lambda: self._client.put_public_access_block(**owner, PublicAccessBlockConfiguration=blocked)

    def _encryption(self, owner: Any) -> _Repair | None:
        """A customer's own key stays: that the default is encrypted is all that is promised."""
        try:
            found = self._client.get_bucket_encryption(**owner)["ServerSideEncryptionConfiguration"]["Rules"]
        except ClientError as error:
            found = _nothing(error, "ServerSideEncryptionConfigurationNotFoundError", [])
        if any("ApplyServerSideEncryptionByDefault" in rule for rule in found):
            return None
        by_s3: Any = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
        return lambda: self._client.put_bucket_encryption(**owner, ServerSideEncryptionConfiguration=by_s3)

    def _versioning(self, owner: Any) -> _Repair | None:
        if self._client.get_bucket_versioning(**owner).get("Status") == "Enabled":
            return None
        enabled: Any = {"Status": "Enabled"}
        return lambda: self._client.put_bucket_versioning(**owner, VersioningConfiguration=enabled)

    def _policy(self, owner: Any, *ours: Mapping[str, object]) -> _Repair | None:
        """Those of our statements, and no other of ours; whatever else is in the policy stays."""
        try:
            found = json.loads(self._client.get_bucket_policy(**owner)["Policy"])
        except ClientError as error:
            found = _nothing(error, "NoSuchBucketPolicy", {"Version": "2012-10-17", "Statement": []})
        statements = _listed(found.get("Statement", []))
        own, wanted = [each for each in statements if _is_ours(each)], self._statements(owner, ours)
        if [_comparable(each) for each in own] == [_comparable(each) for each in wanted]:
            return None
        others = [each for each in statements if each not in own]
        policy = {**found, "Statement": [*others, *wanted]}
        return lambda: self._put_policy_beside(owner, policy, others)

    def _put_policy_beside(self, owner: Any, policy: Mapping[str, object], others: Sequence[object]) -> None:
        """Args: others: statements in it that are not ours."""
        try:
            self._put_policy(owner, policy)
        except ClientError as error:
            # A role that a statement names may be gone (S3 then gives its principal back as an id, and takes it no
            # more), or the statement be public, which our bucket does not allow.
            if not others or _code(error) not in {"MalformedPolicy", "AccessDenied"}:
                raise
            raise PolicyNotTaken(
                f"S3 does not take the policy of bucket {owner['Bucket']}, probably for what others have put into it: "
                f"{_code(error)}.",
                remedy="Take out of it what names roles that are gone, and what is public; then run the command again.",
            ) from error

    def _statements(self, owner: Any, ours: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
        arn = f"arn:{self._client.meta.partition}:s3:::{owner['Bucket']}"
        resource = [arn, f"{arn}/*"]
        return [{**statement, "Effect": "Deny", "Principal": "*", "Resource": resource} for statement in ours]

    def _put_policy(self, owner: Any, policy: Mapping[str, object]) -> None:
        self._client.put_bucket_policy(**owner, Policy=json.dumps(policy))

    def _notifications(self, owner: Any) -> _Repair | None:
        found = self._client.get_bucket_notification_configuration(**owner)
        if "EventBridgeConfiguration" in found:
            return None
        whole: Any = {key: value for key, value in found.items() if key != "ResponseMetadata"}
        # Whether a customer's own queue is still there is no reason not to.
        return lambda: self._client.put_bucket_notification_configuration(
            **owner,
            NotificationConfiguration={**whole, "EventBridgeConfiguration": {}},
            SkipDestinationValidation=True,
        )

    def _tags(self, owner: Any, tags: Mapping[str, str]) -> _Repair | None:
        try:
            listed = self._client.get_bucket_tagging(**owner)["TagSet"]
        except ClientError as error:
            listed = _nothing(error, "NoSuchTagSet", [])
        found = {tag["Key"]: tag["Value"] for tag in listed}
        wanted = {**found, **tags}
        if wanted == found:
            return None
        tag_set: Any = [{"Key": key, "Value": value} for key, value in wanted.items()]
        return lambda: self._client.put_bucket_tagging(**owner, Tagging={"TagSet": tag_set})

    def _lifecycle(self, owner: Any) -> _Repair | None:
        try:
            found: Any = self._client.get_bucket_lifecycle_configuration(**owner)
        except ClientError as error:
            found = _nothing(error, "NoSuchLifecycleConfiguration", {})
        own = [rule for rule in found.get("Rules", []) if rule.get("ID") == _ABORT_UPLOADS]
        others = [rule for rule in found.get("Rules", []) if rule not in own]
        # Where one rule has a prefix of the first version of lifecycles, S3 takes none with a filter ("Filter element
        # can only be used in Lifecycle V2", as users report: aws-sdk-ruby #1653).
        whole: Any = {"Prefix": ""}
        wanted: Any = {
            "ID": _ABORT_UPLOADS,
            "Status": "Enabled",
            **(whole if any("Prefix" in rule for rule in others) else {"Filter": whole}),
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _UPLOAD_DAYS},
        }
        # S3 may give a filter that filters nothing as an empty one.
        if [{**rule, "Filter": whole} if rule.get("Filter") == {} else rule for rule in own] == [wanted]:
            return None
        # Belongs to the whole, too: what is not sent is set to the default.
        sizes = "TransitionDefaultMinimumObjectSize"
        kept: Any = {sizes: found[sizes]} if sizes in found else {}
        rules: Any = {"Rules": [*others, wanted]}
        return lambda: self._client.put_bucket_lifecycle_configuration(**owner, LifecycleConfiguration=rules, **kept)


def _is_ours(statement: Mapping[str, Any]) -> bool:
    """Whether it is one of those that kbfleet puts into a policy; others may have called theirs alike."""
    denies_all = statement.get("Effect") == "Deny" and statement.get("Principal") in ("*", {"AWS": "*"})
    return denies_all and statement.get("Sid") in _OUR_STATEMENTS


@contextmanager
def _there(name: str) -> Iterator[None]:
    """Runs calls about a bucket that was seen or made a moment ago. For seconds or minutes after it was made, parts of
    S3 do not know it (terraform-provider-aws #7803, #372, #49853).

    Raises: NotReadyYet where S3 does not know it; and as `translated`.
    """
    try:
        with translated(f"bucket {name}"):
            yield
    except ResourceMissing as error:
        raise NotReadyYet(f"{error.what} It may not show everywhere yet.") from error


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


_Setting = TypeVar("_Setting")


def _nothing(error: ClientError, code: str, empty: _Setting) -> _Setting:
    """What to take for a setting that was never made. Raises: the error, if it says anything else."""
    if _code(error) != code:
        raise error
    return empty


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _comparable(statement: Mapping[str, Any]) -> Mapping[str, Any]:
    """A statement of a policy, however S3 gives it back: what is alone in a list may stand without one."""
    lists = {name: sorted(_listed(statement[name])) for name in ("Action", "Resource") if name in statement}
    principal = statement.get("Principal")
    return {**statement, **lists, "Principal": "*" if principal == {"AWS": "*"} else principal}


class S3BucketContents:
    """`kbfleet.ports.BucketContents` and `DocumentSamples` on S3. Only `sample` reads objects: looking a document up
    needs no right to see what is in it.

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
        return BucketDocument(uri, _revision(document, beside), f"{uri}{METADATA_SUFFIX}" if beside else None)

    def describe(self, bucket: str, uri: str) -> DocumentObject | None:
        document, beside = self._listed(bucket, uri)
        if document is None:
            return None
        changed_at = max(each["LastModified"] for each in (document, beside) if each is not None)
        metadata_bytes = beside["Size"] if beside is not None else None
        return DocumentObject(changed_at, document["Size"], metadata_bytes, _revision(document, beside))

    def sample(self, bucket: str, uri: str) -> DocumentSample | None:
        document, beside = self._listed(bucket, uri)
        if document is None:
            return None
        size, metadata_size = document["Size"], beside["Size"] if beside is not None else None
        sample = DocumentSample(
            key_in(bucket, uri), size, revision=_revision(document, beside), metadata_size=metadata_size
        )
        try:
            head = self._read(bucket, document, 0, EDGE_BYTES)
            tail = self._read(bucket, document, max(EDGE_BYTES, size - EDGE_BYTES), EDGE_BYTES)
            small = beside is not None and beside["Size"] <= MAX_METADATA_BYTES
            metadata = self._read(bucket, beside, 0, MAX_METADATA_BYTES) if beside is not None and small else None
        except ResourceMissing:
            return None
        except (AccessRefused, RequestRefused):
            return sample  # encrypted with a key that is not ours to use, or archived
        return replace(sample, head=head, tail=tail, metadata=metadata)

    def _read(self, bucket: str, listed: ObjectTypeDef, first: int, most: int) -> bytes:
        """Raises: ResourceMissing where another object has taken its place since."""
        if first >= listed["Size"]:
            return b""  # S3 refuses to read from behind the end
        with translated(f"an object of bucket {bucket}", unsaid=[listed["Key"]]):
            try:
                found = self._client.get_object(
                    Bucket=bucket,
                    Key=listed["Key"],
                    Range=f"bytes={first}-{first + most - 1}",
                    IfMatch=listed["ETag"],
                    ExpectedBucketOwner=self._account,
                )
            except ClientError as error:
                if _code(error) in {"PreconditionFailed", "NoSuchKey", "InvalidRange", "412", "416"}:
                    raise ResourceMissing(f"An object of bucket {bucket} was replaced or deleted.") from error
                raise
            return found["Body"].read(most)

    def objects(self, bucket: str, keys: Collection[str]) -> Mapping[str, StoredObject]:
        return self._among(bucket, keys, most_alone=len(keys))

    def present(self, bucket: str, keys: Collection[str]) -> Collection[str]:
        try:
            return self._among(bucket, keys, most_alone=LISTINGS).keys()
        except ResourceMissing:
            return ()

    def _among(self, bucket: str, keys: Collection[str], *, most_alone: int) -> Mapping[str, StoredObject]:
        """Those of these keys that are there; none where more than `most_alone` would have to be looked up by
        themselves, so that nothing is said of some of them only."""
        # As S3 sorts them: by their bytes. Keys of a folder are neighbours, so that few pages have them all.
        # What S3 has no name for, it refuses to look for.
        wanted = sorted({key for key in keys if len(key.encode()) <= MAX_KEY_BYTES}, key=str.encode)
        with translated(f"bucket {bucket}"):
            listed, after = self._listed_between(bucket, wanted)
            beyond = [key for key in wanted if after is not None and key.encode() > after.encode()]
            if len(beyond) > most_alone:
                return {}
            listed += [found for found in (self._object(bucket, key) for key in beyond) if found is not None]
        there = {each["Key"]: StoredObject(each["Size"], each["ETag"].strip('"')) for each in listed}
        return {key: there[key] for key in wanted if key in there}

    def _listed_between(self, bucket: str, wanted: Sequence[str]) -> tuple[list[ObjectTypeDef], str | None]:
        """What is listed from the first of these keys on, and the last key that was seen, if more may come."""
        listed: list[ObjectTypeDef] = []
        # The list begins behind a key: what is in front of the first wanted one is that key without its last character.
        place: Any = {"StartAfter": wanted[0][:-1]} if wanted and len(wanted[0]) > 1 else {}
        for _ in range(_PAGES_BETWEEN if wanted else 0):
            page = self._client.list_objects_v2(
                Bucket=bucket,
                Prefix=commonprefix(wanted),  # noqa: RUF071 -- S3's prefixes are of characters, not of folders
                MaxKeys=KEYS_A_PAGE,
                ExpectedBucketOwner=self._account,
                **place,
            )
            listed += page.get("Contents", ())
            if not page["IsTruncated"] or listed[-1]["Key"].encode() >= wanted[-1].encode():
                return listed, None
            place = {"ContinuationToken": page["NextContinuationToken"]}
        return listed, listed[-1]["Key"] if listed else None

    def entries(self, bucket: str, *, prefix: str, after: str | None, limit: int) -> EntryPage:
        place: Any = {"KeyMarker": after} if after is not None else {}
        most = min(KEYS_A_PAGE, KEYS_A_DOCUMENT * limit)
        with translated(f"bucket {bucket}"):
            page = self._client.list_object_versions(
                Bucket=bucket, Prefix=prefix, MaxKeys=most, ExpectedBucketOwner=self._account, **place
            )
        # Of each key the newest version comes first (Amazon S3 User Guide, Listing objects in a versioning-enabled
        # bucket), so of the last key it is among these, too. Whether a list begins with the marker or behind it, the
        # documentation says in two ways.
        listed = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        newest: dict[str, Any] = {
            each["Key"]: each for each in listed if each["IsLatest"] and (after is None or each["Key"] > after)
        }
        until = page["NextKeyMarker"] if page["IsTruncated"] else None
        # Of the last key, there may be more on the next page.
        versions = Counter(each["Key"] for each in listed)
        alone = {key for key, number in versions.items() if number == 1 and key != until}
        documents = sorted(key for key in newest if not key.endswith((METADATA_SUFFIX, "/")))
        entries: list[BucketEntry] = []
        for key in documents[:limit]:
            beside = newest.get(f"{key}{METADATA_SUFFIX}")
            unseen = beside is None and until is not None and f"{key}{METADATA_SUFFIX}" > until
            if unseen and entries:
                return EntryPage(entries, entries[-1].key)
            # So many keys are between the two that they are on different pages.
            first = not unseen and alone.issuperset({key} if beside is None else {key, beside["Key"]})
            entries.append(_entry(key, newest[key], self._beside(bucket, key) if unseen else beside, first=first))
        if len(documents) > limit:
            return EntryPage(entries, documents[limit - 1])
        return EntryPage(entries, until)

    def _beside(self, bucket: str, key: str) -> Any:
        beside = f"{key}{METADATA_SUFFIX}"
        if len(beside.encode()) > MAX_KEY_BYTES:
            return None
        with translated(f"bucket {bucket}"):
            return self._object(bucket, beside)

    def attributes(self, bucket: str, uri: str) -> bytes | None:
        key = key_in(bucket, uri)
        try:
            beside = self._beside(bucket, key)
            small = beside is not None and beside["Size"] <= MAX_METADATA_BYTES
            return self._read(bucket, beside, 0, MAX_METADATA_BYTES) if small else None
        except (ResourceMissing, AccessRefused, RequestRefused):
            return None  # gone meanwhile, or encrypted with a key that is not ours to use

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

    def changed(self, bucket: str, since: datetime, most: int) -> ChangedDocuments:
        place: Any = {}
        changed: dict[str, datetime] = {}
        for _ in range(_PAGES_OF_CHANGES):
            with translated(f"bucket {bucket}"):
                page = self._client.list_object_versions(Bucket=bucket, ExpectedBucketOwner=self._account, **place)
            listed = (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
            newest = {each["Key"]: each["LastModified"] for each in listed if each["IsLatest"]}
            changed |= {key: at for key, at in newest.items() if at >= since and not key.endswith("/")}
            if not page["IsTruncated"]:
                break
            place = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
        keys = sorted(changed, key=lambda key: (-changed[key].timestamp(), key))
        return ChangedDocuments(tuple(keys[:most]), max(0, len(keys) - most))

    def compared(self, bucket: str, answered_from: AnsweredFrom, left_out: Set[str], after: str | None) -> ComparedPage:
        # A key's versions may go on behind the end of a page: what has become of the last key is counted with the next.
        key, version, fate = json.loads(after) if after is not None else (None, None, "")
        place: Any = {"KeyMarker": key, "VersionIdMarker": version} if key is not None else {}
        with translated(f"bucket {bucket}"):
            page = self._client.list_object_versions(Bucket=bucket, ExpectedBucketOwner=self._account, **place)
        fates: dict[str, _Fate] = {key: _Fate(fate)} if key is not None else {}
        for each in page.get("Versions", ()):
            if each["IsLatest"]:
                fates[each["Key"]] = _Fate.ADDED
        for marker in page.get("DeleteMarkers", ()):
            if marker["IsLatest"]:
                since = marker["LastModified"] > answered_from.read_from
                fates[marker["Key"]] = _Fate.GONE if since else _Fate.GONE_BEFORE
        for each in page.get("Versions", ()):
            if each["LastModified"] <= answered_from.read_until:
                fates[each["Key"]] = fates.get(each["Key"], _Fate.GONE_BEFORE).if_read
        following = None
        if page["IsTruncated"]:
            last = page["NextKeyMarker"]
            so_far = fates.pop(last, _Fate.GONE_BEFORE)
            following = json.dumps([last, page["NextVersionIdMarker"], so_far])
        # Of these, nothing is answered from, whatever becomes of them: what is there may be read by the next job.
        fates |= {key: fates[key].if_left_out for key in fates.keys() & left_out}
        counted = Counter(fate for key, fate in fates.items() if not key.endswith((METADATA_SUFFIX, "/")))
        return ComparedPage(counted[_Fate.KEPT], counted[_Fate.DELETED], counted[_Fate.ADDED], following)

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


class _Fate(StrEnum):
    """What has become of a key since what is answered from was read, as far as its versions were seen."""

    ADDED = "ADDED"
    KEPT = "KEPT"
    GONE = "GONE"
    DELETED = "DELETED"
    GONE_BEFORE = "GONE_BEFORE"

    @property
    def if_read(self) -> _Fate:
        """Where one of its versions may have been read."""
        return {_Fate.ADDED: _Fate.KEPT, _Fate.GONE: _Fate.DELETED}.get(self, self)

    @property
    def if_left_out(self) -> _Fate:
        """Where what was read could not be used."""
        return {_Fate.KEPT: _Fate.ADDED, _Fate.DELETED: _Fate.GONE_BEFORE}.get(self, self)


def _entry(key: str, newest: Any, beside: Any, *, first: bool) -> BucketEntry:
    """
    Args:
        newest, beside: versions of the document and of the metadata file, as they are listed; or delete markers.
        first: whether both are the first ones of their keys.
    """
    if _is_marker(newest):
        marker = PresentVersion(newest["LastModified"], deleted=True)
        return BucketEntry(key, marker.changed_at, marker.listed_from, deleted=True)
    both = [newest] if beside is None else [newest, beside]
    # Its ETag ends in the number of its parts. Source: AWS documentation, Checking object integrity.
    versions = [
        PresentVersion(each["LastModified"], each.get("Size", 0), in_parts="-" in each.get("ETag", "")) for each in both
    ]
    there = beside if beside is not None and not _is_marker(beside) else None
    return BucketEntry(
        key,
        max(version.changed_at for version in versions),
        max(version.listed_from for version in versions),
        newest["Size"],
        there["Size"] if there is not None else None,
        _revision(newest, there),
        # A document that was there before its attributes may have been read without them.
        first=first and (beside is None or beside["LastModified"] <= newest["LastModified"]),
    )


def _is_marker(listed: Any) -> bool:
    """Whether it says that an object was deleted."""
    return "ETag" not in listed


def _revision(document: ObjectTypeDef, beside: ObjectTypeDef | None) -> str:
    return " ".join(each["ETag"].strip('"') for each in (document, beside) if each is not None)
