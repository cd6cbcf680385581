"""Starts and stops the server process, and says whether it runs.

The process holds a lock on a file in the state directory for as long as it lives, whatever ends it: unlike a process
id, which another program may have by now, the lock cannot lie.
"""

import contextlib
import fcntl
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from local.delays import Delays
from local.stack.configuration import REPOSITORY, StackConfiguration, free_port, is_listening

START_SECONDS = 60
STOP_SECONDS = 15
POLL_SECONDS = 0.05


class StackRunningError(Exception):
    """A stack runs in this state directory already."""


class StackStartError(Exception):
    """The server process ended, or was not ready in time; the message holds the end of its log."""


@dataclass(frozen=True)
class RunningStack:
    """The process id of a running server and the configuration that it was started with."""

    process_id: int
    configuration: StackConfiguration


class StackLock:
    """The lock file of one state directory, which also says who holds it."""

    def __init__(self, state_directory: Path) -> None:
        self._file = state_directory / "stack.lock"
        self._taken: IO[str] | None = None

    def take(self, configuration: StackConfiguration) -> None:
        """Takes the lock until this process is gone. Raises StackRunningError if another one has it."""
        make_private(self._file.parent)
        file = self._file.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise StackRunningError(f"a local stack runs already, see {self._file}") from error
        file.truncate(0)
        json.dump({"process_id": os.getpid(), "configuration": asdict(configuration)}, file, default=str)
        file.flush()
        # Never closed: the system does that when nothing of the process is left.
        self._taken = file

    def holder(self) -> RunningStack | None:
        """Who holds the lock, or None. Raises StackStartError if the folder is another user's."""
        _require_own(self._file.parent)
        try:
            file = self._file.open(encoding="utf-8")
        except FileNotFoundError:
            return None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return self._read(file.read())
            return None

    @staticmethod
    def _read(text: str) -> RunningStack | None:
        if not text:
            return None  # between taking the lock and writing
        content: dict[str, Any] = json.loads(text)
        settings = content["configuration"]
        settings["state_directory"] = Path(settings["state_directory"])
        settings["delays"] = Delays(**settings["delays"])
        if settings["corrections"] is not None:
            settings["corrections"] = tuple(settings["corrections"])
        return RunningStack(content["process_id"], StackConfiguration(**settings))


