"""A client of kbfleet for your back end, of any framework: copy this file. It needs boto3 and nothing else.

Ask with the user's own token where your users have one that kbfleet accepts; ask for a tenant, signed with the back
end's AWS credentials, where they have not.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

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
        field: which one of the request is wrong, such as `key`; empty where it is none.
    """

    def __init__(
        self,
        status: int,
        type: str,  # noqa: A002
        detail: str,
        retry_after: int | None = None,
        field: str = "",
    ) -> None:
        self.status = status
        self.type = type
        self.detail = detail
        self.retry_after = retry_after
        self.field = field
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


@dataclass(frozen=True)
class DocumentLink:
    """Opens one document, for whoever has it: redirect to it, and keep it nowhere.

    Args:
        expires_at: RFC 3339.
    """

    url: str
    expires_at: str


def document_id(key: str) -> str:
    """What a document is called in paths: base64url of its key in UTF-8, without padding.

    Raises: UnicodeEncodeError for what is no text, such as half of a surrogate pair.
    """
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


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
        return self._patiently("POST", _path(tenant_id, "ask"), body)

    def grant_upload(
        self, tenant_id: str, key: str, size: int, content_type: str = "", metadata: Mapping[str, Any] | None = None
    ) -> UploadForm:
        """Gets a form for one document of exactly that key, size in bytes and type.

        Raises: KbfleetProblem.
        """
        body = {"key": key, "size": size, "content_type": content_type, "metadata": dict(metadata or {})}
        granted = self._patiently("POST", _path(tenant_id, "uploads"), body)
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

    def documents_page(
        self,
        tenant_id: str,
        *,
        status: str | None = None,
        prefix: str = "",
        next_token: str | None = None,
        limit: int = 100,
    ) -> dict[str, Any]:
        """A page of a tenant's documents. It may be shorter than `limit`, and empty, without being the last.

        Args:
            status: only those, such as `LEFT_OUT`; all that are there or still answered from if none.
            prefix: how their keys begin.
            next_token: of the page before, of the same list.
            limit: 1 to 100.

        Returns:
            `documents`, `next_token` (none on the last page), `not_known`, `retry`: docs/openapi.json.

        Raises: KbfleetProblem.
        """
        query = {"status": status, "prefix": prefix or None, "next_token": next_token, "limit": limit}
        return self._patiently("GET", _path(tenant_id, "documents"), query=query)

    def documents(self, tenant_id: str, *, status: str | None = None, prefix: str = "") -> Iterator[dict[str, Any]]:
        """All of a tenant's documents, page by page as they are taken.

        Raises: KbfleetProblem.
        """
        next_token: str | None = None
        while True:
            page = self.documents_page(tenant_id, status=status, prefix=prefix, next_token=next_token)
            yield from page["documents"]
            next_token = page["next_token"]
            if next_token is None:
                return

    def document(self, tenant_id: str, key: str) -> dict[str, Any]:
        """One document with its attributes: also one that was deleted, while anything of it is left.

        Returns:
            The document. Its `key` is another one where none of that key is there and one that looks the same is.

        Raises: KbfleetProblem.
        """
        return self._patiently("GET", _path(tenant_id, "documents", document_id(key)))

    def delete_document(self, tenant_id: str, key: str, *, all_versions: bool = False) -> dict[str, Any]:
        """Deletes exactly the document of that key, with its metadata file.

        Args:
            all_versions: leaves nothing of it in the bucket, for good; else older versions are kept there.

        Returns:
            `document`, whose `status` says how far it is; `versions_removed`; and `complete`: where that is false, not
            all versions are removed yet, and the same call goes on.

        Raises: KbfleetProblem.
        """
        query = {"all_versions": "true"} if all_versions else {}
        return self._patiently("DELETE", _path(tenant_id, "documents", document_id(key)), query=query)

    def link_to(self, tenant_id: str, key: str) -> DocumentLink:
        """A link that opens a document for some minutes.

        Raises: KbfleetProblem.
        """
        return DocumentLink(**self._patiently("GET", _path(tenant_id, "documents", document_id(key), "link")))

    def link_to_cited(self, uri: str, ticket: str, *, token: str) -> DocumentLink:
        """The same for the user whom the token names, of a document that an answer to this very user has cited.

        Args:
            uri, ticket: of a source of that answer.

        Raises: KbfleetProblem.
        """
        return DocumentLink(**self._patiently("POST", "/documents/link", {"uri": uri, "ticket": ticket}, token))

    def _patiently(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        token: str | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Waits as kbfleet asks it to, if that is soon enough."""
        waited = 0.0
        while True:
            try:
                return self._call(method, path + _queried(query or {}), body, token)
            except KbfleetProblem as problem:
                if problem.retry_after is None or waited + problem.retry_after > self._patience:
                    raise
                self._sleep(problem.retry_after)
                # No answer is worth less than the second that it takes at least.
                waited += max(problem.retry_after, 1)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None, token: str | None) -> dict[str, Any]:
        url, data, headers = self._url + path, b"", {}
        if body is not None:
            data = json.dumps({name: value for name, value in body.items() if value is not None}).encode()
            headers = {"Content-Type": "application/json"}
        request = AWSRequest(method, url, headers, data)
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


def _path(tenant_id: str, *parts: str) -> str:
    return "/".join(("/tenants", *(quote(part, safe="") for part in (tenant_id, *parts))))


def _queried(query: Mapping[str, Any]) -> str:
    """What is signed has a space as `%20`."""
    given = {name: value for name, value in query.items() if value is not None}
    return f"?{urlencode(given, quote_via=quote, safe='')}" if given else ""


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
        problem.get("field", ""),
    )
