"""What was observed, for people, for programs and for a public issue; and a report read back.

A report holds identities of facts, words and numbers of ours. Nothing in it names an account, a resource, a tenant, a
document or a host, and nothing that is read from one acts: it is compared with what is known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from math import inf
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cli.verify.facts import FACTS, Fact, NotObserved, Observation, Took, Verdict, Word
from kbfleet.domain.errors import InvalidInput

MAX_BYTES = 256 * 1024
MAX_LINES = 200
_LONGEST_SECONDS = 1_000_000
Identity = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,59}$")]
Phrase = Annotated[str, Field(max_length=160, pattern=r"^[A-Za-z0-9 ,.:;'()_-]*$")]
Seconds = Annotated[float, Field(ge=0, le=_LONGEST_SECONDS, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Line(_Part):
    """One fact. Of `seconds`, `word` and `because` there is one; `seconds` without a second number had no end."""

    fact: Identity
    verdict: Verdict
    seconds: tuple[Seconds, Seconds | None] | None = None
    word: Phrase | None = None
    because: Phrase | None = None
    took: Seconds = 0.0

    @classmethod
    def of(cls, fact: Fact, observation: Observation, took: float) -> Line:
        verdict, rounded = fact.verdict(observation), round(took, 1)
        match observation:
            case Took(at_least, at_most):
                end = None if at_most == inf else round(at_most, 1)
                return cls(fact=fact.identity, verdict=verdict, seconds=(round(at_least, 1), end), took=rounded)
            case Word(word):
                return cls(fact=fact.identity, verdict=verdict, word=word, took=rounded)
            case NotObserved(because):
                return cls(fact=fact.identity, verdict=verdict, because=because, took=rounded)

    @property
    def observation(self) -> Observation:
        """Raises: InvalidInput when the line says nothing, more than one thing, or what cannot be."""
        given = [each for each in (self.seconds, self.word, self.because) if each is not None]
        if len(given) != 1:
            raise InvalidInput("report", f"{self.fact} has not one observation.")
        if self.seconds is not None:
            at_least, at_most = self.seconds
            if at_most is not None and at_most < at_least:
                raise InvalidInput("report", f"{self.fact} ended before it began.")
            return Took(at_least, inf if at_most is None else at_most)
        return Word(self.word) if self.word is not None else NotObserved(self.because or "")


class Report(_Part):
    """Args:
    format: of this file.
    speed: how many times as fast as AWS the fleet lived; 1 on AWS.
    """

    format: Annotated[int, Field(ge=1, le=1)] = 1
    kbfleet: Annotated[str, Field(max_length=40, pattern=r"^[0-9A-Za-z.+-]+$")]
    region: Annotated[str, Field(max_length=30, pattern=r"^[a-z]{2,3}(-[a-z]+)+-[0-9]{1,2}$")]
    made_on: date
    speed: Annotated[float, Field(gt=0, le=10_000)] = 1.0
    facts: Annotated[tuple[Line, ...], Field(max_length=MAX_LINES)]

    @classmethod
    def read(cls, path: Path) -> Report:
        """Raises: InvalidInput when it is none, or a line of it is none."""
        try:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise InvalidInput("report", f"cannot be read: {error.strerror}.") from error
        if len(content) > MAX_BYTES:
            raise InvalidInput("report", f"is longer than {MAX_BYTES:,} bytes.")
        try:
            report = cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise InvalidInput("report", f"is none of kbfleet's: {first['type']}.") from None
        for line in report.facts:
            _ = line.observation
        if len({line.fact for line in report.facts}) < len(report.facts):
            raise InvalidInput("report", "says two things of one fact.")
        return report

    def count(self, verdict: Verdict) -> int:
        return sum(line.verdict is verdict for line in self.facts)


@dataclass(frozen=True, slots=True)
class Difference:
    """A fact that a report has observed otherwise than this version, and its emulator, take it to be."""

    fact: Fact
    observation: Observation


@dataclass(frozen=True, slots=True)
class Comparison:
    """Args:
    unknown: how many facts of the report this version does not know.
    not_observed: the facts of this version of which the report says nothing.
    """

    differences: tuple[Difference, ...]
    confirmed: int
    not_observed: tuple[str, ...]
    unknown: int


def compare(report: Report, facts: Mapping[str, Fact] = FACTS) -> Comparison:
    """The verdicts are this version's: what a report was written to believe does not count."""
    lines = {line.fact: line.observation for line in report.facts if line.fact in facts}
    verdicts = {identity: facts[identity].verdict(observation) for identity, observation in lines.items()}

    def of(verdict: Verdict) -> Iterator[str]:
        return (identity for identity in facts if verdicts.get(identity, Verdict.NOT_OBSERVED) is verdict)

    return Comparison(
        tuple(Difference(facts[identity], lines[identity]) for identity in of(Verdict.REFUTED)),
        sum(1 for _ in of(Verdict.CONFIRMED)),
        tuple(of(Verdict.NOT_OBSERVED)),
        sum(line.fact not in facts for line in report.facts),
    )
