"""Tenants with a service role each, on a local AWS that evaluates IAM, and ways to reach another's documents through
Bedrock: whoever tries may call everything, so that only the roles stand between the tenants.

Which roles they are is said by whoever begins: `RoleDocumentsOf` gives a tenant's policies by what is the tenant's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from local.delays import AT_ONCE
from local.stack import process
from local.stack.configuration import ACCESS_KEY, StackConfiguration, free_port
from tests.support.waiting import until

STORES = ("S3_VECTORS", "OPENSEARCH_SERVERLESS", "MANAGED")
SPEED = 10_000.0
"""A knowledge base takes 8 milliseconds, an ingestion 20."""
ROLE_PATH = "/kbfleet/proof/"
QUESTION = "What is the canary phrase of the house?"
WORDS = ("walrus", "copper", "saffron", "velvet", "lantern", "anchor")
OUTSIDE = "somebody-elses-bucket"
"""A bucket of the account that is no tenant's."""
_TITAN = "amazon.titan-embed-text-v2:0"
VECTOR_BUCKET = "proof-vectors"
_COLLECTION = "proof-vectors"

Document = dict[str, Any]
Found = TypeVar("Found")


@dataclass(frozen=True)
class TenantWalls:
    """What one tenant's service role is for. `knowledge_base_arn` ends in `/*` until there is one.

    `index_arn` is of S3 Vectors, `collection_arn` of OpenSearch Serverless; each is empty on other stores.
    """

    tenant_id: str
    account: str
    knowledge_base_arn: str
    bucket: str
    model_arn: str
    index_arn: str = ""
    collection_arn: str = ""


@dataclass(frozen=True)
class RoleDocuments:
    """The policies of a role. `boundary` is its permissions boundary, or None."""

    trust: Document
    policy: Document
    boundary: Document | None = None


RoleDocumentsOf = Callable[[TenantWalls], RoleDocuments]


def narrow_roles(walls: TenantWalls) -> RoleDocuments:
    """Roles that reach what is the tenant's, and nothing else."""
    statements = [
        _allow("bedrock:InvokeModel", walls.model_arn),
        _allow(["s3:ListBucket"], f"arn:aws:s3:::{walls.bucket}", **_own_account(walls)),
        _allow(["s3:GetObject"], f"arn:aws:s3:::{walls.bucket}/*", **_own_account(walls)),
    ]
    if walls.index_arn:
        actions = ("PutVectors", "GetVectors", "DeleteVectors", "QueryVectors", "GetIndex")
        statements.append(_allow([f"s3vectors:{action}" for action in actions], walls.index_arn))
    if walls.collection_arn:
        statements.append(_allow("aoss:APIAccessAll", walls.collection_arn))
    return RoleDocuments(trust_of_bedrock(walls), _policy(*statements), fleet_boundary(walls))


def shared_roles(walls: TenantWalls) -> RoleDocuments:
    """Roles as wide as one that all tenants share has to be: every attempt succeeds that only roles could stop."""
    everything = _policy(_allow(["s3:*", "s3vectors:*", "aoss:*", "bedrock:*"], "*"))
    every_base = f"{walls.knowledge_base_arn.rpartition('/')[0]}/*"
    trust = trust_of_bedrock(TenantWalls(**{**vars(walls), "knowledge_base_arn": every_base}))
    return RoleDocuments(trust, everything)


