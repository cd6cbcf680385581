"""To a resource server the identity provider is like a real one; it signs wrong tokens if asked to."""

import json
import ssl
import stat
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import jwt
import pytest

from local.identity_provider import IdentityProvider
from local.stack.configuration import TENANT_CLAIM, TOKEN_AUDIENCE


@pytest.fixture
def provider(stack: Any) -> IdentityProvider:
    """The provider of the running stack, opened beside it as the command line does."""
    return IdentityProvider.open(stack.configuration.token_issuer, stack.configuration.signing_key)


@pytest.fixture
def trust(stack: Any) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(stack.configuration.trust_bundle))


def read(token: str, provider: IdentityProvider, trust: ssl.SSLContext, audience: str = TOKEN_AUDIENCE) -> Any:
    """Verifies a token as a resource server does that knows nothing but the issuer."""
    discovery = f"{provider.issuer}/.well-known/openid-configuration"
    with urllib.request.urlopen(discovery, context=trust) as response:  # noqa: S310
        discovered = json.load(response)
    keys = jwt.PyJWKClient(discovered["jwks_uri"], ssl_context=trust)
    key = keys.get_signing_key_from_jwt(token)
    return jwt.decode(token, key, algorithms=["RS256"], audience=audience, issuer=discovered["issuer"])


def test_a_token_can_be_verified_by_discovery_alone(provider: IdentityProvider, trust: ssl.SSLContext) -> None:
    claims = read(provider.mint("acme", roles=["reader"]), provider, trust)
    assert (claims[TENANT_CLAIM], claims["roles"], claims["sub"]) == ("acme", ["reader"], "developer")


def test_an_expired_token_is_refused(provider: IdentityProvider, trust: ssl.SSLContext) -> None:
    with pytest.raises(jwt.ExpiredSignatureError):
        read(provider.mint("acme", expires_in=-1), provider, trust)


def test_a_token_for_another_audience_or_of_another_issuer_is_refused(
    provider: IdentityProvider, trust: ssl.SSLContext
) -> None:
    with pytest.raises(jwt.InvalidAudienceError):
        read(provider.mint("acme", audience="another"), provider, trust)
    with pytest.raises(jwt.MissingRequiredClaimError):
        read(provider.mint("acme", audience=None), provider, trust)
    with pytest.raises(jwt.InvalidIssuerError):
        read(provider.mint("acme", iss="https://another.example"), provider, trust)


def test_a_token_need_not_name_a_tenant(provider: IdentityProvider, trust: ssl.SSLContext) -> None:
    assert TENANT_CLAIM not in read(provider.mint(None), provider, trust)


def test_a_token_of_an_unknown_key_is_refused(provider: IdentityProvider, trust: ssl.SSLContext) -> None:
    with pytest.raises(jwt.PyJWKClientError):
        read(provider.mint("acme", key_id="unknown"), provider, trust)


def test_a_token_that_another_key_signed_is_refused(
    provider: IdentityProvider, trust: ssl.SSLContext, tmp_path: Path
) -> None:
    forger = IdentityProvider.open(provider.issuer, tmp_path / "key.pem")
    with pytest.raises(jwt.InvalidSignatureError):
        read(forger.mint("acme", key_id=provider.key_id), provider, trust)


def test_the_key_outlives_the_process_and_is_for_the_user_only(tmp_path: Path) -> None:
    file = tmp_path / "state" / "key.pem"
    first = IdentityProvider.open("https://issuer.example", file)
    assert IdentityProvider.open("https://issuer.example", file).key_id == first.key_id
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_certificate_is_not_trusted_without_the_local_authority(provider: IdentityProvider) -> None:
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(  # noqa: S310
            f"{provider.issuer}/.well-known/jwks.json", context=ssl.create_default_context()
        )


def test_a_function_trusts_the_identity_provider(stack: Any, provider: IdentityProvider) -> None:
    code = (
        "import json, urllib.request\n"
        "def handler(event, context): return json.load(urllib.request.urlopen(event))['keys'][0]['kid']"
    )
    url = f"{provider.issuer}/.well-known/jwks.json"
    assert stack.invoke(stack.make_function(code), url) == (None, provider.key_id)
