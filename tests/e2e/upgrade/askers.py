"""Users who ask all the time, whatever happens to the stack meanwhile."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from local.identity_provider import IdentityProvider
from tests.e2e.runbook.fleet import Fleet


@dataclass
class Asked:
    """How many questions were answered, and what was said to each one that was not."""

    answered: int = 0
    refused: list[str] = field(default_factory=list)


@contextmanager
def asking_all_the_time(fleet: Fleet, tenants: Sequence[str], question: str) -> Iterator[Asked]:
    """One user of each tenant, each of whom asks again as soon as there is an answer."""
    issuer = IdentityProvider.open(fleet.configuration.token_issuer, fleet.configuration.signing_key)
    asked, stop = Asked(), threading.Event()

    def ask(tenant: str) -> None:
        while not stop.is_set():
            token = issuer.mint(tenant)
            request = urllib.request.Request(  # noqa: S310 -- the local AWS
                f"{fleet.outputs['ApiUrl']}/ask",
                json.dumps({"question": question}).encode(),
                {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
            )
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 -- the local AWS
                    answer.read()
                asked.answered += 1
            except urllib.error.HTTPError as refusal:
                asked.refused.append(f"{datetime.now(UTC):%H:%M:%S} {tenant}: {refusal.code} {refusal.read()!r}")
            # The tier's rate is 20 a second here: only so fast that a gap of a second is seen.
            stop.wait(0.2)

    users = [threading.Thread(target=ask, args=[tenant]) for tenant in tenants]
    for user in users:
        user.start()
    try:
        yield asked
    finally:
        stop.set()
        for user in users:
            user.join()
