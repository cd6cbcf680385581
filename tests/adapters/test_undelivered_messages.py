"""Which dead letters go with a tenant, and which stay."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kbfleet.adapters.sqs
from kbfleet.adapters.sqs import SqsUndeliveredMessages
from kbfleet.contracts.dead_letters import is_about
from kbfleet.domain.errors import ResourceMissing
from kbfleet.domain.names import Life
from tests.support.aws import client as aws_client
from tests.support.samples import ACME, NAMES, SAKURA

BUCKET = NAMES.bucket(Life(ACME))
OURS = {
    "our event": {"detail": {"tenant_id": "acme", "documents": []}},
    "our event, at a function that failed": {
        "requestPayload": {"detail": {"tenant_id": "acme"}},
        "responsePayload": {},
    },
    "a change in its bucket": {"source": "aws.s3", "detail": {"bucket": {"name": BUCKET}, "object": {"key": "a.pdf"}}},
    "an execution for it": {"requestPayload": {"detail": {"input": '{"tenant_id": "acme", "name": "Acme"}'}}},
    "a line of its usage": {"message": "Question answered", "tenant_id": "acme"},
}
OTHERS = {
    "another's event": {"detail": {"tenant_id": "sakura"}},
    "one whose id begins like it": {"detail": {"tenant_id": "acme-2"}},
    "one that names it in text": {"detail": {"tenant_id": "sakura", "reason": "tenant_id: acme", "key": '"acme"'}},
    "one that names it elsewhere": {"detail": {"tenant_id": "sakura", "object": {"tenant_id": "acme"}}, "id": "acme"},
    "a change in a bucket that begins like it": {"detail": {"bucket": {"name": f"{BUCKET}x"}}},
    "an object of that key": {"detail": {"bucket": {"name": NAMES.bucket(Life(SAKURA))}, "object": {"key": BUCKET}}},
    "an execution for another": {"detail": {"input": '{"tenant_id": "sakura", "name": "acme"}'}},
    "an alarm": {"detail": {"alarmName": "acme", "state": {"value": "ALARM"}}},
    "usage of several": {"requestPayload": {"awslogs": {"data": "acme"}}},
}
NO_EVENTS = ["", "acme", '"acme"', "[]", "null", "{", "[" * 100_000, '{"detail": "acme"}', '{"detail": ["acme"]}']


@pytest.fixture
def queues(aws: None) -> tuple[Any, Sequence[str]]:
    """Where nobody waits for messages: all that there are come at once."""
    client: Any = aws_client("sqs")
    at_once = {"WaitTimeSeconds": 0}
    client.meta.events.register("provide-client-params.sqs.ReceiveMessage", lambda params, **_: params | at_once)
    return client, [client.create_queue(QueueName=name)["QueueUrl"] for name in ("alerts", "changes")]


def bodies(client: Any, url: str) -> set[str]:
    """Of those that are visible."""
    found: set[str] = set()
    while some := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found |= {message["Body"] for message in some}
    return found


def test_only_what_is_about_the_tenant_is_deleted_and_all_else_is_visible_as_before(
    queues: tuple[Any, Sequence[str]],
) -> None:
    client, urls = queues
    others = [json.dumps(message) for message in OTHERS.values()] + [body for body in NO_EVENTS if 0 < len(body) < 99]
    for url in urls:
        for body in (*map(json.dumps, OURS.values()), *others):
            client.send_message(QueueUrl=url, MessageBody=body)
    undelivered = SqsUndeliveredMessages(client, queue_urls=urls)
    assert undelivered.delete(ACME, BUCKET)
    for url in urls:
        assert bodies(client, url) == set(others)


def test_more_than_it_has_time_for_are_left_and_reported(
    queues: tuple[Any, Sequence[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kbfleet.adapters.sqs, "_CALLS", 3)
    client, urls = queues
    for number in range(35):
        client.send_message(QueueUrl=urls[0], MessageBody=str(number))
    assert not SqsUndeliveredMessages(client, queue_urls=urls).delete(ACME, BUCKET)
    assert len(bodies(client, urls[0])) == 35


def test_a_queue_that_is_gone_is_an_error_of_ours(queues: tuple[Any, Sequence[str]]) -> None:
    client, urls = queues
    client.delete_queue(QueueUrl=urls[1])
    with pytest.raises(ResourceMissing):
        SqsUndeliveredMessages(client, queue_urls=urls).delete(ACME, BUCKET)


@pytest.mark.parametrize("message", OURS.values(), ids=OURS.keys())
def test_what_is_about_it(message: object) -> None:
    assert is_about(json.dumps(message), tenant_id=ACME, bucket_name=BUCKET)


@pytest.mark.parametrize("message", OTHERS.values(), ids=OTHERS.keys())
def test_what_is_not(message: object) -> None:
    assert not is_about(json.dumps(message), tenant_id=ACME, bucket_name=BUCKET)


@pytest.mark.parametrize("body", NO_EVENTS, ids=range(len(NO_EVENTS)))
def test_what_is_no_event_is_about_nobody(body: str) -> None:
    assert not is_about(body, tenant_id=ACME, bucket_name=BUCKET)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["acme", BUCKET, '{"tenant_id": "sakura"}'])
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["detail", "bucket", "name", "input", "x"]), inner),
)


@given(json_values)
def test_no_message_without_a_field_for_a_tenant_is_taken_for_one(value: Any) -> None:
    in_its_bucket = isinstance(value, dict) and _names_the_bucket(value)
    assert is_about(json.dumps(value), tenant_id=ACME, bucket_name=BUCKET) == in_its_bucket


def _names_the_bucket(event: dict[str, Any]) -> bool:
    bucket = event.get("detail").get("bucket") if isinstance(event.get("detail"), dict) else None  # type: ignore[union-attr]
    return isinstance(bucket, dict) and bucket.get("name") == BUCKET
