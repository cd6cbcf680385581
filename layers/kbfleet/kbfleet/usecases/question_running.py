"""Asking a tenant's golden questions, a part of a run at a time, as fast as they may be searched for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from kbfleet.domain.answer import Inquiry, LongQuestion
from kbfleet.domain.errors import ConcurrentUpdate, KbfleetError, NotReadyYet, Retryable, TenantNotFound, Throttled
from kbfleet.domain.question_runs import FIRST, RunCause, RunRequest, not_judged, searched, with_answer
from kbfleet.usecases.asking import generate, retrieve

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from kbfleet.domain.answer import AskableTenant, AskUsage
    from kbfleet.domain.errors import IsolationBreached
    from kbfleet.domain.names import Life, ResourceNames
    from kbfleet.domain.question_runs import ChangedDocuments, QuestionRun, QuestionWatch, Verdict
    from kbfleet.domain.questions import GoldenQuestion, QuestionSet
    from kbfleet.ports import (
        Announcements,
        Answerer,
        AskableTenantRecords,
        BucketContents,
        Clock,
        GoldenQuestions,
        QuestionRuns,
        QuestionWatches,
        Retriever,
        SearchPace,
        TenantRegistry,
    )

LONGEST_QUESTION = timedelta(seconds=40)
"""That one question may take: to be searched for, and answered, each with all its time."""
BUSY_AGAIN = timedelta(seconds=30)
"""After which is looked again whether somebody else still makes a part of the tenant's run."""
GIVES_WAY = timedelta(seconds=30)
"""For which no golden question is asked, once Bedrock has refused one for coming too fast: whoever asks in earnest
comes first."""
BEFORE_A_SYNC = timedelta(hours=1)
"""What was put into the bucket so long before a run may have been ingested behind it."""
NAMED_DOCUMENTS = 20
LONGEST_RUN = timedelta(hours=6)
"""Then what was not asked is not judged."""
AT_ONCE = timedelta(0)


@dataclass(frozen=True, slots=True)
class RunPart:
    """What was done of a run.

    Args:
        watch: what is known then.
        ended: the run, where this was its last part. Whoever dies right behind it is not given it again.
    """

    watch: QuestionWatch
    ended: QuestionRun | None = None


