"""The models that the stack's parameters and its tenants' profiles name: whether they can be called, and until when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from cli.fleet_api import FleetApi, FleetUnreachable
from cli.fleet_stack import FleetStack, asking
from cli.terminal import counted
from kbfleet.domain.model_ids import is_inference_profile
from kbfleet.domain.profiles import BY_THE_STACK, ProfileReference
from kbfleet.domain.tenant_status import TenantStatus

_NOT_HERE = {"ResourceNotFoundException", "ValidationException"}
_URGENT = timedelta(days=90)
"""Before a model ends. Most are LEGACY for six months before, some for 45 days (Amazon Bedrock User Guide, Model
lifecycle)."""
_PARAMETERS = {
    "EmbeddingModelId": "ingestion.embedding.model",
    "FormerEmbeddingModelId": "ingestion.embedding.model",
    "GenerationModelId": "answering.model",
}
"""What the profile `default` says, and in which field."""
_FIELDS = ("ingestion.embedding.model", "ingestion.parser.model", "answering.model", "answering.reranker.model")

_FIRST_CALL = (
    "There is no page to request access any more. Somebody who may aws-marketplace:Subscribe and ViewSubscriptions "
    "calls the model once, in the console's playground; for Anthropic's models, its form is filled in before. Or "
    'deploy with another model. See "3. Models" in docs/deploying.md.'
)
"""Source: AWS documentation, Request access to models."""

_HARM = {
    "ingestion.embedding.model": "no document is indexed any more, and no question is answered",
    # github.com/aws-samples/bedrock-chat/issues/1126
    "ingestion.parser.model": "no document is read any more, though users report that jobs end as if all were well",
    "answering.model": "no question is answered any more",
    "answering.reranker.model": "no question is answered any more",
}


@dataclass(frozen=True, slots=True)
class Use:
    """A place that names a model.

    Args:
        field: of a profile.
        profile: which one, in which version.
        parameter: of the stack, for `default`.
        tenants: how many have that profile; `None` where that is not known.
    """

    field: str
    profile: ProfileReference = BY_THE_STACK
    parameter: str = ""
    tenants: int | None = None

    @property
    def embeds(self) -> bool:
        return self.field == "ingestion.embedding.model"

    def __str__(self) -> str:
        place = self.parameter or f"{self.field} of profile {self.profile}"
        if self.tenants is None:
            return place
        whose = f"{counted(self.tenants, 'tenant')} of profile default" if self.parameter else ""
        return f"{place} ({whose or counted(self.tenants, 'tenant')})"

    @property
    def another(self) -> str:
        """How another model is given in its place."""
        if self.parameter == "FormerEmbeddingModelId":
            return "offboard the tenants whose knowledge bases were made with it, and add them anew"
        if self.parameter == "EmbeddingModelId":
            return (
                "deploy with another EmbeddingModelId, and this one as FormerEmbeddingModelId; then offboard the "
                "tenants of before, and add them anew"
            )
        if self.parameter:
            return f"deploy with another {self.parameter}"
        name = self.profile.name
        if self.embeds:
            return (
                f"`kbfleet profile put FILE` with another {self.field} for {name}, then offboard the tenants that have "
                "it, and add them anew"
            )
        return (
            f"`kbfleet profile put FILE` with another {self.field} for {name}, then `kbfleet tenant update TENANT "
            f"--profile {self.profile.name}` for each tenant that has it"
        )


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """What Bedrock says of a foundation model. Source: botocore model of bedrock, FoundationModelLifecycle.

    Args:
        status: ACTIVE or LEGACY. One that is ACTIVE has no end yet, only a day that it does not end before.
        dearer_from: when it may begin to cost more.
    """

    status: str
    ends_at: datetime | None = None
    dearer_from: datetime | None = None

    @classmethod
    def of(cls, details: Mapping[str, Any]) -> Lifecycle | None:
        """`None` where the answer does not say, as those of some stand-ins for AWS.

        Args:
            details: `modelDetails` of GetFoundationModel.
        """
        found = details.get("modelLifecycle", {})
        if not found.get("status"):
            return None
        return cls(found["status"], found.get("endOfLifeTime"), found.get("publicExtendedAccessTime"))

    @property
    def is_ending(self) -> bool:
        return self.status == "LEGACY"

    def is_urgent(self, now: datetime) -> bool:
        return self.is_ending and self.ends_at is not None and self.ends_at - now <= _URGENT

    def sentence(self, model: str, now: datetime) -> str:
        """That it ends, for people."""
        dearer = self.dearer_from
        more = f" From {dearer:%Y-%m-%d} on it may cost more." if dearer is not None else ""
        idle = " It is closed to whoever does not call it for 15 days."  # Amazon Bedrock User Guide, Model lifecycle
        if self.ends_at is None:
            return f"Model {model} is LEGACY: it will end.{more}{idle}"
        left = self.ends_at - now
        if left <= timedelta():
            return f"Model {model} has ended, on {self.ends_at:%Y-%m-%d}."
        return f"Model {model} ends on {self.ends_at:%Y-%m-%d}, in {counted(left.days, 'day')}.{more}{idle}"


def models_in_use(parameters: Mapping[str, str], api: FleetApi | None) -> Mapping[str, Sequence[Use]]:
    """Where each model is named, by its id.

    Args:
        parameters: of the stack.
        api: `None` where it cannot say what tenants have: then only what the parameters name.

    Raises:
        FleetUnreachable, Refused.
    """
    counts: Counter[ProfileReference] = Counter()
    if api is not None:
        served = (each for each in api.tenants(None).tenants if each.status is not TenantStatus.OFFBOARDED)
        counts.update(ProfileReference(each.profile, each.profile_version) for each in served)
    found: dict[str, list[Use]] = {}
    for parameter, field in _PARAMETERS.items():
        if model := parameters.get(parameter):
            # How many still have the former model, no list says.
            count = None if api is None or parameter == "FormerEmbeddingModelId" else counts[BY_THE_STACK]
            found.setdefault(model, []).append(Use(field, parameter=parameter, tenants=count))
    if api is None:
        return found
    for profile in sorted((each for each in counts if not each.is_default), key=str):
        described = api.profile(profile.name, profile.version)
        for field in _FIELDS:
            if model := _value(described, field):
                found.setdefault(model, []).append(Use(field, profile, tenants=counts[profile]))
    return found


def _value(part: Any, field: str) -> str | None:
    for name in field.split("."):
        part = getattr(part, name, None)
    return None if part is None else str(part)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a model, and what to do; `passing` where it works, and will for some months."""

    finding: str
    advice: str
    passing: bool = False


