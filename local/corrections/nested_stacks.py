"""A stack in a stack is a stack like any other.

MiniStack makes what is in it by a shorter way of its own. That one leaves everything behind where it fails, undoes no
change, keeps nothing that the template says to retain, applies no transform, and calls the oldest parent whatever
stands above. DescribeStacks does not say what a stack is in.

CloudFormation creates, updates, rolls back and deletes it as any stack, with the name `<stack>-<logical id>-<unique
id>`; where it fails, the whole does ("Embed stacks within other stacks using nested stacks", and "Name type", AWS
CloudFormation user guide; `ParentId` and `RootId` in its API reference, Stack).
"""

import re
import time
from typing import Any

from botocore.exceptions import ClientError
from ministack.services import cloudformation
from ministack.services.cloudformation import handlers, provisioners

from local.corrections.cloudformation_types import Made, Properties, ResourceType, clients_of
from local.stack.configuration import StackConfiguration

Answer = tuple[int, dict[str, str], bytes]
_POLL_SECONDS = 0.1
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


def apply(configuration: StackConfiguration) -> None:
    nested = NestedStack(clients_of(configuration))
    provisioners._RESOURCE_HANDLERS["AWS::CloudFormation::Stack"] = {
        "create": nested.create,
        "update": nested.update,
        "delete": nested.delete,
    }
    describe = handlers._describe_stacks
    handlers._ACTION_HANDLERS["DescribeStacks"] = lambda parameters: _with_parents(describe(parameters))


class NestedStack(ResourceType):
    """A stack; no property replaces it."""

    @property
    def _api(self) -> Any:
        return self._clients("cloudformation")

    def create(self, logical_id: str, properties: Properties, stack: str) -> Made:
        name = provisioners._physical_name(stack, logical_id)
        identifier = self._api.create_stack(StackName=name, **_given(properties))["StackId"]
        parent = cloudformation._stacks[stack]
        parents = {"ParentId": parent["StackId"], "RootId": parent.get("RootId", parent["StackId"])}
        cloudformation._stacks[name].update(parents)
        made = self._ended(identifier)
        if made["StackStatus"] != "CREATE_COMPLETE":
            self.delete(identifier, properties)
            raise ValueError(self._reason(made, "created"))
        return identifier, _outputs(made)

    def must_replace(self, old: Properties, new: Properties) -> bool:  # noqa: ARG002
        return False

    def change(self, physical_id: str, properties: Properties) -> Made:
        try:
            self._api.update_stack(StackName=physical_id, **_given(properties))
        except ClientError as error:
            # As CloudFormation has it, a part in which nothing changes is well.
            if "No updates are to be performed" not in error.response["Error"]["Message"]:
                raise
            return physical_id, _outputs(self._ended(physical_id))
        changed = self._ended(physical_id)
        if changed["StackStatus"] != "UPDATE_COMPLETE":
            raise ValueError(self._reason(changed, "updated"))
        return physical_id, _outputs(changed)

    def delete(self, physical_id: str, properties: Properties) -> None:  # noqa: ARG002
        self._api.delete_stack(StackName=physical_id)
        deleted = self._ended(physical_id)
        if deleted["StackStatus"] != "DELETE_COMPLETE":
            raise ValueError(self._reason(deleted, "deleted"))

    def _ended(self, identifier: str) -> dict[str, Any]:
        """The stack, once nothing is under way in it."""
        while True:
            described: dict[str, Any] = self._api.describe_stacks(StackName=identifier)["Stacks"][0]
            if not described["StackStatus"].endswith("IN_PROGRESS"):
                return described
            time.sleep(_POLL_SECONDS)

    def _reason(self, stack: dict[str, Any], done: str) -> str:
        events = self._api.describe_stack_events(StackName=stack["StackId"])["StackEvents"]
        failed = [each for each in events if each["ResourceStatus"].endswith("_FAILED")]
        causes = "; ".join(f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason', '')}" for each in failed)
        return f"Embedded stack {stack['StackId']} was not successfully {done}: {causes or stack['StackStatus']}"


def _given(properties: Properties) -> dict[str, Any]:
    """What CreateStack and UpdateStack are given."""
    parameters = properties.get("Parameters", {}).items()
    return {
        "TemplateURL": properties["TemplateURL"],
        "Parameters": [{"ParameterKey": key, "ParameterValue": str(value)} for key, value in parameters],
        "Tags": [tag for tag in properties.get("Tags", []) if not tag["Key"].startswith("aws:")],
        "Capabilities": _CAPABILITIES,
    }


def _outputs(stack: dict[str, Any]) -> dict[str, str]:
    return {f"Outputs.{each['OutputKey']}": each["OutputValue"] for each in stack.get("Outputs", [])}


def _with_parents(answer: Answer) -> Answer:
    status, headers, body = answer

    def placed(match: re.Match[str]) -> str:
        stack = handlers._resolve_stack(match[1]) or {}
        return match[0] + "".join(f"<{key}>{stack[key]}</{key}>" for key in ("ParentId", "RootId") if key in stack)

    return status, headers, re.sub("<StackId>([^<]+)</StackId>", placed, body.decode()).encode()
