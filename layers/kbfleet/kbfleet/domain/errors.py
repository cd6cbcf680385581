"""Every error of kbfleet, as one tree.

Each error says what happened and to whom (`str(error)`), and what to do (`error.remedy`). The class names are part of
the contract with Step Functions: `Throttled` and `NotReadyYet` are the two that a state machine retries, and
`ServiceRoleRefused` where a knowledge base is made; everything else is permanent and ends the execution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self


class KbfleetError(Exception):
    """Base of all errors that kbfleet raises on purpose.

    Args:
        what: what happened, and to which tenant or resource.
        remedy: what the reader should do about it; one sentence.
    """

    def __init__(self, what: str, *, remedy: str = "") -> None:
        self.what = what
        self.remedy = remedy
        super().__init__(f"{what} {remedy}".strip())

    @property
    def logged(self) -> str:
        """What a log keeps of it: all, unless that repeats text which somebody has sent."""
        return str(self)


# --- what the caller sent ------------------------------------------------------------------------


class InvalidInput(KbfleetError):
    """A field of a request, event or command is not acceptable; `field` names it, and `why` says the rest."""

    def __init__(self, field: str, what: str, *, remedy: str = "") -> None:
        self.field = field
        self.why = what
        super().__init__(f"{field}: {what}", remedy=remedy)


class SessionRefused(InvalidInput):
    """The session is not this asker's, was tampered with, or is over; which of these is not said."""

    def __init__(self) -> None:
        super().__init__("session", "is not valid, or is over.", remedy="Ask without a session to begin a new one.")


class KeySpelledOtherwise(InvalidInput):
    """A document is there whose key looks the same as the one that was given, and differs in its Unicode form."""

    def __init__(self, given: str, there: str) -> None:
        super().__init__(
            "key",
            f"looks the same as that of a document which is there, and is another: that one is in Unicode form "
            f"{there}, this one in {given}.",
            remedy=f"Give the key in form {there} to replace that document, or delete it first.",
        )


class ProfileRefused(InvalidInput):
    """A profile breaks rules of its store, its Region or the stack: all of them are told, not only the first.

    Args:
        field: of the first.
        broken: each in a sentence that begins with the name of its field.
    """

    def __init__(self, field: str, broken: Sequence[str]) -> None:
        self.broken = tuple(broken)
        super().__init__(field, " ".join(self.broken).removeprefix(f"{field} "))

    @property
    def logged(self) -> str:
        # A sentence shows what it refuses, such as a prompt.
        return f"Refused are {', '.join(dict.fromkeys(each.partition(' ')[0] for each in self.broken))}."


class ProfileNotFound(KbfleetError):
    """There is no profile of that name, or it has no such version."""

    @classmethod
    def of(cls, name: str, version: int | None = None) -> Self:
        which = name if version is None else f"{name} in version {version}"
        return cls(f"There is no profile {which}.", remedy="`kbfleet profile list` shows those that there are.")


class ProfileInUse(KbfleetError):
    """A profile is not removed while a tenant uses it, nor used while it is being removed."""


class TenantNotFound(KbfleetError):
    """No tenant with that id is registered."""

    @classmethod
    def of(cls, tenant_id: str) -> Self:
        # Not how to add it: whoever has mistyped an id would make a tenant of that name.
        return cls(f"There is no tenant {tenant_id}.", remedy="`kbfleet tenant list` shows those that there are.")


class ExecutionNotFound(KbfleetError):
    """No run of provisioning with that name is known. Step Functions forgets a run 90 days after its end (AWS
    documentation, Step Functions service quotas)."""


class JobNotFound(KbfleetError):
    """No ingestion job of that name is in the tenant's history, which is kept for a limited time."""


class DocumentNotFound(KbfleetError):
    """The tenant has no document of that key."""


class TicketRefused(KbfleetError):
    """The ticket does not open that document for this asker: it is another's, was tampered with, or is over."""

    def __init__(self) -> None:
        super().__init__("The ticket does not open that document, or is over.", remedy="Ask again for one.")


class QuestionNotFound(KbfleetError):
    """The tenant has no golden question of that id."""


class TokenRefused(KbfleetError):
    """The bearer token does not prove who is asking: missing, expired, wrongly signed, or meant for somebody else."""


class TenantClaimMissing(KbfleetError):
    """The token is genuine but names no tenant, or not a valid one."""


# --- the tenant is not in a state for this -------------------------------------------------------


class CandidateNotIngested(KbfleetError):
    """A candidate's documents could not be read, or not in time: there is nothing to compare."""


class NothingBeside(KbfleetError):
    """The tenant has no knowledge beside its live one, or none with which that can be done."""


class TenantBusy(KbfleetError):
    """Another execution holds the tenant's lease."""


class LeaseLost(KbfleetError):
    """A later execution has taken over the lease of this one, which must not write any more."""


class IsolationBreached(KbfleetError):
    """The answer would have rested on what is not the tenant's own. It was not given.

    Args:
        by_credentials: whether the tenant's credentials were refused, before anything was read.
    """

    def __init__(self, what: str, *, remedy: str = "", by_credentials: bool = False) -> None:
        super().__init__(what, remedy=remedy)
        self.by_credentials = by_credentials


