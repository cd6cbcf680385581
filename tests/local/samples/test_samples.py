"""The sample documents say what the questions about them expect."""

import csv
import functools
import json
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from pypdf import PdfReader

from bedrock_emulator.reading import outline
from bedrock_emulator.reading.text_extraction import extractor
from local.samples import (
    TENANTS,
    FollowUp,
    Question,
    UnanswerableQuestion,
    distractors,
    documents,
    follow_ups,
    held_out,
    questions,
    unanswerable_questions,
)

SIDECAR_SUFFIX = ".metadata.json"
# Amazon Bedrock ignores a document whose sidecar is larger (the failure reason of the ingestion job names this limit).
LARGEST_SIDECAR_BYTES = 1024
QUESTIONS = questions()
UNANSWERABLE = unanswerable_questions()
FOLLOW_UPS = follow_ups()
NAMING_NOTHING = {"does", "from", "have", "long", "many", "much", "soon", "take", "that", "what", "when", "where"}
HELD_OUT, HELD_OUT_UNANSWERABLE, HELD_OUT_FOLLOW_UPS = held_out()
WITH_AN_ANSWER = [
    *QUESTIONS,
    *HELD_OUT,
    *(asked for follow_up in FOLLOW_UPS for asked in (follow_up.first, follow_up.then)),
]


def without_sidecars(tenant_id: str) -> list[Path]:
    return [path for path in documents(tenant_id) if not path.name.endswith(SIDECAR_SUFFIX)]


def sidecars(tenant_id: str) -> list[Path]:
    return [path for path in documents(tenant_id) if path.name.endswith(SIDECAR_SUFFIX)]


DOCUMENTS = [path for tenant_id in TENANTS for path in without_sidecars(tenant_id)]
SIDECARS = [path for tenant_id in TENANTS for path in sidecars(tenant_id)]
PDFS = [path for path in DOCUMENTS if path.suffix == ".pdf"]


@functools.cache
def text_of(path: Path) -> str:
    match path.suffix:
        case ".pdf":
            return "\n".join(page.extract_text() for page in PdfReader(path).pages)
        case ".html":
            return BeautifulSoup(path.read_bytes(), "html.parser").get_text(" ")
        case ".csv":
            with path.open(encoding="utf-8", newline="") as file:
                return "\n".join(" ".join(row) for row in csv.reader(file))
        case ".md" | ".txt":
            return path.read_text(encoding="utf-8")
    raise AssertionError(f"no sample should have the format of {path.name}")


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


def is_japanese(text: str) -> bool:
    return any("HIRAGANA" in unicodedata.name(character, "") for character in text)


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def label_of(question: Question) -> str:
    return f"{question.tenant}/{question.document}/{question.expected}"


def label_of_follow_up(follow_up: FollowUp) -> str:
    return label_of(follow_up.then)


def label_of_unanswerable(question: UnanswerableQuestion) -> str:
    return f"{question.tenant}/{question.question}"


def statements_of(tenant_id: str, document: str) -> list[str]:
    """The sentences and the rows of tables of a tenant's document, as the local AWS tells them apart."""
    [path] = [path for path in without_sidecars(tenant_id) if path.name == document]
    extract = extractor(path.name)
    assert extract is not None
    return [statement.text for page in extract(path.read_bytes()) for statement in outline.read(page.text)[0]]


def words_of(text: str) -> set[str]:
    """What names things: English words of four letters and more, numbers, and runs of kanji, katakana and Latin."""
    english = set(re.findall(r"[a-z]{4,}|[0-9]+", text.lower())) - NAMING_NOTHING
    return english | set(re.findall(r"[一-鿿ァ-ヿ]{2,}|[A-Z]+-?[0-9]+", text))


@pytest.mark.parametrize("tenant_id", TENANTS)
def test_every_tenant_has_nine_documents_or_more_in_every_format(tenant_id: str) -> None:
    found = without_sidecars(tenant_id)

    assert len(found) >= 9
    assert {path.suffix for path in found} == {".md", ".txt", ".html", ".csv", ".pdf"}


def test_file_names_are_unique_within_a_tenant_and_among_the_distractors() -> None:
    for paths in (*(documents(tenant_id) for tenant_id in TENANTS), distractors()):
        # Case does not distinguish files on macOS and Windows.
        repeated = [name for name, count in Counter(path.name.lower() for path in paths).items() if count > 1]
        assert repeated == []


