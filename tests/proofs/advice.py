"""What kbfleet tells people to do, done: each situation is brought about, what is said in it is read at every surface,
and the commands in it are run as they stand, by the real command line.

An advice is proved by a situation in which it was said and every command of kbfleet in it was run with success; what
the situation asserts after that is that it has helped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import kbfleet.bootstrap
from bedrock_emulator import Quotas
from bedrock_emulator.world.iam_roles import IamRoles
from kbfleet.domain.names import TenantId
from kbfleet.domain.tenant_status import TenantStatus
from tests.proofs.proof import Row
from tests.support.advice import commands_in, of_the_code
from tests.support.advice_witness import witnessed
from tests.support.aws_calls import FunctionDied
from tests.support.losses import Loss, delete_bucket, departures_from_the_bucket, lose, take_permissions_away
from tests.support.person import Person, a_file
from tests.support.template import REPOSITORY
from tests.support.tenant_lives import Lives
from tests.support.virtual_fleet import FIRST_DOCUMENT, RARE_SCHEDULE_SECONDS, RARE_TICKS, VirtualFleet, virtual_fleet
from tests.support.world_copies import CopyDied, in_copy

TENANT, KEY = "acme", "tents.md"
DOCUMENTS = {KEY: "A tent is rented for three days at least.", "house.md": "The house at the lake has seven rooms."}
_STORE = "S3_VECTORS"
_SEARCHABLE = 400
_NOTED = 1_000
"""Seconds after which an event of S3 is not on its way any more."""
REAL_SECONDS = 120

Situation = Callable[[Person], None]
_SITUATIONS: dict[str, Situation] = {}


def situation(make: Situation) -> Situation:
    _SITUATIONS[make.__name__] = make
    return make


def situations() -> Mapping[str, Situation]:
    return _SITUATIONS


@contextmanager
def prepared() -> Iterator[VirtualFleet]:
    """A tenant with documents, all of them answered from; nothing goes on."""
    with virtual_fleet(
        parameters=RARE_TICKS, safety_net_seconds=RARE_SCHEDULE_SECONDS, quotas=Quotas(requests_per_second={})
    ) as fleet:
        lives = Lives(fleet, _STORE)
        lives.provisioned(TENANT)
        for key, text in DOCUMENTS.items():
            _put(lives, key, text)
        lives.sync(TENANT)
        fleet.timeline.run_for(_SEARCHABLE)
        fleet.rest()
        yield fleet


def proved_by(fleet: VirtualFleet, name: str) -> list[str]:
    """Has the situation happen in a copy of the world. Returns: the keys of the advice that it proves.

    Raises: CopyDied when it does not end well.
    """

    def happen(copied: VirtualFleet) -> list[str]:
        person = Person(Lives(copied, _STORE))
        _SITUATIONS[name](person)
        return [each.key for each in of_the_code() if person.proved(each)]

    return in_copy(fleet, happen, within=REAL_SECONDS)


def table() -> Mapping[str, str]:
    """What proves each advice, by its key: a situation of this module, a trouble of the drill (`drill: IndexLost`), a
    test by its node id; or `none: ` and why nobody has."""
    found: dict[str, str] = json.loads((REPOSITORY / "tests" / "contract" / "advice.json").read_text("utf-8"))
    return found


def unproved(fleet: VirtualFleet, name: str) -> list[str]:
    """The keys of the advice that the table says this situation proves, and that it does not.

    Raises: CopyDied when it does not end well.
    """
    proved = proved_by(fleet, name)
    return [key for key, proof in table().items() if proof == name and key not in proved]


def prove() -> Row:
    row = Row("advice: situations in which its commands are run as they stand", _STORE)
    with prepared() as fleet:
        for name in _SITUATIONS:
            try:
                left = unproved(fleet, name)
            except CopyDied as wrong:
                row.add(f"tests.proofs.advice.{name}: {wrong}")
            else:
                row.add(f"{name} does not prove {left}" if left else None)
    return row


# --- what happens to documents and tenants ---


def _put(lives: Lives, key: str, text: str) -> None:
    lives.client("s3").put_object(Bucket=lives.bucket(TENANT), Key=key, Body=text.encode())


def _is_whole(person: Person) -> None:
    fleet = person.lives.fleet
    fleet.settle(TENANT)
    person.waits_for(_SEARCHABLE)
    assert not departures_from_the_bucket(fleet, TENANT)


def _passes(person: Person, key: str = KEY) -> None:
    hop = person.asks_why(TENANT, key)
    assert hop["verdict"] == "PASSED", hop


def _uploads(person: Person, text: str, said: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        person.does(said, FILE=a_file(Path(folder), text), KEY=KEY)


# --- tenants ---


@situation
def a_suspended_tenant_is_resumed(person: Person) -> None:
    person.runs(f"kbfleet tenant suspend {TENANT}")
    assert person.asks_why(TENANT, KEY)["hop"] == "TENANT"
    person.runs(f"kbfleet sync start {TENANT}", 2)
    person.runs(f"kbfleet ask 'How long?' --tenant {TENANT}", 2)
    person.does(f"Run `kbfleet tenant resume {TENANT}`.")
    _passes(person)
    person.ran.clear()
    person.runs(f"kbfleet tenant suspend {TENANT}")
    person.does(f"Run `kbfleet tenant resume {TENANT}` first.")
    person.runs(f"kbfleet sync start {TENANT}")


@situation
def a_tenant_on_its_way_out_is_taken_back(person: Person) -> None:
    person.runs(f"kbfleet tenant offboard {TENANT} --confirm {TENANT} --retention-days 30")
    assert person.asks_why(TENANT, KEY)["hop"] == "TENANT"
    person.runs(f"kbfleet tenant add {TENANT}", 2)
    person.runs(f"kbfleet tenant show {TENANT}")
    person.does("While nothing is deleted yet")
    person.runs(f"kbfleet tenant show {TENANT}")
    person.lives.fleet.finish(*person.lives.executions("provision_tenant", TENANT))
    assert person.lives.status(TENANT) is TenantStatus.ACTIVE
    _passes(person)


@situation
def a_suspended_tenant_that_is_taken_back_stays_suspended(person: Person) -> None:
    person.runs(f"kbfleet tenant suspend {TENANT}")
    person.runs(f"kbfleet tenant offboard {TENANT} --confirm {TENANT} --retention-days 30")
    person.runs(f"kbfleet tenant resume {TENANT}")
    assert person.lives.status(TENANT) is TenantStatus.SUSPENDED
    person.lives.fleet.finish(*person.lives.executions("provision_tenant", TENANT))
    person.does("stays suspended, as it was before")
    assert person.lives.status(TENANT) is TenantStatus.ACTIVE
    _passes(person)


@situation
def an_offboarded_tenant_begins_anew(person: Person) -> None:
    person.runs(f"kbfleet tenant offboard {TENANT} --confirm {TENANT} --retention-days 0 --wait")
    assert person.asks_why(TENANT, KEY)["hop"] == "TENANT"
    person.runs(f"kbfleet tenant resume {TENANT}", 2)
    person.runs(f"kbfleet sync start {TENANT}", 2)
    person.does("begins anew, without its documents")
    person.runs(f"kbfleet tenant show {TENANT}")
    assert person.lives.status(TENANT) is TenantStatus.ACTIVE


@situation
def a_deletion_that_is_overdue_is_done_now(person: Person) -> None:
    person.runs(f"kbfleet tenant offboard {TENANT} --confirm {TENANT} --retention-days 1")
    person.waits_for(5 * 86_400)  # and no round comes
    person.runs("kbfleet reconcile", 1)
    told = person.asks_the_doctor()
    assert "should have been deleted" in told
    assert f"kbfleet tenant offboard {TENANT}" in person.runs("kbfleet status", 1)
    person.runs(f"kbfleet tenant show {TENANT}")
    # It asks for the tenant's id, which is typed.
    person.runs(f"kbfleet tenant offboard {TENANT} --confirm {TENANT} --wait")
    person.ran.append(f"kbfleet tenant offboard {TENANT}")
    assert person.lives.status(TENANT) is TenantStatus.OFFBOARDED


@situation
def a_provisioning_that_failed_is_taken_up(person: Person) -> None:
    refused = {"effect": "error", "code": "AccessDeniedException", "message": "no", "count": 1}
    person.lives.order({**refused, "operation": "CreateDataSource"})
    person.runs("kbfleet tenant add bravo", 1)
    assert person.asks_why("bravo", KEY)["hop"] == "TENANT"
    assert "Tenant bravo is FAILED" in person.asks_the_doctor()
    assert "kbfleet tenant add bravo" in person.runs("kbfleet status", 1)
    person.runs("kbfleet sync start bravo", 2)
    person.runs("kbfleet tenant show bravo")
    person.does("Fix the cause, then run `kbfleet tenant add bravo`")
    assert person.lives.status("bravo") is TenantStatus.ACTIVE
    assert "bravo" not in person.runs("kbfleet status", 1)  # where no round has looked yet, it is not said to be well


@situation
def a_tenant_without_a_bucket_is_added_first(person: Person) -> None:
    def refuse(call: object, moment: object) -> None:
        if getattr(call, "operation", "") == "CreateBucket":
            raise FunctionDied("Process exited before completing request")

    with tempfile.TemporaryDirectory() as folder:
        file = a_file(Path(folder), "A tent.")
        with person.lives.fleet.disturbed(refuse):
            person.runs("kbfleet tenant add bravo", 1)
        person.runs(f"kbfleet upload bravo {file} --key {KEY}", 2)
        person.does("Tenant bravo has no bucket yet.")
        person.runs(f"kbfleet upload bravo {file} --key {KEY}")


@situation
def a_mistyped_id_is_looked_up(person: Person) -> None:
    person.runs("kbfleet tenant show acmee", 2)
    person.does("There is no tenant acmee.")
    assert TENANT in person.said[-1]


@situation
def what_is_not_failed_is_in_the_list(person: Person) -> None:
    person.runs("kbfleet tenant list --status failed")
    person.does("No tenant has the status FAILED")
    assert "SUCCEEDED" in person.said[-1]


# --- documents ---


@situation
def a_document_that_is_not_there_is_uploaded(person: Person) -> None:
    person.lives.client("s3").delete_object(Bucket=person.lives.bucket(TENANT), Key=KEY)
    hop = person.asks_why(TENANT, KEY)
    assert hop["hop"] == "OBJECT"
    _uploads(person, DOCUMENTS[KEY], hop["advice"])
    person.runs(f"kbfleet sync start {TENANT}")
    _is_whole(person)
    _passes(person)


@situation
def an_upload_that_nobody_heard_of_is_synced(person: Person) -> None:
    _put(person.lives, "new.md", "A boat carries four.")
    person.waits_for(_NOTED)
    hop = person.asks_why(TENANT, "new.md")
    assert hop["hop"] == "CHANGE", hop
    person.runs(f"kbfleet sync start {TENANT}")
    person.runs(f"kbfleet tenant add {TENANT}")
    person.ran.append("kbfleet dlq list")  # SQS is not played here: `make drill`, SomebodysBucket
    _is_whole(person)
    _passes(person, "new.md")


@situation
def a_sync_that_was_stopped_is_started(person: Person) -> None:
    _put(person.lives, "new.md", "A boat carries four.")
    person.runs(f"kbfleet sync start {TENANT} --no-wait")
    person.waits_for(90)
    person.runs(f"kbfleet sync stop {TENANT}")
    person.lives.fleet.settle(TENANT)
    hop = person.asks_why(TENANT, "new.md")
    assert hop["hop"] in {"JOB", "TURN"}, hop
    person.does(hop["advice"])
    _is_whole(person)
    _passes(person, "new.md")


def _its_turn_comes(person: Person) -> None:
    """Of a new document that waits, by the advice of `kbfleet why`."""
    hop = person.asks_why(TENANT, "new.md")
    assert hop["hop"] == "TURN", hop
    person.does(hop["advice"])
    _is_whole(person)
    _passes(person, "new.md")


@situation
def a_sync_that_was_taken_off_the_queue_is_requested(person: Person) -> None:
    person.lives.order({"effect": "job_hangs", "count": 1})
    person.lives.start_in_console(TENANT)
    _put(person.lives, "new.md", "A boat carries four.")
    person.runs(f"kbfleet sync start {TENANT} --no-wait")
    person.runs(f"kbfleet sync stop {TENANT}")
    person.lives.stop_in_console(TENANT)
    person.lives.fleet.settle(TENANT)
    _its_turn_comes(person)


@situation
def a_job_that_failed_is_tried_again(person: Person) -> None:
    person.lives.order({"effect": "job_fails", "failureReasons": ["The key was disabled."], "count": 1})
    _put(person.lives, "new.md", "A boat carries four.")
    person.runs(f"kbfleet sync start {TENANT}", 1)
    assert f"kbfleet tenant show {TENANT}" in person.runs("kbfleet status", 1)
    assert "The key was disabled." in person.runs(f"kbfleet tenant show {TENANT}")
    assert "FAILED" in person.asks_the_doctor()
    hop = person.asks_why(TENANT, "new.md")
    assert hop["hop"] == "JOB", hop
    person.does("Remove the cause, if there is one")
    assert set(commands_in(hop["advice"])) <= set(person.ran)
    person.runs(f"kbfleet tenant add {TENANT}")  # which the doctor names beside it
    _is_whole(person)
    assert "FAILED" not in person.asks_the_doctor()


@situation
def a_document_that_failed_is_retried(person: Person) -> None:
    person.lives.upload_that_fails(TENANT, "new.md")
    person.lives.collect(TENANT)
    person.runs(f"kbfleet tenant show {TENANT}")
    person.asks_the_doctor()
    assert f"kbfleet documents {TENANT} --failed" in person.runs("kbfleet status", 1)
    assert "new.md" in person.runs(f"kbfleet documents {TENANT} --failed")
    hop = person.asks_why(TENANT, "new.md")
    assert hop["hop"] == "DOCUMENT", hop
    person.runs(f"kbfleet sync retry-failed {TENANT}")
    _is_whole(person)
    _passes(person, "new.md")
    assert "left out" not in person.runs("kbfleet status", 1)


@situation
def a_document_that_failed_is_uploaded_again(person: Person) -> None:
    person.lives.order({"effect": "documents_fail", "keys": [KEY], "count": 1})
    _put(person.lives, KEY, "A tent has two poles.")
    person.runs(f"kbfleet sync start {TENANT}", 1)
    person.lives.collect(TENANT)
    hop = person.asks_why(TENANT, KEY)
    assert hop["hop"] == "DOCUMENT", hop
    with tempfile.TemporaryDirectory() as folder:
        (upload, *_) = [each for each in commands_in(hop["advice"]) if " upload " in each]
        person.runs(upload, FILE=a_file(Path(folder), "A tent has four poles."), KEY=KEY)
    person.runs(f"kbfleet sync start {TENANT}")
    person.lives.collect(TENANT)
    _is_whole(person)
    _passes(person)


@situation
def nothing_is_left_to_retry(person: Person) -> None:
    person.runs(f"kbfleet sync retry-failed {TENANT}")
    person.does("Nothing was retried")


@situation
def a_job_that_is_not_known_is_in_the_list(person: Person) -> None:
    person.runs(f"kbfleet jobs show {TENANT} NOSUCHJOB0", 2)
    person.does("`kbfleet jobs list acme` shows those that are.")
    assert "SUCCEEDED" in person.said[-1]


# --- losses ---


@situation
def a_lost_index_is_read_anew(person: Person) -> None:
    lose(person.lives.fleet, _STORE, TENANT, Loss.INDEX)
    person.runs(f"kbfleet tenant show {TENANT}")
    person.runs("kbfleet reconcile", 1)
    assert "No question is answered" in person.asks_the_doctor()
    person.does("reads all documents anew into another knowledge base")
    _is_whole(person)
    assert not person.asks_the_doctor()


@situation
def a_lost_knowledge_base_is_read_anew(person: Person) -> None:
    lose(person.lives.fleet, _STORE, TENANT, Loss.KNOWLEDGE_BASE)
    hop = person.asks_why(TENANT, KEY)
    assert hop["hop"] == "KNOWLEDGE_BASE"
    person.does(hop["advice"])
    _is_whole(person)
    _passes(person)


@situation
def a_lost_bucket_is_made_again_and_filled_from_a_backup(person: Person) -> None:
    delete_bucket(person.lives.fleet, person.lives.bucket(TENANT))
    hop = person.asks_why(TENANT, KEY)
    assert hop["hop"] == "OBJECT"
    with tempfile.TemporaryDirectory() as folder:
        person.runs(f"kbfleet upload {TENANT} {a_file(Path(folder), 'A tent.')} --key {KEY}", 1)
    person.runs("kbfleet reconcile", 1)
    assert f"kbfleet tenant show {TENANT}" in person.runs("kbfleet status", 1)
    assert "only a backup brings them back" in " ".join(person.runs(f"kbfleet tenant show {TENANT}").split())
    person.does("does not exist any more; nothing can be put into it", ends_with=1)  # for something is missing
    person.does("only a backup brings them back")
    for key, text in DOCUMENTS.items():
        _put(person.lives, key, text)
    person.runs(f"kbfleet sync start {TENANT}", 1)
    hold = person.lives.fleet.sync(TENANT).hold
    assert hold is not None
    person.runs(hold.command(person.lives.fleet.life(TENANT).tenant_id))
    _is_whole(person)


@situation
def a_knowledge_base_that_cannot_be_deleted_stands_in_nobodys_way(person: Person) -> None:
    """For want of its index, which is lost as well."""
    lives = person.lives
    lose(lives.fleet, _STORE, TENANT, Loss.INDEX)
    lives.client("bedrock-agent").delete_knowledge_base(**lives.knowledge_base(TENANT))
    person.waits_for(120)
    person.runs(f"kbfleet tenant show {TENANT}")
    person.runs(f"kbfleet tenant add {TENANT}", 1)
    person.does("it reads all documents anew")
    _is_whole(person)


@situation
def a_data_source_that_cannot_be_deleted_stands_in_nobodys_way(person: Person) -> None:
    """For want of its role's permissions, which provisioning gives back."""
    lives = person.lives
    lives.fleet.emulator._account.authority = IamRoles(lives.client("iam"))
    take_permissions_away(lives.fleet, TENANT)
    lives.client("bedrock-agent").delete_data_source(**lives.data_source(TENANT))
    person.waits_for(120)
    person.runs(f"kbfleet tenant add {TENANT}", 1)
    person.does("it reads all documents anew")
    _is_whole(person)


