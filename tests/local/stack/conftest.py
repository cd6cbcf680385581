"""A local stack for a test session, and one without any correction to show what each of them is for."""

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local.delays import AT_ONCE
from local.stack import process
from local.stack.configuration import ACCESS_KEY, StackConfiguration, free_port

Found = TypeVar("Found")
ROLE = "arn:aws:iam::000000000000:role/any"
PATIENCE_WITHOUT_CORRECTIONS = 4.0
"""Seconds: what MiniStack does not do never comes, and what it does by itself takes no longer."""


@dataclass(frozen=True)
class LocalAws:
    """A running stack, and what tests do with it again and again.

    patience: seconds that anything is waited for at most.
    """

    configuration: StackConfiguration
    patience: float = 100

    def client(self, service: str, access_key: str = ACCESS_KEY, secret_key: str = "") -> Any:
        """Of the root user, if no keys are given."""
        return _client(self.configuration, service, access_key, secret_key or self.configuration.secret_key)

    def make_function(self, code: str, **settings: Any) -> str:
        """Makes a Python function of one module with a `handler`; gives its name."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("function.py", code)
        name = f"function-{uuid4().hex[:8]}"
        self.client("lambda").create_function(
            FunctionName=name,
            Code={"ZipFile": archive.getvalue()},
            **{"Role": ROLE, "Runtime": "python3.13", "Handler": "function.handler", "Timeout": 10, **settings},
        )
        return name

    def invoke(self, function: str, event: object = None) -> tuple[str | None, Any]:
        """Invokes a function; gives the kind of its error, or None, and its answer."""
        response = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        return response.get("FunctionError"), json.load(response["Payload"])

    def make_queue(self, suffix: str = "", **attributes: str) -> str:
        """Makes a queue; gives its URL."""
        queue = self.client("sqs").create_queue(QueueName=f"queue-{uuid4().hex[:8]}{suffix}", Attributes=attributes)
        return str(queue["QueueUrl"])

    def queue_arn(self, url: str) -> str:
        answer = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(answer["Attributes"]["QueueArn"])

    def eventually(self, look: Callable[[], Found | None]) -> Found:
        """What `look` finds, as soon as it is something. Raises AssertionError when patience ends."""
        deadline = time.monotonic() + self.patience
        while not (found := look()):
            assert time.monotonic() < deadline, f"nothing within {self.patience} s"
            time.sleep(0.05)
        return found

    def receive(self, url: str, *, count: int = 1) -> list[str]:
        """Bodies of messages, as soon as there are `count` of them. Raises AssertionError when patience ends."""
        bodies: list[str] = []
        deadline = time.monotonic() + self.patience
        while len(bodies) < count:
            assert time.monotonic() < deadline, f"{len(bodies)} of {count} messages have come: {bodies}"
            answer = self.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            for message in answer.get("Messages", []):
                bodies.append(message["Body"])
                self.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return bodies

    def deploy(self, resources: dict[str, Any], outputs: dict[str, Any] | None = None, stack: str = "") -> "Stack":
        """Creates a CloudFormation stack, or updates it. Raises AssertionError if that fails."""
        cloudformation = self.client("cloudformation")
        name = stack or f"stack-{uuid4().hex[:8]}"
        body = json.dumps({"Resources": resources, "Outputs": {k: {"Value": v} for k, v in (outputs or {}).items()}})
        change = cloudformation.update_stack if stack else cloudformation.create_stack
        change(StackName=name, TemplateBody=body, Capabilities=["CAPABILITY_IAM"])
        answer = self.eventually(
            lambda: next(
                (
                    described
                    for described in cloudformation.describe_stacks(StackName=name)["Stacks"]
                    if not described["StackStatus"].endswith("IN_PROGRESS")
                ),
                None,
            )
        )
        events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        reasons = [event["ResourceStatusReason"] for event in events if event.get("ResourceStatusReason")]
        assert answer["StackStatus"] in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}, reasons
        return Stack(name, {output["OutputKey"]: output["OutputValue"] for output in answer.get("Outputs", [])})


@dataclass(frozen=True)
class Stack:
    name: str
    outputs: dict[str, str]


@cache
def _client(configuration: StackConfiguration, service: str, access_key: str, secret_key: str) -> Any:
    return boto3.client(  # type: ignore[call-overload]
        service,
        region_name=configuration.region,
        endpoint_url=configuration.aws_url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(retries={"total_max_attempts": 1}, inject_host_prefix=False, read_timeout=30),
    )


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """The local AWS as a newcomer gets it, but that nothing takes its time."""
    yield from _running(tmp_path_factory, None)


@pytest.fixture(scope="session")
def uncorrected_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """The local AWS without any correction."""
    yield from _running(tmp_path_factory, ())


with_and_without_corrections = [
    "corrected",
    pytest.param(
        "uncorrected",
        marks=pytest.mark.xfail(
            strict=True,
            raises=(AssertionError, ClientError, pytest.fail.Exception),
            reason="this is what the correction is for; if it passes, the correction is needed no more",
        ),
    ),
]


@pytest.fixture(params=with_and_without_corrections)
def aws(request: pytest.FixtureRequest) -> LocalAws:
    """The stack that must show a behaviour, and the one that must fail to."""
    running: LocalAws = request.getfixturevalue("stack" if request.param == "corrected" else "uncorrected_stack")
    return running


@pytest.fixture(scope="session", params=with_and_without_corrections)
def guarded_aws(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """As `aws`, with IAM policies enforced."""
    corrections = (
        ("policy_conditions", "role_boundaries", "batch_deletes", "object_arns", "step_functions")
        if request.param == "corrected"
        else ()
    )
    yield from _running(tmp_path_factory, corrections, authorization=True)


def _running(
    directories: pytest.TempPathFactory, corrections: tuple[str, ...] | None, *, authorization: bool = False
) -> Iterator[LocalAws]:
    configuration = StackConfiguration(
        state_directory=directories.mktemp("stack"),
        aws_port=free_port(),
        side_port=free_port(),
        corrections=corrections,
        delays=AT_ONCE,
        function_concurrency=4,
        authorization=authorization,
    )
    process.start(configuration)
    yield LocalAws(configuration) if corrections != () else LocalAws(configuration, PATIENCE_WITHOUT_CORRECTIONS)
    process.stop(configuration.state_directory)
