"""What editors are told of a profile's file is what kbfleet takes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from kbfleet.bootstrap import KNOWLEDGE_STORES
from kbfleet.contracts import parse
from kbfleet.contracts.profiles import ProfileBody, ProfileFile
from kbfleet.domain.profile_rules import LIMITS, TEXT_LIMITS, StackOffer, refusals
from kbfleet.domain.profiles import Profile, ProfileName, StackDefaults
from tests.support.samples import STACK_DEFAULTS
from tests.unit.test_profiles import FULL, OFFER, PLAIN

ROOT = Path(__file__).parents[2]
SCHEMA: Any = json.loads((ROOT / "docs" / "profile.schema.json").read_text("utf-8"))
SHIPPED = sorted((ROOT / "examples" / "profiles").glob("*.json"))
STORES = {
    "faq": {"S3_VECTORS", "OPENSEARCH_SERVERLESS", "MANAGED"},
    "long-manuals": {"OPENSEARCH_SERVERLESS"},
    "office-japanese": {"S3_VECTORS", "OPENSEARCH_SERVERLESS"},
    "price-lists": {"S3_VECTORS", "OPENSEARCH_SERVERLESS"},
}
"""On which each shipped profile can be. A file that names none can be put on any of its stores."""


def broken(document: object) -> list[str]:
    """Where a document is not as the schema says."""
    found = Draft202012Validator(SCHEMA).iter_errors(document)
    return [".".join(map(str, error.absolute_path)) for error in found]


def file_of(profile: Profile) -> dict[str, Any]:
    made: dict[str, Any] = ProfileBody.from_domain(profile).model_dump(mode="json")
    del made["version"]
    return made


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_profile_is_as_the_schema_says_and_is_taken_on_its_stores(path: Path) -> None:
    document = json.loads(path.read_text("utf-8"))
    assert broken(document) == []
    file = parse(ProfileFile, document)
    assert file.name == path.stem
    taken = {
        store
        for store in KNOWLEDGE_STORES
        if file.request.ingestion.knowledge_store in (None, store)
        and not refusals(file.request.to_domain(file.name, 1, on(store)), offer_to(file))
    }
    assert taken == STORES[path.stem]


def on(store: str) -> StackDefaults:
    """What the parameters say of a stack whose default store that is."""
    return replace(STACK_DEFAULTS, ingestion=replace(STACK_DEFAULTS.ingestion, knowledge_store=store))


def offer_to(file: ProfileFile) -> StackOffer:
    """Of a stack in Tokyo that grants what docs/profiles.md says that the profile needs."""
    parser = file.request.ingestion.parser.model
    models = OFFER.ingestion_models | ({parser} if parser is not None else set())
    return replace(OFFER, region="ap-northeast-1", ingestion_models=models)


def test_the_page_names_every_shipped_profile_its_stores_and_the_model_that_it_needs() -> None:
    page = (ROOT / "docs" / "profiles.md").read_text("utf-8")
    rows = {row.split("|")[1].strip(): row for row in page.splitlines() if row.startswith("| [")}
    assert {f"[{path.stem}](../examples/profiles/{path.name})" for path in SHIPPED} == rows.keys()
    for path in SHIPPED:
        row = rows[f"[{path.stem}](../examples/profiles/{path.name})"]
        assert {store for store in KNOWLEDGE_STORES if store in row} == STORES[path.stem]
        parser = parse(ProfileFile, json.loads(path.read_text("utf-8"))).request.ingestion.parser.model
        assert parser is None or f"`{parser}`" in row


@pytest.mark.parametrize("profile", [PLAIN, FULL])
def test_what_is_shown_of_a_profile_can_be_put_again(profile: Profile) -> None:
    document = file_of(profile)
    assert broken(document) == []
    again = parse(ProfileFile, document).request.to_domain(profile.name, profile.version, STACK_DEFAULTS)
    assert again == profile


@pytest.mark.parametrize("limit", [*LIMITS, *TEXT_LIMITS], ids=lambda limit: limit.field)
def test_a_schema_has_every_limit_of_the_domain(limit: Any) -> None:
    document = file_of(FULL)
    *names, last = limit.field.split(".")
    part = document
    for name in names:
        part = part[name]
    beyond = limit.most + 1 if hasattr(limit, "most") else " "
    part[last] = beyond
    (place,) = broken(document)  # of what may be left out, the schema names the whole
    assert limit.field.startswith(place)
    # It is a profile nevertheless, so that all that is wrong with it is told at once.
    told = parse(ProfileFile, document).request.to_domain(FULL.name, 1, STACK_DEFAULTS)
    assert limit.field in [each.field for each in refusals(told, OFFER)]


def test_what_is_left_out_is_as_the_stack_says() -> None:
    file = parse(ProfileFile, {"name": "plain"})
    assert file.request.to_domain(ProfileName("plain"), 1, STACK_DEFAULTS).describes_as(PLAIN)


def test_on_a_store_that_embeds_itself_no_model_is_put_in() -> None:
    file = parse(ProfileFile, {"name": "managed", "ingestion": {"knowledge_store": "MANAGED"}})
    profile = file.request.to_domain(ProfileName("managed"), 1, STACK_DEFAULTS)
    assert profile.ingestion.embedding.model is None
    assert refusals(profile, OFFER) == ()


@pytest.mark.parametrize("document", [{"name": "x1", "color": "red"}, {}, [], {"name": "default name"}])
def test_what_is_no_profile_is_neither_for_the_schema(document: object) -> None:
    assert broken(document)