class TenantNotActive(KbfleetError):
    """The tenant exists, but cannot be asked or synced in its present state."""


class TenantFailed(TenantNotActive):
    """The tenant's first provisioning has failed; there is nothing to ask yet."""


class TenantSuspended(TenantNotActive):
    """The tenant is suspended: its data are kept, but nobody may ask and nothing is synced."""


class TenantOffboarding(TenantNotActive):
    """The tenant is being offboarded."""


class TenantOffboarded(TenantNotActive):
    """Nothing of the tenant is left but the receipt of its erasure."""


class OffboardingBegun(KbfleetError):
    """The tenant's data are being deleted; there is no way back."""


class DeletionsNotSeen(KbfleetError):
    """Somebody accepts what a held sync would delete, but that is more by now than they have seen."""


class KnowledgeLost(KbfleetError):
    """What was read of a tenant's documents is gone, or cannot be used any more. Nothing is made in its place: that
    would hold nothing, and say so to nobody. A rebuild reads all documents anew."""


class ConcurrentUpdate(KbfleetError):
    """A record changed between being read and being written; read it again and decide anew."""


# --- worth another try, by the same name in every state machine ----------------------------------


class Retryable(KbfleetError):
    """Base of the two errors that pass by themselves."""


class Throttled(Retryable):
    """AWS answered that calls come too fast."""


class NotReadyYet(Retryable):
    """A dependency is still settling: a role not yet assumable, an index not yet visible, a service briefly down."""

    def __init__(self, what: str, *, remedy: str = "", for_everybody: bool = False) -> None:
        """Args:
        for_everybody: whether the cause is not in what the call names: the service is down, or the account's share of
            it is used up.
        """
        super().__init__(what, remedy=remedy)
        self.for_everybody = for_everybody


class ServiceRoleRefused(NotReadyYet):
    """Bedrock could not assume the service role, or the knowledge store did not let it in. AWS answers so while a role
    is new, but also when it is gone, and when a permission is missing."""


# --- AWS refused, for good -----------------------------------------------------------------------


class AwsRefusal(KbfleetError):
    """Base of AWS answers that the same call would get again."""


class AccessRefused(AwsRefusal):
    """The role that made the call lacks a permission."""


class RequestRefused(AwsRefusal):
    """AWS finds the request invalid."""


class SessionPolicyTooLarge(RequestRefused):
    """The policy that credentials were to be narrowed by does not fit into them."""


class ResourceMissing(AwsRefusal):
    """The resource that the call names does not exist."""


class BucketGone(ResourceMissing):
    """The bucket of a tenant in service does not exist any more. Its words are ours, and name the tenant only."""

    @classmethod
    def of(cls, tenant_id: str) -> Self:
        return cls(
            f"The bucket of tenant {tenant_id} does not exist any more; nothing can be put into it.",
            remedy=f"`kbfleet reconcile --tenant {tenant_id}` says what is missing, and what to do.",
        )


class ResourceConflict(AwsRefusal):
    """The resource exists already, or is busy with something else."""


class ServiceRoleUnusable(AwsRefusal):
    """A service role that has been there for a while is refused: see `ServiceRoleRefused`."""


class CapacityExceeded(AwsRefusal):
    """A quota of the account is used up."""


class PolicyNotTaken(AwsRefusal):
    """S3 refuses a bucket's policy for the statements in it that are not kbfleet's."""


class BucketNameTaken(AwsRefusal):
    """The bucket name derived for the tenant belongs to somebody else."""


# --- outcomes that end a workflow ----------------------------------------------------------------


class KnowledgeStoreNotOffered(KbfleetError):
    """The stack has no knowledge store of the requested type."""


class KnowledgeStoreUnusable(KbfleetError):
    """An index of the tenant's name exists, but Bedrock could not use it as it is, and its shape cannot be changed."""


class KnowledgeBaseFailed(KbfleetError):
    """Bedrock gave the knowledge base up: FAILED or DELETE_UNSUCCESSFUL."""


class KnowledgeBaseNotReady(KbfleetError):
    """The knowledge base did not become ACTIVE before the execution's deadline."""


class KnowledgeBaseNotOurs(KbfleetError):
    """A knowledge base has the tenant's name or is in its record, but does not read the tenant's own index. Using it
    could show one tenant's documents to another."""


class ErasureIncomplete(KbfleetError):
    """Something of an offboarded tenant was found after it should have been deleted. It may only show for a while yet,
    so the step that verifies is tried again some times."""


class DataSourceFailed(KbfleetError):
    """Bedrock gave the data source up: FAILED or DELETE_UNSUCCESSFUL."""


class DataSourceNotReady(KbfleetError):
    """The data source did not become AVAILABLE before the execution's deadline."""


class IngestionFailed(KbfleetError):
    """The ingestion that a workflow waited for did not succeed."""


class AlertNotDelivered(KbfleetError):
    """The alert channel did not take the message; the queue will offer it again."""


class AlertMaybeDelivered(AlertNotDelivered):
    """The alert channel did not say whether it took the message."""
