"""Documents that a tenant's back end uploads: which keys, types, sizes and attributes are acceptable."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Self, TypeGuard

from kbfleet.domain.document_names import MAX_KEY_BYTES
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.metadata_filter import MAX_KEY_LENGTH, MAX_NUMBER, MAX_VALUES, is_number
from kbfleet.domain.validated_text import ValidatedText

MAX_DOCUMENT_BYTES = 50 * 1024**2
"""Source: AWS documentation, Quotas for Amazon Bedrock, "Ingestion job file size"."""

METADATA_SUFFIX = ".metadata.json"
"""Of the file beside a document with its attributes. Source: AWS documentation, Connect to Amazon S3 for your knowledge
base."""

MAX_METADATA_BYTES = 10 * 1024
"""Source: AWS documentation, Connect to Amazon S3 for your knowledge base. Some knowledge stores take less."""

RESERVED_ATTRIBUTES = "^(x-amz-bedrock-|AMAZON_BEDROCK_|_|id$)"
"""Names that are not a tenant's to give. Bedrock's own attributes of a passage begin with `x-amz-bedrock-kb-`, as users
report, and in knowledge bases of type MANAGED with `_`, of which its User Guide names `_source_uri` and
`_data_source_id`; `AMAZON_BEDROCK_TEXT`, `AMAZON_BEDROCK_TEXT_CHUNK` and `AMAZON_BEDROCK_METADATA` are the fields of a
vector index that hold text and metadata (AWS documentation, Prerequisites for a vector store). `id` is reported to be
refused. Not each name is known: the beginnings are refused."""

MAX_CONTENT_TYPE_LENGTH = 255
"""Characters. Ours: the longest acceptable type has 71, and parameters are short."""

_WORD, _EXCEL = "application/vnd.openxmlformats-officedocument.", "application/vnd.ms-excel"
CONTENT_TYPES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        ".txt": ("text/plain",),
        ".md": ("text/markdown", "text/x-markdown", "text/plain"),
        ".html": ("text/html",),
        ".doc": ("application/msword",),
        ".docx": (f"{_WORD}wordprocessingml.document",),
        ".csv": ("text/csv", "application/csv", "text/plain", _EXCEL),  # the last by browsers on Windows
        ".xls": (_EXCEL,),
        ".xlsx": (f"{_WORD}spreadsheetml.sheet",),
        ".pdf": ("application/pdf",),
    }
)
"""Acceptable media types of what Bedrock's default parser reads, by ending, the usual one first. Source: AWS
documentation, Prerequisites for your Amazon Bedrock knowledge base data; the types by IANA's registry."""


class DocumentKey(ValidatedText):
    """Where a document is in its tenant's bucket, such as `規程/就業規則.pdf`.

    It has an ending that Bedrock reads, no empty parts, no `.` or `..` among them, nothing that controls a device,
    breaks a line or turns the direction of reading around, no `${filename}`, which S3 would replace in a form, and room
    for the name of the metadata file beside it. Whatever else cannot be seen may be in it, because names of files that
    people have do hold it: zero-width characters, and those of private use.

    Raises:
        InvalidInput: naming the field `key`.
    """

    __slots__ = ()

    def __new__(cls, value: object) -> Self:
        if not isinstance(value, str):
            raise InvalidInput("key", "must be text.")
        if not {"", ".", ".."}.isdisjoint(value.split("/")):
            raise InvalidInput("key", "must be names separated by single slashes, without `.` and `..`.")
        if any(map(_acts, value)):
            raise InvalidInput("key", "holds characters that break a line, control a device or turn text around.")
        if "${filename}" in value:
            raise InvalidInput("key", "must not hold ${filename}.")
        if value.lower().endswith(METADATA_SUFFIX):
            raise InvalidInput("key", "is that of a metadata file.", remedy="Give `metadata` with its document.")
        length = len(f"{value}{METADATA_SUFFIX}".encode())
        if length > MAX_KEY_BYTES:
            most = MAX_KEY_BYTES - len(METADATA_SUFFIX)
            raise InvalidInput("key", f"has {length - len(METADATA_SUFFIX)} bytes of UTF-8; at most {most} fit.")
        if _ending(value) not in CONTENT_TYPES:
            raise InvalidInput("key", f"must end with one of {', '.join(CONTENT_TYPES)}.")
        return super().__new__(cls, value)

    @property
    def content_types(self) -> tuple[str, ...]:
        return CONTENT_TYPES[_ending(self)]

    @property
    def metadata_key(self) -> str:
        return f"{self}{METADATA_SUFFIX}"


def _acts(character: str) -> bool:
    """Source of the signs that turn text around: Unicode Standard Annex 9, Directional Formatting Characters; a mark
    such as U+200E embeds and overrides nothing."""
    turns_around = unicodedata.bidirectional(character) in _TURNING_AROUND
    return turns_around or unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} or character in "\ufffe\uffff"


_TURNING_AROUND = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def _ending(key: str) -> str:
    return PurePosixPath(key).suffix.lower()


