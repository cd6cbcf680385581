"""What takes its time on AWS, one thing a module.

MiniStack does everything at once. On AWS a bucket that was just made is not there yet for some calls, its name is not
free yet when it was just deleted, and so on: `local.facts` says what is known of each, and from where. Each module
says what it plays, and has a function `apply(delays, now)` that puts it in front of MiniStack's own in the running
process.

Times are AWS's. `now` is the emulator's clock, so they pass `speed` times as fast as on AWS, like everything else that
is counted in seconds here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib import import_module

Clock = Callable[[], float]
"""Seconds of AWS's time."""
MODULES = ("buckets", "bucket_events", "usage_keys")


@dataclass(frozen=True, kw_only=True)
class Delays:
    """Seconds that the local AWS lets pass; zero is at once.

    bucket_visible: after CreateBucket, during which other calls are told that there is no such bucket.
    bucket_settings: after that, during which its settings cannot be changed.
    bucket_name: after DeleteBucket, during which the name is not free.
    bucket_events: after EventBridge was switched on for a bucket, during which it is told nothing.
    usage_key: after an API key was made, during which it counts as none.
    role: after CreateRole, during which Bedrock cannot assume the role.
    """

    bucket_visible: float = 0.0
    bucket_settings: float = 0.0
    bucket_name: float = 0.0
    bucket_events: float = 0.0
    usage_key: float = 0.0
    role: float = 0.0

    def changed(self, seconds: Mapping[str, float]) -> Delays:
        """With other seconds for some, by name. Raises ValueError for an unknown name, and for a negative number."""
        known = [field.name for field in fields(self)]
        for name, value in seconds.items():
            if name not in known:
                raise ValueError(f"unknown delay {name!r}, known are {', '.join(known)}")
            if not value >= 0:
                raise ValueError(f"delay {name} cannot be {value:g} seconds")
        return replace(self, **seconds)

    def listed(self) -> dict[str, float]:
        return asdict(self)


AT_ONCE = Delays()
AS_ON_AWS = Delays(bucket_visible=30, bucket_settings=30, bucket_name=120, bucket_events=300, usage_key=10, role=15)
DEFAULT = AS_ON_AWS
"""Of every local AWS that is not told otherwise: `make up`, the demo, the end-to-end tests and the drills."""


def apply(delays: Delays, now: Clock) -> None:
    """Slows this process's MiniStack down, before it serves anything.

    Imports MiniStack, which reads its settings from the environment at import.
    """
    for name in MODULES:
        import_module(f"local.delays.{name}").apply(delays, now)
