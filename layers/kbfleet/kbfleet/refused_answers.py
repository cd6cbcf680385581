"""Of an answer that was refused since a passage is not the tenant's own: it is counted, and people hear of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kbfleet.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from kbfleet.domain.answer import AskableTenant
    from kbfleet.domain.errors import IsolationBreached
    from kbfleet.ports import Announcements, Clock


def tell_of_breach(
    tenant: AskableTenant,
    error: IsolationBreached,
    *,
    announcements: Callable[[], Announcements],
    clock: Callable[[], Clock],
) -> None:
    """It raises nothing: whatever becomes of it, the answer stays refused as it was. It is rare, so no cold start waits
    for what it needs."""
    from kbfleet.domain.isolation import SeenIn
    from kbfleet.metrics import Metric, publish
    from kbfleet.usecases.isolation import announce_breach

    try:
        # First, for its alarm rings also when the event cannot be published.
        publish({Metric.ISOLATION_BREACHES: 1})
        announce_breach(
            tenant.tenant_id,
            SeenIn.CREDENTIALS if error.by_credentials else SeenIn.ANSWER,
            [f"knowledge base {tenant.knowledge_base_id}"],
            announcements=announcements(),
            clock=clock(),
        )
    except Exception as failed:  # noqa: BLE001 - as above
        logger.error("The breach is not published", error=type(failed).__name__, reason=str(failed))
