"""Who says what Bedrock may do with the service role of a knowledge base.

The emulator asks an authority at every use; without one, everything is allowed. `bedrock_emulator.IamRoles` is one that
reads an IAM.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class RoleSession(Protocol):
    """A service role that Bedrock has assumed."""

    def may(self, action: str, resource: str, conditions: Mapping[str, str]) -> bool:
        """Whether the role may do ``action`` on ``resource`` (an ARN).

        ``conditions`` are the condition keys that the service adds to the request, such as ``s3:prefix``, by name.
        """
        ...


class Authority(Protocol):
    """Lets Bedrock assume roles. Called from many threads, sometimes while the emulator holds its lock."""

    def assume(self, role_arn: str, source_arn: str, source_account: str) -> RoleSession | None:
        """The role, assumed by ``bedrock.amazonaws.com``; None when it can't be.

        ``source_arn`` and ``source_account`` are the request's ``aws:SourceArn``, the knowledge base's ARN, and
        ``aws:SourceAccount``.
        """
        ...
