"""What the local AWS verifies of signatures, and what it does not: each sentence of docs/local-aws.md has its test."""

import http.client
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import boto3
import pytest
import requests
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from local.stack import process
from local.stack.configuration import ACCESS_KEY

LIST_FUNCTIONS = "/2015-03-31/functions"
POLICY = {"Version": "2012-10-17", "Statement": []}


class UnsignedBody(S3SigV4Auth):
    def payload(self, request: AWSRequest) -> str:
        return "UNSIGNED-PAYLOAD"


def signed(
    stack: Any,
    method: str,
    path: str,
    body: bytes = b"",
    service: str = "lambda",
    signer: type[SigV4Auth] = SigV4Auth,
) -> dict[str, str]:
    """The headers of a request, as AWS's own library signs it."""
    url = f"{stack.configuration.aws_url}{path}"
    request = AWSRequest(method, url, data=body, headers={"Host": urlsplit(url).netloc})
    credentials = Credentials(ACCESS_KEY, stack.configuration.secret_key)
    signer(credentials, service, stack.configuration.region).add_auth(request)
    return dict(request.headers.items())


def send(stack: Any, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> tuple[int, str]:
    """As it is: no client puts it in order."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.configuration.aws_port, timeout=30)
    given = {"Host": f"127.0.0.1:{stack.configuration.aws_port}", "Content-Length": str(len(body))} | headers
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in given.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def s3_of(stack: Any) -> Any:
    """A client that signs forms in version 4, as boto3's do not by default."""
    return boto3.client(
        "s3",
        region_name=stack.configuration.region,
        endpoint_url=stack.configuration.aws_url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=stack.configuration.secret_key,
        config=Config(signature_version="s3v4"),
    )


def at(monkeypatch: pytest.MonkeyPatch, shift: timedelta) -> None:
    """Signs as somebody whose clock is wrong."""
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: datetime.now(UTC).replace(tzinfo=None) + shift)


def code(refused: Callable[[], object]) -> str:
    with pytest.raises(ClientError) as error:
        refused()
    return str(error.value.response["Error"]["Code"])


def test_a_signed_call_is_answered(stack: Any) -> None:
    headers = signed(stack, "GET", f"{LIST_FUNCTIONS}?MaxItems=5")
    assert send(stack, "GET", f"{LIST_FUNCTIONS}?MaxItems=5", headers)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        LIST_FUNCTIONS,
        "/_ministack/reset",
        "/_ministack/config",
        "/_ministack/lambda-code/any",
        "/_ministack/health/",
        "/_localstack/health",
        "/health",
        "/_aws/lambda-url/00000000000000000000000000000000/",
        "/_aws/execute-api/",
        "/_alb/any/",
        "/oauth2/authorize",
        "/latest/meta-data/",
        "/any-bucket/any-key",
        "/knowledgebases",
    ],
)
def test_an_unsigned_call_is_refused_wherever_it_goes(stack: Any, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        status, text = send(stack, method, path, {})
        assert status in {400, 403}, method
        assert any(words in text for words in ("AccessDenied", "MissingAuthenticationToken", "Missing Auth")), method


def test_a_secret_is_made_for_each_stack(stack: Any, uncorrected_stack: Any) -> None:
    first, other = stack.configuration.secret_key, uncorrected_stack.configuration.secret_key
    assert first != other
    assert len(first) == len(other) == 40


@pytest.mark.parametrize("secret", ["test", "", "another"])
def test_another_secret_opens_nothing(stack: Any, secret: str) -> None:
    caller = stack.client("lambda", ACCESS_KEY, secret or " ")
    assert code(caller.list_functions) in {"SignatureDoesNotMatch", "InvalidSignatureException"}


def test_a_key_that_nobody_gave_out_opens_nothing(stack: Any) -> None:
    caller = stack.client("lambda", "AKIAIOSFODNN7EXAMPLE", stack.configuration.secret_key)
    assert code(caller.list_functions) in {"InvalidClientTokenId", "UnrecognizedClientException"}


def test_the_keys_of_accounts_share_the_stacks_secret(stack: Any) -> None:
    """MiniStack's functions have such keys."""
    assert stack.client("lambda", stack.configuration.account).list_functions()
    another = stack.client("lambda", stack.configuration.account, "another")
    assert code(another.list_functions) in {"SignatureDoesNotMatch", "InvalidSignatureException"}


def test_keys_of_users_and_roles_open_with_their_own_secrets(stack: Any) -> None:
    iam, name = stack.client("iam"), f"user-{uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    assert stack.client("lambda", key["AccessKeyId"], key["SecretAccessKey"]).list_functions()
    wrong = stack.client("lambda", key["AccessKeyId"], stack.configuration.secret_key)
    assert code(wrong.list_functions) in {"SignatureDoesNotMatch", "InvalidSignatureException"}

    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(POLICY))
    role = f"arn:aws:iam::{stack.configuration.account}:role/{name}"
    session = stack.client("sts").assume_role(RoleArn=role, RoleSessionName="any")["Credentials"]

    def call(token: str) -> Any:
        return boto3.client(
            "lambda",
            region_name="us-east-1",
            endpoint_url=stack.configuration.aws_url,
            aws_access_key_id=session["AccessKeyId"],
            aws_secret_access_key=session["SecretAccessKey"],
            aws_session_token=token,
            config=Config(retries={"total_max_attempts": 1}),
        ).list_functions()

    assert call(session["SessionToken"])
    assert code(lambda: call("another")) in {"InvalidToken", "UnrecognizedClientException", "InvalidClientTokenId"}


