"""A page of a tenant's documents on FastAPI.

    TOKEN_ISSUER=https://… TOKEN_AUDIENCE=… KBFLEET_URL=https://… SESSION_SECRET=… \\
        UPLOADS_TO='https://*.s3.ap-northeast-1.amazonaws.com' fastapi run examples/fastapi_documents.py

A browser that opens a page sends no token, so `POST /session` takes the user's once and keeps in a session, which is a
signed cookie, of which tenant the user is. Forms carry a word of that session, so that no other site can send them.
"""

from __future__ import annotations

import hmac
import os
import secrets
import time
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates
from starlette.middleware.base import RequestResponseEndpoint
from starlette.middleware.sessions import SessionMiddleware

from examples.documents_page import ASSET_TYPES, ASSETS, TEMPLATES, DocumentsPage, Refused, explained, headers
from examples.documents_page.words import Words, words_for
from examples.fastapi_app import Fleet, tenant_of
from examples.kbfleet_client import KbfleetProblem

templates = Jinja2Templates(TEMPLATES)
documents = APIRouter(prefix="/documents")
CSRF = "csrf"
SIGNED_IN_SECONDS = 3600


def words_of(request: Request) -> Words:
    return words_for(request.headers.get("Accept-Language", ""))


Language = Annotated[Words, Depends(words_of)]


def page_of(request: Request, fleet: Fleet, words: Language) -> DocumentsPage:
    """Of the user who is signed in."""
    if request.session.get("until", 0) < time.time():
        raise Refused(401, words.sign_in)
    return DocumentsPage(fleet, request.session["tenant_id"], words)


Page = Annotated[DocumentsPage, Depends(page_of)]


async def sent(request: Request, page: Page) -> dict[str, str]:
    """The fields of a form that this session was given, and no other site's."""
    try:
        fields = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=10))
    except ValueError as error:
        raise Refused(400, page.words.not_taken) from error
    if not hmac.compare_digest(fields.pop(CSRF, "").encode(), request.session[CSRF].encode()):
        raise Refused(403, page.words.reload)
    return fields


Sent = Annotated[dict[str, str], Depends(sent)]


@documents.get("/")
def show(request: Request, page: Page) -> Response:
    return rendered(request, "list", page.listed(request.query_params))


@documents.get("/open")
def open_document(page: Page, id: str = "") -> Response:  # noqa: A002 -- as the page calls it
    return RedirectResponse(page.link(id), 303)


@documents.get("/delete")
def ask_whether_to_delete(request: Request, page: Page, id: str = "") -> Response:  # noqa: A002
    return rendered(request, "delete", page.to_delete(id))


@documents.post("/delete")
def delete(request: Request, page: Page, fields: Sent) -> Response:
    outcome = page.delete(fields.get("id", ""), erase=fields.get("erase") == "on")
    if isinstance(outcome, str):
        return RedirectResponse(outcome, 303)
    return rendered(request, "delete", outcome)


@documents.post("/upload")
def upload(page: Page, fields: Sent) -> dict[str, Any]:
    return page.form_for(fields)


@documents.get("/arrival")
def arrival(page: Page, id: str = "") -> dict[str, Any]:  # noqa: A002
    return page.arrival(id)


@documents.get("/{name}")
def asset(name: str) -> FileResponse:
    if name not in ASSET_TYPES:
        raise HTTPException(404)
    return FileResponse(ASSETS / name, media_type=ASSET_TYPES[name], headers={"Cache-Control": "no-cache"})


def rendered(request: Request, name: str, context: dict[str, Any], status: int = 200) -> Response:
    shown = {**context, "csrf": {"field": CSRF, "token": request.session.get(CSRF, "")}}
    return templates.TemplateResponse(request, f"documents/{name}.html", shown, status)


def refused(request: Request, error: Refused | KbfleetProblem) -> Response:
    words = words_of(request)
    why = error if isinstance(error, Refused) else explained(error, words)
    if request.headers.get("Accept") == "application/json":
        response: Response = JSONResponse({"error": why.why}, why.status)
    else:
        response = rendered(request, "layout", {"words": words, "error": why.why}, why.status)
    response.headers.update(why.headers)
    return response


app = FastAPI(title="A product's documents", openapi_url=None)
app.add_middleware(SessionMiddleware, secret_key=os.environ["SESSION_SECRET"], https_only=True)
app.include_router(documents)
app.add_exception_handler(Refused, refused)  # type: ignore[arg-type]
app.add_exception_handler(KbfleetProblem, refused)  # type: ignore[arg-type]


@app.middleware("http")
async def guarded(request: Request, serve: RequestResponseEndpoint) -> Response:
    response = await serve(request)
    sent_with = headers(words_of(request), os.environ["UPLOADS_TO"])
    if "Cache-Control" in response.headers:  # the page's files may be kept
        del sent_with["Cache-Control"]
    response.headers.update(sent_with)
    return response


@app.post("/session", status_code=204)
def sign_in(request: Request, tenant_id: Annotated[str, Depends(tenant_of)]) -> None:
    """Of the user whose token this is. Whatever the browser had before is over."""
    request.session.clear()
    until = time.time() + SIGNED_IN_SECONDS
    request.session.update({"tenant_id": tenant_id, "until": until, CSRF: secrets.token_urlsafe()})
