"""Every golden question of a fleet at once, beside people who ask in earnest: the share of the quota is kept at every
moment, nobody who asks is slowed, and it takes as long as the share makes it take."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from random import Random
from unittest.mock import patch

import kbfleet.bootstrap
from bedrock_emulator import Quotas
from benchmarks.ingestion.simulation import percentile
from benchmarks.large_fleet import call_seconds, large_fleet, written_directly
from kbfleet.adapters.dynamodb.questions import DynamoDBGoldenQuestions
from kbfleet.adapters.secrets import RememberedSecret
from kbfleet.contracts.events import JOB_STATE_CHANGE, JobStateChangeDetail
from kbfleet.domain.ingestion_job import JobStateChange, JobStatus, Outcome
from kbfleet.domain.names import DataSourceReference, Life, TenantId
from kbfleet.domain.questions import GoldenQuestion, QuestionId, QuestionSet
from tests.proofs.proof import Row
from tests.support.aws_calls import Call, Moment
from tests.support.state_machine import TaskFailed
from tests.support.tenant_lives import sample
from tests.support.virtual_fleet import AN_HOUR, VirtualFleet, as_delivered
from tests.support.world_copies import in_copy

TENANTS, QUESTIONS = 200, 20
MOST_TIMES_THE_BOUND = 1.1
MOST_TIMES_AS_SLOW = 1.05
ACCOUNTS_SEARCHES = 20
"""A second, of all knowledge bases of type VECTOR together: the narrowest quota that there is. Those of type MANAGED
have 100; here they get as few, for an account has no room for so many of the other kind."""
ASKED_PER_SECOND = 15
"""By people, at times that nobody arranges. With the share of golden questions that is less than the quota."""
WINDOWS, WINDOW_SECONDS = 5, 40
"""People are looked at in some minutes of it: that is enough for a hundredth of them to be thirty."""
_MODEL_SECONDS = {"Retrieve": 0.4, "Converse": 2.0}
"""How long such a call of Bedrock takes: guesses. What counts is that it is the same with golden questions and
without."""
_LOOKED_AT = ("AskFunction", "RunQuestionsFunction")
_KEY, _TEXT = "tents.md", "A tent is guaranteed for 24 months."
_SHARE = "QUESTION_SEARCHES_PER_SECOND"
REAL_SECONDS = 1_800


@dataclass
class Load:
    """
    Args:
        waited: seconds that each asker waited for an answer.
        refused: askers who got none.
        searched_at: when golden questions were searched for, in seconds since the change; in order.
        ended_at: when each tenant's run ended, likewise.
        asked: searches by people in the same time.
    """

    waited: list[float] = field(default_factory=list)
    refused: int = 0
    searched_at: list[float] = field(default_factory=list)
    ended_at: list[float] = field(default_factory=list)
    asked: int = 0

    def busiest(self, seconds: float) -> int:
        """The most golden questions that were searched for within so many seconds, whenever they began."""
        times = self.searched_at
        return max((bisect_left(times, time + seconds) - place for place, time in enumerate(times)), default=0)


def with_questions(fleet: VirtualFleet, tenants: int, questions: int) -> None:
    """Each tenant has a document, which is ingested, and that many questions."""
    s3, agent = fleet.client("s3"), fleet.client("bedrock-agent")
    kept = DynamoDBGoldenQuestions(written_directly(fleet))
    for number in range(tenants):
        tenant = fleet.tenant(f"tenant-{number}")
        assert tenant is not None
        s3.put_object(Bucket=str(tenant.bucket_name), Key=_KEY, Body=_TEXT.encode())
        agent.start_ingestion_job(
            knowledgeBaseId=str(tenant.knowledge_base_id), dataSourceId=str(tenant.data_source_id)
        )
        asked = (
            GoldenQuestion(QuestionId(f"q{place:04}"), f"For how many months is tent {place} guaranteed?", (_KEY,))
            for place in range(questions)
        )
        kept.save(QuestionSet(Life(tenant.tenant_id), tuple(asked)))
    fleet.timeline.run_for(AN_HOUR)


def lived(tenants: int, seconds: float, *, changed: bool, fleet: VirtualFleet) -> Load:
    """So many seconds of people who ask. Args: changed: whether all tenants' documents were ingested anew, at once."""
    load, began = Load(), fleet.timeline.now()

    def take_time(call: Call, moment: Moment) -> None:
        if call.function not in _LOOKED_AT or moment is not Moment.BEFORE:
            return
        if call.operation == "Retrieve":
            if call.function == "AskFunction":
                load.asked += 1
            else:
                load.searched_at.append(fleet.timeline.now() - began)
        usual = _MODEL_SECONDS.get(call.operation, call_seconds(call.service, call.operation))
        # By what asks alone: who asks at the same time makes no difference to Bedrock's own time.
        fleet.calls.pause(usual * Random(f"{call.strand} {call.operation}").uniform(0.5, 1.5))  # noqa: S311 - repeatable

    def ask(tenant_id: str) -> None:
        asked_at = fleet.timeline.now()
        try:
            answer = fleet.functions("AskFunction", sample("ask", tenant_id))
        except TaskFailed:
            load.refused += 1
            return
        load.refused += answer["statusCode"] != 200
        load.waited.append(fleet.timeline.now() - asked_at)

    def people() -> None:
        chance = Random(1)  # noqa: S311 - repeatable on purpose
        for window in range(WINDOWS):
            fleet.timeline.sleep(max(0.0, began + seconds * (window + 0.5) / WINDOWS - fleet.timeline.now()))
            number, until = 0, fleet.timeline.now() + WINDOW_SECONDS
            while fleet.timeline.now() < until:
                tenant_id = f"tenant-{chance.randrange(tenants)}"
                fleet.timeline.spawn(f"asker {window}-{number}", partial(ask, tenant_id))
                number += 1
                fleet.timeline.sleep(chance.expovariate(ASKED_PER_SECOND))

    assert fleet.questions is not None
    if changed:
        for number in range(tenants):
            fleet.questions.put(_ingested(fleet, f"tenant-{number}"))
    # A thread of the function's own would make its call at a moment that no virtual time decides.
    alone = patch.object(RememberedSecret, "read_meanwhile", lambda _: nullcontext())
    with alone, fleet.disturbed(take_time):
        fleet.timeline.spawn("people", people)
        fleet.timeline.run_for(seconds)
    watches = (kbfleet.bootstrap.question_watches().find(fleet.life(f"tenant-{number}")) for number in range(tenants))
    ended = (each.last.ended_at for each in watches if each.last is not None and each.last.ended_at is not None)
    load.ended_at = sorted(at.timestamp() - began for at in ended)
    return load


