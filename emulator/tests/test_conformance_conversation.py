"""What is known of Converse and ConverseStream, shown of the emulator."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bedrock_emulator.world.clock import ManualClock

fact = pytest.mark.fact

MODEL = "amazon.nova-lite-v1:0"
LEAVE = "Employees get 20 days of paid leave. Unused days expire in March."
TRAVEL = "Travel expenses are reimbursed within 14 days."
QUESTION = "How many days of paid leave do employees get?"


def said(answer: dict[str, Any]) -> str:
    """The text of an answer."""
    return str(answer["output"]["message"]["content"][0]["text"])


def user(*content: Any) -> list[dict[str, Any]]:
    """One message of the user; plain texts may be given as such."""
    return [{"role": "user", "content": [part if isinstance(part, dict) else {"text": part} for part in content]}]


@fact("Converse answers output.message of the assistant, stopReason, usage and metrics", "M")
@pytest.mark.parametrize(
    "content",
    [
        f"<passages><passage>{TRAVEL}</passage><passage>{LEAVE}</passage></passages>\n<question>{QUESTION}</question>",
        f"Passages:\n\n{TRAVEL}\n\n{LEAVE}\n\nQuestion: {QUESTION}",
        f"{TRAVEL}\n\n{LEAVE}\n\n{QUESTION}",
    ],
    ids=["in elements", "after a heading", "last"],
)
def test_a_question_is_answered_from_the_prompt(bench: Any, content: str) -> None:
    answer = bench.client("bedrock-runtime").converse(modelId=MODEL, messages=user(content))
    assert said(answer) == "Employees get 20 days of paid leave."
    assert answer["output"]["message"]["role"] == "assistant"
    assert answer["stopReason"] == "end_turn"
    usage = answer["usage"]
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"] > 0


@fact("passages may stand in the system prompt", "M")
def test_numbered_passages_are_cited_by_their_numbers(bench: Any) -> None:
    system = [{"text": f"Answer from the passages.\n\n[1] {TRAVEL}\n[2] {LEAVE}"}]
    answer = bench.client("bedrock-runtime").converse(modelId=MODEL, system=system, messages=user(QUESTION))
    assert said(answer) == "Employees get 20 days of paid leave. [2]"


@fact("search results with citations enabled are cited in citationsContent", "M")
def test_search_results_are_cited(bench: Any) -> None:
    results = [
        {
            "searchResult": {
                "source": f"s3://documents/{title}.txt",
                "title": title,
                "content": [{"text": text}],
                "citations": {"enabled": True},
            }
        }
        for title, text in (("travel", TRAVEL), ("leave", LEAVE))
    ]
    answer = bench.client("bedrock-runtime").converse(modelId=MODEL, messages=user(*results, QUESTION))
    (block,) = answer["output"]["message"]["content"]
    assert block["citationsContent"]["content"] == [{"text": "Employees get 20 days of paid leave."}]
    (citation,) = block["citationsContent"]["citations"]
    assert citation["source"] == "s3://documents/leave.txt"
    assert citation["location"]["searchResultLocation"]["searchResultIndex"] == 1


@fact("ConverseStream gives the same message as events", "M")
def test_a_streamed_message_is_the_same(bench: Any) -> None:
    messages = user(f"{LEAVE}\n\n{QUESTION}")
    plain = bench.client("bedrock-runtime").converse(modelId=MODEL, messages=messages)
    events = list(bench.client("bedrock-runtime").converse_stream(modelId=MODEL, messages=messages)["stream"])
    deltas = [event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event]
    assert len(deltas) > 1
    assert "".join(deltas) == said(plain)
    assert [next(iter(event)) for event in events if "contentBlockDelta" not in event] == [
        "messageStart",
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]


@fact("requestMetadata is taken: 1 to 16 texts by name, of `[a-zA-Z0-9\\s:_@$#=/+,-.]`, up to 256 characters", "M")
def test_a_request_may_say_whose_it_is(bench: Any) -> None:
    messages = user(f"{LEAVE}\n\n{QUESTION}")
    runtime = bench.client("bedrock-runtime")
    named = {"kbfleet:fleet": "kbfleet", "kbfleet:tenant": "acme"}
    assert said(runtime.converse(modelId=MODEL, messages=messages, requestMetadata=named))
    (call,) = bench.emulator.calls.of("Converse")
    assert call["input"]["requestMetadata"] == named
    for wrong in ({"tenant": "日本"}, {"tenant": "a" * 257}, {f"tag-{number}": "" for number in range(17)}):
        with pytest.raises(ClientError, match="ValidationException"):
            runtime.converse(modelId=MODEL, messages=messages, requestMetadata=wrong)


def test_the_log_of_calls_has_the_tokens_that_each_answer_names(bench: Any) -> None:
    runtime, messages = bench.client("bedrock-runtime"), user(f"{LEAVE}\n\n{QUESTION}")
    plain = runtime.converse(modelId=MODEL, messages=messages)["usage"]
    events = list(runtime.converse_stream(modelId=MODEL, messages=messages)["stream"])
    with pytest.raises(ClientError):
        runtime.converse(modelId=MODEL, messages=[])
    streamed = next(event["metadata"]["usage"] for event in events if "metadata" in event)
    assert [call["usage"] for call in bench.emulator.calls] == [plain, streamed, None]


@fact("maxTokens ends a message with stopReason max_tokens", "M")
def test_a_message_can_be_limited(bench: Any) -> None:
    answer = bench.client("bedrock-runtime").converse(
        modelId=MODEL, messages=user(f"{LEAVE}\n\n{QUESTION}"), inferenceConfig={"maxTokens": 3}
    )
    assert answer["stopReason"] == "max_tokens"
    assert len(said(answer)) < 20


@fact(
    "model needs an inference profile: 400 `Invocation of model ID {id} with on-demand throughput isn't supported.`",
    "R",
)
def test_some_models_need_an_inference_profile(bench: Any) -> None:
    with pytest.raises(ClientError, match="with on-demand throughput isn't supported"):
        bench.client("bedrock-runtime").converse(
            modelId="anthropic.claude-haiku-4-5-20251001-v1:0", messages=user(f"{LEAVE}\n\n{QUESTION}")
        )
    profile = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    assert bench.client("bedrock-runtime").converse(modelId=profile, messages=user(f"{LEAVE}\n\n{QUESTION}"))


@fact("a model that has ended is called no more", "R")
@pytest.mark.parametrize("geography", ["", "us."])
def test_a_model_ends(workbench_of: Callable[..., Any], geography: str) -> None:
    model = f"{geography}anthropic.claude-3-haiku-20240307-v1:0"
    its_end = datetime(2026, 9, 10, tzinfo=UTC).timestamp()
    bench = workbench_of(region="us-east-1", clock=ManualClock(its_end - 60))
    arguments = {"modelId": model, "messages": user(f"{LEAVE}\n\n{QUESTION}")}
    assert bench.client("bedrock-runtime").converse(**arguments)
    bench.clock.advance(60)
    with pytest.raises(ClientError, match="end of its life") as caught:
        bench.client("bedrock-runtime").converse(**arguments)
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("region", "model", "refused"),
    [
        ("us-east-1", "amazon.nova-lite-v1:0", None),
        ("us-east-1", "us.amazon.nova-lite-v1:0", None),
        ("us-west-2", "amazon.nova-lite-v1:0", "on-demand throughput isn't supported"),
        ("us-west-2", "us.amazon.nova-lite-v1:0", None),
        ("eu-central-1", "amazon.nova-lite-v1:0", "on-demand throughput isn't supported"),
        ("eu-central-1", "eu.amazon.nova-lite-v1:0", None),
        ("eu-central-1", "us.amazon.nova-lite-v1:0", "model identifier is invalid"),
        ("ap-northeast-1", "jp.anthropic.claude-haiku-4-5-20251001-v1:0", None),
        ("ap-northeast-1", "us.anthropic.claude-haiku-4-5-20251001-v1:0", "model identifier is invalid"),
        ("ap-northeast-1", "global.anthropic.claude-haiku-4-5-20251001-v1:0", None),
        ("eu-central-1", "amazon.nova-premier-v1:0", "model identifier is invalid"),
        ("eu-central-1", "amazon.nova-2-lite-v1:0", "on-demand throughput isn't supported"),
        ("eu-central-1", "mistral.unheard-of-v1:0", None),
    ],
)
@fact("in many Regions, Amazon Nova can be called through an inference profile of the Region's geography only", "R")
def test_a_model_is_callable_by_region(
    workbench_of: Callable[..., Any], region: str, model: str, refused: str | None
) -> None:
    def call() -> object:
        runtime = workbench_of(region=region).client("bedrock-runtime")
        return runtime.converse(modelId=model, messages=user(f"{LEAVE}\n\n{QUESTION}"))

    if refused is None:
        assert call()
    else:
        with pytest.raises(ClientError, match=refused) as caught:
            call()
        assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_a_question_without_an_answer_is_said_to_have_none(bench: Any) -> None:
    answer = bench.client("bedrock-runtime").converse(
        modelId=MODEL, messages=user(f"{LEAVE}\n\nWho won the world cup?")
    )
    assert said(answer).startswith("I could not find an answer")


def test_tools_are_not_emulated_and_say_so(bench: Any) -> None:
    tool = {"toolSpec": {"name": "search", "inputSchema": {"json": {}}}}
    with pytest.raises(ClientError, match="toolConfig is not emulated"):
        bench.client("bedrock-runtime").converse(modelId=MODEL, messages=user(QUESTION), toolConfig={"tools": [tool]})


@pytest.mark.parametrize(
    "instruction",
    [
        "Given the chat history, formulate a standalone question.",
        "Rephrase the question so that it stands on its own.",
        "質問を、それだけで意味が通るように書き直してください。",
    ],
)
def test_a_question_is_rewritten_where_the_prompt_asks_for_that(bench: Any, instruction: str) -> None:
    messages = [
        *user("How heavy is the green tent?"),
        {"role": "assistant", "content": [{"text": "Two kilograms."}]},
        *user("And what does it cost?"),
    ]
    answer = bench.client("bedrock-runtime").converse(
        modelId=MODEL, system=[{"text": instruction}], messages=messages, inferenceConfig={"maxTokens": 100}
    )
    assert said(answer) == "what does the green tent cost?"
    assert answer["stopReason"] == "end_turn"


def test_a_question_is_understood_in_its_conversation(bench: Any) -> None:
    tent, shoes = "The warranty of the tent is two years.", "The warranty of the shoes is one year."
    messages = [
        *user("How long is the warranty of the tent?"),
        {"role": "assistant", "content": [{"text": "Two years."}]},
        *user(f"<passage>{tent}</passage><passage>{shoes}</passage>\n<question>And of the shoes?</question>"),
    ]
    answer = bench.client("bedrock-runtime").converse(modelId=MODEL, messages=messages)
    assert said(answer) == shoes
