"""What a profile must keep to, as a table: every rule with its source, and with whose rule it is.

A profile is held against the whole table before anything is called, so that whoever writes one hears of everything at
once, by the names of its fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kbfleet.domain.answer import MAX_PASSAGES
from kbfleet.domain.errors import ProfileRefused
from kbfleet.domain.model_ids import foundation_model
from kbfleet.domain.profiles import (
    NUMBERS_OF_CHUNKING,
    AnswererKind,
    ChunkingKind,
    Embedding,
    ParserKind,
    Profile,
    SearchType,
)

_S3_VECTORS, _MANAGED = "S3_VECTORS", "MANAGED"

EMBEDDING_DIMENSIONS: Mapping[str, tuple[int, ...]] = {
    "amazon.titan-embed-text-v2:0": (1024, 512, 256),
    "amazon.titan-embed-text-v1": (1536,),
    "amazon.nova-2-multimodal-embeddings-v1:0": (1024,),
    "cohere.embed-english-v3": (1024,),
    "cohere.embed-multilingual-v3": (1024,),
}
"""Of the models that embed for knowledge bases of type VECTOR, the usual one first. Source: Amazon Bedrock User Guide,
Supported models and Regions for Amazon Bedrock knowledge bases. Of another model, a profile must say them itself."""

_USUAL_DIMENSIONS = 1_024
"""Of a model that is not known. Ours: Titan Text Embeddings V2, the default, has it."""


def usual_dimensions(embedding: Embedding) -> int:
    """Of the vectors that the model makes unless it is told."""
    return EMBEDDING_DIMENSIONS.get(embedding.model or "", (_USUAL_DIMENSIONS,))[0]


RERANKER_REGIONS: Mapping[str, tuple[str, ...]] = {
    "amazon.rerank-v1:0": ("ap-northeast-1", "ca-central-1", "eu-central-1", "us-west-2"),
    "cohere.rerank-v3-5:0": ("ap-northeast-1", "ca-central-1", "eu-central-1", "us-east-1", "us-west-2"),
}
"""Source: Amazon Bedrock User Guide, Supported Regions and models for reranking in Amazon Bedrock."""

DATA_AUTOMATION_REGIONS = ("us-west-2",)
"""Where data automation parses for knowledge bases, as a preview; data automation itself is in more Regions. Source:
Amazon Bedrock User Guide, Supported models and Regions for Amazon Bedrock knowledge bases."""

PARSING_FAMILIES = (
    "anthropic.claude-",
    "amazon.nova-lite",
    "amazon.nova-pro",
    "amazon.nova-premier",
    "amazon.nova-2-",
    "meta.llama4-",
)
"""How the ids of models begin that read pages: those of Claude and Nova that can see, and Llama 4. Source: Amazon
Bedrock User Guide, Supported models and Regions for Amazon Bedrock knowledge bases (parsing)."""

MODEL_PATTERN = r"[a-z0-9-]+\.[A-Za-z0-9.:-]+"
MAX_MODEL_LENGTH = 140
MAX_PARSING_PROMPT = 10_000
"""Characters. Source: botocore model of bedrock-agent, ParsingPromptText."""
MAX_PROMPT = 4_000
"""Characters. Source: botocore model of bedrock-agent-runtime, TextPromptTemplate. Converse keeps to it, too, so that a
prompt serves both answerers."""
MAX_WORDS = 120
"""Of what askers read when nothing was found. Ours: one line."""
SEARCH_RESULTS = "$search_results$"


class Whose(StrEnum):
    """Whose a rule is, and so who can change it."""

    BEDROCK = "BEDROCK"
    """Bedrock refuses, or cannot do, what breaks it."""
    STACK = "STACK"
    """The stack's parameters and permissions do not give it."""
    KBFLEET = "KBFLEET"
    """Ours, also where Bedrock would take it."""


