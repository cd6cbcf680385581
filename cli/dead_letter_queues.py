"""The fleet's dead-letter queues: what they mean, and where their messages were meant to go."""

from __future__ import annotations

from dataclasses import dataclass

from kbfleet.domain.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class DeadLetterQueue:
    """A dead-letter queue of the template.

    Args:
        name: by which operators call it.
        resource: its name in the template.
        meaning: what it means that something is in it; one sentence.
        returns_to: the queue, or the function, that its messages were meant for, by its name in the template.
        page: of the runbook.
    """

    name: str
    resource: str
    meaning: str
    returns_to: str
    page: str

    @property
    def returns_to_a_queue(self) -> bool:
        return self.returns_to.endswith("Queue")


QUEUES = (
    DeadLetterQueue(
        "alerts",
        "AlertDeadLetterQueue",
        "Alerts that were not delivered: something broke, and nobody was notified.",
        "AlertQueue",
        "alerts-undelivered",
    ),
    DeadLetterQueue(
        "changes",
        "ChangeDeadLetterQueue",
        "Changes of documents that were not noted: tenants are answered from old documents until their next sync.",
        "ChangeQueue",
        "changes-refused",
    ),
    DeadLetterQueue(
        "ticks",
        "TickDeadLetterQueue",
        "Ticks of the scheduler that failed: syncs may not have started or ended; the ticks themselves hold nothing.",
        "TickQueue",
        "ticks-failing",
    ),
    DeadLetterQueue(
        "retries",
        "DocumentRetryDeadLetterQueue",
        "A run of `kbfleet sync retry-failed TENANT` failed: the retry of that tenant has stopped.",
        "DocumentRetryQueue",
        "document-retries-failing",
    ),
    DeadLetterQueue(
        "checks",
        "DeletionCheckDeadLetterQueue",
        "Checks of what a sync would delete that failed: those syncs are not started; the next check is asked for by "
        "itself.",
        "DeletionCheckQueue",
        "deletion-checks-failing",
    ),
    DeadLetterQueue(
        "questions",
        "QuestionDeadLetterQueue",
        "Runs of golden questions that failed: nobody knows whether these tenants' questions still find their "
        "documents.",
        "QuestionQueue",
        "question-runs-failing",
    ),
    DeadLetterQueue(
        "failures",
        "FailureCollectionDeadLetterQueue",
        "Ends of jobs whose failed documents were not collected: the lists of failed documents are out of date, and of "
        "a job that failed as a whole, people may not have heard.",
        "CollectFailuresFunction",
        "failures-uncollected",
    ),
    DeadLetterQueue(
        "onboarding",
        "OnboardingDeadLetterQueue",
        "Requests to onboard a tenant for which no provisioning was started.",
        "StartProvisioningFunction",
        "onboarding-refused",
    ),
    DeadLetterQueue(
        "executions",
        "StoppedExecutionDeadLetterQueue",
        "Executions that timed out or were aborted and could not be recorded: their tenants look busy.",
        "RecordStoppedExecutionFunction",
        "stopped-executions-unreported",
    ),
    DeadLetterQueue(
        "usage",
        "UsageDeadLetterQueue",
        "Answered questions that were not counted: they are missing from their tenants' usage.",
        "RecordUsageFunction",
        "usage-uncounted",
    ),
)
"""Every dead-letter queue of the template; the runbook's table is made of it."""


def named(name: str) -> DeadLetterQueue:
    """Raises: InvalidInput when there is none of that name."""
    found = next((queue for queue in QUEUES if queue.name == name), None)
    if found is None:
        raise InvalidInput("queue", f"there is no {name!r}; there are: {', '.join(each.name for each in QUEUES)}.")
    return found


def table() -> str:
    """Every queue, in Markdown, with links as from the folder of the runbook."""
    rows = ["| queue | in the template | what it means | it goes back to | page |", "|---|---|---|---|---|"]
    for queue in QUEUES:
        page = f"[{queue.page}]({queue.page}.md)"
        rows.append(f"| `{queue.name}` | {queue.resource} | {queue.meaning} | {queue.returns_to} | {page} |")
    return "\n".join(rows)
