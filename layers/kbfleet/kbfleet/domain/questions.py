"""A tenant's golden questions: what is asked again and again, and what is expected of the answer.

In files and in the API they have the names that ragas gives such things: `user_input`, `reference_context_ids` and
`reference` (ragas documentation, SingleTurnSample). What ragas has no name for is called as here.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Self

from kbfleet.domain.answer import LongQuestion, Question
from kbfleet.domain.bounds import ITEM_BYTES, size
from kbfleet.domain.document_names import MAX_KEY_BYTES, appearance
from kbfleet.domain.errors import InvalidInput, QuestionNotFound
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.names import Life, TenantId
from kbfleet.domain.uploads import METADATA_SUFFIX
from kbfleet.domain.validated_text import ValidatedText

MAX_TEXT = {KnowledgeBaseKind.VECTOR: Question.most, KnowledgeBaseKind.MANAGED: LongQuestion.most}
MAX_QUESTIONS = 100
"""Of a tenant: a run asks each of them."""
MAX_EXPECTED = 20
MAX_CONTAINED, MAX_CONTAINED_LENGTH = 20, 200
MAX_REFERENCE = 10_000

QUESTION_ID_PATTERN = "q[0-9a-z]{4,20}"
_ID = re.compile(QUESTION_ID_PATTERN)
_UNWRITABLE = {"Cc", "Cs"}
"""Of Unicode's general categories: control characters, and halves of pairs of UTF-16."""


class QuestionId(ValidatedText):
    """Drawn at random, so that it says nothing of the question, and may stand in logs and messages.

    Raises:
        InvalidInput: naming the field `id`.
    """

    __slots__ = ()

    def __new__(cls, value: object) -> Self:
        if not isinstance(value, str) or not _ID.fullmatch(value):
            raise InvalidInput("id", "is not a question's id: a q, and 4 to 20 of a-z and 0-9.")
        return super().__new__(cls, value)


@dataclass(frozen=True, slots=True)
class GoldenQuestion:
    """A question, and what is expected of its answer.

    Args:
        text: what is asked; without white space at its ends.
        expected: keys of documents, of which one at least is to be found; `expects` compares with them.
        contains: texts that the answer has in it, however they are written: in capitals, in full width.
        must_refuse: whether the documents do not answer it, and the answer is to say so.
        reference: a right answer, for people and other tools. Nothing is judged by it.
        revision: rises with each change; what was judged of an earlier one says nothing of this one.

    Raises:
        InvalidInput: naming the field as files and the API call it. What stands in it is not repeated.
    """

    question_id: QuestionId
    text: str
    expected: tuple[str, ...] = ()
    contains: tuple[str, ...] = ()
    must_refuse: bool = False
    reference: str = ""
    revision: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", _text("user_input", self.text, max(MAX_TEXT.values())))
        if len(self.reference) > MAX_REFERENCE:
            raise InvalidInput("reference", f"has {len(self.reference):,} characters; at most 10,000 are allowed.")
        _require_writable("reference", self.reference, keep="\t\n\r")
        _require_few("reference_context_ids", self.expected, MAX_EXPECTED)
        for key in self.expected:
            _require_key(key)
        _require_few("contains", self.contains, MAX_CONTAINED)
        texts = tuple(_text("contains", each, MAX_CONTAINED_LENGTH) for each in self.contains)
        object.__setattr__(self, "contains", texts)
        if self.must_refuse and (self.expected or self.contains):
            raise InvalidInput(
                "must_refuse", "is said of a question for which a document or words are expected, too: choose one."
            )
        if not (self.must_refuse or self.expected or self.contains):
            raise InvalidInput(
                "reference_context_ids",
                "names no document, and neither words nor a refusal are expected: nothing could be judged.",
            )

    def require_fits(self, kind: KnowledgeBaseKind) -> None:
        """Raises: InvalidInput, when knowledge bases of that kind take no question of that length."""
        _text("user_input", self.text, MAX_TEXT[kind])

    def expects(self, key: str) -> bool:
        """Whether that document is expected. Whoever types a key cannot see in which form of Unicode the bucket has it,
        such as that of macOS: so keys that look the same are the same here."""
        return appearance(key) in map(appearance, self.expected)

    @property
    def bytes(self) -> int:
        """As it is stored, at most."""
        texts = (self.text, self.reference, *self.expected, *self.contains)
        return 200 + sum(size(text) + 10 for text in texts)

    def same_as(self, other: GoldenQuestion) -> bool:
        """Whether both ask and expect the same, whatever their revisions."""
        return replace(self, revision=other.revision) == other


def _text(field: str, value: str, most: int) -> str:
    text = value.strip()
    if not text:
        raise InvalidInput(field, "must not be empty.")
    if len(text) > most:
        raise InvalidInput(field, f"has {len(text):,} characters; at most {most:,} are allowed.")
    _require_writable(field, text, keep="\t\n\r")
    return text


