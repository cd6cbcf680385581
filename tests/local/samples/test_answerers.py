"""What both answerers make of the sample questions, on the emulator: the figures of today, as a floor.

The emulator's search and its stand-in for a model decide most of it (its answers are the documents' own sentences): the
figures compare the answerers with each other, and say nothing of a real model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from moto import mock_aws

from emulator_support.workbench import Workbench, make_workbench
from kbfleet.adapters.answerers import (
    CALLS,
    Generation,
    RetrieveAndConverseAnswerer,
    RetrieveAndGenerateAnswerer,
    Search,
)
from kbfleet.adapters.knowledge_stores.s3_vectors import S3VectorsKnowledgeStore
from kbfleet.domain.answer import AnswerOutcome, GeneratedAnswer, Inquiry, NothingFoundWords, Question
from kbfleet.domain.names import TenantId
from kbfleet.ports import Answerer
from local import samples
from tests.support.answerer import InMemoryConversations, askable
from tests.support.emulator import NOVA
from tests.support.fakes import FakeClock

BUCKET = "documents"
GENERATION = Generation(NOVA, NothingFoundWords("Nothing was found.", "見つかりませんでした。"))
SEARCH = Search.of(S3VectorsKnowledgeStore)

FIGURES = ("answered", "cited", "nothing found", "followed", "followed standalone")
FLOORS = {
    ("acme", "one_call"): (35, 34, 5, 9, 19),
    ("acme", "two_calls"): (34, 33, 7, 8, 20),
    ("sakura", "one_call"): (33, 32, 8, 10, 23),
    ("sakura", "two_calls"): (33, 31, 7, 12, 23),
}
"""Of 36 and 34 questions that documents answer: how many were answered, and from the right document. Of 20 that none
does: how many were said to have no answer. Of 24 follow-ups: how many cited the right document when asked in their
conversation, and when put on their own feet by hand, which is the most that a rewriting could reach."""


def one_call(bench: Workbench) -> Answerer:
    return RetrieveAndGenerateAnswerer(lambda call, _: bench.client(CALLS[call][0]), SEARCH, GENERATION)


def two_calls(bench: Workbench) -> Answerer:
    conversations = InMemoryConversations(FakeClock(), timedelta(days=1))
    return RetrieveAndConverseAnswerer(
        lambda call, _: bench.client(CALLS[call][0]), SEARCH, GENERATION, conversations
    )


@dataclass(frozen=True)
class Company:
    """A sample tenant's documents in a knowledge base."""

    tenant_id: TenantId
    bench: Workbench
    base: str

    def ask(self, answerer: Answerer, question: str, conversation: str | None = None) -> GeneratedAnswer:
        inquiry = Inquiry(Question(question), conversation=conversation)
        return answerer.answer(askable(self.tenant_id, self.base), inquiry, BUCKET)


@pytest.fixture(scope="module", params=sorted(samples.TENANTS))
def company(request: pytest.FixtureRequest) -> Iterator[Company]:
    objects = {path.name: path.read_bytes() for path in samples.documents(request.param)}
    with mock_aws():
        bench = make_workbench(embedder="multilingual")
        base, _ = bench.stocked(**objects)
        yield Company(TenantId(request.param), bench, base)


def cites(answer: GeneratedAnswer, document: str | None) -> bool:
    return document in {source.document for source in answer.sources}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("made", [one_call, two_calls])
def test_figures_do_not_fall(company: Company, made: Callable[[Workbench], Answerer]) -> None:
    answerer = made(company.bench)
    figures = dict.fromkeys(FIGURES, 0)
    for question in (each for each in samples.questions() if each.tenant == company.tenant_id):
        answer = company.ask(answerer, question.question)
        figures["answered"] += answer.outcome is AnswerOutcome.ANSWERED
        figures["cited"] += cites(answer, question.document)
    for unanswerable in (each for each in samples.unanswerable_questions() if each.tenant == company.tenant_id):
        answer = company.ask(answerer, unanswerable.question)
        figures["nothing found"] += answer.outcome is AnswerOutcome.NOTHING_FOUND
    for follow_up in (each for each in samples.follow_ups() if each.tenant == company.tenant_id):
        conversation = company.ask(answerer, follow_up.first.question).conversation
        then = company.ask(answerer, follow_up.then.question, conversation)
        figures["followed"] += cites(then, follow_up.then.document)
        figures["followed standalone"] += cites(company.ask(answerer, follow_up.standalone), follow_up.then.document)
    floor = dict(zip(FIGURES, FLOORS[company.tenant_id, made.__name__], strict=True))
    assert all(figures[name] >= least for name, least in floor.items()), (figures, floor)
