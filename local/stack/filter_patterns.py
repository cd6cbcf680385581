"""CloudWatch Logs filter patterns for JSON: the part of their grammar that compares members with text.

Source: AWS documentation, "Filter pattern syntax for metric filters, subscription filters, filter log events".
"""

import json
import re
from typing import Any

_COMPARISON = r'\$\.(?P<path>[\w-]+(?:\.[\w-]+)*)\s*(?P<operator>!?=)\s*"(?P<text>[^"*]*)"'
_PATTERN = re.compile(rf"\{{\s*{_COMPARISON}\s*\}}")


def is_known(pattern: str) -> bool:
    """Whether `matches` can answer."""
    return _PATTERN.fullmatch(pattern.strip()) is not None


def matches(pattern: str, message: str) -> bool:
    """Whether a log event passes a pattern such as `{ $.event_type = "Done" }`.

    What is not JSON, and what lacks the member, never does. Raises ValueError for a pattern that is not known here.
    """
    comparison = _PATTERN.fullmatch(pattern.strip())
    if comparison is None:
        raise ValueError(f"filter pattern {pattern!r} is not known here")
    try:
        value: Any = json.loads(message)
    except ValueError:
        return False
    for name in comparison["path"].split("."):
        if not isinstance(value, dict) or name not in value:
            return False
        value = value[name]
    return isinstance(value, str) and (value == comparison["text"]) is (comparison["operator"] == "=")
