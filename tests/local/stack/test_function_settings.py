"""What a template says about a function's concurrency and recursion holds."""

from typing import Any

CODE = "def handler(event, context): return event"


def function(**properties: Any) -> dict[str, Any]:
    required = {"Runtime": "python3.13", "Handler": "index.handler", "Code": {"ZipFile": CODE}}
    role = "arn:aws:iam::000000000000:role/any"
    return {"Function": {"Type": "AWS::Lambda::Function", "Properties": {**required, "Role": role, **properties}}}


def settings(aws: Any, name: str) -> tuple[int | None, str]:
    functions = aws.client("lambda")
    reserved = functions.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
    return reserved, functions.get_function_recursion_config(FunctionName=name)["RecursiveLoop"]


def test_a_template_sets_changes_and_removes_them(aws: Any) -> None:
    output = {"Name": {"Ref": "Function"}}
    made = aws.deploy(function(ReservedConcurrentExecutions=2, RecursiveLoop="Allow"), output)
    assert settings(aws, made.outputs["Name"]) == (2, "Allow")
    aws.deploy(function(ReservedConcurrentExecutions=1, RecursiveLoop="Terminate"), output, stack=made.name)
    assert settings(aws, made.outputs["Name"]) == (1, "Terminate")
    aws.deploy(function(), output, stack=made.name)
    assert settings(aws, made.outputs["Name"]) == (None, "Terminate")
