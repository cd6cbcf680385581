"""Lets a token of the form `tenant-<name>` in, and says which tenant it is."""

from typing import Any


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    token = event["authorizationToken"].removeprefix("Bearer ")
    if token == "broken":
        raise RuntimeError("cannot check the token")
    if not token.startswith("tenant-"):
        raise Exception("Unauthorized")  # noqa: TRY002 -- API Gateway goes by the message
    effect = "Deny" if token == "tenant-banned" else "Allow"
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": event["methodArn"]}
    return {
        "principalId": token,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": {"tenant": token},
        "usageIdentifierKey": f"usage-key-of-{token}",
    }
