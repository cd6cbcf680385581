"""A fleet on moto: the real state machine and handlers in this process, with the Bedrock emulator behind them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.core.responses import EmptyResult
from moto.stepfunctions.responses import StepFunctionResponse

import kbfleet.bootstrap
from bedrock_emulator import Emulator, attach
from tests.support.deployment_values import Deployment
from tests.support.template import handler, handler_place, resources, table_definition
from tests.support.waiting import PATIENCE_SECONDS

REPOSITORY = Path(__file__).parents[2]
REGION = "ap-northeast-1"
ACCOUNT = "123456789012"
EMULATED = {"bedrock-agent", "bedrock-agent-runtime", "s3vectors", "opensearchserverless"}
SPEED = 600
"""Lifecycles are over in an instant: a knowledge base takes 83 seconds on AWS, an ingestion three minutes."""
STATE_MACHINE_ARN = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:kbfleet-provision-tenant"


@dataclass
class Fleet:
    """A deployed fleet, as an operator sees it."""

    emulator: Emulator
    handlers: dict[str, Callable[..., Any]]
    client: Callable[[str], Any]

    def start(self, request: object) -> str:
        answer = self.client("stepfunctions").start_execution(
            stateMachineArn=STATE_MACHINE_ARN, name="run-1", input=json.dumps(request)
        )
        return str(answer["executionArn"])

    def finish(self, arn: str) -> dict[str, Any]:
        """Ticks the scheduler, as its queue would, until the execution has ended."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            described: dict[str, Any] = self.client("stepfunctions").describe_execution(executionArn=arn)
            if described["status"] != "RUNNING":
                return described
            assert time.monotonic() < deadline, f"{arn} did not end: {self.states(arn)}"
            self.handlers["TickFunction"]({}, lambda_context("TickFunction"))
            time.sleep(0.05)

    def states(self, arn: str) -> list[str]:
        """The states that were entered, in order."""
        pages = self.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
        return [
            event["stateEnteredEventDetails"]["name"]
            for page in pages
            for event in page["events"]
            if "stateEnteredEventDetails" in event
        ]


def lambda_context(name: str) -> Any:
    return SimpleNamespace(
        function_name=name,
        memory_limit_in_mb=512,
        invoked_function_arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}",
        aws_request_id="00000000-0000-0000-0000-000000000000",
        get_remaining_time_in_millis=lambda: 30_000,
    )


def _environment(queue_url: str) -> dict[str, str]:
    return {
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "POWERTOOLS_SERVICE_NAME": "kbfleet",
        "POWERTOOLS_TRACE_DISABLED": "true",
        "POWERTOOLS_METRICS_NAMESPACE": "kbfleet",
        "ACCOUNT_ID": ACCOUNT,
        "STACK_NAME": "kbfleet",
        "FLEET_NAME": "kbfleet",
        "TABLE_NAME": "kbfleet",
        "BUS_NAME": "kbfleet",
        "TICK_QUEUE_URL": queue_url,
        "DELETION_CHECK_QUEUE_URL": queue_url,
        "TICK_SECONDS": "1",
        "INGESTION_START_INTERVAL_SECONDS": "0.01",
        "JOB_HISTORY_DAYS": "90",
        "SERVICE_ROLES": "PER_TENANT",
        "STACK_ID": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/kbfleet/1",
        "SERVICE_ROLE_BOUNDARY_ARN": f"arn:aws:iam::{ACCOUNT}:policy/ServiceRoleBoundary",
        "KNOWLEDGE_BASE_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/knowledge-base",
        "KNOWLEDGE_BASE_LOOK_SECONDS": "1",
        "STANDARD_USAGE_PLAN_ID": "plan-standard",
        "PREMIUM_USAGE_PLAN_ID": "plan-premium",
        "KEEP_USAGE": "true",
        "RETENTION_DAYS": "30",
        "KNOWLEDGE_BASES_FOR_REBUILDS": "5",
        "KNOWLEDGE_BASE_READY_SECONDS": "900",
        "CHANGE_EVENTS_AFTER_SECONDS": "600",
        "LEASE_SECONDS": "18000",
        "OFFBOARDING_LEASE_SECONDS": "172800",
        "KNOWLEDGE_STORE": "S3_VECTORS",
        "VECTOR_BUCKET_NAME": "kbfleet-vectors",
        "EMBEDDING_MODEL_ID": "amazon.titan-embed-text-v2:0",
    }


