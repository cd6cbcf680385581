"""No web page can use a server of the local stack, whatever it makes a browser send and whatever name leads here."""

import asyncio
import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from h2.connection import H2Connection
from h2.events import ResponseReceived

from bedrock_emulator.emulator import Emulator
from bedrock_emulator.server import serving
from local.api_page import PATH
from local.stack.configuration import ACCESS_KEY

OWN = "{name}:{port}"
PREFLIGHT = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization")
SERVERS = (
    ("the AWS endpoint", "/_ministack/health", 200),
    ("the API page", f"{PATH}/", 200),
    ("the emulator's controls", "/_emulator/calls", 200),
    ("the identity provider", "/identity/.well-known/jwks.json", 200),
    ("the Slack sink", "/slack/messages", 200),
    ("the side port", "/health", 200),
    ("a function's runtime API", "/2018-06-01/nothing", 404),
    ("the emulator alone", "/_emulator/faults", 200),
)
FOREIGN: dict[str, tuple[str, str | None, *tuple[str, ...]]] = {
    "a page of another site": ("GET {path} HTTP/1.1", OWN, "Origin: https://evil.example"),
    "a page of another port": ("GET {path} HTTP/1.1", OWN, "Origin: {scheme}://127.0.0.1:3000"),
    "a page of another scheme": ("GET {path} HTTP/1.1", OWN, "Origin: {other_scheme}://{name}:{port}"),
    "a page under our other name": ("GET {path} HTTP/1.1", OWN, "Origin: {scheme}://{other_name}:{port}"),
    "a sandboxed page or a file": ("GET {path} HTTP/1.1", OWN, "Origin: null"),
    "an empty origin": ("GET {path} HTTP/1.1", OWN, "Origin:"),
    "two origins": ("GET {path} HTTP/1.1", OWN, "Origin: {scheme}://{name}:{port}", "Origin: https://evil.example"),
    "a form of another site": (
        "POST {path} HTTP/1.1",
        OWN,
        "Origin: https://evil.example",
        "Content-Type: text/plain",
        "Content-Length: 0",
    ),
    "a picture on another site": ("GET {path} HTTP/1.1", OWN, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"),
    "a picture on another port": ("GET {path} HTTP/1.1", OWN, "Sec-Fetch-Site: same-site"),
    "a browser's new word": ("GET {path} HTTP/1.1", OWN, "Sec-Fetch-Site: anything-else"),
    "two fetch sites": ("GET {path} HTTP/1.1", OWN, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"),
    "a preflight": ("OPTIONS {path} HTTP/1.1", OWN, "Origin: https://evil.example", *PREFLIGHT),
    "a preflight from nowhere": ("OPTIONS {path} HTTP/1.1", OWN, *PREFLIGHT),
    "a websocket of another site": (
        "GET {path} HTTP/1.1",
        OWN,
        "Origin: https://evil.example",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ),
    "a rebound name": ("GET {path} HTTP/1.1", "evil.example:{port}"),
    "a rebound name without port": ("GET {path} HTTP/1.1", "evil.example"),
    "a rebound name that begins like ours": ("GET {path} HTTP/1.1", "{name}.evil.example:{port}"),
    "a rebound name that ends like ours": ("GET {path} HTTP/1.1", "evil.{name}:{port}"),
    "a bucket's name": ("GET {path} HTTP/1.1", "bucket.s3.localhost:{port}"),
    "a trailing dot": ("GET {path} HTTP/1.1", "{name}.:{port}"),
    "upper case": ("GET {path} HTTP/1.1", "LOCALHOST:{port}"),
    "another port": ("GET {path} HTTP/1.1", "{name}:1{port}"),
    "no port": ("GET {path} HTTP/1.1", "{name}"),
    "user information": ("GET {path} HTTP/1.1", "user@{name}:{port}"),
    "our name as user information": ("GET {path} HTTP/1.1", "{name}:{port}@evil.example"),
    "an address that means us": ("GET {path} HTTP/1.1", "0.0.0.0:{port}"),
    "another loopback address": ("GET {path} HTTP/1.1", "127.0.0.2:{port}"),
    "IPv6, on which nothing listens": ("GET {path} HTTP/1.1", "[::1]:{port}"),
    "a number that means us": ("GET {path} HTTP/1.1", "2130706433:{port}"),
    "an empty host": ("GET {path} HTTP/1.1", ""),
    "two hosts": ("GET {path} HTTP/1.1", OWN, "Host: evil.example"),
    "two hosts, ours last": ("GET {path} HTTP/1.1", "evil.example", "Host: {name}:{port}"),
    "two hosts in one": ("GET {path} HTTP/1.1", "{name}:{port}, evil.example"),
    "another authority in the target": ("GET http://evil.example{path} HTTP/1.1", OWN),
    "a whole URL as the target": ("GET {scheme}://{name}:{port}{path} HTTP/1.1", OWN),
    "no host, as HTTP/1.0 allows": ("GET {path} HTTP/1.0", None),
    "no host": ("GET {path} HTTP/1.1", None),
    "no version": ("GET {path}", None),
}


@dataclass(frozen=True)
class Server:
    port: int
    trust: Path | None
    path: str
    status: int

    def answer(self, start: str, *headers: str, name: str = "127.0.0.1") -> tuple[int, str]:
        """Sends a request as it stands; gives the status and the head. `name` is what we are called."""
        scheme, other_scheme = ("http", "https") if self.trust is None else ("https", "http")
        values = {
            "path": self.path,
            "port": self.port,
            "name": name,
            "other_name": "localhost" if name == "127.0.0.1" else "127.0.0.1",
            "scheme": scheme,
            "other_scheme": other_scheme,
        }
        lines = [line.format(**values) for line in (start, *headers)]
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain,
            self._secured(plain) as connection,
        ):
            connection.sendall(("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode())
            received = b"".join(iter(lambda: connection.recv(65536), b""))
        head = received.partition(b"\r\n\r\n")[0].decode("latin-1")
        status = re.match(r"HTTP/1\.[01] (\d+)", head)
        # What has no version is answered without a status, too.
        return int(status[1]) if status else 403 if b"403" in received else 0, head

    def _secured(self, plain: socket.socket) -> socket.socket:
        if self.trust is None:
            return plain
        return ssl.create_default_context(cafile=str(self.trust)).wrap_socket(plain, server_hostname="127.0.0.1")


@pytest.fixture(scope="module")
def emulator_alone() -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    port, descriptor = listener.getsockname()[1], listener.detach()  # the server closes it
    loop, ended = asyncio.new_event_loop(), asyncio.Event()
    emulator = Emulator(embedder="character")
    thread = threading.Thread(
        target=loop.run_until_complete, args=(serving(emulator, f"fd://{descriptor}", ended.wait),)
    )
    thread.start()
    yield port
    loop.call_soon_threadsafe(ended.set)
    thread.join(10)
    loop.close()


@pytest.fixture(scope="module")
def runtime_api(stack: Any) -> int:
    """The port of the runtime API of a function that has just run."""
    function = stack.make_function(
        "import os\ndef handler(event, context): return os.environ['AWS_LAMBDA_RUNTIME_API']"
    )
    _, address = stack.invoke(function)
    return int(address.rpartition(":")[2])


@pytest.fixture(params=SERVERS, ids=[server[0] for server in SERVERS])
def server(request: pytest.FixtureRequest, stack: Any) -> Server:
    name, path, status = request.param
    configuration = stack.configuration
    if name in ("the emulator alone", "a function's runtime API"):
        fixture = "emulator_alone" if name == "the emulator alone" else "runtime_api"
        return Server(request.getfixturevalue(fixture), None, path, status)
    if name in ("the AWS endpoint", "the API page", "the emulator's controls"):
        return Server(configuration.aws_port, None, path, status)
    return Server(configuration.side_port, configuration.trust_bundle, path, status)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_what_comes_from_elsewhere_is_refused(server: Server, name: str) -> None:
    refused = {}
    for what, (start, host, *headers) in FOREIGN.items():
        named = () if host is None else (f"Host: {host}",)
        refused[what] = server.answer(start, *named, *headers, name=name)[0]
    # 400: the server itself refuses what is no proper request.
    assert {what: status for what, status in refused.items() if status not in (400, 403)} == {}
    assert refused["a page of another site"] == refused["a rebound name"] == 403


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("Sec-Fetch-Site: none",),
        ("Sec-Fetch-Site: same-origin", "Origin: {scheme}://{name}:{port}"),
    ],
)
def test_our_own_requests_are_answered_without_a_word_to_other_pages(
    server: Server, name: str, headers: tuple[str, ...]
) -> None:
    status, head = server.answer("GET {path} HTTP/1.1", f"Host: {OWN}", *headers, name=name)
    assert status == server.status
    assert "access-control-" not in head.lower()


@pytest.mark.parametrize(
    ("authority", "headers", "status"),
    [
        (OWN, (), "200"),
        ("evil.example:{port}", (), "403"),
        (OWN, (("origin", "null"),), "403"),
        (OWN, (("sec-fetch-site", "cross-site"),), "403"),
    ],
)
def test_it_is_the_same_over_http_2(
    stack: Any, authority: str, headers: tuple[tuple[str, str], ...], status: str
) -> None:
    port = stack.configuration.aws_port
    own = authority.format(name="127.0.0.1", port=port)
    client = H2Connection()
    client.initiate_connection()
    request = ((":method", "GET"), (":scheme", "http"), (":authority", own), (":path", "/_ministack/health"))
    client.send_headers(1, [*request, *headers], end_stream=True)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(client.data_to_send())
        answers: list[ResponseReceived] = []
        while not answers:
            events = client.receive_data(connection.recv(65536))
            answers = [event for event in events if isinstance(event, ResponseReceived)]
    assert dict(answers[0].headers)[b":status"] == status.encode()


def test_a_refusal_says_what_it_refuses(stack: Any) -> None:
    server = Server(stack.configuration.aws_port, None, "/", 403)
    connection = socket.create_connection(("127.0.0.1", server.port))
    with connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    assert "127.0.0.1" in text
    assert "evil" not in text


def test_no_page_can_make_a_function(stack: Any) -> None:
    """The whole attack: a form of another site whose body is what CreateFunction takes."""
    server = Server(stack.configuration.aws_port, None, "/2015-03-31/functions", 403)
    body = json.dumps({"FunctionName": "of-a-page", "Code": {"ZipFile": ""}, "Role": "arn:aws:iam::0:role/any"})
    sent = ("POST {path} HTTP/1.1", f"Host: {OWN}", "Content-Type: text/plain", f"Content-Length: {len(body)}")
    assert server.answer(*sent, "Origin: https://evil.example")[0] == 403
    names = [function["FunctionName"] for function in stack.client("lambda").list_functions()["Functions"]]
    assert "of-a-page" not in names


def test_what_a_bucket_holds_cannot_act_in_a_browser(stack: Any) -> None:
    """A document that is opened in a browser is of our origin: it must not be able to use the API page."""
    s3 = stack.client("s3")
    s3.create_bucket(Bucket="of-a-tenant")
    s3.put_object(Bucket="of-a-tenant", Key="page.html", Body=b"<script></script>", ContentType="text/html")
    signer = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=stack.configuration.aws_url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=stack.configuration.secret_key,
        config=Config(signature_version="s3v4"),
    )
    address = signer.generate_presigned_url("get_object", Params={"Bucket": "of-a-tenant", "Key": "page.html"})
    server = Server(stack.configuration.aws_port, None, "/" + address.split("/", 3)[3], 200)
    status, head = server.answer("GET {path} HTTP/1.1", f"Host: {OWN}", "Sec-Fetch-Site: none")
    assert status == 200
    assert "content-security-policy: sandbox" in head.lower()
