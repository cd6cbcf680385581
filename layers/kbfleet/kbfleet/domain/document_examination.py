"""Why a document cannot be read, by what shows from outside: its name, its size, its first and its last bytes.

Nothing is parsed and nothing unpacked. A sample has at most 2 x `EDGE_BYTES` and `MAX_METADATA_BYTES`, each of its
bytes is looked at a fixed number of times, and whatever is in them, nothing is raised. What is found is said in words
of ours; no word of a document is among them.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePosixPath
from types import MappingProxyType

from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.uploads import CONTENT_TYPES, MAX_DOCUMENT_BYTES, MAX_METADATA_BYTES

EDGE_BYTES = 65_557
"""Of a document's beginning, and as many of its end. A zip container ends with a record of 22 bytes and a comment of at
most 65,535, by which it is known to be whole (PKWARE, APPNOTE, 4.3.16). A PDF says at its end whether it is encrypted
(ISO 32000-1, 7.5.5)."""

_PDF_HEADER_WITHIN = 1_024
"""Readers look for `%PDF-` in so many bytes. Source: Adobe, PDF Reference 1.7, Appendix H, note 13."""


class DocumentFault(StrEnum):
    """What keeps a document from being read."""

    EMPTY = "EMPTY"
    TOO_LARGE = "TOO_LARGE"
    FORMAT = "FORMAT"
    """Its ending is that of no format that Bedrock reads."""
    OTHER_CONTENT = "OTHER_CONTENT"
    """It is another kind of file than its ending says."""
    ENCRYPTED = "ENCRYPTED"
    CUT = "CUT"
    SCAN = "SCAN"
    """A PDF without a text layer."""
    BLANK = "BLANK"
    NO_TEXT = "NO_TEXT"
    """Bedrock says so, and nothing shows why."""
    NOT_PARSED = "NOT_PARSED"
    """A model was to read it, and no text has come of it."""
    NOT_UTF8 = "NOT_UTF8"
    METADATA_TOO_LARGE = "METADATA_TOO_LARGE"
    METADATA_INVALID = "METADATA_INVALID"


class FileKind(StrEnum):
    """What the content of a file looks like, where that can be seen."""

    PDF = "PDF"
    WORD = "WORD"
    EXCEL = "EXCEL"
    POWERPOINT = "POWERPOINT"
    OLDER_OFFICE = "OLDER_OFFICE"
    ARCHIVE = "ARCHIVE"
    PICTURE = "PICTURE"
    RICH_TEXT = "RICH_TEXT"
    WEB_PAGE = "WEB_PAGE"
    SCRIPT = "SCRIPT"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class DocumentFinding:
    """What is wrong with a document.

    Args:
        certain: whether it can never be read as it is. Else it only seems so, and a retry may help.
        size: bytes of the document or of its metadata file, where that is too much; `most` is what is taken.
        looks_like: where it is another kind of file than its ending says.
    """

    fault: DocumentFault
    certain: bool = True
    size: int | None = None
    most: int | None = None
    looks_like: FileKind | None = None

    @property
    def explanation(self) -> str:
        """A sentence for people."""
        if self.fault is DocumentFault.TOO_LARGE and self.size is not None and self.most is not None:
            return f"It has {self.size:,} bytes; Bedrock reads {self.most:,} at most."
        if self.fault is DocumentFault.METADATA_TOO_LARGE and self.size is not None and self.most is not None:
            return f"Its metadata file has {self.size:,} bytes; its knowledge store takes {self.most:,} at most."
        if self.fault is DocumentFault.OTHER_CONTENT and self.looks_like in _LOOKS:
            return f"It is not what its ending says: it looks like {_LOOKS[self.looks_like]}."
        return _WORDS[self.fault][0]

    @property
    def remedy(self) -> str:
        """What helps: a sentence for people, without a command."""
        return _WORDS[self.fault][1]

    @property
    def in_metadata(self) -> bool:
        """Whether the file beside the document is at fault, and the document is not."""
        return self.fault in {DocumentFault.METADATA_INVALID, DocumentFault.METADATA_TOO_LARGE}


_LOOKS: Mapping[FileKind | None, str] = MappingProxyType(
    {
        FileKind.PDF: "a PDF",
        FileKind.WORD: "a Word document",
        FileKind.EXCEL: "an Excel workbook",
        FileKind.POWERPOINT: "a PowerPoint presentation",
        FileKind.OLDER_OFFICE: "an Office file of the format before 2007",
        FileKind.ARCHIVE: "an archive",
        FileKind.PICTURE: "a picture",
        FileKind.RICH_TEXT: "an RTF document",
        FileKind.WEB_PAGE: "a web page",
        FileKind.SCRIPT: "a script",
    }
)
_TAKEN = ", ".join(CONTENT_TYPES)
_WORDS: Mapping[DocumentFault, tuple[str, str]] = MappingProxyType(
    {
        DocumentFault.EMPTY: ("It is empty.", "Upload the whole file."),
        DocumentFault.TOO_LARGE: ("It is larger than Bedrock reads.", "Divide it, and upload the parts in its place."),
        DocumentFault.FORMAT: (
            "Bedrock does not read files of its format.",
            f"Save it in one that Bedrock reads ({_TAKEN}), and upload that in its place.",
        ),
        DocumentFault.OTHER_CONTENT: (
            "It is not what its ending says.",
            "Save it in the format of its ending, or upload it under the right ending in its place.",
        ),
        DocumentFault.ENCRYPTED: (
            "It is encrypted, and Bedrock has no password for it.",
            "Save it without protection, and upload that.",
        ),
        DocumentFault.CUT: ("Its end is missing: not all of it was uploaded.", "Upload the whole file again."),
        DocumentFault.SCAN: (
            "It seems to be a scan: pages that are pictures, without text.",
            "Have the text recognized (OCR), and upload the result; or rebuild the tenant by a profile whose parser "
            "is a model.",
        ),
        DocumentFault.BLANK: ("It holds nothing but blanks.", "Upload it with its text, or delete it."),
        DocumentFault.NO_TEXT: (
            "Bedrock finds no text in it.",
            "Open it: if it shows text that cannot be selected, have the text recognized (OCR); if it does not open, "
            "upload it again from where it came.",
        ),
        DocumentFault.NOT_PARSED: (
            "It has no text layer, and the model that is to read such pages has given no text: as a rule it could not "
            "be called, and Bedrock has used its own parser in its place, which it tells nobody.",
            "See whether the model can be called, then try it again.",
        ),
        DocumentFault.NOT_UTF8: ("Its text does not seem to be UTF-8.", "Save it as UTF-8, and upload that."),
        DocumentFault.METADATA_TOO_LARGE: (
            "Its metadata file is larger than its knowledge store takes.",
            "Shorten its metadata file, or delete it.",
        ),
        DocumentFault.METADATA_INVALID: (
            "Its metadata file cannot be read.",
            'Its metadata file must be JSON of the form {"metadataAttributes": {"name": value}}, with texts, numbers, '
            "booleans or lists of texts as values. Correct it, or delete it.",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class DocumentSample:
    """What is looked at of a document.

    Args:
        key: its name; only the ending counts.
        size: in bytes.
        head: the first `EDGE_BYTES` of it, or all; `None` where they could not be read.
        tail: the last `EDGE_BYTES`, without what is in `head` already.
        revision: as `BucketDocument` has it; empty for a file that is in no bucket yet.
        metadata_size: of the metadata file, in bytes; `None` if there is none.
        metadata: what is in it; `None` where that was not read: it is none, or too large.
    """

    key: str
    size: int
    head: bytes | None = None
    tail: bytes = b""
    revision: str = ""
    metadata_size: int | None = None
    metadata: bytes | None = None

    @property
    def ending(self) -> str:
        """In small letters, with its point."""
        return PurePosixPath(self.key).suffix.lower()

    @property
    def whole(self) -> bool:
        """Whether there is nothing between head and tail."""
        return self.head is not None and len(self.head) + len(self.tail) >= self.size

    @property
    def end(self) -> bytes:
        """As much of the end as was read."""
        return (self.head or b"") + self.tail if self.whole else self.tail


@dataclass(frozen=True, slots=True)
class Examination:
    """What came of looking at one revision of a document.

    Args:
        looked_into: whether its bytes could be read; else only name and size were looked at.
        parsed_by_model: whether a model is to read the pages of the tenant's documents.
    """

    revision: str
    finding: DocumentFinding | None = None
    looked_into: bool = True
    parsed_by_model: bool = False


def examine(
    sample: DocumentSample,
    *,
    kind: KnowledgeBaseKind = KnowledgeBaseKind.VECTOR,
    max_metadata_bytes: int = MAX_METADATA_BYTES,
) -> DocumentFinding | None:
    """Says what is wrong with a document; `None` where nothing shows. What is certain comes before what only seems so.

    Args:
        kind: of the knowledge base that is to read it. What MANAGED ones take is not said as that of VECTOR ones is:
            by ending and size, nothing is said of their documents.
        max_metadata_bytes: that the tenant's knowledge store takes.
    """
    return next(iter(findings(sample, kind=kind, max_metadata_bytes=max_metadata_bytes)), None)


def findings(
    sample: DocumentSample,
    *,
    kind: KnowledgeBaseKind = KnowledgeBaseKind.VECTOR,
    max_metadata_bytes: int = MAX_METADATA_BYTES,
) -> Sequence[DocumentFinding]:
    """As `examine`, all that is wrong with a document and with its metadata file."""
    found = [*_of_the_document(sample, kind), *_of_the_metadata(sample, max_metadata_bytes)]
    return sorted(found, key=lambda finding: not finding.certain)


def explained(examination: Examination | None, words: str, key: str) -> DocumentFinding | None:
    """What is wrong with a document that failed, by what was seen of it and by what Bedrock says.

    Args:
        words: Bedrock's.
        key: of the document.
    """
    found = _explained(examination, words, key)
    parsed = examination is not None and examination.parsed_by_model and key.lower().endswith(PARSED_ENDING)
    if parsed and found is not None and found.fault in {DocumentFault.SCAN, DocumentFault.NO_TEXT}:
        # Where the chosen parser fails at a file, the default one reads it, and nothing tells (Amazon Bedrock User
        # Guide, Parsing options for your data source). So it is no document that can never be read.
        return DocumentFinding(DocumentFault.NOT_PARSED, certain=False)
    return found


PARSED_ENDING = ".pdf"
"""Of the documents that a foundation model reads (Amazon Bedrock User Guide, Parsing options for your data source); the
pictures that it reads, too, nobody can upload here."""


def _explained(examination: Examination | None, words: str, key: str) -> DocumentFinding | None:
    seen = examination.finding if examination is not None else None
    said = next((fault for text, fault in _SAID.items() if text in words.casefold()), None)
    if said is None or (seen is not None and seen.certain):
        return seen
    if seen is not None and said in {DocumentFault.NO_TEXT, DocumentFault.FORMAT}:
        return replace(seen, certain=True)  # it seemed so, and Bedrock says that nothing can be read
    looked_into = examination is not None and examination.looked_into
    if said is DocumentFault.NO_TEXT and looked_into and key.lower().endswith(".pdf"):
        return DocumentFinding(DocumentFault.SCAN)  # it is whole and open, or something would have been seen
    return DocumentFinding(said)


_SAID: Mapping[str, DocumentFault] = MappingProxyType(
    {
        "no text content found": DocumentFault.NO_TEXT,
        "file format was not supported": DocumentFault.FORMAT,
        "associated metadata was larger than": DocumentFault.METADATA_TOO_LARGE,
        "invalid metadata attributes": DocumentFault.METADATA_INVALID,
    }
)
"""Words of Bedrock's reasons that no retry changes, as users report them; AWS documents none of them."""


