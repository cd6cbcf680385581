"""Incidents: what is broken for one cause is reported once, whomever it hits and however often it is seen.

Everything here is pure, and what comes out depends on which signals there were, not on the order in which they came:

- A `Signal` is one thing that was seen: at that time a subject (a tenant, or an alarm) was broken for a cause, or well.
- A `Timeline` orders a subject's signals by their own times. From it follows from when until when it was broken.
- An `Incident` joins those spans of all subjects that have one cause. It knows which notices people got about it, and
  so which one is next.
"""

from __future__ import annotations

import hashlib
from bisect import insort
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypedDict

from kbfleet.domain.alert import MAX_COMMANDED, Alert, Deployment, Reason, Severity
from kbfleet.domain.bounds import EVIDENCE_BYTES
from kbfleet.domain.harm import Harm, worst
from kbfleet.domain.root_cause import RootCause

FLAP_WINDOW = timedelta(hours=1)
"""What begins again so soon after its end is the same incident."""
FLAPPING_AFTER = 3
"""From so many returns on, not each one is reported."""
FEW = 5
"""So many are told of one by one where the cause is not known to be shared: it may be a coincidence that they fail
alike. With more, it is a flood."""
TOGETHER = 100
"""So many members are kept in the incident's own record, beside the longest evidence. Of more, it has counts, and each
member is a record of its own."""
SPANS_KEPT = 8
"""Of one member; those before count as one."""
SIGNALS_KEPT = 250
"""Of one subject. What is older than all of them was reported long ago."""
NAMED = 20
"""Subjects named in one message."""
_ENDED_WITH_ITS_SUBJECT = "ended with the tenant"
_CLAIMED_BEFORE = "Answers still come, from the last good sync. "
"""As the last version has stored it in advice, whether or not somebody had looked."""
_NO_ASKER = "No asker hurt"
_OUT_OF_SERVICE = "Nobody: the tenant is out of service, and nobody asks for it."
_FAILED = "failed"
"""What a cause is called for which there are no words any more."""
_NEVER = datetime.min.replace(tzinfo=UTC)


class Concern(StrEnum):
    """What about a subject is broken or well. One timeline each: a good ingestion does not end a failed offboarding,
    nor a failed ingestion what is wrong with documents."""

    INGESTION = "INGESTION"
    DOCUMENTS = "DOCUMENTS"
    PROVISIONING = "PROVISIONING"
    OFFBOARDING = "OFFBOARDING"
    REBUILDING = "REBUILDING"
    ISOLATION = "ISOLATION"
    KNOWLEDGE = "KNOWLEDGE"
    QUESTIONS = "QUESTIONS"
    ALARM = "ALARM"
    FLEET = "FLEET"
    """What all tenants share, with one subject: the fleet."""


_SEEN_AGAIN_AND_AGAIN = {Concern.ISOLATION, Concern.KNOWLEDGE, Concern.QUESTIONS, Concern.FLEET}


@dataclass(frozen=True, slots=True)
class Failure:
    """Something is broken.

    Args:
        causes: the most likely first. A subject that is in the incident of one of them stays there, so that an incident
            is not over while its cause is still among the others.
        evidence: what to show of it when it is the only one.
        verb: the command of `kbfleet` that repairs it, if one does.
        news: whether people must hear of it although the subject is known to be broken.
        weight: how much the evidence says. What says less does not take its place.
    """

    causes: tuple[RootCause, ...]
    evidence: Alert
    verb: str = ""
    news: bool = False
    weight: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "evidence", self.evidence.within(EVIDENCE_BYTES))

    @property
    def harm(self) -> Harm | None:
        """How askers are hurt; `None` where nobody's answers are concerned."""
        return self.evidence.harm


