"""What Bedrock may do with the service role of a knowledge base, evaluated of MiniStack's IAM.

When the role is assumed: its trust policy, with the condition keys that Bedrock's request has. At every use: its inline
and attached policies and its permissions boundary as they are at that moment, explicit denies, and the policy of the
bucket. The session's own requests have neither `aws:SourceArn` nor `aws:SourceAccount`: those stand in requests that a
service makes itself (IAM user guide, AWS global condition context keys).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ministack.core import iam_evaluator
from ministack.services import iam, tagging

from bedrock_emulator import Emulator
from local.stack.configuration import StackConfiguration

BEDROCK = "bedrock.amazonaws.com"


class StackAuthority:
    """The authority over the roles of the stack's IAM (`bedrock_emulator.Authority`)."""

    def __init__(self, configuration: StackConfiguration) -> None:
        self._account = configuration.account
        self._region = configuration.region

    def assume(self, role_arn: str, source_arn: str, source_account: str) -> _Session | None:
        role = iam._roles.get_scoped(self._account, None, role_arn.rpartition("/")[2])
        if role is None or role["Arn"] != role_arn:
            return None
        request = {
            "aws:sourcearn": source_arn,
            "aws:sourceaccount": source_account,
            "aws:principalisawsservice": "true",
            "aws:principalservicename": BEDROCK,
        }
        context = iam_evaluator.EvalContext(
            principal_arn=BEDROCK,
            principal_type="Service",
            principal_account="",
            action="sts:AssumeRole",
            resource_arn=role_arn,
            region=self._region,
            secure_transport=True,
            service_context=request,
        )
        trust = iam_evaluator.evaluate_resource_policy(role["AssumeRolePolicyDocument"], context, service=BEDROCK)
        return _Session(role, self._account, self._region) if trust.decision == "Allow" else None


class _Session:
    def __init__(self, role: Mapping[str, Any], account: str, region: str) -> None:
        self._name = str(role["RoleName"])
        self._tags = {f"aws:principaltag/{tag['Key']}".lower(): tag["Value"] for tag in role.get("Tags") or []}
        self._account = account
        self._region = region

    def may(self, action: str, resource: str, conditions: Mapping[str, str]) -> bool:
        policies = iam_evaluator._gather_role_policies(self._name, self._account)
        limits = iam_evaluator._permissions_boundary(iam._roles, self._name, self._account)
        request: dict[str, Any] = {key.lower(): value for key, value in conditions.items()}
        request["aws:tagkeys"] = None
        if iam_evaluator._names_condition_key(policies, "aws:resourcetag/"):
            tags = tagging.resource_tags(resource) or {}
            request |= {f"aws:resourcetag/{name}".lower(): value for name, value in tags.items()}
        context = iam_evaluator.EvalContext(
            principal_arn=f"arn:aws:sts::{self._account}:assumed-role/{self._name}/bedrock",
            principal_type="AssumedRole",
            principal_account=self._account,
            action=action,
            resource_arn=resource,
            region=self._region,
            secure_transport=True,
            service_context=request,
            principal_keys=self._tags,
        )
        result = iam_evaluator.evaluate(context, policies, *limits)
        of_resource = iam_evaluator._resource_policy(action.partition(":")[0], resource)
        if of_resource is not None:
            result = iam_evaluator.combine_resource_policy(result, context, *of_resource, limits=limits)
        return bool(result.decision == "Allow")


def tell_of_new_roles(emulator: Emulator) -> None:
    """Lets the emulator know how new a role is; one that a template makes is old."""
    create_role = iam._IAM_HANDLERS["CreateRole"]

    def create_and_tell(parameters: Any) -> Any:
        answer = create_role(parameters)
        if answer[0] == 200:
            emulator.role_made(iam._roles[iam._p(parameters, "RoleName")]["Arn"])
        return answer

    iam._IAM_HANDLERS["CreateRole"] = create_and_tell
