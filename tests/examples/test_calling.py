"""The back ends of docs/calling.md, with kbfleet's answers scripted. In tests/e2e/test_calling.py they call
the deployed API."""

from __future__ import annotations

import ast
import inspect
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi.testclient import TestClient
from jwt.algorithms import RSAAlgorithm

from examples import fastapi_app
from examples.kbfleet_client import DocumentLink, Kbfleet, KbfleetProblem
from kbfleet.contracts import parse
from kbfleet.contracts.asking import AskRequest, AskResponse, TenantAskRequest
from kbfleet.contracts.document_listing import DocumentLinkRequest
from kbfleet.contracts.documents import UploadRequest
from kbfleet.domain.document_names import key_of
from kbfleet.openapi.document import document
from tests.support.backends import ANSWER, DjangoBackend, django_backend
from tests.support.http_server import Reply, ScriptedServer, serving

EXAMPLES = Path(__file__).parents[2] / "examples"
ISSUER, AUDIENCE = "https://users.example.com", "product"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PROBLEMS: list[tuple[int, str, str | None, int]] = [
    # what kbfleet says, its Retry-After, what users of the FastAPI back end get
    (401, "token-refused", None, 401),
    (403, "access-denied", None, 409),
    (403, "tenant-not-provisioned", None, 409),
    (409, "tenant-suspended", None, 409),
    (400, "invalid-input", None, 400),
    (400, "session-refused", None, 409),
    (429, "quota-exceeded", "3600", 429),
    (429, "throttled", "9", 429),
    (503, "not-ready-yet", "9", 503),
    (502, "access-refused", None, 502),
]


