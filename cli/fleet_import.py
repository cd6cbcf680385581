"""Adding the tenants of a file."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from io import StringIO
from typing import Any

from cli.fleet_api import FleetApi, Refused
from cli.progress import Progress
from cli.turns import Turns
from kbfleet.contracts.tenants import ListedTenantBody, TenantBody
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.names import TenantId
from kbfleet.domain.profiles import ProfileName
from kbfleet.domain.tenant import DisplayName
from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.domain.usage_plan import Tier

AT_ONCE = 100
"""Provisionings at work: knowledge bases take a minute or two to be made, and one or two a second may be begun."""
MOST_BYTES = 10_000_000
"""Of a file, which is read as a whole: a hundred thousand tenants."""


def _tier(value: str) -> Tier:
    try:
        return Tier(value.upper())
    except ValueError:
        raise InvalidInput("tier", f"{value!r} is none of {', '.join(Tier)}.") from None


_COLUMNS: Mapping[str, Callable[[str], Any]] = {
    "tenant": TenantId,
    "name": DisplayName,
    "tier": _tier,
    "profile": ProfileName,
    "knowledge_store": str,
}


_PROVISIONED = {TenantStatus.ACTIVE, TenantStatus.SUSPENDED}
_NOT_THERE_YET = {TenantStatus.PROVISIONING, TenantStatus.FAILED, TenantStatus.OFFBOARDED}


class Outcome(StrEnum):
    ADDED = "ADDED"
    CHANGED = "CHANGED"
    ALREADY = "ALREADY"
    """It is there, as the file says."""
    REFUSED = "REFUSED"
    FAILED = "FAILED"
    NOT_BEGUN = "NOT_BEGUN"
    """There is no room for more."""

    @property
    def is_trouble(self) -> bool:
        return self in {Outcome.REFUSED, Outcome.FAILED, Outcome.NOT_BEGUN}


@dataclass(frozen=True, slots=True)
class WantedTenant:
    """A line of the file. What is `None` is as the stack says, or as it is."""

    line: int
    tenant: TenantId
    name: DisplayName | None = None
    tier: Tier | None = None
    profile: ProfileName | None = None
    knowledge_store: str | None = None

    def is_as_wanted(self, known: ListedTenantBody | TenantBody) -> bool:
        """Whether there is nothing to do: it is there, as the line says, whether or not it is in service just now."""
        wanted = (self.name, self.tier, self.profile, self.knowledge_store)
        has = (known.name, known.tier, known.profile, known.knowledge_store)
        return known.status in _PROVISIONED and all(
            want is None or want == have for want, have in zip(wanted, has, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a line, and why, where it did not end as it was to."""

    line: int
    tenant: str
    outcome: Outcome
    reason: str = ""


def read(content: bytes) -> tuple[Sequence[WantedTenant], Sequence[Imported]]:
    """The tenants of a file, and its lines that cannot be read, each with its reason.

    Args:
        content: CSV in UTF-8, of which the first line names the columns: `tenant`, and what else is wanted of `name`,
            `tier`, `profile` and `knowledge_store`. An empty cell says nothing.

    Raises:
        InvalidInput: naming `FILE`: it is no such table.
    """
    rows = csv.reader(StringIO(_text(content), newline=""), strict=True)
    wanted, refused, lines = list[WantedTenant](), list[Imported](), dict[TenantId, int]()
    try:
        columns = [column.strip().lower() for column in next(rows, [])]
        _require_columns(columns)
        for row in rows:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            try:
                wanted.append(_wanted(columns, cells, rows.line_num, lines))
            except InvalidInput as error:
                refused.append(Imported(rows.line_num, _tenant(columns, cells), Outcome.REFUSED, str(error)))
    except csv.Error as error:
        raise InvalidInput("FILE", f"line {rows.line_num} is no line of a CSV file: {error}.") from None
    return wanted, refused


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput("FILE", "is not in UTF-8. A spreadsheet saves it so as “CSV UTF-8”.") from None


def _require_columns(columns: Sequence[str]) -> None:
    if "tenant" not in columns:
        raise InvalidInput("FILE", f"its first line names no column tenant; columns are {', '.join(_COLUMNS)}.")
    for column in columns:
        if column not in _COLUMNS or columns.count(column) > 1:
            wrong = "twice" if column in _COLUMNS else "which there is not"
            raise InvalidInput("FILE", f"names column {column!r}, {wrong}; columns are {', '.join(_COLUMNS)}.")


