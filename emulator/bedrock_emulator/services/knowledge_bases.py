"""Knowledge bases and data sources: the part of service ``bedrock-agent`` that makes, changes and deletes them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from bedrock_emulator.account import Account, index_key, storage_key
from bedrock_emulator.services import ingestion_settings
from bedrock_emulator.services.opensearch_serverless import INVALID_STORAGE, check_store
from bedrock_emulator.services.service_role import (
    FORBIDDEN_COLLECTION,
    NOT_ASSUMABLE,
    DeniedError,
    IndexUse,
    assume,
)
from bedrock_emulator.services.supported import named
from bedrock_emulator.wire.errors import NotEmulatedError, ServiceError, conflict, not_found, validation
from bedrock_emulator.wire.paging import page
from bedrock_emulator.world.models import dimensions_of
from bedrock_emulator.world.records import RUNNING, DataSource, KnowledgeBase

Members = dict[str, Any]

# How long things take, in seconds at speed 1; a pair is the shortest and the longest. Users report the first three (the
# console of a MANAGED knowledge base says two to five minutes for its data source, and AWS's own sample waits two); the
# others are our guess.
VECTOR_CREATION = 83.0
MANAGED_CREATION = (47.0, 124.0)
MANAGED_DATA_SOURCE_CREATION = (120.0, 300.0)
UPDATE = 5.0
DELETION = 10.0
DATA_SOURCE_DELETION = 15.0


class KnowledgeBases:
    """Operations by their names in the model, in snake case."""

    def __init__(self, account: Account) -> None:
        """``account`` holds the state."""
        self._account = account
        self._role_first_used: dict[str, float] = {}

    def resume(self) -> None:
        """Carry on with what was under way when the state was kept."""
        for base in self._account.knowledge_bases.values():
            if base.status == "CREATING":
                self._becomes(base, "ACTIVE", _creation(base))
            elif base.status == "UPDATING":
                self._becomes(base, "ACTIVE", UPDATE)
            elif base.status == "DELETING":
                self._account.agenda.at(self._account.now() + DELETION, partial(self._delete_knowledge_base, base))
        for source in self._account.data_sources.values():
            if source.status == "DELETING":
                base = self._account.knowledge_bases[source.knowledge_base_id]
                when = self._account.now() + DATA_SOURCE_DELETION
                self._account.agenda.at(when, partial(self._delete_data_source, base, source))
            elif source.status == "CREATING":
                self._becomes(source, "AVAILABLE", _between(MANAGED_DATA_SOURCE_CREATION, source.identifier))

    # Knowledge bases

    def create_knowledge_base(self, given: Members) -> Members:
        """Status CREATING, for 83 seconds (VECTOR) or 47 to 124 (MANAGED)."""
        account = self._account
        if earlier := account.remembered("CreateKnowledgeBase", given.get("clientToken")):
            return {"knowledgeBase": _knowledge_base(earlier)}
        self._check_configuration(given)
        self._check_name(given["name"])
        identifier = account.new_id()
        arn = account.arn("bedrock", f"knowledge-base/{identifier}")
        self._check_role(given, arn, given.get("storageConfiguration"))
        managed = given["knowledgeBaseConfiguration"]["type"] == "MANAGED"
        self._check_count(managed=managed)
        if not managed:
            self._check_storage(given)
        now = account.now()
        lag = account.faults.of_effect("uniqueness_lag", "CreateKnowledgeBase", given)
        made = KnowledgeBase(
            identifier=identifier,
            arn=arn,
            name=given["name"],
            role_arn=given["roleArn"],
            configuration=_filled_in(given["knowledgeBaseConfiguration"]),
            storage=given.get("storageConfiguration"),
            description=given.get("description"),
            status="CREATING",
            created_at=now,
            updated_at=now,
            tags=dict(given.get("tags", {})),
            name_taken_from=now + (lag.seconds if lag else 0.0),
        )
        account.knowledge_bases[identifier] = made
        account.remember("CreateKnowledgeBase", given.get("clientToken"), made, lag.seconds if lag else 0.0)
        fault = account.faults.of_effect("knowledge_base_fails", "CreateKnowledgeBase", given)
        duration = account.duration("CreateKnowledgeBase", given, _creation(made))
        if fault is not None:
            self._becomes(made, "FAILED", duration, fault.failureReasons)
        else:
            self._becomes(made, "ACTIVE", duration)
        return {"knowledgeBase": _knowledge_base(made)}

    def get_knowledge_base(self, given: Members) -> Members:
        """ResourceNotFoundException when there is none."""
        return {"knowledgeBase": _knowledge_base(self._account.knowledge_base(given["knowledgeBaseId"]))}

    def list_knowledge_bases(self, given: Members) -> Members:
        """In order of creation; summaries have no createdAt."""
        bases = list(self._account.knowledge_bases.values())
        shown, token = page(bases, "ListKnowledgeBases", given.get("maxResults"), given.get("nextToken"))
        summaries = [
            {
                "knowledgeBaseId": base.identifier,
                "name": base.name,
                "description": base.description,
                "status": base.status,
                "updatedAt": base.updated_at,
            }
            for base in shown
        ]
        return {"knowledgeBaseSummaries": summaries, "nextToken": token}

    def update_knowledge_base(self, given: Members) -> Members:
        """Changes name, description and role; anything else must be sent as it is."""
        base = self._account.knowledge_base(given["knowledgeBaseId"])
        self._check_settled(base)
        storage = given.get("storageConfiguration", base.storage)
        if _filled_in(given["knowledgeBaseConfiguration"]) != base.configuration or storage != base.storage:
            raise validation("You cannot modify the knowledge base configuration once it is created.")
        if given["name"] != base.name:
            self._check_name(given["name"])
        self._check_role(given, base.arn, storage)
        base.name, base.role_arn = given["name"], given["roleArn"]
        base.description = given.get("description")
        base.status, base.updated_at = "UPDATING", self._account.now()
        self._becomes(base, "ACTIVE", UPDATE)
        return {"knowledgeBase": _knowledge_base(base)}

    def delete_knowledge_base(self, given: Members) -> Members:
        """Deletes it with its data sources; when one of those can't be deleted it ends DELETE_UNSUCCESSFUL."""
        account = self._account
        base = account.knowledge_base(given["knowledgeBaseId"])
        self._check_idle(base.identifier)
        if base.status != "DELETING":
            base.status, base.updated_at = "DELETING", account.now()
            seconds = account.duration("DeleteKnowledgeBase", given, DELETION)
            account.agenda.at(account.now() + seconds, partial(self._delete_knowledge_base, base))
        return {"knowledgeBaseId": base.identifier, "status": base.status}

    def _delete_knowledge_base(self, base: KnowledgeBase) -> None:
        for source in self._account.data_sources_of(base.identifier):
            self._delete_data_source(base, source)
        stuck = self._account.data_sources_of(base.identifier)
        if stuck:
            base.status, base.updated_at = "DELETE_UNSUCCESSFUL", self._account.now()
            base.failure_reasons = [reason for source in stuck for reason in source.failure_reasons]
            return
        if base.managed:
            self._account.drop_contents(index_key(base))
        self._account.knowledge_bases.pop(base.identifier, None)

    # Data sources

    def create_data_source(self, given: Members) -> Members:
        """Status AVAILABLE at once, but for one of a MANAGED knowledge base: CREATING, for two to five minutes."""
        account = self._account
        base = account.knowledge_base(given["knowledgeBaseId"])
        if earlier := account.remembered("CreateDataSource", given.get("clientToken")):
            return {"dataSource": _data_source(earlier)}
        if base.status != "ACTIVE":
            # The words are reported by users, the class is not: we take that of the other state checks.
            raise validation(f"Knowledge base {base.identifier} is not in a valid status: {base.status}")
        self._check_data_source(base, given)
        others = account.data_sources_of(base.identifier)
        if any(other.name == given["name"] for other in others):
            raise conflict(f"DataSource with name {given['name']} already exists.")
        quotas = account.quotas
        most = (
            quotas.data_sources_per_managed_knowledge_base if base.managed else quotas.data_sources_per_knowledge_base
        )
        if len(others) >= most:
            raise ServiceError(
                "ServiceQuotaExceededException",
                f"You have reached the maximum number of data sources per knowledge base: {most}",
            )
        now, identifier = account.now(), account.new_id()
        usual = _between(MANAGED_DATA_SOURCE_CREATION, identifier) if base.managed else 0.0
        creating = account.duration("CreateDataSource", given, usual)
        made = DataSource(
            identifier=identifier,
            knowledge_base_id=base.identifier,
            name=given["name"],
            description=given.get("description"),
            members=_configurations(given),
            deletion_policy=given.get("dataDeletionPolicy", "DELETE"),
            status="CREATING" if creating else "AVAILABLE",
            created_at=now,
            updated_at=now,
        )
        account.data_sources[base.identifier, made.identifier] = made
        account.remember("CreateDataSource", given.get("clientToken"), made)
        fault = account.faults.of_effect("data_source_fails", "CreateDataSource", given)
        if fault is not None:
            account.agenda.at(now + fault.seconds, partial(self._fail_data_source, made, fault.failureReasons))
        if ingestion_settings.lacks_connection(given["dataSourceConfiguration"]):
            self._becomes(made, "FAILED", creating, [ingestion_settings.NO_CONNECTION])
        elif creating:
            self._becomes(made, "AVAILABLE", creating)
        return {"dataSource": _data_source(made)}

    def _fail_data_source(self, source: DataSource, reasons: list[str]) -> None:
        if source.status in ("CREATING", "AVAILABLE"):
            source.status, source.updated_at, source.failure_reasons = "FAILED", self._account.now(), reasons

    def get_data_source(self, given: Members) -> Members:
        """ResourceNotFoundException when there is none."""
        return {"dataSource": _data_source(self._account.data_source(given["knowledgeBaseId"], given["dataSourceId"]))}

    def list_data_sources(self, given: Members) -> Members:
        """In order of creation."""
        base = self._account.knowledge_base(given["knowledgeBaseId"])
        scope = f"ListDataSources {base.identifier}"
        shown, token = page(
            self._account.data_sources_of(base.identifier), scope, given.get("maxResults"), given.get("nextToken")
        )
        summaries = [
            {
                "knowledgeBaseId": source.knowledge_base_id,
                "dataSourceId": source.identifier,
                "name": source.name,
                "status": source.status,
                "description": source.description,
                "updatedAt": source.updated_at,
            }
            for source in shown
        ]
        return {"dataSourceSummaries": summaries, "nextToken": token}

    def update_data_source(self, given: Members) -> Members:
        """Replaces every member: what is not sent is gone. The chunking can't be changed."""
        account = self._account
        base = account.knowledge_base(given["knowledgeBaseId"])
        source = account.data_source(base.identifier, given["dataSourceId"])
        if source.status == "DELETING":
            raise conflict(f"DataSource with id {source.identifier} is being deleted.")
        self._check_made(source)
        self._check_data_source(base, given)
        ingestion_settings.check_unchanged(source.members, given)
        if any(o.name == given["name"] and o is not source for o in account.data_sources_of(base.identifier)):
            raise conflict(f"DataSource with name {given['name']} already exists.")
        source.name, source.description = given["name"], given.get("description")
        source.members = _configurations(given)
        source.deletion_policy = given.get("dataDeletionPolicy", "DELETE")
        source.status, source.updated_at, source.failure_reasons = "AVAILABLE", account.now(), []
        return {"dataSource": _data_source(source)}

    def delete_data_source(self, given: Members) -> Members:
        """Status DELETING; its vectors go with it unless its policy is RETAIN. Conflict while a job runs."""
        account = self._account
        base = account.knowledge_base(given["knowledgeBaseId"])
        source = account.data_source(base.identifier, given["dataSourceId"])
        self._check_made(source)
        self._check_idle(base.identifier, source.identifier)
        if source.status != "DELETING":
            source.status, source.updated_at = "DELETING", account.now()
            account.agenda.at(account.now() + DATA_SOURCE_DELETION, partial(self._delete_data_source, base, source))
        return {"knowledgeBaseId": base.identifier, "dataSourceId": source.identifier, "status": source.status}

    def _delete_data_source(self, base: KnowledgeBase, source: DataSource) -> None:
        account = self._account
        key = index_key(base)
        if source.deletion_policy == "DELETE":
            if not base.managed and (account.index(key) is None or not self._may_delete_from(base, key)):
                source.status, source.updated_at = "DELETE_UNSUCCESSFUL", account.now()
                source.failure_reasons = [
                    f"Unable to delete data from vector store for data source with ID {source.identifier}. "
                    "Check your vector store configurations and permissions and retry your request. "
                    "If the issue persists, consider updating the dataDeletionPolicy of the data source to RETAIN "
                    "and retry your request."
                ]
                return
            account.contents(key).remove_data_source(source.identifier)
        account.data_sources.pop((base.identifier, source.identifier), None)
        account.jobs.pop((base.identifier, source.identifier), None)

    def _may_delete_from(self, base: KnowledgeBase, key: str) -> bool:
        try:
            role = assume(self._account, base.role_arn, base.arn, "DeleteDataSource")
            role.check_index(key, IndexUse.DELETION)
        except DeniedError:
            return False
        return True

    # Tags

    def tag_resource(self, given: Members) -> Members:
        """Adds or replaces tags of a knowledge base."""
        self._tags(given).update(given["tags"])
        return {}

    def untag_resource(self, given: Members) -> Members:
        """Removes tags of a knowledge base; absent keys are no error."""
        tags = self._tags(given)
        for key in given["tagKeys"]:
            tags.pop(key, None)
        return {}

    def list_tags_for_resource(self, given: Members) -> Members:
        """The tags of a knowledge base."""
        return {"tags": self._tags(given)}

    def _tags(self, given: Members) -> dict[str, str]:
        arn = given["resourceArn"]
        base = next((base for base in self._account.knowledge_bases.values() if base.arn == arn), None)
        if base is None:
            raise not_found(f"Resource {arn} does not exist.")
        return base.tags

    # Checks

    def _becomes(
        self, record: KnowledgeBase | DataSource, status: str, seconds: float, reasons: Sequence[str] = ()
    ) -> None:
        expected, when = record.status, self._account.now() + seconds

        def settle() -> None:
            # Deleted or failed meanwhile: that decides.
            if record.status == expected:
                record.status, record.updated_at, record.failure_reasons = status, when, list(reasons)

        self._account.agenda.at(when, settle)

    def _check_settled(self, base: KnowledgeBase) -> None:
        if base.status in ("CREATING", "UPDATING", "DELETING"):
            raise conflict(f"KnowledgeBase with id {base.identifier} is not in a valid status: {base.status}")

    def _check_made(self, source: DataSource) -> None:
        if source.status == "CREATING":
            # What the service answers is not known; a knowledge base that is CREATING can't be changed either.
            raise conflict(f"DataSource with id {source.identifier} is not in a valid status: {source.status}")

    def _check_idle(self, knowledge_base_id: str, data_source_id: str | None = None) -> None:
        for (of_base, of_source), jobs in self._account.jobs.items():
            if of_base != knowledge_base_id or data_source_id not in (None, of_source):
                continue
            if any(job.status in RUNNING for job in jobs):
                raise conflict(f"DataSource with id {of_source} has an ongoing ingestion job.")

    def _check_configuration(self, given: Members) -> None:
        configuration = given["knowledgeBaseConfiguration"]
        if configuration["type"] == "MANAGED":
            if "storageConfiguration" in given:
                raise validation("storageConfiguration is not supported for a knowledge base of type MANAGED.")
            _check_vectors(configuration.get("managedKnowledgeBaseConfiguration", {}))
            return
        if "vectorKnowledgeBaseConfiguration" not in configuration:
            raise validation("vectorKnowledgeBaseConfiguration is required for a knowledge base of type VECTOR.")
        if "storageConfiguration" not in given:
            raise validation("storageConfiguration is required for a knowledge base of type VECTOR.")
        _check_vectors(configuration["vectorKnowledgeBaseConfiguration"], given["storageConfiguration"]["type"])

    def _check_name(self, name: str) -> None:
        now = self._account.now()
        if any(b.name == name and b.name_taken_from <= now for b in self._account.knowledge_bases.values()):
            raise conflict(f"KnowledgeBase with name {name} already exists.")

    def _check_count(self, *, managed: bool) -> None:
        quotas = self._account.quotas
        most = quotas.managed_knowledge_bases if managed else quotas.vector_knowledge_bases
        if sum(base.managed == managed for base in self._account.knowledge_bases.values()) >= most:
            raise ServiceError(
                "ServiceQuotaExceededException",
                f"You have reached the maximum number of knowledge bases per account: {most}",
            )

    def _check_role(self, given: Members, knowledge_base_arn: str, storage: Members | None) -> None:
        account = self._account
        role_arn, now = given["roleArn"], account.now()
        first = self._role_first_used.setdefault(role_arn, now)

        def is_past(effect: str) -> bool:
            fault = account.faults.of_effect(effect, "CreateKnowledgeBase", given)
            return fault is None or now >= first + fault.seconds

        if not is_past("role_not_assumable"):
            raise validation(NOT_ASSUMABLE)
        try:
            role = assume(account, role_arn, knowledge_base_arn, "CreateKnowledgeBase")
            if key := storage_key(storage):
                role.check_index(key, IndexUse.CREATION)
        except DeniedError as denial:
            if str(denial) == FORBIDDEN_COLLECTION:
                raise validation(f"{INVALID_STORAGE}{FORBIDDEN_COLLECTION}") from None
            # Users report that missing permissions on S3 Vectors are told in the same words as a role without trust.
            raise validation(NOT_ASSUMABLE) from None
        if not is_past("model_not_verifiable"):
            raise validation("Unable to verify the specified embedding model")

    def _check_storage(self, given: Members) -> None:
        storage = given["storageConfiguration"]
        dimension = _dimension(given["knowledgeBaseConfiguration"]["vectorKnowledgeBaseConfiguration"])
        if storage["type"] == "OPENSEARCH_SERVERLESS":
            if "opensearchServerlessConfiguration" not in storage:
                raise validation("opensearchServerlessConfiguration is required for type OPENSEARCH_SERVERLESS.")
            check_store(self._account, storage["opensearchServerlessConfiguration"], given["roleArn"], dimension)
            return
        key = storage_key(storage)
        if key is None:
            raise validation(f"{INVALID_STORAGE}The vector index is not named.")
        index = self._account.index(key)
        if index is None or index.visible_from > self._account.now():
            # The words for S3 Vectors are neither documented nor reported; these follow that service's own error.
            raise validation(
                f"{INVALID_STORAGE}The specified index could not be found (Service: S3Vectors, Status Code: 404)"
            )
        if dimension and dimension != index.dimension:
            # Not reported anywhere; inferred from the check that must exist.
            raise validation(
                f"{INVALID_STORAGE}The vector index has dimension {index.dimension}, "
                f"but the embedding model makes vectors of dimension {dimension}."
            )

    def _check_data_source(self, base: KnowledgeBase, given: Members) -> None:
        configuration = given["dataSourceConfiguration"]
        kind = configuration["type"]
        ingestion_settings.check_source(base, configuration)
        ingestion_settings.check(base, given)
        if kind == "CUSTOM":
            return
        if base.managed and given.get("dataDeletionPolicy") == "RETAIN":
            raise validation("dataDeletionPolicy RETAIN is not supported for a knowledge base of type MANAGED.")
        if kind == "S3" and "s3Configuration" not in configuration:
            raise validation("s3Configuration is required for a data source of type S3.")
        if kind != "S3":
            ingestion_settings.check_connector(configuration)


