"""`kbfleet stack import`: what an older stack has left is found, and nothing else becomes the new stack."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner, Result

import cli.main
import cli.progress
from cli.fleet_api import FleetUnreachable
from cli.stack_import import MADE_ANEW, StackImport, chosen, retained_resources, template_of
from kbfleet.domain.errors import InvalidInput
from tests.support.template import template

ACCOUNT, REGION = "123456789012", "ap-northeast-1"
VECTOR_BUCKET = f"kbfleet-vectors-{ACCOUNT}-{REGION}"
Record = dict[str, dict[str, str]]


def record(tenant: str, status: str = "ACTIVE", fleet: str = "kbfleet") -> Record:
    return {
        "tenant_id": {"S": tenant},
        "status": {"S": status},
        "bucket_name": {"S": f"{fleet}-{tenant}-0123456789"},
    }


def refused(code: str, message: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


@dataclass
class Account:
    """The AWS of a test, in which an older stack has left something. It is its own session and all clients.

    Args:
        tables: the tenants' records by table.
        indexes: of each table.
        statuses: of the stack, one after the other; the last one stays.
        refusal: why CloudFormation does not take the resources in.
    """

    tables: dict[str, list[Record]] = field(default_factory=dict)
    vector_buckets: set[str] = field(default_factory=set)
    policies: set[tuple[str, str]] = field(default_factory=set)
    collections: dict[str, str] = field(default_factory=dict)
    statuses: list[str] = field(default_factory=list)
    refusal: str = ""
    indexes: tuple[str, ...] = ("SyncQueue", "Tenants", "Overview")
    proposed: dict[str, Any] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    region_name: str = REGION

    @classmethod
    def with_all(cls) -> Account:
        return cls(
            tables={"kbfleet-Table-1A2B3C": [record("acme"), record("gone-co", "OFFBOARDED")]},
            vector_buckets={VECTOR_BUCKET},
            policies={("encryption", "kbfleet-vectors"), ("network", "kbfleet-vectors")},
            collections={"kbfleet-vectors": "abcdefghij"},
        )

    def client(self, _service: str) -> Account:
        return self

    # DynamoDB

    def get_paginator(self, operation: str) -> Any:
        account = self

        class Pages:
            """One record or name a page: nobody may take the first page for all."""

            @staticmethod
            def paginate(**asked: Any) -> list[dict[str, Any]]:
                if operation == "list_tables":
                    return [{"TableNames": [name]} for name in account.tables]
                return [{"Items": [each]} for each in account.tables[asked["TableName"]]]

        return Pages

    def describe_table(self, TableName: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        assert TableName in self.tables
        indexes = [{"IndexName": name} for name in self.indexes]
        return {"Table": {"CreationDateTime": datetime(2026, 3, 14, tzinfo=UTC), "GlobalSecondaryIndexes": indexes}}

    # S3 Vectors, OpenSearch Serverless, STS

    def get_vector_bucket(self, vectorBucketName: str) -> dict[str, Any]:  # noqa: N803 - as above
        if vectorBucketName not in self.vector_buckets:
            raise refused("NotFoundException")
        arn = f"arn:aws:s3vectors:{REGION}:{ACCOUNT}:bucket/{vectorBucketName}"
        return {"vectorBucket": {"vectorBucketArn": arn}}

    def get_security_policy(self, type: str, name: str) -> dict[str, Any]:  # noqa: A002 - as above
        if (type, name) not in self.policies:
            raise refused("ResourceNotFoundException")
        return {"securityPolicyDetail": {"name": name}}

    def batch_get_collection(self, names: list[str]) -> dict[str, Any]:
        found = [{"id": self.collections[name], "status": "ACTIVE"} for name in names if name in self.collections]
        return {"collectionDetails": found}

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": ACCOUNT}

    # CloudFormation

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803 - as above
        if not self.statuses:
            raise refused("ValidationError", f"Stack with id {StackName} does not exist")
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return {"Stacks": [{"StackStatus": status}]}

    def create_change_set(self, **asked: Any) -> None:
        self.proposed = asked
        self.statuses = ["REVIEW_IN_PROGRESS"]

    def describe_change_set(self, **_: str) -> dict[str, str]:
        if self.refusal:
            return {"Status": "FAILED", "ExecutionStatus": "UNAVAILABLE", "StatusReason": self.refusal}
        return {"Status": "CREATE_COMPLETE", "ExecutionStatus": "AVAILABLE"}

    def execute_change_set(self, **_: str) -> None:
        self.statuses = ["IMPORT_IN_PROGRESS", "IMPORT_COMPLETE"]

    def delete_stack(self, StackName: str) -> None:  # noqa: N803 - as above
        self.deleted.append(StackName)


def run(account: Account, monkeypatch: pytest.MonkeyPatch, *options: str) -> Result:
    monkeypatch.setattr("cli.stack_import.boto3.Session", lambda **_: account)
    monkeypatch.setattr(cli.progress, "POLL_SECONDS", 0)
    return CliRunner().invoke(cli.main.app, ["stack", "import", *options])


def test_the_new_stack_is_what_was_kept_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account.with_all()
    result = run(account, monkeypatch)
    assert result.exit_code == 0, result.output
    assert "1 tenant, 1 offboarded" in result.stdout
    assert account.proposed["ChangeSetType"] == "IMPORT"
    named = {each["LogicalResourceId"]: each["ResourceIdentifier"] for each in account.proposed["ResourcesToImport"]}
    assert named == {
        "Table": {"TableName": "kbfleet-Table-1A2B3C"},
        "VectorBucket": {"VectorBucketArn": f"arn:aws:s3vectors:{REGION}:{ACCOUNT}:bucket/{VECTOR_BUCKET}"},
        "CollectionEncryption": {"Type": "encryption", "Name": "kbfleet-vectors"},
        "CollectionNetwork": {"Type": "network", "Name": "kbfleet-vectors"},
        "Collection": {"Id": "abcdefghij"},
    }
    assert json.loads(account.proposed["TemplateBody"])["Resources"].keys() == named.keys()


def test_everything_that_the_template_retains_is_looked_for() -> None:
    found = {each.logical_id for each in StackImport("kbfleet", "kbfleet", Account.with_all()).kept()}  # type: ignore[arg-type]
    assert found == retained_resources().keys()
    kept = {name for name, each in template()["Resources"].items() if "DeletionPolicy" in each}
    assert found == kept - MADE_ANEW
    assert kept > MADE_ANEW


def test_the_template_of_an_import_refers_to_what_is_in_it_only() -> None:
    kept = StackImport("kbfleet", "kbfleet", Account.with_all()).kept()  # type: ignore[arg-type]
    for part in (kept, [each for each in kept if each.logical_id in {"Table", "Collection"}]):
        body = json.loads(template_of(part, "kbfleet"))
        text = json.dumps(body)
        assert "Outputs" not in body  # an import may not add any
        assert set(re.findall(r"\$\{([^}]+)\}", text)) <= {"FleetName", "AWS::AccountId", "AWS::Region"}
        assert not re.search(r'"(Ref|Fn::GetAtt|Fn::If|Condition)"', text)
        needed = {name for each in body["Resources"].values() for name in each.get("DependsOn", [])}
        assert needed <= body["Resources"].keys()


def test_a_table_of_an_older_version_is_taken_in_without_what_it_lacks() -> None:
    """CloudFormation compares what it imports with nothing: the next deployment would take the index for made."""
    account = Account.with_all()
    account.indexes = ("SyncQueue", "Tenants")
    body = json.loads(template_of(StackImport("kbfleet", "kbfleet", account).kept(), "kbfleet"))  # type: ignore[arg-type]
    table, whole = body["Resources"]["Table"]["Properties"], template()["Resources"]["Table"]["Properties"]
    assert [each["IndexName"] for each in table["GlobalSecondaryIndexes"]] == ["SyncQueue", "Tenants"]
    named = {each["AttributeName"] for each in table["AttributeDefinitions"]}
    assert named == {"PK", "SK", "queue", "queue_position", "listed", "tenant_id"}
    account.indexes = ("SyncQueue", "Tenants", "Overview")
    body = json.loads(template_of(StackImport("kbfleet", "kbfleet", account).kept(), "kbfleet"))  # type: ignore[arg-type]
    assert body["Resources"]["Table"]["Properties"] == whole


def test_an_import_that_is_rolled_back_deletes_nothing() -> None:
    """Whether CloudFormation takes an import for what created a resource, is not documented."""
    body = json.loads(template_of(StackImport("kbfleet", "kbfleet", Account.with_all()).kept(), "kbfleet"))  # type: ignore[arg-type]
    assert {each["DeletionPolicy"] for each in body["Resources"].values()} == {"Retain"}


def test_what_is_not_there_is_left_to_the_next_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account(vector_buckets={VECTOR_BUCKET})
    result = run(account, monkeypatch)
    assert result.exit_code == 0, result.output
    assert "No table was left" in result.stdout
    assert [each["LogicalResourceId"] for each in account.proposed["ResourcesToImport"]] == ["VectorBucket"]


def test_where_nothing_was_kept_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account(tables={"kbfleet-staging-Table-1A2B3C": [], "other-Table-1": [], "kbfleet-Table-1-2": []})
    result = run(account, monkeypatch)
    assert (result.exit_code, account.proposed) == (1, {})
    assert "has left nothing" in result.stderr


class TestSeveralTables:
    """Each deployment that failed has left one."""

    @pytest.fixture
    def account(self) -> Account:
        account = Account.with_all()
        account.tables["kbfleet-Table-EMPTY"] = []
        return account

    def test_one_must_be_chosen_by_what_they_hold(self, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        result = run(account, monkeypatch)
        assert (result.exit_code, account.proposed) == (2, {})
        assert "kbfleet-Table-1A2B3C (1 tenant, 1 offboarded" in result.stderr
        assert "kbfleet-Table-EMPTY (0 tenants, 0 offboarded" in result.stderr

    def test_the_chosen_one_is_taken_in(self, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        assert run(account, monkeypatch, "--table", "kbfleet-Table-1A2B3C").exit_code == 0
        assert account.proposed["ResourcesToImport"][0]["ResourceIdentifier"] == {"TableName": "kbfleet-Table-1A2B3C"}

    def test_one_that_was_not_left_is_refused(self, account: Account) -> None:
        anew = StackImport("kbfleet", "kbfleet", account)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="kbfleet-Table-OTHER"):
            chosen(anew.kept("kbfleet-Table-OTHER"), "kbfleet-Table-OTHER")


def test_the_table_of_another_fleet_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account.with_all()
    account.tables["kbfleet-Table-1A2B3C"].append(record("sakura", fleet="kbfprod"))
    result = run(account, monkeypatch)
    assert (result.exit_code, account.proposed) == (2, {})
    assert "kbfprod-sakura" in result.stderr


@pytest.mark.parametrize(
    ("status", "said"),
    [("UPDATE_COMPLETE", "sam delete"), ("ROLLBACK_COMPLETE", "sam delete"), ("IMPORT_COMPLETE", "deploy")],
)
def test_a_stack_that_is_there_is_left_alone(status: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account.with_all()
    account.statuses = [status]
    result = run(account, monkeypatch)
    assert (result.exit_code, account.proposed, account.deleted) == (2, {}, [])
    assert said in result.stderr


def test_a_refused_import_leaves_no_empty_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account.with_all()
    account.refusal = "kbfleet-Table-1A2B3C already exists in stack arn:other"
    result = run(account, monkeypatch)
    assert (result.exit_code, account.deleted) == (1, ["kbfleet"])
    assert "already exists in stack arn:other" in result.stderr


def test_an_import_that_ends_otherwise_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account.with_all()
    monkeypatch.setattr(
        Account, "execute_change_set", lambda self, **_: setattr(self, "statuses", ["IMPORT_ROLLBACK_COMPLETE"])
    )
    result = run(account, monkeypatch)
    assert result.exit_code == 1
    assert "IMPORT_ROLLBACK_COMPLETE" in result.stderr
    assert account.deleted == []


def test_a_permission_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise refused("AccessDeniedException")

    monkeypatch.setattr(Account, "get_security_policy", denied)
    with pytest.raises(FleetUnreachable, match="aoss:GetSecurityPolicy"):
        StackImport("kbfleet", "kbfleet", Account.with_all()).kept()  # type: ignore[arg-type]