def _definition() -> str:
    """The real definition; only the seconds between retries are shortened."""
    text = (REPOSITORY / "statemachine/provision_tenant.asl.json").read_text("utf-8")
    substituted = re.sub(
        r"\$\{(\w+)Arn\}", lambda match: f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{match[1]}", text
    )
    substituted = substituted.replace("${ServiceRoles}", "PER_TENANT")
    return re.sub(r'"(IntervalSeconds|MaxDelaySeconds)": \d+', r'"\1": 1', substituted)


@contextmanager
def deployed_fleet(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """A fleet deployed to moto. It waits in real time; `tests.support.virtual_fleet` is for all that needs no other
    engine than our own."""
    handlers: dict[str, Callable[..., Any]] = {}

    def invoke(
        _self: object, function_name: str, _qualifier: str, body: Any, _headers: Any, response_headers: Any
    ) -> bytes:
        name = function_name.rsplit(":", 1)[-1]
        try:
            result = handlers[name](json.loads(body), lambda_context(name))
        except Exception as error:  # noqa: BLE001 - the Lambda runtime reports whatever the handler raises
            response_headers["x-amz-function-error"] = "Unhandled"
            return json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)}).encode()
        return json.dumps(result).encode()

    monkeypatch.setattr(LambdaSimpleBackend, "invoke", invoke)
    monkeypatch.setattr(StepFunctionResponse, "send_task_failure", _send_task_failure_with_its_cause)
    for key, value in {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}.items():
        monkeypatch.setenv(key, value)
    for key in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(key, raising=False)
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}, "lambda": {"use_docker": False}}):
        original = boto3.client
        emulator = Emulator(
            region=REGION,
            account=ACCOUNT,
            speed=SPEED,
            embedder="character",
            client_factory=lambda service: original(service, region_name=REGION),  # type: ignore[call-overload]
        )

        def client(service_name: str, **arguments: Any) -> Any:
            made = original(service_name, **({"region_name": REGION} | arguments))  # type: ignore[call-overload]
            return attach(made, emulator) if service_name in EMULATED else made

        monkeypatch.setattr(boto3, "client", client)
        queue_url = client("sqs").create_queue(
            QueueName="ticks.fifo", Attributes={"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        )["QueueUrl"]
        for key, value in _environment(queue_url).items():
            monkeypatch.setenv(key, value)
        client("dynamodb").create_table(TableName="kbfleet", **table_definition())
        client("s3vectors").create_vector_bucket(vectorBucketName="kbfleet-vectors")
        client("events").create_event_bus(Name="kbfleet")
        boundary = Deployment(ACCOUNT, REGION).property("ServiceRoleBoundary", "PolicyDocument")
        client("iam").create_policy(PolicyName="ServiceRoleBoundary", PolicyDocument=json.dumps(boundary))
        _forget_ports()
        for name in resources("AWS::Serverless::Function"):
            if handler_place(name)[0].startswith(("functions/provisioning", "functions/ingestion", "functions/admin")):
                handlers[name] = handler(name)
                _deploy_function(client, name)
        client("stepfunctions").create_state_machine(
            name="kbfleet-provision-tenant", definition=_definition(), roleArn=f"arn:aws:iam::{ACCOUNT}:role/machine"
        )
        yield Fleet(emulator, handlers, client)
        _forget_ports()


def _send_task_failure_with_its_cause(response: StepFunctionResponse) -> EmptyResult:
    """moto 5.2.5 passes the error on, but not the cause."""
    token, error, cause = (response._get_param(name) for name in ("taskToken", "error", "cause"))
    response.stepfunction_backend.send_task_failure(token, error=error, cause=cause)
    return EmptyResult()


def _forget_ports() -> None:
    for port in vars(kbfleet.bootstrap).values():
        if hasattr(port, "cache_clear"):
            port.cache_clear()


def _deploy_function(client: Callable[[str], Any], name: str) -> None:
    client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=_function_role(client),
        Handler="module.handler",
        Code={"ZipFile": b"not used: the handler runs in this process"},
    )


def _function_role(client: Callable[[str], Any]) -> str:
    iam = client("iam")
    roles = {role["RoleName"]: role["Arn"] for role in iam.list_roles()["Roles"]}
    if "function" in roles:
        return str(roles["function"])
    return str(iam.create_role(RoleName="function", AssumeRolePolicyDocument="{}")["Role"]["Arn"])
