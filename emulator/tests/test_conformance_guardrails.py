"""What is known of guardrails, of which word lists are emulated, shown of the emulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from emulator_support.workbench import NOVA

fact = pytest.mark.fact

LEAVE = "Paid leave is twenty days a year."
ON_INPUT, ON_OUTPUT = "I do not talk about that.", "That stays with us."


def guardrail(bench: Any, *words: str, name: str = "house", **settings: Any) -> tuple[str, str]:
    """A guardrail of these words, its draft; gives id and version."""
    made = bench.client("bedrock").create_guardrail(
        name=name,
        blockedInputMessaging=ON_INPUT,
        blockedOutputsMessaging=ON_OUTPUT,
        wordPolicyConfig={"wordsConfig": [{"text": word, **settings} for word in words]},
    )
    return str(made["guardrailId"]), str(made["version"])


def converse(bench: Any, *texts: str, guard: tuple[str, str], trace: str = "disabled", **more: Any) -> dict[str, Any]:
    answered: dict[str, Any] = bench.client("bedrock-runtime").converse(
        modelId="amazon.nova-lite-v1:0",
        messages=[{"role": "user", "content": [{"text": text} for text in texts]}],
        guardrailConfig={"guardrailIdentifier": guard[0], "guardrailVersion": guard[1], "trace": trace},
        **more,
    )
    return answered


def said(answered: dict[str, Any]) -> str:
    return "".join(block["text"] for block in answered["output"]["message"]["content"])


def ask(bench: Any, base: str, text: str, guard: tuple[str, str]) -> dict[str, Any]:
    answered: dict[str, Any] = bench.runtime.retrieve_and_generate(**asked(base, text, guard))
    return answered


def asked(base: str, text: str, guard: tuple[str, str]) -> dict[str, Any]:
    generation = {"guardrailConfiguration": {"guardrailId": guard[0], "guardrailVersion": guard[1]}}
    return {
        "input": {"text": text},
        "retrieveAndGenerateConfiguration": {
            "type": "KNOWLEDGE_BASE",
            "knowledgeBaseConfiguration": {
                "knowledgeBaseId": base,
                "modelArn": NOVA,
                "generationConfiguration": generation,
            },
        },
    }


# Guardrails themselves


@fact("CreateGuardrail answers 202 with an id, an ARN and the version DRAFT", "M")
def test_a_guardrail_is_made_as_a_draft(bench: Any) -> None:
    control = bench.client("bedrock")
    identifier, version = guardrail(bench, "salary")
    found = control.get_guardrail(guardrailIdentifier=identifier)
    assert (version, found["version"], found["status"], found["name"]) == ("DRAFT", "DRAFT", "READY", "house")
    assert found["guardrailArn"] == f"arn:aws:bedrock:us-east-1:000000000000:guardrail/{identifier}"
    assert [word["text"] for word in found["wordPolicy"]["words"]] == ["salary"]
    assert control.get_guardrail(guardrailIdentifier=found["guardrailArn"])["guardrailId"] == identifier


@fact("a version of a guardrail is numbered, and stays as it is when the draft is changed", "D")
def test_a_version_stays_as_it_is(bench: Any) -> None:
    control = bench.client("bedrock")
    identifier, _ = guardrail(bench, "salary")
    number = control.create_guardrail_version(guardrailIdentifier=identifier)["version"]
    control.update_guardrail(
        guardrailIdentifier=identifier,
        name="house",
        blockedInputMessaging=ON_INPUT,
        blockedOutputsMessaging=ON_OUTPUT,
        wordPolicyConfig={"wordsConfig": [{"text": "leave"}]},
    )
    assert said(converse(bench, "What is the salary?", guard=(identifier, number))) == ON_INPUT
    assert said(converse(bench, "What is the salary?", guard=(identifier, "DRAFT"))) != ON_INPUT
    listed = control.list_guardrails(guardrailIdentifier=identifier)["guardrails"]
    assert [each["version"] for each in listed] == ["DRAFT", number] == ["DRAFT", "1"]
    assert [each["version"] for each in control.list_guardrails()["guardrails"]] == ["DRAFT"]
    control.delete_guardrail(guardrailIdentifier=identifier, guardrailVersion=number)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        control.get_guardrail(guardrailIdentifier=identifier, guardrailVersion=number)
    control.delete_guardrail(guardrailIdentifier=identifier)
    assert control.list_guardrails()["guardrails"] == []


@fact("the name of a guardrail is taken once: ConflictException", "M")
def test_a_second_guardrail_of_a_name_is_a_conflict(bench: Any) -> None:
    guardrail(bench, "salary")
    with pytest.raises(ClientError, match="ConflictException"):
        guardrail(bench, "salary")


def test_other_policies_than_words_are_not_emulated(bench: Any) -> None:
    with pytest.raises(ClientError, match="contentPolicyConfig is not emulated"):
        bench.client("bedrock").create_guardrail(
            name="house",
            blockedInputMessaging=ON_INPUT,
            blockedOutputsMessaging=ON_OUTPUT,
            contentPolicyConfig={"filtersConfig": [{"type": "HATE", "inputStrength": "LOW", "outputStrength": "LOW"}]},
        )


def test_a_guardrail_survives_a_restart(workbench_of: Any, tmp_path: Path) -> None:
    before = workbench_of(state=tmp_path)
    guard = guardrail(before, "salary")
    before.emulator.close()
    assert said(converse(workbench_of(state=tmp_path), "What is the salary?", guard=guard)) == ON_INPUT


# Words


@fact("words and phrases match exactly; here without regard to case, and not within longer words", "I")
@pytest.mark.parametrize(
    ("word", "text", "blocked"),
    [
        ("salary", "What is the Salary?", True),
        ("salary", "What are salaryman's rights?", False),
        ("trade secret", "This is a trade secret.", True),
        ("trade secret", "Trade no secret.", False),
        ("c++", "We use C++.", True),
        ("給与", "給与規程を教えて。", True),
        ("給与", "給料を教えて。", False),
    ],
)
def test_a_word_is_found(bench: Any, word: str, text: str, blocked: bool) -> None:
    guard = guardrail(bench, word)
    answered = bench.client("bedrock-runtime").apply_guardrail(
        guardrailIdentifier=guard[0], guardrailVersion=guard[1], source="INPUT", content=[{"text": {"text": text}}]
    )
    assert answered["action"] == ("GUARDRAIL_INTERVENED" if blocked else "NONE")
    assert [output["text"] for output in answered["outputs"]] == ([ON_INPUT] if blocked else [])
    words = [match["match"] for each in answered["assessments"] for match in each["wordPolicy"]["customWords"]]
    assert words == ([word] if blocked else [])


@fact("a word may count on one side only, or be told without blocking", "M")
@pytest.mark.parametrize(
    ("settings", "action"),
    [
        ({"inputEnabled": False}, "NONE"),
        ({"inputAction": "NONE"}, "NONE"),
        ({"outputEnabled": False}, "GUARDRAIL_INTERVENED"),
    ],
)
def test_a_word_counts_where_it_is_enabled(bench: Any, settings: dict[str, Any], action: str) -> None:
    guard = guardrail(bench, "salary", **settings)
    answered = bench.client("bedrock-runtime").apply_guardrail(
        guardrailIdentifier=guard[0], guardrailVersion=guard[1], source="INPUT", content=[{"text": {"text": "salary"}}]
    )
    assert answered["action"] == action


# Converse


@fact("Converse: a blocked question is answered blockedInputMessaging, stopReason guardrail_intervened", "D")
def test_a_question_is_blocked(bench: Any) -> None:
    answered = converse(bench, f"{LEAVE}\n\nHow much is the salary?", guard=guardrail(bench, "salary"))
    assert (said(answered), answered["stopReason"]) == (ON_INPUT, "guardrail_intervened")
    assert "trace" not in answered


@fact("Converse: a blocked answer is replaced by blockedOutputsMessaging", "D")
def test_an_answer_is_blocked(bench: Any) -> None:
    guard = guardrail(bench, "twenty", inputEnabled=False)
    answered = converse(bench, f"{LEAVE}\n\nHow many days of paid leave?", guard=guard)
    assert (said(answered), answered["stopReason"]) == (ON_OUTPUT, "guardrail_intervened")


@fact("Converse: where content is marked as guardContent, only that is looked at", "D")
@pytest.mark.parametrize(("marked", "blocked"), [("How much is it?", False), ("How much is the salary?", True)])
def test_only_what_is_marked_is_looked_at(bench: Any, marked: str, blocked: bool) -> None:
    guard = guardrail(bench, "salary")
    answered = bench.client("bedrock-runtime").converse(
        modelId="amazon.nova-lite-v1:0",
        messages=[
            {
                "role": "user",
                "content": [{"text": "The salary is paid in May."}, {"guardContent": {"text": {"text": marked}}}],
            }
        ],
        guardrailConfig={"guardrailIdentifier": guard[0], "guardrailVersion": guard[1]},
    )
    assert (answered["stopReason"] == "guardrail_intervened") == (blocked or "salary" in said(answered))
    assert (said(answered) == ON_INPUT) == blocked


@fact("Converse: the trace tells what was found, where it is enabled", "M")
def test_the_trace_tells_what_was_found(bench: Any) -> None:
    guard = guardrail(bench, "twenty", inputEnabled=False)
    answered = converse(bench, f"{LEAVE}\n\nHow many days of paid leave?", guard=guard, trace="enabled")
    traced = answered["trace"]["guardrail"]
    (assessment,) = traced["outputAssessments"][guard[0]]
    assert assessment["wordPolicy"]["customWords"] == [{"match": "twenty", "action": "BLOCKED", "detected": True}]
    assert traced["modelOutput"] == [LEAVE]
    assert traced["inputAssessment"] == {guard[0]: {}}


@fact("ConverseStream stops with guardrail_intervened, too", "M")
def test_a_streamed_question_is_blocked(bench: Any) -> None:
    guard = guardrail(bench, "salary")
    events = bench.client("bedrock-runtime").converse_stream(
        modelId="amazon.nova-lite-v1:0",
        messages=[{"role": "user", "content": [{"text": "What is the salary?"}]}],
        guardrailConfig={"guardrailIdentifier": guard[0], "guardrailVersion": guard[1]},
    )["stream"]
    told = list(events)
    text = "".join(event["contentBlockDelta"]["delta"]["text"] for event in told if "contentBlockDelta" in event)
    (stopped,) = [event["messageStop"]["stopReason"] for event in told if "messageStop" in event]
    assert (text, stopped) == (ON_INPUT, "guardrail_intervened")


@fact("a guardrail that does not exist: 400 `The guardrail identifier or version … does not exist.`", "R")
def test_a_guardrail_must_exist(bench: Any) -> None:
    identifier, _ = guardrail(bench, "salary")
    for unknown in (("abcdefghijkl", "DRAFT"), (identifier, "7")):
        with pytest.raises(ClientError, match=r"ValidationException.*does not exist"):
            converse(bench, "What is the salary?", guard=unknown)


# Knowledge bases


@fact("Retrieve: guardrailAction says whether a guardrail has intervened; passages are not looked at", "D")
def test_a_query_is_blocked_and_passages_never(bench: Any) -> None:
    base, _ = bench.stocked(**{"leave.txt": LEAVE})

    def retrieve(text: str, *words: str) -> tuple[str, int]:
        identifier, version = guardrail(bench, *words, name=words[0])
        found = bench.runtime.retrieve(
            knowledgeBaseId=base,
            retrievalQuery={"text": text},
            guardrailConfiguration={"guardrailId": identifier, "guardrailVersion": version},
        )
        return found["guardrailAction"], len(found["retrievalResults"])

    assert retrieve("paid leave", "leave") == ("INTERVENED", 0)
    assert retrieve("paid leave", "twenty") == ("NONE", 1)
    assert "guardrailAction" not in bench.runtime.retrieve(knowledgeBaseId=base, retrievalQuery={"text": "leave"})


@fact("RetrieveAndGenerate: guardrailAction INTERVENED, and the guardrail's words in place of the answer", "M")
def test_a_knowledge_bases_answer_is_guarded(bench: Any) -> None:
    base, _ = bench.stocked(**{"leave.txt": LEAVE})
    question = "How many days of paid leave?"
    blocked = ask(bench, base, question, guardrail(bench, "paid leave", name="input", outputEnabled=False))
    assert (blocked["output"]["text"], blocked["guardrailAction"]) == (ON_INPUT, "INTERVENED")
    assert [citation["retrievedReferences"] for citation in blocked["citations"]] == [[]]
    free = ask(bench, base, question, guardrail(bench, "salary", name="free"))
    assert (free["output"]["text"], free["guardrailAction"]) == (LEAVE, "NONE")


@fact("guardrails do not filter retrievedReferences: blocked text can still leave through the citations", "R")
def test_what_was_blocked_stands_in_the_citations(bench: Any) -> None:
    base, _ = bench.stocked(**{"leave.txt": LEAVE})
    answered = ask(bench, base, "How many days of paid leave?", guardrail(bench, "twenty", inputEnabled=False))
    assert (answered["output"]["text"], answered["guardrailAction"]) == (ON_OUTPUT, "INTERVENED")
    (citation,) = answered["citations"]
    assert [reference["content"]["text"] for reference in citation["retrievedReferences"]] == [LEAVE]


@fact("RetrieveAndGenerateStream tells the guardrail's action in an event", "M")
def test_a_streamed_answer_is_guarded(bench: Any) -> None:
    base, _ = bench.stocked(**{"leave.txt": LEAVE})
    guard = guardrail(bench, "twenty", inputEnabled=False)
    events = list(bench.runtime.retrieve_and_generate_stream(**asked(base, "How many days of leave?", guard))["stream"])
    assert "".join(event["output"]["text"] for event in events if "output" in event) == ON_OUTPUT
    assert [event["guardrail"]["action"] for event in events if "guardrail" in event] == ["INTERVENED"]
