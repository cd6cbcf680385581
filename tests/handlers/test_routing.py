"""What API Gateway has found, and IAM has allowed, is what runs, in every function of the API."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from kbfleet.domain.tenant_status import TenantStatus
from kbfleet.openapi.operations import OPERATIONS, Operation
from tests.handlers.conftest import EVENTS, Handler
from tests.support.api_requests import queried
from tests.support.fakes import ScriptedAnswerer
from tests.support.fleet import Fleet
from tests.support.samples import ACME, tenant
from tests.support.template import resources

Answer = tuple[int, dict[str, Any]]
Send = Callable[..., Answer]
SAMPLES = {
    (sample["httpMethod"], sample["resource"]): sample
    for sample in (json.loads(path.read_text("utf-8")) for path in sorted((EVENTS / "triggers").glob("*.json")))
    if "httpMethod" in sample
}
OF_A_TENANT = [each for each in OPERATIONS if each.of_a_tenant]


def function_of(operation: Operation) -> str:
    """Its path below `functions/`."""
    for made in resources("AWS::Serverless::Function").values():
        for each in made["Properties"].get("Events", {}).values():
            found = each["Properties"]
            if each["Type"] == "Api" and (found["Method"], found["Path"]) == (operation.method, operation.path):
                folder = made["Properties"]["CodeUri"].removeprefix("functions/").strip("/")
                return f"{folder}/{made['Properties']['Handler'].removesuffix('.handler')}"
    raise LookupError(operation.path)


@pytest.fixture
def send(
    fleet: Fleet, handler: Callable[[str], Handler], answerer: Callable[..., ScriptedAnswerer]
) -> Callable[..., Answer]:
    """Sends the sample request of an operation, with changes; gives status and body."""
    answerer()

    def to(operation: Operation, **changes: Any) -> Answer:
        request = {**SAMPLES[operation.method, operation.path], **changes}
        answer = handler(function_of(operation))(request)
        return answer["statusCode"], json.loads(answer["body"])

    return to


def named(name: str) -> Operation:
    return next(each for each in OPERATIONS if each.name == name)


def for_tenant(operation: Operation, *, sent: str, given: str) -> dict[str, Any]:
    """A request whose path was sent with that in the tenant's place, which API Gateway gives as a parameter."""
    sample = SAMPLES[operation.method, operation.path]
    return {
        "path": sample["path"].replace("/acme", f"/{sent}"),
        "pathParameters": {**sample["pathParameters"], "tenant_id": given},
    }


@pytest.mark.parametrize("given", ["acme%2Fsuspension", "acme/suspension"])
@pytest.mark.parametrize("path", ["acme%2Fsuspension", "acme/suspension"])
def test_a_slash_that_is_encoded_makes_no_other_operation(send: Send, fleet: Fleet, path: str, given: str) -> None:
    """However much of it API Gateway decodes."""
    fleet.registry.create(tenant(status=TenantStatus.SUSPENDED))
    operation = named("delete_tenant")
    status, _ = send(operation, **for_tenant(operation, sent=path, given=given))
    assert status in (400, 404)
    assert fleet.registry.get(ACME).status is TenantStatus.SUSPENDED
    assert fleet.offboarding_executions.requests == {}


NOT_ACME = {
    "a line feed": ("acme%0a", "acme\n"),
    "a line feed, undecoded": ("acme%0a", "acme%0a"),
    "a line feed, in a decoded path": ("acme\n", "acme\n"),
    "an encoded letter": ("%61cme", "acme"),
    "an encoded letter, undecoded": ("%61cme", "%61cme"),
    "an encoded twice letter": ("%2561cme", "%61cme"),
    "a space": ("acme%20", "acme "),
    "a null": ("acme%00", "acme\x00"),
    "a fragment of its own": ("acme;x=1", "acme;x=1"),
    "upper case": ("ACME", "ACME"),
    "full width": ("%EF%BD%81cme", "ａcme"),
    "a parent": ("sakura%2F..%2Facme", "sakura/../acme"),
    "a format field": ("{tenant_id}", "{tenant_id}"),
    "a dot": ("acme.", "acme."),
    "nothing": ("", ""),
}


