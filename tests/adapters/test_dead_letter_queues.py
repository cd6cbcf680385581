"""What waits in the dead-letter queues, on moto's SQS; move tasks, which it lacks, follow the service model."""

from __future__ import annotations

import base64
import gzip
import io
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import cli.dead_letters
import cli.main
import cli.progress
from cli.dead_letter_queues import QUEUES, named
from cli.dead_letters import DeadLetters, event_of, reason_of
from cli.fleet_api import FleetUnreachable
from cli.fleet_stack import FleetStack
from kbfleet.adapters.sqs import SqsDeadLetters
from kbfleet.domain.errors import TenantNotFound
from tests.support.aws import client as aws_client
from tests.support.template import REPOSITORY, resources

FIFO = {f"{name}{kind}" for name in ("Tick", "DocumentRetry", "DeletionCheck") for kind in ("Queue", "DeadLetterQueue")}


@dataclass
class MovingSqs:
    """moto's SQS, and move tasks as the service model has them: a queue at a time, moving a message at each look."""

    client: Any
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    failing: str = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def start_message_move_task(self, *, SourceArn: str, DestinationArn: str) -> None:  # noqa: N803 - boto3's names
        self.tasks[SourceArn] = {"Status": "RUNNING", "moved": 0, "to": DestinationArn}

    def list_message_move_tasks(self, *, SourceArn: str, MaxResults: int) -> dict[str, Any]:  # noqa: N803 - as above
        task = self.tasks[SourceArn]
        if self.failing:
            return {"Results": [{"Status": "FAILED", "FailureReason": self.failing}]}
        source, destination = (self._url(arn) for arn in (SourceArn, task["to"]))
        received = self.client.receive_message(QueueUrl=source).get("Messages", [])
        for message in received:
            self.client.send_message(QueueUrl=destination, MessageBody=message["Body"])
            self.client.delete_message(QueueUrl=source, ReceiptHandle=message["ReceiptHandle"])
        task["moved"] += len(received)
        status = "RUNNING" if received else "COMPLETED"
        moved = {"ApproximateNumberOfMessagesMoved": task["moved"]}
        return {"Results": [{"Status": status, "ApproximateNumberOfMessagesToMove": 3, **moved}][:MaxResults]}

    def _url(self, arn: str) -> str:
        return str(self.client.get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"])


@dataclass
class Functions:
    """Lambda: a function that refuses events with a member `bad`."""

    invoked: list[tuple[str, Any]] = field(default_factory=list)

    def invoke(self, *, FunctionName: str, Payload: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        event = json.loads(Payload)
        if "bad" in event:
            answer = {"errorType": "InvalidInput", "errorMessage": "bad: Extra inputs are not permitted."}
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(answer).encode())}
        self.invoked.append((FunctionName, event))
        return {"Payload": io.BytesIO(b"null")}


class StackOnMoto(FleetStack):
    """A stack with every queue of the template."""

    def __init__(self) -> None:
        super().__init__("kbfleet", {}, None)  # type: ignore[arg-type] # its clients are made here
        self.__dict__["sqs"] = MovingSqs(aws_client("sqs"))
        self.__dict__["functions"] = Functions()
        queues = {name for queue in QUEUES for name in (queue.resource, queue.returns_to) if name.endswith("Queue")}
        made = {name: self.make_queue(name) for name in queues}
        functions = {queue.returns_to: queue.returns_to for queue in QUEUES if not queue.returns_to_a_queue}
        self.__dict__["resources"] = made | functions

    def make_queue(self, name: str) -> str:
        fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"} if name in FIFO else {}
        queue_name = f"{name}.fifo" if fifo else name
        return str(self.client("sqs").create_queue(QueueName=queue_name, Attributes=fifo)["QueueUrl"])

    def client(self, service: str, config: object = None) -> Any:
        return {"sqs": self.__dict__["sqs"], "lambda": self.__dict__["functions"]}[service]

    def put(self, name: str, body: object) -> None:
        queue = named(name)
        assert queue is not None
        text = body if isinstance(body, str) else json.dumps(body)
        self.client("sqs").send_message(QueueUrl=self.resources[queue.resource], MessageBody=text)

    def fill(self, name: str, messages: int) -> None:
        url = self.resources[named(name).resource]
        for first in range(0, messages, 10):
            places = range(first, min(first + 10, messages))
            fifo = [{"MessageGroupId": str(place % 7)} if url.endswith(".fifo") else {} for place in places]
            entries = [
                {"Id": str(place), "MessageBody": f"[{place}]", **group}
                for place, group in zip(places, fifo, strict=True)
            ]
            self.client("sqs").send_message_batch(QueueUrl=url, Entries=entries)


