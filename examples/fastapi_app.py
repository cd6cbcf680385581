"""A FastAPI back end whose users sign in with OpenID Connect: it passes their tokens on to kbfleet.

    TOKEN_ISSUER=https://… TOKEN_AUDIENCE=… KBFLEET_URL=https://… fastapi run examples/fastapi_app.py

Issuer, audience and claim are those of the stack's parameters TokenIssuer, TokenAudience and TokenTenantClaim.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field

from examples.kbfleet_client import Kbfleet, KbfleetProblem, UploadForm

app = FastAPI(title="A product with answers")
Bearer = Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]


@cache
def kbfleet() -> Kbfleet:
    """Made at the first request, so that importing this needs no AWS."""
    return Kbfleet(os.environ["KBFLEET_URL"])


@cache
def keys() -> jwt.PyJWKClient:
    return jwt.PyJWKClient(f"{os.environ['TOKEN_ISSUER']}/.well-known/jwks.json")


Fleet = Annotated[Kbfleet, Depends(kbfleet)]
Keys = Annotated[jwt.PyJWKClient, Depends(keys)]


class Question(BaseModel):
    question: str = Field(min_length=1, max_length=1000)
    session: str | None = None


class NewDocument(BaseModel):
    key: str
    size: int
    content_type: str = ""


# Plain functions: FastAPI runs them in threads, which is right for a client that blocks.
@app.post("/questions")
def ask(asked: Question, bearer: Bearer, fleet: Fleet) -> dict[str, Any]:
    """kbfleet verifies the token itself, so nothing of it is looked at here."""
    answer = fleet.ask(asked.question, token=bearer.credentials, session=asked.session)
    return {
        "answer": answer["answer"],
        "documents": sorted({source["document"] for each in answer["citations"] for source in each["sources"]}),
        "session": answer["session"],
        "up_to_date": not answer["freshness"]["pending_changes"],
    }


def tenant_of(bearer: Bearer, published: Keys) -> str:
    """The tenant that a verified token names. Uploads are signed by the back end, so it must know for whom."""
    try:
        claims = jwt.decode(
            bearer.credentials,
            published.get_signing_key_from_jwt(bearer.credentials),
            algorithms=["RS256"],
            audience=os.environ["TOKEN_AUDIENCE"],
            issuer=os.environ["TOKEN_ISSUER"],
            options={"require": ["exp", "sub"]},
        )
        return str(claims[os.environ.get("TOKEN_TENANT_CLAIM", "custom:tenant_id")])
    except jwt.PyJWKClientConnectionError as error:
        raise HTTPException(503, "Sign-in is not available at present.", {"Retry-After": "5"}) from error
    except (jwt.PyJWTError, KeyError) as error:
        raise HTTPException(401, "Sign in, please.", {"WWW-Authenticate": "Bearer"}) from error


@app.post("/documents", status_code=201)
def upload(document: NewDocument, tenant_id: Annotated[str, Depends(tenant_of)], fleet: Fleet) -> UploadForm:
    """The form goes to whoever holds the document, so that it does not pass through the back end."""
    return fleet.grant_upload(tenant_id, document.key, document.size, document.content_type)


@app.exception_handler(KbfleetProblem)
def explained(_request: Request, problem: KbfleetProblem) -> JSONResponse:
    """What a user reads. Details stay in the logs."""
    headers = {} if problem.retry_after is None else {"Retry-After": str(problem.retry_after)}
    if problem.is_("token-refused"):
        return JSONResponse({"error": "Sign in, please."}, 401, headers | {"WWW-Authenticate": "Bearer"})
    if problem.is_("session-refused"):
        return JSONResponse({"error": "The conversation is over. Begin a new one."}, 409, headers)
    if problem.is_("quota-exceeded"):
        return JSONResponse({"error": "All questions of this month are used up."}, 429, headers)
    if problem.status in {429, 503}:
        return JSONResponse({"error": "Too many ask at present. Try again in a moment."}, problem.status, headers)
    if problem.status == 400:
        return JSONResponse({"error": problem.detail}, 400, headers)
    if problem.status in {403, 404, 409}:
        return JSONResponse({"error": "Answers are not available to your company at present."}, 409, headers)
    return JSONResponse({"error": "Answers are not available at present."}, 502, headers)
