"""What failures of many tenants have in common: the reason with everything in it that is one tenant's own taken out."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from kbfleet.domain.document_names import words_and_names
from kbfleet.domain.finding import CAUSES

MAX_LABEL = 140
"""Characters; a title of a message has to hold it."""


@dataclass(frozen=True, slots=True)
class RootCause:
    """`key` is the same for failures of one kind that have the same cause; `label` says it to people in one line.

    Args:
        kind: what failed.
        shared: whether it is known to lie in what tenants have in common, and in nobody's own files or resources.
    """

    key: str
    label: str
    kind: str = ""
    shared: bool = False

    @property
    def in_our_words(self) -> bool:
        """Whether the label says nothing that a tenant may have said."""
        return self.label in _OUR_WORDS


_OWN_TO_A_TENANT = tuple(
    (re.compile(pattern), stands_for)
    for pattern, stands_for in (
        (r"arn:[\w-]*:s3:::[^\s,;)\]\"']+", "<bucket>"),
        # A role, a model and a key are the fleet's or the account's. Bedrock's own resources are a tenant's.
        (r"arn:[\w-]*:(bedrock|s3vectors|aoss|states|lambda|logs):[\w-]*:\d{12}:[^\s,;)\]\"']+", r"<\1>"),
        (r"(?i)\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<id>"),
        (r"\b\d{4}-\d\d-\d\d[T ][\d:.]+(Z|[+-]\d\d:?\d\d)?", "<time>"),
        # Ids of knowledge bases, data sources and jobs. Source: botocore model of bedrock-agent, shape Id.
        (r"\b(?=[A-Z]*\d)[0-9A-Z]{10}\b", "<id>"),
        (r"(?i)\b[0-9a-f]{16,}\b", "<id>"),
        (r"\d+", "<n>"),
    )
)

_WELL_KNOWN = tuple(
    (re.compile(pattern, re.IGNORECASE), key, label, shared)
    for pattern, key, label, shared in (
        (
            r"not able to call specified bedrock embedding model|bedrock:InvokeModel",
            "embedding-model-refused",
            "the service role may not call the embedding model",
            True,
        ),
        (
            r"not authorized to perform: s3:(GetObject|ListBucket)|unable to (access|read from) (the )?(s3|bucket)",
            "documents-unreadable",
            "the service role cannot read from S3",
            True,
        ),
        (
            r"not authorized to perform: (s3vectors|aoss):",
            "vectors-unwritable",
            "the service role cannot use the knowledge store",
            True,
        ),
        (r"\bkms\b|kms:Decrypt", "key-refused", "an encryption key cannot be used", True),
        (r"no text content found", "no-text", "documents without text", False),
        (r"filterable metadata must have", "metadata-too-large", "documents with too much metadata", False),
    )
)
"""Causes that AWS words in several ways, and whether each is shared: models, keys and what service roles may do are the
fleet's or the account's; what is in a file is its tenant's. The texts are as users of Bedrock report them; AWS
documents none of them."""

_USED_UP = {"CapacityExceeded": "a quota of the account is used up", "Throttled": "AWS is called too fast"}
"""Errors that say by their name what is wrong, whichever tenant and whichever step meets them first."""

CREDENTIALS_REFUSED = "credentials do not open the knowledge bases that the records name"
SOME_DOCUMENTS = "some documents could not be ingested"
SOME_QUESTIONS = "some questions no longer find their document"
SYNC_HELD = "a sync is held"
_OUR_WORDS = {CREDENTIALS_REFUSED, SOME_DOCUMENTS, SOME_QUESTIONS, SYNC_HELD, *CAUSES, *_USED_UP.values()}
_OUR_WORDS |= {label for _, _, label, _ in _WELL_KNOWN}


def root_cause(kind: str, reason: str, *, tenant: str = "", error: str = "") -> RootCause:
    """What is at the bottom of a failure.

    Args:
        kind: what failed; failures of different kinds are kept apart even when AWS gives the same reason.
        reason: what AWS or a workflow said, in its words.
        tenant: whose it was; that name is taken out of the reason.
        error: the error's class, where there is one.
    """
    if error in _USED_UP:
        return RootCause(_key(kind, error), _USED_UP[error], kind, shared=True)
    # What may be part of a document's name must not choose the cause.
    said, _ = words_and_names(reason)
    for pattern, key, label, shared in _WELL_KNOWN:
        if pattern.search(said):
            return RootCause(_key(kind, key), label, kind, shared)
    text = said
    for own, stands_for in _OWN_TO_A_TENANT:
        text = own.sub(stands_for, text)
    if tenant:
        # As a word, or as a part of a name that was derived from it; not the "acme" of "acmeville".
        text = re.sub(rf"(?<![a-z0-9]){re.escape(tenant)}(?![a-z0-9])", "<tenant>", text)
    text = " ".join(text.split()) or error or "no reason was given"
    label = text if len(text) <= MAX_LABEL else f"{text[: MAX_LABEL - 1]}…"
    return RootCause(_key(kind, error, text), label, kind)


def own_documents(kind: str, tenant: str) -> RootCause:
    """What lies in a tenant's own documents: one cause, whatever is wrong with which of them."""
    return RootCause(_key(kind, f"of tenant {tenant}"), SOME_DOCUMENTS, kind)


def own_questions(kind: str, tenant: str) -> RootCause:
    """What a tenant's golden questions show: one cause, whatever they come to."""
    return RootCause(_key(kind, f"of tenant {tenant}"), SOME_QUESTIONS, kind)


def held_sync(tenant: str) -> RootCause:
    """What keeps a tenant's sync from being started: one cause, whatever it would delete."""
    kind, own = "held sync", f"of tenant {tenant}"
    return RootCause(_key(kind, own, own), SYNC_HELD, kind)


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
