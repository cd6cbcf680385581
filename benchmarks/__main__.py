"""``python -m benchmarks``: every benchmark, or the ones named. Exits 1 when a target is missed."""

from __future__ import annotations

import typer
from rich.console import Console

from benchmarks import emulator as emulator_benchmark
from benchmarks.report import Measurement, show

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help="Benchmarks, as tables with targets.")
console = Console(highlight=False, emoji=False)


@app.callback(invoke_without_command=True)
def everything(context: typer.Context) -> None:
    """Run all benchmarks when none is named."""
    if context.invoked_subcommand is None:
        emulator()


@app.command()
def emulator() -> None:
    """The Bedrock emulator: start, ingestion, retrieval, memory."""
    measured: list[Measurement] = []
    with console.status("Measuring the Bedrock emulator …"):
        for measurement in emulator_benchmark.measure(emulator_benchmark.Scale()):
            measured.append(measurement)
    if not show("Bedrock emulator", measured, console):
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
