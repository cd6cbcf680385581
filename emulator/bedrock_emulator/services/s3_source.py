"""The S3 side of a data source: which documents and sidecars are there, and their bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from bedrock_emulator.reading import sidecars
from bedrock_emulator.services.service_role import ServiceRole
from bedrock_emulator.world.records import DataSource, DocumentIdentifier

# Of one object: it is in an archive, or was deleted after it was listed. Whatever else S3 answers is of all of them.
_OF_THE_OBJECT = frozenset({"InvalidObjectState", "NoSuchKey", "404"})


class ObjectUnreadableError(Exception):
    """This object can't be read, others can; the message is the code of S3."""


@dataclass(frozen=True)
class StoredObject:
    """An object in the bucket."""

    key: str
    etag: str
    size: int


@dataclass(frozen=True)
class Listing:
    """The documents by key, and the sidecars by the key of the document they describe."""

    documents: dict[str, StoredObject]
    sidecars: dict[str, StoredObject]


@dataclass(frozen=True)
class S3Source:
    """A bucket, or the part of it under ``prefixes``, read with a boto3 S3 client in the name of a role."""

    client: Any
    bucket: str
    prefixes: tuple[str, ...]
    role: ServiceRole

    def listing(self) -> Listing:
        """Every object, however many pages the list has. Keys that end in a slash stand for folders, not documents.

        DeniedError when the role may not list them.
        """
        documents, described = {}, {}
        for stored in self._objects():
            if stored.key.endswith(sidecars.SUFFIX):
                described[stored.key.removesuffix(sidecars.SUFFIX)] = stored
            elif not stored.key.endswith("/"):
                documents[stored.key] = stored
        return Listing(documents, described)

    def read(self, key: str) -> bytes:
        """The bytes of an object. DeniedError when the role may not read it, ObjectUnreadableError when nobody can."""
        return read_object(self.client, self.role, self.bucket, key)[0]

    def identifier(self, key: str) -> DocumentIdentifier:
        """The document of that key."""
        return DocumentIdentifier("S3", f"s3://{self.bucket}/{key}")

    def _objects(self) -> Iterator[StoredObject]:
        paginator = self.client.get_paginator("list_objects_v2")
        for prefix in self.prefixes:
            self.role.check("s3:ListBucket", f"arn:aws:s3:::{self.bucket}", "S3", {"s3:prefix": prefix})
            for page in paginator.paginate(Bucket=self.bucket, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    yield StoredObject(entry["Key"], entry["ETag"], entry["Size"])


def read_object(client: Any, role: ServiceRole, bucket: str, key: str) -> tuple[bytes, str]:
    """The bytes of an object and its ETag.

    DeniedError when the role may not read it, ObjectUnreadableError when nobody can.
    """
    role.check("s3:GetObject", f"arn:aws:s3:::{bucket}/{key}", "S3")
    try:
        found = client.get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in _OF_THE_OBJECT:
            raise ObjectUnreadableError(code) from error
        raise
    return found["Body"].read(), found["ETag"]


def s3_source(source: DataSource, client: Any, role: ServiceRole) -> S3Source:
    """The bucket of a data source of type S3, or of a MANAGED knowledge base's S3 connector."""
    configuration = source.members["dataSourceConfiguration"]
    if configuration["type"] == "S3":
        settings = configuration["s3Configuration"]
        return S3Source(
            client, settings["bucketArn"].rpartition(":")[2], tuple(settings.get("inclusionPrefixes", ("",))), role
        )
    parameters = configuration["managedKnowledgeBaseConnectorConfiguration"]["connectorParameters"]
    prefixes = parameters.get("filterConfiguration", {}).get("inclusionPrefixes") or ("",)
    return S3Source(client, parameters["connectionConfiguration"]["bucketName"], tuple(prefixes), role)
