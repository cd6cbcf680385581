"""Rerank of service ``bedrock-agent-runtime``, and the reranking within its searches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bedrock_emulator.account import Account
from bedrock_emulator.search.embedding import Embedder
from bedrock_emulator.search.relevance import passage
from bedrock_emulator.search.reranking import compared
from bedrock_emulator.search.vector_index import Chunk, Hit
from bedrock_emulator.wire.errors import validation
from bedrock_emulator.wire.paging import page
from bedrock_emulator.world.models import check_reranks

Members = dict[str, Any]

MOST_SOURCES = 1_000  # botocore model, RerankSourcesList


class Reranking:
    """Operations by their names in the model, in snake case. Called without holding the account's lock."""

    def __init__(self, account: Account) -> None:
        """``account`` gives the embedding model and the Region."""
        self._account = account

    def rerank(self, given: Members) -> Members:
        """The sources by their relevance to the query, best first, each by its position in the request.

        The documents themselves are not given again: that is what samples of AWS show.
        """
        settings = given["rerankingConfiguration"]["bedrockRerankingConfiguration"]
        check_reranks(settings["modelConfiguration"]["modelArn"], self._account.region)
        question = given["queries"][0]["textQuery"].get("text", "")
        if not question.strip():
            raise validation("Text input is required.")
        passages = [passage(_text(source["inlineDocumentSource"])) for source in given["sources"]]
        scores = compared(self._account.embedder, question, passages).passages
        ranked = sorted(range(len(passages)), key=lambda position: -scores[position])
        wanted = ranked[: settings.get("numberOfResults")]
        shown, token = page(wanted, f"Rerank {question}", None, given.get("nextToken"), MOST_SOURCES)
        results = [{"index": position, "relevanceScore": float(scores[position])} for position in shown]
        return {"results": results, "nextToken": token}


def reranker(search: Mapping[str, Any], region: str) -> Mapping[str, Any] | None:
    """The ``bedrockRerankingConfiguration`` of a search; None where it asks for none.

    ServiceError ValidationException when it is not whole, or its model does not rerank in the Region.
    """
    asked = search.get("rerankingConfiguration")
    if asked is None:
        if search.get("rerankingModelType") == "CUSTOM":
            raise validation("rerankingConfiguration is required for rerankingModelType CUSTOM.")
        return None
    settings: Mapping[str, Any] | None = asked.get("bedrockRerankingConfiguration")
    if settings is None:
        raise validation(f"bedrockRerankingConfiguration is required for type {asked['type']}.")
    check_reranks(settings["modelConfiguration"]["modelArn"], region)
    _check_fields(settings)
    return settings


def reranked(embedder: Embedder, question: str, hits: Sequence[Hit], settings: Mapping[str, Any]) -> list[Hit]:
    """``hits`` by what a reranking model makes of text and chosen metadata, as many as the settings ask for."""
    if not hits:
        return []
    passages = [
        passage(hit.chunk.answered, hit.chunk.passage.statements[0].headings, _metadata(hit.chunk, settings))
        for hit in hits
    ]
    scores = compared(embedder, question, passages).passages
    found = [replace(hit, score=float(score)) for hit, score in zip(hits, scores, strict=True)]
    return sorted(found, key=lambda hit: -hit.score)[: settings.get("numberOfRerankedResults")]


def _check_fields(settings: Mapping[str, Any]) -> None:
    metadata = settings.get("metadataConfiguration")
    if metadata is None or metadata["selectionMode"] != "SELECTIVE":
        return
    # It is a union in the model, which says: exactly one. The words are ours.
    if len(metadata.get("selectiveModeConfiguration", {})) != 1:
        raise validation("selectionMode SELECTIVE takes either fieldsToInclude or fieldsToExclude.")


def _metadata(chunk: Chunk, settings: Mapping[str, Any]) -> str:
    """The metadata that are considered, a line each; without a configuration, none are."""
    configuration = settings.get("metadataConfiguration")
    if configuration is None:
        return ""
    fields = set(chunk.metadata)
    for choice, named in configuration.get("selectiveModeConfiguration", {}).items():
        names = {field["fieldName"] for field in named}
        fields = fields & names if choice == "fieldsToInclude" else fields - names
    return "".join(f"{name}: {value}\n" for name, value in chunk.metadata.items() if name in fields)


def _text(document: Members) -> str:
    kind = document["type"]
    needed = "jsonDocument" if kind == "JSON" else "textDocument"
    if needed not in document:
        raise validation(f"{needed} is required for type {kind}.")
    if kind == "TEXT":
        return str(document["textDocument"].get("text", ""))
    return "\n".join(_lines(document["jsonDocument"], ""))


def _lines(value: Any, name: str) -> Iterator[str]:
    """Each value of a JSON document on a line, after its name."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _lines(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from _lines(item, name)
    else:
        yield f"{name}: {value}" if name else str(value)
