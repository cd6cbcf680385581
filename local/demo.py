"""`make demo`: the product's whole story on the local AWS, played and checked scene by scene.

Nothing is staged: the real template is deployed, the real command line is run, documents are really read and
searched, and the command that repairs the broken ingestion is the one that the Slack message holds. Each scene says
what it expects; the first that is not met ends the demo with its reason.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import boto3
from rich.console import Console
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text

from cli.fleet_api import FleetApi, Refused
from cli.terminal import literal, marked
from kbfleet.contracts.tenants import SyncBody, TenantBody
from kbfleet.domain.ingestion_job import Outcome
from kbfleet.domain.names import TenantId
from kbfleet.domain.question_runs import Judgement
from kbfleet.domain.tenant_status import TenantStatus
from local import deployment, samples
from local.identity_provider import IdentityProvider
from local.slack_sink import SlackSink, commands_of, message_as_text
from local.stack import process
from local.stack.configuration import (
    ACCESS_KEY,
    DEFAULT_AWS_PORT,
    DEFAULT_SIDE_PORT,
    StackConfiguration,
    free_port,
    is_listening,
)

_KBFLEET = Path(sys.executable).with_name("kbfleet")
_BROKEN_TENANT, _BROKEN_DOCUMENT = "acme", "rental-terms.pdf"
_DAMAGED_BYTES = 2_000
_PATIENCE_SECONDS = 180
"""For anything to happen: on a machine that is busy with something else, too."""
_SPEED = 120
"""Times as fast as AWS, where a knowledge base is CREATING for 83 seconds and an ingestion takes three minutes."""
_CREATING = ("CreateIndex", "CreateKnowledgeBase", "CreateDataSource")


@dataclass(frozen=True)
class Question:
    """What a tenant's user asks, and the document that must be cited."""

    tenant: str
    text: str
    document: str


_QUESTIONS = (
    Question("sakura", "入社したらすぐに有給は何日もらえますか。", "就業規則.md"),
    Question("sakura", "社内で使うパスワードは最低何文字必要ですか。", "security-policy.html"),
    Question("acme", "For how many months is a new tent guaranteed?", "warranty-policy.md"),
    Question("acme", "How old do I have to be to rent a kayak?", "rental-terms.pdf"),
)
_FOREIGN_QUESTION = "SP-300でE07と表示されました。どこを調べればよいですか。"
"""Only sakura's machine manual answers it; acme asks it."""

_GOLDEN = _QUESTIONS[2]
_MOVED = b"# Moved\n\nThis page is on the intranet now.\n"

Seen = TypeVar("Seen")


class ExpectationNotMetError(Exception):
    """A scene did not do what it should; the message says which and how."""


def expect(met: bool, reason: str) -> None:
    """Raises: ExpectationNotMetError."""
    if not met:
        raise ExpectationNotMetError(reason)