def _tenant(columns: Sequence[str], cells: Sequence[str]) -> str:
    """As the line has it, whatever that is."""
    return next((cell for column, cell in zip(columns, cells, strict=False) if column == "tenant"), "")


def _wanted(columns: Sequence[str], cells: Sequence[str], line: int, lines: dict[TenantId, int]) -> WantedTenant:
    """Args: lines: of the tenants so far, to which this one is added."""
    if len(cells) != len(columns):
        raise InvalidInput("FILE", f"the line has {len(cells)} cells, and there are {len(columns)} columns.")
    given = {column: _COLUMNS[column](cell) for column, cell in zip(columns, cells, strict=True) if cell}
    if "tenant" not in given:
        raise InvalidInput("tenant", "is empty.")
    if lines.setdefault(given["tenant"], line) != line:
        raise InvalidInput("tenant", f"is in line {lines[given['tenant']]}, too.")
    return WantedTenant(line, **given)


@dataclass
class FleetImport:
    """Run again, it goes on where it was: whoever is in service as the file says is not touched."""

    api: FleetApi
    known: dict[TenantId, ListedTenantBody | TenantBody] = field(default_factory=dict)
    turns: Turns[WantedTenant, Imported] = field(init=False)
    _no_room: str | None = None

    def __post_init__(self) -> None:
        self.turns = Turns(self._begin, self._end_of, AT_ONCE)

    def planned(self, wanted: Sequence[WantedTenant]) -> Iterator[Imported]:
        """What would become of each, if everything goes well."""
        self._list()
        for each in wanted:
            yield Imported(each.line, each.tenant, self._outcome(each))

    def run(self, wanted: Sequence[WantedTenant]) -> None:
        """Until each has ended.

        Raises:
            FleetUnreachable, Refused: the fleet does not answer any more. What was begun goes on by itself.
        """
        self._list()
        self.turns.run("Importing", wanted)

    @property
    def ended(self) -> Sequence[Imported]:
        """By lines."""
        return sorted(self.turns.ended, key=lambda each: each.line)

    def _list(self) -> None:
        with Progress("Tenants") as progress:
            listed = self.api.tenants(None, progress.count).tenants
        self.known = {each.tenant_id: each for each in listed}

    def _outcome(self, wanted: WantedTenant) -> Outcome:
        known = self.known.get(wanted.tenant)
        if known is None or known.status in _NOT_THERE_YET:
            return Outcome.ADDED
        return Outcome.ALREADY if wanted.is_as_wanted(known) else Outcome.CHANGED

    def _begin(self, wanted: WantedTenant) -> str | Imported:
        try:
            known = self.known.get(wanted.tenant)
            if known is not None and known.status is TenantStatus.PROVISIONING:
                # Of a run before: it may have ended since all were listed, and would be begun anew.
                self.known[wanted.tenant] = self.api.tenant(wanted.tenant)
            outcome = self._outcome(wanted)
            if outcome is Outcome.ALREADY:
                return Imported(wanted.line, wanted.tenant, outcome)
            if outcome is Outcome.ADDED and self._no_room is not None:
                return Imported(wanted.line, wanted.tenant, Outcome.NOT_BEGUN, self._no_room)
            begun = self.api.provision(wanted.tenant, wanted.name, wanted.knowledge_store, wanted.tier, wanted.profile)
        except Refused as refused:
            if refused.passing:
                raise
            return Imported(wanted.line, wanted.tenant, Outcome.REFUSED, refused.detail)
        return begun.execution

    def _end_of(self, wanted: WantedTenant, name: str) -> Imported | None:
        execution = self.api.provisioning(wanted.tenant, name)
        if execution.status == "RUNNING":
            return None
        if execution.status == "SUCCEEDED":
            return Imported(wanted.line, wanted.tenant, self._outcome(wanted))
        if execution.error == "CapacityExceeded":
            self._no_room = execution.reason or ""
        reason = f"{execution.status} at {execution.step}: {execution.reason}"
        return Imported(wanted.line, wanted.tenant, Outcome.FAILED, reason)
