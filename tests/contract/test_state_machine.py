"""The shape of `provision_tenant`, which neither engine nor linter checks once there are substitutions in it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from kbfleet.contracts import PROVISIONING_STEPS
from kbfleet.domain.errors import Retryable
from tests.support.template import DEFINITION, definition, environment, function_property, properties

STATES: dict[str, dict[str, Any]] = definition()["States"]
TASKS = {name: state for name, state in STATES.items() if state["Type"] == "Task"}
WAITING = {name: state for name, state in TASKS.items() if state["Resource"].endswith(".waitForTaskToken")}
REPORTING = {"Mark Tenant Failed", "Announce Provisioning Failed"}

# Source: AWS documentation, "Handle transient Lambda service exceptions" among the best practices of Step Functions.
LAMBDAS_OWN = {
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
}


def followers(state: dict[str, Any]) -> set[str]:
    branches = [state, *state.get("Catch", []), *state.get("Choices", [])]
    return {branch["Next"] for branch in branches if "Next" in branch} | {
        state[name] for name in ("Default",) if name in state
    }


def reachable(start: str) -> set[str]:
    seen, ahead = set(), {start}
    while ahead:
        name = ahead.pop()
        seen.add(name)
        ahead |= followers(STATES[name]) - seen
    return seen


class TestPaths:
    def test_no_state_leads_to_one_that_does_not_exist(self) -> None:
        assert set().union(*map(followers, STATES.values())) | {definition()["StartAt"]} <= set(STATES)

    def test_every_state_can_be_reached(self) -> None:
        assert reachable(definition()["StartAt"]) == set(STATES)

    @pytest.mark.parametrize("name", STATES)
    def test_every_path_comes_to_an_end(self, name: str) -> None:
        assert {STATES[state]["Type"] for state in reachable(name)} & {"Succeed", "Fail"}

    def test_only_success_and_failure_end_an_execution(self) -> None:
        for name, state in STATES.items():
            assert (state["Type"] in {"Succeed", "Fail"}) == (not followers(state)), name
            assert "End" not in state, name

    def test_a_failure_is_a_real_one_with_a_fixed_name(self) -> None:
        (failed,) = (state for state in STATES.values() if state["Type"] == "Fail")
        assert failed["Error"] == "ProvisioningFailed"
        assert not {"ErrorPath", "CausePath"} & set(failed)

    def test_a_choice_has_a_default_and_is_a_question(self) -> None:
        for name, state in STATES.items():
            assert (state["Type"] == "Choice") == name.endswith("?") == ("Default" in state), name

    def test_causes_are_never_taken_for_json(self) -> None:
        # The cause of a timeout is not JSON: reading it as such would end the failure path itself.
        assert "StringToJson" not in DEFINITION.read_text("utf-8")


@pytest.mark.parametrize("name", TASKS)
class TestEveryTask:
    def test_retries_by_name_exactly_what_passes_by_itself(self, name: str) -> None:
        ours, lambdas = TASKS[name]["Retry"]
        assert set(ours["ErrorEquals"]) == {error.__name__ for error in Retryable.__subclasses__()}
        assert set(lambdas["ErrorEquals"]) == LAMBDAS_OWN

    def test_retries_end_and_are_spread(self, name: str) -> None:
        for retry in TASKS[name]["Retry"]:
            assert retry["MaxAttempts"] >= 1
            assert retry["MaxDelaySeconds"] >= retry["IntervalSeconds"] >= 1
            assert retry["BackoffRate"] > 1
            assert retry["JitterStrategy"] == "FULL"

    def test_catches_everything_else(self, name: str) -> None:
        (caught,) = TASKS[name]["Catch"]
        assert caught["ErrorEquals"] == ["States.ALL"]

    def test_failures_are_reported_and_a_failed_report_does_not_hide_them(self, name: str) -> None:
        (caught,) = TASKS[name]["Catch"]
        if name in REPORTING:
            assert caught["ResultPath"] != "$.failure"
            assert (caught["Next"], TASKS[name]["ResultPath"]) == (TASKS[name]["Next"], None)
        else:
            assert (caught["ResultPath"], caught["Next"]) == ("$.failure", "Mark Tenant Failed")

    def test_times_out_after_its_function_and_before_the_machine(self, name: str) -> None:
        function = TASKS[name]["Parameters"]["FunctionName"].removeprefix("${").removesuffix("Arn}")
        assert function_property(function, "Timeout") < TASKS[name]["TimeoutSeconds"] < definition()["TimeoutSeconds"]

    def test_keeps_only_what_the_next_steps_need(self, name: str) -> None:
        if name not in REPORTING and name not in WAITING:
            assert TASKS[name]["ResultSelector"]


def test_a_task_that_waits_for_a_token_hands_it_on_and_does_not_wait_for_ever() -> None:
    assert WAITING
    for state in WAITING.values():
        assert "$$.Task.Token" in state["Parameters"]["Payload"].values()
        assert state["TimeoutSeconds"]


def test_the_machine_has_a_timeout_and_the_lease_outlasts_it() -> None:
    # Else an execution that is still at work could be overtaken by another one.
    assert environment("ReserveTenantFunction")["LEASE_SECONDS"] >= definition()["TimeoutSeconds"]


def test_the_results_that_tell_which_step_failed_are_those_that_the_steps_leave_in_order() -> None:
    order, name = {}, definition()["StartAt"]
    while STATES[name]["Type"] != "Succeed":
        if name in TASKS:
            order[TASKS[name]["ResultPath"].removeprefix("$.")] = name
        name = STATES[name].get("Next") or next(choice["Next"] for choice in STATES[name]["Choices"])
    assert list(order.items()) == list(PROVISIONING_STEPS.items())


def test_everything_that_is_left_open_is_filled_in_and_nothing_more() -> None:
    wanted = set(re.findall(r"\$\{(\w+)\}", DEFINITION.read_text("utf-8")))
    given = properties("ProvisionTenantStateMachine")["DefinitionSubstitutions"]
    assert wanted == set(given)
    for name, value in given.items():
        assert value == {"Fn::GetAtt": f"{name.removesuffix('Arn')}.Arn"}


def test_the_machine_may_invoke_its_functions_and_no_other() -> None:
    policy = properties("ProvisionTenantStateMachine")["Policies"]
    (invoking,) = (
        statement
        for document in policy
        for statement in document["Statement"]
        if statement["Action"] == "lambda:InvokeFunction"
    )
    given = properties("ProvisionTenantStateMachine")["DefinitionSubstitutions"]
    assert sorted(map(str, invoking["Resource"])) == sorted(map(str, given.values()))
