"""Text out of bytes whose encoding nobody names, and rows out of CSV."""

from __future__ import annotations

import codecs
import re

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What begins so is no text: a script, as users report; PDF, PNG, JPEG, GIF, TIFF, zip containers, Office before 2007,
# gzip, 7z, RAR.
_OTHER_FILES = (
    b"#!/",
    b"%PDF-",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"GIF8",
    b"II*\0",
    b"MM\0*",
    b"PK\x03\x04",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    b"\x1f\x8b",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
)
_SHIFTED = re.compile(rb"\x1b(?:\$[@B]|\([BJI])")  # ISO-2022-JP changes its character sets so (RFC 1468)
_RUN = re.compile(rb"[\x80-\xff]+")
_HALF_WIDTH = re.compile(r"[｡-ﾟ]")
_IN_USE = re.compile("[\\t\\n\\r -~\\u00a0-\\u017f\\u3000-\\u30ff\\u4e00-\\u9fff\\uff01-\\uff9f]")
_MOSTLY = 0.9
_HIRAGANA = re.compile(r"[ぁ-ゖ]")
# The first bytes of a long text tell its encoding as well as all of it would.
_SAMPLE = 65_536
# Between separators: quoted, with doubled quotes in it, or as it stands (RFC 4180). A quote that is never closed counts
# as a character.
_CELL = re.compile(r'(\A|,|\r\n|\r|\n)(?:"([^"]*(?:""[^"]*)*)"(?=[,\r\n]|\Z)|([^,\r\n]*))')


class NotTextError(Exception):
    """The bytes are no text, or in no encoding known here."""


def decoded(body: bytes) -> str:
    """The text, by its byte order mark, or in the first of the usual encodings that it makes sense in.

    These are UTF-8, ISO-2022-JP, UTF-16 without a mark, Shift_JIS, EUC-JP, GB 18030, and that of Western Windows. That
    the service reads each of them is not known; that one of them fails no job is what matters here. NotTextError where
    it is another kind of file, or none of these.
    """
    if body.startswith(_OTHER_FILES):
        raise NotTextError("another kind of file")
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            return _strictly(body, encoding)
    if _SHIFTED.search(body[:_SAMPLE]):
        return _strictly(body, "iso2022_jp_ext")
    if b"\0" in body[:_SAMPLE]:
        return _strictly(body, _unmarked(body[:_SAMPLE]))
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return _strictly(body, _legacy(body))


def _strictly(body: bytes, encoding: str) -> str:
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as error:
        raise NotTextError(f"no text in {encoding}") from error


def _unmarked(sample: bytes) -> str:
    """The byte order of UTF-16 in which the text is of letters that are in use."""
    shares = {}
    for encoding in ("utf-16-le", "utf-16-be"):
        text = sample[: len(sample) // 2 * 2].decode(encoding, "replace")
        shares[encoding] = len(_IN_USE.findall(text)) / max(1, len(text))
    best = max(shares, key=lambda encoding: shares[encoding])
    if shares[best] < _MOSTLY:
        raise NotTextError("zero bytes")
    return best


def _legacy(body: bytes) -> str:
    sample = body[:_SAMPLE]
    runs = _RUN.findall(sample)
    if runs and max(map(len, runs)) == 1 and len(runs) < len(sample) / 5:
        return "cp1252"  # single letters with an accent among plain ones
    japanese = _tried(sample, "cp932")
    # What is Chinese or EUC-JP turns into half-width katakana there.
    if japanese is not None and len(_HALF_WIDTH.findall(japanese)) * 10 <= len(japanese):
        return "cp932"
    unix = _tried(sample, "euc_jp")
    if unix is not None and _HIRAGANA.search(unix):
        return "euc_jp"
    if _tried(sample, "gb18030") is not None:
        return "gb18030"
    return "euc_jp" if unix is not None else "cp932"


def _tried(sample: bytes, encoding: str) -> str | None:
    try:
        # The last letter of the sample may be cut.
        return codecs.getincrementaldecoder(encoding)().decode(sample, final=len(sample) < _SAMPLE)
    except UnicodeDecodeError:
        return None


def rows(text: str) -> list[list[str]]:
    """The rows of CSV, whatever its line ends are and however long a field is; empty ones are left out."""
    found: list[list[str]] = []
    for cell in _CELL.finditer(text):
        separator, quoted, plain = cell.groups()
        if separator != "," or not found:
            found.append([])
            if separator == ",":
                found[-1].append("")  # the text begins with the separator of an empty first cell
        found[-1].append(plain if quoted is None else quoted.replace('""', '"'))
    return [row for row in found if any(cell.strip() for cell in row)]
