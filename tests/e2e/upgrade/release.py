"""A version of kbfleet from the repository's history: its template, its layers, and its command line."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from local import deployment
from local.deployment import Deployment
from local.stack.configuration import REPOSITORY, StackConfiguration
from tests.e2e.runbook.fleet import Fleet

BEFORE = "890c3b2c1656d386f7963c327476082cb1320526"
"""The commit that updates are tried from. It moves when a change must break something, with a line in CHANGELOG.md."""


@dataclass(frozen=True)
class Release:
    """Args: checkout: of the version. programs: a folder with its `kbfleet`, for the front of a PATH."""

    checkout: Path
    programs: Path

    def deploy(self, configuration: StackConfiguration, **parameters: str) -> Deployment:
        """Over whatever is deployed."""
        return deployment.deploy(
            configuration,
            template=self.checkout / "template.yaml",
            parameter_overrides=parameters,
        )

    def of(self, fleet: Fleet) -> Fleet:
        """The fleet, with this version's command line."""
        return Fleet(fleet.configuration, fleet.outputs, fleet.resources, programs=self.programs)


def this_one(folder: Path) -> Release:
    """What is in the working tree."""
    return _release(REPOSITORY, folder)


def from_history(commit: str, folder: Path) -> Release:
    """Raises: AssertionError when the clone does not hold that commit."""
    archive = subprocess.run(  # noqa: S603 -- git, and a commit that is named above
        ["git", "archive", commit],  # noqa: S607 -- wherever it is
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
    )
    assert archive.returncode == 0, f"this clone has no commit {commit}: {archive.stderr.decode()}"
    checkout = folder / "checkout"
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(checkout, filter="data")
    return _release(checkout, folder)


def _release(checkout: Path, folder: Path) -> Release:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "kbfleet"
    paths = [str(checkout), str(checkout / "layers/kbfleet")]
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path[:0] = {paths!r}\nfrom cli.main import main\nsys.exit(main())\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    return Release(checkout, folder)
