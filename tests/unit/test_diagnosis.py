"""What is wrong with a tenant: each loss is seeded in a fleet in memory, and named with its harm and its command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest

from kbfleet.contracts.diagnosis import DiagnosisBody
from kbfleet.domain.alert import Deployment
from kbfleet.domain.deletions import Hold, HoldReason
from kbfleet.domain.diagnosis import THE_FLEET, Diagnosis, FleetDiagnosis, Search, Unseen
from kbfleet.domain.errors import AccessRefused, ConcurrentUpdate
from kbfleet.domain.failed_documents import IngestedStatus
from kbfleet.domain.finding import CAUSES, UNSEEN_FOR, Disagreement, Drift, Finding, ResourceKind, SharedLoss
from kbfleet.domain.harm import Harm
from kbfleet.domain.incident import Concern
from kbfleet.domain.ingestion_job import JobStateChange, JobStatus, Outcome, Statistics
from kbfleet.domain.knowledge_base import DataSourceStatus
from kbfleet.domain.names import Life
from kbfleet.domain.signals import of_diagnosis, of_fleet_diagnosis
from kbfleet.domain.tenant import Lease
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.usage_plan import Tier
from kbfleet.domain.workflow import Workflow, WorkflowFailure
from tests.support.fakes import JobCourse
from tests.support.fleet import Fleet
from tests.support.samples import ACME, NAMES, first_knowledge, job_state_change

DEPLOYMENT = Deployment("kbfleet", "us-east-1")
URI = f"s3://{NAMES.bucket(Life(ACME))}/rules.pdf"
NOBODY_MAY = Mock(side_effect=AccessRefused("no"))
KEY = NAMES.usage_key(Life(ACME))
PLAN = NAMES.usage_plan(Tier.STANDARD)
Loss = tuple[Disagreement, ResourceKind, Harm]


@pytest.fixture
def fleet() -> Fleet:
    """With a tenant that has all that a provisioning makes, and is answered from one document."""
    fleet = Fleet()
    fleet.store.ensure(first_knowledge(ACME))
    fleet.buckets.ensure(NAMES.bucket(Life(ACME)), NAMES.tags(Life(ACME)))
    fleet.usage_keys.ensure(KEY, NAMES.tags(Life(ACME)), plan_id=PLAN, other_plan_ids=[])
    fleet.add(ACME)
    fleet.knowledge_bases.plan(str(base(fleet)), JobCourse(statistics=Statistics(scanned=1, new=1)))
    fleet.request(ACME)
    fleet.tick_until_idle()
    fleet.ingested_documents.set(URI, IngestedStatus.INDEXED)
    fleet.retrieval_probe.findable.add(URI)
    fleet.clock.advance(3_600)
    return fleet


def base(fleet: Fleet) -> str:
    return str(fleet.registry.get(ACME).knowledge_base_id)


def examined(fleet: Fleet) -> Diagnosis:
    return fleet.examination.examine(fleet.registry.get(ACME))


def found(fleet: Fleet) -> list[Loss]:
    return [(each.disagreement, each.kind, each.harm) for each in examined(fleet).findings]


def change(fleet: Fleet, **fields: Any) -> None:
    record = fleet.registry.get(ACME)
    fleet.registry.replace(replace(record, **fields), fence=record.fence)


def nothing_is_found(fleet: Fleet) -> None:
    fleet.retrieval_probe.findable.clear()


def search_is_refused(fleet: Fleet) -> None:
    fleet.retrieval_probe.refusal = "The vector index could not be found."


def lose_the_index(fleet: Fleet) -> None:
    fleet.store.drop(first_knowledge(ACME))
    search_is_refused(fleet)


def lose_the_knowledge_base(fleet: Fleet) -> None:
    fleet.knowledge_bases.vanish(base(fleet))


def lose_the_bucket(fleet: Fleet) -> None:
    del fleet.buckets.settings[NAMES.bucket(Life(ACME))]


def lose_the_service_role(fleet: Fleet) -> None:
    fleet.service_roles.delete(NAMES.service_role(Life(ACME)))
    search_is_refused(fleet)


def lose_the_data_source(fleet: Fleet) -> None:
    fleet.knowledge_bases.delete_data_source(fleet.registry.get(ACME).data_source())


def lose_the_data_source_with_its_vectors(fleet: Fleet) -> None:
    lose_the_data_source(fleet)
    nothing_is_found(fleet)


def replace_the_index(fleet: Fleet) -> None:
    fleet.store.drop(first_knowledge(ACME))
    fleet.store.ensure(first_knowledge(ACME))
    nothing_is_found(fleet)


LOSSES: dict[str, tuple[Callable[[Fleet], object], Loss]] = {
    "index": (lose_the_index, (Disagreement.MISSING, ResourceKind.VECTOR_INDEX, Harm.NO_ANSWERS)),
    "index replaced": (replace_the_index, (Disagreement.EMPTIED, ResourceKind.VECTOR_INDEX, Harm.NO_ANSWERS)),
    "content": (nothing_is_found, (Disagreement.EMPTIED, ResourceKind.VECTOR_INDEX, Harm.NO_ANSWERS)),
    "search": (search_is_refused, (Disagreement.BROKEN, ResourceKind.KNOWLEDGE_BASE, Harm.NO_ANSWERS)),
    "knowledge base": (
        lose_the_knowledge_base,
        (Disagreement.MISSING, ResourceKind.KNOWLEDGE_BASE, Harm.NO_ANSWERS),
    ),
    "bucket": (lose_the_bucket, (Disagreement.MISSING, ResourceKind.BUCKET, Harm.WRONG_ANSWERS)),
    "service role": (
        lose_the_service_role,
        (Disagreement.MISSING, ResourceKind.SERVICE_ROLE, Harm.NO_ANSWERS),
    ),
    "usage key": (
        lambda fleet: fleet.usage_keys.delete(KEY),
        (Disagreement.MISSING, ResourceKind.USAGE_KEY, Harm.NO_ANSWERS),
    ),
    "data source": (
        lose_the_data_source,
        (Disagreement.MISSING, ResourceKind.DATA_SOURCE, Harm.WRONG_ANSWERS),
    ),
    "data source that took its vectors along": (
        lose_the_data_source_with_its_vectors,
        (Disagreement.MISSING, ResourceKind.DATA_SOURCE, Harm.NO_ANSWERS),
    ),
}


def command_for(disagreement: Disagreement, kind: ResourceKind) -> str:
    of_content = {ResourceKind.VECTOR_INDEX, ResourceKind.KNOWLEDGE_BASE, ResourceKind.DATA_SOURCE}
    return "tenant rebuild" if kind in of_content and disagreement is not Disagreement.CHANGED else "tenant add"


def test_a_tenant_that_has_everything_is_well(fleet: Fleet) -> None:
    diagnosis = examined(fleet)
    assert (diagnosis.findings, diagnosis.unseen, diagnosis.well) == ((), (), True)


@pytest.mark.parametrize("loss", LOSSES)
class TestEachLoss:
    def test_is_named_with_what_it_does_to_answers_and_the_command(self, fleet: Fleet, loss: str) -> None:
        lose, expected = LOSSES[loss]
        lose(fleet)
        assert found(fleet) == [expected]
        (finding,) = examined(fleet).findings
        assert finding.hurts
        command = command_for(expected[0], expected[1])
        assert (finding.command, f"`kbfleet {command} acme`" in finding.advice) == (command, True)

    def test_is_told_once_by_one_incident_with_its_harm_and_its_command(self, fleet: Fleet, loss: str) -> None:
        lose, (disagreement, kind, harm) = LOSSES[loss]
        lose(fleet)
        fleet.examination.publish(examined(fleet))
        fleet.examination.publish(examined(fleet))
        signals = [signal for each in fleet.announcements.diagnoses for signal in of_diagnosis(each, DEPLOYMENT)]
        causes = {cause for signal in signals if signal.failure for cause in signal.failure.causes}
        (cause,) = causes
        assert cause.in_our_words
        assert {signal.concern for signal in signals} == {Concern.KNOWLEDGE}
        evidence = signals[0].failure
        assert evidence is not None
        assert evidence.harm is harm
        command = command_for(disagreement, kind)
        assert evidence.evidence.command == f"kbfleet {command} acme --stack kbfleet --region us-east-1"

    def test_stands_in_the_record_until_it_is_over(self, fleet: Fleet, loss: str) -> None:
        lose, _ = LOSSES[loss]
        before = fleet.registry.get(ACME)
        lose(fleet)
        fleet.examination.publish(examined(fleet))
        assert fleet.registry.get(ACME).losses == examined(fleet).findings
        well = Diagnosis(ACME, fleet.clock.now())
        fleet.examination.publish(replace(well, unseen=(Unseen(None, "It could not be looked at."),)))
        assert fleet.registry.get(ACME).losses
        fleet.examination.publish(well)
        fleet.examination.publish(well)
        assert fleet.registry.get(ACME) == before
        over = [each for each in fleet.announcements.diagnoses if not each.losses]
        assert [signal.failure for each in over for signal in of_diagnosis(each, DEPLOYMENT)] == [None]


class TestWhatIsNotKnown:
    @pytest.mark.parametrize(
        ("port", "call"),
        [
            ("buckets", "differences"),
            ("store", "find"),
            ("knowledge_bases", "get"),
            ("knowledge_bases", "data_source"),
            ("service_roles", "differences"),
            ("usage_keys", "differences"),
            ("retrieval_probe", "anything"),
        ],
    )
    def test_what_cannot_be_looked_at_is_said_and_is_neither_well_nor_lost(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, port: str, call: str
    ) -> None:
        monkeypatch.setattr(getattr(fleet, port), call, Mock(side_effect=AccessRefused("It may not be looked at.")))
        diagnosis = examined(fleet)
        assert (diagnosis.findings, diagnosis.well) == ((), False)
        assert [each for each in diagnosis.unseen if each.reason.startswith("It may not be looked at.")]
        body = DiagnosisBody.from_domain(diagnosis)
        assert (body.well, body.harm, body.unseen) == (False, None, tuple(map(str, diagnosis.unseen)))

    def test_while_an_execution_is_at_work_nothing_is_lost_for_certain(self, fleet: Fleet) -> None:
        lose_the_index(fleet)
        change(fleet, lease=Lease("execution", fleet.clock.now() + timedelta(hours=1)))
        diagnosis = examined(fleet)
        assert (diagnosis.findings, diagnosis.well) == ((), False)

    @pytest.mark.parametrize("status", [TenantStatus.PROVISIONING, TenantStatus.OFFBOARDING, TenantStatus.OFFBOARDED])
    def test_of_one_that_comes_or_goes_nothing_is_said(self, fleet: Fleet, status: TenantStatus) -> None:
        lose_the_index(fleet)
        change(fleet, status=status)
        assert not examined(fleet).findings

    def test_what_a_failed_provisioning_has_not_made_yet_is_not_lost(self) -> None:
        fleet = Fleet()
        fleet.add(ACME)
        unmade = {"bucket_name": None, "knowledge_store_reference": None, "knowledge_base_id": None}
        change(fleet, status=TenantStatus.FAILED, data_source_id=None, **unmade)
        assert not examined(fleet).findings

    def test_an_empty_index_of_a_tenant_without_documents_has_lost_nothing(self) -> None:
        fleet = Fleet()
        fleet.store.ensure(first_knowledge(ACME))
        fleet.buckets.ensure(NAMES.bucket(Life(ACME)), NAMES.tags(Life(ACME)))
        fleet.usage_keys.ensure(KEY, NAMES.tags(Life(ACME)), plan_id=PLAN, other_plan_ids=[])
        fleet.add(ACME)
        fleet.request(ACME)
        fleet.tick_until_idle()
        fleet.clock.advance(3_600)
        assert examined(fleet).well


def drift_of_the_role(*drifts: Drift) -> Callable[[Fleet], object]:
    return lambda fleet: fleet.service_roles.drift.update({NAMES.service_role(Life(ACME)): list(drifts)})


def without(fleet: Fleet, **settings: Any) -> None:
    bucket = NAMES.bucket(Life(ACME))
    fleet.buckets.settings[bucket] = replace(fleet.buckets.settings[bucket], **settings)


LESS, MORE, NOBODY_KNOWS = Drift("less", breaks=True), Drift("more"), Drift("a further policy", breaks=None)
ROLE, USAGE_KEY, BUCKET = ResourceKind.SERVICE_ROLE, ResourceKind.USAGE_KEY, ResourceKind.BUCKET
DRIFTS: dict[str, tuple[Callable[[Fleet], object], Loss]] = {
    "a role that may do less": (drift_of_the_role(MORE, LESS), (Disagreement.BROKEN, ROLE, Harm.WRONG_ANSWERS)),
    "a role that may do more": (drift_of_the_role(MORE), (Disagreement.CHANGED, ROLE, Harm.MACHINERY_ONLY)),
    "a role that may do what nobody knows": (
        drift_of_the_role(MORE, NOBODY_KNOWS),
        (Disagreement.CHANGED, ROLE, Harm.WRONG_ANSWERS),
    ),
    "a role by which no search works": (
        lambda fleet: [act(fleet) for act in (drift_of_the_role(LESS), search_is_refused)],
        (Disagreement.BROKEN, ROLE, Harm.NO_ANSWERS),
    ),
    "another role": (
        lambda fleet: fleet.knowledge_bases.give_role(base(fleet), "arn:aws:iam::123456789012:role/another"),
        (Disagreement.CHANGED, ROLE, Harm.WRONG_ANSWERS),
    ),
    "a disabled key": (
        lambda fleet: setattr(fleet.usage_keys.keys[KEY.value], "enabled", False),
        (Disagreement.BROKEN, USAGE_KEY, Harm.NO_ANSWERS),
    ),
    "a key in no plan": (
        lambda fleet: fleet.usage_keys.keys[KEY.value].plans.clear(),
        (Disagreement.BROKEN, USAGE_KEY, Harm.NO_ANSWERS),
    ),
    "a key in another tier's plan": (
        lambda fleet: setattr(fleet.usage_keys.keys[KEY.value], "plans", {NAMES.usage_plan(Tier.PREMIUM)}),
        (Disagreement.CHANGED, USAGE_KEY, Harm.MACHINERY_ONLY),
    ),
    "a key in a plan of others": (
        lambda fleet: setattr(fleet.usage_keys.keys[KEY.value], "plans", {"somebody's"}),
        (Disagreement.CHANGED, USAGE_KEY, Harm.UNKNOWN),
    ),
    "no events": (
        lambda fleet: without(fleet, notifies_event_bridge=False),
        (Disagreement.CHANGED, BUCKET, Harm.DOCUMENTS_MISSING),
    ),
    "no policy": (
        lambda fleet: without(fleet, tls_only=False),
        (Disagreement.CHANGED, BUCKET, Harm.MACHINERY_ONLY),
    ),
}


@pytest.mark.parametrize("drift", DRIFTS)
class TestWhatIsHalfLost:
    def test_is_named_with_what_it_does_to_answers_and_the_command(self, fleet: Fleet, drift: str) -> None:
        act, expected = DRIFTS[drift]
        act(fleet)
        assert found(fleet) == [expected]
        (finding,) = examined(fleet).findings
        assert finding.hurts == (expected[2] is not Harm.MACHINERY_ONLY)
        assert finding.explains_a_failed_ingestion == (finding.hurts and finding.kind is ROLE)
        assert finding.whole_command == "kbfleet tenant add acme"
        assert f"`{finding.whole_command}`" in finding.advice

    def test_is_no_business_of_one_that_an_update_has_yet_to_converge(self, fleet: Fleet, drift: str) -> None:
        """Its resources are as an older version has made them."""
        DRIFTS[drift][0](fleet)
        change(fleet, resources_version="of an older stack")
        assert not [each for each in found(fleet) if each[0] is not Disagreement.BROKEN or each[1] is USAGE_KEY]
        tried = WorkflowFailure(
            Workflow.PROVISION_TENANT, "Ensure Bucket", "AccessRefused", "no", "one", fleet.clock.now()
        )
        change(fleet, failure=tried)
        assert found(fleet)

    def test_is_no_business_of_a_provisioning_that_has_failed(self, fleet: Fleet, drift: str) -> None:
        DRIFTS[drift][0](fleet)
        change(fleet, status=TenantStatus.FAILED)
        assert {each[1] for each in found(fleet)} <= {ResourceKind.KNOWLEDGE_BASE}


def test_a_role_that_all_tenants_share_is_no_tenants_business(fleet: Fleet) -> None:
    drift_of_the_role(LESS)(fleet)
    fleet.service_roles.per_tenant = False
    fleet.knowledge_bases.give_role(base(fleet), fleet.service_roles.arn(""))
    assert examined(fleet).well
    fleet.knowledge_bases.give_role(base(fleet), "arn:aws:iam::123456789012:role/another")
    assert found(fleet) == [(Disagreement.CHANGED, ROLE, Harm.WRONG_ANSWERS)]


class TestAFailedIngestion:
    JOB = job_state_change(status=JobStatus.FAILED, outcome=Outcome.FAILED)

    @pytest.mark.parametrize(
        ("spoil", "harm"),
        [
            (lambda _: None, Harm.DOCUMENTS_MISSING),
            (lambda fleet: change(fleet, status=TenantStatus.PROVISIONING), Harm.NO_ANSWERS),
            (
                lambda fleet: setattr(fleet.retrieval_probe, "anything", Mock(side_effect=AccessRefused("no"))),
                Harm.UNKNOWN,
            ),
        ],
        ids=["answers come", "none has come yet", "nobody could look"],
    )
    def test_is_told_with_what_was_seen_of_answers(
        self, fleet: Fleet, spoil: Callable[[Fleet], object], harm: Harm
    ) -> None:
        spoil(fleet)
        fleet.examination.examine_after(self.JOB)
        (diagnosis,) = fleet.announcements.diagnoses
        told = [signal for signal in of_diagnosis(diagnosis, DEPLOYMENT) if signal.concern is Concern.INGESTION]
        (signal,) = told
        assert signal.failure is not None
        assert signal.failure.harm is harm
        assert signal.failure.evidence.command.startswith("kbfleet sync start acme")

    def test_for_something_that_is_lost_is_that_loss_and_nothing_else(self, fleet: Fleet) -> None:
        lose_the_index(fleet)
        fleet.examination.examine_after(self.JOB)
        (diagnosis,) = fleet.announcements.diagnoses
        (signal,) = of_diagnosis(diagnosis, DEPLOYMENT)
        assert (signal.concern, bool(signal.failure)) == (Concern.KNOWLEDGE, True)

    def test_of_a_life_that_is_over_is_told_to_nobody(self, fleet: Fleet) -> None:
        past: JobStateChange = replace(self.JOB, life=7)
        fleet.examination.examine_after(past)
        assert not fleet.announcements.diagnoses

    def test_is_told_beside_a_loss_that_does_not_explain_it(self, fleet: Fleet) -> None:
        fleet.usage_keys.delete(KEY)
        fleet.examination.examine_after(self.JOB)
        (diagnosis,) = fleet.announcements.diagnoses
        assert {each.concern for each in of_diagnosis(diagnosis, DEPLOYMENT)} == {Concern.INGESTION, Concern.KNOWLEDGE}


class TestWhenItIsTold:
    def test_a_loss_that_could_not_be_written_down_is_left_to_the_next_look(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody would ever hear that it is over."""
        lose_the_index(fleet)
        with monkeypatch.context() as contended:
            contended.setattr(fleet.registry, "replace", Mock(side_effect=ConcurrentUpdate("Others are faster.")))
            fleet.examination.publish(examined(fleet))
        assert not fleet.announcements.diagnoses
        fleet.examination.publish(examined(fleet))
        assert len(fleet.announcements.diagnoses) == 1

    def test_another_loss_is_news(self, fleet: Fleet) -> None:
        fleet.usage_keys.delete(KEY)
        fleet.examination.publish(examined(fleet))
        lose_the_index(fleet)
        fleet.examination.publish(examined(fleet))
        fleet.examination.publish(examined(fleet))
        assert [each.worse for each in fleet.announcements.diagnoses] == [False, True, False]

    def test_of_a_bucket_that_may_not_be_looked_at_nobody_says_that_it_is_gone(self, fleet: Fleet) -> None:
        fleet.buckets.foreign.add(NAMES.bucket(Life(ACME)))
        diagnosis = examined(fleet)
        assert (diagnosis.findings, diagnosis.well) == ((), False)

    def test_a_lease_that_has_expired_hides_no_loss(self, fleet: Fleet) -> None:
        lose_the_index(fleet)
        change(fleet, lease=Lease("execution", fleet.clock.now()))
        assert examined(fleet).findings

    def test_where_the_content_is_lost_as_well_a_lost_bucket_promises_no_answers(self, fleet: Fleet) -> None:
        lose_the_bucket(fleet)
        (alone,) = examined(fleet).findings
        assert "Answers still come" in alone.advice
        lose_the_data_source(fleet)
        both = [each for each in examined(fleet).findings if each.kind is ResourceKind.BUCKET]
        assert "Answers still come" not in both[0].advice