def _require_writable(field: str, text: str, keep: str = "") -> None:
    if any(unicodedata.category(character) in _UNWRITABLE and character not in keep for character in text):
        raise InvalidInput(field, "holds control characters, or half a character.")


def _require_few(field: str, values: Sequence[str], most: int) -> None:
    if len(values) > most:
        raise InvalidInput(field, f"has {len(values)} entries; at most {most} are allowed.")
    if len(set(values)) < len(values):
        raise InvalidInput(field, "names the same one twice.")


def _require_key(key: str) -> None:
    field = "reference_context_ids"
    if not key.strip():
        raise InvalidInput(field, "must hold keys of documents, such as handbook/rules.pdf.")
    _require_writable(field, key)
    if len(key.encode()) > MAX_KEY_BYTES:
        raise InvalidInput(field, f"has a key with more than {MAX_KEY_BYTES} bytes of UTF-8.")
    if key.endswith(METADATA_SUFFIX):
        raise InvalidInput(field, "has the key of a metadata file: name the document beside it.")


# --- what somebody hands over --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Draft:
    """A question as somebody hands it over. `question_id` is `None` where they give none."""

    text: str
    expected: tuple[str, ...] = ()
    contains: tuple[str, ...] = ()
    must_refuse: bool = False
    reference: str = ""
    question_id: QuestionId | None = None

    def question(self, question_id: QuestionId, revision: int = 1) -> GoldenQuestion:
        """Raises: InvalidInput."""
        return GoldenQuestion(
            question_id, self.text, self.expected, self.contains, self.must_refuse, self.reference, revision
        )


_NOT_YET_DRAWN = QuestionId("q0000")
"""By which a draft is checked before it has an id."""


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """All golden questions of a tenant in one of its lives, in the order in which they were added. They are few, and
    stored together: so a file is taken whole, or not at all. `version` is for optimistic locking; 0 means never stored.
    """

    of_life: Life
    questions: tuple[GoldenQuestion, ...] = ()
    version: int = 0

    @property
    def tenant_id(self) -> TenantId:
        return self.of_life.tenant_id

    def find(self, question_id: QuestionId) -> GoldenQuestion | None:
        return next((each for each in self.questions if each.question_id == question_id), None)

    def with_drafts(
        self, drafts: Sequence[Draft], kind: KnowledgeBaseKind, new_id: Callable[[], QuestionId]
    ) -> QuestionSet:
        """With all of them, or none. One that has the id or the text of a question takes its place.

        Args:
            kind: of the tenant's knowledge base, which decides how long a question may be.

        Raises:
            InvalidInput: naming the field, behind `questions.` and the draft's place from 0; or `questions`, when they
                would be too many.
        """
        known = {each.question_id: each for each in self.questions}
        given = {draft.question_id for draft in drafts if draft.question_id is not None}
        by_text = {each.text: each.question_id for each in self.questions if each.question_id not in given}
        places = dict[QuestionId, int]()
        for place, draft in enumerate(drafts):
            checked = _checked(draft, kind, place)
            question_id = draft.question_id or by_text.get(checked.text) or _unused(new_id, {*known, *given})
            if draft.question_id in places:
                raise InvalidInput(f"questions.{place}.id", "is that of another one that is given with it.")
            if question_id in places:
                raise InvalidInput(f"questions.{place}.user_input", "asks what another one asks.")
            places[question_id] = place
            before, question = known.get(question_id), replace(checked, question_id=question_id)
            if before is None or not question.same_as(before):
                known[question_id] = replace(question, revision=before.revision + 1 if before is not None else 1)
        asked = Counter(each.text for each in known.values())
        for question_id, place in reversed(places.items()):
            if asked[known[question_id].text] > 1:
                raise InvalidInput(f"questions.{place}.user_input", "asks what another one asks.")
        return self._with(tuple(known.values()))

    def without(self, question_id: QuestionId) -> QuestionSet:
        """Raises: QuestionNotFound."""
        if self.find(question_id) is None:
            raise QuestionNotFound(
                f"Tenant {self.tenant_id} has no question {question_id}.",
                remedy=f"`kbfleet questions list {self.tenant_id}` shows those that there are.",
            )
        return self._with(tuple(each for each in self.questions if each.question_id != question_id))

    def _with(self, questions: tuple[GoldenQuestion, ...]) -> QuestionSet:
        if len(questions) > MAX_QUESTIONS:
            raise InvalidInput("questions", f"would be {len(questions)}; a tenant has at most {MAX_QUESTIONS}.")
        # What they take is all in one record.
        total = sum(each.bytes for each in questions)
        if total > ITEM_BYTES and total > sum(each.bytes for each in self.questions):
            raise InvalidInput("questions", f"would have {total:,} bytes; a tenant's have at most {ITEM_BYTES:,}.")
        return replace(self, questions=questions)


