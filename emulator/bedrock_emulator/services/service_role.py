"""What Bedrock does with a knowledge base's service role, each use asked of the account's authority.

Actions: AWS documentation, "Create a service role for Amazon Bedrock Knowledge Bases"; that a search needs GetVectors
beside QueryVectors is said by Amazon S3 Vectors, which returns metadata, and so a passage's text, only with both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from bedrock_emulator.account import Account, index_key
from bedrock_emulator.services.opensearch_serverless import admits
from bedrock_emulator.wire.errors import ServiceError, validation
from bedrock_emulator.world.authority import RoleSession
from bedrock_emulator.world.models import ENDED, has_ended
from bedrock_emulator.world.records import KnowledgeBase

NOT_ASSUMABLE = "Bedrock Knowledge Base was unable to assume the given role"
FORBIDDEN_COLLECTION = "Request failed: [security_exception] 403 Forbidden"
_NO_CONDITIONS: Mapping[str, str] = {}


class DeniedError(Exception):
    """The role may not be assumed, or may not do what it is needed for; the message says which."""


class IndexUse(Enum):
    """What a vector index is used for: the actions of S3 Vectors, and the permission of OpenSearch Serverless."""

    # A missing DeleteVectors shows in a later sync only, users report.
    CREATION = (("GetIndex", "QueryVectors", "PutVectors"), "aoss:DescribeIndex")
    WRITING = (("PutVectors",), "aoss:WriteDocument")
    DELETION = (("DeleteVectors",), "aoss:WriteDocument")
    SEARCH = (("QueryVectors", "GetVectors"), "aoss:ReadDocument")


@dataclass(frozen=True)
class ServiceRole:
    """A role that Bedrock has assumed. ``session`` is None where nobody is asked; ``task`` names the session."""

    account: Account
    arn: str
    session: RoleSession | None
    task: str

    def check(self, action: str, resource: str, service: str, conditions: Mapping[str, str] = _NO_CONDITIONS) -> None:
        """DeniedError when the role may not. ``service`` is what the refusing service is called in messages."""
        if self.session is not None and not self.session.may(action, resource, conditions):
            # As a user recorded it of an ingestion job: github.com/aws-ia/terraform-aws-bedrock/issues/41.
            name = self.arn.rpartition("/")[2]
            session = f"arn:aws:sts::{self.account.account}:assumed-role/{name}/{self.task}"
            raise DeniedError(
                f'User: {session} is not authorized to perform: {action} on resource: "{resource}" '
                f"because no identity-based policy allows the {action} action (Service: {service}, Status Code: 403)"
            )

    def check_model(self, configuration: Mapping[str, Any]) -> None:
        """DeniedError when the embedding model of a ``knowledgeBaseConfiguration`` may not be invoked."""
        vector = configuration.get("vectorKnowledgeBaseConfiguration")
        if vector is not None:
            self._check_invocable(vector["embeddingModelArn"])

    def check_parsing_model(self, model: str) -> None:
        """DeniedError when the model that parses documents may not be invoked."""
        self._check_invocable(model)

    def _check_invocable(self, model: str) -> None:
        self.check("bedrock:InvokeModel", model, "BedrockRuntime")
        if has_ended(model, self.account.now()):
            raise DeniedError(f"{ENDED} (Service: BedrockRuntime, Status Code: 404)")

    def check_index(self, key: str, use: IndexUse) -> None:
        """DeniedError when the vector index of that key may not be used so; a MANAGED one may always."""
        if self.session is None or key.startswith("managed/"):
            return
        actions, permission = use.value
        collection, _, _ = key.partition("/index/")
        if ":aoss:" not in collection:
            for action in actions:
                self.check(f"s3vectors:{action}", key, "S3Vectors")
        elif not (
            self.session.may("aoss:APIAccessAll", collection, _NO_CONDITIONS)
            and admits(self.account, key, self.arn, permission)
        ):
            raise DeniedError(FORBIDDEN_COLLECTION)


def assume(account: Account, role_arn: str, knowledge_base_arn: str, task: str) -> ServiceRole:
    """DeniedError when Bedrock can't assume the role for this knowledge base."""
    if account.is_too_new(role_arn):
        raise DeniedError(NOT_ASSUMABLE)
    if account.authority is None:
        return ServiceRole(account, role_arn, None, task)
    session = account.authority.assume(role_arn, knowledge_base_arn, account.account)
    if session is None:
        raise DeniedError(NOT_ASSUMABLE)
    return ServiceRole(account, role_arn, session, task)


def assume_for_call(account: Account, base: KnowledgeBase, task: str) -> ServiceRole:
    """For a call that needs the embedding model: ServiceError ValidationException when that can't be had."""
    try:
        role = assume(account, base.role_arn, base.arn, task)
    except DeniedError as denial:
        raise _refused(denial) from None
    try:
        role.check_model(base.configuration)
    except DeniedError as denial:
        model = base.configuration["vectorKnowledgeBaseConfiguration"]["embeddingModelArn"]
        raise validation(
            f"Knowledge base role {base.role_arn} is not able to call specified bedrock embedding model {model}: "
            f"{denial}"
        ) from None
    return role


def check_search(account: Account, base: KnowledgeBase, reranker: str | None = None) -> None:
    """ServiceError ValidationException when a search can't be made with the knowledge base's role.

    ``reranker`` is the model that reranks for the role (AWS documentation, "Permissions for reranking in Amazon
    Bedrock": of Retrieve, the service role needs them; of RetrieveAndGenerate, whoever calls).
    """
    try:
        role = assume(account, base.role_arn, base.arn, "Retrieve")
        role.check_model(base.configuration)
        role.check_index(index_key(base), IndexUse.SEARCH)
        if reranker is not None:
            role.check("bedrock:Rerank", "*", "BedrockAgentRuntime")
            role.check("bedrock:InvokeModel", reranker, "BedrockRuntime")
    except DeniedError as denial:
        raise _refused(denial) from None


def _refused(denial: DeniedError) -> ServiceError:
    return validation(str(denial))
