"""Documents of two invented companies, questions that they answer, and questions that they do not.

Each company is a tenant of the local stack: さくら精機株式会社 writes in Japanese, Acme Outdoor Ltd. in English.
Their documents speak of the same topics with different facts, so that an answer shows whose documents it came from.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TENANTS = {"sakura": "さくら精機株式会社", "acme": "Acme Outdoor Ltd."}
"""The sample tenants: the name of the company by tenant id."""

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Question:
    """A question in a user's words, and where its answer stands.

    `document` is the name of the tenant's file that answers the question. `expected` is the part of its text that is
    the answer; it stands in no other document of any tenant. Extraction may break lines or lose spaces (PDF does both),
    so compare without white space.
    """

    tenant: str
    question: str
    document: str
    expected: str


@dataclass(frozen=True, slots=True)
class UnanswerableQuestion:
    """A question that an employee or a customer would ask, and that no sample document answers.

    A near miss has the name of the tenant's file that comes nearest as `document`, and says in `why` what that file
    leaves out. A question off every document's topic has neither.
    """

    tenant: str
    question: str
    document: str | None = None
    why: str | None = None

    @property
    def is_near_miss(self) -> bool:
        """Whether a document touches on what is asked for."""
        return self.document is not None


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Two questions of a conversation, of which the second, `then`, only makes sense after the `first`.

    `standalone` is what `then` means, in words that need no conversation. Asked in its place, it shows whether a wrong
    answer comes from how the follow-up was understood or from the search.
    """

    first: Question
    then: Question
    standalone: str

    @property
    def tenant(self) -> str:
        """The tenant whose documents answer both questions."""
        return self.first.tenant


def documents(tenant_id: str) -> list[Path]:
    """Give a sample tenant's files in order of their names, metadata sidecars (`<file>.metadata.json`) included.

    Raises ValueError for a tenant that is not in `TENANTS`.
    """
    if tenant_id not in TENANTS:
        raise ValueError(f"{tenant_id!r} is not a sample tenant; there are {', '.join(TENANTS)}")
    return _visible_files(_FOLDER / tenant_id)


def questions() -> list[Question]:
    """Give the evaluation set, in the order of `questions.json`: first the Japanese half, then the English one."""
    rows = json.loads((_FOLDER / "questions.json").read_text(encoding="utf-8"))
    return [Question(**row) for row in rows]


def unanswerable_questions() -> list[UnanswerableQuestion]:
    """Give what no document answers, in the order of `unanswerable.json`: first the Japanese half, then the English."""
    rows = json.loads((_FOLDER / "unanswerable.json").read_text(encoding="utf-8"))
    return [UnanswerableQuestion(**row) for row in rows]


def follow_ups() -> list[FollowUp]:
    """Give the conversations, in the order of `follow_ups.json`: first the Japanese half, then the English one."""
    return _follow_ups(json.loads((_FOLDER / "follow_ups.json").read_text(encoding="utf-8")))


def held_out() -> tuple[list[Question], list[UnanswerableQuestion], list[FollowUp]]:
    """Give questions with and without an answer, and follow-ups, that no search or answer was tuned to."""
    rows = json.loads((_FOLDER / "held_out.json").read_text(encoding="utf-8"))
    return (
        [Question(**row) for row in rows["answerable"]],
        [UnanswerableQuestion(**row) for row in rows["unanswerable"]],
        _follow_ups(rows["follow_ups"]),
    )


def _follow_ups(rows: list[dict[str, Any]]) -> list[FollowUp]:
    return [
        FollowUp(
            first=Question(tenant=row["tenant"], **row["first"]),
            then=Question(tenant=row["tenant"], **row["then"]),
            standalone=row["standalone"],
        )
        for row in rows
    ]


def distractors() -> list[Path]:
    """Give Markdown documents of other organisations, Japanese and English, that answer none of the questions.

    Ingested beside a tenant's documents they make retrieval harder, as a larger corpus would.
    """
    return _visible_files(_FOLDER / "distractors" / "en") + _visible_files(_FOLDER / "distractors" / "ja")


def _visible_files(folder: Path) -> list[Path]:
    # Desktop systems leave files such as .DS_Store behind; they are nobody's documents.
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
