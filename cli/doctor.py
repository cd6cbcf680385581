"""Whether a deployed fleet is well, asked place by place, and what to do where it is not.

It asks AWS with the operator's own credentials, and changes nothing: a check that may not look says which permission it
lacks. What answers rest on is looked at by the API, as `kbfleet reconcile` does it, but nothing is written down, told
or moved on, and only tenants that seem to lack something are searched. What a search of each shows, the daily round has
written down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from cli import alert_secret
from cli.dead_letter_queues import QUEUES
from cli.dead_letters import DeadLetters
from cli.fleet_api import FleetApi, FleetUnreachable, Refused
from cli.fleet_stack import FleetStack, asking
from cli.models_in_use import ModelLook, models_in_use
from cli.terminal import counted
from kbfleet.contracts.events import ReconciliationDetail
from kbfleet.contracts.questions import QuestionStandBody
from kbfleet.contracts.tenants import ListedTenantBody
from kbfleet.domain.capacity import BUCKETS, USAGE_KEYS, Room, Scarce
from kbfleet.domain.convergence import CONVERGED_BY_ITSELF
from kbfleet.domain.finding import Disagreement
from kbfleet.domain.fleet_overview import ROUND_OVERDUE_AFTER
from kbfleet.domain.ingestion_job import Outcome
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.names import TenantId
from kbfleet.domain.tenant_status import TenantStatus

_DEPLOYED = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "IMPORT_COMPLETE"}
"""Knowledge bases under the quota that are worth a word: time to prepare another account."""
_CONVERGED_WITHIN, _CONVERGED_WITHIN_EACH = timedelta(minutes=30), timedelta(seconds=30)
"""After an update: twenty tenants are begun every five minutes (`usecases.convergence`), and take some minutes each."""
_ALARM_NAMES = 100
"""That one call of DescribeAlarms takes (AWS documentation, DescribeAlarms)."""


class Verdict(StrEnum):
    WELL = "WELL"
    NOTE = "NOTE"
    """It works; somebody may want to know."""
    WRONG = "WRONG"
    UNKNOWN = "UNKNOWN"
    """It could not be looked at."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found, and what to do about it; `advice` is empty where nothing is to be done."""

    check: str
    verdict: Verdict
    finding: str
    advice: str = ""

    @property
    def counts(self) -> bool:
        """Whether the fleet is not known to be well for it."""
        return self.verdict in {Verdict.WRONG, Verdict.UNKNOWN}


def examine(stack: FleetStack) -> Iterator[CheckResult]:
    """Every check's findings, one after the other; a check that cannot look does not keep the others from it."""
    for check, look in _CHECKS.items():
        try:
            for verdict, finding, advice in look(stack):
                yield CheckResult(check, verdict, finding, advice)
        except (FleetUnreachable, Refused) as error:
            advice = "If a permission is missing, ask for it: docs/runbook/README.md lists those that the doctor needs."
            yield CheckResult(check, Verdict.UNKNOWN, str(error), advice)


CheckResults = Iterator[tuple[Verdict, str, str]]


def _well(finding: str) -> tuple[Verdict, str, str]:
    return Verdict.WELL, finding, ""


def _stack(stack: FleetStack) -> CheckResults:
    if stack.status in _DEPLOYED:
        yield _well(f"{stack.name} is {stack.status} since {stack.deployed_at:%Y-%m-%d %H:%M} UTC.")
    elif stack.status.endswith("_IN_PROGRESS"):
        yield Verdict.WRONG, f"{stack.name} is {stack.status}.", "Wait until it is deployed, then run this again."
    else:
        advice = "CloudFormation's events of the stack say why. Fix the cause, then deploy again."
        yield Verdict.WRONG, f"{stack.name} is {stack.status}: the last deployment is not complete.", advice
    drift = stack.description.get("DriftInformation", {}).get("StackDriftStatus")
    if drift == "DRIFTED":
        advice = (
            f"Compare with `aws cloudformation describe-stack-resource-drifts --stack-name {stack.name}`, and deploy "
            "again."
        )
        yield Verdict.WRONG, "Resources were changed outside CloudFormation, as its last drift check shows.", advice
    functions = {"WhyFunction", "TenantsFunction", "ReconcileFunction"}
    needed = functions | {"Monitoring"} | {queue.resource for queue in QUEUES}
    if missing := sorted(needed - stack.resources.keys()):
        names = ", ".join(missing)
        yield Verdict.WRONG, f"The stack is of another release than this command: it lacks {names}.", "Deploy this one."