@dataclass(frozen=True, slots=True)
class Upload:
    """A document that is about to be uploaded.

    Args:
        content_type: its media type, with parameters if it has any; the usual one of the key's ending if empty.
        size: in bytes, exactly.
        metadata: the document's attributes, by which answers can be filtered: text, numbers, booleans, or lists of
            text. None leaves those that it has.
        metadata_file: all that the file beside it is to hold, in place of `metadata`: attributes, also in Bedrock's
            typed form, and of a CSV file which columns are content and attributes of its rows.
        md5: of the document, in hexadecimal digits; empty where it is to be sent in any case.

    Raises:
        InvalidInput: naming `content_type`, `size`, `metadata` or `metadata_file`.
    """

    key: DocumentKey
    size: int
    content_type: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict)
    metadata_file: Mapping[str, object] | None = None
    md5: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MAX_DOCUMENT_BYTES:
            raise InvalidInput("size", f"{self.size:,} bytes; 1 to {MAX_DOCUMENT_BYTES:,} are taken.")
        acceptable = self.key.content_types
        if not self.content_type:
            object.__setattr__(self, "content_type", acceptable[0])
        if len(self.content_type) > MAX_CONTENT_TYPE_LENGTH:
            raise InvalidInput("content_type", f"must have at most {MAX_CONTENT_TYPE_LENGTH} characters.")
        if not self.content_type.isascii() or not self.content_type.isprintable():
            raise InvalidInput("content_type", "must be printable ASCII text.")
        if self.content_type.partition(";")[0].strip().lower() not in acceptable:
            raise InvalidInput("content_type", f"must be {' or '.join(acceptable)} for this key.")
        check_attributes(self.metadata)
        if self.metadata_file is not None:
            if self.metadata:
                raise InvalidInput("metadata_file", "and metadata cannot both be given.")
            _check_metadata_file(self.key, self.metadata_file)

    def metadata_content(self, max_bytes: int, max_attributes: int | None) -> bytes | None:
        """The content of the file beside the document; `None` where that is to stay as it is.

        Args:
            max_bytes, max_attributes: that the tenant's knowledge store takes; `None` for as many as fit.

        Raises:
            InvalidInput: naming `metadata`.
        """
        if not self.metadata and self.metadata_file is None:
            return None
        whole: Mapping[str, object] = self.metadata_file or {_ATTRIBUTES: dict(self.metadata)}
        attributes = whole[_ATTRIBUTES]
        number = len(attributes) if isinstance(attributes, Mapping) else 0
        if max_attributes is not None and number > max_attributes:
            raise InvalidInput("metadata", f"has {number} attributes; at most {max_attributes} are allowed.")
        encoded = json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()
        if len(encoded) > max_bytes:
            raise InvalidInput("metadata", f"makes a file of {len(encoded)} bytes; at most {max_bytes} are allowed.")
        return encoded


_ATTRIBUTES, _STRUCTURE = "metadataAttributes", "documentStructureConfiguration"
_RECORDS = "RECORD_BASED_STRUCTURE_METADATA"
_MEMBERS: Mapping[str, str] = MappingProxyType(
    {"STRING": "stringValue", "NUMBER": "numberValue", "BOOLEAN": "booleanValue", "STRING_LIST": "stringListValue"}
)
"""Of an attribute in the typed form, by its type. Source: botocore model of bedrock-agent, MetadataAttributeValue."""


def _check_metadata_file(key: DocumentKey, content: Mapping[str, object]) -> None:
    """Source of the form: AWS documentation, Include metadata in a data source to improve knowledge base query."""
    attributes = content.get(_ATTRIBUTES)
    if not isinstance(attributes, Mapping) or not content.keys() <= {_ATTRIBUTES, _STRUCTURE}:
        raise InvalidInput("metadata_file", f"must hold {_ATTRIBUTES}, and beside that {_STRUCTURE} at most.")
    for name, value in attributes.items():
        _check_attribute(name, _plain(value) if isinstance(value, Mapping) else value)
    if _STRUCTURE in content:
        _check_structure(key, content[_STRUCTURE])


def _plain(attribute: Mapping[str, object]) -> object:
    """The value of an attribute in the typed form. Raises: InvalidInput."""
    value = attribute.get("value")
    member = _MEMBERS.get(str(value.get("type"))) if isinstance(value, Mapping) else None
    embedded = attribute.get("includeForEmbedding", False)
    if (
        not isinstance(value, Mapping)
        or member is None
        or value.keys() != {"type", member}
        or not attribute.keys() <= {"value", "includeForEmbedding"}
        or not isinstance(embedded, bool)
    ):
        raise InvalidInput(
            "metadata_file", 'typed attributes must be like {"value": {"type": "STRING", "stringValue": "a"}}.'
        )
    given = value[member]
    fits = {"STRING": isinstance(given, str), "BOOLEAN": isinstance(given, bool), "NUMBER": is_number(given)}
    if not fits.get(str(value["type"]), isinstance(given, list)):
        raise InvalidInput("metadata_file", "holds an attribute whose value is not of its type.")
    return given


