"""Scans, as they come from an office's scanner: pictures of pages, and no text."""

from __future__ import annotations

import zlib
from typing import Any

SCANNED_DOTS_PER_INCH = 200
"""As office scanners are set by default; assumed."""
_POINTS_PER_INCH = 72


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
