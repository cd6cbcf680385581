"""Plays Slack's incoming webhooks: checks a message as Slack does, answers with Slack's words, and keeps what it took.

Sources: Slack documentation, "Sending messages using incoming webhooks" (answers and error words) and "Reference: Block
Kit blocks" (limits). Checked are the limits that a message with long lists of documents runs into, not every field.
"""

import json
import time
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from kbfleet.domain.printable import printable

MAXIMUM_BLOCKS = 50
MAXIMUM_TEXT = 40_000
MAXIMUM_SECTION_TEXT = 3_000
MAXIMUM_SECTION_FIELDS = 10
MAXIMUM_FIELD_TEXT = 2_000
MAXIMUM_HEADER_TEXT = 150
MAXIMUM_CONTEXT_ELEMENTS = 10
MAXIMUM_RICH_TEXT = 3_000
"""Of a text element. None is documented: this is that of a text object."""
MAXIMUM_ACTIONS = 25
MAXIMUM_BUTTON_TEXT = 75
BLOCK_TYPES = frozenset(
    {"actions", "context", "divider", "file", "header", "image", "input", "markdown", "rich_text", "section", "table"}
    | {"video"}
)
RICH_TEXT_TYPES = frozenset({"rich_text_list", "rich_text_preformatted", "rich_text_quote", "rich_text_section"})


class RejectedMessageError(Exception):
    """Slack would refuse the message; `word` is the answer's body, as Slack spells it."""

    def __init__(self, word: str, detail: str) -> None:
        super().__init__(f"{word}: {detail}")
        self.word = word


def validate_message(body: bytes) -> dict[str, Any]:
    """Reads the body of a post to a webhook.

    Gives the message. Raises RejectedMessageError as Slack would refuse it.
    """
    try:
        message = json.loads(body)
    except ValueError as error:
        raise RejectedMessageError("invalid_payload", str(error)) from error
    if not isinstance(message, dict):
        raise RejectedMessageError("invalid_payload", "a message is an object")
    text, blocks = message.get("text"), message.get("blocks")
    if not text and not blocks and not message.get("attachments"):
        raise RejectedMessageError("no_text", "a message needs text, blocks or attachments")
    if text is not None and not isinstance(text, str):
        raise RejectedMessageError("invalid_payload", "text is a string")
    if text and len(text) > MAXIMUM_TEXT:
        raise RejectedMessageError("msg_too_long", f"text has {len(text)} characters, {MAXIMUM_TEXT} are allowed")
    if blocks is not None:
        _validate_blocks(blocks)
    return message


def message_as_text(message: dict[str, Any]) -> str:
    """A message as lines of text, for reading in a terminal; nothing that a sender writes acts there."""
    lines = [line for block in message.get("blocks") or [] for line in _lines_of(block)]
    return "\n".join(printable(line) for line in lines or str(message.get("text", "")).split("\n"))


def commands_of(message: dict[str, Any]) -> list[str]:
    """What a message shows in boxes of their own, as commands are."""
    return [
        _inline(element)
        for block in message.get("blocks") or []
        for element in block.get("elements") or []
        if element.get("type") == "rich_text_preformatted"
    ]


def _lines_of(block: dict[str, Any]) -> Iterator[str]:
    match block.get("type"):
        case "rich_text":
            for element in block["elements"]:
                yield from _lines_of_rich_text(element)
            return
        case "actions":
            for element in block["elements"]:
                yield f"[{_text_of(element.get('text'))}] {element.get('url', '')}".rstrip()
            return
    texts = [block.get("text"), *(block.get("fields") or []), *(block.get("elements") or [])]
    for text in texts:
        yield from _text_of(text).split("\n") if text else ()


def _lines_of_rich_text(element: dict[str, Any]) -> Iterator[str]:
    match element["type"]:
        case "rich_text_list":
            for item in element["elements"]:
                first, *others = _lines_of_section(item)
                yield f"• {first}"
                yield from (f"  {line}" for line in others)
        case "rich_text_preformatted":
            yield f"    {_inline(element)}"
        case _:
            yield from _lines_of_section(element)


