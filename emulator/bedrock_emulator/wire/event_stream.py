"""Frames of the ``application/vnd.amazon.eventstream`` encoding, as a service writes them.

Layout: total length, headers length, CRC of those eight bytes, headers, payload, CRC of all before (AWS documentation,
"Amazon Transcribe: event stream encoding"; botocore ``eventstream.py`` reads the same).
"""

from __future__ import annotations

import struct
from zlib import crc32

_STRING = 7


def frame(event_type: str, payload: bytes) -> bytes:
    """One event with a JSON payload."""
    headers = _header(":event-type", event_type)
    headers += _header(":content-type", "application/json") + _header(":message-type", "event")
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack("!I", crc32(prelude)) + headers + payload
    return message + struct.pack("!I", crc32(message))


def _header(name: str, value: str) -> bytes:
    data = value.encode()
    return struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", _STRING, len(data)) + data
