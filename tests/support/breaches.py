"""What should not be within a tenant's reach, put there; and how that is asked for, found and reported."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import kbfleet.bootstrap
from tests.support.data_source_configurations import as_sent
from tests.support.document_changes import sqs_batch
from tests.support.tenant_lives import Lives, sample
from tests.support.virtual_fleet import VirtualFleet


def add_in_console(lives: Lives, tenant_id: str = "alpha", reading: str = "beta", **changes: Any) -> str:
    """Returns: the id of the new data source, which has been synced."""
    agent = lives.client("bedrock-agent")
    model = agent.get_data_source(**lives.data_source(reading))["dataSource"]
    made = agent.create_data_source(
        **lives.knowledge_base(tenant_id),
        name="quick-test",
        dataSourceConfiguration=as_sent(model["dataSourceConfiguration"]),
        **changes,
    )["dataSource"]["dataSourceId"]
    ids = lives.knowledge_base(tenant_id) | {"dataSourceId": made}
    lives.until(lambda: agent.get_data_source(**ids)["dataSource"]["status"] == "AVAILABLE")
    lives.fleet.timeline.run_for(10)
    agent.start_ingestion_job(**ids)
    lives.fleet.timeline.run_for(600)
    return str(made)


def data_sources(lives: Lives, tenant_id: str = "alpha") -> list[str]:
    listed = lives.client("bedrock-agent").list_data_sources(**lives.knowledge_base(tenant_id))
    return [each["dataSourceId"] for each in listed["dataSourceSummaries"]]


def ask(lives: Lives, question: str, tenant_id: str = "alpha", **further: Any) -> dict[str, Any]:
    body = json.dumps({"question": question, **further})
    answer = lives.fleet.invoke("AskFunction", sample("ask", tenant_id) | {"body": body})
    return {"status": answer["statusCode"], **json.loads(answer["body"])}


def reconcile(lives: Lives, tenant_id: str = "alpha") -> dict[str, Any]:
    event = sample("post_reconciliation", tenant_id) | {"body": "{}"}
    body: dict[str, Any] = json.loads(lives.fleet.invoke("ReconcileFunction", event)["body"])
    return body


def foreign(report: dict[str, Any]) -> list[str]:
    return [found["name"] for found in report["findings"] if found["disagreement"] == "FOREIGN"]


def notify(fleet: VirtualFleet) -> None:
    """The bus delivers all that was published about isolation to the notifier, as often as before and once more."""
    reported = [event for event in fleet.events if event["DetailType"].startswith("Isolation ")]
    bodies = [json.dumps({"detail-type": event["DetailType"], "detail": event["Detail"]}) for event in reported]
    for first in range(0, len(bodies), 10):
        assert not fleet.invoke("SendAlertFunction", sqs_batch(bodies[first : first + 10]))["batchItemFailures"]


def point(lives: Lives, tenant_id: str, *, at: str, name: str = "documents") -> None:
    """The tenant's own data source is made to read another's bucket."""
    agent = lives.client("bedrock-agent")
    model = as_sent(agent.get_data_source(**lives.data_source(at))["dataSource"]["dataSourceConfiguration"])
    agent.update_data_source(
        **lives.data_source(tenant_id),
        name=name,
        dataSourceConfiguration=model,
        dataDeletionPolicy="DELETE",
    )
    lives.until(lambda: agent.get_data_source(**lives.data_source(tenant_id))["dataSource"]["status"] == "AVAILABLE")


def exchange(fleet: VirtualFleet, one: str = "alpha", other: str = "beta") -> None:
    """The records of two tenants name each other's knowledge base, data source and bucket."""
    registry = kbfleet.bootstrap.registry()
    first, second = fleet.tenant(one), fleet.tenant(other)
    assert first is not None
    assert second is not None
    for record, exchanged_with in ((first, second), (second, first)):
        exchanged = replace(
            record,
            knowledge_base_id=exchanged_with.knowledge_base_id,
            data_source_id=exchanged_with.data_source_id,
            bucket_name=exchanged_with.bucket_name,
        )
        registry.replace(exchanged, fence=record.fence)
