"""Bodies of the API about profiles, and the file that holds one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from pydantic import ConfigDict, Field

from kbfleet.contracts import Contract, WholeNumber
from kbfleet.domain.profile_rules import EMBEDDING_DIMENSIONS, Refusal, Whose, schema_of
from kbfleet.domain.profiles import (
    EMBEDDING_THEMSELVES,
    AnswererKind,
    Answering,
    Chunking,
    ChunkingKind,
    Effect,
    Embedding,
    Guardrail,
    Ingestion,
    Parser,
    ParserKind,
    Profile,
    ProfileChange,
    ProfileName,
    Reranker,
    SearchType,
    StackDefaults,
    Words,
)

Value = str | int | float | None


def _limited(field: str, description: str, default: Any = None) -> Any:
    """A field whose limits are those of the domain: that tells all that are broken, and not the first only."""
    return Field(default=default, description=description, json_schema_extra=schema_of(field))


class ParserPart(Contract):
    """What reads the text out of documents."""

    kind: ParserKind = Field(default=ParserKind.DEFAULT, description="FOUNDATION_MODEL needs a model.")
    model: str | None = _limited("ingestion.parser.model", "Id of a model that can see, or of its inference profile.")
    prompt: str | None = _limited("ingestion.parser.prompt", "What the model is told in place of Bedrock's own words.")


class ChunkingPart(Contract):
    """How text is divided into passages. FIXED_SIZE needs `max_tokens` and `overlap_percentage`; HIERARCHICAL
    `parent_tokens`, `child_tokens` and `overlap_tokens`; SEMANTIC `max_tokens`, `buffer_size` and
    `breakpoint_percentile`; DEFAULT and NONE have no numbers."""

    kind: ChunkingKind = Field(default=ChunkingKind.DEFAULT, description="It can never be changed for a tenant.")
    max_tokens: WholeNumber | None = _limited("ingestion.chunking.max_tokens", "Of a passage.")
    overlap_percentage: WholeNumber | None = _limited(
        "ingestion.chunking.overlap_percentage", "Of a passage that is repeated in the next one."
    )
    parent_tokens: WholeNumber | None = _limited("ingestion.chunking.parent_tokens", "Of what the model is shown.")
    child_tokens: WholeNumber | None = _limited("ingestion.chunking.child_tokens", "Of what is searched in.")
    overlap_tokens: WholeNumber | None = _limited(
        "ingestion.chunking.overlap_tokens", "Of a child that are repeated in the next one."
    )
    buffer_size: WholeNumber | None = _limited(
        "ingestion.chunking.buffer_size", "Sentences on either side that a sentence is compared together with."
    )
    breakpoint_percentile: WholeNumber | None = _limited(
        "ingestion.chunking.breakpoint_percentile", "How unlike sentences must be for a passage to end between them."
    )


class EmbeddingPart(Contract):
    """What makes vectors of passages. Knowledge store MANAGED has a model of its own, and takes none here."""

    model: str | None = _limited("ingestion.embedding.model", "Id of a foundation model. By default, the stack's.")
    dimensions: WholeNumber | None = _limited(
        "ingestion.embedding.dimensions", "Of its vectors. By default, as many as the model usually has."
    )


class IngestionPart(Contract):
    """How documents become knowledge. Of what it says, only the parser's model and prompt can be changed for a tenant
    that there is."""

    knowledge_store: str | None = Field(
        default=None, max_length=64, description="Where vectors live. By default, where the stack says."
    )
    embedding: EmbeddingPart | None = None
    parser: ParserPart = ParserPart()
    chunking: ChunkingPart = ChunkingPart()

    def to_domain(self, own: Ingestion) -> Ingestion:
        """Args: own: what the stack's parameters say."""
        store = self.knowledge_store or own.knowledge_store
        parser, chunking = Parser(**dict(self.parser)), Chunking(**dict(self.chunking))
        return Ingestion(store, self._embedding(store, own.embedding), parser, chunking)

    def _embedding(self, store: str, own: Embedding) -> Embedding:
        given = self.embedding or EmbeddingPart()
        if store in EMBEDDING_THEMSELVES:
            return Embedding(given.model, given.dimensions)
        if given.model is None and given.dimensions is None:
            return own
        model = given.model or own.model
        usual = EMBEDDING_DIMENSIONS.get(model or "", (None,))[0]
        return Embedding(model, usual if given.dimensions is None else given.dimensions)


