"""Pages of PDF files read as they look: their text, and what is written in their pictures.

Recognition is by RapidOCR, whose package holds its models (PP-OCR; Japanese, Chinese, English and other languages).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import median
from threading import Lock
from typing import Any

from bedrock_emulator.reading.pdf_layout import page_texts
from bedrock_emulator.reading.text_extraction import Page, opened_pdf

# Scans are made with 200 to 300 dots an inch; recognition needs letters some 20 dots high.
_DOTS_PER_INCH = 144
_POINTS_PER_INCH = 72
_LONGEST_SIDE = 4_000
# Lines this much higher than most of a page are headings, and lines that overlap by half are one.
_HEADING_SIZE, _SAME_LINE = 1.3, 0.5
_recognising = Lock()


@dataclass(frozen=True)
class _Seen:
    text: str
    left: float
    top: float
    height: float


def seen_pages(body: bytes) -> list[Page]:
    """The pages of a PDF: of each its text, and below it the lines of its pictures that are not in the text."""
    with opened_pdf(body) as document:
        pages = list(document)
        read = zip(pages, page_texts(pages), strict=True)
        return [Page(_with_pictures(page, text), number) for number, (page, text) in enumerate(read, start=1)]


def _with_pictures(page: Any, text: str) -> str:
    if not _has_pictures(page):
        return text
    known = _squeezed(text)
    lines = [line for line in _recognised(page) if _squeezed(line.lstrip("# ")) not in known]
    return "\n".join(filter(None, [text, *lines]))


def _has_pictures(page: Any) -> bool:
    import pypdfium2.raw as pdfium

    return any(True for _ in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE]))


def _recognised(page: Any) -> list[str]:
    scale = min(_DOTS_PER_INCH / _POINTS_PER_INCH, _LONGEST_SIDE / max(1.0, *page.get_size()))
    picture = page.render(scale=scale).to_numpy()
    with _recognising:
        found = _engine()(picture)
    if found.boxes is None or found.txts is None:
        return []
    seen = [
        _Seen(text, float(box[:, 0].min()), float(box[:, 1].min()), float(box[:, 1].max() - box[:, 1].min()))
        for box, text in zip(found.boxes, found.txts, strict=True)
    ]
    return _in_lines(seen)


def _in_lines(seen: list[_Seen]) -> list[str]:
    rows: list[list[_Seen]] = []
    for each in sorted(seen, key=lambda word: word.top):
        if rows and each.top - rows[-1][0].top < _SAME_LINE * rows[-1][0].height:
            rows[-1].append(each)
        else:
            rows.append([each])
    usual = median([each.height for each in seen]) if seen else 0.0
    lines = []
    for row in rows:
        text = "   ".join(word.text for word in sorted(row, key=lambda word: word.left))
        lines.append(f"# {text}" if min(word.height for word in row) >= _HEADING_SIZE * usual else text)
    return lines


@cache
def _engine() -> Any:
    from rapidocr import RapidOCR

    # Its threads wait for each other in loops, which takes longer than the work where others want the cores, too; and
    # pages that stand on their heads are rare.
    settings = {"Global.use_cls": False, "EngineConfig.onnxruntime.intra_op_num_threads": 1}
    return RapidOCR(params={"Global.log_level": "warning", **settings})


def _squeezed(text: str) -> str:
    return "".join(text.split())