@pytest.fixture
def stack(aws: None, monkeypatch: pytest.MonkeyPatch) -> StackOnMoto:
    stack = StackOnMoto()
    monkeypatch.setattr(FleetStack, "named", lambda *_: stack)
    monkeypatch.setattr(cli.progress, "POLL_SECONDS", 0)
    monkeypatch.setattr(cli.dead_letters, "LONG_POLL_SECONDS", 0)
    return stack


def run(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(cli.main.app, ["dlq", *arguments], input=answer)


def counts(stack: StackOnMoto) -> dict[str, int]:
    return {each.queue.name: each.messages for each in DeadLetters(stack).waiting() if each.messages}


class TestTheTable:
    def test_it_has_every_dead_letter_queue_of_the_template(self) -> None:
        queues = {name for name in resources("AWS::SQS::Queue") if name.endswith("DeadLetterQueue")}
        assert {queue.resource for queue in QUEUES} == queues

    @pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)
    def test_what_it_names_is_there(self, queue: Any) -> None:
        assert queue.returns_to in {**resources("AWS::SQS::Queue"), **resources("AWS::Serverless::Function")}
        assert (REPOSITORY / "docs" / "runbook" / f"{queue.page}.md").is_file()

    def test_messages_go_back_to_the_queue_that_sqs_takes_them_from(self) -> None:
        for name, queue in resources("AWS::SQS::Queue").items():
            redriven = queue["Properties"].get("RedrivePolicy")
            if redriven:
                (dead,) = [each for each in QUEUES if each.returns_to == name]
                assert str(redriven["deadLetterTargetArn"]).find(dead.resource) >= 0


class TestListing:
    def test_nothing_waits(self, stack: StackOnMoto) -> None:
        result = run("list")
        assert (result.exit_code, result.stdout) == (0, "✓ Nothing waits in the 10 dead-letter queues.\n")

    def test_what_waits_is_reported_with_its_reason_and_stays(self, stack: StackOnMoto) -> None:
        dead = SqsDeadLetters(stack.client("sqs"), queue_url=stack.resources["ChangeDeadLetterQueue"])
        for _ in range(2):
            dead.keep("{}", TenantNotFound("No tenant has that bucket."))
        for _ in range(2):
            result = run("list", "--json")
            assert result.exit_code == 1
            (waiting,) = [each for each in json.loads(result.stdout) if each["messages"]]
            assert (waiting["queue"], waiting["messages"]) == ("changes", 2)
            assert waiting["reasons"] == ["TenantNotFound: No tenant has that bucket."]
            assert waiting["oldest_sent_at"]
        assert "changes" in run("list").stdout

    def test_a_stack_of_an_earlier_release_may_lack_a_queue(self, stack: StackOnMoto) -> None:
        stack.__dict__["resources"] = {
            name: each for name, each in stack.resources.items() if name != "UsageDeadLetterQueue"
        }
        assert len(list(DeadLetters(stack).waiting())) == len(QUEUES) - 1
        with pytest.raises(FleetUnreachable, match="UsageDeadLetterQueue"):
            next(DeadLetters(stack).redrive(QUEUES[-1]))

    @pytest.mark.parametrize(
        ("message", "reason"),
        [
            ({"Body": "{}"}, ""),
            ({"Body": "not json"}, ""),
            ({"Body": '{"requestPayload": {}, "responsePayload": {"errorType": "E", "errorMessage": "m"}}'}, "E: m"),
            ({"Body": '{"responsePayload": "text"}'}, "text"),
            ({"Body": '{"responsePayload": {"x": 1}}'}, '{"x": 1}'),
            (
                {"Body": "{}", "MessageAttributes": {"ERROR_CODE": {"StringValue": "NO_PERMISSIONS"}}},
                "NO_PERMISSIONS",
            ),
        ],
    )
    def test_a_reason_is_found_wherever_it_was_put(self, message: dict[str, Any], reason: str) -> None:
        assert reason_of(message) == reason