class TestWords:
    @pytest.mark.parametrize("disagreement", Disagreement)
    @pytest.mark.parametrize("kind", ResourceKind)
    def test_every_finding_has_a_cause_an_advice_and_a_true_sentence(
        self, disagreement: Disagreement, kind: ResourceKind
    ) -> None:
        finding = Finding(disagreement, kind, "name", ACME)
        assert finding.cause in CAUSES
        assert finding.advice
        assert finding.harm.sentence
        # No advice deletes what only the customer has.
        assert not finding.hurts or "offboard" not in finding.advice

    def test_what_answers_rest_on_is_broken_when_bedrock_gave_it_up(self, fleet: Fleet) -> None:
        (source,) = fleet.knowledge_bases.data_sources(base(fleet))
        fleet.knowledge_bases.set_data_source(base(fleet), replace(source, status=DataSourceStatus.FAILED))
        assert found(fleet) == [(Disagreement.BROKEN, ResourceKind.DATA_SOURCE, Harm.DOCUMENTS_MISSING)]


A_DAY = UNSEEN_FOR.total_seconds()


def denied(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet.retrieval_probe, "anything", Mock(side_effect=AccessRefused("Retrieve: not allowed.")))


class TestWhatStaysUnseen:
    """What nobody could look at is not well for ever, and an incident that is over does not stay open for it."""

    def test_for_a_day_it_is_told_as_that(self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
        denied(fleet, monkeypatch)
        fleet.examination.publish(examined(fleet))
        assert not fleet.announcements.diagnoses
        fleet.clock.advance(A_DAY)
        assert found(fleet) == [(Disagreement.UNSEEN, ResourceKind.PASSAGES, Harm.UNKNOWN)]
        fleet.examination.publish(examined(fleet))
        (told,) = fleet.announcements.diagnoses
        (signal,) = of_diagnosis(told, DEPLOYMENT)
        assert signal.failure is not None
        assert signal.failure.evidence.command.startswith("kbfleet tenant show acme")
        assert not told.losses[0].repairable

    def test_what_was_seen_in_between_begins_anew(self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as refusing:
            denied(fleet, refusing)
            fleet.examination.publish(examined(fleet))
        fleet.clock.advance(A_DAY / 2)
        fleet.examination.publish(examined(fleet))
        fleet.clock.advance(A_DAY / 2)
        denied(fleet, monkeypatch)
        assert not examined(fleet).findings

    def test_two_facts_that_take_turns_are_not_one_that_stays_unseen(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as refusing:
            denied(fleet, refusing)
            fleet.examination.publish(examined(fleet))
        fleet.clock.advance(A_DAY)
        monkeypatch.setattr(fleet.usage_keys, "differences", NOBODY_MAY)
        assert not examined(fleet).findings

    def test_a_loss_is_over_once_what_showed_it_is_well_again(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fleet.usage_keys.delete(KEY)
        fleet.examination.publish(examined(fleet))
        fleet.usage_keys.ensure(KEY, NAMES.tags(Life(ACME)), plan_id=PLAN, other_plan_ids=[])
        denied(fleet, monkeypatch)
        fleet.examination.publish(examined(fleet))
        (_, over) = fleet.announcements.diagnoses
        (signal,) = of_diagnosis(over, DEPLOYMENT)
        assert (signal.concern, signal.failure) == (Concern.KNOWLEDGE, None)
        assert not fleet.registry.get(ACME).losses

    def test_a_loss_stays_while_what_showed_it_cannot_be_seen_and_then_gives_way_to_that(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fleet.usage_keys.delete(KEY)
        fleet.examination.publish(examined(fleet))
        monkeypatch.setattr(fleet.usage_keys, "differences", NOBODY_MAY)
        fleet.examination.publish(examined(fleet))
        assert [loss.disagreement for loss in fleet.registry.get(ACME).losses] == [Disagreement.MISSING]
        fleet.clock.advance(A_DAY)
        fleet.examination.publish(examined(fleet))
        assert [loss.disagreement for loss in fleet.registry.get(ACME).losses] == [Disagreement.UNSEEN]


class TestTwoLooks:
    """One search that fails, or finds nothing, proves nothing."""

    @pytest.mark.parametrize("first", [Search.NOTHING, Search.REFUSED])
    def test_one_search_in_vain_is_no_finding(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, first: Search
    ) -> None:
        search = Mock(side_effect=[first, Search.FOUND])
        monkeypatch.setattr(fleet.retrieval_probe, "anything", search)
        assert examined(fleet).well
        assert search.call_count == 2

    def test_two_different_ends_are_not_known(self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
        search = Mock(side_effect=[Search.NOTHING, Search.REFUSED])
        monkeypatch.setattr(fleet.retrieval_probe, "anything", search)
        diagnosis = examined(fleet)
        assert (diagnosis.findings, diagnosis.well) == ((), False)

    def test_what_is_found_is_searched_for_once(self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
        search = Mock(return_value=Search.FOUND)
        monkeypatch.setattr(fleet.retrieval_probe, "anything", search)
        assert examined(fleet).well
        assert search.call_count == 1


def hold(fleet: Fleet, reason: HoldReason = HoldReason.EMPTY) -> Hold:
    entry = fleet.ledger.find(first_knowledge(ACME))
    held = Hold(reason, 1, 1, fleet.clock.now(), fleet.clock.now())
    fleet.ledger.save(replace(entry, hold=held))
    return held


class TestAHeldSync:
    def test_is_a_finding_with_its_own_command_and_no_second_message(self, fleet: Fleet) -> None:
        held = hold(fleet)
        diagnosis = examined(fleet)
        (finding,) = diagnosis.findings
        assert (finding.disagreement, finding.harm) == (Disagreement.HELD, Harm.WRONG_ANSWERS)
        assert not diagnosis.well
        assert finding.whole_command == held.command(ACME) == "kbfleet sync start acme --accept-deletions 1"
        assert held.sentence in finding.advice
        assert held.command(ACME) in finding.advice
        body = DiagnosisBody.from_domain(diagnosis)
        assert (body.well, body.findings[0].command) == (False, held.command(ACME))
        fleet.examination.publish(diagnosis)
        assert not fleet.announcements.diagnoses
        assert not fleet.registry.get(ACME).losses

    def test_for_a_bucket_that_is_gone_is_that_loss(self, fleet: Fleet) -> None:
        hold(fleet, HoldReason.GONE)
        lose_the_bucket(fleet)
        (finding,) = examined(fleet).findings
        assert (finding.disagreement, finding.kind) == (Disagreement.MISSING, ResourceKind.BUCKET)


class TestAStoreThatIsGone:
    def test_is_said_of_each_tenant_and_told_of_none(self, fleet: Fleet) -> None:
        fleet.store.gone = True
        search_is_refused(fleet)
        fleet.examination.examine_after(TestAFailedIngestion.JOB)
        (finding,) = examined(fleet).findings
        assert (finding.kind, finding.harm, finding.shared) == (ResourceKind.KNOWLEDGE_STORE, Harm.NO_ANSWERS, True)
        assert "`kbfleet reconcile --repair`" in finding.advice
        assert not fleet.announcements.diagnoses

    def test_ends_no_incident_of_a_tenants_own(self, fleet: Fleet) -> None:
        lose_the_index(fleet)
        fleet.examination.publish(examined(fleet))
        fleet.store.gone = True
        fleet.examination.publish(examined(fleet))
        assert [loss.kind for loss in fleet.registry.get(ACME).losses] == [ResourceKind.VECTOR_INDEX]

    @pytest.mark.parametrize("kind", [ResourceKind.KNOWLEDGE_STORE, ResourceKind.SERVICE_ROLE])
    def test_is_one_incident_of_the_fleet(self, kind: ResourceKind) -> None:
        at = Fleet().clock.now()
        (signal,) = of_fleet_diagnosis(FleetDiagnosis(at, (SharedLoss(kind, "S3_VECTORS"),)), DEPLOYMENT)
        assert (signal.subject, signal.concern) == (THE_FLEET, Concern.FLEET)
        assert signal.failure is not None
        assert all(cause.in_our_words for cause in signal.failure.causes)
        assert signal.failure.evidence.command == "kbfleet reconcile --repair --stack kbfleet --region us-east-1"
        (over,) = of_fleet_diagnosis(FleetDiagnosis(at), DEPLOYMENT)
        assert over.failure is None


class TestWhatASearchCosts:
    """Nobody is kept from a look that he asks for; what looks by itself searches ten times a day at most."""

    HOURS = 72

    @pytest.mark.parametrize("loss", LOSSES)
    def test_a_loss_that_stays_is_searched_ten_times_in_any_day_and_stays_told(self, fleet: Fleet, loss: str) -> None:
        lose, expected = LOSSES[loss]
        lose(fleet)
        probe, searched = fleet.retrieval_probe.anything, list[int]()
        with pytest.MonkeyPatch.context() as patched:
            for _ in range(self.HOURS):
                counted = Mock(side_effect=probe)
                patched.setattr(fleet.retrieval_probe, "anything", counted)
                # Every hour's round, and a sync that fails.
                fleet.examination.publish(examined(fleet))
                fleet.examination.examine_after(TestAFailedIngestion.JOB)
                searched.append(counted.call_count)
                (known,) = fleet.registry.get(ACME).losses
                assert (known.disagreement, known.kind, known.harm) == expected
                fleet.clock.advance(3_600)
        assert max(sum(searched[begin : begin + 24]) for begin in range(self.HOURS)) <= 10
        told = {loss.cause for each in fleet.announcements.diagnoses for loss in each.losses}
        assert told == {known.cause}

    def test_a_look_that_somebody_asks_for_always_searches(self, fleet: Fleet) -> None:
        for _ in range(20):
            examined(fleet)
        assert not examined(fleet).well
        assert fleet.examination.examine(fleet.registry.get(ACME), asked=True).well

    def test_what_was_repaired_is_over_within_four_hours_by_itself(self, fleet: Fleet) -> None:
        nothing_is_found(fleet)
        for _ in range(20):
            fleet.examination.publish(examined(fleet))
        fleet.retrieval_probe.findable.add(URI)
        fleet.clock.advance(4 * 3_600)
        fleet.examination.publish(examined(fleet))
        assert not fleet.registry.get(ACME).losses
