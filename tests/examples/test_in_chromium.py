"""A tenant's documents page in headless Chromium: both back ends, in both languages."""

from __future__ import annotations

import asyncio
import socket
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypercorn.asyncio import serve
from hypercorn.config import Config

from docs.pictures import BROWSERS
from examples.documents_page.words import ENGLISH, JAPANESE, Words
from kbfleet.domain.document_examination import DocumentFault, DocumentFinding, Examination
from kbfleet.domain.failed_documents import FailedDocument
from kbfleet.domain.names import Life
from tests.examples import browser
from tests.examples.browser import Chromium
from tests.examples.documents_backends import Backend, backend
from tests.examples.local_api import CONTENT, LocalApi, local_api
from tests.handlers.conftest import Handler
from tests.support.clock import START
from tests.support.fleet import Fleet
from tests.support.samples import ACME, NAMES, SAKURA

pytestmark = pytest.mark.skipif(browser.found() is None, reason=f"none of {', '.join(BROWSERS)} is on the PATH")
BUCKET = NAMES.bucket(Life(ACME))
ODD = "<img src=x onerror=\"document.title='taken'\">\u202efdp.md"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    path = browser.found()
    assert path
    with browser.chromium(path) as started:
        yield started


@pytest.fixture
def api(fleet: Fleet, handler: Callable[[str], Handler]) -> Iterator[LocalApi]:
    with local_api(fleet, handler) as served:
        yield served


@contextmanager
def serving(application: Any, mode: Any) -> Iterator[str]:
    """The back end on a free port of loopback."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    config = Config()
    config.bind = [f"fd://{listening.detach()}"]  # which the server closes
    config.graceful_timeout = config.shutdown_timeout = 1
    config.loglevel = "WARNING"
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def stopped() -> None:
        await stop.wait()

    thread = Thread(
        target=lambda: loop.run_until_complete(serve(application, config, mode=mode, shutdown_trigger=stopped))
    )
    thread.start()
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture(params=["fastapi", "django"])
def product(
    request: pytest.FixtureRequest, api: LocalApi, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Backend, str]]:
    """A back end, and where it is served."""
    with backend(request.param, api.client(), api.url, monkeypatch) as made, serving(*made.application()) as url:
        yield made, url


@pytest.mark.parametrize("words", [ENGLISH, JAPANESE], ids=["en", "ja"])
def test_a_tenants_user_lists_sends_opens_and_deletes_documents(
    chromium: Chromium, api: LocalApi, product: tuple[Backend, str], words: Words, tmp_path: Path
) -> None:
    made, url = product
    for number in range(55):
        api.put(f"{number:03}.md")
    api.put(ODD)
    api.put("secret.md", SAKURA)
    name = unicodedata.normalize("NFD", "ガイド.md")  # as macOS has it
    file = tmp_path / name
    file.write_bytes(CONTENT)

    with chromium.visit(url, made.cookies("acme"), words.language) as tab:
        # list, and more
        tab.go(f"{url}/documents/")
        assert tab.run("document.documentElement.lang") == words.language
        assert tab.run("document.title") == words.title
        assert tab.texts == [f"{number:03}.md" for number in range(50)]
        assert words.statuses["NOT_SEEN_YET"] in tab.run("document.body.innerText")
        assert tab.run("[...document.querySelectorAll('input:not([type=hidden]), select')].every((e) => e.labels[0])")
        with tab.loading():
            tab.click("a.more")
        assert tab.texts == [*(f"{number:03}.md" for number in range(50, 55)), ODD.replace("\u202e", "⟨U+202E⟩")]

        # send
        tab.choose_files("#files", [file])
        tab.call("Runtime.evaluate", expression="document.querySelector('#folder').value = '/規程//'")
        tab.click("#send button")
        tab.until("!document.querySelector('#sent-all').hidden")
        assert words.arrived in tab.run("document.querySelector('#sent').innerText")
        assert "規程/ガイド.md" in api.there()
        with tab.loading():
            tab.click("#sent-all a")

        # open, through a link that is made at the click
        tab.run("document.querySelector('#prefix').value = '規程/'")
        with tab.loading():
            tab.click("#filter button")
        assert tab.texts == ["規程/ガイド.md"]
        assert "X-Amz" not in tab.run("document.documentElement.outerHTML")
        tab.click("a.open")
        api.wait_for(lambda: api.opened == [(BUCKET, "規程/ガイド.md")])
        assert tab.other_tabs == 1

        # delete, when that is confirmed
        with tab.loading():
            tab.click("a.delete")
        assert words.delete_this in tab.run("document.body.innerText")
        assert "規程/ガイド.md" in api.there()
        with tab.loading():
            tab.click("#delete button")
        assert "規程/ガイド.md" not in api.there()
        assert "規程/ガイド.md" in tab.run("document.querySelector('.notice').innerText")
        assert (len(api.there()), api.there(SAKURA)) == (56, {"secret.md"})
        assert tab.complaints() == []


def test_what_a_bucket_does_not_take_is_told_to_whoever_sent_it(
    chromium: Chromium, api: LocalApi, product: tuple[Backend, str], tmp_path: Path
) -> None:
    made, url = product
    api.put("b.md")
    api.takes_uploads = False
    files = [tmp_path / name for name in ("<img src=x>.md", "b.md", "c.exe")]
    for each in files:
        each.write_bytes(CONTENT)
    with chromium.visit(url, made.cookies("acme"), "en") as tab:
        tab.go(f"{url}/documents/")
        tab.choose_files("#files", files)
        tab.click("#send button")
        tab.until("!document.querySelector('#sent-all').hidden")
        told = tab.run("[...document.querySelectorAll('#sent li')].map((each) => [each.className, each.innerText])")
    assert [state for state, _ in told] == ["problem"] * 3
    assert told[0][1] == f"<img src=x>.md {ENGLISH.not_arrived}"
    assert told[1][1] == f"b.md {ENGLISH.not_arrived}"  # one was there before, and still is
    assert told[2][1] == f"c.exe {ENGLISH.name_not_taken}"
    assert (api.there(), api.refused_uploads) == ({"b.md"}, 2)


def test_listing_opening_and_deleting_need_no_script(
    chromium: Chromium, api: LocalApi, product: tuple[Backend, str]
) -> None:
    made, url = product
    uri = api.put("a.pdf")
    seen_in_it = Examination("", DocumentFinding(DocumentFault.SCAN))
    api.fleet.failed_documents.save(Life(ACME), FailedDocument(uri, "no text", START, START, examination=seen_in_it))
    with chromium.visit(url, made.cookies("acme"), "en", width=360) as tab:
        tab.call("Emulation.setScriptExecutionDisabled", value=True)
        tab.go(f"{url}/documents/")
        assert ENGLISH.faults["SCAN"] in tab.run("document.body.innerText")
        assert ENGLISH.needs_script in tab.run("document.body.innerText")
        assert tab.run("document.documentElement.scrollWidth") == 360  # nothing is cut off on a telephone
        tab.click("a.open")
        api.wait_for(lambda: api.opened == [(BUCKET, "a.pdf")])
        with tab.loading():
            tab.click("a.delete")
        tab.click("#erase")
        with tab.loading():
            tab.click("#delete button")
    assert (api.there(), api.fleet.bucket_contents.kept) == (set(), {})
