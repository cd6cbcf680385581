"""Granted uploads in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta

from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.uploads import DocumentKey, Upload, UploadForm
from kbfleet.ports import Clock


class InMemoryUploads:
    """`kbfleet.ports.Uploads`, whose forms can be used by `use`. `stored` are the objects, by bucket and key."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.stored: dict[tuple[str, str], bytes] = {}

    def forms(
        self, bucket: str, uploads: Sequence[Upload], valid_for: timedelta
    ) -> Sequence[UploadForm | InvalidInput]:
        return [self.form(bucket, upload, valid_for) for upload in uploads]

    def form(self, bucket: str, upload: Upload, valid_for: timedelta) -> UploadForm:
        policy = json.dumps({"key": upload.key, "Content-Type": upload.content_type, "size": upload.size})
        fields = {"key": str(upload.key), "Content-Type": upload.content_type, "policy": policy}
        return UploadForm(f"https://{bucket}.example.com/", fields, self._clock.now() + valid_for)

    def put_metadata(self, bucket: str, key: DocumentKey, content: bytes) -> None:
        self.stored[bucket, key.metadata_key] = content

    def use(self, form: UploadForm, content: bytes, **changed: str) -> bool:
        """Sends the form with that document, and with other fields than it has. Returns: whether it was taken."""
        fields = {**form.fields, **changed}
        policy = json.loads(form.fields["policy"])
        given = {"key": fields["key"], "Content-Type": fields["Content-Type"], "size": len(content)}
        if given != policy or self._clock.now() >= form.expires_at:
            return False
        bucket = form.url.removeprefix("https://").partition(".")[0]
        self.stored[bucket, fields["key"]] = content
        return True