class TestRedriving:
    def test_everything_goes_back_to_its_queue(self, stack: StackOnMoto) -> None:
        for number in range(3):
            stack.put("alerts", {"alert": number})
        result = run("redrive", "alerts", "--yes")
        assert result.exit_code == 0, result.output
        assert "3 messages of alerts went back to AlertQueue" in result.stdout
        assert counts(stack) == {}
        received = stack.client("sqs").receive_message(QueueUrl=stack.resources["AlertQueue"], MaxNumberOfMessages=10)
        assert len(received["Messages"]) == 3

    def test_a_task_that_fails_says_why(self, stack: StackOnMoto) -> None:
        stack.put("alerts", {})
        stack.client("sqs").failing = "AccessDenied on the destination"
        result = run("redrive", "alerts", "--yes")
        assert result.exit_code == 1
        assert "AccessDenied on the destination" in result.stderr

    def test_a_function_gets_what_it_had_got_and_what_it_refuses_stays(self, stack: StackOnMoto) -> None:
        stack.put("onboarding", {"requestPayload": {"detail": 1}, "responsePayload": {}})
        stack.put("onboarding", {"detail": 2})  # as EventBridge puts it there
        stack.put("onboarding", {"bad": True})
        stack.put("onboarding", "not json")
        result = run("redrive", "onboarding", "--yes")
        assert result.exit_code == 1
        assert "2 of 4 went back" in result.stderr
        for reason in ("Extra inputs", "not a JSON object"):
            assert reason in result.stderr
        invoked = stack.client("lambda").invoked
        assert sorted(event["detail"] for _, event in invoked) == [1, 2]
        assert {function for function, _ in invoked} == {"StartProvisioningFunction"}
        assert counts(stack) == {"onboarding": 2}

    def test_a_line_of_usage_becomes_a_delivery_again(self) -> None:
        line = {"id": "1", "timestamp": 1, "message": "{}"}
        event = event_of(QUEUES[-1], json.dumps(line))
        assert event is not None
        logged = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
        assert (logged["messageType"], logged["logEvents"]) == ("DATA_MESSAGE", [line])

    def test_nothing_is_done_without_a_yes(self, stack: StackOnMoto) -> None:
        stack.put("alerts", {})
        result = run("redrive", "alerts", answer="n\n")
        assert result.exit_code == 2
        assert counts(stack) == {"alerts": 1}

    def test_an_empty_queue_is_done(self, stack: StackOnMoto) -> None:
        result = run("redrive", "alerts", "--json")
        assert (result.exit_code, json.loads(result.stdout)["moved"]) == (0, 0)

    def test_a_queue_that_there_is_not_is_refused_with_those_that_there_are(self, stack: StackOnMoto) -> None:
        result = run("redrive", "letters", "--yes")
        assert result.exit_code == 2
        assert "usage" in result.stderr


