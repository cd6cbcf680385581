"""docs/deploying.md says of the template and the API what is so."""

from __future__ import annotations

import json
import re
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

from kbfleet.openapi.operations import OPERATIONS, Caller
from tests.support.template import REPOSITORY, template

PAGE = (Path(__file__).parents[2] / "docs" / "deploying.md").read_text("utf-8")


def test_an_operator_who_is_permitted_what_the_page_says_may_call_every_operation() -> None:
    statements = json.loads(
        PAGE.partition("## Permissions of an operator")[2].partition("```json")[2].partition("```")[0]
    )
    (invoke,) = [each for each in statements if each["Action"] == "execute-api:Invoke"]
    for operation in OPERATIONS:
        if operation.caller is Caller.TRUSTED:
            path = re.sub(r"\{\w+\}", "x", operation.path)
            arn = f"arn:aws:execute-api:<region>:<account>:<api id>/v1/{operation.method}{path}"
            assert any(fnmatchcase(arn, pattern) for pattern in invoke["Resource"]), arn


def test_everything_that_outlives_the_stack_is_named() -> None:
    kept = [name for name, resource in template()["Resources"].items() if "DeletionPolicy" in resource]
    removing = PAGE.partition("## Removing it")[2]
    assert kept
    assert [name for name in kept if f"`{name}`" not in removing] == []


def test_nobody_is_told_to_retain_by_hand_what_is_retained() -> None:
    named = re.findall(r"--retain-resources (\w+)", PAGE)
    assert [name for name in named if "DeletionPolicy" in template()["Resources"][name]] == []
    assert "DELETE_FAILED" not in PAGE


def test_every_parameter_that_the_page_names_exists() -> None:
    # First columns of tables, what is given a value, and what stands where a parameter would.
    reference = PAGE.partition("## Choosing where incidents are announced")[2].partition("## Limits")[0]
    named = re.findall(r"^\| (`[A-Z][a-z]\w+`(?:, `\w+`)*) \|", reference, re.MULTILINE)
    named += re.findall(r"`([A-Z][a-z]\w+)=\w+`", PAGE) + re.findall(r"`(Token\w+|\w+ModelId|\w+Seconds)`", PAGE)
    parameters = {each for held in named for each in re.findall(r"[A-Z][a-z]\w+", held)}
    assert len(parameters) > 10
    assert parameters - template()["Parameters"].keys() == set()


def test_what_a_first_deployment_asks_for_is_said() -> None:
    asked = [name for name, parameter in template()["Parameters"].items() if "Default" not in parameter]
    deploying = PAGE.partition("## 5. Deploy")[2].partition("##")[0]
    assert [name for name in asked if f"`{name}`" not in deploying] == []


def test_every_environment_acknowledges_what_the_stack_takes() -> None:
    """Else CloudFormation refuses it: roles of its own, and an application within it."""
    config = tomllib.loads((REPOSITORY / "samconfig.toml").read_text("utf-8"))
    deploying = {name: each["deploy"]["parameters"] for name, each in config.items() if name != "version"}
    assert deploying
    for name, parameters in deploying.items():
        assert set(parameters["capabilities"].split()) == {"CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"}, name


def test_no_environment_says_what_a_command_line_would_take_away() -> None:
    """What --parameter-overrides gives takes the place of all of a file's, and the next deployment brings it back."""
    config = tomllib.loads((REPOSITORY / "samconfig.toml").read_text("utf-8"))
    deploying = [each["deploy"]["parameters"] for name, each in config.items() if name != "version"]
    assert [each["parameter_overrides"] for each in deploying if "parameter_overrides" in each] == []


def test_every_alert_channel_and_knowledge_store_is_explained() -> None:
    for parameter in ("AlertChannel", "KnowledgeStore"):
        for value in template()["Parameters"][parameter]["AllowedValues"]:
            assert f"| `{value}`" in PAGE, value
