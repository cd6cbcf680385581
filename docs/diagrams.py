"""Draws the state machines into docs/architecture.md. `--check` only compares, and exits 1 if it is out of date."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"


def diagram(definition: dict[str, Any]) -> str:
    """A definition in Amazon States Language as a Mermaid state diagram."""
    states: dict[str, dict[str, Any]] = definition["States"]
    ids = {name: re.sub(r"\W", "", name) for name in states}
    lines = ["stateDiagram-v2"]
    lines += [f'    state "{name}" as {ids[name]}' for name in states]
    lines.append(f"    [*] --> {ids[definition['StartAt']]}")
    for name, state in states.items():
        lines += [f"    {ids[name]} --> {_target(ids, goal)}{label}" for goal, label in _transitions(state)]
    return "\n".join(lines)


def _target(ids: dict[str, str], goal: str | None) -> str:
    return ids[goal] if goal else "[*]"


def _transitions(state: dict[str, Any]) -> Iterator[tuple[str | None, str]]:
    if state["Type"] == "Choice":
        yield from ((choice["Next"], " : yes") for choice in state["Choices"])
        yield state["Default"], " : not yet"
    elif state["Type"] in {"Succeed", "Fail"}:
        yield None, ""
    else:
        yield state["Next"], ""
        yield from ((catch["Next"], " : fails") for catch in state.get("Catch", ()) if catch["Next"] != state["Next"])


def drawn(page: str) -> str:
    """The page with each diagram between its markers brought up to date."""

    def redraw(match: re.Match[str]) -> str:
        definition = json.loads((ROOT / "statemachine" / f"{match['name']}.asl.json").read_text("utf-8"))
        return f"{match['begin']}\n```mermaid\n{diagram(definition)}\n```\n{match['end']}"

    pattern = r"(?P<begin><!-- diagram: (?P<name>\w+) -->)\n.*?(?P<end><!-- end -->)"
    return re.sub(pattern, redraw, page, flags=re.DOTALL)


def main() -> int:
    """Returns: 1 if `--check` finds the page out of date."""
    page = PAGE.read_text("utf-8")
    now = drawn(page)
    if "--check" in sys.argv:
        return int(now != page)
    PAGE.write_text(now, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
