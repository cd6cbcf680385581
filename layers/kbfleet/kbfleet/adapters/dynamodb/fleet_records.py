"""What an overview of the fleet is made of, in the one DynamoDB table.

The index `Overview` has of each item only what an overview may need, so that a page of it is thousands of items. Its
partitions are the statuses of tenants, by the attributes that their records have had from the beginning: so a tenant is
in it whichever version has written its record. Beside them are `SYNC`, `INCIDENT` and `QUESTIONS`, by attributes that
whoever stores such an item stores with it (`table.outlined`). DynamoDB counts what a filter leaves out, and does not
send it: of a fleet that is well, next to nothing is sent.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter

from kbfleet.adapters.dynamodb import incidents, questions, rounds, sync_ledger
from kbfleet.adapters.dynamodb.table import as_item
from kbfleet.adapters.dynamodb.tenants import NOTHING_TO_SAY
from kbfleet.adapters.dynamodb.usage import fleet_usage
from kbfleet.domain.capacity import RoomCount
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.finding import Finding, UnseenSince
from kbfleet.domain.fleet_overview import (
    BesideOutline,
    Census,
    FleetOutlines,
    IncidentOutline,
    QuestionsOutline,
    SyncOutline,
    TenantOutline,
)
from kbfleet.domain.names import TenantId
from kbfleet.domain.reconciliation import TenantRound
from kbfleet.domain.tenant import Offboarding
from kbfleet.domain.tenant_status import TenantStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from kbfleet.adapters.dynamodb.table import Table

Told = TypeVar("Told")
OVERVIEW = "Overview"
_CENSUS = {"PK": "FLEET", "SK": "CENSUS"}
_PAGES_OF_INCIDENTS = 2
"""The worst come first: of thousands, nobody reads more."""
_COUNTED_ONLY = {TenantStatus.OFFBOARDED}
_FILTERED = {TenantStatus.ACTIVE}
_NOT_QUIET = {
    # A version from before there were outlines leaves it out: what its records say is looked at here.
    "FilterExpression": "attribute_not_exists(#outline) OR #outline <> :nothing",
    "values": {":nothing": NOTHING_TO_SAY},
}
_KEYS = ("PK", "SK")
"""They name what cannot be read."""
_OF_A_TENANT = (
    *_KEYS,
    "tenant_id",
    "knowledge",
    "status",
    "status_since",
    "losses",
    "within",
    "unseen",
    "found_at",
    "updated_at",
    "beside",
    "offboarding",
    "outline",
)

_syncs = cache(lambda: TypeAdapter(SyncOutline))
_incidents = cache(lambda: TypeAdapter(IncidentOutline))
_questions = cache(lambda: TypeAdapter(QuestionsOutline))
_findings = cache(lambda: TypeAdapter(tuple[Finding, ...]))
_unseen = cache(lambda: TypeAdapter(tuple[UnseenSince, ...]))
_besides = cache(lambda: TypeAdapter(BesideOutline))
_offboardings = cache(lambda: TypeAdapter(Offboarding))
_censuses = cache(lambda: TypeAdapter(Census))
_rounds = cache(lambda: TypeAdapter(TenantRound))
_room_counts = cache(lambda: TypeAdapter(RoomCount))


class _Reads:
    """Pages and items, counted as they are read, and no more of them than are allowed.

    What cannot be understood, because a newer version has written it or it is damaged, is named in `unread`, and keeps
    nobody from seeing the rest.
    """

    def __init__(self, table: Table, most: int) -> None:
        self._table = table
        self._most = most
        self.made = 0
        self.whole = True
        self.unread: list[str] = []

    def told(self, understand: Callable[[dict[str, Any]], Told], item: dict[str, Any] | None) -> Told | None:
        """`None` where there is nothing, or nothing that is understood."""
        if item is None:
            return None
        try:
            return understand(item)
        except (ValueError, TypeError, LookupError, InvalidInput):
            self.unread.append(f"{item['SK']} of {item['PK']}")
            return None

    def all_told(self, understand: Callable[[dict[str, Any]], Told], items: Iterable[dict[str, Any]]) -> list[Told]:
        """Those that are understood."""
        return [told for each in items if (told := self.told(understand, each)) is not None]

    def item(self, key: Mapping[str, str]) -> dict[str, Any] | None:
        self.made += 1
        return self._table.item(key)

    def page(self, **arguments: Any) -> tuple[list[dict[str, Any]], int, Any]:
        """As `Table.page`."""
        self.made += 1
        return self._table.page(**arguments)

    def pages(
        self,
        partition: str,
        *names: str,
        most: int | None = None,
        values: Mapping[str, object] | None = None,
        **arguments: Any,
    ) -> Iterator[_Page]:
        """
        Args:
            names: of the attributes to read; none to count only.
            most: pages, of what need not be whole.
        """
        projection = {"ProjectionExpression": ", ".join(f"#{name}" for name in names)}
        asked: dict[str, Any] = {
            "IndexName": OVERVIEW,
            "KeyConditionExpression": "#status = :status",
            # By placeholders: `status`, `within` and others are words of DynamoDB's own.
            "ExpressionAttributeNames": {f"#{name}": name for name in ("status", *names)},
            "ExpressionAttributeValues": as_item({":status": partition, **(values or {})}),
            **(projection if names else {"Select": "COUNT"}),
            **arguments,
        }
        first = self.made
        while True:
            if self.made >= self._most:
                self.whole = False
                return
            items, counted, following = self.page(**asked)
            last = following is None
            yield _Page(items, counted, last=last)
            if last or (most is not None and self.made - first >= most):
                return
            asked["ExclusiveStartKey"] = following


class _Page:
    """Args: counted: how many there are, also of those that a filter has left out."""

    def __init__(self, items: list[dict[str, Any]], counted: int, *, last: bool) -> None:
        self.items = items
        self.counted = counted
        self.last = last


class DynamoDBFleetRecords:
    """`kbfleet.ports.FleetRecords` in DynamoDB."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def read(self, now: datetime, most_reads: int) -> FleetOutlines:
        reads = _Reads(self._table, most_reads)
        position = reads.told(_rounds().validate_python, reads.item(rounds.round_key(rounds.ISOLATION)))
        rooms = reads.told(_room_counts().validate_python, reads.item(rounds.ROOM))
        census = reads.told(_censuses().validate_python, reads.item(_CENSUS))
        started = reads.told(sync_ledger.claimed_at, reads.item(sync_ledger.INGESTION_START))
        used = fleet_usage(reads.page, now.astimezone(UTC).date())
        statuses: dict[TenantStatus, int] = {}
        tenants: list[TenantOutline] = []
        # The most important come first: should there be too much for all, these are whole.
        for status in _IN_ORDER:
            names = () if status in _COUNTED_ONLY else _OF_A_TENANT
            filtered: Mapping[str, Any] = _NOT_QUIET if status in _FILTERED else {}
            for page in reads.pages(status, *names, **filtered):
                statuses[status] = statuses.get(status, 0) + page.counted
                tenants += (each for each in reads.all_told(_tenant, page.items) if not each.is_quiet)
        found: list[IncidentOutline] = []
        left_out = False
        for page in reads.pages(incidents.OUTLINES, *_KEYS, "outline", most=_PAGES_OF_INCIDENTS):
            found += reads.all_told(_outline(_incidents()), page.items)
            left_out = not page.last
        syncs, _ = self._all(reads, sync_ledger.OUTLINES, _syncs())
        asked_of, asked = self._all(reads, questions.OUTLINES, _questions())
        return FleetOutlines(
            statuses,
            tenants,
            syncs,
            found,
            asked_of,
            asked,
            rooms,
            position or TenantRound(),
            census,
            started,
            used,
            left_out,
            reads.made,
            reads.whole,
            reads.unread,
        )

    @staticmethod
    def _all(reads: _Reads, partition: str, outlines: TypeAdapter[Any]) -> tuple[list[Any], int]:
        found: list[Any] = []
        counted = 0
        for page in reads.pages(partition, *_KEYS, "outline", FilterExpression="attribute_exists(#outline)"):
            found += reads.all_told(_outline(outlines), page.items)
            counted += page.counted
        return found, counted

    def count(self, census: Census) -> None:
        fields = _censuses().dump_python(census, mode="json", exclude_none=True)
        self._table.put({**_CENSUS, **fields}, values={}, subject="how many tenants there are")


