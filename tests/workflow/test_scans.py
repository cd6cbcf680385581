"""A Japanese scan, through the real functions in virtual time: without a profile it is left out, and people are told
why; by the profile for office documents it is answered from, and cited with its page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bedrock_emulator import Quotas
from bedrock_emulator.reading.parsers import can_see
from local import samples
from local.samples.scans import scanned
from tests.support.api_requests import queried
from tests.support.tenant_lives import Lives, sample
from tests.support.virtual_fleet import ACCOUNT, RARE_SCHEDULE_SECONDS, RARE_TICKS, REGION, virtual_fleet

OFFICE = Path(__file__).parents[2] / "examples" / "profiles" / "office-japanese.json"
CONTRACT = "契約/保守契約のご案内.pdf"
QUESTION, ANSWER, PAGE = "保守契約の解約は、更新日の何日前までに知らせればよいですか。", "45日前", 2

needs_sight = pytest.mark.skipif(
    not can_see(), reason="the packages that read scans are not installed: bedrock-emulator[ocr]; `make scans` does it"
)


def office() -> dict[str, Any]:
    """What is put of the profile: a file without its name."""
    described: dict[str, Any] = json.loads(OFFICE.read_text("utf-8"))
    return {name: described[name] for name in ("ingestion", "answering")}


@contextmanager
def fleet() -> Iterator[Lives]:
    parser = office()["ingestion"]["parser"]["model"]
    granted = {"IngestionModelArns": f"arn:aws:bedrock:{REGION}:{ACCOUNT}:inference-profile/{parser}"}
    with virtual_fleet(
        parameters={**RARE_TICKS, **granted},
        safety_net_seconds=RARE_SCHEDULE_SECONDS,
        quotas=Quotas(requests_per_second={}),
    ) as made:
        yield Lives(made, "S3_VECTORS")


def scan() -> bytes:
    """Two pages that are pictures of printed ones, with a table, and no text at all."""
    (printed,) = (path for path in samples.documents("sakura") if path.name == "maintenance-plans.pdf")
    return scanned(printed.read_bytes())


def given_the_scan(lives: Lives) -> None:
    lives.client("s3").put_object(Bucket=lives.bucket("acme"), Key=CONTRACT, Body=scan())
    lives.fleet.timeline.run_for(60)
    lives.sync("acme")
    lives.fleet.timeline.run_for(600)
    lives.collect("acme")


def listed(lives: Lives) -> dict[str, Any]:
    (document,) = (each for each in lives.api("get_documents", "acme")["documents"] if each["key"] == CONTRACT)
    found: dict[str, Any] = document
    return found


def asked(lives: Lives) -> dict[str, Any]:
    answer = lives.fleet.invoke("AskFunction", sample("ask", "acme") | {"body": json.dumps({"question": QUESTION})})
    assert answer["statusCode"] == 200, answer
    body: dict[str, Any] = json.loads(answer["body"])
    return body


def trace(lives: Lives) -> dict[str, Any]:
    answer = lives.fleet.invoke("WhyFunction", sample("get_why", "acme") | queried(key=CONTRACT))
    assert answer["statusCode"] == 200, answer
    body: dict[str, Any] = json.loads(answer["body"])
    return body


def test_by_default_a_scan_is_left_out_and_people_are_told_why() -> None:
    with fleet() as lives:
        lives.provisioned("acme")
        given_the_scan(lives)
        document = listed(lives)
        assert document["status"] == "LEFT_OUT"
        assert "no text content found" in document["reason"]
        assert document["finding"]["fault"] == "SCAN"
        assert "profile" in document["finding"]["remedy"]
        told = trace(lives)
        assert told["stuck_at"] is not None
        assert any("scan" in hop["finding"] for hop in told["hops"]), told
        assert not asked(lives)["citations"]


@needs_sight
@pytest.mark.timeout(600)  # a page takes seconds of a core, more beside other work
def test_by_the_office_profile_a_scan_is_answered_from_and_cited_with_its_page() -> None:
    with fleet() as lives:
        put = lives.fleet.invoke("ProfilesFunction", sample("put_profile", "acme") | {"body": json.dumps(office())})
        assert put["statusCode"] == 200, put
        lives.fleet.timeline.run_for(1)  # executions are named after the time
        name = lives.api("put_tenant", "acme", body='{"profile": "office-documents"}')["execution"]
        (started,) = (each for each in lives.executions("provision_tenant", "acme") if each.name == name)
        assert lives.fleet.finish(started).status == "SUCCEEDED"
        given_the_scan(lives)
        assert listed(lives)["status"] == "ANSWERED_FROM"
        answer = asked(lives)
        sources = [source for citation in answer["citations"] for source in citation["sources"]]
        assert {(source["document"], source["page"]) for source in sources} == {(CONTRACT, PAGE)}
        assert ANSWER in "".join(answer["answer"].split())
        assert trace(lives)["stuck_at"] is None
