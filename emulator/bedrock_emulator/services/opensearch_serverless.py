"""Amazon OpenSearch Serverless: collections, their policies and indexes (service ``opensearchserverless``)."""

from __future__ import annotations

import base64
import json
import re
import secrets
import string
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from bedrock_emulator.account import Account
from bedrock_emulator.wire.errors import conflict, not_found, validation
from bedrock_emulator.wire.paging import page
from bedrock_emulator.world.records import Collection, Index, Policy

Members = dict[str, Any]

INVALID_STORAGE = "The knowledge base storage configuration provided is invalid... "

# Collections take minutes to become ACTIVE; how many is not documented.
CREATION = 150.0
DELETION = 30.0

_INDEX_NAME = re.compile(r"[a-z0-9][^A-Z\s,:\"*+/\\|?#><]*")
_LISTED = {"name", "status", "id", "arn", "kmsKeyArn"}


class OpenSearchServerless:
    """Operations by their names in the model, in snake case. Dates are milliseconds since 1970, as in the model."""

    def __init__(self, account: Account) -> None:
        """``account`` holds the state."""
        self._account = account

    # Collections

    def create_collection(self, given: Members) -> Members:
        """Status CREATING for minutes. Its name must be covered by an encryption policy."""
        account = self._account
        name = given["name"]
        if any(collection.name == name for collection in account.collections.values()):
            raise conflict(f"Collection with name: {name} already exists")
        encrypted = "encryptionConfig" in given or any(
            _covers(policy.document["Rules"], "collection", name)
            for policy in account.policies.values()
            if policy.kind == "encryption"
        )
        if not encrypted:
            raise validation(
                f"No matching security policy of encryption type found for collection name: {name}. "
                "Please create security policy of encryption type for this collection."
            )
        identifier = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(20))
        made = Collection(
            identifier=identifier,
            name=name,
            arn=account.arn("aoss", f"collection/{identifier}"),
            status="CREATING",
            created_at=account.now(),
            members={
                "type": given.get("type", "TIMESERIES"),
                "description": given.get("description"),
                "standbyReplicas": given.get("standbyReplicas", "ENABLED"),
                "deletionProtection": given.get("deletionProtection", "DISABLED"),
                "kmsKeyArn": given.get("encryptionConfig", {}).get("kmsKeyArn", "auto"),
            },
            tags={tag["key"]: tag["value"] for tag in given.get("tags", ())},
        )
        account.collections[identifier] = made

        account.agenda.at(account.now() + CREATION, partial(self._activate, made))
        return {"createCollectionDetail": _detail(made, self._account)}

    def batch_get_collection(self, given: Members) -> Members:
        """Collections by id or by name; those that are missing are reported beside."""
        by_id = "ids" in given
        if by_id == ("names" in given):
            raise validation("Either ids or names must be provided, but not both.")
        found, missing = [], []
        for wanted in given["ids"] if by_id else given["names"]:
            collection = next(
                (c for c in self._account.collections.values() if wanted == (c.identifier if by_id else c.name)), None
            )
            if collection is None:
                missing.append(
                    {"id" if by_id else "name": wanted, "errorCode": "NOT_FOUND", "errorMessage": "Not found"}
                )
                continue
            endpoint = self._account.endpoint("aoss", collection.identifier)
            reachable = {"collectionEndpoint": endpoint, "dashboardEndpoint": f"{endpoint}/_dashboards"}
            found.append({**_detail(collection, self._account), **(reachable if collection.status == "ACTIVE" else {})})
        return {"collectionDetails": found, "collectionErrorDetails": missing}

    def list_collections(self, given: Members) -> Members:
        """Those that match the filters, 100 a page unless asked otherwise."""
        wanted = given.get("collectionFilters", {})
        collections = [
            collection
            for collection in self._account.collections.values()
            if wanted.get("name", collection.name) == collection.name
            and wanted.get("status", collection.status) == collection.status
        ]
        scope = f"ListCollections {wanted}"
        shown, token = page(collections, scope, given.get("maxResults"), given.get("nextToken"), 100)
        summaries = [
            {k: v for k, v in _detail(collection, self._account).items() if k in _LISTED} for collection in shown
        ]
        return {"collectionSummaries": summaries, "nextToken": token}

    def delete_collection(self, given: Members) -> Members:
        """Status DELETING, with every index in it."""
        account = self._account
        collection = self._collection(given["id"])
        if collection.members["deletionProtection"] == "ENABLED":
            raise validation(f"Collection with ID {collection.identifier} has deletion protection enabled.")
        collection.status = "DELETING"
        account.agenda.at(account.now() + DELETION, partial(self._remove, collection))
        detail = {"id": collection.identifier, "name": collection.name, "status": collection.status}
        return {"deleteCollectionDetail": detail}

    def resume(self) -> None:
        """Carry on with what was under way when the state was kept."""
        for collection in self._account.collections.values():
            if collection.status == "CREATING":
                self._account.agenda.at(self._account.now() + CREATION, partial(self._activate, collection))
            elif collection.status == "DELETING":
                self._account.agenda.at(self._account.now() + DELETION, partial(self._remove, collection))

    def _activate(self, collection: Collection) -> None:
        if collection.status == "CREATING":
            collection.status = "ACTIVE"

    def _remove(self, collection: Collection) -> None:
        account = self._account
        account.collections.pop(collection.identifier, None)
        for key in [key for key in account.collection_indexes if key.startswith(f"{collection.arn}/index/")]:
            del account.collection_indexes[key]
            account.drop_contents(key)

    def tag_resource(self, given: Members) -> Members:
        """Adds or replaces tags of a collection."""
        self._by_arn(given["resourceArn"]).tags.update({tag["key"]: tag["value"] for tag in given["tags"]})
        return {}

    def untag_resource(self, given: Members) -> Members:
        """Removes tags of a collection; absent keys are no error."""
        tags = self._by_arn(given["resourceArn"]).tags
        for key in given["tagKeys"]:
            tags.pop(key, None)
        return {}

    def list_tags_for_resource(self, given: Members) -> Members:
        """The tags of a collection."""
        tags = self._by_arn(given["resourceArn"]).tags
        return {"tags": [{"key": key, "value": value} for key, value in tags.items()]}

    # Indexes

    def create_index(self, given: Members) -> Members:
        """An index with its schema: ``settings`` and ``mappings`` as in OpenSearch."""
        account = self._account
        collection = self._collection(given["id"])
        if collection.status != "ACTIVE":
            raise validation(f"Collection with ID {collection.identifier} is not active.")
        name = given["indexName"]
        if not _INDEX_NAME.fullmatch(name):
            raise validation("Index names must be lowercase and can't begin with underscores (_) or hyphens (-).")
        key = f"{collection.arn}/index/{name}"
        if key in account.collection_indexes:
            raise conflict(f"Index {name} already exists.")
        fault = account.faults.of_effect("index_not_visible", "CreateIndex", given)
        now = account.now()
        account.collection_indexes[key] = Index(
            key=key,
            name=name,
            dimension=None,
            distance_metric="",
            created_at=now,
            visible_from=now + (fault.seconds if fault else 0.0),
            definition=_schema(given.get("indexSchema", {})),
        )
        return {}

    def get_index(self, given: Members) -> Members:
        """Its schema, with its creation time among the settings, as OpenSearch gives it; whether this API does so, too,
        is not documented."""
        index = self._index(given)
        settings = index.definition.get("settings", {})
        described = {**settings.get("index", {}), "creation_date": str(_milliseconds(index.created_at, self._account))}
        return {"indexSchema": {**index.definition, "settings": {**settings, "index": described}}}

    def update_index(self, given: Members) -> Members:
        """Adds fields; a field that is there can't change its type."""
        index = self._index(given)
        added = _fields(_schema(given.get("indexSchema", {})))
        held = _fields(index.definition)
        for name, field in added.items():
            if name in held and held[name].get("type") != field.get("type"):
                raise validation(f"mapper [{name}] cannot be changed from type [{held[name].get('type')}]")
        mappings = {**index.definition.get("mappings", {}), "properties": {**held, **added}}
        index.definition = {**index.definition, "mappings": mappings}
        return {}

    def delete_index(self, given: Members) -> Members:
        """Deletes the index and what is in it."""
        index = self._index(given)
        del self._account.collection_indexes[index.key]
        self._account.drop_contents(index.key)
        return {}

    # Policies

    def create_security_policy(self, given: Members) -> Members:
        """An encryption or network policy."""
        return {"securityPolicyDetail": self._create_policy(given)}

    def create_access_policy(self, given: Members) -> Members:
        """A data access policy."""
        return {"accessPolicyDetail": self._create_policy(given)}

    def get_security_policy(self, given: Members) -> Members:
        """ResourceNotFoundException when there is none."""
        return {"securityPolicyDetail": _policy(self._policy(given), self._account)}

    def get_access_policy(self, given: Members) -> Members:
        """ResourceNotFoundException when there is none."""
        return {"accessPolicyDetail": _policy(self._policy(given), self._account)}

    def update_security_policy(self, given: Members) -> Members:
        """Replaces the policy; the version must be the present one."""
        return {"securityPolicyDetail": self._update_policy(given)}

    def update_access_policy(self, given: Members) -> Members:
        """Replaces the policy; the version must be the present one."""
        return {"accessPolicyDetail": self._update_policy(given)}

    def delete_security_policy(self, given: Members) -> Members:
        """ResourceNotFoundException when there is none."""
        self._delete_policy(given)
        return {}

    def delete_access_policy(self, given: Members) -> Members:
        """ResourceNotFoundException when there is none."""
        self._delete_policy(given)
        return {}

    def list_security_policies(self, given: Members) -> Members:
        """Those of a type."""
        summaries, token = self._list_policies(given)
        return {"securityPolicySummaries": summaries, "nextToken": token}

    def list_access_policies(self, given: Members) -> Members:
        """Those of a type."""
        summaries, token = self._list_policies(given)
        return {"accessPolicySummaries": summaries, "nextToken": token}

    def _create_policy(self, given: Members) -> Members:
        key = (given["type"], given["name"])
        if key in self._account.policies:
            raise conflict(f"Policy with name {given['name']} and type {given['type']} already exists")
        now = self._account.now()
        document = _document(given["policy"], given["type"])
        made = Policy(given["type"], given["name"], _version(now), given.get("description"), document, now, now)
        self._account.policies[key] = made
        return _policy(made, self._account)

    def _update_policy(self, given: Members) -> Members:
        policy = self._policy(given)
        if policy.version != given["policyVersion"]:
            raise conflict("The policy version is not the latest one.")
        if "policy" in given:
            policy.document = _document(given["policy"], policy.kind)
        policy.description = given.get("description", policy.description)
        policy.updated_at = self._account.now()
        policy.version = _version(policy.updated_at)
        return _policy(policy, self._account)

    def _delete_policy(self, given: Members) -> None:
        policy = self._policy(given)
        del self._account.policies[policy.kind, policy.name]

    def _list_policies(self, given: Members) -> tuple[list[Members], str | None]:
        policies = [policy for policy in self._account.policies.values() if policy.kind == given["type"]]
        scope = f"ListPolicies {given['type']}"
        shown, token = page(policies, scope, given.get("maxResults"), given.get("nextToken"), 100)
        return [{k: v for k, v in _policy(policy, self._account).items() if k != "policy"} for policy in shown], token

    def _policy(self, given: Members) -> Policy:
        found = self._account.policies.get((given["type"], given["name"]))
        if found is None:
            raise not_found(f"Policy with name {given['name']} and type {given['type']} is not found")
        return found

    def _collection(self, identifier: str) -> Collection:
        found = self._account.collections.get(identifier)
        if found is None:
            raise not_found(f"Collection with ID {identifier} cannot be found.")
        return found

    def _by_arn(self, arn: str) -> Collection:
        return self._collection(arn.rpartition("/")[2])

    def _index(self, given: Members) -> Index:
        collection = self._collection(given["id"])
        found = self._account.collection_indexes.get(f"{collection.arn}/index/{given['indexName']}")
        if found is None:
            raise not_found(f"Index {given['indexName']} cannot be found.")
        return found


