"""Builds the real template with `sam` and deploys it to the local AWS."""

import contextlib
import fcntl
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
import time
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
    TENANT_CLAIM,
    TOKEN_AUDIENCE,
    StackConfiguration,
)

STACK_NAME = "kbfleet"
DEFAULT_KNOWLEDGE_STORE = "S3_VECTORS"
GENERATION_MODEL_ID = "amazon.nova-lite-v1:0"
"""Can be called on demand in the Region of the local AWS, us-east-1 (docs/deploying.md, "Models")."""
PARSING_MODEL = "amazon.nova-pro-v1:0"
"""Of examples/profiles, which name the inference profile of another geography."""
BUILD_DIRECTORY = Path(".build/local")
FINGERPRINT_TAG = "kbfleet-local:fingerprint"
_DELETION_POLL_SECONDS = 0.5
COMPLETE = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
# Properties of SAM resources that name files beside the template. Nested applications name none themselves.
SOURCE_PROPERTIES = {"CodeUri", "ContentUri", "DefinitionUri", "Location"}
WEBHOOK_SECRET_OUTPUT = "SlackWebhookSecretArn"
LAYER_TARGET = f"--python {sys.executable}"
LAYER_VARIABLES = {"LAYER_TARGET": LAYER_TARGET, "LAYER_PYTHON": sys.executable}
"""What the layers' Makefiles take: functions run under this interpreter here, not under Lambda's."""


class DeploymentError(Exception):
    """`sam` failed; the message holds what it printed."""


@dataclass(frozen=True)
class Deployment:
    """A deployed stack: its outputs, and whether this deployment changed anything."""

    stack_name: str
    outputs: dict[str, str]
    changed: bool


def local_parameters(
    configuration: StackConfiguration, knowledge_store: str = DEFAULT_KNOWLEDGE_STORE
) -> dict[str, str]:
    """Values of template parameters that differ on a local stack. Those that a template does not have are left out.

    Intervals are divided by the emulator's speed, so that they fit the lifecycles that are watched.
    """

    def shortened(seconds: float) -> str:
        return str(max(1, round(seconds / configuration.speed)))

    return {
        "FleetName": STACK_NAME,
        "ConfirmedFleetName": STACK_NAME,
        "KnowledgeStore": knowledge_store,
        "GenerationModelId": GENERATION_MODEL_ID,
        "IngestionModelArns": f"arn:aws:bedrock:{configuration.region}:{configuration.account}:inference-profile/"
        f"{parsing_model_id(configuration)}",
        "TokenIssuer": configuration.token_issuer,
        "TokenAudience": TOKEN_AUDIENCE,
        "TokenTenantClaim": TENANT_CLAIM,
        "TickSeconds": shortened(5),
        "IngestionStartIntervalSeconds": shortened(10),
        "DebounceQuietSeconds": shortened(30),
        "DebounceAtMostSeconds": shortened(300),
        "ChangeEventsAfterSeconds": shortened(600),
        "KnowledgeBaseLookSeconds": shortened(85),
        "QuestionsAfterSeconds": shortened(300),
        "OffboardingRetentionDays": "0",
        "RegistryCacheSeconds": shortened(15),
        # Developers and their scripts ask faster than a tenant's users do. Tier PREMIUM stays what it is.
        "StandardRequestsPerSecond": "20",
        "StandardBurst": "40",
        "StandardRequestsPerMonth": "1000000",
    }


def parsing_model_id(configuration: StackConfiguration) -> str:
    """The inference profile by which profiles may have documents parsed, in the Region of that stack."""
    geography = configuration.region.partition("-")[0]
    return f"{'apac' if geography == 'ap' else geography}.{PARSING_MODEL}"


def client(configuration: StackConfiguration, service: str) -> Any:
    """A boto3 client of the local AWS, whatever the environment says."""
    return boto3.client(  # type: ignore[call-overload]
        service,
        region_name=configuration.region,
        endpoint_url=configuration.aws_url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=configuration.secret_key,
        config=Config(inject_host_prefix=False),
    )


