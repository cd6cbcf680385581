"""A page of a tenant's documents: listed, added, deleted, opened. What is the same in any framework.

The tenant is the signed-in user's, as the back end knows it. From the browser come ids of documents, which are keys in
that tenant's bucket and nothing else: whatever they name, it is the tenant's own, or not there.
"""

from __future__ import annotations

import base64
import binascii
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from examples.documents_page.words import Words
from examples.kbfleet_client import Kbfleet, KbfleetProblem, document_id

FOLDER = Path(__file__).parent
TEMPLATES, ASSETS = FOLDER / "templates", FOLDER / "assets"
ASSET_TYPES: Mapping[str, str] = {
    "documents.css": "text/css",
    "documents.js": "text/javascript",
    "documents.svg": "image/svg+xml",
}

_SHOWN = ("ANSWERED_FROM", "BEING_INDEXED", "NOT_SEEN_YET", "LEFT_OUT", "DELETED")
"""By which status a list can be filtered."""
_EMPTY_PAGES = 5
"""Pages of kbfleet's in which nothing is found, and behind which the user is asked whether to go on."""
_PER_PAGE = 50


def headers(words: Words, uploads_to: str) -> dict[str, str]:
    """Of every answer: nothing runs but the page's own script, and nobody keeps the answer.

    Args:
        uploads_to: where the browser may send documents, as a source of a Content Security Policy, such as
            `https://*.s3.ap-northeast-1.amazonaws.com`.
    """
    allowed = f"script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' {uploads_to}"
    return {
        "Content-Security-Policy": f"default-src 'none'; {allowed}; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'",
        # Django's protection against forged requests needs the referrer of the page itself.
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Vary": "Accept-Language, Cookie",
        "Content-Language": words.language,
    }


class Refused(Exception):
    """It was not done.

    Args:
        status: of HTTP.
        why: a sentence for people.
        retry_after: seconds to wait before the same is worth another try; none where trying again is of no use.
    """

    def __init__(self, status: int, why: str, retry_after: int | None = None) -> None:
        self.status = status
        self.why = why
        self.retry_after = retry_after
        super().__init__(why)

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


def explained(problem: KbfleetProblem, words: Words) -> Refused:
    """What a user reads of a problem. Details stay in the logs: they may name the tenant, and have one language."""
    if problem.is_("document-not-found"):
        return Refused(404, words.not_there)
    if problem.is_("key-spelled-otherwise"):
        return Refused(400, words.spelled_otherwise)
    if problem.status == 400:
        return Refused(
            400, {"key": words.name_not_taken, "size": words.size_not_taken}.get(problem.field, words.not_taken)
        )
    if problem.status in {429, 503}:
        return Refused(problem.status, words.busy, problem.retry_after)
    if problem.status in {403, 404, 409}:
        return Refused(409, words.not_available)
    return Refused(502, words.failed)


def key_of(identity: str, words: Words) -> str:
    """The key that an id stands for. There is one spelling of each, so it can be no path.

    Raises: Refused.
    """
    try:
        key = base64.urlsafe_b64decode(identity + "=" * (-len(identity) % 4)).decode()
    except (binascii.Error, ValueError):
        key = ""
    if not key or document_id(key) != identity:
        raise Refused(404, words.not_there)
    return key


def shown(key: str) -> str:
    """A key for people: what breaks a line, controls a device or turns the direction of reading around is named."""
    return "".join(f"⟨U+{ord(each):04X}⟩" if _acts(each) else each for each in key)


def _acts(character: str) -> bool:
    turns_around = unicodedata.bidirectional(character) in _TURNING_AROUND
    return turns_around or unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}


_TURNING_AROUND = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
"""Source: Unicode Standard Annex 9, Directional Formatting Characters."""


@dataclass(frozen=True)
class Moment:
    """Args:
    iso: for the browser, which shows it in its own time.
    text: for one without JavaScript.
    """

    iso: str
    text: str


@dataclass(frozen=True)
class Row:
    """A document as the page shows it; empty, or none, is what is not known."""

    id: str
    name: str
    size: str
    changed: Moment | None
    status: str
    status_text: str
    since: Moment | None
    why: str
    reason: str
    there: bool