@pytest.mark.parametrize(
    "change",
    [
        {"Authorization": ""},
        {"Authorization": "Bearer any"},
        {"Authorization": "AWS test:c2lnbmF0dXJl"},
        {"Host": "localhost:{port}"},
        {"X-Amz-Date": "20200101T000000Z"},
        {"X-Amz-Target": "AWSLambda.ListFunctions"},
        {"X-Amz-Security-Token": "any"},
    ],
)
def test_what_is_signed_cannot_be_changed(stack: Any, change: dict[str, str]) -> None:
    changed = {name: value.format(port=stack.configuration.aws_port) for name, value in change.items()}
    headers = signed(stack, "GET", LIST_FUNCTIONS)
    assert send(stack, "GET", LIST_FUNCTIONS, headers)[0] == 200
    assert send(stack, "GET", LIST_FUNCTIONS, headers | changed)[0] in {400, 403}


def test_method_path_query_and_body_are_part_of_a_signature(stack: Any) -> None:
    tags = f"/2017-03-31/tags/arn:aws:lambda:us-east-1:{stack.configuration.account}:function:none"
    body = b'{"Tags": {}}'
    headers = signed(stack, "POST", tags, body)
    assert "SignatureDoesNotMatch" not in send(stack, "POST", tags, headers, body)[1]
    for method, path, sent in (
        ("PUT", tags, body),
        ("POST", f"{tags}s", body),
        ("POST", f"{tags}?tagKeys=a", body),
        ("POST", tags, b'{"Tags": {"a": "b"}}'),
    ):
        status, text = send(stack, method, path, headers, sent)
        assert status == 403
        assert "does not match" in text


def test_the_digest_that_s3_clients_sign_is_the_bodys(stack: Any) -> None:
    stack.client("s3").create_bucket(Bucket="digests")
    headers = signed(stack, "PUT", "/digests/key", b"one", "s3", S3SigV4Auth)
    assert send(stack, "PUT", "/digests/key", headers, b"two")[0] in {400, 403}
    assert send(stack, "PUT", "/digests/key", headers, b"one")[0] == 200


def test_a_body_that_a_client_does_not_sign_is_taken(stack: Any) -> None:
    """As S3 takes it."""
    stack.client("s3").create_bucket(Bucket="unsigned-bodies")
    headers = signed(stack, "PUT", "/unsigned-bodies/key", b"one", "s3", UnsignedBody)
    assert send(stack, "PUT", "/unsigned-bodies/key", headers, b"two")[0] == 200


