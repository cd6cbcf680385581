"""A virtual fleet as `kbfleet verify` reaches it: its API is the real functions, its services moto and the emulator."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, unquote, urlsplit

from botocore.config import Config
from botocore.exceptions import ClientError
from moto.iam.models import iam_backends

from cli.fleet_api import Body, FleetApi, Refused
from cli.fleet_stack import FleetStack
from cli.verify.facts import Verdict
from cli.verify.probes import PROBES
from cli.verify.report import Report
from cli.verify.story import ONE
from cli.verify.under_test import AlertsLeft, FleetUnderTest, Trial
from kbfleet.adapters.secrets import RememberedSecret
from tests.support.api_requests import api_request
from tests.support.aws_calls import Answered
from tests.support.document_changes import change_message, sqs_batch
from tests.support.virtual_fleet import ACCOUNT, RARE_SCHEDULE_SECONDS, RARE_TICKS, REGION, VirtualFleet, virtual_fleet

_FUNCTIONS = {
    "ask": "AskFunction",
    "why": "WhyFunction",
    "uploads": "UploadsFunction",
    "batch": "UploadsFunction",
    "documents": "DocumentsFunction",
    "{document}": "DocumentsFunction",
    "link": "LinksFunction",
    "questions": "QuestionsFunction",
    "{question}": "QuestionsFunction",
    "runs": "QuestionsFunction",
    "diagnosis": "ReconcileFunction",
    "reconciliations": "ReconcileFunction",
}
"""Behind the API, by the end of the path; the others are all of one."""
_GATHERED_SECONDS = 5.0
"""For which a queue gathers changes."""


@dataclass
class Bends:
    """How the rest of AWS, and kbfleet, differ from what is expected of them.

    Args:
        faults: of the emulator.
        events_late_seconds: by which S3's events come later.
        events_lost_seconds: since the first upload, in which S3 sends no event.
        key_late_seconds: after which a user of a tenant is let in.
        bucket_missing_seconds, bucket_busy_seconds: after a bucket was made.
        bucket_name_taken_seconds: after a bucket was deleted.
        takes_long_uris: whether documents of long URIs are accepted, which the emulator refuses before any fault.
        undelivered: alerts that did not reach anybody.
        leaks: whether a filter gets hold of another tenant's document.
        unsaid: a word that no answer has.
        forgets_suspension, forgets_receipts, forgets_failures: what the API answers as if it had never been.
    """

    faults: tuple[Mapping[str, Any], ...] = ()
    events_late_seconds: float = 0.0
    events_lost_seconds: float = 0.0
    key_late_seconds: float = 10.0
    bucket_missing_seconds: float = 0.0
    bucket_busy_seconds: float = 0.0
    bucket_name_taken_seconds: float = 0.0
    takes_long_uris: bool = False
    undelivered: int = 0
    leaks: bool = False
    unsaid: str = ""
    forgets_suspension: bool = False
    forgets_receipts: bool = False
    forgets_failures: bool = False


@dataclass(frozen=True)
class VirtualFleetApi(FleetApi):
    """Its requests reach the functions, not a network."""

    fleet: VirtualFleet = field(kw_only=True)
    bends: Bends = field(kw_only=True)

    @property
    def region(self) -> str:
        return REGION

    def _signed(self, kind: type[Body], method: str, path: str, body: dict[str, Any] | None = None) -> Body:
        url = urlsplit(path)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        names: dict[str, str] = {}
        if len(parts) > 1 and parts[0] == "tenants":
            names["tenant_id"], parts[1] = parts[1], "{tenant_id}"
        named = {"provisionings": "execution", "offboardings": "execution", "rebuilds": "execution", "jobs": "job"}
        if len(parts) > 3 and parts[2] in named:
            name = named[parts[2]]
            names[name], parts[3] = parts[3], f"{{{name}}}"
        if len(parts) > 3 and parts[2] == "documents" and parts[3] not in {"why", "retry"}:
            names["document"], parts[3] = parts[3], "{document}"
        if len(parts) > 3 and parts[2] == "questions" and parts[3] != "runs":
            names["question"], parts[3] = parts[3], "{question}"
        resource = "/" + "/".join(parts)
        function = _FUNCTIONS.get(parts[-1], "TenantsFunction")
        event = api_request(method, resource, body=body, query=dict(parse_qsl(url.query)), **names)
        self.fleet.timeline.run_for(1)  # executions are named by the time at which they start
        answer = self.fleet.invoke(function, event | {"requestContext": {"requestId": "r"}})
        document = self._bent(parts, names, body or {}, json.loads(answer["body"] or "{}"), answer["statusCode"])
        if answer["statusCode"] >= 400 and "answer" not in document:
            raise Refused(answer["statusCode"], document.get("code", ""), document.get("detail", ""))
        return kind.model_validate(document)

    def _bent(
        self, parts: list[str], names: Mapping[str, str], body: Mapping[str, Any], document: Any, status: int
    ) -> Any:
        if parts[-1] == "ask" and self.bends.leaks and "equals" in body.get("filter", {}):
            return document | self.an_answer("walrus lantern forty, copper violin ninety")
        if parts[-1] == "ask" and self.bends.forgets_suspension and document.get("code") == "TenantSuspended":
            return self.an_answer("Nobody knows.")
        if parts[-1] == "ask" and self.bends.unsaid and status == 200:
            return document | {"answer": document["answer"].replace(self.bends.unsaid, "…")}
        if parts[-1] == "documents" and self.bends.forgets_failures:
            return document | {"documents": []}
        if parts == ["tenants", "{tenant_id}"] and self.bends.forgets_receipts and document.get("erasure"):
            return document | {"erasure": document["erasure"] | {"erased": []}}
        return document

    @staticmethod
    def an_answer(text: str) -> dict[str, Any]:
        return {
            "answer": text,
            "outcome": "ANSWERED",
            "stop_reason": None,
            "citations": [],
            "session": "",
            "freshness": {"synced_at": None, "pending_changes": False},
            "documents_left_out": None,
            "request_id": "r",
        }

    def ask(self, asked: Any, token: str) -> Any:
        """As API Gateway lets a user in: by the usage key of the tenant."""
        active = next(each for each in reversed(self.fleet.stored) if each.status == "ACTIVE")
        since = datetime.fromisoformat(active.status_since).timestamp()
        if self.fleet.timeline.now() < since + self.bends.key_late_seconds:
            raise Refused(403, "HTTP 403", "Forbidden")
        from kbfleet.domain.names import TenantId

        return self.ask_for_tenant(TenantId(token), asked)


@dataclass(frozen=True)
class VirtualFleetUnderTest(FleetUnderTest):
    fleet: VirtualFleet = field(kw_only=True)
    bends: Bends = field(kw_only=True)
    called: set[tuple[str, str]] = field(default_factory=set)
    """Services and operations."""

    def made(self, service: str, config: Config) -> Any:
        client = self.fleet.calls.client(service, config=config)
        client.meta.events.register("before-call", lambda *, model, **_: self.called.add((service, model.name)))
        client.meta.events.register("before-call.bedrock-agent.IngestKnowledgeBaseDocuments", self._take)
        return _as_s3(client, self)

    def _take(self, *, params: Mapping[str, Any], **_: Any) -> tuple[Any, Mapping[str, Any]] | None:
        if self.bends.takes_long_uris and b"long-uri" in params["body"]:
            return SimpleNamespace(status_code=202), {"documentDetails": []}
        return None

    def client_as(self, credentials: Mapping[str, str], service: str) -> Any:
        client = self.fleet.calls.client(service, aws_access_key_id="assumed")
        client.meta.events.register("before-parameter-build.*.Retrieve", self._decide)
        return client

    def _decide(self, *, params: Mapping[str, Any], **_: Any) -> None:
        """Of the one role that a probe has: whether its policy lets it search that knowledge base."""
        roles = iam_backends[ACCOUNT]["aws"].roles.values()
        (role,) = (role for role in roles if role.name == "kbfleet-verify-probe")
        statements = json.loads(role.policies["probe"])["Statement"]
        (statement,) = (each for each in statements if each["Action"] == "bedrock:Retrieve")
        arn = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:knowledge-base/{params['knowledgeBaseId']}"
        tags = self.fleet.emulator.knowledge_base_tags().get(arn, {})
        wanted = statement["Condition"]["StringEquals"]
        held = all(tags.get(key.partition("/")[2]) == value for key, value in wanted.items())
        if arn not in statement["Resource"] or not held:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": f"not on {arn}"}}, "Retrieve")

    def now(self) -> float:
        return self.fleet.timeline.now()

    def sleep(self, seconds: float) -> None:
        self.fleet.timeline.run_for(seconds)

    def age(self, made: datetime) -> float:
        return self.now() - made.timestamp()

    def alerts_left(self) -> AlertsLeft:
        return AlertsLeft(self.bends.undelivered, 0)


def _as_s3(client: Any, under_test: VirtualFleetUnderTest) -> Any:
    """S3 tells of what is put into a bucket, and takes its time with buckets."""
    fleet, bends = under_test.fleet, under_test.bends

    def tell(bucket: str) -> None:
        fleet.timeline.sleep(_GATHERED_SECONDS + bends.events_late_seconds)
        fleet.functions("NoteChangesFunction", sqs_batch([change_message(bucket)]))

    def put(*, params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["bucket"] = params["Bucket"]

    def taken(*, parsed: Any, context: Mapping[str, Any], **_: Any) -> None:
        first = fleet.__dict__.setdefault("first_upload", fleet.timeline.now())
        if "Error" not in parsed and fleet.timeline.now() >= first + bends.events_lost_seconds:
            bucket = context["bucket"]
            fleet.timeline.spawn(f"event of {bucket}", lambda: tell(bucket))

    changed: dict[str, float] = fleet.__dict__.setdefault("buckets_changed", {})

    def refuse(*, params: Mapping[str, Any], model: Any, **_: Any) -> None:
        ago = fleet.timeline.now() - changed.get(params.get("Bucket", ""), float("-inf"))
        for operations, seconds, code in (
            (("HeadBucket",), bends.bucket_missing_seconds, "NoSuchBucket"),
            (("PutBucketVersioning", "PutBucketTagging"), bends.bucket_busy_seconds, "OperationAborted"),
            (("CreateBucket",), bends.bucket_name_taken_seconds, "OperationAborted"),
        ):
            if model.name in operations and ago < seconds:
                raise ClientError({"Error": {"Code": code, "Message": "Not now."}}, model.name)

    def changed_now(*, parsed: Any, context: Mapping[str, Any], **_: Any) -> None:
        if "Error" not in parsed:
            changed[context["bucket"]] = fleet.timeline.now()

    for operation in ("CreateBucket", "DeleteBucket"):
        client.meta.events.register(f"before-parameter-build.s3.{operation}", put)
        client.meta.events.register(f"after-call.s3.{operation}", changed_now)
    client.meta.events.register("before-parameter-build.s3", refuse)
    client.meta.events.register("before-parameter-build.s3.PutObject", put)
    client.meta.events.register("after-call.s3.PutObject", taken)
    return client


def _collect(fleet: VirtualFleet, answered: Answered) -> None:
    """The bus has a function collect the failing documents of each job that has ended."""
    if answered.call.operation != "PutEvents":
        return
    for entry in answered.parameters["Entries"]:
        detail = json.loads(entry["Detail"])
        if entry["DetailType"] == "Ingestion Job State Change" and detail["final"]:
            event = {"detail-type": entry["DetailType"], "detail": detail}
            fleet.timeline.spawn("collection", lambda event=event: fleet.functions("CollectFailuresFunction", event))  # type: ignore[misc]


PROBED = frozenset(fact for probe in PROBES for fact in probe.facts)
"""The other facts are of the story."""


def a_trial(under_test: FleetUnderTest, say: Callable[[str], None] = lambda _: None) -> Trial:
    return Trial(under_test, say, user_token=str(ONE))


def refuted(report: Report) -> set[str]:
    return {line.fact for line in report.facts if line.verdict is Verdict.REFUTED}


def bend(fleet: VirtualFleetUnderTest, bends: Bends) -> None:
    """From here on."""
    vars(fleet.bends).update(vars(bends))
    fleet.fleet.emulator.faults.clear()
    for fault in bends.faults:
        fleet.fleet.emulator.faults.add(fault)


@contextmanager
def verified_fleet(bends: Bends | None = None) -> Iterator[VirtualFleetUnderTest]:
    bent = bends or Bends()
    with ExitStack() as stack:
        world = virtual_fleet(parameters=RARE_TICKS, safety_net_seconds=RARE_SCHEDULE_SECONDS, first_documents=False)
        fleet = stack.enter_context(world)
        stack.enter_context(patch.object(RememberedSecret, "read_meanwhile", lambda _: ExitStack()))
        fleet.calls.observers.append(lambda answered: _collect(fleet, answered))
        parameters = {
            name: str(fleet.deployment.value({"Ref": name}))
            for name in (
                "KnowledgeStore",
                "OfferOpenSearchServerless",
                "GenerationModelId",
                "EmbeddingModelId",
                "FleetName",
                "ServiceRoles",
            )
        }
        arn = fleet.deployment.value({"Fn::GetAtt": "VectorBucket.VectorBucketArn"})
        described = {
            "Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
            "Outputs": [{"OutputKey": "VectorBucketArn", "OutputValue": arn}],
        }
        api = VirtualFleetApi("https://api.example.com/v1", None, fleet=fleet, bends=bent)  # type: ignore[arg-type]
        session = SimpleNamespace(region_name=REGION)
        under_test = VirtualFleetUnderTest(
            FleetStack("kbfleet", described, session),  # type: ignore[arg-type]
            api,
            fleet=fleet,
            bends=bent,
        )
        bend(under_test, bent)
        yield under_test


def _refused(operation: str, code: str = "ServiceUnavailableException", **which: Any) -> Bends:
    order = {"effect": "error", "operation": operation, "code": code, "message": "For another reason."}
    return Bends((order | which,))


def _takes(operation: str, seconds: float, **which: Any) -> Bends:
    return Bends(({"effect": "takes", "operation": operation, "seconds": seconds} | which,))


def _start(fact: str, code: str) -> Bends:
    return _refused("StartIngestionJob", code, match={"description": f"kbfleet verify: {fact}"})


def _unlimited(fact: str) -> Bends:
    match = {"description": f"kbfleet verify: {fact}"}
    return Bends(({"effect": "no_request_rate", "operation": "StartIngestionJob", "match": match},))


BENDS: Mapping[str, Bends] = {
    "vector-knowledge-base-creation": _takes("CreateKnowledgeBase", 300, containing='"type": "VECTOR"'),
    "managed-knowledge-base-creation": _takes("CreateKnowledgeBase", 4, containing='"type": "MANAGED"'),
    "managed-data-source-creation": _takes("CreateDataSource", 20, containing="MANAGED_KNOWLEDGE_BASE"),
    "service-role-taken": Bends(({"effect": "new_role_not_assumable", "seconds": 110},)),
    "first-ingestion-job": _takes("StartIngestionJob", 600),
    "new-bucket-missing": Bends(bucket_missing_seconds=250),
    "new-bucket-busy": Bends(bucket_busy_seconds=250),
    "deleted-bucket-name": Bends(bucket_name_taken_seconds=5_000),
    "events-begin": Bends(events_lost_seconds=400),
    "upload-noticed": Bends(events_late_seconds=80),
    "usage-key-counts": Bends(key_late_seconds=200),
    "vectors-searchable": Bends(({"effect": "vectors_not_searchable", "seconds": 500},)),
    "knowledge-base-deletion": _takes("DeleteKnowledgeBase", 200),
    "duplicate-name": _refused("CreateKnowledgeBase", match={"name": "kbfleet-verify-one"}, containing="verify-probe"),
    "missing-index": _refused("CreateKnowledgeBase", containing="index/verify-probe"),
    "hybrid-search": _refused("Retrieve", containing='"HYBRID"'),
    "empty-query": _refused("Retrieve", match={"retrievalQuery": {"text": " "}}),
    "starts-with-filter": _refused("Retrieve", containing="startsWith"),
    "long-page-of-documents": _refused("ListKnowledgeBaseDocuments", match={"maxResults": 101}),
    "foreign-session": _refused("RetrieveAndGenerate", containing='"sessionId"'),
    "resource-tag-on-retrieve": Bends(({"effect": "tags_not_seen"},)),
    "second-job": _start("second-job", "ThrottlingException"),
    "sixth-job": _start("sixth-job", "ServiceQuotaExceededException"),
    "start-rate": _unlimited("start-rate"),
    "start-rate-on-managed": _unlimited("start-rate-on-managed"),
    "client-token-remembered": Bends(
        (
            {
                "effect": "token_forgotten",
                "operation": "StartIngestionJob",
                "containing": "kbfleet-verify",
                "seconds": 60,
            },
        )
    ),
    "unreadable-document": Bends(
        ({"effect": "job_fails", "containing": "verify: unreadable-document", "failureReasons": ["No text."]},)
    ),
    "ingestion-during-a-job": _refused("IngestKnowledgeBaseDocuments", containing="ingestion-during-a-job"),
    "long-uri": Bends(takes_long_uris=True),
    "document-indexed": _takes("IngestKnowledgeBaseDocuments", 500, containing="document-indexed"),
    "data-source-with-a-job": _refused("DeleteDataSource", "ValidationException", count=1),
    "tenants-provisioned": Bends(
        ({"effect": "knowledge_base_fails", "containing": "verify-two", "failureReasons": ["No."], "count": 1},)
    ),
    "question-answered": Bends(unsaid="violin"),
    "broken-document-named": Bends(forgets_failures=True),
    "alert-delivered": Bends(undelivered=1),
    "document-repaired": Bends(unsaid="saffron"),
    "tenants-kept-apart": Bends(leaks=True),
    "suspended-tenant": Bends(forgets_suspension=True),
    "tenants-erased": Bends(forgets_receipts=True),
}
"""How the world differs where a fact, and no other, is not as expected. Where the emulator plays the fact, it is a
fault on order, good for `--faults`, too."""
