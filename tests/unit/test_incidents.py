"""What makes an incident, and which notices people get: each once, however often and in whatever order it is seen."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kbfleet.domain.alert import Alert, Link, Reason, Severity
from kbfleet.domain.errors import AlertNotDelivered, ConcurrentUpdate, Throttled
from kbfleet.domain.harm import Harm, worst
from kbfleet.domain.incident import FLAP_WINDOW, SPANS_KEPT, TOGETHER, Concern, Crowd, Failure, Incident, Signal
from kbfleet.domain.names import TenantId
from kbfleet.domain.root_cause import RootCause
from kbfleet.usecases.incidents import CLAIM, IncidentDesk, forget, forgotten
from tests.support.clock import START
from tests.support.fakes import (
    FakeClock,
    InMemoryIncidents,
    InMemoryTenantNames,
    InMemoryTenantRegistry,
    RecordingAlertChannel,
)
from tests.support.samples import DEPLOYMENT, tenant

S3 = RootCause("s3", "the service role cannot read from S3", shared=True)
MODEL = RootCause("model", "the service role may not call the embedding model", shared=True)
UNKNOWN = RootCause("unknown", "The index is gone.")
"""Tenants fail alike by the words, and nobody knows whether for one cause."""


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def broken(subject: str, minutes: float, *causes: RootCause, news: bool = False) -> Signal:
    evidence = Alert(
        f"{subject}@{minutes}", Severity.BROKEN, f"{subject}: ingestion failed", subject, (("Tenant", subject),)
    )
    failure = Failure(causes or (S3,), evidence, "sync start", news)
    return Signal(f"{subject}/{minutes}", subject, Concern.INGESTION, at(minutes), failure)


def hurting(subject: str, minutes: float, harm: Harm | None) -> Signal:
    signal = broken(subject, minutes)
    assert signal.failure
    evidence = replace(signal.failure.evidence, harm=harm, advice="Remove the cause.")
    return replace(signal, failure=replace(signal.failure, evidence=evidence))


def well(subject: str, minutes: float) -> Signal:
    return Signal(f"{subject}/{minutes}", subject, Concern.INGESTION, at(minutes))


@dataclass
class Office:
    """A desk with a channel."""

    channel: RecordingAlertChannel
    incidents: InMemoryIncidents = field(default_factory=InMemoryIncidents)
    clock: FakeClock = field(default_factory=FakeClock)
    tenants: InMemoryTenantRegistry = field(default_factory=InMemoryTenantRegistry)

    @property
    def desk(self) -> IncidentDesk:
        """Each time as another function instance has it."""
        return IncidentDesk(self.incidents, self.channel, self.clock, DEPLOYMENT, InMemoryTenantNames(self.tenants))

    def takes(self, *signals: Signal) -> None:
        for signal in signals:
            for identity in self.desk.record(signal):
                self.desk.notify(identity)

    def takes_until_reported(self, signals: Sequence[Signal]) -> None:
        """As a queue does: what could not be delivered is offered again."""
        waiting = list(signals)
        for _ in range(1_000):
            left = []
            for signal in waiting:
                try:
                    self.takes(signal)
                except (AlertNotDelivered, ConcurrentUpdate):
                    left.append(signal)
            if not left:
                return
            waiting = left
            self.clock.advance(180)
        raise AssertionError("never reported")

    def forgets(self, subject: str, minutes: float) -> None:
        forget(TenantId(subject), incidents=self.incidents, now=at(minutes))
        assert forgotten(TenantId(subject), incidents=self.incidents)

    @property
    def titles(self) -> list[str]:
        return [alert.title for alert in self.channel.sent]


@pytest.fixture(params=[True, False], ids=["threads", "webhook"])
def office(request: pytest.FixtureRequest) -> Office:
    return Office(RecordingAlertChannel(threads=request.param))


@pytest.fixture
def thread() -> Office:
    return Office(RecordingAlertChannel())


@pytest.fixture
def webhook() -> Office:
    return Office(RecordingAlertChannel(threads=False))


class TestOneTenant:
    def test_hears_of_a_failure_and_of_its_end(self, office: Office) -> None:
        office.takes(broken("acme", 0), well("acme", 30))
        assert office.titles == ["acme: ingestion failed", "Over: acme: ingestion failed"]
        assert [alert.severity for alert in office.channel.sent] == [Severity.BROKEN, Severity.RECOVERED]

    def test_hears_nothing_of_what_was_well_all_the_time(self, office: Office) -> None:
        office.takes(well("acme", 0), well("acme", 1))
        assert office.titles == []

    def test_hears_once_of_what_fails_again_and_again(self, office: Office) -> None:
        office.takes(*(broken("acme", minute) for minute in range(20)))
        assert len(office.titles) == 1

    def test_hears_once_of_what_is_delivered_twice(self, office: Office) -> None:
        office.takes(broken("acme", 0), broken("acme", 0), well("acme", 5), well("acme", 5), broken("acme", 0))
        assert len(office.titles) == 2

    def test_the_first_message_shows_the_end_where_it_can(self, thread: Office) -> None:
        thread.takes(broken("acme", 0), well("acme", 30))
        (first,) = thread.channel.roots
        assert (first.alert.severity, first.shown.severity) == (Severity.BROKEN, Severity.RECOVERED)
        assert dict(first.shown.facts)["Over since"] == at(30)

    def test_what_is_over_when_it_is_heard_of_is_reported_in_one_message(self, office: Office) -> None:
        office.takes(well("acme", 5), broken("acme", 0))
        assert office.titles == ["Over: acme: ingestion failed"]

    def test_another_cause_is_another_incident_and_ends_the_first(self, office: Office) -> None:
        office.takes(broken("acme", 0), broken("acme", 5, MODEL))
        first, second = sorted(office.incidents.all.values(), key=lambda incident: incident.opened_at)
        assert (first.open, second.open) == (False, True)

    def test_an_incident_is_not_over_while_its_cause_is_among_the_others(self, office: Office) -> None:
        office.takes(broken("acme", 0), broken("acme", 5, MODEL, S3))
        (incident,) = office.incidents.all.values()
        assert incident.open

    def test_a_good_ingestion_does_not_end_a_failed_provisioning(self, office: Office) -> None:
        office.takes(replace(broken("acme", 0), concern=Concern.PROVISIONING), well("acme", 5))
        assert len(office.titles) == 1

    def test_new_documents_that_fail_are_reported_although_others_do_already(self, office: Office) -> None:
        office.takes(broken("acme", 0, news=True), broken("acme", 5), broken("acme", 9, news=True))
        assert office.titles == ["acme: ingestion failed", "News: acme: ingestion failed"]


class TestManyTenants:
    @pytest.mark.parametrize("at_once", [1, 10, 200])
    def test_two_hundred_for_one_cause_make_four_messages_at_most_with_its_end(
        self, webhook: Office, at_once: int
    ) -> None:
        tenants = [f"tenant-{number}" for number in range(200)]
        signals = [broken(tenant, number / 100) for number, tenant in enumerate(tenants)]
        signals += [well(tenant, 60) for tenant in tenants]
        for start in range(0, len(signals), at_once):
            found = {name for signal in signals[start : start + at_once] for name in webhook.desk.record(signal)}
            for identity in found:
                webhook.desk.notify(identity)
        assert len(webhook.titles) <= 4
        assert webhook.titles[-1] == "Over: 200 tenants: the service role cannot read from S3"

    def test_the_first_message_counts_them_where_it_can(self, thread: Office) -> None:
        thread.takes(*(broken(f"tenant-{number}", number) for number in range(14)))
        (first,) = thread.channel.roots
        assert first.shown.title == "14 tenants: the service role cannot read from S3"
        assert [post.alert.title.partition(":")[0] for post in thread.channel.posts] == ["tenant-0", "10 tenants"]

    @pytest.mark.parametrize("at_once", [1, 200])
    def test_of_each_of_a_few_people_hear_where_it_is_not_known_that_they_share_the_cause(
        self, webhook: Office, at_once: int
    ) -> None:
        tenants = [f"tenant-{number}" for number in range(200)]
        signals = [broken(tenant, number / 100, UNKNOWN) for number, tenant in enumerate(tenants)]
        for start in range(0, len(signals), at_once):
            batch = signals[start : start + at_once]
            for identity in {name for signal in batch for name in webhook.desk.record(signal)}:
                webhook.desk.notify(identity)
        told = (
            ["tenant-0", *(f"{count} tenants" for count in (2, 3, 4, 5, 10, 100))] if at_once == 1 else ["200 tenants"]
        )
        assert [title.partition(":")[0] for title in webhook.titles] == told

    def test_a_second_tenant_that_fails_by_the_same_words_is_told_and_named(self, webhook: Office) -> None:
        webhook.takes(broken("acme", 0, UNKNOWN), broken("sakura", 30, UNKNOWN))
        assert webhook.titles == ["acme: ingestion failed", "2 tenants: The index is gone."]
        assert dict(webhook.channel.sent[-1].facts)["Still broken"] == "2 of 2: acme, sakura"

    def test_what_comes_back_for_another_shows_what_is_wrong_with_that_one(self, office: Office) -> None:
        office.takes(leaking("acme", 0), well("acme", 5), leaking("sakura", 10))
        again = office.channel.sent[-1]
        assert (again.title, again.subject) == ("Again: sakura: ingestion failed", "sakura")
        assert dict(again.facts)["Still broken"] == "1 of 2: sakura"
        assert again.reasons[0].documents == (SECRET,)

    def test_the_last_of_many_is_named(self, thread: Office) -> None:
        thread.takes(leaking("acme", 0), leaking("sakura", 1), well("sakura", 2))
        shown = thread.channel.roots[0].shown
        # What was shown last is another's: its documents are not what is wrong with the one that is left.
        assert shown.title == f"acme: {S3.label}"
        assert SECRET not in repr(shown.reasons)

    def test_it_is_over_when_the_last_is_well(self, office: Office) -> None:
        office.takes(broken("acme", 0), broken("sakura", 1), well("acme", 2))
        assert office.titles == ["acme: ingestion failed"]
        office.takes(well("sakura", 3))
        assert office.titles[-1] == "Over: 2 tenants: the service role cannot read from S3"

    def test_the_message_names_those_that_are_still_broken_and_repairs_only_them(self, thread: Office) -> None:
        thread.takes(broken("acme", 0), broken("sakura", 1), broken("zen", 1), well("acme", 2))
        shown = thread.channel.roots[0].shown
        assert dict(shown.facts)["Still broken"] == "2 of 3: sakura, zen"
        command = 'for tenant in sakura zen; do kbfleet sync start "$tenant" --stack kbfleet --region us-east-1; done'
        assert shown.command == command

    def test_however_many_they_are_one_incident_told_at_ten_and_a_hundred_and_when_it_is_over(
        self, webhook: Office
    ) -> None:
        tenants = [f"tenant-{number:04d}" for number in range(1_100)]
        for start in (0, 1, 10, 100, 1_000):
            hit = tenants[start : 10 * start or 1]
            found = {name for tenant in hit for name in webhook.desk.record(broken(tenant, start / 100))}
            for identity in found:
                webhook.desk.notify(identity)
        found = {name for tenant in tenants for name in webhook.desk.record(well(tenant, 60))}
        for identity in found:
            webhook.desk.notify(identity)
        (incident,) = webhook.incidents.all.values()
        assert (incident.open, incident.hit, incident.broken) == (False, 1_100, 0)
        assert [title.partition(": ")[0] for title in webhook.titles] == [
            "tenant-0000",
            "10 tenants",
            "100 tenants",
            "1,000 tenants",
            "Over",
        ]
        assert webhook.titles[-1] == f"Over: 1,100 tenants: {S3.label}"


class TestCrowd:
    """Beyond what one record has room for, members are kept one by one."""

    TENANTS = tuple(f"tenant-{number:04d}" for number in range(TOGETHER + 50))

    def crowd(self, office: Office) -> Incident:
        (identity,) = office.incidents.all
        incident = office.incidents.find(identity)
        assert incident
        assert incident.crowd
        return incident

    def test_its_record_does_not_grow_with_it(self, office: Office) -> None:
        office.takes(*(broken(tenant, 0) for tenant in self.TENANTS))
        size = len(repr(next(iter(office.incidents.all.values()))))
        office.takes(*(broken(f"another-{number}", 1) for number in range(500)))
        assert len(repr(next(iter(office.incidents.all.values())))) < size + 500
        assert self.crowd(office).hit == len(self.TENANTS) + 500

    def test_it_names_and_repairs_the_first_that_are_still_broken_and_counts_the_others(self, thread: Office) -> None:
        thread.takes(
            *(broken(tenant, 0) for tenant in self.TENANTS), *(well(tenant, 5) for tenant in self.TENANTS[:50])
        )
        shown = self.crowd(thread).message(DEPLOYMENT)
        (still,) = (str(value) for name, value in shown.facts if name == "Still broken")
        assert still.startswith("100 of 150: tenant-0050, ")
        assert still.endswith(" and 80 more")
        assert shown.command.startswith("for tenant in tenant-0050 tenant-0051")
        assert "The command is for the first 60 of 100." in shown.advice

    def test_the_last_that_is_left_is_named(self, thread: Office) -> None:
        thread.takes(*(broken(tenant, 0) for tenant in self.TENANTS), *(well(tenant, 5) for tenant in self.TENANTS[1:]))
        assert self.crowd(thread).message(DEPLOYMENT).title == f"tenant-0000: {S3.label}"

    def test_what_is_delivered_again_or_out_of_order_counts_once(self, office: Office) -> None:
        signals = [signal for tenant in self.TENANTS for signal in (broken(tenant, 0), well(tenant, 5))]
        random.Random(7).shuffle(signals)  # noqa: S311 -- a test's order, no secret
        office.takes(*signals, *signals[:40])
        crowd = self.crowd(office)
        assert (crowd.hit, crowd.broken, crowd.open, crowd.closed_at) == (len(self.TENANTS), 0, False, at(5))

    def test_it_comes_back_with_one_of_its_members(self, office: Office) -> None:
        office.takes(*(broken(tenant, 0) for tenant in self.TENANTS), *(well(tenant, 5) for tenant in self.TENANTS))
        office.takes(broken(self.TENANTS[3], 20))
        crowd = self.crowd(office)
        assert (crowd.hit, crowd.broken, crowd.returns) == (len(self.TENANTS), 1, 1)
        assert office.titles[-1] == f"Again: {self.TENANTS[3]}: ingestion failed"

    def test_a_member_that_is_forgotten_leaves_it(self, office: Office) -> None:
        office.takes(*(broken(tenant, 0) for tenant in self.TENANTS))
        office.forgets(self.TENANTS[0], 10)
        crowd = self.crowd(office)
        assert (crowd.hit, crowd.broken) == (len(self.TENANTS) - 1,) * 2
        assert self.TENANTS[0] not in repr((office.incidents.all, office.incidents.members, crowd))

    def test_when_all_its_members_are_forgotten_it_is_over(self, office: Office) -> None:
        office.takes(*(broken(tenant, 0) for tenant in self.TENANTS))
        for each in self.TENANTS:
            office.forgets(each, 10)
            office.takes(well(each, 20))
        (incident,) = office.incidents.all.values()
        assert (incident.open, incident.erased) == (False, True)
        assert office.titles[-1].startswith("Over: ")

    def test_how_its_members_are_hurt_is_told_of_those_that_are_still_broken(self, office: Office) -> None:
        office.takes(*(hurting(tenant, 0, Harm.MACHINERY_ONLY) for tenant in self.TENANTS))
        office.takes(hurting("worse", 1, Harm.NO_ANSWERS))
        assert self.crowd(office).harm is Harm.NO_ANSWERS
        office.takes(well("worse", 2))
        assert self.crowd(office).harm is Harm.MACHINERY_ONLY

    def test_one_that_breaks_again_and_again_takes_no_more_room_and_is_counted(self, office: Office) -> None:
        for number in range(50):
            office.takes(broken("acme", 4 * number), well("acme", 4 * number + 2))
        (incident,) = office.incidents.all.values()
        assert (len(incident.affected["acme"]), incident.returns) == (SPANS_KEPT, 49)


class TestHarm:
    def harm(self, office: Office) -> tuple[Harm | None, str, str]:
        (incident,) = office.incidents.all.values()
        message = incident.message(DEPLOYMENT)
        return message.harm, message.hurt, str(dict(message.facts)["Hurt"])

    def test_of_one_it_is_that_of_its_newest_failure_in_whatever_order_they_come(self, office: Office) -> None:
        office.takes(hurting("acme", 5, Harm.NO_ANSWERS), hurting("acme", 0, Harm.UNKNOWN))
        assert self.harm(office) == (Harm.NO_ANSWERS, "No answers", "No question is answered meanwhile.")

    def test_of_many_it_is_the_worst_of_those_that_are_still_broken(self, office: Office) -> None:
        office.takes(hurting("acme", 0, Harm.MACHINERY_ONLY), hurting("sakura", 1, Harm.NO_ANSWERS))
        assert self.harm(office) == (
            Harm.NO_ANSWERS,
            "No answers for 1 of 2",
            "1 of 2: No question is answered meanwhile. 1 of 2: Answers come from all documents.",
        )
        (incident,) = office.incidents.all.values()
        assert dict(incident.message(DEPLOYMENT).facts)["Still broken"] == "2 of 2: sakura, acme"
        office.takes(well("sakura", 5))
        assert self.harm(office)[1:] == ("Machinery only", "Nobody. Answers come from all documents.")

    def test_of_a_crowd_each_harm_is_counted(self, office: Office) -> None:
        office.takes(*(hurting(f"tenant-{number:03}", 0, Harm.UNKNOWN) for number in range(150)))
        office.takes(hurting("worse", 1, Harm.NO_ANSWERS))
        assert self.harm(office)[1:] == (
            "No answers for 1 of 151",
            "1 of 151: No question is answered meanwhile. 150 of 151: Nobody has looked yet whether answers come.",
        )

    def test_whom_it_hits_is_called_by_its_name_where_it_is_one_and_there_is_one(self, office: Office) -> None:
        office.tenants.create(tenant(name="Acme, Inc."))
        office.takes(hurting("acme", 0, Harm.NO_ANSWERS))
        assert dict(office.channel.sent[-1].facts)["Tenant"] == "acme (Acme, Inc.)"
        office.takes(hurting("sakura", 1, Harm.NO_ANSWERS), well("acme", 2))
        (incident,) = office.incidents.all.values()
        assert dict(incident.message(DEPLOYMENT).facts)["Tenant"] == "sakura"

    def test_people_are_told_also_where_the_name_cannot_be_read(self, office: Office) -> None:
        with patch.object(InMemoryTenantNames, "name_of", side_effect=Throttled("GetItem")):
            office.takes(hurting("acme", 0, Harm.NO_ANSWERS))
        assert dict(office.channel.sent[-1].facts)["Tenant"] == "acme"

    def test_where_it_is_not_known_people_are_told_what_to_look_with(self, office: Office) -> None:
        office.takes(hurting("acme", 0, Harm.UNKNOWN))
        assert office.channel.sent[-1].advice == (
            "`kbfleet tenant show acme --stack kbfleet --region us-east-1` says whether all is there that answers rest "
            "on. Remove the cause."
        )

    def test_that_nobody_has_looked_is_never_told_as_well(self, office: Office) -> None:
        office.takes(hurting("acme", 0, Harm.UNKNOWN), hurting("sakura", 1, Harm.MACHINERY_ONLY))
        assert self.harm(office)[0] is Harm.UNKNOWN

    def test_what_was_stored_before_there_was_a_harm_claims_nothing(self, office: Office) -> None:
        old = hurting("acme", 0, None)
        assert old.failure
        claimed = "Answers still come, from the last good sync. Remove the cause."
        evidence = replace(old.failure.evidence, advice=claimed)
        office.takes(replace(old, failure=replace(old.failure, evidence=evidence)))
        assert self.harm(office)[:2] == (Harm.UNKNOWN, "Harm not known")
        assert "Answers still come" not in office.channel.sent[-1].advice

    @given(st.lists(st.sampled_from(Harm), min_size=1))
    def test_several_are_never_told_as_better_than_one_of_them(self, harms: list[Harm]) -> None:
        told = worst(harms)
        assert told in harms
        if told in {Harm.MACHINERY_ONLY, Harm.DOCUMENTS_MISSING}:
            assert not {Harm.NO_ANSWERS, Harm.WRONG_ANSWERS, Harm.UNKNOWN} & set(harms)


class TestComingAndGoing:
    def test_what_begins_again_within_the_window_is_the_same_and_says_how_often(self, thread: Office) -> None:
        thread.takes(broken("acme", 0), well("acme", 10), broken("acme", 20))
        assert thread.titles[-1] == "Again: acme: ingestion failed"
        (first,) = thread.channel.roots
        assert dict(first.shown.facts)["Came back"] == "once"

    def test_what_begins_again_later_is_another(self, thread: Office) -> None:
        later = 10 + FLAP_WINDOW / timedelta(minutes=1) + 1
        thread.takes(broken("acme", 0), well("acme", 10), broken("acme", later))
        assert len(thread.channel.roots) == 2

    def test_from_the_third_return_on_only_doublings_are_reported(self, office: Office) -> None:
        for number in range(50):
            office.takes(broken("acme", 4 * number), well("acme", 4 * number + 2))
        assert len(office.incidents.all) == 1
        assert len(office.titles) == 6 + 5  # three times there and over; then at 3, 6, 12, 24 and 48 returns
        assert "Comes and goes" in office.titles[-1]


class TestTrouble:
    def test_what_is_not_taken_learns_when_it_is_offered_again(self, office: Office) -> None:
        office.channel.down = True
        with pytest.raises(AlertNotDelivered):
            office.takes(broken("acme", 0))
        office.channel.down = False
        office.takes(broken("acme", 0))
        assert len(office.titles) == 1

    def test_what_began_and_ended_while_nobody_could_be_reported_is_reported_at_once_and_whole(
        self, office: Office
    ) -> None:
        office.channel.down = True
        for signal in (broken("acme", 0), well("acme", 5)):
            with pytest.raises(AlertNotDelivered):
                office.takes(signal)
        office.channel.down = False
        office.takes(well("acme", 5), broken("acme", 0))
        assert office.titles == ["Over: acme: ingestion failed"]

    def test_a_message_that_was_taken_without_an_answer_is_not_posted_again(self, thread: Office) -> None:
        thread.channel.weather = ["unanswered"]
        with pytest.raises(AlertNotDelivered):
            thread.takes(broken("acme", 0))
        thread.takes(broken("acme", 0), well("acme", 5))
        assert len(thread.channel.roots) == 1
        assert thread.channel.posts[1].reply_to == thread.channel.posts[0].name

    def test_a_notifier_that_died_while_posting_is_waited_for_and_then_replaced(self, thread: Office) -> None:
        class Died(BaseException):
            pass

        (identity,) = thread.desk.record(broken("acme", 0))
        posting = thread.channel.post

        def post_and_die(alert: Alert, *, reply_to: str = "") -> str:
            posting(alert, reply_to=reply_to)
            raise Died

        with patch.object(thread.channel, "post", post_and_die), pytest.raises(Died):
            thread.desk.notify(identity)
        with pytest.raises(AlertNotDelivered, match="by another"):
            thread.desk.notify(identity)
        thread.clock.advance(CLAIM.total_seconds())
        thread.desk.notify(identity)
        assert len(thread.channel.posts) == 1

    def test_whoever_writes_in_between_is_not_overwritten(self, office: Office) -> None:
        other = office.desk

        def somebody_else() -> None:
            other.record(broken("sakura", 0))

        office.incidents.before_writing = somebody_else
        office.takes(broken("acme", 0))
        (incident,) = office.incidents.all.values()
        assert set(incident.affected) == {"acme", "sakura"}

    def test_a_signal_that_arrives_while_one_is_reported_is_reported_next(self, thread: Office) -> None:
        (identity,) = thread.desk.record(broken("acme", 0))
        posting = thread.channel.post

        def post(alert: Alert, *, reply_to: str = "") -> str:
            thread.desk.record(well("acme", 5))
            return posting(alert, reply_to=reply_to)

        with patch.object(thread.channel, "post", post):
            thread.desk.notify(identity)
        assert thread.titles == ["acme: ingestion failed", "Over: acme: ingestion failed"]

    def test_contention_that_does_not_end_is_the_callers_to_handle(self, office: Office) -> None:
        def always() -> None:
            office.incidents.before_writing = always
            raise ConcurrentUpdate("Always.")

        office.incidents.before_writing = always
        with pytest.raises(ConcurrentUpdate):
            office.desk.record(broken("acme", 0))


OWN = RootCause("own", "No text in secret plans.pdf")
"""A cause that is called by one tenant's words: others have another one."""
SECRET = "s3://kbfleet-acme/secret plans.pdf"


