"""Users who ask all the time, whatever happens to the stack meanwhile, and from which knowledge each was answered."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from local.identity_provider import IdentityProvider
from local.stack.configuration import StackConfiguration

_PAUSE_SECONDS = 0.2
"""The tier's rate is 20 a second here: only so fast that a gap of a second is seen."""
_SEARCHES = ("Retrieve", "RetrieveAndGenerate")


@dataclass(frozen=True)
class Answered:
    """A question of a user's, and what `POST /ask` answered it."""

    user: int
    question: str
    answer: Mapping[str, Any]

    @property
    def passages(self) -> set[str]:
        """Of all documents that the answer cites."""
        return {source["passage"] for cited in self.answer["citations"] for source in cited["sources"]}


@dataclass
class Asked:
    """What was answered, and what was said to each question that was not."""

    answers: list[Answered] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


@contextmanager
def asking_all_the_time(
    configuration: StackConfiguration,
    api_url: str,
    tenants: Sequence[str],
    question: Callable[[int, int], str],
    pause: float = _PAUSE_SECONDS,
) -> Iterator[Asked]:
    """One user for each entry of `tenants`, each of whom asks again as soon as there is an answer.

    Args:
        question: gives what is asked, by the number of the user and of the question.
        pause: between an answer and the next question, in seconds.
    """
    issuer = IdentityProvider.open(configuration.token_issuer, configuration.signing_key)
    asked, stop = Asked(), threading.Event()

    def ask(user: int, tenant: str) -> None:
        number = 0
        while not stop.is_set():
            text = question(user, number)
            request = urllib.request.Request(  # noqa: S310 -- the local AWS
                f"{api_url}/ask",
                json.dumps({"question": text}).encode(),
                {"Content-Type": "application/json", "Authorization": f"Bearer {issuer.mint(tenant)}"},
            )
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 -- the local AWS
                    asked.answers.append(Answered(user, text, json.loads(answer.read())))
            except urllib.error.HTTPError as refusal:
                asked.refused.append(f"{datetime.now(UTC):%H:%M:%S} {tenant}: {refusal.code} {refusal.read()!r}")
            except (OSError, ValueError) as error:
                asked.refused.append(f"{datetime.now(UTC):%H:%M:%S} {tenant}: {type(error).__name__}: {error}")
            number += 1
            stop.wait(pause)

    users = [threading.Thread(target=ask, args=each) for each in enumerate(tenants)]
    for user in users:
        user.start()
    try:
        yield asked
    finally:
        stop.set()
        for user in users:
            user.join()


def searched_for(calls: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    """In which knowledge bases each question was searched for.

    Args:
        calls: the log of the Bedrock emulator.
    """
    found = defaultdict[str, set[str]](set)
    for call in calls:
        if call["operation"] not in _SEARCHES:
            continue
        given = call["input"]
        if call["operation"] == "Retrieve":
            found[given["retrievalQuery"]["text"]].add(given["knowledgeBaseId"])
        else:
            settings = given["retrieveAndGenerateConfiguration"]["knowledgeBaseConfiguration"]
            found[given["input"]["text"]].add(settings["knowledgeBaseId"])
    return dict(found)


def strangers(
    answers: Iterable[Answered], searched: Mapping[str, set[str]], passages: Mapping[str, set[str]]
) -> Iterator[str]:
    """Why an answer is not wholly from one knowledge, of each that is not.

    Args:
        searched: see `searched_for`. No two answers are to the same question.
        passages: all that each knowledge base holds, by its id.
    """
    for each in answers:
        bases = searched.get(each.question, set())
        if len(bases) != 1:
            yield f"{each.question!r} was searched for in {', '.join(sorted(bases)) or 'no knowledge base'}"
            continue
        (base,) = bases
        if foreign := each.passages - passages.get(base, set()):
            yield f"{each.question!r} was searched for in {base}, which does not hold {sorted(foreign)[0][:80]!r}"
