"""kbfleet's API about documents on a port of loopback: the real functions, with a fleet in memory behind them, and the
tenants' buckets, as far as a browser sees them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import boto3

from examples.kbfleet_client import Kbfleet
from kbfleet.domain.document_links import DocumentLink
from kbfleet.domain.failed_documents import DocumentObject
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.uploads import Upload, UploadForm
from tests.handlers.conftest import Handler
from tests.support.api_requests import queried
from tests.support.failed_documents import InMemoryDocumentLinks
from tests.support.fleet import Fleet
from tests.support.samples import ACME, NAMES, SAKURA
from tests.support.uploads import InMemoryUploads

_FUNCTIONS = {
    "/tenants/{tenant_id}/uploads": "admin/uploads",
    "/tenants/{tenant_id}/documents": "admin/documents",
    "/tenants/{tenant_id}/documents/{document}": "admin/documents",
    "/tenants/{tenant_id}/documents/{document}/link": "ask/links",
}
Answer = tuple[int, dict[str, str], bytes]
CONTENT = b"# Rules\n\nTents are guaranteed for two years.\n"


_UNSIGNED = (403, {"Content-Type": "application/json"}, b'{"message": "Missing Authentication Token"}')
_XML = {"Content-Type": "application/xml"}


class LocalApi:
    """Of the tenants acme and sakura. `asked` are the requests, `opened` the keys that were got by a link, each with
    its bucket; `taken` what was sent by a form."""

    def __init__(self, fleet: Fleet, handler: Callable[[str], Handler]) -> None:
        self.fleet = fleet
        self.asked: list[tuple[str, str]] = []
        self.opened: list[tuple[str, str]] = []
        self.refused_uploads = 0
        self.takes_uploads = True
        self.failures: list[BaseException] = []
        self._functions = {path: handler(path) for path in set(_FUNCTIONS.values())}
        self.changed = Condition()
        self.url = ""
        for tenant_id in (ACME, SAKURA):
            fleet.add(tenant_id)

    # --- what a test sees and does ---

    def put(self, key: str, tenant_id: TenantId = ACME, size: int = 1_000) -> str:
        bucket = NAMES.bucket(Life(tenant_id))
        return self._put(bucket, key, size)

    def _put(self, bucket: str, key: str, size: int) -> str:
        self.fleet.clock.advance(1)
        uri = f"s3://{bucket}/{key}"
        described = DocumentObject(self.fleet.clock.now(), size, None)
        self.fleet.bucket_contents.put(uri, str(self.fleet.clock.now()), described)
        return uri

    def there(self, tenant_id: TenantId = ACME) -> set[str]:
        """The keys of the documents that are there."""
        bucket = NAMES.bucket(Life(tenant_id))
        listed = self.fleet.bucket_contents.entries(bucket, prefix="", after=None, limit=10_000)
        return {entry.key for entry in listed.entries if not entry.deleted}

    def wait_for(self, happened: Callable[[], bool], seconds: float = 20) -> None:
        with self.changed:
            assert self.changed.wait_for(happened, seconds), "it has not happened"

    def client(self) -> Kbfleet:
        session = boto3.Session("AKIAEXAMPLE", "secret", region_name="eu-west-1")
        return Kbfleet(f"{self.url}/v1", session, patience=0)

    # --- what is asked ---

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        path = urlsplit(target).path
        with self.changed:
            try:
                if path.startswith("/v1/"):
                    return self._api(method, path.removeprefix("/v1"), urlsplit(target).query, headers, body)
                bucket, _, key = path.removeprefix("/").partition("/")
                return self._upload(bucket, headers, body) if method == "POST" else self._open(bucket, unquote(key))
            except BaseException as error:  # a test must hear of it, whichever thread it is in
                self.failures.append(error)
                raise
            finally:
                self.changed.notify_all()

    def _api(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Answer:
        self.asked.append((method, path + (f"?{query}" if query else "")))
        if not headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/"):
            return _UNSIGNED
        for resource, function in _FUNCTIONS.items():
            if found := re.fullmatch(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", resource), path):
                request: dict[str, Any] = {
                    "httpMethod": method,
                    "resource": resource,
                    "path": path,
                    "pathParameters": found.groupdict(),
                    "body": body.decode() or None,
                    "requestContext": {"requestId": "01234567-89ab-cdef-0123-456789abcdef"},
                    **queried(**parse_qs(query, keep_blank_values=True)),
                }
                answer = self._functions[function](request)
                told = {name: values[0] for name, values in answer["multiValueHeaders"].items()}
                return answer["statusCode"], told, answer["body"].encode()
        return _UNSIGNED

    def _upload(self, bucket: str, headers: Mapping[str, str], body: bytes) -> Answer:
        kind = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
        parts = BytesParser().parsebytes(kind + body).get_payload()
        fields: dict[str, bytes] = {}
        for part in parts:
            assert not isinstance(part, str)
            name = part.get_param("name", header="content-disposition")
            assert isinstance(name, str)
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            fields[name] = content
        assert list(fields)[-1] == "file"
        given = {
            "key": fields["key"].decode(),
            "Content-Type": fields["Content-Type"].decode(),
            "size": len(fields["file"]),
        }
        if not self.takes_uploads or given != json.loads(fields["policy"]):
            self.refused_uploads += 1
            return 403, _XML, b"<Error><Code>AccessDenied</Code></Error>"
        self._put(bucket, str(given["key"]), len(fields["file"]))
        return 204, {}, b""

    def _open(self, bucket: str, key: str) -> Answer:
        # A browser asks for an icon, too.
        if not key or self.fleet.bucket_contents.find(bucket, f"s3://{bucket}/{key}") is None:
            return 404, _XML, b"<Error><Code>NoSuchKey</Code></Error>"
        self.opened.append((bucket, key))
        return 200, {"Content-Type": "text/plain"}, CONTENT


class _Links(InMemoryDocumentLinks):
    def __init__(self, api: LocalApi) -> None:
        super().__init__(api.fleet.clock)
        self._api = api

    def link(self, bucket: str, key: str, valid_for: timedelta) -> DocumentLink:
        url = f"{self._api.url}/{bucket}/{quote(key, safe='')}?X-Amz-Signature=of-{bucket}"
        return replace(super().link(bucket, key, valid_for), url=url)


class _Uploads(InMemoryUploads):
    def __init__(self, api: LocalApi) -> None:
        super().__init__(api.fleet.clock)
        self._api = api

    def form(self, bucket: str, upload: Upload, valid_for: timedelta) -> UploadForm:
        return replace(super().form(bucket, upload, valid_for), url=f"{self._api.url}/{bucket}")


@contextmanager
def local_api(fleet: Fleet, handler: Callable[[str], Handler]) -> Iterator[LocalApi]:
    """Serves until the block is left, which fails if anything that was asked for raised."""
    api = LocalApi(fleet, handler)

    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer waits for the acknowledgement of its headers

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, told, content = api.answer(self.command, self.path, dict(self.headers.items()), body)
            self.send_response(status)
            for name, value in told.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 -- as the standard library names them

        def log_message(self, *_: Any) -> None:
            """Tests look at `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Requests)
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_port}"
    fleet.document_links = _Links(api)
    fleet.uploads = _Uploads(api)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert api.failures == []
