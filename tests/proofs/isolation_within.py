"""No tenant reaches another's documents from within: by names, metadata files, events, data sources and records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import strategies as st

import kbfleet.bootstrap
from kbfleet.adapters.sessions import SignedTickets
from kbfleet.domain.answer import Asker, Voucher
from kbfleet.domain.caller import UserId
from kbfleet.domain.document_names import document_id
from kbfleet.domain.document_pages import DocumentList, ListPlace
from kbfleet.domain.document_status import DocumentStatus
from kbfleet.domain.document_trace import SEARCHABLE_WITHIN
from kbfleet.domain.incident import Concern
from tests.proofs.proof import Row, try_each
from tests.support.api_requests import queried
from tests.support.breaches import add_in_console, ask, exchange, foreign, notify, point, reconcile
from tests.support.hostile_documents import ATTACKER, CANARY, SECRET, VICTIM, HostileDocuments
from tests.support.hostile_words import hostile_keys
from tests.support.http_server import Reply, serving
from tests.support.losses import departures_from_the_bucket
from tests.support.tenant_lives import sample
from tests.support.virtual_fleet import RARE_TICKS, virtual_fleet

NAMES, METADATA_FILES, EVENTS, RESOURCES = 200, 100, 100, 8
QUESTION = "What is the canary phrase of the house?"
_REMEMBERED = 120
"""Seconds after which the ask function has forgotten what a record said."""


def attempt_all(row: Row, store: str, *, parts: int = 1) -> None:
    """Adds an attempt to the row for each document, event and resource. Args: parts: one in so many is tried."""
    with virtual_fleet(parameters=RARE_TICKS) as fleet, _notified(HostileDocuments(fleet, store)) as hostile:
        _by_name(row, hostile, NAMES // parts)
        _by_metadata_file(row, hostile, METADATA_FILES // parts)
        _by_document(row, hostile)
        try_each(_events(hostile), EVENTS // parts, lambda forged: row.add(_by_event(hostile, forged)))
        for number in range(max(1, RESOURCES // parts)):
            for what, breach in _BREACHES.items():
                row.add(_by_breach(hostile, what, breach, number))
    resources = f"{RESOURCES // parts or 1} by each of: {', '.join(_BREACHES)}"
    row.findings.append(
        f"{NAMES // parts} by documents' names, {METADATA_FILES // parts} by metadata files, "
        f"{len(DOCUMENT_ATTEMPTS)} by documents' ids, places in lists and tickets, "
        f"{EVENTS // parts} by forged events, {resources}, each of which made one incident"
    )


@contextmanager
def _notified(hostile: HostileDocuments) -> Iterator[HostileDocuments]:
    """There is a Slack that takes messages."""
    with serving(*[Reply(200)] * 1_000) as slack:
        arn = hostile.fleet.deployment.value({"Fn::GetAtt": "SlackWebhookSecret.Id"})
        hostile.fleet.client("secretsmanager").create_secret(Name=arn, SecretString=slack.url)
        yield hostile


def _reached(hostile: HostileDocuments) -> str | None:
    """What of the victim's is within the attacker's reach, if anything is."""
    for what in hostile.foreign():
        return f"in the attacker's knowledge base: {what!r}"
    if CANARY in json.dumps(ask(hostile.lives, QUESTION, ATTACKER)):
        return "the victim's canary is in an answer"
    return None


# --- what a back end can send for the attacker -----------------------------------------------------


def _sent(hostile: HostileDocuments, request: str, key: str | None = None, **query: str) -> str:
    """What the API answers about the attacker's documents, whatever it is."""
    event = sample(request, ATTACKER) | queried(**query)
    if key is not None:
        event["pathParameters"]["document"] = document_id(key)
        event["path"] = event["resource"].format_map(event["pathParameters"])
    function = "LinksFunction" if request.endswith("link") else "DocumentsFunction"
    return str(hostile.fleet.invoke(function, event)["body"])


def _place_of(hostile: HostileDocuments, victims: str, **of: Any) -> str:
    """A token of the victim's list, made as the API makes it; nothing in it is secret."""
    life = hostile.fleet.life(victims)
    return ListPlace(DocumentList(life, **of), after="a").token


def _ticket(hostile: HostileDocuments, uri: str, holder: str) -> str:
    """Of the victim's document, signed for somebody."""
    life = hostile.fleet.life(holder)
    asker = Asker(life.tenant_id, Voucher.IDENTITY_PROVIDER, UserId(_USER))
    return SignedTickets(lambda: "k" * 64).issue(uri, asker, life)


