"""The profiles that are measured: those that are shipped, beside what a stack has by default."""

from __future__ import annotations

import json
from pathlib import Path

from kbfleet.contracts import parse
from kbfleet.contracts.profiles import ProfileFile
from kbfleet.domain.profiles import Answering, Embedding, Ingestion, Profile, StackDefaults

FOLDER = Path(__file__).parents[2] / "examples" / "profiles"
_DEFAULTS = StackDefaults(
    Ingestion("S3_VECTORS", Embedding("amazon.titan-embed-text-v2:0", 1_024)), Answering("apac.amazon.nova-lite-v1:0")
)


def profiles() -> list[Profile]:
    """What a stack has by default first; of the others, what a file leaves out is as there."""
    files = [parse(ProfileFile, json.loads(path.read_text("utf-8"))) for path in sorted(FOLDER.glob("*.json"))]
    return [_DEFAULTS.profile(), *(file.request.to_domain(file.name, 1, _DEFAULTS) for file in files)]
