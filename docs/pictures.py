"""Draws what people are sent in Slack, from the snapshots that tests hold: `make pictures`. Needs Chromium on the PATH.

Beside the pictures, `digests.json` keeps what each was made of, so that a test sees one that is out of date without
drawing it.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SNAPSHOTS = ROOT / "tests" / "unit" / "snapshots" / "incidents"
PICTURES = ROOT / "docs" / "pictures"
DIGESTS = PICTURES / "digests.json"
_WIDTH = 760
_READ_AT = datetime(2026, 11, 2, 19, 5, tzinfo=timezone(timedelta(hours=9)))
"""When all of them were sent, and are read, in Tokyo: after everything that the tests' messages tell of."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Colours and sizes are those of Slack's light theme, near enough to judge a message by. Emoji are drawn, because not
# every machine has a font with them.
_STYLE = """
* { box-sizing: border-box; margin: 0; }
body { width: 760px; background: #fff; color: #1d1c1d;
  font: 15px/1.46 Lato, "DejaVu Sans", "Noto Sans CJK JP", sans-serif; }
main { display: flex; gap: 10px; padding: 14px 18px 16px; }
.avatar { flex: none; width: 36px; height: 36px; border-radius: 6px; background: #264653; color: #fff;
  font-weight: bold; line-height: 36px; text-align: center; }
.message { flex: 1; min-width: 0; }
.sender { font-weight: bold; } .sender span { color: #616061; font-weight: normal; font-size: 12px; }
.sender .app { background: #e8e8e8; border-radius: 2px; font-size: 10px; padding: 1px 3px; }
h1 { font-size: 18px; line-height: 1.3; margin: 6px 0 4px; overflow-wrap: anywhere; }
section { margin: 8px 0; overflow-wrap: anywhere; }
ul { padding-left: 24px; } pre { margin-top: 4px; }
code { background: #f6f6f6; border: 1px solid #ddd; border-radius: 3px; color: #c01343; font-size: 12px;
  padding: 1px 3px; }
code, pre { font-family: Menlo, "DejaVu Sans Mono", "Noto Sans Mono CJK JP", monospace; }
pre { background: #f6f6f6; border: 1px solid #ddd; border-radius: 4px; font-size: 12px; padding: 8px;
  white-space: pre-wrap; }
a { color: #1264a3; text-decoration: none; }
.red, .green { border-radius: 50%; display: inline-block; height: 16px; vertical-align: -2px; width: 16px; }
.red { background: #dd2e44; } .green { background: #78b159; }
"""
_EMOJI = {"🔴": '<span class="red"></span>', "🟢": '<span class="green"></span>'}


def page(message: Mapping[str, Any]) -> str:
    """A message of Block Kit as HTML. Raises: ValueError for what is not drawn, so that no picture lacks it."""
    blocks = "\n".join(map(_block, message["blocks"]))
    return (
        f'<!doctype html><meta charset="utf-8"><style>{_STYLE}</style>\n<main><div class="avatar">kb</div>'
        '<div class="message"><div class="sender">kbfleet <span class="app">APP</span> '
        f"<span>{_READ_AT:%H:%M}</span></div>\n"
        f"{blocks}\n</div></main>\n"
    )


def _block(block: Mapping[str, Any]) -> str:
    match block:
        case {"type": "header", "text": {"text": text}}:
            return f"<h1>{_with_emoji(html.escape(text))}</h1>"
        case {"type": "rich_text", "elements": elements}:
            return f"<section>{''.join(map(_rich_text, elements))}</section>"
    raise ValueError(f"a block that is not drawn: {block}")


def _rich_text(element: Mapping[str, Any]) -> str:
    match element:
        case {"type": "rich_text_section", "elements": parts}:
            return f"<div>{''.join(map(_part, parts))}</div>"
        case {"type": "rich_text_list", "style": "bullet", "elements": items}:
            return f"<ul>{''.join(f'<li>{_rich_text(item)}</li>' for item in items)}</ul>"
        case {"type": "rich_text_preformatted", "elements": parts}:
            return f"<pre>{''.join(map(_part, parts))}</pre>"
    raise ValueError(f"an element that is not drawn: {element}")


