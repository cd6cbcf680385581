"""What the tokens of usage cost, where that is known."""

from __future__ import annotations

from dataclasses import dataclass

from cli.costs.prices import Prices
from cli.fleet_api import FleetApi
from kbfleet.contracts.usage import UsageCountsBody
from kbfleet.domain.errors import InvalidInput


@dataclass(frozen=True)
class TokenPrice:
    """What the tokens of the stack's model cost now; before, it may have been another model's.

    Args:
        of_one: in USD, read and written; `None` where it is not known.
        known_by: what is known, or is not, for people.
    """

    of_one: tuple[float, float] | None
    known_by: str

    @classmethod
    def of(cls, api: FleetApi) -> TokenPrice:
        model, region = api.generation_model, api.region
        try:
            prices = Prices.of_region(region)
        except InvalidInput:
            prices = None
        of_one = prices.of_tokens(model) if prices is not None else None
        if prices is None or of_one is None:
            return cls(None, f"What tokens of {model or 'the model'} cost in {region or 'its Region'} is not known.")
        return cls(of_one, f"by prices of {prices.looked_up} for {model} in {region}")

    def of_usage(self, counts: UsageCountsBody) -> float | None:
        """In USD, of the tokens that are known."""
        if self.of_one is None:
            return None
        read, written = self.of_one
        return counts.input_tokens * read + counts.output_tokens * written
