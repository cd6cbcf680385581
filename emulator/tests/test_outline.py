"""What texts state, and the headings they state it under."""

from __future__ import annotations

import pytest

from bedrock_emulator.reading.outline import read, title


def told(text: str) -> list[str]:
    """The statements of a text."""
    return [statement.text for statement in read(text)[0]]


def under(text: str, statement: str) -> list[str]:
    """The headings that a statement of a text stands under."""
    (found,) = (each for each in read(text, title("hand-book.md"))[0] if each.text == statement)
    return [heading for _, heading in found.headings]


def test_a_statement_stands_under_the_headings_above_it() -> None:
    text = "# Book\n\n## 1. Leave\n\nTwenty days.\n\n### Sick leave\n\nA note is needed.\n\n## Pay\n\nOn the 25th."
    assert under(text, "Twenty days.") == ["hand book", "Book", "Leave"]
    assert under(text, "A note is needed.") == ["hand book", "Book", "Leave", "Sick leave"]
    assert under(text, "On the 25th.") == ["hand book", "Book", "Pay"]


@pytest.mark.parametrize("heading", ["3 宿泊費と日当", "3. STAYING AWAY", "Staying away"])
def test_the_short_first_line_of_a_block_is_its_heading(heading: str) -> None:
    text = f"A rule book for all.\n\n{heading}\nHotels cost money.\nMeals do too."
    assert under(text, "Meals do too.")[-1] == heading.removeprefix("3. ")


@pytest.mark.parametrize("text", ["- one thing\n- another thing", "1. one thing\n2. another thing"])
def test_a_list_has_no_heading(text: str) -> None:
    assert told(text) == ["one thing", "another thing"]


def test_headings_go_on_in_the_next_piece_of_a_document() -> None:
    _, headings = read("# Book\n\n## Leave\n\nTwenty days.", title("book.md"))
    (statement,), _ = read("Unused days lapse.", headings)
    assert [heading for _, heading in statement.headings] == ["book", "Book", "Leave"]


def test_wrapped_lines_are_one_sentence_and_lines_of_a_list_are_not() -> None:
    text = (
        "The lease for the shop was signed on the sixth of March, and the opening is set for Saturday 23\n"
        "May. The staff is hired by then.\n\n1 January           New Year's Day\n25 December         Christmas Day"
    )
    assert told(text) == [
        "The lease for the shop was signed on the sixth of March, and the opening is set for Saturday 23 May.",
        "The staff is hired by then.",
        "1 January: New Year's Day",
        "25 December: Christmas Day",
    ]


def test_japanese_lines_are_put_together_without_a_space() -> None:
    line = "有給休暇は入社した日から数えて六か月を過ぎたすべての従業員に毎年の四月一日にまとめ"
    assert told(f"{line}\nて与えられます。次の年に繰り越せます。") == [
        f"{line}て与えられます。",
        "次の年に繰り越せます。",
    ]


def test_rows_of_a_markdown_table_carry_the_names_of_its_columns() -> None:
    text = "| 期間 | 区分 |\n|---|:-:|\n| 8月8日〜8月16日 | 休業 |\n| 9月21日 | |\n\n終わりです。"
    assert told(text) == ["期間: 8月8日〜8月16日, 区分: 休業", "期間: 9月21日", "終わりです。"]


@pytest.mark.parametrize("question", ["How long is it?", "見積書はいつまで有効ですか。", "使えますか？"])
def test_questions_state_nothing(question: str) -> None:
    assert told(f"{question} ") == []


def test_marks_of_lists_and_emphasis_are_left_out_and_numbers_are_not() -> None:
    text = "- **Laptops** lock.\n（1）日当は1,500円とする。\n2.2 Private cars get 3.50 a mile.\n- Batch K25-09 is bad."
    assert told(text) == [
        "Laptops lock.",
        "日当は1,500円とする。",
        "Private cars get 3.50 a mile.",
        "Batch K25-09 is bad.",
    ]
