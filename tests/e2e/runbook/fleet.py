"""A fleet on the local AWS that is broken and repaired, as the person sees it who is woken by Slack."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from local import deployment
from local.identity_provider import IdentityProvider
from local.slack_sink import SlackSink, commands_of, message_as_text
from local.stack.configuration import StackConfiguration

RUNBOOK = "https://example.com/runbook"
Seen = TypeVar("Seen")
_DENIED = "taken-away-by-a-drill"


@dataclass(frozen=True)
class Message:
    """What Slack was sent, as people read it."""

    title: str
    text: str
    command: str
    """Empty if it holds none."""

    @property
    def over(self) -> bool:
        return self.title.startswith("🟢")


@dataclass(frozen=True)
class Fleet:
    """`configuration` is of a running stack with the template deployed, `programs` the folder of the command line."""

    configuration: StackConfiguration
    outputs: Mapping[str, str]
    resources: Mapping[str, str]
    programs: Path = Path(sys.executable).parent

    def client(self, service: str) -> Any:
        return deployment.client(self.configuration, service)

    def run(self, command: str, answers: str = "") -> subprocess.CompletedProcess[str]:
        """Runs one line in a shell whose credentials are the operator's. Args: answers: what is typed when asked."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        interpreter = str(Path(sys.executable).parent)
        programs = os.pathsep.join([str(self.programs), interpreter, os.environ.get("PATH", os.defpath)])
        return subprocess.run(  # noqa: S602 -- as it stands in a message or in a page, for a shell
            command,
            shell=True,
            env=inherited
            | self.configuration.client_environment()
            | {"PATH": programs, "SAM_CLI_TELEMETRY": "0", "COLUMNS": "250"},
            input=answers,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def succeeds(self, command: str) -> str:
        ran = self.run(command)
        assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    def messages(self) -> list[Message]:
        """All that Slack was sent, the oldest first."""
        sent = [record["message"] for record in SlackSink(self.configuration.slack_messages).messages()]
        return [
            Message(str(message["text"]), message_as_text(message), "".join(commands_of(message))) for message in sent
        ]

    def tenant(self, tenant: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.succeeds(f"kbfleet tenant show {tenant} --json"))
        return found

    def upload(self, tenant: str, key: str, content: bytes) -> None:
        self.client("s3").put_object(Bucket=self.tenant(tenant)["bucket_name"], Key=key, Body=content)

    def fault(self, **order: Any) -> None:
        """Orders a fault of the Bedrock emulator; see bedrock_emulator/world/faults.py."""
        self._emulator("POST", order)

    def no_faults(self) -> None:
        self._emulator("DELETE", None)

    def _emulator(self, method: str, order: object) -> None:
        url = f"{self.configuration.aws_url}/_emulator/faults"
        body = None if order is None else json.dumps(order).encode()
        with urllib.request.urlopen(urllib.request.Request(url, body, method=method), timeout=30):  # noqa: S310 -- ours
            pass

    def ask(self, tenant: str, question: str) -> None:
        token = IdentityProvider.open(self.configuration.token_issuer, self.configuration.signing_key).mint(tenant)
        self.succeeds(f"kbfleet ask {shlex.quote(question)} --token {token}")

    # --- permissions ---

    def take_away(self, role: str, *actions: str) -> None:
        """Args: role: by the name in the template of the role, or of the function whose role it is, else its own."""
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": [*actions], "Resource": "*"}]}
        self.client("iam").put_role_policy(
            RoleName=self._role(role), PolicyName=_DENIED, PolicyDocument=json.dumps(policy)
        )

    def give_back(self, role: str) -> None:
        """Does nothing where nothing was taken away."""
        iam = self.client("iam")
        with suppress(iam.exceptions.NoSuchEntityException):
            iam.delete_role_policy(RoleName=self._role(role), PolicyName=_DENIED)

    def _role(self, name: str) -> str:
        return self.resources.get(f"{name}Role" if name.endswith("Function") else name, name)

    def start_anew(self, function: str) -> None:
        """Has a function forget what it has kept in memory, as a new environment of it would."""
        functions, name = self.client("lambda"), self.resources[function]
        timeout = functions.get_function_configuration(FunctionName=name)["Timeout"]
        functions.update_function_configuration(FunctionName=name, Timeout=timeout)

    # --- queues and alarms ---

    def impatient(self, queue: str, tries: int) -> None:
        """Gives up on a queue's messages after a few tries, a second apart, instead of after minutes or hours."""
        sqs, url = self.client("sqs"), self.resources[queue]
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"]
        redrive = {**json.loads(attributes["RedrivePolicy"]), "maxReceiveCount": tries}
        changed = {"VisibilityTimeout": "1", "RedrivePolicy": json.dumps(redrive)}
        sqs.set_queue_attributes(QueueUrl=url, Attributes=changed)

    def set_threshold(self, alarm: str, threshold: float) -> None:
        """Has an alarm go off at less than the template says, so that nobody has to wait for hours, or so again."""
        cloudwatch, name = self.client("cloudwatch"), self.resources[alarm]
        [found] = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        members = cloudwatch.meta.service_model.operation_model("PutMetricAlarm").input_shape.members
        settings = {member: value for member, value in found.items() if member in members}
        cloudwatch.put_metric_alarm(**{**settings, "Threshold": threshold})

    def alarm_state(self, alarm: str) -> str:
        found = self.client("cloudwatch").describe_alarms(AlarmNames=[self.resources[alarm]])["MetricAlarms"]
        return str(found[0]["StateValue"])

    def waiting(self, queue: str) -> int:
        """Messages in a queue, those that somebody works on among them."""
        counted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        url = self.resources[queue]
        attributes = self.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=counted)["Attributes"]
        return sum(int(attributes[name]) for name in counted)
