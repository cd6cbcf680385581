"""Bodies of the API about ingestion jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field

from kbfleet.contracts import Contract
from kbfleet.contracts.documents import FailedDocumentBody
from kbfleet.contracts.events import JobStateChangeDetail
from kbfleet.domain.bounds import PAGE_BYTES, fitting
from kbfleet.domain.failed_documents import FailedDocument
from kbfleet.domain.ingestion_job import JobStateChange
from kbfleet.ports import JobPage

LEFT_OUT_DOCUMENTS = 500
_PRINTABLE_IN_HEX = "^([2-6][0-9a-f]|7[0-9a-e])+$"


class JobsQuery(Contract):
    """Query of `GET /tenants/{tenant_id}/jobs`. `next_token` is of the page before."""

    limit: int = Field(default=20, ge=1, le=100)
    next_token: str | None = Field(default=None, min_length=2, max_length=128, pattern=_PRINTABLE_IN_HEX)

    @property
    def after(self) -> str | None:
        return bytes.fromhex(self.next_token).decode("ascii") if self.next_token is not None else None


class JobsBody(Contract):
    """A page, the newest first, of as many as were asked for or as fit into an answer; `next_token` is `None` on the
    last one."""

    jobs: tuple[JobStateChangeDetail, ...]
    next_token: str | None

    @classmethod
    def from_page(cls, page: JobPage) -> Self:
        return cls(
            jobs=tuple(map(JobStateChangeDetail.from_domain, page.jobs)),
            next_token=page.following.encode("ascii").hex() if page.following is not None else None,
        )


class JobBody(Contract):
    """One job. `left_out` are documents that fail since this job or an earlier one, and did so in this one: as many as
    fit in; `left_out_total` is how many are known. What has been fixed since is named in `failure_reasons` at most."""

    job: JobStateChangeDetail
    left_out: tuple[FailedDocumentBody, ...]
    left_out_total: int

    @classmethod
    def from_domain(cls, job: JobStateChange, left_out: Sequence[FailedDocument]) -> Self:
        bodies = [FailedDocumentBody.from_domain(each) for each in left_out[:LEFT_OUT_DOCUMENTS]]
        return cls(
            job=JobStateChangeDetail.from_domain(job),
            left_out=tuple(fitting(bodies, lambda each: len(each.model_dump_json().encode()), most_bytes=PAGE_BYTES)),
            left_out_total=len(left_out),
        )
