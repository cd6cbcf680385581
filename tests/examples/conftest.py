"""The back ends of examples/ in front of kbfleet's real functions, with a fleet in memory behind these."""

from tests.handlers.conftest import environment, fleet, handler

__all__ = ["environment", "fleet", "handler"]
