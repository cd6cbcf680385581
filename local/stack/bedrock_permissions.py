"""What a caller must be permitted for the services of the Bedrock emulator, for MiniStack's IAM evaluator.

MiniStack evaluates one permission a call, named like the operation. Sources: "Actions, resources, and condition keys"
for Amazon Bedrock, Amazon S3 Vectors and Amazon OpenSearch Serverless (service authorization reference); "Logging that
requires additional permissions [V2]" (Amazon CloudWatch Logs user guide); "Set up permissions for a user or role to
create and manage knowledge bases" and "Prerequisites for running model inference" (Amazon Bedrock user guide); "Grant a
user permissions to pass a role to an AWS service" (IAM user guide). That a vector index with tags needs TagResource is
said by the botocore model; that a knowledge base with tags does, that IngestKnowledgeBaseDocuments needs
StartIngestionJob, and that the index operations of OpenSearch Serverless need APIAccessAll, is reported by users.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

from ministack import app
from ministack.core import iam_actions, iam_evaluator, responses, router
from ministack.services import tagging

Query = dict[str, list[str]]
Answer = tuple[int, dict[str, str], bytes]
CONVERSING = {
    "bedrock:Converse": "bedrock:InvokeModel",
    "bedrock:ConverseStream": "bedrock:InvokeModelWithResponseStream",
}
_GUARDED = {
    *CONVERSING.values(),
    "bedrock:Retrieve",
    "bedrock:RetrieveAndGenerate",
    "bedrock:RetrieveAndGenerateStream",
}


def teach() -> None:
    """Teaches MiniStack's router and evaluator S3 Vectors, which it does not have, and Converse."""
    router.SERVICE_PATTERNS["s3vectors"] = {"host_patterns": [r"^s3vectors\."], "credential_scope": "s3vectors"}
    iam_actions.SERVICE_TO_IAM_NAMESPACE["s3vectors"] = "s3vectors"
    iam_actions._BOTOCORE_SERVICE_MAP["s3vectors"] = ["s3vectors"]
    extract_iam_action, extract_resource_arn = iam_actions.extract_iam_action, iam_actions.extract_resource_arn

    def iam_action(*request: Any) -> str | None:
        action: str | None = extract_iam_action(*request)
        return CONVERSING.get(action or "", action)

    def resource_arn(service: str, method: str, path: str, headers: Any, body: bytes, *rest: Any) -> str:
        _, region, account = rest
        if service == "s3vectors":
            return _s3_vectors_arn(_members(body), region, account)
        if path.startswith("/tags/") and service == "bedrock-agent":
            return unquote(path.removeprefix("/tags/"))
        if service == "bedrock-runtime":
            return _model_arn(unquote(path.split("/", 2)[2].rpartition("/")[0]), region)
        return str(extract_resource_arn(service, method, path, headers, body, *rest))

    iam_actions.extract_iam_action = iam_action
    iam_actions.extract_resource_arn = resource_arn


def know_tags(of_knowledge_bases: Callable[[], dict[str, dict[str, str]]]) -> None:
    """Lets policies distinguish knowledge bases by their tags: `aws:ResourceTag`.

    Args:
        of_knowledge_bases: gives their tags by their ARNs.
    """

    def tags() -> Iterator[tuple[str, list[dict[str, str]]]]:
        for arn, of_this in of_knowledge_bases().items():
            yield arn, [{"Key": key, "Value": value} for key, value in of_this.items()]

    tagging._RESOURCE_TAG_COLLECTORS["bedrock"] = tags


def refusal(
    service: str, method: str, path: str, headers: dict[str, str], body: bytes, query_params: Query
) -> Answer | None:
    """AccessDeniedException, when the caller lacks a permission that the call needs beside that of its own name."""
    if not app.AUTH:
        return None
    region = router.extract_region(headers)
    action = iam_actions.extract_iam_action(service, method, path, headers, body, query_params)
    for needed, resource in _further_permissions(action, path, body, region, responses.get_account_id()):
        key = router.extract_access_key_id(headers, query_params)
        if denied := iam_evaluator.enforce(
            key, needed, service, region, resource_arn=resource, service_context=context_of(needed)
        ):
            answer: Answer = iam_actions.access_denied_response(
                service, needed, denied.principal_arn, str(uuid4()), headers=headers, resource_arn=resource
            )
            return answer
    return None


def context_of(needed: str) -> dict[str, str]:
    """Condition keys of a permission that a call needs beside that of its own name. Source: Amazon Bedrock user guide,
    Set up permissions for a user or role to create and manage knowledge bases."""
    return {"iam:PassedToService": "bedrock.amazonaws.com"} if needed == "iam:PassRole" else {}


