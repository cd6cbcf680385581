"""What kbfleet's ask function is measured against: the plainest handler that does the job, as one would write it.

It looks the tenant up for every question, and it has no logs, no traces, no validation and no problem documents.
"""

import json
import os
from typing import Any

import boto3

dynamodb = boto3.client("dynamodb")
bedrock = boto3.client("bedrock-agent-runtime")
MODEL_ARN = f"arn:aws:bedrock:{os.environ['AWS_REGION']}::foundation-model/{os.environ['GENERATION_MODEL_ID']}"


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    tenant_id = event["requestContext"]["authorizer"]["tenant_id"]
    question = json.loads(event["body"])["question"]
    tenant = dynamodb.get_item(
        TableName=os.environ["TABLE_NAME"], Key={"PK": {"S": f"TENANT#{tenant_id}"}, "SK": {"S": "PROFILE"}}
    )["Item"]
    answer = bedrock.retrieve_and_generate(
        input={"text": question},
        retrieveAndGenerateConfiguration={
            "type": "KNOWLEDGE_BASE",
            "knowledgeBaseConfiguration": {
                "knowledgeBaseId": tenant["knowledge_base_id"]["S"],
                "modelArn": MODEL_ARN,
                "retrievalConfiguration": {"vectorSearchConfiguration": {"numberOfResults": 5}},
            },
        },
    )
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps({"answer": answer["output"]["text"], "citations": answer["citations"]}),
    }