def leaking(subject: str, minutes: float, cause: RootCause = S3) -> Signal:
    """A failure that shows a tenant's own words."""
    signal = broken(subject, minutes, cause)
    assert signal.failure
    reasons = (Reason("No text in secret plans.pdf.", (SECRET,)),)
    evidence = replace(
        signal.failure.evidence,
        facts=(("Tenant", subject), ("Left out", SECRET)),
        reasons=reasons,
        advice=SECRET,
        command=SECRET,
        links=(Link("Object", SECRET), Link("Runbook", "https://example.com/page.md", runbook=True)),
    )
    return replace(signal, failure=replace(signal.failure, evidence=evidence))


class TestForgetting:
    def test_an_incident_that_only_it_was_in_has_only_whose_it_was_and_is_reported_to_be_over(
        self, office: Office
    ) -> None:
        office.takes(leaking("acme", 0, OWN))
        office.forgets("acme", 10)
        assert "secret" not in repr(office.incidents.all)
        office.takes(well("acme", 20))  # as its offboarding says when it has reached its end
        assert office.titles == ["acme: ingestion failed", "Over: acme: ended with the tenant"]
        (incident,) = office.incidents.all.values()
        assert (incident.closed_at, incident.open) == (at(10), False)

    def test_what_people_were_shown_of_it_is_taken_back_where_it_can_be(self, thread: Office) -> None:
        thread.takes(broken("sakura", 0), leaking("acme", 1))
        thread.forgets("acme", 10)
        thread.takes(well("acme", 20))
        (first,) = thread.channel.roots
        assert "secret" not in repr(first.shown)
        assert first.shown.title == "sakura: the service role cannot read from S3"
        assert "acme" not in repr(first.shown)

    @pytest.mark.parametrize("newest", ["acme", "sakura"])
    def test_an_incident_that_another_holds_open_goes_on_without_it(self, office: Office, newest: str) -> None:
        first = "sakura" if newest == "acme" else "acme"
        signals: dict[str, Callable[..., Signal]] = {"acme": leaking, "sakura": broken}
        office.takes(signals[first](first, 0), signals[newest](newest, 1))
        office.forgets("acme", 10)
        (incident,) = office.incidents.all.values()
        assert (set(incident.affected), incident.open) == ({"sakura"}, True)
        assert SECRET not in repr(incident)
        assert (incident.evidence.subject == "sakura") == (newest == "sakura")
        office.takes(broken("sakura", 12), well("sakura", 30))
        assert office.titles[-1].startswith("Over: sakura: ")

    def test_what_weighed_more_makes_room_for_what_others_show(self, office: Office) -> None:
        heavy = leaking("acme", 0, OWN)
        assert heavy.failure is not None
        heavy = replace(heavy, failure=replace(heavy.failure, weight=1))
        office.takes(heavy, broken("sakura", 1, OWN))
        office.forgets("acme", 10)
        office.takes(broken("sakura", 12, OWN))
        (incident,) = office.incidents.all.values()
        assert incident.evidence.subject == "sakura"

    def test_its_words_do_not_go_on_as_the_cause_of_an_incident_that_others_are_in(self, thread: Office) -> None:
        thread.takes(broken("sakura", 0, OWN), broken("fuji", 1, OWN), leaking("acme", 2, OWN))
        thread.forgets("acme", 10)
        thread.takes(well("acme", 20))
        (first,) = thread.channel.roots
        assert "secret" not in repr((thread.incidents.all, first.shown))
        assert first.shown.title == "2 tenants: failed"

    def test_the_cause_is_called_by_the_words_of_another_once_it_fails_again(self, thread: Office) -> None:
        thread.takes(broken("sakura", 0, OWN), broken("fuji", 1, OWN), leaking("acme", 2, OWN))
        thread.forgets("acme", 10)
        thread.takes(leaking("acme", 5, OWN), broken("fuji", 12, MODEL, OWN))
        (first,) = thread.channel.roots
        assert first.shown.title == f"2 tenants: {OWN.label}"

    def test_words_of_one_that_is_still_in_it_stay(self, office: Office) -> None:
        office.takes(leaking("acme", 0, OWN), broken("sakura", 1, OWN))
        office.forgets("acme", 10)
        (incident,) = office.incidents.all.values()
        assert (incident.cause, incident.evidence.subject) == (OWN, "sakura")

    def test_an_incident_that_it_alone_held_open_is_over_without_it(self, office: Office) -> None:
        office.takes(broken("acme", 0), broken("sakura", 1), well("sakura", 2))
        office.forgets("acme", 10)
        office.takes(well("acme", 20))
        assert office.titles[-1] == "Over: sakura: ingestion failed"

    def test_what_was_seen_before_and_comes_late_brings_nothing_back(self, office: Office) -> None:
        office.forgets("acme", 10)
        office.takes(leaking("acme", 5), leaking("acme", 10), broken("sakura", 6))
        (incident,) = office.incidents.all.values()
        assert set(incident.affected) == {"sakura"}

    def test_a_notifier_that_has_looked_before_is_not_faster(self, office: Office) -> None:
        """It has read that nothing is known of the tenant, and writes when it is forgotten."""
        office.incidents.before_writing = lambda: office.forgets("acme", 10)
        office.takes(leaking("acme", 5))
        assert office.incidents.all == {}

    def test_a_tenant_that_is_provisioned_anew_is_heard_of(self, office: Office) -> None:
        office.takes(leaking("acme", 0))
        office.forgets("acme", 10)
        office.takes(broken("acme", 11), leaking("acme", 9))
        new = [incident for incident in office.incidents.all.values() if incident.open]
        assert [incident.number for incident in new] == [2]  # not in what ended with the other one
        assert "secret" not in repr(office.incidents.all)

    def test_forgetting_again_changes_nothing(self, office: Office) -> None:
        office.takes(leaking("acme", 0), broken("sakura", 1))
        office.forgets("acme", 10)
        before = {incident: without_course(found) for incident, found in office.incidents.all.items()}
        office.forgets("acme", 15)
        assert {incident: without_course(found) for incident, found in office.incidents.all.items()} == before
        office.takes(well("acme", 20))
        assert all(incident.notice(DEPLOYMENT) is None for incident in office.incidents.all.values())

    def test_an_alarm_of_that_name_is_left_alone(self, office: Office) -> None:
        office.takes(replace(broken("acme", 0), concern=Concern.ALARM))
        office.forgets("acme", 10)
        (incident,) = office.incidents.all.values()
        assert incident.open

    def test_one_that_was_not_forgotten_is_seen(self, office: Office) -> None:
        assert not forgotten(TenantId("acme"), incidents=office.incidents)
        office.takes(broken("acme", 0))
        assert not forgotten(TenantId("acme"), incidents=office.incidents)


