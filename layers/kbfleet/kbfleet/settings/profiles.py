"""Of profiles: what the stack gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated

from pydantic import BeforeValidator

from kbfleet.domain.profile_rules import StackOffer
from kbfleet.domain.profiles import AnswererKind
from kbfleet.settings.asking import AnswerSettings
from kbfleet.settings.provisioning import KnowledgeStoreSettings


def _list(value: object) -> object:
    return [each for each in value.split(",") if each] if isinstance(value, str) else value


Arns = Annotated[frozenset[str], BeforeValidator(_list)]


class ProfileSettings(AnswerSettings, KnowledgeStoreSettings):
    """The models that may be called beside those of the stack's own parameters: by service roles, and for answers."""

    former_embedding_model_id: str = ""
    ingestion_model_arns: Arns = frozenset()
    answer_model_arns: Arns = frozenset()

    def offer(self, region: str, stores: Iterable[str], model_arn: Callable[[str], str]) -> StackOffer:
        """
        Args:
            stores: types of knowledge stores that the stack offers.
            model_arn: gives the ARN by which a model is called from here, of its id.
        """

        def granted(arns: frozenset[str]) -> frozenset[str]:
            # An ARN of another Region, account or partition grants nothing here.
            ids = (arn.rpartition("/")[2] for arn in arns)
            return frozenset(each for each in ids if model_arn(each) in arns)

        embedding = {self.embedding_model_id, self.former_embedding_model_id} - {""}
        return StackOffer(
            region,
            frozenset(stores),
            granted(self.ingestion_model_arns) | embedding,
            granted(self.answer_model_arns) | {self.generation_model_id},
            # What a call needs is granted where the stack answers by it; Converse needs nothing that others do not.
            frozenset({AnswererKind.RETRIEVE_AND_CONVERSE, self.answering}),
            self.guardrail_id,
        )