def trust_of_bedrock(walls: TenantWalls) -> Document:
    """Bedrock may assume the role for the tenant's knowledge bases."""
    condition = {
        "StringEquals": {"aws:SourceAccount": walls.account},
        "ArnLike": {"aws:SourceArn": walls.knowledge_base_arn},
    }
    principal = {"Service": "bedrock.amazonaws.com"}
    return _policy(
        {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", "Condition": condition},
    )


def fleet_boundary(walls: TenantWalls) -> Document:
    """What any role of the fleet may have at most."""
    return _policy(
        _allow("bedrock:InvokeModel", walls.model_arn),
        _allow(["s3:ListBucket", "s3:GetObject"], ["arn:aws:s3:::proof-*", "arn:aws:s3:::proof-*/*"]),
        _allow(["s3vectors:*"], f"arn:aws:s3vectors:*:*:bucket/{VECTOR_BUCKET}/*"),
        _allow("aoss:APIAccessAll", "*"),
    )


def _own_account(walls: TenantWalls) -> Document:
    return {"Condition": {"StringEquals": {"aws:ResourceAccount": walls.account}}}


def _allow(action: str | list[str], resource: str | list[str], **more: Any) -> Document:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def _policy(*statements: Document) -> Document:
    return {"Version": "2012-10-17", "Statement": list(statements)}


@dataclass
class TenantOnStore:
    """One tenant on one store, ingested."""

    tenant_id: str
    store: str
    word: str
    walls: TenantWalls
    role_arn: str
    knowledge_base: str = ""
    data_source: str = ""
    storage: Document = field(default_factory=dict)

    @property
    def bucket(self) -> str:
        return self.walls.bucket

    @property
    def secret(self) -> str:
        """The URI of its document."""
        return f"s3://{self.bucket}/house.md"


class RoleRig:
    """A running local AWS, where tenants are made with roles of somebody's choice."""

    def __init__(self, configuration: StackConfiguration, documents_of: RoleDocumentsOf = narrow_roles) -> None:
        self.configuration = configuration
        self._documents_of = documents_of
        self.boundary = ""
        self._collection_arn = ""

    @cache  # noqa: B019 - as many as there are services
    def client(self, service: str) -> Any:
        """Of the root user."""
        return boto3.client(  # type: ignore[call-overload]
            service,
            region_name=self.configuration.region,
            endpoint_url=self.configuration.aws_url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=self.configuration.secret_key,
            config=Config(retries={"total_max_attempts": 1}, inject_host_prefix=False, read_timeout=30),
        )

    @property
    def model_arn(self) -> str:
        return f"arn:aws:bedrock:{self.configuration.region}::foundation-model/{_TITAN}"

    # --- what is there ---

    def build(self) -> None:
        """What tenants share."""
        self.client("s3vectors").create_vector_bucket(vectorBucketName=VECTOR_BUCKET)
        self.client("s3").create_bucket(Bucket=OUTSIDE)
        self.put(OUTSIDE, "house.md", f"The canary phrase of the house is: {OUTSIDE}.")
        search = self.client("opensearchserverless")
        rules = {"Rules": [{"ResourceType": "collection", "Resource": ["collection/*"]}], "AWSOwnedKey": True}
        search.create_security_policy(type="encryption", name="all", policy=json.dumps(rules))
        made = search.create_collection(name=_COLLECTION, type="VECTORSEARCH")["createCollectionDetail"]
        self._collection_arn = made["arn"]
        _until(lambda: search.batch_get_collection(ids=[made["id"]])["collectionDetails"][0]["status"] == "ACTIVE")

    def tenant(self, tenant_id: str, store: str, word: str) -> TenantOnStore:
        """Makes a tenant with its role, bucket, document, index and knowledge base, and ingests the document."""
        name = f"proof-{tenant_id}-{store.lower().replace('_', '-')}"
        tenant = TenantOnStore(tenant_id, store, word, self._walls(name, tenant_id, store), "")
        self.client("s3").create_bucket(Bucket=name)
        self.put(name, "house.md", f"The canary phrase of the house is: {word}.")
        tenant.role_arn = self.make_role(name, tenant.walls)
        tenant.storage = self._make_index(name, tenant)
        tenant.knowledge_base = self.make_knowledge_base(name, tenant.role_arn, store, tenant.storage)
        arn = f"{tenant.walls.knowledge_base_arn.rpartition('/')[0]}/{tenant.knowledge_base}"
        tenant.walls = TenantWalls(**{**vars(tenant.walls), "knowledge_base_arn": arn})
        self.client("iam").update_assume_role_policy(
            RoleName=name, PolicyDocument=json.dumps(self._documents_of(tenant.walls).trust)
        )
        tenant.data_source = self.make_data_source(tenant, "documents", source_of(tenant.store, tenant.bucket))
        ended = self.sync(tenant.knowledge_base, tenant.data_source)
        assert ended["status"] == "COMPLETE", ended
        return tenant

    def make_role(self, name: str, walls: TenantWalls) -> str:
        """Gives its ARN."""
        documents = self._documents_of(walls)
        boundary = {}
        if documents.boundary is not None:
            self.boundary = self.boundary or str(
                self.client("iam").create_policy(
                    PolicyName="proof-boundary", Path=ROLE_PATH, PolicyDocument=json.dumps(documents.boundary)
                )["Policy"]["Arn"]
            )
            boundary = {"PermissionsBoundary": self.boundary}
        trust = json.dumps(documents.trust)
        made = self.client("iam").create_role(RoleName=name, Path=ROLE_PATH, AssumeRolePolicyDocument=trust, **boundary)
        self.client("iam").put_role_policy(
            RoleName=name, PolicyName="tenant", PolicyDocument=json.dumps(documents.policy)
        )
        return str(made["Role"]["Arn"])

    def put(self, bucket: str, key: str, text: str) -> None:
        self.client("s3").put_object(Bucket=bucket, Key=key, Body=text.encode())

    def make_knowledge_base(self, name: str, role_arn: str, store: str, storage: Document) -> str:
        """Gives the id of one that is ACTIVE. Raises: ClientError when Bedrock refuses it."""
        agent = self.client("bedrock-agent")
        made = agent.create_knowledge_base(name=name, roleArn=role_arn, **self.configured(store, storage))
        identifier = str(made["knowledgeBase"]["knowledgeBaseId"])
        _until(lambda: agent.get_knowledge_base(knowledgeBaseId=identifier)["knowledgeBase"]["status"] == "ACTIVE")
        return identifier

    def configured(self, store: str, storage: Document) -> Document:
        """The members of Create- and UpdateKnowledgeBase that say what it is."""
        if store == "MANAGED":
            managed = {"managedKnowledgeBaseConfiguration": {"embeddingModelType": "MANAGED"}}
            return {"knowledgeBaseConfiguration": {"type": "MANAGED", **managed}}
        vector = {"vectorKnowledgeBaseConfiguration": {"embeddingModelArn": self.model_arn}}
        return {"knowledgeBaseConfiguration": {"type": "VECTOR", **vector}, "storageConfiguration": storage}

    def make_data_source(self, tenant: TenantOnStore, name: str, configuration: Document) -> str:
        """Gives its id, once it is AVAILABLE."""
        agent = self.client("bedrock-agent")
        made = agent.create_data_source(
            knowledgeBaseId=tenant.knowledge_base, name=name, dataSourceConfiguration=configuration
        )
        names = {"knowledgeBaseId": tenant.knowledge_base, "dataSourceId": str(made["dataSource"]["dataSourceId"])}
        _until(lambda: agent.get_data_source(**names)["dataSource"]["status"] == "AVAILABLE")
        return names["dataSourceId"]

    def sync(self, knowledge_base: str, data_source: str) -> Document:
        """An ingestion job that has ended. Raises: ClientError when it may not start."""
        agent, names = self.client("bedrock-agent"), {"knowledgeBaseId": knowledge_base, "dataSourceId": data_source}
        job = agent.start_ingestion_job(**names)["ingestionJob"]["ingestionJobId"]

        def ended() -> Document | None:
            found: Document = agent.get_ingestion_job(**names, ingestionJobId=job)["ingestionJob"]
            return found if found["status"] in ("COMPLETE", "FAILED") else None

        return _until(ended)

    def ingest(self, tenant: TenantOnStore, data_source: str, document: Document) -> Document:
        """A document ingested directly; gives its detail once its status is final."""
        agent, names = (
            self.client("bedrock-agent"),
            {"knowledgeBaseId": tenant.knowledge_base, "dataSourceId": data_source},
        )
        given = agent.ingest_knowledge_base_documents(**names, documents=[document])["documentDetails"][0]
        identifier = given["identifier"]

        def ended() -> Document | None:
            found: Document = agent.get_knowledge_base_documents(**names, documentIdentifiers=[identifier])[
                "documentDetails"
            ][0]
            return found if found["status"] in ("INDEXED", "FAILED", "IGNORED") else None

        final = _until(ended)
        agent.delete_knowledge_base_documents(**names, documentIdentifiers=[identifier])
        _until(
            lambda: (
                agent.get_knowledge_base_documents(**names, documentIdentifiers=[identifier])["documentDetails"][0][
                    "status"
                ]
                == "NOT_FOUND"
            )
        )
        return final

    def delete_data_source(self, tenant: TenantOnStore, data_source: str) -> None:
        agent = self.client("bedrock-agent")
        agent.delete_data_source(knowledgeBaseId=tenant.knowledge_base, dataSourceId=data_source)
        _until(
            lambda: (
                data_source
                not in {
                    source["dataSourceId"]
                    for page in agent.get_paginator("list_data_sources").paginate(knowledgeBaseId=tenant.knowledge_base)
                    for source in page["dataSourceSummaries"]
                }
            )
        )

    def found(self, tenant: TenantOnStore) -> str:
        """What a search for the canary phrase finds with the tenant's knowledge base."""
        return json.dumps(
            self.client("bedrock-agent-runtime").retrieve(
                knowledgeBaseId=tenant.knowledge_base, retrievalQuery={"text": QUESTION}
            )["retrievalResults"]
        )

    def _walls(self, name: str, tenant_id: str, store: str) -> TenantWalls:
        region, account = self.configuration.region, self.configuration.account
        return TenantWalls(
            tenant_id=tenant_id,
            account=account,
            knowledge_base_arn=f"arn:aws:bedrock:{region}:{account}:knowledge-base/*",
            bucket=name,
            model_arn=self.model_arn,
            index_arn=f"arn:aws:s3vectors:{region}:{account}:bucket/{VECTOR_BUCKET}/index/{name}"
            if store == "S3_VECTORS"
            else "",
            collection_arn=self._collection_arn if store == "OPENSEARCH_SERVERLESS" else "",
        )

    def _make_index(self, name: str, tenant: TenantOnStore) -> Document:
        """Gives the storage configuration of a knowledge base on it."""
        if tenant.store == "S3_VECTORS":
            keys = {"nonFilterableMetadataKeys": ["AMAZON_BEDROCK_TEXT", "AMAZON_BEDROCK_METADATA"]}
            self.client("s3vectors").create_index(
                vectorBucketName=VECTOR_BUCKET,
                indexName=name,
                dataType="float32",
                dimension=1024,
                distanceMetric="cosine",
                metadataConfiguration=keys,
            )
            return {"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": tenant.walls.index_arn}}
        if tenant.store == "MANAGED":
            return {}
        search = self.client("opensearchserverless")
        rule = {
            "ResourceType": "index",
            "Resource": [f"index/{_COLLECTION}/{name}"],
            "Permission": ["aoss:DescribeIndex", "aoss:ReadDocument", "aoss:WriteDocument"],
        }
        admitted = [{"Rules": [rule], "Principal": [tenant.role_arn]}]
        search.create_access_policy(type="data", name=f"{tenant.tenant_id}-data", policy=json.dumps(admitted))
        fields = {"vector": {"type": "knn_vector", "dimension": 1024}}
        search.create_index(
            id=self._collection_arn.rpartition("/")[2],
            indexName=name,
            indexSchema={"mappings": {"properties": fields}},
        )
        mapping = {"vectorField": "vector", "textField": "text", "metadataField": "metadata"}
        settings = {"collectionArn": self._collection_arn, "vectorIndexName": name, "fieldMapping": mapping}
        return {"type": "OPENSEARCH_SERVERLESS", "opensearchServerlessConfiguration": settings}


