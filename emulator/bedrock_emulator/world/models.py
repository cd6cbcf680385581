"""Which models can be called on demand in a Region, and which only through an inference profile.

From the AWS documentation, "Supported Regions and models for inference profiles" and "for batch inference", which name
the Regions of profiles, and from refusals that users report: Amazon Nova outside us-east-1 (aws-solutions-library-
samples/qnabot-on-aws#823, about us-west-2), Nova 2 and Claude 4 everywhere (langchain-ai/langchain-aws#1019). A Region
for which neither says that Nova can be called on demand is taken for one where it can't.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bedrock_emulator.wire.errors import ServiceError, not_found, validation

_US = ("us-east-1", "us-east-2", "us-west-2")
_EUROPE = ("eu-central-1", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-3")
_ASIA = ("ap-northeast-1", "ap-northeast-2", "ap-south-1", "ap-southeast-1", "ap-southeast-2")
_JAPAN = ("ap-northeast-1", "ap-northeast-3")
_AUSTRALIA = ("ap-southeast-2", "ap-southeast-4")
_GEOGRAPHIES = ("us", "us-gov", "eu", "apac", "jp", "au", "ca", "global")


@dataclass(frozen=True)
class Model:
    """A foundation model.

    ``on_demand`` are the Regions in which its id alone can be called. ``profiles`` are the Regions from which an
    inference profile can be called, by the geography that its id begins with; requests go to any of them.
    """

    identifier: str
    name: str
    provider: str
    on_demand: tuple[str, ...] = ()
    profiles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def inference_types(self, region: str) -> list[str]:
        """``inferenceTypesSupported`` of GetFoundationModel; empty where the Region does not have the model.

        The service says INFERENCE_PROFILE, which the enumeration of botocore's model lacks (users report:
        aws-samples/artifacts-and-tools-for-bedrock#13).
        """
        types = ["ON_DEMAND"] if region in self.on_demand else []
        return types + (["INFERENCE_PROFILE"] if self.profiles_in(region) else [])

    def profiles_in(self, region: str) -> dict[str, tuple[str, ...]]:
        """The Regions behind each inference profile that can be called from a Region, by the profile's id."""
        return {
            f"{geography}.{self.identifier}": regions
            for geography, regions in self.profiles.items()
            if region in regions
        }


_NOVA = {"us": _US, "eu": _EUROPE, "apac": _ASIA}
_CLAUDE = {"us": _US, "eu": _EUROPE, "jp": _JAPAN, "au": _AUSTRALIA}
MODELS = (
    Model("amazon.nova-micro-v1:0", "Nova Micro", "Amazon", ("us-east-1", "us-gov-west-1"), _NOVA),
    Model("amazon.nova-lite-v1:0", "Nova Lite", "Amazon", ("us-east-1", "us-gov-west-1"), _NOVA),
    Model("amazon.nova-pro-v1:0", "Nova Pro", "Amazon", ("us-east-1", "us-gov-west-1"), _NOVA),
    Model("amazon.nova-premier-v1:0", "Nova Premier", "Amazon", profiles={"us": _US}),
    Model("anthropic.claude-haiku-4-5-20251001-v1:0", "Claude Haiku 4.5", "Anthropic", profiles=_CLAUDE),
    Model("anthropic.claude-sonnet-4-5-20250929-v1:0", "Claude Sonnet 4.5", "Anthropic", profiles=_CLAUDE),
)
"""Those whose Regions are known here. Any other model can be called, but for the families below."""


@dataclass(frozen=True)
class Lifecycle:
    """When a model becomes legacy, and when it ends; both in UTC."""

    legacy_from: datetime
    ends_at: datetime


