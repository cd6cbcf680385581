"""The manuals: taken out of Debian packages, which are downloaded once and not installed."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent
_HANDBOOK = "debian-handbook/usr/share/doc/debian-handbook/html/ja-JP"
_GUIDE = "installation-guide-amd64/usr/share/doc/installation-guide-amd64"
PDFS = {
    "developers-reference.pdf": "developers-reference/usr/share/developers-reference/developers-reference.pdf",
    "debian-faq.pdf": "debian-faq/usr/share/doc/debian/FAQ/debian-faq.en.pdf.gz",
    "policy.pdf": "debian-policy/usr/share/doc/debian-policy/policy.pdf.gz",
    "installation-guide.pdf": f"{_GUIDE}/en/install.en.pdf.gz",
    "開発者リファレンス.pdf": "developers-reference-ja/usr/share/developers-reference/ja/developers-reference.pdf",
    "新メンテナーガイド.pdf": "maint-guide-ja/usr/share/doc/maint-guide-ja/maint-guide.ja.pdf",
    "リファレンス.pdf": "debian-reference-ja/usr/share/debian-reference/debian-reference.ja.pdf",
    "インストールガイド.pdf": f"{_GUIDE}/ja/install.ja.pdf.gz",
}
"""Where each lies, the package first. Beside them the sections of the handbook in Japanese, a page each."""
PACKAGES = sorted({path.partition("/")[0] for path in (*PDFS.values(), _HANDBOOK)})


class NotHereError(Exception):
    """The manuals can't be had on this machine; the message says why."""


@dataclass(frozen=True)
class Question:
    """`document` answers it; `expected` stands in the text of that one, white space aside."""

    question: str
    document: str
    expected: str


def questions() -> list[Question]:
    """Those written for these manuals, English ones first."""
    rows = json.loads((_HERE / "questions.json").read_text(encoding="utf-8"))
    return [Question(**row) for row in rows]


def manuals(kept: Path) -> dict[str, bytes]:
    """Each manual's file by its name; the packages are kept in that folder. Raises NotHereError."""
    for package in PACKAGES:
        if not (kept / package).exists():
            _unpack(package, kept)
    found = {name: _read(kept / path) for name, path in PDFS.items()}
    sections = sorted((kept / _HANDBOOK).glob("sect.*.html"))
    return found | {path.name.removeprefix("sect."): path.read_bytes() for path in sections}


def _unpack(package: str, kept: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise NotHereError("this is not Debian: the manuals are taken out of its packages")
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        got = subprocess.run(  # noqa: S603 - a package of the list above
            ["apt-get", "download", "--quiet", package],  # noqa: S607 - found above
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        archive = next(Path(folder).glob("*.deb"), None)
        if got.returncode or archive is None:
            raise NotHereError(f"the package {package} can't be had: {got.stderr.strip()[-300:]}")
        whole = Path(folder) / "unpacked"
        subprocess.run(["dpkg-deb", "--extract", str(archive), str(whole)], check=True)  # noqa: S603, S607 - as above
        shutil.move(whole, kept / package)


def _read(path: Path) -> bytes:
    body = path.read_bytes()
    return gzip.decompress(body) if path.suffix == ".gz" else body
