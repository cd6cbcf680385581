"""What a fleet costs, calculated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import cli.main
from cli.costs.estimate import STORES, TENANTS_OF_A_FLEET, Estimate, Line, When, Workload, estimate
from cli.costs.prices import GRADES, OURS, REGIONS, Prices
from cli.costs.ranges import Range
from cli.costs.stack_parts import StackParts, stack_parts
from cli.costs.tables import HEADINGS, amount, lines_of, markdown
from cli.fleet_api import FleetApi
from kbfleet.contracts.profiles import ProfileBody
from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from tests.support import template
from tests.unit.test_profiles import FULL

PARTS = StackParts(
    alarm_metrics=10,
    dashboards=1,
    secrets=2,
    polled_queues=(True, False),
    scheduled=43_800,
    provisioning_states=14,
)
WORKLOADS = st.builds(
    Workload,
    tenants=st.integers(1, 20_000),
    documents=st.integers(0, 20_000),
    pages=st.floats(0, 500),
    megabytes=st.floats(0, 50),
    changed=st.floats(0, 5),
    questions=st.integers(0, 100_000),
    golden_questions=st.integers(0, 100),
    golden_runs=st.integers(0, 10_000),
)


def line(made: Estimate, item: str) -> Line:
    return next(each for each in made.lines if each.item == item)


def of(prices: Prices | None = None, /, **workload: float) -> Estimate:
    return estimate(Workload.model_validate(workload), prices or Prices.read(), PARTS)


def test_golden_questions_are_paid_by_the_search_after_changes_and_each_day() -> None:
    asked, more = (of(tenants=10, golden_questions=20, golden_runs=runs) for runs in (0, 30))
    for item in ("golden questions: search", "golden questions: functions and records"):
        for store in STORES:
            once, twice = line(asked, item).by_store[store], line(more, item).by_store[store]
            assert 0 < once.low <= once.high < float("inf")
            assert (twice.low, twice.high) == pytest.approx((2 * once.low, 2 * once.high))
    # As much as a user's search, and a user's thousand questions do not cost more for it.
    users = line(of(tenants=10, questions=600), "questions: search").by_store["MANAGED"]
    assert line(asked, "golden questions: search").by_store["MANAGED"] == users
    assert asked.for_a_thousand_questions("MANAGED") == of(tenants=10).for_a_thousand_questions("MANAGED")
    assert line(of(tenants=10), "golden questions: search").by_store["MANAGED"] == Range.exactly(0)


def test_alarms_dashboards_and_secrets_are_paid_by_the_piece() -> None:
    made = of(tenants=1)
    assert line(made, "alarms").by_store["S3_VECTORS"] == Range.exactly(1.0)
    assert line(made, "dashboards").by_store["MANAGED"] == Range.exactly(3.0)
    assert line(made, "secrets").by_store["MANAGED"] == Range.exactly(0.8)


def test_opensearch_serverless_costs_two_units_although_nothing_is_in_it() -> None:
    capacity = line(of(tenants=1, documents=0), "capacity of OpenSearch Serverless").by_store
    assert capacity["OPENSEARCH_SERVERLESS"] == Range.exactly(2 * (0.24 * 730))
    assert capacity["S3_VECTORS"] == capacity["MANAGED"] == Range.exactly(0)


def test_opensearch_serverless_may_need_more_when_vectors_do_not_fit() -> None:
    capacity = line(of(tenants=95, documents=2_000), "capacity of OpenSearch Serverless").by_store
    assert capacity["OPENSEARCH_SERVERLESS"].low == pytest.approx(2 * 0.24 * 730)
    assert capacity["OPENSEARCH_SERVERLESS"].high > 2 * capacity["OPENSEARCH_SERVERLESS"].low


def test_a_managed_knowledge_base_is_paid_by_gigabyte_and_question() -> None:
    made = of(tenants=2, documents=1_024, megabytes=1, questions=500)
    assert line(made, "vectors kept").by_store["MANAGED"] == Range.exactly(10.0)
    assert line(made, "questions: search").by_store["MANAGED"] == Range.exactly(1.0)


def test_a_search_looks_through_the_whole_index_at_two_prices() -> None:
    # 30,000,000 tokens at most in 300,000 vectors for one tenant: 100,000 at the first price, 200,000 at the second.
    made = of(tenants=1, documents=10_000, pages=9, questions=1_000_000)
    size = 4_096 + 1_500
    searched = (100_000 * 0.004 + 200_000 * 0.002) * size / 1024**4
    query = 2.5e-6 + 50 * 2e-8
    found = line(made, "questions: search").by_store["S3_VECTORS"]
    assert found.high == pytest.approx((searched + query) * 1_000_000)


def test_vectors_that_are_put_one_by_one_are_paid_as_128_kb_each() -> None:
    came = line(of(tenants=1, documents=3, pages=100), "documents: uploaded and read in").by_store
    vectors = 3 * 100 * 1_000 / 300
    assert came["S3_VECTORS"].high - came["OPENSEARCH_SERVERLESS"].high == pytest.approx(vectors * 0.2 / 1024 / 8)


def test_more_tenants_than_an_account_may_have_knowledge_bases_need_another_fleet() -> None:
    made = of(tenants=201)
    assert made.fleets == {"S3_VECTORS": 3, "OPENSEARCH_SERVERLESS": 3, "MANAGED": 1}
    always = {store: made.total(When.ALWAYS, store) for store in STORES}
    assert always["S3_VECTORS"].low == pytest.approx(3 * always["MANAGED"].low)


@pytest.mark.parametrize(("tenants", "fleets"), [(95, 1), (96, 2)])
def test_a_fleet_has_as_many_tenants_as_are_let_in_beside_what_rebuilds_need(tenants: int, fleets: int) -> None:
    kept = template.template()["Parameters"]["KnowledgeBasesForRebuilds"]["Default"]
    assert TENANTS_OF_A_FLEET["S3_VECTORS"] == KnowledgeBaseKind.VECTOR.quota - kept
    assert of(tenants=tenants).fleets == {"S3_VECTORS": fleets, "OPENSEARCH_SERVERLESS": fleets, "MANAGED": 1}


def test_a_fleet_that_nobody_asks_costs_nothing_for_questions() -> None:
    made = of(questions=0)
    assert made.for_a_thousand_questions("S3_VECTORS") == Range.exactly(0)
    assert of(documents=0).for_a_document("MANAGED") == Range.exactly(0)


def test_more_tenants_do_not_need_more_ticks_than_a_month_has() -> None:
    followed = {
        tenants: line(of(tenants=tenants, documents=10_000, changed=5), "ingestion: following jobs").by_store["MANAGED"]
        for tenants in (1_000, 10_000)
    }
    assert followed[1_000].high == pytest.approx(followed[10_000].high)


@given(WORKLOADS)
def test_no_lower_bound_is_above_its_upper_bound(workload: Workload) -> None:
    made = estimate(workload, Prices.read(), PARTS)
    assert all(0 <= cost.low <= cost.high for each in made.lines for cost in each.by_store.values())


@given(WORKLOADS, st.sampled_from(["tenants", "documents", "questions", "pages", "changed"]))
def test_more_of_anything_never_costs_less(workload: Workload, what: str) -> None:
    more = workload.model_copy(update={what: getattr(workload, what) * 2})
    for store in STORES:
        before = estimate(workload, Prices.read(), PARTS).monthly(store)
        after = estimate(more, Prices.read(), PARTS).monthly(store)
        assert after.low >= before.low - 1e-9
        assert after.high >= before.high - 1e-9


def test_the_parts_are_those_of_the_template() -> None:
    parts = stack_parts()
    assert parts.alarm_metrics >= len(template.resources("AWS::CloudWatch::Alarm"))
    # The prompt's is for those who have one of their own.
    made = template.resources("AWS::SecretsManager::Secret").values()
    assert parts.secrets == len([each for each in made if "Condition" not in each]) == len(made) - 1
    assert parts.dashboards == len(template.resources("AWS::CloudWatch::Dashboard"))
    functions = template.resources("AWS::Serverless::Function")
    events = [event for each in functions.values() for event in each["Properties"].get("Events", {}).values()]
    assert len(parts.polled_queues) == sum(event["Type"] == "SQS" for event in events)
    assert True in parts.polled_queues
    assert False in parts.polled_queues
    assert parts.scheduled >= 43_800 * sum(
        event["Type"] == "ScheduleV2" and event["Properties"]["ScheduleExpression"] == "rate(1 minute)"
        for event in events
    )
    states = template.definition("provision_tenant")["States"]
    assert len(states) - 3 <= parts.provisioning_states <= len(states) + 3


def test_every_price_says_where_to_check_it_and_how_it_is_known() -> None:
    prices = Prices.read()
    assert prices.region == "us-east-1"
    for price in prices.by_name.values():
        assert price.page.startswith("https://aws.amazon.com/")
        assert price.grade in GRADES
        assert (price.grade == "PRICE_LIST") == (price.dated is not None)


def test_every_price_is_needed() -> None:
    before = {store: of(documents=200_000).monthly(store) for store in STORES}
    once = {store: of(documents=200_000).total(When.ONCE, store) for store in STORES}
    for name in Prices.read().by_name:
        prices = Prices.read().with_given([f"{name}=99"])
        made = of(prices, documents=200_000)
        assert any(
            made.monthly(store) != before[store] or made.total(When.ONCE, store) != once[store] for store in STORES
        ), name


@pytest.mark.parametrize("given_price", ["ocu_hour=-1", "ocu_hour=free", "ocu_hour", "ocu_hour=nan", "gold=1"])
def test_a_price_that_is_none_is_refused(given_price: str) -> None:
    with pytest.raises(InvalidInput):
        Prices.read().with_given([given_price])


def test_amounts_are_short() -> None:
    assert amount(Range(0, 0)) == "0"
    assert amount(Range(0.001, 0.002)) == "< 0.01"
    assert amount(Range(0.001, 3.456)) == "< 0.01 – 3.46"
    assert amount(Range.exactly(12_345.6)) == "12,346"


def test_the_table_is_markdown() -> None:
    rows = markdown(HEADINGS, lines_of(of())).splitlines()
    assert all(row.count("|") == len(HEADINGS) + 1 for row in rows)


# --- the command ---


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.main.app, ["costs", *arguments])
    return result.exit_code, result.output


def test_the_command_asks_nobody_and_says_what_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    code, printed = run("--tenants", "7", "--documents", "11")
    assert code == 0
    assert "7 tenants, each with 11 documents" in printed
    assert "us-east-1" in printed


def test_the_command_prints_json_for_programs() -> None:
    code, printed = run("--json", "--tenants", "3", "--price", "ocu_hour=0.334")
    assert code == 0
    reported: Mapping[str, object] = json.loads(printed)
    assert reported["workload"] == Workload(tenants=3).model_dump()
    assert reported["prices"]["ocu_hour"]["grade"] == "GIVEN"  # type: ignore[index] # JSON
    assert set(reported["monthly"]) == set(STORES)  # type: ignore[call-overload] # JSON


def test_the_command_shows_its_prices() -> None:
    code, printed = run("--list-prices")
    assert code == 0
    assert "ocu_hour" in printed
    assert "PRICE_LIST" in printed


@pytest.mark.parametrize("arguments", [["--tenants", "0"], ["--price", "gold=1"], ["--changed", "-0.5"]])
def test_an_unacceptable_workload_or_price_is_bad_input(arguments: list[str]) -> None:
    assert run(*arguments)[0] == 2


def test_prices_of_another_region_come_from_a_file(tmp_path: Path) -> None:
    held = json.loads(OURS.read_text("utf-8"))
    held["region"] = "ap-northeast-1"
    other = tmp_path / "tokyo.json"
    other.write_text(json.dumps(held), "utf-8")
    assert "ap-northeast-1" in run("--prices", str(other))[1]
    held["prices"]["gold"] = held["prices"]["alarm"]
    other.write_text(json.dumps(held), "utf-8")
    code, printed = run("--prices", str(other))
    assert code == 2
    assert "gold" in printed


def test_what_a_price_is_part_of_that_is_not_known_has_no_upper_bound() -> None:
    known = Prices.read()
    lacking = replace(known, by_name={name: price for name, price in known.by_name.items() if name != "alarm"})
    made, whole = of(lacking, tenants=1), of(known, tenants=1)
    assert line(made, "alarms").by_store["MANAGED"] == Range(0, inf)
    assert amount(line(made, "alarms").by_store["MANAGED"]) == "unknown"
    assert line(made, "secrets") == line(whole, "secrets")
    cost = made.monthly("S3_VECTORS")
    assert cost.high == inf
    assert cost.low == pytest.approx(whole.monthly("S3_VECTORS").low - 1.0)
    assert amount(cost) == f"≥ {cost.low:,.2f}"
    assert of(lacking.with_given(["alarm=0.1"]), tenants=1) == whole


def test_an_unknown_price_of_what_nobody_needs_changes_nothing() -> None:
    known = Prices.read()
    lacking = replace(known, by_name={name: price for name, price in known.by_name.items() if name != "input_token"})
    assert of(lacking, questions=0) == of(known, questions=0)


@pytest.mark.parametrize("region", sorted(path.stem for path in REGIONS.glob("*.json")))
def test_each_regions_prices_are_its_own(region: str) -> None:
    prices = Prices.of_region(region)
    assert prices.region == region
    for name, price in prices.by_name.items():
        assert price.grade in GRADES
        assert (price.grade == "PRICE_LIST") == (price.dated is not None), name
    assert not prices.by_name.keys() & prices.unknown.keys()


def test_a_region_is_calculated_with_what_is_known_of_it() -> None:
    code, printed = run("--region", "ap-northeast-1", "--tenants", "3")
    assert code == 0
    assert "ap-northeast-1" in printed
    assert "unknown" in printed
    assert "managed_gb" in printed
    reported = json.loads(run("--region", "ap-northeast-1", "--json")[1])
    assert reported["monthly"]["OPENSEARCH_SERVERLESS"]["high"] is None
    assert reported["monthly"]["OPENSEARCH_SERVERLESS"]["low"] > 2 * 0.334 * 730
    assert "managed_gb" in reported["unknown_prices"]
    assert "unknown" in run("--region", "ap-northeast-1", "--list-prices")[1]


def test_a_region_of_which_nothing_is_known_is_bad_input() -> None:
    code, printed = run("--region", "eu-west-1")
    assert code == 2
    assert "ap-northeast-1" in printed
    assert run("--region", "us-east-1", "--prices", str(OURS))[0] == 2


@pytest.mark.parametrize(
    ("region", "model", "known"),
    [
        ("us-east-1", "amazon.nova-lite-v1:0", True),
        ("us-east-1", "apac.amazon.nova-lite-v1:0", False),
        ("us-east-1", "jp.anthropic.claude-haiku-4-5-20251001-v1:0", False),
        ("ap-northeast-1", "apac.amazon.nova-lite-v1:0", True),
        ("ap-northeast-1", "amazon.nova-lite-v1:0", False),
    ],
)
def test_tokens_have_a_price_for_the_very_model_only(region: str, model: str, *, known: bool) -> None:
    assert (Prices.of_region(region).of_tokens(model) is not None) == known


# --- by a profile ---

SHIPPED = sorted((Path(__file__).parents[2] / "examples" / "profiles").glob("*.json"))


def profiled(tmp_path: Path, **described: object) -> str:
    file = tmp_path / "tried.json"
    file.write_text(json.dumps({"name": "tried", **described}), "utf-8")
    return str(file)


def reported_of(*arguments: str) -> tuple[dict[str, dict[str, dict[str, float | None]]], dict[str, Any]]:
    """The lines by their items, and all of it."""
    code, printed = run("--json", *arguments)
    assert code == 0, printed
    reported: dict[str, Any] = json.loads(printed)
    return {each["item"]: each["usd"] for each in reported["lines"]}, reported


def test_a_profile_that_says_nothing_costs_what_a_stack_costs_by_default(tmp_path: Path) -> None:
    _, by_default = reported_of()
    _, by_profile = reported_of("--profile", profiled(tmp_path))
    assert by_profile["profile"] == {"name": "tried", "version": 1}
    assert {name: by_profile[name] for name in ("lines", "monthly", "fleets")} == {
        name: by_default[name] for name in ("lines", "monthly", "fleets")
    }


PARSED = {"parser": {"kind": "FOUNDATION_MODEL", "model": "us.amazon.nova-pro-v1:0"}}


def test_parsing_by_a_model_is_paid_by_the_page_and_again_for_what_changes(tmp_path: Path) -> None:
    arguments = ("--profile", profiled(tmp_path, ingestion=PARSED), "--tenants", "1", "--documents", "100")
    lines, reported = reported_of(*arguments, "--pages", "10", "--changed", "0.2")
    once = lines["documents: read in, parsed by a model"]["S3_VECTORS"]
    read, written = (1_000 * 1_000 * 8e-7, 3_000 * 1_000 * 8e-7), (500 * 1_000 * 3.2e-6, 1.5 * 1_000 * 1_000 * 3.2e-6)
    assert once["low"] == pytest.approx(read[0] + written[0])
    assert once["high"] == pytest.approx(read[1] + written[1])
    monthly = lines["ingestion: changed documents, parsed by a model"]["S3_VECTORS"]
    assert monthly["low"] == pytest.approx(0.2 * (read[0] + written[0]))
    # MANAGED takes no such parser, so nothing is said of it.
    assert set(reported["monthly"]) == {"S3_VECTORS", "OPENSEARCH_SERVERLESS"}
    # A page costs what it costs, however it is divided.
    twice = reported_of(*arguments, "--pages", "20", "--changed", "0.2")[0]
    assert twice["documents: read in, parsed by a model"]["S3_VECTORS"]["low"] == pytest.approx(2 * (once["low"] or 0))


def test_semantic_chunking_is_paid_by_the_embedding_model_and_hierarchical_by_nothing(tmp_path: Path) -> None:
    semantic = {"kind": "SEMANTIC", "max_tokens": 300, "buffer_size": 1, "breakpoint_percentile": 95}
    one = ("--tenants", "1", "--documents", "1000", "--pages", "10")
    lines, _ = reported_of("--profile", profiled(tmp_path, ingestion={"chunking": semantic}), *one)
    compared = lines["documents: read in, semantic chunking"]["S3_VECTORS"]
    assert compared["low"] == pytest.approx(1_000 * 10 * 500 * 2e-8)
    assert compared["high"] == pytest.approx(3 * 1_000 * 10 * 1_000 * 2e-8)
    nested = {"kind": "HIERARCHICAL", "parent_tokens": 1_500, "child_tokens": 300, "overlap_tokens": 60}
    on_opensearch = {"knowledge_store": "OPENSEARCH_SERVERLESS", "chunking": nested}
    lines, reported = reported_of("--profile", profiled(tmp_path, ingestion=on_opensearch), *one)
    assert not [item for item in lines if "chunking" in item or "parsed" in item]
    assert set(reported["monthly"]) == {"OPENSEARCH_SERVERLESS"}


@pytest.mark.parametrize(
    ("chunking", "vectors"),
    [
        ({"kind": "NONE"}, (1, 1)),
        ({"kind": "FIXED_SIZE", "max_tokens": 150, "overlap_percentage": 50}, (1_000 / 75, 2_000 / 75)),
        ({"kind": "FIXED_SIZE", "max_tokens": 300, "overlap_percentage": 1}, (1_000 / 297, 2_000 / 297)),
    ],
)
def test_vectors_are_as_many_as_the_chunking_makes(
    tmp_path: Path, chunking: dict[str, object], vectors: tuple[float, float]
) -> None:
    one = ("--tenants", "1", "--documents", "1", "--pages", "2", "--price", "vector_put_gb=1073741824")
    lines, _ = reported_of("--profile", profiled(tmp_path, ingestion={"chunking": chunking}), *one)
    put = lines["documents: uploaded and read in"]["S3_VECTORS"]["high"] or 0
    # Each vector is put alone at worst, and 128 KB are paid for it, unless it has more.
    assert put / (128 * 1_024) == pytest.approx(vectors[1], rel=0.01)


def test_longer_passages_and_a_reranker_are_paid_for_with_each_question(tmp_path: Path) -> None:
    reranked = {"passages": 10, "reranker": {"model": "cohere.rerank-v3-5:0", "candidates": 40}}
    profile = profiled(tmp_path, answering=reranked)
    lines, reported = reported_of("--profile", profile, "--tenants", "1", "--questions", "1000")
    assert lines["questions: reranking"]["S3_VECTORS"] == {"low": pytest.approx(2.0), "high": pytest.approx(2.0)}
    plain = reported_of("--tenants", "1", "--questions", "1000")[0]["questions: model"]["S3_VECTORS"]
    more = 5 * 300 * 1_000 * 6e-8
    assert lines["questions: model"]["S3_VECTORS"]["low"] == pytest.approx((plain["low"] or 0) + more)
    assert reported["prices"]["rerank_query"]["grade"] == "REPORTED"


def test_the_price_of_a_models_tokens_is_not_that_of_another_one(tmp_path: Path) -> None:
    parsed = {"parser": {"kind": "FOUNDATION_MODEL", "model": "us.anthropic.claude-haiku-4-5-20251001-v1:0"}}
    answered = {"model": "us.anthropic.claude-haiku-4-5-20251001-v1:0"}
    profile = profiled(tmp_path, ingestion=parsed, answering=answered)
    lines, reported = reported_of("--profile", profile)
    unknown = {"parsing_input_token", "parsing_output_token", "input_token", "output_token"}
    assert set(reported["unknown_prices"]) == unknown
    for item in ("documents: read in, parsed by a model", "questions: model"):
        assert lines[item]["S3_VECTORS"] == {"low": 0, "high": None}
    told = run("--profile", profile)[1]
    assert "Not known for us-east-1" in told
    given_prices = [part for name in sorted(unknown) for part in ("--price", f"{name}=0.000001")]
    assert not reported_of("--profile", profile, *given_prices)[1]["unknown_prices"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
@pytest.mark.parametrize("region", ["us-east-1", "ap-northeast-1"])
def test_a_shipped_profile_has_its_costs(path: Path, region: str) -> None:
    code, printed = run("--profile", str(path), "--region", region)
    assert code == 0, printed
    assert f"by profile {path.stem}" in printed


@pytest.mark.parametrize(
    ("described", "named"),
    [
        ({"ingestion": {"knowledge_store": "S3_VECTORS", "parser": {"kind": "SMART"}}}, "ingestion.parser.kind"),
        ({"ingestion": {"knowledge_store": "SHELF"}}, "ingestion.knowledge_store"),
        (
            {"ingestion": {"chunking": {"kind": "FIXED_SIZE", "max_tokens": 300, "overlap_percentage": 100}}},
            "ingestion.chunking.overlap_percentage",
        ),
        ({"answering": {"reranker": {"model": "amazon.rerank-v1:0", "candidates": 20}}}, "answering.reranker.model"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_no_stack_in_the_region_could_have_is_refused(
    tmp_path: Path, described: dict[str, object], named: str
) -> None:
    code, printed = run("--profile", profiled(tmp_path, **described))
    assert code == 2, printed
    assert named in printed


def test_a_file_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    assert run("--profile", str(tmp_path / "none.json"))[0] == 2


def test_a_name_is_looked_up_in_the_stack_and_its_region(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    class Api:
        region = "ap-northeast-1"

        def profile(self, name: str, version: int | None) -> ProfileBody:
            asked.append((name, version))
            return ProfileBody.from_domain(FULL)

    def of_stack(stack: str, region: str | None) -> Api:
        asked.append((stack, region))
        return Api()

    monkeypatch.setattr(FleetApi, "of_stack", of_stack)
    _, reported = reported_of("--profile", "full", "--stack", "mine")
    assert asked == [("mine", None), ("full", None)]
    assert reported["region"] == "ap-northeast-1"
    assert reported["profile"] == {"name": "full", "version": FULL.version}
    assert set(reported["monthly"]) == {FULL.ingestion.knowledge_store}
    assert reported_of("--profile", "full", "--region", "us-east-1")[1]["region"] == "us-east-1"
