"""What is said of a document that cannot be read, by what shows of it from outside."""

from __future__ import annotations

import io
import json
import time
import zipfile
from pathlib import Path

import docx
import openpyxl  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfWriter

from bedrock_emulator.reading.text_extraction import UnreadableError, extractor
from kbfleet.domain.document_examination import (
    EDGE_BYTES,
    DocumentFault,
    DocumentFinding,
    DocumentSample,
    Examination,
    FileKind,
    examine,
    explained,
)
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.uploads import CONTENT_TYPES, MAX_DOCUMENT_BYTES, MAX_METADATA_BYTES
from local import samples

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(40)
SCANNED = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj "
    b"3 0 obj<</Type/Page/Parent 2 0 R/Resources<</XObject<</I 4 0 R>>>>>>endobj "
    b"4 0 obj<</Type /XObject /Subtype /Image /Width 1 /Height 1>>stream\n\xff\nendstream endobj\n"
    b"trailer<</Root 1 0 R>>\nstartxref\n0\n%%EOF\n"
)


def sample(key: str, content: bytes, metadata: bytes | None = None) -> DocumentSample:
    tail = content[max(EDGE_BYTES, len(content) - EDGE_BYTES) :]
    size = None if metadata is None else len(metadata)
    return DocumentSample(key, len(content), content[:EDGE_BYTES], tail, metadata_size=size, metadata=metadata)


def pdf(*, password: str | None = None, owner: str = "owner") -> bytes:
    written, writer = io.BytesIO(), PdfWriter()
    writer.add_blank_page(100, 100)
    if password is not None:
        writer.encrypt(password, owner, algorithm="RC4-128")
    writer.write(written)
    return written.getvalue()


def word() -> bytes:
    written, document = io.BytesIO(), docx.Document()
    document.add_paragraph("A tent is rented for three days at least.")
    document.save(written)
    return written.getvalue()


def excel() -> bytes:
    written, workbook = io.BytesIO(), openpyxl.Workbook()
    workbook.active["A1"] = "tent"
    workbook.save(written)
    return written.getvalue()


def archive(*names: str) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as container:
        for name in names:
            container.writestr(name, "text")
    return written.getvalue()


def encrypted_word() -> bytes:
    return OLE + "EncryptionInfo".encode("utf-16-le") + bytes(100) + "EncryptedPackage".encode("utf-16-le")


REAL = [
    path
    for path in (
        *sorted((Path(__file__).parents[2] / "emulator/tests/files").iterdir()),
        *samples.documents("acme"),
        *samples.documents("sakura"),
    )
    if path.suffix in CONTENT_TYPES and path.name != "scan.pdf"
]


def read_by_the_emulator(key: str, content: bytes) -> bool:
    extract = extractor(key)
    if extract is None:
        return False
    try:
        return bool("".join(page.text for page in extract(content)).strip())
    except UnreadableError:
        return False


CERTAIN = [
    ("empty.md", b"", DocumentFault.EMPTY),
    ("deck.pptx", archive("[Content_Types].xml", "ppt/presentation.xml"), DocumentFault.FORMAT),
    ("no ending", b"text", DocumentFault.FORMAT),
    ("page.pdf", b"<!DOCTYPE html><p>Not found", DocumentFault.OTHER_CONTENT),
    ("table.docx", excel(), DocumentFault.OTHER_CONTENT),
    ("rules.xlsx", word(), DocumentFault.OTHER_CONTENT),
    ("photos.docx", archive("1.jpg", "2.jpg"), DocumentFault.OTHER_CONTENT),
    ("old.docx", OLE, DocumentFault.OTHER_CONTENT),
    ("text.docx", b"text", DocumentFault.OTHER_CONTENT),
    ("rules.md", pdf(), DocumentFault.OTHER_CONTENT),
    ("logo.txt", PICTURE, DocumentFault.OTHER_CONTENT),
    ("logo.doc", PICTURE, DocumentFault.OTHER_CONTENT),
    ("locked.pdf", pdf(password="secret"), DocumentFault.ENCRYPTED),
    ("locked.docx", encrypted_word(), DocumentFault.ENCRYPTED),
    ("cut.pdf", pdf()[:-60], DocumentFault.CUT),
    ("cut.docx", word()[:2_000], DocumentFault.CUT),
    ("cut.xlsx", excel()[:1_000], DocumentFault.CUT),
    ("table.doc", OLE + "Workbook".encode("utf-16-le"), DocumentFault.OTHER_CONTENT),
    ("rules.xls", OLE + "WordDocument".encode("utf-16-le"), DocumentFault.OTHER_CONTENT),
    ("mail.doc", OLE, DocumentFault.OTHER_CONTENT),
    ("run.txt", b"#!/bin/sh\necho rented\n", DocumentFault.OTHER_CONTENT),
    ("blank.md", " \n\u3000\n".encode(), DocumentFault.BLANK),
    ("mark only.txt", b"\xef\xbb\xbf", DocumentFault.BLANK),
]