# --- storms ---

TENANTS = ("acme", "sakura", "zen", "north", "south")


@st.composite
def storms(draw: st.DrawFn) -> tuple[list[Signal], list[Signal]]:
    """What happens to some tenants within the window, in order; and how it arrives: a thousand deliveries."""
    count = draw(st.integers(1, 60))
    happening = []
    for number in range(count):
        tenant = draw(st.sampled_from(TENANTS))
        kind = draw(st.sampled_from(["s3", "model", "well"]))
        minute = number / 2
        signal = well(tenant, minute) if kind == "well" else broken(tenant, minute, S3 if kind == "s3" else MODEL)
        happening.append(signal)
    shuffler = random.Random(draw(st.integers(0, 2**32)))  # noqa: S311 -- a test's order, no secret
    arriving = happening + [shuffler.choice(happening) for _ in range(1_000 - count)]
    shuffler.shuffle(arriving)
    return happening, arriving


def expected(happening: Sequence[Signal]) -> dict[str, tuple[set[str], set[str]]]:
    """Of each cause: who was ever hit, and who is at the end. An own, simple account of what is right."""
    hit: dict[str, tuple[set[str], set[str]]] = {}
    last: dict[str, str] = {}
    for signal in happening:
        cause = signal.failure.causes[0].key if signal.failure else ""
        last[signal.subject] = cause
        if cause:
            hit.setdefault(cause, (set(), set()))[0].add(signal.subject)
    for subject, cause in last.items():
        if cause:
            hit[cause][1].add(subject)
    return hit