def test_file_names_are_spelt_the_same_on_every_file_system() -> None:
    # macOS may decompose a name that has an accented letter; the object key would differ from questions.json.
    for path in (*DOCUMENTS, *SIDECARS, *distractors()):
        assert path.name == unicodedata.normalize("NFD", path.name) == unicodedata.normalize("NFC", path.name)


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.suffix != ".pdf"], ids=name_of)
def test_a_document_is_short_and_not_a_stub(path: Path) -> None:
    assert 1_000 <= len(text_of(path).encode()) <= 4_096


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_a_document_is_written_in_its_tenants_language(path: Path) -> None:
    assert is_japanese(text_of(path)) == (path.parent.name == "sakura")


@pytest.mark.parametrize("path", PDFS, ids=name_of)
def test_a_pdf_has_several_pages_with_text_and_stays_small(path: Path) -> None:
    pages = [page.extract_text() for page in PdfReader(path).pages]

    assert 2 <= len(pages) <= 4
    assert all(len(squeezed(page)) > 200 for page in pages)
    assert path.stat().st_size < 300_000


@pytest.mark.parametrize("path", PDFS, ids=name_of)
def test_the_text_of_a_pdf_has_no_look_alike_characters(path: Path) -> None:
    # Kangxi and other radicals, private use, ligatures, and the replacement character: what bad font tables give.
    assert re.findall("[\u2e80-\u2fdf\ue000-\uf8ff\ufb00-\ufb06\ufffd]", text_of(path)) == []


@pytest.mark.parametrize("path", PDFS, ids=name_of)
def test_a_pdf_says_what_its_source_says(path: Path) -> None:
    source = path.parent.parent / "sources" / f"{path.stem}.html"
    body = BeautifulSoup(source.read_bytes(), "html.parser").body
    assert body is not None
    pieces = [squeezed(piece) for piece in body.stripped_strings]

    missing = [piece for piece in pieces if piece not in squeezed(text_of(path))]

    assert missing == []


@pytest.mark.parametrize("tenant_id", TENANTS)
def test_two_documents_of_a_tenant_carry_a_sidecar(tenant_id: str) -> None:
    names = {path.name for path in without_sidecars(tenant_id)}

    described = [path.name.removesuffix(SIDECAR_SUFFIX) for path in sidecars(tenant_id)]

    assert len(described) == 2
    assert set(described) <= names


@pytest.mark.parametrize("path", SIDECARS, ids=name_of)
def test_a_sidecar_is_within_the_limit_and_holds_plain_attributes(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))

    assert path.stat().st_size <= LARGEST_SIDECAR_BYTES
    assert set(content) == {"metadataAttributes"}
    assert content["metadataAttributes"]
    assert all(isinstance(value, str | int | float | bool) for value in content["metadataAttributes"].values())


def test_each_half_of_the_evaluation_set_has_24_questions_or_more() -> None:
    counts = Counter(question.tenant for question in QUESTIONS)

    assert set(counts) == set(TENANTS)
    assert min(counts.values()) >= 24


def test_every_document_is_asked_about() -> None:
    asked = {(question.tenant, question.document) for question in QUESTIONS}

    assert asked == {(path.parent.name, path.name) for path in DOCUMENTS}


@pytest.mark.parametrize("question", WITH_AN_ANSWER, ids=label_of)
def test_the_expected_words_stand_in_the_named_document_and_in_no_other(question: Question) -> None:
    expected = squeezed(question.expected)

    holders = [name_of(path) for path in (*DOCUMENTS, *distractors()) if expected in squeezed(text_of(path))]

    assert holders == [f"{question.tenant}/{question.document}"]


@pytest.mark.parametrize("question", WITH_AN_ANSWER, ids=label_of)
def test_a_question_is_in_the_users_own_words_and_does_not_give_the_answer_away(question: Question) -> None:
    [document] = [path for path in without_sidecars(question.tenant) if path.name == question.document]

    assert is_japanese(question.question) == (question.tenant == "sakura")
    assert squeezed(question.expected) not in squeezed(question.question)
    # The FAQ pages hold questions of their own; a copy of one would measure nothing.
    assert squeezed(question.question) not in squeezed(text_of(document))


@pytest.mark.parametrize("tenant_id", TENANTS)
def test_no_document_answers_20_questions_to_a_tenant_and_half_are_near_misses(tenant_id: str) -> None:
    own = [question for question in UNANSWERABLE if question.tenant == tenant_id]

    assert Counter(question.is_near_miss for question in own) == {True: 10, False: 10}


