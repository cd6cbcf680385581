"""Amazon S3 Vectors: vector buckets and vector indexes (service ``s3vectors``)."""

from __future__ import annotations

import re
from typing import Any

from bedrock_emulator.account import Account
from bedrock_emulator.wire.errors import ServiceError, conflict, validation
from bedrock_emulator.wire.paging import page
from bedrock_emulator.world.records import Index, VectorBucket

Members = dict[str, Any]

# AWS documentation, "Limitations and restrictions" of Amazon S3 Vectors.
INDEXES_PER_BUCKET = 10_000
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class S3Vectors:
    """Operations by their names in the model, in snake case."""

    def __init__(self, account: Account) -> None:
        """``account`` holds the state."""
        self._account = account

    def create_vector_bucket(self, given: Members) -> Members:
        """ConflictException when the name is taken in this account and Region."""
        name = _named(given["vectorBucketName"], "vector bucket")
        if name in self._account.vector_buckets:
            raise conflict("A vector bucket with the specified name already exists")
        bucket = VectorBucket(
            name,
            self._account.arn("s3vectors", f"bucket/{name}"),
            self._account.now(),
            given.get("encryptionConfiguration", {"sseType": "AES256"}),
            tags=dict(given.get("tags", {})),
        )
        self._account.vector_buckets[name] = bucket
        return {"vectorBucketArn": bucket.arn}

    def get_vector_bucket(self, given: Members) -> Members:
        """NotFoundException when there is none."""
        bucket = self._bucket(given)
        return {"vectorBucket": {**_bucket_summary(bucket), "encryptionConfiguration": bucket.encryption}}

    def list_vector_buckets(self, given: Members) -> Members:
        """In order of name, 500 a page unless asked otherwise."""
        prefix = given.get("prefix", "")
        buckets = [bucket for name, bucket in sorted(self._account.vector_buckets.items()) if name.startswith(prefix)]
        shown, token = page(
            buckets, f"ListVectorBuckets {prefix}", given.get("maxResults"), given.get("nextToken"), 500
        )
        return {"vectorBuckets": [_bucket_summary(bucket) for bucket in shown], "nextToken": token}

    def delete_vector_bucket(self, given: Members) -> Members:
        """ConflictException while it holds an index."""
        bucket = self._bucket(given)
        if bucket.indexes:
            raise conflict("The specified vector bucket is not empty")
        del self._account.vector_buckets[bucket.name]
        return {}

    def create_index(self, given: Members) -> Members:
        """ConflictException when the name is taken in the bucket, ServiceQuotaExceededException past 10,000 indexes."""
        bucket = self._bucket(given)
        name = _named(given["indexName"], "vector index")
        if name in bucket.indexes:
            raise conflict("An index with the specified name already exists in the vector bucket")
        if len(bucket.indexes) >= INDEXES_PER_BUCKET:
            raise ServiceError("ServiceQuotaExceededException", "The vector bucket has the maximum number of indexes.")
        fault = self._account.faults.of_effect("index_not_visible", "CreateIndex", given)
        now = self._account.now()
        index = Index(
            key=f"{bucket.arn}/index/{name}",
            name=name,
            dimension=given["dimension"],
            distance_metric=given["distanceMetric"],
            created_at=now,
            visible_from=now + (fault.seconds if fault else 0.0),
            definition={
                key: given[key]
                for key in ("dataType", "metadataConfiguration", "encryptionConfiguration")
                if key in given
            },
            non_filterable_keys=frozenset(given.get("metadataConfiguration", {}).get("nonFilterableMetadataKeys", ())),
            tags=dict(given.get("tags", {})),
        )
        bucket.indexes[name] = index
        return {"indexArn": index.key}

    def get_index(self, given: Members) -> Members:
        """NotFoundException when there is none."""
        bucket, index = self._index(given)
        return {
            "index": {
                **_index_summary(bucket, index),
                "dimension": index.dimension,
                "distanceMetric": index.distance_metric,
                "encryptionConfiguration": bucket.encryption,
                **index.definition,
            }
        }

    def list_indexes(self, given: Members) -> Members:
        """In order of name, 500 a page unless asked otherwise."""
        bucket = self._bucket(given)
        prefix = given.get("prefix", "")
        indexes = [index for name, index in sorted(bucket.indexes.items()) if name.startswith(prefix)]
        scope = f"ListIndexes {bucket.arn} {prefix}"
        shown, token = page(indexes, scope, given.get("maxResults"), given.get("nextToken"), 500)
        return {"indexes": [_index_summary(bucket, index) for index in shown], "nextToken": token}

    def delete_index(self, given: Members) -> Members:
        """Deletes the index and what is in it, even while a knowledge base uses it."""
        bucket, index = self._index(given)
        del bucket.indexes[index.name]
        self._account.drop_contents(index.key)
        return {}

    def tag_resource(self, given: Members) -> Members:
        """Adds or replaces tags of a bucket or an index."""
        self._tags(given["resourceArn"]).update(given["tags"])
        return {}

    def untag_resource(self, given: Members) -> Members:
        """Removes tags of a bucket or an index; absent keys are no error."""
        tags = self._tags(given["resourceArn"])
        for key in given["tagKeys"]:
            tags.pop(key, None)
        return {}

    def list_tags_for_resource(self, given: Members) -> Members:
        """The tags of a bucket or an index."""
        return {"tags": self._tags(given["resourceArn"])}

    def _tags(self, arn: str) -> dict[str, str]:
        if "/index/" in arn:
            return self._index({"indexArn": arn})[1].tags
        return self._bucket({"vectorBucketArn": arn}).tags

    def _bucket(self, given: Members) -> VectorBucket:
        if ("vectorBucketName" in given) == ("vectorBucketArn" in given):
            raise validation("Must specify either vectorBucketName or vectorBucketArn but not both")
        name, arn = given.get("vectorBucketName"), given.get("vectorBucketArn")
        for bucket in self._account.vector_buckets.values():
            if name == bucket.name or arn == bucket.arn:
                return bucket
        raise ServiceError("NotFoundException", "The specified vector bucket could not be found")

    def _index(self, given: Members) -> tuple[VectorBucket, Index]:
        if "indexArn" in given:
            if "vectorBucketName" in given or "indexName" in given:
                raise validation("Must specify either indexArn or both vectorBucketName and indexName")
            bucket_arn, _, name = given["indexArn"].partition("/index/")
            where = {"vectorBucketArn": bucket_arn}
        elif "vectorBucketName" in given and "indexName" in given:
            where, name = {"vectorBucketName": given["vectorBucketName"]}, given["indexName"]
        else:
            raise validation("Must specify either indexArn or both vectorBucketName and indexName")
        bucket = self._bucket(where)
        if name not in bucket.indexes:
            raise ServiceError("NotFoundException", "The specified index could not be found")
        return bucket, bucket.indexes[name]


def _named(name: str, what: str) -> str:
    # The model leaves the pattern to the documentation ("Naming rules" of vector buckets and of vector indexes).
    if not _NAME.fullmatch(name):
        raise validation(f"Invalid {what} name")
    return name


def _bucket_summary(bucket: VectorBucket) -> Members:
    return {"vectorBucketName": bucket.name, "vectorBucketArn": bucket.arn, "creationTime": bucket.created_at}


def _index_summary(bucket: VectorBucket, index: Index) -> Members:
    return {
        "vectorBucketName": bucket.name,
        "indexName": index.name,
        "indexArn": index.key,
        "creationTime": index.created_at,
    }