def _checked(draft: Draft, kind: KnowledgeBaseKind, place: int) -> GoldenQuestion:
    try:
        question = draft.question(draft.question_id or _NOT_YET_DRAWN)
        question.require_fits(kind)
    except InvalidInput as error:
        raise InvalidInput(f"questions.{place}.{error.field}", error.why, remedy=error.remedy) from error
    return question


def _unused(new_id: Callable[[], QuestionId], known: Collection[QuestionId]) -> QuestionId:
    while (question_id := new_id()) in known:
        pass
    return question_id


# --- files ---------------------------------------------------------------------------------------

_FIELDS = ("id", "user_input", "reference_context_ids", "reference", "contains", "must_refuse")
"""Of a line, in the order in which they are written."""
_OTHERS_FIELDS = {
    "retrieved_contexts",
    "retrieved_context_ids",
    "reference_contexts",
    "response",
    "multi_responses",
    "rubrics",
    "persona_name",
    "query_style",
    "query_length",
    "synthesizer_name",
}
"""That ragas writes, too, and of which a question has no need. Source: ragas documentation, SingleTurnSample and
Testset."""
_BYTE_ORDER_MARK = "\ufeff"
_WHOLE_LINE = "line"
"""In place of a field's name."""


def export_lines(questions: Iterable[Mapping[str, Any]]) -> str:
    """JSON Lines: one question a line. Args: questions: as `fields_of` gives them."""
    # ragas wants texts, and lists with something in them.
    said = ({name: question[name] for name in _FIELDS if question.get(name)} for question in questions)
    return "".join(f"{json.dumps(fields, ensure_ascii=False)}\n" for fields in said)


def fields_of(question: GoldenQuestion) -> Mapping[str, Any]:
    """By the names that they have in files and in the API."""
    return {
        "id": str(question.question_id),
        "user_input": question.text,
        "reference_context_ids": list(question.expected),
        "reference": question.reference,
        "contains": list(question.contains),
        "must_refuse": question.must_refuse,
    }


def import_lines(text: str) -> Sequence[tuple[int, Draft]]:
    """The questions of a file of JSON Lines, each with the number of its line, counted from 1. Empty lines are none.

    Raises:
        InvalidInput: naming the first line that is wrong, and the field in it: `line 3, user_input`. What stands in it
            is not repeated.
    """
    drafts = []
    # A line ends with a line feed, and with nothing else that Python takes for an end. Source: jsonlines.org.
    for number, line in enumerate(text.removeprefix(_BYTE_ORDER_MARK).split("\n"), start=1):
        if line.strip():
            try:
                draft = _draft(_object(line))
                draft.question(draft.question_id or _NOT_YET_DRAWN)
            except InvalidInput as error:
                raise in_line(error, number) from error
            drafts.append((number, draft))
    return drafts


def in_line(error: InvalidInput, number: int) -> InvalidInput:
    """What is wrong with a field, or with a whole line, with the line's number."""
    where = f"line {number}" if error.field == _WHOLE_LINE else f"line {number}, {error.field}"
    return InvalidInput(where, error.why, remedy=error.remedy)


def _object(line: str) -> Mapping[str, Any]:
    try:
        fields = json.loads(line, parse_constant=_no_number, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(_WHOLE_LINE, "is not JSON.") from error
    if not isinstance(fields, dict):
        raise InvalidInput(_WHOLE_LINE, "is not an object of JSON.")
    return fields


def _no_number(name: str) -> NoReturn:
    """Python reads NaN and Infinity, which JSON does not have."""
    raise ValueError(name)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise InvalidInput(_WHOLE_LINE, "has a field twice.")
    return fields


def _draft(fields: Mapping[str, Any]) -> Draft:
    for name in fields:
        if name not in _FIELDS and name not in _OTHERS_FIELDS:
            # A name from a file, of any length and with anything in it, is not repeated.
            raise InvalidInput(_WHOLE_LINE, f"has a field that is not known. A question has {', '.join(_FIELDS)}.")
    text = fields.get("user_input")
    if not isinstance(text, str):
        raise InvalidInput("user_input", "must be there, and be text.")
    must_refuse = fields.get("must_refuse") or False
    if not isinstance(must_refuse, bool):
        raise InvalidInput("must_refuse", "must be true or false.")
    reference = fields.get("reference") or ""
    if not isinstance(reference, str):
        raise InvalidInput("reference", "must be text.")
    question_id = fields.get("id")
    return Draft(
        text,
        _texts(fields, "reference_context_ids"),
        _texts(fields, "contains"),
        must_refuse,
        reference,
        QuestionId(question_id) if question_id is not None else None,
    )


def _texts(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = fields.get(name)
    if values is None:
        return ()
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InvalidInput(name, "must be a list of texts.")
    return tuple(values)
