"""The deployed API answers as its own document says: a few requests of each kind; `make prove` sends many more."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from local import deployment
from local.stack.configuration import StackConfiguration
from tests.support.api_trials import ApiUnderTrial, trials
from tests.support.template import REPOSITORY

pytestmark = [pytest.mark.local_stack, pytest.mark.timeout(300)]
TENANT = "mokuba"
EXAMPLES = 3


@pytest.fixture(scope="module")
def api(configuration: StackConfiguration, kbfleet: Callable[..., subprocess.CompletedProcess[str]]) -> ApiUnderTrial:
    """With a tenant of its own, because what is tried may also suspend and offboard it."""
    provisioned = kbfleet("provision", TENANT, "--json")
    assert provisioned.returncode == 0, provisioned.stderr
    execution = json.loads(provisioned.stdout)["execution"]
    url = deployment.read_outputs(configuration)["ApiUrl"]
    return ApiUnderTrial(configuration, url, TENANT, {"tenant_id": [TENANT], "execution": [execution]})


def test_it_serves_the_document_that_the_docs_show(api: ApiUnderTrial) -> None:
    assert api.document() == json.loads((REPOSITORY / "docs" / "openapi.json").read_text("utf-8"))


def test_every_operation_answers_as_the_document_says(api: ApiUnderTrial) -> None:
    tried = [trial() for trial in trials(api, examples=EXAMPLES)]
    assert not [trial.failure for trial in tried if trial.failure]
    assert sum(trial.answers.total() for trial in tried) > 3 * len(tried)
    assert {200, 202, 400, 401, 403, 404} <= {status for trial in tried for status in trial.answers}
