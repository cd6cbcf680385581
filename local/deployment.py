"""Builds the real template with `sam` and deploys it to the local AWS."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError
from rich.console import Console

from local.stack.configuration import (
    ACCESS_KEY,
    REPOSITORY,
    SECRET_KEY,
    TENANT_CLAIM,
    TOKEN_AUDIENCE,
    StackConfiguration,
)

STACK_NAME = "kbfleet"
BUILD_DIRECTORY = Path(".build/local")
WEBHOOK_SECRET_OUTPUT = "SlackWebhookSecretArn"
# What the layers’ Makefiles give to the installer: functions run under this interpreter here, not under Lambda’s.
LAYER_TARGET = f"--python {sys.executable}"


class DeploymentError(Exception):
    """`sam` failed; the message holds what it printed."""


@dataclass(frozen=True)
class Deployment:
    """A deployed stack: its outputs, and whether this deployment changed anything."""

    stack_name: str
    outputs: dict[str, str]
    changed: bool


def local_parameters(configuration: StackConfiguration) -> dict[str, str]:
    """Values of template parameters that differ on a local stack. Those that a template does not have are left out.

    Intervals are divided by the emulator's speed, so that a schedule fits the lifecycles that it watches.
    """

    def shortened(seconds: float, least: int = 1) -> str:
        return str(max(least, round(seconds / configuration.speed)))

    return {
        "FleetName": STACK_NAME,
        "TokenIssuer": configuration.token_issuer,
        "TokenAudience": TOKEN_AUDIENCE,
        "TokenTenantClaim": TENANT_CLAIM,
        "TickSeconds": shortened(15),
        "IngestionStartIntervalSeconds": shortened(10),
        "KnowledgeBasePollSeconds": shortened(15),
    }


def client(configuration: StackConfiguration, service: str) -> Any:
    """A boto3 client of the local AWS, whatever the environment says."""
    return boto3.client(  # type: ignore[call-overload]
        service,
        region_name=configuration.region,
        endpoint_url=configuration.aws_url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(inject_host_prefix=False),
    )


def deploy(
    configuration: StackConfiguration,
    *,
    template: Path = REPOSITORY / "template.yaml",
    stack_name: str = STACK_NAME,
    parameter_overrides: Mapping[str, str] | None = None,
    build_directory: Path | None = None,
    console: Console | None = None,
) -> Deployment:
    """Runs `sam build` and `sam deploy` on a template, then stores the Slack sink's address in the webhook secret.

    parameter_overrides win over `local_parameters`. build_directory is beside the template if not given.
    Raises DeploymentError if a sam command fails or the template is missing.
    """
    if not template.exists():
        raise DeploymentError(f"there is no template {template}")
    console = console or Console(quiet=True)
    build_directory = build_directory or template.parent / BUILD_DIRECTORY
    known = _template_parameters(template)
    parameters = {name: value for name, value in local_parameters(configuration).items() if name in known}
    parameters |= parameter_overrides or {}
    sam = _Sam(configuration, template.parent)
    before = _stack(configuration, stack_name)
    with console.status("Building the functions and layers …"):
        sam.run("build", "--template-file", str(template), "--build-dir", str(build_directory), "--parallel")
    with console.status("Deploying the stack …"):
        sam.run(
            *("deploy", "--template-file", str(build_directory / "template.yaml"), "--stack-name", stack_name),
            *("--resolve-s3", "--capabilities", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"),
            *("--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"),
            *(["--parameter-overrides", *_assignments(parameters)] if parameters else []),
        )
    after = _stack(configuration, stack_name)
    if after is None:
        raise DeploymentError(f"sam deployed, but there is no stack {stack_name}")
    outputs = _outputs(after)
    _store_webhook(configuration, outputs)
    return Deployment(stack_name, outputs, before is None or _revision(before) != _revision(after))


def read_outputs(configuration: StackConfiguration, stack_name: str = STACK_NAME) -> dict[str, str]:
    """Outputs of a deployed stack; none if it is not deployed."""
    stack = _stack(configuration, stack_name)
    return _outputs(stack) if stack else {}


class _Sam:
    def __init__(self, configuration: StackConfiguration, directory: Path) -> None:
        self._directory = directory
        # An AWS profile, or endpoints of another stack, must not have a say here.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        virtual_environment = str(Path(sys.executable).parent)
        self._environment = {
            **inherited,
            **configuration.client_environment(),
            "PATH": os.pathsep.join([virtual_environment, os.environ.get("PATH", os.defpath)]),
            "LAYER_TARGET": LAYER_TARGET,
            "SAM_CLI_TELEMETRY": "0",
        }
        # Only the side services need the local authority; the tools that build layers bring their own list.
        del self._environment["SSL_CERT_FILE"]

    def run(self, *arguments: str) -> str:
        result = subprocess.run(
            [sys.executable, "-m", "samcli", *arguments],
            cwd=self._directory,
            env=self._environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if result.returncode != 0:
            raise DeploymentError(f"sam {arguments[0]} failed:\n{result.stdout}{result.stderr}")
        return result.stdout


def _template_parameters(template: Path) -> set[str]:
    content = yaml.load(template.read_text("utf-8"), _CloudFormationLoader)  # noqa: S506 -- a subclass of SafeLoader
    return set(content.get("Parameters") or {})


class _CloudFormationLoader(yaml.SafeLoader):
    """Reads a template without caring for intrinsic functions in their short form (!Ref …)."""


def _skip_intrinsic(loader: yaml.Loader, suffix: str, node: yaml.Node) -> str:  # noqa: ARG001
    return suffix


_CloudFormationLoader.add_multi_constructor("!", _skip_intrinsic)


def _assignments(parameters: Mapping[str, str]) -> Iterator[str]:
    for name, value in parameters.items():
        yield f"ParameterKey={name},ParameterValue={value}"


def _stack(configuration: StackConfiguration, stack_name: str) -> dict[str, Any] | None:
    try:
        stacks = client(configuration, "cloudformation").describe_stacks(StackName=stack_name)["Stacks"]
    except ClientError as error:
        # CloudFormation's only word for a missing stack is ValidationError.
        if error.response["Error"]["Code"] == "ValidationError":
            return None
        raise
    return dict(stacks[0])


def _outputs(stack: Mapping[str, Any]) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def _revision(stack: Mapping[str, Any]) -> str:
    return str(stack.get("LastUpdatedTime", stack["CreationTime"]))


def _store_webhook(configuration: StackConfiguration, outputs: Mapping[str, str]) -> None:
    if secret := outputs.get(WEBHOOK_SECRET_OUTPUT):
        client(configuration, "secretsmanager").put_secret_value(
            SecretId=secret, SecretString=configuration.slack_webhook
        )
