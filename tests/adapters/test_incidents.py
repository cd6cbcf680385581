"""What is stored of incidents comes back as it was, all of it or none, and never over somebody else's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from pydantic import TypeAdapter

from kbfleet.adapters.dynamodb.incidents import REMEMBERED_FOR, DynamoDBIncidents
from kbfleet.adapters.dynamodb.table import Table
from kbfleet.domain.alert import MAX_COMMANDED, Reason
from kbfleet.domain.bounds import ITEM_BYTES
from kbfleet.domain.errors import ConcurrentUpdate
from kbfleet.domain.harm import Harm
from kbfleet.domain.incident import SPANS_KEPT, TOGETHER, Concern, Incident, Signal, Span, Timeline
from kbfleet.domain.ingestion_job import JobStatus, Outcome
from kbfleet.domain.root_cause import RootCause
from kbfleet.domain.signals import of_ingestion
from kbfleet.ports import Incidents
from tests.support.clock import START
from tests.support.fakes import InMemoryIncidents
from tests.support.samples import DEPLOYMENT, failure_reason, job_state_change


def signal() -> Signal:
    failed = job_state_change(
        status=JobStatus.FAILED, outcome=Outcome.FAILED, failure_reasons=(failure_reason("No.", "s3://b/議事録.pdf"),)
    )
    (found,) = of_ingestion(failed, DEPLOYMENT)
    return found


def opened(number: int = 1) -> tuple[Timeline, Incident]:
    """As the first failure of acme leaves it."""
    failed = signal()
    assert failed.failure
    incident = Incident.opened_by(failed, failed.failure, failed.failure.causes[0], number)
    timeline = Timeline("acme", Concern.INGESTION).joined_by(failed, incident.identity)
    return timeline, incident.following(timeline)


def gathered(number: int) -> tuple[Timeline, Incident]:
    """So many tenants, in the first of whom acme's failure is."""
    timeline, incident = opened()
    many = {f"tenant-{each:04d}": incident.affected["acme"] for each in range(1, number)}
    return timeline, replace(incident, affected={**many, **incident.affected}).gathered()


