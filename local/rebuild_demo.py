"""`make demo-rebuild`: a tenant's knowledge is built anew, promoted, taken back, and promoted again, while users ask.

A scan is what the profile `default` leaves out. The profile for office documents in Japanese has a model read it, and
is given to a tenant that has documents by a rebuild only. As in `make demo`, nothing is staged: see `local.demo`.
"""

from __future__ import annotations

import json
import tempfile
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from bedrock_emulator.reading.parsers import can_see
from kbfleet.domain.knowledges import Role
from local import demo as demonstration
from local import deployment, samples
from local.askers import Asked, asking_all_the_time, searched_for, strangers
from local.demo import Demo, expect
from local.samples.scans import scanned
from local.stack.configuration import REPOSITORY

if TYPE_CHECKING:
    from rich.console import Console

    from local.stack.configuration import StackConfiguration

_TENANT, _NAME = "acme", samples.TENANTS["acme"]
_SCAN = "契約/保守契約のご案内.pdf"
"""acme has a machine of sakura's, and a contract about it on paper."""
_QUESTION, _ANSWER = "保守契約の解約は、更新日の何日前までに知らせればよいですか。", "45日前"
_OTHER_QUESTION, _OTHER_DOCUMENT = "For how many months is a new tent guaranteed?", "warranty-policy.md"
_PROFILE = REPOSITORY / "examples" / "profiles" / "office-japanese.json"
_USERS = 10
_PAUSE_SECONDS = 2.0
"""After which a user who has an answer asks again: a local AWS shares a laptop with its users."""
_ALL = 100
"""Passages that one search gives at most. Source: botocore model, KnowledgeBaseVectorSearchConfiguration."""