def source_of(store: str, bucket: str) -> Document:
    """The configuration of a data source that reads a bucket."""
    if store != "MANAGED":
        return {"type": "S3", "s3Configuration": {"bucketArn": f"arn:aws:s3:::{bucket}"}}
    parameters = {"type": "S3", "version": "1", "connectionConfiguration": {"bucketName": bucket}}
    return {
        "type": "MANAGED_KNOWLEDGE_BASE_CONNECTOR",
        "managedKnowledgeBaseConnectorConfiguration": {"connectorParameters": parameters},
    }


# --- ways to reach another tenant's documents -------------------------------------------------------


@dataclass(frozen=True)
class Crossing:
    """A way from one tenant to another's documents, both on one store."""

    what: str
    attempt: Callable[[RoleRig, TenantOnStore, TenantOnStore], str | None]
    stores: tuple[str, ...] = STORES


def _s3_document(uri: str) -> Document:
    return {"content": {"dataSourceType": "S3", "s3": {"s3Location": {"uri": uri}}}}


def _name_a_document(rig: RoleRig, attacker: TenantOnStore, victim: TenantOnStore) -> str | None:
    return _unless_failed(rig.ingest(attacker, attacker.data_source, _s3_document(victim.secret)))


def _name_a_metadata_file(rig: RoleRig, attacker: TenantOnStore, victim: TenantOnStore) -> str | None:
    rig.put(victim.bucket, "secret.metadata.json", json.dumps({"metadataAttributes": {"secret": victim.word}}))
    rig.put(attacker.bucket, "garden.md", "The house has a garden.")
    document = _s3_document(f"s3://{attacker.bucket}/garden.md")
    location = {"type": "S3_LOCATION", "s3Location": {"uri": f"s3://{victim.bucket}/secret.metadata.json"}}
    return _unless_failed(rig.ingest(attacker, attacker.data_source, {**document, "metadata": location}))


