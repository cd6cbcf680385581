"""Trigger: `/tenants/{tenant_id}/questions` and `/questions`, signed with IAM. Tenants' golden questions, and what came
of asking them.

It is a function of its own because it reads and writes texts of tenants; and it asks nothing itself.
"""

import secrets
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.contracts import parse_json
from kbfleet.contracts.questions import (
    QuestionRunRequest,
    QuestionRunsBody,
    QuestionRunsQuery,
    QuestionsBody,
    QuestionsRequest,
    QuestionStandsBody,
    QuestionStandsQuery,
    RequestedRunBody,
)
from kbfleet.domain.names import TenantId
from kbfleet.domain.questions import QuestionId
from kbfleet.logs import logger
from kbfleet.responses import HttpResponse, respond
from kbfleet.routing import Request, Route, dispatch, path_parameter
from kbfleet.usecases.questions import add_questions, question_stands, remove_question, request_run


def _tenant_id(request: Request) -> TenantId:
    return TenantId(path_parameter(request, "tenant_id"))


def _new_id() -> QuestionId:
    return QuestionId(f"q{secrets.token_hex(5)}")


def get_questions(request: Request) -> HttpResponse:
    tenant = bootstrap.registry().get(_tenant_id(request))
    return respond(QuestionsBody.from_domain(bootstrap.golden_questions().find(tenant.this_life)))


def post_questions(request: Request) -> HttpResponse:
    """Adds questions, or has them take the place of others; all of them, or none."""
    valid = _tenant_id(request)
    drafts = parse_json(QuestionsRequest, request["body"]).to_domain()
    questions = add_questions(
        valid,
        drafts,
        registry=bootstrap.registry(),
        stores=bootstrap.stores(),
        questions=bootstrap.golden_questions(),
        runs=bootstrap.question_runs(),
        new_id=_new_id,
    )
    # Texts of a tenant stay out of the log.
    logger.info("Questions are added", tenant_id=valid, given=len(drafts), questions=len(questions.questions))
    return respond(QuestionsBody.from_domain(questions))


def delete_question(request: Request) -> HttpResponse:
    valid, question_id = _tenant_id(request), QuestionId(path_parameter(request, "question"))
    questions = remove_question(
        valid,
        question_id,
        registry=bootstrap.registry(),
        questions=bootstrap.golden_questions(),
        runs=bootstrap.question_runs(),
    )
    logger.info("A question is removed", tenant_id=valid, question=question_id)
    return respond(QuestionsBody.from_domain(questions))


def post_question_run(request: Request) -> HttpResponse:
    """Has all of them asked soon; a body need not be there."""
    valid = _tenant_id(request)
    body = parse_json(QuestionRunRequest, request["body"] or "{}")
    requested = request_run(
        valid,
        answers=body.answers,
        registry=bootstrap.registry(),
        questions=bootstrap.golden_questions(),
        runs=bootstrap.question_runs(),
        clock=bootstrap.clock(),
    )
    logger.info("A run of questions is requested", tenant_id=valid, answers=requested.answers)
    return respond(
        RequestedRunBody(tenant_id=valid, requested_at=requested.at, answers=requested.answers), HTTPStatus.ACCEPTED
    )


def get_question_runs(request: Request, query: QuestionRunsQuery) -> HttpResponse:
    """The newest runs, and the one that is being made."""
    tenant = bootstrap.registry().get(_tenant_id(request))
    watches = bootstrap.question_watches()
    # In this order: a run that ends in between is seen.
    watch = watches.find(tenant.this_life)
    return respond(QuestionRunsBody.from_domain(watch, watches.runs(tenant.this_life, query.limit)))


def get_question_stands(_request: Request, query: QuestionStandsQuery) -> HttpResponse:
    """How the golden questions of all tenants stand, a page of them."""
    page = question_stands(
        after=query.after, limit=query.limit, registry=bootstrap.registry(), watches=bootstrap.question_watches()
    )
    return respond(QuestionStandsBody.from_page(page.watches, page.last))


ROUTES = {
    ("GET", "/questions"): Route(get_question_stands, QuestionStandsQuery),
    ("GET", "/tenants/{tenant_id}/questions"): Route(get_questions),
    ("POST", "/tenants/{tenant_id}/questions"): Route(post_questions),
    ("DELETE", "/tenants/{tenant_id}/questions/{question}"): Route(delete_question),
    ("GET", "/tenants/{tenant_id}/questions/runs"): Route(get_question_runs, QuestionRunsQuery),
    ("POST", "/tenants/{tenant_id}/questions/runs"): Route(post_question_run),
}


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    return dispatch(event, ROUTES)
