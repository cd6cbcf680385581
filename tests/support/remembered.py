"""What libraries work out anew each time though it never changes: worked out once in a process of tests.

moto forgets boto3's session between tests; a new one would read the models of its services again, half of their time.
"""

from __future__ import annotations

import functools

import botocore.session
import botocore.useragent
import moto.core.responses
import typer.testing

_ALWAYS_THE_SAME = (
    (botocore.session, "create_loader"),  # which models there are, and what they say
    (botocore.useragent, "sanitize_user_agent_string_component"),
    (moto.core.responses, "method_names_from_class"),
    (typer.testing, "_get_command"),  # the commands of an application
)


def remember() -> None:
    """From here on, for all tests."""
    for module, name in _ALWAYS_THE_SAME:
        setattr(module, name, functools.cache(getattr(module, name)))
