"""The page on which a developer tries the API: offline, of one origin, and for nobody else's pages."""

import re
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest

from local.api_page import PATH
from local.identity_provider import IdentityProvider
from local.stack.configuration import TENANT_CLAIM, TOKEN_AUDIENCE


def fetch(stack: Any, path: str, form: dict[str, str] | None = None, **headers: str) -> tuple[int, str, str]:
    """Gives status, kind of content and text."""
    url = f"{stack.configuration.aws_url}{PATH}/{path}"
    data = urlencode(form).encode() if form is not None else None
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, named)) as answer:  # noqa: S310 -- our own
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read().decode()


def test_everything_that_the_page_loads_is_here(stack: Any) -> None:
    status, kind, page = fetch(stack, "")
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert "http" not in page
    loaded = re.findall(r'(?:href|src)="(?!data:)([^"]+)"', page)
    assert len(loaded) == 2
    for name in loaded:
        status, kind, text = fetch(stack, name)
        assert status == 200
        assert kind.startswith(("text/css", "text/javascript"))
        assert len(text) > 100_000


def test_it_gives_tokens_of_the_identity_provider(stack: Any) -> None:
    _, _, token = fetch(stack, "token", {"tenant": "acme", "user": "mina"})
    issuer = IdentityProvider.open(stack.configuration.token_issuer, stack.configuration.signing_key)
    key = jwt.PyJWKSet.from_dict(issuer.key_set()).keys[0]
    claims = jwt.decode(token, key, audience=TOKEN_AUDIENCE, issuer=issuer.issuer)
    assert (claims[TENANT_CLAIM], claims["sub"]) == ("acme", "mina")


def test_before_anything_is_deployed_it_says_what_to_do(stack: Any) -> None:
    status, _, text = fetch(stack, "v1/openapi.json")
    assert (status, text) == (503, "No stack is deployed yet: kbfleet-local up")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Host": "rebound.example.com"}, 403),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
    ],
)
def test_no_other_page_can_use_it(stack: Any, headers: dict[str, str], status: int) -> None:
    assert fetch(stack, "token", {"tenant": "acme", "user": "mina"}, **headers)[0] == status


def test_there_is_nothing_else(stack: Any) -> None:
    assert fetch(stack, "..%2f..%2fmain.py")[0] == 404
    assert fetch(stack, "index.html")[0] == 404
