"""`make audit`: what checkov finds in the templates as SAM expands them, beside what is accepted in audit.yaml.

checkov is asked to reach nobody: with `--skip-download` it asks its maker for nothing, without a key of an API it sends
nothing, and it does not look for a newer version of itself. Should it try nevertheless, it finds a proxy where nobody
listens.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from tests.oracles.expansion import PATHS, document

ACCEPTED = Path(__file__).with_name("audit.yaml")
_NOWHERE = "http://127.0.0.1:9"
"""The port of the protocol Discard, which nothing here speaks."""
_OFFLINE: dict[str, str] = {
    "CKV_SKIP_PACKAGE_UPDATE_CHECK": "true",
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), _NOWHERE),
}
_OWN_SETTINGS = ("BC_", "CHECKOV_", "CKV_", "PRISMA_")
"""What the names of checkov's variables begin with; whoever runs the audit may have some for other work."""


@dataclass(frozen=True, order=True)
class Finding:
    """That a check fails on a resource, `<type>.<logical id>`."""

    check: str
    resource: str
    said: str = ""


@dataclass(frozen=True)
class Acceptance:
    """That a check may fail on the resources of a pattern."""

    check: str
    resources: str
    because: str

    def covers(self, finding: Finding) -> bool:
        return finding.check == self.check and fnmatchcase(finding.resource, self.resources)


def acceptances() -> list[Acceptance]:
    return [Acceptance(**each) for each in yaml.safe_load(ACCEPTED.read_text("utf-8"))]


def new(found: Iterable[Finding], accepted: Sequence[Acceptance]) -> list[Finding]:
    """What is found and not accepted."""
    return sorted(each for each in found if not any(acceptance.covers(each) for acceptance in accepted))


def stale(found: Sequence[Finding], accepted: Iterable[Acceptance]) -> list[Acceptance]:
    """What is accepted and not found."""
    return [each for each in accepted if not any(each.covers(finding) for finding in found)]


def read(report: Any) -> list[Finding]:
    """The findings of a report in JSON.

    Raises: ValueError when a template could not be read, or nothing was checked: that nothing was found there says
        nothing.
    """
    found = []
    for part in report if isinstance(report, list) else [report]:
        summary = part.get("summary", part)
        if summary.get("parsing_errors") or not summary.get("passed"):
            raise ValueError(f"checkov has not looked at everything: {summary}")
        for failed in part["results"]["failed_checks"]:
            found.append(Finding(failed["check_id"], failed["resource"], failed["check_name"]))
    return found


def run(checkov: str) -> list[Finding]:
    """Has checkov look at the expanded templates."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OWN_SETTINGS)} | _OFFLINE
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, path in enumerate(PATHS):
            file = Path(folder) / f"{number}.json"
            file.write_text(json.dumps(document(path)), "utf-8")
            files.append(str(file))
        command = [
            checkov,
            "--framework",
            "cloudformation",
            "--skip-download",
            "--quiet",
            "--compact",
            "--output",
            "json",
        ]
        done = subprocess.run(  # noqa: S603 - the program that the Makefile has installed
            [*command, "--file", *files], env=environment, cwd=folder, capture_output=True, text=True, check=False
        )
    # 1 is for findings.
    if done.returncode not in {0, 1}:
        raise RuntimeError(done.stderr)
    return read(json.loads(done.stdout))


def main(checkov: str) -> int:
    found, accepted = run(checkov), acceptances()
    unknown, gone = new(found, accepted), stale(found, accepted)
    lines = [f"{check:12} {count:4}" for check, count in sorted(Counter(each.check for each in found).items())]
    lines += [f"new: {finding.check} {finding.resource}: {finding.said}" for finding in unknown]
    lines += [f"no longer found: {acceptance.check} on {acceptance.resources}" for acceptance in gone]
    lines += [f"{len(found)} findings, {len(unknown)} new; {len(accepted)} acceptances, {len(gone)} without a finding"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if unknown or gone else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