def _creation(base: KnowledgeBase) -> float:
    return _between(MANAGED_CREATION, base.identifier) if base.managed else VECTOR_CREATION


def _between(bounds: tuple[float, float], identifier: str) -> float:
    """Seconds between the two, the same for the same resource, also after a restart."""
    shortest, longest = bounds
    return shortest + (longest - shortest) * zlib.crc32(identifier.encode()) / 0xFFFF_FFFF


def _filled_in(configuration: Members) -> Members:
    """With what the service takes by itself, as users report."""
    if configuration["type"] != "MANAGED":
        return configuration
    managed = {"embeddingModelType": "MANAGED", **configuration.get("managedKnowledgeBaseConfiguration", {})}
    return {**configuration, "managedKnowledgeBaseConfiguration": managed}


def _embedding(configuration: Members) -> Members:
    found: Members = configuration.get("embeddingModelConfiguration", {}).get("bedrockEmbeddingModelConfiguration", {})
    return found


def _check_vectors(configuration: Members, store: str | None = None) -> None:
    """ServiceError ValidationException for vectors that the store does not take, NotEmulatedError for others."""
    kind = _embedding(configuration).get("embeddingDataType")
    if kind not in named("bedrock-agent", "EmbeddingDataType").refused:
        return
    if store == "S3_VECTORS":
        # That it is refused is documented; in which words is not known.
        raise validation(f"Embedding data type {kind} is not supported for the vector store type {store}.")
    raise NotEmulatedError(f"bedrockEmbeddingModelConfiguration.embeddingDataType {kind}")


