"""A page on which a developer reads the deployed API's description and tries it, with Swagger UI.

Everything is of one origin, the AWS endpoint's: API Gateway sends no CORS headers, and the side port's certificate is
of an authority that no browser knows. What the page sends goes through here to the API: with the token that the page
was given, or else signed with the local operator's credentials, because a browser cannot sign.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from local import deployment
from local.identity_provider import IdentityProvider
from local.stack.configuration import ACCESS_KEY, StackConfiguration

PATH = "/_kbfleet/api"
"""Of the AWS endpoint. No bucket has such a name, and MiniStack no such path."""

API_URL_OUTPUT = "ApiUrl"
_STAGE = "/v1/"
_TIMEOUT_SECONDS = 35
"""A little more than the 29 seconds after which API Gateway gives up itself."""

_ASSETS = {
    "swagger-ui.css": ("swagger-ui.min.css", "text/css"),
    "swagger-ui-bundle.js": ("swagger-ui-bundle.min.js", "text/javascript"),
}
"""Where Powertools has what the page needs, so that nothing is fetched from elsewhere."""

_LOADS = "default-src 'self' data: 'unsafe-inline'; frame-ancestors 'none'"
"""What the page loads and who may show it: itself, and nobody."""

AsgiApplication = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass(frozen=True)
class ApiPage:
    """The page of one local stack."""

    configuration: StackConfiguration

    def application(self) -> Starlette:
        methods = ["GET", "POST", "PUT", "DELETE"]
        return Starlette(
            routes=[
                Route(f"{PATH}/", self._page),
                Route(f"{PATH}/token", self._token, methods=["POST"]),
                Route(f"{PATH}{_STAGE}{{path:path}}", self._call, methods=methods),
                Route(f"{PATH}/{{name}}", self._asset),
            ],
        )

    async def _page(self, _: Request) -> Response:
        return FileResponse(Path(__file__).with_suffix(".html"), headers={"Content-Security-Policy": _LOADS})

    async def _asset(self, request: Request) -> Response:
        if (asset := _ASSETS.get(request.path_params["name"])) is None:
            return PlainTextResponse("There is no such file.", 404)
        name, kind = asset
        folder = resources.files("aws_lambda_powertools.event_handler.openapi") / "swagger_ui"
        return Response((folder / name).read_bytes(), media_type=kind, headers={"Cache-Control": "max-age=3600"})

    async def _token(self, request: Request) -> Response:
        form = parse_qs((await request.body()).decode())
        tenant, user = (form.get(name, [""])[0] for name in ("tenant", "user"))
        issuer = IdentityProvider.open(self.configuration.token_issuer, self.configuration.signing_key)
        return PlainTextResponse(issuer.mint(tenant, subject=user), headers={"Cache-Control": "no-store"})

    async def _call(self, request: Request) -> Response:
        # In a thread: this event loop has to answer what is called meanwhile.
        return await run_in_threadpool(self._forward, request, await request.body())

    def _forward(self, request: Request, body: bytes) -> Response:
        url = deployment.read_outputs(self.configuration).get(API_URL_OUTPUT)
        if url is None:
            return PlainTextResponse("No stack is deployed yet: kbfleet-local up", 503)
        # As it was sent: a decoded path does not show what is part of a name.
        path = request.scope["raw_path"].decode("ascii").partition(f"{PATH}{_STAGE}")[2]
        query = f"?{request.url.query}" if request.url.query else ""
        wanted = AWSRequest(request.method, f"{url}/{path}{query}", data=body or None)
        if content_type := request.headers.get("Content-Type"):
            wanted.headers["Content-Type"] = content_type
        if authorization := request.headers.get("Authorization"):
            wanted.headers["Authorization"] = authorization
        else:
            credentials = Credentials(ACCESS_KEY, self.configuration.secret_key)
            SigV4Auth(credentials, "execute-api", self.configuration.region).add_auth(wanted)
        answer = URLLib3Session(timeout=_TIMEOUT_SECONDS).send(wanted.prepare())
        kept = {name: value for name, value in answer.headers.items() if name.lower() in _SHOWN_HEADERS}
        return Response(answer.content, answer.status_code, kept)


_SHOWN_HEADERS = {"content-type", "retry-after", "www-authenticate", "x-amzn-requestid"}


def mount(configuration: StackConfiguration, application: AsgiApplication) -> AsgiApplication:
    """Gives the application to serve in place of `application`: it has the page, too."""
    page = ApiPage(configuration).application()

    async def with_page(scope: Any, receive: Any, send: Any) -> None:
        of_the_page = scope["type"] == "http" and scope["path"].startswith(f"{PATH}/")
        await (page if of_the_page else application)(scope, receive, send)

    return with_page
