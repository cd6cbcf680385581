"""Golden questions, what is known of them, and their runs, in the one DynamoDB table.

Keys in a tenant's first life: `PK` = `QUESTIONS#<tenant id>`, a partition of its own, because what IAM can distinguish
is partitions: whoever may read a tenant's record may not read its texts for that. `SK` = `TEXTS`, all questions;
`WATCH`, what is known of them; `RUN#<run>`, a run that has ended, which expires. And `PK` = `FLEET`, `SK` =
`QUESTION_SEARCH`: when the last search for one was allowed.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from kbfleet.adapters.aws_errors import translated
from kbfleet.adapters.dynamodb.table import as_item, life_key, outlined
from kbfleet.domain.errors import ConcurrentUpdate, Throttled
from kbfleet.domain.fleet_overview import QuestionsOutline
from kbfleet.domain.question_runs import QuestionRun, QuestionWatch
from kbfleet.domain.questions import QuestionSet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kbfleet.adapters.dynamodb.table import Table
    from kbfleet.domain.names import Life

_sets = cache(lambda: TypeAdapter(QuestionSet))
_watches = cache(lambda: TypeAdapter(QuestionWatch))
_runs = cache(lambda: TypeAdapter(QuestionRun))
_outlines = cache(lambda: TypeAdapter(QuestionsOutline))

OUTLINES = "QUESTIONS"
"""The partition of the index `Overview` that tenants with golden questions are in."""

_TEXTS, _WATCH, _RUN = "TEXTS", "WATCH", "RUN#"
_SEARCH = {"PK": "FLEET", "SK": "QUESTION_SEARCH"}
_TRIES = 20
"""At an item that the few others write who search at the same time."""
_TOO_FAST = {"ThrottlingError", "ProvisionedThroughputExceeded"}
_MANY = 1_000
"""Ended runs that are read at most: whoever made so many wants the newest."""


def _watch_as_stored(watch: QuestionWatch) -> dict[str, Any]:
    """Shares are numbers with a fraction, which boto3 takes as `Decimal` only."""
    stored: dict[str, Any] = json.loads(_watches().dump_json(watch, exclude_none=True), parse_float=Decimal)
    outline = QuestionsOutline.of(watch)
    said = _outlines().dump_json(outline, exclude_defaults=True).decode() if outline is not None else None
    # Of whom there are no questions, there is nothing that could pass.
    return stored | (outlined(OUTLINES, str(watch.of_life), said) if watch.questions else {})


def question_key(life: Life, sort_key: str) -> dict[str, str]:
    return {"PK": f"QUESTIONS#{life.tenant_id}", "SK": life_key(life, sort_key)["SK"]}


class DynamoDBGoldenQuestions:
    """`kbfleet.ports.GoldenQuestions` in DynamoDB."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self, life: Life) -> QuestionSet:
        record = self._table.item(question_key(life, _TEXTS))
        return _sets().validate_python(record) if record else QuestionSet(life)

    def save(self, questions: QuestionSet) -> QuestionSet:
        stored = replace(questions, version=questions.version + 1)
        new = questions.version == 0
        self._table.put(
            question_key(questions.of_life, _TEXTS) | _sets().dump_python(stored, mode="json", exclude_none=True),
            condition="attribute_not_exists(PK)" if new else "version = :version",
            values={} if new else {":version": questions.version},
            subject=f"The questions of tenant {questions.of_life}",
        )
        return stored


