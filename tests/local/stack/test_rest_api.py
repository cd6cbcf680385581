"""A REST API answers errors with its own gateway responses, knows callers by their authorizer's key, and takes paths as
they are sent."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

AUTHORIZER = """
def handler(event, context):
    token = event["authorizationToken"]
    if token == "nobody": raise Exception("Unauthorized")
    statement = {"Action": "execute-api:Invoke", "Resource": event["methodArn"],
                 "Effect": "Deny" if token == "banned" else "Allow"}
    return {"principalId": token, "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
            "context": {"tenant": token}, "usageIdentifierKey": "usage-key-of-" + token}
"""
ANSWER = """
import json
def handler(event, context):
    return {"statusCode": 200, "body": json.dumps(event["requestContext"]["authorizer"])}
"""
PROBLEM = {"gatewayresponse.header.Content-Type": "'application/problem+json'"}


@dataclass(frozen=True)
class Api:
    url: str
    identifier: str

    def ask(self, token: str | None, **headers: str) -> tuple[int, dict[str, str], Any]:
        """Status, headers and body of the answer to a request."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            given["Authorization"] = token
        try:
            response = urllib.request.urlopen(urllib.request.Request(self.url, headers=given))  # noqa: S310
        except urllib.error.HTTPError as error:
            response = error
        with response:
            return response.status, dict(response.headers), json.load(response)


def function_uri(aws: Any, name: str) -> str:
    arn = f"arn:aws:lambda:us-east-1:{aws.configuration.account}:function:{name}"
    return f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}/invocations"


@pytest.fixture
def api(aws: Any) -> Api:
    """An API with an authorizer whose keys count, and problem details for its errors."""
    body = {
        "openapi": "3.0.1",
        "info": {"title": f"api-{uuid4().hex[:8]}", "version": "1"},
        "paths": {
            "/ask": {
                "get": {
                    "security": [{"token": [], "api_key": []}],
                    "x-amazon-apigateway-integration": {
                        "type": "aws_proxy",
                        "httpMethod": "POST",
                        "uri": function_uri(aws, aws.make_function(ANSWER)),
                    },
                }
            }
        },
        "components": {
            "securitySchemes": {
                "api_key": {"type": "apiKey", "name": "x-api-key", "in": "header"},
                "token": {
                    "type": "apiKey",
                    "name": "Authorization",
                    "in": "header",
                    "x-amazon-apigateway-authtype": "custom",
                    "x-amazon-apigateway-authorizer": {
                        "type": "token",
                        "authorizerUri": function_uri(aws, aws.make_function(AUTHORIZER)),
                        "authorizerResultTtlInSeconds": 300,
                    },
                },
            }
        },
        "x-amazon-apigateway-gateway-responses": {
            "UNAUTHORIZED": {
                "statusCode": 401,
                "responseParameters": {**PROBLEM, "gatewayresponse.header.WWW-Authenticate": "'Bearer'"},
                "responseTemplates": {"application/json": '{"title":"Unauthorized","instance":"$context.requestId"}'},
            },
            "ACCESS_DENIED": {
                "statusCode": 403,
                "responseParameters": PROBLEM,
                "responseTemplates": {"application/json": '{"title":"Forbidden"}'},
            },
            "DEFAULT_4XX": {
                "responseParameters": PROBLEM,
                "responseTemplates": {
                    "application/json": '{"title":$context.error.messageString,"kind":"$context.error.responseType"}'
                },
            },
        },
    }
    resources = {
        "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Body": body, "ApiKeySourceType": "AUTHORIZER"}},
        "Deployment": {"Type": "AWS::ApiGateway::Deployment", "Properties": {"RestApiId": {"Ref": "Api"}}},
        "Stage": {
            "Type": "AWS::ApiGateway::Stage",
            "Properties": {"RestApiId": {"Ref": "Api"}, "DeploymentId": {"Ref": "Deployment"}, "StageName": "v1"},
        },
    }
    identifier = aws.deploy(resources, {"Id": {"Ref": "Api"}}).outputs["Id"]
    return Api(f"{aws.configuration.aws_url}/_aws/execute-api/{identifier}/v1/ask", identifier)


def give_key(aws: Any, api: Api, token: str, *, per_day: int = 1000) -> str:
    """Lets the tenant of a token in, with a usage plan of its own; gives the key."""
    client = aws.client("apigateway")
    value = f"usage-key-of-{token}"
    key = client.create_api_key(name=token, value=value, enabled=True)
    plan = client.create_usage_plan(
        name=f"plan-{uuid4().hex[:8]}",
        apiStages=[{"apiId": api.identifier, "stage": "v1"}],
        quota={"limit": per_day, "period": "DAY"},
    )
    client.create_usage_plan_key(usagePlanId=plan["id"], keyId=key["id"], keyType="API_KEY")
    return value