def _opened(hostile: HostileDocuments, uri: str, ticket: str) -> str:
    event = sample("post_link", ATTACKER) | {"body": json.dumps({"uri": uri, "ticket": ticket})}
    return str(hostile.fleet.invoke("LinksFunction", event)["body"])


_USER = str(sample("post_link", ATTACKER)["requestContext"]["authorizer"]["user_id"])
DOCUMENT_ATTEMPTS: dict[str, Callable[[HostileDocuments, str], str]] = {
    "the victim's key": lambda hostile, _: _sent(hostile, "get_document", SECRET),
    "a link to the victim's key": lambda hostile, _: _sent(hostile, "get_link", SECRET),
    "a path to the victim's bucket": lambda hostile, _: _sent(
        hostile, "get_link", f"../{hostile.victims_bucket}/{SECRET}"
    ),
    "the victim's URI as a key": lambda hostile, uri: _sent(hostile, "get_link", uri),
    "the erasure of the victim's key": lambda hostile, _: _sent(
        hostile, "delete_document", SECRET, all_versions="true"
    ),
    "a place in the victim's list": lambda hostile, _: _sent(
        hostile, "get_documents", next_token=_place_of(hostile, VICTIM)
    ),
    "a place in the victim's list of what fails": lambda hostile, _: _sent(
        hostile,
        "get_documents",
        status="LEFT_OUT",
        next_token=_place_of(hostile, VICTIM, status=DocumentStatus.LEFT_OUT),
    ),
    "a prefix out of the bucket": lambda hostile, _: _sent(
        hostile, "get_documents", prefix=f"../{hostile.victims_bucket}/"
    ),
    "the victim's ticket": lambda hostile, uri: _opened(hostile, uri, _ticket(hostile, uri, VICTIM)),
    "a ticket that was given by mistake": lambda hostile, uri: _opened(hostile, uri, _ticket(hostile, uri, ATTACKER)),
}


def _by_document(row: Row, hostile: HostileDocuments) -> None:
    """Whatever is asked for the attacker, nothing of the victim's is answered, opened or deleted."""
    uri, s3 = f"s3://{hostile.victims_bucket}/{SECRET}", hostile.lives.client("s3")
    assert SECRET in {each["key"] for each in hostile.lives.api("get_documents", VICTIM)["documents"]}
    for what, attempt in DOCUMENT_ATTEMPTS.items():
        body = attempt(hostile, uri)
        versions = s3.list_object_versions(Bucket=hostile.victims_bucket, Prefix=SECRET)
        untouched = versions["Versions"][0]["IsLatest"] and not versions.get("DeleteMarkers")
        found = "X-Amz-Signature" in body or '"url"' in body or (SECRET in body and "documents" in body)
        row.add(f"{what} is answered: {body}" if found else None if untouched else f"{what} has deleted something")


# --- what tenants can do --------------------------------------------------------------------------


def _by_name(row: Row, hostile: HostileDocuments, number: int) -> None:
    names = hostile_keys(hostile.victims_bucket).filter(lambda key: not key.endswith(("/", ".metadata.json")))

    def attempt(keys: list[str]) -> None:
        hostile.fail(keys)
        hostile.retried()
        own = {f"s3://{hostile.bucket}/{key}" for key in keys}
        others = {document["uri"] for document in hostile.listed()} - own
        reached = _reached(hostile) or (f"listed as the attacker's: {others}" if others else None)
        for _ in keys:
            row.add(reached)
        hostile.remove(keys)

    try_each(st.lists(names, min_size=number, max_size=number, unique=True), 1, attempt)


_RESERVED = (
    "x-amz-bedrock-kb-source-uri",
    "x-amz-bedrock-kb-data-source-id",
    "_source_uri",
    "kbfleet:tenant",
    "tenant_id",
)


def _by_metadata_file(row: Row, hostile: HostileDocuments, number: int) -> None:
    """Beside documents of the attacker's that can be read: they claim to be the victim's, or of its data source."""
    victims = [
        f"s3://{hostile.victims_bucket}/{SECRET}",
        hostile.victims_bucket,
        VICTIM,
        hostile.lives.data_source(VICTIM)["dataSourceId"],
        "*",
    ]
    documents = hostile.lives.client("s3")
    claims = [(key, value) for key in _RESERVED for value in victims]
    for position in range(number):
        key, value = claims[position % len(claims)]
        name = f"claim {position}.md"
        documents.put_object(Bucket=hostile.bucket, Key=name, Body=f"House number {position} has a garden.".encode())
        content = json.dumps({"metadataAttributes": {key: value}})
        documents.put_object(Bucket=hostile.bucket, Key=f"{name}.metadata.json", Body=content.encode())
    hostile.lives.sync(ATTACKER)
    reached = _reached(hostile)
    for key, value in claims:
        condition = {"equals": {"key": key, "value": value}}
        answer = ask(hostile.lives, QUESTION, ATTACKER, filter=condition)
        if CANARY in json.dumps(answer):
            reached = f"by the filter {condition}: {answer}"
    for _ in range(number):
        row.add(reached)
    # Some of the claims are refused, and with them the documents that they are beside.
    hostile.remove([f"claim {position}.md.metadata.json" for position in range(number)])


