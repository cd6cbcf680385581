"""Deliveries of knowledge bases' logs, by our fake and by the real adapter."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.stub import Stubber

from kbfleet.adapters.cloudwatch_logs import CloudWatchLogDeliveries
from kbfleet.domain.errors import AccessRefused, NotReadyYet, ResourceConflict
from kbfleet.ports import LogDeliveries
from tests.support.aws import client as aws_client
from tests.support.fakes import InMemoryLogDeliveries
from tests.support.samples import ACCOUNT, REGION

NAME = "kbfleet-acme"
KNOWLEDGE_BASE = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:knowledge-base/KB00000001"
ANOTHER = f"arn:aws:bedrock:{REGION}:{ACCOUNT}:knowledge-base/KB00000002"
DESTINATION = f"arn:aws:logs:{REGION}:{ACCOUNT}:delivery-destination:kbfleet-knowledge-bases"
LOG_GROUP = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/vendedlogs/bedrock/kbfleet-knowledge-bases:*"


class LogDeliveriesSuite:
    @pytest.fixture
    def deliveries(self) -> LogDeliveries:
        raise NotImplementedError

    def test_what_was_never_made_is_not_there_and_can_be_deleted(self, deliveries: LogDeliveries) -> None:
        deliveries.delete(NAME)
        assert not deliveries.exists(NAME)

    def test_one_is_there_however_often_it_is_ensured(self, deliveries: LogDeliveries) -> None:
        for _ in range(3):
            deliveries.ensure(NAME, KNOWLEDGE_BASE)
            assert deliveries.exists(NAME)

    def test_one_that_is_deleted_is_gone_and_the_others_stay(self, deliveries: LogDeliveries) -> None:
        deliveries.ensure(NAME, KNOWLEDGE_BASE)
        deliveries.ensure("kbfleet-sakura", ANOTHER)
        for _ in range(2):
            deliveries.delete(NAME)
            assert not deliveries.exists(NAME)
        assert deliveries.exists("kbfleet-sakura")

    def test_another_knowledge_base_takes_the_place_of_the_first(self, deliveries: LogDeliveries) -> None:
        for knowledge_base in (KNOWLEDGE_BASE, ANOTHER, KNOWLEDGE_BASE):
            deliveries.ensure(NAME, knowledge_base)
            assert deliveries.exists(NAME)


class TestInMemoryLogDeliveries(LogDeliveriesSuite):
    @pytest.fixture
    def deliveries(self) -> LogDeliveries:
        return InMemoryLogDeliveries()


class TestCloudWatchLogDeliveries(LogDeliveriesSuite):
    @pytest.fixture
    def logs(self, aws: None) -> Any:
        client = aws_client("logs")
        made = client.put_delivery_destination(
            name="kbfleet-knowledge-bases", deliveryDestinationConfiguration={"destinationResourceArn": LOG_GROUP}
        )
        assert made["deliveryDestination"]["arn"] == DESTINATION
        return client

    @pytest.fixture
    def deliveries(self, logs: Any) -> LogDeliveries:
        return CloudWatchLogDeliveries(logs, destination_arn=DESTINATION)

    def test_the_knowledge_bases_log_goes_to_the_destination_once(self, deliveries: LogDeliveries, logs: Any) -> None:
        for knowledge_base in (KNOWLEDGE_BASE, ANOTHER, ANOTHER):
            deliveries.ensure(NAME, knowledge_base)
            (source,) = logs.describe_delivery_sources()["deliverySources"]
            assert (source["name"], source["logType"]) == (NAME, "APPLICATION_LOGS")
            assert source["resourceArns"] == [knowledge_base]
            (delivery,) = logs.describe_deliveries()["deliveries"]
            assert (delivery["deliverySourceName"], delivery["deliveryDestinationArn"]) == (NAME, DESTINATION)

    def test_one_that_was_left_half_made_is_completed(self, deliveries: LogDeliveries, logs: Any) -> None:
        logs.put_delivery_source(name=NAME, resourceArn=KNOWLEDGE_BASE, logType="APPLICATION_LOGS")
        assert deliveries.exists(NAME)
        deliveries.ensure(NAME, KNOWLEDGE_BASE)
        assert len(logs.describe_deliveries()["deliveries"]) == 1

    def test_nothing_is_left_of_one_that_is_deleted_also_when_it_was_half_deleted(
        self, deliveries: LogDeliveries, logs: Any
    ) -> None:
        for half in (False, True):
            deliveries.ensure(NAME, KNOWLEDGE_BASE)
            if half:
                logs.delete_delivery(id=logs.describe_deliveries()["deliveries"][0]["id"])
            deliveries.delete(NAME)
            assert logs.describe_deliveries()["deliveries"] == []
            assert logs.describe_delivery_sources()["deliverySources"] == []


BUSY = "Requested resource is currently being updated. Please try again later."
MISSING = "Requested Delivery Source does not exist in this account."
SOURCE = {"deliverySource": {"name": NAME, "resourceArns": [KNOWLEDGE_BASE]}}


class TestRefusals:
    """By texts that users report."""

    @pytest.fixture
    def logs(self) -> Any:
        return aws_client("logs")

    @pytest.fixture
    def deliveries(self, logs: Any) -> LogDeliveries:
        return CloudWatchLogDeliveries(logs, destination_arn=DESTINATION)

    def test_a_delivery_that_another_one_to_the_destination_keeps_waiting_is_worth_another_try(
        self, logs: Any, deliveries: LogDeliveries
    ) -> None:
        stub = Stubber(logs)
        stub.add_response("get_delivery_source", SOURCE)
        stub.add_client_error("create_delivery", "ConflictException", BUSY, 400)
        stub.add_response("describe_deliveries", {"deliveries": []})
        with stub, pytest.raises(NotReadyYet, match="currently being updated"):
            deliveries.ensure(NAME, KNOWLEDGE_BASE)

    def test_a_delivery_that_is_there_is_found_on_whichever_page_of_the_list_it_is(
        self, logs: Any, deliveries: LogDeliveries
    ) -> None:
        own = {"id": "1", "deliverySourceName": NAME, "deliveryDestinationArn": DESTINATION}
        stub = Stubber(logs)
        stub.add_response("get_delivery_source", SOURCE)
        stub.add_client_error("create_delivery", "ConflictException", "The specified Delivery already exists", 400)
        stub.add_response("describe_deliveries", {"deliveries": [own | {"deliverySourceName": "x"}], "nextToken": "2"})
        stub.add_response("describe_deliveries", {"deliveries": [own]})
        with stub:
            deliveries.ensure(NAME, KNOWLEDGE_BASE)
            stub.assert_no_pending_responses()

    @pytest.mark.parametrize(
        ("code", "message", "raised"),
        [
            ("ConflictException", "This ResourceId has already been used in another Delivery Source", ResourceConflict),
            ("ConflictException", BUSY, NotReadyYet),
            ("AccessDeniedException", "no", AccessRefused),
        ],
    )
    def test_a_source_that_cannot_be_made_is_told_by_why(
        self, logs: Any, deliveries: LogDeliveries, code: str, message: str, raised: type[Exception]
    ) -> None:
        stub = Stubber(logs)
        stub.add_client_error("get_delivery_source", "ResourceNotFoundException", MISSING, 400)
        stub.add_client_error("put_delivery_source", code, message, 400)
        with stub, pytest.raises(raised):
            deliveries.ensure(NAME, KNOWLEDGE_BASE)