class TestWhatIsFound:
    @pytest.mark.parametrize(("key", "content", "fault"), CERTAIN, ids=[key for key, _, _ in CERTAIN])
    def test_what_can_never_be_read_is_told_for_certain(self, key: str, content: bytes, fault: DocumentFault) -> None:
        finding = examine(sample(key, content))
        assert finding is not None
        assert (finding.fault, finding.certain) == (fault, True)

    @pytest.mark.parametrize(("key", "content", "fault"), CERTAIN, ids=[key for key, _, _ in CERTAIN])
    def test_a_reader_of_such_files_reads_nothing_of_it_either(
        self, key: str, content: bytes, fault: DocumentFault
    ) -> None:
        """The emulator's, which has other libraries read them."""
        extract = extractor(key)
        if extract is None:
            return
        try:
            text = "".join(page.text for page in extract(content))
        except UnreadableError:
            return
        assert not text.strip("\u3000\ufeff \n")

    @pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
    def test_what_the_emulator_reads_is_sound(self, path: Path) -> None:
        """And under any other ending, nothing is said only where the emulator reads it."""
        content = path.read_bytes()
        assert read_by_the_emulator(path.name, content)
        assert examine(sample(path.name, content)) is None
        for ending in CONTENT_TYPES:
            finding = examine(sample(f"document{ending}", content))
            if finding is None or finding.certain:
                assert read_by_the_emulator(f"document{ending}", content) == (finding is None), ending

    @pytest.mark.parametrize("ending", [".docx", ".xlsx", ".pdf"])
    def test_what_is_cut_the_emulator_reads_no_more_of_than_is_said(self, ending: str) -> None:
        (path, *_) = (each for each in REAL if each.suffix == ending)
        content = path.read_bytes()
        for share in (0.1, 0.5, 0.9):
            cut = content[: int(len(content) * share)]
            finding = examine(sample(path.name, cut))
            assert finding is not None
            assert finding.fault is DocumentFault.CUT

    @pytest.mark.parametrize("ending", [each for each in CONTENT_TYPES if each not in {".pdf"}])
    def test_the_emulator_knows_every_ending_that_is_taken_and_no_other(self, ending: str) -> None:
        assert extractor(f"a{ending}") is not None
        assert extractor(f"a{ending}x") is None or f"{ending}x" in CONTENT_TYPES

    @pytest.mark.parametrize(
        ("key", "content", "fault"),
        [
            ("scan.pdf", SCANNED, DocumentFault.SCAN),
            ("old.csv", "価格,円".encode("cp932"), DocumentFault.NOT_UTF8),
            ("note.txt", "Zelt".encode("utf-16"), DocumentFault.NOT_UTF8),
            ("note.txt", "Zelt".encode("utf-16-le"), DocumentFault.NOT_UTF8),
            ("new.doc", word(), DocumentFault.OTHER_CONTENT),
            ("report.xls", b"<html><table>", DocumentFault.OTHER_CONTENT),
        ],
    )
    def test_what_may_yet_be_read_is_told_as_that(self, key: str, content: bytes, fault: DocumentFault) -> None:
        finding = examine(sample(key, content))
        assert finding is not None
        assert (finding.fault, finding.certain) == (fault, False)

    @pytest.mark.parametrize(
        ("key", "content"),
        [
            ("rules.pdf", pdf()),
            ("rules.PDF", b"junk of a mail server\n" + pdf()),
            ("rules.docx", word()),
            ("prices.xlsx", excel()),
            ("old.doc", OLE + "WordDocument".encode("utf-16-le")),
            ("old.xls", OLE + "Workbook".encode("utf-16-le")),
            ("long.doc", OLE + bytes(3 * EDGE_BYTES)),  # what it holds may be told in between
            ("rules.md", "# 就業規則\n".encode()),
            ("rules.txt", b"a" * (EDGE_BYTES - 1) + "規".encode() + b"a"),  # a letter on the edge
            ("rules.html", "<meta charset=Shift_JIS>価格".encode("cp932")),
            ("caption.pdf", SCANNED.replace(b"/Resources<<", b"/Resources<</Font<</F 5 0 R>>")),
            ("packed.pdf", SCANNED.replace(b"/Type/Catalog", b"/Type/ObjStm")),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_of_a_sound_document_nothing_is_said(self, key: str, content: bytes) -> None:
        assert examine(sample(key, content)) is None

    def test_nothing_is_said_of_the_sample_documents(self) -> None:
        for tenant in ("acme", "sakura"):
            for path in samples.documents(tenant):
                if not path.name.endswith(".metadata.json"):
                    assert examine(sample(path.name, path.read_bytes())) is None, path

    def test_a_large_document_is_judged_by_its_edges(self) -> None:
        body = bytes(3 * EDGE_BYTES)
        assert examine(sample("scan.pdf", SCANNED[:60] + body + SCANNED[60:])) is None  # a font may be in between
        cut = examine(sample("cut.pdf", SCANNED[:60] + body))
        locked = examine(sample("locked.pdf", pdf(password="x")[:60] + body + pdf(password="x")[60:]))
        assert cut is not None
        assert cut.fault is DocumentFault.CUT
        assert locked is not None
        assert locked.fault is DocumentFault.ENCRYPTED

    def test_of_a_pdf_that_is_laid_out_for_the_web_the_beginning_counts_too(self) -> None:
        first = b"%PDF-1.5\n1 0 obj<</Linearized 1 /L 900000 /H [1 2] /O 3 /E 4 /N 5 /T 6>>endobj\n"
        locked = first + b"trailer<</Root 1 0 R/Encrypt 9 0 R>>\nstartxref\n0\n%%EOF\n" + bytes(900_000)
        end = b"trailer<</Size 5>>\nstartxref\n100\n%%EOF\n"
        whole = examine(sample("web.pdf", locked + end))
        cut = examine(sample("web.pdf", first + b"startxref\n0\n%%EOF\n"))
        assert whole is not None
        assert whole.fault is DocumentFault.ENCRYPTED
        assert cut is not None
        assert cut.fault is DocumentFault.CUT

    def test_size_and_ending_are_judged_where_nothing_could_be_read(self) -> None:
        finding = examine(DocumentSample("film.pdf", MAX_DOCUMENT_BYTES + 1))
        assert finding is not None
        assert finding.explanation == "It has 52,428,801 bytes; Bedrock reads 52,428,800 at most."
        assert examine(DocumentSample("a.pdf", MAX_DOCUMENT_BYTES)) is None

    def test_of_managed_knowledge_bases_no_ending_and_no_size_is_known(self) -> None:
        for document in (DocumentSample("film.pdf", MAX_DOCUMENT_BYTES + 1), sample("deck.pptx", b"PK\x03\x04")):
            assert examine(document, kind=KnowledgeBaseKind.MANAGED) is None


class TestMetadata:
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"[]",
            b"{}",
            b'{"metadataAttributes": []}',
            b'{"metadataAttributes": {"year": null}}',
            b'{"metadataAttributes": {"year": {"stringValue": "x"}}}',
            b'{"metadataAttributes": {"year": [1]}}',
            b'{"metadataAttributes": {"year": NaN}}',
            b"[" * MAX_METADATA_BYTES,
            b'{"metadataAttributes": {"year": ' + b"9" * 9_000 + b"}}",
            "年".encode("cp932"),
        ],
    )
    def test_what_cannot_be_attributes_is_told(self, content: bytes) -> None:
        finding = examine(sample("a.md", b"text", content))
        assert finding is not None
        assert (finding.fault, finding.certain, finding.in_metadata) == (DocumentFault.METADATA_INVALID, True, True)

    def test_both_forms_of_attributes_are_taken(self) -> None:
        typed = {"value": {"type": "STRING", "stringValue": "x"}, "includeForEmbedding": True}
        content = json.dumps({"metadataAttributes": {"a": typed, "b": ["x"], "c": 1, "d": True, "e": "x"}}).encode()
        assert examine(sample("a.md", b"text", content)) is None

    def test_what_the_store_does_not_take_is_told_with_both_numbers(self) -> None:
        finding = examine(DocumentSample("a.md", 4, b"text", metadata_size=1_025), max_metadata_bytes=1_024)
        assert finding is not None
        assert "1,025 bytes" in finding.explanation
        assert "1,024 at most" in finding.explanation

    def test_the_document_itself_comes_first(self) -> None:
        finding = examine(sample("a.md", b"", b"{"))
        assert finding is not None
        assert finding.fault is DocumentFault.EMPTY

    def test_what_is_certain_comes_before_what_only_seems_so(self) -> None:
        finding = examine(sample("scan.pdf", SCANNED, b"{"))
        assert finding is not None
        assert finding.fault is DocumentFault.METADATA_INVALID