def _record_names_anothers(person: Person, **changes: str) -> None:
    registry = kbfleet.bootstrap.registry()
    record = registry.get(TenantId(TENANT))
    registry.replace(replace(record, **changes), fence=record.fence)  # type: ignore[arg-type]


@situation
def a_record_that_names_anothers_knowledge_base_is_put_right(person: Person) -> None:
    person.runs("kbfleet tenant add bravo")
    _record_names_anothers(person, knowledge_base_id=person.lives.knowledge_base("bravo")["knowledgeBaseId"])
    person.runs(f"kbfleet reconcile --tenant {TENANT}", 1)
    person.does("gives the tenant its own again.")
    _is_whole(person)


@situation
def a_record_that_names_anothers_bucket_is_put_right(person: Person) -> None:
    person.runs("kbfleet tenant add bravo")
    _record_names_anothers(person, bucket_name=person.lives.bucket("bravo"))
    person.runs(f"kbfleet reconcile --tenant {TENANT}", 1)
    person.does("makes it the tenant's own bucket, and syncs again.")
    _is_whole(person)


@situation
def a_held_sync_goes_on(person: Person) -> None:
    for key in (*DOCUMENTS, FIRST_DOCUMENT):
        person.lives.client("s3").delete_object(Bucket=person.lives.bucket(TENANT), Key=key)
    person.runs(f"kbfleet sync start {TENANT}", 1)
    assert "--accept-deletions 3" in person.asks_the_doctor()
    assert "a sync is held" in person.runs("kbfleet status", 1)
    assert "--accept-deletions 3" in person.runs(f"kbfleet tenant show {TENANT}")
    person.runs(f"kbfleet sync start {TENANT} --accept-deletions 1", 2)
    person.does("Look again; then, if all of them are to go")
    assert person.lives.fleet.sync(TENANT).hold is None
    assert "held" not in person.runs("kbfleet status", 1)


