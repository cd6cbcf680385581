"""Somebody with a terminal: runs real commands of `kbfleet` against a virtual fleet, and reads all that is said."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import requests
from typer.testing import CliRunner

import cli.doctor
import cli.main
import cli.progress
from cli.fleet_api import FleetApi, refused_by_s3
from cli.fleet_stack import FleetStack
from kbfleet.contracts.documents import UploadBody
from kbfleet.domain.names import TenantId
from tests.support.advice import Advice, commands_in
from tests.support.tenant_lives import Lives
from tests.support.verified_fleet import Bends, VirtualFleetApi

_FRAMES = re.compile(r"[\u2500-\u257f]")
_CHECKS = ("tenants", "knowledge")
"""Of the doctor, those that ask the API only."""


@dataclass
class Person:
    """`said` is every text that was read, `ran` every command that was run and ended well."""

    lives: Lives
    said: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    waits_for: Callable[[float], None] = field(init=False)

    def __post_init__(self) -> None:
        self.waits_for = self.lives.fleet.timeline.run_for

    # --- acting ---

    def runs(self, command: str, ends_with: int = 0, /, **values: str) -> str:
        """Runs a command as it was proposed, FILE, KEY and the like replaced by what is given.

        Returns: what it printed.
        """
        filled = re.sub(r"\b[A-Z]{3,}\b", lambda found: values.get(found[0], found[0]), command)
        program, *words = shlex.split(filled)
        assert program == "kbfleet", command
        with self._at_the_terminal():
            result = CliRunner().invoke(cli.main.app, words)
        printed = f"{result.stdout}\n{result.stderr}"
        assert result.exit_code == ends_with, f"{filled}: {result.exit_code}\n{printed}\n{result.exception!r}"
        self.reads(printed)
        self.ran.append(command)
        return printed

    def does(self, text: str, *, ends_with: int = 0, **values: str) -> None:
        """Runs the commands of kbfleet in the shortest text that was said and has that in it, one after the other."""
        found = sorted((said for said in self.said if " ".join(text.split()) in said), key=len)
        assert found, f"nobody has said {text!r}, only {self.said[-5:]}"
        for command in commands_in(found[0]):
            if command.startswith("kbfleet "):
                self.runs(command, ends_with, **values)

    def asks_why(self, tenant_id: str, key: str) -> Mapping[str, Any]:
        """`kbfleet why`. Returns: the last hop."""
        answer = self._api().why(TenantId(tenant_id), key)  # type: ignore[arg-type]
        self._reads_all(json.loads(answer.model_dump_json()))
        hop: Mapping[str, Any] = json.loads(answer.hops[-1].model_dump_json())
        return hop

    def asks_the_doctor(self) -> str:
        """Returns: what it finds wrong, with its advice."""
        described = {"Outputs": [{"OutputKey": "ApiUrl", "OutputValue": "https://api.example.com"}], "Parameters": []}
        described |= {"CreationTime": datetime(2020, 1, 1, tzinfo=UTC), "StackStatus": "CREATE_COMPLETE"}  # type: ignore[dict-item]
        stack = FleetStack("kbfleet", described, None)  # type: ignore[arg-type]
        found = []
        with (
            patch.object(cli.doctor, "FleetApi", lambda *_: self._api()),
            patch.object(cli.doctor, "_CHECKS", {name: cli.doctor._CHECKS[name] for name in _CHECKS}),
            patch.object(cli.doctor, "datetime", _Now(self.lives.fleet.clock.datetime)),
        ):
            for result in cli.doctor.examine(stack):
                self._reads_all([result.finding, result.advice])
                found += [f"{result.finding} {result.advice}"] if result.counts else []
        return "\n".join(found)

    # --- reading ---

    def reads(self, text: str) -> None:
        plain = " ".join(_FRAMES.sub(" ", text).split())
        if plain:
            self.said.append(plain)

    def _reads_all(self, body: Any) -> None:
        match body:
            case str():
                self.reads(body)
            case list():
                for each in body:
                    self._reads_all(each)
            case dict():
                for each in body.values():
                    self._reads_all(each)

    def proved(self, advice: Advice) -> bool:
        """Whether it was said, and all commands of kbfleet in it were run as they were said."""
        return any(all(each in self.ran for each in _of_kbfleet(said)) for said in advice.said_in(self.said))

    # --- the fleet ---

    def _api(self) -> FleetApi:
        return _PersonsApi("https://api.example.com", None, fleet=self.lives.fleet, bends=Bends(), person=self)  # type: ignore[arg-type]

    @contextmanager
    def _at_the_terminal(self) -> Iterator[None]:
        with (
            patch.object(FleetApi, "of_stack", lambda *_: self._api()),
            patch.object(cli.progress, "pause", lambda: self.waits_for(10)),
        ):
            yield


@dataclass(frozen=True)
class _PersonsApi(VirtualFleetApi):
    person: Person = field(kw_only=True)

    def _signed(self, kind: Any, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            answer = super()._signed(kind, method, path, body)
        except Exception as refused:
            self.person._reads_all(str(getattr(refused, "detail", refused)))
            raise
        self.person._reads_all(json.loads(answer.model_dump_json()))
        return answer

    def upload(self, tenant_id: TenantId, form: UploadBody, content: bytes) -> None:
        answer = requests.post(form.url, data=form.fields, files={"file": ("document", content)}, timeout=10)
        if answer.status_code >= 300:
            raise refused_by_s3(tenant_id, answer.status_code, answer.content)


@dataclass(frozen=True)
class _Now:
    """Stands for `datetime.datetime` where that asks for the time."""

    clock: Callable[[], datetime]

    def now(self, _: object = None) -> datetime:
        return self.clock()


def _of_kbfleet(said: str) -> list[str]:
    return [each for each in commands_in(said) if each.startswith("kbfleet ")]


def a_file(folder: Path, text: str) -> str:
    path = folder / "document.md"
    path.write_text(text, "utf-8")
    return str(path)
