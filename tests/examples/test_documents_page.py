"""The documents page of both back ends, by what a browser is sent and what kbfleet is asked."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from examples.documents_page import ASSET_TYPES, ASSETS, shown
from examples.documents_page.words import ENGLISH, JAPANESE, words_for
from examples.kbfleet_client import document_id
from kbfleet.domain.document_examination import DocumentFault, DocumentFinding, Examination
from kbfleet.domain.document_status import DocumentStatus
from kbfleet.domain.errors import Throttled
from kbfleet.domain.failed_documents import FailedDocument
from kbfleet.domain.names import Life
from tests.examples.documents_backends import Backend, backend
from tests.examples.local_api import LocalApi, local_api
from tests.handlers.conftest import Handler
from tests.support.clock import START
from tests.support.fleet import Fleet
from tests.support.samples import ACME, NAMES, SAKURA, uri_of

EXAMPLES = Path(__file__).parents[2] / "examples"
NFC, NFD = "ガイド.md", unicodedata.normalize("NFD", "ガイド.md")
HOSTILE_KEYS = [
    "<script>alert(1)</script>.md",
    "\"><img src=x onerror=alert(1)>'.md",
    "{{ csrf.token }}{% csrf_token %}.md",
    "javascript:alert(1).md",
    "invoice\u202efdp.md",
    "\u2066a\u2069\x1b]52;c;eA==\x07\nb.md",
    "../../sakura/secret.md",
    "/a.md",
    "a//b.md",
    "%2F..%2f.md",
    "a b+c&d=e?f#g;h.md",
    "'`\"[]{}|\\^~.md",
    "  .md",
    "why",
    "retry",
    NFC,
    NFD,
    "x" * 1_021 + ".md",
]


@pytest.fixture
def api(fleet: Fleet, handler: Callable[[str], Handler]) -> Iterator[LocalApi]:
    with local_api(fleet, handler) as served:
        yield served


@pytest.fixture(params=["fastapi", "django"])
def product(request: pytest.FixtureRequest, api: LocalApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    with backend(request.param, api.client(), api.url, monkeypatch) as made:
        yield made


class TestTheList:
    def test_each_document_has_size_date_status_since_when_and_what_can_be_done(
        self, api: LocalApi, product: Backend
    ) -> None:
        api.put("rules.md", size=3 * 1024**2)
        seen = product.person("acme").get()
        assert (seen.status, seen.rows) == (200, ["rules.md"])
        assert "3.0 MB" in seen.shown
        assert ENGLISH.statuses["NOT_SEEN_YET"] in seen.shown
        times = [given["datetime"] for tag, given in seen.tags if tag == "time"]
        assert len(times) == 2  # changed, and since
        assert seen.links["Open: rules.md (opens in a new tab)"] == f"open?id={document_id('rules.md')}"
        assert seen.links["Delete: rules.md"] == f"delete?id={document_id('rules.md')}"

    def test_why_a_document_is_left_out_is_said_in_the_readers_language(self, api: LocalApi, product: Backend) -> None:
        uri = api.put("scan.pdf")
        seen_in_it = Examination("", DocumentFinding(DocumentFault.SCAN))
        failed = FailedDocument(uri, "no text", START, START, times=2, examination=seen_in_it)
        api.fleet.failed_documents.save(Life(ACME), failed)
        other = FailedDocument(uri_of("odd.md"), "An <b>odd</b> reason.", START, START)
        api.put("odd.md")
        api.fleet.failed_documents.save(Life(ACME), other)
        for words in (ENGLISH, JAPANESE):
            seen = product.person("acme").get(status="LEFT_OUT", language=words.language)
            assert sorted(seen.rows) == ["odd.md", "scan.pdf"]
            assert words.faults["SCAN"] in seen.shown
            assert words.left_out in seen.shown
            assert "An <b>odd</b> reason." in seen.shown
            assert words.not_all_left_out in seen.shown
            assert f"{words.open}: scan.pdf ({words.opens_new})" in seen.links

    def test_pages_follow_by_their_token_and_each_document_comes_once(self, api: LocalApi, product: Backend) -> None:
        wanted = [f"{number:03}.md" for number in range(120)]
        for key in wanted:
            api.put(key)
        person = product.person("acme")
        seen = person.get(prefix="")
        listed = list(seen.rows)
        while ENGLISH.more in seen.links:
            seen = person.get(seen.links[ENGLISH.more].removeprefix("./"))
            assert seen.links[ENGLISH.first_page] == "./"
            listed += seen.rows
        assert listed == wanted

    def test_a_filter_goes_along_with_its_pages(self, api: LocalApi, product: Backend) -> None:
        for number in range(60):
            api.put(f"a&b/{number:03}.md")
        api.put("c.md")
        person = product.person("acme")
        seen = person.get(prefix="a&b/", status="NOT_SEEN_YET")
        seen = person.get(seen.links[ENGLISH.more].removeprefix("./"))
        assert len(seen.rows) == 10
        assert ("option", {"value": "NOT_SEEN_YET", "selected": None}) in seen.tags
        assert ENGLISH.more not in seen.links

    def test_what_is_found_late_is_found_without_a_click_on_every_empty_page(
        self, api: LocalApi, product: Backend
    ) -> None:
        for number in range(150):
            api.put(f"{number:03}.md")
        api.fleet.bucket_contents.delete(uri_of("140.md"))
        api.fleet.ingested_documents.refusal = Throttled("Requests come too fast.")
        seen = product.person("acme").get(status="UNKNOWN")
        assert seen.rows == ["140.md"]
        assert not any("140" in called for called in seen.links)  # it is not there any more

    def test_where_nothing_is_it_says_so(self, api: LocalApi, product: Backend) -> None:
        person = product.person("acme")
        assert ENGLISH.no_documents in person.get().shown
        assert ENGLISH.none_on_this_page in person.get(prefix="a").shown

    def test_no_link_to_a_document_is_made_before_it_is_wanted(self, api: LocalApi, product: Backend) -> None:
        api.put("rules.md")
        person = product.person("acme")
        assert "X-Amz" not in person.get().text
        assert not [path for _, path in api.asked if path.endswith("/link")]
        opened = person.get("open", id=document_id("rules.md"))
        assert opened.status in {302, 303}
        assert opened.headers["Location"].startswith(f"{api.url}/{NAMES.bucket(Life(ACME))}/rules.md?X-Amz-Signature=")
        assert opened.headers["Cache-Control"] == "no-store"

    def test_nothing_runs_but_the_pages_own_script(self, api: LocalApi, product: Backend) -> None:
        api.put("rules.md")
        person = product.person("acme")
        for seen in (person.get(), person.get("delete", id=document_id("rules.md")), person.get("open", id="-")):
            policy = seen.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert f"connect-src 'self' {api.url}" in policy
            assert not [given for _, given in seen.tags if any(name.startswith(("on", "style")) for name in given)]
            assert {tag: given.get("src") for tag, given in seen.tags if tag in {"script", "style"}} == {
                "script": "documents.js"
            }
        for name, kind in ASSET_TYPES.items():
            asset = person.get(name)
            assert asset.headers["Content-Type"].partition(";")[0] == kind
            assert asset.text == (ASSETS / name).read_text("utf-8")
        assert person.get("layout.html").status == person.get("..%2f__init__.py").status == 404


class TestNames:
    def test_a_name_is_text_and_what_is_done_is_done_to_exactly_the_one_that_is_meant(
        self, api: LocalApi, product: Backend
    ) -> None:
        api.put("secret.md", SAKURA)
        plain = product.person("sakura").get()
        there = {*HOSTILE_KEYS, "a.md", "b.md", "secret.md"}
        for key in there:
            api.put(key)
        person = product.person("acme")
        seen = person.get()
        assert sorted(seen.rows) == sorted(map(shown, there))
        assert {tag for tag, _ in seen.tags} == {tag for tag, _ in plain.tags}
        assert {name for _, given in seen.tags for name in given} == {name for _, given in plain.tags for name in given}
        assert {given["href"] for tag, given in seen.tags if given.get("class") == "delete"} == {
            f"delete?id={document_id(key)}" for key in there
        }
        for key in HOSTILE_KEYS:
            assert key in {NFC, NFD} or seen.links[f"Delete: {shown(key)}"] == f"delete?id={document_id(key)}"
            opened = person.get("open", id=document_id(key))
            assert opened.status in {302, 303}, key
            link = api.fleet.document_links.link(NAMES.bucket(Life(ACME)), key, START - START)
            assert opened.headers["Location"] == link.url

            asked = person.get("delete", id=document_id(key))
            assert (asked.hidden["id"], shown(key) in asked.shown) == (document_id(key), True)
            assert (ENGLISH.looks_the_same in asked.shown) == (key == NFC), key  # which goes first
            gone = person.form("delete", id=document_id(key))
            there.remove(key)
            assert (gone.status in {302, 303}, api.there()) == (True, there), key
            assert shown(key) in _notice(person.get(gone.headers["Location"].removeprefix("./")).shown)
        assert api.there(SAKURA) == {"secret.md"}

    def test_a_name_to_be_sent_is_taken_as_it_is_or_refused(self, api: LocalApi, product: Backend) -> None:
        person = product.person("acme")
        csrf = {product.csrf: person.get().hidden[product.csrf]}
        taken = set()
        for key in HOSTILE_KEYS:
            answer = person.post("upload", {**csrf, "name": key, "size": "5"}, accept="application/json")
            assert answer.headers["Content-Type"].partition(";")[0] == "application/json"
            if answer.status == 400:
                assert answer.json() == {"error": ENGLISH.name_not_taken}
            else:
                assert (answer.status, answer.json()["fields"]["key"]) == (200, key)
                taken.add(key)
        assert {NFC, NFD, HOSTILE_KEYS[0], HOSTILE_KEYS[1]} <= taken
        assert {"/a.md", "../../sakura/secret.md", "invoice\u202efdp.md", "why", ""}.isdisjoint(taken)
        assert api.there() == set()

    def test_what_turns_text_around_or_controls_a_device_is_named(self) -> None:
        assert shown("a\u202eb\x1b\n\u2028.md") == "a⟨U+202E⟩b⟨U+001B⟩⟨U+000A⟩⟨U+2028⟩.md"
        assert shown("規程/ガイド 1.pdf") == "規程/ガイド 1.pdf"

    def test_a_document_that_looks_the_same_is_never_taken_for_the_one_that_is_meant(
        self, api: LocalApi, product: Backend
    ) -> None:
        api.put(NFD)
        person = product.person("acme")
        assert person.get("delete", id=document_id(NFC)).status == 404
        assert person.form("delete", id=document_id(NFC)).status == 404
        assert person.get("open", id=document_id(NFC)).status == 404
        assert person.get("arrival", id=document_id(NFC)).json() == {"changed": None}
        refused = person.form("upload", name=NFC, size="5")
        assert (refused.status, refused.json()) == (400, {"error": ENGLISH.spelled_otherwise})
        assert api.there() == {NFD}


class TestWhose:
    def test_all_that_is_asked_is_asked_of_the_users_own_tenant(self, api: LocalApi, product: Backend) -> None:
        api.put("secret.md", SAKURA)
        api.put("own.md")
        person, theirs = product.person("acme"), document_id("secret.md")
        lies = {"tenant_id": "sakura", "tenant": "sakura"}
        assert person.get(**lies).rows == ["own.md"]
        assert person.get("open", id=theirs, **lies).status == 404
        assert person.get("delete", id=theirs, **lies).status == 404
        assert person.form("delete", id=theirs, erase="on", **lies).status == 404
        assert person.get("arrival", id=theirs, **lies).json() == {"changed": None}
        bucket = NAMES.bucket(Life(ACME))
        assert person.form("upload", name="secret.md", size="5", **lies).json()["url"] == f"{api.url}/{bucket}"
        assert api.there(SAKURA) == {"secret.md"}
        assert {path.split("/")[2].partition("?")[0] for _, path in api.asked} == {"acme"}

    def test_what_is_no_id_leads_nowhere(self, api: LocalApi, product: Backend) -> None:
        api.put("secret.md")
        person = product.person("acme")
        csrf = person.get().hidden[product.csrf]
        api.asked.clear()
        identity = document_id("secret.md")
        for odd in (
            "",
            ".",
            "..",
            f"../../sakura/documents/{identity}",
            f"{identity}/link",
            f"{identity}=",
            "why?a",
            "é",
        ):
            for path in ("open", "delete", "arrival"):
                assert person.get(path, id=odd).status == 404, odd
            assert person.post("delete", {product.csrf: csrf, "id": odd}).status == 404, odd
        assert (api.asked, api.there()) == ([], {"secret.md"})

    def test_another_tenants_page_is_not_in_the_list(self, api: LocalApi, product: Backend) -> None:
        for number in range(60):
            api.put(f"{number:03}.md")
            api.put(f"{number:03}.md", SAKURA)
        more = product.person("sakura").get().links[ENGLISH.more]
        seen = product.person("acme").get(more.removeprefix("./"))
        assert (seen.status, seen.rows) == (400, [])
        assert ENGLISH.no_such_page in seen.shown

    def test_nobody_who_is_not_signed_in_sees_or_does_anything(self, api: LocalApi, product: Backend) -> None:
        api.put("own.md")
        stranger, identity = product.person(None), document_id("own.md")
        for seen in (
            stranger.get(),
            stranger.get("open", id=identity),
            stranger.get("delete", id=identity),
            stranger.get("arrival", id=identity),
        ):
            assert seen.status in {302, 401}
            assert "own.md" not in seen.text
        for path in ("delete", "upload"):
            assert stranger.post(path, {"id": identity, "name": "a.md", "size": "5"}).status in {302, 401, 403}
        assert (api.asked, api.there()) == ([], {"own.md"})


class TestForms:
    def test_a_form_of_another_site_does_nothing(self, api: LocalApi, product: Backend) -> None:
        api.put("own.md")
        person, identity = product.person("acme"), document_id("own.md")
        others = product.person("sakura").get().hidden[product.csrf]
        person.get()
        api.asked.clear()
        for forged in ({}, {product.csrf: ""}, {product.csrf: "a" * 64}, {product.csrf: "é"}, {product.csrf: others}):
            for path in ("delete", "upload"):
                fields = {"id": identity, "name": "a.md", "size": "5", **forged}
                assert person.post(path, fields).status == 403
        assert (api.asked, api.there()) == ([], {"own.md"})

    def test_getting_never_deletes(self, api: LocalApi, product: Backend) -> None:
        api.put("own.md")
        seen = product.person("acme").get("delete", id=document_id("own.md"), erase="on")
        assert (seen.status, api.there()) == (200, {"own.md"})
        assert not [each for each in api.asked if each[0] == "DELETE"]

    def test_a_deletion_keeps_older_versions_unless_they_are_to_go(self, api: LocalApi, product: Backend) -> None:
        for key in ("kept.md", "erased.md"):
            api.put(key)
        person = product.person("acme")
        person.form("delete", id=document_id("kept.md"))
        person.form("delete", id=document_id("erased.md"), erase="on")
        assert set(api.fleet.bucket_contents.kept) == {uri_of("kept.md")}

    def test_an_erasure_that_is_not_whole_says_so_and_goes_on(self, api: LocalApi, product: Backend) -> None:
        api.put("own.md")
        person, fields = product.person("acme"), {"id": document_id("own.md"), "erase": "on"}
        api.fleet.document_removal.interrupted = True
        seen = person.form("delete", **fields)
        assert (seen.status, ENGLISH.erase_goes_on in seen.shown) == (200, True)
        api.fleet.document_removal.interrupted = False
        hidden = {name: value for name, value in seen.hidden.items() if "csrf" in name}
        assert person.post("delete", {**fields, **hidden}).status in {302, 303}
        assert api.fleet.bucket_contents.kept == {}

    def test_what_is_said_after_a_deletion_is_what_is_so(self, api: LocalApi, product: Backend) -> None:
        """Whoever makes a link to the page cannot have it say that something was deleted which was not."""
        api.put("own.md")
        person, about = product.person("acme"), document_id("own.md")
        assert ENGLISH.statuses["NOT_SEEN_YET"] in _notice(person.get(about=about).shown)
        assert ENGLISH.not_there in _notice(person.get(about=document_id("never.md")).shown)
        assert person.get(about="../x").status == 404

    def test_a_size_that_is_no_number_is_refused_here(self, api: LocalApi, product: Backend) -> None:
        person = product.person("acme")
        for size in ("", "-1", "1e3", "²", "9" * 30, "5.0", "0x5"):
            assert person.form("upload", name="a.md", size=size).json() == {"error": ENGLISH.not_taken}, size
        assert not [each for each in api.asked if each[0] == "POST"]
        for size in ("0", str(50 * 1024**2 + 1)):
            assert person.form("upload", name="a.md", size=size).json() == {"error": ENGLISH.size_not_taken}

    def test_whether_a_document_has_arrived_is_seen_by_when_it_was_put(self, api: LocalApi, product: Backend) -> None:
        person, identity = product.person("acme"), document_id("a.md")
        granted = person.form("upload", name="a.md", size="5").json()
        assert (granted["id"], granted["changed"]) == (identity, None)
        assert person.get("arrival", id=identity).json() == {"changed": None}
        api.put("a.md", size=5)
        first = person.get("arrival", id=identity).json()["changed"]
        assert first == person.form("upload", name="a.md", size="5").json()["changed"]
        api.put("a.md", size=5)
        assert person.get("arrival", id=identity).json()["changed"] != first
        person.form("delete", id=identity)
        assert person.get("arrival", id=identity).json() == {"changed": None}


def _notice(text: str) -> str:
    return text.partition(ENGLISH.files)[0]


class TestTroubles:
    def test_what_went_wrong_is_said_in_words_for_users_and_nothing_of_the_tenant(
        self, api: LocalApi, product: Backend
    ) -> None:
        person = product.person("acme")
        csrf = person.get().hidden
        api.fleet.bucket_contents.refusal = Throttled("Of bucket kbfleet-acme, secret.")
        for words in (ENGLISH, JAPANESE):
            seen = person.get(language=words.language)
            assert (seen.status, seen.headers["Retry-After"]) == (429, "2")
            assert words.busy in seen.shown
            assert "secret" not in seen.text
            assert ("html", {"lang": words.language}) in seen.tags
        answer = person.post("upload", {**csrf, "name": "a.md", "size": "5"}, accept="application/json")
        assert (answer.status, answer.json()) == (429, {"error": ENGLISH.busy})

    def test_a_tenant_out_of_service_is_told_so(self, api: LocalApi, product: Backend) -> None:
        api.put("own.md")
        person = product.person("acme")
        api.fleet.suspend(ACME)
        seen = person.get("open", id=document_id("own.md"))
        assert (seen.status, ENGLISH.not_available in seen.shown) == (409, True)

    def test_a_document_that_is_gone_meanwhile_is_said_to_be(self, api: LocalApi, product: Backend) -> None:
        person = product.person("acme")
        for seen in (person.get("delete", id=document_id("a.md")), person.get("open", id=document_id("a.md"))):
            assert (seen.status, ENGLISH.not_there in seen.shown) == (404, True)

    def test_an_odd_status_is_refused(self, api: LocalApi, product: Backend) -> None:
        seen = product.person("acme").get(status="<b>")
        assert (seen.status, ("b", {}) in seen.tags) == (400, False)


class TestWords:
    @pytest.mark.parametrize(
        ("accepted", "language"),
        [
            ("", "en"),
            ("ja", "ja"),
            ("ja-JP,ja;q=0.9,en;q=0.8", "ja"),
            ("en;q=0.8, JA;q=0.9", "ja"),
            ("fr-FR, de;q=0.9", "en"),
            ("fr, ja;q=0.1", "ja"),
            ("ja;q=0, en;q=0.1", "en"),
            ("ja;q=high", "en"),
            ("*", "en"),
            ("javanese", "en"),
        ],
    )
    def test_the_language_is_the_one_that_the_browser_likes_best(self, accepted: str, language: str) -> None:
        assert words_for(accepted).language == language

    def test_every_status_and_every_fault_has_words_in_both_languages(self) -> None:
        for words in (ENGLISH, JAPANESE):
            assert set(words.statuses) == set(DocumentStatus)
            assert set(words.faults) == set(DocumentFault)
            for each in fields(words):
                assert getattr(words, each.name) or each.name.startswith("since")

    def test_every_word_is_used(self) -> None:
        written = "".join(path.read_text("utf-8") for path in EXAMPLES.rglob("*") if path.suffix in {".html", ".py"})
        assert [each.name for each in fields(ENGLISH) if f"words.{each.name}" not in written] == []

    def test_names_that_look_alike_are_two_rows(self, api: LocalApi, product: Backend) -> None:
        api.put(NFC)
        api.put(NFD)
        seen = product.person("acme").get(language="ja")
        assert seen.rows == sorted([NFC, NFD])
