"""The shape of the state machines, which neither engine nor linter checks once there are substitutions in it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from functions.offboarding.steps import FOR_THE_LAST_PAGE
from functions.rebuilding.steps import FOR_THE_LAST_QUESTION
from kbfleet.contracts.workflows import (
    OFFBOARDING_STEPS,
    PROVISIONING_STEPS,
    REBUILDING_STEPS,
    ExecutionProgress,
    OffboardTenantInput,
    ProvisionTenantInput,
    RebuildTenantInput,
)
from kbfleet.domain.alert import CHECKS_ROOM
from kbfleet.domain.errors import NotReadyYet, Retryable
from kbfleet.domain.knowledge_base import KnowledgeBaseKind
from kbfleet.domain.tenant import BUCKET_SETTLES_WITHIN, MAX_RETENTION_DAYS, OVERDUE_AFTER, RESOURCES_VERSION
from kbfleet.domain.workflow import Workflow
from kbfleet.usecases.provisioning import OUTLIVED_BY_AT_MOST
from tests.support.template import (
    STATE_MACHINES,
    definition,
    definition_text,
    environment,
    function_property,
    properties,
    template,
)

EVERY_STATE = [(machine, name) for machine in STATE_MACHINES for name in definition(machine)["States"]]
TASKS = [(machine, name) for machine, name in EVERY_STATE if definition(machine)["States"][name]["Type"] == "Task"]
STEPS = {
    "provision_tenant": PROVISIONING_STEPS,
    "offboard_tenant": OFFBOARDING_STEPS,
    "rebuild_tenant": REBUILDING_STEPS,
}
INPUTS: dict[str, type[BaseModel]] = {
    "provision_tenant": ProvisionTenantInput,
    "offboard_tenant": OffboardTenantInput,
    "rebuild_tenant": RebuildTenantInput,
}
USING_A_ROLE = {"Ensure Knowledge Base"}
REPORTING = {
    "Mark Tenant Failed",
    "Announce Provisioning Failed",
    "Announce Offboarding Failed",
    "Announce Rebuild Failed",
}

# Source: AWS documentation, "Handle transient Lambda service exceptions" among the best practices of Step Functions.
TIMEOUT = ["States.Timeout"]
# That a function's time is over, or its process, Step Functions calls Lambda.Unknown, or Sandbox.Timedout, as users
# report: one slow answer of AWS must not cost a tenant its provisioning, and every step can be repeated.
TIMES_OVER = {"Lambda.ClientExecutionTimeoutException", "Lambda.Unknown", "Sandbox.Timedout"}
LAMBDAS_OUTAGES = [
    "Lambda.TooManyRequestsException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
]


def followers(state: dict[str, Any]) -> set[str]:
    branches = [state, *state.get("Catch", []), *state.get("Choices", [])]
    return {branch["Next"] for branch in branches if "Next" in branch} | {
        state[name] for name in ("Default",) if name in state
    }


def states_of(machine: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = definition(machine)["States"]
    return found


def resource_of(machine: str) -> str:
    """The machine's logical id in the template."""
    return f"{machine.title().replace('_', '')}StateMachine"


def reachable(machine: str, start: str) -> set[str]:
    seen, ahead = set(), {start}
    while ahead:
        name = ahead.pop()
        seen.add(name)
        ahead |= followers(states_of(machine)[name]) - seen
    return seen


def test_the_state_at_which_a_tenant_without_a_knowledge_base_finds_no_room_is_called_as_messages_know_it() -> None:
    assert CHECKS_ROOM in states_of("provision_tenant")


