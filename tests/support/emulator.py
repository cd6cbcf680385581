"""The Bedrock emulator in this process, on the test's clock, with its S3 on moto."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.config import Config

from bedrock_emulator import Emulator, ManualClock, Quotas, attach
from tests.support.aws import client as aws_client
from tests.support.clock import START, FakeClock
from tests.support.samples import ACCOUNT, REGION

TITAN = f"arn:aws:bedrock:{REGION}::foundation-model/amazon.titan-embed-text-v2:0"
NOVA = f"arn:aws:bedrock:{REGION}::foundation-model/amazon.nova-lite-v1:0"
VECTOR_BUCKET = "kbfleet-vectors"
LOCATION = "arn:aws:s3:::kbfleet-documents"
SERVICE_ROLE = f"arn:aws:iam::{ACCOUNT}:role/knowledge-base"
"""Every knowledge base assumes it."""


class EmulatedAws:
    """Clients of one emulated account. Request rates are off, except those that are given.

    Args:
        jobs_per_account_error: how the account's sixth ingestion job is refused.
        data_sources: that a knowledge base may have.
    """

    def __init__(
        self,
        *,
        requests_per_second: Mapping[str, float] | None = None,
        jobs_per_account_error: str = "ConflictException",
        data_sources: int = Quotas().data_sources_per_knowledge_base,
    ) -> None:
        self.clock = FakeClock()
        self._emulated = ManualClock(START.timestamp())
        quotas = Quotas(
            requests_per_second=requests_per_second or {},
            jobs_per_account_error=jobs_per_account_error,
            data_sources_per_knowledge_base=data_sources,
            data_sources_per_managed_knowledge_base=data_sources,
        )
        self.emulator = Emulator(
            region=REGION,
            account=ACCOUNT,
            clock=self._emulated,
            quotas=quotas,
            embedder="character",
            client_factory=aws_client,
        )
        self.s3: Any = aws_client("s3")
        self._agent = self.client("bedrock-agent")

    def client(self, service: str) -> Any:
        """A client that makes one attempt, so that a test sees each refusal."""
        once = Config(retries={"total_max_attempts": 1})
        return attach(aws_client(service, config=once), self.emulator)

    def advance(self, seconds: float) -> None:
        """Moves both clocks on, in steps: what the emulator does at one time plans what it does later."""
        while seconds > 0:
            step = min(seconds, 15)
            self.clock.advance(step)
            self._emulated.advance(step)
            self._agent.list_knowledge_bases(maxResults=1)
            seconds -= step
