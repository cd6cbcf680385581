"""kbfleet's own policy: the real use cases on ports in memory, ticked as the template's queue and schedule do it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import cast

import simpy

from benchmarks.ingestion.policies import BatchedEvents, Events
from benchmarks.ingestion.ports import History, KnowledgeBases, Ledger, Registry, VirtualClock, scheduler
from benchmarks.ingestion.service import START_INTERVAL, IngestionService, Upload
from kbfleet import ports
from kbfleet.domain.names import DataSourceReference, Life, TenantId
from kbfleet.domain.sync import Debounce
from kbfleet.usecases.ingestion import note_changes, request_sync

TICK_INTERVAL = 5.0
SAFETY_NET = 60.0
DEBOUNCE = Debounce(quiet=timedelta(seconds=30), at_most=timedelta(seconds=300))
_QUEUE_AND_FUNCTION = 0.5
"""Seconds on top of a message's delay until the tick that it asks for has done its work: our guess."""


class TickQueue:
    """`kbfleet.ports.Ticks`: the FIFO queue of the template. Requests of one interval are one message, which is
    delivered after the interval (`kbfleet.adapters.sqs`)."""

    def __init__(self, environment: simpy.Environment, calls: Counter[str]) -> None:
        self._environment = environment
        self._calls = calls
        self._latest = -1
        self.arrivals = simpy.Store(environment)

    def request(self) -> None:
        self._calls["sqs:SendMessage"] += 1
        interval = int(self._environment.now / TICK_INTERVAL)
        if interval != self._latest:
            self._latest = interval
            self._environment.process(self._deliver())

    def _deliver(self) -> Events:
        yield self._environment.timeout(TICK_INTERVAL + _QUEUE_AND_FUNCTION)
        yield self.arrivals.put("tick")


class Fleet:
    """kbfleet.

    Args:
        knowledge_bases: where jobs are started.
        data_sources: of every tenant.
        first_syncs: whether uploads stand for first syncs, which are requested outright; else documents change.
    """

    def __init__(
        self,
        environment: simpy.Environment,
        calls: Counter[str],
        knowledge_bases: KnowledgeBases | ports.KnowledgeBases,
        data_sources: Mapping[TenantId, DataSourceReference],
        *,
        first_syncs: bool = False,
    ) -> None:
        self._environment = environment
        self._calls = calls
        self._first_syncs = first_syncs
        self._clock = VirtualClock(environment)
        self._ticks = TickQueue(environment, calls)
        self._registry = cast("ports.TenantRegistry", Registry(data_sources, calls))
        self._ledger = Ledger(calls)
        self._events = BatchedEvents(environment, calls, self._note)
        self._scheduler = scheduler(
            registry=self._registry,
            ledger=self._ledger,
            history=History(calls),
            knowledge_bases=knowledge_bases,
            ticks=self._ticks,
            clock=self._clock,
            start_interval=START_INTERVAL,
            calls=calls,
        )
        environment.process(self._ticking())
        environment.process(self._safety_net())

    @property
    def at_rest(self) -> bool:
        return self._events.empty and self._ledger.at_rest

    def changed(self, upload: Upload) -> None:
        if self._first_syncs:
            request_sync(
                TenantId(upload.tenant),
                registry=self._registry,
                ledger=self._ledger,
                ticks=self._ticks,
                clock=self._clock,
            )
        else:
            self._events.add(upload)

    def _note(self, batch: list[Upload]) -> None:
        for tenant in dict.fromkeys(upload.tenant for upload in batch):
            note_changes(
                Life(TenantId(tenant)),
                registry=self._registry,
                ledger=self._ledger,
                ticks=self._ticks,
                clock=self._clock,
                debounce=DEBOUNCE,
            )

    def _tick(self) -> None:
        self._calls["lambda:Invoke"] += 1
        self._scheduler.tick()

    def _ticking(self) -> Events:
        while True:
            yield self._ticks.arrivals.get()
            self._tick()

    def _safety_net(self) -> Events:
        while True:
            yield self._environment.timeout(SAFETY_NET)
            self._tick()


def modelled_fleet(
    environment: simpy.Environment,
    service: IngestionService,
    calls: Counter[str],
    tenants: Iterable[str],
    *,
    first_syncs: bool = False,
) -> Fleet:
    """kbfleet on the modelled service."""
    data_sources = {TenantId(tenant): DataSourceReference(tenant, f"{tenant}-documents") for tenant in tenants}
    return Fleet(environment, calls, KnowledgeBases(service, calls), data_sources, first_syncs=first_syncs)
