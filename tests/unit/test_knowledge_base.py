"""When a knowledge base counts as ready, what a data source reads, and the tokens that make creations idempotent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbfleet.adapters.knowledge_stores import s3_data_source
from kbfleet.adapters.knowledge_stores.managed import ManagedKnowledgeStore
from kbfleet.domain.errors import KnowledgeBaseFailed, KnowledgeBaseNotReady, NotReadyYet
from kbfleet.domain.knowledge_base import (
    DataSource,
    DataSourceStatus,
    KnowledgeBase,
    KnowledgeBaseStatus,
    client_token,
    content_lost,
)
from kbfleet.domain.names import Life
from kbfleet.domain.profiles import Ingestion
from tests.support.clock import START
from tests.support.samples import ACCOUNT, ACME, NAMES, SAKURA, model_arn

DEADLINE = START + timedelta(minutes=15)


def knowledge_base(status: KnowledgeBaseStatus, *reasons: str) -> KnowledgeBase:
    return KnowledgeBase("KB00000001", "arn:kb", "kbfleet-acme", status, START, START, reasons)


@pytest.mark.parametrize("status", [KnowledgeBaseStatus.ACTIVE, KnowledgeBaseStatus.UPDATE_UNSUCCESSFUL])
def test_a_knowledge_base_in_force_is_ready_even_past_the_deadline(status: KnowledgeBaseStatus) -> None:
    assert knowledge_base(status).ready(now=START, deadline=DEADLINE)
    assert knowledge_base(status).ready(now=DEADLINE, deadline=DEADLINE)


@pytest.mark.parametrize(
    "status", [KnowledgeBaseStatus.CREATING, KnowledgeBaseStatus.UPDATING, KnowledgeBaseStatus.UNKNOWN]
)
def test_one_in_the_making_is_not_ready_until_the_deadline(status: KnowledgeBaseStatus) -> None:
    assert not knowledge_base(status).ready(now=DEADLINE - timedelta(seconds=1), deadline=DEADLINE)
    with pytest.raises(KnowledgeBaseNotReady, match=f"KB00000001.*{status}"):
        knowledge_base(status).ready(now=DEADLINE, deadline=DEADLINE)


@pytest.mark.parametrize("status", [KnowledgeBaseStatus.FAILED, KnowledgeBaseStatus.DELETE_UNSUCCESSFUL])
def test_one_that_bedrock_gave_up_fails_with_its_reasons(status: KnowledgeBaseStatus) -> None:
    with pytest.raises(KnowledgeBaseFailed, match="no such index; role is missing"):
        knowledge_base(status, "no such index", "role is missing").ready(now=START, deadline=DEADLINE)
    with pytest.raises(KnowledgeBaseFailed, match="no reason given"):
        knowledge_base(status).ready(now=START, deadline=DEADLINE)


def test_one_that_is_being_deleted_is_worth_another_try() -> None:
    with pytest.raises(NotReadyYet):
        knowledge_base(KnowledgeBaseStatus.DELETING).ready(now=START, deadline=DEADLINE)


class TestLookingAgain:
    USUAL = timedelta(seconds=85)

    def looks(self, ready_after: float) -> list[float]:
        """The seconds at which one that is ready after that time is looked at."""
        at = [0.0]
        one = knowledge_base(KnowledgeBaseStatus.CREATING)
        while at[-1] < ready_after:
            now = START + timedelta(seconds=at[-1])
            at.append(at[-1] + one.look_again_after(now, self.USUAL, DEADLINE + timedelta(hours=1)).total_seconds())
        return at

    def test_one_that_takes_the_usual_time_is_looked_at_once(self) -> None:
        assert self.looks(83) == [0, 85]

    def test_a_slow_one_is_found_ready_at_most_15_percent_late(self) -> None:
        for ready_after in range(86, 900, 7):
            assert self.looks(ready_after)[-1] <= ready_after * 1.15 + 1

    def test_a_slow_one_costs_few_looks(self) -> None:
        assert len(self.looks(170)) <= 7

    @pytest.mark.parametrize("late", [0, 1, 3600])
    def test_the_shortest_wait_is_a_second(self, late: int) -> None:
        one = knowledge_base(KnowledgeBaseStatus.CREATING)
        now = START + timedelta(seconds=late)
        assert one.look_again_after(now, timedelta(0), now) == timedelta(seconds=1)

    @pytest.mark.parametrize("status", KnowledgeBaseStatus)
    def test_the_last_look_is_at_the_deadline_however_old_it_is(self, status: KnowledgeBaseStatus) -> None:
        one = replace(knowledge_base(status), status_since=START - timedelta(days=400))
        assert one.look_again_after(START, self.USUAL, DEADLINE) <= DEADLINE - START

    def test_an_update_is_looked_at_soon_however_old_it_is(self) -> None:
        one = replace(knowledge_base(KnowledgeBaseStatus.ACTIVE), status_since=START - timedelta(days=400))
        assert one.look_again_after(START, self.USUAL, DEADLINE) == timedelta(seconds=5)


FIXED = {
    "chunkingConfiguration": {"chunkingStrategy": "FIXED_SIZE", "fixedSizeChunkingConfiguration": {"maxTokens": 99}}
}


def parsed_by(model: str, **more: object) -> dict[str, object]:
    described = {"modelArn": model, **more}
    return {
        "parsingConfiguration": {
            "parsingStrategy": "BEDROCK_FOUNDATION_MODEL",
            "bedrockFoundationModelConfiguration": described,
        }
    }


class TestHowADataSourceReads:
    def made_with(self, ingestion: Mapping[str, object]) -> DataSource:
        return DataSource("DS00000001", "documents", DataSourceStatus.AVAILABLE, ingestion=ingestion)

    @pytest.mark.parametrize(
        "made",
        [
            {},
            {"chunkingConfiguration": {}},
            {"parsingConfiguration": {"parsingStrategy": "SMART_PARSING"}},
            {
                "chunkingConfiguration": {
                    "chunkingStrategy": "FIXED_SIZE",
                    "fixedSizeChunkingConfiguration": {"maxTokens": 300, "overlapPercentage": 20},
                }
            },
            {"announcedNextYear": {"type": "BY_ITSELF"}},
        ],
    )
    def test_what_the_service_does_by_itself_is_no_drift_from_the_default(self, made: dict[str, object]) -> None:
        found = self.made_with(made)
        assert found.ingests_as({})
        assert found.drift_from({}) == ()

    @pytest.mark.parametrize("wanted", [{}, FIXED, parsed_by("a")])
    @pytest.mark.parametrize(
        "by_hand",
        [
            {"parsingConfiguration": {"parsingStrategy": "BEDROCK_DATA_AUTOMATION"}},
            {"chunkingConfiguration": {"chunkingStrategy": "NONE"}},
            {"customTransformationConfiguration": {"transformations": []}},
            {"contextEnrichmentConfiguration": {"type": "BEDROCK_FOUNDATION_MODEL"}},
        ],
    )
    def test_what_somebody_has_added_is_told_whatever_is_wanted(
        self, wanted: dict[str, object], by_hand: dict[str, object]
    ) -> None:
        found = self.made_with({**wanted, **by_hand})
        assert not found.ingests_as(wanted)
        assert not found.ingests_otherwise(wanted)
        (drift,) = found.drift_from(wanted)
        assert "DS00000001" in drift

    def test_a_parser_where_none_is_wanted_cannot_be_taken_away(self) -> None:
        found = self.made_with(parsed_by("a", parsingPrompt={"parsingPromptText": "pages of it"}))
        (drift,) = found.drift_from({})
        assert "BEDROCK_FOUNDATION_MODEL" in drift
        assert "a new one would be made with Bedrock's default" in drift
        assert "pages of it" not in drift

    @pytest.mark.parametrize(
        "made",
        [
            parsed_by("b"),
            parsed_by("a", parsingPrompt={"parsingPromptText": "Tables as Markdown."}),
            parsed_by("a", parsingModality="MULTIMODAL"),
        ],
    )
    def test_another_model_or_prompt_can_be_put_right(self, made: dict[str, object]) -> None:
        found = self.made_with({**made, **FIXED})
        assert found.ingests_otherwise({**parsed_by("a"), **FIXED})
        assert found.drift_from({**parsed_by("a"), **FIXED}) == ()

    def test_what_the_service_adds_within_what_is_wanted_is_no_drift(self) -> None:
        wanted = {"chunkingConfiguration": {"chunkingStrategy": "NONE"}}
        assert self.made_with({"chunkingConfiguration": {"chunkingStrategy": "NONE", "since": 2026}}).ingests_as(wanted)


class TestDrift:
    WANTED: ClassVar = {
        "knowledgeBaseConfiguration": {
            "type": "VECTOR",
            "vectorKnowledgeBaseConfiguration": {"embeddingModelArn": "a"},
        },
        "storageConfiguration": {"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": "acme"}},
    }

    def made_with(self, **changes: object) -> KnowledgeBase:
        return replace(knowledge_base(KnowledgeBaseStatus.ACTIVE), configuration={**self.WANTED, **changes})

    def test_one_that_was_made_the_same_way_has_none(self) -> None:
        assert self.made_with().drift_from(self.WANTED) == ()
        assert self.made_with().stores_as(self.WANTED)

    def test_what_the_service_adds_is_none(self) -> None:
        storage = {"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": "acme", "vectorBucketArn": "bucket"}}
        assert self.made_with(storageConfiguration=storage).stores_as(self.WANTED)

    def test_another_model_is_reported_with_what_to_do(self) -> None:
        other = {"type": "VECTOR", "vectorKnowledgeBaseConfiguration": {"embeddingModelArn": "b"}}
        (drift,) = self.made_with(knowledgeBaseConfiguration=other).drift_from(self.WANTED)
        assert re.search("KB00000001 was made with .*offboard the tenant and provision it anew", drift)

    @pytest.mark.parametrize(
        "changes",
        [
            {"storageConfiguration": {"type": "S3_VECTORS", "s3VectorsConfiguration": {"indexArn": "sakura"}}},
            {"storageConfiguration": None},
            {"knowledgeBaseConfiguration": {"type": "MANAGED"}},
        ],
    )
    def test_one_on_another_index_or_of_another_kind_does_not_store_the_same(self, changes: dict[str, object]) -> None:
        assert not self.made_with(**changes).stores_as(self.WANTED)


class TestWhatADataSourceReads:
    """Beside what it should. The members are those of botocore's model of bedrock-agent."""

    BUCKET = NAMES.bucket(Life(ACME))
    ON_S3: ClassVar[Any] = s3_data_source(BUCKET, "aws")
    MANAGED: ClassVar[Any] = ManagedKnowledgeStore(
        names=NAMES, ingestion=Ingestion("MANAGED"), model_arn=model_arn
    ).data_source_configuration(BUCKET)
    BOTH = pytest.mark.parametrize("wanted", [ON_S3, MANAGED], ids=["S3", "MANAGED"])

    def made(self, configuration: Mapping[str, object], **changes: Any) -> DataSource:
        source = DataSource("DS00000002", "documents", DataSourceStatus.AVAILABLE, configuration=configuration)
        return replace(source, **changes)

    def connected(self, **members: object) -> DataSource:
        connector = {**self.MANAGED["managedKnowledgeBaseConnectorConfiguration"], **members}
        return self.made({**self.MANAGED, "managedKnowledgeBaseConnectorConfiguration": connector})

    def parameters(self, **members: object) -> dict[str, object]:
        return {**self.MANAGED["managedKnowledgeBaseConnectorConfiguration"]["connectorParameters"], **members}

    @BOTH
    def test_one_that_was_made_so_does(self, wanted: dict[str, object]) -> None:
        assert self.made(wanted).reads(wanted)
        assert self.made(wanted).reads_as(wanted)
        assert not self.made(wanted, deletion_policy="RETAIN").reads_as(wanted)

    @BOTH
    def test_another_bucket_or_another_kind_of_source_is_another(self, wanted: dict[str, object]) -> None:
        theirs = json.loads(json.dumps(wanted).replace(self.BUCKET, NAMES.bucket(Life(SAKURA))))
        for other in (theirs, {"type": "CONFLUENCE", "confluenceConfiguration": {}}):
            assert self.made(other).reads_another(wanted)
            assert not self.made(other).reads(wanted)
            self.made(other).require_described(wanted)

    @BOTH
    def test_of_one_that_does_not_say_nothing_is_known(self, wanted: dict[str, object]) -> None:
        for silent in ({}, {"type": wanted["type"]}):
            assert not self.made(silent).reads_another(wanted)
            assert not self.made(silent).reads_as(wanted)
            with pytest.raises(NotReadyYet, match="DS00000002"):
                self.made(silent).require_described(wanted)

    @pytest.mark.parametrize("beside", [{"inclusionPrefixes": ["public/"]}, {"bucketOwnerAccountId": "999999999999"}])
    def test_a_part_of_the_bucket_or_a_bucket_of_another_account_is_not_as_it_should_be(
        self, beside: dict[str, object]
    ) -> None:
        narrowed = self.made({"type": "S3", "s3Configuration": {**self.ON_S3["s3Configuration"], **beside}})
        assert narrowed.reads(self.ON_S3)
        assert not narrowed.reads_as(self.ON_S3)

    @pytest.mark.parametrize(
        "members",
        [
            # A sync that would delete more than this percentage deletes nothing.
            {"deletionProtectionConfiguration": {"deletionProtectionStatus": "ENABLED"}},
            # AWS starts jobs by itself.
            {"syncSchedule": {"daily": {}}},
            {"mediaExtractionConfiguration": {"audioExtractionConfiguration": {"audioExtractionStatus": "ENABLED"}}},
        ],
        ids=str,
    )
    def test_a_connector_that_is_set_otherwise_is_not_as_it_should_be(self, members: dict[str, object]) -> None:
        assert self.connected(**members).reads(self.MANAGED)
        assert not self.connected(**members).reads_as(self.MANAGED)

    @pytest.mark.parametrize(
        "members",
        [
            {"filterConfiguration": {"inclusionPrefixes": ["public/"]}},
            {"filterConfiguration": {"maxFileSizeInMegaBytes": "1"}},
            {"metadataFilesPrefix": "elsewhere/"},
            {"aclEnabled": True},
            {"connectionConfiguration": {"bucketName": BUCKET, "bucketOwnerAccountId": "999999999999"}},
        ],
        ids=str,
    )
    def test_nor_is_one_whose_parameters_are_others(self, members: dict[str, object]) -> None:
        assert not self.connected(connectorParameters=self.parameters(**members)).reads_as(self.MANAGED)

    @pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
    def test_what_the_service_adds_by_itself_is_nothing_else(self, partition: str) -> None:
        connection = {"bucketName": self.BUCKET, "bucketOwnerAccountId": ACCOUNT}
        parameters = self.parameters(
            aclEnabled=False,
            filterConfiguration={"maxFileSizeInMegaBytes": "500"},
            connectionConfiguration={**connection, "bucketArn": f"arn:{partition}:s3:::{self.BUCKET}"},
        )
        extraction = {"imageExtractionConfiguration": {"imageExtractionStatus": "ENABLED"}}
        found = self.connected(connectorParameters=parameters, mediaExtractionConfiguration=extraction)
        assert found.reads_as(self.MANAGED)
        theirs = {**connection, "bucketArn": f"arn:{partition}:s3:::{NAMES.bucket(Life(SAKURA))}"}
        assert not self.connected(connectorParameters={**parameters, "connectionConfiguration": theirs}).reads_as(
            self.MANAGED
        )

    def test_ours_says_that_its_jobs_delete(self) -> None:
        connector = self.MANAGED["managedKnowledgeBaseConnectorConfiguration"]
        assert connector["deletionProtectionConfiguration"] == {"deletionProtectionStatus": "DISABLED"}


