"""The emulator as it is started from the command line."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

PATIENCE_SECONDS = 300
"""It costs nothing where all is well, and a machine that is busy with something else makes no test fail."""


@dataclass(frozen=True)
class Started:
    """The process, its port, and the file with all that it says."""

    process: subprocess.Popen[bytes]
    port: int
    said: Path

    def answers(self) -> bool:
        """Whether it answers a request."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/_emulator/faults", timeout=10) as response:
                return bool(response.status == 200)
        except OSError:
            return False


@contextmanager
def started_emulator(said: Path, *options: str) -> Iterator[Started]:
    """Runs `bedrock-emulator` on a free port. Ends it by SIGTERM if it has not ended, and holds that it ends well."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    program = [str(Path(sys.executable).with_name("bedrock-emulator")), "--port", str(port), *options]
    with (
        said.open("wb") as output,
        subprocess.Popen(program, stdout=output, stderr=output) as process,  # noqa: S603 - our own program
    ):
        started = Started(process, port, said)
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not started.answers():
                assert process.poll() is None, said.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield started
        finally:
            process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0
