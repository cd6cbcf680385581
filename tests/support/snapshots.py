"""Snapshots: what people read is kept in files, so that a change of it is seen in review."""

from __future__ import annotations

import json
import os
from pathlib import Path


def assert_matches(path: Path, value: object) -> None:
    """Compares JSON-like `value` with the file; writes the file instead when UPDATE_SNAPSHOTS is set."""
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", "utf-8")
    assert value == json.loads(path.read_text("utf-8")), f"{path.name} differs; UPDATE_SNAPSHOTS=1 accepts this"