@dataclass(frozen=True, slots=True)
class ModelLook:
    """One look at a model that is in use.

    Args:
        now: when it is made.
    """

    stack: FleetStack
    model: str
    uses: Sequence[Use]
    now: datetime

    @property
    def named(self) -> str:
        return f"{', '.join(map(str, self.uses))} {self.model}"

    def troubles(self) -> Iterator[Trouble]:
        """None where it can be called, and nobody knows of its end.

        Raises: FleetUnreachable.
        """
        bedrock = self.stack.client("bedrock")
        behind, refusal = self._models_behind(bedrock)
        if refusal is not None:
            yield refusal
        for each in behind:
            with asking(f"Access to model {each} could not be looked at (bedrock:GetFoundationModelAvailability)"):
                lacking = _lacking(bedrock.get_foundation_model_availability(modelId=each))
            if lacking:
                yield Trouble(f"{self.named} cannot be used: {', '.join(lacking)}.", _FIRST_CALL)
                break
        for each, lifecycle in behind.items():
            if lifecycle is None:
                yield Trouble(
                    f"{self.named}: nothing says how long there will be model {each}.",
                    "Its model card in the Amazon Bedrock User Guide does.",
                    passing=True,
                )
            elif lifecycle.is_ending:
                yield self._ending(each, lifecycle)

    def _ending(self, model: str, lifecycle: Lifecycle) -> Trouble:
        named = ", ".join(map(str, self.uses))
        harms = dict.fromkeys(_HARM[use.field] for use in self.uses)
        finding = f"{lifecycle.sentence(model, self.now)} It is named by {named}: from then on {', and '.join(harms)}."
        ways = dict.fromkeys(use.another for use in self.uses)
        advice = "; ".join(ways)
        return Trouble(finding, f"{advice[0].upper()}{advice[1:]}.", passing=not lifecycle.is_urgent(self.now))

    def _models_behind(self, bedrock: Any) -> tuple[Mapping[str, Lifecycle | None], Trouble | None]:
        """The foundation models behind the id, itself or those that an inference profile forwards to, with how long
        there will be each, where that is said; and why the id cannot be called from here, if so.

        Raises: FleetUnreachable.
        """
        model = self.model
        if is_inference_profile(model):
            with asking(f"Inference profile {model} could not be looked at (bedrock:GetInferenceProfile)"):
                try:
                    found = bedrock.get_inference_profile(inferenceProfileIdentifier=model)
                except ClientError as error:
                    if error.response["Error"]["Code"] not in _NOT_HERE:
                        raise
                    return {}, self._uncallable(bedrock, model.split(".", 1)[1], "is no profile of this Region")
            # One model in several Regions.
            regions: dict[str, list[str]] = {}
            for each in found["models"]:
                regions.setdefault(each["modelArn"].rpartition("/")[2], []).append(each["modelArn"].split(":")[3])
            return {each: self._lifecycle_anywhere(each, regions[each]) for each in sorted(regions)}, None
        details = _details(bedrock, model)
        if details is None:
            return {}, self._uncallable(bedrock, model, "is no model of this Region")
        if "ON_DEMAND" in details.get("inferenceTypesSupported", ()):
            return {model: Lifecycle.of(details)}, None
        return {model: Lifecycle.of(details)}, self._uncallable(
            bedrock, model, "cannot be called on demand in this Region"
        )

    def _lifecycle_anywhere(self, model: str, regions: Sequence[str]) -> Lifecycle | None:
        """What is said of a model in this Region, or else where requests are forwarded to.

        Raises: FleetUnreachable.
        """
        for region in ("", *filter(None, regions)):
            client = self.stack.client("bedrock", Config(region_name=region) if region else None)
            if (details := _details(client, model)) is not None:
                return Lifecycle.of(details)
        return None

    def _uncallable(self, bedrock: Any, model: str, why: str) -> Trouble:
        """Proposes the profiles of the model that there are, those of a geography before the global one."""
        with asking("Inference profiles could not be listed (bedrock:ListInferenceProfiles)"):
            pages = bedrock.get_paginator("list_inference_profiles").paginate(typeEquals="SYSTEM_DEFINED")
            listed = [each["inferenceProfileId"] for page in pages for each in page["inferenceProfileSummaries"]]
        profiles = sorted(
            (each for each in listed if each.partition(".")[2] == model), key=lambda each: each[:7] == "global."
        )
        use = next((each for each in self.uses if not each.embeds), self.uses[0])
        if profiles and not use.embeds:
            advice = (
                f"Deploy with {use.parameter}={profiles[0]}."
                if use.parameter
                else f"Put a version of profile {use.profile.name} with {use.field} {profiles[0]}."
            )
            if others := profiles[1:]:
                advice += f" Or: {', '.join(others)}."
        else:
            place = use.parameter or use.field
            advice = f'Give another {place}: "3. Models" in docs/deploying.md has a table of Regions.'
        return Trouble(f"{self.named} {why}: every call of it is refused.", advice)