def _check_structure(key: DocumentKey, structure: object) -> None:
    """Of the rows of a CSV file: which column is their text, and which ones are attributes."""
    if _ending(key) != ".csv":
        raise InvalidInput("metadata_file", f"{_STRUCTURE} is for .csv only.")
    if not _is_object(structure, {"type", _RECORDS_OF}) or structure.get("type") != _RECORDS:
        raise InvalidInput("metadata_file", f"{_STRUCTURE} must be of type {_RECORDS}, with {_RECORDS_OF}.")
    records = structure.get(_RECORDS_OF)
    if not _is_object(records, {"contentFields", _SPECIFIED}) or not _names_columns(records):
        raise InvalidInput(
            "metadata_file",
            f'{_STRUCTURE} must name one column in contentFields, as [{{"fieldName": "text"}}], and others in '
            f"{' and '.join(_COLUMNS)} of {_SPECIFIED} alike.",
        )


_RECORDS_OF, _SPECIFIED = "recordBasedStructureMetadata", "metadataFieldsSpecification"


def _is_object(value: object, members: set[str]) -> TypeGuard[Mapping[str, object]]:
    """Of these members at most: whatever else it held would be written into the file unseen."""
    return isinstance(value, Mapping) and value.keys() <= members


def _names_columns(records: Mapping[str, object]) -> bool:
    content, specified = records.get("contentFields"), records.get(_SPECIFIED, {})
    if not isinstance(content, list) or len(content) != 1 or not _is_object(specified, set(_COLUMNS)):
        return False
    return all(map(_are_fields, [content, *specified.values()]))


_COLUMNS = ("fieldsToInclude", "fieldsToExclude")


def _are_fields(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, Mapping) and each.keys() == {"fieldName"} and _is_written(each["fieldName"]) for each in value
    )


def _is_written(value: object) -> bool:
    """Whether it is a text that can be put into a file."""
    return isinstance(value, str) and value != "" and all(unicodedata.category(each) != "Cs" for each in value)


def check_attributes(attributes: Mapping[str, object]) -> None:
    """Whether a document may have them, whatever its store takes. Raises: InvalidInput, naming `metadata`."""
    for name, value in attributes.items():
        _check_attribute(name, value)


def _check_attribute(name: str, value: object) -> None:
    """Source of the forms: AWS documentation, Include metadata in a data source to improve knowledge base query."""
    # A longer name could not be asked for in a filter.
    if not name.strip() or len(name) > MAX_KEY_LENGTH or any(unicodedata.category(each) == "Cc" for each in name):
        raise InvalidInput(
            "metadata", f"attributes need a name of 1 to {MAX_KEY_LENGTH} characters without control characters."
        )
    if re.search(RESERVED_ATTRIBUTES, name):
        raise InvalidInput(
            "metadata", "attributes must not be named id, nor begin with x-amz-bedrock-, AMAZON_BEDROCK_ or _."
        )
    texts = value if isinstance(value, list) else [value] if isinstance(value, str) else []
    are_texts = 1 <= len(texts) <= MAX_VALUES and all(isinstance(text, str) and text for text in texts)
    if not isinstance(value, bool) and not is_number(value) and not are_texts:
        raise InvalidInput(
            "metadata",
            f"attributes must be text, booleans, numbers of -{MAX_NUMBER} to {MAX_NUMBER}, or lists of 1 to "
            f"{MAX_VALUES} texts; no text may be empty.",
        )
    if any(unicodedata.category(character) == "Cs" for text in (name, *texts) for character in text):
        raise InvalidInput("metadata", "holds characters that cannot be written.")


@dataclass(frozen=True, slots=True)
class UploadForm:
    """The right to put one document into a tenant's bucket: a form to be sent to `url` as `multipart/form-data`, its
    fields first and then the document as the field `file`. S3 refuses another size, type or key."""

    url: str
    fields: Mapping[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a bucket's list says of an object: its bytes, and its ETag without quotation marks."""

    size: int
    etag: str

    def holds(self, size: int, md5: str) -> bool:
        """Whether it certainly has that content. An ETag is the MD5 of what was put in one piece, unless a key of KMS
        encrypts it; then it says nothing, and this is False. Source: Amazon S3 API reference, Object."""
        return bool(md5) and (self.size, self.etag) == (size, md5)


@dataclass(frozen=True, slots=True)
class GrantedUpload:
    """What came of asking for an upload. Without form and refusal the document is there as it is.

    Args:
        key: as it was asked for.
        metadata_written: whether its metadata file was another one, or none, before.
        refusal: why there is no form.
        there_as: the key under which the document is there, where that is why.
    """

    key: DocumentKey
    form: UploadForm | None = None
    metadata_written: bool = False
    refusal: InvalidInput | None = None
    there_as: str = ""


MOST_UPLOADS = 25
"""Documents that can be asked for at once. Ours: their keys usually have room in one session policy."""
