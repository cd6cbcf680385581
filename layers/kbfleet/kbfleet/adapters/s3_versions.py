"""Removing versions of objects for good, whatever their keys are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_s3.client import S3Client

_UNWRITABLE = re.compile("[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML has no character for, or what its readers may change, such as ends of lines. S3 takes all of it in a key,
and none of the former in the body of DeleteObjects. Sources: W3C, XML 1.0, 2.2 and 2.11; Amazon S3 User Guide, Naming
Amazon S3 objects (characters to avoid, and XML related object key constraints)."""


def batches(versions: Iterable[Mapping[str, Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Versions of a page of a bucket's list in parts that `remove` takes: each of which no body can name the key comes
    by itself."""
    together: list[Mapping[str, Any]] = []
    for version in versions:
        if _UNWRITABLE.search(version["Key"]):
            yield [version]
        else:
            together.append(version)
    if together:
        yield together


def remove(client: S3Client, owner: Any, batch: Sequence[Mapping[str, Any]]) -> None:
    """Removes these for good; what is gone already is no trouble.

    Args:
        owner: what every call about the bucket is made with.
        batch: one of `batches`.

    Raises:
        ClientError: one was refused.
    """
    doomed: list[Any] = [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in batch]
    if _UNWRITABLE.search(batch[0]["Key"]):
        client.delete_object(**owner, **doomed[0])
        return
    refused = client.delete_objects(**owner, Delete={"Objects": doomed, "Quiet": True}).get("Errors")
    if refused:
        # A batch answers 200 also when single versions were refused. Keys are tenants' text: they stay out.
        error: Any = {"Code": refused[0]["Code"], "Message": f"{len(refused)} versions"}
        raise ClientError({"Error": error}, "DeleteObjects")
