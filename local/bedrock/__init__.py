"""An emulator of Amazon Bedrock Knowledge Bases, with the vector stores they stand on."""

from local.bedrock.clock import Clock, ManualClock, ScaledClock
from local.bedrock.emulator import Emulator
from local.bedrock.errors import ConnectionBrokenError
from local.bedrock.in_process import attach
from local.bedrock.messages import Request, Response
from local.bedrock.quotas import Quotas

__all__ = [
    "Clock",
    "ConnectionBrokenError",
    "Emulator",
    "ManualClock",
    "Quotas",
    "Request",
    "Response",
    "ScaledClock",
    "attach",
]
