"""What outsiders write stays words on every device: Slack, mail and terminal."""

from __future__ import annotations

import io
import json
import unicodedata
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.errors import MarkupError

from cli.terminal import Column, Details, Listing, literal, marked
from kbfleet.adapters.alert_channels.slack_message import blocks, summary
from kbfleet.adapters.alert_channels.sns import SnsChannel, plain_text
from kbfleet.domain.alert import Alert, alarm_alert
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.failed_documents import FailureReport, News, ReportedDocument
from kbfleet.domain.harm import Harm
from kbfleet.domain.incident import Concern, Incident, NoticeKind, Timeline
from kbfleet.domain.ingestion_job import FailureReason, JobStatus, Outcome
from kbfleet.domain.printable import is_printable, printable, printable_json
from kbfleet.domain.signals import of_alarm, of_documents, of_ingestion, of_workflow_failure
from kbfleet.domain.workflow import Workflow, describe_failure
from local.slack_sink import message_as_text, validate_message
from tests.support.clock import START
from tests.support.hostile_words import (
    FILLS_THE_CLIPBOARD,
    FORGED_COMMAND,
    FORGED_KEY,
    WORDS,
    assert_literal_in_slack,
    assert_printable,
    commands_in_slack,
    hostile_keys,
    hostile_text,
    text_elements,
)
from tests.support.samples import ACME, DEPLOYMENT, job_state_change, uri_of

UNHURRIED = settings(deadline=None)
"""The longest texts take a while on a busy machine."""
OWN_COMMAND = "kbfleet sync retry-failed acme --stack kbfleet --region us-east-1"
OWN_COMMAND_FOR_NONE = "kbfleet documents --failed acme --stack kbfleet --region us-east-1"


def slack(alert: Alert) -> dict[str, Any]:
    payload = {"text": summary(alert), "blocks": [block.to_dict() for block in blocks(alert)]}
    validate_message(json.dumps(payload).encode())
    return payload


def alert_of(text: str, keys: tuple[str, ...]) -> Alert:
    """As an event of an ingestion makes it, with whatever it may hold of others' text."""
    change = job_state_change(
        outcome=Outcome.DEGRADED,
        ingestion_job_id=text,
        failure_reasons=(FailureReason(text), FailureReason(f"{text}{text}")),
    )
    documents = tuple(ReportedDocument(uri_of(key), text, News.NEW) for key in keys)
    *_, signal = of_documents(FailureReport(change, new=len(documents), documents=documents), DEPLOYMENT)
    return reported(signal)


def reported(signal: Any, kind: NoticeKind = NoticeKind.OPENED) -> Alert:
    assert signal.failure
    incident = Incident.opened_by(signal, signal.failure, signal.failure.causes[0], 1)
    timeline = Timeline(signal.subject, signal.concern).joined_by(signal, incident.identity)
    return incident.following(timeline).message(DEPLOYMENT, kind)


class TestPrintable:
    @UNHURRIED
    @given(hostile_text())
    def test_any_text_becomes_one_line_of_what_can_be_seen(self, text: str) -> None:
        assert_printable(printable(text), keep="")
        assert is_printable(printable(text))

    @pytest.mark.parametrize(
        "text",
        [
            "営業会議 議事録,　第2版.pdf",
            "か\u3099く\u3099 e\u0301 é",
            "👩‍🚀 ❤️‍🔥 👩🏽‍🚀 👨‍👩‍👧 🇯🇵",
            "می‌خواهم",
            "क्‍ष",
            "葛\U000e0100城",
            "C:\\new\\[draft].txt",
        ],
    )
    def test_every_script_stays_as_it_is(self, text: str) -> None:
        assert printable(text) == text

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("a\nb\tc\0", "a\\nb\\tc\\x00"),
            ("\x1b[2J\x9b", "\\x1b[2J\\x9b"),
            ("fdp.\u202egnp", "fdp.\\u202egnp"),
            ("a\u2028b\u2029", "a\\u2028b\\u2029"),
            ("ac\u200dme\u200b\ufeff\u00ad", "ac\\u200dme\\u200b\\ufeff\\xad"),
            ("\U000e0041\ue000", "\\U000e0041\\ue000"),
            ("\u3164", "\\u3164"),
        ],
    )
    def test_what_acts_or_cannot_be_seen_is_written_out(self, text: str, shown: str) -> None:
        assert printable(text) == shown

    @UNHURRIED
    @given(st.dictionaries(hostile_text(), hostile_text(), max_size=2))
    def test_json_means_the_same(self, value: dict[str, str]) -> None:
        document = printable_json(json.dumps(value, ensure_ascii=False, indent=2))
        assert_printable(document)
        assert json.loads(document) == value


