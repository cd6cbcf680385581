"""AWS for adapters: moto, and the Bedrock emulator in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto import mock_aws

from kbfleet.adapters.dynamodb.table import Table
from tests.support.aws import client as aws_client
from tests.support.samples import REGION
from tests.support.template import table_definition


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Credentials that are good nowhere, and moto in place of AWS."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        yield


@pytest.fixture
def table(aws: None) -> Table:
    """The table of template.yaml."""
    client = aws_client("dynamodb")
    client.create_table(TableName="kbfleet", **table_definition())
    return Table(client, "kbfleet")
