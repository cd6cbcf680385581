"""What is in a log: nothing that acts on what it is read in, and no text of tenants."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from pydantic import ValidationError

from kbfleet.adapters.aws_errors import translated
from kbfleet.contracts import Contract, parse
from kbfleet.domain.errors import AccessRefused, InvalidInput
from kbfleet.logs import logger
from tests.support.hostile_words import FORGED_KEY, assert_printable, hostile_text

UNHURRIED = settings(deadline=None)


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    stream = StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", stream)
    return stream


@UNHURRIED
@given(hostile_text())
def test_a_line_is_json_that_acts_on_no_device(text: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        stream = StringIO()
        patched.setattr(logger.registered_handler, "stream", stream)
        logger.warning("A signal is recorded", subject=text)
    assert_printable(stream.getvalue())
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["subject"] == text


def test_of_an_unexpected_exception_there_is_where_it_was_but_not_what_it_quotes(stream: StringIO) -> None:
    try:
        try:
            {"": ""}[FORGED_KEY]
        except KeyError as error:
            raise ValueError(f"what is {FORGED_KEY}?") from error
    except ValueError as error:
        logger.error("The request failed unexpectedly", exc_info=error)
    written = json.loads(stream.getvalue())
    assert "--yes" not in stream.getvalue()
    assert written["exception_name"] == "ValueError"
    assert "KeyError" in written["exception"]
    assert "test_logs.py" in written["exception"]


def test_a_message_of_aws_does_not_repeat_a_key() -> None:
    message = (
        f'x is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::b/{FORGED_KEY}" because no policy'
    )
    answer = {"Error": {"Code": "AccessDenied", "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    with pytest.raises(AccessRefused) as refused, translated("bucket b", unsaid=[FORGED_KEY]):
        raise ClientError(answer, "PutObject")  # type: ignore[arg-type]
    assert 'arn:aws:s3:::b/…" because no policy' in str(refused.value)
    assert FORGED_KEY not in str(refused.value)


class _Named(Contract):
    name: str = ""


@UNHURRIED
@given(hostile_text())
def test_the_name_of_a_field_that_there_is_not_is_short_and_acts_on_nothing(name: str) -> None:
    if name in _Named.model_fields:
        return
    with pytest.raises(InvalidInput) as refused:
        parse(_Named, {name: 1})
    assert_printable(str(refused.value), keep="")
    assert len(refused.value.field) <= 100


def test_the_value_of_a_field_is_in_no_message() -> None:
    with pytest.raises(ValidationError, match="--yes"):
        _Named.model_validate({"name": [FORGED_KEY]})
    with pytest.raises(InvalidInput) as refused:
        parse(_Named, {"name": [FORGED_KEY]})
    assert "--yes" not in str(refused.value)
