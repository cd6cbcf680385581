"""The sink takes what Slack takes, refuses what Slack refuses, and fails when it should."""

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from local.slack_sink import RejectedMessageError, SlackSink, commands_of, message_as_text, validate_message

SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "failed"}}


def refusal(message: object) -> str:
    with pytest.raises(RejectedMessageError) as rejected:
        validate_message(json.dumps(message).encode())
    return rejected.value.word


def section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def test_a_message_needs_text_or_blocks() -> None:
    assert refusal({}) == "no_text"
    assert refusal({"text": ""}) == "no_text"
    assert validate_message(b'{"text": "hello"}') == {"text": "hello"}
    assert validate_message(json.dumps({"blocks": [SECTION]}).encode())["blocks"] == [SECTION]


def test_what_is_not_json_is_no_payload() -> None:
    with pytest.raises(RejectedMessageError, match="invalid_payload"):
        validate_message(b"payload=hello")
    assert refusal(["text"]) == "invalid_payload"


def test_there_are_at_most_fifty_blocks() -> None:
    assert validate_message(json.dumps({"blocks": [SECTION] * 50}).encode())
    assert refusal({"text": "hello", "blocks": [SECTION] * 51}) == "invalid_blocks"


def test_a_section_has_at_most_three_thousand_characters() -> None:
    assert validate_message(json.dumps({"blocks": [section("字" * 3000)]}).encode())
    assert refusal({"blocks": [section("x" * 3001)]}) == "invalid_blocks"


def test_a_header_is_short_and_plain() -> None:
    def header(text: str, kind: str = "plain_text") -> dict[str, Any]:
        return {"blocks": [{"type": "header", "text": {"type": kind, "text": text}}]}

    assert validate_message(json.dumps(header("x" * 150)).encode())
    assert refusal(header("x" * 151)) == "invalid_blocks"
    assert refusal(header("short", "mrkdwn")) == "invalid_blocks"


DATE = {
    "type": "date",
    "timestamp": 1_762_074_000,
    "format": "{date_short_pretty} {time}",
    "fallback": "2025-11-02 09:00:00 UTC",
}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "paragraph"},
        {"type": "section"},
        {"type": "section", "text": {"type": "mrkdwn", "text": ""}},
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 11},
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]},
        {"type": "context", "elements": []},
        {"type": "rich_text", "elements": []},
        {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": ""}]}]},
        {"type": "rich_text", "elements": [{"type": "rich_text_list", "elements": [{"type": "text", "text": "x"}]}]},
        {"type": "rich_text", "elements": [{"type": "rich_text_preformatted", "elements": [DATE]}]},
        *(
            {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [DATE | wrong]}]}
            for wrong in ({"timestamp": "1762074000"}, {"format": ""}, {"fallback": ""})
        ),
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 11},
        {"type": "actions", "elements": [{"type": "button", "text": {"type": "plain_text", "text": "x" * 76}}]},
    ],
)
def test_a_block_that_slack_would_not_show_is_refused(block: dict[str, Any]) -> None:
    assert refusal({"blocks": [block]}) == "invalid_blocks"


def test_a_block_id_is_used_once() -> None:
    assert refusal({"blocks": [{**SECTION, "block_id": "a"}, {**SECTION, "block_id": "a"}]}) == "invalid_blocks"


def test_messages_are_kept_in_order(tmp_path: Path) -> None:
    sink = SlackSink(tmp_path / "messages.jsonl")
    assert sink.messages() == []
    for text in ("first", "二番目"):
        assert sink.take("/slack/services/T/B/x", json.dumps({"text": text}).encode()).body == b"ok"
    assert [record["message"]["text"] for record in sink.messages()] == ["first", "二番目"]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_only_a_line_feed_ends_the_record_of_a_message(tmp_path: Path, separator: str) -> None:
    sink = SlackSink(tmp_path / "messages.jsonl")
    for text in (f"a{separator}b", "second"):
        sink.take("/slack/services/T/B/x", json.dumps({"text": text}).encode())
    assert [record["message"]["text"] for record in sink.messages()] == [f"a{separator}b", "second"]


def test_rich_text_reads_as_lines_and_its_command_is_found() -> None:
    def section(*parts: dict[str, Any]) -> dict[str, Any]:
        return {"type": "rich_text_section", "elements": [*parts]}

    def text(words: str) -> dict[str, Any]:
        return {"type": "text", "text": words}

    elements = [
        section(text("Tenant:"), text(" acme"), text("\n"), text("Since:"), text(" "), DATE),
        {
            "type": "rich_text_list",
            "style": "bullet",
            "elements": [section(text("```kbfleet evil```"), text("\n"), text("a.pdf"))],
        },
        {"type": "rich_text_preformatted", "elements": [text("kbfleet doctor")]},
        section({"type": "link", "text": "Runbook", "url": "https://x.example"}),
    ]
    message = {"blocks": [{"type": "rich_text", "elements": elements}]}
    validate_message(json.dumps(message).encode())
    assert message_as_text(message).split("\n") == [
        "Tenant: acme",
        "Since: 2025-11-02 09:00:00 UTC",
        "• ```kbfleet evil```",
        "  a.pdf",
        "    kbfleet doctor",
        "Runbook: https://x.example",
    ]
    assert commands_of(message) == ["kbfleet doctor"]


def test_a_message_reads_as_lines() -> None:
    button = {"type": "button", "text": {"type": "plain_text", "text": "Open"}, "url": "https://x.example"}
    context = {"type": "context", "elements": [{"type": "mrkdwn", "text": "small"}]}
    blocks = [SECTION, {"type": "actions", "elements": [button]}, context]
    assert message_as_text({"blocks": blocks}) == "failed\n[Open] https://x.example\nsmall"


def request(stack: Any, path: str, body: object = None, method: str | None = None) -> tuple[int, dict[str, str], str]:
    trust = ssl.create_default_context(cafile=str(stack.configuration.trust_bundle))
    data = None if body is None else json.dumps(body).encode()
    url = f"{stack.configuration.side_url}/slack{path}"
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, data, method=method), context=trust)  # noqa: S310
    except urllib.error.HTTPError as error:
        response = error
    with response:
        return response.status, dict(response.headers), response.read().decode()


def test_the_webhook_answers_in_slacks_words_and_fails_when_it_should(stack: Any) -> None:
    webhook = stack.configuration.slack_webhook.removeprefix(f"{stack.configuration.side_url}/slack")
    request(stack, "/messages", method="DELETE")
    assert request(stack, webhook, {"text": "one"})[::2] == (200, "ok")
    assert request(stack, webhook, {"blocks": [{"type": "x"}]})[::2] == (400, "invalid_blocks")

    assert request(stack, "/trouble", {"status": 429, "count": 1, "retry_after": 7})[0] == 204
    status, headers, body = request(stack, webhook, {"text": "two"})
    assert (status, body, headers["retry-after"]) == (429, "rate_limited", "7")
    request(stack, "/trouble", {"status": 500, "count": 1})
    assert request(stack, webhook, {"text": "two"})[0] == 500
    assert request(stack, webhook, {"text": "two"})[0] == 200

    kept = json.loads(request(stack, "/messages")[2])["messages"]
    assert [record["message"]["text"] for record in kept] == ["one", "two"]