_IN_ORDER = (
    TenantStatus.FAILED,
    TenantStatus.ACTIVE,
    TenantStatus.PROVISIONING,
    TenantStatus.OFFBOARDING,
    TenantStatus.SUSPENDED,
    TenantStatus.OFFBOARDED,
)


def _outline(outlines: TypeAdapter[Told]) -> Callable[[Mapping[str, Any]], Told]:
    return lambda item: outlines.validate_json(item["outline"])


def _tenant(record: Mapping[str, Any]) -> TenantOutline:
    """From the attributes of a record that are in the index."""
    beside, offboarding = record.get("beside"), record.get("offboarding")
    unseen = _unseen().validate_python(record.get("unseen", ()))
    findings = (*record.get("losses", ()), *record.get("within", ()))
    found_at = _times().validate_python(record["found_at"]) if record.get("found_at") else None
    updated_at = _times().validate_python(record["updated_at"]) if record.get("updated_at") else None
    return TenantOutline(
        TenantId(record["tenant_id"]),
        TenantStatus(record["status"]),
        _times().validate_python(record["status_since"]),
        int(record.get("knowledge", 1)),
        _findings().validate_python(findings),
        found_at,
        min((each.since for each in unseen), default=None),
        _besides().validate_python(
            {"knowledge": beside["record"]["knowledge"], "role": beside["role"], "since": beside["since"]}
        )
        if beside
        else None,
        _offboardings().validate_python(offboarding).delete_after if offboarding else None,
        found_at is not None and updated_at is not None and updated_at > found_at,
    )


_times = cache(lambda: TypeAdapter(datetime))
