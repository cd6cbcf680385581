"""The texts of an ingestion job's ``failureReasons``.

Users report elements that are themselves JSON arrays inside strings, each naming a cause, how many files it hit and
which. The model limits an element to 2,048 characters, so a long list of files is cut; how the service cuts it is not
known.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from bedrock_emulator.world.records import DocumentIdentifier

FORMAT = "as their file format was not supported"
NO_TEXT = "as no text content found"
TOO_LARGE = "as their size exceeded the service limit of 50 MB"  # text not reported anywhere; inferred
SIDECAR_TOO_LARGE = "as the associated metadata was larger than service limit of MaximumFileSizeSupported: 1024 bytes"
# As a user recorded it; the word for files is the same for one and for many.
SIDECAR_INVALID = (
    "due to invalid metadata attributes. Check that the attribute keys and values don't exceed the character quota, "
    "and that the attribute values are acceptable data types (strings, numbers, or Booleans). Then retry your request"
)
INTERNAL = "The document could not be processed because of an internal error"
FILTERABLE_TOO_LARGE = "Filterable metadata must have at most 2048 bytes (Service: S3Vectors, Status Code: 400)"
# AWS documentation says that parents over 8,000 tokens run into this limit; the words are inferred from those above.
METADATA_TOO_LARGE = "Metadata must have at most 40960 bytes (Service: S3Vectors, Status Code: 400)"

_LONGEST = 2_048


def ignored(cause: str, documents: Sequence[DocumentIdentifier]) -> str:
    """Documents ignored for one cause."""
    return _element(f"Ignored {len(documents)} files {cause} ", documents)


def failed(cause: str, documents: Sequence[DocumentIdentifier]) -> str:
    """Documents failed for one cause."""
    return _element(f"{cause} ", documents)


def unreadable(code: str) -> str:
    """An object can't be read as it is stored, as in an archive. In which words is not reported anywhere."""
    return f"The document could not be read from Amazon S3 ({code})"


def whole_job(cause: str) -> str:
    """The job failed as a whole."""
    return json.dumps([f"Encountered error: {cause} Call to Customer Source did not succeed."])


def _element(cause: str, documents: Iterable[DocumentIdentifier]) -> str:
    references = [document.reference for document in documents]
    while True:
        listed = f"[Files: {', '.join(references)}]"
        text = f"Encountered error: {cause}{listed}. Call to Customer Source did not succeed."
        element = json.dumps([text], ensure_ascii=False)
        if len(element) <= _LONGEST or not references:
            return element
        references = references[: len(references) * 3 // 4]
