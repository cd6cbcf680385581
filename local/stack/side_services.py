"""What the product reaches outside AWS, on one https port: the identity provider and Slack."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from local.identity_provider import IdentityProvider
from local.slack_sink import SlackSink
from local.stack.configuration import StackConfiguration

HEALTH_PATH = "/health"


def side_services(configuration: StackConfiguration) -> Starlette:
    """The application of the side port."""

    async def health(_: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    identity = IdentityProvider.open(configuration.token_issuer, configuration.signing_key)
    slack = SlackSink(configuration.slack_messages)
    return Starlette(
        routes=[
            Route(HEALTH_PATH, health),
            Mount("/identity", identity.application()),
            Mount("/slack", slack.application()),
        ]
    )
