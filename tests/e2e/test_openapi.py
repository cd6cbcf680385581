"""The deployed API answers as its own document says: a few requests of each kind; `make prove` sends many more."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import requests

from local import deployment
from local.api_page import PATH
from local.stack.configuration import StackConfiguration
from tests.support.api_trials import ApiUnderTrial, made, trials
from tests.support.template import REPOSITORY

pytestmark = [pytest.mark.local_stack, pytest.mark.timeout(900)]
TENANT = "mokuba"
EXAMPLES = 3


@pytest.fixture(scope="module")
def api(configuration: StackConfiguration, kbfleet: Callable[..., subprocess.CompletedProcess[str]]) -> ApiUnderTrial:
    """With a tenant of its own, because what is tried may also suspend and offboard it."""

    def printed(*command: str) -> Any:
        ran = kbfleet(*command, "--json")
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    known = made(TENANT, printed)
    url = deployment.read_outputs(configuration)["ApiUrl"]
    return ApiUnderTrial(configuration, url, TENANT, known)


def test_it_serves_the_document_that_the_docs_show(api: ApiUnderTrial) -> None:
    assert api.document() == json.loads((REPOSITORY / "docs" / "openapi.json").read_text("utf-8"))


def test_the_page_for_developers_sends_what_it_is_given_and_signs_the_rest(api: ApiUnderTrial) -> None:
    page = f"{api.configuration.aws_url}{PATH}"
    assert requests.get(f"{page}/v1/openapi.json", timeout=10).json() == api.document()
    token = requests.post(f"{page}/token", data={"tenant": TENANT, "user": "mina"}, timeout=10).text
    question = {"question": "What is a mokuba?"}
    asked = requests.post(f"{page}/v1/ask", json=question, headers={"Authorization": f"Bearer {token}"}, timeout=30)
    assert (asked.status_code, asked.json()["freshness"]["pending_changes"]) == (200, False)
    unproved = requests.post(f"{page}/v1/ask", json=question, timeout=30)
    assert (unproved.status_code, unproved.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert requests.get(f"{page}/v1/tenants/{TENANT}", timeout=30).json()["status"] == "ACTIVE"
    listed = requests.get(f"{page}/v1/tenants/{TENANT}/documents?limit=0", timeout=30)
    assert (listed.status_code, listed.json()["field"]) == (400, "limit")


def test_every_operation_answers_as_the_document_says(api: ApiUnderTrial) -> None:
    tried = [trial() for trial in trials(api, examples=EXAMPLES)]
    assert not [trial.failure for trial in tried if trial.failure]
    assert sum(trial.answers.total() for trial in tried) > 2 * len(tried)
    assert {200, 202, 400, 401, 403, 404} <= {status for trial in tried for status in trial.answers}
