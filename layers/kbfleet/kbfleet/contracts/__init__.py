"""What crosses a process boundary, as pydantic models.

A module for each kind of boundary: a cold start pays for every class that is made, so a function imports only its own.
"""

from __future__ import annotations

import re
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from kbfleet.domain.errors import InvalidInput
from kbfleet.domain.names import MAX_LIFE

Model = TypeVar("Model", bound=BaseModel)

_FIELD = r"[A-Za-z0-9_.-]{1,100}"
"""What a field must be called so that an error may name it."""


class Contract(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def parse(model: type[Model], data: object) -> Model:
    """A contract from decoded JSON.

    Raises:
        InvalidInput: naming a field that is missing, else the first that is wrong.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _invalid_input(error) from None


def parse_json(model: type[Model], text: str | bytes | None) -> Model:
    """A contract from JSON text, such as the body of an HTTP request.

    Raises:
        InvalidInput: naming a field that is missing, else the first that is wrong, or `body` when it is not JSON.
    """
    try:
        return model.model_validate_json(text or b"")
    except ValidationError as error:
        raise _invalid_input(error) from None


def _invalid_input(error: ValidationError) -> InvalidInput:
    # The value itself stays out of the message: it may be a tenant's text, and messages reach logs.
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    # A misspelt field is both one too many and one that is missing: the latter's name is the one to learn.
    first = next((each for each in errors if each["type"] == "missing"), errors[0])
    field = ".".join(str(part) for part in first["loc"])
    # A field that we do not know is a caller's text of any length.
    field = field if re.fullmatch(_FIELD, field) else "body"
    return InvalidInput(field, f"{first['msg']}.")


def whole(value: object) -> object:
    # To JSON Schema, 5.0 is an integer.
    return int(value) if isinstance(value, float) and value.is_integer() else value


WholeNumber = Annotated[int, Field(strict=True), BeforeValidator(whole)]
"""A number of JSON without a fraction; no text that reads like one, and no truth value."""

LifeNumber = Annotated[int, Field(ge=1, le=MAX_LIFE)]