def final(office: Office) -> dict[str, Incident]:
    found = {incident.cause.key: incident for incident in office.incidents.all.values()}
    assert len(found) == len(office.incidents.all)
    return found


def without_course(incident: Incident) -> Incident:
    """What does not depend on who reported it when, and when it was stored."""
    return replace(incident, notified=None, version=0)


@settings(max_examples=40, deadline=None)
@given(storms())
def test_a_thousand_deliveries_out_of_order_make_what_the_events_make_once_and_in_order(
    storm: tuple[list[Signal], list[Signal]],
) -> None:
    happening, arriving = storm
    orderly, stormy = Office(RecordingAlertChannel()), Office(RecordingAlertChannel())
    orderly.takes(*happening)
    stormy.takes(*arriving)
    truth = expected(happening)
    assert {
        cause: (set(incident.affected), set(incident.still_affected)) for cause, incident in final(stormy).items()
    } == truth
    # One message an incident, and in the end it shows the same.
    assert len(stormy.channel.roots) == len(orderly.channel.roots) == len(truth)
    assert {cause: without_course(incident) for cause, incident in final(stormy).items()} == {
        cause: without_course(incident) for cause, incident in final(orderly).items()
    }
    # Incidents of two causes can have one title.
    shown = Counter((post.shown.title, post.shown.facts) for post in stormy.channel.roots)
    assert shown == Counter((post.shown.title, post.shown.facts) for post in orderly.channel.roots)
    # What has happened once is reported once.
    identities = [alert.identity for alert in stormy.channel.sent]
    assert len(set(identities)) == len(identities)


