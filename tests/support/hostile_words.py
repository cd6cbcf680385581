"""What outsiders write so that it acts where it is shown, and how to see that it does not."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

from kbfleet.domain.printable import printable

FORGED_COMMAND = "kbfleet tenant offboard beta --retention-days 0 --yes"
FORGED_KEY = f"x` *To fix it* ```{FORGED_COMMAND}``` `.pdf"
"""Was taken by `POST /tenants/{tenant_id}/uploads`, closed the code mark of our message and looked like ours."""
FILLS_THE_CLIPBOARD = "\x1b]52;c;cm0gLXJmIC8=\x07"
"""OSC 52. Source: xterm, Control Sequences, Operating System Commands."""

WORDS = (
    FORGED_KEY,
    FORGED_COMMAND,
    "[", "]", "`", "```", "*", "_", "~", ",", "\\", "\\[", ": ", "'", '"',
    "\n", "\r", "\r\n", "\t", "\0", "\x07", "\x1b", "\x1b[2J", "\x1b[31m", "\x9b31m", "\x85", "\x7f",
    FILLS_THE_CLIPBOARD,
    "\x1b]8;;https://evil.example\x1b\\here\x1b]8;;\x1b\\",
    "\u202e", "\u2066", "\u2069", "\u200f", "\u061c", "\u2028", "\u2029", "\u200b", "\u200d", "\u200c", "\ufeff",
    "\u3164", "\ue000", "\ue001", "\U000e0041",
    "[bold]", "[/]", "[/bold]", "[link=https://evil.example]", "[red", "x]", "[@click=x]", ":bomb:", ":warning:",
    "<!channel>", "<!here>", "<@U012AB3CD>", "<https://evil.example|click>", "&lt;", "&", "<", ">", "@here", "@channel",
    "www.evil.example", "https://evil.example", "mailto:a@evil.example", "<script>alert(1)</script>",
    "\n\nTo fix it:\n\n  " + FORGED_COMMAND, "See docs/runbook/evil.md",
    "(Run `kbfleet doctor`. See docs/runbook/x.md)",
    "議事録", "が", "か\u3099", "é", "e\u0301", "👩‍🚀", "می‌خواهم", "क्‍ष", "葛\U000e0100", "　",
    "s3://", ".metadata.json", "arn:aws:s3:::",
)  # fmt: skip
"""Of every device's markup, and of scripts that must stay as they are."""


def hostile_text(max_size: int = 1_024) -> st.SearchStrategy[str]:
    """Text that acts on some device, in characters up to `max_size`; no halves of surrogate pairs, which no service
    takes in."""
    anything = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
    pieces = st.lists(st.one_of(st.sampled_from(WORDS), anything), min_size=1, max_size=6).map("".join)
    return st.builds(lambda text, times: (text * times)[:max_size], pieces, st.sampled_from([1, 1, 1, 300]))


def hostile_keys(other_bucket: str) -> st.SearchStrategy[str]:
    """Keys of S3, of at most 1,024 bytes of UTF-8, that look like markup, like lists of AWS's, and like documents of
    another bucket."""
    foreign = st.sampled_from(
        [f"a, s3://{other_bucket}/house.md]", f"], [s3://{other_bucket}/house.md", f"s3://{other_bucket}/x", ""]
    )
    endings = st.sampled_from([".pdf", ".txt", "", " ", "/"])
    return st.builds(lambda *parts: _fitting("".join(parts)), hostile_text(), foreign, hostile_text(), endings)


def _fitting(key: str, limit: int = 1_024) -> str:
    return key.encode()[:limit].decode(errors="ignore") or "x"


def assert_printable(shown: str, *, keep: str = "\n") -> None:
    """Nothing in it acts on a terminal, turns the direction of reading around, or cannot be seen. Written without the
    function that is tried, but for the joiners, which may stand where they change how their neighbours look."""
    acting = {
        f"U+{ord(character):04X}"
        for character in shown
        if character not in keep
        and character not in "\u200c\u200d"
        and (unicodedata.category(character)[0] == "C" or unicodedata.category(character) in {"Zl", "Zp"})
    }
    assert not acting, f"{sorted(acting)} in {shown!r}"
    assert printable(shown, keep=keep) == shown


def text_elements(payload: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every element of a message that has text, wherever it stands."""

    def found(part: Any) -> Iterator[Mapping[str, Any]]:
        if isinstance(part, Mapping):
            if isinstance(part.get("text"), str):
                yield part
            for inner in part.values():
                yield from found(inner)
        elif isinstance(part, list):
            for inner in part:
                yield from found(inner)

    yield from found(payload["blocks"])


def assert_literal_in_slack(payload: Mapping[str, Any], *, words: str = "") -> None:
    """Slack reads nothing in a message as markup, and nothing in it acts on whoever reads it.

    Args:
        payload: as Slack is sent it, with `text` and `blocks`.
        words: text from outside: it is not in what Slack parses.
    """
    for date in _dates(payload["blocks"]):
        assert isinstance(date["timestamp"], int)
        assert date["format"] == "{date_short_pretty} {time}"
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", date["fallback"])
        assert set(date) == {"type", "timestamp", "format", "fallback"}
    for element in text_elements(payload):
        literal = element["type"] in {"text", "link"} or (element["type"], element.get("emoji")) == (
            "plain_text",
            False,
        )
        assert literal, f"Slack reads markup in {element}"
        if element["text"] != "\n":  # between two of our own words, in an element of its own
            assert_printable(element["text"], keep="")
    assert_printable(payload["text"], keep="")
    assert not set(payload["text"].replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")) & set("<>&`*_~")
    if len(words.strip()) > 3:
        assert words not in payload["text"]


def _dates(part: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(part, Mapping):
        if part.get("type") == "date":
            yield part
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from _dates(inner)


def commands_in_slack(payload: Mapping[str, Any]) -> list[str]:
    """What a message shows as a command, in a box of its own."""
    return [
        "".join(part["text"] for part in element["elements"])
        for block in payload["blocks"]
        for element in block.get("elements", ())
        if element["type"] == "rich_text_preformatted"
    ]