def answered(body: object = ANSWER, status: int = 200) -> Reply:
    return Reply(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


def problem(status: int, name: str, retry_after: str | None = None) -> Reply:
    reported = {"type": f"urn:kbfleet:problem:{name}", "title": "…", "status": status, "detail": "of a tenant, secret"}
    headers = {"Content-Type": "application/problem+json"} | ({"Retry-After": retry_after} if retry_after else {})
    return Reply(status, json.dumps(reported).encode(), headers)


def client(server: ScriptedServer, waits: list[float] | None = None) -> Kbfleet:
    session = boto3.Session("AKIAEXAMPLE", "secret", region_name="eu-west-1")
    noted = waits if waits is not None else []
    return Kbfleet(server.url, session, sleep=noted.append)


# --- the client ---


def test_a_users_token_goes_out_as_it_is_and_nothing_is_signed() -> None:
    with serving(answered()) as server:
        assert client(server).ask("How long?", token="a.b.c", session="s", passages=3)["answer"]
    assert server.paths == ["/ask"]
    assert server.headers[0]["Authorization"] == "Bearer a.b.c"
    assert parse(AskRequest, json.loads(server.bodies[0])).passages == 3


def test_asking_for_a_tenant_is_signed_for_the_api_in_the_fleets_region() -> None:
    with serving(answered()) as server:
        client(server).ask_for_tenant("acme", "How long?", user_id="7")
    assert server.paths == ["/tenants/acme/ask"]
    assert "/eu-west-1/execute-api/aws4_request" in server.headers[0]["Authorization"]
    assert parse(TenantAskRequest, json.loads(server.bodies[0])).user_id == "7"


def test_a_tenant_id_cannot_lead_to_another_path() -> None:
    with serving(answered()) as server:
        client(server).ask_for_tenant("acme/../other", "How long?", user_id="7")
    assert server.paths == ["/tenants/acme%2F..%2Fother/ask"]


def test_the_answer_that_is_scripted_here_is_one_that_kbfleet_gives() -> None:
    assert AskResponse.model_validate(ANSWER)


def test_a_document_is_granted_and_sent_with_all_fields_before_it() -> None:
    with serving(Reply(204, b"")) as bucket:
        granted = {"url": bucket.url, "fields": {"key": "a.md", "policy": "p"}, "expires_at": "2026-01-01T00:00:00Z"}
        with serving(answered(granted, 201)) as server:
            kbfleet = client(server)
            kbfleet.send(kbfleet.grant_upload("acme", "a.md", 5, metadata={"year": 2026}), b"# Hi!")
    assert parse(UploadRequest, json.loads(server.bodies[0])).metadata == {"year": 2026}
    sent = bucket.bodies[0]
    assert sent.index(b'name="key"') < sent.index(b'name="policy"') < sent.index(b'name="file"') < sent.index(b"# Hi!")


def test_a_document_that_s3_refuses_is_a_problem() -> None:
    with serving(Reply(403, b"<Error><Code>AccessDenied</Code></Error>")) as bucket:
        granted = {"url": bucket.url, "fields": {}, "expires_at": "2026-01-01T00:00:00Z"}
        with serving(answered(granted, 201)) as server:
            kbfleet = client(server)
            form = kbfleet.grant_upload("acme", "a.md", 5)
            with pytest.raises(KbfleetProblem, match="AccessDenied"):
                kbfleet.send(form, b"# Hi!")


def test_documents_are_listed_page_by_page_as_they_are_taken() -> None:
    pages = [{"documents": [{"key": "a"}], "next_token": "t"}, {"documents": [], "next_token": "u"}]
    last = {"documents": [{"key": "b"}], "next_token": None}
    with serving(*map(answered, (*pages, last))) as server:
        listed = client(server).documents("acme", status="LEFT_OUT", prefix="規程/a b&c=+")
        assert (next(listed), len(server.paths)) == ({"key": "a"}, 1)
        assert [*listed] == [{"key": "b"}]
    assert [parse_qs(urlsplit(path).query) for path in server.paths] == [
        {"status": ["LEFT_OUT"], "prefix": ["規程/a b&c=+"], "limit": ["100"]}
        | ({"next_token": [token]} if token else {})
        for token in ("", "t", "u")
    ]
    # As it is signed: RFC 3986, and no plus sign for a space.
    assert "%20b%26c%3D%2B" in server.paths[0]
    assert server.bodies == [b"", b"", b""]


@pytest.mark.parametrize("key", ["a.md", "../../sakura/a.md", "%2F?#", "why", "ガイド.md", "x" * 1_024])
def test_one_document_is_called_by_its_id_and_nothing_of_its_key_is_in_the_path(key: str) -> None:
    link = {"url": "https://bucket.example/a", "expires_at": "2026-01-01T00:00:00Z"}
    with serving(answered(link)) as server:
        kbfleet = client(server)
        kbfleet.document("acme", key)
        kbfleet.delete_document("acme", key)
        kbfleet.delete_document("acme", key, all_versions=True)
        assert kbfleet.link_to("acme", key) == DocumentLink(**link)
    (identity,) = {path.split("/")[4].partition("?")[0] for path in server.paths}
    assert key_of(identity) == key
    of = f"/tenants/acme/documents/{identity}"
    assert server.paths == [of, of, f"{of}?all_versions=true", f"{of}/link"]
    assert all("/execute-api/aws4_request" in headers["Authorization"] for headers in server.headers)


def test_a_cited_document_is_opened_with_the_users_token() -> None:
    link = {"url": "https://bucket.example/a", "expires_at": "2026-01-01T00:00:00Z"}
    with serving(answered(link)) as server:
        assert client(server).link_to_cited("s3://bucket/a.md", "ticket", token="a.b.c") == DocumentLink(**link)
    assert (server.paths, server.headers[0]["Authorization"]) == (["/documents/link"], "Bearer a.b.c")
    assert parse(DocumentLinkRequest, json.loads(server.bodies[0])).ticket == "ticket"


def test_which_field_is_wrong_is_known() -> None:
    reported = {"type": "urn:kbfleet:problem:invalid-input", "detail": "…", "field": "key"}
    with serving(answered(reported, 400)) as server, pytest.raises(KbfleetProblem) as raised:
        client(server).grant_upload("acme", "virus.exe", 1)
    assert raised.value.field == "key"


def test_what_is_asked_too_fast_is_asked_again_when_kbfleet_says() -> None:
    waits: list[float] = []
    with serving(problem(429, "throttled", "1"), problem(503, "not-ready-yet", "2"), answered()) as server:
        assert client(server, waits).ask("How long?", token="t") == ANSWER
    assert waits == [1, 2]


def test_patience_ends() -> None:
    waits: list[float] = []
    with serving(problem(429, "throttled", "2")) as server, pytest.raises(KbfleetProblem) as raised:
        client(server, waits).ask("How long?", token="t")
    assert waits == [2, 2]
    assert raised.value.retry_after == 2


def test_a_used_up_quota_is_not_waited_for() -> None:
    waits: list[float] = []
    with serving(problem(429, "quota-exceeded", "3600")) as server, pytest.raises(KbfleetProblem) as raised:
        client(server, waits).ask("How long?", token="t")
    assert (waits, raised.value.retry_after) == ([], 3600)
    assert raised.value.is_("quota-exceeded")


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"message": "Signature expired"}'])
def test_an_answer_that_is_no_problem_document_is_a_problem_nevertheless(body: bytes) -> None:
    with serving(Reply(403, body)) as server, pytest.raises(KbfleetProblem) as raised:
        client(server).ask_for_tenant("acme", "How long?", user_id="7")
    assert (raised.value.status, raised.value.type) == (403, "about:blank")