class IncidentsSuite:
    @pytest.fixture
    def incidents(self) -> Incidents:
        raise NotImplementedError

    def test_nothing_is_known_at_first(self, incidents: Incidents) -> None:
        _, incident = opened()
        assert incidents.timeline("acme", Concern.INGESTION) == Timeline("acme", Concern.INGESTION)
        assert incidents.find(incident.identity) is None
        assert list(incidents.of_cause(incident.cause)) == []

    def test_what_is_recorded_comes_back_as_it_was(self, incidents: Incidents) -> None:
        timeline, incident = opened()
        incidents.record(timeline, [incident])
        assert incidents.timeline("acme", Concern.INGESTION) == replace(timeline, version=1)
        assert incidents.timeline("acme", Concern.PROVISIONING).version == 0
        assert incidents.find(incident.identity) == replace(incident, version=1)

    def test_those_of_documents_have_a_timeline_of_their_own(self, incidents: Incidents) -> None:
        timeline, incident = opened()
        timeline, incident = (
            replace(timeline, concern=Concern.DOCUMENTS),
            replace(incident, concern=Concern.DOCUMENTS),
        )
        incidents.record(timeline, [incident])
        assert incidents.timeline("acme", Concern.DOCUMENTS) == replace(timeline, version=1)
        assert incidents.timeline("acme", Concern.INGESTION).version == 0
        assert incidents.find(incident.identity) == replace(incident, version=1)
        assert (
            list(incidents.of_subject("acme"))
            == list(incidents.of_cause(incident.cause))
            == [replace(incident, version=1)]
        )

    def test_what_people_were_notified_of_comes_back_as_it_was(self, incidents: Incidents) -> None:
        timeline, incident = opened()
        incidents.record(timeline, [incident])
        notice = incident.notice(DEPLOYMENT)
        assert notice
        claimed = replace(incident, version=1).claimed(notice, START, timedelta(minutes=1))
        assert incidents.find(incident.identity) != incidents.save(claimed)
        assert incidents.find(incident.identity) == replace(claimed, version=2)
        settled = incidents.save(replace(claimed, version=2).settled("1700000000.000100"))
        assert incidents.find(incident.identity) == settled

    def test_the_newest_of_a_cause_comes_first(self, incidents: Incidents) -> None:
        for number in (1, 2, 10):
            _, incident = opened(number)
            incidents.save(incident)
        assert [found.number for found in incidents.of_cause(incident.cause)] == [10, 2, 1]
        assert not incidents.of_cause(RootCause("another", "Another."))

    def test_a_record_that_another_wrote_first_is_kept_and_nothing_is_written(self, incidents: Incidents) -> None:
        timeline, incident = opened()
        incidents.record(timeline, [incident])
        for outdated in ((timeline, replace(incident, version=1)), (replace(timeline, version=1), incident)):
            with pytest.raises(ConcurrentUpdate):
                incidents.record(outdated[0], [outdated[1]])
        assert incidents.timeline("acme", Concern.INGESTION).version == 1
        found = incidents.find(incident.identity)
        assert found
        assert found.version == 1

    def test_an_incident_that_another_wrote_first_is_not_overwritten(self, incidents: Incidents) -> None:
        _, incident = opened()
        incidents.save(incident)
        with pytest.raises(ConcurrentUpdate):
            incidents.save(incident)
        incidents.save(replace(incident, version=1))
        with pytest.raises(ConcurrentUpdate):
            incidents.save(replace(incident, version=1))

    def test_those_of_a_subject_are_found_and_those_that_it_has_left_are_not(self, incidents: Incidents) -> None:
        assert list(incidents.of_subject("acme")) == []
        timeline, incident = opened()
        shared = replace(incident, number=2, affected={**incident.affected, "sakura": incident.affected["acme"]})
        incidents.record(timeline, [incident, shared])
        assert {found.identity for found in incidents.of_subject("acme")} == {incident.identity, shared.identity}
        assert list(incidents.of_subject("sakur")) == []
        left = replace(shared, version=1).without("acme", START)
        erased = replace(timeline, version=1).erased(START, incident)
        incidents.record(erased, [left])
        assert [found.identity for found in incidents.of_subject("acme")] == [incident.identity]
        assert incidents.timeline("acme", Concern.INGESTION) == replace(erased, version=2)

    def test_a_crowd_is_kept_member_by_member_and_counted(self, incidents: Incidents) -> None:
        timeline, crowd = gathered(TOGETHER + 20)
        incidents.record(timeline, [crowd])
        found = incidents.find(crowd.identity)
        assert found
        assert (found.hit, found.broken, found.affected) == (TOGETHER + 20, TOGETHER + 20, {})
        assert found.named == ("acme", *(f"tenant-{number:04d}" for number in range(1, MAX_COMMANDED)))
        mine = incidents.find(crowd.identity, "tenant-0007")
        assert mine
        assert mine.affected == {"tenant-0007": crowd.affected["tenant-0007"]}
        nobodys = incidents.find(crowd.identity, "somebody")
        assert nobodys
        assert nobodys.affected == {}

    def test_a_member_of_a_crowd_that_is_well_is_named_no_more_and_one_that_has_left_is_gone(
        self, incidents: Incidents
    ) -> None:
        timeline, crowd = gathered(TOGETHER + 1)
        incidents.record(timeline, [crowd])
        name = "acme"
        mine = incidents.find(crowd.identity, name)
        assert mine
        theirs = replace(timeline, version=1).joined_by(
            Signal("end", name, Concern.INGESTION, signal().at + timedelta(hours=1)), ""
        )
        incidents.record(theirs, [mine.following(theirs)])
        found = incidents.find(crowd.identity)
        assert found
        assert (found.hit, found.broken, found.named[0]) == (TOGETHER + 1, TOGETHER, "tenant-0001")
        (mine,) = incidents.of_subject(name)
        erased = replace(theirs, version=2).erased(START, mine)
        incidents.record(erased, [mine.without(name, START)])
        assert list(incidents.of_subject(name)) == []
        left = incidents.find(crowd.identity, name)
        assert left
        assert (left.hit, left.affected) == (TOGETHER, {})

    def test_what_people_know_of_a_crowd_comes_back_and_its_members_stay(self, incidents: Incidents) -> None:
        timeline, crowd = gathered(TOGETHER + 1)
        incidents.record(timeline, [crowd])
        found = incidents.find(crowd.identity)
        assert found
        notice = found.notice(DEPLOYMENT)
        assert notice
        incidents.save(incidents.save(found.claimed(notice, START, timedelta(minutes=1))).settled("1700000000.000100"))
        again = incidents.find(crowd.identity)
        assert again
        assert again.notified
        assert (again.hit, again.notified.subjects) == (TOGETHER + 1, TOGETHER + 1)
        mine = incidents.find(crowd.identity, "tenant-0100")
        assert mine
        assert mine.affected

    def test_what_ended_with_its_subject_comes_back_as_it_was(self, incidents: Incidents) -> None:
        timeline, incident = opened()
        incidents.record(timeline, [incident])
        erased = replace(incident, version=1).without("acme", START)
        incidents.record(replace(timeline, version=1).erased(START), [erased])
        assert incidents.find(incident.identity) == replace(erased, version=2)


