"""A Region has its own models, and says of each how it can be called.

MiniStack has the same models in every Region, says that each can be called on demand, gives each an inference profile
of every geography, and lists a profile with the caller's Region only.

AWS says in `inferenceTypesSupported` whether a model's id can be called, or only an inference profile, lists the
profiles that can be called from the Region, each with all Regions that it forwards to, and has neither where a Region
lacks the model (AWS documentation, "Supported Regions and models for inference profiles"; botocore model, GetInference
Profile). Which model is where, the emulator knows for some; it refuses calls by the same table. What it does not know
stays as MiniStack has it.

MiniStack says of each model that it is ACTIVE. AWS says of one whose end is announced that it is LEGACY, since when,
and when it ends (botocore model, FoundationModelLifecycle); what becomes of one that has ended is not said, and it is
taken to be gone.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from ministack.core.responses import get_region
from ministack.services import bedrock

from bedrock_emulator.world.models import LIFECYCLES, MODELS, Model, known, lifecycle
from local.stack.configuration import StackConfiguration

Query = Mapping[str, list[str]]
Answer = tuple[int, dict[str, str], bytes]


def apply(configuration: StackConfiguration) -> None:  # noqa: ARG001 -- every correction takes it
    listed = {entry[0] for entry in bedrock._CATALOG}
    bedrock._CATALOG += [
        (model.identifier, model.name, model.provider, ["TEXT"], ["TEXT"], True)
        for model in MODELS
        if model.identifier not in listed
    ]
    bedrock._CATALOG += [
        (identifier, identifier, "Anthropic", ["TEXT"], ["TEXT"], True)
        for identifier in LIFECYCLES
        if identifier not in listed
    ]
    _say_how_models_are_called()
    _know_profiles()


def _say_how_models_are_called() -> None:
    summary, find, list_models = bedrock._model_summary, bedrock._find_model, bedrock._list_foundation_models

    def summary_in_region(identifier: str, *others: Any) -> dict[str, Any]:
        described: dict[str, Any] = summary(identifier, *others)
        if (model := known(identifier)) is not None:
            described["InferenceTypesSupported"] = model.inference_types(get_region())
        if (ending := lifecycle(identifier)) is not None:
            legacy = {"LegacyTime": ending.legacy_from.isoformat(), "EndOfLifeTime": ending.ends_at.isoformat()}
            described["ModelLifecycle"] = {"Status": "LEGACY" if ending.legacy_from <= _now() else "ACTIVE", **legacy}
        return described

    def find_in_region(identifier: str) -> Any:
        found = find(identifier)
        return found if found and _is_here(found[0]) else None

    def list_in_region(query: Query) -> Answer:
        # Its own filter takes every model for one that can be called on demand.
        wanted = (query.get("byInferenceType") or [""])[0]
        others = {name: value for name, value in query.items() if name != "byInferenceType"}
        status, headers, body = list_models(others)
        summaries = [
            each
            for each in json.loads(body)["modelSummaries"]
            if _is_here(each["modelId"]) and (not wanted or wanted in each["inferenceTypesSupported"])
        ]
        return status, headers, json.dumps({"modelSummaries": summaries}).encode()

    bedrock._model_summary, bedrock._find_model = summary_in_region, find_in_region
    bedrock._list_foundation_models = list_in_region


def _know_profiles() -> None:
    get: Callable[[str], Answer] = bedrock._get_inference_profile

    def list_in_region(query: Query) -> Answer:
        kind = (query.get("typeEquals") or [""])[0]
        own = [] if kind == "SYSTEM_DEFINED" else list(bedrock._inference_profiles_apps.values())
        found = [*([] if kind == "APPLICATION" else _profiles()), *own]
        first = int((query.get("nextToken") or ["0"])[0])
        last = first + int((query.get("maxResults") or ["100"])[0])
        more = {"NextToken": str(last)} if last < len(found) else {}
        answer: Answer = bedrock._json({"InferenceProfileSummaries": found[first:last], **more})
        return answer

    def get_in_region(identifier: str) -> Answer:
        name = identifier.rpartition("/")[2]
        if known(name.partition(".")[2]) is None:
            return get(identifier)
        found = next((each for each in _profiles() if each["InferenceProfileId"] == name), None)
        missing: Answer = bedrock._not_found(f"Could not find inference profile {identifier}.")
        return missing if found is None else bedrock._json(found)

    bedrock._list_inference_profiles, bedrock._get_inference_profile = list_in_region, get_in_region


def _is_here(identifier: str) -> bool:
    model, ending = known(identifier), lifecycle(identifier)
    ended = ending is not None and ending.ends_at <= _now()
    return not ended and (model is None or bool(model.inference_types(get_region())))


def _now() -> datetime:
    return datetime.now(UTC)


def _profiles() -> Iterator[dict[str, Any]]:
    """Those of the caller's Region."""
    for model in MODELS:
        for identifier, regions in model.profiles_in(get_region()).items():
            yield _described(model, identifier, regions)


def _described(model: Model, identifier: str, regions: tuple[str, ...]) -> dict[str, Any]:
    return {
        "InferenceProfileName": f"{identifier.partition('.')[0].upper()} {model.name}",
        "InferenceProfileId": identifier,
        "InferenceProfileArn": bedrock._inference_profile_arn(identifier),
        "Models": [
            {"ModelArn": f"arn:aws:bedrock:{region}::foundation-model/{model.identifier}"} for region in regions
        ],
        "Status": "ACTIVE",
        "Type": "SYSTEM_DEFINED",
    }
