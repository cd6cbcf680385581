"""What a policy is, and three that turn uploads into ingestion jobs without kbfleet's ledger.

Each is as good as its idea allows. botocore's own retries are left out everywhere: they come within seconds, and the
start rate is one in ten.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable
from typing import Protocol

import simpy

from benchmarks.ingestion.service import JOBS_PER_ACCOUNT, START_INTERVAL, IngestionService, Job, StartRefused, Upload

Events = simpy.events.ProcessGenerator


class Policy(Protocol):
    """Something that hears of uploads and starts jobs."""

    def changed(self, upload: Upload) -> None:
        """An upload's event has come in."""
        ...

    @property
    def at_rest(self) -> bool:
        """Whether nothing will happen any more unless something is uploaded."""
        ...


class BatchedEvents:
    """An SQS queue between S3's events and a function, with a batching window: the events of that many seconds are one
    invocation. Source: AWS documentation, "Using Lambda with Amazon SQS"."""

    WINDOW = 5.0
    SIZE = 1_000

    def __init__(
        self, environment: simpy.Environment, calls: Counter[str], handle: Callable[[list[Upload]], None]
    ) -> None:
        self._environment = environment
        self._calls = calls
        self._handle = handle
        self._waiting: list[Upload] = []

    @property
    def empty(self) -> bool:
        return not self._waiting

    def add(self, upload: Upload) -> None:
        self._calls["sqs:SendMessage"] += 1
        self._waiting.append(upload)
        if len(self._waiting) == 1:
            self._environment.process(self._after_window())
        elif len(self._waiting) == self.SIZE:
            self._invoke()

    def _after_window(self) -> Events:
        first = self._waiting[0]
        yield self._environment.timeout(self.WINDOW)
        if self._waiting and self._waiting[0] is first:
            self._invoke()

    def _invoke(self) -> None:
        self._calls["lambda:Invoke"] += 1
        batch, self._waiting = self._waiting, []
        self._handle(batch)


class SyncPerObject:
    """Each object's event is a message, each message's function calls StartIngestionJob. A refused one is made visible
    again after a random time, so that messages do not come back all at once, and goes to the dead-letter queue in the
    end.

    Source: AWS documentation, "Using Lambda with Amazon SQS": two concurrent functions are the least that a queue can
    be limited to, which suits a service that takes one call in ten seconds; five receives are the least to ask for.
    """

    CONCURRENCY = 2
    FUNCTION_TAKES = 0.5
    VISIBLE_AGAIN = (60.0, 300.0)

    def __init__(
        self,
        environment: simpy.Environment,
        service: IngestionService,
        calls: Counter[str],
        *,
        seed: int,
        max_receives: int = 10,
    ) -> None:
        self._max_receives = max_receives
        self._environment = environment
        self._service = service
        self._calls = calls
        self._chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._functions = simpy.Resource(environment, self.CONCURRENCY)
        self._messages = 0
        self.dead_letters = 0

    @property
    def at_rest(self) -> bool:
        return self._messages == 0

    def changed(self, upload: Upload) -> None:
        self._calls["sqs:SendMessage"] += 1
        self._messages += 1
        self._environment.process(self._deliver(upload))

    def _deliver(self, upload: Upload) -> Events:
        received = 0
        while not (yield from self._received(upload.tenant)):
            received += 1
            if received == self._max_receives:
                self.dead_letters += 1
                break
            self._calls["sqs:ChangeMessageVisibility"] += 1
            yield self._environment.timeout(self._chance.uniform(*self.VISIBLE_AGAIN))
        self._messages -= 1

    def _received(self, tenant: str) -> Generator[simpy.Event, None, bool]:
        with self._functions.request() as request:
            yield request
            yield self._environment.timeout(self.FUNCTION_TAKES)
            self._calls["lambda:Invoke"] += 1
            return self._started(tenant)

    def _started(self, tenant: str) -> bool:
        try:
            self._service.start(tenant)
        except StartRefused:
            return False
        return True


class StepFunctionsRetry:
    """Each object's event starts an execution whose one task calls StartIngestionJob, with Retry: exponential backoff,
    full jitter.

    Source of the fields: AWS documentation, "Handling errors in Step Functions workflows".
    """

    INTERVAL_SECONDS = 10.0
    BACKOFF_RATE = 2.0
    MAX_DELAY_SECONDS = 300.0
    MAX_ATTEMPTS = 200

    def __init__(
        self, environment: simpy.Environment, service: IngestionService, calls: Counter[str], *, seed: int
    ) -> None:
        self._environment = environment
        self._service = service
        self._calls = calls
        self._chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._executions = 0
        self.failed = 0

    @property
    def at_rest(self) -> bool:
        return self._executions == 0

    def changed(self, upload: Upload) -> None:
        self._executions += 1
        self._environment.process(self._execute(upload))

    def _execute(self, upload: Upload) -> Events:
        delay = self.INTERVAL_SECONDS
        self._calls["states:StateTransition"] += 1
        for _ in range(self.MAX_ATTEMPTS + 1):
            self._calls["states:StateTransition"] += 1
            try:
                self._service.start(upload.tenant)
            except StartRefused:
                yield self._environment.timeout(self._chance.uniform(0, delay))
                delay = min(delay * self.BACKOFF_RATE, self.MAX_DELAY_SECONDS)
            else:
                break
        else:
            self.failed += 1
        self._executions -= 1


class FixedPoll:
    """Events only mark the tenant. Every five minutes a function starts a job for each marked tenant, the longest
    marked first, as many as the limits allow, and takes the mark off when the job has ended."""

    INTERVAL = 300.0

    def __init__(self, environment: simpy.Environment, service: IngestionService, calls: Counter[str]) -> None:
        self._environment = environment
        self._service = service
        self._calls = calls
        self._events = BatchedEvents(environment, calls, self._mark)
        self._marked: deque[str] = deque()
        self._following: dict[str, Job] = {}
        environment.process(self._poll())

    @property
    def at_rest(self) -> bool:
        return self._events.empty and not self._marked and not self._following

    def changed(self, upload: Upload) -> None:
        self._events.add(upload)

    def _mark(self, batch: Iterable[Upload]) -> None:
        for tenant in dict.fromkeys(upload.tenant for upload in batch):
            self._calls["dynamodb:UpdateItem"] += 1
            if tenant not in self._marked:
                self._marked.append(tenant)

    def _poll(self) -> Events:
        while True:
            yield self._environment.timeout(self.INTERVAL)
            self._calls["lambda:Invoke"] += 1
            self._calls["dynamodb:Query"] += 1
            for tenant, job in list(self._following.items()):
                self._calls["bedrock:GetIngestionJob"] += 1
                if job.ended:
                    del self._following[tenant]
                    self._calls["dynamodb:UpdateItem"] += 1
            yield from self._start()

    def _start(self) -> Events:
        ready = [tenant for tenant in self._marked if tenant not in self._following]
        free = JOBS_PER_ACCOUNT - len(self._following)
        for position, tenant in enumerate(ready[:free]):
            if position:
                yield self._environment.timeout(START_INTERVAL)
            self._following[tenant] = self._service.start(tenant)
            self._marked.remove(tenant)
            self._calls["dynamodb:UpdateItem"] += 1