@dataclass(frozen=True, slots=True)
class StackOffer:
    """What a stack gives to profiles.

    Args:
        stores: types of knowledge stores.
        ingestion_models: ids of models that service roles may call: parsers, embedding models and rerankers.
        answer_models: ids of models and inference profiles by which answers may be written.
        guardrail_id: of the one that may be applied; empty where there is none.
    """

    region: str
    stores: frozenset[str]
    ingestion_models: frozenset[str]
    answer_models: frozenset[str]
    answerers: frozenset[AnswererKind]
    guardrail_id: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One rule that a profile breaks.

    Args:
        field: such as `ingestion.chunking.kind`.
        value: what the profile says there, for people; `None` where it says nothing.
        rule: why that cannot be.
        instead: what to choose.
    """

    field: str
    value: object
    rule: str
    instead: str
    whose: Whose

    def __str__(self) -> str:
        shown = "nothing" if self.value is None else _shown(self.value)
        return f"{self.field} is {shown}: {self.rule} {self.instead}"


_SHOWN = 60


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text):,} characters)"


@dataclass(frozen=True, slots=True)
class Rule:
    """
    Args:
        field: whose value is refused.
        broken: whether a profile breaks it, on a stack that offers that.
        because: one sentence.
        instead: one sentence; or what makes it, where it depends on both.
        source: of what it says.
    """

    field: str
    broken: Callable[[Profile, StackOffer], bool]
    because: str
    instead: str | Callable[[Profile, StackOffer], str]
    source: str
    whose: Whose = Whose.BEDROCK

    def refusal(self, profile: Profile, offer: StackOffer) -> Refusal | None:
        if not self.broken(profile, offer):
            return None
        instead = self.instead if isinstance(self.instead, str) else self.instead(profile, offer)
        return Refusal(self.field, profile.value(self.field), self.because, instead, self.whose)


@dataclass(frozen=True, slots=True)
class Limit:
    """Of a number: both bounds are in it."""

    field: str
    least: float
    most: float
    source: str
    whose: Whose = Whose.BEDROCK

    @property
    def schema(self) -> dict[str, Any]:
        return {"minimum": self.least, "maximum": self.most}

    def rule(self) -> Rule:
        def broken(profile: Profile, _: StackOffer) -> bool:
            value = profile.value(self.field)
            # A number that is none, NaN, is within no bounds.
            return isinstance(value, int | float) and not self.least <= value <= self.most

        bounds = f"{self.least:,} to {self.most:,}"
        return Rule(self.field, broken, f"it must be {bounds}.", f"Give {bounds}.", self.source, self.whose)


@dataclass(frozen=True, slots=True)
class TextLimit:
    """Of a text: its length in characters, and what all of it must match, if anything."""

    field: str
    longest: int
    source: str
    pattern: str = r"(?s).*\S.*"
    looks: str = "text that is not all white space"
    whose: Whose = Whose.BEDROCK
    seen: str = r"\S"
    """The pattern as JSON Schema can say it."""

    @property
    def schema(self) -> dict[str, Any]:
        return {"minLength": 1, "maxLength": self.longest, "pattern": self.seen}

    def rule(self) -> Rule:
        allowed = re.compile(self.pattern)

        def broken(profile: Profile, _: StackOffer) -> bool:
            value = profile.value(self.field)
            return isinstance(value, str) and not (len(value) <= self.longest and allowed.fullmatch(value))

        looks = f"{self.looks}, of at most {self.longest:,} characters"
        return Rule(self.field, broken, f"it must be {looks}.", f"Give {looks}.", self.source, self.whose)


_CHUNKS = "botocore model of bedrock-agent, ChunkingConfiguration"
_SEARCHED = "botocore model of bedrock-agent-runtime, KnowledgeBaseVectorSearchConfiguration"
_WRITTEN = "botocore models of bedrock-runtime, InferenceConfiguration, and bedrock-agent-runtime, TextInferenceConfig"

LIMITS: tuple[Limit, ...] = (
    Limit("ingestion.chunking.max_tokens", 1, 8_192, _CHUNKS),
    Limit("ingestion.chunking.overlap_percentage", 1, 99, _CHUNKS),
    Limit("ingestion.chunking.parent_tokens", 1, 8_192, _CHUNKS),
    Limit("ingestion.chunking.child_tokens", 1, 8_192, _CHUNKS),
    Limit("ingestion.chunking.overlap_tokens", 1, 8_191, _CHUNKS),
    Limit("ingestion.chunking.buffer_size", 0, 1, _CHUNKS),
    Limit("ingestion.chunking.breakpoint_percentile", 50, 99, _CHUNKS),
    Limit("ingestion.embedding.dimensions", 1, 4_096, "botocore model of bedrock-agent, Dimensions; S3 Vectors"),
    Limit("answering.passages", 1, MAX_PASSAGES, _SEARCHED),
    Limit("answering.reranker.candidates", 1, MAX_PASSAGES, _SEARCHED),
    Limit("answering.least_score", 0, 1, "scores are from 0 to 1; ours", Whose.KBFLEET),
    Limit("answering.temperature", 0, 1, _WRITTEN),
    Limit("answering.longest_answer", 1, 65_536, _WRITTEN),
)

_MODEL = "ids as AWS writes them; the parameters of the stack"
_WORDS = r"(?=\S)[^\x00-\x1f\x7f-\x9f\u2028\u2029]*(?<=\S)"


def _model(field: str) -> TextLimit:
    looks = "the id of a model or an inference profile"
    return TextLimit(field, MAX_MODEL_LENGTH, _MODEL, MODEL_PATTERN, looks, Whose.KBFLEET, f"^{MODEL_PATTERN}$")


TEXT_LIMITS: tuple[TextLimit, ...] = (
    _model("ingestion.embedding.model"),
    _model("ingestion.parser.model"),
    TextLimit("ingestion.parser.prompt", MAX_PARSING_PROMPT, "botocore model of bedrock-agent, ParsingPromptText"),
    _model("answering.model"),
    TextLimit(
        "answering.prompt",
        MAX_PROMPT,
        "Amazon Bedrock User Guide, Knowledge base prompt template; botocore model, TextPromptTemplate",
        rf"(?s).*{re.escape(SEARCH_RESULTS)}.*",
        f"text that contains {SEARCH_RESULTS}",
        seen=re.escape(SEARCH_RESULTS),
    ),
    TextLimit(
        "answering.guardrail.id",
        64,
        "botocore model of bedrock-agent-runtime",
        "[a-z0-9]+",
        "a guardrail's id",
        seen="^[a-z0-9]+$",
    ),
    TextLimit(
        "answering.guardrail.version",
        5,
        "botocore model of bedrock-agent-runtime, GuardrailConfiguration",
        "DRAFT|[1-9][0-9]{0,4}",
        "a number, or DRAFT",
        seen="^(DRAFT|[1-9][0-9]{0,4})$",
    ),
    _model("answering.reranker.model"),
    TextLimit("answering.nothing_found.english", MAX_WORDS, "ours", _WORDS, "a line of text", Whose.KBFLEET),
    TextLimit("answering.nothing_found.japanese", MAX_WORDS, "ours", _WORDS, "a line of text", Whose.KBFLEET),
)


def schema_of(field: str) -> dict[str, Any]:
    """What JSON Schema can say of a field's limits."""
    limits: tuple[Limit | TextLimit, ...] = (*LIMITS, *TEXT_LIMITS)
    return next(limit.schema for limit in limits if limit.field == field)