def make_private(directory: Path) -> None:
    """Makes a folder for this user only, if there is none. Raises StackStartError if it is another user's."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _require_own(directory)


def _require_own(directory: Path) -> None:
    # What it says is believed: which process to end, which secret to sign with.
    if directory.exists() and directory.stat().st_uid != os.getuid():
        raise StackStartError(f"{directory} belongs to another user: choose a folder of your own with --state")


def running_stack(state_directory: Path) -> RunningStack | None:
    """The stack that runs in a state directory, or None."""
    return StackLock(state_directory).holder()


def start(configuration: StackConfiguration, *, timeout: float = START_SECONDS) -> RunningStack:
    """Starts the server in the background and waits until both ports answer.

    The process leaves the terminal's group, so that Ctrl-C in a command does not end it.
    Raises StackRunningError if one runs already, StackStartError if it does not come up within `timeout` seconds.
    """
    if running := running_stack(configuration.state_directory):
        raise StackRunningError(f"a local stack runs already, process {running.process_id}")
    for port in (configuration.aws_port, configuration.side_port):
        if is_listening(port):
            aws_port = free_port()
            while (side_port := free_port()) == aws_port:
                pass
            raise StackStartError(
                f"port {port} is taken by another program. Choose others, such as "
                f"`.venv/bin/kbfleet-local up --port {aws_port} --side-port {side_port}`."
            )
    make_private(configuration.state_directory)
    configuration.log_file.touch(mode=0o600)
    configuration.log_file.chmod(0o600)
    with configuration.log_file.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "local.main", *run_arguments(configuration)],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_ready(configuration, process, timeout=timeout)
    except StackStartError as error:
        raise StackStartError(f"{error}:\n{_end_of_log(configuration)}") from None
    return RunningStack(process.pid, configuration)


def wait_until_ready(
    configuration: StackConfiguration, process: "subprocess.Popen[bytes]", *, timeout: float = START_SECONDS
) -> None:
    """Waits until a server process answers.

    Raises StackStartError if it ends, or if it does not answer within `timeout` seconds; then it is killed.
    """
    deadline = time.monotonic() + timeout
    while not is_ready(configuration):
        if process.poll() is not None:
            raise StackStartError("the local stack ended at once")
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise StackStartError(f"the local stack was not ready after {timeout:.0f} seconds")
        time.sleep(POLL_SECONDS)


def stop(state_directory: Path, *, timeout: float = STOP_SECONDS) -> bool:
    """Ends the stack of a state directory and waits until its processes have ended and its ports are free.

    Gives False if none ran. Processes that do not end within `timeout` seconds are killed.
    """
    running = running_stack(state_directory)
    if running is None:
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.process_id, number)
        if number is signal.SIGKILL:
            # What is killed cannot end the processes of its functions, which are in its group.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.process_id, number)
        if _wait_until_gone(running, timeout):
            return True
    raise TimeoutError(f"process {running.process_id} of the local stack cannot be ended")


def is_ready(configuration: StackConfiguration) -> bool:
    """Whether the AWS endpoint and the side services of a stack both answer."""
    if not configuration.trust_bundle.exists() or not is_listening(configuration.side_port):
        return False
    with contextlib.suppress(urllib.error.URLError, ConnectionError, ssl.SSLError, TimeoutError):
        trust = ssl.create_default_context(cafile=str(configuration.trust_bundle))
        for url in (f"{configuration.aws_url}/_ministack/health", f"{configuration.side_url}/health"):
            context = trust if url.startswith("https:") else None
            with urllib.request.urlopen(url, timeout=5, context=context):  # noqa: S310 -- our own addresses
                pass
        return True
    return False


def run_arguments(configuration: StackConfiguration) -> list[str]:
    """The command line of `kbfleet-local run` for a configuration."""
    arguments = [
        *("run", "--state", str(configuration.state_directory)),
        *("--port", str(configuration.aws_port), "--side-port", str(configuration.side_port)),
        *("--region", configuration.region, "--speed", str(configuration.speed)),
        *("--concurrency", str(configuration.function_concurrency)),
        "--authorization" if configuration.authorization else "--no-authorization",
        "--no-slow",
        *(f"--delay={name}={seconds}" for name, seconds in configuration.delays.listed().items() if seconds),
    ]
    if configuration.account_concurrency is not None:
        arguments += ["--account-concurrency", str(configuration.account_concurrency)]
    if configuration.corrections is not None:
        arguments += ["--corrections", ",".join(configuration.corrections)]
    return arguments


def _wait_until_gone(running: RunningStack, timeout: float) -> bool:
    configuration = running.configuration
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        ports = (configuration.aws_port, configuration.side_port)
        # The lock and the ports are given back while a process ends, and it is there for a moment longer.
        let_go = running_stack(configuration.state_directory) is None and not any(map(is_listening, ports))
        if let_go and not _at_work(running.process_id):
            # Collects the process if this one started it; else it would stay as a zombie.
            with contextlib.suppress(ChildProcessError):
                os.waitpid(running.process_id, 0)
            return True
        time.sleep(POLL_SECONDS)
    return False


def _at_work(process_id: int) -> bool:
    """Whether a process or any of its group runs. One that has ended, and that whoever started it has not collected,
    does not: in a container, that may never be done."""
    return any(state[0] not in "ZX" and process_id in {int(found), int(group)} for found, group, state in _processes())


def _processes() -> Iterator[tuple[str, str, str]]:
    """Of all processes, the id, the group's id, and the state."""
    if not Path("/proc/self/stat").exists():
        command = ["ps", "-A", "-o", "pid=,pgid=,state="]
        listed = subprocess.run(command, capture_output=True, text=True, check=True)
        for line in listed.stdout.splitlines():
            found, group, state = line.split()
            yield found, group, state
        return
    for stat in Path("/proc").glob("[0-9]*/stat"):
        # It may end between being listed and being read.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # Behind the name, which may hold anything. Source: the manual page proc_pid_stat(5).
            state, _parent, group, *_ = stat.read_text(errors="replace").rpartition(")")[2].split()
            yield stat.parent.name, group, state


def _end_of_log(configuration: StackConfiguration) -> str:
    return "\n".join(configuration.log_file.read_text(errors="replace").splitlines()[-20:])
