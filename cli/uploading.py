"""Sending many documents: checked, in parallel, and only what is not there."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from io import BufferedReader
from pathlib import Path
from stat import S_ISREG
from threading import BoundedSemaphore, Event, Lock
from typing import Any, TypeVar

from cli.fleet_api import FleetApi, FleetUnreachable, NoAnswer, Refused, UploadRefused
from cli.local_documents import FoundDocuments, LocalDocument
from kbfleet.contracts.documents import GrantedUploadBody, UploadBody
from kbfleet.domain.document_examination import EDGE_BYTES, DocumentFault, DocumentSample, findings
from kbfleet.domain.document_names import form_of
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.names import TenantId
from kbfleet.domain.uploads import (
    MAX_DOCUMENT_BYTES,
    MAX_METADATA_BYTES,
    MOST_UPLOADS,
    DocumentKey,
    Upload,
)

AT_ONCE = 8
"""Requests under way. More would be more than a line of an office takes, and than the API has to give to one caller."""

_BATCH_BYTES = 64 * 1024**2
"""That are asked for at once: a form is good for minutes."""
_LARGE_BYTES, _LARGE_AT_ONCE = 8 * 1024**2, 2
"""Documents are in memory while they are sent, and once more in the form."""
PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Before the same request is made again."""
ENDED_BEFORE = "The upload ended before it was sent."
_PASSING = {429, 500, 503, 504}
"""What the API answers where the same request may be served in a moment. 502 is a refusal of AWS's that stays, such as
that of a bucket which is gone."""
_NEVER_TAKEN = {
    DocumentFault.EMPTY,
    DocumentFault.TOO_LARGE,
    DocumentFault.FORMAT,
    DocumentFault.METADATA_INVALID,
    DocumentFault.METADATA_TOO_LARGE,
}

Result = TypeVar("Result")


class UploadStatus(StrEnum):
    SENT = "SENT"
    UNCHANGED = "UNCHANGED"
    """It was there as it is."""
    REFUSED = "REFUSED"
    """It is not acceptable as it is: nothing was sent."""
    NOT_SENT = "NOT_SENT"
    """It was not its turn, or S3 did not take it: the same command may send it."""
    LEFT_OUT = "LEFT_OUT"
    """It is nothing that is uploaded from a folder."""


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """What became of a file.

    Args:
        key: under which the document is there; empty where it has none.
        reason: a sentence, where it is not there.
        metadata_written: whether its metadata file was changed.
    """

    path: str
    status: UploadStatus
    key: str = ""
    size: int = 0
    reason: str = ""
    metadata_written: bool = False


@dataclass(frozen=True, slots=True)
class _Checked:
    """A document that may be sent."""

    document: LocalDocument
    upload: Upload


class _Stopped(Exception):
    """What is not begun yet is not to be."""


class Unacceptable(Exception):
    """A file is no document that can be read; the message says why, and what helps."""


def checked(
    document: LocalDocument, attributes: Mapping[str, object], *, although: bool, warn: Callable[[str], None]
) -> Upload:
    """Looks at a file as kbfleet looks at a document that failed.

    Args:
        attributes: that it is given beside those of its metadata file; where both name one, these count.
        although: whether it is sent although it seems that it can never be read.
        warn: is given what only seems so, a sentence.

    Raises:
        Unacceptable: it can never be read, nor can its metadata.
        InvalidInput: its key, or what is in its metadata file, cannot be taken.
        OSError: the file cannot be read.
    """
    size, head, tail, md5 = _looked_into(document.path)
    metadata_size = document.metadata.stat().st_size if document.metadata is not None else None
    small = metadata_size is not None and metadata_size <= MAX_METADATA_BYTES
    metadata = _content(document.metadata) if document.metadata is not None and small else None
    sample = DocumentSample(document.key, size, head, tail, metadata_size=metadata_size, metadata=metadata)
    _require_readable(sample, although=although, warn=warn)
    key = DocumentKey(document.key)
    if metadata is None:
        return Upload(key, size, metadata=attributes, md5=md5)
    return Upload(key, size, metadata_file=_with_attributes(metadata, attributes), md5=md5)


def _looked_into(path: Path) -> tuple[int, bytes | None, bytes, str]:
    """Size, first and last bytes, and MD5 of a file; the size alone of one that is too large whatever is in it."""
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_DOCUMENT_BYTES:
            return size, None, b"", ""
        md5 = hashlib.file_digest(file, _md5).hexdigest()
        file.seek(0)
        head = file.read(EDGE_BYTES)
        file.seek(max(EDGE_BYTES, size - EDGE_BYTES))
        return size, head, file.read(EDGE_BYTES), md5