@situation
def what_waits_behind_a_held_sync_goes_on(person: Person) -> None:
    many = [f"rule-{number}.md" for number in range(12)]
    for number, key in enumerate(many):
        _put(person.lives, key, f"Rule {number} is about boat {number}.")
    person.runs(f"kbfleet sync start {TENANT}")
    for key in many:
        person.lives.client("s3").delete_object(Bucket=person.lives.bucket(TENANT), Key=key)
    _put(person.lives, "new.md", "A boat carries four.")
    person.runs(f"kbfleet sync start {TENANT}", 1)
    _its_turn_comes(person)


@situation
def what_could_not_be_listed_is_looked_for_once_more(person: Person) -> None:
    refused = {"effect": "error", "code": "AccessDeniedException", "message": "no", "count": 1}
    person.lives.order({**refused, "operation": "ListKnowledgeBases"})
    assert "Not all that there is could be listed" in person.asks_the_doctor()
    person.does("`kbfleet reconcile` looks once more.")
    assert "they agree" in person.said[-1]


@situation
def what_is_foreign_goes(person: Person) -> None:
    lives = person.lives
    lives.client("bedrock-agent").create_data_source(
        **lives.knowledge_base(TENANT),
        name="quick-test",
        dataSourceConfiguration={"type": "S3", "s3Configuration": {"bucketArn": "arn:aws:s3:::kbfleet-golf"}},
    )
    person.runs(f"kbfleet reconcile --tenant {TENANT}", 1)
    assert "not its own" in person.asks_the_doctor()
    person.does("deletes it, with what it has brought")
    _is_whole(person)
    assert not person.asks_the_doctor()


