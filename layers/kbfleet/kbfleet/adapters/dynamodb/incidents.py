"""Incidents in the one DynamoDB table.

Keys: `PK` = `INCIDENT#CAUSE#<key of the root cause>`, `SK` = the incident's number, with leading zeros; and
`PK` = `INCIDENT#SUBJECT#<tenant or alarm>`, `SK` = the concern, for the timeline. An incident that is over expires, and
so does the timeline of a subject that is well. Beside a tenant's timelines, `SK` = `IN#<identity>` says in which
incidents it is; that does not expire, since others may hold an incident open, and is what its erasure goes by. All are
written in one transaction.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeSerializer
from pydantic import TypeAdapter

from kbfleet.adapters.aws_errors import translated
from kbfleet.domain.errors import ConcurrentUpdate, Throttled
from kbfleet.domain.incident import Concern, Incident, Timeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

    from kbfleet.adapters.dynamodb.table import Table
    from kbfleet.domain.root_cause import RootCause

REMEMBERED_FOR = timedelta(days=30)
"""After the end. Longer than a queue keeps what was not delivered (14 days; AWS documentation, Amazon SQS quotas)."""
_NEWEST = 10
"""Incidents of one cause that are looked at: older ones are over, or full."""
_IN = "IN#"
_CONCERN = "newer_concern"
_NEWER = {Concern.DOCUMENTS.value, Concern.KNOWLEDGE.value}
_TOO_FAST = {"ThrottlingError", "ProvisionedThroughputExceeded"}
_serialize = TypeSerializer().serialize
_incidents = cache(lambda: TypeAdapter(Incident))
_timelines = cache(lambda: TypeAdapter(Timeline))


class DynamoDBIncidents:
    """`kbfleet.ports.Incidents` in DynamoDB."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def timeline(self, subject: str, concern: Concern) -> Timeline:
        record = self._table.item(_subject_key(subject, concern))
        return _timeline(record) if record else Timeline(subject, concern)

    def find(self, identity: str) -> Incident | None:
        key, _, number = identity.rpartition("/")
        record = self._table.item(_incident_key(key, int(number)))
        return _incident(record) if record else None

    def of_cause(self, cause: RootCause) -> Sequence[Incident]:
        found = self._table.query(
            limit=_NEWEST,
            KeyConditionExpression="PK = :pk",
            ExpressionAttributeValues={":pk": {"S": _incident_key(cause.key, 0)["PK"]}},
            ScanIndexForward=False,
            ConsistentRead=True,
        )
        return list(map(_incident, found))

    def of_subject(self, subject: str) -> Sequence[Incident]:
        found = self._table.query(
            KeyConditionExpression="PK = :pk",
            ExpressionAttributeValues={":pk": {"S": _subject_key(subject, "")["PK"]}},
            ConsistentRead=True,
        )
        identities: dict[str, None] = {}
        for item in found:
            if item["SK"].startswith(_IN):
                identities[item["SK"].removeprefix(_IN)] = None
            else:
                # As far as it goes back, it also knows those that were recorded before the items beside it were.
                entries = _timeline(item).entries
                identities |= dict.fromkeys(entry.incident for entry in entries if entry.incident)
        incidents = (self.find(identity) for identity in identities)
        return [incident for incident in incidents if incident is not None and subject in incident.affected]

    def record(self, timeline: Timeline, incidents: Sequence[Incident]) -> None:
        writes = [self._put(_timeline_item(timeline), timeline.version)]
        writes += [self._put(_incident_item(incident), incident.version) for incident in incidents]
        if timeline.concern is not Concern.ALARM:
            writes += [self._membership(timeline.subject, incident) for incident in incidents]
        client, subject = self._table.client, f"A signal about {timeline.subject}"
        with translated(subject):
            try:
                client.transact_write_items(TransactItems=writes)
            except client.exceptions.TransactionCanceledException as error:
                reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", ())}
                if reasons & {"ConditionalCheckFailed", "TransactionConflict"}:
                    raise ConcurrentUpdate(f"{subject} met another.") from error
                if reasons & _TOO_FAST:
                    raise Throttled(f"TransactWriteItems for {subject}: {reasons}") from error
                raise

    def save(self, incident: Incident) -> Incident:
        new = incident.version == 0
        self._table.put(
            _incident_item(incident),
            condition="attribute_not_exists(PK)" if new else "version = :version",
            values={} if new else {":version": incident.version},
            subject=f"Incident {incident.identity}",
        )
        return replace(incident, version=incident.version + 1)

    def _membership(self, subject: str, incident: Incident) -> TransactWriteItemTypeDef:
        key = {name: _serialize(value) for name, value in _subject_key(subject, f"{_IN}{incident.identity}").items()}
        if subject in incident.affected:
            return {"Put": {"TableName": self._table.name, "Item": key}}
        return {"Delete": {"TableName": self._table.name, "Key": key}}

    def _put(self, item: dict[str, Any], version: int) -> TransactWriteItemTypeDef:
        put: TransactWriteItemTypeDef = {
            "Put": {
                "TableName": self._table.name,
                "Item": {name: _serialize(value) for name, value in item.items()},
                "ConditionExpression": "version = :version" if version else "attribute_not_exists(PK)",
            }
        }
        if version:
            put["Put"]["ExpressionAttributeValues"] = {":version": _serialize(version)}
        return put


def _incident_key(cause: str, number: int) -> dict[str, str]:
    return {"PK": f"INCIDENT#CAUSE#{cause}", "SK": f"{number:09d}"}


def _subject_key(subject: str, sort_key: str) -> dict[str, str]:
    return {"PK": f"INCIDENT#SUBJECT#{subject}", "SK": sort_key}


def _incident_item(incident: Incident) -> dict[str, Any]:
    stored = replace(incident, version=incident.version + 1)
    fields: dict[str, Any] = _incidents().dump_python(stored, mode="json", exclude_none=True)
    return _incident_key(incident.cause.key, incident.number) | _for_all_versions(fields) | _expiry(incident.closed_at)


def _timeline_item(timeline: Timeline) -> dict[str, Any]:
    stored = replace(timeline, version=timeline.version + 1)
    fields: dict[str, Any] = _timelines().dump_python(stored, mode="json", exclude_none=True)
    over = None
    if timeline.settled:
        over = timeline.entries[-1].at if timeline.entries else timeline.erased_at
    return _subject_key(timeline.subject, timeline.concern) | _for_all_versions(fields) | _expiry(over)


def _for_all_versions(fields: dict[str, Any]) -> dict[str, Any]:
    """The version before this one, to which an update may be taken back, does not know all concerns."""
    if fields["concern"] not in _NEWER:
        return fields
    return {**fields, "concern": Concern.INGESTION.value, _CONCERN: fields["concern"]}


def _as_written(record: Mapping[str, Any]) -> dict[str, Any]:
    return {**record, "concern": record.get(_CONCERN, record["concern"])}


def _incident(record: Mapping[str, Any]) -> Incident:
    return _incidents().validate_python(_as_written(record))


def _timeline(record: Mapping[str, Any]) -> Timeline:
    return _timelines().validate_python(_as_written(record))


def _expiry(over: datetime | None) -> dict[str, int]:
    return {} if over is None else {"expires_at": int((over + REMEMBERED_FOR).timestamp())}