class TestSingleMessages:
    def test_each_is_shown_with_what_it_says_and_stays(self, stack: StackOnMoto) -> None:
        dead = SqsDeadLetters(stack.client("sqs"), queue_url=stack.resources["ChangeDeadLetterQueue"])
        for number in range(12):
            dead.keep(json.dumps({"number": number}), TenantNotFound("No tenant has that bucket."))
        for _ in range(2):
            result = run("show", "changes", "--json")
            assert result.exit_code == 1
            shown = json.loads(result.stdout)
            assert sorted(json.loads(each["body"])["number"] for each in shown) == list(range(12))
            assert {each["reason"] for each in shown} == {"TenantNotFound: No tenant has that bucket."}
        assert "No tenant has that bucket." in run("show", "changes").stdout
        assert counts(stack) == {"changes": 12}

    def test_an_empty_queue_is_well(self, stack: StackOnMoto) -> None:
        assert (run("show", "usage").exit_code, run("purge", "usage").exit_code) == (0, 0)

    def test_one_is_deleted_and_the_others_stay(self, stack: StackOnMoto) -> None:
        for number in range(3):
            stack.put("onboarding", {"detail": number})
        first = json.loads(run("show", "onboarding", "--json").stdout)[0]
        result = run("purge", "onboarding", "--message", first["message_id"], "--yes")
        assert result.exit_code == 0, result.output
        left = json.loads(run("show", "onboarding", "--json").stdout)
        assert len(left) == 2
        assert first["message_id"] not in {each["message_id"] for each in left}
        assert run("purge", "onboarding", "--message", first["message_id"], "--yes").exit_code == 2

    def test_all_are_deleted_once_somebody_says_so(self, stack: StackOnMoto) -> None:
        for number in range(12):
            stack.put("alerts", {"alert": number})
        assert run("purge", "alerts", answer="n\n").exit_code == 2
        assert counts(stack) == {"alerts": 12}
        result = run("purge", "alerts", answer="y\n")
        assert (result.exit_code, counts(stack)) == (0, {})
        assert "12 messages of alerts deleted" in result.stdout

    @pytest.mark.parametrize("name", ["changes", "ticks"])
    def test_many_are_looked_at_and_deleted_ten_at_a_time(self, stack: StackOnMoto, name: str) -> None:
        stack.fill(name, 205)
        calls: Counter[str] = Counter()
        stack.client("sqs").meta.events.register(
            "before-call.sqs", lambda model, **_: calls.update([model.name]), unique_id="calls"
        )
        assert len(json.loads(run("show", name, "--limit", "10", "--json").stdout)) == 10
        assert calls == {"ReceiveMessage": 1, "ChangeMessageVisibilityBatch": 1}
        assert "There may be more than these 10" in run("show", name, "--limit", "10").stdout
        calls.clear()
        result = run("purge", name, "--yes")
        assert (result.exit_code, counts(stack)) == (0, {}), result.output
        assert "205 messages" in result.stdout
        assert calls["ReceiveMessage"] + calls["DeleteMessageBatch"] < 3 * 205 / 10

    def test_a_look_that_takes_long_shows_each_message_once(self, stack: StackOnMoto) -> None:
        """Others may see them again meanwhile, and SQS may give them twice."""
        for number in range(25):
            stack.put("changes", {"number": number})
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(cli.dead_letters, "_LOOK_SECONDS", 0)
            shown = json.loads(run("show", "changes", "--json").stdout)
        assert len(shown) == len({each["message_id"] for each in shown})

    def test_what_is_not_deleted_is_said(self, stack: StackOnMoto, monkeypatch: pytest.MonkeyPatch) -> None:
        stack.put("changes", {"number": 1})
        refused = {"Failed": [{"Id": "0", "Code": "InternalError", "SenderFault": False}]}
        monkeypatch.setattr(stack.client("sqs"), "delete_message_batch", lambda **_: refused, raising=False)
        result = run("purge", "changes", "--yes")
        assert result.exit_code == 1
        assert "InternalError" in result.stderr
        assert counts(stack) == {"changes": 1}
