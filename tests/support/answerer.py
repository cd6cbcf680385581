"""An answerer that follows a script."""

from __future__ import annotations

from collections.abc import Mapping

from kbfleet.domain.answer import GeneratedAnswer, Question


class ScriptedAnswerer:
    """`kbfleet.ports.Answerer`. Raises or gives what the script has for a knowledge base; `asked` has every question.

    Args:
        script: by knowledge base id, an answer or an error.
    """

    def __init__(self, script: Mapping[str, GeneratedAnswer | Exception]) -> None:
        self._script = script
        self.asked: list[tuple[str, Question]] = []

    def answer(self, knowledge_base_id: str, question: Question) -> GeneratedAnswer:
        self.asked.append((knowledge_base_id, question))
        scripted = self._script[knowledge_base_id]
        if isinstance(scripted, Exception):
            raise scripted
        return scripted
