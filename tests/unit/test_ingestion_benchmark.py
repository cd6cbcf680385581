"""The benchmark's own parts: what its service refuses, and that its figures mean what they say."""

from __future__ import annotations

from collections import Counter

import pytest
import simpy

from benchmarks.ingestion import tick_cost
from benchmarks.ingestion.policies import BatchedEvents
from benchmarks.ingestion.service import Durations, IngestionService, Refusal, StartRefused, Upload
from benchmarks.ingestion.simulation import OURS, POLICIES, earliest_makespan, idle, percentile, simulate
from benchmarks.ingestion.workloads import NOISY, Workload, burst, day, noisy, onboarding, tenant

A_MINUTE = Durations(shortest=60, longest=60)


class Service:
    """The modelled service, and its time."""

    def __init__(self, durations: Durations = A_MINUTE) -> None:
        self.environment = simpy.Environment()
        self.service = IngestionService(self.environment, durations, Counter())

    def at(self, seconds: float) -> IngestionService:
        self.environment.run(until=seconds)
        return self.service


def refused(service: IngestionService, name: str) -> Refusal:
    with pytest.raises(StartRefused) as refusal:
        service.start(name)
    return refusal.value.refusal


class TestService:
    def test_one_start_is_taken_in_ten_seconds(self) -> None:
        world = Service()
        world.service.start("a")
        assert refused(world.at(9.9), "b") is Refusal.THROTTLED
        assert world.at(10).start("b").tenant == "b"

    def test_a_knowledge_base_runs_one_job(self) -> None:
        world = Service()
        world.service.start("a")
        assert refused(world.at(20), "a") is Refusal.KNOWLEDGE_BASE_BUSY
        assert world.at(61).start("a").number == 1

    def test_the_account_runs_five_jobs(self) -> None:
        world = Service()
        for number in range(5):
            world.at(number * 10 + 1e-3).start(tenant(number))
        assert refused(world.at(55), "another") is Refusal.ACCOUNT_FULL

    def test_a_job_covers_what_was_uploaded_before_it_started(self) -> None:
        world = Service()
        before = world.service.upload("a")
        world.service.start("a")
        after = world.at(1).upload("a")
        world.at(100)
        assert (before.searchable_at, after.searchable_at) == (60, None)

    def test_a_tenants_next_job_takes_as_long_whoever_starts_it_when(self) -> None:
        def taken(first_start: float) -> list[float]:
            world = Service(Durations(seed=7))
            service = world.at(first_start)
            durations = []
            for number in range(2):
                service.upload("a")
                durations.append(service.start("a").duration)
                world.at(first_start + 300 * (number + 1))
            return durations

        assert taken(1) == taken(500)


class TestPolicies:
    @pytest.mark.parametrize("policy", POLICIES)
    def test_a_policy_comes_to_rest_and_accounts_for_every_upload(self, policy: str) -> None:
        result = simulate(policy, burst(6, 3, 60, seed=1), seed=1)
        assert result.uploads == 18
        assert 0 <= result.lost < 18
        assert result.jobs >= 1
        assert result.makespan >= result.bound * 0.999

    @pytest.mark.parametrize("policy", POLICIES)
    def test_the_same_seed_gives_the_same_figures(self, policy: str) -> None:
        assert simulate(policy, burst(6, 3, 60, seed=1), seed=1) == simulate(policy, burst(6, 3, 60, seed=1), seed=1)

    def test_kbfleet_loses_nothing_and_is_never_refused(self) -> None:
        result = simulate(OURS, burst(12, 8, 60, seed=1), seed=1)
        assert (result.lost, result.refused, result.jobs) == (0, 0, 12)

    def test_a_lone_change_waits_for_window_quiet_time_tick_and_job(self) -> None:
        result = simulate(OURS, Workload("one", 1, [(0.0, tenant(0))]), seed=1, durations=A_MINUTE)
        window, quiet, ticks = 5, 30, 2 * 5.5
        assert window + quiet + 60 <= result.makespan <= window + quiet + 60 + ticks

    def test_without_retries_a_refused_object_is_lost(self) -> None:
        two = Workload("two", 2, [(0.0, tenant(0)), (0.0, tenant(1))])
        assert simulate("sync per object", two, seed=1).lost == 1
        assert simulate("sync per object, SQS retries", two, seed=1).lost == 0

    def test_an_idle_fleet_makes_one_query_a_minute(self) -> None:
        assert idle(3_600) == {"dynamodb:Query": 60, "lambda:Invoke": 60}

    def test_events_of_one_window_are_one_invocation(self) -> None:
        environment = simpy.Environment()
        batches: list[list[Upload]] = []
        events = BatchedEvents(environment, Counter(), batches.append)
        for at in (0.0, 4.0, 6.0):
            environment.run(until=at + 1e-6)
            events.add(Upload("a", at))
        environment.run(until=30)
        assert [[upload.at for upload in batch] for batch in batches] == [[0.0, 4.0], [6.0]]


class TestFigures:
    def test_a_percentile_is_one_of_the_values(self) -> None:
        assert [percentile([4.0, 1.0, 3.0, 2.0], quantile) for quantile in (0.01, 0.5, 0.99, 1)] == [1, 2, 4, 4]

    def test_the_earliest_makespan_keeps_five_slots_and_the_start_rate(self) -> None:
        assert earliest_makespan([100.0] * 5) == 140
        assert earliest_makespan([100.0] * 6) == 200
        assert earliest_makespan([1.0] * 3) == 21

    def test_in_dynamodb_a_tick_makes_the_requests_that_the_simulation_counts(self) -> None:
        assert tick_cost.in_dynamodb(60) == tick_cost.in_memory(60)

    def test_a_tick_costs_the_same_with_many_tenants(self) -> None:
        assert tick_cost.in_memory(60) == tick_cost.in_memory(5_000)


class TestWorkloads:
    @pytest.mark.parametrize(
        "workload", [burst(3, 4, 60, 1), onboarding(5), day(100, 50, 1), noisy(noise=True, seed=1)]
    )
    def test_uploads_come_in_order_of_time_from_known_tenants(self, workload: Workload) -> None:
        times = [at for at, _ in workload.uploads]
        assert times == sorted(times)
        assert {name for _, name in workload.uploads} <= set(map(tenant, range(workload.tenants)))

    def test_beside_the_noisy_tenant_the_others_upload_the_same(self) -> None:
        beside = [upload for upload in noisy(noise=True, seed=1).uploads if upload[1] != NOISY]
        assert beside == list(noisy(noise=False, seed=1).uploads)
