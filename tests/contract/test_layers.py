"""What the layers bring is what the functions call."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from kbfleet.adapters.answerers import OPERATIONS
from tests.support.template import REPOSITORY


def services_of(module: ast.Module) -> Iterator[str]:
    """Those that clients are made for, by their names in the call."""
    for call in (node for node in ast.walk(module) if isinstance(node, ast.Call) and node.args):
        made_by = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        service = call.args[0]
        if made_by in {"client", "_client"} and isinstance(service, ast.Constant) and isinstance(service.value, str):
            yield service.value


def test_botocore_is_deployed_with_what_it_knows_of_the_services_that_functions_call_and_no_others() -> None:
    deployed = (REPOSITORY / "layers" / "dependencies" / "services.txt").read_text("utf-8").split()
    sources = [*(REPOSITORY / "layers" / "kbfleet").rglob("*.py"), *(REPOSITORY / "functions").rglob("*.py")]
    called = {name for source in sources for name in services_of(ast.parse(source.read_text("utf-8")))}
    assert deployed == sorted(called | {service for service, _ in OPERATIONS.values()})