# --- the document ----------------------------------------------------------------------------------


def _of_the_document(sample: DocumentSample, kind: KnowledgeBaseKind) -> Iterator[DocumentFinding]:
    if sample.size <= 0:
        yield DocumentFinding(DocumentFault.EMPTY)
        return
    if kind is KnowledgeBaseKind.VECTOR:
        if sample.ending not in CONTENT_TYPES:
            yield DocumentFinding(DocumentFault.FORMAT)
        if sample.size > MAX_DOCUMENT_BYTES:
            yield DocumentFinding(DocumentFault.TOO_LARGE, size=sample.size, most=MAX_DOCUMENT_BYTES)
    look = _LOOKED_AT.get(sample.ending)
    if look is not None and sample.head is not None:
        yield from look(sample, sample.head)


def _of_pdf(sample: DocumentSample, head: bytes) -> Iterator[DocumentFinding]:
    if b"%PDF-" not in head[:_PDF_HEADER_WITHIN]:
        yield _other(_kind_of(head, sample.end))
        return
    end = sample.end
    length = _LINEARIZED.search(head[:_PDF_HEADER_WITHIN])
    short = length is not None and sample.size < int(length[1])
    if short or (b"%%EOF" not in end and b"startxref" not in end):
        yield DocumentFinding(DocumentFault.CUT)
    # A PDF that is laid out for the web has what concerns the whole at its beginning (ISO 32000-1, Annex F).
    if _ENCRYPTED.search(end) or (length is not None and _ENCRYPTED.search(head)):
        yield DocumentFinding(DocumentFault.ENCRYPTED)
    if sample.whole and _IMAGE.search(end) and not _MAY_HOLD_TEXT.search(end):
        yield DocumentFinding(DocumentFault.SCAN, certain=False)


