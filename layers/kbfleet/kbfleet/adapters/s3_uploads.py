"""Forms by which others upload documents into tenants' buckets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kbfleet.adapters.aws_errors import translated
from kbfleet.domain.uploads import UploadForm

if TYPE_CHECKING:
    from datetime import timedelta

    from mypy_boto3_s3.client import S3Client

    from kbfleet.domain.uploads import DocumentKey, Upload
    from kbfleet.ports import Clock


class S3Uploads:
    """`kbfleet.ports.Uploads` on S3.

    A form is signed with the credentials of whoever runs this: it can do nothing that they cannot, and ends with them
    if they end first. A signed PUT would not do: only a form's policy limits the size (Amazon S3 API reference, POST
    Policy). No field says how to encrypt: buckets do it by themselves.

    Args:
        client: signs with version 4 for its Region's own host; by the global one, S3 redirects requests for a bucket
            in its first hours, which clients do not repeat with a body (Amazon S3 User Guide, Virtual hosting of
            buckets).
        account: whose buckets are written to, and nobody else's.
    """

    def __init__(self, client: S3Client, *, account: str, clock: Clock) -> None:
        self._client = client
        self._account = account
        self._clock = clock

    def form(self, bucket: str, upload: Upload, valid_for: timedelta) -> UploadForm:
        expires_at = self._clock.now() + valid_for
        with translated(f"an upload into bucket {bucket}"):
            signed = self._client.generate_presigned_post(
                bucket,
                str(upload.key),
                Fields={"Content-Type": upload.content_type},
                Conditions=[{"Content-Type": upload.content_type}, ["content-length-range", upload.size, upload.size]],
                ExpiresIn=int(valid_for.total_seconds()),
            )
        return UploadForm(signed["url"], signed["fields"], expires_at)

    def put_metadata(self, bucket: str, key: DocumentKey, content: bytes) -> None:
        with translated(f"a metadata file in bucket {bucket}", unsaid=[key]):
            self._client.put_object(
                Bucket=bucket,
                Key=key.metadata_key,
                Body=content,
                ContentType="application/json",
                ExpectedBucketOwner=self._account,
            )
