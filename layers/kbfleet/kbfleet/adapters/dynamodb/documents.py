"""Documents that fail, and other tries for them, in the one DynamoDB table.

Keys in a tenant's first life: `PK` = `TENANT#<tenant id>`, `SK` = `DOCUMENT#<SHA-256 of the URI>`, because an object's
key may have 1,024 bytes and so may a sort key with everything in it (AWS documentation, Creating object key names;
Quotas in Amazon DynamoDB); and `SK` = `DOCUMENT_RETRY`. They do not expire: a document fails until it is fixed or gone.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from kbfleet.adapters.dynamodb.table import life_key
from kbfleet.domain.document_names import is_in, key_in
from kbfleet.domain.failed_documents import DocumentRetry, FailedDocument
from kbfleet.ports import FailedDocumentPage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from kbfleet.adapters.dynamodb.table import Table
    from kbfleet.domain.names import Life, ResourceNames

# Made when first needed: most functions need neither.
_documents = cache(lambda: TypeAdapter(FailedDocument))
_retries = cache(lambda: TypeAdapter(DocumentRetry))
_DOCUMENT = "DOCUMENT#"
_RETRY = "DOCUMENT_RETRY"


def _digest(uri: str) -> str:
    return hashlib.sha256(uri.encode()).hexdigest()


class DynamoDBFailedDocuments:
    """`kbfleet.ports.FailedDocuments` in DynamoDB."""

    def __init__(self, table: Table, names: ResourceNames) -> None:
        self._table = table
        self._names = names

    def find(self, life: Life, uri: str) -> FailedDocument | None:
        record = self._table.item(life_key(life, f"{_DOCUMENT}{_digest(uri)}"))
        return next(self._own(life, [record] if record else ()), None)

    def those_of(self, life: Life, uris: Sequence[str]) -> Mapping[str, FailedDocument]:
        records = self._table.items(life_key(life, f"{_DOCUMENT}{_digest(uri)}") for uri in dict.fromkeys(uris))
        return {found.uri: found for found in self._own(life, (record for record in records if record is not None))}

    def all(self, life: Life) -> Iterator[FailedDocument]:
        return self._own(life, self._table.of_life(life, _DOCUMENT))

    def page(self, life: Life, limit: int, after: str | None) -> FailedDocumentPage:
        found = list(self._table.of_life(life, _DOCUMENT, after=after or "", limit=limit + 1))
        documents = list(self._own(life, found[:limit]))
        return FailedDocumentPage(documents, _digest(found[limit - 1]["uri"]) if len(found) > limit else None)

    def _own(self, life: Life, records: Iterable[Mapping[str, Any]]) -> Iterator[FailedDocument]:
        """Before names were compared with what is in the bucket, others' could be stored."""
        documents = map(_documents().validate_python, records)
        return (document for document in documents if is_in(self._names.bucket(life), document.uri))

    def save(self, life: Life, document: FailedDocument) -> FailedDocument:
        key_in(self._names.bucket(life), document.uri)
        stored = replace(document, version=document.version + 1)
        new = document.version == 0
        self._table.put(
            life_key(life, f"{_DOCUMENT}{_digest(document.uri)}")
            | _documents().dump_python(stored, mode="json", exclude_none=True),
            condition="attribute_not_exists(PK)" if new else "version = :version",
            values={} if new else {":version": document.version},
            subject=f"A failed document of tenant {life}",
        )
        return stored

    def remove(self, life: Life, document: FailedDocument) -> None:
        self._table.delete_if(
            life_key(life, f"{_DOCUMENT}{_digest(document.uri)}"),
            condition="attribute_not_exists(PK) OR version = :version",
            values={":version": document.version},
            subject=f"A failed document of tenant {life}",
        )


class DynamoDBDocumentRetries:
    """`kbfleet.ports.DocumentRetries` in DynamoDB."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self, life: Life) -> DocumentRetry | None:
        record = self._table.item(life_key(life, _RETRY))
        return _retries().validate_python(record) if record else None

    def save(self, retry: DocumentRetry) -> DocumentRetry:
        stored = replace(retry, version=retry.version + 1)
        new = retry.version == 0
        self._table.put(
            life_key(retry.of_life, _RETRY) | _retries().dump_python(stored, mode="json", exclude_none=True),
            condition="attribute_not_exists(PK)" if new else "version = :version",
            values={} if new else {":version": retry.version},
            subject=f"The retry of documents of tenant {retry.of_life}",
        )
        return stored