_LINEARIZED = re.compile(rb"/Linearized\b[^>]{0,200}?/L\s{1,8}(\d{1,12})\b")
_ENCRYPTED = re.compile(rb"/Encrypt\s{0,8}(?:\d{1,10}\s{1,8}\d{1,5}\s{1,8}R\b|<<)")
"""Source: ISO 32000-1, 7.5.5, File trailer; a stream of cross-references has it in clear, too (7.5.8)."""
_IMAGE = re.compile(rb"/Subtype\s{0,8}/Image\b")
_MAY_HOLD_TEXT = re.compile(rb"/(?:Font|BaseFont|FontDescriptor|ObjStm)\b")
"""Text needs a font. Objects may be packed into streams, which are not unpacked here; then nothing is known."""


def _of_office(sample: DocumentSample, head: bytes) -> Iterator[DocumentFinding]:
    """Word and Excel since 2007: zip containers."""
    if head.startswith(_OLE):
        packed = "EncryptedPackage".encode("utf-16-le")
        encrypted = packed in head or packed in sample.tail
        yield DocumentFinding(DocumentFault.ENCRYPTED) if encrypted else _other(FileKind.OLDER_OFFICE)
        return
    if not head.startswith(_ZIP):
        yield _other(_kind_of(head, sample.end))
        return
    if head[6:7] and head[6] & 1:  # APPNOTE, 4.4.4: the first file in it is encrypted
        yield DocumentFinding(DocumentFault.ENCRYPTED)
    if _ZIP_END not in sample.end:
        yield DocumentFinding(DocumentFault.CUT)
        return
    inside = _inside(sample.end)
    if inside is not None and inside is not (FileKind.WORD if sample.ending == ".docx" else FileKind.EXCEL):
        yield _other(inside)