@pytest.mark.parametrize("machine", STATE_MACHINES)
class TestPaths:
    def test_no_state_leads_to_one_that_does_not_exist(self, machine: str) -> None:
        states = states_of(machine)
        assert set().union(*map(followers, states.values())) | {definition(machine)["StartAt"]} <= set(states)

    def test_every_state_can_be_reached(self, machine: str) -> None:
        assert reachable(machine, definition(machine)["StartAt"]) == set(states_of(machine))

    def test_every_path_comes_to_an_end(self, machine: str) -> None:
        for name in states_of(machine):
            assert {states_of(machine)[state]["Type"] for state in reachable(machine, name)} & {"Succeed", "Fail"}

    def test_only_success_and_failure_end_an_execution(self, machine: str) -> None:
        for name, state in states_of(machine).items():
            assert (state["Type"] in {"Succeed", "Fail"}) == (not followers(state)), name
            assert "End" not in state, name

    def test_a_failure_is_a_real_one_with_a_fixed_name(self, machine: str) -> None:
        ((name, failed),) = ((name, state) for name, state in states_of(machine).items() if state["Type"] == "Fail")
        assert failed["Error"] == name.replace(" ", "")
        assert not {"ErrorPath", "CausePath"} & set(failed)

    def test_a_choice_has_a_default_and_is_a_question(self, machine: str) -> None:
        for name, state in states_of(machine).items():
            assert (state["Type"] == "Choice") == name.endswith("?") == ("Default" in state), name

    def test_causes_are_never_taken_for_json(self, machine: str) -> None:
        # The cause of a timeout is not JSON: reading it as such would end the failure path itself.
        assert "StringToJson" not in definition_text(machine)


@pytest.mark.parametrize(("machine", "name"), TASKS)
class TestEveryTask:
    def test_retries_by_name_exactly_what_passes_by_itself(self, machine: str, name: str) -> None:
        *ours, slow = (retry for retry in states_of(machine)[name]["Retry"] if retry["ErrorEquals"] != TIMEOUT)
        # Apart, because a crowd is throttled for longer than it takes a role or an index to settle.
        names = [retry["ErrorEquals"] for retry in ours]
        # What was deleted may show for a while.
        settling = ["NotReadyYet", *(["ErasureIncomplete"] if name == "Verify Erasure" else [])]
        of_a_role = [["ServiceRoleRefused"]] if name in USING_A_ROLE else []
        assert names == [["Throttled", *LAMBDAS_OUTAGES], settling, *of_a_role]
        assert {error.__name__ for error in Retryable.__subclasses__()} == {"Throttled", "NotReadyYet"}
        assert {error.__name__ for error in NotReadyYet.__subclasses__()} == {"ServiceRoleRefused"}
        assert set(slow["ErrorEquals"]) == TIMES_OVER
        # An outage takes minutes; what takes too long each time will not be faster the seventh time.
        assert ours[0]["MaxAttempts"] > slow["MaxAttempts"]

    def test_retries_end_and_are_spread(self, machine: str, name: str) -> None:
        for retry in states_of(machine)[name]["Retry"]:
            assert retry["MaxAttempts"] >= 1
            assert retry["MaxDelaySeconds"] >= retry["IntervalSeconds"] >= 1
            assert retry["BackoffRate"] > 1
            # A role is one tenant's own: there is no crowd to be spread, and it is known everywhere after some seconds.
            assert retry["JitterStrategy"] == ("NONE" if retry["ErrorEquals"] == ["ServiceRoleRefused"] else "FULL")

    def test_catches_everything_else(self, machine: str, name: str) -> None:
        *by_name, everything = states_of(machine)[name]["Catch"]
        assert everything["ErrorEquals"] == ["States.ALL"]
        # Neither an offboarding that was taken back has failed, nor a provisioning that one came before.
        taken_back = [{"ErrorEquals": ["LeaseLost"], "ResultPath": "$.failure", "Next": "Offboarding Superseded"}]
        leaving = [{"ErrorEquals": ["TenantOffboarding"], "ResultPath": "$.failure", "Next": "Provisioning Superseded"}]
        # Nor a rebuild: the tenant is out of service, somebody has stopped it, or there is nothing to do.
        decided = [{"ErrorEquals": ["LeaseLost"], "ResultPath": "$.failure", "Next": "Rebuild Superseded"}]
        if name == "Reserve Rebuild":
            decided = [{**decided[0], "ErrorEquals": ["LeaseLost", "TenantOffboarding", "TenantOffboarded"]}]
        by_machine = {"offboard_tenant": taken_back, "rebuild_tenant": decided} if name not in REPORTING else {}
        assert by_name == (leaving if name == "Reserve Tenant" else by_machine.get(machine, []))

    def test_failures_are_reported_and_a_failed_report_does_not_hide_them(self, machine: str, name: str) -> None:
        task = states_of(machine)[name]
        caught = task["Catch"][-1]
        if name in REPORTING:
            assert caught["ResultPath"] != "$.failure"
            assert (caught["Next"], task["ResultPath"]) == (task["Next"], None)
        else:
            assert (caught["ResultPath"], caught["Next"]) == ("$.failure", "Mark Tenant Failed")

    def test_times_out_after_its_function_and_before_the_machine(self, machine: str, name: str) -> None:
        task = states_of(machine)[name]
        function = task["Parameters"]["FunctionName"].removeprefix("${").removesuffix("Arn}")
        assert function_property(function, "Timeout") < task["TimeoutSeconds"] < definition(machine)["TimeoutSeconds"]

    def test_keeps_only_what_the_next_steps_need(self, machine: str, name: str) -> None:
        task = states_of(machine)[name]
        if name not in REPORTING and not task["Resource"].endswith(".waitForTaskToken"):
            assert task["ResultSelector"]


