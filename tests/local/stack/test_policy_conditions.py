"""With authorization on, the conditions that the product's policies use decide as on AWS."""

import json
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.local.stack.callers import client_of_user


def code(refused: pytest.ExceptionInfo[ClientError]) -> str:
    return str(refused.value.response["Error"]["Code"])


def test_a_bucket_that_demands_tls_takes_local_calls(guarded_aws: Any) -> None:
    bucket, s3 = f"bucket-{uuid4().hex[:8]}", guarded_aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}/*"}
    policy = {"Version": "2012-10-17", "Statement": [{**deny, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    user = client_of_user(guarded_aws, {"Action": "s3:PutObject", "Resource": "*"})
    user("s3").put_object(Bucket=bucket, Key="document.md", Body=b"text")


def test_events_may_be_put_of_the_permitted_source_only(guarded_aws: Any) -> None:
    condition = {"StringEquals": {"events:source": "kbfleet.ingestion"}}
    user = client_of_user(guarded_aws, {"Action": "events:PutEvents", "Resource": "*", "Condition": condition})

    def put(source: str) -> None:
        user("events").put_events(Entries=[{"Source": source, "DetailType": "any", "Detail": "{}"}])

    put("kbfleet.ingestion")
    with pytest.raises(ClientError) as refused:
        put("kbfleet.tenants")
    assert code(refused) == "AccessDeniedException"


def test_items_may_be_read_of_the_permitted_partition_only(guarded_aws: Any) -> None:
    dynamodb, table = guarded_aws.client("dynamodb"), f"table-{uuid4().hex[:8]}"
    dynamodb.create_table(
        TableName=table,
        AttributeDefinitions=[{"AttributeName": "PK", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    condition = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": "MINE"}}
    user = client_of_user(guarded_aws, {"Action": "dynamodb:*", "Resource": "*", "Condition": condition})("dynamodb")

    def query(partition: str) -> None:
        values = {":partition": {"S": partition}}
        user.query(TableName=table, KeyConditionExpression="PK = :partition", ExpressionAttributeValues=values)

    user.get_item(TableName=table, Key={"PK": {"S": "MINE"}})
    query("MINE")
    with pytest.raises(ClientError) as refused:
        user.get_item(TableName=table, Key={"PK": {"S": "YOURS"}})
    assert code(refused) == "AccessDeniedException"
    with pytest.raises(ClientError) as refused:
        query("YOURS")
    assert code(refused) == "AccessDeniedException"


def test_items_may_be_written_with_the_permitted_attributes_only(guarded_aws: Any) -> None:
    dynamodb, table = guarded_aws.client("dynamodb"), f"table-{uuid4().hex[:8]}"
    dynamodb.create_table(
        TableName=table,
        AttributeDefinitions=[{"AttributeName": "PK", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    condition = {
        "ForAllValues:StringEquals": {"dynamodb:Attributes": ["PK", "exchanges"]},
        "StringEqualsIfExists": {"dynamodb:ReturnValues": "NONE"},
    }
    user = client_of_user(guarded_aws, {"Action": "dynamodb:*", "Resource": "*", "Condition": condition})("dynamodb")

    def update(expression: str, **arguments: Any) -> None:
        user.update_item(
            TableName=table,
            Key={"PK": {"S": "MINE"}},
            UpdateExpression=expression,
            ExpressionAttributeValues={":value": {"L": []}},
            **arguments,
        )

    update("SET exchanges = list_append(if_not_exists(exchanges, :value), :value)")
    for expression, arguments in (
        ("SET lease = :value", {}),
        ("SET exchanges = :value, #0 = :value", {"ExpressionAttributeNames": {"#0": "status"}}),
        ("SET exchanges = :value REMOVE fence", {}),
        ("SET exchanges = :value", {"ReturnValues": "ALL_OLD"}),
    ):
        with pytest.raises(ClientError) as refused:
            update(expression, **arguments)
        assert code(refused) == "AccessDeniedException", expression


def test_a_key_with_wildcards_in_it_can_be_permitted_alone(guarded_aws: Any) -> None:
    bucket, s3 = f"bucket-{uuid4().hex[:8]}", guarded_aws.client("s3")
    s3.create_bucket(Bucket=bucket)
    arn = f"arn:aws:s3:::{bucket}/${{*}}${{?}}${{$}}.md"
    user = client_of_user(guarded_aws, {"Action": "s3:PutObject", "Resource": arn})("s3")
    user.put_object(Bucket=bucket, Key="*?$.md", Body=b"text")
    for other in ("a?$.md", "*b$.md", "abc.md"):
        with pytest.raises(ClientError) as refused:
            user.put_object(Bucket=bucket, Key=other, Body=b"text")
        assert code(refused) == "AccessDenied", other


@pytest.mark.parametrize("guarded_aws", ["corrected"], indirect=True)
def test_a_knowledge_base_may_be_read_by_its_arn_only(guarded_aws: Any) -> None:
    arn = "arn:aws:bedrock:us-east-1:000000000000:knowledge-base/MINE000000"
    user = client_of_user(guarded_aws, {"Action": "bedrock:Retrieve", "Resource": arn})("bedrock-agent-runtime")
    codes = []
    for identifier in ("MINE000000", "YOURS00000"):
        with pytest.raises(ClientError) as refused:
            user.retrieve(knowledgeBaseId=identifier, retrievalQuery={"text": "?"})
        codes.append(code(refused))
    assert codes == ["ResourceNotFoundException", "AccessDeniedException"]


def test_tasks_of_the_permitted_state_machine_only_may_be_ended(guarded_aws: Any) -> None:
    states, queue = guarded_aws.client("stepfunctions"), guarded_aws.make_queue()
    message = {"QueueUrl": queue, "MessageBody.$": "$$.Task.Token"}
    task = {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "Parameters": message}
    definition = json.dumps({"StartAt": "Wait", "States": {"Wait": {**task, "TimeoutSeconds": 20, "End": True}}})
    trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = guarded_aws.client("iam").create_role(
        RoleName=f"role-{uuid4().hex[:8]}",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]["Arn"]
    machine = states.create_state_machine(name=f"machine-{uuid4().hex[:8]}", definition=definition, roleArn=role)
    machine = machine["stateMachineArn"]
    states.start_execution(stateMachineArn=machine)
    [token] = guarded_aws.receive(queue)

    def end_task(permitted: str) -> None:
        statement = {"Action": "states:SendTaskSuccess", "Resource": permitted}
        user = client_of_user(guarded_aws, statement)
        user("stepfunctions").send_task_success(taskToken=token, output="{}")

    with pytest.raises(ClientError) as refused:
        end_task(f"{machine}-other")
    assert code(refused) == "AccessDeniedException"
    end_task(machine)


@pytest.mark.parametrize("guarded_aws", ["corrected"], indirect=True)
def test_a_vector_index_may_be_read_by_its_arn_only(guarded_aws: Any) -> None:
    indexes = "arn:aws:s3vectors:us-east-1:000000000000:bucket/fleet/index"
    user = client_of_user(guarded_aws, {"Action": "s3vectors:GetIndex", "Resource": f"{indexes}/mine"})("s3vectors")
    codes = []
    for arguments in (
        {"vectorBucketName": "fleet", "indexName": "mine"},
        {"indexArn": f"{indexes}/mine"},
        {"vectorBucketName": "fleet", "indexName": "yours"},
        {"indexArn": f"{indexes}/yours"},
    ):
        with pytest.raises(ClientError) as refused:
            user.get_index(**arguments)
        codes.append(code(refused))
    assert codes == ["NotFoundException"] * 2 + ["AccessDeniedException"] * 2
