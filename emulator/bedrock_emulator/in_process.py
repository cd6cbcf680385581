"""A boto3 client connected to an emulator in the same process, without a socket."""

from __future__ import annotations

import io
import sys
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectionClosedError

from bedrock_emulator.emulator import Emulator
from bedrock_emulator.wire.errors import ConnectionBrokenError
from bedrock_emulator.wire.messages import Request


class _Raw(io.BytesIO):
    """What botocore reads an answer from; it is urllib3's response otherwise."""

    def stream(self, amt: int = 65536, **_: Any) -> Any:
        """Its content in pieces."""
        while piece := self.read(amt):
            yield piece


def attach(client: Any, emulator: Emulator) -> Any:
    """Send every request of a boto3 ``client`` to ``emulator``. Gives the same client.

    A broken connection shows as botocore's ConnectionClosedError, which botocore retries as it would on the network.
    """
    service = client.meta.service_model.service_name

    def answer(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        parts = urlsplit(request.url)
        headers = {
            name: value.decode() if isinstance(value, bytes) else str(value) for name, value in request.headers.items()
        }
        received = Request(request.method, parts.path, parts.query, headers, _bytes(request.body))
        try:
            response = emulator.handle(service, received)
        except ConnectionBrokenError:
            raise ConnectionClosedError(endpoint_url=request.url) from None
        sent = HTTPHeaders()
        for name, value in response.headers.items():
            sent[name] = value
        return AWSResponse(request.url, response.status, sent, _Raw(response.body))

    _release_from_moto(client)
    client.meta.events.register_first("before-send", answer)
    return client


def _release_from_moto(client: Any) -> None:
    # botocore calls every handler of the event, so that moto's, where moto is in use, would carry out the call as well:
    # on its own bedrock-agent, or by raising for what it lacks.
    moto = sys.modules.get("moto.core.models")
    if moto is not None:
        client.meta.events.unregister("before-send", moto.botocore_stubber)


def _bytes(body: Any) -> bytes:
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    return bytes(body) if isinstance(body, bytes | bytearray) else _bytes(body.read())