def check_store(account: Account, settings: Mapping[str, Any], role_arn: str, dimension: int | None) -> None:
    """Whether a knowledge base's role can use its index, as Bedrock checks when the knowledge base is created.

    ServiceError ValidationException otherwise: 403 when no data access policy names the role, else what is amiss.
    """
    key = f"{settings['collectionArn']}/index/{settings['vectorIndexName']}"
    if not admits(account, key, role_arn, "aoss:DescribeIndex"):
        raise validation(f"{INVALID_STORAGE}Request failed: [security_exception] 403 Forbidden")
    index = account.collection_indexes.get(key)
    if index is None or index.visible_from > account.now():
        raise validation(
            f"{INVALID_STORAGE}Dependency error document status code: 404, "
            f"error message: no such index [{settings['vectorIndexName']}]"
        )
    fields = _fields(index.definition)
    vector = fields.get(settings["fieldMapping"]["vectorField"], {})
    # The words for a wrong field are not reported; inferred.
    if vector.get("type") != "knn_vector":
        raise validation(f"{INVALID_STORAGE}The vector field is not of type knn_vector.")
    if dimension and vector.get("dimension") != dimension:
        raise validation(f"{INVALID_STORAGE}The vector field has dimension {vector.get('dimension')}, not {dimension}.")


