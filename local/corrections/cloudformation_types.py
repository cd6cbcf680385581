"""CloudFormation makes resource types that MiniStack rejects, and the whole template with them.

`AWS::S3Vectors::VectorBucket` and `::Index` and the OpenSearch Serverless types are made in the Bedrock emulator,
`AWS::SQS::QueueInlinePolicy` and `AWS::Events::EventBusPolicy` in MiniStack, all of them through their AWS APIs. What
`Ref` and `Fn::GetAtt` give is in the CloudFormation template reference of each type, under "Return values".
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
from botocore.exceptions import ClientError
from ministack.services import eventbridge
from ministack.services.cloudformation import provisioners, stacks

from local.stack.configuration import ACCESS_KEY, StackConfiguration

Properties = dict[str, Any]
# The physical id, which is what Ref gives, and the attributes for Fn::GetAtt.
Made = tuple[str, dict[str, str]]
Clients = Callable[[str], Any]
_POLL_SECONDS = 0.1
MISSING = {"NotFoundException", "ResourceNotFoundException", "AWS.SimpleQueueService.NonExistentQueue"}


def clients_of(configuration: StackConfiguration) -> Clients:
    """Clients of this very server, which ask for what a template wants as anybody does."""

    def client(service: str) -> Any:
        return boto3.session.Session().client(  # type: ignore[call-overload]
            service,
            region_name=configuration.region,
            endpoint_url=configuration.aws_url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=configuration.secret_key,
        )

    return client


def apply(configuration: StackConfiguration) -> None:
    clients = clients_of(configuration)
    types: dict[str, ResourceType] = {
        "AWS::S3Vectors::VectorBucket": VectorBucket(clients),
        "AWS::S3Vectors::Index": VectorIndex(clients),
        "AWS::OpenSearchServerless::Collection": Collection(clients),
        "AWS::OpenSearchServerless::SecurityPolicy": ServerlessPolicy(clients, "security_policy"),
        "AWS::OpenSearchServerless::AccessPolicy": ServerlessPolicy(clients, "access_policy"),
        "AWS::SQS::QueueInlinePolicy": QueueInlinePolicy(clients),
        "AWS::Events::EventBusPolicy": EventBusPolicy(clients),
    }
    for name, resource_type in types.items():
        provisioners._RESOURCE_HANDLERS[name] = {
            "create": resource_type.create,
            "update": resource_type.update,
            "delete": resource_type.delete,
        }
    blocks_event_loop = stacks._runs_on_worker_thread
    # They call this very server, which could not answer while its event loop waits for them.
    stacks._runs_on_worker_thread = lambda name: name in types or blocks_event_loop(name)


class ResourceType:
    """Makes, changes and deletes the resources of one type. By default every change replaces the resource."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def create(self, logical_id: str, properties: Properties, stack: str) -> Made:
        raise NotImplementedError

    def update(self, physical_id: str, old: Properties, new: Properties, stack: str) -> Made:
        if self.must_replace(old, new):
            made = self.create(physical_id, new, stack)
            if made[0] != physical_id:
                self.delete(physical_id, old)
            return made
        return self.change(physical_id, new)

    def must_replace(self, old: Properties, new: Properties) -> bool:
        return _without_tags(old) != _without_tags(new)

    def change(self, physical_id: str, properties: Properties) -> Made:
        raise NotImplementedError

    def delete(self, physical_id: str, properties: Properties) -> None:
        raise NotImplementedError