NO_TEXT = "Encountered error: Ignored 3 files as no text content found"


class TestWithBedrocksWords:
    def test_what_only_seemed_so_is_certain_when_bedrock_finds_no_text(self) -> None:
        seen = Examination("1", DocumentFinding(DocumentFault.SCAN, certain=False))
        assert explained(seen, "Internal error", "a.pdf") == seen.finding
        assert explained(seen, NO_TEXT, "a.pdf") == DocumentFinding(DocumentFault.SCAN)

    def test_a_sound_pdf_without_text_is_a_scan(self) -> None:
        assert explained(Examination("1"), NO_TEXT, "a.PDF") == DocumentFinding(DocumentFault.SCAN)
        assert explained(Examination("1"), NO_TEXT, "a.docx") == DocumentFinding(DocumentFault.NO_TEXT)

    def test_of_what_a_model_was_to_read_another_try_may_help(self) -> None:
        scan = DocumentFinding(DocumentFault.SCAN, certain=False)
        for finding in (None, scan):
            seen = Examination("1", finding, parsed_by_model=True)
            told = explained(seen, NO_TEXT, "a.PDF")
            assert told == DocumentFinding(DocumentFault.NOT_PARSED, certain=False)
        cut = Examination("1", DocumentFinding(DocumentFault.CUT), parsed_by_model=True)
        assert explained(cut, NO_TEXT, "a.pdf") == cut.finding
        other = Examination("1", parsed_by_model=True)
        assert explained(other, NO_TEXT, "a.docx") == DocumentFinding(DocumentFault.NO_TEXT)  # no model reads those

    def test_of_one_that_nobody_has_looked_into_it_is_not_said(self) -> None:
        for examination in (None, Examination("1", looked_into=False)):
            assert explained(examination, NO_TEXT, "a.pdf") == DocumentFinding(DocumentFault.NO_TEXT)

    def test_where_neither_says_anything_nothing_is_said(self) -> None:
        assert explained(Examination("1"), "Internal error", "a.pdf") is None
        assert explained(None, "", "a.pdf") is None

    @pytest.mark.parametrize(
        ("words", "fault"),
        [
            ("Ignored 2 files as their file format was not supported", DocumentFault.FORMAT),
            (
                "Ignored 1 files as the associated metadata was larger than service limit of "
                "MaximumFileSizeSupported: 1024 bytes",
                DocumentFault.METADATA_TOO_LARGE,
            ),
            ("Ignored 1 file due to invalid metadata attributes. Metadata", DocumentFault.METADATA_INVALID),
        ],
    )
    def test_bedrocks_own_words_count_where_nothing_was_seen(self, words: str, fault: DocumentFault) -> None:
        finding = explained(None, words, "a.pdf")
        assert finding == DocumentFinding(fault)
        assert explained(Examination("1", DocumentFinding(DocumentFault.CUT)), words, "a.pdf") == DocumentFinding(
            DocumentFault.CUT
        )


