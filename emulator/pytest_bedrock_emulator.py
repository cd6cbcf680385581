"""Fixtures for tests of code that calls Amazon Bedrock Knowledge Bases. pytest finds them by itself (``pytest11``).

Each test has an emulator of its own, on a clock that stands still until it is moved. Override ``bedrock_settings`` to
give the emulator other arguments. A module beside the package, since every run of pytest imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from bedrock_emulator import Emulator, ManualClock
    from bedrock_emulator.world.faults import Faults

Clients = Callable[..., Any]

_KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}


@pytest.fixture
def bedrock_settings() -> dict[str, Any]:
    """Arguments of `bedrock_emulator.Emulator` in place of the plugin's own; override it with a fixture of yours.

    By default there are no request rates, since no time passes between two requests, and texts are compared by their
    words, without an embedding model.
    """
    return {}


@pytest.fixture
def bedrock_clock() -> ManualClock:
    """The emulator's clock: ``advance(seconds)`` moves it."""
    from bedrock_emulator import ManualClock

    return ManualClock()


@pytest.fixture
def bedrock_emulator(bedrock_clock: ManualClock, bedrock_settings: dict[str, Any]) -> Iterator[Emulator]:
    """An emulator without resources, of the account 000000000000."""
    from bedrock_emulator import Emulator, Quotas

    usual = {"clock": bedrock_clock, "embedder": "character", "quotas": Quotas(requests_per_second={})}
    emulator = Emulator(**{**usual, **bedrock_settings})
    yield emulator
    emulator.close()


@pytest.fixture
def bedrock_clients(bedrock_emulator: Emulator, bedrock_settings: dict[str, Any]) -> Clients:
    """Makes boto3 clients of the emulator, without a socket: ``bedrock_clients("bedrock-agent")``.

    Takes what ``boto3.client`` takes. The Region is the emulator's unless it is given, and calls are not retried.
    """
    import boto3
    from botocore.config import Config

    from bedrock_emulator import attach

    region = bedrock_settings.get("region", "us-east-1")
    config = Config(retries={"total_max_attempts": 1})

    def client(service: str, **arguments: Any) -> Any:
        settings: dict[str, Any] = {"region_name": region, "config": config, **_KEYS, **arguments}
        made = boto3.client(service, **settings)  # type: ignore[call-overload]  # the service is not a literal here
        return attach(made, bedrock_emulator)

    return client


@pytest.fixture
def bedrock_faults(bedrock_emulator: Emulator) -> Faults:
    """The faults on order: ``bedrock_faults.add({"effect": "job_fails", "failureReasons": ["…"]})``."""
    return bedrock_emulator.faults


@pytest.fixture
def bedrock_server(
    bedrock_emulator: Emulator, bedrock_settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The emulator on a loopback port, for code that makes its own clients. Gives the address.

    The environment of the test leads there: boto3's variables for each service, a Region, and keys that are none.
    """
    from bedrock_emulator.server import served
    from bedrock_emulator.wire.protocol import SERVICES

    with served(bedrock_emulator) as address:
        for service in SERVICES:
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}", address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", _KEYS["aws_access_key_id"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", _KEYS["aws_secret_access_key"])
        monkeypatch.setenv("AWS_DEFAULT_REGION", bedrock_settings.get("region", "us-east-1"))
        yield address
