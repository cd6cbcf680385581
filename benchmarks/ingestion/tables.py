"""What the policies came to, as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from rich.table import Table

from benchmarks.ingestion.simulation import Result
from benchmarks.ingestion.starvation import Beside

_WRITES = ("dynamodb:PutItem", "dynamodb:UpdateItem")
_READS = ("dynamodb:GetItem", "dynamodb:Query")
Results = Mapping[str, Mapping[str, Result]]
"""By workload, then by policy."""


def outcomes(results: Results) -> Table:
    """Times in seconds."""
    columns: dict[str, Callable[[Result], str]] = {
        "lost": lambda result: f"{result.lost}",
        "makespan": lambda result: f"{result.makespan:,.0f}",
        "÷ bound": lambda result: f"{result.makespan / result.bound:.2f}",
        "lag p50": lambda result: f"{result.lag(0.5):,.0f}",
        "p99": lambda result: f"{result.lag(0.99):,.0f}",
        "max": lambda result: f"{result.lag(1):,.0f}",
        "jobs": lambda result: f"{result.jobs:,}",
        "refused": lambda result: f"{result.refused:,}",
    }
    return _by_workload("Uploads until they are searchable (seconds)", columns, results)


def costs(results: Results) -> Table:
    """Calls of AWS for each upload that became searchable."""
    columns = {
        "Bedrock": _each(lambda name: name.startswith("bedrock:")),
        "DynamoDB reads": _each(_READS.__contains__),
        "writes": _each(_WRITES.__contains__),
        "SQS": _each(lambda name: name.startswith("sqs:")),
        "EventBridge": _each(lambda name: name.startswith("events:")),
        "Lambda": _each(lambda name: name.startswith("lambda:")),
        "Step Functions": _each(lambda name: name.startswith("states:")),
    }
    return _by_workload("Calls for each upload that became searchable", columns, results)


def starvation(cases: Mapping[str, Beside]) -> Table:
    """Seconds from upload to searchable."""
    table = Table(
        title="20 tenants alone, and beside one that uploads every second: four hours (seconds)", title_justify="left"
    )
    table.add_column("policy")
    for heading in ("p50 alone", "beside", "p99 alone", "beside", "worst tenant's p50", "p99", "lost"):
        table.add_column(heading, justify="right")
    for policy, case in cases.items():
        table.add_row(
            policy,
            *(f"{lags:,.0f}" for quantile in (0.5, 0.99) for lags in case.lags(quantile)),
            *(f"× {case.worst(quantile):.2f}" for quantile in (0.5, 0.99)),
            f"{case.lost}",
        )
    return table


def _each(counts: Callable[[str], bool]) -> Callable[[Result], str]:
    def shown(result: Result) -> str:
        total = sum(count for name, count in result.calls.items() if counts(name))
        synced = result.uploads - result.lost
        return f"{total / synced:.1f}" if total and synced else "–"

    return shown


def _by_workload(title: str, columns: Mapping[str, Callable[[Result], str]], results: Results) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("policy")
    for heading in columns:
        table.add_column(heading, justify="right")
    for workload, by_policy in results.items():
        table.add_section()
        table.add_row(f"[bold]{workload}[/bold]")
        for policy, result in by_policy.items():
            table.add_row(f"  {policy}", *_cells(columns.values(), result))
    return table


def _cells(columns: Iterable[Callable[[Result], str]], result: Result) -> Iterable[str]:
    return (cell(result) for cell in columns)