def _lines_of_section(section: dict[str, Any]) -> Iterator[str]:
    """A line feed of ours stands alone; one inside a text is the sender's."""
    line = ""
    for part in section["elements"]:
        if part.get("text") == "\n":
            yield line
            line = ""
        else:
            line += _inline_part(part)
    yield line


def _inline(element: dict[str, Any]) -> str:
    return "".join(map(_inline_part, element["elements"]))


def _inline_part(part: dict[str, Any]) -> str:
    if part["type"] == "link":
        return f"{part.get('text') or 'link'}: {part['url']}"
    return str(part["fallback"] if part["type"] == "date" else part.get("text", ""))


def _text_of(text: Any) -> str:
    return str(text.get("text", "")) if isinstance(text, dict) else str(text or "")


def _validate_blocks(blocks: Any) -> None:
    _require(isinstance(blocks, list), "blocks is a list")
    _require(len(blocks) <= MAXIMUM_BLOCKS, f"{len(blocks)} blocks, {MAXIMUM_BLOCKS} are allowed")
    identifiers = [block["block_id"] for block in blocks if isinstance(block, dict) and "block_id" in block]
    _require(len(set(identifiers)) == len(identifiers), "block_id is used twice")
    for position, block in enumerate(blocks):
        _require(isinstance(block, dict) and block.get("type") in BLOCK_TYPES, f"block {position} has no known type")
        _validate_block(block, f"block {position} ({block['type']})")


def _validate_block(block: dict[str, Any], where: str) -> None:
    match block["type"]:
        case "header":
            _validate_text(block.get("text"), MAXIMUM_HEADER_TEXT, where, kinds={"plain_text"})
        case "section":
            fields = block.get("fields")
            _require("text" in block or bool(fields), f"{where} needs text or fields")
            if "text" in block:
                _validate_text(block["text"], MAXIMUM_SECTION_TEXT, where)
            _validate_list(fields or [], MAXIMUM_SECTION_FIELDS, where)
            for entry in fields or []:
                _validate_text(entry, MAXIMUM_FIELD_TEXT, f"a field of {where}")
        case "context":
            elements = block.get("elements")
            _validate_list(elements, MAXIMUM_CONTEXT_ELEMENTS, where, least=1)
            for element in elements or []:
                if element.get("type") != "image":
                    _validate_text(element, MAXIMUM_SECTION_TEXT, f"an element of {where}")
        case "rich_text":
            elements = block.get("elements")
            _validate_list(elements, len(elements or ()), where, least=1)
            for element in elements or []:
                _validate_rich_text(element, where)
        case "actions":
            elements = block.get("elements")
            _validate_list(elements, MAXIMUM_ACTIONS, where, least=1)
            for element in elements or []:
                if element.get("type") == "button":
                    _validate_text(element.get("text"), MAXIMUM_BUTTON_TEXT, where, kinds={"plain_text"})


def _validate_rich_text(element: dict[str, Any], where: str) -> None:
    kind, inner = element.get("type"), element.get("elements")
    _require(kind in RICH_TEXT_TYPES, f"{where} has an element of type {kind}")
    _require(isinstance(inner, list) and bool(inner), f"a {kind} of {where} is empty")
    for part in inner or []:
        if kind == "rich_text_list":
            _require(part.get("type") == "rich_text_section", f"a list of {where} holds a {part.get('type')}")
            _validate_rich_text(part, where)
            continue
        if part.get("type") == "date":
            _validate_date(part, str(kind), where)
            continue
        _require(part.get("type") in {"text", "link"}, f"a {kind} of {where} holds a {part.get('type')}")
        content = part.get("text")
        _require(isinstance(content, str) and bool(content), f"{where} has an empty text")
        _require(len(content) <= MAXIMUM_RICH_TEXT, f"{where} has {len(content)} characters in one text")
        _require(part["type"] == "text" or bool(part.get("url")), f"{where} has a link to nowhere")


