"""An emulator of Amazon Bedrock Knowledge Bases, with the vector stores they stand on."""

from bedrock_emulator.emulator import Emulator
from bedrock_emulator.in_process import attach
from bedrock_emulator.wire.errors import ConnectionBrokenError
from bedrock_emulator.wire.messages import Request, Response
from bedrock_emulator.world.authority import Authority, RoleSession
from bedrock_emulator.world.clock import Clock, ManualClock, ScaledClock
from bedrock_emulator.world.iam_roles import IamRoles
from bedrock_emulator.world.quotas import Quotas

__all__ = [
    "Authority",
    "Clock",
    "ConnectionBrokenError",
    "Emulator",
    "IamRoles",
    "ManualClock",
    "Quotas",
    "Request",
    "Response",
    "RoleSession",
    "ScaledClock",
    "attach",
]
