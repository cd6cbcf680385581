"""Where a local stack lives and how it is reached. Everything that differs between two stacks is here."""

import contextlib
import os
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path

from local.delays import DEFAULT as DEFAULT_DELAYS
from local.delays import Delays

REPOSITORY = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"
DEFAULT_AWS_PORT = 4566
DEFAULT_SIDE_PORT = 4567
# MiniStack takes this as the account's root user, also with authorization on.
ACCESS_KEY = "test"
TOKEN_AUDIENCE = "kbfleet"
TENANT_CLAIM = "custom:tenant_id"


def _default_state_directory() -> Path:
    return Path(os.environ.get("KBFLEET_LOCAL_STATE", REPOSITORY / ".local"))


@dataclass(frozen=True, kw_only=True)
class StackConfiguration:
    """One local stack.

    state_directory: everything that the stack writes (process id, logs, certificates, recorded Slack messages).
    aws_port, side_port: loopback ports of the AWS endpoint (http) and of the side services (https).
    speed: how many times faster than AWS the Bedrock emulator's lifecycles run.
    authorization: True checks every call against IAM policies, False lets everybody who can sign do anything.
    function_concurrency: most environments of one Lambda function at a time; further invocations wait.
    account_concurrency: most invocations at a time of all functions together; further ones are throttled. None is as
        many as the machine bears.
    delays: how long things take that MiniStack does at once.
    corrections: names of the corrections to apply (modules of `local.corrections`); None is all of them.
    """

    state_directory: Path = field(default_factory=_default_state_directory)
    aws_port: int = DEFAULT_AWS_PORT
    side_port: int = DEFAULT_SIDE_PORT
    region: str = "us-east-1"
    account: str = "000000000000"
    speed: float = 60.0
    authorization: bool = False
    function_concurrency: int = 8
    account_concurrency: int | None = None
    delays: Delays = DEFAULT_DELAYS
    corrections: tuple[str, ...] | None = None

    @property
    def aws_url(self) -> str:
        return f"http://{LOOPBACK}:{self.aws_port}"

    @property
    def side_url(self) -> str:
        return f"https://{LOOPBACK}:{self.side_port}"

    @property
    def token_issuer(self) -> str:
        return f"{self.side_url}/identity"

    @property
    def slack_webhook(self) -> str:
        return f"{self.side_url}/slack/services/T00000000/B00000000/local"

    @property
    def log_file(self) -> Path:
        return self.state_directory / "stack.log"

    @property
    def secret_key_file(self) -> Path:
        return self.state_directory / "secret-access-key"

    @property
    def secret_key(self) -> str:
        """What ACCESS_KEY signs with. Raises FileNotFoundError if the stack was never started."""
        return self.secret_key_file.read_text("ascii")

    @property
    def trust_bundle(self) -> Path:
        """Certificate authorities that a client of the side services has to trust, as one PEM file."""
        return self.state_directory / "tls" / "trust-bundle.pem"

    @property
    def slack_messages(self) -> Path:
        return self.state_directory / "slack-messages.jsonl"

    @property
    def signing_key(self) -> Path:
        return self.state_directory / "identity-signing-key.pem"

    def client_environment(self) -> dict[str, str]:
        """Environment variables that point boto3, the AWS CLI and SAM at this stack.

        Host prefixes are off because `sync-states.127.0.0.1` and the like do not resolve (StartSyncExecution,
        TestState).
        """
        return {
            "AWS_ENDPOINT_URL": self.aws_url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
            "SSL_CERT_FILE": str(self.trust_bundle),
        }


def free_port() -> int:
    """A loopback port that nobody listens on now.

    Another process may take it before the caller does. So it is none of those that systems give to clients, which come
    and go all the time: 32768 and more on Linux (`ip_local_port_range`), 49152 and more elsewhere (RFC 6335).
    """
    while True:
        port = 20_000 + secrets.randbelow(12_768)  # nobody has seeded it
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port


def is_listening(port: int) -> bool:
    """Whether something accepts connections on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0
