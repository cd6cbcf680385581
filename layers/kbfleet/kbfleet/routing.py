"""From a request of API Gateway to the function that serves it, for every function of the API.

API Gateway has found the route already, and IAM has allowed what it found. It is looked up here by the `resource` and
the method that API Gateway names, and the path is never matched a second time: what was allowed is what runs. Source
of the names: AWS documentation, Amazon API Gateway, input format of a Lambda function for proxy integration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from kbfleet.contracts import parse
from kbfleet.domain.errors import InvalidInput
from kbfleet.responses import failure, problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel

    from kbfleet.responses import HttpResponse

Request = Mapping[str, Any]
"""A request as API Gateway hands it over."""


@dataclass(frozen=True, slots=True)
class Route:
    """What serves an operation.

    Args:
        serve: takes the request, and the query where there is one.
        query: the parameters that the operation takes; without, it takes none.
    """

    serve: Callable[..., HttpResponse]
    query: type[BaseModel] | None = None


Routes = Mapping[tuple[str, str], Route]
"""By method and resource, the path as the template has it."""


def dispatch(request: Request, routes: Routes) -> dict[str, Any]:
    """What API Gateway is answered. Every failure is a problem document."""
    try:
        response = _serve(request, routes)
    except Exception as error:  # noqa: BLE001 - whatever it is, the answer has the same form
        response = failure(error, request["requestContext"]["requestId"])
    return response.proxied


def path_parameter(request: Request, name: str) -> str:
    """A parameter of the path as API Gateway gives it. It is text from outside: the caller validates it.

    It is not decoded. AWS's documentation says that REST APIs decode parameters (Amazon API Gateway important notes);
    users report that a proxy integration is given them as they were sent (github.com/aws/aws-sam-cli/issues/3524).
    No id has a character that would have to be encoded, so to a request that is served it makes no difference.
    """
    value: str = request["pathParameters"][name]
    return value


def _serve(request: Request, routes: Routes) -> HttpResponse:
    route = routes.get((request["httpMethod"], request["resource"]))
    if route is None or not _is_spelled_as_its_route(request):
        return problem(HTTPStatus.NOT_FOUND, "No such path.")
    given = _query(request)
    if route.query is not None:
        return route.serve(request, parse(route.query, given))
    for name in given:
        raise InvalidInput(name, "is no query parameter of this operation.")
    return route.serve(request)


def _is_spelled_as_its_route(request: Request) -> bool:
    """Whether the path is the resource's with its parameters filled in, letter for letter.

    IAM policies are about paths as they are written. One that is written in another way, such as with `%61` for `a` or
    a slash too many, could be decided by another statement than the path that it stands for. A domain name of one's own
    may put a base path in front.
    """
    path: str = request["path"]
    return path.endswith(request["resource"].format_map(request["pathParameters"] or {}))


def _query(request: Request) -> dict[str, str]:
    """Raises: InvalidInput for a parameter that is given twice: which one counts, nobody could say."""
    given: Mapping[str, list[str]] = request["multiValueQueryStringParameters"] or {}
    for name, values in given.items():
        if len(values) != 1:
            raise InvalidInput(name, "is given more than once.")
    return {name: value for name, (value,) in given.items()}