def _further_permissions(
    action: str | None, path: str, body: bytes, region: str, account: str
) -> Iterator[tuple[str, str]]:
    """What a call needs beside the permission of its own name, as (action, resource)."""
    knowledge_base = f"arn:aws:bedrock:{region}:{account}:knowledge-base"
    if action in ("bedrock:CreateKnowledgeBase", "bedrock:UpdateKnowledgeBase"):
        yield "iam:PassRole", str(_members(body).get("roleArn"))
    if action == "bedrock:CreateKnowledgeBase" and _members(body).get("tags"):
        yield "bedrock:TagResource", f"{knowledge_base}/*"
    elif action == "s3vectors:CreateIndex" and _members(body).get("tags"):
        yield "s3vectors:TagResource", _s3_vectors_arn(_members(body), region, account)
    elif action in ("aoss:CreateIndex", "aoss:GetIndex", "aoss:UpdateIndex", "aoss:DeleteIndex"):
        yield "aoss:APIAccessAll", f"arn:aws:aoss:{region}:{account}:collection/{_members(body).get('id')}"
    elif action == "bedrock:IngestKnowledgeBaseDocuments":
        yield "bedrock:StartIngestionJob", f"{knowledge_base}/{path.split('/')[2]}"
    elif action in ("bedrock:RetrieveAndGenerate", "bedrock:RetrieveAndGenerateStream"):
        configuration = _members(body).get("retrieveAndGenerateConfiguration") or {}
        asked = configuration.get("knowledgeBaseConfiguration") or {}
        yield "bedrock:Retrieve", f"{knowledge_base}/{asked.get('knowledgeBaseId')}"
        yield "bedrock:InvokeModel", _model_arn(str(asked.get("modelArn")), region)
        if reranker := _reranker(_members(body)):
            yield "bedrock:Rerank", "*"
            yield "bedrock:InvokeModel", reranker
    if action in _GUARDED and (guardrail := _guardrail(_members(body))):
        arn = guardrail if guardrail.startswith("arn:") else f"arn:aws:bedrock:{region}:{account}:guardrail/{guardrail}"
        yield "bedrock:ApplyGuardrail", arn


def _guardrail(members: dict[str, Any]) -> str | None:
    """The guardrail that a question is to pass, by its id or ARN.

    Sources: "Set up permissions to use Amazon Bedrock Guardrails" (Amazon Bedrock user guide): whoever calls a model or
    a knowledge base with one needs ApplyGuardrail.
    """
    asked = (members.get("retrieveAndGenerateConfiguration") or {}).get("knowledgeBaseConfiguration") or {}
    generation = asked.get("generationConfiguration") or {}
    for named in (
        members.get("guardrailConfig"),
        members.get("guardrailConfiguration"),
        generation.get("guardrailConfiguration"),
    ):
        if isinstance(named, dict):
            return named.get("guardrailIdentifier") or named.get("guardrailId")
    return None


def _reranker(members: dict[str, Any]) -> str | None:
    """The model that reranks for whoever asks RetrieveAndGenerate ("Permissions for reranking in Amazon Bedrock")."""
    asked = (members.get("retrieveAndGenerateConfiguration") or {}).get("knowledgeBaseConfiguration") or {}
    search = (asked.get("retrievalConfiguration") or {}).get("vectorSearchConfiguration") or {}
    settings = (search.get("rerankingConfiguration") or {}).get("bedrockRerankingConfiguration") or {}
    return (settings.get("modelConfiguration") or {}).get("modelArn")


def _s3_vectors_arn(request: dict[str, Any], region: str, account: str) -> str:
    """The index or the bucket that a request is about."""
    if index := request.get("indexArn"):
        return str(index)
    name = request.get("vectorBucketName")
    bucket = request.get("vectorBucketArn") or (f"arn:aws:s3vectors:{region}:{account}:bucket/{name}" if name else "*")
    return f"{bucket}/index/{request['indexName']}" if "indexName" in request else str(bucket)


def _model_arn(identifier: str, region: str) -> str:
    """Of a model that is given by its ARN or by its id."""
    return identifier if identifier.startswith("arn:") else f"arn:aws:bedrock:{region}::foundation-model/{identifier}"


def _members(body: bytes) -> dict[str, Any]:
    try:
        members = json.loads(body or b"{}")
    except ValueError:
        return {}  # the emulator will refuse it
    return members if isinstance(members, dict) else {}
