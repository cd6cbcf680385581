"""The AWS endpoint answers who knows a secret: every call is signed with a key that the local AWS has given out.

MiniStack verifies signatures of users and roles with authorization on, and no root key's ever. Here the whole endpoint
is behind the check, and what needs no signature is named. The computing is MiniStack's own. docs/local-aws.md says
what is verified and what is not.

Sources: AWS documentation, IAM user guide, "AWS Signature Version 4 for API requests"; Amazon S3 API reference,
"Authenticating Requests: Browser-Based Uploads Using POST".
"""

import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

from ministack import app as ministack
from ministack.core import iam_evaluator, responses, router, sigv4
from ministack.services import apigateway_v1, s3
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse

HEALTH_PATH = "/_ministack/health"

# As every AWS client writes it. One form only, so that MiniStack reads the same key in it.
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>\w+)/(?P<date>\d{8})/(?P<region>[\w-]+)/(?P<service>[\w-]+)/aws4_request,"
    r" *SignedHeaders=(?P<signed>[a-z0-9;._-]+), *Signature=(?P<signature>[0-9a-f]{64})",
    re.ASCII,
)
_CREDENTIAL = re.compile(r"(?P<key>\w+)/(?P<date>\d{8})/(?P<region>[\w-]+)/(?P<service>[\w-]+)/aws4_request", re.ASCII)
_ALGORITHM = "AWS4-HMAC-SHA256"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FORM = "multipart/form-data"

AsgiApplication = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass(frozen=True)
class Failure:
    """Why a call is refused, as MiniStack's answers take it: the error's code, and words."""

    code: str
    message: str


UNSIGNED = Failure("MissingAuthenticationToken", "The local AWS answers signed requests only.")
MISMATCH = Failure("SignatureDoesNotMatch", sigv4.SIGNATURE_MISMATCH)