@dataclass(frozen=True, slots=True)
class Signal:
    """`identity` is the same for every repetition. Without a `failure`, the subject was well at that time; but if it
    `leaves` a kind of cause, it was so in all other ways: whatever it had of that kind goes on."""

    identity: str
    subject: str
    concern: Concern
    at: datetime
    failure: Failure | None = None
    leaves: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """`incident` is empty where the subject was well; `leaves` is as in the signal; `harm` is the failure's."""

    at: datetime
    identity: str
    incident: str = ""
    leaves: str = ""
    harm: Harm | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Span:
    """From when until when a subject was broken for one cause; `ended` is `None` while it is. `harm` is that of its
    newest failure. `returns` is how often it was well in between, where several spans are kept as one."""

    began: datetime
    ended: datetime | None = None
    harm: Harm | None = None
    returns: int = 0


@dataclass(frozen=True, slots=True)
class Timeline:
    """A subject's signals of one concern, in the order of their times. `version` is for optimistic locking; 0 means
    never stored.

    Args:
        erased_at: when all was taken out of it. What was seen until then must not come back.
        ended: identities of incidents that it was in, of which people may still have to hear.
    """

    subject: str
    concern: Concern
    entries: tuple[Entry, ...] = ()
    version: int = 0
    erased_at: datetime | None = None
    ended: tuple[str, ...] = ()

    def knows(self, signal: Signal) -> bool:
        """Whether it is in, or older than all that is kept."""
        if self.erased_at is not None and signal.at <= self.erased_at:
            return True
        if any(entry.identity == signal.identity for entry in self.entries):
            return True
        return len(self.entries) >= SIGNALS_KEPT and signal.at <= self.entries[0].at

    def neighbours(self, signal: Signal) -> tuple[Entry, ...]:
        """The signals before and after it that say of everything how it is, as far as there are any."""
        place = (signal.at, signal.identity)
        whole = [entry for entry in self.entries if not entry.leaves]
        before = [entry for entry in whole if (entry.at, entry.identity) < place]
        after = [entry for entry in whole if (entry.at, entry.identity) > place]
        return (*before[-1:], *after[:1])

    def joined_by(self, signal: Signal, incident: str) -> Timeline:
        entries = list(self.entries)
        harm = signal.failure.harm if signal.failure else None
        insort(entries, Entry(signal.at, signal.identity, incident, signal.leaves, harm))
        if self.concern in _SEEN_AGAIN_AND_AGAIN:
            entries = _ends_of_runs(entries)
        return replace(self, entries=tuple(entries[-SIGNALS_KEPT:]))

    def concerned(self, signal: Signal) -> tuple[str, ...]:
        """Identities of the incidents that a signal which is in may change: the one that it is in, and those beside
        it."""
        own = [entry for entry in self.entries if entry.identity == signal.identity]
        return tuple(dict.fromkeys(entry.incident for entry in (*self.neighbours(signal), *own) if entry.incident))

    def spans(self, incident: str, kind: str = "") -> tuple[Span, ...]:
        """When the subject was in the incident: each span ends with the next signal of something else. Args: kind: of
        the incident's cause."""
        found: list[Span] = []
        current: Span | None = None
        for entry in self.entries:
            if entry.incident == incident:
                current = Span(current.began if current else entry.at, harm=entry.harm)
            elif current is not None and not (entry.leaves and entry.leaves == kind):
                found.append(replace(current, ended=entry.at))
                current = None
        return _kept((*found, current) if current is not None else tuple(found))

    def erased(self, at: datetime, *ended: Incident) -> Timeline:
        """Nothing of the subject is left in it but when that was done. Args: ended: incidents that it was in."""
        # Of one that is over people know already; but what they were shown of it is still to change, where it can.
        to_notify = (incident.identity for incident in ended if incident.open or incident.notified is not None)
        return Timeline(
            self.subject,
            self.concern,
            version=self.version,
            erased_at=max(at, self.erased_at or at),
            ended=tuple(dict.fromkeys((*self.ended, *to_notify))),
        )

    @property
    def broken_since(self) -> datetime | None:
        """`None` while the subject is well."""
        if self.settled:
            return None
        well = [number for number, entry in enumerate(self.entries) if not (entry.incident or entry.leaves)]
        return self.entries[well[-1] + 1 if well else 0].at

    @property
    def last_at(self) -> datetime | None:
        """When the newest of its signals was."""
        return self.entries[-1].at if self.entries else None

    @property
    def settled(self) -> bool:
        """Whether the subject is well."""
        return not self.entries or not (self.entries[-1].incident or self.entries[-1].leaves)


