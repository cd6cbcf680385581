"""Texts that AWS Secrets Manager keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kbfleet.adapters.aws_errors import translated

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from mypy_boto3_secretsmanager import SecretsManagerClient

    from kbfleet.ports import Clock


class RememberedSecret:
    """A secret's text, read again once it was read too long ago.

    Args:
        remembered_for: also the time for which a new text may go unnoticed.
    """

    def __init__(self, client: SecretsManagerClient, arn: str, *, clock: Clock, remembered_for: timedelta) -> None:
        self._client = client
        self._arn = arn
        self._clock = clock
        self._remembered_for = remembered_for
        self._read: tuple[datetime, str] | None = None

    def __call__(self) -> str:
        """Raises: Throttled, NotReadyYet, AwsRefusal."""
        now = self._clock.now()
        if self._read is None or now - self._read[0] >= self._remembered_for:
            with translated(f"the secret {self._arn}"):
                self._read = now, self._client.get_secret_value(SecretId=self._arn)["SecretString"]
        return self._read[1]