class SignedOnly:
    """An ASGI application that hands on what is signed, and what needs no signature, to MiniStack.

    Without a signature: the health check, and methods of a deployed REST API that do not ask for AWS_IAM. There are no
    websockets.
    """

    def __init__(self, application: AsgiApplication, account: str) -> None:
        """account: that of keys which do not say theirs."""
        self._application = application
        self._account = account

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await PlainTextResponse("The local AWS has no websockets.\n", 403)(scope, receive, send)
            return
        if scope["type"] != "http" or scope["path"] == HEALTH_PATH:
            await self._application(scope, receive, send)
            return
        headers = _headers(scope)
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        api = ministack._parse_execute_api_url(headers.get("host", ""), scope["path"])
        if api and _authorization_type(api, scope["method"]) != "AWS_IAM":
            await self._application(scope, receive, send)
            return
        try:
            body = await Request(scope, receive).body()
        except ClientDisconnect:
            return
        failure = self._failure(scope, headers, query, body)
        if failure is None:
            await self._application(scope, _once(body, receive), send)
            return
        response = apigateway_v1.authentication_error_response(*api[:2], failure, headers, query) if api else None
        if response is None:
            service = router.detect_service(scope["method"], scope["path"], headers, query)
            response = ministack._credential_failure(service, "", str(uuid4()), failure, headers)
        await ministack._send_response(send, *response)

    def _failure(
        self, scope: Any, headers: Mapping[str, str], query: Mapping[str, list[str]], body: bytes
    ) -> Failure | None:
        if "authorization" in headers:
            return self._header_failure(scope, headers, query, body)
        if "X-Amz-Signature" in query:
            return self._query_failure(scope, headers, query, body)
        if _is_form(scope, headers):
            return self._form_failure(headers, body)
        return UNSIGNED

    def _header_failure(
        self, scope: Any, headers: Mapping[str, str], query: Mapping[str, list[str]], body: bytes
    ) -> Failure | None:
        parts = _AUTHORIZATION.fullmatch(headers["authorization"])
        if parts is None:
            return Failure("IncompleteSignature", "One Authorization header of Signature Version 4 is expected.")
        signature = sigv4.HeaderSignature(*parts.group(1, 2, 3, 4, 5, 6), headers.get("x-amz-date", ""))
        needed = {"host", *(name for name in headers if name.startswith("x-amz-"))}
        if not needed.issubset(signature.signed_headers.split(";")):
            return Failure("SignatureDoesNotMatch", "Host and all headers that begin with x-amz- must be signed.")
        if skewed := sigv4.request_time_failure(signature):
            return Failure(*skewed)
        digest = headers.get("x-amz-content-sha256", "")
        if _DIGEST.fullmatch(digest) and digest != hashlib.sha256(body).hexdigest():
            return Failure("XAmzContentSHA256Mismatch", "The body is not the one that was signed.")
        return self._recomputed(scope, headers, query, body, signature, headers.get("x-amz-security-token", ""))

    def _query_failure(
        self, scope: Any, headers: Mapping[str, str], query: Mapping[str, list[str]], body: bytes
    ) -> Failure | None:
        names = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Date")
        found = [query.get(name, []) for name in (*names, "X-Amz-Expires")]
        scopes = _CREDENTIAL.fullmatch(found[1][0]) if all(len(values) == 1 for values in found) else None
        if scopes is None or found[0] != [_ALGORITHM] or "host" not in found[2][0].split(";"):
            return Failure("IncompleteSignature", "A query of Signature Version 4 is expected.")
        signature = sigv4.HeaderSignature(*scopes.group(1, 2, 3, 4), found[2][0], found[3][0], found[4][0])
        try:
            expired = sigv4.presigned_request_is_expired(signature.amz_date, found[5][0])
        except ValueError:
            expired = True
        if expired:
            return Failure("AccessDenied", "Request has expired")
        token = query.get("X-Amz-Security-Token", [""])[0]
        return self._recomputed(scope, headers, query, body, signature, token, presigned=True)

    def _recomputed(
        self,
        scope: Any,
        headers: Mapping[str, str],
        query: Mapping[str, list[str]],
        body: bytes,
        signature: sigv4.HeaderSignature,
        token: str,
        *,
        presigned: bool = False,
    ) -> Failure | None:
        secret = self._secret(signature.access_key_id, token)
        if isinstance(secret, Failure):
            return secret
        failure = sigv4.header_signature_failure(
            signature,
            secret,
            scope["method"],
            scope["raw_path"].decode("latin-1"),
            query,
            headers,
            body,
            presigned=presigned,
        )
        return Failure(*failure) if failure else None

    def _form_failure(self, headers: Mapping[str, str], body: bytes) -> Failure | None:
        """Of a form by which a browser uploads: its policy is signed, and S3 holds the rest against the policy."""
        fields = {
            name.lower(): value.decode("latin-1")
            for name, _, _, value in s3._parse_multipart_form(headers["content-type"], body)
            if name.lower() != "file"
        }
        scopes = _CREDENTIAL.fullmatch(fields.get("x-amz-credential", ""))
        if scopes is None or fields.get("x-amz-algorithm") != _ALGORITHM or not fields.get("policy"):
            return UNSIGNED
        secret = self._secret(scopes["key"], fields.get("x-amz-security-token", ""))
        if isinstance(secret, Failure):
            return secret
        expected = sigv4.calculate_signature(
            secret, scopes["date"], scopes["region"], scopes["service"], fields["policy"]
        )
        given = fields.get("x-amz-signature", "")
        return None if hmac.compare_digest(expected.encode(), given.encode()) else MISMATCH

    def _secret(self, key: str, token: str) -> str | Failure:
        """The secret of an access key that the local AWS has given out, with the session token that goes with it."""
        account = responses._account_from_sts_session(key) or iam_evaluator.find_iam_access_key_account(key)
        if account is None:
            account = key if responses._12_DIGIT_RE.match(key) else self._account
        credential = iam_evaluator.resolve_credential(key, account, token)
        if isinstance(credential, iam_evaluator.CredentialResolutionError):
            return Failure(credential.code, credential.message)
        return str(credential.secret_access_key)


def _headers(scope: Any) -> dict[str, str]:
    """Values of a header that is sent twice are one, joined as they are signed."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), sigv4.decode_header_value(raw_value)
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def _authorization_type(api: tuple[str, str, str], method: str) -> str:
    return str(ministack._execute_api_authorization_type(api[0], api[1], method, api[2]))


def _is_form(scope: Any, headers: Mapping[str, str]) -> bool:
    """Whether S3 will take the request for an upload by a form, and nothing else will take it."""
    plain = not scope["query_string"] and not any(name.startswith("x-amz-") for name in headers)
    bucket = scope["path"].strip("/")
    return (
        plain
        and scope["method"] == "POST"
        and headers.get("content-type", "").startswith(_FORM)
        and "content-encoding" not in headers
        and bucket in s3._buckets
    )


def _once(body: bytes, receive: Any) -> Any:
    """Gives the body that was read, and then what else comes."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Any:
        return waiting.pop() if waiting else await receive()

    return receive_again
