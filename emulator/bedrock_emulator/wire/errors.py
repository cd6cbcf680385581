"""What an emulated operation raises to answer an error of its service."""

from __future__ import annotations

from collections.abc import Sequence


class ServiceError(Exception):
    """An error answer of the service: ``code`` is the shape's name in the botocore model, ``message`` what it says.

    ``fields`` are the members of the request that it is about, each with what is wrong with it.
    """

    def __init__(self, code: str, message: str, fields: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.fields = tuple(fields)


class NotEmulatedError(ServiceError):
    """The request asks for something this emulator does not do. Answered as HTTP 501, never as a success."""

    def __init__(self, what: str) -> None:
        super().__init__("NotEmulatedException", f"{what} is not emulated.")


class ConnectionBrokenError(Exception):
    """The answer must not reach the caller: whoever serves the emulator drops the connection instead of answering."""


def validation(message: str, fields: Sequence[tuple[str, str]] = ()) -> ServiceError:
    """A ValidationException (HTTP 400 in every service here)."""
    return ServiceError("ValidationException", message, fields)


def conflict(message: str) -> ServiceError:
    """A ConflictException (HTTP 409, or 400 in OpenSearch Serverless)."""
    return ServiceError("ConflictException", message)


def not_found(message: str) -> ServiceError:
    """A ResourceNotFoundException (HTTP 404, or 400 in OpenSearch Serverless)."""
    return ServiceError("ResourceNotFoundException", message)
