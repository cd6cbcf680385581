"""The fleet that is tried: its API, its account's services, and its time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cli.dead_letters import DeadLetters
from cli.fleet_api import FleetApi, FleetUnreachable, Refused
from cli.fleet_stack import FleetStack, asking
from cli.verify.facts import FACTS, NotObserved, Observation
from kbfleet.contracts.tenants import TenantBody
from kbfleet.domain.names import TenantId

LOOK_SECONDS = 5.0
"""Between two looks at something that changes by itself."""
_ERROR_CODE = re.compile(r"[A-Z][A-Za-z]{2,63}")
ONCE = Config(retries={"total_max_attempts": 1})
PATIENT = Config(retries={"mode": "standard", "total_max_attempts": 8})
Seen = TypeVar("Seen")


class Late(Exception):
    """What was waited for did not come in time; the message is a clause of ours."""


@dataclass(frozen=True, slots=True)
class AlertsLeft:
    """Alerts that nobody has got.

    Args:
        waiting: for their first attempt, or for another one.
        given_up: after thirty, which take an hour and a half.
    """

    waiting: int
    given_up: int


UNANSWERED = (Late, ClientError, Refused, BotoCoreError, FleetUnreachable)
"""What a call may end with that was to be expected."""


def reason_of(error: Exception) -> str:
    """A clause of ours about one of them. Nothing of AWS's own words is in it."""
    match error:
        case ClientError():
            return f"{error.operation_name} was refused: {code_of(error)}"
        case Refused():
            return f"kbfleet's API refused a request: {_known(error.code)}"
        case BotoCoreError() | FleetUnreachable():
            return f"a call could not be made: {type(error).__name__}"
    return str(error)


@dataclass(frozen=True)
class FleetUnderTest:
    """A deployed fleet as an operator reaches it.

    Args:
        speed: how many times as fast as AWS it lives. Seconds are AWS's everywhere.
    """

    stack: FleetStack
    api: FleetApi
    speed: float = 1.0
    clients: dict[tuple[str, bool], Any] = field(default_factory=dict)

    @property
    def parameters(self) -> Mapping[str, str]:
        return self.stack.parameters

    def client(self, service: str, *, patient: bool = False) -> Any:
        """A boto3 client; one that is not patient makes a single attempt, so that each refusal is seen."""
        if (service, patient) not in self.clients:
            self.clients[service, patient] = self.made(service, PATIENT if patient else ONCE)
        return self.clients[service, patient]

    def made(self, service: str, config: Config) -> Any:
        return self.stack.client(service, config)

    def client_as(self, credentials: Mapping[str, str], service: str) -> Any:
        """With credentials of AssumeRole."""
        session = boto3.Session(
            credentials["AccessKeyId"],
            credentials["SecretAccessKey"],
            credentials["SessionToken"],
            region_name=self.stack.session.region_name,
        )
        return session.client(service, config=ONCE)  # type: ignore[call-overload] # not a literal

    def now(self) -> float:
        """Seconds, from any beginning."""
        return time.monotonic() * self.speed

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self.speed)

    def between(self, began: datetime, ended: datetime) -> float:
        """Seconds between two times that AWS has told."""
        return (ended - began).total_seconds() * self.speed

    def age(self, made: datetime) -> float:
        """Seconds since a time that AWS has told, by the clock here."""
        return self.between(made, datetime.now(UTC))

    def alerts_left(self) -> AlertsLeft:
        """Raises: FleetUnreachable."""
        given_up = sum(each.messages for each in DeadLetters(self.stack).waiting() if each.queue.name == "alerts")
        counted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        with asking("The queue AlertQueue could not be looked at"):
            found = self.client("sqs", patient=True).get_queue_attributes(
                QueueUrl=self.stack.resources["AlertQueue"], AttributeNames=counted
            )
        return AlertsLeft(sum(int(found["Attributes"][name]) for name in counted), given_up)


@dataclass
class Trial:
    """One run: the tenants that it has made, and what it has observed.

    Args:
        tenants: as they were last looked at, by their ids; those of the limits too.
        say: shows how it goes.
    """

    fleet: FleetUnderTest
    say: Callable[[str], None]
    user_token: str | None = None
    tenants: dict[TenantId, TenantBody] = field(default_factory=dict)
    requested: set[TenantId] = field(default_factory=set)
    observed: dict[str, Observation] = field(default_factory=dict)
    took: dict[str, float] = field(default_factory=dict)
    _deadline: float = float("inf")

    def note(self, fact: str, observation: Observation) -> None:
        """Only the first counts: what follows may follow from it. Raises: KeyError when there is no such fact."""
        self.observed.setdefault(FACTS[fact].identity, observation)

    @contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """What waits in here gives up after so many seconds, which are those of whoever waits: a stand-in that lives
        faster is given no less of them. Raises: Late."""
        before = self._deadline
        self._deadline = min(before, self.fleet.now() + seconds * self.fleet.speed)
        try:
            yield
        finally:
            self._deadline = before

    @contextmanager
    def within(self, seconds: float, *facts: str) -> Iterator[None]:
        """The same; those of the facts that could not be observed then say why, and the run goes on."""
        began, reason = self.fleet.now(), "the run did not come to it"
        try:
            with self.limited(seconds):
                yield
        except UNANSWERED as error:
            reason = reason_of(error)
        finally:
            for fact in facts:
                self.note(fact, NotObserved(reason))
                self.took.setdefault(fact, self.fleet.now() - began)

    def until(self, look: Callable[[], Seen | None], what: str, *, every: float = LOOK_SECONDS) -> Seen:
        """Looks again until there is something.

        Raises: Late, at the deadline.
        """
        while (seen := look()) is None:
            self.pause(every, what)
        return seen

    def eventually(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Whether it comes to hold within so many seconds, as in `limited`. Raises: Late, at the deadline."""
        end = self.fleet.now() + seconds * self.fleet.speed
        while not holds():
            if self.fleet.now() + LOOK_SECONDS > end:
                return False
            self.pause(LOOK_SECONDS, "something was not observed")
        return True

    def pause(self, seconds: float, what: str) -> None:
        """Raises: Late when the deadline would be over; `what` is a clause."""
        if self.fleet.now() + seconds > self._deadline:
            raise Late(f"{what} within its time")
        self.fleet.sleep(seconds)

    def look(self, tenant_id: TenantId) -> TenantBody:
        self.tenants[tenant_id] = self.fleet.api.tenant(tenant_id)
        return self.tenants[tenant_id]


def answered(call: Callable[[], object], *texts: str) -> str:
    """What a call is answered: `accepted`, or the class of the error and which of the texts is in it.

    Nothing of AWS's own words is in it.
    """
    try:
        call()
    except ClientError as error:
        message = str(error.response.get("Error", {}).get("Message", ""))
        text = next((text for text in texts if text in message), "another text")
        return f"{code_of(error)}: {text}"
    return "accepted"


def code_of(error: ClientError) -> str:
    """The class of an error of AWS, where it is one."""
    return _known(str(error.response.get("Error", {}).get("Code", "")))


def _known(code: str) -> str:
    return code if _ERROR_CODE.fullmatch(code) else "another error"