WITH_A_BUCKET = {
    "provision_tenant": {"Ensure Bucket"},
    "offboard_tenant": {"Refuse Uploads", "Delete Bucket"},
    "rebuild_tenant": set[str](),
}
"""The states that meet a bucket which was just made, or a name that is not free yet."""


@pytest.mark.parametrize("machine", STATE_MACHINES)
def test_a_bucket_that_was_just_made_is_waited_for_long_enough(machine: str) -> None:
    assert set(WITH_A_BUCKET[machine]) <= set(states_of(machine))
    for name in WITH_A_BUCKET[machine]:
        (retry,) = (each for each in states_of(machine)[name]["Retry"] if each["ErrorEquals"] == ["NotReadyYet"])
        delays = (retry["IntervalSeconds"] * retry["BackoffRate"] ** number for number in range(retry["MaxAttempts"]))
        # Each is anything from nothing to its whole length.
        usual = sum(min(delay, retry["MaxDelaySeconds"]) for delay in delays) / 2
        assert timedelta(seconds=usual) >= 2 * BUCKET_SETTLES_WITHIN


def test_an_index_is_made_anew_once_no_function_that_an_earlier_execution_has_invoked_can_run() -> None:
    timeout = function_property("EnsureKnowledgeStoreFunction", "Timeout")
    assert timedelta(seconds=timeout) < OUTLIVED_BY_AT_MOST


@pytest.mark.parametrize("name", ["Ensure Knowledge Base", "Ensure Data Source"])
def test_what_bedrock_makes_for_minutes_is_waited_for_by_the_answers_of_the_step(name: str) -> None:
    states = states_of("provision_tenant")
    result, choice = states[name]["ResultPath"], states[states[name]["Next"]]
    (done,) = choice["Choices"]
    assert (done["Variable"], done["BooleanEquals"]) == (f"{result}.done", True)
    wait = states[choice["Default"]]
    assert (wait["Type"], wait["SecondsPath"], wait["Next"]) == ("Wait", f"{result}.wait_seconds", name)


def test_a_task_that_waits_for_a_token_hands_it_on_and_asks_again_but_not_for_ever() -> None:
    states = [(machine, states_of(machine)[name]) for machine, name in TASKS]
    waiting = [(machine, state) for machine, state in states if state["Resource"].endswith(".waitForTaskToken")]
    assert waiting
    for machine, state in waiting:
        assert "$$.Task.Token" in state["Parameters"]["Payload"].values()
        (again,) = [retry for retry in state["Retry"] if retry["ErrorEquals"] == TIMEOUT]
        longest = (again["MaxAttempts"] + 1) * (state["TimeoutSeconds"] + again["MaxDelaySeconds"])
        assert longest < definition(machine)["TimeoutSeconds"]
    assert not any(
        retry["ErrorEquals"] == TIMEOUT for entry in states if entry not in waiting for retry in entry[1]["Retry"]
    )