def _dimension(configuration: Members) -> int | None:
    """That of the embedding model; None where it is not known. ValidationException when it can't have the one asked."""
    possible = dimensions_of(configuration["embeddingModelArn"])
    asked: int | None = _embedding(configuration).get("dimensions")
    if asked is not None and possible and asked not in possible:
        # That it is refused follows from what is documented; in which words is not known.
        told = " or ".join(map(str, sorted(possible)))
        raise validation(f"The embedding model makes vectors of dimension {told}, not {asked}.")
    return asked or (possible[0] if possible else None)


def _configurations(given: Members) -> Members:
    names = ("dataSourceConfiguration", "serverSideEncryptionConfiguration", "vectorIngestionConfiguration")
    return {name: given[name] for name in names if name in given}


def _knowledge_base(base: KnowledgeBase) -> Members:
    return {
        "knowledgeBaseId": base.identifier,
        "name": base.name,
        "knowledgeBaseArn": base.arn,
        "description": base.description,
        "roleArn": base.role_arn,
        "knowledgeBaseConfiguration": base.configuration,
        "storageConfiguration": base.storage,
        "status": base.status,
        "createdAt": base.created_at,
        "updatedAt": base.updated_at,
        "failureReasons": base.failure_reasons or None,
    }


def _data_source(source: DataSource) -> Members:
    return {
        "knowledgeBaseId": source.knowledge_base_id,
        "dataSourceId": source.identifier,
        "name": source.name,
        "status": source.status,
        "description": source.description,
        **source.members,
        "dataSourceConfiguration": _described(source.members["dataSourceConfiguration"]),
        "dataDeletionPolicy": source.deletion_policy,
        "createdAt": source.created_at,
        "updatedAt": source.updated_at,
        "failureReasons": source.failure_reasons or None,
    }


def _described(configuration: Members) -> Members:
    """As GetDataSource gives it: a connector's parameters are JSON in a text, with what the service takes by itself."""
    if configuration["type"] != "MANAGED_KNOWLEDGE_BASE_CONNECTOR":
        return configuration  # whatever stands beside it
    connector = configuration["managedKnowledgeBaseConnectorConfiguration"]
    given = connector["connectorParameters"]
    parameters = {
        "aclEnabled": False,
        **given,
        "filterConfiguration": {"maxFileSizeInMegaBytes": "500", **given.get("filterConfiguration", {})},
    }
    if connection := given.get("connectionConfiguration"):
        bucket = connection["bucketName"]
        parameters["connectionConfiguration"] = {"bucketArn": f"arn:aws:s3:::{bucket}", **connection}
    extraction = {
        "imageExtractionConfiguration": {"imageExtractionStatus": "ENABLED"},
        **connector.get("mediaExtractionConfiguration", {}),
    }
    described = {**connector, "connectorParameters": json.dumps(parameters), "mediaExtractionConfiguration": extraction}
    return {**configuration, "managedKnowledgeBaseConnectorConfiguration": described}
