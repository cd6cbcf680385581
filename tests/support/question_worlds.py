"""A fleet in virtual time whose tenant has golden questions: documents are really read and searched, questions are
asked by the product after each ingestion, and what people are told is what Slack gets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bedrock_emulator import Quotas
from kbfleet.domain.question_runs import FIRST
from local import samples
from local.slack_sink import message_as_text
from tests.support.aws_calls import Answered
from tests.support.document_changes import sqs_batch
from tests.support.http_server import Reply, ScriptedServer, serving
from tests.support.state_machine import TaskFailed
from tests.support.tenant_lives import Lives
from tests.support.virtual_fleet import (
    AN_HOUR,
    RARE_SCHEDULE_SECONDS,
    RARE_TICKS,
    VirtualFleet,
    as_delivered,
    virtual_fleet,
)

TENANT, NEIGHBOUR = "acme", "beta"
STORE = "S3_VECTORS"
QUESTIONS: Mapping[str, str] = {
    "How often can I work from home?": "employee-handbook.md",
    "What does the employer put into my pension?": "employee-handbook.md",
    "What does it cost to buy a Heron chair?": "price-list.csv",
    "What is the yearly fee of the Trail Club?": "faq.html",
    "Which production batch of the double-burner stove leaks?": "Operations meeting 2026-03-12.md",
    "For how many months is a new tent guaranteed?": "warranty-policy.md",
    "How long does the workshop take to repair something?": "warranty-policy.md",
    "What is the most I can spend on a hotel room in London?": "expenses-policy.txt",
    "How small does the Ridgeway 5 get when it is packed?": "ridgeway-tent-manual.pdf",
    "What is the minimum length of a passphrase?": "security-policy.html",
    "What is the latest day to order for Christmas with ordinary delivery?": "delivery-calendar-2026.txt",
    "How old do I have to be to rent a kayak?": "rental-terms.pdf",
}
"""Of the sample documents of acme, and the document that is expected. All of them are found."""
NEVER_FOUND = ("When is payday?", "employee-handbook.md")
"""A question that has never passed: nothing is ever told of it."""
_AFTER_ANY_CHANGE = 2 * AN_HOUR
"""Longer than what may have been ingested behind a run lies before it."""
_ASKED_WITHIN = 1_200
"""Seconds: a run on demand, and one that was waiting already."""
A_ROUND = 26 * AN_HOUR
"""Within which every question is asked although nothing was ingested."""
QUIET = 2 * AN_HOUR
"""In which whatever is told twice would be told again."""
_TITLE = re.compile(rf"{TENANT}: (\d+) of (\d+) questions no longer finds? (?:its|their) document")
_PARAMETERS = RARE_TICKS | {"SyncEveryHours": "0"}


@dataclass
class QuestionWorld:
    """
    Args:
        ids: of the questions, by their texts.
        slack: what people are told; nobody is told anything outside of `told`.
    """

    fleet: VirtualFleet
    ids: dict[str, str] = field(default_factory=dict)
    slack: ScriptedServer | None = None

    def __post_init__(self) -> None:
        self.lives = Lives(self.fleet, STORE)

    # --- acting ---

    def put(self, key: str, body: bytes) -> None:
        self.fleet.client("s3").put_object(Bucket=self.bucket, Key=key, Body=body)

    def remove(self, key: str) -> None:
        self.fleet.client("s3").delete_object(Bucket=self.bucket, Key=key)

    def settle(self) -> None:
        """Until what was changed is ingested."""
        self.fleet.settle(TENANT)

    def asked(self) -> None:
        """Somebody has the questions asked."""
        self.lives.api("post_question_run", TENANT, body="{}")
        self.fleet.timeline.run_for(_ASKED_WITHIN)

    # --- looking ---

    @property
    def bucket(self) -> str:
        return self.lives.bucket(TENANT)

    @property
    def said(self) -> list[str]:
        """The messages of Slack, as people read them."""
        return [message_as_text(json.loads(body)) for body in (self.slack.bodies if self.slack else ())]

    def runs(self) -> Sequence[Mapping[str, Any]]:
        """The newest first."""
        shown: Sequence[Mapping[str, Any]] = self.lives.api("get_question_runs", TENANT)["runs"]
        return shown

    def lost(self, least_score: float = 0.0) -> set[str]:
        """Ids of questions whose document is not among the first five passages, by Bedrock's own answer. Args:
        least_score: passages below it do not count."""
        found = self.fleet.client("bedrock-agent-runtime")
        prefix = f"s3://{self.bucket}/"
        lost = set()
        for text, key in QUESTIONS.items():
            results = found.retrieve(
                **self.lives.knowledge_base(TENANT),
                retrievalQuery={"text": text},
                retrievalConfiguration={"vectorSearchConfiguration": {"numberOfResults": FIRST}},
            )["retrievalResults"]
            near = {each["location"]["s3Location"]["uri"] for each in results if each["score"] >= least_score}
            if f"{prefix}{key}" not in near:
                lost.add(self.ids[text])
        return lost

    def until(self, reached: Callable[[], bool], within: float) -> None:
        self.fleet.timeline.run_until(reached, within=within)

    @contextmanager
    def told(self) -> Iterator[None]:
        """While this lasts, all that questions come to is brought to the notifier, each event twice, as a queue may."""
        with serving(Reply(200)) as self.slack:
            secret = self.fleet.deployment.value({"Fn::GetAtt": "SlackWebhookSecret.Id"})
            self.fleet.client("secretsmanager").put_secret_value(SecretId=secret, SecretString=self.slack.url)
            self.fleet.calls.observers.append(self._deliver)
            try:
                yield
            finally:
                self.fleet.calls.observers.remove(self._deliver)
                self.slack = None

    def _deliver(self, answered: Answered) -> None:
        if answered.call.operation != "PutEvents":
            return
        for entry in answered.parameters["Entries"]:
            event = {**entry, "Detail": json.loads(entry["Detail"])}
            if any(self.fleet.matches(rule, event) for rule in ("TenantDiagnosedRule", "IsolationRule")):
                for _ in range(2):
                    self.fleet.timeline.spawn("alert queue", partial(self._notify, as_delivered(event)))

    def _notify(self, body: str) -> None:
        while True:
            try:
                if not self.fleet.functions("SendAlertFunction", sqs_batch([body]))["batchItemFailures"]:
                    return
            except TaskFailed:
                pass
            self.fleet.timeline.sleep(_NOTIFIED_AGAIN)


_NOTIFIED_AGAIN = 60.0


@contextmanager
def question_world() -> Iterator[QuestionWorld]:
    """A tenant with documents and questions that are known to pass, at rest; and a neighbour with a document."""
    with virtual_fleet(
        parameters=_PARAMETERS,
        safety_net_seconds=3 * RARE_SCHEDULE_SECONDS,
        quotas=Quotas(requests_per_second={}),
        late_event_seconds=0.0,
        sync_schedule_seconds=AN_HOUR * 100,
        first_documents=False,
        questions_are_asked=True,
    ) as fleet:
        secret = fleet.deployment.value({"Fn::GetAtt": "SlackWebhookSecret.Id"})
        fleet.client("secretsmanager").create_secret(Name=secret, SecretString="https://example.com/nobody")
        world = QuestionWorld(fleet)
        for tenant_id in (TENANT, NEIGHBOUR):
            world.lives.provisioned(tenant_id)
        for path in documents():
            world.put(path.name, path.read_bytes())
        world.lives.upload(NEIGHBOUR, "guarantee.md", "A new tent is guaranteed for twelve months, and not one more.")
        fleet.settle(TENANT, NEIGHBOUR)
        expected = [*QUESTIONS.items(), NEVER_FOUND]
        wanted = [{"user_input": text, "reference_context_ids": [key]} for text, key in expected]
        added = world.lives.api("post_questions", TENANT, body=json.dumps({"questions": wanted}))["questions"]
        world.ids = {each["user_input"]: each["id"] for each in added}
        fleet.timeline.run_for(_AFTER_ANY_CHANGE)
        for _ in range(2):
            world.asked()
        last = world.runs()[0]
        failed = {verdict["id"] for verdict in last["verdicts"] if verdict["judgement"] != "PASSED"}
        assert failed == {world.ids[NEVER_FOUND[0]]}, last
        assert not world.lost()
        fleet.rest()
        yield world


def documents() -> list[Any]:
    """Those of acme, and some of other companies beside them."""
    return [*samples.documents(TENANT), *(path for path in samples.distractors() if path.parent.name == "en")]


@dataclass(frozen=True)
class Told:
    """A message about questions. Args: over: whether it says that nothing is wrong any more."""

    text: str
    over: bool

    @property
    def numbers(self) -> tuple[int, int]:
        """How many questions it is about, of how many."""
        found = _TITLE.search(self.text)
        assert found is not None, self.text
        return int(found[1]), int(found[2])

    @property
    def ids(self) -> set[str]:
        return set(re.findall(r"\bq[0-9a-z]{4,20}\b", next(self._lines("Questions"))))

    @property
    def documents(self) -> set[str]:
        """That are said to have changed."""
        _, _, behind = self.text.partition("These documents have changed since an hour before they passed last.")
        listed = behind.partition("To repair it")[0].splitlines()
        return {line.strip() for line in listed if line.strip()}

    @property
    def says_the_sync(self) -> bool:
        return "the sync that ended then" in self.text

    def _lines(self, fact: str) -> Iterator[str]:
        return (line for line in self.text.splitlines() if fact in line and not _TITLE.search(line))


def told_of_questions(said: Sequence[str]) -> list[Told]:
    found = (text for text in said if _TITLE.search(text))
    return [Told(text, text.lstrip().startswith("🟢")) for text in found]