@pytest.mark.parametrize(
    ("machine", "function", "variable"),
    [
        ("provision_tenant", "ReserveTenantFunction", "LEASE_SECONDS"),
        ("offboard_tenant", "FenceOffTenantFunction", "OFFBOARDING_LEASE_SECONDS"),
        ("rebuild_tenant", "ReserveRebuildFunction", "LEASE_SECONDS"),
    ],
)
def test_a_machine_has_a_timeout_and_the_lease_outlasts_it(machine: str, function: str, variable: str) -> None:
    # Else an execution that is still at work could be overtaken by another one.
    assert environment(function)[variable] >= definition(machine)["TimeoutSeconds"]


MOST_EVENTS = 25_000
"""Source: AWS documentation, Step Functions service quotas: the history of an execution."""


def test_an_execution_that_empties_a_bucket_ends_by_its_timeout_before_its_history_is_full() -> None:
    # What ends by a full history is not reported to anybody; what has timed out is. Each round of Delete Bucket adds
    # seven events: both states are entered and left, and the task scheduled, started and ended. One that is not the
    # last takes the function's time, but for that of a page.
    round_seconds = function_property("DeleteBucketFunction", "Timeout") - FOR_THE_LAST_PAGE.total_seconds()
    timeout = timedelta(seconds=definition("offboard_tenant")["TimeoutSeconds"])
    assert timeout.total_seconds() / round_seconds * 7 < MOST_EVENTS / 2
    # The round comes once a day; what is still there after that and a whole execution is overdue.
    assert timedelta(days=1) + timeout <= OVERDUE_AFTER


def test_a_first_sync_is_waited_for_behind_as_many_others_as_an_account_can_have() -> None:
    first_sync = states_of("provision_tenant")["Run First Sync"]
    (again,) = [retry for retry in first_sync["Retry"] if retry["ErrorEquals"] == TIMEOUT]
    waits = (again["MaxAttempts"] + 1) * first_sync["TimeoutSeconds"]
    interval = template()["Parameters"]["IngestionStartIntervalSeconds"]["Default"]
    assert waits >= 1.5 * interval * max(kind.quota for kind in KnowledgeBaseKind)
    # To ask again costs a transition and an invocation, and is needed only where the ledger has lost who waits.
    assert first_sync["TimeoutSeconds"] >= 3_600


def test_what_is_throttled_is_tried_again_until_as_many_have_had_their_turn_as_an_account_can_have() -> None:
    # Source: AWS documentation, Quotas for Amazon Bedrock: two of CreateKnowledgeBase a second.
    longest = timedelta(seconds=max(kind.quota for kind in KnowledgeBaseKind) / 2)
    for machine, name in TASKS:
        (throttled,) = (retry for retry in states_of(machine)[name]["Retry"] if "Throttled" in retry["ErrorEquals"])
        # Each pause is anything from nothing to its whole length.
        assert throttled["MaxAttempts"] * throttled["MaxDelaySeconds"] / 2 >= longest.total_seconds()


@pytest.mark.parametrize("machine", STATE_MACHINES)
def test_no_execution_waits_longer_than_its_work_takes(machine: str) -> None:
    # One that did would keep the stack from being deleted, and fail where an update renames what it calls.
    assert definition(machine)["TimeoutSeconds"] <= 2 * 86_400


def test_the_stack_takes_as_long_a_retention_period_as_a_request() -> None:
    assert template()["Parameters"]["OffboardingRetentionDays"]["MaxValue"] == MAX_RETENTION_DAYS