@pytest.mark.parametrize("operation", OF_A_TENANT, ids=lambda each: each.name)
@pytest.mark.parametrize(("sent", "given"), NOT_ACME.values(), ids=NOT_ACME.keys())
def test_a_tenant_has_one_spelling(send: Send, fleet: Fleet, operation: Operation, sent: str, given: str) -> None:
    fleet.registry.create(tenant())
    before = fleet.registry.get(ACME)
    status, body = send(operation, **for_tenant(operation, sent=sent, given=given))
    assert status in (400, 404)
    assert body.get("field", "tenant_id") == "tenant_id"
    assert fleet.registry.get(ACME) == before
    assert fleet.executions.requests == fleet.offboarding_executions.requests == {}


@pytest.mark.parametrize("name", ["get_provisioning", "get_job"])
def test_the_other_parameters_have_one_spelling_too(send: Send, fleet: Fleet, name: str) -> None:
    fleet.registry.create(tenant())
    operation = named(name)
    sample = SAMPLES[operation.method, operation.path]
    last = sample["path"].rsplit("/", 1)[-1]
    parameter = "execution" if name == "get_provisioning" else "job"
    given = {**sample["pathParameters"], parameter: f"{last}\n"}
    assert send(operation, path=f"{sample['path']}%0A", pathParameters=given)[0] == 404


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
class TestTheRouteIsApiGateways:
    def test_not_the_paths(self, send: Send, operation: Operation) -> None:
        assert send(operation, path="/tenants/acme/nowhere")[0] == 404

    def test_not_another_methods(self, send: Send, operation: Operation) -> None:
        assert send(operation, httpMethod="PATCH")[0] == 404

    def test_a_slash_too_many_is_another_path(self, send: Send, operation: Operation) -> None:
        sample = SAMPLES[operation.method, operation.path]
        assert send(operation, path=f"{sample['path']}/")[0] == 404
        if operation.of_a_tenant:
            assert send(operation, path=sample["path"].replace("/acme", "//acme"))[0] == 404

    def test_a_domain_name_of_ones_own_may_put_a_base_path_in_front(self, send: Send, operation: Operation) -> None:
        sample = SAMPLES[operation.method, operation.path]
        status, body = send(operation, path=f"/knowledge{sample['path']}")
        assert (status, body.get("detail")) != (404, "No such path.")


class TestTheQuery:
    @pytest.mark.parametrize("values", [["30", "x"], ["x", "30"], ["30", "30"], ["0", "300"]])
    def test_a_parameter_that_is_given_twice_is_refused(self, send: Send, fleet: Fleet, values: list[str]) -> None:
        fleet.registry.create(tenant())
        status, body = send(named("delete_tenant"), **queried(retention_days=values))
        assert (status, body["field"]) == (400, "retention_days")
        assert fleet.offboarding_executions.requests == {}

    @pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.query], ids=lambda each: each.name)
    def test_so_it_is_by_every_operation_that_takes_one(self, send: Send, operation: Operation) -> None:
        assert operation.query is not None
        name = next(iter(operation.query.model_fields))
        status, body = send(operation, **queried(**{name: ["1", "1"]}))
        assert (status, body["field"]) == (400, name)

    @pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
    def test_one_that_an_operation_does_not_know_is_refused(
        self, send: Send, fleet: Fleet, operation: Operation
    ) -> None:
        fleet.registry.create(tenant())
        before = fleet.registry.get(ACME)
        sample = SAMPLES[operation.method, operation.path]
        known = sample["multiValueQueryStringParameters"] or {}
        status, body = send(operation, **queried(**known, dry_run=["true"]))
        assert (status, body["field"]) == (400, "dry_run")
        assert fleet.registry.get(ACME) == before
