"""What alerts are sent with: the secret that an operator stores after deploying."""

from __future__ import annotations

from cli.fleet_api import FleetUnreachable
from cli.fleet_stack import FleetStack, asking
from kbfleet.domain.errors import InvalidInput

_KINDS = {
    "SLACK_WEBHOOK": ("https://", "The Slack webhook", "the URL of a Slack incoming webhook"),
    "SLACK_BOT": ("xoxb-", "The Slack app's token", "the bot token of a Slack app"),
}
RESOURCE = "SlackWebhookSecret"


def kind(stack: FleetStack) -> tuple[str, str, str] | None:
    """How the secret of the stack's channel begins, what it is, and what to put there; `None` for a channel that needs
    none."""
    return _KINDS.get(stack.parameters.get("AlertChannel", "SLACK_WEBHOOK"))


def store(stack: FleetStack, secret: str) -> str:
    """Returns: what was stored, in words.

    Raises: InvalidInput, FleetUnreachable.
    """
    wanted = kind(stack)
    if wanted is None:
        raise InvalidInput("secret", f"the channel {stack.parameters['AlertChannel']} needs none.")
    begins, _, what = wanted
    if not secret.startswith(begins):
        raise InvalidInput("secret", f"{what} begins with {begins}; nothing was stored.")
    if RESOURCE not in stack.resources:
        raise FleetUnreachable(f"Stack {stack.name} has no {RESOURCE}; deploy this release first.")
    with asking("The secret could not be stored (secretsmanager:PutSecretValue)"):
        stack.client("secretsmanager").put_secret_value(SecretId=stack.resources[RESOURCE], SecretString=secret)
    return what
