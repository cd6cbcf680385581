"""Of ingestion."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import Field

from kbfleet.settings import EnvironmentSettings, Hours, Seconds

if TYPE_CHECKING:
    from kbfleet.domain.sync import Debounce


class IngestionSettings(EnvironmentSettings):
    tick_queue_url: str
    tick_interval: Seconds = Field(alias="TICK_SECONDS")
    start_interval: Seconds = Field(alias="INGESTION_START_INTERVAL_SECONDS")
    job_history_days: int = Field(ge=1)


class DocumentChangeSettings(EnvironmentSettings):
    debounce_quiet: Seconds = Field(alias="DEBOUNCE_QUIET_SECONDS")
    debounce_at_most: Seconds = Field(alias="DEBOUNCE_AT_MOST_SECONDS")
    change_dead_letter_queue_url: str

    @property
    def debounce(self) -> Debounce:
        from kbfleet.domain.sync import Debounce

        return Debounce(self.debounce_quiet, self.debounce_at_most)


class ChangeEventSettings(EnvironmentSettings):
    """`events_after` is how long after S3 was asked for a bucket's events they come for certain."""

    events_after: Seconds = Field(alias="CHANGE_EVENTS_AFTER_SECONDS")


class StaleSettings(EnvironmentSettings):
    stale_after: Seconds = Field(alias="STALE_AFTER_SECONDS")


class SyncScheduleSettings(StaleSettings):
    """`sync_every` is zero when nothing is synced by schedule."""

    sync_every: Hours = Field(alias="SYNC_EVERY_HOURS", ge=timedelta(0))


class DeletionCheckSettings(EnvironmentSettings):
    """`deletion_limit` is in per cent of what is answered from."""

    deletion_limit: int = Field(alias="DELETION_LIMIT_PERCENT", ge=1, le=100)


class DeletionCheckQueueSettings(EnvironmentSettings):
    deletion_check_queue_url: str


class ExaminerSettings(EnvironmentSettings):
    """`examiner_function` is the name of the function that examines tenants."""

    examiner_function: str


class ExternalJobSettings(EnvironmentSettings):
    external_job_tenants: int = Field(ge=1)


class DocumentRetrySettings(EnvironmentSettings):
    document_retry_queue_url: str
