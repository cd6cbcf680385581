"""What kbfleet has seen of a document by itself, as the API and events say it."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict

from kbfleet.domain.document_examination import DocumentFault, DocumentFinding, FileKind


class DocumentFindingBody(BaseModel):
    """What kbfleet has seen of a document by itself: why it cannot be read, and what helps. `certain` says that it can
    never be read as it is: no retry helps. `size` and `most` are bytes, `looks_like` is the kind of file that it is."""

    model_config = ConfigDict(frozen=True)

    fault: DocumentFault
    certain: bool
    explanation: str
    remedy: str
    size: int | None = None
    most: int | None = None
    looks_like: FileKind | None = None

    @classmethod
    def from_domain(cls, finding: DocumentFinding) -> Self:
        return cls(
            fault=finding.fault,
            certain=finding.certain,
            explanation=finding.explanation,
            remedy=finding.remedy,
            size=finding.size,
            most=finding.most,
            looks_like=finding.looks_like,
        )

    def to_domain(self) -> DocumentFinding:
        return DocumentFinding(self.fault, self.certain, self.size, self.most, self.looks_like)