def tenant() -> str:
    return f"tenant-{uuid4().hex[:12]}"


def test_the_authorizers_key_lets_a_tenant_in(aws: Any, api: Api) -> None:
    token = tenant()
    give_key(aws, api, token)
    # Twice: the second time the authorizer's answer comes from the cache.
    for _ in range(2):
        status, _, body = api.ask(token)
        assert (status, body.get("tenant")) == (200, token)
        assert set(body) == {"tenant", "principalId"}


def test_a_key_in_the_header_does_not_count(aws: Any, api: Api) -> None:
    other = tenant()
    key = give_key(aws, api, other)
    status, headers, body = api.ask(tenant(), x_api_key=key)
    assert (status, body.get("kind")) == (403, "INVALID_API_KEY")
    assert headers["Content-Type"] == "application/problem+json"


def test_each_tenant_has_a_quota_of_its_own(aws: Any, api: Api) -> None:
    first, second = tenant(), tenant()
    give_key(aws, api, first, per_day=1)
    give_key(aws, api, second, per_day=1)
    assert [api.ask(token)[0] for token in (first, first, second)] == [200, 429, 200]


def test_a_missing_or_refused_token_is_a_problem_with_a_challenge(aws: Any, api: Api) -> None:
    for token in (None, "nobody"):
        status, headers, body = api.ask(token)
        assert (status, body.get("title")) == (401, "Unauthorized")
        assert headers["Content-Type"] == "application/problem+json"
        assert headers["WWW-Authenticate"] == "Bearer"
        assert body["instance"] == headers["x-amzn-requestid"]


def test_a_denying_policy_is_a_problem(aws: Any, api: Api) -> None:
    status, headers, body = api.ask("banned")
    assert (status, body.get("title"), headers["Content-Type"]) == (403, "Forbidden", "application/problem+json")


ECHO = """
import json
def handler(event, context):
    given = {name: event[name] for name in ("resource", "path", "pathParameters")}
    return {"statusCode": 200, "body": json.dumps(given)}
"""


def api_of_paths(aws: Any, *paths: str) -> dict[str, Any]:
    """The resources of an API that echoes at these paths."""
    integration = {"type": "aws_proxy", "httpMethod": "POST", "uri": function_uri(aws, aws.make_function(ECHO))}
    echo = {"get": {"x-amazon-apigateway-integration": integration}}
    title = f"api-{uuid4().hex[:8]}"
    body = {"openapi": "3.0.1", "info": {"title": title, "version": "1"}, "paths": dict.fromkeys(paths, echo)}
    return {
        "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Body": body}},
        "Deployment": {"Type": "AWS::ApiGateway::Deployment", "Properties": {"RestApiId": {"Ref": "Api"}}},
        "Stage": {
            "Type": "AWS::ApiGateway::Stage",
            "Properties": {"RestApiId": {"Ref": "Api"}, "DeploymentId": {"Ref": "Deployment"}, "StageName": "v1"},
        },
    }


def test_a_path_is_taken_as_it_is_sent(aws: Any) -> None:
    resources = api_of_paths(aws, "/tenants/{tenant_id}", "/tenants/{tenant_id}/suspension")
    identifier = aws.deploy(resources, {"Id": {"Ref": "Api"}}).outputs["Id"]
    stage = f"{aws.configuration.aws_url}/_aws/execute-api/{identifier}/v1"
    for tenant_id in ("acme", "acme%2Fsuspension", "acme%0a", "%61cme"):
        with urllib.request.urlopen(f"{stage}/tenants/{tenant_id}") as response:  # noqa: S310 -- http on loopback
            assert json.load(response) == {
                "resource": "/tenants/{tenant_id}",
                "path": f"/tenants/{tenant_id}",
                "pathParameters": {"tenant_id": tenant_id},
            }


def test_an_update_leaves_the_api_at_its_address(aws: Any) -> None:
    made = aws.deploy(api_of_paths(aws, "/before"), {"Id": {"Ref": "Api"}})
    changed = aws.deploy(api_of_paths(aws, "/before", "/after"), {"Id": {"Ref": "Api"}}, stack=made.name)
    assert changed.outputs == made.outputs
    stage = f"{aws.configuration.aws_url}/_aws/execute-api/{made.outputs['Id']}/v1"
    for path in ("/before", "/after"):
        with urllib.request.urlopen(f"{stage}{path}") as response:  # noqa: S310 -- http on loopback
            assert json.load(response)["path"] == path
