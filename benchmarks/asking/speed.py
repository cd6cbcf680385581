"""What kbfleet's ask function adds to Bedrock's own time, beside the plainest handler that does the job.

Both run under AWS's own Lambda runtime client, and alternate, so that whatever else the machine does hits both.
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.asking.lambda_environment import Environment, Function, environment
from benchmarks.asking.layers import Layers, build, with_all_services, without_bytecode
from benchmarks.asking.services import Services, services
from benchmarks.aws import client, moto
from benchmarks.report import Measurement
from kbfleet.adapters.dynamodb.table import Table
from kbfleet.adapters.dynamodb.tenants import DynamoDBTenantRegistry
from local.stack.python_runtime import make_runtime_directory
from tests.support.deployment_values import Deployment
from tests.support.samples import ACCOUNT, REGION, tenant
from tests.support.template import REPOSITORY, table_definition

_EVENT = REPOSITORY / "events" / "triggers" / "ask.json"
_PLAIN = Path(__file__).with_name("plain_ask.py")
_PACKAGES_SHOWN = 10


@dataclass(frozen=True)
class Scale:
    """How often each of the two is asked and started. The targets hold for the defaults."""

    questions: int = 300
    starts: int = 15


def measure(scale: Scale) -> Iterator[Measurement]:
    """Each measurement as soon as it is made."""
    with TemporaryDirectory() as folder, services(_items(), Path(folder)) as running:
        bench = _Bench(Path(folder), running)
        yield from bench.warm(scale.questions)
        yield from bench.cold(scale.starts)
        yield from bench.sizes(scale.starts)
        yield from bench.imports()


class _Bench:
    def __init__(self, folder: Path, running: Services) -> None:
        self._event = json.loads(_EVENT.read_text("utf-8"))
        self._services = running
        self._folder = folder
        self._runtime = make_runtime_directory(folder / "runtime")
        self._layers = build(folder / "layers")
        deployed = Deployment(ACCOUNT, REGION).function("AskFunction")
        self._handler = str(deployed["Handler"])
        self._variables = {**deployed["Environment"]["Variables"], "AWS_ENDPOINT_URL": running.url}
        self._code = _copied(REPOSITORY / deployed["CodeUri"], folder / "ask")
        self._ours = self._on(self._layers)
        (folder / "plain").mkdir()
        shutil.copy(_PLAIN, folder / "plain")
        self._plain = Function("plain_ask.handler", (folder / "plain", self._runtime), self._variables)

    def _on(self, layers: Layers) -> Function:
        return Function(self._handler, (self._code, *layers.folders, self._runtime), self._variables)

    def warm(self, questions: int) -> Iterator[Measurement]:
        """Milliseconds of an invocation without Bedrock's answer, once both have answered a few."""
        ours: list[float] = []
        plain: list[float] = []
        with environment(self._ours) as one, environment(self._plain) as other:
            for number in range(-5, questions):
                for running, taken in ((one, ours), (other, plain)):
                    overhead = self._ask(running)
                    if number >= 0:
                        taken.append(overhead)
        middle, plain_middle = statistics.median(ours), statistics.median(plain)
        yield Measurement("warm overhead, p50", middle, "ms")
        yield Measurement("warm overhead of the plain handler, p50", plain_middle, "ms")
        yield Measurement("warm overhead, p50, ÷ plain", middle / plain_middle, "×", 1.2)
        yield Measurement("warm overhead, p99", _p99(ours), "ms")
        yield Measurement("warm overhead of the plain handler, p99", _p99(plain), "ms")

    def cold(self, starts: int) -> Iterator[Measurement]:
        """Milliseconds from starting the process to the first answer, without Bedrock's answer."""
        ours, plain = self._starts(starts, self._ours, self._plain)
        yield Measurement("cold start, median", ours, "ms")
        yield Measurement("cold start of the plain handler, median", plain, "ms")
        yield Measurement("cold start, ÷ plain", ours / plain, "×", 1.3)

    def sizes(self, starts: int) -> Iterator[Measurement]:
        """What the layers have and leave out, and what it changes."""
        megabyte = 1_000_000
        bare = without_bytecode(self._layers, self._folder / "bare")
        untrimmed = with_all_services(self._layers, self._folder / "untrimmed")
        yield Measurement("layers, unpacked", self._layers.bytes / megabyte, "MB")
        yield Measurement("  without bytecode", bare.bytes / megabyte, "MB")
        yield Measurement("  with what botocore knows of unused services", untrimmed.bytes / megabyte, "MB")
        # Layers are read-only on Lambda: what is compiled in one cold start is not there for the next.
        uncompiled = replace(self._on(bare), variables={**self._variables, "PYTHONDONTWRITEBYTECODE": "1"})
        whole, without, more = self._starts(starts, self._ours, uncompiled, self._on(untrimmed))
        yield Measurement("cold start without bytecode, ÷ with it", without / whole, "×")
        yield Measurement("cold start with unused services, ÷ without them", more / whole, "×")

    def imports(self) -> Iterator[Measurement]:
        """Milliseconds of the modules' own code until the first answer, by package, the most first."""
        with environment(self._ours, options=("-X", "importtime")) as running:
            running.invoke(self._event)
            spent = _own_import_milliseconds(running.log)
        yield Measurement("imports of a cold start, in all", sum(spent.values()), "ms")
        for package, taken in spent.most_common(_PACKAGES_SHOWN):
            yield Measurement(f"  {package}", taken, "ms")

    def _starts(self, starts: int, *functions: Function) -> list[float]:
        """The median of each; they alternate."""
        taken: list[list[float]] = [[] for _ in functions]
        for number in range(-1, starts):
            for function, of_function in zip(functions, taken, strict=True):
                with environment(function) as running:
                    self._expect_answer(running)
                    cold = (time.perf_counter() - running.started - self._services.last_answer_seconds()) * 1_000
                if number >= 0:  # the first one has warmed the disk's cache
                    of_function.append(cold)
        return [statistics.median(of_function) for of_function in taken]

    def _ask(self, running: Environment) -> float:
        seconds = self._expect_answer(running)
        return (seconds - self._services.last_answer_seconds()) * 1_000

    def _expect_answer(self, running: Environment) -> float:
        invocation = running.invoke(self._event)
        body = json.loads(invocation.answer["body"])
        if invocation.answer["statusCode"] != 200 or len(body["citations"]) != 2:
            raise RuntimeError(f"not an answer: {invocation.answer}\n{running.log}")
        return invocation.seconds


def _copied(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__")))


def _items() -> list[Mapping[str, Any]]:
    """What kbfleet's registry stores of an active tenant, in DynamoDB's JSON."""
    with moto():
        dynamodb = client("dynamodb")
        dynamodb.create_table(TableName="kbfleet", **table_definition())
        DynamoDBTenantRegistry(Table(dynamodb, "kbfleet")).create(tenant())
        return list(dynamodb.scan(TableName="kbfleet")["Items"])


def _own_import_milliseconds(log: str) -> Counter[str]:
    """By package; kbfleet's own modules one by one."""
    spent: Counter[str] = Counter()
    for line in log.splitlines():
        columns = line.removeprefix("import time:").split("|")
        if line.startswith("import time:") and len(columns) == 3 and columns[0].strip().isdigit():
            module = columns[2].strip()
            parts = module.split(".")
            spent[module if parts[0] == "kbfleet" else parts[0]] += int(columns[0])
    return Counter({package: microseconds / 1_000 for package, microseconds in spent.items()})


def _p99(taken: list[float]) -> float:
    return statistics.quantiles(taken, n=100)[98]
