"""Probes of single facts, on the knowledge bases of a trial's own tenants. What a call is to be refused, and is not, is
taken back at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any

from botocore.exceptions import ClientError

from cli.verify.facts import Took, Word
from cli.verify.story import LIMITS, MANAGED, ONE, QUESTION, TWO, put
from cli.verify.under_test import FleetUnderTest, Late, Trial, answered, code_of
from kbfleet.contracts.tenants import TenantBody
from kbfleet.domain.model_ids import is_inference_profile
from kbfleet.domain.names import TenantId

_ROLE_SECONDS = 180.0
_START_SECONDS = 11.0
"""Between two starts of jobs: one in ten seconds is documented."""
_BUSY = ("ThrottlingException", "ConflictException")
_JOB_SECONDS = 1_200.0
_NAME_SECONDS = 900.0
_NOT_ASSUMED = "unable to assume the given role"
TOKEN_CHECKS = (240.0, 420.0, 660.0, 960.0, 1_380.0, 1_860.0)
"""Seconds after its first use at which a client token is used once more; its job has ended by then."""
BASE_DESCRIPTION = "Made by a probe of kbfleet verify, which deletes it."
"""Of a knowledge base: one that takes a tenant's name is told from the tenant's by it."""
REMOVING_SECONDS = 300.0
"""More than a knowledge base is CREATING: one that is may not be deleted yet."""
_ENDED = frozenset({"COMPLETE", "FAILED", "STOPPED"})


@dataclass(frozen=True)
class Probe:
    """Args:
    facts: that it observes.
    seconds: after which it is given up.
    limits: whether it uses up limits of the account, so that nobody else may be in service.
    """

    facts: tuple[str, ...]
    seconds: float
    run: Callable[[Trial], None]
    limits: bool = False


def _bucket(trial: Trial) -> None:
    s3, name = trial.fleet.client("s3"), probe_bucket(trial.fleet)
    remove_probe_bucket(trial.fleet)
    _make_bucket(s3, name)
    trial.note("new-bucket-missing", _until_accepted(trial, lambda: s3.head_bucket(Bucket=name)))
    tags = {"TagSet": [{"Key": "kbfleet", "Value": "verify"}]}

    def change() -> None:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        s3.put_bucket_tagging(Bucket=name, Tagging=tags)

    trial.note("new-bucket-busy", _until_accepted(trial, change))


def _bucket_name(trial: Trial) -> None:
    s3, name = trial.fleet.client("s3"), probe_bucket(trial.fleet)
    if not remove_probe_bucket(trial.fleet):
        raise Late("there was no bucket to delete")
    try:
        trial.note(
            "deleted-bucket-name", _until_accepted(trial, lambda: _make_bucket(s3, name), given_up=_NAME_SECONDS)
        )
    finally:
        remove_probe_bucket(trial.fleet)


def _make_bucket(s3: Any, name: str) -> None:
    # "us-east-1" is no LocationConstraint (Amazon S3 API reference, CreateBucket).
    region = s3.meta.region_name
    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=name, **where)


def _until_accepted(trial: Trial, call: Callable[[], object], *, given_up: float = inf) -> Took:
    since, last = trial.fleet.now(), 0.0
    while answered(call) != "accepted":
        last = trial.fleet.now() - since
        if last > given_up:
            return Took(last, inf)
        trial.pause(2, "it was not accepted")
    return Took(last, trial.fleet.now() - since)


def _duplicate_name(trial: Trial) -> None:
    trial.note("duplicate-name", Word(_refused_creation(trial, "already exists", name=None, storage=None)))


def _missing_index(trial: Trial) -> None:
    storage = {"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": _missing_index_arn(trial)}}
    word = _refused_creation(trial, "index could not be found", name=probe_base_name(trial.fleet), storage=storage)
    trial.note("missing-index", Word(word))


def _refused_creation(trial: Trial, text: str, *, name: str | None, storage: Mapping[str, Any] | None) -> str:
    """How a knowledge base is refused that has the name or the storage of one that there is, unless others are given.
    One that is not refused is deleted, however long that takes: its end is no part of the answer.

    Raises: Late when Bedrock does not assume the role that was made for it.
    """
    agent = trial.fleet.client("bedrock-agent")
    known = agent.get_knowledge_base(knowledgeBaseId=_vectors(trial).knowledge_base_id)["knowledgeBase"]
    members = {
        "name": name or known["name"],
        "knowledgeBaseConfiguration": known["knowledgeBaseConfiguration"],
        "storageConfiguration": storage or known["storageConfiguration"],
        "description": BASE_DESCRIPTION,
    }
    with probe_role(trial) as role:

        def look() -> str | None:
            word = answered(lambda: agent.create_knowledge_base(**members, roleArn=role), text, _NOT_ASSUMED)
            return None if _NOT_ASSUMED in word else word

        try:
            return trial.until(look, "Bedrock did not assume the role that was made for it", every=10)
        finally:
            remove_probe_knowledge_bases(trial)


def _searches(trial: Trial) -> None:
    tenant = _vectors(trial)
    runtime, agent = (trial.fleet.client(service) for service in ("bedrock-agent-runtime", "bedrock-agent"))
    base = {"knowledgeBaseId": tenant.knowledge_base_id}

    def search(text: str = QUESTION, **settings: Any) -> object:
        more = {"retrievalConfiguration": {"vectorSearchConfiguration": settings}} if settings else {}
        return runtime.retrieve(**base, retrievalQuery={"text": text}, **more)

    hybrid = answered(lambda: search(overrideSearchType="HYBRID"), "HYBRID search type is not supported")
    trial.note("hybrid-search", Word(hybrid))
    trial.note("empty-query", Word(answered(lambda: search(" "), "Text input is required")))
    starts = {"startsWith": {"key": "x-amz-bedrock-kb-source-uri", "value": "s3://nobody"}}
    trial.note("starts-with-filter", Word(answered(lambda: search(filter=starts))))
    page = {**base, "dataSourceId": tenant.data_source_id, "maxResults": 101}
    trial.note("long-page-of-documents", Word(answered(lambda: agent.list_knowledge_base_documents(**page))))


def _foreign_session(trial: Trial) -> None:
    runtime = trial.fleet.client("bedrock-agent-runtime")
    model, partition = trial.fleet.parameters["GenerationModelId"], _caller(trial.fleet).partition
    region, account = runtime.meta.region_name, _caller(trial.fleet).account
    profile = is_inference_profile(model)
    resource = f"{account}:inference-profile/{model}" if profile else f":foundation-model/{model}"
    first, second, *_ = (tenant for tenant in trial.tenants.values() if tenant.knowledge_store != MANAGED)

    def generate(tenant: TenantBody, **more: str) -> Any:
        settings = {
            "knowledgeBaseId": tenant.knowledge_base_id,
            "modelArn": f"arn:{partition}:bedrock:{region}:{resource}",
        }
        configuration = {"type": "KNOWLEDGE_BASE", "knowledgeBaseConfiguration": settings}
        return runtime.retrieve_and_generate(
            input={"text": QUESTION}, retrieveAndGenerateConfiguration=configuration, **more
        )

    session = generate(first)["sessionId"]
    trial.note("foreign-session", Word(answered(lambda: generate(second, sessionId=session), "Session")))


def _resource_tag(trial: Trial) -> None:
    """A role may search knowledge bases with the tag of the first tenant only."""
    with probe_role(trial) as role:
        sts = trial.fleet.client("sts")

        def assumed() -> Mapping[str, str] | None:
            try:
                credentials: Mapping[str, str] = sts.assume_role(RoleArn=role, RoleSessionName="kbfleet-verify")[
                    "Credentials"
                ]
            except ClientError as error:
                if "AccessDenied" not in code_of(error):
                    raise
                return None
            return credentials

        credentials = trial.until(assumed, "the role that was made for it could not be assumed", every=5)
        runtime = trial.fleet.client_as(credentials, "bedrock-agent-runtime")

        def may(tenant_id: TenantId) -> bool:
            base = trial.tenants[tenant_id].knowledge_base_id
            word = answered(lambda: runtime.retrieve(knowledgeBaseId=base, retrievalQuery={"text": QUESTION}))
            return not word.startswith("AccessDenied")

        since = trial.fleet.now()

        def look() -> str | None:
            if may(ONE):
                return "is ignored" if may(TWO) else "decides"
            # A policy just made counts after a while.
            return "is not there" if trial.fleet.now() > since + _ROLE_SECONDS / 2 else None

        trial.note("resource-tag-on-retrieve", Word(trial.until(look, "nothing was decided", every=10)))


# --- the limits ---


def _concurrent_jobs(trial: Trial) -> None:
    agent = trial.fleet.client("bedrock-agent")
    running: dict[TenantId, str] = {LIMITS[0]: _start(trial, LIMITS[0], "the first of five")}
    rate = answered(lambda: _start_once(trial, LIMITS[1], "start-rate"))
    for tenant_id in LIMITS[1:5]:
        if _job_of(trial, tenant_id, still=True) is None:
            running[tenant_id] = _start(trial, tenant_id, "one of five")
    trial.pause(_START_SECONDS, "the sixth job could not be started")
    sixth = answered(lambda: _start_once(trial, LIMITS[5], "sixth-job"), "per account")
    trial.pause(_START_SECONDS, "the second job could not be started")
    second = answered(lambda: _start_once(trial, LIMITS[4], "second-job"), "per knowledge base")
    tenant = trial.tenants[LIMITS[4]]
    put(trial, LIMITS[4], "ingestion-during-a-job.md", b"Ducks are fed at noon.\n")
    during = answered(lambda: _ingest(trial, LIMITS[4], "ingestion-during-a-job.md"))
    deleted = answered(
        lambda: agent.delete_data_source(knowledgeBaseId=tenant.knowledge_base_id, dataSourceId=tenant.data_source_id),
        "ongoing ingestion job",
    )
    still = [tenant_id for tenant_id in LIMITS[:5] if _job_of(trial, tenant_id, still=True) is not None]
    trial.note("start-rate", Word(rate))
    if LIMITS[4] not in still:
        raise Late("the job ended before the calls beside it were made")
    trial.note("second-job", Word(second))
    trial.note("ingestion-during-a-job", Word(during))
    trial.note("data-source-with-a-job", Word(deleted))
    if len(still) < 5:
        raise Late("five jobs did not run long enough beside each other")
    trial.note("sixth-job", Word(sixth))


def _managed_rate(trial: Trial) -> None:
    managed = [tenant_id for tenant_id, each in trial.tenants.items() if each.knowledge_store == MANAGED]
    if not managed:
        raise Late("no tenant is on a knowledge base of type MANAGED")
    _start(trial, managed[0], "the first on MANAGED")
    trial.note("start-rate-on-managed", Word(answered(lambda: _start_once(trial, managed[0], "start-rate-on-managed"))))


def _unreadable_document(trial: Trial) -> None:
    put(trial, LIMITS[1], "nothing.md", b" \n")
    job = _ended(trial, LIMITS[1], _start(trial, LIMITS[1], "unreadable-document"))
    reasons = job.get("failureReasons", [])
    kind = "are missing" if not reasons else "are JSON" if all(map(_is_json_list, reasons)) else "are text"
    status = job["status"] if job["status"] in _ENDED else "in another status"
    trial.note("unreadable-document", Word(f"{status}, its reasons {kind}"))


def _is_json_list(reason: str) -> bool:
    try:
        return isinstance(json.loads(reason), list)
    except ValueError:
        return False


def _direct_ingestion(trial: Trial) -> None:
    key, long_key = "document-indexed.md", f"long-uri/{'a' * 120}.md"
    for each in (key, long_key):
        put(trial, LIMITS[2], each, b"Swans are fed in the evening.\n")
    since = last = trial.fleet.now()
    _ingest(trial, LIMITS[2], key)

    def indexed() -> Took | None:
        nonlocal last
        found = trial.fleet.client("bedrock-agent", patient=True).get_knowledge_base_documents(
            **_names(trial, LIMITS[2]),
            documentIdentifiers=[{"dataSourceType": "S3", "s3": {"uri": _uri(trial, LIMITS[2], key)}}],
        )
        if found["documentDetails"][0]["status"] == "INDEXED":
            return Took(last - since, trial.fleet.now() - since)
        last = trial.fleet.now()
        return None

    trial.note("long-uri", Word(answered(lambda: _ingest(trial, LIMITS[2], long_key))))
    trial.note("document-indexed", trial.until(indexed, "the document was not INDEXED", every=2))


def _client_token(trial: Trial) -> None:
    token = f"kbfleet-verify-{int(trial.fleet.now() * 1000):018d}"
    first = _start(trial, LIMITS[3], "client-token-remembered", clientToken=token)
    since, last = trial.fleet.now(), 0.0
    for seconds in TOKEN_CHECKS:
        trial.pause(max(0.0, since + seconds - trial.fleet.now()), "the client token was not tried again")
        _ended(trial, LIMITS[3], first)
        again = _start(trial, LIMITS[3], "client-token-remembered", clientToken=token)
        if again != first:
            trial.note("client-token-remembered", Took(last, trial.fleet.now() - since))
            return
        last = trial.fleet.now() - since
    trial.note("client-token-remembered", Took(last, inf))


def _start(trial: Trial, tenant_id: TenantId, what: str, **more: str) -> str:
    """The id of a job, as soon as AWS allows it."""

    def look() -> str | None:
        try:
            return _start_once(trial, tenant_id, what, **more)
        except ClientError as error:
            if code_of(error) not in _BUSY:
                raise
            return None

    return trial.until(look, "no job could be started", every=_START_SECONDS)


def _start_once(trial: Trial, tenant_id: TenantId, what: str, **more: str) -> str:
    agent = trial.fleet.client("bedrock-agent")
    description = f"kbfleet verify: {what}"
    started = agent.start_ingestion_job(**_names(trial, tenant_id), description=description, **more)
    return str(started["ingestionJob"]["ingestionJobId"])


def _job_of(trial: Trial, tenant_id: TenantId, *, still: bool) -> str | None:
    """The newest job, if it is `still` running, or else has ended."""
    agent = trial.fleet.client("bedrock-agent", patient=True)
    newest = {"attribute": "STARTED_AT", "order": "DESCENDING"}
    listed = agent.list_ingestion_jobs(**_names(trial, tenant_id), sortBy=newest, maxResults=1)
    for job in listed["ingestionJobSummaries"]:
        if (job["status"] not in _ENDED) == still:
            return str(job["ingestionJobId"])
    return None


def _ended(trial: Trial, tenant_id: TenantId, job_id: str) -> dict[str, Any]:
    agent = trial.fleet.client("bedrock-agent", patient=True)

    def look() -> dict[str, Any] | None:
        job: dict[str, Any] = agent.get_ingestion_job(**_names(trial, tenant_id), ingestionJobId=job_id)["ingestionJob"]
        return job if job["status"] in _ENDED else None

    return trial.until(look, "a job did not end", every=5)


def _ingest(trial: Trial, tenant_id: TenantId, key: str) -> object:
    location = {"s3Location": {"uri": _uri(trial, tenant_id, key)}}
    documents = [{"content": {"dataSourceType": "S3", "s3": location}}]
    agent = trial.fleet.client("bedrock-agent")
    return agent.ingest_knowledge_base_documents(**_names(trial, tenant_id), documents=documents)


def _uri(trial: Trial, tenant_id: TenantId, key: str) -> str:
    return f"s3://{trial.tenants[tenant_id].bucket_name}/{key}"


def _names(trial: Trial, tenant_id: TenantId) -> dict[str, str | None]:
    tenant = trial.tenants[tenant_id]
    return {"knowledgeBaseId": tenant.knowledge_base_id, "dataSourceId": tenant.data_source_id}


def _vectors(trial: Trial) -> TenantBody:
    """A tenant on S3 Vectors.

    Raises: Late when there is none.
    """
    for tenant in trial.tenants.values():
        if tenant.knowledge_store == "S3_VECTORS" and tenant.knowledge_base_id:
            return tenant
    raise Late("no tenant is on S3 Vectors")


# --- a role of our own ---


@dataclass(frozen=True)
class _Caller:
    partition: str
    account: str


def _caller(fleet: FleetUnderTest) -> _Caller:
    identity = fleet.client("sts", patient=True).get_caller_identity()
    return _Caller(identity["Arn"].split(":")[1], identity["Account"])


# "verify-probe" may be a tenant's id. So each name here has something that none has which follows from a tenant's id
# (`ResourceNames`): what is removed by its name is nobody's.


def probe_role_name(fleet: FleetUnderTest) -> str:
    """A tenant's role has a digest at its end."""
    return f"{_fleet_name(fleet)}-verify-probe"