@settings(max_examples=40, deadline=None)
@given(storms(), st.randoms(use_true_random=False), st.lists(st.sampled_from(["refused", "unanswered", "ok"])))
def test_of_a_crowd_too_nobody_is_lost_or_counted_twice_whoever_works_at_once_and_fails(
    storm: tuple[list[Signal], list[Signal]], chance: random.Random, weather: list[str]
) -> None:
    """Three members are a crowd here."""
    happening, arriving = storm
    office = Office(RecordingAlertChannel(weather=weather))
    waiting = arriving[:200] + happening

    def another_goes_first() -> None:
        if waiting and chance.random() < 0.3:
            signal = waiting.pop()
            try:
                office.takes(signal)
            except (AlertNotDelivered, ConcurrentUpdate):
                waiting.insert(0, signal)
        office.incidents.before_writing = another_goes_first

    with patch("kbfleet.domain.incident.TOGETHER", 2):
        office.incidents.before_writing = another_goes_first
        office.takes_until_reported(waiting[:150])
        office.incidents.before_writing = lambda: None
        office.takes_until_reported(waiting)
        office.takes_until_reported(happening)
        incidents = final(office)
        assert incidents.keys() == expected(happening).keys()
        for cause, (hit, still) in expected(happening).items():
            incident = incidents[cause]
            if incident.crowd is None:
                assert (set(incident.affected), set(incident.still_affected)) == (hit, still)
                continue
            members = office.incidents.members[incident.identity]
            broken_now = {name for name, spans in members.items() if spans[-1].ended is None}
            assert (set(members), broken_now) == (hit, still)
            assert incident.crowd == replace(
                Crowd.of(members), last_ended=incident.crowd.last_ended, returns=incident.crowd.returns
            )
        assert len(office.channel.roots) == len(incidents)
        identities = [alert.identity for alert in office.channel.sent]
        assert len(set(identities)) == len(identities)
        for identity in list(office.incidents.all):
            found = office.incidents.find(identity)
            assert found
            assert found.notice(DEPLOYMENT) is None


