"""Texts that AWS Secrets Manager keeps."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import timedelta
from threading import Thread
from typing import TYPE_CHECKING

from kbfleet.adapters.aws_errors import translated
from kbfleet.domain.errors import KbfleetError, Retryable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from mypy_boto3_secretsmanager import SecretsManagerClient

    from kbfleet.ports import Clock


AGAIN_AFTER = timedelta(minutes=1)
"""After Secrets Manager did not answer: callers go on with the text they have, and are not held up each time."""


class RememberedSecret:
    """A secret's text, read again once it was read too long ago. Who has a text keeps it while AWS does not answer.

    Args:
        client: makes the client, when the secret is first read.
        remembered_for: also the time for which a new text may go unnoticed, while AWS answers.
    """

    def __init__(
        self, client: Callable[[], SecretsManagerClient], arn: str, *, clock: Clock, remembered_for: timedelta
    ) -> None:
        self._make_client = client
        self._client: SecretsManagerClient | None = None
        self._arn = arn
        self._clock = clock
        self._remembered_for = remembered_for
        self._read: tuple[datetime, str] | None = None
        """When it is to be read again, and the text."""

    def __call__(self) -> str:
        """Raises: AwsRefusal; Throttled and NotReadyYet, as long as it was never read."""
        now = self._clock.now()
        if self._read is None or now >= self._read[0]:
            try:
                self._read = now + self._remembered_for, self._from_aws()
            except Retryable:
                if self._read is None:
                    raise
                self._read = now + AGAIN_AFTER, self._read[1]
        return self._read[1]

    def _from_aws(self) -> str:
        self._client = self._client or self._make_client()
        with translated(f"the secret {self._arn}"):
            return self._client.get_secret_value(SecretId=self._arn)["SecretString"]

    @contextmanager
    def read_meanwhile(self) -> Iterator[None]:
        """Reads it by a thread, if it was never read, while the caller waits for something else. The thread has ended
        when the block is left. What goes wrong is for whoever needs the text to learn."""
        if self._read is not None:
            yield
            return
        thread = Thread(target=self._try)
        thread.start()
        try:
            yield
        finally:
            thread.join()

    def _try(self) -> None:
        with suppress(KbfleetError):
            self()
