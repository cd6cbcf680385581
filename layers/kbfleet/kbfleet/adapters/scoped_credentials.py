"""Credentials of a role, narrowed by a session policy to what one task needs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from kbfleet.adapters.aws_errors import translated

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mypy_boto3_sts import STSClient

LONGEST = timedelta(hours=1)
"""That a role may have that is assumed by a role. Source: AWS documentation, IAM, role chaining."""

SHORTEST = timedelta(minutes=15)
"""Source: AWS Security Token Service API reference, AssumeRole."""

MAX_POLICY = 2_048
"""Characters, of which each is one of Latin-1. A shorter one can still be refused: AWS packs it, and what has room then
is not said in characters. Source: AWS Security Token Service API reference, AssumeRole."""


@dataclass(frozen=True, slots=True)
class ScopedCredentials:
    """`arguments` are those by which boto3 makes a client with them."""

    expires_at: datetime
    arguments: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ScopedRole:
    """A role that is assumed for one task at a time: what a session may do is what both the role and the policy allow.

    Args:
        role_arn: may do what any of the tasks needs.
    """

    sts: STSClient
    role_arn: str

    def assume(self, policy: Mapping[str, Any], *, session: str, of: str, lifetime: timedelta) -> ScopedCredentials:
        """
        Args:
            session: a name by which CloudTrail says who did what.
            of: whose or what for they are, for an error.
            lifetime: wanted; they last for a quarter of an hour at least, and an hour at most.

        Raises:
            Throttled, NotReadyYet, AwsRefusal.
            SessionPolicyTooLarge: a shorter policy may be taken.
        """
        seconds = int(min(max(lifetime, SHORTEST), LONGEST).total_seconds())
        with translated(f"the credentials of {of}"):
            credentials = self.sts.assume_role(
                RoleArn=self.role_arn,
                RoleSessionName=session,
                DurationSeconds=seconds,
                Policy=serialized(policy),
            )["Credentials"]
        return ScopedCredentials(
            credentials["Expiration"],
            {
                "aws_access_key_id": credentials["AccessKeyId"],
                "aws_secret_access_key": credentials["SecretAccessKey"],
                "aws_session_token": credentials["SessionToken"],
            },
        )


def serialized(policy: Mapping[str, Any]) -> str:
    """As it is sent: of ASCII only, and without spaces, which would count."""
    return json.dumps(policy, separators=(",", ":"))
