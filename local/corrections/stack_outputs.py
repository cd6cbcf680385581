"""Outputs that hold a REST API's address hold the one that answers here.

On AWS an API is at https://<id>.execute-api.<region>.amazonaws.com/<stage> (AWS documentation, API Gateway, "Invoke
REST APIs"), and templates spell that out in their outputs. MiniStack serves it at a path of its own and gives the
output as written, which leads a reader of the stack's outputs to the real AWS.
"""

import re
from typing import Any

from ministack.services.cloudformation import stacks

from local.stack.configuration import StackConfiguration

EXECUTE_API = re.compile(r"https://([a-z0-9]+)\.execute-api\.[a-z0-9-]+\.amazonaws\.com(?=/|$)")


def apply(configuration: StackConfiguration) -> None:
    resolve_outputs = stacks._resolve_stack_outputs
    here = rf"{configuration.aws_url}/_aws/execute-api/\1"

    def resolve(*arguments: Any) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
        outputs, exports = resolve_outputs(*arguments)
        for output in outputs:
            output["OutputValue"] = EXECUTE_API.sub(here, output["OutputValue"])
        for export in exports.values():
            export["Value"] = EXECUTE_API.sub(here, export["Value"])
        return outputs, exports

    stacks._resolve_stack_outputs = resolve