class GuardrailPart(Contract):
    id: str = _limited("answering.guardrail.id", "That questions and answers pass through.", ...)
    version: str = _limited("answering.guardrail.version", "A number, or DRAFT.", "DRAFT")


class RerankerPart(Contract):
    """What puts passages into the order of their relevance."""

    model: str = _limited(
        "answering.reranker.model", "Id of a foundation model that reranks in the stack's Region.", ...
    )
    candidates: WholeNumber = _limited("answering.reranker.candidates", "How many passages it chooses from.", ...)


class NothingFoundPart(Contract):
    """What askers read when nothing was found, by the language of their question. By default, what the stack says."""

    english: str | None = _limited("answering.nothing_found.english", "Without Japanese characters in the question.")
    japanese: str | None = _limited("answering.nothing_found.japanese", "With Japanese characters in the question.")


class AnsweringPart(Contract):
    """How questions are answered. What it says counts at a tenant's next question."""

    answerer: AnswererKind | None = Field(default=None, description="By which calls. By default, as the stack says.")
    model: str | None = _limited("answering.model", "Model or inference profile that writes. By default, the stack's.")
    prompt: str | None = _limited(
        "answering.prompt", "With $search_results$. By default, the answerer's own, whatever the stack says."
    )
    guardrail: GuardrailPart | None = Field(
        default=None, description="By default, the stack's; null for none, whatever the stack says."
    )
    passages: WholeNumber | None = _limited("answering.passages", "That an answer may rest on. By default, 5.")
    search_type: SearchType | None = Field(default=None, description="By default, what the knowledge store does.")
    reranker: RerankerPart | None = None
    least_score: float | None = _limited("answering.least_score", "Passages below it are not used.")
    temperature: float | None = _limited("answering.temperature", "Of the model. By default, its own.")
    longest_answer: WholeNumber | None = _limited("answering.longest_answer", "Tokens, at most.")
    nothing_found: NothingFoundPart = NothingFoundPart()

    def to_domain(self, own: Answering) -> Answering:
        """Args: own: what the stack's parameters say."""
        guardrail = own.guardrail
        if "guardrail" in self.model_fields_set:
            guardrail = Guardrail(**dict(self.guardrail)) if self.guardrail is not None else None
        return Answering(
            model=self.model or own.model,
            nothing_found=Words(**dict(self.nothing_found)),
            answerer=self.answerer or own.answerer,
            prompt=self.prompt,
            guardrail=guardrail,
            passages=own.passages if self.passages is None else self.passages,
            search_type=self.search_type,
            reranker=Reranker(**dict(self.reranker)) if self.reranker is not None else None,
            least_score=self.least_score,
            temperature=self.temperature,
            longest_answer=self.longest_answer,
        )


class ProfileRequest(Contract):
    """Body of `PUT /profiles/{profile}` and of `POST /profiles/{profile}/check`: a profile without its name. What is
    left out is as the stack's parameters say now, and stays so in this version."""

    ingestion: IngestionPart = IngestionPart()
    answering: AnsweringPart = AnsweringPart()

    def to_domain(self, name: ProfileName, version: int, defaults: StackDefaults) -> Profile:
        ingestion = self.ingestion.to_domain(defaults.ingestion)
        return Profile(name, version, ingestion, self.answering.to_domain(defaults.answering))


class ProfileFile(ProfileRequest):
    """A profile as `kbfleet profile put` takes it: how documents become knowledge, and how questions are answered from
    it. What is left out is as the stack's parameters say."""

    model_config = ConfigDict(serialize_by_alias=True)

    schema_url: str | None = Field(default=None, alias="$schema", description="For editors; it says nothing here.")
    name: ProfileName

    @property
    def request(self) -> ProfileRequest:
        return ProfileRequest(
            **{name: getattr(self, name) for name in ProfileRequest.model_fields if name in self.model_fields_set}
        )