def _parameters(stack: FleetStack) -> CheckResults:
    given = stack.parameters
    store = given.get("KnowledgeStore", "")
    yield _well(f"New tenants are put on {store}; answers are written by {given.get('GenerationModelId', '')}.")
    if not given.get("AlarmTopicArn"):
        advice = "Deploy with AlarmTopicArn, the ARN of an SNS topic that reaches people."
        yield Verdict.NOTE, "Alarms notify nobody: they only show in CloudWatch.", advice
    if given.get("ScopedCredentials") == "DISABLED":
        advice = "Deploy with ScopedCredentials=ENABLED."
        yield Verdict.NOTE, "Tenants are answered with credentials that open every knowledge base.", advice


def _tenants(stack: FleetStack) -> CheckResults:
    listed = _api(stack).tenants(None).tenants
    served = [each for each in listed if each.status is not TenantStatus.OFFBOARDED]
    troubles = {each.tenant_id: _trouble(each, _freshness(stack)) for each in served}
    left = [each.tenant_id for each in served if each.status in CONVERGED_BY_ITSELF and not each.converged]
    # Of syncs that are held, the look at what answers rest on says more.
    unconverged = {*left, *(each.tenant_id for each in served if each.held_since is not None)}
    if well := sum(trouble is None and tenant_id not in unconverged for tenant_id, trouble in troubles.items()):
        yield _well(f"The API answers; tenants in service that are well: {well} of {len(served)}.")
    else:  # each of them, if there are any, is named below
        yield _well(f"The API answers; tenants in service: {len(served)}.")
    yield from filter(None, troubles.values())
    yield from _being_converged(stack, left, of=len(served))
    yield from _left_to_rebuilds(stack, sum(each.knowledge_store != KnowledgeBaseKind.MANAGED for each in served))


def _knowledge(stack: FleetStack) -> CheckResults:
    """What the tenants' answers rest on, looked at now."""
    if "ApiUrl" not in stack.outputs:
        return  # which the check before says
    report = _api(stack).reconcile(look_only=True)
    for loss in report.shared_losses:
        yield Verdict.WRONG, f"The {loss.kind} {loss.name} of all tenants is gone. {loss.harm.sentence}", loss.advice
    for finding in report.findings:
        what = f"{finding.disagreement} {finding.kind} {finding.name} of tenant {finding.tenant_id}"
        yield Verdict.WRONG, f"{what}: {finding.harm.sentence}", finding.advice
    for finding in report.recorded:
        if finding.disagreement is Disagreement.FOREIGN:
            continue  # which the check of tenants says
        what = f"{finding.disagreement} {finding.kind} {finding.name} of tenant {finding.tenant_id}"
        yield Verdict.WRONG, f"{what}, when it was last looked into: {finding.harm.sentence}", finding.advice
    if more := report.findings_left_out + report.recorded_left_out:
        yield Verdict.WRONG, f"There are {more:,} more of these.", "Run this again when those above are repaired."
    if more := report.troubles_left_out:
        yield Verdict.UNKNOWN, f"{more:,} more tenants could not be looked into.", "Run this again later."
    yield _last_round(report)
    for reason in report.unlisted:
        yield (
            Verdict.UNKNOWN,
            f"Not all that there is could be listed: {reason}",
            "`kbfleet reconcile` looks once more.",
        )
    for trouble in report.troubles:
        advice = f"`kbfleet reconcile --tenant {trouble.tenant_id}` looks once more."
        yield Verdict.UNKNOWN, f"Tenant {trouble.tenant_id} could not be looked into: {trouble.reason}", advice
    if not report.findings and not report.recorded and not report.unlisted and not report.shared_losses:
        yield _well(f"Every bucket, index, knowledge base and role that a record names is there: {report.resources}.")


