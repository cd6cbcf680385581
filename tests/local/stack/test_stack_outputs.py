"""A stack's outputs lead to the local API."""

from typing import Any


def test_the_address_of_a_rest_api_is_the_one_that_answers_here(aws: Any) -> None:
    api = {"Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "api"}}}
    address = {"Fn::Sub": "https://${Api}.execute-api.${AWS::Region}.amazonaws.com/v1/ask"}
    outputs = aws.deploy(api, {"Address": address, "Id": {"Ref": "Api"}}).outputs
    assert outputs["Address"] == f"{aws.configuration.aws_url}/_aws/execute-api/{outputs['Id']}/v1/ask"