@settings(max_examples=40, deadline=None)
@given(storms())
def test_a_webhooks_last_word_is_how_it_is_unless_it_said_that_it_comes_and_goes(
    storm: tuple[list[Signal], list[Signal]],
) -> None:
    _, arriving = storm
    office = Office(RecordingAlertChannel(threads=False))
    office.takes(*arriving)
    for cause, incident in final(office).items():
        words = [alert for alert in office.channel.sent if alert.identity.startswith(f"{cause}/")]
        severity = Severity.BROKEN if incident.open else Severity.RECOVERED
        assert words[-1].severity is severity or "Comes and goes" in words[-1].title or incident.returns >= 3


@settings(max_examples=40, deadline=None)
@given(storms(), st.randoms(use_true_random=False))
def test_notifiers_that_work_at_once_agree(storm: tuple[list[Signal], list[Signal]], chance: random.Random) -> None:
    happening, arriving = storm
    office = Office(RecordingAlertChannel())
    waiting, left = arriving[:200] + happening, []

    def take(signal: Signal) -> None:
        try:
            office.takes(signal)
        except (AlertNotDelivered, ConcurrentUpdate):
            left.append(signal)

    def another_goes_first() -> None:
        if waiting and chance.random() < 0.4:
            take(waiting.pop())
        office.incidents.before_writing = another_goes_first

    office.incidents.before_writing = another_goes_first
    while waiting:
        take(waiting.pop())
    office.incidents.before_writing = lambda: None
    office.clock.advance(180)
    office.takes(*left)
    assert {
        cause: (set(incident.affected), set(incident.still_affected)) for cause, incident in final(office).items()
    } == expected(happening)
    assert len(office.channel.roots) == len(office.incidents.all)
    identities = [alert.identity for alert in office.channel.sent]
    assert len(set(identities)) == len(identities)
    assert all(incident.notice(DEPLOYMENT) is None for incident in office.incidents.all.values())