def _questions(stack: FleetStack) -> CheckResults:
    """What golden questions came to when they were asked last. That a tenant has none is a hint: it may be meant so."""
    if "ApiUrl" not in stack.outputs:
        return  # which another check says
    stands = _api(stack).question_stands()
    asked = [each for each in stands if each.questions]
    troubles = [found for each in asked if (found := _questions_trouble(each)) is not None]
    if passing := len(asked) - len(troubles):
        yield _well(f"Golden questions of {passing} of {counted(len(stands), 'tenant')} pass.")
    by_verdict = sorted(troubles, key=lambda found: _WORST_FIRST.index(found[0]))
    yield from by_verdict[:_NAMED]
    for verdict in _WORST_FIRST:
        if more := sum(found[0] is verdict for found in by_verdict[_NAMED:]):
            yield verdict, f"There are {more:,} more of these.", "Run this again when those above are repaired."
    if without := [str(each.tenant_id) for each in stands if not each.questions]:
        tenant_id = without[0]
        named = ", ".join(without[:_NAMED]) + (f" and {more:,} more" if (more := len(without) - _NAMED) > 0 else "")
        none = f"Tenants without golden questions, of {len(stands):,}: {len(without):,} ({named})."
        advice = (
            f"Whether they are answered rightly, only their users would tell. `kbfleet questions suggest {tenant_id}` "
            "proposes some."
        )
        yield Verdict.NOTE, none, advice


_NAMED = 20
_WORST_FIRST = [Verdict.WRONG, Verdict.UNKNOWN, Verdict.NOTE]


def _questions_trouble(stand: QuestionStandBody) -> tuple[Verdict, str, str] | None:
    tenant_id, score, advice = stand.tenant_id, stand.score, f"`kbfleet questions results {stand.tenant_id}` says why."
    whose = f"{stand.questions} golden questions of tenant {tenant_id}"
    if stand.regressions:
        lost = f"{len(stand.regressions)} of {whose} were known to pass, and do not any more."
        return Verdict.WRONG, lost, f"{advice} Then see docs/runbook/questions-regressed.md."
    if score is None or stand.judged_at is None:
        return Verdict.NOTE, f"{whose} were not asked yet.", f"`kbfleet questions run {tenant_id}` asks them now."
    at = f"{stand.judged_at:%Y-%m-%d %H:%M} UTC"
    if score.not_asked:
        return Verdict.UNKNOWN, f"{score.not_asked} of {whose} could not be asked at {at}.", advice
    if score.failed:
        return Verdict.NOTE, f"{score.failed} of {whose} did not pass at {at}.", advice
    if not score.passed:
        only = f"{whose} are judged by their answers only, and were not at {at}."
        return Verdict.NOTE, only, f"`kbfleet questions run {tenant_id} --answers` does; it costs tokens."
    return None


def _last_round(report: ReconciliationDetail) -> tuple[Verdict, str, str]:
    """When what is within tenants was looked at: here it is only said what that has found."""
    if report.round_ended_at is None and report.tenants:
        found = "What is within tenants has not been looked at yet by a whole round."
        return Verdict.NOTE, found, "One is begun each day."
    if report.round_ended_at is None:
        return _well("There are no tenants to look into.")
    found = f"Each tenant was last looked into by the round that ended at {report.round_ended_at:%Y-%m-%d %H:%M} UTC"
    if report.occurred_at - report.round_ended_at > ROUND_OVERDUE_AFTER:
        return Verdict.WRONG, f"{found}. The next one is overdue.", "See docs/runbook/scheduled-work-failing.md."
    if report.round_missed:
        missed = f"{found}; {report.round_missed:,} of them it could not look into."
        return Verdict.NOTE, missed, "The next one tries again."
    return _well(f"{found}.")


def _being_converged(stack: FleetStack, left: Sequence[TenantId], of: int) -> CheckResults:
    """After an update. By itself that takes minutes; a tenant that is still not converged was tried in vain."""
    if left and datetime.now(UTC) - stack.deployed_at < _CONVERGED_WITHIN + of * _CONVERGED_WITHIN_EACH:
        found = f"After the update {len(left)} of {of} tenants are still to be converged; they are answered."
        yield Verdict.NOTE, found, "It goes on by itself. Run this again in some minutes."
    else:
        for tenant_id in left:
            found = f"Tenant {tenant_id} was not converged after the last update."
            advice = f"`kbfleet tenant add {tenant_id}`; if that fails, it says why."
            yield Verdict.WRONG, found, advice