def admits(account: Account, key: str, role_arn: str, permission: str) -> bool:
    """Whether a data access policy gives the role a permission on the index of that key.

    A rule that names no permissions, which the service does not take, gives all of them here.
    """
    arn, _, name = key.partition("/index/")
    with account.lock:
        collection = next((c for c in account.collections.values() if c.arn == arn), None)
        rules = [
            rule
            for policy in account.policies.values()
            if policy.kind == "data"
            for rule_set in policy.document
            if role_arn in rule_set.get("Principal", ())
            for rule in rule_set["Rules"]
            if any(fnmatchcase(permission, pattern) for pattern in rule.get("Permission", ("*",)))
        ]
    return _covers(rules, "index", f"{collection.name if collection else ''}/{name}")


def _covers(rules: list[Members], kind: str, name: str) -> bool:
    return any(
        fnmatchcase(f"{kind}/{name}", resource)
        for rule in rules
        if rule.get("ResourceType") == kind
        for resource in rule.get("Resource", ())
    )


def _document(text: str, kind: str) -> Any:
    try:
        document = json.loads(text)
    except ValueError:
        raise validation("Policy json is invalid") from None
    rule_sets = [document] if kind == "encryption" else document
    if not isinstance(rule_sets, list) or not all(_is_rule_set(rule_set) for rule_set in rule_sets):
        raise validation(f"Policy json is invalid, error: it is not a policy of type {kind}")
    return document