@pytest.mark.parametrize("tenant_id", TENANTS)
def test_ten_questions_of_each_kind_are_held_out(tenant_id: str) -> None:
    assert sum(question.tenant == tenant_id for question in HELD_OUT) == 10
    held_out_unanswerable = [question for question in HELD_OUT_UNANSWERABLE if question.tenant == tenant_id]
    assert Counter(question.is_near_miss for question in held_out_unanswerable) == {True: 6, False: 4}
    assert sum(follow_up.tenant == tenant_id for follow_up in HELD_OUT_FOLLOW_UPS) == 5


def test_no_question_is_asked_twice_in_any_of_the_files() -> None:
    asked = [(question.tenant, squeezed(question.question)) for question in QUESTIONS + UNANSWERABLE]
    asked += [(question.tenant, squeezed(question.question)) for question in HELD_OUT + HELD_OUT_UNANSWERABLE]
    asked += [(follow_up.tenant, squeezed(follow_up.first.question)) for follow_up in FOLLOW_UPS]
    asked += [(follow_up.tenant, squeezed(follow_up.standalone)) for follow_up in FOLLOW_UPS]

    assert [question for question, count in Counter(asked).items() if count > 1] == []


@pytest.mark.parametrize("question", UNANSWERABLE + HELD_OUT_UNANSWERABLE, ids=label_of_unanswerable)
def test_a_question_without_an_answer_is_in_the_tenants_language_and_in_no_document(
    question: UnanswerableQuestion,
) -> None:
    assert is_japanese(question.question) == (question.tenant == "sakura")
    assert all(squeezed(question.question) not in squeezed(text_of(path)) for path in (*DOCUMENTS, *distractors()))


def test_each_near_miss_touches_a_document_of_its_own_and_says_what_that_leaves_out() -> None:
    near = [question for question in UNANSWERABLE if question.is_near_miss]

    touched = sorted((question.tenant, str(question.document)) for question in near)

    assert touched == sorted((path.parent.name, path.name) for path in DOCUMENTS)
    assert all(question.why and is_japanese(question.why) == (question.tenant == "sakura") for question in near)
    assert all(question.why is None for question in UNANSWERABLE if not question.is_near_miss)


@pytest.mark.parametrize("tenant_id", TENANTS)
def test_a_tenant_has_20_follow_ups_or_more_about_all_its_documents(tenant_id: str) -> None:
    own = [follow_up for follow_up in FOLLOW_UPS if follow_up.tenant == tenant_id]

    assert len({follow_up.first.question for follow_up in own}) == len(own) >= 20
    about = {asked.document for follow_up in own for asked in (follow_up.first, follow_up.then)}
    assert about == {path.name for path in without_sidecars(tenant_id)}


@pytest.mark.parametrize("follow_up", FOLLOW_UPS, ids=label_of_follow_up)
def test_a_follow_up_leaves_out_what_the_first_question_named(follow_up: FollowUp) -> None:
    left_out = words_of(follow_up.standalone) - words_of(follow_up.then.question)

    assert left_out & words_of(follow_up.first.question)
    assert is_japanese(follow_up.standalone) == (follow_up.tenant == "sakura")
    assert squeezed(follow_up.then.expected) not in squeezed(follow_up.standalone)


@pytest.mark.parametrize("follow_up", FOLLOW_UPS, ids=label_of_follow_up)
def test_no_statement_answers_both_questions_of_a_conversation(follow_up: FollowUp) -> None:
    first, then = (squeezed(asked.expected) for asked in (follow_up.first, follow_up.then))
    statements = [squeezed(text) for text in statements_of(follow_up.tenant, follow_up.then.document)]

    assert any(then in text for text in statements)
    assert [text for text in statements if first in text and then in text] == []


def test_there_are_ten_distractors_in_each_language() -> None:
    languages = Counter(is_japanese(path.read_text(encoding="utf-8")) for path in distractors())

    assert languages == {True: 10, False: 10}
    assert {path.suffix for path in distractors()} == {".md"}


def test_asking_for_a_tenant_that_is_not_a_sample_names_those_that_are() -> None:
    with pytest.raises(ValueError, match="'globex' is not a sample tenant; there are sakura, acme"):
        documents("globex")