def _store(profile: Profile, *types: str) -> bool:
    return profile.ingestion.knowledge_store in types


def _chunks(profile: Profile, *kinds: ChunkingKind) -> bool:
    return profile.ingestion.chunking.kind in kinds


def _parses(profile: Profile, *kinds: ParserKind) -> bool:
    return profile.ingestion.parser.kind in kinds


def _numbers_of_chunking() -> Iterator[Rule]:
    """Each kind has its own numbers: all of them, and no others."""
    names = dict.fromkeys(name for names in NUMBERS_OF_CHUNKING.values() for name in names)
    for name in names:
        having = [kind for kind, own in NUMBERS_OF_CHUNKING.items() if name in own]

        def missing(profile: Profile, _: StackOffer, name: str = name) -> bool:
            chunking = profile.ingestion.chunking
            return name in NUMBERS_OF_CHUNKING[chunking.kind] and getattr(chunking, name) is None

        def useless(profile: Profile, _: StackOffer, name: str = name) -> bool:
            chunking = profile.ingestion.chunking
            return name not in NUMBERS_OF_CHUNKING[chunking.kind] and getattr(chunking, name) is not None

        field = f"ingestion.chunking.{name}"
        yield Rule(field, missing, f"chunking of kind {' or '.join(having)} needs it.", "Give a number.", _CHUNKS)
        yield Rule(
            field,
            useless,
            f"only chunking of kind {' or '.join(having)} has it.",
            "Leave it out, or choose that kind.",
            _CHUNKS,
            Whose.KBFLEET,
        )