def test_no_answer_is_a_problem_that_is_not_tried_again() -> None:
    with serving(answered()) as server:
        pass
    with pytest.raises(KbfleetProblem, match="did not answer") as raised:
        client(server).ask("How long?", token="t")
    assert (raised.value.status, raised.value.retry_after) == (503, None)


# --- FastAPI ---


def token(**claims: Any) -> str:
    reported = {"iss": ISSUER, "aud": AUDIENCE, "sub": "mina", "exp": time.time() + 60, "custom:tenant_id": "acme"}
    return jwt.encode({name: value for name, value in (reported | claims).items() if value is not None}, KEY, "RS256")


class _Published:
    def get_signing_key_from_jwt(self, _token: str) -> object:
        return jwt.PyJWK(RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "RS256")


@pytest.fixture
def fastapi(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Kbfleet], TestClient]]:
    monkeypatch.setenv("TOKEN_ISSUER", ISSUER)
    monkeypatch.setenv("TOKEN_AUDIENCE", AUDIENCE)

    def made(kbfleet: Kbfleet) -> TestClient:
        fastapi_app.app.dependency_overrides = {
            fastapi_app.kbfleet: lambda: kbfleet,
            fastapi_app.keys: lambda: _Published(),
        }
        return TestClient(fastapi_app.app)

    yield made
    fastapi_app.app.dependency_overrides = {}


