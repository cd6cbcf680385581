"""A profile in a file."""

from __future__ import annotations

import json
from pathlib import Path

from kbfleet.contracts import parse
from kbfleet.contracts.profiles import ProfileFile
from kbfleet.domain.errors import InvalidInput


def read_profile(file: Path) -> ProfileFile:
    """Raises: InvalidInput: it cannot be read, or is no profile."""
    try:
        document = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput("FILE", f"{file.name} is no JSON that can be read: {error}.") from error
    return parse(ProfileFile, document)