def _left_to_rebuilds(stack: FleetStack, tenants: int) -> CheckResults:
    """Args: tenants: that need a knowledge base of type VECTOR."""
    quota, kept = KnowledgeBaseKind.VECTOR.quota, int(stack.parameters.get("KnowledgeBasesForRebuilds", 5))
    if tenants > quota - kept:
        finding = (
            f"{tenants} tenants need a knowledge base of type VECTOR: of the {kept} that are for rebuilds, "
            f"{max(0, quota - tenants)} are left."
        )
        advice = (
            "`kbfleet tenant rebuild TENANT --profile PROFILE` moves a tenant to the knowledge store MANAGED, by a "
            "profile for that; or offboard tenants."
        )
        yield Verdict.NOTE, finding, advice


def _freshness(stack: FleetStack) -> timedelta:
    return timedelta(seconds=float(stack.parameters.get("FreshnessAlarmSeconds", 3_600)))


def _trouble(tenant: ListedTenantBody, freshness: timedelta) -> tuple[Verdict, str, str] | None:
    """What is wrong with a tenant, the worst first."""
    tenant_id = tenant.tenant_id
    if tenant.foreign:
        advice = f"`kbfleet tenant add {tenant_id}`, then `kbfleet reconcile --tenant {tenant_id}`."
        found = ", ".join(tenant.foreign)
        return Verdict.WRONG, f"Tenant {tenant_id} can reach what is not its own: {found}.", advice
    if tenant.status is TenantStatus.FAILED:
        advice = f"`kbfleet tenant show {tenant_id}` says why; then `kbfleet tenant add {tenant_id}`."
        return Verdict.WRONG, f"Tenant {tenant_id} is FAILED.", advice
    if tenant.offboarding is not None and tenant.offboarding.is_overdue(datetime.now(UTC)):
        advice = (
            f"`kbfleet tenant show {tenant_id}` says why if that failed; then `kbfleet tenant offboard {tenant_id}`."
        )
        due = f"{tenant.offboarding.delete_after:%Y-%m-%d %H:%M} UTC"
        return Verdict.WRONG, f"Tenant {tenant_id} should have been deleted on {due}.", advice
    if tenant.status is not TenantStatus.ACTIVE:
        return None
    if tenant.pending_since is not None and datetime.now(UTC) - tenant.pending_since > freshness:
        since = f"{tenant.pending_since:%Y-%m-%d %H:%M} UTC"
        advice = "See docs/runbook/changes-waiting.md."
        return Verdict.WRONG, f"Tenant {tenant_id} is stale: changes wait since {since}.", advice
    if tenant.last_outcome is Outcome.FAILED:
        advice = (
            f"`kbfleet tenant show {tenant_id}` says why; then `kbfleet sync start {tenant_id}`, or, where Bedrock has "
            f"refused to start a job, `kbfleet tenant add {tenant_id}`."
        )
        return Verdict.WRONG, f"The last sync of tenant {tenant_id} FAILED.", advice
    if tenant.last_outcome is Outcome.DEGRADED:
        return (
            Verdict.NOTE,
            f"Documents of tenant {tenant_id} fail.",
            f"`kbfleet documents {tenant_id} --failed` says which.",
        )
    if tenant.drift:
        found = f"Tenant {tenant_id} works, but is not made as a new one would be."
        return Verdict.NOTE, found, f"`kbfleet tenant show {tenant_id}` says what differs, and what changes it."
    return None


def _capacity(stack: FleetStack) -> CheckResults:
    """Of everything of which a tenant takes one, how much is left; each is counted apart, for who may not list one may
    list the others."""
    for room in _rooms(stack):
        found = f"{room.left:,} of {room.quota:,} {room.of} are left."
        if room.is_full:
            yield Verdict.WRONG, found, room.of.way_out
        elif room.is_scarce:
            yield Verdict.NOTE, found, room.of.way_out
        else:
            yield _well(found)