def deploy(
    configuration: StackConfiguration,
    *,
    template: Path = REPOSITORY / "template.yaml",
    stack_name: str = STACK_NAME,
    knowledge_store: str = DEFAULT_KNOWLEDGE_STORE,
    parameter_overrides: Mapping[str, str] | None = None,
    console: Console | None = None,
) -> Deployment:
    """Runs `sam build` and `sam deploy` on a template, then stores the Slack sink's address in the webhook secret.

    Does nothing if the stack was deployed from the same files with the same parameters. What is built is beside the
    template, for all stacks, and is built anew when one of those files has changed.

    knowledge_store is the stack's default. parameter_overrides win over `local_parameters`.
    Raises DeploymentError if a sam command fails or the template is missing.
    """
    if not template.exists():
        raise DeploymentError(f"there is no template {template}")
    console = console or Console(quiet=True)
    content = yaml.load(template.read_text("utf-8"), _CloudFormationLoader)  # noqa: S506 -- a subclass of SafeLoader
    known = content.get("Parameters") or {}
    parameters = {
        name: value for name, value in local_parameters(configuration, knowledge_store).items() if name in known
    }
    parameters |= parameter_overrides or {}
    fingerprint = _fingerprint(template, content, parameters)
    before = _stack(configuration, stack_name)
    if before and _tags(before).get(FINGERPRINT_TAG) == fingerprint and before["StackStatus"] in COMPLETE:
        return Deployment(stack_name, _outputs(before), changed=False)
    sam = _Sam(configuration, template.parent)
    built = _build(sam, template, content, console)
    with _progress(console, "Deploying the stack …"):
        sam.run(
            *("deploy", "--template-file", str(built), "--stack-name", stack_name),
            *("--resolve-s3", "--capabilities", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"),
            *("--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"),
            *("--tags", f"{FINGERPRINT_TAG}={fingerprint}"),
            *(["--parameter-overrides", *_assignments(parameters)] if parameters else []),
        )
    after = _stack(configuration, stack_name)
    if after is None:
        raise DeploymentError(f"sam deployed, but there is no stack {stack_name}")
    outputs = _outputs(after)
    _store_webhook(configuration, outputs)
    return Deployment(stack_name, outputs, changed=True)


def delete(configuration: StackConfiguration, *, stack_name: str = STACK_NAME) -> None:
    """Deletes a stack, and waits for it. Raises DeploymentError if it cannot be deleted, or there is none.

    It is what `sam delete` does once it has deleted its packages. That fails here: it takes the nested template's
    address for no address in S3, since it is one of the local AWS.
    """
    stack = _stack(configuration, stack_name)
    if stack is None:
        raise DeploymentError(f"there is no stack {stack_name}")
    cloudformation = client(configuration, "cloudformation")
    cloudformation.delete_stack(StackName=stack_name)
    # By its id: a deleted stack has no name.
    while (found := _stack(configuration, stack["StackId"])) and found["StackStatus"] == "DELETE_IN_PROGRESS":
        time.sleep(_DELETION_POLL_SECONDS)
    if found is None or found["StackStatus"] != "DELETE_COMPLETE":
        raise DeploymentError(f"stack {stack_name} was not deleted: {found and found.get('StackStatusReason')}")


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
            **LAYER_VARIABLES,
            "SAM_CLI_TELEMETRY": "0",
            # Seconds; the default of 5 is for a CloudFormation that takes minutes.
            "SAM_CLI_POLL_DELAY": "0.5",
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


def _build(sam: _Sam, template: Path, content: Any, console: Console) -> Path:
    """What `sam build` makes of a template, as it was built last if nothing that it is made of has changed."""
    directory = template.parent / BUILD_DIRECTORY
    directory.parent.mkdir(exist_ok=True)
    tools = {"python": sys.version, "sam": importlib.metadata.version("aws-sam-cli"), **LAYER_VARIABLES}
    fingerprint = _fingerprint(template, content, tools)
    made_of = directory.with_suffix(".fingerprint")
    with directory.with_suffix(".lock").open("w") as lock:
        # Stacks that are deployed at one time share the folder.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.exists() or not made_of.exists() or made_of.read_text("ascii") != fingerprint:
            made_of.unlink(missing_ok=True)
            with _progress(console, "Building the functions and layers …"):
                # The cache of sam does not see which interpreter layers were built for.
                sam.run(
                    *("build", "--template-file", str(template), "--build-dir", str(directory)),
                    *("--parallel", "--no-cached"),
                )
            made_of.write_text(fingerprint, "ascii")
    return directory / "template.yaml"


@contextlib.contextmanager
def _progress(console: Console, text: str) -> Iterator[None]:
    """Says what is being done: alive in a terminal, as lines elsewhere."""
    began = time.monotonic()
    if console.is_terminal:
        with console.status(text):
            yield
    else:
        console.print(text)
        yield
    console.print(f"{text.removesuffix(' …')}: {time.monotonic() - began:.0f} s")


def _fingerprint(template: Path, content: Any, parameters: Mapping[str, str]) -> str:
    """A digest of everything that a deployment is made of: the template, the files that it names, the parameters."""
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for file in sorted({template, *_files_of(content, template.parent)}):
        digest.update(str(file.relative_to(template.parent)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _files_of(content: Any, directory: Path) -> Iterator[Path]:
    if isinstance(content, list):
        for entry in content:
            yield from _files_of(entry, directory)
    if not isinstance(content, dict):
        return
    for key, value in content.items():
        if key not in SOURCE_PROPERTIES or not isinstance(value, str):
            yield from _files_of(value, directory)
            continue
        source = directory / value
        for file in [source] if source.is_file() else source.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                yield file


class _CloudFormationLoader(yaml.SafeLoader):
    """Reads a template without caring for intrinsic functions in their short form (!Ref …)."""


def _skip_intrinsic(loader: yaml.Loader, suffix: str, node: yaml.Node) -> str:  # noqa: ARG001
    return suffix


_CloudFormationLoader.add_multi_constructor("!", _skip_intrinsic)


def _assignments(parameters: Mapping[str, str]) -> Iterator[str]:
    for name, value in parameters.items():
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        yield f'ParameterKey={name},ParameterValue="{escaped}"'


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


def _tags(stack: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])}


def _store_webhook(configuration: StackConfiguration, outputs: Mapping[str, str]) -> None:
    if secret := outputs.get(WEBHOOK_SECRET_OUTPUT):
        client(configuration, "secretsmanager").put_secret_value(
            SecretId=secret, SecretString=configuration.slack_webhook
        )
