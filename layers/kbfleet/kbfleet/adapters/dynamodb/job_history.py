"""The history of ingestion jobs, and which of their changes are published."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from kbfleet.adapters.dynamodb.table import as_item, life_key, life_of, sortable_time
from kbfleet.domain.bounds import PAGE_BYTES, fitting
from kbfleet.domain.errors import ConcurrentUpdate
from kbfleet.domain.ingestion_job import JobStateChange
from kbfleet.ports import JobPage, Recorded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, timedelta
    from typing import Any

    from kbfleet.adapters.dynamodb.table import Table
    from kbfleet.domain.names import Life


# Made when first needed: most functions need neither.
_changes = cache(lambda: TypeAdapter(JobStateChange))

_JOB = "JOB#"

_GIVEN_UP_AFTER_MS = 60_000
"""After which whoever wanted to publish a change of a job is taken to have died: as long as a tick may run."""


class DynamoDBJobHistory:
    """`kbfleet.ports.JobHistory` in DynamoDB; entries expire by the table's time to live."""

    def __init__(self, table: Table, *, kept_for: timedelta) -> None:
        self._table = table
        self._kept_for = kept_for

    def record(self, change: JobStateChange, now: datetime) -> Recorded:
        occurred_at = change.occurred_at.timestamp()
        fields: dict[str, object] = {
            **_changes().dump_python(change, mode="json", exclude_none=True),
            "occurred_at_ms": int(occurred_at * 1000),
            "expires_at": int(occurred_at + self._kept_for.total_seconds()),
        }
        subject = f"The history of {change.identity}"
        with suppress(ConcurrentUpdate):  # a later state of this job is stored already: the history must not go back
            self._table.update(
                self._key(change),
                fields,
                condition="attribute_not_exists(PK) OR attribute_not_exists(occurred_at_ms) OR occurred_at_ms <= :at",
                values={":at": fields["occurred_at_ms"]},
                subject=subject,
            )
        claim, done = f"claimed_{change.status}", f"published_{change.status}"
        at = int(now.timestamp() * 1000)
        try:
            self._table.update(
                self._key(change),
                {claim: at},
                condition=f"attribute_not_exists({done}) AND (attribute_not_exists({claim}) OR {claim} <= :given_up)",
                values={":given_up": at - _GIVEN_UP_AFTER_MS},
                subject=subject,
            )
        except ConcurrentUpdate:
            stored = self._table.item(self._key(change)) or {}
            return Recorded.PUBLISHED if done in stored else Recorded.ANOTHERS
        return Recorded.YOURS

    def published(self, change: JobStateChange) -> None:
        done = {f"published_{change.status}": True}
        self._table.update(
            self._key(change),
            done,
            condition="attribute_exists(PK)",
            values={},
            subject=f"The history of {change.identity}",
        )

    def _key(self, change: JobStateChange) -> dict[str, str]:
        began = change.started_at or change.occurred_at
        return life_key(change.of_life, f"{_JOB}{sortable_time(began)}#{change.name}")

    def latest(self, life: Life, limit: int) -> Sequence[JobStateChange]:
        return [_changes().validate_python(item) for item in self._newest_first(life, limit=limit)]

    def page(self, life: Life, limit: int, after: str | None) -> JobPage:
        found: list[tuple[str, JobStateChange]] = []
        for item in self._newest_first(life, after=after, limit=limit + 1):
            found.append((item["SK"], _changes().validate_python(item)))
            if sum(change.size for _, change in found) > PAGE_BYTES:
                break  # the last one does not fit any more
        kept = fitting(found, lambda each: each[1].size, most_bytes=PAGE_BYTES, most=limit)
        following = life_of(kept[-1][0])[1].removeprefix(_JOB) if len(found) > len(kept) else None
        return JobPage([change for _, change in kept], following)

    def find(self, life: Life, name: str) -> JobStateChange | None:
        # When a job began is in its key, and not known here: the history of one tenant is looked through.
        found = (item for item in self._newest_first(life) if item["SK"].endswith(f"#{name}"))
        return next(map(_changes().validate_python, found), None)

    def _newest_first(
        self, life: Life, *, after: str | None = None, limit: int | None = None
    ) -> Iterator[dict[str, Any]]:
        start = {"ExclusiveStartKey": as_item(life_key(life, f"{_JOB}{after}"))} if after is not None else {}
        partition, begins = life_key(life, _JOB).values()
        return self._table.query(
            limit=limit,
            KeyConditionExpression="PK = :pk AND begins_with(SK, :job)",
            ExpressionAttributeValues=as_item({":pk": partition, ":job": begins}),
            ScanIndexForward=False,
            **start,
        )

    def started_since(self, life: Life, since: datetime) -> Iterator[JobStateChange]:
        partition, first = life_key(life, f"{_JOB}{sortable_time(since)}").values()
        found = self._table.query(
            KeyConditionExpression="PK = :pk AND SK BETWEEN :first AND :last",
            # "$" comes after "#": every moment and every job is within.
            ExpressionAttributeValues=as_item(
                {":pk": partition, ":first": first, ":last": life_key(life, "JOB$")["SK"]}
            ),
        )
        return map(_changes().validate_python, found)
