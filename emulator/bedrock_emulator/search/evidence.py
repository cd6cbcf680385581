"""Whether a statement holds what a question asks for.

Nearness is not enough: a statement on another model, another year or another person is as near. So a statement must not
speak of another one of what has a number or a name, and must hold the kind of thing that is asked for, such as a price
or a date. Of the words that carry the question, those that other passages have and the statement's own has not count
against it more than those that no passage has, which may be paraphrased.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bedrock_emulator.reading.outline import Statement
from bedrock_emulator.search.lexical import STOP_WORDS, stem

# How much it counts against a statement that its passage lacks words which other passages have; that no passage has
# them; and that nothing is known of the kind of thing that is asked for. Chosen on questions with and without an
# answer, in both languages.
_ELSEWHERE, _NOWHERE, _OF_NO_KIND = 0.5, 0.2, 0.06
# How much it counts against a passage that it is in another script than the question: then no word can be shared, and
# nothing but nearness speaks for it.
_OF_ANOTHER_SCRIPT = 0.12
_JAPANESE = re.compile(r"[ぁ-ヿ一-鿿]")
# A term that is covered by less is missing; one that is covered by more is there.
_MISSING, _THERE = 0.35, 0.6

# Words that ask, or that any statement could be put with.
_ASKING = frozenset(
    """
    amount back bring buy charge charged come cost costs date day days down extra fast go going happen happens high hour
    hours keep kind large last latest length let make makes mean minimum minute minutes month months new number off
    people price put run see set small spend start starts time times turn turned use used want week weeks weigh work
    year years
    """.split()  # noqa: SIM905 - a list of words reads better as words
)
_ASKING_JAPANESE = re.compile(r"[年月日時分回間週円]+|場合|必要|可能|今年|値段|価格|料金|金額|費用|期間|時間|最低|会社")
_INTERROGATIVES = re.compile(r"何(?:か月|年|日|時間|分|週間|回|人|名|台|文字|月|曜日|時|度|件|枚)?|誰")
_LATIN, _WIDE = re.compile(r"[a-z]+"), re.compile(r"[ァ-ヶー]{2,}|[一-鿿々]{2,}")
_IN_PHRASES = re.compile(
    r"\b(?:an?|the|my|your|our|their|any|some|each|every|this|for|on|in|of|at|with|under|during|from|by)\s+"
    r"((?:(?!(?:an?|the|my|your|our|their|to|for|on|in|of|at|with|when|that|which|is|are|was|i|we|you|do|does|must|can|may|"
    r"have|has)\b)[a-z'-]+\s*){1,4})"
)
_CODE = re.compile(r"(?<![a-z0-9-])(?P<series>[a-z]{1,4}-?)\d+(?:-\d+)*(?![\d.])")
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_NUMBERED_NAME = re.compile(r"\b(?P<name>[A-Z][a-z]+) \d{1,3}\b")
_NAME = re.compile(r"(?<=[\w,] )(?P<name>[A-Z][a-z]+)\b(?: (?P<thing>[a-z]+(?: [a-z]+)?))?")

_NUMBER = (
    r"(?:\d[\d,.]*|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|sixty|half|"
    r"each|every|[一二三四五六七八九十百千万半]+|毎|全)"
)
_SPAN = (
    r"(?:(?:working|further|full|rolling|calendar|paid|consecutive) )?"
    r"(?:(?:day|week|month|year|hour|minute|night|second)s?|(?:営業)?(?:日|週|か月|ヶ月|カ月|年|時間|分|秒))"
)
_LIMIT = r"以内|まで|\buntil\b|\bwithin\b|\bby\b"
_MONEY = (
    r"[£$€¥]\s*\d|\bgbp\s*\d|(?:price|rental)\w*: \d|\d[\d,.]*\s*[万億千]*円|価格[^:]*: ?\d|\d\s*%"
    r"|\d+p\b|\bfree\b|no charge|\bnothing\b|無料|無償|実費"
)
_POINT_IN_TIME = (
    r"\d{1,2}:\d\d|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day|\b(?:january|february|march|april|may|june|july|august|"
    r"september|october|november|december)\b|\d(?:st|nd|rd|th)\b|\d+\s*(?:日|月|時|年)|[月火水木金土日]曜|翌|毎[日週月年]|当日|正午"
    r"|前日|以内|\bwithin\b|\bsame day\b|\bevery\b|\bafter\b|\bbefore\b|\bonce\b|\bonly when\b|noon"
)
_MEASURE = r"\d\s*(?:cm|mm|m\b|km|kg|g\b|l\b|litre|×|square|℃|°|v\b|kw|mpa|文字)|weight\w*: \d"
_SOMEBODY = re.compile(
    r"[A-Z][a-z]+ [A-Z][a-z]+|\b(?:manager|team|director|supplier|desk|secretary|bank|lead|head|officer|chair|"
    r"employees|staff|customers|members|everybody|nobody|person)\b|[部課室]|[長者員氏様]|担当|商会|株式会社|@"
)
# What a counter counts may be counted by another one, too.
_COUNTED_BY = {"回": "[回度日]", "人": "[人名]", "名": "[人名]", "パーセント": "[%割]"}


@dataclass(frozen=True)
class _Kind:
    """A kind of thing that is asked for: how questions ask for it, and what holds it."""

    asks: re.Pattern[str]
    holds: re.Pattern[str]


_KINDS = (
    _Kind(
        re.compile(
            r"いくら|値段|価格を|料金|金額|何円|手数料|年額|代は|\b(?:price|cost|fee)s?\b|\bcharged?\b|\ballowance\b"
            r"|how much (?:is|are|does|do|did|will|would|can|may|could|must|should|am|extra|money)\b(?!.*\bweigh)"
        ),
        re.compile(_MONEY),
    ),
    _Kind(
        re.compile(r"how (?:high|tall|big|large|small|wide|deep|warm|cold)\b|高さ|大きさ|温度|何度|何キロ|何メートル"),
        re.compile(rf"{_MEASURE}|{_MONEY}"),
    ),
    _Kind(re.compile(r"how heavy\b|weigh|重さ|重量"), re.compile(r"\d\s*(?:kg|g|t)\b|weight\w*: \d|重[さ量]")),
    _Kind(re.compile(r"how (?:many|often)\b"), re.compile(_NUMBER)),
    _Kind(
        re.compile(
            r"何(?:日|か月|ヶ月|年|時間|分|週間)(?![にの])|how (?:long|soon|far ahead)\b|どのくらいの?期間|期間は"
        ),
        re.compile(rf"{_NUMBER}[ -]?{_SPAN}|(?:{_POINT_IN_TIME}).*(?:{_LIMIT})|(?:{_LIMIT}).*(?:{_POINT_IN_TIME})"),
    ),
    _Kind(
        re.compile(
            r"^(?:\w+ ){0,2}when\b|[.,] when (?:is|are|do|does|did|will|must|can)\b|what time|which day|"
            r"what are the \w+ hours|in which year|latest day|いつ|何時|何月|何曜|時刻"
        ),
        re.compile(rf"{_POINT_IN_TIME}|{_NUMBER}[ -]?{_SPAN}"),
    ),
    _Kind(re.compile(r"how much\b"), re.compile(_NUMBER)),
)
_WHO = re.compile(r"\bwhom?\b|誰|どなた")
_COUNTER = re.compile(r"何(回|人|名|台|文字|件|枚|個|袋|パーセント|歳)")
_COUNTED = re.compile(r"how many (?:of (?:the |these |those )?)?([a-z-]+(?: [a-z-]+)?)")


def _plain(text: str) -> str:
    """In one form, with numbers that have no commas in them."""
    return re.sub(r"(?<=\d),(?=\d{3})", "", unicodedata.normalize("NFKC", text).casefold())


@dataclass(frozen=True)
class _Term:
    """A word that carries a question. ``names`` is whether it surely names a thing."""

    text: str
    wide: bool
    names: bool

    def covered_by(self, text: _Text) -> float:
        """The share of it that stands there, from 0 to 1."""
        if not self.wide:
            return float(self.text in text.stems)
        pairs = [self.text[start : start + 2] for start in range(len(self.text) - 1)]
        return sum(pair in text.plain for pair in pairs) / len(pairs)


@dataclass(frozen=True)
class _Text:
    plain: str

    @cached_property
    def stems(self) -> frozenset[str]:
        return frozenset(map(stem, _LATIN.findall(self.plain)))


class Evidence:
    """What the statements of some passages hold for a question."""

    def __init__(self, question: str, passages: Sequence[Sequence[Statement]]) -> None:
        """``passages`` are those that the answer may rest on."""
        self._question, self._plain = question, _plain(question)
        self._statements = [[_Text(_plain(statement.in_context)) for statement in passage] for passage in passages]
        self._spoken = [[_plain(statement.text) for statement in passage] for passage in passages]
        self._passages = passages
        self._all = _Text("\n".join(text.plain for passage in self._statements for text in passage))
        self._terms = _terms(self._plain)
        self._kind = next((kind for kind in _KINDS if kind.asks.search(self._plain)), None)
        self._weigh()

    def missing(self, passage: int) -> float:
        """How much counts against a statement of that passage, from 0 (nothing) on; to be taken from its relevance."""
        written = any(_JAPANESE.search(text.plain) for text in self._statements[passage])
        same_script = written == bool(_JAPANESE.search(self._plain))
        return float(self._against[passage]) + (0.0 if same_script else _OF_ANOTHER_SCRIPT)

    def holds(self, passage: int, position: int) -> bool:
        """Whether a statement can be the answer: it speaks of what is asked for, and has the kind of thing."""
        return self._of_the_same(passage, position) and self._of_the_kind(passage, position)

    def _weigh(self) -> None:
        covered = [
            np.array([[term.covered_by(text) for term in self._terms] for text in passage], dtype=np.float32)
            for passage in self._statements
        ]
        every = np.concatenate(covered) if covered else np.zeros((0, len(self._terms)), np.float32)
        of_no_kind = _OF_NO_KIND * float(not self._asks_for_a_kind)
        if not self._terms or not len(every):
            self._against = np.full(len(covered), of_no_kind)
            return
        # Rare terms weigh more.
        weights = np.log(1 + (len(every) + 0.5) / (every.sum(0) + 0.5))
        weights /= weights.sum()
        anywhere, names = every.max(0), np.array([term.names for term in self._terms])
        nowhere = _NOWHERE * float(weights[anywhere < _MISSING].sum())
        self._against = np.array(
            [
                of_no_kind
                + nowhere
                + min(0.25, _ELSEWHERE * float(weights[(anywhere > _THERE) & (own.max(0) < _MISSING) & names].sum()))
                for own in covered
            ]
        )

    @property
    def _asks_for_a_kind(self) -> bool:
        return bool(self._kind or _COUNTER.search(self._plain) or _WHO.search(self._plain))

    def _of_the_kind(self, passage: int, position: int) -> bool:
        told = self._spoken[passage][position]
        if counter := _COUNTER.search(self._plain):
            return bool(re.search(rf"{_NUMBER}\s*{_COUNTED_BY.get(counter[1], counter[1])}", told))
        if counted := _COUNTED.search(self._plain):
            stems = {stem(word) for word in _LATIN.findall(counted[1]) if word not in STOP_WORDS}
            if stems and not stems & self._statements[passage][position].stems:
                return False
        if self._kind:
            return bool(self._kind.holds.search(told))
        if _WHO.search(self._plain):
            return bool(_SOMEBODY.search(self._passages[passage][position].text))
        return True

    def _of_the_same(self, passage: int, position: int) -> bool:
        """Whether the statement speaks of no other model, year or bearer of a name than the question."""
        text = self._statements[passage][position]
        for code in _CODE.finditer(self._plain):
            others = re.search(rf"(?<![a-z0-9-]){re.escape(code['series'])}\d", text.plain)
            if code[0] not in self._all.plain or (others and code[0] not in text.plain):
                return False
        for year in _YEAR.findall(self._plain):
            if year not in text.plain and (year not in self._all.plain or _YEAR.search(text.plain)):
                return False
        for numbered in _NUMBERED_NAME.finditer(self._question):
            named = re.compile(rf"\b{re.escape(_plain(numbered[0]))}\b")
            others = re.search(rf"\b{_plain(numbered['name'])} \d", text.plain)
            if not named.search(self._all.plain) or (others and not named.search(text.plain)):
                return False
        return all(self._speaks_of(name, passage, position) for name in _NAME.finditer(self._question))

    def _speaks_of(self, name: re.Match[str], passage: int, position: int) -> bool:
        """Whether the name stands in the statement's section, or the statement is on the kind of thing named."""
        wanted = stem(name["name"].casefold())
        headings = self._passages[passage][position].headings
        section = (
            text
            for text, statement in zip(self._statements[passage], self._passages[passage], strict=True)
            if statement.headings == headings
        )
        if any(wanted in text.stems for text in section):
            return True
        things = [stem(word) for word in (name["thing"] or "").split() if word not in STOP_WORDS]
        known = wanted in self._all.stems
        return known and bool(things) and things[-1] in self._statements[passage][position].stems


def _terms(question: str) -> list[_Term]:
    bare = _CODE.sub(" ", question)
    in_phrases = {word for phrase in _IN_PHRASES.findall(bare) for word in _LATIN.findall(phrase)}
    latin = (word for word in _unique(_LATIN.findall(bare)) if len(word) > 1 and word not in STOP_WORDS | _ASKING)
    wide = (term for term in _unique(_WIDE.findall(_INTERROGATIVES.sub(" ", bare))))
    return [
        *(_Term(stem(word), wide=False, names=word in in_phrases) for word in latin),
        *(_Term(term, wide=True, names=True) for term in wide if not _ASKING_JAPANESE.fullmatch(term)),
    ]


def _unique(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))
