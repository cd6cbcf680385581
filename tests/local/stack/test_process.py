"""The server can be started, found, and ended without a trace, next to others."""

import io
import re
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.deployment import client
from local.stack import process
from local.stack.configuration import REPOSITORY, StackConfiguration, free_port, is_listening


def child_processes(process_id: int) -> set[int]:
    """Process ids of the direct children of a process (Linux)."""
    children = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == process_id:
            children.add(int(entry.parent.name))
    return children


def listening_addresses(process_id: int) -> set[str]:
    """Addresses that a process listens on (Linux), as in /proc/net/tcp: hexadecimal, least significant byte first."""
    sockets = {
        match[1]
        for link in Path(f"/proc/{process_id}/fd").iterdir()
        if (match := re.fullmatch(r"socket:\[(\d+)\]", str(link.readlink())))
    }
    lines = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    return {line[1].partition(":")[0] for line in lines if len(line) > 9 and line[3] == "0A" and line[9] in sockets}


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[StackConfiguration]:
    """A stack that a test may end."""
    configuration = StackConfiguration(state_directory=tmp_path, aws_port=free_port(), side_port=free_port())
    process.start(configuration)
    yield configuration
    process.stop(tmp_path)


def test_a_stack_is_found_by_its_state_directory(stack: Any, tmp_path: Path) -> None:
    running = process.running_stack(stack.configuration.state_directory)
    assert running is not None
    assert running.configuration == stack.configuration
    assert process.running_stack(tmp_path) is None


def test_a_second_stack_in_the_same_state_directory_is_refused(stack: Any) -> None:
    with pytest.raises(process.StackRunningError):
        process.start(stack.configuration)


def test_a_stack_beside_another_needs_ports_of_its_own(stack: Any, tmp_path: Path) -> None:
    taken = StackConfiguration(state_directory=tmp_path, aws_port=stack.configuration.aws_port, side_port=free_port())
    with pytest.raises(process.StackStartError, match="is taken") as refused:
        process.start(taken)
    way_out = re.findall(r"`(.venv/bin/kbfleet-local up .*)`", str(refused.value))[0].split()
    assert way_out[2::2] == ["--port", "--side-port"]
    ports = list(map(int, way_out[3::2]))
    assert not any(map(is_listening, ports))
    assert len({*ports, taken.aws_port, taken.side_port}) == 4


def test_a_server_that_ends_at_once_says_why(tmp_path: Path) -> None:
    configuration = StackConfiguration(
        state_directory=tmp_path, aws_port=free_port(), side_port=free_port(), corrections=("no_such_correction",)
    )
    with pytest.raises(process.StackStartError, match="unknown correction 'no_such_correction'"):
        process.start(configuration)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_only_the_loopback_interface_is_listened_on(stack: Any) -> None:
    running = process.running_stack(stack.configuration.state_directory)
    assert running is not None
    assert listening_addresses(running.process_id) == {"0100007F"}


def test_stopping_what_does_not_run_is_fine(tmp_path: Path) -> None:
    assert process.stop(tmp_path) is False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_end_leaves_no_process_no_port_and_no_temporary_file(own_stack: StackConfiguration) -> None:
    running = process.running_stack(own_stack.state_directory)
    assert running is not None
    make_and_invoke_function(own_stack)
    functions = child_processes(running.process_id)
    assert functions
    with socket.create_connection(("127.0.0.1", own_stack.aws_port)) as open_connection:
        host = f"127.0.0.1:{own_stack.aws_port}"
        open_connection.sendall(f"GET /_ministack/health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert open_connection.recv(12) == b"HTTP/1.1 200"
        assert process.stop(own_stack.state_directory, timeout=10)
    assert not any(Path(f"/proc/{process_id}").exists() for process_id in {running.process_id, *functions})
    assert not is_listening(own_stack.aws_port)
    assert not is_listening(own_stack.side_port)
    assert not (own_stack.state_directory / "tmp").exists()


SLOW_TO_END = """
import signal, subprocess, sys, time
from pathlib import Path
from local.stack.configuration import StackConfiguration, free_port
from local.stack.process import StackLock

state = Path(sys.argv[1])
lock = StackLock(state)
lock.take(StackConfiguration(state_directory=state, aws_port=free_port(), side_port=free_port()))
if sys.argv[2] == "with a child":
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

def end(*_):
    lock._taken.close()
    time.sleep(1)
    sys.exit()

signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True:
    signal.pause()
"""
"""A server that gives its lock back a while before it ends, and may leave a child behind."""

START_DETACHED = """
import subprocess, sys

server = subprocess.Popen(
    [sys.executable, "-c", *sys.argv[1:]],
    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
)
assert server.stdout.readline() == b"ready\\n"
print(server.pid)
"""
"""As `up` starts it, which has ended when `down` comes."""


@pytest.mark.parametrize("what", ["alone", "with a child"])
def test_stopped_is_said_only_when_nothing_of_it_runs_any_more(tmp_path: Path, what: str) -> None:
    command = [sys.executable, "-c", START_DETACHED, SLOW_TO_END, str(tmp_path), what]
    started = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, check=True)  # noqa: S603
    server = int(started.stdout)
    assert process._at_work(server)
    # A child does not hear the first signal, and is killed with its group.
    assert process.stop(tmp_path, timeout=3)
    assert not process._at_work(server)


def test_the_foreground_server_ends_cleanly_on_ctrl_c(tmp_path: Path) -> None:
    configuration = StackConfiguration(state_directory=tmp_path, aws_port=free_port(), side_port=free_port())
    server = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "local.main", *process.run_arguments(configuration)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with server:
        process.wait_until_ready(configuration, server)
        server.send_signal(signal.SIGINT)
        output, _ = server.communicate(timeout=20)
    assert server.returncode == 0, output
    assert b"Traceback" not in output


def make_and_invoke_function(configuration: StackConfiguration) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("function.py", "def handler(event, context): return event")
    functions = client(configuration, "lambda")
    functions.create_function(
        FunctionName="any",
        Runtime="python3.13",
        Handler="function.handler",
        Role="arn:aws:iam::000000000000:role/any",
        Code={"ZipFile": archive.getvalue()},
    )
    functions.invoke(FunctionName="any", Payload=b"{}")