def _ends_of_runs(entries: list[Entry]) -> list[Entry]:
    """Of signals in a row that are in one incident, the first and the last. As many breaches can be seen as questions
    are asked, and a loss is seen in every round: when the first of them began to be forgotten, so would be since when
    it goes on."""
    return [
        entry
        for number, entry in enumerate(entries)
        if not (
            0 < number < len(entries) - 1
            and entries[number - 1].incident == entry.incident == entries[number + 1].incident
        )
    ]


def _kept(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """The newest spans of a member, and all before as one."""
    earlier = spans[: len(spans) - SPANS_KEPT + 1] if len(spans) > SPANS_KEPT else ()
    if not earlier:
        return spans
    returns = sum(span.returns for span in earlier) + len(earlier) - 1
    return (replace(earlier[-1], began=earlier[0].began, returns=returns), *spans[len(earlier) :])


class NoticeKind(StrEnum):
    OPENED = "OPENED"
    GROWN = "GROWN"
    MORE_FAILURES = "MORE_FAILURES"
    CAME_BACK = "CAME_BACK"
    COMES_AND_GOES = "COMES_AND_GOES"
    OVER = "OVER"


@dataclass(frozen=True, slots=True)
class Notified:
    """What people know of an incident.

    Args:
        message: how the channel names the first message; empty if it gives no names.
        shown: a digest of what the first message shows.
        notices: how many were sent, the first message among them.
        open, subjects, returns, news_at: how the incident was when the last of them was made.
    """

    message: str
    shown: str
    notices: int
    open: bool
    subjects: int
    returns: int
    news_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """To post `alert`, or to have the first message show it; `then` is what people know after that."""

    alert: Alert
    then: Notified
    post: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to send a notice. `posting` is the identity of what is being posted, if anything is."""

    since: datetime
    until: datetime
    then: Notified
    posting: str


@dataclass(frozen=True, slots=True)
class Crowd:
    """What is known of all members of an incident together, each of whom is kept by itself. It changes with one member
    at a time. So `last_ended` and `returns` are what came of the signals in the order in which they arrived; of few
    members, all is a function of the signals alone.

    Args:
        members: how many are in the incident; `broken`, how many of them still are.
        harms: of those that are still broken, how many are hurt how; "" where that is not known.
    """

    members: int
    broken: int
    opened_at: datetime
    last_ended: datetime | None = None
    returns: int = 0
    harms: Mapping[str, int] = field(default_factory=dict)

    @staticmethod
    def of(affected: Mapping[str, tuple[Span, ...]]) -> Crowd:
        last = [spans[-1] for spans in affected.values()]
        return Crowd(
            len(last),
            sum(span.ended is None for span in last),
            min(spans[0].began for spans in affected.values()),
            max((span.ended for span in last if span.ended is not None), default=None),
            _returns(span for spans in affected.values() for span in spans),
            Counter(_harm(span) for span in last if span.ended is None),
        )

    def changed(self, before: tuple[Span, ...], after: tuple[Span, ...]) -> Crowd:
        """With other spans of one member; without any, it is not in the incident."""
        was, now = ([span for span in spans[-1:] if span.ended is None] for spans in (before, after))
        broken = self.broken + len(now) - len(was)
        ends = (self.last_ended, after[-1].ended if after else None)
        harms = Counter(self.harms)
        harms.update(map(_harm, now))
        harms.subtract(map(_harm, was))
        return Crowd(
            self.members + bool(after) - bool(before),
            broken,
            min(self.opened_at, after[0].began) if after else self.opened_at,
            max((end for end in ends if end is not None), default=None),
            self.returns + (not self.broken and broken > 0),
            +harms,
        )


def _harm(span: Span) -> str:
    return span.harm.value if span.harm is not None else ""


@dataclass(frozen=True, slots=True)
class Incident:
    """What is broken for one cause. `number` distinguishes the incidents of one cause. `version` is for optimistic
    locking; 0 means never stored.

    Its record has a bound, for whatever number of members: of more than `TOGETHER`, it is a crowd.

    Args:
        affected: the spans of all members; of a crowd, of those that are at hand.
        crowd: counts of all members, where they are too many to be kept together.
        named: of a crowd, some of those that are still broken, the first by their names.
        evidence: of the newest failure, of those whose evidence says most.
        news_at: when the newest failure was that people must hear of although they know that the subject is broken.
        claim: of the notifier that is sending a notice, or that died before it said whether it had sent it.
        erased: whether the only subject that is left is one of whom nothing may be said any more.
    """

    cause: RootCause
    number: int
    concern: Concern
    verb: str
    evidence: Alert
    evidence_at: tuple[datetime, str]
    evidence_weight: int = 0
    affected: Mapping[str, tuple[Span, ...]] = field(default_factory=dict)
    news_at: datetime | None = None
    notified: Notified | None = None
    claim: Claim | None = None
    version: int = 0
    erased: bool = False
    crowd: Crowd | None = None
    named: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        return f"{self.cause.key}/{self.number}"

    @staticmethod
    def opened_by(signal: Signal, failure: Failure, cause: RootCause, number: int) -> Incident:
        return Incident(
            cause,
            number,
            signal.concern,
            failure.verb,
            failure.evidence,
            (signal.at, signal.identity),
            failure.weight,
            news_at=signal.at if failure.news else None,
        )

    # --- what it consists of ---

    @property
    def opened_at(self) -> datetime:
        if self.crowd is not None:
            return self.crowd.opened_at
        return min(span.began for spans in self.affected.values() for span in spans)

    @property
    def closed_at(self) -> datetime | None:
        """`None` while a subject is broken."""
        if self.crowd is not None:
            return None if self.crowd.broken else self.crowd.last_ended
        ends = [spans[-1].ended for spans in self.affected.values()]
        return None if None in ends else max(end for end in ends if end is not None)

    @property
    def open(self) -> bool:
        return self.closed_at is None

    @property
    def returns(self) -> int:
        """How often all was well, and then it began again."""
        if self.crowd is not None:
            return self.crowd.returns
        return _returns(span for spans in self.affected.values() for span in spans)

    @property
    def hit(self) -> int:
        """How many are or were in it."""
        return self.crowd.members if self.crowd is not None else len(self.affected)

    @property
    def broken(self) -> int:
        """How many still are."""
        return self.crowd.broken if self.crowd is not None else len(self.still_affected)

    @property
    def still_affected(self) -> tuple[str, ...]:
        """Those that are still broken, by their names; of a crowd, the first of them."""
        if self.crowd is not None:
            return self.named
        return tuple(sorted(subject for subject, spans in self.affected.items() if spans[-1].ended is None))

    @property
    def harm(self) -> Harm | None:
        """How askers of those are hurt that are still broken: the worst of it. `None` where nobody's answers are
        concerned."""
        harms = self._harms()
        return worst(harms) if harms else None

    def harm_of(self, subject: str) -> Harm | None:
        """How the answers of one are hurt that is at hand; `None` where that is not known, or they are not."""
        spans = self.affected.get(subject)
        return spans[-1].harm if spans else None

    def _harms(self) -> Mapping[Harm, int]:
        """Of those that are still broken, how many are hurt how, the worst first."""
        if self.crowd is not None:
            harms = Counter(self.crowd.harms)
        else:
            harms = Counter(_harm(self.affected[subject][-1]) for subject in self.still_affected)
        left = {Harm(harm): count for harm, count in harms.items() if harm and count > 0}
        unknown = self.broken - sum(left.values())
        if unknown > 0 and self.concern is not Concern.OFFBOARDING:
            # Of what was recorded before there was a harm, nobody has looked.
            left[Harm.UNKNOWN] = left.get(Harm.UNKNOWN, 0) + unknown
        ordered = {}
        while left:
            told = worst(left)
            ordered[told] = left.pop(told)
        return ordered

    def takes_in(self, signal: Signal) -> bool:
        """Whether a failure of its cause belongs to it."""
        if self.erased:
            return False
        closed = self.closed_at
        too_late = closed is not None and signal.at > closed + FLAP_WINDOW
        return not too_late and signal.at >= self.opened_at - FLAP_WINDOW

    def joined_by(self, signal: Signal) -> Incident:
        """Takes what is shown of a failure of its cause, if that is newer."""
        failure = signal.failure
        if failure is None:
            return self
        # It may have been erased what the cause was called by.
        joined = replace(self, cause=next((each for each in failure.causes if each.key == self.cause.key), self.cause))
        place = (signal.at, signal.identity)
        if (failure.weight, *place) >= (self.evidence_weight, *self.evidence_at):
            joined = replace(
                joined,
                verb=failure.verb,
                evidence=failure.evidence,
                evidence_at=place,
                evidence_weight=failure.weight,
            )
        if failure.news and (joined.news_at is None or signal.at > joined.news_at):
            joined = replace(joined, news_at=signal.at)
        return joined

    def following(self, timeline: Timeline) -> Incident:
        """As a subject's timeline has it now."""
        subject, spans = timeline.subject, timeline.spans(self.identity, self.cause.kind)
        if not spans:
            return self
        followed = replace(self, affected={**self.affected, subject: spans})
        if self.crowd is None:
            return followed.gathered() if len(followed.affected) > TOGETHER else followed
        return replace(followed, crowd=self.crowd.changed(self.affected.get(subject, ()), spans))

    def gathered(self) -> Incident:
        """As it is kept: within its bounds, and a crowd if its members are too many to be kept together. What an older
        version has stored may need that without having changed."""
        if self.crowd is not None:
            return self
        affected = {subject: _kept(spans) for subject, spans in self.affected.items()}
        bounded = replace(self, affected=affected, evidence=self.evidence.within(EVIDENCE_BYTES))
        if len(affected) <= TOGETHER:
            return bounded
        return replace(bounded, crowd=Crowd.of(affected), named=self.still_affected[:MAX_COMMANDED])

    def says_nothing_of(self, subject: str) -> bool:
        """Whether it has nothing of a subject but, where nobody else was in it, whose it was and when."""
        return self.erased or (subject not in self.affected and self.evidence.subject != subject)

    def without(self, subject: str, at: datetime) -> Incident:
        """How it goes on when nothing of a subject may be left.

        If others are in it, the subject leaves it, with what was shown of it, and with its words for the cause: those
        that are shown are of the evidence's subject. If nobody else is, the incident is over at that time, and has only
        whose it was: people who were notified of it must still hear of its end.
        """
        others = {name: spans for name, spans in self.affected.items() if name != subject}
        heard_of = self.notified.news_at if self.notified else None
        crowd = self.crowd.changed(self.affected.get(subject, ()), ()) if self.crowd is not None else None
        if crowd.members if crowd is not None else others:
            named = tuple(name for name in self.named if name != subject)
            left = replace(self, affected=others, crowd=crowd, named=named, news_at=heard_of)
            if self.evidence.subject != subject:
                return left
            cause = self.cause if self.cause.in_our_words else replace(self.cause, label=_FAILED)
            return replace(left, cause=cause, **_nothing_to_show(self.evidence, cause.label))
        spans = tuple(Span(span.began, span.ended or at) for span in self.affected.get(subject, ()))
        return replace(
            self,
            # Where it is the cause of one tenant only, its label may hold the tenant's words.
            cause=replace(self.cause, label=_ENDED_WITH_ITS_SUBJECT),
            affected={subject: spans},
            crowd=None,
            named=(),
            news_at=heard_of,
            erased=True,
            **_nothing_to_show(self.evidence, _ENDED_WITH_ITS_SUBJECT),
        )

    # --- which notices people get ---

    def due(self) -> NoticeKind | None:
        """What people have to hear next, beside what the first message shows."""
        notified = self.notified
        if notified is None:
            return NoticeKind.OPENED
        if self.open and self._grown(notified.subjects):
            return NoticeKind.GROWN
        if self.returns >= FLAPPING_AFTER:
            more = notified.returns < FLAPPING_AFTER or self.returns >= 2 * notified.returns
            return NoticeKind.COMES_AND_GOES if more else None
        if notified.open != self.open:
            return NoticeKind.CAME_BACK if self.open else NoticeKind.OVER
        alone = self.hit == 1
        if alone and self.open and self.news_at and (notified.news_at is None or self.news_at > notified.news_at):
            return NoticeKind.MORE_FAILURES
        return None

    def _grown(self, heard_of: int) -> bool:
        """Whether so many more are hit than people have heard of that they must hear of it again: at 10, at 100, at
        1,000 and so on; of a few, where it may be a coincidence that they fail alike, of each."""
        tens = len(str(self.hit)) > len(str(heard_of))
        return tens or (not self.cause.shared and min(self.hit, FEW) > heard_of)

    @property
    def told_of(self) -> str:
        """The one that its message is about, by which it is called there; empty where it is about several."""
        # It is about one, also where others were in it that are well by now.
        about = self.still_affected if self.open else tuple(self.affected)
        return about[0] if (self.broken if self.open else self.hit) == 1 and len(about) == 1 else ""

    @property
    def tenant_told_of(self) -> str:
        """The same, if it is a tenant of whom something may be said."""
        return "" if self.erased or self.concern in {Concern.ALARM, Concern.FLEET} else self.told_of

    def notice(self, deployment: Deployment, name: str = "") -> Notice | None:
        """What to do now, so that people know all that they should; `None` when they do.

        Args:
            name: what `tenant_told_of` calls itself.
        """
        notified, kind, first = self.notified, self.due(), self.message(deployment, name=name)
        if kind is not None:
            message = first if notified is None else self.message(deployment, kind, name)
            return Notice(
                replace(message, identity=f"{self.identity}/{notified.notices if notified else 0}"),
                Notified(
                    message=notified.message if notified else "",
                    shown=notified.shown if notified else digest(first),
                    notices=notified.notices + 1 if notified else 1,
                    open=self.open,
                    subjects=self.hit,
                    returns=self.returns,
                    news_at=self.news_at,
                ),
                post=True,
            )
        if notified and notified.message and notified.shown != digest(first):
            return Notice(first, replace(notified, shown=digest(first)), post=False)
        return None

    def claimed(self, notice: Notice, now: datetime, duration: timedelta) -> Incident:
        return replace(
            self, claim=Claim(now, now + duration, notice.then, notice.alert.identity if notice.post else "")
        )

    def settled(self, message: str | None) -> Incident:
        """The notice that was claimed is sent. Args: message: how the channel names what was posted."""
        if self.claim is None:
            return self
        notified = self.claim.then
        if not (self.notified and self.notified.message) and message:
            notified = replace(notified, message=message)
        return replace(self, notified=notified, claim=None)

    def released(self) -> Incident:
        """The notice that was claimed was not sent."""
        return replace(self, claim=None)

    # --- what it says ---

    def message(self, deployment: Deployment, kind: NoticeKind = NoticeKind.OPENED, name: str = "") -> Alert:
        """The first message as it should be now, or a later one. Args: name: as in `notice`."""
        evidence, broken, single = self.evidence, self.open, self.told_of
        shows_all = bool(single) and (self.hit == 1 or evidence.subject == single)
        alarm = self.concern is Concern.ALARM
        who = f"{(self.broken if broken else self.hit):,} {'alarms' if alarm else 'tenants'}"
        if single:
            who = deployment.logical_name(single) if alarm else single
        own = evidence.title.removeprefix(f"{evidence.subject}: ")
        what = own if shows_all else self.cause.label
        # An alarm brings its name and its description, and many their cause, in words that may not be ours.
        noticed = (
            f"{who}: {own}" if not alarm else f"{who if who.isascii() and who.isalnum() else 'An alarm'}: went off"
        )
        # Of many, one's reason is an example, and its documents are not what all have in common.
        reasons = evidence.reasons if shows_all else _example(evidence)
        if not shows_all:
            # One tenant's own resources are not what all have in common.
            evidence = replace(evidence, links=tuple(link for link in evidence.links if link.runbook))
        return Alert(
            identity=f"{self.identity}/{kind}",
            severity=Severity.BROKEN if broken else Severity.RECOVERED,
            title=self._headline(kind, f"{who}: {what}"),
            subject=single,
            facts=(
                *self._who_is_hurt(name),
                *self._times(shows_all=shows_all),
                *self._how_it_goes(kind),
                *(self._evidence_facts() if shows_all and broken else ()),
            ),
            reasons=reasons if broken else (),
            reasons_left_out=evidence.reasons_left_out if broken and shows_all else 0,
            advice=self._advice(deployment) if broken else "",
            command=self._command(deployment) if broken else "",
            links=evidence.links,
            notice=self._headline(kind, noticed),
            harm=self.harm,
            hurt=self._hurt() if broken else "",
        )

    def _hurt(self) -> str:
        """In so few words that a locked screen shows them, with whom it is about."""
        harms = self._harms()
        if not harms:
            return _NO_ASKER
        told, count = next(iter(harms.items()))
        return told.label if len(harms) == 1 else f"{told.label} for {count:,} of {self.broken:,}"

    def _who_is_hurt(self, name: str) -> Iterable[tuple[str, str]]:
        harms = self._harms()
        if self.open:
            of_each = [
                harm.sentence if len(harms) == 1 else f"{count:,} of {self.broken:,}: {harm.sentence}"
                for harm, count in harms.items()
            ]
            yield "Hurt", " ".join((*self._whom(harms), *of_each)) or _OUT_OF_SERVICE
        if self.concern not in {Concern.ALARM, Concern.FLEET} and (tenant := self.told_of):
            yield "Tenant", f"{tenant} ({name})" if name and name != tenant else tenant
        if self.hit > 1:
            first = self._worst_first()[:NAMED]
            more = f" and {self.broken - len(first):,} more" if self.broken > len(first) else ""
            named = ", ".join(first) + more
            yield "Still broken", f"{self.broken:,} of {self.hit:,}: {named}" if self.broken else "none"

    def _whom(self, harms: Mapping[Harm, int]) -> Iterable[str]:
        """That nobody is hurt, or that it is not known, stands first, where it is so; and where no tenant is named, of
        whom it may be true."""
        if set(harms) == {Harm.MACHINERY_ONLY}:
            yield "Nobody."
        elif set(harms) == {Harm.UNKNOWN}:
            yield "Not known."
        elif self.concern is Concern.ALARM:
            yield "Some tenants: an alarm does not say which."
        elif self.concern is Concern.FLEET:
            yield "All tenants that use it."

    def _worst_first(self) -> Sequence[str]:
        """Those that are still broken; of a crowd, whose members are not at hand, by their names."""
        if self.crowd is not None:
            return self.named
        order = list(self._harms())
        harm = {subject: self.affected[subject][-1].harm or Harm.UNKNOWN for subject in self.still_affected}
        return sorted(harm, key=lambda subject: order.index(harm[subject]) if order else 0)

    def _times(self, *, shows_all: bool) -> Iterable[tuple[str, datetime]]:
        known = self.evidence.since if shows_all else None
        yield "Since", min(self.opened_at, known or self.opened_at)
        closed = self.closed_at
        if closed is not None:
            yield "Over since", closed

    def _how_it_goes(self, kind: NoticeKind) -> Iterable[tuple[str, str]]:
        if kind is NoticeKind.GROWN and self.notified is not None:
            yield "Growing", f"{self.hit:,} so far; {self.notified.subjects:,} when you heard of it last"
        if self.returns:
            often = "once" if self.returns == 1 else f"{self.returns} times"
            quiet = "; you will hear of it again only when that doubles" if self.returns >= FLAPPING_AFTER else ""
            yield "Came back", f"{often}{quiet}"

    def _advice(self, deployment: Deployment) -> str:
        unknown = self.tenant_told_of and Harm.UNKNOWN in self._harms()
        looked = deployment.command("tenant show", self.tenant_told_of) if unknown else ""
        look = f"`{looked}` says whether all is there that answers rest on." if unknown else ""
        first = self.verb and self.broken > MAX_COMMANDED
        some = f"The command is for the first {MAX_COMMANDED} of {self.broken:,}." if first else ""
        advice = self.evidence.advice.removeprefix(_CLAIMED_BEFORE)
        return " ".join(filter(None, (look, some, advice)))

    def _command(self, deployment: Deployment) -> str:
        """For all who are broken; what has no tenants, as an alarm, brings its own."""
        return deployment.commands(self.verb, self.still_affected) if self.verb else self.evidence.command

    def _headline(self, kind: NoticeKind, what: str) -> str:
        match kind:
            case NoticeKind.OVER:
                return f"Over: {what}"
            case NoticeKind.CAME_BACK:
                return f"Again: {what}"
            case NoticeKind.COMES_AND_GOES:
                return f"Comes and goes: {what}"
            case NoticeKind.MORE_FAILURES:
                return f"News: {what}"
            case _:
                return what if self.open else f"Over: {what}"

    def _evidence_facts(self) -> Iterable[tuple[str, str | datetime]]:
        """What is known of the newest failure, beside whose it is."""
        return (fact for fact in self.evidence.facts if fact != ("Tenant", self.told_of))


class _Shown(TypedDict):
    evidence: Alert
    evidence_at: tuple[datetime, str]
    evidence_weight: int


def _nothing_to_show(evidence: Alert, title: str) -> _Shown:
    """In the place of evidence of which nothing may be left, until there is some of another subject."""
    runbook = tuple(link for link in evidence.links if link.runbook)
    nothing = Alert(identity="", severity=evidence.severity, title=title, subject="", facts=(), links=runbook)
    return {"evidence": nothing, "evidence_at": (_NEVER, ""), "evidence_weight": 0}


def _example(evidence: Alert) -> tuple[Reason, ...]:
    """Of one of many, what all have in common: the reason, but not the documents."""
    return tuple(
        replace(one, text=f"{evidence.subject}, for example: {one.text}", documents=(), documents_left_out=0)
        for one in evidence.reasons[:1]
    )


def _returns(spans: Iterable[Span]) -> int:
    """How often all was well between the spans, and then something began again."""
    united: list[Span] = []
    for span in sorted(spans, key=lambda each: each.began):
        last = united[-1] if united else None
        if last is None or (last.ended is not None and last.ended < span.began):
            united.append(span)
            continue
        ended = None if last.ended is None or span.ended is None else max(last.ended, span.ended)
        united[-1] = Span(last.began, ended, returns=max(last.returns, span.returns))
    return len(united) - 1 + sum(span.returns for span in united)


def digest(alert: Alert) -> str:
    """The same for messages that show the same."""
    return hashlib.sha256(repr(alert).encode()).hexdigest()[:32]
