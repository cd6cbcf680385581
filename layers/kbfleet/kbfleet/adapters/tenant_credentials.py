"""Credentials that open one tenant's knowledge base and no other."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from kbfleet.adapters.scoped_credentials import LONGEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kbfleet.adapters.scoped_credentials import ScopedCredentials, ScopedRole
    from kbfleet.domain.answer import AskableTenant
    from kbfleet.ports import Clock

_RENEWED_BEFORE_END = timedelta(minutes=5)
_MOST_TENANTS = 200
"""Kept at a time; whoever has not asked for longest makes room."""


@dataclass(slots=True)
class _TenantSession:
    credentials: ScopedCredentials
    clients: dict[str, Any] = field(default_factory=dict)


class TenantClients:
    """boto3 clients that read one tenant's knowledge base, by credentials of a role under a session policy.

    Args:
        reader: may read every knowledge base of the fleet.
        make: makes the client for one of `answerers.CALLS` with these credentials.
        knowledge_bases: ARN of all knowledge bases of the account, without the `/` and the id.
        answering: actions that are allowed beside the search, as the answerer says; none for whoever only searches.
    """

    def __init__(
        self,
        reader: ScopedRole,
        *,
        make: Callable[..., Any],
        knowledge_bases: str,
        answering: Sequence[str],
        clock: Clock,
    ) -> None:
        self._reader = reader
        self._make = make
        self._knowledge_bases = knowledge_bases
        self._answering = answering
        self._clock = clock
        self._sessions: OrderedDict[tuple[str, str], _TenantSession] = OrderedDict()

    def __call__(self, call: str, tenant: AskableTenant) -> Any:
        """Raises: Throttled, NotReadyYet, AwsRefusal."""
        session = self._session(tenant)
        if call not in session.clients:
            session.clients[call] = self._make(call, **session.credentials.arguments)
        return session.clients[call]

    def _session(self, tenant: AskableTenant) -> _TenantSession:
        key = (str(tenant.tenant_id), tenant.knowledge_base_id)
        session = self._sessions.get(key)
        if session is None or session.credentials.expires_at - _RENEWED_BEFORE_END <= self._clock.now():
            session = self._sessions[key] = self._assumed(tenant)
        self._sessions.move_to_end(key)
        if len(self._sessions) > _MOST_TENANTS:
            self._sessions.popitem(last=False)
        return session

    def _assumed(self, tenant: AskableTenant) -> _TenantSession:
        arn = f"{self._knowledge_bases}/{tenant.knowledge_base_id}"
        policy = session_policy(tenant, arn, self._answering)
        tenant_id = str(tenant.tenant_id)
        credentials = self._reader.assume(policy, session=tenant_id, of=f"tenant {tenant_id}", lifetime=LONGEST)
        return _TenantSession(credentials)


def session_policy(tenant: AskableTenant, knowledge_base_arn: str, answering: Sequence[str]) -> dict[str, Any]:
    """What is left of the role's rights: the tenant's own knowledge base, and what an answer is written by.

    The denial is for the day when a record names another tenant's knowledge base. It holds only where the tag is known
    to IAM when it decides (the service authorization reference lists `aws:ResourceTag` for knowledge bases; nobody has
    recorded it for Retrieve), and denies nothing where it is not.
    """
    tag = "aws:ResourceTag/kbfleet:tenant"
    # A statement without actions would be refused. Source: AWS documentation, IAM JSON policy elements: Action.
    writing = [{"Effect": "Allow", "Action": list(answering), "Resource": "*"}] if answering else []
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "bedrock:Retrieve", "Resource": knowledge_base_arn},
            *writing,
            {
                "Effect": "Deny",
                "Action": "bedrock:Retrieve",
                "Resource": "*",
                "Condition": {"Null": {tag: "false"}, "StringNotEquals": {tag: str(tenant.tenant_id)}},
            },
        ],
    }
