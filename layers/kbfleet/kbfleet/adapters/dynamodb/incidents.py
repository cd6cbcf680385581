"""Incidents in the one DynamoDB table.

Keys: `PK` = `INCIDENT#CAUSE#<key of the root cause>`, `SK` = the incident's number, with leading zeros; and
`PK` = `INCIDENT#SUBJECT#<tenant or alarm>`, `SK` = the concern, for the timeline. An incident that is over expires, and
so does the timeline of a subject that is well. Beside a tenant's timelines, `SK` = `IN#<identity>` says in which
incidents it is; that does not expire, since others may hold an incident open, and is what its erasure goes by.
`PK` = `INCIDENT#MEMBERS#<identity>`, `SK` = a tenant or an alarm, for each member of a crowd; it expires when the
member has been well for long. All are written in one transaction.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeSerializer
from pydantic import TypeAdapter

from kbfleet.adapters.aws_errors import translated
from kbfleet.adapters.dynamodb.table import outlined
from kbfleet.domain.alert import MAX_COMMANDED
from kbfleet.domain.errors import ConcurrentUpdate, Throttled
from kbfleet.domain.fleet_overview import IncidentOutline
from kbfleet.domain.incident import Concern, Incident, Span, Timeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

    from kbfleet.adapters.dynamodb.table import Table
    from kbfleet.domain.root_cause import RootCause

REMEMBERED_FOR = timedelta(days=30)
"""After the end. Longer than a queue keeps what was not delivered (14 days; AWS documentation, Amazon SQS quotas)."""
_NEWEST = 10
"""Incidents of one cause that are looked at: older ones are over."""
_MEMBERS_AT_ONCE = 80
"""In one transaction, which takes 100 items (AWS documentation, TransactWriteItems)."""
_IN = "IN#"
_CONCERN = "newer_concern"
_NEWER = {Concern.DOCUMENTS.value, Concern.KNOWLEDGE.value}
_TOO_FAST = {"ThrottlingError", "ProvisionedThroughputExceeded"}
_serialize = TypeSerializer().serialize
_incidents = cache(lambda: TypeAdapter(Incident))
_spans = cache(lambda: TypeAdapter(tuple[Span, ...]))
_timelines = cache(lambda: TypeAdapter(Timeline))
_outlines = cache(lambda: TypeAdapter(IncidentOutline))
OUTLINES = "INCIDENT"
"""The partition of the index `Overview` that open ones are in."""


class DynamoDBIncidents:
    """`kbfleet.ports.Incidents` in DynamoDB."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def timeline(self, subject: str, concern: Concern) -> Timeline:
        record = self._table.item(_subject_key(subject, concern))
        return _timeline(record) if record else Timeline(subject, concern)

    def find(self, identity: str, member: str = "") -> Incident | None:
        key, _, number = identity.rpartition("/")
        record = self._table.item(_incident_key(key, int(number)))
        incident = _incident(record) if record else None
        if incident is None or incident.crowd is None:
            return incident
        if not member:
            return replace(incident, named=self._still_broken(identity))
        kept = self._table.item(_member_key(identity, member))
        return replace(incident, affected={member: _spans().validate_python(kept["spans"])}) if kept else incident

    def _still_broken(self, identity: str) -> tuple[str, ...]:
        """The first of them."""
        found = self._table.query(
            KeyConditionExpression="PK = :pk",
            FilterExpression="broken = :broken",
            ProjectionExpression="SK",
            ExpressionAttributeValues={":pk": {"S": _member_key(identity, "")["PK"]}, ":broken": {"BOOL": True}},
            ConsistentRead=True,
        )
        return tuple(item["SK"] for item in islice(found, MAX_COMMANDED))

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
        incidents = (self.find(identity, subject) for identity in identities)
        return [incident for incident in incidents if incident is not None and subject in incident.affected]

    def record(self, timeline: Timeline, incidents: Sequence[Incident]) -> None:
        subject = f"A signal about {timeline.subject}"
        writes = [self._put(_timeline_item(timeline), timeline.version)]
        for incident in incidents:
            writes += self._writes(incident, subject, timeline.subject)[1]
        if timeline.concern is not Concern.ALARM:
            writes += [self._membership(timeline.subject, incident) for incident in incidents]
        self._write(writes, subject)

    def save(self, incident: Incident) -> Incident:
        subject = f"Incident {incident.identity}"
        version, writes = self._writes(incident, subject)
        self._write(writes, subject)
        return replace(incident.gathered(), version=version)

    def _writes(self, incident: Incident, subject: str, member: str = "") -> tuple[int, list[TransactWriteItemTypeDef]]:
        """What is left to write of an incident, and the version that it then has. One that has become a crowd has more
        members than go into one transaction: the first ones are written before, while its record still has all of them
        and says so. Whoever is faster with that record makes this one fail before it writes over newer members."""
        incident = incident.gathered()
        version, identity = incident.version, incident.identity
        members = sorted(incident.affected.items()) if incident.crowd is not None else []
        while len(members) > _MEMBERS_AT_ONCE:
            now, members = members[:_MEMBERS_AT_ONCE], members[_MEMBERS_AT_ONCE:]
            together = replace(incident, crowd=None, version=version)
            puts = [self._put_member(identity, name, spans) for name, spans in now]
            self._write([self._put(_incident_item(together), version), *puts], subject)
            version += 1
        writes = [self._put(_incident_item(replace(incident, version=version)), version)]
        writes += [self._put_member(identity, name, spans) for name, spans in members]
        if incident.erased or (incident.crowd is not None and member and member not in incident.affected):
            gone = _member_key(identity, member or next(iter(incident.affected)))
            key = {name: _serialize(value) for name, value in gone.items()}
            writes.append({"Delete": {"TableName": self._table.name, "Key": key}})
        return version + 1, writes

    def _write(self, writes: Sequence[TransactWriteItemTypeDef], subject: str) -> None:
        client = self._table.client
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

    def _put_member(self, identity: str, name: str, spans: tuple[Span, ...]) -> TransactWriteItemTypeDef:
        item = {
            **_member_key(identity, name),
            "spans": _spans().dump_python(spans, mode="json", exclude_none=True),
            "broken": spans[-1].ended is None,
            **_expiry(spans[-1].ended),
        }
        put: TransactWriteItemTypeDef = {
            "Put": {
                "TableName": self._table.name,
                "Item": {key: _serialize(value) for key, value in item.items()},
            }
        }
        return put

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


def _member_key(identity: str, name: str) -> dict[str, str]:
    return {"PK": f"INCIDENT#MEMBERS#{identity}", "SK": name}


def _incident_item(incident: Incident) -> dict[str, Any]:
    affected = incident.affected if incident.crowd is None else {}
    stored = replace(incident, version=incident.version + 1, affected=affected, named=())
    fields: dict[str, Any] = _incidents().dump_python(stored, mode="json", exclude_none=True)
    key = _incident_key(incident.cause.key, incident.number)
    return key | _for_all_versions(fields) | _outline(incident) | _expiry(incident.closed_at)


def _outline(incident: Incident) -> dict[str, Any]:
    """Of one that is over, nothing."""
    outline = IncidentOutline.of(incident)
    if outline is None:
        return {}
    said = _outlines().dump_json(outline, exclude_defaults=True).decode()
    return outlined(OUTLINES, f"{outline.place}#{incident.identity}", said)


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