def _part(part: Mapping[str, Any]) -> str:
    """Text stays literal: Slack reads no markup in it. Source: Slack documentation, Rich text block."""
    if part["type"] == "date":
        return _date(part)
    shown = html.escape(part["text"]).replace("\n", "<br>")
    match part:
        case {"type": "link", "url": url}:
            return f'<a href="{html.escape(url)}">{shown}</a>'
        case {"type": "text", "style": {"bold": True}}:
            return f"<b>{shown}</b>"
        case {"type": "text", "style": {"code": True}}:
            return f"<code>{shown}</code>"
        case {"type": "text"} if "style" not in part:
            return shown
    raise ValueError(f"a part that is not drawn: {part}")


def _date(part: Mapping[str, Any]) -> str:
    """As somebody in Tokyo reads it on that day. Raises: ValueError for another day, or a time that is yet to come."""
    if part["format"] != "{date_short_pretty} {time}":
        raise ValueError(f"a date that is not drawn: {part}")
    at = datetime.fromtimestamp(part["timestamp"], _READ_AT.tzinfo)
    if at.date() != _READ_AT.date() or at > _READ_AT:
        raise ValueError(f"a date that is not of the day until {_READ_AT}: {part}")
    return f"Today {at:%H:%M}"


def _with_emoji(text: str) -> str:
    for emoji, drawn in _EMOJI.items():
        text = text.replace(emoji, drawn)
    return text


def messages() -> Iterator[tuple[str, str]]:
    """Name and page of every message that a test holds."""
    for snapshot in sorted(SNAPSHOTS.glob("*.json")):
        yield snapshot.stem, page(json.loads(snapshot.read_text("utf-8")))


def digest(drawn: str) -> str:
    return hashlib.sha256(drawn.encode()).hexdigest()


def _browse(browser: str, folder: Path, *arguments: str) -> str:
    given = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}",
    )
    ran = subprocess.run(  # noqa: S603 -- a browser from the PATH, and a page of our own
        [browser, *given, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    return ran.stdout


def _height(browser: str, folder: Path, source: Path) -> int:
    """Of the message, in pixels. A screenshot has the size of its window, whatever is in it."""
    measuring = folder / "measuring.html"
    script = (
        "<script>document.title = Math.ceil(document.querySelector('main').getBoundingClientRect().height)</script>"
    )
    measuring.write_text(source.read_text("utf-8") + script, "utf-8")
    dom = _browse(browser, folder, f"--window-size={_WIDTH},4000", "--dump-dom", measuring.as_uri())
    found = re.search(r"<title>(\d+)</title>", dom)
    if found is None:
        raise RuntimeError("the browser did not lay the message out")
    return int(found[1])


def main() -> int:
    """Returns: 1 if there is no browser."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        print(f"No browser was found: install one of {', '.join(BROWSERS)}.", file=sys.stderr)  # noqa: T201
        return 1
    PICTURES.mkdir(exist_ok=True)
    known = json.loads(DIGESTS.read_text("utf-8")) if DIGESTS.exists() else {}
    wanted = dict(messages())
    for picture in PICTURES.glob("*.png"):
        if picture.stem not in wanted:
            picture.unlink()
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "message.html"
        for name, drawn in wanted.items():
            picture = PICTURES / f"{name}.png"
            if picture.exists() and known.get(name) == digest(drawn):
                continue
            source.write_text(drawn, "utf-8")
            size = f"--window-size={_WIDTH},{_height(browser, Path(temporary), source)}"
            _browse(browser, Path(temporary), size, f"--screenshot={picture}", source.as_uri())
            print(picture.relative_to(ROOT))  # noqa: T201 -- what was drawn
    DIGESTS.write_text(json.dumps({name: digest(drawn) for name, drawn in wanted.items()}, indent=2) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