def _of_older_office(sample: DocumentSample, head: bytes) -> Iterator[DocumentFinding]:
    """Word and Excel before 2007. Newer files, RTF and web pages are often saved under these endings; whether Bedrock
    goes by the content then is not said."""
    if not head.startswith(_OLE):
        looks_like = _kind_of(head, sample.end)
        never = {FileKind.PDF, FileKind.PICTURE, FileKind.ARCHIVE, FileKind.POWERPOINT, FileKind.SCRIPT}
        yield _other(looks_like, certain=looks_like in never)
    elif sample.whole:
        held = next((kind for name, kind in _STREAMS if name in sample.end), FileKind.OLDER_OFFICE)
        if held is not (FileKind.WORD if sample.ending == ".doc" else FileKind.EXCEL):
            yield _other(held)


def _of_text(sample: DocumentSample, head: bytes) -> Iterator[DocumentFinding]:
    looks_like = _kind_of(head, sample.end)
    if looks_like not in {FileKind.UNKNOWN, FileKind.RICH_TEXT, FileKind.WEB_PAGE}:
        yield _other(looks_like)
        return
    try:
        # The last letter that was read may be cut, if it is not that of the file.
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head, final=len(head) >= sample.size)
    except UnicodeDecodeError:
        # A web page may say itself which encoding it has.
        if sample.ending != ".html":
            yield DocumentFinding(DocumentFault.NOT_UTF8, certain=False)
        return
    if sample.whole and not sample.tail and not text.strip():
        yield DocumentFinding(DocumentFault.BLANK)
    elif "\0" in text:  # UTF-16 without a mark, for instance
        yield DocumentFinding(DocumentFault.NOT_UTF8, certain=False)


_LOOKED_AT: Mapping[str, Callable[[DocumentSample, bytes], Iterator[DocumentFinding]]] = MappingProxyType(
    {
        ".pdf": _of_pdf,
        ".docx": _of_office,
        ".xlsx": _of_office,
        ".doc": _of_older_office,
        ".xls": _of_older_office,
        ".txt": _of_text,
        ".md": _of_text,
        ".csv": _of_text,
        ".html": _of_text,
    }
)


