"""What kbfleet's ask function is measured against: the plainest handler that does the job, as one would write it.

It makes the same two calls, and looks the tenant up for every question. It has no logs, no traces, no validation and no
problem documents; it compares no passage with the tenant's bucket, and keeps no conversation.
"""

import json
import os
import re
from typing import Any

import boto3

dynamodb = boto3.client("dynamodb")
knowledge_bases = boto3.client("bedrock-agent-runtime")
models = boto3.client("bedrock-runtime")
MODEL_ARN = f"arn:aws:bedrock:{os.environ['AWS_REGION']}::foundation-model/{os.environ['GENERATION_MODEL_ID']}"
PROMPT = "Answer the question from these passages only, and cite them by number, like [1].\n\n{}\n\nQuestion: {}"


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    tenant_id = event["requestContext"]["authorizer"]["tenant_id"]
    question = json.loads(event["body"])["question"]
    tenant = dynamodb.get_item(
        TableName=os.environ["TABLE_NAME"], Key={"PK": {"S": f"TENANT#{tenant_id}"}, "SK": {"S": "PROFILE"}}
    )["Item"]
    found = knowledge_bases.retrieve(
        knowledgeBaseId=tenant["knowledge_base_id"]["S"],
        retrievalQuery={"text": question},
        retrievalConfiguration={"vectorSearchConfiguration": {"numberOfResults": 5}},
    )["retrievalResults"]
    passages = "\n".join(f"[{number}] {each['content']['text']}" for number, each in enumerate(found, start=1))
    message = {"role": "user", "content": [{"text": PROMPT.format(passages, question)}]}
    said = models.converse(modelId=MODEL_ARN, messages=[message])["output"]["message"]["content"]
    text = "".join(block["text"] for block in said)
    cited = {int(number) for number in re.findall(r"\[(\d+)\]", text)}
    citations = [each for number, each in enumerate(found, start=1) if number in cited]
    return {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps({"answer": text, "citations": citations}),
    }
