"""Somebody adds a data source to a tenant's knowledge base in the console, one that reads another tenant's bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from bedrock_emulator import Quotas
from kbfleet.domain.document_trace import SEARCHABLE_WITHIN
from tests.support.aws_calls import Call, Moment
from tests.support.breaches import add_in_console, ask, data_sources, exchange, foreign, notify, point, reconcile
from tests.support.data_source_configurations import as_sent
from tests.support.http_server import Reply, ScriptedServer, serving
from tests.support.losses import departures_from_the_bucket
from tests.support.tenant_lives import Lives
from tests.support.virtual_fleet import RARE_SCHEDULE_SECONDS, RARE_TICKS, VirtualFleet, virtual_fleet
from tests.support.virtual_step_functions import ExecutionStopped

HOUSE = "The house at the lake has seven rooms."
TENTS = "A tent is rented for three days at least."


@pytest.fixture(params=["S3_VECTORS", "MANAGED"])
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def fleet(store: str) -> Iterator[VirtualFleet]:
    # Nothing here depends on how many calls Bedrock takes.
    with virtual_fleet(
        parameters=RARE_TICKS, safety_net_seconds=RARE_SCHEDULE_SECONDS, quotas=Quotas(requests_per_second={})
    ) as fleet:
        lives = Lives(fleet, store)
        executions = [lives.begin(tenant_id) for tenant_id in ("alpha", "beta")]
        fleet.finish(*executions)
        for tenant_id, text in (("alpha", TENTS), ("beta", HOUSE)):
            lives.upload(tenant_id, "doc.md", text)
            lives.sync(tenant_id, settled=False)
        fleet.settle("alpha", "beta")
        yield fleet


@pytest.fixture
def lives(fleet: VirtualFleet, store: str) -> Lives:
    return Lives(fleet, store)


@pytest.fixture
def slack(fleet: VirtualFleet) -> Iterator[ScriptedServer]:
    with serving(*[Reply(200)] * 20) as server:
        arn = fleet.deployment.value({"Fn::GetAtt": "SlackWebhookSecret.Id"})
        fleet.client("secretsmanager").create_secret(Name=arn, SecretString=server.url)
        yield server


def messages(slack: ScriptedServer) -> list[str]:
    return [json.loads(body)["text"] for body in slack.bodies]


def test_it_is_refused_named_reported_once_taken_out_and_over(
    fleet: VirtualFleet, lives: Lives, slack: ScriptedServer
) -> None:
    own = data_sources(lives)
    added = add_in_console(lives)
    for _ in range(5):
        assert ask(lives, HOUSE)["status"] == 403
        fleet.timeline.run_for(1)
    assert foreign(reconcile(lives)) == [added]
    notify(fleet)
    assert len(messages(slack)) == 1
    shown = lives.api("get_tenant", "alpha")
    assert shown["foreign"] == [f"data source {added}"]
    assert shown["breached_since"] is not None
    assert lives.api("get_tenant", "beta")["foreign"] == []

    lives.provisioned("alpha")
    assert data_sources(lives) == own
    assert foreign(reconcile(lives)) == []
    notify(fleet)
    assert len(messages(slack)) == 2
    assert "Over" in messages(slack)[1]
    shown = lives.api("get_tenant", "alpha")
    assert (shown["foreign"], shown["breached_since"]) == ([], None)
    assert ask(lives, TENTS)["status"] == 200
    assert HOUSE not in json.dumps(ask(lives, HOUSE))


def test_a_provisioning_that_meets_it_first_tells_of_it(fleet: VirtualFleet, lives: Lives) -> None:
    own = data_sources(lives)
    added = add_in_console(lives)
    lives.provisioned("alpha")
    assert data_sources(lives) == own
    (breach, *_) = (event["Detail"] for event in fleet.events if event["DetailType"] == "Isolation Breached")
    assert (breach["tenant_id"], breach["resources"]) == ("alpha", [f"data source {added}"])


@pytest.mark.parametrize("store", ["S3_VECTORS"])  # on MANAGED, data sources know no other deletion policy
def test_its_vectors_go_with_it_also_where_it_was_made_to_leave_them(lives: Lives) -> None:
    own = data_sources(lives)
    add_in_console(lives, dataDeletionPolicy="RETAIN")
    assert ask(lives, HOUSE)["status"] == 403
    lives.provisioned("alpha")
    assert data_sources(lives) == own
    assert ask(lives, HOUSE)["status"] == 200


@pytest.mark.parametrize("store", ["S3_VECTORS"])  # as above
def test_what_one_has_left_behind_that_somebody_has_deleted_is_seen_and_over_once_the_tenant_is_rebuilt(
    fleet: VirtualFleet, lives: Lives, slack: ScriptedServer
) -> None:
    agent, ids = lives.client("bedrock-agent"), lives.knowledge_base("alpha")
    added = add_in_console(lives, dataDeletionPolicy="RETAIN")
    agent.delete_data_source(**ids, dataSourceId=added)
    lives.until(lambda: added not in data_sources(lives))
    assert ask(lives, HOUSE)["status"] == 403
    notify(fleet)
    for _ in range(2):
        assert foreign(reconcile(lives)) == [f"of knowledge base {ids['knowledgeBaseId']}"]
        notify(fleet)
        assert len(messages(slack)) == 1
        lives.provisioned("alpha")  # which cannot take it out
    assert fleet.finish(lives.rebuild("alpha", keep_hours=0)).status == "SUCCEEDED"
    fleet.settle("alpha")
    fleet.timeline.run_for(60)
    assert foreign(reconcile(lives)) == []
    notify(fleet)
    assert len(messages(slack)) == 2
    assert ask(lives, TENTS)["status"] == 200


def test_a_job_that_uses_it_is_stopped_for_it(lives: Lives) -> None:
    own = data_sources(lives)
    added = add_in_console(lives)
    lives.client("bedrock-agent").start_ingestion_job(**lives.knowledge_base("alpha") | {"dataSourceId": added})
    lives.provisioned("alpha")
    assert data_sources(lives) == own


@pytest.mark.parametrize("store", ["S3_VECTORS"])  # on MANAGED, Bedrock keeps the vectors itself
def test_one_that_cannot_be_deleted_ends_the_run_with_the_reason_and_goes_once_it_can_be(
    fleet: VirtualFleet, lives: Lives
) -> None:
    own = data_sources(lives)
    add_in_console(lives)
    account = fleet.emulator._account
    (vectors,) = account.vector_buckets.values()
    index = vectors.indexes["alpha"]

    def lose(call: Call, at: Moment) -> None:
        # After Ensure Knowledge Store has seen it.
        if call.operation == "DeleteDataSource" and at is Moment.BEFORE:
            vectors.indexes.pop("alpha", None)

    with fleet.disturbed(lose):
        execution = lives.provision("alpha")
    assert (execution.status, execution.failures[-1]) == ("FAILED", ("Ensure Data Source", "DataSourceFailed"))
    vectors.indexes["alpha"] = index
    lives.provisioned("alpha")
    assert data_sources(lives) == own


def test_our_own_data_source_that_was_made_to_read_anothers_bucket_is_put_right_and_synced(
    fleet: VirtualFleet, lives: Lives, slack: ScriptedServer
) -> None:
    point(lives, "alpha", at="beta")
    lives.sync("alpha")
    assert ask(lives, HOUSE)["status"] == 403
    (name,) = foreign(reconcile(lives))
    assert name == f"of data source {data_sources(lives)[0]}"
    notify(fleet)
    jobs = lives.client("bedrock-agent").list_ingestion_jobs
    before = len(jobs(**lives.data_source("alpha"))["ingestionJobSummaries"])
    lives.upload("alpha", "another.md", "A canoe is rented for a day at most.")
    fleet.timeline.run_for(1_200)
    assert len(jobs(**lives.data_source("alpha"))["ingestionJobSummaries"]) == before
    lives.provisioned("alpha")
    assert ask(lives, TENTS)["status"] == 200
    assert HOUSE not in json.dumps(ask(lives, HOUSE))
    reconcile(lives)
    notify(fleet)
    assert len(messages(slack)) == 2


def test_our_own_data_source_that_reads_anothers_bucket_under_another_name_is_not_synced_and_goes(
    fleet: VirtualFleet, lives: Lives
) -> None:
    point(lives, "alpha", at="beta", name="harmless")
    (renamed,) = data_sources(lives)
    assert foreign(reconcile(lives)) == [renamed]
    jobs = lives.client("bedrock-agent").list_ingestion_jobs
    before = len(jobs(**lives.data_source("alpha"))["ingestionJobSummaries"])
    lives.upload("alpha", "another.md", "A canoe is rented for a day at most.")
    fleet.timeline.run_for(1_200)
    assert len(jobs(**lives.data_source("alpha"))["ingestionJobSummaries"]) == before
    lives.provisioned("alpha")
    assert renamed not in data_sources(lives)
    assert ask(lives, TENTS)["status"] == 200
    assert HOUSE not in json.dumps(ask(lives, HOUSE))


@pytest.mark.parametrize("store", ["S3_VECTORS"])
def test_an_execution_that_waits_for_a_sync_of_it_ends_and_the_next_one_puts_it_right(
    fleet: VirtualFleet, lives: Lives, slack: ScriptedServer
) -> None:
    add_in_console(lives)
    assert ask(lives, HOUSE)["status"] == 403
    notify(fleet)  # while a breach is open, an execution syncs
    lives.order({"effect": "job_hangs", "count": 1})
    execution = lives.begin("alpha")
    lives.until(lambda: fleet.sync("alpha").job is not None)
    point(lives, "alpha", at="beta")
    reconcile(lives)
    fleet.finish(execution)
    assert (execution.status, execution.failures[-1]) == ("FAILED", ("Run First Sync", "DataSourceFailed"))
    lives.stop_in_console("alpha")
    lives.provisioned("alpha")
    assert HOUSE not in json.dumps(ask(lives, HOUSE))


def test_our_own_data_source_that_was_renamed_is_kept_with_what_it_has_brought_and_named_again(
    fleet: VirtualFleet, lives: Lives
) -> None:
    agent = lives.client("bedrock-agent")
    own = lives.data_source("alpha")
    found = agent.get_data_source(**own)["dataSource"]
    same = as_sent(found["dataSourceConfiguration"])
    agent.update_data_source(**own, name="our-manuals", dataSourceConfiguration=same, dataDeletionPolicy="DELETE")
    assert foreign(reconcile(lives)) == []
    with fleet.disturbed(lambda call, _: _never("DeleteDataSource", call)):
        lives.provisioned("alpha")
    assert lives.data_source("alpha") == own
    assert agent.get_data_source(**own)["dataSource"]["name"] == found["name"]
    assert ask(lives, TENTS)["status"] == 200


def _never(operation: str, call: Call) -> None:
    assert call.operation != operation


@pytest.mark.parametrize("moment", [Moment.BEFORE, Moment.AFTER])
def test_a_run_that_dies_while_it_puts_that_right_is_taken_up_by_the_next(
    fleet: VirtualFleet, lives: Lives, moment: Moment
) -> None:
    point(lives, "alpha", at="beta")
    lives.sync("alpha")
    stopped: list[str] = []

    def die(call: Call, at: Moment) -> None:
        if call.operation == "UpdateDataSource" and at is moment and not stopped:
            stopped.append(call.strand)
            fleet.stop(fleet.step_functions.executions[call.strand])
            raise ExecutionStopped

    with fleet.disturbed(die):
        assert lives.provision("alpha").status != "SUCCEEDED"
    assert stopped
    lives.provisioned("alpha")
    assert HOUSE not in json.dumps(ask(lives, HOUSE))
    assert ask(lives, TENTS)["status"] == 200


def test_exchanged_records_are_found_and_put_right_and_nobodys_resources_change_hands(
    fleet: VirtualFleet, lives: Lives, slack: ScriptedServer
) -> None:
    before = {tenant_id: lives.knowledge_base(tenant_id) for tenant_id in ("alpha", "beta")}
    exchange(fleet)
    buckets = [f"{lives.bucket(tenant_id)} in its record" for tenant_id in before]
    ids = [each["knowledgeBaseId"] for each in before.values()]
    assert sorted(foreign(reconcile(lives))) == sorted([*buckets, *ids])
    for tenant_id in before:
        lives.provisioned(tenant_id)
    assert {tenant_id: lives.knowledge_base(tenant_id) for tenant_id in before} == before
    fleet.timeline.run_for(SEARCHABLE_WITHIN.total_seconds())  # longer than the ask function remembers tenants
    assert [departures_from_the_bucket(fleet, tenant_id) for tenant_id in before] == [[], []]
    assert TENTS in json.dumps(ask(lives, TENTS))
    assert HOUSE in json.dumps(ask(lives, HOUSE, "beta"))
    assert foreign(reconcile(lives)) == []


def test_offboarding_a_tenant_whose_record_was_exchanged_deletes_nothing_of_the_other(
    fleet: VirtualFleet, lives: Lives
) -> None:
    buckets = {tenant_id: lives.bucket(tenant_id) for tenant_id in ("alpha", "beta")}
    beta = lives.knowledge_base("beta")
    exchange(fleet)
    fleet.finish(lives.offboard("alpha"), within=100_000)
    left = {each["Name"] for each in lives.client("s3").list_buckets()["Buckets"]}
    assert buckets["beta"] in left
    assert buckets["alpha"] not in left
    assert lives.client("bedrock-agent").get_knowledge_base(**beta)["knowledgeBase"]["status"] == "ACTIVE"


def test_a_document_that_somebody_ingested_by_hand_keeps_it_open_until_a_sync_has_taken_it_out(
    fleet: VirtualFleet, lives: Lives, slack: ScriptedServer
) -> None:
    uri = f"s3://{lives.bucket('beta')}/doc.md"
    content = {"content": {"dataSourceType": "S3", "s3": {"s3Location": {"uri": uri}}}}
    lives.client("bedrock-agent").ingest_knowledge_base_documents(**lives.data_source("alpha"), documents=[content])
    fleet.timeline.run_for(120)
    assert ask(lives, HOUSE)["status"] == 403
    notify(fleet)
    assert len(foreign(reconcile(lives))) == 1  # the documents, which are listed now
    notify(fleet)
    assert len(messages(slack)) == 1
    lives.provisioned("alpha")  # syncs, for a breach is open
    fleet.timeline.run_for(60)
    assert foreign(reconcile(lives)) == []
    notify(fleet)
    assert len(messages(slack)) == 2
    assert HOUSE not in json.dumps(ask(lives, HOUSE))