def _ingested(fleet: VirtualFleet, tenant_id: str) -> str:
    """A job of the tenant's has ended, as the bus tells the queue."""
    now = fleet.clock.datetime()
    reference = DataSourceReference("KB00000000", "DS00000000")
    job = JobStateChange(
        TenantId(tenant_id), reference, 2, JobStatus.COMPLETE, now, outcome=Outcome.SUCCEEDED, started_at=now
    )
    detail = JobStateChangeDetail.from_domain(job).model_dump(mode="json")
    event = {"Source": "kbfleet.ingestion", "DetailType": JOB_STATE_CHANGE, "Detail": detail}
    assert fleet.matches("KnowledgeChangedRule", event), event
    return as_delivered(event)


def prove(tenants: int = TENANTS, questions: int = QUESTIONS) -> Row:
    row = Row(
        f"{tenants} tenants × {questions} golden questions after a change of all, beside people who ask", "MANAGED"
    )
    # Jobs may start as fast as anybody likes: they are not what is looked at.
    quotas = Quotas(requests_per_second={}, managed_retrievals_per_second=ACCOUNTS_SEARCHES)
    with large_fleet(tenants, quotas=quotas, questions_are_asked=True) as fleet:
        with_questions(fleet, tenants, questions)
        deployed = fleet.deployment
        after = float(deployed.property("QuestionQueue", "DelaySeconds"))
        share = float(deployed.function("RunQuestionsFunction")["Environment"]["Variables"][_SHARE])
        bound = tenants * questions / share + after
        fleet.rest()
        live = partial(lived, tenants, bound * (MOST_TIMES_THE_BOUND + 0.1))
        quiet, busy = (
            in_copy(fleet, lambda copied: live(changed=changed, fleet=copied), within=REAL_SECONDS)  # noqa: B023
            for changed in (False, True)
        )
    for wrong in _wrong(quiet, busy, tenants, questions, share, bound):
        row.add(wrong)
    row.runs = len(busy.searched_at) + busy.asked + quiet.asked
    row.findings += list(_found(quiet, busy, share, bound))
    return row


def _wrong(quiet: Load, busy: Load, tenants: int, questions: int, share: float, bound: float) -> Iterator[str]:
    if len(busy.searched_at) != tenants * questions:
        yield f"{len(busy.searched_at)} searches were made for {tenants * questions} questions"
    if len(busy.ended_at) != tenants:
        yield f"{len(busy.ended_at)} of {tenants} runs have ended"
    elif busy.ended_at[-1] > MOST_TIMES_THE_BOUND * bound:
        yield f"the last run ended after {busy.ended_at[-1]:,.0f} s, and the bound is {bound:,.0f} s"
    for seconds in (1, 10, 60):
        # A search comes a little later than its place, by what its calls take: so one more, and never two.
        if busy.busiest(seconds) > share * seconds + 1:
            yield f"{busy.busiest(seconds)} searches were made within {seconds} s, and the share is {share:g} a second"
    if quiet.searched_at or quiet.refused or len(quiet.waited) != len(busy.waited):
        yield f"the world without golden questions is another one: {len(quiet.waited)} asked, {quiet.refused} refused"
    if busy.refused:
        yield f"{busy.refused} people were refused"
    if percentile(busy.waited, 0.99) > MOST_TIMES_AS_SLOW * percentile(quiet.waited, 0.99):
        yield f"p99 is {percentile(busy.waited, 0.99):.2f} s, and {percentile(quiet.waited, 0.99):.2f} s without them"


def _found(quiet: Load, busy: Load, share: float, bound: float) -> Iterator[str]:
    ended = busy.ended_at[-1] if busy.ended_at else float("nan")
    yield f"done after {ended:,.0f} s; by {share:g} a second, {bound:,.0f} s; at most {MOST_TIMES_THE_BOUND} times that"
    yield f"at most {busy.busiest(1)} searches in a second, {busy.busiest(10)} in ten, of {ACCOUNTS_SEARCHES} a second"
    slow, usual = (percentile(load.waited, 0.99) for load in (busy, quiet))
    yield (
        f"{len(busy.waited):,} people at {ASKED_PER_SECOND} a second: p99 {slow:.2f} s; without golden questions, "
        f"{usual:.2f} s"
    )