def _content(path: Path) -> bytes:
    with _opened(path) as file:
        return file.read()


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    """A file that was one when it was found. Raises: OSError where a pipe, which would never end, or a device has taken
    its place since."""
    with open(path, "rb", opener=_without_waiting) as file:
        if not S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no file any more", str(path))
        yield file


def _without_waiting(name: str, flags: int) -> int:
    """Opening a pipe waits for who writes into it; Windows has neither such pipes nor that flag."""
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def _md5(content: bytes = b"") -> Any:
    """For comparison with what S3 has; nothing is protected by it."""
    return hashlib.md5(content, usedforsecurity=False)


def _require_readable(sample: DocumentSample, *, although: bool, warn: Callable[[str], None]) -> None:
    found = findings(sample)
    # The metadata file of a document that is sent although it is damaged must be good all the same.
    for finding in sorted(found, key=lambda finding: finding.fault not in _NEVER_TAKEN):
        said = f"{finding.explanation} {finding.remedy}"
        if finding.fault in _NEVER_TAKEN:
            raise Unacceptable(said)
        if finding.certain and not although:
            raise Unacceptable(f"{said} --force sends it all the same.")
        warn(said)


def _with_attributes(metadata: bytes, attributes: Mapping[str, object]) -> dict[str, Any]:
    """What a metadata file holds, which was looked at before, with further attributes."""
    found: dict[str, Any] = json.loads(metadata.decode("utf-8-sig"))
    return {**found, "metadataAttributes": {**found["metadataAttributes"], **attributes}}