def _name_a_custom_document(rig: RoleRig, attacker: TenantOnStore, victim: TenantOnStore) -> str | None:
    made = rig.make_data_source(attacker, "custom", {"type": "CUSTOM"})
    custom = {
        "customDocumentIdentifier": {"id": "house"},
        "sourceType": "S3_LOCATION",
        "s3Location": {"uri": victim.secret},
    }
    try:
        return _unless_failed(rig.ingest(attacker, made, {"content": {"dataSourceType": "CUSTOM", "custom": custom}}))
    finally:
        rig.delete_data_source(attacker, made)


def _repoint_the_data_source(rig: RoleRig, attacker: TenantOnStore, victim: TenantOnStore) -> str | None:
    names = {"knowledgeBaseId": attacker.knowledge_base, "dataSourceId": attacker.data_source, "name": "documents"}
    agent = rig.client("bedrock-agent")
    agent.update_data_source(**names, dataSourceConfiguration=source_of(attacker.store, victim.bucket))
    try:
        wrong = _unless_failed(rig.sync(attacker.knowledge_base, attacker.data_source)) or _canary(
            rig, attacker, victim
        )
    finally:
        agent.update_data_source(**names, dataSourceConfiguration=source_of(attacker.store, attacker.bucket))
        rig.sync(attacker.knowledge_base, attacker.data_source)
    return wrong


