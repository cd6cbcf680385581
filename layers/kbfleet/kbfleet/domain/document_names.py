"""Documents by their names: which are a tenant's own, and which ones AWS's words name.

A name that comes from outside is never taken for one because it looks like one. It is compared with the keys that are
in the tenant's own bucket; what names nothing there is words.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import product
from typing import Literal

from kbfleet.domain.errors import InvalidInput, IsolationBreached

MAX_KEY_BYTES = 1_024
"""Of UTF-8. Source: Amazon S3 User Guide, Naming Amazon S3 objects."""

MAX_REASON_LENGTH = 2_048
"""Characters of one failure reason. Source: botocore model of bedrock-agent, shape FailureReason."""

_MIXED_PARTS = 4
"""Of a key, up to which every mixture of spellings is thought of: sixteen at most. Ours."""

_NAMES_BEGIN = re.compile(r"\[Files:|s3://|arn:[\w-]*:s3:::[^\s/]*/")
_COUNTED = re.compile(r"\bIgnored (\d{1,9}) files?\b")


def is_in(bucket: str, uri: str) -> bool:
    """Whether a document's URI names something in that bucket."""
    return uri.startswith(f"s3://{bucket}/") and uri != f"s3://{bucket}/"


def key_in(bucket: str, uri: str) -> str:
    """The key of a document that must be in that bucket.

    Raises:
        IsolationBreached: it is not.
    """
    if not is_in(bucket, uri):
        raise IsolationBreached(
            f"A document outside bucket {bucket} was about to be used for the tenant of that bucket.",
            remedy="See docs/runbook/isolation-breached.md.",
        )
    return uri.removeprefix(f"s3://{bucket}/")


def document_id(key: str) -> str:
    """A key as a part of a path: base64url of its UTF-8, without padding. No server, client, proxy or policy on its way
    decodes, normalises or splits it, whatever is in the key (decision 63)."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def key_of(identity: str) -> str:
    """The key that `document_id` has made that of.

    Raises:
        InvalidInput: naming the field `document`. There is one spelling for each key.
    """
    try:
        key = base64.b64decode(identity + "=" * (-len(identity) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        key = ""
    if not 1 <= len(key.encode()) <= MAX_KEY_BYTES or document_id(key) != identity:
        remedy = "A list of documents says the id of each: base64url of its key in UTF-8, without padding."
        raise InvalidInput("document", "is not the id of a document.", remedy=remedy)
    return key


def other_spellings(key: str) -> tuple[str, ...]:
    """Keys that look the same as this one and are others to S3, which compares bytes.

    Unicode writes a letter with its mark, such as `é` or the `が` of Japanese, in one character (NFC) or in two (NFD);
    file systems and programs differ in which they give, so a folder may be named in one form and what is in it in the
    other. The likely ones come first. A name that is itself a mixture of both is not thought of. Source: Unicode
    Standard Annex 15.
    """
    whole = [unicodedata.normalize(form, key) for form in _FORMS]
    parts = [tuple(dict.fromkeys(unicodedata.normalize(form, part) for form in _FORMS)) for part in key.split("/")]
    few = sum(len(part) > 1 for part in parts) <= _MIXED_PARTS
    spellings = dict.fromkeys([*whole, *("/".join(mixed) for mixed in (product(*parts) if few else ()))])
    return tuple(each for each in spellings if each != key and _bytes(each) <= MAX_KEY_BYTES)


def _bytes(name: str) -> int:
    """Of UTF-8; also of a file's name that is none, which S3 refuses by itself."""
    return len(name.encode("utf-8", "surrogatepass"))


_FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")


def appearance(name: str) -> str:
    """The same for names that look the same: which differ in their form of Unicode only."""
    return unicodedata.normalize("NFC", name)


def form_of(key: str) -> str:
    """In which of the two forms of Unicode a key is written, for people."""
    return next((form for form in _FORMS if unicodedata.is_normalized(form, key)), "NFC and NFD, mixed")


def words_and_names(text: str) -> tuple[str, str]:
    """AWS's own words, and what follows them from the first place on where the name of an object may stand.

    Where a name ends cannot be seen, because it may hold anything; so what stands behind it may be part of it.
    """
    begins = _NAMES_BEGIN.search(text)
    return (text[: begins.start()].strip(), text[begins.start() :]) if begins else (text.strip(), "")


def counted_in(words: str) -> int | None:
    """How many documents a reason says that it is about; `None` if it does not."""
    counted = _COUNTED.search(words)
    return int(counted[1]) if counted else None


def named_in(
    words: str, names: str, bucket: str, present: Callable[[Sequence[str]], Collection[str]]
) -> tuple[str, ...]:
    """The keys that a failure reason names.

    It lists documents as `[Files: s3://bucket/key, s3://bucket/other key]` (reported by users). Every way to read that
    as a list of keys that are there is looked for. Two ways, or none, name nothing: guessing would blame a document
    that nothing is wrong with.

    Args:
        words: AWS's own, in front of the names; they may say how many there are.
        names: the rest, as `words_and_names` gives it.
        bucket: the tenant's own.
        present: of some keys, of which each begins with the one before it, those that are in the bucket.
    """
    opening, between = f"[Files: s3://{bucket}/", f", s3://{bucket}/"
    if not names.startswith(opening) or len(names) > MAX_REASON_LENGTH:
        return ()
    readings = _Readings(names, between, present).readings_from(len(opening))
    counted = readings.get(counted_in(words) or 0)
    # AWS cuts long lists, so there may be fewer names than it says.
    possible = (
        counted if counted else [reading for readings_of_length in readings.values() for reading in readings_of_length]
    )
    return possible[0] if len(possible) == 1 else ()


class _Readings:
    """Ways to read a list of names, by where in it they begin; of each number of names two at most, which is one too
    many already."""

    def __init__(self, names: str, between: str, present: Callable[[Sequence[str]], Collection[str]]) -> None:
        self._names = names
        self._between = between
        self._present = present
        # What AWS says behind a list holds no bracket; a name may hold many.
        self._last = names.rfind("]")
        marks = (match.start() for match in re.finditer(re.escape(between), names[: self._last]))
        self._ends = [*marks, self._last] if self._last >= 0 else []
        self._known: dict[int, Mapping[int, list[tuple[str, ...]]]] = {}

    def readings_from(self, start: int) -> Mapping[int, list[tuple[str, ...]]]:
        if start not in self._known:
            self._known[start] = self._found(start)
        return self._known[start]

    def _found(self, start: int) -> Mapping[int, list[tuple[str, ...]]]:
        candidates = {
            key: end
            for end in self._ends
            if end > start and len((key := self._names[start:end]).encode()) <= MAX_KEY_BYTES
        }
        found: dict[int, list[tuple[str, ...]]] = {}
        there = self._present(list(candidates)) if candidates else ()
        for key in (key for key in candidates if key in there):
            for number, readings in self._rest(candidates[key]).items():
                known = found.setdefault(number + 1, [])
                known += [(key, *reading) for reading in readings[: 2 - len(known)]]
        return found

    def _rest(self, end: int) -> Mapping[int, list[tuple[str, ...]]]:
        """What may follow a key that ends there: the end of the list, or another key."""
        return {0: [()]} if end == self._last else self.readings_from(end + len(self._between))
