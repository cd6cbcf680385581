"""Whom a request is meant for: the Region and the service that it is signed for, and the operation of its path.

The credential scope of a signature is ``<key>/<date>/<region>/<service>/aws4_request`` (AWS documentation, "Create a
signed AWS API request").
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bedrock_emulator.wire.errors import ServiceError
from bedrock_emulator.wire.messages import Request
from bedrock_emulator.wire.protocol import SERVICES, protocol

_SCOPE = re.compile(r"Credential=[^/,\s]+/\d{8}/(?P<region>[^/,\s]+)/(?P<name>[^/,\s]+)/aws4_request")
# The form that all Regions' names have; what does not have it must not end up in an ARN.
_REGION = re.compile(r"[a-z]{2,4}(-[a-z]{2,12}){1,3}-\d{1,2}", re.ASCII)
SERVICES_OF_SIGNING_NAME = {
    "bedrock": ("bedrock-agent", "bedrock-agent-runtime", "bedrock-runtime", "bedrock"),
    "s3vectors": ("s3vectors",),
    "aoss": ("opensearchserverless",),
}


@dataclass(frozen=True)
class Scope:
    """What a signature says: the Region, and the service's signing name."""

    region: str
    name: str


def is_region(name: str) -> bool:
    """Whether a name has the form of a Region's."""
    return _REGION.fullmatch(name) is not None


def scope(request: Request) -> Scope | None:
    """The scope that a request is signed for; None where it is not signed, or by another means.

    ServiceError InvalidSignatureException when its Region has not the form of one.
    """
    match = _SCOPE.search(request.header("Authorization") or "")
    if match is None:
        return None
    if not is_region(match["region"]):
        raise ServiceError("InvalidSignatureException", "Credential should be scoped to a valid Region.")
    return Scope(match["region"], match["name"])


def service_of(request: Request) -> str | None:
    """The service a request is meant for, as botocore names it; None when it is an operation of none emulated here.

    A signature tells the signing name, which Bedrock's services share: the path tells those apart, and serves alone
    where a request is not signed with a credential scope.
    """
    signed = scope(request)
    candidates = SERVICES if signed is None else SERVICES_OF_SIGNING_NAME.get(signed.name, ())
    return next((service for service in candidates if protocol(service).route(request) is not None), None)
