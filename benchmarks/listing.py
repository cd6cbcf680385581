"""A tenant's list of documents, page by page, on a local AWS: what somebody waits for who opens a page of it.

API Gateway, the function behind it, S3, DynamoDB and Bedrock are processes of the same machine, with neither a network
nor TLS; seconds on AWS are others. Nothing was synced: so no page is settled by the ledger alone, and each asks Bedrock
as often as one may.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import boto3

from benchmarks.asking.load import Fleet, running_fleet
from benchmarks.asking.load import Scale as FleetScale
from benchmarks.report import Measurement
from cli.fleet_api import FleetApi
from kbfleet.domain.names import TenantId
from local import deployment
from local.stack.configuration import ACCESS_KEY

_SECONDS = 1.0
"""For a page, at most."""
_PUTS_AT_ONCE = 8


@dataclass(frozen=True)
class Scale:
    documents: int = 10_000


def measure(scale: Scale, said: Callable[[str], None]) -> list[Measurement]:
    """Raises: Refused, FleetUnreachable."""
    with running_fleet(FleetScale(tenants=1), said) as fleet:
        tenant = TenantId(fleet.tenants[0])
        session = boto3.Session(ACCESS_KEY, fleet.configuration.secret_key, region_name=fleet.configuration.region)
        api = FleetApi(deployment.read_outputs(fleet.configuration)["ApiUrl"], session)
        api.suspend(tenant)  # or its syncs would take the machine
        said(f"Putting {scale.documents:,} documents …")
        _put(fleet, str(api.tenant(tenant).bucket_name), scale.documents)
        said("Reading the list …")
        pages = [time.monotonic()]
        listed = api.documents(tenant, read=lambda _: pages.append(time.monotonic())).documents
    if len(listed) < scale.documents:
        raise RuntimeError(f"{len(listed):,} documents are listed of {scale.documents:,}")
    seconds = sorted(after - before for before, after in pairwise(pages))
    of = f"of the list of {len(listed):,} documents"
    return [
        Measurement(f"a page of 100 {of}, median of {len(seconds):,}", statistics.median(seconds), "s", _SECONDS),
        Measurement("the slowest of them, with the function's start", seconds[-1], "s"),
        Measurement("the whole list", sum(seconds), "s"),
    ]


def _put(fleet: Fleet, bucket: str, number: int) -> None:
    s3 = deployment.client(fleet.configuration, "s3")
    with ThreadPoolExecutor(_PUTS_AT_ONCE) as threads:
        puts = [
            threads.submit(s3.put_object, Bucket=bucket, Key=f"handbook/page {each:05}.md", Body=b"# A page")
            for each in range(number)
        ]
        for put in puts:
            put.result()
