"""Questions that go on from others, put on their own feet."""

from __future__ import annotations

import pytest

from bedrock_emulator.reading.follow_ups import standalone


@pytest.mark.parametrize(
    ("before", "question", "understood"),
    [
        ("How high is the Nordkap 2?", "And how much does it weigh?", "how much does the Nordkap 2 weigh?"),
        ("How long is the warranty on a boat?", "And on a bicycle?", "How long is the warranty on a bicycle?"),
        ("Who repairs the blue boat?", "What about the oars?", "Who repairs the oars?"),
        ("I am ill. Whom do I call?", "And if it is my child?", "I am ill. Whom do I call, if it is my child?"),
        ("ボートの長さはどのくらいですか。", "いくらで買えますか。", "ボートは、いくらで買えますか。"),
        ("自転車の保証期間は?", "ボートの場合は?", "ボートの保証期間は"),
        ("自転車の修理はどこに頼みますか。", "それはいつ終わりますか。", "自転車の修理はいつ終わりますか。"),
    ],
)
def test_what_is_left_out_is_taken_from_the_question_before(before: str, question: str, understood: str) -> None:
    assert standalone([before, question]) == understood


@pytest.mark.parametrize(
    "question",
    [
        "How long does it take to paint a boat?",
        "The mast has broken, how do I repair it?",
        "When does the harbour in Malmö close?",
        "自転車の修理代はいくらですか。",
        "テレワークは週に何回までできますか。",
    ],
)
def test_a_question_that_stands_on_its_own_stays_as_it_is(question: str) -> None:
    assert standalone(["How high is the Nordkap 2?", question]) == question
    assert standalone([question]) == question


def test_a_conversation_is_followed_over_several_questions() -> None:
    asked = ["How high is the Nordkap 2?", "And how much does it weigh?", "And what does it cost?"]
    assert standalone(asked) == "what does the Nordkap 2 cost?"


def test_without_a_question_there_is_nothing_to_understand() -> None:
    with pytest.raises(ValueError, match="no question"):
        standalone([])