class VectorBucket(ResourceType):
    """A bucket of S3 Vectors; every property but the tags replaces it."""

    def create(self, logical_id: str, properties: Properties, stack: str) -> Made:
        name = properties.get("VectorBucketName") or provisioners._physical_name(
            stack, logical_id, lowercase=True, max_len=63
        )
        arguments: dict[str, Any] = {"vectorBucketName": name, "tags": _tags(properties)}
        if encryption := _lower_keys(properties.get("EncryptionConfiguration")):
            arguments["encryptionConfiguration"] = encryption
        return self._made(self._clients("s3vectors").create_vector_bucket(**arguments)["vectorBucketArn"])

    def change(self, physical_id: str, properties: Properties) -> Made:
        self._clients("s3vectors").tag_resource(resourceArn=physical_id, tags=_tags(properties))
        return self._made(physical_id)

    def delete(self, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        with _missing_is_fine():
            self._clients("s3vectors").delete_vector_bucket(vectorBucketArn=physical_id)

    @staticmethod
    def _made(arn: str) -> Made:
        return arn, {"VectorBucketArn": arn}


class VectorIndex(ResourceType):
    """An index of S3 Vectors; every property but the tags replaces it."""

    def create(self, logical_id: str, properties: Properties, stack: str) -> Made:
        given = _lower_keys({key: value for key, value in properties.items() if key != "Tags"})
        given.setdefault("indexName", provisioners._physical_name(stack, logical_id, lowercase=True, max_len=63))
        given["dimension"] = int(given["dimension"])
        arn = self._clients("s3vectors").create_index(**given, tags=_tags(properties))["indexArn"]
        return arn, {"IndexArn": arn}

    def change(self, physical_id: str, properties: Properties) -> Made:
        self._clients("s3vectors").tag_resource(resourceArn=physical_id, tags=_tags(properties))
        return physical_id, {"IndexArn": physical_id}

    def delete(self, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        with _missing_is_fine():
            self._clients("s3vectors").delete_index(indexArn=physical_id)


class Collection(ResourceType):
    """A collection of OpenSearch Serverless; its name and type replace it."""

    def create(self, logical_id: str, properties: Properties, stack: str) -> Made:  # noqa: ARG002
        identifier = self._clients("opensearchserverless").create_collection(
            **{"type": "SEARCH", **_lower_keys(properties)}
        )["createCollectionDetail"]["id"]
        # As CloudFormation does: what depends on the collection finds it ACTIVE.
        while self._details(identifier)["status"] == "CREATING":
            time.sleep(_POLL_SECONDS)
        return self._made(identifier)

    def must_replace(self, old: Properties, new: Properties) -> bool:
        return any(old.get(key) != new.get(key) for key in ("Name", "Type", "StandbyReplicas"))

    def change(self, physical_id: str, properties: Properties) -> Made:
        self._clients("opensearchserverless").update_collection(
            id=physical_id, description=properties.get("Description", "")
        )
        return self._made(physical_id)

    def delete(self, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        with _missing_is_fine():
            self._clients("opensearchserverless").delete_collection(id=physical_id)

    def _made(self, identifier: str) -> Made:
        details = self._details(identifier)
        names = {"Id": "id", "Arn": "arn", "CollectionEndpoint": "collectionEndpoint"}
        names["DashboardEndpoint"] = "dashboardEndpoint"
        return identifier, {attribute: details.get(key, "") for attribute, key in names.items()}

    def _details(self, identifier: str) -> dict[str, Any]:
        found = self._clients("opensearchserverless").batch_get_collection(ids=[identifier])["collectionDetails"]
        details: dict[str, Any] = found[0]
        return details


class ServerlessPolicy(ResourceType):
    """A security or access policy of OpenSearch Serverless; its name and type replace it."""

    def __init__(self, clients: Clients, kind: str) -> None:
        super().__init__(clients)
        self._kind = kind

    def create(self, logical_id: str, properties: Properties, stack: str) -> Made:  # noqa: ARG002
        self._call("create", name=properties["Name"], type=properties["Type"], policy=properties["Policy"])
        return properties["Name"], {}

    def must_replace(self, old: Properties, new: Properties) -> bool:
        return any(old.get(key) != new.get(key) for key in ("Name", "Type"))

    def change(self, physical_id: str, properties: Properties) -> Made:
        current = self._call("get", name=physical_id, type=properties["Type"])
        detail = next(value for key, value in current.items() if key.endswith("PolicyDetail"))
        self._call(
            "update",
            name=physical_id,
            type=properties["Type"],
            policyVersion=detail["policyVersion"],
            policy=properties["Policy"],
        )
        return physical_id, {}

    def delete(self, physical_id: str, properties: Properties) -> None:
        with _missing_is_fine():
            self._call("delete", name=physical_id, type=properties["Type"])

    def _call(self, verb: str, **arguments: Any) -> dict[str, Any]:
        result: dict[str, Any] = getattr(self._clients("opensearchserverless"), f"{verb}_{self._kind}")(**arguments)
        return result


class QueueInlinePolicy(ResourceType):
    """The policy of one queue; another queue replaces it."""

    def create(self, logical_id: str, properties: Properties, stack: str) -> Made:  # noqa: ARG002
        return self.change(properties["Queue"], properties)

    def must_replace(self, old: Properties, new: Properties) -> bool:
        return bool(old["Queue"] != new["Queue"])

    def change(self, physical_id: str, properties: Properties) -> Made:
        self._set(physical_id, json.dumps(properties["PolicyDocument"]))
        return physical_id, {}

    def delete(self, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        with _missing_is_fine():
            self._set(physical_id, "")

    def _set(self, queue: str, policy: str) -> None:
        self._clients("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})


class EventBusPolicy(ResourceType):
    """One statement of an event bus's policy; the bus and the statement's id replace it."""

    def create(self, logical_id: str, properties: Properties, stack: str) -> Made:  # noqa: ARG002
        return self.change(f"{_bus(properties)}|{properties['StatementId']}", properties)

    def must_replace(self, old: Properties, new: Properties) -> bool:
        return any(old.get(key) != new.get(key) for key in ("EventBusName", "StatementId"))

    def change(self, physical_id: str, properties: Properties) -> Made:
        # Not by PutPermission: MiniStack's builds a statement of its own and drops a given one.
        statements = self._other_statements(physical_id)
        statements.append({**properties["Statement"], "Sid": properties["StatementId"]})
        return physical_id, {}

    def delete(self, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        self._other_statements(physical_id)

    @staticmethod
    def _other_statements(physical_id: str) -> list[dict[str, Any]]:
        bus, _, identifier = physical_id.partition("|")
        policy = eventbridge._event_bus_policies.setdefault(bus, {"Version": "2012-10-17", "Statement": []})
        policy["Statement"] = [statement for statement in policy["Statement"] if statement.get("Sid") != identifier]
        statements: list[dict[str, Any]] = policy["Statement"]
        return statements


def _bus(properties: Properties) -> str:
    return str(properties.get("EventBusName", "default"))


def _tags(properties: Properties) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in properties.get("Tags") or []}


def _without_tags(properties: Properties) -> Properties:
    return {key: value for key, value in properties.items() if key != "Tags"}


def _lower_keys(value: Any) -> Any:
    """CloudFormation's property names as the APIs of these services spell them: `SseType` is `sseType`."""
    if isinstance(value, dict):
        return {key[0].lower() + key[1:]: _lower_keys(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_lower_keys(entry) for entry in value]
    return value


@contextlib.contextmanager
def _missing_is_fine() -> Iterator[None]:
    """Deleting what is gone already succeeds, as CloudFormation has it."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in MISSING:
            raise
