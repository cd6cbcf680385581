"""A template with one of each kind of resource is built and deployed by `sam`, and works."""

import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from shutil import copytree
from typing import Any
from uuid import uuid4

import pytest

from local import deployment
from local.deployment import Deployment, DeploymentError
from local.stack.configuration import StackConfiguration

pytestmark = [pytest.mark.local_stack, pytest.mark.timeout(180)]
SAMPLE_APPLICATION = Path(__file__).parent / "sample_application"


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the application, so that nothing is built in the repository."""
    return Path(copytree(SAMPLE_APPLICATION, tmp_path_factory.mktemp("sources") / "application"))


@pytest.fixture(scope="session")
def application(stack: Any, sources: Path) -> Deployment:
    return deployment.deploy(stack.configuration, template=sources / "template.yaml", stack_name="sample")


def run_workflow(stack: Any, application: Deployment, given: dict[str, Any]) -> dict[str, Any]:
    states = stack.client("stepfunctions")
    execution = states.start_execution(
        stateMachineArn=application.outputs["WorkflowArn"],
        name=f"run-{uuid4().hex[:8]}",
        input=json.dumps({"wait": "nothing", **given}),
    )["executionArn"]

    def token_or_end() -> str | None:
        if states.describe_execution(executionArn=execution)["status"] != "RUNNING":
            return "ended"
        for event in states.get_execution_history(executionArn=execution)["events"]:
            if event["type"] == "TaskScheduled" and "task_token" in event["taskScheduledEventDetails"]["parameters"]:
                payload = json.loads(event["taskScheduledEventDetails"]["parameters"])["Payload"]
                return str(payload["task_token"])
        return None

    # A function that is to fail its task must not find it answered.
    if given.get("wait") != "fail" and (token := stack.eventually(token_or_end)) != "ended":
        states.send_task_success(taskToken=token, output="{}")

    def ended() -> dict[str, Any] | None:
        described: dict[str, Any] = states.describe_execution(executionArn=execution)
        return None if described["status"] == "RUNNING" else described

    result: dict[str, Any] = stack.eventually(ended)
    return result


def test_everything_is_deployed(application: Deployment) -> None:
    assert application.changed
    assert application.outputs["VectorBucketArn"].startswith("arn:aws:s3vectors:")


def test_a_layer_is_built_for_this_interpreter(stack: Any, application: Deployment) -> None:
    error, answer = stack.invoke(application.outputs["StepFunctionName"], {"do": "nothing"})
    assert (error, answer["greeting"]) == (None, "hello step")
    assert answer["built_for"] == deployment.LAYER_TARGET
    assert sys.executable in deployment.LAYER_TARGET


def test_a_parameter_for_the_local_stack_arrives(stack: Any, application: Deployment) -> None:
    _, answer = stack.invoke(application.outputs["StepFunctionName"], {"do": "environment"})
    assert answer["variables"]["TOKEN_ISSUER"] == stack.configuration.token_issuer


def test_a_function_reaches_the_token_issuer(stack: Any, application: Deployment) -> None:
    url = f"{stack.configuration.token_issuer}/.well-known/jwks.json"
    error, answer = stack.invoke(application.outputs["StepFunctionName"], {"do": "fetch", "url": url})
    assert error is None
    assert answer["body"]["keys"]


def test_the_webhook_is_in_the_secret(stack: Any, application: Deployment) -> None:
    secret = stack.client("secretsmanager").get_secret_value(SecretId=application.outputs["SlackWebhookSecretArn"])
    assert secret["SecretString"] == stack.configuration.slack_webhook


def test_the_workflow_retries_waits_records_and_announces(stack: Any, application: Deployment) -> None:
    ended = run_workflow(stack, application, {"try": "fail once"})
    assert ended["status"] == "SUCCEEDED", ended
    name = ended["name"]
    item = stack.client("dynamodb").query(
        TableName=application.outputs["TableName"],
        IndexName="by-state",
        KeyConditionExpression="#state = :ready",
        FilterExpression="PK = :name",
        ExpressionAttributeNames={"#state": "state"},
        ExpressionAttributeValues={":ready": {"S": "READY"}, ":name": {"S": name}},
    )
    assert item["Count"] == 1
    [event] = stack.receive(application.outputs["AlertsUrl"])
    assert json.loads(event)["detail"] == {"outcome": "FAILED", "name": name}


def test_the_workflow_ends_in_its_fail_state(stack: Any, application: Deployment) -> None:
    for given in ({"try": "fail"}, {"try": "nothing", "wait": "fail"}):
        ended = run_workflow(stack, application, given)
        assert (ended["status"], ended["error"]) == ("FAILED", "WorkflowFailed")
        assert "cannot be done" in ended["cause"]


def test_a_function_ticks_itself_through_a_fifo_queue(stack: Any, application: Deployment) -> None:
    stack.client("sqs").send_message(
        QueueUrl=application.outputs["TicksUrl"],
        MessageBody="3",
        MessageGroupId="ticks",
        MessageDeduplicationId=str(time.time()),
    )

    def ticked() -> bool:
        item = stack.client("dynamodb").get_item(
            TableName=application.outputs["TableName"], Key={"PK": {"S": "TICKS"}, "SK": {"S": "COUNT"}}
        )
        return bool(item.get("Item", {}).get("ticks", {}).get("N") == "3")

    assert stack.eventually(ticked)


def test_the_api_answers_at_its_output(stack: Any, application: Deployment) -> None:
    def ask(token: str) -> tuple[int, str | None, Any]:
        request = urllib.request.Request(  # noqa: S310
            f"{application.outputs['ApiUrl']}/ask", b"{}", {"Authorization": f"Bearer {token}"}
        )
        try:
            response = urllib.request.urlopen(request)  # noqa: S310
        except urllib.error.HTTPError as error:
            response = error
        with response:
            return response.status, response.headers["Content-Type"], json.load(response)

    key = stack.client("apigateway").create_api_key(name="acme", value="usage-key-of-tenant-acme", enabled=True)
    stack.client("apigateway").create_usage_plan_key(
        usagePlanId=application.outputs["PlanId"], keyId=key["id"], keyType="API_KEY"
    )
    assert ask("tenant-acme")[0] == 200
    problem = "application/problem+json"
    assert ask("tenant-without-key")[:2] == (403, problem)
    assert ask("nobody")[:2] == (401, problem)
    assert ask("tenant-banned") == (403, problem, {"type": "about:blank", "title": "Forbidden", "status": 403})


def test_a_deployment_without_changes_does_nothing_and_one_with_changes_only_what_changed(
    stack: Any, application: Deployment, sources: Path
) -> None:
    template, built = sources / "template.yaml", sources / deployment.BUILD_DIRECTORY / "template.yaml"
    built_at = built.stat().st_mtime_ns
    again = deployment.deploy(stack.configuration, template=template, stack_name="sample")
    assert again == Deployment("sample", application.outputs, changed=False)
    changed = deployment.deploy(
        stack.configuration, template=template, stack_name="sample", parameter_overrides={"Greeting": "good evening"}
    )
    assert changed.changed
    assert changed.outputs["TableName"] == application.outputs["TableName"]
    _, answer = stack.invoke(application.outputs["StepFunctionName"], {"do": "environment"})
    assert answer["variables"]["GREETING"] == "good evening"
    assert built.stat().st_mtime_ns == built_at


def test_what_is_built_is_built_anew_for_another_interpreter(
    stack: Any,
    application: Deployment,
    sources: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = sources / deployment.BUILD_DIRECTORY / "template.yaml"
    built_at = built.stat().st_mtime_ns
    monkeypatch.setattr(deployment, "LAYER_VARIABLES", {**deployment.LAYER_VARIABLES, "LAYER_OF": "another"})
    deployment.deploy(
        stack.configuration,
        template=sources / "template.yaml",
        stack_name="sample",
        parameter_overrides={"Greeting": "good night"},
    )
    assert built.stat().st_mtime_ns > built_at


def test_a_change_of_a_nested_application_alone_is_deployed(stack: Any, sources: Path) -> None:
    def deploy() -> Deployment:
        return deployment.deploy(stack.configuration, template=sources / "template.yaml", stack_name="sample")

    def threshold(deployed: Deployment) -> float:
        named = {"AlarmNames": [deployed.outputs["AlarmName"]]}
        [alarm] = stack.client("cloudwatch").describe_alarms(**named)["MetricAlarms"]
        assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": deployed.outputs["AlertsUrl"].rpartition("/")[2]}]
        return float(alarm["Threshold"])

    before = deploy()
    assert threshold(before) == 900
    nested = sources / "watching" / "template.yaml"
    nested.write_text(nested.read_text("utf-8").replace("Threshold: 900", "Threshold: 60"), "utf-8")
    changed = deploy()
    assert changed.outputs["AlarmName"] == before.outputs["AlarmName"]
    assert threshold(changed) == 60


def test_a_missing_template_is_said(stack: Any, tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="there is no template"):
        deployment.deploy(stack.configuration, template=tmp_path / "template.yaml")


def test_a_failed_command_is_said_with_its_reason(stack: Any, tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    template.write_text("Resources: {Function: {Type: AWS::Serverless::Function, Properties: {CodeUri: none/}}}\n")
    for _ in range(2):
        with pytest.raises(DeploymentError, match="sam build failed"):
            deployment.deploy(stack.configuration, template=template, stack_name="no-such")


def test_intervals_shrink_with_the_emulators_speed(tmp_path: Path) -> None:
    real = deployment.local_parameters(StackConfiguration(state_directory=tmp_path, speed=1))
    fast = deployment.local_parameters(StackConfiguration(state_directory=tmp_path, speed=5))
    assert (real["IngestionStartIntervalSeconds"], fast["IngestionStartIntervalSeconds"]) == ("10", "2")
