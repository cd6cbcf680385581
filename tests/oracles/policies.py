"""Every statement of every policy that is kbfleet's: of the templates, of docs/, and those that its code makes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from moto import mock_aws

from cli.verify.probes import probe_role_policies
from functions.ask import authorize
from kbfleet.adapters.answerers import RetrieveAndConverseAnswerer, RetrieveAndGenerateAnswerer
from kbfleet.adapters.s3 import S3DocumentBuckets
from kbfleet.adapters.s3_documents import DELETING, OPENING, document_policy
from kbfleet.adapters.s3_uploads import upload_policy, uploads_policy
from kbfleet.adapters.tenant_credentials import session_policy
from kbfleet.bootstrap import store_types
from kbfleet.domain.names import Life
from kbfleet.domain.service_role import ServiceRole
from tests.oracles.expansion import PATHS, Values, all_branches, document
from tests.support.answerer import askable
from tests.support.aws import client
from tests.support.clock import FakeClock
from tests.support.samples import ACCOUNT, ACME, NAMES, REGION
from tests.support.template import REPOSITORY

MADE_BY_CODE = {
    "cli/verify/probes.py",
    "functions/ask/authorize.py",
    "layers/kbfleet/kbfleet/adapters/s3.py",
    "layers/kbfleet/kbfleet/adapters/s3_documents.py",
    "layers/kbfleet/kbfleet/adapters/s3_uploads.py",
    "layers/kbfleet/kbfleet/adapters/tenant_credentials.py",
    "layers/kbfleet/kbfleet/domain/service_role.py",
}
"""The modules that make policies, all of which are here."""
_MODELS = ("us.amazon.nova-pro-v1:0", "cohere.rerank-v3-5:0")
_GIVEN = {
    "AlertTopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts",
    "IngestionModelArns": f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/{_MODELS[0]},"
    f"arn:aws:bedrock:{REGION}::foundation-model/{_MODELS[1]}",
    "AnswerModelArns": f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/{_MODELS[0]}",
}
"""Parameters that are resources of policies; of the others, any text will do."""
Statement = tuple[str, Mapping[str, Any]]
"""Where it is, and what it says."""
_KNOWLEDGE_BASES = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:knowledge-base"


def of_templates() -> Iterator[Statement]:
    """Of roles, policies, queues and functions, under every condition."""
    for path in PATHS:
        seen = set()
        for values in all_branches(path, _GIVEN):
            for name, kind, properties in values.every_resource():
                held = _permission(properties, values) if kind == "AWS::Lambda::Permission" else _held(properties)
                for statement in held:
                    said = (name, json.dumps(statement, sort_keys=True))
                    if said not in seen:
                        seen.add(said)
                        yield f"{path}: {name}", statement


def _permission(properties: Mapping[str, Any], values: Values) -> Iterator[Mapping[str, Any]]:
    resource = properties["FunctionName"]
    if not resource.startswith("arn:"):
        (resource,) = (
            values.value({"Fn::GetAtt": [name, "Arn"]})
            for name, made in document(PATHS[0])["Resources"].items()
            if made["Type"] == "AWS::Lambda::Function" and values.value({"Ref": name}) == resource
        )
    condition = {"ArnLike": {"aws:SourceArn": properties["SourceArn"]}} if "SourceArn" in properties else {}
    yield {"Effect": "Allow", "Action": properties["Action"], "Resource": resource, "Condition": condition}


def of_documents() -> Iterator[Statement]:
    """Of the policies in docs/ that people fill in, files and parts of pages."""
    for path in sorted((REPOSITORY / "docs").rglob("*.json")):
        for statement in _held(json.loads(path.read_text("utf-8"))):
            yield str(path.relative_to(REPOSITORY)), statement
    for path in sorted([*(REPOSITORY / "docs").rglob("*.md"), *REPOSITORY.glob("*.md")]):
        for block in re.findall(r"^```json\n(.*?)^```", path.read_text("utf-8"), re.MULTILINE | re.DOTALL):
            if '"Effect"' in block:
                written = json.loads(block)
                policy = {"Statement": written} if isinstance(written, list) else written
                for statement in _held(policy if "Statement" in policy else {"Statement": [policy]}):
                    yield str(path.relative_to(REPOSITORY)), statement


def of_code() -> Iterator[Statement]:
    """Of the policies that functions make when they run."""
    for where, policy in _made_by_code():
        for statement in _held(policy):
            yield where, statement


def _made_by_code() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for answerer in (RetrieveAndConverseAnswerer, RetrieveAndGenerateAnswerer):
        arn = f"{_KNOWLEDGE_BASES}/KB00000001"
        yield "tenant_credentials.py", session_policy(askable(ACME, "KB00000001"), arn, answerer.actions)
    bucket = NAMES.bucket(Life(ACME))
    yield "s3_uploads.py", upload_policy(f"arn:aws:s3:::{bucket}/", "rules and 規則.pdf")
    yield "s3_uploads.py", uploads_policy(f"arn:aws:s3:::{bucket}/", ["rules and 規則.pdf", "prices?.csv"])
    for actions in (OPENING, DELETING):
        yield "s3_documents.py", document_policy(actions, f"arn:aws:s3:::{bucket}/", "rules and 規則.pdf", ACCOUNT)
    method = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:a1b2c3d4e5/v1/POST/ask"
    for effect in ("Allow", "Deny"):
        yield "authorize.py", authorize._policy(effect, method, "acme")["policyDocument"]
    for policy in probe_role_policies(
        "aws",
        ACCOUNT,
        [f"{_KNOWLEDGE_BASES}/KB00000001"],
        {"aws:ResourceTag/kbfleet:tenant": "acme"},
        f"arn:aws:bedrock:{REGION}::foundation-model/amazon.titan-embed-text-v2:0",
        f"arn:aws:s3vectors:{REGION}:{ACCOUNT}:bucket/kbfleet-vectors/index/verify-probe",
    ):
        yield "probes.py", policy
    yield from _of_buckets(bucket)
    yield from _of_service_roles(bucket)


def _of_buckets(bucket: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with mock_aws():
        s3 = client("s3")
        buckets = S3DocumentBuckets(s3, account=ACCOUNT, region=REGION, clock=FakeClock())
        buckets.ensure(bucket, NAMES.tags(Life(ACME)))
        yield "s3.py", json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
        buckets.refuse_uploads(bucket)
        yield "s3.py", json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])


def _of_service_roles(bucket: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    met, _ = all_branches(PATHS[0], _GIVEN)
    boundary = met.properties("ServiceRoleBoundary")["PolicyDocument"]
    # The fleet's name in the boundary is the longest, and the tenant's bucket has to be the fleet's.
    own = met.value({"Fn::Sub": "${FleetName}"}) + bucket[bucket.index("-") :]
    for store in store_types().values():
        role = ServiceRole("role", own, NAMES.vector_indexes(Life(ACME)), store.role_services)
        yield "service_role.py", role.policy(boundary)
        yield "service_role.py", replace(role, models=frozenset(_MODELS), reranks=True).policy(boundary)
        yield "service_role.py", role.trust_policy(_KNOWLEDGE_BASES, ACCOUNT)


def _held(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        for part in value:
            yield from _held(part)
    elif isinstance(value, Mapping):
        for name, part in value.items():
            if name == "Statement":
                yield from part if isinstance(part, list) else [part]
            else:
                yield from _held(part)
