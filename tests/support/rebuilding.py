"""Rebuilds of a fleet in memory, as the state machine makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kbfleet.domain.comparison import AskedOfBoth
from kbfleet.domain.errors import NotReadyYet
from kbfleet.domain.knowledges import KEPT_FOR, TOLERANCE, Beside
from kbfleet.domain.names import TenantId
from kbfleet.domain.profiles import ProfileReference
from kbfleet.domain.rebuild import RebuildReservation
from kbfleet.domain.tenant import Tenant
from kbfleet.domain.workflow import WorkflowFailure
from kbfleet.ports import Execution
from kbfleet.usecases import provisioning, rebuilding
from kbfleet.usecases.rebuilding import INGESTED_WITHIN, CandidateState, RebuildRound
from tests.support.fakes import InMemoryExecutions, JobCourse
from tests.support.fleet import LEASE, Fleet
from tests.support.samples import ACME, NAMES

READY_WITHIN = timedelta(minutes=15)
REMEMBERED = timedelta(minutes=5)
"""By whoever answers: the most that the parameter RegistryCacheSeconds can be."""


@dataclass
class Rebuilding:
    """The use cases with the ports of a fleet.

    Args:
        courses: of the candidate's jobs.
    """

    fleet: Fleet
    courses: Sequence[JobCourse] = ()
    tenant_id: TenantId = ACME

    @property
    def executions(self) -> InMemoryExecutions:
        return self.fleet.rebuild_executions

    @property
    def record(self) -> Tenant:
        return self.fleet.registry.get(self.tenant_id)

    @property
    def beside(self) -> Beside:
        beside = self.record.beside
        assert beside is not None
        return beside

    # --- what people ask for ---

    def request(
        self,
        profile: ProfileReference | None = None,
        *,
        compare_only: bool = False,
        tolerance: int = TOLERANCE,
        keep: timedelta = KEPT_FOR,
    ) -> Execution:
        _, execution = rebuilding.request_rebuild(
            self.tenant_id,
            profile=profile,
            keep=keep,
            tolerance=tolerance,
            compare_only=compare_only,
            registry=self.fleet.registry,
            executions=self.executions,
            stores=self.fleet.stores,
            profiles=self.fleet.profiles,
            clock=self.fleet.clock,
        )
        return execution

    def stop(self) -> Execution:
        _, execution = rebuilding.stop_rebuild(
            self.tenant_id, registry=self.fleet.registry, executions=self.executions, clock=self.fleet.clock
        )
        return execution

    def roll_back(self, number: int) -> Tenant:
        return rebuilding.roll_back(
            self.tenant_id,
            number,
            registry=self.fleet.registry,
            executions=self.executions,
            ledger=self.fleet.ledger,
            ticks=self.fleet.ticks,
            announcements=self.fleet.announcements,
            clock=self.fleet.clock,
        )

    def round(self, *, at_most: int = 100) -> RebuildRound:
        return rebuilding.start_due_rebuilds(
            registry=self.fleet.registry,
            executions=self.executions,
            ledger=self.fleet.ledger,
            ticks=self.fleet.ticks,
            announcements=self.fleet.announcements,
            clock=self.fleet.clock,
            at_most=at_most,
            until=self.fleet.clock.now() + timedelta(minutes=5),
        )

    # --- the states ---

    def reserve(self, execution: Execution) -> RebuildReservation:
        return rebuilding.reserve_rebuild(
            self.tenant_id,
            execution=execution.arn,
            registry=self.fleet.registry,
            executions=self.executions,
            counts=self.fleet.room_counts,
            stores=self.fleet.stores,
            knowledge_bases=self.fleet.knowledge_bases,
            names=NAMES,
            clock=self.fleet.clock,
            lease=LEASE,
            ready_within=READY_WITHIN,
        )

    def make_resources(self, reservation: RebuildReservation) -> None:
        """As the states of `provision_tenant` that it shares."""
        fleet = self.fleet
        role_changed_at = provisioning.ensure_service_role(
            reservation,
            registry=fleet.registry,
            stores=fleet.stores,
            profiles=fleet.profiles,
            knowledge_bases=fleet.knowledge_bases,
            service_roles=fleet.service_roles,
            names=NAMES,
        )
        provisioning.ensure_knowledge_store(
            reservation,
            registry=fleet.registry,
            stores=fleet.stores,
            profiles=fleet.profiles,
            names=NAMES,
            clock=fleet.clock,
        )
        while not provisioning.ensure_knowledge_base(
            reservation,
            registry=fleet.registry,
            stores=fleet.stores,
            profiles=fleet.profiles,
            knowledge_bases=fleet.knowledge_bases,
            service_roles=fleet.service_roles,
            role_changed_at=role_changed_at,
            names=NAMES,
            clock=fleet.clock,
            announcements=fleet.announcements,
            look_after_at_most=READY_WITHIN,
            ready_within=READY_WITHIN,
        ).ready:
            fleet.clock.advance(10)
        provisioning.narrow_service_role(
            reservation,
            registry=fleet.registry,
            stores=fleet.stores,
            profiles=fleet.profiles,
            knowledge_bases=fleet.knowledge_bases,
            service_roles=fleet.service_roles,
            names=NAMES,
        )
        while not provisioning.ensure_data_source(
            reservation,
            registry=fleet.registry,
            ledger=fleet.ledger,
            stores=fleet.stores,
            profiles=fleet.profiles,
            knowledge_bases=fleet.knowledge_bases,
            callbacks=fleet.callbacks,
            announcements=fleet.announcements,
            names=NAMES,
            clock=fleet.clock,
            look_after_at_most=READY_WITHIN,
        ).ready:
            fleet.clock.advance(10)

    def begin_sync(self, reservation: RebuildReservation, execution: Execution) -> None:
        rebuilding.begin_candidate_sync(
            reservation,
            execution=execution.arn,
            registry=self.fleet.registry,
            stores=self.fleet.stores,
            ledger=self.fleet.ledger,
            ticks=self.fleet.ticks,
            clock=self.fleet.clock,
        )

    def look(self, number: int, execution: Execution, deadline: datetime) -> CandidateState:
        return rebuilding.await_candidate(
            self.tenant_id,
            number,
            execution=execution.arn,
            registry=self.fleet.registry,
            ledger=self.fleet.ledger,
            clock=self.fleet.clock,
            deadline=deadline,
            within=INGESTED_WITHIN,
        )

    def compare(self, number: int, execution: Execution) -> Sequence[AskedOfBoth]:
        asked: Sequence[AskedOfBoth] = ()
        whole = False
        while not whole:
            asked, whole = rebuilding.compare_knowledge(
                self.tenant_id,
                number,
                asked,
                execution=execution.arn,
                registry=self.fleet.registry,
                stores=self.fleet.stores,
                knowledge_bases=self.fleet.knowledge_bases,
                questions=self.fleet.golden_questions,
                retrievers=lambda *_: self.fleet.retriever,
                pace=self.fleet.search_pace,
                names=NAMES,
                clock=self.fleet.clock,
                pause=lambda wait: self.fleet.clock.advance(wait.total_seconds()),
                breached=lambda breached, _: self.fleet.breaches.append(breached.tenant_id),
                spent=lambda life, usage: self.fleet.spent.append((life, usage)),
                until=self.fleet.clock.now() + timedelta(seconds=1),
            )
        return asked

    def promote(self, number: int, asked: Sequence[AskedOfBoth], execution: Execution) -> Tenant:
        return rebuilding.promote_knowledge(
            self.tenant_id,
            number,
            asked,
            execution=execution.arn,
            registry=self.fleet.registry,
            stores=self.fleet.stores,
            knowledge_bases=self.fleet.knowledge_bases,
            ledger=self.fleet.ledger,
            ticks=self.fleet.ticks,
            announcements=self.fleet.announcements,
            names=NAMES,
            clock=self.fleet.clock,
        )

    def delete(self, reservation: RebuildReservation) -> None:
        """Looks as often as the state machine does."""
        for _ in range(120):
            try:
                rebuilding.delete_knowledge(
                    reservation,
                    alone_from=reservation.alone_from,
                    remembered=REMEMBERED,
                    registry=self.fleet.registry,
                    stores=self.fleet.stores,
                    knowledge_bases=self.fleet.knowledge_bases,
                    names=NAMES,
                    clock=self.fleet.clock,
                )
            except NotReadyYet:
                self.fleet.clock.advance(10)
            else:
                return
        raise AssertionError("it is never deleted")

    def forget(self, reservation: RebuildReservation, execution: Execution) -> RebuildReservation | None:
        live = reservation.of_the_live_one
        provisioning.ensure_service_role(
            live,
            registry=self.fleet.registry,
            stores=self.fleet.stores,
            profiles=self.fleet.profiles,
            knowledge_bases=self.fleet.knowledge_bases,
            service_roles=self.fleet.service_roles,
            names=NAMES,
        )
        return self.forget_again(reservation, execution)

    def forget_again(self, reservation: RebuildReservation, execution: Execution) -> RebuildReservation | None:
        return rebuilding.forget_knowledge(
            reservation.of_the_live_one,
            execution=execution.arn,
            registry=self.fleet.registry,
            ledger=self.fleet.ledger,
            clock=self.fleet.clock,
            ready_within=READY_WITHIN,
        )

    def mark_failed(self, failure: WorkflowFailure) -> None:
        provisioning.mark_tenant_failed(
            self.tenant_id, failure, registry=self.fleet.registry, announcements=self.fleet.announcements
        )

    # --- whole executions ---

    def build(self, execution: Execution) -> int:
        """Up to the wait for its ingestion. Returns: the candidate's number."""
        reservation = self.reserve(execution)
        return self.build_under(reservation, execution)

    def build_under(self, reservation: RebuildReservation, execution: Execution) -> int:
        assert reservation.builds
        assert reservation.knowledge is not None
        self.make_resources(reservation)
        self.fleet.knowledge_bases.plan(str(self.beside.record.knowledge_base_id), *self.courses)
        self.begin_sync(reservation, execution)
        return reservation.knowledge

    def finish(self, number: int, execution: Execution) -> Tenant:
        """From the wait for its ingestion on."""
        deadline = self.fleet.clock.now() + INGESTED_WITHIN
        while not self.look(number, execution, deadline).complete:
            self.fleet.tick()
            self.fleet.clock.advance(5)
        return self.promote(number, self.compare(number, execution), execution)

    def run(self, execution: Execution) -> Tenant:
        reservation: RebuildReservation | None = self.reserve(execution)
        assert reservation is not None
        if not reservation.builds:
            self.delete(reservation)
            following = self.forget(reservation, execution)
            reservation = self.reserve(execution) if following is not None else None
        if reservation is not None:
            self.finish(self.build_under(reservation, execution), execution)
        self.executions.progress(execution.name, status="SUCCEEDED")
        return self.record
