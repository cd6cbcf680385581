"""Incidents in memory, and channels that reach nobody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from kbfleet.domain.alert import MAX_COMMANDED, Alert
from kbfleet.domain.errors import AlertMaybeDelivered, AlertNotDelivered, ConcurrentUpdate
from kbfleet.domain.incident import Concern, Incident, Span, Timeline
from kbfleet.domain.root_cause import RootCause


class InMemoryIncidents:
    """`kbfleet.ports.Incidents`. `before_writing` runs before each write, as somebody else who is faster."""

    def __init__(self) -> None:
        self.all: dict[str, Incident] = {}
        self.members: dict[str, dict[str, tuple[Span, ...]]] = {}
        self._timelines: dict[tuple[str, Concern], Timeline] = {}
        self.before_writing: Callable[[], None] = lambda: None

    def timeline(self, subject: str, concern: Concern) -> Timeline:
        return self._timelines.get((subject, concern), Timeline(subject, concern))

    def find(self, identity: str, member: str = "") -> Incident | None:
        incident = self.all.get(identity)
        if incident is None or incident.crowd is None:
            return incident
        members = self.members[identity]
        if member:
            return replace(incident, affected={member: members[member]} if member in members else {})
        broken = sorted(name for name, spans in members.items() if spans[-1].ended is None)
        return replace(incident, named=tuple(broken[:MAX_COMMANDED]))

    def of_cause(self, cause: RootCause) -> Sequence[Incident]:
        alike = [incident for incident in self.all.values() if incident.cause.key == cause.key]
        return sorted(alike, key=lambda incident: -incident.number)

    def of_subject(self, subject: str) -> Sequence[Incident]:
        tenants = (incident for incident in self.all.values() if incident.concern is not Concern.ALARM)
        found = (self.find(incident.identity, subject) for incident in tenants)
        return [incident for incident in found if incident is not None and subject in incident.affected]

    def record(self, timeline: Timeline, incidents: Sequence[Incident]) -> None:
        self._let_others_go_first()
        current = self.timeline(timeline.subject, timeline.concern)
        if current.version != timeline.version or any(map(self._outdated, incidents)):
            raise ConcurrentUpdate("Written meanwhile.")
        self._timelines[timeline.subject, timeline.concern] = replace(timeline, version=timeline.version + 1)
        for incident in incidents:
            self._store(incident, timeline.subject)

    def save(self, incident: Incident) -> Incident:
        self._let_others_go_first()
        if self._outdated(incident):
            raise ConcurrentUpdate("Written meanwhile.")
        return self._store(incident)

    def _let_others_go_first(self) -> None:
        others, self.before_writing = self.before_writing, lambda: None
        others()

    def _outdated(self, incident: Incident) -> bool:
        known = self.all.get(incident.identity)
        return (known.version if known else 0) != incident.version

    def _store(self, incident: Incident, subject: str = "") -> Incident:
        stored = replace(incident.gathered(), version=incident.version + 1)
        if stored.erased:
            self.members.pop(incident.identity, None)
        if stored.crowd is not None:
            members = self.members.setdefault(incident.identity, {})
            if subject not in stored.affected:
                members.pop(subject, None)
            members |= stored.affected
        self.all[incident.identity] = stored if stored.crowd is None else replace(stored, affected={}, named=())
        return stored


@dataclass
class Posted:
    name: str
    alert: Alert
    reply_to: str
    shown: Alert


@dataclass
class RecordingAlertChannel:
    """`kbfleet.ports.AlertChannel`: with threads as a bot's, or without as an incoming webhook. It refuses while `down`
    is set. `weather` says for each call what happens to it: "ok"; "refused"; "lost", nobody answers and it was not
    taken; or "unanswered", nobody answers but it was taken. After the last, all is well."""

    threads: bool = True
    down: bool = False
    posts: list[Posted] = field(default_factory=list)
    changes: int = 0
    weather: list[str] = field(default_factory=list)

    @property
    def sent(self) -> list[Alert]:
        return [post.alert for post in self.posts]

    @property
    def roots(self) -> list[Posted]:
        return [post for post in self.posts if not post.reply_to]

    def post(self, alert: Alert, *, reply_to: str = "") -> str:
        name = f"message-{len(self.posts)}" if self.threads else ""
        self._through(lambda: self.posts.append(Posted(name, alert, reply_to, alert)))
        return name

    def change(self, message: str, alert: Alert) -> None:
        (post,) = (post for post in self.posts if post.name == message)

        def show() -> None:
            post.shown = alert
            self.changes += 1

        self._through(show)

    def posted(self, identity: str, *, since: datetime, reply_to: str = "") -> str | None:
        if not self.threads:
            return None
        found = (post.name for post in self.posts if (post.alert.identity, post.reply_to) == (identity, reply_to))
        return next(found, None)

    def _through(self, act: Callable[[], None]) -> None:
        fate = self.weather.pop(0) if self.weather else "ok"
        if self.down or fate == "refused":
            raise AlertNotDelivered("The channel is down.")
        if fate in {"ok", "unanswered"}:
            act()
        if fate in {"lost", "unanswered"}:
            raise AlertMaybeDelivered("The channel did not answer.")
