"""What a fleet costs, calculated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import cli.main
from cli.costs.estimate import STORES, Estimate, Line, When, Workload, estimate
from cli.costs.prices import GRADES, OURS, REGIONS, Prices
from cli.costs.ranges import Range
from cli.costs.stack_parts import StackParts, stack_parts
from cli.costs.tables import HEADINGS, amount, lines_of, markdown
from kbfleet.domain.errors import InvalidInput
from tests.support import template

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
    capacity = line(of(tenants=100, documents=2_000), "capacity of OpenSearch Serverless").by_store
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
