"""`kbfleet doctor`: each thing that can be wrong is made wrong, and found, named and counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

import cli.main
from cli import doctor
from cli.dead_letter_queues import QUEUES
from cli.doctor import CheckResult, Verdict, examine
from cli.fleet_api import FleetApi, FleetUnreachable, Refused
from cli.fleet_stack import FleetStack
from kbfleet.contracts.events import ReconciliationDetail
from kbfleet.contracts.profiles import ProfileBody
from kbfleet.contracts.questions import QuestionStandBody, ScoreBody
from kbfleet.contracts.tenants import ListedTenantBody, TenantsBody
from kbfleet.domain.errors import NotReadyYet
from kbfleet.domain.finding import Disagreement, Finding, ResourceKind, SharedLoss
from kbfleet.domain.fleet_overview import ROUND_OVERDUE_AFTER, IncidentOutline
from kbfleet.domain.harm import Harm
from kbfleet.domain.incident import Concern
from kbfleet.domain.ingestion_job import Outcome
from kbfleet.domain.names import TenantId
from kbfleet.domain.profiles import Answering, Embedding, Ingestion, Parser, ParserKind, Profile, ProfileName, Reranker
from kbfleet.domain.questions import QuestionId
from kbfleet.domain.reconciliation import Reconciliation, WholeRound
from kbfleet.domain.tenant import Offboarding
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.usage_plan import Tier
from tests.support.aws import client as aws_client
from tests.support.clock import START
from tests.support.template import properties, resources

MODELS = {"EmbeddingModelId": "amazon.titan-embed-text-v2:0", "GenerationModelId": "jp.anthropic.claude-haiku-4-5"}
PROFILES = ("global.amazon.nova-lite-v1:0", "apac.amazon.nova-pro-v1:0", "apac.amazon.nova-lite-v1:0")
TRAIL = "arn:aws:cloudtrail:ap-northeast-1:123456789012:trail/everything"
MONITORING = "kbfleet-Monitoring-1A2B3C4D5E6F7"
ALARM = f"{MONITORING}-AlertsUndeliveredAlarm-1A2B3C4D5E6F7"
ALARM_SETTINGS: dict[str, Any] = {
    "MetricName": "m",
    "Namespace": "n",
    "Statistic": "Maximum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 0,
    "ComparisonOperator": "GreaterThanThreshold",
}
OURS = "Documents of kbfleet-acme, kept in sync by kbfleet"


@dataclass
class Bedrock:
    """bedrock and bedrock-agent, as the doctor asks them."""

    descriptions: list[str] = field(default_factory=list)
    unauthorized: set[str] = field(default_factory=set)
    agreement: str = "AVAILABLE"
    profile_only: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    lifecycles: dict[str, dict[str, Any]] = field(default_factory=dict)
    here: str = "ap-northeast-1"
    lacking_here: set[str] = field(default_factory=set)

    def get_paginator(self, _operation: str) -> Bedrock:
        return self

    def paginate(self, typeEquals: str = "", PaginationConfig: object = None) -> list[dict[str, Any]]:  # noqa: N803 - boto3's names
        """Each with one on a page: nobody may take the first page for all."""
        if typeEquals:
            return [{"inferenceProfileSummaries": [{"inferenceProfileId": each}]} for each in PROFILES]
        return [{"knowledgeBaseSummaries": [{"description": each}]} for each in self.descriptions]

    def get_foundation_model(self, *, modelIdentifier: str) -> dict[str, Any]:  # noqa: N803 - as above
        self._look_for(modelIdentifier)
        kind = "INFERENCE_PROFILE" if modelIdentifier in self.profile_only else "ON_DEMAND"
        lifecycle = self.lifecycles.get(modelIdentifier, {"status": "ACTIVE"})
        details = {"modelId": modelIdentifier, "inferenceTypesSupported": [kind], "modelLifecycle": lifecycle}
        return {"modelDetails": details}

    def in_region(self, region: str) -> Bedrock:
        return replace(self, here=region, lacking_here=set())

    def _look_for(self, identifier: str) -> None:
        if identifier in self.missing | self.lacking_here:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "no"}}, "Operation")

    def get_inference_profile(self, *, inferenceProfileIdentifier: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        self._look_for(inferenceProfileIdentifier)
        model = inferenceProfileIdentifier.partition(".")[2]
        regions = ("ap-northeast-1", "ap-northeast-3")
        return {"models": [{"modelArn": f"arn:aws:bedrock:{each}::foundation-model/{model}"} for each in regions]}

    def get_foundation_model_availability(self, *, modelId: str) -> dict[str, Any]:  # noqa: N803 - as above
        return {
            "modelId": modelId,
            "agreementAvailability": {"status": self.agreement},
            "authorizationStatus": "NOT_AUTHORIZED" if modelId in self.unauthorized else "AUTHORIZED",
            "entitlementAvailability": "AVAILABLE",
            "regionAvailability": "AVAILABLE",
        }


@dataclass
class CloudTrail:
    """One trail, with these selectors."""

    selectors: dict[str, Any]

    def describe_trails(self) -> dict[str, Any]:
        return {"trailList": [{"TrailARN": TRAIL}] if self.selectors else []}

    def get_event_selectors(self, *, TrailName: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        assert TrailName == TRAIL
        return self.selectors


def of_data(*types: str, category: str = "Data") -> dict[str, Any]:
    """Advanced selectors, which keep the data events of these types."""
    fields = [{"Field": "eventCategory", "Equals": [category]}]
    return {
        "AdvancedEventSelectors": [
            {"FieldSelectors": [*fields, {"Field": "resources.type", "Equals": [each]}]} for each in types
        ]
    }


class Denied:
    """A service whose every call is refused."""

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def refuse(*_: object, **__: object) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, operation)

        return refuse


class Patient(FleetStack):
    """A fleet that is well, until a test makes it ill."""

    def __init__(self) -> None:
        deployed: dict[str, Any] = {
            "StackStatus": "UPDATE_COMPLETE",
            "CreationTime": datetime(2026, 11, 2, tzinfo=UTC),
            "Outputs": [{"OutputKey": "ApiUrl", "OutputValue": "https://api.example.com/v1"}],
        }
        super().__init__("kbfleet", deployed, None)  # type: ignore[arg-type] # its clients are made here
        own = self.__dict__
        own["bedrock"] = Bedrock()
        own["cloudtrail"] = CloudTrail(of_data("AWS::Bedrock::KnowledgeBase", "AWS::DynamoDB::Table"))
        own["denied"] = set()
        own["parameters"] = {"KnowledgeStore": "S3_VECTORS", "AlarmTopicArn": "arn:aws:sns:a:1:t", **MODELS}
        sqs, secrets = aws_client("sqs"), aws_client("secretsmanager")
        queues = {queue.resource: sqs.create_queue(QueueName=queue.resource)["QueueUrl"] for queue in QUEUES}
        functions = {name: name for name in resources("AWS::Serverless::Function")}
        for name, value in (("SlackWebhookSecret", "https://hooks.slack.com/services/x"), ("SessionSecret", "k" * 64)):
            secrets.create_secret(Name=name, SecretString=value)
        own["resources"] = {
            **queues,
            **functions,
            "SlackWebhookSecret": "SlackWebhookSecret",
            "SessionSecret": "SessionSecret",
            "Monitoring": f"arn:aws:cloudformation:ap-northeast-1:123456789012:stack/{MONITORING}/1",
        }
        own["monitoring"] = {"AlertsUndeliveredAlarm": ALARM, "AlarmRule": "rule"}
        aws_client("cloudwatch").put_metric_alarm(
            AlarmName=ALARM,
            AlarmDescription="Alerts did not reach Slack. See docs/runbook/alerts-undelivered.md",
            **ALARM_SETTINGS,
        )

    def client(self, service: str, config: object = None) -> Any:
        if service in self.__dict__["denied"]:
            return Denied()
        if service == "cloudtrail":
            return self.__dict__["cloudtrail"]
        if not service.startswith("bedrock"):
            return aws_client(service)
        bedrock: Bedrock = self.__dict__["bedrock"]
        region = getattr(config, "region_name", None)
        return bedrock.in_region(region) if region else bedrock

    def described(self, **changes: Any) -> None:
        self.__dict__["resources"] = self.resources  # both are derived from the description
        object.__setattr__(self, "description", {**self.description, **changes})


def listed(name: str, **changes: Any) -> ListedTenantBody:
    well = ListedTenantBody(
        tenant_id=TenantId(name),
        name=name,
        status=TenantStatus.ACTIVE,
        status_since=datetime.now(UTC),
        tier=Tier.STANDARD,
        knowledge_store="S3_VECTORS",
        synced_at=None,
        pending_since=None,
        last_outcome=Outcome.SUCCEEDED,
        held_since=None,
        foreign=(),
        offboarding=None,
        converged=True,
    )
    return well.model_copy(update=changes)


def standing(name: str, questions: int = 20, regressed: int = 0, **score: int) -> QuestionStandBody:
    counts = {"passed": 20, "failed": 0, "not_judged": 0, "not_asked": 0} | score
    body = ScoreBody(**counts, hit_rate_5=None, hit_rate_1=None, mrr=None) if questions else None
    return QuestionStandBody(
        tenant_id=TenantId(name),
        questions=questions,
        judged_at=datetime(2026, 11, 2, 14, 5, tzinfo=UTC) if body is not None else None,
        answers=False,
        score=body,
        regressions=tuple(QuestionId(f"q{number:04}") for number in range(regressed)),
    )


LAST_ROUND = WholeRound(datetime(2026, 11, 1, 3, tzinfo=UTC), datetime(2026, 11, 1, 5, tzinfo=UTC))
RECONCILED = Reconciliation(datetime(2026, 11, 2, tzinfo=UTC), 1, 4, (), looked_into=1, last_round=LAST_ROUND)


@pytest.fixture
def tenants(monkeypatch: pytest.MonkeyPatch) -> list[ListedTenantBody]:
    """What the API lists."""
    fleet = [listed("acme"), listed("gone-co", status=TenantStatus.OFFBOARDED)]
    monkeypatch.setattr(FleetApi, "tenants", lambda *_: TenantsBody(tenants=tuple(fleet), next_token=None))
    monkeypatch.setattr(FleetApi, "reconcile", lambda *_, **__: ReconciliationDetail.from_domain(RECONCILED))
    return fleet


@pytest.fixture
def stands(monkeypatch: pytest.MonkeyPatch) -> list[QuestionStandBody]:
    """How golden questions stand, by the API."""
    stands = [standing("acme")]
    monkeypatch.setattr(FleetApi, "question_stands", lambda _: stands)
    return stands


@pytest.fixture
def patient(aws: None, tenants: list[ListedTenantBody], stands: list[QuestionStandBody]) -> Patient:
    return Patient()


def troubles(patient: Patient) -> list[CheckResult]:
    found = [each for each in examine(patient) if each.verdict is not Verdict.WELL]
    assert all(each.advice for each in found)
    return found


def only_trouble(patient: Patient) -> tuple[str, Verdict, str]:
    (found,) = troubles(patient)
    return found.check, found.verdict, found.finding


def test_a_fleet_that_is_well_has_nothing_but_good_findings(patient: Patient) -> None:
    found = list(examine(patient))
    assert {each.verdict for each in found} == {Verdict.WELL}
    assert len({each.check for each in found}) == 11


class TestTheStack:
    @pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_COMPLETE", "UPDATE_FAILED", "UPDATE_IN_PROGRESS"])
    def test_it_is_not_deployed(self, patient: Patient, status: str) -> None:
        patient.described(StackStatus=status)
        check, verdict, finding = only_trouble(patient)
        assert (check, verdict) == ("stack", Verdict.WRONG)
        assert status in finding

    def test_it_has_drifted(self, patient: Patient) -> None:
        patient.described(DriftInformation={"StackDriftStatus": "DRIFTED"})
        assert only_trouble(patient)[:2] == ("stack", Verdict.WRONG)

    def test_it_is_of_a_release_whose_alarms_are_in_the_stack_itself(self, patient: Patient) -> None:
        del patient.__dict__["resources"]["Monitoring"], patient.__dict__["monitoring"]
        found = troubles(patient)
        assert [(each.check, each.verdict) for each in found] == [("stack", Verdict.WRONG), ("alarms", Verdict.UNKNOWN)]
        assert all("Monitoring" in each.finding for each in found)

    def test_it_is_of_another_release(self, patient: Patient) -> None:
        del patient.__dict__["resources"]["WhyFunction"]
        check, verdict, finding = only_trouble(patient)
        assert (check, verdict) == ("stack", Verdict.WRONG)
        assert "WhyFunction" in finding

    @pytest.mark.parametrize("parameter", [{"AlarmTopicArn": ""}, {"ScopedCredentials": "DISABLED"}])
    def test_a_parameter_is_worth_a_word(self, patient: Patient, parameter: dict[str, str]) -> None:
        patient.__dict__["parameters"] |= parameter
        assert only_trouble(patient)[:2] == ("parameters", Verdict.NOTE)


class TestQuestions:
    @pytest.mark.parametrize(
        ("stand", "verdict", "says"),
        [
            (standing("sakura", 0), Verdict.NOTE, "without golden questions, of 2: 1 (sakura)"),
            (standing("sakura", regressed=3, failed=3), Verdict.WRONG, "3 of 20 golden questions of tenant sakura"),
            (standing("sakura", not_judged=2, not_asked=2), Verdict.UNKNOWN, "could not be asked at 2026-11-02 14:05"),
            (standing("sakura", passed=19, failed=1), Verdict.NOTE, "1 of 20 golden questions"),
            (standing("sakura", passed=0, not_judged=20), Verdict.NOTE, "judged by their answers only"),
            (standing("sakura").model_copy(update={"judged_at": None, "score": None}), Verdict.NOTE, "not asked yet"),
        ],
    )
    def test_those_that_do_not_pass_are_named_and_none_is_a_hint(
        self, patient: Patient, stands: list[QuestionStandBody], stand: QuestionStandBody, verdict: Verdict, says: str
    ) -> None:
        stands.append(stand)
        check, found, finding = only_trouble(patient)
        assert (check, found) == ("questions", verdict)
        assert says in finding
        (well,) = [
            each.finding for each in examine(patient) if each.check == "questions" and each.verdict is Verdict.WELL
        ]
        assert well == "Golden questions of 1 of 2 tenants pass."

    def test_of_many_the_worst_are_named_and_the_others_counted(
        self, patient: Patient, stands: list[QuestionStandBody]
    ) -> None:
        stands[:] = [standing(f"t-{number:03}", failed=1) for number in range(100)]
        stands += [standing(f"u-{number:03}", regressed=1) for number in range(3)]
        stands += [standing(f"v-{number:05}", 0) for number in range(9_000)]
        found = [each for each in examine(patient) if each.check == "questions"]
        assert [each.verdict for each in found][:3] == [Verdict.WRONG] * 3
        assert len(found) == 22
        assert "There are 83 more of these." in [each.finding for each in found]
        assert found[-1].finding.endswith("v-00019 and 8,980 more).")
        assert not [each for each in found if each.verdict is Verdict.WELL]


def leaving(*, due: timedelta) -> dict[str, object]:
    """Its deletion was due so long ago."""
    then = datetime.now(UTC) - due
    plan = Offboarding(then - timedelta(days=30), then, TenantStatus.ACTIVE)
    return {"status": TenantStatus.OFFBOARDING, "offboarding": plan}


class TestTenants:
    def test_those_that_an_update_has_not_come_to_yet_are_noted(
        self, patient: Patient, tenants: list[ListedTenantBody]
    ) -> None:
        patient.described(LastUpdatedTime=datetime.now(UTC))
        tenants += [listed("sakura", converged=False), listed("old-co", converged=False, status=TenantStatus.FAILED)]
        (found,) = [each for each in troubles(patient) if "update" in each.finding]
        assert (found.verdict, found.finding.split(" tenants")[0]) == (Verdict.NOTE, "After the update 1 of 3")

    @pytest.mark.parametrize("lately", [True, False])
    def test_each_tenant_is_counted_once_whatever_is_wrong_with_it(
        self, patient: Patient, tenants: list[ListedTenantBody], lately: bool
    ) -> None:
        if lately:
            patient.described(LastUpdatedTime=datetime.now(UTC))
        tenants += [listed(each, converged=False, last_outcome=Outcome.DEGRADED) for each in ("sakura", "old-co")]
        (found,) = [each.finding for each in examine(patient) if "that are well" in each.finding]
        assert found == "The API answers; tenants in service that are well: 1 of 3."

    @pytest.mark.parametrize(
        ("changes", "verdict", "says"),
        [
            ({"foreign": ("data source DS00000009",)}, Verdict.WRONG, "data source DS00000009"),
            ({"status": TenantStatus.FAILED}, Verdict.WRONG, "FAILED"),
            ({"pending_since": datetime(2026, 1, 1, tzinfo=UTC)}, Verdict.WRONG, "stale"),
            ({"last_outcome": Outcome.FAILED}, Verdict.WRONG, "last sync"),
            ({"last_outcome": Outcome.DEGRADED}, Verdict.NOTE, "Documents"),
            (leaving(due=timedelta(days=4)), Verdict.WRONG, "should have been deleted on"),
            ({"drift": ("Made with another model.",)}, Verdict.NOTE, "not made as a new one would be"),
            ({"converged": False}, Verdict.WRONG, "not converged"),
            ({"converged": False, "status": TenantStatus.SUSPENDED}, Verdict.WRONG, "not converged"),
        ],
    )
    def test_one_is_not_well(
        self,
        patient: Patient,
        tenants: list[ListedTenantBody],
        changes: dict[str, Any],
        verdict: Verdict,
        says: str,
    ) -> None:
        tenants.append(listed("sakura", **changes))
        check, found, finding = only_trouble(patient)
        assert (check, found) == ("tenants", verdict)
        assert "sakura" in finding
        assert says in finding

    def test_more_tenants_than_leave_room_for_rebuilds_are_noted_with_a_way_out(
        self, patient: Patient, tenants: list[ListedTenantBody]
    ) -> None:
        tenants += [listed(f"tenant-{number}") for number in range(94)]
        assert troubles(patient) == []
        tenants += [listed("sakura"), listed("on-managed", knowledge_store="MANAGED")]
        (found,) = troubles(patient)
        assert (found.verdict, found.finding.split(":")[0]) == (
            Verdict.NOTE,
            "96 tenants need a knowledge base of type VECTOR",
        )
        assert "4 are left" in found.finding
        assert "`kbfleet tenant rebuild TENANT --profile PROFILE`" in found.advice

    @pytest.mark.parametrize("due", [timedelta(days=-9), timedelta(days=2)])
    def test_one_that_is_to_be_deleted_is_well_in_its_time(
        self, patient: Patient, tenants: list[ListedTenantBody], due: timedelta
    ) -> None:
        tenants.append(listed("sakura", **leaving(due=due)))
        assert troubles(patient) == []

    def test_one_whose_changes_have_just_come_is_well(self, patient: Patient, tenants: list[ListedTenantBody]) -> None:
        tenants.append(listed("sakura", pending_since=datetime.now(UTC) - timedelta(minutes=5)))
        assert troubles(patient) == []

    @pytest.mark.parametrize(
        ("statuses", "said"),
        [
            ((), "tenants in service that are well: 1 of 1."),
            ((TenantStatus.FAILED,), "tenants in service that are well: 1 of 2."),
            ((TenantStatus.SUSPENDED, TenantStatus.OFFBOARDED), "tenants in service that are well: 2 of 2."),
        ],
    )
    def test_those_in_service_are_counted(
        self, patient: Patient, tenants: list[ListedTenantBody], statuses: tuple[TenantStatus, ...], said: str
    ) -> None:
        tenants.extend(listed(f"tenant{number}", status=status) for number, status in enumerate(statuses))
        assert f"The API answers; {said}" in [each.finding for each in examine(patient)]

    def test_that_none_is_well_is_not_reported_as_something_good(
        self, patient: Patient, tenants: list[ListedTenantBody]
    ) -> None:
        tenants[0] = listed("acme", last_outcome=Outcome.DEGRADED)
        reported = [
            each.finding for each in examine(patient) if (each.check, each.verdict) == ("tenants", Verdict.WELL)
        ]
        assert reported == ["The API answers; tenants in service: 1."]

    @pytest.mark.parametrize("error", [FleetUnreachable("no answer"), Refused(403, "Forbidden", "not yours")])
    def test_the_api_does_not_answer(self, patient: Patient, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        def refuse(*_: object) -> None:
            raise error

        monkeypatch.setattr(FleetApi, "tenants", refuse)
        unknown = [(each.check, each.verdict) for each in troubles(patient)]
        assert unknown == [("tenants", Verdict.UNKNOWN), ("models", Verdict.UNKNOWN)]


class TestKnowledge:
    """What answers rest on is looked at now, and told by the finding's own words."""

    def reconciled(self, monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
        report = ReconciliationDetail.from_domain(replace(RECONCILED, **fields))
        monkeypatch.setattr(FleetApi, "reconcile", lambda *_, **__: report)

    def test_a_loss_is_told_with_its_harm_and_its_command(
        self, patient: Patient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lost = Finding(Disagreement.MISSING, ResourceKind.VECTOR_INDEX, "acme", TenantId("acme"))
        self.reconciled(monkeypatch, findings=(lost,))
        (result,) = troubles(patient)
        assert result.verdict is Verdict.WRONG
        assert Harm.NO_ANSWERS.sentence in result.finding
        assert result.advice == lost.advice

    def test_who_could_not_be_looked_into_is_not_well(self, patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reconciled(monkeypatch, troubles=((TenantId("acme"), NotReadyYet("AWS did not answer.")),))
        (result,) = troubles(patient)
        assert (result.check, result.verdict) == ("knowledge", Verdict.UNKNOWN)

    def test_what_the_last_round_has_found_within_tenants_is_told(
        self, patient: Patient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody is looked into now."""
        changed = Finding(Disagreement.CHANGED, ResourceKind.SERVICE_ROLE, "kbfleet-acme", TenantId("acme"))
        foreign = Finding(Disagreement.FOREIGN, ResourceKind.DATA_SOURCE, "DS00000009", TenantId("acme"))
        self.reconciled(monkeypatch, recorded=(changed, foreign))
        (result,) = troubles(patient)  # what is foreign, the check of tenants tells
        assert (result.verdict, result.advice) == (Verdict.WRONG, changed.advice)
        assert "kbfleet-acme of tenant acme, when it was last looked into" in result.finding

    def test_before_the_first_round_has_ended_that_is_said(
        self, patient: Patient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.reconciled(monkeypatch, last_round=None)
        assert [result.verdict for result in troubles(patient)] == [Verdict.NOTE]

    def test_a_round_that_is_overdue_is_not_well_and_the_page_of_its_alarm_says_why(
        self, patient: Patient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ended = RECONCILED.at - ROUND_OVERDUE_AFTER - timedelta(minutes=1)
        self.reconciled(monkeypatch, last_round=WholeRound(ended - timedelta(hours=1), ended))
        (result,) = troubles(patient)
        assert (result.verdict, "The next one is overdue" in result.finding) == (Verdict.WRONG, True)
        alarm = properties("ReconciliationFailingAlarm")["AlarmDescription"]
        assert result.advice.rstrip(".") in alarm

    def test_whom_the_last_round_could_not_look_into_is_counted(
        self, patient: Patient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.reconciled(monkeypatch, last_round=replace(LAST_ROUND, missed=3))
        (result,) = troubles(patient)
        assert (result.verdict, "3 of them" in result.finding) == (Verdict.NOTE, True)

    def test_what_does_not_fit_into_the_answer_is_counted(
        self, patient: Patient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lost = Finding(Disagreement.MISSING, ResourceKind.VECTOR_INDEX, "acme", TenantId("acme"))
        trouble = (TenantId("acme"), NotReadyYet("AWS did not answer."))
        found = ReconciliationDetail.from_domain(
            replace(RECONCILED, findings=(lost,) * 3, troubles=(trouble,) * 3), at_most=1
        )
        monkeypatch.setattr(FleetApi, "reconcile", lambda *_, **__: found)
        said = [(result.verdict, result.finding) for result in troubles(patient)]
        assert (Verdict.WRONG, "There are 2 more of these.") in said
        assert (Verdict.UNKNOWN, "2 more tenants could not be looked into.") in said

    def test_what_all_share_and_is_gone_is_told_with_what_to_do(
        self, patient: Patient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loss = SharedLoss(ResourceKind.KNOWLEDGE_STORE, "S3_VECTORS")
        self.reconciled(monkeypatch, shared_losses=(loss,))
        (result,) = troubles(patient)
        assert (result.verdict, result.advice) == (Verdict.WRONG, loss.advice)
        assert Harm.NO_ANSWERS.sentence in result.finding

    def test_it_asks_for_a_look_that_changes_nothing(self, patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[dict[str, Any]] = []

        def reconcile(_: FleetApi, **fields: Any) -> ReconciliationDetail:
            asked.append(fields)
            return ReconciliationDetail.from_domain(RECONCILED)

        monkeypatch.setattr(FleetApi, "reconcile", reconcile)
        assert not troubles(patient)
        assert asked == [{"look_only": True}]


class TestWhatTheFleetNeeds:
    @pytest.mark.parametrize(("used", "verdict"), [(80, Verdict.NOTE), (100, Verdict.WRONG), (101, Verdict.WRONG)])
    def test_knowledge_bases_run_out(self, patient: Patient, used: int, verdict: Verdict) -> None:
        patient.__dict__["bedrock"].descriptions = [""] * used
        assert only_trouble(patient)[:2] == ("capacity", verdict)

    def test_below_four_fifths_of_a_quota_all_is_well(self, patient: Patient) -> None:
        patient.__dict__["bedrock"].descriptions = [""] * 79
        assert troubles(patient) == []

    @pytest.mark.parametrize(("quota", "verdict"), [(3, Verdict.WRONG), (4, Verdict.NOTE)])
    def test_roles_run_out(
        self, patient: Patient, monkeypatch: pytest.MonkeyPatch, quota: int, verdict: Verdict
    ) -> None:
        summary = {"SummaryMap": {"Roles": 3 if quota == 3 else quota * 0.8, "RolesQuota": quota}}
        iam = SimpleNamespace(get_account_summary=lambda: summary)
        client = patient.client
        monkeypatch.setattr(Patient, "client", lambda _self, service, *_: iam if service == "iam" else client(service))
        assert only_trouble(patient)[:2] == ("capacity", verdict)

    def test_api_keys_run_out(self, patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doctor, "USAGE_KEYS", 1)
        aws_client("apigateway").create_api_key(name="somebody's")
        assert only_trouble(patient)[:2] == ("capacity", Verdict.WRONG)

    def test_managed_ones_have_a_quota_of_their_own(self, patient: Patient) -> None:
        patient.__dict__["bedrock"].descriptions = [f"{OURS} (MANAGED)"] * 500
        assert troubles(patient) == []

    def test_the_webhook_is_not_set(self, patient: Patient) -> None:
        aws_client("secretsmanager").put_secret_value(SecretId="SlackWebhookSecret", SecretString="not set yet")
        assert only_trouble(patient)[:2] == ("secrets", Verdict.WRONG)

    @pytest.mark.parametrize(
        ("channel", "secret", "well"),
        [
            ("SLACK_BOT", "xoxb-1", True),
            ("SLACK_BOT", "https://hooks.slack.com/services/x", False),
            ("SLACK_WEBHOOK", "xoxb-1", False),
        ],
    )
    def test_each_channel_has_a_secret_of_its_own_kind(
        self, patient: Patient, channel: str, secret: str, well: bool
    ) -> None:
        patient.__dict__["parameters"] |= {"AlertChannel": channel}
        aws_client("secretsmanager").put_secret_value(SecretId="SlackWebhookSecret", SecretString=secret)
        assert [each.verdict for each in troubles(patient)] == ([] if well else [Verdict.WRONG])

    @pytest.mark.parametrize(("topic", "well"), [("arn:aws:sns:a:1:t", True), ("", False)])
    def test_a_channel_by_topic_needs_the_topic_and_no_secret(self, patient: Patient, topic: str, well: bool) -> None:
        patient.__dict__["parameters"] |= {"AlertChannel": "SNS", "AlertTopicArn": topic}
        aws_client("secretsmanager").put_secret_value(SecretId="SlackWebhookSecret", SecretString="not set yet")
        assert [each.verdict for each in troubles(patient)] == ([] if well else [Verdict.WRONG])

    def test_the_sessions_secret_is_being_deleted(self, patient: Patient) -> None:
        aws_client("secretsmanager").delete_secret(SecretId="SessionSecret")
        assert only_trouble(patient)[:2] == ("secrets", Verdict.WRONG)

    @pytest.mark.parametrize("model", ["amazon.titan-embed-text-v2:0", "anthropic.claude-haiku-4-5"])
    def test_a_model_is_not_granted(self, patient: Patient, model: str) -> None:
        patient.__dict__["bedrock"].unauthorized = {model}
        check, verdict, finding = only_trouble(patient)
        assert (check, verdict) == ("models", Verdict.WRONG)
        assert "NOT_AUTHORIZED" in finding

    def test_what_older_knowledge_bases_embed_with_is_looked_at_too(self, patient: Patient) -> None:
        patient.__dict__["parameters"]["FormerEmbeddingModelId"] = "amazon.titan-embed-text-v1"
        assert troubles(patient) == []
        patient.__dict__["bedrock"].unauthorized = {"amazon.titan-embed-text-v1"}
        assert "FormerEmbeddingModelId amazon.titan-embed-text-v1" in only_trouble(patient)[2]

    @pytest.mark.parametrize("parameter", ["GenerationModelId", "EmbeddingModelId"])
    def test_a_model_is_callable_by_a_profile_only(self, patient: Patient, parameter: str) -> None:
        patient.__dict__["parameters"][parameter] = "amazon.nova-lite-v1:0"
        patient.__dict__["bedrock"].profile_only = {"amazon.nova-lite-v1:0"}
        (found,) = troubles(patient)
        assert (found.check, found.verdict) == ("models", Verdict.WRONG)
        assert "cannot be called on demand" in found.finding
        if parameter == "GenerationModelId":  # the nearest first
            proposed = "GenerationModelId=apac.amazon.nova-lite-v1:0. Or: global.amazon.nova-lite-v1:0."
            assert found.advice == f"Deploy with {proposed}"
        else:  # knowledge bases take models only
            assert "apac" not in found.advice

    @pytest.mark.parametrize("model", ["eu.amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"])
    def test_a_model_is_not_there_from_this_region(self, patient: Patient, model: str) -> None:
        patient.__dict__["parameters"]["GenerationModelId"] = model
        patient.__dict__["bedrock"].missing = {model}
        (found,) = troubles(patient)
        assert (found.check, found.verdict) == ("models", Verdict.WRONG)
        assert "of this Region" in found.finding
        assert "apac.amazon.nova-lite-v1:0" in found.advice

    def test_there_is_no_profile_to_propose(self, patient: Patient) -> None:
        patient.__dict__["bedrock"].missing = {"jp.anthropic.claude-haiku-4-5"}
        (found,) = troubles(patient)
        assert "has a table of Regions" in found.advice

    def test_what_a_first_call_needs_is_said_and_no_page_that_is_gone(self, patient: Patient) -> None:
        patient.__dict__["bedrock"].agreement = "NOT_AVAILABLE"
        for found in troubles(patient):
            assert "aws-marketplace:Subscribe" in found.advice
            assert "form" in found.advice
            assert "Request access" not in found.advice

    def test_an_answer_that_does_not_say_is_no_good_news(
        self, patient: Patient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Bedrock, "get_foundation_model_availability", lambda *_, **__: {"modelId": "m"})
        assert only_trouble(patient)[:2] == ("models", Verdict.UNKNOWN)

    def test_a_models_agreement_is_pending(self, patient: Patient) -> None:
        patient.__dict__["bedrock"].agreement = "PENDING"
        assert [each.check for each in troubles(patient)] == ["models", "models"]


OPUS = "anthropic.claude-opus-4-1-20250805-v1:0"
MAY = datetime(2026, 5, 1, tzinfo=UTC)
TITAN, HAIKU = MODELS["EmbeddingModelId"], MODELS["GenerationModelId"]


def legacy(*, ends_in: timedelta | None = None, **more: datetime) -> dict[str, Any]:
    ending = {"endOfLifeTime": datetime.now(UTC) + ends_in} if ends_in is not None else {}
    return {"status": "LEGACY", **ending, **more}


def profile(
    name: str, version: int, *, parser: str | None = None, answers: str = HAIKU, embeds: str = TITAN, reranks: str = ""
) -> Profile:
    kind = ParserKind.FOUNDATION_MODEL if parser else ParserKind.DEFAULT
    return Profile(
        ProfileName(name),
        version,
        Ingestion("S3_VECTORS", Embedding(embeds, 1_024), Parser(kind, parser)),
        Answering(answers, reranker=Reranker(reranks, 20) if reranks else None),
    )


class TestModelsOfProfiles:
    @pytest.fixture
    def put(self, monkeypatch: pytest.MonkeyPatch) -> list[Profile]:
        """The versions that the API knows."""
        there: list[Profile] = []

        def looked_up(_: FleetApi, name: ProfileName, version: int) -> ProfileBody:
            (found,) = [each for each in there if (each.name, each.version) == (name, version)]
            return ProfileBody.from_domain(found)

        monkeypatch.setattr(FleetApi, "profile", looked_up)
        return there

    @pytest.fixture
    def bedrock(self, patient: Patient) -> Bedrock:
        found: Bedrock = patient.__dict__["bedrock"]
        return found

    @pytest.mark.parametrize(("days", "verdict"), [(170, Verdict.NOTE), (91, Verdict.NOTE), (90, Verdict.WRONG)])
    def test_the_end_of_a_parser_is_said_months_before_with_who_has_it_and_what_to_do(
        self,
        patient: Patient,
        bedrock: Bedrock,
        put: list[Profile],
        tenants: list[ListedTenantBody],
        days: int,
        verdict: Verdict,
    ) -> None:
        put += [profile("office", 1, parser=OPUS), profile("office", 2)]
        tenants += [listed(each, profile="office", profile_version=1) for each in ("sakura", "momiji")]
        tenants += [
            listed("kaede", profile="office", profile_version=2),
            listed("old-co", profile="office", profile_version=1, status=TenantStatus.OFFBOARDED),
        ]
        bedrock.lifecycles[OPUS] = legacy(ends_in=timedelta(days=days))
        (found,) = troubles(patient)
        assert (found.check, found.verdict) == ("models", verdict)
        end = datetime.now(UTC) + timedelta(days=days)
        assert f"Model {OPUS} ends on {end:%Y-%m-%d}" in found.finding
        assert "ingestion.parser.model of profile office version 1 (2 tenants)" in found.finding
        assert "version 2" not in found.finding
        assert "no document is read any more" in found.finding
        assert "`kbfleet profile put FILE` with another ingestion.parser.model for office" in found.advice
        assert "`kbfleet tenant update TENANT --profile office`" in found.advice

    def test_of_an_inference_profile_the_model_behind_is_looked_at(self, patient: Patient, bedrock: Bedrock) -> None:
        bedrock.lifecycles["anthropic.claude-haiku-4-5"] = legacy(ends_in=timedelta(days=30))
        (found,) = troubles(patient)
        assert (found.check, found.verdict) == ("models", Verdict.WRONG)
        assert "Model anthropic.claude-haiku-4-5 ends on" in found.finding
        assert "GenerationModelId (1 tenant of profile default)" in found.finding
        assert found.advice == "Deploy with another GenerationModelId."

    def test_where_this_region_lacks_it_another_one_is_asked(self, patient: Patient, bedrock: Bedrock) -> None:
        bedrock.lacking_here = {"anthropic.claude-haiku-4-5"}
        assert troubles(patient) == []
        bedrock.lifecycles["anthropic.claude-haiku-4-5"] = legacy(ends_in=timedelta(days=30))
        assert "ends on" in only_trouble(patient)[2]

    def test_a_model_of_which_nothing_is_said_is_not_well(self, patient: Patient, bedrock: Bedrock) -> None:
        bedrock.missing = {"anthropic.claude-haiku-4-5"}
        check, verdict, finding = only_trouble(patient)
        assert (check, verdict) == ("models", Verdict.NOTE)
        assert "nothing says how long" in finding

    def test_a_model_in_several_places_is_one_finding_with_what_to_do_in_each(
        self, patient: Patient, bedrock: Bedrock, put: list[Profile], tenants: list[ListedTenantBody]
    ) -> None:
        put.append(profile("faq", 3, embeds=TITAN, reranks="cohere.rerank-v3-5:0"))
        tenants.append(listed("sakura", profile="faq", profile_version=3))
        bedrock.lifecycles[TITAN] = legacy(ends_in=timedelta(days=9), publicExtendedAccessTime=MAY)
        bedrock.lifecycles["cohere.rerank-v3-5:0"] = legacy()
        by_embedding, by_reranker = troubles(patient)
        assert "EmbeddingModelId (1 tenant of profile default)" in by_embedding.finding
        assert "ingestion.embedding.model of profile faq version 3 (1 tenant)" in by_embedding.finding
        assert "From 2026-05-01 on it may cost more." in by_embedding.finding
        assert "FormerEmbeddingModelId" in by_embedding.advice
        assert "offboard the tenants that have it, and add them anew" in by_embedding.advice
        assert (by_reranker.verdict, "it will end" in by_reranker.finding) == (Verdict.NOTE, True)

    def test_what_has_ended_is_said_so(self, patient: Patient, bedrock: Bedrock) -> None:
        bedrock.lifecycles[TITAN] = legacy(ends_in=timedelta(days=-1))
        check, verdict, finding = only_trouble(patient)
        assert (check, verdict, "has ended" in finding) == ("models", Verdict.WRONG, True)

    def test_the_day_before_which_an_active_model_does_not_end_is_no_end(
        self, patient: Patient, bedrock: Bedrock
    ) -> None:
        """AWS names one for each model when it is launched."""
        bedrock.lifecycles[TITAN] = {"status": "ACTIVE", "endOfLifeTime": datetime(2026, 1, 1, tzinfo=UTC)}
        assert troubles(patient) == []

    def test_a_model_of_a_profile_is_not_granted(
        self, patient: Patient, bedrock: Bedrock, put: list[Profile], tenants: list[ListedTenantBody]
    ) -> None:
        put.append(profile("office", 1, parser=OPUS))
        tenants.append(listed("sakura", profile="office", profile_version=1))
        bedrock.unauthorized = {OPUS}
        check, verdict, finding = only_trouble(patient)
        assert (check, verdict) == ("models", Verdict.WRONG)
        assert "ingestion.parser.model of profile office version 1 (1 tenant)" in finding

    def test_a_profile_is_proposed_for_the_field_that_needs_it(
        self, patient: Patient, bedrock: Bedrock, put: list[Profile], tenants: list[ListedTenantBody]
    ) -> None:
        put.append(profile("faq", 1, answers="amazon.nova-lite-v1:0"))
        tenants.append(listed("sakura", profile="faq", profile_version=1))
        bedrock.profile_only = {"amazon.nova-lite-v1:0"}
        (found,) = troubles(patient)
        assert "Put a version of profile faq with answering.model apac.amazon.nova-lite-v1:0." in found.advice


class TestWhoDidIt:
    @pytest.mark.parametrize(
        ("selectors", "unknown"),
        [
            ({}, ("searched", "wrote")),
            # What a trail has when nothing is said.
            ({"EventSelectors": [{"ReadWriteType": "All", "DataResources": []}]}, ("searched", "wrote")),
            ({"EventSelectors": [{"DataResources": [{"Type": "AWS::DynamoDB::Table"}]}]}, ("searched",)),
            (of_data("AWS::Bedrock::KnowledgeBase"), ("wrote",)),
            (of_data("AWS::S3::Object"), ("searched", "wrote")),
            (of_data("AWS::Bedrock::KnowledgeBase", category="Management"), ("searched", "wrote")),
        ],
    )
    def test_what_no_trail_keeps_is_noted(
        self, patient: Patient, selectors: dict[str, Any], unknown: tuple[str, ...]
    ) -> None:
        patient.__dict__["cloudtrail"] = CloudTrail(selectors)
        check, verdict, finding = only_trouble(patient)
        assert (check, verdict) == ("CloudTrail", Verdict.NOTE)
        assert tuple(each for each in ("searched", "wrote") if each in finding) == unknown


class TestWhatCallsForPeople:
    def test_an_alarm_rings(self, patient: Patient) -> None:
        aws_client("cloudwatch").set_alarm_state(AlarmName=ALARM, StateValue="ALARM", StateReason="test")
        (found,) = troubles(patient)
        assert (found.check, found.verdict) == ("alarms", Verdict.WRONG)
        assert "docs/runbook/alerts-undelivered.md" in found.advice

    def test_whom_the_overview_sends_here_for_an_alarm_learns_which_one_and_what_to_do(self, patient: Patient) -> None:
        incident = IncidentOutline("i/1", Concern.ALARM, "an alarm went off", START, 1, named=((ALARM, None),))
        assert incident.command == "kbfleet doctor"
        aws_client("cloudwatch").set_alarm_state(AlarmName=ALARM, StateValue="ALARM", StateReason="test")
        (found,) = troubles(patient)
        assert found.finding.startswith(f"{incident.named[0][0]}: ")
        assert found.advice == "See docs/runbook/alerts-undelivered.md."

    def test_dead_letters_wait(self, patient: Patient) -> None:
        aws_client("sqs").send_message(QueueUrl=patient.resources["TickDeadLetterQueue"], MessageBody="tick")
        check, verdict, finding = only_trouble(patient)
        assert (check, verdict) == ("dead letters", Verdict.WRONG)
        assert "1 messages in ticks" in finding


@pytest.mark.parametrize(
    ("service", "check"),
    [
        ("bedrock-agent", "capacity"),
        ("secretsmanager", "secrets"),
        ("bedrock", "models"),
        ("cloudtrail", "CloudTrail"),
        ("cloudwatch", "alarms"),
        ("sqs", "dead letters"),
    ],
)
def test_a_check_that_may_not_look_is_unknown_and_keeps_no_other_from_looking(
    patient: Patient, service: str, check: str
) -> None:
    patient.__dict__["denied"].add(service)
    assert only_trouble(patient)[:2] == (check, Verdict.UNKNOWN)
    assert len({each.check for each in examine(patient)}) == 11


class TestTheCommand:
    @pytest.fixture
    def run(self, patient: Patient, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
        monkeypatch.setattr(FleetStack, "named", lambda *_: patient)
        return lambda *arguments: CliRunner().invoke(cli.main.app, ["doctor", *arguments])

    def test_a_fleet_that_is_well_exits_with_0(self, run: Callable[..., Any]) -> None:
        result = run()
        assert result.exit_code == 0
        assert result.stdout.endswith("The fleet is well.\n")

    def test_a_note_is_counted_and_exits_with_0(self, run: Callable[..., Any], tenants: list[ListedTenantBody]) -> None:
        tenants.append(listed("sakura", last_outcome=Outcome.DEGRADED))
        result = run()
        assert result.exit_code == 0
        assert result.stdout.endswith("Nothing is broken; 1 note.\n")

    def test_what_is_wrong_comes_with_what_to_do_and_exits_with_1(
        self, run: Callable[..., Any], patient: Patient
    ) -> None:
        aws_client("secretsmanager").put_secret_value(SecretId="SlackWebhookSecret", SecretString="not set yet")
        result = run()
        assert result.exit_code == 1
        assert "✗ secrets: The Slack webhook is not set" in result.stdout
        assert "kbfleet alerts connect" in result.stdout
        assert "1 thing needs attention." in result.stdout

    def test_programs_get_json(self, run: Callable[..., Any]) -> None:
        assert {each["verdict"] for each in json.loads(run("--json").stdout)} == {"WELL"}

    def test_neither_secret_is_printed(self, run: Callable[..., Any]) -> None:
        assert not [secret for secret in ("hooks.slack.com", "kkkk") if secret in run().output + run("--json").output]


class TestFindingTheStack:
    def test_what_it_is_made_of_is_read_from_cloudformation(self, aws: None) -> None:
        template = {
            "Parameters": {"FleetName": {"Type": "String", "Default": "kb"}},
            "Resources": {"TickQueue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "ticks"}}},
            "Outputs": {"ApiUrl": {"Value": "https://api.example.com"}},
        }
        aws_client("cloudformation").create_stack(StackName="fleet", TemplateBody=json.dumps(template))
        stack = FleetStack.named("fleet", None)
        assert stack.status == "CREATE_COMPLETE"
        assert stack.parameters == {"FleetName": "kb"}
        assert stack.outputs == {"ApiUrl": "https://api.example.com"}
        assert stack.resources["TickQueue"].endswith("/ticks")

    def test_what_its_nested_stack_is_made_of_is_read_there(self, aws: None) -> None:
        bucket = {"Bucket": "templates", "CreateBucketConfiguration": {"LocationConstraint": "ap-northeast-1"}}
        aws_client("s3").create_bucket(**bucket)
        # moto's CloudFormation makes no alarms.
        rule = {"Type": "AWS::Events::Rule", "Properties": {"Name": "alarms", "ScheduleExpression": "rate(1 hour)"}}
        body = json.dumps({"Resources": {"AlarmRule": rule}})
        aws_client("s3").put_object(Bucket="templates", Key="monitoring", Body=body)
        nested = {"TemplateURL": "https://templates.s3.amazonaws.com/monitoring"}
        template = {"Resources": {"Monitoring": {"Type": "AWS::CloudFormation::Stack", "Properties": nested}}}
        aws_client("cloudformation").create_stack(StackName="fleet", TemplateBody=json.dumps(template))
        stack = FleetStack.named("fleet", None)
        assert set(stack.resources) == {"Monitoring"}
        assert dict(stack.monitoring) == {"AlarmRule": "alarms"}

    def test_one_that_is_not_there_is_said_so(self, aws: None) -> None:
        with pytest.raises(FleetUnreachable, match="--stack"):
            FleetStack.named("nowhere", None)