@pytest.mark.parametrize(("minutes", "status"), [(-4, 200), (4, 200), (-6, 403), (6, 403)])
def test_a_signature_is_valid_for_five_minutes(
    stack: Any, monkeypatch: pytest.MonkeyPatch, minutes: int, status: int
) -> None:
    at(monkeypatch, timedelta(minutes=minutes))
    headers = signed(stack, "GET", LIST_FUNCTIONS)
    assert send(stack, "GET", LIST_FUNCTIONS, headers)[0] == status


@pytest.mark.parametrize("service", ["s3", "sqs", "sns", "dynamodb", "iam", "sts"])
def test_with_some_services_it_is_valid_for_fifteen(stack: Any, monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    for minutes, refused in ((-14, False), (14, False), (-16, True), (16, True)):
        at(monkeypatch, timedelta(minutes=minutes))
        signer = S3SigV4Auth if service == "s3" else SigV4Auth
        _, text = send(stack, "GET", "/", signed(stack, "GET", "/", service=service, signer=signer))
        skewed = ("RequestTimeTooSkewed", "not yet current", "Signature expired")
        assert any(words in text for words in skewed) is refused, (minutes, text)


def test_a_rest_api_decides_which_of_its_methods_are_signed(stack: Any) -> None:
    mock = {"type": "mock", "requestTemplates": {"application/json": '{"statusCode": 200}'}}
    answers = {"responses": {"200": {"description": "ok"}}, "x-amazon-apigateway-integration": mock}
    body = {
        "openapi": "3.0.1",
        "info": {"title": "signed", "version": "1"},
        "paths": {"/open": {"get": answers}, "/closed": {"get": {**answers, "security": [{"sigv4": []}]}}},
        "components": {
            "securitySchemes": {
                "sigv4": {
                    "type": "apiKey",
                    "name": "Authorization",
                    "in": "header",
                    "x-amazon-apigateway-authtype": "awsSigv4",
                }
            }
        },
    }
    resources = {
        "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Body": body}},
        "Deployment": {"Type": "AWS::ApiGateway::Deployment", "Properties": {"RestApiId": {"Ref": "Api"}}},
        "Stage": {
            "Type": "AWS::ApiGateway::Stage",
            "Properties": {"RestApiId": {"Ref": "Api"}, "DeploymentId": {"Ref": "Deployment"}, "StageName": "v1"},
        },
    }
    stage = f"/_aws/execute-api/{stack.deploy(resources, {'Id': {'Ref': 'Api'}}).outputs['Id']}/v1"
    headers = signed(stack, "GET", f"{stage}/closed", service="execute-api")
    forged = {**headers, "Authorization": headers["Authorization"][:-64] + "0" * 64}
    assert send(stack, "GET", f"{stage}/open", {})[0] < 400
    assert send(stack, "GET", f"{stage}/closed", headers)[0] < 400
    for proof in ({}, forged, {"Authorization": "Bearer any"}, {"Authorization": "AWS4-HMAC-SHA256 any"}):
        assert send(stack, "GET", f"{stage}/closed", proof)[0] == 403


def test_within_that_time_a_call_can_be_sent_again(stack: Any) -> None:
    """As with AWS."""
    headers = signed(stack, "GET", LIST_FUNCTIONS)
    assert [send(stack, "GET", LIST_FUNCTIONS, headers)[0] for _ in range(2)] == [200, 200]


