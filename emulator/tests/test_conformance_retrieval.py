"""What is known of Retrieve and RetrieveAndGenerate, shown of the emulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bedrock_emulator import Quotas

fact = pytest.mark.fact

LEAVE = "# Leave\n\nEmployees get 20 days of paid leave. The office closes at six in the evening."
休暇 = "有給休暇は年に二十日付与されます。会社は九時に始まります。"
NOVA = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"
NO_ANSWER = "Sorry, I am unable to assist you with this request."


def refusal(call: Callable[..., Any], **members: Any) -> tuple[int, str, str]:
    """The HTTP status, code and message of the error that a call is answered."""
    with pytest.raises(ClientError) as caught:
        call(**members)
    response = caught.value.response
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    return status, response["Error"]["Code"], response["Error"]["Message"]


def retrieve(base: str, text: str, **search: Any) -> dict[str, Any]:
    """The members of Retrieve."""
    return {
        "knowledgeBaseId": base,
        "retrievalQuery": {"text": text},
        "retrievalConfiguration": {"vectorSearchConfiguration": search},
    }


@fact(
    "a result has content, location, score and metadata with x-amz-bedrock-kb-source-uri, -data-source-id, -chunk-id",
    "R",
)
def test_a_result_tells_where_it_comes_from(bench: Any) -> None:
    base, source = bench.stocked(**{"a.txt": LEAVE, "a.txt.metadata.json": bench.sidecar(department="HR", tags=["x"])})
    (result,) = bench.retrieved(base, "paid leave")
    assert result["content"] == {"type": "TEXT", "text": LEAVE}
    assert result["location"] == {"type": "S3", "s3Location": {"uri": "s3://documents/a.txt"}}
    assert 0 < result["score"] <= 1
    assert result["metadata"].pop("x-amz-bedrock-kb-chunk-id")
    assert result["metadata"] == {
        "x-amz-bedrock-kb-source-uri": "s3://documents/a.txt",
        "x-amz-bedrock-kb-data-source-id": source,
        "x-amz-bedrock-kb-source-file-modality": "TEXT",
        "department": "HR",
        "tags": ["x"],
    }


@fact("sidecars: plain values and the typed form can be mixed", "D")
def test_typed_and_plain_attributes_can_be_mixed(bench: Any) -> None:
    typed = {"value": {"type": "NUMBER", "numberValue": 7}, "includeForEmbedding": True}
    base, _ = bench.stocked(**{"a.txt": LEAVE, "a.txt.metadata.json": bench.sidecar(floor=typed, department="HR")})
    metadata = bench.retrieved(base, "leave")[0]["metadata"]
    assert (metadata["floor"], metadata["department"]) == (7, "HR")


@fact("an attribute with includeForEmbedding is embedded with the text", "D")
def test_an_embedded_attribute_can_be_searched_for(bench: Any) -> None:
    typed = {"value": {"type": "STRING", "stringValue": "Wolpertinger"}, "includeForEmbedding": True}
    base, _ = bench.stocked(
        **{"a.txt": "A text.", "b.txt": "A text.", "a.txt.metadata.json": bench.sidecar(animal=typed)}
    )
    assert bench.retrieved(base, "Wolpertinger")[0]["location"]["s3Location"]["uri"] == "s3://documents/a.txt"


@fact("numberOfResults limits the results; the rest is on further pages", "M")
def test_results_are_paged(bench: Any) -> None:
    base, _ = bench.stocked(**{f"{number}.txt": f"Document number {number}." for number in range(12)})
    assert len(bench.retrieved(base, "document")) == 5
    assert len(bench.retrieved(base, "document", numberOfResults=10)) == 10
    members = retrieve(base, "document", numberOfResults=5)
    seen = [
        result["content"]["text"]
        for page in bench.runtime.get_paginator("retrieve").paginate(**members)
        for result in page["retrievalResults"]
    ]
    assert len(seen) == len(set(seen)) == 12


@fact("Retrieve with empty text: 400 `Text input is required.`", "R")
def test_an_empty_query_is_refused(bench: Any) -> None:
    base = bench.knowledge_base()
    assert refusal(bench.runtime.retrieve, **retrieve(base, "")) == (
        400,
        "ValidationException",
        "Text input is required.",
    )


@fact("user query length: 1,000 characters", "D")
def test_a_query_has_at_most_1000_characters(bench: Any) -> None:
    base = bench.knowledge_base()
    assert bench.retrieved(base, "x" * 1_000) == []
    assert refusal(bench.runtime.retrieve, **retrieve(base, "x" * 1_001))[:2] == (400, "ValidationException")
    with pytest.raises(
        ClientError, match=r"at 'input\.text' failed to satisfy constraint: Member must have length less than"
    ):
        bench.ask(base, "x" * 1_001)


@fact("MANAGED: user query length: 10,000 characters", "D")
def test_a_managed_query_has_at_most_10000_characters(bench: Any) -> None:
    base = bench.managed()
    assert bench.runtime.retrieve(knowledgeBaseId=base, retrievalQuery={"text": "x" * 10_000})["retrievalResults"] == []
    with pytest.raises(ClientError, match="ValidationException"):
        bench.runtime.retrieve(knowledgeBaseId=base, retrievalQuery={"text": "x" * 10_001})


@fact("HYBRID on S3 Vectors: 400 `HYBRID search type is not supported for search operation on index {KB_ID}.`", "R")
def test_there_is_no_hybrid_search_on_s3_vectors(bench: Any) -> None:
    base = bench.knowledge_base()
    assert refusal(bench.runtime.retrieve, **retrieve(base, "leave", overrideSearchType="HYBRID")) == (
        400,
        "ValidationException",
        f"HYBRID search type is not supported for search operation on index {base}.",
    )


@fact("Retrieve, RetrieveAndGenerate: 20 requests a second each", "D")
def test_queries_have_a_rate(workbench_of: Any) -> None:
    bench = workbench_of(quotas=Quotas())
    base = bench.knowledge_base()
    for _ in range(20):
        bench.retrieved(base, "leave")
    assert refusal(bench.runtime.retrieve, **retrieve(base, "leave"))[:2] == (429, "ThrottlingException")
    assert bench.ask(base, "leave")


@fact("Retrieve on MANAGED: 600 a minute per knowledge base", "D")
def test_managed_knowledge_bases_have_a_rate_of_their_own(workbench_of: Any) -> None:
    quotas = Quotas(managed_retrievals_per_minute_per_knowledge_base=3)
    bench = workbench_of(quotas=quotas)
    base = bench.managed()
    for _ in range(3):
        bench.retrieved(base, "leave")
    with pytest.raises(ClientError, match="ThrottlingException"):
        bench.retrieved(base, "leave")
    bench.clock.advance(20)
    assert bench.retrieved(base, "leave") == []
    assert Quotas().managed_retrievals_per_minute_per_knowledge_base == 600


@fact("bedrock-agent-runtime answers an unknown knowledge base 404 ResourceNotFoundException", "M")
def test_an_unknown_knowledge_base_is_not_found(bench: Any) -> None:
    assert refusal(bench.runtime.retrieve, **retrieve("0123456789", "x"))[:2] == (404, "ResourceNotFoundException")


FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({"equals": {"key": "year", "value": 2024}}, {"a"}),
    ({"notEquals": {"key": "year", "value": 2024}}, {"b", "c"}),
    ({"greaterThan": {"key": "year", "value": 2024}}, {"b"}),
    ({"greaterThanOrEquals": {"key": "year", "value": 2024}}, {"a", "b"}),
    ({"lessThan": {"key": "year", "value": 2025}}, {"a"}),
    ({"lessThanOrEquals": {"key": "year", "value": 2025}}, {"a", "b"}),
    ({"in": {"key": "team", "value": ["hr", "it"]}}, {"a", "b"}),
    ({"notIn": {"key": "team", "value": ["hr"]}}, {"b", "c"}),
    ({"listContains": {"key": "tags", "value": "new"}}, {"b"}),
    ({"andAll": [{"equals": {"key": "team", "value": "it"}}, {"equals": {"key": "draft", "value": True}}]}, {"b"}),
    ({"orAll": [{"equals": {"key": "team", "value": "hr"}}, {"equals": {"key": "draft", "value": True}}]}, {"a", "b"}),
]


@fact("filter operators on metadata", "M")
@pytest.mark.parametrize(("given", "found"), FILTERS, ids=[next(iter(given)) for given, _ in FILTERS])
def test_a_filter_lets_through_what_it_says(bench: Any, given: dict[str, Any], found: set[str]) -> None:
    base, _ = bench.stocked(
        **{
            "a.txt": "Document a.",
            "a.txt.metadata.json": bench.sidecar(year=2024, team="hr", tags=["old"], draft=False),
            "b.txt": "Document b.",
            "b.txt.metadata.json": bench.sidecar(year=2025, team="it", tags=["new", "old"], draft=True),
            "c.txt": "Document c.",
        }
    )
    results = bench.retrieved(base, "document", filter=given)
    assert {result["content"]["text"][-2] for result in results} == found


@fact("startsWith and stringContains are not for S3 Vectors, nor for MANAGED", "D")
@pytest.mark.parametrize("operator", ["startsWith", "stringContains"])
def test_some_operators_are_not_for_s3_vectors(bench: Any, operator: str) -> None:
    filtered = {"filter": {operator: {"key": "team", "value": "h"}}}
    members = retrieve(bench.knowledge_base(), "leave", **filtered)
    assert refusal(bench.runtime.retrieve, **members)[:2] == (400, "ValidationException")
    managed = {"knowledgeBaseId": bench.managed(), "retrievalQuery": {"text": "leave"}}
    managed["retrievalConfiguration"] = {"managedSearchConfiguration": filtered}
    assert refusal(bench.runtime.retrieve, **managed)[:2] == (400, "ValidationException")


@fact("a filter value must fit its operator", "I")
def test_a_comparison_with_a_text_is_refused(bench: Any) -> None:
    base = bench.knowledge_base()
    members = retrieve(base, "leave", filter={"greaterThan": {"key": "year", "value": "2024"}})
    assert refusal(bench.runtime.retrieve, **members)[1] == "ValidationException"


# RetrieveAndGenerate


@fact(
    "citations: generatedResponsePart.textResponsePart {text, span {start, end}}, where end is the last character", "R"
)
@pytest.mark.parametrize(
    ("question", "expected"),
    [("How many days of paid leave do employees get?", "20 days"), ("有給休暇は何日付与されますか", "二十日")],
)
def test_the_spans_point_at_the_generated_parts(bench: Any, question: str, expected: str) -> None:
    base, _ = bench.stocked(**{"leave.md": LEAVE, "休暇.txt": 休暇})
    answer = bench.ask(base, question)
    text = answer["output"]["text"]
    assert expected in text
    for citation in answer["citations"]:
        part = citation["generatedResponsePart"]["textResponsePart"]
        assert text[part["span"]["start"] : part["span"]["end"] + 1] == part["text"]
        assert any(part["text"] in reference["content"]["text"] for reference in citation["retrievedReferences"])
        for reference in citation["retrievedReferences"]:
            uri = reference["location"]["s3Location"]["uri"]
            assert reference["metadata"]["x-amz-bedrock-kb-source-uri"] == uri


@fact("a question without an answer: `Sorry, I am unable to assist you with this request.`, cited from nothing", "R")
def test_an_unanswerable_question_is_declined(bench: Any) -> None:
    base, _ = bench.stocked(**{"leave.md": LEAVE})
    answer = bench.ask(base, "Who won the world cup?")
    assert answer["output"]["text"] == NO_ANSWER
    assert [reference for citation in answer["citations"] for reference in citation["retrievedReferences"]] == []


@fact("a session is made by the service, lives 24 hours, and cannot be extended", "D")
def test_a_session_ends_after_24_hours(bench: Any) -> None:
    base, _ = bench.stocked(**{"leave.md": LEAVE})
    session = bench.ask(base, "paid leave")["sessionId"]
    bench.clock.advance(23 * 3600)
    assert bench.ask(base, "paid leave", sessionId=session)["sessionId"] == session
    bench.clock.advance(2 * 3600)
    with pytest.raises(ClientError, match=f"Session with Id {session} is not valid. Please check and try again."):
        bench.ask(base, "paid leave", sessionId=session)


@fact("bad sessionId: 400 `Session with Id {id} is not valid. Please check and try again.`", "R")
def test_an_invented_session_is_refused(bench: Any) -> None:
    base = bench.knowledge_base()
    with pytest.raises(
        ClientError, match=r"Session with Id invented is not valid\. Please check and try again\."
    ) as caught:
        bench.ask(base, "leave", sessionId="invented")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@fact("a session reused with another knowledge base: refused here", "U")
def test_a_session_belongs_to_its_knowledge_base(bench: Any) -> None:
    first, second = bench.knowledge_base("first"), bench.knowledge_base("second")
    session = bench.ask(first, "leave")["sessionId"]
    with pytest.raises(ClientError, match="is not valid"):
        bench.ask(second, "leave", sessionId=session)


@fact("MANAGED does not support RetrieveAndGenerate", "D")
def test_managed_knowledge_bases_do_not_generate(bench: Any) -> None:
    base = bench.managed()
    with pytest.raises(ClientError, match="not supported for a knowledge base of type MANAGED") as caught:
        bench.ask(base, "leave")
    assert caught.value.response["Error"]["Code"] == "ValidationException"


@fact("MANAGED: Retrieve takes managedSearchConfiguration, and refuses the other by name", "R")
def test_managed_search_is_configured_apart(bench: Any) -> None:
    base = bench.managed()
    told = (
        "Incompatible configuration: vectorSearchConfiguration is not supported for managed knowledge bases. "
        "Use managedSearchConfiguration instead."
    )
    assert refusal(bench.runtime.retrieve, **retrieve(base, "leave", numberOfResults=3)) == (
        400,
        "ValidationException",
        told,
    )
    found = bench.runtime.retrieve(
        knowledgeBaseId=base,
        retrievalQuery={"text": "leave"},
        retrievalConfiguration={"managedSearchConfiguration": {"numberOfResults": 3}},
    )
    assert found["retrievalResults"] == []


@fact("`Invocation of model ID {id} with on-demand throughput isn't supported. …inference profile…`", "R")
def test_some_models_need_an_inference_profile(bench: Any) -> None:
    base = bench.knowledge_base()
    model = "anthropic.claude-haiku-4-5-20251001-v1:0"
    with pytest.raises(ClientError, match=f"Invocation of model ID {model} with on-demand throughput isn't supported."):
        bench.ask(base, "leave", model=f"arn:aws:bedrock:us-east-1::foundation-model/{model}")
    profile = f"arn:aws:bedrock:us-east-1:000000000000:inference-profile/us.{model}"
    assert bench.ask(base, "leave", model=profile)


@fact("RetrieveAndGenerateStream gives the same answer as events, the session in a header", "M")
def test_the_streamed_answer_is_the_same(bench: Any) -> None:
    base, _ = bench.stocked(**{"leave.md": LEAVE})
    plain = bench.ask(base, "How many days of paid leave do employees get?")
    configuration = {"knowledgeBaseId": base, "modelArn": NOVA}
    streamed = bench.runtime.retrieve_and_generate_stream(
        input={"text": "How many days of paid leave do employees get?"},
        retrieveAndGenerateConfiguration={"type": "KNOWLEDGE_BASE", "knowledgeBaseConfiguration": configuration},
    )
    assert streamed["sessionId"]
    events = list(streamed["stream"])
    assert "".join(event["output"]["text"] for event in events if "output" in event) == plain["output"]["text"]
    citations = [event["citation"]["citation"] for event in events if "citation" in event]
    assert citations == plain["citations"]


@fact("a pdf's chunks carry x-amz-bedrock-kb-document-page-number", "R")
def test_a_pdf_tells_its_pages(bench: Any, two_page_pdf: bytes) -> None:
    base, _ = bench.stocked(**{"rules.pdf": two_page_pdf})
    found = {result["content"]["text"]: result["metadata"] for result in bench.retrieved(base, "paid leave")}
    pages = {text: metadata["x-amz-bedrock-kb-document-page-number"] for text, metadata in found.items()}
    assert pages == {"Paid leave is twenty days.": 1, "Travel is reimbursed in May.": 2}
