"""What MiniStack 1.5.33 does otherwise than AWS, one correction a module.

Each module says in its docstring what is wrong and what AWS does, and has a function `apply(configuration)` that
replaces the wrong part in the running process. They reach into private names, so ministack and moto are pinned
exactly. Each has a test in tests/local/stack that fails without it; when an upgrade makes one of them pass, that
correction can go.
"""

from collections.abc import Iterable
from importlib import import_module

from local.stack.configuration import StackConfiguration

NAMES = (
    "python_functions",
    "function_settings",
    "step_functions",
    "event_rules",
    "rest_api",
    "usage_plans",
    "cloudformation_types",
    "resource_imports",
    "nested_stacks",
    "stack_outputs",
    "message_moves",
    "queue_batches",
    "policy_conditions",
    "role_boundaries",
    "batch_deletes",
    "version_lists",
    "object_arns",
    "subscription_filters",
    "alarms",
    "throttled_functions",
    "foundation_models",
)


def apply(names: Iterable[str], configuration: StackConfiguration) -> None:
    """Applies corrections in this process, before it serves anything.

    Imports MiniStack, which reads its settings from the environment at import. Raises ValueError for an unknown name.
    """
    for name in names:
        if name not in NAMES:
            raise ValueError(f"unknown correction {name!r}, known are {', '.join(NAMES)}")
        import_module(f"local.corrections.{name}").apply(configuration)
