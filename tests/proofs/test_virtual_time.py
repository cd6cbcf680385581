"""The virtual world itself: time, strands, and control over every AWS call."""

from __future__ import annotations

import threading
from random import Random

import pytest

from tests.support.aws_calls import Call, FunctionDied, Moment
from tests.support.slowness import PROMPT_BUCKETS, Slowness
from tests.support.virtual_fleet import RARE_TICKS, VirtualFleet, kill_first, virtual_fleet
from tests.support.virtual_time import Signal, StrandDied, Timeline, Unfinished, VirtualClock


def test_waiting_costs_no_time_and_things_happen_in_their_order() -> None:
    timeline, seen = Timeline(VirtualClock()), list[tuple[str, float]]()
    began = timeline.now()

    def wait(name: str, seconds: float) -> None:
        timeline.sleep(seconds)
        seen.append((name, timeline.now() - began))

    timeline.spawn("late", lambda: wait("late", 86_400))
    timeline.spawn("early", lambda: wait("early", 1))
    timeline.run_until(lambda: len(seen) == 2, within=100_000)
    timeline.close()
    assert seen == [("early", 1), ("late", 86_400)]


def test_whom_the_world_makes_ready_on_the_way_acts_at_that_time() -> None:
    agenda, seen = [40.0], list[float]()

    def call() -> None:
        agenda.clear()
        timeline.spawn("called", lambda: seen.append(timeline.now() - began))

    timeline = Timeline(VirtualClock(), due=lambda: began + agenda[0] if agenda else None, run_due=call)
    began = timeline.now()
    timeline.spawn("asleep", lambda: timeline.sleep(100))
    timeline.run_for(200)
    assert (seen, timeline.now() - began) == ([40.0], 200)
    timeline.close()


def test_a_signal_that_does_not_come_is_given_up_in_time() -> None:
    timeline, seen = Timeline(VirtualClock()), list[bool]()
    never, soon = Signal(), Signal()
    timeline.spawn("patient", lambda: seen.append(timeline.wait(never, timeline.now() + 10)))
    timeline.spawn("lucky", lambda: seen.append(timeline.wait(soon, timeline.now() + 10)))
    timeline.spawn("giver", soon.set)
    timeline.run_for(20)
    timeline.close()
    assert seen == [True, False]


def test_what_can_no_longer_come_is_said_at_once() -> None:
    timeline = Timeline(VirtualClock())
    timeline.spawn("patient", lambda: timeline.wait(Signal()))
    with pytest.raises(Unfinished, match="patient"):
        timeline.run_until(lambda: False, within=10)
    timeline.close()


def test_a_strand_that_dies_is_reported_and_none_outlives_its_world() -> None:
    before = threading.active_count()
    timeline = Timeline(VirtualClock())

    def die() -> None:
        raise LookupError("lost")

    timeline.spawn("waiting", lambda: timeline.sleep(1_000))
    timeline.spawn("dying", die)
    with pytest.raises(StrandDied, match="dying died") as reported:
        timeline.run_for(1)
    assert isinstance(reported.value.__cause__, LookupError)
    timeline.close()
    assert threading.active_count() == before


def test_who_runs_next_is_decided_by_the_seed() -> None:
    def order(seed: int) -> str:
        timeline, seen = Timeline(VirtualClock(), interleaving=Random(seed)), list[str]()  # noqa: S311 - repeatable

        def work(name: str) -> None:
            for _ in range(5):
                timeline.pass_baton()
                seen.append(name)

        for name in "abc":
            timeline.spawn(name, lambda name=name: work(name))  # type: ignore[misc]  # bound early on purpose
        timeline.run_for(1)
        timeline.close()
        return "".join(seen)

    assert order(1) == order(1)
    assert len({order(seed) for seed in range(5)}) > 1


@pytest.mark.parametrize(("moment", "calls"), [(Moment.BEFORE, 2), (Moment.AFTER, 1)])
def test_a_function_dies_before_a_call_or_after_its_effect_and_is_run_again(moment: Moment, calls: int) -> None:
    with virtual_fleet(parameters=RARE_TICKS, slowness=PROMPT_BUCKETS) as fleet:
        with fleet.disturbed(kill_first("CreateBucket", moment)):
            execution = fleet.provision("acme")
        assert execution.failures == [("Ensure Bucket", "Lambda.Unknown")]
        assert execution.status == "SUCCEEDED"
        assert len([call for call in fleet.calls.made if call.operation == "CreateBucket"]) == calls


@pytest.mark.parametrize("service", ["s3", "dynamodb", "sqs", "events", "bedrock-agent"])
def test_throttled_calls_are_tried_again_in_virtual_time(service: str) -> None:
    with virtual_fleet(parameters=RARE_TICKS) as fleet:
        fleet.calls.throttle(service, 0.3)
        assert fleet.provision("acme").status == "SUCCEEDED"


