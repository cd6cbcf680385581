"""Whatever is wrong with a file, it is left out by its name, and the job goes on.

`make test` tries a few changed files of each format. For more, say how many: ``BEDROCK_EMULATOR_FILES=2000 pytest -s
emulator/tests/test_unsound_files.py`` (with ``-s`` the count is printed). The files are the same in every run.
"""

from __future__ import annotations

import io
import os
import random
import resource
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from bedrock_emulator.reading.text_extraction import UnreadableError, extractor

FILES = Path(__file__).parent / "files"
USUAL = 12
WANTED = int(os.environ.get("BEDROCK_EMULATOR_FILES", USUAL))
IN_A_JOB = 200
SECONDS = 20.0
"""Of the processor, that a file may take at most."""


def bomb(name: str, size: int) -> bytes:
    """A container of a few kilobytes that unpacks to ``size`` bytes."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as container, container.open(name, "w") as entry:
        for _ in range(size // 1_000_000):
            entry.write(bytes(1_000_000))
    return written.getvalue()


def wide_sheet() -> bytes:
    """A workbook with one cell, which claims to have 17 billion."""
    return rezipped(
        (FILES / "prices.xlsx").read_bytes(),
        "xl/worksheets/sheet1.xml",
        lambda xml: xml.replace(b'<dimension ref="A1:C4"', b'<dimension ref="A1:XFD1048576"').replace(
            b'r="A4"', b'r="XFD1048576"'
        ),
    )


def rezipped(body: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """The same container with one of its files changed."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as old, zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            content = old.read(entry.filename)
            new.writestr(entry.filename, change(content) if entry.filename == name else content)
    return written.getvalue()


def of_file(name: str) -> bytes:
    return (FILES / name).read_bytes()


