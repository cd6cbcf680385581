"""Clients of AWS for tests, with credentials that are good nowhere."""

from __future__ import annotations

from functools import cache
from typing import Any

import boto3

# Registers moto's hooks with botocore before the first client is made.
import moto.core  # noqa: F401
from botocore.config import Config

from tests.support.samples import REGION


@cache
def _session() -> boto3.Session:
    return boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION)


def client(service: str, *, region: str = REGION, config: Config | None = None, **credentials: str) -> Any:
    """A client of the one session of this process: a new session would read botocore's models anew, 50 ms each."""
    return _session().client(service, region_name=region, config=config, **credentials)  # type: ignore[call-overload]  # not a literal
