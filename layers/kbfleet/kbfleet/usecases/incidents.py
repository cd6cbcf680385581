"""Notifying people of incidents: each signal is recorded once, and people get each notice of an incident once.

Recording comes first, and by itself. What is recorded is kept whether or not the channel takes a message; what people
know is written down beside it. So a message that was not taken is made anew later, of the incident as it is then.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from kbfleet.domain.errors import AlertMaybeDelivered, AlertNotDelivered, ConcurrentUpdate, KbfleetError
from kbfleet.domain.incident import Concern, Incident
from kbfleet.domain.names import TenantId

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from kbfleet.domain.alert import Deployment
    from kbfleet.domain.incident import Claim, Failure, Notice, Signal, Timeline
    from kbfleet.domain.root_cause import RootCause
    from kbfleet.ports import AlertChannel, Clock, Incidents, TenantNames

CLAIM = timedelta(minutes=1)
"""For one message: longer than a notifier lives, so that nobody takes its place while it may still be sending."""
Result = TypeVar("Result")
_OF_TENANTS = tuple(concern for concern in Concern if concern not in {Concern.ALARM, Concern.FLEET})
_ATTEMPTS = 20
"""At a record that others write, too. Only the few notifiers that run at once do."""


@dataclass(frozen=True)
class IncidentDesk:
    """Takes signals and notifies people. Any number may work at once.

    Args:
        names: what tenants call themselves; without it, messages have their ids only.
    """

    incidents: Incidents
    channel: AlertChannel
    clock: Clock
    deployment: Deployment
    names: TenantNames | None = None

    def record(self, signal: Signal) -> tuple[str, ...]:
        """Returns: identities of the incidents of which people may have to hear because of it, also when it was known.

        Raises:
            ConcurrentUpdate: others were faster again and again; offer the signal again.
        """
        return _persistently(lambda: self._record(signal))

    def _record(self, signal: Signal) -> tuple[str, ...]:
        timeline = self.incidents.timeline(signal.subject, signal.concern)
        if timeline.knows(signal):
            return (*timeline.concerned(signal), *timeline.ended)
        own = None if signal.failure is None else self._incident_for(signal, signal.failure, timeline)
        timeline = timeline.joined_by(signal, own.identity if own else "")
        concerned = timeline.concerned(signal)
        found = {identity: self.incidents.find(identity, signal.subject) for identity in concerned}
        if own is not None:
            found[own.identity] = own.joined_by(signal)
        changed = [incident.following(timeline) for incident in found.values() if incident is not None]
        self.incidents.record(timeline, changed)
        return (*concerned, *timeline.ended)

    def _incident_for(self, signal: Signal, failure: Failure, timeline: Timeline) -> Incident:
        """The one that the failure belongs to, which may be a new one."""
        for neighbour in timeline.neighbours(signal):
            # Nothing between the two has ended it.
            incident = self.incidents.find(neighbour.incident, signal.subject) if neighbour.incident else None
            if incident is not None and incident.cause.key in {cause.key for cause in failure.causes}:
                return incident
        cause: RootCause = failure.causes[0]
        known = self.incidents.of_cause(cause)
        for each in known:
            if each.takes_in(signal) and (incident := self.incidents.find(each.identity, signal.subject)) is not None:
                return incident
        return Incident.opened_by(signal, failure, cause, known[0].number + 1 if known else 1)

    def notify(self, identity: str) -> int:
        """Notifies people of an incident until they know all that they should. Returns: how many messages were posted.

        Raises:
            AlertNotDelivered: the channel did not take one, or somebody else is sending a notice of this incident.
        """
        posted = 0
        while (incident := self.incidents.find(identity)) is not None:
            if incident.claim is not None:
                self._take_over(incident, incident.claim)
                continue
            notice = incident.notice(self.deployment, self._name(incident.tenant_told_of))
            if notice is None:
                break
            try:
                claimed = self.incidents.save(incident.claimed(notice, self.clock.now(), CLAIM))
            except ConcurrentUpdate:
                continue
            self._send(claimed, notice)
            posted += notice.post
        return posted

    def _name(self, tenant: str) -> str:
        if not tenant or self.names is None:
            return ""
        try:
            return self.names.name_of(TenantId(tenant)) or ""
        except KbfleetError:
            # Whoever is to be woken is better told without it than not at all. The id says who it is.
            return ""

    def _take_over(self, incident: Incident, claim: Claim) -> None:
        """Finds out what became of a notice whose sender did not say."""
        if self.clock.now() < claim.until:
            raise AlertNotDelivered(f"Incident {incident.identity} is being reported by another notifier.")
        message = None
        if claim.posting:
            thread = incident.notified.message if incident.notified else ""
            message = self.channel.posted(claim.posting, since=claim.since, reply_to=thread)
        self._write_down(incident, claim, done=message)

    def _send(self, incident: Incident, notice: Notice) -> None:
        thread = incident.notified.message if incident.notified else ""
        message = thread
        claim = incident.claim
        if claim is None:
            raise ValueError("a notice is sent under a claim")
        try:
            if notice.post:
                message = self.channel.post(notice.alert, reply_to=thread)
            else:
                self.channel.change(thread, notice.alert)
        except AlertMaybeDelivered:
            # Nobody is sending any more: whoever comes next need not wait to look.
            self._write(incident, claim, lambda newest: replace(newest, claim=replace(claim, until=self.clock.now())))
            raise
        except AlertNotDelivered:
            self._write_down(incident, claim, done=None)
            raise
        self._write_down(incident, claim, done=message)

    def _write_down(self, incident: Incident, claim: Claim, *, done: str | None) -> None:
        """Args: done: the name of what was posted or changed; `None` if nothing was."""
        self._write(incident, claim, lambda newest: newest.released() if done is None else newest.settled(done))

    def _write(self, incident: Incident, claim: Claim, change: Callable[[Incident], Incident]) -> None:
        """Signals may have joined the incident meanwhile: they stay."""

        def attempt() -> None:
            newest = self.incidents.find(incident.identity)
            if newest is not None and newest.claim == claim:
                self.incidents.save(change(newest))

        _persistently(attempt)


def forget(tenant_id: TenantId, *, incidents: Incidents, now: datetime) -> None:
    """Incidents have nothing of a tenant any more but that it was there, and signals of before bring nothing back.

    Raises:
        ConcurrentUpdate: others were faster again and again.
    """
    _persistently(lambda: _forget(str(tenant_id), incidents, now))


def _forget(subject: str, incidents: Incidents, now: datetime) -> None:
    """An incident at a time: how many go into one write is limited."""
    for incident in incidents.of_subject(subject):
        if not incident.says_nothing_of(subject):
            timeline = incidents.timeline(subject, incident.concern).erased(now, incident)
            incidents.record(timeline, [incident.without(subject, now)])
    for concern in _OF_TENANTS:
        incidents.record(incidents.timeline(subject, concern).erased(now), [])


def forgotten(tenant_id: TenantId, *, incidents: Incidents) -> bool:
    """Whether `forget` has left nothing."""
    subject = str(tenant_id)
    timelines = [incidents.timeline(subject, concern) for concern in _OF_TENANTS]
    # An offboarding that the last version began has not erased what that version did not know.
    new = {Concern.DOCUMENTS, Concern.KNOWLEDGE}
    erased = all(each.erased_at is not None or (each.concern in new and each.version == 0) for each in timelines)
    return erased and all(incident.says_nothing_of(subject) for incident in incidents.of_subject(subject))


def _persistently(attempt: Callable[[], Result]) -> Result:
    for _ in range(_ATTEMPTS - 1):
        try:
            return attempt()
        except ConcurrentUpdate:
            continue
    return attempt()
