"""What a receipt and docs/security.md say of how long something remains is how long it does."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from kbfleet.adapters.dynamodb.incidents import REMEMBERED_FOR
from kbfleet.adapters.sessions import LIFETIME
from kbfleet.domain.erasure import PLACES
from tests.support.template import environment, properties, resources, template

KEPT_FOR = {place.where: place.kept_for for place in PLACES}


def test_incidents_and_timelines_expire_when_it_says() -> None:
    assert KEPT_FOR["incidents in the table"] == REMEMBERED_FOR


def test_the_table_can_be_restored_for_as_long_as_it_says() -> None:
    """35 days unless the template says otherwise. Source: AWS CloudFormation, PointInTimeRecoverySpecification."""
    recovery = properties("Table")["PointInTimeRecoverySpecification"]
    assert recovery == {"PointInTimeRecoveryEnabled": True}
    assert KEPT_FOR["point-in-time recovery of the table"] == timedelta(days=35)


def test_no_queue_keeps_messages_for_longer_than_it_says() -> None:
    """Queues that do not say so keep messages for four days. Source: Amazon SQS API reference, CreateQueue."""
    kept = {
        name: timedelta(seconds=queue["Properties"].get("MessageRetentionPeriod", 345_600))
        for name, queue in resources("AWS::SQS::Queue").items()
    }
    assert max(kept.values()) == KEPT_FOR["dead-letter queues"]


def test_every_log_is_kept_for_as_long_as_the_stack_is_reported() -> None:
    for name, group in resources("AWS::Logs::LogGroup").items():
        assert group["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}, name
    assert environment("VerifyErasureFunction")["LOG_RETENTION_DAYS"] == {"Ref": "LogRetentionDays"}


def test_a_verdict_on_a_token_is_cached_for_as_long_as_it_says() -> None:
    (seconds,) = set(re.findall(r"'ReauthorizeEvery': (\d+)", str(template()["Resources"]["Api"])))
    assert KEPT_FOR["API Gateway's cache"] == timedelta(seconds=int(seconds))


def test_sessions_last_as_long_as_it_says() -> None:
    assert KEPT_FOR["sessions at Bedrock"] == LIFETIME


def test_nothing_else_of_the_stack_keeps_what_passes_through_it() -> None:
    """A new store is a new row."""
    keeping = {"Table": "AWS::DynamoDB::Table", "VectorBucket": "AWS::S3Vectors::VectorBucket"}
    stores = ("DynamoDB::", "S3::", "S3Vectors::", "Archive", "Backup", "Kinesis", "SSM::", "RDS::", "EFS::")
    found = {
        name: resource["Type"]
        for name, resource in template()["Resources"].items()
        if any(store in resource["Type"] for store in stores)
    }
    assert found == keeping


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.where)
def test_the_words_say_what_the_number_does(place: object) -> None:
    numbers = re.findall(r"(\d+) (seconds|hours|days?)", place.until)  # type: ignore[attr-defined]
    units = {"seconds": 1, "hours": 3_600, "day": 86_400, "days": 86_400}
    said = [timedelta(seconds=int(number) * units[unit]) for number, unit in numbers]
    assert said == ([place.kept_for] if place.kept_for else [])  # type: ignore[attr-defined]
