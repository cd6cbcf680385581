"""Users sign in with Django and have no token, so the back end asks for them, signed with its own AWS credentials.

Add `KBFLEET_URL` to your settings, and `path("", include("examples.django_app.urls"))` to your URLs. Each user is a
member of one group, named after the tenant's id: replace `tenant_of` by what your product knows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, wraps

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_POST

from examples.kbfleet_client import Kbfleet, KbfleetProblem

View = Callable[[HttpRequest], HttpResponse]
CONVERSATION = "kbfleet_session"


@cache
def kbfleet() -> Kbfleet:
    """Made at the first request, so that management commands need no AWS."""
    return Kbfleet(settings.KBFLEET_URL)


def tenant_of(request: HttpRequest) -> str:
    """Of the user who is signed in; nothing that the user sends counts."""
    names = list(request.user.groups.values_list("name", flat=True)[:2])
    if len(names) != 1:
        raise PermissionDenied("The user belongs to no tenant, or to several.")
    return str(names[0])


def explained(view: View) -> View:
    """Answers problems of kbfleet with what a user should read."""

    @wraps(view)
    def answered(request: HttpRequest) -> HttpResponse:
        try:
            return view(request)
        except KbfleetProblem as problem:
            if problem.status == 400:
                response = JsonResponse({"error": problem.detail}, status=400)
            elif problem.status in {429, 503}:
                text = "Too many ask at present. Try again in a moment."
                response = JsonResponse({"error": text}, status=problem.status)
            elif problem.status in {404, 409}:
                response = JsonResponse({"error": "Answers are not available to your company at present."}, status=409)
            else:
                response = JsonResponse({"error": "Answers are not available at present."}, status=502)
            if problem.retry_after is not None:
                response["Retry-After"] = str(problem.retry_after)
            return response

    return answered


@require_POST
@login_required
@explained
def ask(request: HttpRequest) -> HttpResponse:
    """The conversation is kept in the user's Django session."""
    try:
        question = json.loads(request.body)["question"]
    except (ValueError, KeyError, TypeError):
        return JsonResponse({"error": "A question is required."}, status=400)
    tenant_id, user_id = tenant_of(request), str(request.user.pk)
    earlier = request.session.get(CONVERSATION)
    try:
        answer = kbfleet().ask_for_tenant(tenant_id, question, user_id=user_id, session=earlier)
    except KbfleetProblem as problem:
        if not problem.is_("session-refused"):
            raise
        # It is over after a day, or the user has moved to another tenant: begin a new one.
        answer = kbfleet().ask_for_tenant(tenant_id, question, user_id=user_id)
    request.session[CONVERSATION] = answer["session"]
    documents = {source["document"] for each in answer["citations"] for source in each["sources"]}
    return JsonResponse({"answer": answer["answer"], "documents": sorted(documents)})


@require_POST
@login_required
@explained
def upload(request: HttpRequest) -> HttpResponse:
    """Takes a file from an HTML form, and puts it into the tenant's bucket."""
    file = request.FILES.get("document")
    if file is None:
        return JsonResponse({"error": "A document is required."}, status=400)
    form = kbfleet().grant_upload(tenant_of(request), file.name, file.size, file.content_type or "")
    kbfleet().send(form, file.read())
    return JsonResponse({"key": file.name}, status=201)