@dataclass
class Uploading:
    """The documents of some files and folders, on their way into a tenant's bucket.

    Each is checked before it is asked for. The API is asked for some at once, and gives forms for those only that are
    not there by their MD5: so a second run sends what the first has not. Nothing is kept on this machine.

    Args:
        attributes: for all of them.
        although: whether what can never be read is sent, too.
        warn: is given the path of a file and what is to be said of it before it is sent.
        tell: is given what became of each file.
        ending: is called when somebody stops it, before what is being sent has ended.
    """

    api: FleetApi
    tenant_id: TenantId
    attributes: Mapping[str, object]
    although: bool
    warn: Callable[[Path, str], None]
    tell: Callable[[UploadedFile], None]
    ending: Callable[[], None]
    ended_by: BaseException | None = None
    """Why it ended before all were sent: the fleet does not answer or refuses all, or somebody has stopped it."""
    _files: list[UploadedFile] = field(default_factory=list)
    _settled: set[LocalDocument] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)
    _begun: Event = field(default_factory=Event)
    _stopped: Event = field(default_factory=Event)
    _large: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(_LARGE_AT_ONCE))

    def run(self, found: FoundDocuments) -> list[UploadedFile]:
        """What became of every file, in order of their paths."""
        for path, reason in found.left_out:
            self._note(path, UploadStatus.LEFT_OUT, reason=reason)
        for path, reason in found.refused:
            self._note(path, UploadStatus.REFUSED, reason=reason)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            try:
                running = [threads.submit(self._run, batch) for batch in _batches(found.documents)]
                # A thread that somebody stops us at starting is waited for by nobody, so nothing is sent before.
                self._begun.set()
                for ended in as_completed(running):
                    ended.result()
            except (KeyboardInterrupt, FleetUnreachable, Refused) as error:
                self.ended_by = error
                self._stopped.set()
                if isinstance(error, KeyboardInterrupt):
                    self.ending()
            finally:
                # Whatever happened: what is being sent is ended, and nothing else begun.
                self._stopped.set()
                self._begun.set()
                threads.shutdown(wait=True, cancel_futures=True)
        for document in found.documents:
            if document not in self._settled:
                self._note(document.path, UploadStatus.NOT_SENT, reason=ENDED_BEFORE)
        return sorted(self._files, key=lambda file: (file.path, file.key))

    def _note(self, path: Path, status: UploadStatus, **more: Any) -> None:
        # A name that is no Unicode must not keep the others from being told; reasons repeat names.
        noted = UploadedFile(_written(str(path)), status, **{**more, "reason": _written(more.get("reason", ""))})
        with self._lock:
            self._files.append(noted)
        self.tell(noted)

    def _settle(self, document: LocalDocument, status: UploadStatus, **more: Any) -> None:
        with self._lock:
            self._settled.add(document)
        self._note(document.path, status, **more)

    def _run(self, documents: Sequence[LocalDocument]) -> None:
        self._begun.wait()
        with suppress(_Stopped):
            ready = [each for each in map(self._checked, documents) if each is not None]
            elsewhere = self._ask_and_send(ready)
            self._ask_and_send(elsewhere, last=True)

    def _checked(self, document: LocalDocument) -> _Checked | None:
        self._require_going_on()
        warn = partial(self.warn, document.path)
        try:
            return _Checked(document, checked(document, self.attributes, although=self.although, warn=warn))
        except Unacceptable as unacceptable:
            reason = str(unacceptable)
        except InvalidInput as refusal:
            reason = _said(refusal.field, str(refusal))
        except OSError as error:
            reason = f"It cannot be read: {error.strerror}."
        self._settle(document, UploadStatus.REFUSED, reason=reason)
        return None

    def _ask_and_send(self, ready: Sequence[_Checked], *, last: bool = False) -> list[_Checked]:
        """Returns: those that are there under a key in another form of Unicode, with that key; none if it is the last
        time."""
        elsewhere: list[_Checked] = []
        for one, granted in zip(ready, self._granted([each.upload for each in ready]), strict=True):
            self._require_going_on()
            there = granted.refusal.there_as if granted.refusal is not None and not last else None
            if there is None:
                self._send(one, granted)
                continue
            said = (
                f"A document is there under this name in Unicode form {form_of(there)}; the key of this file is in "
                f"{form_of(one.upload.key)}. That one is replaced, if it is another."
            )
            self.warn(one.document.path, said)
            elsewhere.append(replace(one, upload=replace(one.upload, key=DocumentKey(there))))
        return elsewhere

    def _granted(self, uploads: Sequence[Upload]) -> Sequence[GrantedUploadBody]:
        if not uploads:
            return ()
        self._require_going_on()
        return self._patiently(lambda: self.api.grant_uploads(self.tenant_id, uploads))

    def _send(self, one: _Checked, granted: GrantedUploadBody, *, renewed: bool = False) -> None:
        upload, refusal = one.upload, granted.refusal
        if refusal is not None:
            self._settle(one.document, UploadStatus.REFUSED, reason=_said(refusal.field, refusal.detail))
            return
        status = UploadStatus.UNCHANGED
        if granted.form is not None:
            try:
                self._send_by(granted.form, one)
            except UploadRefused as refused:
                if refused.expired and not renewed:
                    (anew,) = self._granted([upload])
                    self._send(one, anew, renewed=True)
                    return
                self._settle(one.document, UploadStatus.NOT_SENT, size=upload.size, reason=str(refused))
                return
            except OSError as error:
                reason = f"It cannot be read: {error.strerror}."
                self._settle(one.document, UploadStatus.NOT_SENT, size=upload.size, reason=reason)
                return
            status = UploadStatus.SENT
        self._settle(
            one.document, status, key=str(upload.key), size=upload.size, metadata_written=granted.metadata_written
        )

    def _send_by(self, form: UploadBody, one: _Checked) -> None:
        """Raises: UploadRefused, NoAnswer, OSError."""
        with ExitStack() as held:
            if one.upload.size > _LARGE_BYTES:
                held.enter_context(self._large)
            content = _content(one.document.path)
            if _md5(content).hexdigest() != one.upload.md5:
                raise UploadRefused("It has changed since it was looked at. Run the command again.")
            self._patiently(lambda: self.api.upload(self.tenant_id, form, content))

    def _require_going_on(self) -> None:
        if self._stopped.is_set():
            raise _Stopped

    def _patiently(self, call: Callable[[], Result]) -> Result:
        """Makes a request, again and again while that may help."""
        for pause in PAUSES_SECONDS:
            try:
                return call()
            except NoAnswer:
                if self._stopped.wait(pause):
                    raise
            except Refused as refused:
                if refused.status not in _PASSING or self._stopped.wait(pause):
                    raise
            except UploadRefused as refused:
                if not refused.passing or self._stopped.wait(pause):
                    raise
        return call()


def _written(text: str) -> str:
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def _said(about: str, text: str) -> str:
    """A refusal of a file, as a sentence about it: metadata are named, for they may be given beside it."""
    if about == "key":
        return f"Its key {text.removeprefix('key: ')}"
    return text if about.startswith("metadata") else text.removeprefix(f"{about}: ")


def _batches(documents: Sequence[LocalDocument]) -> Iterator[Sequence[LocalDocument]]:
    """Neighbours together; few enough that all threads have some."""
    most = min(MOST_UPLOADS, math.ceil(len(documents) / AT_ONCE))
    batch: list[LocalDocument] = []
    for document in documents:
        if batch and (len(batch) == most or sum(each.size for each in batch) + document.size > _BATCH_BYTES):
            yield batch
            batch = []
        batch.append(document)
    if batch:
        yield batch
