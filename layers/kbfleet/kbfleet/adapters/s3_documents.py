"""Deleting and opening single documents, by credentials for the one that is meant."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kbfleet.adapters.aws_errors import translated
from kbfleet.adapters.s3_uploads import upload_policy
from kbfleet.adapters.s3_versions import batches, remove
from kbfleet.adapters.scoped_credentials import MAX_POLICY, SHORTEST
from kbfleet.domain.document_links import DocumentLink, presentation
from kbfleet.domain.document_names import MAX_KEY_BYTES
from kbfleet.domain.errors import InvalidInput, SessionPolicyTooLarge
from kbfleet.domain.uploads import METADATA_SUFFIX
from kbfleet.ports import Erased

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from mypy_boto3_s3.client import S3Client

    from kbfleet.adapters.scoped_credentials import ScopedCredentials, ScopedRole
    from kbfleet.ports import Clock

OPENING = ("s3:GetObject",)
DELETING = ("s3:DeleteObject", "s3:DeleteObjectVersion")
_ROOM = 128
"""Characters that these and the condition take more than the one action of an upload."""
_ROOMS = (MAX_POLICY, MAX_POLICY // 2, MAX_POLICY // 4)
"""Characters of a policy, one after the other until AWS takes it."""


def document_policy(
    actions: Sequence[str], bucket_objects: str, key: str, account: str, room: int = MAX_POLICY
) -> dict[str, Any]:
    """What is left of a role's rights: these, to that object. How a key is written in it, `upload_policy` says.

    Args:
        account: whose bucket it must be.
    """
    policy = upload_policy(bucket_objects, key, room - _ROOM)
    policy["Statement"][0] |= {
        "Action": list(actions),
        "Condition": {"StringEquals": {"aws:ResourceAccount": account}},
    }
    return policy


class _ForOneDocument:
    """
    Args:
        role: may do this to all of the fleet's documents; each call has as much of it as it needs.
        make: makes clients with such credentials.
        objects: what ARNs of buckets and objects begin with.
        account: whose buckets these are, and nobody else's.
    """

    def __init__(
        self, role: ScopedRole, *, make: Callable[..., S3Client], objects: str, account: str, clock: Clock
    ) -> None:
        self._role = role
        self._make = make
        self._objects = objects
        self._account = account
        self._clock = clock

    def _credentials(self, actions: Sequence[str], bucket: str, key: str, lifetime: timedelta) -> ScopedCredentials:
        """Raises: InvalidInput: naming `document`, when they cannot be narrowed to it."""
        for room in _ROOMS:
            policy = document_policy(actions, f"{self._objects}{bucket}/", key, self._account, room)
            with suppress(SessionPolicyTooLarge):
                return self._role.assume(policy, session=bucket, of=f"a document in bucket {bucket}", lifetime=lifetime)
        raise InvalidInput("document", "has a key that is too long for what rights are narrowed with.")


class S3DocumentLinks(_ForOneDocument):
    """`kbfleet.ports.DocumentLinks` on S3. A link can do what its signer can, so that is to read this one object."""

    def link(self, bucket: str, key: str, valid_for: timedelta) -> DocumentLink:
        credentials = self._credentials(OPENING, bucket, key, valid_for)
        expires_at = min(self._clock.now() + valid_for, credentials.expires_at)
        shown = presentation(key)
        content_type = {"ResponseContentType": shown.content_type} if shown.content_type is not None else {}
        with translated(f"a link into bucket {bucket}", unsaid=[key]):
            url = self._make(**credentials.arguments).generate_presigned_url(
                "get_object",
                Params={
                    "Bucket": bucket,
                    "Key": key,
                    "ResponseContentDisposition": shown.disposition,
                    **content_type,
                },
                ExpiresIn=int((expires_at - self._clock.now()).total_seconds()),
            )
        return DocumentLink(url, expires_at)


class S3DocumentRemoval(_ForOneDocument):
    """`kbfleet.ports.DocumentRemoval` on S3.

    Args:
        client: lists versions, with the credentials of whoever runs this.
    """

    def __init__(self, client: S3Client, role: ScopedRole, **others: Any) -> None:
        super().__init__(role, **others)
        self._client = client

    def delete(self, bucket: str, key: str) -> None:
        # The document first: without its attributes, a filter that is to hide it would let it pass.
        for each in _both(key):
            self._hide(self._deleter(bucket, each), bucket, each)

    def erase(self, bucket: str, key: str, *, until: datetime) -> Erased:
        # The document is hidden first and gone last: until then, whoever is interrupted finds it, and goes on.
        hidden = self._hide(self._deleter(bucket, key), bucket, key)
        removed = 0
        for each in reversed(_both(key)):
            deleter = self._deleter(bucket, each)
            # While its versions go, one after the other, a delete marker is the newest: none of them comes back.
            marker = hidden if each == key else self._hide(deleter, bucket, each)
            while doomed := self._older(bucket, each):
                if self._clock.now() >= until:
                    return Erased(removed, whole=False)
                removed += self._remove(deleter, bucket, each, doomed, until)
            if marker is not None:
                self._remove(deleter, bucket, each, [{"Key": each, "VersionId": marker}], until)
        return Erased(removed, whole=True)

    def _older(self, bucket: str, key: str) -> list[Any]:
        """Some of the versions behind the newest one; none if there is none. The list is read from its beginning each
        time: where it goes on behind a version that is gone by then, is not said."""
        pages = ([each for each in page if not each["IsLatest"]] for page in self._versions(bucket, key))
        return next((older for older in pages if older), [])

    def _deleter(self, bucket: str, key: str) -> S3Client:
        return self._make(**self._credentials(DELETING, bucket, key, SHORTEST).arguments)

    def _hide(self, deleter: S3Client, bucket: str, key: str) -> str | None:
        """Makes a delete marker the newest version, if there is any and none is yet. Returns: its id."""
        newest = next(
            (version for page in self._versions(bucket, key) for version in page if version["IsLatest"]), None
        )
        if newest is None:
            return None
        if "ETag" not in newest:
            return str(newest["VersionId"])
        with translated(f"a document in bucket {bucket}", unsaid=[key]):
            answer = deleter.delete_object(Bucket=bucket, Key=key, ExpectedBucketOwner=self._account)
        return answer.get("VersionId")

    def _remove(
        self, deleter: S3Client, bucket: str, key: str, versions: Sequence[Mapping[str, Any]], until: datetime
    ) -> int:
        """At least some of these. Returns: how many, delete markers aside."""
        owner, removed = {"Bucket": bucket, "ExpectedBucketOwner": self._account}, 0
        with translated(f"a document in bucket {bucket}", unsaid=[key]):
            for batch in batches(versions):
                remove(deleter, owner, batch)
                removed += sum("ETag" in version for version in batch)
                if self._clock.now() >= until:
                    break
        return removed

    def _versions(self, bucket: str, key: str) -> Iterator[list[Any]]:
        """Of that key, over all pages, the newest first. Of all keys that begin with it, it comes first itself."""
        place: dict[str, Any] = {}
        while True:
            with translated(f"bucket {bucket}"):
                page = self._client.list_object_versions(
                    Bucket=bucket, Prefix=key, ExpectedBucketOwner=self._account, **place
                )
            listed: list[Any] = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            own = [each for each in listed if each["Key"] == key]
            if own:
                yield own
            if not page["IsTruncated"] or len(own) < len(listed):
                return
            place = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}


def _both(key: str) -> tuple[str, ...]:
    """The document, and the metadata file beside it."""
    beside = f"{key}{METADATA_SUFFIX}"
    return (key, beside) if len(beside.encode()) <= MAX_KEY_BYTES else (key,)
