"""The emulator as it is started from the command line: whom it answers, and how it ends."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator_support.console_script import PATIENCE_SECONDS, Started, started_emulator
from emulator_support.foreign_requests import (
    NAMES,
    Server,
    assert_foreign_requests_are_refused,
    assert_own_requests_are_answered,
)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    with started_emulator(tmp_path_factory.mktemp("emulator") / "said") as started:
        yield started


@pytest.fixture
def server(started: Started) -> Server:
    return Server(started.port, None, "/_emulator/faults", 200)


@pytest.mark.parametrize("name", NAMES)
def test_what_comes_from_elsewhere_is_refused(server: Server, name: str) -> None:
    assert_foreign_requests_are_refused(server, name)


@pytest.mark.parametrize("name", NAMES)
def test_our_own_requests_are_answered_without_a_word_to_other_pages(server: Server, name: str) -> None:
    assert_own_requests_are_answered(server, name)


def test_it_listens_on_one_address_only(started: Started) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - refused, or on some systems no address of the machine
        socket.create_connection(("127.0.0.2", started.port), timeout=5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with started_emulator(tmp_path / "said") as emulator:
        emulator.process.send_signal(number)
        assert emulator.process.wait(PATIENCE_SECONDS) == 0
        assert not emulator.answers()
    assert "Traceback" not in emulator.said.read_text()