def test_a_presigned_address_opens_one_object_until_it_expires(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = stack.client("s3")
    s3.create_bucket(Bucket="presigned")
    s3.put_object(Bucket="presigned", Key="a b/ü.txt", Body=b"read")

    def address() -> str:
        request = AWSRequest("GET", f"{stack.configuration.aws_url}/presigned/a%20b/%C3%BC.txt")
        credentials = Credentials(ACCESS_KEY, stack.configuration.secret_key)
        S3SigV4QueryAuth(credentials, "s3", stack.configuration.region, expires=60).add_auth(request)
        return str(request.url)

    assert requests.get(address(), timeout=10).text == "read"
    assert requests.get(address().replace(".txt", ".csv"), timeout=10).status_code == 403
    assert requests.delete(address(), timeout=10).status_code == 403
    for algorithm in ("AWS4-HMAC-SHA512", "AWS4-ECDSA-P256-SHA256", ""):
        assert requests.get(address().replace("AWS4-HMAC-SHA256", algorithm), timeout=10).status_code in {400, 403}
    old = s3.generate_presigned_url("get_object", Params={"Bucket": "presigned", "Key": "a b/ü.txt"})
    assert requests.get(old, timeout=10).status_code == 403
    at(monkeypatch, -timedelta(seconds=61))
    assert requests.get(address(), timeout=10).status_code == 403


def test_a_form_uploads_what_its_policy_says_and_is_signed_with_a_known_key(stack: Any) -> None:
    s3 = s3_of(stack)
    s3.create_bucket(Bucket="forms")

    def upload(change: dict[str, str], path: str = "/forms", content: bytes = b"12345", **form: Any) -> int:
        made = s3.generate_presigned_post("forms", "one.txt", Conditions=[["content-length-range", 1, 5]], **form)
        url = f"{stack.configuration.aws_url}{path}"
        fields = {name: value for name, value in (made["fields"] | change).items() if value}
        return requests.post(url, data=fields, files={"file": content}, timeout=10).status_code

    assert upload({}) == 204
    for change in (
        {"key": "two.txt"},
        {"x-amz-signature": "0" * 64},
        {"x-amz-signature": ""},
        {"policy": ""},
        {"x-amz-credential": f"{ACCESS_KEY}/20200101/us-east-1/s3/aws4_request"},
        {"x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20200101/us-east-1/s3/aws4_request"},
        {"acl": "public-read"},
        dict.fromkeys(("policy", "x-amz-credential", "x-amz-signature", "x-amz-algorithm", "x-amz-date"), ""),
    ):
        assert upload(change) in {400, 403}, change
    assert upload({}, content=b"123456") == 400
    assert upload({}, ExpiresIn=-1) == 403
    # A form is good for its bucket, and for nothing that is not S3.
    assert upload({}, path=LIST_FUNCTIONS) == 403
    assert [found["Key"] for found in s3.list_objects_v2(Bucket="forms")["Contents"]] == ["one.txt"]


def test_a_websocket_is_refused(stack: Any) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    assert send(stack, "GET", "/_aws/execute-api/any/v1/", upgrade)[0] == 403


def test_what_is_written_is_for_its_user_only(stack: Any) -> None:
    state: Path = stack.configuration.state_directory
    for name in ("secret-access-key", "tls/server-key.pem", "identity-signing-key.pem", "stack.log", "stack.lock"):
        assert (state / name).stat().st_mode & 0o777 == 0o600, name
    for name in ("tls", "tmp", "ministack", "python-runtime"):
        assert (state / name).stat().st_mode & 0o777 == 0o700, name


def test_its_folder_is_made_for_its_user_only(tmp_path: Path) -> None:
    process.make_private(tmp_path / "state")
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_a_folder_of_another_user_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(process.StackStartError, match="belongs to another user"):
        process.stop(tmp_path)


def test_whoever_finds_a_functions_runtime_api_gets_its_events_and_is_believed(stack: Any) -> None:
    function = stack.make_function(
        "import os\ndef handler(event, context): return os.environ['AWS_LAMBDA_RUNTIME_API']"
    )
    _, address = stack.invoke(function)
    invocations = f"http://{address}/2018-06-01/runtime/invocation"

    def take_one() -> object:
        taken = requests.get(f"{invocations}/next", timeout=30)
        answer = f"{invocations}/{taken.headers['Lambda-Runtime-Aws-Request-Id']}/response"
        assert requests.post(answer, json="ours", timeout=30).status_code == 202
        return taken.json()

    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(take_one)
        # The function asks for events as well: whoever has asked first gets the next one.
        answers = (stack.invoke(function, {"question": number}) for number in range(1_000))
        ours = next(number for number, (_, answer) in enumerate(answers) if answer == "ours")
        assert taken.result(30) == {"question": ours}
