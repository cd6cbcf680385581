"""Trigger: API Gateway's TOKEN authorizer. Says for whom a request speaks; nothing else in a request can.

A token that proves nothing is answered 401, which API Gateway does not cache (reported by users): each such request
invokes this function. Denying it instead would be cached, but for that one token only, which costs a flood nothing to
change; and the caller would learn 403 instead of the challenge that makes clients renew a token. A flood is bounded
otherwise: what does not look like a token never gets here (the authorizer's validation expression), and none makes this
function fetch the issuer's keys more than twice a minute. A genuine token without a tenant is denied, which is cached.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.domain.errors import TenantClaimMissing, TokenRefused
from kbfleet.logs import logger

_SCHEME = "bearer "


def _policy(effect: str, method_arn: str, principal: str) -> dict[str, Any]:
    """For every method of this API's stage, because API Gateway caches the answer for the token, not for the path."""
    api_and_stage = "/".join(method_arn.split("/")[:2])
    return {
        "principalId": principal,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Action": "execute-api:Invoke", "Effect": effect, "Resource": f"{api_and_stage}/*"}],
        },
    }


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    header: str = event.get("authorizationToken", "")
    token = header[len(_SCHEME) :] if header.lower().startswith(_SCHEME) else ""
    try:
        caller = bootstrap.token_verifier().verify(token)
    except TokenRefused as error:
        logger.warning("The token was refused", reason=str(error))
        # API Gateway answers 401 for exactly this message. Source: AWS documentation, Output from a Lambda authorizer.
        raise Exception("Unauthorized") from error  # noqa: TRY002
    except TenantClaimMissing as error:
        logger.warning("The token names no tenant", reason=str(error))
        return _policy("Deny", event["methodArn"], "unknown")
    # A life has a usage key of its own. Whether the tenant may ask at all, the ask function says.
    life = bootstrap.askable_tenant_records().life(caller.tenant_id)
    return {
        **_policy("Allow", event["methodArn"], caller.tenant_id),
        "context": {"tenant_id": caller.tenant_id, "user_id": caller.user_id},
        "usageIdentifierKey": bootstrap.fleet().names.usage_key(life).value,
    }
