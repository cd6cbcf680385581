"""A tenant's bucket in memory, with the API and S3 in front of it as the command line meets them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from threading import Lock
from typing import TypeVar

import pytest

from cli.fleet_api import FleetApi, UploadRefused
from kbfleet.contracts.documents import GrantedUploadBody, UploadBody
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.uploads import METADATA_SUFFIX, Upload, UploadForm
from kbfleet.usecases.uploads import grant_uploads
from tests.support.fleet import Fleet
from tests.support.samples import ACME, NAMES, tenant

BUCKET = NAMES.bucket(Life(ACME))


Result = TypeVar("Result")


class Killed(BaseException):
    """The command dies, with all of its threads."""


class FolderUploads:
    """Grants by the real use case, and takes what is sent by a form as S3 does.

    `sent` has the keys that were sent, in order; `asked` how many documents each call asked for; `seconds` is how long
    a request takes. `troubles` are raised by the next requests, one each. `killed_at` is the number of the request,
    from 0, at which the command dies, before or after the request has its effect. `bent` changes what is answered.
    """

    def __init__(self) -> None:
        self.fleet = Fleet()
        self.fleet.registry.create(tenant(bucket_name=BUCKET))
        self.sent: list[str] = []
        self.asked: list[int] = []
        self.seconds = 0.0
        self.troubles: list[Exception] = []
        self.killed_at: int | None = None
        self.killed_after = False
        self.before_granting: Callable[[], None] = lambda: None
        self.before_sending: Callable[[str], None] = lambda _: None
        self.bent: Callable[[GrantedUploadBody], GrantedUploadBody] = lambda granted: granted
        self._requests = 0
        self._dead = False
        self._lock = Lock()

    @property
    def held(self) -> Mapping[str, bytes]:
        """What is in the bucket, by key."""
        return {key: content for (_, key), content in self.fleet.uploads.stored.items()}

    @property
    def documents(self) -> list[str]:
        return sorted(key for key in self.held if not key.endswith(METADATA_SUFFIX))

    def put(self, key: str, content: bytes) -> None:
        """As somebody else does."""
        self.fleet.uploads.stored[BUCKET, key] = content
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        self.fleet.bucket_contents.put(f"s3://{BUCKET}/{key}", md5, content=content)

    def installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Commands reach it in place of a stack."""

        def of_stack(*_: object) -> FleetApi:
            time.sleep(self.seconds)
            return FleetApi("https://api.example.com/v1", None)  # type: ignore[arg-type]  # nothing is signed

        monkeypatch.setattr(FleetApi, "of_stack", of_stack)
        monkeypatch.setattr(FleetApi, "grant_uploads", lambda _, *given: self.grant(*given))
        monkeypatch.setattr(FleetApi, "upload", lambda _, *given: self.take(*given))

    def grant(self, tenant_id: TenantId, uploads: Sequence[Upload]) -> Sequence[GrantedUploadBody]:
        def granted() -> Sequence[GrantedUploadBody]:
            self.asked.append(len(uploads))
            self.before_granting()
            found = grant_uploads(
                tenant_id,
                uploads,
                valid_for=timedelta(minutes=15),
                registry=self.fleet.registry,
                stores=self.fleet.stores,
                uploads=self.fleet.uploads,
                bucket_contents=self.fleet.bucket_contents,
                names=NAMES,
            )
            for upload in uploads:
                # Metadata files are written by the API.
                beside = self.fleet.uploads.stored.get((BUCKET, upload.key.metadata_key))
                if beside is not None:
                    self.put(upload.key.metadata_key, beside)
            return [self.bent(GrantedUploadBody.from_domain(each)) for each in found]

        return self._requested(granted)

    def take(self, _tenant_id: TenantId, form: UploadBody, content: bytes) -> None:
        def taken() -> None:
            key = form.fields["key"]
            self.before_sending(key)
            if not self.fleet.uploads.use(UploadForm(form.url, form.fields, form.expires_at), content):
                raise UploadRefused("S3 did not take the document: AccessDenied: Policy expired.", expired=True)
            self.put(key, content)
            self.sent.append(key)

        self._requested(taken)

    def _requested(self, effect: Callable[[], Result]) -> Result:
        time.sleep(self.seconds)
        with self._lock:
            number, self._requests = self._requests, self._requests + 1
            self._dead = self._dead or (number == self.killed_at and not self.killed_after)
            if self._dead:
                raise Killed
            if self.troubles:
                raise self.troubles.pop(0)
            result = effect()
            if number == self.killed_at:
                self._dead = True
                raise Killed
            return result

    def revived(self) -> None:
        """The next run begins."""
        self._dead, self.killed_at = False, None
        self.sent.clear()
        self.asked.clear()