class TestSlack:
    @UNHURRIED
    @given(hostile_text(), st.lists(hostile_keys("kbfleet-beta-0123456789"), max_size=3).map(tuple))
    def test_any_text_stays_literal_and_the_command_ours(self, text: str, keys: tuple[str, ...]) -> None:
        payload = slack(alert_of(text, keys))
        assert_literal_in_slack(payload, words=text)
        assert commands_in_slack(payload) == [OWN_COMMAND if keys else OWN_COMMAND_FOR_NONE]

    def test_a_key_that_closes_a_code_mark_makes_no_command_of_ours(self) -> None:
        payload = slack(alert_of("Ignored 1 file", (FORGED_KEY,)))
        assert commands_in_slack(payload) == [OWN_COMMAND]
        (shown,) = [element for element in text_elements(payload) if FORGED_COMMAND in element["text"]]
        assert (shown["type"], shown["style"]) == ("text", {"code": True})
        assert shown["text"].endswith(FORGED_KEY)

    @pytest.mark.parametrize("word", ["www.evil.example", "@here", "<!channel>", "\u202efdp", "a\u2028b"])
    @pytest.mark.parametrize("kind", NoticeKind)
    def test_nothing_of_a_reason_is_where_slack_links_and_parses(self, word: str, kind: NoticeKind) -> None:
        (signal,) = of_alarm(word, ringing=True, description=f"{word}!", reason=word, at=START, deployment=DEPLOYMENT)
        payload = slack(reported(signal, kind))
        assert_literal_in_slack(payload, words=word)
        assert word not in payload["text"]

    @UNHURRIED
    @given(hostile_text(100))
    def test_the_name_of_a_tenant_stays_in_its_line_and_out_of_what_slack_parses(self, name: str) -> None:
        (signal,) = of_ingestion(job_state_change(outcome=Outcome.FAILED, status=JobStatus.FAILED), DEPLOYMENT)
        assert signal.failure
        incident = Incident.opened_by(signal, signal.failure, signal.failure.causes[0], 1)
        timeline = Timeline("acme", Concern.INGESTION).joined_by(signal, incident.identity)
        named = incident.following(timeline).message(DEPLOYMENT, name=name)
        payload = slack(named)
        assert_literal_in_slack(payload, words=name)
        assert commands_in_slack(payload) == ["kbfleet sync start acme --stack kbfleet --region us-east-1"]
        (line,) = [line for line in plain_text(named).splitlines() if line.startswith("Tenant: acme")]
        assert line == f"Tenant: {printable(dict(named.facts)['Tenant'])}"  # type: ignore[arg-type]

    def test_of_many_tenants_the_notification_holds_no_reason(self) -> None:
        (signal,) = of_ingestion(
            job_state_change(outcome=Outcome.FAILED, failure_reasons=(FailureReason("see www.evil.example"),)),
            DEPLOYMENT,
        )
        assert signal.failure
        incident = Incident.opened_by(signal, signal.failure, signal.failure.causes[0], 1)
        spans = Timeline("acme", Concern.INGESTION).joined_by(signal, incident.identity).spans(incident.identity)
        many = replace(incident, affected={"acme": spans, "beta": spans}).message(DEPLOYMENT)
        assert summary(many) == "🔴 Harm not known · 2 tenants: ingestion failed"
        assert "www.evil.example" in many.title

    @UNHURRIED
    @given(hostile_text(), hostile_text())
    def test_a_forged_failure_of_a_workflow_gives_neither_command_nor_address(self, text: str, execution: str) -> None:
        failure = describe_failure(
            Workflow.PROVISION_TENANT, execution=execution, step=text, error=text, cause=text, now=START
        )
        (signal,) = of_workflow_failure(ACME, failure, DEPLOYMENT)
        payload = slack(reported(signal))
        assert_literal_in_slack(payload, words=text)
        assert commands_in_slack(payload) == ["kbfleet tenant add acme --stack kbfleet --region us-east-1"]
        links = [element["url"] for element in text_elements(payload) if element["type"] == "link"]
        assert all(url.startswith("https://us-east-1.console.aws.amazon.com/states/") for url in links)
        assert all(url.isascii() and url.isprintable() and not set(url) & set(' <>|`"') for url in links)


