"""No web page can use a server of the local stack, whatever it makes a browser send and whatever name leads here."""

import json
import socket
from typing import Any

import boto3
import pytest
from botocore.config import Config
from h2.connection import H2Connection
from h2.events import ResponseReceived

from emulator_support.foreign_requests import (
    NAMES,
    OWN,
    Server,
    assert_foreign_requests_are_refused,
    assert_own_requests_are_answered,
)
from local.api_page import PATH
from local.stack.configuration import ACCESS_KEY

SERVERS = (
    ("the AWS endpoint", "/_ministack/health", 200),
    ("the API page", f"{PATH}/", 200),
    ("the emulator's controls", "/_emulator/calls", 200),
    ("the identity provider", "/identity/.well-known/jwks.json", 200),
    ("the Slack sink", "/slack/messages", 200),
    ("the side port", "/health", 200),
    ("a function's runtime API", "/2018-06-01/nothing", 404),
)


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
    if name == "a function's runtime API":
        return Server(request.getfixturevalue("runtime_api"), None, path, status)
    if name in ("the AWS endpoint", "the API page", "the emulator's controls"):
        return Server(configuration.aws_port, None, path, status)
    return Server(configuration.side_port, configuration.trust_bundle, path, status)


@pytest.mark.parametrize("name", NAMES)
def test_what_comes_from_elsewhere_is_refused(server: Server, name: str) -> None:
    assert_foreign_requests_are_refused(server, name)


@pytest.mark.parametrize("name", NAMES)
def test_our_own_requests_are_answered_without_a_word_to_other_pages(server: Server, name: str) -> None:
    assert_own_requests_are_answered(server, name)


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
