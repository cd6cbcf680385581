"""What a rebuild costs, said before it begins."""

from __future__ import annotations

from cli.costs.by_profile import chosen
from cli.costs.estimate import STORES, Manner, Workload, estimate
from cli.costs.prices import Prices
from cli.costs.stack_parts import stack_parts
from cli.costs.tables import amount
from kbfleet.contracts.profiles import ProfileBody, ProfileRequest
from kbfleet.domain.errors import InvalidInput, ProfileRefused

_PAGES = Workload().pages


def cost_of_rebuilding(profile: ProfileBody, store: str | None, region: str) -> str:
    """For people, in a sentence or two.

    Args:
        profile: by which documents are read.
        store: on which they are kept, unless the profile says so; `None` for wherever each tenant is.
        region: the fleet's.
    """
    request = ProfileRequest(ingestion=profile.ingestion, answering=profile.answering)
    try:
        prices = Prices.of_region(region)
        by = chosen(profile.name, request, prices, profile.version)
    except (InvalidInput, ProfileRefused):
        return (
            "Every document is read anew, and paid for once more. What that costs in the fleet's Region is not known."
        )
    stores = by.stores if store is None else tuple(each for each in STORES if each == store)
    prices = prices.of_profile(by.profile)
    made = estimate(Workload(), prices, stack_parts(), Manner.of(by.profile), stores)
    said = ", ".join(f"{amount(made.for_a_document(each) * 1_000)} USD on {each}" for each in stores)
    return (
        f"Every document is read anew, and paid for once more: for 1,000 documents of {_PAGES:g} pages {said}, by what "
        f"is known of the prices of {region}. Two knowledges are kept until the other one goes."
    )
