"""Documents of four kinds in Japanese and English, and questions that they answer."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks.manuals.library import Question
from benchmarks.manuals.library import manuals as debian_manuals
from benchmarks.manuals.library import questions as questions_about_manuals
from local import samples
from local.samples.scans import scanned

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