@given(st.lists(st.text()), st.dictionaries(st.text(), st.text()))
def test_client_tokens_have_the_form_that_bedrock_takes(parts: list[str], configuration: dict[str, str]) -> None:
    # Source: botocore model of bedrock-agent, shape ClientToken.
    token = client_token(*parts, configuration=configuration)
    assert 33 <= len(token) <= 256
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,256}", token)


def test_the_same_request_has_the_same_token_whatever_the_order_of_its_members() -> None:
    assert client_token("a", configuration={"x": 1, "y": 2}) == client_token("a", configuration={"y": 2, "x": 1})


def test_a_changed_request_has_another_token() -> None:
    tokens = {
        client_token("a", "b"),
        client_token("ab"),
        client_token("a", "b", configuration={"x": 1}),
        client_token("a", "b", configuration={"x": 2}),
    }
    assert len(tokens) == 4


class TestContentLost:
    @pytest.mark.parametrize(
        ("seconds", "lost"),
        [(-90, False), (0, False), (5, False), (6, True), (86_400, True)],
    )
    def test_an_index_that_is_younger_than_what_it_should_hold_is_another_one(self, seconds: int, lost: bool) -> None:
        assert content_lost(START + timedelta(seconds=seconds), START) is lost

    @pytest.mark.parametrize("ages", [(None, START), (START, None), (None, None)])
    def test_nothing_counts_as_lost_where_an_age_is_not_known(
        self, ages: tuple[datetime | None, datetime | None]
    ) -> None:
        assert not content_lost(*ages)
