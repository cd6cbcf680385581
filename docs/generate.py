"""Brings the generated parts of docs/ up to date. `--check` only compares, and exits 1 if one is out of date."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from kbfleet.contracts import parse
from kbfleet.contracts.profiles import ProfileFile
from kbfleet.openapi.document import document
from kbfleet.openapi.schemas import standing_alone

ROOT = Path(__file__).parents[1]


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
        for catch in state.get("Catch", ()):
            if catch["Next"] != state["Next"]:
                yield (
                    catch["Next"],
                    " : fails" if catch["ErrorEquals"] == ["States.ALL"] else f" : {catch['ErrorEquals'][0]}",
                )


def decisions() -> str:
    """Every decision by its title."""
    pages = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    titles = {page.name: page.read_text("utf-8").partition("\n")[0].removeprefix("# ") for page in pages}
    return "\n".join(f"- [{title}]({name})" for name, title in titles.items())


def corrections() -> str:
    """What is corrected in MiniStack, by the first lines of the modules."""
    rows = ["| correction | what it restores |", "|---|---|"]
    for path in sorted((ROOT / "local" / "corrections").glob("[a-z]*.py")):
        summary = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n\n")[0]
        rows.append(f"| [{path.stem}](../local/corrections/{path.name}) | {' '.join(summary.split())} |")
    return "\n".join(rows)


def facts() -> str:
    """Which test of the Bedrock emulator shows which fact about the service."""
    return _printed_by("emulator/tests/fact_table.py")


def operations() -> str:
    """What the Bedrock emulator does of each operation."""
    return _printed_by("emulator/tests/operation_table.py")


def operations_by_service() -> str:
    """Which operations the Bedrock emulator does."""
    return _printed_by("emulator/tests/operation_table.py", "--summary")


def facts_of_callers() -> str:
    """Which test of the local AWS shows what a caller of Bedrock needs."""
    return _printed_by("emulator/tests/fact_table.py", str(ROOT / "tests" / "local" / "stack"))


def facts_of_aws() -> str:
    """What is known of AWS that decides how kbfleet fares there, and how the local AWS plays it."""
    return _printed_by("local/facts.py")


def dead_letters() -> str:
    """Every dead-letter queue, what it means, and where its messages go back to."""
    sys.path.insert(0, str(ROOT))
    from cli.dead_letter_queues import table

    return table()


def metrics() -> str:
    """Every metric that kbfleet writes, and who writes it."""
    return _printed_by("tests/contract/metric_table.py")


def alarms() -> str:
    """Every alarm, when it goes off, and its page."""
    return _printed_by("tests/contract/alarm_table.py")


def watching_costs() -> str:
    """What alarms, dashboard and metrics cost a month."""
    return _printed_by("tests/contract/watching_cost_table.py")


def _file(path: str) -> str:
    return f"```python\n{(ROOT / path).read_text('utf-8').strip()}\n```"


def costs() -> str:
    """What `kbfleet costs` says of a fleet."""
    sys.path.insert(0, str(ROOT))
    from cli.costs.estimate import Workload, estimate
    from cli.costs.prices import Prices
    from cli.costs.stack_parts import stack_parts
    from cli.costs.tables import HEADINGS, described, lines_of, markdown

    made = estimate(Workload(), Prices.read(), stack_parts())
    return f"{described(made)}:\n\n{markdown(HEADINGS, lines_of(made))}"


def prices() -> str:
    """The prices that costs are calculated from."""
    sys.path.insert(0, str(ROOT))
    from cli.costs.prices import Prices
    from cli.costs.tables import PRICE_HEADINGS, grades, markdown, price_rows

    return f"{grades()}\n\n{markdown(PRICE_HEADINGS, price_rows(Prices.read()))}"


def prices_of_tokyo() -> str:
    """What is known of the prices of Asia Pacific (Tokyo), and what is not."""
    sys.path.insert(0, str(ROOT))
    from cli.costs.prices import Prices
    from cli.costs.tables import PRICE_HEADINGS, markdown, price_rows

    return markdown(PRICE_HEADINGS, price_rows(Prices.of_region("ap-northeast-1")))


def costs_of_profiles() -> str:
    """What reading pages and answering questions costs by each shipped profile, as `kbfleet costs --profile` has it."""
    sys.path.insert(0, str(ROOT))
    from cli.costs.by_profile import chosen
    from cli.costs.estimate import Manner, Workload, estimate
    from cli.costs.prices import Prices
    from cli.costs.stack_parts import stack_parts
    from cli.costs.tables import amount, markdown
    from cli.profile_file import read_profile

    thousand_pages = Workload(tenants=1, documents=100, pages=10)
    columns = [(region, geography) for region, geography in (("us-east-1", "us."), ("ap-northeast-1", "apac."))]

    def of(path: Path | None, region: str, geography: str) -> tuple[str, str]:
        prices, manner, store = Prices.of_region(region), None, "S3_VECTORS"
        if path is not None:
            text = read_profile(path).model_dump_json(exclude_unset=True).replace('"apac.', f'"{geography}')
            file = parse(ProfileFile, json.loads(text))
            asked = chosen(file.name, file.request, prices)
            prices, manner, store = prices.of_profile(asked.profile), Manner.of(asked.profile), asked.stores[0]
        made = estimate(thousand_pages, prices, stack_parts(), manner)
        return amount(made.for_a_document(store) * thousand_pages.documents), amount(
            made.for_a_thousand_questions(store)
        )

    def row(name: str, path: Path | None) -> tuple[str, ...]:
        costs = [of(path, *column) for column in columns]
        return name, *(pages for pages, _ in costs), *(questions for _, questions in costs)

    shipped = sorted((ROOT / "examples" / "profiles").glob("*.json"))
    names = [region for region, _ in columns]
    headings = (
        "USD",
        *(f"1,000 pages read in, {name}" for name in names),
        *(f"1,000 questions, {name}" for name in names),
    )
    return markdown(headings, [row("default", None), *(row(path.stem, path) for path in shipped)])


def facts_to_verify() -> str:
    """What `kbfleet verify` observes, and what a report that refutes it changes."""
    sys.path.insert(0, str(ROOT))
    from cli.verify.facts import table

    return table()


def not_probed() -> str:
    """What `kbfleet verify` leaves out."""
    sys.path.insert(0, str(ROOT))
    from cli.verify.facts import table_of_others

    return table_of_others()


def permissions() -> str:
    """What every role of the stack may do."""
    return _printed_by("tests/contract/permission_table.py")


def kept_after_offboarding() -> str:
    """What remains of a tenant that is gone."""
    from kbfleet.domain.erasure import table

    return table()


STORES_OF_FLEETS = ("S3_VECTORS", "OPENSEARCH_SERVERLESS", "MANAGED")
SIZES_OF_FLEETS = (10, 50, 300)
"""Tenants, in the table that the first page has."""


def costs_of_fleets(headings: tuple[str, ...], fleets: str) -> str:
    """What `kbfleet costs` says of fleets of several sizes, in all, with the command that says it.

    Args:
        headings: of the columns.
        fleets: how a number of fleets is said, where one does not suffice.
    """
    sys.path.insert(0, str(ROOT))
    from cli.costs.estimate import Workload, estimate
    from cli.costs.prices import Prices
    from cli.costs.stack_parts import stack_parts
    from cli.costs.tables import amount, markdown

    def row(tenants: int) -> tuple[str, ...]:
        made = estimate(Workload(tenants=tenants), Prices.read(), stack_parts())
        several = {store: f" ({fleets.format(n)})" for store, n in made.fleets.items() if n > 1}
        cells = (f"{amount(made.monthly(store))}{several.get(store, '')}" for store in STORES_OF_FLEETS)
        return str(tenants), *cells, f"`kbfleet costs --tenants {tenants}`"

    return markdown(headings, map(row, SIZES_OF_FLEETS))


@cache
def _commands() -> Mapping[str, str]:
    """Every command with a sample run, as Markdown, by the panel of the help that it is in."""
    sections: Mapping[str, str] = json.loads(_printed_by("tests/contract/command_page.py"))
    return sections


def _commands_of(panel: str) -> Callable[[], str]:
    return lambda: _commands()[panel]


PICTURES = ("status", "doctor", "why", "questions results")
"""Commands whose sample runs are drawn."""


def terminal_pictures() -> Iterator[tuple[Path, str]]:
    """The files of the pictures of terminals."""
    sys.path.insert(0, str(ROOT))
    from docs.terminal_pictures import drawn

    folder = ROOT / "docs" / "pictures"
    runs = json.loads(_printed_by("tests/contract/command_page.py", "--as-a-picture", *PICTURES))
    for command, (typed, shown) in zip(PICTURES, runs, strict=True):
        name = command.replace(" ", "-")
        yield folder / f"{name}.svg", drawn(f"$ {typed}\n{shown}")
    # Of a run that takes a minute and a half, and was recorded once.
    yield folder / "demo.svg", drawn((folder / "demo.txt").read_text("utf-8"))


def _printed_by(script: str, *arguments: str) -> str:
    printed = subprocess.run(  # noqa: S603 -- our own script
        [sys.executable, str(ROOT / script), *arguments], capture_output=True, text=True, check=True
    )
    return printed.stdout.strip()


def _diagram_of(name: str) -> str:
    definition = json.loads((ROOT / "statemachine" / f"{name}.asl.json").read_text("utf-8"))
    return f"```mermaid\n{diagram(definition)}\n```"


PARTS: dict[str, Callable[[], str]] = {
    "diagram of provision_tenant": lambda: _diagram_of("provision_tenant"),
    "diagram of offboard_tenant": lambda: _diagram_of("offboard_tenant"),
    "diagram of rebuild_tenant": lambda: _diagram_of("rebuild_tenant"),
    "corrections": corrections,
    "decisions": decisions,
    "facts": facts,
    "operations": operations,
    "operations by service": operations_by_service,
    "facts of callers": facts_of_callers,
    "facts of AWS": facts_of_aws,
    "permissions": permissions,
    "kept after offboarding": kept_after_offboarding,
    "dead letters": dead_letters,
    "metrics": metrics,
    "alarms": alarms,
    "watching costs": watching_costs,
    "fastapi app": lambda: _file("examples/fastapi_app.py"),
    "django views": lambda: _file("examples/django_app/views.py"),
    "costs": costs,
    "facts to verify": facts_to_verify,
    "not probed": not_probed,
    "prices": prices,
    "prices of Tokyo": prices_of_tokyo,
    "costs of profiles": costs_of_profiles,
    "costs of fleets": lambda: costs_of_fleets(
        ("tenants", "S3_VECTORS, the default", *STORES_OF_FLEETS[1:], ""), "{} fleets"
    ),
    "costs of fleets in Japanese": lambda: costs_of_fleets(
        ("テナント数", "S3_VECTORS (標準)", *STORES_OF_FLEETS[1:], ""), "{} フリート"
    ),
    "commands for tenants": _commands_of("Tenants"),
    "commands for documents and questions": _commands_of("Documents and questions"),
    "commands for the fleet": _commands_of("The fleet as a whole"),
}


def generated(page: str) -> str:
    """The page with each generated part, between its markers, brought up to date."""

    def renew(match: re.Match[str]) -> str:
        return f"{match['begin']}\n{PARTS[match['part']]()}\n{match['end']}"

    pattern = r"(?P<begin><!-- generated: (?P<part>[\w ]+) -->)\n.*?(?P<end><!-- end -->)"
    return re.sub(pattern, renew, page, flags=re.DOTALL)


def openapi() -> str:
    """What the API's function serves, laid out for readers of changes."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def profile_schema() -> str:
    """What editors know of the file that holds a profile."""
    return json.dumps(standing_alone(ProfileFile), indent=2, ensure_ascii=False) + "\n"


def deployer_policies() -> Mapping[str, str]:
    """What whoever deploys the stack must be allowed to do, by the names of the files."""
    sys.path.insert(0, str(ROOT))
    from docs import deployer_policy as made

    return made.documents()


def _renewed() -> Iterator[tuple[Path, str]]:
    yield ROOT / "docs" / "openapi.json", openapi()
    yield ROOT / "docs" / "profile.schema.json", profile_schema()
    yield from ((ROOT / "docs" / name, document) for name, document in deployer_policies().items())
    yield from terminal_pictures()
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "emulator").glob("*.md")]):
        yield path, generated(path.read_text("utf-8"))


def main() -> int:
    """Returns: 1 if `--check` finds a page out of date."""
    stale = 0
    for path, renewed in _renewed():
        if path.exists() and path.read_text("utf-8") == renewed:
            continue
        stale = 1
        if "--check" not in sys.argv:
            path.write_text(renewed, "utf-8")
    return stale if "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
