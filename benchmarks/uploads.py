"""A tree of files into a tenant's bucket of a local AWS: one by one, at once, and once more.

The command runs as people run it, a process each time. What it calls is on the same machine: API Gateway and the
function behind it, STS and S3 are MiniStack's, with neither a network nor TLS. So what is compared is the command with
itself; seconds on AWS are others.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.asking.load import Fleet, running_fleet
from benchmarks.asking.load import Scale as FleetScale
from benchmarks.report import Measurement
from cli.uploading import UploadStatus

_COMMAND = (sys.executable, "-c", "from cli.main import main; main()", "upload")
_SENTENCES = (
    "A tent is rented for three days at least.",
    "Snow shoes are returned dry.",
    "テントは三日から借りられます。",
)
_TIMES = 10
"""As fast as one by one, at least."""


@dataclass(frozen=True)
class Scale:
    """Args: one_by_one: of the files, which are sent one by one; the time of all is counted from them."""

    files: int = 200
    one_by_one: int = 20
    seed: int = 1


def measure(scale: Scale, said: Callable[[str], None]) -> list[Measurement]:
    """Raises: CalledProcessError where a command fails."""
    with running_fleet(FleetScale(tenants=1), said) as fleet, TemporaryDirectory() as name:
        folder = Path(name)
        files = _written(folder, scale)
        said(f"Sending {scale.one_by_one} files one by one …")
        seconds = sum(
            _seconds(fleet, [str(file), "--key", f"single/{file.name}"]) for file in files[: scale.one_by_one]
        )
        one_by_one = seconds * scale.files / scale.one_by_one
        said(f"Sending {scale.files} files at once …")
        at_once = _seconds(fleet, [str(folder)], UploadStatus.SENT)
        said("Sending them again …")
        again = _seconds(fleet, [str(folder)], UploadStatus.UNCHANGED)
    return [
        Measurement(f"{scale.files} files one by one, from {scale.one_by_one} of them", one_by_one, "s"),
        Measurement(f"{scale.files} files of a folder tree", at_once, "s", one_by_one / _TIMES),
        Measurement("again, when all are there", again, "s", one_by_one / _TIMES),
    ]


def _written(folder: Path, scale: Scale) -> list[Path]:
    drawn = random.Random(scale.seed)  # noqa: S311 -- texts
    files = []
    for number in range(scale.files):
        file = folder / f"part {number % 7}" / f"第{number % 13}章" / f"page {number:03}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"# Page {number}\n\n" + "\n".join(drawn.choices(_SENTENCES, k=drawn.randint(5, 400))), "utf-8")
        files.append(file)
    return files


def _seconds(fleet: Fleet, arguments: Sequence[str], becoming: UploadStatus = UploadStatus.SENT) -> float:
    """Raises: CalledProcessError; RuntimeError where something else becomes of a file."""
    began = time.monotonic()
    ran = subprocess.run(  # noqa: S603 -- this Python, and files that were just written
        [*_COMMAND, fleet.tenants[0], *arguments, "--json"],
        check=True,
        capture_output=True,
        env=os.environ | fleet.configuration.client_environment(),
    )
    took = time.monotonic() - began
    if others := [each for each in json.loads(ran.stdout)["documents"] if each["status"] != becoming]:
        raise RuntimeError(f"{len(others)} files are not {becoming}, such as {others[0]}")
    return took