@dataclass
class Demo:
    """One performance. `configuration` is of a stack that runs, `parameters` are of its template and win over ours."""

    configuration: StackConfiguration
    console: Console
    parameters: Mapping[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)

    def play(self) -> None:
        """Raises: ExpectationNotMetError at the first scene that goes wrong."""
        self._deploy()
        existed = self._provision()
        self._ingest()
        question = self._expect_an_answer()
        self._break_and_repair()
        self.ask()
        self._keep_apart()
        self._refuse()
        self._turn_red_and_green_again(question)
        self._count_creations(existed)

    # --- the scenes ---

    def _deploy(self) -> None:
        self._scene("The real template.yaml, deployed with sam to a local AWS")
        deployed = deployment.deploy(self.configuration, parameter_overrides=self.parameters, console=self.console)
        self.outputs = deployed.outputs
        self._say("deployed" if deployed.changed else "deployed already, nothing has changed")
        self._say(f"API  {self.outputs['ApiUrl']}")

    def _provision(self) -> bool:
        """Returns: whether both tenants existed before."""
        self._scene("Two tenants: bucket, vector index, knowledge base, data source, first ingestion")
        existed = True
        for tenant, name in samples.TENANTS.items():
            existed = existed and self._tenant(tenant) is not None
            self.emulator("DELETE", "/_emulator/calls")
            self._succeeds("tenant", "add", tenant, "--name", name)
            if existed:
                self._expect_no_creations()
            expect(
                self.status(tenant).status is TenantStatus.ACTIVE,
                f"tenant {tenant} is not ACTIVE after its provisioning",
            )
        return existed

    def _ingest(self) -> None:
        self._scene("Their documents: uploaded to each tenant's bucket; nobody has to run a command")
        generations = {tenant: self.status(tenant).sync.requested_generation for tenant in samples.TENANTS}
        for tenant in samples.TENANTS:
            documents = samples.documents(tenant)
            for document in documents:
                self._upload(tenant, document.name, document.read_bytes())
            self._say(f"{tenant}: {len(documents)} files, among them {', '.join(path.name for path in documents[:3])}")
        for tenant, generation in generations.items():
            self._until_synced(tenant, generation + 1)
            self._say(f"{tenant}: the uploads themselves have started a sync, and it has ended")

    def _show_message(self, text: str, colour: str) -> None:
        """A message to Slack, as `message_as_text` has it."""
        message = Panel(Text(text), title="Slack", title_align="left", border_style=colour)
        # Softly wrapped, a box is cut at its edge.
        self.console.print(message, soft_wrap=False)

    def _break_and_repair(self) -> None:
        self._scene("A broken ingestion: the alert, and the command that repairs it")
        whole = next(path for path in samples.documents(_BROKEN_TENANT) if path.name == _BROKEN_DOCUMENT)
        before = len(self._alerts())
        self._upload(_BROKEN_TENANT, _BROKEN_DOCUMENT, whole.read_bytes()[:_DAMAGED_BYTES])
        self._say(f"somebody at {_BROKEN_TENANT} uploads a damaged {_BROKEN_DOCUMENT}; a while later, in Slack:")
        alert = self._until(
            lambda: next(iter(self._alerts()[before:]), None), "no alert reached Slack for the broken ingestion"
        )
        text = message_as_text(alert)
        self._show_message(text, "red")
        expect(_BROKEN_DOCUMENT in text, "the alert does not name the damaged document")
        expect("Its end is missing" in text, "the alert does not say what is wrong with the document")
        commands = commands_of(alert)
        expect(len(commands) == 1, f"the alert holds {len(commands)} commands")
        generation = self.status(_BROKEN_TENANT).sync.requested_generation
        self._say("the command from the message uploads the whole document again, which is synced by itself:")
        named = {"FILE": str(whole), "KEY": _BROKEN_DOCUMENT}
        self._succeeds(*(named.get(word, word) for word in shlex.split(commands[0])[1:]))
        recovered = self._until(
            lambda: next(iter(self._alerts()[before + 1 :]), None), "no recovery reached Slack after the repair"
        )
        self._show_message(message_as_text(recovered), "green")
        expect("🟢" in str(recovered["text"]), "the second message is no recovery: two alerts for one incident")
        sync = self._until_synced(_BROKEN_TENANT, generation + 1)
        healthy = sync.result is not None and sync.result.outcome is Outcome.SUCCEEDED
        expect(healthy, f"{_BROKEN_TENANT} is not healthy again: {sync.result}")

    def ask(self) -> None:
        """Raises: ExpectationNotMetError when an answer does not cite the right document of the right tenant."""
        self._scene("Questions over HTTP, answered from each tenant's own documents")
        for question in _QUESTIONS:
            answer = self._answer(question.tenant, question.text)
            cited = self._cited(answer)
            self._show_answer(question.tenant, question.text, answer)
            own = f"s3://{self.status(question.tenant).bucket_name}/"
            expect(
                f"{own}{question.document}" in cited, f"the answer does not cite {question.document}: {sorted(cited)}"
            )
            foreign = [uri for uri in cited if not uri.startswith(own)]
            expect(not foreign, f"the answer cites what is not {question.tenant}'s own: {foreign}")

    def _keep_apart(self) -> None:
        self._scene("acme asks what only sakura's documents know")
        answer = self._answer("acme", _FOREIGN_QUESTION)
        self._show_answer("acme", _FOREIGN_QUESTION, answer)
        bucket = f"s3://{self.status('sakura').bucket_name}/"
        foreign = [uri for uri in self._cited(answer) if uri.startswith(bucket)]
        expect(not foreign, f"acme's answer cites sakura's documents: {foreign}")
        expect("CN4" not in answer["answer"], "acme's answer holds what only sakura's manual says")

    def _refuse(self) -> None:
        self._scene("Whoever cannot prove a tenant is refused, and nothing reaches Bedrock")
        issuer = IdentityProvider.open(self.configuration.token_issuer, self.configuration.signing_key)
        forged = issuer.mint("acme").rsplit(".", 1)[0] + "." + issuer.mint("sakura").rsplit(".", 1)[1]
        self.emulator("DELETE", "/_emulator/calls")
        for what, token, expected in (
            ("no token", None, 401),
            ("an expired token", issuer.mint("acme", expires_in=-120), 401),
            ("a wrong signature", forged, 401),
            ("another audience", issuer.mint("acme", audience="somebody-else"), 401),
            ("no tenant claim", issuer.mint(None), 403),
        ):
            status, problem = self.post_ask(_question_body("May I?"), token)
            self._say(f"{what:<20} {status} {problem.get('detail', '')}")
            expect(status == expected, f"{what}: expected {expected}, got {status}")
            expect("title" in problem, f"{what}: the answer is no problem document: {problem}")
        reached = [call["operation"] for call in self.calls() if call["service"] == "bedrock-agent-runtime"]
        expect(not reached, f"refused requests reached Bedrock: {reached}")
        self._say("calls that reached Bedrock: 0")

    def _expect_an_answer(self) -> str:
        """Returns: the golden question's id."""
        self._scene("A golden question: which document must be found, after each sync")
        self._succeeds("questions", "add", _GOLDEN.tenant, _GOLDEN.text, "--expect", _GOLDEN.document)
        listed = self._api.questions(TenantId(_GOLDEN.tenant)).questions
        return next(str(each.id) for each in listed if each.user_input == _GOLDEN.text)

    def _turn_red_and_green_again(self, question: str) -> None:
        self._scene("The golden question stops finding its document: told without anybody asking")
        tenant, document = _GOLDEN.tenant, _GOLDEN.document
        whole = next(path for path in samples.documents(tenant) if path.name == document)
        self._until(lambda: self._has_passed_twice(question), "the syncs did not have the golden question asked twice")
        self._say("the syncs since then have had it asked: it passed, and passed again")
        before = len(self._alerts())
        self._upload(tenant, document, _MOVED)
        self._say(f"somebody at {tenant} replaces {document} by a note that it has moved; after its sync, in Slack:")
        alert = self._until(
            lambda: next(iter(self._alerts()[before:]), None), "no alert reached Slack for the question"
        )
        text = message_as_text(alert)
        self._show_message(text, "red")
        expect(question in text and document in text, f"the alert does not name {question} and {document}")
        ran = self._kbfleet(*shlex.split(commands_of(alert)[0])[1:])
        expect(
            ran.returncode == 1 and question in ran.stdout, "the command from the message does not show the question"
        )
        self._upload(tenant, document, whole.read_bytes())
        self._say(f"{document} is put back; after its sync, in Slack:")
        over = self._until(
            lambda: next(iter(self._alerts()[before + 1 :]), None), "no recovery reached Slack for the question"
        )
        self._show_message(message_as_text(over), "green")
        expect("🟢" in str(over["text"]), "the second message is no recovery: two alerts for one question")
        self._succeeds("questions", "remove", tenant, question)

    def _has_passed_twice(self, question: str) -> bool | None:
        """What has, is known to pass."""
        runs = self._api.question_runs(TenantId(_GOLDEN.tenant), 2).runs
        judged = [verdict.judgement for run in runs for verdict in run.verdicts if verdict.id == question]
        return judged == [Judgement.PASSED, Judgement.PASSED] or None

    def _count_creations(self, existed: bool) -> None:
        if existed:
            self._say("\nBoth tenants existed before: this run has created nothing.")

    # --- what the scenes are made of ---

    def _scene(self, title: str) -> None:
        self.console.print()
        self.console.print(Rule(marked(f"[bold]{literal(title)}"), align="left", style="cyan"))

    def _say(self, text: str) -> None:
        self.console.print(marked("  " + literal(text, keep="\n")), highlight=False)

    def _kbfleet(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the operator's command line, showing what it prints as it prints it."""
        self.console.print(
            marked(f"[bold]$ kbfleet {literal(shlex.join(arguments))}[/]"), highlight=False, soft_wrap=True
        )
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            **self.configuration.client_environment(),
        }
        lines: list[str] = []
        with subprocess.Popen(
            [str(_KBFLEET), *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as running:
            for line in running.stdout or ():
                lines.append(line)
                self.console.print(marked(f"  {literal(line.rstrip())}"), highlight=False, soft_wrap=True)
        return subprocess.CompletedProcess(arguments, running.returncode, "".join(lines))

    def _succeeds(self, *arguments: str) -> None:
        ran = self._kbfleet(*arguments)
        expect(ran.returncode == 0, f"`kbfleet {shlex.join(arguments)}` ended with exit code {ran.returncode}")

    @property
    def _api(self) -> FleetApi:
        return FleetApi(self.outputs["ApiUrl"], self._session)

    @cached_property
    def _session(self) -> boto3.Session:
        return boto3.Session(ACCESS_KEY, self.configuration.secret_key, region_name=self.configuration.region)

    @cached_property
    def _s3(self) -> Any:
        return deployment.client(self.configuration, "s3")

    def _tenant(self, tenant: str) -> TenantBody | None:
        """What `kbfleet tenant show` would show."""
        try:
            return self._api.tenant(TenantId(tenant))
        except Refused as refusal:
            expect(refusal.status == 404, f"the status of {tenant} was refused: {refusal}")
            return None

    def status(self, tenant: str) -> TenantBody:
        """Raises: ExpectationNotMetError when the tenant does not exist."""
        body = self._tenant(tenant)
        if body is None:
            raise ExpectationNotMetError(f"tenant {tenant} does not exist")
        return body

    def _until_synced(self, tenant: str, generation: int) -> SyncBody:
        """Waits until that generation was requested, and nothing is left to be synced."""

        def look() -> SyncBody | None:
            sync = self.status(tenant).sync
            return sync if sync.requested_generation >= generation and not sync.pending_changes else None

        return self._until(look, f"the changes in the bucket of {tenant} are not synced")

    def _upload(self, tenant: str, key: str, content: bytes) -> None:
        self._s3.put_object(Bucket=self.status(tenant).bucket_name, Key=key, Body=content)

    def _alerts(self) -> list[dict[str, Any]]:
        return [record["message"] for record in SlackSink(self.configuration.slack_messages).messages()]

    def _until(self, look: Callable[[], Seen | None], otherwise: str) -> Seen:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (seen := look()) is None:
            expect(time.monotonic() < deadline, f"{otherwise} within {_PATIENCE_SECONDS} seconds")
            time.sleep(0.2)
        return seen

    def _answer(self, tenant: str, question: str) -> dict[str, Any]:
        token = IdentityProvider.open(self.configuration.token_issuer, self.configuration.signing_key).mint(tenant)
        status, body = self.post_ask(_question_body(question), token)
        expect(status == 200, f"asking as {tenant} gave {status}: {body}")
        return body

    def post_ask(self, body: bytes, token: str | None) -> tuple[int, dict[str, Any]]:
        """What `POST /ask` answers: status and decoded body."""
        return self.post("/ask", body, token)

    def post(self, path: str, body: bytes, token: str | None) -> tuple[int, dict[str, Any]]:
        """What the API answers a tenant's user: status and decoded body."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        return _http("POST", f"{self.outputs['ApiUrl']}{path}", body, headers)

    def _cited(self, answer: dict[str, Any]) -> set[str]:
        return {source["uri"] for citation in answer["citations"] for source in citation["sources"]}

    def _show_answer(self, tenant: str, question: str, answer: dict[str, Any]) -> None:
        self.console.print(marked(f"[bold]{tenant}[/] {literal(question)}"), highlight=False, soft_wrap=True)
        self.console.print(marked("  " + literal(answer["answer"], keep="\n")), highlight=False, soft_wrap=True)
        pages = {
            (source["document"], source["page"]) for citation in answer["citations"] for source in citation["sources"]
        }
        for document, page in sorted(pages, key=str):
            at = f", page {page}" if page is not None else ""
            self.console.print(marked(f"  [dim]from {literal(document)}{at}[/]"), highlight=False, soft_wrap=True)

    def emulator(self, method: str, path: str, body: object = None) -> Any:
        """Calls the control endpoint of the Bedrock emulator."""
        content = None if body is None else json.dumps(body).encode()
        _, answer = _http(method, f"{self.configuration.aws_url}{path}", content, {})
        return answer

    def calls(self) -> list[dict[str, Any]]:
        """What the Bedrock emulator was asked since its log was emptied."""
        answer = self.emulator("GET", "/_emulator/calls")
        return list(answer["calls"] if isinstance(answer, dict) else answer)

    def _expect_no_creations(self) -> None:
        created = [call["operation"] for call in self.calls() if call["operation"] in _CREATING]
        expect(not created, f"provisioning an existing tenant created something: {created}")


def _question_body(question: str) -> bytes:
    return json.dumps({"question": question}).encode()


def _http(method: str, url: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, Any]:
    request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 -- our own addresses
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")


@contextmanager
def _stack(state_directory: Path, console: Console) -> Iterator[StackConfiguration]:
    """The stack that `make up` keeps running, or one that lives as long as the demo."""
    running = process.running_stack(state_directory)
    if running is not None:
        console.print(f"Using the local AWS that runs already (process {running.process_id}); it is kept.")
        yield running.configuration
        return
    free = not (is_listening(DEFAULT_AWS_PORT) or is_listening(DEFAULT_SIDE_PORT))
    configuration = StackConfiguration(
        state_directory=state_directory,
        aws_port=DEFAULT_AWS_PORT if free else free_port(),
        side_port=DEFAULT_SIDE_PORT if free else free_port(),
        speed=_SPEED,
    )
    try:
        with console.status("Starting the local AWS …"):
            process.start(configuration)
        console.print(f"A local AWS runs at {configuration.aws_url}: no account, no Docker, loopback only.")
        yield configuration
    finally:
        process.stop(state_directory)


def run(state_directory: Path, console: Console, story: type[Demo] = Demo) -> int:
    """Plays a story. Returns: the exit code, 0 only if every scene did what it should."""
    began = time.monotonic()
    try:
        with _stack(state_directory, console) as configuration:
            story(configuration, console).play()
    except ExpectationNotMetError as error:
        log = StackConfiguration(state_directory=state_directory).log_file
        what = literal(str(error), keep="\n")
        console.print(marked(f"\n[red]✗ {what}[/]\n  The local AWS's log: {literal(str(log))}"), soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped; nothing is left running.")
        return 130
    console.print(f"\n[green]✓ Everything did what it should, in {time.monotonic() - began:.0f} seconds.[/]")
    console.print('  To go on by yourself: make up, then eval "$(.venv/bin/kbfleet-local env)"', highlight=False)
    return 0
