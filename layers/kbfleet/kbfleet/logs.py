"""The log of every function: a JSON object a line, by Powertools."""

from __future__ import annotations

import json
import traceback
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

if TYPE_CHECKING:
    from types import TracebackType


def _in_ascii(record: Any) -> str:
    """JSON in which every other character is escaped, so that none acts on what a log is read in. Powertools' own
    leaves them as they are."""
    return json.dumps(record, default=str, separators=(",", ":"))


class _Formatter(LambdaPowertoolsFormatter):
    """Says of an exception which it was and where, but not its message: that of an unexpected one may quote what it
    failed at, and no tenant's text is in a log. Of those that were to be expected, a line says the reason itself."""

    def formatException(  # noqa: N802 -- logging's
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        error = ei[1]
        traces = []
        while error is not None:
            traces.append("".join([*traceback.format_tb(error.__traceback__), type(error).__qualname__]))
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\n\nThe above followed from:\n\n".join(traces)


logger = Logger(logger_formatter=_Formatter(json_serializer=_in_ascii, serialize_stacktrace=False))
