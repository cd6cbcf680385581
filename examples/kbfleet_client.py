"""A client of kbfleet for your back end, of any framework: copy this file. It needs boto3 and nothing else.

Ask with the user's own token where your users have one that kbfleet accepts; ask for a tenant, signed with the back
end's AWS credentials, where they have not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import boto3
import urllib3  # comes with boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

PROBLEM = "urn:kbfleet:problem:"
# API Gateway gives up after 29 seconds.
_ASKING = urllib3.Timeout(connect=3, read=30)
_SENDING = urllib3.Timeout(connect=3, read=300)


class KbfleetProblem(Exception):
    """kbfleet did not do it.

    Args:
        status: HTTP status; 503 where nothing answered.
        type: the kind of problem, such as `urn:kbfleet:problem:tenant-suspended`; `about:blank` where only
            the status says something. docs/openapi.json lists all of them.
        detail: what happened, for logs and developers. Not for users: it may name the tenant.
        retry_after: seconds to wait before the same request is worth another try; none where trying again is of no use.
    """

    def __init__(self, status: int, type: str, detail: str, retry_after: int | None = None) -> None:  # noqa: A002
        self.status = status
        self.type = type
        self.detail = detail
        self.retry_after = retry_after
        super().__init__(f"{status} {type}: {detail}")

    def is_(self, name: str) -> bool:
        """Whether it is the problem of that name, such as `session-refused`."""
        return self.type == PROBLEM + name


@dataclass(frozen=True)
class UploadForm:
    """Lets one document be put into a tenant's bucket, by whoever has it: the back end, or the user's browser.

    Args:
        fields: all of them are sent, before the document itself, whose field is called `file`.
        expires_at: RFC 3339.
    """

    url: str
    fields: Mapping[str, str]
    expires_at: str


class Kbfleet:
    """One for a process is enough; it can be used by many threads.

    Args:
        url: the stack's output ApiUrl.
        session: of boto3, whose credentials may `execute-api:Invoke` what is called with a signature. Its Region is the
            fleet's.
        patience: seconds that a request waits at most, in all, when kbfleet is asked too fast.
    """

    def __init__(
        self,
        url: str,
        session: boto3.Session | None = None,
        *,
        patience: float = 5,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = url.rstrip("/")
        self._session = session or boto3.Session()
        self._patience = patience
        self._sleep = sleep
        self._http = urllib3.PoolManager(maxsize=20, retries=False)

    def ask(self, question: str, *, token: str, session: str | None = None, **options: Any) -> dict[str, Any]:
        """Asks as the user whom the token names, of the tenant that it names.

        Args:
            token: the user's, without `Bearer`.
            session: of an earlier answer to the same user; takes the conversation up.
            options: `passages`, `filter`, `keep`.

        Returns:
            `answer`, `outcome`, `citations`, `session`, `freshness`, `documents_left_out`, `stop_reason`,
            `request_id`.

        Raises: KbfleetProblem.
        """
        body = {"question": question, "session": session, **options}
        return self._patiently("POST", "/ask", body, token)

    def ask_for_tenant(
        self, tenant_id: str, question: str, *, user_id: str, session: str | None = None, **options: Any
    ) -> dict[str, Any]:
        """The same for a user of whom the back end itself knows who it is and of which tenant.

        Args:
            tenant_id: decides whose documents are read. Never take it from what a user sends.
            user_id: whom the session belongs to.

        Raises: KbfleetProblem.
        """
        body = {"question": question, "session": session, "user_id": user_id, **options}
        return self._patiently("POST", f"/tenants/{quote(tenant_id, safe='')}/ask", body)

    def grant_upload(
        self, tenant_id: str, key: str, size: int, content_type: str = "", metadata: Mapping[str, Any] | None = None
    ) -> UploadForm:
        """Gets a form for one document of exactly that key, size in bytes and type.

        Raises: KbfleetProblem.
        """
        body = {"key": key, "size": size, "content_type": content_type, "metadata": dict(metadata or {})}
        granted = self._patiently("POST", f"/tenants/{quote(tenant_id, safe='')}/uploads", body)
        return UploadForm(granted["url"], granted["fields"], granted["expires_at"])

    def send(self, form: UploadForm, document: bytes) -> None:
        """Sends the document by its form. It is ingested without another call.

        Raises: KbfleetProblem when S3 does not take it.
        """
        # S3 ignores the fields behind the file.
        fields: list[tuple[str, str | tuple[str, bytes]]] = [*form.fields.items(), ("file", ("document", document))]
        try:
            answer = self._http.request("POST", form.url, fields=fields, timeout=_SENDING)
        except urllib3.exceptions.HTTPError as error:
            raise KbfleetProblem(503, "about:blank", f"S3 did not answer: {error}", retry_after=5) from error
        if answer.status >= 300:
            raise KbfleetProblem(answer.status, "about:blank", answer.data.decode(errors="replace")[:500])

    def _patiently(self, method: str, path: str, body: Mapping[str, Any], token: str | None = None) -> dict[str, Any]:
        """Waits as kbfleet asks it to, if that is soon enough."""
        waited = 0.0
        while True:
            try:
                return self._call(method, path, body, token)
            except KbfleetProblem as problem:
                if problem.retry_after is None or waited + problem.retry_after > self._patience:
                    raise
                self._sleep(problem.retry_after)
                # No answer is worth less than the second that it takes at least.
                waited += max(problem.retry_after, 1)

    def _call(self, method: str, path: str, body: Mapping[str, Any], token: str | None) -> dict[str, Any]:
        given = {name: value for name, value in body.items() if value is not None}
        url, data = self._url + path, json.dumps(given).encode()
        request = AWSRequest(method, url, {"Content-Type": "application/json"}, data)
        if token is not None:
            request.headers["Authorization"] = f"Bearer {token}"
        else:
            self._sign(request)
        try:
            headers = dict(request.headers.items())
            answer = self._http.request(method, url, body=data, headers=headers, timeout=_ASKING)
        except urllib3.exceptions.HTTPError as error:
            # A question that went out may have been answered and counted: whether to repeat it is the caller's choice.
            raise KbfleetProblem(503, "about:blank", f"{self._url} did not answer: {error}") from error
        if answer.status >= 400:
            raise _problem(answer)
        answered: dict[str, Any] = json.loads(answer.data)
        return answered

    def _sign(self, request: AWSRequest) -> None:
        credentials = self._session.get_credentials()
        if credentials is None:
            raise RuntimeError("There are no AWS credentials to sign with.")
        SigV4Auth(credentials.get_frozen_credentials(), "execute-api", self._session.region_name).add_auth(request)


def _problem(answer: urllib3.BaseHTTPResponse) -> KbfleetProblem:
    try:
        problem = json.loads(answer.data)
    except ValueError:
        problem = {}
    waits = answer.headers.get("Retry-After", "")
    return KbfleetProblem(
        answer.status,
        problem.get("type", "about:blank"),
        # AWS itself says `message`, of a signature that it does not accept.
        problem.get("detail") or problem.get("message") or problem.get("title") or "no reason given",
        int(waits) if waits.isdecimal() else None,
    )
