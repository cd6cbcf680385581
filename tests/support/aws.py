"""Clients of AWS for tests, with credentials that are good nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partialmethod
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import boto3

# Registers moto's hooks with botocore before the first client is made.
import moto.core  # noqa: F401
from botocore.config import Config
from moto.apigateway.utils import ApigwUsagePlanIdentifier
from moto.core.common_types import TYPE_RESPONSE
from moto.core.responses import ActionResult
from moto.s3.responses import S3Response
from moto.utilities.id_generator import moto_id_manager

from tests.support.samples import ACCOUNT, REGION


@cache
def _session() -> boto3.Session:
    return boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION)


def client(service: str, *, region: str = REGION, config: Config | None = None, **credentials: str) -> Any:
    """A client of the one session of this process: a new session would read botocore's models anew, 50 ms each."""
    return _session().client(service, region_name=region, config=config, **credentials)  # type: ignore[call-overload]  # not a literal


def make_usage_plan(name: str, plan_id: str, *, region: str = REGION) -> None:
    """As a stack has it, whose functions know its id."""
    moto_id_manager.set_custom_id(ApigwUsagePlanIdentifier(ACCOUNT, region, name), plan_id)
    client("apigateway", region=region).create_usage_plan(name=name)


def _with_event_bridge(response: S3Response, give: Callable[[S3Response], TYPE_RESPONSE]) -> TYPE_RESPONSE:
    """moto keeps whether a bucket's changes are told to EventBridge, and acts on it, but leaves it out of
    GetBucketNotificationConfiguration."""
    kept = response.backend.get_bucket_notification_configuration(response.bucket_name)
    if kept is None or kept.event_bridge is None:
        return give(response)

    def serialized(result: ActionResult) -> TYPE_RESPONSE:
        result.result["EventBridgeConfiguration"] = {}
        return type(response).serialized(response, result)

    with patch.object(response, "serialized", serialized):
        return give(response)


S3Response.get_bucket_notification = partialmethod(_with_event_bridge, S3Response.get_bucket_notification)


def _with_encoded_keys(response: S3Response, give: Callable[[S3Response], TYPE_RESPONSE]) -> TYPE_RESPONSE:
    """moto encodes keys in its lists of objects, but not in those of versions, where it dies of what XML has no
    character for. S3 does as it is asked in both (AWS documentation, ListObjectVersions, `encoding-type`)."""

    def serialized(result: ActionResult) -> TYPE_RESPONSE:
        listed: dict[str, Any] = result.result
        for place in ("Prefix", "KeyMarker", "NextKeyMarker"):
            if listed.get(place):
                listed[place] = quote(listed[place], safe="/")
        for each in (*listed["Versions"], *listed["DeleteMarkers"]):
            each["Key"] = quote(each["Key"], safe="/")
        listed["EncodingType"] = "url"
        return type(response).serialized(response, result)

    if response.querystring.get("encoding-type") != ["url"]:
        return give(response)
    with patch.object(response, "serialized", serialized):
        return give(response)


def _of_what_is_asked_for(response: S3Response, give: Callable[[S3Response], TYPE_RESPONSE]) -> TYPE_RESPONSE:
    """moto copies all versions of a bucket, deeply, before it leaves out those of other prefixes."""
    prefix = response._get_querystring(response.request, response.uri).get("prefix", [""])[0]
    keys = response.backend.get_bucket(response.bucket_name).keys
    all_of_them = keys.iterlists

    def narrowed() -> Iterator[tuple[str, Any]]:
        return ((key, versions) for key, versions in all_of_them() if key.startswith(prefix))

    with patch.object(keys, "iterlists", narrowed):
        return give(response)


S3Response.list_object_versions = partialmethod(_of_what_is_asked_for, S3Response.list_object_versions)
S3Response.list_object_versions = partialmethod(_with_encoded_keys, S3Response.list_object_versions)


def _with_an_encoded_start(response: S3Response, give: Callable[[S3Response], TYPE_RESPONSE]) -> TYPE_RESPONSE:
    """moto encodes all of its lists of objects but where they start (AWS documentation, ListObjectsV2)."""

    def serialized(result: ActionResult) -> TYPE_RESPONSE:
        if "StartAfter" in result.result:
            result.result["StartAfter"] = quote(result.result["StartAfter"], safe="/")
        return type(response).serialized(response, result)

    if response.querystring.get("encoding-type") != ["url"]:
        return give(response)
    with patch.object(response, "serialized", serialized):
        return give(response)


S3Response.list_objects_v2 = partialmethod(_with_an_encoded_start, S3Response.list_objects_v2)
