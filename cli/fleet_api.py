"""The fleet's HTTP API, as the operator's command line calls it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from functools import cache
from itertools import chain, islice
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit
from xml.etree.ElementTree import ParseError, fromstring

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as BotocoreConnectionError
from botocore.httpsession import URLLib3Session
from pydantic import BaseModel, ValidationError
from urllib3.filepost import encode_multipart_formdata

from kbfleet.contracts.asking import AskRequest, AskResponse
from kbfleet.contracts.diagnosis import DiagnosisBody
from kbfleet.contracts.document_listing import (
    DeletionBody,
    DocumentBody,
    DocumentDetailsBody,
    DocumentLinkBody,
    DocumentsBody,
)
from kbfleet.contracts.documents import (
    DocumentRetryBody,
    DocumentTraceBody,
    GrantedUploadBody,
    GrantedUploadsBody,
    UploadBody,
)
from kbfleet.contracts.events import ReconciliationDetail
from kbfleet.contracts.fleet import FleetBody
from kbfleet.contracts.jobs import JobBody, JobsBody
from kbfleet.contracts.profiles import ProfileBody, ProfileCheckBody, ProfileFile, ProfilesBody
from kbfleet.contracts.questions import (
    QuestionRunsBody,
    QuestionsBody,
    QuestionStandBody,
    QuestionStandsBody,
    RequestedRunBody,
)
from kbfleet.contracts.rebuilds import RebuildBody
from kbfleet.contracts.tenants import ExecutionBody, OffboardingBody, SyncBody, TenantBody, TenantsBody
from kbfleet.contracts.usage import UsageBody
from kbfleet.domain.document_names import MAX_KEY_BYTES, appearance, document_id
from kbfleet.domain.document_status import DocumentStatus
from kbfleet.domain.document_trace import ObjectKey
from kbfleet.domain.errors import BucketGone
from kbfleet.domain.names import TenantId
from kbfleet.domain.profiles import ProfileName
from kbfleet.domain.questions import Draft, QuestionId
from kbfleet.domain.tenant import DisplayName
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.uploads import Upload
from kbfleet.domain.usage_plan import Tier

_TIMEOUT_SECONDS = 35
"""A little more than the 29 seconds after which API Gateway gives up itself."""

_UPLOAD_SECONDS = 300
"""Between two signs of life while a document of up to 50 MB goes out."""

_CONNECTIONS = 16
"""To one host, that are kept for the next request."""

_JOBS_IN_A_PAGE = 100
"""As many as the API gives at once."""

_PAGES_LOOKED_THROUGH = 20
"""Of documents, of a hundred each."""

_SIMILAR_SECONDS = 3
"""For which a fleet is listed in search of ids like one that does not exist: of thousands, those that begin alike."""
_WELL_BEGUN = 2
"""Characters of an id."""
_SIMILAR_IDS = 3

NO_REGION = "No Region is set. Give --region, or set AWS_REGION."

_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    TokenRetrievalError,
    SSOError,
)
_CREDENTIALS_REFUSED = {
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "IncompleteSignature",
}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
"""Codes of the same refusals differ by service. Source: AWS documentation, Common errors, of several APIs."""

Body = TypeVar("Body", bound=BaseModel)


class FleetUnreachable(Exception):
    """The stack or its API could not be found or called; the message says what to check."""


def find_stack(stack: str, region: str | None) -> tuple[boto3.Session, Mapping[str, Any]]:
    """Credentials and Region, and what DescribeStacks says of a stack.

    Raises: FleetUnreachable, which says what is missing: credentials, a Region, a permission, or the stack.
    """
    with first_call(f"Stack {stack!r} could not be looked up", region):
        session = boto3.Session(region_name=region)
        try:
            described = session.client("cloudformation").describe_stacks(StackName=stack)
        except ClientError as error:
            # What AWS answers for a stack that is not there (AWS documentation, DescribeStacks).
            if _code(error) != "ValidationError" or "does not exist" not in str(error):
                raise
            raise FleetUnreachable(
                f"There is no stack {stack!r} {_place(session)}. Check --stack, --region and the profile."
            ) from error
    return session, described["Stacks"][0]


@contextmanager
def first_call(what: str, region: str | None) -> Iterator[None]:
    """Runs the first call that a command makes of AWS, where it shows whether credentials and Region are good at all.

    Args:
        what: did not succeed.
        region: as it was given.

    Raises: FleetUnreachable. It names the Region and the profile.
    """
    try:
        yield
    except NoRegionError as error:
        raise FleetUnreachable(NO_REGION) from error
    except ProfileNotFound as error:
        raise FleetUnreachable(f"{error}. `aws configure list-profiles` shows those that there are.") from error
    except (BotoCoreError, ClientError) as error:
        raise FleetUnreachable(f"{what}: {_why_it_failed(error, boto3.Session(region_name=region))}") from error


def _why_it_failed(error: BotoCoreError | ClientError, session: boto3.Session) -> str:
    said, place = str(error).rstrip("."), _place(session)
    if isinstance(error, _NO_CREDENTIALS):
        return (
            f"no usable AWS credentials were found for it {place} ({said}). Set AWS_PROFILE, or log in: "
            "`aws sts get-caller-identity` must answer."
        )
    if isinstance(error, ClientError) and _code(error) in _CREDENTIALS_REFUSED:
        return f"AWS does not take these credentials {place} ({said}). Log in again."
    if isinstance(error, ClientError) and _code(error) in _DENIED:
        return f"these credentials may not do that {place} ({said}). Ask for the permission."
    if isinstance(error, BotocoreConnectionError | HTTPClientError):
        return f"nothing answered {place} ({said}). Is there such a Region, and is the network up?"
    return f"{said}, {place}."


def _place(session: boto3.Session) -> str:
    return f"in Region {session.region_name}, with profile {session.profile_name}"


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


class Refused(Exception):
    """The API answered with a problem document.

    Args:
        status: HTTP status.
        code: kbfleet's name for the error.
        detail: what happened and what to do.
    """

    def __init__(self, status: int, code: str, detail: str) -> None:
        self.status = status
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}")

    @property
    def passing(self) -> bool:
        """Whether the same request may be served later; else something is wrong with the request."""
        return self.status == 429 or not 400 <= self.status < 500


class NoAnswer(FleetUnreachable):
    """Nothing came back; the same request may be answered later."""


class UploadRefused(Exception):
    """S3 does not take a document for which the API has granted a form; the message says why.

    Args:
        passing: whether it may take it a moment later.
        expired: whether the form was too old.
    """

    def __init__(self, message: str, *, passing: bool = False, expired: bool = False) -> None:
        self.passing = passing
        self.expired = expired
        super().__init__(message)


@dataclass(frozen=True)
class FleetApi:
    """Calls the API of one deployed stack, signed with the operator's own AWS credentials.

    Args:
        url: the stack's output ApiUrl.
        session: credentials and Region.
        generation_model: the stack's parameter; empty where it is not known.
        retention_days: the stack's parameter, for offboardings that name none; `None` where it is not known.
    """

    url: str
    session: boto3.Session
    generation_model: str = ""
    retention_days: int | None = None

    @classmethod
    def of_stack(cls, stack: str, region: str | None) -> FleetApi:
        """Finds the API by the stack's outputs.

        Raises:
            FleetUnreachable: no credentials, no Region, or no such stack.
        """
        session, described = find_stack(stack, region)
        outputs = {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}
        given = {each["ParameterKey"]: each["ParameterValue"] for each in described.get("Parameters", [])}
        if "ApiUrl" not in outputs:
            raise FleetUnreachable(f"Stack {stack!r} has no output ApiUrl; is it a kbfleet stack?")
        retention = given.get("OffboardingRetentionDays")
        return cls(
            outputs["ApiUrl"],
            session,
            given.get("GenerationModelId", ""),
            int(retention) if retention is not None else None,
        )

    @property
    def region(self) -> str:
        return str(self.session.region_name) if self.session is not None else ""

    def provision(
        self,
        tenant_id: TenantId,
        name: DisplayName | None,
        knowledge_store: str | None,
        tier: Tier | None,
        profile: ProfileName | None = None,
    ) -> ExecutionBody:
        """Adds a tenant, or converges it again."""
        wanted = {"name": name, "knowledge_store": knowledge_store, "tier": tier, "profile": profile}
        body = {key: value for key, value in wanted.items() if value is not None}
        return self._signed(ExecutionBody, "PUT", f"/tenants/{tenant_id}", body)

    def update(
        self,
        tenant_id: TenantId,
        name: DisplayName | None,
        tier: Tier | None,
        profile: ProfileName | None = None,
    ) -> ExecutionBody:
        """Changes a tenant.

        Raises: Refused when there is no such tenant, or its documents were read otherwise than by the profile.
        """
        wanted = {"name": name, "tier": tier, "profile": profile}
        body = {key: value for key, value in wanted.items() if value is not None}
        return self._signed(ExecutionBody, "PUT", f"/tenants/{tenant_id}", {**body, "must_exist": True})

    def provisioning(self, tenant_id: TenantId, execution: str) -> ExecutionBody:
        return self._signed(ExecutionBody, "GET", f"/tenants/{tenant_id}/provisionings/{quote(execution)}")

    def offboard(self, tenant_id: TenantId, retention_days: int | None) -> OffboardingBody:
        query = f"?retention_days={retention_days}" if retention_days is not None else ""
        return self._signed(OffboardingBody, "DELETE", f"/tenants/{tenant_id}{query}")

    def offboarding(self, tenant_id: TenantId, execution: str) -> ExecutionBody:
        return self._signed(ExecutionBody, "GET", f"/tenants/{tenant_id}/offboardings/{quote(execution)}")

    def rebuild(
        self, tenant_id: TenantId, profile: ProfileName | None, *, keep_hours: int, tolerance: int, compare_only: bool
    ) -> RebuildBody:
        """Has another knowledge built beside the one that answers."""
        wanted = {"keep_hours": keep_hours, "tolerance": tolerance, "compare_only": compare_only}
        body: dict[str, object] = wanted | ({"profile": profile} if profile is not None else {})
        return self._signed(RebuildBody, "PUT", f"/tenants/{tenant_id}/rebuild", body)

    def stop_rebuild(self, tenant_id: TenantId) -> RebuildBody:
        return self._signed(RebuildBody, "DELETE", f"/tenants/{tenant_id}/rebuild")

    def rebuilding(self, tenant_id: TenantId, execution: str) -> ExecutionBody:
        return self._signed(ExecutionBody, "GET", f"/tenants/{tenant_id}/rebuilds/{quote(execution)}")

    def roll_back(self, tenant_id: TenantId, knowledge: int) -> TenantBody:
        """Has the knowledge of that number answer, which was live before."""
        return self._signed(TenantBody, "PUT", f"/tenants/{tenant_id}/knowledge", {"live": knowledge})

    def suspend(self, tenant_id: TenantId) -> TenantBody:
        return self._signed(TenantBody, "PUT", f"/tenants/{tenant_id}/suspension", {})

    def resume(self, tenant_id: TenantId) -> TenantBody:
        return self._signed(TenantBody, "DELETE", f"/tenants/{tenant_id}/suspension")

    def reconcile(
        self, *, repair: bool = False, look_only: bool = False, first: TenantId | None = None
    ) -> ReconciliationDetail:
        asked: dict[str, object] = {"repair": repair} | ({"tenant_id": first} if first else {})
        if look_only:
            asked["look_only"] = True
        return self._signed(ReconciliationDetail, "POST", "/reconciliations", asked)

    def diagnosis(self, tenant_id: TenantId) -> DiagnosisBody:
        return self._signed(DiagnosisBody, "GET", f"/tenants/{tenant_id}/diagnosis")

    def overview(self) -> FleetBody:
        return self._signed(FleetBody, "GET", "/fleet")

    def tenants(self, status: TenantStatus | None, read: Callable[[int], None] = lambda _: None) -> TenantsBody:
        """All of them, over all pages; of one status, if one is given.

        Args:
            read: as in `documents`.
        """
        pages = _counted(self._tenant_pages(status), lambda page: len(page.tenants), read)
        return pages[-1].model_copy(update={"tenants": tuple(each for page in pages for each in page.tenants)})

    def ids_beginning(self, beginning: str) -> list[TenantId]:
        """The first hundred ids of tenants that begin so."""
        return [each.tenant_id for each in next(self._tenant_pages(None, beginning)).tenants]

    def _tenant_pages(self, status: TenantStatus | None, beginning: str = "") -> Iterator[TenantsBody]:
        wanted = {"limit": "100", "prefix": beginning} | ({"status": str(status)} if status is not None else {})
        wanted = {name: value for name, value in wanted.items() if value}
        yield (page := self._signed(TenantsBody, "GET", f"/tenants?{urlencode(wanted)}"))
        while page.next_token is not None:
            following = urlencode(wanted | {"next_token": page.next_token})
            yield (page := self._signed(TenantsBody, "GET", f"/tenants?{following}"))

    def similar_ids(self, tenant_id: str) -> list[str]:
        """Those of tenants that somebody may have meant, the closest first; none where the caller may not list them."""
        until, listed = time.monotonic() + _SIMILAR_SECONDS, set[str]()
        try:
            # Most who mistype an id have begun it well.
            for page in chain(self._tenant_pages(None, tenant_id[:_WELL_BEGUN]), self._tenant_pages(None)):
                listed |= {str(each.tenant_id) for each in page.tenants}
                if time.monotonic() > until:
                    break
        except (Refused, FleetUnreachable):
            # It was to help with another refusal, which is the one to be told.
            return []
        return get_close_matches(tenant_id, sorted(listed - {tenant_id}), _SIMILAR_IDS)

    def tenant(self, tenant_id: TenantId) -> TenantBody:
        return self._signed(TenantBody, "GET", f"/tenants/{tenant_id}")

    def request_sync(self, tenant_id: TenantId, accept_deletions: int | None = None) -> SyncBody:
        wanted = {"accept_deletions": accept_deletions} if accept_deletions is not None else {}
        return self._signed(SyncBody, "POST", f"/tenants/{tenant_id}/syncs", wanted)

    def stop_sync(self, tenant_id: TenantId) -> SyncBody:
        return self._signed(SyncBody, "DELETE", f"/tenants/{tenant_id}/syncs")

    def jobs(self, tenant_id: TenantId, limit: int) -> JobsBody:
        """The newest ones, up to `limit` over several pages; `next_token` is `None` if that is all of them."""
        body = JobsBody(jobs=(), next_token=None)
        while len(body.jobs) < limit:
            query = {"limit": min(limit - len(body.jobs), _JOBS_IN_A_PAGE)}
            token = {"next_token": body.next_token} if body.next_token is not None else {}
            page = self._signed(JobsBody, "GET", f"/tenants/{tenant_id}/jobs?{urlencode(query | token)}")
            body = page.model_copy(update={"jobs": body.jobs + page.jobs})
            if page.next_token is None:
                break
        return body

    def job(self, tenant_id: TenantId, name: str) -> JobBody:
        return self._signed(JobBody, "GET", f"/tenants/{tenant_id}/jobs/{quote(name, safe='')}")

    def grant_upload(self, tenant_id: TenantId, upload: Upload) -> UploadBody:
        return self._signed(UploadBody, "POST", f"/tenants/{tenant_id}/uploads", _asked_for(upload))

    def grant_uploads(self, tenant_id: TenantId, uploads: Sequence[Upload]) -> Sequence[GrantedUploadBody]:
        """In order, one for each; up to `MOST_UPLOADS` can be asked for."""
        body = {"documents": [{**_asked_for(each), "md5": each.md5} for each in uploads]}
        return self._signed(GrantedUploadsBody, "POST", f"/tenants/{tenant_id}/uploads/batch", body).documents

    def upload(self, tenant_id: TenantId, form: UploadBody, content: bytes) -> None:
        """Sends a document by the form that was granted for it.

        Raises:
            UploadRefused: S3 does not take it.
            FleetUnreachable: S3 did not answer.
        """
        # S3 ignores the fields behind the file (Amazon S3 API reference, POST Object).
        body, content_type = encode_multipart_formdata([*form.fields.items(), ("file", ("document", content))])
        request = AWSRequest("POST", form.url, data=body, headers={"Content-Type": content_type})
        answer = self._answer(request, _UPLOAD_SECONDS)
        if answer.status_code >= 300:
            raise refused_by_s3(tenant_id, answer.status_code, answer.content)

    def usage(self, tenant_id: TenantId, first: date | None, last: date | None, life: int | None) -> UsageBody:
        """Of the current month, where no days are given; of the present or last life, where none is."""
        asked = {"from": first, "to": last, "life": life}
        query = "&".join(f"{name}={value}" for name, value in asked.items() if value is not None)
        return self._signed(UsageBody, "GET", f"/tenants/{tenant_id}/usage" + (f"?{query}" if query else ""))

    def documents(
        self,
        tenant_id: TenantId,
        status: DocumentStatus | None = None,
        prefix: str = "",
        read: Callable[[int], None] = lambda _: None,
    ) -> DocumentsBody:
        """All of them, over all pages; of one status, if one is given, and with keys that begin so.

        Args:
            read: is told how many there are so far, with each page.
        """
        pages = _counted(self._document_pages(tenant_id, status, prefix), lambda page: len(page.documents), read)
        return pages[-1].model_copy(update={"documents": tuple(each for page in pages for each in page.documents)})

    def keys_beginning(self, tenant_id: TenantId, beginning: str) -> list[str]:
        """Keys of the first hundred documents that begin so."""
        return [each.key for each in next(self._document_pages(tenant_id, None, beginning)).documents]

    def _document_pages(
        self, tenant_id: TenantId, status: DocumentStatus | None, prefix: str
    ) -> Iterator[DocumentsBody]:
        path, wanted = f"/tenants/{tenant_id}/documents", dict[str, str]()
        wanted |= {name: str(value) for name, value in {"status": status, "prefix": prefix}.items() if value}
        while True:
            query = urlencode(wanted, quote_via=quote, safe="")
            yield (page := self._signed(DocumentsBody, "GET", f"{path}?{query}" if query else path))
            if page.next_token is None:
                return
            wanted["next_token"] = page.next_token

    def some_documents(
        self, tenant_id: TenantId, prefix: str, wanted: Callable[[DocumentBody], bool], most: int
    ) -> list[DocumentBody]:
        """The first that are wanted, of the first thousands whose keys begin so."""
        pages = islice(self._document_pages(tenant_id, None, prefix), _PAGES_LOOKED_THROUGH)
        return list(islice((each for page in pages for each in page.documents if wanted(each)), most))

    def meant_key(self, tenant_id: TenantId, given: str) -> str:
        """The key of the document that somebody has named by its key, or by its URI, as other commands show it. A key
        may look like a URI, of another bucket, too."""
        key = key_of_uri(given)
        if key is None:
            return given
        found = self._document_if_any(tenant_id, key)
        if found is not None:
            return key if appearance(found.uri) == appearance(given) else given
        possible = len(given.encode()) <= MAX_KEY_BYTES
        return given if possible and self._document_if_any(tenant_id, given) is not None else key

    def _document_if_any(self, tenant_id: TenantId, key: str) -> DocumentDetailsBody | None:
        try:
            return self.document(tenant_id, key)
        except Refused as refused:
            if refused.code != "DocumentNotFound":
                raise
            return None

    def document(self, tenant_id: TenantId, key: str) -> DocumentDetailsBody:
        return self._signed(DocumentDetailsBody, "GET", _path_of(tenant_id, key))

    def delete_document(
        self, tenant_id: TenantId, key: str, *, all_versions: bool, removed_so_far: Callable[[int], None]
    ) -> DeletionBody:
        """Until nothing is left that was to be removed; how far that is then.

        Args:
            removed_so_far: is told of how many versions nothing is left, where it takes several calls.
        """
        path = _path_of(tenant_id, key) + ("?all_versions=true" if all_versions else "")
        removed: int | None = None
        while True:
            body = self._signed(DeletionBody, "DELETE", path)
            if body.versions_removed is not None:
                removed = (removed or 0) + body.versions_removed
            if body.complete:
                return body.model_copy(update={"versions_removed": removed})
            removed_so_far(removed or 0)

    def document_link(self, tenant_id: TenantId, key: str) -> DocumentLinkBody:
        return self._signed(DocumentLinkBody, "GET", f"{_path_of(tenant_id, key)}/link")

    def opened(self, link: DocumentLinkBody, most: int | None = None) -> bytes:
        """The document that a link opens, or so many bytes of its beginning, unless it is empty.

        Raises: FleetUnreachable: S3 does not give it, or did not answer.
        """
        part = {"Range": f"bytes=0-{most - 1}"} if most is not None else {}
        answer = self._answer(AWSRequest("GET", link.url, headers=part), _UPLOAD_SECONDS)
        if answer.status_code >= 300:
            raise FleetUnreachable(f"S3 did not give the document (HTTP {answer.status_code}).")
        return bytes(answer.content[:most])

    def why(self, tenant_id: TenantId, key: ObjectKey) -> DocumentTraceBody:
        """Where a document is on its way into answers."""
        return self._signed(DocumentTraceBody, "GET", f"/tenants/{tenant_id}/documents/why?key={quote(key, safe='')}")

    def questions(self, tenant_id: TenantId) -> QuestionsBody:
        return self._signed(QuestionsBody, "GET", f"/tenants/{tenant_id}/questions")

    def add_questions(self, tenant_id: TenantId, drafts: Sequence[Draft]) -> QuestionsBody:
        """All of them are taken, or none."""
        given = [
            {
                "user_input": draft.text,
                "reference_context_ids": list(draft.expected),
                "contains": list(draft.contains),
                "must_refuse": draft.must_refuse,
                "reference": draft.reference,
            }
            | ({"id": str(draft.question_id)} if draft.question_id is not None else {})
            for draft in drafts
        ]
        return self._signed(QuestionsBody, "POST", f"/tenants/{tenant_id}/questions", {"questions": given})

    def remove_question(self, tenant_id: TenantId, question_id: QuestionId) -> QuestionsBody:
        return self._signed(QuestionsBody, "DELETE", f"/tenants/{tenant_id}/questions/{question_id}")

    def request_question_run(self, tenant_id: TenantId, *, answers: bool) -> RequestedRunBody:
        return self._signed(
            RequestedRunBody, "POST", f"/tenants/{tenant_id}/questions/runs", {"answers": True} if answers else {}
        )

    def question_stands(self) -> Sequence[QuestionStandBody]:
        """Of all tenants in service, over all pages."""
        listed, wanted = list[QuestionStandBody](), {"limit": "100"}
        while True:
            page = self._signed(QuestionStandsBody, "GET", f"/questions?{urlencode(wanted)}")
            listed += page.tenants
            if page.next_token is None:
                return listed
            wanted["next_token"] = page.next_token

    def question_runs(self, tenant_id: TenantId, limit: int) -> QuestionRunsBody:
        """The newest ones, and the one that is being made."""
        return self._signed(QuestionRunsBody, "GET", f"/tenants/{tenant_id}/questions/runs?limit={limit}")

    def document_retry(self, tenant_id: TenantId) -> DocumentRetryBody | None:
        """The last one that was requested."""
        query = urlencode({"status": DocumentStatus.LEFT_OUT, "limit": 1})
        return self._signed(DocumentsBody, "GET", f"/tenants/{tenant_id}/documents?{query}").retry

    def retry_documents(self, tenant_id: TenantId) -> DocumentRetryBody:
        return self._signed(DocumentRetryBody, "POST", f"/tenants/{tenant_id}/documents/retry", {})

    def profiles(self) -> ProfilesBody:
        return self._signed(ProfilesBody, "GET", "/profiles")

    def profile(self, name: ProfileName, version: int | None) -> ProfileBody:
        """Its newest version, where none is given."""
        query = f"?version={version}" if version is not None else ""
        return self._signed(ProfileBody, "GET", f"/profiles/{name}{query}")

    def put_profile(self, file: ProfileFile) -> ProfileBody:
        return self._signed(ProfileBody, "PUT", f"/profiles/{file.name}", _described(file))

    def check_profile(self, file: ProfileFile) -> ProfileCheckBody:
        return self._signed(ProfileCheckBody, "POST", f"/profiles/{file.name}/check", _described(file))

    def remove_profile(self, name: ProfileName) -> ProfileBody:
        return self._signed(ProfileBody, "DELETE", f"/profiles/{name}")

    def ask(self, asked: AskRequest, token: str) -> AskResponse:
        request = self._request("POST", "/ask", _said(asked))
        request.headers["Authorization"] = f"Bearer {token}"
        return self._send(AskResponse, request)

    def ask_for_tenant(self, tenant_id: TenantId, asked: AskRequest) -> AskResponse:
        """With the operator's own rights, of the documents of any tenant."""
        return self._signed(AskResponse, "POST", f"/tenants/{tenant_id}/ask", _said(asked))

    def _signed(self, kind: type[Body], method: str, path: str, body: dict[str, Any] | None = None) -> Body:
        request = self._request(method, path, body)
        SigV4Auth(self._credentials(), "execute-api", self.session.region_name).add_auth(request)
        try:
            return self._send(kind, request)
        except Refused as refused:
            if refused.code != "TenantNotFound":
                raise
            named = path.split("/")[2] if path.startswith("/tenants/") else (body or {})["tenant_id"]
            raise self._with_similar_ids(refused, named.partition("?")[0]) from refused

    def _credentials(self) -> ReadOnlyCredentials:
        """Raises: FleetUnreachable, also where they end in the middle of a command and cannot be had anew."""
        try:
            credentials = self.session.get_credentials()
            frozen = credentials.get_frozen_credentials() if credentials is not None else None
        except (BotoCoreError, ClientError) as error:
            raise FleetUnreachable(f"Nothing could be signed: {_why_it_failed(error, self.session)}") from error
        if frozen is None:
            raise FleetUnreachable("There are no AWS credentials to sign with. Set AWS_PROFILE, or log in.")
        return frozen

    def _with_similar_ids(self, refused: Refused, tenant_id: str) -> Refused:
        """Only of what is asked with the operator's own rights: a tenant's user must not learn of other tenants."""
        similar = " or ".join(self.similar_ids(tenant_id))
        meant = f" Did you mean {similar}?" if similar else ""
        return Refused(refused.status, refused.code, f"{refused.detail}{meant}")

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> AWSRequest:
        data = json.dumps(body, ensure_ascii=False).encode() if body is not None else None
        return AWSRequest(method, self.url + path, data=data, headers={"Content-Type": "application/json"})

    def _send(self, kind: type[Body], request: AWSRequest) -> Body:
        answer = self._answer(request, _TIMEOUT_SECONDS)
        if answer.status_code >= 400:
            raise _refused(answer)
        try:
            return kind.model_validate_json(answer.content)
        except ValidationError as error:
            raise FleetUnreachable(
                "This command does not understand the fleet's answer. Is the stack of another release?"
            ) from error

    def _answer(self, request: AWSRequest, timeout: int) -> AWSResponse:
        try:
            return _http(timeout).send(request.prepare())
        except HTTPClientError as error:
            address = urlsplit(str(request.url))
            raise NoAnswer(f"{address.scheme}://{address.netloc} did not answer: {error}.") from error


