"""The back ends of docs/calling.md call the deployed API, on the local AWS with IAM enforced."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import boto3
import pytest
from fastapi.testclient import TestClient

from examples import fastapi_app
from examples.kbfleet_client import Kbfleet, KbfleetProblem, UploadForm
from local import deployment
from local.demo import Demo
from local.identity_provider import IdentityProvider
from local.stack.configuration import TENANT_CLAIM, TOKEN_AUDIENCE
from tests.support.backends import django_backend

KbFleet = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = [pytest.mark.local_stack, pytest.mark.timeout(900)]
QUESTION, DOCUMENT = "For how many months is a new tent guaranteed?", "warranty-policy.md"
UPLOADER = "callers"


@pytest.fixture(scope="module")
def client(story: Demo) -> Kbfleet:
    environment = story.configuration.client_environment()
    session = boto3.Session(
        environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"], region_name=story.configuration.region
    )
    return Kbfleet(story.outputs["ApiUrl"], session, patience=20)


@pytest.fixture(scope="module")
def bucket(story: Demo, kbfleet: KbFleet) -> str:
    """Of a tenant that has no documents yet."""
    ran = kbfleet("tenant", "add", UPLOADER)
    assert ran.returncode == 0, ran.stderr
    found = story.status(UPLOADER).bucket_name
    assert found
    return found


@pytest.fixture
def fastapi(story: Demo, client: Kbfleet, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("SSL_CERT_FILE", story.configuration.client_environment()["SSL_CERT_FILE"])
    monkeypatch.setenv("TOKEN_ISSUER", story.configuration.token_issuer)
    monkeypatch.setenv("TOKEN_AUDIENCE", TOKEN_AUDIENCE)
    monkeypatch.setenv("TOKEN_TENANT_CLAIM", TENANT_CLAIM)
    fastapi_app.keys.cache_clear()
    fastapi_app.app.dependency_overrides = {fastapi_app.kbfleet: lambda: client}
    yield TestClient(fastapi_app.app)
    fastapi_app.app.dependency_overrides = {}
    fastapi_app.keys.cache_clear()


def bearer(story: Demo, tenant: str, **claims: float) -> dict[str, str]:
    issuer = IdentityProvider.open(story.configuration.token_issuer, story.configuration.signing_key)
    return {"Authorization": f"Bearer {issuer.mint(tenant, **claims)}"}  # type: ignore[arg-type] # one float


def test_a_fastapi_back_end_answers_its_users_and_takes_their_conversation_up(story: Demo, fastapi: TestClient) -> None:
    user = bearer(story, "acme")
    first = fastapi.post("/questions", json={"question": QUESTION}, headers=user)
    assert first.status_code == 200, first.text
    assert DOCUMENT in first.json()["documents"]
    session = first.json()["session"]
    assert fastapi.post("/questions", json={"question": QUESTION, "session": session}, headers=user).status_code == 200
    foreign = fastapi.post("/questions", json={"question": "?", "session": session}, headers=bearer(story, "sakura"))
    assert (foreign.status_code, "conversation" in foreign.json()["error"]) == (409, True)


def test_a_fastapi_back_end_sends_its_users_to_sign_in(story: Demo, fastapi: TestClient) -> None:
    response = fastapi.post("/questions", json={"question": "?"}, headers=bearer(story, "acme", expires_in=-120))
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_a_fastapi_back_end_grants_an_upload_that_s3_takes(
    story: Demo, fastapi: TestClient, client: Kbfleet, bucket: str
) -> None:
    text = b"# Sledges\n\nSledges are rented by the hour.\n"
    granted = fastapi.post(
        "/documents", json={"key": "winter/sledges.md", "size": len(text)}, headers=bearer(story, UPLOADER)
    )
    assert granted.status_code == 201, granted.text
    client.send(UploadForm(**granted.json()), text)
    kept = deployment.client(story.configuration, "s3").get_object(Bucket=bucket, Key="winter/sledges.md")
    assert kept["Body"].read() == text


def test_a_django_back_end_answers_its_users_and_takes_their_conversation_up(client: Kbfleet, story: Demo) -> None:
    django = django_backend()
    with django.calling(client):
        user = django.signed_in("haruka", tenant="acme")
        for _ in range(2):
            response = user.post("/questions", {"question": QUESTION}, "application/json")
            assert response.status_code == 200, response.content
            assert DOCUMENT in response.json()["documents"]
        moved = django.signed_in("haruka", tenant="sakura")
        moved.cookies = user.cookies
        response = moved.post("/questions", {"question": QUESTION}, "application/json")
    assert response.status_code == 200, response.content
    assert DOCUMENT not in response.json()["documents"]


def test_a_django_back_end_puts_files_into_its_users_bucket(client: Kbfleet, story: Demo, bucket: str) -> None:
    django = django_backend()
    with django.calling(client):
        response = django.signed_in("sora", tenant=UPLOADER).post("/documents", {"document": django.file("snow.md")})
    assert response.status_code == 201, response.content
    kept = deployment.client(story.configuration, "s3").get_object(Bucket=bucket, Key="snow.md")
    assert kept["Body"].read() == django.CONTENT


def test_a_problem_of_the_api_is_reported_by_its_type(client: Kbfleet) -> None:
    with pytest.raises(KbfleetProblem) as raised:
        client.ask_for_tenant("nobody", "Is anybody there?", user_id="7")
    assert (raised.value.status, raised.value.is_("tenant-not-found")) == (404, True)
    with pytest.raises(KbfleetProblem) as raised:
        client.grant_upload("acme", "virus.exe", 1)
    assert raised.value.is_("invalid-input")
