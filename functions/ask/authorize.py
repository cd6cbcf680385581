"""Trigger: API Gateway's TOKEN authorizer. Says which tenant asks; nothing else in a request can."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from kbfleet import bootstrap
from kbfleet.domain.errors import TenantClaimMissing, TokenRefused
from kbfleet.telemetry import logger, tracer

_SCHEME = "bearer "


def _policy(effect: str, method_arn: str, tenant_id: str = "") -> dict[str, Any]:
    """For every method of this API's stage, because API Gateway caches the answer for the token, not for the path."""
    api_and_stage = "/".join(method_arn.split("/")[:2])
    return {
        "principalId": tenant_id or "unknown",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Action": "execute-api:Invoke", "Effect": effect, "Resource": f"{api_and_stage}/*"}],
        },
        "context": {"tenant_id": tenant_id},
    }


@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler(capture_response=False)
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    header: str = event.get("authorizationToken", "")
    token = header[len(_SCHEME) :] if header.lower().startswith(_SCHEME) else ""
    try:
        tenant_id = bootstrap.token_verifier().tenant_of(token)
    except TokenRefused as error:
        logger.warning("The token was refused", reason=str(error))
        # API Gateway answers 401 for exactly this message. Source: AWS documentation, Output from a Lambda authorizer.
        raise Exception("Unauthorized") from error  # noqa: TRY002
    except TenantClaimMissing as error:
        logger.warning("The token names no tenant", reason=str(error))
        return _policy("Deny", event["methodArn"])
    return _policy("Allow", event["methodArn"], tenant_id)