@cache
def _http(timeout: int) -> URLLib3Session:
    """Kept, with its connections: a new one for each of many documents would take longer than the document."""
    return URLLib3Session(timeout=timeout, verify=True, max_pool_connections=_CONNECTIONS)


def _counted(pages: Iterable[Body], number: Callable[[Body], int], read: Callable[[int], None]) -> list[Body]:
    """All pages; `read` is told with each how many things are on those so far."""
    listed: list[Body] = []
    for page in pages:
        listed.append(page)
        read(sum(map(number, listed)))
    return listed


def key_of_uri(given: str) -> str | None:
    """What a URI of S3 says behind the bucket; `None` if it is none."""
    return given.removeprefix("s3://").partition("/")[2] or None if given.startswith("s3://") else None


def _path_of(tenant_id: TenantId, key: str) -> str:
    return f"/tenants/{tenant_id}/documents/{document_id(key)}"


def _described(file: ProfileFile) -> dict[str, Any]:
    """The profile as the file has it: what is left out there, the fleet fills in."""
    return file.request.model_dump(mode="json", exclude_unset=True)


def _said(asked: AskRequest) -> dict[str, Any]:
    """What is not said has its default: so a fleet of an older release understands what it can do."""
    return asked.model_dump(exclude_defaults=True)