def test_a_function_that_runs_too_long_dies_at_its_timeout() -> None:
    with virtual_fleet(parameters=RARE_TICKS, slowness=PROMPT_BUCKETS) as fleet:
        timeout = fleet.deployment.function("EnsureBucketFunction")["Timeout"]
        began = list[float]()

        def hang(call: Call, at: Moment) -> None:
            if call.operation == "HeadBucket" and at is Moment.BEFORE:
                began.append(fleet.timeline.now())
                if len(began) == 1:
                    fleet.calls.pause(10 * timeout)

        with fleet.disturbed(hang):
            execution = fleet.provision("acme")
        assert execution.failures == [("Ensure Bucket", "Lambda.Unknown")]
        pause_before_a_retry = 2
        assert timeout <= began[1] - began[0] <= timeout + pause_before_a_retry


def test_a_bucket_that_was_just_made_does_not_show_everywhere_and_a_name_is_not_free_at_once() -> None:
    with virtual_fleet(parameters=RARE_TICKS, slowness=Slowness(buckets=90)) as fleet:
        execution = fleet.provision("acme")
        assert execution.status == "SUCCEEDED"
        assert set(execution.failures) == {("Ensure Bucket", "NotReadyYet")}
        made = [call for call in fleet.calls.made if call.operation == "CreateBucket"]
        assert made
        name = fleet.names.bucket(fleet.life("acme"))
        for version in fleet.client("s3").list_object_versions(Bucket=name).get("Versions", ()):
            fleet.client("s3").delete_object(Bucket=name, Key=version["Key"], VersionId=version["VersionId"])
        fleet.client("s3").delete_bucket(Bucket=name)
        deleted_at = fleet.timeline.now()
        again = fleet.provision("acme")
        assert again.status == "SUCCEEDED", again.failures
        assert again.ended_at is not None
        assert again.ended_at >= deleted_at + 90


def test_what_is_made_for_a_managed_knowledge_base_takes_its_time() -> None:
    slowness = Slowness(managed_knowledge_base=(124, 124), managed_data_source=(300, 300))
    with virtual_fleet(parameters=RARE_TICKS, slowness=slowness) as fleet:
        execution = fleet.provision("acme", "MANAGED")
        assert execution.status == "SUCCEEDED", execution.failures
        assert {state for state, _ in execution.failures} <= {"Ensure Bucket"}
        assert "Wait For Data Source" in execution.states
        assert execution.seconds >= 124 + 300


def stopped_while_waiting(fleet: VirtualFleet) -> None:
    execution = fleet.start("provision_tenant", {"tenant_id": "acme"})
    fleet.timeline.run_for(30)
    fleet.stop(execution)
    fleet.timeline.run_for(1)
    assert execution.status == "ABORTED"


def failures_reported(fleet: VirtualFleet) -> list[str]:
    return [event["Detail"]["tenant_id"] for event in fleet.events if event["DetailType"] == "Provisioning Failed"]


def test_a_stopped_execution_is_reported_to_the_function_that_records_it() -> None:
    with virtual_fleet() as fleet:
        stopped_while_waiting(fleet)
        tenant = fleet.tenant("acme")
        assert tenant is not None
        assert tenant.failure is not None
        assert (tenant.status, tenant.failure.error, tenant.lease) == ("FAILED", "ABORTED", None)
        assert failures_reported(fleet) == ["acme"]


def test_the_recording_of_a_stopped_execution_is_repeated_when_its_function_dies() -> None:
    with virtual_fleet() as fleet:
        recorder = "RecordStoppedExecutionFunction"
        with fleet.disturbed(kill_first("PutEvents", Moment.BEFORE, function=recorder)):
            stopped_while_waiting(fleet)
            assert failures_reported(fleet) == []
            fleet.timeline.run_for(60)
        assert failures_reported(fleet) == ["acme"]
        assert fleet.lost_events == []


def test_a_tick_that_dies_is_delivered_again_and_lands_in_the_dead_letter_queue_at_last() -> None:
    with virtual_fleet() as fleet:

        def die(call: Call, at: Moment) -> None:
            if call.operation == "Query" and at is Moment.BEFORE:
                raise FunctionDied

        with fleet.disturbed(die):
            fleet.start("provision_tenant", {"tenant_id": "acme"})
            fleet.timeline.run_for(2_000)
        assert [message.received for message in fleet.ticks.dead_letters] == [3]


def test_a_role_can_be_assumed_only_a_while_after_it_was_made() -> None:
    with virtual_fleet(parameters=RARE_TICKS, late_role_seconds=30) as fleet:
        arn = str(fleet.deployment.value({"Fn::GetAtt": "KnowledgeBaseRole.Arn"}))
        path, _, name = arn.partition(":role/")[2].rpartition("/")
        fleet.client("iam").create_role(RoleName=name, Path=f"/{path}/" if path else "/", AssumeRolePolicyDocument="{}")
        execution = fleet.provision("acme")
        attempts = [call for call in fleet.calls.made if call.operation == "CreateKnowledgeBase"]
    assert execution.status == "SUCCEEDED"
    assert len(attempts) > 1
