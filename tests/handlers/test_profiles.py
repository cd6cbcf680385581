"""Profiles over HTTP, and what tenants are given of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from kbfleet.domain.profiles import BY_THE_STACK, Profile, ProfileName
from tests.handlers.conftest import Handler, Logs, event
from tests.support.fleet import Fleet
from tests.support.samples import ACME, tenant
from tests.unit.test_profiles import FULL, PLAIN, saying

Send = Callable[..., tuple[int, dict[str, Any]]]
NAME = ProfileName("office-documents")
SECRET = "written-by-people"
OFFICE = saying("answering.guardrail", None, saying("answering.search_type", None))
OFFICE = replace(saying("ingestion.knowledge_store", "S3_VECTORS", OFFICE), name=NAME, version=1)
"""As FULL, on the store that the stack offers, and without a guardrail."""


@pytest.fixture
def send(fleet: Fleet, handler: Callable[[str], Handler], monkeypatch: pytest.MonkeyPatch) -> Send:
    """Sends a sample request, or one that differs from it; gives status and body."""
    parser = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0"
    reranker = "arn:aws:bedrock:us-east-1::foundation-model/cohere.rerank-v3-5:0"
    monkeypatch.setenv("INGESTION_MODEL_ARNS", f"{parser},{reranker}")

    def to(sample: str, function: str = "admin/profiles", **changes: Any) -> tuple[int, dict[str, Any]]:
        answer = handler(function)({**event(f"triggers/{sample}"), **changes})
        return answer["statusCode"], json.loads(answer["body"])

    return to


def keep(fleet: Fleet, *profiles: Profile) -> None:
    for profile in profiles:
        fleet.profile_records.enlist(profile.name)
        fleet.profile_records.add(profile)


class TestProfiles:
    def test_the_default_is_what_the_parameters_say(self, send: Send) -> None:
        status, body = send("get_profiles")
        assert status == 200
        assert [(each["name"], each["version"]) for each in body["profiles"]] == [("default", 0)]

    def test_one_is_put_shown_listed_and_removed(self, send: Send) -> None:
        status, put = send("put_profile")
        assert (status, put["name"], put["version"]) == (200, "office-documents", 1)
        assert put["ingestion"]["chunking"]["max_tokens"] == 500
        assert send("get_profile") == (200, put)
        assert [each["name"] for each in send("get_profiles")[1]["profiles"]] == ["default", "office-documents"]
        assert send("put_profile")[1]["version"] == 1
        assert send("put_profile", body="{}")[1]["version"] == 2
        status, removed = send("delete_profile")
        assert (status, removed["version"]) == (200, 2)
        assert send("delete_profile")[0] == 404

    def test_everything_that_is_refused_is_told_at_once(self, send: Send, fleet: Fleet) -> None:
        wrong = {"answering": {"passages": 0, "prompt": "x"}, "ingestion": {"chunking": {"kind": "SEMANTIC"}}}
        status, body = send("put_profile", body=json.dumps(wrong))
        assert (status, body["code"]) == (400, "ProfileRefused")
        for field in ("answering.passages", "answering.prompt", "ingestion.chunking.buffer_size"):
            assert field in body["detail"]
        assert fleet.profile_records.newest(NAME) is None
        status, checked = send("post_profile_check", body=json.dumps(wrong))
        assert status == 200
        assert {"answering.passages", "answering.prompt"} <= {each["field"] for each in checked["refusals"]}

    @pytest.mark.parametrize("sample", ["put_profile", "post_profile_check"])
    @pytest.mark.parametrize(
        "described",
        [
            {"ingestion": {"knowledge_store": SECRET}},
            {"ingestion": {"embedding": {"model": SECRET}}},
            {"ingestion": {"parser": {"kind": "FOUNDATION_MODEL", "model": SECRET, "prompt": SECRET}}},
            {"ingestion": {"parser": {"kind": SECRET}}},
            {"answering": {"model": SECRET}},
            {"answering": {"prompt": SECRET}},
            {"answering": {"guardrail": {"id": SECRET, "version": SECRET}}},
            {"answering": {"reranker": {"model": SECRET, "candidates": 9}}},
            {"answering": {"nothing_found": {"english": f"{SECRET}\n", "japanese": f" {SECRET}"}}},
            {"answering": {"passages": 9, "prompt": f"{SECRET} $search_results$"}},
        ],
        ids=json.dumps,
    )
    def test_no_text_of_one_is_logged_whether_it_is_taken_or_refused(
        self, send: Send, logs: Logs, sample: str, described: object
    ) -> None:
        send(sample, body=json.dumps(described))
        assert SECRET not in logs.text

    def test_the_log_says_which_fields_were_refused(self, send: Send, logs: Logs) -> None:
        send("put_profile", body=json.dumps({"answering": {"prompt": SECRET, "passages": 0}}))
        (line,) = logs.lines
        assert (line["error"], line["reason"]) == (
            "ProfileRefused",
            "Refused are answering.passages, answering.prompt.",
        )

    def test_a_check_says_what_changes_and_puts_nothing(self, send: Send, fleet: Fleet) -> None:
        keep(fleet, OFFICE)
        status, checked = send("post_profile_check")
        assert (status, checked["newest"]) == (200, 1)
        effects = {each["field"]: each["effect"] for each in checked["changes"]}
        assert effects["answering.passages"] == "NEXT_QUESTION"
        assert effects["ingestion.chunking.max_tokens"] == "REBUILD"
        assert fleet.profile_records.newest(NAME) == OFFICE

    def test_one_that_a_tenant_uses_is_not_removed(self, send: Send, fleet: Fleet) -> None:
        keep(fleet, OFFICE)
        fleet.registry.create(tenant(profile=OFFICE.reference))
        status, body = send("delete_profile")
        assert (status, body["code"]) == (409, "ProfileInUse")
        assert "acme" in body["detail"]

    @pytest.mark.parametrize("sample", ["get_profile", "put_profile", "delete_profile", "post_profile_check"])
    @pytest.mark.parametrize("name", ["Office", "a", "a" * 33, "office--documents"])
    def test_what_is_no_name_is_refused(self, send: Send, sample: str, name: str) -> None:
        path = event(f"triggers/{sample}")["resource"].format(profile=name)
        status, body = send(sample, pathParameters={"profile": name}, path=path)
        assert (status, body["field"]) == (400, "profile")

    @pytest.mark.parametrize("sample", ["put_profile", "delete_profile"])
    def test_the_default_is_neither_put_nor_removed(self, send: Send, sample: str) -> None:
        status, body = send(sample, pathParameters={"profile": "default"}, path="/profiles/default")
        assert (status, body["field"]) == (400, "profile")

    def test_what_there_is_not_is_not_found(self, send: Send) -> None:
        status, body = send("get_profile")
        assert (status, body["code"]) == (404, "ProfileNotFound")


class TestTenantsByProfiles:
    def put(self, send: Send, **body: object) -> tuple[int, dict[str, Any]]:
        return send("put_tenant", "admin/tenants", body=json.dumps(body))

    def requests(self, fleet: Fleet) -> list[object]:
        return [request.get("profile") for request in fleet.executions.requests.values()]

    def test_a_new_tenant_is_given_the_newest_version(self, send: Send, fleet: Fleet) -> None:
        keep(fleet, OFFICE, replace(OFFICE, version=2))
        assert self.put(send, profile="office-documents")[0] == 202
        assert self.requests(fleet) == [{"name": "office-documents", "version": 2}]

    def test_the_default_can_be_named(self, send: Send, fleet: Fleet) -> None:
        assert self.put(send, profile="default")[0] == 202
        assert self.requests(fleet) == [{"name": "default", "version": 0}]

    @pytest.mark.parametrize("name", ["office-documents", "unheard-of"])
    def test_one_that_there_is_not_or_that_was_removed_starts_nothing(
        self, send: Send, fleet: Fleet, name: str
    ) -> None:
        fleet.profile_records.add(OFFICE)  # and is not listed
        status, body = self.put(send, profile=name)
        assert (status, body["code"]) == (404, "ProfileNotFound")
        assert fleet.executions.requests == {}

    def test_one_for_a_store_that_the_stack_does_not_offer_starts_nothing(self, send: Send, fleet: Fleet) -> None:
        keep(fleet, replace(FULL, name=NAME, version=1))
        status, body = self.put(send, profile="office-documents")
        assert (status, body["code"]) == (400, "ProfileRefused")
        assert "OPENSEARCH_SERVERLESS" in body["detail"]
        assert fleet.executions.requests == {}

    def test_what_the_stack_grants_no_more_is_refused_with_the_old_one_in_force(
        self, send: Send, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keep(fleet, OFFICE)
        fleet.registry.create(tenant())
        monkeypatch.setenv("INGESTION_MODEL_ARNS", "")
        status, body = self.put(send, profile="office-documents")
        assert (status, body["code"]) == (400, "ProfileRefused")
        assert fleet.registry.get(ACME).profile == BY_THE_STACK

    def test_a_rebuild_is_refused_with_the_old_one_in_force(self, send: Send, fleet: Fleet) -> None:
        keep(fleet, OFFICE)
        fleet.registry.create(tenant())
        status, body = self.put(send, profile="office-documents")
        assert (status, body["field"]) == (400, "profile")
        assert "ingestion.chunking.kind" in body["detail"]
        assert fleet.executions.requests == {}

    def test_documents_are_read_again_by_a_rebuild_only(self, send: Send, fleet: Fleet) -> None:
        other = replace(saying("ingestion.parser.prompt", "Read the tables.", OFFICE), version=2)
        keep(fleet, OFFICE, other)
        fleet.registry.create(tenant(profile=OFFICE.reference))
        status, body = self.put(send, profile="office-documents")
        assert (status, body["field"]) == (400, "profile")
        assert "`kbfleet tenant rebuild acme --profile office-documents`" in body["detail"]
        assert fleet.executions.requests == {}

    def test_another_way_of_answering_needs_nobodys_yes(self, send: Send, fleet: Fleet) -> None:
        keep(fleet, replace(PLAIN, name=NAME, version=1, answering=replace(PLAIN.answering, passages=9)))
        fleet.registry.create(tenant())
        assert self.put(send, profile="office-documents")[0] == 202
        status, shown = send("get_tenant", "admin/tenants")
        assert (status, shown["profile"], shown["profile_version"]) == (200, "default", 0)