class TestInMemory(IncidentsSuite):
    @pytest.fixture
    def incidents(self) -> Incidents:
        return InMemoryIncidents()


class TestDynamoDB(IncidentsSuite):
    @pytest.fixture
    def incidents(self, table: Table) -> Incidents:
        return DynamoDBIncidents(table)

    def test_what_is_over_expires_and_what_is_not_stays(self, table: Table, incidents: Incidents) -> None:
        timeline, incident = opened()
        incidents.record(timeline, [incident])
        assert not [item for item in _items(table) if "expires_at" in item]
        end = Signal("end", "acme", Concern.INGESTION, START + timedelta(hours=1))
        over = replace(timeline, version=1).joined_by(end, "")
        incidents.record(over, [replace(incident, version=1).following(over)])
        expected = str(int((end.at + REMEMBERED_FOR).timestamp()))
        assert [item["expires_at"]["N"] for item in _items(table) if "expires_at" in item] == [expected, expected]

    def test_an_empty_timeline_expires(self, table: Table, incidents: Incidents) -> None:
        incidents.record(Timeline("acme", Concern.INGESTION).erased(START), [])
        (item,) = _items(table)
        assert item["expires_at"]["N"] == str(int((START + REMEMBERED_FOR).timestamp()))

    def test_an_incident_is_found_although_the_timeline_of_its_subject_has_expired(
        self, table: Table, incidents: Incidents
    ) -> None:
        """Another holds it open, for longer than what is well is remembered."""
        timeline, incident = opened()
        incidents.record(timeline, [incident])
        key = {"PK": {"S": "INCIDENT#SUBJECT#acme"}, "SK": {"S": "INGESTION"}}
        table.client.delete_item(TableName=table.name, Key=key)
        assert [found.identity for found in incidents.of_subject("acme")] == [incident.identity]

    def test_an_incident_is_found_that_was_recorded_before_those_of_a_subject_were_kept(
        self, table: Table, incidents: Incidents
    ) -> None:
        timeline, incident = opened()
        incidents.record(timeline, [incident])
        key = {"PK": {"S": "INCIDENT#SUBJECT#acme"}, "SK": {"S": f"IN#{incident.identity}"}}
        table.client.delete_item(TableName=table.name, Key=key)
        assert [found.identity for found in incidents.of_subject("acme")] == [incident.identity]

    def test_what_was_stored_before_there_was_a_harm_is_read_and_claims_nothing(
        self, table: Table, incidents: Incidents
    ) -> None:
        timeline, incident = opened()
        incidents.record(timeline, [incident])
        for item in _items(table):
            table.client.put_item(TableName=table.name, Item=_without(item, {"harm", "shared"}))
        found = incidents.find(incident.identity)
        assert found is not None
        assert (found.evidence.harm, found.harm, found.cause.shared) == (None, Harm.UNKNOWN, False)
        assert incidents.timeline("acme", Concern.INGESTION).entries == timeline.entries

    def test_the_last_version_can_read_what_is_stored_of_documents(self, table: Table, incidents: Incidents) -> None:
        """An update may be taken back; that version refuses a concern that it does not know."""
        timeline, incident = opened()
        incidents.record(replace(timeline, concern=Concern.DOCUMENTS), [replace(incident, concern=Concern.DOCUMENTS)])
        concerns = [item["concern"]["S"] for item in _items(table) if "concern" in item]
        assert concerns == [Concern.INGESTION] * 2

    def test_which_alarms_were_in_which_incidents_is_not_kept(self, incidents: Incidents, table: Table) -> None:
        timeline, incident = opened()
        incidents.record(replace(timeline, concern=Concern.ALARM), [replace(incident, concern=Concern.ALARM)])
        assert not [item for item in _items(table) if item["SK"]["S"].startswith("IN#")]

    def test_a_record_of_the_last_version_with_many_members_becomes_a_crowd(
        self, table: Table, incidents: Incidents
    ) -> None:
        """That had five hundred at most, all in one record; also who only reports it must not fail: what is written of
        that may be the drop too much."""
        _, incident = opened()
        spans = tuple(
            Span(START + timedelta(minutes=10 * each), START + timedelta(minutes=10 * each + 5)) for each in range(3)
        )
        many = {f"{number:032d}": spans for number in range(149)}
        _put_as_the_last_version(table, replace(incident, affected={**many, **incident.affected}))
        read = incidents.find(incident.identity)
        assert read
        assert (read.hit, read.crowd) == (150, None)
        notice = read.notice(DEPLOYMENT)
        assert notice
        incidents.save(read.claimed(notice, START, timedelta(minutes=1)))
        found = incidents.find(incident.identity)
        assert found
        assert found.crowd
        assert (found.hit, found.broken, found.named) == (150, 1, ("acme",))
        mine = incidents.find(incident.identity, f"{3:032d}")
        assert mine
        assert mine.affected == {f"{3:032d}": spans}

    def test_one_that_dies_while_a_crowd_is_made_leaves_a_whole_record_and_may_be_repeated(
        self, table: Table, incidents: Incidents
    ) -> None:
        timeline, crowd = gathered(TOGETHER + 1)
        write, calls = table.client.transact_write_items, iter((True, False))

        def die_at_the_second(**given: Any) -> Any:
            if not next(calls):
                raise KeyboardInterrupt
            return write(**given)

        with patch.object(table.client, "transact_write_items", die_at_the_second), pytest.raises(KeyboardInterrupt):
            incidents.record(timeline, [crowd])
        assert incidents.timeline("acme", Concern.INGESTION).version == 0
        left = incidents.find(crowd.identity)
        assert left
        assert (left.crowd, left.hit) == (None, TOGETHER + 1)
        incidents.record(timeline, [left.following(timeline)])
        found = incidents.find(crowd.identity)
        assert found
        assert found.crowd
        assert (found.hit, found.broken, len(found.named)) == (TOGETHER + 1, TOGETHER + 1, MAX_COMMANDED)

    def test_one_that_is_slower_writes_over_no_member_of_a_crowd(self, table: Table, incidents: Incidents) -> None:
        timeline, crowd = gathered(TOGETHER + 1)
        incidents.record(timeline, [replace(crowd, crowd=None, affected=dict(list(crowd.affected.items())[:TOGETHER]))])
        slow = replace(crowd, version=1)
        incidents.record(Timeline("a", Concern.INGESTION), [slow])
        before = _items(table)
        with pytest.raises(ConcurrentUpdate):
            incidents.record(Timeline("b", Concern.INGESTION), [slow])
        assert _items(table) == before

    def test_the_longest_incident_fits_into_a_record(self, table: Table, incidents: Incidents) -> None:
        timeline, incident = opened()
        moments = [START + timedelta(minutes=minute, microseconds=1) for minute in range(2 * SPANS_KEPT)]
        spans = tuple(map(Span, moments[::2], moments[1::2], [Harm.DOCUMENTS_MISSING] * SPANS_KEPT, [100] * SPANS_KEPT))
        many = {f"{number:032d}": spans for number in range(TOGETHER - 1)}
        reasons = tuple(Reason("理" * 2_048, ("s3://b/" + "深" * 341,) * 100) for _ in range(100))
        long = replace(incident.evidence, reasons=reasons)
        incidents.record(timeline, [replace(incident, affected={**many, **incident.affected}, evidence=long)])
        assert max(_bytes(item) for item in _items(table)) <= ITEM_BYTES
        found = incidents.find(incident.identity)
        assert found
        assert len(found.evidence.reasons) + found.evidence.reasons_left_out == 100