def _validate_date(part: dict[str, Any], kind: str, where: str) -> None:
    """Source: Slack documentation, Block Kit, Date element. Terminals show the fallback, so it has to be there."""
    _require(kind != "rich_text_preformatted", f"a {kind} of {where} holds a date")
    _require(isinstance(part.get("timestamp"), int), f"{where} has a date without a timestamp in seconds")
    for name in ("format", "fallback"):
        _require(isinstance(part.get(name), str) and bool(part[name]), f"{where} has a date without a {name}")


def _validate_text(
    text: Any, longest: int, where: str, *, kinds: Container[str] = frozenset({"plain_text", "mrkdwn"})
) -> None:
    _require(isinstance(text, dict) and text.get("type") in kinds, f"{where} has no text of the right type")
    content = text.get("text")
    _require(isinstance(content, str) and bool(content), f"{where} has an empty text")
    _require(len(content) <= longest, f"{where} has {len(content)} characters, {longest} are allowed")


def _validate_list(values: Any, longest: int, where: str, *, least: int = 0) -> None:
    _require(isinstance(values, list) and all(isinstance(value, dict) for value in values), f"{where} has no list")
    _require(least <= len(values) <= longest, f"{where} has {len(values)} entries, {longest} are allowed")


def _require(condition: bool, detail: str) -> None:
    if not condition:
        raise RejectedMessageError("invalid_blocks", detail)


@dataclass
class SlackSink:
    """Takes messages posted to any webhook and appends them to a file, one JSON object a line."""

    messages_file: Path
    _trouble: list[tuple[int, int]] = field(default_factory=list)

    def make_trouble(self, *, status: int, count: int, retry_after: int = 1) -> None:
        """Answers the next `count` posts with `status` (429 or 5xx) instead of taking them. A count of 0 ends it."""
        self._trouble = [(status, retry_after)] * count

    def messages(self) -> list[dict[str, Any]]:
        """What was taken, oldest first: `received_at` (seconds since 1970), `webhook` (path) and `message`."""
        if not self.messages_file.exists():
            return []
        # Only a line feed ends a record: JSON escapes those in texts, but not all that str.splitlines takes for one.
        with self.messages_file.open(encoding="utf-8", newline="\n") as lines:
            return [json.loads(line) for line in lines]

    def take(self, webhook: str, body: bytes) -> Response:
        """Answers one post as Slack does."""
        if self._trouble:
            status, retry_after = self._trouble.pop(0)
            if status == HTTPStatus.TOO_MANY_REQUESTS:
                return PlainTextResponse("rate_limited", status, headers={"Retry-After": str(retry_after)})
            return PlainTextResponse("rollup_error", status)
        try:
            message = validate_message(body)
        except RejectedMessageError as rejection:
            return PlainTextResponse(rejection.word, HTTPStatus.BAD_REQUEST)
        record = {"received_at": time.time(), "webhook": webhook, "message": message}
        self.messages_file.parent.mkdir(parents=True, exist_ok=True)
        with self.messages_file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(record, ensure_ascii=False) + "\n")
        return PlainTextResponse("ok")

    def clear(self) -> None:
        """Forgets the messages taken so far and any trouble asked for."""
        self.messages_file.unlink(missing_ok=True)
        self._trouble = []

    def application(self) -> Starlette:
        """POST /services/… takes a message; GET and DELETE /messages; POST /trouble asks for failures."""

        async def post(request: Request) -> Response:
            return self.take(request.url.path, await request.body())

        async def messages(request: Request) -> Response:
            if request.method == "DELETE":
                self.clear()
                return Response(status_code=HTTPStatus.NO_CONTENT)
            return JSONResponse({"messages": self.messages()})

        async def trouble(request: Request) -> Response:
            wanted = await request.json()
            self.make_trouble(
                status=int(wanted["status"]), count=int(wanted["count"]), retry_after=int(wanted.get("retry_after", 1))
            )
            return Response(status_code=HTTPStatus.NO_CONTENT)

        return Starlette(
            routes=[
                Route("/services/{webhook:path}", post, methods=["POST"]),
                Route("/messages", messages, methods=["GET", "DELETE"]),
                Route("/trouble", trouble, methods=["POST"]),
            ]
        )