def _events(hostile: HostileDocuments) -> st.SearchStrategy[dict[str, Any]]:
    """What is different in a forged event about the end of a job of the attacker's."""
    victims = hostile.lives.data_source(VICTIM)
    uri = f"s3://{hostile.victims_bucket}/{SECRET}"
    names = hostile_keys(hostile.victims_bucket).map(lambda key: f"[Files: s3://{hostile.bucket}/{key}]. ")
    listed = st.one_of(
        st.sampled_from([f"[Files: {uri}].", f"{uri}", f"[Files: s3://{hostile.bucket}/a, {uri}]"]), names
    )
    reasons = listed.map(lambda listing: [{"text": "no text", "names": listing, "documents": [uri]}])
    ids = {"knowledge_base_id": victims["knowledgeBaseId"], "data_source_id": victims["dataSourceId"]}
    return st.fixed_dictionaries(
        {"failure_reasons": st.one_of(reasons, st.just([])), "outcome": st.just("DEGRADED")},
        optional={name: st.just(value) for name, value in ids.items()},
    )


def _by_event(hostile: HostileDocuments, forged: dict[str, Any]) -> str | None:
    hostile.lives.collect(ATTACKER, **forged)
    others = [document["uri"] for document in hostile.listed()]
    if others:
        return f"{forged}: listed as the attacker's: {others}"
    hostile.retried()
    return next((f"{forged}: {what}" for what in hostile.foreign()), None)


# --- what operators may do wrong ------------------------------------------------------------------


def _by_breach(
    hostile: HostileDocuments, what: str, breach: Callable[[HostileDocuments], None], number: int
) -> str | None:
    """Nothing is shown; people are notified once, and that it is over once it was put right and looked at."""
    fleet, lives = hostile.fleet, hostile.lives
    breach(hostile)
    fleet.timeline.run_for(_REMEMBERED)
    for _ in range(3):
        answer = ask(lives, QUESTION, ATTACKER)
        if answer["status"] != 403 or CANARY in json.dumps(answer):
            return f"{what}, {number}: {answer}"
    notify(fleet)
    found = foreign(reconcile(lives, ATTACKER))
    notify(fleet)
    if not found or _open_incidents() != 1:
        return f"{what}, {number}: found {found}, {_open_incidents()} incidents"
    for tenant_id in (ATTACKER, VICTIM):
        lives.provisioned(tenant_id)
    fleet.timeline.run_for(_REMEMBERED)
    for tenant_id in (ATTACKER, VICTIM):
        left = foreign(reconcile(lives, tenant_id))
        if left:
            return f"{what}, {number}: {left} is left"
    notify(fleet)
    if _open_incidents():
        return f"{what}, {number}: not over"
    fleet.timeline.run_for(SEARCHABLE_WITHIN.total_seconds())
    lost = [departures_from_the_bucket(fleet, tenant_id) for tenant_id in (ATTACKER, VICTIM)]
    if any(lost):
        return f"{what}, {number}: {lost}"
    return _reached(hostile)


def _open_incidents() -> int:
    """Of breaches of the attacker's walls."""
    found = kbfleet.bootstrap.incidents().of_subject(ATTACKER)
    return sum(incident.open and incident.concern is Concern.ISOLATION for incident in found)


def _add_a_data_source(hostile: HostileDocuments) -> None:
    add_in_console(hostile.lives, ATTACKER, VICTIM)


def _repoint_the_data_source(hostile: HostileDocuments) -> None:
    point(hostile.lives, ATTACKER, at=VICTIM)
    hostile.lives.sync(ATTACKER)


def _ingest_by_hand(hostile: HostileDocuments) -> None:
    hostile.lives.ingest_directly(ATTACKER, f"s3://{hostile.victims_bucket}/{SECRET}")


def _exchange_records(hostile: HostileDocuments) -> None:
    exchange(hostile.fleet, ATTACKER, VICTIM)


_BREACHES = {
    "a second data source": _add_a_data_source,
    "a data source that reads another bucket": _repoint_the_data_source,
    "a document ingested by hand": _ingest_by_hand,
    "exchanged records": _exchange_records,
}