def _put_as_the_last_version(table: Table, incident: Incident) -> None:
    """In one item, with all members in it."""
    fields: dict[str, Any] = TypeAdapter(Incident).dump_python(
        replace(incident, version=1), mode="json", exclude_none=True
    )
    del fields["named"]
    for spans in fields["affected"].values():
        for span in spans:
            del span["returns"]
    key = {"PK": f"INCIDENT#CAUSE#{incident.cause.key}", "SK": f"{incident.number:09d}"}
    table.put({**key, **fields}, values={}, subject="An incident")


def _bytes(item: Mapping[str, Any]) -> int:
    """As DynamoDB counts them. Source: AWS documentation, DynamoDB item sizes and formats."""

    def size(value: Mapping[str, Any]) -> int:
        ((kind, of),) = value.items()
        match kind:
            case "M":
                return 3 + sum(1 + len(name.encode()) + size(each) for name, each in of.items())
            case "L":
                return 3 + sum(1 + size(each) for each in of)
            case "N":
                return 21
            case "S":
                return len(of.encode())
        return 1

    return sum(len(name.encode()) + size(value) for name, value in item.items())


def _without(stored: Any, fields: set[str]) -> Any:
    """As it was before there were those, at any depth."""
    if isinstance(stored, dict):
        return {name: _without(value, fields) for name, value in stored.items() if name not in fields}
    return [_without(each, fields) for each in stored] if isinstance(stored, list) else stored


def _items(table: Table) -> list[dict[str, Any]]:
    return table.client.scan(TableName=table.name)["Items"]
