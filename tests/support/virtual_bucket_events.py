"""S3's events about tenants' buckets, on their way through EventBridge and the change queue, in virtual time.

Source: AWS documentation, Amazon S3 User Guide, Enabling Amazon EventBridge ("it takes around five minutes for the
changes to take effect").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from tests.support.document_changes import change_message
from tests.support.virtual_time import Signal, Timeline

_PUT = {"PutObject", "CompleteMultipartUpload", "CopyObject"}


class BucketEvents:
    """What S3 tells of: changes in buckets that were told to do so a while ago.

    Args:
        late: seconds after a bucket's notification was switched on, in which nothing is told of it.
        gathered: seconds for which messages are gathered to a batch.
        visibility_timeout: seconds until messages that were not dealt with are offered again.
        deal: the function behind the queue. Returns: the messages of these that it could not deal with.
    """

    def __init__(
        self,
        timeline: Timeline,
        *,
        late: float,
        gathered: float,
        visibility_timeout: float,
        deal: Callable[[list[str]], list[str]],
    ) -> None:
        self.changed_at: dict[str, float] = {}
        """When a document of each bucket was last changed."""
        self.untold = 0
        """How many changes nobody was told of."""
        self._timeline = timeline
        self._late = late
        self._gathered = gathered
        self._visibility_timeout = visibility_timeout
        self._deal = deal
        self._told_since: dict[str, float] = {}
        self._messages: deque[str] = deque()
        self._under_way = 0
        self._arrival = Signal()

    @property
    def empty(self) -> bool:
        return not self._messages and not self._under_way

    def observe(self, operation: str, parameters: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """S3 has carried out a call, whoever made it."""
        bucket = parameters.get("Bucket", "")
        if operation == "PutBucketNotificationConfiguration":
            if "EventBridgeConfiguration" in parameters["NotificationConfiguration"]:
                self._told_since.setdefault(bucket, self._timeline.now())
            else:
                self._told_since.pop(bucket, None)
        elif operation == "DeleteBucket":
            self._told_since.pop(bucket, None)
            self.changed_at.pop(bucket, None)
        elif operation in _PUT:
            self._changed(bucket, deleted=False)
        elif operation == "DeleteObjects" or (operation == "DeleteObject" and "VersionId" in answer):
            # moto makes no delete marker, and names no version, where there was nothing to be deleted.
            self._changed(bucket, deleted=True)

    def _changed(self, bucket: str, *, deleted: bool) -> None:
        self.changed_at[bucket] = self._timeline.now()
        since = self._told_since.get(bucket)
        if since is None or self._timeline.now() < since + self._late:
            self.untold += 1
            return
        self._messages.append(change_message(bucket, deleted=deleted))
        self._arrival.set()

    def deliver(self) -> None:
        """Offers messages for ever: the event source mapping. Runs in a strand."""
        while True:
            while not self._messages:
                self._arrival = Signal()
                self._timeline.wait(self._arrival)
            self._timeline.sleep(self._gathered)
            batch = list(self._messages)
            self._messages.clear()
            self._under_way = len(batch)
            left = self._deal(batch)
            if left:
                self._timeline.sleep(self._visibility_timeout)
                self._messages.extend(left)
            self._under_way = 0
