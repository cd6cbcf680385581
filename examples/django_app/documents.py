"""A page of a tenant's documents on Django.

Add `UPLOADS_TO` to your settings, such as `https://*.s3.ap-northeast-1.amazonaws.com`, and
`documents_page.TEMPLATES` to the `DIRS` of your `TEMPLATES`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from examples.django_app import views
from examples.documents_page import ASSET_TYPES, ASSETS, DocumentsPage, Refused, explained, headers
from examples.documents_page.words import words_for
from examples.kbfleet_client import KbfleetProblem


def of_the_page(view: Callable[[HttpRequest, DocumentsPage], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Gives a view the page of the user who is signed in, and users what they should read of what went wrong."""

    @csrf_protect
    @login_required
    @wraps(view)
    def answered(request: HttpRequest) -> HttpResponse:
        words = words_for(request.headers.get("Accept-Language", ""))
        page = DocumentsPage(views.kbfleet(), views.tenant_of(request), words)
        sent_with = headers(words, settings.UPLOADS_TO)
        try:
            response = view(request, page)
        except (KbfleetProblem, Refused) as error:
            why = error if isinstance(error, Refused) else explained(error, words)
            if request.headers.get("Accept") == "application/json":
                response = JsonResponse({"error": why.why}, status=why.status)
            else:
                response = rendered(request, "layout", {"words": words, "error": why.why}, why.status)
            sent_with |= why.headers
        for name, value in sent_with.items():
            response[name] = value
        return response

    return answered


def rendered(request: HttpRequest, name: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    shown = {**context, "csrf": {"field": "csrfmiddlewaretoken", "token": get_token(request)}}
    return render(request, f"documents/{name}.html", shown, status=status)


@require_GET
@of_the_page
def show(request: HttpRequest, page: DocumentsPage) -> HttpResponse:
    return rendered(request, "list", page.listed(request.GET.dict()))


@require_GET
@of_the_page
def open_document(request: HttpRequest, page: DocumentsPage) -> HttpResponse:
    return redirect(page.link(request.GET.get("id", "")))


@require_http_methods(["GET", "POST"])
@of_the_page
def delete(request: HttpRequest, page: DocumentsPage) -> HttpResponse:
    if request.method == "GET":
        return rendered(request, "delete", page.to_delete(request.GET.get("id", "")))
    outcome = page.delete(request.POST.get("id", ""), erase=request.POST.get("erase") == "on")
    if isinstance(outcome, str):
        return redirect(outcome)
    return rendered(request, "delete", outcome)


@require_POST
@of_the_page
def upload(request: HttpRequest, page: DocumentsPage) -> HttpResponse:
    return JsonResponse(page.form_for(request.POST.dict()))


@require_GET
@of_the_page
def arrival(request: HttpRequest, page: DocumentsPage) -> HttpResponse:
    return JsonResponse(page.arrival(request.GET.get("id", "")))


@require_GET
def asset(_request: HttpRequest, name: str) -> FileResponse:
    """In production, whatever serves your static files does it better."""
    if name not in ASSET_TYPES:
        raise Http404
    sent_with = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return FileResponse((ASSETS / name).open("rb"), content_type=ASSET_TYPES[name], headers=sent_with)
