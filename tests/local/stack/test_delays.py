"""What takes its time on AWS does so here: in this process by a clock moved by hand, then on a running stack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from ministack.services import apigateway_v1, eventbridge, s3
from typer.testing import CliRunner

from bedrock_emulator import ManualClock
from local import delays
from local.delays import AS_ON_AWS, AT_ONCE, Delays
from local.main import app
from local.stack import process, server
from local.stack.configuration import StackConfiguration, free_port
from tests.local.stack.conftest import LocalAws

EVENT_BRIDGE = b"<NotificationConfiguration><EventBridgeConfiguration/></NotificationConfiguration>"
NO_NOTIFICATIONS = b"<NotificationConfiguration/>"
REPLACED = (
    (s3, "_dispatch"),
    (s3, "_put_bucket_notification"),
    (s3, "_fire_s3_event_async"),
    (eventbridge, "_dispatch_event"),
    (apigateway_v1, "_create_api_key"),
    (apigateway_v1, "_resolve_api_key"),
)


@dataclass
class Services:
    """MiniStack's services in this process, on a clock of their own."""

    clock: ManualClock
    told: list[str]
    """Keys of which EventBridge was told."""

    def s3(self, method: str, bucket: str, key: str = "", setting: str = "", body: bytes = b"") -> str:
        """Calls S3; gives the error's code, or nothing."""
        query = {setting: [""]} if setting else {}
        status, _, answer = s3._dispatch(method, bucket, key, {}, body, query)
        return "" if status < 300 else answer.decode().partition("<Code>")[2].partition("</Code>")[0]

    def bucket(self, *, settled: bool = True) -> str:
        name = f"bucket-{uuid4().hex[:12]}"
        assert self.s3("PUT", name) == ""
        if settled:
            self.clock.advance(AS_ON_AWS.bucket_visible + AS_ON_AWS.bucket_settings)
        return name


def services_with(chosen: Delays, monkeypatch: pytest.MonkeyPatch) -> Services:
    for module, name in REPLACED:
        monkeypatch.setattr(module, name, getattr(module, name))
    services = Services(ManualClock(), [])
    s3._fire_s3_event_async = lambda *event, **more: s3._fire_s3_event(*event, **more)
    eventbridge._dispatch_event = lambda event: services.told.append(json.loads(event["Detail"])["object"]["key"])
    delays.apply(chosen, services.clock.now)
    return services