@dataclass(frozen=True)
class DocumentsPage:
    """For one request.

    Args:
        tenant_id: of the user who is signed in; nothing that the browser sends counts.
    """

    fleet: Kbfleet
    tenant_id: str
    words: Words

    def listed(self, query: Mapping[str, str]) -> dict[str, Any]:
        """What `documents/list.html` shows.

        Args:
            query: `status` and `prefix` filter, `token` is of the page before, `about` the id of a document about
                which the user wants to know.

        Raises: KbfleetProblem, Refused.
        """
        status, prefix, token = query.get("status", ""), query.get("prefix", ""), query.get("token") or None
        documents, following, not_known = self._found(status or None, prefix, token)
        filtered = {name: value for name, value in (("status", status), ("prefix", prefix)) if value}
        return {
            "words": self.words,
            "rows": [self._row(each) for each in documents],
            "first": _address(filtered) if token else "",
            "more": _address({**filtered, "token": following}) if following else "",
            "not_all_left_out": status == "LEFT_OUT" and not_known,
            "about": self._about(query.get("about", "")),
            "statuses": [
                {"value": each, "text": self.words.statuses[each], "chosen": each == status} for each in _SHOWN
            ],
            "filtered": bool(filtered),
            "prefix": prefix,
            "folder": prefix.rpartition("/")[0],
        }

    def _found(
        self, status: str | None, prefix: str, token: str | None
    ) -> tuple[list[dict[str, Any]], str | None, bool]:
        """A page on which there is something, if that is near. A page of kbfleet's may be empty without being the
        last."""
        for _ in range(_EMPTY_PAGES):
            try:
                page = self.fleet.documents_page(
                    self.tenant_id, status=status, prefix=prefix, next_token=token, limit=_PER_PAGE
                )
            except KbfleetProblem as problem:
                if problem.is_("invalid-input") and token is not None:
                    raise Refused(400, self.words.no_such_page) from problem
                raise
            token = page["next_token"]
            if page["documents"] or token is None:
                break
        return page["documents"], token, page["not_known"] is not None

    def _about(self, identity: str) -> Row | None:
        """What is true of a document now, and not what the browser was told to say."""
        if not identity:
            return None
        key = key_of(identity, self.words)
        try:
            return self._row(self._exactly(key))
        except Refused as refused:
            return Row(identity, shown(key), "", None, "GONE", refused.why, None, "", "", there=False)

    def _exactly(self, key: str) -> dict[str, Any]:
        """Raises: KbfleetProblem; Refused where none of exactly that key is there."""
        try:
            document = self.fleet.document(self.tenant_id, key)
        except KbfleetProblem as problem:
            if problem.is_("document-not-found"):
                raise explained(problem, self.words) from problem
            raise
        if document["key"] != key:
            raise Refused(404, self.words.not_there)
        return document

    def to_delete(self, identity: str) -> dict[str, Any]:
        """What `documents/delete.html` shows.

        Raises: KbfleetProblem, Refused.
        """
        document = self._exactly(key_of(identity, self.words))
        return {
            "words": self.words,
            "row": self._row(document),
            "looks_the_same": bool(document["also_there"]),
            "goes_on": False,
        }

    def delete(self, identity: str, *, erase: bool) -> str | dict[str, Any]:
        """Deletes exactly that document.

        Returns: where to go then; or, while not all of its versions are erased, what `documents/delete.html` shows.

        Raises: KbfleetProblem, Refused.
        """
        deleted = self.fleet.delete_document(self.tenant_id, key_of(identity, self.words), all_versions=erase)
        if deleted["complete"]:
            return _address({"about": identity})
        row = self._row(deleted["document"])
        return {"words": self.words, "row": row, "looks_the_same": False, "goes_on": True}

    def link(self, identity: str) -> str:
        """Opens the document for some minutes: made when somebody wants to, and never put into a page.

        Raises: KbfleetProblem, Refused.
        """
        return self.fleet.link_to(self.tenant_id, key_of(identity, self.words)).url

    def form_for(self, given: Mapping[str, str]) -> dict[str, Any]:
        """What the page's script sends a document with.

        Args:
            given: `name` is where the document is to be, `size` in bytes.

        Raises: KbfleetProblem, Refused.
        """
        name, size = given.get("name", ""), given.get("size", "")
        if not name or not (size.isascii() and size.isdigit() and len(size) < 19):
            raise Refused(400, self.words.not_taken)
        # kbfleet knows the type by the name's ending; browsers on Windows have others.
        form = self.fleet.grant_upload(self.tenant_id, name, int(size))
        identity = document_id(name)
        return {"url": form.url, "fields": dict(form.fields), "id": identity, **self.arrival(identity)}

    def arrival(self, identity: str) -> dict[str, Any]:
        """When the document was last put there; none where there is none. A browser cannot read whether a bucket has
        taken a document, so the script compares this before and after.

        Raises: KbfleetProblem, Refused.
        """
        key = key_of(identity, self.words)
        try:
            document = self._exactly(key)
        except Refused:
            return {"changed": None}
        return {"changed": document["changed_at"] if document["size"] is not None else None}

    def _row(self, document: Mapping[str, Any]) -> Row:
        status, finding = document["status"], document["finding"]
        left_out = status == "LEFT_OUT"
        fault = self.words.faults.get(finding["fault"]) if finding else None
        return Row(
            id=document["id"],
            name=shown(document["key"]),
            size="" if document["size"] is None else _size(document["size"]),
            changed=_moment(document["changed_at"]),
            status=status,
            status_text=self.words.statuses.get(status, status),
            since=_moment(document["since"]),
            why=(fault or self.words.left_out) if left_out else self.words.still_used if status == "DELETED" else "",
            # kbfleet's own sentence says nothing more than ours.
            reason=shown(document["reason"]) if left_out and not fault else "",
            # A list of what is left out does not look into the bucket.
            there=left_out or (status not in {"DELETED", "GONE"} and document["size"] is not None),
        )


def _address(query: Mapping[str, str]) -> str:
    """Of the list."""
    return f"./?{urlencode(query)}" if query else "./"


def _moment(iso: str | None) -> Moment | None:
    if iso is None:
        return None
    return Moment(iso, f"{datetime.fromisoformat(iso).astimezone(UTC):%Y-%m-%d %H:%M} UTC")


def _size(octets: int) -> str:
    if octets < 1024:
        return f"{octets} B"
    return f"{octets / 1024:.0f} KB" if octets < 1024**2 else f"{octets / 1024**2:.1f} MB"