LIFECYCLES: Mapping[str, Lifecycle] = {
    # Of the models before September 2026 AWS says only that they are legacy for at least six months; these begin so.
    "anthropic.claude-3-haiku-20240307-v1:0": Lifecycle(
        datetime(2026, 3, 10, tzinfo=UTC), datetime(2026, 9, 10, tzinfo=UTC)
    ),
    "anthropic.claude-sonnet-4-20250514-v1:0": Lifecycle(
        datetime(2026, 4, 14, tzinfo=UTC), datetime(2026, 10, 14, tzinfo=UTC)
    ),
    "anthropic.claude-opus-4-1-20250805-v1:0": Lifecycle(
        datetime(2026, 7, 8, tzinfo=UTC), datetime(2027, 1, 8, tzinfo=UTC)
    ),
}
"""Of the models whose ends are known here (AWS documentation, "Model lifecycle", read in November 2026); any other goes
on for ever."""
_RERANKING = ("ap-northeast-1", "ca-central-1", "eu-central-1", "us-west-2")
RERANKERS: Mapping[str, tuple[str, ...]] = {
    "amazon.rerank-v1:0": _RERANKING,
    "cohere.rerank-v3-5:0": (*_RERANKING, "us-east-1"),
}
"""The Regions of each reranking model (AWS documentation, "Supported Regions and models for reranking")."""
EMBEDDING_DIMENSIONS: Mapping[str, tuple[int, ...]] = {
    "amazon.titan-embed-text-v2:0": (1024, 512, 256),
    "amazon.titan-embed-text-v1": (1536,),
    "amazon.titan-embed-image-v1": (1024, 384, 256),
    "amazon.nova-2-multimodal-embeddings-v1:0": (1024,),
    "cohere.embed-english-v3": (1024,),
    "cohere.embed-multilingual-v3": (1024,),
    "cohere.embed-v4:0": (1536, 1024, 512, 256),
}
"""The dimensions of the embedding models, the usual one first (AWS documentation, "Supported models and Regions for
Amazon Bedrock knowledge bases", and the models' own pages). A model not listed is taken to have any."""
_SEEING = (
    "anthropic.claude-",
    "amazon.nova-lite",
    "amazon.nova-pro",
    "amazon.nova-premier",
    "amazon.nova-2-",
    "meta.llama4-",
)
"""How the ids of models begin that parse documents (AWS documentation, "Supported models and Regions for Amazon Bedrock
knowledge bases": Claude and Nova with vision, Llama 4)."""
_PROFILE_ONLY = ("anthropic.claude-haiku-4", "anthropic.claude-sonnet-4", "anthropic.claude-opus-4", "amazon.nova-2")


def dimensions_of(model: str) -> tuple[int, ...]:
    """The dimensions that the vectors of an embedding model can have, the usual one first; none where not known."""
    return EMBEDDING_DIMENSIONS.get(model.rpartition("/")[2], ())


def known(identifier: str) -> Model | None:
    """The model of that id, if its Regions are known."""
    return next((model for model in MODELS if model.identifier == identifier), None)


def lifecycle(model: str) -> Lifecycle | None:
    """Of the model of that id or ARN, or behind the inference profile of that; None where its end is not known."""
    return LIFECYCLES.get(_behind(model))


def has_ended(model: str, now: float) -> bool:
    """Whether a model, by its id or ARN, can't be called any more at a time, in seconds since 1970."""
    known_end = lifecycle(model)
    return known_end is not None and known_end.ends_at.timestamp() <= now


def check_invocable(model: str, region: str, now: float) -> None:
    """ValidationException for a model, by its id or ARN, that can't be called so from a Region.

    ResourceNotFoundException for one that has ended before ``now``, in seconds since 1970.
    """
    if has_ended(model, now):
        raise not_found(ENDED)
    name = model.rpartition("/")[2]
    geography, _, behind = name.partition(".")
    if geography in _GEOGRAPHIES:
        if (of := known(behind)) is not None and geography != "global" and name not in of.profiles_in(region):
            raise _invalid()
        return
    of = known(name)
    if of is None:
        if name.startswith(_PROFILE_ONLY):
            raise _needs_profile(name)
        return
    types = of.inference_types(region)
    if not types:
        raise _invalid()
    if "ON_DEMAND" not in types:
        raise _needs_profile(name)


ENDED = "This model version has reached the end of its life."
"""As users report it: aws-samples/bedrock-chat#1126."""


def check_reranks(model_arn: str, region: str) -> None:
    """ValidationException for a model, by its ARN, that does not rerank in a Region. The words are inferred."""
    _, _, resource = model_arn.partition(":foundation-model/")
    if region not in RERANKERS.get(resource, ()):
        raise _invalid()


def check_parses(model_arn: str) -> None:
    """ValidationException for a model, by its ARN, that does not parse documents. The words are inferred."""
    if not _behind(model_arn).startswith(_SEEING):
        raise validation(f"The model {model_arn.rpartition('/')[2]} is not supported for parsing.")


def _behind(model: str) -> str:
    """The id of the foundation model, by its id or ARN, or by those of an inference profile that leads to it."""
    name = model.rpartition("/")[2]
    geography, _, behind = name.partition(".")
    return behind if geography in _GEOGRAPHIES else name


def _needs_profile(name: str) -> ServiceError:
    return validation(
        f"Invocation of model ID {name} with on-demand throughput isn't supported. Retry your request with "
        "the ID or ARN of an inference profile that contains this model."
    )


def _invalid() -> ServiceError:
    """As users report of models and profiles that a Region does not have."""
    return validation("The provided model identifier is invalid.")