def _rooms(stack: FleetStack) -> Iterator[Room]:
    with asking("Knowledge bases could not be listed (bedrock:ListKnowledgeBases)"):
        bases = _listed(stack, "bedrock-agent", "list_knowledge_bases", "knowledgeBaseSummaries", 1_000)
    # The list does not name kinds, but the descriptions that provisioning writes do. Others count against the quota
    # that is scarce.
    managed = sum(each.get("description", "").endswith(f"({KnowledgeBaseKind.MANAGED})") for each in bases)
    yield Room(Scarce.VECTOR_KNOWLEDGE_BASES, len(bases) - managed, KnowledgeBaseKind.VECTOR.quota)
    yield Room(Scarce.MANAGED_KNOWLEDGE_BASES, managed, KnowledgeBaseKind.MANAGED.quota)
    with asking("Buckets could not be listed (s3:ListAllMyBuckets)"):
        buckets = _listed(stack, "s3", "list_buckets", "Buckets", 1_000)
    yield Room(Scarce.BUCKETS, len(buckets), BUCKETS, fixed=False)
    with asking("API keys could not be listed (apigateway:GET)"):
        keys = _listed(stack, "apigateway", "get_api_keys", "items", 500)
    yield Room(Scarce.USAGE_KEYS, len(keys), USAGE_KEYS)
    with asking("Roles could not be counted (iam:GetAccountSummary)"):
        roles = stack.client("iam").get_account_summary()["SummaryMap"]
    yield Room(Scarce.SERVICE_ROLES, roles["Roles"], roles["RolesQuota"])


def _listed(stack: FleetStack, service: str, operation: str, member: str, page: int) -> list[Any]:
    """Over all pages, each as large as it may be."""
    pages = stack.client(service).get_paginator(operation).paginate(PaginationConfig={"PageSize": page})
    return [each for part in pages for each in part.get(member, ())]


def _secrets(stack: FleetStack) -> CheckResults:
    secrets = stack.client("secretsmanager")
    alerts, sessions = (_resource(stack, name) for name in (alert_secret.RESOURCE, "SessionSecret"))
    if (kind := alert_secret.kind(stack)) is not None:
        beginning, what, wanted = kind
        with asking(f"{what} could not be looked at (secretsmanager:GetSecretValue)"):
            is_set = str(secrets.get_secret_value(SecretId=alerts)["SecretString"]).startswith(beginning)
        if is_set:
            yield _well(f"{what} is set.")
        else:
            advice = f"`kbfleet alerts connect` stores {wanted}."
            yield Verdict.WRONG, f"{what} is not set: no alert reaches anybody.", advice
    elif stack.parameters["AlertChannel"] == "SNS" and not stack.parameters.get("AlertTopicArn"):
        advice = "Deploy with AlertTopicArn, the ARN of an SNS topic that reaches people."
        yield Verdict.WRONG, "There is no topic for alerts: no alert reaches anybody.", advice
    # Its value is nobody's business, here neither.
    with asking("The secret of sessions could not be looked at (secretsmanager:DescribeSecret)"):
        described = secrets.describe_secret(SecretId=sessions)
    if described.get("DeletedDate"):
        advice = f"Restore it with `aws secretsmanager restore-secret --secret-id {sessions}`."
        yield (
            Verdict.WRONG,
            "The secret that signs sessions is about to be deleted: no conversation can continue.",
            advice,
        )
    else:
        yield _well("The secret that signs sessions is there.")


def _models(stack: FleetStack) -> CheckResults:
    """Those that the parameters name, and the profiles that tenants have: whether they can be called, and for how
    long."""
    unasked: FleetUnreachable | Refused | None = None
    try:
        used = models_in_use(stack.parameters, _api(stack))
    except (FleetUnreachable, Refused) as error:
        used, unasked = models_in_use(stack.parameters, None), error
    for model, uses in used.items():
        look = ModelLook(stack, model, uses, datetime.now(UTC))
        well = True
        for trouble in look.troubles():
            well = False
            yield Verdict.NOTE if trouble.passing else Verdict.WRONG, trouble.finding, trouble.advice
        if well:
            yield _well(f"{look.named} can be used.")
    if unasked is not None:
        advice = "Run this again when the API answers."
        yield Verdict.UNKNOWN, f"Which models tenants' profiles name, nobody could say: {unasked}", advice


