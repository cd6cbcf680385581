"""What an alert says, and what people read in Slack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kbfleet.adapters.alert_channels.slack_message import blocks, escaped, summary
from kbfleet.domain.alert import Alert, Deployment, Reason, Severity, document_alert, ingestion_alert, workflow_alert
from kbfleet.domain.failed_documents import FailureReport, News, ReportedDocument
from kbfleet.domain.ingestion_job import FailureReason, JobStateChange, JobStatus, Outcome, Statistics
from tests.support.hostile_words import commands_in_slack, text_elements
from tests.support.samples import ACME, DEPLOYMENT, SAKURA, failure_reason, job_state_change, provisioning_failure
from tests.support.snapshots import assert_matches

SNAPSHOTS = Path(__file__).parent / "snapshots"

FAILED = job_state_change(
    status=JobStatus.FAILED,
    outcome=Outcome.FAILED,
    statistics=Statistics(),
    failure_reasons=(
        FailureReason(
            "Knowledge base role arn:aws:iam::123456789012:role/kb is not able to call specified bedrock embedding "
            "model arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-embed-text-v2:0"
        ),
    ),
)
UNREADABLE = (
    "s3://kbfleet-sakura-0123456789/営業会議 議事録, 第2版.pdf",
    "s3://kbfleet-sakura-0123456789/R&D <draft>.pdf",
)
DEGRADED = job_state_change(
    tenant_id=SAKURA,
    outcome=Outcome.DEGRADED,
    statistics=Statistics(scanned=14, new=12, failed=2),
    failure_reasons=(
        failure_reason("Encountered error: Ignored 2 files as no text content found", *UNREADABLE),
        FailureReason("Filterable metadata must have at most 2048 bytes (Service: S3Vectors, Status Code: 400)"),
    ),
)
LEFT_OUT = FailureReport(
    DEGRADED,
    new=1,
    again=1,
    set_aside_now=1,
    set_aside=7,
    documents=(
        ReportedDocument(UNREADABLE[0], DEGRADED.failure_reasons[0].text, News.NEW),
        ReportedDocument(UNREADABLE[1], DEGRADED.failure_reasons[0].text, News.AGAIN),
        ReportedDocument("s3://kbfleet-sakura-0123456789/価格表.xls", "Internal error", News.SET_ASIDE_NOW),
    ),
)
REFUSED = job_state_change(
    status=JobStatus.FAILED,
    outcome=Outcome.FAILED,
    ingestion_job_id=None,
    started_at=None,
    statistics=Statistics(),
    failure_reasons=(FailureReason("StartIngestionJob for data source DS00000002: AccessDeniedException: no."),),
)


def alert(change: JobStateChange) -> Alert:
    made = ingestion_alert(change, DEPLOYMENT)
    assert made is not None
    return made


def left_out(report: FailureReport = LEFT_OUT) -> Alert:
    made = document_alert(report, DEPLOYMENT)
    assert made is not None
    return made


def provisioning_failed(reason: str = "The role lacks bedrock:CreateKnowledgeBase.") -> Alert:
    return workflow_alert(ACME, provisioning_failure(reason=reason), DEPLOYMENT)


def rendered(made: Alert) -> list[dict[str, Any]]:
    return [block.to_dict() for block in blocks(made)]


class TestDocuments:
    def test_the_message_counts_them_by_what_is_new_about_them(self) -> None:
        facts = dict(left_out().facts)
        assert facts["Left out"] == "10 documents, of which 1 new, 1 set aside now, 7 set aside earlier"

    @pytest.mark.parametrize(
        ("report", "left_out_says"),
        [
            (FailureReport(DEGRADED, new=1), "1 new document"),
            (FailureReport(DEGRADED, new=3), "3 new documents"),
            (FailureReport(DEGRADED, again=1), "1 document"),
            (FailureReport(DEGRADED, new=1, again=1), "2 documents, of which 1 new"),
            (FailureReport(DEGRADED, new=1, complete=False), "1 new document; there may be more"),
        ],
    )
    def test_it_never_says_that_one_failed_before_of_which_nobody_has_heard(
        self, report: FailureReport, left_out_says: str
    ) -> None:
        assert dict(left_out(report).facts)["Left out"] == left_out_says

    def test_only_such_as_are_set_aside_are_no_news(self) -> None:
        assert document_alert(FailureReport(DEGRADED, set_aside=3), DEPLOYMENT) is None

    def test_what_could_not_be_named_or_counted_is_said(self) -> None:
        unexplained = left_out(FailureReport(DEGRADED, complete=False))
        assert dict(unexplained.facts)["Left out"] == "none that could be named; there may be more"
        assert unexplained.reasons == tuple(Reason(reason.whole) for reason in DEGRADED.failure_reasons)

    def test_a_job_that_failed_as_a_whole_is_reported_by_itself(self) -> None:
        assert document_alert(FailureReport(FAILED, new=2), DEPLOYMENT) is None


class TestWhatRepairsIt:
    @pytest.mark.parametrize(
        ("made", "command"),
        [
            (alert(FAILED), "kbfleet sync start acme --stack kbfleet --region us-east-1"),
            (left_out(), "kbfleet sync retry-failed sakura --stack kbfleet --region us-east-1"),
            (provisioning_failed(), "kbfleet tenant add acme --stack kbfleet --region us-east-1"),
        ],
    )
    def test_the_message_has_the_exact_command(self, made: Alert, command: str) -> None:
        assert made.command == command
        assert commands_in_slack({"blocks": rendered(made)}) == [command]

    def test_the_command_and_the_links_are_those_of_the_stack_that_speaks(self) -> None:
        tokyo = ingestion_alert(FAILED, Deployment("kbfleet-prod", "ap-northeast-1"))
        assert tokyo is not None
        assert tokyo.command == "kbfleet sync start acme --stack kbfleet-prod --region ap-northeast-1"
        assert tokyo.links[0].url.startswith("https://ap-northeast-1.console.aws.amazon.com/")
        assert "KB00000001" in tokyo.links[0].url


class TestSlackMessages:
    @pytest.mark.parametrize(
        ("name", "made"),
        [
            ("ingestion_failed", alert(FAILED)),
            ("ingestion_degraded", left_out()),
            ("ingestion_refused", alert(REFUSED)),
            ("provisioning_failed", provisioning_failed()),
        ],
    )
    def test_the_message_is_as_reviewed(self, name: str, made: Alert) -> None:
        assert_matches(SNAPSHOTS / f"{name}.json", {"text": summary(made), "blocks": rendered(made)})

    @given(st.text())
    def test_tenant_data_can_make_neither_links_nor_mentions(self, text: str) -> None:
        shown = escaped(text)
        assert "<" not in shown
        assert ">" not in shown
        assert shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == text

    @given(
        st.text(min_size=1, max_size=5_000),
        st.lists(st.text(max_size=2_000), max_size=30),
        st.lists(st.text(max_size=1_024), max_size=30),
    )
    def test_no_message_is_longer_than_slack_takes(self, title: str, reasons: list[str], keys: list[str]) -> None:
        # Source: Slack documentation, Block Kit reference: 50 blocks, 150 characters a header, 3,000 a text object.
        documents = tuple(f"s3://bucket/{key}" for key in keys)
        made = Alert(
            identity="x",
            severity=Severity.BROKEN,
            title=title,
            subject="acme",
            facts=(("Error", title), ("Step", title)),
            reasons=tuple(Reason(reason, documents) for reason in reasons),
            advice="Fix it.",
            command="kbfleet sync start acme",
        )
        message = rendered(made)
        assert len(message) <= 50
        for block in message:
            texts = [element["text"] for element in text_elements({"blocks": [block]})]
            assert all(texts)
            # Our own words are short, and stand beside what has 3,000 characters at most.
            assert sum(map(len, texts)) <= {"header": 150, "rich_text": 3_200}[str(block["type"])]
        assert commands_in_slack({"blocks": message}) == ["kbfleet sync start acme"]

    def test_ten_documents_are_named_and_the_others_counted(self) -> None:
        reported = tuple(ReportedDocument(f"s3://bucket/{number}.pdf", "no text", News.NEW) for number in range(25))
        text = json.dumps(rendered(left_out(FailureReport(DEGRADED, new=25, documents=reported))))
        assert "9.pdf" in text
        assert "10.pdf" not in text
        assert "and 15 more" in text
