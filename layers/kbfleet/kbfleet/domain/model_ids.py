"""What the ids of models say."""

from __future__ import annotations

GEOGRAPHIES = frozenset({"us", "us-gov", "eu", "apac", "jp", "au", "ca", "global"})
"""With which, and a dot, the ids of inference profiles begin (`jp.anthropic.…`); those of models do not. Source: AWS
documentation, Supported Regions and models for inference profiles."""


def is_inference_profile(model_id: str) -> bool:
    return model_id.partition(".")[0] in GEOGRAPHIES


def foundation_model(model_id: str) -> str:
    """The id of the model behind an inference profile; that of a model as it is."""
    return model_id.partition(".")[2] if is_inference_profile(model_id) else model_id
