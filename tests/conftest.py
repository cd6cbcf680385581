"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

from tests.support.remembered import remember

# A busy machine takes its time, and that says nothing about the code.
settings.register_profile("kbfleet", deadline=None)
settings.load_profile("kbfleet")

remember()
