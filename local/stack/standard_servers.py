"""Keeps web pages away from the servers that others make in this process, as `SameOriginOnly` does from ours."""

from http.server import BaseHTTPRequestHandler

from bedrock_emulator.same_origin import FORBIDDEN, refusal


def guard_standard_servers() -> None:
    """Puts `refusal` before every server of this process that is made with http.server.

    MiniStack makes one for each environment of a Lambda function, of a class within a function: the runtime API.
    """
    parse_request = BaseHTTPRequestHandler.parse_request

    def parse_own_request(handler: BaseHTTPRequestHandler) -> bool:
        if not parse_request(handler):
            return False
        port = handler.connection.getsockname()[1]
        reason = refusal(handler.path, handler.headers.items(), scheme="http", port=port)
        if reason is not None:
            handler.close_connection = True
            handler.send_error(FORBIDDEN, reason)
        return reason is None

    BaseHTTPRequestHandler.parse_request = parse_own_request  # type: ignore[assignment, method-assign]