def test_a_tenant_is_said_to_be_of_the_version_whose_steps_it_went_through() -> None:
    # An execution goes on by the definition that it began with: only the definition can say what it has converged to.
    payload = states_of("provision_tenant")["Activate Tenant"]["Parameters"]["Payload"]
    assert payload["resources_version"] == f"{RESOURCES_VERSION}/${{ServiceRoles}}/${{StackId}}"
    given = properties(resource_of("provision_tenant"))["DefinitionSubstitutions"]
    assert (given["ServiceRoles"], given["StackId"]) == ({"Ref": "ServiceRoles"}, {"Ref": "AWS::StackId"})


@pytest.mark.parametrize("machine", STATE_MACHINES)
def test_the_results_that_show_which_step_failed_are_those_that_the_steps_leave_in_order(machine: str) -> None:
    states = states_of(machine)
    order, name = {}, definition(machine)["StartAt"]
    while states[name]["Type"] != "Succeed":
        if states[name]["Type"] == "Task":
            order[states[name]["ResultPath"].removeprefix("$.")] = name
        name = states[name].get("Next") or next(choice["Next"] for choice in states[name]["Choices"])
    assert list(order.items()) == list(STEPS[machine].items())


@pytest.mark.parametrize("machine", STATE_MACHINES)
def test_no_result_has_the_name_of_a_field_of_the_input(machine: str) -> None:
    # It would count as done before it has begun.
    assert not set(STEPS[machine]) & set(INPUTS[machine].model_fields)


@pytest.mark.parametrize("machine", STATE_MACHINES)
def test_everything_that_is_left_open_is_filled_in_and_nothing_more(machine: str) -> None:
    wanted = set(re.findall(r"\$\{(\w+)\}", definition_text(machine)))
    given = properties(resource_of(machine))["DefinitionSubstitutions"]
    assert wanted == set(given)
    for name, value in given.items():
        if name.endswith("Arn"):
            assert value == {"Fn::GetAtt": f"{name.removesuffix('Arn')}.Arn"}
        else:
            assert value["Ref"].removeprefix("AWS::") == name


@pytest.mark.parametrize("machine", STATE_MACHINES)
def test_a_machine_may_invoke_its_functions_and_no_other(machine: str) -> None:
    policy = properties(resource_of(machine))["Policies"]
    (invoking,) = (
        statement
        for document in policy
        for statement in document["Statement"]
        if statement["Action"] == "lambda:InvokeFunction"
    )
    given = properties(resource_of(machine))["DefinitionSubstitutions"]
    functions = [value for name, value in given.items() if name.endswith("Arn")]
    assert sorted(map(str, invoking["Resource"])) == sorted(map(str, functions))


@pytest.mark.parametrize(
    ("reserved", "results", "step"),
    [
        (None, {}, "Reserve Rebuild"),
        ({"builds": True}, {}, "Check Capacity"),
        ({"builds": True}, {"capacity": {}, "service_role": {}}, "Ensure Knowledge Store"),
        ({"builds": False, "deleted": False}, {}, "Delete Knowledge"),
        ({"builds": False, "deleted": True}, {}, "Ensure Service Role"),
        ({"builds": False, "deleted": True}, {"service_role": {}}, "Forget Knowledge"),
    ],
)
def test_a_rebuild_that_deletes_says_at_which_of_its_steps_it_has_failed(
    reserved: dict[str, bool] | None, results: dict[str, object], step: str
) -> None:
    data = {"tenant_id": "acme", **({"reserved": reserved} if reserved is not None else {}), **results}
    progress = ExecutionProgress.model_validate({**data, "failure": {"Error": "AccessRefused"}})
    assert progress.failed_step(Workflow.REBUILD_TENANT) == step


def test_a_part_of_a_comparison_has_time_for_its_last_question() -> None:
    assert function_property("CompareKnowledgeFunction", "Timeout") > FOR_THE_LAST_QUESTION.total_seconds() + 20