def _who_did_it(stack: FleetStack) -> CheckResults:
    """Whether CloudTrail keeps what a trail does not keep unless it is told to: who searched which knowledge base, and
    who wrote to the table. The runbook's page of a breach asks it. Source: AWS documentation, Logging data events."""
    cloudtrail = stack.client("cloudtrail")
    lacking = set(_TOLD_BY_CLOUDTRAIL)
    with asking("Trails could not be looked at (cloudtrail:DescribeTrails and GetEventSelectors)"):
        for trail in cloudtrail.describe_trails()["trailList"]:
            if lacking:
                lacking -= _data_events(cloudtrail.get_event_selectors(TrailName=trail["TrailARN"]))
    if lacking:
        unknown = ", and ".join(_TOLD_BY_CLOUDTRAIL[each] for each in sorted(lacking))
        advice = 'See "Who did it" in docs/security.md: data events are off by default, and cost.'
        yield Verdict.NOTE, f"No trail of this account says {unknown}.", advice
    else:
        yield _well("CloudTrail keeps who searches knowledge bases and who writes to the table.")


_TOLD_BY_CLOUDTRAIL = {
    "AWS::Bedrock::KnowledgeBase": "who searched which knowledge base",
    "AWS::DynamoDB::Table": "who wrote to the table",
}
"""By types of resources, as selectors of data events name them."""


def _data_events(selectors: Mapping[str, Any]) -> set[str]:
    """The types of resources whose data events a trail keeps, all or some."""
    basic = {kept["Type"] for each in selectors.get("EventSelectors", ()) for kept in each.get("DataResources", ())}
    advanced = (
        {field["Field"]: field.get("Equals", []) for field in each["FieldSelectors"]}
        for each in selectors.get("AdvancedEventSelectors", ())
    )
    return basic.union(
        *(each.get("resources.type", []) for each in advanced if "Data" in each.get("eventCategory", []))
    )


def _alarms(stack: FleetStack) -> CheckResults:
    names = sorted(physical for logical, physical in stack.monitoring.items() if logical.endswith("Alarm"))
    ringing: list[Mapping[str, Any]] = []
    with asking("Alarms could not be looked at (cloudwatch:DescribeAlarms)"):
        for first in range(0, len(names), _ALARM_NAMES):
            some = names[first : first + _ALARM_NAMES]
            pages = stack.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNames=some)
            alarms = (alarm for page in pages for alarm in page["MetricAlarms"])
            ringing += [alarm for alarm in alarms if alarm["StateValue"] == "ALARM"]
    for alarm in ringing:
        what, _, page = str(alarm.get("AlarmDescription", "")).partition(" See ")
        yield Verdict.WRONG, f"{alarm['AlarmName']}: {what}", f"See {page}." if page else ""
    if not ringing:
        yield _well(f"None of {len(names)} alarms is in ALARM.")


def _dead_letters(stack: FleetStack) -> CheckResults:
    waiting = list(DeadLetters(stack).waiting())
    for each in waiting:
        if each.messages:
            found = f"{each.messages} messages in {each.queue.name}: {each.queue.meaning}"
            yield Verdict.WRONG, found, f"`kbfleet dlq list`, then docs/runbook/{each.queue.page}.md."
    if not any(each.messages for each in waiting):
        yield _well(f"Nothing waits in {len(waiting)} dead-letter queues.")


def _api(stack: FleetStack) -> FleetApi:
    """Raises: FleetUnreachable."""
    if "ApiUrl" not in stack.outputs:
        raise FleetUnreachable(f"Stack {stack.name!r} has no output ApiUrl; is it a kbfleet stack?")
    return FleetApi(stack.outputs["ApiUrl"], stack.session)


def _resource(stack: FleetStack, name: str) -> str:
    if name not in stack.resources:
        raise FleetUnreachable(f"Stack {stack.name} has no {name}; deploy this release first.")
    return stack.resources[name]


_CHECKS: Mapping[str, Callable[[FleetStack], CheckResults]] = {
    "stack": _stack,
    "parameters": _parameters,
    "tenants": _tenants,
    "knowledge": _knowledge,
    "questions": _questions,
    "capacity": _capacity,
    "secrets": _secrets,
    "models": _models,
    "CloudTrail": _who_did_it,
    "alarms": _alarms,
    "dead letters": _dead_letters,
}