class DynamoDBQuestionWatches:
    """`kbfleet.ports.QuestionWatches` in DynamoDB."""

    def __init__(self, table: Table, kept_for: timedelta) -> None:
        self._table = table
        self._kept_for = kept_for

    def find(self, life: Life) -> QuestionWatch:
        record = self._table.item(question_key(life, _WATCH))
        return _watches().validate_python(record) if record else QuestionWatch(life)

    def known(self, lives: Sequence[Life]) -> Iterator[QuestionWatch]:
        records = self._table.items([question_key(life, _WATCH) for life in lives])
        yield from (_watches().validate_python(record) for record in records if record is not None)

    def save(self, watch: QuestionWatch, ended: QuestionRun | None = None) -> QuestionWatch:
        stored = replace(watch, version=watch.version + 1)
        new = watch.version == 0
        fields = question_key(watch.of_life, _WATCH) | _watch_as_stored(stored)
        subject = f"What is known of the questions of tenant {watch.of_life}"
        condition = "attribute_not_exists(PK)" if new else "version = :version"
        values = {} if new else {":version": watch.version}
        if ended is None:
            self._table.put(fields, condition=condition, values=values, subject=subject)
        else:
            self._save_both(fields, self._run(watch.of_life, ended), condition, values, subject)
        return stored

    def _run(self, life: Life, run: QuestionRun) -> dict[str, Any]:
        fields = _runs().dump_python(run, mode="json", exclude_none=True)
        expires_at = int(((run.ended_at or run.began_at) + self._kept_for).timestamp())
        return {**question_key(life, f"{_RUN}{run.run_id}"), **fields, "expires_at": expires_at}

    def _save_both(
        self,
        watch: Mapping[str, object],
        run: Mapping[str, object],
        condition: str,
        values: Mapping[str, object],
        subject: str,
    ) -> None:
        """At once: a run that is in the history has counted, and nothing is written of a tenant that is erased."""
        client = self._table.client
        conditional: Any = {"TableName": self._table.name, "Item": as_item(watch), "ConditionExpression": condition}
        if values:
            conditional["ExpressionAttributeValues"] = as_item(values)
        with translated(subject):
            try:
                client.transact_write_items(
                    TransactItems=[
                        {"Put": conditional},
                        {"Put": {"TableName": self._table.name, "Item": as_item(run)}},
                    ]
                )
            except client.exceptions.TransactionCanceledException as error:
                reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", ())}
                if reasons & {"ConditionalCheckFailed", "TransactionConflict"}:
                    raise ConcurrentUpdate(f"{subject} has changed since it was read.") from error
                if _TOO_FAST & reasons:
                    raise Throttled(f"TransactWriteItems for {subject}: {reasons}") from error
                raise

    def runs(self, life: Life, limit: int) -> Sequence[QuestionRun]:
        partition, begins = question_key(life, _RUN).values()
        found = self._table.query(
            limit=min(limit, _MANY),
            KeyConditionExpression="PK = :pk AND begins_with(SK, :run)",
            ExpressionAttributeValues=as_item({":pk": partition, ":run": begins}),
            ScanIndexForward=False,
            ConsistentRead=True,
        )
        return [_runs().validate_python(record) for record in found]


class DynamoDBSearchPace:
    """`kbfleet.ports.SearchPace` in DynamoDB.

    Args:
        interval: between two searches.
    """

    def __init__(self, table: Table, interval: timedelta) -> None:
        self._table = table
        self._interval = interval

    def next(self, now: datetime) -> datetime:
        earliest = _milliseconds(now)
        for _ in range(_TRIES):
            record = self._table.item(_SEARCH)
            last = int(record["searched_at"]) if record else None
            place = earliest
            if last is not None:
                place = max(earliest, last + int(self._interval / timedelta(milliseconds=1)))
            try:
                self._table.put(
                    {**_SEARCH, "searched_at": place},
                    condition="attribute_not_exists(PK)" if last is None else "searched_at = :last",
                    values={} if last is None else {":last": last},
                    subject="The next search for a golden question",
                )
            except ConcurrentUpdate:
                continue
            return datetime.fromtimestamp(place / 1000, UTC)
        raise Throttled("Too many search for golden questions at the same time.")


def _milliseconds(time: datetime) -> int:
    """Rounded up, so that no search comes earlier than it may."""
    return -int(-time.timestamp() * 1000 // 1)
