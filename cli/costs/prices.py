"""Prices of AWS: what each is, for which Region, and how it is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.profiles import Profile

REGIONS = Path(__file__).with_name("regions")
"""A file of prices for each Region of which some are known."""
OURS = REGIONS / "us-east-1.json"
"""Has every price that the calculation needs."""

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
        models: of tokens, the ids by which a stack names the models that cost this.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    usd: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    unit: str
    page: str
    grade: str
    dated: str | None = None
    models: tuple[str, ...] | None = None


class ModelPrice(Price):
    """What some models cost that a profile may name, beside those that stacks have by default.

    Args:
        name: of what is paid for, one of `PRICES_OF_MODELS`.
    """

    name: Literal["input_token", "output_token", "embedding_token", "rerank_query"]
    models: tuple[str, ...]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    region: str
    currency: str
    looked_up: str
    prices: dict[str, Price]
    models: tuple[ModelPrice, ...] = ()


@dataclass(frozen=True)
class Prices:
    """Prices that the calculation needs, by name. One that is not known is never taken from another Region.

    Args:
        of_models: of which a profile may choose.
        needed: everything that the calculation needs, by name, as far as it is known for any Region.
    """

    region: str
    looked_up: str
    by_name: Mapping[str, Price]
    of_models: tuple[ModelPrice, ...]
    needed: Mapping[str, Price]

    @classmethod
    def of_region(cls, region: str) -> Prices:
        """Raises: InvalidInput, naming the Regions of which prices are known."""
        files = {path.stem: path for path in sorted(REGIONS.glob("*.json"))}
        if region not in files:
            raise InvalidInput(
                "region",
                f"no price of {region!r} is known, only of {', '.join(files)}. Give a file of prices: --prices.",
            )
        return cls.read(files[region])

    @classmethod
    def read(cls, path: Path = OURS) -> Prices:
        """Raises: InvalidInput when the file cannot be read, or names a price that nothing needs."""
        try:
            held = _File.model_validate_json(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput("prices", f"cannot be read: {error}.") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise InvalidInput("prices", f"{where}: {first['msg']}.") from error
        if unneeded := held.prices.keys() - _needed().keys():
            raise InvalidInput("prices", f"nothing costs {', '.join(sorted(unneeded))}.")
        return cls(held.region, held.looked_up, held.prices, held.models, _needed())

    @property
    def answering_model(self) -> str:
        """The id of a model whose tokens `input_token` is the price of; empty where none is named."""
        price = self.by_name.get("input_token")
        return next(iter(price.models or ()), "") if price is not None else ""

    def of_profile(self, profile: Profile) -> Prices:
        """The same for the models of a profile: what is not known of one of them is not known."""
        by_name, needed = dict(self.by_name), dict(self.needed)
        for name, (kind, model) in _models_of(profile).items():
            by_name.pop(name, None)
            found = self._of_model(kind, model)
            if found is not None:
                by_name[name] = found
            unit = f"{_UNITS[kind]} ({model})"
            needed[name] = Price(usd=0, unit=unit, page=_PRICES_OF_BEDROCK, grade="")
        return replace(self, by_name=by_name, needed=needed)

    def _of_model(self, kind: str, model: str) -> Price | None:
        usual = self.by_name.get(kind)
        of_kind = [each for each in self.of_models if each.name == kind]
        return next((each for each in (usual, *of_kind) if each is not None and model in (each.models or ())), None)

    def with_given(self, given: Iterable[str]) -> Prices:
        """The same with prices of your own.

        Args:
            given: such as `ocu_hour=0.334`.

        Raises: InvalidInput.
        """
        changed = dict(self.by_name)
        for each in given:
            name, _, amount = each.partition("=")
            if name not in self.needed:
                raise InvalidInput("price", f"there is no {name!r}; `kbfleet costs --list-prices` shows all.")
            try:
                usd = Price.model_validate(self.needed[name].model_dump(include=_OF_A_PRICE) | {"usd": amount}).usd
            except ValidationError:
                raise InvalidInput("price", f"{each!r} is not a name, '=' and an amount of USD.") from None
            price = changed.get(name, self.needed[name])
            changed[name] = price.model_copy(update={"usd": usd, "grade": "GIVEN", "dated": None, "models": None})
        return replace(self, by_name=changed)

    @property
    def unknown(self) -> Mapping[str, Price]:
        """What is needed and not known here; what each is for is said by those of another Region."""
        return {name: price for name, price in self.needed.items() if name not in self.by_name}

    def assuming(self, usd: float) -> Prices:
        """The same where everything that is not known costs so much, to find out what it is a part of."""
        assumed = {name: price.model_copy(update={"usd": usd}) for name, price in self.unknown.items()}
        return replace(self, by_name={**self.by_name, **assumed})

    def of_tokens(self, model: str) -> tuple[float, float] | None:
        """What a token costs that a model reads, and one that it writes; `None` where that is not known.

        Args:
            model: foundation model or inference profile, as the stack names it.
        """
        read, written = (self._of_model(kind, model) for kind in ("input_token", "output_token"))
        return None if read is None or written is None else (read.usd, written.usd)

    def __getitem__(self, name: str) -> float:
        """In USD for one unit."""
        return self.by_name[name].usd


_PRICES_OF_BEDROCK = "https://aws.amazon.com/bedrock/pricing/"
_OF_A_PRICE = set(Price.model_fields)
_UNITS = {
    "input_token": "input token",
    "output_token": "output token",
    "embedding_token": "token",
    "rerank_query": "query of up to 100 passages",
}


def _models_of(profile: Profile) -> Mapping[str, tuple[str, str]]:
    """Which price of which model each price of the calculation is; nothing for models that the profile does not say."""
    parser, embedding = profile.ingestion.parser.model, profile.ingestion.embedding.model
    answering = profile.answering
    reranker = answering.reranker.model if answering.reranker is not None else None
    named = {
        "input_token": ("input_token", answering.model),
        "output_token": ("output_token", answering.model),
        "embedding_token": ("embedding_token", embedding),
        "parsing_input_token": ("input_token", parser),
        "parsing_output_token": ("output_token", parser),
        "rerank_query": ("rerank_query", reranker),
    }
    return {name: (kind, model) for name, (kind, model) in named.items() if model}


@cache
def _needed() -> Mapping[str, Price]:
    return _File.model_validate_json(OURS.read_text("utf-8")).prices