class ProfileQuery(Contract):
    """Query of `GET /profiles/{profile}`."""

    version: int | None = Field(default=None, ge=1, description="By default, the newest.")


class ProfileBody(Contract):
    """A profile in one of its versions; that of `default` is 0."""

    name: ProfileName
    version: int
    ingestion: IngestionPart
    answering: AnsweringPart

    @classmethod
    def from_domain(cls, profile: Profile) -> Self:
        ingestion, answering = profile.ingestion, profile.answering
        guardrail, reranker = answering.guardrail, answering.reranker
        return cls(
            name=profile.name,
            version=profile.version,
            ingestion=IngestionPart(
                knowledge_store=ingestion.knowledge_store,
                embedding=EmbeddingPart(model=ingestion.embedding.model, dimensions=ingestion.embedding.dimensions),
                parser=_part(ParserPart, ingestion.parser),
                chunking=_part(ChunkingPart, ingestion.chunking),
            ),
            answering=AnsweringPart(
                answerer=answering.answerer,
                model=answering.model,
                prompt=answering.prompt,
                guardrail=_part(GuardrailPart, guardrail) if guardrail is not None else None,
                passages=answering.passages,
                search_type=answering.search_type,
                reranker=_part(RerankerPart, reranker) if reranker is not None else None,
                least_score=answering.least_score,
                temperature=answering.temperature,
                longest_answer=answering.longest_answer,
                nothing_found=_part(NothingFoundPart, answering.nothing_found),
            ),
        )


def _part(contract: Any, part: object) -> Any:
    """A contract whose fields are those of a part of the domain."""
    return contract(**{name: getattr(part, name) for name in contract.model_fields})


class ListedProfileBody(Contract):
    """A profile in its newest version, as a list shows it."""

    name: ProfileName
    version: int
    knowledge_store: str
    parser: ParserKind
    chunking: ChunkingKind
    answerer: AnswererKind
    model: str

    @classmethod
    def from_domain(cls, profile: Profile) -> Self:
        ingestion, answering = profile.ingestion, profile.answering
        return cls(
            name=profile.name,
            version=profile.version,
            knowledge_store=ingestion.knowledge_store,
            parser=ingestion.parser.kind,
            chunking=ingestion.chunking.kind,
            answerer=answering.answerer,
            model=answering.model,
        )


class ProfilesBody(Contract):
    profiles: tuple[ListedProfileBody, ...]


class RefusalBody(Contract):
    """A rule that a profile breaks: `whose` it is says who can change that."""

    field: str
    value: Value
    rule: str
    instead: str
    whose: Whose

    @classmethod
    def from_domain(cls, refusal: Refusal) -> Self:
        value = refusal.value
        shown = value if isinstance(value, str | int | float) or value is None else str(value)
        return cls(field=refusal.field, value=shown, rule=refusal.rule, instead=refusal.instead, whose=refusal.whose)


class ProfileChangeBody(Contract):
    """What is otherwise than in the newest version, and what it takes for tenants that take it up."""

    field: str
    before: Value
    after: Value
    effect: Effect

    @classmethod
    def from_domain(cls, change: ProfileChange) -> Self:
        before, after = (
            each if isinstance(each, str | int | float) or each is None else str(each)
            for each in (change.before, change.after)
        )
        return cls(field=change.field, before=before, after=after, effect=change.effect)


class ProfileCheckBody(Contract):
    """What would be refused of a profile, and what it changes against the newest version, if there is one."""

    refusals: tuple[RefusalBody, ...]
    newest: int | None
    changes: tuple[ProfileChangeBody, ...]

    @classmethod
    def from_domain(cls, refusals: Sequence[Refusal], newest: Profile | None, changes: Sequence[ProfileChange]) -> Self:
        return cls(
            refusals=tuple(map(RefusalBody.from_domain, refusals)),
            newest=newest.version if newest is not None else None,
            changes=tuple(map(ProfileChangeBody.from_domain, changes)),
        )
