"""CloudWatch Logs: deliveries of what knowledge bases log (vended logs)."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from kbfleet.adapters.aws_errors import translated
from kbfleet.domain.errors import NotReadyYet, ResourceConflict, ResourceMissing

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOG_TYPE = "APPLICATION_LOGS"
"""What knowledge bases log. Source: AWS documentation, Monitor knowledge bases using CloudWatch Logs."""
_CHANGING = "currently being updated"
"""How CloudWatch Logs refuses two changes at one time that have a source or a destination in common, as users report.
All deliveries of a fleet share one destination."""


class CloudWatchLogDeliveries:
    """`kbfleet.ports.LogDeliveries` by a delivery source a knowledge base, each with one delivery.

    A delivery source keeps its resource, and a resource has one delivery source of a log type (reported by users).

    Args:
        client: of boto3, for `logs`.
        destination_arn: of the delivery destination that all share.
    """

    def __init__(self, client: Any, *, destination_arn: str) -> None:
        self._client = client
        self._destination_arn = destination_arn

    def ensure(self, name: str, knowledge_base_arn: str) -> None:
        source = self._source(name)
        if source is not None and source["resourceArns"] != [knowledge_base_arn]:
            self.delete(name)
            source = None
        if source is None:
            with _changes(f"delivery source {name} of {knowledge_base_arn}"):
                self._client.put_delivery_source(name=name, resourceArn=knowledge_base_arn, logType=_LOG_TYPE)
        try:
            with translated(f"the delivery from {name}"):
                self._client.create_delivery(deliverySourceName=name, deliveryDestinationArn=self._destination_arn)
        except ResourceConflict as error:
            # Mostly because it is there; but also while any other delivery to the destination is being made.
            if not any(found["deliveryDestinationArn"] == self._destination_arn for found in self._deliveries(name)):
                raise NotReadyYet(str(error)) from error

    def delete(self, name: str) -> None:
        if not self.exists(name):
            return  # a source that has deliveries cannot be deleted: without it there are none
        for delivery in list(self._deliveries(name)):
            with suppress(ResourceMissing), _changes(f"delivery {delivery['id']} from {name}"):
                self._client.delete_delivery(id=delivery["id"])
        with suppress(ResourceMissing), _changes(f"delivery source {name}"):
            self._client.delete_delivery_source(name=name)

    def exists(self, name: str) -> bool:
        return self._source(name) is not None

    def _source(self, name: str) -> dict[str, Any] | None:
        try:
            with translated(f"delivery source {name}"):
                source: dict[str, Any] = self._client.get_delivery_source(name=name)["deliverySource"]
        except ResourceMissing:
            return None
        return source

    def _deliveries(self, name: str) -> Iterator[dict[str, Any]]:
        with translated(f"the deliveries from {name}"):
            for page in self._client.get_paginator("describe_deliveries").paginate():
                yield from (delivery for delivery in page["deliveries"] if delivery["deliverySourceName"] == name)


@contextmanager
def _changes(subject: str) -> Iterator[None]:
    """As `translated`; raises `NotReadyYet` when another change is in the way."""
    try:
        with translated(subject):
            yield
    except ResourceConflict as error:
        if _CHANGING in str(error):
            raise NotReadyYet(str(error)) from error
        raise
