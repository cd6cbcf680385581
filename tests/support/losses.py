"""What a tenant's content can lose, by somebody's hand in the console; and whether a search finds it again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import kbfleet.bootstrap
from kbfleet.domain.uploads import METADATA_SUFFIX
from tests.support.virtual_fleet import VirtualFleet

_DELETED_WITHIN_SECONDS = 120
_SETTINGS_OF_AN_INDEX = ("dataType", "dimension", "distanceMetric", "metadataConfiguration")


class Loss(StrEnum):
    """What is gone, and whether its vectors stay behind where they were."""

    INDEX = "the index"
    INDEX_REPLACED = "the index, for an empty one of its name"
    KNOWLEDGE_BASE = "the knowledge base"
    KNOWLEDGE_BASE_RETAINED = "the knowledge base, but not its vectors"
    DATA_SOURCE = "the data source"
    DATA_SOURCE_RETAINED = "the data source, but not its vectors"

    @property
    def of_an_index(self) -> bool:
        return self in {Loss.INDEX, Loss.INDEX_REPLACED}

    @property
    def leaves_vectors(self) -> bool:
        return self in {Loss.KNOWLEDGE_BASE_RETAINED, Loss.DATA_SOURCE_RETAINED}


def losses_on(store: str) -> list[Loss]:
    """Those that can happen on that knowledge store: of type MANAGED, a knowledge base keeps its vectors itself, and
    its data sources cannot leave any behind (botocore model of bedrock-agent, CreateDataSource)."""
    return [loss for loss in Loss if store != "MANAGED" or not (loss.of_an_index or loss.leaves_vectors)]


def lose(fleet: VirtualFleet, store: str, tenant_id: str, loss: Loss) -> None:
    """Returns once it is gone."""
    tenant = fleet.tenant(tenant_id)
    assert tenant is not None
    agent, base = fleet.client("bedrock-agent"), {"knowledgeBaseId": str(tenant.knowledge_base_id)}
    source = {**base, "dataSourceId": str(tenant.data_source_id)}
    if loss.leaves_vectors:
        found = agent.get_data_source(**source)["dataSource"]
        agent.update_data_source(
            **source,
            name=found["name"],
            dataSourceConfiguration=_as_sent(fleet, store, tenant_id),
            dataDeletionPolicy="RETAIN",
        )
    if loss.of_an_index:
        _lose_index(fleet, store, tenant_id, replaced=loss is Loss.INDEX_REPLACED)
    elif loss in {Loss.KNOWLEDGE_BASE, Loss.KNOWLEDGE_BASE_RETAINED}:
        agent.delete_knowledge_base(**base)
    else:
        agent.delete_data_source(**source)
    fleet.timeline.run_for(_DELETED_WITHIN_SECONDS)


def _as_sent(fleet: VirtualFleet, store: str, tenant_id: str) -> Any:
    return kbfleet.bootstrap.stores()[store].data_source_configuration(fleet.names.bucket(fleet.life(tenant_id)))


def _lose_index(fleet: VirtualFleet, store: str, tenant_id: str, *, replaced: bool) -> None:
    name = fleet.names.vector_index(fleet.knowledge(tenant_id))
    if store == "S3_VECTORS":
        vectors = fleet.client("s3vectors")
        (bucket,) = (each["vectorBucketName"] for each in vectors.list_vector_buckets()["vectorBuckets"])
        place = {"vectorBucketName": bucket, "indexName": name}
        index = vectors.get_index(**place)["index"]
        vectors.delete_index(**place)
        if replaced:
            vectors.create_index(**place, **{key: index[key] for key in _SETTINGS_OF_AN_INDEX})
        return
    search = fleet.client("opensearchserverless")
    (collection,) = (each["id"] for each in search.list_collections()["collectionSummaries"])
    place = {"id": collection, "indexName": name}
    schema = search.get_index(**place)["indexSchema"]
    search.delete_index(**place)
    if replaced:
        schema["settings"]["index"].pop("creation_date")
        search.create_index(**place, indexSchema=schema)


def delete_bucket(fleet: VirtualFleet, bucket: str) -> None:
    """With all versions of all documents."""
    s3 = fleet.client("s3")
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            s3.delete_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])
    s3.delete_bucket(Bucket=bucket)


def take_permissions_away(fleet: VirtualFleet, tenant_id: str, *, of: str = "") -> None:
    """From the tenant's service role: its policies, or what they allow of actions that begin so."""
    iam, name = fleet.client("iam"), fleet.names.service_role(fleet.life(tenant_id))
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        left = [each for each in document["Statement"] if of not in json.dumps(each["Action"])] if of else []
        if left:
            document = json.dumps({**document, "Statement": left})
            iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=document)
        else:
            iam.delete_role_policy(RoleName=name, PolicyName=policy)


def disable_the_usage_key(fleet: VirtualFleet, tenant_id: str) -> None:
    gateway, value = fleet.client("apigateway"), fleet.names.usage_key(fleet.life(tenant_id)).value
    (found,) = (each for each in gateway.get_api_keys(includeValues=True)["items"] if each["value"] == value)
    disabled = [{"op": "replace", "path": "/enabled", "value": "false"}]
    gateway.update_api_key(apiKey=found["id"], patchOperations=disabled)


def departures_from_the_bucket(fleet: VirtualFleet, tenant_id: str) -> list[str]:
    """How what a search finds differs from what the tenant's bucket holds, in sentences."""
    return list(_departures(fleet, tenant_id))


def _departures(fleet: VirtualFleet, tenant_id: str) -> Iterator[str]:
    tenant = fleet.tenant(tenant_id)
    assert tenant is not None
    s3, bucket = fleet.client("s3"), fleet.names.bucket(fleet.life(tenant_id))
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    listed = {item["Key"] for page in pages for item in page.get("Contents", ())}
    held = {key for key in listed if not key.endswith(METADATA_SUFFIX)}
    search = "managedSearchConfiguration" if tenant.knowledge_store == "MANAGED" else "vectorSearchConfiguration"
    for key in sorted(held):
        question = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
        answer = fleet.client("bedrock-agent-runtime").retrieve(
            knowledgeBaseId=str(tenant.knowledge_base_id),
            retrievalQuery={"text": question},
            retrievalConfiguration={search: {"numberOfResults": 100}},
        )
        found = Counter(result["location"]["s3Location"]["uri"] for result in answer["retrievalResults"])
        fleet.timeline.run_for(1)
        if f"s3://{bucket}/{key}" not in found:
            yield f"{key} is in the bucket, and a search for it finds {sorted(found)}"
        # Each is short enough to be one passage.
        yield from (f"{uri} is found {count} times" for uri, count in found.items() if count > 1)
        yield from (f"{uri} is found, and not in the bucket" for uri in found if uri.split("/", 3)[-1] not in held)
