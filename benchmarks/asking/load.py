"""Many askers of several tenants at once, on the local AWS with the real template: what answers take, and who gets one.

Askers ask again as soon as they have an answer or a refusal, which is ruder than a client that heeds Retry-After.
"""

from __future__ import annotations

import http.client
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import boto3
from rich.table import Table

from benchmarks.report import Measurement
from cli.fleet_api import FleetApi, Refused
from kbfleet.domain.names import TenantId
from kbfleet.domain.tenant_status import TenantStatus
from local import deployment, samples
from local.identity_provider import IdentityProvider
from local.stack import process
from local.stack.configuration import ACCESS_KEY, StackConfiguration, free_port

_SPEED = 300
"""Times as fast as AWS, so that tenants are there soon. Rates are set in real time."""
_OPERATION = "Retrieve"
_EXPECTED = frozenset({HTTPStatus.OK, HTTPStatus.TOO_MANY_REQUESTS})
_NO_ANSWER = 0
_SETTLING_SECONDS = 180.0
_ANSWER_SECONDS = 35.0
_WARM_UP_SECONDS = 5.0

Seen = TypeVar("Seen")


@dataclass(frozen=True)
class Scale:
    """How much load there is. The targets hold for the defaults.

    concurrency: most environments of each function at a time.
    rate: questions a second that Bedrock takes in the limited cases. AWS's default for an account and Region is 20
        (AWS documentation, Amazon Bedrock endpoints and quotas).
    """

    seconds: float = 60.0
    tenants: int = 10
    askers: int = 50
    concurrency: int = 8
    rate: float = 20.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One question.

    status: of HTTP, 0 when nothing came back.
    problem: what came back instead of an answer.
    """

    tenant: str
    status: int
    seconds: float
    problem: str = ""


@dataclass(frozen=True)
class Crowd:
    """What a crowd of askers got.

    askers: of each tenant.
    """

    name: str
    askers: Mapping[str, int]
    asked: Sequence[Asked]
    seconds: float

    @property
    def statuses(self) -> Counter[int]:
        return Counter(one.status for one in self.asked)

    @property
    def answered(self) -> Counter[str]:
        """How many answers each tenant got."""
        return Counter(dict.fromkeys(self.askers, 0) | Counter(one.tenant for one in self.asked if one.status == 200))

    @property
    def milliseconds(self) -> Sequence[float]:
        """What each answer took."""
        return [one.seconds * 1_000 for one in self.asked if one.status == 200]

    @property
    def least_share(self) -> float:
        """The answers of the tenant that got the fewest, as a part of the fair share: all answers by all tenants."""
        return min(self.answered.values()) * len(self.askers) / max(1, self.answered.total())

    @property
    def oddities(self) -> Counter[str]:
        """What came back of the questions that were neither answered nor refused for coming too fast."""
        return Counter(f"{one.status} {one.problem}" for one in self.asked if one.status not in _EXPECTED)


def measure(scale: Scale, said: Callable[[str], None]) -> Sequence[Crowd]:
    """What each crowd got. `said` is called with what is being done."""
    with running_fleet(scale, said) as fleet:
        even = dict.fromkeys(fleet.tenants, scale.askers // scale.tenants)
        loud, *others = fleet.tenants
        uneven = {loud: scale.askers - len(others), **dict.fromkeys(others, 1)}
        fleet.limit(None)
        said("Warming up …")
        fleet.ask("warm-up", even, _WARM_UP_SECONDS)
        crowds = []
        for name, askers, rate in (
            ("no limit", even, None),
            (f"Bedrock takes {scale.rate:g} a second", even, scale.rate),
            (f"the same, {uneven[loud]} askers are of one tenant", uneven, scale.rate),
        ):
            said(f"{scale.askers} askers, {name} …")
            fleet.limit(rate)
            crowds.append(fleet.ask(name, askers, scale.seconds))
        return crowds


def measurements(crowds: Sequence[Crowd]) -> Iterator[Measurement]:
    """What must hold, of what `measure` gave."""
    free, limited, uneven = crowds
    yield Measurement("no limit: neither 200 nor 429", free.oddities.total(), "", 0)
    yield Measurement("limited: neither 200 nor 429", limited.oddities.total(), "", 0)
    yield Measurement("limited: fair share ÷ least share of a tenant", 1 / max(limited.least_share, 1e-9), "×", 2)
    yield Measurement("one tenant asks the most: neither 200 nor 429", uneven.oddities.total(), "", 0)


def table(crowds: Sequence[Crowd]) -> Table:
    """A row for each crowd."""
    shown = Table(title="Questions of many askers at once", title_justify="left")
    shown.add_column("case")
    for heading in ("askers", "answered", "/s", "429", "other", "p50", "p99", "least share", "most"):
        shown.add_column(heading, justify="right")
    for crowd in crowds:
        taken, statuses, fair = crowd.milliseconds, crowd.statuses, crowd.answered.total() / len(crowd.askers)
        shown.add_row(
            crowd.name,
            str(sum(crowd.askers.values())),
            f"{statuses[200]:,}",
            f"{statuses[200] / crowd.seconds:.1f}",
            f"{statuses[429]:,}",
            f"{crowd.oddities.total():,}",
            f"{statistics.median(taken):,.0f} ms",
            f"{statistics.quantiles(taken, n=100)[98]:,.0f} ms",
            f"{crowd.least_share:.2f}",
            f"{max(crowd.answered.values()) / fair:.2f}",
        )
    return shown


class Fleet:
    """A local AWS with tenants that can be asked."""

    def __init__(self, configuration: StackConfiguration, api_url: str, tenants: Sequence[str]) -> None:
        self.tenants = tenants
        self.configuration = configuration
        self._url = urlsplit(f"{api_url}/ask")
        issuer = IdentityProvider.open(configuration.token_issuer, configuration.signing_key)
        self._tokens = {tenant: issuer.mint(tenant, expires_in=24 * 3600) for tenant in tenants}
        self._questions = [one.question for one in samples.questions() if one.tenant == "acme"]

    def limit(self, rate: float | None) -> None:
        """Bedrock takes so many questions in a second of real time from now on, or as many as come."""
        rates = {_OPERATION: None if rate is None else rate / self.configuration.speed}
        request = Request(  # noqa: S310 - our own address
            f"{self.configuration.aws_url}/_emulator/request-rates", json.dumps(rates).encode(), method="PATCH"
        )
        with urlopen(request, timeout=10):  # noqa: S310
            pass

    def ask(self, name: str, askers: Mapping[str, int], seconds: float) -> Crowd:
        """They begin at the same moment, and ask no more after that time; what is asked by then is waited for."""
        start = Barrier(sum(askers.values()))
        with ThreadPoolExecutor(start.parties) as crowd:
            running = [
                crowd.submit(self._keep_asking, tenant, number, seconds, start)
                for tenant, count in askers.items()
                for number in range(count)
            ]
            asked = [one for asker in running for one in asker.result()]
        return Crowd(name, askers, asked, seconds)

    def _keep_asking(self, tenant: str, number: int, seconds: float, start: Barrier) -> list[Asked]:
        asked = []
        questions = cycle(self._questions[number:] + self._questions[:number])
        start.wait()
        end = time.monotonic() + seconds
        connection = self._connection()
        while (began := time.monotonic()) < end:
            try:
                status, problem = self._answer(connection, tenant, next(questions))
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                connection, status, problem = self._connection(), _NO_ANSWER, repr(error)
            asked.append(Asked(tenant, status, time.monotonic() - began, problem))
        connection.close()
        return asked

    def _answer(self, connection: http.client.HTTPConnection, tenant: str, question: str) -> tuple[int, str]:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._tokens[tenant]}"}
        connection.request("POST", self._url.path, json.dumps({"question": question}), headers)
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
        return answer.status, "" if answer.status == HTTPStatus.OK else body

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._url.hostname or "", self._url.port, timeout=_ANSWER_SECONDS)


@contextmanager
def running_fleet(scale: Scale, said: Callable[[str], None]) -> Iterator[Fleet]:
    """Starts a local AWS of its own and makes the tenants; nothing of it is left when the block is left."""
    with TemporaryDirectory() as folder:
        configuration = StackConfiguration(
            state_directory=Path(folder),
            aws_port=free_port(),
            side_port=free_port(),
            speed=_SPEED,
            function_concurrency=scale.concurrency,
        )
        try:
            said("Starting the local AWS …")
            process.start(configuration)
            said("Deploying the template …")
            deployed = deployment.deploy(
                configuration,
                # What the template says: on a local stack it is shortened, as the lifecycles are.
                parameter_overrides={"RegistryCacheSeconds": "15"},
            )
            tenants = [f"tenant-{number}" for number in range(1, scale.tenants + 1)]
            said(f"Making {scale.tenants} tenants …")
            _provision(configuration, deployed.outputs["ApiUrl"], tenants)
            yield Fleet(configuration, deployed.outputs["ApiUrl"], tenants)
        finally:
            process.stop(configuration.state_directory)


def _provision(configuration: StackConfiguration, api_url: str, tenants: Sequence[str]) -> None:
    """Each with the English sample documents, synced."""
    session = boto3.Session(ACCESS_KEY, configuration.secret_key, region_name=configuration.region)
    api, s3 = FleetApi(api_url, session), deployment.client(configuration, "s3")
    for tenant in tenants:
        api.provision(TenantId(tenant), None, None, None)
    for tenant in tenants:
        bucket = _until(partial(_bucket_of_active, api, tenant), f"{tenant} is not active")
        for document in samples.documents("acme"):
            s3.put_object(Bucket=bucket, Key=document.name, Body=document.read_bytes())
        # Not left to the events alone, which come when they come: this says which generation to wait for.
        wanted = api.request_sync(TenantId(tenant)).requested_generation
        _until(partial(_synced, api, tenant, wanted), f"the documents of {tenant} are not synced")


def _bucket_of_active(api: FleetApi, tenant: str) -> str | None:
    try:
        found = api.tenant(TenantId(tenant))
    except Refused as refusal:
        if refusal.status == HTTPStatus.NOT_FOUND:  # its provisioning has not come to Reserve Tenant yet
            return None
        raise
    if found.status is TenantStatus.FAILED:
        raise RuntimeError(f"the provisioning of {tenant} has failed: {found}")
    return found.bucket_name if found.status is TenantStatus.ACTIVE else None


def _synced(api: FleetApi, tenant: str, generation: int) -> bool | None:
    sync = api.tenant(TenantId(tenant)).sync
    return True if sync.requested_generation >= generation and not sync.pending_changes else None


def _until(look: Callable[[], Seen | None], otherwise: str) -> Seen:
    deadline = time.monotonic() + _SETTLING_SECONDS
    while (seen := look()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{otherwise} after {_SETTLING_SECONDS:g} s")
        time.sleep(0.5)
    return seen
