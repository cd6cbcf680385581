"""`GET /openapi.json`."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.handlers.conftest import Handler, event
from tests.support.template import REPOSITORY


def test_everybody_is_given_the_document_that_the_docs_show(handler: Callable[[str], Handler]) -> None:
    answer = handler("api/describe_api")(event("triggers/describe_api"))
    assert answer["statusCode"] == 200
    assert answer["multiValueHeaders"]["Content-Type"] == ["application/json"]
    assert json.loads(answer["body"]) == json.loads((REPOSITORY / "docs" / "openapi.json").read_text("utf-8"))


def test_an_unknown_path_is_a_problem(handler: Callable[[str], Handler]) -> None:
    answer = handler("api/describe_api")({**event("triggers/describe_api"), "path": "/nowhere", "resource": "/nowhere"})
    assert answer["statusCode"] == 404
    assert answer["multiValueHeaders"]["Content-Type"] == ["application/problem+json"]
    assert json.loads(answer["body"])["type"] == "about:blank"