def _add_a_data_source(rig: RoleRig, attacker: TenantOnStore, victim: TenantOnStore) -> str | None:
    added = rig.make_data_source(attacker, "more", source_of(attacker.store, victim.bucket))
    try:
        return _unless_failed(rig.sync(attacker.knowledge_base, added)) or _canary(rig, attacker, victim)
    finally:
        rig.delete_data_source(attacker, added)


def _stand_on_anothers_index(rig: RoleRig, attacker: TenantOnStore, victim: TenantOnStore) -> str | None:
    """The tenant's own role and knowledge base's ARN would be right; the index is not."""
    return _unless_refused(rig, attacker, attacker.role_arn, victim.storage, anew=True)


def _borrow_anothers_role(rig: RoleRig, attacker: TenantOnStore, victim: TenantOnStore) -> str | None:
    return _unless_refused(rig, attacker, victim.role_arn, victim.storage)


def _take_anothers_role(rig: RoleRig, attacker: TenantOnStore, victim: TenantOnStore) -> str | None:
    agent = rig.client("bedrock-agent")
    base = agent.get_knowledge_base(knowledgeBaseId=attacker.knowledge_base)["knowledgeBase"]
    request = {
        "knowledgeBaseId": attacker.knowledge_base,
        "name": base["name"],
        **rig.configured(attacker.store, attacker.storage),
    }
    try:
        agent.update_knowledge_base(**request, roleArn=victim.role_arn)
    except ClientError as error:
        return _unless_of_the_role(error)
    _until(lambda: _status(rig, attacker) == "ACTIVE")
    agent.update_knowledge_base(**request, roleArn=attacker.role_arn)
    _until(lambda: _status(rig, attacker) == "ACTIVE")
    return "the knowledge base was given the other's role"


def _widen_the_role(rig: RoleRig, attacker: TenantOnStore, _victim: TenantOnStore) -> str | None:
    """Whoever may write a role's policies gives it everything: what is outside the fleet stays out of reach."""
    iam, name = rig.client("iam"), attacker.role_arn.rpartition("/")[2]
    iam.put_role_policy(RoleName=name, PolicyName="wide", PolicyDocument=json.dumps(_policy(_allow("*", "*"))))
    try:
        return _unless_failed(rig.ingest(attacker, attacker.data_source, _s3_document(f"s3://{OUTSIDE}/house.md")))
    finally:
        iam.delete_role_policy(RoleName=name, PolicyName="wide")