# --- which kind of file it looks like --------------------------------------------------------------

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""Source: Microsoft, [MS-CFB] 2.2. An encrypted file is in such a container, too, as a stream named EncryptedPackage
([MS-OFFCRYPTO] 2.3.4.4)."""
_STREAMS: tuple[tuple[bytes, FileKind], ...] = tuple(
    (name.encode("utf-16-le"), kind)
    for name, kind in (("WordDocument", FileKind.WORD), ("Workbook", FileKind.EXCEL), ("Book", FileKind.EXCEL))
)
"""What is in an older file, by the name of the stream that holds it; the directory of names may be anywhere. Source:
Microsoft, [MS-DOC] 2.1.1, [MS-XLS] 2.1.7.20; the last name is that of Excel 5."""
_ZIP, _ZIP_END = b"PK\x03\x04", b"PK\x05\x06"
_BEGINNINGS: tuple[tuple[bytes, FileKind], ...] = (
    (_OLE, FileKind.OLDER_OFFICE),
    (b"\x89PNG\r\n\x1a\n", FileKind.PICTURE),
    (b"\xff\xd8\xff", FileKind.PICTURE),
    (b"GIF8", FileKind.PICTURE),
    (b"II*\0", FileKind.PICTURE),
    (b"MM\0*", FileKind.PICTURE),
    (b"{\\rtf", FileKind.RICH_TEXT),
    (b"\x1f\x8b", FileKind.ARCHIVE),
    (b"7z\xbc\xaf\x27\x1c", FileKind.ARCHIVE),
    (b"Rar!\x1a\x07", FileKind.ARCHIVE),
    (b"%PDF-", FileKind.PDF),
    (b"#!/", FileKind.SCRIPT),  # users report that Bedrock takes no text that begins so
)


def _other(looks_like: FileKind, *, certain: bool = True) -> DocumentFinding:
    return DocumentFinding(DocumentFault.OTHER_CONTENT, certain, looks_like=looks_like)


def _kind_of(head: bytes, end: bytes) -> FileKind:
    if head.startswith(_ZIP):
        return _inside(end) or FileKind.ARCHIVE
    known = next((kind for beginning, kind in _BEGINNINGS if head.startswith(beginning)), None)
    if known is not None:
        return known
    page = head[:1_024].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html"))
    return FileKind.WEB_PAGE if page else FileKind.UNKNOWN


def _inside(end: bytes) -> FileKind | None:
    """What a zip container holds, by the list of names at its end; `None` where not all of that was read.

    Source: PKWARE, APPNOTE, 4.3.16; the folders are those that Office uses, ECMA-376, Part 2 leaves them open.
    """
    at = end.rfind(_ZIP_END)
    listed = int.from_bytes(end[at + 12 : at + 16], "little")
    if at < 0 or listed > at:
        return None
    names = end[at - listed : at]
    for folder, kind in ((b"word/", FileKind.WORD), (b"xl/", FileKind.EXCEL), (b"ppt/", FileKind.POWERPOINT)):
        if folder in names:
            return kind
    return None if b"[Content_Types].xml" in names else FileKind.ARCHIVE


# --- the metadata file beside it -------------------------------------------------------------------


def _of_the_metadata(sample: DocumentSample, most: int) -> Iterator[DocumentFinding]:
    if sample.metadata_size is None:
        return
    if sample.metadata_size > most:
        yield DocumentFinding(DocumentFault.METADATA_TOO_LARGE, size=sample.metadata_size, most=most)
    if sample.metadata is not None and not _holds_attributes(sample.metadata[:MAX_METADATA_BYTES]):
        yield DocumentFinding(DocumentFault.METADATA_INVALID)


def _holds_attributes(content: bytes) -> bool:
    """Source of the forms: AWS documentation, Include metadata in a data source to improve knowledge base query."""
    try:
        found = json.loads(content.decode("utf-8-sig"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    attributes = found.get("metadataAttributes") if isinstance(found, dict) else None
    return isinstance(attributes, dict) and all(map(_is_attribute, attributes.values()))


def _is_attribute(value: object) -> bool:
    if isinstance(value, dict):
        typed = value.get("value")
        return isinstance(typed, dict) and isinstance(typed.get("type"), str)
    if isinstance(value, list):
        return all(isinstance(each, str) for each in value)
    return isinstance(value, str | int | float)


def _refuse(constant: str) -> None:
    """Python reads NaN and Infinity, which are not JSON. Raises: ValueError."""
    raise ValueError(constant)