@settings(max_examples=30, deadline=None)
@given(
    storms(),
    st.lists(st.sampled_from(["refused", "unanswered", "lost", "ok"]), max_size=150),
)
def test_a_channel_that_fails_for_an_hour_in_every_way_loses_and_doubles_nothing(
    storm: tuple[list[Signal], list[Signal]], weather: list[str]
) -> None:
    happening, arriving = storm
    office = Office(RecordingAlertChannel(weather=weather))
    office.takes_until_reported(arriving[:200] + happening)
    assert {cause: set(incident.affected) for cause, incident in final(office).items()} == {
        cause: hit for cause, (hit, _) in expected(happening).items()
    }
    assert len(office.channel.roots) == len(office.incidents.all)
    identities = [alert.identity for alert in office.channel.sent]
    assert len(set(identities)) == len(identities)
    for incident in office.incidents.all.values():
        assert incident.notified
        assert incident.notice(DEPLOYMENT) is None
        (root,) = (post for post in office.channel.roots if post.alert.identity.startswith(f"{incident.identity}/"))
        assert root.shown.title == incident.message(DEPLOYMENT).title
        # In order: the notices of an incident are numbered as they were made.
        numbers = [
            int(post.alert.identity.rpartition("/")[2])
            for post in office.channel.posts
            if post.alert.identity.startswith(f"{incident.identity}/")
        ]
        assert numbers == list(range(len(numbers)))