class RebuildDemo(Demo):
    """One performance, with a tenant that is new to the fleet."""

    _tenant_id = _TENANT

    def play(self) -> None:
        """Raises: ExpectationNotMetError at the first scene that goes wrong."""
        self._deploy()
        self._begin()
        self._leave_the_scan_out()
        before = self.status(self._tenant_id)
        self.emulator("DELETE", "/_emulator/calls")
        with asking_all_the_time(
            self.configuration, self.outputs["ApiUrl"], [self._tenant_id] * _USERS, asked_by, _PAUSE_SECONDS
        ) as asked:
            self._rebuild()
            after = self.status(self._tenant_id)
            bases = [str(before.knowledge_base_id), str(after.knowledge_base_id)]
            passages = {base: self._passages(base) for base in bases}
            old = self._resources(bases[0])
            self._roll_back_and_promote_again(bases)
            self._delete_the_old_one(old)
        self._judge(asked, passages)

    # --- the scenes ---

    def _begin(self) -> None:
        self._scene("A tenant with eleven documents; one is a scan in Japanese: pictures, no text")
        # On a stack that is kept, whoever has seen the demo before has been rebuilt already.
        names = (f"{_TENANT}-{number}" if number > 1 else _TENANT for number in count(1))
        self._tenant_id = next(name for name in names if self._tenant(name) is None)
        self._succeeds("tenant", "add", self._tenant_id, "--name", _NAME)
        generation = self.status(self._tenant_id).sync.requested_generation
        for document in samples.documents("acme"):
            self._upload(self._tenant_id, document.name, document.read_bytes())
        (printed,) = (path for path in samples.documents("sakura") if path.name == "maintenance-plans.pdf")
        self._upload(self._tenant_id, _SCAN, scanned(printed.read_bytes()))
        self._until_synced(self._tenant_id, generation + 1)
        self._say(f"uploaded and synced; the scan is {_SCAN}")

    def _leave_the_scan_out(self) -> None:
        self._scene("The profile `default` reads text only: the scan is left out")
        ran = self._kbfleet("why", self._tenant_id, _SCAN)
        expect(ran.returncode == 1 and "scan" in ran.stdout, "nobody is told that a scan was left out")
        for text, document in ((_OTHER_QUESTION, _OTHER_DOCUMENT), (_QUESTION, _SCAN)):
            self._succeeds("questions", "add", self._tenant_id, text, "--expect", document)
        self._red()

    def _rebuild(self) -> None:
        self._scene(f"{_USERS} users begin to ask; another knowledge is built by the office profile")
        before = self.status(self._tenant_id)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / _PROFILE.name
            file.write_text(json.dumps(self.profile(self.configuration)), "utf-8")
            self._succeeds("profile", "put", str(file))
        self._say("with --keep-hours 0 the old knowledge stays until the next hourly round only; by default, for a day")
        self._succeeds("tenant", "rebuild", self._tenant_id, "--profile", _PROFILE.stem, "--keep-hours", "0")
        after = self.status(self._tenant_id)
        kept = after.beside
        expect(kept is not None and kept.role is Role.RETIRED, f"nothing was promoted: {kept}")
        comparison = kept.comparison if kept is not None else None
        better = comparison is not None and comparison.better and not comparison.worse
        expect(bool(better), f"the comparison does not say that the candidate is better: {comparison}")
        expect(after.knowledge == before.knowledge + 1, f"knowledge {after.knowledge} answers")
        self._green()
        answer = self._answer(self._tenant_id, _QUESTION)
        self._show_answer(self._tenant_id, _QUESTION, answer)
        own = f"s3://{after.bucket_name}/{_SCAN}"
        expect(self._cited(answer) == {own}, f"the answer does not cite the scan: {sorted(self._cited(answer))}")
        expect(_ANSWER in "".join(answer["answer"].split()), f"the answer does not say {_ANSWER}")

    def _roll_back_and_promote_again(self, bases: list[str]) -> None:
        self._scene("Taken back by one write, and promoted again by another")
        self._exchange(bases[0], by_the_scan=False)
        self._exchange(bases[1], by_the_scan=True)

    def _exchange(self, base: str, *, by_the_scan: bool) -> None:
        self._succeeds("tenant", "rollback", self._tenant_id)
        answers = self.status(self._tenant_id).knowledge_base_id
        expect(answers == base, f"knowledge base {answers} answers after the rollback, and {base} should")
        self._until(
            lambda: self._is_answered_by_the_scan() is by_the_scan or None,
            f"users are {'not ' if by_the_scan else ''}answered from the scan",
        )
        self._say(
            f"users are {'' if by_the_scan else 'not '}answered from the scan {'again' if by_the_scan else 'now'}"
        )

    def _is_answered_by_the_scan(self) -> bool:
        cited = self._cited(self._answer(self._tenant_id, _QUESTION))
        return any(uri.endswith(f"/{_SCAN}") for uri in cited)

    def _delete_the_old_one(self, old: dict[str, str]) -> None:
        self._scene("The hourly round, brought forward: the old knowledge is deleted")
        self._hourly_round()
        self._say("for 40 seconds yet nothing of it goes: somebody may remember it, and be answering from it")
        self._green()
        self._until(
            lambda: self.status(self._tenant_id).beside is None or None, "the old knowledge is still in the record"
        )
        there = [what for what in old if self._is_there(what, old[what])]
        expect(not there, f"of the old knowledge there is still: {', '.join(there)}")
        self._say(f"gone: {', '.join(f'{what} {name}' for what, name in old.items())}")
        ran = self._kbfleet("tenant", "rollback", self._tenant_id)
        expect(ran.returncode != 0, "there is still something to go back to")

    def _judge(self, asked: Asked, passages: dict[str, set[str]]) -> None:
        self._scene("What the users saw")
        searched = searched_for(self.calls())
        expect(not asked.refused, f"{len(asked.refused)} questions were not answered: {asked.refused[:3]}")
        silent = set(range(_USERS)) - {each.user for each in asked.answers}
        expect(not silent, f"users who were never answered: {sorted(silent)}")
        mixed = list(strangers(asked.answers, searched, passages))
        expect(not mixed, f"{len(mixed)} answers are not wholly from one knowledge: {mixed[:3]}")
        self._say(f"{len(asked.answers)} questions of {_USERS} users, {len(asked.refused)} errors")
        for name, base in zip(("the old", "the new"), passages, strict=True):
            of_it = [each for each in asked.answers if searched[each.question] == {base}]
            expect(
                any(each.passages for each in of_it), f"nothing was answered from {name} knowledge while users asked"
            )
            cited = sum(len(each.passages) for each in of_it)
            self._say(
                f"{len(of_it)} answered from {name} knowledge alone, which holds all {cited} passages that they cite"
            )

    # --- what the scenes are made of ---

    def _red(self) -> None:
        ran = self._kbfleet("questions", "run", self._tenant_id)
        expect(ran.returncode == 1, "the golden question finds its document in what does not hold it")

    def _green(self) -> None:
        self._succeeds("questions", "run", self._tenant_id)

    @staticmethod
    def profile(configuration: StackConfiguration) -> dict[str, Any]:
        """As it is shipped, with the model by the id that it has in that stack's Region."""
        profile: dict[str, Any] = json.loads(_PROFILE.read_text("utf-8"))
        profile["ingestion"]["parser"]["model"] = deployment.parsing_model_id(configuration)
        return profile

    def _passages(self, base: str) -> set[str]:
        """All that a knowledge base holds."""
        found = deployment.client(self.configuration, "bedrock-agent-runtime").retrieve(
            knowledgeBaseId=base,
            retrievalQuery={"text": "everything"},
            retrievalConfiguration={"vectorSearchConfiguration": {"numberOfResults": _ALL}},
        )["retrievalResults"]
        expect(0 < len(found) < _ALL, f"knowledge base {base} holds {len(found)} passages or more")
        return {each["content"]["text"] for each in found}

    def _resources(self, base: str) -> dict[str, str]:
        """What there is of a knowledge, by the operation that looks for it."""
        agent = deployment.client(self.configuration, "bedrock-agent")
        described = agent.get_knowledge_base(knowledgeBaseId=base)["knowledgeBase"]
        index = described["storageConfiguration"]["s3VectorsConfiguration"]["indexArn"]
        return {"knowledge base": base, "vector index": index}

    def _is_there(self, what: str, name: str) -> bool:
        try:
            if what == "knowledge base":
                deployment.client(self.configuration, "bedrock-agent").get_knowledge_base(knowledgeBaseId=name)
            else:
                deployment.client(self.configuration, "s3vectors").get_index(indexArn=name)
        except ClientError as error:
            if error.response["Error"]["Code"] not in {"ResourceNotFoundException", "NotFoundException"}:
                raise
            return False
        return True

    def _hourly_round(self) -> None:
        """As its schedule starts it."""
        name = f"{deployment.STACK_NAME}-hourly-reconciliation"
        target = deployment.client(self.configuration, "scheduler").get_schedule(Name=name)["Target"]
        ran = deployment.client(self.configuration, "lambda").invoke(
            FunctionName=target["Arn"], Payload=target["Input"]
        )
        expect("FunctionError" not in ran, f"the hourly round has failed: {ran['Payload'].read()!r}")


def asked_by(user: int, number: int) -> str:
    """No two questions are the same, so that the log of calls says where each was searched for. The first user asks for
    what the scan says, the others for what other documents do."""
    known = [each.question for each in samples.questions() if each.tenant == "acme"]
    text = _QUESTION if user == 0 else known[(user + number) % len(known)]
    return f"{text} ({user}-{number})"


def run(state_directory: Path, console: Console) -> int:
    """Plays the story. Returns: the exit code, 0 only if every scene did what it should."""
    if not can_see():
        console.print("[red]✗[/red] What reads scans is not installed: `make demo-rebuild` and `make scans` do it.")
        return 1
    return demonstration.run(state_directory, console, RebuildDemo)