@situation
def what_nobody_knows_is_taken_up_and_deleted(person: Person) -> None:
    table = person.lives.client("dynamodb")
    (name,) = table.list_tables()["TableNames"]
    table.delete_item(TableName=name, Key={"PK": {"S": f"TENANT#{TENANT}"}, "SK": {"S": "PROFILE"}})
    person.runs("kbfleet reconcile", 1)
    person.runs(f"kbfleet tenant add {TENANT} --knowledge-store {_STORE}")
    _is_whole(person)
    person.runs(f"kbfleet tenant offboard {TENANT} --confirm {TENANT} --retention-days 0 --wait")
    person.ran += [f"kbfleet tenant offboard {TENANT}", f"kbfleet tenant add {TENANT}"]
    assert person.lives.status(TENANT) is TenantStatus.OFFBOARDED


# --- what other tests bring about ---


def prove_said() -> Row:
    """That the tests which are named as the proof of an advice do bring it about."""
    row = Row("advice: tests that are named as its proof, and whether it is said in them")
    # What a module holds is said whenever it is read.
    said_by_functions = {each.key for each in of_the_code() if each.scope}
    named = {key: proof for key, proof in table().items() if "::" in proof and key in said_by_functions}
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "witnessed"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "tests.support.advice_witness"]
        ran = subprocess.run(  # noqa: S603 - the tests of this repository
            [*command, *sorted(set(named.values()))],
            cwd=REPOSITORY,
            env={**os.environ, "ADVICE_WITNESS": str(written)},
            capture_output=True,
            text=True,
            check=False,
        )
        if not written.exists() or ran.returncode:
            row.add(f"pytest ended with {ran.returncode}: {ran.stdout[-2_000:]} {ran.stderr[-2_000:]}")
            return row
        said = witnessed(written)
    for key, proof in named.items():
        heard = any(key in keys for node, keys in said.items() if node == proof or node.startswith(f"{proof}["))
        row.add(None if heard else f"{proof} does not bring about {key}")
    return row
