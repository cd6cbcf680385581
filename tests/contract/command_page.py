"""Every command of `kbfleet` with its help, its options and a sample run: the sections of docs/cli.md, and the pictures
of terminals. `docs/generate.py` runs this in a process of its own, because what a terminal can show is decided once.

The runs are those of `tests/unit/test_every_command.py`, or of `tests/support/command_scenes.py` where there is more to
see: the real command line, and an API that answers as there.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from textwrap import fill
from typing import Any

import pytest
import typer.main
from click import Context

ROOT = Path(__file__).parents[2]
WIDTH = 112
AS_A_PICTURE = "--as-a-picture"
"""As somebody sees it in a terminal of that width, with colours."""
COMMON = {"Print JSON for programs.", "CloudFormation stack of the fleet.", "AWS Region of the fleet."}
"""What options mean that nearly every command has; the page says them once."""


def _prepare(*, as_a_picture: bool) -> None:
    """Before the command line is imported."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "KBFLEET_STACK", "AWS_REGION"):
        os.environ.pop(name, None)
    os.environ["COLUMNS"] = str(WIDTH)
    if as_a_picture:
        os.environ |= {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLORTERM": "truecolor"}


def run(name: str) -> tuple[str, str, int]:
    """Returns: the line that was typed, what was shown, and the exit code."""
    from typer.testing import CliRunner

    import cli.main
    import cli.progress
    from tests.support.command_scenes import SCENES
    from tests.unit import test_every_command as samples

    scene, sample = SCENES.get(name), samples.SAMPLES[name]
    if scene is not None:
        sample = samples.Sample(scene.arguments, scene.answers(), scene.exit_code)
    with tempfile.TemporaryDirectory() as empty, chdir(empty), pytest.MonkeyPatch.context() as patched:
        patched.setattr(cli.progress, "POLL_SECONDS", 0)
        samples.let_a_fleet_answer(patched)
        samples.answer(patched, sample)
        if scene is not None:
            scene.prepare(patched)
        ran = CliRunner().invoke(cli.main.app, [*name.split(), *sample.arguments])
    if ran.exit_code != sample.exit_code:
        raise RuntimeError(f"kbfleet {name} ended with {ran.exit_code}: {ran.output}")
    typed = shlex.join(("kbfleet", *name.split(), *sample.arguments))
    return _of_this_repository(typed), _of_this_repository(ran.output), ran.exit_code


def _of_this_repository(text: str) -> str:
    """Where a checkout lies is nobody's business."""
    return text.replace(f"{ROOT}/", "")


def leaves(command: Any, path: tuple[str, ...] = (), panel: str = "") -> Iterator[tuple[str, str, Any]]:
    """The panel, the name and the command of each."""
    for name, below in command.commands.items():
        of_group = panel or below.rich_help_panel
        if hasattr(below, "commands"):
            yield from leaves(below, (*path, name), of_group)
        else:
            yield of_group, " ".join((*path, name)), below


def section(name: str, command: Any) -> str:
    """A command as Markdown."""
    context = Context(command, info_name=f"kbfleet {name}")
    usage = " ".join((f"kbfleet {name}", *command.collect_usage_pieces(context))).replace("{", "").replace("}", "")
    paragraphs = (" ".join(part.split()) for part in command.help.split("\n\n"))
    help_text = "\n\n".join(fill(each, 120, break_long_words=False, break_on_hyphens=False) for each in paragraphs)
    records = [
        parameter.get_help_record(context)
        for parameter in command.params
        if getattr(parameter, "help", None) not in COMMON and not getattr(parameter, "hidden", False)
    ]
    rows = [f"| `{_cell(_named(option))}` | {_cell(meaning)} |" for option, meaning in filter(None, records)]
    table = "\n".join(["", "| | |", "|---|---|", *rows, ""]) if rows else ""
    typed, shown, exit_code = run(name)
    ended = f"\nExit code {exit_code}.\n" if exit_code else ""
    return (
        f"### kbfleet {name}\n\n{help_text}\n\n    {usage}\n{table}\n"
        f"```console\n$ {typed}\n{_without_trailing_spaces(shown)}\n```\n{ended}"
    )


def _named(option: str) -> str:
    """Without the names of Python's types, which typer takes where nothing better is given."""
    return re.sub(r" <[A-Za-z_ ]+>$", "", option)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _without_trailing_spaces(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines())


def main() -> None:
    as_a_picture = AS_A_PICTURE in sys.argv
    _prepare(as_a_picture=as_a_picture)
    import cli.main

    if as_a_picture:
        names = [argument for argument in sys.argv[1:] if argument != AS_A_PICTURE]
        print(json.dumps([run(name)[:2] for name in names]))  # noqa: T201
        return
    sections: dict[str, list[str]] = {}
    for panel, name, command in leaves(typer.main.get_command(cli.main.app)):
        sections.setdefault(panel, []).append(section(name, command))
    print(json.dumps({panel: "\n".join(made).strip() for panel, made in sections.items()}))  # noqa: T201


if __name__ == "__main__":
    main()
