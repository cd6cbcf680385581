"""Profiles: an item for each version, which is never written again, and one that says whether the profile is listed.

They are read without pydantic: asking reads them, and a model of all this would take a good part of a cold start.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, TypeVar

from kbfleet.adapters.dynamodb.table import as_item
from kbfleet.domain.errors import ConcurrentUpdate
from kbfleet.domain.profiles import (
    MAX_VERSION,
    AnswererKind,
    Answering,
    Chunking,
    ChunkingKind,
    Embedding,
    Guardrail,
    Ingestion,
    Parser,
    ParserKind,
    Profile,
    ProfileName,
    Reranker,
    SearchType,
    Words,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kbfleet.adapters.dynamodb.table import Table

Part = TypeVar("Part")

_LIST = "PROFILES"
_VERSION = "VERSION#"


def _version_key(name: ProfileName, version: int) -> dict[str, str]:
    return {"PK": f"PROFILE#{name}", "SK": f"{_VERSION}{version:0{len(str(MAX_VERSION))}}"}


class DynamoDBProfileRecords:
    """`kbfleet.ports.ProfileRecords` in DynamoDB."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self, name: ProfileName, version: int) -> Profile | None:
        if not 1 <= version <= MAX_VERSION:
            return None
        # The ask function is permitted to read this field and no others.
        record = self._table.item(_version_key(name, version), "description")
        return _profile(name, version, record["description"]) if record else None

    def newest(self, name: ProfileName) -> Profile | None:
        found = self._table.query(
            limit=1,
            KeyConditionExpression="PK = :pk AND begins_with(SK, :version)",
            ExpressionAttributeValues=as_item({":pk": f"PROFILE#{name}", ":version": _VERSION}),
            ScanIndexForward=False,
            ConsistentRead=True,
        )
        record = next(found, None)
        return _profile(name, int(record["SK"].removeprefix(_VERSION)), record["description"]) if record else None

    def add(self, profile: Profile) -> None:
        self._table.put(
            {
                **_version_key(profile.name, profile.version),
                # As one text: DynamoDB has no numbers with a fraction that Python reads back as they were.
                "description": json.dumps(
                    {"ingestion": asdict(profile.ingestion), "answering": asdict(profile.answering)}
                ),
            },
            condition="attribute_not_exists(PK)",
            values={},
            subject=f"Profile {profile.reference}",
        )

    def names(self) -> Sequence[ProfileName]:
        found = self._table.query(
            KeyConditionExpression="PK = :pk",
            ExpressionAttributeValues=as_item({":pk": _LIST}),
            ConsistentRead=True,
        )
        return [ProfileName(record["SK"]) for record in found]

    def is_listed(self, name: ProfileName) -> bool:
        return self._table.item({"PK": _LIST, "SK": str(name)}) is not None

    def enlist(self, name: ProfileName) -> None:
        self._table.put({"PK": _LIST, "SK": str(name)}, values={}, subject=f"The list of profiles, with {name}")

    def delist(self, name: ProfileName) -> None:
        with suppress(ConcurrentUpdate):  # it is gone already
            self._table.delete_if(
                {"PK": _LIST, "SK": str(name)},
                condition="attribute_exists(PK)",
                values={},
                subject=f"The list of profiles, with {name}",
            )


def _profile(name: ProfileName, version: int, description: str) -> Profile:
    described = json.loads(description)
    ingestion, answering = described["ingestion"], described["answering"]
    guardrail, reranker, search = (answering.get(part) for part in ("guardrail", "reranker", "search_type"))
    parser, chunking = ingestion.get("parser", {}), ingestion.get("chunking", {})
    return Profile(
        name,
        version,
        _made(
            Ingestion,
            ingestion,
            embedding=_made(Embedding, ingestion.get("embedding", {})),
            parser=_made(Parser, parser, kind=ParserKind(parser.get("kind", ParserKind.DEFAULT))),
            chunking=_made(Chunking, chunking, kind=ChunkingKind(chunking.get("kind", ChunkingKind.DEFAULT))),
        ),
        _made(
            Answering,
            answering,
            answerer=AnswererKind(answering["answerer"]),
            nothing_found=_made(Words, answering.get("nothing_found", {})),
            guardrail=_made(Guardrail, guardrail) if guardrail else None,
            reranker=_made(Reranker, reranker) if reranker else None,
            search_type=SearchType(search) if search else None,
        ),
    )


def _made(part: type[Part], stored: Mapping[str, Any], /, **own: object) -> Part:
    """A part of what is stored, or of these. What another version of kbfleet has stored beside is left out."""
    names = {each.name for each in fields(part)}  # type: ignore[arg-type] # the parts of a profile are dataclasses
    return part(**{name: value for name, value in stored.items() if name in names} | own)