def _other_dimensions(profile: Profile, _: StackOffer) -> bool:
    """Whether the model is known, and makes no vectors of that dimension."""
    embedding = profile.ingestion.embedding
    known = None if _store(profile, _MANAGED) else EMBEDDING_DIMENSIONS.get(embedding.model or "")
    return known is not None and embedding.dimensions is not None and embedding.dimensions not in known


def _possible_dimensions(profile: Profile, _: StackOffer) -> str:
    known = EMBEDDING_DIMENSIONS.get(profile.ingestion.embedding.model or "")
    return f"Give {_either(known)}." if known else "Give those that the model's own page names."


def _reranked_elsewhere(profile: Profile, offer: StackOffer) -> bool:
    """Whether there is a reranker that the Region does not have, or of which that is not known."""
    reranker = profile.answering.reranker
    return reranker is not None and offer.region not in RERANKER_REGIONS.get(reranker.model, ())


def _rerankers_here(_: Profile, offer: StackOffer) -> str:
    here = [model for model, regions in RERANKER_REGIONS.items() if offer.region in regions]
    return f"Choose {_either(here)}, or leave the reranker out." if here else "Leave the reranker out."


def _too_few_candidates(profile: Profile, _: StackOffer) -> bool:
    reranker = profile.answering.reranker
    return reranker is not None and reranker.candidates < profile.answering.passages


def _overlap(profile: Profile, _: StackOffer) -> bool:
    overlap, child = profile.ingestion.chunking.overlap_tokens, profile.ingestion.chunking.child_tokens
    return overlap is not None and child is not None and overlap >= child


def _child_above_parent(profile: Profile, _: StackOffer) -> bool:
    child, parent = profile.ingestion.chunking.child_tokens, profile.ingestion.chunking.parent_tokens
    return child is not None and parent is not None and child > parent


def _cannot_see(profile: Profile, _: StackOffer) -> bool:
    model = profile.ingestion.parser.model
    return model is not None and not foundation_model(model).startswith(PARSING_FAMILIES)


def _either(choices: Iterable[object]) -> str:
    return " or ".join(map(str, choices))


def _models_granted(
    part: Callable[[Profile], str | None], answers: bool = False
) -> Callable[[Profile, StackOffer], bool]:
    def broken(profile: Profile, offer: StackOffer) -> bool:
        model = part(profile)
        return model is not None and model not in (offer.answer_models if answers else offer.ingestion_models)

    return broken


def _ingestion_models(_: Profile, offer: StackOffer) -> str:
    return f"Choose {_either(sorted(offer.ingestion_models))}, or deploy with the model in IngestionModelArns."


def _answer_models(_: Profile, offer: StackOffer) -> str:
    return f"Choose {_either(sorted(offer.answer_models))}, or deploy with the model in AnswerModelArns."


