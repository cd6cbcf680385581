"""Secrets are read once, and again when that was long ago."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kbfleet.adapters.secrets import RememberedSecret
from kbfleet.domain.errors import ResourceMissing
from tests.support.aws import client as aws_client
from tests.support.fakes import FakeClock

AN_HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def secret(aws: None, clock: FakeClock) -> RememberedSecret:
    aws_client("secretsmanager").create_secret(Name="key", SecretString="first")
    return RememberedSecret(aws_client("secretsmanager"), "key", clock=clock, remembered_for=AN_HOUR)


def test_a_new_text_is_noticed_once_the_time_is_over(secret: RememberedSecret, clock: FakeClock) -> None:
    assert secret() == "first"
    aws_client("secretsmanager").put_secret_value(SecretId="key", SecretString="second")
    clock.advance(AN_HOUR.total_seconds() - 1)
    assert secret() == "first"
    clock.advance(1)
    assert secret() == "second"


def test_one_that_cannot_be_read_is_tried_again_the_next_time(aws: None, clock: FakeClock) -> None:
    secret = RememberedSecret(aws_client("secretsmanager"), "key", clock=clock, remembered_for=AN_HOUR)
    with pytest.raises(ResourceMissing, match="key"):
        secret()
    aws_client("secretsmanager").create_secret(Name="key", SecretString="there now")
    assert secret() == "there now"
