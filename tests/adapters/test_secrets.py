"""Secrets are read once, and again when that was long ago."""

from __future__ import annotations

import threading
from datetime import timedelta
from unittest.mock import patch

import pytest
from botocore.exceptions import EndpointConnectionError

from kbfleet import bootstrap
from kbfleet.adapters.secrets import AGAIN_AFTER, RememberedSecret
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
    return RememberedSecret(lambda: aws_client("secretsmanager"), "key", clock=clock, remembered_for=AN_HOUR)


def test_a_new_text_is_noticed_once_the_time_is_over(secret: RememberedSecret, clock: FakeClock) -> None:
    assert secret() == "first"
    aws_client("secretsmanager").put_secret_value(SecretId="key", SecretString="second")
    clock.advance(AN_HOUR.total_seconds() - 1)
    assert secret() == "first"
    clock.advance(1)
    assert secret() == "second"


def test_one_that_cannot_be_read_is_tried_again_the_next_time(aws: None, clock: FakeClock) -> None:
    secret = RememberedSecret(lambda: aws_client("secretsmanager"), "key", clock=clock, remembered_for=AN_HOUR)
    with pytest.raises(ResourceMissing, match="key"):
        secret()
    aws_client("secretsmanager").create_secret(Name="key", SecretString="there now")
    assert secret() == "there now"


def test_the_old_text_is_kept_while_aws_does_not_answer_but_not_where_it_refuses(aws: None, clock: FakeClock) -> None:
    client = aws_client("secretsmanager")
    client.create_secret(Name="key", SecretString="first")
    secret = RememberedSecret(lambda: client, "key", clock=clock, remembered_for=AN_HOUR)
    assert secret() == "first"
    client.put_secret_value(SecretId="key", SecretString="second")
    clock.advance(AN_HOUR.total_seconds())
    with patch.object(client, "get_secret_value", side_effect=EndpointConnectionError(endpoint_url="there")) as asked:
        assert secret() == "first"
        clock.advance(AGAIN_AFTER.total_seconds() - 1)
        assert secret() == "first"
        assert asked.call_count == 1
    clock.advance(1)
    assert secret() == "second"
    client.delete_secret(SecretId="key", ForceDeleteWithoutRecovery=True)
    clock.advance(AN_HOUR.total_seconds())
    with pytest.raises(ResourceMissing):
        secret()


def test_a_prompt_of_ones_own_is_read_where_there_is_one(aws: None) -> None:
    """The longest that CloudFormation takes, which a function's environment does not."""
    prompt = f"{'検索結果だけから答えてください。' * 84}$search_results$"
    arn = aws_client("secretsmanager").create_secret(Name="prompt", SecretString=prompt)["ARN"]
    bootstrap._secrets.cache_clear()
    read = bootstrap._prompt_template(arn)
    assert read is not None
    assert read() == prompt
    assert bootstrap._prompt_template("") is None
    bootstrap._secrets.cache_clear()


class TestReadingItMeanwhile:
    def test_it_has_been_read_when_the_other_work_is_done(self, secret: RememberedSecret) -> None:
        with secret.read_meanwhile():
            pass
        aws_client("secretsmanager").put_secret_value(SecretId="key", SecretString="second")
        assert secret() == "first"

    def test_it_is_not_read_again(self, secret: RememberedSecret, clock: FakeClock) -> None:
        assert secret() == "first"
        aws_client("secretsmanager").put_secret_value(SecretId="key", SecretString="second")
        clock.advance(AN_HOUR.total_seconds() - 1)
        with secret.read_meanwhile():
            pass
        assert secret() == "first"

    def test_no_thread_is_left_when_the_other_work_fails(self, secret: RememberedSecret) -> None:
        before = threading.active_count()
        with pytest.raises(ValueError, match="the work"), secret.read_meanwhile():
            raise ValueError("the work")
        assert threading.active_count() == before
        assert secret() == "first"

    def test_what_goes_wrong_is_for_whoever_needs_the_text(self, aws: None, clock: FakeClock) -> None:
        secret = RememberedSecret(lambda: aws_client("secretsmanager"), "key", clock=clock, remembered_for=AN_HOUR)
        with secret.read_meanwhile():
            pass
        with pytest.raises(ResourceMissing):
            secret()
