"""Documents made up for measuring: of a given size, Japanese and English alternating, the same in every run."""

from __future__ import annotations

import random

_SUBJECTS = {
    "en": ("The office", "Every employee", "The night shift", "A tenant", "The warehouse", "Our auditor", "The driver"),
    "ja": ("本社", "従業員", "夜勤の担当者", "入居者", "倉庫", "監査人", "運転手"),
}
_VERBS = {
    "en": ("returns", "reports", "approves", "keeps", "reviews", "replaces", "announces"),
    "ja": ("返却する", "報告する", "承認する", "保管する", "確認する", "交換する", "掲示する"),
}
_OBJECTS = {
    "en": ("the invoice", "a laptop", "the safety plan", "all keys", "the parcel", "the leave request", "a badge"),
    "ja": ("請求書", "ノートパソコン", "安全計画", "鍵", "荷物", "休暇申請", "社員証"),
}
_REASONS = {
    "en": ("so that nobody waits", "unless the manager objects", "as the insurer demands", "and notes the date"),
    "ja": ("待ち時間を減らすため、", "責任者の異議がない限り、", "保険会社の求めにより、", "日付を記録したうえで、"),
}


def document(number: int, size: int) -> str:
    """The text of document ``number``: ``size`` bytes of UTF-8 in headings and sentences, a few bytes less at most.

    Every fourth mixes both languages; of the others one half is Japanese and one English.
    """
    chance = random.Random(number)  # noqa: S311 - repeatable on purpose
    parts = [f"# Document {number}\n\n"]
    length = len(parts[0])
    while True:
        language = chance.choice(("ja", "en")) if number % 4 == 3 else ("ja", "en")[number % 2]
        sentence = _sentence(chance, language)
        length += len(sentence.encode())
        if length > size:
            return "".join(parts)
        parts.append(sentence)


def question(number: int) -> str:
    """A question that some of the documents are about."""
    chance = random.Random(-number)  # noqa: S311 - repeatable on purpose
    if number % 2:
        return f"When does {chance.choice(_SUBJECTS['en']).lower()} get {chance.choice(_OBJECTS['en'])}?"
    return f"{chance.choice(_SUBJECTS['ja'])}は{chance.choice(_OBJECTS['ja'])}をいつ{chance.choice(_VERBS['ja'])}か。"


def _sentence(chance: random.Random, language: str) -> str:
    subject, verb, what = (chance.choice(words[language]) for words in (_SUBJECTS, _VERBS, _OBJECTS))
    reason = chance.choice(_REASONS[language])
    days, code = chance.randint(2, 90), chance.randint(1_000, 9_999)
    ending = "\n\n" if chance.random() < 0.1 else " " if language == "en" else ""
    if language == "en":
        return f"{subject} {verb} {what} within {days} days under rule {code}, {reason}.{ending}"
    return f"{subject}は、{reason}{what}を{days}日以内に規則{code}に従って{verb}。{ending}"
