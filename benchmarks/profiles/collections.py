"""Documents of four kinds in Japanese and English, and questions that they answer."""

from __future__ import annotations

import csv
import io
import random
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.manuals.library import Question
from benchmarks.manuals.library import manuals as debian_manuals
from benchmarks.manuals.library import questions as questions_about_manuals
from local import samples

SCANNED_DOTS_PER_INCH = 200
"""As office scanners are set by default; assumed."""
_POINTS_PER_INCH = 72
_ASKED_OF_A_LIST = 30
"""Questions about each price list."""


@dataclass(frozen=True)
class Collection:
    """What one knowledge base holds, and what it is asked.

    Args:
        documents: the bodies of files by their keys, metadata files included.
        questions: the expected text stands in the document that each names, and answers it.
    """

    name: str
    documents: dict[str, bytes]
    questions: tuple[Question, ...]


def company_files() -> Collection:
    """The files of two companies, of many formats and a page or two each, among those of other organisations."""
    files = {f"{path.parent.name}/{path.name}": path.read_bytes() for path in samples.distractors()}
    for tenant in samples.TENANTS:
        files |= {f"{tenant}/{path.name}": path.read_bytes() for path in samples.documents(tenant)}
    answerable, _, _ = samples.held_out()
    asked = tuple(
        Question(each.question, f"{each.tenant}/{each.document}", each.expected)
        for each in (*samples.questions(), *answerable)
    )
    return Collection("company files", files, asked)


def scans() -> Collection:
    """The same, where every PDF is a scan: a picture of each page and no text. Asked is about these only."""
    whole = company_files()
    files = {key: scanned(body) if key.endswith(".pdf") else body for key, body in whole.documents.items()}
    return Collection("scans", files, tuple(each for each in whole.questions if each.document.endswith(".pdf")))


def scanned(pdf: bytes) -> bytes:
    """A PDF whose pages are grey pictures of those of another one, as a scanner makes it."""
    import pypdfium2

    document = pypdfium2.PdfDocument(pdf)
    try:
        pictures = [page.render(scale=SCANNED_DOTS_PER_INCH / _POINTS_PER_INCH, grayscale=True) for page in document]
        return _pdf_of([(bitmap.width, bitmap.height, _bytes(bitmap)) for bitmap in pictures])
    finally:
        document.close()


def _bytes(bitmap: Any) -> bytes:
    body: bytes = bitmap.to_numpy().tobytes()
    return body


def _pdf_of(pictures: list[tuple[int, int, bytes]]) -> bytes:
    """A PDF of one picture a page, each of so many columns and rows of one byte of grey."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    pages = []
    for columns, rows, grey in pictures:
        width, height = (side * _POINTS_PER_INCH / SCANNED_DOTS_PER_INCH for side in (columns, rows))
        first = len(objects) + 1
        pages.append(f"{first} 0 R")
        page = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width:.2f} {height:.2f}] /Contents {first + 1} 0 R "
            f"/Resources << /XObject << /Scan {first + 2} 0 R >> >> >>"
        )
        picture = (
            f"/Type /XObject /Subtype /Image /Width {columns} /Height {rows} /ColorSpace /DeviceGray "
            "/BitsPerComponent 8 /Filter /FlateDecode "
        )
        shown = f"{width:.2f} 0 0 {height:.2f} 0 0 cm /Scan Do".encode()
        objects += [page.encode(), _stream("", shown), _stream(picture, zlib.compress(grey))]
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(pages)}] /Count {len(pages)} >>".encode()
    return _file_of(objects)


def _stream(entries: str, body: bytes) -> bytes:
    return f"<< {entries}/Length {len(body)} >>\nstream\n".encode() + body + b"\nendstream"


def _file_of(objects: list[bytes]) -> bytes:
    written, places = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(objects, start=1):
        places.append(len(written))
        written += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = len(written)
    written += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    written += b"".join(f"{place:010} 00000 n \n".encode() for place in places)
    written += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n".encode()
    return bytes(written)


_JAPANESE_GOODS = ("六角ボルト", "六角ナット", "平座金", "皿ねじ", "蝶番", "取手", "止め輪", "スペーサー")
_JAPANESE_MATERIALS = ("ステンレス製", "鉄製", "真鍮製", "樹脂製", "アルミ製")
_ENGLISH_GOODS = ("hex bolt", "hex nut", "flat washer", "countersunk screw", "hinge", "handle", "circlip", "spacer")
_ENGLISH_MATERIALS = ("Stainless", "Steel", "Brass", "Plastic", "Aluminium")
_SIZES = ("M4", "M5", "M6", "M8", "M10", "M12")


def price_lists() -> Collection:
    """A price list in Japanese and one in English, of 240 rows each that differ in a word or two from each other."""
    prices = random.Random(1).sample(range(1_000, 10_000), 2 * 240)  # noqa: S311 - the same in every run
    columns = ("品番", "品名", "サイズ", "税抜価格(円)", "最小注文数")
    japanese = [
        (f"KS-{n:03}", f"{material}{goods}", size, str(prices[n]), str(10 * (n % 7 + 1)))
        for n, (goods, material, size) in enumerate(product(_JAPANESE_GOODS, _JAPANESE_MATERIALS, _SIZES))
    ]
    english = [
        (f"EN-{n:03}", f"{material} {goods}", size, f"{prices[240 + n] / 100:.2f}", str(10 * (n % 7 + 1)))
        for n, (goods, material, size) in enumerate(product(_ENGLISH_GOODS, _ENGLISH_MATERIALS, _SIZES))
    ]
    draw = random.Random(2)  # noqa: S311 - the same in every run
    asked = [
        Question(f"{name}の{size}はいくらですか。", "価格一覧.csv", price)
        for _, name, size, price, _ in draw.sample(japanese, _ASKED_OF_A_LIST)
    ] + [
        Question(f"How much is the {name.lower()} in size {size}?", "price-list.csv", price)
        for _, name, size, price, _ in draw.sample(english, _ASKED_OF_A_LIST)
    ]
    files = {
        "価格一覧.csv": _csv(columns, japanese),
        "price-list.csv": _csv(("sku", "product", "size", "price_gbp", "least_order"), english),
    }
    return Collection("price lists", files, tuple(asked))


def _csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows([columns, *rows])
    return written.getvalue().encode()


def manuals(kept: Path) -> Collection:
    """Manuals of up to 272 pages, taken out of Debian packages that are kept in that folder. Raises NotHereError."""
    return Collection("long manuals", debian_manuals(kept), tuple(questions_about_manuals()))
