"""A profile, and the knowledge stores that it can be on, for what it costs there."""

from __future__ import annotations

from dataclasses import dataclass

from cli.costs.estimate import STORES
from cli.costs.prices import Prices
from kbfleet.contracts.profiles import ProfileRequest
from kbfleet.domain.errors import ProfileRefused
from kbfleet.domain.profile_rules import Refusal, StackOffer, Whose, refusals, usual_dimensions
from kbfleet.domain.profiles import (
    AnswererKind,
    Answering,
    Embedding,
    Ingestion,
    Profile,
    ProfileName,
    StackDefaults,
)

_EMBEDDING_MODEL = "amazon.titan-embed-text-v2:0"
"""What the parameter EmbeddingModelId says by default."""


@dataclass(frozen=True)
class Chosen:
    """
    Args:
        profile: on the first of the stores.
        stores: of `STORES`.
    """

    profile: Profile
    stores: tuple[str, ...]


def chosen(name: ProfileName, request: ProfileRequest, prices: Prices, version: int = 1) -> Chosen:
    """What a file leaves out is as a stack has it by default, which may be on any store.

    Args:
        prices: also say by which model answers are written, unless the profile does.

    Raises:
        ProfileRefused: it can be on no store in the prices' Region, whatever the stack's parameters say.
    """
    named = request.ingestion.knowledge_store
    titan = Embedding(_EMBEDDING_MODEL, usual_dimensions(Embedding(_EMBEDDING_MODEL)))
    told: list[Refusal] = []
    found: list[Profile] = []
    for store in STORES if named is None else (named,):
        defaults = StackDefaults(Ingestion(store, titan), Answering(prices.answering_model))
        profile = request.to_domain(name, version, defaults)
        broken = _refused_anywhere(profile, prices.region)
        told = told or broken
        if not broken:
            found.append(profile)
    if not found:
        raise ProfileRefused(told[0].field, [str(each) for each in told])
    return Chosen(found[0], tuple(each.ingestion.knowledge_store for each in found))


def _refused_anywhere(profile: Profile, region: str) -> list[Refusal]:
    """What is refused in that Region, whatever a stack's parameters say; and a store that kbfleet does not know."""
    offer = StackOffer(region, frozenset(STORES), frozenset(), frozenset(), frozenset(AnswererKind))
    unknown = profile.ingestion.knowledge_store not in STORES
    return [
        each
        for each in refusals(profile, offer)
        if each.whose is not Whose.STACK or (unknown and each.field == "ingestion.knowledge_store")
    ]
