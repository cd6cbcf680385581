"""Why a document is not found: each fault is seeded in a fleet in memory, and the hop that it breaks is named."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest

from bedrock_emulator.reading.text_extraction import extractor
from kbfleet.domain.document_examination import DocumentFault, DocumentFinding, Examination
from kbfleet.domain.document_trace import (
    BYTES_A_CHARACTER,
    MANY_BYTES,
    DocumentTrace,
    HopName,
    ObjectKey,
    Verdict,
)
from kbfleet.domain.errors import InvalidInput, TenantNotFound
from kbfleet.domain.failed_documents import DocumentObject, FailedDocument, FailureStatus, IngestedStatus
from kbfleet.domain.ingestion_job import FailureReason, JobStatus, Statistics
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.profiles import Answering, Embedding, Ingestion, Parser, ParserKind, Profile, ProfileName
from kbfleet.domain.sync import Priority
from kbfleet.domain.tenant_status import TenantStatus
from tests.support.clock import START
from tests.support.fakes import JobCourse
from tests.support.fleet import Fleet
from tests.support.samples import ACME, NAMES, SAKURA, failure_reason, first_knowledge, provisioning_failure, tenant

Form = Literal["NFC", "NFD"]
KEY = ObjectKey("規程/就業 規則.pdf")
URI = f"s3://{NAMES.bucket(Life(ACME))}/{KEY}"
SAMPLES = Path(__file__).parents[2] / "local" / "samples"
OTHERS = [TenantId(f"other-{number}") for number in range(5)]


@pytest.fixture
def fleet() -> Fleet:
    """With an active tenant that was synced before."""
    fleet = Fleet()
    fleet.buckets.ensure(NAMES.bucket(Life(ACME)), NAMES.tags(Life(ACME)))
    fleet.add(ACME)
    fleet.request(ACME)
    fleet.tick_until_idle()
    fleet.clock.advance(3600)
    return fleet


def upload(fleet: Fleet, *, size: int = 1_000, metadata_bytes: int | None = None) -> None:
    fleet.bucket_contents.put(URI, "2", DocumentObject(fleet.clock.now(), size, metadata_bytes))


def indexed(fleet: Fleet) -> None:
    fleet.ingested_documents.set(URI, IngestedStatus.INDEXED)
    fleet.retrieval_probe.findable.add(URI)


def plan(fleet: Fleet, course: JobCourse) -> None:
    fleet.knowledge_bases.plan(str(fleet.registry.get(ACME).knowledge_base_id), course)


def traced(fleet: Fleet) -> DocumentTrace:
    return fleet.document_tracer.trace(ACME, KEY)


def stuck(fleet: Fleet) -> tuple[HopName, Verdict, str]:
    """Where, whether by itself, and all that is said."""
    hop = traced(fleet).stuck_at
    assert hop is not None
    assert hop.verdict is Verdict.WAITING or hop.advice
    return hop.name, hop.verdict, f"{hop.finding} {hop.advice}"


VISION = "apac.amazon.nova-pro-v1:0"


def give_a_parser(fleet: Fleet, kind: ParserKind = ParserKind.FOUNDATION_MODEL) -> None:
    """The tenant has a profile, by which a model reads pages, or Bedrock's own parser does."""
    parser = Parser(kind, VISION if kind is ParserKind.FOUNDATION_MODEL else None)
    ingestion = Ingestion("S3_VECTORS", Embedding("amazon.titan-embed-text-v2:0", 1_024), parser)
    office = Profile(ProfileName("office"), 1, ingestion, Answering("amazon.nova-lite-v1:0"))
    fleet.profiles.records.add(office)
    stored = fleet.registry.get(ACME)
    fleet.registry.replace(replace(stored, profile=office.reference), fence=stored.fence)