def _is_rule_set(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("Rules"), list)
        and all(isinstance(rule, dict) and _are_texts(rule.get("Resource", [])) for rule in value["Rules"])
        and _are_texts(value.get("Principal", []))
    )


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _schema(schema: Any) -> dict[str, Any]:
    if not isinstance(schema, dict):
        raise validation("indexSchema must be a JSON object.")
    mappings, settings = schema.get("mappings", {}), schema.get("settings", {})
    if not isinstance(mappings, dict):
        raise validation("mappings must be a JSON object.")
    if not isinstance(settings, dict) or not isinstance(settings.get("index", {}), dict):
        raise validation("settings and settings.index must be JSON objects.")
    fields = mappings.get("properties", {})
    if not isinstance(fields, dict) or not all(isinstance(field, dict) for field in fields.values()):
        raise validation("mappings.properties must be a JSON object of fields.")
    return schema


def _fields(schema: Mapping[str, Any]) -> dict[str, Any]:
    return dict(schema.get("mappings", {}).get("properties", {}))


def _version(at: float) -> str:
    return base64.b64encode(f"{int(at * 1000)}_{secrets.randbelow(10)}".encode()).decode()


def _milliseconds(at: float, account: Account) -> int:
    """Times that are numbers in this API, so that no timestamp is recognised in them."""
    return int(account.clock.wall_time(at) * 1000)


def _policy(policy: Policy, account: Account) -> Members:
    return {
        "type": policy.kind,
        "name": policy.name,
        "policyVersion": policy.version,
        "description": policy.description,
        "policy": policy.document,
        "createdDate": _milliseconds(policy.created_at, account),
        "lastModifiedDate": _milliseconds(policy.updated_at, account),
    }


def _detail(collection: Collection, account: Account) -> Members:
    return {
        "id": collection.identifier,
        "name": collection.name,
        "arn": collection.arn,
        "status": collection.status,
        "createdDate": _milliseconds(collection.created_at, account),
        "lastModifiedDate": _milliseconds(collection.created_at, account),
        **collection.members,
    }
