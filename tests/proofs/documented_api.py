"""The deployed API, on a local AWS of its own with IAM enforced, answers every request as its OpenAPI document says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from local import deployment
from local.stack import process
from local.stack.configuration import StackConfiguration, free_port
from tests.proofs.proof import Row
from tests.support.api_trials import ApiUnderTrial, made, trials

TENANT = "acme"
EXAMPLES = 50
_KBFLEET = Path(sys.executable).with_name("kbfleet")


def prove(examples: int = EXAMPLES, start: int = 0) -> Row:
    """Valid, invalid and unproved requests of every operation: no answer 5xx, none that the document does not have.

    Args:
        examples: requests of an operation in one way.
        start: of their deterministic choice.
    """
    row = Row("API as documented", "S3_VECTORS")
    answers: Counter[int] = Counter()
    with _api() as api:
        for trial in trials(api, examples=examples, start=start):
            tried = trial()
            answers += tried.answers
            row.runs += tried.answers.total()
            if tried.failure:
                row.failures.append(tried.failure)
    row.findings = [f"answers {', '.join(f'{status}: {count:,}' for status, count in sorted(answers.items()))}"]
    return row


@contextmanager
def _api() -> Iterator[ApiUnderTrial]:
    with tempfile.TemporaryDirectory() as folder:
        configuration = StackConfiguration(
            state_directory=Path(folder), aws_port=free_port(), side_port=free_port(), authorization=True
        )
        process.start(configuration)
        try:
            outputs = deployment.deploy(configuration).outputs
            known = made(TENANT, partial(_kbfleet, configuration))
            yield ApiUnderTrial(configuration, outputs["ApiUrl"], TENANT, known)
        finally:
            process.stop(configuration.state_directory)


def _kbfleet(configuration: StackConfiguration, *arguments: str) -> Any:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    ran = subprocess.run(  # noqa: S603 -- our own program
        [str(_KBFLEET), *arguments, "--json"],
        env=environment | configuration.client_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(ran.stdout)
