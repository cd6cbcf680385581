"""Text that is valid by construction."""

from __future__ import annotations

from collections.abc import Callable


class ValidatedText(str):
    """Base of value objects that are text; a subclass checks in `__new__` and raises `InvalidInput`."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, handler: Callable[[type], object]) -> dict[str, object]:
        # Lets pydantic models at the edges hold such text, by pydantic's documented protocol, without importing it
        # here.
        return {"type": "function-after", "function": {"type": "no-info", "function": cls}, "schema": handler(str)}
