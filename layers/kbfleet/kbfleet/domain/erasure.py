"""The proof that nothing of an offboarded tenant is left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ErasedResource:
    """A resource that was looked up again after its deletion, and not found.

    Args:
        kind: what it was, in the field's own words: `bucket`, `knowledge base`, …
        name: its name or id.
    """

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class ErasureReceipt:
    """What was deleted, when that was verified, and what is kept by policy.

    Args:
        requested_at: when the offboarding was asked for.
        verified_at: when every resource was looked up again and found gone.
        execution: ARN of the execution of `offboard_tenant`.
        kept: kinds of records that are kept, such as usage for invoices.
    """

    requested_at: datetime
    verified_at: datetime
    execution: str
    erased: tuple[ErasedResource, ...]
    kept: tuple[str, ...] = ()