class TestWords:
    @pytest.mark.parametrize("fault", DocumentFault)
    @pytest.mark.parametrize("numbers", [(None, None), (9_999_999, 1_024)])
    def test_each_is_said_in_sentences(self, fault: DocumentFault, numbers: tuple[int | None, int | None]) -> None:
        finding = DocumentFinding(fault, size=numbers[0], most=numbers[1])
        for sentence in (finding.explanation, finding.remedy):
            assert sentence[0].isupper()
            assert sentence.endswith((".", ").")), sentence

    @pytest.mark.parametrize("kind", FileKind)
    def test_so_is_each_kind_of_file(self, kind: FileKind) -> None:
        said = DocumentFinding(DocumentFault.OTHER_CONTENT, looks_like=kind).explanation
        assert said.endswith(".")
        assert "None" not in said


MAGIC = [b"%PDF-1.7", b"PK\x03\x04", b"PK\x05\x06", OLE[:8], b"/Encrypt", b"/Linearized /L 9", b"%%EOF", b"startxref"]
PIECES = st.lists(st.one_of(st.binary(max_size=200), st.sampled_from([*MAGIC, b" " * 300, b"9" * 50])), max_size=30)
KEYS = st.one_of(st.text(max_size=30), st.sampled_from([*CONTENT_TYPES, ".pptx", ""]).map(lambda ending: f"a{ending}"))


