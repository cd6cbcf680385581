"""``python -m tests.support.template_difference REVISION``: what template.yaml says otherwise than it did.

Both are read by SAM's own parser, so that anchors and merges are resolved, and nested applications are put in the place
where they stand. Statements' ids (`Sid`) are left out: no right depends on them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from samcli.yamlhelper import yaml_parse

from tests.support.template import REPOSITORY, expanded


def differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """A line for each thing that is there in one only, or otherwise."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys([*before, *after]):
            if key == "Sid":
                continue
            if key not in after:
                yield f"- {path}/{key}"
            elif key not in before:
                yield f"+ {path}/{key}"
            else:
                yield from differences(before[key], after[key], f"{path}/{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from differences(old, new, f"{path}/{number}")
    elif before != after:
        yield f"~ {path}: {_short(before)} -> {_short(after)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def main(revision: str) -> None:
    def before(path: str) -> dict[str, Any]:
        shown = ["git", "show", f"{revision}:{path}"]
        printed = subprocess.run(shown, cwd=REPOSITORY, capture_output=True, text=True, check=True)  # noqa: S603
        return dict(yaml_parse(printed.stdout))

    def after(path: str) -> dict[str, Any]:
        return dict(yaml_parse((REPOSITORY / path).read_text("utf-8")))

    found = list(differences(expanded("template.yaml", before), expanded("template.yaml", after)))
    print(*found, f"{len(found)} differences", sep="\n")  # noqa: T201 - it is what the script is for


if __name__ == "__main__":
    main(sys.argv[1])