def _reranking_model(profile: Profile) -> str | None:
    reranker = profile.answering.reranker
    return None if reranker is None else reranker.model


def _by_one_call(profile: Profile) -> bool:
    return profile.answering.answerer is AnswererKind.RETRIEVE_AND_GENERATE


_PARSING = "Amazon Bedrock User Guide, Parsing options for your data source"
_OF_MANAGED = "Amazon Bedrock User Guide, Customize ingestion for a managed knowledge base"
_SUPPORTED = "Amazon Bedrock User Guide, Supported models and Regions for Amazon Bedrock knowledge bases"
_GRANTS = "the stack's template: what its roles may call"

RULES: tuple[Rule, ...] = (
    *(limit.rule() for limit in LIMITS),
    *(limit.rule() for limit in TEXT_LIMITS),
    # --- knowledge store
    Rule(
        "ingestion.knowledge_store",
        lambda profile, offer: profile.ingestion.knowledge_store not in offer.stores,
        "the stack does not offer that knowledge store.",
        lambda _, offer: f"Choose {_either(sorted(offer.stores))}.",
        "the stack's parameters",
        Whose.STACK,
    ),
    # --- parser
    Rule(
        "ingestion.parser.kind",
        lambda profile, _: (
            _store(profile, _MANAGED) and _parses(profile, ParserKind.FOUNDATION_MODEL, ParserKind.DATA_AUTOMATION)
        ),
        "a knowledge base of type MANAGED has parsers of its own, and takes no others.",
        "Choose DEFAULT or SMART, or another knowledge store.",
        _OF_MANAGED,
    ),
    Rule(
        "ingestion.parser.kind",
        lambda profile, _: not _store(profile, _MANAGED) and _parses(profile, ParserKind.SMART),
        "only a knowledge base of type MANAGED has that parser.",
        "Choose DEFAULT or FOUNDATION_MODEL, or knowledge store MANAGED.",
        _OF_MANAGED,
    ),
    Rule(
        "ingestion.parser.kind",
        lambda profile, offer: (
            _parses(profile, ParserKind.DATA_AUTOMATION) and offer.region not in DATA_AUTOMATION_REGIONS
        ),
        f"data automation parses for knowledge bases in {_either(DATA_AUTOMATION_REGIONS)} only.",
        "Choose FOUNDATION_MODEL or DEFAULT.",
        _SUPPORTED,
    ),
    Rule(
        "ingestion.parser.kind",
        lambda profile, _: _parses(profile, ParserKind.DATA_AUTOMATION),
        "the stack's service roles may not call data automation.",
        "Choose FOUNDATION_MODEL or DEFAULT.",
        _GRANTS,
        Whose.STACK,
    ),
    Rule(
        "ingestion.parser.model",
        lambda profile, _: _parses(profile, ParserKind.FOUNDATION_MODEL) and profile.ingestion.parser.model is None,
        "a parser of kind FOUNDATION_MODEL needs it.",
        "Give the id of a model that can see, or of an inference profile of one.",
        "botocore model of bedrock-agent, BedrockFoundationModelConfiguration",
    ),
    Rule(
        "ingestion.parser.model",
        lambda profile, _: (
            not _parses(profile, ParserKind.FOUNDATION_MODEL) and profile.ingestion.parser.model is not None
        ),
        "only a parser of kind FOUNDATION_MODEL has it.",
        "Leave it out, or choose that kind.",
        _PARSING,
        Whose.KBFLEET,
    ),
    Rule(
        "ingestion.parser.prompt",
        lambda profile, _: (
            not _parses(profile, ParserKind.FOUNDATION_MODEL) and profile.ingestion.parser.prompt is not None
        ),
        "only a parser of kind FOUNDATION_MODEL has it.",
        "Leave it out, or choose that kind.",
        _PARSING,
        Whose.KBFLEET,
    ),
    Rule(
        "ingestion.parser.model",
        _cannot_see,
        "models that parse are those of Claude and Nova that can see, and Llama 4.",
        "Choose one of those, or its inference profile.",
        _SUPPORTED,
    ),
    Rule(
        "ingestion.parser.model",
        _models_granted(lambda profile: profile.ingestion.parser.model),
        "the stack's service roles may not call that model.",
        _ingestion_models,
        _GRANTS,
        Whose.STACK,
    ),
    # --- chunking
    *_numbers_of_chunking(),
    Rule(
        "ingestion.chunking.kind",
        lambda profile, _: (
            _store(profile, _MANAGED) and _chunks(profile, ChunkingKind.HIERARCHICAL, ChunkingKind.SEMANTIC)
        ),
        "a knowledge base of type MANAGED divides text by default, in fixed sizes, or not at all.",
        "Choose DEFAULT, FIXED_SIZE or NONE, or another knowledge store.",
        _OF_MANAGED,
    ),
    Rule(
        "ingestion.chunking.kind",
        lambda profile, _: _store(profile, _S3_VECTORS) and _chunks(profile, ChunkingKind.HIERARCHICAL),
        "parents are kept beside their vectors there, and documents fail whose parents are long; AWS advises "
        "against it.",
        "Choose another kind, or knowledge store OPENSEARCH_SERVERLESS.",
        "Amazon Bedrock User Guide, How content chunking works",
        Whose.KBFLEET,
    ),
    Rule(
        "ingestion.chunking.overlap_tokens",
        _overlap,
        "it must be less than child_tokens.",
        "Give less.",
        "inferred: more than all of a passage cannot be repeated in the next one",
    ),
    Rule(
        "ingestion.chunking.child_tokens",
        _child_above_parent,
        "it must not be greater than parent_tokens.",
        "Give less, or more to parent_tokens.",
        "inferred: a child is a part of its parent",
    ),
    # --- embedding
    Rule(
        "ingestion.embedding.model",
        lambda profile, _: not _store(profile, _MANAGED) and profile.ingestion.embedding.model is None,
        "that knowledge store needs a model that embeds.",
        _ingestion_models,
        "botocore model of bedrock-agent, VectorKnowledgeBaseConfiguration",
    ),
    Rule(
        "ingestion.embedding.model",
        lambda profile, _: _store(profile, _MANAGED) and profile.ingestion.embedding.model is not None,
        "Bedrock embeds with a model of its own there; another one would take its reranker away.",
        "Leave it out, or choose another knowledge store.",
        "Amazon Bedrock User Guide, Create a managed knowledge base",
        Whose.KBFLEET,
    ),
    Rule(
        "ingestion.embedding.model",
        _models_granted(lambda profile: profile.ingestion.embedding.model),
        "the stack's service roles may not call that model.",
        _ingestion_models,
        _GRANTS,
        Whose.STACK,
    ),
    Rule(
        "ingestion.embedding.dimensions",
        _other_dimensions,
        "the embedding model makes no vectors of that dimension.",
        _possible_dimensions,
        _SUPPORTED,
    ),
    Rule(
        "ingestion.embedding.dimensions",
        lambda profile, _: (
            profile.ingestion.embedding.model is not None and profile.ingestion.embedding.dimensions is None
        ),
        "the index is made with it, and nothing says how many this model has.",
        _possible_dimensions,
        "ours: an index is made before the knowledge base",
        Whose.KBFLEET,
    ),
    Rule(
        "ingestion.embedding.dimensions",
        lambda profile, _: (
            profile.ingestion.embedding.model is None and profile.ingestion.embedding.dimensions is not None
        ),
        "it says nothing without a model.",
        "Leave it out, or give a model.",
        "ours",
        Whose.KBFLEET,
    ),
    # --- answering
    Rule(
        "answering.answerer",
        lambda profile, _: _store(profile, _MANAGED) and _by_one_call(profile),
        "knowledge bases of type MANAGED have no RetrieveAndGenerate.",
        "Choose RETRIEVE_AND_CONVERSE, or another knowledge store.",
        "Amazon Bedrock User Guide, Managed knowledge bases",
    ),
    Rule(
        "answering.answerer",
        lambda profile, offer: profile.answering.answerer not in offer.answerers,
        "the stack's ask function may not make that call.",
        lambda _, offer: f"Choose {_either(sorted(offer.answerers))}, or deploy with another Answering.",
        _GRANTS,
        Whose.STACK,
    ),
    Rule(
        "answering.model",
        _models_granted(lambda profile: profile.answering.model, answers=True),
        "the stack's ask function may not call that model.",
        _answer_models,
        _GRANTS,
        Whose.STACK,
    ),
    Rule(
        "answering.guardrail.id",
        lambda profile, offer: (
            profile.answering.guardrail is not None and profile.answering.guardrail.id != offer.guardrail_id
        ),
        "the stack's ask function may not apply that guardrail.",
        lambda _, offer: (
            f"Choose {offer.guardrail_id}, or leave it out." if offer.guardrail_id else "Leave the guardrail out."
        ),
        _GRANTS,
        Whose.STACK,
    ),
    Rule(
        "answering.search_type",
        lambda profile, _: _store(profile, _S3_VECTORS) and profile.answering.search_type is SearchType.HYBRID,
        "knowledge bases search S3 Vectors by meaning only.",
        "Choose SEMANTIC, or knowledge store OPENSEARCH_SERVERLESS.",
        "Amazon S3 User Guide, Using S3 Vectors with Amazon Bedrock Knowledge Bases",
    ),
    Rule(
        "answering.search_type",
        lambda profile, _: _store(profile, _MANAGED) and profile.answering.search_type is not None,
        "a knowledge base of type MANAGED searches in its own way.",
        "Leave it out, or choose another knowledge store.",
        "botocore model of bedrock-agent-runtime, ManagedSearchConfiguration",
    ),
    Rule(
        "answering.reranker.model",
        _reranked_elsewhere,
        "that model is not known to rerank in the stack's Region.",
        _rerankers_here,
        "Amazon Bedrock User Guide, Supported Regions and models for reranking in Amazon Bedrock",
    ),
    Rule(
        "answering.reranker.model",
        _models_granted(_reranking_model),
        "the stack's service roles may not call that model.",
        _ingestion_models,
        _GRANTS,
        Whose.STACK,
    ),
    Rule(
        "answering.reranker.model",
        lambda profile, _: profile.answering.reranker is not None and _by_one_call(profile),
        "of RetrieveAndGenerate, whoever asks would have to rerank, and the ask function may not.",
        "Leave the reranker out, or choose answerer RETRIEVE_AND_CONVERSE.",
        "Amazon Bedrock User Guide, Permissions for reranking in Amazon Bedrock",
        Whose.STACK,
    ),
    Rule(
        "answering.reranker.candidates",
        _too_few_candidates,
        "there must be at least as many as passages.",
        "Give more.",
        "ours: from fewer, fewer passages come",
        Whose.KBFLEET,
    ),
    Rule(
        "answering.least_score",
        lambda profile, _: profile.answering.least_score is not None and _by_one_call(profile),
        "RetrieveAndGenerate tells no scores.",
        "Leave it out, or choose answerer RETRIEVE_AND_CONVERSE.",
        "botocore model of bedrock-agent-runtime, RetrievedReference",
        Whose.KBFLEET,
    ),
)


def refusals(profile: Profile, offer: StackOffer) -> tuple[Refusal, ...]:
    """Every rule that the profile breaks on that stack, in the order of the table; none if it can be used."""
    found = (rule.refusal(profile, offer) for rule in RULES)
    return tuple(refusal for refusal in found if refusal is not None)


def require_allowed(profile: Profile, offer: StackOffer) -> None:
    """Raises: ProfileRefused, with all that is refused."""
    if broken := refusals(profile, offer):
        raise ProfileRefused(broken[0].field, [str(refusal) for refusal in broken])