def _details(bedrock: Any, model: str) -> Mapping[str, Any] | None:
    """`None` where the Region does not have it. Raises: FleetUnreachable."""
    with asking(f"Model {model} could not be looked at (bedrock:GetFoundationModel)"):
        try:
            found: Mapping[str, Any] = bedrock.get_foundation_model(modelIdentifier=model)["modelDetails"]
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NOT_HERE:
                raise
            return None
        return found


def _lacking(availability: Mapping[str, Any]) -> list[str]:
    """Source: botocore service model of bedrock, GetFoundationModelAvailability.

    Raises: FleetUnreachable when the answer does not say, as those of some stand-ins for AWS.
    """
    given = {
        "authorizationStatus": (availability.get("authorizationStatus"), "AUTHORIZED"),
        "entitlementAvailability": (availability.get("entitlementAvailability"), "AVAILABLE"),
        "regionAvailability": (availability.get("regionAvailability"), "AVAILABLE"),
        "agreementAvailability": (availability.get("agreementAvailability", {}).get("status"), "AVAILABLE"),
    }
    if missing := [name for name, (value, _) in given.items() if value is None]:
        raise FleetUnreachable(f"Access to the models could not be looked at: the answer lacks {', '.join(missing)}.")
    return [f"{name} is {value}" for name, (value, wanted) in given.items() if value != wanted]
