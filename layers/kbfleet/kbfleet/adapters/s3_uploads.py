"""Forms by which others upload documents into tenants' buckets."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kbfleet.adapters.aws_errors import translated
from kbfleet.adapters.scoped_credentials import MAX_POLICY, serialized
from kbfleet.domain.errors import InvalidInput, SessionPolicyTooLarge
from kbfleet.domain.uploads import UploadForm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import timedelta

    from mypy_boto3_s3.client import S3Client

    from kbfleet.adapters.scoped_credentials import ScopedCredentials, ScopedRole
    from kbfleet.domain.uploads import DocumentKey, Upload
    from kbfleet.ports import Clock


class S3Uploads:
    """`kbfleet.ports.Uploads` on S3.

    A form can do what the credentials can that it is signed with, and ends with them if they end first. So these put
    nothing but the objects that were asked for at once: one (decision 28), or some of one tenant (decision 64). A
    signed PUT would not do: only a form's policy limits the size (Amazon S3 API reference, POST Policy). No field says
    how to encrypt: buckets do it by themselves.

    Args:
        client: writes metadata files, with the credentials of whoever runs this.
        uploader: may put documents into the fleet's buckets; forms have as much of it as they need.
        make: makes clients that sign with version 4 for their Region's own host; by the global one, S3 redirects
            requests for a bucket in its first hours, which clients do not repeat with a body (Amazon S3 User Guide,
            Virtual hosting of buckets).
        objects: what ARNs of buckets and objects begin with.
        account: whose buckets are written to, and nobody else's.
    """

    def __init__(
        self,
        client: S3Client,
        *,
        uploader: ScopedRole,
        make: Callable[..., S3Client],
        objects: str,
        account: str,
        clock: Clock,
    ) -> None:
        self._client = client
        self._uploader = uploader
        self._make = make
        self._objects = objects
        self._account = account
        self._clock = clock

    def forms(
        self, bucket: str, uploads: Sequence[Upload], valid_for: timedelta
    ) -> Sequence[UploadForm | InvalidInput]:
        forms: list[UploadForm | InvalidInput] = []
        for together in self._signed_together(bucket, uploads):
            subject = f"{len(together)} uploads into bucket {bucket}"
            credentials = self._credentials(bucket, together, subject, valid_for)
            if credentials is not None:
                forms += self._signed(bucket, together, subject, credentials, valid_for)
            elif len(together) > 1:
                for half in (together[: len(together) // 2], together[len(together) // 2 :]):
                    forms += self.forms(bucket, half, valid_for)
            else:
                remedy = "Choose a shorter key."
                forms.append(InvalidInput("key", "is too long for what a form is signed with.", remedy=remedy))
        return forms

    def _signed_together(self, bucket: str, uploads: Sequence[Upload]) -> Iterator[Sequence[Upload]]:
        """Some after the other, as many as one policy has room for."""
        together: list[Upload] = []
        for upload in uploads:
            more = [*together, upload]
            if together and len(serialized(self._policy(bucket, more))) > MAX_POLICY:
                yield together
                more = [upload]
            together = more
        if together:
            yield together

    def _policy(self, bucket: str, uploads: Sequence[Upload]) -> dict[str, Any]:
        return uploads_policy(f"{self._objects}{bucket}/", [str(each.key) for each in uploads])

    def _credentials(
        self, bucket: str, uploads: Sequence[Upload], subject: str, lifetime: timedelta
    ) -> ScopedCredentials | None:
        """`None` where they cannot be narrowed to these documents. A single one is then pinned by less of its key."""
        policies = [self._policy(bucket, uploads)]
        if len(uploads) == 1:
            policies = [upload_policy(f"{self._objects}{bucket}/", str(uploads[0].key), room) for room in _ROOMS]
        for policy in (each for number, each in enumerate(policies) if each not in policies[:number]):
            with suppress(SessionPolicyTooLarge):
                return self._uploader.assume(policy, session=bucket, of=subject, lifetime=lifetime)
        return None

    def _signed(
        self,
        bucket: str,
        uploads: Sequence[Upload],
        subject: str,
        credentials: ScopedCredentials,
        valid_for: timedelta,
    ) -> Iterator[UploadForm]:
        expires_at = min(self._clock.now() + valid_for, credentials.expires_at)
        with translated(subject):
            signer = self._make(**credentials.arguments)
            for upload in uploads:
                of_type = {"Content-Type": upload.content_type}
                signed = signer.generate_presigned_post(
                    bucket,
                    str(upload.key),
                    Fields=dict(of_type),
                    Conditions=[of_type, ["content-length-range", upload.size, upload.size]],
                    ExpiresIn=int((expires_at - self._clock.now()).total_seconds()),
                )
                yield UploadForm(signed["url"], signed["fields"], expires_at)

    def put_metadata(self, bucket: str, key: DocumentKey, content: bytes) -> None:
        with translated(f"a metadata file in bucket {bucket}", unsaid=[key]):
            self._client.put_object(
                Bucket=bucket,
                Key=key.metadata_key,
                Body=content,
                ContentType="application/json",
                ExpectedBucketOwner=self._account,
            )


_ROOMS = (MAX_POLICY, MAX_POLICY // 2, MAX_POLICY // 4)
"""Characters of a policy, one after the other until AWS takes it."""


def upload_policy(bucket_objects: str, key: str, room: int = MAX_POLICY) -> dict[str, Any]:
    """What is left of the uploader's rights: to put that object.

    Characters beyond ASCII stand as wildcards: a session policy takes none beyond Latin-1, and how IAM compares others
    is not documented. A key that is too long for a policy is pinned by as much of its beginning as there is room for.
    Neither leaves the bucket, and the form itself pins the whole key.

    Args:
        bucket_objects: ARN of all objects of the bucket, without a wildcard.
        room: characters that the policy may have; enough for the bucket alone.
    """
    parts = _as_pattern(key)
    while len(serialized(policy := _put(bucket_objects + "".join(parts)))) > room:
        parts = [*parts[: -2 if parts[-1] == "*" else -1], "*"]
    return policy


def uploads_policy(bucket_objects: str, keys: Sequence[str]) -> dict[str, Any]:
    """What is left of the uploader's rights for several objects: each whole key as `upload_policy` writes it, however
    long that makes it. Keys that are alike in ASCII stand as one.

    Args:
        bucket_objects: as there.
    """
    return _put(*dict.fromkeys(bucket_objects + "".join(_as_pattern(key)) for key in keys))


def _put(*resources: str) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "s3:PutObject",
                "Resource": resources[0] if len(resources) == 1 else list(resources),
            }
        ],
    }


def _as_pattern(key: str) -> list[str]:
    """The parts of a pattern of IAM that matches the key. What means something there is written as the variables that
    stand for it (AWS documentation, IAM policy elements: Variables and tags)."""
    parts = re.findall(r"[^\x20-\x7e]+|.", key, re.DOTALL)
    return ["*" if not part[0].isprintable() or not part.isascii() else _LITERALS.get(part, part) for part in parts]


_LITERALS = {"*": "${*}", "?": "${?}", "$": "${$}"}
