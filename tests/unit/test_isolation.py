"""A breach is heard: what is not a tenant's own is found, reported once, and over when somebody has looked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbfleet.domain import signals
from kbfleet.domain.deletions import AnsweredFrom
from kbfleet.domain.errors import AccessRefused, RequestRefused, TenantNotActive, Throttled
from kbfleet.domain.failed_documents import IngestedStatus
from kbfleet.domain.finding import Disagreement, ResourceKind
from kbfleet.domain.fleet_overview import Trouble
from kbfleet.domain.incident import SIGNALS_KEPT, Concern
from kbfleet.domain.ingestion_job import JobStatus, Statistics
from kbfleet.domain.isolation import Breach, IsolationVerified, SeenIn
from kbfleet.domain.knowledge_base import DataSource, DataSourceStatus
from kbfleet.domain.names import DataSourceReference, Life, TenantId
from kbfleet.domain.sync import Debounce, Priority, Sync, SyncState
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.workflow import Workflow
from kbfleet.ports import IngestedDocumentPage
from kbfleet.usecases.fleet_overview import see_fleet
from kbfleet.usecases.incidents import IncidentDesk
from kbfleet.usecases.ingestion import note_changes
from kbfleet.usecases.isolation import MAX_DOCUMENT_PAGES, IsolationRound
from kbfleet.usecases.sync_schedule import SyncSchedule
from tests.support.clock import START
from tests.support.failed_documents import PAGE_SIZE
from tests.support.fakes import FailedTask, InMemoryIncidents, JobCourse, RecordingAlertChannel
from tests.support.fleet import EVENTS_AFTER, Fleet
from tests.support.samples import ACME, DEPLOYMENT, NAMES, SAKURA, first_knowledge

A_MINUTE = timedelta(minutes=1)
ANSWER, CREDENTIALS, RESOURCES = SeenIn.ANSWER, SeenIn.CREDENTIALS, SeenIn.RESOURCES


@pytest.fixture
def fleet() -> Fleet:
    """Two tenants with everything that a provisioning makes, and synced."""
    fleet = Fleet()
    for tenant_id in (ACME, SAKURA):
        fleet.store.ensure(first_knowledge(tenant_id))
        source = fleet.add(tenant_id)
        synced = fleet.ledger.find(first_knowledge(tenant_id))
        fleet.ledger.save(
            replace(
                synced,
                requested_generation=1,
                synced_generation=1,
                synced_data_source_id=source.data_source_id,
                answered_from=AnsweredFrom(source.data_source_id, 0, START, START),
            )
        )
    return fleet


def look(fleet: Fleet, *, first: TenantId | None = None, within: timedelta = A_MINUTE) -> IsolationRound:
    tenants = {tenant.tenant_id: tenant for tenant in fleet.registry.all()}
    return fleet.isolation_look.go_round(tenants, until=fleet.clock.now() + within, first=first)


def own(fleet: Fleet, tenant_id: TenantId = ACME) -> DataSourceReference:
    return fleet.registry.get(tenant_id).data_source()


def reading(fleet: Fleet, owner: TenantId) -> dict[str, object]:
    return dict(fleet.store.data_source_configuration(NAMES.bucket(Life(owner))))


def add_in_console(fleet: Fleet, name: str = "quick-test") -> DataSource:
    """A data source of acme's knowledge base that reads sakura's bucket."""
    return fleet.knowledge_bases.create_data_source(
        own(fleet).knowledge_base_id, name, configuration=reading(fleet, SAKURA), client_token=f"{name:-<33}"
    )


def reported(fleet: Fleet) -> IncidentDesk:
    """Has everything that was published so far recorded."""
    desk = IncidentDesk(fleet.incidents, RecordingAlertChannel(), fleet.clock, DEPLOYMENT)
    for breach in fleet.announcements.breaches:
        for signal in signals.of_breach(breach, DEPLOYMENT):
            desk.record(signal)
    for verified in fleet.announcements.verifications:
        for signal in signals.of_isolation_verified(verified):
            desk.record(signal)
    return desk


def open_breach(fleet: Fleet) -> None:
    fleet.announcements.isolation_breached(Breach(ACME, ANSWER, ("knowledge base KB",), fleet.clock.now()))
    reported(fleet)
    fleet.clock.advance(1)


def is_open(fleet: Fleet) -> bool:
    reported(fleet)
    return not fleet.incidents.timeline("acme", Concern.ISOLATION).settled


class TestALook:
    def test_a_fleet_in_order_is_well_and_nothing_is_published(self, fleet: Fleet) -> None:
        assert look(fleet) == IsolationRound((), 2, 0, ())
        assert not fleet.announcements.breaches
        assert not fleet.announcements.verifications

    def test_a_second_data_source_is_named_published_and_written_down(self, fleet: Fleet) -> None:
        added = add_in_console(fleet)
        (finding,) = look(fleet).findings
        assert (finding.kind, finding.name, finding.tenant_id) == (
            ResourceKind.DATA_SOURCE,
            added.data_source_id,
            ACME,
        )
        assert "kbfleet tenant add acme" in finding.advice
        (breach,) = fleet.announcements.breaches
        assert breach.resources == (f"data source {added.data_source_id}",)
        assert fleet.registry.get(ACME).foreign == breach.resources
        assert fleet.registry.get(SAKURA).foreign == ()

    def test_every_data_source_on_every_page_is_looked_at(self, fleet: Fleet) -> None:
        added = {add_in_console(fleet, f"quick-test-{number}").data_source_id for number in range(4)}
        assert {finding.name for finding in look(fleet).findings} == added

    def test_our_own_data_source_that_somebody_has_renamed_is_nobody_elses(self, fleet: Fleet) -> None:
        fleet.knowledge_bases.update_data_source(own(fleet), "our-manuals", configuration=reading(fleet, ACME))
        assert not look(fleet).findings

    def test_a_record_that_names_what_reads_anothers_bucket_makes_it_nobodys_own(self, fleet: Fleet) -> None:
        added = add_in_console(fleet)
        record = fleet.registry.get(ACME)
        fleet.registry.replace(replace(record, data_source_id=added.data_source_id), fence=record.fence)
        assert [finding.name for finding in look(fleet).findings] == [added.data_source_id]

    def test_our_own_data_source_that_reads_anothers_bucket_is_named(self, fleet: Fleet) -> None:
        fleet.knowledge_bases.update_data_source(own(fleet), "documents", configuration=reading(fleet, SAKURA))
        (finding,) = look(fleet).findings
        assert (finding.kind, finding.name) == (ResourceKind.BUCKET, f"of data source {own(fleet).data_source_id}")

    def test_exchanged_records_are_named_and_what_is_right_where_it_is_is_not(self, fleet: Fleet) -> None:
        records = {tenant_id: fleet.registry.get(tenant_id) for tenant_id in (ACME, SAKURA)}
        for tenant_id, other in ((ACME, SAKURA), (SAKURA, ACME)):
            swapped = replace(records[tenant_id], knowledge_base_id=records[other].knowledge_base_id)
            fleet.registry.replace(swapped, fence=swapped.fence)
        findings = look(fleet).findings
        assert {(finding.tenant_id, finding.kind, finding.name) for finding in findings} == {
            (ACME, ResourceKind.KNOWLEDGE_BASE, records[SAKURA].knowledge_base_id),
            (SAKURA, ResourceKind.KNOWLEDGE_BASE, records[ACME].knowledge_base_id),
        }

    def test_an_index_of_somebody_else_is_named(self, fleet: Fleet) -> None:
        fleet.knowledge_bases.vanish(own(fleet).knowledge_base_id)
        theirs = fleet.store.knowledge_base_configuration(fleet.store.ensure(first_knowledge(SAKURA)))
        made = fleet.make_knowledge_base(ACME, "by hand", configuration=theirs)
        record = fleet.registry.get(ACME)
        fleet.registry.replace(replace(record, knowledge_base_id=made.knowledge_base_id), fence=record.fence)
        (finding,) = (each for each in look(fleet, first=ACME).findings if each.disagreement is Disagreement.FOREIGN)
        assert (finding.kind, finding.name) == (
            ResourceKind.VECTOR_INDEX,
            f"of knowledge base {made.knowledge_base_id}",
        )

    def test_a_record_that_names_anothers_bucket_is_named(self, fleet: Fleet) -> None:
        record = fleet.registry.get(ACME)
        fleet.registry.replace(replace(record, bucket_name=NAMES.bucket(Life(SAKURA))), fence=record.fence)
        (finding,) = look(fleet).findings
        assert (finding.kind, finding.name) == (ResourceKind.BUCKET, f"{NAMES.bucket(Life(SAKURA))} in its record")

    def test_tags_that_somebody_removed_are_no_breach(self, fleet: Fleet) -> None:
        fleet.knowledge_bases.untag(own(fleet).knowledge_base_id)
        assert not look(fleet).findings

    @pytest.mark.parametrize("status", [TenantStatus.PROVISIONING, TenantStatus.OFFBOARDING, TenantStatus.OFFBOARDED])
    def test_tenants_that_are_being_changed_are_left_out(self, fleet: Fleet, status: TenantStatus) -> None:
        add_in_console(fleet)
        record = fleet.registry.get(ACME)
        fleet.registry.replace(replace(record, status=status), fence=record.fence)
        assert look(fleet) == IsolationRound((), 1, 0, ())


class TestADataSourceOfOursThatReadsAnothersBucket:
    """Nothing is synced from it until provisioning has put it right."""

    @pytest.fixture
    def fleet(self, fleet: Fleet) -> Fleet:
        fleet.knowledge_bases.update_data_source(own(fleet), "documents", configuration=reading(fleet, SAKURA))
        return fleet

    def test_no_job_is_started_any_more_and_what_was_requested_is_remembered(self, fleet: Fleet) -> None:
        fleet.request(ACME, Priority.CHANGED)
        look(fleet)
        assert fleet.ledger.find(first_knowledge(ACME)).distrusted
        fleet.tick_until_idle()
        assert not fleet.knowledge_bases.jobs
        assert fleet.ledger.find(first_knowledge(ACME)).pending_changes

    def test_a_job_that_runs_is_followed_to_its_end_and_nothing_comes_behind_it(self, fleet: Fleet) -> None:
        fleet.request(ACME)
        fleet.tick()
        note_changes(
            Life(ACME),
            registry=fleet.registry,
            ledger=fleet.ledger,
            ticks=fleet.ticks,
            clock=fleet.clock,
            debounce=Debounce(A_MINUTE, A_MINUTE),
        )
        look(fleet)
        fleet.clock.advance(600)
        fleet.tick_until_idle()
        entry = fleet.ledger.find(first_knowledge(ACME))
        assert (entry.job, entry.state, len(fleet.knowledge_bases.jobs)) == (None, SyncState.IDLE, 1)
        assert not entry.has_synced(own(fleet).data_source_id)

    def test_a_job_that_read_anothers_bucket_makes_the_tenant_not_fresh(self, fleet: Fleet) -> None:
        fleet.request(ACME)
        fleet.tick()
        look(fleet)
        fleet.clock.advance(600)
        fleet.tick_until_idle()
        entry = fleet.ledger.find(first_knowledge(ACME))
        assert (entry.pending_changes, entry.synced_at) == (True, None)

    @pytest.mark.parametrize("running", [False, True])
    def test_an_execution_that_waits_for_a_sync_is_failed(self, fleet: Fleet, running: bool) -> None:
        entry = fleet.ledger.find(first_knowledge(ACME)).requested(fleet.clock.now(), Priority.REQUESTED, "token")
        fleet.ledger.save(entry)
        if running:
            fleet.tick()
        look(fleet)
        assert fleet.ledger.find(first_knowledge(ACME)).waiters == ()
        fleet.clock.advance(600)
        fleet.tick_until_idle()
        answer = fleet.callbacks.answer("token")
        assert isinstance(answer, FailedTask)
        assert answer.error == "DataSourceFailed"

    def test_whoever_asks_for_a_sync_learns_what_to_do_and_changes_are_noted(self, fleet: Fleet) -> None:
        look(fleet)
        with pytest.raises(TenantNotActive, match="kbfleet tenant add acme"):
            fleet.request(ACME)

    def test_the_overview_says_what_puts_it_right_until_it_is(self, fleet: Fleet) -> None:
        def troubles() -> list[Trouble]:
            seen = see_fleet(
                records=fleet.fleet_records, clock=fleet.clock, start_interval=A_MINUTE, stale_after=A_MINUTE
            )
            return [each for each in seen.troubles if each.tenant_id == ACME]

        look(fleet)
        assert [each.command for each in troubles()] == ["kbfleet tenant show acme"]
        # Whoever could not write the finding into the record any more has barred the sync before.
        record = fleet.registry.get(ACME)
        fleet.registry.replace(replace(record, within=()), fence=record.fence)
        (trouble,) = troubles()
        assert trouble.command == "kbfleet tenant add acme"
        fleet.knowledge_bases.update_data_source(own(fleet), "documents", configuration=reading(fleet, ACME))
        fleet.ledger.save(fleet.ledger.find(first_knowledge(ACME)).trusted_again(fleet.clock.now()))
        assert troubles() == []

    def test_neither_the_schedule_nor_a_resumption_has_it_synced(self, fleet: Fleet) -> None:
        look(fleet)
        schedule = SyncSchedule(
            fleet.registry,
            fleet.ledger,
            fleet.fleet_records,
            fleet.ticks,
            fleet.clock,
            timedelta(hours=1),
            timedelta(seconds=10),
            A_MINUTE,
            EVENTS_AFTER,
        )
        fleet.clock.advance(timedelta(days=1).total_seconds())
        assert ACME not in schedule.run().requested
        entry = fleet.ledger.find(first_knowledge(ACME)).put_on_hold(fence=5).taken_off_hold(fleet.clock.now(), fence=6)
        assert entry.requested(fleet.clock.now(), Priority.REQUESTED).state is SyncState.IDLE

    def test_one_that_somebody_has_put_right_by_hand_is_named_until_provisioning_trusts_it(self, fleet: Fleet) -> None:
        look(fleet)
        fleet.knowledge_bases.update_data_source(own(fleet), "documents", configuration=reading(fleet, ACME))
        for _ in range(2):
            (finding,) = look(fleet).findings
            assert finding.kind is ResourceKind.DOCUMENTS
            assert own(fleet).data_source_id in finding.name
            assert "kbfleet tenant add acme" in finding.advice
            assert fleet.registry.get(ACME).foreign == (str(finding),)
            fleet.clock.advance(timedelta(days=1).total_seconds())
            assert is_open(fleet)
        fleet.ledger.save(fleet.ledger.find(first_knowledge(ACME)).trusted_again(fleet.clock.now()))
        fleet.tick_until_idle()
        assert not look(fleet).findings
        assert not is_open(fleet)

    def test_one_that_provisioning_puts_right_at_that_moment_is_not_distrusted_for_it(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wanted, described = reading(fleet, ACME), fleet.knowledge_bases.data_source
        find = fleet.ledger.find

        def put_right_meanwhile(data_source: DataSourceReference) -> DataSource | None:
            found = described(data_source)
            if data_source == own(fleet):
                fleet.knowledge_bases.update_data_source(data_source, "documents", configuration=wanted)
            return found

        monkeypatch.setattr(fleet.knowledge_bases, "data_source", put_right_meanwhile)
        look(fleet)
        assert not find(first_knowledge(ACME)).distrusted

    def test_nor_is_one_whose_entry_provisioning_has_written_meanwhile(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        find = fleet.ledger.find

        def trusted_meanwhile(tenant_id: TenantId) -> Sync:
            monkeypatch.setattr(fleet.ledger, "find", find)
            read = find(first_knowledge(tenant_id))
            fleet.ledger.save(read.not_to_be_trusted())
            fleet.ledger.save(find(first_knowledge(tenant_id)).trusted_again(fleet.clock.now()))
            return read

        monkeypatch.setattr(fleet.ledger, "find", trusted_meanwhile)
        look(fleet)
        assert not find(first_knowledge(ACME)).distrusted


class TestARecordedDataSourceThatReadsAnothersBucketAndHasAnotherName:
    """Jobs are started from what the record names, whatever that is called."""

    @pytest.fixture
    def fleet(self, fleet: Fleet) -> Fleet:
        fleet.knowledge_bases.update_data_source(own(fleet), "harmless", configuration=reading(fleet, SAKURA))
        return fleet

    def beside_a_good_one(self, fleet: Fleet) -> DataSource:
        return fleet.knowledge_bases.create_data_source(
            own(fleet).knowledge_base_id, "documents", configuration=reading(fleet, ACME), client_token="x" * 33
        )

    @pytest.mark.parametrize("beside_a_good_one", [False, True])
    def test_no_job_is_started_from_it(self, fleet: Fleet, beside_a_good_one: bool) -> None:
        if beside_a_good_one:
            self.beside_a_good_one(fleet)
        (finding,) = look(fleet).findings
        assert finding.name == own(fleet).data_source_id
        fleet.note_changes(ACME)
        with pytest.raises(TenantNotActive, match="kbfleet tenant add acme"):
            fleet.request(ACME)
        fleet.clock.advance(400)
        fleet.tick_until_idle()
        assert not fleet.knowledge_bases.jobs

    def test_it_is_distrusted_also_where_a_list_does_not_show_it(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fleet.knowledge_bases, "data_sources", lambda _: [])
        assert [finding.name for finding in look(fleet).findings] == [own(fleet).data_source_id]
        assert fleet.ledger.find(first_knowledge(ACME)).distrusted

    def test_not_where_the_record_has_come_to_name_another_meanwhile(self, fleet: Fleet) -> None:
        good = self.beside_a_good_one(fleet)
        seen = {tenant.tenant_id: tenant for tenant in fleet.registry.all()}
        fleet.registry.replace(replace(seen[ACME], data_source_id=good.data_source_id), fence=seen[ACME].fence)
        fleet.isolation_look.go_round(seen, until=fleet.clock.now() + A_MINUTE, first=None)
        assert not fleet.ledger.find(first_knowledge(ACME)).distrusted

    def test_what_a_list_still_shows_and_is_gone_is_no_breach(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        listed = fleet.knowledge_bases.data_sources(own(fleet).knowledge_base_id)
        monkeypatch.setattr(fleet.knowledge_bases, "data_sources", lambda _: listed)
        monkeypatch.setattr(fleet.knowledge_bases, "data_source", lambda _: None)
        assert not look(fleet, first=ACME, within=timedelta(0)).findings


class TestARound:
    def test_what_time_did_not_suffice_for_is_said_and_comes_next(self, fleet: Fleet) -> None:
        add_in_console(fleet)
        assert look(fleet, within=timedelta(0)).not_looked_into == 1
        assert look(fleet, within=timedelta(0)).findings == ()  # sakura's
        assert len(look(fleet, within=timedelta(0)).findings) == 1

    def test_a_tenant_can_be_first_wherever_the_round_is(self, fleet: Fleet) -> None:
        look(fleet, within=timedelta(0))
        add_in_console(fleet)
        found = look(fleet, first=ACME, within=timedelta(0))
        assert (len(found.findings), found.not_looked_into) == (1, 1)

    def test_one_that_cannot_be_looked_into_holds_up_nobody_and_is_not_called_well(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fleet.clock.advance(1)
        get, refused = fleet.knowledge_bases.get, AccessRefused("no")
        monkeypatch.setattr(
            fleet.knowledge_bases, "get", lambda of: get(of) if of != own(fleet).knowledge_base_id else _raise(refused)
        )
        assert look(fleet) == IsolationRound((), 1, 1, ((ACME, refused),))

    def test_throttling_ends_it_and_the_next_begins_behind_that_tenant(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add_in_console(fleet)
        with monkeypatch.context() as patched:
            patched.setattr(fleet.knowledge_bases, "get", lambda _: _raise(Throttled("too fast")))
            assert look(fleet).not_looked_into == 2
        assert look(fleet, within=timedelta(0)).findings == ()  # sakura's
        assert len(look(fleet, within=timedelta(0)).findings) == 1

    def test_one_tenant_that_is_throttled_at_each_look_keeps_nobody_from_one(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        open_breach(fleet)
        monkeypatch.setattr(fleet.ingested_documents, "pages", lambda *_: _raise(Throttled("five a second")))
        added = fleet.knowledge_bases.create_data_source(
            own(fleet, SAKURA).knowledge_base_id,
            "quick-test",
            configuration=reading(fleet, ACME),
            client_token="y" * 33,
        )
        named = [finding.name for _ in range(3) for finding in look(fleet).findings]
        assert added.data_source_id in named

    def test_one_whose_data_source_does_not_say_what_it_reads_is_neither_well_nor_distrusted(
        self, fleet: Fleet
    ) -> None:
        found = fleet.knowledge_bases.data_source(own(fleet))
        assert found is not None
        silent = replace(found, configuration={})
        fleet.knowledge_bases.set_data_source(own(fleet).knowledge_base_id, silent)
        added = add_in_console(fleet)
        looked = look(fleet)
        assert [finding.name for finding in looked.findings] == [added.data_source_id]
        fleet.knowledge_bases.delete_data_source(replace(own(fleet), data_source_id=added.data_source_id))
        fleet.clock.advance(60)
        looked = look(fleet)
        assert looked.findings == ()
        assert [(tenant_id, "does not say" in str(why)) for tenant_id, why in looked.troubles] == [(ACME, True)]
        assert fleet.registry.get(ACME).foreign  # what is known to have been there stays until a whole look
        assert not fleet.ledger.find(first_knowledge(ACME)).distrusted
        assert len(fleet.announcements.breaches) == 1

    def test_one_that_somebody_has_set_otherwise_is_named_and_is_no_breach(self, fleet: Fleet) -> None:
        s3 = {"bucketArn": f"arn:aws:s3:::{NAMES.bucket(Life(ACME))}", "inclusionPrefixes": ["public/"]}
        narrowed = {"type": "S3", "s3Configuration": s3}
        fleet.knowledge_bases.update_data_source(own(fleet), "documents", configuration=narrowed)
        (finding,) = look(fleet).findings
        assert (finding.disagreement, finding.name) == (Disagreement.CHANGED, own(fleet).data_source_id)
        assert "kbfleet tenant add acme" in finding.advice
        assert not fleet.announcements.breaches
        assert fleet.registry.get(ACME).foreign == ()

    def test_one_that_reads_in_a_way_that_nobody_can_change_is_drift_until_it_is_gone(self, fleet: Fleet) -> None:
        def read_as(ingestion: dict[str, object]) -> None:
            reference = own(fleet)
            stored = fleet.knowledge_bases._stored(reference.knowledge_base_id).data_sources
            stored[reference.data_source_id] = replace(stored[reference.data_source_id], ingestion=ingestion)

        of_the_base = "Knowledge base KB00000001 was made with another model."
        known = fleet.registry.get(ACME)
        fleet.registry.replace(replace(known, drift=(of_the_base,)), fence=known.fence)
        read_as({"parsingConfiguration": {"parsingStrategy": "BEDROCK_DATA_AUTOMATION"}})
        assert look(fleet).findings == ()
        kept, drift = fleet.registry.get(ACME).drift
        assert kept == of_the_base
        assert "BEDROCK_DATA_AUTOMATION" in drift
        assert "Bedrock's default" in drift
        read_as({})
        fleet.clock.advance(60)
        look(fleet)
        assert fleet.registry.get(ACME).drift == (of_the_base,)


def _raise(error: Exception) -> None:
    raise error


class TestWhenItIsOver:
    def test_a_look_that_finds_nothing_any_more_ends_it(self, fleet: Fleet) -> None:
        open_breach(fleet)
        assert is_open(fleet)
        look(fleet)
        assert not is_open(fleet)

    def test_silence_ends_nothing(self, fleet: Fleet) -> None:
        open_breach(fleet)
        fleet.clock.advance(timedelta(days=60).total_seconds())
        assert is_open(fleet)

    def test_a_look_before_the_last_sighting_ends_nothing(self, fleet: Fleet) -> None:
        open_breach(fleet)
        look(fleet)
        fleet.clock.advance(1)
        open_breach(fleet)
        assert is_open(fleet)

    def test_it_is_open_while_the_index_lists_a_document_of_another_bucket(self, fleet: Fleet) -> None:
        fleet.ingested_documents.set(f"s3://{NAMES.bucket(Life(ACME))}/own.md", IngestedStatus.INDEXED)
        fleet.ingested_documents.set(f"s3://{NAMES.bucket(Life(SAKURA))}/secret plans.md", IngestedStatus.INDEXED)
        assert not look(fleet).findings  # without an open breach, documents are not listed
        open_breach(fleet)
        (finding,) = look(fleet).findings
        assert finding.kind is ResourceKind.DOCUMENTS
        assert "secret" not in f"{finding} {fleet.announcements.breaches}"
        assert is_open(fleet)

    def has_documents(self, fleet: Fleet, pages: int) -> None:
        fleet.passage_search.uris = [f"s3://{NAMES.bucket(Life(ACME))}/0.md"]
        for number in range(pages * PAGE_SIZE):
            fleet.ingested_documents.set(f"s3://{NAMES.bucket(Life(ACME))}/{number}.md", IngestedStatus.INDEXED)

    def lists_nothing(self, fleet: Fleet) -> None:
        """As knowledge bases of type MANAGED may."""
        fleet.ingested_documents.lists = False
        fleet.passage_search.uris = [f"s3://{NAMES.bucket(Life(ACME))}/own.md"]

    def looks(self, fleet: Fleet) -> int:
        """How many it takes until the incident is over."""
        for number in range(1, 10):
            look(fleet)
            fleet.clock.advance(60)
            if not is_open(fleet):
                return number
        raise AssertionError("it does not end")

    def test_a_long_list_is_read_on_where_the_last_look_stopped_and_ends_it_at_its_end(self, fleet: Fleet) -> None:
        self.has_documents(fleet, 3 * MAX_DOCUMENT_PAGES)
        open_breach(fleet)
        began = fleet.clock.now()
        assert self.looks(fleet) == 3
        assert fleet.ingested_documents.pages_read == 3 * MAX_DOCUMENT_PAGES
        # What was seen since the list was begun is not answered by it.
        assert [verified.occurred_at for verified in fleet.announcements.verifications] == [began]
        assert fleet.document_rounds.find(ACME) is None

    def test_whatever_is_seen_while_a_long_list_is_read_begins_it_anew(self, fleet: Fleet) -> None:
        self.has_documents(fleet, 2 * MAX_DOCUMENT_PAGES)
        open_breach(fleet)
        look(fleet)
        fleet.clock.advance(1)
        open_breach(fleet)
        assert self.looks(fleet) == 2

    def test_a_document_of_another_bucket_behind_the_first_pages_is_found(self, fleet: Fleet) -> None:
        self.has_documents(fleet, MAX_DOCUMENT_PAGES)
        fleet.ingested_documents.set(f"s3://{NAMES.bucket(Life(SAKURA))}/secret.md", IngestedStatus.INDEXED)
        open_breach(fleet)
        assert not look(fleet).findings
        fleet.clock.advance(60)
        assert [finding.kind for finding in look(fleet).findings] == [ResourceKind.DOCUMENTS]

    def test_a_list_of_a_data_source_that_is_gone_is_not_read_on(self, fleet: Fleet) -> None:
        self.has_documents(fleet, 2 * MAX_DOCUMENT_PAGES)
        open_breach(fleet)
        look(fleet)
        document_round = fleet.document_rounds.find(ACME)
        assert document_round is not None
        fleet.document_rounds.save(ACME, replace(document_round, data_source_id="DSANOTHER0"))
        fleet.clock.advance(60)
        assert self.looks(fleet) == 2

    def test_places_that_do_not_live_until_the_next_look_have_the_list_read_in_one(self, fleet: Fleet) -> None:
        self.has_documents(fleet, 3 * MAX_DOCUMENT_PAGES)
        open_breach(fleet)
        look(fleet)
        fleet.ingested_documents.forget_pages()
        fleet.clock.advance(60)
        assert self.looks(fleet) == 1

    def test_but_no_longer_than_a_look_may_take(self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
        self.has_documents(fleet, 3 * MAX_DOCUMENT_PAGES)
        open_breach(fleet)
        look(fleet)
        fleet.ingested_documents.forget_pages()
        pages, read = fleet.ingested_documents.pages, fleet.ingested_documents.pages_read

        def slow(data_source: DataSourceReference, after: str | None = None) -> Iterator[IngestedDocumentPage]:
            for page in pages(data_source, after):
                fleet.clock.advance(1)
                yield page

        monkeypatch.setattr(fleet.ingested_documents, "pages", slow)
        look(fleet)
        assert fleet.ingested_documents.pages_read - read == A_MINUTE.total_seconds()
        assert is_open(fleet)

    def test_throttling_in_the_middle_of_a_list_loses_nothing_that_was_read(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.has_documents(fleet, MAX_DOCUMENT_PAGES)
        open_breach(fleet)
        pages = fleet.ingested_documents.pages

        def throttled(data_source: DataSourceReference, after: str | None = None) -> Iterator[IngestedDocumentPage]:
            yield from islice(pages(data_source, after), MAX_DOCUMENT_PAGES // 2)
            raise Throttled("five a second")

        with monkeypatch.context() as patched:
            patched.setattr(fleet.ingested_documents, "pages", throttled)
            assert look(fleet).not_looked_into > 0
        fleet.clock.advance(60)
        look(fleet)
        assert not is_open(fleet)
        assert fleet.ingested_documents.pages_read == MAX_DOCUMENT_PAGES

    def test_a_list_that_breaks_off_is_no_list_that_cannot_be_had(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.has_documents(fleet, MAX_DOCUMENT_PAGES)
        open_breach(fleet)
        fleet.request(ACME)
        fleet.tick_until_idle()  # would stand for the list
        pages = fleet.ingested_documents.pages

        def broken(data_source: DataSourceReference, after: str | None = None) -> Iterator[IngestedDocumentPage]:
            yield next(pages(data_source, after))
            raise RequestRefused("The pagination token is not valid.")

        monkeypatch.setattr(fleet.ingested_documents, "pages", broken)
        fleet.clock.advance(60)
        look(fleet)
        assert is_open(fleet)

    def test_a_list_that_cannot_be_had_is_stood_for_by_a_sync_since(self, fleet: Fleet) -> None:
        self.lists_nothing(fleet)
        fleet.request(ACME)
        fleet.tick()  # reads the bucket before it is seen
        fleet.clock.advance(1)
        open_breach(fleet)
        fleet.tick_until_idle()
        look(fleet)
        assert is_open(fleet)
        fleet.request(ACME)
        fleet.tick()
        job = fleet.ledger.find(first_knowledge(ACME)).job
        assert job is not None
        fleet.tick_until_idle()
        look(fleet)
        assert not is_open(fleet)
        assert fleet.announcements.verifications[-1].occurred_at == job.started_at

    @pytest.mark.parametrize("outcome", [JobStatus.FAILED, JobStatus.STOPPED, JobStatus.COMPLETE])
    def test_but_not_by_one_that_left_something_undone(self, fleet: Fleet, outcome: JobStatus) -> None:
        self.lists_nothing(fleet)
        open_breach(fleet)
        course = JobCourse(outcome, statistics=Statistics(scanned=2, failed=1))
        fleet.knowledge_bases.plan(own(fleet).knowledge_base_id, course)
        fleet.request(ACME)
        fleet.tick_until_idle()
        look(fleet)
        assert is_open(fleet)

    @pytest.mark.parametrize("by", ["console", "schedule"])
    def test_nor_by_one_that_read_another_bucket_although_it_was_put_back_since(self, fleet: Fleet, by: str) -> None:
        self.lists_nothing(fleet)
        open_breach(fleet)
        fleet.knowledge_bases.update_data_source(own(fleet), "documents", configuration=reading(fleet, SAKURA))
        if by == "console":
            fleet.knowledge_bases.start_in_console(own(fleet))
            fleet.external_jobs.find()
        else:
            fleet.request(ACME, Priority.CHANGED)
        fleet.tick_until_idle()
        fleet.knowledge_bases.update_data_source(own(fleet), "documents", configuration=reading(fleet, ACME))
        fleet.clock.advance(60)
        (tenant_id, why) = look(fleet).troubles[0]
        assert is_open(fleet)
        assert (tenant_id, "no whole job" in str(why)) == (ACME, True)
        fleet.request(ACME)
        fleet.tick_until_idle()
        fleet.clock.advance(60)
        look(fleet)
        assert not is_open(fleet)

    def test_nor_by_one_that_somebody_else_started(self, fleet: Fleet) -> None:
        self.lists_nothing(fleet)
        open_breach(fleet)
        fleet.knowledge_bases.start_in_console(own(fleet))
        fleet.external_jobs.find()
        fleet.tick_until_idle()
        look(fleet)
        assert is_open(fleet)

    def test_nor_by_one_whose_data_source_deletes_nothing(self, fleet: Fleet) -> None:
        self.lists_nothing(fleet)
        open_breach(fleet)
        kept = {**reading(fleet, ACME), "deletionProtectionConfiguration": {"deletionProtectionStatus": "ENABLED"}}
        fleet.knowledge_bases.update_data_source(own(fleet), "documents", configuration=kept)
        fleet.clock.advance(1)
        fleet.request(ACME)
        fleet.tick_until_idle()
        assert [finding.disagreement for finding in look(fleet).findings] == [Disagreement.CHANGED]
        assert is_open(fleet)

    def test_credentials_that_still_open_nothing_end_nothing(self, fleet: Fleet) -> None:
        fleet.announcements.isolation_breached(Breach(ACME, CREDENTIALS, ("knowledge base KB",), fleet.clock.now()))
        reported(fleet)
        fleet.clock.advance(1)
        fleet.passage_search.refusal = AccessRefused("not authorized to perform: bedrock:Retrieve")
        look(fleet)
        assert is_open(fleet)
        fleet.passage_search.refusal = None
        look(fleet)
        assert not is_open(fleet)

    def test_passages_that_a_data_source_has_left_behind_keep_it_open_and_are_named(self, fleet: Fleet) -> None:
        fleet.passage_search.uris = [
            f"s3://{NAMES.bucket(Life(ACME))}/own.md",
            f"s3://{NAMES.bucket(Life(SAKURA))}/secret.md",
        ]
        assert not look(fleet).findings  # without an open breach, nothing is searched
        open_breach(fleet)
        (finding,) = look(fleet).findings
        assert (finding.kind, finding.name) == (
            ResourceKind.PASSAGES,
            f"of knowledge base {own(fleet).knowledge_base_id}",
        )
        assert "secret" not in f"{finding} {fleet.announcements.breaches}"
        assert is_open(fleet)

    def test_a_search_that_cannot_answer_ends_nothing_and_the_look_says_so(self, fleet: Fleet) -> None:
        fleet.passage_search.whole = False
        open_breach(fleet)
        looked = look(fleet)
        assert not looked.findings
        assert ["may not find all" in str(why) for _, why in looked.troubles] == [True]
        assert is_open(fleet)

    @pytest.mark.parametrize("uri", [f"s3://{NAMES.bucket(Life(ACME))}/own.md", ""])
    def test_what_a_former_data_source_has_left_behind_and_what_names_no_document_are_named(
        self, fleet: Fleet, uri: str
    ) -> None:
        fleet.passage_search.uris = [uri]
        fleet.passage_search.whole, fleet.passage_search.left_behind = False, bool(uri)
        open_breach(fleet)
        assert [finding.kind for finding in look(fleet).findings] == [ResourceKind.PASSAGES]
        assert is_open(fleet)

    @pytest.mark.parametrize("lists", [True, False])
    def test_that_nothing_is_found_where_there_may_be_documents_ends_nothing(self, fleet: Fleet, lists: bool) -> None:
        fleet.ingested_documents.set(f"s3://{NAMES.bucket(Life(ACME))}/own.md", IngestedStatus.INDEXED)
        fleet.ingested_documents.lists = lists
        open_breach(fleet)
        fleet.request(ACME)
        fleet.tick_until_idle()
        look(fleet)
        assert is_open(fleet)
        fleet.passage_search.uris = [f"s3://{NAMES.bucket(Life(ACME))}/own.md"]
        look(fleet)
        assert not is_open(fleet)

    def test_an_index_that_was_not_synced_since_it_was_put_right_ends_nothing(self, fleet: Fleet) -> None:
        fleet.ledger.save(fleet.ledger.find(first_knowledge(ACME)).not_to_be_trusted())
        open_breach(fleet)
        look(fleet)
        assert is_open(fleet)

    def test_what_the_record_says_is_foreign_stays_until_a_whole_look(self, fleet: Fleet) -> None:
        added = add_in_console(fleet)
        look(fleet)
        gone = replace(added, status=DataSourceStatus.DELETING)
        fleet.knowledge_bases.set_data_source(own(fleet).knowledge_base_id, gone)
        fleet.knowledge_bases.delete_data_source(replace(own(fleet), data_source_id=added.data_source_id))
        assert fleet.registry.get(ACME).foreign
        fleet.clock.advance(60)
        look(fleet)
        assert fleet.registry.get(ACME).foreign == ()


class TestTheIncident:
    def breach(self, second: int, seen_in: SeenIn = ANSWER, tenant_id: TenantId = ACME) -> Breach:
        return Breach(tenant_id, seen_in, ("knowledge base KB00000001",), START + timedelta(seconds=second))

    def desk(self) -> tuple[IncidentDesk, RecordingAlertChannel, InMemoryIncidents]:
        fleet, channel, incidents = Fleet(), RecordingAlertChannel(), InMemoryIncidents()
        return IncidentDesk(incidents, channel, fleet.clock, DEPLOYMENT), channel, incidents

    def hear(self, desk: IncidentDesk, *breaches: Breach) -> set[str]:
        return {
            identity
            for breach in breaches
            for signal in signals.of_breach(breach, DEPLOYMENT)
            for identity in desk.record(signal)
        }

    def test_a_hundred_refused_answers_and_what_a_look_finds_are_one_incident_and_one_message(self) -> None:
        desk, channel, _ = self.desk()
        (identity,) = self.hear(desk, *map(self.breach, range(100)), self.breach(100, RESOURCES))
        desk.notify(identity)
        assert self.hear(desk, *map(self.breach, range(101, 110))) == {identity}
        desk.notify(identity)
        (message,) = channel.sent
        assert message.title == "acme: something within its reach is not its own"
        assert "kbfleet tenant add acme" in message.command

    def test_more_than_are_kept_neither_move_its_beginning_nor_grow_the_record(self) -> None:
        desk, _, incidents = self.desk()
        (identity,) = self.hear(desk, *map(self.breach, range(SIGNALS_KEPT + 50)))
        incident = incidents.find(identity)
        assert incident is not None
        assert incident.opened_at == START
        assert len(incidents.timeline("acme", Concern.ISOLATION).entries) == 2

    @given(st.permutations([*range(0, 10), 20, 21]), st.integers(0, 10))
    def test_the_order_in_which_they_are_heard_makes_no_difference_to_whether_it_is_open(
        self, order: list[int], at: int
    ) -> None:
        desk, _, incidents = self.desk()
        for number, second in enumerate(order):
            if number == at:
                for signal in signals.of_isolation_verified(IsolationVerified(ACME, START + timedelta(seconds=15))):
                    desk.record(signal)
            self.hear(desk, self.breach(second))
        timeline = incidents.timeline("acme", Concern.ISOLATION)
        assert timeline.broken_since is not None
        assert timeline.broken_since >= START + timedelta(seconds=20)

    def test_what_a_look_has_named_stays_in_the_message(self) -> None:
        desk, _, incidents = self.desk()
        found = replace(self.breach(0, RESOURCES), resources=("data source DS00000009",))
        (identity,) = self.hear(desk, found, self.breach(1))
        incident = incidents.find(identity)
        assert incident is not None
        assert ("Not its own", "data source DS00000009") in incident.evidence.facts

    def test_each_tenant_has_an_incident_of_its_own(self) -> None:
        desk, _, _ = self.desk()
        assert len(self.hear(desk, self.breach(0), self.breach(1, tenant_id=SAKURA))) == 2

    def test_credentials_that_open_nothing_for_anybody_are_one_incident(self) -> None:
        desk, channel, _ = self.desk()
        (identity,) = self.hear(
            desk, self.breach(0, CREDENTIALS), self.breach(1, CREDENTIALS, SAKURA), self.breach(2, RESOURCES)
        )
        desk.notify(identity)
        assert channel.sent[0].title == "2 tenants: credentials do not open the knowledge bases that the records name"

    def test_its_end_is_reported_once(self) -> None:
        desk, channel, _ = self.desk()
        (identity,) = self.hear(desk, self.breach(0))
        desk.notify(identity)
        for _ in range(2):
            for signal in signals.of_isolation_verified(IsolationVerified(ACME, START + timedelta(minutes=5))):
                desk.record(signal)
            desk.notify(identity)
        assert [alert.identity.rsplit("/", 1)[-1] for alert in channel.sent] == ["0", "1"]
        assert channel.sent[-1].title.startswith("Over: acme")

    @pytest.mark.parametrize(("seen_in", "claimed"), [(ANSWER, True), (CREDENTIALS, True), (RESOURCES, False)])
    def test_it_claims_that_nothing_was_shown_only_where_that_is_known(self, seen_in: SeenIn, claimed: bool) -> None:
        (signal,) = signals.of_breach(self.breach(0, seen_in), DEPLOYMENT)
        assert signal.failure is not None
        assert ("was shown" in signal.failure.evidence.advice) is claimed

    def test_it_ends_with_the_tenants_offboarding(self) -> None:
        ended = signals.of_workflow_success(ACME, Workflow.OFFBOARD_TENANT, "run", START)
        assert Concern.ISOLATION in {signal.concern for signal in ended}