def test_what_people_were_shown_of_an_incident_that_is_over_changes_too() -> None:
    office = Office(RecordingAlertChannel())
    office.takes(broken("acme", 30, MODEL), broken("acme", 0, S3))
    office.forgets("acme", 60)
    office.takes(well("acme", 61))
    assert all("ended with the tenant" in post.shown.title for post in office.channel.roots)


@settings(max_examples=40, deadline=None)
@given(storms(), st.randoms(use_true_random=False))
def test_the_others_go_on_as_if_the_one_that_is_forgotten_had_never_been_there(
    storm: tuple[list[Signal], list[Signal]], chance: random.Random
) -> None:
    """Whenever it is forgotten, and whatever of it still comes."""
    happening, arriving = storm
    office = Office(RecordingAlertChannel())
    arriving = arriving[:200] + happening
    forgotten_at = chance.randrange(len(arriving))
    office.takes(*arriving[:forgotten_at])
    office.forgets("acme", 60)  # after all that happens
    office.takes(*arriving[forgotten_at:])
    office.takes(well("acme", 61))
    assert forgotten(TenantId("acme"), incidents=office.incidents)
    left = [signal for signal in happening if signal.subject != "acme"]
    without = [incident for incident in office.incidents.all.values() if not incident.erased]
    assert {
        incident.cause.key: (set(incident.affected), set(incident.still_affected)) for incident in without
    } == expected(left)
    assert all(incident.evidence.subject != "acme" for incident in office.incidents.all.values())
    for incident in office.incidents.all.values():
        assert incident.notice(DEPLOYMENT) is None
        words = [post for post in office.channel.roots if post.alert.identity.startswith(f"{incident.identity}/")]
        assert [post.shown.severity for post in words] == [Severity.BROKEN if incident.open else Severity.RECOVERED]