class TestWhateverIsInThem:
    @settings(max_examples=500, deadline=None)
    @given(KEYS, PIECES, st.one_of(st.none(), st.binary(max_size=300)), st.sampled_from(KnowledgeBaseKind))
    def test_nothing_is_raised_and_no_word_of_it_is_repeated(
        self, key: str, pieces: list[bytes], metadata: bytes | None, kind: KnowledgeBaseKind
    ) -> None:
        finding = examine(sample(key, b"".join(pieces), metadata), kind=kind)
        if finding is not None:
            ours = DocumentFinding(finding.fault, finding.certain, finding.size, finding.most, finding.looks_like)
            assert finding == ours
            assert finding.explanation
            assert finding.remedy

    @settings(max_examples=200, deadline=None)
    @given(KEYS, st.integers(-5, 10**15), st.binary(max_size=100), st.binary(max_size=100))
    def test_sizes_that_cannot_be_raise_nothing(self, key: str, size: int, head: bytes, tail: bytes) -> None:
        examine(DocumentSample(key, size, head, tail, metadata_size=size, metadata=tail))

    @pytest.mark.parametrize("ending", [*CONTENT_TYPES])
    @pytest.mark.parametrize(
        "unit",
        [b"/Encrypt ", b"/Encrypt 1 ", b"/Linearized ", b"/Subtype ", b"PK\x05\x06", b" ", b"\n", b"<", b"\xe3\x80"],
    )
    def test_it_takes_no_longer_however_it_is_made(self, ending: str, unit: bytes) -> None:
        content = (b"%PDF-" if ending == ".pdf" else b"") + unit * (2 * EDGE_BYTES // len(unit))
        began = time.process_time()
        examine(sample(f"a{ending}", content))
        assert time.process_time() - began < 0.5
