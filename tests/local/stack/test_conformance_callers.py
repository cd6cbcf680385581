"""What a caller must be permitted, beside the permission of the call's own name."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.stack.callers import client_of_user

fact = pytest.mark.fact
ARN = "arn:aws:bedrock:us-east-1:000000000000:knowledge-base/"
MINE = f"{ARN}MINE000000"
TITAN = "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-embed-text-v2:0"
NOVA = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"

pytestmark = pytest.mark.parametrize("guarded_aws", ["corrected"], indirect=True)


def check(aws: Any, service: str, operation: str, request: dict[str, Any], needed: dict[str, str]) -> None:
    """The call is refused when any one permission is missing, and reaches the service with all of them."""
    statements = [
        {"Action": action if ":" in action else f"bedrock:{action}", "Resource": resource}
        for action, resource in needed.items()
    ]
    for missing in statements:
        elsewhere = {**missing, "Resource": f"{ARN}YOURS00000"}
        rest = [statement for statement in statements if statement is not missing]
        user = client_of_user(aws, elsewhere, *rest)
        with pytest.raises(ClientError, match=f"not authorized to perform: {missing['Action']} ") as refused:
            getattr(user(service), operation)(**request)
        assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    user = client_of_user(aws, *statements)
    try:
        getattr(user(service), operation)(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] == "AccessDeniedException":
            raise


@fact("creating a knowledge base with tags needs bedrock:TagResource", "R")
def test_creating_with_tags_needs_permission_to_tag(guarded_aws: Any) -> None:
    role = "arn:aws:iam::000000000000:role/none"
    storage = {"indexArn": "arn:aws:s3vectors:us-east-1:000000000000:bucket/fleet/index/mine"}
    vector = {"embeddingModelArn": TITAN}
    request = {
        "name": "tenant",
        "roleArn": role,
        "knowledgeBaseConfiguration": {"type": "VECTOR", "vectorKnowledgeBaseConfiguration": vector},
        "storageConfiguration": {"type": "S3_VECTORS", "s3VectorsConfiguration": storage},
    }
    needed = {"CreateKnowledgeBase": "*", "iam:PassRole": role}
    check(guarded_aws, "bedrock-agent", "create_knowledge_base", request, needed)
    tagged = {**request, "tags": {"tenant": "acme"}}
    needed["TagResource"] = f"{ARN}*"
    check(guarded_aws, "bedrock-agent", "create_knowledge_base", tagged, needed)


@fact("IngestKnowledgeBaseDocuments needs bedrock:StartIngestionJob too", "R")
def test_direct_ingestion_needs_permission_to_start_jobs(guarded_aws: Any) -> None:
    document = {"content": {"dataSourceType": "S3", "s3": {"s3Location": {"uri": "s3://bucket/leave.md"}}}}
    request = {"knowledgeBaseId": "MINE000000", "dataSourceId": "MINE000000", "documents": [document]}
    needed = {"IngestKnowledgeBaseDocuments": MINE, "StartIngestionJob": MINE}
    check(guarded_aws, "bedrock-agent", "ingest_knowledge_base_documents", request, needed)


@fact("RetrieveAndGenerate without bedrock:Retrieve on the knowledge base: 403; it needs InvokeModel on the model", "R")
def test_an_answer_needs_permission_to_read_the_knowledge_base(guarded_aws: Any) -> None:
    configuration = {"knowledgeBaseId": "MINE000000", "modelArn": NOVA}
    whole = {"type": "KNOWLEDGE_BASE", "knowledgeBaseConfiguration": configuration}
    request = {"input": {"text": "?"}, "retrieveAndGenerateConfiguration": whole}
    needed = {"RetrieveAndGenerate": "*", "Retrieve": MINE, "InvokeModel": NOVA}
    check(guarded_aws, "bedrock-agent-runtime", "retrieve_and_generate", request, needed)


@fact("Retrieve is permitted by bedrock:Retrieve on the knowledge base", "D")
def test_retrieving_needs_permission_on_the_knowledge_base(guarded_aws: Any) -> None:
    request = {"knowledgeBaseId": "MINE000000", "retrievalQuery": {"text": "?"}}
    check(guarded_aws, "bedrock-agent-runtime", "retrieve", request, {"Retrieve": MINE})


@fact("Converse is permitted by bedrock:InvokeModel on the model", "D")
def test_conversing_needs_permission_to_invoke_the_model(guarded_aws: Any) -> None:
    request = {"modelId": NOVA, "messages": [{"role": "user", "content": [{"text": "Who are you?"}]}]}
    check(guarded_aws, "bedrock-runtime", "converse", request, {"InvokeModel": NOVA})


@fact("creating a vector index with tags needs s3vectors:TagResource", "M")
def test_creating_a_vector_index_with_tags_needs_permission_to_tag(guarded_aws: Any) -> None:
    members = {"dataType": "float32", "dimension": 8, "distanceMetric": "cosine"}
    request = {"vectorBucketName": "fleet", "indexName": "mine", **members}
    index = "arn:aws:s3vectors:us-east-1:000000000000:bucket/fleet/index/mine"
    needed = {"s3vectors:CreateIndex": index}
    check(guarded_aws, "s3vectors", "create_index", request, needed)
    needed["s3vectors:TagResource"] = index
    check(guarded_aws, "s3vectors", "create_index", {**request, "tags": {"tenant": "acme"}}, needed)


@fact("the index operations of OpenSearch Serverless need aoss:APIAccessAll on the collection too", "R")
@pytest.mark.parametrize("operation", ["create_index", "get_index", "delete_index"])
def test_indexes_of_a_collection_need_access_to_it(guarded_aws: Any, operation: str) -> None:
    action = f"aoss:{operation.title().replace('_', '')}"
    needed = {action: "*", "aoss:APIAccessAll": "arn:aws:aoss:us-east-1:000000000000:collection/mine0"}
    check(guarded_aws, "opensearchserverless", operation, {"id": "mine0", "indexName": "acme"}, needed)


@fact("aws:ResourceTag decides about Retrieve on a knowledge base", "U")
def test_a_tag_of_the_knowledge_base_decides_who_may_retrieve(guarded_aws: Any) -> None:
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "bedrock.amazonaws.com"}}
    role = guarded_aws.client("iam").create_role(
        RoleName="tagged", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )["Role"]["Arn"]
    managed = {"type": "MANAGED", "managedKnowledgeBaseConfiguration": {"embeddingModelType": "MANAGED"}}
    mine, yours = (
        guarded_aws.client("bedrock-agent").create_knowledge_base(
            name=tenant, roleArn=role, knowledgeBaseConfiguration=managed, tags={"tenant": tenant}
        )["knowledgeBase"]["knowledgeBaseId"]
        for tenant in ("mine", "yours")
    )
    condition = {"StringEquals": {"aws:ResourceTag/tenant": "mine"}}
    user = client_of_user(guarded_aws, {"Action": "bedrock:Retrieve", "Resource": "*", "Condition": condition})

    def answer(identifier: str) -> str:
        with pytest.raises(ClientError) as refused:
            # It is still CREATING: whoever is let through learns that.
            user("bedrock-agent-runtime").retrieve(knowledgeBaseId=identifier, retrievalQuery={"text": "leave"})
        return str(refused.value.response["Error"]["Code"])

    assert (answer(mine), answer(yours)) == ("ValidationException", "AccessDeniedException")
