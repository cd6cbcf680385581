"""What Bedrock's Knowledge Bases do, by our fake and by the emulator behind the real adapter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from kbfleet.domain.errors import (
    CapacityExceeded,
    DataSourceFailed,
    KbfleetError,
    NotReadyYet,
    ResourceConflict,
    ResourceMissing,
    ServiceRoleRefused,
    Throttled,
)
from kbfleet.domain.ingestion_job import JobStatus, Outcome
from kbfleet.domain.knowledge_base import DataSourceStatus, KnowledgeBaseKind, KnowledgeBaseStatus, client_token
from kbfleet.domain.names import DataSourceReference, Knowledge, Life, TenantId
from tests.support.clock import START
from tests.support.emulator import SERVICE_ROLE
from tests.support.knowledge_base_worlds import BUCKET, REASONS, Emulated, InMemory, World
from tests.support.knowledge_store_worlds import Managed, OnOpenSearchServerless
from tests.support.samples import ACCOUNT, ACME, NAMES, REGION, first_knowledge

OTHER_ROLE = f"arn:aws:iam::{ACCOUNT}:role/kbfleet/kbfleet/acme"
OF_ANOTHER_BUCKET = {"type": "S3", "s3Configuration": {"bucketArn": "arn:aws:s3:::another-bucket"}}


class KnowledgeBasesSuite:
    @pytest.fixture
    def world(self) -> World:
        raise NotImplementedError

    # --- knowledge bases ---

    def test_what_does_not_exist_is_not_found(self, world: World) -> None:
        assert world.knowledge_bases.get("KBUNKNOWN0") is None
        assert not world.knowledge_bases.named("kbfleet-acme")

    def test_a_new_one_is_creating_and_active_after_a_while(self, world: World) -> None:
        made = world.create("kbfleet-acme")
        assert (made.name, made.status) == ("kbfleet-acme", KnowledgeBaseStatus.CREATING)
        assert world.knowledge_bases.get(made.knowledge_base_id) == made
        world.advance(90)
        found = world.knowledge_bases.get(made.knowledge_base_id)
        assert found is not None
        assert found.status is KnowledgeBaseStatus.ACTIVE

    def test_one_is_found_by_its_name_on_whichever_page_of_the_list_it_is(self, world: World) -> None:
        made = {f"kbfleet-{number}": world.create(f"kbfleet-{number}").knowledge_base_id for number in range(25)}
        for name, knowledge_base_id in made.items():
            (found,) = world.knowledge_bases.named(name)
            assert found.knowledge_base_id == knowledge_base_id
        assert not world.knowledge_bases.named("kbfleet")

    def test_those_named_as_the_fleet_names_its_own_are_listed_with_what_they_are(self, world: World) -> None:
        known = [first_knowledge(f"tenant-{number}") for number in range(15)]
        known += [Knowledge(Life(ACME, 2)), Knowledge(Life(ACME, 2), 2)]
        made = {world.create(NAMES.knowledge_base(each)).knowledge_base_id: each for each in known}
        world.create("another-tenant-1")
        world.create("kbfleet-2nd")
        assert dict(world.knowledge_bases.of_fleet(NAMES)) == made

    def test_a_name_is_taken_once(self, world: World) -> None:
        world.create("kbfleet-acme", token="one")
        with pytest.raises(ResourceConflict, match="kbfleet-acme"):
            world.create("kbfleet-acme", token="two")

    def test_the_same_request_again_makes_no_second_one(self, world: World) -> None:
        assert world.create("kbfleet-acme").knowledge_base_id == world.create("kbfleet-acme").knowledge_base_id

    def test_a_role_that_cannot_be_assumed_yet_is_worth_another_try(self, world: World) -> None:
        world.role_is_assumable_after(30)
        with pytest.raises(ServiceRoleRefused):
            world.create("kbfleet-acme")
        world.advance(30)
        assert world.create("kbfleet-acme").status is KnowledgeBaseStatus.CREATING

    def test_an_account_has_a_hundred_of_them(self, world: World) -> None:
        for number in range(100):
            world.create(f"kbfleet-{number}")
        with pytest.raises(CapacityExceeded):
            world.create("kbfleet-acme")

    def test_one_that_somebody_has_deleted_is_gone(self, world: World) -> None:
        made = world.active("kbfleet-acme")
        world.delete(made)
        assert world.knowledge_bases.get(made) is None
        assert not world.knowledge_bases.named("kbfleet-acme")

    def test_several_of_one_name_are_all_found_the_oldest_first(self, world: World) -> None:
        world.names_are_taken_after(10)
        made = []
        for token in ("one", "two", "three"):
            made.append(world.create("kbfleet-acme", token).knowledge_base_id)
            world.advance(1)
        for number in range(12):
            world.create(f"kbfleet-{number}")
        assert [found.knowledge_base_id for found in world.knowledge_bases.named("kbfleet-acme")] == made

    # --- counting ---

    def test_an_account_without_any_has_none_of_either_kind(self, world: World) -> None:
        assert [world.knowledge_bases.count(kind) for kind in KnowledgeBaseKind] == [0, 0]

    def test_those_of_others_count_too_and_where_there_is_room_at_most_too_many(self, world: World) -> None:
        for number in range(12):
            world.create(f"kbfleet-{number}")
        world.make_foreign("theirs", KnowledgeBaseKind.VECTOR)
        world.make_foreign("theirs-managed", KnowledgeBaseKind.MANAGED)
        assert 13 <= world.knowledge_bases.count(KnowledgeBaseKind.VECTOR) <= 14
        assert 1 <= world.knowledge_bases.count(KnowledgeBaseKind.MANAGED) <= 2

    def test_near_the_quota_they_are_counted_exactly(self, world: World) -> None:
        for number in range(97):
            world.create(f"kbfleet-{number}")
        for number in range(3):
            world.make_foreign(f"theirs-managed-{number}", KnowledgeBaseKind.MANAGED)
        assert world.knowledge_bases.count(KnowledgeBaseKind.VECTOR) == 97
        world.make_foreign("theirs", KnowledgeBaseKind.VECTOR)
        assert world.knowledge_bases.count(KnowledgeBaseKind.VECTOR) == 98

    def test_managed_ones_are_made_although_the_quota_of_the_others_is_used_up(self, world: World) -> None:
        for number in range(100):
            world.create(f"kbfleet-{number}")
        world.make_foreign("theirs-managed", KnowledgeBaseKind.MANAGED)
        assert world.knowledge_bases.count(KnowledgeBaseKind.VECTOR) == 100

    # --- drift ---

    def test_tags_are_added_to_those_there_are(self, world: World) -> None:
        made = world.create("kbfleet-acme")
        world.knowledge_bases.tag(made, {"by": "hand"})
        assert world.knowledge_bases.tags(made) == {**NAMES.tags(Life(TenantId("acme"))), "by": "hand"}
        world.knowledge_bases.tag(made, {"by": "kbfleet"})
        assert world.knowledge_bases.tags(made)["by"] == "kbfleet"

    def test_one_that_somebody_has_changed_is_settled_again_and_keeps_its_configuration(self, world: World) -> None:
        knowledge_base_id = world.active("kbfleet-acme")
        made = world.knowledge_bases.get(knowledge_base_id)
        assert made is not None
        assert made.described
        world.unsettle(knowledge_base_id)
        changed = world.knowledge_bases.get(knowledge_base_id)
        assert changed is not None
        assert not changed.described
        world.knowledge_bases.update(changed, role_arn=OTHER_ROLE)
        world.advance(60)
        found = world.knowledge_bases.get(knowledge_base_id)
        assert found is not None
        assert (found.described, found.status) == (True, KnowledgeBaseStatus.ACTIVE)
        assert (made.role_arn, found.role_arn) == (SERVICE_ROLE, OTHER_ROLE)
        assert (found.name, found.configuration) == (made.name, made.configuration)
        assert world.knowledge_bases.tags(found) == NAMES.tags(Life(TenantId("acme")))

    # --- deleting ---

    def test_deleting_takes_a_while(self, world: World) -> None:
        knowledge_base_id = world.active("kbfleet-acme")
        world.knowledge_bases.delete(knowledge_base_id)
        assert world.status(knowledge_base_id) is KnowledgeBaseStatus.DELETING
        world.knowledge_bases.delete(knowledge_base_id)
        world.advance(60)
        assert world.status(knowledge_base_id) is None
        assert not world.knowledge_bases.named("kbfleet-acme")

    def test_one_that_is_gone_is_deleted(self, world: World) -> None:
        world.knowledge_bases.delete("KBUNKNOWN0")

    def test_one_whose_data_source_cannot_be_deleted_stays_until_that_is_deleted_without_its_vectors(
        self, world: World
    ) -> None:
        data_source = world.data_source()
        knowledge_base_id = data_source.knowledge_base_id
        world.lose_vectors("kbfleet-acme")
        world.knowledge_bases.delete(knowledge_base_id)
        assert world.status(knowledge_base_id) is KnowledgeBaseStatus.DELETING
        world.advance(60)
        assert world.status(knowledge_base_id) is KnowledgeBaseStatus.DELETE_UNSUCCESSFUL
        world.knowledge_bases.retain_vectors(data_source)
        world.knowledge_bases.delete_data_source(data_source)
        world.advance(60)
        world.knowledge_bases.delete(knowledge_base_id)
        world.advance(60)
        assert world.status(knowledge_base_id) is None

    # --- data sources ---

    def test_a_data_source_is_made_and_found_by_its_name(self, world: World) -> None:
        knowledge_base_id = world.active("kbfleet-acme")
        assert world.knowledge_bases.find_data_source(knowledge_base_id, "documents") is None
        for number in range(4):
            world.create_data_source(knowledge_base_id, f"other-{number}")
        made = world.create_data_source(knowledge_base_id)
        found = world.knowledge_bases.find_data_source(knowledge_base_id, "documents")
        assert found is not None
        assert (found.data_source_id, found.name, found.status) == (made, "documents", "AVAILABLE")

    def test_a_data_sources_name_is_taken_once_in_a_knowledge_base(self, world: World) -> None:
        knowledge_base_id = world.active("kbfleet-acme")
        world.create_data_source(knowledge_base_id, token="one")
        with pytest.raises(ResourceConflict, match="documents"):
            world.create_data_source(knowledge_base_id, token="two")

    def test_the_same_request_again_makes_no_second_data_source(self, world: World) -> None:
        knowledge_base_id = world.active("kbfleet-acme")
        assert world.create_data_source(knowledge_base_id) == world.create_data_source(knowledge_base_id)

    def test_a_knowledge_base_that_is_not_active_takes_no_data_source_yet(self, world: World) -> None:
        made = world.create("kbfleet-acme")
        with pytest.raises(NotReadyYet):
            world.create_data_source(made.knowledge_base_id)

    def test_a_knowledge_base_has_five_data_sources(self, world: World) -> None:
        knowledge_base_id = world.active("kbfleet-acme")
        for number in range(5):
            world.create_data_source(knowledge_base_id, f"other-{number}")
        with pytest.raises(CapacityExceeded):
            world.create_data_source(knowledge_base_id)

    def test_a_knowledge_base_that_is_gone_has_no_data_sources_to_look_for(self, world: World) -> None:
        assert not world.knowledge_bases.data_sources("KBUNKNOWN0")
        assert world.knowledge_bases.find_data_source("KBUNKNOWN0", "documents") is None

    def test_every_data_source_is_listed_on_whichever_page_it_is(self, world: World) -> None:
        knowledge_base_id = world.active("kbfleet-acme")
        made = {world.create_data_source(knowledge_base_id, f"other-{number}") for number in range(5)}
        assert {found.data_source_id for found in world.knowledge_bases.data_sources(knowledge_base_id)} == made

    def test_deleting_a_data_source_takes_a_while(self, world: World) -> None:
        data_source = world.data_source()
        world.knowledge_bases.delete_data_source(data_source)
        (found,) = world.knowledge_bases.data_sources(data_source.knowledge_base_id)
        assert found.status is DataSourceStatus.DELETING
        world.advance(60)
        assert not world.knowledge_bases.data_sources(data_source.knowledge_base_id)

    def test_a_data_source_that_is_gone_is_deleted(self, world: World) -> None:
        data_source = world.data_source()
        world.knowledge_bases.delete_data_source(replace(data_source, data_source_id="DSUNKNOWN0"))
        world.delete(data_source.knowledge_base_id)
        world.knowledge_bases.delete_data_source(data_source)

    def test_a_data_source_whose_job_runs_is_not_deleted(self, world: World) -> None:
        data_source = world.data_source()
        job = world.start(data_source)
        with pytest.raises(ResourceConflict):
            world.knowledge_bases.delete_data_source(data_source)
        assert world.stored_data_source(data_source).status is DataSourceStatus.AVAILABLE
        world.ended(data_source, job)
        world.knowledge_bases.delete_data_source(data_source)
        world.advance(60)
        assert not world.knowledge_bases.data_sources(data_source.knowledge_base_id)

    def test_a_data_source_whose_vectors_cannot_be_deleted_is_stuck_until_they_are_left_alone(
        self, world: World
    ) -> None:
        data_source = world.data_source()
        world.lose_vectors("kbfleet-acme")
        world.knowledge_bases.delete_data_source(data_source)
        world.advance(60)
        stuck = world.stored_data_source(data_source)
        assert stuck.status is DataSourceStatus.DELETE_UNSUCCESSFUL
        assert "Unable to delete data from vector store" in stuck.failure_reasons[0]
        world.knowledge_bases.retain_vectors(data_source)
        kept = world.stored_data_source(data_source)
        assert (kept.name, kept.configuration, kept.deletion_policy) == (stuck.name, stuck.configuration, "RETAIN")
        world.knowledge_bases.delete_data_source(data_source)
        world.advance(60)
        assert not world.knowledge_bases.data_sources(data_source.knowledge_base_id)

    def test_a_data_source_that_somebody_has_changed_reads_again_what_it_should(self, world: World) -> None:
        data_source = world.data_source()
        wanted = world.data_source_configuration()
        world.knowledge_bases.update_data_source(data_source, "documents", OF_ANOTHER_BUCKET)
        world.knowledge_bases.retain_vectors(data_source)
        assert not world.stored_data_source(data_source).reads_as(wanted)
        world.knowledge_bases.update_data_source(data_source, "documents", wanted)
        found = world.stored_data_source(data_source)
        assert found.reads_as(wanted)
        assert (found.status, found.deletion_policy) == (DataSourceStatus.AVAILABLE, "DELETE")

    def test_a_data_source_that_somebody_has_renamed_gets_its_name_back_once_nobody_else_has_it(
        self, world: World
    ) -> None:
        data_source = world.data_source()
        wanted = world.data_source_configuration()
        world.knowledge_bases.update_data_source(data_source, "renamed", wanted)
        found = world.knowledge_bases.data_source(data_source)
        assert found is not None
        assert found.name == "renamed"
        other = world.create_data_source(data_source.knowledge_base_id, token="other")
        with pytest.raises(ResourceConflict, match="documents"):
            world.knowledge_bases.update_data_source(data_source, "documents", wanted)
        world.knowledge_bases.delete_data_source(replace(data_source, data_source_id=other))
        world.advance(60)
        world.knowledge_bases.update_data_source(data_source, "documents", wanted)
        assert world.stored_data_source(data_source).reads_as(wanted)

    # --- ingestion jobs ---

    def test_a_job_starts_runs_and_completes(self, world: World) -> None:
        data_source = world.data_source()
        started = world.start(data_source)
        assert (started.status, started.outcome) == (JobStatus.STARTING, None)
        world.advance(30)
        running = world.knowledge_bases.ingestion_job(data_source, started.ingestion_job_id)
        assert running.status is JobStatus.IN_PROGRESS
        assert running.started_at == started.started_at
        ended = world.ended(data_source, started)
        assert (ended.status, ended.outcome) == (JobStatus.COMPLETE, Outcome.SUCCEEDED)
        assert ended.updated_at > running.updated_at >= started.updated_at

    def test_a_job_that_fails_says_why(self, world: World) -> None:
        data_source = world.data_source()
        world.next_job_fails(data_source)
        ended = world.ended(data_source, world.start(data_source))
        assert (ended.status, ended.failure_reasons) == (JobStatus.FAILED, REASONS)

    def test_the_same_start_again_is_the_same_job_as_it_is_by_then(self, world: World) -> None:
        data_source = world.data_source()
        first = world.start(data_source)
        second = world.start(data_source)
        assert second.ingestion_job_id == first.ingestion_job_id
        world.ended(data_source, first)
        assert world.start(data_source).status is JobStatus.COMPLETE

    def test_a_knowledge_base_runs_one_job_at_a_time(self, world: World) -> None:
        data_source = world.data_source()
        job = world.start(data_source)
        with pytest.raises(ResourceConflict):
            world.start(data_source, "second")
        world.ended(data_source, job)
        assert world.start(data_source, "second").ingestion_job_id != job.ingestion_job_id

    def test_another_data_source_of_the_same_knowledge_base_waits_too(self, world: World) -> None:
        data_source = world.data_source()
        other = DataSourceReference(
            data_source.knowledge_base_id, world.create_data_source(data_source.knowledge_base_id, "other")
        )
        world.start(data_source)
        with pytest.raises(ResourceConflict):
            world.start(other)
        assert world.knowledge_bases.running_ingestion_job(other) is None

    def test_one_that_was_given_up_takes_no_job_and_says_why(self, world: World) -> None:
        """The refusal is that of one that is not ready yet, too: its status tells them apart."""
        data_source = world.failed_data_source()
        with pytest.raises(NotReadyYet, match="data source with status FAILED"):
            world.start(data_source)
        failure = world.stored_data_source(data_source).given_up()
        assert failure is not None
        assert "is FAILED: The role is gone." in str(failure)

    def test_an_account_runs_five_jobs_at_a_time(self, world: World) -> None:
        sources = [world.data_source(f"kbfleet-{number}") for number in range(6)]
        for data_source in sources[:5]:
            world.start(data_source)
        with pytest.raises(ResourceConflict):
            world.start(sources[5])
        assert world.knowledge_bases.running_ingestion_job(sources[5]) is None

    def test_starts_that_come_too_fast_are_throttled(self, world: World) -> None:
        one, other = world.data_source("kbfleet-1"), world.data_source("kbfleet-2")
        world.start(one)
        with pytest.raises(Throttled):
            world.knowledge_bases.start_ingestion(other, client_token=client_token("other"))
        assert world.start(other).status is JobStatus.STARTING

    def test_the_running_job_is_found_whoever_started_it_and_however_many_have_ended(self, world: World) -> None:
        data_source = world.data_source()
        assert world.knowledge_bases.running_ingestion_job(data_source) is None
        for number in range(3):
            world.ended(data_source, world.start(data_source, str(number)))
        assert world.knowledge_bases.running_ingestion_job(data_source) is None
        running = world.start(data_source, "running")
        found = world.knowledge_bases.running_ingestion_job(data_source)
        assert found is not None
        assert found.ingestion_job_id == running.ingestion_job_id

    def test_a_job_that_is_stopped_ends_after_a_while(self, world: World) -> None:
        data_source = world.data_source()
        job = world.start(data_source)
        world.advance(30)
        for time in range(2):
            taken = world.knowledge_bases.stop_ingestion(data_source, job.ingestion_job_id)
            assert taken or time
            stopping = world.knowledge_bases.ingestion_job(data_source, job.ingestion_job_id)
            assert (stopping.status, stopping.outcome) == (JobStatus.STOPPING, None)
        running = world.knowledge_bases.running_ingestion_job(data_source)
        assert running is not None
        assert running.ingestion_job_id == job.ingestion_job_id
        ended = world.ended(data_source, job)
        assert (ended.status, ended.outcome) == (JobStatus.STOPPED, Outcome.STOPPED)
        assert world.knowledge_bases.running_ingestion_job(data_source) is None

    def test_a_job_that_has_ended_stays_as_it_ended(self, world: World) -> None:
        data_source = world.data_source()
        ended = world.ended(data_source, world.start(data_source))
        assert not world.knowledge_bases.stop_ingestion(data_source, ended.ingestion_job_id)
        assert world.knowledge_bases.ingestion_job(data_source, ended.ingestion_job_id) == ended

    def test_a_job_that_is_gone_is_stopped(self, world: World) -> None:
        data_source = world.data_source()
        assert not world.knowledge_bases.stop_ingestion(data_source, "JOBUNKNOWN")
        world.delete(data_source.knowledge_base_id)
        assert not world.knowledge_bases.stop_ingestion(data_source, "JOBUNKNOWN")

    def test_a_job_or_data_source_that_is_gone_is_missing(self, world: World) -> None:
        data_source = world.data_source()
        job = world.ended(data_source, world.start(data_source))
        with pytest.raises(ResourceMissing):
            world.knowledge_bases.ingestion_job(data_source, "JOBUNKNOWN")
        world.delete(data_source.knowledge_base_id)
        with pytest.raises(ResourceMissing):
            world.knowledge_bases.ingestion_job(data_source, job.ingestion_job_id)
        with pytest.raises(ResourceMissing):
            world.knowledge_bases.running_ingestion_job(data_source)
        with pytest.raises(ResourceMissing):
            world.start(data_source, "another")


class TestInMemoryKnowledgeBases(KnowledgeBasesSuite):
    @pytest.fixture
    def world(self) -> World:
        return InMemory()


class TestBedrockKnowledgeBases(KnowledgeBasesSuite):
    @pytest.fixture
    def world(self, aws: None) -> Emulated:
        return Emulated()

    @pytest.mark.parametrize(
        ("code", "error"),
        [
            ("ConflictException", ResourceConflict),
            ("ServiceQuotaExceededException", CapacityExceeded),
            ("ThrottlingException", Throttled),
        ],
    )
    def test_the_accounts_sixth_job_is_refused_by_an_error_that_means_not_now(
        self, aws: None, code: str, error: type[KbfleetError]
    ) -> None:
        world = Emulated(jobs_per_account_error=code)
        sources = [world.data_source(f"kbfleet-{number}") for number in range(6)]
        for data_source in sources[:5]:
            world.start(data_source)
        with pytest.raises(error):
            world.start(sources[5])

    def test_a_knowledge_base_is_tagged_described_and_given_its_role(self, world: Emulated) -> None:
        made = world.create("kbfleet-acme")
        found = world.agent.get_knowledge_base(knowledgeBaseId=made.knowledge_base_id)["knowledgeBase"]
        assert found["roleArn"] == f"arn:aws:iam::{ACCOUNT}:role/knowledge-base"
        assert 1 <= len(found["description"]) <= 200
        tags = world.agent.list_tags_for_resource(resourceArn=found["knowledgeBaseArn"])["tags"]
        assert tags == NAMES.tags(Life(TenantId("acme")))

    def test_leaving_vectors_alone_changes_nothing_else_of_the_data_source(self, world: Emulated) -> None:
        knowledge_base_id = world.active("kbfleet-acme")
        given = {
            "name": "documents",
            "description": "Made by hand.",
            "dataSourceConfiguration": {
                "type": "S3",
                "s3Configuration": {"bucketArn": f"arn:aws:s3:::{BUCKET}", "inclusionPrefixes": ["議事録/"]},
            },
            "serverSideEncryptionConfiguration": {"kmsKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{UUID(int=0)}"},
            "vectorIngestionConfiguration": {
                "chunkingConfiguration": {
                    "chunkingStrategy": "FIXED_SIZE",
                    "fixedSizeChunkingConfiguration": {"maxTokens": 200, "overlapPercentage": 10},
                }
            },
        }
        made = world.agent.create_data_source(knowledgeBaseId=knowledge_base_id, **given)["dataSource"]
        world.knowledge_bases.retain_vectors(DataSourceReference(knowledge_base_id, made["dataSourceId"]))
        found = world.agent.get_data_source(knowledgeBaseId=knowledge_base_id, dataSourceId=made["dataSourceId"])
        members = found["dataSource"]
        assert {member: members.get(member) for member in given} == given
        assert members["dataDeletionPolicy"] == "RETAIN"

    def test_a_connector_is_as_it_was_made_however_aws_tells_of_it(self, aws: None) -> None:
        world = Emulated(Managed)
        data_source = world.data_source()
        wanted = world.data_source_configuration()
        listed = {"knowledgeBaseId": data_source.knowledge_base_id, "dataSourceId": data_source.data_source_id}
        described = world.agent.get_data_source(**listed)["dataSource"]["dataSourceConfiguration"]
        assert isinstance(described["managedKnowledgeBaseConnectorConfiguration"]["connectorParameters"], str)
        found = world.knowledge_bases.data_source(data_source)
        assert found is not None
        assert found.reads(wanted)
        assert found.reads_as(wanted)
        # What it says of itself can be sent back.
        changed = world.knowledge_bases.update_data_source(data_source, "our-manuals", found.configuration)
        assert changed.reads_as(wanted)
        assert (changed.name, changed.updated_at) == ("our-manuals", world.aws.clock.now())

    def test_parameters_that_cannot_be_read_say_nothing(self, aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
        world = Emulated(Managed)
        data_source = world.data_source()
        describe = world.agent.get_data_source

        def garbled(**given: Any) -> Any:
            answer = describe(**given)
            connector = answer["dataSource"]["dataSourceConfiguration"]["managedKnowledgeBaseConnectorConfiguration"]
            connector["connectorParameters"] = "{"
            return answer

        monkeypatch.setattr(world.agent, "get_data_source", garbled)
        found = world.knowledge_bases.data_source(data_source)
        assert found is not None
        assert not found.reads_another(world.data_source_configuration())
        with pytest.raises(NotReadyYet):
            found.require_described(world.data_source_configuration())

    def test_a_data_source_that_fails_after_it_was_made_says_why(self, world: Emulated) -> None:
        fault = {"effect": "data_source_fails", "seconds": 30, "failureReasons": ["The bucket cannot be read."]}
        world.aws.emulator.faults.add(fault)
        knowledge_base_id = world.active("kbfleet-acme")
        world.create_data_source(knowledge_base_id)
        world.advance(30)
        found = world.knowledge_bases.find_data_source(knowledge_base_id, "documents")
        assert found is not None
        assert (found.status, found.failure_reasons) == (DataSourceStatus.FAILED, ("The bucket cannot be read.",))
        with pytest.raises(DataSourceFailed, match="cannot be read"):
            found.ready(now=START, deadline=START)

    def test_documents_that_were_ignored_are_counted_and_named(self, world: Emulated) -> None:
        world.aws.s3.put_object(Bucket=BUCKET, Key="就業規則 第2版.md", Body="有給休暇は20日です。".encode())
        world.aws.s3.put_object(Bucket=BUCKET, Key="tool, old.exe", Body=b"MZ")
        data_source = world.data_source()
        ended = world.ended(data_source, world.start(data_source))
        assert ended.outcome is Outcome.DEGRADED
        assert (ended.statistics.scanned, ended.statistics.new) == (2, 1)
        assert [
            reason.names.startswith(f"[Files: s3://{BUCKET}/tool, old.exe]") for reason in ended.failure_reasons
        ] == [True]

    def test_an_index_that_is_not_visible_yet_is_worth_another_try(self, world: Emulated) -> None:
        world.aws.emulator.faults.add({"effect": "index_not_visible", "seconds": 20})
        with pytest.raises(NotReadyYet):
            world.create("kbfleet-acme")
        world.advance(20)
        assert world.create("kbfleet-acme").status is KnowledgeBaseStatus.CREATING

    def test_a_call_whose_answer_was_lost_is_worth_another_try_and_makes_nothing_twice(self, world: Emulated) -> None:
        world.aws.emulator.faults.add({"effect": "broken_after_effect", "operation": "CreateKnowledgeBase", "count": 1})
        with pytest.raises(NotReadyYet):
            world.create("kbfleet-acme")
        made = world.create("kbfleet-acme")
        listed = world.agent.list_knowledge_bases()["knowledgeBaseSummaries"]
        assert [summary["knowledgeBaseId"] for summary in listed] == [made.knowledge_base_id]

    @pytest.mark.parametrize(
        ("code", "error"), [("ThrottlingException", Throttled), ("InternalServerException", NotReadyYet)]
    )
    def test_errors_in_the_middle_of_a_list_are_reported_too(
        self, world: Emulated, code: str, error: type[KbfleetError]
    ) -> None:
        for number in range(12):
            world.create(f"kbfleet-{number}")
        world.aws.emulator.faults.add(
            {"effect": "error", "operation": "ListKnowledgeBases", "code": code, "message": "x", "count": 1}
        )
        with pytest.raises(error):
            world.knowledge_bases.named("kbfleet-11")

    def test_a_status_that_bedrock_has_come_to_give_since_stops_nobody(self, aws: None) -> None:
        world = Emulated()
        data_source = world.data_source()
        job = world.start(data_source)
        world.agent.meta.events.register("after-call.bedrock-agent", _with_a_status_of_tomorrow)
        bedrock = world.knowledge_bases
        found = bedrock.get(data_source.knowledge_base_id)
        assert found is not None
        assert found.status is KnowledgeBaseStatus.UNKNOWN
        assert [one.status for one in bedrock.data_sources(data_source.knowledge_base_id)] == [DataSourceStatus.UNKNOWN]
        known = bedrock.ingestion_job(data_source, job.ingestion_job_id)
        assert (known.status, known.status.ended, known.outcome) == (JobStatus.UNKNOWN, False, None)
        assert bedrock.running_ingestion_job(data_source) == known

    def test_of_a_status_that_bedrock_has_come_to_give_since_only_the_newest_job_may_run(self, aws: None) -> None:
        world = Emulated()
        data_source = world.data_source()
        older = world.ended(data_source, world.start(data_source, "older"))
        world.ended(data_source, world.start(data_source, "newer"))

        def older_has_a_status_of_tomorrow(parsed: Any, **_: object) -> None:
            for job in [*parsed.get("ingestionJobSummaries", ()), parsed.get("ingestionJob", {})]:
                if job.get("ingestionJobId") == older.ingestion_job_id:
                    job["status"] = "COMPLETE_WITH_WARNINGS"

        world.agent.meta.events.register("after-call.bedrock-agent", older_has_a_status_of_tomorrow)
        bedrock = world.knowledge_bases
        assert JobStatus.UNKNOWN in {job.status for job in bedrock.ingestion_jobs(data_source)}
        assert bedrock.running_ingestion_job(data_source) is None


class TestBedrockKnowledgeBasesOnOpenSearchServerless(KnowledgeBasesSuite):
    @pytest.fixture
    def world(self, aws: None) -> Emulated:
        return Emulated(OnOpenSearchServerless)


def _with_a_status_of_tomorrow(parsed: Any, **_: object) -> None:
    for value in parsed.values() if isinstance(parsed, dict) else parsed:
        if isinstance(value, dict | list):
            _with_a_status_of_tomorrow(value)
    if isinstance(parsed, dict) and "status" in parsed:
        parsed["status"] = "OF_TOMORROW"
