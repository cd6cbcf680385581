"""What is known of reranking, shown of the emulator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

fact = pytest.mark.fact

TOKYO = "ap-northeast-1"
AMAZON = f"arn:aws:bedrock:{TOKYO}::foundation-model/amazon.rerank-v1:0"
TEXTS = (
    "The canteen opens at noon.",
    "Paid leave is twenty days a year.",
    "Leave the keys at the desk.",
)


@pytest.fixture
def bench(workbench_of: Any) -> Any:
    return workbench_of(region=TOKYO)


def rerank(bench: Any, question: str, *documents: str | Mapping[str, Any], model: str = AMAZON, **more: Any) -> Any:
    sources = [
        {
            "type": "INLINE",
            "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": document}}
            if isinstance(document, str)
            else {"type": "JSON", "jsonDocument": document},
        }
        for document in documents
    ]
    return bench.runtime.rerank(
        queries=[{"type": "TEXT", "textQuery": {"text": question}}],
        sources=sources,
        rerankingConfiguration={
            "type": "BEDROCK_RERANKING_MODEL",
            "bedrockRerankingConfiguration": {"modelConfiguration": {"modelArn": model}, **more},
        },
    )


def reranking(model: str = AMAZON, **more: Any) -> dict[str, Any]:
    return {
        "rerankingConfiguration": {
            "type": "BEDROCK_RERANKING_MODEL",
            "bedrockRerankingConfiguration": {"modelConfiguration": {"modelArn": model}, **more},
        }
    }


@fact("Rerank gives each source's position and relevance, the most relevant first", "M")
def test_sources_are_ordered_by_relevance(bench: Any) -> None:
    results = rerank(bench, "How many days of paid leave?", *TEXTS)["results"]
    assert results[0]["index"] == 1
    assert sorted(result["index"] for result in results) == [0, 1, 2]
    scores = [result["relevanceScore"] for result in results]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[1]


@fact("Rerank takes documents of JSON", "M")
def test_documents_may_be_json(bench: Any) -> None:
    documents = ({"title": "canteen", "opens": {"at": "noon"}}, {"title": "paid leave", "days": [20]})
    assert rerank(bench, "paid leave", *documents)["results"][0]["index"] == 1


@fact("Rerank: numberOfResults limits the results", "M")
def test_only_so_many_sources_are_given(bench: Any) -> None:
    results = rerank(bench, "How many days of paid leave?", *TEXTS, numberOfResults=1)["results"]
    assert [result["index"] for result in results] == [1]


@fact("amazon.rerank-v1:0 is in ap-northeast-1, ca-central-1, eu-central-1, us-west-2; Cohere's in us-east-1, too", "D")
@pytest.mark.parametrize(
    ("region", "model", "there"),
    [
        (TOKYO, "amazon.rerank-v1:0", True),
        ("us-west-2", "amazon.rerank-v1:0", True),
        ("us-east-1", "amazon.rerank-v1:0", False),
        ("us-east-1", "cohere.rerank-v3-5:0", True),
        ("eu-west-1", "cohere.rerank-v3-5:0", False),
        (TOKYO, "amazon.nova-lite-v1:0", False),
    ],
)
def test_a_reranking_model_is_in_some_regions(workbench_of: Any, region: str, model: str, there: bool) -> None:
    def asked() -> Any:
        arn = f"arn:aws:bedrock:{region}::foundation-model/{model}"
        return rerank(workbench_of(region=region), "paid leave", *TEXTS, model=arn)["results"]

    if there:
        assert asked()
        return
    with pytest.raises(ClientError, match="ValidationException"):
        asked()


@fact("rerankingConfiguration: of numberOfResults passages, the numberOfRerankedResults most relevant are given", "D")
def test_a_search_is_reranked(bench: Any) -> None:
    base, _ = bench.stocked(**{f"{number}.txt": text for number, text in enumerate(TEXTS)})
    question = "How many days of paid leave?"
    (found,) = bench.retrieved(base, question, numberOfResults=3, **reranking(numberOfRerankedResults=1))
    assert found["content"]["text"] == TEXTS[1]
    assert len(bench.retrieved(base, question, numberOfResults=2, **reranking())) == 2


@fact("rerankingConfiguration: metadata are considered where metadataConfiguration says so, ALL or SELECTIVE", "D")
@pytest.mark.parametrize(
    ("metadata", "first"),
    [
        (None, False),
        ({"selectionMode": "ALL"}, True),
        (
            {
                "selectionMode": "SELECTIVE",
                "selectiveModeConfiguration": {"fieldsToInclude": [{"fieldName": "office"}]},
            },
            True,
        ),
        (
            {
                "selectionMode": "SELECTIVE",
                "selectiveModeConfiguration": {"fieldsToExclude": [{"fieldName": "office"}]},
            },
            False,
        ),
    ],
    ids=["none", "all", "included", "excluded"],
)
def test_metadata_count_where_they_are_chosen(bench: Any, metadata: dict[str, Any] | None, first: bool) -> None:
    documents = {"a.txt": "Lunch is at noon.", "b.txt": "Lunch is at one."}
    sidecars = {"b.txt.metadata.json": bench.sidecar(office="Kyoto")}
    base, _ = bench.stocked(**documents, **sidecars)
    more: dict[str, Any] = {} if metadata is None else {"metadataConfiguration": metadata}
    found = bench.retrieved(base, "lunch in Kyoto", **reranking(**more))
    by_name = {result["location"]["s3Location"]["uri"][-5:]: result["score"] for result in found}
    assert (by_name["b.txt"] > by_name["a.txt"]) == first


@fact("SELECTIVE takes either fieldsToInclude or fieldsToExclude", "M")
def test_selected_fields_are_included_or_excluded(bench: Any) -> None:
    base = bench.knowledge_base()
    with pytest.raises(ClientError, match="either fieldsToInclude or fieldsToExclude"):
        bench.retrieved(base, "lunch", **reranking(metadataConfiguration={"selectionMode": "SELECTIVE"}))


@fact("RetrieveAndGenerate answers from what was reranked", "I")
def test_an_answer_rests_on_what_was_reranked(bench: Any) -> None:
    base, _ = bench.stocked(**{f"{number}.txt": text for number, text in enumerate(TEXTS)})
    settings = {"vectorSearchConfiguration": {"numberOfResults": 3, **reranking(numberOfRerankedResults=1)}}
    answered = bench.runtime.retrieve_and_generate(
        input={"text": "How many days of paid leave?"},
        retrieveAndGenerateConfiguration={
            "type": "KNOWLEDGE_BASE",
            "knowledgeBaseConfiguration": {
                "knowledgeBaseId": base,
                "modelArn": "apac.amazon.nova-lite-v1:0",
                "retrievalConfiguration": settings,
            },
        },
    )
    assert answered["output"]["text"] == TEXTS[1]


@fact("HIERARCHICAL: parents are reranked, each once", "I")
def test_parents_are_reranked_once_each(bench: Any) -> None:
    chunking = {
        "chunkingStrategy": "HIERARCHICAL",
        "hierarchicalChunkingConfiguration": {
            "levelConfigurations": [{"maxTokens": 30}, {"maxTokens": 10}],
            "overlapTokens": 1,
        },
    }
    base = bench.knowledge_base()
    source = bench.data_source(base, vectorIngestionConfiguration={"chunkingConfiguration": chunking})
    topics = ("tents", "stoves", "boats", "lamps", "ropes", "maps", "bags", "shoes")
    rules = (f"Rule {number} is about {topic}. It is a rule of {topic}." for number, topic in enumerate(topics))
    bench.put("documents", **{"rules.txt": "\n\n".join(rules)})
    assert bench.sync(base, source)["status"] == "COMPLETE"
    parents = {result["content"]["text"] for result in bench.retrieved(base, "rule", numberOfResults=100)}
    found = bench.retrieved(base, "rule", numberOfResults=100, **reranking(numberOfRerankedResults=2))
    texts = [result["content"]["text"] for result in found]
    assert len(parents) > 2
    assert len(texts) == len(set(texts)) == 2


@fact("MANAGED: rerankingModelType CUSTOM takes a rerankingConfiguration, MANAGED and NONE none", "I")
def test_a_managed_search_chooses_its_reranker(bench: Any) -> None:
    base = bench.managed()

    def search(**more: Any) -> Any:
        return bench.runtime.retrieve(
            knowledgeBaseId=base,
            retrievalQuery={"text": "leave"},
            retrievalConfiguration={"managedSearchConfiguration": more},
        )["retrievalResults"]

    assert search(rerankingModelType="NONE") == search(rerankingModelType="CUSTOM", **reranking()) == []
    with pytest.raises(ClientError, match="rerankingConfiguration is required"):
        search(rerankingModelType="CUSTOM")


class Strict:
    """Lets every role be assumed, and do all but what is refused."""

    def __init__(self) -> None:
        self.refused: str | None = None
        self.asked: list[tuple[str, str]] = []

    def assume(self, role_arn: str, source_arn: str, source_account: str) -> Strict:
        return self

    def may(self, action: str, resource: str, conditions: Mapping[str, str]) -> bool:
        self.asked.append((action, resource))
        return action != self.refused


@fact("Retrieve with reranking: the service role needs bedrock:Rerank, on *, and InvokeModel on the model", "D")
def test_the_service_role_reranks_for_retrieve(workbench_of: Any) -> None:
    authority = Strict()
    bench = workbench_of(region=TOKYO, authority=authority)
    base = bench.knowledge_base()
    bench.retrieved(base, "leave", **reranking())
    assert ("bedrock:Rerank", "*") in authority.asked
    assert ("bedrock:InvokeModel", AMAZON) in authority.asked
    authority.refused = "bedrock:Rerank"
    with pytest.raises(ClientError, match="is not authorized to perform: bedrock:Rerank"):
        bench.retrieved(base, "leave", **reranking())
    assert bench.retrieved(base, "leave") == []