@pytest.fixture(
    params=[
        pytest.param(AS_ON_AWS, id="as on AWS"),
        pytest.param(
            AT_ONCE,
            id="at once",
            marks=pytest.mark.xfail(strict=True, raises=AssertionError, reason="this is what the delay is for"),
        ),
    ]
)
def services(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Services:
    """With the delays, which must show a behaviour, and without, which must fail to."""
    return services_with(request.param, monkeypatch)


@pytest.mark.parametrize(
    ("method", "key", "setting"),
    [
        ("HEAD", "", ""),
        ("GET", "", "versions"),
        ("PUT", "", "versioning"),
        ("PUT", "rules.pdf", ""),
        ("DELETE", "", ""),
    ],
)
def test_a_bucket_just_made_is_not_there_yet(services: Services, method: str, key: str, setting: str) -> None:
    bucket = services.bucket(settled=False)
    assert services.s3(method, bucket, key, setting) == "NoSuchBucket"
    assert services.s3("PUT", bucket) == "OperationAborted"
    services.clock.advance(29.9)
    assert services.s3(method, bucket, key, setting) == "NoSuchBucket"
    services.clock.advance(0.1)
    assert services.s3("HEAD", bucket) == ""


def test_the_settings_of_a_new_bucket_are_in_the_making(services: Services) -> None:
    bucket = services.bucket(settled=False)
    services.clock.advance(AS_ON_AWS.bucket_visible)
    assert services.s3("PUT", bucket, setting="notification", body=EVENT_BRIDGE) == "OperationAborted"
    assert services.s3("DELETE", bucket) == "OperationAborted"
    assert services.s3("PUT", bucket, "rules.pdf") == ""
    assert services.s3("GET", bucket, setting="notification") == ""
    services.clock.advance(AS_ON_AWS.bucket_settings)
    assert services.s3("PUT", bucket, setting="notification", body=EVENT_BRIDGE) == ""


def test_the_name_of_a_bucket_just_deleted_is_not_free_yet(services: Services) -> None:
    bucket = services.bucket()
    assert services.s3("DELETE", bucket) == ""
    services.clock.advance(119.9)
    assert services.s3("PUT", bucket) == "OperationAborted"
    assert services.s3("HEAD", bucket) == "NoSuchBucket"
    services.clock.advance(0.1)
    assert services.s3("PUT", bucket) == ""


def test_event_bridge_is_told_of_changes_after_five_minutes_and_never_of_those_before(services: Services) -> None:
    bucket = services.bucket()
    assert services.s3("PUT", bucket, setting="notification", body=EVENT_BRIDGE) == ""
    assert services.s3("PUT", bucket, "at once") == ""
    services.clock.advance(299.9)
    # Again, as every run of a workflow does: it begins nothing anew.
    assert services.s3("PUT", bucket, setting="notification", body=EVENT_BRIDGE) == ""
    assert services.s3("PUT", bucket, "too early") == ""
    services.clock.advance(0.1)
    assert services.s3("PUT", bucket, "later") == ""
    assert services.told == ["later"]


def test_switching_event_bridge_off_and_on_takes_five_minutes_again(services: Services) -> None:
    bucket = services.bucket()
    for notifications in (EVENT_BRIDGE, NO_NOTIFICATIONS, EVENT_BRIDGE):
        services.clock.advance(300)
        assert services.s3("PUT", bucket, setting="notification", body=notifications) == ""
    assert services.s3("PUT", bucket, "too early") == ""
    assert services.told == []


def test_an_api_key_counts_ten_seconds_after_it_was_made(services: Services) -> None:
    value = uuid4().hex
    assert apigateway_v1._create_api_key({"name": "acme", "value": value})[0] == 201
    services.clock.advance(9.9)
    assert apigateway_v1._resolve_api_key(value) is None
    services.clock.advance(0.1)
    assert apigateway_v1._resolve_api_key(value)["name"] == "acme"


def test_a_delay_can_be_changed_alone() -> None:
    assert AS_ON_AWS.changed({"usage_key": 60}) == replace(AS_ON_AWS, usage_key=60)
    with pytest.raises(ValueError, match="unknown delay 'coffee'"):
        AT_ONCE.changed({"coffee": 1})
    with pytest.raises(ValueError, match="cannot be -1 seconds"):
        AT_ONCE.changed({"role": -1})


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ([], delays.DEFAULT),
        (["--slow"], AS_ON_AWS),
        (["--no-slow"], AT_ONCE),
        (["--no-slow", "--delay", "role=60", "--delay=usage_key=0.5"], Delays(role=60, usage_key=0.5)),
    ],
)
def test_the_command_line_chooses_the_delays(
    options: list[str], chosen: Delays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[StackConfiguration] = []
    monkeypatch.setattr(server, "run", ran.append)
    answer = CliRunner().invoke(app, ["run", "--state", str(tmp_path), "--account-concurrency", "10", *options])
    assert answer.exit_code == 0, answer.output
    assert [(configuration.delays, configuration.account_concurrency) for configuration in ran] == [(chosen, 10)]


@pytest.mark.parametrize(
    ("change", "named"),
    [("coffee=1", "coffee"), ("role=long", "role=long"), ("role", "NAME=SECONDS"), ("role=-1", "-1")],
)
def test_a_delay_that_is_none_is_refused(change: str, named: str, tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["run", "--state", str(tmp_path), "--delay", change])
    assert answer.exit_code == 2
    assert named in answer.output


# --- on a running stack, where nothing that is waited for ever comes ---

ENDLESS = Delays(**dict.fromkeys(AT_ONCE.listed(), 1e9))
WAITS_FOR_A_WORD = """
import boto3, os
def handler(event, context):
    sqs = boto3.client('sqs')
    sqs.send_message(QueueUrl=os.environ['BEGUN'], MessageBody=event['name'])
    while not sqs.receive_message(QueueUrl=os.environ['WORD'], WaitTimeSeconds=5).get('Messages'): pass
    return event['name']
"""


@pytest.fixture(scope="module")
def slow_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A stack on which nothing new ever comes into being, in an account with room for one invocation."""
    configuration = StackConfiguration(
        state_directory=tmp_path_factory.mktemp("slow"),
        aws_port=free_port(),
        side_port=free_port(),
        delays=ENDLESS,
        account_concurrency=1,
    )
    process.start(configuration)
    try:
        yield LocalAws(configuration)
    finally:
        process.stop(configuration.state_directory)


def test_a_running_stack_tells_its_delays(slow_aws: LocalAws) -> None:
    running = process.running_stack(slow_aws.configuration.state_directory)
    assert running is not None
    assert running.configuration == slow_aws.configuration


def test_the_delays_reach_the_buckets_of_a_running_stack(slow_aws: LocalAws) -> None:
    storage, bucket = slow_aws.client("s3"), f"bucket-{uuid4().hex[:12]}"
    storage.create_bucket(Bucket=bucket)
    with pytest.raises(storage.exceptions.NoSuchBucket):
        storage.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    with pytest.raises(ClientError, match="404"):
        storage.head_bucket(Bucket=bucket)
    with pytest.raises(ClientError, match="OperationAborted"):
        storage.create_bucket(Bucket=bucket)


def test_the_delays_reach_the_roles_of_a_running_stack(slow_aws: LocalAws) -> None:
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "bedrock.amazonaws.com"}}
    role = slow_aws.client("iam").create_role(
        RoleName=f"role-{uuid4().hex[:8]}", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]})
    )
    with pytest.raises(ClientError, match="unable to assume the given role"):
        slow_aws.client("bedrock-agent").create_knowledge_base(
            name="any",
            roleArn=role["Role"]["Arn"],
            knowledgeBaseConfiguration={
                "type": "MANAGED",
                "managedKnowledgeBaseConfiguration": {"embeddingModelType": "MANAGED"},
            },
        )


def test_an_account_has_room_for_so_many_invocations(slow_aws: LocalAws) -> None:
    begun, word = slow_aws.make_queue(), slow_aws.make_queue()
    variables = {"BEGUN": begun, "WORD": word}
    function, other = (
        slow_aws.make_function(WAITS_FOR_A_WORD, Timeout=60, Environment={"Variables": variables}) for _ in range(2)
    )
    functions = slow_aws.client("lambda")
    with ThreadPoolExecutor(1) as elsewhere:
        first = elsewhere.submit(slow_aws.invoke, function, {"name": "first"})
        assert slow_aws.receive(begun) == ["first"]
        try:
            with pytest.raises(functions.exceptions.TooManyRequestsException) as refused:
                functions.invoke(FunctionName=other, Payload=b"{}")
            assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
            assert refused.value.response["Reason"] == "ConcurrentInvocationLimitExceeded"
            later = json.dumps({"name": "later"})
            assert functions.invoke(FunctionName=other, InvocationType="Event", Payload=later)["StatusCode"] == 202
        finally:
            slow_aws.client("sqs").send_message(QueueUrl=word, MessageBody="go on")
        assert first.result() == (None, "first")
    assert slow_aws.receive(begun) == ["later"]
    slow_aws.client("sqs").send_message(QueueUrl=word, MessageBody="go on")
