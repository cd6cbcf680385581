"""Questions of a conversation, put so that they can be understood without it.

A language model rewrites such a question; this puts its words and those of the question before together. What is left
out is taken from there, and what the new question names in its place is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_JAPANESE = re.compile(r"[ぁ-ヿ一-鿿]")


def standalone(questions: Iterable[str]) -> str:
    """The last of ``questions``, each of which may go on from the one before. ValueError where there is none."""
    understood = ""
    for question in questions:
        understood = _after(understood, question.strip()) if understood else question.strip()
    if not understood:
        raise ValueError("no question was asked")
    return understood


def _after(before: str, question: str) -> str:
    return (_japanese_after if _JAPANESE.search(question) else _english_after)(before, question)


# --- English -------------------------------------------------------------------------------------

_CONNECTIVE = re.compile(r"^(?:(?:and|but|or|so|then|also|well|ok(?:ay)?|(?:what|how) about)\b[\s,]*)+", re.I)
_ASKS = re.compile(r"^(?:\w+ ){0,2}(?:what|when|where|which|who|whom|whose|why|how)\b", re.I)
_AUXILIARY = (
    "am|are|can|could|did|do|does|had|has|have|is|may|might|must|shall|should|was|were|will|would|"
    "isn't|aren't|don't|doesn't|didn't|can't|won't"
)
_HAS_AUXILIARY = re.compile(rf"\b(?:{_AUXILIARY})\b", re.I)
# "When I take it for a week?" and "if it had been mine?" have a clause, but ask nothing by themselves.
_CLAUSE = re.compile(
    r"^(?:what )?(?:if|when|while|once|after|before|unless)\s+(?:i|you|we|they|he|she|it|the|my|our)\b", re.I
)
_PRONOUN = re.compile(
    r"\b(?:it|its|they|them|their|those|these|that(?=\s*[?.,]|\s+(?:is|was|will|would|take|cost|mean|include))"
    r"|this(?=\s*[?.,])|one(?=\s*[?.,]|\s+(?:cost|weigh|take|last|need|have|be)))\b(?!\s+of\b)",
    re.I,
)
# In "does it cost to buy a chair" the word stands for what follows, not for what was said before.
_IMPERSONAL = re.compile(r"\bit\b(?=(?:\s+\w+)?(?:\s+\w+)?\s+to\s+\w+\s+(?:a|an|any|the|my|our|your|some|[A-Z])\b)")
_BORDER = re.compile(r",|\b(?:when|if|after|before|once|because)\b", re.I)
_OF_THEN = re.compile(r"\b(?:there|then|afterwards|otherwise|instead|without)\s*[?.]*$", re.I)
_DETERMINER = r"(?:a|an|the|my|your|our|their|any|some|one|this|that|each|every)"
_NOT_IN_PHRASES = (
    r"(?:a|an|the|my|your|our|and|or|but|if|when|while|that|which|who|to|of|for|from|in|on|at|by|with|during|after|before|"
    r"under|over|into|out|off|up|as|than|"
    rf"i|you|we|they|he|she|it|not|be|been|get|keep|cost|costs|shine|weigh|last|take|{_AUXILIARY})"
)
_WORD = rf"(?!{_NOT_IN_PHRASES}\b)[\w'’-]+"
_PHRASE = re.compile(
    rf"\b{_DETERMINER}\s+(?P<words>{_WORD}(?:\s+{_WORD}){{0,4}})(?P<place>\s+(?:in|at)\s+(?:the\s+)?(?-i:[A-Z]\w+))?",
    re.I,
)
_COUNTED = re.compile(rf"^how many (?:of (?:the |these |those )?)?(?P<words>{_WORD}(?:\s+{_WORD}){{0,3}})", re.I)
_NAMED = re.compile(r"[A-Z]|\d")
_NUMBERED = re.compile(r"\b(?P<name>[A-Z][\w-]*) (?P<number>\d+)\b")
_NUMBERS = {
    word: str(at)
    for at, word in enumerate(["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], start=1)
}
_PREPOSITION = re.compile(r"^(?P<preposition>for|on|in|at|with|from|by|of|to|during|after|before|under|over)\s", re.I)


def _english_after(before: str, question: str) -> str:
    said, asked = _statements_and_question(before)
    begun = _CONNECTIVE.sub("", question)
    if begun == question and _statements_and_question(question)[0]:
        return question
    rest = begun.rstrip("?!. ")
    if _CLAUSE.match(begun):
        return f"{said}{asked.rstrip('?!. ')}, {rest}?"
    if not _ASKS.match(begun) and not _HAS_AUXILIARY.search(begun):
        return said + _in_its_place(asked, rest)
    pronoun = _PRONOUN.search(_IMPERSONAL.sub("  ", begun))
    if pronoun and _has_antecedent(begun[: pronoun.start()]):
        pronoun = None
    if not (pronoun or _OF_THEN.search(begun) or begun != question or _lacks_an_object(begun)):
        return question
    topic = _topic(asked, action=bool(pronoun and pronoun[0].lower() == "that"))
    if said or not topic:
        return f"{said or asked + ' '}{begun}"
    if pronoun and not re.match(r"its|their", pronoun[0], re.I):
        return begun[: pronoun.start()] + topic + begun[pronoun.end() :]
    # A question that names something of its own stands beside what was spoken of.
    return f"{rest}, {topic}?" if pronoun or _OF_THEN.search(begun) or not _named(begun) else begun


def _statements_and_question(text: str) -> tuple[str, str]:
    """ "I am off sick. Who must know?": what was said, which holds for the next question, too, and what was asked."""
    said, stop, asked = text.rstrip().rpartition(". ")
    return said + stop, asked


def _has_antecedent(words: str) -> bool:
    """Whether a clause before the pronoun names what it stands for: "A pole has snapped, how do I fix it?"."""
    clause, *rest = _BORDER.split(words, maxsplit=1)
    return bool(rest and (_PHRASE.search(clause) or _NAMED.search(clause[1:])))


def _lacks_an_object(question: str) -> bool:
    return bool(re.search(r"\bit\b.*\bto \w+(?: (?:for|in|on|at)\b|\s*\?)", question))


def _named(question: str) -> bool:
    return bool(_PHRASE.search(question) or _NAMED.search(question[1:]))


def _topic(asked: str, *, action: bool) -> str:
    """What a question is about: what it names, else what it counts, else its first thing."""
    if action and (done := re.search(r"\bto (\w+ [^?]*)", asked)):
        return "to " + re.split(r"\s+(?:when|if|while)\b", done[1])[0].rstrip("?!. ")
    phrases = [found for found in _PHRASE.finditer(asked) if not _ASKS.match(found["words"])]
    named = [found for found in phrases if _NAMED.search(found["words"] + (found["place"] or ""))]
    counted = _COUNTED.match(asked)
    if counted:
        return f"the {counted['words']}"
    found = named or phrases
    return found[0][0] if found else ""


def _in_its_place(asked: str, rest: str) -> str:
    """The question with ``rest`` in the place of what stands against it."""
    bare = re.sub(rf"^{_DETERMINER}\s+", "", rest, flags=re.I)
    numbered = _NUMBERED.search(asked)
    if numbered and bare.lower() in _NUMBERS:
        return asked[: numbered.start("number")] + _NUMBERS[bare.lower()] + asked[numbered.end("number") :]
    if numbered and re.fullmatch(r"\w+ one", bare, re.I):
        return f"{asked[: numbered.start()]}{bare.split()[0]} {numbered['name']}{asked[numbered.end() :]}"
    if preposition := _PREPOSITION.match(rest):
        where = rf"\b{preposition['preposition']}\s+(?:{_DETERMINER}\s+)?{_WORD}(?:\s+{_WORD})*"
        if re.search(where, asked, re.I):
            return re.sub(where, lambda _: rest, asked, count=1, flags=re.I)
        return f"{asked.rstrip('?!. ')} {rest}?"
    phrase = _PHRASE.search(asked) if bare != rest or len(rest.split()) > 1 else None
    if phrase:
        return f"{asked[: phrase.start()]}{rest}{asked[phrase.end('words') :]}"
    return f"{asked.rstrip('?!. ')} {rest}?"


# --- Japanese ------------------------------------------------------------------------------------

_BEGINS = re.compile(
    r"^(?:では|じゃあ?|それでは|それじゃあ?|それなら|ちなみに|また|あと|そして|ところで)(?=[、,\s])[、,\s]*"
)
_INTERROGATIVE = re.compile(
    r"いくら|いつ|どこ|だれ|誰|なぜ|どうして|どれ|どの|どのくらい|どれくらい|どちら|なに|何\w?|どう"
)
_ELLIPSIS = re.compile(
    r"^(?P<new>.+?)(?P<joint>のほうは|の場合は|場合は|ときは|時は|だと|なら|であれば|では|でも|は)"
    r"(?:どうなりますか|どうですか|いかがですか|どうなの|大丈夫ですか|いつですか|いくらですか|可能ですか)?[。?？\s]*$"
)
_THAT = re.compile(
    r"(?:それ|これ|あれ|そちら|そいつ)(?=[はがをにのでともかや])|そこ(?=[はがをにでへ])|(?:その|この|あの)(?=ため)?"
)
_CONTENT = re.compile(r"[A-Za-z0-9-]{2,}|[ァ-ヶー]{2,}|[一-鿿々]{2,}")
# A question with terms of so many characters names what it is about; a shorter one, such as 会社, goes on from another.
_NAMES_A_TOPIC = 4
_OF_EVERY_QUESTION = re.compile(
    r"[何一-九十]?[年月日時分回週間]+|教|必要|可能|無料|大丈夫|場合|予定|新|他|代|全部|値段|価格|料金|金額|金|費用|期間|期限|結果"
)


def _japanese_after(before: str, question: str) -> str:
    begun = _BEGINS.sub("", question)
    ellipsis = _ELLIPSIS.match(begun)
    refers = _THAT.search(begun)
    names_its_topic = len("".join(_terms(begun))) >= _NAMES_A_TOPIC
    if not refers and begun == question and names_its_topic:
        return question
    if ellipsis:
        return f"{before.rstrip('。?？ ')}、{begun}" if refers or names_its_topic else _with_modifier(before, ellipsis)
    topic = _japanese_topic(before, begun, whole=bool(refers))
    if refers:
        joined = "の" if refers[0].startswith(("その", "この", "あの")) else ""
        return f"{begun[: refers.start()]}{topic}{joined}{begun[refers.end() :]}"
    return f"{topic}は、{begun}"


def _terms(question: str) -> list[str]:
    """The terms that say what a question is about, without those that any question has."""
    return [term for term in _CONTENT.findall(question) if not _OF_EVERY_QUESTION.fullmatch(term)]


def _japanese_topic(before: str, question: str, *, whole: bool) -> str:
    """What a question is about: what stands before the first は, else before the first particle. Unless ``whole``, of
    the length of a thing only the thing."""
    body = before.split("。")[-2 if before.rstrip().endswith("。") and before.count("。") > 1 else 0].rstrip("。?？ ")
    found = re.match(r"(?P<topic>.+?)(?:に|で|と|へ|から)?は(?![じず])", body) or re.match(
        r"(?P<topic>.+?)[をがにで]", body
    )
    topic = found["topic"] if found else body
    owner, _, attribute = topic.rpartition("の")
    asked_before, asks = _INTERROGATIVE.search(body), _INTERROGATIVE.search(question)
    # The same interrogative asks for the same property; another one for another property of the same thing.
    another = asks is not None and (asked_before is None or asked_before[0] != asks[0])
    directly = asked_before is not None and found is not None and asked_before.start() <= found.end() + 1
    return owner if owner and attribute and another and directly and not whole else topic


def _with_modifier(before: str, ellipsis: re.Match[str]) -> str:
    """The question before, of what the new one names in place of what it was asked of."""
    new, joint = ellipsis["new"].removesuffix("の"), ellipsis["joint"]
    condition = f"{new}場合" if joint == "場合は" else f"{new}とき" if joint in ("ときは", "時は") else new
    body = before.rstrip("。?？ ")
    topic = re.match(r"(?P<of>.+?)の(?P<what>[^のをがに]+?)(?P<rest>は.*)$", body)
    if topic:
        return f"{condition}の{topic['what']}{topic['rest']}"
    first = re.match(r"[^をがには]+(?P<rest>[をがには].*)$", body)
    return f"{condition}{first['rest']}" if first else f"{condition}、{body}"