_WITH_INDEXES = ("S3_VECTORS", "OPENSEARCH_SERVERLESS")
CROSSINGS = (
    Crossing("a document named in direct ingestion", _name_a_document),
    Crossing("a metadata file named in direct ingestion", _name_a_metadata_file),
    Crossing("a custom document that lies in another's bucket", _name_a_custom_document, _WITH_INDEXES),
    Crossing("a data source repointed at another's bucket", _repoint_the_data_source),
    Crossing("a second data source on another's bucket", _add_a_data_source),
    Crossing("a knowledge base on another's index", _stand_on_anothers_index, _WITH_INDEXES),
    Crossing("a knowledge base with another's role", _borrow_anothers_role),
    Crossing("a knowledge base moved to another's role", _take_anothers_role),
    Crossing("a role widened beyond its boundary", _widen_the_role),
)


def breach(rig: RoleRig, crossing: Crossing, attacker: TenantOnStore, victim: TenantOnStore) -> str | None:
    """What the attempt has led to, if it has led anywhere."""
    wrong = crossing.attempt(rig, attacker, victim) or _canary(rig, attacker, victim)
    return wrong and f"{crossing.what}, {attacker.store}, {attacker.tenant_id} to {victim.tenant_id}: {wrong}"


def _canary(rig: RoleRig, attacker: TenantOnStore, victim: TenantOnStore) -> str | None:
    found = rig.found(attacker)
    return f"{found} is found" if victim.word in found or OUTSIDE in found else None


def _unless_failed(ended: Document) -> str | None:
    """Refused for want of a permission, and for nothing else."""
    reasons = f"{ended.get('failureReasons')} {ended.get('statusReason')}"
    right = ended["status"] == "FAILED" and ("not authorized to perform: s3:" in reasons)
    return None if right else f"ended {ended['status']}: {reasons}"


def _unless_refused(
    rig: RoleRig, attacker: TenantOnStore, role_arn: str, storage: Document, *, anew: bool = False
) -> str | None:
    agent, iam, name = rig.client("bedrock-agent"), rig.client("iam"), role_arn.rpartition("/")[2]
    trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    if anew:
        # As while a tenant is provisioned, when its knowledge base has no ARN yet.
        walls = TenantWalls(**{**vars(attacker.walls), "knowledge_base_arn": "arn:aws:bedrock:*:*:knowledge-base/*"})
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust_of_bedrock(walls)))
    try:
        made = rig.make_knowledge_base(f"{attacker.bucket}-other", role_arn, attacker.store, storage)
    except ClientError as error:
        return _unless_of_the_role(error)
    finally:
        if anew:
            iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
    agent.delete_knowledge_base(knowledgeBaseId=made)
    _until(lambda: made not in _knowledge_bases(agent))
    return "the knowledge base was made"


def _unless_of_the_role(error: ClientError) -> str | None:
    text = str(error)
    return None if "unable to assume the given role" in text or "security_exception" in text else text


def _knowledge_bases(agent: Any) -> set[str]:
    pages = agent.get_paginator("list_knowledge_bases").paginate()
    return {base["knowledgeBaseId"] for page in pages for base in page["knowledgeBaseSummaries"]}


def _status(rig: RoleRig, tenant: TenantOnStore) -> str:
    base = rig.client("bedrock-agent").get_knowledge_base(knowledgeBaseId=tenant.knowledge_base)
    return str(base["knowledgeBase"]["status"])


@contextmanager
def role_rig(folder: Path, documents_of: RoleDocumentsOf = narrow_roles) -> Iterator[RoleRig]:
    """Starts a local AWS in the folder, and ends it."""
    configuration = StackConfiguration(
        state_directory=folder,
        aws_port=free_port(),
        side_port=free_port(),
        authorization=True,
        speed=SPEED,
        # What is tried is what roles may do, not when.
        delays=AT_ONCE,
    )
    process.start(configuration)
    try:
        rig = RoleRig(configuration, documents_of)
        rig.build()
        yield rig
    finally:
        process.stop(folder)


def _until(look: Callable[[], Found | None]) -> Found:
    """What `look` finds, as soon as it is something. Raises: AssertionError."""
    return until(look, "nothing came", every=0.005)