def _asked_for(upload: Upload) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "key": upload.key,
        "size": upload.size,
        "content_type": upload.content_type,
        "metadata": dict(upload.metadata),
    }
    return asked if upload.metadata_file is None else {**asked, "metadata_file": dict(upload.metadata_file)}


def refused_by_s3(tenant_id: TenantId, status: int, content: bytes) -> UploadRefused:
    """What S3 answers to a form, in words."""
    try:
        error = fromstring(content)  # noqa: S314 -- from the host that the API has named
    except ParseError:
        return UploadRefused("S3 did not take the document, and gave no reason.", passing=status >= 500)
    code, message = error.findtext("Code") or "", error.findtext("Message") or "no reason given"
    if code == "NoSuchBucket":
        return UploadRefused(str(BucketGone.of(tenant_id)))
    # Of the form itself S3 says "Invalid according to Policy: Policy expired."; of what signed it, ExpiredToken.
    expired = code == "ExpiredToken" or (code == "AccessDenied" and "expired" in message)
    # A line that is too slow is a 400 (Amazon S3 API reference, Error responses).
    passing = status >= 500 or code == "RequestTimeout"
    return UploadRefused(f"S3 did not take the document: {code}: {message}", passing=passing, expired=expired)


def _refused(answer: AWSResponse) -> Refused:
    status = answer.status_code
    try:
        document = json.loads(answer.content)
    except ValueError:
        document = {}
    detail = document.get("detail") or document.get("message") or document.get("title") or "no reason given"
    if status >= 500:
        if "code" not in document and "detail" not in document:  # API Gateway's own words
            detail = f"{str(detail).rstrip('.')} (HTTP {status}). Trying again may help."
        if request := document.get("request_id") or answer.headers.get("x-amzn-requestid"):
            detail = f"{detail} Request id: {request}"
    return Refused(status, document.get("code", f"HTTP {status}"), detail)
