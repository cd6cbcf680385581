"""Keeps web pages away from a server on the loopback interface.

A browser lets any page send requests to the loopback interface, and any name can be made to lead here (DNS rebinding).
It cannot be made to lie about either: `Host` holds the name that was asked for, `Origin` the page that asks, and
`Sec-Fetch-Site` how both are related. So a request is answered only under the server's own names, and not when a
browser says that another origin has made it. Other origins' preflights are refused, and no answer allows any.

Sources: Fetch Standard ("Origin" header, CORS-preflight request); W3C, Fetch Metadata Request Headers; RFC 9112,
"Request Target" and "Host"; W3C, Content Security Policy Level 3 ("sandbox").
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from starlette.responses import PlainTextResponse

NAMES = ("127.0.0.1", "localhost")
"""What a server that listens on 127.0.0.1 is called."""

FORBIDDEN = 403
_FROM_HERE = {"same-origin", "none"}  # "none": the person in front of the browser has opened it
_SANDBOX = (b"content-security-policy", b"sandbox")

AsgiApplication = Callable[[Any, Any, Any], Awaitable[None]]


def refusal(target: str, headers: Iterable[tuple[str, str]], *, scheme: str, port: int) -> str | None:
    """Why a request is not answered, as a sentence without anything of the request in it; None if it is.

    target: as the request line has it. headers: all of them, also those that are sent twice.
    scheme, port: of the server: http or https, and where it listens.
    """
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value)
    own = [f"{name}:{port}" for name in NAMES]
    hosts = values.get("host", [])
    if len(hosts) != 1 or hosts[0] not in own or not target.startswith("/"):
        return f"This server answers to {' and '.join(own)} only."
    if any(origin != f"{scheme}://{hosts[0]}" for origin in values.get("origin", [])):
        return "This server is not for pages of other origins."
    if not _FROM_HERE.issuperset(values.get("sec-fetch-site", [])):
        return "This server is not for pages of other origins."
    if "access-control-request-method" in values:
        return "This server allows no other origins."
    return None


class SameOriginOnly:
    """An ASGI application that hands on what `refusal` lets through, and takes CORS headers out of the answers."""

    def __init__(self, application: AsgiApplication) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
            return
        headers = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
        reason = refusal(scope["raw_path"].decode("latin-1"), headers, scheme=scheme, port=scope["server"][1])
        if reason is not None:
            await PlainTextResponse(f"{reason}\n", FORBIDDEN)(scope, receive, send)
            return
        await self._application(scope, receive, _for_no_other_origin(send))


def _for_no_other_origin(send: Any) -> Any:
    async def send_for_no_other_origin(message: Any) -> None:
        if "headers" in message:
            kept = [pair for pair in message["headers"] if not pair[0].lower().startswith(b"access-control-")]
            # A document that is opened in a browser must not act as a page of this server.
            if all(name.lower() != _SANDBOX[0] for name, _ in kept):
                kept.append(_SANDBOX)
            message = {**message, "headers": kept}
        await send(message)

    return send_for_no_other_origin
