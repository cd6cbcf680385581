"""Prices of AWS: what each is, for which Region, and how it is known."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kbfleet.domain.errors import InvalidInput

OURS = Path(__file__).with_name("prices.json")

GRADES: Mapping[str, str] = {
    "PRICE_LIST": "quoted from AWS's machine-readable price list of that day",
    "QUOTED": "quoted alike by several public sources",
    "REPORTED": "named by users and by reports of the announcement only",
    "GIVEN": "given by you",
}


class Price(BaseModel):
    """One price.

    Args:
        usd: for one unit.
        page: where AWS publishes it.
        grade: how it is known, one of `GRADES`.
        dated: of the price list it comes from, where that is known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    usd: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    unit: str
    page: str
    grade: str
    dated: str | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    region: str
    currency: str
    looked_up: str
    prices: dict[str, Price]


@dataclass(frozen=True)
class Prices:
    """All prices that the calculation needs, by name."""

    region: str
    looked_up: str
    by_name: Mapping[str, Price]

    @classmethod
    def read(cls, path: Path = OURS) -> Prices:
        """Raises: InvalidInput when the file cannot be read, or lacks a price."""
        try:
            held = _File.model_validate_json(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput("prices", f"cannot be read: {error}.") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise InvalidInput("prices", f"{where}: {first['msg']}.") from error
        missing = _names() - held.prices.keys()
        if missing:
            raise InvalidInput("prices", f"the file lacks {', '.join(sorted(missing))}.")
        return cls(held.region, held.looked_up, held.prices)

    def with_given(self, given: Iterable[str]) -> Prices:
        """The same with prices of your own.

        Args:
            given: such as `ocu_hour=0.334`.

        Raises: InvalidInput.
        """
        changed = dict(self.by_name)
        for each in given:
            name, _, amount = each.partition("=")
            if name not in changed:
                raise InvalidInput("price", f"there is no {name!r}; `kbfleet costs --list-prices` shows all.")
            try:
                usd = Price.model_validate(changed[name].model_dump() | {"usd": amount}).usd
            except ValidationError:
                raise InvalidInput("price", f"{each!r} is not a name, '=' and an amount of USD.") from None
            changed[name] = changed[name].model_copy(update={"usd": usd, "grade": "GIVEN", "dated": None})
        return replace(self, by_name=changed)

    def __getitem__(self, name: str) -> float:
        """In USD for one unit."""
        return self.by_name[name].usd


def _names() -> set[str]:
    return set(json.loads(OURS.read_text("utf-8"))["prices"])
