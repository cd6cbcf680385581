"""Answering a tenant's question from the tenant's own documents."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kbfleet.domain.answer import Answer, require_own
from kbfleet.domain.errors import IsolationBreached
from kbfleet.domain.names import Life

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime, timedelta

    from kbfleet.domain.answer import AskableTenant, Asker, GeneratedAnswer, Inquiry, Source
    from kbfleet.domain.names import ResourceNames, TenantId
    from kbfleet.ports import Answerer, AskableTenantRecords, Clock, Retriever, Sessions


@dataclass(slots=True)
class AskableTenants:
    """Looks tenants up, and remembers each for a short time, so that a busy tenant costs no read per question.

    Args:
        remembered_for: also the time for which an answer's freshness may lag behind.
    """

    records: AskableTenantRecords
    clock: Clock
    remembered_for: timedelta
    _remembered: dict[TenantId, tuple[datetime, AskableTenant]] = field(default_factory=dict)

    def get(self, tenant_id: TenantId) -> AskableTenant:
        """Raises: TenantNotFound, TenantNotActive."""
        now = self.clock.now()
        if (remembered := self._remembered.get(tenant_id)) and now - remembered[0] < self.remembered_for:
            return remembered[1]
        askable = self.records.get(tenant_id)
        self._remembered[tenant_id] = (now, askable)
        return askable


def ask(
    asker: Asker,
    inquiry: Inquiry,
    session: str | None,
    *,
    tenants: AskableTenants,
    answerers: Callable[[str, str, int], Answerer],
    sessions: Sessions,
    names: ResourceNames,
    breached: Callable[[AskableTenant, IsolationBreached], None],
) -> Answer:
    """The answer, its citations, how fresh the knowledge behind it is, and the session to go on with.

    Args:
        session: of an earlier answer to the same asker, to take the conversation up.
        answerers: gives the answerer for a type of knowledge store, and a profile in one of its versions (empty and 0
            for what the stack's parameters say).
        breached: has people hear of an answer that was refused; it may not raise.

    Raises:
        TenantNotFound, TenantNotActive, ProfileNotFound, SessionRefused, IsolationBreached, Throttled, NotReadyYet,
        AwsRefusal.
    """
    tenant = tenants.get(asker.tenant_id)
    # The record only counts: whichever number it has, this is a life of the asker's tenant.
    life = Life(asker.tenant_id, tenant.life)
    if session is not None:
        inquiry = replace(inquiry, conversation=sessions.conversation(session, asker, life))
    generated = generate(tenant, inquiry, answerers=answerers, names=names, breached=breached)
    following = session or (sessions.issue(generated.conversation, asker, life) if inquiry.kept else "")
    return Answer(generated, tenant.freshness, tenant.documents_left_out, following, life)


def generate(
    tenant: AskableTenant,
    inquiry: Inquiry,
    *,
    answerers: Callable[[str, str, int], Answerer],
    names: ResourceNames,
    breached: Callable[[AskableTenant, IsolationBreached], None],
) -> GeneratedAnswer:
    """What is answered, whoever asks. Arguments and errors are as of `ask`."""
    with _told(tenant, breached):
        bucket_name = names.bucket(tenant.this_life)
        answerer = answerers(tenant.knowledge_store, tenant.profile, tenant.profile_version)
        generated = answerer.answer(tenant, inquiry, bucket_name)
        # Again, and whoever answers: nothing leaves that rests on anything else.
        require_own(generated.sources, bucket_name, tenant.tenant_id)
    return generated


def retrieve(
    tenant: AskableTenant,
    inquiry: Inquiry,
    *,
    retrievers: Callable[[str, str, int], Retriever],
    names: ResourceNames,
    breached: Callable[[AskableTenant, IsolationBreached], None],
) -> Sequence[Source]:
    """What an answer would rest on, the nearest passage first. Arguments and errors are as of `ask`."""
    with _told(tenant, breached):
        bucket_name = names.bucket(tenant.this_life)
        retriever = retrievers(tenant.knowledge_store, tenant.profile, tenant.profile_version)
        sources = retriever.retrieve(tenant, inquiry, bucket_name)
        require_own(sources, bucket_name, tenant.tenant_id)
    return sources


@contextmanager
def _told(tenant: AskableTenant, breached: Callable[[AskableTenant, IsolationBreached], None]) -> Iterator[None]:
    """People hear of every passage that was found and is not the tenant's own."""
    try:
        yield
    except IsolationBreached as error:
        breached(tenant, error)
        raise
