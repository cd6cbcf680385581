"""How askers are hurt by what is broken. It is the severity of a finding and of an incident, wherever it is told."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Harm(StrEnum):
    """From the worst to the least."""

    NO_ANSWERS = "NO_ANSWERS"
    """Every question fails, or finds nothing."""
    WRONG_ANSWERS = "WRONG_ANSWERS"
    """Answers come from what the tenant's documents do not say, or say no more."""
    DOCUMENTS_MISSING = "DOCUMENTS_MISSING"
    """Answers come, but some documents are in none of them."""
    MACHINERY_ONLY = "MACHINERY_ONLY"
    """Answers come from every document, as they should; what works on that is broken."""
    UNKNOWN = "UNKNOWN"
    """Nobody has looked. It is told as that, and never as well."""

    @property
    def sentence(self) -> str:
        """What is true of the tenant's answers meanwhile."""
        return _SENTENCES[self]

    @property
    def label(self) -> str:
        """The same in so few words that a locked screen shows them."""
        return _LABELS[self]

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Harm).index(self)


def worst(harms: Iterable[Harm]) -> Harm:
    """What is to be told of several together. That nobody has looked goes before all that says that answers come.

    Raises:
        ValueError: there are none.
    """
    return min(harms, key=told_first)


def told_first(harm: Harm) -> int:
    """The place among harms in which it is told: 0 first."""
    return _TOLD_FIRST.index(harm)


_TOLD_FIRST = (Harm.NO_ANSWERS, Harm.WRONG_ANSWERS, Harm.UNKNOWN, Harm.DOCUMENTS_MISSING, Harm.MACHINERY_ONLY)
_LABELS = {
    Harm.NO_ANSWERS: "No answers",
    Harm.WRONG_ANSWERS: "Wrong or old answers",
    Harm.DOCUMENTS_MISSING: "Documents missing",
    Harm.MACHINERY_ONLY: "Machinery only",
    Harm.UNKNOWN: "Harm not known",
}
_SENTENCES = {
    Harm.NO_ANSWERS: "No question is answered meanwhile.",
    Harm.WRONG_ANSWERS: "Answers may be wrong or old meanwhile.",
    Harm.DOCUMENTS_MISSING: "Answers come, but not from all documents.",
    Harm.MACHINERY_ONLY: "Answers come from all documents.",
    Harm.UNKNOWN: "Nobody has looked yet whether answers come.",
}
