"""One name from state to file: whoever knows the state in the console knows where its code is."""

from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path
from types import ModuleType

import pytest

from kbfleet.usecases import offboarding, provisioning, rebuilding
from tests.support.template import REPOSITORY, STATE_MACHINES, definition, handler, handler_place, resources

# Where a state's code is: in the folder and the module of what the state machine does. All end in Mark Tenant Failed.
HOMES = {"provision_tenant": provisioning, "offboard_tenant": offboarding, "rebuild_tenant": rebuilding}
TASKS = [
    (machine, name)
    for machine in STATE_MACHINES
    for name, state in definition(machine)["States"].items()
    if state["Type"] == "Task"
]
# What makes a knowledge is the same for the first and for a candidate.
SHARED = dict.fromkeys(
    (
        "Check Capacity",
        "Ensure Service Role",
        "Ensure Knowledge Store",
        "Ensure Knowledge Base",
        "Narrow Service Role",
        "Ensure Data Source",
        "Mark Tenant Failed",
    ),
    provisioning,
)
FUNCTIONS = resources("AWS::Serverless::Function")


def snake_case(state: str) -> str:
    return state.lower().replace(" ", "_")


def camel_case(snake: str) -> str:
    return "".join(word.title() for word in snake.split("_"))


def home(machine: str, state: str) -> ModuleType:
    return SHARED.get(state, HOMES[machine])


def test_every_state_machine_has_a_home() -> None:
    assert set(HOMES) == set(STATE_MACHINES)


@pytest.mark.parametrize(("machine", "state"), TASKS)
class TestEveryTask:
    def test_invokes_the_function_of_its_name(self, machine: str, state: str) -> None:
        function = f"{camel_case(snake_case(state))}Function"
        parameters = definition(machine)["States"][state]["Parameters"]
        assert parameters["FunctionName"] == f"${{{function}Arn}}"
        assert function in FUNCTIONS

    def test_has_a_handler_of_its_name_among_the_steps(self, machine: str, state: str) -> None:
        function = f"{camel_case(snake_case(state))}Function"
        folder = home(machine, state).__name__.rsplit(".", 1)[-1]
        assert handler_place(function) == (f"functions/{folder}/steps", snake_case(state))
        assert (handler(function).__doc__ or "").startswith(f'State "{state}":')

    def test_has_a_use_case_of_its_name(self, machine: str, state: str) -> None:
        assert inspect.isfunction(getattr(home(machine, state), snake_case(state)))

    def test_has_a_sample_payload_of_its_name_with_the_fields_that_it_is_sent(self, machine: str, state: str) -> None:
        sample = json.loads((REPOSITORY / "events" / "steps" / f"{snake_case(state)}.json").read_text("utf-8"))
        sent = definition(machine)["States"][state]["Parameters"]["Payload"]
        assert set(sample) == {name.removesuffix(".$") for name in sent}


@pytest.mark.parametrize("machine", STATE_MACHINES)
def test_the_steps_of_a_state_machine_are_in_the_order_of_its_states(machine: str) -> None:
    folder = HOMES[machine].__name__.rsplit(".", 1)[-1]
    tree = ast.parse((REPOSITORY / "functions" / folder / "steps.py").read_text("utf-8"))
    steps = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    own = [snake_case(state) for of, state in TASKS if of == machine and home(of, state) is HOMES[machine]]
    assert steps == own


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_is_named_after_its_trigger_or_its_state(function: str) -> None:
    module, name = handler_place(function)
    assert function == f"{camel_case(module.rsplit('/', 1)[-1] if name == 'handler' else name)}Function"


def test_every_module_has_a_function() -> None:
    modules = {path.relative_to(REPOSITORY) for path in (REPOSITORY / "functions").rglob("*.py")}
    assert modules == {Path(f"{handler_place(function)[0]}.py") for function in FUNCTIONS}


def test_every_sample_payload_of_a_step_belongs_to_a_state() -> None:
    samples = {path.stem for path in (REPOSITORY / "events" / "steps").glob("*.json")}
    assert samples == {snake_case(state) for _, state in TASKS}