class TestAlarms:
    @pytest.mark.parametrize(
        "ending",
        [
            f"Run `{FORGED_COMMAND}`. See docs/runbook/ticks-failing.md",
            "Run `kbfleet tenant offboard beta`. See docs/runbook/offboarding-failed.md",
            "Run `kbfleet dlq redrive ticks`. See docs/runbook/evil.md",
            "Run `kbfleet dlq purge ticks --yes`. See docs/runbook/ticks-failing.md",
            "See docs/runbook/evil.md",
        ],
    )
    def test_a_description_that_somebody_changed_proposes_no_command(self, ending: str) -> None:
        made = alarm_alert("kbfleet-Ticks-1A", f"All is lost. {ending}", "x", DEPLOYMENT)
        assert (made.command, made.advice) == ("", "")
        assert [link.label for link in made.links] == ["Alarm"]
        assert ending in made.title

    def test_a_description_that_somebody_changed_claims_no_harm_but_one_that_there_is(self) -> None:
        made = alarm_alert("kbfleet-Ticks-1A", "Nobody is hurt. <!channel>", "x", DEPLOYMENT)
        assert made.harm is Harm.UNKNOWN
        made = alarm_alert("kbfleet-Ticks-1A", "No answers. <!channel>", "x", DEPLOYMENT)
        assert (made.harm, made.title) == (Harm.NO_ANSWERS, "kbfleet-Ticks-1A: <!channel>")

    def test_the_name_of_an_alarm_leads_nowhere_else(self) -> None:
        made = alarm_alert("x/../../?a=|evil> \u202e", "", "x", DEPLOYMENT)
        assert made.links[0].url == (
            "https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1#alarmsV2:alarm/"
            "x%2F..%2F..%2F%3Fa%3D%7Cevil%3E%20%E2%80%AE"
        )

    def test_a_command_names_tenants_only(self) -> None:
        with pytest.raises(InvalidInput):
            DEPLOYMENT.commands("sync start", ["acme", "beta; rm -rf /"])


class TestMail:
    @UNHURRIED
    @given(hostile_text(), st.lists(hostile_keys("kbfleet-beta-0123456789"), max_size=3).map(tuple))
    def test_any_text_stays_in_its_line(self, text: str, keys: tuple[str, ...]) -> None:
        made, sent = alert_of(text, keys), []

        class Topic:
            def publish(self, **message: Any) -> None:
                sent.append(message)

        SnsChannel(Topic(), "arn:aws:sns:us-east-1:123456789012:alerts").post(made)
        (message,) = sent
        assert message["Subject"].isascii()
        assert_printable(message["Subject"], keep="")
        assert len(message["Subject"]) < 100
        assert_printable(message["Message"])
        lines = message["Message"].splitlines()
        assert [line.strip() for line in lines if line.startswith("  kbfleet")] == [
            OWN_COMMAND if keys else OWN_COMMAND_FOR_NONE
        ]
        assert len(lines) == len(plain_text(alert_of("x", ("x",) * len(keys))).splitlines())

    def test_advice_and_command_are_there_however_long_the_rest_is(self) -> None:
        made = alert_of("\x1b" * 1_000, tuple("\u202e" * 300 + str(number) for number in range(400)))
        assert len(plain_text(made).encode()) <= 200_000
        assert OWN_COMMAND in plain_text(made)


class TestTerminal:
    """Of what is printed for people."""

    @staticmethod
    def printed(content: Any, width: int = 200) -> str:
        file = io.StringIO()
        Console(file=file, width=width, no_color=True, highlight=False, markup=False, emoji=False).print(
            content, soft_wrap=True
        )
        return file.getvalue()

    @UNHURRIED
    @given(hostile_text(), hostile_text())
    def test_text_from_outside_is_shown_as_it_is_and_acts_on_nothing(self, one: str, other: str) -> None:
        shown = self.printed(marked(f"[bold]{literal(one)}[/]: [red]{literal(other)}[/] \\[1] {literal(one)}[dim]![/]"))
        assert shown == f"{printable(one)}: {printable(other)} [1] {printable(one)}!\n"

    @UNHURRIED
    @given(hostile_text(), hostile_keys("kbfleet-beta-0123456789"), st.sampled_from([20, 80, 4_000]))
    def test_so_it_is_in_listings_and_details(self, text: str, key: str, width: int) -> None:
        listing = Listing(
            [Column("Name", prose=True), Column("Key")],
            [(literal(text), literal(key))],
            title=literal(text),
            caption=literal(key),
        )
        assert_printable(self.printed(listing, width))
        details = self.printed(Details([("Name", literal(text)), ("Key", literal(key))], title=literal(text)), width)
        assert details == f"{printable(text)}\nName  {printable(text)}\nKey   {printable(key)}\n"

    @UNHURRIED
    @given(hostile_text())
    def test_what_somebody_forgot_to_make_literal_does_not_act_either(self, text: str) -> None:
        """It may be read as markup, but no control character reaches the terminal."""
        with suppress(MarkupError):
            assert_printable(marked(text).plain)

    def test_the_clipboard_stays_as_it_is(self) -> None:
        assert self.printed(marked(literal(FILLS_THE_CLIPBOARD))) == "\\x1b]52;c;cm0gLXJmIC8=\\x07\n"

    @UNHURRIED
    @given(hostile_text())
    def test_so_are_slacks_messages_on_the_local_stack(self, text: str) -> None:
        shown = message_as_text(slack(alert_of(text, (text,))))
        assert_printable(shown)
        assert OWN_COMMAND in shown
        raw = {"text": text, "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": text}}]}
        assert_printable(message_as_text(raw))


def test_the_words_are_of_every_kind() -> None:
    categories = {unicodedata.category(character) for word in WORDS for character in word}
    assert {"Cc", "Cf", "Co", "Zl", "Zp", "Lo", "Mn", "So"} <= categories
