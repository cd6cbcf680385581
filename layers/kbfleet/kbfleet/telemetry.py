"""What every workflow step has in common, and what is told of a tick."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from kbfleet.contracts import parse
from kbfleet.domain.errors import KbfleetError, Retryable
from kbfleet.logs import logger
from kbfleet.metrics import Metric, publish

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from kbfleet.domain.capacity import Room
    from kbfleet.usecases.ingestion import TickReport

Input = TypeVar("Input", bound=BaseModel)
StepHandler = Callable[[dict[str, Any], LambdaContext], dict[str, Any] | None]


def workflow_step(contract: type[Input]) -> Callable[[Callable[[Input], BaseModel | None]], StepHandler]:
    """Makes a state machine's task of a function from one contract to another.

    Adds tenant and execution to every log line, and lets errors through under their own class names, which are what the
    state machine retries and catches by.

    Raises (at run time):
        InvalidInput: the payload does not fit the contract.
    """

    def decorate(step: Callable[[Input], BaseModel | None]) -> StepHandler:
        return _handler(contract, lambda parsed, _left: step(parsed), of=step)

    return decorate


def timed_workflow_step(
    contract: type[Input],
) -> Callable[[Callable[[Input, timedelta], BaseModel | None]], StepHandler]:
    """As `workflow_step`, of a function that is told how much time it has left."""

    def decorate(step: Callable[[Input, timedelta], BaseModel | None]) -> StepHandler:
        return _handler(contract, step, of=step)

    return decorate


def _handler(
    contract: type[Input],
    run: Callable[[Input, timedelta], BaseModel | None],
    *,
    of: Callable[..., BaseModel | None],
) -> StepHandler:
    @wraps(of)
    @logger.inject_lambda_context(clear_state=True)
    def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any] | None:
        logger.append_keys(**identifiers(event))
        left = timedelta(milliseconds=context.get_remaining_time_in_millis())
        try:
            result = run(parse(contract, event), left)
        except Retryable as error:
            logger.warning("The step can be tried again", error=type(error).__name__, reason=str(error))
            raise
        except KbfleetError as error:
            logger.exception("The step has failed", error=type(error).__name__, reason=str(error))
            raise
        logger.info("The step is done")
        return result.model_dump(mode="json") if result is not None else None

    return handler


def identifiers(event: Mapping[str, Any]) -> dict[str, object]:
    for holder in ("reservation", "request", "progress"):
        part = event.get(holder)
        if isinstance(part, dict):
            return {"tenant_id": part.get("tenant_id"), "execution": event.get("execution")}
    return {"execution": event.get("execution")}


def report_tick(report: TickReport, *, now: datetime) -> None:
    """Logs and counts what a tick did, whatever made it tick; nothing is said of an idle one."""
    for tenant_id, error in report.postponed:
        logger.warning(
            "The tenant's turn is postponed", tenant_id=tenant_id, error=type(error).__name__, reason=str(error)
        )
    for tenant_id, error in report.unannounced:
        logger.error(
            "A change of the tenant's job is refused by the event bus for good, and is in its history only",
            tenant_id=tenant_id,
            error=type(error).__name__,
            reason=str(error),
        )
    if report.unannounced:
        publish({Metric.JOB_EVENTS_REFUSED: len(report.unannounced)})
    if report.idle:
        return
    measured: dict[Metric, float] = {
        Metric.INGESTION_JOBS_RUNNING: report.running + report.started,
        Metric.INGESTION_JOBS_STARTED: report.started,
        Metric.INGESTION_JOBS_ENDED: report.ended,
    }
    if report.stale_since is not None:
        measured[Metric.OLDEST_PENDING_CHANGE_SECONDS] = (now - report.stale_since).total_seconds()
    publish(measured)
    logger.info("Tick", running=report.running, started=report.started, ended=report.ended, waiting=report.waiting)


def report_rooms(rooms: Sequence[Room]) -> None:
    """Counts how much the account has left for further tenants, and names what is scarce."""
    publish(
        {
            Metric.TENANTS_LEFT: min(room.left for room in rooms),
            Metric.CAPACITY_USED: 100 * max(room.share for room in rooms),
        }
    )
    for room in rooms:
        if room.is_scarce:
            logger.warning("The account has little room left", used=str(room), advice=room.of.way_out)
