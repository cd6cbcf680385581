"""What a shell gets when somebody presses the tab key. That is nothing where it would be slow or fail."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence

import typer

from cli.fleet_api import FleetApi
from kbfleet.domain.names import TenantId
from kbfleet.domain.printable import is_printable

_PATIENCE_SECONDS = 3
_JOBS = 20

DEFAULT_STACK = "kbfleet"

Names = list[str]


def tenant_ids(context: typer.Context, incomplete: str) -> Names:
    return _beginning_with(incomplete, lambda: _api(context).ids_beginning(incomplete))


def job_names(context: typer.Context, incomplete: str) -> Names:
    def newest() -> list[str]:
        jobs = _api(context).jobs(TenantId(context.params["tenant"]), _JOBS).jobs
        return [job.to_domain().name for job in jobs]

    return _beginning_with(incomplete, newest)


def ids_of_the_fleet(incomplete: str) -> Names:
    """Where no options stand on the line yet."""
    stack, region = os.environ.get("KBFLEET_STACK", DEFAULT_STACK), os.environ.get("AWS_REGION")
    return _beginning_with(incomplete, lambda: FleetApi.of_stack(stack, region).ids_beginning(incomplete))


def document_keys(context: typer.Context, incomplete: str) -> Names:
    """The first ones that begin so, but for those that no line can have: what is not printable would act there."""
    keys = _beginning_with(
        incomplete, lambda: _api(context).keys_beginning(TenantId(context.params["tenant"]), incomplete)
    )
    return [key for key in keys if is_printable(key)]


def question_ids(context: typer.Context, incomplete: str) -> Names:
    def there() -> list[str]:
        return [str(each.id) for each in _api(context).questions(TenantId(context.params["tenant"])).questions]

    return _beginning_with(incomplete, there)


def _api(context: typer.Context) -> FleetApi:
    """By the options that stand on the line already, else by the environment, as the command itself."""
    return FleetApi.of_stack(str(context.params["stack"]), context.params["region"])


def _beginning_with(incomplete: str, look: Callable[[], Sequence[str]]) -> Names:
    found: Names = []

    def search() -> None:
        try:
            found.extend(look())
        except Exception:  # noqa: BLE001 -- whatever it is, a traceback in the middle of somebody's line helps nobody
            found.clear()

    # Nothing bounds the time in which AWS credentials are found.
    searching = threading.Thread(target=search, daemon=True)
    searching.start()
    searching.join(_PATIENCE_SECONDS)
    return [name for name in found if name.startswith(incomplete)]