@dataclass(frozen=True)
class QuestionRunner:
    """Makes parts of runs. Any number may work at once, one at a time for a tenant; and each may die anywhere.

    Args:
        pause: waits for so long.
        breached: has people hear of a passage that is not the tenant's own; it may not raise.
        spent: counts a search that was made, and what an answer used, if it was for one; it may not raise.
    """

    registry: TenantRegistry
    tenants: AskableTenantRecords
    questions: GoldenQuestions
    watches: QuestionWatches
    retrievers: Callable[[str, str, int], Retriever]
    answerers: Callable[[str, str, int], Answerer]
    pace: SearchPace
    runs: QuestionRuns
    names: ResourceNames
    clock: Clock
    pause: Callable[[timedelta], None]
    breached: Callable[[AskableTenant, IsolationBreached], None]
    spent: Callable[[Life, AskUsage | None], None]
    bucket_contents: BucketContents
    announcements: Announcements

    def run(self, life: Life, request: RunRequest | None, until: datetime) -> RunPart:
        """A part of the tenant's run: of the one that is being made, or of the one that is requested.

        Args:
            request: `None` where what was begun is to go on, and what is known is to follow changed questions.
            until: no question is asked any more behind that.

        Raises: Throttled, NotReadyYet, AwsRefusal: nothing is lost, and the same message is to come again.
        """
        watch = self.watches.find(life)
        if watch.busy_until is not None and self.clock.now() < watch.busy_until:
            self.runs.request(life, request, after=BUSY_AGAIN)
            return RunPart(watch)
        try:
            return self._part(watch, request, until)
        except ConcurrentUpdate:
            # Somebody else was faster, or the tenant has just been erased: then there is nothing the next time.
            self.runs.request(life, request, after=BUSY_AGAIN)
            return RunPart(self.watches.find(life))

    def _part(self, watch: QuestionWatch, request: RunRequest | None, until: datetime) -> RunPart:
        life, now = watch.of_life, self.clock.now()
        tenant = self.registry.find(life.tenant_id)
        if tenant is None or tenant.is_over(life) or not tenant.is_in_service:
            # Nobody asks it. Its next sync, and the next round, have its questions asked again.
            return RunPart(self.watches.save(watch.given_up()) if watch.at_work and tenant is not None else watch)
        texts = self.questions.find(life)
        known = watch.keeping(texts, now)
        if request is not None:
            known = known.requested(request)
        known = known.begun(texts, now) if texts.questions else known.given_up()
        if known == watch and known.run is None:
            # Whoever came before may have died before this.
            known = self._told(watch, texts)
            self._ask_for_more(known, AT_ONCE)
            return RunPart(known)
        # From here on, nobody else asks.
        known = self.watches.save(replace(known, busy_until=until + LONGEST_QUESTION))
        known, gives_way = self._asked(known, texts, until)
        known, ended = known.ended(texts, self.clock.now()) if known.run and not known.run.left else (known, None)
        known = self.watches.save(replace(known, busy_until=None), ended)
        known = self._told(known, texts)
        self._ask_for_more(known, GIVES_WAY if gives_way else AT_ONCE)
        return RunPart(known, ended)

    def _told(self, watch: QuestionWatch, texts: QuestionSet) -> QuestionWatch:
        """People are told before that is stored: whoever dies in between tells them the same once more."""
        asked = len(texts.questions)
        if watch.judged_for_people(asked, None) is None:
            return watch
        judged = watch.judged_for_people(asked, self._changed(watch, texts))
        if judged is not None:
            self.announcements.questions_judged(judged)
        return self.watches.save(watch.told())

    def _changed(self, watch: QuestionWatch, texts: QuestionSet) -> ChangedDocuments | None:
        """Documents that have changed since the questions passed last; those that are expected come first."""
        passed = [each.passed_at for each in watch.regressions if each.passed_at is not None]
        if not passed:
            return None
        bucket = self.names.bucket(watch.of_life)
        try:
            changed = self.bucket_contents.changed(bucket, min(passed) - BEFORE_A_SYNC, NAMED_DOCUMENTS)
        except KbfleetError:
            return None
        failing = {each.question_id for each in watch.regressions}
        asked = [each for each in texts.questions if each.question_id in failing]
        keys = sorted(changed.keys, key=lambda key: not any(each.expects(key) for each in asked))
        return replace(changed, keys=tuple(keys))

    def _ask_for_more(self, watch: QuestionWatch, after: timedelta) -> None:
        """Whoever dies before this is sent the same message again, and comes here."""
        if watch.unconfirmed and watch.last is not None and watch.last.ended_at is not None:
            self.runs.later(watch.of_life, RunRequest(RunCause.CONFIRMATION, watch.last.ended_at))
        if watch.run is not None or watch.waiting is not None:
            self.runs.request(watch.of_life, None, after=after)

    def _asked(self, watch: QuestionWatch, texts: QuestionSet, until: datetime) -> tuple[QuestionWatch, bool]:
        """Returns: also whether Bedrock was asked too fast: then the others get a while for themselves."""
        while (run := watch.run) is not None and run.left and self.clock.now() < until:
            question = texts.find(run.left[0])
            if question is None:
                watch = watch.judged(run.left[0], None)
                continue
            try:
                verdict = self._verdict(question, run, watch.of_life)
            except Retryable as error:
                if self.clock.now() - run.began_at < LONGEST_RUN:
                    return watch, True
                verdict = not_judged(question, type(error).__name__)
            watch = watch.judged(question.question_id, verdict)
        return watch, False

    def _verdict(self, question: GoldenQuestion, run: QuestionRun, life: Life) -> Verdict:
        """Raises: Throttled; NotReadyYet, where it is nothing of this tenant's."""
        try:
            tenant = self.tenants.get(life.tenant_id)
            if tenant.this_life != life:
                raise TenantNotFound.of(life.tenant_id)
            return self._judged(question, run, tenant)
        except KbfleetError as error:
            if isinstance(error, Throttled) or (isinstance(error, NotReadyYet) and error.for_everybody):
                raise
            # What AWS says of it may hold a text: its class is enough.
            return not_judged(question, type(error).__name__)

    def _judged(self, question: GoldenQuestion, run: QuestionRun, tenant: AskableTenant) -> Verdict:
        inquiry = Inquiry(LongQuestion(question.text), FIRST, kept=False)
        verdict = searched(question, ())
        if question.expected:
            self._wait_for_a_place()
            sources = retrieve(tenant, inquiry, retrievers=self.retrievers, names=self.names, breached=self.breached)
            self.spent(tenant.this_life, None)
            verdict = searched(question, sources)
        if run.answers:
            self._wait_for_a_place()
            answer = generate(tenant, inquiry, answerers=self.answerers, names=self.names, breached=self.breached)
            self.spent(tenant.this_life, answer.usage)
            verdict = with_answer(verdict, question, answer)
        return verdict

    def _wait_for_a_place(self) -> None:
        wait = self.pace.next(self.clock.now()) - self.clock.now()
        if wait > AT_ONCE:
            self.pause(wait)
