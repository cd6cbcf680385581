"""What the benchmark of profiles asks can be answered, and what it counts."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from bedrock_emulator.reading.text_extraction import extractor
from benchmarks.__main__ import app
from benchmarks.manuals.library import Question
from benchmarks.profiles import collections, measure
from benchmarks.profiles.collections import Collection
from benchmarks.profiles.measure import Row, Skipped
from benchmarks.profiles.shipped import FOLDER, profiles
from kbfleet.domain.profiles import ChunkingKind
from local.samples.scans import scanned

COLLECTIONS = [collections.company_files(), collections.scans(), collections.price_lists()]


def text_of(key: str, body: bytes) -> str:
    extract = extractor(key)
    assert extract is not None
    return "".join("".join(page.text for page in extract(body)).split())


@pytest.mark.parametrize("collection", COLLECTIONS, ids=lambda collection: collection.name)
def test_every_question_has_its_answer_in_its_document_and_both_languages_are_asked(collection: Collection) -> None:
    # What scans say, says the document that they are pictures of.
    readable = collections.company_files().documents | collections.price_lists().documents
    for each in collection.questions:
        assert each.document in collection.documents
        assert "".join(each.expected.split()) in text_of(each.document, readable[each.document]), each
    english = [each for each in collection.questions if each.question.isascii()]
    assert len({each.question for each in collection.questions}) == len(collection.questions) >= 15
    assert len(collection.questions) / 3 < len(english) < len(collection.questions) * 2 / 3


def test_a_price_stands_in_one_row() -> None:
    collection = collections.price_lists()
    assert collection.documents == collections.price_lists().documents
    for each in collection.questions:
        rows = collection.documents[each.document].decode().splitlines()
        (row,) = (row for row in rows if each.expected in row.split(","))
        assert len(rows) == 241
        assert row


def test_a_scan_has_the_pages_of_its_document_and_no_text() -> None:
    scanned = collections.scans().documents["sakura/sp-300-manual.pdf"]
    extract = extractor("scan.pdf")
    assert extract is not None
    pages = extract(scanned)
    assert [page.number for page in pages] == [1, 2, 3, 4]
    assert not "".join(page.text for page in pages).strip()


def test_the_default_and_every_shipped_profile_are_measured() -> None:
    assert [str(each.name) for each in profiles()] == ["default", *sorted(path.stem for path in FOLDER.glob("*.json"))]


def test_a_rate_counts_the_answers_among_the_first_passages() -> None:
    row = Row("tried", "files", (1, 2, 6, None), (100, 100, 100, 100), 0)
    assert row.hit_rate(1) == 0.25
    assert row.hit_rate(5) == 0.5
    assert row.mean_reciprocal_rank == pytest.approx((1 + 1 / 2 + 1 / 6) / 4)


def test_rows_are_apart_that_differ_from_the_default_in_their_own_collection() -> None:
    def row(profile: str, collection: str, hits: int) -> Row:
        return Row(profile, collection, (1,) * hits + (None,) * (20 - hits), (1,) * 20, 0)

    rows = [row("default", "a", 18), row("x", "a", 19), row("y", "a", 18), row("default", "b", 19), row("y", "b", 19)]
    assert measure.apart(rows) == [rows[1]]


BOLTS = "# 六角ボルト\n\nM8の六角ボルトは一本四百円です。\n"
HOURS = "# Opening hours\n\nThe shop opens at seven in the morning.\n"


def test_a_collection_is_read_in_and_asked_by_a_profile() -> None:
    asked = (
        Question("M8の六角ボルトはいくらですか。", "ボルト.md", "四百円"),
        Question("When does the shop open?", "hours.md", "at seven"),
        Question("When does the shop open?", "ボルト.md", "at seven"),
    )
    files = {"ボルト.md": BOLTS.encode(), "hours.md": HOURS.encode(), "scan.pdf": scanned(manual())}
    by_name = {str(each.name): each for each in profiles()}
    for name in ("default", "long-manuals"):
        row = measure.measured(by_name[name], Collection("tried", files, asked))
        assert (row.profile, row.ranks, row.left_out) == (name, (1, 1, None), 1)
        assert all(10 < tokens < 100 for tokens in row.tokens)
    assert by_name["long-manuals"].ingestion.chunking.kind is ChunkingKind.HIERARCHICAL


def manual() -> bytes:
    return collections.company_files().documents["acme/ridgeway-tent-manual.pdf"]


def test_what_cannot_be_measured_here_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        Row("default", "scans", (1, None), (100, 300), 4),
        Skipped("office-japanese", "scans", "the packages that read scans are not installed: make scans"),
    ]
    monkeypatch.setattr(measure, "measure", lambda _: iter(rows))
    told = CliRunner().invoke(app, ["profiles"])
    assert told.exit_code == 0
    assert "Skipped: scans, office-japanese: the packages that read scans are not installed" in told.output
    assert "50.0%" in told.output
    assert "0 rows differ" in told.output


def test_a_collection_that_there_is_not_is_bad_input() -> None:
    assert CliRunner().invoke(app, ["profiles", "--collection", "novels"]).exit_code == 2


def test_profiles_whose_parser_sees_are_left_out_where_nothing_reads_scans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "can_see", lambda: False)
    monkeypatch.setattr(measure, "measured", lambda profile, _: Row(str(profile.name), "scans", (1,), (1,), 0))
    found = {each.profile: type(each) for each in measure.measure("scans")}
    assert found == {
        "default": Row,
        "faq": Row,
        "long-manuals": Row,
        "office-japanese": Skipped,
        "price-lists": Skipped,
    }
