"""CloudFormation takes in resources that are there, also of the types that MiniStack's own imports do not know.

An import change set names each resource by its type's primary identifier; one that does not exist fails the change set
("Import AWS resources into a CloudFormation stack", AWS CloudFormation user guide). The identifiers are those of the
registry's schemas: `VectorBucketArn`, `Id` of a collection, `Type` and `Name` of a policy.

MiniStack looks resources up on its event loop, so these are looked up in the Bedrock emulator itself, not by a call of
this very server.
"""

import json
from collections.abc import Callable
from typing import Any, Protocol

from ministack.services.cloudformation import changesets, provisioners

from bedrock_emulator import Request, Response
from local.corrections.cloudformation_types import Made
from local.stack.configuration import StackConfiguration

Identifier = dict[str, str]
Details = dict[str, Any]


class Emulator(Protocol):
    def handle(self, service: str, request: Request) -> Response: ...


_emulators: list[Emulator] = []


def look_into(emulator: Emulator) -> None:
    """Says where the resources are. Called once it is there, which is after `apply`."""
    _emulators[:] = [emulator]


def apply(configuration: StackConfiguration) -> None:  # noqa: ARG001
    _register("AWS::S3Vectors::VectorBucket", ("VectorBucketArn",), _vector_bucket)
    _register("AWS::OpenSearchServerless::Collection", ("Id",), _collection)
    _register("AWS::OpenSearchServerless::SecurityPolicy", ("Type", "Name"), _security_policy)


def _register(name: str, keys: tuple[str, ...], find: Callable[[Identifier], Made | None]) -> None:
    def problem(*values: str) -> str | None:
        if find(dict(zip(keys, values, strict=True))):
            return None
        reason: str = changesets._IMPORT_NOT_FOUND.format(type=name, value="|".join(values))
        return reason

    changesets._IMPORT_LOOKUPS[name] = (keys, problem)
    provisioners._RESOURCE_HANDLERS[name]["import"] = find


def _vector_bucket(identifier: Identifier) -> Made | None:
    arn = identifier["VectorBucketArn"]
    found = _ask("s3vectors", "GetVectorBucket", {"vectorBucketArn": arn})
    return (arn, {"VectorBucketArn": arn}) if found else None


def _collection(identifier: Identifier) -> Made | None:
    found = _ask("opensearchserverless", "BatchGetCollection", {"ids": [identifier["Id"]]}) or {}
    for details in found.get("collectionDetails", []):
        names = {"Id": "id", "Arn": "arn", "CollectionEndpoint": "collectionEndpoint"}
        return identifier["Id"], {attribute: details.get(key, "") for attribute, key in names.items()}
    return None


def _security_policy(identifier: Identifier) -> Made | None:
    wanted = {"type": identifier["Type"], "name": identifier["Name"]}
    return (identifier["Name"], {}) if _ask("opensearchserverless", "GetSecurityPolicy", wanted) else None


def _ask(service: str, operation: str, members: Details) -> Details | None:
    """What the emulator answers; `None` where it refuses."""
    headers = {"x-amz-target": f"OpenSearchServerless.{operation}", "content-type": "application/x-amz-json-1.0"}
    path = "/" if service == "opensearchserverless" else f"/{operation}"
    [emulator] = _emulators
    answer = emulator.handle(service, Request("POST", path, "", headers, json.dumps(members).encode()))
    if answer.status != 200:
        return None
    details: Details = json.loads(answer.body)
    return details
