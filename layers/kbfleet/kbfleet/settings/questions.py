"""Of golden questions."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from kbfleet.settings import EnvironmentSettings


class QuestionQueueSettings(EnvironmentSettings):
    question_queue_url: str


class QuestionHistorySettings(EnvironmentSettings):
    job_history_days: int = Field(ge=1)

    @property
    def kept_for(self) -> timedelta:
        return timedelta(days=self.job_history_days)


class QuestionPaceSettings(EnvironmentSettings):
    """`question_searches_per_second` is the fleet's, for all of its golden questions together."""

    question_searches_per_second: float = Field(gt=0)

    @property
    def interval(self) -> timedelta:
        return timedelta(seconds=1 / self.question_searches_per_second)
