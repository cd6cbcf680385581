"""Documents that cannot be read and whose names try to be something else, in a fleet in virtual time."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bedrock_emulator.account import index_key
from tests.support.tenant_lives import Lives
from tests.support.virtual_fleet import VirtualFleet

ATTACKER, VICTIM = "acme", "beta"
SECRET = "house.md"
"""The victim's document, which the attacker's names point at."""
CANARY = "copper violin ninety"


@dataclass
class HostileDocuments:
    """Two tenants: one whose documents have such names, and one whose document they are after."""

    fleet: VirtualFleet
    store: str

    def __post_init__(self) -> None:
        self.lives = Lives(self.fleet, self.store)
        for tenant_id in (VICTIM, ATTACKER):
            self.lives.provisioned(tenant_id)
        self.lives.upload(VICTIM, SECRET, f"The canary phrase of the house is: {CANARY}.")
        self.lives.sync(VICTIM)

        self.bucket, self.victims_bucket = map(self.lives.bucket, (ATTACKER, VICTIM))

    def fail(self, keys: Sequence[str]) -> dict[str, Any]:
        """Puts unreadable objects there, syncs, and has the failures collected. Returns: the event of that."""
        documents = self.lives.client("s3")
        for key in keys:
            documents.put_object(Bucket=self.bucket, Key=key, Body=b"")
        self.lives.sync(ATTACKER)
        self.lives.collect(ATTACKER)
        (*_, reported) = (event for event in self.fleet.events if event["DetailType"] == "Document Failures Collected")
        assert reported["Detail"]["tenant_id"] == ATTACKER
        return reported

    def change(self, keys: Sequence[str]) -> None:
        """Puts other objects there that cannot be read either: those that are as they were would not be retried."""
        for key in keys:
            self.lives.client("s3").put_object(Bucket=self.bucket, Key=key, Body=b" ")

    def remove(self, keys: Collection[str]) -> None:
        documents = self.lives.client("s3")
        for key in keys:
            documents.delete_object(Bucket=self.bucket, Key=key)
        self.lives.sync(ATTACKER)
        self.lives.collect(ATTACKER)

    def listed(self) -> list[dict[str, Any]]:
        """What `kbfleet documents --failed` shows, all pages."""
        documents: list[dict[str, Any]] = []
        token: str | None = None
        while True:
            page = self.lives.failing(ATTACKER, token)
            documents += page["documents"]
            token = page["next_token"]
            if token is None:
                return documents

    def retried(self) -> dict[str, Any]:
        """`kbfleet sync retry-failed`, to its end."""
        self.lives.api("post_document_retry", ATTACKER)
        self.lives.until(lambda: self.lives.failing(ATTACKER)["retry"]["ended_at"] is not None)
        retry: dict[str, Any] = self.lives.failing(ATTACKER)["retry"]
        return retry

    def foreign(self) -> Iterator[str]:
        """What of the attacker's knowledge base is not from the attacker's bucket: documents, and what they say."""
        account = self.fleet.emulator._account
        names = self.lives.data_source(ATTACKER)
        source = account.data_sources[names["knowledgeBaseId"], names["dataSourceId"]]
        own = f"s3://{self.bucket}/"
        yield from (each.reference for each in source.documents if not each.reference.startswith(own))
        contents = account.contents(index_key(account.knowledge_base(names["knowledgeBaseId"])))
        yield from (chunk.text for chunk in contents.stored()[0] if not chunk.document.reference.startswith(own))

    def said_anywhere(self) -> str:
        """All that was published, for the bus and whoever reads it."""
        return json.dumps(self.fleet.events, ensure_ascii=False, default=str)