LAUGHS = b'<!DOCTYPE x [<!ENTITY a "haha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">' + b"".join(
    f'<!ENTITY {chr(number)} "{f"&{chr(number - 1)};" * 10}">'.encode() for number in range(ord("c"), ord("m"))
)
UNSOUND: dict[str, bytes] = {
    "word named.xlsx": of_file("rules.docx"),
    "workbook named.docx": of_file("prices.xlsx"),
    "word named.xls": of_file("rules.doc"),
    "workbook named.doc": of_file("prices.xls"),
    "new word named.doc": of_file("rules.docx"),
    "xml cut short.docx": rezipped(of_file("rules.docx"), "word/document.xml", lambda xml: xml[: len(xml) // 2]),
    "xml cut short.xlsx": rezipped(of_file("prices.xlsx"), "xl/workbook.xml", lambda xml: xml[: len(xml) // 2]),
    "entities.docx": rezipped(
        of_file("rules.docx"),
        "word/document.xml",
        lambda xml: xml.replace(b"<w:document", LAUGHS + b"]><w:document", 1).replace(b"The office", b"&l; office"),
    ),
    "bomb.docx": bomb("word/document.xml", 400_000_000),
    "bomb.xlsx": bomb("xl/workbook.xml", 400_000_000),
    "picture.txt": b"\x89PNG\r\n\x1a\n" + bytes(40),
    "portable.md": of_file("rules.pdf"),
    "zeros.txt": bytes(1_000),
    "script.txt": b"#!/bin/sh\necho leave\n",
    "empty.csv": b"",
    "not one.pdf": b"%PDF-1.4\nnothing",
    "cut.pdf": of_file("rules.pdf")[:2_000],
}
READ: dict[str, tuple[bytes, str]] = {
    "carriage returns.csv": (b"Kind,Days\rLeave,20\rSick,5\r", "Kind: Sick, Days: 5"),
    "long field.csv": (b"Kind,Text\nLeave," + b"days " * 40_000 + b"end\n", "days end"),
    "huge row.xlsx": (wide_sheet(), "Tent"),
    "deep.html": (b"<div>" * 3_000 + b"Leave is 20 days." + b"</div>" * 3_000, "Leave is 20 days."),
    "deep list.html": (b"<ul><li>" * 3_000 + b"Leave is 20 days.", "Leave is 20 days."),
    "deep table.html": (b"<table><tr><td>" * 3_000 + b"Leave is 20 days.", "Leave is 20 days."),
    "utf-16.txt": ("有給休暇は二十日。\n".encode("utf-16"), "有給休暇は二十日。"),
    "gbk.txt": ("员工每年享有二十天带薪休假。\n".encode("gbk"), "员工每年享有二十天带薪休假。"),
    "iso-2022-jp.md": ("有給休暇は二十日。\n".encode("iso2022_jp"), "有給休暇は二十日。"),
}


def test_each_is_left_out_or_read_and_no_job_fails(bench: Any) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base)
    bench.put("documents", **UNSOUND, **{name: body for name, (body, _) in READ.items()}, **{"good.txt": "Good."})
    ended = bench.sync(base, source)
    assert ended["status"] == "COMPLETE", ended
    assert statuses(bench, base, source) == {
        **dict.fromkeys(UNSOUND, "IGNORED"),
        **dict.fromkeys([*READ, "good.txt"], "INDEXED"),
    }
    assert ended["statistics"]["numberOfDocumentsFailed"] == len(UNSOUND)
    told = " ".join(ended["failureReasons"])
    assert all(f"s3://documents/{name}" in told for name in UNSOUND)
    for name, (body, expected) in READ.items():
        extract = extractor(name)
        assert extract is not None
        assert expected in "\n".join(page.text for page in extract(body)), name


@pytest.mark.parametrize("name", ["bomb.docx", "bomb.xlsx", "huge row.xlsx", "entities.docx"])
def test_what_grows_is_stopped_before_it_has(name: str) -> None:
    extract = extractor(name)
    assert extract is not None
    body = UNSOUND[name] if name in UNSOUND else READ[name][0]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with suppress(UnreadableError):
        extract(body)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kilobytes


def test_an_object_in_an_archive_is_left_out(bench: Any) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base)
    bench.put("documents", **{"good.txt": "Good."})
    bench.s3.put_object(Bucket="documents", Key="old.txt", Body=b"Old.", StorageClass="GLACIER")
    bench.put("documents", **{"b.txt": "Text."})
    bench.s3.put_object(Bucket="documents", Key="b.txt.metadata.json", Body=b"{}", StorageClass="DEEP_ARCHIVE")
    ended = bench.sync(base, source)
    assert ended["status"] == "COMPLETE"
    assert statuses(bench, base, source) == {"good.txt": "INDEXED", "old.txt": "FAILED", "b.txt": "FAILED"}
    assert "(InvalidObjectState) [Files: s3://documents/b.txt, s3://documents/old.txt]" in ended["failureReasons"][0]


def test_an_error_that_nobody_thought_of_leaves_out_its_document(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from bedrock_emulator.services import ingestion

    read = vars(ingestion)["passage"]

    def fails(text: str, *more: Any) -> Any:
        if "Bad" in text:
            raise RecursionError("too deep")
        return read(text, *more)

    monkeypatch.setattr(ingestion, "passage", fails)
    base = bench.knowledge_base()
    source = bench.data_source(base)
    bench.put("documents", **{"good.txt": "Good.", "bad.txt": "Bad."})
    assert bench.sync(base, source)["status"] == "COMPLETE"
    assert statuses(bench, base, source) == {"good.txt": "INDEXED", "bad.txt": "FAILED"}


def statuses(bench: Any, base: str, source: str) -> dict[str, str]:
    """By key, of all documents that the data source knows."""
    pages = bench.agent.get_paginator("list_knowledge_base_documents").paginate(
        knowledgeBaseId=base, dataSourceId=source
    )
    return {
        detail["identifier"]["s3"]["uri"].removeprefix("s3://documents/"): detail["status"]
        for page in pages
        for detail in page["documentDetails"]
    }


# --- real files, changed by chance ----------------------------------------------------------------

TEXT = (
    "# 就業規則\n\n| 区分 | 日数 |\n|---|---|\n| 休暇 | 20 |\n\n1. Leave\n2. Travel\n\n"
    "有給休暇は二十日。Employees get 20 days of leave, and 5 more when they are sick.\n" * 5
)
PAGE = (
    "<!doctype html><html><head><title>Rules</title><style>p{}</style></head><body><h1>規則</h1><p>Twenty "
    "<b>days</b><br>of leave.</p><ul><li>One<li>Two<ul><li>Three</ul></ul>"
    "<table><tr><th>Kind<td>Days</tr><tr><td>Sick<td>5</table>"
    "<pre>x = 1\n</pre><!-- note --></body></html>"
)
REAL: dict[str, bytes] = {
    "txt": TEXT.encode(),
    "md": TEXT.encode("cp932"),
    "csv": 'Kind,Days,"Note, long"\nLeave,20,"a ""b"" c"\n休暇,20,\n'.encode() * 10,
    "html": PAGE.encode(),
    "doc": of_file("rules.doc"),
    "docx": of_file("rules.docx"),
    "pdf": of_file("rules.pdf"),
    "xls": of_file("prices.xls"),
    "xlsx": of_file("prices.xlsx"),
}


def changed(body: bytes, chance: random.Random) -> bytes:
    """One to four changes: bytes turned, spans left out, doubled, zeroed, moved, put in, the end cut."""
    if body.startswith(b"PK") and chance.random() < 0.7:
        with zipfile.ZipFile(io.BytesIO(body)) as container:
            name = chance.choice(container.namelist())
        return rezipped(body, name, lambda content: changed(content, chance))
    found = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(found) + 1)
        end = min(len(found), at + int(chance.expovariate(1 / 40)) + 1)
        match chance.randrange(8):
            case 0 | 1:
                for _ in range(chance.randint(1, 20)):
                    if found:
                        found[chance.randrange(len(found))] = chance.randrange(256)
            case 2:
                del found[at:end]
            case 3:
                found[at:at] = found[at:end] * chance.choice([1, 2, 1_000])
            case 4:
                found[at:end] = bytes(end - at)
            case 5:
                other = chance.randrange(len(found) + 1)
                found[other:other] = found[at:end]
            case 6:
                found[at:at] = chance.randbytes(chance.randint(1, 30))
            case _:
                del found[chance.randrange(len(found) // 2, len(found) + 1) :]
    return bytes(found)


@pytest.mark.timeout(3_600 if WANTED > USUAL else 120)
@pytest.mark.parametrize("ending", sorted(REAL))
def test_no_changed_file_fails_a_job(bench: Any, ending: str) -> None:
    base = bench.knowledge_base()
    source = bench.data_source(base)
    extract = extractor(f"a.{ending}")
    assert extract is not None
    chance = random.Random(ending)  # noqa: S311 - repeatable on purpose
    slowest = 0.0
    read = 0
    waiting = iter(range(WANTED))
    while numbers := list(islice(waiting, IN_A_JOB)):
        files = {f"{number:06}.{ending}": changed(REAL[ending], chance) for number in numbers}
        for name, body in files.items():
            began = time.thread_time()
            try:
                extract(body)
            except UnreadableError:
                pass
            else:
                read += 1
            taken = time.thread_time() - began
            slowest = max(slowest, taken)
            assert taken < SECONDS, name
        bench.put("documents", **files)
        ended = bench.sync(base, source)
        assert ended["status"] == "COMPLETE", ended
        held = statuses(bench, base, source)
        assert files.keys() <= held.keys()
        assert {held[name] for name in files} <= {"INDEXED", "IGNORED"}
        counts = ended["statistics"]
        assert counts["numberOfNewDocumentsIndexed"] + counts["numberOfDocumentsFailed"] >= len(files)
        for name in files:
            bench.s3.delete_object(Bucket="documents", Key=name)
    print(f"{WANTED:,} changed files of .{ending}, {read:,} of them readable, the slowest in {slowest:.2f} s")  # noqa: T201 - asked for with -s
