"""The layers as `sam build` makes them, for the interpreter that runs here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import botocore

from local.deployment import LAYER_VARIABLES

_REPOSITORY = Path(__file__).parents[2]
_BOTOCORE = Path(botocore.__file__).parent
_BUILDS = (("dependencies", "DependenciesLayer"), ("kbfleet", "KbfleetLayer"))


@dataclass(frozen=True)
class Layers:
    """Built layers. `folders` are on the search path, the one of the third-party packages first."""

    folders: Sequence[Path]

    @property
    def bytes(self) -> int:
        """What they unpack to."""
        return sum(file.stat().st_size for folder in self.folders for file in folder.rglob("*") if file.is_file())


def build(directory: Path) -> Layers:
    """By the Makefiles of `layers/`, with bytecode."""
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        **LAYER_VARIABLES,
    }
    folders = []
    for name, logical_id in _BUILDS:
        target = directory / name
        target.mkdir(parents=True)
        subprocess.run(  # noqa: S603
            ["make", "--silent", f"build-{logical_id}", f"ARTIFACTS_DIR={target}"],  # noqa: S607
            cwd=_REPOSITORY / "layers" / name,
            env=environment,
            check=True,
        )
        folders.append(target / "python")
    return Layers(folders)


def with_all_services(layers: Layers, directory: Path) -> Layers:
    """Copies with what botocore knows of services that kbfleet does not call, as it is installed."""
    copies = [Path(shutil.copytree(folder, directory / folder.parent.name)) for folder in layers.folders]
    shutil.copytree(_BOTOCORE / "data", copies[0] / "botocore" / "data", dirs_exist_ok=True)
    return Layers(copies)


def without_bytecode(layers: Layers, directory: Path) -> Layers:
    """Copies as they are where the interpreter of the layers is not at hand when they are built."""
    ignored = shutil.ignore_patterns("__pycache__")
    return Layers(
        [Path(shutil.copytree(folder, directory / folder.parent.name, ignore=ignored)) for folder in layers.folders]
    )