class TestADocumentThatAModelWasToRead:
    @pytest.fixture
    def fleet(self, fleet: Fleet) -> Fleet:
        upload(fleet, size=2_000_000)
        fleet.request(ACME)
        fleet.tick_until_idle()
        indexed(fleet)
        return fleet

    @pytest.mark.parametrize("characters", [0, 1, 999])
    def test_that_hardly_any_text_came_of_it_is_told_with_what_to_do(self, fleet: Fleet, characters: int) -> None:
        give_a_parser(fleet)
        fleet.retrieval_probe.characters = characters
        trace = traced(fleet)
        assert trace.stuck_at is None  # it is found
        last = trace.hops[-1]
        assert f"only {characters:,} characters came of its 2,000,000 bytes. Model {VISION}" in last.finding
        assert "kbfleet doctor" in last.advice
        assert "kbfleet documents delete acme KEY" in last.advice

    @pytest.mark.parametrize("characters", [1_000, None])
    def test_one_with_text_or_with_more_passages_than_were_given_is_well(
        self, fleet: Fleet, characters: int | None
    ) -> None:
        give_a_parser(fleet)
        fleet.retrieval_probe.characters = characters
        assert "only" not in traced(fleet).hops[-1].finding

    @pytest.mark.parametrize("kind", [ParserKind.DEFAULT, None])
    def test_where_no_model_was_to_read_it_nothing_is_told(self, fleet: Fleet, kind: ParserKind | None) -> None:
        if kind is not None:
            give_a_parser(fleet, kind)
        fleet.retrieval_probe.characters = 1
        assert "only" not in traced(fleet).hops[-1].finding

    def test_a_small_one_is_not_judged(self, fleet: Fleet) -> None:
        give_a_parser(fleet)
        upload(fleet, size=MANY_BYTES - 1)
        fleet.request(ACME)
        fleet.tick_until_idle()
        indexed(fleet)
        fleet.retrieval_probe.characters = 1
        assert "only" not in traced(fleet).hops[-1].finding


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*/*.pdf")), ids=lambda path: path.name)
def test_no_sample_document_comes_near_to_what_is_told(path: Path) -> None:
    read = extractor(path.name)
    assert read is not None
    characters = sum(len(page.text) for page in read(path.read_bytes()))
    assert path.stat().st_size * 10 < characters * BYTES_A_CHARACTER


class TestADocumentThatIsFound:
    def test_has_passed_every_hop_in_order(self, fleet: Fleet) -> None:
        upload(fleet)
        fleet.request(ACME)
        fleet.tick_until_idle()
        indexed(fleet)
        trace = traced(fleet)
        assert trace.stuck_at is None
        assert [hop.name for hop in trace.hops] == list(HopName)

    def test_has_passed_though_other_changes_wait_by_now(self, fleet: Fleet) -> None:
        upload(fleet)
        fleet.request(ACME)
        fleet.tick_until_idle()
        indexed(fleet)
        fleet.request(ACME)
        assert traced(fleet).stuck_at is None

    def test_has_passed_when_it_was_ingested_by_itself(self, fleet: Fleet) -> None:
        upload(fleet)
        fleet.clock.advance(3600)
        indexed(fleet)
        assert traced(fleet).stuck_at is None

    def test_has_passed_when_bedrock_does_not_say_its_status(self, fleet: Fleet) -> None:
        upload(fleet)
        fleet.request(ACME)
        fleet.tick_until_idle()
        fleet.retrieval_probe.findable.add(URI)
        assert traced(fleet).stuck_at is None


class TestWhatLooksTheSame:
    """The keys of a document in the two forms that Unicode has for one look."""

    FOLDER, NAME = "ガイド", "cafés.pdf"

    @pytest.mark.parametrize("asked", ["NFC", "NFD"])
    @pytest.mark.parametrize("folder", ["NFC", "NFD"])
    @pytest.mark.parametrize("name", ["NFC", "NFD"])
    def test_a_document_is_found_under_the_form_that_its_key_has(
        self, fleet: Fleet, asked: Form, folder: Form, name: Form
    ) -> None:
        there = f"{unicodedata.normalize(folder, self.FOLDER)}/{unicodedata.normalize(name, self.NAME)}"
        key = ObjectKey(unicodedata.normalize(asked, f"{self.FOLDER}/{self.NAME}"))
        uri = f"s3://{NAMES.bucket(Life(ACME))}/{there}"
        fleet.bucket_contents.put(uri, "2", DocumentObject(fleet.clock.now(), 1_000, None))
        fleet.request(ACME)
        fleet.tick_until_idle()
        fleet.ingested_documents.set(uri, IngestedStatus.INDEXED)
        fleet.retrieval_probe.findable.add(uri)
        trace = fleet.document_tracer.trace(ACME, key)
        assert (trace.stuck_at, trace.key) == (None, there)
        (found,) = (hop.finding for hop in trace.hops if hop.name is HopName.OBJECT)
        assert ("Unicode form" in found) is (there != key)

    def test_the_key_itself_goes_before_one_that_looks_the_same(self, fleet: Fleet) -> None:
        keys = [unicodedata.normalize(form, self.NAME) for form in ("NFC", "NFD")]
        for size, key in enumerate(keys, start=1):
            uri = f"s3://{NAMES.bucket(Life(ACME))}/{key}"
            fleet.bucket_contents.put(uri, "2", DocumentObject(fleet.clock.now(), size, None))
        assert [fleet.document_tracer.trace(ACME, ObjectKey(key)).key for key in keys] == keys

    def test_two_that_look_the_same_are_told(self, fleet: Fleet) -> None:
        composed, decomposed = (unicodedata.normalize(form, self.NAME) for form in ("NFC", "NFD"))
        for key in (composed, decomposed):
            fleet.bucket_contents.put(f"s3://{NAMES.bucket(Life(ACME))}/{key}", "2", DocumentObject(START, 10, None))
            hops = {hop.name: hop for hop in fleet.document_tracer.trace(ACME, ObjectKey(composed)).hops}
            assert hops[HopName.OBJECT].verdict is Verdict.PASSED
            assert ("in Unicode form NFD; this one's is in NFC" in hops[HopName.OBJECT].finding) is (key == decomposed)
        assert "`kbfleet documents delete acme KEY`" in hops[HopName.OBJECT].advice

    @pytest.mark.parametrize(("document", "beside"), [("NFC", "NFD"), ("NFD", "NFC")])
    def test_a_metadata_file_in_the_other_form_is_told(self, fleet: Fleet, document: Form, beside: Form) -> None:
        bucket = NAMES.bucket(Life(ACME))
        key = unicodedata.normalize(document, self.NAME)
        fleet.bucket_contents.put(f"s3://{bucket}/{key}", "2", DocumentObject(fleet.clock.now(), 1_000, None))
        stray = f"s3://{bucket}/{unicodedata.normalize(beside, self.NAME)}.metadata.json"
        hops = {hop.name: hop for hop in fleet.document_tracer.trace(ACME, ObjectKey(key)).hops}
        assert hops[HopName.METADATA].advice == ""
        fleet.bucket_contents.put(stray)
        hops = {hop.name: hop for hop in fleet.document_tracer.trace(ACME, ObjectKey(key)).hops}
        assert hops[HopName.METADATA].verdict is Verdict.PASSED
        assert "Bedrock does not read it" in hops[HopName.METADATA].finding
        assert f"Unicode form {document}" in hops[HopName.METADATA].advice


class TestAFolder:
    @pytest.mark.parametrize("asked", ["handbook/", "handbook"])
    def test_that_the_console_has_made_is_no_document(self, fleet: Fleet, asked: str) -> None:
        uri = f"s3://{NAMES.bucket(Life(ACME))}/handbook/"
        fleet.bucket_contents.put(uri, "2", DocumentObject(fleet.clock.now(), 0, None))
        hop = fleet.document_tracer.trace(ACME, ObjectKey(asked)).stuck_at
        assert hop is not None
        assert (hop.name, "folder" in hop.finding) == (HopName.OBJECT, True)

    def test_without_a_mark_is_none_either(self, fleet: Fleet) -> None:
        hop = fleet.document_tracer.trace(ACME, ObjectKey("handbook/")).stuck_at
        assert hop is not None
        assert "folder" in hop.finding


class TestWhatItNeedsToBeThere:
    def test_a_tenant_that_is_not_there_has_no_documents(self) -> None:
        with pytest.raises(TenantNotFound):
            traced(Fleet())

    @pytest.mark.parametrize(
        ("status", "says"),
        [
            (TenantStatus.SUSPENDED, "kbfleet tenant resume acme"),
            (TenantStatus.OFFBOARDING, "kbfleet tenant resume acme"),
            (TenantStatus.OFFBOARDED, "kbfleet tenant add acme"),
            (TenantStatus.FAILED, "Access denied."),
        ],
    )
    def test_the_tenant_is_out_of_service(self, status: TenantStatus, says: str) -> None:
        fleet = Fleet()
        fleet.registry.create(tenant(status=status, failure=provisioning_failure()))
        name, verdict, said = stuck(fleet)
        assert (name, verdict) == (HopName.TENANT, Verdict.BROKEN)
        assert says in said

    def test_the_tenant_is_not_there_yet(self) -> None:
        fleet = Fleet()
        fleet.registry.create(tenant(status=TenantStatus.PROVISIONING, knowledge_base_id=None, data_source_id=None))
        assert stuck(fleet)[:2] == (HopName.TENANT, Verdict.WAITING)

    def test_the_knowledge_base_is_gone(self, fleet: Fleet) -> None:
        upload(fleet)
        fleet.knowledge_bases.vanish(str(fleet.registry.get(ACME).knowledge_base_id))
        assert stuck(fleet)[:2] == (HopName.KNOWLEDGE_BASE, Verdict.BROKEN)

    def test_the_object_is_missing(self, fleet: Fleet) -> None:
        name, verdict, said = stuck(fleet)
        assert (name, verdict) == (HopName.OBJECT, Verdict.BROKEN)
        assert NAMES.bucket(Life(ACME)) in said

    def test_the_object_is_missing_in_the_tenants_own_bucket_whatever_its_record_names(self, fleet: Fleet) -> None:
        record = fleet.registry.get(ACME)
        fleet.registry.replace(replace(record, bucket_name=NAMES.bucket(Life(SAKURA))), fence=record.fence)
        name, _, said = stuck(fleet)
        assert name is HopName.OBJECT
        assert f"s3://{NAMES.bucket(Life(ACME))}/" in said
        assert NAMES.bucket(Life(SAKURA)) not in said

    def test_the_object_is_too_large(self, fleet: Fleet) -> None:
        upload(fleet, size=50 * 1024**2 + 1)
        assert stuck(fleet)[0] is HopName.OBJECT

    def test_the_metadata_file_is_too_large(self, fleet: Fleet) -> None:
        upload(fleet, metadata_bytes=fleet.store.max_metadata_bytes + 1)
        fleet.request(ACME)
        fleet.tick_until_idle()
        fleet.ingested_documents.set(URI, IngestedStatus.IGNORED)
        name, verdict, said = stuck(fleet)
        assert (name, verdict) == (HopName.METADATA, Verdict.BROKEN)
        assert f"{fleet.store.max_metadata_bytes:,}" in said

    def test_a_metadata_file_that_was_taken_all_the_same_is_no_fault(self, fleet: Fleet) -> None:
        upload(fleet, metadata_bytes=fleet.store.max_metadata_bytes + 1)
        fleet.request(ACME)
        fleet.tick_until_idle()
        indexed(fleet)
        assert traced(fleet).stuck_at is None


class TestWhetherAJobHasReadIt:
    def test_its_event_is_lost(self, fleet: Fleet) -> None:
        upload(fleet)
        assert stuck(fleet)[:2] == (HopName.CHANGE, Verdict.WAITING)
        fleet.clock.advance(600)
        name, verdict, said = stuck(fleet)
        assert (name, verdict) == (HopName.CHANGE, Verdict.BROKEN)
        assert "kbfleet sync start acme" in said

    def test_the_event_of_a_newer_version_is_lost(self, fleet: Fleet) -> None:
        upload(fleet)
        fleet.request(ACME)
        fleet.tick_until_idle()
        indexed(fleet)
        fleet.clock.advance(3600)
        upload(fleet)
        fleet.clock.advance(600)
        assert stuck(fleet)[:2] == (HopName.CHANGE, Verdict.BROKEN)

    def test_its_event_is_lost_while_a_job_runs_that_began_before(self, fleet: Fleet) -> None:
        plan(fleet, JobCourse(JobStatus.COMPLETE, running_for=timedelta(hours=1)))
        fleet.request(ACME)
        fleet.tick()
        fleet.clock.advance(60)
        upload(fleet)
        fleet.clock.advance(600)
        fleet.tick()
        assert stuck(fleet)[:2] == (HopName.CHANGE, Verdict.BROKEN)

    def test_it_is_queued_behind_the_quota(self, fleet: Fleet) -> None:
        for other in OTHERS:
            fleet.knowledge_bases.plan(
                fleet.add(other).knowledge_base_id, JobCourse(JobStatus.COMPLETE, running_for=timedelta(hours=9))
            )
            fleet.request(other)
        for _ in range(10):
            fleet.clock.advance(10)
            fleet.tick()
        upload(fleet)
        fleet.request(ACME, Priority.CHANGED)
        fleet.tick()
        name, verdict, said = stuck(fleet)
        assert (name, verdict) == (HopName.TURN, Verdict.WAITING)
        assert "5 ingestion jobs" in said

    def test_it_waits_for_its_turn_with_nobody_before_it(self, fleet: Fleet) -> None:
        upload(fleet)
        fleet.request(ACME)
        assert stuck(fleet)[:2] == (HopName.TURN, Verdict.WAITING)
        fleet.clock.advance(3600)
        assert "ticks-failing" in stuck(fleet)[2]

    def test_a_job_that_began_before_the_upload_is_running(self, fleet: Fleet) -> None:
        fleet.request(ACME)
        fleet.tick()
        fleet.clock.advance(60)
        upload(fleet)
        fleet.request(ACME, Priority.CHANGED)
        fleet.tick()
        name, verdict, said = stuck(fleet)
        assert (name, verdict) == (HopName.TURN, Verdict.WAITING)
        assert "began before the upload" in said

    def test_its_sync_was_called_off(self, fleet: Fleet) -> None:
        upload(fleet)
        fleet.request(ACME)
        fleet.stop_sync(ACME)
        name, verdict, said = stuck(fleet)
        assert (name, verdict) == (HopName.TURN, Verdict.BROKEN)
        assert "kbfleet sync start acme" in said

    def test_its_job_is_running(self, fleet: Fleet) -> None:
        upload(fleet)
        fleet.request(ACME)
        fleet.tick()
        assert stuck(fleet)[:2] == (HopName.JOB, Verdict.WAITING)

    def test_its_job_failed(self, fleet: Fleet) -> None:
        upload(fleet)
        plan(fleet, JobCourse(JobStatus.FAILED, failure_reasons=(FailureReason("The role was deleted."),)))
        fleet.request(ACME)
        fleet.tick_until_idle()
        name, verdict, said = stuck(fleet)
        assert (name, verdict) == (HopName.JOB, Verdict.BROKEN)
        assert "The role was deleted." in said

    def test_its_job_failed_and_is_tried_again(self, fleet: Fleet) -> None:
        upload(fleet)
        plan(fleet, JobCourse(JobStatus.FAILED, failure_reasons=(FailureReason("Rate exceeded"),)))
        fleet.request(ACME)
        while not fleet.ledger.find(first_knowledge(ACME)).retries:
            fleet.tick()
            fleet.clock.advance(5)
        name, verdict, said = stuck(fleet)
        assert (name, verdict) == (HopName.TURN, Verdict.WAITING)
        assert "Rate exceeded" in said


class TestWhatBedrockHasMadeOfIt:
    @pytest.mark.parametrize("status", [IngestedStatus.FAILED, IngestedStatus.IGNORED])
    def test_the_document_was_not_ingested(self, fleet: Fleet, status: IngestedStatus) -> None:
        upload(fleet)
        fleet.request(ACME)
        fleet.tick_until_idle()
        fleet.ingested_documents.set(URI, status, "No text content found.")
        known = FailedDocument(URI, "No text", fleet.clock.now(), fleet.clock.now(), 3, FailureStatus.SET_ASIDE)
        fleet.failed_documents.save(Life(ACME), known)
        name, verdict, said = stuck(fleet)
        assert (name, verdict) == (HopName.DOCUMENT, Verdict.BROKEN)
        for reported in ("No text content found.", "3 times", "set aside", "kbfleet upload acme FILE --key KEY"):
            assert reported in said
        assert "retry-failed" not in said

    def test_a_retry_is_told_where_nothing_is_seen_to_be_wrong(self, fleet: Fleet) -> None:
        upload(fleet)
        fleet.request(ACME)
        fleet.tick_until_idle()
        fleet.ingested_documents.set(URI, IngestedStatus.FAILED, "Internal error.")
        assert "kbfleet sync retry-failed acme" in stuck(fleet)[2]

    @pytest.mark.parametrize(("times", "said"), [(1, "Internal error"), (2, "Internal error. It has failed 2 times")])
    def test_how_often_it_has_failed_is_a_sentence_of_its_own(self, fleet: Fleet, times: int, said: str) -> None:
        upload(fleet)
        fleet.request(ACME)
        fleet.tick_until_idle()
        fleet.ingested_documents.set(URI, IngestedStatus.FAILED, "Internal error")
        now = fleet.clock.now()
        fleet.failed_documents.save(
            Life(ACME), FailedDocument(URI, "Internal error", now, now, revision="2", times=times)
        )
        found = traced(fleet).stuck_at
        assert found is not None
        assert said in found.finding
        assert ("in a row" in found.finding) == (times > 1)

    def test_what_was_seen_of_the_object_that_failed_is_told_until_another_takes_its_place(self, fleet: Fleet) -> None:
        upload(fleet)
        fleet.request(ACME)
        fleet.tick_until_idle()
        fleet.ingested_documents.set(URI, IngestedStatus.FAILED, "Internal error.")
        seen = Examination("2", DocumentFinding(DocumentFault.ENCRYPTED))
        now = fleet.clock.now()
        known = FailedDocument(URI, "Internal error.", now, now, revision="2", examination=seen)
        known = fleet.failed_documents.save(Life(ACME), known)
        said = stuck(fleet)[2]
        assert "It is encrypted" in said
        assert "Bedrock says: Internal error." in said
        assert "retry-failed" not in said
        fleet.failed_documents.save(Life(ACME), replace(known, revision="1", examination=replace(seen, revision="1")))
        assert "It is encrypted" not in stuck(fleet)[2]

    def test_a_metadata_file_that_cannot_be_read_is_to_be_corrected(self, fleet: Fleet) -> None:
        upload(fleet)
        reasons = (failure_reason("Ignored 1 file due to invalid metadata attributes.", URI),)
        plan(fleet, JobCourse(statistics=Statistics(scanned=1, failed=1), failure_reasons=reasons))
        fleet.request(ACME)
        fleet.tick_until_idle()
        said = stuck(fleet)[2]
        assert "correct its metadata file" in said
        assert "kbfleet" not in said

    def test_what_the_size_says_is_told_before_anybody_has_looked(self, fleet: Fleet) -> None:
        upload(fleet, size=0)
        fleet.request(ACME)
        fleet.tick_until_idle()
        fleet.ingested_documents.set(URI, IngestedStatus.FAILED, "Internal error.")
        assert "It is empty." in stuck(fleet)[2]

    def test_a_newer_version_was_left_out_while_the_older_one_is_indexed(self, fleet: Fleet) -> None:
        indexed(fleet)
        fleet.clock.advance(60)
        upload(fleet)
        reasons = (failure_reason("no text content found", URI),)
        plan(fleet, JobCourse(statistics=Statistics(scanned=1, failed=1), failure_reasons=reasons))
        fleet.request(ACME)
        fleet.tick_until_idle()
        name, verdict, said = stuck(fleet)
        assert (name, verdict) == (HopName.DOCUMENT, Verdict.BROKEN)
        assert "no text content found" in said

    def test_the_job_did_not_come_to_it(self, fleet: Fleet) -> None:
        upload(fleet)
        fleet.request(ACME)
        fleet.tick_until_idle()
        name, verdict, said = stuck(fleet)
        assert (name, verdict) == (HopName.DOCUMENT, Verdict.BROKEN)
        # An upload alone would send nothing of what is there as it is.
        assert "Delete it by `kbfleet documents delete acme KEY`, and upload it again" in said

    def test_bedrock_is_at_it(self, fleet: Fleet) -> None:
        upload(fleet)
        fleet.request(ACME)
        fleet.tick_until_idle()
        fleet.ingested_documents.set(URI, IngestedStatus.IN_PROGRESS)
        assert stuck(fleet)[:2] == (HopName.DOCUMENT, Verdict.WAITING)

    def test_it_is_indexed_and_not_found(self, fleet: Fleet) -> None:
        upload(fleet)
        fleet.request(ACME)
        fleet.tick_until_idle()
        fleet.ingested_documents.set(URI, IngestedStatus.INDEXED)
        assert stuck(fleet)[:2] == (HopName.RETRIEVAL, Verdict.WAITING)
        fleet.clock.advance(600)
        assert stuck(fleet)[:2] == (HopName.RETRIEVAL, Verdict.BROKEN)

    def test_the_knowledge_base_cannot_be_searched(self, fleet: Fleet) -> None:
        upload(fleet)
        fleet.request(ACME)
        fleet.tick_until_idle()
        indexed(fleet)
        fleet.retrieval_probe.refusal = "The vector index could not be found."
        name, verdict, said = stuck(fleet)
        assert (name, verdict) == (HopName.RETRIEVAL, Verdict.BROKEN)
        assert "could not be found" in said


@pytest.mark.parametrize("key", ["", "  ", "a\n.pdf", "あ" * 342, "a.pdf.metadata.json", None])
def test_what_cannot_be_the_key_of_a_document_is_refused(key: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        ObjectKey(key)
    assert refused.value.field == "key"
