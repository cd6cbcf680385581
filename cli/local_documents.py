"""Files and folders of this machine as documents: what is to be uploaded under which key, and what is not."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG

from kbfleet.domain.document_names import appearance, form_of, other_spellings
from kbfleet.domain.uploads import METADATA_SUFFIX


@dataclass(frozen=True, slots=True)
class LocalDocument:
    """A file that is to be a document.

    Args:
        key: the path relative to the folder that was given, with `/`, in the form of Unicode that the file system
            gives; or the file's name. Nothing was looked at of it.
        size: in bytes, as it was found.
        metadata: the metadata file beside it, in whichever form of Unicode its name is.
    """

    path: Path
    key: str
    size: int
    metadata: Path | None = None


@dataclass
class FoundDocuments:
    """What is in files and folders. `refused` and `left_out` have paths with the reason, a sentence. Refused is what
    somebody may have meant to upload; left out are what is hidden, links and what is no file."""

    documents: list[LocalDocument] = field(default_factory=list)
    refused: list[tuple[Path, str]] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def number(self) -> int:
        return len(self.documents) + len(self.refused)


def found_in(paths: Sequence[Path], key: str | None = None) -> FoundDocuments:
    """All documents of these files and folders, sorted by key.

    What is given by itself is taken although it is hidden or a link. In folders both are left out: a link may lead
    anywhere. Two documents whose keys are alike, or differ in their form of Unicode only, are both refused.

    Args:
        key: of the only file, in place of its name.
    """
    found = FoundDocuments()
    files = [path for path in paths if not path.is_dir()]
    _Folder(found).take([(path, path.name if key is None else key) for path in files], beside=True)
    for path in paths:
        if path.is_dir():
            _walk(path, found)
    # A file may be given by itself and with its folder.
    once = {(document.path.resolve(), document.key): document for document in found.documents}
    found.documents = sorted(once.values(), key=lambda document: document.key)
    _refuse_clashes(found)
    return found


def _walk(folder: Path, found: FoundDocuments) -> None:
    waiting = [(folder, "")]
    while waiting:
        folder, prefix = waiting.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            found.refused.append((folder, f"It cannot be listed: {error.strerror}."))
            continue
        files: list[tuple[Path, str]] = []
        # What a filter is to hide must not be sent without the attributes that hide it.
        unread: dict[Path, str] = {}
        for entry in entries:
            path = folder / entry.name
            if entry.name.startswith("."):
                found.left_out.append((path, "It is hidden."))
            elif entry.is_symlink():
                found.left_out.append((path, "It is a symbolic link."))
                unread |= _not_beside(path, "Its metadata file is a symbolic link.")
            elif entry.is_dir(follow_symlinks=False):
                waiting.append((path, f"{prefix}{entry.name}/"))
            elif entry.is_file(follow_symlinks=False):
                files.append((path, f"{prefix}{entry.name}"))
            else:
                found.left_out.append((path, "It is no file."))
                unread |= _not_beside(path, "Its metadata file is no file.")
        _Folder(found, unread).take(files)


@dataclass
class _Folder:
    """Documents of one folder, with the metadata files among them.

    Args:
        unread: why those documents are refused whose metadata files are not taken.
    """

    found: FoundDocuments
    unread: Mapping[Path, str] = field(default_factory=dict)

    def take(self, files: Sequence[tuple[Path, str]], *, beside: bool = False) -> None:
        """Args: beside: whether metadata files that are not among these are looked for."""
        metadata: dict[Path, list[Path]] = defaultdict(list)
        for path, _ in files:
            if _is_metadata(path):
                metadata[_same(_document_of(path))].append(path)
        for path, key in files:
            if _is_metadata(path):
                continue
            own = list(metadata.pop(_same(path), ())) or (list(_beside(path)) if beside else [])
            self._take_one(path, key, own)
        for orphan in (each for several in metadata.values() for each in several):
            self.found.refused.append((orphan, "It is a metadata file, and its document is not beside it."))

    def _take_one(self, path: Path, key: str, metadata: Sequence[Path]) -> None:
        if len(metadata) > 1:
            reason = "It has several metadata files, whose names differ in their form of Unicode only."
            self.found.refused.append((path, reason))
            return
        if (unread := self.unread.get(_same(path))) is not None:
            self.found.refused.append((path, unread))
            return
        try:
            stat = path.stat()
            beside = [each.stat() for each in metadata]
        except OSError as error:
            self.found.refused.append((path, f"It cannot be read: {error.strerror}."))
            return
        if not S_ISREG(stat.st_mode):
            self.found.refused.append((path, "It is no file."))
            return
        if not all(S_ISREG(each.st_mode) for each in beside):
            self.found.refused.append((path, "Its metadata file is no file."))
            return
        document = LocalDocument(path, key, stat.st_size, next(iter(metadata), None))
        self.found.documents.append(document)


def _is_metadata(path: Path) -> bool:
    return path.name.lower().endswith(METADATA_SUFFIX)


def _document_of(metadata: Path) -> Path:
    return metadata.parent / metadata.name[: -len(METADATA_SUFFIX)]


def _not_beside(path: Path, reason: str) -> Mapping[Path, str]:
    """Why the document is refused whose metadata file that would be; nothing for what would be none."""
    return {_same(_document_of(path)): reason} if _is_metadata(path) else {}


def _same(path: Path) -> Path:
    """The same for names that differ in their form of Unicode only."""
    return path.parent / appearance(path.name)


def _beside(path: Path) -> Iterator[Path]:
    """The metadata files of a file that was given without its folder."""
    for name in (path.name, *other_spellings(path.name)):
        metadata = path.with_name(f"{name}{METADATA_SUFFIX}")
        if metadata.is_file():
            yield metadata


def _refuse_clashes(found: FoundDocuments) -> None:
    """Whichever were sent last would take the place of the other, or both be answered from."""
    alike: dict[str, list[LocalDocument]] = defaultdict(list)
    for document in found.documents:
        alike[appearance(document.key)].append(document)
    for several in (each for each in alike.values() if len(each) > 1):
        for document in several:
            others = [other for other in several if other is not document]
            found.refused.append((document.path, _clash(document, others)))
            found.documents.remove(document)


def _clash(document: LocalDocument, others: Iterable[LocalDocument]) -> str:
    of_others = ", ".join(
        f"{other.path} has it, too"
        if other.key == document.key
        else f"{other.path} has it in form {form_of(other.key)} of Unicode"
        for other in others
    )
    return (
        f"Its key {document.key}, in form {form_of(document.key)}, is not its own: {of_others}. Rename or remove one."
    )
