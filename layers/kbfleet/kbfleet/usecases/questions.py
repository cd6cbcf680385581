"""A tenant's golden questions: adding, removing, and having them asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.question_runs import QuestionWatch, RunCause, RunRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kbfleet.domain.names import TenantId
    from kbfleet.domain.questions import Draft, QuestionId, QuestionSet
    from kbfleet.ports import Clock, GoldenQuestions, KnowledgeStore, QuestionRuns, QuestionWatches, TenantRegistry

AT_ONCE = timedelta(0)


def add_questions(
    tenant_id: TenantId,
    drafts: Sequence[Draft],
    *,
    registry: TenantRegistry,
    stores: Mapping[str, KnowledgeStore],
    questions: GoldenQuestions,
    runs: QuestionRuns,
    new_id: Callable[[], QuestionId],
) -> QuestionSet:
    """All of them are added, or none. One that has the id or the text of a question takes its place.

    Raises:
        TenantNotFound, TenantOffboarding, TenantOffboarded.
        InvalidInput: naming the field, behind `questions.` and the place from 0.
        ConcurrentUpdate: somebody else has changed them at the same time.
    """
    tenant = registry.get(tenant_id)
    tenant.not_leaving()
    before = questions.find(tenant.this_life)
    after = before.with_drafts(drafts, stores[tenant.knowledge_store].kind, new_id)
    return _saved(before, after, questions, runs)


@dataclass(frozen=True, slots=True)
class StandsPage:
    """`last` is the tenant behind which the next page begins; `None` on the last page."""

    watches: Sequence[QuestionWatch]
    last: TenantId | None


def question_stands(
    *, after: TenantId | None, limit: int, registry: TenantRegistry, watches: QuestionWatches
) -> StandsPage:
    """How the golden questions of each tenant in service stand, in the order of their ids, also of those of whose
    questions nothing is known: they have none.

    Args:
        after: behind which tenant the page begins; `None` for the first page.
        limit: tenants that are looked at, in service or not.
    """
    tenants = registry.following(after, limit)
    lives = [tenant.this_life for tenant in tenants if tenant.is_in_service]
    known = {watch.of_life: watch for watch in watches.known(lives)}
    stands = [known.get(life, QuestionWatch(life)) for life in lives]
    return StandsPage(stands, tenants[-1].tenant_id if len(tenants) == limit else None)


def remove_question(
    tenant_id: TenantId,
    question_id: QuestionId,
    *,
    registry: TenantRegistry,
    questions: GoldenQuestions,
    runs: QuestionRuns,
) -> QuestionSet:
    """Raises: TenantNotFound, TenantOffboarding, TenantOffboarded, QuestionNotFound, ConcurrentUpdate."""
    tenant = registry.get(tenant_id)
    tenant.not_leaving()
    before = questions.find(tenant.this_life)
    return _saved(before, before.without(question_id), questions, runs)


def _saved(before: QuestionSet, after: QuestionSet, questions: GoldenQuestions, runs: QuestionRuns) -> QuestionSet:
    saved = questions.save(after) if after != before else before
    # Also where nothing is changed: whoever has changed it may have died before this. What was known of a question that
    # is gone, or is another now, is known no more, and people may have to hear that.
    if saved.version:
        runs.request(saved.of_life, None, after=AT_ONCE)
    return saved


def request_run(
    tenant_id: TenantId,
    *,
    answers: bool,
    registry: TenantRegistry,
    questions: GoldenQuestions,
    runs: QuestionRuns,
    clock: Clock,
) -> RunRequest:
    """Has all questions asked soon.

    Raises:
        TenantNotFound, TenantNotActive and its kin.
        InvalidInput: there are none.
    """
    tenant = registry.get(tenant_id)
    tenant.askable()
    if not questions.find(tenant.this_life).questions:
        raise InvalidInput(
            "questions",
            f"tenant {tenant_id} has none.",
            remedy=f'`kbfleet questions add {tenant_id} "…" --expect KEY` adds one.',
        )
    request = RunRequest(RunCause.DEMAND, clock.now(), answers)
    runs.request(tenant.this_life, request, after=AT_ONCE)
    return request