def probe_base_name(fleet: FleetUnderTest) -> str:
    """Of the knowledge base that is to be refused. A tenant's has a hyphen after the fleet's name."""
    return f"{_fleet_name(fleet)}_verify-probe"


def _missing_index_arn(trial: Trial) -> str:
    """What follows a dot in the name of a tenant's index is a number."""
    return f"{trial.fleet.stack.outputs['VectorBucketArn']}/index/verify-probe.none"


def _fleet_name(fleet: FleetUnderTest) -> str:
    return fleet.parameters.get("FleetName", "kbfleet")


def probe_role_policies(
    partition: str, account: str, knowledge_bases: Sequence[str], tagged: Mapping[str, str], model: str, index: str
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Who may assume the probes' role, and what it may.

    Args:
        knowledge_bases, model, index: ARNs.
        tagged: the tags of knowledge bases that it may search, as conditions.
    """
    trust = [
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:{partition}:iam::{account}:root"}},
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"Service": "bedrock.amazonaws.com"},
            "Condition": {"StringEquals": {"aws:SourceAccount": account}},
        },
    ]
    searched = {"Resource": list(knowledge_bases), "Condition": {"StringEquals": dict(tagged)}}
    rights = [
        {"Effect": "Allow", "Action": "bedrock:Retrieve", **searched},
        {"Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": model},
        {
            "Effect": "Allow",
            "Action": ["s3vectors:GetIndex", "s3vectors:QueryVectors", "s3vectors:PutVectors"],
            "Resource": index,
        },
    ]
    return {"Version": "2012-10-17", "Statement": trust}, {"Version": "2012-10-17", "Statement": rights}


@contextmanager
def probe_role(trial: Trial) -> Iterator[str]:
    """The ARN of a role that the operator and Bedrock can assume; it is gone afterwards."""
    fleet = trial.fleet
    iam, caller = fleet.client("iam", patient=True), _caller(fleet)
    agent = fleet.client("bedrock-agent", patient=True)
    bases = [
        agent.get_knowledge_base(knowledgeBaseId=trial.tenants[tenant_id].knowledge_base_id)["knowledgeBase"]
        for tenant_id in (ONE, TWO)
        if tenant_id in trial.tenants
    ]
    arns = [base["knowledgeBaseArn"] for base in bases]
    tags = agent.list_tags_for_resource(resourceArn=arns[0])["tags"]
    tagged = {f"aws:ResourceTag/{key}": value for key, value in tags.items() if key == "kbfleet:tenant"}
    models = f"arn:{caller.partition}:bedrock:{agent.meta.region_name}::foundation-model"
    model = f"{models}/{fleet.parameters['EmbeddingModelId']}"
    trust, rights = probe_role_policies(
        caller.partition, caller.account, arns, tagged, model, _missing_index_arn(trial)
    )
    remove_probe_role(fleet)
    made = iam.create_role(RoleName=probe_role_name(fleet), AssumeRolePolicyDocument=json.dumps(trust))
    try:
        iam.put_role_policy(RoleName=probe_role_name(fleet), PolicyName="probe", PolicyDocument=json.dumps(rights))
        yield str(made["Role"]["Arn"])
    finally:
        remove_probe_role(fleet)


def probe_bucket(fleet: FleetUnderTest) -> str:
    """Its name, which nobody else in the world has: a tenant's has the digest of another text."""
    place = f"{_caller(fleet).account}/{fleet.client('s3').meta.region_name}/probes of kbfleet verify"
    return f"{_fleet_name(fleet)}-verify-probe-{hashlib.sha256(place.encode()).hexdigest()[:10]}"


def remove_probe_bucket(fleet: FleetUnderTest) -> bool:
    """Returns: whether there was one."""
    s3 = fleet.client("s3", patient=True)
    try:
        s3.delete_bucket(Bucket=probe_bucket(fleet))
    except ClientError as error:
        if code_of(error) != "NoSuchBucket":
            raise
        return False
    return True


def remove_probe_role(fleet: FleetUnderTest) -> bool:
    """Returns: whether there was one."""
    iam = fleet.client("iam", patient=True)
    with suppress(iam.exceptions.NoSuchEntityException):
        iam.delete_role_policy(RoleName=probe_role_name(fleet), PolicyName="probe")
    try:
        iam.delete_role(RoleName=probe_role_name(fleet))
    except iam.exceptions.NoSuchEntityException:
        return False
    return True


def remove_probe_knowledge_bases(trial: Trial) -> bool:
    """Those that should have been refused. Returns: whether there was one.

    Raises: Late when one cannot be deleted.
    """
    agent = trial.fleet.client("bedrock-agent", patient=True)
    pages = agent.get_paginator("list_knowledge_bases").paginate()
    left = [
        each["knowledgeBaseId"]
        for page in pages
        for each in page["knowledgeBaseSummaries"]
        if each.get("description") == BASE_DESCRIPTION
        and each["name"].startswith((f"{_fleet_name(trial.fleet)}-", f"{_fleet_name(trial.fleet)}_"))
        and each["status"] != "DELETING"
    ]
    with trial.limited(REMOVING_SECONDS):
        for base_id in left:
            trial.until(partial(_deleted, agent, base_id), "a knowledge base of a probe was not deleted")
    return bool(left)


def _deleted(agent: Any, base_id: str) -> bool | None:
    """Nothing as long as it may not be deleted yet; with which error Bedrock says so, nobody has reported."""
    try:
        agent.delete_knowledge_base(knowledgeBaseId=base_id)
    except ClientError as error:
        if code_of(error) == "ResourceNotFoundException":
            return True
        if code_of(error) not in {"ConflictException", "ValidationException"}:
            raise
        return None
    return True


PROBES = (
    Probe(("new-bucket-missing", "new-bucket-busy"), 600, _bucket),
    Probe(("deleted-bucket-name",), _NAME_SECONDS + 60, _bucket_name, limits=True),
    Probe(("duplicate-name",), 300, _duplicate_name),
    Probe(("missing-index",), 300, _missing_index),
    Probe(
        ("hybrid-search", "empty-query", "starts-with-filter", "long-page-of-documents"),
        120,
        _searches,
    ),
    Probe(("resource-tag-on-retrieve",), 400, _resource_tag),
    Probe(("foreign-session",), 120, _foreign_session, limits=True),
    Probe(
        ("second-job", "sixth-job", "start-rate", "ingestion-during-a-job", "data-source-with-a-job"),
        600,
        _concurrent_jobs,
        limits=True,
    ),
    Probe(("start-rate-on-managed",), _JOB_SECONDS, _managed_rate, limits=True),
    Probe(("unreadable-document",), _JOB_SECONDS, _unreadable_document, limits=True),
    Probe(("document-indexed", "long-uri"), _JOB_SECONDS, _direct_ingestion, limits=True),
    Probe(("client-token-remembered",), TOKEN_CHECKS[-1] + _JOB_SECONDS, _client_token, limits=True),
)
