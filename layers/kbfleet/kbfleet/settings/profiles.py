"""Of profiles: what the stack gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator

from kbfleet.domain.profile_rules import StackOffer
from kbfleet.domain.profiles import AnswererKind
from kbfleet.settings.asking import AnswerSettings
from kbfleet.settings.provisioning import KnowledgeStoreSettings

if TYPE_CHECKING:
    from collections.abc import Iterable


def _list(value: object) -> object:
    return [each for each in value.split(",") if each] if isinstance(value, str) else value


ModelIds = Annotated[frozenset[str], BeforeValidator(_list)]


class ProfileSettings(AnswerSettings, KnowledgeStoreSettings):
    """The models that may be called beside those of the stack's own parameters: by service roles, and for answers."""

    former_embedding_model_id: str = ""
    ingestion_model_ids: ModelIds = frozenset()
    answer_model_ids: ModelIds = frozenset()

    def offer(self, region: str, stores: Iterable[str]) -> StackOffer:
        """
        Args:
            stores: types of knowledge stores that the stack offers.
        """
        embedding = {self.embedding_model_id, self.former_embedding_model_id} - {""}
        # What a call needs is granted where the stack answers by it; Converse needs nothing that others do not.
        answerers = {AnswererKind.RETRIEVE_AND_CONVERSE, self.answering}
        return StackOffer(
            region,
            frozenset(stores),
            self.ingestion_model_ids | embedding,
            self.answer_model_ids | {self.generation_model_id},
            frozenset(answerers),
            self.guardrail_id,
        )