def bearer(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


def test_fastapi_passes_the_users_token_on(fastapi: Callable[[Kbfleet], TestClient]) -> None:
    with serving(answered()) as server:
        response = fastapi(client(server)).post("/questions", json={"question": "How long?"}, headers=bearer("a.b.c"))
    assert response.status_code == 200
    assert response.json() == {
        "answer": ANSWER["answer"],
        "documents": ["rules.md"],
        "session": ANSWER["session"],
        "up_to_date": True,
    }
    assert server.headers[0]["Authorization"] == "Bearer a.b.c"


def test_fastapi_grants_uploads_to_the_tenant_of_the_verified_token(fastapi: Callable[[Kbfleet], TestClient]) -> None:
    granted = {"url": "https://bucket.example", "fields": {"key": "a.md"}, "expires_at": "2026-01-01T00:00:00Z"}
    with serving(answered(granted, 201)) as server:
        response = fastapi(client(server)).post(
            "/documents", json={"key": "a.md", "size": 5}, headers=bearer(token(tenant_id="other"))
        )
    assert (response.status_code, response.json()) == (201, granted)
    assert server.paths == ["/tenants/acme/uploads"]


@pytest.mark.parametrize(
    "claims",
    [{"exp": 1}, {"aud": "another"}, {"iss": "https://evil.example"}, {"sub": None}, {"custom:tenant_id": None}],
)
def test_fastapi_grants_nothing_to_a_token_that_proves_nothing(
    fastapi: Callable[[Kbfleet], TestClient], claims: dict[str, Any]
) -> None:
    with serving(answered()) as server:
        response = fastapi(client(server)).post(
            "/documents", json={"key": "a.md", "size": 5}, headers=bearer(token(**claims))
        )
    assert (response.status_code, server.paths) == (401, [])


@pytest.mark.parametrize(("status", "name", "retry_after", "expected"), PROBLEMS)
def test_fastapi_tells_users_what_they_can_do_and_no_more(
    fastapi: Callable[[Kbfleet], TestClient], status: int, name: str, retry_after: str | None, expected: int
) -> None:
    with serving(problem(status, name, retry_after)) as server:
        response = fastapi(client(server)).post("/questions", json={"question": "?"}, headers=bearer("t"))
    assert response.status_code == expected
    assert response.headers.get("Retry-After") == retry_after
    assert ("secret" in response.text) == (name == "invalid-input")


# --- Django ---


@pytest.fixture(scope="module")
def django() -> DjangoBackend:
    return django_backend()


def test_django_asks_for_the_tenant_of_the_signed_in_user(django: DjangoBackend) -> None:
    with serving(answered()) as server, django.calling(client(server)):
        user = django.signed_in("mina", tenant="acme")
        response = user.post("/questions", {"question": "How long?", "tenant_id": "other"}, "application/json")
    assert response.json() == {"answer": ANSWER["answer"], "documents": ["rules.md"]}
    assert server.paths == ["/tenants/acme/ask"]


def test_django_takes_the_users_conversation_up_and_begins_a_new_one_when_it_is_over(django: DjangoBackend) -> None:
    script = (answered(), problem(400, "session-refused"), answered(ANSWER | {"session": "new"}), answered())
    with serving(*script) as server, django.calling(client(server)):
        user = django.signed_in("kenji", tenant="acme")
        for _ in range(3):
            assert user.post("/questions", {"question": "And then?"}, "application/json").status_code == 200
    sessions = [json.loads(body).get("session") for body in server.bodies]
    assert sessions == [None, ANSWER["session"], None, "new"]


def test_django_sends_an_uploaded_file_to_the_tenants_bucket(django: DjangoBackend) -> None:
    with serving(Reply(204, b"")) as bucket:
        granted = {"url": bucket.url, "fields": {"key": "rules.md"}, "expires_at": "2026-01-01T00:00:00Z"}
        with serving(answered(granted, 201)) as server, django.calling(client(server)):
            response = django.signed_in("aoi", tenant="acme").post("/documents", {"document": django.file("rules.md")})
    assert (response.status_code, server.paths) == (201, ["/tenants/acme/uploads"])
    assert django.CONTENT in bucket.bodies[0]


@pytest.mark.parametrize(("status", "name", "retry_after", "_fastapi"), PROBLEMS)
def test_django_tells_users_what_they_can_do_and_no_more(
    django: DjangoBackend, status: int, name: str, retry_after: str | None, _fastapi: int
) -> None:
    with serving(problem(status, name, retry_after)) as server, django.calling(client(server)):
        response = django.signed_in(f"user-{name}", tenant="acme").post(
            "/questions", {"question": "?"}, "application/json"
        )
    assert response.status_code >= 400
    assert response.headers.get("Retry-After") == retry_after
    assert ("secret" in response.content.decode()) == (status == 400)


def test_django_asks_for_nobody_who_is_not_signed_in_or_of_no_tenant(django: DjangoBackend) -> None:
    with serving(answered()) as server, django.calling(client(server)):
        stranger = django.anonymous().post("/questions", {"question": "?"}, "application/json")
        lost = django.signed_in("lost", tenant=None).post("/questions", {"question": "?"}, "application/json")
    assert (stranger.status_code, lost.status_code, server.paths) == (302, 403, [])


# --- the page ---


def test_the_examples_can_be_copied_without_kbfleet() -> None:
    ours = {"kbfleet", "cli", "local", "functions", "tests", "benchmarks"}
    for path in EXAMPLES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & ours, path


def test_the_page_says_what_to_do_about_every_problem_of_the_operations_that_the_client_calls() -> None:
    page = (EXAMPLES.parent / "docs" / "calling.md").read_text("utf-8")
    api = document()
    document_path = "/tenants/{tenant_id}/documents/{document}"
    called = [
        ("post", "/ask"),
        ("post", "/tenants/{tenant_id}/ask"),
        ("post", "/tenants/{tenant_id}/uploads"),
        ("get", "/tenants/{tenant_id}/documents"),
        ("get", document_path),
        ("delete", document_path),
        ("get", f"{document_path}/link"),
        ("post", "/documents/link"),
    ]
    for method, path in called:
        for status, response in api["paths"][path][method]["responses"].items():
            assert status < "400" or f" {status}" in page
            types = re.findall(r"urn:kbfleet:problem:([a-z-]+)", response["description"]) if status < "500" else []
            assert [each for each in types if f"`{each}`" not in page] == []


def test_what_the_page_shows_of_the_client_is_python_that_fits_it() -> None:
    page = (EXAMPLES.parent / "docs" / "calling.md").read_text("utf-8")
    shown = ast.parse(page.partition("## The client")[2].partition("```python")[2].partition("```")[0])
    calls = [each for each in ast.walk(shown) if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute)]
    assert calls
    for call in calls:
        assert isinstance(call.func, ast.Attribute)
        method = inspect.signature(getattr(Kbfleet, call.func.attr))
        method.bind(None, *call.args, **{str(each.arg): each.value for each in call.keywords})
